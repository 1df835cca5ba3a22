//! What is told of a transfer while it goes on.

use std::time::{Duration, Instant};

use super::scheduler::SourceId;

/// Told while a transfer goes on.
pub trait Observer {
    fn progress(&mut self, now: Instant, snapshot: &Snapshot);
    /// Something that the user should know, though it does not end the transfer.
    fn note(&mut self, line: &str);
}

#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub have: u64,
    pub resumed: u64,
    pub size: Option<u64>,
    pub elapsed: Duration,
    pub stage: Stage,
    /// Sources at work, with their rates in bytes per second.
    pub rates: Vec<(SourceId, f64)>,
    /// When there are many files.
    pub files: Option<Files>,
}

/// How many files are done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    pub done: usize,
    pub all: usize,
    /// Those that are being fetched: the name, the bytes that are there, and the size; the one that takes longest first.
    pub current: Vec<(String, u64, u64)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    #[default]
    Connecting,
    Receiving,
    Verifying,
    Repairing,
}
