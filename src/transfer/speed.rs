//! A limit of the least speed, as of curl's `-Y` and `-y`.

use std::time::Duration;

use super::scheduler::Time;

/// With fewer bytes per second nothing moves that anybody could wait for.
pub const CRAWL: u64 = 1000;

#[derive(Clone, Debug)]
pub struct SpeedLimit {
    /// Bytes per second, and for how long it may be slower.
    limit: Option<(u64, Duration)>,
    /// Since when it has been slower, and the bytes that had come by then.
    slow_since: Option<(Time, u64)>,
}

impl SpeedLimit {
    pub fn new(limit: Option<(u64, Duration)>) -> Self {
        Self { limit, slow_since: None }
    }

    /// The limit, when it was slower for as long as it may be. `have` are the bytes that have come; when some of them are
    /// given up, the time begins anew.
    pub fn broken(&mut self, have: u64, now: Time) -> Option<(u64, Duration)> {
        let (speed, time) = self.limit?;
        let (since, had) = *self.slow_since.get_or_insert((now, have));
        let window = now.saturating_sub(since);
        let least = speed as f64 * window.as_secs_f64().max(1.0);
        if have < had || (have - had) as f64 >= least {
            self.slow_since = Some((now, have));
            return None;
        }
        (window >= time).then_some((speed, time))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn only_what_is_slow_for_so_long_breaks_it() {
        let limit = (1000, 3 * SECOND);
        let mut speed = SpeedLimit::new(Some(limit));
        assert_eq!(speed.broken(0, SECOND), None);
        assert_eq!(speed.broken(500, 3 * SECOND), None);
        assert_eq!(speed.broken(2900, 4 * SECOND), Some(limit));
        assert_eq!(speed.broken(3000, 4 * SECOND), None, "fast enough");
        assert_eq!(speed.broken(3000, 6 * SECOND), None);
        assert_eq!(speed.broken(3000, 7 * SECOND), Some(limit));
        assert_eq!(SpeedLimit::new(None).broken(0, 99 * SECOND), None);
    }

    #[test]
    fn what_is_given_up_is_not_slowness() {
        let mut speed = SpeedLimit::new(Some((1000, 3 * SECOND)));
        assert_eq!(speed.broken(1_000_000, SECOND), None);
        assert_eq!(speed.broken(400_000, 2 * SECOND), None);
        assert_eq!(speed.broken(500_000, 5 * SECOND), None, "less than before, and quick all the same");
    }
}
