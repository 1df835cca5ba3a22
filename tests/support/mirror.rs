//! A fault-injecting mirror on raw sockets, because an HTTP library refuses to lie.
//!
//! ```ignore
//! let mirror = Mirror::start();
//! let file = content(1, 1 << 20);
//! mirror.on("/distfiles/ab/x.tar").serve(&file).reset_after(300_000);
//! mirror.on("/distfiles/ab/x.tar").serve(&file);
//! // … the program under test …
//! assert_eq!(mirror.requests()[1].field("Range"), Some("bytes=300000-"));
//! ```
//!
//! Rules of one path form a queue: the first that is not used up answers. A path is matched with its query,
//! then without, and then `*` stands for any. When the mirror is dropped, a rule that was used too seldom
//! fails the test, and so does a request that no rule wanted (it got a 404).

pub mod request;
pub mod rule;
mod send;

use std::collections::HashMap;
use std::io::{self, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::content::Content;
use super::server::{Life, Pacer, Server, Socket};
use super::tls::{Certificate, test_ca};
pub use request::Request;
pub use rule::Rule;
use rule::{Answer, Reply};
use send::{After, Outlet};

/// A running mirror.
pub struct Mirror {
    server: Server,
    shared: Arc<Shared>,
    judged: bool,
}

/// Where a rule goes; what it says is in [`Rule`].
pub struct Queue<'a> {
    shared: &'a Shared,
    path: &'a str,
}

/// How a mirror was used, once its clients are gone.
#[derive(Debug)]
pub struct Report {
    pub requests: Vec<Request>,
    /// Rules left over and requests that no rule wanted, a line each.
    pub complaints: Vec<String>,
}

impl Mirror {
    /// Plain HTTP on 127.0.0.1.
    pub fn start() -> Self {
        Self::listen(Ipv4Addr::LOCALHOST.into(), None)
    }

    /// Plain HTTP on an address of the loopback network: some clients count connections by address.
    pub fn start_at(address: Ipv4Addr) -> Self {
        Self::listen(address.into(), None)
    }

    /// Plain HTTP on `[::1]`.
    pub fn start_ipv6() -> Self {
        Self::listen(Ipv6Addr::LOCALHOST.into(), None)
    }

    /// HTTPS on 127.0.0.1, with such a certificate of the [`test_ca`].
    pub fn start_tls(certificate: Certificate) -> Self {
        Self::listen(Ipv4Addr::LOCALHOST.into(), Some(test_ca().server(certificate)))
    }

    /// The queue of a path; `*` is for every path that has no rule left.
    pub fn on<'a>(&'a self, path: &'a str) -> Queue<'a> {
        Queue { shared: &self.shared, path }
    }

    /// Requests that no rule wants get their 404 and are not held against the test.
    pub fn allow_unwanted(&self) -> &Self {
        self.shared.unwanted_allowed.store(true, Ordering::Relaxed);
        self
    }

    /// All connections together get this many bytes of bodies a second.
    pub fn limit_rate(&self, bytes_per_second: u64) -> &Self {
        *lock(&self.shared.outlet.pacer) = Some(Pacer::new(bytes_per_second));
        self
    }

    /// While `count` requests are being answered, further ones get `status` at once and use up no rule.
    pub fn limit_requests_at_once(&self, count: usize, status: u16) -> &Self {
        *lock(&self.shared.limit) = Some((count, status));
        self
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The address of a file; `path` begins with a slash.
    pub fn url(&self, path: &str) -> String {
        let scheme = if self.shared.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}{path}", self.address())
    }

    /// All requests so far, in order of arrival, those that no rule wanted included.
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.shared.script).requests.clone()
    }

    /// The requests for one path.
    pub fn requests_for(&self, path: &str) -> Vec<Request> {
        self.requests().into_iter().filter(|request| request.path() == path).collect()
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Bytes of bodies written to sockets so far, framing not counted. The kernel may hold some of them that
    /// the client never read.
    pub fn body_bytes_sent(&self) -> u64 {
        self.shared.outlet.sent.load(Ordering::Relaxed)
    }

    /// Ends the mirror once its clients are gone and reports instead of failing the test.
    pub fn finish(mut self) -> Report {
        self.judged = true;
        self.server.drain();
        Report { requests: self.requests(), complaints: self.complaints() }
    }

    fn listen(ip: IpAddr, tls: Option<Arc<ServerConfig>>) -> Self {
        let shared = Arc::new(Shared { tls, ..Shared::default() });
        let server = Server::start(ip, {
            let shared = Arc::clone(&shared);
            move |socket, number, life| {
                shared.connections.fetch_add(1, Ordering::Relaxed);
                // A client that leaves in the middle is no failure of the mirror.
                let _ = shared.converse(&socket, number, life);
            }
        });
        Self { server, shared, judged: false }
    }

    fn complaints(&self) -> Vec<String> {
        let script = lock(&self.shared.script);
        let mut complaints = script.unwanted.clone();
        let mut left_over: Vec<String> = Vec::new();
        for (path, rules) in &script.rules {
            for (number, rule) in rules.iter().enumerate() {
                let rule = rule.scripted();
                if rule.used < rule.at_least {
                    let (number, used, wanted) = (number + 1, rule.used, rule.at_least);
                    left_over.push(format!("rule {number} of {path} was used {used} of {wanted} times"));
                }
            }
        }
        left_over.sort();
        complaints.append(&mut left_over);
        complaints
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        if self.judged || thread::panicking() {
            return;
        }
        let complaints = self.complaints();
        assert!(complaints.is_empty(), "mirror {}: {}", self.address(), complaints.join("; "));
    }
}

impl Queue<'_> {
    pub fn add(&self, rule: Rule) -> Rule {
        lock(&self.shared.script).rules.entry(self.path.to_owned()).or_default().push(rule.clone());
        rule
    }

    /// See [`Rule::serve`].
    pub fn serve(&self, content: impl Into<Content>) -> Rule {
        self.add(Rule::serve(content))
    }

    /// See [`Rule::status`].
    pub fn status(&self, status: u16) -> Rule {
        self.add(Rule::status(status))
    }

    /// See [`Rule::redirect`].
    pub fn redirect(&self, status: u16, to: &str) -> Rule {
        self.add(Rule::redirect(status, to))
    }

    /// See [`Rule::portal`].
    pub fn portal(&self) -> Rule {
        self.add(Rule::portal())
    }

    /// See [`Rule::raw`].
    pub fn raw(&self, bytes: impl Into<Vec<u8>>) -> Rule {
        self.add(Rule::raw(bytes))
    }

    /// See [`Rule::empty_reply`].
    pub fn empty_reply(&self) -> Rule {
        self.add(Rule::empty_reply())
    }

    /// See [`Rule::reset`].
    pub fn reset(&self) -> Rule {
        self.add(Rule::reset())
    }

    /// See [`Rule::silence`].
    pub fn silence(&self) -> Rule {
        self.add(Rule::silence())
    }
}

#[derive(Default)]
struct Shared {
    tls: Option<Arc<ServerConfig>>,
    script: Mutex<Script>,
    unwanted_allowed: AtomicBool,
    connections: AtomicUsize,
    being_answered: AtomicUsize,
    limit: Mutex<Option<(usize, u16)>>,
    outlet: Outlet,
}

#[derive(Default)]
struct Script {
    rules: HashMap<String, Vec<Rule>>,
    requests: Vec<Request>,
    unwanted: Vec<String>,
}

impl Shared {
    fn converse(&self, socket: &Socket, number: usize, life: &Life) -> io::Result<()> {
        let mut client = BufReader::new(self.stream(socket.clone())?);
        loop {
            let request = match Request::read(&mut client, number) {
                Ok(Some(request)) => request,
                Ok(None) => break,
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    client.get_mut().write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")?;
                    break;
                }
                Err(error) => return Err(error),
            };
            let turn = Turn::take(&self.being_answered);
            match self.answer(&request, turn.others, client.get_mut(), life)? {
                After::KeepAlive => {}
                After::Close => break,
                After::Reset => {
                    socket.reset_on_close();
                    return Ok(());
                }
                After::Stall => {
                    io::copy(&mut client, &mut io::sink())?;
                    return Ok(());
                }
            }
        }
        client.get_mut().finish()?;
        socket.finish_sending();
        // Closing with unread bytes would send RST, and cost the client what it has not read yet.
        socket.wait_for_close();
        Ok(())
    }

    fn answer(
        &self,
        request: &Request,
        others: usize,
        client: &mut Stream,
        life: &Life,
    ) -> io::Result<After> {
        let limit = *lock(&self.limit);
        let answer = match limit.filter(|(count, _)| others >= *count) {
            Some((_, status)) => {
                lock(&self.script).requests.push(request.clone());
                Rule::status(status).scripted().answer.clone()
            }
            None => self.choose(request),
        };
        match answer {
            Answer::Reply(mut reply) => {
                reply.close |= request.wants_close();
                self.outlet.send(&reply, request, client, life)
            }
            Answer::Raw { bytes, reset } => {
                client.write_all(&bytes)?;
                client.flush()?;
                Ok(if reset { After::Reset } else { After::Close })
            }
            Answer::Reset => Ok(After::Reset),
            Answer::Silence => Ok(After::Stall),
        }
    }

    fn choose(&self, request: &Request) -> Answer {
        let mut script = lock(&self.script);
        script.requests.push(request.clone());
        for path in [request.target.as_str(), request.path(), "*"] {
            for rule in script.rules.get(path).into_iter().flatten() {
                let mut rule = rule.scripted();
                if rule.used < rule.at_most {
                    rule.used += 1;
                    return rule.answer.clone();
                }
            }
        }
        if !self.unwanted_allowed.load(Ordering::Relaxed) {
            script.unwanted.push(format!("no rule wanted {} {}", request.method, request.target));
        }
        Answer::Reply(Box::new(Reply { status: Some(404), ranges: false, ..Reply::default() }))
    }

    fn stream(&self, socket: Socket) -> io::Result<Stream> {
        let Some(config) = &self.tls else { return Ok(Stream::Plain(socket)) };
        let session = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
        Ok(Stream::Tls(Box::new(StreamOwned::new(session, socket))))
    }
}

/// A connection with or without TLS.
enum Stream {
    Plain(Socket),
    Tls(Box<StreamOwned<ServerConnection, Socket>>),
}

impl Stream {
    /// Says that nothing more comes, in TLS's own words: without them a client cannot tell the end of a body
    /// from an attack.
    fn finish(&mut self) -> io::Result<()> {
        if let Self::Tls(stream) = self {
            stream.conn.send_close_notify();
            stream.flush()?;
        }
        Ok(())
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

/// One request being answered, until it is dropped.
struct Turn<'a> {
    count: &'a AtomicUsize,
    /// How many were being answered when this one came.
    others: usize,
}

impl<'a> Turn<'a> {
    fn take(count: &'a AtomicUsize) -> Self {
        Self { count, others: count.fetch_add(1, Ordering::SeqCst) }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::SeqCst);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
