//! The mirror's own promises, with a bare socket as the client.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::super::content::content;
use super::*;

#[test]
fn serves_whole_contents_and_ranges_on_one_connection() {
    let mirror = Mirror::start();
    let file = content(1, 5000);
    mirror.on("/x").serve(&file).times(3);
    let mut stream = TcpStream::connect(mirror.address()).unwrap();
    let heads: Vec<String> = ["", "Range: bytes=1000-1999\r\n", "Range: bytes=5000-\r\n"]
        .iter()
        .zip([&file[..], &file[1000..2000], &[]])
        .map(|(fields, body)| {
            write!(stream, "GET /x HTTP/1.1\r\nHost: h\r\n{fields}\r\n").unwrap();
            let (head, received) = read_answer(&mut stream, body.len());
            assert_eq!(received, body);
            head
        })
        .collect();
    assert!(heads[0].starts_with("HTTP/1.1 200 "), "{}", heads[0]);
    assert!(heads[1].contains("Content-Range: bytes 1000-1999/5000\r\n"), "{}", heads[1]);
    assert!(heads[2].starts_with("HTTP/1.1 416 "), "{}", heads[2]);
    assert_eq!((mirror.connections(), mirror.body_bytes_sent()), (1, 6000));
    assert_eq!(mirror.requests()[1].first_pos(), 1000);
}

#[test]
fn if_range_with_another_validator_gives_everything() {
    let mirror = Mirror::start();
    mirror.on("/x").serve("0123456789").etag("\"new\"").times(2);
    for (validator, status) in [("\"new\"", "206"), ("\"old\"", "200")] {
        let answer = exchange(&mirror, &format!("/x HTTP/1.1\r\nRange: bytes=5-\r\nIf-Range: {validator}"));
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
}

#[test]
fn a_queue_answers_in_order_and_the_star_takes_the_rest() {
    let mirror = Mirror::start();
    mirror.on("/x").status(503).retry_after(1);
    mirror.on("/x").serve("right").chunked();
    mirror.on("*").portal().always();
    assert!(exchange(&mirror, "/x HTTP/1.1").contains("Retry-After: 1\r\n"));
    assert!(exchange(&mirror, "/x HTTP/1.1").ends_with("\r\n\r\n5\r\nright\r\n0\r\n\r\n"));
    assert!(exchange(&mirror, "/x HTTP/1.1").contains("log in"));
}

#[test]
fn breaks_where_it_is_told_to() {
    let mirror = Mirror::start();
    mirror.on("/close").serve(content(1, 100)).close_after(10);
    mirror.on("/reset").serve(content(1, 100)).reset_after(10);
    let (head, body) = split(&exchange_bytes(&mirror, "/close HTTP/1.1").unwrap());
    assert!(head.contains("Content-Length: 100\r\n"));
    assert_eq!(body, content(1, 10));
    let error = exchange_bytes(&mirror, "/reset HTTP/1.1").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn leftover_rules_and_unwanted_requests_fail_the_test() {
    let unused = Mirror::start();
    unused.on("/x").serve("x");
    assert!(catch_unwind(AssertUnwindSafe(|| drop(unused))).is_err());

    let surprised = Mirror::start();
    exchange(&surprised, "/y HTTP/1.1");
    assert!(catch_unwind(AssertUnwindSafe(|| drop(surprised))).is_err());

    let tolerant = Mirror::start();
    tolerant.allow_unwanted();
    exchange(&tolerant, "/y HTTP/1.1");
}

#[test]
fn more_requests_at_once_than_allowed_are_turned_away() {
    let mirror = Mirror::start();
    mirror.on("/x").serve(content(1, 100)).stall_after(50);
    mirror.limit_requests_at_once(1, 429);
    let mut first = TcpStream::connect(mirror.address()).unwrap();
    first.write_all(b"GET /x HTTP/1.1\r\n\r\n").unwrap();
    first.read_exact(&mut [0; 1]).unwrap();
    assert!(exchange(&mirror, "/x HTTP/1.1").starts_with("HTTP/1.1 429 "));
}

fn exchange(mirror: &Mirror, request: &str) -> String {
    String::from_utf8(exchange_bytes(mirror, request).unwrap()).unwrap()
}

/// One request on a connection of its own, and all that comes back.
fn exchange_bytes(mirror: &Mirror, request: &str) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(mirror.address())?;
    write!(stream, "GET {request}\r\nHost: h\r\n\r\n")?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

fn read_answer(stream: &mut TcpStream, body: usize) -> (String, Vec<u8>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0; 1];
        stream.read_exact(&mut byte).unwrap();
        head.extend_from_slice(&byte);
    }
    let mut content = vec![0; body];
    stream.read_exact(&mut content).unwrap();
    (String::from_utf8(head).unwrap(), content)
}

fn split(answer: &[u8]) -> (String, Vec<u8>) {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    (String::from_utf8(answer[..end].to_vec()).unwrap(), answer[end..].to_vec())
}
