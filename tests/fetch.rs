//! Fetching through the program, as Portage calls it but without Portage: what mirrors say, what the program
//! asks them, and what lies in DISTDIR afterwards.
//!
//! [`driver`] is the call, [`mirrors`] what most tests need of mirrors. What is seen from outside is the only
//! evidence: bytes on disk, requests and bytes that a mirror saw, the exit status, a line on stderr, the
//! state.

mod answers;
mod blame;
mod driver;
mod endings;
mod failover;
mod mirrors;
mod plainly;
mod portage_call;
mod race;
mod resume;
mod two_faults;
mod verification;
