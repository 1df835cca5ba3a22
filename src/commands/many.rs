//! Many distfiles at once, for look-ahead and for `prefetch`: where they are missing, fetching them, and what is
//! recorded of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::configuration::Configuration;
use super::environment::{read_text, unix_now};
use super::figures;
use super::places::{Hosts, LAYOUT_LARGEST};
use super::record::{batch_deltas, repository_delta};
use super::show::Show;
use crate::files;
use crate::http::Client;
use crate::mirror::{Delta, Store};
use crate::portage::{Digests, DistEntry, DistLocks, Distfile, LayoutConf};
use crate::progress::Ending;
use crate::transfer::batch::{self, Batch, BatchEnd, Between, Clock, HostId, Item, ItemEnd, Signalled};
use crate::transfer::engine::Limits;

/// Where Portage looks for distfiles: DISTDIR, and the folders of `PORTAGE_RO_DISTDIRS`, which have a layout.
pub(super) struct Shelves {
    distdir: PathBuf,
    read_only: Vec<(PathBuf, LayoutConf)>,
}

impl Shelves {
    pub(super) fn new(distdir: &Path, configuration: &Configuration<'_>) -> Self {
        let layout = |folder: &Path| {
            let text =
                read_text(&folder.join("layout.conf")).ok().filter(|text| text.len() <= LAYOUT_LARGEST);
            text.and_then(|text| LayoutConf::parse(&text).ok()).unwrap_or_default()
        };
        let folders = configuration.read_only_distdirs().into_iter();
        let read_only = folders.map(|folder| (folder.clone(), layout(&folder))).collect();
        Self { distdir: distdir.to_path_buf(), read_only }
    }

    /// Whether a file is there, by its size: Portage compares the digests when its turn comes.
    pub(super) fn have(&self, name: &Distfile, size: u64, digests: &Digests) -> bool {
        let mut read_only = self.read_only.iter();
        batch::is_there(&self.distdir.join(name), size)
            || read_only.any(|(folder, layout)| {
                batch::is_there(&folder.join(layout.path(name.as_str(), digests)), size)
            })
    }
}

/// How many mirrors send parts of one large file at once.
const PARALLEL: usize = 4;

/// What fetching many files needs besides the files.
pub(super) struct Many<'a> {
    pub(super) distdir: &'a Path,
    pub(super) locks: DistLocks,
    pub(super) limits: Limits,
    /// Files that are fetched at once, at most.
    pub(super) jobs: usize,
    pub(super) client: &'a Client,
    /// The clock of the call.
    pub(super) clock: Clock,
    pub(super) store: Option<&'a Store>,
    /// See [`Batch::said_unlocked`].
    pub(super) said_unlocked: bool,
    /// What the files are called in the progress display.
    pub(super) title: String,
}

impl Many<'_> {
    /// Fetches as many of the files as can be had, and records how their hosts fared: in the state, and in
    /// `hosts` for the next batch of the call. `ending` says what is shown in the end.
    pub(super) fn fetch(
        &self,
        hosts: &mut Hosts<'_>,
        items: Vec<Item>,
        show: &mut Show,
        signalled: &Signalled<'_>,
        ending: impl FnOnce(&[Item], &BatchEnd) -> Option<Ending>,
    ) -> (Vec<Item>, BatchEnd) {
        let batch = self.batch(hosts, items);
        self.begin(hosts, show);
        let end = batch::run(&batch, show, signalled);
        show.finish(ending(&batch.items, &end).as_ref());
        self.record(hosts, &batch.items, &end, show);
        (batch.items, end)
    }

    pub(super) fn begin(&self, hosts: &Hosts<'_>, show: &mut Show) {
        show.begin(Path::new(&self.title), hosts.list.iter().map(|host| host.name.clone()).collect());
    }

    /// The files and all that is needed to fetch them.
    pub(super) fn batch(&self, hosts: &Hosts<'_>, mut items: Vec<Item>) -> Batch<'_> {
        // Large files first, so that all connections end at about the same time.
        items.sort_by_key(|item| std::cmp::Reverse(item.size));
        Batch {
            folder: self.distdir,
            lock: lock(self.locks.clone()),
            limits: Limits { parallel: PARALLEL, ..self.limits.clone() },
            jobs: self.jobs,
            client: self.client,
            said_unlocked: self.said_unlocked,
            clock: self.clock,
            hosts: hosts.list.clone(),
            items,
            between: Between::default(),
        }
    }

    /// Records how the hosts fared.
    pub(super) fn record(&self, hosts: &mut Hosts<'_>, items: &[Item], end: &BatchEnd, show: &mut Show) {
        let now = unix_now();
        let mut events = batch_deltas(hosts, items, end, now);
        for ((mirror, host), health) in hosts.keys.iter().zip(&mut hosts.list).zip(&end.health) {
            let before = host.health.cap();
            host.health = health.clone();
            let cap = health.cap().filter(|cap| Some(*cap) != before).and_then(|cap| u64::try_from(cap).ok());
            let delta = |connections| Delta::ConnectionCap { mirror: mirror.clone(), at: now, connections };
            events.extend(cap.map(delta));
        }
        events.extend(repository_deltas(hosts, items, end, now));
        events.extend(hosts.finder.learned());
        figures::keep(self.store, &events, self.distdir, now, show);
    }
}

/// Which files the mirrors had, and which they lacked.
fn repository_deltas(hosts: &Hosts<'_>, items: &[Item], end: &BatchEnd, now: u64) -> Vec<Delta> {
    let is_mirror = |host: &HostId| hosts.list[host.0].expectation.mirror;
    let delta = |(item, end): (&Item, &ItemEnd)| {
        let (had, lacked) = match end {
            ItemEnd::Fetched { from, lacking } => (from.iter().any(is_mirror), lacking.iter().any(is_mirror)),
            ItemEnd::Failed(tried) => {
                (false, tried.iter().any(|(host, failure)| is_mirror(host) && failure.is_not_found()))
            }
            ItemEnd::Present | ItemEnd::Locked | ItemEnd::Disk(_) | ItemEnd::Left => return None,
        };
        repository_delta(hosts.repositories.get(item.repository.0)?.as_deref(), had, lacked, now)
    };
    items.iter().zip(&end.items).filter_map(delta).collect()
}

/// Bytes that are still to come for these files. Bytes that lie there need no further room.
pub(super) fn missing<'e>(distdir: &Path, entries: impl Iterator<Item = &'e DistEntry>) -> u64 {
    let there = |entry: &DistEntry| {
        let part = batch::part_of(&distdir.join(&entry.name));
        std::fs::metadata(part).map_or(0, |part| part.len())
    };
    entries.fold(0, |sum, entry| sum.saturating_add(entry.size.saturating_sub(there(entry))))
}

/// The free space in bytes. When it cannot be found out, a full disk will show while writing.
pub(super) fn free_space(distdir: &Path) -> u64 {
    files::room(distdir).unwrap_or(u64::MAX)
}

fn lock(locks: DistLocks) -> batch::Lock {
    Arc::new(move |name: &Distfile| match locks.try_lock(name) {
        Ok(lock) => Ok(lock.map(|lock| Box::new(lock) as Box<dyn Send>)),
        Err(error) => Err(format!("cannot lock {name}: {error}")),
    })
}
