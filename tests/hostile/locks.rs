//! Locks: file systems that know none, strangers that hold ours, and two processes at one file.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use super::denied::{ENOLCK, ENOSYS, EOPNOTSUPP, denier};
use super::run::{Distfile, Place, each, is_root, set_mode};
use crate::support::content::content;
use crate::support::mirror::Mirror;

fn mirror(bytes: &[u8]) -> Mirror {
    let mirror = Mirror::start();
    mirror.on("/distfiles/x-1.tar").serve(bytes).always();
    mirror.on("/distfiles/layout.conf").serve("[structure]\n0=flat\n").always();
    mirror
}

/// NFS without lockd says ENOLCK, Lustre and some others ENOSYS.
#[test]
fn without_locks_it_goes_on_with_one_line() {
    let Some(denier) = denier() else { return };
    let bytes = content(1, 20_000);
    let file = Distfile { name: "x-1.tar", content: &bytes };
    let mirror = mirror(&bytes);
    for errno in [ENOLCK, ENOSYS, EOPNOTSUPP] {
        for (name, arguments) in [
            ("plain", ["-f", "-o", "plain"].map(Into::into).to_vec()),
            ("x-1.tar.__download__", file.arguments()),
        ] {
            let place = Place::new();
            let run = place.bare().arg("--no-progress-meter").args(arguments);
            let run = run.arg(mirror.url("/distfiles/x-1.tar"));
            let rules = [format!("flock={errno}"), format!("setlk={errno}")];
            let ran = run.by(&denier, &rules).run();
            assert_eq!(ran.code, 0, "{ran:?}");
            assert!(place.read(name) == bytes && !place.exists(".racefetch"), "{name}");
            assert_eq!(ran.stderr().matches("knows no locks").count(), 1, "{ran:?}");
        }
    }
}

/// Locks are denied to one of two processes, or to both: one waits for the other all the same, and says so.
#[test]
fn who_has_no_locks_is_waited_for_and_waits() {
    let Some(denier) = denier() else { return };
    let bytes = content(1, 6 << 20);
    let file = Distfile { name: "x-1.tar", content: &bytes };
    for (first, second) in [(true, false), (false, true), (true, true)] {
        let mirror = Mirror::start();
        mirror.on("/distfiles/x-1.tar").serve(&bytes).rate(1_500_000).always();
        let place = Place::new();
        let start = |is_denied: bool| {
            let run = place.bare().args(file.arguments()).args(["-C", "-", "--no-progress-meter"]);
            let run = run.arg(mirror.url("/distfiles/x-1.tar"));
            if is_denied { run.by(&denier, &[format!("flock={ENOLCK}")]).start() } else { run.start() }
        };
        let mut one = start(first);
        let length = || fs::metadata(place.join("x-1.tar.__download__")).map_or(0, |file| file.len());
        one.wait_until("some of it", || length() > 1 << 20);
        let other = start(second);
        let (one, other) = (one.wait(), other.wait());
        assert_eq!((one.code, other.code), (0, 0), "{one:?}\n{other:?}");
        assert!(place.read("x-1.tar.__download__") == bytes);
        assert_eq!(mirror.body_bytes_sent(), bytes.len() as u64, "once: {one:?}\n{other:?}");
        assert!(other.stderr().contains("is at it: waiting"), "{other:?}");
        assert!(!place.exists(".racefetch"));
    }
}

/// Siblings, which need Portage's locks besides, come along too, and what is to be said is said once.
#[test]
fn without_locks_siblings_come_along() {
    let Some(denier) = denier() else { return };
    let (bytes, sibling) = (content(1, 20_000), content(2, 20_000));
    let file = Distfile { name: "x-1.tar", content: &bytes };
    let mirror = mirror(&bytes);
    mirror.on("/distfiles/y-1.tar").serve(&sibling).always();
    mirror.on("*").status(404).always(); // where most mirrors have it
    let place = Place::new();
    let manifest = [file.manifest_line(), Distfile { name: "y-1.tar", content: &sibling }.manifest_line()];
    place.write("repo/cat/pkg/Manifest", manifest.concat());
    let ebuild = place.write("repo/cat/pkg/pkg-1.ebuild", "");
    let run = place.bare().args(file.arguments()).args(["--no-progress-meter", "--mirrors", &mirror.url("")]);
    let run = run.env("EBUILD_PHASE", "fetch").env("EBUILD", ebuild).env("A", "x-1.tar y-1.tar");
    let run = run.arg(mirror.url("/distfiles/x-1.tar"));
    let ran = run.by(&denier, &[format!("flock={ENOLCK}"), format!("setlk={ENOLCK}")]).run();
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(place.exists("y-1.tar") && place.read("y-1.tar") == sibling, "{ran:?}");
    assert_eq!(ran.stderr().matches("knows no locks").count(), 1, "{ran:?}");
    assert!(!place.exists(".y-1.tar.portage_lockfile"));
}

/// Somebody who can read everything that others can read, and locks it all.
#[test]
fn strangers_cannot_hold_our_locks() {
    if !is_root() {
        eprintln!("skipped: only root can be another user");
        return;
    }
    let bytes = content(1, 20_000);
    let file = Distfile { name: "x-1.tar", content: &bytes };
    let mirror = mirror(&bytes);
    let place = Place::new();
    let output = place.write("x-1.tar.__download__", &bytes[..100]);
    let state = place.write("state/mirrors.json", "");
    let side_car = place.write("state/mirrors.json.lock", "");
    for path in [&output, &state, &side_car] {
        set_mode(path, 0o644);
    }
    // What lies there from before is made ours again: the first call does that.
    let run = |place: &Place| place.racefetch().args(file.arguments()).arg(mirror.url("/distfiles/x-1.tar"));
    run(&place).succeeds();
    fs::write(&output, &bytes[..100]).unwrap();
    let script = format!(
        "for f in {} {} {}; do exec {{d}}<$f && flock -n $d; done 2>/dev/null; echo; sleep 60",
        output.display(),
        state.display(),
        side_car.display()
    );
    let mut stranger = Command::new("bash");
    stranger.args(["-c", &script]).stdout(Stdio::piped()).uid(65534).gid(65534);
    let mut stranger = stranger.process_group(0).spawn().unwrap();
    std::io::Read::read_exact(stranger.stdout.as_mut().unwrap(), &mut [0]).unwrap();
    let ran = run(&place).run();
    let _ = rustix::process::kill_process_group(
        rustix::process::Pid::from_child(&stranger),
        rustix::process::Signal::KILL,
    );
    stranger.wait().unwrap();
    assert_eq!((ran.code, ran.stderr().as_str()), (0, ""), "{ran:?}");
    let state: serde_json::Value = serde_json::from_slice(&place.read("state/mirrors.json")).unwrap();
    let attempts = state["mirrors"].as_object().unwrap().values().map(|mirror| mirror["attempts"].as_u64());
    assert_eq!(attempts.flatten().sum::<u64>(), 2, "the figures of both calls: {state}");
}

/// One holder of a file: the second one waits, and what lies there in the end has no holes.
#[test]
fn two_plain_fetches_of_one_file() {
    let bytes = content(1, 4 << 20);
    for resumed in [false, true] {
        let mirror = Mirror::start();
        mirror.on("/x").serve(&bytes).rate(4_000_000).always();
        let place = Place::new();
        if resumed {
            place.write("x", &bytes[..100_000]);
        }
        let start = |options: &[&str]| {
            let run = place.racefetch().args(["-f", "-o", "x"]).args(options);
            run.arg(mirror.url("/x")).start()
        };
        let mut first = start(&["-C", "-"]);
        let length = || fs::metadata(place.join("x")).map_or(0, |file| file.len());
        first.wait_until("some of it", || length() > 1 << 20);
        let second = start(if resumed { &["-C", "-"] } else { &[] });
        let (first, second) = (first.wait(), second.wait());
        assert_eq!((first.code, second.code), (0, 0), "{first:?}\n{second:?}");
        assert!(place.read("x") == bytes, "resumed {resumed}: another file");
        let sent = mirror.body_bytes_sent();
        assert!(!resumed || sent <= bytes.len() as u64, "{sent} bytes: it was complete by then");
        assert!(!place.exists(".racefetch"));
    }
}

/// Two calls for the same content under names that differ by the ending: they have their side files in the same folder,
/// and each its own.
#[test]
fn names_that_differ_by_the_ending_share_nothing() {
    let bytes = content(1, 6 << 20);
    let (slow, fast) = (mirror(&[]), mirror(&[]));
    for (mirror, rate) in [(&slow, 300_000), (&fast, 3_000_000)] {
        mirror.on("/distfiles/x").serve(&bytes).rate(rate).always();
    }
    let place = Place::new();
    let (digests, size) = (Distfile { name: "", content: &bytes }.digests(), bytes.len().to_string());
    let list = format!("{} {}", slow.url(""), fast.url(""));
    let start = |output: &str| {
        let run = place.racefetch().args(["-f", "-C", "-", "-o", output, "--digests", &digests]);
        run.args(["--size", &size, "--mirrors", &list]).arg(slow.url("/distfiles/x")).start()
    };
    let mut first = start("x");
    let ahead = || {
        let files = fs::read_dir(place.join(".racefetch")).into_iter().flatten().flatten();
        let names = files.map(|file| file.file_name().into_string().unwrap());
        names.filter(|name| name.ends_with("ahead")).any(|name| {
            fs::metadata(place.join(".racefetch").join(name)).is_ok_and(|file| file.blocks() > 2000)
        })
    };
    first.wait_until("much ahead", ahead);
    let second = start("x.__download__");
    each([first.wait(), second.wait()], |ran| assert_eq!(ran.code, 0, "{ran:?}"));
    assert!(place.read("x") == bytes && place.read("x.__download__") == bytes);
    let state = String::from_utf8(place.read("state/mirrors.json")).unwrap();
    assert!(!state.contains("corrupt"), "an honest mirror was convicted: {state}");
    assert!(!place.exists(".racefetch"));
}

/// Another process has brought the file when a call's turn comes.
#[test]
fn what_came_while_it_waited_is_not_fetched_again() {
    let bytes = content(1, 1 << 20);
    let file = Distfile { name: "x-1.tar", content: &bytes };
    let mirror = Mirror::start(); // fails the test when it is asked for anything
    let place = Place::new();
    let hold = place.write(".racefetch/x-1.tar.hold", "");
    let held = File::options().write(true).open(&hold).unwrap();
    fs2::FileExt::lock_exclusive(&held).unwrap();
    let running = place.racefetch().args(file.arguments()).arg(mirror.url("/x-1.tar")).start();
    place.write("x-1.tar", &bytes);
    fs::remove_file(&hold).unwrap();
    drop(held);
    let ran = running.wait();
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(place.read("x-1.tar.__download__") == bytes, "Portage looks for it there");
    assert!(place.read("x-1.tar") == bytes && !place.exists(".racefetch"));
}
