//! Ports at which there is no mirror: refused, mute, overfull, talking nonsense.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, TcpListener};
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType};

use super::server::Server;

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Whether this machine has `::1`; many containers do not.
pub fn has_ipv6() -> bool {
    TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
}

/// A port that stays what it is for as long as this value lives.
pub struct Port {
    address: SocketAddr,
    _held: Held,
}

enum Held {
    Socket { _fd: OwnedFd },
    FullQueue { _listener: OwnedFd, _callers: Vec<OwnedFd> },
    Server { _server: Server },
}

impl Port {
    /// Refuses connections: bound, so that nobody else gets it, and not listening.
    pub fn refusing() -> Self {
        let (fd, address) = bound_socket();
        Self { address, _held: Held::Socket { _fd: fd } }
    }

    /// Leaves connections unanswered as a dead host does: the queue for accept(2) is full, and Linux drops
    /// further SYNs.
    pub fn unanswering() -> Self {
        let (listener, address) = bound_socket();
        net::listen(&listener, 0).expect("a bound socket can listen");
        // A queue of 0 holds one. The calls after it stay half open and show that it is full.
        let callers = (0..3).map(|_| call(address)).collect();
        Self { address, _held: Held::FullQueue { _listener: listener, _callers: callers } }
    }

    /// Accepts connections and says nothing.
    pub fn mute() -> Self {
        Self::served(Server::start(LOCALHOST, |socket, _, _| socket.wait_for_close()))
    }

    /// Answers with bytes that are neither HTTP nor TLS, and closes.
    pub fn babbling() -> Self {
        Self::saying(b"220 this is not the server you are looking for\r\n".to_vec())
    }

    /// Answers with these bytes, and closes.
    pub fn saying(bytes: Vec<u8>) -> Self {
        Self::served(Server::start(LOCALHOST, move |mut socket, _, _| {
            let _ = socket.write_all(&bytes);
            socket.finish_sending();
            socket.wait_for_close();
        }))
    }

    /// Resets the connection when something comes.
    pub fn resetting() -> Self {
        Self::served(Server::start(LOCALHOST, |mut socket, _, _| {
            let _ = socket.read(&mut [0]);
            socket.reset_on_close();
        }))
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    fn served(server: Server) -> Self {
        Self { address: server.address(), _held: Held::Server { _server: server } }
    }
}

fn bound_socket() -> (OwnedFd, SocketAddr) {
    let fd = socket(SocketFlags::CLOEXEC);
    net::bind(&fd, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).expect("a loopback address has a free port");
    let address = net::getsockname(&fd).expect("a bound socket has an address");
    (fd, address.try_into().expect("it was bound to an IPv4 address"))
}

fn call(address: SocketAddr) -> OwnedFd {
    let fd = socket(SocketFlags::CLOEXEC | SocketFlags::NONBLOCK);
    match net::connect(&fd, &address) {
        Ok(()) | Err(Errno::INPROGRESS) => fd,
        Err(error) => panic!("cannot call {address}: {error}"),
    }
}

fn socket(flags: SocketFlags) -> OwnedFd {
    net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).expect("a socket can be made")
}
