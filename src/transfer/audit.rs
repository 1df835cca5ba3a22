//! Asks sources for ranges that are there already, to compare.

use std::collections::{BTreeSet, VecDeque};
use std::sync::mpsc::Receiver;
use std::time::Instant;

use blake2::{Blake2b512, Digest};

use super::blame::{Opinion, Origin, Sample};
use super::scheduler::{Manner, SourceId};
use super::sink::{Sink, SinkError};
use super::worker::{Report, Worker};
use crate::http::ByteRange;
use crate::patience::{AUDIT, PULSE, SAMPLE, SAMPLE_OF_ALL};

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) opinions: Vec<Opinion>,
    /// Bytes received for it.
    pub(super) cost: Vec<(SourceId, u64)>,
}

struct Pending {
    sample: Sample,
    request: u64,
    bytes: Vec<u8>,
    /// When it was asked for, or something of it came last.
    last: Instant,
}

/// Who compares what, and for how long.
pub(super) struct Task<'a> {
    pub(super) samples: Vec<Sample>,
    /// The task ends with the first contradiction, and has no time limit of its own until then.
    pub(super) until_found: bool,
    /// Who may be asked.
    pub(super) checkers: &'a [SourceId],
    /// Whether the audit shall end: the transfer is over, or samples come too slowly. It is told how many
    /// bytes of samples have come.
    pub(super) is_over: &'a mut dyn FnMut(u64) -> bool,
}

/// Asks each checker for one sample at a time. When a checker fails or is silent, another one is asked for
/// its sample. When a sample contradicts what lies there, a third source is asked for it too.
#[expect(clippy::disallowed_methods, reason = "the audit has a time limit")]
pub(super) fn audit(
    task: Task,
    workers: &mut [Worker],
    reports: &Receiver<Report>,
    sink: &Sink,
) -> Result<Findings, SinkError> {
    let mut findings = Findings::default();
    let mut waiting: VecDeque<Sample> = task.samples.into();
    let mut pending: Vec<Pending> = Vec::new();
    let mut failed: BTreeSet<SourceId> = BTreeSet::new();
    let mut thirds: BTreeSet<(Origin, SourceId)> = BTreeSet::new();
    let began = Instant::now();
    let mut last = began;
    let mut received = 0;
    loop {
        for _ in 0..waiting.len() {
            let Some(sample) = waiting.pop_front() else { break };
            if failed.contains(&sample.checker) {
                waiting.extend(elsewhere(sample, task.checkers, &failed));
            } else if pending.iter().any(|p| p.sample.checker == sample.checker) {
                waiting.push_back(sample);
            } else if let Ok(request) = workers[sample.checker].open(sample.range, Manner::Ranged) {
                pending.push(Pending { sample, request, bytes: Vec::new(), last: Instant::now() });
            }
        }
        let too_long = !task.until_found && began.elapsed() > AUDIT;
        if pending.is_empty() && waiting.is_empty() || too_long || (task.is_over)(received) {
            break;
        }
        let report = reports.recv_timeout(PULSE).ok();
        match report {
            Some(Report::Received { source, request, bytes, .. }) => {
                findings.cost.push((source, bytes.len() as u64));
                let Some(at) = find(&pending, source, request) else { continue };
                last = Instant::now();
                received += bytes.len() as u64;
                pending[at].last = last;
                pending[at].bytes.extend_from_slice(&bytes);
                let wanted = usize::try_from(pending[at].sample.range.len()).unwrap_or(usize::MAX);
                if pending[at].bytes.len() >= wanted {
                    let mut done = pending.swap_remove(at);
                    if done.bytes.len() > wanted {
                        // It sends more than it was asked for.
                        done.bytes.truncate(wanted);
                        workers[source].close();
                    }
                    let is_settled = compare(&mut findings, &done, sink)?;
                    if is_settled {
                        continue;
                    }
                    if task.until_found {
                        // What this range shows is enough.
                        waiting.clear();
                    }
                    // For two sources, one third opinion is enough. What lay there may be of many sources, so
                    // each of its samples needs a third opinion.
                    let Sample { origin, checker, .. } = done.sample;
                    if origin == Origin::Earlier || thirds.insert((origin, checker)) {
                        waiting.extend(third(&done.sample, task.checkers));
                    }
                }
            }
            Some(Report::Failed { source, request, .. } | Report::Ended { source, request, .. }) => {
                if let Some(at) = find(&pending, source, request) {
                    failed.insert(source);
                    waiting.extend(elsewhere(pending.swap_remove(at).sample, task.checkers, &failed));
                }
            }
            Some(Report::Skipped { source, bytes }) => findings.cost.push((source, bytes)),
            Some(Report::Opened { .. }) | None => {}
        }
        let latest = pending.iter().map(|p| p.last.elapsed()).min().unwrap_or_default().min(last.elapsed());
        let patience = if latest < SAMPLE { SAMPLE } else { SAMPLE_OF_ALL };
        while let Some(at) = pending.iter().position(|p| p.last.elapsed() > patience) {
            let late = pending.swap_remove(at).sample;
            workers[late.checker].close();
            failed.insert(late.checker);
            waiting.extend(elsewhere(late, task.checkers, &failed));
        }
    }
    for late in pending {
        workers[late.sample.checker].close();
    }
    Ok(findings)
}

/// The sample for somebody who has not failed yet.
fn elsewhere(sample: Sample, checkers: &[SourceId], failed: &BTreeSet<SourceId>) -> Option<Sample> {
    let mut others = checkers.iter().filter(|c| Origin::Source(**c) != sample.origin);
    others.find(|other| !failed.contains(other)).map(|other| Sample { checker: *other, ..sample })
}

/// The same sample for a third source, which decides between the two that contradict each other. The search
/// begins behind the checker, so that everybody gets a turn.
fn third(sample: &Sample, checkers: &[SourceId]) -> Option<Sample> {
    let turn = checkers.iter().position(|c| *c == sample.checker).unwrap_or(0);
    let mut others = checkers.iter().cycle().skip(turn + 1).take(checkers.len().saturating_sub(1));
    let third = others.find(|c| Origin::Source(**c) != sample.origin)?;
    Some(Sample { checker: *third, ..*sample })
}

/// Notes both opinions of a sample. Returns false when they contradict each other and are the first of that
/// range to do so.
fn compare(findings: &mut Findings, done: &Pending, sink: &Sink) -> Result<bool, SinkError> {
    let Sample { origin, checker, range } = done.sample;
    let ours = fingerprint_of(sink, range)?;
    let theirs = fingerprint(&done.bytes);
    let contradicted = findings.opinions.iter().any(|o| o.range == range && o.bytes != ours);
    for (by, bytes) in [(origin, ours), (Origin::Source(checker), theirs)] {
        let opinion = Opinion { range, by, bytes };
        if !findings.opinions.contains(&opinion) {
            findings.opinions.push(opinion);
        }
    }
    Ok(ours == theirs || contradicted)
}

/// What an opinion of that range says when it is what lies there.
pub(super) fn fingerprint_of(sink: &Sink, range: ByteRange) -> Result<[u8; 16], SinkError> {
    let mut bytes = vec![0; usize::try_from(range.len()).unwrap_or(usize::MAX)];
    sink.read(range.first, &mut bytes)?;
    Ok(fingerprint(&bytes))
}

fn fingerprint(bytes: &[u8]) -> [u8; 16] {
    let digest = Blake2b512::digest(bytes);
    let mut short = [0; 16];
    short.copy_from_slice(&digest[..16]);
    short
}

fn find(pending: &[Pending], source: SourceId, request: u64) -> Option<usize> {
    pending.iter().position(|p| p.sample.checker == source && p.request == request)
}
