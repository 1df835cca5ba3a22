//! `racefetch stats`: what is known of each mirror, or in which order they would be asked; as a table or as JSON. Or a
//! mirror is forgotten.

mod fitting;
mod overview;
mod page;
mod prometheus;
mod publish;
mod table;
mod units;

use std::io::{self, IsTerminal, Write};

pub(super) use fitting::{Table, names};
pub(super) use units::{duration, known, nothing, size};

use super::configuration::Configuration;
use super::environment::unix_now;
use super::explain::{self, Explained, Form};
use super::{CommandError, Environment, complain, mirrors};
use crate::cli::{self, ExitStatus};
use crate::mirror::store::Warning;
use crate::mirror::{MirrorKey, State, Store, format};
use crate::portage::{MirrorBase, Tiers};
use crate::progress::{printable, printable_json};

/// Writes the figures, or the order, to `out`, or forgets a mirror.
pub(super) fn run(
    line: &cli::StatsArgs,
    environment: &Environment,
    out: &mut dyn Write,
) -> Result<ExitStatus, CommandError> {
    if line.prometheus.is_some() || line.html.is_some() {
        return publish::run(line, environment, out, unix_now());
    }
    let cannot_write =
        |error| CommandError::new(ExitStatus::WriteError, format_args!("cannot write the figures: {error}"));
    let wanted = Wanted::new(line, environment);
    if let Some(words) = &line.forget {
        return forget(words, &wanted.store, out);
    }
    for warning in wanted.write(out, unix_now()).map_err(cannot_write)? {
        complain(&format!("racefetch: {warning}"));
    }
    Ok(ExitStatus::Ok)
}

/// Forgets the mirrors of a host, or below a URL.
fn forget(words: &str, store: &Store, out: &mut dyn Write) -> Result<ExitStatus, CommandError> {
    let failed = |error: String| CommandError::new(ExitStatus::WriteError, error);
    let is_meant = |mirror: &MirrorKey| mirror.is_meant_by(words);
    let (gone, warning) = store.forget(is_meant).map_err(|error| failed(error.to_string()))?;
    if let Some(warning) = warning {
        complain(&format!("racefetch: {warning}"));
    }
    if gone.is_empty() {
        let what = format_args!(
            "no figures of {words} in {}: `racefetch stats --wide` shows whose there are",
            store.file().display()
        );
        return Err(CommandError::new(ExitStatus::FailedInit, what));
    }
    for mirror in gone {
        writeln!(out, "Forgotten: {}", printable(mirror.as_str()))
            .map_err(|error| failed(error.to_string()))?;
    }
    Ok(ExitStatus::Ok)
}

/// The width of the terminal on stdout, else COLUMNS, else 80.
pub(super) fn width(environment: &Environment) -> usize {
    let stdout = io::stdout();
    let size = if stdout.is_terminal() { rustix::termios::tcgetwinsize(&stdout).ok() } else { None };
    let columns = environment.text("COLUMNS").and_then(|columns| columns.trim().parse().ok());
    let width = size.map(|size| usize::from(size.ws_col)).filter(|width| *width > 0);
    width.or(columns.filter(|columns| *columns > 0)).unwrap_or(80)
}

/// What was asked for.
#[derive(Clone, Debug)]
struct Wanted {
    /// JSON in place of a table: the state itself, or the order.
    json: bool,
    /// The order for a file, in place of the figures.
    explain: Option<Explain>,
    /// The columns that the table may have; none for everything.
    width: Option<usize>,
    store: Store,
}

/// For which file, and which mirrors there are.
#[derive(Clone, Debug)]
struct Explain {
    /// In bytes.
    size: u64,
    mirrors: Vec<MirrorBase>,
    tiers: Tiers,
    /// What is wrong with `RACEFETCH_TIERS`, one line for each word.
    warnings: Vec<String>,
}

impl Wanted {
    fn new(line: &cli::StatsArgs, environment: &Environment) -> Self {
        let configuration = Configuration::read(environment);
        let distdir = configuration.distdir();
        Self {
            json: line.json,
            explain: line.explain.map(|size| Explain::new(size, line, &configuration)),
            width: (!line.wide).then(|| width(environment)),
            store: environment.store_to_read(&configuration.call, line.state.as_deref(), distdir.as_deref()),
        }
    }

    /// Writes the figures or the order. `now` in UNIX seconds. Returns the warnings, one line each: about the
    /// state file and about the environment.
    fn write(&self, out: &mut dyn Write, now: u64) -> io::Result<Vec<String>> {
        let (state, warnings) = self.store.look();
        let mut warnings: Vec<String> = warnings.iter().map(Warning::to_string).collect();
        if let Some(explain) = &self.explain {
            warnings.extend(explain.warnings.iter().cloned());
            let form = if self.json { Form::Json } else { Form::Table(self.width) };
            explain::run(&explain.candidates(&state), &state, explain.size, form, out, now)?;
        } else if self.json {
            writeln!(out, "{}", printable_json(&format::write_pretty(&state)?))?;
        } else if state.mirrors().next().is_none() {
            writeln!(out, "No figures of any mirror yet, in {}.", self.store.file().display())?;
        } else {
            out.write_all(table::write(&state, now, self.width).as_bytes())?;
        }
        Ok(warnings)
    }
}

impl Explain {
    /// The mirrors that a fetch would know: those of `--mirrors`, else of `RACEFETCH_MIRRORS`, else Portage's.
    fn new(size: u64, line: &cli::StatsArgs, configuration: &Configuration<'_>) -> Self {
        let given: Option<Vec<String>> =
            line.mirrors.as_ref().map(|list| list.split_whitespace().map(str::to_owned).collect());
        let mirrors = mirrors::known(given.as_deref(), configuration);
        let given = line.tiers.iter().fold(Tiers::default(), Tiers::overridden_by);
        let (tiers, warnings) = mirrors::tiers(&given, &configuration.call);
        Self { size, mirrors, tiers, warnings }
    }

    /// Those mirrors; when there are none, all that the state has figures of.
    fn candidates(&self, state: &State) -> Vec<Explained> {
        let explained = |mirror: MirrorKey, local| {
            let tier = self.tiers.of(mirror.as_str(), local);
            Explained { mirror, tier }
        };
        if self.mirrors.is_empty() {
            return state.mirrors().map(|(key, _)| explained(key.clone(), is_local(key))).collect();
        }
        self.mirrors.iter().map(|mirror| explained(mirrors::key(mirror), mirror.is_local())).collect()
    }
}

fn is_local(key: &MirrorKey) -> bool {
    key.is_local()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::time::Duration;

    use super::*;
    use crate::mirror::location::{Folder, Location};
    use crate::mirror::{Attempt, Delta, Outcome, RateSample};

    const NOW: u64 = 1_800_000_000;

    fn store(folder: &Path) -> Store {
        Store::new(Location { file: folder.join("mirrors.json"), folder: Folder::Named })
    }

    fn attempt(mirror: &str, at: u64, outcome: Outcome, kept: u64, wasted: u64) -> Delta {
        Delta::Attempt(Attempt {
            mirror: MirrorKey::new(mirror),
            at,
            outcome,
            bytes_kept: kept,
            bytes_wasted: wasted,
            first_byte: (kept > 0).then_some(Duration::from_micros(41_250)),
            rate: (kept > 0).then_some(RateSample { bytes: kept, duration: Duration::from_secs(2) }),
        })
    }

    fn output(store: Store, json: bool) -> String {
        let mut out = Vec::new();
        let warnings = Wanted { json, explain: None, width: Some(80), store }.write(&mut out, NOW).unwrap();
        assert!(warnings.is_empty(), "{warnings:?}");
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn forgotten_is_whom_the_words_mean() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let mirrors = ["http://a.example/x", "https://a.example:8443/y", "http://b.example"];
        store.apply(&mirrors.map(|mirror| attempt(mirror, NOW, Outcome::Success, 5, 0)), NOW).unwrap();
        let mut out = Vec::new();
        let error = forget("c.example", &store, &mut out).unwrap_err();
        assert!(
            error.status == ExitStatus::FailedInit && error.to_string().contains("no figures of c.example")
        );
        for (words, left) in [("https://A.example:8443", 2), ("a.example", 1), ("http://b.example/", 0)] {
            forget(words, &store, &mut out).unwrap();
            assert_eq!(store.load().0.mirrors().count(), left, "{words}");
        }
        let said = String::from_utf8(out).unwrap();
        assert_eq!(
            said.lines().collect::<Vec<_>>(),
            [
                "Forgotten: https://a.example:8443/y",
                "Forgotten: http://a.example/x",
                "Forgotten: http://b.example",
            ]
        );
        assert!(forget("b.example", &store, &mut Vec::new()).is_err());
    }

    #[test]
    fn json_is_the_state_itself() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        store.apply(&[attempt("http://u:secret@m.example", NOW, Outcome::Success, 5, 0)], NOW).unwrap();
        let text = output(store.clone(), true);
        assert_eq!(format::read(text.as_bytes()), format::Content::State(store.load().0));
        assert!(text.starts_with("{\n  \"version\": 1,\n") && text.ends_with("}\n"), "{text}");
        assert!(!text.contains("secret"));
        assert_eq!(text, output(store, true));
    }

    #[test]
    fn nothing_known_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mirrors.json");
        let said = format!("No figures of any mirror yet, in {}.\n", file.display());
        assert_eq!(output(store(folder.path()), false), said);
        assert!(output(store(folder.path()), true).contains("\"mirrors\": {}"));
        assert!(!file.exists());
    }

    #[test]
    fn what_is_wrong_with_the_file_is_returned() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("mirrors.json"), "<html>").unwrap();
        let mut out = Vec::new();
        let warnings = Wanted { json: false, explain: None, width: Some(80), store: store(folder.path()) }
            .write(&mut out, NOW)
            .unwrap();
        assert!(matches!(&warnings[..], [line] if line.contains("mirrors.json")), "{warnings:?}");
        let names = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        assert_eq!(names.collect::<Vec<_>>(), ["mirrors.json"], "who looks changes nothing");
    }
}
