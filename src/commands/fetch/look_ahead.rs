//! The rest of the package's distfiles, brought along while we are at it.
//!
//! Portage asks for one file after another, a process and a handshake each. What lies verified in DISTDIR when its
//! turn comes is simply accepted.

use std::collections::HashSet;
use std::path::Path;
use std::sync::mpsc;

use super::candidates::mirrors;
use super::places::{Hosts, Upstream, file_key, is_there};
use super::record::batch_deltas;
use super::show::Show;
use super::{Context, Target, plain};
use crate::commands::environment::{read_config, read_text, unix_now};
use crate::commands::mirrors::tiers;
use crate::mirror::{Delta, Store};
use crate::portage::distlock::{DistLocks, are_enabled};
use crate::portage::{DistEntry, MakeConf, manifest};
use crate::progress::{bytes, duration};
use crate::transfer::batch::{self, Batch, BatchEnd, Item, ItemEnd};
use crate::transfer::engine::Limits;

/// Mirrors at work at once for a large file.
const PARALLEL: usize = 4;

/// Brings the siblings of `target` that are missing in `folder`. What fails is left to Portage.
pub(super) fn run(context: &Context, asked: &str, target: &Target, folder: &Path, show: &mut Show) {
    if context.options.distfile.no_look_ahead
        || context.call.restrict.contains("fetch")
        || !context.call.is_fetch_phase()
    {
        return;
    }
    let siblings = siblings(context, target, folder);
    if siblings.is_empty() {
        return;
    }
    let store =
        context.environment.store(&context.call, context.options.distfile.state.as_deref(), Some(folder));
    let state = store.as_ref().map(Store::load).map(|(state, _)| state).unwrap_or_default();
    let now = unix_now();
    let size: u64 = siblings.iter().map(|entry| entry.size).sum();
    let (tiers, _) = tiers(&context.options.distfile.tiers, &context.call); // what makes no sense was named before
    let mut hosts = Hosts::new(&mirrors(context, asked), &tiers, &state, size / siblings.len() as u64, now);
    let upstream = Upstream::of_call(context);
    let items: Vec<Item> = siblings
        .into_iter()
        .filter_map(|entry| {
            let places = upstream.as_ref().and_then(|upstream| upstream.places(&entry.name));
            hosts.item(entry, places.as_ref())
        })
        .collect();
    if items.is_empty() || !fits(folder, &items) {
        return;
    }
    let (learned, layouts) = mpsc::channel();
    let names: Vec<String> = hosts.list.iter().map(|host| host.name.clone()).collect();
    show.begin(Path::new(&format!("{} more of this package", items.len())), names.clone());
    let batch = Batch {
        folder,
        locate: hosts.locate(&items, &learned),
        lock: locks(context, folder),
        limits: Limits { parallel: PARALLEL, ..plain::limits(context.options) },
        client: &context.client,
        hosts: hosts.list.clone(),
        items,
    };
    drop(learned);
    let interrupt = context.interrupt;
    let end = batch::run(&batch, show, &|| interrupt.number());
    let line = summary(&batch.items, &end);
    show.finish(line.as_deref());
    let keys: Vec<_> = batch.items.iter().map(|item| file_key(&item.name, &item.digests)).collect();
    let mut events = batch_deltas(&hosts.keys, &end, &keys, now);
    drop(batch); // and with it the sender of the layouts
    events.extend(layouts.try_iter().map(|(mirror, text)| Delta::Layout { mirror, at: now, text }));
    if let Some(Err(error)) = store.map(|store| store.apply(&events, now)) {
        show.warn(&error.to_string());
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
        // What is there with another size is Portage's to judge.
        .filter(|entry| {
            !is_there(folder, &entry.name, entry.size) && !folder.join(entry.name.as_str()).exists()
        })
        .collect()
}

/// Whether there is room for all of it, as Portage would check.
fn fits(folder: &Path, items: &[Item]) -> bool {
    let wanted: u64 = items.iter().map(|item| item.size).sum();
    fs2::available_space(folder).map_or(true, |free| free > wanted)
}

fn locks(context: &Context, folder: &Path) -> batch::Lock {
    let features = context.environment.text("FEATURES").unwrap_or_else(|| {
        let conf = MakeConf::of_system(&context.call.eprefix, &context.call.configroot, &read_config);
        conf.get("FEATURES").unwrap_or_default().to_owned()
    });
    let locks = DistLocks::new(folder, are_enabled(&features));
    // Where no lock can be had at all, the file is Portage's.
    std::sync::Arc::new(move |name| {
        locks.try_lock(name).ok().flatten().map(|lock| Box::new(lock) as Box<dyn Send>)
    })
}

fn summary(items: &[Item], end: &BatchEnd) -> Option<String> {
    let fetched = items.iter().zip(&end.items).filter(|(_, end)| matches!(end, ItemEnd::Fetched { .. }));
    let (count, size) = fetched.fold((0, 0), |(count, size), (item, _)| (count + 1, size + item.size));
    if count == 0 {
        return None;
    }
    let from = end.tallies.iter().filter(|tally| tally.kept > 0).count();
    let hosts = if from == 1 { "host" } else { "hosts" };
    let left = items.len() - count;
    let left = if left == 0 { String::new() } else { format!("; {left} are left to Portage") };
    Some(format!("{} in {} from {from} {hosts}, verified{left}", bytes(size), duration(end.elapsed)))
}
