//! How the sources of a transfer fared, as events for the state.

use std::time::Duration;

use crate::http::Failure;
use crate::mirror::{Attempt, Delta, FailureKind, FileKey, MirrorKey, Outcome, RateSample};
use crate::transfer::engine::Tally;

/// A file that a mirror does not have is not asked for there again for so long, in seconds.
const LACKS_FOR: u64 = 120;

/// The events of one transfer; `now` in UNIX seconds.
pub(super) fn deltas(keys: &[MirrorKey], tallies: &[Tally], file: &FileKey, now: u64) -> Vec<Delta> {
    let asked: Vec<(&MirrorKey, &Tally)> = keys.iter().zip(tallies).filter(|(_, t)| t.requests > 0).collect();
    let link = is_the_link(&asked);
    let mut deltas = Vec::new();
    for (mirror, tally) in asked {
        let outcome = if link { Outcome::Interrupted } else { outcome(tally) };
        deltas.push(Delta::Attempt(Attempt {
            mirror: mirror.clone(),
            at: now,
            outcome,
            bytes_kept: tally.kept,
            bytes_wasted: tally.wasted,
            first_byte: tally.first_byte,
            rate: (tally.receiving > Duration::ZERO)
                .then_some(RateSample { bytes: tally.kept + tally.wasted, duration: tally.receiving }),
        }));
        let lacks = tally.corrupt
            || tally.failures.iter().any(|f| f.is_not_found() || matches!(f, Failure::WrongSize { .. }));
        if lacks {
            let until = now.saturating_add(LACKS_FOR);
            deltas.push(Delta::Lacks { mirror: mirror.clone(), file: file.clone(), until });
        }
    }
    deltas
}

/// Everybody failed, and in a way that a broken link of our own explains.
fn is_the_link(asked: &[(&MirrorKey, &Tally)]) -> bool {
    let unreachable = |tally: &Tally| {
        let last = tally.failures.last().map(kind);
        let link = matches!(
            last,
            Some(FailureKind::Connect | FailureKind::Timeout | FailureKind::Dns | FailureKind::Stall)
        );
        link && tally.kept == 0
    };
    asked.len() > 1 && asked.iter().all(|(_, tally)| unreachable(tally))
}

fn outcome(tally: &Tally) -> Outcome {
    if tally.corrupt {
        return Outcome::Failure { kind: FailureKind::Corrupt, retry_after: None };
    }
    match tally.failures.last() {
        Some(failure) => {
            let retry_after = match failure {
                Failure::Status { retry_after, .. } => *retry_after,
                _ => None,
            };
            Outcome::Failure { kind: kind(failure), retry_after }
        }
        None if tally.kept > 0 => Outcome::Success,
        None => Outcome::Interrupted,
    }
}

/// A failure in the words of the state.
pub(super) fn kind(failure: &Failure) -> FailureKind {
    match failure {
        Failure::Resolve { .. } | Failure::ResolveProxy { .. } => FailureKind::Dns,
        Failure::Connect { .. }
        | Failure::ProxyRefused(_)
        | Failure::SocksRefused(_)
        | Failure::Interface(_) => FailureKind::Connect,
        Failure::ConnectTimeout(_) => FailureKind::Timeout,
        Failure::CaFile(_)
        | Failure::ClientCertificate(_)
        | Failure::Certificate(_)
        | Failure::TlsHandshake(_) => FailureKind::Tls,
        Failure::Send(_)
        | Failure::EmptyReply
        | Failure::Reset
        | Failure::Receive(_)
        | Failure::Cancelled => FailureKind::Reset,
        Failure::Truncated | Failure::BadChunks(_) => FailureKind::Truncated,
        Failure::Status { code: 404 | 410, .. } => FailureKind::NotFound,
        Failure::Status { code: 429, .. } => FailureKind::TooManyRequests,
        Failure::Status { code: 500..=599, .. } => FailureKind::ServerError,
        Failure::Status { code: 400..=499, .. } => FailureKind::Forbidden,
        Failure::WrongSize { .. } | Failure::TooLarge { .. } => FailureKind::WrongSize,
        Failure::HtmlPage => FailureKind::Portal,
        Failure::RangeMismatch | Failure::RangeIgnored | Failure::RangeNotSatisfiable { .. } => {
            FailureKind::Range
        }
        Failure::Stalled(_) | Failure::TooSlow { .. } | Failure::TimeUp(_) => FailureKind::Stall,
        Failure::NotHttp
        | Failure::BadHead(_)
        | Failure::HeadTooLarge
        | Failure::TransferCoding(_)
        | Failure::ContentEncoding(_)
        | Failure::Status { .. }
        | Failure::TooManyRedirects(_)
        | Failure::RedirectRefused(_) => FailureKind::Protocol,
    }
}
