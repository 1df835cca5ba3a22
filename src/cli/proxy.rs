//! Which proxy a URL is fetched through: curl's rules, as a pure function of options and environment.

use super::exit::ExitStatus;
use super::values::percent_decoded;
use crate::http::settings::{Credentials, Proxy, ProxyKind};
use crate::http::url::Scheme;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What the command line says of proxies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxyOptions {
    /// `-x` or one of `--socks…`; an empty value switches off what the environment says.
    pub proxy: Option<ProxyArgument>,
    /// `-U`, for a proxy that is written without credentials.
    pub credentials: Option<Credentials>,
    /// `--noproxy`, in place of `no_proxy`.
    pub noproxy: Option<String>,
    /// `-p`: CONNECT for http too.
    pub tunnel: bool,
}

/// A proxy as it was written. `Debug` hides it, because it may hold a password.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyArgument {
    pub value: String,
    /// What it is when no scheme is written.
    pub kind: ProxyKind,
}

impl std::fmt::Debug for ProxyArgument {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProxyArgument").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// Why a proxy cannot be used. The text never shows the proxy itself: it may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    #[error(
        "the proxy's scheme {scheme:?} (from {origin}) is not http, https, socks4, socks4a, socks5 or socks5h"
    )]
    Scheme { scheme: String, origin: String },
    #[error("the proxy from {origin} is not [scheme://][user:password@]host[:port]")]
    Syntax { origin: String },
    #[error("an https:// proxy is not supported: use http:// or socks5h://")]
    Https,
}

impl ProxyError {
    /// curl's status for it.
    pub fn status(&self) -> ExitStatus {
        match self {
            Self::Scheme { .. } => ExitStatus::CouldntConnect,
            Self::Syntax { .. } => ExitStatus::CouldntResolveProxy,
            Self::Https => ExitStatus::UnsupportedProtocol,
        }
    }
}

/// The proxy for a URL, or `None` for a direct connection.
///
/// `host` is the URL's host without its port; `env` looks up an environment variable. As in curl,
/// `HTTP_PROXY` in capitals is not looked at (a CGI server sets it from a request's field), every other
/// variable may be written in either case, and empty ones count as absent.
pub fn for_url(
    options: &ProxyOptions,
    scheme: Scheme,
    host: &str,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<Proxy>, ProxyError> {
    let set = |name: &str| env(name).filter(|value| !value.is_empty()).map(|value| (value, name.to_owned()));
    let first = |names: &[&str]| names.iter().find_map(|name| set(name));
    let excluded = options.noproxy.clone().or_else(|| first(&["no_proxy", "NO_PROXY"]).map(|(list, _)| list));
    if excluded.is_some_and(|list| is_excluded(host, &list)) {
        return Ok(None);
    }
    if let Some(argument) = &options.proxy {
        if argument.value.is_empty() {
            return Ok(None);
        }
        return parse(&argument.value, argument.kind, "the command line", options).map(Some);
    }
    let found = match scheme {
        Scheme::Http => first(&["http_proxy", "all_proxy", "ALL_PROXY"]),
        Scheme::Https => first(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]),
    };
    found.map(|(value, name)| parse(&value, ProxyKind::Http, &name, options)).transpose()
}

/// curl's default port of a proxy.
const DEFAULT_PORT: u16 = 1080;

/// Reads `[scheme://][user[:password]@]host[:port][/…]`.
fn parse(text: &str, kind: ProxyKind, origin: &str, options: &ProxyOptions) -> Result<Proxy, ProxyError> {
    let wrong = || ProxyError::Syntax { origin: origin.to_owned() };
    let (scheme, rest) = text.split_once("://").map_or((None, text), |(scheme, rest)| (Some(scheme), rest));
    let kind = match scheme.map(str::to_ascii_lowercase).as_deref() {
        None | Some("http") => Some(kind),
        Some("https") => None,
        Some("socks" | "socks4") => Some(ProxyKind::Socks4),
        Some("socks4a") => Some(ProxyKind::Socks4a),
        Some("socks5") => Some(ProxyKind::Socks5),
        Some("socks5h") => Some(ProxyKind::Socks5h),
        Some(other) => {
            return Err(ProxyError::Scheme { scheme: other.to_owned(), origin: origin.to_owned() });
        }
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let (userinfo, place) = authority.rsplit_once('@').map_or((None, authority), |(u, p)| (Some(u), p));
    let (host, port) = host_and_port(place).ok_or_else(wrong)?;
    let credentials = match userinfo {
        Some(info) => {
            let (user, password) = info.split_once(':').unwrap_or((info, ""));
            Some((user, password))
        }
        None => options.credentials.as_ref().map(|c| (c.user.as_str(), c.password.as_str())),
    };
    // curl decodes both the URL's and those of -U.
    let decoded = credentials.map(|(user, password)| {
        Some(Credentials { user: percent_decoded(user)?, password: percent_decoded(password)? })
    });
    let credentials = decoded.map(|credentials| credentials.ok_or_else(wrong)).transpose()?;
    let kind = kind.ok_or(ProxyError::Https)?;
    let (host, port) = (host.to_owned(), port.unwrap_or(DEFAULT_PORT));
    Ok(Proxy { kind, host, port, credentials, tunnel: options.tunnel })
}

fn host_and_port(place: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match place.strip_prefix('[') {
        Some(inner) => {
            let (host, rest) = inner.split_once(']')?;
            host.split('%').next()?.parse::<Ipv6Addr>().ok()?;
            (host, if rest.is_empty() { "" } else { rest.strip_prefix(':')? })
        }
        None => place.split_once(':').unwrap_or((place, "")),
    };
    let forbidden = |c: char| c.is_whitespace() || c.is_control() || c == '%';
    if host.is_empty() || (host.contains(forbidden) && !place.starts_with('[')) {
        return None;
    }
    if port.is_empty() {
        return Some((host, None));
    }
    let digits = port.bytes().all(|b| b.is_ascii_digit());
    let port = port.parse().ok().filter(|port| digits && *port != 0)?;
    Some((host, Some(port)))
}

/// curl's reading of `no_proxy`: words between commas (or blanks, where curl 8 stops). A word fits a host that is the same or
/// ends in `.` and the word; a leading dot of the word is ignored; `*` alone fits everything; addresses
/// are compared as addresses, or as networks when a `/` and a number of bits follow.
fn is_excluded(host: &str, list: &str) -> bool {
    if list == "*" {
        return !host.is_empty();
    }
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let mut words = list.split([',', ' ', '\t']).filter(|word| !word.is_empty());
    if let Ok(address) = bare.parse::<IpAddr>() {
        return words.any(|word| network_contains(word, address));
    }
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    words.any(|word| {
        let word = word.strip_suffix('.').unwrap_or(word);
        let word = word.strip_prefix('.').unwrap_or(word).to_ascii_lowercase();
        let tail = name.strip_suffix(&word);
        !word.is_empty() && tail.is_some_and(|head| head.is_empty() || head.ends_with('.'))
    })
}

/// `ADDRESS` or `ADDRESS/BITS`. As in curl, 0 bits mean all of them.
fn network_contains(word: &str, address: IpAddr) -> bool {
    let (network, bits) = word.split_once('/').map_or((word, Some(0)), |(n, b)| (n, b.parse::<u32>().ok()));
    let Some(bits) = bits else { return false };
    match (network.parse(), address) {
        (Ok(IpAddr::V4(network)), IpAddr::V4(address)) => {
            let whole = Ipv4Addr::BITS;
            let bits = if bits == 0 { whole } else { bits };
            bits <= whole && (network.to_bits() ^ address.to_bits()) >> (whole - bits) == 0
        }
        (Ok(IpAddr::V6(network)), IpAddr::V6(address)) => {
            let whole = Ipv6Addr::BITS;
            let bits = if bits == 0 { whole } else { bits };
            bits <= whole && (network.to_bits() ^ address.to_bits()) >> (whole - bits) == 0
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_env(options: &ProxyOptions, scheme: Scheme, host: &str, env: &[(&str, &str)]) -> Option<Proxy> {
        let lookup = |name: &str| env.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        for_url(options, scheme, host, &lookup).unwrap()
    }

    fn from_env(scheme: Scheme, host: &str, env: &[(&str, &str)]) -> Option<String> {
        with_env(&ProxyOptions::default(), scheme, host, env).map(|proxy| proxy.host)
    }

    fn argument(value: &str) -> ProxyOptions {
        let proxy = Some(ProxyArgument { value: value.into(), kind: ProxyKind::Http });
        ProxyOptions { proxy, ..ProxyOptions::default() }
    }

    #[test]
    fn takes_the_variables_that_curl_takes() {
        use Scheme::{Http, Https};
        let host = Some("p".to_owned());
        assert_eq!(from_env(Http, "h", &[("http_proxy", "http://p:1")]), host);
        assert_eq!(from_env(Http, "h", &[("HTTP_PROXY", "http://p:1")]), None);
        assert_eq!(from_env(Https, "h", &[("http_proxy", "http://p:1")]), None);
        assert_eq!(from_env(Https, "h", &[("HTTPS_PROXY", "p:1")]), host);
        assert_eq!(from_env(Https, "h", &[("https_proxy", "p"), ("HTTPS_PROXY", "q")]), host);
        assert_eq!(from_env(Http, "h", &[("ALL_PROXY", "p"), ("http_proxy", "")]), host);
        assert_eq!(from_env(Http, "h", &[("all_proxy", "p"), ("ALL_PROXY", "q")]), host);
        assert_eq!(from_env(Http, "h", &[("all_proxy", "p"), ("no_proxy", "h")]), None);
        assert_eq!(from_env(Http, "h", &[("all_proxy", "p"), ("no_proxy", ""), ("NO_PROXY", "h")]), None);
    }

    #[test]
    fn the_command_line_wins() {
        let env = [("http_proxy", "http://other:1"), ("no_proxy", "excluded.example")];
        assert_eq!(with_env(&argument(""), Scheme::Http, "h", &env), None);
        assert_eq!(with_env(&argument("p"), Scheme::Http, "h", &env).unwrap().host, "p");
        assert_eq!(with_env(&argument("p"), Scheme::Http, "excluded.example", &env), None);
        let despite = ProxyOptions { noproxy: Some(String::new()), ..argument("p") };
        assert!(with_env(&despite, Scheme::Http, "excluded.example", &env).is_some());
    }

    #[test]
    fn reads_every_kind() {
        let read = |text: &str| parse(text, ProxyKind::Http, "x", &ProxyOptions::default()).unwrap();
        let plain = |kind, host: &str, port| Proxy {
            kind,
            host: host.into(),
            port,
            credentials: None,
            tunnel: false,
        };
        assert_eq!(read("p"), plain(ProxyKind::Http, "p", 1080));
        assert_eq!(read("http://p:3128/"), plain(ProxyKind::Http, "p", 3128));
        assert_eq!(read("socks5h://[::1]:9050"), plain(ProxyKind::Socks5h, "::1", 9050));
        assert_eq!(read("socks4a://p"), plain(ProxyKind::Socks4a, "p", 1080));
        let socks = parse("p:9", ProxyKind::Socks5, "x", &ProxyOptions::default()).unwrap();
        assert_eq!(socks, plain(ProxyKind::Socks5, "p", 9));
    }

    #[test]
    fn credentials_of_the_url_win_and_are_decoded() {
        let credentials = Some(Credentials { user: "u".into(), password: "%2F".into() });
        let options = ProxyOptions { credentials, ..ProxyOptions::default() };
        let read = |text: &str| {
            let found = parse(text, ProxyKind::Http, "x", &options).unwrap().credentials.unwrap();
            (found.user, found.password)
        };
        assert_eq!(read("http://joe:a%40b@p"), ("joe".into(), "a@b".into()));
        assert_eq!(read("http://p"), ("u".into(), "/".into()));
    }

    #[test]
    fn refuses_and_says_where_it_came_from() {
        let refused = |text: &str| for_url(&argument(text), Scheme::Http, "h", &|_| None).unwrap_err();
        assert_eq!(refused("foo://s3cret@p").status(), ExitStatus::CouldntConnect);
        assert_eq!(refused("HTTPS://p").status(), ExitStatus::UnsupportedProtocol);
        assert_eq!(refused("https://p:x").status(), ExitStatus::CouldntResolveProxy);
        for text in ["a b", "http://", "p:x", "p:99999", "p:0", "[::1", "[p]", "u:%ff@p", "p:1:2"] {
            assert_eq!(refused(text).status(), ExitStatus::CouldntResolveProxy, "{text}");
        }
        assert!(!refused("http://joe:s3cret@p:x").to_string().contains("s3cret"));
        assert!(!format!("{:?}", argument("http://joe:s3cret@p")).contains("s3cret"));
    }

    #[test]
    fn no_proxy_matches_as_curl_does() {
        for (host, list, excluded) in [
            ("www.example.com", "example.com", true),
            ("example.com", ".example.com", true),
            ("nonexample.com", "example.com", false),
            ("EXAMPLE.com.", "a, example.COM.", true),
            ("example.com", "a b\texample.com", true),
            ("example.com", "*", true),
            ("example.com", "*,a", false),
            ("example.com", "", false),
            ("example.com", ".,,", false),
            ("192.168.1.7", "192.168.0.0/16", true),
            ("192.168.1.7", "192.168.1.7", true),
            ("192.168.1.7", "192.168.1.0/25,10.0.0.0/8", true),
            ("192.168.1.200", "192.168.1.0/25", false),
            ("192.168.1.7", "192.168.1.0/33", false),
            ("192.168.1.7", "192.168.1.0/x", false),
            ("192.168.1.7", "0.0.0.0/0", false),
            ("192.168.1.7", "1.7", false),
            ("[fe80::1]", "fe80::/10", true),
            ("::1", "::1", true),
            ("::1", "fe80::/10", false),
        ] {
            assert_eq!(is_excluded(host, list), excluded, "{host} in {list:?}");
        }
    }
}
