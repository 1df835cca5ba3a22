//! Whose bytes are wrong, when the whole file's digests do not match.
//!
//! Pure. Everybody's opinions of some ranges are collected: what lies on the disk is the opinion of whoever sent it,
//! and others are asked for the same ranges ([`samples`] first, [`everything`] when samples show nothing). Sources
//! that contradict each other cannot all be right, so they fall into [`camps`]. The file is then completed by one
//! camp alone, the largest first, until the digests match: they alone say who was wrong.

use std::collections::{BTreeMap, BTreeSet};

use super::scheduler::SourceId;
use super::segments::Segments;
use crate::http::ByteRange;

/// Where bytes came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// They lay there when the transfer began.
    Earlier,
    Source(SourceId),
}

impl Origin {
    /// None for what lay there.
    pub fn source(self) -> Option<SourceId> {
        match self {
            Self::Earlier => None,
            Self::Source(source) => Some(source),
        }
    }
}

/// Some bytes of one origin, to be compared with what `checker` sends for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    pub origin: Origin,
    pub checker: SourceId,
    pub range: ByteRange,
}

/// What somebody says the bytes of a range are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opinion {
    pub range: ByteRange,
    pub by: Origin,
    /// A fingerprint of the bytes.
    pub bytes: [u8; 16],
}

/// Length of a sample, in bytes.
const SAMPLE: u64 = 32 * 1024;
/// Samples of each contribution.
const SAMPLES: u64 = 2;
/// Bytes between two samples of what lay there before: it may be of many sources, each of which sent a
/// stretch.
const EARLIER_STEP: u64 = 1024 * 1024;
/// So many of them at most, so much smaller.
const EARLIER_SAMPLES: u64 = 32;
const EARLIER_SAMPLE: u64 = 16 * 1024;
/// Length of a piece when everything is compared, in bytes.
const PIECE: u64 = 512 * 1024;

/// A few samples of each origin's contribution, checked by those who did not send it.
pub fn samples(shares: &BTreeMap<Origin, Segments>, checkers: &[SourceId]) -> Vec<Sample> {
    let of_share = |origin: Origin, share: &Segments| {
        let (count, length) = match origin {
            Origin::Source(_) => (SAMPLES, SAMPLE),
            Origin::Earlier => ((share.len() / EARLIER_STEP).clamp(SAMPLES, EARLIER_SAMPLES), EARLIER_SAMPLE),
        };
        let positions = (0..count).map(|k| share.len() / (2 * count) * (2 * k + 1));
        positions.filter_map(|position| nth_position(share, position, length)).collect()
    };
    assign(shares, checkers, of_share)
}

/// All of each origin's contribution.
pub fn everything(shares: &BTreeMap<Origin, Segments>, checkers: &[SourceId]) -> Vec<Sample> {
    let of_share = |_: Origin, share: &Segments| {
        let pieces = share.iter().flat_map(|range| {
            (range.first..range.end)
                .step_by(usize::try_from(PIECE).unwrap_or(usize::MAX))
                .map(move |first| ByteRange::new(first, range.end.min(first.saturating_add(PIECE))))
        });
        pieces.collect()
    };
    assign(shares, checkers, of_share)
}

/// Who takes part, in groups that do not contradict themselves: the largest first, then the one with the most
/// trusted member. `trusted` names everybody, the most trusted first; who has no part in a contradiction goes with
/// the largest group.
pub fn camps(opinions: &[Opinion], trusted: &[Origin]) -> Vec<Vec<Origin>> {
    let contested = |opinion: &Opinion| {
        opinions.iter().any(|other| other.range == opinion.range && other.bytes != opinion.bytes)
    };
    let takes_part = |origin: &Origin| opinions.iter().any(|o| o.by == *origin && contested(o));
    let (parties, silent): (Vec<Origin>, Vec<Origin>) = trusted.iter().partition(|origin| takes_part(origin));
    let mut camps: Vec<Vec<Origin>> = Vec::new();
    let join = |camps: &mut Vec<Vec<Origin>>, origin: Origin| {
        let fits = |camp: &&mut Vec<Origin>| camp.iter().all(|member| !contradict(opinions, origin, *member));
        match camps.iter_mut().find(fits) {
            Some(camp) => camp.push(origin),
            None => camps.push(vec![origin]),
        }
    };
    for origin in parties {
        join(&mut camps, origin);
    }
    camps.sort_by_key(|camp| std::cmp::Reverse(camp.len()));
    for origin in silent {
        join(&mut camps, origin);
    }
    camps
}

/// What of an origin's bytes somebody of the camp has confirmed.
pub fn confirmed(opinions: &[Opinion], origin: Origin, camp: &[Origin]) -> Segments {
    let of_camp = |ours: &Opinion| {
        opinions.iter().any(|o| camp.contains(&o.by) && o.range == ours.range && o.bytes == ours.bytes)
    };
    let mut confirmed = Segments::new();
    for opinion in opinions.iter().filter(|o| o.by == origin && of_camp(o)) {
        confirmed.insert(opinion.range);
    }
    confirmed
}

/// What of the bytes that lay there looks as if it were right when the samples `confirmed` are: all that lies before,
/// between and behind them, as far as no sample comes in between that is not confirmed.
pub fn around(opinions: &[Opinion], confirmed: &Segments) -> Segments {
    let mut samples: Vec<ByteRange> =
        opinions.iter().filter(|o| o.by == Origin::Earlier).map(|o| o.range).collect();
    samples.sort_unstable_by_key(|range| range.first);
    let mut around = Segments::new();
    let mut first = Some(0);
    for sample in samples {
        let is_confirmed = confirmed.gaps(sample).is_empty();
        if let (Some(first), true) = (first, is_confirmed) {
            around.insert(ByteRange::new(first.min(sample.end), sample.end));
        }
        first = is_confirmed.then_some(sample.end);
    }
    if let Some(first) = first {
        around.insert(ByteRange::new(first, u64::MAX));
    }
    around
}

/// Those whose opinion of a range is not what the right file has there; `right` tells that.
pub fn wrong(opinions: &[Opinion], right: &BTreeMap<(u64, u64), [u8; 16]>) -> BTreeSet<Origin> {
    let is_wrong = |opinion: &&Opinion| {
        let there = right.get(&(opinion.range.first, opinion.range.end));
        there.is_some_and(|bytes| *bytes != opinion.bytes)
    };
    opinions.iter().filter(is_wrong).map(|opinion| opinion.by).collect()
}

fn contradict(opinions: &[Opinion], one: Origin, other: Origin) -> bool {
    let of = |origin: Origin| opinions.iter().filter(move |opinion| opinion.by == origin);
    of(one).any(|a| of(other).any(|b| a.range == b.range && a.bytes != b.bytes))
}

/// Distributes the ranges of each share over those who did not send it.
fn assign(
    shares: &BTreeMap<Origin, Segments>,
    checkers: &[SourceId],
    ranges: impl Fn(Origin, &Segments) -> Vec<ByteRange>,
) -> Vec<Sample> {
    let mut samples = Vec::new();
    for (nth, (origin, share)) in shares.iter().enumerate() {
        let others: Vec<SourceId> =
            checkers.iter().copied().filter(|c| Origin::Source(*c) != *origin).collect();
        if others.is_empty() {
            continue;
        }
        for (k, range) in ranges(*origin, share).into_iter().enumerate() {
            samples.push(Sample { origin: *origin, checker: others[(nth + k) % others.len()], range });
        }
    }
    samples
}

/// A range of that length, if there is so much, around the `n`-th position of a set.
fn nth_position(share: &Segments, mut n: u64, length: u64) -> Option<ByteRange> {
    for range in share.iter() {
        if n < range.len() {
            let first = (range.first + n).min(range.end.saturating_sub(length)).max(range.first);
            return Some(ByteRange::new(first, range.end.min(first + length)));
        }
        n -= range.len();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use Origin::{Earlier, Source};

    fn opinion(by: Origin, first: u64, bytes: u8) -> Opinion {
        Opinion { range: ByteRange::new(first, first + 1), by, bytes: [bytes; 16] }
    }

    #[test]
    fn who_contradicts_nobody_stays_together() {
        let opinions = [opinion(Source(0), 0, 1), opinion(Source(1), 0, 1), opinion(Earlier, 5, 1)];
        let everybody = [Source(0), Source(1), Source(2), Earlier];
        assert_eq!(camps(&opinions, &everybody), [everybody.to_vec()]);
    }

    #[test]
    fn what_lies_between_confirmed_samples_is_trusted() {
        let samples = [40, 10, 20, 60, 90].map(|first| opinion(Earlier, first, 1));
        let opinions = [&samples[..], &[opinion(Source(0), 20, 1), opinion(Source(0), 30, 2)]].concat();
        let around_of = |firsts: &[u64]| {
            let mut confirmed = Segments::new();
            for first in firsts {
                confirmed.insert(ByteRange::new(*first, first + 1));
            }
            around(&opinions, &confirmed).iter().map(|range| (range.first, range.end)).collect::<Vec<_>>()
        };
        assert_eq!(around_of(&[10, 20, 60]), [(0, 21)]);
        assert_eq!(around_of(&[20, 40, 90]), [(21, 41), (91, u64::MAX)]);
        assert_eq!(around_of(&[]), []);
        assert_eq!(around_of(&[10, 20, 40, 60, 90]), [(0, u64::MAX)]);
    }

    #[test]
    fn what_lay_there_takes_sides_too() {
        let opinions = [
            opinion(Source(0), 0, 9),
            opinion(Source(1), 0, 1),
            opinion(Source(2), 0, 1),
            opinion(Source(2), 5, 2),
            opinion(Earlier, 5, 7),
        ];
        let everybody = [Source(0), Source(1), Source(2), Earlier];
        let camps = camps(&opinions, &everybody);
        assert_eq!(camps, [vec![Source(0), Earlier], vec![Source(1), Source(2)]]);
        // Where the right file is not known nobody is wrong.
        let right = BTreeMap::from([((0, 1), [1; 16]), ((5, 6), [2; 16])]);
        assert_eq!(wrong(&opinions, &right), BTreeSet::from([Earlier, Source(0)]));
        assert_eq!(wrong(&opinions, &BTreeMap::new()), BTreeSet::new());
    }

    #[test]
    fn the_silent_go_with_the_many() {
        let opinions = [opinion(Source(0), 0, 9), opinion(Source(1), 0, 1), opinion(Source(2), 0, 1)];
        let everybody = [Source(0), Source(1), Source(2), Source(3)];
        assert_eq!(camps(&opinions, &everybody), [vec![Source(1), Source(2), Source(3)], vec![Source(0)]]);
    }

    #[test]
    fn one_against_one_begins_with_the_trusted() {
        let opinions = [opinion(Source(0), 0, 1), opinion(Source(1), 0, 2)];
        assert_eq!(camps(&opinions, &[Source(1), Source(0)]), [vec![Source(1)], vec![Source(0)]]);
    }

    #[test]
    fn samples_are_checked_by_others_and_everything_is_everything() {
        let shares = BTreeMap::from([
            (Earlier, Segments::of(ByteRange::new(0, 100))),
            (Source(0), Segments::of(ByteRange::new(100, 3_000_000))),
        ]);
        for sample in samples(&shares, &[0, 1]).iter().chain(&everything(&shares, &[0, 1])) {
            assert_ne!(sample.origin, Source(sample.checker));
            assert!(shares[&sample.origin].gaps(sample.range).is_empty());
        }
        let mut covered = Segments::new();
        for sample in everything(&shares, &[0, 1]) {
            covered.insert(sample.range);
        }
        assert!(covered.gaps(ByteRange::new(0, 3_000_000)).is_empty());
        assert!(samples(&shares, &[]).is_empty());
    }
}
