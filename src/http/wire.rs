//! A TCP connection as the HTTP library wants it, which remembers how it fared.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use ureq::unversioned::transport::{Buffers, LazyBuffers, NextTimeout, ShutdownHandle, Transport};
use ureq::{Error, Timeout};

use super::Failure;
use super::answer_head::AnswerHead;
use super::deadlines::{Deadlines, Phase};
use crate::patience::GATHER;

/// How the connection of the request under way fared: what the library's errors do not tell.
///
/// One for each agent, which has one request at a time.
#[derive(Debug, Default)]
pub(super) struct WireLog {
    state: Mutex<WireState>,
    received: AtomicU64,
    /// What has been received and not been read yet, in bytes, TLS's own included. Never more than there is.
    unread: AtomicU64,
    bulk: AtomicBool,
    cancelled: AtomicBool,
}

#[derive(Clone, Debug, Default)]
struct WireState {
    /// Why no connection came about, or why the connection ended.
    failure: Option<Failure>,
    connected: Option<(Instant, SocketAddr)>,
    /// None: as long as it takes.
    deadlines: Option<Deadlines>,
    /// The head of the answer, once it is there.
    head: Option<AnswerHead>,
}

impl WireLog {
    /// Another request begins, with these deadlines for it and all its redirects.
    pub(super) fn begin(&self, deadlines: Deadlines) {
        self.lock().deadlines = Some(deadlines);
    }

    /// Forgets how the connection before fared: it was that of a redirect, or it was closed.
    pub(super) fn start(&self) {
        let mut state = self.lock();
        *state = WireState { deadlines: state.deadlines, ..WireState::default() };
        drop(state);
        self.received.store(0, Ordering::Relaxed);
        self.bulk.store(false, Ordering::Relaxed);
    }

    /// Whether much content is under way: then it is fetched from the kernel in larger pieces.
    pub(super) fn set_bulk(&self, bulk: bool) {
        self.bulk.store(bulk, Ordering::Relaxed);
    }

    /// The request comes to another phase, with a limit of its own.
    #[expect(clippy::disallowed_methods, reason = "a phase begins when it is entered")]
    pub(super) fn enter(&self, phase: Phase) {
        if let Some(deadlines) = &mut self.lock().deadlines {
            deadlines.enter(phase, Instant::now());
        }
    }

    /// How long the next wait may last; none when there is no limit. An error names the limit that is over.
    #[expect(clippy::disallowed_methods, reason = "every wait for a peer asks here for its end")]
    pub(super) fn time_left(&self) -> Result<Option<Duration>, Failure> {
        let Some(end) = self.lock().deadlines.and_then(|deadlines| deadlines.end()) else { return Ok(None) };
        let left = end.left(Instant::now());
        if left.is_zero() { Err(end.limit.failure()) } else { Ok(Some(left)) }
    }

    /// The first failure is the cause; later ones are its consequences.
    pub(super) fn fail(&self, failure: Failure) {
        self.lock().failure.get_or_insert(failure);
    }

    /// What the failure of the socket means to those who use it.
    pub(super) fn fail_instead(&self, failure: Failure) {
        self.lock().failure = Some(failure);
    }

    pub(super) fn failure(&self) -> Option<Failure> {
        self.lock().failure.clone()
    }

    pub(super) fn connected(&self, at: Instant, peer: SocketAddr) {
        self.lock().connected = Some((at, peer));
    }

    /// The head of the answer is there.
    pub(super) fn answered(&self, head: AnswerHead) {
        self.lock().head = Some(head);
    }

    pub(super) fn take_head(&self) -> Option<AnswerHead> {
        self.lock().head.take()
    }

    /// When and to whom the request's own connection was made; none when one was used again.
    pub(super) fn connection(&self) -> Option<(Instant, SocketAddr)> {
        self.lock().connected
    }

    /// So many bytes of content were read.
    pub(super) fn read(&self, bytes: u64) {
        // Only one thread reads.
        let left = self.unread.load(Ordering::Relaxed).saturating_sub(bytes);
        self.unread.store(left, Ordering::Relaxed);
    }

    /// Whether a whole TLS record has been received and not been read yet.
    pub(super) fn has_record(&self) -> bool {
        self.unread.load(Ordering::Relaxed) > LONGEST_RECORD
    }

    /// Bytes received from the peer, heads and TLS included.
    pub(super) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    pub(super) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// The same for the HTTP library, which knows no reasons: that is noted.
    fn wait(&self) -> Result<Option<Duration>, Error> {
        self.time_left().map_err(|failure| {
            self.fail(failure);
            Error::Timeout(Timeout::Global)
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, WireState> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The socket, shared so that another thread can shut it down.
struct Socket(TcpStream);

impl ShutdownHandle for Socket {
    fn shutdown(&self) {
        let _ = self.0.shutdown(Shutdown::Both); // an error means that it is shut down already
    }
}

/// A connected socket. With an absolute form, request targets are sent with it in front (RFC 9112,
/// section 3.2.2), as an http proxy wants them.
pub(super) struct Wire {
    socket: Arc<Socket>,
    buffers: LazyBuffers,
    log: Arc<WireLog>,
    absolute: Option<AbsoluteForm>,
    read_timeout: Option<Duration>,
    write_timeout: Option<Duration>,
    /// The last read left nothing behind.
    drained: bool,
}

/// A TLS record with all that belongs to it, at most, in bytes (RFC 8446, section 5.2).
const LONGEST_RECORD: u64 = 5 + 16 * 1024 + 256;
/// So many bytes at once are worth no wait for more.
const ENOUGH: usize = 64 * 1024;

struct AbsoluteForm {
    /// `http://host:port`
    origin: String,
    /// The last bytes sent, to see where a header section ends.
    at_start: bool,
}

impl Wire {
    pub(super) fn new(stream: TcpStream, log: Arc<WireLog>, input: usize, output: usize) -> Self {
        Self {
            socket: Arc::new(Socket(stream)),
            buffers: LazyBuffers::new(input, output),
            log,
            absolute: None,
            read_timeout: None,
            write_timeout: None,
            drained: false,
        }
    }

    pub(super) fn with_absolute_form(mut self, origin: String) -> Self {
        self.absolute = Some(AbsoluteForm { origin, at_start: true });
        self
    }

    pub(super) fn shutdown_handle(&self) -> Weak<dyn ShutdownHandle> {
        Arc::downgrade(&self.socket) as Weak<dyn ShutdownHandle>
    }

    /// Sends all of it, however little the peer takes at once, within the time of the request.
    fn send(&mut self, amount: usize) -> Result<(), Error> {
        let output = &self.buffers.output()[..amount];
        let with_origin = self.absolute.as_mut().and_then(|form| form.put_into(output));
        let mut rest = with_origin.as_deref().unwrap_or(output);
        while !rest.is_empty() {
            let limit = self.log.wait()?.map(round_up);
            if limit != self.write_timeout {
                self.socket.0.set_write_timeout(limit)?;
                self.write_timeout = limit;
            }
            match (&self.socket.0).write(rest) {
                Ok(0) => return Err(Error::Io(io::ErrorKind::WriteZero.into())),
                Ok(amount) => rest = &rest[amount..],
                Err(error) if is_passing(&error) => {}
                Err(error) => return Err(Error::Io(error)),
            }
        }
        Ok(())
    }

    /// Waits for bytes within the time of the request.
    #[expect(clippy::disallowed_methods, reason = "waits for more bytes, not for an event")]
    fn receive(&mut self) -> Result<usize, Error> {
        if self.drained && self.log.bulk.load(Ordering::Relaxed) {
            std::thread::sleep(GATHER);
        }
        let input = self.buffers.input_append_buf();
        loop {
            let limit = self.log.wait()?.map(round_up);
            if limit != self.read_timeout {
                self.socket.0.set_read_timeout(limit)?;
                self.read_timeout = limit;
            }
            match (&self.socket.0).read(input) {
                Ok(amount) => return Ok(amount),
                Err(error) if is_passing(&error) => {}
                Err(error) => return Err(Error::Io(error)),
            }
        }
    }
}

impl AbsoluteForm {
    /// The output with the origin in it, where that is due.
    fn put_into(&mut self, output: &[u8]) -> Option<Vec<u8>> {
        let target = output.iter().position(|b| *b == b' ').map(|at| at + 1).filter(|_| self.at_start);
        self.at_start = output.ends_with(b"\r\n\r\n");
        target.map(|at| [&output[..at], self.origin.as_bytes(), &output[at..]].concat())
    }
}

impl Transport for Wire {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    // The time-outs that the HTTP library hands on are not used: the log has the deadlines of everything.
    fn transmit_output(&mut self, amount: usize, _: NextTimeout) -> Result<(), Error> {
        self.send(amount).inspect_err(|error| {
            if let Error::Io(error) = error {
                self.log.fail(Failure::Send(super::failure::plain(error)));
            }
        })
    }

    fn await_input(&mut self, _: NextTimeout) -> Result<bool, Error> {
        let amount = self.receive().inspect_err(|error| {
            if let Error::Io(error) = error {
                self.log.fail(Failure::receive(error));
            }
        })?;
        self.buffers.input_appended(amount);
        self.drained = amount < ENOUGH;
        self.log.unread.store(self.buffers.input().len() as u64, Ordering::Relaxed);
        self.log.received.fetch_add(amount as u64, Ordering::Relaxed);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        let stream = &self.socket.0;
        if stream.set_nonblocking(true).is_err() {
            return false;
        }
        // Bytes that nobody asked for, an end or an error: not fit for another request.
        let quiet =
            matches!((&mut &*stream).read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock);
        quiet && stream.set_nonblocking(false).is_ok()
    }
}

/// An error after which the same is tried again, if there is time left: how much that is was rounded. The kernel's own
/// time-out of a connection (`TimedOut`) is another matter: nothing comes after it.
fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// To whole hundredths of a second, so that the same time-out serves many reads: setting one is a system call.
fn round_up(limit: Duration) -> Duration {
    let step = Duration::from_millis(10).as_nanos();
    let rounded = limit.as_nanos().div_ceil(step).saturating_mul(step);
    Duration::from_nanos(u64::try_from(rounded).unwrap_or(u64::MAX))
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wire").field("peer", &self.socket.0.peer_addr().ok()).finish_non_exhaustive()
    }
}
