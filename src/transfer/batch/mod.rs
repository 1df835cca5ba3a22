//! Many files at once, over a few connections that are used again and again.
//!
//! Small files go whole, each from one host: a lane is a thread with one connection to one host, which takes the next
//! file that this host was not asked for yet ([`lane`]). Large files are raced by [`super::engine`], one after
//! another, beside the lanes ([`race`]). Every file is verified before it gets its name.

mod lane;
mod manners;
mod race;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::engine::{Files, Limits, Observer, Snapshot, Stage, Tally};
use super::meter::Meter;
use super::scheduler::{ENOUGH_LACK, Expectation};
use super::sink::SinkError;
use crate::http::{Agent, Canceller, Client, Failure, Url};
use crate::portage::distfile::DOWNLOAD_SUFFIX;
use crate::portage::{Digests, Distfile};
use lane::Lane;
use manners::Manners;

/// Files from so many bytes on are raced, if they are more than a lane's share of all.
const LARGE: u64 = 8 * 1024 * 1024;
/// A lane from which nothing came for so long gives its file to an idle one of another host.
const OVERDUE: Duration = Duration::from_secs(1);
/// So does one that has been at it for so long and is slower than this part of the average: what came is kept.
const LONGEST: Duration = Duration::from_secs(3);
const SLOW: f64 = 0.33;
/// So many bytes may come at once, with nothing between them; but for longer than that nobody is waited for.
const BURST: f64 = 128.0 * 1024.0;
const LONGEST_BURST: Duration = Duration::from_secs(8);
/// Bytes per second of the average lane, as long as nobody else has shown what can be expected.
const ASSUMED: f64 = 100_000.0;
/// A host that failed so often in a row, with different files, is not asked any longer.
const MOST_FAILURES: u32 = 3;
/// When mirrors were asked so often in vain for files of a repository, and had none, they are asked last for the rest.
const IN_VAIN: usize = 20;
const BUFFER: usize = 64 * 1024;
/// How often the progress is told, and overdue lanes are looked for.
const PULSE: Duration = Duration::from_millis(100);

/// One file that is wanted.
#[derive(Clone, Debug)]
pub struct Item {
    pub name: Distfile,
    /// In bytes.
    pub size: u64,
    /// Not empty.
    pub digests: Digests,
    /// Who may have it.
    pub places: Vec<ItemPlace>,
    /// A number for the repository that it is of: the mirrors have most of its files, or hardly any.
    pub repository: usize,
}

/// A host that may have a file.
#[derive(Clone, Debug)]
pub struct ItemPlace {
    /// Index in [`Batch::hosts`].
    pub host: usize,
    /// Hosts of a higher tier are asked when those of the lower ones did not have it.
    pub tier: u8,
    /// Where it is there; by the host's layout when absent.
    pub url: Option<Url>,
}

impl Item {
    fn place(&self, host: usize) -> Option<&ItemPlace> {
        self.places.iter().find(|place| place.host == host)
    }
}

/// Somebody who may have some of the files.
#[derive(Clone, Debug)]
pub struct Host {
    pub name: String,
    /// Connections at once, at most, that of a race among them; at least 1.
    pub connections: usize,
    pub expectation: Expectation,
}

/// Says where a host has a file by its layout.
pub trait Locate: Send + Sync {
    /// As far as that is known without asking; an error when the host was asked and is out of order.
    fn known(&self, host: usize, item: usize) -> Result<Located, Failure>;
    /// Asks the host if need be.
    fn find(&self, host: usize, item: usize, agent: &mut Agent) -> Result<Url, Failure>;
}

/// Where a host has a file.
pub enum Located {
    There(Url),
    /// By a guess: the host was not asked yet.
    Perhaps(Url),
}

/// Takes the lock for a file; none when somebody else has it, an error when it cannot be had at all.
pub type Lock = Arc<dyn Fn(&Distfile) -> Result<Option<Box<dyn Send>>, String> + Send + Sync>;

pub struct Batch<'a> {
    pub folder: &'a Path,
    pub items: Vec<Item>,
    pub hosts: Vec<Host>,
    pub locate: Arc<dyn Locate>,
    pub lock: Lock,
    pub limits: Limits,
    /// Files that are fetched at once, at most; at least 1.
    pub jobs: usize,
    pub client: &'a Client,
}

impl Batch<'_> {
    /// Bytes of all items.
    fn size(&self) -> u64 {
        self.items.iter().fold(0, |sum, item| sum.saturating_add(item.size))
    }
}

/// Says which signal asked the process to end, if one did.
pub type Signalled<'s> = dyn Fn() -> Option<i32> + Sync + 's;

/// What became of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ItemEnd {
    /// It lies verified in its place. `lacking` are the hosts that said before that they do not have it.
    Fetched {
        from: Vec<usize>,
        lacking: Vec<usize>,
    },
    /// It was there when its turn came.
    Present,
    /// Somebody else is fetching it.
    Locked,
    /// (host, why), in the order in which they were asked.
    Failed(Vec<(usize, Failure)>),
    Disk(String),
    /// Its turn did not come.
    Left,
}

#[derive(Debug)]
pub struct BatchEnd {
    /// One for each item.
    pub items: Vec<ItemEnd>,
    /// One for each host.
    pub tallies: Vec<Tally>,
    /// How many connections a host that said 429 (Too Many Requests) was content with. One for each host.
    pub caps: Vec<Option<usize>>,
    pub elapsed: Duration,
}

/// Fetches all items, as far as they can be had. `signalled` tells whether the process shall end.
pub fn run(batch: &Batch, observer: &mut dyn Observer, signalled: &Signalled) -> BatchEnd {
    let shared = Shared::new(batch);
    std::thread::scope(|scope| {
        let shared = &shared;
        for (host, connections) in lanes(batch) {
            for number in 0..connections {
                // The small files wait for answers, the large ones for bytes: together they keep the link busy.
                let smallest_first = number == 0 && connections > 1;
                let lane = move || Lane::new(batch, shared, host, smallest_first).run(signalled);
                let started = std::thread::Builder::new().spawn_scoped(scope, lane).is_ok();
                if !started && number == 0 {
                    // With fewer threads it takes longer, with none for ever.
                    shared.lock().failures[host] = MOST_FAILURES;
                }
            }
        }
        let races = move || race::race_large(batch, shared, signalled);
        let large = std::thread::Builder::new().spawn_scoped(scope, races);
        if large.is_err() {
            shared.lock().races_left = false;
        }
        shared.watch(batch, observer, signalled, || {
            large.as_ref().map_or(true, std::thread::ScopedJoinHandle::is_finished)
        });
    });
    let state = shared.into_inner();
    let elapsed = state.elapsed(now());
    BatchEnd {
        items: state.items.into_iter().map(ItemState::end).collect(),
        tallies: state.tallies,
        caps: state.manners.iter().map(Manners::cap).collect(),
        elapsed,
    }
}

/// How many lanes each host gets: not more than there are small files for it.
fn lanes(batch: &Batch) -> Vec<(usize, usize)> {
    let raced_from = raced_from(batch);
    let is_small = |item: &&Item, host: usize| item.size < raced_from && item.place(host).is_some();
    let small = |host: usize| batch.items.iter().filter(|item| is_small(item, host)).count();
    (0..batch.hosts.len()).map(|host| (host, batch.hosts[host].connections.min(small(host)))).collect()
}

/// From which size on files are raced. What many lanes do side by side takes no longer for being done whole; a file
/// that is larger than the share of a lane would keep it busy when all others are done.
fn raced_from(batch: &Batch) -> u64 {
    let lanes = batch.hosts.iter().map(|host| host.connections).sum::<usize>().min(batch.jobs);
    LARGE.max(batch.size() / (lanes as u64).max(1))
}

#[derive(Debug)]
enum ItemState {
    Waiting(Tried),
    /// A lane has it.
    Taken(Tried),
    Done(ItemEnd),
}

/// The hosts that were asked for a file in vain.
#[derive(Clone, Debug, Default)]
struct Tried(Vec<(usize, Failure)>);

impl Tried {
    /// Those that said that they do not have it.
    fn lacking(&self) -> impl Iterator<Item = usize> {
        self.0.iter().filter(|(_, failure)| failure.is_not_found()).map(|(host, _)| *host)
    }

    /// Whether a host failed in nothing but to be quick while others were idle.
    fn was_only_slow(&self, host: usize) -> bool {
        self.0.iter().all(|(asked, failure)| *asked != host || *failure == Failure::Cancelled)
    }
}

impl ItemState {
    fn end(self) -> ItemEnd {
        match self {
            Self::Done(end) => end,
            Self::Waiting(tried) | Self::Taken(tried) if tried.0.is_empty() => ItemEnd::Left,
            Self::Waiting(tried) | Self::Taken(tried) => ItemEnd::Failed(tried.0),
        }
    }
}

/// What all threads share.
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    items: Vec<ItemState>,
    tallies: Vec<Tally>,
    /// Failures of a host in a row.
    failures: Vec<u32>,
    /// When a host was last found too slow.
    slow_since: Vec<Option<Instant>>,
    manners: Vec<Manners>,
    /// What lanes are at.
    at_work: Vec<Work>,
    /// What lanes have done.
    done: Speed,
    /// Lanes of each host that look for something to do.
    idle: Vec<usize>,
    /// Bytes that came or were there, of all items but the one that is being raced.
    have: u64,
    /// Bytes of that one.
    racing: u64,
    /// That one, while there is one.
    race: Option<usize>,
    /// Bytes that were there: of all items but the one that is being raced, and of that one.
    resumed: u64,
    race_resumed: u64,
    /// Files from so many bytes on are raced.
    raced_from: u64,
    /// Whether large files may still have to be raced.
    races_left: bool,
    /// Hosts of which a race takes one of their connections.
    race_hosts: Vec<bool>,
    /// By the number of the repository: files that a mirror had, and answers that a mirror lacks one.
    found: BTreeMap<usize, (usize, usize)>,
    meters: Vec<Meter>,
    notes: Vec<String>,
    began: Instant,
}

struct Work {
    item: usize,
    host: usize,
    since: Instant,
    /// When something came last.
    last: Instant,
    /// Bytes that came.
    came: u64,
    /// Stops it.
    canceller: Canceller,
}

/// Bytes, and the time that lanes were at them.
#[derive(Clone, Copy, Debug, Default)]
struct Speed {
    bytes: u64,
    time: Duration,
}

impl Speed {
    fn add(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.time += other.time;
    }

    /// Bytes per second.
    fn rate(self) -> f64 {
        self.bytes as f64 / self.time.as_secs_f64().max(f64::EPSILON)
    }
}

impl Work {
    fn speed(&self, now: Instant) -> Speed {
        Speed { bytes: self.came, time: now.saturating_duration_since(self.since) }
    }

    fn is_silent(&self, patience: Duration, now: Instant) -> bool {
        now.saturating_duration_since(self.last) > patience
    }
}

impl Shared {
    fn new(batch: &Batch) -> Self {
        let hosts = batch.hosts.len();
        let raced_from = raced_from(batch);
        let is_raced = |item: &Item| item.size >= raced_from;
        let takes_part = |host: usize| {
            let raced = |item: &Item| is_raced(item) && item.place(host).is_some();
            batch.hosts[host].connections > 1 && batch.items.iter().any(raced)
        };
        let mut meter = Meter::default();
        meter.begin(Duration::ZERO);
        let state = State {
            items: batch.items.iter().map(|_| ItemState::Waiting(Tried::default())).collect(),
            tallies: vec![Tally::default(); hosts],
            failures: vec![0; hosts],
            slow_since: vec![None; hosts],
            resumed: 0,
            race_resumed: 0,
            manners: batch.hosts.iter().map(|host| Manners::new(host.connections)).collect(),
            at_work: Vec::new(),
            done: Speed::default(),
            idle: vec![0; hosts],
            have: 0,
            racing: 0,
            race: None,
            raced_from,
            races_left: batch.items.iter().any(is_raced),
            race_hosts: (0..hosts).map(takes_part).collect(),
            found: BTreeMap::new(),
            meters: vec![meter; hosts],
            notes: Vec::new(),
            began: now(),
        };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn into_inner(self) -> State {
        self.state.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the progress, and takes files from lanes that wait for nothing, until everything is done.
    fn watch(
        &self,
        batch: &Batch,
        observer: &mut dyn Observer,
        signalled: &Signalled,
        large_done: impl Fn() -> bool,
    ) {
        let size = batch.size();
        loop {
            let state = self.lock();
            let (mut state, _) =
                self.changed.wait_timeout(state, PULSE).unwrap_or_else(PoisonError::into_inner);
            let at = now();
            let ending = signalled().is_some();
            for work in &state.at_work {
                if ending || state.is_overdue(work, at) && state.has_other(batch, work) {
                    work.canceller.cancel();
                }
            }
            let snapshot = state.snapshot(batch, at, size);
            let notes = std::mem::take(&mut state.notes);
            let over = large_done() && state.at_work.is_empty() && (ending || !state.small_left(batch));
            drop(state);
            observer.progress(at, &snapshot);
            for note in notes {
                observer.note(&note);
            }
            if over {
                return;
            }
        }
    }
}

impl State {
    /// Whether some host is left that may have it.
    fn can_be_had(&self, item: &ItemState, wanted: &Item) -> bool {
        match item {
            ItemState::Waiting(tried) => {
                wanted.places.iter().any(|place| self.may_ask(wanted, place.host, tried))
            }
            ItemState::Taken(_) => true,
            ItemState::Done(_) => false,
        }
    }

    /// Whether lanes have something to do, now or later.
    fn small_left(&self, batch: &Batch) -> bool {
        let mut items = self.items.iter().zip(&batch.items);
        items.any(|(item, wanted)| wanted.size < self.raced_from && self.can_be_had(item, wanted))
    }

    /// Whether others should have a try: a lane is silent, or far slower than the others are. When nothing comes from
    /// anybody it is the link, and where all are slow nobody else would be faster.
    fn is_overdue(&self, work: &Work, now: Instant) -> bool {
        let others = || self.at_work.iter().filter(|other| other.item != work.item);
        let mut speed = self.done;
        others().for_each(|other| speed.add(other.speed(now)));
        let average = if speed.bytes > 0 { speed.rate() } else { ASSUMED };
        // On a slow line bytes come in bursts.
        let burst = Duration::try_from_secs_f64(BURST / average).unwrap_or(LONGEST_BURST);
        let patience = OVERDUE.max(burst.min(LONGEST_BURST));
        if work.is_silent(patience, now) {
            return others().next().is_none() || others().any(|other| !other.is_silent(patience, now));
        }
        let ours = work.speed(now);
        ours.time > LONGEST && ours.rate() < average * SLOW
    }

    /// Whether somebody who has nothing to do and was not asked yet may have what a lane is at: the one whose turn it
    /// would be.
    fn has_other(&self, batch: &Batch, work: &Work) -> bool {
        let ItemState::Taken(tried) = &self.items[work.item] else { return false };
        let wanted = &batch.items[work.item];
        let others = || {
            let others = wanted.places.iter().filter(|place| place.host != work.host);
            others.filter(|place| self.is_new(place.host, tried))
        };
        let tier = |place: &ItemPlace| self.tier(batch, wanted, tried, place);
        let next = others().map(tier).min();
        others().any(|place| Some(tier(place)) == next && self.idle[place.host] > 0)
    }

    /// Whether one more file may be begun. Races have their place among the jobs, and are not kept waiting.
    fn has_room(&self, batch: &Batch) -> bool {
        self.at_work.len() + usize::from(self.races_left) < batch.jobs
    }

    /// Whether a host wants to be asked for one more file now.
    fn is_welcome(&self, host: usize, now: Instant) -> bool {
        let race = self.races_left && self.race_hosts[host];
        let at_host = self.at_work.iter().filter(|work| work.host == host).count() + usize::from(race);
        self.manners[host].allow(at_host, now)
    }

    fn snapshot(&self, batch: &Batch, at: Instant, size: u64) -> Snapshot {
        let elapsed = self.elapsed(at);
        let mut at_work: Vec<&Work> = self.at_work.iter().collect();
        at_work.sort_by_key(|work| work.since);
        let current = self.race.into_iter().chain(at_work.iter().map(|work| work.item));
        let rates =
            self.meters.iter().enumerate().filter_map(|(host, meter)| Some((host, meter.rate(elapsed)?)));
        Snapshot {
            have: self.have + self.racing,
            resumed: self.resumed + self.race_resumed,
            size: Some(size),
            elapsed,
            stage: Stage::Receiving,
            rates: rates.filter(|(_, rate)| *rate >= 1.0).collect(),
            files: Some(Files {
                done: self.items.iter().filter(|item| matches!(item, ItemState::Done(_))).count(),
                all: self.items.len(),
                current: current.map(|item| batch.items[item].name.to_string()).collect(),
            }),
        }
    }

    /// Whether a host may be asked for a file now: for the first time, or for the rest, when nobody else is left.
    fn may_ask(&self, wanted: &Item, host: usize, tried: &Tried) -> bool {
        let another = || wanted.places.iter().any(|place| self.is_new(place.host, tried));
        self.may_be_left(host, tried) && (self.is_new(host, tried) || !another())
    }

    /// Whether a host may be asked for a file now or when others have failed: it was not yet, or it was only slow.
    fn may_be_left(&self, host: usize, tried: &Tried) -> bool {
        self.failures[host] < MOST_FAILURES && tried.was_only_slow(host)
    }

    /// Whether a host that is still asked was not asked for a file yet.
    fn is_new(&self, host: usize, tried: &Tried) -> bool {
        self.failures[host] < MOST_FAILURES && tried.0.iter().all(|(asked, _)| *asked != host)
    }

    /// The next file that a host shall be asked for. Hosts of a higher tier wait until those of the lower ones
    /// have been asked in vain.
    fn next(&self, batch: &Batch, host: usize, from_the_end: bool) -> Option<usize> {
        let is_next = |index: &usize| {
            let (item, wanted) = (&self.items[*index], &batch.items[*index]);
            let (ItemState::Waiting(tried), Some(ours)) = (item, wanted.place(host)) else { return false };
            let tier = |place: &ItemPlace| self.tier(batch, wanted, tried, place);
            let better =
                |other: &ItemPlace| tier(other) < tier(ours) && self.may_ask(wanted, other.host, tried);
            wanted.size < self.raced_from
                && self.may_ask(wanted, host, tried)
                && !wanted.places.iter().any(better)
        };
        let mut all = 0..self.items.len();
        if from_the_end { all.rev().find(is_next) } else { all.find(is_next) }
    }

    /// The tier of a place. Mirrors come last when enough of them lack the file, or had none of the repository's.
    fn tier(&self, batch: &Batch, wanted: &Item, tried: &Tried, place: &ItemPlace) -> u8 {
        let is_mirror = |host: usize| batch.hosts[host].expectation.mirror;
        let none =
            self.found.get(&wanted.repository).is_some_and(|(had, lacked)| *had == 0 && *lacked >= IN_VAIN);
        let lacking = tried.lacking().filter(|host| is_mirror(*host)).count();
        if is_mirror(place.host) && (none || lacking >= ENOUGH_LACK) { u8::MAX } else { place.tier }
    }

    /// Counts what lies there of a file when it is begun; what came since is counted already.
    fn count_resumed(&mut self, item: usize, bytes: u64) {
        if matches!(&self.items[item], ItemState::Taken(tried) if tried.0.is_empty()) {
            self.have += bytes;
            self.resumed += bytes;
        }
    }

    /// Counts that these hosts had a file.
    fn count_had(&mut self, batch: &Batch, item: usize, from: &[usize]) {
        let is_mirror = |host: &usize| batch.hosts[*host].expectation.mirror;
        let (had, _) = self.found.entry(batch.items[item].repository).or_default();
        *had += usize::from(from.iter().any(is_mirror));
    }

    /// Counts that a host was too slow, or was stopped because the process ends. All of its lanes at once count once,
    /// and who is alone is slow to nobody's cost.
    fn count_slow(&mut self, host: usize, now: Instant) {
        let mut others = self.tallies.iter().enumerate().filter(|(other, _)| *other != host);
        let recent = |since: Instant| now.saturating_duration_since(since) < OVERDUE;
        if others.any(|(_, tally)| tally.kept > 0) && !self.slow_since[host].is_some_and(recent) {
            self.slow_since[host] = Some(now);
            self.failures[host] += 1;
        }
    }

    /// Counts that a mirror lacks a file.
    fn count_lacking(&mut self, batch: &Batch, item: usize) {
        let (_, lacked) = self.found.entry(batch.items[item].repository).or_default();
        *lacked += 1;
    }

    /// Time on the meters' clock.
    fn elapsed(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.began)
    }
}

/// Where a file lies before it is complete and verified.
pub fn part_of(place: &Path) -> PathBuf {
    let mut name = place.file_name().unwrap_or_default().to_owned();
    name.push(DOWNLOAD_SUFFIX);
    place.with_file_name(name)
}

/// Whether a file of that size lies there.
pub fn is_there(place: &Path, size: u64) -> bool {
    fs::metadata(place).is_ok_and(|metadata| metadata.is_file() && metadata.len() == size)
}

/// Gives a verified file its name, the group of the folder and the mode that Portage would give it.
fn put_in_place(part: &Path, place: &Path) -> Result<(), SinkError> {
    let folder = place.parent().unwrap_or(Path::new("."));
    // By the open file: whoever may write to the folder could put a link there meanwhile.
    let nofollow = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
    let file = fs::File::options().read(true).custom_flags(nofollow).open(part);
    let file = file.map_err(|error| SinkError::new(part, &error))?;
    if let Ok(metadata) = fs::metadata(folder) {
        let _ = fchown(&file, None, Some(metadata.gid())); // fails unless one is in that group
    }
    let _ = file.set_permissions(fs::Permissions::from_mode(0o664)); // as the umask has left it otherwise
    fs::rename(part, place).map_err(|error| SinkError::new(place, &error))
}

#[expect(clippy::disallowed_methods, reason = "the batch owns its clock")]
fn now() -> Instant {
    Instant::now()
}
