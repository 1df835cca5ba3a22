//! The names of distfiles, and the names under which they are downloaded.

use std::fmt;
use std::path::Path;

/// The name of a distfile: one component of a path that stays where it is joined.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Distfile(String);

/// Why a text is not the name of a distfile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DistfileError {
    #[error("the name of the distfile is empty")]
    Empty,
    #[error("{0:?} names a folder, not a distfile")]
    Folder(String),
    #[error("{0:?} has a slash or a NUL, which the name of a distfile cannot have")]
    Character(String),
}

impl Distfile {
    /// The name, when it is neither empty nor `.` nor `..` and has neither slash nor NUL.
    pub fn new(name: &str) -> Result<Self, DistfileError> {
        match name {
            "" => Err(DistfileError::Empty),
            "." | ".." => Err(DistfileError::Folder(name.to_owned())),
            _ if name.contains(['/', '\0']) => Err(DistfileError::Character(name.to_owned())),
            _ => Ok(Self(name.to_owned())),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Distfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<Path> for Distfile {
    fn as_ref(&self) -> &Path {
        Path::new(&self.0)
    }
}

/// What `${FILE}` stands for. Portage downloads beside the final name and renames (its `fetch.py`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DownloadName {
    /// `NAME.__download__`: the distfile NAME.
    Distfile(Distfile),
    /// `.layout.conf.HOST.__download__`: the layout of the mirror on HOST. The name has no port, so two
    /// mirrors on one host share it; the URI tells them apart.
    LayoutConf { host: String },
    /// `NAME.partial`: a binary package, whose digests Portage does not pass.
    BinaryPackage(Distfile),
    /// Any other name. With a read-only DISTDIR Portage adds no suffix: it is a distfile still when the
    /// Manifest lists it.
    Other(Distfile),
}

impl DownloadName {
    /// Reads the file name that a fetch is to write, without its folder.
    pub fn parse(file: &str) -> Result<Self, DistfileError> {
        let whole = Distfile::new(file)?;
        let stripped = file.strip_suffix(DOWNLOAD_SUFFIX);
        let host = stripped.unwrap_or(file).strip_prefix(LAYOUT_CONF_PREFIX);
        if let Some(host) = host.filter(|host| !host.is_empty()) {
            return Ok(Self::LayoutConf { host: host.to_owned() });
        }
        if let Some(Ok(distfile)) = stripped.map(Distfile::new) {
            return Ok(Self::Distfile(distfile));
        }
        match file.strip_suffix(PARTIAL_SUFFIX).map(Distfile::new) {
            Some(Ok(package)) => Ok(Self::BinaryPackage(package)),
            _ => Ok(Self::Other(whole)),
        }
    }
}

/// What Portage appends to a distfile's name while it is fetched (`_download_suffix` in its `fetch.py`).
pub const DOWNLOAD_SUFFIX: &str = ".__download__";

const LAYOUT_CONF_PREFIX: &str = ".layout.conf.";
const PARTIAL_SUFFIX: &str = ".partial";

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn distfile(name: &str) -> Distfile {
        Distfile::new(name).unwrap()
    }

    #[test]
    fn a_name_is_one_component() {
        for name in ["a", "foo-1.0.tar.gz", "...", ".hidden", "with space", "naïve", "a\\b", "foo+bar~1"] {
            assert_eq!(distfile(name).as_str(), name);
        }
        for name in ["", ".", "..", "/", "a/b", "../a", "a/", "a\0b"] {
            assert!(Distfile::new(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn what_file_stands_for() {
        let layout = |host: &str| DownloadName::LayoutConf { host: host.to_owned() };
        for (file, expected) in [
            ("foo-1.tar.gz.__download__", DownloadName::Distfile(distfile("foo-1.tar.gz"))),
            ("foo.partial.__download__", DownloadName::Distfile(distfile("foo.partial"))),
            (".layout.conf.mirror.example.__download__", layout("mirror.example")),
            (".layout.conf.::1.__download__", layout("::1")),
            (".layout.conf.mirror.example", layout("mirror.example")),
            ("foo-1.tbz2.partial", DownloadName::BinaryPackage(distfile("foo-1.tbz2"))),
            ("foo-1.tar.gz", DownloadName::Other(distfile("foo-1.tar.gz"))),
            (".__download__", DownloadName::Other(distfile(".__download__"))),
            (".partial", DownloadName::Other(distfile(".partial"))),
            ("...__download__", DownloadName::Other(distfile("...__download__"))),
        ] {
            assert_eq!(DownloadName::parse(file), Ok(expected), "{file}");
        }
        assert!(DownloadName::parse("../a.__download__").is_err());
    }

    proptest! {
        #[test]
        fn an_accepted_name_stays_in_its_folder(name in "[./a\0]{0,6}|\\PC{0,20}") {
            if let Ok(name) = Distfile::new(&name) {
                let joined = Path::new("/distdir").join(&name);
                prop_assert_eq!(joined.parent(), Some(Path::new("/distdir")));
                prop_assert_eq!(joined.file_name(), Some(std::ffi::OsStr::new(name.as_str())));
            }
        }

        #[test]
        fn a_download_name_gives_its_distfile(name in "[a-z0-9][a-z.0-9]{0,12}") {
            let file = format!("{name}{DOWNLOAD_SUFFIX}");
            prop_assert_eq!(DownloadName::parse(&file), Ok(DownloadName::Distfile(distfile(&name))));
        }
    }
}
