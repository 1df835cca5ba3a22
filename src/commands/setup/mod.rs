//! `racefetch setup`: from a fresh system to one that fetches with this program, and back.

mod plan;
mod record;
mod timer;
mod undo;

use std::fs::{self, DirBuilder};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub(super) use plan::PROGRAM_FOLDERS;
use plan::{Plan, plan};
use record::Record;

use super::configuration::Configuration;
use super::difference::unified;
use super::draft::{Change, DraftError};
use super::{CommandError, Environment, complain};
use crate::cli::{ExitStatus, SetupArgs};
use crate::files::{self, Folder, Replacement};
use crate::portage::account::portage_group;
use crate::progress::printable;

/// The command, as it names itself in what it writes.
const BY: &str = "racefetch setup";

/// Why nothing, or not everything, was done.
#[derive(Debug, thiserror::Error)]
enum SetupError {
    #[error(transparent)]
    Draft(#[from] DraftError),
    #[error("{0}")]
    Mirror(String),
    #[error("neither systemd nor /etc/cron.daily is there: install sys-process/cronie, or leave out --timer")]
    NoStarter,
    #[error("nobody is there to say yes: look at the changes above, then run `racefetch setup --yes`")]
    NobodyAsked,
    #[error("nothing is changed, as you wish")]
    Declined,
    #[error("nothing to undo: {} is not there", .0.display())]
    NoRecord(PathBuf),
    #[error("{}: {reason}; nothing is changed", path.display())]
    BadRecord { path: PathBuf, reason: String },
    #[error(
        "{} was changed since: put your changes elsewhere and run `racefetch setup --undo --force`, which restores the \
         file as it was before setup, or remove the lines between `# racefetch begin` and `# racefetch end` yourself",
        .0.display()
    )]
    ChangedSince(PathBuf),
    #[error("cannot {action} {}: {error}; `racefetch setup --undo` takes back what was done", path.display())]
    Io { action: &'static str, path: PathBuf, error: io::Error },
    #[error("cannot write to standard output: {0}")]
    Output(io::Error),
}

impl SetupError {
    fn status(&self) -> ExitStatus {
        match self {
            Self::Mirror(_) => ExitStatus::CouldntConnect,
            Self::NoStarter | Self::NobodyAsked | Self::Declined | Self::NoRecord(_) => {
                ExitStatus::FailedInit
            }
            Self::BadRecord { .. } => ExitStatus::ReadError,
            Self::Draft(_) | Self::ChangedSince(_) | Self::Io { .. } | Self::Output(_) => {
                ExitStatus::WriteError
            }
        }
    }

    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Io { action, path: path.to_path_buf(), error }
    }
}

impl From<SetupError> for CommandError {
    fn from(error: SetupError) -> Self {
        Self::new(error.status(), error)
    }
}

/// Sets the system up, or takes that back.
pub(super) fn run(
    arguments: &SetupArgs,
    environment: &Environment,
    out: &mut dyn Write,
) -> Result<ExitStatus, CommandError> {
    let configuration = Configuration::read(environment);
    if arguments.undo {
        return Ok(undo::run(arguments, &configuration, out)?);
    }
    let plan = plan(arguments, environment, &configuration)?;
    for note in &plan.notes {
        complain(&format!("racefetch: {note}"));
    }
    if plan.is_empty() {
        writeln!(out, "Nothing to do: Portage fetches with racefetch.").map_err(SetupError::Output)?;
        return Ok(ExitStatus::Ok);
    }
    show(&plan, out).map_err(SetupError::Output)?;
    if arguments.dry_run {
        return Ok(ExitStatus::Ok);
    }
    if !arguments.yes {
        ask(out)?;
    }
    carry_out(plan, &record_path(&configuration.call.configroot), out)?;
    Ok(ExitStatus::Ok)
}

/// Has `setup --undo` restore files that another command of this program has changed since, as if setup had done so.
/// Where setup has not changed them, or somebody else has since, there is nothing to do.
pub(super) fn note_changes(configroot: &Path, changes: &[Change]) -> Result<(), CommandError> {
    let path = record_path(configroot);
    let Some(mut record) = read_record(&path)? else { return Ok(()) };
    let mut is_changed = false;
    for change in changes {
        is_changed |= record.continue_with(&change.path, change.old.as_deref(), change.new.as_deref());
    }
    if is_changed {
        write_record(&path, &record)?;
    }
    Ok(())
}

/// Where the record of what was changed is kept: only root can write there, and Portage does not read hidden files.
fn record_path(configroot: &Path) -> PathBuf {
    configroot.join("etc/portage/.racefetch-setup.json")
}

/// For nobody else to read: make.conf may hold passwords.
const PRIVATE: u32 = 0o600;

/// The largest record, in bytes.
const LARGEST: u64 = 64 << 20;

fn show(plan: &Plan<'_>, out: &mut dyn Write) -> io::Result<()> {
    for folder in &plan.folders {
        let whose = if folder.shared { ", for the group portage" } else { "" };
        writeln!(out, "New folder {}{whose}", printable(&folder.path.to_string_lossy()))?;
    }
    for change in plan.draft.changes() {
        let path = printable(&change.path.to_string_lossy());
        write!(out, "{}", unified(&path, change.old.as_deref(), change.new.as_deref()))?;
    }
    for (path, target) in &plan.links {
        writeln!(out, "New link {} to {target}", printable(&path.to_string_lossy()))?;
    }
    Ok(())
}

/// Whether the user wants it.
fn ask(out: &mut dyn Write) -> Result<(), SetupError> {
    let stdin = io::stdin();
    if !stdin.is_terminal() || !io::stderr().is_terminal() {
        return Err(SetupError::NobodyAsked);
    }
    out.flush().map_err(SetupError::Output)?;
    let _ = write!(io::stderr(), "Do this? [y/N] ");
    let mut answer = String::new();
    let read = stdin.read_line(&mut answer);
    let is_yes = read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes" | "Yes");
    if is_yes { Ok(()) } else { Err(SetupError::Declined) }
}

/// Does what was planned. It is on record before, so that it can be undone wherever it ends.
fn carry_out(plan: Plan<'_>, record_path: &Path, out: &mut dyn Write) -> Result<(), SetupError> {
    let mut record = read_record(record_path)?.unwrap_or_default();
    record.folders.extend(plan.folders.iter().map(|folder| folder.path.clone()));
    record.links.extend(plan.links.iter().map(|(path, _)| path.clone()));
    for change in plan.draft.changes() {
        record.add(&change.path, change.old.as_deref(), change.new.as_deref());
    }
    write_record(record_path, &record)?;

    for folder in &plan.folders {
        make_folder(&folder.path, folder.shared).map_err(SetupError::io("make", &folder.path))?;
    }
    let mut written = Vec::new();
    plan.draft.write(&mut written)?;
    for (path, target) in &plan.links {
        symlink(target, path).map_err(SetupError::io("make", path))?;
    }
    for file in written {
        let kept = file.backup.map(|path| format!(" (before: {})", path.display())).unwrap_or_default();
        let line = printable(&format!("Written: {}{kept}", file.path.display()));
        writeln!(out, "{line}").map_err(SetupError::Output)?;
    }
    for command in plan.commands {
        let mut words = command.split_whitespace();
        let program = words.next().unwrap_or_default();
        let status = Command::new(program).args(words).stdin(Stdio::null()).status();
        if !status.is_ok_and(|status| status.success()) {
            complain(&format!("racefetch: `{command}` failed: run it yourself"));
        }
    }
    writeln!(
        out,
        "Portage fetches with racefetch now. `racefetch doctor` looks whether all is well; `racefetch setup --undo` takes \
         everything back."
    )
    .map_err(SetupError::Output)
}

fn make_folder(path: &Path, shared: bool) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o755).create(path)?;
    if !shared || !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let groups = files::read(Path::new("/etc/group"), LARGEST)?;
    match portage_group(&String::from_utf8_lossy(&groups)) {
        Some(group) => Folder::open_no_link(path)?.give_to_group(group),
        None => Ok(()),
    }
}

fn read_record(path: &Path) -> Result<Option<Record>, SetupError> {
    let bad = |reason: String| SetupError::BadRecord { path: path.to_path_buf(), reason };
    match files::read(path, LARGEST) {
        Ok(bytes) => Record::read(&String::from_utf8_lossy(&bytes)).map(Some).map_err(bad),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(bad(error.to_string())),
    }
}

fn write_record(path: &Path, record: &Record) -> Result<(), SetupError> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(SetupError::io("make", folder))?;
    }
    let text = record.text().map_err(|error| SetupError::io("write", path)(error.into()))?;
    let written = Replacement::write(path, text.as_bytes(), PRIVATE).and_then(|new| new.publish(None));
    written.map_err(SetupError::io("write", path))
}
