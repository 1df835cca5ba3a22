//! Writes the result: into make.conf where `GENTOO_MIRRORS` is determined, or into a file of its own.

use std::io;
use std::path::Path;

use crate::cli::{ExitStatus, RankFormat};
use crate::commands::draft::{Draft, Written};
use crate::commands::{CommandError, setup};
use crate::files;
use crate::portage::make_conf_editor::NewValue;
use crate::portage::repos_conf::System;

/// How a file begins that this command has written, and may write again.
const OURS: &str = "# Written by racefetch rank";
/// The largest file of our own, in bytes.
const LARGEST: u64 = 1 << 20;

/// Writes `GENTOO_MIRRORS`, and says what was done.
pub(super) fn make_conf(system: System<'_>, mirrors: &[String]) -> Result<String, CommandError> {
    let failed = |error: &dyn std::fmt::Display| CommandError::new(ExitStatus::WriteError, error);
    let mut draft = Draft::new(system);
    let set = draft.set("GENTOO_MIRRORS", NewValue::Words(mirrors), "racefetch rank --write");
    if !set.map_err(|error| failed(&error))? {
        return Ok("make.conf has these mirrors already.\n".to_owned());
    }
    let changes: Vec<_> = draft.changes().cloned().collect();
    let mut written: Vec<Written> = Vec::new();
    draft.write(&mut written).map_err(|error| failed(&error))?;
    setup::note_changes(system.configroot, &changes)?;
    Ok(said(&written))
}

/// Writes a text into a file that is not there, or that an earlier call has written.
pub(super) fn file(
    system: System<'_>,
    path: &Path,
    form: Option<RankFormat>,
    text: &str,
) -> Result<String, CommandError> {
    let failed = |error: &dyn std::fmt::Display| CommandError::new(ExitStatus::WriteError, error);
    match files::read(path, LARGEST) {
        Ok(content) if content.is_empty() || content.starts_with(OURS.as_bytes()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Ok(_) => {
            let what = "it is not one that racefetch rank has written, and would be lost";
            let how = "leave out its name to change make.conf, or remove it";
            return Err(failed(&format_args!("{} stays as it is: {what}; {how}", path.display())));
        }
        Err(error) => return Err(failed(&format_args!("cannot read {}: {error}", path.display()))),
    }
    let form = match form {
        None | Some(RankFormat::MakeConf) => "",
        Some(RankFormat::Plain) => " --format plain",
        Some(RankFormat::Nginx) => " --format nginx",
    };
    let content = format!("{OURS} --write{form}: the next call replaces this file.\n{text}");
    let mut draft = Draft::new(system);
    draft.put(path, Some(content.into_bytes())).map_err(|error| failed(&error))?;
    let mut written: Vec<Written> = Vec::new();
    draft.write(&mut written).map_err(|error| failed(&error))?;
    Ok(said(&written))
}

fn said(written: &[Written]) -> String {
    let line = |Written { path, backup }: &Written| match backup {
        Some(backup) => format!("{} is written; what it was is in {}.\n", path.display(), backup.display()),
        None => format!("{} is written.\n", path.display()),
    };
    written.iter().map(line).collect()
}
