//! A transfer from many sources: threads and disk around the scheduler, verification, blame and repair.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use super::audit::audit;
use super::blame::{Blame, Origin, Verdict, samples};
use super::hashing::{Hashing, digests_of};
use super::limiter::Limiter;
use super::scheduler::{Action, Expectation, Plan, Scheduler, SourceId, Time};
use super::segments::Segments;
use super::sink::{Sink, SinkError};
use super::worker::{Buffers, Place, Report, Worker};
use crate::http::{ByteRange, Client, Failure};
use crate::portage::{Algorithm, Digest, Digests};

/// Reports that may wait to be dealt with: a slow disk slows the sources down.
const REPORTS: usize = 64;
/// How often the progress is told.
const TELL: Duration = Duration::from_millis(100);

/// The file that is wanted.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Bytes; learned from the first answer when absent.
    pub size: Option<u64>,
    /// Not empty: without digests bytes of several sources are not mixed.
    pub digests: Digests,
    /// Keep what lies at the output's place and go on from there.
    pub resume: bool,
}

/// A source and what is expected of it.
pub struct Source {
    pub place: Place,
    pub expectation: Expectation,
}

#[derive(Clone, Debug)]
pub struct Limits {
    pub parallel: usize,
    pub retries: u32,
    pub limiter: Limiter,
    /// For all of it.
    pub time: Option<Duration>,
    /// Slower than so many bytes per second for so long ends the transfer.
    pub speed: Option<(u64, Duration)>,
}

/// How one source fared in a transfer.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub requests: u32,
    /// Bytes that became part of the file.
    pub kept: u64,
    /// Bytes received for nothing.
    pub wasted: u64,
    /// Time until the first byte over a new connection.
    pub first_byte: Option<Duration>,
    /// Time during which content was being received.
    pub receiving: Duration,
    pub failures: Vec<Failure>,
    /// It sent wrong bytes.
    pub corrupt: bool,
}

/// Told while a transfer goes on.
pub trait Observer {
    fn progress(&mut self, now: Instant, snapshot: &Snapshot);
    /// Something that the user should know, though it does not end the transfer.
    fn note(&mut self, line: &str);
}

#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub have: u64,
    pub resumed: u64,
    pub size: Option<u64>,
    pub elapsed: Duration,
    pub stage: Stage,
    /// Sources at work, with their rates in bytes per second.
    pub rates: Vec<(SourceId, f64)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    #[default]
    Connecting,
    Receiving,
    Verifying,
    Repairing,
}

/// How a transfer ended. The file lies at its place in every case, as far as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The digests match. `fetched` is false when everything was there already.
    Verified {
        size: u64,
        fetched: bool,
    },
    /// No source could send what is missing.
    NoSource,
    /// The file came whole, and is wrong; `agreed`: at least two sources sent the same bytes.
    Mismatch {
        agreed: bool,
    },
    TimeUp(Duration),
    TooSlow {
        speed: u64,
        time: Duration,
    },
    Disk(String),
    Signal(i32),
}

#[derive(Debug)]
pub struct Ended {
    pub outcome: Outcome,
    /// One for each source.
    pub tallies: Vec<Tally>,
    pub elapsed: Duration,
}

/// Where signals are reported.
pub fn channel() -> (SyncSender<Report>, Receiver<Report>) {
    sync_channel(REPORTS)
}

/// Fetches `wanted` to `path`.
pub fn run(
    path: &Path,
    wanted: &Wanted,
    sources: Vec<Source>,
    limits: &Limits,
    client: &Client,
    (sender, reports): (SyncSender<Report>, Receiver<Report>),
    observer: &mut dyn Observer,
) -> Ended {
    let count = sources.len();
    let (places, expectations): (Vec<_>, Vec<_>) =
        sources.into_iter().map(|s| (s.place, s.expectation)).unzip();
    let names = places.iter().map(|p| p.name.clone()).collect();
    let buffers = Buffers::default();
    let mut workers = Vec::with_capacity(count);
    for (id, place) in places.into_iter().enumerate() {
        let (client, limiter) = (client.clone(), limits.limiter.clone());
        workers.push(Worker::start(id, place, client, limiter, buffers.clone(), sender.clone()));
    }
    drop(sender);
    let mut transfer = Transfer {
        wanted,
        limits,
        expectations,
        names,
        workers,
        reports,
        buffers,
        observer,
        began: now(),
        told: None,
        resumed: 0,
        tallies: vec![Tally::default(); count],
        current: vec![Current::default(); count],
        shares: BTreeMap::new(),
        blame: Blame::default(),
        slow_since: None,
    };
    let outcome = match transfer.fetch(path) {
        Ok(outcome) => outcome,
        Err(error) => Outcome::Disk(error.to_string()),
    };
    for worker in &mut transfer.workers {
        worker.close();
    }
    let elapsed = now().saturating_duration_since(transfer.began);
    Ended { outcome, tallies: transfer.tallies, elapsed }
}

/// What the engine remembers of a source's request under way.
#[derive(Clone, Copy, Debug, Default)]
struct Current {
    asked: Option<Instant>,
    opened: Option<Instant>,
}

struct Transfer<'a> {
    wanted: &'a Wanted,
    limits: &'a Limits,
    expectations: Vec<Expectation>,
    names: Vec<String>,
    workers: Vec<Worker>,
    reports: Receiver<Report>,
    buffers: Buffers,
    observer: &'a mut dyn Observer,
    began: Instant,
    told: Option<Instant>,
    /// Bytes that were there at the beginning.
    resumed: u64,
    tallies: Vec<Tally>,
    current: Vec<Current>,
    /// Who sent which bytes of what is there.
    shares: BTreeMap<Origin, Segments>,
    blame: Blame,
    /// Since when the transfer has been slower than allowed, and what had come by then.
    slow_since: Option<(Instant, u64)>,
}

impl Transfer<'_> {
    fn fetch(&mut self, path: &Path) -> Result<Outcome, SinkError> {
        let identity = self.wanted.digests.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        let mut sink = Sink::open(path, self.wanted.resume, &identity)?;
        if self.wanted.size.is_some_and(|size| sink.prefix() > size) {
            sink.retract(&Segments::of(ByteRange::new(0, sink.prefix())))?;
        }
        self.resumed = sink.present().len();
        self.shares.insert(Origin::Earlier, sink.present());
        let mut size = self.wanted.size;
        let mut excluded: Option<SourceId> = None;
        let mut fetched = false;
        loop {
            self.shares.retain(|_, share| !share.is_empty());
            let mut hashing = Hashing::new(sink.file(), self.algorithms());
            hashing.committed(sink.prefix());
            let complete = size == Some(sink.prefix());
            if !complete {
                fetched = true;
                match self.round(&mut sink, &mut hashing, size, excluded)? {
                    RoundEnd::Complete(learned) => size = Some(learned),
                    RoundEnd::Longer(learned) => {
                        // What lay there is longer than the file: it is something else.
                        size = Some(learned);
                        let all = Segments::of(ByteRange::new(0, sink.prefix()));
                        self.give_up(&mut sink, &all)?;
                        continue;
                    }
                    RoundEnd::Over(Outcome::NoSource) if size.is_none() && sink.prefix() > 0 => {
                        // Nobody could tell the size: what lies there may be the whole file.
                        let length = sink.prefix();
                        let digests = hashing.finish(length).map_err(|e| SinkError::new(path, &e))?;
                        let right = matches(&self.wanted.digests, &digests);
                        return Ok(if right {
                            Outcome::Verified { size: length, fetched }
                        } else {
                            Outcome::NoSource
                        });
                    }
                    RoundEnd::Over(Outcome::NoSource) if excluded.is_some() => {
                        self.blame.no_recheck();
                        excluded = None;
                        continue;
                    }
                    RoundEnd::Over(outcome) => return Ok(outcome),
                }
            }
            let total = size.unwrap_or_else(|| sink.prefix());
            self.tell(Stage::Verifying, &sink, size, None);
            let digests = hashing.finish(total).map_err(|e| SinkError::new(path, &e))?;
            if matches(&self.wanted.digests, &digests) {
                self.blame.verified();
                self.convict();
                sink.finish();
                return Ok(Outcome::Verified { size: total, fetched });
            }
            let verdict = match self.judge(&sink, digests)? {
                Ok(verdict) => verdict,
                Err(signal) => return Ok(Outcome::Signal(signal)),
            };
            excluded = None;
            self.convict();
            match verdict {
                Verdict::AllAgree => return Ok(Outcome::Mismatch { agreed: true }),
                Verdict::NobodyLeft => return Ok(Outcome::Mismatch { agreed: false }),
                Verdict::Convict(origins) => {
                    let mut wrong = Segments::new();
                    for origin in &origins {
                        self.note_wrong(*origin);
                        self.shares
                            .get(origin)
                            .into_iter()
                            .flat_map(Segments::iter)
                            .for_each(|r| wrong.insert(r));
                    }
                    if self.wanted.size.is_none() {
                        size = None; // it may be the wrong ones who said so
                    }
                    self.give_up(&mut sink, &wrong)?;
                }
                Verdict::Recheck(origin) => {
                    if let Origin::Source(source) = origin {
                        excluded = Some(source);
                    }
                    let share = self.shares.get(&origin).cloned().unwrap_or_default();
                    self.give_up(&mut sink, &share)?;
                }
            }
        }
    }

    fn algorithms(&self) -> Vec<Algorithm> {
        self.wanted.digests.iter().map(|d| d.algorithm).collect()
    }

    /// Asks the sources until everything is there.
    fn round(
        &mut self,
        sink: &mut Sink,
        hashing: &mut Hashing,
        size: Option<u64>,
        excluded: Option<SourceId>,
    ) -> Result<RoundEnd, SinkError> {
        let ids: Vec<SourceId> = (0..self.workers.len())
            .filter(|id| !self.blame.is_convicted(*id) && Some(*id) != excluded)
            .collect();
        if ids.is_empty() {
            return Ok(RoundEnd::Over(Outcome::NoSource));
        }
        let mut scheduler = Scheduler::new(Plan {
            size,
            present: sink.present(),
            sources: ids.iter().map(|id| self.expectations[*id].clone()).collect(),
            parallel: self.limits.parallel,
            retries: self.limits.retries,
        });
        scheduler.tick(self.clock(now()));
        loop {
            for action in scheduler.take_actions() {
                self.perform(&action, &ids);
            }
            if scheduler.is_complete() {
                return Ok(RoundEnd::Complete(scheduler.size().unwrap_or_else(|| sink.prefix())));
            }
            if scheduler.size().is_some_and(|size| size < sink.prefix()) {
                return Ok(RoundEnd::Longer(scheduler.size().unwrap_or_default()));
            }
            if scheduler.is_stuck() {
                return Ok(RoundEnd::Over(Outcome::NoSource));
            }
            let time = self.clock(now());
            if let Some(outcome) = self.too_long(sink, now()) {
                return Ok(RoundEnd::Over(outcome));
            }
            let wait = scheduler.wake(time).saturating_sub(time);
            match self.reports.recv_timeout(wait) {
                Ok(Report::Signal(number)) => return Ok(RoundEnd::Over(Outcome::Signal(number))),
                Ok(report) => self.hear(report, &mut scheduler, &ids, sink, hashing)?,
                Err(RecvTimeoutError::Timeout) => scheduler.tick(self.clock(now())),
                Err(RecvTimeoutError::Disconnected) => return Ok(RoundEnd::Over(Outcome::NoSource)),
            }
            let rates = ids.iter().enumerate().filter_map(|(at, id)| Some((*id, scheduler.rate(at, time)?)));
            self.tell(Stage::Receiving, sink, scheduler.size(), Some(rates.collect()));
        }
    }

    fn perform(&mut self, action: &Action, ids: &[SourceId]) {
        match *action {
            Action::Open { source, range, skip } => {
                let id = ids[source];
                self.workers[id].open(range, skip);
                self.tallies[id].requests += 1;
                self.current[id] = Current { asked: Some(now()), opened: None };
            }
            Action::Shorten { source, end } => self.workers[ids[source]].shorten(end),
            Action::Close { source } => {
                let id = ids[source];
                self.workers[id].close();
                self.settle(id, now());
            }
        }
    }

    /// Deals with what a source reports.
    fn hear(
        &mut self,
        report: Report,
        scheduler: &mut Scheduler,
        ids: &[SourceId],
        sink: &mut Sink,
        hashing: &mut Hashing,
    ) -> Result<(), SinkError> {
        let place = |source: SourceId| ids.iter().position(|id| *id == source);
        match report {
            Report::Opened { source, request, opened, at } => {
                let Some(place) = place(source).filter(|_| self.workers[source].request() == request) else {
                    return Ok(());
                };
                let current = &mut self.current[source];
                current.opened = Some(at);
                if let (Some(asked), false) = (current.asked, opened.reused) {
                    self.tallies[source].first_byte.get_or_insert(at.saturating_duration_since(asked));
                }
                scheduler.opened(place, opened, self.clock(at));
            }
            Report::Received { source, request, bytes, at } => {
                let len = bytes.len() as u64;
                let current = self.workers[source].request() == request;
                let kept = place(source)
                    .filter(|_| current)
                    .and_then(|place| scheduler.received(place, len, self.clock(at)))
                    .unwrap_or_default();
                let kept_len = usize::try_from(kept.len()).unwrap_or(usize::MAX);
                if kept_len > 0 {
                    sink.write(kept.first, &bytes[..kept_len])?;
                    hashing.committed(sink.prefix());
                    self.shares.entry(Origin::Source(source)).or_default().insert(kept);
                }
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
            Report::Skipped { source, bytes } => self.tallies[source].wasted += bytes,
            Report::Ended { source, request, at } => {
                self.settle(source, at);
                if let Some(place) = place(source).filter(|_| self.workers[source].request() == request) {
                    scheduler.ended(place, self.clock(at));
                }
            }
            Report::Failed { source, request, failure, at } => {
                if self.workers[source].request() != request {
                    return Ok(());
                }
                self.settle(source, at);
                if failure != Failure::Cancelled && !matches!(failure, Failure::RangeNotSatisfiable { .. }) {
                    self.tallies[source].failures.push(failure.clone());
                }
                if let Some(place) = place(source) {
                    scheduler.failed(place, failure, self.clock(at));
                }
            }
            Report::Signal(_) => {}
        }
        Ok(())
    }

    /// The request under way at a source is over: its time counts.
    fn settle(&mut self, source: SourceId, at: Instant) {
        let current = std::mem::take(&mut self.current[source]);
        if let Some(opened) = current.opened {
            self.tallies[source].receiving += at.saturating_duration_since(opened);
        }
    }

    /// Finds out who sent what is wrong. A signal that came meanwhile is an error here.
    fn judge(&mut self, sink: &Sink, digests: Vec<Digest>) -> Result<Result<Verdict, i32>, SinkError> {
        self.tell(Stage::Repairing, sink, None, None);
        let mut usable: Vec<SourceId> = (0..self.workers.len())
            .filter(|id| !self.blame.is_convicted(*id) && is_of_use(&self.tallies[*id]))
            .collect();
        usable.sort_by_key(|id| self.tallies[*id].failures.len());
        let mut differ = Vec::new();
        if self.shares.len() > 1 || self.shares.contains_key(&Origin::Earlier) {
            let wanted = samples(&self.shares, &usable);
            let findings = audit(wanted, &mut self.workers, &self.reports, sink)?;
            for (source, bytes) in findings.cost {
                self.tallies[source].wasted += bytes;
            }
            if let Some(signal) = findings.signal {
                return Ok(Err(signal));
            }
            differ = findings.differ;
        }
        Ok(Ok(self.blame.mismatch(digests, &self.shares, &differ, &usable)))
    }

    fn convict(&mut self) {
        for origin in self.blame.convicted() {
            if let Origin::Source(source) = origin {
                self.tallies[source].corrupt = true;
            }
        }
    }

    fn note_wrong(&mut self, origin: Origin) {
        match origin {
            Origin::Earlier => self.observer.note("the partial file was wrong: its bytes are fetched again"),
            Origin::Source(source) => {
                let line =
                    format!("{} sent wrong bytes: they are fetched again elsewhere", self.names[source]);
                self.observer.note(&line);
            }
        }
    }

    fn give_up(&mut self, sink: &mut Sink, wrong: &Segments) -> Result<(), SinkError> {
        for (origin, share) in &mut self.shares {
            for range in wrong.iter() {
                if let Origin::Source(source) = origin {
                    let lost = share.intersection(range).len();
                    self.tallies[*source].kept = self.tallies[*source].kept.saturating_sub(lost);
                    self.tallies[*source].wasted += lost;
                }
                share.remove(range);
            }
        }
        sink.retract(wrong)
    }

    fn too_long(&mut self, sink: &Sink, at: Instant) -> Option<Outcome> {
        let elapsed = at.saturating_duration_since(self.began);
        if let Some(limit) = self.limits.time.filter(|limit| elapsed >= *limit) {
            return Some(Outcome::TimeUp(limit));
        }
        let (speed, time) = self.limits.speed?;
        let have = sink.present().len();
        let (since, had) = *self.slow_since.get_or_insert((at, have));
        let window = at.saturating_duration_since(since);
        if have.saturating_sub(had) as f64 >= speed as f64 * window.as_secs_f64().max(1.0) {
            self.slow_since = Some((at, have));
            return None;
        }
        (window >= time).then_some(Outcome::TooSlow { speed, time })
    }

    fn tell(&mut self, stage: Stage, sink: &Sink, size: Option<u64>, rates: Option<Vec<(SourceId, f64)>>) {
        let at = now();
        let due = self.told.is_none_or(|told| at.saturating_duration_since(told) >= TELL);
        if !due && stage == Stage::Receiving {
            return;
        }
        self.told = Some(at);
        let rates = rates.unwrap_or_default();
        let snapshot = Snapshot {
            have: sink.present().len(),
            resumed: self.resumed,
            size: size.or(self.wanted.size),
            elapsed: at.saturating_duration_since(self.began),
            stage: if stage == Stage::Receiving && rates.iter().all(|(_, rate)| *rate == 0.0) {
                Stage::Connecting
            } else {
                stage
            },
            rates,
        };
        self.observer.progress(at, &snapshot);
    }

    fn clock(&self, at: Instant) -> Time {
        at.saturating_duration_since(self.began)
    }
}

enum RoundEnd {
    /// The file's size.
    Complete(u64),
    /// The file's size, which is less than what is there.
    Longer(u64),
    Over(Outcome),
}

/// Salvage: whether a file that lies there complete has the digests wanted.
pub fn is_right(path: &Path, wanted: &Digests, size: u64) -> bool {
    let Ok(file) = std::fs::File::open(path) else { return false };
    let algorithms = wanted.iter().map(|d| d.algorithm).collect();
    digests_of(&file.into(), size, algorithms).is_ok_and(|digests| matches(wanted, &digests))
}

fn matches(wanted: &Digests, computed: &[Digest]) -> bool {
    !wanted.is_empty() && wanted.iter().all(|digest| computed.contains(digest))
}

/// Whether a source may still send something.
fn is_of_use(tally: &Tally) -> bool {
    use crate::http::failure::Advice;
    tally.failures.iter().all(|failure| failure.advice() != Advice::NextSource) || tally.kept > 0
}

#[expect(clippy::disallowed_methods, reason = "the engine is where the scheduler's clock is read")]
fn now() -> Instant {
    Instant::now()
}
