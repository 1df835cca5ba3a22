//! A transfer from one URL without digests: what curl does, in one thread.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::engine::{Limits, Observer, Snapshot, Stage};
use super::meter::Meter;
use super::sink::{SinkError, open_output};
use crate::http::{Agent, Answer, Ask, Content, ContentRange, Failure, Url};
use crate::patience::{FIRST_PAUSE, LONGEST_PAUSE, PULSE};

/// What is read at once, in bytes.
const BUFFER: usize = 128 * 1024;

/// What counts as a failure of an answer with an error status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorStatus {
    /// Its content is saved like any other.
    Save,
    /// It fails, and nothing is saved (`-f`).
    Fail,
    /// It fails, but its content is saved (`--fail-with-body`).
    FailWithBody,
}

/// When to try again (`--retry` and its companions).
#[derive(Clone, Copy, Debug, Default)]
pub struct Retry {
    pub times: u32,
    /// Instead of 1 s, doubled each time.
    pub delay: Option<Duration>,
    /// No retry begins later than so long after the beginning.
    pub within: Option<Duration>,
    pub refused_connections: bool,
    pub all_errors: bool,
}

#[derive(Clone, Debug)]
pub struct Request {
    pub url: Url,
    /// `-r`: sent as it is; what comes is saved as it comes.
    pub range: Option<String>,
    /// `-z`: the header field and its date; an answer that says 304, or carries an older date, brings nothing.
    pub condition: Option<Condition>,
    pub error_status: ErrorStatus,
    pub largest: Option<u64>,
    pub retry: Retry,
    /// The name that the server gives the file counts (`-J`), if nothing has it yet.
    pub named_by_server: bool,
    /// An encoded content is refused: it was promised that it would be decoded (`--compressed`).
    pub refuse_encoded: bool,
}

/// A date as a condition, in seconds since 1970.
#[derive(Clone, Copy, Debug)]
pub struct Condition {
    /// `If-Modified-Since`, else `If-Unmodified-Since`.
    pub newer: bool,
    pub date: Duration,
}

impl Condition {
    fn field(self) -> (&'static str, String) {
        let name = if self.newer { "if-modified-since" } else { "if-unmodified-since" };
        (name, httpdate::fmt_http_date(std::time::UNIX_EPOCH + self.date))
    }

    /// Whether content with that `Last-Modified` is wanted.
    fn met(self, last_modified: Option<&str>) -> bool {
        let Some(modified) = last_modified.and_then(|text| httpdate::parse_http_date(text).ok()) else {
            return true;
        };
        let modified = modified.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        if self.newer { modified > self.date } else { modified <= self.date }
    }
}

/// Where content goes.
pub enum Output {
    /// From this offset of the file on.
    Stdout(u64),
    File(FileOutput),
}

/// A file that is opened when its first byte comes.
pub struct FileOutput {
    pub path: PathBuf,
    /// Keep what is there, and write from this offset on.
    pub offset: u64,
    /// Missing folders above it are made.
    pub create_folders: bool,
    /// Instead of 0666 less the umask.
    pub mode: Option<u32>,
    file: Option<File>,
}

impl FileOutput {
    pub fn new(path: PathBuf, offset: u64) -> Self {
        Self { path, offset, create_folders: false, mode: None, file: None }
    }
}

impl Output {
    /// How many bytes are there already.
    fn position(&self) -> u64 {
        match self {
            Self::Stdout(offset) => *offset,
            Self::File(file) => file.offset,
        }
    }

    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Stdout(_) => None,
            Self::File(file) => Some(&file.path),
        }
    }

    /// Makes sure that the file exists, with nothing behind the position.
    fn begin(&mut self) -> Result<(), SinkError> {
        let Self::File(output) = self else { return Ok(()) };
        if output.file.is_some() {
            return Ok(());
        }
        if output.create_folders
            && let Some(folder) = output.path.parent()
        {
            create_folders(folder)?;
        }
        let file = open_output(&output.path, output.offset > 0)?;
        let failed = |e: io::Error| SinkError::new(&output.path, &e);
        let regular = file.metadata().map_err(failed)?.is_file();
        if regular {
            file.set_len(output.offset).map_err(failed)?;
            io::Seek::seek(&mut &file, io::SeekFrom::Start(output.offset)).map_err(failed)?;
        }
        if let Some(mode) = output.mode {
            let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
            file.set_permissions(permissions).map_err(failed)?;
        }
        output.file = Some(file);
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), SinkError> {
        self.begin()?;
        match self {
            Self::Stdout(offset) => {
                *offset += bytes.len() as u64;
                io::stdout().lock().write_all(bytes).map_err(|e| SinkError::new(Path::new("stdout"), &e))
            }
            Self::File(output) => {
                let Some(file) = &mut output.file else { return Ok(()) };
                file.write_all(bytes).map_err(|e| SinkError::new(&output.path, &e))?;
                output.offset += bytes.len() as u64;
                Ok(())
            }
        }
    }

    /// An error when the file is not at its place any longer.
    fn check(&self) -> Result<(), SinkError> {
        let Self::File(FileOutput { path, file: Some(file), .. }) = self else { return Ok(()) };
        let failed = |e: io::Error| SinkError::new(path, &e);
        let ours = file.metadata().map_err(failed)?;
        if ours.is_file() && ours.nlink() == 0 {
            return Err(SinkError { path: path.clone(), reason: "was removed meanwhile".to_owned() });
        }
        Ok(())
    }

    /// Begins anew, if that is possible: what went to stdout cannot be taken back.
    fn restart(&mut self) -> Result<(), Failure> {
        match self {
            Self::Stdout(_) => Err(Failure::RangeIgnored),
            Self::File(output) => {
                output.offset = 0;
                output.file = None;
                Ok(())
            }
        }
    }

    /// Takes the name that the server gives.
    fn rename(&mut self, name: &str) -> Result<(), SinkError> {
        let Self::File(output) = self else { return Ok(()) };
        let path = output.path.with_file_name(name);
        if path.symlink_metadata().is_ok() {
            let error =
                io::Error::new(io::ErrorKind::AlreadyExists, "exists already, and -J replaces nothing");
            return Err(SinkError::new(&path, &error));
        }
        output.path = path;
        Ok(())
    }

    /// The open file, if one was opened.
    pub fn file(&self) -> Option<&File> {
        match self {
            Self::Stdout(_) => None,
            Self::File(output) => output.file.as_ref(),
        }
    }
}

/// Like curl's, folders that are made are 0750.
fn create_folders(folder: &Path) -> Result<(), SinkError> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o750).create(folder);
    made.map_err(|e| SinkError::new(folder, &e))
}

/// Why a transfer ended without its content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stop {
    #[error(transparent)]
    Http(#[from] Failure),
    #[error("{0}")]
    Disk(String),
    #[error("interrupted")]
    Signal(i32),
}

impl From<SinkError> for Stop {
    fn from(error: SinkError) -> Self {
        Self::Disk(error.to_string())
    }
}

/// What is known at the end, whether it went well or not.
#[derive(Debug, Default)]
pub struct Report {
    pub exchanges: Vec<crate::http::Exchange>,
    /// Bytes of content received by the last attempt.
    pub received: u64,
    /// Bytes received and not kept, by all attempts.
    pub wasted: u64,
    pub attempts: u32,
    pub connect_time: Option<Duration>,
    pub head_time: Option<Duration>,
    pub total_time: Duration,
    pub peer: Option<std::net::SocketAddr>,
    /// The server's date of the content.
    pub last_modified: Option<String>,
    /// A failed answer's content was saved all the same.
    pub error_saved: Option<u16>,
    /// The condition was not met, or the file was complete already.
    pub nothing_to_do: bool,
}

/// What the caller wants to hear and can say.
pub struct Caller<'a> {
    /// Whether the process shall end: the signal's number.
    pub signalled: &'a dyn Fn() -> Option<i32>,
    /// The head of the final answer is there.
    pub answered: &'a dyn Fn(&[crate::http::Exchange]) -> Result<(), SinkError>,
}

/// Fetches a URL, trying again as the request says.
#[expect(clippy::disallowed_methods, reason = "this loop owns the transfer's clock")]
pub fn run(
    agent: &mut Agent,
    request: &Request,
    output: &mut Output,
    limits: &Limits,
    observer: &mut dyn Observer,
    caller: &Caller,
) -> (Report, Result<(), Stop>) {
    let began = Instant::now();
    let resumed = output.position();
    let mut report = Report::default();
    let mut validator: Option<String> = None;
    loop {
        report.attempts += 1;
        let mut attempt =
            Attempt { request, output, limits, observer, caller, began, resumed, report: &mut report };
        let result = attempt.run(agent, &mut validator);
        report.total_time = began.elapsed();
        let Err(stop) = result else { return (report, Ok(())) };
        if let Some(signal) = (caller.signalled)() {
            return (report, Err(Stop::Signal(signal)));
        }
        let Some(delay) = pause(&request.retry, report.attempts, &stop) else { return (report, Err(stop)) };
        let within = request.retry.within;
        let too_late = within.is_some_and(|within| report.total_time > within) || delay > LONGEST_PAUSE;
        if too_late {
            return (report, Err(stop));
        }
        let left = request.retry.times + 1 - report.attempts;
        observer.note(&format!(
            "{}: {stop}; trying again in {} s ({left} left)",
            request.url,
            delay.as_secs()
        ));
        let until = Instant::now() + delay;
        while Instant::now() < until && (caller.signalled)().is_none() {
            std::thread::sleep(PULSE.min(until.saturating_duration_since(Instant::now())));
        }
        if let Some(signal) = (caller.signalled)() {
            return (report, Err(Stop::Signal(signal)));
        }
    }
}

/// How long to wait before the next attempt; none when there is none.
fn pause(retry: &Retry, attempts: u32, stop: &Stop) -> Option<Duration> {
    let Stop::Http(failure) = stop else { return None };
    let refused = matches!(failure, Failure::Connect { .. });
    let again = failure.is_transient() || retry.all_errors || refused && retry.refused_connections;
    if attempts > retry.times || !again || *failure == Failure::Cancelled {
        return None;
    }
    let back_off = FIRST_PAUSE.saturating_mul(1 << (attempts - 1).min(9)).min(LONGEST_PAUSE);
    let asked = match failure {
        Failure::Status { retry_after, .. } => *retry_after,
        _ => None,
    };
    Some(retry.delay.unwrap_or(back_off).max(asked.unwrap_or_default()))
}

struct Attempt<'a> {
    request: &'a Request,
    output: &'a mut Output,
    limits: &'a Limits,
    observer: &'a mut dyn Observer,
    caller: &'a Caller<'a>,
    began: Instant,
    resumed: u64,
    report: &'a mut Report,
}

impl Attempt<'_> {
    fn run(&mut self, agent: &mut Agent, validator: &mut Option<String>) -> Result<(), Stop> {
        let offset = self.output.position();
        let ask = Ask {
            range: self.request.range.clone().or_else(|| (offset > 0).then(|| format!("bytes={offset}-"))),
            if_range: validator.clone().filter(|_| offset > 0),
            condition: self.request.condition.map(Condition::field),
            time_left: self.limits.time,
        };
        let answer = agent.ask(&self.request.url, &ask)?;
        self.report.exchanges.clone_from(&answer.exchanges);
        self.report.connect_time = answer.connect_time.or(self.report.connect_time);
        self.report.head_time = Some(answer.head_time);
        self.report.peer = answer.peer.or(self.report.peer);
        self.report.last_modified.clone_from(&answer.head.last_modified);
        self.report.received = 0;
        validator.clone_from(&answer.head.validator);
        (self.caller.answered)(&answer.exchanges)?;
        let status = answer.head.status;
        let unmet = self.request.condition.is_some_and(|c| !c.met(answer.head.last_modified.as_deref()));
        if status == 304 || status == 412 && self.request.condition.is_some() || status < 300 && unmet {
            self.report.nothing_to_do = true;
            return Ok(());
        }
        if status == 416 && offset > 0 && self.request.range.is_none() {
            return self.beyond_the_end(offset, &answer);
        }
        if status >= 400 {
            return self.error(offset, answer);
        }
        self.place(offset, &answer)?;
        self.receive(answer.content, answer.head.content_length)
    }

    /// 416 to a request for what is missing: the file is complete, or is something else.
    fn beyond_the_end(&mut self, offset: u64, answer: &Answer) -> Result<(), Stop> {
        let complete_length = answer.head.content_range.flatten().and_then(ContentRange::complete_length);
        if complete_length.is_none_or(|length| length == offset) {
            self.report.nothing_to_do = true;
            return Ok(());
        }
        if self.request.error_status == ErrorStatus::Fail {
            return Err(Failure::Status { code: 416, retry_after: None }.into());
        }
        Err(Failure::RangeNotSatisfiable { complete_length }.into())
    }

    fn error(&mut self, offset: u64, answer: Answer) -> Result<(), Stop> {
        let failure = Failure::Status { code: answer.head.status, retry_after: answer.head.retry_after };
        // A page that explains an error never goes behind the bytes of a file; nor is one saved that is
        // followed by another attempt.
        let again = pause(&self.request.retry, self.report.attempts, &Stop::Http(failure.clone())).is_some();
        if self.request.error_status == ErrorStatus::Fail || offset > 0 || again {
            return Err(failure.into());
        }
        self.report.error_saved = Some(answer.head.status);
        self.receive(answer.content, answer.head.content_length)?;
        if self.request.error_status == ErrorStatus::FailWithBody {
            return Err(failure.into());
        }
        Ok(())
    }

    /// Checks that the content belongs where it will go.
    fn place(&mut self, offset: u64, answer: &Answer) -> Result<(), Stop> {
        if let (Some(limit), Some(length)) = (self.request.largest, answer.head.content_length)
            && length.saturating_add(if answer.head.status == 206 { offset } else { 0 }) > limit
        {
            return Err(Failure::TooLarge { limit }.into());
        }
        if let Some(encoding) = answer.head.content_encoding.as_ref().filter(|_| self.request.refuse_encoded)
        {
            return Err(Failure::ContentEncoding(encoding.clone()).into());
        }
        if let Some(name) = answer.head.file_name.as_ref().filter(|_| self.request.named_by_server) {
            self.output.rename(name)?;
        }
        if offset == 0 || self.request.range.is_some() {
            return Ok(());
        }
        match (answer.head.status, answer.head.content_range) {
            (206, Some(Some(ContentRange::Satisfied { first_pos, .. }))) if first_pos == offset => Ok(()),
            (206, _) => Err(Failure::RangeMismatch.into()),
            _ => {
                // The server does not send ranges, or the file has changed: from the beginning.
                self.output.restart()?;
                self.resumed = 0;
                self.report.wasted += offset;
                Ok(())
            }
        }
    }

    fn receive(&mut self, mut content: Content, length: Option<u64>) -> Result<(), Stop> {
        let size = length.map(|length| length.saturating_add(self.output.position()));
        let mut buffer = vec![0; BUFFER];
        let mut meter = Meter::default();
        meter.begin(self.began.elapsed());
        let mut slow_since = self.began.elapsed();
        let mut told = Duration::ZERO;
        loop {
            let step = self.limits.limiter.step(BUFFER);
            let n = content.read(&mut buffer[..step])?;
            if n == 0 {
                break;
            }
            self.limits.limiter.spend(n);
            self.report.received += n as u64;
            let room =
                self.request.largest.map_or(u64::MAX, |limit| limit.saturating_sub(self.output.position()));
            let fits = usize::try_from(room).map_or(n, |room| room.min(n));
            self.output.write(&buffer[..fits])?;
            if let Some(limit) = self.request.largest.filter(|_| fits < n) {
                return Err(Failure::TooLarge { limit }.into());
            }
            let now = self.began.elapsed();
            meter.add(now, n as u64);
            if let Some((speed, time)) = self.limits.speed {
                if meter.rate(now).is_none_or(|rate| rate >= speed as f64) {
                    slow_since = now;
                } else if now.saturating_sub(slow_since) >= time {
                    return Err(Failure::TooSlow { speed, time }.into());
                }
                content.set_slow_for(now.saturating_sub(slow_since));
            }
            if now.saturating_sub(told) >= Duration::from_millis(100) {
                told = now;
                self.tell(now, size, meter.rate(now));
            }
        }
        if let Some(failure) = content.was_cut().filter(|_| length.is_none()) {
            return Err(failure.into());
        }
        self.output.begin()?;
        self.output.check()?;
        Ok(())
    }

    fn tell(&mut self, now: Duration, size: Option<u64>, rate: Option<f64>) {
        let snapshot = Snapshot {
            have: self.resumed + self.report.received,
            resumed: self.resumed,
            size,
            elapsed: now,
            stage: Stage::Receiving,
            rates: rate.map(|rate| (0, rate)).into_iter().collect(),
            files: None,
        };
        self.observer.progress(self.began + now, &snapshot);
    }
}
