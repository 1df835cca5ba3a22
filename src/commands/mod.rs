//! One file (or folder) for each sub-command, each thin, and what they share.

mod aside;
pub mod caller;
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
mod metadata;
mod mirrors;
pub mod prefetch;
mod record;
mod settings;
mod show;
pub mod stats;
mod turn;
mod upstream;
pub mod verify;

pub use caller::Caller;
pub use environment::Environment;
pub use interrupt::Interrupt;
