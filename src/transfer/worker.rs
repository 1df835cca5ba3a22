//! One thread for each source: it asks, reads, and reports.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::limiter::Limiter;
use super::scheduler::{Manner, Opened, SourceId};
use crate::http::failure::plain;
use crate::http::{Agent, Ask, ByteRange, Canceller, Client, Failure, Judged, Question, Url};

/// Size of a buffer of content, in bytes.
const BUFFER: usize = 128 * 1024;
/// Beyond so many bytes, and with as many to go, latency does not matter any longer.
const BULK: u64 = 256 * 1024;
/// Buffers kept for use again.
const SPARE_BUFFERS: usize = 32;

/// Where one source has the file.
pub struct Place {
    /// How the source is called on the output and in the state.
    pub name: String,
    pub url: Url,
    /// `url` is a guess, and this finds out.
    pub doubt: Option<Doubt>,
    /// The size that the complete file must have, in bytes.
    pub size: Option<u64>,
    pub refuse_html: bool,
}

/// Finds out where on a source the file is; an error when the source is out of order.
pub type Find = Box<dyn Fn(&mut Agent) -> Result<Url, Failure> + Send>;

/// How well the place of a file on a source is known.
pub enum Doubt {
    /// A good guess: find out when the file is not there.
    Guessed(Find),
    /// A bad one: find out before.
    Unknown(Find),
}

/// What a source reports. Times are the clock's at the moment when it happened.
#[derive(Debug)]
pub enum Report {
    Opened {
        source: SourceId,
        request: u64,
        opened: Opened,
        /// Whom the connection is to.
        peer: Option<SocketAddr>,
        at: Instant,
    },
    /// Content; the range's position follows from what was received before.
    Received {
        source: SourceId,
        request: u64,
        bytes: Vec<u8>,
        at: Instant,
    },
    /// Content that was read over.
    Skipped {
        source: SourceId,
        bytes: u64,
    },
    Ended {
        source: SourceId,
        request: u64,
        at: Instant,
    },
    Failed {
        source: SourceId,
        request: u64,
        failure: Failure,
        at: Instant,
    },
}

#[derive(Debug)]
struct Job {
    request: u64,
    range: ByteRange,
    manner: Manner,
    /// Caches on the way shall fetch it anew.
    anew: bool,
}

/// The engine's side of a source's thread, which is started by the first request.
pub(super) struct Worker {
    idle: Option<Box<Thread>>,
    jobs: Option<Sender<Job>>,
    shared: Arc<Shared>,
    request: u64,
    /// Set for all further requests: caches on the way shall fetch what is asked for anew.
    pub(super) anew: bool,
}

/// What engine and thread both see.
#[derive(Debug, Default)]
struct Shared {
    /// Where the request under way is to stop.
    end: AtomicU64,
    /// The request that the engine waits for; an older one is not wanted any longer.
    wanted: AtomicU64,
    canceller: Mutex<Option<Canceller>>,
}

/// Buffers that go round between the sources and the one who writes.
#[derive(Clone, Debug, Default)]
pub(super) struct Buffers(Arc<Mutex<VecDeque<Vec<u8>>>>);

impl Buffers {
    fn take(&self) -> Vec<u8> {
        let spare = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let mut buffer = spare.unwrap_or_default();
        buffer.resize(BUFFER, 0);
        buffer
    }

    pub(super) fn give_back(&self, buffer: Vec<u8>) {
        let mut spare = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < SPARE_BUFFERS {
            spare.push_back(buffer);
        }
    }
}

impl Worker {
    pub(super) fn new(
        source: SourceId,
        place: Place,
        client: Client,
        limiter: Limiter,
        buffers: Buffers,
        reports: SyncSender<Report>,
    ) -> Self {
        let shared = Arc::<Shared>::default();
        let thread =
            Thread { source, place, client, agent: None, limiter, buffers, reports, shared: shared.clone() };
        Self { idle: Some(Box::new(thread)), jobs: None, shared, request: 0, anew: false }
    }

    /// Asks for a range; what was asked before is not wanted any longer. Returns the request's number, and an error when
    /// there is no thread to be had.
    pub(super) fn open(&mut self, range: ByteRange, manner: Manner) -> Result<u64, Failure> {
        self.request += 1;
        self.shared.end.store(range.end, Ordering::SeqCst);
        self.shared.wanted.store(self.request, Ordering::SeqCst);
        if let Some(mut thread) = self.idle.take() {
            let (jobs, inbox) = channel();
            let started = std::thread::Builder::new().spawn(move || thread.run(&inbox));
            started.map_err(|error| Failure::Local(format!("no thread: {}", plain(&error))))?;
            self.jobs = Some(jobs);
        }
        let job = Job { request: self.request, range, manner, anew: self.anew };
        let sent = self.jobs.as_ref().is_some_and(|jobs| jobs.send(job).is_ok());
        if sent { Ok(self.request) } else { Err(Failure::Local("its thread is gone".to_owned())) }
    }

    pub(super) fn shorten(&self, end: u64) {
        self.shared.end.store(end, Ordering::SeqCst);
    }

    /// Ends the request under way: its connection is closed.
    pub(super) fn close(&mut self) {
        self.request += 1;
        self.shared.wanted.store(self.request, Ordering::SeqCst);
        if let Some(canceller) = self.shared.canceller.lock().unwrap_or_else(PoisonError::into_inner).take() {
            canceller.cancel();
        }
    }

    /// When the connection was made over which the request under way is sent.
    pub(super) fn connected_at(&self) -> Option<Instant> {
        let canceller = self.shared.canceller.lock().unwrap_or_else(PoisonError::into_inner);
        canceller.as_ref().and_then(Canceller::connected_at)
    }

    pub(super) fn request(&self) -> u64 {
        self.request
    }
}

struct Thread {
    source: SourceId,
    place: Place,
    client: Client,
    agent: Option<Agent>,
    limiter: Limiter,
    buffers: Buffers,
    reports: SyncSender<Report>,
    shared: Arc<Shared>,
}

/// The engine is gone.
struct Gone;

impl Thread {
    fn run(&mut self, inbox: &Receiver<Job>) {
        while let Ok(job) = inbox.recv() {
            if self.serve(&job).is_err() {
                return;
            }
        }
        if let Some(agent) = self.agent.take() {
            self.client.keep(&self.place.name, agent);
        }
    }

    fn serve(&mut self, job: &Job) -> Result<(), Gone> {
        if !self.wanted(job) {
            return Ok(());
        }
        match self.fetch(job) {
            Ok(()) => Ok(()),
            Err(Stop::Gone) => Err(Gone),
            Err(Stop::NotWanted) => {
                self.agent = None;
                Ok(())
            }
            Err(Stop::Failed(failure)) => {
                self.agent = None;
                let (source, request) = (self.source, job.request);
                self.report(Report::Failed { source, request, failure, at: now() }).map_err(|_| Gone)
            }
        }
    }

    fn fetch(&mut self, job: &Job) -> Result<(), Stop> {
        let agent = self.agent.take().filter(|agent| !agent.is_cancelled());
        let agent = self.agent.insert(agent.unwrap_or_else(|| self.client.agent_at(&self.place.name)));
        *self.shared.canceller.lock().unwrap_or_else(PoisonError::into_inner) = Some(agent.canceller());
        if !self.wanted(job) {
            return Err(Stop::NotWanted); // closed before there was anything to cancel
        }
        let to_the_end = job.range.end == u64::MAX || Some(job.range.end) == self.place.size;
        let question = match job.manner {
            Manner::Plain => Question { size: self.place.size, lenient: true, ..Question::default() },
            Manner::Ranged | Manner::Skipping => Question {
                first: job.range.first,
                end: Some(job.range.end).filter(|_| !to_the_end),
                size: self.place.size,
                refuse_html: self.place.refuse_html,
                lenient: false,
            },
        };
        let (mut judged, answer) = self.open(&question, job.anew)?;
        if job.manner == Manner::Plain && self.place.size.is_some() {
            (judged.length, judged.complete_length) = (None, None); // it is known better
        }
        if judged.first_pos < job.range.first && job.manner == Manner::Ranged {
            self.agent = None;
            return Err(Stop::Failed(Failure::RangeIgnored));
        }
        let content_end = judged.length.map(|length| judged.first_pos + length);
        let opened = Opened {
            first_pos: job.range.first,
            content_end,
            complete_length: judged.complete_length,
            reused: answer.connect_time.is_none(),
        };
        if content_end.is_none_or(|end| end > job.range.end) {
            // The server sends more than was asked for: the scheduler says how much of it is wanted.
            self.shared.end.fetch_max(content_end.unwrap_or(u64::MAX), Ordering::SeqCst);
        }
        let (source, request) = (self.source, job.request);
        let peer = answer.peer;
        self.report(Report::Opened { source, request, opened, peer, at: now() })?;
        self.receive(job, judged.first_pos, content_end, answer.content)?;
        // There is nothing to stop any longer: the connection may serve somebody else.
        *self.shared.canceller.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(())
    }

    fn open(&mut self, question: &Question, anew: bool) -> Result<(Judged, crate::http::Answer), Stop> {
        let agent = self.agent.get_or_insert_with(|| self.client.agent_at(&self.place.name));
        if let Some(Doubt::Unknown(find)) = &self.place.doubt {
            self.place.url = find(agent).map_err(Stop::Failed)?;
            self.place.doubt = None;
        }
        let ask = Ask { anew, ..Ask::bytes(question) };
        let first = agent.open(&self.place.url, question, &ask);
        match (first, &self.place.doubt) {
            (Err(failure), Some(Doubt::Guessed(find))) if failure.is_not_found() => {
                let url = find(agent).map_err(Stop::Failed)?;
                self.place.doubt = None;
                if url == self.place.url {
                    return Err(Stop::Failed(failure));
                }
                self.place.url = url;
                agent.open(&self.place.url, question, &ask).map_err(Stop::Failed)
            }
            (Err(failure), _) => Err(Stop::Failed(failure)),
            (Ok(answer), _) => {
                self.place.doubt = None;
                Ok(answer)
            }
        }
    }

    fn receive(
        &mut self,
        job: &Job,
        first_pos: u64,
        content_end: Option<u64>,
        mut content: crate::http::Content,
    ) -> Result<(), Stop> {
        let (source, request) = (self.source, job.request);
        let mut position = first_pos;
        loop {
            let (end, wanted) = (self.shared.end.load(Ordering::SeqCst), self.wanted(job));
            if content_end == Some(position) && (position >= job.range.end || !wanted) {
                content.drain(); // its end gives the connection back, to the next request if that is there already
                return Ok(());
            }
            if !wanted {
                return Err(Stop::NotWanted);
            }
            if position >= end {
                self.agent = None;
                return Ok(());
            }
            content.set_bulk(position - first_pos >= BULK && end - position >= BULK);
            let mut buffer = self.buffers.take();
            let left = usize::try_from(end - position).unwrap_or(usize::MAX);
            let step = self.limiter.step(BUFFER).min(left);
            let n = match content.read(&mut buffer[..step]) {
                Ok(n) => n,
                Err(failure) if self.wanted(job) => return Err(Stop::Failed(failure)),
                Err(_) => return Err(Stop::NotWanted),
            };
            if n == 0 {
                let cut = if content_end.is_some_and(|end| position < end) {
                    Some(Failure::Truncated) // a length that only Content-Range has told
                } else {
                    content.was_cut().filter(|_| content_end.is_none())
                };
                if let Some(failure) = cut {
                    return Err(Stop::Failed(failure));
                }
                return self.report(Report::Ended { source, request, at: now() });
            }
            self.limiter.spend(n);
            let begin = position;
            position += n as u64;
            // What lies before the range asked for is read over.
            let over = usize::try_from(job.range.first.saturating_sub(begin)).map_or(n, |over| over.min(n));
            if over > 0 {
                self.report(Report::Skipped { source, bytes: over as u64 })?;
            }
            buffer.truncate(n);
            buffer.drain(..over);
            if buffer.is_empty() {
                self.buffers.give_back(buffer);
            } else {
                self.report(Report::Received { source, request, bytes: buffer, at: now() })?;
            }
        }
    }

    fn wanted(&self, job: &Job) -> bool {
        self.shared.wanted.load(Ordering::SeqCst) == job.request
    }

    fn report(&self, report: Report) -> Result<(), Stop> {
        self.reports.send(report).map_err(|_| Stop::Gone)
    }
}

enum Stop {
    Failed(Failure),
    NotWanted,
    Gone,
}

#[expect(clippy::disallowed_methods, reason = "reports say when something happened, not when it was read")]
fn now() -> Instant {
    Instant::now()
}
