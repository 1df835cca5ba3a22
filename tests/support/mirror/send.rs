//! Puts an answer on the wire.

use std::io::{self, Write};
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::super::server::{Life, Pacer};
use super::request::Request;
use super::rule::{Fault, Framing, Reply};

/// How a connection goes on after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    KeepAlive,
    Close,
    Reset,
    /// Open and mute until the client goes away.
    Stall,
}

/// The most that is written at once.
const STEP: usize = 64 << 10;

/// What the answers of one mirror have in common.
#[derive(Default)]
pub(super) struct Outlet {
    /// Bytes of bodies that were written to sockets.
    pub sent: AtomicU64,
    /// All connections together.
    pub pacer: Mutex<Option<Pacer>>,
}

impl Outlet {
    pub(super) fn send(
        &self,
        reply: &Reply,
        request: &Request,
        client: &mut impl Write,
        life: &Life,
    ) -> io::Result<After> {
        if !reply.delay.is_zero() && !life.pause(reply.delay) {
            return Ok(After::Close);
        }
        let (status, part) = reply.part_for(request);
        let head = reply.head(status, &part);
        match reply.head_pace {
            None => client.write_all(head.as_bytes())?,
            Some(pace) => {
                for byte in head.as_bytes() {
                    client.write_all(&[*byte])?;
                    client.flush()?;
                    if !life.pause(pace) {
                        return Ok(After::Close);
                    }
                }
            }
        }
        send_header_bomb(reply.header_bomb, client)?;
        client.write_all(b"\r\n")?;
        client.flush()?;
        if request.method == "HEAD" || matches!(status, 204 | 304) {
            return Ok(if reply.close { After::Close } else { After::KeepAlive });
        }
        self.send_body(reply, &reply.content[part], client, life)
    }

    fn send_body(
        &self,
        reply: &Reply,
        content: &[u8],
        client: &mut impl Write,
        life: &Life,
    ) -> io::Result<After> {
        let chunked =
            matches!(reply.framing, Framing::Chunked | Framing::UnfinishedChunks | Framing::GarbledChunks);
        let total = if reply.endless { u64::MAX } else { content.len() as u64 };
        let mut left = reply.fault.map_or(total, |(after, _)| total.min(after));
        let mut pacer = reply.rate.map(Pacer::new);
        // Small enough steps that a rate shows as a trickle and not as gulps.
        let step = reply.rate.map_or(STEP, |rate| usize::try_from(rate / 20).unwrap_or(STEP).clamp(1, STEP));

        let mut rest = content;
        while left > 0 && !content.is_empty() {
            let size = rest.len().min(step).min(usize::try_from(left).unwrap_or(step));
            if !self.wait_for_turn(pacer.as_mut(), size, life) {
                return Ok(After::Close);
            }
            if chunked {
                write!(client, "{size:x}\r\n")?;
                client.write_all(&rest[..size])?;
                client.write_all(b"\r\n")?;
            } else {
                client.write_all(&rest[..size])?;
            }
            client.flush()?;
            self.sent.fetch_add(size as u64, Ordering::Relaxed);
            left -= size as u64;
            rest = if rest.len() == size { content } else { &rest[size..] };
        }
        if let Some((_, fault)) = reply.fault {
            return Ok(fault.into());
        }
        match reply.framing {
            Framing::Chunked => client.write_all(b"0\r\n\r\n")?,
            Framing::GarbledChunks => client.write_all(b"this is no chunk size\r\n")?,
            _ => {}
        }
        client.flush()?;
        let keep = !reply.close && matches!(reply.framing, Framing::Length | Framing::Chunked);
        Ok(if keep { After::KeepAlive } else { After::Close })
    }

    /// Waits until `size` bytes may go out; false when the mirror ended meanwhile.
    fn wait_for_turn(&self, pacer: Option<&mut Pacer>, size: usize, life: &Life) -> bool {
        #[expect(clippy::disallowed_methods, reason = "the outlet is where bytes meet the clock")]
        let now = Instant::now();
        let own = pacer.map_or(Duration::ZERO, |pacer| pacer.reserve(now, size));
        let common = {
            // Not held while this one waits: the others would get their turns by luck.
            let mut pacer = self.pacer.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            pacer.as_mut().map_or(Duration::ZERO, |pacer| pacer.reserve(now, size))
        };
        let wait = own.max(common);
        wait.is_zero() || life.pause(wait)
    }
}

impl Reply {
    /// The status and the part of the content that the request calls for (RFC 9110, section 14.2).
    fn part_for(&self, request: &Request) -> (u16, Range<usize>) {
        let len = self.content.len();
        let whole = 0..len;
        if let Some(status) = self.status {
            return (status, whole);
        }
        if let Some(status) = self.range_status.filter(|_| request.field("Range").is_some()) {
            return (status, 0..0);
        }
        let Some(range) = request.field("Range").filter(|_| self.ranges) else { return (200, whole) };
        let current = [self.etag.as_deref(), self.last_modified.as_deref()];
        if request.field("If-Range").is_some_and(|validator| !current.contains(&Some(validator))) {
            return (200, whole);
        }
        match Selection::of(range, len) {
            Selection::Everything => (200, whole),
            Selection::Nothing => (416, 0..0),
            Selection::Part(part) => (206, part),
        }
    }

    /// Status line and fields, without the empty line that ends them.
    fn head(&self, status: u16, part: &Range<usize>) -> String {
        let interim = self.interim.iter().map(|line| format!("{} {line}\r\n\r\n", self.version));
        let status_line = format!("{} {status} {}\r\n", self.version, reason(status));
        let fields = self.head_fields(status, part).into_iter();
        interim
            .chain([status_line])
            .chain(fields.map(|(name, value)| format!("{name}: {value}\r\n")))
            .collect()
    }

    fn head_fields(&self, status: u16, part: &Range<usize>) -> Vec<(String, String)> {
        let mut fields = Vec::new();
        let mut add = |name: &str, value: &str| fields.push((name.to_owned(), value.to_owned()));
        if let Some(etag) = &self.etag {
            add("ETag", etag);
        }
        if let Some(date) = &self.last_modified {
            add("Last-Modified", date);
        }
        if self.ranges {
            add("Accept-Ranges", "bytes");
        }
        let total = self.content.len();
        match (&self.content_range, status) {
            (Some(value), _) => add("Content-Range", value),
            (None, 206) if self.status.is_none() && !part.is_empty() => {
                add("Content-Range", &format!("bytes {}-{}/{total}", part.start, part.end - 1));
            }
            (None, 416) if self.status.is_none() => add("Content-Range", &format!("bytes */{total}")),
            _ => {}
        }
        match &self.framing {
            Framing::Length if matches!(status, 204 | 304) => {}
            Framing::Length => add("Content-Length", &part.len().to_string()),
            Framing::Declared(values) => {
                for value in values {
                    add("Content-Length", value);
                }
            }
            Framing::Chunked | Framing::UnfinishedChunks | Framing::GarbledChunks => {
                add("Transfer-Encoding", "chunked");
            }
            Framing::UntilClose => {}
        }
        if self.close || self.framing == Framing::UntilClose {
            add("Connection", "close");
        }
        fields.extend(self.fields.iter().cloned());
        fields
    }
}

impl From<Fault> for After {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Close => Self::Close,
            Fault::Reset => Self::Reset,
            Fault::Stall => Self::Stall,
        }
    }
}

/// What a Range field selects.
#[derive(Debug, PartialEq, Eq)]
enum Selection {
    Part(Range<usize>),
    /// The range begins after the end: 416.
    Nothing,
    /// A server may ignore it: another unit, several ranges, bad syntax.
    Everything,
}

impl Selection {
    fn of(range: &str, len: usize) -> Self {
        let part = match range.strip_prefix("bytes=").and_then(|range| range.split_once('-')) {
            Some(("", suffix)) => suffix.parse().map(|suffix: usize| len.saturating_sub(suffix)..len),
            Some((first, "")) => first.parse().map(|first| first..len),
            Some((first, last)) => first.parse().and_then(|first| {
                let last: usize = last.parse()?;
                Ok(first..len.min(last.saturating_add(1)))
            }),
            None => return Self::Everything,
        };
        match part {
            Err(_) => Self::Everything,
            Ok(part) if part.is_empty() => Self::Nothing,
            Ok(part) => Self::Part(part),
        }
    }
}

fn send_header_bomb(bytes: u64, client: &mut impl Write) -> io::Result<()> {
    let field = format!("X-Filler: {}\r\n", "x".repeat(1000));
    let mut left = bytes;
    while left > 0 {
        client.write_all(field.as_bytes())?;
        left = left.saturating_sub(field.len() as u64);
    }
    Ok(())
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        304 => "Not Modified",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        416 => "Range Not Satisfiable",
        429 => "Too Many Requests",
        503 => "Service Unavailable",
        _ => "Status",
    }
}

#[test]
fn selections_as_rfc_9110_has_them() {
    for (range, expected) in [
        ("bytes=0-", Selection::Part(0..10)),
        ("bytes=3-5", Selection::Part(3..6)),
        ("bytes=3-99", Selection::Part(3..10)),
        ("bytes=-4", Selection::Part(6..10)),
        ("bytes=-40", Selection::Part(0..10)),
        ("bytes=10-", Selection::Nothing),
        ("bytes=-0", Selection::Nothing),
        ("bytes=0-1,3-4", Selection::Everything),
        ("lines=0-1", Selection::Everything),
    ] {
        assert_eq!(Selection::of(range, 10), expected, "{range}");
    }
}
