//! `racefetch verify`: every file in DISTDIR against the Manifests of all repositories.

mod check;
mod report;

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

use check::Job;
use report::{Report, State, Summary};

use super::aside::{self, Identity};
use super::configuration::Configuration;
use super::manifests::manifest_index;
use super::{CommandError, Environment, complain};
use crate::cli::{ExitStatus, VerifyArgs};
use crate::portage::distfile::DOWNLOAD_SUFFIX;
use crate::portage::{DistLocks, Distfile, ManifestIndex};
use crate::progress::{Bar, Circumstances, Kind, Phase, Progress, Silent, Snapshot, choose, terminal_width};

/// How it ended, the worst that was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Every file that a Manifest names is right.
    Right,
    /// Some file could not be read, or has no digest that could be computed.
    Unchecked,
    Corrupt,
}

/// Why nothing could be compared.
#[derive(Debug, thiserror::Error)]
enum VerifyError {
    #[error("make.conf sets no DISTDIR: name the folder, as in racefetch verify /var/cache/distfiles")]
    NoDistdir,
    #[error("cannot list {}: {error}", path.display())]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("no Manifest is there to compare with: look at repos.conf, or set PORTAGE_REPOSITORIES")]
    NoManifests,
    #[error("cannot write the result: {0}")]
    Write(io::Error),
}

impl VerifyError {
    fn status(&self) -> ExitStatus {
        match self {
            Self::NoDistdir => ExitStatus::FailedInit,
            Self::Unreadable { .. } | Self::NoManifests => ExitStatus::ReadError,
            Self::Write(_) => ExitStatus::WriteError,
        }
    }
}

impl From<VerifyError> for CommandError {
    fn from(error: VerifyError) -> Self {
        Self::new(error.status(), error)
    }
}

/// Looks at every file and writes to `out` what is wrong.
pub(super) fn run(
    arguments: &VerifyArgs,
    environment: &Environment,
    out: &mut dyn Write,
) -> Result<ExitStatus, CommandError> {
    let warn = &|warning: &str| complain(&format!("racefetch: {warning}"));
    let configuration = Configuration::read(environment);
    for problem in configuration.conf.problems() {
        warn(&problem.to_string());
    }
    let distdir = arguments.distdir.clone().or_else(|| configuration.distdir());
    let distdir = distdir.ok_or(VerifyError::NoDistdir)?;

    let names = list(&distdir).map_err(|error| VerifyError::Unreadable { path: distdir.clone(), error })?;
    let index = manifest_index(&configuration, &|name| names.contains(name), warn);
    let index = index.ok_or(VerifyError::NoManifests)?;
    let (mut reports, pending) = sort_out(&distdir, &names, &index);
    let (indices, jobs): (Vec<usize>, Vec<Job<'_>>) = pending.into_iter().unzip();
    let bytes = jobs.iter().map(|job| job.size).sum();
    for (index, state) in indices.into_iter().zip(compare(&jobs, bytes, environment)) {
        reports[index].state = state;
    }
    if arguments.move_aside {
        let locks = configuration.locks(&distdir);
        for report in &mut reports {
            move_aside(report, &distdir, &locks, warn);
        }
    }
    let summary = Summary::of(&reports, bytes);
    if arguments.json {
        report::write_json(out, &distdir, &reports, &summary).map_err(VerifyError::Write)?;
    } else {
        report::write_lines(out, &reports, &summary, arguments.verbose).map_err(VerifyError::Write)?;
    }
    Ok(match summary.verdict() {
        Verdict::Right => ExitStatus::Ok,
        Verdict::Unchecked => ExitStatus::ReadError,
        Verdict::Corrupt => ExitStatus::NOT_ALL_IS_WELL,
    })
}

/// The names of everything but folders.
fn list(distdir: &Path) -> io::Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(distdir)? {
        let entry = entry?;
        // A link that leads nowhere counts as a file.
        if !fs::metadata(entry.path()).is_ok_and(|found| found.is_dir()) {
            names.insert(entry.file_name().to_string_lossy().into_owned());
        }
    }
    Ok(names)
}

/// What can be said without reading a file, and the jobs for the others, each with the index of its report.
fn sort_out<'i>(
    distdir: &Path,
    names: &BTreeSet<String>,
    index: &'i ManifestIndex,
) -> (Vec<Report>, Vec<(usize, Job<'i>)>) {
    let mut reports = Vec::new();
    let mut jobs = Vec::new();
    for name in names {
        let listed = Distfile::new(name).map_or(&[] as &[_], |distfile| index.find(&distfile));
        // Portage takes a size of 0 for no size and no digests.
        let listed: Vec<_> = listed.iter().filter(|listed| listed.entry.size > 0).collect();
        let mut report = Report { name: name.clone(), state: State::Unknown, found: None, moved_to: None };
        if listed.is_empty() {
            let Some(state) = unlisted(name) else { continue };
            report.state = state;
        } else {
            let path = distdir.join(name);
            match Identity::at(&path) {
                Ok(found) => {
                    report.found = Some(found);
                    match Job::new(path, found, &listed) {
                        Ok(job) => jobs.push((reports.len(), job)),
                        Err(state) => report.state = state,
                    }
                }
                Err(error) => report.state = State::Unchecked(error.to_string()),
            }
        }
        reports.push(report);
    }
    (reports, jobs)
}

/// What a file is that no Manifest names; `None` for what is no distfile: the lock files, caches and layouts
/// of Portage and of this program.
fn unlisted(name: &str) -> Option<State> {
    if name.starts_with('.') || name == "layout.conf" {
        None
    } else if name.contains(aside::INFIX) {
        Some(State::SetAside)
    } else if name.ends_with(DOWNLOAD_SUFFIX) {
        Some(State::Partial)
    } else {
        Some(State::Unknown)
    }
}

/// Renames the file when it is corrupt.
fn move_aside(report: &mut Report, distdir: &Path, locks: &DistLocks, warn: &dyn Fn(&str)) {
    let (State::Corrupt(_), Some(found)) = (&report.state, report.found) else { return };
    let Ok(name) = Distfile::new(&report.name) else { return };
    match aside::move_aside(distdir, &name, found, locks) {
        Ok(moved_to) => report.moved_to = Some(moved_to),
        Err(error) => warn(&format!("cannot move {name} aside: {error}")),
    }
}

/// Reads and compares the content of all files, with a bar on a terminal.
#[expect(clippy::disallowed_methods, reason = "people look at the progress as it happens")]
fn compare(jobs: &[Job<'_>], bytes: u64, environment: &Environment) -> Vec<State> {
    let kind = choose(Circumstances {
        terminal: environment.terminal && environment.text("TERM").as_deref() != Some("dumb"),
        quiet: environment.text("PORTAGE_QUIET").as_deref() == Some("1"),
        ..Circumstances::default()
    });
    let mut progress: Box<dyn Progress> = match kind {
        Kind::Bar => {
            let columns = environment.text("COLUMNS");
            let width = Box::new(move || terminal_width(columns.as_deref()));
            Box::new(Bar::new("verify", Box::new(io::stderr()), width, false))
        }
        // In a log the result is enough.
        Kind::Lines | Kind::Silent => Box::new(Silent),
    };
    let begin = Instant::now();
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let states = check::check_all(jobs, threads, &mut |have| {
        let now = Instant::now();
        let elapsed = now.saturating_duration_since(begin);
        let phase = Phase::Receiving; // the one that has a rate
        progress.update(now, &Snapshot { have, size: Some(bytes), elapsed, phase, ..Snapshot::default() });
    });
    progress.finish(None);
    states
}
