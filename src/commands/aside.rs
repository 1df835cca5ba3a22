//! Renames a wrong file as Portage does (`_checksum_failure_temp_file` in its `fetch.py`).

use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::files::{self, Folder};
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

    /// Opens the file at a path, if it is still this one.
    pub(super) fn open(&self, path: &Path) -> io::Result<File> {
        let file = files::open(path)?;
        if Self::of(&file.metadata()?) != *self {
            return Err(io::Error::other("it is another file meanwhile"));
        }
        Ok(file)
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
    let (folder, from) = (Folder::open(distdir)?, OsStr::new(name.as_str()));
    // What gets the new name is what is there now, a symbolic link perhaps, and leads to the file that was found.
    let entry = folder.hold(from)?;
    found.open(&distdir.join(name))?;
    let aside = reserve(&folder, name)?;
    if let Err(error) = folder.rename_file(&entry, from, OsStr::new(&aside)) {
        let _ = folder.remove_file(OsStr::new(&aside)); // the first error is the one to report
        return Err(error.into());
    }
    Ok(aside)
}

/// Makes an empty file with a name that was free, as mkstemp(3) does.
fn reserve(folder: &Folder, name: &Distfile) -> io::Result<String> {
    let mut last = io::ErrorKind::AlreadyExists.into();
    for _ in 0..MAX_NAMES {
        let aside = format!("{name}{INFIX}{}", random());
        match folder.create_file(OsStr::new(&aside), 0o600) {
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
        let error = move_aside(distdir, &name, found, &locks).unwrap_err().to_string();
        assert!(error.contains("another file"), "{error}");
        assert_eq!(names(distdir), ["x"]);
    }
}
