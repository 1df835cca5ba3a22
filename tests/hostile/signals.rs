//! Ends from outside, at any moment: by that very signal, at once, and with a prefix that is right.

use std::fs;
use std::io::Read;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::process::Signal;

use super::run::{Distfile, Peer, Place, Racefetch, each, now};
use crate::support::content::content;
use crate::support::mirror::Mirror;
use crate::support::ports::Port;
use crate::support::server::Server;

/// How soon a signal ends the program, whatever it is at.
const AT_ONCE: Duration = Duration::from_millis(300);

/// Sends a signal to a run that has come to the point, and expects a quick end by that signal. `there` is told the
/// number of the process.
#[track_caller]
fn ends(story: &str, start: impl Fn() -> Racefetch, there: impl Fn(u32) -> bool) {
    each([Signal::TERM, Signal::INT, Signal::HUP], |&signal| {
        let end = |_| {
            let mut running = start().start();
            let id = running.id();
            running.wait_until(story, || there(id) && catches_sigint(id));
            let sent = now();
            running.signal(signal);
            let ran = running.wait();
            let took = now().saturating_duration_since(sent);
            assert_eq!(ran.code, -signal.as_raw(), "{story}: {ran:?}");
            if !ran.stderr().is_empty() {
                ran.assert_one_line(&["interrupted"]);
            }
            took
        };
        // It is one of several that is quick enough: a busy machine may be at something else meanwhile.
        let times: Vec<Duration> = (0..8).map(end).take_while(|took| *took > AT_ONCE).collect();
        assert!(times.len() < 8, "{story}: it took {times:?}");
    });
}

/// Whether a process has opened a file.
fn has_opened(id: u32, path: &Path) -> bool {
    let files = fs::read_dir(format!("/proc/{id}/fd")).into_iter().flatten().flatten();
    files.filter_map(|file| fs::read_link(file.path()).ok()).any(|file| file == path)
}

/// Requests that a peer counts, and how many of them the runs before had sent.
#[derive(Default)]
struct Asked {
    count: Arc<AtomicUsize>,
    before: AtomicUsize,
}

impl Asked {
    /// Somebody who never answers, and counts who asks.
    fn peer(&self) -> Peer {
        let count = self.count.clone();
        Peer::start(move |client, _| {
            count.fetch_add(1, Ordering::SeqCst);
            client.wait_for_close();
            Ok(false)
        })
    }

    /// Those that came until now are another run's.
    fn forget(&self) {
        self.before.store(self.count.load(Ordering::SeqCst), Ordering::SeqCst);
    }

    /// Whether one came since.
    fn again(&self) -> bool {
        self.count.load(Ordering::SeqCst) > self.before.load(Ordering::SeqCst)
    }
}

/// Whether the process has a handler for signal 2.
fn catches_sigint(id: u32) -> bool {
    let text = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let mask = text.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 2 != 0)
}

/// Both kinds of transfer.
fn both(place: &Place, url: &str) -> [Racefetch; 2] {
    let file = Distfile { name: "x-1.tar", content: &content(1, 1 << 20) };
    [
        place.racefetch().args(["-f", "-L", "-o", "plain", url]),
        place.racefetch().args(file.arguments()).arg(url),
    ]
}

#[test]
fn while_connecting() {
    let port = Port::unanswering();
    let place = Place::new();
    for which in 0..2 {
        let start = || {
            let [plain, file] = both(&place, &format!("http://{}/x", port.address()));
            if which == 0 { plain } else { file }
        };
        ends("connecting", start, |_| true);
    }
}

#[test]
fn while_waiting_for_an_answer() {
    for which in 0..2 {
        let place = Place::new();
        let asked = Asked::default();
        let peer = asked.peer();
        let start = || {
            asked.forget();
            let [plain, file] = both(&place, &peer.url("/x"));
            if which == 0 { plain } else { file }
        };
        ends("the request", start, |_| asked.again());
    }
}

#[test]
fn in_the_middle_of_the_content() {
    let bytes = content(1, 1 << 20);
    for (name, which) in [("plain", 0), ("x-1.tar.__download__", 1)] {
        let place = Place::new();
        let mirror = Mirror::start();
        mirror.on("/x").serve(&bytes).stall_after(500_000).always();
        let start = || {
            let _ = fs::remove_file(place.join(name));
            let [plain, file] = both(&place, &mirror.url("/x"));
            if which == 0 { plain } else { file }
        };
        let output = place.join(name);
        ends("half of it", start, |_| fs::metadata(&output).is_ok_and(|file| file.len() == 500_000));
        assert!(bytes.starts_with(&place.read(name)), "{name}");
        let after = Mirror::start();
        after.on("/x").serve(&bytes).times(1);
        let run = place.racefetch().args(["-C", "-", "-f", "-o", name]);
        let digests = Distfile { name: "x", content: &bytes }.digests();
        let run = if which == 1 { run.args(["--digests", &digests]) } else { run };
        run.arg(after.url("/x")).succeeds();
        assert_eq!(after.requests()[0].first_pos(), 500_000);
        assert!(place.read(name) == bytes);
    }
}

/// A server can ask for any patience; the user need not have it.
#[test]
fn while_waiting_for_another_attempt() {
    let place = Place::new();
    for which in 0..2 {
        let asked = Asked::default();
        let count = asked.count.clone();
        let peer = Peer::start(move |client, _| {
            use std::io::Write;
            client.write_all(b"HTTP/1.1 503 S\r\nRetry-After: 9\r\nContent-Length: 0\r\n\r\n")?;
            count.fetch_add(1, Ordering::SeqCst);
            Ok(true)
        });
        let start = || {
            asked.forget();
            let [plain, file] = both(&place, &peer.url("/x"));
            (if which == 0 { plain } else { file }).args(["--retry", "5"])
        };
        ends("the answer", start, |_| asked.again());
    }
}

#[test]
fn while_a_layout_is_asked_for() {
    let place = Place::new();
    let asked = Asked::default();
    let peer = asked.peer();
    let start = || {
        asked.forget();
        let output = ".layout.conf.127.0.0.1.__download__";
        place.racefetch().args(["-f", "-o", output, &peer.url("/distfiles/layout.conf")])
    };
    ends("the request", start, |_| asked.again());
}

/// A proxy that hears what is asked of it and says nothing.
#[test]
fn while_a_proxy_says_nothing() {
    let asked = Asked::default();
    let count = asked.count.clone();
    let server = Server::start(Ipv4Addr::LOCALHOST.into(), move |mut socket, _, _| {
        if socket.read(&mut [0; 1]).is_ok_and(|read| read > 0) {
            count.fetch_add(1, Ordering::SeqCst);
        }
        socket.wait_for_close();
    });
    let place = Place::new();
    each(["http", "socks5h"], |scheme| {
        let start = || {
            asked.forget();
            let proxy = format!("{scheme}://{}", server.address());
            place.racefetch().args(["-p", "-x", &proxy, "-f", "-o", "x", "http://h.test/x"])
        };
        ends("the handshake", start, |_| asked.again());
    });
}

/// Killed at many moments, each a little later than the one before: what lies there is always a prefix, and the
/// next run goes on from it.
#[test]
fn killed_again_and_again() {
    let bytes = content(1, 4 << 20);
    let file = Distfile { name: "x-1.tar", content: &bytes };
    let (slow, fast) = (Mirror::start(), Mirror::start());
    for mirror in [&slow, &fast] {
        mirror.on("/distfiles/layout.conf").serve("[structure]\n0=flat\n").always();
        mirror.on("/distfiles/x-1.tar").serve(&bytes).rate(4_000_000).always();
    }
    let place = Place::new();
    let output = place.join("x-1.tar.__download__");
    let mirrors = format!("{} {}", slow.url(""), fast.url(""));
    let start = || {
        let run = place.racefetch().args(file.arguments()).args(["--mirrors", &mirrors]);
        run.arg(slow.url("/distfiles/x-1.tar"))
    };
    let length = || fs::metadata(&output).map_or(0, |file| file.len());
    for (number, signal) in
        [Signal::KILL, Signal::TERM, Signal::KILL, Signal::INT, Signal::KILL].into_iter().enumerate()
    {
        let goal = (number as u64 + 1) * 600_000;
        let mut running = start().start();
        running.wait_until("some more of the file", || length() >= goal);
        running.signal(signal);
        let ran = running.wait();
        assert_ne!(ran.code, 0, "{ran:?}");
        let prefix = fs::read(&output).unwrap_or_default();
        assert!(prefix.len() as u64 >= goal && bytes.starts_with(&prefix), "{signal:?}: not a prefix");
    }
    start().succeeds();
    assert!(fs::read(&output).unwrap() == bytes);
}

/// At once, before there is anything to hear it with.
#[test]
fn killed_at_once() {
    let mirror = Mirror::start();
    mirror.on("/x").serve(content(1, 1 << 20)).always();
    let place = Place::new();
    for signal in [Signal::TERM, Signal::INT, Signal::KILL, Signal::HUP] {
        for _ in 0..5 {
            let running = place.racefetch().args(["-f", "-o", "x", &mirror.url("/x")]).start();
            running.signal(signal);
            let ran = running.wait();
            let killed = -signal.as_raw();
            let expected = [killed, 128 + signal.as_raw(), 0];
            assert!(expected.contains(&ran.code), "{signal:?}: {ran:?}");
        }
    }
}

/// A sparse file, large enough that its digests take longer than anybody waits.
fn huge(path: &Path) -> u64 {
    let size = 16 << 30;
    fs::File::create(path).unwrap().set_len(size).unwrap();
    size
}

#[test]
fn while_a_file_is_hashed() {
    let mirror = Mirror::start(); // fails the test when it is asked for anything
    for name in ["x-1.tar.__download__", "x-1.tar._checksum_failure_.abcd"] {
        let place = Place::new();
        let path = place.join(name);
        let size = huge(&path).to_string();
        let digests = Distfile { name: "", content: b"" }.digests();
        let start = || {
            let run = place.racefetch().args(["-f", "-C", "-", "-o", "x-1.tar.__download__"]);
            run.args(["--digests", &digests, "--size", &size]).arg(mirror.url("/x"))
        };
        ends("the file is opened", start, |id| has_opened(id, &path));
    }
}

#[test]
fn while_another_process_is_at_the_file() {
    let mirror = Mirror::start(); // fails the test when it is asked for anything
    let place = Place::new();
    for (which, hold) in ["plain.own-hold", "x-1.tar.hold"].iter().enumerate() {
        let held = fs::File::create(place.write(&format!(".racefetch/{hold}"), "")).unwrap();
        fs2::FileExt::lock_exclusive(&held).unwrap();
        let start = || both(&place, &mirror.url("/x")).into_iter().nth(which).unwrap();
        ends("waiting", start, |_| true);
    }
}

/// Nobody waits for figures to be kept.
#[test]
fn while_another_process_is_at_the_state() {
    let mirror = Mirror::start();
    let bytes = content(1, 1 << 20);
    mirror.on("/x").serve(&bytes).always();
    let place = Place::new();
    let side_car = place.write("state/mirrors.json.lock", "");
    let held = fs::File::options().write(true).open(&side_car).unwrap();
    fs2::FileExt::lock_exclusive(&held).unwrap();
    let start = || {
        let _ = fs::remove_file(place.join("x-1.tar.__download__"));
        both(&place, &mirror.url("/x")).into_iter().last().unwrap()
    };
    ends("the state is wanted", start, |id| has_opened(id, &side_car));
}

/// As `nohup` and a script in the background do: what the caller ignores stays ignored.
#[test]
fn what_the_caller_ignores_stays_ignored() {
    let bytes = content(1, 1 << 20);
    for which in 0..2 {
        let mirror = Mirror::start();
        mirror.on("/x").serve(&bytes).rate(1_000_000).times(1);
        let place = Place::new();
        let run = both(&place, &mirror.url("/x")).into_iter().nth(which).unwrap();
        let mut running = run.after("trap '' INT HUP").start();
        let output = place.join(["plain", "x-1.tar.__download__"][which]);
        running.wait_until("half of it", || fs::metadata(&output).is_ok_and(|file| file.len() > 500_000));
        running.signal(Signal::INT);
        running.signal(Signal::HUP);
        let ran = running.wait();
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(fs::read(&output).unwrap() == bytes);
    }
}

/// Ctrl-C ends a script, not only the command that it is at: a shell goes on after any exit status.
#[test]
fn ctrl_c_ends_the_script_too() {
    let asked = Asked::default();
    let peer = asked.peer();
    let (place, url) = (Place::new(), peer.url("/x"));
    let [plain, file] = both(&place, &url);
    let curl = place.racefetch();
    let curl_line = format!("curl -sS -f -o y {url}");
    for (run, command) in [(plain, "\"$@\""), (file, "\"$@\""), (curl, &curl_line)] {
        asked.forget();
        let before = asked.count.load(Ordering::SeqCst);
        let script = format!("for i in 1 2 3; do {command}; done; echo after");
        let mut running = run.by_bash(&script).stdout(std::process::Stdio::piped()).start();
        running.wait_until("the request", || asked.again());
        running.signal_group(Signal::INT);
        let ran = running.wait();
        assert_eq!((ran.code, ran.stdout.as_slice()), (-2, &b""[..]), "{command}: {ran:?}");
        assert_eq!(asked.count.load(Ordering::SeqCst) - before, 1, "{command}: it went on: {ran:?}");
    }
}
