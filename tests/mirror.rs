//! The mirror of a local network, as `mirror/` ships it: real nginx and rsync, on loopback.

mod cache;
mod dns;
mod lan;
