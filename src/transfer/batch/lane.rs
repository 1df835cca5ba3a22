//! One connection to one host, and the thread that fetches small files over it.

use std::fs;
use std::ops::ControlFlow;
use std::sync::PoisonError;

use super::{
    BUFFER, Batch, ItemEnd, ItemState, MOST_FAILURES, PULSE, Shared, Signalled, Work, is_there, now, part_of,
    put_in_place,
};
use crate::http::{Agent, Ask, Failure, Question, Url};
use crate::transfer::engine;
use crate::transfer::sink::{Sink, SinkError};

pub(super) struct Lane<'a> {
    batch: &'a Batch<'a>,
    shared: &'a Shared,
    host: usize,
    /// It takes the last of what is to be done.
    from_the_end: bool,
    agent: Agent,
}

impl<'a> Lane<'a> {
    pub(super) fn new(batch: &'a Batch<'a>, shared: &'a Shared, host: usize, from_the_end: bool) -> Self {
        let agent = batch.client.agent_at(&batch.hosts[host].name);
        Self { batch, shared, host, from_the_end, agent }
    }

    pub(super) fn run(mut self, signalled: &Signalled) {
        while let Some(item) = self.take(signalled) {
            let end = self.serve(item);
            self.finish(item, end);
        }
        self.batch.client.keep(&self.batch.hosts[self.host].name, self.agent);
    }

    /// Waits for a file to fetch; none when there will be none for this host.
    fn take(&mut self, signalled: &Signalled) -> Option<usize> {
        let mut state = self.shared.lock();
        loop {
            if signalled().is_some() || state.failures[self.host] >= MOST_FAILURES {
                return None;
            }
            let welcome = state.is_welcome(self.host, now());
            let has_room = welcome && state.has_room(self.batch);
            let next = state.next(self.batch, self.host, self.from_the_end);
            if let Some(item) = next.filter(|_| has_room) {
                let ItemState::Waiting(tried) = &mut state.items[item] else { return None };
                let tried = std::mem::take(tried);
                state.items[item] = ItemState::Taken(tried);
                if self.agent.is_cancelled() {
                    self.agent = self.batch.client.agent_at(&self.batch.hosts[self.host].name);
                }
                let canceller = self.agent.canceller();
                let at = now();
                state.at_work.push(Work { item, host: self.host, since: at, last: at, came: 0, canceller });
                return Some(item);
            }
            // What others have at hand may come back.
            let undone = state.items.iter().zip(&self.batch.items).any(|(item, wanted)| {
                wanted.size < state.raced_from
                    && wanted.place(self.host).is_some()
                    && match item {
                        ItemState::Waiting(tried) | ItemState::Taken(tried) => {
                            state.may_be_left(self.host, tried)
                        }
                        ItemState::Done(_) => false,
                    }
            });
            if !undone {
                return None;
            }
            // One that has to wait does not take what others are slow with.
            let idle = usize::from(welcome);
            state.idle[self.host] += idle;
            (state, _) =
                self.shared.changed.wait_timeout(state, PULSE).unwrap_or_else(PoisonError::into_inner);
            state.idle[self.host] -= idle;
        }
    }

    fn serve(&mut self, item: usize) -> Result<ItemEnd, Miss> {
        let wanted = &self.batch.items[item];
        let place = self.batch.folder.join(wanted.name.as_str());
        let lock = (self.batch.lock)(&wanted.name).map_err(Miss::Disk)?;
        let Some(_lock) = lock else { return Ok(ItemEnd::Locked) };
        if is_there(&place, wanted.size) {
            return Ok(ItemEnd::Present);
        }
        let url = match wanted.place(self.host).and_then(|place| place.url.clone()) {
            Some(url) => url,
            None => self.batch.locate.find(self.host, item, &mut self.agent).map_err(Miss::Layout)?,
        };
        let part = part_of(&place);
        let identity = engine::identity(&wanted.digests);
        let opened = Sink::open(&part, true, &identity, Some(wanted.size), |_| ControlFlow::Break(()))?;
        let ControlFlow::Continue(mut sink) = opened else { return Ok(ItemEnd::Locked) };
        loop {
            if sink.prefix() > wanted.size {
                sink.clear()?;
            }
            let resumed = sink.prefix();
            self.shared.lock().count_resumed(item, resumed);
            if resumed < wanted.size {
                self.receive(item, &url, &mut sink)?;
            }
            if engine::is_right(&part, &wanted.digests, wanted.size) {
                put_in_place(&part, &place)?;
                return Ok(ItemEnd::Fetched { from: vec![self.host], lacking: Vec::new() });
            }
            let mut state = self.shared.lock();
            state.have = state.have.saturating_sub(wanted.size);
            drop(state);
            sink.clear()?;
            if resumed == 0 {
                let _ = fs::remove_file(&part);
                return Err(Miss::Corrupt);
            }
            // Nobody knows who wrote the first part: once more, all of it.
        }
    }

    /// Brings the rest of a file.
    fn receive(&mut self, item: usize, url: &Url, sink: &mut Sink) -> Result<(), Miss> {
        let wanted = &self.batch.items[item];
        let question =
            Question { first: sink.prefix(), end: None, size: Some(wanted.size), refuse_html: true };
        let asked = now();
        self.shared.lock().tallies[self.host].requests += 1;
        let (judged, mut answer) = self.agent.open(url, &question, &Ask::bytes(&question))?;
        let opened = now();
        if answer.connect_time.is_some() {
            let mut state = self.shared.lock();
            state.tallies[self.host].first_byte.get_or_insert(opened.saturating_duration_since(asked));
        }
        let mut over = sink.prefix() - judged.first_pos;
        let mut buffer = vec![0; BUFFER];
        while sink.prefix() < wanted.size {
            let step = self.batch.limits.limiter.step(BUFFER);
            let n = answer.content.read(&mut buffer[..step])?;
            if n == 0 {
                return Err(Miss::Host(Failure::Truncated));
            }
            self.batch.limits.limiter.spend(n);
            let skip = usize::try_from(over).map_or(n, |over| over.min(n));
            over -= skip as u64;
            let room = usize::try_from(wanted.size - sink.prefix()).unwrap_or(usize::MAX);
            let bytes = &buffer[skip..n.min(skip.saturating_add(room))];
            sink.write(sink.prefix(), bytes)?;
            self.note_progress(item, bytes.len() as u64, (n - bytes.len()) as u64);
        }
        answer.content.drain();
        let mut state = self.shared.lock();
        state.tallies[self.host].receiving += now().saturating_duration_since(opened);
        Ok(())
    }

    fn note_progress(&self, item: usize, kept: u64, wasted: u64) {
        let mut state = self.shared.lock();
        state.tallies[self.host].kept += kept;
        state.tallies[self.host].wasted += wasted;
        state.have += kept;
        let at = now();
        let host = self.host;
        if let Some(work) = state.at_work.iter_mut().find(|w| w.item == item && w.host == host) {
            work.last = at;
            work.came += kept;
        }
        let elapsed = state.elapsed(at);
        state.meters[host].add(elapsed, kept);
    }

    fn finish(&mut self, item: usize, end: Result<ItemEnd, Miss>) {
        let wanted = &self.batch.items[item];
        let mut state = self.shared.lock();
        let host = self.host;
        if let Some(index) = state.at_work.iter().position(|w| w.item == item && w.host == host) {
            let work = state.at_work.swap_remove(index);
            state.done.add(work.speed(now()));
        }
        let ItemState::Taken(tried) = &mut state.items[item] else { return };
        let mut tried = std::mem::take(tried);
        state.items[item] = match end {
            Ok(end) => {
                let end = match end {
                    ItemEnd::Fetched { from, .. } => {
                        state.failures[host] = 0;
                        state.manners[host].answered();
                        state.count_had(self.batch, item, &from);
                        ItemEnd::Fetched { from, lacking: tried.lacking().collect() }
                    }
                    end => end,
                };
                ItemState::Done(end)
            }
            Err(Miss::Disk(error)) => ItemState::Done(ItemEnd::Disk(error)),
            // It is asked for this file again, but not now.
            Err(Miss::Host(failure) | Miss::Layout(failure)) if state.manners[host].heed(&failure, now()) => {
                ItemState::Waiting(tried)
            }
            Err(miss @ (Miss::Host(_) | Miss::Layout(_))) => {
                let no_layout = matches!(miss, Miss::Layout(_));
                let (Miss::Host(failure) | Miss::Layout(failure)) = miss else { return };
                let no_layout = no_layout && failure != Failure::Cancelled && !failure.is_not_found();
                if no_layout || matches!(failure, Failure::Status { code: 429, .. }) {
                    state.failures[host] = MOST_FAILURES; // it does not want us at all
                }
                if failure == Failure::Cancelled {
                    state.count_slow(host, now());
                } else {
                    state.failures[host] += u32::from(!failure.is_not_found());
                    state.tallies[host].failures.push(failure.clone());
                }
                let lacks = failure.is_not_found() && self.batch.hosts[host].expectation.mirror;
                tried.0.push((host, failure));
                if lacks {
                    state.count_lacking(self.batch, item);
                }
                ItemState::Waiting(tried)
            }
            Err(Miss::Corrupt) => {
                state.failures[host] += 1;
                state.tallies[host].corrupt = true;
                let name = &self.batch.hosts[host].name;
                let note =
                    format!("{}: {name} sent wrong bytes: they are fetched again elsewhere", wanted.name);
                state.notes.push(note);
                tried.0.push((host, Failure::WrongContent));
                ItemState::Waiting(tried)
            }
        };
        drop(state);
        self.shared.changed.notify_all();
    }
}

/// Why a host did not bring a file.
enum Miss {
    Host(Failure),
    /// It could not say where it has the file.
    Layout(Failure),
    Corrupt,
    Disk(String),
}

impl From<Failure> for Miss {
    fn from(failure: Failure) -> Self {
        Self::Host(failure)
    }
}

impl From<SinkError> for Miss {
    fn from(error: SinkError) -> Self {
        Self::Disk(error.to_string())
    }
}
