//! The mirror of a local network, as `mirror/` ships it: real nginx and rsync, on loopback.

pub mod cache;
mod clients;
mod dns;
mod faults;
mod files;
pub mod lan;
mod nodes;
mod partial;
mod ranked;
pub mod rsync;
mod sync;
mod tree;
