//! What is wrong with a command line, in one line.

use super::exit::ExitStatus;
use std::fmt;
use std::io;
use std::path::Path;

/// Why a command line was not understood. Its `Display` is the whole line for the user, without a newline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageError {
    pub status: ExitStatus,
    what: String,
}

impl UsageError {
    /// A wrong command line: exit status 2.
    pub fn new(what: impl fmt::Display) -> Self {
        Self::with_status(ExitStatus::FailedInit, what)
    }

    /// A wrong option, in curl's words: `option --foo: is unknown`. Exit status 2.
    pub fn option(word: impl fmt::Display, what: impl fmt::Display) -> Self {
        Self::new(format_args!("option {word}: {what}"))
    }

    /// Any other exit status: 1 for `--proto-default`, 3 for URLs, 49 for `--resolve`.
    pub fn with_status(status: ExitStatus, what: impl fmt::Display) -> Self {
        Self { status, what: what.to_string() }
    }

    /// The same, met in a line of a `-K` file.
    #[must_use]
    pub fn in_file(self, path: &Path, line: usize) -> Self {
        Self { what: format!("{}:{line}: {}", path.display(), self.what), ..self }
    }

    /// A file that an option names and that could not be read: exit status 26.
    pub fn unreadable(word: impl fmt::Display, path: &Path, error: &io::Error) -> Self {
        let what = format_args!("option {word}: cannot read {}: {error}", path.display());
        Self::with_status(ExitStatus::ReadError, what)
    }
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "racefetch: {}", self.what)
    }
}

impl std::error::Error for UsageError {}
