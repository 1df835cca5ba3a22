//! Which mirrors to take, and in which order, by all that is known of them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::arrivals::Rate;
use crate::mirror::Freshness;

/// What is known of one mirror.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Candidate {
    /// Who runs it. Of each operator one mirror is taken.
    pub(crate) operator: String,
    /// Of networks, which are filled from one place and fail together, one stands among the first three.
    pub(crate) is_network: bool,
    pub(crate) in_use: bool,
    /// None when it does not say.
    pub(crate) age: Option<Freshness>,
    /// From a request to the head of its answer, over a connection that stands.
    pub(crate) round_trip: Duration,
    /// The same with making the connection, TLS included.
    pub(crate) first_byte: Duration,
    pub(crate) history: Option<History>,
    pub(crate) rate: Option<Rate>,
    pub(crate) fault: Option<Fault>,
}

/// What real downloads have shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct History {
    pub(crate) bytes_per_second: f64,
    /// In downloads, old ones faded.
    pub(crate) weight: f64,
    /// That a request succeeds.
    pub(crate) probability: f64,
}

/// What is wrong with a mirror.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It did not answer, or not as a mirror. One line for the user.
    Dead(String),
    /// It answers with web pages.
    WebPage,
    /// Other bytes than the other mirrors.
    WrongBytes,
    /// Other bytes than another mirror, and nobody knows which are right.
    Disputed,
    /// Files that others have are not there.
    LacksFiles,
}

impl Fault {
    /// Whether the mirror cannot be taken, whoever else is left.
    pub(crate) fn rules_out(&self) -> bool {
        match self {
            Self::Dead(_) | Self::WebPage | Self::WrongBytes => true,
            Self::Disputed | Self::LacksFiles => false,
        }
    }
}

/// The size of file for which the order is made, in bytes: about the mean of all distfiles.
pub(crate) const SIZE: f64 = 4.0 * 1024.0 * 1024.0;

/// What one measurement counts for beside real downloads, in downloads: those weigh more.
const MEASUREMENT: f64 = 0.5;
/// What a guess by the distance counts for, in downloads.
const GUESS: f64 = 0.25;
/// Bytes that are under way at once on a usual connection: with the round trip, a guess at the rate.
const UNDER_WAY: f64 = 512.0 * 1024.0;
/// Bounds of that guess, in bytes a second.
const GUESSES: (f64, f64) = (64.0 * 1024.0, 32.0 * 1024.0 * 1024.0);
/// What it costs to be ageing, as a share of the expected time.
const AGEING: f64 = 1.1;
/// Three operators whose rates differ by less lead because the line is the limit.
const ALIKE: f64 = 0.05;
/// As fast as the line, as far as can be told.
const AS_FAST: f64 = 0.9;
/// Among the first so many, one network.
const FIRST: usize = 3;
/// How many are measured because of what is expected of them, and because of what they did before.
const DOZEN: usize = 12;
const GOOD_HISTORY: usize = 3;
/// A history of fewer downloads is none to be measured for.
const SOME_DOWNLOADS: f64 = 1.0;

/// What the mirrors together say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Outlook {
    /// The rate of the user's own line, where it is the limit.
    pub(crate) line: Option<f64>,
    /// What downloads from several mirrors at once make of each one's rate: they share the line.
    sharing: f64,
}

/// Why a mirror is where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Its rank, from 1.
    Taken(usize),
    Faulty(Fault),
    /// Its copy is too old.
    TooOld,
    /// Another mirror of its operator is taken: this one.
    SameOperator(usize),
    /// Enough better ones are there.
    NotNeeded,
}

impl Outlook {
    pub(crate) fn of(candidates: &[Candidate]) -> Self {
        Self { line: line(candidates), sharing: sharing(candidates) }
    }

    /// How many seconds a distfile takes that is as large as most.
    pub(crate) fn expected_seconds(&self, candidate: &Candidate) -> f64 {
        let probability = candidate.history.map_or(1.0, |history| history.probability).max(0.01);
        let age = if candidate.age == Some(Freshness::Ageing) { AGEING } else { 1.0 };
        (candidate.first_byte.as_secs_f64() + SIZE / self.rate(candidate)) / probability * age
    }

    fn rate(&self, candidate: &Candidate) -> f64 {
        let (figure, weight) = match candidate.rate {
            Some(rate) => (rate.mean.max(1.0), MEASUREMENT),
            None => (guess(candidate.round_trip), GUESS),
        };
        let Some(history) = candidate.history else { return figure };
        let known = (history.bytes_per_second / self.sharing).max(1.0);
        ((figure.ln() * weight + known.ln() * history.weight) / (weight + history.weight)).exp()
    }

    /// Whether a measured mirror brings all that the line can take.
    fn fills_the_line(&self, candidate: &Candidate) -> bool {
        self.line.zip(candidate.rate).is_some_and(|(line, rate)| rate.high >= AS_FAST * line)
    }
}

/// A rate that suits the distance.
fn guess(round_trip: Duration) -> f64 {
    (UNDER_WAY / round_trip.as_secs_f64().max(0.001)).clamp(GUESSES.0, GUESSES.1)
}

/// The rate at which three operators lead that are alike.
fn line(candidates: &[Candidate]) -> Option<f64> {
    let measured = candidates.iter().filter(|candidate| !is_ruled_out(candidate));
    let mut best: BTreeMap<&str, f64> = BTreeMap::new();
    for (candidate, rate) in measured.filter_map(|candidate| Some((candidate, candidate.rate?))) {
        let known = best.entry(&candidate.operator).or_insert(rate.mean);
        *known = known.max(rate.mean);
    }
    let mut rates: Vec<f64> = best.into_values().collect();
    rates.sort_by(|a, b| b.total_cmp(a));
    let (first, third) = (*rates.first()?, *rates.get(2)?);
    (third >= first * (1.0 - ALIKE)).then_some(first)
}

/// The factor that the histories have in common against the measurements.
fn sharing(candidates: &[Candidate]) -> f64 {
    let ratio = |candidate: &Candidate| Some(candidate.history?.bytes_per_second / candidate.rate?.mean);
    let mut ratios: Vec<f64> =
        candidates.iter().filter_map(ratio).filter(|ratio| ratio.is_finite() && *ratio > 0.0).collect();
    ratios.sort_by(f64::total_cmp);
    // More than the whole line is nobody's share.
    ratios.get(ratios.len() / 2).copied().unwrap_or(1.0).min(1.0)
}

pub(crate) fn is_ruled_out(candidate: &Candidate) -> bool {
    candidate.fault.as_ref().is_some_and(Fault::rules_out)
}

/// Whom to measure, the most promising first: the best dozen of different operators, those in use, and some with a good
/// history. Those whose copy is too old are left out, unless there are no others.
pub(crate) fn to_measure(candidates: &[Candidate]) -> Vec<usize> {
    let outlook = Outlook::of(candidates);
    let order = order(candidates, outlook);
    let usable = order.iter().copied().filter(|index| !is_ruled_out(&candidates[*index]));
    let young: Vec<usize> =
        usable.clone().filter(|index| candidates[*index].age != Some(Freshness::Out)).collect();
    let usable = if young.is_empty() { usable.collect() } else { young };
    let mut wanted = pick(candidates, &usable, DOZEN);
    wanted.extend(usable.iter().copied().filter(|index| candidates[*index].in_use));
    let good = |index: &usize| candidates[*index].history.is_some_and(|h| h.weight >= SOME_DOWNLOADS);
    wanted.extend(usable.iter().copied().filter(good).take(GOOD_HISTORY));
    usable.into_iter().filter(|index| wanted.contains(index)).collect()
}

/// The mirrors that are taken, the best first.
pub(crate) fn choose(candidates: &[Candidate], outlook: Outlook, wanted: usize) -> Vec<usize> {
    let order: Vec<usize> =
        order(candidates, outlook).into_iter().filter(|index| !is_ruled_out(&candidates[*index])).collect();
    let young: Vec<usize> =
        order.iter().copied().filter(|i| candidates[*i].age != Some(Freshness::Out)).collect();
    pick(candidates, if young.is_empty() { &order } else { &young }, wanted)
}

/// Whether enough mirrors are known that bring all that the line can take.
pub(crate) fn is_line_filled(candidates: &[Candidate], outlook: Outlook, wanted: usize) -> bool {
    let filling: Vec<usize> = choose(candidates, outlook, wanted.max(FIRST))
        .into_iter()
        .filter(|index| outlook.fills_the_line(&candidates[*index]))
        .collect();
    filling.len() >= wanted.max(FIRST)
}

/// The lower end of the rate of the best but so many: who is slower for sure need not be measured longer.
pub(crate) fn low_end(candidates: &[Candidate], wanted: usize) -> Option<f64> {
    let measured = candidates.iter().filter(|candidate| !is_ruled_out(candidate));
    let mut lows: Vec<f64> = measured.filter_map(|candidate| candidate.rate).map(|rate| rate.low).collect();
    lows.sort_by(|a, b| b.total_cmp(a));
    lows.get(wanted.max(1) - 1).copied()
}

/// Where each mirror has come to.
pub(crate) fn places(candidates: &[Candidate], chosen: &[usize]) -> Vec<Place> {
    let place = |(index, candidate): (usize, &Candidate)| {
        if let Some(rank) = chosen.iter().position(|taken| *taken == index) {
            return Place::Taken(rank + 1);
        }
        let same = chosen.iter().find(|taken| candidates[**taken].operator == candidate.operator);
        match (&candidate.fault, same) {
            (Some(fault), _) => Place::Faulty(fault.clone()),
            (None, _) if candidate.age == Some(Freshness::Out) => Place::TooOld,
            (None, Some(taken)) => Place::SameOperator(*taken),
            (None, None) => Place::NotNeeded,
        }
    };
    candidates.iter().enumerate().map(place).collect()
}

/// All of them: those with young copies first, and of these first those that were measured, each by the time that a
/// file is expected to take.
pub(crate) fn order(candidates: &[Candidate], outlook: Outlook) -> Vec<usize> {
    let group = |candidate: &Candidate| {
        let age = match (candidate.age, &candidate.fault) {
            (_, Some(fault)) if fault.rules_out() => 4,
            (Some(Freshness::Out), _) => 3,
            (Some(Freshness::Stale), _) | (_, Some(_)) => 2,
            (None, None) => 1,
            (Some(Freshness::Fresh | Freshness::Ageing), None) => 0,
        };
        (age, candidate.rate.is_none())
    };
    let compare = |a: &usize, b: &usize| {
        let (a, b) = (&candidates[*a], &candidates[*b]);
        let expected = |candidate| outlook.expected_seconds(candidate);
        group(a).cmp(&group(b)).then_with(|| expected(a).total_cmp(&expected(b)))
    };
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    order.sort_by(compare);
    order
}

/// The first of an order, of each operator one, and one network among the first three.
fn pick(candidates: &[Candidate], order: &[usize], wanted: usize) -> Vec<usize> {
    let mut taken: Vec<usize> = Vec::new();
    while taken.len() < wanted {
        let has_network = taken.iter().any(|index| candidates[*index].is_network);
        let fits = |index: &&usize| {
            let candidate = &candidates[**index];
            let is_new = taken.iter().all(|other| candidates[*other].operator != candidate.operator);
            is_new && !(candidate.is_network && has_network && taken.len() < FIRST)
        };
        // Where there are nothing but networks, there is nobody to prefer to them.
        let is_new = |index: &&usize| {
            taken.iter().all(|other| candidates[*other].operator != candidates[**index].operator)
        };
        let Some(next) = order.iter().find(fits).or_else(|| order.iter().find(is_new)) else { break };
        taken.push(*next);
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mirror(operator: &str, round_trip_ms: u64) -> Candidate {
        Candidate {
            operator: operator.to_owned(),
            age: Some(Freshness::Fresh),
            round_trip: Duration::from_millis(round_trip_ms),
            first_byte: Duration::from_millis(3 * round_trip_ms),
            ..Candidate::default()
        }
    }

    fn at(operator: &str, megabytes: f64) -> Candidate {
        let mean = megabytes * 1e6;
        Candidate { rate: Some(Rate { low: mean * 0.95, mean, high: mean * 1.05 }), ..mirror(operator, 20) }
    }

    fn chosen(candidates: &[Candidate], wanted: usize) -> Vec<&str> {
        let indices = choose(candidates, Outlook::of(candidates), wanted);
        indices.into_iter().map(|index| candidates[index].operator.as_str()).collect()
    }

    #[test]
    fn the_fastest_first_and_those_not_measured_last() {
        let mirrors = [at("slow", 1.0), mirror("near", 1), at("fast", 9.0), at("usual", 4.0)];
        assert_eq!(chosen(&mirrors, 5), ["fast", "usual", "slow", "near"]);
        assert_eq!(chosen(&mirrors, 2), ["fast", "usual"]);
    }

    #[test]
    fn old_copies_come_last_or_not_at_all() {
        let aged = |operator, rate, age| Candidate { age: Some(age), ..at(operator, rate) };
        let mirrors = [
            aged("old", 9.0, Freshness::Out),
            aged("stale", 9.0, Freshness::Stale),
            Candidate { age: None, ..at("silent", 9.0) },
            aged("ageing", 4.2, Freshness::Ageing),
            at("fresh", 4.0),
            at("slow", 1.0),
        ];
        assert_eq!(chosen(&mirrors, 9), ["fresh", "ageing", "slow", "silent", "stale"]);
        assert_eq!(chosen(&mirrors[..1], 9), ["old"], "unless nothing else is left");
        let better = [aged("ageing", 9.0, Freshness::Ageing), at("fresh", 4.0)];
        assert_eq!(chosen(&better, 9), ["ageing", "fresh"], "a slight penalty");
    }

    #[test]
    fn one_of_each_operator_and_one_network_among_the_first_three() {
        let network = |operator, rate| Candidate { is_network: true, ..at(operator, rate) };
        let mirrors = [
            network("a", 9.0),
            network("b", 8.0),
            at("c", 4.0),
            at("c", 5.0),
            at("d", 3.0),
            network("e", 7.0),
            at("f", 1.0),
        ];
        assert_eq!(chosen(&mirrors, 5), ["a", "c", "d", "b", "e"]);
        assert_eq!(chosen(&mirrors[..2], 5), ["a", "b"], "nothing but networks");
        let outlook = Outlook::of(&mirrors);
        let taken = choose(&mirrors, outlook, 5);
        assert_eq!(places(&mirrors, &taken)[2], Place::SameOperator(3));
        assert_eq!(places(&mirrors, &taken)[6], Place::NotNeeded);
    }

    #[test]
    fn faults() {
        let faulty = |operator, fault| Candidate { fault: Some(fault), ..at(operator, 9.0) };
        let mirrors = [
            faulty("dead", Fault::Dead("no".to_owned())),
            faulty("page", Fault::WebPage),
            faulty("wrong", Fault::WrongBytes),
            faulty("disputed", Fault::Disputed),
            faulty("lacking", Fault::LacksFiles),
            at("good", 1.0),
        ];
        assert_eq!(chosen(&mirrors, 9), ["good", "disputed", "lacking"]);
        assert_eq!(chosen(&mirrors[..3], 9), [""; 0]);
    }

    #[test]
    fn real_downloads_weigh_more_than_a_measurement() {
        let with = |candidate: Candidate, megabytes: f64, probability: f64| Candidate {
            history: Some(History { bytes_per_second: megabytes * 1e6, weight: 8.0, probability }),
            ..candidate
        };
        let mirrors =
            [with(at("was slow", 5.0), 1.0, 1.0), with(at("was fast", 4.0), 5.0, 1.0), at("new", 3.0)];
        assert_eq!(chosen(&mirrors, 3), ["was fast", "new", "was slow"]);
        let mirrors = [with(at("fails", 5.0), 5.0, 0.4), at("new", 3.0)];
        assert_eq!(chosen(&mirrors, 3), ["new", "fails"]);
    }

    /// A mirror that sends a quarter of each file has a quarter of the line in its figures.
    #[test]
    fn races_make_all_histories_low_and_nobody_pays_for_it() {
        let raced = |operator, rate| Candidate {
            history: Some(History { bytes_per_second: rate * 0.25e6, weight: 8.0, probability: 1.0 }),
            ..at(operator, rate)
        };
        let mirrors = [raced("a", 8.0), raced("b", 7.0), at("c", 5.0)];
        assert_eq!(chosen(&mirrors, 3), ["a", "b", "c"]);
    }

    #[test]
    fn three_alike_operators_show_the_line() {
        let line = |rates: &[(&str, f64)]| {
            let mirrors: Vec<Candidate> = rates.iter().map(|(operator, rate)| at(operator, *rate)).collect();
            Outlook::of(&mirrors).line
        };
        assert_eq!(line(&[("a", 9.0), ("b", 8.8), ("c", 8.6), ("d", 1.0)]), Some(9e6));
        assert_eq!(line(&[("a", 9.0), ("b", 8.8), ("c", 8.4)]), None);
        assert_eq!(line(&[("a", 9.0), ("a", 8.9), ("b", 8.8)]), None, "two operators");
        let mirrors = [at("a", 9.0), at("b", 8.8), at("c", 8.6), at("d", 8.5), at("e", 2.0)];
        let outlook = Outlook::of(&mirrors);
        assert!(is_line_filled(&mirrors, outlook, 1) && is_line_filled(&mirrors, outlook, 4));
        assert!(!is_line_filled(&mirrors, outlook, 5));
    }

    #[test]
    fn whom_to_measure() {
        let mut mirrors: Vec<Candidate> =
            (0..40).map(|number| mirror(&format!("operator {number}"), 10 + number)).collect();
        mirrors[30].in_use = true;
        mirrors[35].history = Some(History { bytes_per_second: 1e6, weight: 3.0, probability: 1.0 });
        mirrors[3].age = Some(Freshness::Out);
        mirrors[4].fault = Some(Fault::WebPage);
        mirrors[6].operator = mirrors[5].operator.clone();
        let measured = to_measure(&mirrors);
        assert_eq!(measured.len(), DOZEN + 2);
        assert!(measured.contains(&30) && measured.contains(&35));
        assert!(!measured.contains(&3) && !measured.contains(&4) && !measured.contains(&6));
        assert_eq!(measured[..4], [0, 1, 2, 5]);
        mirrors.truncate(4);
        mirrors.drain(..3);
        assert_eq!(to_measure(&mirrors), [0], "the only one is old");
    }
}
