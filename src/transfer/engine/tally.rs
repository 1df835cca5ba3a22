//! What came of asking one source.

use std::time::Duration;

use crate::http::Failure;

/// How one source fared in a transfer.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub requests: u32,
    /// Bytes that became part of the file.
    pub kept: u64,
    /// Bytes received for nothing.
    pub wasted: u64,
    /// Time until the first byte over a new connection.
    pub first_byte: Option<Duration>,
    /// Time during which content was being received.
    pub receiving: Duration,
    pub failures: Vec<Failure>,
    /// Failures for which it is not to blame.
    pub excused: Vec<Failure>,
    /// It sent wrong bytes.
    pub corrupt: bool,
    /// Requests for ranges failed, and one for the whole file did not.
    pub no_ranges: bool,
}

impl Tally {
    /// Whether it said that it does not have the file.
    pub fn lacks_it(&self) -> bool {
        self.failures.iter().any(Failure::is_not_found)
    }

    /// What it failed with last.
    pub fn last_failure(&self) -> Option<&Failure> {
        self.failures.last().or(self.excused.last())
    }

    /// When asked without a range, the source sent the right file. So its earlier failures were about the way
    /// of asking.
    pub(super) fn excuse_odd_answers(&mut self) {
        self.no_ranges = self.failures.iter().any(Failure::refuses_ranges);
        self.excused.append(&mut self.failures);
    }

    /// Counts what came of another transfer from the same source.
    pub fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.kept += other.kept;
        self.wasted += other.wasted;
        self.first_byte = self.first_byte.or(other.first_byte);
        self.receiving += other.receiving;
        self.failures.extend(other.failures.iter().cloned());
        self.excused.extend(other.excused.iter().cloned());
        self.corrupt |= other.corrupt;
        self.no_ranges |= other.no_ranges;
    }
}
