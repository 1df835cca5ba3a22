//! The figures for Prometheus, in its text format, by its conventions: base units, `_total` for what only grows, no
//! label without an end. There are no names of files or users in them.

use std::fmt::{Display, Write};

use super::overview::{Line, Overview, outcomes};
use crate::mirror::stats::Mirror;
use crate::mirror::traffic::Traffic;
use crate::progress::printable;

const COUNTER: &str = "counter";
const GAUGE: &str = "gauge";

/// The whole text.
pub(super) fn write(overview: &Overview<'_>) -> String {
    let mut text = Text::default();
    let version = [(labels(&[("version", env!("CARGO_PKG_VERSION"))]), 1)];
    text.family("racefetch_build_info", GAUGE, "The version of racefetch.", version);
    let readable = [(String::new(), u64::from(overview.is_readable))];
    text.family("racefetch_state_readable", GAUGE, "Whether the file of figures could be read.", readable);
    sums(&mut text, overview);
    let ranked = overview.ranked_at.map(|at| (String::new(), at));
    text.family(
        "racefetch_ranking_timestamp_seconds",
        GAUGE,
        "When the best mirrors were chosen (racefetch rank).",
        ranked,
    );
    mirrors(&mut text, &overview.mirrors, overview.now);
    text.0
}

/// Of all mirrors together, by where they are.
fn sums(text: &mut Text, overview: &Overview<'_>) {
    let sums = [("local", &overview.local), ("public", &overview.public)];
    let each = |figure: fn(&Traffic) -> u64| sums.map(|(scope, sum)| (scoped(scope), figure(&sum.traffic)));
    text.family(
        "racefetch_known_mirrors",
        GAUGE,
        "Mirrors and other hosts of which there are figures.",
        sums.map(|(scope, sum)| (scoped(scope), sum.mirrors as u64)),
    );
    let requests = sums.iter().flat_map(|(scope, sum)| {
        outcomes(&sum.traffic)
            .map(move |(outcome, count)| (labels(&[("scope", scope), ("outcome", outcome)]), count))
    });
    text.family("racefetch_requests_total", COUNTER, "Requests for files, by what came of them.", requests);
    text.family(
        "racefetch_kept_bytes_total",
        COUNTER,
        "Bytes that became part of a file.",
        each(|traffic| traffic.bytes_kept),
    );
    text.family(
        "racefetch_wasted_bytes_total",
        COUNTER,
        "Bytes that were received for nothing.",
        each(|traffic| traffic.bytes_wasted),
    );
}

/// Of each mirror.
fn mirrors(text: &mut Text, lines: &[Line<'_>], now: u64) {
    let requests = lines.iter().flat_map(|line| {
        outcomes(&Traffic::of(line.figures))
            // Those that most mirrors never have would be most of the text. An alert waits for corrupt ones.
            .filter(|(outcome, count)| *count > 0 || ["success", "interrupted", "corrupt"].contains(outcome))
            .map(|(outcome, count)| (of(line, Some(outcome)), count))
            .collect::<Vec<_>>()
    });
    text.family(
        "racefetch_mirror_requests_total",
        COUNTER,
        "Requests for files to a mirror, by what came of them.",
        requests,
    );
    let mut each = |name, kind, help, figure: &dyn Fn(&Line<'_>) -> Option<u64>| {
        text.family(name, kind, help, lines.iter().filter_map(|line| Some((of(line, None), figure(line)?))));
    };
    each(
        "racefetch_mirror_kept_bytes_total",
        COUNTER,
        "Bytes from a mirror that became part of a file.",
        &|line| Some(line.figures.bytes_kept),
    );
    each(
        "racefetch_mirror_wasted_bytes_total",
        COUNTER,
        "Bytes from a mirror that were received for nothing.",
        &|line| Some(line.figures.bytes_wasted),
    );
    each(
        "racefetch_mirror_rate_bytes_per_second",
        GAUGE,
        "How fast a mirror's answers come: a mean in which old ones fade.",
        &|line| line.figures.bytes_per_second.mean(),
    );
    each(
        "racefetch_mirror_cool_down_end_timestamp_seconds",
        GAUGE,
        "Until when a mirror is rather not asked, after failures; 0: it is asked.",
        &|line| {
            let left = line.figures.cool_down_left(now);
            Some(if left > 0 { now.saturating_add(left) } else { 0 })
        },
    );
    each(
        "racefetch_mirror_last_success_timestamp_seconds",
        GAUGE,
        "When a request to a mirror succeeded last.",
        &|line| line.figures.last_success,
    );
    each(
        "racefetch_mirror_copy_timestamp_seconds",
        GAUGE,
        "Of which time a mirror's copy was when that was looked at.",
        &|line| line.figures.freshness.map(|copy| copy.value),
    );
    each(
        "racefetch_mirror_copy_seen_timestamp_seconds",
        GAUGE,
        "When the time of a mirror's copy was looked at.",
        &|line| line.figures.freshness.map(|copy| copy.at),
    );
    each("racefetch_mirror_rank", GAUGE, "A mirror's place in the last ranking; the best is 1.", &|line| {
        line.rank.map(|rank| rank as u64)
    });
    let failed = |line: &Line<'_>| {
        let failure = line.figures.last_failure?;
        Some((of(line, Some(failure.kind.name())), failure.at))
    };
    text.family(
        "racefetch_mirror_last_failure_timestamp_seconds",
        GAUGE,
        "When a request to a mirror failed last, and how.",
        lines.iter().filter_map(failed),
    );
    let first_byte = |figures: &Mirror| figures.first_byte_us.mean().map(|us| us as f64 / 1e6);
    text.family(
        "racefetch_mirror_first_byte_seconds",
        GAUGE,
        "From a request to a mirror to the first byte: a mean in which old ones fade.",
        lines.iter().filter_map(|line| Some((of(line, None), first_byte(line.figures)?))),
    );
}

/// The labels of a mirror.
fn of(line: &Line<'_>, outcome: Option<&str>) -> String {
    let scope = if line.is_local { "local" } else { "public" };
    let mirror = printable(line.key.as_str());
    let labels_of_all = [("mirror", mirror.as_str()), ("scope", scope)];
    match outcome {
        Some(outcome) => labels(&[labels_of_all[0], labels_of_all[1], ("outcome", outcome)]),
        None => labels(&labels_of_all),
    }
}

fn scoped(scope: &str) -> String {
    labels(&[("scope", scope)])
}

/// Labels as they stand behind a name, with the escapes of the text format.
fn labels(labels: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (name, value) in labels {
        let separator = if text.is_empty() { '{' } else { ',' };
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let _ = write!(text, "{separator}{name}=\"{value}\""); // a String takes all that it is given
    }
    text.push('}');
    text
}

#[derive(Default)]
struct Text(String);

impl Text {
    /// All samples of one name, each with its labels. A name without any is left out.
    fn family<V: Display>(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        samples: impl IntoIterator<Item = (String, V)>,
    ) {
        let mut samples = samples.into_iter().peekable();
        if samples.peek().is_none() {
            return;
        }
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        for (labels, value) in samples {
            let _ = writeln!(self.0, "{name}{labels} {value}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::overview::tests::{NOW, attempt, failure};
    use super::*;
    use crate::mirror::{Delta, FailureKind, MirrorKey, Outcome, State};
    use crate::portage::Tiers;

    fn text(state: &State) -> String {
        write(&Overview::new(state, true, &Tiers::default(), NOW))
    }

    #[test]
    fn every_figure_is_there() {
        let mut state = State::default();
        state.apply(&attempt("https://a.example/gentoo", Outcome::Success, 64 << 20));
        state.apply(&attempt("https://a.example/gentoo", failure(FailureKind::Stall), 0));
        state.apply(&attempt("http://cache:8080", Outcome::Interrupted, 0));
        let mirror = MirrorKey::new("https://a.example/gentoo");
        state.apply(&Delta::Freshness { mirror: mirror.clone(), at: NOW - 5, timestamp: NOW - 3600 });
        state.apply(&Delta::Ranking { at: NOW - 7, mirrors: vec![mirror] });
        let text = text(&state);
        for line in [
            "racefetch_state_readable 1",
            "racefetch_known_mirrors{scope=\"local\"} 1",
            "racefetch_requests_total{scope=\"public\",outcome=\"success\"} 1",
            "racefetch_requests_total{scope=\"public\",outcome=\"stall\"} 1",
            "racefetch_requests_total{scope=\"local\",outcome=\"interrupted\"} 1",
            "racefetch_requests_total{scope=\"local\",outcome=\"corrupt\"} 0",
            "racefetch_kept_bytes_total{scope=\"public\"} 67108864",
            "racefetch_wasted_bytes_total{scope=\"public\"} 1048576",
            "racefetch_ranking_timestamp_seconds 1799999993",
            "racefetch_mirror_requests_total{mirror=\"https://a.example/gentoo\",scope=\"public\",outcome=\"stall\"} 1",
            "racefetch_mirror_requests_total{mirror=\"http://cache:8080\",scope=\"local\",outcome=\"corrupt\"} 0",
            "racefetch_mirror_first_byte_seconds{mirror=\"https://a.example/gentoo\",scope=\"public\"} 0.04",
            "racefetch_mirror_rate_bytes_per_second{mirror=\"https://a.example/gentoo\",scope=\"public\"} 33554432",
            // 30 s from the failure 60 s ago: over.
            "racefetch_mirror_cool_down_end_timestamp_seconds{mirror=\"https://a.example/gentoo\",scope=\"public\"} 0",
            "racefetch_mirror_copy_timestamp_seconds{mirror=\"https://a.example/gentoo\",scope=\"public\"} 1799996400",
            "racefetch_mirror_copy_seen_timestamp_seconds{mirror=\"https://a.example/gentoo\",scope=\"public\"} 1799999995",
            "racefetch_mirror_last_failure_timestamp_seconds{mirror=\"https://a.example/gentoo\",scope=\"public\",outcome=\"stall\"} 1799999940",
            "racefetch_mirror_rank{mirror=\"https://a.example/gentoo\",scope=\"public\"} 1",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
        assert!(text.ends_with('\n'));
        assert!(!text.contains("outcome=\"tls\"} 0\n# "), "{text}");
    }

    #[test]
    fn odd_names_of_mirrors_stay_within_their_quotes() {
        let mut state = State::default();
        state.apply(&attempt("http://u:secret@\"}\\x\n", Outcome::Success, 5));
        let text = text(&state);
        assert!(text.contains("{mirror=\"http://\\\"}\\\\x\","), "{text}");
        assert!(!text.contains("secret"));
    }

    #[test]
    fn who_knows_nothing_says_so() {
        let text = write(&Overview::new(&State::default(), false, &Tiers::default(), NOW));
        assert!(text.contains("racefetch_state_readable 0\n"));
        assert!(text.contains("racefetch_kept_bytes_total{scope=\"local\"} 0\n"));
        assert!(!text.contains("racefetch_mirror_"), "{text}");
    }
}
