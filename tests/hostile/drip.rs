//! A byte now and then renews no limit: not within TLS, not in a proxy's answer, not in what is no content.
//!
//! Each entry of `src/patience.rs` that bounds a peer has its rows here. Those that the command line can shorten are
//! shortened.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use racefetch::patience::LAYOUT;

use super::run::{Distfile, Peer, Place, each_at_once, now};
use crate::support::content::content;
use crate::support::drip::{Drip, DrippingPeer, Part, Through, Wrap};
use crate::support::mirror::Mirror;
use crate::support::tls::test_ca;

/// How much later than its limit a run may end: the machine has other things to do.
const SLACK: Duration = Duration::from_secs(5);
const SECOND: Duration = Duration::from_secs(1);

const WAYS: [(Through, Wrap); 7] = [
    (Through::Nothing, Wrap::Plain),
    (Through::Nothing, Wrap::Tls),
    (Through::Nothing, Wrap::TlsRecords),
    (Through::Connect, Wrap::Plain),
    (Through::Connect, Wrap::Tls),
    (Through::Socks5, Wrap::Plain),
    (Through::Socks5, Wrap::Tls),
];

/// All but [`Part::Redirect`], which is waited for by nobody.
const PARTS: [Part; 7] =
    [Part::Proxy, Part::Handshake, Part::Request, Part::Head, Part::ChunkSize, Part::Trailer, Part::Content];

/// Which ways have that part.
fn ways(part: Part) -> impl Iterator<Item = Drip> {
    let exists = move |through, wrap| match part {
        Part::Proxy => through != Through::Nothing && wrap != Wrap::TlsRecords,
        Part::Handshake => wrap == Wrap::Tls,
        Part::Request => wrap == Wrap::Plain,
        _ => true,
    };
    WAYS.into_iter().filter(move |(through, wrap)| exists(*through, *wrap)).map(move |(through, wrap)| Drip {
        through,
        wrap,
        part,
    })
}

/// Every way of getting to what drips ends within a second by these options, for a reason in these words; in curl as
/// well, for the parts that its option bounds.
#[track_caller]
fn ends_by(options: &[&str], words: &str, parts: &[Part], not_in_curl: &[Part]) {
    let drips = parts.iter().flat_map(|part| ways(*part));
    each_at_once(drips, |drip| {
        let peer = DrippingPeer::start(*drip);
        let place = Place::new();
        let ca = test_ca().write_pem_files(place.path()).ca;
        let mut arguments: Vec<String> = options.iter().map(ToString::to_string).collect();
        arguments.extend(peer.options(ca.to_str().unwrap()));
        if drip.part == Part::Request {
            // More than the two kernels keep for a peer that does not read.
            arguments.extend(["-H".to_owned(), format!("X-Filler: {}", "x".repeat(60_000))]);
        }
        arguments.extend(["-o".to_owned(), "x".to_owned(), peer.url("/x")]);
        let ran = place.racefetch().args(&arguments).run();
        ran.assert_failed(28, &["/x", words]);
        assert!(ran.elapsed < SECOND + SLACK, "{drip:?}: {ran:?}");
        if !not_in_curl.contains(&drip.part) {
            curl_ends_too(&place, &arguments);
        }
    });
}

/// curl, asked in the same way, ends for the same reason.
#[track_caller]
fn curl_ends_too(place: &Place, arguments: &[String]) {
    let began = now();
    let mut curl = Command::new("curl");
    // Should it not hold to the row's options, it ends all the same. An `-m` of the row takes this one's place.
    curl.args(["-q", "-sS", "-m", "20"]).args(arguments).env_clear().current_dir(place.path());
    let code = curl.stderr(Stdio::null()).status().unwrap().code();
    let elapsed = now().saturating_duration_since(began);
    assert_eq!(code, Some(28), "{curl:?}");
    assert!(elapsed < SECOND + SLACK, "{elapsed:?}: {curl:?}");
}

#[test]
fn connect_timeout_bounds_the_proxys_answer_and_the_tls_handshake() {
    let parts = [Part::Proxy, Part::Handshake];
    ends_by(&["--connect-timeout", "1"], "no connection within 1 s", &parts, &[]);
}

#[test]
fn max_time_bounds_every_part() {
    ends_by(&["-m", "1"], "time is up (1 s)", &PARTS, &[]);
}

/// In curl only once the connection stands.
#[test]
fn the_speed_limit_bounds_every_part() {
    let not_in_curl = [Part::Proxy, Part::Handshake];
    ends_by(&["-y", "1", "-Y", "1000"], "slower than 1000 bytes/s for 1 s", &PARTS, &not_in_curl);
}

/// What the command line cannot shorten: the time that a mirror has for its layout.conf.
#[test]
fn a_layout_has_its_time_and_no_more() {
    let drips = [Part::Handshake, Part::Head, Part::Content].into_iter().flat_map(ways);
    each_at_once(drips.filter(|drip| drip.through == Through::Nothing), |drip| {
        let peer = DrippingPeer::start(*drip);
        let place = Place::new();
        let ca = test_ca().write_pem_files(place.path()).ca;
        let run = place.racefetch().args(peer.options(ca.to_str().unwrap()));
        let run = run.args(["-f", "-o", ".layout.conf.127.0.0.1.__download__"]);
        let ran = run.arg(peer.url("/distfiles/layout.conf")).start().wait_within(LAYOUT + 2 * SLACK);
        ran.assert_failed(28, &["layout.conf"]);
        assert!(ran.elapsed < LAYOUT + SLACK, "{drip:?}: {ran:?}");
    });
}

/// Content that has arrived long ago, and is taken up at a slow pace of our own.
#[test]
fn max_time_bounds_a_limited_rate() {
    let mirror = Mirror::start();
    mirror.on("/x").serve(content(1, 100_000)).always();
    let place = Place::new();
    let limits = ["-m", "1", "--limit-rate", "1K"];
    let ran = place.racefetch().args(limits).args(["-o", "x", &mirror.url("/x")]).run();
    ran.assert_failed(28, &["/x", "time is up (1 s)"]);
    assert!(ran.elapsed < SECOND + SLACK, "{ran:?}");
}

/// A redirect is followed although its content, which nobody wants, does not come to its end.
#[test]
fn the_content_of_a_redirect_is_not_waited_for() {
    each_at_once(ways(Part::Redirect), |drip| {
        let peer = DrippingPeer::start(*drip);
        let place = Place::new();
        let ca = test_ca().write_pem_files(place.path()).ca;
        let run = place.racefetch().args(peer.options(ca.to_str().unwrap()));
        let ran = run.args(["-f", "-L", "-o", "x", &peer.url("/x")]).succeeds();
        assert_eq!(fs::read(place.join("x")).unwrap(), b"found");
        assert!(ran.elapsed < SLACK, "{drip:?}: {ran:?}");
    });
}

/// The same limits hold for a file with digests, whatever its source is doing.
#[test]
fn max_time_bounds_a_distfile() {
    let parts = [Part::Proxy, Part::Handshake, Part::Head, Part::ChunkSize, Part::Content];
    each_at_once(parts.into_iter().flat_map(ways), |drip| {
        let peer = DrippingPeer::start(*drip);
        let place = Place::new();
        let ca = test_ca().write_pem_files(place.path()).ca;
        let file = Distfile { name: "x-1.tar", content: &[b'x'; 2000] };
        let run = place.racefetch().args(peer.options(ca.to_str().unwrap())).args(["-m", "1"]);
        let ran = run.args(file.arguments()).arg(peer.url("/x-1.tar")).run();
        ran.assert_failed(28, &["x-1.tar"]);
        assert!(ran.elapsed < SECOND + SLACK, "{drip:?}: {ran:?}");
    });
}

/// Each range comes in chunks, and what follows the last chunk does not come to its end. Nobody waits for that before
/// the next range is asked for: it would be for longer than any run may take.
#[test]
fn a_trailer_does_not_keep_a_source_from_its_next_range() {
    let bytes = content(1, 4 << 20);
    let file = Distfile { name: "x-1.tar", content: &bytes };
    let peers = [(); 2].map(|()| peer_with_dripping_trailers(bytes.clone()));
    let place = Place::new();
    let mirrors = peers.each_ref().map(|peer| peer.url("")).join(" ");
    let run = place.racefetch().args(file.arguments()).args(["--mirrors", &mirrors]);
    run.arg(peers[0].url("/distfiles/x-1.tar")).succeeds();
    assert!(place.read("x-1.tar.__download__") == bytes);
}

/// A mirror of one file at a megabyte per second, for which each range is a chunk.
fn peer_with_dripping_trailers(bytes: Vec<u8>) -> Peer {
    Peer::start(move |client, head| {
        if head.contains("layout.conf") {
            write!(client, "HTTP/1.1 200 OK\r\nContent-Length: 19\r\n\r\n[structure]\n0=flat\n")?;
            return Ok(true);
        }
        let (first, last) = asked_range(head, bytes.len());
        let total = bytes.len();
        write!(client, "HTTP/1.1 206 P\r\nContent-Range: bytes {first}-{last}/{total}\r\n")?;
        write!(client, "Transfer-Encoding: chunked\r\n\r\n{:x}\r\n", last + 1 - first)?;
        let (_nobody, nothing) = std::sync::mpsc::channel::<()>();
        for piece in bytes[first..=last].chunks(10_000) {
            client.write_all(piece)?;
            let _ = nothing.recv_timeout(Duration::from_millis(10));
        }
        write!(client, "\r\n0\r\nX-Filler: ")?;
        loop {
            client.write_all(b"x")?;
            let _ = nothing.recv_timeout(Duration::from_millis(20));
        }
    })
}

/// The range that a request asks for, of a file with so many bytes: the positions of its first and its last byte.
fn asked_range(head: &str, length: usize) -> (usize, usize) {
    let range = head.lines().find_map(|line| line.strip_prefix("range: bytes=")).unwrap_or("0-");
    let (first, last) = range.split_once('-').unwrap_or_default();
    (first.parse().unwrap_or(0), last.parse().unwrap_or(length - 1))
}

/// The other mirror has a wrong byte where no sample shows it. Before, the comparison of everything waited for each byte
/// of the dripping one.
#[test]
fn the_speed_limit_bounds_the_comparison_of_wrong_bytes() {
    let bytes = content(1, 4 << 20);
    let file = Distfile { name: "x-1.tar", content: &bytes };
    let liar = Mirror::start();
    liar.limit_rate(4_000_000);
    liar.on("/distfiles/layout.conf").serve("[structure]\n0=flat\n").always();
    let mut wrong = bytes.clone();
    // Some of it is in the liar's share, whatever that is, and hardly any in a sample.
    wrong.iter_mut().skip(20_000).step_by(800_000).for_each(|byte| *byte ^= 1);
    liar.on("/distfiles/x-1.tar").serve(wrong).always();
    let peer = peer_that_drips_when_asked_anew(bytes.clone());
    let place = Place::new();
    let mirrors = format!("{} {}", peer.url(""), liar.url(""));
    let run = place.racefetch().args(file.arguments()).args(["--mirrors", &mirrors, "-y", "1", "-Y", "1000"]);
    let ran = run.arg(peer.url("/distfiles/x-1.tar")).run();
    assert!(ran.elapsed < 5 * SECOND + SLACK, "{ran:?}");
}

/// A mirror of one file at four megabytes per second. To those who want it anew, as repairs do, it sends a byte now and
/// then.
fn peer_that_drips_when_asked_anew(bytes: Vec<u8>) -> Peer {
    Peer::start(move |client, head| {
        if head.contains("layout.conf") {
            write!(client, "HTTP/1.1 200 OK\r\nContent-Length: 19\r\n\r\n[structure]\n0=flat\n")?;
            return Ok(true);
        }
        let (first, last) = asked_range(head, bytes.len());
        let (length, total) = (last + 1 - first, bytes.len());
        write!(client, "HTTP/1.1 206 P\r\nContent-Range: bytes {first}-{last}/{total}\r\n")?;
        write!(client, "Content-Length: {length}\r\n\r\n")?;
        let piece = if head.contains("no-cache") { 1 } else { 40_000 };
        let (_nobody, nothing) = std::sync::mpsc::channel::<()>();
        for piece in bytes[first..=last].chunks(piece) {
            client.write_all(piece)?;
            let _ = nothing.recv_timeout(Duration::from_millis(10));
        }
        Ok(true)
    })
}
