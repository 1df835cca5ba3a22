//! How much a source is asked for: its fair share of what is left, so that all end together after few requests.
//!
//! Rates are known only after a while, and change. So a source of unknown rate claims what would be its share if all
//! were equal; one of known rate claims most of its fair share, then all of it. What turns out to have been claimed by
//! a source that is too slow goes to one that is idle.

use super::outlook::{Worker, common_finish};
use super::source::{Source, State};
use super::{Scheduler, SourceId, Time};
use crate::http::ByteRange;

/// For every so many bytes one more source is asked, and asked for so many before the size is known.
pub(crate) const PER_SOURCE: u64 = 1024 * 1024;
/// With so many seconds to go, another source is asked however small the file is.
const TOO_LONG: f64 = 1.0;
/// A tier that is slower than this, in bytes per second, has failed; nobody of whom nothing is known is thought to be
/// slower.
pub(super) const CRAWL: f64 = 100_000.0;
/// Claim of a source while rates are unknown, at least, in bytes.
const LEAST_FIRST_CLAIM: u64 = 128 * 1024;
/// The smallest claim that pays for a request, in bytes.
const LEAST_CLAIM: u64 = 64 * 1024;
/// The part of its fair share that a source claims at once, so that there is something left to correct with.
const FRACTION: f64 = 0.75;
/// A part that lasts less than so many gaps is not worth it: then all of the share is claimed. So a fiftieth of
/// the time is lost between requests at most. (The gap is the time from a request to its first byte.)
const PAYS: f64 = 50.0;
/// The same while TCP's slow start hides somebody's rate: there will be more to correct.
const PAYS_EARLY: f64 = 10.0;
/// No gap counts as less than so many seconds.
const LEAST_GAP: f64 = 0.01;
/// A range that lasts so many gaps is claimed in its turn, a smaller one only when there is no larger one.
const FRAGMENT: f64 = 5.0;
/// A claim lasts at most so many seconds: the rate will not be the same for ever.
const LONGEST_CLAIM: f64 = 20.0;
/// A source whose rate is less than this part of another's is far slower than that one. It claims from the end of the
/// file: so the beginning, which alone can be verified as it grows, is complete early.
const SLOW: f64 = 0.6;
/// A source that is far slower than an idle one is relieved of its claim when that would last longer than this part
/// of the time that all need together.
const HELD_UP: f64 = 0.8;
/// It is relieved only when the new connection that it then needs takes less than this part of that time.
const RESTART: f64 = 0.2;
/// What queues in the network hold, in seconds of a source's rate: it is lost when a connection is cut.
const QUEUE: f64 = 0.1;
/// Part of the file that may be lost by cutting connections for each second that is gained.
const WASTE_ALLOWED: f64 = 0.04;
/// Part of the file that may be lost for a source whose rate is a guess.
const MOST_FOR_A_GUESS: f64 = 0.01;
/// Seconds that must be gained to change anything.
const LEAST_GAIN: f64 = 0.05;

impl Scheduler {
    /// Claims for an idle source; none when others will have done everything before it could help.
    pub(super) fn fair_share(&mut self, id: SourceId, now: Time) -> Option<ByteRange> {
        let source = &self.sources[id];
        let (gap, start) = (source.gap(), source.start(now));
        let (known, tier) = (source.rate(now), source.expectation.tier);
        let average = self.average_rate(now);
        if known.is_none() && average.is_none() {
            let front = self.todo.first()?;
            return Some(ByteRange::new(front.first, front.first + self.first_claim(id).min(front.len())));
        }
        let assumed = self.promise(now);
        let rate = known.unwrap_or(assumed);
        let (mut workers, left) = self.outlook(assumed, now);
        let at_work = !workers.is_empty();
        workers.push(Worker { free: 0.0, gap: start, rate });
        let next: Vec<&Source> = self
            .idle(tier, now)
            .into_iter()
            .filter(|other| *other != id)
            .map(|other| &self.sources[other])
            .filter(|s| !s.sequential && !s.silent)
            .take(self.hands(id).saturating_sub(workers.len()))
            .collect();
        workers.extend(next.iter().map(|s| Worker {
            free: 0.0,
            gap: s.start(now),
            rate: s.rate_or(assumed, now),
        }));
        let finish = common_finish(&workers, left);

        let share = rate * (finish - start);
        let active = self.sources.iter().filter(|s| s.is_active() && !s.is_overdue(now));
        let pays = if active.clone().all(|s| s.is_settled(now)) { PAYS } else { PAYS_EARLY };
        let in_part = workers.len() > 1 && share * FRACTION > rate * gap.max(LEAST_GAP) * pays;
        let mut claim = whole(if in_part { share * FRACTION } else { share }.min(rate * LONGEST_CLAIM));
        if known.is_none() {
            claim = claim.min(self.first_claim(id));
        }
        // Somebody has to begin.
        let least = if at_work { LEAST_CLAIM } else { 0 };
        let slow = self.fastest(id, now).is_some_and(|fastest| rate < fastest * SLOW);
        let free = self.place(claim, least, whole(rate * gap), slow);
        if free.is_some_and(|free| free.len() >= claim) {
            return free;
        }
        // Nobody is cut short for a small gain; for one that may be slow itself only when it costs little.
        let most_cut = if known.is_some() { 1.0 } else { MOST_FOR_A_GUESS };
        let least_gain = if known.is_some() && claim >= least { gap.max(LEAST_GAIN) } else { TOO_LONG };
        let thief = Thief { gap, rate: known, slow, finish, least_gain, most_cut, assumed };
        match self.best_tail(id, &thief, now) {
            Some((victim, tail)) if tail.range.len() > free.map_or(0, ByteRange::len) => {
                Some(self.take_over(victim, &tail, claim, whole(rate * gap)))
            }
            _ => free,
        }
    }

    /// Whether those at work, as far as it can be told, need longer than anybody should wait.
    pub(super) fn takes_long(&self, now: Time) -> bool {
        let mut active = self.sources.iter().filter(|s| s.is_active() && !s.is_overdue(now));
        let (workers, left) = self.outlook(0.0, now);
        active.all(|s| s.is_settled(now) && !self.pauses(s, now)) && common_finish(&workers, left) > TOO_LONG
    }

    /// How many should share what is left with a source: small files are not worth many requests, and those of
    /// other tiers wait.
    pub(super) fn hands(&self, id: SourceId) -> usize {
        let tier = self.tier(id);
        let usable = self.usable(|other| other <= tier);
        let worth = 1 + self.missing() / PER_SOURCE;
        usable.min(self.parallel).min(usize::try_from(worth).unwrap_or(usize::MAX))
    }

    /// How many sources of these tiers may be asked and answer, as far as anybody knows.
    fn usable(&self, is_tier: impl Fn(u8) -> bool) -> usize {
        let ids = (0..self.sources.len()).filter(|id| is_tier(self.tier(*id)));
        ids.map(|id| &self.sources[id]).filter(|source| !source.is_out() && !source.silent).count()
    }

    /// Bytes per second that are expected of a source of unknown rate.
    pub(super) fn promise(&self, now: Time) -> f64 {
        self.average_rate(now).unwrap_or(0.0).max(CRAWL)
    }

    /// Bytes per second of those at work, on average.
    pub(super) fn average_rate(&self, now: Time) -> Option<f64> {
        let at_work = self.sources.iter().filter(|s| s.is_active() && !s.is_overdue(now));
        let rates: Vec<f64> = at_work.filter_map(|s| s.rate(now)).collect();
        (!rates.is_empty()).then(|| rates.iter().sum::<f64>() / rates.len() as f64)
    }

    /// Bytes per second of the fastest of the others at work.
    fn fastest(&self, id: SourceId, now: Time) -> Option<f64> {
        let others = self.sources.iter().enumerate().filter(|(other, s)| *other != id && s.is_active());
        others.filter_map(|(_, s)| s.rate(now).filter(|_| !s.is_overdue(now))).reduce(f64::max)
    }

    /// Position of the first byte that is missing.
    fn front(&self) -> Option<u64> {
        let claims = self.sources.iter().filter_map(Source::claim).filter(|claim| !claim.is_empty());
        claims.chain(self.todo.first()).map(|range| range.first).min()
    }

    /// Finds a place for a claim of that many bytes, or of fewer, but not of fewer than `least`. `gap` is what
    /// could be sent in the time that a request costs.
    fn place(&self, claim: u64, least: u64, gap: u64, from_the_end: bool) -> Option<ByteRange> {
        let fits = |range: &ByteRange| range.len() >= claim.min(whole(gap as f64 * FRAGMENT));
        let mut fitting = self.todo.iter().filter(fits);
        let fitting = if from_the_end { fitting.last() } else { fitting.next() };
        let range = fitting.or_else(|| self.todo.iter().max_by_key(|range| range.len()))?;
        if claim < least.min(range.len() / 2) {
            return None;
        }
        let claim = claim.max(LEAST_CLAIM);
        // A small rest that is not worth a request of its own goes along.
        if range.len().saturating_sub(claim) <= gap.min(claim / 2) {
            return Some(range);
        }
        Some(if from_the_end {
            ByteRange { first: range.end - claim, ..range }
        } else {
            ByteRange { end: range.first + claim, ..range }
        })
    }

    /// Bytes that are still to come.
    fn missing(&self) -> u64 {
        self.todo.len() + self.sources.iter().filter_map(Source::claim).map(ByteRange::len).sum::<u64>()
    }

    /// Bytes that a source of unknown rate is asked for: its share if all were equal, for a further request costs more
    /// than to be relieved of a part. The share of those who wait in other tiers stays free: it is what the others
    /// are corrected with when their rates are known. Who is alone in its tier needs no correction.
    fn first_claim(&self, id: SourceId) -> u64 {
        let (tier, hands) = (self.tier(id), self.hands(id));
        let waiting = self.usable(|other| other > tier);
        let shares = if hands <= 1 { 1 } else { (hands + waiting).min(self.parallel) };
        self.missing().div_ceil(shares as u64).max(LEAST_FIRST_CLAIM)
    }

    /// Those at work, and the bytes that nobody has or that those who have them do not send. A source of unknown
    /// rate counts as one of `assumed` bytes per second, and so does one that is too young to be called slow.
    fn outlook(&self, assumed: f64, now: Time) -> (Vec<Worker>, f64) {
        let mut left = self.todo.len() as f64;
        let mut workers = Vec::new();
        for source in &self.sources {
            let Some(claim) = source.claim() else { continue };
            let (claimed, rate) = (claim.len() as f64, source.rate_or(assumed, now));
            if rate < 1.0 || source.is_overdue(now) {
                left += claimed;
            } else {
                workers.push(Worker { free: source.delay(now) + claimed / rate, gap: source.gap(), rate });
            }
        }
        (workers, left)
    }

    /// Whose claim an idle source should relieve, and of what: of the beginning of the file when somebody far slower
    /// holds it up; else of the tail that would be the latest.
    fn best_tail(&self, id: SourceId, thief: &Thief, now: Time) -> Option<(SourceId, Tail)> {
        let victims = (0..self.sources.len()).filter(|victim| *victim != id);
        let tails: Vec<_> =
            victims.filter_map(|victim| Some((victim, self.late_tail(victim, thief, now)?))).collect();
        let position = |(_, tail): &&(SourceId, Tail)| tail.range.first;
        let chosen = if thief.slow {
            tails.iter().max_by_key(position)
        } else {
            let latest = || tails.iter().max_by(|(_, a), (_, b)| a.gain.total_cmp(&b.gain));
            tails.iter().filter(|(_, tail)| tail.all).min_by_key(position).or_else(latest)
        };
        chosen.copied()
    }

    /// What a source has claimed and would deliver too late, if taking it over is worth what it costs.
    fn late_tail(&self, victim: SourceId, thief: &Thief, now: Time) -> Option<Tail> {
        let source = &self.sources[victim];
        let claim = source.claim().filter(|claim| !claim.is_empty())?;
        if self.pauses(source, now) {
            return None;
        }
        let rate = source.best_rate(claim.len(), thief.assumed, now);
        let left = source.delay(now) + claim.len() as f64 / rate.max(1.0);
        // Who is far slower goes on at the end of the file, if a new connection for that costs little.
        let all = source.is_settled(now)
            && thief.rate.is_some_and(|thief| rate < thief * SLOW)
            && source.restart(now) < thief.finish * RESTART;
        let holds_up = all && Some(claim.first) == self.front();
        let in_time = if holds_up { thief.finish * HELD_UP } else { thief.finish };
        // One that is cut needs a new connection before it can help with the rest.
        let gain = left - in_time - thief.least_gain.max(2.0 * source.gap());
        if gain < 0.0 {
            return None;
        }
        if let State::Opening { .. } = source.state {
            return source.is_late(now).then_some(Tail { range: claim, gain, cut: 0.0, all: true });
        }
        let keeps = rate * if all { thief.gap + LEAST_GAIN } else { thief.finish };
        let range = ByteRange { first: claim.end.min(claim.first.saturating_add(whole(keeps))), ..claim };
        let in_flight = source.rate(now).unwrap_or(thief.assumed) * (source.gap() + QUEUE);
        let cut = if source.will_be_cut() { 0.0 } else { in_flight.min(range.len() as f64) };
        let allowed = self.size.unwrap_or(0) as f64 * thief.most_cut.min(WASTE_ALLOWED * gain);
        (cut == 0.0 || self.cut + cut <= allowed).then_some(Tail { range, gain, cut, all })
    }

    /// Frees what `victim` is relieved of. Returns it, or a part of that many bytes.
    fn take_over(&mut self, victim: SourceId, tail: &Tail, most: u64, gap: u64) -> ByteRange {
        let Tail { range, all, .. } = *tail;
        let most = most.max(LEAST_CLAIM);
        // A small rest that is not worth a request of its own goes along.
        let most = if range.len().saturating_sub(most) <= gap { range.len() } else { most };
        if let State::Opening { .. } = self.sources[victim].state {
            self.unclaim(victim);
            return ByteRange { end: range.first + most, ..range };
        }
        // No more is freed than is taken, unless the victim is of more use elsewhere.
        let first = if all { range.first } else { range.end - most };
        self.cut += tail.cut;
        self.shorten(victim, first);
        ByteRange::new(first, first + most)
    }
}

/// An idle source that could take over what another one has claimed.
struct Thief {
    /// Seconds until its first byte.
    gap: f64,
    /// Its bytes per second, when known.
    rate: Option<f64>,
    /// It is far slower than others.
    slow: bool,
    /// In how many seconds all would be done if what is left were divided fairly.
    finish: f64,
    /// Seconds that must be gained.
    least_gain: f64,
    /// Part of the file that may be lost.
    most_cut: f64,
    /// Bytes per second of others whose rate is unknown.
    assumed: f64,
}

/// What a source will not deliver in time.
#[derive(Clone, Copy)]
struct Tail {
    range: ByteRange,
    /// Seconds that are gained by taking it over.
    gain: f64,
    /// Bytes that are lost by it.
    cut: f64,
    /// It is all that the source has claimed, but for what comes while it is taken over.
    all: bool,
}

/// Whole bytes; none of what is negative or no number.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, as it should"
)]
pub(crate) fn whole(bytes: f64) -> u64 {
    bytes as u64
}
