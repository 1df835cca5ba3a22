//! Which source sends which bytes, and how they become a verified file.
//!
//! Pure: [`segments`], [`meter`], [`scheduler`] (who sends what), [`blame`] (whose bytes are wrong). With I/O:
//! [`worker`] (a thread for each source), [`sink`] (the file, and what lies ahead of its prefix), [`hashing`],
//! `audit`, [`engine`] (all of it together for one file), [`batch`] (many files), [`single`] (one URL without
//! digests), [`limiter`]. What is told of it: `observer` (while it goes on), [`trace`] (afterwards).

mod audit;
pub mod batch;
pub mod blame;
pub mod engine;
pub mod hashing;
pub mod limiter;
pub mod meter;
mod observer;
pub mod scheduler;
pub mod segments;
#[cfg(test)]
mod simulator;
pub mod single;
pub mod sink;
pub mod trace;
pub mod worker;
