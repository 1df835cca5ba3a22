//! A URL under which a file lies that may be one of several: upstream's `latest.tar`, which was another version's file
//! when the Manifest was made. It is fetched once, and gets the name whose size and digests it has.

use std::fs;
use std::path::PathBuf;

use super::{Came, ItemEnd, Lane, Sink, is_there, part_of, put_in_place};
use crate::http::{Answer, Failure, Judged, Question};
use crate::portage::DistEntry;
use crate::transfer::engine;

/// A name that the file may get. Its lock is held.
struct Candidate<'a> {
    entry: &'a DistEntry,
    place: PathBuf,
    part: PathBuf,
    /// Bytes of it that an earlier run has left.
    prefix: u64,
    _lock: Box<dyn Send>,
}

impl<'a> Lane<'a> {
    /// What came of it, as an error when it was none of the files.
    pub(super) fn serve_any(&mut self) -> Result<Came, Came> {
        let candidates = self.candidates()?;
        let place = self.wanted.place(self.host).and_then(|place| place.url().cloned());
        let url = place.ok_or(Failure::Status { code: 404, retry_after: None })?;
        // What was begun is gone on with: upstream has hardly moved on since.
        if let Some(begun) = candidates.iter().filter(|one| one.prefix > 0).max_by_key(|one| one.prefix) {
            let (first, size) = (begun.prefix, Some(begun.entry.size));
            match self.open(&url, &Question { first, size, refuse_html: true, ..Question::default() }) {
                Ok((judged, answer)) => match self.take(answer, judged, begun, &candidates) {
                    Err(Came::Wrong) => {} // nobody knows who wrote the first part
                    came => return came,
                },
                // It is another file by now, of which nothing is there.
                Err(
                    Failure::RangeNotSatisfiable { .. } | Failure::RangeMismatch | Failure::WrongSize { .. },
                ) => {}
                Err(failure) => return Err(failure.into()),
            }
        }
        let question = Question { refuse_html: true, ..Question::default() };
        let (judged, answer) = self.open(&url, &question)?;
        let fitting = match judged.complete_length {
            Some(size) => candidates.iter().find(|candidate| candidate.entry.size == size),
            None => candidates.iter().max_by_key(|candidate| candidate.entry.size),
        };
        let Some(fitting) = fitting else {
            let (expected, got) = (candidates[0].entry.size, judged.complete_length.unwrap_or_default());
            return Err(Failure::WrongSize { expected, got }.into());
        };
        self.take(answer, judged, fitting, &candidates)
    }

    /// The names that are wanted and that nobody is at.
    fn candidates(&self) -> Result<Vec<Candidate<'a>>, Came> {
        let (batch, wanted) = (self.shared.batch, self.wanted);
        let mut candidates = Vec::new();
        let mut is_locked = false;
        for entry in &wanted.others {
            let lock = (batch.lock)(&entry.name).map_err(|error| Came::Ended(ItemEnd::Disk(error)))?;
            let Some(lock) = lock else {
                is_locked = true;
                continue;
            };
            let place = batch.folder.join(&entry.name);
            if is_there(&place, entry.size) {
                continue;
            }
            let part = part_of(&place);
            let prefix = fs::metadata(&part).map_or(0, |part| part.len());
            let prefix = if prefix < entry.size { prefix } else { 0 };
            candidates.push(Candidate { entry, place, part, prefix, _lock: lock });
        }
        if candidates.is_empty() {
            return Err(Came::Ended(if is_locked { ItemEnd::Locked } else { ItemEnd::Present }));
        }
        Ok(candidates)
    }

    /// Reads the content into the file of the candidate that it fits by its size, and gives it the name of the one
    /// whose digests it has.
    fn take(
        &mut self,
        mut answer: Answer,
        judged: Judged,
        fitting: &Candidate<'a>,
        candidates: &[Candidate<'a>],
    ) -> Result<Came, Came> {
        let identity = engine::identity(&fitting.entry.digests);
        let size = fitting.entry.size;
        let Some(hold) = self.hold(&fitting.part) else { return Ok(Came::Ended(ItemEnd::Locked)) };
        let mut sink = Sink::open(hold, true, &identity, Some(size))?;
        if judged.first_pos == 0 {
            sink.clear()?;
        }
        if sink.prefix() < judged.first_pos {
            return Err(Failure::RangeMismatch.into()); // somebody has cut it meanwhile
        }
        self.shared.lock().queue.on_begun(self.item, sink.prefix());
        // Without a length the end of the content tells the size.
        self.read(&mut answer, judged.first_pos, &mut sink, size)?;
        let came = sink.prefix();
        if judged.complete_length.is_some_and(|length| came < length) {
            return Err(Failure::Truncated.into());
        }
        if let Some(failure) = answer.content.was_cut().filter(|_| judged.complete_length.is_none()) {
            return Err(failure.into());
        }
        answer.content.drain();
        for candidate in candidates.iter().filter(|candidate| candidate.entry.size == came) {
            if self.is_right(&sink, came, &candidate.entry.digests)? {
                put_in_place(&sink.file(), &fitting.part, &candidate.place)?;
                let name = candidate.entry.name.clone();
                self.shared.lock().came_as.insert(self.item, name);
                return Ok(Came::Whole);
            }
        }
        sink.clear()?;
        let _ = fs::remove_file(&fitting.part); // what cannot be removed is empty
        Err(Came::Wrong)
    }
}
