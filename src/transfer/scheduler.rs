//! Which source sends which bytes: a state machine without I/O, clock or threads.
//!
//! It is told what happened and when ([`Scheduler::opened`], [`Scheduler::received`], …) and answers with
//! [`Action`]s. Every byte of the file is in exactly one place: present, claimed by one source, or in `todo`.
//! Everything that goes wrong comes down to one move: a claim, or its tail, goes back to `todo` or to another
//! source, which happens when that source would bring it earlier.

use std::time::Duration;

use super::meter::Meter;
use super::segments::Segments;
use crate::http::failure::Advice;
use crate::http::{ByteRange, Failure};

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
}

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
}

/// What is to be done now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Ask `source` for `range`; an end of `u64::MAX` means: up to the end of the file. `skip`: when the server
    /// ignores ranges, read over what comes before.
    Open { source: SourceId, range: ByteRange, skip: bool },
    /// Another source sends what lies behind `end`: stop there.
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

/// A source that sent nothing for so long, while others deliver, loses its claim.
const STALL: Duration = Duration::from_secs(1);
/// "While others deliver": something came from somebody within this time.
const LIVELY: Duration = Duration::from_millis(600);
/// Nothing from anybody for so long: the transfer is over.
const DEAD: Duration = Duration::from_secs(15);
/// A source that has not answered after this time gets a companion.
const OVERDUE: Duration = Duration::from_millis(300);
/// First-byte time of a source that was never asked.
const UNKNOWN_FIRST_BYTE: Duration = Duration::from_millis(100);
/// First claim of a source whose rate is unknown, at most and at least, in bytes.
const PROBE: (u64, u64) = (128 * 1024, 1024 * 1024);
/// For every so many bytes one more source may be at work.
const PER_SOURCE: u64 = 1024 * 1024;
/// The part of its fair share that a source claims at once, so that there is something left to correct with.
const FRACTION: f64 = 0.6;
/// With less than this to go, a source claims its whole share: another request would cost more than it mends.
const LAST_LAP: f64 = 0.45;
/// A claim lasts at least this many first-byte times: a request has to pay for its round trip.
const PAYS_FOR: f64 = 8.0;
/// A claim lasts at most so many seconds: the rate will not be the same for ever.
const LONGEST_CLAIM: f64 = 20.0;
/// A source slower than this part of the average is not counted as being at work.
const HOPELESS: f64 = 0.1;
/// A lower tier that is slower than this, in bytes per second, has failed.
const CRAWL: f64 = 100_000.0;
/// Bytes on their way that are lost when a connection is cut, in seconds of its rate.
const IN_FLIGHT: f64 = 0.12;
/// Part of the file that may be lost by cutting connections for small gains.
const WASTE_ALLOWED: f64 = 0.01;
/// A gain of so many seconds is worth any cut.
const WORTH_IT: f64 = 0.5;
/// Broken connections in a row, without progress worth naming, after which a source is given up.
const MOST_BREAKS: u32 = 3;
/// Progress worth naming, in bytes.
const PROGRESS: u64 = 64 * 1024;
/// The longest time that a source may ask us to wait.
const LONGEST_REST: Duration = Duration::from_secs(10);

#[derive(Clone, Debug)]
enum State {
    Idle,
    Opening {
        since: Time,
        claim: Option<ByteRange>,
        asked: ByteRange,
    },
    Receiving {
        claim: ByteRange,
        content_end: Option<u64>,
        since: Time,
        last: Time,
    },
    /// Not to be asked before that time.
    Resting {
        until: Time,
    },
    /// Not to be asked again for this file.
    Out,
}

#[derive(Clone, Debug)]
struct Source {
    expectation: Expectation,
    state: State,
    meter: Meter,
    /// A connection stands open and idle.
    warm: bool,
    first_byte_cold: Option<Duration>,
    first_byte_warm: Option<Duration>,
    /// The server ignores ranges: it can only send everything from the beginning.
    sequential: bool,
    breaks: u32,
    strikes: u32,
    delivered_since_break: u64,
    delivered: u64,
    failure: Option<Failure>,
}

impl Source {
    fn new(expectation: Expectation) -> Self {
        Self {
            expectation,
            state: State::Idle,
            meter: Meter::default(),
            warm: false,
            first_byte_cold: None,
            first_byte_warm: None,
            sequential: false,
            breaks: 0,
            strikes: 0,
            delivered_since_break: 0,
            delivered: 0,
            failure: None,
        }
    }

    fn claim(&self) -> Option<ByteRange> {
        match self.state {
            State::Opening { claim, .. } => claim,
            State::Receiving { claim, .. } => Some(claim),
            State::Idle | State::Resting { .. } | State::Out => None,
        }
    }

    fn is_active(&self) -> bool {
        matches!(self.state, State::Opening { .. } | State::Receiving { .. })
    }

    /// Seconds between a request and its first byte.
    fn gap(&self) -> f64 {
        let cold = self.first_byte_cold.or(self.expectation.first_byte);
        let gap = if self.warm { self.first_byte_warm.or(cold.map(|c| c / 2)) } else { cold };
        gap.unwrap_or(UNKNOWN_FIRST_BYTE).as_secs_f64()
    }

    /// Bytes per second, measured or expected.
    fn rate(&self, now: Time) -> Option<f64> {
        self.meter.rate(now).or(self.expectation.rate)
    }

    /// How long an answer may take before somebody else is asked, too.
    fn patience(&self) -> Duration {
        match self.first_byte_cold.or(self.expectation.first_byte) {
            Some(usual) => OVERDUE.min(usual * 2 + Duration::from_millis(30)),
            None => OVERDUE,
        }
    }
}

#[derive(Clone, Debug)]
pub struct Scheduler {
    size: Option<u64>,
    todo: Segments,
    sources: Vec<Source>,
    parallel: usize,
    retries: u32,
    /// When something came from somebody last.
    last_arrival: Time,
    /// Bytes given up by cutting connections, estimated.
    cut: f64,
    actions: Vec<Action>,
}

impl Scheduler {
    pub fn new(plan: Plan) -> Self {
        let whole = ByteRange::new(0, plan.size.unwrap_or(u64::MAX));
        Self {
            size: plan.size,
            todo: plan.present.gaps(whole),
            sources: plan.sources.into_iter().map(Source::new).collect(),
            parallel: plan.parallel.max(1),
            retries: plan.retries,
            last_arrival: Time::ZERO,
            cut: 0.0,
            actions: Vec::new(),
        }
    }

    // What happened.

    /// The answer of a source is there; its content follows.
    pub fn opened(&mut self, id: SourceId, opened: Opened, now: Time) {
        let State::Opening { since, claim, asked } = self.sources[id].state else { return };
        self.last_arrival = now;
        if let Some(total) = opened.complete_length {
            self.learn_size(total);
        }
        let source = &mut self.sources[id];
        let waited = now.saturating_sub(since);
        if opened.reused {
            source.first_byte_warm = Some(waited)
        } else {
            source.first_byte_cold = Some(waited)
        }
        source.warm = false;
        source.meter.begin(now);
        let first = opened.first_pos;
        let claim = self.sources[id].claim().filter(|c| c.first == first).or_else(|| {
            // Somebody else has it by now. Whoever has not begun either gives it back.
            claim.is_none().then(|| self.reclaim(id, ByteRange { first, ..asked })).flatten()
        });
        match claim {
            Some(claim) => {
                let content_end = opened.content_end;
                self.sources[id].state = State::Receiving { claim, content_end, since: now, last: now };
            }
            None => self.close(id),
        }
        self.schedule(now);
    }

    /// Content came from a source. Returns where its bytes belong; what is beyond that range's length is not
    /// wanted any longer.
    pub fn received(&mut self, id: SourceId, len: u64, now: Time) -> Option<ByteRange> {
        self.last_arrival = now;
        let source = &mut self.sources[id];
        let State::Receiving { claim, content_end, last, .. } = &mut source.state else { return None };
        *last = now;
        let kept = ByteRange::new(claim.first, claim.first + len.min(claim.len()));
        claim.first = kept.end;
        let (claim, content_end) = (*claim, *content_end);
        source.meter.add(now, kept.len());
        source.delivered += kept.len();
        source.delivered_since_break += kept.len();
        if source.delivered_since_break >= PROGRESS {
            source.breaks = 0;
        }
        if claim.is_empty() {
            self.claim_done(id, claim.first, content_end);
            self.schedule(now);
        }
        Some(kept)
    }

    /// The content of a source came to its end, earlier than asked for but in good order.
    pub fn ended(&mut self, id: SourceId, now: Time) {
        let State::Receiving { claim, content_end, .. } = self.sources[id].state else { return };
        self.sources[id].state = State::Idle;
        self.sources[id].warm = content_end.is_some();
        if self.size.is_none() && content_end.is_none() {
            self.learn_size(claim.first);
        }
        self.release(claim);
        self.schedule(now);
    }

    pub fn failed(&mut self, id: SourceId, failure: Failure, now: Time) {
        self.fail(id, failure, now);
        self.schedule(now);
    }

    /// Time went by.
    pub fn tick(&mut self, now: Time) {
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
            State::Resting { until } => Some(until),
            _ => None,
        });
        let pulse = now + Duration::from_millis(50);
        rested.filter(|until| *until > now).fold(pulse, Time::min)
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
        !self.is_complete() && self.sources.iter().all(|s| matches!(s.state, State::Out))
    }

    /// The last failure of a source, if it had one.
    pub fn failure(&self, id: SourceId) -> Option<&Failure> {
        self.sources[id].failure.as_ref()
    }

    /// Bytes per second of a source that is sending; none of one that is not.
    pub fn rate(&self, id: SourceId, now: Time) -> Option<f64> {
        let source = &self.sources[id];
        if source.is_active() { Some(source.meter.rate(now).unwrap_or(0.0)) } else { None }
    }

    // How it is decided.

    fn learn_size(&mut self, total: u64) {
        if self.size.is_some() {
            return;
        }
        self.size = Some(total);
        let beyond = ByteRange { first: total, end: u64::MAX };
        self.todo.remove(beyond);
        for source in &mut self.sources {
            match &mut source.state {
                State::Opening { claim, .. } => {
                    *claim = claim.and_then(|c| c.intersection(ByteRange::new(0, total)));
                }
                State::Receiving { claim, .. } => claim.end = claim.end.min(total).max(claim.first),
                State::Idle | State::Resting { .. } | State::Out => {}
            }
        }
    }

    /// Gives up what a source had claimed.
    fn release(&mut self, claim: ByteRange) {
        let end = claim.end.min(self.size.unwrap_or(u64::MAX));
        if claim.first < end {
            self.todo.insert(ByteRange { first: claim.first, end });
        }
    }

    fn close(&mut self, id: SourceId) {
        if let Some(claim) = self.sources[id].claim() {
            self.release(claim);
        }
        self.sources[id].state = State::Idle;
        self.sources[id].warm = false;
        self.actions.push(Action::Close { source: id });
    }

    /// A source delivered all that it had claimed.
    fn claim_done(&mut self, id: SourceId, position: u64, content_end: Option<u64>) {
        let more = content_end.is_none_or(|end| end > position) && Some(position) != self.size;
        let next = self.todo.range_at(position).filter(|_| more);
        if let (Some(next), State::Receiving { claim, .. }) = (next, &mut self.sources[id].state) {
            // Its content goes on: no new request is needed for what follows.
            let end = content_end.map_or(next.end, |end| next.end.min(end));
            *claim = ByteRange::new(position, end);
            let claim = *claim;
            self.todo.remove(claim);
            self.actions.push(Action::Shorten { source: id, end });
            return;
        }
        self.sources[id].state = State::Idle;
        self.sources[id].warm = content_end == Some(position);
    }

    /// What of `wanted`, from its first byte on, nobody has begun to send.
    fn reclaim(&mut self, id: SourceId, wanted: ByteRange) -> Option<ByteRange> {
        let free = self.todo.range_at(wanted.first).and_then(|r| r.intersection(wanted));
        if let Some(free) = free.filter(|r| r.first == wanted.first) {
            self.todo.remove(free);
            return Some(free);
        }
        let rival = self.sources.iter_mut().enumerate().find_map(|(other, source)| match &mut source.state {
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
        if let Some(claim) = self.sources[id].claim() {
            self.release(claim);
        }
        if let Failure::RangeNotSatisfiable { complete_length: Some(total) } = failure
            && self.size.is_none_or(|size| size == total)
        {
            // It was asked beyond the end before the end was known.
            self.learn_size(total);
            self.sources[id].state = State::Idle;
            self.sources[id].warm = true;
            return;
        }
        let alone =
            self.sources.iter().enumerate().all(|(other, s)| other == id || matches!(s.state, State::Out));
        let retries = self.retries;
        let source = &mut self.sources[id];
        source.warm = false;
        source.state = match failure.advice() {
            _ if failure == Failure::Cancelled => State::Idle,
            _ if failure == Failure::RangeIgnored && !source.sequential => {
                source.sequential = true;
                State::Idle
            }
            Advice::RetryHere => {
                source.breaks += 1;
                source.delivered_since_break = 0;
                let rest = Duration::from_millis(250) * (source.breaks - 1);
                if source.breaks < MOST_BREAKS { State::Resting { until: now + rest } } else { State::Out }
            }
            Advice::RetryAfter(wait) if wait <= LONGEST_REST && source.strikes <= retries.max(1) => {
                source.strikes += 1;
                State::Resting { until: now + wait }
            }
            Advice::NextSourceForNow if source.strikes < retries.max(u32::from(source.delivered > 0)) => {
                source.strikes += 1;
                let back_off = Duration::from_secs(1 << source.strikes.min(6)) / 2;
                State::Resting { until: now + if alone { back_off } else { back_off * 2 } }
            }
            Advice::RetryAfter(_) | Advice::NextSourceForNow | Advice::NextSource => State::Out,
        };
        source.failure = Some(failure);
    }

    /// Takes claims from those who do not answer or have fallen silent.
    fn expire(&mut self, now: Time) {
        for id in 0..self.sources.len() {
            match self.sources[id].state {
                State::Resting { until } if until <= now => self.sources[id].state = State::Idle,
                State::Receiving { last, .. } => {
                    let silence = now.saturating_sub(last);
                    if silence > DEAD || silence > STALL && self.lively_without(id, now) {
                        self.actions.push(Action::Close { source: id });
                        self.fail(id, Failure::Stalled(silence), now);
                    }
                }
                State::Opening { since, claim, .. } => {
                    let waited = now.saturating_sub(since);
                    let silent = now.saturating_sub(self.last_arrival);
                    if waited > DEAD && silent > DEAD && self.sources.len() > 1 {
                        self.actions.push(Action::Close { source: id });
                        self.fail(id, Failure::Stalled(waited), now);
                    } else if let Some(claim) = claim
                        && waited > STALL
                        && self.lively_without(id, now)
                    {
                        self.release(claim);
                        if let State::Opening { claim, .. } = &mut self.sources[id].state {
                            *claim = None;
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// Somebody else is delivering.
    fn lively_without(&self, id: SourceId, now: Time) -> bool {
        self.sources.iter().enumerate().any(|(other, s)| match s.state {
            State::Receiving { last, .. } => other != id && now.saturating_sub(last) < LIVELY,
            _ => false,
        })
    }

    /// Gives work to those who have none.
    fn schedule(&mut self, now: Time) {
        if self.is_complete() {
            for id in 0..self.sources.len() {
                if self.sources[id].is_active() {
                    self.close(id);
                }
            }
            return;
        }
        for id in self.idle(now) {
            if self.busy(now) >= self.wanted() {
                break;
            }
            if let Some(claim) = self.work_for(id, now) {
                self.open(id, claim, now);
            }
        }
    }

    fn open(&mut self, id: SourceId, claim: ByteRange, now: Time) {
        let skip = self.sources[id].sequential && claim.first > 0;
        self.sources[id].state = State::Opening { since: now, claim: Some(claim), asked: claim };
        self.actions.push(Action::Open { source: id, range: claim, skip });
    }

    /// Those who may be asked, in the order in which they shall be: with a connection first, then the better
    /// ones; those who proved hopeless last.
    fn idle(&self, now: Time) -> Vec<SourceId> {
        let tier = self.tier(now);
        let average = self.average_rate(now);
        let mut idle: Vec<SourceId> = (0..self.sources.len())
            .filter(|id| matches!(self.sources[*id].state, State::Idle))
            .filter(|id| self.sources[*id].expectation.tier <= tier)
            .collect();
        idle.sort_by_key(|id| {
            let source = &self.sources[*id];
            let hopeless = source.rate(now).is_some_and(|rate| rate < average * HOPELESS);
            (hopeless || source.failure.is_some(), !source.warm)
        });
        idle
    }

    /// The highest tier that may be asked: those above wait until every source of those below has failed or
    /// crawls.
    fn tier(&self, now: Time) -> u8 {
        let delivers = |s: &Source| match s.state {
            State::Idle => true,
            State::Opening { since, .. } => now.saturating_sub(since) < STALL,
            State::Receiving { since, .. } => {
                let young = now.saturating_sub(since) < STALL * 2;
                young || s.meter.rate(now).is_some_and(|rate| rate > CRAWL)
            }
            State::Resting { .. } | State::Out => false,
        };
        let best = self.sources.iter().filter(|s| delivers(s)).map(|s| s.expectation.tier).min();
        best.unwrap_or(u8::MAX)
    }

    /// Bytes per second of those at work, on average.
    fn average_rate(&self, now: Time) -> f64 {
        let rates: Vec<f64> =
            self.sources.iter().filter(|s| s.is_active()).filter_map(|s| s.meter.rate(now)).collect();
        if rates.is_empty() { 0.0 } else { rates.iter().sum::<f64>() / rates.len() as f64 }
    }

    /// How many are at work, not counting those from whom little or nothing is to be expected.
    fn busy(&self, now: Time) -> usize {
        let average = self.average_rate(now);
        let counts = |s: &&Source| match s.state {
            State::Opening { since, .. } => now.saturating_sub(since) <= s.patience(),
            State::Receiving { .. } => s.meter.rate(now).is_none_or(|rate| rate >= average * HOPELESS),
            State::Idle | State::Resting { .. } | State::Out => false,
        };
        self.sources.iter().filter(counts).count()
    }

    /// How many should be at work: small remainders are not worth many requests.
    fn wanted(&self) -> usize {
        let Some(_) = self.size else { return self.parallel };
        let claimed: u64 = self.sources.iter().filter_map(Source::claim).map(ByteRange::len).sum();
        let worth = 1 + (self.todo.len() + claimed) / PER_SOURCE;
        self.parallel.min(usize::try_from(worth).unwrap_or(usize::MAX))
    }

    fn work_for(&mut self, id: SourceId, now: Time) -> Option<ByteRange> {
        if self.sources[id].sequential {
            let others =
                self.sources.iter().enumerate().any(|(o, s)| o != id && !matches!(s.state, State::Out));
            let front = self.todo.first().filter(|front| front.first == 0 || !others)?;
            self.todo.remove(front);
            return Some(front);
        }
        if let Some(front) = self.todo.first() {
            let claim = ByteRange::new(front.first, front.first + self.share(id, front, now));
            self.todo.remove(claim);
            return Some(claim);
        }
        self.size?;
        self.steal(id, now)
    }

    /// How much of `front` a source should claim.
    fn share(&self, id: SourceId, front: ByteRange, now: Time) -> u64 {
        let usable = self.sources.iter().filter(|s| !matches!(s.state, State::Out)).count();
        let alone = usable == 1;
        let left = self.todo.len();
        if self.size.is_none() && !alone {
            return front.len().min(PROBE.1);
        }
        let source = &self.sources[id];
        let want = match source.rate(now) {
            _ if alone => u64::MAX,
            None => (left / (4 * usable as u64)).clamp(PROBE.0, PROBE.1),
            Some(rate) => {
                let finish = self.common_finish(id, rate, left as f64, now);
                let share = rate * (finish - source.gap()).max(0.0);
                let part = if finish < LAST_LAP { share } else { share * FRACTION };
                let least = (rate * source.gap() * PAYS_FOR).min(share).max(PROBE.0 as f64);
                // The cast saturates, and a negative or absent number becomes 0.
                part.max(least).min(rate * LONGEST_CLAIM).max(PROBE.0 as f64) as u64
            }
        };
        // A rest that would not pay for a request of its own goes along.
        if want.saturating_add(want / 4) >= front.len() { front.len() } else { want }
    }

    /// Seconds until everything is done, when all who are at work share the `left` bytes that nobody has claimed
    /// so that they finish together.
    fn common_finish(&self, id: SourceId, rate: f64, left: f64, now: Time) -> f64 {
        // (when it is free, rate)
        let mut workers = vec![(self.sources[id].gap(), rate)];
        for (other, source) in self.sources.iter().enumerate() {
            if other == id || !source.is_active() {
                continue;
            }
            let Some(rate) = source.rate(now).filter(|rate| *rate > 0.0) else { continue };
            let claimed = source.claim().map_or(0, ByteRange::len) as f64;
            workers.push((claimed / rate + source.gap(), rate));
        }
        workers.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (mut rates, mut weighted) = (0.0, 0.0);
        let mut finish = f64::INFINITY;
        for (free, rate) in workers {
            if free >= finish {
                break;
            }
            rates += rate;
            weighted += rate * free;
            finish = (left + weighted) / rates;
        }
        finish
    }

    /// Takes from the source that would be the last to finish what can be had earlier here.
    fn steal(&mut self, id: SourceId, now: Time) -> Option<ByteRange> {
        let gap = self.sources[id].gap();
        let rate = self.sources[id].rate(now).filter(|rate| *rate > 0.0);
        let rate = rate.unwrap_or_else(|| self.average_rate(now).max(CRAWL));
        let (victim, eta) = (0..self.sources.len())
            .filter(|other| *other != id)
            .filter_map(|other| Some((other, self.eta(other, now)?)))
            .max_by(|a, b| a.1.total_cmp(&b.1))?;
        let claim = self.sources[victim].claim()?;
        let left = claim.len() as f64;
        if matches!(self.sources[victim].state, State::Opening { .. }) {
            if eta <= gap + left / rate {
                return None;
            }
            if let State::Opening { claim, .. } = &mut self.sources[victim].state {
                *claim = None;
            }
            return Some(claim);
        }
        let victim_rate = self.sources[victim].meter.rate(now).unwrap_or(0.0);
        // Both finish together.
        let take = (rate * (left - victim_rate * gap) / (rate + victim_rate)).min(left);
        let finish = gap + take / rate;
        let gain = eta - finish;
        let lost = (victim_rate * IN_FLIGHT).min(left);
        let affordable = self.cut + lost <= self.size.unwrap_or(0) as f64 * WASTE_ALLOWED;
        if take < 1.0 || gain < gap.max(0.05) || !(affordable || gain > WORTH_IT) {
            return None;
        }
        let end = (claim.end - (take as u64).min(claim.len())).max(claim.first);
        self.cut += lost;
        if let State::Receiving { claim, .. } = &mut self.sources[victim].state {
            claim.end = end;
        }
        if end == claim.first {
            self.close(victim);
        } else {
            self.actions.push(Action::Shorten { source: victim, end });
        }
        Some(ByteRange::new(end, claim.end))
    }

    /// Seconds until a source will have delivered its claim; none when it has none or is not late yet.
    fn eta(&self, id: SourceId, now: Time) -> Option<f64> {
        let source = &self.sources[id];
        let left = source.claim().filter(|c| !c.is_empty())?.len() as f64;
        match source.state {
            State::Opening { since, .. } => {
                let waited = now.saturating_sub(since);
                if waited <= source.patience() {
                    return None;
                }
                // What did not come for so long will take as long again, at least.
                Some(waited.as_secs_f64() + source.rate(now).map_or(0.0, |rate| left / rate.max(1.0)))
            }
            State::Receiving { last, .. } => match source.meter.rate(now) {
                Some(rate) => Some(left / rate.max(1.0)),
                None => Some(now.saturating_sub(last).as_secs_f64()),
            },
            State::Idle | State::Resting { .. } | State::Out => None,
        }
    }
}
