//! racefetch gets Gentoo distfiles from the best of many mirrors.
//!
//! Reading order: [`cli`] (what was asked), [`portage`] (Portage's vocabulary), [`http`] (one request and
//! its answer), [`transfer`] (which source sends which bytes, and how they become a verified file),
//! [`mirror`] (what is known of each mirror), [`commands`] (one file for each sub-command). [`timeline`] draws what
//! happened. [`survey`] tries out public mirrors and puts them in order. [`files`] opens what others may have tampered with. [`patience`] has every limit of the program on one
//! page.
//!
//! Dependencies point one way: `commands` uses everything; `transfer` uses `http`; `cli`, `portage`
//! and `mirror` use the pure words of `http`; `http` knows nothing of mirrors and `mirror` nothing of transfers. Pure files
//! name only pure files. `tests/layering.rs` reads the sources and holds that. `patience` names nothing,
//! and everything may name it.

pub mod cli;
pub mod commands;
pub mod files;
pub mod http;
pub mod mirror;
pub mod patience;
pub mod portage;
pub mod progress;
pub mod survey;
pub mod timeline;
pub mod transfer;
