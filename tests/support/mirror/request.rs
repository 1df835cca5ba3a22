//! A request as it arrived, and nothing read into it.

use std::io::{self, BufRead};
use std::time::Instant;

/// The head of a request. GET has no content, and nothing here reads any.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub target: String,
    pub version: String,
    /// Header fields in their order, names as they were written.
    pub fields: Vec<(String, String)>,
    /// When its last byte had arrived.
    pub at: Instant,
    /// Which of the server's connections it came on, from 0.
    pub connection: usize,
}

impl Request {
    /// The next request of a connection, or none when the client has finished.
    ///
    /// # Errors
    ///
    /// `InvalidData` when what arrives is no HTTP, else what the socket says.
    pub fn read(client: &mut impl BufRead, connection: usize) -> io::Result<Option<Self>> {
        // A TLS hello has no line end to wait for.
        if client.fill_buf()?.first().is_some_and(|byte| !byte.is_ascii_uppercase()) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let Some(line) = read_line(client)? else { return Ok(None) };
        let mut words = line.split(' ').map(str::to_owned);
        let (Some(method), Some(target), Some(version), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        let mut fields = Vec::new();
        while let Some(line) = read_line(client)?.filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':').ok_or(io::ErrorKind::InvalidData)?;
            fields.push((name.to_owned(), value.trim().to_owned()));
        }
        #[expect(clippy::disallowed_methods, reason = "the time of arrival is part of the record")]
        let at = Instant::now();
        Ok(Some(Self { method, target, version, fields, at, connection }))
    }

    /// The target without its query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or(&self.target)
    }

    /// The first value of a field; names compare without case.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields
            .iter()
            .find(|(given, _)| given.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The first position that a single-range `Range: bytes=first-` asks for; 0 without one.
    pub fn first_pos(&self) -> u64 {
        let range = self.field("Range").and_then(|range| range.strip_prefix("bytes="));
        range.and_then(|range| range.split('-').next()?.parse().ok()).unwrap_or(0)
    }

    /// The client means to close the connection after the answer (RFC 9112, section 9.6).
    pub fn wants_close(&self) -> bool {
        let connection = self.field("Connection").unwrap_or_default();
        connection.eq_ignore_ascii_case("close")
            || (self.version == "HTTP/1.0" && !connection.eq_ignore_ascii_case("keep-alive"))
    }

    /// The head that a proxy sends on: origin-form, its own fields taken out, one request a connection.
    pub fn forwarded(&self, path: &str) -> String {
        let path = if path.is_empty() { "/" } else { path };
        let hop_by_hop = ["proxy-authorization", "proxy-connection", "connection"];
        let mut lines = vec![format!("{} {path} {}", self.method, self.version)];
        for (name, value) in &self.fields {
            if !hop_by_hop.contains(&&*name.to_ascii_lowercase()) {
                lines.push(format!("{name}: {value}"));
            }
        }
        lines.push("Connection: close\r\n\r\n".to_owned());
        lines.join("\r\n")
    }
}

/// A line without its end, or none at the end of the stream. An unfinished one counts as the end: its
/// sender has left.
fn read_line(client: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    client.read_until(b'\n', &mut line)?;
    let Some(line) = line.strip_suffix(b"\n") else { return Ok(None) };
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    Ok(Some(String::from_utf8_lossy(line).into_owned()))
}
