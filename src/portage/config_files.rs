//! Portage's configuration files, each of which may be a folder of files (portage(5), "make.conf").

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

/// What stands at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigEntry {
    /// A regular file's content, invalid UTF-8 replaced.
    File(String),
    /// A folder: the names in it, in any order.
    Folder(Vec<OsString>),
}

/// Reads what stands at a path, through symbolic links. What is neither file nor folder is an error.
pub type ReadPath<'r> = dyn Fn(&Path) -> io::Result<ConfigEntry> + 'r;

/// A configuration file that was read, or why it was not.
pub type ConfigFile = (PathBuf, io::Result<String>);

/// The file at `top`, or all files of the folder there and of its folders, in the order in which Portage
/// reads them (its `_recursive_file_list`): by name, files and folders together; without hidden ones,
/// back-ups (`~`) and the folders of version control. What does not exist is left out.
pub fn config_files(top: &Path, read: &ReadPath<'_>) -> Vec<ConfigFile> {
    let mut files = Vec::new();
    let mut stack = vec![top.to_path_buf()];
    let mut visited = 0;
    while let Some(path) = stack.pop() {
        if path.file_name().is_some_and(is_ignored) {
            continue;
        }
        visited += 1;
        if visited > MAX_VISITED {
            files.push((path, Err(io::Error::other("too many files, or a loop of symbolic links"))));
            return files;
        }
        match read(&path) {
            Ok(ConfigEntry::File(content)) => files.push((path, Ok(content))),
            Ok(ConfigEntry::Folder(mut names)) => {
                names.sort_unstable();
                stack.extend(names.iter().rev().map(|name| path.join(name)));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => files.push((path, Err(error))),
        }
    }
    files
}

/// Far more than any configuration has; ends a loop of symbolic links.
const MAX_VISITED: usize = 4096;

/// `VCS_DIRS` of Portage's `const.py` that do not begin with a dot.
const VERSION_CONTROL: [&str; 3] = ["CVS", "RCS", "SCCS"];

fn is_ignored(name: &OsStr) -> bool {
    let bytes = name.as_encoded_bytes();
    bytes.starts_with(b".") || bytes.ends_with(b"~") || VERSION_CONTROL.iter().any(|folder| name == *folder)
}

/// A file system made of `(path, content)`, for the tests of what reads configuration.
#[cfg(test)]
pub(super) fn reader<'f>(files: &'f [(&'f str, &'f str)]) -> impl Fn(&Path) -> io::Result<ConfigEntry> + 'f {
    move |path| {
        if let Some((_, content)) = files.iter().find(|(name, _)| Path::new(name) == path) {
            return Ok(ConfigEntry::File((*content).to_owned()));
        }
        let below = files.iter().filter_map(|(name, _)| Path::new(name).strip_prefix(path).ok());
        let mut names: Vec<_> =
            below.filter_map(|rest| rest.iter().next()).map(OsStr::to_os_string).collect();
        names.dedup();
        if names.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(ConfigEntry::Folder(names)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_or_a_sorted_tree() {
        let files = [
            ("/m/20-b", "b"),
            ("/m/10-a/z", "z"),
            ("/m/10-a/.hidden/x", "hidden"),
            ("/m/10-a/y~", "backup"),
            ("/m/10-a/CVS/Root", "cvs"),
            ("/m/10-a/a", "a"),
            ("/m/30~/x", "backup"),
        ];
        let read = reader(&files);
        let found = |top: &str| -> Vec<String> {
            config_files(Path::new(top), &read).into_iter().map(|(_, content)| content.unwrap()).collect()
        };
        assert_eq!(found("/m"), ["a", "z", "b"]);
        assert_eq!(found("/m/20-b"), ["b"]);
        assert_eq!(found("/absent"), [""; 0]);
    }

    #[test]
    fn errors_are_passed_on_and_loops_end() {
        let denied = |_: &Path| Err(io::ErrorKind::PermissionDenied.into());
        let files = config_files(Path::new("/m"), &denied);
        assert_eq!(files[0].1.as_ref().unwrap_err().kind(), io::ErrorKind::PermissionDenied);

        let endless = |_: &Path| Ok(ConfigEntry::Folder(vec![OsString::from("loop")]));
        let files = config_files(Path::new("/m"), &endless);
        assert!(files.len() == 1 && files[0].1.is_err());
    }
}
