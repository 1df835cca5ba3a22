//! Which source sends which bytes, and how they become a verified file.
//!
//! Pure: [`segments`], [`meter`], `source`, `outlook`, `sharing`, [`scheduler`] (who sends what), [`blame`]
//! (whose bytes are wrong). With I/O: [`worker`] (a thread for each source), [`sink`] and `ahead` (the file,
//! and what lies ahead of its prefix), [`hashing`], `audit`, [`engine`] (all of it together for one file), [`batch`] (many files), [`single`] (one
//! URL without digests), [`limiter`].

mod ahead;
mod audit;
pub mod batch;
pub mod blame;
pub mod engine;
pub mod hashing;
pub mod limiter;
pub mod meter;
mod outlook;
pub mod scheduler;
pub mod segments;
mod sharing;
#[cfg(test)]
mod simulator;
pub mod single;
pub mod sink;
mod source;
pub mod worker;
