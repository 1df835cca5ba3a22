//! No source is lost by the way it was asked: before a fetch fails, those that answered something odd are asked once more
//! in the plainest way, and the digests decide.

use super::driver::{Call, Distdir, Ended};
use super::mirrors::{PATH, base, bases, failures, figures, saying, sent};
use crate::support::content::{Content, content};
use crate::support::mirror::{Mirror, Rule};

const SIZE: usize = 3 << 20;

/// Calls for the file, with the Manifest's size or with digests alone.
fn call(distdir: &Distdir, right: &Content, sized: bool) -> Call {
    let call = distdir.call().resume();
    if sized { call.target(right) } else { call.digests_of(right) }
}

/// What is in DISTDIR before the call.
#[derive(Clone, Copy, Debug)]
enum Before {
    Nothing,
    Part,
}

fn fetch(distdir: &Distdir, right: &Content, mirrors: &[Mirror], sized: bool) -> Ended {
    call(distdir, right, sized).mirrors(&bases(mirrors)).fetch(&mirrors[0].url(PATH))
}

/// One row: what every mirror says, and whether only the Manifest's size can settle it.
fn rows(right: &Content) -> Vec<(String, Rule, bool)> {
    let serve = || Rule::serve(right);
    let size = right.len();
    let mut rows = Vec::new();
    for status in [400, 401, 403, 404, 405, 406, 409, 410, 412, 414, 416, 418, 431, 451, 500, 501, 502, 503] {
        rows.push((format!("{status} to ranges"), serve().range_status(status), false));
    }
    rows.push(("206 to ranges, empty and without a word".to_owned(), serve().range_status(206), false));
    rows.push(("204 to ranges".to_owned(), serve().range_status(204), false));
    for text in ["bytes", "bytes */*", "bytes 0-0/1", "items 0-5/6", ""] {
        rows.push((format!("Content-Range: {text}"), serve().content_range(text), false));
    }
    for (off, framing) in [(2, "too large"), (1 << 20, "far too large")] {
        let rule = serve().length(&(size + off).to_string());
        rows.push((format!("Content-Length {framing}"), rule, true));
        let rule = serve().length(&(size + off).to_string()).no_ranges();
        rows.push((format!("Content-Length {framing}, no ranges"), rule, true));
    }
    let html = |rule: Rule| rule.field("Content-Type", "text/html; charset=utf-8");
    rows.push(("a type that is wrong".to_owned(), html(serve().chunked().no_ranges()), false));
    rows.push(("the same, until the end".to_owned(), html(serve().until_close().no_ranges()), false));
    let xhtml = serve().chunked().field("Content-Type", "application/xhtml+xml");
    rows.push(("another type that is wrong".to_owned(), xhtml, false));
    rows
}

#[test]
fn whoever_answers_oddly_is_asked_plainly() {
    let right: Content = content(1, SIZE).into();
    for before in [Before::Nothing, Before::Part] {
        for (story, rule, needs_size) in rows(&right) {
            for (count, sized) in [(1_u64, true), (3, true), (1, false)] {
                if needs_size && !sized {
                    continue;
                }
                let mirrors: Vec<Mirror> = (0..count).map(|_| saying(rule.clone())).collect();
                let distdir = Distdir::new();
                if matches!(before, Before::Part) {
                    distdir.put_file(&right[..SIZE / 3]);
                }
                let ended = fetch(&distdir, &right, &mirrors, sized);
                let story = format!("{story}, {before:?} there, {count} mirrors, size {sized}: {ended}");
                assert!(ended.success(), "{story}");
                distdir.assert_holds(&right, &ended);
                // A refused answer is cut, but what lies in the buffers of the loopback was sent.
                let most = (count + 1) * SIZE as u64 + SIZE as u64 / 2;
                assert!(sent(&mirrors) < most, "{} bytes were sent: {story}", sent(&mirrors));
            }
        }
    }
}

#[test]
fn a_mirror_that_refuses_ranges_is_remembered() {
    let right: Content = content(1, SIZE).into();
    let mirrors = [saying(Rule::serve(&right).range_status(403))];
    let distdir = Distdir::new();
    distdir.put_file(&right[..SIZE / 3]);
    let ended = fetch(&distdir, &right, &mirrors, true);
    ended.assert_success();
    assert!(failures(&distdir, &base(&mirrors[0])).is_empty(), "it is in order: {ended}");
    assert_eq!(figures(&distdir, &base(&mirrors[0]))["no_ranges"]["value"], true);
    // A file that is there in part would be resumed by a range.
    distdir.put_file(&right[..SIZE / 2]);
    let before = mirrors[0].requests_for(PATH).len();
    let ended = fetch(&distdir, &right, &mirrors, true);
    ended.assert_success();
    distdir.assert_holds(&right, &ended);
    let requests = mirrors[0].requests_for(PATH);
    assert_eq!(requests.len(), before + 1, "{ended}");
    assert_eq!(requests[before].field("Range"), None);
}

#[test]
fn whoever_lacks_the_file_is_not_asked_again_and_again() {
    let right: Content = content(1, SIZE).into();
    for (status, most) in [(404, 2 * 4), (429, 4)] {
        let mirrors: Vec<Mirror> = (0..4).map(|_| saying(Rule::status(status))).collect();
        let distdir = Distdir::new();
        distdir.put_file(&right[..SIZE / 2]);
        let ended = fetch(&distdir, &right, &mirrors, true);
        assert_eq!(ended.code, Some(22), "{ended}");
        assert_eq!(distdir.content().as_deref(), Some(&right[..SIZE / 2]), "{ended}");
        let asked: usize = mirrors.iter().map(|mirror| mirror.requests_for(PATH).len()).sum();
        assert!(asked <= most, "{asked} requests after {status}: {ended}");
    }
}

#[test]
fn what_an_odd_answer_brought_is_dropped_when_it_is_not_the_file() {
    let right: Content = content(1, SIZE).into();
    let html = |rule: Rule| rule.field("Content-Type", "text/html").chunked().no_ranges();
    let rows: [(&str, [Rule; 2], bool); 4] = [
        ("too long", [1, 2].map(|seed| Rule::serve(content(seed + 5, SIZE + 9))), false),
        ("a long page", [1, 2].map(|seed| html(Rule::serve(content(seed + 5, SIZE)))), false),
        (
            "the second is right",
            [html(Rule::serve(content(7, SIZE))), Rule::serve(&right).length("9999999")],
            true,
        ),
        (
            "a short page, and one with the file",
            [Rule::portal(), Rule::serve(&right).length("9999999")],
            true,
        ),
    ];
    for (story, rules, comes) in rows {
        for prefix in [0, SIZE / 2] {
            let mirrors: Vec<Mirror> = rules.iter().map(|rule| saying(rule.clone())).collect();
            let distdir = Distdir::new();
            distdir.put_file(&right[..prefix]);
            let ended = fetch(&distdir, &right, &mirrors, true);
            assert_eq!(ended.success(), comes, "{story}, {prefix} bytes there: {ended}");
            if comes {
                distdir.assert_holds(&right, &ended);
            } else {
                distdir.assert_prefix(&right, &ended);
            }
        }
    }
}

#[test]
fn a_page_in_place_of_the_file_stays_a_failure() {
    let right: Content = content(1, SIZE).into();
    let mirrors: Vec<Mirror> = (0..3).map(|_| saying(Rule::portal())).collect();
    let distdir = Distdir::new();
    distdir.put_file(&right[..SIZE / 2]);
    let ended = fetch(&distdir, &right, &mirrors, true);
    assert!(!ended.success() && ended.output.contains("HTML page"), "{ended}");
    assert_eq!(distdir.content().as_deref(), Some(&right[..SIZE / 2]), "what was there is kept: {ended}");
}
