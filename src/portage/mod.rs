//! Portage's vocabulary. All of it is pure: text, arguments and closures in, values out.
//!
//! Reading order: [`digests`] and [`distfile`] (what is fetched), [`manifest`] (how large it is, and its
//! digests), [`call`] (what one invocation says). Then where the file lies: [`uri`] and [`mirror_uri`]
//! (under which mirror), [`layout`] and [`mirror_cache`] (at which path on it), [`local_network`] (how near
//! that is). Last the configuration: [`config_files`], [`shell_words`], [`make_conf`], [`mirror_groups`].

pub mod call;
pub mod config_files;
pub mod digests;
pub mod distfile;
pub mod layout;
pub mod local_network;
pub mod make_conf;
pub mod manifest;
pub mod mirror_cache;
pub mod mirror_groups;
pub mod mirror_uri;
pub mod shell_words;
pub mod uri;

pub use call::PortageCall;
pub use config_files::{ConfigEntry, ReadPath};
pub use digests::{Algorithm, Digest, Digests};
pub use distfile::{Distfile, DownloadName};
pub use layout::{LayoutConf, MirrorLayout};
pub use local_network::is_local;
pub use make_conf::MakeConf;
pub use manifest::DistEntry;
pub use mirror_cache::{CachedLayout, read_mirror_cache};
pub use mirror_groups::MirrorGroups;
pub use mirror_uri::MirrorBase;
