//! A transfer without digests: what curl would do.

use std::ffi::OsStr;
use std::fs;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::distfile::create_folders;
use super::held::held;
use super::{Context, status, write};
use crate::cli::options::{ConditionKind, ConditionTime, Fail, FetchOptions, Resume, Sink, TimeCondition};
use crate::cli::write_out::Outcome;
use crate::cli::{ExitStatus, options as cli};
use crate::commands::ended::{Ended, signal_status};
use crate::commands::settings::limits;
use crate::commands::show::Show;
use crate::files::Existing;
use crate::http::settings::FieldEdit;
use crate::http::{Exchange, Url, date};
use crate::portage::DownloadName;
use crate::progress::{Brought, Ending, printable};
use crate::transfer::single::{
    Caller, Condition, ErrorStatus, FileOutput, LOOKED_AT, Output, Report, Request, Retry, Stdout, Stop,
    run as fetch,
};
use crate::transfer::sink::{Hold, SinkError};

/// Fetches one URL to `path`, or to stdout.
pub(super) fn run(
    context: &Context,
    number: usize,
    url: &Url,
    path: Option<PathBuf>,
    show: &mut Show,
) -> Ended {
    let options = context.options;
    // As in curl, a file in the place of a folder is only in the way once there is content.
    let blocked = |path: &Path| path.ancestors().skip(1).any(Path::is_file);
    let folders = path.as_deref().filter(|path| !blocked(path));
    let folders = folders.map_or(Ok(()), |path| create_folders(context, path));
    let hold = folders.and_then(|()| path.as_deref().map(|path| held(context, path, show)).transpose());
    // Until it is complete.
    let hold = match hold {
        Ok(hold) => hold,
        Err(ended) => return ended,
    };
    let is_named =
        options.transfers.get(number).is_some_and(|transfer| transfer.output != cli::Output::Stdout);
    let mut output = match output(options, path, hold.map(|(hold, _)| hold), is_named) {
        Ok(output) => output,
        Err(ended) => return ended,
    };
    let request = request(options, number, url, show);
    show.begin(output.path().unwrap_or(Path::new("-")), vec![url.authority()]);
    let mut agent = context.client.agent();
    let canceller = agent.canceller();
    context.interrupt.set_hook(move |_| canceller.cancel());
    let interrupt = context.interrupt;
    let caller = Caller {
        signalled: &|| interrupt.number(),
        answered: &|exchanges| match &options.output.dump_header {
            Some(sink) => dump_header(sink, exchanges, number > 0),
            None => Ok(()),
        },
    };
    let (report, result) = fetch(&mut agent, &request, &mut output, &limits(options), show, &caller);
    // A transfer to stdout, or one whose file is removed, cannot be continued later.
    let is_file = output.path().is_some() && !options.output.remove_on_error;
    let kept = is_file && (report.brought > 0 || report.resumed > 0);
    let mut ended = ended(url, &request, &report, result, kept);
    if let Err(failed) = after(options, &report, &output, &ended) {
        ended = failed;
    }
    let by_portage = context.call.is_fetch_phase() || options.distfile.digests.is_some();
    let name = output.path().and_then(Path::file_name).and_then(OsStr::to_str).map(DownloadName::parse);
    let verification = match name {
        // Its digests are in the index of the binhost, which Portage has.
        Some(Ok(DownloadName::BinaryPackage(_))) if by_portage => "to be verified by Portage",
        Some(Ok(DownloadName::Distfile(_))) if by_portage => NOT_VERIFIED,
        Some(Ok(DownloadName::Other(_))) if context.call.is_fetch_phase() => NOT_VERIFIED,
        _ => "",
    };
    show.finish(ended.status.is_success().then(|| ending(url, &report, verification)).as_ref());
    write_out(options, number, url, &report, &output, &ended, show);
    ended
}

/// `is_named` when the output was named on the command line, be it as stdout.
fn output(
    options: &FetchOptions,
    path: Option<PathBuf>,
    hold: Option<Hold>,
    is_named: bool,
) -> Result<Output, Ended> {
    let Some(path) = path else {
        let position = match options.request.resume {
            Resume::From(offset) => offset,
            Resume::No | Resume::Existing => 0,
        };
        let text = if is_named || !std::io::stdout().is_terminal() { 0 } else { LOOKED_AT };
        return Ok(Output::Stdout(Stdout { position, text }));
    };
    let offset = match options.request.resume {
        Resume::No => 0,
        Resume::From(offset) => offset,
        Resume::Existing => match fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => metadata.len(),
            _ => 0,
        },
    };
    let is_made = hold.as_ref().is_some_and(Hold::has_made_file);
    if let (Resume::From(offset @ 1..), Ok(metadata)) = (options.request.resume, fs::metadata(&path))
        && metadata.is_file()
        && !is_made
        && metadata.len() < offset
    {
        let error =
            format!("{}: has {} bytes, cannot go on at {offset} (-C)", path.display(), metadata.len());
        return Err(Ended::failed(ExitStatus::RangeError, error));
    }
    let is_missing = is_made || fs::symlink_metadata(&path).is_err();
    let mut file = FileOutput::new(path, offset);
    file.without = if is_missing { offset } else { 0 };
    file.hold = hold;
    Ok(Output::File(file))
}

fn request(options: &FetchOptions, number: usize, url: &Url, show: &mut Show) -> Request {
    let has_remote_name = options.transfers.get(number).is_some_and(|t| t.output == cli::Output::RemoteName);
    Request {
        url: url.clone(),
        range: options.request.range.map(|range| range.to_string()).or_else(|| range_field(options)),
        condition: options.request.condition.as_ref().and_then(|condition| date(condition, show)),
        error_status: match options.output.fail {
            Fail::No => ErrorStatus::Save,
            Fail::Fast => ErrorStatus::Fail,
            Fail::WithBody => ErrorStatus::FailWithBody,
        },
        largest: options.limits.max_filesize,
        retry: Retry {
            times: options.retry.count,
            persistent: options.output.fail != Fail::No,
            delay: options.retry.delay,
            within: options.retry.max_time,
            refused_connections: options.retry.connrefused,
            all_errors: options.retry.all_errors,
        },
        named_by_server: options.output.remote_header_name && has_remote_name,
        refuse_encoded: options.request.compressed,
    }
}

/// The range that is asked for with `-H 'Range: …'`.
fn range_field(options: &FetchOptions) -> Option<String> {
    options.request.fields.iter().rev().find_map(|edit| match edit {
        FieldEdit::Set(name, value) if name.eq_ignore_ascii_case("range") => Some(value.trim().to_owned()),
        _ => None,
    })
}

fn date(condition: &TimeCondition, show: &mut Show) -> Option<Condition> {
    let seconds = match &condition.time {
        ConditionTime::At(seconds) => u64::try_from(*seconds).unwrap_or(0),
        ConditionTime::OfFile(path) => {
            let Ok(modified) = fs::metadata(path).and_then(|metadata| metadata.modified()) else {
                show.warn(&format!("{}: no such file, and no date (-z): no condition", path.display()));
                return None;
            };
            modified.duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs()
        }
    };
    let newer = condition.kind == ConditionKind::IfModifiedSince;
    Some(Condition { newer, date: Duration::from_secs(seconds) })
}

fn ended(url: &Url, request: &Request, report: &Report, result: Result<(), Stop>, kept: bool) -> Ended {
    match result {
        Ok(()) => Ended::ok(),
        Err(Stop::Disk(error)) => Ended::failed(ExitStatus::WriteError, error),
        Err(Stop::Signal(number)) => Ended::failed(signal_status(number), format!("{url}: interrupted")),
        Err(Stop::Http(failure)) => {
            let tries = match report.attempts {
                0 | 1 => String::new(),
                n => format!(" ({n} attempts)"),
            };
            let advice =
                status::advice(&failure, kept).map(|advice| format!("; {advice}")).unwrap_or_default();
            let asked = report.exchanges.last().map_or(&request.url, |exchange| &exchange.url);
            Ended::failed(status::of(&failure), format!("{asked}: {failure}{tries}{advice}"))
        }
    }
}

/// What is done with the file once the content is there, or is not.
fn after(options: &FetchOptions, report: &Report, output: &Output, ended: &Ended) -> Result<(), Ended> {
    let disk = |path: &Path, error: &std::io::Error| {
        Ended::failed(ExitStatus::WriteError, format!("{}: {error}", path.display()))
    };
    if let (Output::File(output), true) = (output, output.file().is_some()) {
        output.check_hold().map_err(|error| Ended::failed(ExitStatus::WriteError, error.to_string()))?;
    }
    if !ended.status.is_success() && options.output.remove_on_error && output.file().is_some() {
        let path = output.path().unwrap_or(Path::new(""));
        fs::remove_file(path).map_err(|error| disk(path, &error))?;
        return Ok(());
    }
    if let (true, Some(file)) = (options.output.remote_time, output.file()) {
        let seconds = report.last_modified.as_deref().and_then(date::parse);
        if let Some(seconds) = seconds.and_then(|seconds| u64::try_from(seconds).ok()) {
            let modified = std::time::UNIX_EPOCH + Duration::from_secs(seconds);
            let path = output.path().unwrap_or(Path::new(""));
            file.set_modified(modified).map_err(|error| disk(path, &error))?;
        }
    }
    Ok(())
}

fn dump_header(sink: &Sink, exchanges: &[Exchange], append: bool) -> Result<(), SinkError> {
    let heads: Vec<u8> = exchanges.iter().flat_map(|exchange| exchange.raw_head.iter().copied()).collect();
    write(sink, if append { Existing::Append } else { Existing::Empty }, &heads)
}

const NOT_VERIFIED: &str = "not verified: it has no digests";

fn ending(url: &Url, report: &Report, verification: &str) -> Ending {
    if report.nothing_to_do {
        let nothing = "nothing to do: it is complete, or has not changed";
        return Ending::of(&[nothing, verification].join(if verification.is_empty() { "" } else { ", " }));
    }
    let brought = Brought {
        size: report.brought,
        time: report.total_time,
        resumed: report.resumed,
        shares: vec![(url.authority(), report.brought)],
    };
    Ending { brought: Some(brought), verdict: verification.to_owned(), short: verification.to_owned() }
}

fn write_out(
    options: &FetchOptions,
    number: usize,
    url: &Url,
    report: &Report,
    output: &Output,
    ended: &Ended,
    show: &mut Show,
) {
    if options.report.verbose {
        show.raw(&verbose(&report.exchanges));
    }
    let Some(template) = &options.report.write_out else { return };
    let last = report.exchanges.last();
    let fields = last.map(|exchange| exchange.fields.as_slice()).unwrap_or_default();
    let file_name = output.path().map(|path| path.display().to_string());
    let peer = report.peer.map(|peer| peer.ip().to_string());
    let rendered = template.render(&Outcome {
        url: &url.to_string(),
        url_effective: &last.map_or_else(|| url.to_string(), |exchange| exchange.url.to_string()),
        url_number: number,
        status: ended.status,
        error: ended.error.as_deref().unwrap_or_default(),
        response_code: last.map_or(0, |exchange| exchange.status),
        content_type: last.and_then(|exchange| exchange.field("content-type")),
        redirects: u32::try_from(report.exchanges.len().saturating_sub(1)).unwrap_or(u32::MAX),
        retries: report.attempts.saturating_sub(1),
        received: report.received,
        elapsed: report.total_time,
        file_name: file_name.as_deref(),
        remote_ip: peer.as_deref(),
        fields,
    });
    show.raw(&rendered.stderr);
    // Like curl, a broken stdout at this point does not change the exit status.
    let _ = std::io::Write::write_all(&mut std::io::stdout(), rendered.stdout.as_bytes());
}

/// What was asked and what was answered (`-v`).
fn verbose(exchanges: &[Exchange]) -> String {
    use std::fmt::Write;
    exchanges.iter().fold(String::new(), |mut text, exchange| {
        let _ = writeln!(text, "> GET {}", exchange.url); // a String takes anything
        let _ = writeln!(text, "< {} {}", exchange.version, exchange.status);
        for (name, value) in &exchange.fields {
            let value = if name == "set-cookie" { "…" } else { value };
            let _ = writeln!(text, "< {}", printable(&format!("{name}: {value}")));
        }
        text
    })
}
