//! Events of any kind, for property tests.

use std::time::Duration;

use proptest::prelude::*;

use super::event::{Attempt, Delta, FailureKind, Outcome, RateSample};
use super::key::{FileKey, MirrorKey};

/// UNIX seconds: mostly near each other, so that events interact, sometimes anything.
pub(super) fn time() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => 1_800_000_000_u64..1_800_000_100,
        2 => 1_800_000_000_u64..1_900_000_000,
        1 => any::<u64>(),
    ]
}

pub(super) fn delta() -> impl Strategy<Value = Delta> {
    prop_oneof![
        6 => attempt().prop_map(Delta::Attempt),
        1 => (mirror(), time(), ".{0,9}").prop_map(|(mirror, at, text)| Delta::Layout { mirror, at, text }),
        1 => (mirror(), time()).prop_map(|(mirror, at)| Delta::LayoutInDoubt { mirror, at }),
        1 => (mirror(), time(), time())
            .prop_map(|(mirror, at, timestamp)| Delta::Freshness { mirror, at, timestamp }),
        1 => (mirror(), time(), any::<u64>())
            .prop_map(|(mirror, at, connections)| Delta::ConnectionCap { mirror, at, connections }),
        1 => (mirror(), time()).prop_map(|(mirror, at)| Delta::NoRanges { mirror, at }),
        2 => (mirror(), file(), time(), time(), "\\PC{0,120}").prop_map(|(mirror, file, at, lasts, answer)| {
            Delta::Lacks { mirror, file, at, lasts, answer }
        }),
        1 => (file(), time(), time())
            .prop_map(|(file, at, lasts)| Delta::WrongEverywhere { file, at, lasts }),
        1 => (prop::collection::vec(mirror(), 0..4), time())
            .prop_map(|(mirrors, at)| Delta::Ranking { at, mirrors }),
        1 => ("[a-c]", time(), any::<bool>())
            .prop_map(|(name, at, hit)| Delta::Repository { name, at, hit }),
    ]
}

/// The mirror that an event is about.
pub(super) fn mirror_of(delta: &Delta) -> Option<&MirrorKey> {
    match delta {
        Delta::Attempt(attempt) => Some(&attempt.mirror),
        Delta::Layout { mirror, .. }
        | Delta::LayoutInDoubt { mirror, .. }
        | Delta::Freshness { mirror, .. }
        | Delta::ConnectionCap { mirror, .. }
        | Delta::NoRanges { mirror, .. }
        | Delta::Lacks { mirror, .. } => Some(mirror),
        Delta::WrongEverywhere { .. } | Delta::Ranking { .. } | Delta::Repository { .. } => None,
    }
}

fn mirror() -> impl Strategy<Value = MirrorKey> {
    prop_oneof![4 => "http://[a-d]\\.example".boxed(), 1 => "\\PC{0,20}".boxed()]
        .prop_map(|url| MirrorKey::new(&url))
}

fn file() -> impl Strategy<Value = FileKey> {
    (prop_oneof!["[a-d]", ".{0,300}"], prop::option::of("[0-9a-f]{16}"))
        .prop_map(|(name, digest)| FileKey::new(&name, digest.as_deref()))
}

fn attempt() -> impl Strategy<Value = Attempt> {
    let rate = (number(), duration()).prop_map(|(bytes, duration)| RateSample { bytes, duration });
    let figures = (number(), number(), prop::option::of(duration()), prop::option::of(rate));
    (mirror(), time(), outcome(), figures).prop_map(
        |(mirror, at, outcome, (bytes_kept, bytes_wasted, first_byte, rate))| Attempt {
            mirror,
            at,
            outcome,
            bytes_kept,
            bytes_wasted,
            first_byte,
            rate,
        },
    )
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        3 => Just(Outcome::Success),
        3 => (prop::sample::select(&FailureKind::ALL[..]), prop::option::of(duration()))
            .prop_map(|(kind, retry_after)| Outcome::Failure { kind, retry_after }),
        1 => Just(Outcome::Interrupted),
    ]
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 0_u64..1_000_000_000, 1 => any::<u64>()]
}

fn duration() -> impl Strategy<Value = Duration> {
    prop_oneof![4 => 0_u64..10_000_000, 1 => any::<u64>()].prop_map(Duration::from_micros)
}
