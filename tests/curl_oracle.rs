//! The real curl says what is right: the cases under `tests/cases` run with it and with racefetch, each
//! against servers of its own, and everything that can be seen from outside must be the same.
//!
//! `tests/cases/README.md` describes the format. Variables of the environment change what is run:
//! `CURL_ORACLE` names another curl (what the cases say of 7.88 alone is then not held against it);
//! `CURL_ORACLE_SELF` puts curl in both roles, which shows whether the cases themselves are deterministic;
//! `CURL_ORACLE_ONLY` runs only the cases that have this text in their place or title.

mod case;
mod outcome;
mod script;
mod stage;

use std::collections::{BTreeSet, VecDeque};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::{fs, thread};

use case::Case;
use stage::Program;

use crate::support::ports;

/// Most cases wait for something; two cores carry this many.
const AT_ONCE: usize = 8;

#[test]
fn racefetch_does_what_curl_does() {
    let players = Players::from_environment();
    let mut cases = all_cases();
    if let Some(text) = environment("CURL_ORACLE_ONLY") {
        cases.retain(|case| format!("{} {}", case.place, case.title).contains(&*text.to_string_lossy()));
    }
    let queue = Mutex::new(cases.iter().collect::<VecDeque<_>>());
    let failures = Mutex::new(Vec::new());
    // A function, so that the lock is not held while the case runs.
    let next_case = || lock(&queue).pop_front();
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(case) = next_case() {
                    let differences = players.run(case);
                    if !differences.is_empty() {
                        lock(&failures).push((case, differences));
                    }
                }
            });
        }
    });
    let mut failures = failures.into_inner().unwrap_or_else(PoisonError::into_inner);
    failures.sort_by_key(|(case, _)| &case.place);
    let report: String = failures.iter().map(|(case, differences)| describe(case, differences)).collect();
    assert!(failures.is_empty(), "{} of {} cases fail\n{report}", failures.len(), cases.len());
}

#[test]
fn the_cases_are_many_and_cover_every_exit_code_that_downloads_have() {
    let cases = all_cases();
    assert!(cases.len() >= 120, "there are {} cases", cases.len());
    let seen: BTreeSet<i32> =
        cases.iter().flat_map(|case| case.exit.iter().copied().chain(case.ours.exit)).collect();
    let missing: Vec<i32> = [0, 1, 2, 3, 5, 6, 7, 18, 22, 23, 26, 28, 33, 35, 47, 52, 55, 56, 60, 61, 63]
        .into_iter()
        .filter(|code| !seen.contains(code))
        .collect();
    assert!(missing.is_empty(), "no case ends with {missing:?}");
    let titles: BTreeSet<&str> = cases.iter().map(|case| case.title.as_str()).collect();
    assert_eq!(titles.len(), cases.len(), "two cases have the same title");
}

/// Who is run.
struct Players {
    oracle: Program,
    racefetch: Program,
    /// The oracle is the 7.88 that the cases' own figures were taken from.
    stock_oracle: bool,
    /// curl plays both.
    rehearsal: bool,
}

impl Players {
    fn from_environment() -> Self {
        let other = environment("CURL_ORACLE");
        let rehearsal = environment("CURL_ORACLE_SELF").is_some();
        let stock_oracle = other.is_none();
        let path = PathBuf::from(other.unwrap_or_else(|| "/usr/bin/curl".into()));
        assert!(path.exists(), "{} is missing: install curl, or name one in CURL_ORACLE", path.display());
        let oracle = Program { path, is_curl: true };
        let racefetch = Program { path: env!("CARGO_BIN_EXE_racefetch").into(), is_curl: false };
        let racefetch = if rehearsal { oracle.clone() } else { racefetch };
        Self { oracle, racefetch, stock_oracle, rehearsal }
    }

    /// What is wrong, a line each.
    fn run(&self, case: &Case) -> Vec<String> {
        if case.needs_ipv6() && !ports::has_ipv6() {
            eprintln!("{}: skipped, there is no ::1 here", case.place);
            return Vec::new();
        }
        let curl = match stage::run(case, &self.oracle) {
            Ok(outcome) => outcome,
            Err(error) => return vec![format!("the case: {error}")],
        };
        let mut differences = Vec::new();
        let pinned = self.stock_oracle || case.differs.is_none();
        if pinned && !case.ends_well(&curl) {
            differences.push(format!("curl: {}, the case says {:?}", curl.ending(), case.exit));
        }
        differences.extend(curl.complaints.iter().map(|complaint| format!("curl: {complaint}")));
        if self.rehearsal && case.differs.is_some() {
            return differences;
        }
        match stage::run(case, &self.racefetch) {
            Ok(ours) => differences.extend(ours.differences_from(&case.expected_of_racefetch(&curl, &ours))),
            Err(error) => differences.push(format!("the case: {error}")),
        }
        differences
    }
}

fn describe(case: &Case, differences: &[String]) -> String {
    let why = case.differs.as_ref().map(|why| format!("    differs: {why}\n")).unwrap_or_default();
    let lines: String = differences.iter().map(|line| line.clone() + "\n").collect();
    let lines = lines.replace('\n', "\n      ");
    format!(
        "\n{}: {}\n    run {}\n{why}      {}\n",
        case.place,
        case.title,
        case.arguments.join(" "),
        lines.trim_end()
    )
}

fn all_cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let entries = fs::read_dir(&folder).expect("the folder of the cases is there");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("it can be read").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "case"));
    paths.sort();
    paths
        .iter()
        .flat_map(|path| {
            let text = fs::read_to_string(path).expect("a case file is UTF-8");
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            case::parse(&name, &text).unwrap_or_else(|error| panic!("{error}"))
        })
        .collect()
}

#[expect(clippy::disallowed_methods, reason = "the only place of the oracle that reads the environment")]
fn environment(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
