//! Portage itself, asked what it reads from a configuration that is not in its place yet.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio, id};

/// What `portageq envvar` said.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// There is no `portageq`.
    None,
    Value(String),
    /// The last line of what it said.
    Failed(String),
}

impl Answer {
    /// The same value, or none at all: what was said about that names other paths.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self == other || matches!((self, other), (Self::Failed(_), Self::Failed(_)))
    }
}

/// Asks for a variable of make.conf below a `PORTAGE_CONFIGROOT`.
pub(super) fn envvar(name: &str, configroot: &Path) -> Answer {
    let output = Command::new("portageq")
        .args(["envvar", name])
        .env("PORTAGE_CONFIGROOT", configroot)
        // The environment would outweigh make.conf.
        .env_remove(name)
        .stdin(Stdio::null())
        .output();
    match output {
        Err(_) => Answer::None,
        Ok(output) if output.status.success() => {
            Answer::Value(String::from_utf8_lossy(&output.stdout).trim_end_matches('\n').to_owned())
        }
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stderr);
            let line = text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("portageq failed");
            Answer::Failed(line.trim().to_owned())
        }
    }
}

/// A configuration with some other files: everything else are symbolic links to what is there. It goes with this
/// value.
pub(super) struct Copy(PathBuf);

impl Copy {
    /// `files` are relative to `configroot`.
    pub(super) fn new(configroot: &Path, files: &[(&Path, &[u8])]) -> io::Result<Self> {
        let root = std::env::temp_dir().join(format!("racefetch-{}-{}", id(), files.len()));
        // Fails when somebody else has made it.
        DirBuilder::new().mode(0o700).create(&root)?;
        let copy = Self(root);
        let configroot = fs::canonicalize(configroot)?;
        copy.fill(&configroot, Path::new("etc"), files)?;
        Ok(copy)
    }

    pub(super) fn root(&self) -> &Path {
        &self.0
    }

    /// Links to everything in a folder, but makes what leads to a changed file.
    fn fill(&self, from: &Path, folder: &Path, files: &[(&Path, &[u8])]) -> io::Result<()> {
        fs::create_dir(self.0.join(folder))?;
        let mut names: Vec<PathBuf> = match fs::read_dir(from.join(folder)) {
            Ok(entries) => entries.flatten().map(|entry| folder.join(entry.file_name())).collect(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let is_in_folder = |path: &&Path| path.starts_with(folder);
        let changed = files.iter().map(|(path, _)| *path).filter(is_in_folder);
        let depth = folder.components().count();
        names.extend(changed.map(|path| path.components().take(depth + 1).collect()));
        names.sort();
        names.dedup();
        for name in names {
            let place = self.0.join(&name);
            if let Some((_, content)) = files.iter().find(|(path, _)| *path == name) {
                fs::write(&place, content)?;
            } else if name == Path::new("etc/portage")
                || files.iter().any(|(path, _)| path.starts_with(&name))
            {
                self.fill(from, &name, files)?;
            } else {
                symlink(from.join(&name), &place)?;
            }
        }
        Ok(())
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        // It holds links and copies only.
        let _ = fs::remove_dir_all(&self.0);
    }
}
