//! Who is asked before whom: numbers for the transfer, in which sources of a higher one wait until those of the
//! lower ones do not deliver.

use crate::mirror::{FileKey, State};
use crate::portage::tiers::LOCAL_TIER;

/// A kind of place where a distfile may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// One of `SRC_URI` that comes before the mirrors: RESTRICT=primaryuri.
    Primary,
    /// A mirror of that tier.
    Mirror(u8),
    /// One of `SRC_URI`.
    Upstream,
}

/// Below this share of files that the mirrors have, they are hardly worth asking: an overlay.
const HARDLY_ANY: f64 = 0.1;
/// So many files must have been looked for before that is said.
const ENOUGH: f64 = 8.0;
/// One file of so many is looked for on the mirrors all the same: they may have changed.
const LOOK_AGAIN: u64 = 16;

/// The order of the kinds for one file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Turns {
    /// The mirrors hardly ever have the files of this repository: upstream is asked before those that are not local.
    upstream_first: bool,
}

impl Turns {
    /// By what the state knows of the repository (`PORTAGE_REPO_NAME`). `now` in UNIX seconds.
    pub(super) fn of(repository: Option<&str>, file: &FileKey, state: &State, now: u64) -> Self {
        let hits = repository.and_then(|name| state.repository_hits(name, now));
        let overlay = hits.is_some_and(|(share, files)| share < HARDLY_ANY && files >= ENOUGH);
        let letters = file.as_str().bytes();
        let number = letters.fold(0_u64, |number, byte| number.wrapping_mul(31).wrapping_add(byte.into()));
        Self { upstream_first: overlay && !number.is_multiple_of(LOOK_AGAIN) }
    }

    /// The number of a place. One that is to be left alone for a while comes behind its like.
    pub(super) fn number(self, kind: Kind, cools_down: bool) -> u8 {
        let number = match kind {
            Kind::Primary => 0,
            Kind::Mirror(LOCAL_TIER) => 2,
            Kind::Upstream if self.upstream_first => 4,
            Kind::Mirror(tier) => tier.saturating_mul(2).saturating_add(4),
            Kind::Upstream => 240,
        };
        number + u8::from(cools_down)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mirror::Delta;
    use crate::portage::tiers::{LAST_TIER, USUAL_TIER};

    const NOW: u64 = 1_800_000_000;

    #[test]
    fn the_usual_order() {
        let order = |turns: Turns| {
            let mirror = |tier| (Kind::Mirror(tier), format!("tier {tier}"));
            let mut places = vec![
                (Kind::Upstream, "upstream".to_owned()),
                mirror(LAST_TIER),
                mirror(USUAL_TIER),
                mirror(LOCAL_TIER),
                (Kind::Primary, "primary".to_owned()),
            ];
            places.sort_by_key(|(kind, _)| turns.number(*kind, true));
            let all: std::collections::BTreeSet<u8> = places
                .iter()
                .flat_map(|(kind, _)| [false, true].map(|cools| turns.number(*kind, cools)))
                .collect();
            assert_eq!(all.len(), 2 * places.len(), "each its own number");
            places.into_iter().map(|(_, name)| name).collect::<Vec<_>>()
        };
        let usual = ["primary", "tier 0", "tier 1", "tier 99", "upstream"];
        assert_eq!(order(Turns::default()), usual);
        let overlay = ["primary", "tier 0", "upstream", "tier 1", "tier 99"];
        assert_eq!(order(Turns { upstream_first: true }), overlay);
    }

    #[test]
    fn what_the_mirrors_never_have_is_learned() {
        let mut state = State::default();
        let found = |hit| Delta::Repository { name: "guru".to_owned(), at: NOW, hit };
        let first = |state: &State, repository| {
            let files = (0..320).map(|n| FileKey::new(&format!("f-{n}.crate"), None));
            files.filter(|file| Turns::of(repository, file, state, NOW).upstream_first).count()
        };
        assert_eq!(first(&state, Some("guru")), 0);
        for _ in 0..20 {
            state.apply(&found(false));
        }
        let some = first(&state, Some("guru"));
        assert!((280..320).contains(&some), "{some} of 320: now and then the mirrors are tried");
        assert_eq!((first(&state, Some("gentoo")), first(&state, None)), (0, 0));
        for _ in 0..4 {
            state.apply(&found(true));
        }
        assert_eq!(first(&state, Some("guru")), 0);
    }
}
