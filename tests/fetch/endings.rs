//! However a call ends, FILE is a beginning of the distfile, and the next call goes on from all that came.

use std::cell::{Cell, RefCell};
use std::fs;

use rustix::process::Signal;

use super::driver::{Distdir, NAME, Running};
use super::mirrors::{LAYOUT_PATH, PATH, bases, flapping, limited, sent};
use crate::support::content::{Content, content};
use crate::support::mirror::Mirror;
use crate::support::side_file;

const MIB: usize = 1 << 20;
const RATE: u64 = 6_000_000;

fn start(distdir: &Distdir, right: &Content, mirrors: &[Mirror]) -> Running {
    distdir.call().resume().target(right).mirrors(&bases(mirrors)).start(&mirrors[0].url(PATH))
}

fn length(distdir: &Distdir) -> u64 {
    fs::metadata(distdir.file()).map_or(0, |file| file.len())
}

fn ahead(distdir: &Distdir) -> u64 {
    side_file::ahead(&distdir.path(""), NAME)
}

/// Starts a call and kills it once more than so many bytes lie in the side file.
#[track_caller]
fn kill_with_ahead(bytes: usize, distdir: &Distdir, right: &Content, mirrors: &[Mirror]) {
    let ended = start(distdir, right, mirrors).signal_when(Signal::KILL, || ahead(distdir) > bytes as u64);
    assert_eq!(ended.code, None, "{ended}");
}

#[test]
fn file_is_a_prefix_at_every_instant() {
    let right: Content = content(1, 8 * MIB).into();
    let mut mirrors = limited(3, RATE, &right);
    mirrors.push(flapping(5, RATE, &right));
    let distdir = Distdir::new();
    let lengths = RefCell::new(Vec::new());
    let ended = start(&distdir, &right, &mirrors).watch(|_| {
        distdir.assert_prefix(&right, &"while it is downloaded");
        lengths.borrow_mut().push(length(&distdir));
    });
    ended.assert_success();
    distdir.assert_holds(&right, &ended);
    let lengths = lengths.into_inner();
    assert!(lengths.is_sorted(), "it grows: {lengths:?}");
    let different = lengths.chunk_by(|a, b| a == b).count();
    assert!(different > 10, "it was looked at while it grew: {lengths:?}");
}

#[test]
fn killed_again_and_again_and_then_finished() {
    const KILLS: u64 = 5;
    let right: Content = content(1, 24 * MIB).into();
    let mirrors = limited(4, RATE, &right);
    let distdir = Distdir::new();
    let mut most_ahead = 0;
    for kill in 1..=KILLS {
        // When so much has left the mirrors, wherever it lies by then.
        let enough = right.len() as u64 * kill / (KILLS + 1);
        let ended = start(&distdir, &right, &mirrors).signal_when(Signal::KILL, || sent(&mirrors) >= enough);
        assert_eq!(ended.code, None, "killed: {ended}");
        distdir.assert_prefix(&right, &format!("after kill {kill}"));
        most_ahead = most_ahead.max(ahead(&distdir));
    }
    assert!(most_ahead > MIB as u64, "some of it lay ahead");
    let ended = start(&distdir, &right, &mirrors).finish();
    ended.assert_success();
    distdir.assert_holds(&right, &ended);
    let ratio = sent(&mirrors) as f64 / right.len() as f64;
    assert!(ratio <= 1.25, "{ratio} times the file");
}

#[test]
fn what_lay_ahead_is_used_even_when_portage_deleted_file() {
    // Smaller than 350 KiB, FILE is deleted by Portage; and FETCHCOMMAND truncates it.
    let right: Content = content(1, 12 * MIB).into();
    let mirrors = limited(4, RATE, &right);
    let distdir = Distdir::new();
    kill_with_ahead(3 * MIB, &distdir, &right, &mirrors);
    let (kept, before) = (ahead(&distdir), sent(&mirrors));
    fs::remove_file(distdir.file()).unwrap();
    let call = distdir.call().target(&right).mirrors(&bases(&mirrors));
    let ended = call.fetch(&mirrors[0].url(PATH));
    ended.assert_success();
    distdir.assert_holds(&right, &ended);
    let again = sent(&mirrors) - before;
    let needed = right.len() as u64 - kept;
    assert!(again <= needed + MIB as u64 / 2, "{again} bytes, with {kept} ahead: {ended}");
}

#[test]
fn a_side_file_of_another_version_is_not_taken_over() {
    let (old, new) = (Content::from(content(1, 8 * MIB)), Content::from(content(2, 8 * MIB)));
    let distdir = Distdir::new();
    let before = limited(4, RATE, &old);
    kill_with_ahead(2 * MIB, &distdir, &old, &before);
    let mirrors = limited(4, RATE, &new);
    let ended = start(&distdir, &new, &mirrors).finish();
    ended.assert_success();
    distdir.assert_holds(&new, &ended);
}

type Damage = fn(&Distdir);

#[test]
fn a_damaged_side_file_does_no_harm() {
    let right: Content = content(1, 8 * MIB).into();
    let damages: [(&str, Damage); 7] = [
        ("bytes of zeros", |distdir| {
            let side_file = distdir.path(".racefetch/foo-1.tar.xz.ahead");
            let length = fs::metadata(&side_file).unwrap().len();
            fs::write(side_file, vec![0; usize::try_from(length).unwrap()]).unwrap();
        }),
        ("no bytes", |distdir| fs::write(distdir.path(".racefetch/foo-1.tar.xz.ahead"), "").unwrap()),
        ("no side file", |distdir| fs::remove_file(distdir.path(".racefetch/foo-1.tar.xz.ahead")).unwrap()),
        ("no journal", |distdir| fs::remove_file(distdir.path(".racefetch/foo-1.tar.xz.journal")).unwrap()),
        ("an empty journal", |distdir| {
            fs::write(distdir.path(".racefetch/foo-1.tar.xz.journal"), "").unwrap();
        }),
        ("a journal that promises too much", |distdir| {
            let journal = distdir.path(".racefetch/foo-1.tar.xz.journal");
            let text = fs::read_to_string(&journal).unwrap();
            let promise = format!("+ 0 {}\n+ 99999999 18446744073709551615\n", 8 << 20);
            fs::write(journal, text + &promise).unwrap();
        }),
        ("a journal that ends in the middle", |distdir| {
            let journal = distdir.path(".racefetch/foo-1.tar.xz.journal");
            let text = fs::read_to_string(&journal).unwrap();
            fs::write(&journal, &text[..text.len() - 3]).unwrap();
        }),
    ];
    for (story, damage) in damages {
        let mirrors = limited(4, RATE, &right);
        let distdir = Distdir::new();
        kill_with_ahead(2 * MIB, &distdir, &right, &mirrors);
        damage(&distdir);
        let ended = start(&distdir, &right, &mirrors).finish();
        assert!(ended.success(), "{story}: {ended}");
        distdir.assert_holds(&right, &ended);
    }
}

#[test]
fn signals_end_a_call_at_once() {
    let right: Content = content(1, 12 * MIB).into();
    for signal in [Signal::TERM, Signal::INT] {
        let mirrors = limited(4, RATE / 2, &right);
        let distdir = Distdir::new();
        let ended = start(&distdir, &right, &mirrors).signal_when(signal, || length(&distdir) > MIB as u64);
        assert_eq!(ended.signal, Some(signal.as_raw()), "{ended}");
        assert!(ended.output.lines().last().is_some_and(|line| line.contains("interrupted")), "{ended}");
        distdir.assert_prefix(&right, &ended);
        for mirror in &mirrors {
            let failures = super::mirrors::failures(&distdir, &super::mirrors::base(mirror));
            assert_eq!(failures, [""; 0], "nobody is to blame: {ended}");
        }
        let ended = start(&distdir, &right, &mirrors).finish();
        ended.assert_success();
        distdir.assert_holds(&right, &ended);
        let ratio = sent(&mirrors) as f64 / right.len() as f64;
        assert!(ratio <= 1.25, "{ratio} times the file");
    }
}

#[test]
fn two_calls_for_one_file_at_once() {
    // Portage's own lock keeps most of them apart, and fetchonly does not wait for it.
    let right: Content = content(1, 6 * MIB).into();
    for (story, resumes) in [("both resume", [true, true]), ("the second begins anew", [true, false])] {
        let mirrors = limited(4, RATE / 2, &right);
        let distdir = Distdir::new();
        let call = |resumes: bool| {
            let call = distdir.call().target(&right).mirrors(&bases(&mirrors));
            let call = if resumes { call.resume() } else { call };
            call.start(&mirrors[0].url(PATH))
        };
        let second = Cell::new(None);
        let first = call(resumes[0]).watch(|_| {
            distdir.assert_prefix(&right, &story);
            if length(&distdir) > MIB as u64 && sent(&mirrors) < 2 * right.len() as u64 {
                let running = second.take().unwrap_or_else(|| call(resumes[1]));
                second.set(Some(running));
            }
        });
        let second = second.take().expect("the first call took long enough").watch(|_| {
            distdir.assert_prefix(&right, &story);
        });
        for ended in [&first, &second] {
            assert!(ended.success(), "{story}: {ended}");
        }
        distdir.assert_holds(&right, &second);
        if resumes[1] {
            let ratio = sent(&mirrors) as f64 / right.len() as f64;
            assert!(ratio <= 1.25, "{story}: {ratio} times the file");
        }
    }
}

#[test]
fn a_failed_call_leaves_nothing_but_the_prefix() {
    // All mirrors break for good in the middle.
    let right: Content = content(1, 8 * MIB).into();
    let mirrors: Vec<Mirror> = (0..3).map(|_| Mirror::start()).collect();
    for mirror in &mirrors {
        mirror.limit_rate(RATE);
        mirror.on(PATH).serve(&right).close_after(600_000).at_most(2);
        mirror.on(PATH).status(403).always();
        mirror.on(LAYOUT_PATH).status(404).always();
    }
    let distdir = Distdir::new();
    let ended = start(&distdir, &right, &mirrors).finish();
    assert!(!ended.success(), "{ended}");
    assert_eq!(ended.output.lines().filter(|line| line.starts_with("racefetch:")).count(), 1, "{ended}");
    distdir.assert_prefix(&right, &ended);
    let names = distdir.names();
    assert!(names.iter().all(|name| name == ".racefetch" || name.ends_with(".__download__")), "{names:?}");

    // And another time they are in order again: what came is not fetched again.
    let before = sent(&mirrors);
    let _ = mirrors.into_iter().map(Mirror::finish).collect::<Vec<_>>();
    let mirrors = limited(3, RATE, &right);
    let ended = start(&distdir, &right, &mirrors).finish();
    ended.assert_success();
    distdir.assert_holds(&right, &ended);
    let all = before + sent(&mirrors);
    assert!(all as f64 <= right.len() as f64 * 1.02, "{all} bytes: {ended}");
}

/// Who kills emerge, with SIGKILL, does not want its downloads to go on.
#[test]
fn a_fetch_ends_when_portage_has_gone() {
    let right: Content = content(1, 8 * MIB).into();
    let mirrors = limited(1, 100_000, &right);
    let distdir = Distdir::new();
    let command = format!(
        "EBUILD_PHASE=fetch '{}' --state '{}' -o '{}' '{}' & echo $!; wait",
        env!("CARGO_BIN_EXE_racefetch"),
        distdir.path("mirrors.json").display(),
        distdir.file().display(),
        mirrors[0].url(PATH),
    );
    let mut portage = std::process::Command::new("sh")
        .args(["-c", &command])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut out = std::io::BufReader::new(portage.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut out, &mut line).unwrap();
    let fetch = format!("/proc/{}/stat", line.trim());
    wait_until("the download is under way", || length(&distdir) > 0);
    portage.kill().unwrap();
    portage.wait().unwrap();
    // Gone, or a zombie that whoever inherited it has not looked at yet.
    wait_until("the fetch has ended", || {
        fs::read_to_string(&fetch).map_or(true, |stat| stat.contains(") Z "))
    });
    distdir.assert_prefix(&right, &"after it has ended");
}

#[expect(clippy::disallowed_methods, reason = "what never comes is a failure")]
fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let began = std::time::Instant::now();
    while !condition() {
        assert!(began.elapsed().as_secs() < 10, "not within 10 s: {what}");
        std::thread::yield_now();
    }
}
