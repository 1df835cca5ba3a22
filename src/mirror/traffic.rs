//! Requests and bytes of many mirrors together, which never become less.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::event::FailureKind;
use super::key::MirrorKey;
use super::stats::Mirror;

/// Requests and bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Traffic {
    /// Requests for a file, whatever came of them.
    pub attempts: u64,
    pub successes: u64,
    pub failures: BTreeMap<FailureKind, u64>,
    /// Bytes that became part of a file.
    pub bytes_kept: u64,
    /// Bytes that were received for nothing.
    pub bytes_wasted: u64,
}

/// The traffic with mirrors whose figures were dropped to make room. Without it the sum over all mirrors would become
/// less with each of them, and whoever draws that sum would take it for a new beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Forgotten {
    pub local: Traffic,
    pub public: Traffic,
}

impl Traffic {
    /// The traffic with one mirror.
    pub fn of(mirror: &Mirror) -> Self {
        Self {
            attempts: mirror.attempts,
            successes: mirror.successes,
            failures: mirror.failures.clone(),
            bytes_kept: mirror.bytes_kept,
            bytes_wasted: mirror.bytes_wasted,
        }
    }

    pub fn add(&mut self, other: &Self) {
        let add = |sum: &mut u64, more: u64| *sum = sum.saturating_add(more);
        add(&mut self.attempts, other.attempts);
        add(&mut self.successes, other.successes);
        add(&mut self.bytes_kept, other.bytes_kept);
        add(&mut self.bytes_wasted, other.bytes_wasted);
        for (kind, count) in &other.failures {
            add(self.failures.entry(*kind).or_default(), *count);
        }
    }

    pub fn failures_total(&self) -> u64 {
        self.failures.values().fold(0, |total, count| total.saturating_add(*count))
    }

    /// Requests that were ended from here.
    pub fn interrupted(&self) -> u64 {
        self.attempts.saturating_sub(self.successes).saturating_sub(self.failures_total())
    }

    /// All bytes that came.
    pub fn bytes_received(&self) -> u64 {
        self.bytes_kept.saturating_add(self.bytes_wasted)
    }
}

impl Forgotten {
    pub(super) fn add(&mut self, key: &MirrorKey, mirror: &Mirror) {
        let traffic = if key.is_local() { &mut self.local } else { &mut self.public };
        traffic.add(&Traffic::of(mirror));
    }
}
