//! Whether there is room. A size that nobody has given may be wrong, as the first answer says it.

use super::{Outcome, Transfer};
use crate::files;
use crate::transfer::blame::Origin;
use crate::transfer::scheduler::Scheduler;
use crate::transfer::sink::{Sink, SinkError};

impl Transfer<'_> {
    /// An error when the disk has no room for the file. Where it has none for what arrives ahead of its turn, or no way to
    /// keep that, one source is asked after another.
    pub(super) fn find_room(&mut self, sink: &Sink) -> Result<(), SinkError> {
        if let Some(size) = self.wanted.size {
            sink.check_room(size)?;
        }
        let could_race = self.workers.len() > 1 && self.limits.parallel > 1;
        let is_whole = self.wanted.size == Some(sink.prefix());
        if could_race && !is_whole && !sink.may_be_ahead(self.wanted.size) {
            self.in_order = true;
            let path = sink.path().display();
            self.observer
                .note(&format!("{path}: no room for what arrives ahead of its turn: one mirror at a time"));
        }
        Ok(())
    }

    /// Whether the disk has no room for what is missing of a file of that size.
    pub(super) fn lacks_room(&mut self, sink: &Sink, size: u64) -> bool {
        let room = match self.room {
            Some((asked_for, room)) if asked_for == size => room,
            // What cannot be found out is left to the disk.
            _ => files::room(files::folder_of(sink.path())).unwrap_or(u64::MAX),
        };
        self.room = Some((size, room));
        size.saturating_sub(sink.present().len()) > room
    }

    /// A size that only some sources name is refuted, or the disk has no room for it: goes on without those
    /// sources. Returns an outcome when nobody else is left.
    pub(super) fn doubt(
        &mut self,
        size: u64,
        scheduler: &Scheduler,
        sink: &mut Sink,
    ) -> Result<Option<Outcome>, SinkError> {
        let said = scheduler.who_says(size);
        if said.is_empty() {
            return Ok(Some(Outcome::NoSource));
        }
        for id in said {
            self.doubted.insert(id);
            if let Some(share) = self.shares.get(&Origin::Source(id)).cloned() {
                self.give_up(sink, &share)?;
            }
        }
        if self.doubted.len() < self.workers.len() {
            return Ok(None);
        }
        let (_, room) = self.room.unwrap_or_default();
        let path = sink.path().display();
        Ok(Some(Outcome::Disk(format!("{path}: is said to have {size} bytes, and there is room for {room}"))))
    }
}
