//! Puts another file in the place of one, so that there is the old one or the new one at every instant.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Gid, Mode, OFlags, Uid, XattrFlags, fchmod, fchown, flock};
use rustix::io::Errno;

use super::{Folder, check_sole, folder_of, read_all};

/// A file's new content, which lies beside it under another name and is on the disk.
///
/// Symbolic links to the file stay: what they lead to is replaced. The new file has the owner, the mode and
/// the extended attributes of the old one. Dropped without [`Replacement::publish`], nothing is left of it.
#[derive(Debug)]
pub struct Replacement {
    /// Locked, so that nobody else replaces files in it meanwhile.
    folder: Folder,
    path: PathBuf,
    beside: OsString,
    file: File,
    /// What was there before.
    old: Option<Vec<u8>>,
}

/// The largest file that is replaced, in bytes.
const LARGEST: u64 = 16 << 20;

/// What a new file is to be like.
#[derive(Clone, Copy)]
enum Like<'f> {
    File(&'f File),
    Mode(u32),
}

impl Replacement {
    /// Writes the new content beside a file, which may not exist yet: then it gets that mode.
    ///
    /// # Errors
    /// When the file has a second name, or its owner cannot be kept, or somebody else replaces a file in that
    /// folder right now.
    pub fn write(path: &Path, content: &[u8], new_mode: u32) -> io::Result<Self> {
        let path = match fs::canonicalize(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && fs::symlink_metadata(path).is_err() => {
                fs::canonicalize(folder_of(path))?.join(path.file_name().unwrap_or_default())
            }
            found => found?,
        };
        let (folder, name) = Folder::of(&path)?;
        match flock(folder.as_fd(), FlockOperation::NonBlockingLockExclusive) {
            // Some network file systems know no locks.
            Ok(()) | Err(Errno::NOTSUP | Errno::NOLCK | Errno::NOSYS) => {}
            Err(Errno::WOULDBLOCK) => {
                return Err(io::Error::other("another process is replacing files there"));
            }
            Err(error) => return Err(error.into()),
        }
        let old = match folder.open_file(name, OFlags::RDONLY) {
            Ok(file) => Some(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        if let Some(old) = &old {
            check_sole(old)?;
        }
        let beside = hidden(name, "new");
        let file =
            write_beside(&folder, &beside, content, old.as_ref().map_or(Like::Mode(new_mode), Like::File))?;
        let old = old.map(|old| read_all(&old, LARGEST)).transpose();
        let old = old.inspect_err(|_| {
            let _ = folder.remove_file(&beside);
        })?;
        Ok(Self { folder, path, beside, file, old })
    }

    /// What was there before; `None` when there was nothing.
    pub fn old(&self) -> Option<&[u8]> {
        self.old.as_deref()
    }

    /// Where the file is, behind all symbolic links.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is on the disk beside it, as it is read by its name.
    pub fn read_back(&self) -> io::Result<Vec<u8>> {
        read_all(&self.folder.open_file(&self.beside, OFlags::RDONLY)?, LARGEST)
    }

    /// Gives the new content the file's name. The old one is kept under another name when there is one.
    pub fn publish(self, backup: Option<&OsStr>) -> io::Result<()> {
        let name = self.path.file_name().unwrap_or_default();
        if let (Some(backup), Some(old)) = (backup, &self.old) {
            let file = self.folder.open_file(name, OFlags::RDONLY)?;
            let beside = hidden(backup, "new");
            let kept = write_beside(&self.folder, &beside, old, Like::File(&file))?;
            self.folder.rename_file(&kept, &beside, backup)?;
        }
        self.folder.rename_file(&self.file, &self.beside, name)?;
        sync(&self.folder);
        Ok(())
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        // It has another name once it is published.
        if self.folder.is_at(&self.file, &self.beside) {
            let _ = self.folder.remove_file(&self.beside);
        }
    }
}

/// Removes a file, and makes that last.
pub fn remove(path: &Path) -> io::Result<()> {
    let (folder, name) = Folder::of(path)?;
    folder.remove_file(name)?;
    sync(&folder);
    Ok(())
}

/// The name for the back-up of a file: Portage reads no file of a folder that ends so.
pub fn backup_name(path: &Path) -> OsString {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".racefetch~");
    name
}

/// A name that Portage does not read, either.
fn hidden(name: &OsStr, what: &str) -> OsString {
    let mut hidden = OsString::from(".");
    hidden.push(name);
    hidden.push(".racefetch-");
    hidden.push(what);
    hidden
}

fn write_beside(folder: &Folder, name: &OsStr, content: &[u8], like: Like<'_>) -> io::Result<File> {
    // A killed process may have left one.
    match folder.remove_file(name) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = folder.create_file(name, 0o600)?;
    let written = (|| {
        file.write_all(content)?;
        match like {
            Like::File(other) => take_after(&file, other)?,
            Like::Mode(mode) => fchmod(&file, Mode::from_raw_mode(mode))?,
        }
        file.sync_all()
    })();
    written.inspect_err(|_| {
        let _ = folder.remove_file(name);
    })?;
    Ok(file)
}

/// Gives a file the owner, the mode and the extended attributes of another.
fn take_after(file: &File, like: &File) -> io::Result<()> {
    let (own, wanted): (Metadata, Metadata) = (file.metadata()?, like.metadata()?);
    if (own.uid(), own.gid()) != (wanted.uid(), wanted.gid()) {
        let owner = (Some(Uid::from_raw(wanted.uid())), Some(Gid::from_raw(wanted.gid())));
        fchown(file, owner.0, owner.1)
            .map_err(|error| io::Error::other(format!("its owner cannot be kept: {error}")))?;
    }
    // After the owner, who takes the set-user-ID bit away.
    fchmod(file, Mode::from_raw_mode(wanted.mode() & 0o7777))?;
    copy_attributes(file, like);
    Ok(())
}

/// Copies extended attributes, among them access control lists, as far as this user may and the file system knows them.
fn copy_attributes(file: &File, like: &File) {
    let mut names = vec![0; LARGEST_ATTRIBUTE];
    let Ok(length) = rustix::fs::flistxattr(like, &mut names[..]) else { return };
    for name in names[..length].split(|&byte| byte == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0; LARGEST_ATTRIBUTE];
        if let Ok(length) = rustix::fs::fgetxattr(like, name, &mut value[..]) {
            let _ = rustix::fs::fsetxattr(file, name, &value[..length], XattrFlags::empty());
        }
    }
}

/// Linux's own limit for the names, and for a value.
const LARGEST_ATTRIBUTE: usize = 64 << 10;

/// Makes a renaming last. Some file systems cannot; then it lasts when they see fit.
fn sync(folder: &Folder) {
    let _ = rustix::fs::fsync(folder.as_fd());
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn content_changes_and_all_else_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("sub")).unwrap();
        fs::write(path("sub/f"), "old").unwrap();
        fs::set_permissions(path("sub/f"), fs::Permissions::from_mode(0o640)).unwrap();
        let owner = rustix::process::geteuid().is_root().then_some((12_345, 54_321));
        if let Some((uid, gid)) = owner {
            std::os::unix::fs::chown(path("sub/f"), Some(uid), Some(gid)).unwrap();
        }
        let attribute = {
            let file = File::open(path("sub/f")).unwrap();
            rustix::fs::fsetxattr(&file, "user.note", b"kept", XattrFlags::empty()).is_ok()
        };
        symlink("sub/f", path("link")).unwrap();

        let replacement = Replacement::write(&path("link"), b"new", 0o644).unwrap();
        assert_eq!((replacement.old(), replacement.read_back().unwrap()), (Some(&b"old"[..]), b"new".into()));
        assert_eq!(fs::read(path("link")).unwrap(), b"old");
        replacement.publish(Some(&backup_name(&path("f")))).unwrap();

        assert!(fs::symlink_metadata(path("link")).unwrap().is_symlink());
        assert_eq!(names(&path("sub")), ["f", "f.racefetch~"]);
        for (name, content) in [("sub/f", "new"), ("sub/f.racefetch~", "old")] {
            assert_eq!(fs::read_to_string(path(name)).unwrap(), content);
            let found = fs::metadata(path(name)).unwrap();
            assert_eq!(found.mode() & 0o7777, 0o640);
            assert!(owner.is_none_or(|owner| owner == (found.uid(), found.gid())));
            let mut value = [0; 8];
            let file = File::open(path(name)).unwrap();
            let noted = rustix::fs::fgetxattr(&file, "user.note", &mut value[..]);
            assert!(!attribute || noted.is_ok_and(|length| &value[..length] == b"kept"));
        }
    }

    #[test]
    fn new_files_are_for_everybody_to_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        let replacement = Replacement::write(&path, b"new", 0o644).unwrap();
        assert_eq!((replacement.old(), path.exists()), (None, false));
        replacement.publish(Some(OsStr::new("backup"))).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o644);
        assert_eq!(names(folder.path()), ["f"]);
        remove(&path).unwrap();
        assert_eq!(names(folder.path()), [""; 0]);
    }

    #[test]
    fn what_is_not_published_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        fs::write(&path, "old").unwrap();
        fs::write(folder.path().join(".f.racefetch-new"), "left by a killed process").unwrap();
        let first = Replacement::write(&path, b"new", 0o644).unwrap();
        let error = Replacement::write(&path, b"other", 0o644).unwrap_err().to_string();
        assert!(error.contains("another process"), "{error}");
        drop(first);
        assert_eq!((names(folder.path()), fs::read(&path).unwrap()), (vec!["f".to_owned()], b"old".to_vec()));

        fs::hard_link(&path, folder.path().join("second")).unwrap();
        let error = Replacement::write(&path, b"new", 0o644).unwrap_err().to_string();
        assert!(error.contains("second name"), "{error}");
        symlink("nowhere", folder.path().join("dangling")).unwrap();
        assert!(Replacement::write(&folder.path().join("dangling"), b"new", 0o644).is_err());
        assert_eq!(names(folder.path()), ["dangling", "f", "second"]);
    }
}
