//! One file (or folder) for each sub-command, each thin.

pub mod environment;
pub mod fetch;
pub mod interrupt;
pub mod stats;

pub use environment::Environment;
pub use interrupt::Interrupt;
