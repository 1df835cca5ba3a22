//! What came of a ranking, and the words for it.

use std::time::Duration;

use serde::Serialize;

use crate::commands::stats::duration;
use crate::mirror::{Freshness, timestamp};
use crate::portage::MirrorBase;
use crate::progress::printable_json;
use crate::survey::arrivals::Rate;
use crate::survey::decide::{Candidate, Fault, Outlook, Place, order};
use crate::survey::list::{Site, authority};
use crate::survey::probe::Probed;

/// A mirror that was tried.
pub(super) struct Mirror {
    pub(super) site: Site,
    pub(super) base: MirrorBase,
    /// What it answered, if it did.
    pub(super) probed: Option<Probed>,
}

/// All that is known in the end.
pub(super) struct Report {
    /// Where the list is from.
    pub(super) origin: String,
    /// UNIX seconds.
    pub(super) now: u64,
    pub(super) clock_ahead: Option<i64>,
    /// Of the user's own line, in bytes a second, where it is the limit.
    pub(super) line: Option<f64>,
    /// Whether rates were measured.
    pub(super) measured: bool,
    /// Of content that was received to measure, in bytes.
    pub(super) bytes: u64,
    pub(super) elapsed: Duration,
    /// The indices of those that are taken, the best first.
    pub(super) chosen: Vec<usize>,
    pub(super) outlook: Outlook,
    pub(super) mirrors: Vec<Mirror>,
    pub(super) candidates: Vec<Candidate>,
    pub(super) places: Vec<Place>,
    /// What stays before the ranked ones, and what comes behind them.
    pub(super) front: Vec<String>,
    pub(super) fallback: Option<String>,
    /// What `GENTOO_MIRRORS` has and cannot be ranked.
    pub(super) left_out: Vec<String>,
    /// There is no Manifest with a file to measure with.
    pub(super) no_files: bool,
}

impl Report {
    /// The mirrors as `GENTOO_MIRRORS` shall have them. They may hold passwords that the user has put there.
    pub(super) fn list(&self) -> Vec<String> {
        let chosen = self.chosen.iter().map(|index| self.mirrors[*index].site.address.clone());
        self.front.iter().cloned().chain(chosen).chain(self.fallback.clone()).collect()
    }

    /// Why there is nothing to print.
    pub(super) fn nothing(&self) -> String {
        let asked = self.mirrors.len();
        let first = self.candidates.iter().find_map(|candidate| match &candidate.fault {
            Some(Fault::Dead(why)) => Some(why.as_str()),
            _ => None,
        });
        let why = first.map(|why| format!(" (the first one: {why})")).unwrap_or_default();
        format!(
            "none of the {asked} mirrors asked can be used{why}: nothing is ranked; is this machine online?"
        )
    }

    /// What the user should know, one line each.
    pub(super) fn warnings(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(ahead) = self.clock_ahead {
            let which = if ahead > 0 { "ahead of" } else { "behind" };
            let time = duration(ahead.unsigned_abs());
            lines.push(format!("this machine's clock is {time} {which} those of the mirrors: set it"));
        }
        if self.no_files {
            let what = "no Manifest of the main repository names a file of 32 MiB or more";
            lines.push(format!("{what}: no rates were measured (emerge --sync brings the repository)"));
        }
        for word in &self.left_out {
            let shown = crate::portage::uri::redact(word);
            lines.push(format!("{shown} of GENTOO_MIRRORS is left out: only http and https are ranked"));
        }
        lines
    }

    /// All mirrors, the best first.
    pub(super) fn order(&self) -> Vec<usize> {
        let rest = order(&self.candidates, self.outlook);
        let rest = rest.into_iter().filter(|index| !self.chosen.contains(index));
        self.chosen.iter().copied().chain(rest).collect()
    }

    /// How a mirror is called.
    pub(super) fn name(&self, index: usize) -> String {
        authority(&self.mirrors[index].base.to_string())
    }

    pub(super) fn age(&self, index: usize) -> Option<Duration> {
        let written = self.mirrors[index].probed.as_ref()?.timestamp?;
        Some(timestamp::age(written, super::seconds(self.now)))
    }

    /// Whether its figures mean anything.
    pub(super) fn answered(&self, index: usize) -> bool {
        self.mirrors[index].probed.is_some()
    }

    /// Why a mirror is not taken; nothing for those that are.
    pub(super) fn reason(&self, index: usize) -> String {
        match &self.places[index] {
            Place::Taken(_) => String::new(),
            Place::Faulty(fault) => fault_words(fault),
            Place::TooOld => self.age(index).map(age_words).unwrap_or_default(),
            Place::SameOperator(taken) => format!("same operator as {}", self.name(*taken)),
            Place::NotNeeded => self.why_not_needed(index),
        }
    }

    fn why_not_needed(&self, index: usize) -> String {
        let candidate = &self.candidates[index];
        match (candidate.age, candidate.rate) {
            (Some(Freshness::Stale), _) => self.age(index).map(age_words).unwrap_or_default(),
            (None, _) => "does not say how old its copy is".to_owned(),
            (_, None) if self.measured => "not measured: others were more promising".to_owned(),
            _ => "others are faster".to_owned(),
        }
    }

    /// JSON, its version in it.
    pub(super) fn json(&self) -> serde_json::Result<String> {
        let text = serde_json::to_string_pretty(&Document {
            version: 1,
            list: &self.origin,
            at: self.now,
            clock_ahead_seconds: self.clock_ahead,
            line_bytes_per_second: self.line,
            measured_bytes: self.bytes,
            seconds: self.elapsed.as_secs_f64(),
            warnings: self.warnings(),
            result: self.list().iter().map(|address| crate::portage::uri::redact(address)).collect(),
            mirrors: self.order().into_iter().map(|index| self.entry(index)).collect(),
        })?;
        Ok(format!("{}\n", printable_json(&text)))
    }

    fn entry(&self, index: usize) -> Entry<'_> {
        let (mirror, candidate) = (&self.mirrors[index], &self.candidates[index]);
        let probed = mirror.probed.as_ref();
        let rank = match self.places[index] {
            Place::Taken(rank) => Some(rank),
            _ => None,
        };
        Entry {
            rank,
            address: mirror.base.to_string(),
            name: &mirror.site.name,
            countries: mirror.site.countries.iter().map(String::as_str).collect(),
            network: candidate.is_network,
            in_use: candidate.in_use,
            reason: Some(self.reason(index)).filter(|reason| !reason.is_empty()),
            age: candidate.age.map(age_class),
            age_seconds: self.age(index).map(|age| age.as_secs()),
            connect_seconds: probed.and_then(|probed| probed.connect).map(|time| time.as_secs_f64()),
            first_byte_seconds: probed.map(|_| candidate.first_byte.as_secs_f64()),
            round_trip_seconds: probed.map(|probed| probed.round_trip.as_secs_f64()),
            ipv4: probed.and_then(|probed| probed.ipv4),
            ipv6: probed.and_then(|probed| probed.ipv6),
            bytes_per_second: candidate.rate.map(|Rate { low, mean, high }| Interval { low, mean, high }),
            expected_seconds: probed.map(|_| self.outlook.expected_seconds(candidate)),
        }
    }
}

#[derive(Serialize)]
struct Document<'r> {
    version: u32,
    list: &'r str,
    at: u64,
    clock_ahead_seconds: Option<i64>,
    line_bytes_per_second: Option<f64>,
    measured_bytes: u64,
    seconds: f64,
    warnings: Vec<String>,
    /// As `GENTOO_MIRRORS` shall be, but for passwords.
    result: Vec<String>,
    /// The best first.
    mirrors: Vec<Entry<'r>>,
}

#[derive(Serialize)]
struct Entry<'r> {
    rank: Option<usize>,
    address: String,
    name: &'r str,
    countries: Vec<&'r str>,
    network: bool,
    in_use: bool,
    reason: Option<String>,
    age: Option<&'static str>,
    age_seconds: Option<u64>,
    connect_seconds: Option<f64>,
    first_byte_seconds: Option<f64>,
    round_trip_seconds: Option<f64>,
    ipv4: Option<bool>,
    ipv6: Option<bool>,
    bytes_per_second: Option<Interval>,
    /// For a file of 4 MiB.
    expected_seconds: Option<f64>,
}

#[derive(Serialize)]
struct Interval {
    low: f64,
    mean: f64,
    high: f64,
}

/// A fault in few words.
pub(super) fn fault_words(fault: &Fault) -> String {
    match fault {
        Fault::Dead(why) => why.clone(),
        Fault::WebPage => "answers with web pages".to_owned(),
        Fault::WrongBytes => "sends wrong bytes".to_owned(),
        Fault::Disputed => "sends other bytes than another mirror, and nobody knows who is right".to_owned(),
        Fault::LacksFiles => "lacks files that others have".to_owned(),
    }
}

/// The class in the JSON.
fn age_class(age: Freshness) -> &'static str {
    match age {
        Freshness::Fresh => "fresh",
        Freshness::Ageing => "ageing",
        Freshness::Stale => "stale",
        Freshness::Out => "too old",
    }
}

/// `3 years old`.
pub(super) fn age_words(age: Duration) -> String {
    const DAY: u64 = 24 * 3600;
    let days = age.as_secs() / DAY;
    match days {
        730.. => format!("{} years old", days / 365),
        60.. => format!("{} months old", days / 30),
        _ => format!("{} old", duration(age.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_in_words() {
        for (hours, words) in
            [(30, "30 h old"), (49, "2 d old"), (100 * 24, "3 months old"), (3 * 366 * 24, "3 years old")]
        {
            assert_eq!(age_words(Duration::from_secs(hours * 3600)), words);
        }
    }
}
