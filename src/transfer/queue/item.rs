//! One file of a batch: where it may be, who was asked for it in vain, and what became of it.

use super::HostId;
use crate::http::Failure;

/// Index of a file in [`super::Plan::items`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ItemId(pub usize);

/// A repository that files are of, by its number in a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepositoryId(pub usize);

/// A file that is wanted.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// In bytes.
    pub size: u64,
    /// Who may have it, each with its tier: hosts of a higher tier are asked when those of the lower ones did not have
    /// it.
    pub hosts: Vec<(HostId, u8)>,
    /// Of which the mirrors have most of the files, or hardly any.
    pub repository: RepositoryId,
    /// It is known which file it is, so that several hosts can send parts of it.
    pub can_be_raced: bool,
}

impl Wanted {
    /// How many hosts are asked before all others.
    pub(super) fn first_hosts(&self) -> usize {
        let first = self.hosts.iter().map(|(_, tier)| tier).min();
        self.hosts.iter().filter(|(_, tier)| Some(tier) == first).count()
    }
}

/// What became of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ItemEnd {
    /// It lies verified in its place. `lacking` are the hosts that said before that they do not have it.
    Fetched {
        from: Vec<HostId>,
        lacking: Vec<HostId>,
    },
    /// It was there when its turn came.
    Present,
    /// Somebody else is fetching it.
    Locked,
    /// (host, why), in the order in which they were asked.
    Failed(Vec<(HostId, Failure)>),
    Disk(String),
    /// Its turn did not come.
    Left,
}

#[derive(Debug)]
pub(super) enum State {
    Waiting,
    /// Somebody is at it.
    Taken,
    Done(ItemEnd),
}

#[derive(Debug)]
pub(super) struct Item {
    pub(super) wanted: Wanted,
    pub(super) state: State,
    /// The hosts that were asked for it in vain.
    pub(super) tried: Vec<(HostId, Failure)>,
    /// Bytes that are there.
    pub(super) have: u64,
    /// Bytes that were there when it was begun; none before.
    pub(super) resumed: Option<u64>,
    /// It is raced.
    pub(super) is_raced: bool,
    /// Hosts that gave odd answers: because of them it was raced, or is.
    pub(super) last_hope: Vec<HostId>,
    /// Its host was stopped once, so that others can help with it.
    pub(super) was_shared: bool,
}

impl Item {
    pub(super) fn new(wanted: Wanted, is_raced: bool) -> Self {
        Self {
            wanted,
            state: State::Waiting,
            tried: Vec::new(),
            have: 0,
            resumed: None,
            is_raced,
            last_hope: Vec::new(),
            was_shared: false,
        }
    }

    pub(super) fn is_waiting(&self) -> bool {
        matches!(self.state, State::Waiting)
    }

    pub(super) fn is_done(&self) -> bool {
        matches!(self.state, State::Done(_))
    }

    /// Those that said that they do not have it.
    pub(super) fn lacking(&self) -> impl Iterator<Item = HostId> {
        self.tried.iter().filter(|(_, failure)| failure.is_not_found()).map(|(host, _)| *host)
    }

    /// Makes the file a race once more when some hosts gave odd answers, or refused a range: they are then
    /// asked in the plainest way. False when there are none, or when that was done before.
    pub(super) fn is_raced_as_last_hope(&mut self) -> bool {
        if self.is_raced || !self.last_hope.is_empty() {
            return false;
        }
        let ranged = self.resumed.is_some_and(|bytes| bytes > 0);
        let is_odd = |failure: &Failure| {
            failure.is_odd() || ranged && failure.refuses_ranges() && !failure.is_not_found()
        };
        let odd = self.tried.iter().filter(|(_, failure)| is_odd(failure));
        self.last_hope = odd.map(|(host, _)| *host).collect();
        self.is_raced = !self.last_hope.is_empty();
        self.is_raced
    }

    /// Whether a race is to ask that host in any case.
    pub(super) fn hopes_for(&self, host: HostId) -> bool {
        self.is_raced && self.last_hope.contains(&host)
    }

    pub(super) fn was_asked(&self, host: HostId) -> bool {
        self.tried.iter().any(|(asked, _)| *asked == host)
    }

    /// Whether a host failed in nothing but to be quick while others were idle.
    pub(super) fn was_only_slow(&self, host: HostId) -> bool {
        self.tried.iter().all(|(asked, failure)| *asked != host || *failure == Failure::Cancelled)
    }

    pub(super) fn end(self) -> ItemEnd {
        match self.state {
            State::Done(end) => end,
            State::Waiting | State::Taken if self.tried.is_empty() => ItemEnd::Left,
            State::Waiting | State::Taken => ItemEnd::Failed(self.tried),
        }
    }
}
