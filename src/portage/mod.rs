//! Portage's vocabulary. All of it is pure: text in, values out.

pub mod digests;
pub mod distfile;
pub mod uri;

pub use digests::{Algorithm, Digest, Digests};
pub use distfile::{Distfile, DownloadName};
