//! `racefetch doctor`: whether a system is set up so that fetching works, and what cures what is not.

mod checks;
mod facts;
mod fix;
mod gather;
mod network;
mod report;

use std::io::Write;

use checks::{FIXABLE, Level, findings};
use report::worst;

use super::configuration::Configuration;
use super::{CommandError, Environment, complain};
use crate::cli::{DoctorArgs, ExitStatus};

/// Looks, cures what was named, and says how it is.
pub(super) fn run(
    arguments: &DoctorArgs,
    environment: &Environment,
    out: &mut dyn Write,
) -> Result<ExitStatus, CommandError> {
    let chosen = chosen(arguments)?;
    let look = || {
        let configuration = Configuration::read(environment);
        let facts = gather::gather(environment, &configuration, arguments.offline)?;
        let found = findings(&facts);
        Ok::<_, CommandError>((configuration, facts, found))
    };
    let (configuration, facts, mut found) = look()?;
    if let Some(chosen) = chosen {
        for finding in found.iter().filter(|finding| chosen.contains(&finding.check)) {
            match fix::fix(finding, &facts, &configuration) {
                Ok(done) => {
                    for line in done {
                        complain(&format!("racefetch: {}: {line}", finding.check));
                    }
                }
                Err(error) => complain(&format!("racefetch: {}: {error}", finding.check)),
            }
        }
        found = look()?.2;
    }
    let cannot_write =
        |error| CommandError::new(ExitStatus::WriteError, format_args!("cannot write the findings: {error}"));
    report::write(&found, arguments.json, out).map_err(cannot_write)?;
    Ok(match worst(&found) {
        Level::Ok => ExitStatus::Ok,
        Level::Warn => ExitStatus::WARNINGS,
        Level::Fail => ExitStatus::FAILURES,
    })
}

/// The checks of `--fix`.
fn chosen(arguments: &DoctorArgs) -> Result<Option<Vec<&'static str>>, CommandError> {
    let Some(list) = &arguments.fix else { return Ok(None) };
    if list == "all" {
        return Ok(Some(FIXABLE.to_vec()));
    }
    let known = |name: &str| {
        FIXABLE.into_iter().find(|known| *known == name).ok_or_else(|| {
            let what =
                format_args!("--fix={name}: nothing to fix by that name; there are {}", FIXABLE.join(", "));
            CommandError::new(ExitStatus::FailedInit, what)
        })
    };
    list.split(',').map(known).collect::<Result<_, _>>().map(Some)
}
