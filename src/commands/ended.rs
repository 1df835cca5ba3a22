//! How a piece of work ended, for the user and for whoever called.

use crate::cli::ExitStatus;

/// What one transfer came to.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    /// One line, without the program's name.
    pub(super) error: Option<String>,
}

impl Ended {
    pub(super) fn ok() -> Self {
        Self { status: ExitStatus::Ok, error: None }
    }

    pub(super) fn failed(status: ExitStatus, error: String) -> Self {
        Self { status, error: Some(error) }
    }
}

/// The statuses with which a shell reports a process that a signal ended, as this one will be.
pub(super) fn signal_status(number: i32) -> ExitStatus {
    match number {
        signal_hook::consts::SIGTERM => ExitStatus::Terminated,
        signal_hook::consts::SIGHUP => ExitStatus::HungUp,
        _ => ExitStatus::Interrupted,
    }
}
