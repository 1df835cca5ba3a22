//! The figures of every mirror, and how each event changes them.
//!
//! Events are [`Delta`]s: they carry their own time, and those of different mirrors can be applied in any
//! order. So processes that run at once can each add theirs to whatever the others have stored.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::cool_down::CoolDown;
use super::event::{Attempt, Delta, FailureKind, Outcome, RATE_MAX};
use super::fading::{Average, Ratio};
use super::key::{FileKey, MirrorKey};
use super::notes::{Notes, Span};
use super::traffic::Forgotten;

/// Mirrors, and repositories, that are remembered at most. More than any list of mirrors has.
pub(super) const MIRRORS_MAX: usize = 300;
/// Longest layout.conf that is remembered, in bytes. Real ones have 38.
pub(super) const LAYOUT_MAX: usize = 4096;
/// Longest repository name that is remembered, in bytes.
const REPOSITORY_NAME_MAX: usize = 255;
/// Longest first-byte time that is told from others, in microseconds: one hour.
const FIRST_BYTE_MAX: u64 = 3_600_000_000;

/// Everything that is known of mirrors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    pub(super) mirrors: BTreeMap<MirrorKey, Mirror>,
    /// By `PORTAGE_REPO_NAME`: how often the mirrors as a whole had a file of that repository.
    pub(super) repositories: BTreeMap<String, Ratio>,
    pub(super) notes: Notes,
    /// The newest ranking of mirrors (`racefetch rank`): those that it took, the best first.
    pub(super) ranking: Option<Dated<Vec<MirrorKey>>>,
    pub(super) forgotten: Forgotten,
}

/// What is known of one mirror. Times are UNIX seconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Mirror {
    /// Requests for a file, whatever came of them.
    pub attempts: u64,
    pub successes: u64,
    pub failures: BTreeMap<FailureKind, u64>,
    /// Bytes that became part of a file.
    pub bytes_kept: u64,
    /// Bytes that were received for nothing.
    pub bytes_wasted: u64,
    /// From the request to the first byte of the answer's content, in microseconds.
    pub first_byte_us: Average,
    pub bytes_per_second: Average,
    /// How often a request succeeds, for [`super::ranking`].
    pub reliability: Ratio,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_success: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<LastFailure>,
    pub cool_down: CoolDown,
    /// The text of the mirror's `distfiles/layout.conf`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layout: Option<Dated<String>>,
    /// The time of the mirror's own copy (its timestamp file), in UNIX seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub freshness: Option<Dated<u64>>,
    /// Connections that the mirror accepts from one client at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_cap: Option<Dated<u64>>,
    /// Requests for ranges fail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_ranges: Option<Dated<bool>>,
}

/// The newest failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastFailure {
    pub kind: FailureKind,
    /// UNIX seconds.
    pub at: u64,
}

/// Something learned, and when, in UNIX seconds. The newest holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dated<T> {
    pub value: T,
    pub at: u64,
}

/// Successes and failures that are assumed beforehand.
const PRIOR_SUCCESSES: f64 = 1.0;
const PRIOR_FAILURES: f64 = 0.05;

/// For how long a layout that was read counts more than a file that is not where it says, in seconds: a new file takes
/// some time to reach all mirrors.
const LAYOUT_SURE: u64 = 3600;

impl State {
    pub fn mirror(&self, mirror: &MirrorKey) -> Option<&Mirror> {
        self.mirrors.get(mirror)
    }

    /// For how many seconds from `now` (UNIX seconds) a mirror should rather not be asked.
    pub fn cool_down_left(&self, mirror: &MirrorKey, now: u64) -> u64 {
        self.mirror(mirror).map_or(0, |known| known.cool_down_left(now))
    }

    pub fn mirrors(&self) -> impl Iterator<Item = (&MirrorKey, &Mirror)> {
        self.mirrors.iter()
    }

    /// The traffic with mirrors that are no longer among [`Self::mirrors`].
    pub fn forgotten(&self) -> &Forgotten {
        &self.forgotten
    }

    /// The newest ranking of mirrors: those that were taken, the best first, and when.
    pub fn ranking(&self) -> Option<&Dated<Vec<MirrorKey>>> {
        self.ranking.as_ref()
    }

    /// Whether the mirror is known to lack that file `now` (UNIX seconds).
    pub fn lacks(&self, mirror: &MirrorKey, file: &FileKey, now: u64) -> bool {
        self.notes.lacks(mirror, file, now)
    }

    /// What the mirror said when it was found to lack that file, if it does `now` (UNIX seconds).
    pub fn answer(&self, mirror: &MirrorKey, file: &FileKey, now: u64) -> Option<&str> {
        self.notes.answer(mirror, file, now)
    }

    /// Whether independent mirrors are known to have the same wrong file `now` (UNIX seconds).
    pub fn wrong_everywhere(&self, file: &FileKey, now: u64) -> bool {
        self.notes.wrong_everywhere(file, now)
    }

    /// The share of that repository's files which the mirrors had, with the number of files that it
    /// stands on as they count `now` (UNIX seconds); none when nothing is known.
    pub fn repository_hits(&self, name: &str, now: u64) -> Option<(f64, f64)> {
        let (hits, misses) = self.repositories.get(name)?.counts(now);
        let files = hits + misses;
        (files > 0.0).then(|| (hits / files, files))
    }

    /// Forgets all that is known of some mirrors, whose keys are returned. Their traffic stays in the sums.
    pub fn forget(&mut self, is_it: impl Fn(&MirrorKey) -> bool) -> Vec<MirrorKey> {
        let gone: Vec<MirrorKey> = self.mirrors.keys().filter(|mirror| is_it(mirror)).cloned().collect();
        for mirror in &gone {
            if let Some(figures) = self.mirrors.remove(mirror) {
                self.forgotten.add(mirror, &figures);
            }
            self.notes.forget(mirror);
        }
        gone
    }

    /// Takes events in, one after another.
    pub fn apply_all(&mut self, deltas: &[Delta]) {
        for delta in deltas {
            self.apply(delta);
        }
    }

    /// Takes an event in.
    pub fn apply(&mut self, delta: &Delta) {
        match delta {
            Delta::Attempt(attempt) => self.at_mirror(&attempt.mirror).record(attempt),
            Delta::Layout { mirror, at, text } if text.len() <= LAYOUT_MAX => {
                renew(&mut self.at_mirror(mirror).layout, text.clone(), *at);
            }
            Delta::LayoutInDoubt { mirror, at } => {
                if let Some(known) = self.mirrors.get_mut(mirror) {
                    let is_sure = |layout: &Dated<String>| layout.at.saturating_add(LAYOUT_SURE) > *at;
                    known.layout = known.layout.take().filter(is_sure);
                }
            }
            Delta::Freshness { mirror, at, timestamp } => {
                renew(&mut self.at_mirror(mirror).freshness, *timestamp, *at);
            }
            Delta::ConnectionCap { mirror, at, connections } => {
                renew(&mut self.at_mirror(mirror).connection_cap, *connections, *at);
            }
            Delta::NoRanges { mirror, at } => renew(&mut self.at_mirror(mirror).no_ranges, true, *at),
            Delta::Lacks { mirror, file, at, lasts, answer } if file.is_possible() => {
                self.notes.add_lacks(mirror, file, Span::new(*at, *lasts), answer);
            }
            Delta::WrongEverywhere { file, at, lasts } if file.is_possible() => {
                self.notes.add_wrong_everywhere(file, Span::new(*at, *lasts));
            }
            Delta::Ranking { at, mirrors } => renew(&mut self.ranking, mirrors.clone(), *at),
            Delta::Repository { name, at, hit } if name.len() <= REPOSITORY_NAME_MAX => {
                self.repositories.entry(name.clone()).or_default().add(*hit, 1.0, *at);
            }
            // A text that is longer than any real one is not remembered.
            Delta::Layout { .. }
            | Delta::Lacks { .. }
            | Delta::WrongEverywhere { .. }
            | Delta::Repository { .. } => {}
        }
    }

    /// Forgets what no longer holds `now` (UNIX seconds), what is too much to keep, and what lies in the
    /// future, as happens when a clock was wrong. To be done before the state is written.
    pub fn prune(&mut self, now: u64) {
        self.mirrors.values_mut().for_each(|mirror| mirror.bound(now));
        for ratio in self.repositories.values_mut() {
            *ratio = ratio.bounded(now);
        }
        self.repositories.retain(|name, _| name.len() <= REPOSITORY_NAME_MAX);
        for (key, mirror) in keep_newest(&mut self.mirrors, Mirror::last_change) {
            self.forgotten.add(&key, &mirror);
        }
        keep_newest(&mut self.repositories, Ratio::at);
        self.notes.prune(now);
        not_after(&mut self.ranking, now);
        self.bound_ranking();
    }

    /// Brings figures of any origin into the ranges in which they can be worked with.
    pub(super) fn bound(&mut self) {
        self.mirrors.values_mut().for_each(|mirror| mirror.bound(u64::MAX));
        for ratio in self.repositories.values_mut() {
            *ratio = ratio.bounded(u64::MAX);
        }
        self.bound_ranking();
    }

    fn bound_ranking(&mut self) {
        if let Some(ranking) = &mut self.ranking {
            ranking.value.truncate(MIRRORS_MAX);
        }
    }

    fn at_mirror(&mut self, mirror: &MirrorKey) -> &mut Mirror {
        self.mirrors.entry(mirror.clone()).or_default()
    }
}

impl Mirror {
    /// How long the mirror should rather not be asked, in seconds from `now` (UNIX seconds).
    pub fn cool_down_left(&self, now: u64) -> u64 {
        self.cool_down.left(now)
    }

    /// The probability that a request succeeds, `now` in UNIX seconds.
    pub fn success_probability(&self, now: u64) -> f64 {
        self.reliability.probability(PRIOR_SUCCESSES, PRIOR_FAILURES, now)
    }

    /// Failures of all kinds together.
    pub fn failures_total(&self) -> u64 {
        self.failures.values().fold(0, |total, count| total.saturating_add(*count))
    }

    fn record(&mut self, attempt: &Attempt) {
        add(&mut self.attempts, 1);
        add(&mut self.bytes_kept, attempt.bytes_kept);
        add(&mut self.bytes_wasted, attempt.bytes_wasted);
        if let Some(first_byte) = attempt.first_byte {
            let us = u64::try_from(first_byte.as_micros()).unwrap_or(u64::MAX).min(FIRST_BYTE_MAX);
            self.first_byte_us.add(us, 1.0, attempt.at);
        }
        if let Some(sample) = attempt.rate {
            self.bytes_per_second.add(sample.bytes_per_second(), sample.weight(), attempt.at);
        }
        match attempt.outcome {
            Outcome::Success => self.record_success(attempt.at),
            Outcome::Failure { kind, retry_after } => self.record_failure(kind, retry_after, attempt.at),
            Outcome::Interrupted => {}
        }
    }

    fn record_success(&mut self, at: u64) {
        add(&mut self.successes, 1);
        self.reliability.add(true, 1.0, at);
        self.last_success = self.last_success.max(Some(at));
        if self.last_failure.is_none_or(|failure| failure.at <= at) {
            self.cool_down = CoolDown::default();
        }
    }

    fn record_failure(&mut self, kind: FailureKind, retry_after: Option<Duration>, at: u64) {
        add(self.failures.entry(kind).or_default(), 1);
        self.reliability.add(false, kind.weight(), at);
        if self.last_failure.is_none_or(|failure| failure.at <= at) {
            self.last_failure = Some(LastFailure { kind, at });
        }
        let recovered_since = self.last_success.is_some_and(|success| success > at);
        if kind.cools_down() && !recovered_since {
            let asked = retry_after.filter(|_| kind.may_say_retry_after());
            self.cool_down.start(asked.map(|time| time.as_secs()), at);
        }
    }

    /// The newest event that left a time, in UNIX seconds.
    fn last_change(&self) -> u64 {
        let failure = self.last_failure.map(|failure| failure.at);
        let layout = self.layout.as_ref().map(|layout| layout.at);
        let measured = Some(self.first_byte_us.at().max(self.bytes_per_second.at()));
        [self.last_success, failure, layout, measured].into_iter().flatten().max().unwrap_or(0)
    }

    fn bound(&mut self, latest: u64) {
        self.first_byte_us = self.first_byte_us.bounded(FIRST_BYTE_MAX, latest);
        self.bytes_per_second = self.bytes_per_second.bounded(RATE_MAX, latest);
        self.reliability = self.reliability.bounded(latest);
        self.last_success = self.last_success.map(|at| at.min(latest));
        if let Some(failure) = &mut self.last_failure {
            failure.at = failure.at.min(latest);
        }
        self.cool_down.bound(latest);
        self.layout = self.layout.take().filter(|layout| layout.value.len() <= LAYOUT_MAX);
        not_after(&mut self.layout, latest);
        not_after(&mut self.freshness, latest);
        not_after(&mut self.connection_cap, latest);
        not_after(&mut self.no_ranges, latest);
    }
}

fn renew<T>(known: &mut Option<Dated<T>>, value: T, at: u64) {
    if known.as_ref().is_none_or(|known| known.at <= at) {
        *known = Some(Dated { value, at });
    }
}

fn not_after<T>(known: &mut Option<Dated<T>>, latest: u64) {
    if let Some(known) = known {
        known.at = known.at.min(latest);
    }
}

/// Drops what changed longest ago, and returns it.
fn keep_newest<K: Ord + Clone, V>(
    entries: &mut BTreeMap<K, V>,
    last_change: impl Fn(&V) -> u64,
) -> Vec<(K, V)> {
    let surplus = entries.len().saturating_sub(MIRRORS_MAX);
    if surplus == 0 {
        return Vec::new();
    }
    let mut by_age: Vec<(u64, K)> =
        entries.iter().map(|(key, value)| (last_change(value), key.clone())).collect();
    by_age.sort_unstable();
    by_age[..surplus].iter().filter_map(|(_, key)| entries.remove_entry(key)).collect()
}

fn add(count: &mut u64, more: u64) {
    *count = count.saturating_add(more);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::arbitrary;
    use super::super::cool_down::{COOL_DOWN_MAX, ROW_GAP_MAX};
    use super::super::event::RateSample;
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn key() -> MirrorKey {
        MirrorKey::new("https://mirror.example/gentoo")
    }

    fn attempt(at: u64, outcome: Outcome) -> Delta {
        Delta::Attempt(Attempt {
            mirror: key(),
            at,
            outcome,
            bytes_kept: 0,
            bytes_wasted: 0,
            first_byte: None,
            rate: None,
        })
    }

    fn failure(at: u64, kind: FailureKind) -> Delta {
        attempt(at, Outcome::Failure { kind, retry_after: None })
    }

    fn refused(at: u64, kind: FailureKind, retry_after: u64) -> Delta {
        attempt(at, Outcome::Failure { kind, retry_after: Some(Duration::from_secs(retry_after)) })
    }

    fn after(deltas: &[Delta]) -> State {
        let mut state = State::default();
        state.apply_all(deltas);
        state
    }

    fn mirror_after(deltas: &[Delta]) -> Mirror {
        after(deltas).mirrors.remove(&key()).unwrap()
    }

    #[test]
    fn an_attempt_is_counted_in_full() {
        let mirror = mirror_after(&[
            Delta::Attempt(Attempt {
                mirror: key(),
                at: NOW,
                outcome: Outcome::Success,
                bytes_kept: 3 << 20,
                bytes_wasted: 10,
                first_byte: Some(Duration::from_millis(40)),
                rate: Some(RateSample { bytes: 3 << 20, duration: Duration::from_secs(3) }),
            }),
            failure(NOW + 1, FailureKind::Stall),
            failure(NOW + 2, FailureKind::NotFound),
            attempt(NOW + 3, Outcome::Interrupted),
        ]);
        assert_eq!((mirror.attempts, mirror.successes, mirror.failures_total()), (4, 1, 2));
        assert_eq!(mirror.failures, BTreeMap::from([(FailureKind::Stall, 1), (FailureKind::NotFound, 1)]));
        assert_eq!((mirror.bytes_kept, mirror.bytes_wasted), (3 << 20, 10));
        assert_eq!(mirror.first_byte_us.mean(), Some(40_000));
        assert_eq!(mirror.bytes_per_second.mean(), Some(1 << 20));
        assert_eq!(mirror.last_success, Some(NOW));
        assert_eq!(mirror.last_failure, Some(LastFailure { kind: FailureKind::NotFound, at: NOW + 2 }));
    }

    #[test]
    fn failures_in_a_row_double_the_cool_down() {
        let mut state = State::default();
        let mut at = NOW;
        let mut lengths = Vec::new();
        for _ in 0..12 {
            state.apply(&failure(at, FailureKind::Connect));
            let left = state.mirror(&key()).unwrap().cool_down_left(at);
            lengths.push(left);
            at += left;
        }
        assert_eq!(lengths, [30, 60, 120, 240, 480, 960, 1920, 3840, 7680, 15_360, 21_600, 21_600]);
    }

    #[test]
    fn failures_of_one_outage_count_once() {
        let many: Vec<Delta> = (0..50).map(|_| failure(NOW, FailureKind::Connect)).collect();
        assert_eq!(mirror_after(&many).cool_down_left(NOW), 30);
    }

    #[test]
    fn rows_end() {
        let row = [failure(NOW, FailureKind::Connect), failure(NOW + 30, FailureKind::Connect)];
        assert_eq!(mirror_after(&row).cool_down_left(NOW + 30), 60);

        let success = attempt(NOW + 31, Outcome::Success);
        let [first, second] = row;
        let row = [first, second, success, failure(NOW + 40, FailureKind::Connect)];
        assert_eq!(mirror_after(&row[..3]).cool_down_left(NOW + 31), 0);
        assert_eq!(mirror_after(&row).cool_down_left(NOW + 40), 30);

        let later = NOW + 30 + 60 + ROW_GAP_MAX + 1;
        let row = [&row[..2], &[failure(later, FailureKind::Connect)]].concat();
        assert_eq!(mirror_after(&row).cool_down_left(later), 30);
    }

    #[test]
    fn what_is_reported_late_changes_nothing_newer() {
        let mirror = mirror_after(&[attempt(NOW, Outcome::Success), failure(NOW - 5, FailureKind::Connect)]);
        assert_eq!(mirror.cool_down_left(NOW - 5), 0);
        let mirror = mirror_after(&[failure(NOW, FailureKind::Connect), attempt(NOW - 5, Outcome::Success)]);
        assert_eq!(mirror.cool_down_left(NOW), 30);
    }

    #[test]
    fn only_what_puts_the_mirror_out_of_order_cools_it_down() {
        for kind in FailureKind::ALL {
            let left = mirror_after(&[failure(NOW, kind)]).cool_down_left(NOW);
            assert_eq!(left, if kind.cools_down() { 30 } else { 0 }, "{kind:?}");
        }
        assert!(!FailureKind::NotFound.cools_down());
    }

    #[test]
    fn retry_after_is_obeyed_within_bounds() {
        for (kind, asked, seconds) in [
            (FailureKind::TooManyRequests, 5, 5),
            (FailureKind::TooManyRequests, 0, 0),
            (FailureKind::ServerError, 3600, 3600),
            (FailureKind::ServerError, u64::MAX, COOL_DOWN_MAX),
            (FailureKind::Forbidden, 5, 30),
            (FailureKind::NotFound, 5, 0),
        ] {
            assert_eq!(mirror_after(&[refused(NOW, kind, asked)]).cool_down_left(NOW), seconds, "{kind:?}");
        }
    }

    #[test]
    fn a_cool_down_of_a_wrong_clock_does_not_count() {
        let mut state = after(&[failure(NOW + 1_000_000_000, FailureKind::Connect)]);
        assert_eq!(state.mirror(&key()).unwrap().cool_down_left(NOW), 0);
        state.prune(NOW);
        let mirror = state.mirror(&key()).unwrap();
        assert_eq!(mirror.cool_down, CoolDown::default());
        assert_eq!(mirror.last_failure, Some(LastFailure { kind: FailureKind::Connect, at: NOW }));
    }

    #[test]
    fn no_cool_down_lasts_longer_because_the_clock_went_back() {
        let mut state = after(&[refused(NOW, FailureKind::ServerError, 3600)]);
        let earlier = NOW - 7200;
        let left = |state: &State, now| state.mirror(&key()).unwrap().cool_down_left(now);
        assert_eq!(left(&state, earlier), 0);
        state.apply(&failure(earlier, FailureKind::Connect));
        assert_eq!((left(&state, earlier), left(&state, earlier + 60)), (30, 0));
    }

    #[test]
    fn a_layout_that_is_in_doubt_is_asked_for_again() {
        let layout = Delta::Layout { mirror: key(), at: NOW, text: "flat".to_owned() };
        let doubt = |at| Delta::LayoutInDoubt { mirror: key(), at };
        assert!(mirror_after(&[layout.clone(), doubt(NOW + LAYOUT_SURE - 1)]).layout.is_some());
        assert!(mirror_after(&[layout, doubt(NOW + LAYOUT_SURE)]).layout.is_none());
        assert!(after(&[doubt(NOW)]).mirror(&key()).is_none(), "nothing is known of it");
    }

    #[test]
    fn the_newest_layout_holds() {
        let layout = |at, text: &str| Delta::Layout { mirror: key(), at, text: text.to_owned() };
        let mirror = mirror_after(&[layout(NOW, "new"), layout(NOW - 1, "old")]);
        assert_eq!(mirror.layout, Some(Dated { value: "new".to_owned(), at: NOW }));

        let html = layout(NOW, &"<p>".repeat(LAYOUT_MAX));
        assert_eq!(after(&[html]), State::default());
    }

    #[test]
    fn pruning_keeps_the_mirrors_in_use() {
        let used = |number: u64| {
            let Delta::Attempt(attempt) = attempt(NOW - number, Outcome::Success) else { unreachable!() };
            Delta::Attempt(Attempt {
                mirror: MirrorKey::new(&format!("http://m{number}.example")),
                ..attempt
            })
        };
        let mut state = after(&(0..1000).map(used).collect::<Vec<_>>());
        state.prune(NOW);
        assert_eq!(state.mirrors.len(), MIRRORS_MAX);
        assert!(state.mirrors.values().all(|m| m.last_success > Some(NOW - MIRRORS_MAX as u64)));
        let forgotten = &state.forgotten().public;
        let dropped = 1000 - MIRRORS_MAX as u64;
        assert_eq!((forgotten.attempts, forgotten.successes), (dropped, dropped), "but their requests are");
    }

    #[test]
    fn a_repository_has_a_hit_rate() {
        let file = |hit, at| Delta::Repository { name: "guru".to_owned(), at, hit };
        let state = after(&[file(true, NOW), file(false, NOW), file(false, NOW), file(false, NOW)]);
        let (rate, files) = state.repository_hits("guru", NOW).unwrap();
        assert!((rate - 0.25).abs() < 1e-6 && (files - 4.0).abs() < 1e-6);
        assert_eq!(state.repository_hits("gentoo", NOW), None);
    }

    proptest! {
        #[test]
        fn any_events_leave_sound_figures(
            deltas in prop::collection::vec(arbitrary::delta(), 0..60), now in arbitrary::time()
        ) {
            let mut state = after(&deltas);
            let before = state.clone();
            state.bound();
            prop_assert_eq!(&state, &before, "events keep to the ranges");

            state.prune(now);
            for (_, mirror) in state.mirrors() {
                prop_assert!(mirror.cool_down_left(now) <= COOL_DOWN_MAX);
                prop_assert!(mirror.successes.saturating_add(mirror.failures_total()) <= mirror.attempts);
                prop_assert!(mirror.last_change() <= now);
            }
            let pruned = state.clone();
            state.prune(now);
            prop_assert_eq!(state, pruned, "what is pruned is pruned");
        }

        /// Moves each event before all events of mirrors with a greater key; among those of one mirror,
        /// and among those of no mirror, the order stays.
        #[test]
        fn the_order_of_events_of_different_mirrors_does_not_matter(
            deltas in prop::collection::vec(arbitrary::delta(), 0..60)
        ) {
            let mut sorted = deltas.clone();
            sorted.sort_by_key(|delta| arbitrary::mirror_of(delta).cloned());
            prop_assert_eq!(after(&sorted), after(&deltas));
        }
    }
}
