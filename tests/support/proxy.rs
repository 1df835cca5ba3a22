//! An HTTP proxy and a SOCKS5 proxy.
//!
//! Both open one connection to the origin for each request or tunnel and close with it, and resolve only
//! names they were told: no test needs DNS.

use std::collections::HashMap;
use std::io::{self, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::mirror::request::Request;
use super::server::{Life, Server, Socket};

/// What a proxy is like.
#[derive(Clone, Debug)]
pub enum Manners {
    Open,
    /// Wants these credentials: `user:password`.
    Asking(String),
    /// Turns everyone away: an HTTP proxy with this status, a SOCKS proxy with reply 2, "not allowed".
    Refusing(u16),
}

/// One line of what a proxy was asked.
#[derive(Clone, Debug)]
pub enum Asked {
    /// To an HTTP proxy: the request as it came, with its absolute-form target, or CONNECT.
    Http(Request),
    /// To a SOCKS5 proxy: the destination as the client wrote it, and `user:password` if it gave one.
    Socks { destination: String, credentials: Option<String>, at: std::time::Instant },
}

/// A running proxy.
pub struct Proxy {
    server: Server,
    shared: Arc<Shared>,
}

struct Shared {
    manners: Manners,
    hosts: Mutex<HashMap<String, SocketAddr>>,
    asked: Mutex<Vec<Asked>>,
}

impl Proxy {
    /// An HTTP proxy: absolute-form requests and CONNECT (RFC 9110, section 9.3.6).
    pub fn http(manners: Manners) -> Self {
        Self::start(manners, Shared::serve_http)
    }

    /// A SOCKS5 proxy (RFC 1928, with RFC 1929 for credentials), CONNECT only.
    pub fn socks5(manners: Manners) -> Self {
        Self::start(manners, |shared, socket, _, life| {
            // A client that leaves in the middle of the greeting is what some tests are about.
            let _ = shared.serve_socks(socket, life);
        })
    }

    /// Has `name` stand for `address`, on whatever port it is asked for.
    pub fn knows(&self, name: &str, address: SocketAddr) {
        lock(&self.shared.hosts).insert(name.to_owned(), address);
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Everything asked so far, in order.
    pub fn asked(&self) -> Vec<Asked> {
        lock(&self.shared.asked).clone()
    }

    /// Ends the proxy once its clients are gone, and says what it was asked.
    pub fn finish(mut self) -> Vec<Asked> {
        self.server.drain();
        self.asked()
    }

    fn start(
        manners: Manners,
        serve: impl Fn(&Shared, Socket, usize, &Life) + Send + Sync + 'static,
    ) -> Self {
        let shared = Arc::new(Shared { manners, hosts: Mutex::default(), asked: Mutex::default() });
        let server = Server::start(IpAddr::V4(Ipv4Addr::LOCALHOST), {
            let shared = Arc::clone(&shared);
            move |socket, number, life| serve(&shared, socket, number, life)
        });
        Self { server, shared }
    }
}

impl Shared {
    fn serve_http(&self, socket: Socket, number: usize, life: &Life) {
        let mut client = BufReader::new(socket);
        let Ok(Some(request)) = Request::read(&mut client, number) else { return };
        lock(&self.asked).push(Asked::Http(request.clone()));
        // A failed write means that the client has left.
        let _ = self.answer_http(&mut client, &request, life);
        client.get_ref().finish_sending();
        client.get_ref().wait_for_close();
    }

    fn answer_http(&self, client: &mut BufReader<Socket>, request: &Request, life: &Life) -> io::Result<()> {
        let socket = client.get_mut();
        match &self.manners {
            Manners::Open => {}
            Manners::Refusing(status) => return refuse(socket, *status, ""),
            Manners::Asking(credentials) => {
                let wanted = format!("Basic {}", base64(credentials.as_bytes()));
                if request.field("Proxy-Authorization") != Some(&wanted) {
                    return refuse(socket, 407, "Proxy-Authenticate: Basic realm=\"proxy\"\r\n");
                }
            }
        }
        if request.method == "CONNECT" {
            let Some(origin) = self.connect(&request.target, life) else { return refuse(socket, 502, "") };
            socket.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
            tunnel(socket.clone(), origin);
            return Ok(());
        }
        let Some((authority, path)) = split_absolute(&request.target) else { return refuse(socket, 400, "") };
        let authority = if has_port(authority) { authority.to_owned() } else { format!("{authority}:80") };
        let Some(mut origin) = self.connect(&authority, life) else { return refuse(socket, 502, "") };
        origin.write_all(request.forwarded(path).as_bytes())?;
        io::copy(&mut origin, socket)?;
        Ok(())
    }

    fn serve_socks(&self, mut client: Socket, life: &Life) -> io::Result<()> {
        let mut head = [0; 2];
        client.read_exact(&mut head)?;
        let mut methods = vec![0; usize::from(head[1])];
        client.read_exact(&mut methods)?;

        let method = if matches!(self.manners, Manners::Asking(_)) { 2 } else { 0 };
        if head[0] != 5 || !methods.contains(&method) {
            return client.write_all(&[5, 0xff]);
        }
        client.write_all(&[5, method])?;
        let credentials = if method == 2 { Some(read_credentials(&mut client)?) } else { None };
        if let (Manners::Asking(wanted), Some(given)) = (&self.manners, &credentials) {
            client.write_all(&[1, u8::from(given != wanted)])?;
            if given != wanted {
                return Ok(());
            }
        }

        let destination = read_destination(&mut client)?;
        #[expect(clippy::disallowed_methods, reason = "the time of arrival is part of the record")]
        let at = std::time::Instant::now();
        lock(&self.asked).push(Asked::Socks { destination: destination.clone(), credentials, at });
        let origin = match self.manners {
            Manners::Refusing(_) => Err(2),
            _ => self.connect(&destination, life).ok_or(4),
        };
        let reply = origin.as_ref().err().copied().unwrap_or(0);
        client.write_all(&[5, reply, 0, 1, 0, 0, 0, 0, 0, 0])?;
        if let Ok(origin) = origin {
            tunnel(client, origin);
        }
        Ok(())
    }

    fn connect(&self, authority: &str, life: &Life) -> Option<Socket> {
        let (host, _) = authority.rsplit_once(':')?;
        let known = lock(&self.hosts).get(host).copied();
        let address = known.or_else(|| authority.parse().ok())?;
        TcpStream::connect(address).ok().map(|stream| life.adopt(stream))
    }
}

/// `Authorization`'s alphabet (RFC 4648, section 4).
pub fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let group =
            chunk.iter().fold(0_u32, |group, byte| group << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let index = (group >> (18 - 6 * place)) & 63;
            text.push(if place <= chunk.len() { ALPHABET[index as usize].into() } else { '=' });
        }
    }
    text
}

fn refuse(client: &mut Socket, status: u16, fields: &str) -> io::Result<()> {
    let head = format!("HTTP/1.1 {status} Refused\r\n{fields}Content-Length: 0\r\nConnection: close\r\n\r\n");
    client.write_all(head.as_bytes())
}

/// Carries bytes both ways until each side has finished.
fn tunnel(client: Socket, origin: Socket) {
    let upward = thread::spawn({
        let (client, origin) = (client.clone(), origin.clone());
        move || pump(client, origin)
    });
    pump(origin, client);
    // A panic there is impossible to miss: the client's bytes stop.
    let _ = upward.join();
}

fn pump(mut from: Socket, mut to: Socket) {
    // Either end leaving is the end of the tunnel, whatever the reason.
    let _ = io::copy(&mut from, &mut to);
    to.finish_sending();
}

fn split_absolute(target: &str) -> Option<(&str, &str)> {
    let rest = target.strip_prefix("http://")?;
    let slash = rest.find('/').unwrap_or(rest.len());
    Some(rest.split_at(slash))
}

fn has_port(authority: &str) -> bool {
    authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok())
}

fn read_credentials(client: &mut Socket) -> io::Result<String> {
    let mut version = [0; 1];
    client.read_exact(&mut version)?;
    let user = read_counted(client)?;
    let password = read_counted(client)?;
    Ok(format!("{user}:{password}"))
}

fn read_destination(client: &mut Socket) -> io::Result<String> {
    let mut head = [0; 4];
    client.read_exact(&mut head)?;
    let host = match head[3] {
        1 => {
            let mut octets = [0; 4];
            client.read_exact(&mut octets)?;
            Ipv4Addr::from(octets).to_string()
        }
        4 => {
            let mut octets = [0; 16];
            client.read_exact(&mut octets)?;
            format!("[{}]", Ipv6Addr::from(octets))
        }
        _ => read_counted(client)?,
    };
    let mut port = [0; 2];
    client.read_exact(&mut port)?;
    Ok(format!("{host}:{}", u16::from_be_bytes(port)))
}

fn read_counted(client: &mut Socket) -> io::Result<String> {
    let mut length = [0; 1];
    client.read_exact(&mut length)?;
    let mut text = vec![0; usize::from(length[0])];
    client.read_exact(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn base64_of_the_rfc_4648_vectors() {
    for (plain, encoded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
    {
        assert_eq!(base64(plain.as_bytes()), encoded);
    }
}
