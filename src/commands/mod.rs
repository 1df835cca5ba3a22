//! One file (or folder) for each sub-command, each thin.

pub mod environment;
mod explain;
pub mod fetch;
pub mod interrupt;
pub mod manifests;
mod mirrors;
pub mod stats;
pub mod verify;

pub use environment::Environment;
pub use interrupt::Interrupt;
