//! How public mirrors are found, tried out and put in order, for `racefetch rank`.
//!
//! Reading order: [`list`] (which mirrors there are, out of Gentoo's own XML), [`clock`] (whose clock is right), [`arrivals`] (a rate and how sure it is), [`samples`] (who sends other bytes than the rest), [`decide`] (whom
//! to take), [`rounds`] (whom to measure, and when it is enough). These are pure. [`probe`] and [`throughput`] ask the
//! mirrors. The simulator drives the pure part over invented mirrors whose true rates are known.

pub(crate) mod arrivals;
pub(crate) mod clock;
pub(crate) mod decide;
pub mod list;
pub(crate) mod probe;
pub(crate) mod rounds;
pub(crate) mod samples;
#[cfg(test)]
mod simulator;
pub(crate) mod throughput;
