//! How old a mirror's copy is: the timestamp that it carries, and what its age means.
//!
//! Gentoo's mirrors carry `distfiles/timestamp.mirmon` (UNIX seconds); the tree has
//! `metadata/timestamp.x` (UNIX seconds, then a date) and `metadata/timestamp.chk` (an RFC 2822 date).

use std::time::Duration;

use crate::http::date;

/// Where a distfiles mirror keeps its timestamp, below its base.
pub const DISTFILES: &str = "distfiles/timestamp.mirmon";

/// The largest file that may be a timestamp, in bytes. A page of HTML may be larger; it is none anyway.
pub const LARGEST: u64 = 4096;

/// What the age of a mirror's copy means for its place among the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Freshness {
    /// At most 12 h: mirrors take what is new every four hours.
    Fresh,
    /// At most 28 h: one day's run was missed.
    Ageing,
    /// At most 52 h: two were missed. It belongs behind all that are fresh.
    Stale,
    /// Older, or from the future: nobody should use it unless there is nothing else.
    Out,
}

impl Freshness {
    /// What a timestamp means at a time, both in UNIX seconds.
    pub fn at(written: i64, now: i64) -> Self {
        const HOUR: i64 = 3600;
        match now.saturating_sub(written) {
            // The clocks of two hosts are never quite the same.
            ahead if ahead < -HOUR => Self::Out,
            age if age <= 12 * HOUR => Self::Fresh,
            age if age <= 28 * HOUR => Self::Ageing,
            age if age <= 52 * HOUR => Self::Stale,
            _ => Self::Out,
        }
    }
}

/// The age of a copy at a time, both in UNIX seconds; none when it is from the future.
pub fn age(written: i64, now: i64) -> Duration {
    Duration::from_secs(u64::try_from(now.saturating_sub(written)).unwrap_or(0))
}

/// When a mirror's copy was made, in UNIX seconds. `None` when the content is no timestamp, as a
/// page of HTML that a mirror sends with status 200 for what it lacks.
pub fn parse(content: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(content).ok()?.trim_start_matches('\u{feff}');
    let line = text.trim_start().lines().next()?;
    let first = line.split_ascii_whitespace().next()?;
    if first.bytes().all(|byte| byte.is_ascii_digit())
        && let Ok(seconds) = first.parse()
        && UNIX_SECONDS.contains(&seconds)
    {
        return Some(seconds);
    }
    // A zone may be named behind its figures: `+0000 (UTC)`.
    let date = line.split('(').next()?;
    date::parse(date).filter(|seconds| UNIX_SECONDS.contains(seconds))
}

/// 2001 to 2286. Smaller numbers are a day of the month, larger ones no seconds.
const UNIX_SECONDS: std::ops::Range<i64> = 1_000_000_000..10_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_timestamp_is_read() {
        for content in [
            "1793700000",
            "1793700000\n",
            " 1793700000 Tue Nov  3 10:00:00 2026\n",
            "\u{feff}1793700000\r\n",
            "Tue, 03 Nov 2026 10:00:00 +0000\n",
            "Tue, 03 Nov 2026 11:00:00 +0100 (CET)\n",
            "3 Nov 2026 10:00:00 +0000",
            "Tue Nov  3 10:00:00 UTC 2026",
            "2026-11-03T10:00:00Z\nmore\n",
        ] {
            assert_eq!(parse(content.as_bytes()), Some(1_793_700_000), "{content:?}");
        }
    }

    #[test]
    fn what_is_no_timestamp_is_none() {
        for content in [
            "",
            "\n \n",
            "<!DOCTYPE html>\n<html><head><title>1793700000</title>",
            "<html>\n1793700000",
            "404 Not Found",
            "Not found: 3 Nov 2026",
            "17937",
            "1793700000000",
            "-1793700000",
            "99999999999999999999999999",
            "3 Nov 1970 10:00:00",
            "{\"time\": 1793700000}",
        ] {
            assert_eq!(parse(content.as_bytes()), None, "{content:?}");
        }
        assert_eq!(parse(b"\xff\xfe1793700000"), None);
    }

    #[test]
    fn the_classes_begin_and_end_where_they_should() {
        const NOW: i64 = 1_793_700_000;
        for (age, class) in [
            (-3601, Freshness::Out),
            (-3600, Freshness::Fresh),
            (0, Freshness::Fresh),
            (12 * 3600, Freshness::Fresh),
            (12 * 3600 + 1, Freshness::Ageing),
            (28 * 3600, Freshness::Ageing),
            (28 * 3600 + 1, Freshness::Stale),
            (52 * 3600, Freshness::Stale),
            (52 * 3600 + 1, Freshness::Out),
            (3 * 365 * 86_400, Freshness::Out),
        ] {
            assert_eq!(Freshness::at(NOW - age, NOW), class, "{age} s");
        }
        assert_eq!(Freshness::at(i64::MIN, NOW), Freshness::Out);
        assert_eq!((age(NOW - 5, NOW), age(NOW + 5, NOW)), (Duration::from_secs(5), Duration::ZERO));
        assert!(Freshness::Fresh < Freshness::Out);
    }
}
