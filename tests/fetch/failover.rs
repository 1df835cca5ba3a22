//! A mirror that fails is left for the next one within the same call.

use std::net::SocketAddr;
use std::time::Duration;

use super::driver::{Distdir, quickest};
use super::mirrors::{FLAT, LAYOUT_PATH, PATH, base, bases, failures, figures, saying, serving};
use crate::support::content::{Content, content};
use crate::support::mirror::{Mirror, Rule};
use crate::support::ports::Port;

const SIZE: usize = 300_000;
/// Less than any limit of time that the program has for one mirror, and enough for a busy machine.
const SOON: Duration = Duration::from_secs(8);
/// What a call may take that asks nobody.
const AT_ONCE: Duration = Duration::from_millis(20);

/// One fault that passes, at the only mirror.
#[test]
fn a_lone_mirror_gets_over_a_fault_that_passes() {
    let right: Content = content(1, SIZE).into();
    let part = SIZE as u64 / 2;
    for (story, fault) in [
        ("an empty reply", Rule::empty_reply()),
        ("a reset", Rule::reset()),
        ("half a head", Rule::raw("HTTP/1.1 200 OK\r\nContent-Le")),
        ("half a body", Rule::serve(&right).close_after(part)),
        ("a reset in the body", Rule::serve(&right).reset_after(part)),
        ("500", Rule::status(500)),
        ("502", Rule::status(502)),
        ("503", Rule::status(503)),
        ("503 for a second", Rule::status(503).retry_after(1)),
        ("429", Rule::status(429)),
    ] {
        let mirror = Mirror::start();
        mirror.on(PATH).add(fault.times(1));
        mirror.on(PATH).serve(&right).always();
        let distdir = Distdir::new();
        let ended = distdir.call().target(&right).fetch(&mirror.url(PATH));
        assert!(ended.success(), "{story}: {ended}");
        distdir.assert_holds(&right, &ended);
    }
}

#[test]
fn a_lone_mirror_that_was_busy_once_is_not_one_that_refuses_ranges() {
    let right: Content = content(1, SIZE).into();
    let mirror = Mirror::start();
    let page = "<html><body><h1>503</h1></body></html>\n".len() as u64;
    mirror.on(PATH).status(503).times(1);
    mirror.on(PATH).serve(&right).always();
    let distdir = Distdir::new();
    distdir.put_file(&right[..SIZE / 2]);
    let ended = distdir.call().resume().target(&right).fetch(&mirror.url(PATH));
    ended.assert_success();
    distdir.assert_holds(&right, &ended);
    assert_eq!(mirror.body_bytes_sent(), (SIZE / 2) as u64 + page, "only what was missing: {ended}");
    assert!(figures(&distdir, &base(&mirror))["no_ranges"].is_null(), "{ended}");
}

/// What is at the first address.
enum First {
    Mirror(Mirror),
    Port(Port),
}

impl First {
    fn says(rule: Rule) -> Self {
        Self::Mirror(saying(rule))
    }

    fn address(&self) -> SocketAddr {
        match self {
            Self::Mirror(mirror) => mirror.address(),
            Self::Port(port) => port.address(),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Size {
    /// With the Manifest's size, and with digests alone.
    Either,
    /// Without it nothing tells that the answer is wrong.
    Known,
}

#[test]
fn the_first_mirror_fails_and_the_second_one_is_good() {
    let right: Content = content(1, SIZE).into();
    let good = || Rule::serve(&right);
    let other = |len| Rule::serve(content(2, len));
    // What the first mirror does; how the state calls it; whether the size must be known.
    let rows: Vec<(&str, First, &str, Size)> = vec![
        ("refuses connections", First::Port(Port::refusing()), "connect", Size::Either),
        ("drops packets", First::Port(Port::unanswering()), "", Size::Either),
        ("accepts and says nothing", First::Port(Port::mute()), "", Size::Either),
        ("speaks no HTTP", First::Port(Port::babbling()), "protocol", Size::Either),
        ("404", First::says(Rule::status(404)), "not_found", Size::Either),
        ("410", First::says(Rule::status(410)), "not_found", Size::Either),
        ("403", First::says(Rule::status(403)), "forbidden", Size::Either),
        ("429", First::says(Rule::status(429)), "too_many_requests", Size::Either),
        ("500", First::says(Rule::status(500)), "server_error", Size::Either),
        ("503, later", First::says(Rule::status(503).retry_after(3600)), "server_error", Size::Either),
        ("a captive portal", First::says(Rule::portal()), "portal", Size::Either),
        ("a shorter file", First::says(other(SIZE - 1000)), "wrong_size", Size::Known),
        ("a longer file", First::says(other(SIZE + 1000)), "wrong_size", Size::Known),
        ("another file", First::says(other(SIZE)), "corrupt", Size::Either),
        ("a longer file, otherwise right", First::says(Rule::serve(content(1, SIZE + 1))), "", Size::Either),
        ("one wrong byte", First::says(good().corrupted_at(123_456)), "corrupt", Size::Either),
        ("stalls at the beginning", First::says(good().stall_after(0)), "stall", Size::Either),
        ("stalls in the middle", First::says(good().stall_after(100_000)), "stall", Size::Either),
        ("hangs", First::says(Rule::silence()), "", Size::Either),
        ("resets", First::says(Rule::reset()), "reset", Size::Either),
        ("resets in the middle", First::says(good().reset_after(100_000)), "", Size::Either),
        ("closes without a word", First::says(Rule::empty_reply()), "reset", Size::Either),
        ("closes in the middle", First::says(good().close_after(100_000)), "", Size::Either),
        ("ends its chunks early", First::says(good().chunked_unfinished()), "", Size::Either),
        ("sends garbage for chunks", First::says(good().chunked_garbled()), "", Size::Either),
        ("never stops", First::says(other(SIZE).until_close().endless()), "corrupt", Size::Known),
        ("drips its header", First::says(good().head_pace(Duration::from_millis(200))), "", Size::Either),
        ("sends headers without end", First::says(good().header_bomb(10_000_000)), "", Size::Either),
        ("redirects for ever", First::says(Rule::redirect(302, PATH)), "protocol", Size::Either),
        (
            "redirects to a file",
            First::says(Rule::redirect(302, "file:///etc/passwd")),
            "protocol",
            Size::Either,
        ),
        ("206 without a range", First::says(Rule::status(206).body(&right)), "range", Size::Either),
    ];
    let mut wrong: Vec<String> = Vec::new();
    for (story, first, kind, size) in rows {
        for size_known in [true, false] {
            if size_known || size == Size::Either {
                let why = failed_over(&first, kind, &right, size_known);
                wrong.extend(why.map(|why| format!("{story}, size known: {size_known}: {why}")));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// Why the call did not go well, if it did not.
fn failed_over(first: &First, kind: &str, right: &Content, size_known: bool) -> Option<String> {
    let distdir = Distdir::new();
    let second = serving(right);
    let at_first = format!("http://{}", first.address());
    let call = distdir.call().mirrors(&[at_first.clone(), base(&second)]);
    let call = if size_known { call.target(right) } else { call.digests_of(right) };
    let ended = call.fetch(&format!("{at_first}{PATH}"));
    if !ended.success() {
        return Some(format!("failed: {ended}"));
    }
    distdir.assert_holds(right, &ended);
    if ended.elapsed > SOON {
        return Some(format!("too late: {ended}"));
    }
    let sent = second.body_bytes_sent();
    if sent > right.len() as u64 {
        return Some(format!("{sent} bytes from the second mirror: {ended}"));
    }
    let failures = failures(&distdir, &at_first);
    (!kind.is_empty() && failures != [kind])
        .then(|| format!("{failures:?} in the state, not {kind}: {ended}"))
}

#[test]
fn a_corrupt_mirror_is_named_and_marked() {
    let right: Content = content(1, SIZE).into();
    let mirrors = [saying(Rule::serve(&right).corrupted_at(99)), serving(&right)];
    let distdir = Distdir::new();
    let ended = distdir.call().target(&right).mirrors(&bases(&mirrors)).fetch(&mirrors[0].url(PATH));
    distdir.assert_holds(&right, &ended);
    let address = mirrors[0].address().to_string();
    assert!(ended.output.lines().any(|line| line.contains(&address) && line.contains("wrong")), "{ended}");
    assert_eq!(failures(&distdir, &base(&mirrors[0])), ["corrupt"]);
    assert_eq!(failures(&distdir, &base(&mirrors[1])), [""; 0]);
    assert_eq!(figures(&distdir, &base(&mirrors[1]))["bytes_kept"], SIZE);
}

#[test]
fn when_all_lack_it_the_following_calls_fail_at_once_and_upstream_is_asked() {
    let right: Content = content(1, SIZE).into();
    let mirrors: Vec<Mirror> = (0..3).map(|_| saying(Rule::status(404))).collect();
    let distdir = Distdir::new();
    let call = || distdir.call().target(&right).mirrors(&bases(&mirrors));

    let first = call().fetch(&mirrors[0].url(PATH));
    assert_eq!(first.code, Some(22), "{first}");
    for mirror in &mirrors {
        assert!(first.output.contains(&mirror.address().to_string()), "each is named: {first}");
        assert_eq!(mirror.requests_for(PATH).len(), 1, "{first}");
    }
    assert_eq!(distdir.content().unwrap_or_default(), b"", "{first}");

    // Portage goes on to the next mirrors, and comes to SRC_URI.
    for mirror in &mirrors[1..] {
        let next = quickest(5, || call().resume().fetch(&mirror.url(PATH)));
        assert_eq!(next.code, Some(22), "{next}");
        assert!(next.elapsed < AT_ONCE, "{next}");
        assert_eq!(next.output.lines().count(), 1, "{next}");
    }
    assert!(mirrors.iter().all(|mirror| mirror.requests_for(PATH).len() == 1), "nobody was asked again");
    let upstream = Mirror::start();
    upstream.on("/src/foo-1.tar.xz").serve(&right);
    let last = call().resume().fetch(&upstream.url("/src/foo-1.tar.xz"));
    last.assert_success();
    distdir.assert_holds(&right, &last);
}

#[test]
fn what_mirrors_lack_is_known_of_that_file_alone() {
    let right: Content = content(1, SIZE).into();
    let mirror = saying(Rule::status(404));
    mirror.on("/distfiles/bar-1.tar.xz").serve(&right);
    let (lacked, other) = (Distdir::new(), Distdir::of("bar-1.tar.xz"));
    let call = |distdir: &Distdir| {
        distdir.call().args(["--state"]).args([lacked.state_file()]).target(&right).mirrors(&[base(&mirror)])
    };
    assert_eq!(call(&lacked).fetch(&mirror.url(PATH)).code, Some(22));
    let ended = call(&other).fetch(&mirror.url("/distfiles/bar-1.tar.xz"));
    ended.assert_success();
    other.assert_holds(&right, &ended);
}

#[test]
fn mirrors_that_are_dead_once_are_asked_again() {
    // Nobody knows that the file is missing there: only "not there" is remembered.
    let right: Content = content(1, SIZE).into();
    let mirror = Mirror::start();
    mirror.on(PATH).status(503).times(3); // the call itself asks three times
    mirror.on(PATH).serve(&right);
    let distdir = Distdir::new();
    let call = || distdir.call().target(&right).mirrors(&[base(&mirror)]);
    assert_eq!(call().fetch(&mirror.url(PATH)).code, Some(22));
    let ended = call().fetch(&mirror.url(PATH));
    ended.assert_success();
    distdir.assert_holds(&right, &ended);
}

#[test]
fn each_mirror_is_asked_by_its_own_layout() {
    let right: Content = content(1, SIZE).into();
    let first = Mirror::start();
    first.on(FLAT).status(503).always();
    // Its layout is asked for once, and remembered.
    let second = Mirror::start();
    second.on(LAYOUT_PATH).serve("[structure]\n0=filename-hash BLAKE2B 8\n");
    second.on(PATH).serve(&right).always();
    let distdir = Distdir::new();
    for state in ["unknown", "known"] {
        let _ = std::fs::remove_file(distdir.file());
        let bases = [base(&first), base(&second)];
        let ended = distdir.call().target(&right).mirrors(&bases).fetch(&first.url(FLAT));
        assert!(ended.success(), "layout {state}: {ended}");
        distdir.assert_holds(&right, &ended);
    }
}

#[test]
fn why_a_mirror_does_not_tell_its_layout_is_told() {
    // It was taken for a mirror without the file, or for one with the usual layout.
    let right: Content = content(1, SIZE).into();
    let distdir = Distdir::new();
    let mirror = Mirror::start();
    mirror.on(PATH).status(404).always();
    mirror.on(LAYOUT_PATH).status(500).always();
    let ended = distdir.call().target(&right).mirrors(&[base(&mirror)]).fetch(&mirror.url(PATH));
    assert!(ended.output.contains("layout.conf: HTTP status 500"), "{ended}");
    // Where the file is there by no known layout.
    let [first, second] = [Mirror::start(), Mirror::start()];
    first.on("/distfiles/x/foo-1.tar.xz").status(404).always();
    first.on(LAYOUT_PATH).status(404).always();
    second.on(LAYOUT_PATH).status(500).always();
    let call = distdir.call().target(&right).mirrors(&[base(&first), base(&second)]);
    let ended = call.fetch(&first.url("/distfiles/x/foo-1.tar.xz"));
    assert!(ended.output.contains("layout.conf: HTTP status 500"), "{ended}");
    assert!(second.requests().iter().all(|request| request.path() == LAYOUT_PATH), "{ended}");
}
