//! One file for each sub-command, each thin.

pub mod stats;
