//! The ebuild repositories of a system: repos.conf (portage(5)), and what each repository says of itself.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use super::config_files::{ConfigEntry, ReadPath, config_files};
use super::config_parser::{ConfigParser, InterpolationError, LineError};
use super::mirror_groups::MirrorGroups;

/// One ebuild repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository {
    /// The section of repos.conf. Portage insists that the repository calls itself so.
    pub name: String,
    /// As it is written: symbolic links are not resolved.
    pub location: PathBuf,
    /// The repositories that this one builds on; names of none that is there are left out.
    pub masters: Vec<String>,
    /// The higher one counts when two repositories have the same ebuild.
    pub priority: i64,
}

/// The repositories of a system, and what could not be read of them.
#[derive(Debug, Default)]
pub struct Repositories {
    /// In Portage's order: by priority and name, the least important first.
    list: Vec<Repository>,
    main: Option<String>,
    problems: Vec<RepositoryProblem>,
}

/// Where the configuration of a system is.
#[derive(Clone, Copy, Debug)]
pub struct System<'p> {
    /// The prefix that Portage is installed under.
    pub eprefix: &'p Path,
    /// `PORTAGE_CONFIGROOT`.
    pub configroot: &'p Path,
}

/// What was wrong. The repository, or the line, is left out.
#[derive(Debug, thiserror::Error)]
pub enum RepositoryProblem {
    #[error("cannot read {}: {error}", path.display())]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("{source_name}: {error}")]
    Line { source_name: String, error: LineError },
    #[error("repository {name}: {option}: {error}")]
    Value { name: String, option: &'static str, error: InterpolationError },
    #[error("repository {0} has no location in repos.conf")]
    NoLocation(String),
}

impl Repositories {
    /// Reads `PORTAGE_REPOSITORIES` when it is set, else the repos.conf that Portage brings and the one in
    /// `/etc/portage`, each of which may be a folder. Repositories that are not there are left out.
    pub fn of_system(system: System<'_>, variable: Option<&str>, read: &ReadPath<'_>) -> Self {
        let mut parser = ConfigParser::default();
        set_defaults(&mut parser, system);
        let mut repositories = Self::default();
        if let Some(text) = variable {
            repositories.read_conf(&mut parser, "PORTAGE_REPOSITORIES", text);
        } else {
            let global = ["usr/share/portage/config/repos.conf", "share/portage/config/repos.conf"];
            let global = global.map(|conf| system.eprefix.join(conf));
            for top in global.iter().chain([&system.configroot.join("etc/portage/repos.conf")]) {
                for (path, content) in config_files(top, read) {
                    match content {
                        Ok(text) => repositories.read_conf(&mut parser, &path.display().to_string(), &text),
                        Err(error) => repositories.unreadable(path, error),
                    }
                }
            }
        }
        repositories.fill(&parser, read);
        repositories
    }

    /// The repositories in Portage's order, the least important first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Repository> {
        self.list.iter()
    }

    pub fn find(&self, name: &str) -> Option<&Repository> {
        self.list.iter().find(|repository| repository.name == name)
    }

    /// The repository that a path lies in.
    pub fn of_path(&self, path: &Path) -> Option<&Repository> {
        let around = self.list.iter().filter(|repository| path.starts_with(&repository.location));
        around.max_by_key(|repository| repository.location.as_os_str().len())
    }

    /// The main repository, when there is one.
    pub fn main(&self) -> Option<&Repository> {
        self.find(self.main.as_deref()?)
    }

    /// What could not be read, in the order in which it was met.
    pub fn problems(&self) -> &[RepositoryProblem] {
        &self.problems
    }

    /// The mirrors of `mirror://` URIs: those of all repositories, whichever the ebuild is from, the most
    /// important repository first (`thirdpartymirrors` in Portage's `config.py`).
    pub fn third_party_mirrors(&self, read: &ReadPath<'_>) -> MirrorGroups {
        let mut stacked = MirrorGroups::default();
        for repository in self.list.iter().rev() {
            if let Some(text) = read_text(&repository.location.join("profiles/thirdpartymirrors"), read) {
                let mut groups = MirrorGroups::default();
                groups.read(&text);
                stacked.stack(&groups);
            }
        }
        stacked
    }

    /// The categories of all repositories, and those of `/etc/portage/categories`: Portage looks for each of
    /// them in each repository.
    pub fn categories(&self, configroot: &Path, read: &ReadPath<'_>) -> BTreeSet<String> {
        let files = self.list.iter().map(|repository| repository.location.join("profiles/categories"));
        let mut categories = BTreeSet::new();
        for path in files.chain([configroot.join("etc/portage/categories")]) {
            let text = read_text(&path, read).unwrap_or_default();
            for word in text.lines().filter_map(|line| line.split_whitespace().next()) {
                match word.strip_prefix('-') {
                    Some("*") => categories.clear(),
                    Some(removed) => {
                        categories.remove(removed);
                    }
                    None if is_category(word) => {
                        categories.insert(word.to_owned());
                    }
                    None => {}
                }
            }
        }
        categories
    }

    /// Where the Manifests of all packages may be: one for each entry of each category that a repository has.
    /// Some entries are no packages and some packages have no Manifest, so that not all of these paths exist.
    /// Thin Manifests and full ones have the same place.
    pub fn manifests(&self, categories: &BTreeSet<String>, read: &ReadPath<'_>) -> Vec<PathBuf> {
        let mut manifests = Vec::new();
        for repository in &self.list {
            let folders = list(&repository.location, read);
            let has = |category: &&String| folders.iter().any(|name| name == category.as_str());
            for category in categories.iter().filter(has) {
                let folder = repository.location.join(category);
                let packages = list(&folder, read);
                let packages = packages.iter().filter(|name| !is_no_package(name));
                manifests.extend(packages.map(|name| folder.join(name).join("Manifest")));
            }
        }
        manifests
    }

    fn read_conf(&mut self, parser: &mut ConfigParser, source_name: &str, text: &str) {
        let errors = parser.read(text).into_iter();
        let problem = |error| RepositoryProblem::Line { source_name: source_name.to_owned(), error };
        self.problems.extend(errors.map(problem));
    }

    fn unreadable(&mut self, path: PathBuf, error: io::Error) {
        self.problems.push(RepositoryProblem::Unreadable { path, error });
    }

    /// Makes the repositories out of the sections.
    fn fill(&mut self, parser: &ConfigParser, read: &ReadPath<'_>) {
        self.main = parser.default_option("main-repo").map(str::to_owned);
        for name in parser.sections() {
            let Some(location) = self.option(parser, name, "location") else {
                self.problems.push(RepositoryProblem::NoLocation(name.to_owned()));
                continue;
            };
            let location = PathBuf::from(location);
            match read(&location) {
                Ok(ConfigEntry::Folder(_)) => {}
                Ok(ConfigEntry::File(_)) => {
                    self.unreadable(location, io::ErrorKind::NotADirectory.into());
                    continue;
                }
                Err(error) => {
                    self.unreadable(location, error);
                    continue;
                }
            }
            let masters = self.option(parser, name, "masters").or_else(|| layout_masters(&location, read));
            let masters = match masters {
                Some(masters) => masters.split_whitespace().map(str::to_owned).collect(),
                None => self.main.iter().filter(|main| *main != name).cloned().collect(),
            };
            let priority = self.option(parser, name, "priority").and_then(|text| text.parse().ok());
            let unset = if self.main.as_deref() == Some(name) { MAIN_PRIORITY } else { 0 };
            let priority = priority.unwrap_or(unset);
            self.list.push(Repository { name: name.to_owned(), location, masters, priority });
        }
        self.list.sort_by(|a, b| (a.priority, &a.name).cmp(&(b.priority, &b.name)));
        let names: BTreeSet<String> = self.list.iter().map(|repository| repository.name.clone()).collect();
        for repository in &mut self.list {
            repository.masters.retain(|master| names.contains(master));
        }
    }

    /// An option of a section; an empty location is none.
    fn option(&mut self, parser: &ConfigParser, name: &str, option: &'static str) -> Option<String> {
        match parser.get(name, option) {
            Ok(value) => value.filter(|value| option != "location" || !value.is_empty()),
            Err(error) => {
                self.problems.push(RepositoryProblem::Value { name: name.to_owned(), option, error });
                None
            }
        }
    }
}

/// What Portage gives the main repository when repos.conf gives it no priority.
const MAIN_PRIORITY: i64 = -1000;

/// The variables that repos.conf may use, as Portage sets them on a system whose ROOT is `/`.
fn set_defaults(parser: &mut ConfigParser, system: System<'_>) {
    let eprefix = system.eprefix.to_string_lossy();
    let eprefix = eprefix.trim_end_matches('/');
    let configroot = system.configroot.to_string_lossy();
    parser.set_default("EPREFIX", eprefix);
    parser.set_default("EROOT", &format!("{eprefix}/"));
    parser.set_default("PORTAGE_CONFIGROOT", &format!("{}/", configroot.trim_end_matches('/')));
    parser.set_default("ROOT", "/");
}

/// `masters` of `metadata/layout.conf`. Empty is not the same as absent.
fn layout_masters(location: &Path, read: &ReadPath<'_>) -> Option<String> {
    let text = read_text(&location.join("metadata/layout.conf"), read)?;
    let mut values = text.lines().filter_map(|line| line.split_once('='));
    values.rfind(|(key, _)| key.trim() == "masters").map(|(_, value)| value.trim().to_owned())
}

/// A file of a repository; these are all optional.
fn read_text(path: &Path, read: &ReadPath<'_>) -> Option<String> {
    match read(path) {
        Ok(ConfigEntry::File(text)) => Some(text),
        Ok(ConfigEntry::Folder(_)) | Err(_) => None,
    }
}

/// The names in a folder, sorted; none when there is no such folder.
fn list(path: &Path, read: &ReadPath<'_>) -> Vec<OsString> {
    let Ok(ConfigEntry::Folder(mut names)) = read(path) else { return Vec::new() };
    names.sort_unstable();
    names
}

/// PMS, "Category names".
fn is_category(word: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"+_.-".contains(&byte);
    word.bytes().all(allowed) && word.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '_')
}

/// True for the files of a category, which spares looking for a Manifest in them.
fn is_no_package(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".") || name == "metadata.xml" || name == "Manifest" || name == "CVS"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::portage::config_files::reader;

    fn repositories(files: &[(&str, &str)]) -> Repositories {
        let root = Path::new("/");
        Repositories::of_system(System { eprefix: root, configroot: root }, None, &reader(files))
    }

    fn names(repositories: &Repositories) -> Vec<&str> {
        repositories.iter().map(|repository| repository.name.as_str()).collect()
    }

    const GLOBAL: (&str, &str) = (
        "/usr/share/portage/config/repos.conf",
        "[DEFAULT]\nmain-repo = gentoo\n[gentoo]\nlocation = %(EPREFIX)s/var/db/repos/gentoo\n",
    );
    const GENTOO: (&str, &str) = ("/var/db/repos/gentoo/profiles/categories", "dev-lang\nsys-apps\n");

    #[test]
    fn the_repositories_of_a_system() {
        let found = repositories(&[
            GLOBAL,
            GENTOO,
            ("/var/db/repos/gentoo/metadata/layout.conf", "masters =\n"),
            (
                "/etc/portage/repos.conf/zz.conf",
                "[b]\nlocation = /o/b\nmasters = gentoo none\npriority = -2000",
            ),
            ("/etc/portage/repos.conf/a.conf", "[a]\nlocation = /o/a\n[c]\nlocation = /o/c\npriority = x\n"),
            ("/o/a/profiles/repo_name", "a\n"),
            ("/o/b/metadata/layout.conf", "masters = a\n"),
            ("/o/c/metadata/layout.conf", "# masters = x\nmasters = b gentoo\n"),
        ]);
        assert!(found.problems().is_empty(), "{:?}", found.problems());
        assert_eq!(names(&found), ["b", "gentoo", "a", "c"]);
        assert_eq!(found.main().unwrap().location, Path::new("/var/db/repos/gentoo"));
        let masters = |name: &str| found.find(name).unwrap().masters.clone();
        assert_eq!(masters("gentoo"), [""; 0]);
        assert_eq!(masters("a"), ["gentoo"]);
        assert_eq!(masters("b"), ["gentoo"]);
        assert_eq!(masters("c"), ["b", "gentoo"]);
    }

    #[test]
    fn the_variable_stands_for_the_files() {
        let files = [GLOBAL, GENTOO, ("/p/x/profiles/repo_name", "x")];
        let system = System { eprefix: Path::new("/p/"), configroot: Path::new("/c") };
        let found = Repositories::of_system(system, Some("[x]\nlocation=%(EPREFIX)s/x"), &reader(&files));
        assert_eq!(names(&found), ["x"]);
        assert_eq!((found.find("x").unwrap().priority, found.main()), (0, None));
    }

    #[test]
    fn what_is_wrong_is_said_and_the_rest_is_there() {
        let found = repositories(&[
            GLOBAL,
            GENTOO,
            (
                "/etc/portage/repos.conf",
                "nonsense\n[a]\nsync-uri = x%20y\n[b]\nlocation = %(nowhere)s\n[c]\nlocation = /gone\n\
                 [d]\nlocation = /etc/portage/repos.conf\n",
            ),
        ]);
        assert_eq!(names(&found), ["gentoo"]);
        let problems: Vec<_> = found.problems().iter().map(ToString::to_string).collect();
        assert_eq!(
            problems,
            [
                "/etc/portage/repos.conf: line 1 is neither `[SECTION]` nor `OPTION = VALUE` in a section",
                "repository a has no location in repos.conf",
                "repository b: location: `%(nowhere)s` is not an option of the section",
                "repository b has no location in repos.conf",
                "cannot read /gone: entity not found",
                "cannot read /etc/portage/repos.conf: not a directory",
            ]
        );
        assert!(names(&repositories(&[])).is_empty());
    }

    #[test]
    fn mirrors_and_manifests_of_all_repositories() {
        let files = [
            GLOBAL,
            GENTOO,
            ("/var/db/repos/gentoo/profiles/thirdpartymirrors", "gnu http://g http://h\nkde http://k\n"),
            ("/var/db/repos/gentoo/dev-lang/rust/Manifest", ""),
            ("/var/db/repos/gentoo/dev-lang/metadata.xml", ""),
            ("/var/db/repos/gentoo/dev-lang/.git/x", ""),
            ("/var/db/repos/gentoo/sys-apps/portage/Manifest", ""),
            ("/var/db/repos/gentoo/eclass/x/Manifest", ""),
            ("/etc/portage/repos.conf", "[a]\nlocation = /o/a\n"),
            ("/o/a/profiles/thirdpartymirrors", "gnu http://own\n"),
            ("/o/a/profiles/categories", "# mine\nx-y # more\n-sys-apps\n../z\n"),
            ("/o/a/x-y/z/Manifest", ""),
            ("/o/a/dev-lang/rust/Manifest", ""),
        ];
        let read = reader(&files);
        let found = repositories(&files);
        let mirrors = found.third_party_mirrors(&read);
        assert_eq!(mirrors.mirrors("gnu"), ["http://own", "http://g", "http://h"]);
        assert_eq!(mirrors.mirrors("kde"), ["http://k"]);
        let categories = found.categories(Path::new("/"), &read);
        assert_eq!(categories, ["dev-lang", "x-y"].map(str::to_owned).into());
        let manifests = found.manifests(&categories, &read);
        let expected = ["/var/db/repos/gentoo/dev-lang/rust", "/o/a/dev-lang/rust", "/o/a/x-y/z"];
        assert_eq!(manifests, expected.map(|folder| Path::new(folder).join("Manifest")));
    }
}
