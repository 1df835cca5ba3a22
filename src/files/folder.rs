//! A folder that is held on to while files in it are made, replaced and removed.

use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, File, Metadata};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags, fchmod, fchown};
use rustix::io::Errno;
use rustix::process::{Gid, geteuid};

use super::{CALM, folder_of, regular};

/// An open folder. Whatever becomes of its path, names are looked up in this folder and in no other, and none of
/// them is followed when it is a symbolic link.
#[derive(Debug)]
pub struct Folder(File);

impl Folder {
    /// Symbolic links to it are followed.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::open_with(path, OFlags::empty())
    }

    /// The folder that a file lies in, and the file's name there.
    pub fn of(path: &Path) -> io::Result<(Self, &OsStr)> {
        let name = path.file_name().ok_or_else(|| io::Error::other("the path names no file"))?;
        Ok((Self::open(folder_of(path))?, name))
    }

    /// A symbolic link in its place is an error.
    pub fn open_no_link(path: &Path) -> io::Result<Self> {
        match Self::open_with(path, OFlags::NOFOLLOW) {
            Err(error) if error.kind() == io::ErrorKind::NotADirectory && is_link(path) => {
                Err(Errno::LOOP.into())
            }
            opened => opened,
        }
        .map_err(name_link)
    }

    /// Makes a folder, if it does not exist, for those who can use the folder that it lies in.
    pub fn make_like_parent(path: &Path) -> io::Result<Self> {
        match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Self::open_no_link(path),
            made => made?,
        }
        Self::share_like_parent(path).inspect_err(|_| {
            let _ = fs::remove_dir(path); // nobody else could use it
        })
    }

    fn share_like_parent(path: &Path) -> io::Result<Self> {
        // Others may have put something else there meanwhile: what is opened must be what was made.
        let made = Self::open_no_link(path)?;
        if made.0.metadata()?.uid() != geteuid().as_raw() {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let parent = fs::metadata(folder_of(path))?;
        let _ = fchown(&made.0, None, Some(Gid::from_raw(parent.gid()))); // fails unless one is in that group
        fchmod(&made.0, Mode::from_raw_mode(parent.mode() & 0o2775 | 0o700))?;
        Ok(made)
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    pub fn metadata(&self) -> io::Result<Metadata> {
        self.0.metadata()
    }

    /// Opens a regular file.
    pub fn open_file(&self, name: &OsStr, access: OFlags) -> io::Result<File> {
        let flags = access | OFlags::NOFOLLOW | CALM;
        let file = rustix::fs::openat(&self.0, name, flags, Mode::empty());
        regular(file.map_err(|error| name_link(error.into()))?.into())
    }

    /// Makes a file that did not exist before.
    pub fn create_file(&self, name: &OsStr, mode: u32) -> io::Result<File> {
        // `O_EXCL` follows no symbolic link.
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(&self.0, name, flags, Mode::from_raw_mode(mode))?.into())
    }

    pub fn remove_file(&self, name: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.0, name, AtFlags::empty())?)
    }

    pub fn rename(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.0, from, &self.0, to)?)
    }

    /// Gives an open file another name, and no other file in its stead: who can write to the folder can swap names at
    /// any time. One that was swapped between the look and the renaming gets its name back.
    pub fn rename_file(&self, file: &File, from: &OsStr, to: &OsStr) -> io::Result<()> {
        if !self.is_at(file, from) {
            return Err(replaced());
        }
        self.rename(from, to)?;
        if !self.is_at(file, to) {
            let _ = self.rename(to, from); // somebody may have taken it away already
            return Err(replaced());
        }
        Ok(())
    }

    /// Holds on to what has this name, be it a symbolic link, without reading it.
    pub fn hold(&self, name: &OsStr) -> io::Result<File> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(&self.0, name, flags, Mode::empty())?.into())
    }

    /// Makes an open file usable for those who can use this folder: its group, and that mode. Not everybody may change
    /// the group, nor does every file system know groups and modes; then it stays as it is.
    pub fn share(&self, file: &File, mode: u32) {
        if let Ok(folder) = self.metadata() {
            let _ = fchown(file, None, Some(Gid::from_raw(folder.gid())));
        }
        let _ = fchmod(file, Mode::from_raw_mode(mode));
    }

    /// Opens this folder to a group: what is made in it is the group's, too.
    pub fn give_to_group(&self, group: u32) -> io::Result<()> {
        fchown(&self.0, None, Some(Gid::from_raw(group)))?;
        Ok(fchmod(&self.0, Mode::from_raw_mode(0o2775))?)
    }

    /// Makes a file for a lock, or opens the one that is there: whoever can open it can lock it, so that nobody can who
    /// could not write to this folder. Whether it was made.
    pub fn lock_file(&self, name: &OsStr) -> io::Result<(File, bool)> {
        let is_everybodys = self.metadata()?.mode() & 0o002 != 0;
        let mode = if is_everybodys { 0o666 } else { 0o660 };
        match self.create_file(name, 0o600) {
            Ok(file) => {
                self.share(&file, mode);
                return Ok((file, true));
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        let file = self.open_file(name, OFlags::RDWR)?;
        let found = file.metadata()?;
        if found.mode() & 0o777 != mode && found.uid() == geteuid().as_raw() {
            self.share(&file, mode);
        }
        Ok((file, false))
    }

    /// Makes a symbolic link to a text that is no path.
    pub fn link_to(&self, text: &str, name: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::symlinkat(text, &self.0, name)?)
    }

    /// Where a symbolic link leads.
    pub fn read_link(&self, name: &OsStr) -> io::Result<OsString> {
        let text = rustix::fs::readlinkat(&self.0, name, Vec::new())?;
        Ok(OsString::from_vec(text.into_bytes()))
    }

    /// Whether anything has this name, be it a symbolic link to nowhere.
    pub fn has(&self, name: &OsStr) -> io::Result<bool> {
        match rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether a name leads to that very file.
    pub fn is_at(&self, file: &File, name: &OsStr) -> bool {
        let there = rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW);
        let (Ok(file), Ok(there)) = (rustix::fs::fstat(file), there) else { return false };
        (file.st_dev, file.st_ino) == (there.st_dev, there.st_ino)
    }

    /// When a file was last written to, in UNIX seconds.
    pub fn modified(&self, name: &OsStr) -> io::Result<u64> {
        let found = rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(u64::try_from(found.st_mtime).unwrap_or(0))
    }

    /// The names in it, as far as they can be read.
    pub fn names(&self) -> io::Result<Vec<OsString>> {
        let entries = rustix::fs::Dir::read_from(&self.0)?.flatten();
        Ok(entries.map(|entry| OsString::from_vec(entry.file_name().to_bytes().to_vec())).collect())
    }

    fn open_with(path: &Path, flags: OFlags) -> io::Result<Self> {
        let flags = flags | OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(rustix::fs::open(path, flags, Mode::empty())?.into()))
    }
}

fn replaced() -> io::Error {
    io::Error::other("somebody has put another file in its place")
}

fn is_link(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|found| found.is_symlink())
}

fn name_link(error: io::Error) -> io::Error {
    if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) {
        return io::Error::other("it is a symbolic link, which racefetch does not follow");
    }
    error
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_folder_is_one_and_the_same_whatever_becomes_of_its_path() {
        let parent = tempfile::tempdir().unwrap();
        fs::set_permissions(parent.path(), fs::Permissions::from_mode(0o2775)).unwrap();
        let path = parent.path().join("own");
        let folder = Folder::make_like_parent(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o2775);
        let elsewhere = parent.path().join("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        fs::rename(&path, parent.path().join("moved")).unwrap();
        symlink(&elsewhere, &path).unwrap();
        folder.create_file(OsStr::new("f"), 0o600).unwrap();
        assert!(parent.path().join("moved/f").exists() && !elsewhere.join("f").exists());

        for refused in [Folder::open_no_link(&path), Folder::make_like_parent(&path)] {
            let error = refused.unwrap_err().to_string();
            assert!(error.contains("symbolic link"), "{error}");
        }
        assert!(Folder::open(&path).is_ok());
    }

    #[test]
    fn only_the_open_file_gets_the_name() {
        let parent = tempfile::tempdir().unwrap();
        let path = |name: &str| parent.path().join(name);
        let (folder, name) = (Folder::open(parent.path()).unwrap(), OsStr::new);
        let file = folder.create_file(name("part"), 0o600).unwrap();
        fs::rename(path("part"), path("kept")).unwrap();
        let swapped: [fn(&Path); 3] =
            [|part| fs::write(part, "theirs").unwrap(), |part| symlink("kept", part).unwrap(), |_| {}];
        for swap in swapped {
            swap(&path("part"));
            let error = folder.rename_file(&file, name("part"), name("whole")).unwrap_err().to_string();
            assert!(error.contains("another file in its place"), "{error}");
            assert!(!path("whole").exists() && path("kept").exists());
            let _ = fs::remove_file(path("part"));
        }
        folder.rename_file(&file, name("kept"), name("whole")).unwrap();
        assert!(folder.is_at(&file, name("whole")) && !path("kept").exists());
    }
}
