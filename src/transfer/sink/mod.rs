//! The file on disk, and beside it what arrived ahead of its turn.
//!
//! FILE is a correct prefix of the distfile at every instant, so that any tool can resume it. What arrives ahead
//! lies at its own offset in `DISTDIR/.racefetch/NAME.ahead`, a sparse file, with a journal of what is there;
//! when the prefix reaches it, it is moved over.

mod ahead;

use std::fs::{self, File};
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{Mode, OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::segments::Segments;
use crate::http::ByteRange;
use crate::patience::{OUTPUT_LOCK, PIPE_READER, PULSE};
use ahead::Ahead;

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
    /// FILE still has what lay there before, of which nothing is wanted.
    stale: bool,
    /// FILE was not there before.
    is_new: bool,
}

impl Sink {
    /// Opens FILE, keeping what is there (`resume`), or emptying it when the first byte comes. What an earlier call left ahead of it is taken
    /// over when it was for the same `identity`, up to `size` if that is known.
    ///
    /// Another process that is at FILE is waited for, and `wait` is how: for the time given, or until it says with
    /// `Break` that there is no waiting any longer.
    pub fn open<B>(
        path: &Path,
        resume: bool,
        identity: &str,
        size: Option<u64>,
        wait: impl FnMut(Duration) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B, Self>, SinkError> {
        let failed = |e: io::Error| SinkError::new(path, &e);
        let is_new = fs::symlink_metadata(path).is_err();
        let file = match open_locked(path, wait).map_err(failed)? {
            ControlFlow::Continue(file) => file,
            ControlFlow::Break(reason) => return Ok(ControlFlow::Break(reason)),
        };
        let length = file.metadata().map_err(failed)?.len();
        let prefix = if resume { length } else { 0 };
        let mut ahead = Ahead::take_over(path, identity);
        if let Some(ahead) = &mut ahead {
            ahead.forget(ByteRange::new(0, prefix))?;
            ahead.forget(ByteRange { first: size.unwrap_or(u64::MAX), end: u64::MAX })?;
        }
        let mut sink = Self {
            path: path.to_owned(),
            file: Arc::new(file),
            prefix,
            ahead,
            identity: identity.to_owned(),
            stale: length > prefix,
            is_new,
        };
        while sink.advance()? {}
        Ok(ControlFlow::Continue(sink))
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
        if first == self.prefix {
            self.freshen()?;
            self.file.write_all_at(bytes, first).map_err(|e| SinkError::new(&self.path, &e))?;
            self.prefix += bytes.len() as u64;
            return Ok(());
        }
        let ahead = match &mut self.ahead {
            Some(ahead) => ahead,
            None => self.ahead.insert(Ahead::create(&self.path, &self.identity)?),
        };
        ahead.write(first, bytes)
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
            _ => self.file.read_exact_at(buffer, first).map_err(|e| SinkError::new(&self.path, &e)),
        }
    }

    /// Gives up `wrong` ranges. What lies behind the first of them and is not wrong is put aside, ahead of the
    /// prefix that remains.
    pub fn retract(&mut self, wrong: &Segments) -> Result<(), SinkError> {
        if let Some(ahead) = &mut self.ahead {
            for range in wrong.iter() {
                ahead.forget(range)?;
            }
        }
        let Some(first) = wrong.first().map(|r| r.first).filter(|first| *first < self.prefix) else {
            return Ok(());
        };
        let good = wrong.gaps(ByteRange::new(first, self.prefix));
        let old_prefix = std::mem::replace(&mut self.prefix, first);
        let mut buffer = vec![0; MOVE];
        for range in good.iter() {
            let mut at = range.first;
            while at < range.end {
                let piece = piece(&mut buffer, range.end - at);
                self.file.read_exact_at(piece, at).map_err(|e| SinkError::new(&self.path, &e))?;
                let ahead = match &mut self.ahead {
                    Some(ahead) => ahead,
                    None => self.ahead.insert(Ahead::create(&self.path, &self.identity)?),
                };
                ahead.write(at, piece)?;
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
    pub fn finish(mut self) -> Result<(), SinkError> {
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
        Ok(())
    }

    /// Moves over a piece of what the prefix has reached; false when there is nothing. The hashers can be at work on
    /// one piece while the next one is moved.
    pub fn advance(&mut self) -> Result<bool, SinkError> {
        let held = self.ahead.as_ref().and_then(|ahead| ahead.held().range_at(self.prefix));
        let Some(range) = held else { return Ok(false) };
        self.freshen()?;
        let Some(ahead) = &mut self.ahead else { return Ok(false) };
        let mut buffer = vec![0; MOVE];
        let from = self.prefix;
        let piece = piece(&mut buffer, range.end - from);
        ahead.read(from, piece)?;
        self.file.write_all_at(piece, from).map_err(|e| SinkError::new(&self.path, &e))?;
        self.prefix += piece.len() as u64;
        ahead.forget(ByteRange::new(from, self.prefix))?;
        Ok(true)
    }
}

impl Drop for Sink {
    /// A side file with nothing in it is not worth keeping, nor is an empty FILE that was made for nothing. Whoever
    /// waits for its lock sees that it has gone.
    fn drop(&mut self) {
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
                let put = shelf.and_then(|shelf| {
                    sink.read(at, piece)?;
                    shelf.write(at, piece)
                });
                if put.is_err() {
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
            shelf.forget(range)?;
        }
        while sink.advance()? {}
        Ok(returned)
    }
}

/// Opens FILE when no other process is at it. Once that one has ended, FILE may be gone, or another one.
fn open_locked<B>(
    path: &Path,
    mut wait: impl FnMut(Duration) -> ControlFlow<B>,
) -> io::Result<ControlFlow<B, File>> {
    let mut file = open_regular(path)?;
    let (mut waited, mut length) = (Duration::ZERO, 0);
    loop {
        match fs2::FileExt::try_lock_exclusive(&file) {
            Ok(()) if is_at(&file, path)? => return Ok(ControlFlow::Continue(file)),
            Ok(()) => {
                file = open_regular(path)?;
                continue;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        let now = file.metadata()?.len();
        if now != length {
            (waited, length) = (Duration::ZERO, now);
        }
        if waited >= OUTPUT_LOCK {
            let text = "another process has locked it and does not go on: end that one (see fuser)";
            return Err(io::Error::other(text));
        }
        if let ControlFlow::Break(reason) = wait(PULSE) {
            return Ok(ControlFlow::Break(reason));
        }
        waited += PULSE;
    }
}

/// Opens a file that is to be verified: it is read again, and cut.
fn open_regular(path: &Path) -> io::Result<File> {
    let file = open(path, OFlags::RDWR)?;
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(io::Error::other("is not a regular file, and what is verified is kept in one"))
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

/// Opens an output file for writing. A pipe is an output once it has a reader.
#[expect(clippy::disallowed_methods, reason = "a pipe tells nobody that its reader has come")]
pub fn open_output(path: &Path, resume: bool) -> Result<File, SinkError> {
    let failed = |e: io::Error| SinkError::new(path, &e);
    let mut waited = Duration::ZERO;
    let file = loop {
        match open(path, OFlags::WRONLY) {
            Err(error) if is_errno(&error, Errno::NXIO) && waited < PIPE_READER => {
                std::thread::sleep(PULSE);
                waited += PULSE;
            }
            opened => break opened.map_err(failed)?,
        }
    };
    let blocking = || fcntl_setfl(&file, fcntl_getfl(&file)? - OFlags::NONBLOCK);
    blocking().map_err(|errno| failed(errno.into()))?;
    if !resume {
        empty(&file).map_err(failed)?;
    }
    Ok(file)
}

/// Opens an output, or makes it, without waiting and without a change to what is there.
///
/// Whoever can write to a folder can put a link there that leads to a file of root's. So root writes neither through
/// a symbolic link, unless what it leads to is no regular file (`/dev/stdout`), nor to a file that has a second name.
/// It is refused rather than removed: a link may be there on purpose, and curl would have written through it.
fn open(path: &Path, access: OFlags) -> io::Result<File> {
    let flags = access | OFlags::CREATE | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    if !geteuid().is_root() {
        return Ok(rustix::fs::open(path, flags, CREATED)?.into());
    }
    let file: File = match rustix::fs::open(path, flags | OFlags::NOFOLLOW, CREATED) {
        Err(Errno::LOOP) => match rustix::fs::open(path, flags - OFlags::CREATE, CREATED).map(File::from) {
            Ok(file) if !file.metadata()?.is_file() => file,
            Ok(_) | Err(Errno::NOENT) => {
                return Err(io::Error::other(
                    "is a symbolic link; root does not write through it: remove it",
                ));
            }
            Err(error) => return Err(error.into()),
        },
        opened => opened?.into(),
    };
    let metadata = file.metadata()?;
    if metadata.is_file() && metadata.nlink() > 1 {
        let text = "has a second name (a hard link); root does not write through it: remove it";
        return Err(io::Error::other(text));
    }
    Ok(file)
}

/// The mode of a new file, less the umask.
const CREATED: Mode = Mode::from_raw_mode(0o666);

fn is_errno(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno.raw_os_error())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// A FILE that another process has locked.
    fn locked() -> (tempfile::TempDir, PathBuf, File) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.__download__");
        let theirs = File::create(&path).unwrap();
        fs2::FileExt::lock_exclusive(&theirs).unwrap();
        (folder, path, theirs)
    }

    fn open(path: &Path, wait: impl FnMut(Duration) -> ControlFlow<()>) -> Result<Option<Sink>, SinkError> {
        match Sink::open(path, true, "", None, wait)? {
            ControlFlow::Continue(sink) => Ok(Some(sink)),
            ControlFlow::Break(()) => Ok(None),
        }
    }

    #[test]
    fn another_process_is_waited_for_as_long_as_it_goes_on() {
        let (_folder, path, mut theirs) = locked();
        let (mut waited, mut pieces) = (Duration::ZERO, 3);
        let error = open(&path, |time| {
            waited += time;
            if pieces > 0 && waited.as_secs() % 59 == 58 {
                theirs.write_all(b"more").unwrap();
                pieces -= 1;
            }
            ControlFlow::Continue(())
        });
        let error = error.unwrap_err().to_string();
        assert!(error.contains("another process") && !error.contains('\n'), "{error}");
        assert!(waited > Duration::from_secs(58) + OUTPUT_LOCK, "{waited:?}");
        assert_eq!(fs::read(&path).unwrap(), b"moremoremore");
    }

    #[test]
    fn waiting_can_be_broken_off() {
        let (_folder, path, _theirs) = locked();
        assert!(open(&path, |_| ControlFlow::Break(())).unwrap().is_none());
    }

    /// The other process has moved the complete file to its name, and ended.
    #[test]
    fn what_is_at_the_path_after_waiting_counts() {
        let (folder, path, theirs) = locked();
        let mut theirs = Some(theirs);
        let sink = open(&path, |_| {
            if let Some(mut theirs) = theirs.take() {
                theirs.write_all(b"complete").unwrap();
                fs::rename(&path, folder.path().join("x")).unwrap();
            }
            ControlFlow::Continue(())
        });
        let mut sink = sink.unwrap().unwrap();
        assert_eq!(sink.prefix(), 0);
        sink.write(0, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read(folder.path().join("x")).unwrap(), b"complete");
    }

    /// What a journal claims beyond the file's size is not the file's.
    #[test]
    fn nothing_is_taken_over_beyond_the_size() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.__download__");
        let open = |size| match Sink::open(&path, true, "x", size, |_| ControlFlow::Break(())).unwrap() {
            ControlFlow::Continue(sink) => sink,
            ControlFlow::Break(()) => panic!("nobody else has it"),
        };
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
