//! Many mirrors for one file: each sends a part, nothing is fetched twice, and no fault of one holds up
//! the rest.

use std::time::Duration;

use super::driver::{Distdir, Ended};
use super::mirrors::{
    LAYOUT_PATH, PATH, base, bases, connections_to, failures, figures, flapping, limited, saying, sent,
    serving,
};
use crate::support::content::{Content, content};
use crate::support::mirror::{Mirror, Rule};

const MIB: usize = 1 << 20;
/// A rate at which even a busy machine keeps up, in bytes a second: what is sent is what is asked for, and
/// does not pile up in the kernel's buffers.
const RATE: u64 = 6_000_000;

/// Fetches from all of them, the first one being asked by Portage.
fn race(right: &Content, mirrors: &[Mirror]) -> (Distdir, Ended) {
    let distdir = Distdir::new();
    let ended = distdir.call().target(right).mirrors(&bases(mirrors)).fetch(&mirrors[0].url(PATH));
    (distdir, ended)
}

/// Bytes that the mirrors sent over the file's size.
fn ratio(mirrors: &[Mirror], right: &Content) -> f64 {
    sent(mirrors) as f64 / right.len() as f64
}

#[test]
fn several_mirrors_send_parts_and_nothing_is_sent_twice() {
    // Rates of the mirrors, in parts of RATE.
    for rates in [&[100, 100, 100, 100][..], &[100, 100], &[200, 100, 50, 25], &[25, 200, 25, 200, 25]] {
        let right: Content = content(1, 12 * MIB).into();
        let mirrors = limited(rates.len(), RATE, &right);
        for (mirror, rate) in mirrors.iter().zip(rates) {
            mirror.limit_rate(RATE * rate / 100);
        }
        let (distdir, ended) = race(&right, &mirrors);
        assert!(ended.success(), "{rates:?}: {ended}");
        distdir.assert_holds(&right, &ended);
        let shares: Vec<u64> = mirrors.iter().map(Mirror::body_bytes_sent).collect();
        let ratio = ratio(&mirrors, &right);
        assert!((1.0..=1.2).contains(&ratio), "{rates:?}: {ratio} times the file, {shares:?}\n{ended}");
        let at_work = shares.iter().filter(|share| **share > 0).count();
        assert!(at_work >= rates.len().min(4), "{rates:?}: {shares:?}\n{ended}");
        // Its part of the bandwidth, and half as much again for the beginning, when nobody is known.
        let total: u64 = rates.iter().sum();
        for (share, rate) in shares.iter().zip(rates) {
            let fair = right.len() as f64 * *rate as f64 / total as f64;
            assert!((*share as f64) < fair * 1.5 + MIB as f64, "{rates:?}: {shares:?}\n{ended}");
        }
    }
}

#[test]
fn the_rate_of_each_mirror_is_remembered() {
    // A mirror that sent all that it was asked for, in one request or in several, has left its rate like one that was
    // cut short.
    let right: Content = content(1, 12 * MIB).into();
    let mirrors = limited(3, RATE, &right);
    mirrors[1].limit_rate(RATE / 8);
    let (distdir, ended) = race(&right, &mirrors);
    ended.assert_success();
    for (mirror, rate) in mirrors.iter().zip([RATE, RATE / 8, RATE]) {
        let figures = figures(&distdir, &base(mirror));
        let measured = figures["bytes_per_second"]["mean"].as_u64().unwrap();
        assert!((rate / 2..rate * 2).contains(&measured), "{measured}, not {rate}: {figures:#}\n{ended}");
    }
}

#[test]
fn one_mirror_alone_is_asked_once() {
    for size in [0, 1, 300_000, 5 * MIB] {
        let right: Content = content(1, size).into();
        let mirror = serving(&right);
        let distdir = Distdir::new();
        let ended = distdir.call().digests_of(&right).mirrors(&[base(&mirror)]).fetch(&mirror.url(PATH));
        assert!(ended.success(), "{size} bytes: {ended}");
        distdir.assert_holds(&right, &ended);
        assert_eq!(mirror.requests().len(), 1, "{size} bytes");
        assert_eq!(mirror.body_bytes_sent(), size as u64);
    }
}

#[test]
fn sizes_at_which_something_changes() {
    // Portage's least size for a resume, one source's worth, and what lies around them.
    for size in [0, 1, 2, 350 * 1024 - 1, 350 * 1024, 350 * 1024 + 1, MIB - 1, MIB, MIB + 1, 2 * MIB + 1] {
        for size_known in [true, false] {
            let right: Content = content(1, size).into();
            let mirrors: Vec<Mirror> = (0..4).map(|_| serving(&right)).collect();
            let distdir = Distdir::new();
            let call = distdir.call().mirrors(&bases(&mirrors));
            let call = if size_known { call.target(&right) } else { call.digests_of(&right) };
            let ended = call.fetch(&mirrors[0].url(PATH));
            assert!(ended.success(), "{size} bytes, known: {size_known}: {ended}");
            distdir.assert_holds(&right, &ended);
        }
    }
}

#[test]
fn small_files_come_from_one_mirror() {
    let right: Content = content(1, 350 * 1024).into();
    let mirrors: Vec<Mirror> = (0..4).map(|_| serving(&right)).collect();
    let (distdir, ended) = race(&right, &mirrors);
    ended.assert_success();
    distdir.assert_holds(&right, &ended);
    let requests: Vec<usize> = mirrors.iter().map(|mirror| mirror.requests().len()).collect();
    assert_eq!(requests, [1, 0, 0, 0], "{ended}");
    assert_eq!(sent(&mirrors), right.len() as u64);
}

#[test]
fn a_large_file() {
    let right: Content = content(1, 64 * MIB).into();
    let mirrors = limited(4, 30_000_000, &right);
    let (distdir, ended) = race(&right, &mirrors);
    ended.assert_success();
    distdir.assert_holds(&right, &ended);
    let ratio = ratio(&mirrors, &right);
    assert!((1.0..=1.3).contains(&ratio), "{ratio} times the file\n{ended}");
}

#[test]
fn mirrors_that_answer_late_are_hedged() {
    // Nobody waits for a first byte: the second mirror is asked while the first one thinks.
    let right: Content = content(1, 200_000).into();
    let mirrors = [saying(Rule::serve(&right).delay(Duration::from_secs(20))), serving(&right)];
    let (distdir, ended) = race(&right, &mirrors);
    ended.assert_success();
    distdir.assert_holds(&right, &ended);
    assert!(ended.elapsed < Duration::from_secs(5), "{ended}");
}

#[test]
fn no_mirror_ever_has_two_connections_at_once() {
    let right: Content = content(1, 8 * MIB).into();
    let mut mirrors = limited(3, RATE / 2, &right);
    mirrors.push(flapping(3, RATE / 2, &right));
    let distdir = Distdir::new();
    let call = distdir.call().target(&right).mirrors(&bases(&mirrors)).start(&mirrors[0].url(PATH));
    let (mut most, mut together) = (0, 0);
    let ended = call.watch(|_| {
        let connections = connections_to(&mirrors);
        most = connections.iter().copied().fold(most, usize::max);
        together = connections.iter().sum::<usize>().max(together);
    });
    ended.assert_success();
    distdir.assert_holds(&right, &ended);
    assert_eq!(most, 1, "{ended}");
    assert!(together > 1, "they were looked at while they were at work: {ended}");
}

#[test]
fn no_more_mirrors_at_once_than_asked_for() {
    let right: Content = content(1, 6 * MIB).into();
    for parallel in [1, 2, 3] {
        let mirrors = limited(4, RATE, &right);
        let distdir = Distdir::new();
        let call = distdir.call().target(&right).mirrors(&bases(&mirrors));
        let call = call.args(["--parallel-mirrors", &parallel.to_string()]);
        let mut most = 0;
        let ended = call.start(&mirrors[0].url(PATH)).watch(|_| {
            most = connections_to(&mirrors).iter().sum::<usize>().max(most);
        });
        ended.assert_success();
        distdir.assert_holds(&right, &ended);
        assert!((1..=parallel).contains(&most), "{most} instead of {parallel}: {ended}");
    }
}

#[test]
fn the_fourth_mirror_misbehaves_and_the_file_comes_all_the_same() {
    let right: Content = content(1, 8 * MIB).into();
    let good = || Rule::serve(&right);
    let first_then = |first: Rule, then: Rule| vec![first, then.always()];
    // What the fourth mirror answers, request by request; bytes sent over size, at most; seconds, at most.
    // Alone, three mirrors need half a second.
    let rows: Vec<(&str, Vec<Rule>, f64, u64)> = vec![
        ("resets every 300 KB", vec![good().reset_after(300_000).always()], 1.15, 4),
        ("closes every 300 KB", vec![good().close_after(300_000).always()], 1.15, 4),
        ("says 429 once", first_then(Rule::status(429).retry_after(1), good()), 1.1, 5),
        ("says 429 for ever", vec![Rule::status(429).retry_after(1).always()], 1.1, 5),
        ("says 503 after one range", first_then(good(), Rule::status(503)), 1.1, 5),
        ("lacks the file after one range", first_then(good(), Rule::status(404)), 1.1, 5),
        ("refuses after one range", first_then(good(), Rule::status(403)), 1.1, 5),
        ("has another size after one range", first_then(good(), Rule::serve(content(1, MIB))), 1.1, 5),
        ("ignores ranges", vec![good().no_ranges().always()], 1.3, 5),
        ("sends other ranges", vec![good().content_range("bytes 0-9/10").always()], 1.1, 5),
        ("hangs", vec![Rule::silence().always()], 1.1, 5),
        ("stalls in the first range", first_then(good().stall_after(100_000), good()), 1.15, 6),
        ("stalls for ever", vec![good().stall_after(100_000).always()], 1.15, 6),
        ("slows down", first_then(good().close_after(500_000), good().rate(40_000)), 1.15, 6),
        ("trickles", vec![good().rate(2_000).always()], 1.15, 6),
        ("answers after a second", vec![good().delay(Duration::from_secs(1)).always()], 1.15, 5),
        ("closes each connection", vec![good().close().always()], 1.1, 5),
        ("speaks HTTP/1.0", vec![good().http10().always()], 1.1, 5),
        ("sends chunks", vec![good().chunked().always()], 1.1, 5),
        ("sends until it closes", vec![good().until_close().always()], 1.1, 5),
    ];
    let mut wrong: Vec<String> = Vec::new();
    for (story, rules, most, seconds) in rows {
        let mut mirrors = limited(3, RATE, &right);
        let fourth = Mirror::start();
        fourth.limit_rate(RATE);
        for rule in rules {
            fourth.on(PATH).add(rule);
        }
        // It may be asked where it has the file, and may not be asked at all.
        fourth.on(LAYOUT_PATH).status(404).always();
        mirrors.push(fourth);
        let (distdir, ended) = race(&right, &mirrors);
        let ratio = ratio(&mirrors, &right);
        if !ended.success() {
            wrong.push(format!("{story}: failed: {ended}"));
            continue;
        }
        distdir.assert_holds(&right, &ended);
        // On a busy machine more lies in the buffers of the loopback when a connection is cut.
        if ratio > most + 0.15 || ended.elapsed > Duration::from_secs(2 * seconds) {
            wrong.push(format!("{story}: {ratio:.3} times the file ({most} allowed): {ended}"));
        }
        let _ = mirrors.pop().map(Mirror::finish); // whether it came to the second rule is chance
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn one_mirror_alone_that_is_difficult() {
    let right: Content = content(1, 2 * MIB).into();
    let good = || Rule::serve(&right);
    // A reset takes with it what is on its way: no more than the server writes at once.
    let lost = 7 * (64 << 10);
    // What it answers; for how many seconds it asks to be left alone; bytes sent beside the file, at most.
    let rows = [
        ("resets every 300 KB", vec![good().reset_after(300_000).always()], 0, lost),
        ("closes every 300 KB", vec![good().close_after(300_000).always()], 0, 0),
        ("429 first", vec![Rule::status(429).retry_after(1), good()], 1, 100),
        (
            "503 in between",
            vec![good().close_after(MIB as u64), Rule::status(503).retry_after(1), good()],
            1,
            100,
        ),
    ];
    for (story, rules, seconds, most) in rows {
        let mirror = Mirror::start();
        mirror.limit_rate(RATE); // so that nothing gathers in its buffers
        for rule in rules {
            mirror.on(PATH).add(rule);
        }
        let distdir = Distdir::new();
        let ended = distdir.call().target(&right).mirrors(&[base(&mirror)]).fetch(&mirror.url(PATH));
        assert!(ended.success(), "{story}: {ended}");
        distdir.assert_holds(&right, &ended);
        let beside = mirror.body_bytes_sent() - right.len() as u64;
        assert!(beside <= most, "{story}: {beside} bytes beside the file: {ended}");
        assert!(ended.elapsed >= Duration::from_secs(seconds), "{story}: it was asked to wait: {ended}");
    }
}

#[test]
fn a_link_that_is_down_as_a_whole_blames_nobody() {
    let right: Content = content(1, 4 * MIB).into();
    let mirrors = [(); 2].map(|()| Mirror::start());
    for mirror in &mirrors {
        mirror.on(PATH).serve(&right).stall_after(600_000);
        mirror.on(PATH).silence().always();
    }
    let distdir = Distdir::new();
    let call = distdir.call().target(&right).mirrors(&bases(&mirrors));
    let call = call.args(["--speed-limit", "1", "--speed-time", "4"]);
    let ended = call.fetch(&mirrors[0].url(PATH));
    assert_eq!(ended.code, Some(28), "{ended}");
    assert!(ended.elapsed >= Duration::from_secs(4), "a link may come back: {ended}");
    distdir.assert_prefix(&right, &ended);
    assert!(distdir.content().is_some_and(|held| held.len() >= 350 * 1024), "what came is kept: {ended}");
    for mirror in &mirrors {
        assert_eq!(failures(&distdir, &base(mirror)), [""; 0], "{ended}");
    }
}

#[test]
fn the_rate_limit_holds_for_all_mirrors_together() {
    let right: Content = content(1, 3 * MIB).into();
    let mirrors: Vec<Mirror> = (0..4).map(|_| serving(&right)).collect();
    let distdir = Distdir::new();
    let call = distdir.call().target(&right).mirrors(&bases(&mirrors)).args(["--limit-rate", "1M"]);
    let ended = call.fetch(&mirrors[0].url(PATH));
    ended.assert_success();
    distdir.assert_holds(&right, &ended);
    assert!(ended.elapsed > Duration::from_millis(2500), "{ended}");
}
