//! Mirrors on a virtual clock, and what the scheduler makes of them; [`many`]: what the queue does.
//!
//! [`Simulation`] drives a [`Scheduler`] as the threads of the real program do, against mirrors that behave as
//! TCP and HTTP do in the large: a round trip to connect, one more for TLS, one for each request, slow start, a
//! queue at the bottleneck. Each promise is checked after each event.

mod adversary;
mod errands;
mod many;
mod mirror;
mod properties;
mod scenarios;
mod stories;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use super::scheduler::{Action, Manner, Opened, Plan, Scheduler, SourceId, Time};
use super::segments::Segments;
use crate::http::{ByteRange, Failure};
use mirror::{Answer, Connection, Fault, Mirror};

/// What is read at once, in bytes.
const BUFFER: u64 = 128 * 1024;
/// A reader does not wait longer than this for its buffer to fill.
const READ: Duration = Duration::from_millis(20);
/// A run that takes longer than this never ends.
const FOR_EVER: Duration = Duration::from_secs(3600);

#[derive(Clone, Debug)]
pub struct Setup {
    pub size: u64,
    /// Whether the plan says it.
    pub size_known: bool,
    pub parallel: usize,
    pub mirrors: Vec<Mirror>,
    /// Decides which of several simultaneous events comes first.
    pub order: u64,
}

#[derive(Debug)]
pub struct Outcome {
    pub complete: bool,
    pub time: Duration,
    /// Bytes that were sent for nothing, in parts of the file.
    pub waste: f64,
    /// Requests made to each mirror.
    pub requests: Vec<u32>,
    /// What happened, a line each.
    pub story: Vec<String>,
}

/// Runs one download to its end.
///
/// # Panics
/// When the scheduler breaks a promise.
pub fn run(setup: &Setup) -> Outcome {
    Simulation::new(setup).run()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Connected,
    Answer,
    Content,
    Tick,
}

#[derive(Debug)]
struct Request {
    asked: ByteRange,
    skip: bool,
    sent: Time,
    answers: Time,
    /// Set by the answer.
    opened: bool,
    /// Position of the next byte that comes.
    position: u64,
    /// Where to stop reading.
    end: u64,
    content_end: u64,
    /// The same, as far as the answer says it.
    said_end: u64,
}

/// (time, order among those of the same time, source, generation, event)
type Entry = (Time, u64, SourceId, u32, Event);

/// One mirror and the thread that talks to it.
struct Peer {
    mirror: Mirror,
    connection: Option<Connection>,
    request: Option<Request>,
    /// Events of earlier requests are void.
    generation: u32,
    requests: u32,
    sent: u64,
}

struct Simulation<'a> {
    setup: &'a Setup,
    scheduler: Scheduler,
    peers: Vec<Peer>,
    now: Time,
    events: BinaryHeap<Reverse<Entry>>,
    order: u64,
    present: Segments,
    wasted: u64,
    story: Vec<String>,
}

impl<'a> Simulation<'a> {
    fn new(setup: &'a Setup) -> Self {
        let peer = |mirror: &Mirror| Peer {
            mirror: mirror.clone(),
            connection: None,
            request: None,
            generation: 0,
            requests: 0,
            sent: 0,
        };
        let plan = Plan {
            size: setup.size_known.then_some(setup.size),
            present: Segments::new(),
            sources: setup.mirrors.iter().map(Mirror::expectation).collect(),
            parallel: setup.parallel,
            retries: 0,
            silence: Duration::from_secs(15),
        };
        Self {
            setup,
            scheduler: Scheduler::new(plan),
            peers: setup.mirrors.iter().map(peer).collect(),
            now: Time::ZERO,
            events: BinaryHeap::new(),
            order: setup.order,
            present: Segments::new(),
            wasted: 0,
            story: Vec::new(),
        }
    }

    fn run(mut self) -> Outcome {
        self.scheduler.tick(Time::ZERO);
        self.act();
        self.push(Time::ZERO, 0, Event::Tick);
        while !self.is_over() {
            let Some(Reverse((time, _, id, generation, event))) = self.events.pop() else { break };
            assert!(time >= self.now, "time runs forward");
            self.now = time;
            if time > FOR_EVER {
                break;
            }
            match event {
                Event::Tick => {
                    self.scheduler.tick(time);
                    self.act();
                    let wake = self.scheduler.wake(time).max(time + Duration::from_micros(1));
                    self.push(wake, 0, Event::Tick);
                }
                _ if generation != self.peers[id].generation => continue,
                Event::Connected => self.scheduler.connected(id, self.peers[id].mirror.round_trip()),
                Event::Answer => self.answer(id),
                Event::Content => self.content(id),
            }
            self.scheduler.check(&self.present);
        }
        // What is still under way was closed with the last byte.
        self.act();
        let complete = self.scheduler.is_complete();
        if complete {
            assert_eq!(self.present, Segments::of(ByteRange::new(0, self.setup.size)), "complete");
            assert!(self.peers.iter().all(|peer| peer.request.is_none()), "nothing is left open");
        }
        Outcome {
            complete,
            time: self.now,
            waste: self.wasted as f64 / self.setup.size.max(1) as f64,
            requests: self.peers.iter().map(|peer| peer.requests).collect(),
            story: std::mem::take(&mut self.story),
        }
    }

    fn is_over(&self) -> bool {
        let scheduler = &self.scheduler;
        scheduler.is_complete() || scheduler.is_stuck() || scheduler.cut_off(self.now).is_some()
    }

    fn push(&mut self, time: Time, id: SourceId, event: Event) {
        // Knuth's MMIX generator: any order of simultaneous events can come out.
        self.order =
            self.order.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let generation = self.peers[id].generation;
        self.events.push(Reverse((time, self.order >> 32, id, generation, event)));
    }

    fn tell(&mut self, id: SourceId, what: &str) {
        self.story.push(format!("{:9.3} {id} {what}", self.now.as_secs_f64()));
    }

    /// Does what the scheduler wants, then ends what was read up to where it was to be read.
    fn act(&mut self) {
        for action in self.scheduler.take_actions() {
            match action {
                Action::Open { source, range, manner } => {
                    self.end_if_done(source);
                    self.open(source, range, manner != Manner::Ranged);
                }
                Action::Shorten { source, end } => {
                    self.tell(source, &format!("shorten to {end}"));
                    let request = self.peers[source].request.as_mut().expect("shortened while at work");
                    assert!(request.opened, "shortened after it answered");
                    // It may have been read past that place already: what is there was not kept.
                    assert!(end <= request.said_end, "shortened to what it sends");
                    request.end = end;
                }
                Action::Close { source } => {
                    self.tell(source, "close");
                    assert!(self.peers[source].request.is_some(), "closed while at work");
                    self.drop_connection(source);
                }
            }
        }
        for id in 0..self.peers.len() {
            self.end_if_done(id);
        }
    }

    fn open(&mut self, id: SourceId, range: ByteRange, skip: bool) {
        self.tell(id, &format!("open {range:?}"));
        assert!(!range.is_empty(), "something is asked for");
        let peer = &mut self.peers[id];
        assert!(peer.request.is_none(), "one request at a time");
        peer.generation += 1;
        peer.requests += 1;
        let reused = peer.connection.is_some();
        let answers = self.now + peer.mirror.first_byte(reused);
        peer.request = Some(Request {
            asked: range,
            skip,
            sent: self.now,
            answers,
            opened: false,
            position: range.first,
            end: range.end,
            content_end: range.end.min(self.setup.size),
            said_end: u64::MAX,
        });
        let connects = !reused && peer.mirror.fault != Fault::BlackHole;
        let time = peer.mirror.answers_at(self.now, answers, peer.sent);
        if connects {
            self.push(self.now + self.peers[id].mirror.round_trip(), id, Event::Connected);
        }
        if let Some(time) = time {
            self.push(time, id, Event::Answer);
        }
    }

    fn answer(&mut self, id: SourceId) {
        let size = self.setup.size;
        let peer = &mut self.peers[id];
        let Some(request) = &mut peer.request else { return };
        let answer =
            peer.mirror.answer(request.asked, request.skip, size, peer.sent, peer.requests, self.now);
        match answer {
            Answer::Failure { failure, keeps_connection } => {
                peer.request = None;
                let connection = peer.connection.take();
                if keeps_connection {
                    peer.connection = connection.or_else(|| Some(Connection::new(self.now)));
                }
                self.fail(id, failure);
            }
            Answer::Content { from, content_end, complete_length } => {
                let reused = peer.connection.is_some();
                peer.connection
                    .get_or_insert_with(|| Connection::new(self.now))
                    .begin(&peer.mirror, self.now);
                request.opened = true;
                request.content_end = content_end.unwrap_or(size);
                request.said_end = content_end.unwrap_or(u64::MAX);
                // An answer that is longer than what was asked for is read on.
                request.end = request.said_end;
                request.position = from;
                if from < request.asked.first {
                    // The server ignores ranges: what comes before is read and thrown away.
                    assert!(request.skip, "only when told to");
                }
                let opened = Opened { first_pos: request.asked.first, content_end, complete_length, reused };
                self.scheduler.opened(id, opened, self.now);
                self.act();
                self.next_content(id);
            }
        }
    }

    /// Announces what comes next over a connection.
    fn next_content(&mut self, id: SourceId) {
        let peer = &mut self.peers[id];
        let (Some(request), Some(connection)) = (&peer.request, &mut peer.connection) else { return };
        if !request.opened {
            return;
        }
        let (after, _) = connection.next(&peer.mirror, self.now, request.content_end - request.position);
        self.push(self.now + after, id, Event::Content);
    }

    fn content(&mut self, id: SourceId) {
        let peer = &mut self.peers[id];
        let (Some(request), Some(connection)) = (&mut peer.request, &mut peer.connection) else { return };
        if let Some(failure) =
            peer.mirror.breaks(request.position - request.asked.first.min(request.position), self.now)
        {
            peer.request = None;
            peer.connection = None;
            return self.fail(id, failure);
        }
        if peer.mirror.is_silent(peer.sent) {
            return;
        }
        let bytes = connection.arrived();
        peer.sent += bytes;
        let position = request.position;
        request.position += bytes;
        // What is skipped is no news for the scheduler.
        let skipped = request.asked.first.saturating_sub(position).min(bytes);
        self.wasted += skipped;
        let bytes = bytes - skipped;
        if bytes > 0 {
            let Some(kept) = self.scheduler.received(id, bytes, self.now) else {
                panic!("content of a source that is not at work");
            };
            assert_eq!(kept.first, position + skipped, "bytes belong where they come from");
            assert!(kept.len() <= bytes);
            assert!(self.present.intersection(kept).is_empty(), "a byte is kept once");
            self.present.insert(kept);
            self.wasted += bytes - kept.len();
            self.act();
        }
        let Some(request) = &self.peers[id].request else { return };
        if request.opened && request.position == request.content_end && request.position < request.end {
            self.tell(id, "ended");
            self.peers[id].request = None;
            self.scheduler.ended(id, self.now);
            return self.act();
        }
        self.next_content(id);
    }

    fn fail(&mut self, id: SourceId, failure: Failure) {
        self.tell(id, &failure.to_string());
        self.peers[id].generation += 1;
        self.scheduler.failed(id, failure, self.now);
        self.act();
    }

    /// The end of what was wanted is reached: the connection can be used again if its content is, too.
    fn end_if_done(&mut self, id: SourceId) {
        let Some(request) = &self.peers[id].request else { return };
        if !request.opened || request.position < request.end {
            return;
        }
        let (end, whole) = (request.end, request.position == request.content_end);
        self.tell(id, &format!("done at {end}"));
        if whole {
            self.peers[id].request = None;
            self.peers[id].generation += 1;
        } else {
            self.drop_connection(id);
        }
    }

    /// What is on its way is lost.
    fn drop_connection(&mut self, id: SourceId) {
        let peer = &mut self.peers[id];
        peer.generation += 1;
        let (Some(request), connection) = (peer.request.take(), peer.connection.take()) else { return };
        let rest = request.content_end.saturating_sub(request.position);
        if peer.mirror.is_silent(peer.sent) {
            // Nothing is on its way.
        } else if request.opened {
            self.wasted += connection.map_or(0, |c| c.in_flight(&peer.mirror, self.now)).min(rest);
        } else if peer.mirror.answers_at(request.sent, request.answers, peer.sent) == Some(request.answers)
            && self.now + peer.mirror.round_trip() / 2 > request.answers
        {
            self.wasted += mirror::INITIAL_WINDOW.min(rest);
        }
    }
}

impl Drop for Simulation<'_> {
    /// A broken promise is told with what led to it.
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{:9.3} and then\n{}", self.now.as_secs_f64(), self.story.join("\n"));
        }
    }
}
