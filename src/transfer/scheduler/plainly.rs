//! In which manner a source is asked, and the last hope: no source is lost by the way it was asked.

use super::source::{Source, State};
use super::{Scheduler, SourceId, Time};
use crate::http::{ByteRange, Failure};

/// How a source is asked for a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// For that range and nothing else.
    Ranged,
    /// The same; when the server ignores ranges, what comes before is read over.
    Skipping,
    /// For the whole file, without a word about ranges; what comes before is read over. Whatever the answer says of its
    /// type and length, the digests decide.
    Plain,
}

impl Scheduler {
    /// The last hope of a transfer: those whose answers were odd, or may have been about the way in which they were
    /// asked, are asked once more in the plainest way; of those that say the same, the best one. Whether there are any.
    pub fn ask_plainly(&mut self) -> bool {
        if self.asked_plainly {
            return false;
        }
        self.asked_plainly = true;
        let mut seen: Vec<Failure> = Vec::new();
        for source in &mut self.sources {
            let Some(failure) = source.failure.clone().filter(|failure| source.may_be_asked_plainly(failure))
            else {
                continue;
            };
            // That one refuses says little of the next one; but who lacks the file says so again.
            let is_refusal = matches!(failure, Failure::Status { .. }) && !failure.is_not_found();
            if is_refusal || !seen.contains(&failure) {
                source.ask_plainly();
                seen.push(failure);
            }
        }
        !seen.is_empty()
    }

    /// Nobody is left, and some only said that they cannot for the moment (500, 503): they are asked again after a
    /// second, and once more after two. Not when somebody said that the file is not there: that is an answer. Of several
    /// that want fewer requests (429) none gets more. Whether there are any.
    pub fn ask_the_busy_again(&mut self, now: Time) -> bool {
        let is_answered = self.sources.iter().any(Source::lacks_it);
        let mut any = false;
        let is_alone = self.sources.len() == 1;
        let wants_fewer = |source: &Source| {
            !is_alone && source.failure.as_ref().is_some_and(|failure| failure.rest().is_some())
        };
        for source in self.sources.iter_mut().filter(|source| !is_answered && !wants_fewer(source)) {
            any |= source.rest_if_busy(now);
        }
        any
    }

    /// A source is not asked again.
    pub fn exclude(&mut self, id: SourceId) {
        self.sources[id].exclude();
    }

    /// Whether a source can be asked for the whole file. One that refuses ranges is asked in the plainest way from now on.
    pub fn ask_alone(&mut self, id: SourceId) -> bool {
        let source = &mut self.sources[id];
        let is_refusal = |failure: &Failure| {
            failure.refuses_ranges() && !failure.is_not_found() && failure.passing().is_none()
        };
        if !matches!(source.state, State::Out) {
            return source.is_alive();
        }
        let may_be_asked = !source.plain && source.ranged && source.failure.as_ref().is_some_and(is_refusal);
        if may_be_asked {
            source.ask_plainly();
        }
        may_be_asked
    }

    /// Whether a source is asked in the plainest way.
    pub fn is_plain(&self, id: SourceId) -> bool {
        self.sources[id].plain
    }

    /// Whether a source sends ranges, as far as is known.
    pub fn sends_ranges(&self, id: SourceId) -> bool {
        !self.sources[id].sequential
    }

    /// How a source is to be asked for a range.
    pub(super) fn manner(&mut self, id: SourceId, range: ByteRange) -> Manner {
        let is_whole = range.end == u64::MAX || self.size_given && Some(range.end) == self.size;
        let source: &mut Source = &mut self.sources[id];
        let manner = match (source.plain, source.sequential && range.first > 0) {
            (true, _) => Manner::Plain,
            (false, true) => Manner::Skipping,
            (false, false) => Manner::Ranged,
        };
        source.ranged = manner != Manner::Plain && !(range.first == 0 && is_whole);
        manner
    }
}
