//! The names of what belongs to one FILE, in a folder beside it.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::portage::distfile::DOWNLOAD_SUFFIX;

/// The folder beside fetched files that has what this program keeps there.
pub const OWN_FOLDER: &str = ".racefetch";

#[derive(Clone, Debug)]
pub(super) struct Names {
    pub(super) bytes: OsString,
    pub(super) journal: OsString,
    /// The journal that is about to replace the other one.
    pub(super) draft: OsString,
    /// Locked by the process that is at FILE.
    pub(super) hold: OsString,
    /// A link that stands for that lock where there are none.
    pub(super) claim: OsString,
}

impl Names {
    /// No two files in a folder share one of them, nor `x` and `x.__download__`.
    pub(super) fn of(file: &Path) -> Self {
        let name = file.file_name().unwrap_or_default().as_bytes();
        let (name, kind) = match name.strip_suffix(DOWNLOAD_SUFFIX.as_bytes()) {
            Some(distfile) => (distfile, ""),
            None => (name, "own-"),
        };
        let with = |end: &str| OsString::from_vec([name, b".", kind.as_bytes(), end.as_bytes()].concat());
        Self {
            bytes: with(BYTES),
            journal: with(JOURNAL),
            draft: with(DRAFT),
            hold: with(HOLD),
            claim: with(CLAIM),
        }
    }

    /// Whether a name in the folder is one of those.
    pub(super) fn is_one(name: &OsStr) -> bool {
        let extension = Path::new(name).extension().unwrap_or_default().as_bytes();
        let kind = extension.strip_prefix(b"own-").unwrap_or(extension);
        [BYTES, JOURNAL, DRAFT, HOLD, CLAIM].iter().any(|end| end.as_bytes() == kind)
    }
}

const BYTES: &str = "ahead";
const JOURNAL: &str = "journal";
const DRAFT: &str = "journal-draft";
const HOLD: &str = "hold";
const CLAIM: &str = "claim";

/// [`OWN_FOLDER`] beside FILE.
pub(super) fn own_folder(file: &Path) -> PathBuf {
    file.parent().unwrap_or(Path::new("")).join(OWN_FOLDER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_has_its_own() {
        let mut seen = std::collections::BTreeSet::new();
        for file in
            ["x", "x.__download__", "x.own", "x.own.__download__", "x.own-ahead", "x.ahead", "x.journal"]
        {
            let Names { bytes, journal, draft, hold, claim } = Names::of(Path::new(file));
            for name in [bytes, journal, draft, hold, claim] {
                assert!(Names::is_one(&name), "{name:?}");
                assert!(seen.insert(name.clone()), "{name:?} of {file}");
            }
        }
        assert_eq!(Names::of(Path::new("/d/x.__download__")).bytes, "x.ahead");
        assert!(!Names::is_one(OsStr::new("mirrors.json.lock")));
    }
}
