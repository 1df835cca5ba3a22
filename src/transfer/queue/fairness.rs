//! Who is at which file for how long, and when somebody else should have a try.

use std::time::Duration;

use super::{HostId, ItemId, Queue, Time};
use crate::http::Failure;
use crate::patience::{CRAWLING, LAGGING, LONGEST_BURST, LOST};
use crate::transfer::speed::CRAWL;

/// A connection slower than this part of the average lags. What came is kept.
const SLOW: f64 = 0.33;
/// The others help with a file of which so many bytes are missing, at least,
const SHARED_FROM: u64 = 1024 * 1024;
/// and which lasts so long; and so many times as long as the first byte takes over a new connection.
const WORTH_HELP: Duration = Duration::from_millis(500);
const WORTH_CONNECTING: u32 = 3;
/// Bytes that may come at once on a slow line, with nothing between them: [`LOST`] is at least as long as the average
/// connection needs for them.
const BURST: f64 = 128.0 * 1024.0;
/// The rate that is assumed of the average connection until one has delivered, in bytes per second.
const ASSUMED: f64 = 100_000.0;

/// Who fetches a file.
#[derive(Clone, Debug)]
pub(super) enum By {
    One(HostId),
    /// A race, in which each has a connection.
    All(Vec<HostId>),
}

/// Why a file is taken from those who are at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// Another host has nothing to do, and would be faster.
    Slow,
    /// Another host has nothing to do. Nothing comes from anybody: it may be the link.
    Silent,
    /// Other hosts have nothing left to do: they help with it.
    Share,
    /// It makes no real progress.
    Crawl,
    /// Everything ends.
    End,
}

/// A file that somebody is at.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) item: ItemId,
    pub(super) by: By,
    pub(super) since: Time,
    /// When something came last.
    pub(super) last: Time,
    /// Bytes that came.
    pub(super) came: u64,
    /// It was taken from the end of what is to be done.
    pub(super) from_the_end: bool,
    pub(super) stop: Option<Stop>,
    /// When it was looked last whether it crawls, the bytes that had come by then, and how many files were fetched at once
    /// at most since then.
    pub(super) mark: (Time, u64),
    pub(super) beside: usize,
}

/// Bytes, and the time that connections were at them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Speed {
    bytes: u64,
    time: Duration,
}

impl Speed {
    pub(super) fn add(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.time += other.time;
    }

    /// Bytes per second.
    fn rate(self) -> f64 {
        self.bytes as f64 / self.time.as_secs_f64().max(f64::EPSILON)
    }
}

impl Work {
    pub(super) fn new(item: ItemId, by: By, from_the_end: bool, now: Time) -> Self {
        Self { item, by, since: now, last: now, came: 0, from_the_end, stop: None, mark: (now, 0), beside: 1 }
    }

    pub(super) fn is_race(&self) -> bool {
        matches!(self.by, By::All(_))
    }

    pub(super) fn is_at(&self, host: HostId) -> bool {
        match &self.by {
            By::One(one) => *one == host,
            By::All(all) => all.contains(&host),
        }
    }

    /// Whether both are at the same host.
    fn is_beside(&self, other: &Self) -> bool {
        matches!((&self.by, &other.by), (By::One(host), By::One(other)) if host == other)
    }

    pub(super) fn speed(&self, now: Time) -> Speed {
        Speed { bytes: self.came, time: now.saturating_sub(self.since) }
    }

    fn is_silent(&self, patience: Duration, now: Time) -> bool {
        now.saturating_sub(self.last) > patience
    }

    /// Whether it brought less than its share of [`CRAWL`], the least that all connections together must bring, while
    /// `all` files were fetched.
    fn crawls(&mut self, all: usize, now: Time) -> bool {
        self.beside = self.beside.max(all);
        let (since, had) = self.mark;
        let time = now.saturating_sub(since);
        if time < CRAWLING {
            return false;
        }
        let least = CRAWL as f64 * time.as_secs_f64() / self.beside as f64;
        (self.mark, self.beside) = ((now, self.came), all);
        ((self.came - had) as f64) < least
    }
}

/// What a host did that crawled.
pub(super) fn crawled() -> Failure {
    Failure::TooSlow { speed: CRAWL, time: CRAWLING }
}

impl Queue {
    /// The files that crawl.
    pub(super) fn crawling(&mut self, now: Time) -> Vec<ItemId> {
        let (all, items) = (self.work.len(), &self.items);
        // What is all there is being verified.
        let is_whole = |work: &Work| items[work.item.0].have >= items[work.item.0].wanted.size;
        let crawls = |work: &mut Work| (work.crawls(all, now) && !is_whole(work)).then_some(work.item);
        self.work.iter_mut().filter_map(crawls).collect()
    }

    /// The files that others should have, and why.
    pub(super) fn overdue(&self, now: Time) -> Vec<(ItemId, Stop)> {
        let ones = || self.work.iter().filter(|work| !work.is_race());
        let overdue = ones().filter(|work| self.is_overdue(work, now) && self.has_other(work, now));
        let mut overdue: Vec<_> = overdue.map(|work| (work.item, Stop::Slow)).collect();
        if overdue.is_empty() && ones().all(|work| work.is_silent(self.patience(work, now), now)) {
            // When nothing comes from anybody, others are tried one by one.
            let mut silent: Vec<&Work> = ones().filter(|work| self.has_other(work, now)).collect();
            silent.sort_by_key(|work| work.last);
            overdue.extend(silent.first().map(|work| (work.item, Stop::Silent)));
        }
        overdue
    }

    /// What would be the last file by far, while others who may have it have nothing left to do.
    pub(super) fn could_be_shared(&self, now: Time) -> Option<ItemId> {
        if self.work.iter().any(|work| work.is_race() || work.stop == Some(Stop::Share)) {
            return None;
        }
        let lasts = |work: &Work| {
            let By::One(host) = work.by else { return None };
            let item = &self.items[work.item.0];
            let missing = item.wanted.size.saturating_sub(item.have);
            let connects = self.health(host).first_byte()?;
            let may_share = item.wanted.can_be_raced && !item.was_shared && work.stop.is_none();
            let seconds = missing as f64 / work.speed(now).rate();
            let is_worth_it = missing >= SHARED_FROM
                && seconds >= WORTH_HELP.max(connects * WORTH_CONNECTING).as_secs_f64();
            (may_share && is_worth_it && self.has_idle_other(work, host, now)).then_some((work.item, seconds))
        };
        let lasting = self.work.iter().filter_map(lasts);
        lasting.max_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(item, _)| item)
    }

    /// Whether somebody who is at nothing, and has found nothing to do, may have what a host is at.
    fn has_idle_other(&self, work: &Work, host: HostId, now: Time) -> bool {
        let item = &self.items[work.item.0];
        let tier = |host: HostId| {
            let place = item.wanted.hosts.iter().find(|(other, _)| *other == host);
            place.map(|(_, tier)| self.tier(item, host, *tier))
        };
        let mut others = item.wanted.hosts.iter().map(|(other, _)| *other).filter(|other| *other != host);
        others.any(|other| {
            let is_idle = self.at_work(other) == 0 && self.is_free(other, now);
            is_idle
                && self.hosts[other.0].has_nothing
                && self.is_new(item, other)
                && tier(other) <= tier(host)
        })
    }

    /// Whether others should have a try: a connection is silent while others deliver, or far slower than the others are.
    /// When nothing comes from anybody it is the link, and where all are slow nobody else would be faster.
    fn is_overdue(&self, work: &Work, now: Time) -> bool {
        let patience = self.patience(work, now);
        if work.is_silent(patience, now) {
            let elsewhere = |other: &&Work| !other.is_race() && !work.is_beside(other);
            let mut others = self.work.iter().filter(elsewhere).peekable();
            return others.peek().is_none()
                || others.any(|other| other.came > 0 && !other.is_silent(patience, now));
        }
        let ours = work.speed(now);
        ours.time > LAGGING && ours.rate() < self.average(work, now) * SLOW
    }

    /// After how much silence a connection is overdue. On a slow line bytes come in bursts.
    fn patience(&self, work: &Work, now: Time) -> Duration {
        let burst = Duration::try_from_secs_f64(BURST / self.average(work, now)).unwrap_or(LONGEST_BURST);
        LOST.max(burst.min(LONGEST_BURST))
    }

    /// Bytes per second of the other connections, on average.
    fn average(&self, work: &Work, now: Time) -> f64 {
        let mut speed = self.ended;
        let others = self.work.iter().filter(|other| other.item != work.item && !other.is_race());
        others.for_each(|other| speed.add(other.speed(now)));
        if speed.bytes > 0 { speed.rate() } else { ASSUMED }
    }

    /// Whether somebody who has nothing to do and was not asked yet may have what a host is at: the one whose turn it
    /// would be.
    fn has_other(&self, work: &Work, now: Time) -> bool {
        let By::One(host) = work.by else { return false };
        let item = &self.items[work.item.0];
        let others = || {
            let others = item.wanted.hosts.iter().filter(|(other, _)| *other != host);
            others.filter(|(other, _)| self.is_new(item, *other))
        };
        let next = others().map(|(other, tier)| self.tier(item, *other, *tier)).min();
        let mut others = others().filter(|(other, tier)| Some(self.tier(item, *other, *tier)) == next);
        others.any(|(other, _)| self.is_free(*other, now))
    }
}
