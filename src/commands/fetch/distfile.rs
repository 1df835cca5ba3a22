//! A distfile with digests: from the best of its places, verified, and remembered.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::OFlags;

use super::held::held;
use super::salvage::{Salvaged, copy_whole, salvage};
use super::{Context, Target, look_ahead, status, write};
use crate::cli::ExitStatus;
use crate::cli::options::{DistfileOptions, Resume, Sink};
use crate::commands::answers::joined;
use crate::commands::ended::{Ended, signal_status};
use crate::commands::environment::{read_text, unix_now};
use crate::commands::figures;
use crate::commands::mirrors::{file_key, mirrors_for, misspelt, tiers};
use crate::commands::places::{Finder, Found, Sought};
use crate::commands::record::{deltas, repository_delta};
use crate::commands::settings;
use crate::commands::show::Show;
use crate::files::{self, Existing, Folder, folder_of};
use crate::http::{Failure, Url};
use crate::mirror::Delta;
use crate::portage::{DistEntry, Distfile, manifest};
use crate::progress::{Brought, Ending, bytes, duration};
use crate::timeline;
use crate::transfer::engine::{self, Ended as Transferred, Limits, Tally, Wanted};
use crate::transfer::hashing::is_right;
use crate::transfer::sink::Hold;
use crate::transfer::trace::Trace;

/// How many mirrors send parts of one file at once, unless the command line says it.
const PARALLEL: usize = 4;
/// Files of at least so many bytes are fetched from [`PARALLEL_LARGE`] mirrors at once.
const LARGE: u64 = 64 * 1024 * 1024;
const PARALLEL_LARGE: usize = 6;
/// How long a file stays marked as wrong everywhere before mirrors are asked for it again, in seconds.
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
            let found = found.display();
            show.finish(Some(&Ending::of(&format!("{found} was right after all: no byte was fetched"))));
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
        .find(|text| Url::parse(text).as_ref() == Ok(url))
        .unwrap_or_default();
    let (tiers, warnings) = tiers(&context.options.distfile.tiers, &context.call);
    for warning in
        warnings.into_iter().chain(misspelt(context.options.distfile.mirrors.as_deref(), &context.call))
    {
        show.warn(&warning);
    }
    let given = context.options.distfile.mirrors.as_deref();
    let mirrors = mirrors_for(asked, given, &context.call, || context.configuration());
    let finder = Finder::new(&mirrors, &tiers, &state, now);
    let repository = context.call.repo_name.as_deref();
    let sought = Sought { name: &target.name, digests: &target.digests, repository };
    let upstream = context.upstream().and_then(|upstream| upstream.places(&target.name)).unwrap_or_default();
    let Found { places, said: said_before } = finder.of_asked(&sought, (url, asked), &upstream, folder);
    if places.is_empty() {
        let error = format!("{name}: {}; {LACKING_ADVICE}", said_before.join("; "));
        return Ended::failed(ExitStatus::HttpReturnedError, error);
    }
    let (sources, places) = finder.sources(places, &sought, target.size);
    let names: Vec<String> = places.iter().map(|place| place.name.clone()).collect();
    show.begin(path, names.clone());
    let wanted = Wanted {
        size: target.size,
        digests: target.digests.clone(),
        resume: context.options.request.resume != Resume::No,
        trace: context.options.distfile.is_traced(),
        aloud: context.options.report.verbose,
    };
    context.interrupt.set_hook(|_| {}); // the engine looks for itself
    let ahead = look_ahead::prepare(context, target, folder, finder.clone(), store.as_ref(), &limits.limiter);
    look_ahead::beside(ahead, target.size, &places, context.interrupt, show, |beside, show| {
        let mut transferred =
            engine::run(hold.clone(), &wanted, sources, &limits, &context.client, beside, show);
        let mut events = deltas(&places, &transferred, &file, now);
        events.extend(wrong_leftovers);
        let of_mirrors =
            || transferred.tallies.iter().zip(&places).filter(|(_, place)| place.is_mirror).map(|(t, _)| t);
        let had = of_mirrors().any(|tally| tally.kept > 0);
        let lacked = of_mirrors().any(Tally::lacks_it);
        events.extend(repository_delta(repository, had, lacked, now));
        events.extend(finder.learned());
        if transferred.outcome == (engine::Outcome::Mismatch { agreed: true }) {
            events.push(Delta::WrongEverywhere { file, at: now, lasts: WRONG_FOR });
        }
        let is_resumable = context.options.request.resume != Resume::No && length(path) > 0;
        let kept = is_resumable || transferred.tallies.iter().any(|tally| tally.kept > 0);
        let (mut ended, ending) = end(target, &names, &transferred, said_before, kept);
        if matches!(transferred.outcome, engine::Outcome::Mismatch { .. })
            && let Some(other) = hand_over(context, &hold, target, folder)
        {
            let error = format!("{name}: what came is {other}, and is kept as that; {OTHER_ADVICE}");
            ended = Ended::failed(ExitStatus::ChecksumMismatch, error);
        }
        drop((hold, transferred.file.take())); // another process may be waiting for it
        show.finish(ending.as_ref());
        if let Some(trace) = transferred.trace {
            let trace = Trace { file: name.to_owned(), error: ended.error.clone(), ..trace };
            explain(&context.options.distfile, &trace, show);
        }
        figures::keep(store.as_ref(), &events, folder, now, show);
        let answered = transferred.tallies.iter().any(|tally| tally.first_byte.is_some() || tally.kept > 0);
        let may_go_on = answered || ended.status.is_success();
        (ended, may_go_on)
    })
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

/// Upstream may publish each new version under the same URL, so what came may be another distfile of the
/// Manifest. If so, it is renamed to that distfile, where Portage finds it, and the name is returned.
fn hand_over(context: &Context, hold: &Hold, target: &Target, folder: &Path) -> Option<Distfile> {
    let text = read_text(&context.call.manifest()?).ok()?;
    let (in_folder, from) = Folder::of(hold.path()).ok()?;
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
        let is_it = || is_right(&file, size, &entry.digests, &is_over).is_ok_and(|right| right == Some(true));
        let to = OsStr::new(entry.name.as_str());
        if is_free && is_it() && hold.check().is_ok() && in_folder.rename_file(&file, from, to).is_ok() {
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

const OTHER_ADVICE: &str =
    "upstream has another version under that URL: sync the repository, or wait for the mirrors";

const LACKING_ADVICE: &str = "the file is not there: another mirror or upstream may have it";

const WRONG_ADVICE: &str =
    "sync the repository; if that does not help, report it to the package's maintainer";

/// How the transfer ended, and the line that is shown after a success. `said_before` is what was answered a
/// moment ago by those who were not asked again. `kept` tells whether a beginning of the file is there.
fn end(
    target: &Target,
    names: &[String],
    transferred: &Transferred,
    said_before: Vec<String>,
    kept: bool,
) -> (Ended, Option<Ending>) {
    let name = target.name.as_str();
    let failed = |status, error| (Ended::failed(status, error), None);
    match &transferred.outcome {
        engine::Outcome::Verified { size, fetched } => {
            (Ended::ok(), Some(summary(target, names, transferred, *size, *fetched)))
        }
        engine::Outcome::NoSource => {
            let answers: Vec<(String, Failure)> = names
                .iter()
                .zip(&transferred.tallies)
                .filter_map(|(name, tally)| Some((name.clone(), tally.last_failure()?.clone())))
                .collect();
            let first = answers.first().map(|(_, failure)| failure);
            // An answer tells more than a failure to connect.
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

fn summary(target: &Target, names: &[String], transferred: &Transferred, size: u64, fetched: bool) -> Ending {
    let algorithms: Vec<&str> = target.digests.iter().map(|d| d.algorithm.name()).collect();
    let verdict = format!("verified {}", algorithms.join(" "));
    let tallies = &transferred.tallies;
    // `fetched` is false when the last bytes were found without a further request, although others came just
    // now.
    if !fetched && tallies.iter().all(|tally| tally.kept == 0) {
        let there = format!("{} was there already", bytes(size));
        return Ending { brought: None, verdict: format!("{there}, {verdict}"), short: there };
    }
    let shares = names.iter().cloned().zip(tallies.iter().map(|tally| tally.kept)).collect();
    let brought = Brought { size, time: transferred.elapsed, resumed: transferred.resumed, shares };
    Ending { brought: Some(brought), verdict, short: "verified".to_owned() }
}
