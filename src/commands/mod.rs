//! One file (or folder) for each sub-command, each thin, and what they share.

mod configuration;
mod ended;
pub mod environment;
mod explain;
pub mod fetch;
mod hosts;
pub mod interrupt;
mod layouts;
mod manifests;
mod many;
mod mirrors;
mod record;
mod settings;
mod show;
pub mod stats;
mod upstream;
pub mod verify;

pub use environment::Environment;
pub use interrupt::Interrupt;
