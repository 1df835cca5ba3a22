//! What is to be fetched: emerge's list and the Manifests, brought together. No I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use crate::commands::places::usual_layout;
use crate::portage::fetch_list::is_binary_package;
use crate::portage::mirror_uri::base_of;
use crate::portage::{Digests, DistEntry, Distfile, Listed, ListedFile, ManifestIndex, MirrorBase};

/// An entry of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Planned {
    /// A distfile that has a Manifest.
    Known(Box<Known>),
    /// Distfiles of which the list does not say which one is meant.
    OneOf(Box<OneOf>),
    /// A binary package, which no Manifest knows: by its URI.
    BinaryPackage(String),
    /// Nobody knows what it must be; why.
    Unknown { name: String, why: String },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) entry: DistEntry,
    /// The Manifest.
    pub(super) manifest: Arc<Path>,
    pub(super) file: ListedFile,
}

/// Distfiles that come from the same URIs: upstream calls each new version by the name of the one before. emerge
/// prints the URIs without saying whose they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct OneOf {
    /// By name; at least two.
    pub(super) entries: Vec<DistEntry>,
    pub(super) file: ListedFile,
    /// How many of them emerge wants.
    pub(super) listed: usize,
}

/// The mirrors of the list that nobody named: it may be from another machine. They are known by their layout.
pub(super) fn mirrors_of(files: &[ListedFile], known: &[MirrorBase]) -> Vec<MirrorBase> {
    let layout = usual_layout();
    let mut mirrors = known.to_vec();
    for file in files.iter().filter(|file| !file.is_at(known)) {
        // The name stands in each URI; digests are not part of that layout.
        let names = file.names(&[]);
        let paths: Vec<String> = names.iter().map(|name| layout.path(name, &Digests::default())).collect();
        for base in file.uris.iter().filter_map(|uri| paths.iter().find_map(|path| base_of(uri, path))) {
            if !mirrors.contains(&base) {
                mirrors.push(base);
            }
        }
    }
    mirrors
}

/// Each distfile once, by its name. `renamed` has the names that distfiles have at these URIs.
pub(super) fn plan(
    files: Vec<ListedFile>,
    mirrors: &[MirrorBase],
    index: &ManifestIndex,
    renamed: &BTreeMap<String, BTreeSet<Distfile>>,
) -> Vec<Planned> {
    let mut known: BTreeMap<Distfile, Known> = BTreeMap::new();
    let (mut unknown, mut several, mut packages) = (BTreeMap::new(), Vec::new(), BTreeSet::new());
    for file in files {
        let names = if file.is_at(mirrors) { Vec::new() } else { names_at_all(&file, renamed) };
        // Each name is a distfile of its own; without any, these are spellings of one name.
        let mut found: Vec<Result<&Listed, String>> =
            names.iter().map(|name| find(&[name.to_string()], index)).collect();
        let names: Vec<String> = if found.is_empty() {
            let names = file.names(mirrors);
            found.push(find(&names, index));
            names
        } else {
            names.iter().map(ToString::to_string).collect()
        };
        let listed: Vec<&Listed> = found.iter().filter_map(|found| found.as_ref().ok().copied()).collect();
        match listed.as_slice() {
            [] => {
                if let Some(uri) = file.uris.iter().find(|uri| is_binary_package(uri)) {
                    packages.insert(uri.clone());
                    continue;
                }
                let why = found.into_iter().find_map(Result::err).unwrap_or_default();
                unknown.insert(names.into_iter().next().unwrap_or_default(), why);
            }
            [one] => add(&mut known, one, file.uris),
            _ => several.push((listed, file)),
        }
    }
    let groups = groups(several, &mut known);
    let unknown = unknown.into_iter().map(|(name, why)| Planned::Unknown { name, why });
    let known = known.into_values().map(|known| Planned::Known(Box::new(known)));
    let groups = groups.into_iter().map(|group| Planned::OneOf(Box::new(group)));
    known.chain(groups).chain(packages.into_iter().map(Planned::BinaryPackage)).chain(unknown).collect()
}

/// The names that a distfile may have when it comes from each of its URIs; where there are none, from any of them.
fn names_at_all<'r>(
    file: &ListedFile,
    renamed: &'r BTreeMap<String, BTreeSet<Distfile>>,
) -> Vec<&'r Distfile> {
    let sets: Vec<&BTreeSet<Distfile>> = file.uris.iter().filter_map(|uri| renamed.get(uri)).collect();
    let all: BTreeSet<&Distfile> = sets.iter().flat_map(|set| set.iter()).collect();
    let at_all = |name: &&&Distfile| sets.iter().all(|set| set.contains(**name));
    let common: Vec<&Distfile> = all.iter().filter(at_all).copied().collect();
    if common.is_empty() { all.into_iter().collect() } else { common }
}

/// Notes that a distfile is wanted, and where it is.
fn add(known: &mut BTreeMap<Distfile, Known>, listed: &Listed, uris: Vec<String>) {
    let Listed { entry, manifest } = listed;
    let all = known.entry(entry.name.clone()).or_insert_with(|| {
        let (entry, manifest) = (entry.clone(), manifest.clone());
        Known { entry, manifest, file: ListedFile::default() }
    });
    all.file.add(uris);
}

/// Brings together the lines that mean one of the same distfiles. Those that another line means for certain are not
/// meant by these; what is the only one left then is known.
fn groups(several: Vec<(Vec<&Listed>, ListedFile)>, known: &mut BTreeMap<Distfile, Known>) -> Vec<OneOf> {
    let certain: BTreeSet<Distfile> = known.keys().cloned().collect();
    let mut groups: BTreeMap<Vec<Distfile>, OneOf> = BTreeMap::new();
    for (listed, file) in several {
        let left: Vec<&Listed> =
            listed.into_iter().filter(|listed| !certain.contains(&listed.entry.name)).collect();
        match left.as_slice() {
            [] => {}
            [one] => add(known, one, file.uris),
            several => {
                let names = several.iter().map(|listed| listed.entry.name.clone()).collect();
                let group = groups.entry(names).or_default();
                group.entries = several.iter().map(|listed| listed.entry.clone()).collect();
                group.listed = (group.listed + 1).min(several.len());
                group.file.add(file.uris);
            }
        }
    }
    groups.into_values().collect()
}

/// What the Manifests say of a distfile with one of these names.
fn find<'i>(names: &[String], index: &'i ManifestIndex) -> Result<&'i Listed, String> {
    let distfiles = names.iter().filter_map(|name| Distfile::new(name).ok());
    let listed = distfiles.map(|name| index.find(&name)).find(|listed| !listed.is_empty());
    match listed {
        None => Err("no Manifest names it".to_owned()),
        Some([one]) if one.entry.size == 0 || one.entry.digests.is_empty() => {
            Err(format!("{} has no digest of it that could be computed", one.manifest.display()))
        }
        Some([one]) => Ok(one),
        Some(several) => {
            let manifests: Vec<_> = several.iter().map(|l| l.manifest.display().to_string()).collect();
            Err(format!("{} do not agree on it", manifests.join(" and ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::places::usual_layout;
    use crate::portage::fetch_list::parse;
    use std::path::Path;

    fn index(lines: &[(&str, &str, u64)]) -> ManifestIndex {
        let mut index = ManifestIndex::default();
        for (manifest, name, size) in lines {
            let line = format!("DIST {name} {size} SHA256 {}\n", "ab".repeat(32));
            let mut one = ManifestIndex::default();
            one.add(Path::new(manifest), &line, |_| true);
            index.merge(one);
        }
        index
    }

    fn shown(plan: &[Planned]) -> Vec<String> {
        let one = |planned: &Planned| match planned {
            Planned::Known(known) => {
                let Known { entry, file, .. } = &**known;
                format!("{} {}: {}", entry.name, entry.size, file.uris.join(" "))
            }
            Planned::OneOf(group) => {
                let OneOf { entries, file, listed } = &**group;
                let names: Vec<String> =
                    entries.iter().map(|entry| format!("{} {}", entry.name, entry.size)).collect();
                format!("{listed} of {}: {}", names.join(", "), file.uris.join(" "))
            }
            Planned::BinaryPackage(uri) => format!("package {uri}"),
            Planned::Unknown { name, why } => format!("{name}? {why}"),
        };
        plan.iter().map(one).collect()
    }

    #[test]
    fn names_manifests_and_parts_come_together() {
        let list = "\
http://m/distfiles/63/a-1.tar\n\nhttp://n/distfiles/63/a-1.tar https://up/v1.tar\n
http://m/distfiles/00/b.tar\n
https://up/v2.tar\n
https://up/d.tar\n
https://up/e.tar\n
ftp://up/none\n";
        let mirrors = ["http://m".parse().unwrap(), "http://n".parse().unwrap()];
        let index = index(&[
            ("/r/a/a/Manifest", "a-1.tar", 5),
            ("/r/a/b/Manifest", "b.tar", 7),
            ("/r/a/c/Manifest", "c-2.tar", 6),
            ("/r/a/d/Manifest", "d.tar", 1),
            ("/s/a/d/Manifest", "d.tar", 2),
            ("/r/a/e/Manifest", "e.tar", 0),
        ]);
        let renamed = renamed(&[("https://up/v2.tar", &["c-2.tar"])]);
        assert_eq!(
            shown(&plan(parse(list), &mirrors, &index, &renamed)),
            [
                "a-1.tar 5: http://m/distfiles/63/a-1.tar http://n/distfiles/63/a-1.tar https://up/v1.tar",
                "b.tar 7: http://m/distfiles/00/b.tar",
                "c-2.tar 6: https://up/v2.tar",
                "d.tar? /r/a/d/Manifest and /s/a/d/Manifest do not agree on it",
                "e.tar? /r/a/e/Manifest has no digest of it that could be computed",
                "none? no Manifest names it",
            ]
        );
    }

    fn renamed(names: &[(&str, &[&str])]) -> BTreeMap<String, BTreeSet<Distfile>> {
        let set = |names: &[&str]| names.iter().map(|name| Distfile::new(name).unwrap()).collect();
        names.iter().map(|(uri, names)| ((*uri).to_owned(), set(names))).collect()
    }

    #[test]
    fn every_name_that_a_uri_may_have_is_planned() {
        let index = index(&[
            ("/r/a/l/Manifest", "l-1", 5),
            ("/r/a/l/Manifest", "l-2", 6),
            ("/r/a/l/Manifest", "l-3", 7),
            ("/r/a/m/Manifest", "m-1", 8),
        ]);
        let renamed = renamed(&[
            ("https://up/l", &["l-1", "l-2", "l-3", "gone-0"]),
            ("https://up/old/l", &["l-1"]),
            ("https://up/two", &["l-2", "l-3"]),
            ("https://up/m", &["gone-1", "m-1"]),
            ("https://up/gone", &["gone-1", "gone-2"]),
        ]);
        for (list, planned) in [
            ("https://up/l\n", &["1 of l-1 5, l-2 6, l-3 7: https://up/l"] as &[&str]),
            ("https://up/l\n\nhttps://up/l\n", &["2 of l-1 5, l-2 6, l-3 7: https://up/l"]),
            // One of the URIs is of one version only.
            ("https://up/l https://up/old/l\n", &["l-1 5: https://up/l https://up/old/l"]),
            ("https://up/l https://up/two\n", &["1 of l-2 6, l-3 7: https://up/l https://up/two"]),
            // What is listed for certain is not meant by the other line.
            (
                "http://m/distfiles/00/l-1 https://up/two\n\nhttps://up/l\n\nhttps://up/old/l\n",
                &[
                    "l-1 5: http://m/distfiles/00/l-1 https://up/two https://up/old/l",
                    "1 of l-2 6, l-3 7: https://up/l",
                ],
            ),
            (
                "https://up/two\n\nhttp://m/distfiles/00/l-2\n",
                &["l-2 6: http://m/distfiles/00/l-2", "l-3 7: https://up/two"],
            ),
            ("https://up/m\n", &["m-1 8: https://up/m"]),
            ("https://up/gone\n", &["gone-1? no Manifest names it"]),
            (
                "http://bin/x-1-1.gpkg.tar\nhttps://up/m\n",
                &["m-1 8: https://up/m", "package http://bin/x-1-1.gpkg.tar"],
            ),
        ] {
            let mirrors = ["http://m".parse().unwrap()];
            assert_eq!(shown(&plan(parse(list), &mirrors, &index, &renamed)), planned, "{list}");
        }
    }

    #[test]
    fn the_layout_gives_mirrors_away() {
        let layout = usual_layout();
        let path = layout.path("a.tar", &Digests::default());
        let list = format!("https://far/gentoo/distfiles/{path} https://dev.example/~me/distfiles/a.tar\n");
        let known = ["http://m".parse().unwrap()];
        let mirrors = mirrors_of(&parse(&list), &known);
        assert_eq!(
            mirrors.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["http://m", "https://far/gentoo"]
        );
    }
}
