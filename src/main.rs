//! The command `racefetch`.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;

use racefetch::cli::{self, Command, ExitStatus};
use racefetch::commands::environment::{read_argument_file, unix_now};
use racefetch::commands::verify::Verdict;
use racefetch::commands::{Caller, Environment, Interrupt, fetch, prefetch, stats, verify};
use racefetch::patience::PARENT_CHECK;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let environment = Environment::new(std::env::vars_os(), std::io::stderr().is_terminal());
    match cli::parse(&arguments, &read_argument_file) {
        Ok(Command::Fetch(options)) => {
            let interrupt = Arc::new(Interrupt::default());
            heed_signals(&interrupt);
            if environment.portage_call().is_fetch_phase() {
                heed_parent(&interrupt);
            }
            fetch::run(&options, &environment, &interrupt).into()
        }
        Ok(Command::Stats(arguments)) => {
            let arguments = stats::StatsArgs::new(&arguments, &environment);
            match stats::run(&arguments, &mut std::io::stdout().lock(), unix_now()) {
                Ok(warnings) => {
                    for warning in warnings {
                        complain(&format!("racefetch: {warning}"));
                    }
                    ExitCode::SUCCESS
                }
                Err(error) => {
                    complain(&format!("racefetch: cannot write the figures: {error}"));
                    ExitStatus::WriteError.into()
                }
            }
        }
        Ok(Command::Verify(arguments)) => {
            let warn = |warning: &str| complain(&format!("racefetch: {warning}"));
            match verify::run(&arguments, &environment, &mut std::io::stdout().lock(), &warn) {
                Ok(Verdict::Right) => ExitCode::SUCCESS,
                Ok(Verdict::Corrupt) => ExitCode::FAILURE,
                Ok(Verdict::Unchecked) => ExitStatus::ReadError.into(),
                Err(error) => {
                    complain(&format!("racefetch: {error}"));
                    error.status().into()
                }
            }
        }
        Ok(Command::Prefetch(arguments)) => {
            let interrupt = Arc::new(Interrupt::default());
            heed_signals(&interrupt);
            match prefetch::run(&arguments, &environment, &interrupt, &mut std::io::stdout().lock()) {
                Ok(prefetch::End::Complete) => ExitCode::SUCCESS,
                Ok(prefetch::End::Incomplete) => ExitCode::FAILURE,
                Ok(prefetch::End::Interrupted(status)) => status.into(),
                Err(error) => {
                    complain(&format!("racefetch: {error}"));
                    error.status().into()
                }
            }
        }
        Ok(Command::Help(text)) => print(&text),
        Ok(Command::Version) => print(&cli::manual::version()),
        Err(error) => {
            complain(&error.to_string());
            error.status.into()
        }
    }
}

/// One line for the user. Where it cannot be written there is nobody to tell.
fn complain(line: &str) {
    let _ = writeln!(std::io::stderr(), "{}", racefetch::progress::printable(line));
}

fn print(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitStatus::WriteError.into(),
    }
}

/// Signals that end the process are heard by whatever is going on, so that figures are recorded and the exit status
/// is the usual one.
fn heed_signals(interrupt: &Arc<Interrupt>) {
    let Ok(mut signals) = Signals::new([SIGINT, SIGTERM, SIGHUP]) else { return };
    let interrupt = interrupt.clone();
    // Without a thread signals end the process in the usual way.
    let _ = std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for number in signals.forever() {
            interrupt.raise(number);
        }
    });
}

/// Portage waits for its fetch command. When it has gone, nobody wants the files any longer.
#[expect(clippy::disallowed_methods, reason = "nothing tells when a parent ends")]
fn heed_parent(interrupt: &Arc<Interrupt>) {
    let caller = Caller::find();
    let interrupt = interrupt.clone();
    // Without a thread the transfer ends by itself.
    let _ = std::thread::Builder::new().name("parent".to_owned()).spawn(move || {
        while !caller.has_gone() {
            std::thread::sleep(PARENT_CHECK);
        }
        interrupt.raise(SIGTERM);
    });
}
