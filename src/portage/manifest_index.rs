//! What the Manifests of all repositories say of some distfiles.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::distfile::Distfile;
use super::manifest::{self, DistEntry, ManifestError};

/// What one Manifest says of a distfile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub entry: DistEntry,
    /// The Manifest.
    pub manifest: Arc<Path>,
}

/// The DIST lines of many Manifests, by the names of the distfiles. Manifests may disagree about a name: all
/// that they say is kept, and what several of them say is kept once.
#[derive(Debug, Default)]
pub struct ManifestIndex {
    listed: HashMap<Distfile, Vec<Listed>>,
    problems: Vec<String>,
}

impl ManifestIndex {
    /// Adds the DIST lines of one Manifest whose names are `wanted`; the others are not even parsed.
    pub fn add(&mut self, manifest: &Path, text: &str, wanted: impl Fn(&str) -> bool) {
        let mut manifest_path: Option<Arc<Path>> = None;
        for (number, line) in (1..).zip(text.lines()) {
            if !dist_name(line).is_some_and(&wanted) {
                continue;
            }
            for entry in manifest::entries(line) {
                match entry {
                    Ok(entry) => {
                        let manifest = manifest_path.get_or_insert_with(|| manifest.into());
                        self.insert(Listed { entry, manifest: manifest.clone() });
                    }
                    Err(ManifestError { reason, .. }) => {
                        self.problems.push(format!("{}, line {number}: {reason}", manifest.display()));
                    }
                }
            }
        }
    }

    /// Notes what was wrong with a Manifest.
    pub fn note(&mut self, problem: String) {
        self.problems.push(problem);
    }

    /// Adds all of another index.
    pub fn merge(&mut self, other: Self) {
        self.problems.extend(other.problems);
        for listed in other.listed.into_values().flatten() {
            self.insert(listed);
        }
    }

    /// What the Manifests say of a distfile: nothing, or one or several descriptions that differ.
    pub fn find(&self, name: &Distfile) -> &[Listed] {
        self.listed.get(name).map_or(&[], Vec::as_slice)
    }

    /// The wanted lines that could not be read, and what was noted.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    fn insert(&mut self, new: Listed) {
        let known = self.listed.entry(new.entry.name.clone()).or_default();
        // Within one Manifest the later line counts.
        known.retain(|listed| listed.manifest != new.manifest);
        if !known.iter().any(|listed| listed.entry == new.entry) {
            known.push(new);
        }
    }
}

/// The second word of a DIST line.
fn dist_name(line: &str) -> Option<&str> {
    line.strip_prefix("DIST")?.strip_prefix([' ', '\t'])?.split_ascii_whitespace().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str, size: u64, byte: &str) -> String {
        format!("DIST {name} {size} SHA256 {}\n", byte.repeat(32))
    }

    fn index(manifests: &[(&str, &[String])]) -> ManifestIndex {
        let mut all = ManifestIndex::default();
        for (path, lines) in manifests {
            let mut one = ManifestIndex::default();
            one.add(Path::new(path), &lines.concat(), |name| name.starts_with('w'));
            all.merge(one);
        }
        all
    }

    fn sizes(index: &ManifestIndex, name: &str) -> Vec<(u64, String)> {
        let listed = index.find(&Distfile::new(name).unwrap());
        listed.iter().map(|listed| (listed.entry.size, listed.manifest.display().to_string())).collect()
    }

    #[test]
    fn all_that_is_said_of_the_wanted() {
        let index = index(&[
            ("/a", &[line("w", 1, "aa"), line("x", 1, "aa"), "AUX w 1 SHA256 00\n".to_owned()]),
            ("/b", &[line("w", 1, "aa"), line("w2", 2, "bb")]),
            ("/c", &[line("w", 1, "cc"), "DIST w3\n".to_owned(), "DIST x3\n".to_owned()]),
            ("/d", &[line("w4", 1, "aa"), line("w4", 2, "aa")]),
        ]);
        assert_eq!(sizes(&index, "w"), [(1, "/a".to_owned()), (1, "/c".to_owned())]);
        assert_eq!(sizes(&index, "w2"), [(2, "/b".to_owned())]);
        assert_eq!(sizes(&index, "w4"), [(2, "/d".to_owned())]);
        assert!(sizes(&index, "x").is_empty() && sizes(&index, "w3").is_empty());
        let problem = "/c, line 2: the line is not DIST, a name, a size, and pairs of algorithm and digest";
        assert_eq!(index.problems(), [problem]);
    }
}
