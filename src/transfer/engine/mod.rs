//! A transfer from many sources: threads and disk around the scheduler, and verification; [`repair`] when the file
//! turns out to be wrong.

mod clock;
mod last_hope;
mod limits;
mod repair;
mod size;
mod tally;
mod task;
mod telling;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use super::blame::{Opinion, Origin};
use super::hashing::Hashing;
pub use super::observer::{Files, Observer, Snapshot, Stage};
use super::scheduler::{Action, Expectation, Plan, Scheduler, SourceId, Time};
use super::segments::Segments;
use super::sink::{Finished, Hold, Shelf, Sink, SinkError};
use super::speed::SpeedLimit;
use super::trace::{Recorder, What};
use super::worker::{Buffers, Report, Worker};
use crate::http::{ByteRange, Client, Failure};
use crate::patience::{LOST, SILENCE};
use crate::portage::{Algorithm, Digest};
use clock::Clock;
use repair::Audit;
pub use tally::Tally;
pub use task::{Ended, Limits, Outcome, Source, Surroundings, Wanted, identity};

/// Reports that may wait to be dealt with: a slow disk slows the sources down.
const REPORTS: usize = 64;

/// Fetches `wanted` to the file that is held.
pub fn run(
    hold: Hold,
    wanted: &Wanted,
    sources: Vec<Source>,
    limits: &Limits,
    client: &Client,
    around: &dyn Surroundings,
    observer: &mut dyn Observer,
) -> Ended {
    let count = sources.len();
    let (sender, reports) = sync_channel(REPORTS);
    let (places, expectations): (Vec<_>, Vec<_>) =
        sources.into_iter().map(|s| (s.place, s.expectation)).unzip();
    let names: Vec<String> = places.iter().map(|p| p.name.clone()).collect();
    let buffers = Buffers::default();
    let worker = |(id, place)| {
        Worker::new(id, place, client.clone(), limits.limiter.clone(), buffers.clone(), sender.clone())
    };
    let workers = places.into_iter().enumerate().map(worker).collect();
    drop(sender);
    let mut transfer = Transfer {
        wanted,
        limits,
        expectations,
        trace: Recorder::new(wanted.trace, wanted.aloud, &names),
        names,
        workers,
        reports,
        buffers,
        around,
        observer,
        clock: Clock::start(now()),
        told: None,
        resumed: 0,
        tallies: vec![Tally::default(); count],
        current: vec![Current::default(); count],
        shares: BTreeMap::new(),
        opinions: Vec::new(),
        camps: VecDeque::new(),
        camp: None,
        doubted: BTreeSet::new(),
        room: None,
        shelves: BTreeMap::new(),
        alone: Vec::new(),
        audited: Audit::Nothing,
        had_turn: BTreeSet::new(),
        on_trust: Segments::new(),
        earlier_dropped: false,
        began_anew: false,
        speed: SpeedLimit::new(limits.speed),
        in_order: false,
        verified: None,
    };
    let outcome = match transfer.fetch(hold) {
        Ok(outcome) => outcome,
        Err(error) => Outcome::Disk(error.to_string()),
    };
    transfer.tell_who_was_silent();
    for worker in &mut transfer.workers {
        worker.close();
    }
    transfer.say_what_happened();
    let elapsed = now().saturating_duration_since(transfer.clock.began);
    let size = if let Outcome::Verified { size, .. } = outcome { Some(size) } else { wanted.size };
    let trace = transfer.trace.finish(size, elapsed).filter(|_| wanted.trace);
    let Transfer { tallies, resumed, verified: file, .. } = transfer;
    Ended { outcome, tallies, elapsed, resumed, trace, file }
}

/// What the engine remembers of a source's request under way.
#[derive(Clone, Copy, Debug, Default)]
struct Current {
    asked: Option<Instant>,
    /// Since its answer began: up to when the time has been counted as receiving.
    counted: Option<Instant>,
}

struct Transfer<'a> {
    wanted: &'a Wanted,
    limits: &'a Limits,
    expectations: Vec<Expectation>,
    names: Vec<String>,
    trace: Recorder,
    workers: Vec<Worker>,
    reports: Receiver<Report>,
    buffers: Buffers,
    around: &'a dyn Surroundings,
    observer: &'a mut dyn Observer,
    clock: Clock,
    told: Option<Instant>,
    /// Bytes that were there at the beginning.
    resumed: u64,
    tallies: Vec<Tally>,
    current: Vec<Current>,
    /// Who sent which bytes of what is there.
    shares: BTreeMap<Origin, Segments>,
    /// What was said of ranges, to find out who is wrong.
    opinions: Vec<Opinion>,
    /// Those who may still complete the file by themselves, and those who are at it.
    camps: VecDeque<Vec<Origin>>,
    camp: Option<Vec<Origin>>,
    /// Who named a size that was not believed.
    doubted: BTreeSet<SourceId>,
    /// The room on the disk when a size was first heard of, in bytes.
    room: Option<(u64, u64)>,
    /// What was given up of what each source sent, until the digests decide.
    shelves: BTreeMap<Origin, Shelf>,
    /// Who sent a whole file that was wrong, and its digests.
    alone: Vec<(SourceId, Vec<Digest>)>,
    audited: Audit,
    /// Who was asked for the whole file because nobody knows who is right.
    had_turn: BTreeSet<SourceId>,
    /// What of the bytes that lay there was kept although others there were wrong.
    on_trust: Segments,
    /// What lay there was fetched again, on suspicion.
    earlier_dropped: bool,
    /// The file was fetched from the beginning once more.
    began_anew: bool,
    speed: SpeedLimit,
    /// Nothing can be kept ahead of its turn.
    in_order: bool,
    /// See [`Ended::file`].
    verified: Option<Finished>,
}

impl Transfer<'_> {
    fn fetch(&mut self, hold: Hold) -> Result<Outcome, SinkError> {
        let identity = identity(&self.wanted.digests);
        let mut sink = Sink::open(hold, self.wanted.resume, &identity, self.wanted.size)?;
        if self.wanted.size.is_some_and(|size| sink.prefix() > size) {
            sink.clear()?;
        }
        self.resumed = sink.present().len();
        self.shares.insert(Origin::Earlier, sink.present());
        self.trace.begin(sink.prefix(), self.resumed);
        let mut size = self.wanted.size;
        let mut fetched = false;
        self.find_room(&sink)?;
        let mut scheduler = self.scheduler(&sink);
        loop {
            self.shares.retain(|_, share| !share.is_empty());
            let mut hashing = Hashing::new(sink.file(), self.algorithms());
            hashing.committed(sink.prefix());
            if size != Some(sink.prefix()) {
                fetched = true;
                match self.round(&mut scheduler, &mut sink, &mut hashing, size)? {
                    RoundEnd::Complete(learned) => size = Some(learned),
                    RoundEnd::Longer(learned) => {
                        // What lay there is longer than the mirrors' file, so it is another file, or they
                        // have another one.
                        if self.is_whole(hashing, &sink)? {
                            return self.verified(sink, false);
                        }
                        size = Some(learned);
                        self.give_up(&mut sink, &everything())?;
                        continue;
                    }
                    RoundEnd::Doubtful(doubtful) => {
                        if let Some(outcome) = self.doubt(doubtful, &scheduler, &mut sink)? {
                            return Ok(outcome);
                        }
                        size = None;
                        continue;
                    }
                    RoundEnd::Over(Outcome::NoSource) if self.ask_the_busy_again(&mut scheduler) => continue,
                    RoundEnd::Over(Outcome::NoSource) if scheduler.ask_plainly() => continue,
                    RoundEnd::Over(Outcome::NoSource) if self.lose_hope(&mut scheduler, &mut sink)? => {
                        continue;
                    }
                    RoundEnd::Over(Outcome::NoSource) if size.is_none() && sink.prefix() > 0 => {
                        // Nobody could tell the size: what lies there may be the whole file.
                        if self.is_whole(hashing, &sink)? {
                            return self.verified(sink, false);
                        }
                        return Ok(Outcome::NoSource);
                    }
                    RoundEnd::Over(Outcome::NoSource) if self.camp.is_some() => {
                        // This camp cannot complete the file.
                        if self.next_camp(&mut sink)? || self.next_alone(&mut scheduler, &mut sink)? {
                            continue;
                        }
                        return Ok(Outcome::NoSource);
                    }
                    RoundEnd::Over(outcome) => return Ok(outcome),
                }
            }
            let total = size.unwrap_or_else(|| sink.prefix());
            self.tell(Stage::Verifying, &sink, size, None);
            let Some(digests) = self.digests(hashing, total, sink.path())? else {
                return Ok(self.interrupted());
            };
            if self.wanted.digests.agree_with(&digests) && sink.prefix() == total {
                self.trace.note(None, What::Verified, self.clock.time(now()));
                self.convict(&scheduler, &sink)?;
                self.excuse_odd_answers(&scheduler);
                return self.verified(sink, fetched);
            }
            // Somebody else's bytes may be what is wrong.
            if self.only_hopes_sent(&scheduler) && self.lose_hope(&mut scheduler, &mut sink)? {
                continue;
            }
            if let Some(outcome) = self.repair(&mut scheduler, &mut sink, digests)? {
                return Ok(outcome);
            }
            if self.wanted.size.is_none() {
                size = None; // it may be the wrong ones who said so
            }
        }
    }

    /// What lies there is the file.
    fn verified(&mut self, sink: Sink, fetched: bool) -> Result<Outcome, SinkError> {
        let size = sink.prefix();
        self.verified = Some(sink.finish()?);
        Ok(Outcome::Verified { size, fetched })
    }

    /// Whether what lies there is the file already.
    fn is_whole(&self, hashing: Hashing, sink: &Sink) -> Result<bool, SinkError> {
        let digests = self.digests(hashing, sink.prefix(), sink.path())?;
        Ok(digests.is_some_and(|digests| self.wanted.digests.agree_with(&digests)))
    }

    fn algorithms(&self) -> Vec<Algorithm> {
        self.wanted.digests.iter().map(|d| d.algorithm).collect()
    }

    /// The digests of the first bytes; none when a signal asks for the end.
    fn digests(&self, hashing: Hashing, length: u64, path: &Path) -> Result<Option<Vec<Digest>>, SinkError> {
        let is_over = || self.around.signalled().is_some();
        hashing.finish(length, &is_over).map_err(|e| SinkError::new(path, &e))
    }

    fn interrupted(&self) -> Outcome {
        self.around.signalled().map_or(Outcome::NoSource, Outcome::Signal)
    }

    fn scheduler(&self, sink: &Sink) -> Scheduler {
        Scheduler::new(Plan {
            size: self.wanted.size,
            present: sink.present(),
            sources: self.expectations.clone(),
            parallel: if self.in_order { 1 } else { self.limits.parallel },
            retries: self.limits.retries,
            silence: self.limits.speed.map_or(SILENCE, |(_, time)| time),
        })
    }

    /// Asks the sources until everything is there.
    fn round(
        &mut self,
        scheduler: &mut Scheduler,
        sink: &mut Sink,
        hashing: &mut Hashing,
        size: Option<u64>,
    ) -> Result<RoundEnd, SinkError> {
        let camp = self.camp.clone();
        let doubted = self.doubted.clone();
        let takes_part = |id: SourceId| {
            camp.as_ref().is_none_or(|camp| camp.contains(&Origin::Source(id))) && !doubted.contains(&id)
        };
        self.clock.worked(now());
        scheduler.again(size, &sink.present(), takes_part, self.clock.look(now()));
        self.tick(scheduler);
        loop {
            for action in scheduler.take_actions() {
                self.perform(&action, scheduler);
            }
            if let Some(size) = scheduler.size().filter(|_| self.wanted.size.is_none())
                && (scheduler.refuted_size() == Some(size) || self.lacks_room(sink, size))
            {
                return Ok(RoundEnd::Doubtful(size));
            }
            let end = match scheduler.size() {
                Some(size) if size < sink.prefix() => Some(RoundEnd::Longer(size)),
                Some(size) if scheduler.is_complete() => Some(RoundEnd::Complete(size)),
                _ if scheduler.is_stuck() => Some(RoundEnd::Over(Outcome::NoSource)),
                _ => None,
            };
            if let Some(end) = end {
                self.note_failures(scheduler);
                return Ok(end);
            }
            let time = self.clock.look(now());
            if let Some(outcome) = self.too_long(sink, scheduler.size(), time) {
                return Ok(RoundEnd::Over(outcome));
            }
            if let Some(silence) = scheduler.cut_off(time) {
                return Ok(RoundEnd::Over(Outcome::CutOff(silence)));
            }
            let wait = scheduler.wake(time).saturating_sub(time);
            match self.wait(wait) {
                Ok(report) => self.hear(report, scheduler, sink, hashing)?,
                Err(RecvTimeoutError::Timeout) => self.tick(scheduler),
                Err(RecvTimeoutError::Disconnected) => return Ok(RoundEnd::Over(Outcome::NoSource)),
            }
            let rates = (0..self.workers.len()).filter_map(|id| Some((id, scheduler.rate(id, time)?)));
            self.tell(Stage::Receiving, sink, scheduler.size(), Some(rates.collect()));
        }
    }

    fn tick(&mut self, scheduler: &mut Scheduler) {
        let time = self.clock.look(now());
        scheduler.set_beside(self.around.beside());
        for id in 0..self.workers.len() {
            if let Some(rest) = self.around.rest(id) {
                scheduler.rest(id, time + rest);
            }
            let (asked, connected) = (self.current[id].asked, self.workers[id].connected_at());
            if let Some(time) = connected.zip(asked).and_then(|(at, asked)| at.checked_duration_since(asked))
            {
                scheduler.connected(id, time);
            }
        }
        scheduler.tick(time);
    }

    /// Waits for a report.
    fn wait(&mut self, time: Duration) -> Result<Report, RecvTimeoutError> {
        let report = self.reports.recv_timeout(time);
        self.clock.waited(time, now());
        report
    }

    fn perform(&mut self, action: &Action, scheduler: &mut Scheduler) {
        self.trace.performed(action, self.clock.look(now()));
        match *action {
            Action::Open { source, range, manner } => {
                self.tallies[source].requests += 1;
                self.around.on_asked(source);
                self.current[source] = Current { asked: Some(now()), counted: None };
                if let Err(failure) = self.workers[source].open(range, manner) {
                    self.tallies[source].excused.push(failure.clone());
                    scheduler.failed(source, failure, self.clock.look(now()));
                }
            }
            Action::Shorten { source, end } => self.workers[source].shorten(end),
            Action::Close { source } => {
                self.workers[source].close();
                self.settle(source, now());
            }
        }
    }

    /// Deals with what a source reports.
    fn hear(
        &mut self,
        report: Report,
        scheduler: &mut Scheduler,
        sink: &mut Sink,
        hashing: &mut Hashing,
    ) -> Result<(), SinkError> {
        match report {
            Report::Opened { source, request, opened, peer, at } => {
                if self.workers[source].request() != request {
                    return Ok(());
                }
                let current = &mut self.current[source];
                current.counted = Some(at);
                if let (Some(asked), false) = (current.asked, opened.reused) {
                    self.tallies[source].first_byte.get_or_insert(at.saturating_duration_since(asked));
                }
                self.trace.opened(source, peer, opened.reused, self.clock.time(at));
                self.around.on_opened(source);
                scheduler.opened(source, opened, self.clock.time(at));
            }
            Report::Received { source, request, bytes, at } => {
                let len = bytes.len() as u64;
                let current = self.workers[source].request() == request;
                if current {
                    self.count_receiving(source, at);
                }
                let received = || scheduler.received(source, len, self.clock.time(at));
                let kept = current.then(received).flatten().unwrap_or_default();
                let kept_len = usize::try_from(kept.len()).unwrap_or(usize::MAX);
                if kept_len > 0 {
                    sink.write(kept.first, &bytes[..kept_len])?;
                    hashing.committed(sink.prefix());
                    while sink.advance()? {
                        hashing.committed(sink.prefix());
                    }
                    self.shares.entry(Origin::Source(source)).or_default().insert(kept);
                }
                self.trace.received(source, kept, len - kept.len(), sink.prefix(), self.clock.time(at));
                self.tallies[source].kept += kept.len();
                self.tallies[source].wasted += len - kept.len();
                self.buffers.give_back(bytes);
                if current && kept.len() < len {
                    // The source sends beyond what it is to send.
                    let moved_on = self.workers[source].request() != request;
                    if !moved_on {
                        self.workers[source].close();
                    }
                    self.settle(source, at);
                }
            }
            Report::Skipped { source, bytes } => {
                self.trace.wasted(source, bytes, self.clock.time(now()));
                self.tallies[source].wasted += bytes;
            }
            Report::Ended { source, request, at } => {
                let is_empty = self.current[source].counted.is_some() && self.tallies[source].kept == 0;
                if is_empty && !self.has_reason(scheduler, source) {
                    self.tallies[source].failures.push(Failure::Truncated); // an answer without content
                }
                self.settle(source, at);
                if self.workers[source].request() == request {
                    self.trace.ended(source, self.clock.time(at));
                    scheduler.ended(source, self.clock.time(at));
                }
            }
            Report::Failed { source, request, failure, at } => {
                if self.workers[source].request() != request {
                    return Ok(());
                }
                self.settle(source, at);
                self.trace.failed(source, &failure, self.clock.time(at));
                let is_excused = self.is_excused(scheduler, &failure, at)
                    || self.wanted.size.is_none() && failure.is_about_size();
                if !is_excused || failure.rest().is_some() {
                    self.around.on_failure(source, &failure);
                }
                scheduler.failed(source, failure.clone(), self.clock.time(at));
                // A request beyond the end of the file, made before the end was known, is no failure.
                if failure == Failure::Cancelled || scheduler.failure(source) != Some(&failure) {
                    return Ok(());
                }
                if self.has_reason(scheduler, source) {
                    return Ok(());
                }
                if !is_excused {
                    self.say_skipped(scheduler, source, &failure);
                }
                let tally = &mut self.tallies[source];
                if is_excused { tally.excused.push(failure) } else { tally.failures.push(failure) }
            }
        }
        Ok(())
    }

    /// Whether a failure is not the source's: we lack something ourselves, the process was stopped, or nothing came from
    /// anybody before it either.
    fn is_excused(&self, scheduler: &Scheduler, failure: &Failure, at: Instant) -> bool {
        let is_link = || {
            self.clock.was_stopped(at)
                || self.workers.len() > 1
                    && scheduler.has_received()
                    && scheduler.is_quiet(self.clock.time(at))
        };
        matches!(failure, Failure::Local(_)) || !failure.is_an_answer() && is_link()
    }

    /// Whoever is not connected long after he was asked, while others delivered, has not failed before the end, but is
    /// of no use to anybody else either.
    fn tell_who_was_silent(&self) {
        let delivered = |id: SourceId| self.tallies[id].kept > 0;
        for (id, current) in self.current.iter().enumerate() {
            let waited = current.asked.map(|asked| now().saturating_duration_since(asked));
            let was_seen = self.tallies[id].first_byte.is_some() || delivered(id);
            let is_connected = current.counted.is_some() || self.workers[id].connected_at().is_some();
            let Some(waited) = waited.filter(|waited| *waited >= LOST && !was_seen && !is_connected) else {
                continue;
            };
            if (0..self.workers.len()).any(delivered) {
                self.around.on_failure(id, &Failure::ConnectTimeout(waited));
            }
        }
    }

    /// Counts the time since the last report as receiving. No report says when the last byte of a request has
    /// come.
    fn count_receiving(&mut self, source: SourceId, at: Instant) {
        if let Some(counted) = &mut self.current[source].counted {
            self.tallies[source].receiving += at.saturating_duration_since(*counted);
            *counted = at;
        }
    }

    /// A request ends before its last byte. The silence before the end counts as receiving, too.
    fn settle(&mut self, source: SourceId, at: Instant) {
        self.count_receiving(source, at);
        self.current[source] = Current::default();
    }

    /// Adds the failures that the scheduler has found itself because nothing came.
    fn note_failures(&mut self, scheduler: &Scheduler) {
        let size_given = self.wanted.size.is_some();
        let is_about_size = |failure: &Failure| !size_given && failure.is_about_size();
        for (id, tally) in self.tallies.iter_mut().enumerate() {
            if let Some(failure) = scheduler.failure(id)
                && (!scheduler.is_plain(id) || tally.failures.is_empty())
                && *failure != Failure::Cancelled
                && tally.failures.last() != Some(failure)
                && tally.excused.last() != Some(failure)
            {
                let list = if is_about_size(failure) { &mut tally.excused } else { &mut tally.failures };
                list.push(failure.clone());
            }
        }
    }

    fn give_up(&mut self, sink: &mut Sink, wrong: &Segments) -> Result<(), SinkError> {
        let at = self.clock.time(now());
        for (origin, share) in &mut self.shares {
            for range in wrong.iter() {
                let lost = share.intersection(range);
                self.trace.given_up(origin.source(), &lost, at);
                if let Origin::Source(source) = origin {
                    self.tallies[*source].kept = self.tallies[*source].kept.saturating_sub(lost.len());
                    self.tallies[*source].wasted += lost.len();
                }
                share.remove(range);
            }
        }
        sink.retract(wrong)?;
        // What is not wrong may have had no room beside FILE.
        for gone in sink.present().gaps(ByteRange::new(0, u64::MAX)).iter() {
            self.shares.values_mut().for_each(|share| share.remove(gone));
        }
        Ok(())
    }
}

enum RoundEnd {
    /// A size that was learned and that is probably wrong.
    Doubtful(u64),
    /// The file's size.
    Complete(u64),
    /// The file's size, which is less than what is there.
    Longer(u64),
    Over(Outcome),
}

fn everything() -> Segments {
    Segments::of(ByteRange::new(0, u64::MAX))
}

#[expect(clippy::disallowed_methods, reason = "the engine is where the scheduler's clock is read")]
fn now() -> Instant {
    Instant::now()
}
