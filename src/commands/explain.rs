//! `racefetch stats --explain SIZE`: in which order mirrors would be asked for a file, and why.

use std::io::{self, Write};

use serde::Serialize;

use super::stats::{duration, known, nothing, size, write_rows};
use crate::mirror::{Candidate, MirrorKey, State, rank};
use crate::progress::printable_json;

/// A mirror that could be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Explained {
    pub mirror: MirrorKey,
    pub tier: u8,
}

/// Writes the order for a file of `bytes`. `now` in UNIX seconds.
pub(super) fn run(
    mirrors: &[Explained],
    state: &State,
    bytes: u64,
    json: bool,
    out: &mut dyn Write,
    now: u64,
) -> io::Result<()> {
    let order = order(mirrors, state, bytes, now);
    if json {
        let explanation = Explanation { version: VERSION, size: bytes, order };
        return writeln!(out, "{}", printable_json(&serde_json::to_string_pretty(&explanation)?));
    }
    if order.is_empty() {
        return writeln!(out, "No mirrors: name some with --mirrors, RACEFETCH_MIRRORS or GENTOO_MIRRORS.");
    }
    writeln!(out, "For a file of {} mirrors are asked in this order:", size(bytes))?;
    let mut rows = vec![HEADINGS.map(str::to_owned)];
    rows.extend(order.iter().map(row));
    write_rows(&rows, out)?;
    out.write_all(KEY.as_bytes())
}

/// The version of the JSON's form.
const VERSION: u32 = 1;

const HEADINGS: [&str; 8] =
    ["mirror", "tier", "expected s", "first byte ms", "rate MiB/s", "success %", "cool-down left", "figures"];

const KEY: &str = "\
Expected: (first byte + size / rate) / success. Figures fade in weeks; without any a mirror is assumed to be good.
Lower tiers are asked first and alone; a mirror that failed just now is left to cool down, and comes last.
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

fn row(reasons: &Reasons) -> [String; 8] {
    [
        reasons.mirror.clone(),
        reasons.tier.to_string(),
        format!("{:.2}", reasons.expected_seconds),
        known(Some(reasons.first_byte_seconds * 1e3)),
        known(Some(reasons.bytes_per_second / f64::from(1 << 20))),
        known(Some(reasons.probability * 100.0)),
        match reasons.cool_down_left_seconds {
            0 => nothing(),
            left => duration(left),
        },
        match reasons.attempts {
            0 => "assumed".to_owned(),
            1 => "1 attempt".to_owned(),
            attempts => format!("{attempts} attempts"),
        },
    ]
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::mirror::{Attempt, Delta, FailureKind, Outcome, RateSample};

    const NOW: u64 = 1_800_000_000;
    const MIB: u64 = 1 << 20;

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

    fn explain(bytes: u64, json: bool) -> String {
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
        run(&mirrors, &state, bytes, json, &mut out, NOW).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn first_words(text: &str) -> Vec<&str> {
        text.lines().filter(|l| l.starts_with("http")).filter_map(|l| l.split_whitespace().next()).collect()
    }

    #[test]
    fn the_table_is_the_order_and_the_reasons() {
        let large = explain(100 * MIB, false);
        let rest = ["http://new.example", "http://dead.example"];
        let expected = [["http://fast.example", "http://quick.example"], rest].concat();
        assert_eq!(first_words(&large), expected, "{large}");
        let small = explain(MIB / 100, false);
        assert_eq!(first_words(&small)[..2], ["http://quick.example", "http://fast.example"], "{small}");
        for said in ["For a file of 100.0 MiB", "assumed", "200 attempts", "1 attempt\n", "30 s"] {
            assert!(large.contains(said), "{said} in {large}");
        }
        let widths: Vec<usize> = large.lines().skip(1).take(5).map(str::len).collect();
        assert!(widths.windows(2).all(|pair| pair[0] == pair[1]), "{large}");
    }

    #[test]
    fn json_has_the_same_figures() {
        let json: serde_json::Value = serde_json::from_str(&explain(100 * MIB, true)).unwrap();
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
        run(&[], &State::default(), 1, false, &mut out, NOW).unwrap();
        assert!(String::from_utf8(out).unwrap().starts_with("No mirrors: "));
    }
}
