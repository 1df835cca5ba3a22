//! What the tests stand on: a fault-injecting mirror and a Portage laboratory.
//!
//! Read [`mirror`] first: it is what most tests talk to. [`proxy`], [`tls`] and [`ports`] are what may stand
//! in front of it, [`server`] is the listening socket below all of them. [`side_file`] is what a call that is
//! under way keeps beside FILE. [`build`] is for the examples.

#![allow(unreachable_pub, reason = "nobody names what is in a test binary")]
#![allow(dead_code, reason = "shared between the tests and the examples, and each needs its own part")]

pub mod build;
pub mod content;
pub mod drip;
pub mod globe;
pub mod lab;
pub mod mirror;
pub mod ports;
pub mod proxy;
pub mod server;
pub mod side_file;
pub mod tls;
