//! What to do about a file that is complete and wrong.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use super::{Outcome, Stage, Tally, Transfer, everything, now};
use crate::http::Failure;
use crate::http::failure::Advice;
use crate::patience::CRAWLING;
use crate::portage::Digest;
use crate::transfer::audit::{Task, audit, fingerprint_of};
use crate::transfer::blame::{self, Origin, around, camps, confirmed, samples};
use crate::transfer::scheduler::{Scheduler, SourceId};
use crate::transfer::segments::Segments;
use crate::transfer::sink::{Sink, SinkError};
use crate::transfer::speed::{CRAWL, SpeedLimit};
use crate::transfer::trace::What;

/// How closely the sources have been compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Audit {
    Nothing,
    Samples,
    Everything,
}

/// Of so many one that is wrong is outvoted.
const MAJORITY: usize = 3;

/// Whether other sources can send the whole file.
enum Others {
    Asked,
    /// Two have sent the same.
    Agree,
    OfNoUse,
}

impl Transfer<'_> {
    /// The file is complete and wrong. Finds out what can be tried next, and gives up what is to be fetched again;
    /// an outcome when there is nothing.
    pub(super) fn repair(
        &mut self,
        scheduler: &mut Scheduler,
        sink: &mut Sink,
        digests: Vec<Digest>,
    ) -> Result<Option<Outcome>, SinkError> {
        // What caches on the way hold may be what is wrong.
        self.workers.iter_mut().for_each(|worker| worker.anew = true);
        let senders = self.tallies.iter().enumerate().filter(|(_, tally)| tally.kept > 0);
        let waited_for = senders.map(|(id, _)| (id, 0.0)).collect();
        self.tell(Stage::Repairing, sink, None, Some(waited_for));
        self.record(None, What::Mismatch);
        let on_trust = std::mem::take(&mut self.on_trust);
        if !on_trust.is_empty() {
            // It was not as good as its samples.
            self.give_up(sink, &on_trust)?;
            return Ok(None);
        }
        // When a majority agrees and is wrong all the same, somebody among them has a fault that no sample showed.
        let next = self.camps.front().map_or(0, Vec::len);
        let is_majority = |camp: &Vec<Origin>| camp.len() > 1.max(next);
        let look_closer = self.camp.as_ref().is_some_and(is_majority) && self.audited < Audit::Everything;
        if !look_closer && self.next_camp(sink)? {
            return Ok(None);
        }
        match self.ask_the_others(sink, digests)? {
            Others::Asked => return Ok(None),
            Others::Agree => return Ok(Some(Outcome::Mismatch { agreed: true })),
            Others::OfNoUse => {}
        }
        for stage in [Audit::Samples, Audit::Everything] {
            if self.audited >= stage {
                continue;
            }
            self.audited = stage;
            self.camp = None;
            let checkers = self.checkers(scheduler);
            let wanted = match stage {
                Audit::Everything => blame::everything(&self.shares, &checkers),
                Audit::Nothing | Audit::Samples => samples(&self.shares, &checkers),
            };
            let (time, began) = (self.limits.time, self.clock.began);
            let mut speed = SpeedLimit::new(self.limits.speed.or(Some((CRAWL, CRAWLING))));
            let mut is_over = |received: u64| {
                let elapsed = now().saturating_duration_since(began);
                self.around.signalled().is_some()
                    || time.is_some_and(|limit| elapsed >= limit)
                    || speed.broken(received, elapsed).is_some()
            };
            let task = Task {
                samples: wanted,
                until_found: stage == Audit::Everything,
                checkers: &checkers,
                is_over: &mut is_over,
            };
            let found = audit(task, &mut self.workers, &self.reports, sink)?;
            self.clock.worked(now());
            for (source, bytes) in found.cost {
                self.tallies[source].wasted += bytes;
                self.record(Some(source), What::Sampled { bytes });
            }
            if let Some(outcome) = self.too_long(sink, None, self.clock.look(now())) {
                return Ok(Some(outcome));
            }
            self.opinions.extend(found.opinions);
            let camps = camps(&self.opinions, &self.everybody());
            if camps.len() > 1 {
                self.camps = camps.into();
            }
            if self.next_camp(sink)? {
                return Ok(None);
            }
            if let Some(earlier) =
                self.shares.get(&Origin::Earlier).filter(|share| !share.is_empty()).cloned()
            {
                // The sources do not contradict each other: what lay there, from nobody knows where, is the first
                // suspect. To compare it would cost as much as to fetch it.
                self.earlier_dropped = true;
                self.give_up(sink, &earlier)?;
                return Ok(None);
            }
        }
        // What lay there may be from one of them: it confirms nobody.
        let others = self.opinions.iter().map(|opinion| opinion.by).filter(|by| *by != Origin::Earlier);
        let witnesses: BTreeSet<Origin> = others.collect();
        // Who sends no ranges could not be compared, and an audit may break off: then nobody knows who is right.
        let is_confirmed = |(origin, share): (&Origin, &Segments)| {
            let others: Vec<Origin> = witnesses.iter().copied().filter(|other| other != origin).collect();
            let confirmed = confirmed(&self.opinions, *origin, &others);
            share.iter().all(|range| confirmed.gaps(range).is_empty())
        };
        let agreed = self.camp.is_none() && witnesses.len() > 1 && self.shares.iter().all(is_confirmed);
        if agreed {
            return Ok(Some(Outcome::Mismatch { agreed }));
        }
        if self.next_alone(scheduler, sink)? {
            return Ok(None);
        }
        if witnesses.len() < 2 && !self.began_anew {
            // Nobody else can be asked. The file may have changed between two answers, or a cache may hold a wrong one:
            // once more.
            self.began_anew = true;
            self.give_up(sink, &everything())?;
            return Ok(None);
        }
        Ok(Some(Outcome::Mismatch { agreed }))
    }

    /// When one source sent the whole file there is nothing to compare: the others are asked for all of it.
    fn ask_the_others(&mut self, sink: &mut Sink, digests: Vec<Digest>) -> Result<Others, SinkError> {
        let mut origins = self.shares.keys();
        let (Some(Origin::Source(only)), None) = (origins.next().copied(), origins.next()) else {
            return Ok(Others::OfNoUse);
        };
        if self.alone.iter().any(|(other, wrong)| *other != only && *wrong == digests) {
            return Ok(Others::Agree);
        }
        self.alone.push((only, digests));
        let tried = |id: &SourceId| self.alone.iter().any(|(source, _)| source == id);
        let others: Vec<SourceId> = self.usable().into_iter().filter(|id| !tried(id)).collect();
        if others.is_empty() {
            return Ok(Others::OfNoUse);
        }
        self.camp = Some(others.into_iter().map(Origin::Source).collect());
        self.give_up(sink, &everything())?;
        Ok(Others::Asked)
    }

    /// Lets the next camp complete the file: what others sent is fetched again. False when no camp is left.
    pub(super) fn next_camp(&mut self, sink: &mut Sink) -> Result<bool, SinkError> {
        let can_send = |camp: &Vec<Origin>| camp.iter().any(|origin| *origin != Origin::Earlier);
        while let Some(camp) = self.camps.pop_front() {
            if !can_send(&camp) {
                continue;
            }
            let mut wrong = Segments::new();
            let mut on_trust = Segments::new();
            for (origin, share) in self.shares.iter().filter(|(origin, _)| !camp.contains(origin)) {
                let confirmed = confirmed(&self.opinions, *origin, &camp);
                let trusted = match origin {
                    // It may be of several, and not all of them wrong.
                    Origin::Earlier if self.audited == Audit::Samples => around(&self.opinions, &confirmed),
                    _ => Segments::new(),
                };
                for range in share.iter().flat_map(|range| confirmed.gaps(range).iter().collect::<Vec<_>>()) {
                    for range in trusted.intersection(range).iter() {
                        on_trust.insert(range);
                    }
                    for range in trusted.gaps(range).iter() {
                        wrong.insert(range);
                    }
                }
            }
            self.on_trust = on_trust;
            for (origin, share) in &self.shares {
                let given_up =
                    wrong.iter().fold(Segments::new(), |all, range| all.union(&share.intersection(range)));
                self.shelves.entry(*origin).or_default().put(sink, &given_up);
            }
            self.give_up(sink, &wrong)?;
            self.take_back(sink, &camp)?;
            self.camp = Some(camp);
            return Ok(true);
        }
        Ok(false)
    }

    /// Who was compared with nobody, because he sends no ranges or the comparison broke off, may be the only one who is
    /// right: each is asked for the whole file, one after another. False when none is left.
    pub(super) fn next_alone(
        &mut self,
        scheduler: &mut Scheduler,
        sink: &mut Sink,
    ) -> Result<bool, SinkError> {
        let was_alone = |id: SourceId| self.alone.iter().any(|(source, _)| *source == id);
        let mut order = self.usable();
        order.extend((0..self.workers.len()).filter(|id| !order.contains(id)).collect::<Vec<_>>());
        let mut left = order.into_iter().filter(|id| !self.had_turn.contains(id) && !was_alone(*id));
        let Some(next) = left.find(|id| scheduler.ask_alone(*id)) else { return Ok(false) };
        self.had_turn.insert(next);
        self.camp = Some(vec![Origin::Source(next)]);
        self.give_up(sink, &everything())?;
        Ok(true)
    }

    /// Puts back what this camp sent before and another camp's bytes had replaced.
    fn take_back(&mut self, sink: &mut Sink, camp: &[Origin]) -> Result<(), SinkError> {
        for origin in camp {
            let Some(shelf) = self.shelves.get_mut(origin) else { continue };
            let returned = shelf.put_back(sink)?;
            if let Origin::Source(source) = origin {
                self.tallies[*source].kept += returned.len();
                self.tallies[*source].wasted = self.tallies[*source].wasted.saturating_sub(returned.len());
            }
            let share = self.shares.entry(*origin).or_default();
            returned.iter().for_each(|range| share.insert(range));
        }
        Ok(())
    }

    /// All who take part, the most trusted first: those without failures, in their order; then what lay there.
    fn everybody(&self) -> Vec<Origin> {
        let mut sources = self.usable();
        sources.extend((0..self.workers.len()).filter(|id| !sources.contains(id)).collect::<Vec<_>>());
        let earlier = self.shares.contains_key(&Origin::Earlier).then_some(Origin::Earlier);
        sources.into_iter().map(Origin::Source).chain(earlier).collect()
    }

    /// The sources that may still send something, the most trusted first.
    fn usable(&self) -> Vec<SourceId> {
        let mut usable: Vec<SourceId> = (0..self.workers.len())
            .filter(|id| is_of_use(&self.tallies[*id], self.wanted.size.is_some()))
            .collect();
        usable.sort_by_key(|id| self.tallies[*id].failures.len());
        usable
    }

    /// Whom to ask for samples: those who had to do with the file, if they are enough to outvote one. Nobody waits for
    /// those who were silent, and who sends no ranges has no samples to send.
    fn checkers(&self, scheduler: &Scheduler) -> Vec<SourceId> {
        let mut usable = self.usable();
        usable.retain(|id| scheduler.is_alive(*id) && scheduler.sends_ranges(*id));
        let asked: Vec<SourceId> =
            usable.iter().copied().filter(|id| self.tallies[*id].requests > 0).collect();
        if asked.len() < MAJORITY { usable } else { asked }
    }

    /// The digests match: whoever said something else than this file was wrong.
    pub(super) fn convict(&mut self, scheduler: &Scheduler, sink: &Sink) -> Result<(), SinkError> {
        let size = sink.prefix();
        if self.wanted.size.is_none() {
            for (source, tally) in self.tallies.iter_mut().enumerate() {
                if let Some(got) = scheduler.said_size(source).filter(|said| *said != size) {
                    tally.failures.push(Failure::WrongSize { expected: size, got });
                }
            }
        }
        let mut right = BTreeMap::new();
        for range in self.opinions.iter().map(|opinion| opinion.range).filter(|range| range.end <= size) {
            if let Entry::Vacant(place) = right.entry((range.first, range.end)) {
                place.insert(fingerprint_of(sink, range)?);
            }
        }
        let mut wrong = blame::wrong(&self.opinions, &right);
        let has_sent = |origin: &Origin| self.shares.get(origin).is_some_and(|share| !share.is_empty());
        let alone = self.alone.iter().map(|(source, _)| Origin::Source(*source));
        wrong.extend(alone.filter(|origin| !has_sent(origin)));
        wrong.extend(self.earlier_dropped.then_some(Origin::Earlier));
        for origin in wrong {
            self.record(origin.source(), What::Convicted);
            match origin {
                Origin::Earlier => {
                    self.observer.note("the partial file was wrong: bytes of it were fetched again");
                }
                Origin::Source(source) => {
                    self.tallies[source].corrupt = true;
                    let line =
                        format!("{} sent wrong bytes: they were fetched elsewhere", self.names[source]);
                    self.observer.note(&line);
                }
            }
        }
        Ok(())
    }

    fn record(&mut self, source: Option<SourceId>, what: What) {
        self.trace.note(source, what, self.clock.time(now()));
    }
}

/// Whether a source may still send something. That a file of another size is there counts only when the size was
/// known: a learned one may have been the wrong one.
fn is_of_use(tally: &Tally, size_known: bool) -> bool {
    let final_for = |failure: &Failure| match failure {
        Failure::RangeIgnored => false,
        Failure::WrongSize { .. } | Failure::RangeNotSatisfiable { .. } => size_known,
        other => other.advice() == Advice::NextSource,
    };
    tally.kept > 0 || !tally.failures.iter().any(final_for)
}
