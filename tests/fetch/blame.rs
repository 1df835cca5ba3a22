//! Wrong bytes: who sent them is found out, sends nothing more, and costs little more than its own share
//! again.

use rustix::process::Signal;

use super::driver::{Distdir, Ended};
use super::mirrors::{PATH, base, bases, failures, saying, sent, serving};
use crate::support::content::{Content, content};
use crate::support::mirror::{Mirror, Rule};

const MIB: usize = 1 << 20;
const SIZE: usize = 8 * MIB;
const RATE: u64 = 6_000_000;
const CHECKSUM_MISMATCH: i32 = 120;

/// What a mirror has for the file. The size is right each time: nothing but the digests can tell.
#[derive(Clone, Copy, Debug)]
enum Version {
    Right,
    /// Another file.
    Other(u64),
    /// A byte here and there: one in each 50 KB.
    Flipped,
    /// One byte, at its place in the file.
    OneByte(usize),
    /// Right in its first part, zeros behind it.
    Padded(usize),
}

impl Version {
    fn of(self, right: &Content) -> Content {
        match self {
            Self::Right => right.clone(),
            Self::Other(seed) => content(seed, right.len()).into(),
            Self::Flipped => {
                let mut bytes = right.to_vec();
                bytes.iter_mut().step_by(50_000).for_each(|byte| *byte ^= 1);
                bytes.into()
            }
            Self::OneByte(at) => right.corrupted_at(at),
            Self::Padded(from) => [&right[..from], &vec![0; right.len() - from]].concat().into(),
        }
    }

    /// Whether some byte of every range of some length is wrong, so that a share of any kind convicts.
    fn is_wrong_everywhere(self) -> bool {
        matches!(self, Self::Other(_) | Self::Flipped)
    }
}
use Version::{Flipped, OneByte, Other, Padded, Right};

fn mirrors_with(versions: &[Version], right: &Content) -> Vec<Mirror> {
    let mirrors: Vec<Mirror> = versions.iter().map(|version| serving(&version.of(right))).collect();
    for mirror in &mirrors {
        mirror.limit_rate(RATE);
    }
    mirrors
}

fn fetch(distdir: &Distdir, right: &Content, mirrors: &[Mirror]) -> Ended {
    distdir.call().resume().target(right).mirrors(&bases(mirrors)).fetch(&mirrors[0].url(PATH))
}

#[test]
fn corrupt_mirrors_among_good_ones() {
    let right: Content = content(1, SIZE).into();
    // Versions; bytes sent over the file's size, at most. A single wrong byte is in no sample: to find it,
    // everything may have to be fetched a second time, and nothing a third time.
    let rows: Vec<(Vec<Version>, f64)> = vec![
        (vec![Other(2), Right, Right, Right], 1.45),
        (vec![Right, Right, Right, Other(2)], 1.45),
        (vec![Right, Right, Flipped, Right], 1.45),
        (vec![Flipped, Right, Right, Right], 1.45),
        (vec![Right, OneByte(4_000_000), Right, Right], 2.1),
        (vec![OneByte(1000), Right, Right, Right], 2.1),
        (vec![Right, OneByte(SIZE - 1), Right, Right], 2.1),
        (vec![Right, Right, Padded(3 * MIB), Right], 1.45),
        (vec![Padded(100), Right, Right, Right], 1.45),
        (vec![Other(2), Other(3), Right, Right], 2.0),
        (vec![Right, Other(2), Right, Flipped], 2.0),
        (vec![Flipped, Right, Padded(MIB), Right], 2.0),
        // One against one: nobody knows whom to believe, and the first guess may be the wrong one.
        (vec![Other(2), Right], 2.2),
        (vec![Right, Flipped], 2.2),
        (vec![Other(2), Other(3), Other(4), Right], 5.0),
    ];
    let mut wrong: Vec<String> = Vec::new();
    for (versions, most) in rows {
        let mirrors = mirrors_with(&versions, &right);
        let distdir = Distdir::new();
        let ended = fetch(&distdir, &right, &mirrors);
        if !ended.success() {
            wrong.push(format!("{versions:?}: failed: {ended}"));
            continue;
        }
        distdir.assert_holds(&right, &ended);
        let ratio = sent(&mirrors) as f64 / SIZE as f64;
        if ratio > most + 0.25 {
            wrong.push(format!("{versions:?}: {ratio:.2} times the file ({most} allowed): {ended}"));
        }
        for (version, mirror) in versions.iter().zip(&mirrors) {
            let marked = failures(&distdir, &base(mirror)) == ["corrupt"];
            let named = ended
                .output
                .lines()
                .any(|line| line.contains(&mirror.address().to_string()) && line.contains("wrong"));
            match version {
                Right if marked || named => {
                    wrong.push(format!("{versions:?}: {} is innocent: {ended}", mirror.address()));
                }
                _ if version.is_wrong_everywhere()
                    && mirror.body_bytes_sent() > 100_000
                    && !(marked && named) =>
                {
                    let address = mirror.address();
                    wrong.push(format!("{versions:?}: {address} marked: {marked}, named: {named}: {ended}"));
                }
                _ => {}
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn two_mirrors_with_the_same_wrong_file_are_outvoted_by_the_digests() {
    let right: Content = content(1, SIZE).into();
    let versions = [Other(2), Other(2), Right, Right];
    let mirrors = mirrors_with(&versions, &right);
    let distdir = Distdir::new();
    let ended = fetch(&distdir, &right, &mirrors);
    ended.assert_success();
    distdir.assert_holds(&right, &ended);
    for mirror in &mirrors[2..] {
        assert_eq!(failures(&distdir, &base(mirror)), [""; 0], "innocent: {ended}");
    }
}

#[test]
fn a_corrupt_prefix_and_a_corrupt_mirror_at_once() {
    let right: Content = content(1, SIZE).into();
    for (prefix, versions) in [
        (Flipped, [Right, Right, Right, Right]),
        (Other(9), [Right, Other(2), Right, Right]),
        (Padded(2 * MIB), [Right, Right, Flipped, Right]),
        (OneByte(77), [Right, Right, Right, Other(2)]),
        // It came from the mirror that is asked again.
        (Other(2), [Other(2), Right, Right, Right]),
    ] {
        let mirrors = mirrors_with(&versions, &right);
        let distdir = Distdir::new();
        distdir.put_file(&prefix.of(&right)[..3 * MIB]);
        let ended = fetch(&distdir, &right, &mirrors);
        assert!(ended.success(), "{prefix:?} {versions:?}: {ended}");
        distdir.assert_holds(&right, &ended);
        let ratio = sent(&mirrors) as f64 / SIZE as f64;
        assert!(ratio < 2.25, "{prefix:?} {versions:?}: {ratio:.2} times the file: {ended}");
        for (mirror, version) in mirrors.iter().zip(versions) {
            if matches!(version, Right) {
                let failures = failures(&distdir, &base(mirror));
                assert_eq!(failures, [""; 0], "{prefix:?} {versions:?}: innocent: {ended}");
            }
        }
    }
}

#[test]
fn when_all_agree_on_wrong_bytes_it_is_the_manifest() {
    for (size, count, most) in [(SIZE, 4, 2.1), (SIZE, 2, 2.1), (300_000, 4, 2.1)] {
        let right: Content = content(1, size).into();
        let mirrors = mirrors_with(&vec![Other(2); count], &right);
        let distdir = Distdir::new();
        let ended = fetch(&distdir, &right, &mirrors);
        let story = format!("{count} mirrors, {size} bytes: {ended}");
        assert_eq!(ended.code, Some(CHECKSUM_MISMATCH), "{story}");
        let ratio = sent(&mirrors) as f64 / size as f64;
        assert!(ratio <= most + 0.25, "{ratio:.2} times the file: {story}");
        assert!(ended.output.contains("Manifest"), "{story}");
        assert_eq!(distdir.content(), Some(content(2, size)), "kept, for Portage to report: {story}");
        for mirror in &mirrors {
            assert_eq!(failures(&distdir, &base(mirror)), [""; 0], "nobody is to blame: {story}");
        }
        // Portage goes on to the next mirror: no more bandwidth is burnt.
        let before: Vec<usize> = mirrors.iter().map(|mirror| mirror.requests().len()).collect();
        std::fs::remove_file(distdir.file()).unwrap();
        let call = distdir.call().target(&right).mirrors(&bases(&mirrors));
        let next = call.fetch(&mirrors[1].url(PATH));
        assert!(!next.success(), "{next}");
        let after: Vec<usize> = mirrors.iter().map(|mirror| mirror.requests().len()).collect();
        assert_eq!(after, before, "asked again: {next}");
    }
}

/// The right file was only at mirrors that cannot be compared with, since they send no ranges, and the fetch failed.
#[test]
fn who_cannot_be_compared_may_be_right() {
    let right: Content = content(1, 2_759_378).into();
    // 0 ignores ranges; other numbers are its answer to them.
    for statuses in [&[0][..], &[403], &[416, 403], &[0, 416]] {
        for at in [10_000, 1_200_000, right.len() - 5] {
            let distdir = Distdir::new();
            let rule = |status: &u16| match Rule::serve(right.clone()) {
                rule if *status == 0 => rule.no_ranges(),
                rule => rule.range_status(*status),
            };
            let mut mirrors: Vec<Mirror> = statuses.iter().map(|status| saying(rule(status))).collect();
            mirrors.insert(1, serving(&right.corrupted_at(at)));
            let ended = fetch(&distdir, &right, &mirrors);
            distdir.assert_holds(&right, &ended);
            ended.assert_success();
            for index in (0..mirrors.len()).filter(|index| *index != 1) {
                let failures = failures(&distdir, &base(&mirrors[index]));
                assert!(!failures.contains(&"corrupt".to_owned()), "{statuses:?}, {at}: {ended}");
            }
        }
    }
}

/// Sources that contradict each other were asked together for the rest of a file, and all of them but one were convicted:
/// the honest ones, too, whose bytes the right file consists of.
#[test]
fn who_sent_the_right_file_is_not_convicted() {
    let right: Content = content(1, 492_426).into();
    for left in [content(7, 300_000), Vec::new()] {
        for turn in 0..4 {
            let distdir = Distdir::new();
            distdir.put_file(&left);
            let mut mirrors = vec![
                serving(&right),
                saying(Rule::serve(right.clone()).range_status(403)),
                serving(&right.corrupted_at(200_000)),
                serving(&content(2, right.len()).into()),
            ];
            mirrors.rotate_left(turn);
            let ended = fetch(&distdir, &right, &mirrors);
            distdir.assert_holds(&right, &ended);
            ended.assert_success();
            let honest = [(4 - turn) % 4, (5 - turn) % 4];
            for mirror in honest {
                let failures = failures(&distdir, &base(&mirrors[mirror]));
                assert!(!failures.contains(&"corrupt".to_owned()), "{turn}: {ended}");
            }
        }
    }
}

/// Who sends no ranges cannot be compared with: that nothing contradicted the others was taken for agreement, and for
/// five minutes nobody was asked for the file any more.
#[test]
fn who_cannot_be_compared_agrees_with_nobody() {
    let right: Content = content(1, 2_759_378).into();
    for at in [10_000, 1_200_000, right.len() - 5] {
        let distdir = Distdir::new();
        let mirrors = [
            saying(Rule::serve(right.clone()).no_ranges()),
            serving(&right.corrupted_at(at)),
            saying(Rule::serve(right.clone()).range_status(403)),
        ];
        fetch(&distdir, &right, &mirrors);
        let ended = fetch(&distdir, &right, &[serving(&right)]);
        distdir.assert_holds(&right, &ended);
        ended.assert_success();
    }
}

/// A corrupt mirror was the only one to be reached. What it had left at FILE counted as a second opinion, so for five
/// minutes nobody was asked for the file any more.
#[test]
fn who_is_wrong_alone_agrees_with_nobody() {
    let right: Content = content(1, 200_000).into();
    let wrong = content(2, right.len());
    for left in [&wrong[..], &right[..90_000], &right.corrupted_at(70)[..90_000], &[]] {
        let distdir = Distdir::new();
        distdir.put_file(left);
        let mirror = serving(&wrong.clone().into());
        let call = |mirrors: &[Mirror]| {
            distdir.call().resume().target(&right).mirrors(&bases(mirrors)).fetch(&mirrors[0].url(PATH))
        };
        let ended = call(&[mirror]);
        assert_eq!(ended.code, Some(CHECKSUM_MISMATCH), "{} bytes: {ended}", left.len());
        let ended = call(&[serving(&right)]);
        distdir.assert_holds(&right, &ended);
        ended.assert_success();
    }
}

#[test]
fn a_repair_that_breaks_off_is_gone_on_with() {
    // One mirror is corrupt, and the other breaks in the middle of making good for it: what is kept is
    // a beginning of the file, or is found out by the next call.
    let right: Content = content(1, SIZE).into();
    let corrupt = saying(Rule::serve(Flipped.of(&right)));
    let good = Mirror::start();
    good.on(PATH).serve(&right).always();
    for mirror in [&corrupt, &good] {
        mirror.limit_rate(RATE);
    }
    let distdir = Distdir::new();
    let mirrors = [corrupt, good];
    let call = distdir.call().resume().target(&right).mirrors(&bases(&mirrors)).start(&mirrors[0].url(PATH));
    let ended = call.signal_when(rustix::process::Signal::KILL, || sent(&mirrors) > (SIZE + MIB) as u64);
    assert_eq!(ended.code, None, "it was in the middle of the repair");
    let ended = fetch(&distdir, &right, &mirrors);
    ended.assert_success();
    distdir.assert_holds(&right, &ended);
}

#[test]
fn what_a_corrupt_mirror_left_before_the_call_was_ended() {
    // The next call does not know who sent what. It had dropped all that was there.
    let right: Content = content(1, 2 * SIZE).into();
    let mirrors = mirrors_with(&[Right, Other(2), Right, Right], &right);
    let distdir = Distdir::new();
    let call = distdir.call().target(&right).mirrors(&bases(&mirrors)).start(&mirrors[0].url(PATH));
    let ended = call.signal_when(Signal::KILL, || sent(&mirrors) >= SIZE as u64);
    assert_eq!(ended.code, None, "{ended}");
    let before = sent(&mirrors);
    let ended = fetch(&distdir, &right, &mirrors);
    ended.assert_success();
    distdir.assert_holds(&right, &ended);
    assert_eq!(failures(&distdir, &base(&mirrors[1])), ["corrupt"], "{ended}");
    // What was missing; what the corrupt mirror sent, before and now; to both sides of it up to a MiB; samples.
    let most = SIZE as u64 + mirrors[1].body_bytes_sent() + 4 * MIB as u64;
    let again = sent(&mirrors) - before;
    assert!(again <= most, "{again} bytes, {most} allowed: {ended}");
}
