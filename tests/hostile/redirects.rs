//! Redirects: in circles, to where nobody may go, and away from those who may know a secret.

use std::io::Write;
use std::time::Duration;

use super::run::{Distfile, Peer, Place, each};
use crate::support::mirror::Mirror;

#[test]
fn circles_end() {
    let mirror = Mirror::start();
    mirror.on("/self").redirect(302, "/self").always();
    mirror.on("/a").redirect(301, "/b").always();
    mirror.on("/b").redirect(307, "/a").always();
    let growing = Peer::start(|client, _| {
        write!(client, "HTTP/1.1 302 F\r\nLocation: x/{}/y\r\nContent-Length: 0\r\n\r\n", "z".repeat(100))?;
        Ok(true)
    });
    let place = Place::new();
    for url in [mirror.url("/self"), mirror.url("/a"), growing.url("/")] {
        place.racefetch().args(["-f", "-L", "-o", "x", &url]).fails(47, &["redirects"]);
        let file = Distfile { name: "x-1.tar", content: b"x" };
        place.racefetch().args(file.arguments()).arg(&url).fails(47, &["x-1.tar", "redirects"]);
        assert!(!place.exists("x"));
    }
    // As in curl, 50 are followed.
    assert_eq!(mirror.requests_for("/self").len(), 2 * 51);
}

#[test]
fn other_schemes_are_refused() {
    let secret = Place::new();
    let path = secret.write("secret", "inside");
    let path = path.display();
    each(
        [
            format!("file://{path}"),
            format!("FILE://{path}"),
            format!("file://localhost{path}"),
            format!("file:{path}"),
            "ftp://127.0.0.1:1/x".to_owned(),
            "gopher://127.0.0.1:1/x".to_owned(),
            "data:,x".to_owned(),
            "javascript:alert(1)".to_owned(),
            "http://".to_owned(),
            "http:///x".to_owned(),
            "//".to_owned(),
            "http://[::1/x".to_owned(),
            "http://127.0.0.1:99999/x".to_owned(),
            "http://127.0.0.1:-1/x".to_owned(),
            "unix:///run/x".to_owned(),
        ],
        |target| {
            let mirror = Mirror::start();
            mirror.on("/x").redirect(302, target).always();
            mirror.allow_unwanted();
            let place = Place::new();
            let ran = place.racefetch().args(["-f", "-L", "-o", "x", &mirror.url("/x")]).run();
            assert!([1, 3, 6, 8, 22].contains(&ran.code), "{target}: {ran:?}");
            assert!(
                !target.contains("://") || target.starts_with("http") || ran.code == 1,
                "{target}: {ran:?}"
            );
            ran.assert_one_line(&[&mirror.address().to_string()]);
            assert!(!place.exists("x"), "{target}");
            let file = Distfile { name: "x-1.tar", content: b"inside" };
            let ran = place.racefetch().args(file.arguments()).arg(mirror.url("/x")).run();
            assert_ne!(ran.code, 0, "{target}");
            ran.assert_one_line(&["x-1.tar"]);
        },
    );
}

/// An address longer than a request may be: its fault, not that of the answer.
#[test]
fn a_redirect_to_a_very_long_address() {
    let mirror = Mirror::start();
    let long = format!("/{}", "z".repeat(60_000));
    mirror.on("/x").redirect(302, &long).times(1);
    mirror.on("*").serve("x").at_most(1);
    let place = Place::new();
    let ran = place.racefetch().args(["-f", "-L", "-o", "x", &mirror.url("/x")]).run();
    if ran.code != 0 {
        ran.assert_one_line(&[&mirror.address().to_string()]);
        assert!(!ran.stderr().contains("output too small"), "{ran:?}");
    }
}

/// `--proto-redir` holds, also for https and also on the second hop.
#[test]
fn only_the_schemes_asked_for_are_followed() {
    let mirror = Mirror::start();
    mirror.on("/x").redirect(302, "/y").times(1);
    mirror.on("/y").redirect(302, "https://127.0.0.1:1/").times(1);
    let place = Place::new();
    let run = place.racefetch().args(["-f", "-L", "--proto-redir", "=http", "-o", "x", &mirror.url("/x")]);
    run.fails(1, &["127.0.0.1:1"]);
}

const SECRET: &str = "s3cr3t";
/// `Basic me:s3cr3t`, as it would stand in a request.
const BASIC: &str = "bWU6czNjcjN0";

/// The ways in which a secret can be given; the URL is built from the part before its host.
fn secrets() -> Vec<(&'static str, Vec<String>, String)> {
    let options = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
    vec![
        ("-u", options(&["-u", "me:s3cr3t"]), String::new()),
        ("the URL", Vec::new(), "me:s3cr3t@".to_owned()),
        ("both", options(&["-u", "me:s3cr3t"]), "me:s3cr3t@".to_owned()),
        ("-H Authorization", options(&["-H", "Authorization: Custom s3cr3t"]), String::new()),
        ("-H authorization", options(&["-H", "aUTHORIZATION: Custom s3cr3t"]), String::new()),
        ("-H Cookie", options(&["-H", "Cookie: session=s3cr3t"]), String::new()),
        ("--oauth2-bearer", options(&["--oauth2-bearer", "s3cr3t"]), String::new()),
        ("netrc", options(&["-n"]), String::new()),
    ]
}

#[test]
fn secrets_stay_with_the_host_that_they_are_for() {
    for (story, options, userinfo) in secrets() {
        for hops in [1, 2] {
            let (home, away) = (Mirror::start(), Mirror::start());
            let place = Place::new();
            place.write(".netrc", "machine home.test login me password s3cr3t\n");
            let port = |mirror: &Mirror| mirror.address().port();
            let resolve = |name: &str, port: u16| format!("{name}:{port}:127.0.0.1");
            let target = format!("http://away.test:{}/y", port(&away));
            let first = if hops == 1 { target.as_str() } else { "/again" };
            home.on("/x").redirect(302, first).times(1);
            if hops == 2 {
                home.on("/again").redirect(307, &target).times(1);
            }
            away.on("/y").serve("x").times(1);
            let run = place.racefetch().args(&options).args(["-f", "-L", "-o", "x"]);
            let run = run.args(["--resolve", &resolve("home.test", port(&home))]);
            let run = run.args(["--resolve", &resolve("away.test", port(&away))]);
            run.arg(format!("http://{userinfo}home.test:{}/x", port(&home))).succeeds();
            for request in home.requests() {
                assert!(has_secret(&format!("{request:?}")), "{story}: it is sent where it is wanted");
            }
            let sent = format!("{:?}", away.requests());
            assert!(!has_secret(&sent), "{story}, {hops} hops: {sent}");
        }
    }
}

/// Another port of the same host is another server: any user of that host can have it. (`.netrc` knows no
/// ports: what it says holds for the whole host.)
#[test]
fn secrets_stay_with_the_port_that_they_are_for() {
    for (story, options, userinfo) in secrets() {
        if story == "netrc" {
            continue;
        }
        let (home, away) = (Mirror::start(), Mirror::start());
        home.on("/x").redirect(302, &away.url("/y")).times(1);
        away.on("/y").redirect(302, &home.url("/z")).times(1);
        home.on("/z").serve("x").times(1);
        let place = Place::new();
        let run = place.racefetch().args(&options).args(["-f", "-L", "-o", "x"]);
        run.arg(format!("http://{userinfo}{}/x", home.address())).succeeds();
        let sent = format!("{:?}", away.requests());
        assert!(!has_secret(&sent), "{story}: {sent}");
    }
}

/// Nor do other mirrors get what was meant for the one that was asked for.
#[test]
fn secrets_stay_with_the_mirror_that_they_are_for() {
    each(secrets(), |(story, options, userinfo)| {
        if *story == "netrc" {
            return;
        }
        let (home, away) = (Mirror::start(), Mirror::start());
        home.on("/distfiles/x-1.tar").status(404).always();
        home.on("/distfiles/layout.conf").serve("[structure]\n0=flat\n").at_most(1);
        away.on("/distfiles/layout.conf").serve("[structure]\n0=flat\n").always();
        away.on("/distfiles/x-1.tar").serve("x").times(1);
        let place = Place::new();
        let file = Distfile { name: "x-1.tar", content: b"x" };
        let mirrors = format!("http://{userinfo}{} {}", home.address(), away.url(""));
        let run = place.racefetch().args(file.arguments()).args(options).args(["--mirrors", &mirrors]);
        run.arg(format!("http://{userinfo}{}/distfiles/x-1.tar", home.address())).succeeds();
        let sent = format!("{:?}", away.requests());
        assert!(!has_secret(&sent), "{story}: {sent}");
    });
}

/// The referer of a redirected request is an address without what stood before its host.
#[test]
fn a_referer_holds_no_secret() {
    let mirror = Mirror::start();
    mirror.on("/x").redirect(302, "/y").times(1);
    mirror.on("/y").serve("x").times(1);
    let place = Place::new();
    let url = format!("http://me:s3cr3t@{}/x", mirror.address());
    place.racefetch().args(["-f", "-L", "-e", ";auto", "-o", "x", &url]).succeeds();
    assert_eq!(mirror.requests()[1].field("Referer"), Some(mirror.url("/x").as_str()));
}

/// The time for a transfer is for all of it, not for each of the servers that pass it on.
#[test]
fn redirects_do_not_lengthen_the_time_limit() {
    let mirror = Mirror::start();
    for hop in 0..6 {
        mirror
            .on(&format!("/{hop}"))
            .redirect(302, &format!("/{}", hop + 1))
            .delay(Duration::from_millis(400))
            .at_most(1);
    }
    mirror.on("/6").serve("x").at_most(1);
    let place = Place::new();
    place.racefetch().args(["-m", "1", "-f", "-L", "-o", "x", &mirror.url("/0")]).fails(28, &["/0"]);
}

/// Nor is the short time for a `layout.conf` there anew for each of them: Portage waits for it.
#[test]
fn a_layout_that_is_passed_on_and_on_ends_in_time() {
    let mirror = Mirror::start();
    mirror.on("*").redirect(302, "/again").delay(Duration::from_millis(500)).always();
    let place = Place::new();
    let run = place.racefetch().args(["-f", "-L", "-m", "3", "-o", ".layout.conf.127.0.0.1.__download__"]);
    run.arg(mirror.url("/distfiles/layout.conf")).fails(28, &["layout.conf"]);
}

fn has_secret(text: &str) -> bool {
    text.contains(SECRET) || text.contains(BASIC)
}
