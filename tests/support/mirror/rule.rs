//! What a mirror answers, as data.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::super::content::Content;

/// One entry of a path's queue: an answer and how often it is meant to be given.
///
/// A handle: [`Mirror::on`](super::Mirror::on) has put the rule in the queue already, and the methods change
/// it there.
#[derive(Clone, Debug)]
pub struct Rule(Arc<Mutex<Scripted>>);

#[derive(Clone, Debug)]
pub(super) struct Scripted {
    pub answer: Answer,
    pub at_least: usize,
    pub at_most: usize,
    pub used: usize,
}

/// Everything that can come back on a connection.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    Reply(Box<Reply>),
    /// These bytes, then FIN or RST.
    Raw {
        bytes: Vec<u8>,
        reset: bool,
    },
    /// RST instead of an answer.
    Reset,
    /// Nothing, until the client goes away.
    Silence,
}

/// An HTTP answer: what is in it, how it is framed, how it is sent, and where it breaks.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub version: &'static str,
    /// None: what the request's Range and If-Range call for, out of 200, 206 and 416.
    pub status: Option<u16>,
    pub fields: Vec<(String, String)>,
    pub content: Content,
    pub etag: Option<String>,
    pub last_modified: Option<String>,
    pub ranges: bool,
    /// What is answered to every request with Range instead of the content.
    pub range_status: Option<u16>,
    /// In place of the right one.
    pub content_range: Option<String>,
    pub framing: Framing,
    pub close: bool,
    /// Lines of interim answers (RFC 9110, section 15.2) that come before.
    pub interim: Vec<String>,
    /// Before the first byte of the head.
    pub delay: Duration,
    /// Between the bytes of the head.
    pub head_pace: Option<Duration>,
    /// Bytes of further header fields.
    pub header_bomb: u64,
    /// Bytes a second.
    pub rate: Option<u64>,
    /// The content over and over.
    pub endless: bool,
    /// What happens after so many bytes of the body.
    pub fault: Option<(u64, Fault)>,
}

/// How the end of the body is told (RFC 9112, section 6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Length,
    /// These Content-Length fields, whatever the body.
    Declared(Vec<String>),
    Chunked,
    /// Chunks without the last one, then FIN.
    UnfinishedChunks,
    /// Chunks, then a line that is no chunk size.
    GarbledChunks,
    UntilClose,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Close,
    Reset,
    Stall,
}

/// What every mirror says unless told otherwise; far enough back to be nobody's "now".
pub const LAST_MODIFIED: &str = "Wed, 04 Mar 2026 05:06:07 GMT";

impl Rule {
    /// The content with everything a good mirror does: ranges, validators, keep-alive.
    pub fn serve(content: impl Into<Content>) -> Self {
        let content = content.into();
        let etag = Some(content.etag());
        let last_modified = Some(LAST_MODIFIED.to_owned());
        Self::of(Answer::Reply(Box::new(Reply { content, etag, last_modified, ..Reply::default() })))
    }

    /// A status with a line of text/html for content, as servers send with their errors.
    pub fn status(status: u16) -> Self {
        let content = format!("<html><body><h1>{status}</h1></body></html>\n").into();
        let reply = Reply { status: Some(status), content, ranges: false, ..Reply::default() };
        Self::of(Answer::Reply(Box::new(reply))).field("Content-Type", "text/html")
    }

    /// A redirect; `to` is what the Location field says, absolute or relative.
    pub fn redirect(status: u16, to: &str) -> Self {
        Self::status(status).field("Location", to)
    }

    /// 200 and a page of HTML, whatever was asked for: a captive portal.
    pub fn portal() -> Self {
        Self::status(200).body("<!DOCTYPE html><html><body>Please log in to the network</body></html>\n")
    }

    /// Bytes as they are, then FIN.
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self::of(Answer::Raw { bytes: bytes.into(), reset: false })
    }

    /// FIN instead of an answer.
    pub fn empty_reply() -> Self {
        Self::raw(Vec::new())
    }

    /// RST instead of an answer.
    pub fn reset() -> Self {
        Self::of(Answer::Reset)
    }

    /// Nothing at all, until the client goes away.
    pub fn silence() -> Self {
        Self::of(Answer::Silence)
    }

    /// Exactly `count` requests must want this rule. Without a word about it: one.
    pub fn times(self, count: usize) -> Self {
        self.used_between(count, count)
    }

    /// Up to `count` requests may want this rule.
    pub fn at_most(self, count: usize) -> Self {
        self.used_between(0, count)
    }

    /// Any number of requests, none included.
    pub fn always(self) -> Self {
        self.used_between(0, usize::MAX)
    }

    /// A further header field.
    pub fn field(self, name: &str, value: &str) -> Self {
        self.reply(|reply| reply.fields.push((name.to_owned(), value.to_owned())))
    }

    /// Retry-After (RFC 9110, section 10.2.3).
    pub fn retry_after(self, seconds: u64) -> Self {
        self.field("Retry-After", &seconds.to_string())
    }

    /// Other content for this answer, the validators left as they were: a mirror that serves something else
    /// under the same name.
    pub fn body(self, content: impl Into<Content>) -> Self {
        let content = content.into();
        self.reply(|reply| reply.content = content)
    }

    /// The byte at this offset of the content is wrong.
    pub fn corrupted_at(self, offset: usize) -> Self {
        self.reply(|reply| reply.content = reply.content.corrupted_at(offset))
    }

    pub fn etag(self, etag: &str) -> Self {
        self.reply(|reply| reply.etag = Some(etag.to_owned()))
    }

    pub fn last_modified(self, date: &str) -> Self {
        self.reply(|reply| reply.last_modified = Some(date.to_owned()))
    }

    /// Neither `ETag` nor Last-Modified.
    pub fn no_validators(self) -> Self {
        self.reply(|reply| (reply.etag, reply.last_modified) = (None, None))
    }

    /// Range is not understood: 200 and everything.
    pub fn no_ranges(self) -> Self {
        self.reply(|reply| reply.ranges = false)
    }

    /// A request with Range gets this status, as behind a proxy that does not let ranges through.
    pub fn range_status(self, status: u16) -> Self {
        self.reply(|reply| reply.range_status = Some(status))
    }

    /// A Content-Range that says this instead of the truth.
    pub fn content_range(self, value: &str) -> Self {
        self.reply(|reply| reply.content_range = Some(value.to_owned()))
    }

    /// A Content-Length that says this instead of the truth; called twice there are two.
    pub fn length(self, value: &str) -> Self {
        self.reply(|reply| match &mut reply.framing {
            Framing::Declared(values) => values.push(value.to_owned()),
            framing => *framing = Framing::Declared(vec![value.to_owned()]),
        })
    }

    pub fn chunked(self) -> Self {
        self.framed(Framing::Chunked)
    }

    /// Chunked, and the last chunk never comes.
    pub fn chunked_unfinished(self) -> Self {
        self.framed(Framing::UnfinishedChunks)
    }

    /// Chunked, and in place of the last chunk comes nonsense.
    pub fn chunked_garbled(self) -> Self {
        self.framed(Framing::GarbledChunks)
    }

    /// No Content-Length, no chunks: the body ends with the connection.
    pub fn until_close(self) -> Self {
        self.framed(Framing::UntilClose)
    }

    /// An HTTP/1.0 server: closes after each answer.
    pub fn http10(self) -> Self {
        self.reply(|reply| (reply.version, reply.close) = ("HTTP/1.0", true))
    }

    /// `Connection: close`.
    pub fn close(self) -> Self {
        self.reply(|reply| reply.close = true)
    }

    /// An interim answer before the real one: its status line and fields, as in `100 Continue`.
    pub fn interim(self, line: &str) -> Self {
        self.reply(|reply| reply.interim.push(line.to_owned()))
    }

    /// Waits before the answer.
    pub fn delay(self, time: Duration) -> Self {
        self.reply(|reply| reply.delay = time)
    }

    /// Sends the head a byte at a time, this far apart: slow loris.
    pub fn head_pace(self, time: Duration) -> Self {
        self.reply(|reply| reply.head_pace = Some(time))
    }

    /// So many further header fields.
    pub fn many_fields(self, count: u64) -> Self {
        (0..count).fold(self, |rule, number| rule.field(&format!("X-{number}"), "y"))
    }

    /// Adds header fields of so many bytes.
    pub fn header_bomb(self, bytes: u64) -> Self {
        self.reply(|reply| reply.header_bomb = bytes)
    }

    /// Bytes of the body a second.
    pub fn rate(self, bytes_per_second: u64) -> Self {
        self.reply(|reply| reply.rate = Some(bytes_per_second))
    }

    /// Sends the content again and again, whatever the head said.
    pub fn endless(self) -> Self {
        self.reply(|reply| reply.endless = true)
    }

    /// FIN after so many bytes of the body.
    pub fn close_after(self, bytes: u64) -> Self {
        self.fault(bytes, Fault::Close)
    }

    /// RST after so many bytes of the body.
    pub fn reset_after(self, bytes: u64) -> Self {
        self.fault(bytes, Fault::Reset)
    }

    /// Nothing more after so many bytes of the body, until the client goes away.
    pub fn stall_after(self, bytes: u64) -> Self {
        self.fault(bytes, Fault::Stall)
    }

    /// RST instead of FIN after raw bytes.
    pub fn then_reset(self) -> Self {
        match &mut self.scripted().answer {
            Answer::Raw { reset, .. } => *reset = true,
            other => panic!("{other:?} is not raw; use reset_after"),
        }
        self
    }

    pub(super) fn scripted(&self) -> MutexGuard<'_, Scripted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn of(answer: Answer) -> Self {
        Self(Arc::new(Mutex::new(Scripted { answer, at_least: 1, at_most: 1, used: 0 })))
    }

    fn used_between(self, at_least: usize, at_most: usize) -> Self {
        let mut scripted = self.scripted();
        (scripted.at_least, scripted.at_most) = (at_least, at_most);
        drop(scripted);
        self
    }

    fn framed(self, framing: Framing) -> Self {
        self.reply(|reply| reply.framing = framing)
    }

    fn fault(self, after: u64, fault: Fault) -> Self {
        self.reply(|reply| reply.fault = Some((after, fault)))
    }

    fn reply(self, change: impl FnOnce(&mut Reply)) -> Self {
        match &mut self.scripted().answer {
            Answer::Reply(reply) => change(reply),
            other => panic!("{other:?} is no HTTP answer and has no such property"),
        }
        self
    }
}

impl Default for Reply {
    fn default() -> Self {
        Self {
            version: "HTTP/1.1",
            status: None,
            fields: Vec::new(),
            content: Content::default(),
            etag: None,
            last_modified: None,
            ranges: true,
            range_status: None,
            content_range: None,
            framing: Framing::Length,
            close: false,
            interim: Vec::new(),
            delay: Duration::ZERO,
            head_pace: None,
            header_bomb: 0,
            rate: None,
            endless: false,
            fault: None,
        }
    }
}
