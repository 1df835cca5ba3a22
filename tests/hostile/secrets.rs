//! What must not be seen by anybody: in messages, in the state, in files left behind.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::Signal;

use super::run::{Distfile, Peer, Place, Ran, each};
use crate::support::content::content;
use crate::support::mirror::Mirror;

const SECRET: &str = "s3cr3t";

/// Addresses that make no sense are shown in the message that says so.
#[test]
fn an_address_that_makes_no_sense_is_shown_without_its_password() {
    each(
        [
            "http://me:s3cr3t@h:99999/x",
            "HTTP://me:s3cr3t@h:1x/x",
            "me:s3cr3t@h:99999/x",
            "ftp://me:s3cr3t@h/x",
            "http://me:s3cr3t@/x",
            "http://me:s3cr3t@[::g]/x",
            "http://me:s3cr3t%ff@h/x",
            "http://me:s3cr3t%zz@h:1x/",
            "http://me:s3cr3t/more@h/x",
            "http://me:s3cr3t#more@h/x",
            "http://me:s3cr3t?more@h/x",
            "http://me:s3cr3t@more@h:1x/x",
            "http://me:s3cr3t @h/x",
            "http:/me:s3cr3t@h:99999/x",
            "http:\\\\me:s3cr3t@h/x",
        ],
        |url| {
            let ran = Place::new().racefetch().args(["-m", "2", "-o", "x", url]).run();
            assert_ne!(ran.code, 0, "{url}");
            assert_silent(&ran, url);
        },
    );
}

#[test]
fn failures_show_no_password() {
    let place = Place::new();
    place.write("netrc", "machine h login me password \"s3cr3t\n");
    place.write("config", "user = \"me:s3cr3t\"\nno-such-option = s3cr3t\n");
    let mirror = Mirror::start();
    mirror.allow_unwanted();
    let url = format!("http://me:s3cr3t@{}/x", mirror.address());
    let file = Distfile { name: "x-1.tar", content: b"x" };
    let plain = ["-f", "-L", "-o", "x", &url].map(str::to_owned).to_vec();
    each(
        [
            ["-v", "-u", "me:s3cr3t"].as_slice(),
            &["-w", "%{url} %{url_effective} %{json} %{errormsg}"],
            &["-x", "http://me:s3cr3t@127.0.0.1:99999"],
            &["-x", "gopher://me:s3cr3t@127.0.0.1"],
            &["-x", "me:s3cr3t@127.0.0.1:1"],
            &["-x", "socks5h://me:s3cr3t@127.0.0.1:1"],
            &["-H", "Authorization s3cr3t"],
            &["-H", "Authorization: s3cr3t\nX: y"],
            &["--netrc-file", "netrc"],
            &["-K", "config"],
            &["--mirrors", "http://me:s3cr3t@h:99999 http://me:s3cr3t@"],
            &["-u", "me:s3cr3t", "--no-such-option"],
            &["--user=me:s3cr3t"],
            &["--stderr", "log"],
        ],
        |options| {
            let ran = place.racefetch().args(*options).args(&plain).run();
            assert_ne!(ran.code, 0, "{ran:?}");
            assert_silent(&ran, &options.join(" "));
            let run = place.racefetch().args(file.arguments()).args(*options).arg(&url);
            assert_silent(&run.run(), &options.join(" "));
        },
    );
    for variable in ["http_proxy", "all_proxy", "RACEFETCH_MIRRORS"] {
        for value in ["http://me:s3cr3t@127.0.0.1:1", "http://me:s3cr3t@127.0.0.1:99999", "x://me:s3cr3t@h"] {
            let ran = place.racefetch().env(variable, value).args(&plain).run();
            assert_silent(&ran, variable);
            let ran = place.racefetch().env(variable, value).args(file.arguments()).arg(&url).run();
            assert_silent(&ran, variable);
        }
    }
    let log = fs::read_to_string(place.join("log")).unwrap_or_default();
    assert!(!log.contains(SECRET), "{log}");
}

/// A transfer from two mirrors with passwords, ended in the middle, so that the side file and its journal stay;
/// then all that lies there is looked through.
#[test]
fn files_hold_no_password() {
    let (home, away) = (Mirror::start(), Mirror::start());
    let bytes = content(1, 8 << 20);
    for mirror in [&home, &away] {
        mirror.on("/distfiles/layout.conf").serve("[structure]\n0=flat\n").always();
    }
    home.on("/distfiles/x-1.tar").serve(&bytes).rate(100_000).always();
    away.on("/distfiles/x-1.tar").serve(&bytes).rate(2_000_000).always();
    let place = Place::new();
    let file = Distfile { name: "x-1.tar", content: &bytes };
    let mirror = |mirror: &Mirror| format!("http://me:s3cr3t@{}", mirror.address());
    let mirrors = format!("{} {}", mirror(&home), mirror(&away));
    let run = place.racefetch().args(file.arguments()).env("RACEFETCH_MIRRORS", &mirrors);
    let mut running = run.arg(format!("{}/distfiles/x-1.tar", mirror(&home))).start();
    let journal = place.join(".racefetch/x-1.tar.journal");
    running.wait_until("a record in the journal", || {
        fs::read_to_string(&journal).is_ok_and(|text| text.contains("\n+ "))
    });
    let threads = format!("/proc/{}/task", running.id());
    for thread in fs::read_dir(threads).unwrap().flatten() {
        let name = fs::read_to_string(thread.path().join("comm")).unwrap_or_default();
        assert!(!name.contains(SECRET), "{name}");
    }
    running.signal(Signal::TERM);
    let ran = running.wait();
    assert_eq!(ran.code, -15, "{ran:?}");
    assert_silent(&ran, "interrupted");
    assert!(place.exists("state/mirrors.json"));
    no_file_holds_it(place.path());
}

/// Every user can read the command lines of all processes.
#[test]
fn the_list_of_processes_holds_no_password() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let peer = Peer::start(move |client, _| {
        count.fetch_add(1, Ordering::SeqCst);
        client.wait_for_close();
        Ok(false)
    });
    let place = Place::new();
    for options in [
        &["-u", "me:s3cr3t"][..],
        &["-ume:s3cr3t"],
        &["--user", "me:s3cr3t"],
        &["-U", "me:s3cr3t"],
        &["--proxy-user", "me:s3cr3t"],
        &["--oauth2-bearer", "s3cr3t"],
    ] {
        let before = asked.load(Ordering::SeqCst);
        let mut running = place.racefetch().args(options).args(["-o", "x", &peer.url("/x")]).start();
        running.wait_until("the request", || asked.load(Ordering::SeqCst) > before);
        let line = fs::read(format!("/proc/{}/cmdline", running.id())).unwrap();
        let line = String::from_utf8_lossy(&line).into_owned();
        assert!(!line.contains(SECRET) && line.contains(options[0].split_at(2).0), "{options:?}: {line:?}");
        assert!(line.contains(&peer.url("/x")), "{line:?}");
        running.signal(Signal::TERM);
        running.wait();
    }
}

/// A server that sends the password back, and a redirect to an address with one.
#[test]
fn what_a_server_repeats_is_not_shown() {
    let peer = Peer::saying("HTTP/1.1 302 F\r\nLocation: ftp://me:s3cr3t@h/x\r\nContent-Length: 0\r\n\r\n");
    let place = Place::new();
    let ran = place.racefetch().args(["-L", "-o", "x", &peer.url("/x")]).run();
    assert_eq!(ran.code, 1, "{ran:?}");
    assert_silent(&ran, "refused");
}

/// Cookies are as good as passwords to some servers. With digests and without, they bring the file, and nothing else.
#[test]
fn a_cookie_gets_past_a_redirect_and_is_not_shown() {
    let bytes = content(1, 300_000);
    let (gate, other) = (Mirror::start(), Mirror::start());
    other.on("*").status(404).always();
    let place = Place::new();
    let file = Distfile { name: "x-1.tar", content: &bytes };
    let mirrors = format!("http://{}/none", other.address());
    let plain = ["-f", "-L", "-o", "y"].map(OsString::from).to_vec();
    for arguments in [plain, file.arguments()] {
        gate.on("/distfiles/x-1.tar")
            .redirect(302, "/distfiles/x-1.tar")
            .field("Set-Cookie", "session=s3cr3t; Path=/");
        let served = gate.on("/distfiles/x-1.tar").serve(&bytes).at_most(20);
        let before = gate.requests().len();
        let run = place.racefetch().args(arguments).args(["-v", "--mirrors", &mirrors]);
        let ran = run.arg(gate.url("/distfiles/x-1.tar")).run();
        assert_eq!(ran.code, 0, "{ran:?}");
        assert_silent(&ran, "a cookie");
        let requests = gate.requests().split_off(before);
        let told = requests.iter().filter(|request| request.field("Cookie") == Some("session=s3cr3t"));
        assert!(told.count() > 0, "{requests:#?}");
        served.at_most(0);
    }
    assert!(other.requests().iter().all(|request| request.field("Cookie").is_none()));
    no_file_holds_it(place.path());
}

fn assert_silent(ran: &Ran, story: &str) {
    let output = format!("{}{}", ran.stderr(), String::from_utf8_lossy(&ran.stdout));
    assert!(!output.contains(SECRET), "{story}: {output}");
}

fn no_file_holds_it(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        assert!(!path.to_string_lossy().contains(SECRET), "{}", path.display());
        if path.is_dir() {
            no_file_holds_it(&path);
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        assert!(!bytes.windows(SECRET.len()).any(|at| at == SECRET.as_bytes()), "{}", path.display());
    }
}
