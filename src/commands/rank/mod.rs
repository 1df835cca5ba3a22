//! `racefetch rank`: which public mirrors are the best for this machine.
//!
//! [`source`] and [`sites`] say which mirrors there are, [`files`] what they are tried with; [`field`] tries them as
//! [`crate::survey`] wants it. [`report`] is what came of it, [`table`], [`forms`] and [`chart`] show it.

mod chart;
mod field;
mod files;
mod forms;
mod report;
mod sites;
mod source;
mod status;
mod sync;
mod table;
mod write;

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::Path;
use std::time::Instant;

use field::Net;
use files::Files;
use report::{Mirror, Report};
use sites::InUse;
use source::Source;
use status::Status;

use super::configuration::Configuration;
use super::ended::signal_status;
use super::environment::unix_now;
use super::mirrors::key;
use super::{CommandError, Environment, Interrupt, complain, settings, stats};
use crate::cli::options::{FetchOptions, NetworkOptions};
use crate::cli::{ExitStatus, RankArgs, RankFormat};
use crate::files::{Existing, open_output};
use crate::http::Client;
use crate::http::settings::Redirects;
use crate::mirror::{Delta, Freshness, State, Store};
use crate::patience::{FAST_LOOK, FAST_PROBE, FAST_PROBES, LOOK, MEASUREMENTS, PROBE};
use crate::portage::repos_conf::System;
use crate::portage::{LayoutConf, MirrorBase};
use crate::survey::clock::clock_error;
use crate::survey::decide::{Candidate, Fault, places};
use crate::survey::list::{self, Filter, Site};
use crate::survey::probe::{Probed, Probing, probe_all};
use crate::survey::rounds::{self, Outcome};

/// Asks mirrors, and writes what came of it to `out`.
pub(super) fn run(
    arguments: &RankArgs,
    environment: &Environment,
    interrupt: &Interrupt,
    out: &mut dyn Write,
) -> Result<ExitStatus, CommandError> {
    let began = clock();
    let configuration = Configuration::read(environment);
    let client = Client::new(settings::build(&options(arguments), environment)?);
    let distdir = configuration.distdir();
    let store = environment.store(&configuration.call, arguments.state.as_deref(), distdir.as_deref());
    let state = load(store.as_ref());
    let filter = filter(arguments);
    let mut status = Status::new(environment.terminal, arguments.quiet);

    let source = read_list(arguments, &client, store.as_ref())?;
    if arguments.sync {
        let sites = list::sites(&source.mirrors, &filter);
        return rank_trees(sites, arguments, &client, interrupt, &mut status, out);
    }
    let in_use = InUse::new(&configuration.gentoo_mirrors());
    let sites = sites_to_try(&source, &filter, &in_use, &state)?;
    let mut survey = Survey::new(sites, &state, unix_now());
    survey.probe(arguments.fast, &client, interrupt, &mut status);
    if let Some(number) = interrupt.number() {
        status.end();
        return Ok(signal_status(number));
    }
    let files = files::find(&configuration, unix_now());
    let measures = !arguments.fast && !files.large.is_empty();
    let wanted = usize::from(arguments.servers);
    let outcome = survey.measure(wanted, (measures, arguments.fast), &files, &client, interrupt, &mut status);
    status.end();
    if let Some(number) = interrupt.number() {
        return Ok(signal_status(number));
    }
    record(store.as_ref(), &state, &survey, &outcome);
    let no_files = !arguments.fast && files.large.is_empty();
    let report = Report {
        origin: source.origin,
        now: survey.now,
        clock_ahead: survey.clock_ahead,
        line: outcome.outlook.line,
        measured: measures,
        bytes: outcome.bytes,
        elapsed: began.elapsed(),
        places: places(&survey.candidates, &outcome.chosen),
        chosen: outcome.chosen,
        outlook: outcome.outlook,
        mirrors: survey.mirrors,
        candidates: survey.candidates,
        front: in_use.front,
        left_out: in_use.left_out,
        fallback: sites::fallback(&filter).filter(|_| !arguments.no_fallback),
        no_files,
    };
    let system = configuration.system();
    show(&report, arguments, environment, system, out)
}

/// Writes the report in the form that was asked for.
fn show(
    report: &Report,
    arguments: &RankArgs,
    environment: &Environment,
    system: System<'_>,
    out: &mut dyn Write,
) -> Result<ExitStatus, CommandError> {
    if let Some(path) = &arguments.chart {
        write_chart(path, &chart::svg(report))?;
    }
    if arguments.format.is_some() {
        say(&report.warnings());
    }
    if report.chosen.is_empty() && (arguments.format.is_some() || arguments.write.is_some()) {
        return Err(CommandError::new(ExitStatus::NOT_ALL_IS_WELL, report.nothing()));
    }
    let text = match arguments.format {
        Some(RankFormat::MakeConf) => forms::make_conf(&report.list()),
        Some(RankFormat::Plain) => forms::plain(&report.list()),
        Some(RankFormat::Nginx) => forms::nginx(report, &mut |line| complain(&format!("racefetch: {line}")))
            .ok_or_else(|| CommandError::new(ExitStatus::NOT_ALL_IS_WELL, report.nothing()))?,
        None if arguments.json => report.json().map_err(|error| cannot_write(error.into()))?,
        None => table::text(report, arguments.explain, stats::width(environment)),
    };
    let said = match &arguments.write {
        None => String::new(),
        Some(None) => write::make_conf(system, &report.list())?,
        Some(Some(path)) => {
            let form =
                if arguments.format.is_some() { text.clone() } else { forms::make_conf(&report.list()) };
            write::file(system, path, arguments.format, &form)?
        }
    };
    // What went into a file need not be shown.
    let shown = arguments.format.is_none() || !matches!(arguments.write, Some(Some(_)));
    if shown {
        out.write_all(text.as_bytes()).map_err(cannot_write)?;
    }
    if arguments.json {
        said.lines().for_each(complain);
    } else {
        out.write_all(said.as_bytes()).map_err(cannot_write)?;
    }
    Ok(if report.chosen.is_empty() { ExitStatus::NOT_ALL_IS_WELL } else { ExitStatus::Ok })
}

#[expect(clippy::needless_pass_by_value, reason = "it is what map_err hands on")]
fn cannot_write(error: io::Error) -> CommandError {
    CommandError::new(ExitStatus::WriteError, format_args!("cannot write the mirrors: {error}"))
}

/// Asks the mirrors of the repository, and writes what came of it to `out`.
fn rank_trees(
    sites: Vec<Site>,
    arguments: &RankArgs,
    client: &Client,
    interrupt: &Interrupt,
    status: &mut Status,
    out: &mut dyn Write,
) -> Result<ExitStatus, CommandError> {
    if sites.is_empty() {
        let what = "there is no mirror of the repository to try: the list has none that was asked for";
        return Err(CommandError::new(ExitStatus::NOT_ALL_IS_WELL, what));
    }
    let count = sites.len();
    status.step(&format!("asking {count} mirrors of the repository"));
    let mut seen =
        |done: usize| status.say(&format!("asking {count} mirrors of the repository: {done} done"));
    let now = seconds(unix_now());
    let trees = sync::ask_all(sites, client.settings(), now, interrupt, &mut seen);
    status.end();
    if let Some(number) = interrupt.number() {
        return Ok(signal_status(number));
    }
    let best = sync::best(&trees, usize::from(arguments.servers));
    let text = match arguments.format {
        None if arguments.json => sync::json(&trees, now).map_err(|error| cannot_write(error.into()))?,
        None => sync::table(&trees, usize::from(arguments.servers), arguments.explain, now),
        Some(RankFormat::MakeConf) => best.first().map(|uri| sync::form(uri) + "\n").unwrap_or_default(),
        Some(RankFormat::Plain) => forms::plain(&best),
        Some(RankFormat::Nginx) => {
            let what = "--format nginx is for distfiles: with --sync there is nothing to cache";
            return Err(CommandError::new(ExitStatus::FailedInit, what));
        }
    };
    out.write_all(text.as_bytes()).map_err(cannot_write)?;
    Ok(if best.is_empty() { ExitStatus::NOT_ALL_IS_WELL } else { ExitStatus::Ok })
}

fn write_chart(path: &Path, svg: &str) -> Result<(), CommandError> {
    let written = open_output(path, Existing::Empty).and_then(|mut file| file.write_all(svg.as_bytes()));
    written.map_err(|error| {
        let what = format_args!("cannot write {} (--chart): {error}", path.display());
        CommandError::new(ExitStatus::WriteError, what)
    })
}

/// The command line in the words of the fetch.
fn options(arguments: &RankArgs) -> FetchOptions {
    FetchOptions {
        redirects: Redirects { follow: true, most: Some(5), ..Redirects::default() },
        network: NetworkOptions {
            family: arguments.family(),
            connect_timeout: Some(PROBE),
            ..NetworkOptions::default()
        },
        ..FetchOptions::default()
    }
}

fn filter(arguments: &RankArgs) -> Filter {
    Filter {
        regions: arguments.regions.clone(),
        countries: arguments.countries.clone(),
        excluded: arguments.excluded.clone(),
        schemes: arguments.schemes(),
        family: arguments.family(),
    }
}

/// Says what the user should know, a line each.
fn say<T: std::fmt::Display>(lines: &[T]) {
    for line in lines {
        complain(&format!("racefetch: {line}"));
    }
}

fn load(store: Option<&Store>) -> State {
    let (state, warnings) = store.map(Store::look).unwrap_or_default();
    say(&warnings);
    state
}

fn read_list(arguments: &RankArgs, client: &Client, store: Option<&Store>) -> Result<Source, CommandError> {
    let read = source::read(arguments.from.as_deref(), arguments.sync, client, store, unix_now());
    let source =
        read.map_err(|error| CommandError::new(ExitStatus::ReadError, format_args!("{error} (--from)")))?;
    say(&source.warnings);
    Ok(source)
}

fn sites_to_try(
    source: &Source,
    filter: &Filter,
    in_use: &InUse,
    state: &State,
) -> Result<Vec<Site>, CommandError> {
    let unknown = list::unknown_places(&source.mirrors, filter);
    if !source.mirrors.is_empty() && !unknown.is_empty() {
        let what = format_args!("no mirror of the list is in {}", unknown.join(", "));
        return Err(CommandError::new(ExitStatus::FailedInit, what));
    }
    let listed = if source.mirrors.is_empty() && filter.is_worldwide() {
        sites::known(state, filter)
    } else {
        list::sites(&source.mirrors, filter)
    };
    let sites = sites::merge(listed, in_use, filter);
    if sites.is_empty() {
        let what = "there is no mirror to try: the list has none that was asked for";
        return Err(CommandError::new(ExitStatus::NOT_ALL_IS_WELL, what));
    }
    Ok(sites)
}

/// The mirrors, and what is found out of them.
struct Survey {
    mirrors: Vec<Mirror>,
    /// As many.
    candidates: Vec<Candidate>,
    /// UNIX seconds, by the servers' clocks where this machine's is wrong.
    now: u64,
    /// By how many seconds this machine's clock is ahead, if it is wrong.
    clock_ahead: Option<i64>,
}

impl Survey {
    fn new(sites: Vec<Site>, state: &State, now: u64) -> Self {
        let mirrors: Vec<Mirror> = sites
            .into_iter()
            .filter_map(|site| Some(Mirror { base: site.address.parse().ok()?, site, probed: None }))
            .collect();
        let candidate = |mirror: &Mirror| Candidate {
            operator: mirror.site.operator.clone(),
            is_network: mirror.site.is_network,
            in_use: mirror.site.in_use,
            history: sites::history(&mirror.site, state, now),
            ..Candidate::default()
        };
        let candidates = mirrors.iter().map(candidate).collect();
        Self { mirrors, candidates, now, clock_ahead: None }
    }

    fn probe(&mut self, fast: bool, client: &Client, interrupt: &Interrupt, status: &mut Status) {
        let bases: Vec<MirrorBase> = self.mirrors.iter().map(|mirror| mirror.base.clone()).collect();
        let probing = Probing {
            client,
            time: if fast { FAST_PROBE } else { PROBE },
            deadline: fast.then(|| clock() + FAST_PROBES),
            families: !fast,
        };
        status.step(&format!("asking {} mirrors", bases.len()));
        let mut seen = |done: usize| status.say(&format!("asking {} mirrors: {done} done", bases.len()));
        let answers = probe_all(&bases, probing, &|| interrupt.number().is_none(), &mut seen);
        let ahead: Vec<i64> =
            answers.iter().flatten().flatten().filter_map(|probed| probed.clock_ahead).collect();
        self.clock_ahead = clock_error(&ahead);
        self.now = unix_now().saturating_add_signed(-self.clock_ahead.unwrap_or(0));
        for ((candidate, mirror), answer) in self.candidates.iter_mut().zip(&mut self.mirrors).zip(answers) {
            match answer {
                Some(Ok(probed)) => {
                    candidate.age = probed.timestamp.map(|written| Freshness::at(written, seconds(self.now)));
                    candidate.round_trip = probed.round_trip;
                    candidate.first_byte = probed.first_byte;
                    mirror.probed = Some(probed);
                }
                Some(Err(fault)) => candidate.fault = Some(fault),
                None => candidate.fault = Some(Fault::Dead("not asked: the time was over".to_owned())),
            }
        }
    }

    fn measure(
        &mut self,
        wanted: usize,
        (measures, fast): (bool, bool),
        files: &Files,
        client: &Client,
        interrupt: &Interrupt,
        status: &mut Status,
    ) -> Outcome {
        if measures {
            status.step("measuring the best of them, one after another");
        }
        let layout = |probed: &Probed| probed.layout.as_deref().and_then(|text| LayoutConf::parse(text).ok());
        let mirrors: Vec<(&MirrorBase, Option<LayoutConf>)> =
            self.mirrors.iter().map(|m| (&m.base, m.probed.as_ref().and_then(layout))).collect();
        let mut net = Net {
            client,
            mirrors,
            files,
            tested: None,
            deadline: clock() + MEASUREMENTS,
            look_time: if fast { FAST_LOOK } else { LOOK },
            interrupt,
            status,
            has: BTreeSet::new(),
            measured: 0,
        };
        rounds::run(&mut self.candidates, wanted, measures, &mut net)
    }
}

/// Keeps what was learned of the mirrors that will be asked: layouts and ages. Probes are no downloads.
fn record(store: Option<&Store>, state: &State, survey: &Survey, outcome: &Outcome) {
    let Some(store) = store else { return };
    let now = unix_now();
    let mut deltas = Vec::new();
    for (index, mirror) in survey.mirrors.iter().enumerate() {
        let Some(probed) = &mirror.probed else { continue };
        let key = key(&mirror.base);
        if !outcome.chosen.contains(&index) && state.mirror(&key).is_none() {
            continue;
        }
        if let Some(text) = probed.layout.clone() {
            deltas.push(Delta::Layout { mirror: key.clone(), at: now, text });
        }
        if let Some(timestamp) = probed.timestamp.and_then(|written| u64::try_from(written).ok()) {
            deltas.push(Delta::Freshness { mirror: key, at: now, timestamp });
        }
    }
    let chosen = outcome.chosen.iter().filter_map(|index| Some(key(&survey.mirrors.get(*index)?.base)));
    deltas.push(Delta::Ranking { at: now, mirrors: chosen.collect() });
    match store.apply(&deltas, now) {
        Ok(warning) => say(warning.as_slice()),
        Err(error) => say(&[error]),
    }
}

/// A time after 1970 as the timestamps have it.
fn seconds(time: u64) -> i64 {
    i64::try_from(time).unwrap_or(i64::MAX)
}

#[expect(clippy::disallowed_methods, reason = "the survey has limits of time")]
fn clock() -> Instant {
    Instant::now()
}
