//! What the user sees while mirrors are asked.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use crate::progress::printable;

/// One line that changes on a terminal; a line for each step elsewhere; or nothing.
pub(super) struct Status {
    kind: Kind,
    shown: Option<Instant>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Terminal,
    Lines,
    Nothing,
}

/// A terminal's line changes no more often than this.
const INTERVAL: Duration = Duration::from_millis(80);

impl Status {
    pub(super) fn new(terminal: bool, quiet: bool) -> Self {
        let kind = match (quiet, terminal) {
            (true, _) => Kind::Nothing,
            (false, true) => Kind::Terminal,
            (false, false) => Kind::Lines,
        };
        Self { kind, shown: None }
    }

    /// A step begins.
    pub(super) fn step(&mut self, text: &str) {
        match self.kind {
            Kind::Terminal => show(text),
            Kind::Lines => write(&format!("racefetch: {}\n", printable(text))),
            Kind::Nothing => {}
        }
    }

    /// Something within a step.
    #[expect(clippy::disallowed_methods, reason = "a line that changes too often cannot be read")]
    pub(super) fn say(&mut self, text: &str) {
        let now = Instant::now();
        let is_due = self.shown.is_none_or(|shown| now.saturating_duration_since(shown) >= INTERVAL);
        if self.kind == Kind::Terminal && is_due {
            self.shown = Some(now);
            show(text);
        }
    }

    /// Nothing more is to be seen.
    pub(super) fn end(&mut self) {
        if self.kind == Kind::Terminal {
            write("\r\x1b[K");
        }
    }
}

fn show(text: &str) {
    let text: String = printable(text).chars().take(70).collect();
    write(&format!("\r\x1b[Kracefetch: {text}"));
}

fn write(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes()); // nobody looks
}
