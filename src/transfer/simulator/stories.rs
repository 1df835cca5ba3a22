//! Stories of a few events, told by hand.

use std::time::Duration;

use super::super::scheduler::sharing::PER_SOURCE;
use super::super::scheduler::{Action, Expectation, Manner, Opened, Plan, Scheduler, SourceId, Time};
use super::super::segments::Segments;
use crate::http::{ByteRange, Failure};

const MS: fn(u64) -> Duration = Duration::from_millis;

fn scheduler(size: Option<u64>, sources: usize) -> Scheduler {
    let sources = vec![Expectation::default(); sources];
    let mut scheduler = Scheduler::new(Plan {
        size,
        present: Segments::new(),
        sources,
        parallel: 4,
        retries: 0,
        silence: Duration::from_secs(15),
    });
    scheduler.tick(Time::ZERO);
    scheduler
}

fn asked(scheduler: &mut Scheduler) -> Vec<(SourceId, ByteRange)> {
    let opened = |action| match action {
        Action::Open { source, range, .. } => Some((source, range)),
        Action::Shorten { .. } | Action::Close { .. } => None,
    };
    scheduler.take_actions().into_iter().filter_map(opened).collect()
}

fn whole(end: u64) -> Opened {
    Opened { first_pos: 0, content_end: Some(end), complete_length: Some(end), reused: false }
}

#[test]
fn a_source_that_refuses_a_range_of_its_own_file_is_not_asked_for_ever() {
    let mut scheduler = scheduler(Some(100), 1);
    assert_eq!(asked(&mut scheduler), [(0, ByteRange::new(0, 100))]);
    scheduler.failed(0, Failure::RangeNotSatisfiable { complete_length: Some(100) }, MS(1));
    assert!(asked(&mut scheduler).is_empty());
    assert!(scheduler.is_stuck());
}

#[test]
fn content_that_ends_before_it_begins_is_not_asked_for_for_ever() {
    let mut scheduler = scheduler(Some(100), 1);
    let mut requests = 0;
    for second in 1..60 {
        scheduler.tick(MS(second * 1000));
        requests += asked(&mut scheduler).len();
        scheduler.opened(0, whole(100), MS(second * 1000 + 1));
        scheduler.ended(0, MS(second * 1000 + 2));
    }
    requests += asked(&mut scheduler).len();
    assert!(scheduler.is_stuck());
    assert_eq!(requests, 3);
}

#[test]
fn a_late_answer_gets_its_claim_back() {
    let mut scheduler = scheduler(Some(100), 2);
    assert_eq!(asked(&mut scheduler), [(0, ByteRange::new(0, 100))]);
    scheduler.tick(MS(400));
    assert_eq!(asked(&mut scheduler), [(1, ByteRange::new(0, 100))]);
    scheduler.opened(0, whole(100), MS(410));
    assert_eq!(scheduler.received(0, 100, MS(420)), Some(ByteRange::new(0, 100)));
    assert!(scheduler.is_complete());
    assert_eq!(scheduler.take_actions(), [Action::Close { source: 1 }]);
}

#[test]
fn bytes_past_the_claim_are_kept_when_nobody_has_them() {
    let mut scheduler = scheduler(None, 2);
    assert_eq!(asked(&mut scheduler)[0], (0, ByteRange::new(0, PER_SOURCE)));
    let opened = Opened { first_pos: 0, content_end: None, complete_length: None, reused: false };
    scheduler.opened(0, opened, MS(10));
    scheduler.failed(1, Failure::Status { code: 404, retry_after: None }, MS(11));
    let kept = scheduler.received(0, PER_SOURCE + 5, MS(20));
    assert_eq!(kept, Some(ByteRange::new(0, PER_SOURCE + 5)));
    scheduler.ended(0, MS(30));
    assert!(scheduler.is_complete());
    assert_eq!(scheduler.size(), Some(PER_SOURCE + 5));
}

#[test]
fn an_empty_file_of_unknown_size_is_complete() {
    let mut scheduler = scheduler(None, 2);
    let opened = Opened { first_pos: 0, content_end: None, complete_length: None, reused: false };
    scheduler.opened(0, opened, MS(10));
    scheduler.ended(0, MS(20));
    assert!(scheduler.is_complete());
    assert_eq!(scheduler.size(), Some(0));
}

#[test]
fn a_silent_source_is_noticed_by_those_who_deliver() {
    let mut scheduler = scheduler(Some(10 * PER_SOURCE), 2);
    let requests = asked(&mut scheduler);
    for (id, range) in requests {
        let opened =
            Opened { first_pos: range.first, content_end: Some(range.end), ..whole(10 * PER_SOURCE) };
        scheduler.opened(id, opened, MS(10));
    }
    for ms in (20..1100).step_by(10) {
        scheduler.received(1, 10, MS(ms));
    }
    assert!(matches!(scheduler.failure(0), Some(Failure::Stalled(_))));
}

#[test]
fn a_length_that_contradicts_the_one_known_is_no_news() {
    let mut scheduler = scheduler(None, 1);
    asked(&mut scheduler);
    scheduler.opened(0, whole(1 << 40), MS(1));
    scheduler.received(0, 1000, MS(2));
    scheduler.failed(0, Failure::Truncated, MS(3));
    assert_eq!(asked(&mut scheduler), [(0, ByteRange::new(1000, 1 << 40))]);
    scheduler.failed(0, Failure::RangeNotSatisfiable { complete_length: Some(1000) }, MS(4));
    assert!(scheduler.is_stuck());
}

#[test]
fn a_silent_source_that_speaks_before_its_replacement_goes_on() {
    let mut scheduler = scheduler(Some(100), 2);
    asked(&mut scheduler);
    scheduler.opened(0, whole(100), MS(10));
    scheduler.received(0, 10, MS(20));
    scheduler.tick(MS(1000));
    assert!(asked(&mut scheduler).is_empty(), "it may be the link");
    scheduler.tick(MS(1050));
    assert_eq!(asked(&mut scheduler), [(1, ByteRange::new(10, 100))]);
    assert_eq!(scheduler.received(0, 90, MS(1060)), Some(ByteRange::new(10, 100)));
    assert!(scheduler.is_complete());
    assert_eq!(scheduler.failure(0), None);
}

#[test]
fn a_silent_source_whose_part_another_one_brought_has_failed() {
    let mut scheduler = scheduler(Some(100), 2);
    asked(&mut scheduler);
    scheduler.opened(0, whole(100), MS(10));
    scheduler.tick(MS(1050));
    assert_eq!(asked(&mut scheduler), [(1, ByteRange::new(0, 100))]);
    scheduler.opened(1, whole(100), MS(1060));
    assert_eq!(scheduler.received(1, 100, MS(1070)), Some(ByteRange::new(0, 100)));
    assert!(matches!(scheduler.failure(0), Some(Failure::Stalled(_))));
}

#[test]
fn who_is_said_to_rest_is_not_asked_before_it_has() {
    let mut scheduler = scheduler(Some(100), 2);
    assert_eq!(asked(&mut scheduler), [(0, ByteRange::new(0, 100))]);
    scheduler.rest(1, MS(2000));
    scheduler.failed(0, Failure::Status { code: 404, retry_after: None }, MS(10));
    for time in (50..2000).step_by(50) {
        scheduler.tick(MS(time));
        assert!(asked(&mut scheduler).is_empty() && !scheduler.is_stuck(), "{time} ms");
    }
    scheduler.tick(MS(2000));
    assert_eq!(asked(&mut scheduler), [(1, ByteRange::new(0, 100))]);
}

/// Asks until nobody is left; what the requests were, as (source, manner).
fn all_fail(scheduler: &mut Scheduler, failures: &[Failure]) -> Vec<(SourceId, Manner)> {
    let mut requests = Vec::new();
    for time in (0..60_000).step_by(50) {
        for action in scheduler.take_actions() {
            if let Action::Open { source, manner, .. } = action {
                requests.push((source, manner));
                scheduler.failed(source, failures[source].clone(), MS(time));
            }
        }
        if scheduler.is_stuck() {
            break;
        }
        scheduler.tick(MS(time));
    }
    assert!(scheduler.is_stuck());
    requests
}

#[test]
fn the_last_hope_is_one_plain_request_to_each_that_may_have_it() {
    let status = |code| Failure::Status { code, retry_after: None };
    let size = |got| Failure::WrongSize { expected: 100, got };
    let failures = [
        status(403),
        status(404),
        status(404),
        size(101),
        size(101),
        size(99),
        Failure::HtmlPage,
        status(429),
    ];
    let mut scheduler = scheduler(Some(100), failures.len());
    let ranged = all_fail(&mut scheduler, &failures);
    assert!(ranged.iter().all(|(_, manner)| *manner == Manner::Ranged), "{ranged:?}");
    assert!(scheduler.ask_plainly());
    scheduler.tick(MS(60_000));
    // They were asked for the whole file, which is no range: a refusal was no matter of that.
    assert_eq!(all_fail(&mut scheduler, &failures), [(3, Manner::Plain), (6, Manner::Plain)]);
    assert!(!scheduler.ask_plainly(), "once");
}

#[test]
fn who_refused_a_range_may_be_asked_plainly() {
    let status = |code| Failure::Status { code, retry_after: None };
    let failures = [status(404), status(403), status(404), status(403), status(429)];
    let mut scheduler = Scheduler::new(Plan {
        size: Some(100),
        present: Segments::of(ByteRange::new(0, 50)),
        sources: vec![Expectation::default(); failures.len()],
        parallel: 4,
        retries: 0,
        silence: Duration::from_secs(15),
    });
    scheduler.tick(Time::ZERO);
    all_fail(&mut scheduler, &failures);
    assert!(scheduler.ask_plainly());
    scheduler.tick(MS(60_000));
    let plain = [0, 1, 3].map(|source| (source, Manner::Plain));
    assert_eq!(all_fail(&mut scheduler, &failures), plain, "one that lacks it speaks for all of them");
}
