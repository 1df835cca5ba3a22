//! The file on disk, and beside it what arrived ahead of its turn.
//!
//! FILE is a correct prefix of the distfile at every instant, so that any tool can resume it. What arrives ahead
//! lies at its own offset in `DISTDIR/.racefetch/NAME.ahead`, a sparse file, with a journal of what is there;
//! when the prefix reaches it, it is moved over.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::ahead::Ahead;
use super::segments::Segments;
use crate::http::ByteRange;

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
}

impl Sink {
    /// Opens FILE, keeping what is there (`resume`) or emptying it. What an earlier call left ahead of it is taken
    /// over when it was for the same `identity`.
    pub fn open(path: &Path, resume: bool, identity: &str) -> Result<Self, SinkError> {
        let file = open_locked(path)?;
        let failed = |e: io::Error| SinkError::new(path, &e);
        if !resume {
            empty(&file).map_err(failed)?;
        }
        let prefix = file.metadata().map_err(failed)?.len();
        let mut ahead = Ahead::take_over(path, identity);
        if let Some(ahead) = &mut ahead {
            ahead.forget(ByteRange::new(0, prefix))?;
        }
        let mut sink = Self {
            path: path.to_owned(),
            file: Arc::new(file),
            prefix,
            ahead,
            identity: identity.to_owned(),
        };
        sink.advance()?;
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

    /// Stores bytes that begin at `first`: at the end of FILE, or ahead of it.
    pub fn write(&mut self, first: u64, bytes: &[u8]) -> Result<(), SinkError> {
        if first == self.prefix {
            self.file.write_all_at(bytes, first).map_err(|e| SinkError::new(&self.path, &e))?;
            self.prefix += bytes.len() as u64;
            return self.advance();
        }
        let ahead = match &mut self.ahead {
            Some(ahead) => ahead,
            None => self.ahead.insert(Ahead::create(&self.path, &self.identity)?),
        };
        ahead.write(first, bytes)
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

    /// Moves over what the prefix has reached.
    fn advance(&mut self) -> Result<(), SinkError> {
        let Some(ahead) = &mut self.ahead else { return Ok(()) };
        let Some(range) = ahead.held().range_at(self.prefix) else { return Ok(()) };
        let mut buffer = vec![0; MOVE];
        let from = self.prefix;
        while self.prefix < range.end {
            let piece = piece(&mut buffer, range.end - self.prefix);
            ahead.read(self.prefix, piece)?;
            self.file.write_all_at(piece, self.prefix).map_err(|e| SinkError::new(&self.path, &e))?;
            self.prefix += piece.len() as u64;
        }
        ahead.forget(ByteRange::new(from, self.prefix))
    }
}

impl Drop for Sink {
    /// A side file with nothing in it is not worth keeping.
    fn drop(&mut self) {
        if let Some(ahead) = self.ahead.take_if(|ahead| ahead.held().is_empty()) {
            ahead.remove();
        }
    }
}

/// Opens FILE when no other process is at it: one that is, is waited for. Then FILE may be gone, or another one.
fn open_locked(path: &Path) -> Result<File, SinkError> {
    let failed = |e: io::Error| SinkError::new(path, &e);
    loop {
        let file = open_output(path, true)?;
        fs2::FileExt::lock_exclusive(&file).map_err(failed)?;
        let ours = file.metadata().map_err(failed)?;
        match fs::metadata(path) {
            Ok(found) if (found.dev(), found.ino()) == (ours.dev(), ours.ino()) => return Ok(file),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
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

/// Opens an output file for reading and writing. A symbolic link that waits at its place is not followed by
/// root, unless what it leads to is no regular file (`/dev/stdout`).
pub fn open_output(path: &Path, resume: bool) -> Result<File, SinkError> {
    let failed = |e: io::Error| SinkError::new(path, &e);
    let link = fs::symlink_metadata(path).is_ok_and(|m| m.file_type().is_symlink());
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).mode(0o666);
    if rustix::process::geteuid().is_root() && link && !fs::metadata(path).is_ok_and(|m| !m.is_file()) {
        let reason = "is a symbolic link; root does not write through it: remove it".to_owned();
        return Err(SinkError { path: path.to_owned(), reason });
    }
    if rustix::process::geteuid().is_root() && !link {
        options.custom_flags(i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or(0));
    }
    let file = options.open(path).map_err(failed)?;
    if !resume {
        empty(&file).map_err(failed)?;
    }
    Ok(file)
}
