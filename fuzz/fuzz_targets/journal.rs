//! The journal of a side file.

#![no_main]
#![allow(dead_code, reason = "the file is taken as it is, with what only the side file needs")]

use std::fs::File;
use std::io::{Seek, Write};

use libfuzzer_sys::fuzz_target;
use racefetch::http::ByteRange;
use racefetch::{files, http, transfer};
use rustix::fs::{MemfdFlags, memfd_create};

#[path = "../../src/transfer/sink/ahead/journal.rs"]
mod journal;

use journal::Journal;

fuzz_target!(|data: &[u8]| {
    let mut file = empty();
    file.write_all(b"racefetch ahead 1 x\n").unwrap();
    file.write_all(data).unwrap();
    file.rewind().unwrap();
    let Ok((_, held)) = Journal::read(file, "x") else { return };
    let ranges: Vec<ByteRange> = held.iter().collect();
    assert!(ranges.iter().all(|range| range.first < range.end));
    assert!(ranges.windows(2).all(|pair| pair[0].end < pair[1].first));

    // What is recorded is read again.
    let mut copy = empty();
    let mut journal = Journal::begin(copy.try_clone().unwrap(), "x").unwrap();
    for range in ranges {
        journal.record('+', range).unwrap();
    }
    copy.rewind().unwrap();
    assert_eq!(Journal::read(copy, "x").unwrap().1, held);
});

fn empty() -> File {
    memfd_create("journal", MemfdFlags::CLOEXEC).unwrap().into()
}
