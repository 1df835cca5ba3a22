//! Files that Portage set aside, or did not get to look at: one of them may be right. Then it costs no byte of the network.

use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::OFlags;

use super::Target;
use crate::commands::aside::INFIX;
use crate::files::{self, Existing, Folder, folder_of};
use crate::mirror::{Delta, FileKey, MirrorKey, State};
use crate::portage::distfile::DOWNLOAD_SUFFIX;
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

/// Copies the distfile to FILE, which is called as Portage calls it, when another process has brought it: Portage looks
/// for it there. What goes wrong is put right by fetching.
pub(super) fn copy_whole(path: &Path, target: &Target, is_over: &dyn Fn() -> bool) {
    let Ok((folder, name)) = Folder::of(path) else { return };
    let Some(whole) = name.as_bytes().strip_suffix(DOWNLOAD_SUFFIX.as_bytes()) else { return };
    let Ok(whole) = folder.open_file(OsStr::from_bytes(whole), OFlags::RDONLY).map(Arc::new) else { return };
    let Ok(size) = whole.metadata().map(|whole| whole.len()) else { return };
    let has_digests = || matches!(is_right(&whole, size, &target.digests, is_over), Ok(Some(true)));
    let is_there = fs::metadata(path).is_ok_and(|file| file.len() == size);
    if !is_there && target.size.is_none_or(|wanted| wanted == size) && size > 0 && has_digests() {
        // Where the file system can, they share their blocks.
        let output = files::open_output(path, Existing::Empty);
        let _ = output.and_then(|mut output| io::copy(&mut &*whole, &mut output));
    }
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
    let Ok((folder, to)) = Folder::of(path) else { return Salvaged::Nothing(wrong) };
    let names = folder.names().unwrap_or_default();
    for name in names.iter().filter(|name| name.as_encoded_bytes().starts_with(prefix.as_bytes())) {
        let Ok(found) = folder.open_file(name, OFlags::RDONLY).map(Arc::new) else { continue };
        let Ok(metadata) = found.metadata() else { continue };
        let place = key(&metadata);
        let wanted = target.size.is_none_or(|size| size == metadata.len()) && metadata.len() > 0;
        if !wanted || files::check_sole(&found).is_err() || state.lacks(&place, file, now) {
            continue;
        }
        match is_right(&found, metadata.len(), &target.digests, is_over) {
            Ok(Some(true)) if folder.rename_file(&found, name, to).is_ok() => {
                return Salvaged::Right(folder_of(path).join(name));
            }
            Ok(Some(false)) => {
                let answer = "other digests".to_owned();
                wrong.push(Delta::Lacks {
                    mirror: place,
                    file: file.clone(),
                    at: now,
                    lasts: WRONG_FOR,
                    answer,
                });
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
