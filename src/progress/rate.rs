//! How fast bytes arrive, from samples of time and bytes.

use super::Snapshot;
use std::time::{Duration, Instant};

/// What happened this long ago weighs 1/e.
const MEMORY: Duration = Duration::from_secs(3);
/// Shorter intervals are put together: a rate over a millisecond says nothing.
const MIN_INTERVAL: Duration = Duration::from_millis(100);

/// A fading average of the rate at which bytes arrive.
#[derive(Debug, Default)]
pub(super) struct RateMeter {
    last: Option<(Instant, u64)>,
    sum: f64,
    /// Of all samples; 1 once they reach back far enough.
    weight: f64,
    /// When something came last, and how much there was then.
    grown: Option<(Instant, u64)>,
}

/// How fast bytes arrive.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Bytes a second, when known.
    pub(super) rate: Option<f64>,
    /// Since something came last.
    pub(super) silence: Duration,
}

impl RateMeter {
    /// Takes a snapshot. Bytes that were there before do not count.
    pub(super) fn observe(&mut self, now: Instant, snapshot: &Snapshot) {
        let received = snapshot.have.saturating_sub(snapshot.resumed);
        if self.grown.is_none_or(|(_, before)| before != received) {
            self.grown = Some((now, received));
        }
        let Some((then, before)) = self.last else {
            self.last = Some((now, received));
            return;
        };
        let elapsed = now.saturating_duration_since(then);
        if elapsed < MIN_INTERVAL {
            return;
        }
        self.last = Some((now, received));
        // Fewer bytes than before: wrong content was cut off. That is not speed.
        let Some(bytes) = received.checked_sub(before) else { return };
        let keep = (-elapsed.as_secs_f64() / MEMORY.as_secs_f64()).exp();
        self.sum = self.sum * keep + bytes as f64 / elapsed.as_secs_f64() * (1.0 - keep);
        self.weight = self.weight * keep + (1.0 - keep);
    }

    pub(super) fn pace(&self, now: Instant) -> Pace {
        let silence = self.grown.map_or(Duration::ZERO, |(since, _)| now.saturating_duration_since(since));
        Pace { rate: self.bytes_per_second(), silence }
    }

    /// `None` before the first interval.
    fn bytes_per_second(&self) -> Option<f64> {
        (self.weight > 0.0).then(|| self.sum / self.weight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "any point in time will do")]
    fn start() -> Instant {
        Instant::now()
    }

    fn at(have: u64, resumed: u64) -> Snapshot {
        Snapshot { have, resumed, ..Snapshot::default() }
    }

    fn assert_close(meter: &RateMeter, expected: f64) {
        let rate = meter.bytes_per_second().unwrap();
        assert!((rate - expected).abs() <= expected * 0.01 + 0.01, "{rate} is not {expected}");
    }

    #[test]
    fn a_steady_rate_is_shown_from_the_first_interval() {
        let (mut meter, start) = (RateMeter::default(), start());
        for tick in 0..20u32 {
            meter.observe(start + Duration::from_millis(200) * tick, &at(u64::from(tick) * 2000, 0));
            if tick > 0 {
                assert_close(&meter, 10_000.0);
            }
        }
    }

    #[test]
    fn resumed_bytes_are_no_speed() {
        let (mut meter, start) = (RateMeter::default(), start());
        meter.observe(start, &at(0, 0));
        assert_eq!(meter.bytes_per_second(), None);
        meter.observe(start + Duration::from_secs(1), &at(1_001_000, 1_000_000));
        assert_close(&meter, 1000.0);
    }

    #[test]
    fn a_stall_fades_and_a_cut_does_not_count() {
        let (mut meter, start) = (RateMeter::default(), start());
        let second = Duration::from_secs(1);
        meter.observe(start, &at(0, 0));
        meter.observe(start + second, &at(1000, 0));
        meter.observe(start + second * 2, &at(500, 0));
        assert_close(&meter, 1000.0);
        meter.observe(start + second * 3, &at(1500, 0));
        assert_close(&meter, 1000.0);
        meter.observe(start + second * 30, &at(1500, 0));
        assert!(meter.bytes_per_second().unwrap() < 1.0);
    }

    #[test]
    fn many_updates_at_once_are_one_interval() {
        let (mut meter, start) = (RateMeter::default(), start());
        meter.observe(start, &at(0, 0));
        for microsecond in 1..1000u64 {
            meter.observe(start + Duration::from_micros(microsecond), &at(microsecond * 1000, 0));
        }
        assert_eq!(meter.bytes_per_second(), None);
        meter.observe(start + Duration::from_secs(1), &at(2_000_000, 0));
        assert_close(&meter, 2_000_000.0);
    }
}
