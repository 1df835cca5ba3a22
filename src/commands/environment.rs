//! What the process finds around it, read once.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::files;
use crate::mirror::Store;
use crate::mirror::location::{FILE_NAME, Folder, Location, SYSTEM_FOLDER};
use crate::mirror::store::{LockBudget, Wish, locate};
use crate::portage::config_files::ConfigEntry;
use crate::portage::{PortageCall, unix_newlines};

#[derive(Clone, Debug)]
pub struct Environment {
    variables: HashMap<OsString, OsString>,
    /// Whether stderr is a terminal.
    pub terminal: bool,
    /// Of all of the call.
    state_lock: LockBudget,
}

impl Environment {
    pub fn new(variables: impl IntoIterator<Item = (OsString, OsString)>, terminal: bool) -> Self {
        Self { variables: variables.into_iter().collect(), terminal, state_lock: LockBudget::default() }
    }

    pub fn get(&self, name: &str) -> Option<&OsStr> {
        self.variables.get(OsStr::new(name)).map(OsString::as_os_str)
    }

    /// A variable that is set, not empty, and UTF-8.
    pub fn text(&self, name: &str) -> Option<String> {
        self.get(name).and_then(OsStr::to_str).filter(|value| !value.is_empty()).map(str::to_owned)
    }

    pub fn portage_call(&self) -> PortageCall {
        self.portage_call_with(|_| None)
    }

    /// The same. For variables of our own that are not set in the environment, the value of make.conf counts.
    pub fn portage_call_with<'c>(&self, configured: impl Fn(&str) -> Option<&'c str>) -> PortageCall {
        let ours =
            |name: &str| configured(name).filter(|_| name.starts_with("RACEFETCH_")).map(OsString::from);
        PortageCall::from_env(|name| self.get(name).map(OsStr::to_owned).or_else(|| ours(name)))
    }

    /// Where the figures of mirrors are kept. `given` is `--state`, `distdir` the output's folder.
    pub fn store(&self, call: &PortageCall, given: Option<&Path>, distdir: Option<&Path>) -> Option<Store> {
        let variable = |name: &str| self.get(name).map(Path::new);
        let wish = Wish {
            given: given.or(call.state.as_deref()),
            read_only: false,
            portage_call: call.phase.is_some() || call.ebuild.is_some(),
            xdg_state_home: variable("XDG_STATE_HOME"),
            home: variable("HOME"),
            distdir,
        };
        locate(wish).map(|location| Store::new(location).with_lock_budget(self.state_lock.clone()))
    }

    /// As [`Self::store`], for looking at the figures: there is always a place to look.
    pub fn store_to_read(&self, call: &PortageCall, given: Option<&Path>, distdir: Option<&Path>) -> Store {
        let variable = |name: &str| self.get(name).map(Path::new);
        let wish = Wish {
            given: given.or(call.state.as_deref()),
            read_only: true,
            portage_call: false,
            xdg_state_home: variable("XDG_STATE_HOME"),
            home: variable("HOME"),
            distdir,
        };
        let system = || Location { file: Path::new(SYSTEM_FOLDER).join(FILE_NAME), folder: Folder::Named };
        Store::new(locate(wish).unwrap_or_else(system))
    }
}

/// The largest file of Portage's that is read, in bytes.
const LARGEST: u64 = 16 * 1024 * 1024;

/// Reads a file of the configuration, or lists a folder of it.
pub fn read_config(path: &Path) -> io::Result<ConfigEntry> {
    match read_text(path) {
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => {
            let names = std::fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.file_name()));
            Ok(ConfigEntry::Folder(names.collect::<io::Result<_>>()?))
        }
        text => text.map(ConfigEntry::File),
    }
}

/// Reads a text file of Portage's. What is not UTF-8 in it is replaced, and every line ends with LF.
pub fn read_text(path: &Path) -> io::Result<String> {
    Ok(unix_newlines(String::from_utf8_lossy(&files::read(path, LARGEST)?).into_owned()))
}

/// Reads a text file that the command line names; `-` is stdin.
pub fn read_argument_file(path: &Path) -> io::Result<String> {
    if path == Path::new("-") {
        return io::read_to_string(io::stdin().lock());
    }
    std::fs::read_to_string(path)
}

/// UNIX seconds.
#[expect(clippy::disallowed_methods, reason = "figures carry the time of the day")]
pub fn unix_now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}
