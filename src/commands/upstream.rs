//! Where upstream keeps the distfiles of a package: `SRC_URI` of the metadata cache.

use super::configuration::Configuration;
use super::environment::read_config;
use crate::portage::{Distfile, Groups, MetadataCache, MirrorGroups, Places, Restrict, SrcUri};

/// Upstream's places of one package's files.
pub(super) struct Upstream {
    src_uri: SrcUri,
    restrict: Restrict,
    custom: MirrorGroups,
    third_party: MirrorGroups,
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
        })
    }

    pub(super) fn places(&self, name: &Distfile) -> Option<Places> {
        let groups = Groups { custom: &self.custom, third_party: &self.third_party };
        self.src_uri.places(name, self.restrict, groups)
    }
}
