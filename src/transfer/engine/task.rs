//! What a transfer is asked for, and how it ends.

use std::time::Duration;

use super::Tally;
use crate::http::Failure;
use crate::portage::Digests;
use crate::transfer::limiter::Limiter;
use crate::transfer::scheduler::{Expectation, SourceId};
use crate::transfer::sink::Finished;
use crate::transfer::trace::Trace;
use crate::transfer::worker::Place;

/// The file that is wanted.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Bytes; learned from the first answer when absent.
    pub size: Option<u64>,
    /// Not empty: without digests bytes of several sources are not mixed.
    pub digests: Digests,
    /// Keep what lies at the output's place and go on from there.
    pub resume: bool,
    /// Write down what happens.
    pub trace: bool,
    /// Tell the observer each step as it happens.
    pub aloud: bool,
}

/// A source and what is expected of it.
pub struct Source {
    pub place: Place,
    pub expectation: Expectation,
}

#[derive(Clone, Debug)]
pub struct Limits {
    pub parallel: usize,
    pub retries: u32,
    pub limiter: Limiter,
    /// For all of it.
    pub time: Option<Duration>,
    /// A file larger than this, in bytes, is not fetched.
    pub largest: Option<u64>,
    /// Slower than so many bytes per second for so long ends the transfer.
    pub speed: Option<(u64, Duration)>,
}

/// What goes on beside a transfer.
pub trait Surroundings {
    /// The number of a signal that asks for the end.
    fn signalled(&self) -> Option<i32>;
    /// For how long the host of a source wants to be left alone, as others have heard.
    fn rest(&self, _: SourceId) -> Option<Duration> {
        None
    }
    /// How many other transfers of this call share the link.
    fn beside(&self) -> usize {
        0
    }
    /// A source is asked: from now on it may have a connection.
    fn on_asked(&self, _: SourceId) {}
    /// A source sends what it was asked for.
    fn on_opened(&self, _: SourceId) {}
    /// A request to a source failed, and the link is not to blame.
    fn on_failure(&self, _: SourceId, _: &Failure) {}
}

/// What tells the file that bytes ahead are of.
pub fn identity(digests: &Digests) -> String {
    digests.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// How a transfer ended. The file lies at its place in every case, as far as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The digests match. `fetched` is false when everything was there already.
    Verified {
        size: u64,
        fetched: bool,
    },
    /// No source could send what is missing.
    NoSource,
    /// The file came whole, and is wrong; `agreed`: at least two sources sent the same bytes.
    Mismatch {
        agreed: bool,
    },
    TimeUp(Duration),
    TooSlow {
        speed: u64,
        time: Duration,
    },
    TooLarge {
        limit: u64,
    },
    /// Nothing came from anybody for so long.
    CutOff(Duration),
    Disk(String),
    Signal(i32),
}

#[derive(Debug)]
pub struct Ended {
    pub outcome: Outcome,
    /// One for each source.
    pub tallies: Vec<Tally>,
    pub elapsed: Duration,
    /// Bytes that were there at the beginning.
    pub resumed: u64,
    /// What happened, when that was to be written down.
    pub trace: Option<Trace>,
    /// What was verified.
    pub file: Option<Finished>,
}
