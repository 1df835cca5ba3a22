//! The journal of a side file: which bytes are in it.
//!
//! Text, one record a line: `+ FIRST END` after those bytes were written, `- FIRST END` before they are given up. It
//! is appended to, and now and then replaced by a short one that says the same. A process that is killed between two
//! steps leaves at worst bytes that no record names. A torn last line is passed over.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};

use crate::files::{self, Folder};
use crate::http::ByteRange;
use crate::transfer::segments::Segments;

/// A journal longer than this is none of ours, in bytes.
pub(super) const LONGEST: u64 = 2 * LONG;
/// One that has grown by so much is long, in bytes.
const LONG: u64 = 64 * 1024;

#[derive(Debug)]
pub(super) struct Journal {
    file: File,
    /// The first line: what the side file is for.
    header: String,
    /// How much it has grown since it was short, in bytes.
    grown: u64,
}

impl Journal {
    /// A new one, in an empty file.
    pub(super) fn begin(mut file: File, identity: &str) -> io::Result<Self> {
        let header = header(identity);
        file.write_all(header.as_bytes())?;
        Ok(Self { file, header, grown: 0 })
    }

    /// One that an earlier process has written, to be gone on with, and what it says is there. `file` is open for
    /// appending.
    pub(super) fn read(file: File, identity: &str) -> io::Result<(Self, Segments)> {
        let header = header(identity);
        let text = files::read_all(&file, LONGEST)?;
        let text = std::str::from_utf8(&text).ok();
        let held = text.and_then(|text| parse(text, &header)).ok_or(io::ErrorKind::InvalidData)?;
        // The next record makes it short, and with that a torn last line vanishes.
        Ok((Self { file, header, grown: LONG }, held))
    }

    pub(super) fn record(&mut self, sign: char, range: ByteRange) -> io::Result<()> {
        let line = line(sign, range);
        self.grown += line.len() as u64;
        self.file.write_all(line.as_bytes())
    }

    pub(super) fn is_long(&self) -> bool {
        self.grown > LONG
    }

    /// Puts a journal of what is `held` in the place of the one that tells how it came about.
    pub(super) fn shorten(
        &mut self,
        held: &Segments,
        folder: &Folder,
        draft: &OsStr,
        name: &OsStr,
    ) -> io::Result<()> {
        self.grown = 0; // also when it fails: the next try comes when it has grown as much again
        let _ = folder.remove_file(draft); // of a process that was killed
        let mut file = folder.create_file(draft, 0o664)?;
        let records: String = held.iter().map(|range| line('+', range)).collect();
        file.write_all(format!("{}{records}", self.header).as_bytes())?;
        folder.rename_file(&file, draft, name)?;
        self.file = file;
        Ok(())
    }
}

fn header(identity: &str) -> String {
    format!("racefetch ahead 1 {identity}\n")
}

fn line(sign: char, range: ByteRange) -> String {
    format!("{sign} {} {}\n", range.first, range.end)
}

/// What a journal says is there; none when it does not begin with this `header`.
fn parse(text: &str, header: &str) -> Option<Segments> {
    let mut held = Segments::new();
    for line in text.strip_prefix(header)?.split_inclusive('\n') {
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_torn_journal_says_what_it_can() {
        let text = format!("{}+ 10 20\n+ 30 40\n- 12 14\n+ 50 6", header("x"));
        let held: Vec<ByteRange> = parse(&text, &header("x")).unwrap().iter().collect();
        assert_eq!(held, [ByteRange::new(10, 12), ByteRange::new(14, 20), ByteRange::new(30, 40)]);
        assert!(parse(&text, &header("y")).is_none());
    }

    /// What is recorded after a torn line must not be lost with it.
    #[test]
    fn a_torn_journal_is_gone_on_with() {
        let folder = tempfile::tempdir().unwrap();
        let (draft, name) = (OsStr::new("draft"), OsStr::new("journal"));
        std::fs::write(folder.path().join(name), format!("{}+ 10 20\n+ 50 6", header("x"))).unwrap();
        let folder = Folder::open(folder.path()).unwrap();
        let open = || folder.open_file(name, rustix::fs::OFlags::RDWR | rustix::fs::OFlags::APPEND).unwrap();
        let (mut journal, mut held) = Journal::read(open(), "x").unwrap();
        held.insert(ByteRange::new(70, 80));
        journal.record('+', ByteRange::new(70, 80)).unwrap();
        assert!(journal.is_long());
        journal.shorten(&held, &folder, draft, name).unwrap();
        assert!(!journal.is_long());
        held.insert(ByteRange::new(90, 95));
        journal.record('+', ByteRange::new(90, 95)).unwrap();
        assert_eq!(Journal::read(open(), "x").unwrap().1, held);
    }

    proptest! {
        #[test]
        fn any_journal_is_read_without_harm(text in ".*", lines in "([+-] [0-9]{1,20} [0-9]{1,20}\n){0,9}") {
            let _ = parse(&text, &header("x"));
            let _ = parse(&format!("{}{lines}", header("x")), &header("x"));
        }
    }
}
