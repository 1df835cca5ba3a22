//! What one call knows of a host: one value for each, whoever found it out and whoever asks.
//!
//! It is told what a host did ([`Health::on_failure`], …) and says whether, and how, it may be asked again. Times are on
//! the clock of the call.

use std::time::Duration;

use super::meter::Meter;
use super::scheduler::Time;
use crate::http::Failure;
use crate::patience::{LONGEST_REST, LOST};

/// How often in a row a host may fail, with different files, before it is not asked any longer in this call.
const MOST_FAILURES: u32 = 3;
/// How often in a row a host may ask to be left alone. With the longest rest that is granted this bounds how long a file
/// waits for it.
const MOST_RESTS: u32 = 5;

/// Index of a host among those of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(pub usize);

/// What is to be done with what a host was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Ask it for the same again, when it has rested.
    AskLater,
    /// Ask another one.
    AskOthers,
}

#[derive(Clone, Debug)]
pub struct Health {
    /// Connections at once, at most; at least 1.
    connections: usize,
    /// How many it was content with.
    cap: Option<usize>,
    rest_until: Option<Time>,
    /// Without an answer between them.
    rests: u32,
    /// In a row, each with another file.
    failures: u32,
    /// When it was found too slow last.
    slow_at: Option<Time>,
    is_out: bool,
    has_lied: bool,
    /// Why it is out, if it is.
    last_failure: Option<Failure>,
    first_byte: Option<Duration>,
    received: u64,
    meter: Meter,
}

impl Health {
    /// A host of which nothing is known, but how many connections it may get.
    pub fn new(connections: usize) -> Self {
        let mut meter = Meter::default();
        meter.begin(Time::ZERO);
        Self {
            connections: connections.max(1),
            cap: None,
            rest_until: None,
            rests: 0,
            failures: 0,
            slow_at: None,
            is_out: false,
            has_lied: false,
            last_failure: None,
            first_byte: None,
            received: 0,
            meter,
        }
    }

    // What happened.

    /// An answer came over a new connection, so long after it was asked for.
    pub fn on_first_byte(&mut self, waited: Duration) {
        self.first_byte.get_or_insert(waited);
    }

    pub fn on_received(&mut self, bytes: u64, now: Time) {
        self.received += bytes;
        self.meter.add(now, bytes);
    }

    /// It served a whole file.
    pub fn on_served(&mut self) {
        (self.failures, self.rests) = (0, 0);
    }

    /// What it sent is not what the Manifest means.
    pub fn on_wrong_content(&mut self) {
        self.has_lied = true;
        self.failures += 1;
        self.last_failure = Some(Failure::WrongContent);
    }

    /// A request for a file failed.
    pub fn on_failure(&mut self, failure: &Failure, now: Time) -> Verdict {
        if self.is_given_a_rest(failure, now) {
            return Verdict::AskLater;
        }
        match failure {
            Failure::RangeIgnored | Failure::Cancelled => {}
            _ if failure.is_not_found() => {}
            _ => {
                // A host that still says 429 wants no requests at all; one that cannot tell its layout is out
                // of order.
                let is_unwilling = matches!(failure.cause(), Failure::Status { code: 429, .. });
                self.is_out |= is_unwilling || failure.is_of_layout();
                self.failures += 1;
                self.last_failure = Some(failure.clone());
            }
        }
        Verdict::AskOthers
    }

    /// It asked for fewer requests while a race goes on, which deals with it in its own way.
    pub fn on_refusal(&mut self, failure: &Failure, now: Time) {
        if failure.rest().is_some() && self.on_failure(failure, now) == Verdict::AskOthers {
            self.is_out = true;
        }
    }

    /// A request failed that another part of the call made. A host that cannot be reached is not tried again.
    pub fn on_failure_elsewhere(&mut self, failure: &Failure, now: Time) {
        if failure.rest().is_some() {
            return self.on_refusal(failure, now);
        }
        self.on_failure(failure, now);
        self.is_out |= failure.is_unreachable();
    }

    /// For how long it is not to be asked.
    pub fn rest_left(&self, now: Time) -> Option<Duration> {
        self.rest_until.map(|until| until.saturating_sub(now)).filter(|left| !left.is_zero())
    }

    /// A file was taken from it because others are faster. When several of its connections lose their files
    /// at once, that counts once.
    pub fn on_slow(&mut self, now: Time) {
        if self.slow_at.is_none_or(|at| now.saturating_sub(at) >= LOST) {
            self.slow_at = Some(now);
            self.failures += 1;
        }
    }

    /// A host that asks for a rest gets it, and fewer connections. False when it asks for none, or for more than anybody
    /// is given.
    fn is_given_a_rest(&mut self, failure: &Failure, now: Time) -> bool {
        let Some(rest) = failure.rest() else { return false };
        if rest > LONGEST_REST || self.rests >= MOST_RESTS {
            return false;
        }
        // What was under way when it said so first counts as the same.
        if !self.rests(now) {
            self.rests += 1;
            self.cap = Some((self.connections() - 1).max(1));
        }
        self.rest_until = self.rest_until.max(Some(now + rest));
        true
    }

    // What follows from it.

    /// Not to be asked any longer in this call.
    pub fn is_out(&self) -> bool {
        self.is_out || self.failures >= MOST_FAILURES
    }

    /// Not to be asked now.
    pub fn rests(&self, now: Time) -> bool {
        self.rest_left(now).is_some()
    }

    /// Whether it may be asked for one more file while it is at `at_work` others.
    pub fn allows(&self, at_work: usize, now: Time) -> bool {
        at_work < self.connections() && !self.is_out() && !self.rests(now)
    }

    /// Connections at once, at most.
    pub fn connections(&self) -> usize {
        self.cap.unwrap_or(self.connections)
    }

    /// How many connections it was content with, if it wanted fewer than it got.
    pub fn cap(&self) -> Option<usize> {
        self.cap
    }

    /// It sent wrong bytes.
    pub fn has_lied(&self) -> bool {
        self.has_lied
    }

    /// The last failure that spoke against it.
    pub fn last_failure(&self) -> Option<&Failure> {
        self.last_failure.as_ref()
    }

    /// Bytes that it has sent.
    pub fn received(&self) -> u64 {
        self.received
    }

    pub fn first_byte(&self) -> Option<Duration> {
        self.first_byte
    }

    /// Bytes per second of late, all connections together.
    pub fn rate(&self, now: Time) -> Option<f64> {
        self.meter.rate(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn status(code: u16, retry_after: Option<u64>) -> Failure {
        Failure::Status { code, retry_after: retry_after.map(Duration::from_secs) }
    }

    #[test]
    fn fewer_connections_after_a_rest() {
        let (mut health, now) = (Health::new(3), SECOND);
        assert!(health.allows(2, now) && !health.allows(3, now) && health.cap().is_none());
        assert_eq!(health.on_failure(&status(429, Some(4)), now), Verdict::AskLater);
        let other = health.on_failure(&status(429, Some(4)), now);
        assert_eq!(other, Verdict::AskLater, "of the others that were under way");
        assert!(!health.allows(0, now + 3 * SECOND));
        assert!(health.allows(1, now + 4 * SECOND) && !health.allows(2, now + 4 * SECOND));
        assert_eq!(health.cap(), Some(2));
        assert_eq!(health.on_failure(&status(429, None).of_layout(), now + 5 * SECOND), Verdict::AskLater);
        assert_eq!(health.on_failure(&status(503, Some(0)), now + 7 * SECOND), Verdict::AskLater);
        assert!(health.allows(0, now + 7 * SECOND) && health.cap() == Some(1), "never none at all");
    }

    #[test]
    fn patience_ends() {
        let now = SECOND;
        for other in [status(503, None), status(404, None), status(500, Some(1)), Failure::Reset] {
            assert_eq!(Health::new(2).on_failure(&other, now), Verdict::AskOthers, "{other}");
        }
        let mut health = Health::new(2);
        assert_eq!(health.on_failure(&status(429, Some(11)), now), Verdict::AskOthers);
        assert!(health.is_out() && health.cap().is_none());
        let mut health = Health::new(2);
        for rest in 0..MOST_RESTS {
            assert_eq!(health.on_failure(&status(429, None), now + 2 * rest * SECOND), Verdict::AskLater);
        }
        health.on_served();
        assert_eq!(health.on_failure(&status(429, None), now + 60 * SECOND), Verdict::AskLater);
        for rest in 1..MOST_RESTS {
            health.on_failure(&status(429, None), now + (60 + 2 * rest) * SECOND);
        }
        assert_eq!(health.on_failure(&status(429, None), now + 90 * SECOND), Verdict::AskOthers);
        assert!(health.is_out());
    }

    #[test]
    fn what_puts_a_host_out() {
        let mut health = Health::new(2);
        for _ in 0..2 * MOST_FAILURES {
            health.on_failure(&status(404, None), SECOND);
            health.on_failure(&Failure::Cancelled, SECOND);
            health.on_slow(SECOND); // all at the same time
        }
        assert!(!health.is_out());
        health.on_wrong_content();
        assert!(health.has_lied() && !health.is_out());
        health.on_failure(&Failure::Reset, SECOND);
        assert!(health.is_out());
        let mut health = Health::new(2);
        health.on_failure(&Failure::Cancelled.of_layout(), SECOND);
        assert!(!health.is_out());
        health.on_failure(&status(500, None).of_layout(), SECOND);
        assert!(health.is_out());
    }
}
