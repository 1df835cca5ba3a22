//! The side file: bytes that arrived before their turn, each at its own offset.
//!
//! It lies in a folder beside FILE, with a [`Journal`] of what is in it, so that a later process can take it over.
//! Others may be able to write to that folder. So what is taken over is this user's own, and has no second name
//! somewhere else: a link would make somebody's file part of the distfile, and holes in it.

mod journal;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{FallocateFlags, Mode, OFlags, fallocate};
use rustix::process::geteuid;

use super::names::{Names, own_folder};
use crate::files::{self, Folder};
use crate::http::ByteRange;
use crate::transfer::segments::Segments;
use journal::Journal;

/// Side files that nobody took over for so long are removed, in seconds.
const KEEP: u64 = 14 * 24 * 3600;

#[derive(Debug)]
pub(super) struct Ahead {
    file: File,
    held: Segments,
    /// Where it lies.
    path: PathBuf,
    /// None: it has no name either, and ends with this process.
    named: Option<Named>,
}

#[derive(Debug)]
struct Named {
    folder: Folder,
    names: Names,
    journal: Journal,
}

impl Ahead {
    /// A new, empty side file for `file`. Where the folder for it cannot be used, because it is a link or somebody
    /// else's, it gets no name: a fetch shall not fail because of that.
    pub(super) fn create(file: &Path, identity: &str) -> io::Result<Self> {
        let names = Names::of(file);
        if let Ok((bytes, named)) = create_named(&own_folder(file), names, identity) {
            return Ok(Self {
                file: bytes,
                held: Segments::new(),
                path: file.to_owned(),
                named: Some(named),
            });
        }
        Self::unnamed(file)
    }

    /// A new, empty file beside `file` that has no name.
    pub(super) fn unnamed(file: &Path) -> io::Result<Self> {
        let folder = files::folder_of(file);
        let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
        match rustix::fs::open(folder, flags, Mode::from_raw_mode(0o600)) {
            Ok(bytes) => {
                Ok(Self { file: bytes.into(), held: Segments::new(), path: file.to_owned(), named: None })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// What an earlier process left for the same `identity`. Anything unfit is removed: nobody else would come for
    /// it.
    pub(super) fn take_over(file: &Path, identity: &str) -> Option<Self> {
        let names = Names::of(file);
        let folder = Folder::open_no_link(&own_folder(file)).ok()?;
        let read = || {
            let bytes = open_own(&folder, &names.bytes, OFlags::empty())?;
            let journal = open_own(&folder, &names.journal, OFlags::APPEND)?;
            let size = bytes.metadata()?.len();
            io::Result::Ok((bytes, size, Journal::read(journal, identity)?))
        };
        let Ok((bytes, size, (journal, mut held))) = read() else {
            remove(&folder, &names, file);
            return None;
        };
        held.remove(ByteRange::new(size, u64::MAX));
        Some(Self { file: bytes, held, path: file.to_owned(), named: Some(Named { folder, names, journal }) })
    }

    pub(super) fn held(&self) -> &Segments {
        &self.held
    }

    pub(super) fn write(&mut self, first: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, first)?;
        let range = ByteRange::new(first, first + bytes.len() as u64);
        self.held.insert(range);
        self.record('+', range)
    }

    pub(super) fn read(&self, first: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buffer, first)
    }

    /// Gives up bytes, and the space that they take.
    pub(super) fn forget(&mut self, range: ByteRange) -> io::Result<()> {
        let given_up = self.held.intersection(range);
        self.held.remove(range);
        for range in given_up.iter() {
            self.record('-', range)?;
            // Not every file system can; the space is free when the file is removed.
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            let _ = fallocate(&self.file, flags, range.first, range.len());
        }
        Ok(())
    }

    pub(super) fn can_punch(&self) -> bool {
        files::can_punch(&self.file)
    }

    /// Removes the side file, its journal, and the folder when it is empty.
    pub(super) fn remove(self) {
        if let Some(named) = &self.named {
            remove(&named.folder, &named.names, &self.path);
        }
    }

    fn record(&mut self, sign: char, range: ByteRange) -> io::Result<()> {
        let Some(Named { folder, names, journal }) = &mut self.named else { return Ok(()) };
        let recorded = journal.record(sign, range);
        if journal.is_long() {
            // Failing that, the long one is as good.
            let _ = journal.shorten(&self.held, folder, &names.draft, &names.journal);
        }
        recorded
    }
}

fn create_named(folder: &Path, names: Names, identity: &str) -> io::Result<(File, Named)> {
    let folder = Folder::make_like_parent(folder)?;
    sweep(&folder);
    let create = |name: &OsStr| {
        let _ = folder.remove_file(name); // whatever lies there is not for this file
        folder.create_file(name, 0o664)
    };
    let (bytes, journal) = (create(&names.bytes)?, create(&names.journal)?);
    let journal = Journal::begin(journal, identity)?;
    Ok((bytes, Named { folder, names, journal }))
}

fn open_own(folder: &Folder, name: &OsStr, flags: OFlags) -> io::Result<File> {
    let file = folder.open_file(name, OFlags::RDWR | flags)?;
    let metadata = file.metadata()?;
    let own = metadata.uid() == geteuid().as_raw() && metadata.nlink() == 1;
    if own { Ok(file) } else { Err(io::ErrorKind::PermissionDenied.into()) }
}

fn remove(folder: &Folder, names: &Names, file: &Path) {
    for name in [&names.bytes, &names.journal, &names.draft] {
        let _ = folder.remove_file(name);
    }
    let _ = fs::remove_dir(own_folder(file));
}

/// Removes side files that nobody wants any longer.
#[expect(clippy::disallowed_methods, reason = "the age of files counts from now")]
fn sweep(folder: &Folder) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    for name in folder.names().unwrap_or_default() {
        if Names::is_one(&name) && folder.modified(&name).is_ok_and(|at| now.saturating_sub(at) > KEEP) {
            let _ = folder.remove_file(&name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However much was written and given up, the journal stays short, and says what is held.
    #[test]
    fn a_long_life_leaves_a_short_journal() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.__download__");
        let mut ahead = Ahead::create(&file, "x").unwrap();
        ahead.write(5, b"abc").unwrap();
        for n in 0..10_000 {
            ahead.write(1000 + n, b"d").unwrap();
            ahead.forget(ByteRange::new(1000 + n, 1001 + n)).unwrap();
        }
        ahead.write(20_000, b"ef").unwrap();
        let held = ahead.held().clone();
        drop(ahead);
        let journal = fs::metadata(folder.path().join(".racefetch/x.journal")).unwrap();
        assert!(journal.len() < journal::LONGEST, "{}", journal.len());
        let ahead = Ahead::take_over(&file, "x").unwrap();
        assert_eq!(*ahead.held(), held);
        let mut read = [0; 3];
        ahead.read(5, &mut read).unwrap();
        assert_eq!(&read, b"abc");
        ahead.remove();
        assert!(!own_folder(&file).exists());
    }

    #[test]
    fn side_files_with_a_second_name_are_not_taken_over() {
        for name in ["x.ahead", "x.journal"] {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("x.__download__");
            let mut ahead = Ahead::create(&file, "x").unwrap();
            ahead.write(5, b"abc").unwrap();
            drop(ahead);
            let second = folder.path().join("second");
            fs::hard_link(own_folder(&file).join(name), &second).unwrap();
            assert!(Ahead::take_over(&file, "x").is_none(), "{name}");
            assert!(second.exists() && !own_folder(&file).exists(), "{name}");
        }
    }

    /// A file in the folder's place: the bytes are kept all the same, as long as the process lives.
    #[test]
    fn without_a_folder_there_is_a_side_file_without_a_name() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.__download__");
        fs::write(own_folder(&file), "").unwrap();
        let mut ahead = Ahead::create(&file, "x").unwrap();
        ahead.write(5, b"abc").unwrap();
        let mut read = [0; 3];
        ahead.read(5, &mut read).unwrap();
        assert_eq!(&read, b"abc");
        ahead.forget(ByteRange::new(5, 7)).unwrap();
        assert_eq!(*ahead.held(), Segments::of(ByteRange::new(7, 8)));
        ahead.remove();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
