//! What the user sees: progress, notes, and one line at the end.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::time::Instant;

use super::ended::Ended;
use crate::cli::ExitStatus;
use crate::cli::options::{FetchOptions, Sink};
use crate::commands::Environment;
use crate::files::{self, Existing};
use crate::progress::{
    Bar, Circumstances, Ending, FileAtWork, Files, Kind, Lines, Phase, Progress, Silent, Snapshot,
    SourceSnapshot, choose, colours, printable, terminal_width,
};
use crate::transfer::engine::{self, Observer, Stage};

#[expect(clippy::struct_excessive_bools, reason = "facts that are independent of each other")]
pub(super) struct Show {
    kind: Kind,
    silent: bool,
    errors: bool,
    colours: bool,
    columns: Option<String>,
    log: Option<File>,
    to_stdout: bool,
    progress: Box<dyn Progress>,
    /// What the transfer under way is for.
    name: String,
    /// The names of the sources of the transfer under way.
    pub(super) names: Vec<String>,
}

impl Show {
    pub(super) fn new(options: &FetchOptions, environment: &Environment) -> Result<Self, String> {
        let report = &options.report;
        let log = match &report.stderr {
            Some(Sink::File(path)) => {
                let failed = |e: io::Error| format!("cannot write {} (--stderr): {e}", path.display());
                Some(files::open_output(path, Existing::Empty).map_err(failed)?)
            }
            _ => None,
        };
        let to_stdout = report.stderr == Some(Sink::Stdout);
        let kind = choose(Circumstances {
            terminal: environment.terminal
                && report.stderr.is_none()
                && environment.text("TERM").as_deref() != Some("dumb"),
            silent: report.silent,
            quiet: environment.text("PORTAGE_QUIET").as_deref() == Some("1"),
            bar_asked_for: report.progress_bar,
            no_meter: !report.progress_meter,
        });
        Ok(Self {
            kind,
            silent: report.silent,
            errors: !report.silent || report.show_error,
            colours: colours(environment.text("NO_COLOR").as_deref(), environment.text("NOCOLOR").as_deref()),
            columns: environment.text("COLUMNS"),
            log,
            to_stdout,
            progress: Box::new(Silent),
            name: String::new(),
            names: Vec::new(),
        })
    }

    /// A transfer of that file begins.
    pub(super) fn begin(&mut self, name: &Path, names: Vec<String>) {
        self.names = names;
        let name = name.file_name().unwrap_or(name.as_os_str()).to_string_lossy().into_owned();
        let name = name.strip_suffix(".__download__").unwrap_or(&name).to_owned();
        self.name.clone_from(&name);
        let columns = self.columns.clone();
        self.progress = match self.kind {
            Kind::Bar => {
                let width = Box::new(move || terminal_width(columns.as_deref()));
                Box::new(Bar::new(&name, self.out(), width, self.colours))
            }
            Kind::Lines => Box::new(Lines::new(&name, self.out())),
            Kind::Silent => Box::new(Silent),
        };
    }

    /// The transfer is over; how it ended is shown unless silence was asked for.
    pub(super) fn finish(&mut self, ending: Option<&Ending>) {
        self.progress.finish(ending);
        self.progress = Box::new(Silent);
    }

    /// Something about the call that the user should know.
    pub(super) fn warn(&mut self, line: &str) {
        if !self.silent {
            self.line(&format!("racefetch: {line}"));
        }
    }

    /// Whether [`Self::warn`] shows anything.
    pub(super) fn warns(&self) -> bool {
        !self.silent
    }

    /// Shows why a transfer failed.
    pub(super) fn end(&mut self, ended: &Ended) -> ExitStatus {
        self.finish(None);
        if let Some(error) = ended.error.as_ref().filter(|_| self.errors) {
            self.line(&format!("racefetch: ({}) {error}", ended.status));
        }
        ended.status
    }

    /// Text from `-w` for stderr.
    pub(super) fn raw(&mut self, text: &str) {
        let _ = self.out().write_all(text.as_bytes()); // there is no other place to say so
    }

    fn line(&mut self, line: &str) {
        self.raw(&format!("{}\n", printable(line)));
    }

    fn out(&self) -> Box<dyn Write + Send> {
        match self.log.as_ref().map(File::try_clone) {
            Some(Ok(file)) => Box::new(file),
            _ if self.to_stdout => Box::new(io::stdout()),
            _ => Box::new(io::stderr()),
        }
    }
}

fn file_at_work((name, have, size): &(String, u64, u64)) -> FileAtWork {
    FileAtWork { name: name.clone(), have: *have, size: *size }
}

impl Observer for Show {
    fn progress(&mut self, now: Instant, snapshot: &engine::Snapshot) {
        let source = |(id, rate): &(usize, f64)| {
            Some(SourceSnapshot { name: self.names.get(*id)?.clone(), rate: *rate })
        };
        let snapshot = Snapshot {
            have: snapshot.have,
            resumed: snapshot.resumed,
            size: snapshot.size,
            elapsed: snapshot.elapsed,
            phase: match snapshot.stage {
                Stage::Connecting => Phase::Connecting,
                Stage::Receiving => Phase::Receiving,
                Stage::Verifying => Phase::Verifying,
                Stage::Repairing => Phase::Repairing,
            },
            sources: snapshot.rates.iter().filter_map(source).collect(),
            files: snapshot.files.as_ref().map(|files| Files {
                done: files.done,
                all: files.all,
                current: files.current.iter().map(file_at_work).collect(),
            }),
        };
        self.progress.update(now, &snapshot);
    }

    fn note(&mut self, line: &str) {
        if self.kind == Kind::Silent {
            self.warn(line);
        } else {
            self.progress.note(&format!("racefetch: {line}"));
        }
    }
}
