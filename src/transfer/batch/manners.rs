//! How a host wants to be treated: one that says 429 (RFC 6585) or 503 with Retry-After (RFC 9110) gets fewer
//! connections, and is left alone for as long as it says.

use std::time::{Duration, Instant};

use crate::http::Failure;
use crate::http::failure::Advice;
use crate::patience::LONGEST_REST;

/// After a 429 without Retry-After.
const USUAL_REST: Duration = Duration::from_secs(1);
/// One that wants to be left alone so often in a row is not waited for.
const MOST_RESTS: u32 = 5;

#[derive(Clone, Debug)]
pub(super) struct Manners {
    /// At once, at most; at least 1.
    connections: usize,
    fewer: bool,
    rest_until: Option<Instant>,
    /// Without an answer between them.
    rests: u32,
}

impl Manners {
    pub(super) fn new(connections: usize) -> Self {
        Self { connections: connections.max(1), fewer: false, rest_until: None, rests: 0 }
    }

    /// Whether it may be asked for one more file while it is at `at_work` others.
    pub(super) fn allow(&self, at_work: usize, now: Instant) -> bool {
        at_work < self.connections && self.rest_until.is_none_or(|until| now >= until)
    }

    /// Takes a failure in; true when the host shall be asked again later for the same.
    pub(super) fn heed(&mut self, failure: &Failure, now: Instant) -> bool {
        let rest = match (failure.advice(), failure) {
            (Advice::RetryAfter(rest), _) => rest,
            (_, Failure::Status { code: 429, .. }) => USUAL_REST,
            _ => return false,
        };
        if rest > LONGEST_REST || self.rests >= MOST_RESTS {
            return false;
        }
        // What was under way when it said so first counts as the same.
        if self.rest_until.is_none_or(|until| now >= until) {
            self.rests += 1;
            self.connections = (self.connections - 1).max(1);
            self.fewer = true;
        }
        let until = now + rest;
        self.rest_until = Some(self.rest_until.map_or(until, |known| known.max(until)));
        true
    }

    /// It served a file.
    pub(super) fn answered(&mut self) {
        self.rests = 0;
    }

    /// How many connections it was content with, if it wanted fewer than it got.
    pub(super) fn cap(&self) -> Option<usize> {
        self.fewer.then_some(self.connections)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "any point in time will do")]
    fn start() -> Instant {
        Instant::now()
    }

    const SECOND: Duration = Duration::from_secs(1);

    fn status(code: u16, retry_after: Option<u64>) -> Failure {
        Failure::Status { code, retry_after: retry_after.map(Duration::from_secs) }
    }

    #[test]
    fn fewer_connections_after_a_rest() {
        let (mut manners, now) = (Manners::new(3), start());
        assert!(manners.allow(2, now) && !manners.allow(3, now) && manners.cap().is_none());
        assert!(manners.heed(&status(429, Some(4)), now));
        assert!(manners.heed(&status(429, Some(4)), now), "of the others that were under way");
        assert!(!manners.allow(0, now + 3 * SECOND));
        assert!(manners.allow(1, now + 4 * SECOND) && !manners.allow(2, now + 4 * SECOND));
        assert_eq!(manners.cap(), Some(2));
        assert!(manners.heed(&status(429, None), now + 5 * SECOND));
        assert!(manners.heed(&status(503, Some(0)), now + 7 * SECOND));
        assert!(manners.allow(0, now + 7 * SECOND) && manners.cap() == Some(1), "never none at all");
    }

    #[test]
    fn patience_ends() {
        let (mut manners, now) = (Manners::new(2), start());
        for other in [status(503, None), status(404, None), status(500, Some(1)), Failure::Reset] {
            assert!(!manners.heed(&other, now), "{other}");
        }
        assert!(!manners.heed(&status(429, Some(11)), now) && manners.cap().is_none());
        for rest in 0..MOST_RESTS {
            assert!(manners.heed(&status(429, None), now + 2 * rest * SECOND));
        }
        assert!(!manners.heed(&status(429, None), now + 60 * SECOND));
        manners.answered();
        assert!(manners.heed(&status(429, None), now + 60 * SECOND));
    }
}
