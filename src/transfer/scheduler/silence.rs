//! Who is silent, and what that means: a source that is lost, or a link that is.

use std::time::Duration;

use super::sharing::CRAWL;
use super::source::{Source, State};
use super::{Action, LIVELY, PAUSE, Scheduler, SourceId, Time};
use crate::http::{ByteRange, Failure};
use crate::patience::{LOST, NEAR_ANSWER};

impl Scheduler {
    /// For how long no source has given a sign of life, when that is longer than anybody waits: it is the link. One
    /// that is alone is asked again instead.
    pub fn cut_off(&self, now: Time) -> Option<Duration> {
        let silence = now.saturating_sub(self.last_sign);
        let waits = self.sources.iter().any(Source::is_active);
        (waits && !self.is_alone() && silence > self.silence).then_some(silence)
    }

    /// Whether anything has come from anybody.
    pub fn has_received(&self) -> bool {
        self.sources.iter().any(|source| !source.is_new())
    }

    /// Whether nothing has come from anybody for so long that it may be the link.
    pub fn is_quiet(&self, now: Time) -> bool {
        now.saturating_sub(self.last_arrival) > LOST
    }

    /// So many other transfers of this call share the link.
    pub fn set_beside(&mut self, transfers: usize) {
        self.beside = transfers;
    }

    /// Whether more is to be expected of the sources of this tier. If not, the next one is asked. Who has no more than
    /// a part of the link is not slow for that.
    pub(super) fn delivers(&self, tier: u8, now: Time) -> bool {
        let least = CRAWL / (1.0 + self.beside as f64);
        let of_tier = (0..self.sources.len()).filter(|id| self.tier(*id) == tier);
        of_tier.map(|id| &self.sources[id]).any(|s| match s.state {
            State::Opening { since, .. } => {
                let patience = if s.round_trip.is_some() { NEAR_ANSWER } else { LOST };
                now.saturating_sub(since) < patience
            }
            State::Receiving { since, last, first_pos, ref claim, .. } => {
                let young = now.saturating_sub(since) < LOST * 2;
                // It may wait for a part within its answer, too.
                let pauses = now.saturating_sub(last) < NEAR_ANSWER;
                let average =
                    claim.first.saturating_sub(first_pos) as f64 / now.saturating_sub(since).as_secs_f64();
                young || pauses && average > least || s.meter.rate(now).is_some_and(|rate| rate > least)
            }
            State::Idle | State::Resting { .. } | State::Out => false,
        })
    }

    /// Ends what was awaited for too long.
    pub(super) fn expire(&mut self, now: Time) {
        for id in 0..self.sources.len() {
            match self.sources[id].state {
                State::Resting { until } if until <= now => self.sources[id].state = State::Idle,
                State::Receiving { last, .. } => {
                    let silence = now.saturating_sub(last);
                    // What came from anybody within that time came from others.
                    let lively = now.saturating_sub(self.last_arrival) < LIVELY;
                    if silence > self.silence && self.is_alone() || silence > LOST && lively {
                        self.actions.push(Action::Close { source: id });
                        self.sources[id].silent = true;
                        self.fail(id, Failure::Stalled(silence), now);
                    }
                }
                State::Opening { since, .. } => {
                    let waited = now.saturating_sub(since);
                    // What came since then came from others.
                    let lively = now.saturating_sub(self.last_arrival) < LIVELY;
                    let last_of_many = self.is_alone() && self.sources.len() > 1;
                    if waited > self.silence && (lively || last_of_many) {
                        self.actions.push(Action::Close { source: id });
                        self.sources[id].silent = true;
                        self.fail(id, Failure::Stalled(waited), now);
                    }
                }
                _ => {}
            }
        }
    }

    /// Whether it is silent and nothing has come from anybody since: it may be the link, and says nothing of its
    /// rate.
    pub(super) fn pauses(&self, source: &Source, now: Time) -> bool {
        let State::Receiving { last, .. } = source.state else { return false };
        self.last_arrival <= last && (PAUSE..LOST).contains(&now.saturating_sub(last))
    }

    /// Takes what a source was asked for and does not send. If it does while nobody else has it, it gets it back.
    pub(super) fn unclaim(&mut self, id: SourceId) {
        let taken = match &mut self.sources[id].state {
            State::Opening { claim, .. } => claim.take(),
            State::Receiving { claim, .. } => {
                Some(std::mem::replace(claim, ByteRange::new(claim.first, claim.first)))
            }
            State::Idle | State::Resting { .. } | State::Out => None,
        };
        if let Some(claim) = taken {
            self.release(claim);
        }
    }

    pub(super) fn unclaim_overdue(&mut self, now: Time) {
        for id in 0..self.sources.len() {
            if self.sources[id].is_overdue(now) {
                self.unclaim(id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Expectation, Opened, Plan};
    use super::*;

    /// A line of 100 kB/s: with siblings beside it the file looked as if its tier crawled, so that mirrors of the next one
    /// were asked as well.
    #[test]
    fn a_shared_line_is_no_crawl() {
        for (beside, rate, are_asked) in [(0, 50_000, true), (3, 50_000, false), (3, 20_000, true)] {
            let expected = |tier| Expectation { tier, ..Expectation::default() };
            let mut scheduler = Scheduler::new(Plan {
                size: Some(1_000_000),
                present: crate::transfer::segments::Segments::new(),
                sources: vec![expected(0), expected(1)],
                parallel: 4,
                retries: 0,
                silence: Duration::from_secs(15),
            });
            scheduler.set_beside(beside);
            scheduler.tick(Time::ZERO);
            let opened =
                Opened { first_pos: 0, content_end: Some(1_000_000), complete_length: None, reused: false };
            scheduler.opened(0, opened, Duration::from_millis(50));
            for step in 1..60 {
                scheduler.received(0, rate / 10, Duration::from_millis(50 + 100 * step));
                scheduler.tick(Duration::from_millis(50 + 100 * step));
            }
            let actions = scheduler.take_actions();
            let is_asked = |action: &Action| matches!(action, Action::Open { source: 1, .. });
            assert_eq!(
                actions.iter().any(is_asked),
                are_asked,
                "{rate} bytes/s beside {beside}: {actions:?}"
            );
        }
    }
}
