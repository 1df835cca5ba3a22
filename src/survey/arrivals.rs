//! A rate, and how sure it is, out of the times at which bytes arrived.

use std::time::Duration;

/// Bytes as they arrived, from the first one on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Arrivals {
    /// When, since the first bytes, and how many there were by then without those first ones.
    points: Vec<(f64, f64)>,
    first: Option<Duration>,
    bytes: u64,
}

/// Bytes a second: what the mirror's rate is most likely to be, and between which figures it is in nine of ten cases.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rate {
    pub(crate) low: f64,
    pub(crate) mean: f64,
    pub(crate) high: f64,
}

impl Rate {
    /// Whether the interval is so narrow that nothing is won by measuring longer: 10 % to either side.
    pub(crate) fn is_sure(self) -> bool {
        self.high - self.low <= 0.2 * self.mean
    }
}

/// Times that a measurement is cut into.
const WINDOWS: std::ops::RangeInclusive<usize> = 8..=24;
/// The usual length of each, in seconds: some round trips to most mirrors.
const WINDOW: f64 = 0.05;
/// Fewer points in time say nothing.
const FEWEST_POINTS: usize = 6;
/// Fewer seconds say nothing of a connection whose bytes come in bursts.
const SHORTEST: f64 = 0.005;
/// Once a part of the time is as fast as this share of the rest, slow start is over.
const FULL_SPEED: f64 = 0.75;

impl Arrivals {
    /// So many bytes have come, at a time since whatever beginning.
    pub(crate) fn add(&mut self, at: Duration, bytes: u64) {
        self.bytes += bytes;
        match self.first {
            None => {
                self.first = Some(at);
                self.points.push((0.0, 0.0));
            }
            Some(first) => {
                let had = self.points.last().map_or(0.0, |(_, bytes)| *bytes);
                self.points.push((at.saturating_sub(first).as_secs_f64(), had + bytes as f64));
            }
        }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Since the first bytes.
    pub(crate) fn elapsed(&self) -> Duration {
        let elapsed = self.points.last().map_or(0.0, |(elapsed, _)| *elapsed);
        Duration::try_from_secs_f64(elapsed).unwrap_or_default()
    }

    /// What little can be said when too little has come for a [`Self::rate`]: that it may be anything near the average.
    pub(crate) fn average(&self) -> Option<Rate> {
        let (elapsed, bytes) = *self.points.last()?;
        let mean = bytes / elapsed.max(0.001);
        (mean > 0.0).then_some(Rate { low: mean * 0.5, mean, high: mean * 2.0 })
    }

    /// The rate; none as long as too little has come. What TCP needs to come up to its rate is left out.
    pub(crate) fn rate(&self) -> Option<Rate> {
        let (elapsed, _) = *self.points.last()?;
        if self.points.len() < FEWEST_POINTS || elapsed < SHORTEST {
            return None;
        }
        let rates = self.window_rates(elapsed);
        let steady = &rates[end_of_slow_start(&rates)..];
        let mean = mean(steady);
        if steady.len() * 3 < rates.len() {
            // It was still growing: at least what it is now, and nobody knows how much more.
            return Some(Rate { low: mean * 0.7, mean, high: mean * 2.0 });
        }
        let margin = standard_error(steady, mean) * quantile(steady.len());
        Some(Rate { low: (mean - margin).max(0.0), mean, high: mean + margin })
    }

    /// The rate in each part of the time.
    fn window_rates(&self, elapsed: f64) -> Vec<f64> {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is clamped")]
        let windows = ((elapsed / WINDOW) as usize).clamp(*WINDOWS.start(), *WINDOWS.end());
        let length = elapsed / windows as f64;
        let ends: Vec<f64> = (0..=windows).map(|window| self.bytes_by(length * window as f64)).collect();
        ends.windows(2).map(|pair| (pair[1] - pair[0]) / length).collect()
    }

    /// How much had arrived by then. What was read at once came bit by bit since the read before.
    fn bytes_by(&self, at: f64) -> f64 {
        let after = self.points.partition_point(|(time, _)| *time < at);
        match (after.checked_sub(1).and_then(|before| self.points.get(before)), self.points.get(after)) {
            (Some((t0, b0)), Some((t1, b1))) if t1 > t0 => b0 + (b1 - b0) * (at - t0) / (t1 - t0),
            (_, Some((_, bytes))) | (Some((_, bytes)), None) => *bytes,
            (None, None) => 0.0,
        }
    }
}

/// The first part that is as fast as those behind it.
fn end_of_slow_start(rates: &[f64]) -> usize {
    let is_full = |start: &usize| rates[*start] >= FULL_SPEED * mean(&rates[*start..]);
    (0..rates.len()).find(is_full).unwrap_or(0)
}

fn mean(rates: &[f64]) -> f64 {
    rates.iter().sum::<f64>() / rates.len().max(1) as f64
}

/// Of the mean. Neighbouring parts of the time resemble each other, so that they say less than as many independent
/// ones.
fn standard_error(rates: &[f64], mean: f64) -> f64 {
    let n = rates.len() as f64;
    if rates.len() < 2 {
        return mean;
    }
    let squares: f64 = rates.iter().map(|rate| (rate - mean).powi(2)).sum();
    let products: f64 = rates.windows(2).map(|pair| (pair[0] - mean) * (pair[1] - mean)).sum();
    let resemblance = if squares > 0.0 { (products / squares).clamp(0.0, 0.6) } else { 0.0 };
    let inflation = (1.0 + resemblance) / (1.0 - resemblance);
    (squares / (n - 1.0) / n * inflation).sqrt()
}

/// Of Student's distribution, for nine cases in ten.
fn quantile(samples: usize) -> f64 {
    const TABLE: [f64; 10] = [6.31, 6.31, 2.92, 2.35, 2.13, 2.02, 1.94, 1.89, 1.86, 1.83];
    samples.checked_sub(1).and_then(|freedom| TABLE.get(freedom)).copied().unwrap_or(1.75)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that come every millisecond at a rate that depends on the time.
    fn arrivals(milliseconds: u64, bytes_per_ms: impl Fn(u64) -> u64) -> Arrivals {
        let mut arrivals = Arrivals::default();
        for ms in 0..milliseconds {
            arrivals.add(Duration::from_millis(700 + ms), bytes_per_ms(ms));
        }
        arrivals
    }

    #[test]
    fn a_steady_rate_is_known_soon() {
        let rate = arrivals(200, |_| 5000).rate().unwrap();
        assert!((rate.mean / 5e6 - 1.0).abs() < 0.01 && rate.is_sure(), "{rate:?}");
    }

    #[test]
    fn slow_start_is_left_out() {
        // It doubles every 40 ms up to 8000 bytes a millisecond.
        let slow_start = |ms: u64| (250 << (ms / 40).min(5)).min(8000);
        let rate = arrivals(1500, slow_start).rate().unwrap();
        assert!(rate.low <= 8e6 && 8e6 <= rate.high * 1.02 && rate.is_sure(), "{rate:?}");
    }

    #[test]
    fn what_still_grows_may_be_much_faster() {
        let rate = arrivals(400, |ms| 10 << (ms / 40)).rate().unwrap();
        assert!(!rate.is_sure() && rate.high >= 1.8 * rate.mean, "{rate:?}");
    }

    #[test]
    fn an_unsteady_rate_has_a_wide_interval() {
        let rate = arrivals(600, |ms| if ms / 75 % 2 == 0 { 8000 } else { 2000 }).rate().unwrap();
        assert!(!rate.is_sure() && rate.low < 5e6 && rate.high > 5e6, "{rate:?}");
    }

    #[test]
    fn little_says_nothing() {
        assert_eq!(Arrivals::default().rate(), None);
        assert_eq!(arrivals(5, |_| 100_000).rate(), None);
        let mut at_once = Arrivals::default();
        (0..50).for_each(|_| at_once.add(Duration::from_secs(1), 1000));
        assert_eq!((at_once.rate(), at_once.bytes()), (None, 50_000));
    }
}
