//! Contents: without end, in monstrous chunks, slower than anyone can wait.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::run::{Distfile, Peer, Place, another_sends, each};
use crate::support::content::content;
use crate::support::mirror::{Mirror, Rule};

const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

/// What one may receive of an endless content past the size that is known: a buffer of ours, and what the two
/// kernels hold between the mirror and us.
const EXCESS: u64 = 1 << 20;

/// The rate leaves time to notice: what comes late would be measured as what came too much.
#[test]
fn an_endless_content_is_cut_where_the_file_ends() {
    let bytes = content(1, 2 << 20);
    let file = Distfile { name: "x-1.tar", content: &bytes };
    for framing in ["until close", "chunked", "resumed"] {
        let mirror = Mirror::start();
        let rule = mirror.on("/x").serve(&bytes).endless().rate(8 << 20);
        let place = Place::new();
        let _ = match framing {
            "until close" => rule.until_close(),
            "chunked" => rule.chunked(),
            _ => {
                place.write("x-1.tar.__download__", &bytes[..1 << 20]);
                rule.until_close()
            }
        };
        place.racefetch().args(file.arguments()).arg(mirror.url("/x")).succeeds();
        assert!(place.read("x-1.tar.__download__") == bytes, "{framing}");
        let sent = mirror.body_bytes_sent();
        assert!(sent <= bytes.len() as u64 + EXCESS, "{framing}: {sent} bytes sent");
    }
}

#[test]
fn an_endless_content_of_wrong_bytes_is_cut_too() {
    let (right, wrong) = (content(1, 1 << 20), content(2, 1 << 20));
    let file = Distfile { name: "x-1.tar", content: &right };
    let mirror = Mirror::start();
    mirror.on("/x").serve(&wrong).until_close().endless().rate(8 << 20).always();
    let place = Place::new();
    let ran = place.racefetch().args(file.arguments()).arg(mirror.url("/x")).run();
    assert_ne!(ran.code, 0);
    ran.assert_one_line(&["x-1.tar", &mirror.address().to_string()]);
    let sent = mirror.body_bytes_sent();
    assert!(sent <= 2 * (right.len() as u64 + EXCESS), "{sent} bytes sent");
}

/// Of content that is longer than the Manifest says no more is wanted than the Manifest's size.
#[test]
fn another_size_costs_nothing() {
    let bytes = content(1, 1 << 20);
    let wanted = content(2, 1000);
    let file = Distfile { name: "x-1.tar", content: &wanted };
    let mirror = Mirror::start();
    mirror.on("/x").serve(&bytes).rate(1 << 20).no_ranges().always();
    let place = Place::new();
    let ran = place.racefetch().args(file.arguments()).arg(mirror.url("/x")).run();
    assert_ne!(ran.code, 0);
    ran.assert_one_line(&["x-1.tar", "1048576", "1000"]);
    assert!(mirror.body_bytes_sent() < 512 << 10, "{} bytes sent", mirror.body_bytes_sent());
}

/// With digests but without a size, `--max-filesize` is what keeps the disk from filling up.
#[test]
fn a_content_without_end_and_size_ends_at_the_largest_size_allowed() {
    for framing in ["HTTP/1.1 200 OK\r\n\r\n", CHUNKED] {
        let piece = format!("{:x}\r\n{}\r\n", 65536, "x".repeat(65536));
        let piece = if framing == CHUNKED { piece } else { "x".repeat(65536) };
        let peer = Peer::endless(framing, piece);
        let place = Place::new();
        let limit = ["-f", "-m", "6", "--max-filesize", "1000000"];
        place.racefetch().args(limit).args(["-o", "plain", &peer.url("/x")]).fails(63, &["/x", "1000000"]);
        assert!(place.read("plain").len() <= 1_000_000);
        let digests = Distfile { name: "x-1.tar", content: b"x" }.digests();
        let run = place.racefetch().args(limit).args(["--digests", &digests, "-o", "file", &peer.url("/x")]);
        run.fails(63, &["1000000"]);
    }
}

#[test]
fn a_content_without_end_runs_into_the_time_limit() {
    let peer = Peer::endless("HTTP/1.1 200 OK\r\n\r\n", "x".repeat(1000));
    let place = Place::new();
    let run = place.racefetch().args(["-m", "1", "-f", "-o", "/dev/null", &peer.url("/x")]);
    run.fails(28, &["/x"]);
}

#[test]
fn chunk_bombs() {
    let mut cases: Vec<(String, Peer)> = [
        "ffffffffffffffff",
        "10000000000000000",
        "7fffffffffffffff",
        "-1",
        "+5",
        "0x5",
        "",
        "g",
        "5 5",
        "\u{663}",
        "5;",
        "00000000000000000000000000000000000000005",
    ]
    .iter()
    .map(|size| (format!("size {size:?}"), Peer::saying(format!("{CHUNKED}{size}\r\nhello"))))
    .collect();
    cases.extend([
        ("a size without end".to_owned(), Peer::endless(CHUNKED, "0".repeat(4096))),
        ("an extension without end".to_owned(), Peer::endless(format!("{CHUNKED}5;"), "x".repeat(4096))),
        ("zeros without end".to_owned(), Peer::endless(CHUNKED, vec![0; 4096])),
        ("a trailer without end".to_owned(), Peer::endless(format!("{CHUNKED}0\r\nX: "), "y".repeat(4096))),
        ("no line end".to_owned(), Peer::endless(format!("{CHUNKED}5\r\nhello"), "x".repeat(4096))),
    ]);
    each(cases, |(story, peer)| {
        let place = Place::new();
        let file = Distfile { name: "x-1.tar", content: &[b'h'; 100] };
        for run in [
            place.racefetch().args(["-f", "-m", "5", "-o", "x", &peer.url("/x")]),
            place.racefetch().args(file.arguments()).arg(peer.url("/x")),
        ] {
            let ran = run.run();
            assert!([1, 8, 18, 28, 56].contains(&ran.code), "{story}: {ran:?}");
            ran.assert_one_line(&[&peer.address().to_string()]);
        }
    });
}

/// After the last chunk trailer fields go on and on. Bytes keep coming, but none of the content.
#[test]
fn trailers_without_end_do_not_keep_anybody_waiting() {
    let peer = Peer::endless(format!("{CHUNKED}5\r\nhello\r\n0\r\n"), "X: y\r\n");
    let place = Place::new();
    let ran = place.racefetch().args(["-f", "-y", "1", "-Y", "1", "-o", "x", &peer.url("/x")]).run();
    assert_eq!(place.read("x"), b"hello", "{ran:?}");
    let file = Distfile { name: "x-1.tar", content: b"hello" };
    place.racefetch().args(file.arguments()).arg(peer.url("/x")).succeeds();
}

#[test]
fn chunks_of_a_byte_are_a_file_like_any_other() {
    let bytes = content(1, 100_000);
    let mut answer = CHUNKED.as_bytes().to_vec();
    for byte in &bytes {
        answer.extend_from_slice(b"1\r\n");
        answer.push(*byte);
        answer.extend_from_slice(b"\r\n");
    }
    answer.extend_from_slice(b"0\r\n\r\n");
    let peer = Peer::saying(answer);
    let place = Place::new();
    let file = Distfile { name: "x-1.tar", content: &bytes };
    place.racefetch().args(file.arguments()).arg(peer.url("/x")).succeeds();
    assert!(place.read("x-1.tar.__download__") == bytes);
    place.racefetch().args(["-f", "-o", "x", &peer.url("/x")]).succeeds();
    assert!(place.read("x") == bytes);
}

#[test]
fn a_content_a_byte_at_a_time_runs_into_the_speed_limit() {
    let mirror = Mirror::start();
    let bytes = content(1, 100_000);
    mirror.on("/x").serve(&bytes).rate(20).always();
    let place = Place::new();
    let limit = ["-y", "1", "-Y", "1000"];
    place.racefetch().args(limit).args(["-o", "x", &mirror.url("/x")]).fails(28, &["/x"]);
    assert!(bytes.starts_with(&place.read("x")));
    let file = Distfile { name: "x-1.tar", content: &bytes };
    place.racefetch().args(limit).args(file.arguments()).arg(mirror.url("/x")).fails(28, &["x-1.tar"]);
    assert!(bytes.starts_with(&place.read("x-1.tar.__download__")));
}

/// The mirror that was asked for sends a byte now and then; the other one sends the file.
#[test]
fn a_dripping_mirror_loses_its_part() {
    let bytes = content(1, 3 << 19);
    another_sends(&bytes, Rule::serve(&bytes).rate(20));
}

#[test]
fn memory_does_not_grow_with_the_file() {
    let bytes = content(1, 64 << 20);
    let mirror = Mirror::start();
    mirror.on("/x").serve(&bytes).times(2);
    let place = Place::new();
    let file = Distfile { name: "x-1.tar", content: &bytes };
    let hashed = place.racefetch().args(file.arguments()).arg(mirror.url("/x")).succeeds();
    assert!(hashed.memory > 0, "it was measured");
    assert!(place.read("x-1.tar.__download__") == bytes);
    place.racefetch().args(["-f", "-o", "x", &mirror.url("/x")]).succeeds();
    assert!(place.read("x") == bytes);
}

/// What arrives ahead of its turn goes to the disk, not to memory.
#[test]
fn memory_does_not_grow_with_what_is_ahead() {
    let bytes = content(1, 48 << 20);
    let place = Place::new();
    let file = Distfile { name: "x-1.tar", content: &bytes };
    let (slow, fast) = (Mirror::start(), Mirror::start());
    slow.on("*").serve(&bytes).rate(200_000).always();
    fast.on("/distfiles/layout.conf").serve("[structure]\n0=flat\n").always();
    fast.on("/distfiles/x-1.tar").serve(&bytes).always();
    let mirrors = format!("{} {}", slow.url(""), fast.url(""));
    let run = place.racefetch().args(file.arguments()).args(["--mirrors", &mirrors]);
    run.arg(slow.url("/distfiles/x-1.tar")).succeeds();
    assert!(place.read("x-1.tar.__download__") == bytes);
}

/// A server that answers every request, whatever it asks for, with one more byte than the last one.
#[test]
fn a_server_that_never_finishes_is_given_up() {
    let requests = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&requests);
    let bytes = content(1, 1 << 20);
    let file = Distfile { name: "x-1.tar", content: &bytes };
    let served = bytes.clone();
    let peer = Peer::start(move |client, head| {
        counted.fetch_add(1, Ordering::Relaxed);
        let range = head
            .lines()
            .find_map(|line| line.to_ascii_lowercase().strip_prefix("range: bytes=").map(str::to_owned));
        let first: usize = range.and_then(|range| range.split('-').next()?.parse().ok()).unwrap_or(0);
        let (last, total) = (served.len() - 1, served.len());
        write!(client, "HTTP/1.1 206 P\r\nContent-Range: bytes {first}-{last}/{total}\r\n\r\n")?;
        client.write_all(&served[first..=first.min(last)])?;
        Ok(false)
    });
    let place = Place::new();
    place.write("x-1.tar.__download__", &bytes[..100]);
    let ran = place.racefetch().args(file.arguments()).arg(peer.url("/x")).run();
    ran.assert_failed(18, &["x-1.tar"]);
    assert!(ran.elapsed < Duration::from_secs(8));
    assert!(requests.load(Ordering::Relaxed) < 20);
    assert!(bytes.starts_with(&place.read("x-1.tar.__download__")));
}
