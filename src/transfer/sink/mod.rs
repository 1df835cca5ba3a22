//! The file on disk, and beside it what arrived ahead of its turn.
//!
//! FILE is a correct prefix of the distfile at every instant, so that any tool can resume it. What arrives ahead
//! lies at its own offset in `DISTDIR/.racefetch/NAME.ahead`, a sparse file, with a journal of what is there;
//! when the prefix reaches it, it is moved over.

mod ahead;
mod hold;
mod holder;
mod names;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::segments::Segments;
use crate::files;
use crate::http::ByteRange;
use ahead::Ahead;
pub use hold::{Hold, Other};
pub use names::OWN_FOLDER;

/// How much is moved at once, in bytes.
const MOVE: usize = 512 * 1024;

#[derive(Debug, thiserror::Error)]
#[error("{}: {}", .path.display(), .reason)]
pub struct SinkError {
    pub path: PathBuf,
    pub reason: String,
}

impl SinkError {
    pub fn new(path: &Path, error: &io::Error) -> Self {
        Self { path: path.to_owned(), reason: crate::http::failure::plain(error) }
    }
}

#[derive(Debug)]
pub struct Sink {
    path: PathBuf,
    file: Arc<File>,
    /// Length of FILE.
    prefix: u64,
    ahead: Option<Ahead>,
    /// What the side file is for: its journal is only taken over for the same file.
    identity: String,
    /// Of the whole file, in bytes.
    size: Option<u64>,
    /// FILE still has what lay there before, of which nothing is wanted.
    stale: bool,
    /// FILE was not there before.
    is_new: bool,
    hold: Hold,
}

/// A file that is as it shall be, still open, and nobody else's as long as this is there.
#[derive(Debug)]
pub struct Finished {
    pub file: Arc<File>,
    hold: Hold,
}

impl Finished {
    /// An error when it is another process's by now.
    pub fn check(&self) -> Result<(), SinkError> {
        self.hold.check()
    }
}

impl Sink {
    /// Opens FILE, which is this process's, keeping what is there (`resume`), or emptying it when the first byte comes. What an earlier call left
    /// ahead of it is taken over when it was for the same `identity`, up to `size` if that is known.
    pub fn open(hold: Hold, resume: bool, identity: &str, size: Option<u64>) -> Result<Self, SinkError> {
        let path = &hold.path().to_owned();
        let failed = |e: io::Error| SinkError::new(path, &e);
        hold.check()?;
        let is_new = hold.has_made_file() || fs::symlink_metadata(path).is_err();
        let file = files::open_to_verify(path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        let prefix = if resume { length } else { 0 };
        let mut ahead = Ahead::take_over(path, identity);
        if let Some(ahead) = &mut ahead {
            let beyond = ByteRange { first: size.unwrap_or(u64::MAX), end: u64::MAX };
            ahead.forget(ByteRange::new(0, prefix)).and_then(|()| ahead.forget(beyond)).map_err(failed)?;
        }
        let mut sink = Self {
            path: path.to_owned(),
            file: Arc::new(file),
            prefix,
            ahead,
            identity: identity.to_owned(),
            size,
            stale: length > prefix,
            is_new,
            hold,
        };
        while sink.advance()? {}
        Ok(sink)
    }

    /// The file, for the hashers.
    pub fn file(&self) -> Arc<File> {
        self.file.clone()
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Length of the correct prefix.
    pub fn prefix(&self) -> u64 {
        self.prefix
    }

    /// Everything that need not be fetched.
    pub fn present(&self) -> Segments {
        let mut present = self.ahead.as_ref().map(|a| a.held().clone()).unwrap_or_default();
        present.insert(ByteRange::new(0, self.prefix));
        present
    }

    /// Stores bytes that begin at `first`: at the end of FILE, or ahead of it. Then [`Self::advance`] is due.
    pub fn write(&mut self, first: u64, bytes: &[u8]) -> Result<(), SinkError> {
        self.hold.check()?;
        if first == self.prefix {
            self.freshen()?;
            self.file.write_all_at(bytes, first).map_err(|e| self.failed(&e))?;
            self.prefix += bytes.len() as u64;
            return Ok(());
        }
        self.put_aside(first, bytes).map_err(|e| self.failed(&e))
    }

    fn put_aside(&mut self, first: u64, bytes: &[u8]) -> io::Result<()> {
        let ahead = match &mut self.ahead {
            Some(ahead) => ahead,
            None => self.ahead.insert(Ahead::create(&self.path, &self.identity)?),
        };
        ahead.write(first, bytes)
    }

    /// Names FILE, whichever file it was, and the room when there is not enough.
    fn failed(&self, error: &io::Error) -> SinkError {
        let is_full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        let failed = SinkError::new(&self.path, error);
        match self.size.filter(|_| is_full) {
            Some(size) => SinkError { reason: format!("{}: {}", failed.reason, self.room(size)), ..failed },
            None => failed,
        }
    }

    /// What is needed for a file of that size and what there is, for people.
    fn room(&self, size: u64) -> String {
        let free = self.free().map_or("an unknown number".to_owned(), |free| free.to_string());
        format!("{} more bytes are needed, and {free} are free", self.missing(size))
    }

    /// Bytes that are still to come of a file of that size.
    fn missing(&self, size: u64) -> u64 {
        size.saturating_sub(self.present().len())
    }

    /// Bytes that can be written before the disk is full; what lies there and is not wanted gives way. None when that is
    /// not known.
    fn free(&self) -> Option<u64> {
        let stale = self.file.metadata().map_or(0, |file| if self.stale { file.blocks() * 512 } else { 0 });
        Some(files::room(files::folder_of(&self.path))?.saturating_add(stale))
    }

    /// An error when there is no room for a file of that size.
    pub fn check_room(&self, size: u64) -> Result<(), SinkError> {
        if self.free().is_none_or(|free| free >= self.missing(size)) {
            return Ok(());
        }
        Err(SinkError { path: self.path.clone(), reason: format!("no space left: {}", self.room(size)) })
    }

    /// Whether there can be a side file, and room for it. Where a file system cannot give back what was moved over, it
    /// grows to the size of the file.
    pub fn may_be_ahead(&self, size: Option<u64>) -> bool {
        let can_punch = match self.hold.beside() {
            Some(beside) => files::can_punch(beside),
            None => match Ahead::unnamed(&self.path) {
                Ok(unnamed) => unnamed.can_punch(),
                Err(_) => return false,
            },
        };
        let has_room = |size| self.free().is_none_or(|free| free / 2 > self.missing(size));
        can_punch || size.is_some_and(has_room)
    }

    /// Removes what lay there before.
    fn freshen(&mut self) -> Result<(), SinkError> {
        if std::mem::take(&mut self.stale) {
            empty(&self.file).map_err(|e| SinkError::new(&self.path, &e))?;
        }
        Ok(())
    }

    /// Reads what is present at `first`: from FILE, or from the side file.
    pub fn read(&self, first: u64, buffer: &mut [u8]) -> Result<(), SinkError> {
        match &self.ahead {
            Some(ahead) if first >= self.prefix => ahead.read(first, buffer),
            _ => self.file.read_exact_at(buffer, first),
        }
        .map_err(|e| SinkError::new(&self.path, &e))
    }

    /// Gives up `wrong` ranges. What lies behind the first of them and is not wrong is put aside, ahead of the
    /// prefix that remains, as far as there is room for it.
    pub fn retract(&mut self, wrong: &Segments) -> Result<(), SinkError> {
        self.hold.check()?;
        if let Some(ahead) = &mut self.ahead {
            for range in wrong.iter() {
                ahead.forget(range).map_err(|e| SinkError::new(&self.path, &e))?;
            }
        }
        let Some(first) = wrong.first().map(|r| r.first).filter(|first| *first < self.prefix) else {
            return Ok(());
        };
        let good = wrong.gaps(ByteRange::new(first, self.prefix));
        let old_prefix = std::mem::replace(&mut self.prefix, first);
        let mut buffer = vec![0; MOVE];
        'aside: for range in good.iter() {
            let mut at = range.first;
            while at < range.end {
                let piece = piece(&mut buffer, range.end - at);
                self.file.read_exact_at(piece, at).map_err(|e| SinkError::new(&self.path, &e))?;
                if self.put_aside(at, piece).is_err() {
                    break 'aside; // it is fetched again
                }
                at += piece.len() as u64;
            }
        }
        debug_assert!(first <= old_prefix);
        self.file.set_len(first).map_err(|e| SinkError::new(&self.path, &e))
    }

    /// Gives up everything.
    pub fn clear(&mut self) -> Result<(), SinkError> {
        self.retract(&Segments::of(ByteRange::new(0, u64::MAX)))
    }

    /// The file is as it shall be: the side file is of no use any longer.
    ///
    /// An error when FILE is not at its place any longer: somebody has removed or replaced it.
    pub fn finish(mut self) -> Result<Finished, SinkError> {
        self.hold.check()?;
        self.freshen()?;
        self.is_new = false;
        if let Some(ahead) = self.ahead.take() {
            ahead.remove();
        }
        let ours = self.file.metadata().map_err(|e| SinkError::new(&self.path, &e))?;
        let there = fs::metadata(&self.path).map_err(|e| SinkError::new(&self.path, &e))?;
        if (there.dev(), there.ino()) != (ours.dev(), ours.ino()) {
            let reason = "was replaced by another file meanwhile".to_owned();
            return Err(SinkError { path: self.path.clone(), reason });
        }
        Ok(Finished { file: self.file.clone(), hold: self.hold.clone() })
    }

    /// Moves over a piece of what the prefix has reached; false when there is nothing. The hashers can be at work on
    /// one piece while the next one is moved.
    pub fn advance(&mut self) -> Result<bool, SinkError> {
        let held = self.ahead.as_ref().and_then(|ahead| ahead.held().range_at(self.prefix));
        let Some(range) = held else { return Ok(false) };
        self.hold.check()?;
        self.freshen()?;
        let Some(ahead) = &mut self.ahead else { return Ok(false) };
        let mut buffer = vec![0; MOVE];
        let from = self.prefix;
        let piece = piece(&mut buffer, range.end - from);
        let end = from + piece.len() as u64;
        let moved = ahead.read(from, piece).and_then(|()| self.file.write_all_at(piece, from));
        if let Err(error) = moved.and_then(|()| ahead.forget(ByteRange::new(from, end))) {
            return Err(self.failed(&error));
        }
        self.prefix = end;
        Ok(true)
    }
}

impl Drop for Sink {
    /// A side file with nothing in it is not worth keeping, nor is an empty FILE that was made for nothing. Whoever
    /// waits for its lock sees that it has gone.
    fn drop(&mut self) {
        if self.hold.check().is_err() {
            return; // what lies there is another process's
        }
        let is_empty = || self.file.metadata().is_ok_and(|file| file.len() == 0);
        if self.is_new && self.prefix == 0 && is_empty() && is_at(&self.file, &self.path).unwrap_or(false) {
            let _ = fs::remove_file(&self.path); // it stays where it cannot be removed
        }
        if let Some(ahead) = self.ahead.take_if(|ahead| ahead.held().is_empty()) {
            ahead.remove();
        }
    }
}

/// What was taken out of FILE and may come back: bytes of one source, each at its own offset, in a file without a name
/// that ends with this process.
#[derive(Debug, Default)]
pub struct Shelf(Option<Ahead>);

impl Shelf {
    /// Takes a copy of ranges that are present. Without room for it there is none.
    pub fn put(&mut self, sink: &Sink, ranges: &Segments) {
        let mut buffer = vec![0; MOVE];
        for range in ranges.iter() {
            let mut at = range.first;
            while at < range.end {
                let piece = piece(&mut buffer, range.end - at);
                let shelf = match &mut self.0 {
                    Some(shelf) => Ok(shelf),
                    none => Ahead::unnamed(&sink.path).map(|shelf| none.insert(shelf)),
                };
                let is_put =
                    sink.read(at, piece).is_ok() && shelf.is_ok_and(|shelf| shelf.write(at, piece).is_ok());
                if !is_put {
                    return;
                }
                at += piece.len() as u64;
            }
        }
    }

    /// Puts back what is missing in the sink, and says what that was.
    pub fn put_back(&mut self, sink: &mut Sink) -> Result<Segments, SinkError> {
        let mut returned = Segments::new();
        let Some(shelf) = &mut self.0 else { return Ok(returned) };
        let present = sink.present();
        let missing = shelf.held().iter().flat_map(|held| present.gaps(held).iter().collect::<Vec<_>>());
        let mut buffer = vec![0; MOVE];
        for range in missing.collect::<Vec<_>>() {
            let mut at = range.first;
            while at < range.end {
                let piece = piece(&mut buffer, range.end - at);
                if shelf.read(at, piece).is_err() {
                    break; // it is fetched again
                }
                sink.write(at, piece)?;
                returned.insert(ByteRange::new(at, at + piece.len() as u64));
                at += piece.len() as u64;
            }
        }
        for range in returned.iter() {
            shelf.forget(range).map_err(|e| SinkError::new(&sink.path, &e))?;
        }
        while sink.advance()? {}
        Ok(returned)
    }
}

fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    match fs::metadata(path) {
        Ok(found) => Ok((found.dev(), found.ino()) == (ours.dev(), ours.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn empty(file: &File) -> io::Result<()> {
    let metadata = file.metadata()?;
    if metadata.is_file() && metadata.size() > 0 { file.set_len(0) } else { Ok(()) }
}

fn piece(buffer: &mut [u8], left: u64) -> &mut [u8] {
    let len = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
    &mut buffer[..len]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a journal claims beyond the file's size is not the file's.
    #[test]
    fn nothing_is_taken_over_beyond_the_size() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.__download__");
        let open = |size| Sink::open(Hold::try_take(&path).unwrap(), true, "x", size).unwrap();
        let mut sink = open(None);
        sink.write(10, b"0123456789").unwrap();
        drop(sink);
        let sink = open(Some(15));
        assert_eq!(sink.present(), Segments::of(ByteRange::new(10, 15)));
        drop(sink);
        drop(open(Some(10)));
        assert!(!folder.path().join(".racefetch").exists(), "a side file with nothing in it");
    }
}
