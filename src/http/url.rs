//! http and https URLs: parsing, references (RFC 3986, section 5), and never showing a password.

use std::fmt;

use super::settings::Credentials;

/// The longest URL that is asked for, in bytes: four times what RFC 9110, section 4.1, wants everybody to take.
pub const LONGEST: usize = 32_000;
/// The longest host name, in bytes (RFC 1035, section 2.3.4).
const LONGEST_HOST: usize = 255;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    Http,
    Https,
}

impl Scheme {
    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    pub fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// Which schemes may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SchemeSet {
    pub http: bool,
    pub https: bool,
}

impl SchemeSet {
    pub const BOTH: Self = Self { http: true, https: true };
    pub const NONE: Self = Self { http: false, https: false };

    pub fn contains(self, scheme: Scheme) -> bool {
        match scheme {
            Scheme::Http => self.http,
            Scheme::Https => self.https,
        }
    }

    #[must_use]
    pub fn intersection(self, other: Self) -> Self {
        Self { http: self.http && other.http, https: self.https && other.https }
    }
}

impl Default for SchemeSet {
    fn default() -> Self {
        Self::BOTH
    }
}

/// An http or https URL. It is shown without its user information.
#[derive(Clone, PartialEq, Eq)]
pub struct Url {
    pub scheme: Scheme,
    pub credentials: Option<Credentials>,
    /// Lower case; an IPv6 address without its brackets.
    host: String,
    port: Option<u16>,
    /// Path and query, beginning with a slash, fit for a request line.
    target: String,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Portage looks for a fetch command of the URL's own scheme first (make.conf(5), `FETCHCOMMAND`).
    #[error(
        "protocol {:?} is not supported, only http and https are; set FETCHCOMMAND_{} to another program, as to wget",
        .0, .0.to_ascii_uppercase()
    )]
    Scheme(String),
    #[error("not a URL: {0}")]
    Malformed(&'static str),
}

impl Url {
    /// Reads a URL as curl does: without a scheme it is an http one, and one slash after the scheme is enough.
    /// Characters that may not stand in a
    /// request line are percent-encoded, except blanks and control characters, which are refused.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        Self::read(text, false)
    }

    /// As [`Self::parse`], but `/./` and `/../` stay in the path (`--path-as-is`).
    pub fn parse_as_is(text: &str) -> Result<Self, UrlError> {
        Self::read(text, true)
    }

    /// Whether a text begins with a scheme, known or not.
    pub fn has_scheme(text: &str) -> bool {
        split_scheme(text).is_some()
    }

    fn read(text: &str, as_is: bool) -> Result<Self, UrlError> {
        if text.bytes().any(|b| b <= b' ' || b == 0x7f) {
            return Err(UrlError::Malformed("it contains a blank or a control character"));
        }
        let (scheme, rest) = match split_scheme(text) {
            None => (Scheme::Http, text),
            Some((scheme, rest)) => match scheme.as_str() {
                "http" => (Scheme::Http, rest.trim_start_matches('/')),
                "https" => (Scheme::Https, rest.trim_start_matches('/')),
                _ => return Err(UrlError::Scheme(scheme)),
            },
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let authority_end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(authority_end);
        let (credentials, host_port) = match authority.rsplit_once('@') {
            None => (None, authority),
            Some((userinfo, host_port)) => (Some(credentials(userinfo)?), host_port),
        };
        let (host, port) = split_port(host_port)?;
        let target = tidy_target(target, as_is)?;
        Ok(Self { scheme, credentials, host: check_host(host)?, port, target })
    }

    /// The URL that `reference` (a `Location` value) means when this one was asked, as curl reads it. User information
    /// is never taken from a reference: a server does not say who we are.
    pub fn join(&self, reference: &str) -> Result<Self, UrlError> {
        let reference = encode_blanks(reference.trim());
        if reference.bytes().any(|b| b < b' ' || b == 0x7f) {
            return Err(UrlError::Malformed("the redirect contains a control character"));
        }
        let absolute = match (reference.strip_prefix("//"), scheme_of(&reference)) {
            (Some(_), _) => Some(format!("{}:{reference}", self.scheme.name())),
            (None, None) => None,
            // The rest is an authority without its slashes, or belongs to another scheme.
            (None, Some(scheme)) if split_scheme(&reference).is_none() => {
                return Err(match scheme.as_str() {
                    "http" | "https" => UrlError::Malformed("no slash follows its scheme"),
                    _ => UrlError::Scheme(scheme),
                });
            }
            (None, Some(_)) => Some(reference.clone()),
        };
        if let Some(absolute) = absolute {
            return Ok(Self { credentials: None, ..Self::parse(&absolute)? });
        }
        let (path, query) = match self.target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (self.target.as_str(), None),
        };
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let without_fragment = reference.split('#').next().unwrap_or_default();
        let target = match without_fragment.as_bytes().first() {
            None if reference.is_empty() => {
                query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"))
            }
            Some(b'/') => without_fragment.to_owned(),
            Some(b'?') => format!("{path}{without_fragment}"),
            None | Some(_) => format!("{folder}/{without_fragment}"),
        };
        Ok(Self { credentials: None, target: tidy_target(&target, false)?, ..self.clone() })
    }

    pub fn host(&self) -> &str {
        &self.host
    }

    pub fn port(&self) -> u16 {
        self.port.unwrap_or_else(|| self.scheme.default_port())
    }

    /// Path and query.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// `host`, or `host:port` when the port is not the scheme's own.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        match self.port {
            Some(port) if port != self.scheme.default_port() => format!("{host}:{port}"),
            _ => host,
        }
    }

    /// Scheme, host and port: what credentials and validators are bound to.
    pub fn same_origin(&self, other: &Self) -> bool {
        self.scheme == other.scheme && self.host == other.host && self.port() == other.port()
    }
}

/// The URL without user information.
impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme.name(), self.authority(), self.target)
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Replaces `%XX` by its byte; anything else is left as it is.
pub fn percent_decode(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let pair = bytes.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        // `from_str_radix` would take a sign as well.
        let pair = pair.filter(|pair| pair.iter().all(u8::is_ascii_hexdigit));
        let byte = pair.and_then(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
        out.push(byte.unwrap_or(bytes[at]));
        at += if byte.is_some() { 3 } else { 1 };
    }
    out
}

/// The scheme in lower case, and what follows the `:/` that makes it one: `h:80` is a host.
fn split_scheme(text: &str) -> Option<(String, &str)> {
    let (scheme, rest) = text.split_once(":/")?;
    let valid = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    valid.then(|| (scheme.to_ascii_lowercase(), rest))
}

/// The scheme that a reference begins with (RFC 3986, section 4.1), in lower case, whatever follows its colon.
fn scheme_of(reference: &str) -> Option<String> {
    let (scheme, _) = reference.split_once(':')?;
    let valid = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    valid.then(|| scheme.to_ascii_lowercase())
}

/// Blanks as curl encodes them: `%20`, and `+` in a query.
fn encode_blanks(reference: &str) -> String {
    match reference.split_once('?') {
        Some((path, query)) => format!("{}?{}", path.replace(' ', "%20"), query.replace(' ', "+")),
        None => reference.replace(' ', "%20"),
    }
}

fn credentials(userinfo: &str) -> Result<Credentials, UrlError> {
    let text = |part: &str| {
        String::from_utf8(percent_decode(part))
            .map_err(|_| UrlError::Malformed("its user information is not UTF-8"))
    };
    let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
    Ok(Credentials { user: text(user)?, password: text(password)? })
}

fn split_port(host_port: &str) -> Result<(&str, Option<u16>), UrlError> {
    let colon = match host_port.strip_prefix('[') {
        Some(_) => host_port.rfind("]:").map(|at| at + 1),
        None => host_port.rfind(':'),
    };
    let Some(colon) = colon else { return Ok((host_port, None)) };
    let (host, port) = (&host_port[..colon], &host_port[colon + 1..]);
    if port.is_empty() {
        return Ok((host, None));
    }
    let digits = port.bytes().all(|b| b.is_ascii_digit());
    match port.parse() {
        Ok(port) if digits => Ok((host, Some(port))),
        _ => Err(UrlError::Malformed("its port is not a number up to 65535")),
    }
}

fn check_host(host: &str) -> Result<String, UrlError> {
    if let Some(address) = host.strip_prefix('[') {
        let address = address.strip_suffix(']').and_then(|a| a.parse::<std::net::Ipv6Addr>().ok());
        return address.map(|a| a.to_string()).ok_or(UrlError::Malformed("its host is not an IPv6 address"));
    }
    if host.is_empty() {
        return Err(UrlError::Malformed("it has no host"));
    }
    if host.len() > LONGEST_HOST {
        return Err(UrlError::Malformed("its host is longer than host names are"));
    }
    let host = String::from_utf8(percent_decode(host)).unwrap_or_default();
    if host.is_empty() || !host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b)) {
        return Err(UrlError::Malformed("its host has a character that no host name has"));
    }
    Ok(host.to_ascii_lowercase())
}

/// A path and query fit for a request line: begins with a slash, dot segments resolved (unless the path stays
/// `as_is`), other characters percent-encoded, and not too long.
fn tidy_target(target: &str, as_is: bool) -> Result<String, UrlError> {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let mut out = if as_is { encode(path) } else { encode(&remove_dot_segments(path)) };
    if !out.starts_with('/') {
        out.insert(0, '/');
    }
    // As in curl, an empty query is none.
    if let Some(query) = query.filter(|query| !query.is_empty()) {
        out.push('?');
        out.push_str(&encode(query));
    }
    if out.len() > LONGEST {
        return Err(UrlError::Malformed("it is too long"));
    }
    Ok(out)
}

/// RFC 3986, section 5.2.4.
fn remove_dot_segments(path: &str) -> String {
    if !path.split('/').any(|segment| matches!(segment, "." | "..")) {
        return path.to_owned();
    }
    let mut out: Vec<&str> = Vec::new();
    let segments: Vec<&str> = path.strip_prefix('/').unwrap_or(path).split('/').collect();
    for (at, segment) in segments.iter().enumerate() {
        let last = at + 1 == segments.len();
        match *segment {
            "." if last => out.push(""),
            "." => {}
            ".." => {
                out.pop();
                if last {
                    out.push("");
                }
            }
            other => out.push(other),
        }
    }
    format!("/{}", out.join("/"))
}

fn encode(text: &str) -> String {
    use fmt::Write;
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        if byte.is_ascii_graphic() && !b"<>`".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}"); // writing to a String cannot fail
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_sign_is_no_hexadecimal_digit() {
        assert_eq!(percent_decode("%+1%-2%4+%41%"), b"%+1%-2%4+A%");
        let url = Url::parse("http://u:50%+5@h/").unwrap();
        assert_eq!(url.credentials.map(|given| given.password).as_deref(), Some("50%+5"));
    }

    #[test]
    fn parses() {
        let url = Url::parse("HTTPS://me:s%40cret@Example.ORG:8443/a/./b/../c?x=1#frag").unwrap();
        assert_eq!(url.to_string(), "https://example.org:8443/a/c?x=1");
        assert_eq!(url.credentials.clone().unwrap().password, "s@cret");
        assert!(!format!("{url:?}").contains("cret"));
        for (text, shown) in [
            ("example.org", "http://example.org/"),
            ("http:/h/x", "http://h/x"),
            ("h:80", "http://h/"),
            ("http://h:80/x", "http://h/x"),
            ("https://h:80/x", "https://h:80/x"),
            ("http://[::1]:8080/x", "http://[::1]:8080/x"),
            ("http://h?q", "http://h/?q"),
            ("http://h/a{b}<\u{e9}", "http://h/a{b}%3C%C3%A9"),
            ("http://h/%2e%7e+x", "http://h/%2e%7e+x"),
        ] {
            assert_eq!(Url::parse(text).unwrap().to_string(), shown, "{text}");
        }
    }

    #[test]
    fn refuses() {
        for text in
            ["", "http://", "http:///", "http://h:99999/", "http://h:1x/", "http://a b/", "http://[::g]/"]
        {
            assert!(matches!(Url::parse(text), Err(UrlError::Malformed(_))), "{text:?}");
        }
        for long in ["z".repeat(256), format!("h/{}", "z".repeat(LONGEST)), format!("h/{}", "é".repeat(8000))]
        {
            assert!(matches!(Url::parse(&long), Err(UrlError::Malformed(_))));
        }
        assert!(Url::parse("h").unwrap().join(&"z".repeat(LONGEST)).is_err());
        for text in ["ftp://h/x", "ftp:/h/x", "file:///etc/passwd", "gopher://h/"] {
            assert!(matches!(Url::parse(text), Err(UrlError::Scheme(_))), "{text:?}");
        }
    }

    #[test]
    fn joins() {
        let base = Url::parse("http://me:pw@h:81/a/b/c?q").unwrap();
        for (reference, want) in [
            ("d", "http://h:81/a/b/d"),
            ("../d", "http://h:81/a/d"),
            ("/d e", "http://h:81/d%20e"),
            ("?y", "http://h:81/a/b/c?y"),
            ("/d e?f g#h i", "http://h:81/d%20e?f+g"),
            ("?y z", "http://h:81/a/b/c?y+z"),
            ("?", "http://h:81/a/b/c"),
            ("#part", "http://h:81/a/b/"),
            ("d#part", "http://h:81/a/b/d"),
            ("/x:y", "http://h:81/x:y"),
            ("?x:y", "http://h:81/a/b/c?x:y"),
            ("//other/x", "http://other/x"),
            ("https://other/x", "https://other/x"),
            ("", "http://h:81/a/b/c?q"),
        ] {
            let joined = base.join(reference).unwrap();
            assert_eq!(joined.to_string(), want, "{reference}");
            assert!(joined.credentials.is_none());
        }
        for reference in ["file:///etc/passwd", "mailto:x@y", "javascript:x", "c:80/x", "x.tar:1"] {
            assert!(matches!(base.join(reference), Err(UrlError::Scheme(_))), "{reference}");
        }
        for reference in ["http:g", "https:", "/a\tb", "/a\u{1}"] {
            assert!(matches!(base.join(reference), Err(UrlError::Malformed(_))), "{reference}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in ".*", reference in ".*") {
            if let Ok(url) = Url::parse(&text) {
                prop_assert_eq!(Url::parse(&url.to_string()).unwrap().to_string(), url.to_string());
                let _ = url.join(&reference);
            }
        }
    }
}
