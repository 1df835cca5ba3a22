//! Changes of configuration files: made and checked in memory, shown, then written.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use super::environment::read_config;
use super::portageq;
use crate::files::{self, Replacement, folder_of};
use crate::portage::config_files::{ConfigEntry, config_files};
use crate::portage::make_conf::{Statement, StatementKind};
use crate::portage::make_conf_editor::{Edit, EditError, Files, NewValue};
use crate::portage::repos_conf::System;
use crate::portage::{MakeConf, unix_newlines};

/// Changes that are not written yet.
pub struct Draft<'s> {
    system: System<'s>,
    changes: Vec<Change>,
    /// The variables that were set, and what they are to be.
    values: BTreeMap<String, Vec<String>>,
    /// Whether Portage is asked what it reads, when there is one.
    asks_portage: bool,
    /// Whether the content before is kept beside a file.
    keeps_backups: bool,
}

/// One file that is changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// As the configuration names it.
    pub path: PathBuf,
    /// Where it is, behind all symbolic links.
    place: PathBuf,
    /// What it holds now; none when it does not exist.
    pub old: Option<Vec<u8>>,
    /// What it is to hold; none when it is to go.
    pub new: Option<Vec<u8>>,
    /// Its mode when it does not exist.
    mode: u32,
}

/// A file that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    pub path: PathBuf,
    /// Where the content before is kept.
    pub backup: Option<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
pub enum DraftError {
    #[error(transparent)]
    Edit(#[from] EditError),
    #[error("cannot write {}: {error}; it is as it was", path.display())]
    Write { path: PathBuf, error: io::Error },
    #[error("Portage reads {name} as {found:?} from the changed file, not as {wanted:?}: nothing is changed")]
    Portage { name: String, wanted: String, found: String },
    #[error("Portage cannot read its configuration with the change: {0}; nothing is changed")]
    Refused(String),
}

impl<'s> Draft<'s> {
    pub fn new(system: System<'s>) -> Self {
        Self { system, changes: Vec::new(), values: BTreeMap::new(), asks_portage: true, keeps_backups: true }
    }

    /// For what can be restored from elsewhere.
    #[must_use]
    pub fn without_backups(self) -> Self {
        Self { keeps_backups: false, ..self }
    }

    /// Sets a variable of make.conf where its value is determined. `by` is the command that does so, for the comment
    /// above a new line. False when it has that value already.
    ///
    /// # Errors
    /// When the value is empty, or the configuration cannot be read, or would be read otherwise than wanted.
    pub fn set(&mut self, name: &str, value: NewValue<'_>, by: &str) -> Result<bool, DraftError> {
        let (before, changes) = (self.conf()?, self.changes.clone());
        let Some(edit) = self.with_files(|files| files.set(name, value, by))? else { return Ok(false) };
        self.apply(edit)?;
        let after = self.conf()?;
        let is_there = after.get(name).is_some_and(|read| value.is(read));
        if !is_there || !is_subsequence(&commands(&before), &commands(&after)) {
            self.changes = changes;
            return Err(EditError::NotEffective(name.to_owned()).into());
        }
        let words = value.text().split_whitespace().map(str::to_owned).collect();
        self.values.insert(name.to_owned(), words);
        Ok(true)
    }

    /// Adds lines at the end of make.conf.
    pub fn append(&mut self, lines: &[&str], by: &str) -> Result<(), DraftError> {
        let edit = self.with_files(|files| files.append(lines, by))?;
        self.apply(edit)?;
        let conf = self.conf()?;
        for (name, _) in lines.iter().filter_map(|line| line.split_once('=')) {
            let words = conf.get(name).unwrap_or_default().split_whitespace().map(str::to_owned).collect();
            self.values.insert(name.to_owned(), words);
        }
        Ok(())
    }

    /// Removes the lines that a command has added, wherever they are in make.conf.
    pub fn remove_blocks(&mut self, by: &str) -> Result<(), DraftError> {
        let conf = self.conf()?;
        let mut paths: Vec<&PathBuf> = conf.statements().iter().map(|statement| &statement.path).collect();
        paths.dedup();
        for path in paths {
            if let Some(edit) = self.with_files(|files| files.without_block(path, by))? {
                let is_ours = edit.content.is_empty() && edit.path.to_string_lossy().ends_with("racefetch");
                self.put(&edit.path, (!is_ours).then_some(edit.content))?;
            }
        }
        Ok(())
    }

    /// Moves a variable above the first command that uses it: later assignments go, and the value that counted is set
    /// there. False when none stands below it.
    pub fn raise(&mut self, name: &str, by: &str) -> Result<bool, DraftError> {
        let conf = self.conf()?;
        let statements = conf.statements();
        let is_use = |statement: &Statement| statement.uses(name) && !statement.assigns(name);
        let Some(first) = statements.iter().position(is_use) else { return Ok(false) };
        let below: Vec<&Statement> =
            statements.iter().skip(first).filter(|statement| statement.assigns(name)).collect();
        if below.is_empty() {
            return Ok(false);
        }
        let value = conf.get(name).unwrap_or_default();
        let words: Vec<String> = value.split_whitespace().map(str::to_owned).collect();
        // From the end on: what stands before keeps its place.
        for statement in below.into_iter().rev() {
            let edit = self.with_files(|files| files.without(statement))?;
            self.apply(edit)?;
        }
        self.set(name, NewValue::Words(&words), by)?;
        Ok(true)
    }

    /// Gives a file that content; none removes it.
    pub fn put(&mut self, path: &Path, content: Option<Vec<u8>>) -> Result<(), DraftError> {
        self.put_with_mode(path, content, PUBLIC)
    }

    /// The same, for a file that gets that mode when it does not exist.
    pub fn put_with_mode(
        &mut self,
        path: &Path,
        content: Option<Vec<u8>>,
        mode: u32,
    ) -> Result<(), DraftError> {
        let place = place_of(path);
        if let Some(change) = self.changes.iter_mut().find(|change| change.place == place) {
            change.new = content;
            return Ok(());
        }
        let old = match files::read(path, LARGEST) {
            Ok(bytes) => Some(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(EditError::Unreadable { path: path.to_path_buf(), error }.into()),
        };
        self.changes.push(Change { path: path.to_path_buf(), place, old, new: content, mode });
        Ok(())
    }

    /// What is changed, in the order in which it will be.
    pub fn changes(&self) -> impl Iterator<Item = &Change> {
        self.changes.iter().filter(|change| change.old != change.new)
    }

    /// make.conf with the changes.
    pub fn conf(&self) -> Result<MakeConf, EditError> {
        self.with_files(|files: &Files<'_>| files.conf())
    }

    /// Writes the changes: each file beside its place, synced, read again by this program's reader and by Portage's
    /// `portageq` where there is one, then renamed. At every instant a file is the old one or the new one.
    ///
    /// # Errors
    /// When a file cannot be written, or was changed meanwhile, or Portage reads something else from it. Files that
    /// were written before that one stay written, and are named by `written`.
    pub fn write(mut self, written: &mut Vec<Written>) -> Result<(), DraftError> {
        self.changes.retain(|change| change.old != change.new);
        self.ask_portage()?;
        for index in 0..self.changes.len() {
            let change = self.changes[index].clone();
            let failed = |error| DraftError::Write { path: change.path.clone(), error };
            let Some(new) = &change.new else {
                if files::read(&change.place, LARGEST).ok() != change.old {
                    return Err(EditError::Changed(change.path).into());
                }
                files::remove(&change.place).map_err(failed)?;
                written.push(Written { path: change.path, backup: None });
                continue;
            };
            let replacement = Replacement::write(&change.place, new, change.mode).map_err(failed)?;
            if replacement.old() != change.old.as_deref() {
                return Err(EditError::Changed(change.path).into());
            }
            self.changes[index].new = Some(replacement.read_back().map_err(failed)?);
            self.check()?;
            let backup = files::backup_name(replacement.path());
            let kept = replacement.old().filter(|_| self.keeps_backups);
            let kept = kept.map(|_| folder_of(replacement.path()).join(&backup));
            replacement.publish(kept.is_some().then_some(backup.as_os_str())).map_err(failed)?;
            written.push(Written { path: change.path, backup: kept });
        }
        Ok(())
    }

    /// An error unless every variable that was set is read as it was set.
    fn check(&self) -> Result<(), EditError> {
        if self.values.is_empty() {
            return Ok(());
        }
        let conf = self.conf()?;
        let read = |name: &str| conf.get(name).unwrap_or_default().split_whitespace().map(str::to_owned);
        match self.values.iter().find(|(name, words)| read(name).ne(words.iter().cloned())) {
            Some((name, _)) => Err(EditError::NotEffective(name.clone())),
            None => Ok(()),
        }
    }

    fn apply(&mut self, edit: Edit) -> Result<(), DraftError> {
        self.put(&edit.path, Some(edit.content))
    }

    fn with_files<T>(&self, use_files: impl FnOnce(&Files<'_>) -> T) -> T {
        let read = |path: &Path| self.read(path);
        let bytes = |path: &Path| match self.changed(path) {
            Some(content) => content.map(<[u8]>::to_vec),
            None => files::read(path, LARGEST),
        };
        use_files(&Files { system: self.system, read: &read, bytes: &bytes })
    }

    /// What a file holds with the changes, when it is changed.
    fn changed(&self, path: &Path) -> Option<io::Result<&[u8]>> {
        if self.changes.is_empty() {
            return None;
        }
        let place = place_of(path);
        let change = self.changes.iter().find(|change| change.place == place)?;
        Some(change.new.as_deref().ok_or(io::ErrorKind::NotFound.into()))
    }

    fn read(&self, path: &Path) -> io::Result<ConfigEntry> {
        if let Some(content) = self.changed(path) {
            let text = String::from_utf8_lossy(content?).into_owned();
            return Ok(ConfigEntry::File(unix_newlines(text)));
        }
        let mut entry = read_config(path)?;
        if let ConfigEntry::Folder(names) = &mut entry {
            let place = place_of(path);
            let added = self.changes.iter().filter(|change| folder_of(&change.place) == place);
            let added = added.filter(|change| change.old.is_none() && change.new.is_some());
            names.extend(added.filter_map(|change| change.place.file_name()).map(OsString::from));
        }
        Ok(entry)
    }

    /// Has Portage read the variables from a copy of the configuration that has the changes.
    fn ask_portage(&self) -> Result<(), DraftError> {
        let root = self.system.configroot;
        let tops = ["etc/make.conf", "etc/portage/make.conf"].map(|top| root.join(top));
        let read: Vec<PathBuf> = tops
            .iter()
            .flat_map(|top| config_files(top, &|path| self.read(path)))
            .map(|(path, _)| path)
            .collect();
        // A file that is sourced may be named by its whole path, which leads past the copy.
        let changes: Vec<&Change> =
            self.changes.iter().filter(|change| read.contains(&change.path)).collect();
        if !self.asks_portage || self.values.is_empty() || changes.len() != self.changes.len() {
            return Ok(());
        }
        let files: Vec<(&Path, &[u8])> = changes
            .iter()
            .filter_map(|change| Some((change.path.strip_prefix(root).ok()?, change.new.as_deref()?)))
            .collect();
        let Ok(copy) = portageq::Copy::new(root, &files) else { return Ok(()) };
        for (name, words) in &self.values {
            let answer = portageq::envvar(name, copy.root());
            let is_right = |value: &str| value.split_whitespace().eq(words.iter().map(String::as_str));
            let error = match &answer {
                portageq::Answer::None => return Ok(()),
                portageq::Answer::Value(found) if is_right(found) => continue,
                portageq::Answer::Value(found) => {
                    let (name, wanted, found) = (name.clone(), words.join(" "), found.clone());
                    DraftError::Portage { name, wanted, found }
                }
                portageq::Answer::Failed(why) => DraftError::Refused(why.clone()),
            };
            // It may be something else that keeps Portage from working, or that outweighs make.conf.
            if !portageq::envvar(name, root).is_like(&answer) {
                return Err(error);
            }
        }
        Ok(())
    }
}

/// The mode of a configuration file that everybody may read.
pub const PUBLIC: u32 = 0o644;

/// The largest file of the configuration, in bytes.
const LARGEST: u64 = 16 << 20;

/// Where a file is behind all symbolic links, also when it does not exist yet.
fn place_of(path: &Path) -> PathBuf {
    let behind = fs::canonicalize(path);
    let in_folder = || {
        let folder = fs::canonicalize(folder_of(path)).ok()?;
        Some(folder.join(path.components().next_back().filter(|part| matches!(part, Component::Normal(_)))?))
    };
    behind.ok().or_else(in_folder).unwrap_or_else(|| path.to_path_buf())
}

/// What each command of make.conf is about, in order.
fn commands(conf: &MakeConf) -> Vec<String> {
    let about = |kind: &StatementKind| match kind {
        StatementKind::Assignment { name, .. } => name.clone(),
        StatementKind::Source { target } => format!("source {}", target.display()),
    };
    conf.statements().iter().map(|statement| about(&statement.kind)).collect()
}

fn is_subsequence(part: &[String], whole: &[String]) -> bool {
    let mut whole = whole.iter();
    part.iter().all(|word| whole.any(|other| other == word))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    fn draft(root: &Path) -> Draft<'_> {
        Draft { asks_portage: false, ..Draft::new(System { eprefix: root, configroot: root }) }
    }

    #[test]
    fn changes_are_written_where_they_belong_and_once() {
        let files = [
            ("etc/portage/make.conf/10", "GENTOO_MIRRORS=http://a\n"),
            ("elsewhere", "B='$GENTOO_MIRRORS'\n"),
        ];
        let root = root(&files);
        let read = |path: &str| fs::read_to_string(root.path().join(path)).unwrap();
        symlink("../../../elsewhere", root.path().join("etc/portage/make.conf/05")).unwrap();
        let mut changes = draft(root.path());
        let mirrors = ["http://b".to_owned(), "http://c".to_owned()];
        assert!(changes.set("GENTOO_MIRRORS", NewValue::Words(&mirrors), "x").unwrap());
        assert!(!changes.set("GENTOO_MIRRORS", NewValue::Text("http://b http://c"), "x").unwrap());
        assert!(changes.set("B", NewValue::Text("new"), "x").unwrap());
        changes.append(&["C=1"], "x").unwrap();
        changes.append(&["D=$C"], "x").unwrap();
        assert_eq!((changes.changes().count(), read("elsewhere").as_str()), (3, files[1].1));
        let conf = changes.conf().unwrap();
        assert_eq!((conf.get("B"), conf.get("D")), (Some("new"), Some("1")));

        let mut written = Vec::new();
        changes.write(&mut written).unwrap();
        let backups: Vec<_> = written.iter().map(|file| file.backup.is_some()).collect();
        assert_eq!(backups, [true, true, false]);
        assert_eq!(read("etc/portage/make.conf/10"), "GENTOO_MIRRORS=\"http://b http://c\"\n");
        assert_eq!(read("etc/portage/make.conf/10.racefetch~"), files[0].1);
        assert_eq!(
            (read("elsewhere").as_str(), read("elsewhere.racefetch~").as_str()),
            ("B=\"new\"\n", files[1].1)
        );
        assert!(read("etc/portage/make.conf/zz-racefetch").contains("C=1"));
        let again = draft(root.path());
        assert_eq!(again.conf().unwrap().get("D"), Some("1"), "back-ups do not count");
    }

    #[test]
    fn what_was_changed_meanwhile_is_left_alone() {
        let root = root(&[("etc/portage/make.conf", "A=1\n")]);
        let path = root.path().join("etc/portage/make.conf");
        for new in [Some("A=3\n"), None] {
            let mut changes = draft(root.path());
            changes.put(&path, new.map(Into::into)).unwrap();
            let old = fs::read(&path).unwrap();
            fs::write(&path, "A=2\n").unwrap();
            let error = changes.write(&mut Vec::new()).unwrap_err().to_string();
            assert!(error.contains("was changed meanwhile"), "{error}");
            assert_eq!(fs::read(&path).unwrap(), b"A=2\n");
            fs::write(&path, old).unwrap();
        }
    }

    #[test]
    fn a_change_without_effect_is_refused() {
        // A file that is read twice, and differs by where it is read.
        let text = "A=\"$A x\"\nsource s\nA=\"\"\n";
        let root = root(&[("etc/portage/make.conf", text), ("etc/portage/s", "B=\"$A\"\nA=1\n")]);
        let mut changes = draft(root.path());
        assert!(changes.set("B", NewValue::Text("$A"), "x").unwrap());
        let error = draft(root.path()).set("A", NewValue::Text(""), "x").unwrap_err().to_string();
        assert!(error.contains("would be empty"), "{error}");
    }

    #[test]
    fn removed_files_go() {
        let root = root(&[("etc/portage/make.conf/a", "A=1\n"), ("etc/portage/make.conf/b", "A=2\n")]);
        let path = root.path().join("etc/portage/make.conf/b");
        let mut changes = draft(root.path());
        changes.put(&path, None).unwrap();
        assert_eq!(changes.conf().unwrap().get("A"), Some("1"));
        changes.write(&mut Vec::new()).unwrap();
        assert!(!path.exists());
    }
}
