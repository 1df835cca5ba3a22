//! The large files of a batch, raced one after another beside the lanes.

use std::time::Instant;

use super::{
    Batch, Host, Item, ItemEnd, ItemPlace, ItemState, Shared, Signalled, is_there, part_of, put_in_place,
};
use crate::http::Url;
use crate::transfer::engine::{self, Observer, Snapshot, Source, Tally, Wanted};
use crate::transfer::scheduler::Expectation;
use crate::transfer::worker::Place;

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
    let mut hosts = Vec::new();
    let mut sources = Vec::new();
    for ItemPlace { host, tier, url } in &item.places {
        let Some(url) = url.clone().or_else(|| locate(batch, shared, *host, index, signalled)) else {
            continue;
        };
        let Host { name, expectation, .. } = batch.hosts[*host].clone();
        let place = Place { name, url, doubt: None, size: Some(item.size), refuse_html: true };
        sources.push(Source { place, expectation: Expectation { tier: *tier, ..expectation } });
        hosts.push(*host);
    }
    let part = part_of(&place);
    let wanted = Wanted { size: Some(item.size), digests: item.digests.clone(), resume: true, trace: false };
    let mut relay = Relay { shared, hosts: &hosts };
    let ended = engine::run(&part, &wanted, sources, &batch.limits, batch.client, signalled, &mut relay);
    let mut state = shared.lock();
    for (host, tally) in hosts.iter().zip(&ended.tallies) {
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
            ItemEnd::Failed(hosts.iter().zip(&ended.tallies).filter_map(last).collect())
        }
    }
}

/// Asks a host for its layout, if need be, and leaves the connection to the race.
fn locate(batch: &Batch, shared: &Shared, host: usize, item: usize, signalled: &Signalled) -> Option<Url> {
    let name = &batch.hosts[host].name;
    let mut agent = batch.client.agent_at(name);
    shared.lock().asking = Some(agent.canceller());
    if signalled().is_some() {
        return None;
    }
    let url = (batch.locate)(host, item, &mut agent);
    shared.lock().asking = None;
    batch.client.keep(name, agent);
    url
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
