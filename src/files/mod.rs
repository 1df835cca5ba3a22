//! Files and folders where others may have put something else: a link, a pipe, a device.
//!
//! Nothing here waits for a pipe's other end, reads without a limit, or trusts a path to lead twice to the same
//! place.

mod folder;
mod output;
mod replace;

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{FallocateFlags, Mode, OFlags, fallocate};
use rustix::io::Errno;
use rustix::process::geteuid;

pub use folder::Folder;
pub use output::{Existing, open_output, open_to_verify};
pub use replace::{Replacement, backup_name, remove};

/// The folder that a file lies in.
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Reads a file of at most `largest` bytes. Symbolic links to it are followed.
pub fn read(path: &Path, largest: u64) -> io::Result<Vec<u8>> {
    read_all(&open(path)?, largest)
}

/// Opens a regular file for reading. Symbolic links to it are followed.
pub fn open(path: &Path) -> io::Result<File> {
    regular(rustix::fs::open(path, OFlags::RDONLY | CALM, Mode::empty())?.into())
}

/// Opens a regular file for reading and writing, without a change to it, or makes it. Whether it was made.
pub fn open_or_make(path: &Path) -> io::Result<(File, bool)> {
    match rustix::fs::open(path, OFlags::RDWR | CALM, Mode::empty()) {
        Err(Errno::NOENT) => {}
        opened => return Ok((regular(opened?.into())?, false)),
    }
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | CALM;
    Ok((rustix::fs::open(path, flags, Mode::from_raw_mode(0o666))?.into(), true))
}

/// What an open file holds, unless that is more than `largest` bytes.
pub fn read_all(file: &File, largest: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    let size = file.metadata()?.len();
    if size <= largest {
        content.reserve_exact(usize::try_from(size).unwrap_or_default() + 1);
        file.take(largest.saturating_add(1)).read_to_end(&mut content)?;
    }
    if size.max(content.len() as u64) > largest {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("more than {} KiB", largest >> 10)));
    }
    Ok(content)
}

/// An error unless an open file is a regular one with one name: whoever has put a second name here, or has a second one
/// elsewhere, must not have that file published, shared or changed.
pub fn check_sole(file: &File) -> io::Result<()> {
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.nlink() != 1 {
        return Err(io::Error::other("it was removed, or has a second name (a hard link)"));
    }
    Ok(())
}

/// Bytes that this user can still write to the file system of a path; none when it does not say so.
pub fn room(path: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(path).ok().filter(|found| found.f_blocks > 0)?;
    let blocks = if geteuid().is_root() { found.f_bfree } else { found.f_bavail };
    Some(blocks.saturating_mul(found.f_frsize))
}

/// Whether space can be given back in the middle of a file. Nothing is changed.
pub fn can_punch(file: &File) -> bool {
    let Ok(size) = file.metadata().map(|file| file.len()) else { return false };
    fallocate(file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, size, 1).is_ok()
}

/// Opening a pipe or a terminal with these neither waits nor makes the terminal ours.
const CALM: OFlags = OFlags::NONBLOCK.union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

fn regular(file: File) -> io::Result<File> {
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use rustix::fs::CWD;

    use super::*;

    #[test]
    fn only_regular_files_of_bearable_size_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        let kind = |result: io::Result<Vec<u8>>| result.unwrap_err().kind();
        fs::write(&path, "12345").unwrap();
        assert_eq!(read(&path, 5).unwrap(), b"12345");
        assert_eq!(kind(read(&path, 4)), io::ErrorKind::FileTooLarge);
        let link = folder.path().join("link");
        symlink("f", &link).unwrap();
        assert_eq!(read(&link, 5).unwrap(), b"12345");
        assert_eq!(kind(read(folder.path(), 5)), io::ErrorKind::IsADirectory);
        assert_eq!(kind(read(&folder.path().join("missing"), 5)), io::ErrorKind::NotFound);
        assert_eq!(kind(read(Path::new("/dev/zero"), 5)), io::ErrorKind::Other);
        let pipe = folder.path().join("pipe");
        let mode = Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        assert_eq!(kind(read(&pipe, 5)), io::ErrorKind::Other);
    }
}
