//! Where upstream keeps the distfiles of a package: `SRC_URI` of the metadata cache.

use super::configuration::Configuration;
use super::environment::read_config;
use crate::portage::{Distfile, Groups, MetadataCache, MirrorGroups, PlaceKind, Places, Restrict, SrcUri};

/// Upstream's places of one package's files.
pub(super) struct Upstream {
    src_uri: SrcUri,
    restrict: Restrict,
    custom: MirrorGroups,
    third_party: MirrorGroups,
    /// FEATURES=force-mirror: only mirrors and groups of them are asked.
    mirrors_only: bool,
}

impl Upstream {
    /// Reads the metadata cache for the package that Portage fetches for; none when there is no entry.
    pub(super) fn of_call(configuration: &Configuration<'_>) -> Option<Self> {
        let call = &configuration.call;
        let depcachedir = configuration.depcachedir();
        let cache = MetadataCache { repository: call.repository()?, depcachedir: &depcachedir };
        let metadata = cache.find(call.category.as_deref()?, call.pf.as_deref()?, &read_config).ok()??;
        Some(Self {
            src_uri: metadata.src_uri().ok()?,
            restrict: Restrict::from_words(call.restrict.iter().map(String::as_str)),
            custom: configuration.mirror_groups(),
            third_party: configuration.repositories().third_party_mirrors(&read_config),
            mirrors_only: configuration.features().split_whitespace().any(|word| word == "force-mirror"),
        })
    }

    pub(super) fn places(&self, name: &Distfile) -> Option<Places> {
        let groups = Groups { custom: &self.custom, third_party: &self.third_party };
        let mut places = self.src_uri.places(name, self.restrict, groups)?;
        if self.mirrors_only {
            places.before_mirrors.retain(|place| place.kind != PlaceKind::Upstream);
            places.after_mirrors.retain(|place| place.kind != PlaceKind::Upstream);
        }
        Some(places)
    }
}
