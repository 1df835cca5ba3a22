//! What is shown, and where more options are read.

use super::Effect::{ReadsOptions, Sets, Shows, Turns};
#[cfg(test)]
use super::Example;
use super::Help::{Common, Full};
use super::{Entry, Spelling, Takes, set_some, switch, value};
use crate::cli::argument::Argument;
use crate::cli::builder::Builder;
#[cfg(test)]
use crate::cli::options::Sink;
use crate::cli::write_out::Template;
use crate::cli::{Command, UsageError, manual};

pub(super) static ENTRIES: &[Entry] = &[
    Entry {
        spelling: value("config", "file").short('K'),
        help: Full("read options from a file; - is stdin"),
        effect: ReadsOptions,
        #[cfg(test)]
        example: Example::Sets("-K silent.conf", |o| o.report.silent),
    },
    Entry {
        spelling: Spelling { short: Some('h'), long: "help", takes: Takes::ValueOrEnd("all") },
        help: Common("this text; all of it; or what one option does"),
        effect: Shows(|a| manual::help(&a.value.to_string_lossy()).map(Command::Help)),
        #[cfg(test)]
        example: Example::Shows("--help all"),
    },
    Entry {
        spelling: switch("manual").short('M'),
        help: Full("every option, as --help all"),
        effect: Shows(|_| Ok(Command::Help(manual::full()))),
        #[cfg(test)]
        example: Example::Shows("-M"),
    },
    Entry {
        spelling: switch("progress-bar").short('#'),
        help: Full("draw a bar even when PORTAGE_QUIET is set"),
        effect: Turns(|o| &mut o.report.progress_bar),
        #[cfg(test)]
        example: Example::Sets("-#", |o| o.report.progress_bar),
    },
    Entry {
        spelling: switch("progress-meter"),
        help: Full("show progress (on by default)"),
        effect: Turns(|o| &mut o.report.progress_meter),
        #[cfg(test)]
        example: Example::Sets("--no-progress-meter", |o| !o.report.progress_meter),
    },
    Entry {
        spelling: switch("show-error").short('S'),
        help: Common("with -s: show errors all the same"),
        effect: Turns(|o| &mut o.report.show_error),
        #[cfg(test)]
        example: Example::Sets("-S", |o| o.report.show_error),
    },
    Entry {
        spelling: switch("silent").short('s'),
        help: Common("no progress, no notes, no errors"),
        effect: Turns(|o| &mut o.report.silent),
        #[cfg(test)]
        example: Example::Sets("-s", |o| o.report.silent),
    },
    Entry {
        spelling: value("stderr", "file"),
        help: Full("write progress and errors to this file; - is stdout"),
        effect: Sets(|b, a| set_some(&mut b.options.report.stderr, a.sink())),
        #[cfg(test)]
        example: Example::Sets("--stderr -", |o| o.report.stderr == Some(Sink::Stdout)),
    },
    Entry {
        spelling: switch("verbose").short('v'),
        help: Common("show requests and answers"),
        effect: Turns(|o| &mut o.report.verbose),
        #[cfg(test)]
        example: Example::Sets("-v", |o| o.report.verbose),
    },
    Entry {
        spelling: switch("version").short('V'),
        help: Common("the version"),
        effect: Shows(|_| Ok(Command::Version)),
        #[cfg(test)]
        example: Example::Shows("-V"),
    },
    Entry {
        spelling: value("write-out", "format").short('w'),
        help: Full("print %{variables} after each transfer; @file"),
        effect: Sets(write_out),
        #[cfg(test)]
        example: Example::Sets("-w %{url}", |o| o.report.write_out == Some(Template::parse("%{url}"))),
    },
];

fn write_out(builder: &mut Builder<'_>, argument: Argument<'_>) -> Result<(), UsageError> {
    let template = match argument.named_file() {
        // As in curl, the lines of a file are joined: a line's end is written \n.
        Some(file) => builder.read(argument, file)?.replace(['\r', '\n'], ""),
        None => argument.text()?.to_owned(),
    };
    builder.options.report.write_out = Some(Template::parse(&template));
    Ok(())
}
