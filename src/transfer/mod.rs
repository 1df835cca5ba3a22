//! Which source sends which bytes, and how they become a verified file.
//!
//! Pure: [`segments`], [`meter`], [`scheduler`].

mod ahead;
mod audit;
pub mod blame;
pub mod engine;
pub mod hashing;
pub mod limiter;
pub mod meter;
pub mod scheduler;
pub mod segments;
pub mod single;
pub mod sink;
pub mod worker;
