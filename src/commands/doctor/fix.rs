//! `racefetch doctor --fix`: what was named, and nothing else.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use super::checks::{Finding, Level, healthy, usable};
use super::facts::{Facts, Place};
use crate::commands::configuration::Configuration;
use crate::commands::draft::{Draft, DraftError};
use crate::files::{self, Folder};
use crate::portage::account::portage_group;
use crate::portage::make_conf_editor::NewValue;

const BY: &str = "racefetch doctor --fix";

#[derive(Debug, thiserror::Error)]
pub(super) enum FixError {
    #[error(transparent)]
    Draft(#[from] DraftError),
    #[error("cannot change {path}: {error}")]
    Io { path: String, error: io::Error },
}

/// Cures a finding, and returns one line for each thing that was done.
pub(super) fn fix(
    finding: &Finding,
    facts: &Facts,
    configuration: &Configuration<'_>,
) -> Result<Vec<String>, FixError> {
    if finding.level == Level::Ok {
        return Ok(Vec::new());
    }
    let healthy = |local| {
        let network = facts.network.as_ref();
        network.map_or_else(|| facts.mirrors.clone(), |network| healthy(&facts.mirrors, network, local))
    };
    match finding.check {
        "mirrors-order" => edit(configuration, |draft| draft.raise("GENTOO_MIRRORS", BY)),
        "mirrors-list" => set_mirrors(configuration, &usable(&facts.mirrors)),
        "mirrors-health" => set_mirrors(configuration, &healthy(false)),
        "local-mirror" => set_mirrors(configuration, &healthy(true)),
        "readable" => facts.unreadable.iter().map(|path| with_path(path, let_group_read)).collect(),
        "distdir" => open_up(facts.distdir.as_ref()),
        "state" => open_up(facts.state.as_ref()),
        "side-files" => open_up(facts.side_files.as_ref()),
        "junk" => {
            let files = facts.junk.iter().flat_map(|junk| &junk.files);
            let remove = |path: &Path| fs::remove_file(path).map(|()| format!("removed {}", path.display()));
            files.map(|path| with_path(path, remove)).collect()
        }
        _ => Ok(Vec::new()),
    }
}

fn set_mirrors(configuration: &Configuration<'_>, mirrors: &[String]) -> Result<Vec<String>, FixError> {
    edit(configuration, |draft| draft.set("GENTOO_MIRRORS", NewValue::Words(mirrors), BY))
}

fn edit(
    configuration: &Configuration<'_>,
    change: impl FnOnce(&mut Draft<'_>) -> Result<bool, DraftError>,
) -> Result<Vec<String>, FixError> {
    let mut draft = Draft::new(configuration.system());
    if !change(&mut draft)? {
        return Ok(Vec::new());
    }
    let mut written = Vec::new();
    draft.write(&mut written)?;
    Ok(written.into_iter().map(|file| format!("wrote {}", file.path.display())).collect())
}

/// A folder for the group portage.
fn open_up(place: Option<&Place>) -> Result<Vec<String>, FixError> {
    let Some(place) = place else { return Ok(Vec::new()) };
    let done = with_path(&place.path, |path| {
        fs::create_dir_all(path)?;
        if let Some(group) = group()? {
            Folder::open(path)?.give_to_group(group)?;
        }
        Ok(format!("opened {} to the group portage", path.display()))
    });
    done.map(|line| vec![line])
}

/// A file that may hold passwords is opened to the group portage, not to everybody.
fn let_group_read(path: &Path) -> io::Result<String> {
    if let Some(group) = group()? {
        std::os::unix::fs::chown(path, None, Some(group))?;
    }
    let mode = fs::metadata(path)?.mode() & 0o7777;
    fs::set_permissions(path, Permissions::from_mode(mode | 0o040))?;
    Ok(format!("opened {} to the group portage", path.display()))
}

fn group() -> io::Result<Option<u32>> {
    let groups = files::read(Path::new("/etc/group"), 16 << 20)?;
    Ok(portage_group(&String::from_utf8_lossy(&groups)))
}

fn with_path(path: &Path, work: impl FnOnce(&Path) -> io::Result<String>) -> Result<String, FixError> {
    work(path).map_err(|error| FixError::Io { path: path.display().to_string(), error })
}
