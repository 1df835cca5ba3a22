//! How old a mirror's copy is, by the timestamp that its masters write into it.

use std::time::Duration;

use crate::http::date;

const HOUR: u64 = 3600;

/// Mirrors fetch from their masters every four hours: a copy of this age has missed hardly any turn.
pub const FRESH: Duration = Duration::from_secs(12 * HOUR);
/// A copy that has missed some turns.
pub const AGEING: Duration = Duration::from_secs(28 * HOUR);
/// A copy that nothing has reached for a day and more. An older one is given up by its operator, as far as one knows.
pub const STALE: Duration = Duration::from_secs(52 * HOUR);

/// A copy cannot be from the future; clocks may differ by so much.
const CLOCKS_DIFFER: u64 = HOUR;
/// A clock that is wrong by less does no harm here.
const CLOCK_IS_RIGHT: i64 = 120;
/// So many servers must agree before this machine's clock is doubted.
const WITNESSES: usize = 3;

/// How far a mirror's copy can be relied on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Age {
    Fresh,
    Ageing,
    /// The mirror does not say.
    #[default]
    Unknown,
    Stale,
    /// Out, unless nothing else is left.
    Old,
}

impl Age {
    /// The class of a copy made at `timestamp`, as seen `now`; both in UNIX seconds.
    pub fn of(timestamp: Option<u64>, now: u64) -> Self {
        let Some(age) = timestamp.and_then(|timestamp| age(timestamp, now)) else { return Self::Unknown };
        match age {
            age if age <= FRESH => Self::Fresh,
            age if age <= AGEING => Self::Ageing,
            age if age <= STALE => Self::Stale,
            _ => Self::Old,
        }
    }

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Ageing => "ageing",
            Self::Unknown => "unknown",
            Self::Stale => "stale",
            Self::Old => "old",
        }
    }
}

/// The age of a copy; none when it claims to be from the future.
pub fn age(timestamp: u64, now: u64) -> Option<Duration> {
    (timestamp <= now.saturating_add(CLOCKS_DIFFER))
        .then(|| Duration::from_secs(now.saturating_sub(timestamp)))
}

/// The UNIX seconds that a timestamp file means: it begins with them (`timestamp.mirmon`, `timestamp.x`), or is a date
/// (`timestamp.chk`). None for anything else, an HTML page above all.
pub fn parse(text: &str) -> Option<u64> {
    let text = text.trim();
    let first = text.split_whitespace().next()?;
    if first.len() >= 9 && first.bytes().all(|byte| byte.is_ascii_digit()) {
        return first.parse().ok();
    }
    let is_short = text.len() <= 64 && !text.contains('<');
    is_short.then(|| date::parse(text)).flatten().and_then(|seconds| u64::try_from(seconds).ok())
}

/// By how many seconds this machine's clock is ahead of those of the servers, when it is wrong. `ahead` has what each
/// server's `Date` says. Servers have the right time as a rule; a single one may not.
pub fn clock_error(ahead: &[i64]) -> Option<i64> {
    let mut sorted = ahead.to_vec();
    sorted.sort_unstable();
    let median = *sorted.get(sorted.len() / 2)?;
    (sorted.len() >= WITNESSES && median.abs() > CLOCK_IS_RIGHT).then_some(median)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    #[test]
    fn a_timestamp_in_each_of_its_forms() {
        for (text, seconds) in [
            ("1799990000\n", Some(1_799_990_000)),
            ("1799990000 Fri Jan 15 2027\n", Some(1_799_990_000)),
            ("Fri, 15 Jan 2027 05:13:20 +0000\n", Some(1_799_990_000)),
            ("", None),
            ("12\n", None),
            ("<!DOCTYPE html><html>1799990000</html>", None),
            ("<html><body>Sun, 06 Nov 1994 08:49:37 GMT</body></html>", None),
            ("not found", None),
            ("99999999999999999999999999", None),
        ] {
            assert_eq!(parse(text), seconds, "{text}");
        }
    }

    #[test]
    fn classes_end_where_they_are_said_to_end() {
        for (hours, class) in [
            (0, Age::Fresh),
            (12, Age::Fresh),
            (13, Age::Ageing),
            (28, Age::Ageing),
            (29, Age::Stale),
            (52, Age::Stale),
            (53, Age::Old),
            (3 * 365 * 24, Age::Old),
        ] {
            assert_eq!(Age::of(Some(NOW - hours * HOUR), NOW), class, "{hours} h");
        }
        assert_eq!(Age::of(Some(NOW + 600), NOW), Age::Fresh, "clocks differ a little");
        assert_eq!(Age::of(Some(NOW + 2 * HOUR), NOW), Age::Unknown, "from the future");
        assert_eq!(Age::of(None, NOW), Age::Unknown);
        assert!(Age::Fresh < Age::Ageing && Age::Ageing < Age::Unknown);
        assert!(Age::Unknown < Age::Stale && Age::Stale < Age::Old);
    }

    #[test]
    fn one_server_with_a_wrong_clock_proves_nothing() {
        assert_eq!(clock_error(&[]), None);
        assert_eq!(clock_error(&[9000, 9000]), None, "two are too few");
        assert_eq!(clock_error(&[1, -2, 90_000]), None);
        assert_eq!(clock_error(&[3600, 3601, 3599, -80_000]), Some(3600));
        assert_eq!(clock_error(&[-3600, -3601, -3599]), Some(-3600));
    }
}
