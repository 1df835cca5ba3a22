//! What Portage is configured with: make.conf, repos.conf, `/etc/portage/mirrors`.

use std::path::{Path, PathBuf};

use super::Environment;
use super::environment::{read_config, read_text};
use crate::portage::metadata_cache::depcachedir;
use crate::portage::repos_conf::System;
use crate::portage::{DistLocks, MakeConf, MirrorGroups, PortageCall, Repositories, distlock};

/// The configuration, in which the environment outweighs the files, as in Portage.
pub(super) struct Configuration<'e> {
    environment: &'e Environment,
    pub(super) call: PortageCall,
    pub(super) conf: MakeConf,
}

impl<'e> Configuration<'e> {
    pub(super) fn read(environment: &'e Environment) -> Self {
        let call = environment.portage_call();
        let conf = MakeConf::of_system(&call.eprefix, &call.configroot, &read_config);
        // Portage hands on what make.conf sets for us; here nobody did.
        let call = environment.portage_call_with(|name| conf.get(name));
        Self { environment, call, conf }
    }

    pub(super) fn distdir(&self) -> Option<PathBuf> {
        let distdir =
            self.environment.text("DISTDIR").or_else(|| self.conf.get("DISTDIR").map(str::to_owned));
        distdir.filter(|path| !path.is_empty()).map(PathBuf::from)
    }

    /// The locks of a DISTDIR. A process takes them from one such value, see [`DistLocks`].
    pub(super) fn locks(&self, distdir: &Path) -> DistLocks {
        DistLocks::new(distdir, distlock::are_enabled(&self.features()))
    }

    /// FEATURES, what counts most last.
    pub(super) fn features(&self) -> String {
        let configured = self.conf.get("FEATURES").unwrap_or_default();
        [configured, &self.environment.text("FEATURES").unwrap_or_default()].join(" ")
    }

    /// `PORTAGE_RO_DISTDIRS`: folders whose files Portage links to.
    pub(super) fn read_only_distdirs(&self) -> Vec<PathBuf> {
        let variable = self.environment.text("PORTAGE_RO_DISTDIRS");
        let text = variable.as_deref().or_else(|| self.conf.get("PORTAGE_RO_DISTDIRS")).unwrap_or_default();
        text.split_whitespace().map(|word| PathBuf::from(word.trim_matches(['"', '\'']))).collect()
    }

    pub(super) fn repositories(&self) -> Repositories {
        let variable = self.environment.text("PORTAGE_REPOSITORIES");
        Repositories::of_system(self.system(), variable.as_deref(), &read_config)
    }

    pub(super) fn system(&self) -> System<'_> {
        System { eprefix: &self.call.eprefix, configroot: &self.call.configroot }
    }

    /// The groups of `/etc/portage/mirrors`.
    pub(super) fn mirror_groups(&self) -> MirrorGroups {
        let mut groups = MirrorGroups::default();
        groups.read(&read_text(&self.call.configroot.join("etc/portage/mirrors")).unwrap_or_default());
        groups
    }

    /// Where Portage keeps the metadata of repositories that bring none.
    pub(super) fn depcachedir(&self) -> PathBuf {
        depcachedir(self.conf.get("PORTAGE_DEPCACHEDIR"), &self.call.eprefix)
    }
}
