//! Heads of answers: bombs, endless ones, slow ones, and numbers that no counter can hold.

use super::run::{Distfile, Peer, Place, another_sends, each};
use crate::support::content::content;
use crate::support::mirror::{Mirror, Rule};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const OK: &str = "HTTP/1.1 200 OK\r\n";

#[test]
fn header_bombs_cost_little_and_bring_nothing() {
    let fields = (0..100_000).map(|n| format!("X-{n}: y")).collect::<Vec<_>>().join("\r\n");
    let one_field = format!("{OK}X: {}\r\nContent-Length: 1\r\n\r\nx", "y".repeat(1 << 20));
    each(
        [
            ("many fields", Peer::saying(format!("{OK}{fields}\r\nContent-Length: 1\r\n\r\nx"))),
            ("a large field", Peer::saying(one_field)),
            ("fields without end", Peer::endless(OK, "X-Filler: abcdefghijklmnopqrstuvwxyz\r\n")),
            ("a field without end", Peer::endless(format!("{OK}X: "), "y".repeat(4096))),
            ("a name without end", Peer::endless(OK, "y".repeat(4096))),
            ("a status line without end", Peer::endless("HTTP/1.1 200 ", "y".repeat(4096))),
            ("blank lines without end", Peer::endless("", "\r\n".repeat(2048))),
            ("zeros without end", Peer::endless("", vec![0; 4096])),
        ],
        |(story, peer)| {
            let place = Place::new();
            let ran = place.racefetch().args(["-f", "-o", "x", &peer.url("/x")]).run();
            assert!([1, 8, 56].contains(&ran.code), "{story}: {ran:?}");
            ran.assert_one_line(&[&peer.address().to_string()]);
            assert!(!place.exists("x"), "{story}");

            let file = Distfile { name: "x-1.tar", content: b"x" };
            let ran = place.racefetch().args(file.arguments()).arg(peer.url("/x-1.tar")).run();
            assert!([1, 8, 56].contains(&ran.code), "{story}: {ran:?}");
            ran.assert_one_line(&["x-1.tar", &peer.address().to_string()]);
        },
    );
}

#[test]
fn interim_answers_without_end_run_into_the_time_limits() {
    let peer = Peer::endless("", "HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n");
    let place = Place::new();
    for limit in [["-m", "1"], ["-y", "1"]] {
        place.racefetch().args(limit).args(["-o", "x", &peer.url("/x")]).fails(28, &["/x"]);
        let file = Distfile { name: "x-1.tar", content: b"x" };
        let run = place.racefetch().args(limit).args(file.arguments()).arg(peer.url("/x"));
        run.fails(28, &["x-1.tar"]);
    }
}

#[test]
fn a_head_a_byte_at_a_time_runs_into_the_time_limits() {
    let mirror = Mirror::start();
    mirror.on("/x").serve("x").head_pace(Duration::from_millis(100)).always();
    let place = Place::new();
    for limit in [["-m", "1"], ["-y", "1"]] {
        place.racefetch().args(limit).args(["-o", "x", &mirror.url("/x")]).fails(28, &["/x"]);
    }
}

/// The URI's own mirror dawdles; another one has the file.
#[test]
fn a_slow_mirror_does_not_keep_the_others_from_sending() {
    let bytes = content(1, 3 << 20);
    another_sends(&bytes, Rule::serve(&bytes).head_pace(Duration::from_millis(300)));
}

const NUMBERS: [&str; 18] = [
    "",
    "-1",
    "+5",
    "0",
    "1",
    "1e3",
    "0x10",
    "5, 5",
    "5, 6",
    " ",
    "\u{663}",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551614",
    "18446744073709551615",
    "18446744073709551616",
    "999999999999999999999999999999999999999999",
];

/// Whatever a length says: no panic, and success only with the bytes that were meant.
#[test]
fn absurd_lengths() {
    let whole = content(1, 1000);
    let file = Distfile { name: "x-1.tar", content: &whole };
    each(NUMBERS, |number| {
        let place = Place::new();
        let mirror = Mirror::start();
        mirror.on("*").serve(&whole).length(number).close().always();
        let fresh = place.racefetch().args(["-f", "-o", "plain", &mirror.url("/x")]).run();
        assert!(fresh.code != 0 || whole.starts_with(&place.read("plain")), "{number:?}: {fresh:?}");
        place.write("resumed", &whole[..100]);
        let resumed = place.racefetch().args(["-f", "-C", "-", "-o", "resumed", &mirror.url("/x")]).run();
        assert!(whole.starts_with(&place.read("resumed")), "{number:?}: {resumed:?}");
        let ran = place.racefetch().args(file.arguments()).arg(mirror.url("/x")).run();
        assert!(ran.code != 0 || place.read("x-1.tar.__download__") == whole, "{number:?}: {ran:?}");
        // Its size is not known: the length is all that there is.
        let digests = file.digests();
        let run = place.racefetch().args(["--digests", &digests, "-o", "unsized", &mirror.url("/x")]);
        let ran = run.run();
        assert!(ran.code != 0 || place.read("unsized") == whole, "{number:?}: {ran:?}");
    });
}

#[test]
fn absurd_ranges_leave_the_partial_file_alone() {
    let whole = content(1, 1000);
    let file = Distfile { name: "x-1.tar", content: &whole };
    let mut ranges: Vec<String> = [
        "bytes 100-18446744073709551614/18446744073709551615",
        "bytes 100-18446744073709551615/*",
        "bytes 18446744073709551615-100/1000",
        "bytes 100-99/1000",
        "bytes 100-/1000",
        "bytes -1-999/1000",
        "bytes 0-999/1000",
        "bytes 100-999/100",
        "bytes 100-999/0",
        "bytes */18446744073709551615",
        "bytes */0",
        "bytes",
        "octets 100-999/1000",
        "bytes 99-998/1000",
        "bytes 101-1000/1001",
    ]
    .map(str::to_owned)
    .into();
    ranges.extend(NUMBERS.map(|number| format!("bytes {number}-{number}/{number}")));
    each(ranges, |range| {
        for status in ["206 Partial Content", "416 Range Not Satisfiable"] {
            let mut answer = format!("HTTP/1.1 {status}\r\nContent-Range: {range}\r\n\r\n").into_bytes();
            answer.extend_from_slice(&whole[100..]);
            let peer = Peer::saying(answer);
            let place = Place::new();
            place.write("plain", &whole[..100]);
            let ran = place.racefetch().args(["-f", "-C", "-", "-o", "plain", &peer.url("/x")]).run();
            assert!(whole.starts_with(&place.read("plain")), "{status}, {range}: {ran:?}");
            place.write("x-1.tar.__download__", &whole[..100]);
            let ran = place.racefetch().args(file.arguments()).arg(peer.url("/x")).run();
            let after = place.read("x-1.tar.__download__");
            assert!(whole.starts_with(&after), "{status}, {range}: {ran:?}");
            assert!(ran.code != 0 || after == whole, "{status}, {range}: {ran:?}");
        }
    });
}

/// A length of 2^64 - 1 for what is missing: added to what is there it is more than a counter holds.
#[test]
fn a_length_that_overflows_behind_a_partial_file() {
    let place = Place::new();
    let partial = content(1, 100);
    for length in ["18446744073709551615", "18446744073709551600"] {
        let range = "Content-Range: bytes 100-1099/1100";
        let peer = Peer::saying(format!(
            "HTTP/1.1 206 Partial Content\r\nContent-Length: {length}\r\n{range}\r\n\r\nrest"
        ));
        place.write("x", &partial);
        let ran = place.racefetch().args(["-f", "-C", "-", "-o", "x", &peer.url("/x")]).run();
        assert_ne!(ran.code, 0, "{ran:?}");
        assert!(place.read("x").starts_with(&partial));
    }
}

#[test]
fn absurd_retry_after() {
    let dates =
        ["Fri, 31 Dec 9999 23:59:59 GMT", "Thu, 01 Jan 1970 00:00:00 GMT", "Mon, 99 Foo 2026 99:99:99 GMT"];
    each(NUMBERS.iter().chain(&dates), |value| {
        let peer = Peer::saying(format!(
            "HTTP/1.1 503 Later\r\nRetry-After: {value}\r\nAge: {value}\r\nContent-Length: 0\r\n\r\n"
        ));
        let place = Place::new();
        // No longer than two seconds may be spent on waiting; a distfile's mirror may ask for a short time itself.
        let retry = ["--retry", "1", "--retry-delay", "1", "--retry-max-time", "2", "-m", "5"];
        place.racefetch().args(retry).args(["-f", "-o", "x", &peer.url("/x")]).fails(22, &["/x", "503"]);
        let file = Distfile { name: "x-1.tar", content: b"x" };
        let ran = place.racefetch().args(["-m", "3"]).args(file.arguments()).arg(peer.url("/x")).run();
        assert!([22, 28].contains(&ran.code), "{ran:?}");
        ran.assert_one_line(&["x-1.tar"]);
    });
}

#[test]
fn absurd_dates_of_a_file() {
    for date in [
        "Fri, 31 Dec 9999 23:59:59 GMT",
        "Thu, 01 Jan 1970 00:00:00 GMT",
        "Sat, 01 Jan 0000 00:00:00 GMT",
        "x",
    ] {
        let mirror = Mirror::start();
        mirror.on("/x").serve("x").last_modified(date).times(2);
        let place = Place::new();
        place.racefetch().args(["-f", "-R", "-o", "x", &mirror.url("/x")]).succeeds();
        place.racefetch().args(["-f", "-z", "x", "-o", "x", &mirror.url("/x")]).succeeds();
        assert_eq!(place.read("x"), b"x");
    }
}

/// A redirect or an error page whose body comes a byte at a time is no reason to wait for it.
#[test]
fn nobody_waits_for_the_body_of_an_answer_that_is_not_wanted() {
    let (dripping, good) = (dripping_peer(), Mirror::start());
    good.on("/found").serve("x").times(1);
    let place = Place::new();
    let file = Distfile { name: "x-1.tar", content: b"x" };
    let target = format!("{}?{}", dripping.url("/302"), good.url("/found"));
    each(["plain", "distfile", "redirect"], |case| match *case {
        "plain" => {
            place.racefetch().args(["-f", "-o", "y", &dripping.url("/404")]).fails(22, &["/404"]);
        }
        "distfile" => {
            let run = place.racefetch().args(file.arguments()).arg(dripping.url("/404"));
            run.fails(22, &["x-1.tar", "404"]);
        }
        _ => {
            place.racefetch().args(["-f", "-L", "-o", "x", &target]).succeeds();
            assert_eq!(place.read("x"), b"x");
        }
    });
}

/// Answers that are in good order and bring nothing: the same question would be asked for ever.
#[test]
fn an_answer_without_content_is_not_asked_for_again_and_again() {
    let file = Distfile { name: "x-1.tar", content: &content(1, 1000) };
    each(
        [
            "200 OK\r\n\r\n",
            "200 OK\r\nContent-Length: 1000\r\n\r\n",
            "200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "206 Partial Content\r\nContent-Range: bytes 100-999/1000\r\n\r\n",
            "206 Partial Content\r\nContent-Range: bytes 100-100/1000\r\n\r\n",
            "206 Partial Content\r\nContent-Range: bytes 100-999/1000\r\nContent-Length: 900\r\n\r\n",
            "204 No Content\r\n\r\n",
            "416 Range Not Satisfiable\r\nContent-Range: bytes */1000\r\nContent-Length: 0\r\n\r\n",
        ],
        |answer| {
            let requests = Arc::new(AtomicUsize::new(0));
            let (count, bytes) = (Arc::clone(&requests), format!("HTTP/1.1 {answer}"));
            let peer = Peer::start(move |client, _| {
                count.fetch_add(1, Ordering::Relaxed);
                client.write_all(bytes.as_bytes())?;
                Ok(false)
            });
            let place = Place::new();
            place.write("x-1.tar.__download__", &content(1, 1000)[..100]);
            let ran = place.racefetch().args(["-m", "5"]).args(file.arguments()).arg(peer.url("/x")).run();
            assert_ne!(ran.code, 0);
            ran.assert_one_line(&["x-1.tar", &peer.address().to_string()]);
            let requests = requests.load(Ordering::Relaxed);
            assert!(requests < 10, "{requests} requests");
        },
    );
}

/// Answers `/404` with 404 and `/302?URL` with a redirect, and sends ever more of a body, slower than any
/// limit for stalls.
fn dripping_peer() -> Peer {
    Peer::start(move |client, head| {
        let target = head.split(' ').nth(1).unwrap_or_default();
        let (status, to) = target.split_once('?').unwrap_or((target, ""));
        write!(client, "HTTP/1.1 {} S\r\nLocation: {to}\r\nContent-Length: 9999\r\n\r\n", &status[1..])?;
        let (_nobody, nothing) = std::sync::mpsc::channel::<()>();
        loop {
            client.write_all(b"x")?;
            let _ = nothing.recv_timeout(Duration::from_millis(400));
        }
    })
}
