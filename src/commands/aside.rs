//! Renames a wrong file as Portage does (`_checksum_failure_temp_file` in its `fetch.py`).

use std::fs::{self, Metadata, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use crate::portage::{DistLocks, Distfile};

/// What stands between the name of a distfile and the random end.
pub(super) const INFIX: &str = "._checksum_failure_.";

/// Tells whether a path still has the file that was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
    /// Bytes.
    pub(super) size: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
}

impl Identity {
    /// That of the file at a path, or where the symbolic link there leads. Only a regular file has one.
    pub(super) fn at(path: &Path) -> io::Result<Self> {
        let file = fs::metadata(path)?;
        if !file.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        Ok(Self::of(&file))
    }

    fn of(file: &Metadata) -> Self {
        let modified = (file.mtime(), file.mtime_nsec());
        Self { device: file.dev(), inode: file.ino(), size: file.size(), modified }
    }
}

/// Why a file stays where it is.
#[derive(Debug, thiserror::Error)]
pub(super) enum AsideError {
    #[error("somebody else has its lock; try again when no emerge is running")]
    Locked,
    #[error("it is another file meanwhile")]
    Changed,
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Gives the file that was `found` a new name, which is returned. Portage's lock is held for that time; so
/// what Portage fetches anew meanwhile stays.
pub(super) fn move_aside(
    distdir: &Path,
    name: &Distfile,
    found: Identity,
    locks: &DistLocks,
) -> Result<String, AsideError> {
    let _lock = locks.try_lock(name)?.ok_or(AsideError::Locked)?;
    let path = distdir.join(name);
    if Identity::at(&path)? != found {
        return Err(AsideError::Changed);
    }
    let aside = reserve(distdir, name)?;
    if let Err(error) = fs::rename(&path, distdir.join(&aside)) {
        let _ = fs::remove_file(distdir.join(&aside)); // the first error is the one to report
        return Err(error.into());
    }
    Ok(aside)
}

/// Makes an empty file with a name that was free, as mkstemp(3) does.
fn reserve(distdir: &Path, name: &Distfile) -> io::Result<String> {
    let mut last = io::ErrorKind::AlreadyExists.into();
    for _ in 0..MAX_NAMES {
        let aside = format!("{name}{INFIX}{}", random());
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(distdir.join(&aside)) {
            Ok(_) => return Ok(aside),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

/// How many names are tried. One is enough but for odd luck.
const MAX_NAMES: usize = 100;

/// Eight characters of those that Python's `mkstemp` takes.
fn random() -> String {
    const CHARACTERS: &[u8; 37] = b"abcdefghijklmnopqrstuvwxyz0123456789_";
    let mut number = RandomState::new().hash_one(());
    let mut character = || {
        let (rest, index) = (number / 37, number % 37);
        number = rest;
        usize::try_from(index).map_or('_', |index| char::from(CHARACTERS[index]))
    };
    (0..8).map(|_| character()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let names = fs::read_dir(folder).unwrap();
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn the_file_has_another_name_and_nothing_else_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let (distdir, name) = (folder.path(), Distfile::new("x.tar").unwrap());
        fs::write(distdir.join(&name), "content").unwrap();
        let found = Identity::at(&distdir.join(&name)).unwrap();
        let aside = move_aside(distdir, &name, found, &DistLocks::new(distdir, true)).unwrap();
        let end = aside.strip_prefix("x.tar._checksum_failure_.").unwrap();
        assert_eq!(end.len(), 8);
        assert!(end.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'), "{end}");
        assert_eq!(fs::read(distdir.join(&aside)).unwrap(), b"content");
        assert_eq!(names(distdir), [aside]);
    }

    #[test]
    fn a_locked_file_and_another_one_stay() {
        let folder = tempfile::tempdir().unwrap();
        let (distdir, name) = (folder.path(), Distfile::new("x").unwrap());
        fs::write(distdir.join(&name), "old").unwrap();
        let found = Identity::at(&distdir.join(&name)).unwrap();
        let locks = DistLocks::new(distdir, true);
        let lock = locks.try_lock(&name).unwrap().unwrap();
        assert!(matches!(move_aside(distdir, &name, found, &locks), Err(AsideError::Locked)));
        drop(lock);
        fs::write(distdir.join("new"), "newer").unwrap();
        fs::rename(distdir.join("new"), distdir.join(&name)).unwrap();
        assert!(matches!(move_aside(distdir, &name, found, &locks), Err(AsideError::Changed)));
        assert_eq!(names(distdir), ["x"]);
    }
}
