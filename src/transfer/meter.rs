//! How fast bytes have been coming lately.

use std::collections::VecDeque;
use std::time::Duration;

/// How far back the rate looks.
const WINDOW: Duration = Duration::from_secs(1);
/// Samples closer together than this are one.
const GRAIN: Duration = Duration::from_millis(10);
/// Younger than this, a rate says nothing.
const YOUNGEST: Duration = Duration::from_millis(30);
/// Content of which nothing came for so long has the rate 0.
const SILENT: Duration = Duration::from_millis(300);
/// A rate that grows by less than this factor is steady.
const GROWTH: f64 = 1.3;

/// Measures the bytes of one source. Its clock runs only between [`Self::begin`] and [`Self::end`], so that the
/// rate is that of the content, whatever time passes between one answer and the next.
#[derive(Clone, Debug, Default)]
pub struct Meter {
    /// Time on the meter's clock until the last `begin`.
    before: Duration,
    /// Set while content is awaited: the transfer's time at the last `begin`.
    since: Option<Duration>,
    /// (time on the meter's clock, bytes that came until then), oldest first.
    samples: VecDeque<(Duration, u64)>,
    total: u64,
}

impl Meter {
    /// Content begins: its first bytes may come any moment.
    pub fn begin(&mut self, now: Duration) {
        self.end(now);
        self.since = Some(now);
    }

    /// Content ends.
    pub fn end(&mut self, now: Duration) {
        self.before = self.age(now);
        self.since = None;
    }

    pub fn add(&mut self, now: Duration, bytes: u64) {
        let age = self.age(now);
        if self.samples.is_empty() {
            self.samples.push_back((Duration::ZERO, 0));
        }
        self.total += bytes;
        match self.samples.back_mut() {
            Some((time, total)) if !time.is_zero() && age.saturating_sub(*time) < GRAIN => {
                *total = self.total;
            }
            _ => self.samples.push_back((age, self.total)),
        }
        while self.samples.len() > 2 && age.saturating_sub(self.samples[1].0) > WINDOW * 2 {
            self.samples.pop_front();
        }
    }

    /// For how long content has been awaited, all answers together.
    pub fn age(&self, now: Duration) -> Duration {
        self.before + self.since.map_or(Duration::ZERO, |since| now.saturating_sub(since))
    }

    /// Bytes per second over the last second of content, silence included; over the second half when there were
    /// less than two seconds, which leaves out TCP's slow start. None when there is too little to tell.
    pub fn rate(&self, now: Duration) -> Option<f64> {
        let age = self.settled_age(now);
        if age < if self.total == 0 { SILENT } else { YOUNGEST } {
            return None;
        }
        let window = WINDOW.min(age / 2);
        let bytes = self.until(age) - self.until(age.saturating_sub(window));
        Some(bytes.max(0.0) / window.as_secs_f64())
    }

    /// Whether the rate has stopped growing: whether in the last `span` hardly more came than in the one before.
    pub fn is_steady(&self, now: Duration, span: Duration) -> bool {
        let age = self.settled_age(now);
        let span = span.min(WINDOW);
        if age < span * 2 {
            return false;
        }
        let (last, before) = (self.until(age), self.until(age.saturating_sub(span)));
        last - before <= GROWTH * (before - self.until(age.saturating_sub(span * 2)))
    }

    /// The age up to which it is known what came: bytes come in lumps, and what the next one holds is not missing
    /// before it is due.
    fn settled_age(&self, now: Duration) -> Duration {
        let last = self.samples.back().map_or(Duration::ZERO, |(time, _)| *time);
        let before_last = self.samples.iter().rev().nth(1).map_or(Duration::ZERO, |(time, _)| *time);
        last.max(self.age(now).saturating_sub(last.saturating_sub(before_last)))
    }

    /// Bytes that had come by `age`, by a straight line between the samples around it.
    fn until(&self, age: Duration) -> f64 {
        let at = self.samples.partition_point(|(time, _)| *time <= age);
        let Some((before_time, before)) = at.checked_sub(1).and_then(|at| self.samples.get(at)) else {
            return self.samples.front().map_or(0.0, |(_, bytes)| *bytes as f64);
        };
        let Some((after_time, after)) = self.samples.get(at) else { return *before as f64 };
        let part = age.saturating_sub(*before_time).as_secs_f64()
            / after_time.saturating_sub(*before_time).as_secs_f64();
        *before as f64 + (after - before) as f64 * part
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn steady(rate_per_ms: u64, from: u64, to: u64, meter: &mut Meter) {
        for ms in (from..=to).step_by(5) {
            meter.add(MS(ms), rate_per_ms * 5);
        }
    }

    #[test]
    fn a_steady_stream_has_its_rate() {
        let mut meter = Meter::default();
        meter.begin(MS(0));
        assert_eq!(meter.rate(MS(10)), None);
        steady(1000, 5, 3000, &mut meter);
        let rate = meter.rate(MS(3000)).unwrap();
        assert!((rate / 1e6 - 1.0).abs() < 0.05, "{rate}");
    }

    #[test]
    fn silence_lowers_it_and_a_second_of_silence_ends_it() {
        let mut meter = Meter::default();
        meter.begin(MS(0));
        steady(1000, 5, 3000, &mut meter);
        let half = meter.rate(MS(3500)).unwrap();
        assert!((0.4e6..0.6e6).contains(&half), "{half}");
        assert!(meter.rate(MS(4100)).unwrap() < 1.0);
    }

    #[test]
    fn a_slower_stream_is_seen_within_a_second() {
        let mut meter = Meter::default();
        meter.begin(MS(0));
        steady(1000, 5, 3000, &mut meter);
        steady(100, 3005, 4100, &mut meter);
        let rate = meter.rate(MS(4100)).unwrap();
        assert!((0.09e6..0.12e6).contains(&rate), "{rate}");
    }

    #[test]
    fn time_between_answers_does_not_count() {
        let mut meter = Meter::default();
        meter.begin(MS(0));
        steady(1000, 5, 1000, &mut meter);
        meter.end(MS(1000));
        let rate = meter.rate(MS(9000)).unwrap();
        assert!((rate / 1e6 - 1.0).abs() < 0.05, "{rate}");
        meter.begin(MS(9000));
        steady(1000, 9005, 9200, &mut meter);
        let rate = meter.rate(MS(9200)).unwrap();
        assert!((rate / 1e6 - 1.0).abs() < 0.05, "{rate}");
    }
}
