//! Opens what is to be written.
//!
//! Whoever can write to a folder can put a link there that leads to a file of root's, or give such a file a second name
//! there. So in a folder where others can write, root writes neither through a symbolic link that is somebody else's,
//! unless what it leads to is no regular file (`/dev/null`), nor to a file with a second name. That is refused and
//! nothing is removed: curl would have written through it, and it may be there on purpose.

use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{AtFlags, Mode, OFlags, fcntl_getfl, fcntl_setfl, openat, statat};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::{CALM, Folder};
use crate::patience::{PIPE_READER, PULSE};

/// What becomes of what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// It stays as it is, and is written over from its beginning.
    Keep,
    Empty,
    /// It is written behind.
    Append,
}

/// Opens a file for writing, or makes it. A pipe is an output once it has a reader, who is waited for, but not for
/// ever.
#[expect(clippy::disallowed_methods, reason = "a pipe tells nobody that its reader has come")]
pub fn open_output(path: &Path, existing: Existing) -> io::Result<File> {
    let append = if existing == Existing::Append { OFlags::APPEND } else { OFlags::empty() };
    let mut waited = Duration::ZERO;
    let file = loop {
        match open(path, OFlags::WRONLY | append, geteuid().is_root()) {
            Err(error) if is_errno(&error, Errno::NXIO) && waited < PIPE_READER => {
                std::thread::sleep(PULSE);
                waited += PULSE;
            }
            opened => break opened?,
        }
    };
    fcntl_setfl(&file, fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
    let metadata = file.metadata()?;
    if existing == Existing::Empty && metadata.is_file() && metadata.size() > 0 {
        file.set_len(0)?;
    }
    Ok(file)
}

/// Opens a file for writing and reading, or makes it, without a change to what is there. Only a regular file can be read
/// back.
pub fn open_to_verify(path: &Path) -> io::Result<File> {
    let file = open(path, OFlags::RDWR, geteuid().is_root())?;
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(io::Error::other("is not a regular file, and what is verified is kept in one"))
}

/// Without waiting, and without a change to what is there.
fn open(path: &Path, access: OFlags, is_root: bool) -> io::Result<File> {
    let flags = access | OFlags::CREATE | CALM;
    let follow = || io::Result::Ok(rustix::fs::open(path, flags, CREATED)?.into());
    // A path that ends in a slash, for instance: the system says what is wrong with it.
    let Some(name) = path.file_name().filter(|_| is_root) else { return follow() };
    let (folder, _) = Folder::of(path)?;
    if !is_shared(&folder.metadata()?) || path.as_os_str().as_encoded_bytes().ends_with(b"/") {
        return follow();
    }
    let file: File = match openat(folder.as_fd(), name, flags | OFlags::NOFOLLOW, CREATED) {
        Err(Errno::LOOP) => return open_linked(&folder, name, flags),
        opened => opened?.into(),
    };
    let metadata = file.metadata()?;
    if metadata.is_file() && metadata.nlink() > 1 {
        let text = "has a second name (a hard link); root does not write through it: remove it";
        return Err(io::Error::other(text));
    }
    Ok(file)
}

/// What a symbolic link in a shared folder leads to.
fn open_linked(folder: &Folder, name: &OsStr, flags: OFlags) -> io::Result<File> {
    let link = statat(folder.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW)?;
    let is_ours = link.st_uid == geteuid().as_raw();
    let flags = if is_ours { flags } else { flags - OFlags::CREATE };
    match openat(folder.as_fd(), name, flags, CREATED).map(File::from) {
        Ok(file) if is_ours || !file.metadata()?.is_file() => Ok(file),
        Ok(_) | Err(Errno::NOENT) => {
            Err(io::Error::other("is a symbolic link; root does not write through it: remove it"))
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether somebody else than root can put something into a folder.
fn is_shared(folder: &Metadata) -> bool {
    folder.uid() != 0 || folder.mode() & 0o022 != 0
}

/// The mode of a new file, less the umask.
const CREATED: Mode = Mode::from_raw_mode(0o666);

fn is_errno(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno.raw_os_error())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn what_is_there_stays_goes_or_is_written_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        for (existing, there) in [
            (Existing::Empty, "ab"),
            (Existing::Append, "abab"),
            (Existing::Keep, "abab"),
            (Existing::Empty, "ab"),
        ] {
            open_output(&path, existing).unwrap().write_all(b"ab").unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), there, "{existing:?}");
        }
    }

    /// As root sees it: who runs the test is taken for root.
    #[test]
    fn links_count_where_nobody_else_can_put_them() {
        let parent = tempfile::tempdir().unwrap();
        let own = fs::metadata(parent.path()).unwrap().uid() == 0;
        let path = |name: &str| parent.path().join(name);
        fs::write(path("target"), "").unwrap();
        symlink("target", path("link")).unwrap();
        symlink("/dev/null", path("null")).unwrap();
        fs::hard_link(path("target"), path("hard")).unwrap();
        fs::write(path("other"), "").unwrap();
        symlink("new", path("dangling")).unwrap();
        for mode in [0o755, 0o775, 0o1777] {
            fs::set_permissions(parent.path(), fs::Permissions::from_mode(mode)).unwrap();
            let is_open = |name: &str| open(&path(name), OFlags::WRONLY, true).is_ok();
            assert!(is_open("null") && is_open("other"), "{mode:o}");
            assert_eq!(is_open("hard"), mode == 0o755 && own, "{mode:o}");
            // The link is of who runs the test.
            assert!(is_open("link") && is_open("dangling"), "{mode:o}");
        }
    }
}
