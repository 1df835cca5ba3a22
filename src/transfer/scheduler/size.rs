//! The size of a file when nobody has given it: the first that a source names, until more of them name another one.

use super::source::State;
use super::{Scheduler, SourceId};
use crate::http::ByteRange;

impl Scheduler {
    /// The size that a source says the file has.
    pub fn said_size(&self, id: SourceId) -> Option<u64> {
        self.sources[id].said_size
    }

    /// The sources that say that the file has this size.
    pub fn who_says(&self, size: u64) -> Vec<SourceId> {
        (0..self.sources.len()).filter(|id| self.sources[*id].said_size == Some(size)).collect()
    }

    /// The size that was learned, when more sources have named another one since.
    pub fn refuted_size(&self) -> Option<u64> {
        let size = self.size.filter(|_| !self.size_given)?;
        let ours = self.who_says(size).len();
        let others = self.sources.iter().filter_map(|source| source.said_size).filter(|said| *said != size);
        others.into_iter().any(|other| self.who_says(other).len() > ours).then_some(size)
    }

    pub(super) fn learn_size(&mut self, total: u64) {
        if self.size.is_some() {
            return;
        }
        self.size = Some(total);
        self.todo.remove(ByteRange { first: total, end: u64::MAX });
        for source in &mut self.sources {
            match &mut source.state {
                State::Opening { claim, .. } => {
                    *claim = claim.and_then(|c| c.intersection(ByteRange::new(0, total)));
                }
                State::Receiving { claim, .. } => claim.end = claim.end.min(total).max(claim.first),
                State::Idle | State::Resting { .. } | State::Out => {}
            }
        }
    }
}
