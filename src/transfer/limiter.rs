//! `--limit-rate`: one budget for all sources together.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How far a burst may run ahead of the rate.
const BURST: Duration = Duration::from_millis(100);

/// Hands out permission to read.
#[derive(Clone, Debug)]
pub struct Limiter {
    /// Bytes per second; none: without limit.
    rate: Option<f64>,
    /// Until when the budget is spent.
    spent_until: Arc<Mutex<Option<Instant>>>,
}

impl Limiter {
    pub fn new(bytes_per_second: Option<u64>) -> Self {
        Self { rate: bytes_per_second.filter(|r| *r > 0).map(|r| r as f64), spent_until: Arc::default() }
    }

    /// How much may be read at once, in bytes.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates")]
    pub fn step(&self, most: usize) -> usize {
        self.rate.map_or(most, |rate| most.min((rate * BURST.as_secs_f64()) as usize).max(1))
    }

    /// Books `bytes` that were read, and waits until the next may be.
    #[expect(clippy::disallowed_methods, reason = "this is the place that slows a transfer down")]
    pub fn spend(&self, bytes: usize) {
        let Some(rate) = self.rate else { return };
        let now = Instant::now();
        let until = {
            let mut spent = self.spent_until.lock().unwrap_or_else(PoisonError::into_inner);
            let from = spent.unwrap_or(now).max(now.checked_sub(BURST).unwrap_or(now));
            let until = from + Duration::try_from_secs_f64(bytes as f64 / rate).unwrap_or(Duration::MAX / 4);
            *spent = Some(until);
            until
        };
        std::thread::sleep(until.saturating_duration_since(now));
    }
}
