//! The result for people: a table of 80 columns, and what may be pasted.

use std::fmt::Write;

use super::forms;
use super::report::Report;
use crate::commands::stats::{duration, nothing};
use crate::progress::{bytes, printable, rate};
use crate::survey::arrivals::Rate;
use crate::survey::decide::{Fault, Place};

/// The columns without the mirror and what is said of it.
const HEADINGS: [&str; 5] = ["where", "age", "round trip", "rate", "IPv6"];
const WIDTHS: [usize; 5] = [5, 6, 10, 18, 4];

/// The table, what else is to be said, and `GENTOO_MIRRORS`. With `explain` all mirrors are in it.
pub(super) fn text(report: &Report, explain: bool, columns: usize) -> String {
    let mut text = String::new();
    let used: usize = 4 + WIDTHS.iter().map(|width| width + 2).sum::<usize>();
    let names = columns.saturating_sub(used).clamp(12, 40);
    line(&mut text, &row("", "mirror", &HEADINGS.map(str::to_owned), names));
    for (rank, index) in (1..).zip(&report.chosen) {
        let rank = format!("{rank}");
        line(&mut text, &row(&rank, &report.name(*index), &figures(report, *index), names));
    }
    let order = report.order();
    let rest: Vec<usize> = order.into_iter().filter(|index| !report.chosen.contains(index)).collect();
    let shown: Vec<usize> =
        rest.iter().copied().filter(|index| explain || is_of_interest(report, *index)).collect();
    for index in &shown {
        let name = report.name(*index);
        if report.answered(*index) {
            line(&mut text, &row("-", &name, &figures(report, *index), names));
            line(&mut text, &format!("      {}", marked(report, *index)));
        } else {
            line(&mut text, &format!("  - {name}: {}", marked(report, *index)));
        }
    }
    let others: Vec<usize> = rest.into_iter().filter(|index| !shown.contains(index)).collect();
    if !others.is_empty() {
        line(&mut text, &format!("    {} others (--explain shows them):", others.len()));
        line(&mut text, &format!("      {}", summary(report, &others)));
    }
    text.push('\n');
    conclusions(&mut text, report);
    if !report.chosen.is_empty() {
        text.push('\n');
        text.push_str(&forms::make_conf(&report.list()));
    }
    text
}

/// Whether a mirror that is not taken is worth a line: it was measured, or it is in use.
fn is_of_interest(report: &Report, index: usize) -> bool {
    let candidate = &report.candidates[index];
    candidate.in_use
        || candidate.rate.is_some()
        || matches!(
            report.places[index],
            Place::Faulty(Fault::WrongBytes | Fault::Disputed | Fault::LacksFiles)
        )
}

fn marked(report: &Report, index: usize) -> String {
    let mark = if report.candidates[index].in_use { " (in use)" } else { "" };
    format!("{}{mark}", report.reason(index))
}

/// What is said below the table.
fn conclusions(text: &mut String, report: &Report) {
    if report.chosen.is_empty() {
        line(text, &report.nothing());
    }
    if let Some(limit) = report.line {
        line(text, &format!("The line is the limit: {} come from each of the best.", rate(limit)));
    }
    for warning in report.warnings() {
        line(text, &warning);
    }
    let asked = report.mirrors.len();
    let time = report.elapsed.as_secs_f64();
    let measured = report.candidates.iter().filter(|candidate| candidate.rate.is_some()).count();
    let how = if report.measured {
        format!(", {measured} measured with {}", bytes(report.bytes))
    } else {
        String::new()
    };
    line(text, &format!("{asked} mirrors of {} asked{how}, in {time:.1} s.", report.origin));
}

/// How many of the others are not taken for which reason.
fn summary(report: &Report, others: &[usize]) -> String {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for index in others {
        let word = match &report.places[*index] {
            Place::Faulty(Fault::Dead(_)) => "without an answer",
            Place::Faulty(Fault::WebPage) => "web pages",
            Place::Faulty(Fault::WrongBytes | Fault::Disputed) => "other bytes",
            Place::Faulty(Fault::LacksFiles) => "files missing",
            Place::TooOld => "too old",
            Place::SameOperator(_) => "same operators",
            Place::Taken(_) | Place::NotNeeded => "not needed",
        };
        match counts.iter_mut().find(|(known, _)| *known == word) {
            Some((_, count)) => *count += 1,
            None => counts.push((word, 1)),
        }
    }
    let parts: Vec<String> = counts.iter().map(|(word, count)| format!("{word} {count}")).collect();
    parts.join(", ")
}

fn figures(report: &Report, index: usize) -> [String; 5] {
    let mirror = &report.mirrors[index];
    let probed = mirror.probed.as_ref();
    let countries: Vec<&str> = mirror.site.countries.iter().map(String::as_str).collect();
    let country = match countries[..] {
        [] => nothing(),
        [one] => one.to_owned(),
        [first, ..] => format!("{first}+{}", countries.len() - 1),
    };
    [
        country,
        report.age(index).map_or_else(nothing, |age| duration(age.as_secs())),
        probed.map_or_else(nothing, |probed| format!("{} ms", probed.round_trip.as_millis())),
        report.candidates[index].rate.map_or_else(nothing, with_interval),
        match probed.and_then(|probed| probed.ipv6).or(mirror.site.ipv6.filter(|listed| !listed)) {
            Some(true) => "yes".to_owned(),
            Some(false) => "no".to_owned(),
            None => nothing(),
        },
    ]
}

/// `11.9 MiB/s ± 4 %`.
fn with_interval(Rate { low, mean, high }: Rate) -> String {
    format!("{} ±{:.0} %", rate(mean), (high - low) / 2.0 / mean.max(1.0) * 100.0)
}

fn row(rank: &str, mirror: &str, figures: &[String; 5], names: usize) -> String {
    let mut name: String = mirror.chars().take(names).collect();
    if name.len() < mirror.len() {
        name.pop();
        name.push('…');
    }
    let mut row = format!("{rank:>3} {name:<names$}");
    for (figure, width) in figures.iter().zip(WIDTHS) {
        let _ = write!(row, "  {figure:>width$}"); // writing to a String cannot fail
    }
    row.trim_end().to_owned()
}

fn line(text: &mut String, line: &str) {
    let _ = writeln!(text, "{}", printable(line)); // writing to a String cannot fail
}
