//! Which source sends which bytes, and how they become a verified file.
//!
//! Pure: [`segments`], [`meter`], [`health`] (what is known of a host), [`scheduler`] (who sends what of one file),
//! [`queue`] (which file comes next from which host), [`blame`] (whose bytes are wrong), [`speed`] (`-Y`, `-y`). With I/O: [`worker`] (a thread
//! for each source), [`sink`] (the file, and what lies ahead of its prefix), [`hashing`], `audit`, [`engine`] (all of it
//! together for one file), [`batch`] (many files), [`single`] (one URL without digests), [`limiter`]. What is told of
//! it: `observer` (while it goes on), [`trace`] (afterwards).

mod audit;
pub mod batch;
pub mod blame;
pub mod engine;
pub mod hashing;
pub mod health;
pub mod limiter;
pub mod meter;
mod narration;
mod observer;
pub mod queue;
pub mod scheduler;
pub mod segments;
#[cfg(test)]
#[allow(unreachable_pub, reason = "the tests alone see it")]
mod simulator;
pub mod single;
pub mod sink;
pub mod speed;
pub mod trace;
pub mod worker;
