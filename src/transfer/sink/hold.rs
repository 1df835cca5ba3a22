//! One process at a FILE at a time, in every mode.
//!
//! The lock is on a file beside the side files. Nobody but FILE's user and the group of its folder can open that one:
//! whoever can read a file could lock it. Where no such file can be made, FILE itself is locked, if it is there. A
//! file system that knows no locks, and a holder that does not go on, do not keep anybody from fetching.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::names::{Names, own_folder};
use crate::files::{self, Folder};
use crate::patience::{OUTPUT_LOCK, PULSE};

/// The right to write to FILE, until this is dropped.
#[derive(Debug)]
pub struct Hold {
    path: PathBuf,
    /// Why it is no more than a hope, for people.
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
    /// FILE itself.
    Itself(#[expect(dead_code, reason = "it is locked as long as it is open")] File),
    None,
}

impl Hold {
    /// Waits for another process that is at FILE, and `wait` is how: for the time given, or until it says with `Break`
    /// that there is no waiting any longer. One that does not make FILE longer for [`OUTPUT_LOCK`] is not waited for.
    pub fn take<B>(path: &Path, mut wait: impl FnMut(Duration) -> ControlFlow<B>) -> ControlFlow<B, Self> {
        let length = || fs::metadata(path).map_or(0, |file| file.len());
        let (mut waited, mut before) = (Duration::ZERO, length());
        loop {
            if let Some(hold) = Self::try_take(path) {
                return ControlFlow::Continue(hold);
            }
            let now = length();
            if now != before {
                (waited, before) = (Duration::ZERO, now);
            }
            if waited >= OUTPUT_LOCK {
                let why = "another process has locked it and does not go on";
                return ControlFlow::Continue(Self::without_lock(path, Some(why)));
            }
            wait(PULSE)?;
            waited += PULSE;
        }
    }

    /// The same with a pause between two looks. How long that took is told; none when it took all of `time`, or
    /// `is_over` has said so.
    #[expect(clippy::disallowed_methods, reason = "a lock tells nobody that it is free")]
    pub fn wait_for(
        path: &Path,
        time: Option<Duration>,
        is_over: &dyn Fn() -> bool,
    ) -> Option<(Self, Duration)> {
        let mut waited = Duration::ZERO;
        let wait = |pause| {
            std::thread::sleep(pause);
            waited += pause;
            let is_over = is_over() || time.is_some_and(|time| waited >= time);
            if is_over { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let hold = Self::take(path, wait).continue_value()?;
        Some((hold, waited))
    }

    /// None when another process is at FILE.
    pub fn try_take(path: &Path) -> Option<Self> {
        // What is no regular file is several processes' by its nature.
        if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
            return Some(Self::without_lock(path, None));
        }
        match lock_beside(path).unwrap_or_else(|_| lock_itself(path)) {
            Locked::Here(lock) => Some(Self { path: path.to_owned(), note: None, lock }),
            Locked::Elsewhere => None,
            Locked::Impossible(error) => {
                let why = format!("the file system knows no locks ({})", crate::http::failure::plain(&error));
                Some(Self::without_lock(path, Some(&why)))
            }
        }
    }

    fn without_lock(path: &Path, why: Option<&str>) -> Self {
        let note = why.map(|why| format!("{}: {why}: going on without a lock", path.display()));
        Self { path: path.to_owned(), note, lock: Lock::None }
    }

    /// FILE.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file that is locked in the folder of side files: what can be done there can be tried with it.
    pub(super) fn beside(&self) -> Option<&File> {
        match &self.lock {
            Lock::Beside { file, .. } => Some(file),
            Lock::Itself(_) | Lock::None => None,
        }
    }

    /// A line for people when FILE could not be locked.
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }
}

impl Drop for Hold {
    /// Who waits for the lock sees that it has gone.
    fn drop(&mut self) {
        if let Lock::Beside { folder, path, name, file } = &self.lock {
            if folder.is_at(file, name) {
                let _ = folder.remove_file(name); // what is left is taken over by the next one
            }
            let _ = fs::remove_dir(path); // unless there is more in it
        }
    }
}

enum Locked {
    Here(Lock),
    Elsewhere,
    Impossible(io::Error),
}

/// How often the folder or the file may vanish while it is locked. Each time somebody else was quicker.
const MAX_ROUNDS: usize = 64;

/// An error when there can be no file beside FILE.
fn lock_beside(path: &Path) -> io::Result<Locked> {
    let (name, path) = (Names::of(path).hold, own_folder(path));
    for round in 1..=MAX_ROUNDS {
        let opened = Folder::make_like_parent(&path).and_then(|folder| {
            let file = folder.lock_file(&name)?;
            Ok((folder, file))
        });
        let (folder, file) = match opened {
            // Another process, or thread, has removed the file or the folder meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound && round < MAX_ROUNDS => continue,
            opened => opened?,
        };
        match fs2::FileExt::try_lock_exclusive(&file) {
            Ok(()) if folder.is_at(&file, &name) => {
                return Ok(Locked::Here(Lock::Beside { folder, path, name, file }));
            }
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Locked::Elsewhere),
            Err(error) => {
                let _ = folder.remove_file(&name);
                let _ = fs::remove_dir(&path);
                return Ok(Locked::Impossible(error));
            }
        }
    }
    Ok(Locked::Elsewhere)
}

fn lock_itself(path: &Path) -> Locked {
    let Ok(file) = files::open(path) else { return Locked::Here(Lock::None) };
    match fs2::FileExt::try_lock_exclusive(&file) {
        Ok(()) => Locked::Here(Lock::Itself(file)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Locked::Elsewhere,
        Err(error) => Locked::Impossible(error),
    }
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
        assert!(hold.note().is_none() && Hold::try_take(&path).is_none());
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
        assert!(Hold::try_take(&path).unwrap().note().is_none(), "there is nothing to lock");
        let mut file = File::create(&path).unwrap();
        let hold = Hold::try_take(&path).unwrap();
        assert!(Hold::try_take(&path).is_none());
        drop(hold);
        assert!(Hold::try_take(&path).is_some());
        file.write_all(b"x").unwrap();
    }

    #[test]
    fn another_process_is_waited_for_as_long_as_it_goes_on() {
        let (_folder, path) = place();
        let mut file = File::create(&path).unwrap();
        let _theirs = Hold::try_take(&path).unwrap();
        let (mut waited, mut pieces) = (Duration::ZERO, 3);
        let hold = Hold::take(&path, |time| {
            waited += time;
            if pieces > 0 && waited.as_secs() % 59 == 58 {
                file.write_all(b"more").unwrap();
                pieces -= 1;
            }
            ControlFlow::<()>::Continue(())
        });
        let note = hold.continue_value().unwrap().note().unwrap().to_owned();
        assert!(note.contains("another process") && !note.contains('\n'), "{note}");
        assert!(waited > Duration::from_secs(58) + OUTPUT_LOCK, "{waited:?}");
        assert!(matches!(Hold::take(&path, |_| ControlFlow::Break(7)), ControlFlow::Break(7)));
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
                        let Some(hold) = Hold::try_take(&path) else { continue };
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
