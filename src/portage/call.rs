//! What the environment of one invocation says: which package Portage fetches for, and how.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::distfile::Distfile;

/// The environment in which Portage calls its fetch command (`doebuild.py` and `config.environ()`).
///
/// What speaks of a package is there only under Portage, which sets `EBUILD_PHASE` and EBUILD:
/// emerge-webrsync and people at a prompt set neither, and a variable `A` of theirs means something else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortageCall {
    /// `EBUILD_PHASE`: `fetch` in every call for the files of an ebuild.
    pub phase: Option<String>,
    /// EBUILD: the path of the ebuild, `REPOSITORY/CATEGORY/PN/PF.ebuild`.
    pub ebuild: Option<PathBuf>,
    /// CATEGORY.
    pub category: Option<String>,
    /// PF: name, version and revision.
    pub pf: Option<String>,
    /// `PORTAGE_REPO_NAME`.
    pub repo_name: Option<String>,
    /// `PORTAGE_RESTRICT`: the words of RESTRICT under the current USE flags.
    pub restrict: BTreeSet<String>,
    /// `PORTAGE_ACTUAL_DISTDIR`. DISTDIR itself is a shadow folder in a build.
    pub actual_distdir: Option<PathBuf>,
    /// `PORTAGE_PARALLEL_FETCHONLY`: the fetch runs in the background.
    pub parallel_fetchonly: bool,
    /// `PORTAGE_QUIET`.
    pub quiet: bool,
    /// `PORTAGE_VERBOSE`.
    pub verbose: bool,
    /// `PORTAGE_CONFIGROOT`, else the prefix below.
    pub configroot: PathBuf,
    /// `PORTAGE_OVERRIDE_EPREFIX`, else `/`: the prefix of the Portage that calls. `EPREFIX` is that of the
    /// target, and absent below EAPI 3.
    pub eprefix: PathBuf,
    /// `RACEFETCH_MIRRORS`: mirrors, white-space separated.
    pub mirrors: Option<String>,
    /// `RACEFETCH_TIERS`: `PATTERN=N`, white-space separated.
    pub tiers: Option<String>,
    /// `RACEFETCH_STATE`: the path of the state file.
    pub state: Option<PathBuf>,
    a: String,
}

impl PortageCall {
    /// Reads the environment through a function such as `std::env::var_os`. Empty variables are as good as
    /// absent.
    pub fn from_env(env: impl Fn(&str) -> Option<OsString>) -> Self {
        let any = |name: &str| env(name).filter(|value| !value.is_empty());
        let text = |name: &str| any(name).and_then(|value| value.into_string().ok());
        let path = |name: &str| any(name).map(PathBuf::from);
        let is_one = |name: &str| any(name).is_some_and(|value| value == "1");

        let eprefix = path("PORTAGE_OVERRIDE_EPREFIX").unwrap_or_else(|| PathBuf::from("/"));
        let mut call = Self {
            quiet: is_one("PORTAGE_QUIET"),
            verbose: is_one("PORTAGE_VERBOSE"),
            configroot: path("PORTAGE_CONFIGROOT").unwrap_or_else(|| eprefix.clone()),
            eprefix,
            mirrors: text("RACEFETCH_MIRRORS"),
            tiers: text("RACEFETCH_TIERS"),
            state: path("RACEFETCH_STATE"),
            phase: None,
            ebuild: None,
            category: None,
            pf: None,
            repo_name: None,
            restrict: BTreeSet::new(),
            actual_distdir: None,
            parallel_fetchonly: false,
            a: String::new(),
        };
        if any("EBUILD_PHASE").is_none() && any("EBUILD").is_none() {
            return call;
        }
        call.phase = text("EBUILD_PHASE");
        call.ebuild = path("EBUILD").filter(|ebuild| ebuild.is_absolute());
        call.category = text("CATEGORY");
        call.pf = text("PF");
        call.repo_name = text("PORTAGE_REPO_NAME");
        call.restrict =
            text("PORTAGE_RESTRICT").unwrap_or_default().split_whitespace().map(str::to_owned).collect();
        call.actual_distdir = path("PORTAGE_ACTUAL_DISTDIR");
        call.parallel_fetchonly = any("PORTAGE_PARALLEL_FETCHONLY").is_some();
        call.a = text("A").unwrap_or_default();
        call
    }

    pub fn is_fetch_phase(&self) -> bool {
        self.phase.as_deref() == Some("fetch")
    }

    /// A: the package's distfiles under the current USE flags, read as they are asked for.
    pub fn distfiles(&self) -> impl Iterator<Item = Distfile> {
        self.a.split_whitespace().filter_map(|name| Distfile::new(name).ok())
    }

    /// The Manifest beside the ebuild.
    pub fn manifest(&self) -> Option<PathBuf> {
        Some(self.ebuild.as_ref()?.with_file_name("Manifest"))
    }

    /// The root of the ebuild's repository.
    pub fn repository(&self) -> Option<&Path> {
        self.ebuild.as_ref()?.ancestors().nth(3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(variables: &[(&str, &str)]) -> PortageCall {
        let find = |name: &str| variables.iter().find(|(known, _)| *known == name);
        PortageCall::from_env(|name| find(name).map(|(_, value)| OsString::from(value)))
    }

    const PORTAGE: &[(&str, &str)] = &[
        ("EBUILD_PHASE", "fetch"),
        ("EBUILD", "/var/db/repos/gentoo/dev-util/foo/foo-1.0-r1.ebuild"),
        ("CATEGORY", "dev-util"),
        ("PF", "foo-1.0-r1"),
        ("PORTAGE_REPO_NAME", "gentoo"),
        ("PORTAGE_RESTRICT", "mirror  test"),
        ("PORTAGE_ACTUAL_DISTDIR", "/var/cache/distfiles"),
        ("PORTAGE_CONFIGROOT", "/"),
        ("PORTAGE_PARALLEL_FETCHONLY", "1"),
        ("PORTAGE_QUIET", "1"),
        ("A", " foo-1.0.tar.gz  bar.crate ../evil\n"),
        ("RACEFETCH_MIRRORS", "http://a http://b"),
        ("RACEFETCH_TIERS", "a=0"),
        ("RACEFETCH_STATE", "/state.json"),
    ];

    #[test]
    fn what_portage_says() {
        let call = call(PORTAGE);
        assert!(call.is_fetch_phase() && call.parallel_fetchonly && call.quiet && !call.verbose);
        assert_eq!(call.manifest(), Some(PathBuf::from("/var/db/repos/gentoo/dev-util/foo/Manifest")));
        assert_eq!(call.repository(), Some(Path::new("/var/db/repos/gentoo")));
        assert_eq!(call.category.as_deref(), Some("dev-util"));
        assert_eq!(call.pf.as_deref(), Some("foo-1.0-r1"));
        assert_eq!(call.repo_name.as_deref(), Some("gentoo"));
        assert_eq!(call.restrict, ["mirror", "test"].map(str::to_owned).into());
        assert_eq!(call.actual_distdir, Some(PathBuf::from("/var/cache/distfiles")));
        assert_eq!(call.configroot, Path::new("/"));
        assert_eq!(call.mirrors.as_deref(), Some("http://a http://b"));
        assert_eq!(call.tiers.as_deref(), Some("a=0"));
        assert_eq!(call.state, Some(PathBuf::from("/state.json")));
        let names: Vec<_> = call.distfiles().map(|name| name.to_string()).collect();
        assert_eq!(names, ["foo-1.0.tar.gz", "bar.crate"]);
    }

    #[test]
    fn without_portage_nothing_speaks_of_a_package() {
        let others: Vec<_> =
            PORTAGE.iter().filter(|(name, _)| !name.starts_with("EBUILD")).copied().collect();
        let call = call(&others);
        let expected = PortageCall {
            quiet: true,
            mirrors: Some("http://a http://b".to_owned()),
            tiers: Some("a=0".to_owned()),
            state: Some(PathBuf::from("/state.json")),
            ..self::call(&[])
        };
        assert_eq!(call, expected);
        assert_eq!((call.distfiles().count(), call.manifest(), call.repository()), (0, None, None));
    }

    #[test]
    fn odd_values() {
        let call = call(&[("EBUILD_PHASE", "unpack"), ("EBUILD", "foo.ebuild"), ("RACEFETCH_MIRRORS", "")]);
        assert!(!call.is_fetch_phase());
        assert_eq!((&call.ebuild, &call.mirrors, call.configroot.as_path()), (&None, &None, Path::new("/")));
        assert_eq!(self::call(&[("EBUILD", "/foo.ebuild")]).repository(), None);
        assert_eq!(self::call(&[("EBUILD", "/foo.ebuild")]).manifest(), Some(PathBuf::from("/Manifest")));
    }
}
