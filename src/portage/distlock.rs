//! Portage's lock for one distfile: a record lock on `DISTDIR/.NAME.portage_lockfile` (its `locks.py`,
//! `lockfile` with `wantnewlockfile` and `unlockfile`).
//!
//! The file exists only while somebody holds or wants the lock: its holder removes it before the lock is
//! released, and who takes the lock makes sure that the path still names what was locked.

use std::collections::BTreeSet;
use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{FlockOperation, OFlags, fcntl_lock};
use rustix::io::Errno;

use super::distfile::Distfile;

/// The locks of one DISTDIR. A process must have one of these for each DISTDIR and no more: to the system all
/// record locks of a process are one, so that only this can keep its threads apart, and closing a lock file a
/// second time would release the lock.
#[derive(Clone, Debug)]
pub struct DistLocks {
    distdir: PathBuf,
    enabled: bool,
    held: Held,
}

/// A lock that is held until this is dropped.
#[derive(Debug)]
pub struct DistLock {
    name: Distfile,
    held: Held,
    /// None with FEATURES=-distlocks.
    file: Option<(PathBuf, File)>,
}

/// The names that this process holds.
type Held = Arc<Mutex<BTreeSet<Distfile>>>;

/// What FEATURES says of locks; they are on unless it takes `distlocks` away.
pub fn are_enabled(features: &str) -> bool {
    features.split_whitespace().fold(true, |enabled, word| match word {
        "distlocks" => true,
        "-distlocks" | "-*" => false,
        _ => enabled,
    })
}

impl DistLocks {
    /// `enabled`: see [`are_enabled`]. Without locks only the threads of this process are kept apart.
    pub fn new(distdir: &Path, enabled: bool) -> Self {
        Self { distdir: distdir.to_path_buf(), enabled, held: Held::default() }
    }

    /// Takes the lock of a distfile without waiting; `None` while somebody else has it. An error when the
    /// lock file cannot be made. Where the file system knows no locks, the threads of this process are kept apart.
    pub fn try_lock(&self, name: &Distfile) -> io::Result<Option<DistLock>> {
        if !names(&self.held).insert(name.clone()) {
            return Ok(None);
        }
        // From here on `lock` takes the name out again.
        let mut lock = DistLock { name: name.clone(), held: self.held.clone(), file: None };
        if !self.enabled {
            return Ok(Some(lock));
        }
        let path = self.distdir.join(format!(".{name}.portage_lockfile"));
        for _ in 0..MAX_ROUNDS {
            let Some(file) = self.open(&path)? else { continue };
            match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(Errno::ACCESS | Errno::AGAIN) => return Ok(None),
                Err(_) => {
                    let _ = fs::remove_file(&path); // it stands for nothing
                    return Ok(Some(lock));
                }
            }
            if still_names(&path, &file)? {
                lock.file = Some((path, file));
                return Ok(Some(lock));
            }
        }
        Ok(None)
    }

    /// Opens the lock file, or makes it; `None` when it came or went meanwhile.
    fn open(&self, path: &Path) -> io::Result<Option<File>> {
        let mut options = OpenOptions::new();
        // A link in its place would lead the user root to whatever file it names.
        options.read(true).write(true).mode(MODE).custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
        match options.clone().create_new(true).open(path) {
            Ok(file) => {
                self.share(&file);
                Ok(Some(file))
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => match options.open(path) {
                Ok(file) => Ok(Some(file)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    /// Makes the file usable for the group of DISTDIR, which is `portage`. Not everybody may do that, and
    /// then it is left as it is, as Portage does.
    fn share(&self, file: &File) {
        let _ = file.set_permissions(Permissions::from_mode(MODE)); // regardless of the umask
        let (Ok(folder), Ok(made)) = (fs::metadata(&self.distdir), file.metadata()) else { return };
        if folder.gid() != made.gid() {
            let _ = fchown(file, None, Some(folder.gid()));
        }
    }
}

impl Drop for DistLock {
    fn drop(&mut self) {
        if let Some((path, file)) = self.file.take() {
            if file.metadata().is_ok_and(|locked| is_at(&path, &locked)) {
                let _ = fs::remove_file(&path); // what is left is taken over by the next one
            }
            drop(file); // releases the lock
        }
        // Last: another thread must not open the file while closing it would release that thread's lock.
        names(&self.held).remove(&self.name);
    }
}

const MODE: u32 = 0o660;

/// How often a lock file may vanish while its lock is taken. Each time somebody else was quicker; then the
/// file is busy indeed.
const MAX_ROUNDS: usize = 32;

fn names(held: &Held) -> MutexGuard<'_, BTreeSet<Distfile>> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

/// True when the path names the file that was locked. What NFS says of a path may be seconds old, so that, as
/// Portage does, a second link is made: that needs the server to find the path now.
fn still_names(path: &Path, file: &File) -> io::Result<bool> {
    let locked = file.metadata()?;
    let mut proof = path.as_os_str().to_owned();
    proof.push(format!(".hardlock-{:016x}-{}", RandomState::new().hash_one(path), process::id()));
    let proof = PathBuf::from(proof);
    match fs::hard_link(path, &proof) {
        Ok(()) => {
            let same = is_at(&proof, &locked);
            fs::remove_file(&proof)?;
            Ok(same)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(_) => Ok(is_at(path, &locked)), // a file system without links
    }
}

fn is_at(path: &Path, locked: &Metadata) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| (found.dev(), found.ino()) == (locked.dev(), locked.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn distfile(name: &str) -> Distfile {
        Distfile::new(name).unwrap()
    }

    fn left(folder: &Path) -> usize {
        fs::read_dir(folder).unwrap().count()
    }

    #[test]
    fn one_at_a_time_and_nothing_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let locks = DistLocks::new(folder.path(), true);
        let lock = locks.try_lock(&distfile("a")).unwrap().unwrap();
        let file = fs::metadata(folder.path().join(".a.portage_lockfile")).unwrap();
        assert_eq!(file.mode() & 0o7777, 0o660);
        assert_eq!(file.gid(), fs::metadata(folder.path()).unwrap().gid());
        assert!(locks.clone().try_lock(&distfile("a")).unwrap().is_none());
        let other = locks.try_lock(&distfile("b")).unwrap();
        assert!(other.is_some());
        assert_eq!(left(folder.path()), 2);
        drop((lock, other));
        assert_eq!(left(folder.path()), 0);
        assert!(locks.try_lock(&distfile("a")).unwrap().is_some());
    }

    #[test]
    fn a_file_that_was_left_is_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(".a.portage_lockfile"), "").unwrap();
        let lock = DistLocks::new(folder.path(), true).try_lock(&distfile("a")).unwrap();
        assert!(lock.is_some());
        drop(lock);
        assert_eq!(left(folder.path()), 0);
    }

    #[test]
    fn the_file_of_somebody_else_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".a.portage_lockfile");
        let lock = DistLocks::new(folder.path(), true).try_lock(&distfile("a")).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "").unwrap();
        drop(lock);
        assert!(path.exists());
    }

    #[test]
    fn without_locks_there_are_no_files() {
        let folder = tempfile::tempdir().unwrap();
        let locks = DistLocks::new(folder.path(), false);
        let lock = locks.try_lock(&distfile("a")).unwrap();
        assert!(lock.is_some() && locks.try_lock(&distfile("a")).unwrap().is_none());
        assert_eq!(left(folder.path()), 0);
    }

    #[test]
    fn what_cannot_be_locked_is_an_error_and_held_by_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let locks = DistLocks::new(&folder.path().join("gone"), true);
        for _ in 0..2 {
            assert_eq!(locks.try_lock(&distfile("a")).unwrap_err().kind(), io::ErrorKind::NotFound);
        }
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join(".b.portage_lockfile")).unwrap();
        assert!(DistLocks::new(folder.path(), true).try_lock(&distfile("b")).is_err());
    }

    #[test]
    fn threads_never_share_a_lock() {
        let folder = tempfile::tempdir().unwrap();
        let locks = DistLocks::new(folder.path(), true);
        let (holders, start) = (AtomicUsize::new(0), Barrier::new(4));
        let taken = std::thread::scope(|scope| {
            let work = || {
                start.wait();
                let take = |_: &usize| {
                    locks.try_lock(&distfile("a")).unwrap().is_some_and(|lock| {
                        assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0);
                        holders.fetch_sub(1, Ordering::SeqCst);
                        drop(lock);
                        true
                    })
                };
                (0..500).filter(take).count()
            };
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(work)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>()
        });
        assert!(taken > 0);
        assert_eq!(left(folder.path()), 0);
    }

    #[test]
    fn features() {
        for (features, enabled) in [
            ("", true),
            ("-userfetch", true),
            ("-distlocks", false),
            ("distlocks -distlocks sandbox", false),
            ("-distlocks distlocks", true),
            ("-* sandbox", false),
        ] {
            assert_eq!(are_enabled(features), enabled, "{features}");
        }
    }
}
