//! Which source sends which bytes, and how they become a verified file.
//!
//! Pure: [`segments`], [`meter`], [`scheduler`].

pub mod meter;
pub mod scheduler;
pub mod segments;
