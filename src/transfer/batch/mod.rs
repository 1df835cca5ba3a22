//! Many files at once, over a few connections that are used again and again.
//!
//! Which file is fetched from which host is [`super::queue`]'s to decide. Here are the threads that do it: each takes
//! the next file that was decided on, whole from one host ([`lane`]) or as a race of all of them ([`race`]). Every
//! file is verified before it gets its name.

mod lane;
mod race;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Scope;
use std::time::{Duration, Instant};

use super::engine::{Files, Limits, Observer, Snapshot, Stage, Tally};
use super::queue::{Action, Came, Plan, Queue, Wanted};
pub use super::queue::{Health, HostId, ItemEnd, ItemId, RepositoryId};
use super::scheduler::{Expectation, Time};
use super::sink::SinkError;
use crate::files::{self, Folder};
use crate::http::{Agent, Canceller, Client, Failure, Url};
use crate::patience::PULSE;
use crate::portage::distfile::DOWNLOAD_SUFFIX;
use crate::portage::{Digests, DistEntry, Distfile};

/// One file that is wanted.
#[derive(Clone, Debug)]
pub struct Item {
    pub name: Distfile,
    /// In bytes.
    pub size: u64,
    /// Not empty.
    pub digests: Digests,
    /// The files that may lie at the places, this one among them, when it is not known which one does. The
    /// places have a URL each. Empty when the file is known.
    pub others: Vec<DistEntry>,
    /// Who may have it.
    pub places: Vec<ItemPlace>,
    /// See [`Wanted::repository`].
    pub repository: RepositoryId,
}

/// A host that may have a file.
#[derive(Clone, Debug)]
pub struct ItemPlace {
    /// Index in [`Batch::hosts`].
    pub host: HostId,
    /// Hosts of a higher tier are asked when those of the lower ones did not have it.
    pub tier: u8,
    pub at: At,
}

/// Where a host has a file.
#[derive(Clone, Debug)]
pub enum At {
    Url(Url),
    /// Where its layout says.
    Layout(Arc<dyn Locate>),
}

impl ItemPlace {
    fn url(&self) -> Option<&Url> {
        match &self.at {
            At::Url(url) => Some(url),
            At::Layout(_) => None,
        }
    }
}

impl Item {
    /// What the Manifest says of it.
    pub fn entry(&self) -> DistEntry {
        DistEntry { name: self.name.clone(), size: self.size, digests: self.digests.clone() }
    }

    fn place(&self, host: HostId) -> Option<&ItemPlace> {
        self.places.iter().find(|place| place.host == host)
    }

    fn wanted(&self) -> Wanted {
        let hosts = self.places.iter().map(|place| (place.host, place.tier)).collect();
        let can_be_raced = self.others.is_empty();
        Wanted { size: self.size, hosts, repository: self.repository, can_be_raced }
    }
}

/// Somebody who may have some of the files.
#[derive(Clone, Debug)]
pub struct Host {
    pub name: String,
    pub expectation: Expectation,
    /// What this call knows of it.
    pub health: Health,
}

/// Says where a host has a file by its layout.
pub trait Locate: fmt::Debug + Send + Sync {
    /// As far as that is known without asking; an error when the host was asked and is out of order.
    fn known(&self, name: &Distfile, digests: &Digests) -> Result<Located, Failure>;
    /// Asks the host if need be.
    fn find(&self, name: &Distfile, digests: &Digests, agent: &mut Agent) -> Result<Url, Failure>;
}

/// Where a layout says that a file is.
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
    pub lock: Lock,
    /// They hold for all files together.
    pub limits: Limits,
    /// Files that are fetched at once, at most; at least 1.
    pub jobs: usize,
    pub client: &'a Client,
    /// The user knows already when files cannot be locked here.
    pub said_unlocked: bool,
    /// What the times in [`Host::health`] are on.
    pub clock: Clock,
    pub between: Between,
}

/// What the batch and a transfer beside it, from the same hosts, tell each other.
#[derive(Debug, Default)]
pub struct Between(Mutex<Told>);

#[derive(Debug, Default)]
struct Told {
    /// Requests of the transfer that failed.
    failures: Vec<(HostId, Failure)>,
    /// Hosts that want to be left alone, and until when on the batch's clock.
    rests: Vec<(HostId, Time)>,
    /// Hosts to which the transfer has a connection.
    engaged: BTreeSet<HostId>,
    /// Files of the batch that are under way.
    under_way: usize,
}

impl Between {
    /// How many files of the batch share the link with the transfer.
    pub fn under_way(&self) -> usize {
        self.lock().under_way
    }

    /// A request to that host failed outside of the batch, and the link is not to blame.
    pub fn on_failure(&self, host: HostId, failure: &Failure) {
        self.lock().failures.push((host, failure.clone()));
    }

    /// The transfer may have a connection to that host from now on.
    pub fn engage(&self, host: HostId) {
        self.lock().engaged.insert(host);
    }

    /// The transfer is over.
    pub fn leave(&self) {
        self.lock().engaged.clear();
    }

    /// For how long a host wants to be left alone, as the batch has heard.
    pub fn rest_left(&self, host: HostId, clock: Clock) -> Option<Duration> {
        let told = self.lock();
        let (_, until) = told.rests.iter().find(|(other, _)| *other == host)?;
        until.checked_sub(clock.now())
    }

    /// Tells the queue what was heard, and remembers what it knows.
    fn exchange(&self, queue: &mut Queue, hosts: usize, now: Time) {
        let mut told = self.lock();
        for (host, failure) in told.failures.drain(..) {
            queue.on_failure_elsewhere(host, &failure, now);
        }
        told.under_way = queue.under_way();
        queue.set_engaged(told.engaged.clone());
        let rest = |host: HostId| Some((host, now + queue.health(host).rest_left(now)?));
        told.rests = (0..hosts).map(HostId).filter_map(rest).collect();
    }

    fn lock(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The clock of a call.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Instant);

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "the batch owns its clock")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    fn now(self) -> Time {
        self.0.elapsed()
    }
}

/// Says which signal asked the process to end, if one did.
pub type Signalled<'s> = dyn Fn() -> Option<i32> + Sync + 's;

#[derive(Debug)]
pub struct BatchEnd {
    /// One for each item.
    pub items: Vec<ItemEnd>,
    /// Which file it was, of the items that may be one of several.
    pub came_as: BTreeMap<ItemId, Distfile>,
    /// One for each host.
    pub tallies: Vec<Tally>,
    /// What is known of each host now.
    pub health: Vec<Health>,
    pub elapsed: Duration,
}

/// Fetches all items, as far as they can be had. `signalled` tells whether the process shall end.
pub fn run(batch: &Batch, observer: &mut dyn Observer, signalled: &Signalled) -> BatchEnd {
    let began = batch.clock.now();
    let shared = &Shared {
        batch,
        signalled,
        state: Mutex::new(State::new(batch)),
        changed: Condvar::new(),
        wanted: Condvar::new(),
    };
    std::thread::scope(|scope| {
        loop {
            let mut state = shared.lock();
            if signalled().is_some() {
                state.queue.stop();
            }
            batch.between.exchange(&mut state.queue, batch.hosts.len(), batch.clock.now());
            state.queue.tick(batch.clock.now());
            state.perform(batch.clock.now());
            let alone = shared.staff(scope, &mut state);
            shared.changed.notify_all();
            let snapshot = state.snapshot(batch, began);
            let notes = std::mem::take(&mut state.notes);
            let over = state.queue.is_over();
            if !over && !alone {
                let waited = shared.wanted.wait_timeout(state, PULSE);
                drop(waited.unwrap_or_else(PoisonError::into_inner));
            } else {
                drop(state);
            }
            observer.progress(batch.clock.0 + batch.clock.now(), &snapshot);
            for note in notes {
                observer.note(&note);
            }
            if over {
                break;
            }
            let job = if alone { shared.lock().take_job(batch) } else { None };
            if let Some(job) = job {
                shared.work_off(job);
            }
        }
        shared.lock().is_over = true;
        shared.changed.notify_all();
    });
    batch.between.lock().under_way = 0;
    let mut state = shared.lock();
    let (tallies, plan) = (std::mem::take(&mut state.tallies), Plan::default());
    let (mut items, health) = std::mem::replace(&mut state.queue, Queue::new(plan)).into_ends();
    for (item, host) in &state.handed_over {
        if items[item.0] == ItemEnd::Present {
            items[item.0] = ItemEnd::Fetched { from: vec![*host], lacking: Vec::new() };
        }
    }
    let came_as = std::mem::take(&mut state.came_as);
    BatchEnd { items, came_as, tallies, health, elapsed: batch.clock.now().saturating_sub(began) }
}

/// What all threads share.
struct Shared<'a> {
    batch: &'a Batch<'a>,
    signalled: &'a Signalled<'a>,
    state: Mutex<State>,
    /// There are jobs, or it is over: for those that work them off.
    changed: Condvar,
    /// There are more jobs than threads, or it is over: for the one that starts them.
    wanted: Condvar,
}

struct State {
    queue: Queue,
    /// What was decided on and is not begun yet.
    jobs: VecDeque<Action>,
    /// What stops the files that somebody is at.
    stops: BTreeMap<ItemId, Stop>,
    tallies: Vec<Tally>,
    /// See [`BatchEnd::came_as`].
    came_as: BTreeMap<ItemId, Distfile>,
    /// Files that came when another one was asked for, and from whom.
    handed_over: BTreeMap<ItemId, HostId>,
    threads: usize,
    /// Threads that have nothing to do.
    idle: usize,
    notes: Vec<String>,
    /// Notes are told once.
    told: BTreeSet<String>,
    /// That files cannot be locked was said.
    said_unlocked: bool,
    is_over: bool,
}

/// Something to do for a thread.
enum Job {
    Fetch { item: ItemId, host: HostId, agent: Box<Agent> },
    Race { item: ItemId, hosts: Vec<(HostId, u8)>, stop: Arc<AtomicBool> },
}

/// Stops a thread at what it does.
enum Stop {
    Fetch(Canceller),
    Race(Arc<AtomicBool>),
}

impl Shared<'_> {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a thread for each job that no idle thread can take. Returns true when not a single thread can
    /// be had: then the calling thread has to do the job.
    fn staff<'scope, 'env>(&'env self, scope: &'scope Scope<'scope, 'env>, state: &mut State) -> bool {
        while state.jobs.len() > state.idle {
            if std::thread::Builder::new().spawn_scoped(scope, || self.work()).is_ok() {
                state.threads += 1;
                state.idle += 1;
                continue;
            }
            // With fewer threads it takes longer.
            let most = state.threads.max(1);
            while state.jobs.len() > state.idle.max(usize::from(state.threads == 0)) {
                let job = state.jobs.pop_back();
                if let Some(Action::Fetch { item, .. } | Action::Race { item, .. }) = job {
                    state.queue.on_not_begun(item, most);
                }
            }
            return state.threads == 0;
        }
        false
    }

    /// A thread: does one job after another.
    fn work(&self) {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.take_job(self.batch) {
                state.idle -= 1;
                drop(state);
                self.work_off(job);
                state = self.lock();
                state.idle += 1;
            } else if state.is_over {
                return;
            } else {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    fn work_off(&self, job: Job) {
        match job {
            Job::Fetch { item, host, agent } => lane::fetch(self, item, host, *agent),
            Job::Race { item, hosts, stop } => race::race(self, item, &hosts, &stop),
        }
    }

    /// A job is over; `tell` tells the queue.
    fn end(&self, item: ItemId, tell: impl FnOnce(&mut State, Time)) {
        let mut state = self.lock();
        state.stops.remove(&item);
        let now = self.batch.clock.now();
        tell(&mut state, now);
        state.perform(now);
        // This thread takes one of the jobs itself.
        let jobs = state.jobs.len();
        let is_wanted = jobs > state.idle + 1 || state.queue.is_over();
        drop(state);
        if jobs > 1 {
            self.changed.notify_all();
        }
        if is_wanted {
            self.wanted.notify_one();
        }
    }
}

impl State {
    fn new(batch: &Batch) -> Self {
        let now = batch.clock.now();
        let plan = Plan {
            items: batch.items.iter().map(Item::wanted).collect(),
            hosts: batch.hosts.iter().map(|host| host.health.clone()).collect(),
            mirrors: batch.hosts.iter().map(|host| host.expectation.mirror).collect(),
            jobs: batch.jobs,
            deadline: batch.limits.time.map(|time| now.saturating_add(time)),
            speed: batch.limits.speed,
        };
        Self {
            queue: Queue::new(plan),
            jobs: VecDeque::new(),
            stops: BTreeMap::new(),
            tallies: vec![Tally::default(); batch.hosts.len()],
            came_as: BTreeMap::new(),
            handed_over: BTreeMap::new(),
            threads: 0,
            idle: 0,
            notes: Vec::new(),
            told: BTreeSet::new(),
            said_unlocked: batch.said_unlocked,
            is_over: false,
        }
    }

    /// Why a file could not be locked, which holds for the others, too.
    fn say_once(&mut self, note: Option<&str>) {
        if let Some(note) = note.filter(|_| !std::mem::replace(&mut self.said_unlocked, true)) {
            self.note(note.to_owned());
        }
    }

    /// Something that the user should know, once.
    fn note(&mut self, line: String) {
        if self.told.insert(line.clone()) {
            self.notes.push(line);
        }
    }

    /// Does what the queue has decided: what is to be begun waits for a thread.
    fn perform(&mut self, now: Time) {
        loop {
            let actions = self.queue.take_actions();
            if actions.is_empty() {
                return;
            }
            for action in actions {
                match action {
                    Action::Fetch { .. } | Action::Race { .. } => self.jobs.push_back(action),
                    Action::Cancel { item } => self.cancel(item, now),
                }
            }
        }
    }

    fn cancel(&mut self, item: ItemId, now: Time) {
        match self.stops.get(&item) {
            Some(Stop::Fetch(canceller)) => canceller.cancel(),
            Some(Stop::Race(stop)) => stop.store(true, Ordering::SeqCst),
            None => {
                // It was not begun yet.
                let is_it = |job: &Action| match job {
                    Action::Fetch { item: of, .. } | Action::Race { item: of, .. } => *of == item,
                    Action::Cancel { .. } => false,
                };
                let job = self.jobs.iter().position(is_it).and_then(|index| self.jobs.remove(index));
                match job {
                    Some(Action::Race { .. }) => {
                        self.queue.on_race_ended(item, ItemEnd::Failed(Vec::new()), &[], now);
                    }
                    _ => {
                        self.queue.on_fetch_ended(item, Came::Failed(Failure::Cancelled), now);
                    }
                }
            }
        }
    }

    /// The next job, with all that is needed to stop it.
    fn take_job(&mut self, batch: &Batch) -> Option<Job> {
        Some(match self.jobs.pop_front()? {
            Action::Fetch { item, host } => {
                let agent = batch.client.agent_at(&batch.hosts[host.0].name);
                self.stops.insert(item, Stop::Fetch(agent.canceller()));
                Job::Fetch { item, host, agent: Box::new(agent) }
            }
            Action::Race { item, hosts } => {
                let stop = Arc::new(AtomicBool::new(false));
                self.stops.insert(item, Stop::Race(stop.clone()));
                Job::Race { item, hosts, stop }
            }
            Action::Cancel { .. } => return None,
        })
    }

    fn snapshot(&self, batch: &Batch, began: Time) -> Snapshot {
        let now = batch.clock.now();
        let hosts = (0..batch.hosts.len()).map(|host| (host, self.queue.health(HostId(host)).rate(now)));
        let rates = hosts.filter_map(|(host, rate)| Some((host, rate.filter(|rate| *rate >= 1.0)?)));
        let (have, resumed) = self.queue.have();
        let file = |item: ItemId| {
            let wanted = &batch.items[item.0];
            (wanted.name.to_string(), self.queue.have_of(item), wanted.size)
        };
        Snapshot {
            have,
            resumed,
            size: Some(batch.items.iter().fold(0, |sum, item| sum.saturating_add(item.size))),
            elapsed: now.saturating_sub(began),
            stage: Stage::Receiving,
            rates: rates.collect(),
            files: Some(Files {
                done: self.queue.done(),
                all: batch.items.len(),
                current: self.queue.current().into_iter().map(file).collect(),
            }),
        }
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

/// Gives a verified file its name, the group of the folder and the mode that Portage would give it, whatever the umask
/// is. The open file is what was verified: nothing else that lies at `part` by now is shared or published.
fn put_in_place(file: &File, part: &Path, place: &Path) -> Result<(), SinkError> {
    let put = || {
        let (folder, name) = Folder::of(part)?;
        files::check_sole(file)?;
        folder.share(file, 0o664);
        folder.rename_file(file, name, place.file_name().unwrap_or_default())
    };
    put().map_err(|error| SinkError::new(part, &error))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;

    /// Whoever can write to DISTDIR puts another file in the place of the one that was verified.
    #[test]
    fn what_was_put_there_meanwhile_is_neither_shared_nor_published() {
        let parent = tempfile::tempdir().unwrap();
        let (place, victim) = (parent.path().join("x"), parent.path().join("victim"));
        let part = part_of(&place);
        fs::write(&victim, "secret").unwrap();
        fs::set_permissions(&victim, fs::Permissions::from_mode(0o600)).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        let swap: [fn(&Path, &Path); 2] = [
            |victim, part| fs::hard_link(victim, part).unwrap(),
            |victim, part| std::os::unix::fs::symlink(victim, part).unwrap(),
        ];
        for swap in swap {
            let file = File::create(&part).unwrap();
            fs::remove_file(&part).unwrap();
            swap(&victim, &part);
            assert!(put_in_place(&file, &part, &place).is_err());
            assert!(!place.exists() && mode(&victim) == 0o600);
            fs::remove_file(&part).unwrap();
        }
        // A second name: whoever has it may write to the file, or it is somebody else's.
        fs::hard_link(&victim, &part).unwrap();
        assert!(put_in_place(&File::open(&part).unwrap(), &part, &place).is_err());
        assert!(!place.exists() && mode(&victim) == 0o600);
        fs::remove_file(&part).unwrap();

        put_in_place(&File::create(&part).unwrap(), &part, &place).unwrap();
        assert!(!part.exists() && mode(&place) == 0o664);
    }
}
