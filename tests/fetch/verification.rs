//! Success means verified, and the output says with what, or that it is not.

use super::driver::{Distdir, digest, digests, words};
use super::mirrors::{PATH, saying, serving};
use crate::support::content::{Content, content};
use crate::support::mirror::{Mirror, Rule};

const SIZE: usize = 200_000;
/// The exit status when a file has other digests than it should.
const CHECKSUM_MISMATCH: i32 = 120;

#[test]
fn every_algorithm_by_itself_tells_right_from_wrong() {
    let right: Content = content(1, SIZE).into();
    for algorithm in ["blake2b", "sha512", "sha256"] {
        for (story, rule, code) in [
            ("right", Rule::serve(&right), 0),
            ("first byte wrong", Rule::serve(&right).corrupted_at(0), CHECKSUM_MISMATCH),
            ("last byte wrong", Rule::serve(&right).corrupted_at(SIZE - 1), CHECKSUM_MISMATCH),
            ("one byte less", Rule::serve(content(1, SIZE - 1)), CHECKSUM_MISMATCH),
            ("one byte more", Rule::serve(content(1, SIZE + 1)), CHECKSUM_MISMATCH),
            ("nothing", Rule::serve(""), CHECKSUM_MISMATCH),
        ] {
            let mirror = saying(rule);
            let distdir = Distdir::new();
            let call = distdir.call().args(["--digests", &digest(algorithm, &right)]);
            let ended = call.fetch(&mirror.url(PATH));
            assert_eq!(ended.code, Some(code), "{algorithm}, {story}: {ended}");
            if code == 0 {
                distdir.assert_holds(&right, &ended);
                let verified = format!("verified {}", algorithm.to_uppercase());
                assert!(ended.output.contains(&verified), "{ended}");
            } else {
                assert!(!ended.output.contains("verified"), "{algorithm}, {story}: {ended}");
            }
        }
    }
}

#[test]
fn one_wrong_digest_among_right_ones_is_enough() {
    let right: Content = content(1, SIZE).into();
    let all = ["blake2b", "sha512", "sha256"];
    for wrong in all {
        let mirror = serving(&right);
        let of = |algorithm: &str| if algorithm == wrong { content(2, 9) } else { right.to_vec() };
        let digests = all.map(|algorithm| digest(algorithm, &of(algorithm))).join(" ");
        let distdir = Distdir::new();
        let ended = distdir.call().args(["--digests", &digests]).fetch(&mirror.url(PATH));
        assert_eq!(ended.code, Some(CHECKSUM_MISMATCH), "{wrong}: {ended}");
    }
}

#[test]
fn what_was_not_verified_is_said() {
    let right: Content = content(1, SIZE).into();
    // What is passed; what the output must say; what it must not say.
    let rows: [(String, &[&str], &[&str]); 5] = [
        (digests(&right), &["verified BLAKE2B SHA512"], &["not verified", "not known"]),
        (
            format!("{} sha3_512:{}", digests(&right), "ab".repeat(64)),
            &["SHA3_512", "verified BLAKE2B SHA512"],
            &["not verified:"],
        ),
        (
            format!("md5:{} whirlpool:{}", "ab".repeat(16), "cd".repeat(64)),
            &["MD5", "WHIRLPOOL", "not verified"],
            &[],
        ),
        (format!("sha1:{}", "ab".repeat(20)), &["SHA1", "not verified"], &[]),
        (String::new(), &["not verified"], &[]),
    ];
    for (digests, says, does_not_say) in rows {
        let mirror = serving(&right);
        let distdir = Distdir::new();
        let call = distdir.call().env("EBUILD_PHASE", "fetch").args(["--digests", &digests]);
        let ended = call.fetch(&mirror.url(PATH));
        ended.assert_success();
        distdir.assert_holds(&right, &ended);
        let output = ended.output.to_uppercase();
        for words in says {
            assert!(output.contains(&words.to_uppercase()), "{digests:?} does not say {words:?}: {ended}");
        }
        for words in does_not_say {
            assert!(!output.contains(&words.to_uppercase()), "{digests:?} says {words:?}: {ended}");
        }
    }
}

#[test]
fn a_fetch_for_portage_without_digests_says_so_too() {
    let mirror = serving(&content(1, SIZE).into());
    let distdir = Distdir::new();
    let ended = distdir.call().env("EBUILD_PHASE", "fetch").fetch(&mirror.url(PATH));
    ended.assert_success();
    assert!(ended.output.contains("not verified"), "{ended}");
}

#[test]
fn malformed_digests_are_refused_before_anybody_is_asked() {
    let mirror = Mirror::start(); // fails the test when it is asked
    for wrong in ["blake2b:", "blake2b:abc", "blake2b:zz", "sha512:ab cd", "sha256 ab"] {
        let distdir = Distdir::new();
        let ended = distdir.call().args(["--digests"]).args(words(wrong)).fetch(&mirror.url(PATH));
        assert_eq!(ended.code, Some(2), "{wrong}: {ended}");
        assert_eq!(ended.output.lines().count(), 1, "{ended}");
        assert_eq!(distdir.names(), [""; 0]);
    }
}
