//! Runs what was asked for. Every command ends with an exit status, or with one line that says why it could not
//! do its work.

use std::fmt;
use std::io::{self, Write};

use super::ended::Ended;
use super::{Environment, Interrupt, cmdline, doctor, fetch, prefetch, rank, setup, stats, verify};
use crate::cli::{Command, ExitStatus, Subcommand, UsageError, manual};
use crate::progress::printable;

/// Why a command could not do its work. Its `Display` is the whole line for the user, without a newline.
#[derive(Debug)]
pub struct CommandError {
    pub status: ExitStatus,
    line: String,
}

/// The one place where commands are told apart.
pub fn run(command: Command, environment: &Environment) -> Result<ExitStatus, CommandError> {
    let out = &mut io::stdout();
    match command {
        Command::Fetch(options) => {
            cmdline::hide(&options.secrets);
            fetch::run(&options, environment, &Interrupt::of_fetch(environment))
        }
        Command::Sub(Subcommand::Stats(arguments)) => stats::run(&arguments, environment, out),
        Command::Sub(Subcommand::Verify(arguments)) => verify::run(&arguments, environment, out),
        Command::Sub(Subcommand::Prefetch(arguments)) => {
            prefetch::run(&arguments, environment, &Interrupt::of_signals(), out)
        }
        Command::Sub(Subcommand::Rank(arguments)) => {
            rank::run(&arguments, environment, &Interrupt::of_signals(), out)
        }
        Command::Sub(Subcommand::Setup(arguments)) => setup::run(&arguments, environment, out),
        Command::Sub(Subcommand::Doctor(arguments)) => doctor::run(&arguments, environment, out),
        Command::Help(text) => Ok(print(&text, out)),
        Command::Version => Ok(print(&manual::version(), out)),
    }
}

/// One line for the user. Where it cannot be written there is nobody to tell.
pub fn complain(line: &str) {
    let _ = writeln!(io::stderr(), "{}", printable(line));
}

fn print(text: &str, out: &mut dyn Write) -> ExitStatus {
    match out.write_all(text.as_bytes()) {
        Ok(()) => ExitStatus::Ok,
        Err(_) => ExitStatus::WriteError,
    }
}

impl CommandError {
    pub(super) fn new(status: ExitStatus, what: impl fmt::Display) -> Self {
        Self { status, line: format!("racefetch: {what}") }
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line)
    }
}

impl std::error::Error for CommandError {}

impl From<UsageError> for CommandError {
    fn from(error: UsageError) -> Self {
        Self { status: error.status, line: error.to_string() }
    }
}

impl From<Ended> for CommandError {
    fn from(ended: Ended) -> Self {
        Self::new(ended.status, ended.error.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_names_the_program_once() {
        for error in [
            CommandError::new(ExitStatus::WriteError, "the disk is full"),
            UsageError::new("no URL specified").into(),
            Ended::failed(ExitStatus::ReadError, "no ~/.netrc".to_owned()).into(),
        ] {
            assert_eq!(error.to_string().matches("racefetch: ").count(), 1, "{error}");
            assert!(!error.status.is_success());
        }
    }

    #[test]
    fn what_cannot_be_shown_is_a_write_error() {
        let mut nothing: [u8; 0] = [];
        assert_eq!(print("text", &mut nothing.as_mut_slice()), ExitStatus::WriteError);
        assert_eq!(print("text", &mut Vec::new()), ExitStatus::Ok);
    }
}
