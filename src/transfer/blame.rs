//! Whose bytes are wrong, when the whole file's digests do not match.
//!
//! Pure. Samples of every contribution are compared with another source's first ([`samples`]); when that points
//! at nobody, contributions are fetched again, the least trusted first: a changed digest convicts, the same
//! digest clears.

use std::collections::{BTreeMap, BTreeSet};

use super::scheduler::SourceId;
use super::segments::Segments;
use crate::http::ByteRange;
use crate::portage::Digest;

/// Where bytes came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// They lay there when the transfer began.
    Earlier,
    Source(SourceId),
}

/// Some bytes of one origin, to be compared with what `checker` sends for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    pub origin: Origin,
    pub checker: SourceId,
    pub range: ByteRange,
}

/// What to do about a wrong file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Fetch what these sent again, from others. The sources among them are not asked any longer.
    Convict(Vec<Origin>),
    /// Nobody is known to be wrong: fetch what this one sent again, from others, and see whether the digests change.
    Recheck(Origin),
    /// Whoever was asked sends the same bytes: it is not the mirrors that are wrong.
    AllAgree,
    /// Nobody is left who could be asked.
    NobodyLeft,
}

/// Length of a sample, in bytes.
const SAMPLE: u64 = 16 * 1024;
/// Samples of each contribution.
const SAMPLES: u64 = 2;

/// The samples to take: of each origin's contribution, checked by those who did not send it.
pub fn samples(shares: &BTreeMap<Origin, Segments>, checkers: &[SourceId]) -> Vec<Sample> {
    let mut samples = Vec::new();
    for (nth, (origin, share)) in shares.iter().enumerate() {
        let others: Vec<SourceId> =
            checkers.iter().copied().filter(|c| Origin::Source(*c) != *origin).collect();
        if others.is_empty() {
            continue;
        }
        for k in 0..SAMPLES {
            let position = share.len() * (2 * k + 1) / (2 * SAMPLES);
            let checker = others[(nth + usize::try_from(k).unwrap_or(0)) % others.len()];
            samples.extend(nth_position(share, position).map(|range| Sample {
                origin: *origin,
                checker,
                range,
            }));
        }
    }
    samples
}

/// A sample-sized range around the `n`-th position of a set.
fn nth_position(share: &Segments, mut n: u64) -> Option<ByteRange> {
    for range in share.iter() {
        if n < range.len() {
            let first = (range.first + n).min(range.end.saturating_sub(SAMPLE)).max(range.first);
            return Some(ByteRange::new(first, range.end.min(first + SAMPLE)));
        }
        n -= range.len();
    }
    None
}

/// What is known from one verification to the next.
#[derive(Clone, Debug, Default)]
pub struct Blame {
    /// Whose bytes were the same as those of another.
    cleared: BTreeSet<Origin>,
    convicted: BTreeSet<Origin>,
    /// Digests of the last file that did not match, and whose contribution was then fetched again.
    last: Option<(Vec<Digest>, Option<Origin>)>,
    /// Digests of whole files, each from one single source.
    alone: BTreeMap<SourceId, Vec<Digest>>,
}

impl Blame {
    pub fn convicted(&self) -> impl Iterator<Item = Origin> + '_ {
        self.convicted.iter().copied()
    }

    pub fn is_convicted(&self, source: SourceId) -> bool {
        self.convicted.contains(&Origin::Source(source))
    }

    /// The file is right after all: who was being rechecked sent something else.
    pub fn verified(&mut self) {
        if let Some((_, Some(suspect))) = self.last.take() {
            self.convicted.insert(suspect);
        }
    }

    /// What was to be rechecked cannot be had from anybody else.
    pub fn no_recheck(&mut self) {
        if let Some((_, Some(suspect))) = self.last.take() {
            self.cleared.insert(suspect);
        }
    }

    /// A file did not match. `shares` says who sent what, `differ` which pairs of (origin, checker) were found
    /// to differ, `usable` who could be asked for more, the most trusted first.
    pub fn mismatch(
        &mut self,
        digests: Vec<Digest>,
        shares: &BTreeMap<Origin, Segments>,
        differ: &[(Origin, SourceId)],
        usable: &[SourceId],
    ) -> Verdict {
        if let Some((before, Some(suspect))) = self.last.take() {
            if before == digests {
                self.cleared.insert(suspect);
            } else {
                self.convicted.insert(suspect);
            }
        }
        self.last = Some((digests.clone(), None));
        let usable: Vec<SourceId> = usable.iter().copied().filter(|s| !self.is_convicted(*s)).collect();
        let mut origins = shares.keys().copied();
        if let (Some(Origin::Source(only)), None) = (origins.next(), origins.next()) {
            return self.whole_file_of(only, digests, &usable);
        }
        if let Some(guilty) = most_contradicted(differ) {
            self.convicted.extend(guilty.iter().copied());
            return self.ask_again(Verdict::Convict(guilty), &usable);
        }
        // The least trusted: what lay there, then those who cannot be asked any longer, then the others from
        // the last to the first.
        let trust = |origin: &Origin| match origin {
            Origin::Earlier => None,
            Origin::Source(source) => {
                Some(usable.iter().rev().position(|s| s == source).map_or(0, |at| at + 1))
            }
        };
        let open = shares.keys().filter(|origin| !self.cleared.contains(origin));
        match open.min_by_key(|origin| trust(origin)).copied() {
            Some(suspect) => {
                self.last = Some((digests, Some(suspect)));
                self.ask_again(Verdict::Recheck(suspect), &usable)
            }
            None => Verdict::AllAgree,
        }
    }

    /// One source sent everything, and it is wrong.
    fn whole_file_of(&mut self, source: SourceId, digests: Vec<Digest>, usable: &[SourceId]) -> Verdict {
        let agrees = self.alone.values().any(|other| *other == digests);
        self.alone.insert(source, digests);
        if agrees {
            return Verdict::AllAgree;
        }
        let guilty = Origin::Source(source);
        self.convicted.insert(guilty);
        self.ask_again(Verdict::Convict(vec![guilty]), usable)
    }

    fn ask_again(&self, verdict: Verdict, usable: &[SourceId]) -> Verdict {
        let excluded = match &verdict {
            Verdict::Recheck(Origin::Source(suspect)) => Some(*suspect),
            _ => None,
        };
        let left = usable.iter().any(|s| Some(*s) != excluded && !self.is_convicted(*s));
        if left { verdict } else { Verdict::NobodyLeft }
    }
}

/// Those who take part in the most contradictions. What lay there already is believed least, and when only two
/// contradict each other, the one that sent the bytes in question is.
fn most_contradicted(differ: &[(Origin, SourceId)]) -> Option<Vec<Origin>> {
    let mut votes: BTreeMap<Origin, usize> = BTreeMap::new();
    for (origin, checker) in differ {
        *votes.entry(*origin).or_default() += 1;
        *votes.entry(Origin::Source(*checker)).or_default() += 1;
    }
    let most = *votes.values().max()?;
    let guilty: Vec<Origin> = votes.iter().filter(|(_, n)| **n == most).map(|(o, _)| *o).collect();
    if guilty.contains(&Origin::Earlier) {
        return Some(vec![Origin::Earlier]);
    }
    if guilty.len() == 1 {
        return Some(guilty);
    }
    // As many contradictions on several sides: begin with the one that is trusted least.
    differ.iter().map(|(origin, _)| *origin).filter(|o| guilty.contains(o)).max().map(|o| vec![o])
}
