//! Byte ranges (RFC 9110, section 14).

use std::fmt;
use std::str::FromStr;

/// The bytes from `first` up to, but not including, `end`.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ByteRange {
    pub first: u64,
    pub end: u64,
}

impl ByteRange {
    /// # Panics
    /// When `end` lies before `first`.
    pub fn new(first: u64, end: u64) -> Self {
        assert!(first <= end, "a range ends after it begins");
        Self { first, end }
    }

    pub fn len(self) -> u64 {
        self.end - self.first
    }

    pub fn is_empty(self) -> bool {
        self.first == self.end
    }

    pub fn contains(self, position: u64) -> bool {
        self.first <= position && position < self.end
    }

    /// The bytes that are in both.
    pub fn intersection(self, other: Self) -> Option<Self> {
        let (first, end) = (self.first.max(other.first), self.end.min(other.end));
        (first < end).then_some(Self { first, end })
    }
}

impl fmt::Debug for ByteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.first, self.end)
    }
}

/// What a `Range` field asks for, in bytes (RFC 9110, section 14.1.1, `range-spec`). Positions count from 0 and
/// are inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeSpec {
    /// `FIRST-LAST`; without a last position, to the end.
    Int { first_pos: u64, last_pos: Option<u64> },
    /// `-LENGTH`: the last bytes, that many.
    Suffix { suffix_length: u64 },
}

impl fmt::Display for RangeSpec {
    /// The value of the field.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int { first_pos, last_pos: Some(last_pos) } => write!(f, "bytes={first_pos}-{last_pos}"),
            Self::Int { first_pos, last_pos: None } => write!(f, "bytes={first_pos}-"),
            Self::Suffix { suffix_length } => write!(f, "bytes=-{suffix_length}"),
        }
    }
}

/// The value of a `Content-Range` field for bytes (RFC 9110, section 14.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentRange {
    /// `bytes FIRST-LAST/COMPLETE`; the complete length may be unknown (`*`).
    Satisfied { first_pos: u64, last_pos: u64, complete_length: Option<u64> },
    /// `bytes */COMPLETE`: the range asked for lies outside the representation.
    Unsatisfied { complete_length: u64 },
}

impl ContentRange {
    pub fn complete_length(self) -> Option<u64> {
        match self {
            Self::Satisfied { complete_length, .. } => complete_length,
            Self::Unsatisfied { complete_length } => Some(complete_length),
        }
    }
}

/// The value was not a byte `Content-Range`, or contradicts itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadContentRange;

impl ContentRange {
    /// Reads the value of the field in the spellings that servers are known for. `content_length` tells where the range
    /// ends when the field does not.
    ///
    /// `bytes 0-3/8` is what RFC 9110 wants. The unit may be missing, a colon or an equals sign may follow it, blanks
    /// may stand anywhere between the parts, parameters may follow, and the same value may stand there twice. A value
    /// that contradicts itself is refused.
    pub fn read(value: &str, content_length: Option<u64>) -> Result<Self, BadContentRange> {
        let values = value.split(',').map(|value| value.split(';').next().unwrap_or_default().trim());
        let mut ranges =
            values.filter(|value| !value.is_empty()).map(|value| Self::read_one(value, content_length));
        let first = ranges.next().ok_or(BadContentRange)??;
        if ranges.all(|range| range == Ok(first)) { Ok(first) } else { Err(BadContentRange) }
    }

    fn read_one(value: &str, content_length: Option<u64>) -> Result<Self, BadContentRange> {
        let (unit, rest) = value.split_at(value.find(|c: char| !c.is_alphabetic()).unwrap_or(value.len()));
        if !unit.is_empty() && !unit.eq_ignore_ascii_case("bytes") {
            return Err(BadContentRange);
        }
        let rest = rest.trim_start_matches([' ', '\t', ':', '=']);
        let (range, complete) = rest.split_once('/').unwrap_or((rest, ""));
        let (range, complete) = (range.trim(), complete.trim());
        let complete_length = match complete {
            "" | "*" => None,
            digits => Some(number(digits)?),
        };
        if range == "*" {
            let complete_length = complete_length.ok_or(BadContentRange)?;
            return Ok(Self::Unsatisfied { complete_length });
        }
        let (first, last) = range.split_once('-').ok_or(BadContentRange)?;
        let first_pos = number(first.trim_end())?;
        let last_pos = match last.trim_start() {
            "" => {
                let end = complete_length
                    .or_else(|| content_length.and_then(|length| first_pos.checked_add(length)));
                end.and_then(|end| end.checked_sub(1)).ok_or(BadContentRange)?
            }
            digits => number(digits)?,
        };
        let beyond = complete_length.is_some_and(|length| last_pos >= length);
        if first_pos > last_pos || beyond || last_pos == u64::MAX {
            return Err(BadContentRange);
        }
        Ok(Self::Satisfied { first_pos, last_pos, complete_length })
    }
}

impl FromStr for ContentRange {
    type Err = BadContentRange;

    fn from_str(value: &str) -> Result<Self, BadContentRange> {
        Self::read(value, None)
    }
}

/// `1*DIGIT`: no sign, no blanks.
fn number(digits: &str) -> Result<u64, BadContentRange> {
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(BadContentRange);
    }
    digits.parse().map_err(|_| BadContentRange)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn asks_in_the_three_ways_of_rfc_9110() {
        for (spec, value) in [
            (RangeSpec::Int { first_pos: 0, last_pos: Some(499) }, "bytes=0-499"),
            (RangeSpec::Int { first_pos: 9500, last_pos: None }, "bytes=9500-"),
            (RangeSpec::Suffix { suffix_length: 500 }, "bytes=-500"),
        ] {
            assert_eq!(spec.to_string(), value);
        }
    }

    #[test]
    fn reads_what_rfc_9110_shows() {
        let satisfied = |first_pos, last_pos, complete_length| {
            Ok(ContentRange::Satisfied { first_pos, last_pos, complete_length })
        };
        for (value, want) in [
            ("bytes 42-1233/1234", satisfied(42, 1233, Some(1234))),
            ("bytes 42-1233/*", satisfied(42, 1233, None)),
            ("Bytes 0-0/1", satisfied(0, 0, Some(1))),
            ("bytes */1234", Ok(ContentRange::Unsatisfied { complete_length: 1234 })),
            ("bytes 42-1233/1233", Err(BadContentRange)),
            ("bytes 5-4/9", Err(BadContentRange)),
            ("bytes */*", Err(BadContentRange)),
            ("bytes +1-2/3", Err(BadContentRange)),
            ("bytes", Err(BadContentRange)),
            ("lines 1-2/3", Err(BadContentRange)),
            ("bytes 0-18446744073709551615/*", Err(BadContentRange)),
            ("bytes 0-99999999999999999999/*", Err(BadContentRange)),
        ] {
            assert_eq!(value.parse(), want, "{value}");
        }
    }

    #[test]
    fn reads_other_spellings_too() {
        let satisfied = |first_pos, last_pos, complete_length| {
            Ok(ContentRange::Satisfied { first_pos, last_pos, complete_length })
        };
        let part = satisfied(4, 7, Some(8));
        let unknown = satisfied(4, 7, None);
        let refused = Err(BadContentRange);
        for (value, want) in [
            ("bytes 4-7/8;", part),
            ("bytes 4-7/8; charset=x", part),
            ("bytes 4-7/8,", part),
            ("bytes=4-7/8", part),
            ("bytes: 4-7/8", part),
            ("bytes:4-7/8", part),
            ("BYTES 4-7/8", part),
            ("4-7/8", part),
            ("  bytes\t 4 - 7 / 8 ", part),
            ("bytes 0004-0007/0008", part),
            ("bytes 4-/8", part),
            ("bytes 4-7/8, bytes=4-7/8", part),
            ("bytes 4-7", unknown),
            ("bytes 4-7/", unknown),
            ("bytes 4-7/ *", unknown),
            ("bytes 4-", unknown),
            ("bytes=*/8", Ok(ContentRange::Unsatisfied { complete_length: 8 })),
            ("*/8;", Ok(ContentRange::Unsatisfied { complete_length: 8 })),
            ("", refused),
            (";", refused),
            ("*", refused),
            ("bytes 4-7/8, bytes 0-3/8", refused),
            ("bytes 4-7/8/9", refused),
            ("bytes 4--7/8", refused),
            ("bytes -7/8", refused),
            ("bytes 4-8/8", refused),
            ("bytes 9-/8", refused),
            ("bytes 4 7/8", refused),
            ("bytes 4-7x/8", refused),
            ("none 4-7/8", refused),
        ] {
            assert_eq!(ContentRange::read(value, Some(4)), want, "{value}");
        }
        for length in [None, Some(0), Some(u64::MAX)] {
            assert_eq!(ContentRange::read("bytes 4-", length), refused, "{length:?}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(value in "(bytes)?[ =:]?[0-9*]*-?[0-9]*/?.*", length in any::<u64>()) {
            if let Ok(ContentRange::Satisfied { first_pos, last_pos, complete_length }) =
                ContentRange::read(&value, Some(length))
            {
                prop_assert!(first_pos <= last_pos && complete_length.is_none_or(|end| last_pos < end));
            }
        }

        #[test]
        fn intersections_lie_in_both(a in 0u64..99, b in 0u64..99, c in 0u64..99, d in 0u64..99) {
            let (x, y) = (ByteRange::new(a.min(b), a.max(b)), ByteRange::new(c.min(d), c.max(d)));
            for position in 0..99 {
                let both = x.contains(position) && y.contains(position);
                prop_assert_eq!(x.intersection(y).is_some_and(|i| i.contains(position)), both);
            }
        }
    }
}
