//! What there is to tell of the state at a glance: sums, and the mirrors that are used most.

use std::cmp::Reverse;

use crate::mirror::stats::Mirror;
use crate::mirror::traffic::Traffic;
use crate::mirror::{FailureKind, MirrorKey, State};
use crate::portage::Tiers;
use crate::portage::tiers::LOCAL_TIER;

/// Mirrors that are shown at most: hosts of upstream are among them, and there is no end of those.
pub(super) const MIRRORS_SHOWN: usize = 50;

/// The state at one time.
#[derive(Debug)]
pub(super) struct Overview<'s> {
    /// UNIX seconds.
    pub(super) now: u64,
    /// Whether the file could be read, or is yet to be made.
    pub(super) is_readable: bool,
    /// The most used first.
    pub(super) mirrors: Vec<Line<'s>>,
    /// With all mirrors, those that are not shown and those that are forgotten too.
    pub(super) local: Sum,
    pub(super) public: Sum,
    /// When mirrors were ranked last, in UNIX seconds.
    pub(super) ranked_at: Option<u64>,
}

/// What is known of one mirror.
#[derive(Debug)]
pub(super) struct Line<'s> {
    pub(super) key: &'s MirrorKey,
    pub(super) figures: &'s Mirror,
    pub(super) is_local: bool,
    /// Its place in the last ranking; the best is 1.
    pub(super) rank: Option<usize>,
}

/// The mirrors of the local network, or all others.
#[derive(Debug, Default)]
pub(super) struct Sum {
    /// How many are known.
    pub(super) mirrors: usize,
    pub(super) traffic: Traffic,
}

impl<'s> Overview<'s> {
    /// `now` in UNIX seconds. A mirror is local when it is on the local network, unless the tiers say otherwise.
    pub(super) fn new(state: &'s State, is_readable: bool, tiers: &Tiers, now: u64) -> Self {
        let ranking = state.ranking();
        let rank = |key: &MirrorKey| {
            let place = ranking?.value.iter().position(|ranked| ranked == key)?;
            Some(place + 1)
        };
        let line = |(key, figures): (&'s MirrorKey, &'s Mirror)| {
            let is_local = tiers.of(key.as_str(), key.is_local()) == LOCAL_TIER;
            Line { key, figures, is_local, rank: rank(key) }
        };
        let mut mirrors: Vec<Line<'s>> = state.mirrors().map(line).collect();
        mirrors.sort_by_key(|line| Reverse((line.figures.attempts, line.rank.map(Reverse))));
        let sum = |is_local, forgotten: &Traffic| {
            let mut sum = Sum { mirrors: 0, traffic: forgotten.clone() };
            for line in mirrors.iter().filter(|line| line.is_local == is_local) {
                sum.mirrors += 1;
                sum.traffic.add(&Traffic::of(line.figures));
            }
            sum
        };
        let (local, public) = (sum(true, &state.forgotten().local), sum(false, &state.forgotten().public));
        mirrors.truncate(MIRRORS_SHOWN);
        let ranked_at = ranking.map(|ranking| ranking.at);
        Self { now, is_readable, mirrors, local, public, ranked_at }
    }

    /// The traffic with all mirrors.
    pub(super) fn all(&self) -> Traffic {
        let mut all = self.local.traffic.clone();
        all.add(&self.public.traffic);
        all
    }
}

impl Line<'_> {
    /// How old the mirror's copy was when that was looked at, in seconds.
    pub(super) fn copy_age(&self) -> Option<u64> {
        self.figures.freshness.map(|copy| copy.at.saturating_sub(copy.value))
    }
}

/// How requests end, by name, and how many of this traffic did.
pub(super) fn outcomes(traffic: &Traffic) -> impl Iterator<Item = (&'static str, u64)> {
    let failures = |kind: FailureKind| traffic.failures.get(&kind).copied().unwrap_or_default();
    let usual = [("success", traffic.successes), ("interrupted", traffic.interrupted())];
    usual.into_iter().chain(FailureKind::ALL.map(|kind| (kind.name(), failures(kind))))
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::*;
    use crate::mirror::{Attempt, Delta, Outcome, RateSample};

    pub(in super::super) const NOW: u64 = 1_800_000_000;

    pub(in super::super) fn attempt(mirror: &str, outcome: Outcome, kept: u64) -> Delta {
        Delta::Attempt(Attempt {
            mirror: MirrorKey::new(mirror),
            at: NOW - 60,
            outcome,
            bytes_kept: kept,
            bytes_wasted: kept / 64,
            first_byte: (kept > 0).then_some(Duration::from_millis(40)),
            rate: (kept > 0).then_some(RateSample { bytes: kept, duration: Duration::from_secs(2) }),
        })
    }

    pub(in super::super) fn failure(kind: FailureKind) -> Outcome {
        Outcome::Failure { kind, retry_after: None }
    }

    #[test]
    fn the_tiers_say_who_is_local() {
        let mut state = State::default();
        state.apply(&attempt("http://cache.lan:8080", Outcome::Success, 300));
        state.apply(&attempt("http://192.168.1.9", Outcome::Success, 20));
        state.apply(&attempt("https://near.example", Outcome::Success, 1));
        let of = |list: &str| {
            let mut tiers = Tiers::default();
            assert!(tiers.add_list(list).is_empty());
            let overview = Overview::new(&state, true, &tiers, NOW);
            (overview.local.traffic.bytes_kept, overview.local.mirrors, overview.public.traffic.bytes_kept)
        };
        assert_eq!(of(""), (320, 2, 1));
        assert_eq!(of("near.example=0 192.168.1.9=2"), (301, 2, 20));
    }

    #[test]
    fn the_most_used_are_shown_and_all_are_counted() {
        let mut state = State::default();
        let names: Vec<String> = (0..60).map(|n| format!("https://m{n}.example")).collect();
        for (n, name) in names.iter().enumerate() {
            (0..=n).for_each(|_| state.apply(&attempt(name, failure(FailureKind::Stall), 64)));
        }
        state.apply(&Delta::Ranking { at: NOW - 9, mirrors: vec![MirrorKey::new(&names[58])] });
        let overview = Overview::new(&state, true, &Tiers::default(), NOW);
        assert_eq!((overview.mirrors.len(), overview.public.mirrors), (MIRRORS_SHOWN, 60));
        assert_eq!(overview.mirrors[0].key.as_str(), "https://m59.example");
        assert_eq!((overview.mirrors[1].rank, overview.mirrors[0].rank), (Some(1), None));
        let all = 60 * 61 / 2;
        assert_eq!((overview.all().attempts, overview.all().bytes_received()), (all, all * 65));
        assert_eq!(outcomes(&overview.all()).map(|(_, count)| count).sum::<u64>(), all);
    }

    #[test]
    fn what_was_dropped_still_counts() {
        let mut state = State::default();
        let count = 400;
        for n in 0..count {
            state.apply(&attempt(&format!("http://m{n}.lan"), Outcome::Success, 10));
        }
        let sum = |state: &State| Overview::new(state, true, &Tiers::default(), NOW).local.traffic;
        let before = sum(&state);
        state.prune(NOW);
        assert!(state.mirrors().count() < count);
        assert_eq!(sum(&state), before);
    }
}
