//! The command `racefetch`.

use std::io::IsTerminal;
use std::process::ExitCode;

use racefetch::cli;
use racefetch::commands::environment::read_argument_file;
use racefetch::commands::{self, CommandError, Environment};

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let environment = Environment::new(std::env::vars_os(), std::io::stderr().is_terminal());
    let command = cli::parse(&arguments, &read_argument_file).map_err(CommandError::from);
    let status = command.and_then(|command| commands::run(command, &environment)).unwrap_or_else(|error| {
        commands::complain(&error.to_string());
        error.status
    });
    if let Some(signal) = status.signal() {
        commands::end_by(signal);
    }
    status.into()
}
