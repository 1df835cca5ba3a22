//! A large file of a batch, raced among the hosts that have it.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::{
    At, Host, HostId, Item, ItemEnd, ItemId, Locate, Located, Shared, is_there, part_of, put_in_place,
};
use crate::http::Failure;
use crate::transfer::engine::{
    self, Limits, Observer, Outcome, Snapshot, Source, Surroundings, Tally, Wanted,
};
use crate::transfer::scheduler::{Expectation, SourceId};
use crate::transfer::sink::{Finished, Hold, SinkError};
use crate::transfer::worker::{Doubt, Find, Place};

/// Races a file and tells the queue what came of it.
pub(super) fn race(shared: &Shared, item: ItemId, hosts: &[(HostId, u8)], stop: &AtomicBool) {
    let end = Race { shared, item, hosts, stop }.run();
    shared.end(item, |state, now| match end {
        Ok((end, failures)) => state.queue.on_race_ended(item, end, &failures, now),
        Err(Impossible) => state.queue.on_race_impossible(item, now),
    });
}

/// It must be fetched from one host at a time: there are not enough threads, or it may be one of several files.
struct Impossible;

type Failures = Vec<(HostId, Failure)>;

struct Race<'a> {
    shared: &'a Shared<'a>,
    item: ItemId,
    hosts: &'a [(HostId, u8)],
    stop: &'a AtomicBool,
}

impl Race<'_> {
    fn run(&self) -> Result<(ItemEnd, Failures), Impossible> {
        let (batch, item) = (self.shared.batch, &self.shared.batch.items[self.item.0]);
        if !item.others.is_empty() {
            return Err(Impossible); // what it must be is not known before somebody answers
        }
        let (place, none) = (batch.folder.join(item.name.as_str()), Vec::new());
        let _lock = match (batch.lock)(&item.name) {
            Ok(Some(lock)) => lock,
            Ok(None) => return Ok((ItemEnd::Locked, none)),
            Err(error) => return Ok((ItemEnd::Disk(error), none)),
        };
        let part = part_of(&place);
        if is_there(&place, item.size) {
            return Ok((ItemEnd::Present, none));
        }
        let Ok(hold) = Hold::try_take(&part) else { return Ok((ItemEnd::Locked, none)) };
        self.shared.lock().say_once(hold.note());
        let (mut hosts, mut sources, mut lost) = (Vec::new(), Vec::new(), Vec::new());
        for (host, tier) in self.hosts {
            match self.source(*host, *tier) {
                Ok(source) => {
                    hosts.push(*host);
                    sources.push(source);
                }
                Err(failure) => lost.push((*host, failure)),
            }
        }
        let wanted = Wanted {
            size: Some(item.size),
            digests: item.digests.clone(),
            resume: true,
            trace: false,
            aloud: false,
        };
        // What is left of the time, and how slow it may be, the queue knows.
        let limits = Limits { time: None, speed: None, ..batch.limits.clone() };
        let around = Around { race: self, hosts: &hosts };
        let mut relay = Relay { race: self, hosts: &hosts };
        let ended = engine::run(hold, &wanted, sources, &limits, batch.client, &around, &mut relay);
        let last = |(host, tally): (&HostId, &Tally)| Some((*host, tally.last_failure()?.clone()));
        let failed: Failures = hosts.iter().zip(&ended.tallies).filter_map(last).collect();
        let mut state = self.shared.lock();
        for (host, tally) in hosts.iter().zip(&ended.tallies) {
            state.tallies[host.0].add(tally);
        }
        for (host, failure) in &lost {
            state.tallies[host.0].failures.push(failure.clone());
        }
        drop(state);
        let failures = [failed, lost].concat();
        let end = match ended.outcome {
            Outcome::Verified { .. } => {
                let those = |holds: fn(&Tally) -> bool| {
                    let those = hosts.iter().zip(&ended.tallies).filter(move |(_, tally)| holds(tally));
                    those.map(|(host, _)| *host).collect()
                };
                let (from, lacking) = (those(|tally| tally.kept > 0), those(Tally::lacks_it));
                let file = ended.file.ok_or_else(|| SinkError::new(&part, &ErrorKind::NotFound.into()));
                let put =
                    |whole: Finished| whole.check().and_then(|()| put_in_place(&whole.file, &part, &place));
                match file.and_then(put) {
                    Ok(()) => ItemEnd::Fetched { from, lacking },
                    Err(error) => ItemEnd::Disk(error.to_string()),
                }
            }
            Outcome::Disk(error) => ItemEnd::Disk(error),
            Outcome::NoSource if !hosts.is_empty() && ended.tallies.iter().all(has_no_thread) => {
                return Err(Impossible);
            }
            _ => ItemEnd::Failed(failures.clone()),
        };
        Ok((end, failures))
    }

    /// A host as the engine knows it; an error when it cannot say where it has the file.
    fn source(&self, host: HostId, tier: u8) -> Result<Source, Failure> {
        let batch = self.shared.batch;
        let item = &batch.items[self.item.0];
        let none = Failure::Status { code: 404, retry_after: None };
        let (url, doubt) = match &item.place(host).ok_or(none)?.at {
            At::Url(url) => (url.clone(), None),
            At::Layout(layout) => match layout.known(&item.name, &item.digests)? {
                Located::There(url) => (url, None),
                Located::Perhaps(url) => (url, Some(Doubt::Guessed(find(layout.clone(), item)))),
            },
        };
        let Host { name, expectation, .. } = batch.hosts[host.0].clone();
        let place = Place { name, url, doubt, size: Some(item.size), refuse_html: true };
        Ok(Source { place, expectation: Expectation { tier, ..expectation } })
    }
}

/// Finds out where a host has the file on the thread that asks for it, so that nobody waits for one that is silent.
fn find(layout: Arc<dyn Locate>, item: &Item) -> Find {
    let (name, digests) = (item.name.clone(), item.digests.clone());
    Box::new(move |agent| layout.find(&name, &digests, agent))
}

/// Whether a source could not even be asked.
fn has_no_thread(tally: &Tally) -> bool {
    tally.kept == 0
        && tally.failures.is_empty()
        && tally.excused.iter().any(|f| matches!(f, Failure::Local(_)))
}

/// What the other connections of the batch mean for a race, and it for them.
struct Around<'a> {
    race: &'a Race<'a>,
    hosts: &'a [HostId],
}

impl Surroundings for Around<'_> {
    fn signalled(&self) -> Option<i32> {
        let stopped = self.race.stop.load(Ordering::SeqCst).then_some(0);
        (self.race.shared.signalled)().or(stopped)
    }

    fn rest(&self, source: SourceId) -> Option<Duration> {
        let shared = self.race.shared;
        let now = shared.batch.clock.now();
        shared.lock().queue.health(self.hosts[source]).rest_left(now)
    }

    fn beside(&self) -> usize {
        self.race.shared.lock().queue.under_way().saturating_sub(1)
    }

    fn on_failure(&self, source: SourceId, failure: &Failure) {
        let shared = self.race.shared;
        let now = shared.batch.clock.now();
        shared.lock().queue.on_race_failure(self.hosts[source], failure, now);
    }
}

/// Hands the progress of a race on to the whole.
struct Relay<'a> {
    race: &'a Race<'a>,
    hosts: &'a [HostId],
}

impl Observer for Relay<'_> {
    fn progress(&mut self, _: Instant, snapshot: &Snapshot) {
        let rates =
            snapshot.rates.iter().filter_map(|(source, rate)| Some((*self.hosts.get(*source)?, *rate)));
        let rates: Vec<(HostId, f64)> = rates.collect();
        let (shared, Snapshot { have, resumed, .. }) = (self.race.shared, snapshot);
        let now = shared.batch.clock.now();
        shared.lock().queue.on_race_progress(self.race.item, *have, *resumed, &rates, now);
    }

    fn note(&mut self, line: &str) {
        self.race.shared.lock().note(line.to_owned());
    }
}
