//! Sources that answer anything at any time: what is asked of them is bounded by what they bring.

use std::ops::Range;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::super::scheduler::{Action, Expectation, Opened, Plan, Scheduler, SourceId, Time};
use super::super::segments::Segments;
use super::properties::config;
use crate::http::{ByteRange, Failure};

/// Events after which nothing answers any longer.
const EVENTS: usize = 2000;
/// Requests that a source may cost that brings nothing.
const FOR_NOTHING: u64 = 20;
/// Bytes of the file, from anybody, that justify as many further requests to a source.
const PROGRESS: u64 = 64 * 1024;
/// When nothing comes any longer, it is over after so long.
const SILENCE: Duration = Duration::from_secs(120);

#[derive(Clone, Debug)]
enum Event {
    /// Time goes by, in milliseconds.
    Wait(u64),
    /// Where the answer begins and its content ends, from what was asked for on; and the size that it names.
    Opened {
        before: u64,
        length: Option<u64>,
        complete_length: Option<u64>,
        reused: bool,
    },
    Received(u64),
    Ended,
    Failed(Failure),
}

fn bytes() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0u64), Just(1), 1u64..2000, 1u64..300_000]
}

fn failure() -> impl Strategy<Value = Failure> {
    let length = || prop::option::of(prop_oneof![bytes(), Just(u64::MAX)]);
    prop_oneof![
        3 => Just(Failure::Reset),
        3 => Just(Failure::Truncated),
        3 => length().prop_map(|complete_length| Failure::RangeNotSatisfiable { complete_length }),
        2 => Just(Failure::RangeIgnored),
        2 => Just(Failure::Cancelled),
        2 => Just(Failure::EmptyReply),
        2 => (0u64..3).prop_map(|wait| Failure::Status {
            code: 503,
            retry_after: Some(Duration::from_secs(wait)),
        }),
        1 => Just(Failure::HtmlPage),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    let times = prop_oneof![0u64..10, 10u64..400, 400u64..2000];
    let length = || prop_oneof![1 => Just(None), 3 => bytes().prop_map(Some), 1 => Just(Some(u64::MAX / 2))];
    let opened = (prop_oneof![9 => Just(0u64), 1 => 1u64..9], length(), length(), any::<bool>()).prop_map(
        |(before, length, complete_length, reused)| Event::Opened { before, length, complete_length, reused },
    );
    prop_oneof![
        3 => times.prop_map(Event::Wait),
        3 => opened,
        3 => bytes().prop_map(Event::Received),
        1 => Just(Event::Ended),
        1 => failure().prop_map(Event::Failed),
    ]
}

/// Who says what.
fn script(len: Range<usize>) -> impl Strategy<Value = Vec<(prop::sample::Index, Event)>> {
    prop::collection::vec((any::<prop::sample::Index>(), event()), len)
}

/// The scheduler, and what it wants of the sources.
struct Stage {
    scheduler: Scheduler,
    now: Time,
    /// What is asked of each, and whether it has answered.
    asked: Vec<Option<(ByteRange, bool)>>,
    requests: Vec<u64>,
    present: Segments,
}

impl Stage {
    fn tell(&mut self, id: SourceId, event: &Event) {
        let now = self.now;
        match (event, self.asked[id]) {
            (Event::Wait(ms), _) => {
                self.now += Duration::from_millis(*ms);
                self.scheduler.tick(self.now);
            }
            (Event::Opened { before, length, complete_length, reused }, Some((range, false))) => {
                self.asked[id] = Some((range, true));
                let opened = Opened {
                    first_pos: range.first.saturating_sub(*before),
                    content_end: length.map(|length| range.first.saturating_add(length)),
                    complete_length: *complete_length,
                    reused: *reused,
                };
                self.scheduler.opened(id, opened, now);
            }
            (Event::Received(len), Some((_, true))) => {
                if let Some(kept) = self.scheduler.received(id, *len, now) {
                    assert!(self.present.intersection(kept).is_empty(), "a byte is kept once");
                    self.present.insert(kept);
                }
            }
            (Event::Ended, Some((_, true))) => {
                self.asked[id] = None;
                self.scheduler.ended(id, now);
            }
            (Event::Failed(failure), Some(_)) => {
                self.asked[id] = None;
                self.scheduler.failed(id, failure.clone(), now);
            }
            _ => {}
        }
        for action in self.scheduler.take_actions() {
            match action {
                Action::Open { source, range, .. } => {
                    assert!(!range.is_empty(), "something is asked for");
                    self.asked[source] = Some((range, false));
                    self.requests[source] += 1;
                }
                Action::Close { source } => self.asked[source] = None,
                Action::Shorten { .. } => {}
            }
        }
    }

    fn is_over(&self) -> bool {
        let cut_off = self.scheduler.cut_off(self.now).is_some();
        self.scheduler.is_complete() || self.scheduler.is_stuck() || cut_off
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let allowed = FOR_NOTHING * (1 + self.present.len() / PROGRESS);
        for (id, requests) in self.requests.iter().enumerate() {
            prop_assert!(*requests <= allowed, "{} requests to {}, {} allowed", requests, id, allowed);
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn whatever_they_answer_they_are_not_asked_for_ever(
        // A short one says the same again and again.
        script in prop_oneof![script(1..4), script(4..40)],
        sources in 1usize..5,
        parallel in 1usize..5,
        size in prop::option::of(1u64..3_000_000),
    ) {
        let plan = Plan {
            size,
            present: Segments::new(),
            sources: vec![Expectation::default(); sources],
            parallel,
            retries: 0,
            silence: Duration::from_secs(15),
        };
        let mut stage = Stage {
            scheduler: Scheduler::new(plan),
            now: Time::ZERO,
            asked: vec![None; sources],
            requests: vec![0; sources],
            present: Segments::new(),
        };
        stage.tell(0, &Event::Wait(0));
        for (at, event) in script.iter().cycle().take(EVENTS) {
            if stage.is_over() {
                break;
            }
            stage.tell(at.index(sources), event);
            stage.check()?;
        }
        let silence = stage.now + SILENCE;
        while stage.now < silence && !stage.is_over() {
            stage.tell(0, &Event::Wait(50));
            for id in 0..sources {
                // Who is asked and does not answer runs into a limit of the connection.
                if stage.asked[id].is_some_and(|(_, answered)| !answered) && sources == 1 {
                    stage.tell(id, &Event::Failed(Failure::Reset));
                }
            }
        }
        prop_assert!(stage.is_over(), "it goes on for ever");
        stage.check()?;
    }
}
