//! Which mirrors there are: those that were named, else those that Portage is configured with.

use std::collections::HashSet;
use std::str::FromStr;

use super::configuration::Configuration;
use crate::http::Url;
use crate::mirror::{FileKey, MirrorKey};
use crate::portage::mirror_uri::split;
use crate::portage::{Algorithm, Digest, Digests, Distfile, MirrorBase, PortageCall, Tiers, mirror_groups};

/// `given` (`--mirrors`), else `RACEFETCH_MIRRORS`: where they were named, and the words there.
fn words(given: Option<&[String]>, call: &PortageCall) -> (&'static str, Vec<String>) {
    if let Some(mirrors) = given.filter(|mirrors| !mirrors.is_empty()) {
        return ("--mirrors", mirrors.to_vec());
    }
    let list = call.mirrors.as_deref().unwrap_or_default();
    ("RACEFETCH_MIRRORS", list.split_whitespace().map(str::to_owned).collect())
}

fn named(given: Option<&[String]>, call: &PortageCall) -> Vec<MirrorBase> {
    parse(&words(given, call).1)
}

/// What is wrong with the mirrors that were named, one line for each word that Portage could not use either.
pub(super) fn misspelt(given: Option<&[String]>, call: &PortageCall) -> Vec<String> {
    let (place, words) = words(given, call);
    // Portage's own: folders, and what it would fetch by other programs.
    let is_portages =
        |word: &&String| ["/", "ftp://", "rsync://", "file://"].iter().any(|begin| word.starts_with(begin));
    let words = words.iter().filter(|word| !is_portages(word));
    let wrong = words.filter_map(|word| MirrorBase::from_str(word).err());
    wrong.map(|error| format!("{place}: {error}: it is left out")).collect()
}

/// The group `local` of `/etc/portage/mirrors`, and `GENTOO_MIRRORS` of the environment, make.conf or make.globals.
fn configured(configuration: &Configuration<'_>) -> Vec<MirrorBase> {
    let mut mirrors = configuration.mirror_groups().mirrors(mirror_groups::LOCAL).to_vec();
    mirrors.extend(configuration.gentoo_mirrors());
    parse(&mirrors)
}

/// The mirrors: those named, else those configured.
pub(super) fn known(given: Option<&[String]>, configuration: &Configuration<'_>) -> Vec<MirrorBase> {
    let named = named(given, &configuration.call);
    if named.is_empty() { configured(configuration) } else { named }
}

/// The mirrors: those named, unless the URI lies under none of them and there are others in the configuration.
pub(super) fn mirrors_for<'c>(
    asked: &str,
    given: Option<&[String]>,
    call: &PortageCall,
    configuration: impl FnOnce() -> &'c Configuration<'c>,
) -> Vec<MirrorBase> {
    let named = named(given, call);
    if split(asked, &named).is_some() {
        return named;
    }
    // `--mirrors` may hold an unexpanded or outdated list, or nothing.
    let configured = configured(configuration());
    if configured.is_empty() { named } else { configured }
}

/// The tiers of `RACEFETCH_TIERS` and `given` (`--tier`), which counts more; and what is wrong with the
/// former, one line for each word.
pub(super) fn tiers(given: &Tiers, call: &PortageCall) -> (Tiers, Vec<String>) {
    let mut tiers = Tiers::default();
    let errors = tiers.add_list(call.tiers.as_deref().unwrap_or_default());
    (tiers.overridden_by(given), errors.iter().map(|error| format!("RACEFETCH_TIERS: {error}")).collect())
}

/// The key under which a mirror's figures are kept.
pub(super) fn key(mirror: &MirrorBase) -> MirrorKey {
    MirrorKey::new(&mirror.to_string())
}

/// The key of a place that is no mirror: its scheme and host.
pub(super) fn origin(url: &Url) -> MirrorKey {
    MirrorKey::new(&format!("{}://{}", url.scheme.name(), url.authority()))
}

/// The key under which notes about a file are kept.
pub(super) fn file_key(name: &Distfile, digests: &Digests) -> FileKey {
    let digest = Algorithm::ALL.into_iter().find_map(|algorithm| digests.get(algorithm));
    FileKey::new(name.as_str(), digest.map(Digest::hex).as_deref())
}

/// Leaves out words that this program cannot fetch from (ftp, rsync), and repeated mirrors.
fn parse(words: &[String]) -> Vec<MirrorBase> {
    let mut seen = HashSet::new();
    let mirrors = words.iter().filter_map(|word| MirrorBase::from_str(word).ok());
    mirrors.filter(|mirror| seen.insert(mirror.clone())).collect()
}
