//! The places of one file, as the sources of a race.

use std::path::Path;
use std::time::{Duration, SystemTime};

use super::layouts::{LAYOUT_KEPT, is_fresh, usual_layout};
use super::turn::Kind;
use super::{At, Finder, Found, Place, Sought};
use crate::commands::environment::read_text;
use crate::http::Url;
use crate::mirror::{self, rank};
use crate::portage::mirror_uri::split;
use crate::portage::{self, MirrorBase, read_mirror_cache, uri};
use crate::transfer::engine::Source;
use crate::transfer::worker::{self, Doubt, Find};

/// Mirrors that take part in a race, at most: what the best fifty lack, nobody has. Each that is asked takes a
/// thread, and each answer a look at all of them.
const MOST_MIRRORS: usize = 50;

/// Where a file may be on a mirror that has told no layout.
#[derive(Clone)]
pub(super) struct Guess {
    url: Url,
    /// Behind `MIRROR/distfiles/`.
    path: String,
    trust: Trust,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Trust {
    /// The user says so: it is tried even when the layout says something else.
    Asked,
    /// By the layout that all official mirrors have, or by the one that Portage has read there.
    Good,
    /// It is so on the mirror that was asked for, whose layout is none of the usual ones.
    Poor,
}

impl Finder<'_> {
    /// All places of a file, the one that was asked for first: the mirrors, and upstream's as `SRC_URI` has them. When
    /// upstream was asked for, the mirrors have had their turn, but with RESTRICT=primaryuri. `folder` is DISTDIR, where
    /// Portage notes the layouts of mirrors; `text` is the URL as it was written.
    pub(crate) fn of_asked(
        &self,
        file: &Sought<'_>,
        (asked, text): (&Url, &str),
        upstream: &portage::Places,
        folder: &Path,
    ) -> Found {
        let turns = self.turns(file);
        let is_primary = upstream.before_mirrors.iter().any(|place| place.uri == text);
        let bases: Vec<MirrorBase> = self.mirrors.iter().map(|m| m.layout.mirror().clone()).collect();
        let usual_path = usual_layout().path(file.name.as_str(), file.digests);
        let mirror_of = |base| self.mirrors.iter().find(|mirror| mirror.layout.mirror() == base);
        let at = split(text, &bases).and_then(|(base, rest)| Some((mirror_of(base)?, rest)));
        let (first, path) = if let Some((mirror, rest)) = at {
            let path = String::from_utf8_lossy(&uri::unquote(rest)).into_owned();
            let guess = Guess { url: asked.clone(), path: path.clone(), trust: Trust::Asked };
            let at = At::Mirror { layout: mirror.layout.clone(), guess: Some(guess) };
            (Place { at, ..self.at_mirror(mirror, turns) }, path)
        } else {
            let kind = if is_primary { Kind::Primary } else { Kind::Upstream };
            (self.at_upstream(asked.clone(), kind, turns), usual_path.clone())
        };
        let mirrors = first.has_layout() || is_primary && upstream.mirrors;
        let mut found = self.places(file, Some(first), upstream, mirrors);
        let cache = read_text(&folder.join(".mirror-cache.json")).unwrap_or_default();
        let cache = read_mirror_cache(&cache).unwrap_or_default();
        let trust = if path == usual_path { Trust::Good } else { Trust::Poor };
        for place in &mut found.places {
            let At::Mirror { layout, guess: guess @ None } = &mut place.at else { continue };
            let base = layout.mirror();
            // Portage takes any page for a layout: what it remembers is no more than a good guess.
            let cached = cache.get(base).filter(|cached| is_fresh(unix(cached.fetched), LAYOUT_KEPT));
            let cached = cached.map(|cached| cached.layout.path(file.name.as_str(), file.digests));
            let trust = if cached.is_some() { Trust::Good } else { trust };
            let path = cached.unwrap_or_else(|| path.clone());
            *guess = Url::parse(&base.uri(&path)).ok().map(|url| Guess { url, path, trust });
        }
        found
    }

    /// The sources of a race for a file of `size` bytes, the best one first, and the place of each.
    pub(crate) fn sources(
        &self,
        places: Vec<Place>,
        file: &Sought<'_>,
        size: Option<u64>,
    ) -> (Vec<Source>, Vec<Place>) {
        let candidates: Vec<_> =
            places.iter().map(|place| mirror::Candidate { mirror: &place.key, tier: place.turn }).collect();
        let ranked = rank(&candidates, self.state, size, self.now);
        let mut places: Vec<Option<Place>> = places.into_iter().map(Some).collect();
        let name = file.name.as_str();
        let refuse_html = ![".html", ".htm", ".xhtml"].iter().any(|suffix| name.ends_with(suffix));
        let ranked = ranked.into_iter().filter_map(|ranked| places[ranked.candidate].take());
        let mut mirrors = 0;
        let ranked = ranked.filter(|place| {
            mirrors += usize::from(place.has_layout());
            mirrors <= MOST_MIRRORS || !place.has_layout()
        });
        let source = |place: Place| {
            let (url, doubt) = place.whereabouts(file)?;
            let expectation = self.expectation(&place.key, place.turn, place.is_mirror);
            let there = worker::Place { name: place.name.clone(), url, doubt, size, refuse_html };
            Some((Source { place: there, expectation }, place))
        };
        ranked.filter_map(source).unzip()
    }
}

impl Place {
    /// Where it has the file, and how that is found out if it is not certain. None when there is not even a guess.
    fn whereabouts(&self, file: &Sought<'_>) -> Option<(Url, Option<Doubt>)> {
        let (layout, guess) = match &self.at {
            At::Url(url) => return Some((url.clone(), None)),
            At::Mirror { layout, guess } => (layout, guess.clone()),
        };
        let (name, digests) = (file.name.clone(), file.digests.clone());
        let told = layout.get().and_then(Result::ok).flatten();
        let guess = match (guess, told) {
            (Some(guess), Some(told)) if guess.path == told.path(name.as_str(), &digests) => {
                return Some((guess.url, None));
            }
            (Some(guess @ Guess { trust: Trust::Asked, .. }), _) | (Some(guess), None) => guess,
            (_, told) => return Some((layout.url(&told?, &name, &digests).ok()?, None)),
        };
        let (layout, Guess { url, path, .. }) = (layout.clone(), guess.clone());
        let find: Find = Box::new(move |agent| match layout.find(agent)? {
            Some(told) if told.path(name.as_str(), &digests) != path => layout.url(&told, &name, &digests),
            _ => Ok(url.clone()),
        });
        let doubt = if guess.trust == Trust::Poor { Doubt::Unknown(find) } else { Doubt::Guessed(find) };
        Some((guess.url, Some(doubt)))
    }
}

fn unix(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}
