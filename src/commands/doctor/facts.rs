//! What was found out about a system, for the checks to judge.

use std::path::PathBuf;
use std::time::Duration;

use crate::mirror::Freshness;

#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    /// Why make.conf cannot be read, and the file.
    pub(super) problem: Option<(String, PathBuf)>,
    /// FETCHCOMMAND and RESUMECOMMAND.
    pub(super) commands: [String; 2],
    /// Whether the program of FETCHCOMMAND is there and Portage's user may run it.
    pub(super) program_runs: bool,
    /// Where `GENTOO_MIRRORS` is set below a command that uses it: file and line.
    pub(super) mirrors_below: Option<(PathBuf, usize)>,
    /// The words of `GENTOO_MIRRORS`.
    pub(super) mirrors: Vec<String>,
    /// Files of make.conf that Portage's user cannot read.
    pub(super) unreadable: Vec<PathBuf>,
    pub(super) distdir: Option<Place>,
    pub(super) state: Option<Place>,
    /// What the state file says of itself when it cannot be used.
    pub(super) state_warning: Option<String>,
    /// `DISTDIR/.racefetch`; none while there is no such folder.
    pub(super) side_files: Option<Place>,
    /// Bytes that can be written to DISTDIR.
    pub(super) free: Option<u64>,
    /// `HTTP_PROXY` without `http_proxy`: where it is set.
    pub(super) capital_proxy: Option<String>,
    /// What is wrong with the store of certificate authorities.
    pub(super) certificates: Option<String>,
    pub(super) junk: Vec<Junk>,
    /// None when the network was not asked.
    pub(super) network: Option<Network>,
}

/// A folder that Portage's user must be able to write to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) path: PathBuf,
    pub(super) access: Access,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Fine,
    Missing,
    Denied,
}

/// Files that nobody needs any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Junk {
    pub(super) what: &'static str,
    pub(super) files: Vec<PathBuf>,
    /// What they take on the disk.
    pub(super) bytes: u64,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Network {
    /// By the word of `GENTOO_MIRRORS`.
    pub(super) mirrors: Vec<(String, Health)>,
    /// Hosts that answer over IPv4 and not over IPv6, although they have addresses of both; none when there is one
    /// that answers over IPv6.
    pub(super) broken_ipv6: Vec<String>,
    /// By how many seconds the servers' clocks are ahead of this one: the median.
    pub(super) clock_behind: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Health {
    /// The age of its copy.
    Aged(Freshness, Duration),
    /// It has no timestamp, but answers.
    Answers,
    /// It sends something else in place of its timestamp.
    Odd(String),
    Dead(String),
}
