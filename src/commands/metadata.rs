//! Looks for URIs in the metadata of all ebuilds, which are tens of thousands of small files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use super::configuration::Configuration;
use super::environment::read_text;
use super::manifests::in_shares;
use crate::portage::{Distfile, Metadata, MetadataCache};

/// The distfiles that come from these URIs, as far as `SRC_URI` of some ebuild has them. Several may come from one:
/// upstream calls the newest version by the same name as the one before.
pub(super) fn names_of(
    configuration: &Configuration<'_>,
    uris: &BTreeSet<String>,
) -> BTreeMap<String, BTreeSet<Distfile>> {
    let lasts: BTreeSet<&str> = uris.iter().filter_map(|uri| last_component(uri)).collect();
    let entries = entries(configuration);
    let shares = in_shares(&entries, |share| {
        let mut names = Vec::new();
        for entry in share {
            let Ok(text) = read_text(entry) else { continue };
            let mut words = text.split_ascii_whitespace();
            // Only entries that contain one of the URIs are parsed.
            if !words.any(|word| last_component(word).is_some_and(|last| lasts.contains(last))) {
                continue;
            }
            let Some(files) = Metadata::parse(&text).ok().and_then(|metadata| metadata.src_uri().ok()) else {
                continue;
            };
            let found = uris.iter().flat_map(|uri| files.find(uri).map(move |name| (uri, name)));
            names.extend(found.map(|(uri, name)| (uri.clone(), name.clone())));
        }
        names
    });
    let mut names: BTreeMap<String, BTreeSet<Distfile>> = BTreeMap::new();
    for (uri, name) in shares.into_iter().flatten() {
        names.entry(uri).or_default().insert(name);
    }
    names
}

/// The metadata of all ebuilds of all repositories, those of the most important repository last.
fn entries(configuration: &Configuration<'_>) -> Vec<PathBuf> {
    let depcachedir = configuration.depcachedir();
    let mut entries = Vec::new();
    for repository in configuration.repositories().iter() {
        // As in EBUILD, links are resolved.
        let location = fs::canonicalize(&repository.location).unwrap_or_else(|_| repository.location.clone());
        let cache = MetadataCache { repository: &location, depcachedir: &depcachedir };
        for category in cache.folders().iter().rev().flat_map(list) {
            entries.extend(list(&category));
        }
    }
    entries
}

fn list(folder: &PathBuf) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries.flatten().map(|entry| entry.path()).collect()
}

fn last_component(uri: &str) -> Option<&str> {
    uri.rsplit_once('/').map(|(_, last)| last)
}
