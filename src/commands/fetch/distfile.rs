//! A distfile with digests: from the best of its places, verified, and remembered.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use rustix::fs::OFlags;

use super::candidates::{Candidate, Guess, Search, find};
use super::held::held;
use super::salvage::{Salvaged, copy_whole, salvage};
use super::{Context, Target, folder_of, look_ahead, status, write};
use crate::cli::ExitStatus;
use crate::cli::options::{DistfileOptions, Resume, Sink};
use crate::commands::answers::joined;
use crate::commands::ended::{Ended, signal_status};
use crate::commands::environment::{read_text, unix_now};
use crate::commands::figures;
use crate::commands::hosts::{expectation, remembered};
use crate::commands::layouts::LearnedLayout;
use crate::commands::mirrors::{file_key, tiers};
use crate::commands::record::{Keys, deltas, repository_delta};
use crate::commands::settings;
use crate::commands::show::Show;
use crate::commands::turn::{Kind, Turns};
use crate::files::{self, Existing, Folder};
use crate::http::{Failure, Url};
use crate::mirror::{self, Delta, State, rank};
use crate::portage::tiers::LOCAL_TIER;
use crate::portage::{DistEntry, Distfile, manifest};
use crate::progress::{bytes, duration};
use crate::timeline;
use crate::transfer::engine::{self, Ended as Transferred, Limits, Source, Tally, Wanted};
use crate::transfer::hashing::has_digests;
use crate::transfer::trace::Trace;
use crate::transfer::worker::{Doubt, Place};

/// Mirrors at work at once, unless the command line says how many.
const PARALLEL: usize = 4;
/// Files from so many bytes on are worth more of them.
const LARGE: u64 = 64 * 1024 * 1024;
const PARALLEL_LARGE: usize = 6;
/// A file that is wrong wherever it was asked for is not asked for again for so long, in seconds.
const WRONG_FOR: u64 = 300;

/// Fetches a distfile to `path` and verifies it.
pub(super) fn run(context: &Context, url: &Url, path: &Path, target: &Target, show: &mut Show) -> Ended {
    if let Some(ended) = create_folders(context, path).err() {
        return ended;
    }
    let is_over = || context.interrupt.number().is_some();
    let limits = limits(context, target.size);
    let (hold, waited) = match held(context, path, show) {
        Ok(held) => held,
        Err(ended) => return ended,
    };
    let limits = Limits { time: limits.time.map(|time| time.saturating_sub(waited)), ..limits };
    let folder = folder_of(path);
    let given = context.options.distfile.state.as_deref();
    let store = context.environment.store(&context.call, given, Some(folder));
    let now = unix_now();
    let state = figures::load(store.as_ref(), folder, now, show);
    let file = file_key(&target.name, &target.digests);
    copy_whole(path, target, &is_over);
    let wrong_leftovers = match salvage(path, target, &state, &file, now, &is_over) {
        Salvaged::Right(found) => {
            show.begin(path, Vec::new());
            show.finish(Some(&format!("{} was right after all: no byte was fetched", found.display())));
            return Ended::ok();
        }
        Salvaged::Nothing(wrong) => wrong,
    };
    let name = target.name.as_str();
    if let Some(number) = context.interrupt.number() {
        return Ended::failed(signal_status(number), format!("{name}: interrupted"));
    }
    if state.wrong_everywhere(&file, now) {
        let error = format!(
            "{name}: the mirrors agree on a file that the Manifest does not mean (seen just now); {WRONG_ADVICE}"
        );
        return Ended::failed(ExitStatus::ChecksumMismatch, error);
    }
    let asked = context
        .options
        .transfers
        .iter()
        .map(|t| t.url.as_str())
        .find(|text| Url::parse(text).as_ref() == Ok(url));
    let (tiers, warnings) = tiers(&context.options.distfile.tiers, &context.call);
    for warning in warnings {
        show.warn(&warning);
    }
    let search = Search { target, folder, state: &state, tiers: &tiers };
    let mut places = search.candidates(context, url, asked.unwrap_or_default());
    let said = |place: &Candidate| remembered(&state, &place.note, &file, &place.name, now);
    let said_before: Vec<String> = places.iter().filter_map(said).collect();
    places.retain(|place| !state.lacks(&place.note, &file, now));
    if places.is_empty() {
        let error = format!("{name}: {}; {LACKING_ADVICE}", said_before.join("; "));
        return Ended::failed(ExitStatus::HttpReturnedError, error);
    }
    let (learned, layouts) = mpsc::channel();
    let repository = context.call.repo_name.as_deref();
    let turns = Turns::of(repository, &file, &state, now);
    let (sources, keys, names) = sources(places, turns, &state, target, now, &learned);
    let mirrors: Vec<bool> = sources.iter().map(|source| source.expectation.mirror).collect();
    drop(learned);
    show.begin(path, names.clone());
    let wanted = Wanted {
        size: target.size,
        digests: target.digests.clone(),
        resume: context.options.request.resume != Resume::No,
        trace: context.options.distfile.is_traced(),
    };
    context.interrupt.set_hook(|_| {}); // the engine looks for itself
    let mut transferred =
        engine::run(hold, &wanted, sources, &limits, &context.client, &|| context.interrupt.number(), show);
    drop(transferred.file.take()); // another process may be waiting for it
    let mut events = deltas(&keys, &transferred, &file, now);
    events.extend(wrong_leftovers);
    let of_mirrors =
        || transferred.tallies.iter().zip(&mirrors).filter(|(_, mirror)| **mirror).map(|(t, _)| t);
    let had = of_mirrors().any(|tally| tally.kept > 0);
    let lacked = of_mirrors().any(Tally::lacks_it);
    events.extend(repository_delta(repository, had, lacked, now));
    events.extend(layouts.try_iter().map(|(mirror, text)| Delta::Layout { mirror, at: now, text }));
    if transferred.outcome == (engine::Outcome::Mismatch { agreed: true }) {
        events.push(Delta::WrongEverywhere { file, at: now, lasts: WRONG_FOR });
    }
    let is_resumable = context.options.request.resume != Resume::No && length(path) > 0;
    let kept = is_resumable || transferred.tallies.iter().any(|tally| tally.kept > 0);
    let (mut ended, line) = end(target, &names, &transferred, said_before, kept);
    if matches!(transferred.outcome, engine::Outcome::Mismatch { .. })
        && let Some(other) = hand_over(context, path, target, folder)
    {
        let error = format!("{name}: what came is {other}, and is kept as that; {OTHER_ADVICE}");
        ended = Ended::failed(ExitStatus::ChecksumMismatch, error);
    }
    show.finish(line.as_deref());
    if let Some(trace) = transferred.trace {
        let trace = Trace { file: name.to_owned(), error: ended.error.clone(), ..trace };
        explain(&context.options.distfile, &trace, show);
    }
    figures::keep(store.as_ref(), &events, folder, now, show);
    // After a failure that was the link's, the others would fail, too.
    let answered = transferred.tallies.iter().any(|tally| tally.first_byte.is_some() || tally.kept > 0);
    let interrupted = context.interrupt.number().is_some();
    if (answered || ended.status.is_success()) && !interrupted {
        look_ahead::run(context, asked.unwrap_or_default(), target, folder, show);
    }
    ended
}

/// Writes what happened to where it was asked for. That it cannot be written does not fail the fetch.
fn explain(options: &DistfileOptions, trace: &Trace, show: &mut Show) {
    if let Some(to) = &options.trace {
        match serde_json::to_string(trace) {
            Ok(text) => draw(to, "--trace", &(text + "\n"), show),
            Err(error) => show.warn(&format!("the trace cannot be written as JSON: {error}")),
        }
    }
    if let Some(to) = &options.timeline {
        draw(to, "--timeline", &timeline::draw(trace), show);
    }
}

fn draw(to: &Sink, option: &str, text: &str, show: &mut Show) {
    if let Err(error) = write(to, Existing::Empty, text.as_bytes()) {
        show.warn(&format!("cannot write {error} ({option})"));
    }
}

/// `--create-dirs`. Like curl's, folders that are made are 0750.
pub(super) fn create_folders(context: &Context, path: &Path) -> Result<(), Ended> {
    use std::os::unix::fs::DirBuilderExt;
    let Some(folder) = path.parent().filter(|_| context.options.output.create_dirs) else { return Ok(()) };
    let made = fs::DirBuilder::new().recursive(true).mode(0o750).create(folder);
    made.map_err(|error| Ended::failed(ExitStatus::WriteError, format!("{}: {error}", folder.display())))
}

/// Upstream may call each new version by the name of the one before: what came may be another distfile of the Manifest.
/// It gets its place then, where Portage finds it; that one's name is returned.
fn hand_over(context: &Context, path: &Path, target: &Target, folder: &Path) -> Option<Distfile> {
    let text = read_text(&context.call.manifest()?).ok()?;
    let (in_folder, from) = Folder::of(path).ok()?;
    let file = Arc::new(in_folder.open_file(from, OFlags::RDONLY).ok()?);
    files::check_sole(&file).ok()?;
    let size = file.metadata().ok()?.len();
    let is_over = || context.interrupt.number().is_some();
    let may_be = |entry: &DistEntry| {
        entry.size == size && entry.name != target.name && !entry.digests.is_empty() && size > 0
    };
    let entries = manifest::entries(&text).filter_map(Result::ok).filter(may_be);
    let locks = context.configuration().locks(folder);
    for entry in entries {
        let place = folder.join(&entry.name);
        let Ok(Some(_lock)) = locks.try_lock(&entry.name) else { continue };
        let is_free = fs::symlink_metadata(&place).is_err();
        let is_right = || matches!(has_digests(&file, size, &entry.digests, &is_over), Ok(Some(true)));
        let to = OsStr::new(entry.name.as_str());
        if is_free && is_right() && in_folder.rename_file(&file, from, to).is_ok() {
            return Some(entry.name);
        }
    }
    None
}

/// Bytes of FILE; 0 when there is none.
fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

fn limits(context: &Context, size: Option<u64>) -> Limits {
    let usual = if size.is_none_or(|size| size >= LARGE) { PARALLEL_LARGE } else { PARALLEL };
    let asked = context.options.distfile.parallel_mirrors.map(|n| usize::try_from(n).unwrap_or(usize::MAX));
    Limits { parallel: asked.unwrap_or(usual), ..settings::limits(context.options) }
}

/// The places in the order in which they shall be asked, and what is expected of each.
fn sources(
    places: Vec<Candidate>,
    turns: Turns,
    state: &State,
    target: &Target,
    now: u64,
    learned: &mpsc::Sender<LearnedLayout>,
) -> (Vec<Source>, Vec<Keys>, Vec<String>) {
    let keys: Vec<mirror::Candidate> = places
        .iter()
        .map(|place| mirror::Candidate { mirror: &place.key, tier: turns.number(place.kind, false) })
        .collect();
    let ranked = rank(&keys, state, target.size, now);
    let mut places: BTreeMap<usize, Candidate> = places.into_iter().enumerate().collect();
    let html = [".html", ".htm", ".xhtml"].iter().any(|suffix| target.name.as_str().ends_with(suffix));
    let (mut sources, mut keys, mut names) = (Vec::new(), Vec::new(), Vec::new());
    for ranked in ranked {
        let Some(place) = places.remove(&ranked.candidate) else { continue };
        // One that is to be left alone for a while is asked when the others fail.
        let tier = turns.number(place.kind, !ranked.cool_down_left.is_zero());
        let mirror = matches!(place.kind, Kind::Mirror(tier) if tier != LOCAL_TIER);
        let expectation = expectation(&place.key, state, tier, mirror);
        keys.push(Keys { figures: place.key, note: place.note });
        names.push(place.name.clone());
        let place = Place {
            name: place.name,
            url: place.url,
            doubt: place.doubt.map(|(mirror, guess)| {
                let find = find(mirror, target, state, learned.clone());
                match guess {
                    Guess::Usual => Doubt::Guessed(find),
                    Guess::Nothing => Doubt::Unknown(find),
                }
            }),
            size: target.size,
            refuse_html: !html,
        };
        sources.push(Source { place, expectation });
    }
    (sources, keys, names)
}

const OTHER_ADVICE: &str =
    "upstream has another version under that URL: sync the repository, or wait for the mirrors";

const LACKING_ADVICE: &str = "the file is not there: another mirror or upstream may have it";

const WRONG_ADVICE: &str =
    "sync the repository; if that does not help, report it to the package's maintainer";

/// How it ended, and the line that says so when all is well. `said_before` is what those have answered who were not asked
/// again; `kept` tells whether a beginning of the file is there.
fn end(
    target: &Target,
    names: &[String],
    transferred: &Transferred,
    said_before: Vec<String>,
    kept: bool,
) -> (Ended, Option<String>) {
    let name = target.name.as_str();
    let failed = |status, error| (Ended::failed(status, error), None);
    match &transferred.outcome {
        engine::Outcome::Verified { size, fetched } => (
            Ended::ok(),
            Some(summary(target, names, &transferred.tallies, *size, *fetched, transferred.elapsed)),
        ),
        engine::Outcome::NoSource => {
            let answers: Vec<(String, Failure)> = names
                .iter()
                .zip(&transferred.tallies)
                .filter_map(|(name, tally)| Some((name.clone(), tally.last_failure()?.clone())))
                .collect();
            let first = answers.first().map(|(_, failure)| failure);
            // Who has answered tells more than who cannot be reached.
            let telling = answers.iter().map(|(_, failure)| failure).find(|failure| failure.is_an_answer());
            let (status, advice) = if said_before.is_empty() {
                let advice = telling.or(first).and_then(|failure| status::advice(failure, kept));
                (first.map_or(ExitStatus::CouldntConnect, status::of), advice)
            } else {
                (ExitStatus::HttpReturnedError, Some(LACKING_ADVICE))
            };
            let advice = advice.map(|advice| format!("; {advice}")).unwrap_or_default();
            failed(status, format!("{name}: {}{advice}", joined(&answers, said_before)))
        }
        engine::Outcome::Mismatch { agreed: true } => {
            let error = format!(
                "{name}: several mirrors send the same file, and it is not the one that the Manifest means; {WRONG_ADVICE}"
            );
            failed(ExitStatus::ChecksumMismatch, error)
        }
        engine::Outcome::Mismatch { agreed: false } => {
            let sent: Vec<&str> = names
                .iter()
                .zip(&transferred.tallies)
                .filter(|(_, t)| t.requests > 0)
                .map(|(n, _)| n.as_str())
                .collect();
            let error = format!(
                "{name}: what {} sent has other digests than the Manifest's, and nobody else could be asked; {WRONG_ADVICE}",
                sent.join(", ")
            );
            failed(ExitStatus::ChecksumMismatch, error)
        }
        engine::Outcome::TimeUp(limit) => failed(
            ExitStatus::OperationTimedout,
            format!("{name}: time is up ({}); {}", duration(*limit), status::again(kept)),
        ),
        engine::Outcome::TooSlow { speed, time } => {
            let error = format!(
                "{name}: slower than {speed} bytes/s for {}; {}",
                duration(*time),
                status::again(kept)
            );
            failed(ExitStatus::OperationTimedout, error)
        }
        engine::Outcome::TooLarge { limit } => {
            let failure = crate::http::Failure::TooLarge { limit: *limit };
            failed(ExitStatus::FilesizeExceeded, format!("{name}: {failure}; see --max-filesize"))
        }
        engine::Outcome::CutOff(time) => {
            let error = format!(
                "{name}: nothing came from anybody for {}: the network seems to be gone; {}",
                duration(*time),
                status::again(kept)
            );
            failed(ExitStatus::OperationTimedout, error)
        }
        engine::Outcome::Disk(error) => failed(ExitStatus::WriteError, error.clone()),
        engine::Outcome::Signal(number) => {
            let kept = if kept { "; what came is kept" } else { "" };
            failed(signal_status(*number), format!("{name}: interrupted{kept}"))
        }
    }
}

fn summary(
    target: &Target,
    names: &[String],
    tallies: &[Tally],
    size: u64,
    fetched: bool,
    time: Duration,
) -> String {
    let algorithms: Vec<&str> = target.digests.iter().map(|d| d.algorithm.name()).collect();
    let verified = format!("verified {}", algorithms.join(" "));
    // The last bytes of a file may be there when nobody is asked any longer, and still have come just now.
    if !fetched && tallies.iter().all(|tally| tally.kept == 0) {
        return format!("{} was there already, {verified}", bytes(size));
    }
    let from: Vec<&str> = names
        .iter()
        .zip(tallies)
        .filter(|(_, tally)| tally.kept > 0)
        .map(|(name, _)| name.as_str())
        .collect();
    let from = match from.as_slice() {
        [] => String::new(),
        [one] => format!(" from {one}"),
        many => format!(" from {} mirrors", many.len()),
    };
    format!("{} in {}{from}, {verified}", bytes(size), duration(time))
}
