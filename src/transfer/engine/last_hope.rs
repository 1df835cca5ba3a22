//! Before a transfer fails, those whose answers were odd are asked once more in the plainest way, and the digests decide.

use super::{Transfer, now};
use crate::http::Failure;
use crate::transfer::blame::Origin;
use crate::transfer::scheduler::{Scheduler, SourceId};
use crate::transfer::sink::{Sink, SinkError};

impl Transfer<'_> {
    pub(super) fn ask_the_busy_again(&self, scheduler: &mut Scheduler) -> bool {
        scheduler.ask_the_busy_again(self.clock.look(now()))
    }

    /// Whether these bytes are of a source that was asked plainly because its answers were odd.
    fn is_hope(&self, scheduler: &Scheduler, origin: Origin) -> bool {
        let is_odd = |id: SourceId| {
            scheduler.is_plain(id) && self.tallies[id].failures.last().is_some_and(Failure::is_odd)
        };
        origin.source().is_some_and(is_odd)
    }

    pub(super) fn only_hopes_sent(&self, scheduler: &Scheduler) -> bool {
        let mut senders = self.shares.iter().filter(|(_, share)| !share.is_empty());
        senders.all(|(origin, _)| self.is_hope(scheduler, *origin))
    }

    /// What came from sources with odd answers is not the file after all: it is given up, and they are not asked again.
    /// False when there is nothing of them.
    pub(super) fn lose_hope(
        &mut self,
        scheduler: &mut Scheduler,
        sink: &mut Sink,
    ) -> Result<bool, SinkError> {
        let lost: Vec<Origin> =
            self.shares.keys().filter(|origin| self.is_hope(scheduler, **origin)).copied().collect();
        for origin in &lost {
            let share = self.shares[origin].clone();
            self.give_up(sink, &share)?;
            self.shares.remove(origin);
            origin.source().into_iter().for_each(|id| scheduler.exclude(id));
        }
        Ok(!lost.is_empty())
    }

    /// Whether the earlier failure of a plainly asked source is the one to report, and not its last one.
    pub(super) fn has_reason(&self, scheduler: &Scheduler, source: SourceId) -> bool {
        scheduler.is_plain(source) && !self.tallies[source].failures.is_empty()
    }

    /// The file is right, so the earlier failures of the sources that were asked plainly were about the way
    /// of asking.
    pub(super) fn excuse_odd_answers(&mut self, scheduler: &Scheduler) {
        for (id, tally) in self.tallies.iter_mut().enumerate() {
            if scheduler.is_plain(id) && tally.kept > 0 && !tally.corrupt {
                tally.excuse_odd_answers();
            }
        }
    }
}
