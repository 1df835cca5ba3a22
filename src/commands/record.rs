//! How the sources of a transfer fared, as events for the state.

use std::collections::BTreeSet;
use std::time::Duration;

use super::mirrors::file_key;
use super::places::{Hosts, Place};
use crate::http::Failure;
use crate::mirror::{Attempt, Delta, FailureKind, FileKey, MirrorKey, Outcome, RateSample};
use crate::transfer::batch::{BatchEnd, HostId, Item, ItemEnd};
use crate::transfer::engine::{self, Ended, Tally};

/// How long a mirror that lacked a file is not asked for that file again, in seconds.
const LACKS_FOR: u64 = 120;

/// The events of one transfer from these places; `now` in UNIX seconds.
pub(super) fn deltas(places: &[Place], ended: &Ended, file: &FileKey, now: u64) -> Vec<Delta> {
    let too_slow = matches!(ended.outcome, engine::Outcome::TooSlow { .. } | engine::Outcome::CutOff(_));
    let asked: Vec<(&Place, &Tally)> =
        places.iter().zip(&ended.tallies).filter(|(_, t)| t.requests > 0).collect();
    let link = is_the_link(&asked);
    let is_at_a_mirror = asked.iter().any(|(place, tally)| place.has_layout() && tally.kept > 0);
    let mut deltas = Vec::new();
    for (Place { key, note, .. }, tally) in asked {
        // When nothing came from anybody, the source whose connection was given up first is no worse than the
        // others.
        let stalled = too_slow && tally.failures.last().map(kind) == Some(FailureKind::Stall);
        let outcome = if link || stalled { Outcome::Interrupted } else { outcome(tally) };
        deltas.push(attempt(key, tally, outcome, now));
        deltas.extend(no_ranges(key, tally, now));
        let answer = tally.failures.iter().rfind(|failure| says_lacks(failure));
        let answer = answer.or(tally.corrupt.then_some(&Failure::WrongContent));
        deltas.extend(answer.map(|answer| lacks(note, file, answer, now)));
        if is_at_a_mirror && tally.lacks_it() {
            deltas.push(Delta::LayoutInDoubt { mirror: key.clone(), at: now });
        }
    }
    deltas
}

/// The events of a batch.
pub(super) fn batch_deltas(hosts: &Hosts<'_>, items: &[Item], end: &BatchEnd, now: u64) -> Vec<Delta> {
    let mut deltas: Vec<Delta> = hosts
        .keys
        .iter()
        .zip(&end.tallies)
        .filter(|(_, tally)| tally.requests > 0)
        .flat_map(|(mirror, tally)| {
            let attempt = attempt(mirror, tally, outcome_of_many(tally), now);
            std::iter::once(attempt).chain(no_ranges(mirror, tally, now))
        })
        .collect();
    let is_mirror = |host: &HostId| hosts.is_mirror(*host);
    let lacking = end.items.iter().filter_map(|item| match item {
        ItemEnd::Fetched { from, lacking } if from.iter().any(is_mirror) => Some(lacking.iter()),
        _ => None,
    });
    let lacking: BTreeSet<HostId> = lacking.flatten().copied().collect();
    let in_doubt = lacking.into_iter().filter(is_mirror).map(|host| hosts.keys[host.0].clone());
    deltas.extend(in_doubt.map(|mirror| Delta::LayoutInDoubt { mirror, at: now }));
    for (item, end) in items.iter().zip(&end.items) {
        let ItemEnd::Failed(tried) = end else { continue }; // nobody will ask for the others again
        let file = file_key(&item.name, &item.digests);
        for (host, answer) in tried.iter().filter(|(_, failure)| says_lacks(failure)) {
            let note = hosts.note(item, *host);
            deltas.extend(note.map(|note| lacks(&note, &file, answer, now)));
        }
    }
    deltas
}

/// Whether the mirrors had a file of that repository, or some said that they do not.
pub(super) fn repository_delta(repository: Option<&str>, had: bool, lacked: bool, now: u64) -> Option<Delta> {
    repository.filter(|_| had || lacked).map(|name| Delta::Repository {
        name: name.to_owned(),
        at: now,
        hit: had,
    })
}

/// A host that brought a file is in order, whichever other files it lacks.
fn outcome_of_many(tally: &Tally) -> Outcome {
    let missing = tally.failures.iter().all(Failure::is_not_found);
    if tally.kept > 0 && missing && !tally.corrupt { Outcome::Success } else { outcome(tally) }
}

fn says_lacks(failure: &Failure) -> bool {
    failure.is_not_found()
        || matches!(failure, Failure::WrongSize { .. } | Failure::WrongContent | Failure::OtherFile(_))
}

fn no_ranges(mirror: &MirrorKey, tally: &Tally, now: u64) -> Option<Delta> {
    tally.no_ranges.then(|| Delta::NoRanges { mirror: mirror.clone(), at: now })
}

fn lacks(mirror: &MirrorKey, file: &FileKey, answer: &Failure, now: u64) -> Delta {
    let (mirror, file, answer) = (mirror.clone(), file.clone(), answer.to_string());
    Delta::Lacks { mirror, file, at: now, lasts: LACKS_FOR, answer }
}

fn attempt(mirror: &MirrorKey, tally: &Tally, outcome: Outcome, now: u64) -> Delta {
    Delta::Attempt(Attempt {
        mirror: mirror.clone(),
        at: now,
        outcome,
        bytes_kept: tally.kept,
        bytes_wasted: tally.wasted,
        first_byte: tally.first_byte,
        rate: (tally.receiving > Duration::ZERO)
            .then_some(RateSample { bytes: tally.kept + tally.wasted, duration: tally.receiving }),
    })
}

/// Whether all sources failed in a way that a broken link of our own explains.
fn is_the_link(asked: &[(&Place, &Tally)]) -> bool {
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
        Some(failure) if failure.is_of_proxy() => Outcome::Interrupted,
        Some(failure) => {
            let retry_after = match failure.cause() {
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
        Failure::Elsewhere { failure, .. } => kind(failure),
        Failure::Resolve { .. } | Failure::ResolveProxy { .. } => FailureKind::Dns,
        Failure::Connect { .. }
        | Failure::Local(_)
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
        Failure::WrongSize { .. } | Failure::OtherFile(_) | Failure::TooLarge { .. } => {
            FailureKind::WrongSize
        }
        Failure::WrongContent => FailureKind::Corrupt,
        Failure::HtmlPage => FailureKind::Portal,
        Failure::RangeMismatch
        | Failure::RangeIgnored
        | Failure::OnlyAPart
        | Failure::RangeNotSatisfiable { .. } => FailureKind::Range,
        Failure::Stalled(_) | Failure::TooSlow { .. } | Failure::TimeUp(_) => FailureKind::Stall,
        Failure::Request(_)
        | Failure::NotHttp
        | Failure::TlsForHttp
        | Failure::BadHead(_)
        | Failure::BadLocation(_)
        | Failure::HeadTooLarge
        | Failure::TransferCoding(_)
        | Failure::ContentEncoding(_)
        | Failure::Status { .. }
        | Failure::TooManyRedirects(_)
        | Failure::RedirectRefused(_) => FailureKind::Protocol,
    }
}
