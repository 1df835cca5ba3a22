//! Who may have a distfile, where, and in which order they are asked: the one builder of places, for one file that is
//! raced ([`sources`]) and for many that are fetched side by side ([`hosts`]).

mod hosts;
mod layouts;
mod sources;
mod turn;

use std::sync::Arc;
use std::time::Duration;

pub(super) use hosts::Hosts;
pub(super) use layouts::{LAYOUT_KEPT, LAYOUT_LARGEST, ask_layout, is_fresh, usual_layout};

use super::mirrors::{file_key, key, origin};
use crate::http::Url;
use crate::mirror::{self, Delta, FileKey, MirrorKey, State, rank};
use crate::portage::tiers::LOCAL_TIER;
use crate::portage::{self, Digests, Distfile, MirrorBase, Tiers};
use crate::transfer::scheduler::Expectation;
use layouts::KnownLayout;
use sources::Guess;
use turn::{Kind, Turns};

/// Places of one file on one upstream host, at most; and connections to such a host at once, at most.
const PER_UPSTREAM: usize = 2;
/// A host at which requests for ranges failed gets none for so long, in seconds.
const NO_RANGES_KEPT: u64 = 7 * 24 * 3600;

/// The distfile that is looked for.
#[derive(Clone, Copy)]
pub(super) struct Sought<'a> {
    pub(super) name: &'a Distfile,
    pub(super) digests: &'a Digests,
    /// `PORTAGE_REPO_NAME`, where it is known.
    pub(super) repository: Option<&'a str>,
}

/// One place where a distfile may be.
#[derive(Clone)]
pub(super) struct Place {
    /// Under which its figures are kept.
    pub(super) key: MirrorKey,
    /// Under which it is noted that the file is not there: that of a mirror, which has one place for it; else the URL.
    pub(super) note: MirrorKey,
    /// How it is called on the output.
    pub(super) name: String,
    /// Whether it is a mirror that is not on the local network: those ought to have the same files.
    pub(super) is_mirror: bool,
    /// Places with a higher number are asked when those with a lower one did not deliver.
    turn: u8,
    at: At,
}

impl Place {
    /// Whether it is a mirror, which has files where its layout says.
    pub(super) fn has_layout(&self) -> bool {
        matches!(self.at, At::Mirror { .. })
    }
}

#[derive(Clone)]
enum At {
    Url(Url),
    /// Where the mirror's layout says; when that is not known, perhaps where it is guessed to be.
    Mirror {
        layout: Arc<KnownLayout>,
        guess: Option<Guess>,
    },
}

/// The places of one file.
#[derive(Default)]
pub(super) struct Found {
    pub(super) places: Vec<Place>,
    /// What those have answered that were asked a moment ago and lack the file, as `NAME: ANSWER`. They are not among the
    /// places.
    pub(super) said: Vec<String>,
}

/// Builds places from the mirrors of a call and what the state knows of everybody. Copies share what is learned of
/// layouts.
#[derive(Clone)]
pub(super) struct Finder<'s> {
    state: &'s State,
    /// In UNIX seconds.
    now: u64,
    mirrors: Vec<Mirror>,
}

#[derive(Clone)]
struct Mirror {
    key: MirrorKey,
    name: String,
    tier: u8,
    layout: Arc<KnownLayout>,
}

impl<'s> Finder<'s> {
    pub(super) fn new(mirrors: &[MirrorBase], tiers: &Tiers, state: &'s State, now: u64) -> Self {
        let mirror = |base: &MirrorBase| {
            let key = key(base);
            let name =
                Url::parse(&base.uri("")).map_or_else(|_| base.host().to_owned(), |url| url.authority());
            let tier = tiers.of(key.as_str(), base.is_local());
            Mirror { layout: Arc::new(KnownLayout::new(base.clone(), state)), key, name, tier }
        };
        Self { state, now, mirrors: mirrors.iter().map(mirror).collect() }
    }

    /// Keeps only the best mirrors for files of that many bytes, the best one first.
    fn keep_best(&mut self, count: usize, size: u64) {
        let candidates: Vec<_> =
            self.mirrors.iter().map(|m| mirror::Candidate { mirror: &m.key, tier: m.tier }).collect();
        let best = rank(&candidates, self.state, Some(size), self.now).into_iter().take(count);
        self.mirrors = best.map(|best| self.mirrors[best.candidate].clone()).collect();
    }

    /// All places of a file: the one to begin with, those of `upstream` with RESTRICT=primaryuri, the mirrors if they may
    /// be asked, and the other ones of `upstream`.
    fn places(
        &self,
        file: &Sought<'_>,
        first: Option<Place>,
        upstream: &portage::Places,
        mirrors: bool,
    ) -> Found {
        let turns = self.turns(file);
        let is_first = |mirror: &Mirror| first.as_ref().is_some_and(|place| place.note == mirror.key);
        let others = self.mirrors.iter().filter(|mirror| mirrors && !is_first(mirror));
        let others: Vec<Place> = others.map(|mirror| self.at_mirror(mirror, turns)).collect();
        let mut places: Vec<Place> = first.into_iter().collect();
        self.add_upstream(&mut places, &upstream.before_mirrors, Kind::Primary, turns);
        places.extend(others);
        self.add_upstream(&mut places, &upstream.after_mirrors, Kind::Upstream, turns);
        let file = file_key(file.name, file.digests);
        let mut found = Found::default();
        for place in places {
            match self.said(&place, &file) {
                Some(said) => found.said.push(said),
                None => found.places.push(place),
            }
        }
        found
    }

    fn said(&self, place: &Place, file: &FileKey) -> Option<String> {
        let Place { note, name, .. } = place;
        let answer = || self.state.answer(note, file, self.now).unwrap_or("not there");
        self.state.lacks(note, file, self.now).then(|| format!("{name}: {} (a moment ago)", answer()))
    }

    fn turns(&self, file: &Sought<'_>) -> Turns {
        Turns::of(file.repository, &file_key(file.name, file.digests), self.state, self.now)
    }

    fn add_upstream(&self, places: &mut Vec<Place>, uris: &[portage::Place], kind: Kind, turns: Turns) {
        for url in uris.iter().filter_map(|place| Url::parse(&place.uri).ok()) {
            let place = self.at_upstream(url, kind, turns);
            // Each has a connection of its own.
            let there = places.iter().filter(|known| known.key == place.key).count();
            if there < PER_UPSTREAM && places.iter().all(|known| known.note != place.note) {
                places.push(place);
            }
        }
    }

    fn at_upstream(&self, url: Url, kind: Kind, turns: Turns) -> Place {
        let (key, note, name) = (origin(&url), note_of(&url), url.authority());
        let turn = turns.number(kind, self.cools_down(&key));
        Place { key, note, name, is_mirror: false, turn, at: At::Url(url) }
    }

    fn at_mirror(&self, mirror: &Mirror, turns: Turns) -> Place {
        let Mirror { key, name, tier, layout } = mirror;
        Place {
            key: key.clone(),
            note: key.clone(),
            name: name.clone(),
            is_mirror: *tier != LOCAL_TIER,
            turn: turns.number(Kind::Mirror(*tier), self.cools_down(key)),
            at: At::Mirror { layout: layout.clone(), guess: None },
        }
    }

    fn cools_down(&self, key: &MirrorKey) -> bool {
        self.state.cool_down_left(key, self.now) > 0
    }

    /// What is expected of a host, in that turn.
    fn expectation(&self, key: &MirrorKey, turn: u8, mirror: bool) -> Expectation {
        let known = self.state.mirror(key);
        Expectation {
            first_byte: known.and_then(|m| m.first_byte_us.mean()).map(Duration::from_micros),
            rate: known.and_then(|m| m.bytes_per_second.mean()).map(|rate| rate as f64),
            tier: turn,
            mirror,
            plain: known.and_then(|m| m.no_ranges).is_some_and(|known| is_fresh(known.at, NO_RANGES_KEPT)),
        }
    }

    /// The layouts that mirrors have told meanwhile, as events for the state.
    pub(super) fn learned(&self) -> impl Iterator<Item = Delta> {
        let told = self.mirrors.iter().filter_map(|mirror| Some((mirror.key.clone(), mirror.layout.told()?)));
        told.map(|(mirror, text)| Delta::Layout { mirror, at: self.now, text })
    }
}

/// Under which it is noted that a file is not at a URL.
fn note_of(url: &Url) -> MirrorKey {
    MirrorKey::new(&url.to_string())
}
