//! Digests of a file that is still growing, on threads of their own.
//!
//! The hashers read the file itself, behind the bytes that were committed to it: a resumed prefix, what just
//! came and what was moved into place are all the same to them, and what is verified is what lies on the disk.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use blake2::digest::DynDigest;
use blake2::{Blake2b512, Digest as _};
use sha2::{Sha256, Sha512};

use crate::patience::PULSE;
use crate::portage::{Algorithm, Digest, Digests};

/// How much is read at once, in bytes.
const STEP: usize = 256 * 1024;
/// Files smaller than this are hashed when they are complete: threads would cost more than they bring.
const WORTH_THREADS: u64 = 512 * 1024;

/// Hashes the growing prefix of one file.
#[derive(Debug)]
pub struct Hashing {
    file: Arc<File>,
    algorithms: Vec<Algorithm>,
    feed: Arc<Feed>,
    threads: Vec<JoinHandle<io::Result<Option<Digest>>>>,
    without_threads: bool,
}

#[derive(Debug, Default)]
struct Feed {
    state: Mutex<FeedState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct FeedState {
    /// So many bytes may be read.
    committed: u64,
    /// No more will come.
    complete: bool,
    /// So many hashers have ended.
    done: usize,
    /// The digests are not wanted any longer.
    abandoned: bool,
}

impl Hashing {
    pub fn new(file: Arc<File>, algorithms: Vec<Algorithm>) -> Self {
        Self { file, algorithms, feed: Arc::default(), threads: Vec::new(), without_threads: false }
    }

    /// The file's first `length` bytes are final.
    pub fn committed(&mut self, length: u64) {
        self.feed.lock().committed = length;
        if self.threads.is_empty() && !self.without_threads && length >= WORTH_THREADS {
            self.start();
        }
        self.feed.changed.notify_all();
    }

    /// The digests of the first `length` bytes, once they are all committed; none when `is_over` ends it early.
    pub fn finish(mut self, length: u64, is_over: &dyn Fn() -> bool) -> io::Result<Option<Vec<Digest>>> {
        {
            let mut state = self.feed.lock();
            state.committed = length;
            state.complete = true;
        }
        self.feed.changed.notify_all();
        if self.threads.len() < self.algorithms.len() {
            let digests = self.algorithms.iter().map(|a| follow(&self.file, &self.feed, *a, is_over));
            return digests.collect();
        }
        let mut state = self.feed.lock();
        while state.done < self.threads.len() && !state.abandoned {
            (state, _) = self.feed.changed.wait_timeout(state, PULSE).unwrap_or_else(PoisonError::into_inner);
            state.abandoned |= is_over();
        }
        drop(state);
        let mut digests = Some(Vec::new());
        for thread in std::mem::take(&mut self.threads) {
            let digest = thread.join().map_err(|_| io::Error::other("a hasher ended early"))??;
            digests = digests.zip(digest).map(|(mut digests, digest)| {
                digests.push(digest);
                digests
            });
        }
        Ok(digests)
    }

    fn start(&mut self) {
        for algorithm in self.algorithms.clone() {
            let (file, feed) = (self.file.clone(), self.feed.clone());
            let thread = std::thread::Builder::new().spawn(move || {
                let digest = follow(&file, &feed, algorithm, &|| feed.lock().abandoned);
                feed.lock().done += 1;
                feed.changed.notify_all();
                digest
            });
            let Ok(thread) = thread else {
                // None to be had: everything is hashed in the end.
                self.without_threads = true;
                return;
            };
            self.threads.push(thread);
        }
    }
}

impl Drop for Hashing {
    fn drop(&mut self) {
        self.feed.lock().abandoned = true;
        self.feed.changed.notify_all();
    }
}

impl Feed {
    fn lock(&self) -> MutexGuard<'_, FeedState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until more than `position` bytes are committed, or all are. None when nobody wants to know.
    fn wait(&self, position: u64) -> Option<(u64, bool)> {
        let mut state = self.lock();
        while state.committed <= position && !state.complete && !state.abandoned {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let over = state.abandoned && !state.complete;
        (!over).then_some((state.committed, state.complete))
    }
}

/// The digests of a whole file, all algorithms at once. For files that lie there complete.
/// None when `is_over` ends it early.
pub fn digests_of(
    file: &Arc<File>,
    length: u64,
    algorithms: Vec<Algorithm>,
    is_over: &dyn Fn() -> bool,
) -> io::Result<Option<Vec<Digest>>> {
    let mut hashing = Hashing::new(file.clone(), algorithms);
    hashing.committed(length);
    hashing.finish(length, is_over)
}

/// Whether a whole file has all of the digests wanted, and there are any. None when `is_over` ends it early.
pub fn has_digests(
    file: &Arc<File>,
    length: u64,
    wanted: &Digests,
    is_over: &dyn Fn() -> bool,
) -> io::Result<Option<bool>> {
    let algorithms = wanted.iter().map(|digest| digest.algorithm).collect();
    let digests = digests_of(file, length, algorithms, is_over)?;
    Ok(digests.map(|digests| matches(wanted, &digests)))
}

/// Whether these digests are all of those that are wanted.
pub fn matches(wanted: &Digests, computed: &[Digest]) -> bool {
    !wanted.is_empty() && wanted.iter().all(|digest| computed.contains(digest))
}

/// A hasher that has seen nothing yet.
pub fn hasher(algorithm: Algorithm) -> Box<dyn DynDigest> {
    match algorithm {
        Algorithm::Blake2b => Box::new(Blake2b512::new()),
        Algorithm::Sha512 => Box::new(Sha512::new()),
        Algorithm::Sha256 => Box::new(Sha256::new()),
    }
}

/// Hashes the file as it grows; none when the digest is not wanted any longer.
fn follow(
    file: &File,
    feed: &Feed,
    algorithm: Algorithm,
    is_over: &dyn Fn() -> bool,
) -> io::Result<Option<Digest>> {
    let mut hasher = hasher(algorithm);
    let mut buffer = vec![0; STEP];
    let mut position = 0;
    loop {
        let Some((committed, complete)) = feed.wait(position) else { return Ok(None) };
        while position < committed {
            if is_over() {
                return Ok(None);
            }
            let want = usize::try_from(committed - position).map_or(STEP, |left| left.min(STEP));
            let n = file.read_at(&mut buffer[..want], position)?;
            if n == 0 {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "the file became shorter meanwhile",
                ));
            }
            hasher.update(&buffer[..n]);
            position += n as u64;
        }
        if complete {
            return Ok(Some(Digest::from_bytes(algorithm, &hasher.finalize())));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn follows_a_growing_file_and_reads_a_small_one_at_once() {
        let content: Vec<u8> = (0..3_000_000u32).map(|i| u8::try_from(i % 251).unwrap()).collect();
        for length in [0, 1000, content.len()] {
            let mut file = tempfile::tempfile().unwrap();
            let mut hashing = Hashing::new(Arc::new(file.try_clone().unwrap()), Algorithm::ALL.to_vec());
            for (i, piece) in content[..length].chunks(70_000).enumerate() {
                file.write_all(piece).unwrap();
                hashing.committed((i * 70_000 + piece.len()) as u64);
            }
            let digests = hashing.finish(length as u64, &|| false).unwrap().unwrap();
            let want = Digest::of(Algorithm::Sha512, &content[..length]);
            assert!(digests.contains(&want), "{length}");
            assert_eq!(digests.len(), 3);
        }
    }

    #[test]
    fn a_file_cut_short_meanwhile_is_an_error() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(100).unwrap();
        assert!(digests_of(&Arc::new(file), 200, vec![Algorithm::Sha256], &|| false).is_err());
    }
}
