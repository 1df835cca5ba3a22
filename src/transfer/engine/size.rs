//! A size that nobody has given: what the first answer says may be wrong.

use std::path::Path;

use super::{Outcome, Transfer};
use crate::transfer::blame::Origin;
use crate::transfer::scheduler::Scheduler;
use crate::transfer::sink::{Sink, SinkError};

impl Transfer<'_> {
    /// Whether the disk has no room for what is missing of a file of that size.
    pub(super) fn lacks_room(&mut self, sink: &Sink, size: u64) -> bool {
        let folder = sink.path().parent().filter(|folder| !folder.as_os_str().is_empty());
        let room = match self.room {
            Some((asked_for, room)) if asked_for == size => room,
            // What cannot be found out is left to the disk.
            _ => fs2::available_space(folder.unwrap_or(Path::new("."))).unwrap_or(u64::MAX),
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
