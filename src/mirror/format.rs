//! The state as JSON.
//!
//! ```json
//! {"version": 1,
//!  "mirrors": {"https://mirror.example/gentoo": {"attempts": 12, "successes": 11,
//!    "failures": {"not_found": 1}, "bytes_kept": 83886080, "bytes_wasted": 0,
//!    "first_byte_us": {"mean": 41300, "weight": 9800000, "at": 1800000000}, …}},
//!  "repositories": {"gentoo": {"hits": 31000000, "misses": 250000, "at": 1800000000}},
//!  "notes": {"lacks": {"https://mirror.example/gentoo": {"a-1.tar.xz/0123456789abcdef": 1800003600}},
//!            "answers": {"https://mirror.example/gentoo": {"a-1.tar.xz/0123456789abcdef": "HTTP status 404"}},
//!            "wrong_everywhere": {}},
//!  "ranking": {"value": ["https://mirror.example/gentoo"], "at": 1800000000},
//!  "forgotten": {"local": {}, "public": {"attempts": 7, "successes": 7, "bytes_kept": 3145728, …}}}
//! ```
//!
//! Times are UNIX seconds; weights, hits and misses are millionths. A change that this program would not
//! understand needs a new version.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::error::Category;

use super::fading::Ratio;
use super::key::MirrorKey;
use super::notes::Notes;
use super::stats::{Dated, Mirror, State};
use super::traffic::Forgotten;

/// The version that is written.
pub const VERSION: u64 = 1;

/// A state file of more bytes is not read. What [`write()`] makes of a pruned state is always smaller.
pub const SIZE_MAX: u64 = 32 << 20;

/// What a state file turned out to be.
#[derive(Debug, PartialEq)]
pub enum Content {
    State(State),
    /// Of a later version: with as much of it as is understood. It must not be replaced.
    Newer {
        version: u64,
        state: State,
    },
    /// Nothing that this program has written, and why. The reason repeats no content.
    Broken(String),
}

/// Reads the text of a state file. Numbers that cannot be are clamped.
pub fn read(text: &[u8]) -> Content {
    let parsed = serde_json::from_slice(text).or_else(|error| match error.classify() {
        Category::Data => from_edited(text),
        Category::Io | Category::Syntax | Category::Eof => Err(error),
    });
    match parsed {
        Ok(Document { version: 1, mirrors, repositories, notes, ranking, forgotten }) => {
            let mut state = State { mirrors, repositories, notes, ranking, forgotten };
            state.bound();
            Content::State(state)
        }
        Ok(Document { version: 0, .. }) => Content::Broken("version 0 never was".to_owned()),
        Ok(Document { version, mirrors, repositories, notes, ranking, forgotten }) => {
            let mut state = State { mirrors, repositories, notes, ranking, forgotten };
            state.bound();
            Content::Newer { version, state }
        }
        Err(error) => match serde_json::from_slice(text) {
            Ok(Version { version }) if version > VERSION => {
                Content::Newer { version, state: State::default() }
            }
            _ => Content::Broken(reason(&error)),
        },
    }
}

/// The text of a state file, in one line.
pub fn write(state: &State) -> serde_json::Result<String> {
    serde_json::to_string(&WrittenDocument::from(state))
}

/// The same for people and their tools, on many lines.
pub fn write_pretty(state: &State) -> serde_json::Result<String> {
    serde_json::to_string_pretty(&WrittenDocument::from(state))
}

#[derive(Deserialize)]
struct Document {
    version: u64,
    #[serde(default)]
    mirrors: BTreeMap<MirrorKey, Mirror>,
    #[serde(default)]
    repositories: BTreeMap<String, Ratio>,
    #[serde(default)]
    notes: Notes,
    #[serde(default)]
    ranking: Option<Dated<Vec<MirrorKey>>>,
    #[serde(default)]
    forgotten: Forgotten,
}

#[derive(Deserialize)]
struct Version {
    version: u64,
}

#[derive(Serialize)]
struct WrittenDocument<'a> {
    version: u64,
    mirrors: &'a BTreeMap<MirrorKey, Mirror>,
    repositories: &'a BTreeMap<String, Ratio>,
    notes: &'a Notes,
    #[serde(skip_serializing_if = "Option::is_none")]
    ranking: &'a Option<Dated<Vec<MirrorKey>>>,
    #[serde(skip_serializing_if = "is_nothing")]
    forgotten: &'a Forgotten,
}

impl<'a> From<&'a State> for WrittenDocument<'a> {
    fn from(state: &'a State) -> Self {
        let State { mirrors, repositories, notes, ranking, forgotten } = state;
        Self { version: VERSION, mirrors, repositories, notes, ranking, forgotten }
    }
}

fn is_nothing(forgotten: &Forgotten) -> bool {
    *forgotten == Forgotten::default()
}

/// Reads what is JSON but has numbers of the wrong kind, as after an edit by hand.
fn from_edited(text: &[u8]) -> serde_json::Result<Document> {
    let mut value: Value = serde_json::from_slice(text)?;
    clamp_numbers(&mut value);
    serde_json::from_value(value)
}

/// Makes every number a whole one that is not negative. The depth is bounded by `serde_json`'s parser.
fn clamp_numbers(value: &mut Value) {
    match value {
        Value::Number(number) if number.as_u64().is_none() => {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "`as` saturates: negative becomes 0, huge the maximum"
            )]
            let clamped = number.as_f64().unwrap_or_default().round() as u64;
            *value = clamped.into();
        }
        Value::Array(values) => values.iter_mut().for_each(clamp_numbers),
        Value::Object(members) => members.values_mut().for_each(clamp_numbers),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// `serde_json`'s own message can quote the file, which may be any file of the system.
fn reason(error: &serde_json::Error) -> String {
    let what = match error.classify() {
        Category::Io | Category::Syntax => "not JSON",
        Category::Data => "not a state of racefetch",
        Category::Eof => "it ends too early",
    };
    match error.line() {
        0 => what.to_owned(),
        line => format!("{what}: line {line}, column {}", error.column()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::arbitrary;
    use super::super::event::Delta;
    use super::super::key::FileKey;
    use super::super::notes::NOTES_MAX;
    use super::super::stats::{LAYOUT_MAX, MIRRORS_MAX};
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn mirror(text: &str) -> Mirror {
        let text = format!(r#"{{"version": 1, "mirrors": {{"http://m.example": {text}}}}}"#);
        match read(text.as_bytes()) {
            Content::State(state) => state.mirror(&MirrorKey::new("http://m.example")).unwrap().clone(),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn numbers_that_cannot_be_are_clamped() {
        let edited = mirror(r#"{"attempts": -5, "successes": 1e300, "bytes_kept": 2.5, "bytes_wasted": 7}"#);
        assert_eq!(edited.attempts, 0);
        assert_eq!(edited.successes, u64::MAX);
        assert_eq!(edited.bytes_kept, 3);
        assert_eq!(edited.bytes_wasted, 7);
        assert_eq!(mirror(r#"{"attempts": 99999999999999999999}"#).attempts, u64::MAX);

        let absurd = u64::MAX;
        let edited = mirror(&format!(
            r#"{{"first_byte_us": {{"mean": {absurd}, "weight": {absurd}, "at": {absurd}}},
                 "bytes_per_second": {{"mean": 0, "weight": 5, "at": 1}},
                 "reliability": {{"hits": {absurd}, "misses": -1, "at": 0}},
                 "cool_down": {{"until": {absurd}, "failures_in_a_row": 18446744073709551615}}}}"#
        ));
        assert_eq!(edited.first_byte_us.mean(), Some(3_600_000_000));
        assert!(edited.first_byte_us.weight(NOW) <= 16.0);
        assert_eq!(edited.bytes_per_second.mean(), Some(1));
        assert!(edited.reliability.counts(0).0 <= 32.0);
        assert_eq!(edited.cool_down_left(NOW), 0);
    }

    #[test]
    fn credentials_in_an_edited_file_are_dropped() {
        let text = br#"{"version": 1, "mirrors": {"http://u:secret@m.example/": {"attempts": 1}}}"#;
        let Content::State(state) = read(text) else { panic!("not read") };
        assert!(!write(&state).unwrap().contains("secret"));
    }

    #[test]
    fn what_is_not_a_state_is_broken() {
        let nested = "[".repeat(100_000);
        let nested_in = format!(r#"{{"version": 1, "mirrors": {}"#, r#"{"a":"#.repeat(100_000));
        for text in [
            "",
            " ",
            "null",
            "{}",
            "[]",
            "[1, 2]",
            "\"state\"",
            "1",
            "NaN",
            "{\"version\": \"1\"}",
            "{\"version\": 0}",
            "{\"version\": -1}",
            "{\"version\": null}",
            "{\"version\": 1, \"mirrors\": []}",
            "{\"version\": 1, \"mirrors\": {\"http://m\": 5}}",
            "{\"version\": 1, \"notes\": 1e400}",
            "{\"version\": 1} trailing",
            "<html></html>",
            &nested,
            &nested_in,
        ] {
            assert!(matches!(read(text.as_bytes()), Content::Broken(_)), "{text:.60}");
        }
        assert!(matches!(read(b"{\"version\": 1, \"mirrors\": {\"\xff\": {}}}"), Content::Broken(_)));
    }

    #[test]
    fn the_reason_quotes_nothing() {
        let Content::Broken(reason) = read(b"{\"version\": 1, \"mirrors\": \"root:secret\"}") else {
            panic!("read");
        };
        assert_eq!(reason, "not a state of racefetch");
        assert_eq!(read(b"{\n\"version"), Content::Broken("it ends too early: line 2, column 8".to_owned()));
    }

    #[test]
    fn the_first_form_is_read() {
        // As 0.1.0 wrote it at first: notes had an end and no beginning, and much of what is there now did not exist.
        let text = br#"{"version": 1,
            "mirrors": {"https://mirror.example/gentoo": {"attempts": 12, "successes": 11,
                "failures": {"not_found": 1}, "bytes_kept": 83886080, "bytes_wasted": 7,
                "first_byte_us": {"mean": 41300, "weight": 9800000, "at": 1800000000},
                "cool_down": {"until": 1800000030, "failures_in_a_row": 1}}},
            "repositories": {"gentoo": {"hits": 31000000, "misses": 250000, "at": 1800000000}},
            "notes": {"lacks": {"https://mirror.example/gentoo": {"a-1.tar.xz/0123456789abcdef": 1800003600}},
                "wrong_everywhere": {}}}"#;
        let Content::State(state) = read(text) else { panic!("it is not read") };
        let mirror = state.mirror(&MirrorKey::new("https://mirror.example/gentoo")).unwrap();
        assert_eq!(
            (mirror.attempts, mirror.successes, mirror.bytes_kept, mirror.bytes_wasted),
            (12, 11, 83_886_080, 7)
        );
        assert_eq!(mirror.first_byte_us.mean(), Some(41_300));
        assert_eq!(read(&write(&state).unwrap().into_bytes()), Content::State(state));
    }

    #[test]
    fn of_a_newer_version_is_read_what_is_understood() {
        let text = br#"{"version": 2, "mirrors": {"http://m.example": {"attempts": 3, "colour": "red"}}}"#;
        let Content::Newer { version: 2, state } = read(text) else { panic!("not newer") };
        assert_eq!(state.mirrors().next().unwrap().1.attempts, 3);

        let text = br#"{"mirrors": ["of another kind"], "version": 3}"#;
        assert_eq!(read(text), Content::Newer { version: 3, state: State::default() });
    }

    #[test]
    fn the_largest_state_can_be_read_again() {
        let long = "\u{1}".repeat(1000);
        let mut state = State::default();
        for number in 0..NOTES_MAX as u64 + 10 {
            let mirror = MirrorKey::new(&format!("http://m{number}.example/{}", "\"".repeat(2000)));
            let file = FileKey::new(&long[..255], Some(&format!("{number:016}")));
            let answer = long.clone();
            state.apply(&Delta::Lacks { mirror: mirror.clone(), file, at: NOW, lasts: 60, answer });
            let text = long.repeat(5)[..LAYOUT_MAX].to_owned();
            state.apply(&Delta::Layout { mirror, at: NOW, text });
            state.apply(&Delta::Repository { name: format!("{number}{}", &long[..250]), at: NOW, hit: true });
        }
        state.prune(NOW);
        assert_eq!(state.mirrors.len(), MIRRORS_MAX);
        let text = write(&state).unwrap();
        assert!((16 << 20..=SIZE_MAX).contains(&(text.len() as u64)), "{}", text.len());
        assert_eq!(read(text.as_bytes()), Content::State(state));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            deltas in prop::collection::vec(arbitrary::delta(), 0..60), now in arbitrary::time()
        ) {
            let mut state = State::default();
            state.apply_all(&deltas);
            let text = write(&state).unwrap();
            prop_assert_eq!(read(text.as_bytes()), Content::State(state.clone()));
            prop_assert_eq!(read(write_pretty(&state).unwrap().as_bytes()), Content::State(state.clone()));
            state.prune(now);
            prop_assert_eq!(read(write(&state).unwrap().as_bytes()), Content::State(state));
        }

        #[test]
        fn any_text_is_judged(text in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(matches!(read(&text), Content::Broken(_)));
        }
    }
}
