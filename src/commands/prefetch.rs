//! `racefetch prefetch`: everything that emerge would fetch, before it starts.

mod group;
mod list;
mod plan;
mod report;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use group::Group;
use list::Listing;
use plan::{Known, OneOf, Planned, mirrors_of, plan};
use report::{Report, State, is_complete};

use super::answers;
use super::aside::{self, Identity};
use super::configuration::Configuration;
use super::ended::signal_status;
use super::environment::unix_now;
use super::figures;
use super::manifests::manifest_index;
use super::many::{self, Many, Shelves, free_space};
use super::metadata::names_of;
use super::mirrors::{known, misspelt, tiers};
use super::places::{Finder, Hosts};
use super::show::Show;
use super::{CommandError, Environment, Interrupt, settings};
use crate::cli::options::{DistfileOptions, FetchOptions, Limits, ReportOptions};
use crate::cli::{ExitStatus, PrefetchArgs};
use crate::http::settings::Redirects;
use crate::http::{Client, Failure};
use crate::portage::fetch_list::is_binary_package;
use crate::portage::{
    DistEntry, DistLocks, Distfile, ListedFile, ManifestIndex, MirrorBase, Tiers, fetch_list,
};
use crate::progress::bytes;
use crate::transfer::batch::{Clock, Host, HostId, Item, ItemEnd, ItemId};

/// Why nothing could be fetched.
#[derive(Debug, thiserror::Error)]
enum PrefetchError {
    #[error("make.conf sets no DISTDIR: name the folder with --distdir")]
    NoDistdir,
    #[error("cannot write to {}: {error}; run it as root, or as a member of the group portage", path.display())]
    Distdir { path: PathBuf, error: io::Error },
    #[error("cannot read the list from standard input: {0}")]
    Stdin(io::Error),
    #[error(
        "cannot run emerge: {0}; emerge --pretend --fetchonly can be run elsewhere, and its output given to `prefetch -`"
    )]
    Emerge(io::Error),
    #[error("emerge listed nothing ({0}): what it says is above")]
    NoList(std::process::ExitStatus),
    #[error("no Manifest is there to compare with: look at repos.conf, or set PORTAGE_REPOSITORIES")]
    NoManifests,
    #[error(
        "{} has room for {}, and {} are to be fetched: make room, or fetch for fewer packages",
        path.display(), bytes(*free), bytes(*wanted)
    )]
    NoRoom { path: PathBuf, free: u64, wanted: u64 },
    #[error("--ask: standard input is no terminal: leave --ask out, or look at --dry-run")]
    NobodyToAsk,
    #[error("cannot write the result: {0}")]
    Write(io::Error),
}

impl PrefetchError {
    fn status(&self) -> ExitStatus {
        match self {
            Self::NoDistdir | Self::Emerge(_) | Self::NoList(_) | Self::NobodyToAsk => ExitStatus::FailedInit,
            Self::Stdin(_) | Self::NoManifests => ExitStatus::ReadError,
            Self::Distdir { .. } | Self::NoRoom { .. } | Self::Write(_) => ExitStatus::WriteError,
        }
    }
}

impl From<PrefetchError> for CommandError {
    fn from(error: PrefetchError) -> Self {
        Self::new(error.status(), error)
    }
}

/// Fetches what emerge lists, and writes to `out` what became of it.
pub(super) fn run(
    arguments: &PrefetchArgs,
    environment: &Environment,
    interrupt: &Interrupt,
    out: &mut dyn Write,
) -> Result<ExitStatus, CommandError> {
    let configuration = Configuration::read(environment);
    let options = options(arguments);
    let mut show =
        Show::new(&options, environment).map_err(|error| CommandError::new(ExitStatus::WriteError, error))?;
    for problem in configuration.conf.problems() {
        show.warn(&problem.to_string());
    }
    let distdir = arguments.distdir.clone().or_else(|| configuration.distdir());
    let distdir = distdir.ok_or(PrefetchError::NoDistdir)?;
    check_distdir(&distdir, arguments.dry_run)?;
    let client = Client::new(settings::build(&options, environment)?);

    if arguments.ask && !io::stdin().is_terminal() {
        return Err(PrefetchError::NobodyToAsk.into());
    }
    let from_stdin = arguments.arguments == ["-"];
    let failed = |error| if from_stdin { PrefetchError::Stdin(error) } else { PrefetchError::Emerge(error) };
    if !from_stdin {
        show.warn("emerge lists what is to be fetched"); // which may take it a minute
    }
    let listing = list::read(&arguments.arguments, interrupt).map_err(failed)?;
    if let Some(number) = interrupt.number() {
        return Ok(signal_status(number));
    }
    let files = fetch_list::parse(&listing.text);
    let listed_all = check_listing(&listing, files.is_empty(), &mut show)?;

    let mirrors = mirrors_of(&files, &known(options.distfile.mirrors.as_deref(), &configuration));
    let planned = look_up(files, &mirrors, &configuration, &mut show)?;

    let store = environment.store(&configuration.call, options.distfile.state.as_deref(), Some(&distdir));
    let state = figures::load(store.as_ref(), &distdir, unix_now(), &mut show);
    let (tiers, warnings) = tiers(&options.distfile.tiers, &configuration.call);
    for warning in
        warnings.into_iter().chain(misspelt(options.distfile.mirrors.as_deref(), &configuration.call))
    {
        show.warn(&warning);
    }
    let shelves = Shelves::new(&distdir, &configuration);
    let Sorted { mut reports, missing, several } = sort_out(planned, &shelves);
    let largest = several.iter().filter_map(|(_, group)| group.largest());
    let size = many::missing(&distdir, missing.iter().map(|known| &known.entry).chain(largest));
    let typical = size / ((missing.len() + several.len()) as u64).max(1);
    let mut hosts = Hosts::new(Finder::new(&mirrors, &tiers, &state, unix_now()), typical);
    let repositories = configuration.repositories();
    let mut items = Vec::new();
    for Known { entry, manifest, file } in missing {
        let repository = repositories.of_path(&manifest).map(|repository| repository.name.as_str());
        let (name, size) = (entry.name.to_string(), entry.size);
        match hosts.item(entry, Some(&file.places(&mirrors)), repository) {
            Ok(item) => items.push(item),
            Err(said) => {
                reports.push(Report { name, size: Some(size), state: State::Missing(nobody(&file, &said)) });
            }
        }
    }
    let mut groups = Groups::new();
    for (one_of, group) in several {
        let Some(largest) = group.largest().cloned() else { continue };
        let name = largest.name.clone();
        match hosts.item(largest, Some(&one_of.file.places(&mirrors)), None) {
            Ok(item) => {
                items.push(Item { others: group.missing.clone(), ..item });
                groups.insert(name, group);
            }
            Err(said) => reports.extend(group.nothing_came(State::Missing(nobody(&one_of.file, &said)))),
        }
    }
    let mut elapsed = Duration::ZERO;
    if arguments.dry_run {
        reports.extend(items.iter().map(|item| wanted_report(item, &hosts.list, groups.get(&item.name))));
    } else if !items.is_empty() {
        let free = free_space(&distdir);
        if free <= size {
            return Err(PrefetchError::NoRoom { path: distdir, free, wanted: size }.into());
        }
        show.warn(&what_is_to_come(&items, size));
        if arguments.ask && !may_begin()? {
            return Ok(ExitStatus::NOT_ALL_IS_WELL);
        }
        // As Portage does, so that its own user can go on with what is left unfinished.
        rustix::process::umask(rustix::fs::Mode::WOTH);
        let locks = configuration.locks(&distdir);
        for item in &items {
            make_way(item, &distdir, &locks, &mut show);
        }
        let many = Many {
            distdir: &distdir,
            locks,
            limits: settings::limits(&options),
            jobs: arguments.jobs.map_or(usize::MAX, usize::from),
            client: &client,
            clock: Clock::start(),
            store: store.as_ref(),
            said_unlocked: false,
            title: "prefetch".to_owned(),
        };
        let (came, time) = fetch(&many, &mut hosts, (items, &groups), &shelves, interrupt, &mut show);
        elapsed = time;
        reports.extend(came);
    }
    if arguments.json {
        report::write_json(out, &distdir, &reports, elapsed).map_err(PrefetchError::Write)?;
    } else {
        report::write_lines(out, &reports, elapsed, arguments.quiet).map_err(PrefetchError::Write)?;
    }
    Ok(match interrupt.number() {
        Some(number) => signal_status(number),
        None if is_complete(&reports) && listed_all => ExitStatus::Ok,
        None => ExitStatus::NOT_ALL_IS_WELL,
    })
}

/// `17 distfiles to fetch: 153.6 MiB, 95.2 MiB of it gcc-15.2.0.tar.xz`.
fn what_is_to_come(items: &[Item], size: u64) -> String {
    let files = if items.len() == 1 { "distfile" } else { "distfiles" };
    let largest = items.iter().max_by_key(|item| item.size);
    let largest = largest.filter(|_| items.len() > 1);
    let largest = largest.map(|item| format!(", {} of it {}", bytes(item.size), item.name));
    format!("{} {files} to fetch: {}{}", items.len(), bytes(size), largest.unwrap_or_default())
}

/// Asks on the terminal, as `emerge --ask` does: an empty answer means yes.
fn may_begin() -> Result<bool, PrefetchError> {
    let mut stderr = io::stderr();
    let mut answer = String::new();
    let asked = stderr.write_all(b"Fetch them? [Yes/No] ").and_then(|()| stderr.flush());
    asked.and_then(|()| io::stdin().read_line(&mut answer)).map_err(PrefetchError::Stdin)?;
    let answer = answer.trim().to_ascii_lowercase();
    Ok(answer.is_empty() || "yes".starts_with(&answer))
}

/// The command line in the words of the fetch.
fn options(arguments: &PrefetchArgs) -> FetchOptions {
    FetchOptions {
        redirects: Redirects { follow: true, ..Redirects::default() },
        limits: Limits { rate: arguments.limit_rate, ..Limits::default() },
        report: ReportOptions { silent: arguments.quiet, show_error: true, ..ReportOptions::default() },
        distfile: DistfileOptions {
            mirrors: arguments.mirrors.as_ref().map(|l| l.split_whitespace().map(str::to_owned).collect()),
            tiers: arguments.tiers.iter().fold(Tiers::default(), Tiers::overridden_by),
            state: arguments.state.clone(),
            ..DistfileOptions::default()
        },
        ..FetchOptions::default()
    }
}

fn check_distdir(distdir: &Path, read_only: bool) -> Result<(), PrefetchError> {
    use rustix::fs::Access;
    let access = if read_only { Access::EXISTS } else { Access::WRITE_OK | Access::EXEC_OK };
    let failed = |error: io::Error| PrefetchError::Distdir { path: distdir.to_owned(), error };
    rustix::fs::access(distdir, access).map_err(|error| failed(error.into()))?;
    if distdir.is_dir() { Ok(()) } else { Err(failed(io::ErrorKind::NotADirectory.into())) }
}

/// Whether emerge could list everything. What it says besides the list is shown when it could not.
fn check_listing(listing: &Listing, is_empty: bool, show: &mut Show) -> Result<bool, PrefetchError> {
    let Some(status) = listing.status.filter(|status| !status.success()) else { return Ok(true) };
    let lines = listing.errors.lines().chain(listing.text.lines());
    for line in lines.filter(|line| fetch_list::is_message(line)) {
        show.warn(&format!("emerge: {}", line.strip_prefix("emerge: ").unwrap_or(line)));
    }
    if is_empty {
        return Err(PrefetchError::NoList(status));
    }
    show.warn(&format!("emerge could not list everything ({status})"));
    Ok(false)
}

/// Finds out what the listed files are and must be.
fn look_up(
    files: Vec<ListedFile>,
    mirrors: &[MirrorBase],
    configuration: &Configuration<'_>,
    show: &mut Show,
) -> Result<Vec<Planned>, PrefetchError> {
    if files.is_empty() {
        return Ok(Vec::new());
    }
    // Mirrors have a file under its distfile name. At upstream it may have another name.
    let upstream: BTreeSet<String> =
        files.iter().filter(|file| !file.is_at(mirrors)).flat_map(|file| file.uris.iter().cloned()).collect();
    let renamed = if upstream.is_empty() { BTreeMap::new() } else { names_of(configuration, &upstream) };
    let mut names: BTreeSet<String> = files.iter().flat_map(|file| file.names(mirrors)).collect();
    names.extend(renamed.values().flatten().map(ToString::to_string));
    let warnings = std::cell::RefCell::new(Vec::new());
    let warn = |warning: &str| warnings.borrow_mut().push(warning.to_owned());
    let index: Option<ManifestIndex> = manifest_index(configuration, &|name| names.contains(name), &warn);
    for warning in warnings.into_inner() {
        show.warn(&warning);
    }
    // Binary packages need no Manifest.
    let only_packages = || files.iter().flat_map(|file| &file.uris).all(|uri| is_binary_package(uri));
    let index = index.or_else(|| only_packages().then(ManifestIndex::default));
    Ok(plan(files, mirrors, &index.ok_or(PrefetchError::NoManifests)?, &renamed))
}

/// What is known without asking anybody, and what is missing.
#[derive(Default)]
struct Sorted {
    reports: Vec<Report>,
    missing: Vec<Known>,
    several: Vec<(OneOf, Group)>,
}

/// Groups, each by the distfile name that its [`Item`] has.
type Groups = BTreeMap<Distfile, Group>;

fn sort_out(planned: Vec<Planned>, shelves: &Shelves) -> Sorted {
    let Sorted { mut reports, mut missing, mut several } = Sorted::default();
    for planned in planned {
        match planned {
            Planned::Known(known) => {
                let DistEntry { name, size, digests } = &known.entry;
                if shelves.have(name, *size, digests) {
                    reports.push(Report { name: name.to_string(), size: Some(*size), state: State::Present });
                } else {
                    missing.push(*known);
                }
            }
            Planned::OneOf(one_of) => {
                let have = |entry: &DistEntry| shelves.have(&entry.name, entry.size, &entry.digests);
                let group = Group::new(&one_of, have);
                if group.missing.is_empty() {
                    reports.extend(group.nothing_came(State::Present));
                } else {
                    several.push((*one_of, group));
                }
            }
            Planned::BinaryPackage(uri) => {
                let name = uri.rsplit('/').next().unwrap_or_default().to_owned();
                reports.push(Report { name, size: None, state: State::BinaryPackage });
            }
            Planned::Unknown { name, why } => {
                reports.push(Report { name, size: None, state: State::Missing(why) });
            }
        }
    }
    Sorted { reports, missing, several }
}

/// Why there is no place for a file, by what mirrors have said of it.
fn nobody(file: &ListedFile, said: &[String]) -> String {
    if !said.is_empty() {
        return said.join("; ");
    }
    format!("{} is left to Portage: only http and https are fetched", file.uris.join(", "))
}

fn wanted_report(item: &Item, hosts: &[Host], group: Option<&Group>) -> Report {
    let mut places: Vec<_> = item.places.iter().collect();
    places.sort_by_key(|place| place.tier);
    let names = places.iter().filter_map(|place| Some(hosts.get(place.host.0)?.name.clone())).collect();
    let name = group.map_or_else(|| item.name.to_string(), |group| group.names(None));
    Report { name, ..report(item, State::Wanted(names)) }
}

fn report(item: &Item, state: State) -> Report {
    Report { name: item.name.to_string(), size: Some(item.size), state }
}

/// Renames a file that has the right name and the wrong size, as Portage would.
fn make_way(item: &Item, distdir: &Path, locks: &DistLocks, show: &mut Show) {
    if !item.others.is_empty() {
        return; // which one is wanted is not known
    }
    let Ok(found) = Identity::at(&distdir.join(&item.name)) else { return };
    if found.size == item.size {
        return; // somebody has brought it just now
    }
    let name = &item.name;
    match aside::move_aside(distdir, name, found, locks) {
        Ok(to) => show.warn(&format!(
            "{name} has {} bytes, not the {} of its Manifest: renamed to {to}",
            found.size, item.size
        )),
        Err(error) => show.warn(&format!("cannot move {name} aside: {error}")),
    }
}

/// Fetches all; what another process is fetching is waited for.
fn fetch(
    many: &Many<'_>,
    hosts: &mut Hosts<'_>,
    (items, groups): (Vec<Item>, &Groups),
    shelves: &Shelves,
    interrupt: &Interrupt,
    show: &mut Show,
) -> (Vec<Report>, Duration) {
    let (mut reports, mut elapsed, mut left) = (Vec::new(), Duration::ZERO, items);
    let mut told = false;
    loop {
        let (items, end) = many.fetch(hosts, left, show, &|| interrupt.number(), |_, _| None);
        elapsed += end.elapsed;
        left = Vec::new();
        for (index, (item, ended)) in items.into_iter().zip(&end.items).enumerate() {
            let came_as = end.came_as.get(&ItemId(index));
            let said = hosts.said(&item.name);
            match end_state(&item, ended, &hosts.list, shelves, said) {
                None => left.push(item),
                Some(state) => match (groups.get(&item.name), state, came_as) {
                    (None, state, _) => reports.push(report(&item, state)),
                    (Some(group), State::Fetched(hosts), Some(name)) => {
                        reports.extend(group.one_came(name, hosts));
                    }
                    (Some(group), state, _) => {
                        if let (false, State::Missing(why)) = (group.is_short_of(0), &state) {
                            show.warn(&format!("{} did not come: {why}", group.names(None)));
                        }
                        reports.extend(group.nothing_came(state));
                    }
                },
            }
        }
        if left.is_empty() || interrupt.number().is_some() {
            break;
        }
        if !told {
            let names: Vec<&str> = left.iter().map(|item| item.name.as_str()).collect();
            show.warn(&format!("another process is fetching {}: waiting for it", names.join(", ")));
            told = true;
        }
        pause();
        elapsed += PAUSE;
    }
    for item in &left {
        match groups.get(&item.name) {
            None => reports.push(report(item, State::Left)),
            Some(group) => reports.extend(group.nothing_came(State::Left)),
        }
    }
    (reports, elapsed)
}

/// The pause between two looks whether another process has finished.
const PAUSE: Duration = Duration::from_millis(300);

#[expect(clippy::disallowed_methods, reason = "nothing tells when another process gives a lock back")]
fn pause() {
    std::thread::sleep(PAUSE);
}

/// What became of a file; none when another process is fetching it.
fn end_state(
    item: &Item,
    end: &ItemEnd,
    hosts: &[Host],
    shelves: &Shelves,
    said: Vec<String>,
) -> Option<State> {
    let name = |host: &HostId| hosts.get(host.0).map(|host| host.name.clone());
    let have_other = |entry: &DistEntry| shelves.have(&entry.name, entry.size, &entry.digests);
    let have = || match item.others.as_slice() {
        [] => shelves.have(&item.name, item.size, &item.digests),
        others => others.iter().all(have_other),
    };
    Some(match end {
        ItemEnd::Fetched { from, .. } => State::Fetched(from.iter().filter_map(name).collect()),
        // Somebody else may have brought it meanwhile.
        _ if have() => State::Present,
        ItemEnd::Present | ItemEnd::Locked => return None,
        ItemEnd::Failed(tried) if tried.iter().all(|(_, failure)| *failure == Failure::Cancelled) => {
            State::Left
        }
        ItemEnd::Failed(tried) => {
            let answer = |(host, failure): &(HostId, Failure)| Some((name(host)?, failure.clone()));
            let tried: Vec<_> = tried.iter().filter_map(answer).collect();
            State::Missing(answers::joined(&tried, said))
        }
        ItemEnd::Disk(error) => State::Missing(error.clone()),
        ItemEnd::Left => State::Left,
    })
}
