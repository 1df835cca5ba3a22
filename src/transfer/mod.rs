//! Which source sends which bytes, and how they become a verified file.
//!
//! Pure: [`segments`], [`meter`], `source`, `outlook`, `sharing`, [`scheduler`].

pub mod meter;
mod outlook;
pub mod scheduler;
pub mod segments;
mod sharing;
#[cfg(test)]
mod simulator;
mod source;
