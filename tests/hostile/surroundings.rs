//! Surroundings in which a process may find itself: closed descriptors, limits, environments.

use std::fs;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use super::run::{Distfile, Place, Running, each, set_mode};
use crate::support::content::content;
use crate::support::mirror::Mirror;

const STATE: &str = r#"{"version": 1, "mirrors": {"http://m.example": {"attempts": 1}}}"#;

/// A pipe whose reader has left.
fn broken_pipe() -> OwnedFd {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

/// A pipe whose reader has left, and a disk that is full.
fn broken_outputs() -> [(&'static str, Stdio); 2] {
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    [("a broken pipe", broken_pipe().into()), ("a full disk", full.into())]
}

#[test]
fn stdout_that_takes_nothing() {
    let mirror = Mirror::start();
    mirror.on("/x").serve(content(1, 1 << 20)).always();
    let (place, url) = (Place::new(), mirror.url("/x"));
    each(
        [
            vec!["-f", &url],
            vec!["-f", "-o", "-", &url],
            vec!["-f", "-o", "/dev/stdout", &url],
            vec!["-f", "-o", "x", "-D", "-", &url],
            // So little that it is only written when a buffer is emptied.
            vec!["-f", "-r", "0-9", &url],
        ],
        |arguments| {
            for (story, stdout) in broken_outputs() {
                let ran = place.racefetch().args(arguments).stdout(stdout).start().wait();
                assert_eq!(ran.code, 23, "{story}: {ran:?}");
                ran.assert_one_line(&["stdout"]);
            }
        },
    );
    // As in curl, the status is that of the transfer.
    each(["%{http_code}", "%{http_code}\n%{size_download}\n"], |template| {
        for (_, stdout) in broken_outputs() {
            let run = place.racefetch().args(["-f", "-o", "x", "-w", *template, &url]).stdout(stdout);
            assert_eq!(run.start().wait().code, 0);
        }
    });
    place.write("state/mirrors.json", STATE);
    let asked: [&[&str]; 5] =
        [&["--version"], &["--help"], &["--help", "all"], &["stats"], &["stats", "--json"]];
    each(asked, |arguments| {
        for (story, stdout) in broken_outputs() {
            let ran = place.bare().args(*arguments).stdout(stdout).start().wait();
            assert_eq!(ran.code, 23, "{story}: {ran:?}");
        }
    });
}

/// Nobody can be told what went wrong. The status still says it.
#[test]
fn stderr_that_takes_nothing() {
    let place = Place::new();
    let mirror = Mirror::start();
    mirror.on("/x").status(404).always();
    mirror.on("/y").serve(content(1, 1 << 20)).always();
    let (missing, there) = (mirror.url("/x"), mirror.url("/y"));
    each(
        [
            (2, vec!["--no-such-option"]),
            (22, vec!["-f", "-o", "x", &missing]),
            (23, vec!["-f", "-o", "missing/x", &there]),
            (23, vec!["--stderr", "missing/log", "-o", "x", &there]),
            (0, vec!["-f", "-o", "x", &there]),
            (0, vec!["-f", "-v", "-w", "%{stderr}%{http_code}\n", "-o", "x", &there]),
            (0, vec!["stats"]),
        ],
        |(code, arguments)| {
            let mut errors: Vec<_> = broken_outputs().into();
            errors.push(("the null device", Stdio::null()));
            for (story, stderr) in errors {
                place.write("state/mirrors.json", "broken: warned of");
                let mut command = Command::new(env!("CARGO_BIN_EXE_racefetch"));
                command.env_clear().env("RACEFETCH_STATE", place.join("state/mirrors.json"));
                command.current_dir(place.path()).args(arguments).stdin(Stdio::null());
                let ran = command.stdout(Stdio::null()).stderr(stderr).status().unwrap();
                assert_eq!(ran.code(), Some(*code), "{story}: {ran:?}");
            }
        },
    );
}

#[test]
fn closed_descriptors() {
    let mirror = Mirror::start();
    mirror.on("/x").serve("x").always();
    let place = Place::new();
    for redirection in ["<&-", "<&- >&-", ">&-", "<&- >&- 2>&-"] {
        let run = place.racefetch().after(&format!("exec {redirection}"));
        run.args(["-f", "-o", "x", &mirror.url("/x")]).succeeds();
        // Nothing that was opened took the place of a closed descriptor, and got messages written into it.
        assert_eq!(place.read("x"), b"x");
        let file = Distfile { name: "x-1.tar", content: b"x" };
        let run = place.racefetch().after(&format!("exec {redirection}"));
        run.args(file.arguments()).arg(mirror.url("/x")).succeeds();
        assert_eq!(place.read("x-1.tar.__download__"), b"x");
    }
}

#[test]
fn few_descriptors_and_little_memory() {
    let bytes = content(1, 4 << 20);
    let file = Distfile { name: "x-1.tar", content: &bytes };
    let mirrors: Vec<Mirror> = (0..6).map(|_| Mirror::start()).collect();
    for mirror in &mirrors {
        mirror.on("/distfiles/layout.conf").serve("[structure]\n0=flat\n").always();
        mirror.on("/distfiles/x-1.tar").serve(&bytes).always();
    }
    let list = mirrors.iter().map(|mirror| mirror.url("")).collect::<Vec<_>>().join(" ");
    for limit in ["ulimit -n 20", "ulimit -v 400000", "ulimit -s 256", "ulimit -c 0 -n 20 -v 400000"] {
        let place = Place::new();
        let run = place.racefetch().after(limit).args(file.arguments()).args(["--mirrors", &list]);
        run.arg(mirrors[0].url("/distfiles/x-1.tar")).succeeds();
        assert!(place.read("x-1.tar.__download__") == bytes, "{limit}");
    }
    // Too few for anything: any status, but one line and no panic.
    for number in [3, 4, 5, 6, 7, 8, 9, 10, 12, 14] {
        let place = Place::new();
        let run = place.racefetch().after(&format!("ulimit -n {number}")).args(file.arguments());
        let run = run.args(["--mirrors", &list]).arg(mirrors[0].url("/distfiles/x-1.tar"));
        let ran = run.run();
        // Below four the dynamic linker has no descriptor to load the C library with.
        if ran.code != 0 && ran.code != 127 {
            ran.assert_one_line(&[]);
        }
        let run = place.racefetch().after(&format!("ulimit -n {number}"));
        run.args(["-f", "-o", "x"]).arg(mirrors[0].url("/distfiles/x-1.tar")).run();
    }
}

/// No more threads: a limit for each user, which does not hold for root.
#[test]
fn no_threads() {
    let mirror = Mirror::start();
    mirror.on("/x").serve("x").always();
    let place = Place::new();
    let file = Distfile { name: "x-1.tar", content: b"x" };
    fs::create_dir(place.join("dist")).unwrap();
    set_mode(&place.join("dist"), 0o777);
    let digests = file.digests();
    // bash and dash do not call it the same.
    let limit = "ulimit -u 1 2>/dev/null || ulimit -p 1";
    each([vec![], vec!["--digests", &digests, "--size", "1"]], |options| {
        let run = place.racefetch().by_nobody(&place).after(limit).arg("-f").args(options);
        let ran = run.args(["-o", "dist/x", &mirror.url("/x")]).run();
        if ran.code != 0 {
            ran.assert_one_line(&[]);
        }
    });
}

/// They took 10,002 threads once, and the scheduler looks at all of them after every answer.
#[test]
fn ten_thousand_mirrors() {
    let bytes = content(1, 1 << 20);
    let file = Distfile { name: "x-1.tar", content: &bytes };
    let (has_it, lacks_it) = (Mirror::start(), Mirror::start());
    has_it.on("/distfiles/x-1.tar").serve(&bytes).always();
    has_it.on("*").status(404).always();
    lacks_it.on("*").status(404).always();
    // More than an argument can hold.
    let list = |first: &Mirror| {
        let others = (0..10_000).map(|n| lacks_it.url(&format!("/{n}")));
        std::iter::once(first.url("")).chain(others).collect::<Vec<_>>().join(" ")
    };
    for (first, code) in [(&has_it, 0), (&lacks_it, 22)] {
        let place = Place::new();
        place.write("config/etc/portage/make.conf", format!("GENTOO_MIRRORS=\"{}\"\n", list(first)));
        let ran = place.racefetch().args(file.arguments()).arg(first.url("/distfiles/x-1.tar")).run();
        assert_eq!(ran.code, code, "{ran:?}");
        assert!(ran.threads < 60, "{} threads", ran.threads);
    }
}

#[test]
fn odd_environments() {
    let bytes = content(1, 1000);
    let file = Distfile { name: "x-1.tar", content: &bytes };
    let mirror = Mirror::start();
    mirror.on("*").serve(&bytes).always();
    // A single string of the environment may have 128 KiB.
    let names = (0..10_000).map(|n| format!("c-{n}.crate")).collect::<Vec<_>>().join(" ");
    let long = "x".repeat(100_000);
    for number in 0..8 {
        let place = Place::new();
        let ebuild = place.write("repo/cat/pkg/pkg-1.ebuild", "");
        let run = place.racefetch();
        let run = match number {
            0 => run.without_env("HOME"),
            1 => run.env_clear().args(["--state", "mirrors.json"]),
            2 => run.env("A", &names).env("EBUILD_PHASE", "fetch").env("EBUILD", &ebuild),
            3 => run.env("PATH", ""),
            4 => run.env("LANG", "C").env("LC_ALL", "xx_XX.nonsense").env("TERM", "\u{1b}[2J"),
            5 => run.env("COLUMNS", "-1").env("NO_COLOR", "").env("PORTAGE_QUIET", &long),
            6 => run.env("RACEFETCH_MIRRORS", &long).env("http_proxy", "").env("no_proxy", &long),
            _ => run.env("HOME", "/proc/self/mem").env("XDG_STATE_HOME", "\n").env("TMPDIR", "/missing"),
        };
        // Without a place for the state there is one beside the distfile.
        let run = run.args(file.arguments()).arg(mirror.url("/x"));
        run.succeeds();
        assert!(place.read("x-1.tar.__download__") == bytes, "{number}");
    }
}

/// As `emerge --jobs` would start them, only more: one folder, one state file.
#[test]
fn fifty_processes_in_one_folder() {
    let files: Vec<(String, Vec<u8>)> =
        (0..50).map(|n| (format!("x-{n}.tar"), content(n, 50_000 + usize::try_from(n).unwrap()))).collect();
    let mirrors = [Mirror::start(), Mirror::start()];
    for mirror in &mirrors {
        mirror.on("/distfiles/layout.conf").serve("[structure]\n0=flat\n").always();
        for (name, bytes) in &files {
            mirror.on(&format!("/distfiles/{name}")).serve(bytes).always();
        }
    }
    let place = Place::new();
    let list = format!("{} {}", mirrors[0].url(""), mirrors[1].url(""));
    let running: Vec<Running> = files
        .iter()
        .map(|(name, content)| {
            let run = place.racefetch().args(Distfile { name, content }.arguments());
            run.args(["--mirrors", &list]).arg(mirrors[0].url(&format!("/distfiles/{name}"))).start()
        })
        .collect();
    for (running, (name, bytes)) in running.into_iter().zip(&files) {
        let ran = running.wait();
        assert_eq!((ran.code, ran.stderr().as_str()), (0, ""), "{name}");
        assert!(place.read(&format!("{name}.__download__")) == *bytes, "{name}");
    }
    let state: serde_json::Value = serde_json::from_slice(&place.read("state/mirrors.json")).unwrap();
    let figures = state["mirrors"].as_object().unwrap();
    let successes: u64 = figures.values().filter_map(|mirror| mirror["successes"].as_u64()).sum();
    assert!(successes >= 50, "{successes} of 50 recorded");
}

/// Proves that the pipes made here are what they are meant to be.
#[test]
fn a_broken_pipe_is_broken() {
    let error = fs::File::from(broken_pipe()).write_all(b"x").unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
}
