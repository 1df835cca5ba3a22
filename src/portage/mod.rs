//! Portage's vocabulary. All of it is pure: text in, values out.

pub mod call;
pub mod digests;
pub mod distfile;
pub mod layout;
pub mod local_network;
pub mod manifest;
pub mod mirror_cache;
pub mod mirror_uri;
pub mod uri;

pub use call::PortageCall;
pub use digests::{Algorithm, Digest, Digests};
pub use distfile::{Distfile, DownloadName};
pub use layout::{LayoutConf, MirrorLayout};
pub use local_network::is_local;
pub use manifest::DistEntry;
pub use mirror_cache::{CachedLayout, read_mirror_cache};
pub use mirror_uri::MirrorBase;
