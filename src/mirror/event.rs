//! What can happen with a mirror, in the words of the state file.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::key::{FileKey, MirrorKey};

/// Highest rate that is told from others, in bytes per second.
pub(super) const RATE_MAX: u64 = 100_000_000_000;

/// One event. `at` and `until` are UNIX seconds.
#[derive(Clone, Debug, PartialEq)]
pub enum Delta {
    Attempt(Attempt),
    /// The mirror's `layout.conf` was read.
    Layout {
        mirror: MirrorKey,
        at: u64,
        text: String,
    },
    /// The mirror lacks a file that others have, where its layout says that it lies.
    LayoutInDoubt {
        mirror: MirrorKey,
        at: u64,
    },
    /// The mirror says that its copy is of that time (UNIX seconds).
    Freshness {
        mirror: MirrorKey,
        at: u64,
        timestamp: u64,
    },
    /// The mirror accepts so many connections at once and no more.
    ConnectionCap {
        mirror: MirrorKey,
        at: u64,
        connections: u64,
    },
    /// Requests for ranges failed at the mirror, and one for the whole file did not.
    NoRanges {
        mirror: MirrorKey,
        at: u64,
    },
    /// The mirror does not have the file, or has a wrong one.
    Lacks {
        mirror: MirrorKey,
        file: FileKey,
        at: u64,
        /// For how many seconds that is to hold.
        lasts: u64,
        /// What it said, for people.
        answer: String,
    },
    /// Mirrors that do not depend on each other have the same file, and not the one that the Manifest means.
    WrongEverywhere {
        file: FileKey,
        at: u64,
        /// For how many seconds that is to hold.
        lasts: u64,
    },
    /// The best mirrors were found.
    Ranking {
        at: u64,
        /// The best first.
        mirrors: Vec<MirrorKey>,
    },
    /// The mirrors as a whole had, or lacked, a file of that repository.
    Repository {
        name: String,
        at: u64,
        hit: bool,
    },
}

/// One request to one mirror, and what came of it. No attempt should be reported as a failure when all
/// mirrors failed in the same way at once: that was the link.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    pub mirror: MirrorKey,
    /// When it ended, in UNIX seconds.
    pub at: u64,
    pub outcome: Outcome,
    /// Bytes that became part of the file.
    pub bytes_kept: u64,
    /// Bytes that were received for nothing.
    pub bytes_wasted: u64,
    /// From the request to the first byte of content.
    pub first_byte: Option<Duration>,
    pub rate: Option<RateSample>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Success,
    Failure {
        kind: FailureKind,
        /// The field Retry-After (RFC 9110, 10.2.3), as a time from now.
        retry_after: Option<Duration>,
    },
    /// It was ended from here: by the user, or because another mirror was faster.
    Interrupted,
}

/// Bytes of content, and the time from the first to the last of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateSample {
    pub bytes: u64,
    pub duration: Duration,
}

/// How an attempt failed. The names are those of the state file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// No connection: refused, unreachable.
    Connect,
    /// No answer in time.
    Timeout,
    /// The content stopped arriving.
    Stall,
    Tls,
    Dns,
    /// The connection was closed or reset before an answer was complete.
    Reset,
    /// The content ended before its Content-Length.
    Truncated,
    /// 404 or 410.
    NotFound,
    /// 401 or 403.
    Forbidden,
    /// 429.
    TooManyRequests,
    /// 5xx.
    ServerError,
    /// Another size than the Manifest's.
    WrongSize,
    /// No range, or not the one asked for.
    Range,
    /// Other bytes than the Manifest's digests mean.
    Corrupt,
    /// A captive portal or another page in place of the file.
    Portal,
    /// Not HTTP, or a redirect that must not be followed.
    Protocol,
}

impl FailureKind {
    pub const ALL: [Self; 16] = [
        Self::Connect,
        Self::Timeout,
        Self::Stall,
        Self::Tls,
        Self::Dns,
        Self::Reset,
        Self::Truncated,
        Self::NotFound,
        Self::Forbidden,
        Self::TooManyRequests,
        Self::ServerError,
        Self::WrongSize,
        Self::Range,
        Self::Corrupt,
        Self::Portal,
        Self::Protocol,
    ];

    /// The name in the state file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::Stall => "stall",
            Self::Tls => "tls",
            Self::Dns => "dns",
            Self::Reset => "reset",
            Self::Truncated => "truncated",
            Self::NotFound => "not_found",
            Self::Forbidden => "forbidden",
            Self::TooManyRequests => "too_many_requests",
            Self::ServerError => "server_error",
            Self::WrongSize => "wrong_size",
            Self::Range => "range",
            Self::Corrupt => "corrupt",
            Self::Portal => "portal",
            Self::Protocol => "protocol",
        }
    }

    /// Whether it says that the mirror is out of order, not only that this file is.
    pub fn cools_down(self) -> bool {
        match self {
            Self::NotFound | Self::WrongSize | Self::Range | Self::Portal => false,
            Self::Connect
            | Self::Timeout
            | Self::Stall
            | Self::Tls
            | Self::Dns
            | Self::Reset
            | Self::Truncated
            | Self::Forbidden
            | Self::TooManyRequests
            | Self::ServerError
            | Self::Corrupt
            | Self::Protocol => true,
        }
    }

    /// How many ordinary failures it counts for. A new file that has not arrived yet is hardly the
    /// mirror's fault, a captive portal not at all; wrong bytes cost more than a round trip.
    pub(super) fn weight(self) -> f64 {
        match self {
            Self::NotFound => 0.25,
            Self::Portal => 0.0,
            Self::Corrupt => 3.0,
            _ => 1.0,
        }
    }

    /// RFC 9110, 10.2.3 (503), and RFC 6585, 4 (429).
    pub(super) fn may_say_retry_after(self) -> bool {
        matches!(self, Self::TooManyRequests | Self::ServerError)
    }
}

impl RateSample {
    pub(super) fn bytes_per_second(self) -> u64 {
        let us = self.duration.as_micros().max(1000); // what arrives within a millisecond was under way
        u64::try_from(u128::from(self.bytes) * 1_000_000 / us).unwrap_or(u64::MAX).min(RATE_MAX)
    }

    /// A second or a MiB makes a whole sample. What fits into the first packets says nothing of the
    /// rate, unless it took long.
    pub(super) fn weight(self) -> f64 {
        if self.bytes == 0 {
            return 0.0;
        }
        let weight = (self.bytes as f64 / f64::from(1 << 20)).max(self.duration.as_secs_f64()).min(1.0);
        if weight < 1.0 / 64.0 { 0.0 } else { weight }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fading::Average;
    use super::*;

    #[test]
    fn what_fits_into_the_first_packets_is_no_rate() {
        for (bytes, ms, rate) in [
            (10_000, 1, None),
            (0, 20_000, None),
            (10_000, 10_000, Some(1000)),
            (4 << 20, 0, Some((4 << 20) * 1000)),
        ] {
            let rate_sample = RateSample { bytes, duration: Duration::from_millis(ms) };
            let mut sample = Average::default();
            sample.add(rate_sample.bytes_per_second(), rate_sample.weight(), 0);
            assert_eq!(sample.mean(), rate, "{bytes} bytes in {ms} ms");
        }
    }

    #[test]
    fn names_are_those_of_the_state_file() {
        for kind in FailureKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
    }
}
