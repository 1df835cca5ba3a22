//! Dates as `-z` takes them and as servers write them: what `curl_getdate`(3) reads, and ISO 8601.

/// Seconds since 1970, UTC. `None` when the text is not a date. Without a time of day it is midnight,
/// without a zone UTC.
///
/// Read are RFC 1123 `Sun, 06 Nov 1994 08:49:37 GMT`, RFC 850 `Sunday, 06-Nov-94 08:49:37 GMT`, asctime
/// `Sun Nov  6 08:49:37 1994`, their parts in any order, `YYYYMMDD`, and ISO `2026-11-03 10:00:00`.
pub fn parse(text: &str) -> Option<i64> {
    let mut date = Date::default();
    let mut rest = text;
    if let Some((year, month, day, tail)) = iso_day(text) {
        date = Date { year: Some(year), month: Some(month), day: Some(day), ..date };
        rest = tail;
    }
    while let Some(start) = rest.find(|c: char| c.is_ascii_alphanumeric()) {
        let (gap, token) = rest.split_at(start);
        let end = token.find(|c: char| !c.is_ascii_alphanumeric() && c != ':').unwrap_or(token.len());
        let (token, tail) = token.split_at(end);
        date.take(token, gap.chars().next_back())?;
        rest = tail;
    }
    date.seconds()
}

/// What is known of a date so far.
#[derive(Default)]
struct Date {
    year: Option<i64>,
    /// 1 to 12.
    month: Option<i64>,
    day: Option<i64>,
    weekday: bool,
    /// Seconds since midnight.
    time: Option<i64>,
    /// Seconds east of Greenwich.
    zone: Option<i64>,
}

impl Date {
    /// Takes one word; `None` when it fits nowhere.
    fn take(&mut self, token: &str, before: Option<char>) -> Option<()> {
        let starts_with_digit = token.starts_with(|c: char| c.is_ascii_digit());
        if let Some(time) = token.strip_suffix(['Z', 'z']).filter(|_| starts_with_digit) {
            self.take(time, before)?;
            return put(&mut self.zone, 0);
        }
        if token.contains(':') {
            let seconds = time_of_day(token)?;
            return match before {
                Some('+') if self.time.is_some() => put(&mut self.zone, seconds),
                Some('-') if self.time.is_some() => put(&mut self.zone, -seconds),
                _ => put(&mut self.time, seconds),
            };
        }
        if token.bytes().all(|b| b.is_ascii_digit()) {
            return self.number(token, before);
        }
        self.word(token)
    }

    fn number(&mut self, digits: &str, before: Option<char>) -> Option<()> {
        let value: i64 = digits.parse().ok()?;
        let signed = matches!(before, Some('+' | '-'));
        if signed && digits.len() == 4 && self.time.is_some() && self.zone.is_none() && value <= 1400 {
            let east = (value / 100 * 60 + value % 100) * 60;
            return put(&mut self.zone, if before == Some('-') { -east } else { east });
        }
        if digits.len() == 8 && self.year.is_none() && self.month.is_none() && self.day.is_none() {
            self.year = Some(value / 10_000);
            self.month = Some(value / 100 % 100);
            return put(&mut self.day, value % 100);
        }
        if self.day.is_none() && (1..=31).contains(&value) && digits.len() <= 2 {
            return put(&mut self.day, value);
        }
        let year = match (digits.len(), value) {
            (..=2, 70..) => value + 1900,
            (..=2, _) => value + 2000,
            _ => value,
        };
        put(&mut self.year, year)
    }

    fn word(&mut self, word: &str) -> Option<()> {
        let lower = word.to_ascii_lowercase();
        if let Some(index) = MONTHS.iter().position(|month| lower == *month) {
            return put(&mut self.month, i64::try_from(index).ok()? + 1);
        }
        if let Some((_, hours)) = ZONES.iter().find(|(zone, _)| lower == *zone) {
            return put(&mut self.zone, hours * 3600);
        }
        let weekday = lower.len() >= 3 && WEEKDAYS.iter().any(|day| *day == lower || day[..3] == lower);
        if !weekday || self.weekday {
            return None;
        }
        self.weekday = true;
        Some(())
    }

    fn seconds(&self) -> Option<i64> {
        let (year, month, day) = (self.year?, self.month?, self.day?);
        // The Gregorian calendar, and nothing that overflows.
        if !(1583..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
            return None;
        }
        let days = days_since_1970(year, month, day);
        Some(days * 86_400 + self.time.unwrap_or(0) - self.zone.unwrap_or(0))
    }
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
/// RFC 5322, 4.3, the words for UTC, and those of Europe.
const ZONES: [(&str, i64); 21] = [
    ("gmt", 0),
    ("utc", 0),
    ("ut", 0),
    ("z", 0),
    ("wet", 0),
    ("west", 1),
    ("bst", 1),
    ("cet", 1),
    ("met", 1),
    ("cest", 2),
    ("mest", 2),
    ("eet", 2),
    ("eest", 3),
    ("est", -5),
    ("edt", -4),
    ("cst", -6),
    ("cdt", -5),
    ("mst", -7),
    ("mdt", -6),
    ("pst", -8),
    ("pdt", -7),
];

/// Fills a place that is still empty.
fn put(place: &mut Option<i64>, value: i64) -> Option<()> {
    place.replace(value).is_none().then_some(())
}

/// `YYYY-MM-DD`, followed by the end, a blank or a `T`.
fn iso_day(text: &str) -> Option<(i64, i64, i64, &str)> {
    let (head, tail) = text.trim_start().split_at_checked(10)?;
    let mut parts = head.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    let digits = |s: &str, n: usize| s.len() == n && s.bytes().all(|b| b.is_ascii_digit());
    if !(digits(year, 4) && digits(month, 2) && digits(day, 2)) || parts.next().is_some() {
        return None;
    }
    if !(tail.is_empty() || tail.starts_with([' ', 'T', 't'])) {
        return None;
    }
    let tail = tail.strip_prefix(['T', 't']).unwrap_or(tail);
    Some((year.parse().ok()?, month.parse().ok()?, day.parse().ok()?, tail))
}

/// `HH:MM` or `HH:MM:SS` in seconds; 60 for a leap second.
fn time_of_day(token: &str) -> Option<i64> {
    let mut parts = token.split(':').map(|part| part.parse::<i64>().ok().filter(|_| part.len() <= 2));
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next().unwrap_or(Some(0))?);
    if parts.next().is_some() || !(0..24).contains(&hour) || !(0..60).contains(&minute) {
        return None;
    }
    (0..=60).contains(&second).then_some(hour * 3600 + minute * 60 + second)
}

/// Days from 1970-01-01 in the Gregorian calendar. A day past the month's end counts on, as in curl.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    const BEFORE_MONTH: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let before = year - 1;
    let leap_days = before / 4 - before / 100 + before / 400 - (1969 / 4 - 1969 / 100 + 1969 / 400);
    let index = usize::try_from(month - 1).unwrap_or(0);
    let days = (year - 1970) * 365 + leap_days + BEFORE_MONTH.get(index).copied().unwrap_or(0) + day - 1;
    days + i64::from(leap && month > 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_three_http_dates() {
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "06 Nov 1994 09:49:37 +0100",
            "Nov 6 1994 08:49:37",
            "1994 6 Nov 08:49:37 UTC",
            "6 Nov 1994 03:49:37 EST",
            "19941106 08:49:37",
            "1994-11-06 08:49:37",
            "1994-11-06T08:49:37Z",
            "1994-11-06T08:49:37 -0000",
            "1994-11-06T10:19:37+01:30",
        ] {
            assert_eq!(parse(text), Some(784_111_777), "{text}");
        }
    }

    #[test]
    fn counts_days() {
        assert_eq!(parse("19700101"), Some(0));
        assert_eq!(parse("1 Jan 1970 00:00:01"), Some(1));
        assert_eq!(parse("20000301"), Some(951_868_800));
        assert_eq!(parse("2026-11-03 10:00:00"), Some(1_793_700_000));
        assert_eq!(parse("19691231"), Some(-86_400));
        assert_eq!(parse("20240229"), Some(1_709_164_800));
    }

    #[test]
    fn refuses_what_is_not_a_date() {
        for text in [
            "",
            "foo",
            "/etc/passwd",
            "20261303",
            "32 Jan 2026",
            "Nov 1994",
            "6 Nov 1994 25:00",
            "6 Nov 1994 x",
            "6 6 Nov 1994 1995",
            "99999999999999999999",
            "12:00",
            "é",
            "2026-11-03x",
            "1994-1é-06",
            "1:2:3:4 6 Nov 1994",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
