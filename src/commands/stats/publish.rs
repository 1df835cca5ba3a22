//! The state for others: Prometheus, or a browser.

use std::io::Write;
use std::path::Path;

use super::overview::Overview;
use super::{page, prometheus};
use crate::cli::{self, ExitStatus};
use crate::commands::configuration::Configuration;
use crate::commands::{CommandError, Environment, complain, mirrors};
use crate::files::Replacement;
use crate::portage::Tiers;

/// Writes what was asked for, each to its file or to `out`. `now` in UNIX seconds.
pub(super) fn run(
    line: &cli::StatsArgs,
    environment: &Environment,
    out: &mut dyn Write,
    now: u64,
) -> Result<ExitStatus, CommandError> {
    let configuration = Configuration::read(environment);
    let distdir = configuration.distdir();
    let store = environment.store_to_read(&configuration.call, line.state.as_deref(), distdir.as_deref());
    let (state, warnings) = store.look();
    let (tiers, more) = mirrors::tiers(&Tiers::default(), &configuration.call);
    for warning in warnings.iter().map(ToString::to_string).chain(more) {
        complain(&format!("racefetch: {warning}"));
    }
    let overview = Overview::new(&state, warnings.is_empty(), &tiers, now);
    if let Some(file) = &line.prometheus {
        put(file, &prometheus::write(&overview), out)?;
    }
    if let Some(file) = &line.html {
        put(file, &page::write(&overview), out)?;
    }
    Ok(ExitStatus::Ok)
}

fn put(file: &Path, text: &str, out: &mut dyn Write) -> Result<(), CommandError> {
    let to_out = file == Path::new("-");
    let written = if to_out {
        out.write_all(text.as_bytes()).and_then(|()| out.flush())
    } else {
        Replacement::write(file, text.as_bytes(), 0o644).and_then(|replacement| replacement.publish(None))
    };
    written.map_err(|error| {
        let shown = if to_out { "standard output".into() } else { file.display().to_string() };
        let what = format_args!(
            "cannot write the figures to {shown}: {error} (give a path in a folder that exists and is writable, \
             or - for standard output)"
        );
        CommandError::new(ExitStatus::WriteError, what)
    })
}
