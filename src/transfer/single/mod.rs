//! A transfer from one URL without digests: what curl does, in one thread.

mod output;

use std::time::{Duration, Instant};

use super::engine::{Limits, Observer, Snapshot, Stage};
use super::meter::Meter;
use super::sink::SinkError;
use crate::http::{Agent, Answer, Ask, Content, ContentRange, Extent, Failure, Head, Url};
use crate::patience::{FIRST_PAUSE, LONGEST_PAUSE, PULSE};
pub use output::{FileOutput, LOOKED_AT, Output, Stdout};

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
    let mut known = Known::default();
    loop {
        report.attempts += 1;
        let mut attempt =
            Attempt { request, output, limits, observer, caller, began, resumed, report: &mut report };
        let result = attempt.run(agent, &mut known);
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
    let refused = matches!(failure.cause(), Failure::Connect { .. });
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

/// What answers have told so far.
#[derive(Debug, Default)]
struct Known {
    /// For `If-Range`.
    validator: Option<String>,
    /// Position in the file of the next byte that is wanted, when an answer has told where its content lies.
    next: Option<u64>,
}

/// Where the content of an answer lies in the file.
#[derive(Clone, Copy, Debug, Default)]
struct Lies {
    /// Bytes at its beginning that are there already.
    skip: u64,
    /// Position of the first byte that is wanted of it, when the answer says so.
    first: Option<u64>,
    /// The content is a part that ends here.
    end: Option<u64>,
    /// The content is a part, and what is wanted ends here; `u64::MAX` where that is not known.
    until: Option<u64>,
}

/// Answers in a row that bring less than [`PROGRESS`], after which a file that comes in parts is given up.
const MOST_SMALL_PARTS: u32 = 16;
/// Progress worth naming, in bytes.
const PROGRESS: u64 = 64 * 1024;

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
    /// Asks until the file is complete: an answer that says that it is a part is followed by a request for the rest.
    fn run(&mut self, agent: &mut Agent, known: &mut Known) -> Result<(), Stop> {
        self.report.received = 0;
        let mut small = 0;
        let mut asked_on = false;
        loop {
            let before = self.report.received;
            if !self.ask(agent, known, asked_on)? {
                return Ok(());
            }
            let came = self.report.received - before;
            small = if came < PROGRESS { small + 1 } else { 0 };
            if came == 0 || small == MOST_SMALL_PARTS {
                return Err(Failure::Truncated.into());
            }
            asked_on = true;
        }
    }

    /// One request. True when the answer was a part and the rest is to be asked for.
    fn ask(&mut self, agent: &mut Agent, known: &mut Known, asked_on: bool) -> Result<bool, Stop> {
        let offset = self.output.position();
        let ask = Ask {
            range: self.range(known.next, offset),
            if_range: known.validator.clone().filter(|_| known.next.unwrap_or(offset) > 0),
            condition: self.request.condition.filter(|_| !asked_on).map(Condition::field),
            anew: false,
            time_left: self.limits.time,
        };
        let answer = agent.ask(&self.request.url, &ask)?;
        self.report.exchanges.clone_from(&answer.exchanges);
        self.report.connect_time = answer.connect_time.or(self.report.connect_time);
        self.report.head_time = Some(answer.head_time);
        self.report.peer = answer.peer.or(self.report.peer);
        self.report.last_modified.clone_from(&answer.head.last_modified);
        known.validator.clone_from(&answer.head.validator);
        (self.caller.answered)(&answer.exchanges)?;
        let status = answer.head.status;
        if asked_on && status >= 400 {
            return self.no_further_part(known.next, &answer.head).map(|()| false);
        }
        let unmet = self.request.condition.is_some_and(|c| !c.met(answer.head.last_modified.as_deref()));
        if status == 304 || status == 412 && self.request.condition.is_some() || status < 300 && unmet {
            self.report.nothing_to_do = true;
            return Ok(false);
        }
        if status == 416 && offset > 0 && self.request.range.is_none() {
            return self.beyond_the_end(offset, &answer).map(|()| false);
        }
        if status >= 400 {
            return self.error(offset, answer).map(|()| false);
        }
        let lies = self.place(known.next, offset, &answer.head)?;
        let received = self.receive(answer.content, answer.head.content_length, lies, known);
        received.map(|()| known.next.zip(lies.until).is_some_and(|(next, until)| next < until))
    }

    /// The value of `Range`.
    fn range(&self, next: Option<u64>, offset: u64) -> Option<String> {
        match (next, &self.request.range) {
            (Some(next), Some(range)) => {
                let last = range
                    .rsplit_once('-')
                    .map_or("", |(first, last)| if first.ends_with('=') { "" } else { last });
                Some(format!("bytes={next}-{last}"))
            }
            (None, Some(range)) => Some(range.clone()),
            (next, None) => {
                Some(next.unwrap_or(offset)).filter(|first| *first > 0).map(|f| format!("bytes={f}-"))
            }
        }
    }

    /// An error in answer to the request for the next part: fine when the file turns out to end here.
    fn no_further_part(&self, next: Option<u64>, head: &Head) -> Result<(), Stop> {
        let complete_length = head.content_range.flatten().and_then(ContentRange::complete_length);
        if head.status == 416 && complete_length.is_none_or(|length| Some(length) == next) {
            return Ok(());
        }
        let failure = Failure::Status { code: head.status, retry_after: head.retry_after };
        let again = pause(&self.request.retry, self.report.attempts, &Stop::Http(failure.clone())).is_some();
        Err(if again { failure } else { Failure::Truncated }.into())
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
        let everything = Lies::default();
        self.receive(answer.content, answer.head.content_length, everything, &mut Known::default())?;
        if self.request.error_status == ErrorStatus::FailWithBody {
            return Err(failure.into());
        }
        Ok(())
    }

    /// Checks that the content belongs where it will go. `next` is the position that a further part must have.
    fn place(&mut self, next: Option<u64>, offset: u64, head: &Head) -> Result<Lies, Stop> {
        if let (Some(limit), Some(length)) = (self.request.largest, head.content_length)
            && length.saturating_add(if head.status == 206 { offset } else { 0 }) > limit
        {
            return Err(Failure::TooLarge { limit }.into());
        }
        if let Some(encoding) = head.content_encoding.as_ref().filter(|_| self.request.refuse_encoded) {
            return Err(Failure::ContentEncoding(encoding.clone()).into());
        }
        if let Some(name) = head.file_name.as_ref().filter(|_| self.request.named_by_server) {
            self.output.rename(name)?;
        }
        let ranged = self.request.range.as_deref();
        // Where the content must begin; what a server makes of the first `-r` is its own affair.
        let wanted = next.or(ranged.is_none().then_some(offset));
        match head.extent() {
            Extent::Part { range, complete_length } => {
                let first = wanted.unwrap_or(range.first);
                if !range.contains(first) {
                    // Something else was asked for, or nothing was said of ranges at all.
                    return Err(if offset > 0 && next.is_none() {
                        Failure::RangeMismatch
                    } else {
                        Failure::Truncated
                    }
                    .into());
                }
                let skip = first - range.first;
                if skip > 0 && head.content_length != Some(range.len()) {
                    return Err(Failure::RangeMismatch.into());
                }
                let Some(until) = wanted_end(ranged, complete_length) else { return Ok(Lies::default()) };
                Ok(Lies { skip, first: Some(first), end: Some(range.end.min(until)), until: Some(until) })
            }
            Extent::Unplaced if wanted.is_some_and(|first| first > 0) => Err(Failure::RangeMismatch.into()),
            Extent::Unplaced => {
                Ok(Lies { first: wanted, until: wanted.map(|_| u64::MAX), ..Lies::default() })
            }
            Extent::Whole => {
                if wanted.is_some_and(|first| first > 0) {
                    // The server does not send ranges, or the file has changed: from the beginning.
                    self.output.restart()?;
                    self.resumed = 0;
                    self.report.received = 0;
                    self.report.wasted += offset;
                }
                Ok(Lies { first: Some(0), ..Lies::default() })
            }
        }
    }

    /// Reads the content and writes what is wanted of it.
    fn receive(
        &mut self,
        mut content: Content,
        length: Option<u64>,
        lies: Lies,
        known: &mut Known,
    ) -> Result<(), Stop> {
        let size =
            length.map(|length| length.saturating_add(self.output.position()).saturating_sub(lies.skip));
        // Of the content: bytes that are to be read over, and bytes up to its end when only its range says so.
        let mut skip = lies.skip;
        let mut left = lies.end.zip(lies.first).map(|(end, first)| end - first + skip);
        known.next = lies.first;
        let mut buffer = vec![0; BUFFER];
        let mut meter = Meter::default();
        meter.begin(self.began.elapsed());
        let mut slow_since = self.began.elapsed();
        let mut told = Duration::ZERO;
        loop {
            let step = self.limits.limiter.step(BUFFER).min(left.map_or(BUFFER, capped));
            if step == 0 {
                content.drain();
                break;
            }
            let n = content.read(&mut buffer[..step])?;
            if n == 0 {
                let cut = content.was_cut().filter(|_| length.is_none());
                if let Some(failure) = cut.or(left.map(|_| Failure::Truncated).filter(|_| length.is_none())) {
                    return Err(failure.into());
                }
                break;
            }
            self.limits.limiter.spend(n);
            left = left.map(|left| left - n as u64);
            let over = capped(skip).min(n);
            if !self.output.holds(skip, &buffer[..over])? {
                return Err(Failure::RangeMismatch.into());
            }
            skip -= over as u64;
            let n = n - over;
            let bytes = &buffer[over..over + n];
            self.report.received += n as u64;
            known.next = known.next.map(|next| next + n as u64);
            let room =
                self.request.largest.map_or(u64::MAX, |limit| limit.saturating_sub(self.output.position()));
            let fits = usize::try_from(room).map_or(n, |room| room.min(n));
            self.output.write(&bytes[..fits])?;
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

/// Where what is wanted of a file ends, when `range` was asked for; `u64::MAX` where that is not known. None when the
/// request was for several ranges, or makes no sense.
fn wanted_end(range: Option<&str>, complete_length: Option<u64>) -> Option<u64> {
    let end = complete_length.unwrap_or(u64::MAX);
    let Some(range) = range else { return Some(end) };
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    if first.is_empty() || last.is_empty() {
        return Some(end);
    }
    let last: u64 = last.parse().ok()?;
    Some(last.saturating_add(1).min(end))
}

/// As many bytes as memory can hold.
fn capped(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}
