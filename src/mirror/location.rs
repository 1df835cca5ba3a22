//! Where the state file belongs: a pure choice over facts that [`super::store::locate`] finds out.

use std::path::{Path, PathBuf};

/// The folder that the installation makes (root:portage 2775).
pub const SYSTEM_FOLDER: &str = "/var/lib/racefetch";
/// The name of the state file wherever it may be.
pub const FILE_NAME: &str = "mirrors.json";

/// What the choice depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The path given by `--state`, else by `RACEFETCH_STATE`.
    pub given: Option<PathBuf>,
    /// Whether this process may do with [`SYSTEM_FOLDER`] what it wants to: write, or only read. A folder that is yet
    /// to be made counts where it can be.
    pub system_folder_usable: bool,
    /// Portage has called: HOME is a build folder.
    pub portage_call: bool,
    pub root: bool,
    /// `XDG_STATE_HOME`, when it is absolute (as the XDG Base Directory Specification demands), and the
    /// user's own or yet to be made in a folder that is.
    pub xdg_state_home: Option<PathBuf>,
    /// `HOME`, when it exists, belongs to the user, and can be written.
    pub home: Option<PathBuf>,
    /// The folder that the fetched file goes to.
    pub distdir: Option<PathBuf>,
}

/// A place for the state file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    pub file: PathBuf,
    pub folder: Folder,
}

/// What to do when the state file's folder does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Folder {
    /// Make it, if what it lies in is there; root makes it for the group `portage`. Whoever named it may have put a
    /// symbolic link there.
    Named,
    /// Make it, and what it lies in, for this user alone (as the XDG specification asks: 0700).
    Private,
    /// Make it with the group and the mode of the folder that it lies in.
    LikeParent,
}

/// Where the state file belongs; none when no place is known.
pub fn choose(facts: &Facts) -> Option<Location> {
    if let Some(file) = &facts.given {
        return Some(Location { file: file.clone(), folder: Folder::Named });
    }
    if facts.system_folder_usable {
        return Some(Location { file: Path::new(SYSTEM_FOLDER).join(FILE_NAME), folder: Folder::Named });
    }
    if !facts.root && !facts.portage_call {
        let in_home = facts.home.as_ref().map(|home| home.join(".local/state"));
        if let Some(state_home) = facts.xdg_state_home.clone().or(in_home) {
            let file = state_home.join("racefetch").join(FILE_NAME);
            return Some(Location { file, folder: Folder::Private });
        }
    }
    let file = facts.distdir.as_ref()?.join(".racefetch").join(FILE_NAME);
    Some(Location { file, folder: Folder::LikeParent })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_choice() {
        let everything = Facts {
            given: Some("/given/s.json".into()),
            system_folder_usable: true,
            portage_call: false,
            root: false,
            xdg_state_home: Some("/xdg".into()),
            home: Some("/home/u".into()),
            distdir: Some("/distfiles".into()),
        };
        let not_given = Facts { given: None, ..everything.clone() };
        let no_system = Facts { system_folder_usable: false, ..not_given.clone() };
        let in_distdir = Some(("/distfiles/.racefetch/mirrors.json", Folder::LikeParent));
        for (facts, place) in [
            (everything, Some(("/given/s.json", Folder::Named))),
            (not_given, Some(("/var/lib/racefetch/mirrors.json", Folder::Named))),
            (no_system.clone(), Some(("/xdg/racefetch/mirrors.json", Folder::Private))),
            (
                Facts { xdg_state_home: None, ..no_system.clone() },
                Some(("/home/u/.local/state/racefetch/mirrors.json", Folder::Private)),
            ),
            (Facts { xdg_state_home: None, home: None, ..no_system.clone() }, in_distdir),
            (Facts { portage_call: true, ..no_system.clone() }, in_distdir),
            (Facts { root: true, ..no_system.clone() }, in_distdir),
            (Facts { root: true, distdir: None, ..no_system }, None),
            (Facts::default(), None),
        ] {
            let chosen = choose(&facts);
            let chosen = chosen.as_ref().map(|l| (l.file.to_str().unwrap(), l.folder));
            assert_eq!(chosen, place, "{facts:?}");
        }
    }
}
