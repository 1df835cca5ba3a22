//! What is to be fetched: emerge's list and the Manifests, brought together. No I/O.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::portage::mirror_uri::base_of;
use crate::portage::{
    Digests, DistEntry, Distfile, LayoutConf, Listed, ListedFile, ManifestIndex, MirrorBase,
};

/// A distfile of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Planned {
    /// It has a Manifest.
    Known(Box<Known>),
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

/// The mirrors of the list that nobody named: it may be from another machine. They are known by their layout.
pub(super) fn mirrors_of(files: &[ListedFile], known: &[MirrorBase]) -> Vec<MirrorBase> {
    let layout = LayoutConf::parse(crate::commands::layouts::USUAL_LAYOUT).unwrap_or_default();
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
    renamed: &BTreeMap<String, Distfile>,
) -> Vec<Planned> {
    let mut known: BTreeMap<Distfile, Known> = BTreeMap::new();
    let mut unknown = BTreeMap::new();
    for file in files {
        let names: Vec<String> = match file.uris.iter().find_map(|uri| renamed.get(uri)) {
            Some(name) if !file.is_at(mirrors) => vec![name.to_string()],
            _ => file.names(mirrors),
        };
        match find(&names, index) {
            Ok(Listed { entry, manifest }) => {
                let all = known.entry(entry.name.clone()).or_insert_with(|| {
                    let (entry, manifest) = (entry.clone(), manifest.clone());
                    Known { entry, manifest, file: ListedFile::default() }
                });
                let new: Vec<_> = file.uris.into_iter().filter(|uri| !all.file.uris.contains(uri)).collect();
                all.file.uris.extend(new);
            }
            Err(why) => {
                unknown.insert(names.into_iter().next().unwrap_or_default(), why);
            }
        }
    }
    let unknown = unknown.into_iter().map(|(name, why)| Planned::Unknown { name, why });
    known.into_values().map(|known| Planned::Known(Box::new(known))).chain(unknown).collect()
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
        let renamed = [("https://up/v2.tar".to_owned(), Distfile::new("c-2.tar").unwrap())].into();
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

    #[test]
    fn the_layout_gives_mirrors_away() {
        let layout = LayoutConf::parse(crate::commands::layouts::USUAL_LAYOUT).unwrap();
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
