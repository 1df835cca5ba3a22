//! When a transfer ends because of the caller: its limits and its signals.

use std::ops::ControlFlow;
use std::time::Duration;

use super::{Outcome, Sink, Time, Transfer, now};

impl Transfer<'_> {
    /// Waits, while no source is asked, unless that ends the transfer.
    pub(super) fn wait_idle(&self, time: Duration) -> ControlFlow<Outcome> {
        let elapsed = now().saturating_duration_since(self.clock.began);
        if let Some(limit) = self.limits.time.filter(|limit| elapsed >= *limit) {
            return ControlFlow::Break(Outcome::TimeUp(limit));
        }
        let _ = self.reports.recv_timeout(time); // nobody was asked, so this is a pause
        match self.around.signalled() {
            Some(number) => ControlFlow::Break(Outcome::Signal(number)),
            None => ControlFlow::Continue(()),
        }
    }

    /// Why the transfer must end now, if it must.
    pub(super) fn too_long(&mut self, sink: &Sink, size: Option<u64>, at: Time) -> Option<Outcome> {
        if let Some(number) = self.around.signalled() {
            return Some(Outcome::Signal(number));
        }
        if let Some(limit) = self.limits.largest.filter(|limit| size.unwrap_or(sink.prefix()) > *limit) {
            return Some(Outcome::TooLarge { limit });
        }
        let elapsed = now().saturating_duration_since(self.clock.began);
        if let Some(limit) = self.limits.time.filter(|limit| elapsed >= *limit) {
            return Some(Outcome::TimeUp(limit));
        }
        let (speed, time) = self.limits.speed?;
        let have = sink.present().len();
        let (since, had) = *self.slow_since.get_or_insert((at, have));
        let window = at.saturating_sub(since);
        if have.saturating_sub(had) as f64 >= speed as f64 * window.as_secs_f64().max(1.0) {
            self.slow_since = Some((at, have));
            return None;
        }
        (window >= time).then_some(Outcome::TooSlow { speed, time })
    }
}
