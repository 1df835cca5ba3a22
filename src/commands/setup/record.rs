//! What `setup` has changed, so that it can be undone byte for byte: a JSON file.

use std::path::{Path, PathBuf};

use blake2::{Blake2b512, Digest};
use serde::{Deserialize, Serialize};

/// What was changed, in the order in which it was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    version: u32,
    /// Folders that were made.
    pub(super) folders: Vec<PathBuf>,
    pub(super) files: Vec<Changed>,
    /// Symbolic links that were made.
    pub(super) links: Vec<PathBuf>,
}

/// A file that was changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Changed {
    pub(super) path: PathBuf,
    /// None when there was no file.
    pub(super) before: Option<Content>,
    /// The digest of what was written; none when the file was removed.
    pub(super) after: Option<String>,
}

/// The content of a file, which need not be text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Content {
    Text(String),
    Hex(String),
}

/// What becomes of a file when the change is undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Undo {
    /// It is as it was before.
    Done,
    Restore(Option<Vec<u8>>),
    /// Somebody has changed it since.
    Changed,
}

const VERSION: u32 = 1;

impl Record {
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let record: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if record.version != VERSION {
            return Err(format!("its version is {}, this racefetch knows {VERSION}", record.version));
        }
        Ok(record)
    }

    pub(super) fn text(&self) -> serde_json::Result<String> {
        Ok(serde_json::to_string_pretty(&Self { version: VERSION, ..self.clone() })? + "\n")
    }

    /// Notes a change. One that follows the last one of that file continues it.
    pub(super) fn add(&mut self, path: &Path, before: Option<&[u8]>, after: Option<&[u8]>) {
        if self.continue_with(path, before, after) {
            return;
        }
        let (path, before) = (path.to_path_buf(), before.map(Content::of));
        self.files.push(Changed { path, before, after: after.map(digest) });
    }

    /// Notes a change that was made without `setup`, where it continues one of setup's: that file can still be restored.
    /// False when it does not.
    pub(super) fn continue_with(&mut self, path: &Path, before: Option<&[u8]>, after: Option<&[u8]>) -> bool {
        let known = self.files.iter_mut().rfind(|file| file.path == path);
        let known = known.filter(|known| known.after == before.map(digest));
        let is_known = known.is_some();
        if let Some(known) = known {
            known.after = after.map(digest);
        }
        is_known
    }
}

impl Changed {
    /// What is to be done when the file holds that now.
    pub(super) fn undo(&self, now: Option<&[u8]>) -> Undo {
        let before = self.before.as_ref().map(Content::bytes);
        match before {
            Some(None) => Undo::Changed, // the record itself is damaged
            before if now == before.as_ref().and_then(Option::as_deref) => Undo::Done,
            before if now.map(digest) == self.after => Undo::Restore(before.flatten()),
            _ => Undo::Changed,
        }
    }

    /// What it was before.
    pub(super) fn before(&self) -> Option<Vec<u8>> {
        self.before.as_ref().and_then(Content::bytes)
    }
}

impl Content {
    fn of(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Hex(hex(bytes)),
        }
    }

    fn bytes(&self) -> Option<Vec<u8>> {
        match self {
            Self::Text(text) => Some(text.clone().into_bytes()),
            Self::Hex(hex) if hex.len().is_multiple_of(2) && hex.is_ascii() => {
                let pairs = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16));
                pairs.collect::<Result<_, _>>().ok()
            }
            Self::Hex(_) => None,
        }
    }
}

fn digest(content: &[u8]) -> String {
    hex(&Blake2b512::digest(content))
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|half| char::from_digit(half.into(), 16))
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_what_is_as_it_was_written_is_undone() {
        let mut record = Record::default();
        let path = Path::new("/m");
        record.add(path, Some(b"old"), Some(b"new"));
        record.add(path, Some(b"new"), Some(b"newer"));
        record.add(Path::new("/made"), None, Some(b"made"));
        let [changed, made] = &record.files[..] else { panic!("{record:?}") };
        assert_eq!(changed.undo(Some(b"newer")), Undo::Restore(Some(b"old".to_vec())));
        assert_eq!(changed.undo(Some(b"old")), Undo::Done);
        assert_eq!(changed.undo(Some(b"new")), Undo::Changed);
        assert_eq!(changed.undo(None), Undo::Changed);
        assert_eq!((made.undo(Some(b"made")), made.undo(None)), (Undo::Restore(None), Undo::Done));
        // Another command of this program has: what setup found is still known.
        assert!(record.continue_with(path, Some(b"newer"), Some(b"ranked")));
        assert_eq!(record.files[0].undo(Some(b"ranked")), Undo::Restore(Some(b"old".to_vec())));
        assert!(!record.continue_with(path, Some(b"theirs"), Some(b"ranked")));
        assert_eq!(record.files.len(), 2);
        // Somebody has changed it between two calls: each is undone by itself.
        record.add(path, Some(b"theirs"), Some(b"ours"));
        assert_eq!(record.files.len(), 3);
    }

    #[test]
    fn damaged_records_are_no_records() {
        for text in ["", "{}", "{\"version\":2,\"folders\":[],\"files\":[],\"links\":[]}", "[]"] {
            assert!(Record::read(text).is_err(), "{text}");
        }
        let damaged = Changed { path: "/m".into(), before: Some(Content::Hex("0".into())), after: None };
        assert_eq!(damaged.undo(None), Undo::Changed);
        assert_eq!(Content::Hex("zz".into()).bytes(), None);
    }

    proptest! {
        #[test]
        fn any_content_comes_back(before in prop::collection::vec(any::<u8>(), 0..40), after in ".{0,9}") {
            let mut record = Record::default();
            record.add(Path::new("/m"), Some(&before), Some(after.as_bytes()));
            let again = Record::read(&record.text().unwrap()).unwrap();
            prop_assert_eq!(again.files[0].before(), Some(before));
        }
    }
}
