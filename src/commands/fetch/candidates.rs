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
use crate::http::Url;
use crate::mirror::{MirrorKey, State};
use crate::portage::mirror_uri::split;
use crate::portage::uri;
use crate::portage::{LayoutConf, MirrorBase, Tiers, is_local, read_mirror_cache};
use crate::transfer::worker::Find;

/// One place where the file may be.
pub(super) struct Candidate {
    /// Under which its figures are kept.
    pub(super) key: MirrorKey,
    /// How it is called on the output.
    pub(super) name: String,
    pub(super) url: Url,
    /// Lower ones are asked first and alone.
    pub(super) tier: u8,
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

/// All places, the one that was asked for first.
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
    let mirrors = mirrors_for(asked, given, context.environment, &context.call);
    let Some((base, rest)) = split(asked, &mirrors) else {
        return third_party(context, url, asked, tiers);
    };
    let cache = read_file(&folder.join(".mirror-cache.json")).unwrap_or_default();
    let cache = read_mirror_cache(&cache).unwrap_or_default();
    let asked_path = String::from_utf8_lossy(&uri::unquote(rest)).into_owned();
    let usual = LayoutConf::parse(USUAL_LAYOUT).ok().map(|layout| path_by(&layout, target));
    let guess = if usual == Some(asked_path.clone()) { Guess::Usual } else { Guess::Nothing };
    let (base, local) = (base.clone(), base.is_local());
    let mut first = candidate(key(&base), url.clone(), local, tiers);
    if stored_layout(state, &first.key).map(|layout| path_by(&layout, target)) != Some(asked_path.clone()) {
        first.doubt = Some((base.clone(), Guess::Usual));
    }
    let mut candidates = vec![first];
    for mirror in mirrors.iter().filter(|mirror| **mirror != base) {
        let key = key(mirror);
        let stored = stored_layout(state, &key).map(|layout| path_by(&layout, target));
        // Portage takes any page for a layout: what it remembers is no more than a good guess.
        let cached = cache.get(mirror).filter(|cached| is_fresh(unix(cached.fetched), LAYOUT_KEPT));
        let cached = cached.map(|cached| path_by(&cached.layout, target));
        let doubt = match (&stored, &cached) {
            (Some(_), _) => None,
            (None, Some(_)) => Some(Guess::Usual),
            (None, None) => Some(guess),
        };
        let path = stored.or(cached).unwrap_or_else(|| asked_path.clone());
        let Ok(url) = Url::parse(&mirror.uri(&path)) else { continue };
        let mut candidate = candidate(key, url, mirror.is_local(), tiers);
        candidate.doubt = doubt.map(|guess| (mirror.clone(), guess));
        candidates.push(candidate);
    }
    candidates
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

fn candidate(key: MirrorKey, url: Url, local: bool, tiers: &Tiers) -> Candidate {
    let tier = tiers.of(key.as_str(), local);
    Candidate { key, name: url.authority(), url, tier, doubt: None }
}

/// The URI itself, and the same path at the other members of its group in `profiles/thirdpartymirrors`.
fn third_party(context: &Context, url: &Url, asked: &str, tiers: &Tiers) -> Vec<Candidate> {
    let mut candidates = vec![candidate(origin(url), url.clone(), is_local(url.host()), tiers)];
    let Some(repository) = context.call.repository() else { return candidates };
    let text = read_file(&repository.join("profiles/thirdpartymirrors")).unwrap_or_default();
    for line in text.lines() {
        let members: Vec<&str> = line.split_whitespace().skip(1).collect();
        let path = members.iter().find_map(|member| asked.strip_prefix(member));
        let Some(path) = path.filter(|path| path.starts_with('/')) else { continue };
        for member in members {
            let Ok(other) = Url::parse(&format!("{member}{path}")) else { continue };
            if candidates.iter().all(|c| c.url != other) {
                candidates.push(candidate(origin(&other), other, false, tiers));
            }
        }
        break;
    }
    candidates
}

fn unix(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}
