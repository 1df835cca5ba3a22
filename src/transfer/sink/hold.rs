//! One process at a FILE at a time, in every mode.
//!
//! The lock is on a file beside the side files. Nobody but FILE's user and the group of its folder can open that one:
//! whoever can read a file could lock it. It names its [`Holder`]. A process to which the file system gives no locks
//! makes a claim instead: a symbolic link beside it that leads nowhere and names the process. Each looks for the other's
//! after making its own, so that of two that come at the same time none goes on. Where neither can be made, FILE itself
//! is locked.
//!
//! A holder that does not go on does not keep anybody from fetching: its turn is taken from it. It sees that before it
//! writes again ([`Hold::check`]).

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::OFlags;

use super::holder::{Holder, Life};
use super::names::{Names, own_folder};
use super::{SinkError, is_at};
use crate::files::{self, Folder};
use crate::patience::{OUTPUT_LOCK, PULSE, RUNNING_HOLDER};

/// The right to write to FILE, until the last clone of this is dropped.
#[derive(Clone, Debug)]
pub struct Hold(Arc<Held>);

#[derive(Debug)]
struct Held {
    path: PathBuf,
    /// Why it is no more than a hope, or whose turn was taken, for people.
    note: Option<String>,
    lock: Lock,
}

#[derive(Debug)]
enum Lock {
    /// A file of its own: the folder, its path, and the name there.
    Beside {
        folder: Folder,
        path: PathBuf,
        name: OsString,
        file: File,
    },
    /// The same, but for a symbolic link.
    Claimed {
        folder: Folder,
        path: PathBuf,
        name: OsString,
    },
    /// FILE itself, which was made for it if it was not there.
    Itself {
        file: File,
        path: PathBuf,
        is_new: bool,
    },
    None,
}

impl Hold {
    /// Waits for another process that is at FILE, and `wait` is how: for the time given, or until it says with `Break`
    /// that there is no waiting any longer. One that does not make FILE longer for [`OUTPUT_LOCK`], or
    /// [`RUNNING_HOLDER`] while it runs, is not waited for.
    pub fn take<B>(
        path: &Path,
        mut wait: impl FnMut(Duration, &Other) -> ControlFlow<B>,
    ) -> ControlFlow<B, Self> {
        let length = || fs::metadata(path).map_or(0, |file| file.len());
        let (mut waited, mut before) = (Duration::ZERO, length());
        let mut taken_from = None;
        loop {
            let other = match Self::try_take(path) {
                Ok(hold) => return ControlFlow::Continue(hold.noting(taken_from)),
                Err(other) => other,
            };
            let now = length();
            if now != before {
                (waited, before) = (Duration::ZERO, now);
            }
            if waited >= OUTPUT_LOCK && (waited >= RUNNING_HOLDER || other.life() != Life::Runs) {
                let why = format!("{}: {other} has locked it and does not go on", path.display());
                if !other.evict() {
                    let note = format!("{why}: going on without a lock");
                    return ControlFlow::Continue(Self::new(path, Lock::None).noting(Some(note)));
                }
                (waited, taken_from) = (Duration::ZERO, Some(format!("{why}: taking its turn")));
                continue;
            }
            wait(PULSE, &other)?;
            waited += PULSE;
        }
    }

    /// The same with a pause between two looks, after which `look` is told for how long it has waited and for whom. How
    /// long that took is told; none when it took all of `time`, or `look` has said that there is no waiting any longer.
    #[expect(clippy::disallowed_methods, reason = "a lock tells nobody that it is free")]
    pub fn wait_for(
        path: &Path,
        time: Option<Duration>,
        look: &mut dyn FnMut(Duration, &Other) -> ControlFlow<()>,
    ) -> Option<(Self, Duration)> {
        let mut waited = Duration::ZERO;
        let wait = |pause, other: &Other| {
            std::thread::sleep(pause);
            waited += pause;
            look(waited, other)?;
            let is_over = time.is_some_and(|time| waited >= time);
            if is_over { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let hold = Self::take(path, wait).continue_value()?;
        Some((hold, waited))
    }

    /// Another process, as an error, when it is at FILE.
    pub fn try_take(path: &Path) -> Result<Self, Other> {
        // What is no regular file is several processes' by its nature.
        if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
            return Ok(Self::new(path, Lock::None));
        }
        let (lock, refusal) = match lock_beside(path).or_else(|_| lock_itself(path)) {
            Ok(Locked::Here(lock)) => (lock, None),
            Ok(Locked::Claimed(lock, refusal)) => (lock, Some(refusal)),
            Ok(Locked::Elsewhere(other)) => return Err(other),
            Ok(Locked::Impossible(refusal)) => (Lock::None, Some(refusal)),
            // FILE cannot be opened: whoever writes to it will hear of that.
            Err(_) => (Lock::None, None),
        };
        let note = refusal.map(|error| {
            let error = crate::http::failure::plain(&error);
            format!("{}: the file system knows no locks ({error}): going on without a lock", path.display())
        });
        Ok(Self::new(path, lock).noting(note))
    }

    fn new(path: &Path, lock: Lock) -> Self {
        Self(Arc::new(Held { path: path.to_owned(), note: None, lock }))
    }

    fn noting(mut self, note: Option<String>) -> Self {
        if let Some(held) = Arc::get_mut(&mut self.0).filter(|_| note.is_some()) {
            held.note = note;
        }
        self
    }

    /// FILE.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// An error when this process stood still for so long that its turn is another one's: then nothing at FILE may be
    /// changed any longer.
    pub fn check(&self) -> Result<(), SinkError> {
        if self.0.lock.is_ours() {
            return Ok(());
        }
        let reason = "this process stood still for so long that another one took its turn (or its lock in \
                      .racefetch was removed)";
        Err(SinkError { path: self.0.path.clone(), reason: reason.to_owned() })
    }

    /// Whether FILE was made only to be locked: it is removed with this if it is still empty then.
    pub fn has_made_file(&self) -> bool {
        matches!(&self.0.lock, Lock::Itself { is_new: true, .. })
    }

    /// The file that is locked in the folder of side files: what can be done there can be tried with it.
    pub(super) fn beside(&self) -> Option<&File> {
        match &self.0.lock {
            Lock::Beside { file, .. } => Some(file),
            Lock::Claimed { .. } | Lock::Itself { .. } | Lock::None => None,
        }
    }

    /// A line for people when FILE could not be locked, or somebody's turn was taken.
    pub fn note(&self) -> Option<&str> {
        self.0.note.as_deref()
    }
}

impl Lock {
    fn is_ours(&self) -> bool {
        match self {
            Self::Beside { folder, name, file, .. } => folder.is_at(file, name),
            Self::Claimed { folder, name, .. } => {
                let there = folder.read_link(name).ok();
                there.is_some_and(|text| Holder::named_by(text.to_str()).as_ref() == Holder::this())
            }
            Self::Itself { .. } | Self::None => true,
        }
    }
}

impl Drop for Lock {
    /// Who waits for the lock sees that it has gone. What cannot be removed is taken over by the next one.
    fn drop(&mut self) {
        match &*self {
            Self::Beside { folder, path, name, .. } | Self::Claimed { folder, path, name } => {
                if self.is_ours() {
                    let _ = folder.remove_file(name);
                }
                let _ = fs::remove_dir(path); // unless there is more in it
            }
            Self::Itself { file, path, is_new: true } => {
                let is_empty = file.metadata().is_ok_and(|file| file.len() == 0);
                if is_empty && is_at(file, path).unwrap_or(false) {
                    let _ = fs::remove_file(path);
                }
            }
            Self::Itself { .. } | Self::None => {}
        }
    }
}

/// Another process, or thread, that is at FILE.
#[derive(Debug)]
pub struct Other {
    /// The folder of side files, and what it has there.
    folder: PathBuf,
    name: OsString,
    by: By,
}

#[derive(Debug)]
enum By {
    /// A lock on this file.
    Lock(File),
    /// A link with this text.
    Claim(OsString),
    /// A lock on FILE.
    Itself,
}

impl Other {
    fn holder(&self) -> Option<Holder> {
        match &self.by {
            By::Lock(file) => {
                let mut text = [0; LONGEST];
                let length = file.read_at(&mut text, 0).ok()?;
                Holder::named_by(std::str::from_utf8(&text[..length]).ok()?.lines().next())
            }
            By::Claim(text) => Holder::named_by(text.to_str()),
            By::Itself => None,
        }
    }

    fn life(&self) -> Life {
        self.holder().map_or(Life::Unknown, |holder| holder.life())
    }

    /// Takes its turn from it, unless another one has done so already. False when that cannot be.
    fn evict(&self) -> bool {
        let Ok(folder) = Folder::open_no_link(&self.folder) else { return true };
        let is_there = match &self.by {
            By::Lock(file) => folder.is_at(file, &self.name),
            By::Claim(text) => folder.read_link(&self.name).is_ok_and(|there| there == *text),
            By::Itself => return false,
        };
        !is_there || folder.remove_file(&self.name).is_ok()
    }
}

impl fmt::Display for Other {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.holder().and_then(|holder| holder.process()) {
            Some(process) => write!(f, "another process ({process})"),
            None => write!(f, "another process"),
        }
    }
}

enum Locked {
    Here(Lock),
    /// By a link, because the file system knows no locks.
    Claimed(Lock, io::Error),
    Elsewhere(Other),
    Impossible(io::Error),
}

/// How often the folder or the file may vanish while it is locked. Each time somebody else was quicker.
const MAX_ROUNDS: usize = 64;
/// The longest text that names a holder, in bytes.
const LONGEST: usize = 256;

/// An error when there can be no file beside FILE.
fn lock_beside(file: &Path) -> io::Result<Locked> {
    let (names, path) = (Names::of(file), own_folder(file));
    let mut vanished = io::Error::from(ErrorKind::NotFound);
    for _ in 0..MAX_ROUNDS {
        match lock_in(&path, &names) {
            // Another process, or thread, has removed the file or the folder meanwhile.
            Err(error) if error.kind() == ErrorKind::NotFound => vanished = error,
            locked => return locked,
        }
    }
    Err(vanished)
}

/// An error of the kind `NotFound` when the file or its folder was removed meanwhile.
fn lock_in(path: &Path, names: &Names) -> io::Result<Locked> {
    let folder = Folder::make_like_parent(path)?;
    let (file, is_new) = folder.lock_file(&names.hold)?;
    match fs2::FileExt::try_lock_exclusive(&file) {
        Ok(()) if folder.is_at(&file, &names.hold) => {}
        Ok(()) => return Err(ErrorKind::NotFound.into()),
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            let (folder, name) = (path.to_owned(), names.hold.clone());
            return Ok(Locked::Elsewhere(Other { folder, name, by: By::Lock(file) }));
        }
        Err(refusal) => {
            if is_new {
                let _ = folder.remove_file(&names.hold);
            }
            return claim(folder, path, names, refusal);
        }
    }
    if let Some(this) = Holder::this() {
        // On a full disk nobody gets to know who it is.
        let text = format!("{this}\n");
        let _ = file.write_all_at(text.as_bytes(), 0).and_then(|()| file.set_len(text.len() as u64));
    }
    let claimed = folder.read_link(&names.claim);
    let lock = Lock::Beside { folder, path: path.to_owned(), name: names.hold.clone(), file };
    if let Ok(text) = claimed {
        let other = Other { folder: path.to_owned(), name: names.claim.clone(), by: By::Claim(text) };
        if other.life() != Life::Gone || !other.evict() {
            return Ok(Locked::Elsewhere(other));
        }
    }
    Ok(Locked::Here(lock))
}

/// Makes a link where the file system gives no locks. An error as that of [`lock_in`].
fn claim(folder: Folder, path: &Path, names: &Names, refusal: io::Error) -> io::Result<Locked> {
    let Some(this) = Holder::this() else { return Ok(Locked::Impossible(refusal)) };
    match folder.link_to(&this.to_string(), &names.claim) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let text = folder.read_link(&names.claim)?;
            let other = Other { folder: path.to_owned(), name: names.claim.clone(), by: By::Claim(text) };
            if other.life() != Life::Gone || !other.evict() {
                return Ok(Locked::Elsewhere(other));
            }
            return Err(ErrorKind::NotFound.into());
        }
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(error),
        Err(_) => {
            let _ = fs::remove_dir(path);
            return Ok(Locked::Impossible(refusal));
        }
    }
    let locked = folder.open_file(&names.hold, OFlags::RDONLY);
    let lock = Lock::Claimed { folder, path: path.to_owned(), name: names.claim.clone() };
    if let Ok(file) = locked {
        let other = Other { folder: path.to_owned(), name: names.hold.clone(), by: By::Lock(file) };
        // It was left behind unless it names somebody: who has just locked it is about to see the link.
        if other.holder().is_some_and(|holder| holder.life() != Life::Gone) || !other.evict() {
            return Ok(Locked::Elsewhere(other));
        }
    }
    Ok(Locked::Claimed(lock, refusal))
}

/// Locks FILE, which is opened for writing: on NFS nothing else can be locked.
fn lock_itself(path: &Path) -> io::Result<Locked> {
    for _ in 0..MAX_ROUNDS {
        let (file, is_new) = match files::open_or_make(path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => continue, // since a moment ago
            opened => opened?,
        };
        let locked = fs2::FileExt::try_lock_exclusive(&file);
        let is_gone = locked.is_ok() && !is_at(&file, path)?;
        let lock = Lock::Itself { file, path: path.to_owned(), is_new };
        match locked {
            Ok(()) if is_gone => {} // whoever had made it has removed it
            Ok(()) => return Ok(Locked::Here(lock)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Ok(Locked::Impossible(error)),
        }
    }
    Ok(Locked::Elsewhere(Other { folder: PathBuf::new(), name: OsString::new(), by: By::Itself }))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn place() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.__download__");
        (folder, path)
    }

    #[test]
    fn one_at_a_time_and_nothing_is_left() {
        let (folder, path) = place();
        let hold = Hold::try_take(&path).unwrap();
        assert!(hold.note().is_none() && Hold::try_take(&path).is_err());
        let mode = fs::metadata(folder.path().join(".racefetch/x.hold")).unwrap().mode() & 0o777;
        assert_eq!(mode, 0o660, "whoever can read it can lock it");
        // What is called nearly so is another file.
        let other = Hold::try_take(&folder.path().join("x")).unwrap();
        drop((hold, other));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        drop(Hold::try_take(&path).unwrap());
    }

    #[test]
    fn what_was_left_behind_is_taken_over() {
        let (folder, path) = place();
        fs::create_dir(folder.path().join(".racefetch")).unwrap();
        fs::write(folder.path().join(".racefetch/x.hold"), "").unwrap();
        drop(Hold::try_take(&path).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    /// Where no other file can be made.
    #[test]
    fn the_file_itself_is_locked_instead() {
        let (folder, path) = place();
        fs::write(folder.path().join(".racefetch"), "").unwrap();
        let hold = Hold::try_take(&path).unwrap();
        assert!(hold.note().is_none() && hold.has_made_file() && Hold::try_take(&path).is_err());
        drop(hold);
        assert!(!path.exists(), "it was made for the lock alone");
        let hold = Hold::try_take(&path).unwrap();
        fs::write(&path, "x").unwrap();
        drop(hold);
        let hold = Hold::try_take(&path).unwrap();
        assert!(!hold.has_made_file() && Hold::try_take(&path).is_err());
        drop(hold);
        assert_eq!(fs::read(&path).unwrap(), b"x");
        drop(Hold::try_take(&path).unwrap());
    }

    /// What a process that knows no locks leaves, and what one that does.
    fn claim_by(path: &Path) -> io::Result<Locked> {
        let (names, folder) = (Names::of(path), own_folder(path));
        let refusal = io::Error::from_raw_os_error(rustix::io::Errno::NOLCK.raw_os_error());
        claim(Folder::make_like_parent(&folder)?, &folder, &names, refusal)
    }

    #[test]
    fn who_has_no_locks_and_who_has_them_see_each_other() {
        let (folder, path) = place();
        let hold = Hold::try_take(&path).unwrap();
        let Locked::Elsewhere(other) = claim_by(&path).unwrap() else { panic!("two at a file") };
        let process = std::process::id();
        assert_eq!(other.to_string(), format!("another process ({process})"));
        drop(hold);
        let Locked::Claimed(lock, _) = claim_by(&path).unwrap() else { panic!("nobody is at it") };
        assert!(lock.is_ours() && Hold::try_take(&path).is_err());
        assert!(matches!(claim_by(&path).unwrap(), Locked::Elsewhere(_)), "two threads of one process");
        drop(lock);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    /// A process that was killed is known to be gone, in either way.
    #[test]
    fn who_is_gone_is_not_waited_for() {
        let (folder, path) = place();
        let this = Holder::this().unwrap().to_string();
        let gone = format!("{} 1", this.rsplit_once(' ').unwrap().0);
        let with_lock = |path: &Path| Hold::try_take(path).is_ok();
        let by_claim = |path: &Path| loop {
            if let Ok(locked) = claim_by(path) {
                return matches!(locked, Locked::Claimed(..));
            }
        };
        for take in [with_lock, by_claim] {
            for (name, is_link) in [("x.hold", false), ("x.claim", true)] {
                fs::create_dir(folder.path().join(".racefetch")).unwrap();
                let left = folder.path().join(".racefetch").join(name);
                if is_link {
                    std::os::unix::fs::symlink(&gone, &left).unwrap();
                } else {
                    fs::write(&left, &gone).unwrap();
                }
                assert!(take(&path), "{name}");
                assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "{name}");
            }
        }
    }

    #[test]
    fn another_process_is_waited_for_as_long_as_it_goes_on() {
        for (runs, limit) in [(true, RUNNING_HOLDER), (false, OUTPUT_LOCK)] {
            let (folder, path) = place();
            let mut file = File::create(&path).unwrap();
            let theirs = Hold::try_take(&path).unwrap();
            if !runs {
                fs::write(folder.path().join(".racefetch/x.hold"), "elsewhere 1 1").unwrap();
            }
            let (mut waited, mut pieces) = (Duration::ZERO, 3);
            let hold = Hold::take(&path, |time, _| {
                waited += time;
                if pieces > 0 && waited.as_secs() % 59 == 58 {
                    file.write_all(b"more").unwrap();
                    pieces -= 1;
                }
                ControlFlow::<()>::Continue(())
            });
            let hold = hold.continue_value().unwrap();
            let note = hold.note().unwrap().to_owned();
            assert!(note.contains("another process") && !note.contains('\n'), "{note}");
            assert!(waited > Duration::from_secs(58) + limit, "{waited:?}");
            // It is a lock like any other, and whoever stood still sees that.
            assert!(theirs.check().is_err() && hold.check().is_ok());
            drop(theirs);
            assert!(hold.check().is_ok() && Hold::try_take(&path).is_err());
            let ended = Hold::take(&path, |_, _| ControlFlow::Break(7));
            assert!(matches!(ended, ControlFlow::Break(7)));
        }
    }

    #[test]
    fn threads_never_share_a_hold() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        let (folder, path) = place();
        let (holders, taken) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..300 {
                        let Ok(hold) = Hold::try_take(&path) else { continue };
                        assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0);
                        taken.fetch_add(1, Ordering::SeqCst);
                        holders.fetch_sub(1, Ordering::SeqCst);
                        drop(hold);
                    }
                });
            }
        });
        assert!(taken.into_inner() > 0);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
