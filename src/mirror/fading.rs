//! Figures that forget: their weight halves every 14 days, and is bounded, so that a mirror that was
//! good for years can still become a bad one within a day.
//!
//! Everything stored is a whole number, so that what is read back is what was written, to the last bit.

use serde::{Deserialize, Serialize};

/// Time in which a sample loses half its weight, in seconds.
pub const HALF_LIFE: u64 = 14 * 24 * 3600;

/// The weight of an average counts as this many samples at most: the next one always moves it by a
/// seventeenth.
const AVERAGE_WEIGHT_MAX: f64 = 16.0;
/// The same for a ratio; probabilities need more samples than means.
const RATIO_WEIGHT_MAX: f64 = 32.0;
/// A sample moves an average as if it were within this factor of it, once the average is worth a sample.
const OUTLIER_FACTOR: u64 = 8;
/// Weights are stored in millionths of a sample: fine enough for the fading of a few seconds to count.
const MILLIONTHS: f64 = 1e6;

/// The fading geometric mean of a positive quantity. First-byte times and rates are spread by factors,
/// not by differences: one of ten seconds among many of 50 ms should move the mean, not become it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Average {
    mean: u64,
    /// Of all samples together, in millionths of one sample, as of `at`.
    weight: u64,
    /// When the weight was worth that, in UNIX seconds: the time of the newest sample.
    at: u64,
}

/// How often something that happens or fails to happen did happen, with old cases fading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ratio {
    /// In millionths of one case, as of `at`.
    hits: u64,
    /// In millionths of one case, as of `at`.
    misses: u64,
    /// UNIX seconds of the newest case.
    at: u64,
}

impl Average {
    /// Takes a sample that was measured `at` (UNIX seconds; may be older than what is known already).
    /// `weight` is 1 for a sample as good as any.
    pub fn add(&mut self, sample: u64, weight: f64, at: u64) {
        let newest = self.at.max(at);
        let old = self.weight(newest);
        let new = usable(weight).min(AVERAGE_WEIGHT_MAX) * faded(newest - at);
        if old + new <= 0.0 {
            return;
        }
        let mut sample = sample.max(1);
        if old >= 1.0 {
            let limit = self.mean.saturating_mul(OUTLIER_FACTOR);
            sample = sample.clamp((self.mean / OUTLIER_FACTOR).max(1), limit.max(1));
        }
        let log_mean = if old > 0.0 { (self.mean.max(1) as f64).ln() } else { 0.0 };
        let log_mean = (log_mean * old + (sample as f64).ln() * new) / (old + new);
        self.mean = whole(log_mean.exp());
        self.weight = whole((old + new).min(AVERAGE_WEIGHT_MAX) * MILLIONTHS);
        self.at = newest;
    }

    /// The mean of the samples, or none when there were none.
    pub fn mean(&self) -> Option<u64> {
        (self.weight > 0).then_some(self.mean)
    }

    /// What the samples are worth `now` (UNIX seconds), in samples.
    pub fn weight(&self, now: u64) -> f64 {
        self.weight as f64 / MILLIONTHS * faded(now.saturating_sub(self.at))
    }

    /// The mean together with an assumed one that is worth `prior_weight` samples.
    pub fn with_prior(&self, prior: f64, prior_weight: f64, now: u64) -> f64 {
        let weight = self.weight(now);
        let log_sum = (self.mean.max(1) as f64).ln() * weight + prior.ln() * prior_weight;
        (log_sum / (weight + prior_weight)).exp()
    }

    /// The newest sample, in UNIX seconds; 0 when there was none.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// What is left of it when its mean is at most `mean_max`, its weight is one that this module
    /// gives, and nothing happened after `latest`. For figures that somebody else may have written.
    #[must_use]
    pub fn bounded(self, mean_max: u64, latest: u64) -> Self {
        let weight = self.weight.min(whole(AVERAGE_WEIGHT_MAX * MILLIONTHS));
        if weight == 0 {
            return Self::default();
        }
        Self { mean: self.mean.clamp(1, mean_max), weight, at: self.at.min(latest) }
    }
}

impl Ratio {
    /// Takes a case that is worth `weight` cases and came about `at` (UNIX seconds; may be older than
    /// what is known already).
    pub fn add(&mut self, hit: bool, weight: f64, at: u64) {
        let newest = self.at.max(at);
        let (mut hits, mut misses) = self.counts(newest);
        let weight = usable(weight).min(RATIO_WEIGHT_MAX) * faded(newest - at);
        *(if hit { &mut hits } else { &mut misses }) += weight;
        let scale = (RATIO_WEIGHT_MAX / (hits + misses)).min(1.0);
        self.hits = whole(hits * scale * MILLIONTHS);
        self.misses = whole(misses * scale * MILLIONTHS);
        self.at = newest;
    }

    /// Hits and misses as they count `now` (UNIX seconds).
    pub fn counts(&self, now: u64) -> (f64, f64) {
        let fade = faded(now.saturating_sub(self.at)) / MILLIONTHS;
        (self.hits as f64 * fade, self.misses as f64 * fade)
    }

    /// The probability of a hit when so many hits and misses are assumed beforehand: the mean of a Beta
    /// distribution.
    pub fn probability(&self, prior_hits: f64, prior_misses: f64, now: u64) -> f64 {
        let (hits, misses) = self.counts(now);
        (hits + prior_hits) / (hits + misses + prior_hits + prior_misses)
    }

    /// The newest case, in UNIX seconds; 0 when there was none.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// See [`Average::bounded`].
    #[must_use]
    pub fn bounded(self, latest: u64) -> Self {
        let max = whole(RATIO_WEIGHT_MAX * MILLIONTHS);
        Self { hits: self.hits.min(max), misses: self.misses.min(max), at: self.at.min(latest) }
    }
}

/// What a weight of 1 is worth after so many seconds.
fn faded(seconds: u64) -> f64 {
    (-(seconds as f64) / HALF_LIFE as f64).exp2()
}

/// A negative weight, or one that is not a number, is none.
fn usable(weight: f64) -> f64 {
    weight.max(0.0)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` saturates, and takes what is not a number for 0"
)]
fn whole(x: f64) -> u64 {
    x.round() as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn average(samples: &[u64]) -> Average {
        let mut average = Average::default();
        for sample in samples {
            average.add(*sample, 1.0, NOW);
        }
        average
    }

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-3
    }

    #[test]
    fn the_first_sample_is_the_mean() {
        assert_eq!(average(&[]).mean(), None);
        assert_eq!(average(&[50_000]).mean(), Some(50_000));
        assert_eq!(average(&[0]).mean(), Some(1));
    }

    #[test]
    fn an_outlier_neither_dominates_nor_is_ignored() {
        let mean = average(&[50, 50, 50, 50, 50, 50, 50, 50, 1_000_000]).mean().unwrap();
        assert!((55..=70).contains(&mean), "{mean}");
    }

    #[test]
    fn a_lasting_change_is_followed() {
        let mut samples = vec![1000; 100];
        samples.extend([10_000; 40]);
        let mean = average(&samples).mean().unwrap();
        assert!((7500..=10_000).contains(&mean), "{mean}");
    }

    #[test]
    fn weight_halves_in_fourteen_days() {
        let average = average(&[50, 50]);
        assert!(close(average.weight(NOW), 2.0));
        assert!(close(average.weight(NOW + HALF_LIFE), 1.0));
        assert!(close(average.weight(NOW - HALF_LIFE), 2.0), "a clock set back adds no weight");
    }

    #[test]
    fn fading_counts_although_samples_come_every_second() {
        let mut average = average(&[50; 16]);
        for second in 1..=3600 {
            average.add(50, 0.0, NOW + second);
        }
        assert!(close(average.weight(NOW + 3600), 16.0 * faded(3600)));
    }

    #[test]
    fn a_late_report_counts_as_old() {
        let mut average = average(&[100]);
        average.add(10_000, 1.0, NOW - 10 * HALF_LIFE);
        assert_eq!(average.mean(), Some(100));
        assert_eq!(average.at(), NOW);
    }

    #[test]
    fn a_prior_gives_way_to_samples() {
        let prior = |samples| average(samples).with_prior(100.0, 1.0, NOW);
        assert!(close(prior(&[]), 100.0));
        assert!(close(prior(&[10_000]), 1000.0));
        assert!(close(average(&[10_000]).with_prior(100.0, 1.0, NOW + 50 * HALF_LIFE), 100.0));
    }

    #[test]
    fn a_ratio_forgets_old_cases() {
        let mut ratio = Ratio::default();
        assert!(close(ratio.probability(1.0, 1.0, NOW), 0.5));
        ratio.add(false, 1.0, NOW);
        ratio.add(false, 1.0, NOW);
        assert!(close(ratio.probability(1.0, 1.0, NOW), 0.25));
        assert!(ratio.probability(1.0, 1.0, NOW + 10 * HALF_LIFE) > 0.49);
    }

    #[test]
    fn ten_thousand_successes_are_outweighed_within_a_day() {
        let mut ratio = Ratio::default();
        (0..10_000).for_each(|_| ratio.add(true, 1.0, NOW));
        (0..40).for_each(|_| ratio.add(false, 1.0, NOW + 3600));
        assert!(ratio.probability(1.0, 0.05, NOW + 3600) < 0.35);
    }

    proptest! {
        #[test]
        fn any_samples_leave_a_mean_between_them(
            samples in prop::collection::vec((any::<u64>(), proptest::num::f64::ANY, any::<u64>()), 1..20)
        ) {
            let mut average = Average::default();
            let mut ratio = Ratio::default();
            for (sample, weight, at) in &samples {
                average.add(*sample, *weight, *at);
                ratio.add(sample % 2 == 0, *weight, *at);
                prop_assert!(average.weight(*at) <= AVERAGE_WEIGHT_MAX);
                let (hits, misses) = ratio.counts(*at);
                prop_assert!(hits >= 0.0 && misses >= 0.0 && hits + misses <= RATIO_WEIGHT_MAX + 1e-5);
                prop_assert!((0.0..=1.0).contains(&ratio.probability(1.0, 1.0, *at)));
            }
            if let Some(mean) = average.mean() {
                let low = samples.iter().map(|s| s.0.max(1)).min().unwrap() as f64;
                let high = samples.iter().map(|s| s.0.max(1)).max().unwrap() as f64;
                // One more for rounding, and what the logarithm of a number near 2^64 loses.
                prop_assert!((low * 0.999_999 - 1.0..=high * 1.000_001 + 1.0).contains(&(mean as f64)));
            }
        }
    }
}
