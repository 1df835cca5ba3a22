//! The rest of the package's distfiles, brought along while we are at it.
//!
//! Portage asks for one file after another, a process and a handshake each. What lies verified in DISTDIR when its
//! turn comes is simply accepted.

use std::collections::HashSet;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::Builder;
use std::time::{Duration, Instant};

use super::{Context, Target};
use crate::commands::Interrupt;
use crate::commands::environment::read_text;
use crate::commands::many::{Many, Shelves, free_space};
use crate::commands::places::{Finder, Hosts, Place};
use crate::commands::settings;
use crate::commands::show::Show;
use crate::http::Failure;
use crate::mirror::Store;
use crate::patience::PULSE;
use crate::portage::{DistEntry, manifest};
use crate::progress::{Brought, Ending};
use crate::transfer::batch::{self, Batch, BatchEnd, Clock, Host, HostId, Item, ItemEnd};
use crate::transfer::engine::{Limits, Observer, Snapshot, Surroundings};
use crate::transfer::limiter::Limiter;
use crate::transfer::scheduler::SourceId;

/// A file of at most so many bytes comes from one mirror, and keeps no other one busy.
const SMALL: u64 = 1024 * 1024;

/// The siblings of a file that are missing, and who may have them.
pub(super) struct Ahead<'a> {
    many: Many<'a>,
    hosts: Hosts<'a>,
    items: Vec<Item>,
}

/// Finds out which siblings of `target` are missing in `folder`, and whether they may be fetched.
pub(super) fn prepare<'a>(
    context: &'a Context,
    target: &Target,
    folder: &'a Path,
    finder: Finder<'a>,
    store: Option<&'a Store>,
    limiter: &Limiter,
) -> Option<Ahead<'a>> {
    if context.options.distfile.no_look_ahead
        || context.call.restrict.contains("fetch")
        || !context.call.is_fetch_phase()
    {
        return None;
    }
    let siblings = siblings(context, target, folder);
    if siblings.is_empty() {
        return None;
    }
    let shelves = Shelves::new(folder, context.configuration());
    let is_missing = |entry: &DistEntry| !shelves.have(&entry.name, entry.size, &entry.digests);
    let largest = context.options.limits.max_filesize.unwrap_or(u64::MAX);
    let siblings = siblings.into_iter().filter(|entry| entry.size <= largest);
    let mut siblings: Vec<_> = siblings.filter(is_missing).collect();
    leave_what_has_no_room(&mut siblings, free_space(folder).saturating_sub(target.size.unwrap_or(0)));
    let size = siblings.iter().fold(0, |sum: u64, entry| sum.saturating_add(entry.size));
    let typical = size / (siblings.len() as u64).max(1);
    let mut hosts = Hosts::new(finder, typical);
    let items: Vec<Item> = siblings
        .into_iter()
        .filter_map(|entry| {
            let places = context.upstream().and_then(|upstream| upstream.places(&entry.name));
            hosts.item(entry, places.as_ref(), context.call.repo_name.as_deref()).ok()
        })
        .collect();
    if items.is_empty() {
        return None;
    }
    let many = Many {
        distdir: folder,
        locks: context.configuration().locks(folder),
        limits: Limits { limiter: limiter.clone(), ..settings::limits(context.options) },
        jobs: usize::MAX,
        client: &context.client,
        clock: Clock::start(),
        store,
        said_unlocked: true, // with FILE
        title: format!("{} more of this package", items.len()),
    };
    Some(Ahead { many, hosts, items })
}

/// Fetches a file of `size` bytes by `fetch`, and the siblings. They begin when somebody sends a [`SMALL`] file, else
/// after it, if the result of `fetch` says so: what the link is to blame for would fail, too.
pub(super) fn beside<T>(
    ahead: Option<Ahead<'_>>,
    size: Option<u64>,
    sources: &[Place],
    interrupt: &Interrupt,
    show: &mut Show,
    fetch: impl FnOnce(&Beside<'_>, &mut Show) -> (T, bool),
) -> T {
    let Some(Ahead { many, mut hosts, items }) = ahead else {
        let alone =
            Beside { interrupt, is_small: false, batch: None, hosts: Vec::new(), begin: Mutex::new(None) };
        return fetch(&alone, show).0;
    };
    let batch = &many.batch(&hosts, items);
    let host = |source: &Place| hosts.keys.iter().position(|key| *key == source.key).map(HostId);
    let (begin, begun) = mpsc::channel();
    let beside = Beside {
        interrupt,
        is_small: size.is_some_and(|size| size <= SMALL),
        batch: Some(batch),
        hosts: sources.iter().map(host).collect(),
        begin: Mutex::new(Some(begin)),
    };
    let signalled = || interrupt.number();
    let latest = &Latest::default();
    let (result, end) = std::thread::scope(|scope| {
        let (ends, ended) = mpsc::channel();
        let run = move || {
            if let Ok(()) = begun.recv() {
                let _ = ends.send(batch::run(batch, &mut &*latest, &signalled)); // it is waited for
            }
        };
        let has_thread = Builder::new().name("siblings".to_owned()).spawn_scoped(scope, run).is_ok();
        let (result, may_begin) = fetch(&beside, show);
        batch.between.leave();
        if beside.has_begun() || may_begin && interrupt.number().is_none() {
            beside.begin();
            many.begin(&hosts, show);
        }
        drop(beside); // what has not begun now never does
        let end = if has_thread { wait(&ended, latest, show) } else { None };
        (result, end)
    });
    if let Some(end) = end {
        show.finish(summary(&batch.items, &batch.hosts, &end).as_ref());
        many.record(&mut hosts, &batch.items, &end, show);
    }
    result
}

/// Waits for the end of the batch, and shows how it goes on; none when it never began.
fn wait(ended: &Receiver<BatchEnd>, latest: &Latest, show: &mut Show) -> Option<BatchEnd> {
    loop {
        let end = ended.recv_timeout(PULSE);
        latest.tell(show);
        match end {
            Ok(end) => return Some(end),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return None,
        }
    }
}

/// The batch of siblings, for the transfer of the file that was asked for.
pub(super) struct Beside<'a> {
    interrupt: &'a Interrupt,
    is_small: bool,
    batch: Option<&'a Batch<'a>>,
    /// Which of the batch's hosts each source is.
    hosts: Vec<Option<HostId>>,
    /// Begins the batch.
    begin: Mutex<Option<Sender<()>>>,
}

impl Beside<'_> {
    fn begin(&self) {
        if let Some(begin) = self.begin.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = begin.send(()); // without a thread there is no batch
        }
    }

    fn has_begun(&self) -> bool {
        self.begin.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    fn at(&self, source: SourceId) -> Option<(&Batch<'_>, HostId)> {
        self.batch.zip(*self.hosts.get(source)?)
    }
}

impl Surroundings for Beside<'_> {
    fn signalled(&self) -> Option<i32> {
        self.interrupt.number()
    }

    fn rest(&self, source: SourceId) -> Option<Duration> {
        let (batch, host) = self.at(source)?;
        batch.between.rest_left(host, batch.clock)
    }

    fn beside(&self) -> usize {
        self.batch.map_or(0, |batch| batch.between.under_way())
    }

    fn on_asked(&self, source: SourceId) {
        if let Some((batch, host)) = self.at(source) {
            batch.between.engage(host);
        }
    }

    fn on_opened(&self, _: SourceId) {
        if self.is_small {
            self.begin();
        }
    }

    fn on_failure(&self, source: SourceId, failure: &Failure) {
        if let Some((batch, host)) = self.at(source) {
            batch.between.on_failure(host, failure);
        }
    }
}

/// What was told last of the batch, until somebody can show it.
#[derive(Default)]
struct Latest(Mutex<News>);

#[derive(Default)]
struct News {
    progress: Option<(Instant, Snapshot)>,
    notes: Vec<String>,
}

impl Latest {
    fn news(&self) -> MutexGuard<'_, News> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, show: &mut Show) {
        let News { progress, notes } = std::mem::take(&mut *self.news());
        if let Some((at, snapshot)) = progress {
            show.progress(at, &snapshot);
        }
        for note in &notes {
            show.note(note);
        }
    }
}

impl Observer for &Latest {
    fn progress(&mut self, now: Instant, snapshot: &Snapshot) {
        self.news().progress = Some((now, snapshot.clone()));
    }

    fn note(&mut self, line: &str) {
        self.news().notes.push(line.to_owned());
    }
}

/// The package's other distfiles that the Manifest lists and the folder lacks.
fn siblings(context: &Context, target: &Target, folder: &Path) -> Vec<DistEntry> {
    let names: HashSet<String> = context
        .call
        .distfiles()
        .map(|name| name.as_str().to_owned())
        .filter(|name| name != target.name.as_str())
        .collect();
    if names.is_empty() {
        return Vec::new();
    }
    let Some(text) = context.call.manifest().and_then(|path| read_text(&path).ok()) else {
        return Vec::new();
    };
    manifest::entries(&text)
        .filter_map(Result::ok)
        .filter(|entry| names.contains(entry.name.as_str()) && entry.size > 0 && !entry.digests.is_empty())
        // A file that is there with another size is left to Portage.
        .filter(|entry| !folder.join(entry.name.as_str()).exists())
        .collect()
}

/// Keeps the files that the disk has room for, small ones first: most files are small. Portage reports the
/// rest.
fn leave_what_has_no_room(siblings: &mut Vec<DistEntry>, mut room: u64) {
    siblings.sort_by_key(|entry| entry.size);
    siblings.retain(|entry| {
        let fits = entry.size < room;
        room -= if fits { entry.size } else { 0 };
        fits
    });
}

fn summary(items: &[Item], hosts: &[Host], end: &BatchEnd) -> Option<Ending> {
    let fetched = items.iter().zip(&end.items).filter(|(_, end)| matches!(end, ItemEnd::Fetched { .. }));
    let (count, size) = fetched.fold((0, 0), |(count, size), (item, _)| (count + 1, size + item.size));
    if count == 0 {
        return None;
    }
    let shares = hosts.iter().map(|host| host.name.clone()).zip(end.tallies.iter().map(|tally| tally.kept));
    let left = items.len() - count;
    let left = if left == 0 { String::new() } else { format!("; {left} are left to Portage") };
    let verdict = format!("verified{left}");
    let brought = Brought { size, time: end.elapsed, resumed: 0, shares: shares.collect() };
    Some(Ending { brought: Some(brought), short: verdict.clone(), verdict })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::portage::Distfile;

    #[test]
    fn the_small_ones_have_room() {
        let mut siblings: Vec<DistEntry> = [("c", 70), ("a", 10), ("d", 1_u64 << 50), ("b", 20)]
            .map(|(name, size)| {
                let text = format!("DIST {name} {size} SHA256 {}", "ab".repeat(32));
                manifest::find(&text, &Distfile::new(name).unwrap()).unwrap().unwrap()
            })
            .into();
        leave_what_has_no_room(&mut siblings, 100);
        let left: Vec<&str> = siblings.iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!(left, ["a", "b"], "a disk is not filled to the last byte");
        leave_what_has_no_room(&mut siblings, 0);
        assert!(siblings.is_empty());
    }
}
