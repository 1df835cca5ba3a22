//! Portage's vocabulary. It is pure: text, arguments and closures in, values out.
//!
//! Reading order: [`digests`] and [`distfile`] (what is fetched), [`manifest`] (how large it is, and its
//! digests), [`call`] (what one invocation says), [`account`] (for whom). Then where the file lies: [`uri`] and [`mirror_uri`] (under
//! which mirror), [`layout`], [`name_hash`] and [`mirror_cache`] (at which path on it), [`local_network`] and
//! [`tiers`] (how near that is). Then the configuration: [`newlines`], [`config_files`], [`shell_words`],
//! [`make_conf`], [`make_conf_editor`], [`fetch_command`], [`mirror_groups`], [`config_parser`], [`repos_conf`]. Last what the repositories know: [`manifest_index`] (every distfile),
//! and [`metadata_cache`], [`eapi`], [`restrict`], [`src_uri`] (where upstream keeps those of a package);
//! and what emerge lists of them ([`fetch_list`]).
//! [`distlock`] is the one file here that is not pure.

pub mod account;
pub mod call;
pub mod config_files;
pub mod config_parser;
pub mod digests;
pub mod distfile;
pub mod distlock;
pub mod eapi;
pub mod fetch_command;
pub mod fetch_list;
pub mod layout;
pub mod local_network;
pub mod make_conf;
pub mod make_conf_editor;
pub mod manifest;
pub mod manifest_index;
pub mod metadata_cache;
pub mod mirror_cache;
pub mod mirror_groups;
pub mod mirror_uri;
pub mod name_hash;
pub mod newlines;
pub mod repos_conf;
pub mod restrict;
pub mod shell_words;
pub mod src_uri;
pub mod tiers;
pub mod uri;

pub use call::PortageCall;
pub use config_files::{ConfigEntry, ReadPath};
pub use digests::{Algorithm, Digest, Digests};
pub use distfile::{Distfile, DownloadName};
pub use distlock::{DistLock, DistLocks};
pub use eapi::Eapi;
pub use fetch_list::ListedFile;
pub use layout::{LayoutConf, MirrorLayout};
pub use local_network::is_local;
pub use make_conf::MakeConf;
pub use manifest::DistEntry;
pub use manifest_index::{Listed, ManifestIndex};
pub use metadata_cache::{Metadata, MetadataCache};
pub use mirror_cache::{CachedLayout, read_mirror_cache};
pub use mirror_groups::MirrorGroups;
pub use mirror_uri::MirrorBase;
pub use newlines::unix_newlines;
pub use repos_conf::{Repositories, Repository};
pub use restrict::Restrict;
pub use src_uri::{Groups, Place, PlaceKind, Places, SrcUri};
pub use tiers::{TierError, Tiers};
