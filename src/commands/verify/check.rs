//! Compares the content of many files with what the Manifests say, on all cores.
//!
//! A small file is read once, by one thread that computes all of its digests. A large one would keep the
//! other threads waiting in the end, so that it has a thread for each digest, and is read by each of them.

use std::cmp::Reverse;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::report::State;
use crate::commands::aside::Identity;
use crate::portage::{Algorithm, Digest, Listed};
use crate::transfer::hashing::hasher;

/// A file whose content is to be compared.
pub(super) struct Job<'i> {
    path: PathBuf,
    found: Identity,
    /// Bytes.
    pub(super) size: u64,
    /// What the Manifests say of a file of that size, where they have a digest that can be computed.
    listed: Vec<&'i Listed>,
    algorithms: Vec<Algorithm>,
}

impl<'i> Job<'i> {
    /// What is to be done for the file at `path`; else the state that follows from its size, or from what
    /// the Manifests have.
    pub(super) fn new(path: PathBuf, found: Identity, listed: &[&'i Listed]) -> Result<Self, State> {
        let size = found.size;
        let (mut same, other): (Vec<_>, Vec<_>) =
            listed.iter().copied().partition(|listed| listed.entry.size == size);
        if let ([], Some(other)) = (&same[..], other.first()) {
            let (expected, manifest) = (other.entry.size, other.manifest.display());
            return Err(State::Corrupt(format!("it has {size} bytes, not the {expected} of {manifest}")));
        }
        same.retain(|listed| !listed.entry.digests.is_empty());
        if same.is_empty() {
            return Err(State::Unchecked(NO_DIGEST.to_owned()));
        }
        let has = |algorithm: &Algorithm| same.iter().any(|l| l.entry.digests.get(*algorithm).is_some());
        let algorithms = Algorithm::ALL.into_iter().filter(has).collect();
        Ok(Self { path, found, size, listed: same, algorithms })
    }

    /// The state of a file with these digests: right when one description fits in all that it has.
    fn judge(&self, digests: &[Digest]) -> State {
        let mut reason = None;
        for listed in &self.listed {
            let Some(wrong) = listed.entry.digests.iter().find(|digest| !digests.contains(digest)) else {
                return State::Right;
            };
            let (algorithm, manifest) = (wrong.algorithm, listed.manifest.display());
            reason.get_or_insert_with(|| format!("its {algorithm} is not that of {manifest}"));
        }
        reason.map_or_else(|| State::Unchecked(NO_DIGEST.to_owned()), State::Corrupt)
    }
}

const NO_DIGEST: &str = "its Manifest has no digest that could be computed";

/// The states of the files, in their order. `progress` is told now and then how many bytes are done.
pub(super) fn check_all(jobs: &[Job<'_>], threads: usize, progress: &mut dyn FnMut(u64)) -> Vec<State> {
    let mut tasks: Vec<Task<'_>> = jobs.iter().enumerate().flat_map(|(job, work)| tasks(job, work)).collect();
    // The longest first, so that all threads end at about the same time.
    tasks.sort_by_key(|task| Reverse(jobs[task.job].size * task.algorithms.len() as u64));
    let (next, have) = (AtomicUsize::new(0), AtomicU64::new(0));
    let results: Vec<Mutex<io::Result<Vec<Digest>>>> =
        jobs.iter().map(|_| Mutex::new(Ok(Vec::new()))).collect();
    let (working, ended) = mpsc::channel::<()>();
    thread::scope(|scope| {
        for _ in 0..threads.min(tasks.len()) {
            let working = working.clone();
            scope.spawn(|| {
                let _working = working;
                let mut buffer = vec![0; STEP];
                while let Some(task) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let digests = task.digests(&jobs[task.job], &mut buffer, &have);
                    let mut result = results[task.job].lock().unwrap_or_else(PoisonError::into_inner);
                    match (digests, &mut *result) {
                        (Ok(digests), Ok(known)) => known.extend(digests),
                        (Err(error), Ok(_)) => *result = Err(error),
                        (_, Err(_)) => {}
                    }
                }
            });
        }
        drop(working);
        while ended.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
            progress(have.load(Ordering::Relaxed));
        }
    });
    let results =
        results.into_iter().map(|result| result.into_inner().unwrap_or_else(PoisonError::into_inner));
    let state = |(job, result): (&Job<'_>, io::Result<Vec<Digest>>)| match result {
        Ok(digests) => job.judge(&digests),
        Err(error) => State::Unchecked(error.to_string()),
    };
    jobs.iter().zip(results).map(state).collect()
}

/// What one thread does at once.
struct Task<'j> {
    /// The index of the job.
    job: usize,
    algorithms: &'j [Algorithm],
    /// Whether the bytes that this task reads count as progress; those of one task of each job do.
    counts: bool,
}

/// Files from this size on have a task for each digest. In bytes.
const LARGE: u64 = 32 << 20;
/// How much is read at once, in bytes: small enough to stay in the cache between two hashers.
const STEP: usize = 128 << 10;
/// Between two looks at the progress.
const LOOK: Duration = Duration::from_millis(100);

fn tasks<'j>(job: usize, work: &'j Job<'_>) -> impl Iterator<Item = Task<'j>> {
    let together = if work.size >= LARGE { 1 } else { work.algorithms.len() };
    let parts = work.algorithms.chunks(together).enumerate();
    parts.map(move |(part, algorithms)| Task { job, algorithms, counts: part == 0 })
}

impl Task<'_> {
    fn digests(&self, job: &Job<'_>, buffer: &mut [u8], have: &AtomicU64) -> io::Result<Vec<Digest>> {
        let mut file = job.found.open(&job.path)?;
        let mut hashers: Vec<_> = self.algorithms.iter().map(|algorithm| hasher(*algorithm)).collect();
        loop {
            let read = match file.read(buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            for hasher in &mut hashers {
                hasher.update(&buffer[..read]);
            }
            if self.counts {
                have.fetch_add(read as u64, Ordering::Relaxed);
            }
        }
        let finished = self.algorithms.iter().zip(hashers);
        Ok(finished.map(|(algorithm, hasher)| Digest::from_bytes(*algorithm, &hasher.finalize())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    use rustix::fs::FileType;

    use crate::portage::manifest;

    /// What a Manifest at `/PATH` says of a distfile with that content.
    fn listed(path: &str, content: &[u8], algorithms: &[Algorithm]) -> Listed {
        let digests: Vec<_> = algorithms
            .iter()
            .map(|algorithm| format!(" {algorithm} {}", Digest::of(*algorithm, content).hex()))
            .collect();
        let line = format!("DIST x {} WHIRLPOOL 00{}", content.len(), digests.concat());
        let entry = manifest::entries(&line).next().unwrap().unwrap();
        Listed { entry, manifest: Path::new(path).into() }
    }

    fn check(content: &[u8], listed: &[Listed]) -> State {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        fs::write(&path, content).unwrap();
        let listed: Vec<_> = listed.iter().collect();
        match Job::new(path.clone(), Identity::at(&path).unwrap(), &listed) {
            Ok(job) => check_all(&[job], 2, &mut |_| {}).remove(0),
            Err(state) => state,
        }
    }

    const USUAL: &[Algorithm] = &[Algorithm::Blake2b, Algorithm::Sha512];

    #[test]
    fn one_description_must_fit_in_all_its_digests() {
        let right = listed("/a", b"right", USUAL);
        let wrong = listed("/b", b"wrong", USUAL);
        let mut mixed = listed("/c", b"right", &[Algorithm::Blake2b]);
        mixed.entry.digests.insert(Digest::of(Algorithm::Sha512, b"wrong"));
        let longer = listed("/d", b"longer", USUAL);
        let old = listed("/e", b"right", &[Algorithm::Sha256]);
        let foreign = listed("/f", b"right", &[]);
        let all =
            |listed: &[&Listed]| check(b"right", &listed.iter().map(|&l| l.clone()).collect::<Vec<_>>());
        assert_eq!(all(&[&right]), State::Right);
        assert_eq!(all(&[&wrong, &longer, &right]), State::Right);
        assert_eq!(all(&[&wrong, &old]), State::Right);
        assert_eq!(all(&[&wrong]), State::Corrupt("its BLAKE2B is not that of /b".to_owned()));
        assert_eq!(all(&[&mixed]), State::Corrupt("its SHA512 is not that of /c".to_owned()));
        assert_eq!(all(&[&longer]), State::Corrupt("it has 5 bytes, not the 6 of /d".to_owned()));
        assert_eq!(all(&[&foreign]), State::Unchecked(NO_DIGEST.to_owned()));
        assert_eq!(all(&[&foreign, &wrong]), State::Corrupt("its BLAKE2B is not that of /b".to_owned()));
    }

    #[test]
    fn large_files_and_small_ones_together() {
        let folder = tempfile::tempdir().unwrap();
        let large = usize::try_from(LARGE).unwrap();
        let contents: Vec<Vec<u8>> = [0, 1, STEP, STEP + 1, large - 1, large, large + 1]
            .map(|length| (0..length).map(|at| u8::try_from(at % 253).unwrap()).collect())
            .to_vec();
        let listed: Vec<_> = contents.iter().map(|content| listed("/m", content, USUAL)).collect();
        let mut jobs = Vec::new();
        for (number, content) in contents.iter().enumerate() {
            let path = folder.path().join(number.to_string());
            let mut content = content.clone();
            if number == 2 || number == 6 {
                *content.last_mut().unwrap() ^= 1;
            }
            fs::write(&path, content).unwrap();
            jobs.push(Job::new(path.clone(), Identity::at(&path).unwrap(), &[&listed[number]]).unwrap());
        }
        let mut most = 0;
        let states = check_all(&jobs, 3, &mut |have| most = most.max(have));
        for (number, state) in states.iter().enumerate() {
            let wrong = number == 2 || number == 6;
            assert_eq!(matches!(state, State::Corrupt(_)), wrong, "{number} {state:?}");
            assert_eq!(*state == State::Right, !wrong, "{number} {state:?}");
        }
        assert!(most <= jobs.iter().map(|job| job.size).sum());
    }

    #[test]
    fn what_cannot_be_read_is_unchecked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        fs::write(&path, "right").unwrap();
        let listed = listed("/m", b"right", USUAL);
        let job = Job::new(path.clone(), Identity::at(&path).unwrap(), &[&listed]).unwrap();
        fs::remove_file(&path).unwrap();
        // Others may put something else there meanwhile: a file, or a pipe that nobody writes to.
        let pipe = || rustix::fs::mknodat(rustix::fs::CWD, &path, FileType::Fifo, 0o600.into(), 0).unwrap();
        for put in [&|| {}, &|| fs::write(&path, "other").unwrap(), &pipe] as [&dyn Fn(); 3] {
            put();
            let state = check_all(std::slice::from_ref(&job), 2, &mut |_| {}).remove(0);
            assert!(matches!(state, State::Unchecked(_)), "{state:?}");
            let _ = fs::remove_file(&path);
        }
        assert!(Identity::at(&path).is_err() && Identity::at(folder.path()).is_err());
    }
}
