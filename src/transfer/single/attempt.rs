//! One attempt at a transfer: the requests for its file, one after another, and where their content goes.

use std::time::{Duration, Instant};

use super::retry::Tries;
use super::{Caller, Condition, ErrorStatus, Output, Report, Request, Stop};
use crate::http::failure::Passing;
use crate::http::{Agent, Answer, Ask, Content, ContentRange, Extent, Failure, Head, Url};
use crate::transfer::engine::{Limits, Observer, Snapshot, Stage};
use crate::transfer::meter::Meter;
use crate::transfer::scheduler::PROGRESS;

/// What is read at once, in bytes.
const BUFFER: usize = 128 * 1024;
/// A file that comes in parts is given up after so many answers in a row that bring less than [`PROGRESS`].
const MOST_SMALL_PARTS: u32 = 16;
/// After so many requests for the rest that bring nothing, the whole file is asked for.
const MOST_RANGES_IN_VAIN: u32 = 2;

/// What answers have told so far.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// For `If-Range`.
    validator: Option<String>,
    /// Who has sent the content last.
    from: Option<Url>,
    /// The size of the file, in bytes.
    size: Option<u64>,
    /// Position in the file of the next byte that is wanted, when an answer has told where its content lies.
    next: Option<u64>,
    /// What the last request asked for.
    asked: Asked,
    rest: Rest,
    /// Requests for the rest of the file that brought nothing.
    in_vain: u32,
    /// The server says that nothing lies behind the position (416), and not how long the file is.
    ends_here: bool,
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Asked {
    /// All of the file, or the user's range.
    #[default]
    AsTold,
    /// What is not there yet.
    Rest,
    /// The same, and the answer brings all of the file.
    RestAndGotAll,
}

/// How the rest of a file can be had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Rest {
    /// By asking for it.
    #[default]
    ByRange,
    /// So, and in no other way: the server sends parts although all was asked for.
    InSlices,
    /// Not by itself: only all of the file is asked for.
    WithAll,
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

pub(super) struct Attempt<'a> {
    pub(super) request: &'a Request,
    pub(super) output: &'a mut Output,
    pub(super) limits: &'a Limits,
    pub(super) observer: &'a mut dyn Observer,
    pub(super) caller: &'a Caller<'a>,
    pub(super) began: Instant,
    /// When that began which the time limit is for.
    pub(super) since: Instant,
    /// What was there of the file before this attempt, in bytes.
    pub(super) filled: u64,
    /// What was tried before. This attempt is counted, but not whether it brings something.
    pub(super) tries: Tries,
    pub(super) report: &'a mut Report,
}

impl Attempt<'_> {
    pub(super) fn run(mut self, agent: &mut Agent, known: &mut Known) -> (Result<(), Stop>, Tries) {
        let result = self.fetch(agent, known).map_err(|stop| match (stop, self.limits.time) {
            // A later request has only what is left of the time.
            (Stop::Http(Failure::TimeUp(_)), Some(time)) => Failure::TimeUp(time).into(),
            (stop, _) => stop,
        });
        (result, self.tried())
    }

    /// Asks until the file is complete: an answer that says that it is a part is followed by a request for the rest,
    /// and a request for the rest that is not answered well by one for all of the file.
    fn fetch(&mut self, agent: &mut Agent, known: &mut Known) -> Result<(), Stop> {
        self.report.received = 0;
        if self.request.range.is_none() {
            known.next = None;
        }
        let mut small = 0;
        let mut asked_on = false;
        loop {
            let before = self.report.received;
            let there = self.output.furthest();
            let part = match self.ask(agent, known, asked_on) {
                Err(Stop::Http(failure)) if self.asks_plainly(known, &failure, there) => {
                    let note = format!("{}: {failure}; asking for all of the file", self.request.url);
                    self.observer.note(&note);
                    self.output.keep();
                    known.rest = Rest::WithAll;
                    known.next = None;
                    (small, asked_on) = (0, false);
                    continue;
                }
                other => other?,
            };
            if !part {
                return Ok(());
            }
            let came = self.report.received - before;
            small = if came < PROGRESS { small + 1 } else { 0 };
            if came == 0 || small == MOST_SMALL_PARTS {
                return Err(Failure::OnlyAPart.into());
            }
            asked_on = true;
        }
    }

    /// Whether all of the file is asked for, after a request for what lies behind the first `there` bytes failed.
    fn asks_plainly(&self, known: &mut Known, failure: &Failure, there: u64) -> bool {
        let in_vain = match known.asked {
            Asked::AsTold => false,
            Asked::Rest => self.output.furthest() <= there,
            // What only breaks off has nothing to do with the range.
            Asked::RestAndGotAll => failure.passing().is_none(),
        };
        if !in_vain || !failure.may_be_due_to_range() || !self.may_ask_plainly(known) {
            return false;
        }
        known.in_vain += 1;
        known.in_vain >= MOST_RANGES_IN_VAIN || self.pause(failure).is_none()
    }

    /// Whether it is of use to ask for all of the file, and what is there can be replaced.
    fn may_ask_plainly(&self, known: &Known) -> bool {
        known.rest == Rest::ByRange && self.output.can_restart()
    }

    /// What was tried, this attempt included.
    fn tried(&self) -> Tries {
        let came = self.output.furthest().saturating_sub(self.filled);
        let fruitless = if came < PROGRESS { self.tries.fruitless + 1 } else { 0 };
        Tries { fruitless, elapsed: self.began.elapsed(), ..self.tries }
    }

    /// How long to wait before another attempt if this one ends so; none when there is to be no other.
    fn pause(&self, failure: &Failure) -> Option<Duration> {
        self.request.retry.pause(self.tried(), failure)
    }

    /// One request. True when the answer was a part and the rest is to be asked for.
    fn ask(&mut self, agent: &mut Agent, known: &mut Known, asked_on: bool) -> Result<bool, Stop> {
        let offset = self.output.position();
        let range = self.range(known.next, offset).filter(|_| known.rest != Rest::WithAll);
        let for_rest = range.is_some() && self.request.range.is_none();
        known.asked = if for_rest { Asked::Rest } else { Asked::AsTold };
        let ask = Ask {
            if_range: known.validator.clone().filter(|_| range.is_some() && known.next.unwrap_or(offset) > 0),
            range,
            condition: self.request.condition.filter(|_| !asked_on).map(Condition::field),
            anew: false,
            time_left: self.limits.time.map(|time| time.saturating_sub(self.since.elapsed())),
        };
        let answer = agent.ask(&self.request.url, &ask)?;
        self.report.exchanges.clone_from(&answer.exchanges);
        self.report.connect_time = answer.connect_time.or(self.report.connect_time);
        self.report.head_time = Some(answer.head_time);
        self.report.peer = answer.peer.or(self.report.peer);
        self.report.last_modified.clone_from(&answer.head.last_modified);
        (self.caller.answered)(&answer.exchanges)?;
        let status = answer.head.status;
        if asked_on && status >= 400 {
            return self.no_further_part(known.next, &answer.head).map(|()| false);
        }
        let unmet = self.request.condition.is_some_and(|c| !c.met(answer.head.last_modified.as_deref()));
        // 204 says that there is no content, not that a partial file is wrong.
        let no_content = status == 204 && offset > 0 && !for_rest;
        let refused = status == 304 || status == 412 && self.request.condition.is_some();
        if refused || no_content || status < 300 && unmet {
            self.report.nothing_to_do = true;
            return Ok(false);
        }
        if status == 416 && offset > 0 && self.request.range.is_none() {
            return self.beyond_the_end(offset, &answer, known).map(|()| false);
        }
        if status >= 400 {
            return self.error(offset, answer).map(|()| false);
        }
        if known.ends_here
            && known.rest == Rest::WithAll
            && answer.head.content_length == Some(offset)
            && status == 200
        {
            self.report.nothing_to_do = true;
            return Ok(false);
        }
        if for_rest && is_of_another_file(known, &ask, &answer) {
            return Err(Failure::RangeMismatch.into());
        }
        let lies = self.place(known, offset, &answer.head)?;
        match (known.asked, answer.head.extent()) {
            (Asked::Rest, Extent::Whole) => known.asked = Asked::RestAndGotAll,
            (_, Extent::Part { .. } | Extent::Unplaced)
                if ask.range.is_none() && known.rest == Rest::ByRange =>
            {
                known.rest = Rest::InSlices;
            }
            _ => {}
        }
        known.validator.clone_from(&answer.head.validator);
        known.from = Some(answer.url().clone());
        known.size = match answer.head.extent() {
            Extent::Whole => answer.head.content_length,
            Extent::Part { complete_length, .. } => complete_length.or(known.size),
            Extent::Unplaced => known.size,
        };
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

    /// An error in answer to the request for the next part is no failure when the file turns out to end here.
    fn no_further_part(&self, next: Option<u64>, head: &Head) -> Result<(), Stop> {
        let complete_length = head.content_range.flatten().and_then(ContentRange::complete_length);
        if head.status == 416 && complete_length.is_none_or(|length| Some(length) == next) {
            return Ok(());
        }
        let failure = Failure::Status { code: head.status, retry_after: head.retry_after };
        Err(if self.pause(&failure).is_some() { failure } else { Failure::OnlyAPart }.into())
    }

    /// 416 to a request for what is missing: the file is complete, or is something else.
    fn beyond_the_end(&mut self, offset: u64, answer: &Answer, known: &mut Known) -> Result<(), Stop> {
        let complete_length = answer.head.content_range.flatten().and_then(ContentRange::complete_length);
        known.ends_here = complete_length.is_none();
        // With `-C OFFSET` there need be no file.
        let may_be_there = self.output.is_there() || self.request.error_status != ErrorStatus::Fail;
        let is_complete = complete_length == Some(offset) && may_be_there;
        if is_complete || known.ends_here && !self.may_ask_plainly(known) {
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
        // An error page is never written behind the bytes of a file, nor saved when another attempt follows.
        // Without -f only errors that curl calls transient count as errors.
        let is_error =
            self.request.error_status != ErrorStatus::Save || failure.passing() == Some(Passing::Busy);
        let again = is_error && self.pause(&failure).is_some();
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

    /// Checks that the content belongs where it will go.
    fn place(&mut self, known: &Known, offset: u64, head: &Head) -> Result<Lies, Stop> {
        // The position that a further part must have.
        let next = known.next;
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
        // Where the content must begin. How a server understands the first `-r` is left to it.
        let wanted = next.or(ranged.is_none().then_some(offset));
        match head.extent() {
            Extent::Part { range, complete_length } => {
                let first = wanted.unwrap_or(range.first);
                if !range.contains(first) {
                    // Something else was asked for, or nothing was said of ranges at all.
                    return Err(if offset > 0 && next.is_none() {
                        Failure::RangeMismatch
                    } else {
                        Failure::OnlyAPart
                    }
                    .into());
                }
                let skip = first - range.first;
                let contradicts = head.content_length.is_some_and(|length| length != range.len());
                if contradicts && (skip > 0 || known.asked == Asked::Rest) {
                    return Err(Failure::RangeMismatch.into());
                }
                // Of other bytes than `-r` asks for there is no rest.
                let until = wanted_end(ranged, complete_length).filter(|until| *until > first);
                let Some(until) = until else { return Ok(Lies::default()) };
                Ok(Lies { skip, first: Some(first), end: Some(range.end.min(until)), until: Some(until) })
            }
            Extent::Unplaced if wanted.is_some_and(|first| first > 0) => Err(Failure::RangeMismatch.into()),
            Extent::Unplaced => {
                Ok(Lies { first: wanted, until: wanted.map(|_| u64::MAX), ..Lies::default() })
            }
            Extent::Whole => {
                if wanted.is_some_and(|first| first > 0) {
                    // A page that leads elsewhere is no file, and no file has become empty.
                    if matches!(head.status, 204 | 205 | 300..) || head.content_length == Some(0) {
                        return Err(Failure::RangeMismatch.into());
                    }
                    // The server sends no ranges, or the file has changed: begin anew.
                    self.output.restart()?;
                    self.report.resumed = 0;
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
        if lies.first == Some(0) && self.output.position() == 0 && self.output.furthest() > 0 {
            return Err(Failure::RangeMismatch.into());
        }
        self.output.begin()?;
        self.output.check()?;
        Ok(())
    }

    fn tell(&mut self, now: Duration, size: Option<u64>, rate: Option<f64>) {
        let snapshot = Snapshot {
            have: self.output.position(),
            resumed: self.report.resumed,
            size,
            elapsed: now,
            stage: Stage::Receiving,
            rates: rate.map(|rate| (0, rate)).into_iter().collect(),
            files: None,
        };
        self.observer.progress(self.began + now, &snapshot);
    }
}

/// Whether what is sent of a file is not of the one that was begun, although the server did not say so with a 200. What
/// comes from another server than the beginning (a redirect may lead elsewhere now) must prove that it is.
fn is_of_another_file(known: &Known, ask: &Ask, answer: &Answer) -> bool {
    let Extent::Part { complete_length, .. } = answer.head.extent() else { return false };
    let other_size = known.size.zip(complete_length).is_some_and(|(known, told)| known != told);
    let same_server = known.from.as_ref().is_none_or(|from| from.same_origin(answer.url()));
    let other_validator = match (&ask.if_range, &answer.head.validator) {
        (Some(known), Some(told)) => known != told,
        _ => !same_server,
    };
    other_size || other_validator
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
