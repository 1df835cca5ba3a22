//! Whom to measure next, for how long, and when it is enough: over whatever mirrors there are, real or invented.

use std::time::Duration;

use super::arrivals::Arrivals;
use super::decide::{
    Candidate, Fault, Outlook, choose, is_line_filled, is_ruled_out, low_end, to_measure, worth_a_try,
};
use super::samples::{BlockDigest, Sent, compare};
use crate::patience::MEASUREMENT;

/// The most that one mirror is asked for, in bytes.
pub(crate) const LARGEST_SAMPLE: u64 = 8 << 20;
/// The most that all of them are asked for, in bytes. What is not measured by then is not measured.
const LARGEST_SURVEY: u64 = 48 << 20;
/// So many more are measured when somebody not measured may well be better than all others.
const FURTHER: usize = 12;
/// Once the line is known to be the limit, it is enough that a mirror brings this share of it.
const MOST_OF_THE_LINE: f64 = 0.8;

/// The mirrors, by their index.
pub(crate) trait Field {
    /// Downloads from one until `enough` says so. A mirror that does not bring anything has a fault.
    fn measure(&mut self, mirror: usize, enough: &dyn Fn(&Arrivals) -> bool) -> Result<Measured, Fault>;

    /// Looks whether these have what a mirror should have, and asks those for a block of the tested file that were not
    /// measured.
    fn look(&mut self, mirrors: &[(usize, WithBlock)]) -> Vec<Result<Vec<BlockDigest>, Fault>>;

    /// False when the time for measurements is over.
    fn has_time(&self) -> bool;

    /// False when nobody wants to know any longer.
    fn goes_on(&self) -> bool;
}

/// Whether a block of the tested file is to be asked for.
pub(crate) type WithBlock = bool;

/// What came of a download.
#[derive(Clone, Debug, Default)]
pub(crate) struct Measured {
    pub(crate) arrivals: Arrivals,
    /// From the beginning to the first byte, the connection included.
    pub(crate) first_byte: Duration,
    pub(crate) blocks: Vec<BlockDigest>,
}

/// What came of all of it.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// The mirrors to take, the best first.
    pub(crate) chosen: Vec<usize>,
    pub(crate) outlook: Outlook,
    /// Of content, in bytes.
    pub(crate) bytes: u64,
}

/// Measures as many as it takes to know the best, and looks at those that are to be taken. What was found out is in
/// `candidates` then.
pub(crate) fn run(
    candidates: &mut [Candidate],
    wanted: usize,
    measures: bool,
    field: &mut dyn Field,
) -> Outcome {
    let mut blocks: Vec<Vec<BlockDigest>> = vec![Vec::new(); candidates.len()];
    let mut bytes = 0;
    if measures {
        let mut left = to_measure(candidates);
        left.reverse();
        let mut further = FURTHER;
        while let Some(mirror) = left.pop().or_else(|| {
            further = usize::checked_sub(further, 1)?;
            worth_a_try(candidates)
        }) {
            let outlook = Outlook::of(candidates);
            let is_over = bytes >= LARGEST_SURVEY || !field.has_time() || !field.goes_on();
            if is_over || is_line_filled(candidates, outlook, wanted) {
                break;
            }
            let low = low_end(candidates, wanted);
            let round_trip = candidates[mirror].round_trip;
            match field.measure(mirror, &|arrivals| is_enough(arrivals, round_trip, low, outlook.line)) {
                Ok(measured) => {
                    bytes += measured.arrivals.bytes();
                    take(&mut candidates[mirror], &measured);
                    blocks[mirror] = measured.blocks;
                }
                Err(fault) => candidates[mirror].fault = Some(fault),
            }
            judge(candidates, &blocks);
        }
    }
    let chosen = look_at_all(candidates, wanted, &mut blocks, field);
    Outcome { chosen, outlook: Outlook::of(candidates), bytes }
}

/// Looks at those that would be taken, until all of them have been looked at.
fn look_at_all(
    candidates: &mut [Candidate],
    wanted: usize,
    blocks: &mut [Vec<BlockDigest>],
    field: &mut dyn Field,
) -> Vec<usize> {
    let mut seen = vec![false; candidates.len()];
    loop {
        let chosen = choose(candidates, Outlook::of(candidates), wanted);
        let unseen: Vec<(usize, WithBlock)> = chosen
            .iter()
            .filter(|mirror| !seen[**mirror])
            .map(|mirror| (*mirror, blocks[*mirror].is_empty()))
            .collect();
        if unseen.is_empty() || !field.goes_on() {
            return chosen;
        }
        let found = field.look(&unseen);
        for ((mirror, with_block), found) in unseen.into_iter().zip(found) {
            seen[mirror] = true;
            match found {
                Ok(sent) if with_block => blocks[mirror] = sent,
                Ok(_) => {}
                Err(fault) => candidates[mirror].fault = Some(fault),
            }
        }
        judge(candidates, blocks);
    }
}

/// Whether a download has shown enough.
fn is_enough(arrivals: &Arrivals, round_trip: Duration, low_end: Option<f64>, line: Option<f64>) -> bool {
    if arrivals.bytes() >= LARGEST_SAMPLE || arrivals.elapsed() >= MEASUREMENT {
        return true;
    }
    arrivals.rate().filter(|_| arrivals.has_settled(round_trip)).is_some_and(|rate| {
        rate.is_sure()
            || low_end.is_some_and(|low| rate.high < low)
            || line.is_some_and(|line| rate.low >= MOST_OF_THE_LINE * line)
    })
}

fn take(candidate: &mut Candidate, measured: &Measured) {
    match measured.arrivals.rate().or_else(|| measured.arrivals.average()) {
        Some(rate) => candidate.rate = Some(rate),
        None => candidate.fault = Some(Fault::Dead("it sent hardly anything".to_owned())),
    }
    // Now nobody else was at the line.
    candidate.first_byte = candidate.first_byte.min(measured.first_byte);
}

/// Finds those that send other bytes than the rest.
fn judge(candidates: &mut [Candidate], blocks: &[Vec<BlockDigest>]) {
    let blocks: Vec<&[BlockDigest]> = blocks.iter().map(Vec::as_slice).collect();
    for (candidate, sent) in candidates.iter_mut().zip(compare(&blocks)) {
        if is_ruled_out(candidate) && candidate.fault != Some(Fault::WrongBytes) {
            continue;
        }
        match sent {
            Sent::Wrong => candidate.fault = Some(Fault::WrongBytes),
            Sent::Disputed => candidate.fault = Some(Fault::Disputed),
            // More votes have come.
            Sent::AsOthers if matches!(candidate.fault, Some(Fault::WrongBytes | Fault::Disputed)) => {
                candidate.fault = None;
            }
            Sent::AsOthers => {}
        }
    }
}
