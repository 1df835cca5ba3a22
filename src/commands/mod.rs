//! One file (or folder) for each sub-command, each thin.

pub mod environment;
mod explain;
pub mod fetch;
pub mod interrupt;
mod mirrors;
pub mod stats;

pub use environment::Environment;
pub use interrupt::Interrupt;
