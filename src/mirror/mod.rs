//! What is known of each mirror: figures, ranking, and the file that keeps them.
//!
//! Reading order: [`event`] (what can happen); [`stats`] (the figures and how an event changes them), built
//! from [`key`] (which mirror, which file), [`fading`] (averages that forget), [`cool_down`], [`notes`] and
//! [`traffic`] (sums);
//! [`ranking`] (whom to ask first); [`mod@format`] (the figures as JSON); [`location`] (where the file belongs);
//! [`store`] (reading and replacing it); [`timestamp`] (how old a mirror's copy is). Everything but
//! [`store`] is pure.

#[cfg(test)]
mod arbitrary;
pub mod cool_down;
pub mod event;
pub mod fading;
pub mod format;
pub mod key;
pub mod location;
pub mod notes;
pub mod ranking;
pub mod stats;
pub mod store;
pub mod timestamp;
pub mod traffic;

pub use event::{Attempt, Delta, FailureKind, Outcome, RateSample};
pub use key::{FileKey, MirrorKey};
pub use ranking::{Candidate, Ranked, rank};
pub use stats::State;
pub use store::Store;
pub use timestamp::Freshness;
