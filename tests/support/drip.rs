//! A peer that from some point of the conversation on sends a byte now and then, and never comes to an end. It is
//! proxy and origin in one.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection};

use super::server::{Life, Server, Socket};
use super::tls::{Certificate, test_ca};

/// Between two bytes: so short that one always comes just before a limit ends. Even so, no run that waits for the rest
/// of what drips is over in time.
const PAUSE: Duration = Duration::from_millis(20);
/// How much drips, in bytes.
const AMOUNT: usize = 2000;

/// Which proxy a client takes the peer for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Through {
    Nothing,
    /// An HTTP proxy that is asked for a tunnel.
    Connect,
    Socks5,
}

/// What is wrapped around the bytes of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrap {
    Plain,
    /// TLS. What drips is one record, of which a byte comes now and then.
    Tls,
    /// TLS. What drips comes whole, a record for each byte.
    TlsRecords,
}

/// What drips. Everything before it comes at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The proxy's answer.
    Proxy,
    /// The server's side of the TLS handshake.
    Handshake,
    Head,
    Content,
    /// The line with the size of a chunk.
    ChunkSize,
    Trailer,
    /// The content of a redirect, which leads to `/found`.
    Redirect,
    /// Nothing that is sent: the request is read that slowly.
    Request,
}

impl Part {
    /// What is sent at once and what drips, in the answer to a request.
    fn answer(self) -> (String, String) {
        let ok = "HTTP/1.1 200 OK\r\n";
        let chunked = format!("{ok}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
        let filler = "x".repeat(AMOUNT);
        match self {
            Self::Head => (String::new(), format!("{ok}X-Filler: {filler}\r\nContent-Length: 1\r\n\r\nx")),
            Self::Content => (format!("{ok}Content-Length: {AMOUNT}\r\n\r\n"), filler),
            Self::ChunkSize => (chunked, format!("5;{filler}\r\nhello\r\n0\r\n\r\n")),
            Self::Trailer => (format!("{chunked}0\r\n"), format!("X-Filler: {filler}\r\n\r\n")),
            Self::Redirect => {
                let to = "HTTP/1.1 302 Found\r\nLocation: /found\r\n";
                (format!("{to}Content-Length: {AMOUNT}\r\n\r\n"), filler)
            }
            Self::Proxy | Self::Handshake | Self::Request => {
                (format!("{ok}Content-Length: 1\r\n\r\nx"), String::new())
            }
        }
    }
}

/// How a client gets to the peer, and what drips there.
#[derive(Clone, Copy, Debug)]
pub struct Drip {
    pub through: Through,
    pub wrap: Wrap,
    pub part: Part,
}

/// A running peer.
pub struct DrippingPeer {
    drip: Drip,
    server: Server,
}

impl DrippingPeer {
    pub fn start(drip: Drip) -> Self {
        let tls = (drip.wrap != Wrap::Plain).then(|| test_ca().server(Certificate::Valid));
        let server = Server::start(IpAddr::V4(Ipv4Addr::LOCALHOST), move |socket, _, life| {
            // An error means that the client has left.
            let _ = Conversation { drip, life, socket, tls: None }.converse(tls.as_ref());
        });
        Self { drip, server }
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    pub fn url(&self, path: &str) -> String {
        let scheme = if self.drip.wrap == Wrap::Plain { "http" } else { "https" };
        format!("{scheme}://{}{path}", self.address())
    }

    /// The options of curl that lead to the peer by way of its proxy; the CA's certificate lies in `ca`.
    pub fn options(&self, ca: &str) -> Vec<String> {
        let address = self.address();
        let way = match self.drip.through {
            Through::Nothing => vec![],
            Through::Connect => vec!["-p".to_owned(), "-x".to_owned(), format!("http://{address}")],
            Through::Socks5 => vec!["-x".to_owned(), format!("socks5h://{address}")],
        };
        way.into_iter().chain(["--cacert".to_owned(), ca.to_owned()]).collect()
    }
}

/// One connection.
struct Conversation<'a> {
    drip: Drip,
    life: &'a Life,
    socket: Socket,
    tls: Option<ServerConnection>,
}

impl Conversation<'_> {
    fn converse(mut self, tls: Option<&Arc<ServerConfig>>) -> io::Result<()> {
        match self.drip.through {
            Through::Nothing => {}
            Through::Connect => self.answer_connect()?,
            Through::Socks5 => self.answer_socks5()?,
        }
        if let Some(config) = tls {
            self.shake_hands(config)?;
        }
        loop {
            let path = self.read_request()?;
            if path == "/found" {
                self.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nfound")?;
                self.socket.finish_sending();
                return Ok(());
            }
            let (at_once, slowly) = self.drip.part.answer();
            self.send(at_once.as_bytes())?;
            self.send_slowly(slowly.as_bytes())?;
        }
    }

    fn answer_connect(&mut self) -> io::Result<()> {
        read_head(&mut self.socket)?;
        let filler = "x".repeat(AMOUNT);
        if self.drip.part == Part::Proxy {
            return self.trickle(format!("HTTP/1.1 200 OK\r\nX-Filler: {filler}\r\n\r\n").as_bytes());
        }
        self.socket.write_all(b"HTTP/1.1 200 OK\r\n\r\n")
    }

    fn answer_socks5(&mut self) -> io::Result<()> {
        let [_, methods] = read(&mut self.socket)?;
        io::copy(&mut (&mut self.socket).take(methods.into()), &mut io::sink())?;
        self.socket.write_all(&[5, 0])?;
        let [_, _, _, kind] = read(&mut self.socket)?;
        let host = match kind {
            1 => 4,
            4 => 16,
            _ => u64::from(read::<1>(&mut self.socket)?[0]),
        };
        io::copy(&mut (&mut self.socket).take(host + 2), &mut io::sink())?;
        if self.drip.part == Part::Proxy {
            // The longest answer that there is: a name of 255 bytes.
            let answer = [&[5, 0, 0, 3, 255][..], &[b'x'; 255 + 2]].concat();
            return self.trickle(&answer);
        }
        self.socket.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0])
    }

    fn shake_hands(&mut self, config: &Arc<ServerConfig>) -> io::Result<()> {
        let mut tls = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
        while tls.is_handshaking() {
            let mut flight = Vec::new();
            while tls.wants_write() {
                tls.write_tls(&mut flight)?;
            }
            if self.drip.part == Part::Handshake {
                self.trickle(&flight)?;
            } else {
                self.socket.write_all(&flight)?;
            }
            if tls.is_handshaking() {
                receive(&mut tls, &mut self.socket)?;
            }
        }
        self.tls = Some(tls);
        Ok(())
    }

    /// Reads the head of a request, and returns the path that it is for.
    fn read_request(&mut self) -> io::Result<String> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            if self.drip.part == Part::Request && !self.life.pause(PAUSE) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let byte = match &mut self.tls {
                None => read::<1>(&mut self.socket)?[0],
                Some(tls) => read_byte(tls, &mut self.socket)?,
            };
            head.push(byte);
        }
        let head = String::from_utf8_lossy(&head);
        Ok(head.split(' ').nth(1).unwrap_or_default().to_owned())
    }

    /// Wrapped as the client wants it.
    fn wrapped(&mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let Some(tls) = &mut self.tls else { return Ok(bytes.to_owned()) };
        let mut wrapped = Vec::new();
        tls.writer().write_all(bytes)?;
        while tls.wants_write() {
            tls.write_tls(&mut wrapped)?;
        }
        Ok(wrapped)
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let wrapped = self.wrapped(bytes)?;
        self.socket.write_all(&wrapped)
    }

    fn send_slowly(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.drip.wrap != Wrap::TlsRecords {
            let wrapped = self.wrapped(bytes)?;
            return self.trickle(&wrapped);
        }
        for byte in bytes {
            self.send(&[*byte])?;
            self.pause()?;
        }
        Ok(())
    }

    /// A byte now and then.
    fn trickle(&mut self, bytes: &[u8]) -> io::Result<()> {
        for byte in bytes {
            self.socket.write_all(&[*byte])?;
            self.pause()?;
        }
        Ok(())
    }

    fn pause(&self) -> io::Result<()> {
        if self.life.pause(PAUSE) { Ok(()) } else { Err(io::ErrorKind::Interrupted.into()) }
    }
}

fn read_head(socket: &mut Socket) -> io::Result<()> {
    let mut client = BufReader::with_capacity(1, socket.clone());
    let mut line = Vec::new();
    while line != b"\r\n" {
        line.clear();
        if client.read_until(b'\n', &mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

fn receive(tls: &mut ServerConnection, socket: &mut Socket) -> io::Result<()> {
    if tls.read_tls(socket)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    tls.process_new_packets().map(drop).map_err(io::Error::other)
}

/// The next byte of what the client says inside of TLS.
fn read_byte(tls: &mut ServerConnection, socket: &mut Socket) -> io::Result<u8> {
    let mut byte = [0];
    loop {
        match tls.reader().read(&mut byte) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => return Ok(byte[0]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => receive(tls, socket)?,
            Err(error) => return Err(error),
        }
    }
}

fn read<const N: usize>(from: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}
