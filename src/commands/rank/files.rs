//! Distfiles to try mirrors with: a large one that has been there for long, and two that are new.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::commands::configuration::Configuration;
use crate::commands::environment::{read_config, read_text};
use crate::portage::{DistEntry, Metadata, MetadataCache, manifest};

/// A file of this size or more is long enough to measure with, in bytes.
const LARGE: u64 = 32 << 20;
/// Larger ones are rarely asked for, so that a cache in front of a mirror does not hold them.
const TOO_LARGE: u64 = 1 << 30;
/// As many of each kind are looked for: some may be missing on the mirrors for reasons that no Manifest tells.
const LARGE_FILES: usize = 6;
const NEW_FILES: usize = 2;
/// A file that came into the repository less than this ago may still be under way to the mirrors, in seconds.
const ARRIVED: u64 = 24 * 3600;
/// So many Manifests are read at most, the newest first, to find new files.
const NEWEST_MANIFESTS: usize = 60;

/// Categories whose packages have large files that everybody fetches; they are looked through first.
const LARGE_ONES: [&str; 5] = ["sys-kernel", "sys-devel", "dev-lang", "www-client", "app-office"];

/// What mirrors are tried with.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// Any of these is to be measured with, the first that mirrors have.
    pub(super) large: Vec<DistEntry>,
    pub(super) new: Vec<DistEntry>,
}

/// Looks into the main repository. `now` in UNIX seconds.
pub(super) fn find(configuration: &Configuration<'_>, now: u64) -> Files {
    let repositories = configuration.repositories();
    let Some(main) = repositories.main() else { return Files::default() };
    let categories = repositories.categories(configuration.system().configroot, &read_config);
    let mut manifests = repositories.manifests(&categories, &read_config);
    manifests.retain(|manifest| manifest.starts_with(&main.location));
    let location = fs::canonicalize(&main.location).unwrap_or_else(|_| main.location.clone());
    let depcachedir = configuration.depcachedir();
    let cache = MetadataCache { repository: &location, depcachedir: &depcachedir };
    Files { large: large(&manifests, &cache), new: new(&manifests, &cache, now) }
}

fn large(manifests: &[PathBuf], cache: &MetadataCache<'_>) -> Vec<DistEntry> {
    let is_likely = |path: &&PathBuf| {
        let category = path.ancestors().nth(2).and_then(Path::file_name).and_then(|name| name.to_str());
        category.is_some_and(|category| LARGE_ONES.contains(&category))
    };
    let likely = manifests.iter().filter(is_likely);
    let others = manifests.iter().filter(|path| !is_likely(path));
    let of_package = |path: &PathBuf| {
        let is_large = |entry: &DistEntry| (LARGE..TOO_LARGE).contains(&entry.size);
        let entries: Vec<DistEntry> = entries(path).into_iter().filter(is_large).collect();
        on_mirrors(path, entries, cache).into_iter().next()
    };
    likely.chain(others).filter_map(of_package).take(LARGE_FILES).collect()
}

/// Of each package with a new Manifest the last file: newer versions stand behind older ones as a rule.
fn new(manifests: &[PathBuf], cache: &MetadataCache<'_>, now: u64) -> Vec<DistEntry> {
    let changed = |path: &PathBuf| {
        let since = fs::metadata(path).ok()?.modified().ok()?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        Some((since.as_secs(), path.clone()))
    };
    let mut dated: Vec<(u64, PathBuf)> = manifests.iter().filter_map(changed).collect();
    dated.retain(|(at, _)| at.saturating_add(ARRIVED) <= now);
    dated.sort_unstable_by(|a, b| b.cmp(a));
    let last = |(_, path): &(u64, PathBuf)| on_mirrors(path, entries(path), cache).pop();
    dated.iter().take(NEWEST_MANIFESTS).filter_map(last).take(NEW_FILES).collect()
}

fn entries(manifest: &Path) -> Vec<DistEntry> {
    let text = read_text(manifest).unwrap_or_default();
    manifest::entries(&text).filter_map(Result::ok).collect()
}

/// The files of a package that the mirrors are allowed to have, by its metadata: all, when there are none.
fn on_mirrors(manifest: &Path, entries: Vec<DistEntry>, cache: &MetadataCache<'_>) -> Vec<DistEntry> {
    if entries.is_empty() {
        return entries;
    }
    let mut known = false;
    let mut allowed: BTreeSet<String> = BTreeSet::new();
    for metadata in metadata(manifest, cache) {
        known = true;
        if metadata.restrict.mirror || metadata.restrict.fetch {
            continue;
        }
        if let Ok(files) = metadata.src_uri() {
            allowed.extend(files.names().map(ToString::to_string));
        }
    }
    entries.into_iter().filter(|entry| !known || allowed.contains(entry.name.as_str())).collect()
}

/// The metadata of all versions of a package.
fn metadata(manifest: &Path, cache: &MetadataCache<'_>) -> Vec<Metadata> {
    let Some(package) = manifest.parent() else { return Vec::new() };
    let Some(category) = package.parent().and_then(Path::file_name) else { return Vec::new() };
    let ebuilds = fs::read_dir(package).map_or_else(|_| Vec::new(), |entries| entries.flatten().collect());
    let versions = ebuilds.iter().filter_map(|entry| {
        let name = entry.file_name();
        name.to_str()?.strip_suffix(".ebuild").map(str::to_owned)
    });
    let find = |pf: String| cache.find(category.to_str()?, &pf, &read_config).ok().flatten();
    versions.filter_map(find).collect()
}
