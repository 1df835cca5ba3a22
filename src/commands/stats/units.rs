//! Figures as people read them.

pub(super) fn percent(part: u64, whole: u64) -> String {
    known((whole > 0).then(|| part as f64 / whole as f64 * 100.0))
}

pub(crate) fn known(figure: Option<f64>) -> String {
    figure.map_or_else(nothing, |figure| format!("{figure:.1}"))
}

pub(crate) fn nothing() -> String {
    "-".to_owned()
}

/// Bytes in the largest unit that makes the number at least 1.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let mut amount = bytes as f64;
    let mut name = "B";
    for unit in UNITS {
        if amount < 1024.0 {
            break;
        }
        amount /= 1024.0;
        name = unit;
    }
    if bytes < 1024 { format!("{bytes} B") } else { format!("{amount:.1} {name}") }
}

/// Seconds in the largest unit that makes the number at least 2, so that rounding loses little.
pub(crate) fn duration(seconds: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(24 * 3600, "d"), (3600, "h"), (60, "min")];
    let unit = UNITS.into_iter().find(|(length, _)| seconds / length >= 2);
    unit.map_or_else(|| format!("{seconds} s"), |(length, name)| format!("{} {name}", seconds / length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_units() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (3 << 29, "1.5 GiB"),
            (u64::MAX, "16777216.0 TiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
        for (seconds, text) in [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (172_800, "2 d")] {
            assert_eq!(duration(seconds), text);
        }
    }
}
