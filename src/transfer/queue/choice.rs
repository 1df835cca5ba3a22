//! Who is asked for what: tiers, and what is known of hosts and files.

use super::item::Item;
use super::{HostId, ItemId, Queue};
use crate::transfer::scheduler::{ENOUGH_LACK, Time};

/// When mirrors have said so many times that they lack a file of a repository, and never had one, they are
/// asked last for the rest of it.
const IN_VAIN: usize = 20;

impl Queue {
    /// The next file that a host shall be asked for. Hosts of a higher tier wait until those of the lower ones have
    /// been asked in vain.
    pub(super) fn next(&self, host: HostId, from_the_end: bool) -> Option<ItemId> {
        let is_next = |id: &&ItemId| {
            let item = &self.items[id.0];
            if !item.is_waiting() || item.is_raced || !self.may_ask(item, host) {
                return false;
            }
            let ours = item.wanted.hosts.iter().find(|(other, _)| *other == host);
            let Some(ours) = ours.map(|(host, tier)| self.tier(item, *host, *tier)) else { return false };
            let is_better = |(other, tier): &(HostId, u8)| {
                self.tier(item, *other, *tier) < ours && self.may_ask(item, *other)
            };
            !item.wanted.hosts.iter().any(is_better)
        };
        let mut all = self.hosts[host.0].items.iter();
        if from_the_end { all.rev().find(is_next).copied() } else { all.find(is_next).copied() }
    }

    /// The tier of a host for a file. Mirrors come last when enough of them lack the file, or had none of the
    /// repository's.
    pub(super) fn tier(&self, item: &Item, host: HostId, tier: u8) -> u8 {
        let is_mirror = |host: HostId| self.hosts[host.0].is_mirror;
        let found = self.found.get(&item.wanted.repository);
        let none = found.is_some_and(|(had, lacked)| *had == 0 && *lacked >= IN_VAIN);
        let lacking = || item.lacking().filter(|host| is_mirror(*host)).count();
        if is_mirror(host) && (none || lacking() >= ENOUGH_LACK) { u8::MAX } else { tier }
    }

    /// Whether a host may be asked for a file now: for the first time; or again, when nobody is left who was
    /// not asked.
    pub(super) fn may_ask(&self, item: &Item, host: HostId) -> bool {
        let another = || item.wanted.hosts.iter().any(|(other, _)| self.is_new(item, *other));
        self.may_be_left(item, host) && (self.is_new(item, host) || !another())
    }

    /// Whether a host may still be asked for a file, now or later: it was not asked yet, or it was only slow.
    pub(super) fn may_be_left(&self, item: &Item, host: HostId) -> bool {
        item.hopes_for(host) || !self.health(host).is_out() && item.was_only_slow(host)
    }

    /// Whether a host that is still asked was not asked for a file yet.
    pub(super) fn is_new(&self, item: &Item, host: HostId) -> bool {
        !self.health(host).is_out() && !item.was_asked(host)
    }

    /// Whether one more file may be begun.
    pub(super) fn has_room(&self) -> bool {
        self.work.len() < self.jobs
    }

    /// Whether a host has nothing to do over one of its connections.
    pub(super) fn is_free(&self, host: HostId, now: Time) -> bool {
        self.health(host).allows(self.at_work(host), now)
    }

    /// Connections of a host that are in use, that of a race and that of somebody else among them.
    pub(super) fn at_work(&self, host: HostId) -> usize {
        self.work.iter().filter(|work| work.is_at(host)).count() + usize::from(self.engaged.contains(&host))
    }

    pub(super) fn others_deliver(&self, host: HostId) -> bool {
        let mut others = self.hosts.iter().enumerate().filter(|(other, _)| *other != host.0);
        others.any(|(_, other)| other.health.received() > 0)
    }
}
