//! Compares samples of what is on disk with what other sources send for them.

use std::collections::VecDeque;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use super::blame::{Origin, Sample};
use super::scheduler::SourceId;
use super::sink::{Sink, SinkError};
use super::worker::{Report, Worker};

/// How long all samples together may take. Those that did not come until then say nothing.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the samples showed.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) differ: Vec<(Origin, SourceId)>,
    /// Bytes received for it.
    pub(super) cost: Vec<(SourceId, u64)>,
    pub(super) signal: Option<i32>,
}

struct Pending {
    sample: Sample,
    request: u64,
    bytes: Vec<u8>,
}

/// Takes the samples, one at a time from each checker.
#[expect(clippy::disallowed_methods, reason = "the audit has a deadline")]
pub(super) fn audit(
    samples: Vec<Sample>,
    workers: &mut [Worker],
    reports: &Receiver<Report>,
    sink: &Sink,
) -> Result<Findings, SinkError> {
    let deadline = Instant::now() + PATIENCE;
    let mut findings = Findings::default();
    let mut waiting: VecDeque<Sample> = samples.into();
    let mut pending: Vec<Pending> = Vec::new();
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
        let left = deadline.saturating_duration_since(Instant::now());
        if pending.is_empty() || left.is_zero() {
            break;
        }
        let Ok(report) = reports.recv_timeout(left) else { break };
        match report {
            Report::Received { source, request, bytes, .. } => {
                let Some(at) = find(&pending, source, request) else { continue };
                findings.cost.push((source, bytes.len() as u64));
                pending[at].bytes.extend_from_slice(&bytes);
                if pending[at].bytes.len() as u64 >= pending[at].sample.range.len() {
                    let done = pending.swap_remove(at);
                    let mut ours = vec![0; done.bytes.len()];
                    sink.read(done.sample.range.first, &mut ours)?;
                    if ours != done.bytes {
                        findings.differ.push((done.sample.origin, source));
                    }
                }
            }
            Report::Failed { source, request, .. } | Report::Ended { source, request, .. } => {
                if let Some(at) = find(&pending, source, request) {
                    pending.swap_remove(at);
                }
            }
            Report::Signal(number) => {
                findings.signal = Some(number);
                break;
            }
            Report::Opened { .. } | Report::Skipped { .. } => {}
        }
    }
    for late in pending {
        workers[late.sample.checker].close();
    }
    Ok(findings)
}

fn find(pending: &[Pending], source: SourceId, request: u64) -> Option<usize> {
    pending.iter().position(|p| p.sample.checker == source && p.request == request)
}
