//! The figures of mirrors, for a call that fetches: read, kept, and what is said when that fails.

use std::ffi::OsStr;
use std::io;
use std::path::Path;

use super::show::Show;
use crate::files::Folder;
use crate::mirror::store::Warning;
use crate::mirror::{Delta, State, Store};
use crate::transfer::sink::OWN_FOLDER;

/// How often it is said that figures cannot be kept, in seconds: Portage makes a call for each file.
const SAY_AGAIN: u64 = 24 * 3600;
/// In the folder beside the fetched file: when that was said last.
const SAID: &str = "figures-not-kept";

/// What is known. `folder` is that of the fetched file, `now` in UNIX seconds.
pub(super) fn load(store: Option<&Store>, folder: &Path, now: u64, show: &mut Show) -> State {
    let (state, warnings) = store.map(Store::load).unwrap_or_default();
    for warning in &warnings {
        say(warning, folder, now, show);
    }
    state
}

/// Adds what happened.
pub(super) fn keep(store: Option<&Store>, events: &[Delta], folder: &Path, now: u64, show: &mut Show) {
    match store.map(|store| store.apply(events, now)) {
        Some(Ok(Some(warning))) => say(&warning, folder, now, show),
        Some(Err(error)) => say_once_a_day(&error.to_string(), folder, now, show),
        Some(Ok(None)) | None => {}
    }
}

fn say(warning: &Warning, folder: &Path, now: u64, show: &mut Show) {
    match warning {
        Warning::SetAside { .. } => show.warn(&warning.to_string()),
        Warning::Broken { .. }
        | Warning::Newer { .. }
        | Warning::Unreadable { .. }
        | Warning::Seen { .. } => {
            say_once_a_day(&warning.to_string(), folder, now, show);
        }
    }
}

fn say_once_a_day(line: &str, folder: &Path, now: u64, show: &mut Show) {
    if show.warns() && is_due(folder, now).unwrap_or(true) {
        show.warn(line);
    }
}

/// Whether it was not said within the last day; then it is now.
fn is_due(folder: &Path, now: u64) -> io::Result<bool> {
    let (folder, name) = (Folder::make_like_parent(&folder.join(OWN_FOLDER))?, OsStr::new(SAID));
    if folder.modified(name).is_ok_and(|at| now.checked_sub(at).is_some_and(|age| age < SAY_AGAIN)) {
        return Ok(false);
    }
    let _ = folder.remove_file(name); // there may be none
    folder.create_file(name, 0o664)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::environment::unix_now;

    #[test]
    fn once_a_day() {
        let folder = tempfile::tempdir().unwrap();
        let (now, due) = (unix_now(), |now| is_due(folder.path(), now).unwrap());
        assert!(due(now) && !due(now) && !due(now + SAY_AGAIN - 60));
        assert!(due(now + SAY_AGAIN + 60));
        assert!(due(now - 3600), "the clock went back");
    }
}
