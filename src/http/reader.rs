//! Reads heads and the chunked coding itself, in front of the HTTP library.
//!
//! The library refuses heads that curl reads. It is shown a head of ours instead, which has nothing in it but the
//! framing, and chunks of ours. So there is one reader of what a server sends, and no second one that could read it
//! differently.

use ureq::Error;
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};

use std::sync::Arc;

use super::Failure;
use super::answer_head::{AnswerHead, Framing, HeadReader};
use super::chunks::Chunks;
use super::wire::WireLog;

/// The most that is kept of interim answers, in bytes: a server may send them for ever.
const MOST_INTERIM: usize = 300 * 1024;

/// Puts a [`Reader`] around whatever connection there is.
#[derive(Debug)]
pub(super) struct ReadsHeads {
    pub(super) log: Arc<WireLog>,
}

impl<T: Transport> Connector<T> for ReadsHeads {
    type Out = Reader<T>;

    fn connect(&self, _: &ConnectionDetails, chained: Option<T>) -> Result<Option<Reader<T>>, Error> {
        let log = self.log.clone();
        Ok(chained.map(|inner| Reader { inner, log, ours: Ours::default(), stage: Stage::Request }))
    }
}

/// A connection on which the library sees heads and chunks of ours.
pub(super) struct Reader<T> {
    inner: T,
    log: Arc<WireLog>,
    /// What the library reads next, unless it reads the connection's own buffer.
    ours: Ours,
    stage: Stage,
}

enum Stage {
    /// A request is sent, or nothing is going on.
    Request,
    Head {
        reader: HeadReader,
        interim: Vec<u8>,
    },
    /// What comes is the content, as it is.
    Content,
    Chunks(Chunks),
}

impl<T: Transport> Reader<T> {
    /// Waits until a head is complete. False when the connection ends before it is.
    fn read_head(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let Stage::Head { reader, interim } = &mut self.stage else { return Ok(false) };
        loop {
            let (taken, head) = reader.take(self.inner.buffers().input()).map_err(|f| noted(&self.log, f))?;
            self.inner.buffers().input_consume(taken);
            match head {
                Some(head) if head.is_interim() => {
                    let room = MOST_INTERIM.saturating_sub(interim.len());
                    interim.extend_from_slice(&head.raw[..head.raw.len().min(room)]);
                }
                Some(mut head) => {
                    head.raw.splice(0..0, std::mem::take(interim));
                    self.ours.bytes.extend_from_slice(as_the_library_wants_it(&head).as_bytes());
                    self.stage = match head.framing {
                        Framing::Chunked => Stage::Chunks(Chunks::default()),
                        _ => Stage::Content,
                    };
                    self.log.answered(head);
                    return Ok(true);
                }
                None if !self.inner.await_input(timeout)? => return Ok(false),
                None => {}
            }
        }
    }

    /// Waits for bytes of chunks. False when the connection ends.
    fn read_chunks(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let Stage::Chunks(chunks) = &mut self.stage else { return Ok(false) };
        loop {
            let taken = chunks.take(self.inner.buffers().input(), &mut self.ours.bytes);
            self.inner.buffers().input_consume(taken);
            if !self.ours.is_read() {
                return Ok(true);
            }
            if let Some(fault) = chunks.fault() {
                return Err(noted(&self.log, Failure::BadChunks(fault.to_owned())));
            }
            if !self.inner.await_input(timeout)? {
                return Ok(false);
            }
        }
    }

    /// Whether the library shall read what is ours.
    fn reads_ours(&self) -> bool {
        match &self.stage {
            Stage::Request => false,
            Stage::Head { .. } => true,
            Stage::Content => !self.ours.is_read(),
            Stage::Chunks(chunks) => !(chunks.has_ended() && self.ours.is_read()),
        }
    }
}

impl<T: Transport> Transport for Reader<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        if self.reads_ours() { &mut self.ours } else { self.inner.buffers() }
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.stage = Stage::Request;
        self.inner.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        if matches!(self.stage, Stage::Request) {
            self.stage = Stage::Head { reader: HeadReader::default(), interim: Vec::new() };
        }
        match self.stage {
            Stage::Head { .. } => self.read_head(timeout),
            Stage::Chunks(_) => self.read_chunks(timeout),
            Stage::Request | Stage::Content => self.inner.await_input(timeout),
        }
    }

    /// Bytes behind the answer that nobody asked for make it unfit for another request.
    fn is_open(&mut self) -> bool {
        self.ours.is_read() && self.inner.buffers().input().is_empty() && self.inner.is_open()
    }

    fn is_tls(&self) -> bool {
        self.inner.is_tls()
    }
}

/// Notes why it fails: the library's errors carry too little.
fn noted(log: &WireLog, failure: Failure) -> Error {
    log.fail(failure);
    Error::ConnectionFailed
}

/// The framing alone. Which status there was is told by the log: to the library there is content or none.
fn as_the_library_wants_it(head: &AnswerHead) -> String {
    let status = if head.framing == Framing::Nothing { "204 No Content" } else { "200 OK" };
    let framing = match head.framing {
        Framing::Length(length) => format!("content-length: {length}\r\n"),
        Framing::Chunked => "transfer-encoding: chunked\r\n".to_owned(),
        Framing::Nothing | Framing::UntilClose => String::new(),
    };
    let close = if head.keeps_connection { "" } else { "connection: close\r\n" };
    format!("HTTP/1.1 {status}\r\n{framing}{close}\r\n")
}

/// Bytes that the library reads instead of those that came.
#[derive(Default)]
struct Ours {
    bytes: Vec<u8>,
    read: usize,
}

impl Ours {
    fn is_read(&self) -> bool {
        self.read == self.bytes.len()
    }
}

impl Buffers for Ours {
    /// Nothing is sent while an answer is read.
    fn output(&mut self) -> &mut [u8] {
        &mut []
    }

    fn input(&self) -> &[u8] {
        &self.bytes[self.read..]
    }

    /// Only the [`Reader`] puts bytes here.
    fn input_append_buf(&mut self) -> &mut [u8] {
        &mut []
    }

    fn input_appended(&mut self, _: usize) {}

    fn input_consume(&mut self, amount: usize) {
        self.read += amount;
        if self.is_read() {
            self.bytes.clear();
            self.read = 0;
        }
    }

    fn tmp_and_output(&mut self) -> (&mut [u8], &mut [u8]) {
        (&mut [], &mut [])
    }

    /// What is here is complete.
    fn can_use_input(&self) -> bool {
        !self.is_read()
    }
}

impl<T: std::fmt::Debug> std::fmt::Debug for Reader<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("inner", &self.inner).finish_non_exhaustive()
    }
}
