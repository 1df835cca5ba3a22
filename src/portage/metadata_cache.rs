//! What is known of an ebuild without running it: Portage's metadata cache (its `cache/flat_hash.py`).
//!
//! Whether an entry is up to date is not checked. Both caches name the ebuild by its MD5, which nothing else
//! here needs, and the eclasses too, so that each entry would cost reading some hundred KiB. Little hangs on
//! it: an entry says where a file may be had, and what comes from there must have the Manifest's digests.

use std::ffi::OsStr;
use std::io;
use std::path::{Component, Path, PathBuf};

use super::config_files::{ConfigEntry, ReadPath};
use super::eapi::Eapi;
use super::restrict::Restrict;
use super::src_uri::{SrcUri, SrcUriError};

/// The part of an ebuild's metadata that says where its distfiles are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    pub eapi: Eapi,
    pub restrict: Restrict,
    src_uri: String,
}

/// Why an entry could not be read. Portage would run the ebuild to make a new one.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    #[error("cannot read {}: {error}", path.display())]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("{}, line {line}: there is no `=`", path.display())]
    Malformed { path: PathBuf, line: usize },
}

/// The caches of one repository.
#[derive(Clone, Copy, Debug)]
pub struct MetadataCache<'p> {
    /// The repository, symbolic links resolved, as in EBUILD.
    pub repository: &'p Path,
    /// Portage's own cache: see [`depcachedir`].
    pub depcachedir: &'p Path,
}

/// Where Portage keeps what it found out itself: `PORTAGE_DEPCACHEDIR`, else `/var/cache/edb/dep` in its
/// prefix.
pub fn depcachedir(configured: Option<&str>, eprefix: &Path) -> PathBuf {
    match configured.filter(|folder| !folder.is_empty()) {
        Some(folder) => PathBuf::from(folder),
        None => eprefix.join("var/cache/edb/dep"),
    }
}

impl MetadataCache<'_> {
    /// The metadata of the ebuild `CATEGORY/PF`, from the repository's `metadata/md5-cache`, else from
    /// Portage's own cache. `None` when neither has it; an error when one has it and it cannot be read.
    pub fn find(
        &self,
        category: &str,
        pf: &str,
        read: &ReadPath<'_>,
    ) -> Result<Option<Metadata>, CacheError> {
        if !is_one_component(category) || !is_one_component(pf) {
            return Ok(None);
        }
        let mut failed = None;
        for cache in self.folders() {
            let path = cache.join(category).join(pf);
            match read_entry(&path, read) {
                Ok(Some(metadata)) => return Ok(Some(metadata)),
                Ok(None) => {}
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(None), Err)
    }

    /// Where the entries are, as `CATEGORY/PF` below each: the one that counts first.
    pub fn folders(&self) -> [PathBuf; 2] {
        [self.repository.join("metadata/md5-cache"), self.own()]
    }

    /// The path of the repository is continued below Portage's own cache.
    fn own(&self) -> PathBuf {
        self.depcachedir.join(self.repository.strip_prefix("/").unwrap_or(self.repository))
    }
}

impl Metadata {
    /// Reads the lines `KEY=VALUE` of an entry; the error is the number of the line that is none, from 1.
    pub fn parse(text: &str) -> Result<Self, usize> {
        let mut metadata =
            Self { eapi: Eapi::new(""), restrict: Restrict::default(), src_uri: String::new() };
        for (number, line) in (1usize..).zip(text.lines()) {
            let Some((key, value)) = line.split_once('=') else { return Err(number) };
            match key {
                "EAPI" => metadata.eapi = Eapi::new(value),
                "RESTRICT" => metadata.restrict = Restrict::from_words(value.split_whitespace()),
                "SRC_URI" => value.clone_into(&mut metadata.src_uri),
                _ => {}
            }
        }
        Ok(metadata)
    }

    pub fn src_uri(&self) -> Result<SrcUri, SrcUriError> {
        SrcUri::parse(&self.src_uri, self.eapi)
    }
}

fn read_entry(path: &Path, read: &ReadPath<'_>) -> Result<Option<Metadata>, CacheError> {
    match read(path) {
        Ok(ConfigEntry::File(text)) => Metadata::parse(&text)
            .map(Some)
            .map_err(|line| CacheError::Malformed { path: path.to_path_buf(), line }),
        Ok(ConfigEntry::Folder(_)) => Ok(None),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(CacheError::Unreadable { path: path.to_path_buf(), error }),
    }
}

/// True for a text that leads nowhere but into the folder that it is joined to.
fn is_one_component(text: &str) -> bool {
    let mut components = Path::new(text).components();
    components.next() == Some(Component::Normal(OsStr::new(text))) && components.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::portage::config_files::reader;

    const ENTRY: &str =
        "DEFINED_PHASES=-\nEAPI=8\nRESTRICT=fetch test\nSRC_URI=https://a/x?b=c -> x\n_md5_=00\n";

    fn find(files: &[(&str, &str)], category: &str, pf: &str) -> Result<Option<Metadata>, CacheError> {
        let cache = MetadataCache {
            repository: Path::new("/var/db/repos/gentoo"),
            depcachedir: Path::new("/p/var/cache/edb/dep"),
        };
        cache.find(category, pf, &reader(files))
    }

    #[test]
    fn an_entry() {
        let metadata = Metadata::parse(ENTRY).unwrap();
        assert_eq!(metadata.eapi, Eapi::new("8"));
        assert!(metadata.restrict.fetch && !metadata.restrict.mirror);
        assert_eq!(metadata.src_uri(), SrcUri::parse("https://a/x?b=c -> x", Eapi::new("8")));
        let none = Metadata::parse("SLOT=0\n").unwrap();
        assert_eq!((none.eapi, none.src_uri()), (Eapi::new("0"), Ok(SrcUri::default())));
        assert_eq!(Metadata::parse("SLOT=0\n\nEAPI=8"), Err(2));
    }

    #[test]
    fn the_repository_comes_first_and_a_broken_entry_last() {
        let ours = ("/var/db/repos/gentoo/metadata/md5-cache/a-b/c-1", "EAPI=7\n");
        let own = ("/p/var/cache/edb/dep/var/db/repos/gentoo/a-b/c-1", "EAPI=8\n");
        let broken = (ours.0, "<html>");
        let eapi = |files: &[(&str, &str)]| find(files, "a-b", "c-1").unwrap().unwrap().eapi;
        assert_eq!(eapi(&[ours, own]), Eapi::new("7"));
        assert_eq!(eapi(&[own]), Eapi::new("8"));
        assert_eq!(eapi(&[broken, own]), Eapi::new("8"));
        assert!(find(&[ours, own], "a-b", "c-2").unwrap().is_none());
        let error = find(&[broken], "a-b", "c-1").unwrap_err().to_string();
        assert_eq!(error, format!("{}, line 1: there is no `=`", ours.0));
    }

    #[test]
    fn other_places_are_not_looked_at() {
        let files = [("/etc/shadow", "EAPI=8"), ("/var/db/repos/gentoo/metadata/md5-cache/x", "EAPI=8")];
        for (category, pf) in
            [("/etc", "shadow"), ("..", "md5-cache/x"), ("a", "../x"), ("", "x"), ("x", ".")]
        {
            assert!(find(&files, category, pf).unwrap().is_none(), "{category} {pf}");
        }
    }

    #[test]
    fn where_portage_keeps_its_own() {
        assert_eq!(depcachedir(None, Path::new("/")), Path::new("/var/cache/edb/dep"));
        assert_eq!(depcachedir(Some(""), Path::new("/p")), Path::new("/p/var/cache/edb/dep"));
        assert_eq!(depcachedir(Some("/x"), Path::new("/p")), Path::new("/x"));
    }
}
