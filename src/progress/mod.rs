//! Progress for people: a bar on a terminal, lines in a log, or silence.
//!
//! What a transfer looks like is a [`Snapshot`]; [`Bar`], [`Lines`] and [`Silent`] show it. None of them
//! reads a clock: the time comes with each update, as often as the caller likes (ten times a second is
//! enough). Text from outside is shown without its control characters.

mod bar;
mod ending;
mod format;
mod lines;
mod names;
mod rate;
mod screen;

pub use bar::{Bar, terminal_width};
pub use ending::{Brought, Ending};
pub use format::{bytes, duration, printable, printable_json, rate};
pub use lines::Lines;

use std::time::{Duration, Instant};

/// The state of one transfer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// Bytes of the file that are there, those of an earlier call included.
    pub have: u64,
    /// Bytes that an earlier call left. They count as progress, not as speed.
    pub resumed: u64,
    /// The file's size in bytes, when known.
    pub size: Option<u64>,
    /// Since the transfer began.
    pub elapsed: Duration,
    pub phase: Phase,
    /// The mirrors at work; those that have sent nothing of late have no rate.
    pub sources: Vec<SourceSnapshot>,
    /// When many files are fetched at once.
    pub files: Option<Files>,
}

/// How far many files are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    pub done: usize,
    pub all: usize,
    /// Those that are being fetched, the one that takes longest first.
    pub current: Vec<FileAtWork>,
}

/// One of many files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileAtWork {
    pub name: String,
    /// Bytes that are there.
    pub have: u64,
    /// In bytes.
    pub size: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    #[default]
    Connecting,
    Receiving,
    Verifying,
    /// Ranges of a wrong file are fetched again.
    Repairing,
}

#[derive(Clone, Debug, PartialEq)]
pub struct SourceSnapshot {
    /// For people: the host, without credentials.
    pub name: String,
    /// Bytes a second.
    pub rate: f64,
}

/// Shows one transfer after the other.
pub trait Progress {
    fn update(&mut self, now: Instant, snapshot: &Snapshot);

    /// A line that stays, such as "mirror X does not answer".
    fn note(&mut self, line: &str);

    /// The transfer is over. How it ended, if that is to be said, stays.
    fn finish(&mut self, ending: Option<&Ending>);
}

/// Shows nothing.
pub struct Silent;

impl Progress for Silent {
    fn update(&mut self, _now: Instant, _snapshot: &Snapshot) {}
    fn note(&mut self, _line: &str) {}
    fn finish(&mut self, _ending: Option<&Ending>) {}
}

/// What the kind of progress depends on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "facts that are independent of each other")]
pub struct Circumstances {
    /// The output is a terminal that can move its cursor: not one with `TERM=dumb`, and not `--stderr FILE`.
    pub terminal: bool,
    /// `-s`. Whether errors are shown all the same (`-S`) is not a matter of progress.
    pub silent: bool,
    /// `PORTAGE_QUIET=1`.
    pub quiet: bool,
    /// `-#`.
    pub bar_asked_for: bool,
    /// `--no-progress-meter`.
    pub no_meter: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Bar,
    Lines,
    Silent,
}

/// Silence wins when it was asked for on the command line; `-#` outweighs what the environment says.
pub fn choose(circumstances: Circumstances) -> Kind {
    let Circumstances { terminal, silent, quiet, bar_asked_for, no_meter } = circumstances;
    if silent || no_meter || (quiet && !bar_asked_for) {
        return Kind::Silent;
    }
    if terminal { Kind::Bar } else { Kind::Lines }
}

/// Whether colours may be used, by the values of `NO_COLOR` (no-color.org: set and not empty forbids
/// them) and of `NOCOLOR` (make.conf(5): `true` or `yes` forbids them).
pub fn colours(no_color: Option<&str>, nocolor: Option<&str>) -> bool {
    no_color.is_none_or(str::is_empty) && !matches!(nocolor, Some("true" | "yes" | "1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chooses_by_circumstances() {
        let log = Circumstances::default();
        let terminal = Circumstances { terminal: true, ..log };
        assert_eq!(choose(log), Kind::Lines);
        assert_eq!(choose(terminal), Kind::Bar);
        let quiet = Circumstances { quiet: true, ..terminal };
        assert_eq!(choose(quiet), Kind::Silent);
        assert_eq!(choose(Circumstances { bar_asked_for: true, ..quiet }), Kind::Bar);
        assert_eq!(choose(Circumstances { bar_asked_for: true, ..log }), Kind::Lines);
        assert_eq!(choose(Circumstances { bar_asked_for: true, silent: true, ..terminal }), Kind::Silent);
        assert_eq!(choose(Circumstances { no_meter: true, ..terminal }), Kind::Silent);
    }

    #[test]
    fn colours_follow_both_variables() {
        assert!(colours(None, None) && colours(Some(""), Some("false")));
        assert!(!colours(Some("1"), None) && !colours(None, Some("true")));
    }
}
