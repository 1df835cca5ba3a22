//! When a transfer ends because of the caller: its limits and its signals.

use super::{Outcome, Sink, Time, Transfer, now};

impl Transfer<'_> {
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
        let (speed, time) = self.speed.broken(sink.present().len(), at)?;
        Some(Outcome::TooSlow { speed, time })
    }
}
