//! A transfer from one URL without digests: what curl does, in one thread.

mod attempt;
mod output;
mod retry;

use std::time::{Duration, Instant};

use super::engine::{Limits, Observer};
use super::sink::SinkError;
use crate::http::{Agent, Failure, Url, date};
use crate::patience::PULSE;
use attempt::{Attempt, Known};
pub use output::{FileOutput, LOOKED_AT, Output, Stdout};
pub use retry::Retry;
use retry::Tries;

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
    /// Refuse encoded content: `--compressed` promises decoded content, which we do not make.
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
        // As curl: a date that cannot be read is none, and neither is the first second of 1970.
        let Some(modified) = last_modified.and_then(date::parse).filter(|seconds| *seconds != 0) else {
            return true;
        };
        let modified = Duration::from_secs(u64::try_from(modified).unwrap_or(0));
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
    /// Bytes that were there before, when the content goes on behind them.
    pub resumed: u64,
    /// Bytes that all attempts together brought to their place.
    pub brought: u64,
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
    let mut report = Report { resumed: output.position(), ..Report::default() };
    let mut known = Known::default();
    let mut tries = Tries { whole: limits.time, ..Tries::default() };
    // Why the attempt before ended.
    let mut before: Option<Stop> = None;
    loop {
        tries.attempts += 1;
        report.attempts = tries.attempts;
        let filled = output.furthest();
        let attempt = Attempt {
            request,
            output,
            limits,
            observer,
            caller,
            began,
            // By itself all attempts together have the time of one.
            since: if request.retry.is_by_itself() { began } else { Instant::now() },
            filled,
            tries,
            report: &mut report,
        };
        let (result, tried) = attempt.run(agent, &mut known);
        tries = tried;
        report.total_time = began.elapsed();
        report.brought = output.position().saturating_sub(report.resumed);
        let Err(stop) = result else { return (report, Ok(())) };
        output.keep();
        if let Some(signal) = (caller.signalled)() {
            return (report, Err(Stop::Signal(signal)));
        }
        let pause = match &stop {
            Stop::Http(failure) => request.retry.pause(tries, failure),
            Stop::Disk(_) | Stop::Signal(_) => None,
        };
        let Some(pause) = pause else {
            // It cannot go on because of what is gone already: that is not why it failed.
            let stuck = matches!(stop, Stop::Http(Failure::RangeIgnored | Failure::RangeMismatch));
            let cause = before.filter(|_| stuck && !output.can_restart());
            return (report, Err(cause.unwrap_or(stop)));
        };
        observer.note(&format!("{}: {stop}; {}", request.url, again(request, tries, pause)));
        before = Some(stop);
        let until = Instant::now() + pause;
        while Instant::now() < until && (caller.signalled)().is_none() {
            std::thread::sleep(PULSE.min(until.saturating_duration_since(Instant::now())));
        }
        if let Some(signal) = (caller.signalled)() {
            return (report, Err(Stop::Signal(signal)));
        }
    }
}

/// What is said before another attempt.
fn again(request: &Request, tries: Tries, pause: Duration) -> String {
    let left = match request.retry.times {
        Some(times) => format!(" ({} left)", times.saturating_add(1).saturating_sub(tries.attempts)),
        None => String::new(),
    };
    if pause.is_zero() {
        format!("going on{left}")
    } else {
        format!("trying again in {} s{left}", pause.as_secs_f32())
    }
}
