//! Files that Portage set aside, or did not get to look at: one of them may be right. Then it costs no byte of the network.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Target, folder_of};
use crate::commands::aside::INFIX;
use crate::files;
use crate::mirror::{Delta, FileKey, MirrorKey, State};
use crate::transfer::hashing::is_right;

/// For how long a leftover that is wrong is not looked at again, in seconds, unless it changes.
const WRONG_FOR: u64 = 29 * 24 * 3600;

pub(super) enum Salvaged {
    /// What lay there is the distfile, and has its place.
    Right(PathBuf),
    /// Nothing there is the distfile. The deltas tell the state which leftovers are wrong: large ones take
    /// long to hash again.
    Nothing(Vec<Delta>),
}

/// Looks through what lies beside `path`. `now` in UNIX seconds; `is_over` ends it early.
pub(super) fn salvage(
    path: &Path,
    target: &Target,
    state: &State,
    file: &FileKey,
    now: u64,
    is_over: &dyn Fn() -> bool,
) -> Salvaged {
    let prefix = format!("{}{INFIX}", target.name);
    let mut wrong = Vec::new();
    for entry in fs::read_dir(folder_of(path)).into_iter().flatten().flatten() {
        let ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(&prefix));
        let Some(metadata) = entry.metadata().ok().filter(|m| ours && m.is_file() && m.len() > 0) else {
            continue;
        };
        let place = key(&metadata);
        if target.size.is_some_and(|size| size != metadata.len()) || state.lacks(&place, file, now) {
            continue;
        }
        let found = entry.path();
        let opened = files::open(&found).map(Arc::new);
        match opened.and_then(|opened| is_right(&opened, metadata.len(), &target.digests, is_over)) {
            Ok(Some(true)) if fs::rename(&found, path).is_ok() => return Salvaged::Right(found),
            Ok(Some(false)) => {
                let answer = "other digests".to_owned();
                let (file, until) = (file.clone(), now + WRONG_FOR);
                wrong.push(Delta::Lacks { mirror: place, file, until, answer });
            }
            // It was not looked at to its end, or cannot be moved: that says nothing about it.
            Ok(_) | Err(_) => {}
        }
    }
    Salvaged::Nothing(wrong)
}

/// The key under which a leftover is noted as lacking the file. It changes as soon as somebody writes to the
/// leftover.
fn key(leftover: &Metadata) -> MirrorKey {
    let changed = (leftover.mtime(), leftover.mtime_nsec());
    let (device, inode, size) = (leftover.dev(), leftover.ino(), leftover.len());
    MirrorKey::new(&format!("leftover://{device}/{inode}/{size}/{}.{:09}", changed.0, changed.1))
}
