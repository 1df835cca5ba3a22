//! The time that the scheduler is told: that of the transfer, less what went by while the process was stopped.

use std::cell::Cell;
use std::time::{Duration, Instant};

use crate::patience::{AFTER_A_STOP, STOPPED};
use crate::transfer::scheduler::Time;

#[derive(Debug)]
pub(super) struct Clock {
    pub(super) began: Instant,
    /// When it was last looked at.
    seen: Cell<Instant>,
    /// The latest time that was told.
    latest: Cell<Time>,
    /// For how long the process was stopped.
    stopped: Cell<Duration>,
    /// When it last went on after that.
    went_on: Cell<Option<Instant>>,
}

impl Clock {
    pub(super) fn start(now: Instant) -> Self {
        Self {
            began: now,
            seen: Cell::new(now),
            latest: Cell::default(),
            stopped: Cell::default(),
            went_on: Cell::default(),
        }
    }

    /// The transfer's time at that moment. It never runs backwards: an event from before a stop that is
    /// reported after the stop gets the time of the stop.
    pub(super) fn time(&self, at: Instant) -> Time {
        let time = at.saturating_duration_since(self.began).saturating_sub(self.stopped.get());
        self.latest.set(time.max(self.latest.get()));
        self.latest.get()
    }

    /// The transfer's time now. What is done between two looks takes no time to speak of: see [`waited`](Self::waited).
    pub(super) fn look(&self, now: Instant) -> Time {
        self.waited(Duration::ZERO, now);
        self.time(now)
    }

    /// Since it was last looked at, nothing but a wait of that length was done. When far more time went by, the process
    /// was stopped, or the disk was.
    pub(super) fn waited(&self, time: Duration, now: Instant) {
        let excess = now.saturating_duration_since(self.seen.replace(now)).saturating_sub(time);
        if excess > STOPPED {
            self.stopped.set(self.stopped.get() + excess);
            self.went_on.set(Some(now));
        }
    }

    /// What was done since it was last looked at may have taken long: it was work.
    pub(super) fn worked(&self, now: Instant) {
        self.seen.set(now);
    }

    /// Whether the process was stopped not long ago.
    pub(super) fn was_stopped(&self, now: Instant) -> bool {
        self.went_on.get().is_some_and(|at| now.saturating_duration_since(at) < AFTER_A_STOP)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any point in time will do")]
    fn a_stop_takes_no_time() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let clock = Clock::start(start);
        clock.waited(Duration::from_millis(50), at(80));
        assert!(!clock.was_stopped(at(80)));
        assert_eq!(clock.time(at(80)), Duration::from_millis(80));
        clock.waited(Duration::from_millis(50), at(20_130));
        assert!(clock.was_stopped(at(20_200)) && !clock.was_stopped(at(30_000)));
        assert_eq!(clock.time(at(20_130)), Duration::from_millis(130));
        assert_eq!(clock.time(at(100)), Duration::from_millis(130), "told late");
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any point in time will do")]
    fn a_stop_may_come_while_nobody_waits() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let clock = Clock::start(start);
        clock.waited(Duration::from_millis(50), at(50));
        assert_eq!(clock.look(at(17_051)), Duration::from_millis(50));
        assert!(clock.was_stopped(at(17_052)));
        clock.worked(at(30_050));
        assert_eq!(clock.look(at(30_051)), Duration::from_millis(13_050), "work takes time");
    }
}
