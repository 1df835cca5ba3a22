//! Whom to ask first: the mirror from which the file is expected soonest.

use std::time::Duration;

use super::key::MirrorKey;
use super::stats::{Mirror, State};

/// A mirror that could be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate<'a> {
    pub mirror: &'a MirrorKey,
    /// Mirrors of a lower tier come before all of a higher one: the local network first.
    pub tier: u8,
}

/// A candidate in its place, and why it stands there.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranked {
    /// Its index in the list that was ranked.
    pub candidate: usize,
    pub tier: u8,
    /// Time for which it should rather not be asked.
    pub cool_down_left: Duration,
    /// `first_byte` plus the file's size over `bytes_per_second`, all over `probability`, in seconds.
    pub expected_seconds: f64,
    /// Of success, between 0 and 1.
    pub probability: f64,
    pub first_byte: Duration,
    pub bytes_per_second: f64,
}

/// What is assumed of a mirror as long as nothing better is known: that it is a good one, so that it is
/// tried before those known to be mediocre, and not before those known to be excellent. For the same
/// reason mirrors that were not used for months are tried again: their figures have faded.
const PRIOR_FIRST_BYTE_SECONDS: f64 = 0.050;
const PRIOR_BYTES_PER_SECOND: f64 = 10.0 * 1024.0 * 1024.0;
/// Samples that each of these two is worth.
const PRIOR_WEIGHT: f64 = 0.25;
/// Size that is assumed of a file when it is unknown, in bytes. Half of all distfiles are smaller.
const TYPICAL_SIZE: u64 = 256 << 10;

/// All candidates, the best first: those in cool-down last, then by tier, then by the expected time for
/// a file of `size` bytes. Among equals the order stays. `now` in UNIX seconds.
pub fn rank(candidates: &[Candidate<'_>], state: &State, size: Option<u64>, now: u64) -> Vec<Ranked> {
    let nothing_known = Mirror::default();
    let size = size.unwrap_or(TYPICAL_SIZE);
    let mut ranked: Vec<Ranked> = candidates
        .iter()
        .enumerate()
        .map(|(index, candidate)| {
            let mirror = state.mirror(candidate.mirror).unwrap_or(&nothing_known);
            judge(index, candidate.tier, mirror, size, now)
        })
        .collect();
    ranked.sort_by(|a, b| {
        let group = |ranked: &Ranked| (!ranked.cool_down_left.is_zero(), ranked.tier);
        group(a).cmp(&group(b)).then(a.expected_seconds.total_cmp(&b.expected_seconds))
    });
    ranked
}

fn judge(candidate: usize, tier: u8, mirror: &Mirror, size: u64, now: u64) -> Ranked {
    let first_byte_us = mirror.first_byte_us.with_prior(PRIOR_FIRST_BYTE_SECONDS * 1e6, PRIOR_WEIGHT, now);
    let first_byte_seconds = first_byte_us / 1e6;
    let bytes_per_second = mirror.bytes_per_second.with_prior(PRIOR_BYTES_PER_SECOND, PRIOR_WEIGHT, now);
    let probability = mirror.success_probability(now);
    Ranked {
        candidate,
        tier,
        cool_down_left: Duration::from_secs(mirror.cool_down_left(now)),
        expected_seconds: (first_byte_seconds + size as f64 / bytes_per_second) / probability,
        probability,
        first_byte: Duration::try_from_secs_f64(first_byte_seconds).unwrap_or(Duration::MAX),
        bytes_per_second,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::arbitrary;
    use super::super::event::{Attempt, Delta, FailureKind, Outcome, RateSample};
    use super::super::fading::HALF_LIFE;
    use super::*;

    const NOW: u64 = 1_800_000_000;
    const KIB: u64 = 1 << 10;
    const MIB: u64 = 1 << 20;

    /// What happened at one mirror before it is ranked.
    #[derive(Clone, Copy)]
    enum Past {
        Nothing,
        /// Ten successes: milliseconds to the first byte, bytes per second.
        Good(u64, u64),
        /// The same, so many seconds ago.
        Once(u64, u64, u64),
        /// Failures that lie a day apart, the last one yesterday.
        Failures(FailureKind, u64),
        /// A failure that has just happened.
        FailedNow(FailureKind),
    }
    use Past::{FailedNow, Failures, Good, Nothing, Once};

    fn key(number: usize) -> MirrorKey {
        MirrorKey::new(&format!("http://m{number}.example"))
    }

    fn attempt(mirror: usize, at: u64, outcome: Outcome, ms: Option<u64>, rate: Option<u64>) -> Delta {
        Delta::Attempt(Attempt {
            mirror: key(mirror),
            at,
            outcome,
            bytes_kept: 0,
            bytes_wasted: 0,
            first_byte: ms.map(Duration::from_millis),
            rate: rate.map(|bytes| RateSample { bytes, duration: Duration::from_secs(1) }),
        })
    }

    fn deltas(mirror: usize, past: Past) -> Vec<Delta> {
        let failure =
            |kind, at| attempt(mirror, at, Outcome::Failure { kind, retry_after: None }, None, None);
        let successes = |ms, rate, at| vec![attempt(mirror, at, Outcome::Success, Some(ms), Some(rate)); 10];
        match past {
            Nothing => Vec::new(),
            Good(ms, rate) => successes(ms, rate, NOW),
            Once(ms, rate, ago) => successes(ms, rate, NOW - ago),
            Failures(kind, count) => {
                (1..=count).rev().map(|day| failure(kind, NOW - day * 24 * 3600)).collect()
            }
            FailedNow(kind) => vec![failure(kind, NOW)],
        }
    }

    fn ranked(pasts: &[(u8, Past)], size: u64) -> Vec<Ranked> {
        let mut state = State::default();
        for (number, (_, past)) in pasts.iter().enumerate() {
            state.apply_all(&deltas(number, *past));
        }
        let keys: Vec<MirrorKey> = (0..pasts.len()).map(key).collect();
        let candidates: Vec<Candidate<'_>> =
            keys.iter().zip(pasts).map(|(mirror, (tier, _))| Candidate { mirror, tier: *tier }).collect();
        rank(&candidates, &state, Some(size), NOW)
    }

    #[test]
    fn the_order_is_the_expected_one() {
        let lan = |past| (0, past);
        let public = |past| (1, past);
        let dead = FailedNow(FailureKind::Connect);
        for (story, pasts, size, order) in [
            ("no candidates", vec![], MIB, vec![]),
            ("a cold start keeps the order", vec![public(Nothing); 5], MIB, vec![0, 1, 2, 3, 4]),
            (
                "what was never tried comes before the mediocre",
                vec![public(Good(100, 2 * MIB)), public(Nothing)],
                MIB,
                vec![1, 0],
            ),
            ("and after the excellent", vec![public(Nothing), public(Good(10, 80 * MIB))], MIB, vec![1, 0]),
            (
                "a quick answer counts for a small file",
                vec![public(Good(200, 50 * MIB)), public(Good(20, MIB))],
                10 * KIB,
                vec![1, 0],
            ),
            (
                "the rate for a large one",
                vec![public(Good(20, MIB)), public(Good(200, 50 * MIB))],
                500 * MIB,
                vec![1, 0],
            ),
            (
                "a slow mirror of years ago is tried again",
                vec![public(Good(100, 2 * MIB)), public(Once(2000, 100 * KIB, 26 * HALF_LIFE))],
                MIB,
                vec![1, 0],
            ),
            (
                "one of yesterday is not",
                vec![public(Good(100, 2 * MIB)), public(Once(2000, 100 * KIB, 24 * 3600))],
                MIB,
                vec![0, 1],
            ),
            (
                "failures push a mirror back after its cool-down",
                vec![public(Failures(FailureKind::Timeout, 4)), public(Good(50, 6 * MIB))],
                MIB,
                vec![1, 0],
            ),
            (
                "a few missing files hardly do",
                vec![public(Failures(FailureKind::NotFound, 2)), public(Good(150, 5 * MIB))],
                MIB,
                vec![0, 1],
            ),
            (
                "a mirror in cool-down comes last",
                vec![public(dead), public(Good(2000, 100 * KIB)), public(Nothing)],
                MIB,
                vec![2, 1, 0],
            ),
            (
                "the local network comes first, however slow",
                vec![public(Good(10, 80 * MIB)), lan(Good(500, MIB)), lan(Nothing)],
                MIB,
                vec![2, 1, 0],
            ),
            (
                "but not in cool-down",
                vec![public(dead), lan(dead), public(Good(500, MIB)), lan(Nothing)],
                MIB,
                vec![3, 2, 1, 0],
            ),
        ] {
            let found: Vec<usize> = ranked(&pasts, size).iter().map(|r| r.candidate).collect();
            assert_eq!(found, order, "{story}");
        }
    }

    #[test]
    fn the_reasons_explain_the_order() {
        let ranked = ranked(&[(1, Nothing), (2, FailedNow(FailureKind::Connect))], 10 * MIB);
        assert_eq!(ranked[0].first_byte, Duration::from_millis(50));
        assert!((ranked[0].bytes_per_second / PRIOR_BYTES_PER_SECOND - 1.0).abs() < 1e-9);
        assert!((ranked[0].probability - 1.0 / 1.05).abs() < 1e-9);
        assert!((ranked[0].expected_seconds - 1.05 * 1.05).abs() < 1e-9);
        assert!(ranked[0].cool_down_left.is_zero());
        assert_eq!((ranked[1].tier, ranked[1].cool_down_left), (2, Duration::from_secs(30)));
    }

    #[test]
    fn a_mirror_that_is_dead_is_probed_ever_more_rarely() {
        let mut state = State::default();
        let candidates = [key(0), key(1)];
        let candidates = candidates.each_ref().map(|mirror| Candidate { mirror, tier: 1 });
        state.apply_all(&deltas(1, Good(60, 5 * MIB)));
        let mut probes = 0;
        for minute in 0..24 * 60 {
            let now = NOW + minute * 60;
            if rank(&candidates, &state, Some(10 * KIB), now)[0].candidate == 0 {
                probes += 1;
                let outcome = Outcome::Failure { kind: FailureKind::Connect, retry_after: None };
                state.apply(&attempt(0, now, outcome, None, None));
            }
        }
        assert!((1..=3).contains(&probes), "{probes}");
    }

    proptest! {
        #[test]
        fn every_candidate_has_one_place_and_finite_reasons(
            deltas in prop::collection::vec(arbitrary::delta(), 0..60),
            tiers in prop::collection::vec(any::<u8>(), 4),
            size in prop::option::of(any::<u64>()),
            now in arbitrary::time(),
        ) {
            let mut state = State::default();
            state.apply_all(&deltas);
            let keys = ["a", "b", "c", "d"].map(|host| MirrorKey::new(&format!("http://{host}.example")));
            let candidates: Vec<Candidate<'_>> =
                keys.iter().zip(&tiers).map(|(mirror, tier)| Candidate { mirror, tier: *tier }).collect();
            let ranked = rank(&candidates, &state, size, now);
            let mut places: Vec<usize> = ranked.iter().map(|r| r.candidate).collect();
            places.sort_unstable();
            prop_assert_eq!(places, vec![0, 1, 2, 3]);
            for r in ranked {
                prop_assert!(r.expected_seconds.is_finite() && r.expected_seconds > 0.0);
                prop_assert!(r.probability > 0.0 && r.probability <= 1.0);
                prop_assert!(r.bytes_per_second.is_finite() && r.bytes_per_second > 0.0);
            }
        }
    }
}
