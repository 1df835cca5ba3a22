//! What the scheduler knows of one source, and how a failure changes whether it may be asked again.

use std::time::Duration;

use super::{Expectation, Time};
use crate::http::failure::{Advice, Passing};
use crate::http::{ByteRange, Failure};
use crate::patience::{LONGEST_REST, LOST, OVERDUE, USUAL_REST};
use crate::transfer::meter::Meter;

/// What the time until an answer varies by.
const TOLERANCE: Duration = Duration::from_millis(30);
/// Round trips until the answer over a new connection, at most: for the connection, for TLS, for the request, and one for
/// what the server does.
const ROUND_TRIPS: u32 = 4;
/// First-byte time of a source that was never asked.
const UNKNOWN_FIRST_BYTE: Duration = Duration::from_millis(100);
/// TCP's initial congestion window, in bytes (RFC 6928).
const INITIAL_WINDOW: f64 = 14_600.0;
/// Two round trips show whether a rate still grows; with a shorter look one would see chance.
const SHORTEST_LOOK: Duration = Duration::from_millis(50);
/// Broken connections in a row, without progress worth naming, after which a source is given up.
const MOST_BREAKS: u32 = 3;
/// Requests whose claim went to another source meanwhile, without progress worth naming, after which a source is
/// given up: one that is always too late is of no use.
const MOST_LOST: u32 = 16;
/// How often a source that is busy is given time when nobody else is left.
const MOST_WAITS: u32 = 2;
/// Progress worth naming, in bytes.
pub const PROGRESS: u64 = 64 * 1024;

#[derive(Clone, Debug)]
pub(super) enum State {
    Idle,
    /// Asked, not answered yet. The claim is gone when somebody else took it meanwhile.
    Opening {
        since: Time,
        claim: Option<ByteRange>,
        asked: ByteRange,
    },
    /// The claim begins at the next byte that will come; it is empty when it was given to others because nothing
    /// came. `content_end` lies behind its end when the answer is longer than what is wanted of it. The source
    /// stops at `stop` without a word; before, it goes on until it is told.
    Receiving {
        claim: ByteRange,
        content_end: Option<u64>,
        first_pos: u64,
        stop: u64,
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
#[expect(clippy::struct_excessive_bools, reason = "each is an independent fact")]
pub(super) struct Source {
    pub expectation: Expectation,
    pub state: State,
    pub meter: Meter,
    /// A connection stands open and idle.
    pub warm: bool,
    /// The server ignores ranges: it can only send everything from the beginning.
    pub sequential: bool,
    /// It is asked in the plainest way only.
    pub plain: bool,
    /// Its last request was for a range.
    pub ranged: bool,
    pub failure: Option<Failure>,
    /// The size that it says the file has.
    pub said_size: Option<u64>,
    /// Others have heard that it wants to be left alone until then.
    pub rest_until: Option<Time>,
    /// Not to be asked in this round.
    pub left_out: bool,
    /// Its last request was given up in silence, and nothing has come from it since.
    pub silent: bool,
    /// How often it was given time because it was busy and nobody else was left.
    waits: u32,
    /// It was asked again although it had failed for good, because nobody else was left.
    had_second_chance: bool,
    /// How long its last connection took to make.
    pub round_trip: Option<Duration>,
    first_byte_cold: Option<Duration>,
    first_byte_warm: Option<Duration>,
    delivered: u64,
    /// Without progress worth naming between them: broken connections, other failures, claims lost to others.
    breaks: u32,
    strikes: u32,
    losses: u32,
    delivered_since_failure: u64,
}

impl Source {
    pub fn new(mut expectation: Expectation) -> Self {
        // It comes from a file that anybody may have written.
        expectation.first_byte = expectation.first_byte.map(|usual| usual.min(LONGEST_REST));
        expectation.rate = expectation.rate.filter(|rate| rate.is_finite() && *rate > 0.0);
        Self {
            sequential: expectation.plain,
            plain: expectation.plain,
            expectation,
            state: State::Idle,
            meter: Meter::default(),
            warm: false,
            ranged: false,
            failure: None,
            said_size: None,
            rest_until: None,
            left_out: false,
            silent: false,
            waits: 0,
            had_second_chance: false,
            round_trip: None,
            first_byte_cold: None,
            first_byte_warm: None,
            delivered: 0,
            breaks: 0,
            strikes: 0,
            losses: 0,
            delivered_since_failure: 0,
        }
    }

    pub fn claim(&self) -> Option<ByteRange> {
        match self.state {
            State::Opening { claim, .. } => claim,
            State::Receiving { claim, .. } => Some(claim),
            State::Idle | State::Resting { .. } | State::Out => None,
        }
    }

    pub fn is_active(&self) -> bool {
        matches!(self.state, State::Opening { .. } | State::Receiving { .. })
    }

    /// Whether it may be asked now.
    pub fn is_idle(&self, now: Time) -> bool {
        let rests = self.rest_until.is_some_and(|until| now < until);
        matches!(self.state, State::Idle) && !self.left_out && !rests
    }

    pub fn is_out(&self) -> bool {
        self.left_out || matches!(self.state, State::Out)
    }

    /// Whether it may be asked, and answers as far as anybody knows.
    pub fn is_alive(&self) -> bool {
        !self.silent && !matches!(self.state, State::Out)
    }

    /// Another round begins. What it said of a size that only another source had named may have been right.
    pub fn begin_round(&mut self, left_out: bool, size_known: bool, now: Time) {
        self.left_out = left_out;
        self.losses = 0;
        self.forget_rate(now);
        let may_be_right = match &self.failure {
            None => true,
            Some(Failure::WrongSize { .. } | Failure::RangeNotSatisfiable { .. }) => !size_known,
            Some(_) => false,
        };
        if may_be_right && matches!(self.state, State::Out) {
            self.state = State::Idle;
            self.failure = None;
        }
    }

    /// What was measured is expected from now on, and measured anew.
    fn forget_rate(&mut self, now: Time) {
        self.expectation.rate = self.meter.rate(now).filter(|rate| *rate > 0.0).or(self.expectation.rate);
        self.meter = Meter::default();
    }

    /// Nobody else is left: it is asked once more, if it ever sent something or was only out of order.
    pub fn second_chance(&mut self) {
        let failed = self.failure.as_ref().is_some_and(|failure| failure.advice() == Advice::NextSource);
        if !self.had_second_chance && (self.delivered > 0 || !failed) && matches!(self.state, State::Out) {
            self.had_second_chance = true;
            self.state = State::Idle;
        }
    }

    /// Whether it failed in a way that another way of asking may mend.
    pub fn may_be_asked_plainly(&self, failure: &Failure) -> bool {
        let is_out = matches!(self.state, State::Out) && !self.left_out;
        // Who was silent would take as long again.
        let about_range = || failure.may_be_due_to_range() && failure.passing() != Some(Passing::Late);
        is_out && !self.plain && (self.ranged && about_range() || failure.is_odd())
    }

    /// From now on it is asked in the plainest way.
    pub fn ask_plainly(&mut self) {
        (self.plain, self.sequential) = (true, true);
        (self.breaks, self.strikes, self.losses) = (0, 0, 0);
        self.state = State::Idle;
    }

    /// One that only said that it cannot for the moment is given a little time.
    pub fn rest_if_busy(&mut self, now: Time) -> bool {
        let is_out = matches!(self.state, State::Out) && !self.left_out;
        let is_busy = |failure: &Failure| {
            failure.passing() == Some(Passing::Busy) && failure.advice() == Advice::NextSourceForNow
        };
        let is_busy = is_out && self.failure.as_ref().is_some_and(is_busy);
        if !is_busy || self.waits == MOST_WAITS {
            return false;
        }
        self.waits += 1;
        self.state = State::Resting { until: now + USUAL_REST * self.waits };
        true
    }

    /// It is not asked again, whatever happens.
    pub fn exclude(&mut self) {
        (self.state, self.had_second_chance) = (State::Out, true);
    }

    /// Whether it never sent a byte.
    pub fn is_new(&self) -> bool {
        self.delivered == 0
    }

    /// Whether it said that it does not have the file.
    pub fn lacks_it(&self) -> bool {
        self.failure.as_ref().is_some_and(Failure::is_not_found)
    }

    /// Seconds between a request and its first byte.
    pub fn gap(&self) -> f64 {
        let cold = self.first_byte_cold.or(self.expectation.first_byte);
        // A new connection costs one more round trip.
        let warm = self.first_byte_warm.or(cold.map(|cold| cold / 2));
        let reused = self.warm || matches!(self.state, State::Receiving { .. });
        let gap = if reused { warm.or(cold) } else { cold.or(warm) };
        gap.unwrap_or(UNKNOWN_FIRST_BYTE).as_secs_f64()
    }

    /// Seconds that a request costs that is made now: until its first byte, and what slow start takes over a new
    /// connection, compared with the full rate.
    pub fn start(&self, now: Time) -> f64 {
        if self.warm { self.gap() } else { self.restart(now) }
    }

    /// The same over a new connection.
    pub fn restart(&self, now: Time) -> f64 {
        let cold = self.first_byte_cold.or(self.expectation.first_byte).unwrap_or(UNKNOWN_FIRST_BYTE);
        let round_trip = self.first_byte_warm.unwrap_or(cold / 2).as_secs_f64();
        let window = self.rate(now).unwrap_or(0.0) * round_trip;
        // The window doubles with every round trip. What those before the last one bring is as much as that one.
        let rounds = (window / INITIAL_WINDOW).log2() - 1.0;
        cold.as_secs_f64() + round_trip * rounds.max(0.0)
    }

    /// Seconds until the first byte of an answer that is awaited. One that is late is expected to take as long
    /// again as it took until now.
    pub fn delay(&self, now: Time) -> f64 {
        let State::Opening { since, .. } = self.state else { return 0.0 };
        let waited = now.saturating_sub(since).as_secs_f64();
        if self.is_late(now) { waited } else { self.gap() - waited }
    }

    /// Whether its answer takes longer than usual.
    pub fn is_late(&self, now: Time) -> bool {
        matches!(self.state, State::Opening { since, .. } if now.saturating_sub(since).as_secs_f64() > self.gap())
    }

    /// Whether what it sends is longer than what is wanted of it.
    pub fn will_be_cut(&self) -> bool {
        match self.state {
            State::Receiving { claim, content_end, .. } => content_end.is_none_or(|end| end > claim.end),
            _ => false,
        }
    }

    /// Bytes per second; none before anything is known.
    pub fn rate(&self, now: Time) -> Option<f64> {
        let measured = self.meter.rate(now);
        if self.is_settled(now) {
            return measured;
        }
        // Slow start makes everybody look slow, and an expectation may be years old.
        match (measured, self.expectation.rate) {
            (Some(measured), Some(expected)) => Some(measured.max(expected)),
            (measured, expected) => measured.or(expected),
        }
    }

    /// Bytes per second, `assumed` when nothing is known, and at least that when what was measured is too young to
    /// be called slow.
    pub fn rate_or(&self, assumed: f64, now: Time) -> f64 {
        let rate = self.rate(now).unwrap_or(assumed);
        let young = self.meter.rate(now).is_some() && !self.is_settled(now);
        if young { rate.max(assumed) } else { rate }
    }

    /// Bytes per second at which it can deliver the next `bytes` at best: in slow start the rate doubles with
    /// every round trip.
    pub fn best_rate(&self, bytes: u64, assumed: f64, now: Time) -> f64 {
        let rate = self.rate_or(assumed, now);
        let (Some(measured), false) = (self.rate(now), self.is_settled(now)) else { return rate };
        let (bytes, round_trip) = (bytes as f64, self.gap().max(0.001));
        let rounds = (1.0 + bytes / (measured.max(1.0) * round_trip)).log2();
        rate.max(bytes / (rounds * round_trip))
    }

    /// Whether its measured rate can be relied on, also for calling it slow: slow start is over.
    pub fn is_settled(&self, now: Time) -> bool {
        let round_trip = Duration::from_secs_f64(self.gap());
        self.meter.is_steady(now, (round_trip * 2).max(SHORTEST_LOOK))
    }

    /// Whether an answer or content has been due for so long that somebody else should be asked, too.
    pub fn is_overdue(&self, now: Time) -> bool {
        let since = match self.state {
            State::Opening { since, .. } => since,
            State::Receiving { last, .. } => return now.saturating_sub(last) > LOST,
            State::Idle | State::Resting { .. } | State::Out => return false,
        };
        let usual = Duration::from_secs_f64(self.gap());
        let measured = self.first_byte_cold.is_some() || self.first_byte_warm.is_some();
        let patience = match self.expectation.first_byte {
            _ if measured => usual * 2 + TOLERANCE,
            Some(_) => (usual * 2 + TOLERANCE).min(OVERDUE.max(usual + TOLERANCE)),
            None => OVERDUE.max((self.round_trip.unwrap_or_default() * ROUND_TRIPS).min(LOST)),
        };
        now.saturating_sub(since) > patience
    }

    /// Its answer came `waited` after the request.
    pub fn answered(&mut self, waited: Duration, reused: bool, now: Time) {
        if reused {
            self.first_byte_warm = Some(waited);
        } else {
            self.first_byte_cold = Some(waited);
            self.forget_rate(now);
        }
        self.warm = false;
        self.silent = false;
        self.meter.begin(now);
    }

    pub fn delivered(&mut self, bytes: u64, now: Time) {
        self.meter.add(now, bytes);
        self.silent = false;
        self.delivered += bytes;
        self.delivered_since_failure += bytes;
        if self.delivered_since_failure >= PROGRESS {
            (self.breaks, self.strikes, self.losses) = (0, 0, 0);
        }
    }

    /// Its request is over.
    pub fn finish(&mut self, state: State, warm: bool, now: Time) {
        self.meter.end(now);
        self.state = state;
        self.warm = warm;
    }

    /// Others send what it was asked for.
    pub fn lose(&mut self, now: Time) {
        self.losses += 1;
        let state = if self.losses < MOST_LOST { State::Idle } else { State::Out };
        self.finish(state, false, now);
    }

    /// Its request failed. `retries` is curl's `--retry`.
    pub fn fail(&mut self, failure: Failure, retries: u32, now: Time) {
        let state = match failure.advice() {
            _ if failure == Failure::RangeIgnored && !self.sequential => {
                self.sequential = true;
                State::Idle
            }
            Advice::RetryHere => {
                self.breaks += 1;
                match self.breaks {
                    1 => State::Idle,
                    breaks if breaks < MOST_BREAKS => {
                        State::Resting { until: now + Duration::from_millis(250) * (breaks - 1) }
                    }
                    _ => State::Out,
                }
            }
            Advice::RetryAfter(wait) if wait <= LONGEST_REST && self.strikes <= retries.max(1) => {
                self.strikes += 1;
                State::Resting { until: now + wait }
            }
            Advice::NextSourceForNow if self.strikes < retries.max(u32::from(self.delivered > 0)) => {
                self.strikes += 1;
                State::Resting { until: now + Duration::from_millis(500) * (1 << self.strikes.min(6)) }
            }
            Advice::RetryAfter(_) | Advice::NextSourceForNow | Advice::NextSource => State::Out,
        };
        self.delivered_since_failure = 0;
        self.failure = Some(failure);
        self.finish(state, false, now);
    }
}
