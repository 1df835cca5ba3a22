//! The real mirrors, for the survey: which file is asked for, and what their answers mean.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use super::files::Files;
use super::status::Status;
use crate::commands::Interrupt;
use crate::http::{Client, Failure, Url};
use crate::patience::PROBE;
use crate::portage::{DistEntry, LayoutConf, MirrorBase};
use crate::survey::arrivals::Arrivals;
use crate::survey::decide::Fault;
use crate::survey::rounds::{Field, Measured, WithBlock};
use crate::survey::samples::BlockDigest;
use crate::survey::throughput::{TestFile, fault, first_block, has, measure};

/// Mirrors that are asked as well for a file that somebody lacks: if they lack it too, nobody is to blame.
const WITNESSES: usize = 2;

pub(super) struct Net<'a> {
    pub(super) client: &'a Client,
    /// Each mirror and its layout; none for those that do not work.
    pub(super) mirrors: Vec<(&'a MirrorBase, Option<LayoutConf>)>,
    pub(super) files: &'a Files,
    /// The large file that a mirror has sent; before that, all of them are tried.
    pub(super) tested: Option<usize>,
    pub(super) deadline: Instant,
    /// For a look at some of them.
    pub(super) look_time: Duration,
    pub(super) interrupt: &'a Interrupt,
    pub(super) status: &'a mut Status,
    /// Which mirrors are known to have which of the new files, and which lack one.
    pub(super) has: BTreeSet<usize>,
    pub(super) measured: usize,
}

impl Net<'_> {
    fn file(&self, mirror: usize, entry: &DistEntry) -> Option<TestFile> {
        let (base, layout) = self.mirrors.get(mirror)?;
        let path = layout.as_ref()?.path(entry.name.as_str(), &entry.digests);
        Some(TestFile { url: Url::parse(&base.uri(&path)).ok()?, size: entry.size })
    }

    /// The large files that may be asked for.
    fn large(&self) -> Vec<usize> {
        match self.tested {
            Some(index) => vec![index],
            None => (0..self.files.large.len()).collect(),
        }
    }

    /// Which of the new files a mirror lacks.
    fn lacking(&self, mirror: usize, until: Instant) -> Result<BTreeSet<usize>, Failure> {
        let mut lacking = BTreeSet::new();
        for (index, entry) in self.files.new.iter().enumerate() {
            let Some(file) = self.file(mirror, entry) else { continue };
            match has(self.client, &file, left(until)) {
                Ok(()) => {}
                Err(failure) if failure.is_not_found() => drop(lacking.insert(index)),
                Err(failure) => return Err(failure),
            }
        }
        Ok(lacking)
    }

    /// What one mirror has of what it should have.
    fn look_at(&self, mirror: usize, with_block: WithBlock, until: Instant) -> Looked {
        let lacking = match self.lacking(mirror, until) {
            Err(failure) if self.is_hasty(&failure) => return Ok((BTreeSet::new(), Vec::new())),
            lacking => lacking.map_err(|failure| fault(&failure))?,
        };
        let large = self.tested.or_else(|| (!self.files.large.is_empty()).then_some(0));
        let Some(index) = large.filter(|_| with_block) else { return Ok((lacking, Vec::new())) };
        let Some(file) = self.file(mirror, &self.files.large[index]) else {
            return Ok((lacking, Vec::new()));
        };
        match first_block(self.client, &file, left(until)) {
            Ok(blocks) => Ok((lacking, blocks)),
            // Perhaps nobody has it.
            Err(failure) if failure.is_not_found() && self.tested.is_none() => Ok((lacking, Vec::new())),
            Err(failure) if self.is_hasty(&failure) => Ok((lacking, Vec::new())),
            Err(failure) => Err(fault(&failure)),
        }
    }

    /// Whether it only took longer than a survey in haste has time for: that proves nothing.
    fn is_hasty(&self, failure: &Failure) -> bool {
        self.look_time < PROBE && matches!(failure.cause(), Failure::TimeUp(_))
    }
}

/// The new files that are lacking, and the block that was asked for.
type Looked = Result<(BTreeSet<usize>, Vec<BlockDigest>), Fault>;

impl Field for Net<'_> {
    fn measure(&mut self, mirror: usize, enough: &dyn Fn(&Arrivals) -> bool) -> Result<Measured, Fault> {
        self.measured += 1;
        self.status.say(&format!("measuring {} ({})", self.mirrors[mirror].0.host(), self.measured));
        let mut lacks = None;
        for index in self.large() {
            let Some(file) = self.file(mirror, &self.files.large[index]) else { continue };
            match measure(self.client, &file, enough) {
                Ok(measured) => {
                    self.tested = Some(index);
                    return Ok(measured);
                }
                Err(failure) if failure.is_not_found() => lacks = Some(fault(&failure)),
                Err(failure) => return Err(fault(&failure)),
            }
        }
        Err(lacks.unwrap_or(Fault::LacksFiles))
    }

    fn look(&mut self, mirrors: &[(usize, WithBlock)]) -> Vec<Result<Vec<BlockDigest>, Fault>> {
        self.status.say(&format!("looking at the {} best", mirrors.len()));
        let until = now() + self.look_time;
        let this = &*self;
        let looked: Vec<Looked> = thread::scope(|scope| {
            let begin = |(mirror, with_block): &(usize, WithBlock)| {
                let (mirror, with_block) = (*mirror, *with_block);
                let look = move || this.look_at(mirror, with_block, until);
                thread::Builder::new()
                    .spawn_scoped(scope, look)
                    .map_err(|_| this.look_at(mirror, with_block, until))
            };
            let threads: Vec<_> = mirrors.iter().map(begin).collect();
            let ended = |thread: Result<thread::ScopedJoinHandle<'_, Looked>, Looked>| match thread {
                Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
                Err(looked) => looked,
            };
            threads.into_iter().map(ended).collect()
        });
        let new: BTreeSet<usize> = (0..self.files.new.len()).collect();
        for (lacking, _) in looked.iter().flatten() {
            self.has.extend(new.difference(lacking));
        }
        let doubted: BTreeSet<usize> =
            looked.iter().flatten().flat_map(|(lacking, _)| lacking).copied().collect();
        if !doubted.is_subset(&self.has) {
            self.ask_witnesses(mirrors, until);
        }
        let judged = |looked: Looked| {
            let (lacking, blocks) = looked?;
            if lacking.is_disjoint(&self.has) { Ok(blocks) } else { Err(Fault::LacksFiles) }
        };
        looked.into_iter().map(judged).collect()
    }

    fn has_time(&self) -> bool {
        now() < self.deadline
    }

    fn goes_on(&self) -> bool {
        self.interrupt.number().is_none()
    }
}

impl Net<'_> {
    /// Asks others than those whether the new files are anywhere.
    fn ask_witnesses(&mut self, others_than: &[(usize, WithBlock)], until: Instant) {
        let is_other = |mirror: &usize| {
            self.mirrors[*mirror].1.is_some() && !others_than.iter().any(|(looked, _)| looked == mirror)
        };
        let witnesses: Vec<usize> = (0..self.mirrors.len()).filter(is_other).take(WITNESSES).collect();
        for witness in witnesses {
            let Ok(lacking) = self.lacking(witness, until) else { continue };
            self.has.extend((0..self.files.new.len()).filter(|index| !lacking.contains(index)));
        }
    }
}

fn left(until: Instant) -> Duration {
    until.saturating_duration_since(now())
}

#[expect(clippy::disallowed_methods, reason = "measurements and looks have limits of time")]
fn now() -> Instant {
    Instant::now()
}
