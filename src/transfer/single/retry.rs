//! When a transfer is tried again, and how long it waits before.

use std::time::Duration;

use crate::http::Failure;
use crate::http::failure::Passing;
use crate::patience::{FIRST_PAUSE, LONGEST_PAUSE, LONGEST_REST};

/// How often a transfer goes on by itself in a row after its connection broke. wget's `-t 3`, which Portage uses, has
/// three attempts; here the first attempt is not counted.
const BROKEN: u32 = 3;
/// The same after it took too long, or the server was busy.
const LATE: u32 = 2;
/// The same after a connection timed out: TCP itself has tried several times by then.
const NO_CONNECTION: u32 = 1;

/// When to try again (`--retry` and its companions).
#[derive(Clone, Copy, Debug, Default)]
pub struct Retry {
    /// How often, when the user says so.
    pub times: Option<u32>,
    /// `-f`: goes on by itself after failures that pass when `times` says nothing; and `--retry` covers
    /// broken connections, too.
    pub persistent: bool,
    /// Instead of 1 s, doubled each time.
    pub delay: Option<Duration>,
    /// No retry begins later than so long after the beginning.
    pub within: Option<Duration>,
    pub refused_connections: bool,
    pub all_errors: bool,
}

/// What was tried.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tries {
    pub(super) attempts: u32,
    /// The last ones of them, that brought nothing worth naming.
    pub(super) fruitless: u32,
    /// Since the first one began.
    pub(super) elapsed: Duration,
    /// The time limit of all attempts together (`-m`), when they are made without `--retry`.
    pub(super) whole: Option<Duration>,
}

impl Retry {
    /// Whether it goes on without the user's word.
    pub(super) fn is_by_itself(&self) -> bool {
        self.persistent && self.times.is_none()
    }

    /// How long to wait before the next attempt; none when there is none.
    pub(super) fn pause(&self, tries: Tries, failure: &Failure) -> Option<Duration> {
        if *failure == Failure::Cancelled {
            return None;
        }
        let asked = match failure {
            Failure::Status { retry_after, .. } => *retry_after,
            _ => None,
        };
        let pause = match self.times {
            Some(times) => self.pause_as_told(times, tries, failure)?,
            None if self.persistent => self.pause_by_itself(tries, failure)?,
            None => return None,
        };
        let longest = if self.times.is_some() { LONGEST_PAUSE } else { LONGEST_REST };
        let too_late = self.within.is_some_and(|within| {
            tries.elapsed > within || asked.is_some_and(|asked| tries.elapsed.saturating_add(asked) > within)
        });
        let pause = pause.max(asked.unwrap_or_default());
        (pause <= longest.max(self.delay.unwrap_or_default()) && !too_late).then_some(pause)
    }

    /// As curl does it with `--retry`.
    fn pause_as_told(&self, times: u32, tries: Tries, failure: &Failure) -> Option<Duration> {
        let again = match failure.passing() {
            Some(Passing::Broken) => self.persistent,
            Some(Passing::Late | Passing::Busy | Passing::Nameless) => true,
            None => matches!(failure.cause(), Failure::Connect { .. }) && self.refused_connections,
        };
        if tries.attempts > times || !(again || self.all_errors) {
            return None;
        }
        let back_off = FIRST_PAUSE.saturating_mul(1 << (tries.attempts - 1).min(9)).min(LONGEST_PAUSE);
        Some(self.delay.unwrap_or(back_off))
    }

    /// Nothing is tried again that wget, which Portage uses, reports at once: a name that does not resolve, a refused
    /// connection, a file that is not there.
    fn pause_by_itself(&self, tries: Tries, failure: &Failure) -> Option<Duration> {
        let most = match (failure.passing()?, failure.cause()) {
            // The user's own limit, of all attempts together.
            (_, Failure::TimeUp(_)) | (Passing::Nameless, _) => return None,
            (_, Failure::ConnectTimeout(_)) => NO_CONNECTION,
            (Passing::Late | Passing::Busy, _) => LATE,
            (Passing::Broken, _) => BROKEN,
        };
        if tries.fruitless > most {
            return None;
        }
        // After a broken connection the next attempt begins at once; a busy server is given time.
        let doublings = match failure.passing() {
            Some(Passing::Busy) => tries.fruitless,
            _ => tries.fruitless.saturating_sub(1),
        };
        let back_off = match doublings {
            0 => Duration::ZERO,
            n => FIRST_PAUSE.saturating_mul(1 << (n - 1).min(9)),
        };
        let pause = self.delay.unwrap_or(back_off);
        let in_time = tries.whole.is_none_or(|whole| tries.elapsed.saturating_add(pause) < whole);
        in_time.then_some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn status(code: u16, retry_after: Option<u64>) -> Failure {
        Failure::Status { code, retry_after: retry_after.map(Duration::from_secs) }
    }

    fn tries(attempts: u32, fruitless: u32, elapsed: u64) -> Tries {
        Tries { attempts, fruitless, elapsed: Duration::from_secs(elapsed), whole: None }
    }

    /// The pauses, in seconds, of a transfer that fails in the same way again and again, without a byte.
    fn pauses(retry: &Retry, failure: &Failure) -> Vec<u64> {
        let pause = |attempt| retry.pause(tries(attempt, attempt, 0), failure);
        (1..99).map_while(pause).map(|pause| pause.as_secs()).collect()
    }

    #[test]
    fn it_goes_on_by_itself_after_what_passes() {
        let retry = Retry { persistent: true, ..Retry::default() };
        let connect = Failure::Connect { reason: "refused".to_owned() };
        for (failure, expected) in [
            (Failure::Truncated, vec![0, 1, 2]),
            (Failure::Reset, vec![0, 1, 2]),
            (Failure::EmptyReply, vec![0, 1, 2]),
            (Failure::Send(String::new()), vec![0, 1, 2]),
            (Failure::BadChunks(String::new()), vec![0, 1, 2]),
            (Failure::Stalled(SECOND), vec![0, 1]),
            (Failure::ConnectTimeout(SECOND), vec![0]),
            (status(500, None), vec![1, 2]),
            (status(408, None), vec![1, 2]),
            (status(503, Some(4)), vec![4, 4]),
            (status(429, Some(10)), vec![10, 10]),
            (status(429, Some(11)), vec![]),
            (status(503, Some(u64::MAX)), vec![]),
            (status(404, None), vec![]),
            (status(403, None), vec![]),
            (status(501, None), vec![]),
            (connect, vec![]),
            (Failure::Resolve { host: String::new() }, vec![]),
            (Failure::TimeUp(SECOND), vec![]),
            (Failure::Cancelled, vec![]),
            (Failure::NotHttp, vec![]),
        ] {
            assert_eq!(pauses(&retry, &failure), expected, "{failure:?}");
            for not in [Retry { times: Some(0), ..retry }, Retry { persistent: false, ..retry }] {
                assert_eq!(pauses(&not, &failure), [0; 0], "{failure:?} {not:?}");
            }
        }
    }

    #[test]
    fn what_brings_something_is_not_counted() {
        let retry = Retry { persistent: true, ..Retry::default() };
        assert_eq!(retry.pause(tries(50, 0, 0), &Failure::Truncated), Some(Duration::ZERO));
        assert_eq!(retry.pause(tries(50, 3, 0), &Failure::Truncated), Some(2 * SECOND));
        assert_eq!(retry.pause(tries(50, 4, 0), &Failure::Truncated), None);
    }

    #[test]
    fn what_it_does_by_itself_stays_within_the_users_time() {
        let retry = Retry { persistent: true, ..Retry::default() };
        let at = |elapsed, whole: u32| Tries { whole: Some(whole * SECOND), ..tries(1, 1, elapsed) };
        assert_eq!(retry.pause(at(3, 5), &status(503, None)), Some(SECOND));
        assert_eq!(retry.pause(at(4, 5), &status(503, None)), None);
        assert_eq!(retry.pause(at(5, 5), &Failure::Reset), None);
        let within = Retry { within: Some(5 * SECOND), ..retry };
        assert_eq!(within.pause(tries(1, 1, 6), &Failure::Reset), None);
    }

    #[test]
    fn told_by_the_user_it_does_as_curl_does() {
        let retry = Retry { times: Some(3), ..Retry::default() };
        let connect = Failure::Connect { reason: "refused".to_owned() };
        for (failure, expected) in [
            (status(503, None), vec![1, 2, 4]),
            (status(503, Some(3)), vec![3, 3, 4]),
            (status(503, Some(600)), vec![600; 3]),
            (status(503, Some(601)), vec![]),
            (Failure::TimeUp(SECOND), vec![1, 2, 4]),
            (Failure::Resolve { host: String::new() }, vec![1, 2, 4]),
            (Failure::Truncated, vec![]),
            (Failure::EmptyReply, vec![]),
            (status(404, None), vec![]),
            (connect.clone(), vec![]),
        ] {
            assert_eq!(pauses(&retry, &failure), expected, "{failure:?}");
            let all = Retry { all_errors: true, ..retry };
            let too_long = failure == status(503, Some(601));
            assert_eq!(pauses(&all, &failure).len(), if too_long { 0 } else { 3 }, "{failure:?}");
        }
        assert_eq!(pauses(&Retry { refused_connections: true, ..retry }, &connect), [1, 2, 4]);
        // With -f the one list of what passes counts.
        assert_eq!(pauses(&Retry { persistent: true, ..retry }, &Failure::Truncated), [1, 2, 4]);
        let delayed = Retry { delay: Some(7 * SECOND), ..retry };
        assert_eq!(pauses(&delayed, &status(503, None)), [7, 7, 7]);
    }

    #[test]
    fn a_wait_that_ends_too_late_does_not_begin() {
        let retry = Retry { times: Some(9), within: Some(10 * SECOND), ..Retry::default() };
        assert_eq!(retry.pause(tries(1, 1, 0), &status(503, Some(200))), None);
        assert_eq!(retry.pause(tries(1, 1, 4), &status(503, Some(7))), None);
        assert_eq!(retry.pause(tries(1, 1, 3), &status(503, Some(7))), Some(7 * SECOND));
        assert_eq!(retry.pause(tries(1, 1, 0), &status(503, Some(u64::MAX))), None);
        assert_eq!(retry.pause(tries(1, 1, 11), &status(503, None)), None);
    }
}
