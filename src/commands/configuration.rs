//! What Portage is configured with: make.conf, repos.conf, `/etc/portage/mirrors`.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::Environment;
use super::environment::read_config;
use crate::portage::config_files::config_files;
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
        // Under Portage, the variables of make.conf are in the environment. Called by somebody else, it is
        // read here.
        let call = environment.portage_call_with(|name| conf.get(name));
        Self { environment, call, conf }
    }

    /// A variable of the environment, else of the files.
    fn get(&self, name: &str) -> Option<&str> {
        self.conf.get_over(name, self.environment.get(name).and_then(OsStr::to_str))
    }

    pub(super) fn distdir(&self) -> Option<PathBuf> {
        let in_files = || self.conf.get("DISTDIR");
        let distdir = self.get("DISTDIR").filter(|path| !path.is_empty()).or_else(in_files);
        distdir.filter(|path| !path.is_empty()).map(PathBuf::from)
    }

    /// `GENTOO_MIRRORS`, as [`MakeConf::gentoo_mirrors`] has them.
    pub(super) fn gentoo_mirrors(&self) -> Vec<String> {
        self.conf.gentoo_mirrors(self.environment.get("GENTOO_MIRRORS").and_then(OsStr::to_str))
    }

    /// The locks of a DISTDIR. A process takes them from one such value, see [`DistLocks`].
    pub(super) fn locks(&self, distdir: &Path) -> DistLocks {
        DistLocks::new(distdir, distlock::are_enabled(&self.features()))
    }

    /// FEATURES. Later words outweigh earlier ones.
    pub(super) fn features(&self) -> String {
        let configured = self.conf.get("FEATURES").unwrap_or_default();
        [configured, &self.environment.text("FEATURES").unwrap_or_default()].join(" ")
    }

    /// `PORTAGE_RO_DISTDIRS`: folders whose files Portage links to.
    pub(super) fn read_only_distdirs(&self) -> Vec<PathBuf> {
        let text = self.get("PORTAGE_RO_DISTDIRS").unwrap_or_default();
        text.split_whitespace().map(|word| PathBuf::from(word.trim_matches(['"', '\'']))).collect()
    }

    pub(super) fn repositories(&self) -> Repositories {
        let variable = self.environment.text("PORTAGE_REPOSITORIES");
        Repositories::of_system(self.system(), variable.as_deref(), &read_config)
    }

    pub(super) fn system(&self) -> System<'_> {
        System { eprefix: &self.call.eprefix, configroot: &self.call.configroot }
    }

    /// The groups of `/etc/portage/mirrors`, a file or a folder of them.
    pub(super) fn mirror_groups(&self) -> MirrorGroups {
        let files = config_files(&self.call.configroot.join("etc/portage/mirrors"), &read_config);
        let mut groups = MirrorGroups::default();
        files.iter().filter_map(|(_, text)| text.as_ref().ok()).for_each(|text| groups.read(text));
        groups
    }

    /// Where Portage keeps the metadata of repositories that bring none.
    pub(super) fn depcachedir(&self) -> PathBuf {
        depcachedir(self.get("PORTAGE_DEPCACHEDIR"), &self.call.eprefix)
    }
}
