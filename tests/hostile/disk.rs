//! Disks that are full, folders that are closed or vanish: status 23, one line, and what is there can be resumed.

use std::fs;
use std::io::Write;

use super::denied::{ENOSYS, EOPNOTSUPP, denier};
use super::run::{Distfile, Peer, Place, Racefetch, Ran, set_mode};
use crate::support::content::content;
use crate::support::mirror::{Mirror, Rule};

/// `ulimit -f` stands in for a full disk: both end a write in the middle. The unit is 512 or 1024 bytes.
#[test]
fn a_full_disk_leaves_a_prefix_that_can_be_resumed() {
    let bytes = content(1, 4 << 20);
    let file = Distfile { name: "x-1.tar", content: &bytes };
    let mirror = Mirror::start();
    mirror.on("/x").serve(&bytes).always();
    let place = Place::new();
    let limit = "trap '' XFSZ; ulimit -f 1024";
    let run = place.racefetch().after(limit).args(file.arguments()).arg(mirror.url("/x"));
    run.fails(23, &["x-1.tar.__download__", "too large"]);
    let prefix = place.read("x-1.tar.__download__");
    assert!(prefix.len() >= 512 << 10 && bytes.starts_with(&prefix), "{} bytes", prefix.len());

    place.racefetch().args(file.arguments()).arg(mirror.url("/x")).succeeds();
    assert!(place.read("x-1.tar.__download__") == bytes);
    let first = mirror.requests().last().unwrap().first_pos();
    assert_eq!(first, prefix.len() as u64, "it was resumed");

    let run = place.racefetch().after(limit).args(["-f", "-o", "plain", &mirror.url("/x")]);
    run.fails(23, &["plain", "too large"]);
    let prefix = place.read("plain");
    assert!(prefix.len() >= 512 << 10 && bytes.starts_with(&prefix), "{} bytes", prefix.len());
    place.racefetch().args(["-f", "-C", "-", "-o", "plain", &mirror.url("/x")]).succeeds();
    assert!(place.read("plain") == bytes);
}

/// A real one: a small tmpfs, in a mount namespace of the run's own. What is there is copied out in the end, to the folder
/// `out`. None where nothing can be mounted, which is said.
fn on_small_disk(place: &Place, megabytes: u64, run: Racefetch) -> Option<Ran> {
    for folder in ["small", "out"] {
        fs::create_dir_all(place.join(folder)).unwrap();
    }
    let script = format!(
        "mount -t tmpfs -o size={megabytes}m none small || exit 99
        folder=$PWD; cd small; \"$@\"; code=$?
        cp -a . \"$folder/out\"; exit $code"
    );
    let inner = format!("unshare -m sh -c '{script}' sh \"$@\"; exit $?");
    let ran = run.after(&inner).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").run();
    if ran.code == 99 || ran.stderr().contains("unshare") {
        eprintln!("skipped: nothing can be mounted here");
        return None;
    }
    Some(ran)
}

#[test]
fn a_full_file_system_leaves_a_prefix_too() {
    let bytes = content(1, 4 << 20);
    let mirror = Mirror::start();
    mirror.on("/x").serve(&bytes).always();
    let place = Place::new();
    let run = place.racefetch().args(["-f", "-o", "plain"]).arg(mirror.url("/x"));
    let Some(ran) = on_small_disk(&place, 1, run) else { return };
    ran.assert_failed(23, &["plain", "No space left"]);
    let prefix = place.read("out/plain");
    assert!(prefix.len() > 500 << 10 && bytes.starts_with(&prefix), "{} bytes", prefix.len());
}

/// The room is counted before: the mirror is not asked, and what is there stays.
#[test]
fn what_is_needed_and_what_is_free_is_said() {
    let bytes = content(1, 4 << 20);
    let file = Distfile { name: "x-1.tar", content: &bytes };
    let mirror = Mirror::start(); // fails the test when it is asked for anything
    let place = Place::new();
    let run = place.racefetch().args(file.arguments()).arg(mirror.url("/x"));
    let Some(ran) = on_small_disk(&place, 1, run) else { return };
    ran.assert_failed(23, &["x-1.tar.__download__", "4194304 more bytes are needed", " are free"]);
    assert!(!place.exists("out/x-1.tar.__download__") && !place.exists("out/.racefetch"));
}

/// Two mirrors, the first of them slow: much arrives ahead of its turn, where there is a place for it.
fn two_mirrors(bytes: &[u8]) -> (Mirror, Mirror) {
    let (slow, fast) = (Mirror::start(), Mirror::start());
    for (mirror, rate) in [(&slow, 2_000_000), (&fast, 8_000_000)] {
        mirror.on("/distfiles/layout.conf").serve("[structure]\n0=flat\n").always();
        mirror.on("/distfiles/x-1.tar").serve(bytes).rate(rate).always();
    }
    (slow, fast)
}

fn racing(place: &Place, file: &Distfile, (slow, fast): &(Mirror, Mirror)) -> Racefetch {
    let mirrors = format!("{} {}", slow.url(""), fast.url(""));
    let run = place.racefetch().args(file.arguments()).args(["--mirrors", &mirrors]);
    run.arg(slow.url("/distfiles/x-1.tar"))
}

/// No holes, and little more room than for the file: what arrives ahead of its turn would fill the disk.
#[test]
fn where_no_holes_can_be_made_the_room_is_enough() {
    let Some(denier) = denier() else { return };
    let bytes = content(1, 10 << 20);
    let file = Distfile { name: "x-1.tar", content: &bytes };
    let mirrors = two_mirrors(&bytes);
    for megabytes in [11, 14, 40] {
        let place = Place::new();
        let run = racing(&place, &file, &mirrors).by(&denier, &[format!("fallocate={EOPNOTSUPP}")]);
        let Some(ran) = on_small_disk(&place, megabytes, run) else { return };
        assert_eq!(ran.code, 0, "{megabytes} MiB: {ran:?}");
        assert!(place.read("out/x-1.tar.__download__") == bytes, "{megabytes} MiB");
    }
}

/// No folder for side files, no files without a name.
#[test]
fn without_any_side_file_one_mirror_is_asked_after_another() {
    let Some(denier) = denier() else { return };
    let bytes = content(1, 10 << 20);
    let file = Distfile { name: "x-1.tar", content: &bytes };
    let mirrors = two_mirrors(&bytes);
    for errno in [EOPNOTSUPP, ENOSYS] {
        let place = Place::new();
        place.write(".racefetch", "a file in the folder's place");
        let rules = [format!("tmpfile={errno}"), format!("fallocate={errno}")];
        racing(&place, &file, &mirrors).by(&denier, &rules).succeeds();
        assert!(place.read("x-1.tar.__download__") == bytes);
    }
}

/// What one of them spoils is put right without a place for what was right behind it.
#[test]
fn without_any_side_file_wrong_bytes_are_put_right() {
    let Some(denier) = denier() else { return };
    let bytes = content(1, 10 << 20);
    let file = Distfile { name: "x-1.tar", content: &bytes };
    for corrupt in 0..2 {
        let mirrors = [Mirror::start(), Mirror::start(), Mirror::start()];
        for (number, mirror) in mirrors.iter().enumerate() {
            mirror.on("/distfiles/layout.conf").serve("[structure]\n0=flat\n").always();
            let rule = Rule::serve(&bytes);
            let rule = if number == corrupt { rule.corrupted_at(4 << 20) } else { rule };
            mirror.on("/distfiles/x-1.tar").add(rule.always());
        }
        let place = Place::new();
        place.write(".racefetch", "a file in the folder's place");
        let list = mirrors.each_ref().map(|mirror| mirror.url("")).join(" ");
        let run = place.racefetch().args(file.arguments()).args(["--mirrors", &list]);
        let run = run.arg(mirrors[0].url("/distfiles/x-1.tar"));
        run.by(&denier, &[format!("tmpfile={EOPNOTSUPP}"), format!("fallocate={EOPNOTSUPP}")]).succeeds();
        assert!(place.read("x-1.tar.__download__") == bytes, "{corrupt}");
    }
}

/// The disk is full in the middle of a race: what is ahead is a loss, what is in its place is right.
#[test]
fn a_full_disk_in_the_middle_of_a_race() {
    let bytes = content(1, 8 << 20);
    let file = Distfile { name: "x-1.tar", content: &bytes };
    let (slow, fast) = (Mirror::start(), Mirror::start());
    for mirror in [&slow, &fast] {
        mirror.on("/distfiles/layout.conf").serve("[structure]\n0=flat\n").always();
    }
    slow.on("/distfiles/x-1.tar").serve(&bytes).rate(500_000).always();
    fast.on("/distfiles/x-1.tar").serve(&bytes).always();
    let place = Place::new();
    let mirrors = format!("{} {}", slow.url(""), fast.url(""));
    let url = slow.url("/distfiles/x-1.tar");
    let arguments = |run: Racefetch| run.args(file.arguments()).args(["--mirrors", &mirrors]).arg(&url);
    let ran = arguments(place.racefetch().after("trap '' XFSZ; ulimit -f 3000")).run();
    ran.assert_failed(23, &["x-1.tar"]);
    // It is not there when no byte came for its beginning yet.
    assert!(!place.exists("x-1.tar.__download__") || bytes.starts_with(&place.read("x-1.tar.__download__")));
    arguments(place.racefetch()).succeeds();
    assert!(place.read("x-1.tar.__download__") == bytes);
    assert!(!place.exists(".racefetch"), "nothing is left behind");
}

#[test]
fn a_folder_that_cannot_be_written() {
    let bytes = content(1, 1000);
    let file = Distfile { name: "x-1.tar", content: &bytes };
    let mirror = Mirror::start();
    mirror.on("/x").serve(&bytes).always();
    mirror.on("/distfiles/layout.conf").serve("[structure]\n0=flat\n").always();
    let place = Place::new();
    let output = |name: &str| ["-f", "-o", name].map(std::ffi::OsString::from).to_vec();
    let layout = ".layout.conf.127.0.0.1.__download__";
    let existing = place.write("read-only", "mine");
    set_mode(&existing, 0o444);
    set_mode(place.path(), 0o555);
    for (name, arguments, path) in [
        ("plain", output("plain"), "/x"),
        ("read-only", output("read-only"), "/x"),
        ("x-1.tar.__download__", file.arguments(), "/x"),
        (layout, output(layout), "/distfiles/layout.conf"),
    ] {
        set_mode(place.path(), 0o755);
        let run = place.racefetch().by_nobody(&place).args(arguments).arg(mirror.url(path));
        set_mode(place.path(), 0o555);
        run.fails(23, &[name, "ermission denied"]);
        assert_eq!(place.read("read-only"), b"mine");
    }
    set_mode(place.path(), 0o755);
}

#[test]
fn a_folder_that_does_not_exist() {
    let bytes = content(1, 1000);
    let mirror = Mirror::start();
    mirror.on("/x").serve(&bytes).always();
    let place = Place::new();
    let digests = Distfile { name: "x-1.tar", content: &bytes }.digests();
    for digests in [None, Some(&digests)] {
        for output in ["missing/x", "state/mirrors.json/x"] {
            place.write("state/mirrors.json", "");
            let digests = digests.map(|digests| ["--digests", digests]);
            let run = place.racefetch().args(["-f", "-o", output]).args(digests.into_iter().flatten());
            run.arg(mirror.url("/x")).fails(23, &[output]);
        }
    }
    let ran =
        place.racefetch().args(["-f", "--create-dirs", "-o", "/proc/nothing/x", &mirror.url("/x")]).run();
    ran.assert_failed(23, &["/proc/nothing"]);
}

/// The folder goes away between the two halves of the content. Nothing can be there in the end, so nothing may
/// be reported as there.
#[test]
fn a_folder_that_vanishes_in_the_middle() {
    let bytes = content(1, 1 << 20);
    let digests = Distfile { name: "x-1.tar", content: &bytes }.digests();
    for options in [vec!["-C", "-", "--digests", &digests, "--size", "1048576"], vec![]] {
        let place = Place::new();
        fs::create_dir(place.join("dist")).unwrap();
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let (served, wait) = (bytes.clone(), std::sync::Mutex::new(wait));
        let peer = Peer::start(move |client, _| {
            write!(client, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", served.len())?;
            client.write_all(&served[..served.len() / 2])?;
            let _ = wait.lock().unwrap().recv();
            client.write_all(&served[served.len() / 2..])?;
            Ok(true)
        });
        let output = place.join("dist/x-1.tar.__download__");
        let run = place.racefetch().arg("-f").args(options).arg("-o").arg(&output).arg(peer.url("/x"));
        let mut running = run.start();
        running.wait_until("the first half", || fs::metadata(&output).is_ok_and(|file| file.len() > 300_000));
        fs::remove_dir_all(place.join("dist")).unwrap();
        go.send(()).unwrap();
        running.wait().assert_failed(23, &["x-1.tar"]);
    }
}
