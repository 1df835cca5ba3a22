//! Figures as a picture shows them: round steps for its axes, and short words.

/// About this many marks on the time axis at most.
const MARKS: u64 = 10;

/// A round step, in microseconds, that divides a time into few parts.
pub(super) fn time_step(elapsed_us: u64) -> u64 {
    const SECOND: u64 = 1_000_000;
    const MINUTE: u64 = 60 * SECOND;
    const HOUR: u64 = 60 * MINUTE;
    const UNITS: [(u64, &[u64]); 3] =
        [(SECOND, &[1, 2, 5, 10, 20, 30]), (MINUTE, &[1, 2, 5, 10, 20, 30]), (HOUR, &[1, 2, 5, 10, 24])];
    let fits = |step: &u64| elapsed_us / step <= MARKS;
    let below_a_second = [1, 10, 100].into_iter().flat_map(|ms| [ms, ms * 2, ms * 5]).map(|ms| ms * 1000);
    let above = UNITS.iter().flat_map(|(unit, factors)| factors.iter().map(move |factor| unit * factor));
    below_a_second.chain(above).find(fits).unwrap_or((elapsed_us / MARKS).max(1))
}

/// A place on the time axis that lies on a multiple of `step_us`.
pub(super) fn time_mark(at_us: u64, step_us: u64) -> String {
    let seconds = at_us as f64 / 1e6;
    match step_us {
        0..10_000 => format!("{seconds:.3} s"),
        10_000..100_000 => format!("{seconds:.2} s"),
        100_000..1_000_000 => format!("{seconds:.1} s"),
        1_000_000..60_000_000 => format!("{seconds:.0} s"),
        60_000_000..3_600_000_000 => format!("{:.0} min", seconds / 60.0),
        _ => format!("{:.0} h", seconds / 3600.0),
    }
}

/// A length of time with two or three digits that matter.
pub(super) fn duration(us: u64) -> String {
    let seconds = us as f64 / 1e6;
    match us {
        0..1_000_000 => format!("{:.0} ms", seconds * 1e3),
        1_000_000..10_000_000 => format!("{seconds:.2} s"),
        10_000_000..120_000_000 => format!("{seconds:.1} s"),
        _ => format!("{} min {:02} s", us / 60_000_000, us / 1_000_000 % 60),
    }
}

/// `512 B`, `43.3 KiB`, `1.2 GiB`; whole numbers of bytes, or parts of them for rates.
pub(super) fn bytes(bytes: f64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024.0 {
        return format!("{bytes:.0} B");
    }
    let mut value = bytes / 1024.0;
    let mut unit = UNITS[0];
    for larger in &UNITS[1..] {
        if value < 1023.95 {
            break;
        }
        value /= 1024.0;
        unit = larger;
    }
    format!("{value:.1} {unit}")
}

/// Bytes a second over a time; none when it is too short to say.
pub(super) fn rate(amount: u64, us: u64) -> Option<String> {
    (us >= 1000 && amount > 0).then(|| format!("{}/s", bytes(amount as f64 / (us as f64 / 1e6))))
}

/// The part that `part` is of `whole`, in per cent.
pub(super) fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return if part == 0 { "0 %".to_owned() } else { "all".to_owned() };
    }
    format!("{:.1} %", part as f64 / whole as f64 * 100.0)
}

/// At most so many characters, the last of them an ellipsis when something is missing.
pub(super) fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let head: String = text.chars().take(most.saturating_sub(1)).collect();
    format!("{head}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_round_and_few() {
        for (elapsed, step, second_mark) in [
            (0, 1000, "0.002 s"),
            (9_000, 1000, "0.002 s"),
            (830_000, 100_000, "0.2 s"),
            (4_300_000, 500_000, "1.0 s"),
            (64_000_000, 10_000_000, "20 s"),
            (600_000_000, 60_000_000, "2 min"),
            (100 * 3_600_000_000, 10 * 3_600_000_000, "20 h"),
        ] {
            assert_eq!(time_step(elapsed), step, "{elapsed}");
            assert_eq!(time_mark(2 * step, step), second_mark, "{elapsed}");
        }
        for power in 0..64 {
            let elapsed = u64::MAX >> power;
            assert!((0..=MARKS + 1).contains(&(elapsed / time_step(elapsed))), "{elapsed}");
        }
    }

    #[test]
    fn words() {
        assert_eq!(
            [0, 43_400, 1_204_000, 61_000_000, 184_000_000].map(duration).join(", "),
            "0 ms, 43 ms, 1.20 s, 61.0 s, 3 min 04 s"
        );
        assert_eq!([0.0, 1023.0, 1536.0, 5e9].map(bytes).join(", "), "0 B, 1023 B, 1.5 KiB, 4.7 GiB");
        assert_eq!((rate(2048, 500_000).as_deref(), rate(1, 0)), (Some("4.0 KiB/s"), None));
        assert_eq!(
            [(0, 0), (5, 0), (1, 200)].map(|(part, whole)| percent(part, whole)).join(", "),
            "0 %, all, 0.5 %"
        );
        assert_eq!((shortened("abc", 3).as_str(), shortened("abcd", 3).as_str()), ("abc", "ab…"));
    }
}
