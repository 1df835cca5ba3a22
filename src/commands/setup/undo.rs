//! `racefetch setup --undo`: every file as it was before, byte for byte.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::record::{Record, Undo};
use super::{LARGEST, SetupError, read_record, record_path};
use crate::cli::{ExitStatus, SetupArgs};
use crate::commands::configuration::Configuration;
use crate::commands::difference::unified;
use crate::commands::draft::Draft;
use crate::files::{self, folder_of};
use crate::progress::printable;

pub(super) fn run(
    arguments: &SetupArgs,
    configuration: &Configuration<'_>,
    out: &mut dyn Write,
) -> Result<ExitStatus, SetupError> {
    let path = record_path(&configuration.call.configroot);
    let record = read_record(&path)?.ok_or_else(|| SetupError::NoRecord(path.clone()))?;
    let mut draft = Draft::new(configuration.system());
    if !arguments.force {
        draft = draft.without_backups();
    }
    for (path, content) in restored(&record, arguments.force)? {
        draft.put(&path, content)?;
    }
    for change in draft.changes() {
        let name = printable(&change.path.to_string_lossy());
        write!(out, "{}", unified(&name, change.old.as_deref(), change.new.as_deref()))
            .map_err(SetupError::Output)?;
    }
    if arguments.dry_run {
        return Ok(ExitStatus::Ok);
    }
    if !arguments.yes {
        super::ask(out)?;
    }
    let restored: Vec<_> = draft.changes().map(|change| (change.path.clone(), change.new.clone())).collect();
    draft.write(&mut Vec::new())?;
    // What lies beside a file as its back-up is that file again.
    for (path, content) in restored {
        let place = fs::canonicalize(&path).unwrap_or(path);
        let backup = folder_of(&place).join(files::backup_name(&place));
        if content.is_some() && read(&backup)? == content {
            remove(&backup)?;
        }
    }
    for link in &record.links {
        remove(link)?;
    }
    let mut left = Vec::new();
    for folder in record.folders.iter().rev() {
        match fs::remove_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => left.push(folder),
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(SetupError::io("remove", folder)(error));
            }
            _ => {}
        }
    }
    remove(&path)?;
    writeln!(out, "Everything is as it was before `racefetch setup`.").map_err(SetupError::Output)?;
    for folder in left {
        let line = printable(&format!("Left, because something is in it: {0} (rm -r {0})", folder.display()));
        writeln!(out, "{line}").map_err(SetupError::Output)?;
    }
    Ok(ExitStatus::Ok)
}

/// What the files shall hold again. A file that was changed since is an error unless `force` is given.
fn restored(record: &Record, force: bool) -> Result<BTreeMap<PathBuf, Option<Vec<u8>>>, SetupError> {
    let mut files: BTreeMap<PathBuf, Option<Vec<u8>>> = BTreeMap::new();
    for file in record.files.iter().rev() {
        let now = match files.get(&file.path) {
            Some(content) => content.clone(),
            None => read(&file.path)?,
        };
        let content = match file.undo(now.as_deref()) {
            Undo::Done => continue,
            Undo::Restore(content) => content,
            Undo::Changed if force => file.before(),
            Undo::Changed => return Err(SetupError::ChangedSince(file.path.clone())),
        };
        files.insert(file.path.clone(), content);
    }
    Ok(files)
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, SetupError> {
    match files::read(path, LARGEST) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(SetupError::io("read", path)(error)),
    }
}

/// What is gone already need not be removed.
fn remove(path: &Path) -> Result<(), SetupError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(SetupError::io("remove", path)(error)),
        _ => Ok(()),
    }
}
