//! Where the many files of a package may be had: hosts, and the places of each file on them.

use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::layouts::{KnownLayout, LearnedLayout, is_fresh, usual_layout};
use super::mirrors::{file_key, key, origin};
use super::turn::{Kind, Turns};
use crate::http::{Agent, Failure, Url};
use crate::mirror::{self, FileKey, MirrorKey, State, rank};
use crate::portage::tiers::LOCAL_TIER;
use crate::portage::{Digests, DistEntry, Distfile, LayoutConf, MirrorBase, Place, Places, Tiers};
use crate::transfer::batch::{Health, Host, HostId, Item, ItemId, ItemPlace, Locate, Located};
use crate::transfer::scheduler::Expectation;

/// Connections to one mirror at once, at most.
const PER_MIRROR: usize = 3;
/// Connections to one upstream host at once, at most.
pub(super) const PER_UPSTREAM: usize = 2;
/// A host that wanted fewer connections gets no more of them for so long, in seconds.
const CAP_KEPT: u64 = 7 * 24 * 3600;
/// A host at which requests for ranges failed gets none for so long, in seconds.
const NO_RANGES_KEPT: u64 = 7 * 24 * 3600;
/// Mirrors that are asked for many small files, at most.
const MIRRORS: usize = 6;

/// The hosts of a batch, as they are needed.
pub(super) struct Hosts<'s> {
    state: &'s State,
    now: u64,
    pub(super) list: Vec<Host>,
    pub(super) keys: Vec<MirrorKey>,
    /// The first of the list.
    pub(super) mirrors: Vec<Mirror>,
    /// The repositories that the files are of, by their numbers; none where that is not known.
    pub(super) repositories: Vec<Option<String>>,
}

pub(super) struct Mirror {
    layout: Arc<KnownLayout>,
    tier: u8,
    cools_down: bool,
}

impl<'s> Hosts<'s> {
    /// The best of the mirrors, in the order in which they shall be asked.
    pub(super) fn new(mirrors: &[MirrorBase], tiers: &Tiers, state: &'s State, size: u64, now: u64) -> Self {
        let keys: Vec<MirrorKey> = mirrors.iter().map(key).collect();
        let candidates: Vec<mirror::Candidate> = mirrors
            .iter()
            .zip(&keys)
            .map(|(base, mirror)| mirror::Candidate {
                mirror,
                tier: tiers.of(mirror.as_str(), base.is_local()),
            })
            .collect();
        let mut hosts = Self {
            state,
            now,
            list: Vec::new(),
            keys: Vec::new(),
            mirrors: Vec::new(),
            repositories: Vec::new(),
        };
        for ranked in rank(&candidates, state, Some(size), now).into_iter().take(MIRRORS) {
            let (tier, cools_down) = (ranked.tier, !ranked.cool_down_left.is_zero());
            let base = mirrors[ranked.candidate].clone();
            let url = Url::parse(&base.uri(""));
            let name = url.map_or_else(|_| base.host().to_owned(), |url| url.authority());
            hosts.add(keys[ranked.candidate].clone(), name, PER_MIRROR, tier != LOCAL_TIER);
            let layout = Arc::new(KnownLayout::new(base, state));
            hosts.mirrors.push(Mirror { layout, tier, cools_down });
        }
        hosts
    }

    fn add(&mut self, key: MirrorKey, name: String, connections: usize, mirror: bool) -> usize {
        let known = self.state.mirror(&key);
        let cap = known.and_then(|m| m.connection_cap.as_ref()).filter(|cap| is_fresh(cap.at, CAP_KEPT));
        let cap = cap.and_then(|cap| usize::try_from(cap.value).ok());
        let expectation = expectation(&key, self.state, 0, mirror); // each file has tiers of its own
        let health = Health::new(connections.min(cap.unwrap_or(connections)));
        self.list.push(Host { name, expectation, health });
        self.keys.push(key);
        self.list.len() - 1
    }

    /// A file of that repository with all its places; none when nobody is left who could be asked.
    pub(super) fn item(
        &mut self,
        entry: DistEntry,
        upstream: Option<&Places>,
        repository: Option<&str>,
    ) -> Option<Item> {
        let file = file_key(&entry.name, &entry.digests);
        let turns = Turns::of(repository, &file, self.state, self.now);
        let mut places = Vec::new();
        for place in upstream.iter().flat_map(|places| &places.before_mirrors) {
            let place = self.upstream(place, turns.number(Kind::Primary, false), &places);
            places.extend(place);
        }
        if upstream.is_none_or(|places| places.mirrors) {
            for (host, mirror) in self.mirrors.iter().enumerate() {
                if !self.state.lacks(&self.keys[host], &file, self.now) {
                    let tier = turns.number(Kind::Mirror(mirror.tier), mirror.cools_down);
                    places.push(ItemPlace { host: HostId(host), tier, url: None });
                }
            }
        }
        for place in upstream.iter().flat_map(|places| &places.after_mirrors) {
            let place = self.upstream(place, turns.number(Kind::Upstream, false), &places);
            places.extend(place);
        }
        let DistEntry { name, size, digests } = entry;
        let repository = self.number(repository);
        (!places.is_empty()).then_some(Item { name, size, digests, others: Vec::new(), places, repository })
    }

    /// What the mirrors that are not asked for a file have said of it a moment ago, as `NAME: ANSWER`.
    pub(super) fn remembered(&self, entry: &DistEntry) -> Vec<String> {
        let file = file_key(&entry.name, &entry.digests);
        let keys = self.keys.iter().zip(&self.list).take(self.mirrors.len());
        keys.filter_map(|(key, host)| remembered(self.state, key, &file, &host.name, self.now)).collect()
    }

    /// A place of upstream's. A second one of the same file on the same host counts as another host, and comes after.
    fn upstream(&mut self, place: &Place, tier: u8, known: &[ItemPlace]) -> Option<ItemPlace> {
        let url = Url::parse(&place.uri).ok()?;
        let key = origin(&url);
        let is_known = |host: usize| known.iter().any(|place| place.host == HostId(host));
        let others = known.iter().filter(|place| self.keys[place.host.0] == key).count();
        let free = (0..self.keys.len()).find(|host| self.keys[*host] == key && !is_known(*host));
        let host = free.unwrap_or_else(|| {
            let connections = if others == 0 { PER_UPSTREAM } else { 1 };
            self.add(key, url.authority(), connections, false)
        });
        Some(ItemPlace { host: HostId(host), tier: tier + u8::from(others > 0), url: Some(url) })
    }

    fn number(&mut self, repository: Option<&str>) -> usize {
        let known = self.repositories.iter().position(|known| known.as_deref() == repository);
        known.unwrap_or_else(|| {
            self.repositories.push(repository.map(str::to_owned));
            self.repositories.len() - 1
        })
    }

    /// Says where the mirrors have the files. Each mirror whose layout is not known is asked for it, once in a call.
    pub(super) fn locate(&self, items: &[Item], learned: &Sender<LearnedLayout>) -> Arc<dyn Locate> {
        Arc::new(Paths {
            files: items.iter().map(|item| (item.name.clone(), item.digests.clone())).collect(),
            mirrors: self.mirrors.iter().map(|mirror| mirror.layout.clone()).collect(),
            learned: Mutex::new(learned.clone()),
        })
    }
}

/// Where the mirrors have the files of one batch.
struct Paths {
    files: Vec<(Distfile, Digests)>,
    mirrors: Vec<Arc<KnownLayout>>,
    learned: Mutex<Sender<LearnedLayout>>,
}

impl Paths {
    fn url(&self, base: &MirrorBase, layout: &LayoutConf, item: ItemId) -> Result<Url, Failure> {
        let path = self.files.get(item.0).map(|(name, digests)| layout.path(name.as_str(), digests));
        let url = path.and_then(|path| Url::parse(&base.uri(&path)).ok());
        url.ok_or(Failure::Status { code: 404, retry_after: None })
    }
}

impl Locate for Paths {
    fn known(&self, host: HostId, item: ItemId) -> Result<Located, Failure> {
        let mirror = &self.mirrors[host.0];
        Ok(match mirror.get() {
            Some(layout) => Located::There(self.url(mirror.mirror(), &layout?, item)?),
            None => Located::Perhaps(self.url(mirror.mirror(), &usual_layout(), item)?),
        })
    }

    fn find(&self, host: HostId, item: ItemId, agent: &mut Agent) -> Result<Url, Failure> {
        let learned = self.learned.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let layout = self.mirrors[host.0].find(agent, &learned)?;
        self.url(self.mirrors[host.0].mirror(), &layout, item)
    }
}

/// What a place that lacks a file has said of it a moment ago, as `NAME: ANSWER`; none when it may be asked.
pub(super) fn remembered(
    state: &State,
    note: &MirrorKey,
    file: &FileKey,
    name: &str,
    now: u64,
) -> Option<String> {
    let lacks = state.lacks(note, file, now);
    lacks.then(|| format!("{name}: {} (a moment ago)", state.answer(note, file, now).unwrap_or("not there")))
}

/// What is expected of a place.
pub(super) fn expectation(key: &MirrorKey, state: &State, tier: u8, mirror: bool) -> Expectation {
    let known = state.mirror(key);
    Expectation {
        first_byte: known.and_then(|m| m.first_byte_us.mean()).map(Duration::from_micros),
        rate: known.and_then(|m| m.bytes_per_second.mean()).map(|rate| rate as f64),
        tier,
        mirror,
        plain: known.and_then(|m| m.no_ranges).is_some_and(|known| is_fresh(known.at, NO_RANGES_KEPT)),
    }
}
