//! Where a distfile may be had: the URI that was asked for, and what is as good as that.

use std::path::Path;
use std::sync::mpsc::Sender;
use std::time::{Duration, SystemTime};

use super::{Context, Target};
use crate::commands::environment::read_text as read_file;
use crate::commands::hosts::PER_UPSTREAM;
use crate::commands::layouts::{
    LAYOUT_KEPT, LearnedLayout, USUAL_LAYOUT, ask_layout, is_fresh, stored_layout,
};
use crate::commands::mirrors::{key, mirrors_for, origin};
use crate::commands::turn::Kind;
use crate::http::Url;
use crate::mirror::{MirrorKey, State};
use crate::portage::mirror_uri::split;
use crate::portage::uri;
use crate::portage::{LayoutConf, MirrorBase, Tiers, read_mirror_cache};
use crate::transfer::worker::Find;

/// One place where the file may be.
pub(super) struct Candidate {
    /// Under which its figures are kept.
    pub(super) key: MirrorKey,
    /// Under which it is noted that the file is not there: that of a mirror, which has one place for it; else the URL.
    pub(super) note: MirrorKey,
    /// How it is called on the output.
    pub(super) name: String,
    pub(super) url: Url,
    pub(super) kind: Kind,
    /// The mirror, when its layout is not known.
    pub(super) doubt: Option<(MirrorBase, Guess)>,
}

/// What is assumed of a mirror whose layout is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guess {
    /// The layout of the URI that was asked for, which is the one that all official mirrors have.
    Usual,
    /// None: the mirror is asked first.
    Nothing,
}

/// What the places of a distfile depend on.
pub(super) struct Search<'s> {
    pub(super) target: &'s Target,
    /// DISTDIR, where Portage notes the layouts of mirrors.
    pub(super) folder: &'s Path,
    pub(super) state: &'s State,
    pub(super) tiers: &'s Tiers,
}

impl Search<'_> {
    /// All places, the one that was asked for first: the mirrors, and upstream's as `SRC_URI` has them. When upstream
    /// was asked for, the mirrors have had their turn, but with RESTRICT=primaryuri.
    pub(super) fn candidates(&self, context: &Context, url: &Url, asked: &str) -> Vec<Candidate> {
        let given = context.options.distfile.mirrors.as_deref();
        let mirrors = mirrors_for(asked, given, &context.call, || context.configuration());
        let places = context.upstream().and_then(|upstream| upstream.places(&self.target.name));
        let places = places.unwrap_or_default();
        let primary = places.before_mirrors.iter().any(|place| place.uri == asked);
        let mut candidates = match split(asked, &mirrors) {
            Some((base, rest)) => self.at_mirrors(&mirrors, base, url, rest),
            None => vec![upstream(url.clone(), if primary { Kind::Primary } else { Kind::Upstream })],
        };
        if primary && places.mirrors {
            let path = self.usual_path().unwrap_or_else(|| self.target.name.to_string());
            candidates.extend(mirrors.iter().filter_map(|base| self.at_mirror(base, &path, Guess::Usual)));
        }
        let before = places.before_mirrors.iter().map(|place| (place, Kind::Primary));
        let after = places.after_mirrors.iter().map(|place| (place, Kind::Upstream));
        for (place, kind) in before.chain(after) {
            let Ok(url) = Url::parse(&place.uri) else { continue };
            let candidate = upstream(url, kind);
            // Each has a connection of its own.
            let there = candidates.iter().filter(|known| known.key == candidate.key).count();
            if there < PER_UPSTREAM && candidates.iter().all(|known| known.url != candidate.url) {
                candidates.push(candidate);
            }
        }
        candidates
    }

    /// The mirrors, of which `base` was asked for the path `rest`.
    fn at_mirrors(&self, mirrors: &[MirrorBase], base: &MirrorBase, url: &Url, rest: &str) -> Vec<Candidate> {
        let cache = read_file(&self.folder.join(".mirror-cache.json")).unwrap_or_default();
        let cache = read_mirror_cache(&cache).unwrap_or_default();
        let asked = String::from_utf8_lossy(&uri::unquote(rest)).into_owned();
        let guess = if self.usual_path().as_ref() == Some(&asked) { Guess::Usual } else { Guess::Nothing };
        let mut first = self.mirror(base, url.clone());
        if self.stored_path(&first.key).as_ref() != Some(&asked) {
            first.doubt = Some((base.clone(), Guess::Usual));
        }
        let mut candidates = vec![first];
        for mirror in mirrors.iter().filter(|mirror| *mirror != base) {
            // Portage takes any page for a layout: what it remembers is no more than a good guess.
            let cached = cache.get(mirror).filter(|cached| is_fresh(unix(cached.fetched), LAYOUT_KEPT));
            let cached = cached.map(|cached| path_by(&cached.layout, self.target));
            let guess = if cached.is_some() { Guess::Usual } else { guess };
            candidates.extend(self.at_mirror(mirror, cached.as_ref().unwrap_or(&asked), guess));
        }
        candidates
    }

    /// A mirror, which is guessed to have the file at that path when its layout is not known.
    fn at_mirror(&self, base: &MirrorBase, path: &str, guess: Guess) -> Option<Candidate> {
        let stored = self.stored_path(&key(base));
        let url = Url::parse(&base.uri(stored.as_deref().unwrap_or(path))).ok()?;
        let doubt = stored.is_none().then(|| (base.clone(), guess));
        Some(Candidate { doubt, ..self.mirror(base, url) })
    }

    fn mirror(&self, base: &MirrorBase, url: Url) -> Candidate {
        let key = key(base);
        let tier = self.tiers.of(key.as_str(), base.is_local());
        Candidate {
            note: key.clone(),
            key,
            name: url.authority(),
            url,
            kind: Kind::Mirror(tier),
            doubt: None,
        }
    }

    fn usual_path(&self) -> Option<String> {
        LayoutConf::parse(USUAL_LAYOUT).ok().map(|layout| path_by(&layout, self.target))
    }

    fn stored_path(&self, key: &MirrorKey) -> Option<String> {
        stored_layout(self.state, key).map(|layout| path_by(&layout, self.target))
    }
}

/// Finds out where a mirror has the file: by its layout, which is asked for unless it is known.
pub(super) fn find(
    mirror: MirrorBase,
    target: &Target,
    state: &State,
    learned: Sender<LearnedLayout>,
) -> Find {
    let target = target.clone();
    let known = stored_layout(state, &key(&mirror));
    Box::new(move |agent| {
        let layout = known.or_else(|| ask_layout(&mirror, agent, &learned).ok())?;
        Url::parse(&mirror.uri(&path_by(&layout, &target))).ok()
    })
}

fn path_by(layout: &LayoutConf, target: &Target) -> String {
    layout.path(target.name.as_str(), &target.digests)
}

fn upstream(url: Url, kind: Kind) -> Candidate {
    let note = MirrorKey::new(&url.to_string());
    Candidate { key: origin(&url), note, name: url.authority(), url, kind, doubt: None }
}

fn unix(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}
