//! Which file is fetched from which host next: a state machine without I/O, clock or threads.
//!
//! It is told what happened and when (`on_…`), and answers with [`Action`]s. Small files go whole, each from one host
//! at a time; large ones are raced among all hosts that have them, one after another. A file is in exactly one place: it
//! waits, somebody is at it, or it is done. Everything that goes wrong comes down to one move: a file waits again,
//! and the hosts that were asked for it in vain are known.

mod choice;
mod fairness;
mod item;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::health::Verdict;
pub use super::health::{Health, HostId};
use super::scheduler::Time;
use super::speed::SpeedLimit;
use crate::http::Failure;
use fairness::{By, Speed, Stop, Work, crawled};
use item::{Item, State};
pub use item::{ItemEnd, ItemId, RepositoryId, Wanted};

/// How many files are fetched at once, at most: each takes a thread.
pub(super) const MOST_AT_ONCE: usize = 32;
/// Files of at least so many bytes are raced, if they are also larger than one connection's share of all
/// bytes; those of fewer bytes when they are larger than one host's share,
const LARGE: u64 = 8 * 1024 * 1024;
/// and have at least so many.
const WORTH_RACING: u64 = 2 * 1024 * 1024;

#[derive(Debug, Default)]
pub struct Plan {
    /// In the order in which they shall be fetched.
    pub items: Vec<Wanted>,
    /// What is known of the hosts, the better ones first.
    pub hosts: Vec<Health>,
    /// Which of the hosts are mirrors: they ought to have the same files.
    pub mirrors: Vec<bool>,
    /// Files that are fetched at once, at most; at least 1.
    pub jobs: usize,
    /// When all of it ends.
    pub deadline: Option<Time>,
    /// Slower than so many bytes per second for so long ends all of it.
    pub speed: Option<(u64, Duration)>,
}

/// What is to be done now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Fetch a file from a host.
    Fetch { item: ItemId, host: HostId },
    /// Race a file among these hosts, each with its tier.
    Race { item: ItemId, hosts: Vec<(HostId, u8)> },
    /// Stop what is under way for a file. Its end is told as any other.
    Cancel { item: ItemId },
}

/// How a [`Action::Fetch`] ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Came {
    /// The file is verified and in its place.
    Whole,
    /// It is done, and not by the host.
    Ended(ItemEnd),
    /// It has other digests than the Manifest's.
    Wrong,
    Failed(Failure),
}

#[derive(Debug)]
struct Host {
    health: Health,
    is_mirror: bool,
    /// Files that it may have, but for done ones at both ends.
    items: VecDeque<ItemId>,
    /// The last search found no file for it, and nothing has happened since that could change that.
    has_nothing: bool,
}

#[derive(Debug)]
pub struct Queue {
    items: Vec<Item>,
    hosts: Vec<Host>,
    work: Vec<Work>,
    /// What connections have done that are not at it any longer.
    ended: Speed,
    /// Those that are still to be raced.
    races: VecDeque<ItemId>,
    /// Files of each repository that a mirror had, and answers that a mirror lacks one.
    found: BTreeMap<RepositoryId, (usize, usize)>,
    undone: usize,
    jobs: usize,
    deadline: Option<Time>,
    speed: SpeedLimit,
    received: u64,
    /// Hosts to which somebody else has one of their connections.
    engaged: BTreeSet<HostId>,
    is_stopped: bool,
    actions: Vec<Action>,
}

impl Queue {
    pub fn new(plan: Plan) -> Self {
        let connections: usize = plan.hosts.iter().map(Health::connections).sum();
        let jobs = plan.jobs.clamp(1, MOST_AT_ONCE);
        let all = plan.items.iter().fold(0, |sum: u64, item| sum.saturating_add(item.size));
        // A race gains nothing while there are enough files for all connections. But a file that is larger
        // than one connection's share would keep that connection busy when all others are done.
        let connection_share = all / (connections.min(jobs) as u64).max(1);
        let is_raced = |item: &Wanted| {
            let host_share = all / (item.first_hosts() as u64).max(1);
            item.can_be_raced && item.size >= host_share.clamp(WORTH_RACING, LARGE).max(connection_share)
        };
        let items: Vec<Item> =
            plan.items.into_iter().map(|item| Item::new(item.clone(), is_raced(&item))).collect();
        let ids = |wanted: &dyn Fn(&Item) -> bool| -> VecDeque<ItemId> {
            items.iter().enumerate().filter(|(_, item)| wanted(item)).map(|(id, _)| ItemId(id)).collect()
        };
        let races = ids(&|item| item.is_raced);
        let hosts = plan.hosts.into_iter().zip(plan.mirrors).enumerate();
        let hosts = hosts.map(|(host, (health, is_mirror))| {
            let has = |item: &Item| item.wanted.hosts.iter().any(|(id, _)| *id == HostId(host));
            Host { health, is_mirror, items: ids(&has), has_nothing: false }
        });
        let hosts = hosts.collect();
        let mut queue = Self {
            undone: items.len(),
            items,
            hosts,
            work: Vec::new(),
            ended: Speed::default(),
            races,
            found: BTreeMap::new(),
            jobs,
            deadline: plan.deadline,
            speed: SpeedLimit::new(plan.speed),
            received: 0,
            engaged: BTreeSet::new(),
            is_stopped: false,
            actions: Vec::new(),
        };
        for item in 0..queue.items.len() {
            queue.end_if_hopeless(ItemId(item));
        }
        queue
    }

    // What happened.

    /// A host answered over a new connection, so long after it was asked.
    pub fn on_first_byte(&mut self, host: HostId, waited: Duration) {
        self.hosts[host.0].health.on_first_byte(waited);
    }

    /// So much of a file lies there when it is begun.
    pub fn on_begun(&mut self, item: ItemId, have: u64) {
        let item = &mut self.items[item.0];
        item.resumed.get_or_insert(have);
        item.have = have;
    }

    pub fn on_received(&mut self, item: ItemId, bytes: u64, now: Time) {
        self.items[item.0].have += bytes;
        self.received += bytes;
        let Some(work) = self.work.iter_mut().find(|work| work.item == item) else { return };
        work.last = now;
        work.came += bytes;
        if let By::One(host) = work.by {
            self.hosts[host.0].health.on_received(bytes, now);
        }
    }

    /// A race has brought so much of a file; its hosts send so many bytes per second.
    pub fn on_race_progress(
        &mut self,
        item: ItemId,
        have: u64,
        resumed: u64,
        rates: &[(HostId, f64)],
        now: Time,
    ) {
        let before = self.items[item.0].have;
        if self.items[item.0].resumed.is_none() {
            self.on_begun(item, resumed);
        }
        let came = have.saturating_sub(before.max(resumed));
        self.items[item.0].have = have.saturating_sub(came);
        self.on_received(item, came, now);
        let total: f64 = rates.iter().map(|(_, rate)| rate).sum();
        for (host, rate) in rates.iter().filter(|_| total > 0.0) {
            let share = super::scheduler::sharing::whole(came as f64 * rate / total);
            self.hosts[host.0].health.on_received(share, now);
        }
    }

    /// An [`Action::Fetch`] ended. Returns the failure that the host is to blame for.
    pub fn on_fetch_ended(&mut self, item: ItemId, came: Came, now: Time) -> Option<Failure> {
        let work = self.take_work(item)?;
        let By::One(host) = work.by else { return None };
        self.ended.add(work.speed(now));
        let was_out = self.hosts[host.0].health.is_out();
        let blamed = match came {
            Came::Whole => {
                self.hosts[host.0].health.on_served();
                let lacking = self.items[item.0].lacking().collect();
                self.end(item, ItemEnd::Fetched { from: vec![host], lacking });
                None
            }
            Came::Ended(end) => {
                self.end(item, end);
                None
            }
            Came::Wrong => {
                self.hosts[host.0].health.on_wrong_content();
                self.items[item.0].have = 0;
                self.fail(item, host, Failure::WrongContent);
                None // it is worse than a failure
            }
            Came::Failed(failure) => self.on_failure(item, host, failure, work.stop, now),
        };
        if !self.items[item.0].is_done() {
            self.look_again(item, &[(host, was_out)]);
        }
        self.schedule(now);
        blamed
    }

    fn on_failure(
        &mut self,
        item: ItemId,
        host: HostId,
        failure: Failure,
        stop: Option<Stop>,
        now: Time,
    ) -> Option<Failure> {
        let failure = match stop {
            Some(Stop::End) => return None, // its turn did not come
            Some(Stop::Share) if failure == Failure::Cancelled => {
                self.items[item.0].is_raced = true;
                self.races.push_front(item);
                return None;
            }
            Some(Stop::Crawl) if failure == Failure::Cancelled => crawled(),
            _ => failure,
        };
        let others_deliver = self.others_deliver(host);
        let health = &mut self.hosts[host.0].health;
        if health.on_failure(&failure, now) == Verdict::AskLater {
            return None;
        }
        // Who is alone is slow to nobody's cost.
        if failure == Failure::Cancelled && others_deliver && stop != Some(Stop::Silent) {
            health.on_slow(now);
        }
        if failure.is_not_found() && self.hosts[host.0].is_mirror {
            self.found.entry(self.items[item.0].wanted.repository).or_default().1 += 1;
        }
        let is_blamed = match failure {
            Failure::Cancelled => false,
            Failure::TooSlow { .. } => others_deliver,
            _ => true,
        };
        self.fail(item, host, failure.clone());
        is_blamed.then_some(failure)
    }

    /// A transfer outside of the queue has a connection to each of these hosts.
    pub fn set_engaged(&mut self, hosts: BTreeSet<HostId>) {
        self.engaged = hosts;
    }

    /// A request of a race under way failed.
    pub fn on_race_failure(&mut self, host: HostId, failure: &Failure, now: Time) {
        self.learn(host, |health| health.on_refusal(failure, now));
    }

    /// A request that is not of the queue failed, and the link is not to blame.
    pub fn on_failure_elsewhere(&mut self, host: HostId, failure: &Failure, now: Time) {
        self.learn(host, |health| health.on_failure_elsewhere(failure, now));
    }

    /// An [`Action::Race`] ended; `failures` are those of its hosts.
    pub fn on_race_ended(&mut self, item: ItemId, end: ItemEnd, failures: &[(HostId, Failure)], now: Time) {
        let Some(Work { by: By::All(hosts), stop, .. }) = self.take_work(item) else { return };
        let before: Vec<_> = hosts.iter().map(|host| (*host, self.hosts[host.0].health.is_out())).collect();
        for (host, failure) in failures.iter().filter(|(_, failure)| failure.rest().is_none()) {
            self.hosts[host.0].health.on_failure(failure, now);
        }
        let end = match (stop, end) {
            (Some(Stop::End), ItemEnd::Failed(_)) => ItemEnd::Left,
            (Some(Stop::Crawl), ItemEnd::Failed(_)) => {
                ItemEnd::Failed(hosts.iter().map(|host| (*host, crawled())).collect())
            }
            (_, end) => end,
        };
        if let ItemEnd::Fetched { from, .. } = &end {
            for host in from.iter().filter(|host| failures.iter().all(|(failed, _)| failed != *host)) {
                self.hosts[host.0].health.on_served();
            }
        }
        self.end(item, end);
        self.look_again(item, &before);
        self.schedule(now);
    }

    /// A race cannot be had: the file is fetched like a small one.
    pub fn on_race_impossible(&mut self, item: ItemId, now: Time) {
        self.take_work(item);
        self.items[item.0].is_raced = false;
        self.look_again(item, &[]);
        self.schedule(now);
    }

    /// A file was not begun, because there is no thread for it. No more than `most` can be fetched at once.
    pub fn on_not_begun(&mut self, item: ItemId, most: usize) {
        if let Some(Work { by: By::All(_), .. }) = self.take_work(item) {
            self.races.push_front(item);
        }
        self.look_again(item, &[]);
        self.jobs = self.jobs.min(most).max(1);
    }

    /// Everything shall end. What is under way is stopped.
    pub fn stop(&mut self) {
        self.is_stopped = true;
        for item in self.work.iter().map(|work| work.item).collect::<Vec<_>>() {
            self.cancel(item, Stop::End);
        }
    }

    /// Time went by.
    pub fn tick(&mut self, now: Time) {
        if self.is_too_long(now) {
            self.stop();
        }
        for item in self.crawling(now) {
            self.cancel(item, Stop::Crawl);
        }
        for (item, stop) in self.overdue(now) {
            self.cancel(item, stop);
        }
        self.schedule(now);
        if let Some(item) = self.could_be_shared(now) {
            self.items[item.0].was_shared = true;
            self.cancel(item, Stop::Share);
        }
    }

    // What follows from it.

    pub fn take_actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    /// Nothing is left to do.
    pub fn is_over(&self) -> bool {
        self.work.is_empty() && (self.is_stopped || self.undone == 0)
    }

    /// Bytes of all files that are there, and how many of them were there before.
    pub fn have(&self) -> (u64, u64) {
        let resumed = |item: &Item| item.resumed.unwrap_or_default();
        self.items.iter().fold((0, 0), |sum, item| (sum.0 + item.have, sum.1 + resumed(item)))
    }

    /// Bytes of one file that are there.
    pub fn have_of(&self, item: ItemId) -> u64 {
        self.items[item.0].have
    }

    /// Files that are done.
    pub fn done(&self) -> usize {
        self.items.len() - self.undone
    }

    /// How many files somebody is at.
    pub fn under_way(&self) -> usize {
        self.work.len()
    }

    /// Files that somebody is at: a race first, then the one that takes longest.
    pub fn current(&self) -> Vec<ItemId> {
        let mut work: Vec<&Work> = self.work.iter().collect();
        work.sort_by_key(|work| (!work.is_race(), work.since));
        work.into_iter().map(|work| work.item).collect()
    }

    pub fn health(&self, host: HostId) -> &Health {
        &self.hosts[host.0].health
    }

    /// What became of each file, and what is known of each host.
    pub fn into_ends(self) -> (Vec<ItemEnd>, Vec<Health>) {
        let health = self.hosts.into_iter().map(|host| host.health).collect();
        (self.items.into_iter().map(Item::end).collect(), health)
    }

    /// Whether the time is up, or everything was too slow for too long.
    fn is_too_long(&mut self, now: Time) -> bool {
        if self.deadline.is_some_and(|deadline| now >= deadline) {
            return true;
        }
        self.speed.broken(self.received, now).is_some()
    }

    // How files come and go.

    fn take_work(&mut self, item: ItemId) -> Option<Work> {
        let index = self.work.iter().position(|work| work.item == item)?;
        let work = self.work.swap_remove(index);
        self.items[item.0].state = State::Waiting;
        Some(work)
    }

    fn cancel(&mut self, item: ItemId, stop: Stop) {
        let Some(work) = self.work.iter_mut().find(|work| work.item == item) else { return };
        if work.stop.is_none() {
            self.actions.push(Action::Cancel { item });
        }
        if work.stop.is_none() || stop == Stop::End {
            work.stop = Some(stop);
        }
    }

    fn fail(&mut self, item: ItemId, host: HostId, failure: Failure) {
        self.items[item.0].tried.push((host, failure));
    }

    fn end(&mut self, item: ItemId, end: ItemEnd) {
        let done = &mut self.items[item.0];
        match &end {
            ItemEnd::Fetched { from, .. } => {
                done.have = done.wanted.size;
                let had = from.iter().any(|host| self.hosts[host.0].is_mirror);
                let found = self.found.entry(done.wanted.repository).or_default();
                if had && found.0 == 0 {
                    self.hosts.iter_mut().for_each(|host| host.has_nothing = false);
                }
                found.0 += usize::from(had);
            }
            ItemEnd::Present => done.have = done.wanted.size,
            ItemEnd::Locked | ItemEnd::Failed(_) | ItemEnd::Disk(_) | ItemEnd::Left => {}
        }
        done.state = State::Done(end);
        self.undone -= 1;
    }

    /// Something was found out about a host beside its files. Ends those that have nobody left to ask then.
    fn learn(&mut self, host: HostId, learn: impl FnOnce(&mut Health)) {
        let health = &mut self.hosts[host.0].health;
        let was_out = health.is_out();
        learn(health);
        if !was_out && health.is_out() {
            for item in self.hosts[host.0].items.clone() {
                self.end_if_hopeless(item);
            }
        }
    }

    /// A file waits again. Ends the files that have nobody left to ask, among them those of `hosts` that have
    /// just gone out.
    fn look_again(&mut self, item: ItemId, hosts: &[(HostId, bool)]) {
        self.hosts.iter_mut().for_each(|host| host.has_nothing = false);
        self.end_if_hopeless(item);
        for (host, was_out) in hosts {
            if !was_out && self.hosts[host.0].health.is_out() {
                for item in self.hosts[host.0].items.clone() {
                    self.end_if_hopeless(item);
                }
            }
        }
    }

    fn end_if_hopeless(&mut self, id: ItemId) {
        let item = &self.items[id.0];
        let hosts = &item.wanted.hosts;
        if !item.is_waiting() || hosts.iter().any(|(host, _)| self.may_be_left(item, *host)) {
            return;
        }
        if self.items[id.0].is_raced_as_last_hope() {
            self.races.push_back(id);
            return;
        }
        let item = &self.items[id.0];
        let hosts = &item.wanted.hosts;
        // Why those are out who were not even asked.
        let others = hosts.iter().filter(|(host, _)| !item.was_asked(*host));
        let others = others.filter_map(|(host, _)| Some((*host, self.health(*host).last_failure()?.clone())));
        let tried = item.tried.iter().cloned().chain(others).collect();
        self.end(id, ItemEnd::Failed(tried));
    }

    /// Gives work to those who have none: first a race, because it takes longest; then each host in turn, those with the
    /// fewest files under way first.
    fn schedule(&mut self, now: Time) {
        if self.is_stopped {
            return;
        }
        self.start_race(now);
        let mut hosts: Vec<HostId> = (0..self.hosts.len()).map(HostId).collect();
        loop {
            hosts.retain(|host| self.is_free(*host, now));
            hosts.sort_by_key(|host| self.at_work(*host));
            let mut begun = Vec::new();
            for host in hosts {
                if self.has_room() && self.begin_next(host, now) {
                    begun.push(host);
                }
            }
            if begun.is_empty() {
                return;
            }
            hosts = begun;
        }
    }

    /// Begins the next large file, when one of its hosts has a free connection. Hosts that are out take no part; those
    /// that rest, or have lied, are asked when the others do not deliver.
    fn start_race(&mut self, now: Time) {
        while self.races.front().is_some_and(|item| self.items[item.0].is_done()) {
            self.races.pop_front();
        }
        let Some(id) = self.races.front().copied() else { return };
        if !self.has_room() || self.work.iter().any(Work::is_race) {
            return;
        }
        let item = &self.items[id.0];
        let takes_part = |host: HostId| {
            let health = self.health(host);
            (!health.is_out() || item.hopes_for(host)) && self.at_work(host) < health.connections()
        };
        let hosts: Vec<(HostId, u8)> = item
            .wanted
            .hosts
            .iter()
            .filter(|(host, _)| takes_part(*host))
            .map(|(host, tier)| {
                let last = self.health(*host).rests(now) || self.health(*host).has_lied();
                (*host, if last { u8::MAX } else { self.tier(item, *host, *tier) })
            })
            .collect();
        if hosts.is_empty() {
            return;
        }
        self.races.pop_front();
        self.begin(id, By::All(hosts.iter().map(|(host, _)| *host).collect()), false, now);
        self.actions.push(Action::Race { item: id, hosts });
    }

    /// Begins the next file of a host, if there is one for it.
    fn begin_next(&mut self, host: HostId, now: Time) -> bool {
        let Host { items, has_nothing, .. } = &mut self.hosts[host.0];
        if *has_nothing {
            return false;
        }
        while items.front().is_some_and(|item| self.items[item.0].is_done()) {
            items.pop_front();
        }
        while items.back().is_some_and(|item| self.items[item.0].is_done()) {
            items.pop_back();
        }
        // Small files are bound by latency, large ones by bandwidth. Fetching both at the same time keeps the
        // link busy.
        let from_the_end = self.health(host).connections() > 1
            && !self.work.iter().any(|work| work.is_at(host) && work.from_the_end);
        let Some(item) = self.next(host, from_the_end) else {
            self.hosts[host.0].has_nothing = true;
            return false;
        };
        self.begin(item, By::One(host), from_the_end, now);
        self.actions.push(Action::Fetch { item, host });
        true
    }

    fn begin(&mut self, item: ItemId, by: By, from_the_end: bool, now: Time) {
        self.items[item.0].state = State::Taken;
        self.work.push(Work::new(item, by, from_the_end, now));
    }
}
