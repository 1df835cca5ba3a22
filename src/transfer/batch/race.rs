//! The large files of a batch, raced one after another beside the lanes.

use std::sync::Arc;
use std::time::Instant;

use super::{
    Batch, Host, Item, ItemEnd, ItemPlace, ItemState, Locate, Located, MOST_FAILURES, Shared, Signalled,
    is_there, now, part_of, put_in_place,
};
use crate::http::Failure;
use crate::transfer::engine::{self, Observer, Snapshot, Source, Tally, Wanted};
use crate::transfer::scheduler::Expectation;
use crate::transfer::worker::{Doubt, Find, Place};

/// Races the large files, one after another.
pub(super) fn race_large(batch: &Batch, shared: &Shared, signalled: &Signalled) {
    let raced_from = shared.lock().raced_from;
    for (index, item) in batch.items.iter().enumerate().filter(|(_, item)| item.size >= raced_from) {
        if signalled().is_some() {
            return;
        }
        shared.lock().race = Some(index);
        let end = race(batch, shared, index, item, signalled);
        let mut state = shared.lock();
        state.race = None;
        if matches!(end, ItemEnd::Fetched { .. } | ItemEnd::Present) {
            state.have += item.size;
        }
        state.racing = 0;
        state.resumed += std::mem::take(&mut state.race_resumed);
        if let ItemEnd::Fetched { from, .. } = &end {
            state.count_had(batch, index, from);
        }
        state.items[index] = ItemState::Done(end);
    }
    shared.lock().races_left = false;
    shared.changed.notify_all();
}

fn race(batch: &Batch, shared: &Shared, index: usize, item: &Item, signalled: &Signalled) -> ItemEnd {
    let place = batch.folder.join(item.name.as_str());
    let _lock = match (batch.lock)(&item.name) {
        Ok(Some(lock)) => lock,
        Ok(None) => return ItemEnd::Locked,
        Err(error) => return ItemEnd::Disk(error),
    };
    if is_there(&place, item.size) {
        return ItemEnd::Present;
    }
    let (hosts, sources) = sources(batch, shared, index, item);
    let part = part_of(&place);
    let wanted = Wanted { size: Some(item.size), digests: item.digests.clone(), resume: true, trace: false };
    let mut relay = Relay { shared, hosts: &hosts };
    let mut ended = engine::run(&part, &wanted, sources, &batch.limits, batch.client, signalled, &mut relay);
    // Why a host could not say where it has the file.
    let by_layout = item.places.iter().filter(|place| place.url.is_none());
    let lost = by_layout.filter_map(|place| Some((place.host, batch.locate.known(place.host, index).err()?)));
    let lost: Vec<(usize, Failure)> = lost.collect();
    let mut state = shared.lock();
    for (host, tally) in hosts.iter().zip(&mut ended.tallies) {
        if tally.requests > 0 {
            let failed = lost.iter().filter(|(lost, _)| lost == host);
            tally.failures.extend(failed.map(|(_, failure)| failure.clone()));
        }
        state.tallies[*host].add(tally);
    }
    drop(state);
    match ended.outcome {
        engine::Outcome::Verified { .. } => {
            let those = |holds: fn(&Tally) -> bool| {
                let those = hosts.iter().zip(&ended.tallies).filter(move |(_, tally)| holds(tally));
                those.map(|(host, _)| *host).collect()
            };
            let (from, lacking) = (those(|tally| tally.kept > 0), those(Tally::lacks_it));
            match put_in_place(&part, &place) {
                Ok(()) => ItemEnd::Fetched { from, lacking },
                Err(error) => ItemEnd::Disk(error.to_string()),
            }
        }
        engine::Outcome::Disk(error) => ItemEnd::Disk(error),
        _ => {
            let last = |(host, tally): (&usize, &Tally)| Some((*host, tally.failures.last()?.clone()));
            let mut tried: Vec<_> = hosts.iter().zip(&ended.tallies).filter_map(last).collect();
            tried.extend(lost.into_iter().filter(|(host, _)| !hosts.contains(host)));
            ItemEnd::Failed(tried)
        }
    }
}

/// The hosts of a race. Those that are out of order are left out, unless all are; one that wants to be left alone for
/// a while is asked when the others do not deliver.
fn sources(batch: &Batch, shared: &Shared, index: usize, item: &Item) -> (Vec<usize>, Vec<Source>) {
    let (mut usable, mut others) = ((Vec::new(), Vec::new()), (Vec::new(), Vec::new()));
    for ItemPlace { host, tier, url } in &item.places {
        let known = match url {
            Some(url) => Ok(Located::There(url.clone())),
            None => batch.locate.known(*host, index),
        };
        let Ok(located) = known else { continue };
        let state = shared.lock();
        let is_out = state.failures[*host] >= MOST_FAILURES;
        let tier = if state.manners[*host].allow(0, now()) { *tier } else { u8::MAX };
        drop(state);
        let Host { name, expectation, .. } = batch.hosts[*host].clone();
        let (url, doubt) = match located {
            Located::There(url) => (url, None),
            Located::Perhaps(url) => (url, Some(Doubt::Unknown(find(batch.locate.clone(), *host, index)))),
        };
        let place = Place { name, url, doubt, size: Some(item.size), refuse_html: true };
        let of = if is_out { &mut others } else { &mut usable };
        of.0.push(*host);
        of.1.push(Source { place, expectation: Expectation { tier, ..expectation } });
    }
    if usable.0.is_empty() { others } else { usable }
}

/// Finds out where a host has the file on the thread that asks for it, so that nobody waits for one that is silent.
fn find(locate: Arc<dyn Locate>, host: usize, item: usize) -> Find {
    Box::new(move |agent| {
        let found = locate.find(host, item, agent);
        if found.is_err() {
            // A mirror that cannot say where it has the file is not asked for it.
            agent.canceller().cancel();
        }
        found.ok()
    })
}

/// Hands the progress of a race on to the whole.
struct Relay<'a> {
    shared: &'a Shared,
    hosts: &'a [usize],
}

impl Observer for Relay<'_> {
    fn progress(&mut self, now: Instant, snapshot: &Snapshot) {
        let mut state = self.shared.lock();
        let came = snapshot.have.saturating_sub(state.racing);
        state.racing = snapshot.have;
        state.race_resumed = snapshot.resumed;
        let elapsed = state.elapsed(now);
        let total: f64 = snapshot.rates.iter().map(|(_, rate)| rate).sum();
        for (source, rate) in snapshot.rates.iter().filter(|_| total > 0.0) {
            let Some(host) = self.hosts.get(*source) else { continue };
            // The cast saturates.
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a share of an integer"
            )]
            let share = (came as f64 * rate / total) as u64;
            state.meters[*host].add(elapsed, share);
        }
    }

    fn note(&mut self, line: &str) {
        self.shared.lock().notes.push(line.to_owned());
    }
}
