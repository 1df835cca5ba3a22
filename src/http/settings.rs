//! What holds for every request of one run. Made once, from the command line and the environment.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::cookies::Jar;
use super::url::{SchemeSet, Url};
use crate::patience;

/// A user name and a password. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub user: String,
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(hidden)")
    }
}

/// How a proxy is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyKind {
    Http,
    /// The proxy resolves no names: we do.
    Socks5,
    /// The proxy resolves the target's name.
    Socks5h,
    Socks4,
    Socks4a,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    pub kind: ProxyKind,
    /// A name or an address, without brackets.
    pub host: String,
    pub port: u16,
    pub credentials: Option<Credentials>,
    /// CONNECT for plain http, too.
    pub tunnel: bool,
}

impl Proxy {
    /// Host and port, as a URL has them.
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            return format!("[{}]:{}", self.host, self.port);
        }
        format!("{}:{}", self.host, self.port)
    }
}

/// A header field set, or removed, by the user (`-H`). The name is as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldEdit {
    /// In place of the program's own field of that name, besides other edits.
    Set(String, String),
    /// The program's own field is not sent.
    Remove(String),
}

impl FieldEdit {
    pub fn name(&self) -> &str {
        let (Self::Set(name, _) | Self::Remove(name)) = self;
        name
    }
}

/// Which addresses may be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AddressFamily {
    #[default]
    Any,
    Ipv4,
    Ipv6,
}

/// `--resolve HOST:PORT:ADDRESS[,ADDRESS]`: what a name stands for, whatever the DNS says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolveEntry {
    /// In lower case; `None` stands for `*`, every host.
    pub host: Option<String>,
    pub port: u16,
    /// Never empty.
    pub addresses: Vec<IpAddr>,
}

/// Where connections start (`--interface`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Interface {
    Device(String),
    Address(IpAddr),
    DeviceAndAddress(String, IpAddr),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    #[default]
    Tls12,
    Tls13,
}

#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// PEM file of the certificate authorities to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Folder of such files.
    pub ca_folder: Option<PathBuf>,
    /// PEM file of the client's certificate chain.
    pub certificate: Option<PathBuf>,
    /// PEM file of its key; the certificate's file when absent.
    pub key: Option<PathBuf>,
    /// No verification at all (`-k`).
    pub insecure: bool,
    pub oldest: TlsVersion,
    /// None: the newest that there is.
    pub newest: Option<TlsVersion>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirects {
    pub follow: bool,
    /// None: without limit.
    pub most: Option<u32>,
    /// Schemes that a redirect may lead to.
    pub schemes: SchemeSet,
    /// What may be told to the server asked may be told to those that it redirects to, too
    /// (`--location-trusted`).
    pub trusted: bool,
    /// `Referer` of the redirected request is the URL before (`-e ';auto'`).
    pub auto_referer: bool,
}

impl Default for Redirects {
    /// curl's: none is followed; with `-L`, 50.
    fn default() -> Self {
        Self { follow: false, most: Some(50), schemes: SchemeSet::BOTH, trusted: false, auto_referer: false }
    }
}

type PerUrl<T> = Arc<dyn Fn(&Url) -> Option<T> + Send + Sync>;

#[derive(Clone)]
pub struct Settings {
    /// Empty: no `User-Agent` field.
    pub user_agent: String,
    /// The URLs of the command line. What else it says of a login (`user`, `bearer`, some of `fields`) is for
    /// their origins, and for no other mirror.
    pub home: Vec<Url>,
    /// They are sent home, but for a few harmless ones, which are for all.
    pub fields: Vec<FieldEdit>,
    pub referer: Option<String>,
    /// `-u`, sent home only. As in curl, it is preferred to the user in a URL.
    pub user: Option<Credentials>,
    /// What `.netrc` says of a host. It files passwords under hosts, not under ports: as in curl, they are sent to
    /// any port of that host, and those under `default` to every host that has no entry. A user in the URL is the one
    /// that is asked for.
    pub netrc: PerUrl<Credentials>,
    /// `--oauth2-bearer`, sent home only.
    pub bearer: Option<String>,
    /// The cookies that there are to begin with; all transfers then share what is set (`-b FILE`, `-c`). None: each
    /// transfer begins without, and keeps its own.
    pub cookies: Option<Jar>,
    pub proxy: PerUrl<Proxy>,
    pub redirects: Redirects,
    pub family: AddressFamily,
    /// The first that fits a host and its port counts.
    pub resolve: Vec<ResolveEntry>,
    pub interface: Option<Interface>,
    /// Longest wait for a connection, names and TLS included.
    pub connect_timeout: Duration,
    /// Longest wait for the complete head of an answer once the request is sent.
    pub head_timeout: Duration,
    /// Longest time in which no byte of content comes.
    pub stall_timeout: Duration,
    /// Bytes of content per second, and for how long it may be less, in whatever phase. Instead of `head_timeout` and
    /// `stall_timeout`.
    pub speed: Option<(u64, Duration)>,
    /// Idle time before TCP keep-alive probes; none switches them off.
    pub keepalive: Option<Duration>,
    pub tls: Tls,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            user_agent: concat!("racefetch/", env!("CARGO_PKG_VERSION")).to_owned(),
            home: Vec::new(),
            fields: Vec::new(),
            referer: None,
            user: None,
            netrc: Arc::new(|_| None),
            bearer: None,
            cookies: None,
            proxy: Arc::new(|_| None),
            redirects: Redirects { follow: true, most: Some(10), ..Redirects::default() },
            family: AddressFamily::Any,
            resolve: Vec::new(),
            interface: None,
            connect_timeout: patience::CONNECT,
            head_timeout: patience::HEAD,
            stall_timeout: patience::STALL,
            speed: None,
            keepalive: Some(patience::KEEPALIVE),
            tls: Tls::default(),
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("user_agent", &self.user_agent).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hides_credentials() {
        let secret = Credentials { user: "joe".into(), password: "s3cret".into() };
        assert!(!format!("{secret:?}").contains("joe") && !format!("{secret:?}").contains("s3cret"));
    }
}
