//! Which source sends which bytes: a state machine without I/O, clock or threads.
//!
//! It is told what happened and when ([`Scheduler::opened`], [`Scheduler::received`], …) and answers with
//! [`Action`]s. Every byte of the file is in exactly one place: present, claimed by one source, or in `todo`.
//! Everything that goes wrong comes down to one move: a claim, or its tail, goes back to `todo` or to another
//! source, which happens when that source would bring it earlier.

#[allow(unreachable_pub, reason = "the scheduler alone sees it")]
mod outlook;
mod plainly;
pub(super) mod sharing;
mod silence;
mod size;
#[allow(unreachable_pub, reason = "the scheduler alone sees it")]
mod source;

use std::time::Duration;

use super::segments::Segments;
use crate::http::{ByteRange, Failure};
use crate::patience::PULSE;
pub use plainly::Manner;
use sharing::PER_SOURCE;
pub(super) use source::PROGRESS;
use source::{Source, State};

/// A point on the transfer's clock: the time since it began.
pub type Time = Duration;

/// Index of a source in [`Plan::sources`].
pub type SourceId = usize;

/// What is expected of a source before it is asked.
#[derive(Clone, Debug, Default)]
pub struct Expectation {
    /// Time until the first byte of an answer over a new connection.
    pub first_byte: Option<Duration>,
    /// Bytes per second.
    pub rate: Option<f64>,
    /// Sources of a higher tier are only asked when no lower one delivers.
    pub tier: u8,
    /// One of several that ought to have the same files: what [`ENOUGH_LACK`] of them lack, the others will hardly
    /// have, and are asked last.
    pub mirror: bool,
    /// It is known to need [`Manner::Plain`].
    pub plain: bool,
}

/// See [`Expectation::mirror`].
pub const ENOUGH_LACK: usize = 2;

#[derive(Clone, Debug)]
pub struct Plan {
    /// Size of the file in bytes; learned from the first answer when absent.
    pub size: Option<u64>,
    /// What is there already.
    pub present: Segments,
    /// The best source first.
    pub sources: Vec<Expectation>,
    /// How many sources may be at work at once.
    pub parallel: usize,
    /// How often a source that is out of order is asked again (curl's `--retry`).
    pub retries: u32,
    /// How long it may be that no source gives a sign of life.
    pub silence: Duration,
}

/// What is to be done now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Ask `source` for `range`; an end of `u64::MAX` means: up to the end of the file.
    Open { source: SourceId, range: ByteRange, manner: Manner },
    /// Another source sends what lies behind `end`: stop there, and drop the connection if its content goes on.
    /// An answer that is longer than what was asked for, but was not shortened, is read until it is closed.
    Shorten { source: SourceId, end: u64 },
    /// What this source sends is not wanted any longer.
    Close { source: SourceId },
}

/// An answer that was judged usable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Position of the first byte that will be delivered.
    pub first_pos: u64,
    /// Where the content ends, when known.
    pub content_end: Option<u64>,
    /// Size of the whole file, when the answer says so.
    pub complete_length: Option<u64>,
    /// Whether a connection was used again.
    pub reused: bool,
}

/// "While others deliver": something came from somebody within this time.
const LIVELY: Duration = Duration::from_millis(600);
/// A silence of less is a matter of how content comes in lumps.
const PAUSE: Duration = Duration::from_millis(100);
/// A source slower than this part of what another one promises is not counted as being at work.
const HOPELESS: f64 = 0.2;

#[derive(Clone, Debug)]
pub struct Scheduler {
    size: Option<u64>,
    /// Nobody had to be asked for it.
    size_given: bool,
    /// What is neither present nor claimed.
    todo: Segments,
    sources: Vec<Source>,
    parallel: usize,
    retries: u32,
    silence: Duration,
    /// How many other transfers share the link.
    beside: usize,
    /// When something came from somebody last.
    last_arrival: Time,
    /// When a source last showed that it can be reached; when the first of those at work was asked.
    last_sign: Time,
    ticked: Time,
    /// The last hope was tried.
    asked_plainly: bool,
    /// Bytes given up by cutting connections, estimated.
    cut: f64,
    actions: Vec<Action>,
}

impl Scheduler {
    pub fn new(plan: Plan) -> Self {
        let whole = ByteRange::new(0, plan.size.unwrap_or(u64::MAX));
        Self {
            size: plan.size,
            size_given: plan.size.is_some(),
            todo: plan.present.gaps(whole),
            sources: plan.sources.into_iter().map(Source::new).collect(),
            parallel: plan.parallel.max(1),
            retries: plan.retries,
            silence: plan.silence,
            beside: 0,
            last_arrival: Time::ZERO,
            last_sign: Time::ZERO,
            ticked: Time::ZERO,
            asked_plainly: false,
            cut: 0.0,
            actions: Vec::new(),
        }
    }

    /// Begins another round for the same file, of which other bytes are `present` now: what was known of the sources
    /// still is. Those that `takes_part` refuses are not asked in it.
    pub fn again(
        &mut self,
        size: Option<u64>,
        present: &Segments,
        takes_part: impl Fn(SourceId) -> bool,
        now: Time,
    ) {
        self.size = size;
        self.todo = present.gaps(ByteRange::new(0, size.unwrap_or(u64::MAX)));
        self.cut = 0.0;
        (self.last_arrival, self.last_sign) = (now, now);
        for id in 0..self.sources.len() {
            if self.sources[id].is_active() {
                self.sources[id].finish(State::Idle, false, now);
                self.actions.push(Action::Close { source: id });
            }
            self.sources[id].begin_round(!takes_part(id), self.size_given, now);
        }
        if self.is_stuck() {
            self.sources.iter_mut().for_each(Source::second_chance);
        }
    }

    // What happened.

    /// A source that was asked has made its connection, so long after it was asked: a round trip.
    pub fn connected(&mut self, id: SourceId, round_trip: Duration) {
        if let State::Opening { .. } = self.sources[id].state {
            self.sources[id].round_trip = Some(round_trip);
        }
    }

    /// The answer of a source is there; its content follows.
    pub fn opened(&mut self, id: SourceId, opened: Opened, now: Time) {
        let State::Opening { since, asked, .. } = self.sources[id].state else { return };
        self.last_sign = now;
        if let Some(total) = opened.complete_length {
            self.sources[id].said_size = Some(total);
            self.learn_size(total);
            if let Some(expected) = self.size.filter(|size| *size != total)
                && self.who_says(total).len() <= self.who_says(expected).len()
            {
                self.actions.push(Action::Close { source: id });
                self.fail(id, Failure::WrongSize { expected, got: total }, now);
                return self.schedule(now);
            }
        }
        self.sources[id].answered(now.saturating_sub(since), opened.reused, now);
        let claim = match self.sources[id].claim() {
            _ if opened.first_pos != asked.first => None,
            Some(claim) => Some(claim),
            // It was late, and its claim was given up.
            None => self.reclaim(id, asked),
        };
        match claim {
            Some(claim) => {
                let content_end = opened.content_end;
                // Content that ends before what was asked for does so with a word.
                let mut stop = content_end.map_or(u64::MAX, |end| end.max(asked.end));
                let end = content_end.unwrap_or(u64::MAX).min(self.size.unwrap_or(u64::MAX));
                if claim.end < asked.end.min(end) {
                    stop = claim.end;
                    self.actions.push(Action::Shorten { source: id, end: stop });
                }
                let first_pos = opened.first_pos;
                self.sources[id].state =
                    State::Receiving { claim, content_end, first_pos, stop, since: now, last: now };
            }
            None => self.close(id, now),
        }
        self.schedule(now);
    }

    /// Content came from a source. Returns where its bytes belong; what is beyond that range's length is not
    /// wanted any longer.
    pub fn received(&mut self, id: SourceId, len: u64, now: Time) -> Option<ByteRange> {
        (self.last_arrival, self.last_sign) = (now, now);
        if self.sources[id].claim().is_some_and(|claim| claim.len() <= len) {
            self.extend(id, now);
        }
        let State::Receiving { claim, content_end, last, stop, .. } = &mut self.sources[id].state else {
            return None;
        };
        *last = now;
        let kept = ByteRange::new(claim.first, claim.first + len.min(claim.len()));
        claim.first = kept.end;
        let (claim, whole, stops) = (*claim, *content_end == Some(claim.end), *stop == claim.end);
        self.sources[id].delivered(kept.len(), now);
        if claim.is_empty() {
            if !whole && !stops {
                self.actions.push(Action::Close { source: id });
            }
            if kept.is_empty() {
                self.sources[id].lose(now);
            } else {
                self.sources[id].finish(State::Idle, whole, now);
            }
            self.schedule(now);
        }
        if now >= self.ticked + PULSE {
            // Who listens to those who deliver may find no time to call it.
            self.tick(now);
        }
        Some(kept)
    }

    /// The content of a source came to its end, earlier than asked for but in good order.
    pub fn ended(&mut self, id: SourceId, now: Time) {
        let State::Receiving { claim, content_end, first_pos, .. } = self.sources[id].state else { return };
        if self.size.is_none() && content_end.is_none() {
            self.sources[id].said_size = Some(claim.first);
            self.learn_size(claim.first);
            self.sources[id].finish(State::Idle, false, now);
        } else if claim.first - first_pos < PROGRESS && self.size.is_none_or(|size| claim.first < size) {
            // As little as that may come of every further request, too.
            self.fail(id, Failure::Truncated, now);
        } else {
            self.release(claim);
            self.sources[id].finish(State::Idle, content_end.is_some(), now);
        }
        self.schedule(now);
    }

    pub fn failed(&mut self, id: SourceId, failure: Failure, now: Time) {
        if failure.is_an_answer() {
            self.last_sign = now;
        } else if now.saturating_sub(self.last_sign) >= self.silence && !self.is_alone() {
            // Nobody can be reached: that says nothing of this one.
            if let Some(claim) = self.sources[id].claim() {
                self.release(claim);
            }
            self.sources[id].lose(now);
            return self.schedule(now);
        }
        self.fail(id, failure, now);
        self.schedule(now);
    }

    /// A source wants to be left alone until then, as others have heard. What it sends now it may go on to send.
    pub fn rest(&mut self, id: SourceId, until: Time) {
        let source = &mut self.sources[id];
        source.rest_until = source.rest_until.max(Some(until));
    }

    /// Time went by.
    pub fn tick(&mut self, now: Time) {
        self.ticked = now;
        self.expire(now);
        self.schedule(now);
    }

    // What follows from it.

    pub fn take_actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    /// When [`Self::tick`] is to be called at the latest.
    pub fn wake(&self, now: Time) -> Time {
        let rested = self.sources.iter().filter_map(|s| match s.state {
            State::Resting { until } => Some(until.max(now)),
            _ => None,
        });
        rested.fold((self.ticked + PULSE).max(now), Time::min)
    }

    /// Size of the file, given or learned.
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// Every byte is there.
    pub fn is_complete(&self) -> bool {
        let claimed = self.sources.iter().any(|s| s.claim().is_some_and(|c| !c.is_empty()));
        self.size.is_some() && self.todo.is_empty() && !claimed
    }

    /// No source is left that could be asked.
    pub fn is_stuck(&self) -> bool {
        !self.is_complete() && self.sources.iter().all(Source::is_out)
    }

    /// Whether a source may be asked, and answers as far as anybody knows.
    pub fn is_alive(&self, id: SourceId) -> bool {
        self.sources[id].is_alive()
    }

    /// The last failure of a source, if it had one.
    pub fn failure(&self, id: SourceId) -> Option<&Failure> {
        self.sources[id].failure.as_ref()
    }

    /// Bytes per second of a source that is sending; none of one that is not.
    pub fn rate(&self, id: SourceId, now: Time) -> Option<f64> {
        let source = &self.sources[id];
        source.is_active().then(|| source.meter.rate(now).unwrap_or(0.0))
    }

    // How claims come and go.

    /// Gives up what a source had claimed.
    fn release(&mut self, claim: ByteRange) {
        let end = claim.end.min(self.size.unwrap_or(u64::MAX));
        if claim.first < end {
            self.todo.insert(ByteRange { first: claim.first, end });
        }
    }

    fn close(&mut self, id: SourceId, now: Time) {
        self.sources[id].silent |= self.sources[id].is_overdue(now);
        if let Some(claim) = self.sources[id].claim() {
            self.release(claim);
        }
        self.sources[id].lose(now);
        self.actions.push(Action::Close { source: id });
    }

    /// Where a claim ends, but neither the content nor what is to be done, no new request is needed.
    fn extend(&mut self, id: SourceId, now: Time) {
        self.unclaim_overdue(now);
        let State::Receiving { claim, stop, .. } = self.sources[id].state else { return };
        let beyond = ByteRange { first: claim.end, end: stop.max(claim.end) };
        // One whose claim is empty lost it because nothing came.
        let more = if claim.is_empty() { self.reclaim(id, beyond) } else { self.take_free(beyond) };
        if let (Some(more), State::Receiving { claim, .. }) = (more, &mut self.sources[id].state) {
            claim.end = more.end;
        }
    }

    /// What of `wanted`, from its first byte on, nobody has.
    fn take_free(&mut self, wanted: ByteRange) -> Option<ByteRange> {
        let free = self.todo.range_at(wanted.first)?.intersection(wanted)?;
        self.todo.remove(free);
        Some(free)
    }

    /// The same, or what somebody has who never sent a byte.
    fn reclaim(&mut self, id: SourceId, wanted: ByteRange) -> Option<ByteRange> {
        if let Some(free) = self.take_free(wanted) {
            return Some(free);
        }
        let rivals = self.sources.iter_mut().enumerate().filter(|(_, source)| source.is_new());
        let rival = rivals.into_iter().find_map(|(other, source)| match &mut source.state {
            State::Opening { claim, .. } if other != id && claim.is_some_and(|c| c.first == wanted.first) => {
                Some(claim)
            }
            _ => None,
        });
        let taken = rival?.take()?;
        let kept = taken.intersection(wanted)?;
        self.release(ByteRange { first: kept.end, end: taken.end });
        Some(kept)
    }

    fn fail(&mut self, id: SourceId, failure: Failure, now: Time) {
        if let Failure::RangeNotSatisfiable { complete_length: Some(total) } = failure {
            self.sources[id].said_size = Some(total);
        }
        let asked = match self.sources[id].state {
            State::Opening { asked, .. } => Some(asked),
            _ => None,
        };
        if let Some(claim) = self.sources[id].claim() {
            self.release(claim);
        }
        if let Failure::RangeNotSatisfiable { complete_length: Some(total) } = failure
            && asked.is_some_and(|asked| asked.first >= total)
            && self.size.is_none_or(|size| size == total)
        {
            // It was asked beyond the end before the end was known.
            self.learn_size(total);
            self.sources[id].finish(State::Idle, true, now);
            return;
        }
        self.sources[id].fail(failure, self.retries, now);
    }

    // Who is asked.

    /// Gives work to those who have none, one tier after another.
    fn schedule(&mut self, now: Time) {
        if self.is_complete() {
            self.expire(now);
            for id in 0..self.sources.len() {
                if self.sources[id].is_active() {
                    self.close(id, now);
                }
            }
            return;
        }
        let mut tiers: Vec<u8> = (0..self.sources.len()).map(|id| self.tier(id)).collect();
        tiers.sort_unstable();
        tiers.dedup();
        for tier in tiers {
            for id in self.idle(tier, now) {
                if self.may_ask(id, now)
                    && let Some(claim) = self.work_for(id, now)
                {
                    self.open(id, claim, now);
                }
            }
            if self.delivers(tier, now) {
                return;
            }
        }
    }

    fn open(&mut self, id: SourceId, claim: ByteRange, now: Time) {
        let manner = self.manner(id, claim);
        if !self.sources.iter().any(Source::is_active) {
            self.last_sign = now;
        }
        self.sources[id].state = State::Opening { since: now, claim: Some(claim), asked: claim };
        self.actions.push(Action::Open { source: id, range: claim, manner });
    }

    /// Those who may be asked, in the order in which they shall be: with a connection first, then the better
    /// ones; those who failed or proved hopeless last.
    fn idle(&self, tier: u8, now: Time) -> Vec<SourceId> {
        let average = self.average_rate(now).unwrap_or(0.0);
        let mut idle: Vec<SourceId> = (0..self.sources.len())
            .filter(|id| self.sources[*id].is_idle(now))
            .filter(|id| self.tier(*id) == tier)
            .collect();
        idle.sort_by_key(|id| {
            let source = &self.sources[*id];
            let hopeless = source.rate(now).is_some_and(|rate| rate < average * HOPELESS);
            (source.silent, hopeless || source.failure.is_some(), !source.warm)
        });
        idle
    }

    /// The tier of a source. A mirror that was not asked yet waits until all others have been, when enough of its
    /// kind lack the file and none has it.
    pub(super) fn tier(&self, id: SourceId) -> u8 {
        let source = &self.sources[id];
        let mirrors = || self.sources.iter().filter(|source| source.expectation.mirror);
        let waits = source.expectation.mirror
            && matches!(source.state, State::Idle)
            && source.is_new()
            && mirrors().all(Source::is_new)
            && mirrors().filter(|source| source.lacks_it()).count() >= ENOUGH_LACK;
        if waits { u8::MAX } else { source.expectation.tier }
    }

    /// Whether one more source should be at work, and whether it may be this one.
    fn may_ask(&self, id: SourceId, now: Time) -> bool {
        let least = self.sources[id].rate(now).unwrap_or(self.promise(now)) * HOPELESS;
        let slow = |s: &Source| {
            s.is_settled(now) && s.rate(now).is_some_and(|rate| rate < least) && !self.pauses(s, now)
        };
        let working = |s: &&Source| match s.state {
            State::Opening { .. } => !s.is_overdue(now),
            State::Receiving { .. } => !s.is_overdue(now) && !slow(s),
            State::Idle | State::Resting { .. } | State::Out => false,
        };
        let busy = self.sources.iter().filter(working).count();
        // Each that is asked plainly sends the whole file.
        let one_by_one = self.sources[id].silent || self.sources[id].plain;
        if busy >= self.parallel || busy > 0 && one_by_one {
            return false;
        }
        if busy == 0 || !self.sources[id].is_new() {
            return true;
        }
        // In place of those who are of no use others are asked one by one: it may be the link that is slow.
        let active = self.sources.iter().filter(|s| s.is_active()).count();
        let hedged =
            self.sources.iter().any(|s| matches!(s.state, State::Opening { .. }) && !s.is_overdue(now));
        if active >= self.parallel && active > busy && hedged {
            return false;
        }
        if self.size.is_none() {
            return true;
        }
        busy < self.hands(id) || self.takes_long(now)
    }

    // What it is asked for.

    /// Claims something for an idle source.
    fn work_for(&mut self, id: SourceId, now: Time) -> Option<ByteRange> {
        self.unclaim_overdue(now);
        let claim = if self.sources[id].sequential {
            self.front_for_sequential(id, now)?
        } else if self.is_alone() {
            self.todo.first()?
        } else if self.size.is_none() {
            let front = self.todo.first()?;
            ByteRange::new(front.first, front.end.min(front.first.saturating_add(PER_SOURCE)))
        } else {
            self.fair_share(id, now)?
        };
        self.todo.remove(claim);
        Some(claim)
    }

    /// There is nobody to share with.
    fn is_alone(&self) -> bool {
        self.parallel == 1 || self.sources.iter().filter(|s| !s.is_out()).count() <= 1
    }

    /// A source that ignores ranges is good for the beginning of the file; for more only when it is the last
    /// hope, because then it sends again what is there.
    fn front_for_sequential(&self, id: SourceId, now: Time) -> Option<ByteRange> {
        let hope = self.sources.iter().enumerate().any(|(other, s)| match s.state {
            _ if other == id => false,
            State::Idle => !s.sequential && !s.left_out,
            State::Opening { .. } | State::Receiving { .. } => !s.is_overdue(now),
            State::Resting { .. } | State::Out => false,
        });
        self.todo.first().filter(|front| front.first == 0 || !hope)
    }

    /// Stops a source at `end`; what lies behind is free again.
    fn shorten(&mut self, id: SourceId, end: u64) {
        let State::Receiving { claim, stop, .. } = &mut self.sources[id].state else { return };
        if end == claim.first {
            return self.unclaim(id);
        }
        let tail = ByteRange::new(end, claim.end);
        claim.end = end;
        *stop = end;
        self.release(tail);
        self.actions.push(Action::Shorten { source: id, end });
    }

    /// Every byte of the file is present, claimed by one source, or in `todo`.
    #[cfg(test)]
    pub(super) fn check(&self, present: &Segments) {
        let mut all = present.clone();
        let mut places = u128::from(present.len()) + u128::from(self.todo.len());
        self.todo.iter().for_each(|range| all.insert(range));
        for claim in self.sources.iter().filter_map(Source::claim) {
            all.insert(claim);
            places += u128::from(claim.len());
        }
        let size = self.size.unwrap_or(u64::MAX);
        assert_eq!(all, Segments::of(ByteRange::new(0, size)), "a byte is nowhere");
        assert_eq!(places, u128::from(size), "a byte is in two places");
    }
}
