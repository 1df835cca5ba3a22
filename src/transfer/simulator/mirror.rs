//! One simulated mirror: its network path and its faults.

use std::time::Duration;

use serde::Deserialize;

use super::super::scheduler::sharing::whole;
use super::super::scheduler::{Expectation, Time};
use super::{BUFFER, READ};
use crate::http::{ByteRange, Failure};

/// TCP's initial congestion window in bytes (RFC 6928).
pub const INITIAL_WINDOW: u64 = 14_600;
/// What the queue at the bottleneck holds, in seconds of its rate.
const QUEUE: f64 = 0.1;

/// How long it takes until what a burst has lost is there, and the part of the rate that is left meanwhile: as seen at a
/// round trip of 150 ms.
const RECOVERY: Duration = Duration::from_millis(400);
const RECOVERING: f64 = 0.1;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mirror {
    /// Bytes per second.
    pub rate: f64,
    #[serde(default = "default_rtt")]
    pub rtt_ms: u64,
    #[serde(default)]
    pub tls: bool,
    /// (from that second on, bytes per second)
    #[serde(default)]
    pub then: Vec<(f64, f64)>,
    #[serde(default)]
    pub fault: Fault,
    #[serde(default)]
    pub tier: u8,
    /// Whether an earlier run left its figures.
    #[serde(default)]
    pub known: bool,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    #[default]
    None,
    /// Accepts connections and never answers.
    Hang,
    /// Never accepts one: the attempt ends after 30 s.
    BlackHole,
    /// Falls silent for ever after so many bytes.
    StallAfter(u64),
    NotFound,
    WrongSize,
    Portal,
    /// Each request breaks after so many bytes.
    ResetEach(u64),
    /// Has the file until so many bytes were sent.
    NotFoundAfter(u64),
    /// Of three requests the second and third are answered with 429 and so many seconds.
    TooMany(u64),
    /// Dies after so many milliseconds.
    DeathAt(u64),
    /// Sends the whole file whatever is asked for.
    IgnoresRanges,
    /// The same, and without saying its length.
    Chunked,
    /// Refuses and resets connections for so many milliseconds after as many good ones.
    Flapping(u64),
}

pub enum Answer {
    Content { from: u64, content_end: Option<u64>, complete_length: Option<u64> },
    Failure { failure: Failure, keeps_connection: bool },
}

fn default_rtt() -> u64 {
    20
}

impl Mirror {
    pub fn round_trip(&self) -> Duration {
        Duration::from_millis(self.rtt_ms.max(1))
    }

    pub fn expectation(&self) -> Expectation {
        Expectation {
            mirror: true,
            first_byte: self.known.then(|| self.first_byte(false)),
            rate: self.known.then_some(self.rate),
            tier: self.tier,
            plain: false,
        }
    }

    /// Time from a request to its answer.
    pub fn first_byte(&self, reused: bool) -> Duration {
        let trips = if reused { 1 } else { 2 + u32::from(self.tls) };
        self.round_trip() * trips
    }

    /// When an answer or failure comes; none if never.
    pub fn answers_at(&self, now: Time, answers: Time, sent: u64) -> Option<Time> {
        match self.fault {
            Fault::Hang => None,
            Fault::StallAfter(bytes) if sent >= bytes => None,
            Fault::BlackHole => Some(now + Duration::from_secs(30)),
            _ => Some(answers),
        }
    }

    pub fn answer(
        &self,
        asked: ByteRange,
        skip: bool,
        size: u64,
        sent: u64,
        requests: u32,
        now: Time,
    ) -> Answer {
        let fails = |failure, keeps_connection| Answer::Failure { failure, keeps_connection };
        let status = |code, wait: Option<u64>| {
            fails(Failure::Status { code, retry_after: wait.map(Duration::from_secs) }, true)
        };
        match self.fault {
            Fault::BlackHole => return fails(Failure::ConnectTimeout(Duration::from_secs(30)), false),
            Fault::NotFound => return status(404, None),
            Fault::NotFoundAfter(bytes) if sent >= bytes => return status(404, None),
            Fault::WrongSize => return fails(Failure::WrongSize { expected: size, got: size + 1 }, false),
            Fault::Portal => return fails(Failure::HtmlPage, false),
            Fault::TooMany(wait) if requests % 3 != 1 => return status(429, Some(wait)),
            Fault::DeathAt(_) | Fault::Flapping(_) if self.is_down(now) => {
                return fails(Failure::Connect { reason: "connection refused".to_owned() }, false);
            }
            Fault::IgnoresRanges | Fault::Chunked if asked.first > 0 && !skip => {
                return fails(Failure::RangeIgnored, false);
            }
            Fault::IgnoresRanges => {
                return Answer::Content { from: 0, content_end: Some(size), complete_length: Some(size) };
            }
            Fault::Chunked => return Answer::Content { from: 0, content_end: None, complete_length: None },
            _ if asked.first >= size => {
                return fails(Failure::RangeNotSatisfiable { complete_length: Some(size) }, true);
            }
            _ => {}
        }
        let content_end = Some(asked.end.min(size));
        Answer::Content { from: asked.first, content_end, complete_length: Some(size) }
    }

    /// How a connection breaks, if it does.
    pub fn breaks(&self, sent_since_asked: u64, now: Time) -> Option<Failure> {
        match self.fault {
            Fault::ResetEach(bytes) if sent_since_asked >= bytes => Some(Failure::Reset),
            Fault::DeathAt(_) | Fault::Flapping(_) if self.is_down(now) => Some(Failure::Reset),
            _ => None,
        }
    }

    pub fn is_silent(&self, sent: u64) -> bool {
        matches!(self.fault, Fault::StallAfter(bytes) if sent >= bytes)
    }

    fn is_down(&self, now: Time) -> bool {
        match self.fault {
            Fault::DeathAt(ms) => now >= Duration::from_millis(ms),
            Fault::Flapping(ms) => (now.as_millis() / u128::from(ms.max(1))) % 2 == 1,
            _ => false,
        }
    }

    /// Bytes per second at that time.
    pub fn rate_at(&self, now: Time) -> f64 {
        let now = now.as_secs_f64();
        self.then.iter().rev().find(|(from, _)| *from <= now).map_or(self.rate, |(_, rate)| *rate)
    }
}

/// One TCP connection, as its receiver sees it.
#[derive(Debug)]
pub struct Connection {
    window: u64,
    /// When the window doubles.
    round_ends: Time,
    last: Time,
    /// Until when what was lost is sent again.
    recovers_until: Time,
    arriving: u64,
}

impl Connection {
    pub fn new(now: Time) -> Self {
        Self { window: INITIAL_WINDOW, round_ends: now, last: now, recovers_until: now, arriving: 0 }
    }

    /// Content begins to arrive. After a second of rest slow start begins again (RFC 5681, section 4.1). After a shorter
    /// one the whole window leaves at once. What of it the queue cannot hold is lost: far away that is most of it,
    /// and the rate collapses until it has been sent again.
    pub fn begin(&mut self, mirror: &Mirror, now: Time) {
        let held = (2.0 * mirror.rate_at(now) * QUEUE).max(INITIAL_WINDOW as f64);
        if now.saturating_sub(self.last) > Duration::from_secs(1) {
            self.window = INITIAL_WINDOW;
        } else if self.window as f64 > held {
            self.window = (self.window * 7 / 10).max(INITIAL_WINDOW);
            self.recovers_until = now + RECOVERY;
        }
        self.round_ends = now;
    }

    /// After what time how many bytes come at once.
    pub fn next(&mut self, mirror: &Mirror, now: Time, rest: u64) -> (Duration, u64) {
        let (round_trip, rate) = (mirror.round_trip(), mirror.rate_at(now));
        if self.round_ends <= now {
            if self.last > now.saturating_sub(round_trip) && self.arriving > 0 {
                self.window = (self.window * 2).min(most_in_flight(mirror, rate)).max(INITIAL_WINDOW);
            }
            self.round_ends = now + round_trip;
        }
        let slow_start = self.window < most_in_flight(mirror, rate);
        let recovers = if now < self.recovers_until { RECOVERING } else { 1.0 };
        let rate = (rate.min(self.window as f64 / round_trip.as_secs_f64()) * recovers).max(1.0);
        let time =
            if slow_start { READ.min(self.round_ends.saturating_sub(now)) } else { READ }.as_secs_f64();
        let bytes = whole((rate * time).ceil()).clamp(1, BUFFER).min(rest.max(1));
        self.arriving = bytes.min(rest);
        let after = Duration::from_secs_f64(bytes as f64 / rate);
        self.last = now + after;
        (after, self.arriving)
    }

    /// The bytes that [`Self::next`] announced.
    pub fn arrived(&self) -> u64 {
        self.arriving
    }

    /// Bytes that were sent and have not arrived.
    pub fn in_flight(&self, mirror: &Mirror, now: Time) -> u64 {
        self.window.min(most_in_flight(mirror, mirror.rate_at(now)))
    }
}

fn most_in_flight(mirror: &Mirror, rate: f64) -> u64 {
    whole(rate * (mirror.round_trip().as_secs_f64() + QUEUE))
}
