//! A TCP connection as the HTTP library wants it, which remembers how it fared.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use ureq::unversioned::transport::{Buffers, LazyBuffers, NextTimeout, ShutdownHandle, Transport};
use ureq::{Error, Timeout};

use super::Failure;

/// How the connection of the request under way fared: what the library's errors do not tell.
///
/// One for each agent, which has one request at a time.
#[derive(Debug, Default)]
pub(super) struct WireLog {
    state: Mutex<WireState>,
    received: AtomicU64,
    bulk: AtomicBool,
    cancelled: AtomicBool,
}

#[derive(Clone, Debug, Default)]
struct WireState {
    /// Why no connection came about, or why the connection ended.
    failure: Option<Failure>,
    connected: Option<(Instant, SocketAddr)>,
    /// When there must be content, however much else comes. None while a head is awaited, whose time the HTTP
    /// library measures.
    deadline: Option<Instant>,
    /// The peer has sent its last byte.
    ended: bool,
}

impl WireLog {
    /// Forgets the request before.
    pub(super) fn start(&self) {
        *self.lock() = WireState::default();
        self.received.store(0, Ordering::Relaxed);
        self.bulk.store(false, Ordering::Relaxed);
    }

    /// Whether much content is under way: then it is fetched from the kernel in larger pieces.
    pub(super) fn set_bulk(&self, bulk: bool) {
        self.bulk.store(bulk, Ordering::Relaxed);
    }

    /// There must be content within this time.
    #[expect(clippy::disallowed_methods, reason = "reading has a deadline")]
    pub(super) fn set_deadline(&self, limit: Duration) {
        self.lock().deadline = Instant::now().checked_add(limit);
    }

    /// The first failure is the cause; later ones are its consequences.
    pub(super) fn fail(&self, failure: Failure) {
        self.lock().failure.get_or_insert(failure);
    }

    pub(super) fn failure(&self) -> Option<Failure> {
        self.lock().failure.clone()
    }

    pub(super) fn connected(&self, at: Instant, peer: SocketAddr) {
        self.lock().connected = Some((at, peer));
    }

    /// Whether the peer has sent its last byte.
    pub(super) fn has_ended(&self) -> bool {
        self.lock().ended
    }

    /// When and to whom the request's own connection was made; none when one was used again.
    pub(super) fn connection(&self) -> Option<(Instant, SocketAddr)> {
        self.lock().connected
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

    /// Time left until there must be content.
    #[expect(clippy::disallowed_methods, reason = "reading has a deadline")]
    fn time_left(&self) -> Option<Duration> {
        self.lock().deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
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

/// How long bytes may gather in the kernel while much is under way, and how many are worth no wait. Every packet
/// for itself would wake this thread and the one that writes thousands of times a second.
const GATHER: Duration = Duration::from_millis(3);
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

    fn send(&mut self, amount: usize) -> io::Result<()> {
        let output = &self.buffers.output()[..amount];
        let mut stream = &self.socket.0;
        let Some(form) = &mut self.absolute else { return stream.write_all(output) };
        let target = output.iter().position(|b| *b == b' ').map(|at| at + 1).filter(|_| form.at_start);
        form.at_start = output.ends_with(b"\r\n\r\n");
        match target {
            Some(at) => stream.write_all(&[&output[..at], form.origin.as_bytes(), &output[at..]].concat()),
            None => stream.write_all(output),
        }
    }

    #[expect(clippy::disallowed_methods, reason = "waits for more bytes, not for an event")]
    fn receive(&mut self) -> io::Result<usize> {
        if self.drained && self.log.bulk.load(Ordering::Relaxed) {
            std::thread::sleep(GATHER);
        }
        let input = self.buffers.input_append_buf();
        loop {
            match (&self.socket.0).read(input) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }
}

impl Transport for Wire {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let timeout = timeout.for_write();
        let limit = timeout.not_zero().map(|limit| *limit);
        if limit != self.write_timeout {
            self.socket.0.set_write_timeout(limit)?;
            self.write_timeout = limit;
        }
        self.send(amount).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Error::Timeout(timeout.reason),
            _ => {
                self.log.fail(Failure::Send(super::failure::plain(&error)));
                Error::Io(error)
            }
        })
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let timeout = timeout.for_read();
        let own = self.log.time_left();
        let theirs = timeout.not_zero().map(|limit| *limit);
        let limit = own.into_iter().chain(theirs).min();
        let reason = if own == limit { Timeout::PerRead } else { timeout.reason };
        if limit.is_some_and(|limit| limit.is_zero()) {
            return Err(Error::Timeout(reason));
        }
        let limit = limit.map(round_up);
        if limit != self.read_timeout {
            self.socket.0.set_read_timeout(limit)?;
            self.read_timeout = limit;
        }
        let amount = match self.receive() {
            Ok(amount) => amount,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                return Err(Error::Timeout(reason));
            }
            Err(error) => {
                self.log.fail(Failure::receive(&error));
                return Err(Error::Io(error));
            }
        };
        if amount == 0 && !self.buffers.input_append_buf().is_empty() {
            self.log.lock().ended = true;
        }
        self.buffers.input_appended(amount);
        self.drained = amount < ENOUGH;
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
