//! A listening socket on the loopback, a thread for each connection, and an end to all of them.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// A running server. Dropping it closes every connection and joins every thread.
pub struct Server {
    address: SocketAddr,
    life: Arc<Life>,
    acceptor: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens on a free port of `ip` and gives each connection, with its number from 0, to `handler` on a
    /// thread of its own.
    pub fn start(ip: IpAddr, handler: impl Fn(Socket, usize, &Life) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((ip, 0)).expect("a loopback address has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let life = Arc::new(Life::default());
        let acceptor = thread::spawn({
            let life = Arc::clone(&life);
            move || accept_all(&listener, &life, &Arc::new(handler))
        });
        Self { address, life, acceptor: Some(acceptor) }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets the connections of clients that are gone come to their end, so that all they sent is on record;
    /// after two seconds cuts those that are left. For callers whose client process has ended.
    pub fn drain(&mut self) {
        self.stop(Duration::from_secs(2));
    }

    fn stop(&mut self, grace: Duration) {
        let Some(acceptor) = self.acceptor.take() else { return };
        let _last_call = self.life.end(self.address);
        self.life.wait_for_connections(grace);
        self.life.cut_connections();
        // A handler that panicked has said so on stderr, and its client saw a closed connection.
        let _ = acceptor.join();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop(Duration::ZERO);
    }
}

/// What the threads of one server share: whether it is over, and which connections are open.
#[derive(Default)]
pub struct Life {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    over: bool,
    last_call: Option<SocketAddr>,
    cut: bool,
    all_accepted: bool,
    handlers: usize,
    open: Vec<Weak<TcpStream>>,
}

impl Life {
    /// Waits for `time`; false when the server ended meanwhile.
    pub fn pause(&self, time: Duration) -> bool {
        let (state, _) = self
            .changed
            .wait_timeout_while(self.state(), time, |state| !state.over)
            .unwrap_or_else(PoisonError::into_inner);
        !state.over
    }

    /// Has a connection that a handler opened itself (a proxy's to its origin) end with the server.
    pub fn adopt(&self, stream: TcpStream) -> Socket {
        let stream = Arc::new(stream);
        let mut state = self.state();
        if state.cut {
            // It was still waiting to be accepted when the others were cut.
            let _ = stream.shutdown(Shutdown::Both);
        }
        state.open.retain(|open| open.strong_count() > 0);
        state.open.push(Arc::downgrade(&stream));
        Socket(stream)
    }

    /// Ends all pauses, and wakes the acceptor out of accept(2) with a call of our own, which comes after all
    /// that clients have opened.
    fn end(&self, address: SocketAddr) -> TcpStream {
        // Under the lock: the acceptor must know the call for what it is.
        let mut state = self.state();
        state.over = true;
        let call = TcpStream::connect(address).expect("the listener is still there");
        state.last_call = call.local_addr().ok();
        self.changed.notify_all();
        call
    }

    fn wait_for_connections(&self, grace: Duration) {
        let waiting = |state: &mut State| !state.all_accepted || state.handlers > 0;
        drop(self.changed.wait_timeout_while(self.state(), grace, waiting));
    }

    fn cut_connections(&self) {
        let mut state = self.state();
        state.cut = true;
        for stream in state.open.drain(..).filter_map(|open| open.upgrade()) {
            // Not connected any more is as good.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection. Clones share it, and it is closed when the last one is dropped.
#[derive(Clone)]
pub struct Socket(Arc<TcpStream>);

impl Socket {
    /// Has the kernel answer with RST instead of FIN when the connection is dropped.
    pub fn reset_on_close(&self) {
        rustix::net::sockopt::set_socket_linger(&*self.0, Some(Duration::ZERO))
            .expect("SO_LINGER can be set on any socket");
    }

    /// Sends FIN, keeps receiving.
    pub fn finish_sending(&self) {
        // Not connected any more is as good.
        let _ = self.0.shutdown(Shutdown::Write);
    }

    /// Receives and forgets until the peer closes.
    pub fn wait_for_close(&self) {
        let _ = io::copy(&mut &*self.0, &mut io::sink());
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self.0).read(buffer)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self.0).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        (&*self.0).flush()
    }
}

/// Spaces bytes out so that they keep a rate, in bytes a second. Knows no clock.
#[derive(Clone, Debug)]
pub struct Pacer {
    rate: u64,
    next: Option<Instant>,
}

impl Pacer {
    pub fn new(rate: u64) -> Self {
        Self { rate: rate.max(1), next: None }
    }

    /// How long to wait before `bytes` may be sent.
    pub fn reserve(&mut self, now: Instant, bytes: usize) -> Duration {
        let start = self.next.map_or(now, |next| next.max(now));
        self.next = Some(start + Duration::from_secs_f64(bytes as f64 / self.rate as f64));
        start - now
    }
}

fn accept_all<H>(listener: &TcpListener, life: &Arc<Life>, handler: &Arc<H>)
where
    H: Fn(Socket, usize, &Life) + Send + Sync + 'static,
{
    let mut handlers = Vec::new();
    for (number, stream) in listener.incoming().filter_map(Result::ok).enumerate() {
        let caller = stream.peer_addr().ok();
        if caller.is_some() && caller == life.state().last_call {
            break;
        }
        // Headers sent a byte at a time must arrive a byte at a time.
        let _ = stream.set_nodelay(true);
        let socket = life.adopt(stream);
        life.state().handlers += 1;
        let (life, handler) = (Arc::clone(life), Arc::clone(handler));
        handlers.push(thread::spawn(move || {
            let _leaving = Leaving(&life);
            handler(socket, number, &life);
        }));
    }
    life.state().all_accepted = true;
    life.changed.notify_all();
    for handler in handlers {
        let _ = handler.join();
    }
}

/// Counts a handler out, also one that panicked.
struct Leaving<'a>(&'a Life);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.state().handlers -= 1;
        self.0.changed.notify_all();
    }
}

#[test]
fn pacer_spreads_bytes_and_forgives_idle_time() {
    #[expect(clippy::disallowed_methods, reason = "any instant will do as the origin")]
    let start = Instant::now();
    let mut pacer = Pacer::new(1000);
    assert_eq!(pacer.reserve(start, 500), Duration::ZERO);
    assert_eq!(pacer.reserve(start, 500), Duration::from_millis(500));
    let later = start + Duration::from_secs(60);
    assert_eq!(pacer.reserve(later, 500), Duration::ZERO, "no bytes are saved up while idle");
}
