//! Cookies (RFC 6265): what answers set, and which of it a request sends back.
//!
//! They are kept for the length of a transfer, because some redirects can only be got past with the cookie that they
//! set. There is no list of public suffixes here: a cookie for a domain that looks like one (`co.uk`) is kept for the
//! host that set it alone.

use std::fmt;
use std::fmt::Write as _;
use std::time::UNIX_EPOCH;

use super::url::{Scheme, Url};

/// The longest cookie that is kept, name and value together, in bytes (RFC 6265, section 6.1).
const LONGEST: usize = 4096;
/// The most cookies that are kept; the oldest makes room.
const MOST: usize = 100;
/// The longest `Cookie` field that is sent, in bytes. Servers refuse longer header fields.
const LONGEST_FIELD: usize = 8000;
/// What stands in front of the domain of a cookie that scripts may not see, in a file.
const HTTP_ONLY: &str = "#HttpOnly_";

/// The ports that a cookie is for. The standard ignores them; but two servers on one host are not one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ports {
    /// Those of http and https.
    Usual,
    Only(u16),
    Any,
}

impl Ports {
    fn of(url: &Url) -> Self {
        match url.port() {
            80 | 443 => Self::Usual,
            port => Self::Only(port),
        }
    }
}

#[derive(Clone, PartialEq, Eq)]
struct Cookie {
    name: String,
    value: String,
    /// In lower case, without a dot in front.
    domain: String,
    /// For the hosts below the domain, too.
    with_subdomains: bool,
    ports: Ports,
    path: String,
    secure: bool,
    http_only: bool,
    /// In seconds since 1970; none: with the call.
    expires: Option<u64>,
}

/// Cookies and where they may go. Never shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Jar {
    /// In the order in which they were set first.
    cookies: Vec<Cookie>,
}

impl fmt::Debug for Jar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Jar({} cookies)", self.cookies.len())
    }
}

impl Jar {
    /// Reads a file of cookies: lines of seven columns, as browsers once wrote them, or `Set-Cookie` fields that name
    /// their domain. Other lines are left out. `now` is in seconds since 1970.
    pub fn read(&mut self, text: &str, now: u64) {
        for line in text.lines() {
            let field = line.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"));
            let cookie = match field {
                Some((_, value)) => Cookie::parse(value, now).and_then(Cookie::for_its_domain),
                None => Cookie::from_columns(line),
            };
            if let Some(cookie) = cookie {
                self.put(cookie, now);
            }
        }
    }

    /// Forgets the cookies that end with a session (`-j`).
    pub fn drop_session(&mut self) {
        self.cookies.retain(|cookie| cookie.expires.is_some());
    }

    /// Takes what an answer of `url` sets.
    pub fn take(&mut self, url: &Url, set_cookie: &str, now: u64) {
        let cookie = Cookie::parse(set_cookie, now).and_then(|cookie| cookie.from(url));
        if let Some(cookie) = cookie {
            self.put(cookie, now);
        }
    }

    /// The value of the `Cookie` field in a request for `url`.
    pub fn field(&self, url: &Url, now: u64) -> Option<String> {
        let mut cookies: Vec<&Cookie> =
            self.cookies.iter().filter(|cookie| cookie.is_alive(now) && cookie.is_for(url)).collect();
        cookies.sort_by_key(|cookie| std::cmp::Reverse(cookie.path.len()));
        let mut field = String::new();
        for cookie in cookies {
            if field.len() + cookie.name.len() + cookie.value.len() > LONGEST_FIELD {
                break;
            }
            let separator = if field.is_empty() { "" } else { "; " };
            let _ = write!(field, "{separator}{}={}", cookie.name, cookie.value); // a String takes anything
        }
        Some(field).filter(|field| !field.is_empty())
    }

    /// The text of a file that holds the cookies (`-c`).
    pub fn text(&self, now: u64) -> String {
        let mut text = "# Netscape HTTP Cookie File\n# Written by racefetch.\n\n".to_owned();
        for cookie in self.cookies.iter().filter(|cookie| cookie.is_alive(now)) {
            let _ = writeln!(text, "{}", cookie.columns()); // a String takes anything
        }
        text
    }

    /// One in place of the same that was set before. One that has expired only removes it.
    fn put(&mut self, cookie: Cookie, now: u64) {
        let same = |old: &Cookie| {
            let ports = old.ports == Ports::Any || old.ports == cookie.ports;
            ports
                && (&old.name, &old.domain, &old.path, old.with_subdomains)
                    == (&cookie.name, &cookie.domain, &cookie.path, cookie.with_subdomains)
        };
        let place = self.cookies.iter().position(same);
        match (place, cookie.is_alive(now)) {
            (Some(place), true) => self.cookies[place] = cookie,
            (Some(place), false) => drop(self.cookies.remove(place)),
            (None, true) => {
                if self.cookies.len() == MOST {
                    self.cookies.remove(0);
                }
                self.cookies.push(cookie);
            }
            (None, false) => {}
        }
    }
}

impl Cookie {
    /// The value of a `Set-Cookie` field. Its domain and path are what it says itself, and empty when it says nothing.
    fn parse(set_cookie: &str, now: u64) -> Option<Self> {
        let mut parts = set_cookie.split(';').map(str::trim);
        let (name, value) = parts.next()?.split_once('=')?;
        let mut cookie = Self::new(name.trim(), value.trim())?;
        let mut max_age = None;
        for part in parts.filter(|part| is_printable(part)) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let value = value.trim();
            match name.trim().to_ascii_lowercase().as_str() {
                "domain" => cookie.domain = value.trim_start_matches('.').to_ascii_lowercase(),
                "path" => {
                    cookie.path = if value.starts_with('/') { value.to_owned() } else { String::new() };
                }
                "secure" => cookie.secure = true,
                "httponly" => cookie.http_only = true,
                "expires" => cookie.expires = date(value).or(cookie.expires),
                "max-age" => max_age = age(value).or(max_age),
                _ => {}
            }
        }
        if let Some(seconds) = max_age {
            cookie.expires = Some(if seconds == 0 { 0 } else { now.saturating_add(seconds) });
        }
        Some(cookie)
    }

    /// None when it cannot stand in a request field.
    fn new(name: &str, value: &str) -> Option<Self> {
        let fits = |text: &str| is_printable(text) && !text.contains(';');
        let usable = !name.is_empty() && !name.contains('=') && fits(name) && fits(value);
        (usable && name.len() + value.len() <= LONGEST).then(|| Self {
            name: name.to_owned(),
            value: value.to_owned(),
            domain: String::new(),
            with_subdomains: false,
            ports: Ports::Any,
            path: String::new(),
            secure: false,
            http_only: false,
            expires: None,
        })
    }

    /// As it was set by an answer of `url`. None when that may not set it.
    fn from(mut self, url: &Url) -> Option<Self> {
        let host = url.host();
        if self.domain.is_empty() || self.domain == host {
            self.with_subdomains = !self.domain.is_empty() && !is_wide(host) && !is_address(host);
            host.clone_into(&mut self.domain);
        } else if !is_below(host, &self.domain) {
            return None;
        } else if is_wide(&self.domain) {
            host.clone_into(&mut self.domain);
        } else {
            self.with_subdomains = true;
        }
        if self.secure && url.scheme != Scheme::Https {
            return None;
        }
        if self.path.is_empty() {
            let folder = path(url).rsplit_once('/').map_or("", |(folder, _)| folder);
            self.path = if folder.is_empty() { "/".to_owned() } else { folder.to_owned() };
        }
        self.ports = Ports::of(url);
        Some(self)
    }

    /// As it stands in a file. None when it does not say for whom it is.
    fn for_its_domain(mut self) -> Option<Self> {
        if !is_domain(&self.domain) {
            return None;
        }
        self.with_subdomains = !is_wide(&self.domain) && !is_address(&self.domain);
        if self.path.is_empty() {
            "/".clone_into(&mut self.path);
        }
        Some(self)
    }

    /// A line of a file: domain, whether with subdomains, path, whether secure, expiry, name and value.
    fn from_columns(line: &str) -> Option<Self> {
        let (line, http_only) = match line.strip_prefix(HTTP_ONLY) {
            Some(rest) => (rest, true),
            None if line.starts_with('#') => return None,
            None => (line, false),
        };
        let mut columns = line.splitn(7, '\t');
        let mut column = || columns.next();
        let (domain, subdomains, path, secure) = (column()?, column()?, column()?, column()?);
        let (expires, name, value) = (column()?.parse().ok()?, column()?, column().unwrap_or_default());
        let domain = domain.trim_start_matches('.').to_ascii_lowercase();
        let with_subdomains = subdomains.eq_ignore_ascii_case("true") && !is_address(&domain);
        let path = if path.starts_with('/') { path } else { "/" }.to_owned();
        let secure = secure.eq_ignore_ascii_case("true");
        let expires = Some(expires).filter(|expires| *expires > 0);
        let cookie = Self::new(name, value).filter(|_| is_printable(&domain) && is_printable(&path))?;
        let cookie = Self { domain, with_subdomains, path, secure, http_only, expires, ..cookie };
        is_domain(&cookie.domain).then_some(cookie)
    }

    fn columns(&self) -> String {
        let yes = |is: bool| if is { "TRUE" } else { "FALSE" };
        [
            if self.http_only { HTTP_ONLY } else { "" },
            if self.with_subdomains { "." } else { "" },
            &self.domain,
            "\t",
            yes(self.with_subdomains),
            "\t",
            &self.path,
            "\t",
            yes(self.secure),
            "\t",
            &self.expires.unwrap_or(0).to_string(),
            "\t",
            &self.name,
            "\t",
            &self.value,
        ]
        .concat()
    }

    fn is_alive(&self, now: u64) -> bool {
        self.expires.is_none_or(|expires| expires > now)
    }

    fn is_for(&self, url: &Url) -> bool {
        let host = url.host() == self.domain || self.with_subdomains && is_below(url.host(), &self.domain);
        let port = self.ports == Ports::Any || self.ports == Ports::of(url);
        let scheme = !self.secure || url.scheme == Scheme::Https;
        let below = path(url).strip_prefix(self.path.as_str());
        let path =
            below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || self.path.ends_with('/'));
        host && port && scheme && path
    }
}

fn is_printable(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

/// Whether it can be the name of a host. A line of a file begins with it, and must not be read as something else.
fn is_domain(domain: &str) -> bool {
    let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    !domain.is_empty() && domain.bytes().all(is_of_name) || is_address(domain)
}

/// The path of a URL, without its query.
fn path(url: &Url) -> &str {
    url.target().split('?').next().unwrap_or_default()
}

/// Whether a host lies below a domain.
fn is_below(host: &str, domain: &str) -> bool {
    let above = host.strip_suffix(domain).and_then(|rest| rest.strip_suffix('.'));
    above.is_some_and(|above| !above.is_empty()) && !is_address(host)
}

fn is_address(host: &str) -> bool {
    host.parse::<std::net::IpAddr>().is_ok()
}

/// Whether a domain looks like one under which anybody can have a host: `org`, and `co.uk` and its like.
fn is_wide(domain: &str) -> bool {
    let labels: Vec<&str> = domain.split('.').collect();
    match labels[..] {
        [second, country] => country.len() == 2 && second.len() <= 3,
        _ => labels.len() < 2,
    }
}

/// Seconds; nothing or less is none.
fn age(value: &str) -> Option<u64> {
    let digits = value.strip_prefix('-').unwrap_or(value);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(if value.starts_with('-') { 0 } else { digits.parse().unwrap_or(u64::MAX) })
}

/// A date, in seconds since 1970. Servers write it with dashes as often as in the way of RFC 9110.
fn date(value: &str) -> Option<u64> {
    let date = httpdate::parse_http_date(value);
    let date = date.or_else(|_| httpdate::parse_http_date(&value.replace('-', " "))).ok()?;
    Some(date.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: u64 = 1_800_000_000;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    /// What is sent to `to` after an answer of `from` has set these cookies.
    fn sent(from: &str, set: &[&str], to: &str) -> String {
        let mut jar = Jar::default();
        for set in set {
            jar.take(&url(from), set, NOW);
        }
        jar.field(&url(to), NOW).unwrap_or_default()
    }

    #[test]
    fn a_cookie_goes_where_it_is_for() {
        let h = "http://a.example.org/x/y?q=/z";
        for (from, set, to, expected) in [
            (h, "k=v", "http://a.example.org/x/z", "k=v"),
            (h, "k=v", "http://a.example.org/x", "k=v"),
            (h, "k=v", "http://a.example.org/x/z/w", "k=v"),
            (h, "k=v", "http://a.example.org/xy", ""),
            (h, "k=v", "http://a.example.org/", ""),
            (h, "k=v; Path=/", "http://a.example.org/", "k=v"),
            (h, "k=v; path = /other", "http://a.example.org/other/", "k=v"),
            (h, "k=v; Path=nonsense", "http://a.example.org/x/", "k=v"),
            // Hosts.
            (h, "k=v; Path=/", "http://b.example.org/", ""),
            (h, "k=v; Path=/", "http://b.a.example.org/", ""),
            (h, "k=v; Path=/; Domain=.example.org", "http://b.example.org/", "k=v"),
            (h, "k=v; Path=/; DOMAIN=Example.org", "http://example.org/", "k=v"),
            (h, "k=v; Path=/; Domain=example.org", "http://an-example.org/", ""),
            (h, "k=v; Path=/; Domain=a.example.org", "http://b.a.example.org/", "k=v"),
            (h, "k=v; Path=/; Domain=b.example.org", "http://b.example.org/", ""),
            (h, "k=v; Path=/; Domain=b.example.org", "http://a.example.org/", ""),
            (h, "k=v; Path=/; Domain=org", "http://b.example.org/", ""),
            (h, "k=v; Path=/; Domain=org", "http://a.example.org/", "k=v"),
            ("http://a.co.uk/", "k=v; Domain=co.uk", "http://b.co.uk/", ""),
            ("http://a.co.uk/", "k=v; Domain=co.uk", "http://a.co.uk/", "k=v"),
            ("http://x.gentoo.de/", "k=v; Domain=gentoo.de", "http://y.gentoo.de/", "k=v"),
            ("http://localhost/", "k=v; Domain=localhost", "http://localhost/", "k=v"),
            ("http://127.0.0.1/", "k=v; Domain=127.0.0.1", "http://127.0.0.1/", "k=v"),
            ("http://127.0.0.1/", "k=v; Domain=0.0.1", "http://127.0.0.1/", ""),
            ("http://[::1]/", "k=v", "http://[::1]/", "k=v"),
            // Ports and schemes.
            ("http://h.org/", "k=v", "https://h.org/", "k=v"),
            ("https://h.org/", "k=v", "http://h.org/", "k=v"),
            ("https://h.org/", "k=v; Secure", "http://h.org/", ""),
            ("https://h.org/", "k=v; Secure", "https://h.org/", "k=v"),
            ("http://h.org/", "k=v; Secure", "https://h.org/", ""),
            ("http://h.org:8080/", "k=v", "http://h.org:8080/", "k=v"),
            ("http://h.org:8080/", "k=v", "http://h.org:8081/", ""),
            ("http://h.org:8080/", "k=v", "http://h.org/", ""),
            ("http://h.org/", "k=v", "http://h.org:8080/", ""),
            ("http://a.h.org:81/", "k=v; Domain=h.org", "http://b.h.org:82/", ""),
        ] {
            assert_eq!(sent(from, &[set], to), expected, "{from} {set} {to}");
        }
    }

    #[test]
    fn cookies_are_replaced_and_expire() {
        let h = "http://h.org/";
        for (set, expected) in [
            (&["a=1", "b=2", "a=3"][..], "a=3; b=2"),
            (&["a=1", "a=2; Path=/deep"], "a=1"),
            (&["a=1; Max-Age=10"], "a=1"),
            (&["a=1", "a=; Max-Age=0"], ""),
            (&["a=1", "a=; Max-Age=-5"], ""),
            (&["a=1; Max-Age=99999999999999999999"], "a=1"),
            (&["a=1; Max-Age=many"], "a=1"),
            (&["a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT"], ""),
            (&["a=1; Expires=Thu, 01-Jan-2026 00:00:00 GMT"], ""),
            (&["a=1; Expires=Thu, 01-Jan-2099 00:00:00 GMT"], "a=1"),
            (&["a=1; Expires=nonsense"], "a=1"),
            (&["a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=9"], "a=1"),
            (&["a=1; Max-Age=9; Expires=Thu, 01 Jan 1970 00:00:00 GMT"], "a=1"),
            (&["a"], ""),
            (&["=1"], ""),
            (&["a="], "a="),
            (&["a=b=c"], "a=b=c"),
            (&["a=\"q q\""], "a=\"q q\""),
            (&["a=caf\u{e9}"], ""),
            (&["a=1\tb"], ""),
        ] {
            assert_eq!(sent(h, set, h), expected, "{set:?}");
        }
        let long = format!("a={}", "x".repeat(LONGEST));
        assert_eq!(sent(h, &[&long], h), "");
        let many: Vec<String> = (0..MOST + 5).map(|n| format!("c{n}={}", "x".repeat(1000))).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let field = sent(h, &many, h);
        assert!(field.starts_with("c5=") && field.len() <= LONGEST_FIELD + 1000, "{} bytes", field.len());
    }

    #[test]
    fn the_most_exact_path_comes_first() {
        let set = ["a=1; Path=/", "b=2; Path=/x/y", "c=3; Path=/x"];
        assert_eq!(sent("http://h.org/x/y/z", &set, "http://h.org/x/y/z"), "b=2; c=3; a=1");
    }

    #[test]
    fn files_of_cookies() {
        let text = "# Netscape HTTP Cookie File\n\n\
            h.org\tFALSE\t/\tFALSE\t0\tsession\t1\n\
            .example.org\tTRUE\t/x\tTRUE\t1900000000\tlong\t2\n\
            #HttpOnly_h.org\tFALSE\t/\tFALSE\t0\thidden\t3\n\
            h.org\tFALSE\t/\tFALSE\t1000000000\told\t4\n\
            h.org\tFALSE\t/\tFALSE\t0\tempty\n\
            too\tfew\tcolumns\n\
            h.org FALSE / FALSE 0 blanks 5\n\
            h.org\tFALSE\t/\tFALSE\tsoon\todd\t6\n\
            Set-Cookie: field=7; Domain=h.org\n\
            set-cookie: nobodys=8\n\
            .#h.org\tFALSE\t/\tFALSE\t0\tcomment\t9\n\
            Set-Cookie: comment=10; Domain=.#h.org\n";
        let mut jar = Jar::default();
        jar.read(text, NOW);
        let field = |jar: &Jar, to: &str| jar.field(&url(to), NOW).unwrap_or_default();
        assert_eq!(field(&jar, "http://h.org:81/"), "session=1; hidden=3; empty=; field=7");
        assert_eq!(field(&jar, "https://www.example.org/x"), "long=2");
        assert_eq!(field(&jar, "http://www.example.org/x"), "");
        let mut again = Jar::default();
        again.read(&jar.text(NOW), NOW);
        assert_eq!(again, jar);
        jar.drop_session();
        assert_eq!(field(&jar, "http://h.org/"), "");
        assert_eq!(field(&jar, "https://www.example.org/x"), "long=2");
        jar.take(&url("https://www.example.org/x"), "long=3; Domain=example.org; Path=/x", NOW);
        assert_eq!(field(&jar, "https://www.example.org/x"), "long=3");
    }

    #[test]
    fn cookies_are_not_shown() {
        let mut jar = Jar::default();
        jar.take(&url("http://h.org/"), "name=secret", NOW);
        assert_eq!(format!("{jar:?}"), "Jar(1 cookies)");
    }

    proptest! {
        #[test]
        fn whatever_is_set_makes_a_field_that_can_be_sent(set in ".{0,60}(=.{0,20})?(;.{0,30})?") {
            let mut jar = Jar::default();
            jar.take(&url("http://a.example.org/x"), &set, NOW);
            jar.read(&set, NOW);
            let field = jar.field(&url("http://a.example.org/x"), NOW).unwrap_or_default();
            prop_assert!(field.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{}", field);
            prop_assert_eq!(jar.field(&url("http://b.example.net/x"), NOW), None);
        }
    }
}
