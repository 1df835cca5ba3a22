//! Portage's vocabulary. All of it is pure: text in, values out.

pub mod digests;

pub use digests::{Algorithm, Digest, Digests};
