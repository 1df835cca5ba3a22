//! What is said to a proxy before the connection to the target stands: CONNECT (RFC 9110, section 9.3.6),
//! SOCKS 4, 4a and 5 (RFC 1928, RFC 1929).

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr};

use base64::prelude::{BASE64_STANDARD, Engine};

use super::Failure;
use super::answer_head::HeadReader;
use super::settings::{Credentials, Proxy, ProxyKind};

/// Where the proxy shall connect to.
#[derive(Clone, Debug)]
pub(super) enum Target {
    Address(SocketAddr),
    Name(String, u16),
}

impl Target {
    /// An address when the host is one.
    pub(super) fn of(host: &str, port: u16) -> Self {
        match host.parse::<IpAddr>() {
            Ok(ip) => Self::Address(SocketAddr::new(ip, port)),
            Err(_) => Self::Name(host.to_owned(), port),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub(super) enum HandshakeError {
    #[error("{0}")]
    Refused(String),
    /// The proxy is in order, and has tried in vain to reach the target.
    #[error("the proxy says: {0}")]
    Unreachable(String),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Speaks the proxy's protocol until the stream leads to the target.
pub(super) fn run(
    stream: &mut (impl Read + Write),
    proxy: &Proxy,
    target: &Target,
    user_agent: &str,
) -> Result<(), HandshakeError> {
    match proxy.kind {
        ProxyKind::Http => connect(stream, proxy.credentials.as_ref(), target, user_agent),
        ProxyKind::Socks5 | ProxyKind::Socks5h => socks5(stream, proxy.credentials.as_ref(), target),
        ProxyKind::Socks4 | ProxyKind::Socks4a => socks4(stream, proxy.credentials.as_ref(), target),
    }
}

/// `Basic …` (RFC 7617).
pub(super) fn basic(credentials: &Credentials) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{}:{}", credentials.user, credentials.password)))
}

fn connect(
    stream: &mut (impl Read + Write),
    credentials: Option<&Credentials>,
    target: &Target,
    user_agent: &str,
) -> Result<(), HandshakeError> {
    let authority = match target {
        Target::Address(address) => address.to_string(),
        Target::Name(host, port) => format!("{host}:{port}"),
    };
    let mut head = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n");
    if let Some(credentials) = credentials {
        head.extend(["Proxy-Authorization: ", &basic(credentials), "\r\n"]);
    }
    if !user_agent.is_empty() {
        head.extend(["User-Agent: ", user_agent, "\r\n"]);
    }
    head += "Proxy-Connection: Keep-Alive\r\n\r\n";
    stream.write_all(head.as_bytes())?;
    // Byte by byte: what follows the head belongs to the tunnel.
    let mut reader = HeadReader::default();
    let head = loop {
        let byte = read::<1>(stream).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => HandshakeError::Refused("it closed the connection".to_owned()),
            _ => error.into(),
        })?;
        match reader.take(&byte) {
            Ok((_, Some(head))) if !head.is_interim() => break head,
            Ok(_) => {}
            Err(Failure::HeadTooLarge) => {
                return Err(HandshakeError::Refused("its answer has no end".to_owned()));
            }
            Err(failure) => return Err(HandshakeError::Refused(format!("asked to CONNECT, {failure}"))),
        }
    };
    match head.status {
        200..=299 => Ok(()),
        // RFC 9110: of a gateway whose own server has answered nonsense, or not in time.
        code @ (502 | 504) => Err(HandshakeError::Unreachable(format!("HTTP status {code} to CONNECT"))),
        code => Err(HandshakeError::Refused(format!("HTTP status {code} to CONNECT"))),
    }
}

fn socks5(
    stream: &mut (impl Read + Write),
    credentials: Option<&Credentials>,
    target: &Target,
) -> Result<(), HandshakeError> {
    let refused = |why: &str| HandshakeError::Refused(why.to_owned());
    let methods: &[u8] = if credentials.is_some() { &[5, 2, 0, 2] } else { &[5, 1, 0] };
    stream.write_all(methods)?;
    match (read::<2>(stream)?, credentials) {
        ([5, 0], _) => {}
        ([5, 2], Some(credentials)) => {
            let mut request = vec![1];
            for text in [&credentials.user, &credentials.password] {
                let length = u8::try_from(text.len()).map_err(|_| refused("user or password too long"))?;
                request.push(length);
                request.extend_from_slice(text.as_bytes());
            }
            stream.write_all(&request)?;
            if read::<2>(stream)?[1] != 0 {
                return Err(refused("user or password not accepted"));
            }
        }
        ([5, _], _) => return Err(refused("it wants another way to log in")),
        _ => return Err(refused("it does not speak SOCKS 5")),
    }
    let mut request = vec![5, 1, 0];
    let port = match target {
        Target::Address(SocketAddr::V4(address)) => {
            request.push(1);
            request.extend_from_slice(&address.ip().octets());
            address.port()
        }
        Target::Address(SocketAddr::V6(address)) => {
            request.push(4);
            request.extend_from_slice(&address.ip().octets());
            address.port()
        }
        Target::Name(host, port) => {
            request.push(3);
            request.push(u8::try_from(host.len()).map_err(|_| refused("host name too long"))?);
            request.extend_from_slice(host.as_bytes());
            *port
        }
    };
    request.extend_from_slice(&port.to_be_bytes());
    stream.write_all(&request)?;
    let [version, reply, _, kind] = read::<4>(stream)?;
    if version != 5 {
        return Err(refused("it does not speak SOCKS 5"));
    }
    if reply != 0 {
        let reason = socks5_reply(reply).to_owned();
        let of_target = matches!(reply, 4..=6);
        return Err(if of_target {
            HandshakeError::Unreachable(reason)
        } else {
            HandshakeError::Refused(reason)
        });
    }
    let rest = match kind {
        1 => 4,
        4 => 16,
        3 => usize::from(read::<1>(stream)?[0]),
        _ => return Err(refused("its answer makes no sense")),
    };
    stream.read_exact(&mut vec![0; rest + 2])?;
    Ok(())
}

/// RFC 1928, section 6.
fn socks5_reply(code: u8) -> &'static str {
    match code {
        2 => "its rules do not allow the connection",
        3 => "network unreachable",
        4 => "host unreachable",
        5 => "connection refused",
        6 => "time to live expired",
        7 | 8 => "it cannot do that",
        _ => "general failure",
    }
}

fn socks4(
    stream: &mut (impl Read + Write),
    credentials: Option<&Credentials>,
    target: &Target,
) -> Result<(), HandshakeError> {
    let refused = |why: &str| HandshakeError::Refused(why.to_owned());
    let (address, port, name) = match target {
        Target::Address(SocketAddr::V4(address)) => (address.ip().octets(), address.port(), None),
        Target::Address(SocketAddr::V6(_)) => return Err(refused("SOCKS 4 knows no IPv6")),
        Target::Name(host, port) => ([0, 0, 0, 1], *port, Some(host)),
    };
    let mut request = vec![4, 1];
    request.extend_from_slice(&port.to_be_bytes());
    request.extend_from_slice(&address);
    request.extend_from_slice(credentials.map_or("", |c| &c.user).as_bytes());
    request.push(0);
    if let Some(name) = name {
        request.extend_from_slice(name.as_bytes());
        request.push(0);
    }
    stream.write_all(&request)?;
    match read::<8>(stream)?[1] {
        90 => Ok(()),
        _ => Err(refused("request rejected or failed")),
    }
}

fn read<const N: usize>(stream: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stream that answers from a script and keeps what was said to it.
    struct Script {
        answers: io::Cursor<Vec<u8>>,
        heard: Vec<u8>,
    }

    impl Read for Script {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            self.answers.read(buf)
        }
    }

    impl Write for Script {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            self.heard.extend_from_slice(buf);
            Ok(buf.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn speak(kind: ProxyKind, login: bool, answers: &[u8]) -> (Result<(), HandshakeError>, Vec<u8>) {
        let credentials = login.then(|| Credentials { user: "me".to_owned(), password: "pw".to_owned() });
        let proxy = Proxy { kind, host: "p".to_owned(), port: 1, credentials, tunnel: false };
        let mut script = Script { answers: io::Cursor::new(answers.to_vec()), heard: Vec::new() };
        let done = run(&mut script, &proxy, &Target::of("h", 443), "ua");
        (done, script.heard)
    }

    #[test]
    fn connect_tells_the_target_and_the_login() {
        let (done, heard) = speak(ProxyKind::Http, true, b"HTTP/1.1 200 ok\r\nX: y\r\n\r\n");
        assert!(done.is_ok());
        let heard = String::from_utf8(heard).unwrap();
        assert!(heard.starts_with("CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n"), "{heard}");
        assert!(heard.contains("Proxy-Authorization: Basic bWU6cHc=\r\n"), "{heard}");
        for answer in [
            &b"HTTP/1.0 200\n\n"[..],
            b"HTTP/1.1 200 ok\r\nX Y : z\r\n more\r\n\r\n",
            b"HTTP/1.1 100 wait\r\n\r\nHTTP/1.1 200 ok\r\n\r\n",
        ] {
            assert!(speak(ProxyKind::Http, false, answer).0.is_ok());
        }
        for answer in [&b"HTTP/1.1 407 no\r\n\r\n"[..], b"", b"hello\r\n\r\n"] {
            assert!(matches!(speak(ProxyKind::Http, false, answer).0, Err(HandshakeError::Refused(_))));
        }
    }

    #[test]
    fn socks5_asks_by_name() {
        let ok = [5, 0, 5, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        let (done, heard) = speak(ProxyKind::Socks5h, false, &ok);
        assert!(done.is_ok());
        assert_eq!(heard, [5, 1, 0, 5, 1, 0, 3, 1, b'h', 1, 187]);
        let login = [5, 2, 1, 0, 5, 0, 0, 3, 1, b'x', 0, 0];
        assert!(speak(ProxyKind::Socks5h, true, &login).0.is_ok());
        assert!(speak(ProxyKind::Socks5h, true, &[5, 2, 1, 1]).0.is_err());
        for (reply, of_target) in [(1, false), (2, false), (4, true), (5, true), (6, true), (8, false)] {
            let (done, _) = speak(ProxyKind::Socks5h, false, &[5, 0, 5, reply, 0, 1]);
            assert_eq!(matches!(done, Err(HandshakeError::Unreachable(_))), of_target, "{reply}");
            assert!(done.is_err());
        }
        assert!(speak(ProxyKind::Socks5h, false, b"HT").0.is_err());
    }

    #[test]
    fn socks4a_asks_by_name() {
        let (done, heard) = speak(ProxyKind::Socks4a, false, &[0, 90, 0, 0, 0, 0, 0, 0]);
        assert!(done.is_ok());
        assert_eq!(heard, [4, 1, 1, 187, 0, 0, 0, 1, 0, b'h', 0]);
        assert!(speak(ProxyKind::Socks4a, false, &[0, 91, 0, 0, 0, 0, 0, 0]).0.is_err());
    }

    #[test]
    fn every_short_answer_is_an_error() {
        let ok = [5, 0, 5, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for length in 0..ok.len() {
            assert!(speak(ProxyKind::Socks5, false, &ok[..length]).0.is_err(), "{length}");
        }
    }
}
