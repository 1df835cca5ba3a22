//! `racefetch-mirror-sync`: distfiles by rsync.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::lan::wait_for;
use super::rsync::{Machine, Source, kill};
use crate::support::content::content;

const SCRIPT: &str = "racefetch-mirror-sync";

fn name(i: u64) -> String {
    format!("{i:02x}/file-{i}.tar")
}

fn file(i: u64, generation: u64) -> Vec<u8> {
    content(i + 1000 * generation, 100_000)
}

/// All files of a generation. Those of an older one that this one lacks go.
fn fill(source: &Source, generation: u64, numbers: std::ops::Range<u64>) {
    let _ = fs::remove_dir_all(source.files());
    // Years away, so that the files are new to SYNC_NEWER_DAYS, too.
    let time = 4_000_000_000 + generation;
    for i in numbers {
        source.put(&name(i), file(i, generation), time);
    }
    source.put("layout.conf", "[structure]\n0=filename-hash BLAKE2B 8\n", time);
    source.put("timestamp.mirmon", format!("{}\n", 1_800_000_000 + generation), time);
}

fn machine(sources: &[&Source]) -> Machine {
    let urls: Vec<String> = sources.iter().map(|source| source.url()).collect();
    Machine::new(SCRIPT, &format!("SYNC_SOURCES=\"{}\"\nSYNC_DELAY=0", urls.join(" ")))
}

/// What is served: paths and contents, without hidden files and folders.
fn served(machine: &Machine) -> BTreeMap<String, Vec<u8>> {
    fn collect(folder: &Path, prefix: &str, files: &mut BTreeMap<String, Vec<u8>>) {
        for entry in fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok) {
            let name = entry.file_name().into_string().unwrap();
            if name.starts_with('.') {
                continue;
            }
            if entry.path().is_dir() {
                collect(&entry.path(), &format!("{prefix}{name}/"), files);
            } else if let Ok(content) = fs::read(entry.path()) {
                files.insert(format!("{prefix}{name}"), content);
            }
        }
    }
    let mut files = BTreeMap::new();
    collect(&machine.data().join("distfiles"), "", &mut files);
    files
}

#[track_caller]
fn assert_is(machine: &Machine, source: &Source) {
    let there = served(machine);
    assert!(!there.is_empty());
    for (path, content) in &there {
        assert!(fs::read(source.files().join(path)).is_ok_and(|file| file == *content), "{path}");
    }
    let count = walk(&source.files());
    assert_eq!(there.len(), count);
}

fn walk(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { walk(&path) } else { 1 }).sum()
}

#[test]
fn only_what_is_new_is_brought_and_old_files_go() {
    let source = Source::start();
    fill(&source, 0, 0..20);
    let machine = machine(&[&source]);
    assert!(machine.runs(0, &[]).contains("is what rsync://"));
    assert_is(&machine, &source);
    assert!(machine.runs(0, &[]).contains("less than 20 hours ago"));
    assert!(machine.runs(0, &["--now"]).contains("has nothing new"));
    fill(&source, 1, 5..22);
    machine.runs(0, &["--now"]);
    assert_is(&machine, &source);
    assert_eq!(machine.figure("racefetch_mirror_sync_success"), Some(1.0));
    assert_eq!(machine.figure("racefetch_mirror_sync_content_timestamp_seconds"), Some(1_800_000_001.0));
    assert!(machine.figure("racefetch_mirror_sync_last_success_timestamp_seconds").unwrap() > 1.7e9);
}

#[test]
fn too_many_deletions_are_an_accident_until_somebody_says_otherwise() {
    let source = Source::start();
    fill(&source, 0, 0..20);
    let machine = machine(&[&source]);
    machine.runs(0, &[]);
    fill(&source, 1, 0..3);
    let said = machine.runs(3, &["--now", "--max-delete", "5"]);
    assert!(said.contains("more than 5 files would have been deleted"), "{said}");
    assert!(served(&machine).len() >= 17, "15 of 22 at least are still there");
    assert_eq!(machine.figure("racefetch_mirror_sync_deletions_left"), Some(1.0));
    machine.runs(0, &["--now", "--force", "--max-delete", "50"]);
    assert_is(&machine, &source);
}

#[test]
fn the_next_source_is_taken() {
    let [mut dead, old, empty, good] = [(); 4].map(|()| Source::start());
    fill(&good, 5, 0..5);
    let machine = machine(&[&good]);
    machine.runs(0, &[]);
    fill(&good, 6, 0..6);
    fill(&old, 4, 0..5);
    empty.put("README", "moved", 1);
    dead.die();
    let sources = [&dead, &empty, &old, &good].map(Source::url).join(" ");
    machine.configure(&format!("SYNC_SOURCES=\"{sources}\"\nSYNC_DELAY=0"));
    let said = machine.runs(0, &["--now"]);
    assert!(said.contains("has no timestamp") && said.contains("is older than what is here"), "{said}");
    assert_is(&machine, &good);
    machine.configure(&format!("SYNC_SOURCES=\"{}\"\nSYNC_DELAY=0", dead.url()));
    let said = machine.runs(1, &["--now"]);
    assert!(said.contains("no source could be copied from"), "{said}");
    assert_eq!(machine.figure("racefetch_mirror_sync_success"), Some(0.0));
    assert_is(&machine, &good);
}

#[test]
fn a_source_that_dies_in_the_middle_leaves_the_copy_as_it_was() {
    let mut source = Source::start();
    fill(&source, 0, 0..30);
    let machine = machine(&[&source]);
    machine.runs(0, &[]);
    let old = served(&machine);
    fill(&source, 1, 0..30);
    // Three megabytes at one a second.
    machine.configure(&format!(
        "SYNC_SOURCES={}\nSYNC_DELAY=0\nSYNC_RATE_DAY=1000\nSYNC_RATE_NIGHT=1000",
        source.url()
    ));
    let mut running = machine.start(&["--now"]);
    let partial = machine.data().join("distfiles/05/.racefetch-partial");
    assert!(wait_for(|| partial.exists()), "nothing is transferred");
    source.die();
    assert_eq!(running.wait().unwrap().code(), Some(1));
    assert_eq!(served(&machine), old);
    assert_eq!(machine.figure("racefetch_mirror_sync_success"), Some(0.0));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "kills come at any time")]
fn whenever_it_is_killed_what_is_served_is_whole() {
    let source = Source::start();
    fill(&source, 0, 0..20);
    let machine = machine(&[&source]);
    machine.runs(0, &[]);
    for round in 1..=20 {
        fill(&source, round, 0..20 + round);
        let running = machine.start(&["--now"]);
        thread::sleep(Duration::from_millis(round * 37 % 190));
        kill(running);
        for (path, content) in served(&machine) {
            let Some(i) = path.strip_suffix(".tar").and_then(|path| path.rsplit('-').next()) else {
                continue;
            };
            let i: u64 = i.parse().unwrap();
            assert!((0..=round).any(|generation| content == file(i, generation)), "{path} in round {round}");
        }
    }
    machine.runs(0, &["--now"]);
    assert_is(&machine, &source);
}

#[test]
fn only_one_at_a_time() {
    let source = Source::start();
    fill(&source, 0, 0..30);
    let machine = machine(&[&source]);
    machine.configure(&format!(
        "SYNC_SOURCES={}\nSYNC_DELAY=0\nSYNC_RATE_DAY=500\nSYNC_RATE_NIGHT=500",
        source.url()
    ));
    let running = machine.start(&[]);
    let partial = machine.data().join("distfiles/05");
    assert!(wait_for(|| partial.exists()), "nothing is transferred");
    assert!(machine.runs(75, &["--now"]).contains("another run is under way"));
    kill(running);
}

#[test]
fn files_are_chosen_by_age_and_by_list() {
    let source = Source::start();
    fill(&source, 0, 0..10);
    source.put("0a/old one-1.tar", "old and wanted", 1_000_000_000);
    source.put("03/file-3.tar", "old", 1_000_000_000);
    let list = source.files().with_file_name("wanted");
    fs::write(&list, "old one-1.tar\nmissing-1.tar\n").unwrap();
    let machine = machine(&[&source]);
    let choice = format!("SYNC_NEWER_DAYS=100\nSYNC_LIST={}", list.display());
    machine.configure(&format!("SYNC_SOURCES={}\nSYNC_DELAY=0\n{choice}", source.url()));
    machine.runs(0, &[]);
    let there = served(&machine);
    assert_eq!(there.len(), 9 + 1 + 2, "{:?}", there.keys());
    assert!(
        there.contains_key("0a/old one-1.tar") && !there.contains_key("03/file-3.tar"),
        "{:?}",
        there.keys()
    );
    // Nobody wants it any more.
    fs::write(&list, "\n").unwrap();
    machine.runs(0, &["--now", "--force"]);
    assert!(!served(&machine).contains_key("0a/old one-1.tar"));
    assert_eq!(served(&machine).len(), 9 + 2);
}

#[test]
fn mistakes_in_the_configuration_are_named() {
    let machine = Machine::new(SCRIPT, "");
    for (conf, said) in [
        ("", "SYNC_SOURCES in "),
        ("SYNC_SOURCES=a SYNC_DELAY=x", "SYNC_DELAY is 'x': a whole number is needed"),
        ("SYNC_SOURCES=a SYNC_NIGHT=late", "SYNC_NIGHT is 'late': two hours are needed"),
        ("SYNC_SOURCES='a", "is not valid shell"),
        ("SYNC_SOURCES=a SYNC_LIST=/nowhere", "cannot read SYNC_LIST: /nowhere"),
        ("SYNC_SOURCES=a DATA='/tmp/x;y'", "has a character"),
    ] {
        machine.configure(conf);
        let output = machine.runs(2, &[]);
        assert!(output.contains(said), "{conf}: {output}");
    }
    assert!(machine.runs(2, &["--nonsense"]).contains("unknown: --nonsense"));
}
