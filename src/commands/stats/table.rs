//! The figures of mirrors as a table that fits the terminal.

use std::cmp::Reverse;

use super::fitting::{Table, names};
use super::units::{duration, known, nothing, percent, size};
use crate::mirror::stats::{LastFailure, Mirror};
use crate::mirror::{MirrorKey, State};
use crate::progress::printable;

/// A column: its heading, and what it says of a mirror `now` (UNIX seconds).
type Column = (&'static str, fn(&Mirror, u64) -> String);

/// Behind the mirror's name, in the order in which they are shown.
const COLUMNS: [Column; 8] = [
    ("attempts", |mirror, _| mirror.attempts.to_string()),
    ("ok %", |mirror, _| percent(mirror.successes, mirror.successes.saturating_add(mirror.failures_total()))),
    ("kept", |mirror, _| size(mirror.bytes_kept)),
    ("wasted %", |mirror, _| {
        percent(mirror.bytes_wasted, mirror.bytes_kept.saturating_add(mirror.bytes_wasted))
    }),
    ("ms", |mirror, _| known(mirror.first_byte_us.mean().map(|us| us as f64 / 1e3))),
    ("MiB/s", |mirror, _| known(mirror.bytes_per_second.mean().map(|rate| rate as f64 / f64::from(1 << 20)))),
    ("last failure", |mirror, now| {
        mirror.last_failure.map_or_else(nothing, |failure| last_failure(failure, now))
    }),
    ("rests", |mirror, now| match mirror.cool_down_left(now) {
        0 => nothing(),
        left => duration(left),
    }),
];

/// The columns, the most useful first: those that do not fit are left out.
const BY_USE: [usize; 8] = [5, 1, 2, 4, 6, 7, 0, 3];

/// One line for each mirror, the most useful first. `width` in characters; without one everything is shown, and mirrors
/// by their whole URLs.
pub(super) fn write(state: &State, now: u64, width: Option<usize>) -> String {
    let mut mirrors: Vec<(&MirrorKey, &Mirror)> = state.mirrors().collect();
    mirrors.sort_by_key(|(_, mirror)| Reverse(mirror.bytes_kept));
    let keys: Vec<&MirrorKey> = mirrors.iter().map(|(key, _)| *key).collect();
    let cells = |column: &Column| -> Vec<String> {
        let rows = mirrors.iter().map(|(_, mirror)| printable(&column.1(mirror, now)));
        std::iter::once(column.0.to_owned()).chain(rows).collect()
    };
    let names = names(&keys, width.is_none());
    Table { names, columns: COLUMNS.iter().map(cells).collect(), by_use: BY_USE.to_vec() }.write(width)
}

fn last_failure(failure: LastFailure, now: u64) -> String {
    format!("{}, {} ago", failure.kind.name(), duration(now.saturating_sub(failure.at)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::mirror::{Attempt, Delta, FailureKind, Outcome, RateSample};

    const NOW: u64 = 1_800_000_000;

    fn attempt(mirror: &str, at: u64, outcome: Outcome, kept: u64, wasted: u64) -> Delta {
        Delta::Attempt(Attempt {
            mirror: MirrorKey::new(mirror),
            at,
            outcome,
            bytes_kept: kept,
            bytes_wasted: wasted,
            first_byte: (kept > 0).then_some(Duration::from_micros(41_250)),
            rate: (kept > 0).then_some(RateSample { bytes: kept, duration: Duration::from_secs(2) }),
        })
    }

    fn state() -> State {
        let timeout = Outcome::Failure { kind: FailureKind::Timeout, retry_after: None };
        let missing = Outcome::Failure { kind: FailureKind::NotFound, retry_after: None };
        let mut state = State::default();
        state.apply_all(&[
            attempt("http://dead.example", NOW - 10, timeout, 0, 0),
            attempt("https://u:secret@good.example/gentoo", NOW - 7200, missing, 0, 0),
            attempt("https://good.example/gentoo", NOW, Outcome::Success, 3 << 20, 1 << 20),
            attempt("http://a-rather-long-name.of.a.mirror.example/pub/gentoo", NOW, Outcome::Success, 1, 0),
            attempt("http://a-rather-long-name.of.a.mirror.example/gentoo", NOW, Outcome::Interrupted, 0, 0),
        ]);
        state
    }

    #[test]
    fn everything() {
        let expected = "\
mirror                                                attempts   ok %     kept  wasted %    ms  MiB/s        last failure  rests
https://good.example/gentoo                                  2   50.0  3.0 MiB      25.0  41.2    1.5  not_found, 2 h ago      -
http://a-rather-long-name.of.a.mirror.example/pub/gentoo         1  100.0      1 B       0.0  41.2    0.0                   -      -
";
        let text = write(&state(), NOW, None);
        let found: Vec<_> =
            text.lines().take(3).map(|line| line.split_whitespace().collect::<Vec<_>>()).collect();
        let expected: Vec<Vec<_>> = expected.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(found, expected, "{text}");
        assert_eq!(text.lines().count(), 5);
    }

    #[test]
    fn eighty_columns() {
        let expected = "\
mirror                            ok %     kept    ms  MiB/s        last failure
good.example                      50.0  3.0 MiB  41.2    1.5  not_found, 2 h ago
a-rather-long-n…mple/pub/gentoo  100.0      1 B  41.2    0.0                   -
a-rather-long-n….example/gentoo      -      0 B     -      -                   -
";
        let text = write(&state(), NOW, Some(80));
        let found: Vec<_> = text.lines().take(4).collect();
        assert_eq!(found.join("\n") + "\n", expected, "{text}");
    }

    #[test]
    fn every_width_is_kept_to() {
        let mut state = state();
        let host = "x".repeat(120);
        state.apply(&attempt(&format!("http://{host}/"), NOW, Outcome::Success, 1 << 30, 0));
        for width in (1..=200).chain([1000]) {
            let text = write(&state, NOW, Some(width));
            let widest = text.lines().map(|line| line.chars().count()).max().unwrap();
            assert!(widest <= width.max(1), "{width}: {widest}\n{text}");
            assert_eq!(text.lines().count(), 6);
            assert!(width < 40 || text.contains("MiB/s") && text.contains("ok %"), "{text}");
            assert!(width < 120 || text.contains("attempts"), "{width}\n{text}");
        }
        assert!(write(&state, NOW, Some(40)).contains("dead.example"));
    }
}
