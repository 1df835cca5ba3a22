//! What the observer is told while a transfer goes on.

use std::time::Duration;

use super::{Snapshot, Stage, Transfer, now};
use crate::http::Failure;
use crate::transfer::narration;
use crate::transfer::scheduler::{Scheduler, SourceId};
use crate::transfer::sink::Sink;

/// How often the progress is told.
const TELL: Duration = Duration::from_millis(100);

impl Transfer<'_> {
    pub(super) fn tell(
        &mut self,
        stage: Stage,
        sink: &Sink,
        size: Option<u64>,
        rates: Option<Vec<(SourceId, f64)>>,
    ) {
        self.say_what_happened();
        let at = now();
        let due = self.told.is_none_or(|told| at.saturating_duration_since(told) >= TELL);
        if !due && stage == Stage::Receiving {
            return;
        }
        self.told = Some(at);
        let rates = rates.unwrap_or_default();
        let snapshot = Snapshot {
            have: sink.present().len(),
            resumed: self.resumed,
            size: size.or(self.wanted.size),
            elapsed: at.saturating_duration_since(self.clock.began),
            stage: if stage == Stage::Receiving && rates.iter().all(|(_, rate)| *rate == 0.0) {
                Stage::Connecting
            } else {
                stage
            },
            rates,
            files: None,
        };
        self.observer.progress(at, &snapshot);
    }

    /// Each step since this was called last, when it is to be told.
    pub(super) fn say_what_happened(&mut self) {
        for event in self.trace.news() {
            if let Some(line) = narration::line(&event, &self.names) {
                self.observer.note(&line);
            }
        }
    }

    /// A source that is not asked any longer is named once, while there are others: who misspelt a mirror's name sees it.
    /// That a mirror lacks the file is nothing unusual, and a proxy that fails is no mirror's fault.
    pub(super) fn say_skipped(&mut self, scheduler: &Scheduler, source: SourceId, failure: &Failure) {
        let mut others = (0..self.names.len()).filter(|other| *other != source);
        let is_out = !scheduler.is_alive(source) && others.any(|other| scheduler.is_alive(other));
        let is_usual = failure.is_not_found() || failure.is_of_proxy();
        if is_out && !is_usual && self.tallies[source].failures.is_empty() {
            self.observer.note(&failure.skipped(&self.names[source]));
        }
    }
}
