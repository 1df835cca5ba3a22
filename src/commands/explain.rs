//! `racefetch stats --explain SIZE`: in which order mirrors would be asked for a file, and why.

use std::io::{self, Write};

use serde::Serialize;

use super::stats::{Table, duration, known, names, nothing, size};
use crate::mirror::{Candidate, MirrorKey, State, rank};
use crate::progress::printable_json;

/// A mirror that could be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Explained {
    pub mirror: MirrorKey,
    pub tier: u8,
}

/// How it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Json,
    /// That many characters wide; without an end everything is shown, and mirrors by their whole URLs.
    Table(Option<usize>),
}

/// Writes the order for a file of `bytes`. `now` in UNIX seconds.
pub(super) fn run(
    mirrors: &[Explained],
    state: &State,
    bytes: u64,
    form: Form,
    out: &mut dyn Write,
    now: u64,
) -> io::Result<()> {
    let order = order(mirrors, state, bytes, now);
    let width = match form {
        Form::Table(width) => width,
        Form::Json => {
            let explanation = Explanation { version: VERSION, size: bytes, order };
            return writeln!(out, "{}", printable_json(&serde_json::to_string_pretty(&explanation)?));
        }
    };
    if order.is_empty() {
        return writeln!(out, "No mirrors: name some with --mirrors, RACEFETCH_MIRRORS or GENTOO_MIRRORS.");
    }
    writeln!(out, "For a file of {} mirrors are asked in this order:", size(bytes))?;
    let keys: Vec<MirrorKey> = order.iter().map(|reasons| MirrorKey::new(&reasons.mirror)).collect();
    let keys: Vec<&MirrorKey> = keys.iter().collect();
    let cells = |(heading, cell): &Column| {
        std::iter::once((*heading).to_owned()).chain(order.iter().map(cell)).collect()
    };
    let columns = COLUMNS.iter().map(cells).collect();
    let table = Table { names: names(&keys, width.is_none()), columns, by_use: BY_USE.to_vec() };
    out.write_all(table.write(width).as_bytes())?;
    out.write_all(KEY.as_bytes())
}

/// The version of the JSON's form.
const VERSION: u32 = 1;

/// A column: its heading, and what it says of a mirror.
type Column = (&'static str, fn(&Reasons) -> String);

const COLUMNS: [Column; 7] = [
    ("tier", |reasons| reasons.tier.to_string()),
    ("takes s", |reasons| format!("{:.2}", reasons.expected_seconds)),
    ("ms", |reasons| known(Some(reasons.first_byte_seconds * 1e3))),
    ("MiB/s", |reasons| known(Some(reasons.bytes_per_second / f64::from(1 << 20)))),
    ("ok %", |reasons| known(Some(reasons.probability * 100.0))),
    ("rests", |reasons| match reasons.cool_down_left_seconds {
        0 => nothing(),
        left => duration(left),
    }),
    ("attempts", |reasons| match reasons.attempts {
        0 => "assumed".to_owned(),
        attempts => attempts.to_string(),
    }),
];

/// The columns, the most useful first: those that do not fit are left out.
const BY_USE: [usize; 7] = [1, 0, 3, 4, 5, 2, 6];

const KEY: &str = "
Takes: (ms to the first byte + size / rate) / share of attempts that were ok.
Figures fade in weeks; a mirror without any is assumed to be good. Lower tiers
are asked first and alone. A mirror that failed just now rests, and comes last.
";

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Explanation {
    version: u32,
    /// In bytes.
    size: u64,
    /// The best first.
    order: Vec<Reasons>,
}

#[derive(Debug, PartialEq, Serialize)]
struct Reasons {
    mirror: String,
    tier: u8,
    expected_seconds: f64,
    first_byte_seconds: f64,
    bytes_per_second: f64,
    /// Of success, between 0 and 1.
    probability: f64,
    cool_down_left_seconds: u64,
    /// How often it was asked for something; 0 when all is assumed.
    attempts: u64,
}

fn order(mirrors: &[Explained], state: &State, bytes: u64, now: u64) -> Vec<Reasons> {
    let candidates: Vec<Candidate<'_>> =
        mirrors.iter().map(|m| Candidate { mirror: &m.mirror, tier: m.tier }).collect();
    let ranked = rank(&candidates, state, Some(bytes), now);
    let reasons = ranked.iter().filter_map(|ranked| {
        let mirror = &mirrors.get(ranked.candidate)?.mirror;
        Some(Reasons {
            mirror: mirror.to_string(),
            tier: ranked.tier,
            expected_seconds: ranked.expected_seconds,
            first_byte_seconds: ranked.first_byte.as_secs_f64(),
            bytes_per_second: ranked.bytes_per_second,
            probability: ranked.probability,
            cool_down_left_seconds: ranked.cool_down_left.as_secs(),
            attempts: state.mirror(mirror).map_or(0, |figures| figures.attempts),
        })
    });
    reasons.collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::mirror::{Attempt, Delta, FailureKind, Outcome, RateSample};

    const NOW: u64 = 1_800_000_000;
    const MIB: u64 = 1 << 20;
    const ALL: Form = Form::Table(None);

    fn attempt(mirror: &str, outcome: Outcome, figures: Option<(u64, u64)>) -> Delta {
        Delta::Attempt(Attempt {
            mirror: MirrorKey::new(mirror),
            at: NOW,
            outcome,
            bytes_kept: 0,
            bytes_wasted: 0,
            first_byte: figures.map(|(ms, _)| Duration::from_millis(ms)),
            rate: figures.map(|(_, bytes)| RateSample { bytes, duration: Duration::from_secs(1) }),
        })
    }

    fn explain(bytes: u64, form: Form) -> String {
        let mut state = State::default();
        for _ in 0..200 {
            state.apply(&attempt("http://quick.example", Outcome::Success, Some((10, MIB))));
            state.apply(&attempt("http://fast.example", Outcome::Success, Some((200, 20 * MIB))));
        }
        let dead = Outcome::Failure { kind: FailureKind::Connect, retry_after: None };
        state.apply(&attempt("http://dead.example", dead, None));
        let mirrors = [
            ("http://dead.example", 1),
            ("http://new.example", 2),
            ("http://fast.example", 1),
            ("http://quick.example", 1),
        ];
        let mirrors = mirrors.map(|(mirror, tier)| Explained { mirror: MirrorKey::new(mirror), tier });
        let mut out = Vec::new();
        run(&mirrors, &state, bytes, form, &mut out, NOW).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn first_words(text: &str) -> Vec<&str> {
        text.lines().filter(|l| l.starts_with("http")).filter_map(|l| l.split_whitespace().next()).collect()
    }

    #[test]
    fn the_table_is_the_order_and_the_reasons() {
        let large = explain(100 * MIB, ALL);
        let rest = ["http://new.example", "http://dead.example"];
        let expected = [["http://fast.example", "http://quick.example"], rest].concat();
        assert_eq!(first_words(&large), expected, "{large}");
        let small = explain(MIB / 100, ALL);
        assert_eq!(first_words(&small)[..2], ["http://quick.example", "http://fast.example"], "{small}");
        for said in ["For a file of 100.0 MiB", "assumed", " 200\n", " 1\n", "30 s"] {
            assert!(large.contains(said), "{said} in {large}");
        }
        let widths: Vec<usize> = large.lines().skip(1).take(5).map(str::len).collect();
        assert!(widths.windows(2).all(|pair| pair[0] == pair[1]), "{large}");
    }

    #[test]
    fn eighty_columns() {
        let expected = "\
For a file of 100.0 MiB mirrors are asked in this order:
mirror         tier  takes s     ms  MiB/s  ok %  rests  attempts
fast.example      1     5.26  195.8   19.8  99.8      -       200
quick.example     1    96.68   10.3    1.0  99.8      -       200
new.example       2    10.55   50.0   10.0  95.2      -   assumed
dead.example      1    20.60   50.0   10.0  48.8   30 s         1
";
        let text = explain(100 * MIB, Form::Table(Some(80)));
        assert!(text.starts_with(expected), "{text}");
        for width in 1..200 {
            let text = explain(100 * MIB, Form::Table(Some(width)));
            assert!(text.lines().all(|line| line.len() <= width.max(79)), "{text}");
        }
    }

    #[test]
    fn json_has_the_same_figures() {
        let json: serde_json::Value = serde_json::from_str(&explain(100 * MIB, Form::Json)).unwrap();
        assert_eq!((&json["version"], &json["size"]), (&1.into(), &(100 * MIB).into()));
        let order = json["order"].as_array().unwrap();
        assert_eq!(order[0]["mirror"], "http://fast.example");
        assert_eq!(order[3]["cool_down_left_seconds"], 30);
        for reasons in order {
            let figure = |name: &str| reasons[name].as_f64().unwrap();
            let expected = (figure("first_byte_seconds") + (100 * MIB) as f64 / figure("bytes_per_second"))
                / figure("probability");
            assert!((figure("expected_seconds") / expected - 1.0).abs() < 1e-6, "{reasons}");
        }
    }

    #[test]
    fn nothing_to_ask_is_said() {
        let mut out = Vec::new();
        run(&[], &State::default(), 1, ALL, &mut out, NOW).unwrap();
        assert!(String::from_utf8(out).unwrap().starts_with("No mirrors: "));
    }
}
