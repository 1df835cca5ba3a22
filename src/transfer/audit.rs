//! Asks sources for ranges that are there already, to compare.

use std::collections::{BTreeSet, VecDeque};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use blake2::{Blake2b512, Digest};

use super::blame::{Opinion, Origin, Sample};
use super::scheduler::SourceId;
use super::sink::{Sink, SinkError};
use super::worker::{Report, Worker};
use crate::http::ByteRange;

/// Nothing from anybody for so long ends it: what did not come says nothing.
const PATIENCE: Duration = Duration::from_secs(5);

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) opinions: Vec<Opinion>,
    /// Bytes received for it.
    pub(super) cost: Vec<(SourceId, u64)>,
}

/// How often it looks whether the process shall end.
const PULSE: Duration = Duration::from_millis(50);

struct Pending {
    sample: Sample,
    request: u64,
    bytes: Vec<u8>,
}

/// Takes the samples, one at a time from each checker; another one is asked when it fails. Where somebody contradicts
/// what lies there, a third of the `checkers` is asked; with `until_found`, that is the end of it.
#[expect(clippy::disallowed_methods, reason = "the audit ends when nothing comes any longer")]
pub(super) fn audit(
    samples: Vec<Sample>,
    until_found: bool,
    checkers: &[SourceId],
    workers: &mut [Worker],
    reports: &Receiver<Report>,
    sink: &Sink,
    signalled: &dyn Fn() -> Option<i32>,
) -> Result<Findings, SinkError> {
    let mut findings = Findings::default();
    let mut waiting: VecDeque<Sample> = samples.into();
    let mut pending: Vec<Pending> = Vec::new();
    let mut failed: BTreeSet<SourceId> = BTreeSet::new();
    let mut last = Instant::now();
    loop {
        for _ in 0..waiting.len() {
            let Some(sample) = waiting.pop_front() else { break };
            if pending.iter().any(|p| p.sample.checker == sample.checker) {
                waiting.push_back(sample);
                continue;
            }
            let request = workers[sample.checker].open(sample.range, false);
            pending.push(Pending { sample, request, bytes: Vec::new() });
        }
        let left = PATIENCE.saturating_sub(last.elapsed());
        if pending.is_empty() || left.is_zero() || signalled().is_some() {
            break;
        }
        let Ok(report) = reports.recv_timeout(left.min(PULSE)) else { continue };
        match report {
            Report::Received { source, request, bytes, .. } => {
                let Some(at) = find(&pending, source, request) else { continue };
                last = Instant::now();
                findings.cost.push((source, bytes.len() as u64));
                pending[at].bytes.extend_from_slice(&bytes);
                if pending[at].bytes.len() as u64 >= pending[at].sample.range.len() {
                    let done = pending.swap_remove(at);
                    let more = compare(&mut findings, &done, checkers, sink)?;
                    if !more.is_empty() && until_found {
                        // What this range shows is enough.
                        waiting.clear();
                    }
                    waiting.extend(more);
                }
            }
            Report::Failed { source, request, .. } | Report::Ended { source, request, .. } => {
                if let Some(at) = find(&pending, source, request) {
                    let Sample { origin, checker, range } = pending.swap_remove(at).sample;
                    failed.insert(checker);
                    let mut others = checkers.iter().filter(|c| Origin::Source(**c) != origin);
                    if let Some(other) = others.find(|other| !failed.contains(other)) {
                        waiting.push_back(Sample { origin, checker: *other, range });
                    }
                }
            }
            Report::Opened { .. } | Report::Skipped { .. } => {}
        }
    }
    for late in pending {
        workers[late.sample.checker].close();
    }
    Ok(findings)
}

/// Notes both opinions of a sample. The first contradiction asks a third one.
fn compare(
    findings: &mut Findings,
    done: &Pending,
    checkers: &[SourceId],
    sink: &Sink,
) -> Result<Vec<Sample>, SinkError> {
    let Sample { origin, checker, range } = done.sample.clone();
    let ours = fingerprint_of(sink, range)?;
    let theirs = fingerprint(&done.bytes);
    let contradicted = findings.opinions.iter().any(|o| o.range == range && o.bytes != ours);
    let mut note = |by: Origin, bytes: [u8; 16]| {
        let opinion = Opinion { range, by, bytes };
        if !findings.opinions.contains(&opinion) {
            findings.opinions.push(opinion);
        }
    };
    note(origin, ours);
    note(Origin::Source(checker), theirs);
    if ours == theirs || contradicted {
        return Ok(Vec::new());
    }
    // A third one decides. Begin behind the checker, so that everybody gets a turn.
    let turn = checkers.iter().position(|c| *c == checker).unwrap_or(0);
    let mut others = checkers.iter().cycle().skip(turn + 1).take(checkers.len().saturating_sub(1));
    let third = others.find(|c| Origin::Source(**c) != origin);
    Ok(third.map(|checker| Sample { origin, checker: *checker, range }).into_iter().collect())
}

fn fingerprint_of(sink: &Sink, range: ByteRange) -> Result<[u8; 16], SinkError> {
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
