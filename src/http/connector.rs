//! From a URL to a connected socket: names, addresses of both families at once, proxies.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use socket2::{Domain, Protocol, SockAddr, Socket, TcpKeepalive, Type};
use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{ConnectionDetails, Connector, NextTimeout, RustlsConnector};

use super::deadlines::Phase;
use super::proxy_handshake::{self, HandshakeError, Target};
use super::settings::{AddressFamily, Interface, Proxy, ProxyKind, ResolveEntry, Settings};
use super::url::Scheme;
use super::wire::{Wire, WireLog};
use super::{Failure, HandshakeFault, Url, tls_failure};
use crate::patience::{ATTEMPT_DELAY, CANCEL_CHECK};

/// Opens sockets. What goes wrong is noted in the log: the library's errors carry too little.
#[derive(Debug)]
pub(super) struct Dial {
    pub(super) settings: Arc<Settings>,
    pub(super) log: Arc<WireLog>,
}

impl Connector<()> for Dial {
    type Out = Wire;

    fn connect(&self, details: &ConnectionDetails, _: Option<()>) -> Result<Option<Wire>, Error> {
        let url = Url::parse(&details.uri.to_string()).map_err(|e| Error::BadUri(e.to_string()))?;
        self.log.enter(Phase::Connect);
        let stream = self.dial(&url).map_err(|failure| {
            self.log.fail(failure);
            Error::ConnectionFailed
        })?;
        if url.scheme == Scheme::Http {
            self.log.enter(Phase::Head);
        }
        let (input, output) = (details.config.input_buffer_size(), details.config.output_buffer_size());
        let mut wire = Wire::new(stream, self.log.clone(), input, output);
        if self.absolute_form(&url) {
            wire = wire.with_absolute_form(format!("{}://{}", url.scheme.name(), url.authority()));
        }
        (details.register_shutdown)(wire.shutdown_handle())?;
        Ok(Some(wire))
    }
}

impl Dial {
    /// Plain http through an http proxy: no tunnel, the proxy is told the whole URL.
    fn absolute_form(&self, url: &Url) -> bool {
        let proxy = (self.settings.proxy)(url);
        proxy.is_some_and(|p| p.kind == ProxyKind::Http && !p.tunnel) && url.scheme == Scheme::Http
    }

    #[expect(clippy::disallowed_methods, reason = "connecting has a place in the timings")]
    pub(super) fn dial(&self, url: &Url) -> Result<TcpStream, Failure> {
        let proxy = (self.settings.proxy)(url);
        let peer = match &proxy {
            None => self.resolve(url.host(), url.port())?,
            Some(proxy) => self.resolve(&proxy.host, proxy.port).map_err(|f| match f {
                Failure::Resolve { host } => Failure::ResolveProxy { host },
                other => other,
            })?,
        };
        let name = proxy.as_ref().map(Proxy::authority);
        let (stream, address) = self.race(&peer).map_err(|failure| match &name {
            Some(name) => failure.of_proxy_at(name),
            None => failure,
        })?;
        stream.set_nodelay(true).map_err(|e| no_connection(&e))?;
        if let Some(proxy) = &proxy {
            self.through(&stream, proxy, url)?;
        }
        stream.set_nonblocking(false).map_err(|e| no_connection(&e))?;
        self.log.connected(Instant::now(), address);
        Ok(stream)
    }

    fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Failure> {
        let matches = |o: &&ResolveEntry| o.port == port && o.host.as_deref().is_none_or(|name| name == host);
        let found = self.settings.resolve.iter().find(matches);
        let addresses = match (found, host.parse::<IpAddr>()) {
            (Some(o), _) => o.addresses.iter().map(|ip| SocketAddr::new(*ip, port)).collect(),
            (None, Ok(ip)) => vec![SocketAddr::new(ip, port)],
            (None, Err(_)) => self.look_up(host, port)?,
        };
        let wanted = order(addresses, self.settings.family);
        match (wanted.is_empty(), host.parse::<IpAddr>()) {
            (false, _) => Ok(wanted),
            (true, Ok(_)) => {
                Err(Failure::Connect { reason: "the address is of the other family (-4, -6)".to_owned() })
            }
            (true, Err(_)) => Err(Failure::Resolve { host: host.to_owned() }),
        }
    }

    /// Asks the system, on a thread of its own because nothing ends a look-up in time.
    fn look_up(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Failure> {
        let (sender, receiver) = mpsc::channel();
        let name = host.to_owned();
        let thread = thread::Builder::new().spawn(move || {
            let found = (name.as_str(), port).to_socket_addrs().map(Iterator::collect::<Vec<_>>);
            let _ = sender.send(found); // nobody waits any longer
        });
        thread.map_err(|error| {
            Failure::Local(format!("no thread to resolve {host}: {}", super::failure::plain(&error)))
        })?;
        loop {
            match receiver.recv_timeout(self.pause()?) {
                Ok(Ok(addresses)) => return Ok(addresses),
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Err(_)) | Err(RecvTimeoutError::Disconnected) => {
                    return Err(Failure::Resolve { host: host.to_owned() });
                }
            }
        }
    }

    /// How long a wait may last before this is called again. An error when the connection is no longer
    /// wanted, or its time is over.
    fn pause(&self) -> Result<Duration, Failure> {
        if self.log.is_cancelled() {
            return Err(Failure::Cancelled);
        }
        Ok(self.log.time_left()?.map_or(CANCEL_CHECK, |left| left.min(CANCEL_CHECK)))
    }

    /// RFC 8305: the first address is tried alone for a moment, then the next one beside it; the first
    /// connection that stands wins.
    #[expect(clippy::disallowed_methods, reason = "the next address has its turn at a time")]
    fn race(&self, addresses: &[SocketAddr]) -> Result<(TcpStream, SocketAddr), Failure> {
        let mut waiting: Vec<(Socket, SocketAddr)> = Vec::new();
        let mut rest = addresses.iter();
        // None when no address is left.
        let mut next_attempt = Some(Instant::now());
        let mut last_error = None;
        loop {
            let pause = self.pause()?;
            let now = Instant::now();
            if waiting.is_empty() || next_attempt.is_some_and(|at| now >= at) {
                match rest.next() {
                    Some(address) => {
                        next_attempt = Some(now + ATTEMPT_DELAY);
                        match self.begin(*address) {
                            Ok(socket) => waiting.push((socket, *address)),
                            Err(failure) => last_error = Some(failure),
                        }
                    }
                    None if waiting.is_empty() => {
                        let nothing = || Failure::Connect { reason: "no address to connect to".to_owned() };
                        return Err(last_error.unwrap_or_else(nothing));
                    }
                    None => next_attempt = None,
                }
            }
            let pause = next_attempt.map_or(pause, |at| at.saturating_duration_since(now).min(pause));
            for index in writable(&waiting, pause).into_iter().rev() {
                let (socket, address) = waiting.remove(index);
                let connected = socket.take_error().and_then(|e| e.map_or(Ok(()), Err));
                match connected {
                    Ok(()) => return Ok((socket.into(), address)),
                    Err(error) => last_error = Some(no_connection(&error)),
                }
            }
        }
    }

    /// Starts a connection without waiting for it.
    fn begin(&self, address: SocketAddr) -> Result<Socket, Failure> {
        let failed = |e: io::Error| no_connection(&e);
        let socket =
            Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP)).map_err(failed)?;
        if let Some(interface) = &self.settings.interface {
            bind(&socket, interface)?;
        }
        if let Some(idle) = self.settings.keepalive {
            let probes = TcpKeepalive::new().with_time(idle).with_interval(idle);
            socket.set_tcp_keepalive(&probes).map_err(failed)?;
        }
        socket.set_nonblocking(true).map_err(failed)?;
        match socket.connect(&SockAddr::from(address)) {
            Ok(()) => Ok(socket),
            Err(error) if error.raw_os_error() == Some(Errno::INPROGRESS.raw_os_error()) => Ok(socket),
            Err(error) => Err(failed(error)),
        }
    }

    /// Asks the proxy for a way to the target, where the proxy wants to be asked.
    fn through(&self, stream: &TcpStream, proxy: &Proxy, url: &Url) -> Result<(), Failure> {
        let tunnel = url.scheme == Scheme::Https || proxy.tunnel;
        if proxy.kind == ProxyKind::Http && !tunnel {
            return Ok(());
        }
        let target = match proxy.kind {
            ProxyKind::Socks4 | ProxyKind::Socks5 => {
                let resolved = self.resolve(url.host(), url.port()).map_err(|failure| match failure {
                    Failure::Resolve { host } => Failure::SocksRefused(format!("cannot resolve {host}")),
                    other => other,
                });
                Target::Address(resolved?[0])
            }
            ProxyKind::Http | ProxyKind::Socks4a | ProxyKind::Socks5h => Target::of(url.host(), url.port()),
        };
        let mut talk = Talk { dial: self, stream, given_up: None };
        let done = proxy_handshake::run(&mut talk, proxy, &target, &self.settings.user_agent);
        let refused = |why: String| match proxy.kind {
            ProxyKind::Http => Failure::ProxyRefused(why),
            _ => Failure::SocksRefused(why),
        };
        done.map_err(|error| match error {
            HandshakeError::Unreachable(_) => refused(error.to_string()),
            HandshakeError::Refused(why) => refused(why).of_proxy_at(&proxy.authority()),
            HandshakeError::Io(e) => {
                let failure = talk.given_up.unwrap_or_else(|| Failure::receive(&e));
                failure.of_proxy_at(&proxy.authority())
            }
        })
    }
}

/// What is said to a proxy over a socket that does not block, for as long as the connection is wanted and in time.
struct Talk<'a> {
    dial: &'a Dial,
    stream: &'a TcpStream,
    given_up: Option<Failure>,
}

impl Talk<'_> {
    /// Does it once the stream is ready for it.
    fn when_ready<T>(
        &mut self,
        event: PollFlags,
        mut act: impl FnMut(&TcpStream) -> io::Result<T>,
    ) -> io::Result<T> {
        loop {
            let pause = self.dial.pause().map_err(|failure| {
                self.given_up = Some(failure);
                io::Error::from(io::ErrorKind::TimedOut)
            })?;
            if !ready(&mut [PollFd::new(self.stream, event)], pause) {
                continue;
            }
            match act(self.stream) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return done,
            }
        }
    }
}

impl Read for Talk<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.when_ready(PollFlags::IN, |mut stream| stream.read(buffer))
    }
}

impl Write for Talk<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.when_ready(PollFlags::OUT, |mut stream| stream.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// Names are resolved by [`Dial`], which knows whether there is a proxy and how to say what went wrong.
#[derive(Debug)]
pub(super) struct NoResolver;

impl Resolver for NoResolver {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let mut addresses = self.empty();
        addresses.push(SocketAddr::from(([0, 0, 0, 0], 0)));
        Ok(addresses)
    }
}

/// TLS around the socket. The configuration (and its CA store, loaded at the first use) is shared by all
/// agents.
#[derive(Debug)]
pub(super) struct SharedTls {
    pub(super) shared: Arc<RustlsConnector>,
    pub(super) log: Arc<WireLog>,
}

impl Connector<Wire> for SharedTls {
    type Out = <RustlsConnector as Connector<Wire>>::Out;

    fn connect(&self, details: &ConnectionDetails, wire: Option<Wire>) -> Result<Option<Self::Out>, Error> {
        let secured = self.shared.connect(details, wire).inspect_err(|error| {
            if let Some(failure) = tls_failure(error) {
                self.log.fail_instead(failure);
            }
        })?;
        self.log.enter(Phase::Head);
        Ok(secured)
    }
}

/// What a failed handshake means; none when it ran out of time, which the log knows.
fn tls_failure(error: &Error) -> Option<Failure> {
    let rustls_error = match error {
        Error::Rustls(error) => Some(error),
        Error::Io(error) => error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()),
        _ => None,
    };
    Some(match (rustls_error.map(tls_failure::fault), error) {
        (Some(Ok(fault)), _) => Failure::Certificate(fault),
        (Some(Err(fault)), _) => Failure::TlsHandshake(fault),
        (None, Error::Timeout(_)) => return None,
        (None, Error::Io(error)) => Failure::TlsHandshake(HandshakeFault::Broken(match error.kind() {
            io::ErrorKind::UnexpectedEof => "the connection was closed in the middle".to_owned(),
            io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe => {
                "the connection was reset in the middle".to_owned()
            }
            _ => super::failure::plain(error),
        })),
        (None, other) => Failure::TlsHandshake(HandshakeFault::Other(other.to_string())),
    })
}

/// Why no connection came about. What this process or system lacks (files, memory, ports) is no other side's doing.
fn no_connection(error: &io::Error) -> Failure {
    let ours = [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOBUFS, Errno::ADDRNOTAVAIL];
    let is_ours =
        error.raw_os_error().is_some_and(|code| ours.iter().any(|errno| errno.raw_os_error() == code));
    if is_ours { Failure::Local(super::failure::plain(error)) } else { Failure::connect(error) }
}

/// The addresses of the wanted family. For both families they alternate, beginning with the system's first
/// choice (RFC 8305, section 4).
fn order(addresses: Vec<SocketAddr>, family: AddressFamily) -> Vec<SocketAddr> {
    let wanted = |a: &SocketAddr| match family {
        AddressFamily::Any => true,
        AddressFamily::Ipv4 => a.is_ipv4(),
        AddressFamily::Ipv6 => a.is_ipv6(),
    };
    let wanted: Vec<SocketAddr> = addresses.into_iter().filter(wanted).collect();
    let Some(first) = wanted.first() else { return wanted };
    let (mut same, mut other): (Vec<SocketAddr>, Vec<SocketAddr>) =
        wanted.iter().partition(|a| a.is_ipv4() == first.is_ipv4());
    let mut ordered = Vec::with_capacity(same.len() + other.len());
    while !same.is_empty() || !other.is_empty() {
        ordered.extend(same.drain(..same.len().min(1)));
        ordered.extend(other.drain(..other.len().min(1)));
    }
    ordered.dedup();
    ordered
}

/// Indices of the sockets whose connection stands or failed, waiting for at most `pause`.
fn writable(sockets: &[(Socket, SocketAddr)], pause: Duration) -> Vec<usize> {
    let mut fds: Vec<PollFd> =
        sockets.iter().map(|(socket, _)| PollFd::new(socket, PollFlags::OUT)).collect();
    if !ready(&mut fds, pause) {
        return Vec::new();
    }
    (0..fds.len()).filter(|i| !fds[*i].revents().is_empty()).collect()
}

/// Whether something happened to one of the descriptors within `pause`; not when the wait was interrupted: the
/// caller comes again.
fn ready(fds: &mut [PollFd], pause: Duration) -> bool {
    let timeout = Timespec {
        tv_sec: i64::try_from(pause.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(pause.subsec_nanos()),
    };
    poll(fds, Some(&timeout)).is_ok_and(|count| count > 0)
}

fn bind(socket: &Socket, interface: &Interface) -> Result<(), Failure> {
    let failed = |e: io::Error| Failure::Interface(super::failure::plain(&e));
    let to_address = |ip: IpAddr| socket.bind(&SockAddr::from(SocketAddr::new(ip, 0))).map_err(failed);
    match interface {
        Interface::Device(name) => socket.bind_device(Some(name.as_bytes())).map_err(failed),
        Interface::Address(ip) => to_address(*ip),
        Interface::DeviceAndAddress(name, ip) => {
            socket.bind_device(Some(name.as_bytes())).map_err(failed)?;
            to_address(*ip)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn families_take_turns() {
        let parse = |list: &[&str]| -> Vec<SocketAddr> { list.iter().map(|a| a.parse().unwrap()).collect() };
        let all = parse(&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1"]);
        assert_eq!(
            order(all.clone(), AddressFamily::Any),
            parse(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "[::3]:1"])
        );
        assert_eq!(order(all.clone(), AddressFamily::Ipv4), parse(&["1.1.1.1:1"]));
        assert_eq!(order(all, AddressFamily::Ipv6).len(), 3);
    }

    proptest! {
        #[test]
        fn no_address_is_lost(kinds in proptest::collection::vec(any::<bool>(), 0..20)) {
            let addresses: Vec<SocketAddr> = kinds.iter().enumerate().map(|(i, v4)| {
                let low = u8::try_from(i).unwrap();
                if *v4 { SocketAddr::from(([10, 0, 0, low], 1)) } else { SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, u16::from(low) + 1], 1)) }
            }).collect();
            let mut ordered = order(addresses.clone(), AddressFamily::Any);
            prop_assert_eq!(ordered.first(), addresses.first());
            let mut sorted = addresses;
            ordered.sort();
            sorted.sort();
            prop_assert_eq!(ordered, sorted);
        }
    }
}
