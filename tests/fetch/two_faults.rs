//! Several things go wrong at once, or nothing does and it looks as if.

use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use super::driver::{Distdir, Ended, quickest};
use super::mirrors::{PATH, base, bases, failures, limited, saying, sent, serving};
use crate::support::content::{Content, content};
use crate::support::mirror::{Mirror, Rule};

const MIB: usize = 1 << 20;

fn fetch(distdir: &Distdir, right: &Content, mirrors: &[Mirror]) -> Ended {
    distdir.call().resume().target(right).mirrors(&bases(mirrors)).fetch(&mirrors[0].url(PATH))
}

/// So many bytes a second from each.
fn limit(mirrors: &[Mirror], bytes_per_second: u64) {
    for mirror in mirrors {
        mirror.limit_rate(bytes_per_second);
    }
}

fn assert_blames_nobody(distdir: &Distdir, mirrors: &[Mirror], ended: &Ended) {
    for mirror in mirrors {
        assert_eq!(failures(distdir, &base(mirror)), [""; 0], "{} is innocent: {ended}", mirror.address());
    }
}

#[test]
fn one_lies_and_another_one_hangs() {
    // The audit waited 5 s for the silent one, and the repair asked it again.
    let right: Content = content(1, 12 * MIB).into();
    let wrong = content(2, 12 * MIB).into();
    // The second one sends something each time it is asked.
    for (silent, most) in [(Rule::silence(), 2), (Rule::serve(&right).stall_after(1_000_000), 5)] {
        let ended = quickest(3, || {
            let mut mirrors = limited(3, 6_000_000, &right);
            mirrors.insert(0, serving(&wrong));
            mirrors[0].limit_rate(6_000_000);
            mirrors.insert(0, saying(silent.clone()));
            let distdir = Distdir::new();
            let ended = fetch(&distdir, &right, &mirrors);
            ended.assert_success();
            distdir.assert_holds(&right, &ended);
            let asked = mirrors[0].requests().len();
            assert!(asked <= most, "asked {asked} times: {ended}");
            assert_eq!(failures(&distdir, &base(&mirrors[1])), ["corrupt"], "{ended}");
            assert_blames_nobody(&distdir, &mirrors[2..], &ended);
            ended
        });
        assert!(ended.elapsed < Duration::from_secs(5), "{ended}");
    }
}

#[test]
fn two_camps_cost_one_further_copy() {
    let right: Content = content(1, 12 * MIB).into();
    let wrong: Content = content(2, 12 * MIB).into();
    let mirrors: Vec<Mirror> = [&wrong, &wrong, &right, &right].into_iter().map(serving).collect();
    limit(&mirrors, 6_000_000);
    let distdir = Distdir::new();
    let ended = fetch(&distdir, &right, &mirrors);
    ended.assert_success();
    distdir.assert_holds(&right, &ended);
    let ratio = sent(&mirrors) as f64 / right.len() as f64;
    assert!(ratio <= 2.5, "{ratio:.2} times the file: {ended}");
    assert_blames_nobody(&distdir, &mirrors[2..], &ended);
}

#[test]
fn a_lone_source_is_asked_once_more_past_the_caches() {
    let right: Content = content(1, 300_000).into();
    let mirror = Mirror::start();
    mirror.on(PATH).serve(content(2, 300_000)).times(1);
    mirror.on(PATH).serve(&right).times(1);
    let distdir = Distdir::new();
    let ended = distdir.call().target(&right).fetch(&mirror.url(PATH));
    ended.assert_success();
    distdir.assert_holds(&right, &ended);
    let asked: Vec<_> =
        mirror.requests().iter().map(|request| request.field("Cache-Control").map(str::to_owned)).collect();
    assert_eq!(asked, [None, Some("no-cache".to_owned())]);
}

#[test]
fn who_ignores_ranges_convicts_nobody() {
    // Its sample was all of the file, and was compared with a part of it.
    let right: Content = content(1, 2 * MIB).into();
    for wrong in [content(2, 2 * MIB).into(), right.corrupted_at(100), right.corrupted_at(2 * MIB - 1)] {
        let mirrors =
            [serving(&right), saying(Rule::serve(&right).no_ranges()), serving(&wrong), serving(&right)];
        limit(&mirrors, 3_000_000);
        let distdir = Distdir::new();
        let ended = fetch(&distdir, &right, &mirrors);
        ended.assert_success();
        for honest in [&mirrors[0], &mirrors[1], &mirrors[3]] {
            let failures = failures(&distdir, &base(honest));
            assert!(!failures.contains(&"corrupt".to_owned()), "{} is innocent: {ended}", honest.address());
        }
    }
}

#[test]
fn when_nothing_comes_from_anybody_it_is_the_link() {
    let right: Content = content(1, 8 * MIB).into();
    let mirrors = limited(3, 1_500_000, &right);
    let distdir = Distdir::new();
    let call = distdir.call().resume().target(&right).mirrors(&bases(&mirrors));
    let ended = call.start(&mirrors[0].url(PATH)).watch(|_| {
        if sent(&mirrors) > 2 * MIB as u64 {
            limit(&mirrors, 1);
        }
    });
    assert_eq!(ended.code, Some(28), "{ended}");
    assert!(ended.output.contains("nothing came from anybody"), "{ended}");
    assert!(ended.elapsed > Duration::from_secs(14), "{ended}");
    assert_blames_nobody(&distdir, &mirrors, &ended);
    distdir.assert_prefix(&right, &ended);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a process that is stopped tells nobody anything")]
fn a_process_that_was_stopped_blames_nobody() {
    let right: Content = content(1, 8 * MIB).into();
    let mirrors = limited(3, 1_500_000, &right);
    let distdir = Distdir::new();
    let call = distdir.call().resume().target(&right).mirrors(&bases(&mirrors));
    let mut stopped = false;
    let ended = call.start(&mirrors[0].url(PATH)).watch(|running| {
        if !stopped && sent(&mirrors) > MIB as u64 {
            stopped = true;
            running.signal(Signal::STOP);
            // Longer than any source may be silent.
            thread::sleep(Duration::from_secs(17));
            running.signal(Signal::CONT);
        }
    });
    ended.assert_success();
    distdir.assert_holds(&right, &ended);
    assert_blames_nobody(&distdir, &mirrors, &ended);
}

#[test]
fn what_this_system_lacks_is_no_mirrors_fault() {
    let right: Content = content(1, 4 * MIB).into();
    let mirrors = limited(4, 3_000_000, &right);
    for files in [8, 10, 12, 14, 16] {
        let distdir = Distdir::new();
        let call = distdir.call().resume().target(&right).mirrors(&bases(&mirrors)).limited_to(files);
        let ended = call.fetch(&mirrors[0].url(PATH));
        distdir.assert_prefix(&right, &ended);
        assert!(
            !ended.success() || distdir.content().is_some_and(|held| held.len() == right.len()),
            "{ended}"
        );
        assert!(!ended.output.contains("sent wrong bytes"), "{files} files: {ended}");
        if distdir.state_file().exists() {
            assert_blames_nobody(&distdir, &mirrors, &ended);
        }
    }
}

#[test]
fn a_size_that_one_mirror_names_is_not_believed_for_ever() {
    // The first size that anybody named was: FILE grew until the disk was full.
    let right: Content = content(1, 3 * MIB).into();
    let zeros = vec![0; MIB];
    for total in ["1000000000000000000", "5242880", "1048577"] {
        let range = format!("bytes 0-1048575/{total}");
        let liar = saying(Rule::serve(zeros.as_slice()).content_range(&range));
        let mut mirrors = vec![liar];
        mirrors.extend((0..3).map(|_| {
            let honest = saying(Rule::serve(&right).delay(Duration::from_millis(100)));
            honest.limit_rate(3_000_000);
            honest
        }));
        let distdir = Distdir::new();
        let call = distdir.call().digests_of(&right).mirrors(&bases(&mirrors));
        let ended = call.fetch(&mirrors[0].url(PATH));
        assert!(ended.success(), "{total}: {ended}");
        distdir.assert_holds(&right, &ended);
        assert_blames_nobody(&distdir, &mirrors[1..], &ended);
    }
}

#[test]
fn a_size_for_which_there_is_no_room_is_told() {
    let liar = saying(Rule::raw("HTTP/1.1 200 OK\r\nContent-Length: 1000000000000000000\r\n\r\nabc"));
    let distdir = Distdir::new();
    let ended = distdir.call().digests_of(&content(1, MIB)).fetch(&liar.url(PATH));
    assert_eq!(ended.code, Some(23), "{ended}");
    assert!(ended.output.contains("is said to have 1000000000000000000 bytes"), "{ended}");
}

#[test]
fn who_sends_no_ranges_is_asked_for_no_samples() {
    let right: Content = content(1, 4 * MIB).into();
    let whole = saying(Rule::serve(&right).range_status(403));
    // It is learned that it sends none.
    let distdir = Distdir::new();
    distdir.put_file(&right[..MIB]);
    let ended = distdir.call().resume().target(&right).mirrors(&[base(&whole)]).fetch(&whole.url(PATH));
    assert!(ended.success(), "{ended}");
    std::fs::remove_file(distdir.file()).unwrap();
    let before = whole.requests().len();
    let mut mirrors = vec![saying(Rule::serve(content(2, 4 * MIB))), saying(Rule::serve(&right))];
    limit(&mirrors, 3_000_000);
    whole.limit_rate(500_000);
    mirrors.push(whole);
    let ended = distdir.call().resume().target(&right).mirrors(&bases(&mirrors)).fetch(&mirrors[0].url(PATH));
    assert!(ended.success(), "{ended}");
    distdir.assert_holds(&right, &ended);
    let asked = mirrors[2].requests().split_off(before);
    assert!(asked.iter().all(|request| request.field("Range").is_none()), "{asked:#?}");
}
