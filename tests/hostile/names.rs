//! Names and texts from outside: they neither leave their folder nor give orders to a terminal.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::run::{Distfile, Peer, Place, each};
use crate::support::mirror::Mirror;

/// Sets a terminal's title, clears it, asks it for its answer-back; and the same with one-character controls,
/// which UTF-8 has as well.
const ORDERS: &str = "\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}5n\u{85}\r\n";

#[test]
fn a_name_on_the_command_line_stays_one_line() {
    let mirror = Mirror::start();
    mirror.on("/x").serve("x").always();
    let file = Distfile { name: "x-1.tar", content: b"x" };
    each([format!("missing{ORDERS}/x"), format!("x{ORDERS}/y"), "missing\n/x".to_owned()], |name| {
        let place = Place::new();
        place.racefetch().args(["-f", "-o", name, &mirror.url("/x")]).fails(23, &[]);
        let mut arguments = file.arguments();
        *arguments.last_mut().unwrap() = OsString::from(name);
        place.racefetch().args(arguments).arg(mirror.url("/x")).fails(23, &[]);
    });
}

#[test]
fn texts_on_the_command_line_stay_one_line() {
    let place = Place::new();
    each(
        [
            vec!["-o", "x", "http://h\u{1b}[2J/"],
            vec!["-o", "x", "http://h/\u{9b}5n:"],
            vec!["-o", "x", "x\n://h/"],
            vec!["--no-such\u{1b}[2J\n-option", "http://127.0.0.1:1/"],
            vec!["-K", "missing\u{1b}[2J\n", "http://127.0.0.1:1/"],
            vec!["--resolve", "\u{1b}[2J\n", "http://127.0.0.1:1/"],
            vec!["--proto", "=x\u{1b}[2J\n", "http://127.0.0.1:1/"],
            vec!["--cacert", "missing\u{1b}[2J\n", "-o", "x", "https://127.0.0.1:1/"],
            vec!["-x", "\u{1b}[2J\n://127.0.0.1:1", "http://127.0.0.1:1/"],
            vec!["--interface", "no\u{1b}[2J\n", "http://127.0.0.1:1/"],
            vec!["--digests", "x\u{1b}[2J\n:00", "-o", "x", "http://127.0.0.1:1/"],
            vec!["--state", "missing\u{1b}[2J\n/x", "-o", "x", "http://127.0.0.1:1/"],
        ],
        |arguments| {
            let ran = place.racefetch().args(arguments).run();
            assert_ne!(ran.code, 0, "{ran:?}");
            ran.assert_one_line(&[]);
        },
    );
}

/// Also where progress and warnings are wanted.
#[test]
fn names_in_progress_and_warnings_give_no_orders() {
    let place = Place::new();
    let mirror = Mirror::start();
    mirror.on("/x").serve("x").always();
    let digests = Distfile { name: "x-1.tar", content: b"x" }.digests();
    let unknown = format!("{digests} sha3_\u{9b}5n:00");
    each(
        [
            vec!["-o", "x\u{1b}[2J\u{9b}5n"],
            vec!["--digests", &digests, "-o", "y\u{1b}[2J\u{9b}5n"],
            vec!["--digests", &unknown, "-o", "z"],
        ],
        |arguments| {
            let ran =
                place.racefetch().args(["--no-silent", "-f"]).args(arguments).arg(mirror.url("/x")).run();
            assert_eq!(ran.code, 0, "{ran:?}");
            ran.assert_harmless();
        },
    );
}

/// Bytes that are no UTF-8 are a name like any other, and one that can be shown.
#[test]
fn a_name_that_is_no_text() {
    let place = Place::new();
    let mirror = Mirror::start();
    mirror.on("/x").serve("x").always();
    let name = OsString::from_vec(b"caf\xe9\xff".to_vec());
    place.racefetch().env("LANG", "C").args(["-f", "-o"]).arg(&name).arg(mirror.url("/x")).succeeds();
    assert_eq!(fs::read(place.join(&name)).unwrap(), b"x");
    let missing = OsString::from_vec(b"caf\xe9\xfe/x".to_vec());
    let run = place.racefetch().env("LANG", "C").args(["-f", "-o"]).arg(&missing).arg(mirror.url("/x"));
    run.fails(23, &["caf"]);
    for argument in [&b"http://127.0.0.1:1/\xff"[..], b"--\xff", b"-\xff"] {
        let ran = place.racefetch().arg(std::ffi::OsStr::from_bytes(argument)).run();
        assert_ne!(ran.code, 0);
        ran.assert_one_line(&[]);
    }
}

/// Everything that a server can say and that ends up in a message.
#[test]
fn texts_of_a_server_give_no_orders() {
    let texts = ["\u{1b}]0;owned\u{7}\u{1b}[2J", "\u{9b}5n\u{9d}0;owned\u{9c}", "\u{85}x", "\u{202e}x"];
    let answers = texts.iter().flat_map(|text| {
        [
            format!("HTTP/1.1 404 {text}\r\nContent-Length: 0\r\n\r\n"),
            format!("HTTP/1.1 {text}\r\n\r\n"),
            format!("{text}\r\n\r\n"),
            format!("HTTP/1.1 302 F\r\nLocation: {text}://h/\r\nContent-Length: 0\r\n\r\n"),
            format!("HTTP/1.1 302 F\r\nLocation: http://{text}/\r\nContent-Length: 0\r\n\r\n"),
            format!("HTTP/1.1 302 F\r\nLocation: https://127.0.0.1:1/{text}\r\nContent-Length: 0\r\n\r\n"),
            format!("HTTP/1.1 200 OK\r\n{text}: x\r\n\r\n"),
            format!("HTTP/1.1 200 OK\r\nX-Text: {text}\r\nContent-Length: 9\r\n\r\n"),
            format!("HTTP/1.1 200 OK\r\nContent-Length: {text}\r\n\r\n"),
            format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: {text}\r\n\r\n"),
            format!("HTTP/1.1 200 OK\r\nContent-Encoding: {text}\r\nContent-Length: 9\r\n\r\n"),
            format!("HTTP/1.1 200 OK\r\nContent-Type: text/html; {text}\r\nContent-Length: 9\r\n\r\n"),
            format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{text}\r\n"),
        ]
    });
    let ways = ["message", "verbose", "progress", "distfile"];
    each(answers.flat_map(|answer| ways.map(|way| (way, answer.clone()))), |(way, answer)| {
        let peer = Peer::saying(answer.as_str());
        let place = Place::new();
        let file = Distfile { name: "x-1.tar", content: b"x" };
        let (url, plain) = (peer.url("/x"), ["-f", "-L", "--retry", "0", "-o", "x"]);
        let run = match *way {
            "message" => place.racefetch().args(plain).arg(&url),
            "verbose" => place.racefetch().args(plain).args(["-v", "--compressed", &url]),
            "progress" => place.racefetch().args(plain).args(["--no-silent", "--proto-redir", "=http", &url]),
            _ => place.racefetch().args(file.arguments()).arg(&url),
        };
        run.run().assert_harmless();
    });
}

#[test]
fn a_long_text_of_a_server_is_no_long_line() {
    let long = "x".repeat(60_000);
    for answer in [
        format!("HTTP/1.1 404 {long}\r\nContent-Length: 0\r\n\r\n"),
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: {long}\r\n\r\n"),
        format!("HTTP/1.1 302 F\r\nLocation: https://127.0.0.1:1/{long}\r\nContent-Length: 0\r\n\r\n"),
    ] {
        let peer = Peer::saying(answer);
        let ran = Place::new().racefetch().args(["-f", "-L", "-o", "x", &peer.url("/x")]).run();
        assert_ne!(ran.code, 0);
        ran.assert_one_line(&[]);
    }
}

/// `-J`: the server names the file, and nothing but the file.
#[test]
fn the_servers_name_for_a_file_leads_nowhere_else() {
    for name in [
        "../above",
        "/tmp/absolute",
        "..",
        ".",
        "a/../../b",
        "..\\..\\c",
        "%2e%2e%2fd",
        "\u{1b}[2Je",
        "\u{9b}5nf",
        "nul\0g",
        "exists",
        &"long".repeat(1000),
    ] {
        let peer = Peer::saying(format!(
            "HTTP/1.1 200 OK\r\nContent-Disposition: attachment; filename=\"{name}\"\r\nContent-Length: 1\r\n\r\nx"
        ));
        let place = Place::new();
        place.write("in/exists", "mine");
        let run =
            place.racefetch().args(["-f", "-O", "-J", "--output-dir", "in", &peer.url("/remote")]).run();
        run.assert_harmless();
        assert_eq!(place.read("in/exists"), b"mine", "{name:?}");
        let above: Vec<_> = fs::read_dir(place.path()).unwrap().flatten().map(|e| e.file_name()).collect();
        assert!(above.iter().all(|name| name == "in" || name == "state"), "{name:?}: {above:?}");
        for entry in fs::read_dir(place.join("in")).unwrap().flatten() {
            assert!(!entry.file_name().to_string_lossy().chars().any(char::is_control), "{name:?}");
        }
    }
}

/// `-O`: the URL names the file, and the server behind a redirect does not.
#[test]
fn the_name_in_a_url_leads_nowhere_else() {
    let mirror = Mirror::start();
    mirror.on("*").serve("x").always();
    for path in ["/a/..", "/..", "/%2e%2e", "/..%2f..%2fx", "/a/.", "/", "/a%00b", "/%1b[2J", "/a//"] {
        let place = Place::new();
        fs::create_dir(place.join("in")).unwrap();
        let ran = place.racefetch().args(["-f", "-O", "--output-dir", "in", &mirror.url(path)]).run();
        ran.assert_harmless();
        let above: Vec<_> = fs::read_dir(place.path()).unwrap().flatten().map(|e| e.file_name()).collect();
        assert!(above.iter().all(|name| name == "in" || name == "state"), "{path}: {above:?}");
    }
}

/// Names in the Manifest that are no names in a folder are not looked for, and nothing outside is written.
#[test]
fn a_manifest_names_no_folders() {
    let digest = Distfile { name: "", content: b"x" }.digests();
    let words: Vec<&str> = digest.split([':', ' ']).collect();
    for name in ["../x-1.tar", "..", ".", "/etc/x-1.tar", "a/x-1.tar", "x-1.tar\0", "x-1.tar\u{1b}[2J"] {
        let place = Place::new();
        let line = format!("DIST {name} 1 BLAKE2B {} SHA512 {}\n", words[1], words[3]);
        place.write("repo/cat/pkg/Manifest", line);
        let ebuild = place.write("repo/cat/pkg/pkg-1.ebuild", "");
        let mirror = Mirror::start();
        mirror.on("/x-1.tar").serve("x").times(1);
        let run = place.racefetch().env("EBUILD_PHASE", "fetch").env("EBUILD", &ebuild);
        let ran = run.args(["-f", "-L", "-o", "x-1.tar.__download__", &mirror.url("/x-1.tar")]).run();
        ran.assert_harmless();
        assert_eq!(place.read("x-1.tar.__download__"), b"x");
    }
}
