//! Many files from a few mirrors: what the queue makes of them, on the same virtual clock.
//!
//! [`Errand`] drives a [`Queue`] as the threads of the real program do. A file that is raced takes as long as the
//! scheduler needs for it from the same mirrors at half of their rates; the other half is for the small files.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use super::super::queue::{
    Action, Came, Health, HostId, ItemEnd, ItemId, MOST_AT_ONCE, Plan, Queue, RepositoryId, Wanted,
};
use super::super::scheduler::Time;
use super::mirror::{Answer, Connection, Mirror};
use super::{FOR_EVER, Setup, run};
use crate::http::{ByteRange, Failure};
use crate::patience::{HEAD, PULSE, STALL};

#[derive(Clone, Debug)]
pub(super) struct Errand {
    /// Each with the connections that it may get.
    pub(super) mirrors: Vec<(Mirror, usize)>,
    /// The size of each file, and the mirrors that lack it.
    pub(super) files: Vec<(u64, Vec<usize>)>,
    /// The mirrors that may be asked for each file; all when there is no entry.
    pub(super) places: Vec<Vec<usize>>,
    pub(super) jobs: usize,
    pub(super) deadline: Option<Time>,
    pub(super) order: u64,
}

#[derive(Debug)]
pub(super) struct Result {
    pub(super) time: Time,
    pub(super) ends: Vec<ItemEnd>,
    /// Bytes that were sent for nothing.
    pub(super) wasted: u64,
    /// To all mirrors.
    pub(super) requests: u32,
    pub(super) story: Vec<String>,
}

impl Errand {
    pub(super) fn run(&self) -> Result {
        Day::new(self).run()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Answer,
    Content,
    /// The program's own limit.
    Timeout,
    RaceEnds,
    Tick,
}

/// (time, order among those of the same time, file, generation, event)
type Entry = (Time, u64, usize, u64, Event);

/// A file that is being fetched.
struct Fetch {
    host: HostId,
    connection: Option<Connection>,
    asked: u64,
    /// Position of the next byte that comes; what lies before the prefix that is there is read over.
    position: u64,
    generation: u64,
    /// When the race ends, whether the file is there then, and who takes part.
    race: Option<(Time, bool)>,
    racers: Vec<HostId>,
    began: Time,
}

struct Day<'a> {
    errand: &'a Errand,
    queue: Queue,
    now: Time,
    events: BinaryHeap<Reverse<Entry>>,
    order: u64,
    generation: u64,
    under_way: BTreeMap<ItemId, Fetch>,
    /// Connections of each host that stand open and idle, its requests, and the bytes that it sent.
    idle: Vec<Vec<Connection>>,
    requests: Vec<u32>,
    sent: Vec<u64>,
    /// Until when each host wants to be left alone.
    rests: Vec<Time>,
    have: Vec<u64>,
    done: Vec<bool>,
    wasted: u64,
    story: Vec<String>,
}

impl<'a> Day<'a> {
    fn new(errand: &'a Errand) -> Self {
        let hosts = errand.mirrors.len();
        let wanted = |(file, (size, _)): (usize, &(u64, Vec<usize>))| {
            let places = errand.places.get(file).cloned().unwrap_or_else(|| (0..hosts).collect());
            let hosts = places.into_iter().map(|host| (HostId(host), errand.mirrors[host].0.tier)).collect();
            Wanted { size: *size, hosts, repository: RepositoryId::default(), can_be_raced: true }
        };
        let queue = Queue::new(Plan {
            items: errand.files.iter().enumerate().map(wanted).collect(),
            hosts: errand.mirrors.iter().map(|(_, connections)| Health::new(*connections)).collect(),
            mirrors: vec![true; hosts],
            jobs: errand.jobs,
            deadline: errand.deadline,
            speed: None,
        });
        Self {
            errand,
            queue,
            now: Time::ZERO,
            events: BinaryHeap::new(),
            order: errand.order,
            generation: 0,
            under_way: BTreeMap::new(),
            idle: (0..hosts).map(|_| Vec::new()).collect(),
            requests: vec![0; hosts],
            sent: vec![0; hosts],
            rests: vec![Time::ZERO; hosts],
            have: vec![0; errand.files.len()],
            done: vec![false; errand.files.len()],
            wasted: 0,
            story: Vec::new(),
        }
    }

    fn run(mut self) -> Result {
        self.push(Time::ZERO, ItemId(0), 0, Event::Tick);
        while !self.queue.is_over() {
            let Some(Reverse((time, _, item, generation, event))) = self.events.pop() else { break };
            assert!(time < FOR_EVER, "it goes on for ever");
            self.now = time;
            let item = ItemId(item);
            if event == Event::Tick {
                self.tell_of_races();
                self.queue.tick(time);
                self.act();
                self.push(time + PULSE, item, 0, Event::Tick);
            } else if self.under_way.get(&item).is_some_and(|fetch| fetch.generation == generation) {
                self.happen(item, event);
                self.act();
            }
        }
        assert!(self.under_way.is_empty(), "nothing is left under way");
        let story = std::mem::take(&mut self.story);
        let (wasted, requests, time) = (self.wasted, self.requests.iter().sum(), self.now);
        let empty = Plan {
            items: Vec::new(),
            hosts: Vec::new(),
            mirrors: Vec::new(),
            jobs: 1,
            deadline: None,
            speed: None,
        };
        let (ends, _) = std::mem::replace(&mut self.queue, Queue::new(empty)).into_ends();
        for (end, done) in ends.iter().zip(&self.done) {
            assert_eq!(
                matches!(end, ItemEnd::Fetched { .. }),
                *done,
                "what came is what is said to have come"
            );
        }
        Result { time, ends, wasted, requests, story }
    }

    fn push(&mut self, time: Time, item: ItemId, generation: u64, event: Event) {
        self.order =
            self.order.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.events.push(Reverse((time, self.order >> 32, item.0, generation, event)));
    }

    fn tell(&mut self, item: ItemId, what: &str) {
        self.story.push(format!("{:9.3} file {} {what}", self.now.as_secs_f64(), item.0));
    }

    fn act(&mut self) {
        loop {
            let actions = self.queue.take_actions();
            if actions.is_empty() {
                return;
            }
            for action in actions {
                match action {
                    Action::Fetch { item, host } => self.fetch(item, host),
                    Action::Race { item, hosts } => self.race(item, &hosts),
                    Action::Cancel { item } => self.cancel(item),
                }
            }
        }
    }

    fn connections_of(&self, host: HostId) -> usize {
        self.under_way.values().filter(|fetch| fetch.host == host || fetch.racers.contains(&host)).count()
    }

    /// What the queue promises of whatever it begins.
    fn check(&self, item: ItemId, host: HostId) {
        assert!(!self.done[item.0], "file {} is fetched twice", item.0);
        let most = self.queue.health(host).connections();
        assert!(self.connections_of(host) <= most, "more than {most} connections to {}", host.0);
        assert!(self.now >= self.rests[host.0], "{} wants to be left alone", host.0);
        let jobs = self.errand.jobs.min(MOST_AT_ONCE);
        assert!(self.under_way.len() <= jobs, "more than {jobs} files at once");
    }

    fn fetch(&mut self, item: ItemId, host: HostId) {
        self.tell(item, &format!("from {}", host.0));
        self.generation += 1;
        self.requests[host.0] += 1;
        let connection = self.idle[host.0].pop();
        let mirror = &self.errand.mirrors[host.0].0;
        let answers = self.now + mirror.first_byte(connection.is_some());
        let answers = mirror.answers_at(self.now, answers, self.sent[host.0]);
        let (generation, asked) = (self.generation, self.have[item.0]);
        let fetch = Fetch {
            host,
            connection,
            asked,
            position: asked,
            generation,
            race: None,
            racers: Vec::new(),
            began: self.now,
        };
        assert!(self.under_way.insert(item, fetch).is_none(), "file {} is under way", item.0);
        self.check(item, host);
        self.queue.on_begun(item, asked);
        match answers {
            Some(time) => self.push(time, item, generation, Event::Answer),
            None => self.push(self.now + HEAD, item, generation, Event::Timeout),
        }
    }

    fn race(&mut self, item: ItemId, hosts: &[(HostId, u8)]) {
        self.tell(item, &format!("is raced by {hosts:?}"));
        let mirror = |(host, tier): &(HostId, u8)| {
            let mirror = self.errand.mirrors[host.0].0.clone();
            Mirror { rate: mirror.rate / 2.0, tier: *tier, ..mirror }
        };
        let there = self.have[item.0];
        let size = self.errand.files[item.0].0 - there;
        let mirrors = hosts.iter().map(mirror).collect();
        let outcome = run(&Setup { size, size_known: true, parallel: 4, mirrors, order: self.order });
        self.generation += 1;
        let (generation, ends) = (self.generation, self.now + outcome.time);
        let race = Some((ends, outcome.complete));
        let racers = hosts.iter().map(|(host, _)| *host).collect();
        let host = HostId(usize::MAX);
        let fetch = Fetch {
            host,
            connection: None,
            asked: there,
            position: there,
            generation,
            race,
            racers,
            began: self.now,
        };
        assert!(self.under_way.insert(item, fetch).is_none(), "file {} is under way", item.0);
        assert!(
            self.under_way.values().filter(|fetch| fetch.race.is_some()).count() == 1,
            "one race at a time"
        );
        // Those that want to be left alone come last.
        hosts.iter().filter(|(_, tier)| *tier < u8::MAX).for_each(|(host, _)| self.check(item, *host));
        self.push(ends, item, generation, Event::RaceEnds);
    }

    fn tell_of_races(&mut self) {
        for (item, fetch) in &self.under_way {
            let Some((ends, true)) = fetch.race else { continue };
            let (came, all) = (self.now.saturating_sub(fetch.began), ends.saturating_sub(fetch.began));
            let part = came.as_secs_f64() / all.as_secs_f64().max(1e-9);
            let left = self.errand.files[item.0].0 - fetch.asked;
            let came = super::super::scheduler::sharing::whole(left as f64 * part.min(1.0));
            self.queue.on_race_progress(*item, fetch.asked + came, fetch.asked, &[], self.now);
        }
    }

    fn cancel(&mut self, item: ItemId) {
        self.tell(item, "is cancelled");
        let fetch = self.under_way.remove(&item).expect("what is cancelled is under way");
        if fetch.race.is_some() {
            self.queue.on_race_ended(item, ItemEnd::Failed(Vec::new()), &[], self.now);
        } else {
            self.queue.on_fetch_ended(item, Came::Failed(Failure::Cancelled), self.now);
        }
    }

    fn end(&mut self, item: ItemId, came: Came) {
        self.under_way.remove(&item);
        self.queue.on_fetch_ended(item, came, self.now);
    }

    fn fail(&mut self, item: ItemId, failure: Failure, keeps_connection: bool) {
        self.tell(item, &failure.to_string());
        let Some(fetch) = self.under_way.get_mut(&item) else { return };
        let host = fetch.host.0;
        if keeps_connection {
            self.idle[host].push(fetch.connection.take().unwrap_or_else(|| Connection::new(self.now)));
        }
        if let Failure::Status { code: 429, retry_after: Some(rest) } = failure
            && rest <= Duration::from_secs(10)
        {
            self.rests[host] = self.rests[host].max(self.now + rest);
        }
        self.end(item, Came::Failed(failure));
    }

    fn happen(&mut self, item: ItemId, event: Event) {
        match event {
            Event::Answer => self.answer(item),
            Event::Content => self.content(item),
            Event::Timeout => self.fail(item, Failure::Stalled(STALL), false),
            Event::RaceEnds => {
                let complete = self.under_way.remove(&item).and_then(|fetch| fetch.race).is_some_and(|r| r.1);
                self.tell(item, if complete { "has won" } else { "has lost" });
                self.done[item.0] |= complete;
                let end = if complete {
                    ItemEnd::Fetched { from: Vec::new(), lacking: Vec::new() }
                } else {
                    ItemEnd::Failed(Vec::new())
                };
                self.queue.on_race_ended(item, end, &[], self.now);
            }
            Event::Tick => unreachable!("time belongs to nobody"),
        }
    }

    fn answer(&mut self, item: ItemId) {
        let (size, lacking) = &self.errand.files[item.0];
        let Some(fetch) = self.under_way.get_mut(&item) else { return };
        let host = fetch.host;
        let mirror = &self.errand.mirrors[host.0].0;
        if lacking.contains(&host.0) {
            return self.fail(item, Failure::Status { code: 404, retry_after: None }, true);
        }
        let asked = ByteRange::new(fetch.asked, *size);
        let (sent, requests) = (self.sent[host.0], self.requests[host.0]);
        match mirror.answer(asked, true, *size, sent, requests, self.now) {
            Answer::Failure { failure, keeps_connection } => self.fail(item, failure, keeps_connection),
            Answer::Content { from, .. } => {
                if fetch.connection.is_none() {
                    self.queue.on_first_byte(host, self.now.saturating_sub(fetch.began));
                }
                fetch.connection.get_or_insert_with(|| Connection::new(self.now)).begin(mirror, self.now);
                fetch.position = from;
                self.next_content(item);
            }
        }
    }

    fn next_content(&mut self, item: ItemId) {
        let Some(host) = self.under_way.get(&item).map(|fetch| fetch.host) else { return };
        let racing = self.under_way.values().any(|fetch| fetch.racers.contains(&host));
        // A race has half of the rate, as long as there is one.
        let sharing = if racing { 2 * (self.connections_of(host) - 1) } else { self.connections_of(host) };
        let Some(fetch) = self.under_way.get_mut(&item) else { return };
        let Some(connection) = &mut fetch.connection else { return };
        let mirror = &self.errand.mirrors[host.0].0;
        let mirror =
            Mirror { rate: mirror.rate_at(self.now) / sharing as f64, then: Vec::new(), ..mirror.clone() };
        let (after, _) = connection.next(&mirror, self.now, self.errand.files[item.0].0 - fetch.position);
        let generation = fetch.generation;
        self.push(self.now + after, item, generation, Event::Content);
    }

    fn content(&mut self, item: ItemId) {
        let size = self.errand.files[item.0].0;
        let Some(fetch) = self.under_way.get_mut(&item) else { return };
        let (host, generation) = (fetch.host, fetch.generation);
        let mirror = &self.errand.mirrors[host.0].0;
        if let Some(failure) = mirror.breaks(fetch.position.saturating_sub(fetch.asked), self.now) {
            return self.fail(item, failure, false);
        }
        if mirror.is_silent(self.sent[host.0]) {
            return self.push(self.now + STALL, item, generation, Event::Timeout);
        }
        let bytes = fetch.connection.as_ref().map_or(0, Connection::arrived);
        let begin = fetch.position;
        fetch.position += bytes;
        let position = fetch.position;
        self.sent[host.0] += bytes;
        let kept = position.saturating_sub(self.have[item.0].max(begin));
        self.wasted += bytes - kept;
        self.have[item.0] += kept;
        assert!(self.have[item.0] <= size, "a byte is kept once");
        self.queue.on_received(item, kept, self.now);
        if self.have[item.0] < size {
            return self.next_content(item);
        }
        self.tell(item, "is there");
        let connection = self.under_way.get_mut(&item).and_then(|fetch| fetch.connection.take());
        self.idle[host.0].extend(connection);
        self.done[item.0] = true;
        self.end(item, Came::Whole);
    }
}

impl Drop for Day<'_> {
    /// A broken promise is told with what led to it.
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{:9.3} and then\n{}", self.now.as_secs_f64(), self.story.join("\n"));
        }
    }
}
