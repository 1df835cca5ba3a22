//! Numbers as people read them.

use super::rate::Pace;
use super::{Phase, Snapshot};
use std::time::Duration;

/// `512 B`, `43.3 KiB`, `1.2 GiB`.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = UNITS[0];
    for larger in &UNITS[1..] {
        // 1023.95 would be shown as 1024.0.
        if value < 1023.95 {
            break;
        }
        value /= 1024.0;
        unit = larger;
    }
    format!("{value:.1} {unit}")
}

/// Bytes a second: `12.4 MiB/s`.
pub fn rate(bytes_per_second: f64) -> String {
    // A float becomes the nearest integer of the type; not a number becomes 0.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "such casts saturate")]
    let whole = bytes_per_second as u64;
    format!("{}/s", bytes(whole))
}

/// `5 s`, `3 min 07 s`, `2 h 05 min`.
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// The same with tenths of a second below one minute: `4.4 s`.
pub(super) fn seconds(time: Duration) -> String {
    // What would be shown as 60.0.
    if time < Duration::from_millis(59_950) { format!("{:.1} s", time.as_secs_f64()) } else { duration(time) }
}

/// The text in at most that many columns, its middle left out.
pub(super) fn shortened(text: &str, room: usize) -> String {
    if columns(text) <= room {
        return text.to_owned();
    }
    let kept = room.saturating_sub(1);
    let tail = kept / 2;
    let head: String = text.chars().take(kept - tail).collect();
    let end: String = text.chars().skip(columns(text) - tail).collect();
    if room == 0 { String::new() } else { format!("{head}~{end}") }
}

/// File names of distfiles are ASCII but for the rarest; one character counts as one column.
pub(super) fn columns(text: &str) -> usize {
    text.chars().count()
}

/// Whole per cent, rounded down: 100 means complete. A file of no bytes is.
pub(super) fn percent(have: u64, size: u64) -> u64 {
    if size == 0 {
        return 100;
    }
    let percent = u128::from(have.min(size)) * 100 / u128::from(size);
    u64::try_from(percent).unwrap_or(100)
}

/// How long the rest takes at this rate. `None` when nobody can say.
pub(super) fn time_left(snapshot: &Snapshot, bytes_per_second: Option<f64>) -> Option<Duration> {
    let rest = snapshot.size?.saturating_sub(snapshot.have);
    let rate = bytes_per_second.filter(|rate| *rate >= 1.0)?;
    Duration::try_from_secs_f64((rest as f64 / rate).ceil()).ok()
}

/// `42% of 103.2 MiB, 12.4 MiB/s, 5 s left`.
pub(super) fn status(snapshot: &Snapshot, pace: Pace) -> String {
    let amount = match snapshot.size {
        Some(size) => format!("{}% of {}", percent(snapshot.have, size), bytes(size)),
        None => bytes(snapshot.have),
    };
    status_of(snapshot, pace, amount)
}

/// `42%, 12.4 MiB/s, 5 s left`: the same for narrow terminals.
pub(super) fn short_status(snapshot: &Snapshot, pace: Pace) -> String {
    let amount = snapshot.size.map(|size| format!("{}%", percent(snapshot.have, size)));
    status_of(snapshot, pace, amount.unwrap_or_else(|| bytes(snapshot.have)))
}

fn status_of(snapshot: &Snapshot, pace: Pace, amount: String) -> String {
    let amount = match &snapshot.files {
        Some(files) => format!("{} of {} files, {amount}", files.done, files.all),
        None => amount,
    };
    match snapshot.phase {
        Phase::Connecting if pace.silence >= Duration::from_secs(1) => {
            return format!("{amount}, nothing for {}", duration(pace.silence));
        }
        Phase::Connecting => return format!("{amount}, connecting"),
        Phase::Verifying => return format!("{amount}, verifying"),
        Phase::Repairing => return format!("{amount}, repairing"),
        Phase::Receiving => {}
    }
    let rate = pace.rate.map(|r| format!(", {}", rate(r))).unwrap_or_default();
    let left = time_left(snapshot, pace.rate);
    let left = left.map(|left| format!(", {} left", duration(left))).unwrap_or_default();
    format!("{amount}{rate}{left}")
}

/// The longest line that is shown, in characters.
const LONGEST: usize = 2000;

/// The text with control and direction characters replaced, and cut where it is too long for a line: they could move the
/// cursor or fake a line, and servers say a lot.
pub fn printable(text: &str) -> String {
    let mut shown: String =
        text.chars().take(LONGEST).map(|c| if gives_orders(c) { '?' } else { c }).collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    shown
}

/// JSON with those characters escaped. None of them can stand outside of a string but for line feeds and tabs.
pub fn printable_json(json: &str) -> String {
    let escaped = |c: char| {
        let gives_orders = gives_orders(c) && !matches!(c, '\n' | '\t');
        if gives_orders { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() }
    };
    if json.contains(gives_orders) { json.chars().map(escaped).collect() } else { json.to_owned() }
}

/// Whether a character tells a terminal or a reader what to do: control characters, line separators, and those that turn
/// the direction of what follows.
fn gives_orders(c: char) -> bool {
    let turns =
        matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || turns || matches!(c, '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Files;

    #[test]
    fn sizes_and_rates() {
        for (value, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (44_339, "43.3 KiB"),
            ((1 << 20) - 1, "1.0 MiB"),
            (108_213_043, "103.2 MiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(bytes(value), text);
        }
        assert_eq!(rate(2048.9), "2.0 KiB/s");
        assert_eq!((rate(f64::NAN), rate(-1.0)), ("0 B/s".to_owned(), "0 B/s".to_owned()));
    }

    #[test]
    fn durations() {
        let text = |seconds| duration(Duration::from_secs(seconds));
        assert_eq!((text(0), text(59)), ("0 s".into(), "59 s".into()));
        assert_eq!((text(187), text(7500)), ("3 min 07 s".into(), "2 h 05 min".into()));
    }

    #[test]
    fn a_hundred_per_cent_is_complete() {
        assert_eq!((percent(999, 1000), percent(1000, 1000)), (99, 100));
        assert_eq!((percent(2000, 1000), percent(0, 0), percent(u64::MAX, u64::MAX)), (100, 100, 100));
    }

    #[test]
    fn status_lines() {
        let mut snapshot = Snapshot { have: 1 << 20, size: Some(4 << 20), ..Snapshot::default() };
        let status = |snapshot: &Snapshot, rate| status(snapshot, Pace { rate, silence: Duration::ZERO });
        assert_eq!(status(&snapshot, None), "25% of 4.0 MiB, connecting");
        snapshot.phase = Phase::Receiving;
        assert_eq!(status(&snapshot, Some(1_048_576.0)), "25% of 4.0 MiB, 1.0 MiB/s, 3 s left");
        assert_eq!(status(&snapshot, Some(0.0)), "25% of 4.0 MiB, 0 B/s");
        snapshot.files = Some(Files { done: 3, all: 20, current: Vec::new() });
        assert_eq!(status(&snapshot, Some(0.0)), "3 of 20 files, 25% of 4.0 MiB, 0 B/s");
        snapshot.files = None;
        snapshot.size = None;
        assert_eq!(status(&snapshot, Some(1024.0)), "1.0 MiB, 1.0 KiB/s");
        snapshot.phase = Phase::Verifying;
        assert_eq!(status(&snapshot, None), "1.0 MiB, verifying");
        assert_eq!(status(&Snapshot::default(), None), "0 B, connecting");
        let silent = Pace { rate: None, silence: Duration::from_millis(5900) };
        assert_eq!(super::status(&Snapshot::default(), silent), "0 B, nothing for 5 s");
    }

    #[test]
    fn escapes_do_not_pass() {
        assert_eq!(printable("a\u{1b}[2Jb\r\nc"), "a?[2Jb??c");
        assert_eq!(printable("a\u{202e}b\u{2066}c\u{2028}d"), "a?b?c?d");
        assert_eq!(printable_json("{\n\"a\u{202e}\u{9b}\u{7f}\": 1}"), "{\n\"a\\u202e\\u009b\\u007f\": 1}");
    }
}
