//! The side file: bytes that arrived before their turn, and a journal of which.
//!
//! The journal is text, one record a line, only ever appended to: `+ FIRST END` after those bytes were written,
//! `- FIRST END` before they are given up. A process that is killed between two steps leaves at worst bytes that
//! no record names. A torn last line is passed over.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{FallocateFlags, fallocate};

use super::segments::Segments;
use super::sink::SinkError;
use crate::http::ByteRange;

const FOLDER: &str = ".racefetch";
const HEADER: &str = "racefetch ahead 1";
/// Side files that nobody took over for so long are removed.
const KEEP: Duration = Duration::from_secs(14 * 24 * 3600);
/// A journal longer than this is not read, in bytes.
const JOURNAL_LIMIT: u64 = 16 * 1024 * 1024;

#[derive(Debug)]
pub(super) struct Ahead {
    paths: Paths,
    file: File,
    journal: File,
    held: Segments,
}

#[derive(Clone, Debug)]
struct Paths {
    folder: PathBuf,
    bytes: PathBuf,
    journal: PathBuf,
}

impl Paths {
    fn of(file: &Path) -> Self {
        let folder = file.parent().unwrap_or(Path::new("")).join(FOLDER);
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let name = name.strip_suffix(".__download__").unwrap_or(&name);
        Self {
            bytes: folder.join(format!("{name}.ahead")),
            journal: folder.join(format!("{name}.journal")),
            folder,
        }
    }
}

impl Ahead {
    /// A new, empty side file for `file`.
    pub(super) fn create(file: &Path, identity: &str) -> Result<Self, SinkError> {
        let paths = Paths::of(file);
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |e: io::Error| SinkError::new(&path, &e)
        };
        match fs::create_dir(&paths.folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(failed(&paths.folder)(error));
            }
            _ => sweep(&paths.folder),
        }
        let open = |path: &Path| {
            let _ = fs::remove_file(path); // whatever lies there is not for this file
            let mut options = OpenOptions::new();
            options.read(true).write(true).create_new(true).mode(0o664).open(path).map_err(failed(path))
        };
        let (bytes, mut journal) = (open(&paths.bytes)?, open(&paths.journal)?);
        writeln!(journal, "{HEADER} {identity}").map_err(failed(&paths.journal))?;
        Ok(Self { paths, file: bytes, journal, held: Segments::new() })
    }

    /// What an earlier process left for the same `identity`. Anything unfit is passed over.
    pub(super) fn take_over(file: &Path, identity: &str) -> Option<Self> {
        let paths = Paths::of(file);
        let open = |path: &Path| {
            let no_follow = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or(0);
            OpenOptions::new()
                .read(true)
                .append(path == paths.journal)
                .write(true)
                .custom_flags(no_follow)
                .open(path)
        };
        let (bytes, mut journal) = (open(&paths.bytes).ok()?, open(&paths.journal).ok()?);
        let mut text = String::new();
        (&mut journal).take(JOURNAL_LIMIT).read_to_string(&mut text).ok()?;
        let mut held = parse(&text, identity)?;
        held.remove(ByteRange::new(bytes.metadata().ok()?.len(), u64::MAX));
        (!held.is_empty()).then_some(Self { paths, file: bytes, journal, held })
    }

    pub(super) fn held(&self) -> &Segments {
        &self.held
    }

    pub(super) fn write(&mut self, first: u64, bytes: &[u8]) -> Result<(), SinkError> {
        self.file.write_all_at(bytes, first).map_err(|e| SinkError::new(&self.paths.bytes, &e))?;
        let range = ByteRange::new(first, first + bytes.len() as u64);
        self.record('+', range)?;
        self.held.insert(range);
        Ok(())
    }

    pub(super) fn read(&self, first: u64, buffer: &mut [u8]) -> Result<(), SinkError> {
        self.file.read_exact_at(buffer, first).map_err(|e| SinkError::new(&self.paths.bytes, &e))
    }

    /// Gives up bytes, and the space that they take.
    pub(super) fn forget(&mut self, range: ByteRange) -> Result<(), SinkError> {
        for range in self.held.intersection(range).iter() {
            self.record('-', range)?;
            // Not every file system can; the space is free when the file is removed.
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            let _ = fallocate(&self.file, flags, range.first, range.len());
        }
        self.held.remove(range);
        Ok(())
    }

    /// Removes the side file, its journal, and the folder when it is empty.
    pub(super) fn remove(self) {
        let _ = fs::remove_file(&self.paths.bytes);
        let _ = fs::remove_file(&self.paths.journal);
        let _ = fs::remove_dir(&self.paths.folder);
    }

    fn record(&mut self, sign: char, range: ByteRange) -> Result<(), SinkError> {
        let line = format!("{sign} {} {}\n", range.first, range.end);
        self.journal.write_all(line.as_bytes()).map_err(|e| SinkError::new(&self.paths.journal, &e))
    }
}

/// What a journal says is there; none when it is not one for this `identity`.
fn parse(text: &str, identity: &str) -> Option<Segments> {
    let mut lines = text.split_inclusive('\n');
    if lines.next()? != format!("{HEADER} {identity}\n") {
        return None;
    }
    let mut held = Segments::new();
    for line in lines {
        let Some((sign, range)) = record(line) else { break };
        if sign == "+" { held.insert(range) } else { held.remove(range) }
    }
    Some(held)
}

fn record(line: &str) -> Option<(&str, ByteRange)> {
    let mut words = line.strip_suffix('\n')?.split(' ');
    let sign = words.next().filter(|sign| matches!(*sign, "+" | "-"))?;
    let (first, end) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    (first <= end && words.next().is_none()).then_some((sign, ByteRange { first, end }))
}

/// Removes side files that nobody wants any longer.
#[expect(clippy::disallowed_methods, reason = "the age of files counts from now")]
fn sweep(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let ours = path.extension().is_some_and(|e| e == "ahead" || e == "journal");
        let modified = entry.metadata().and_then(|m| m.modified());
        let age = modified.ok().and_then(|at| SystemTime::now().duration_since(at).ok());
        if ours && age.is_some_and(|age| age > KEEP) {
            let _ = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_torn_journal_says_what_it_can() {
        let text = format!("{HEADER} x\n+ 10 20\n+ 30 40\n- 12 14\n+ 50 6");
        let held: Vec<ByteRange> = parse(&text, "x").unwrap().iter().collect();
        assert_eq!(held, [ByteRange::new(10, 12), ByteRange::new(14, 20), ByteRange::new(30, 40)]);
        assert!(parse(&text, "y").is_none());
    }

    proptest! {
        #[test]
        fn any_journal_is_read_without_harm(text in ".*", lines in "([+-] [0-9]{1,20} [0-9]{1,20}\n){0,9}") {
            let _ = parse(&text, "x");
            let _ = parse(&format!("{HEADER} x\n{lines}"), "x");
        }
    }
}
