//! The events of a trace, sorted by what is drawn of them. Times are microseconds.

use crate::http::ByteRange;
use crate::transfer::scheduler::SourceId;
use crate::transfer::segments::Segments;
use crate::transfer::trace::{Trace, What};

/// A trace as its picture needs it.
#[derive(Debug, Default)]
pub(super) struct Story<'a> {
    /// One for each source.
    pub(super) lanes: Vec<Lane<'a>>,
    /// From the last byte of a wrong file until something was done about it.
    pub(super) checks: Vec<(u64, u64)>,
    /// From the last byte until the digests were known to be right.
    pub(super) verified: Option<(u64, u64)>,
    /// Length of the file, from each of these times on.
    pub(super) prefix: Vec<(u64, u64)>,
    /// All bytes that were there, those ahead of the file included.
    pub(super) present: Vec<(u64, u64)>,
    /// What lay there before turned out to be wrong.
    pub(super) wrong_beginning: Option<u64>,
}

/// What one source did.
#[derive(Debug, Default)]
pub(super) struct Lane<'a> {
    pub(super) name: &'a str,
    pub(super) requests: Vec<Request>,
    pub(super) cells: Vec<Cell>,
    /// Times in which nothing came.
    pub(super) stalls: Vec<(u64, u64)>,
    pub(super) marks: Vec<(u64, Mark<'a>)>,
    /// Bytes that became part of the file.
    pub(super) kept: u64,
    /// Bytes that came for nothing.
    pub(super) wasted: u64,
    /// Time from the answers to the last bytes of them.
    pub(super) receiving: u64,
}

#[derive(Debug)]
pub(super) struct Request {
    pub(super) asked: u64,
    pub(super) opened: Option<u64>,
    /// When something of it was heard last.
    pub(super) until: u64,
    pub(super) first: u64,
    pub(super) end: Option<u64>,
    pub(super) bytes: u64,
    pub(super) taken_from: Option<SourceId>,
    /// It is for bytes that were there already, and wrong.
    pub(super) repair: bool,
}

/// Some content that came.
#[derive(Debug)]
pub(super) struct Cell {
    pub(super) since: u64,
    pub(super) at: u64,
    pub(super) range: ByteRange,
    /// It was given up later.
    pub(super) wrong: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Mark<'a> {
    Failed(&'a str),
    /// Closed by us, so many microseconds after the last sign of life.
    Closed(u64),
    /// What it sent is fetched again elsewhere.
    GivenUp,
    Convicted,
}

impl<'a> Story<'a> {
    pub(super) fn of(trace: &'a Trace) -> Self {
        let lanes = trace.sources.iter().map(|name| Lane { name, ..Lane::default() }).collect();
        let mut story = Self { lanes, present: vec![(0, trace.resumed)], ..Self::default() };
        let mut given_up = Segments::new();
        let mut have = trace.resumed;
        let mut last = 0;
        for event in &trace.events {
            let at = event.at_us;
            story.end_check(at, &event.what);
            match (&event.what, event.source.and_then(|source| story.lanes.get_mut(source))) {
                (What::GivenUp { first, end }, lane) => {
                    let range = ByteRange { first: *first, end: *end.max(first) };
                    given_up.insert(range);
                    have = have.saturating_sub(range.len());
                    story.present.push((at, have));
                    if story.prefix.last().is_some_and(|(_, prefix)| *prefix > *first) {
                        story.prefix.push((at, *first));
                    }
                    if let Some(lane) = lane {
                        lane.give_up(at, range);
                    }
                }
                (What::Prefix { end, .. }, _) => story.prefix.push((at, *end)),
                (What::Mismatch, _) => story.checks.push((last, trace.elapsed_us)),
                (What::Verified, _) => story.verified = Some((last, at)),
                (What::Convicted, None) => story.wrong_beginning = Some(at),
                (what, Some(lane)) => {
                    if let What::Received { first, end, .. } = what {
                        have += end.saturating_sub(*first);
                        last = at;
                        story.present.push((at, have));
                    }
                    lane.add(at, what, &given_up);
                }
                (_, None) => {}
            }
        }
        for lane in &mut story.lanes {
            if let Some(request) =
                lane.requests.last_mut().filter(|r| r.opened.is_none() && r.until == r.asked)
            {
                request.until = trace.elapsed_us;
            }
        }
        story
    }

    /// A check is over when samples or a verdict are there, or somebody is asked again.
    fn end_check(&mut self, at: u64, what: &What) {
        let over = matches!(what, What::Sampled { .. } | What::GivenUp { .. } | What::Asked { .. });
        if let Some((from, until)) = self.checks.last_mut().filter(|(from, _)| over && *from <= at) {
            *until = (*until).min(at.max(*from));
        }
    }
}

impl<'a> Lane<'a> {
    fn add(&mut self, at: u64, what: &'a What, given_up: &Segments) {
        match what {
            What::Asked { first, end, taken_from } => self.requests.push(Request {
                asked: at,
                opened: None,
                until: at,
                first: *first,
                end: *end,
                bytes: 0,
                taken_from: *taken_from,
                repair: given_up.range_at(*first).is_some(),
            }),
            What::Opened { .. } => {
                if let Some(request) = self.requests.last_mut() {
                    (request.opened, request.until) = (Some(at), at);
                }
            }
            What::Received { first, end, since_us } => {
                let range = ByteRange { first: *first, end: *end.max(first) };
                self.cells.push(Cell { since: *since_us, at, range, wrong: false });
                self.kept += range.len();
                self.receiving += at.saturating_sub(*since_us);
                if let Some(request) = self.requests.last_mut() {
                    request.bytes += range.len();
                    request.until = at;
                }
            }
            What::Stalled { since_us } => {
                self.stalls.push((*since_us, at));
                self.receiving += at.saturating_sub(*since_us);
                if let Some(request) = self.requests.last_mut() {
                    request.until = at;
                }
            }
            What::Wasted { bytes } | What::Sampled { bytes } => self.wasted += bytes,
            What::Closed | What::Failed { .. } => {
                let silent = self.requests.last().map_or(0, |request| at.saturating_sub(request.until));
                let silent =
                    self.stalls.last().filter(|s| s.1 == at).map_or(silent, |s| s.1.saturating_sub(s.0));
                if let Some(request) = self.requests.last_mut() {
                    request.until = at;
                }
                let mark = if let What::Failed { words } = what {
                    Mark::Failed(words)
                } else {
                    Mark::Closed(silent)
                };
                self.marks.push((at, mark));
            }
            What::Convicted => self.marks.push((at, Mark::Convicted)),
            What::Shortened { .. }
            | What::Mismatch
            | What::GivenUp { .. }
            | What::Prefix { .. }
            | What::Verified => {}
        }
    }

    fn give_up(&mut self, at: u64, range: ByteRange) {
        if self.marks.last() != Some(&(at, Mark::GivenUp)) {
            self.marks.push((at, Mark::GivenUp));
        }
        self.kept = self.kept.saturating_sub(range.len());
        self.wasted += range.len();
        for cell in &mut self.cells {
            let share = cell.range.intersection(range).map_or(0, ByteRange::len);
            cell.wrong |= share > 0 && share * 2 >= cell.range.len();
        }
    }
}

/// Bytes that came in each of `count` equal parts of the time until `elapsed`; content is spread evenly over the
/// time in which it came.
pub(super) fn columns<'c>(cells: impl Iterator<Item = &'c Cell>, elapsed: u64, count: usize) -> Vec<f64> {
    let mut columns = vec![0.0; count];
    let width = elapsed.max(1) as f64 / count as f64;
    for cell in cells {
        let (from, to) = (cell.since.min(cell.at) as f64 / width, cell.at as f64 / width);
        let (first, last) = (index(from, count), index(to, count));
        let length = to - from;
        for (at, column) in columns.iter_mut().enumerate().take(last + 1).skip(first) {
            let inside = (to.min(at as f64 + 1.0) - from.max(at as f64)).max(0.0);
            let part = if first == last || length <= 0.0 { 1.0 } else { inside / length };
            *column += cell.range.len() as f64 * part;
        }
    }
    columns
}

/// The column that a place lies in.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "such casts saturate")]
fn index(place: f64, count: usize) -> usize {
    (place as usize).min(count.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(since: u64, at: u64, len: u64) -> Cell {
        Cell { since, at, range: ByteRange::new(0, len), wrong: false }
    }

    #[test]
    fn columns_spread_content_over_its_time_and_lose_nothing() {
        let close =
            |found: &[f64], wanted: &[f64]| found.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-6);
        for (story, cells, wanted) in [
            ("within one", vec![cell(10, 20, 8)], [8.0, 0.0, 0.0, 0.0]),
            ("at an instant", vec![cell(60, 60, 8)], [0.0, 0.0, 8.0, 0.0]),
            ("at the very end", vec![cell(100, 100, 8)], [0.0, 0.0, 0.0, 8.0]),
            ("over several", vec![cell(0, 100, 8), cell(20, 30, 4)], [4.0, 4.0, 2.0, 2.0]),
            ("to a border", vec![cell(0, 25, 8)], [8.0, 0.0, 0.0, 0.0]),
            ("backwards", vec![cell(40, 30, 8)], [0.0, 8.0, 0.0, 0.0]),
        ] {
            let found = columns(cells.iter(), 100, 4);
            assert!(close(&found, &wanted), "{story}: {found:?}");
        }
        assert_eq!(columns([cell(0, 0, 8)].iter(), 0, 2), [8.0, 0.0]);
    }
}
