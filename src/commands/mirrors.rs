//! Which mirrors there are: those that were named, else those that Portage is configured with.

use std::str::FromStr;

use super::environment::{read_config, read_text};
use crate::mirror::MirrorKey;
use crate::portage::{MakeConf, MirrorBase, MirrorGroups, PortageCall, Tiers, mirror_groups};

/// `given` (`--mirrors`), else `RACEFETCH_MIRRORS`.
pub(super) fn named(given: Option<&[String]>, call: &PortageCall) -> Vec<MirrorBase> {
    let given = given.filter(|mirrors| !mirrors.is_empty());
    let variable = || call.mirrors.as_ref().map(|list| list.split_whitespace().map(str::to_owned).collect());
    parse(&given.map(<[String]>::to_vec).or_else(variable).unwrap_or_default())
}

/// The group `local` of `/etc/portage/mirrors`, and `GENTOO_MIRRORS` of make.conf and make.globals.
pub(super) fn configured(call: &PortageCall) -> Vec<MirrorBase> {
    let conf = MakeConf::of_system(&call.eprefix, &call.configroot, &read_config);
    let mut groups = MirrorGroups::default();
    groups.read(&read_text(&call.configroot.join("etc/portage/mirrors")).unwrap_or_default());
    let mut mirrors = groups.mirrors(mirror_groups::LOCAL).to_vec();
    mirrors.extend(conf.gentoo_mirrors());
    parse(&mirrors)
}

/// `RACEFETCH_TIERS`, and `given` (`--tier`), which goes before it; and what of the former makes no sense, a line
/// each.
pub(super) fn tiers(given: &Tiers, call: &PortageCall) -> (Tiers, Vec<String>) {
    let mut tiers = Tiers::default();
    let errors = tiers.add_list(call.tiers.as_deref().unwrap_or_default());
    (tiers.overridden_by(given), errors.iter().map(|error| format!("RACEFETCH_TIERS: {error}")).collect())
}

/// Under which a mirror's figures are kept.
pub(super) fn key(mirror: &MirrorBase) -> MirrorKey {
    MirrorKey::new(&mirror.to_string())
}

/// Words that are no mirrors of ours (ftp, rsync) are passed over.
fn parse(words: &[String]) -> Vec<MirrorBase> {
    let mut mirrors: Vec<MirrorBase> = Vec::new();
    for mirror in words.iter().filter_map(|word| MirrorBase::from_str(word).ok()) {
        if !mirrors.contains(&mirror) {
            mirrors.push(mirror);
        }
    }
    mirrors
}
