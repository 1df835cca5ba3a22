//! Where the many files of a package may be had: hosts, and the places of each file on them.

use std::collections::BTreeMap;

use super::layouts::is_fresh;
use super::turn::Turns;
use super::{At, Finder, Found, PER_UPSTREAM, Place, Sought, note_of};
use crate::mirror::MirrorKey;
use crate::portage::{DistEntry, Distfile, Places};
use crate::transfer::batch::{self, Health, Host, HostId, Item, ItemPlace, RepositoryId};

/// Connections to one mirror at once, at most.
const PER_MIRROR: usize = 3;
/// A host that wanted fewer connections gets no more of them for so long, in seconds.
const CAP_KEPT: u64 = 7 * 24 * 3600;
/// Mirrors that are asked for many small files, at most.
const MIRRORS: usize = 6;

/// The hosts of a batch, as they are needed.
pub(crate) struct Hosts<'s> {
    pub(crate) finder: Finder<'s>,
    pub(crate) list: Vec<Host>,
    /// Under which the figures of each are kept.
    pub(crate) keys: Vec<MirrorKey>,
    /// The repositories that the files are of, by their [`RepositoryId`]; none where that is not known.
    pub(crate) repositories: Vec<Option<String>>,
    /// What those have answered that are not asked for a file.
    said: BTreeMap<Distfile, Vec<String>>,
}

impl<'s> Hosts<'s> {
    /// Begins with the best of the mirrors for files of `size` bytes, in the order in which they shall be asked.
    pub(crate) fn new(mut finder: Finder<'s>, size: u64) -> Self {
        finder.keep_best(MIRRORS, size);
        let mirrors: Vec<Place> =
            finder.mirrors.iter().map(|mirror| finder.at_mirror(mirror, Turns::default())).collect();
        let mut hosts = Self {
            finder,
            list: Vec::new(),
            keys: Vec::new(),
            repositories: Vec::new(),
            said: BTreeMap::new(),
        };
        for mirror in mirrors {
            hosts.add(&mirror, PER_MIRROR);
        }
        hosts
    }

    /// Whether a host is one of the mirrors, which are the first of the list.
    pub(crate) fn is_mirror(&self, host: HostId) -> bool {
        host.0 < self.finder.mirrors.len()
    }

    fn add(&mut self, place: &Place, connections: usize) -> HostId {
        let known = self.finder.state.mirror(&place.key);
        let cap = known.and_then(|m| m.connection_cap.as_ref()).filter(|cap| is_fresh(cap.at, CAP_KEPT));
        let cap = cap.and_then(|cap| usize::try_from(cap.value).ok());
        let expectation = self.finder.expectation(&place.key, 0, place.is_mirror); // each file has tiers of its own
        let health = Health::new(connections.min(cap.unwrap_or(connections)));
        self.list.push(Host { name: place.name.clone(), expectation, health });
        self.keys.push(place.key.clone());
        HostId(self.list.len() - 1)
    }

    /// A file of that repository with all its places. When nobody is left who could be asked: what they said before.
    pub(crate) fn item(
        &mut self,
        entry: DistEntry,
        upstream: Option<&Places>,
        repository: Option<&str>,
    ) -> Result<Item, Vec<String>> {
        let sought = Sought { name: &entry.name, digests: &entry.digests, repository };
        let mirrors_only = Places { mirrors: true, ..Places::default() };
        let upstream = upstream.unwrap_or(&mirrors_only);
        let Found { places: found, said } = self.finder.places(&sought, None, upstream, upstream.mirrors);
        if found.is_empty() {
            return Err(said);
        }
        if !said.is_empty() {
            self.said.insert(entry.name.clone(), said);
        }
        let mut places = Vec::new();
        for place in found {
            let place = self.place(place, &places);
            places.push(place);
        }
        let DistEntry { name, size, digests } = entry;
        let repository = self.repository(repository);
        Ok(Item { name, size, digests, others: Vec::new(), places, repository })
    }

    /// What those who are not asked for a file have said of it a moment ago, as `NAME: ANSWER`.
    pub(crate) fn said(&self, file: &Distfile) -> Vec<String> {
        self.said.get(file).cloned().unwrap_or_default()
    }

    /// Under which it is noted that a host lacks a file.
    pub(crate) fn note(&self, item: &Item, host: HostId) -> Option<MirrorKey> {
        match &item.places.iter().find(|place| place.host == host)?.at {
            batch::At::Url(url) => Some(note_of(url)),
            batch::At::Layout(_) => self.keys.get(host.0).cloned(),
        }
    }

    /// The place on its host. A second one of the same file on the same host counts as another host, and comes after.
    fn place(&mut self, place: Place, known: &[ItemPlace]) -> ItemPlace {
        let is_known = |host: HostId| known.iter().any(|place| place.host == host);
        let mut all = (0..self.keys.len()).map(HostId);
        let others = known.iter().filter(|known| self.keys[known.host.0] == place.key).count();
        let free = all.find(|host| self.keys[host.0] == place.key && !is_known(*host));
        let connections = if others == 0 { PER_UPSTREAM } else { 1 };
        let host = free.unwrap_or_else(|| self.add(&place, connections));
        let at = match place.at {
            At::Url(url) => batch::At::Url(url),
            At::Mirror { layout, .. } => batch::At::Layout(layout),
        };
        ItemPlace { host, tier: place.turn + u8::from(others > 0), at }
    }

    fn repository(&mut self, repository: Option<&str>) -> RepositoryId {
        let known = self.repositories.iter().position(|known| known.as_deref() == repository);
        RepositoryId(known.unwrap_or_else(|| {
            self.repositories.push(repository.map(str::to_owned));
            self.repositories.len() - 1
        }))
    }
}
