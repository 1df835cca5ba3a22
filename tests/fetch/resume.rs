//! What lies at FILE already: gone on from when it is right, replaced in the same call when it is not.

use std::fmt;
use std::fs;
use std::io::Write;
use std::process::Command;
use std::time::Duration;

use super::driver::{Call, Distdir, NAME};
use super::mirrors::{PATH, bases, saying, sent, serving};
use crate::support::content::{Content, content};
use crate::support::mirror::{Mirror, Rule};

const SIZE: usize = 700_000;
/// Length of partial files; more than the 350 KiB from which on Portage resumes.
const PART: usize = 400_000;

/// The matrix; the file itself says how it is read.
const TABLE: &str = include_str!("../cases/fetch/resume.table");

#[test]
fn the_matrix() {
    let mut knowledge = "";
    let mut servers: Vec<&str> = Vec::new();
    let mut wrong: Vec<String> = Vec::new();
    let mut cells = 0;
    for line in TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(section) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            knowledge = section;
            servers.clear();
            continue;
        }
        let mut columns = line.split_whitespace();
        if servers.is_empty() {
            servers = columns.collect();
            continue;
        }
        let have = columns.next().unwrap();
        for (server, expected) in servers.iter().zip(columns).filter(|(_, cell)| *cell != "-") {
            let found = cell(knowledge, have, server);
            cells += 1;
            if found.to_string() != expected {
                wrong.push(format!("[{knowledge}] {have}, {server}: {expected} expected, {found:#}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {cells} cells:\n{}", wrong.len(), wrong.join("\n"));
    assert!(cells > 60, "the table was read");
}

/// What came of one call.
struct Found {
    code: Option<i32>,
    lies_there: &'static str,
    output: String,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            Some(0) => f.write_str(self.lies_there)?,
            Some(code) => write!(f, "{code}:{}", self.lies_there)?,
            None => f.write_str("killed")?,
        }
        if f.alternate() { write!(f, " found: {}", self.output) } else { Ok(()) }
    }
}

fn cell(knowledge: &str, have: &str, server: &str) -> Found {
    let right = content(1, SIZE);
    let before = match have {
        "nothing" => None,
        "empty" => Some(Vec::new()),
        "prefix" => Some(right[..PART].to_vec()),
        "complete" => Some(right.clone()),
        "longer" => Some(content(1, SIZE + 1000)),
        // A prefix of something else, and as long as the whole: neither is a prefix of what is served.
        "foreign" => Some(content(2, PART)),
        "foreign-complete" => Some(content(2, SIZE)),
        other => panic!("{other} cannot lie at FILE"),
    };
    let served = if server == "other-size" { content(3, SIZE - 50_000) } else { right.clone() };
    let mirror = Mirror::start();
    let asks_for_a_range = before.as_ref().is_some_and(|before| !before.is_empty());
    match server {
        "416" if asks_for_a_range => drop(mirror.on(PATH).status(416).at_most(1)),
        "wrong-range" if asks_for_a_range => {
            drop(
                mirror
                    .on(PATH)
                    .serve(&served)
                    .content_range(&format!("bytes 7-{}/{SIZE}", SIZE - 1))
                    .at_most(1),
            );
        }
        _ => {}
    }
    let rule = mirror.on(PATH).serve(&served).always();
    if server == "no-ranges" {
        drop(rule.no_ranges());
    }

    let distdir = Distdir::new();
    if let Some(before) = &before {
        distdir.put_file(before);
    }
    let call = distdir.call().resume();
    let call = match knowledge {
        "size and digests" => call.target(&right),
        "digests" => call.digests_of(&right),
        "no digests" => call,
        other => panic!("{other} cannot be known"),
    };
    let ended = call.fetch(&mirror.url(PATH));
    let after = distdir.content();
    let mixed = before.clone().map(|mut mixed| {
        mixed.extend(served.get(mixed.len()..).unwrap_or_default());
        mixed
    });
    let lies_there = match &after {
        Some(after) if *after == right => "right",
        Some(after) if *after == served => "other",
        after if *after == before && before.as_ref().is_some_and(|before| !before.is_empty()) => "kept",
        None => "nothing",
        Some(after) if after.is_empty() => "nothing",
        after if *after == mixed => "mixed",
        _ => "rubbish",
    };
    if ended.success() {
        assert_eq!(distdir.names().len(), 1, "left behind [{knowledge}] {have}, {server}: {ended}");
    }
    Found { code: ended.code, lies_there, output: ended.to_string() }
}

#[test]
fn a_right_prefix_is_not_fetched_again() {
    let right: Content = content(1, SIZE).into();
    for part in [1, PART, SIZE - 1, SIZE] {
        let mirror = serving(&right);
        let distdir = Distdir::new();
        distdir.put_file(&right[..part]);
        let ended = distdir.call().resume().target(&right).fetch(&mirror.url(PATH));
        ended.assert_success();
        distdir.assert_holds(&right, &ended);
        assert_eq!(mirror.body_bytes_sent(), (SIZE - part) as u64, "{part} were there");
        assert_eq!(mirror.requests().len(), usize::from(part < SIZE), "{part} were there");
    }
}

#[test]
fn a_fetchcommand_call_begins_anew() {
    // Portage calls FETCHCOMMAND where a stale FILE may lie, and means it to be replaced.
    let right: Content = content(1, SIZE).into();
    let mirror = serving(&right);
    let distdir = Distdir::new();
    distdir.put_file(&content(2, SIZE + 1));
    let ended = distdir.call().target(&right).fetch(&mirror.url(PATH));
    ended.assert_success();
    distdir.assert_holds(&right, &ended);
    assert_eq!(mirror.requests()[0].field("Range"), None);
}

#[test]
fn a_wrong_prefix_costs_itself_again_and_little_more() {
    let right: Content = content(1, 4_000_000).into();
    for (story, prefix) in [
        ("another file's", content(2, 3_000_000)),
        ("damaged in one place", Content::from(&right[..3_000_000]).corrupted_at(1_234_567).to_vec()),
        ("zeros at its end", [&right[..2_000_000], &vec![0; 1_000_000]].concat()),
        // A sample shows the long one, and the other lies where the samples look good.
        (
            "damaged in two places",
            [
                &*Content::from(&right[..2_000_000]).corrupted_at(300_000),
                &vec![0; 500_000],
                &right[..500_000],
            ]
            .concat(),
        ),
    ] {
        let mirrors = [serving(&right), serving(&right)];
        let distdir = Distdir::new();
        distdir.put_file(&prefix);
        let ended =
            distdir.call().resume().target(&right).mirrors(&bases(&mirrors)).fetch(&mirrors[0].url(PATH));
        assert!(ended.success(), "{story}: {ended}");
        distdir.assert_holds(&right, &ended);
        let sent = sent(&mirrors);
        assert!(sent <= 6_000_000, "{story}: {sent} bytes\n{ended}");
        for mirror in &mirrors {
            let failures = super::mirrors::failures(&distdir, &super::mirrors::base(mirror));
            assert_eq!(failures, [""; 0], "{story}: nobody else is to blame");
        }
        assert!(ended.output.contains("partial file was wrong"), "{story}: {ended}");
    }
}

#[test]
fn the_file_changes_between_two_answers() {
    // An entity tag tells: what came of the old file is of no use any longer.
    let (old, new) = (content(1, SIZE), content(2, SIZE));
    for (story, knows) in [("no digests", false), ("digests of the new file", true)] {
        let mirror = Mirror::start();
        mirror.on(PATH).serve(&old).reset_after(PART as u64);
        mirror.on(PATH).serve(&new).always();
        let distdir = Distdir::new();
        let call = distdir.call().args(["--retry", "2", "--retry-all-errors", "--retry-delay", "0"]);
        let call = if knows { call.target(&new) } else { call };
        let ended = call.fetch(&mirror.url(PATH));
        assert!(ended.success(), "{story}: {ended}");
        distdir.assert_holds(&new, &ended);
    }
}

#[test]
fn without_digests_two_origins_are_never_mixed() {
    let (a, b) = (content(1, SIZE), content(2, SIZE));
    let mirrors = [saying(Rule::serve(&a).reset_after(PART as u64)), serving(&b.into())];
    let distdir = Distdir::new();
    let call = distdir.call().mirrors(&bases(&mirrors)).args(["--retry", "0"]);
    let ended = call.fetch(&mirrors[0].url(PATH));
    assert!(!ended.success(), "{ended}");
    distdir.assert_prefix(&a, &ended);
    assert_eq!(mirrors[1].requests().len(), 0);
    // By itself it goes on at the same place.
    let ended = distdir.call().resume().mirrors(&bases(&mirrors)).fetch(&mirrors[0].url(PATH));
    ended.assert_success();
    distdir.assert_holds(&a, &ended);
    assert_eq!(mirrors[1].requests().len(), 0);
}

#[test]
fn partial_files_of_other_programs_are_taken_over() {
    let right: Content = content(1, SIZE).into();
    for (program, arguments) in
        [("wget", &["-q", "-c", "-t", "1", "-O"][..]), ("curl", &["-s", "-f", "-L", "-C", "-", "-o"])]
    {
        let mirror = Mirror::start();
        mirror.on(PATH).serve(&right).close_after(PART as u64);
        mirror.on(PATH).serve(&right);
        let distdir = Distdir::new();
        let mut other = Command::new(program);
        other.args(arguments).arg(distdir.file()).arg(mirror.url(PATH)).env("no_proxy", "127.0.0.1");
        match other.status() {
            Ok(status) => assert!(!status.success(), "{program} noticed that the file is not complete"),
            Err(error) => {
                println!("skipped: {program}: {error}");
                mirror.finish();
                continue;
            }
        }
        assert_eq!(distdir.content().map(|held| held.len()), Some(PART), "{program}");
        let ended = distdir.call().resume().target(&right).fetch(&mirror.url(PATH));
        assert!(ended.success(), "{program}: {ended}");
        distdir.assert_holds(&right, &ended);
        assert_eq!(mirror.requests()[1].first_pos(), PART as u64, "{program}");
    }
}

#[test]
fn a_partial_file_of_ours_is_taken_over_by_other_programs() {
    let right: Content = content(1, SIZE).into();
    for (program, arguments) in
        [("wget", &["-q", "-c", "-t", "1", "-O"][..]), ("curl", &["-s", "-f", "-L", "-C", "-", "-o"])]
    {
        let mirror = Mirror::start();
        mirror.on(PATH).serve(&right).close_after(PART as u64);
        mirror.on(PATH).status(404).times(2); // the second time without a range
        let distdir = Distdir::new();
        let ended = distdir.call().target(&right).fetch(&mirror.url(PATH));
        assert!(!ended.success(), "{ended}");
        assert_eq!(distdir.content().map(|held| held.len()), Some(PART), "what came is kept: {ended}");
        mirror.on(PATH).serve(&right).at_most(1);
        let mut other = Command::new(program);
        other.args(arguments).arg(distdir.file()).arg(mirror.url(PATH)).env("no_proxy", "127.0.0.1");
        match other.status() {
            Ok(status) => assert!(status.success(), "{program}: {status}"),
            Err(error) => {
                println!("skipped: {program}: {error}");
                continue;
            }
        }
        distdir.assert_holds(&right, &ended);
    }
}

/// The end of the name under which something was set aside, and its bytes.
type Aside = Vec<(&'static str, Vec<u8>)>;

#[test]
fn what_is_wrong_among_it_is_not_read_in_every_call() {
    let right = content(1, SIZE);
    let mirror = Mirror::start();
    mirror.on(PATH).serve(&right).times(2);
    let distdir = Distdir::new();
    let aside = format!("distfiles/{NAME}._checksum_failure_.a");
    let fetch = || {
        let _ = fs::remove_file(distdir.file());
        let ended = distdir.call().target(&right).fetch(&mirror.url(PATH));
        assert_eq!(distdir.content().as_ref(), Some(&right), "{ended}");
        ended
    };
    distdir.put(&aside, content(2, SIZE));
    fetch();
    // It is another one now, and nothing tells so.
    let leftover = distdir.root().join(&aside);
    let modified = fs::metadata(&leftover).unwrap().modified().unwrap();
    let file = fs::OpenOptions::new().write(true).open(&leftover).unwrap();
    (&file).write_all(&right).unwrap();
    file.set_modified(modified).unwrap();
    fetch();
    file.set_modified(modified + Duration::from_secs(1)).unwrap();
    let ended = fetch();
    assert!(ended.output.contains("was right after all"), "{ended}");
    assert_eq!(mirror.requests_for(PATH).len(), 2);
}

#[test]
fn what_portage_set_aside_is_looked_at_first() {
    let right = content(1, SIZE);
    let aside = |suffix: &str| format!("{NAME}._checksum_failure_.{suffix}");
    // Whether one is taken, and which are left then.
    let rows: [(&str, Aside, bool, &[&str]); 5] = [
        ("right", vec![("aB1_x", right.clone())], true, &[]),
        ("wrong, of the right size", vec![("a", content(2, SIZE))], false, &["a"]),
        ("too short", vec![("a", right[..PART].to_vec())], false, &["a"]),
        (
            "one of three",
            vec![("a", content(2, SIZE)), ("b", right.clone()), ("c", Vec::new())],
            true,
            &["a", "c"],
        ),
        ("two right ones", vec![("a", right.clone()), ("b", right.clone())], true, &["?"]),
    ];
    for (story, files, taken, left) in rows {
        for with_size in [true, false] {
            let mirror = Mirror::start(); // fails the test when it is asked unexpectedly
            if !taken {
                mirror.on(PATH).serve(&right);
            }
            let distdir = Distdir::new();
            for (suffix, bytes) in &files {
                distdir.put(&format!("distfiles/{}", aside(suffix)), bytes);
            }
            let known = |call: Call| if with_size { call.target(&right) } else { call.digests_of(&right) };
            let ended = known(distdir.call()).fetch(&mirror.url(PATH));
            assert!(ended.success(), "{story}: {ended}");
            assert_eq!(distdir.content().as_ref(), Some(&right), "{story}: {ended}");
            let names = distdir.names();
            let beside: Vec<&String> =
                names.iter().filter(|name| name.contains("._checksum_failure_.")).collect();
            if left == ["?"] {
                assert_eq!(beside.len(), 1, "{story}: {names:?}");
            } else {
                assert_eq!(
                    beside,
                    left.iter().map(|s| aside(s)).collect::<Vec<_>>().iter().collect::<Vec<_>>()
                );
            }
        }
    }
}

#[test]
fn another_files_failures_are_left_alone() {
    let right: Content = content(1, SIZE).into();
    let mirror = serving(&right);
    let distdir = Distdir::new();
    let other = format!("{NAME}.asc._checksum_failure_.x");
    distdir.put(&format!("distfiles/{other}"), &*right);
    let ended = distdir.call().target(&right).fetch(&mirror.url(PATH));
    ended.assert_success();
    assert_eq!(mirror.requests().len(), 1);
    assert!(distdir.names().contains(&other));
}
