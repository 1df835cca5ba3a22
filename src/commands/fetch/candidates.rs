//! Where a distfile may be had: the URI that was asked for, and what is as good as that.

use std::path::Path;
use std::sync::mpsc::Sender;
use std::time::{Duration, SystemTime};

use super::{Context, Target};
use crate::commands::environment::read_text as read_file;
use crate::commands::layouts::{
    LAYOUT_KEPT, LearnedLayout, USUAL_LAYOUT, ask_layout, is_fresh, stored_layout,
};
use crate::commands::mirrors::{key, mirrors_for, origin};
use crate::commands::turn::Kind;
use crate::http::Url;
use crate::mirror::{MirrorKey, State};
use crate::portage::mirror_uri::split;
use crate::portage::uri;
use crate::portage::{LayoutConf, MirrorBase, Place, Tiers, read_mirror_cache};
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

/// Places on one host of upstream's, each with a connection, at most.
const PER_UPSTREAM: usize = 2;

/// All places, the one that was asked for first: the mirrors, and upstream's as `SRC_URI` has them. When upstream
/// was asked for, the mirrors have had their turn, but with RESTRICT=primaryuri.
pub(super) fn candidates(
    context: &Context,
    url: &Url,
    asked: &str,
    target: &Target,
    folder: &Path,
    state: &State,
    tiers: &Tiers,
) -> Vec<Candidate> {
    let given = context.options.distfile.mirrors.as_deref();
    let mirrors = mirrors_for(asked, given, &context.call, || context.configuration());
    let places = context.upstream().and_then(|upstream| upstream.places(&target.name)).unwrap_or_default();
    let is_asked = |place: &&Place| place.uri == asked;
    let primary = places.before_mirrors.iter().any(|place| is_asked(&place));
    let mut candidates = Vec::new();
    match split(asked, &mirrors) {
        Some((base, rest)) => {
            candidates.extend(at_mirrors(&mirrors, base, url, rest, target, folder, state, tiers));
        }
        None => candidates.push(upstream(url.clone(), if primary { Kind::Primary } else { Kind::Upstream })),
    }
    if primary && places.mirrors {
        let path = usual_path(target).unwrap_or_else(|| target.name.to_string());
        let others =
            mirrors.iter().filter_map(|mirror| at_mirror(mirror, &path, Guess::Usual, target, state, tiers));
        candidates.extend(others);
    }
    let before = places.before_mirrors.iter().map(|place| (place, Kind::Primary));
    let after = places.after_mirrors.iter().map(|place| (place, Kind::Upstream));
    for (place, kind) in before.chain(after) {
        let Ok(url) = Url::parse(&place.uri) else { continue };
        let candidate = upstream(url, kind);
        let there = candidates.iter().filter(|known| known.key == candidate.key).count();
        if there < PER_UPSTREAM && candidates.iter().all(|known| known.url != candidate.url) {
            candidates.push(candidate);
        }
    }
    candidates
}

/// The mirrors, of which one was asked for that path.
#[expect(clippy::too_many_arguments, reason = "what is known of the mirrors comes from several places")]
fn at_mirrors(
    mirrors: &[MirrorBase],
    base: &MirrorBase,
    url: &Url,
    rest: &str,
    target: &Target,
    folder: &Path,
    state: &State,
    tiers: &Tiers,
) -> Vec<Candidate> {
    let cache = read_file(&folder.join(".mirror-cache.json")).unwrap_or_default();
    let cache = read_mirror_cache(&cache).unwrap_or_default();
    let asked_path = String::from_utf8_lossy(&uri::unquote(rest)).into_owned();
    let guess = if usual_path(target).as_ref() == Some(&asked_path) { Guess::Usual } else { Guess::Nothing };
    let mut first = mirror(base, url.clone(), tiers);
    if stored_path(state, &first.key, target).as_ref() != Some(&asked_path) {
        first.doubt = Some((base.clone(), Guess::Usual));
    }
    let mut candidates = vec![first];
    for mirror in mirrors.iter().filter(|mirror| *mirror != base) {
        // Portage takes any page for a layout: what it remembers is no more than a good guess.
        let cached = cache.get(mirror).filter(|cached| is_fresh(unix(cached.fetched), LAYOUT_KEPT));
        let cached = cached.map(|cached| path_by(&cached.layout, target));
        let guess = if cached.is_some() { Guess::Usual } else { guess };
        let path = cached.as_ref().unwrap_or(&asked_path);
        candidates.extend(at_mirror(mirror, path, guess, target, state, tiers));
    }
    candidates
}

/// A mirror, which is guessed to have the file at that path when its layout is not known.
fn at_mirror(
    base: &MirrorBase,
    path: &str,
    guess: Guess,
    target: &Target,
    state: &State,
    tiers: &Tiers,
) -> Option<Candidate> {
    let stored = stored_path(state, &key(base), target);
    let url = Url::parse(&base.uri(stored.as_deref().unwrap_or(path))).ok()?;
    let doubt = stored.is_none().then(|| (base.clone(), guess));
    Some(Candidate { doubt, ..mirror(base, url, tiers) })
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
        let layout = known.or_else(|| ask_layout(&mirror, agent, &learned))?;
        Url::parse(&mirror.uri(&path_by(&layout, &target))).ok()
    })
}

fn path_by(layout: &LayoutConf, target: &Target) -> String {
    layout.path(target.name.as_str(), &target.digests)
}

fn usual_path(target: &Target) -> Option<String> {
    LayoutConf::parse(USUAL_LAYOUT).ok().map(|layout| path_by(&layout, target))
}

fn stored_path(state: &State, key: &MirrorKey, target: &Target) -> Option<String> {
    stored_layout(state, key).map(|layout| path_by(&layout, target))
}

fn mirror(base: &MirrorBase, url: Url, tiers: &Tiers) -> Candidate {
    let key = key(base);
    let tier = tiers.of(key.as_str(), base.is_local());
    Candidate { note: key.clone(), key, name: url.authority(), url, kind: Kind::Mirror(tier), doubt: None }
}

fn upstream(url: Url, kind: Kind) -> Candidate {
    let note = MirrorKey::new(&url.to_string());
    Candidate { key: origin(&url), note, name: url.authority(), url, kind, doubt: None }
}

fn unix(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}
