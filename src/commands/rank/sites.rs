//! Which mirrors are tried: those of the list, those in use, and where there is no list, those that are known.

use crate::mirror::{MirrorKey, State};
use crate::portage::MirrorBase;
use crate::survey::decide::History;
use crate::survey::list::{Filter, Site, authority};

/// Where everything is, and slower mirrors get it from.
const FALLBACK: &str = "distfiles.gentoo.org";

/// What `GENTOO_MIRRORS` holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct InUse {
    /// Folders, and mirrors on the local network: they stay where they are, before all others.
    pub(super) front: Vec<String>,
    /// Public ones, which must prove themselves.
    pub(super) public: Vec<String>,
    /// Those that cannot be tried.
    pub(super) left_out: Vec<String>,
}

impl InUse {
    pub(super) fn new(words: &[String]) -> Self {
        let mut in_use = Self::default();
        for word in words {
            let list = match word.parse::<MirrorBase>() {
                Ok(base) if base.is_local() => &mut in_use.front,
                Ok(base) if base.host() == FALLBACK => continue,
                Ok(_) => &mut in_use.public,
                Err(_) if word.starts_with('/') => &mut in_use.front,
                Err(_) => &mut in_use.left_out,
            };
            list.push(word.clone());
        }
        in_use
    }
}

/// The last mirror, for what no other has.
pub(super) fn fallback(filter: &Filter) -> Option<String> {
    let addresses = filter.schemes.iter().map(|scheme| format!("{scheme}://{FALLBACK}"));
    addresses.into_iter().find(|address| !filter.excludes(address))
}

/// Adds those in use to those of the list, or marks them there, and takes out what need not be tried.
pub(super) fn merge(mut sites: Vec<Site>, in_use: &InUse, filter: &Filter) -> Vec<Site> {
    let front: Vec<String> = in_use.front.iter().map(|word| authority(word)).collect();
    sites.retain(|site| {
        let host = authority(&site.address);
        host != FALLBACK && !front.contains(&host)
    });
    for word in &in_use.public {
        let host = authority(word);
        let known = sites.iter_mut().find(|site| {
            authority(&site.address) == host || site.also.iter().any(|also| authority(also) == host)
        });
        match known {
            Some(site) => {
                site.in_use = true;
                site.also.push(word.clone());
            }
            // Nobody knows where it is.
            None if filter.is_worldwide() => {
                sites.extend(unlisted(word, filter).map(|site| Site { in_use: true, ..site }));
            }
            None => {}
        }
    }
    sites
}

/// The public mirrors that figures are kept of.
pub(super) fn known(state: &State, filter: &Filter) -> Vec<Site> {
    let is_mirror = |key: &&MirrorKey| {
        let base = key.as_str().parse::<MirrorBase>();
        base.is_ok_and(|base| !base.is_local())
            && state.mirror(key).is_some_and(|known| known.layout.is_some())
    };
    let keys = state.mirrors().map(|(key, _)| key).filter(is_mirror);
    keys.filter_map(|key| unlisted(key.as_str(), filter)).collect()
}

fn unlisted(word: &str, filter: &Filter) -> Option<Site> {
    let wanted = filter.takes_scheme(word) && !filter.excludes(word);
    let host = authority(word);
    wanted.then(|| Site { address: word.to_owned(), name: host.clone(), operator: host, ..Site::default() })
}

/// What real downloads have shown of a mirror, under whichever of its addresses.
pub(super) fn history(site: &Site, state: &State, now: u64) -> Option<History> {
    let known = std::iter::once(&site.address).chain(&site.also).filter_map(|address| {
        let mirror = state.mirror(&MirrorKey::new(address)).filter(|mirror| mirror.attempts > 0)?;
        let rate = mirror.bytes_per_second.mean();
        Some(History {
            bytes_per_second: rate.unwrap_or(1) as f64,
            weight: rate.map_or(0.0, |_| mirror.bytes_per_second.weight(now)),
            probability: mirror.success_probability(now),
        })
    });
    known.max_by(|a, b| a.weight.total_cmp(&b.weight))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    fn filter() -> Filter {
        Filter { schemes: vec!["https", "http"], ..Filter::default() }
    }

    #[test]
    fn what_stays_in_front() {
        let in_use = InUse::new(&words(
            "/var/mirror http://nas.lan/gentoo https://a.example/g ftp://b.example https://distfiles.gentoo.org",
        ));
        assert_eq!(in_use.front, ["/var/mirror", "http://nas.lan/gentoo"]);
        assert_eq!(in_use.public, ["https://a.example/g"]);
        assert_eq!(in_use.left_out, ["ftp://b.example"]);
    }

    #[test]
    fn those_in_use_are_tried_too() {
        let site = |address: &str| Site { address: address.to_owned(), ..Site::default() };
        let listed = vec![
            site("https://a.example/g"),
            site("https://nas.lan/x"),
            site("https://distfiles.gentoo.org"),
        ];
        let in_use = InUse::new(&words("http://a.example/g http://nas.lan/gentoo https://own.example/m"));
        let merged = merge(listed.clone(), &in_use, &filter());
        let shown = |site: &Site| (site.address.clone(), site.in_use);
        assert_eq!(
            merged.iter().map(shown).collect::<Vec<_>>(),
            [("https://a.example/g".to_owned(), true), ("https://own.example/m".to_owned(), true)]
        );
        assert_eq!(merged[0].also, ["http://a.example/g"]);
        let of_a_country = Filter { countries: words("DE"), ..filter() };
        assert_eq!(merge(listed, &in_use, &of_a_country).len(), 1);
    }

    #[test]
    fn the_fallback_can_be_excluded() {
        assert_eq!(fallback(&filter()).as_deref(), Some("https://distfiles.gentoo.org"));
        let http = Filter { schemes: vec!["http"], ..filter() };
        assert_eq!(fallback(&http).as_deref(), Some("http://distfiles.gentoo.org"));
        assert_eq!(fallback(&Filter { excluded: words("distfiles.gentoo.org"), ..filter() }), None);
    }
}
