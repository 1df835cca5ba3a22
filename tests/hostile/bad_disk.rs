//! A disk from which what was written cannot be read back. That is our own trouble: it ends the run with status 23 and
//! one line, speaks against no mirror, and costs no byte.
//!
//! A library that is loaded before libc stands in for the disk: from some point on it answers EIO to reads of one
//! file. Where there is no C compiler to make it, the tests say so and do nothing.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;

use super::run::{Distfile, Place, Racefetch};
use crate::support::content::content;
use crate::support::mirror::{Mirror, Rule};

const SOURCE: &str = r#"
#define _GNU_SOURCE
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static atomic_llong came;

ssize_t pread64(int fd, void *buffer, size_t length, off_t offset) {
    const char *name = getenv("BAD_FILE"), *good = getenv("GOOD_BYTES");
    char link[64], path[4096] = "";
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    readlink(link, path, sizeof path - 1);
    if (name && good && strstr(path, name) && atomic_load(&came) >= atoll(good)) {
        errno = EIO;
        return -1;
    }
    ssize_t n = syscall(SYS_pread64, fd, buffer, length, offset);
    if (name && n > 0 && strstr(path, name)) atomic_fetch_add(&came, n);
    return n;
}

ssize_t pread(int fd, void *buffer, size_t length, off_t offset) {
    return pread64(fd, buffer, length, offset);
}
"#;

/// The library; none where there is no compiler.
static LIBRARY: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let (source, library) = (folder.join("bad_disk.c"), folder.join("bad_disk.so"));
    fs::write(&source, SOURCE).unwrap();
    let made = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).status();
    match made {
        Ok(status) => assert!(status.success(), "the library could not be made"),
        Err(error) if error.kind() == ErrorKind::NotFound => return None,
        Err(error) => panic!("cc: {error}"),
    }
    Some(library)
});

const NAME: &str = "x-1.tar";
const FILE: &str = "x-1.tar.__download__";
const PATH: &str = "/distfiles/x-1.tar";
const SIZE: usize = 4 << 20;
/// Bytes that a race asks for in vain, or that wait in the kernel when it is over.
const MOST_WASTED: usize = 1 << 20;

/// Three mirrors at two megabytes per second, each with this.
fn mirrors(contents: [&[u8]; 3]) -> [Mirror; 3] {
    contents.map(|bytes| {
        let mirror = Mirror::start();
        mirror.limit_rate(2_000_000);
        mirror.on("/distfiles/layout.conf").serve("[structure]\n0=flat\n").always();
        mirror.on(PATH).add(Rule::serve(bytes).always());
        mirror
    })
}

fn fetch(place: &Place, right: &[u8], mirrors: &[Mirror; 3]) -> Racefetch {
    let file = Distfile { name: NAME, content: right };
    let bases = mirrors.each_ref().map(|mirror| mirror.url("")).join(" ");
    let run = place.racefetch().args(file.arguments()).args(["--mirrors", &bases]);
    run.arg(mirrors[0].url(PATH))
}

fn sent(mirrors: &[Mirror; 3]) -> u64 {
    mirrors.iter().map(Mirror::body_bytes_sent).sum()
}

/// Of a file whose name contains `bad`, that many bytes can be read. Afterwards the disk is in order again, and what is
/// not in FILE is fetched.
#[track_caller]
fn cannot_be_read_back(bad: &str, good_bytes: usize, contents: [&[u8]; 3]) {
    let Some(library) = &*LIBRARY else {
        eprintln!("skipped: there is no C compiler (cc), which has to make the disk");
        return;
    };
    let right = contents[2];
    let (place, mirrors) = (Place::new(), mirrors(contents));
    let run = fetch(&place, right, &mirrors).env("LD_PRELOAD", library.to_str().unwrap());
    let run = run.env("BAD_FILE", bad).env("GOOD_BYTES", good_bytes.to_string());
    let ran = run.fails(23, &[FILE, "Input/output error"]);
    assert!(!ran.stderr().contains("wrong bytes"), "{ran:?}");
    let stats = place.bare().args(["stats", "--json"]).succeeds();
    let stats: serde_json::Value = serde_json::from_slice(&stats.stdout).unwrap();
    for mirror in &mirrors {
        assert_eq!(stats["mirrors"][mirror.url("")]["failures"], serde_json::json!({}), "{stats:#}\n{ran:?}");
    }
    let held = place.read(FILE);
    let lacking = if right.starts_with(&held) { SIZE - held.len() } else { 3 * SIZE };
    let before = sent(&mirrors);
    fetch(&place, right, &mirrors).succeeds();
    assert!(place.read(FILE) == right);
    let more = sent(&mirrors) - before;
    let most = if lacking == 0 { 0 } else { lacking + MOST_WASTED };
    assert!(more <= most as u64, "{more} bytes more, and {lacking} were lacking\n{ran:?}");
}

#[test]
fn the_file_itself() {
    let right = content(1, SIZE);
    // Nothing of it can be read, or some, or all but the end.
    for good_bytes in [0, 300_000, 2 * SIZE - 600_000] {
        cannot_be_read_back(FILE, good_bytes, [&right; 3]);
    }
}

#[test]
fn what_lies_ahead_of_it() {
    let right = content(1, SIZE);
    for good_bytes in [0, 500_000] {
        cannot_be_read_back(".ahead", good_bytes, [&right; 3]);
    }
}

#[test]
fn what_is_to_be_compared() {
    // It is hashed by two algorithms, and is wrong.
    let (right, wrong) = (content(1, SIZE), content(2, SIZE));
    cannot_be_read_back(FILE, 2 * SIZE, [&wrong, &right, &right]);
}
