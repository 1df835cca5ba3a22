//! For how long a mirror that failed should rather not be asked.

use serde::{Deserialize, Serialize};

/// First cool-down after a failure, in seconds. Each further failure in a row doubles it.
pub const COOL_DOWN_MIN: u64 = 30;
/// Longest cool-down, in seconds: also what a mirror's own Retry-After can ask for at most.
pub const COOL_DOWN_MAX: u64 = 6 * 3600;
/// Failures that lie further apart than this, in seconds from the end of a cool-down, are no row.
pub(super) const ROW_GAP_MAX: u64 = 24 * 3600;

/// Until when a mirror should rather not be asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CoolDown {
    /// When it began, in UNIX seconds.
    since: u64,
    /// UNIX seconds.
    until: u64,
    failures_in_a_row: u64,
}

impl CoolDown {
    /// After a failure `at` (UNIX seconds): for as long as the mirror has `asked`, in seconds, or else
    /// longer than after the failure before.
    pub(super) fn start(&mut self, asked: Option<u64>, at: u64) {
        let ended = self.until.saturating_add(ROW_GAP_MAX) < at;
        if ended {
            self.failures_in_a_row = 0;
        }
        if self.until <= at {
            self.since = at;
        }
        // Ten downloads that fail at once met the same outage: they count as one failure.
        if self.until <= at {
            self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
        }
        let doublings = self.failures_in_a_row.saturating_sub(1).min(16);
        let seconds = asked.unwrap_or(COOL_DOWN_MIN << doublings).min(COOL_DOWN_MAX);
        let until = at.saturating_add(seconds);
        let is_from_future = self.since > at; // the clock has gone back
        if is_from_future {
            (self.since, self.until) = (at, until);
        }
        self.until = self.until.max(until);
    }

    /// Seconds from `now` (UNIX seconds).
    ///
    /// A cool-down that has yet to begin, or is longer than any, was made by a clock that was wrong: it does not count.
    pub fn left(&self, now: u64) -> u64 {
        let left = self.until.saturating_sub(now);
        if left > COOL_DOWN_MAX || self.since > now { 0 } else { left }
    }

    /// None when it lies further after `latest` than any can.
    pub(super) fn bound(&mut self, latest: u64) {
        if self.until > latest && self.left(latest) == 0 {
            *self = Self::default();
        }
    }
}
