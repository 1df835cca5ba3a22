//! What is needed of RFC 3986: percent-encoding, the parts of an `http` or `https` URI, and URIs that may be
//! shown.

use crate::http::url::Scheme;
use std::fmt::Write;
use std::net::Ipv6Addr;

/// Percent-encodes the octets that Portage encodes in the path of a mirror's URI (Python's
/// `urllib.parse.quote`): all but letters, digits, `_.-~` and the slash.
pub fn quote(path: &str) -> String {
    let mut quoted = String::with_capacity(path.len());
    for octet in path.bytes() {
        if octet.is_ascii_alphanumeric() || b"_.-~/".contains(&octet) {
            quoted.push(char::from(octet));
        } else {
            let _ = write!(quoted, "%{octet:02X}"); // writing to a String cannot fail
        }
    }
    quoted
}

/// Decodes `%XX`; a `%` without two hexadecimal digits stays as it is.
pub fn unquote(text: &str) -> Vec<u8> {
    let mut rest = text.as_bytes();
    let mut octets = Vec::with_capacity(rest.len());
    while let Some((octet, length)) = first_octet(rest) {
        octets.push(octet);
        rest = &rest[length..];
    }
    octets
}

/// What follows `prefix` in `path`, both compared after percent-decoding; the rest stays encoded.
pub fn strip_prefix<'p>(path: &'p str, prefix: &str) -> Option<&'p str> {
    let (mut path_rest, mut prefix_rest) = (path.as_bytes(), prefix.as_bytes());
    while let Some((wanted, prefix_length)) = first_octet(prefix_rest) {
        let (octet, length) = first_octet(path_rest)?;
        if octet != wanted {
            return None;
        }
        path_rest = &path_rest[length..];
        prefix_rest = &prefix_rest[prefix_length..];
    }
    path.get(path.len() - path_rest.len()..)
}

/// The URI without query and fragment.
pub fn without_query(uri: &str) -> &str {
    uri.split(['?', '#']).next().unwrap_or_default()
}

/// The URI as it may be shown or stored: `***` in place of its userinfo, which may be a password or a token. In a
/// text that is no `http` or `https` URI a password may end anywhere: at the last `@`, to be safe.
pub fn redact(uri: &str) -> String {
    match HttpUri::parse(uri) {
        Ok(parts) => match parts.userinfo {
            Some(userinfo) => uri.replacen(&format!("//{userinfo}@"), "//***@", 1),
            None => uri.to_owned(),
        },
        Err(_) => redact_malformed(uri),
    }
}

/// The parts of an `http` or `https` URI, the host in lower case, the port's default filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpUri<'u> {
    pub scheme: Scheme,
    pub userinfo: Option<&'u str>,
    /// A name or an address, an IPv6 address in its brackets.
    pub host: String,
    pub port: u16,
    /// Empty, or beginning with a slash; still percent-encoded.
    pub path: &'u str,
    /// Query and fragment with the `?` or `#` before them.
    pub query: &'u str,
}

/// Why a text is not an `http` or `https` URI. The texts in it are redacted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UriError {
    #[error("{0} does not begin with http:// or https://")]
    Scheme(String),
    #[error("{0} has no valid host")]
    Host(String),
    #[error("{0} has no valid port")]
    Port(String),
    #[error("{0:?} has a space or a control character")]
    Character(String),
}

impl<'u> HttpUri<'u> {
    pub fn parse(uri: &'u str) -> Result<Self, UriError> {
        let error = |kind: fn(String) -> UriError| kind(redact_malformed(uri));
        if uri.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(error(UriError::Character));
        }
        let (scheme, hierarchical) = uri.split_once("://").ok_or_else(|| error(UriError::Scheme))?;
        let scheme = [Scheme::Http, Scheme::Https]
            .into_iter()
            .find(|known| known.name().eq_ignore_ascii_case(scheme))
            .ok_or_else(|| error(UriError::Scheme))?;

        let authority = authority_of(hierarchical);
        let after = &hierarchical[authority.len()..];
        let path = without_query(after);
        let (userinfo, host_port) = match authority.rsplit_once('@') {
            Some((userinfo, host_port)) => (Some(userinfo), host_port),
            None => (None, authority),
        };
        let (host, port) = split_port(host_port);
        if !is_host(host) {
            return Err(error(UriError::Host));
        }
        let port = match port {
            None | Some("") => scheme.default_port(),
            Some(digits) => parse_port(digits).ok_or_else(|| error(UriError::Port))?,
        };
        let host = host.to_ascii_lowercase();
        Ok(Self { scheme, userinfo, host, port, path, query: &after[path.len()..] })
    }
}

fn redact_malformed(uri: &str) -> String {
    let Some((secret, rest)) = uri.rsplit_once('@') else { return uri.to_owned() };
    let is_scheme = |text: &&str| text.bytes().all(|octet| octet.is_ascii_alphabetic());
    match secret.split_once("://").map(|(scheme, _)| scheme).filter(is_scheme) {
        Some(scheme) => format!("{scheme}://***@{rest}"),
        None => format!("***@{rest}"),
    }
}

/// The first octet of a percent-encoded text, and how many of its bytes stand for it.
fn first_octet(text: &[u8]) -> Option<(u8, usize)> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    match *text {
        [] => None,
        [b'%', high, low, ..] => match (digit(high), digit(low)) {
            (Some(high), Some(low)) => Some((high * 16 + low, 3)),
            _ => Some((b'%', 1)),
        },
        [byte, ..] => Some((byte, 1)),
    }
}

fn authority_of(hierarchical: &str) -> &str {
    hierarchical.split(['/', '?', '#']).next().unwrap_or_default()
}

/// Splits `HOST:PORT`; the colons of an IPv6 address stand in brackets.
fn split_port(host_port: &str) -> (&str, Option<&str>) {
    match host_port.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (host_port, None),
    }
}

/// Letters, digits, `-._`, or an IPv6 address in brackets. Names beyond ASCII must be written in their
/// ASCII form (RFC 5891).
fn is_host(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return address.parse::<Ipv6Addr>().is_ok();
    }
    !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
}

fn parse_port(digits: &str) -> Option<u16> {
    // `u16::from_str` would take a sign as well.
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quotes_as_python_does() {
        assert_eq!(quote("ab/foo+1 2~x_y-z.tar"), "ab/foo%2B1%202~x_y-z.tar");
        assert_eq!(quote("naïve%"), "na%C3%AFve%25");
        assert_eq!(unquote("%41%zz%4"), b"A%zz%4");
    }

    #[test]
    fn prefixes_are_compared_decoded() {
        for (path, prefix, rest) in [
            ("/a/distfiles/x", "/a/distfiles/", Some("x")),
            ("/%61/distfiles/x%2By", "/a/distfiles/", Some("x%2By")),
            ("/a/distfiles/x", "/%61/", Some("distfiles/x")),
            ("/a", "/a/", None),
            ("/b/x", "/a/", None),
            ("/é", "/%C3", None),
        ] {
            assert_eq!(strip_prefix(path, prefix), rest, "{path} {prefix}");
        }
    }

    #[test]
    fn redacts_all_of_the_userinfo() {
        for (uri, shown) in [
            ("https://h/a@b", "https://h/a@b"),
            ("https://me:secret@h/x", "https://***@h/x"),
            ("https://token@h", "https://***@h"),
            ("https://me:se@cret@h:8080/x", "https://***@h:8080/x"),
            ("https://https@h", "https://***@h"),
            ("mailto:me@h", "***@h"),
            ("ftp://me:secret@h/x", "ftp://***@h/x"),
            ("me:secret@h:99999/x", "***@h:99999/x"),
            ("http:/me:secret@h/x", "***@h/x"),
            ("http://me:se/cret@h/x", "http://***@h/x"),
            ("http://me:se#c@ret@h/x", "http://***@h/x"),
        ] {
            assert_eq!(redact(uri), shown);
        }
    }

    #[test]
    fn parts_of_a_uri() {
        let uri = HttpUri::parse("HTTPS://me:pw@Mirror.Example:8443/Gentoo/?a#b").unwrap();
        let expected = HttpUri {
            scheme: Scheme::Https,
            userinfo: Some("me:pw"),
            host: "mirror.example".to_owned(),
            port: 8443,
            path: "/Gentoo/",
            query: "?a#b",
        };
        assert_eq!(uri, expected);
        for (uri, host, port) in [
            ("http://h", "h", 80),
            ("http://h:/", "h", 80),
            ("https://[2001:DB8::1]", "[2001:db8::1]", 443),
            ("https://[::1]:8080/x", "[::1]", 8080),
        ] {
            let parsed = HttpUri::parse(uri).unwrap();
            assert_eq!((parsed.host.as_str(), parsed.port), (host, port), "{uri}");
        }
    }

    #[test]
    fn refuses_what_is_not_one() {
        use UriError::{Character, Host, Port, Scheme};
        for (uri, error) in [
            ("/mnt/mirror", Scheme as fn(String) -> UriError),
            ("ftp://h/", Scheme),
            ("http:/h/", Scheme),
            ("http://", Host),
            ("http:///x", Host),
            ("http://a<b/", Host),
            ("http://[::g]/", Host),
            ("http://::1/", Host),
            ("http://münchen.example/", Host),
            ("http://h:65536/", Port),
            ("http://h:+80/", Port),
            ("http://h/a b", Character),
            ("http://h/a\r\nHost: evil", Character),
        ] {
            assert_eq!(HttpUri::parse(uri), Err(error(uri.to_owned())));
        }
    }

    proptest! {
        #[test]
        fn decoding_undoes_encoding(text in "\\PC*") {
            prop_assert_eq!(unquote(&quote(&text)), text.as_bytes());
        }

        #[test]
        fn nothing_shown_has_the_password(rest in "[a-z.:@/?#%\\[\\] ]{0,4}@[a-z:/]{1,4}") {
            let uri = format!("https://me:Secret{rest}");
            let shown = match HttpUri::parse(&uri) {
                Ok(_) => redact(&uri),
                Err(error) => error.to_string(),
            };
            prop_assert!(!shown.contains("Secret"), "{}", shown);
        }

        #[test]
        fn no_text_is_too_odd(text in "\\PC*", prefix in "\\PC{0,4}") {
            let _ = (HttpUri::parse(&text), redact(&text), unquote(&text), strip_prefix(&text, &prefix));
        }
    }
}
