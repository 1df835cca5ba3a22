//! One file (or folder) for each sub-command, each thin, and what they share.

mod answers;
mod aside;
mod caller;
mod cmdline;
mod command;
mod configuration;
mod difference;
mod doctor;
pub mod draft;
mod ended;
pub mod environment;
mod explain;
mod fetch;
mod figures;
mod inquiry;
#[allow(unreachable_pub, reason = "the commands alone see it")]
mod interrupt;
mod manifests;
mod many;
mod metadata;
mod mirrors;
mod places;
mod portageq;
mod prefetch;
mod rank;
mod record;
mod settings;
mod setup;
mod show;
mod stats;
mod upstream;
mod verify;

pub use command::{CommandError, complain, run};
pub use environment::Environment;
pub use interrupt::end_by;

use interrupt::Interrupt;
