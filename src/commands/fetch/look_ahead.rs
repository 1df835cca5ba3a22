//! The rest of the package's distfiles, brought along while we are at it.
//!
//! Portage asks for one file after another, a process and a handshake each. What lies verified in DISTDIR when its
//! turn comes is simply accepted.

use std::collections::HashSet;
use std::path::Path;

use super::{Context, Target};
use crate::commands::environment::{read_text, unix_now};
use crate::commands::figures;
use crate::commands::hosts::Hosts;
use crate::commands::many::{Many, Shelves, free_space};
use crate::commands::mirrors::{mirrors_for, tiers};
use crate::commands::settings;
use crate::commands::show::Show;
use crate::portage::{DistEntry, manifest};
use crate::progress::{bytes, duration};
use crate::transfer::batch::{BatchEnd, Clock, Item, ItemEnd};

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
    let shelves = Shelves::new(folder, context.configuration());
    let is_missing = |entry: &DistEntry| !shelves.have(&entry.name, entry.size, &entry.digests);
    let largest = context.options.limits.max_filesize.unwrap_or(u64::MAX);
    let siblings = siblings.into_iter().filter(|entry| entry.size <= largest);
    let mut siblings: Vec<_> = siblings.filter(is_missing).collect();
    leave_what_has_no_room(&mut siblings, free_space(folder));
    let options = &context.options.distfile;
    let store = context.environment.store(&context.call, options.state.as_deref(), Some(folder));
    let state = figures::load(store.as_ref(), folder, unix_now(), show);
    let size = siblings.iter().fold(0, |sum: u64, entry| sum.saturating_add(entry.size));
    let (tiers, _) = tiers(&options.tiers, &context.call); // what makes no sense was named before
    let mirrors = mirrors_for(asked, options.mirrors.as_deref(), &context.call, || context.configuration());
    let typical = size / (siblings.len() as u64).max(1);
    let mut hosts = Hosts::new(&mirrors, &tiers, &state, typical, unix_now());
    let items: Vec<Item> = siblings
        .into_iter()
        .filter_map(|entry| {
            let places = context.upstream().and_then(|upstream| upstream.places(&entry.name));
            hosts.item(entry, places.as_ref(), context.call.repo_name.as_deref())
        })
        .collect();
    if items.is_empty() {
        return;
    }
    let many = Many {
        distdir: folder,
        locks: context.configuration().locks(folder),
        limits: settings::limits(context.options),
        jobs: usize::MAX,
        client: &context.client,
        clock: Clock::start(),
        store: store.as_ref(),
        said_unlocked: true, // with FILE
        title: format!("{} more of this package", items.len()),
    };
    many.fetch(&mut hosts, items, show, &|| context.interrupt.number(), summary);
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
        .filter(|entry| !folder.join(entry.name.as_str()).exists())
        .collect()
}

/// What does not fit is Portage's to complain about; the small ones are the many.
fn leave_what_has_no_room(siblings: &mut Vec<DistEntry>, mut room: u64) {
    siblings.sort_by_key(|entry| entry.size);
    siblings.retain(|entry| {
        let fits = entry.size < room;
        room -= if fits { entry.size } else { 0 };
        fits
    });
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
