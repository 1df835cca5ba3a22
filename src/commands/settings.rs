//! The command line's options as settings of the HTTP client.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::ended::Ended;
use crate::cli::headers::HeaderEdit;
use crate::cli::netrc::NetrcFile;
use crate::cli::options::{self, AddressFamily, FetchOptions, Netrc, SchemeSet};
use crate::cli::proxy::{self, ProxyOptions};
use crate::cli::{ExitStatus, options::ByteRange};
use crate::commands::Environment;
use crate::http::settings::{
    Credentials, Family, FieldEdit, Interface, Override, Proxy, ProxyKind, Redirects, Settings, Tls,
    TlsVersion,
};
use crate::http::url::{Scheme, Url, UrlError};
use crate::transfer::engine::Limits;
use crate::transfer::limiter::Limiter;

/// The settings that hold for all transfers of the call.
pub(super) fn build(options: &FetchOptions, environment: &Environment) -> Result<Settings, Ended> {
    let defaults = Settings::default();
    let request = &options.request;
    let netrc = read_netrc(&request.netrc, environment)?;
    let login = request.credentials.as_ref().map(|c| c.user.clone());
    let proxies = (options.proxy.clone(), proxy_variables(environment));
    Ok(Settings {
        user_agent: request.user_agent.clone().unwrap_or(defaults.user_agent),
        home: options.transfers.iter().filter_map(|t| parse_url(options, &t.url).ok()).collect(),
        fields: request.headers.iter().map(field).collect(),
        referer: request.referer.clone(),
        user: request.credentials.as_ref().map(credentials),
        netrc: Arc::new(move |url: &Url| {
            netrc.as_ref()?.credentials(url.host(), login.as_deref()).as_ref().map(credentials)
        }),
        bearer: request.bearer.clone(),
        proxy: Arc::new(move |url: &Url| proxy_for(&proxies.0, &proxies.1, url).ok().flatten()),
        redirects: Redirects {
            follow: options.redirects.follow,
            most: options.redirects.max,
            schemes: schemes(options.redirects.schemes),
            trusted: options.redirects.trusted,
            auto_referer: request.auto_referer,
        },
        family: match options.network.family {
            AddressFamily::Any => Family::Any,
            AddressFamily::Ipv4 => Family::V4,
            AddressFamily::Ipv6 => Family::V6,
        },
        overrides: options.network.resolve.iter().map(override_of).collect(),
        interface: options.network.interface.as_ref().map(interface),
        connect_timeout: options.network.connect_timeout.unwrap_or(defaults.connect_timeout),
        head_timeout: defaults.head_timeout,
        stall_timeout: defaults.stall_timeout,
        speed: speed(options),
        keepalive: defaults.keepalive,
        tls: Tls {
            ca_file: options.tls.cacert.clone().or_else(|| variable_path(environment, "CURL_CA_BUNDLE")),
            ca_folder: options.tls.capath.clone(),
            certificate: options.tls.cert.clone(),
            key: options.tls.key.clone(),
            insecure: options.tls.insecure,
            oldest: tls_version(options.tls.min),
            newest: options.tls.max.map(tls_version),
        },
    })
}

/// The limits that hold for any transfer.
pub(super) fn limits(options: &FetchOptions) -> Limits {
    Limits {
        parallel: 1,
        retries: options.retry.count,
        limiter: Limiter::new(options.limits.rate),
        time: options.limits.max_time,
        largest: options.limits.max_filesize,
        speed: speed(options),
    }
}

/// Bytes per second, and for how long it may be less.
fn speed(options: &FetchOptions) -> Option<(u64, Duration)> {
    options.limits.speed.map(|speed| (speed.bytes_per_second, speed.time))
}

/// A URL of the command line.
pub(super) fn parse_url(options: &FetchOptions, text: &str) -> Result<Url, UrlError> {
    let parse = if options.request.path_as_is { Url::parse_as_is } else { Url::parse };
    match options.request.default_scheme {
        Some(options::Scheme::Https) if !Url::has_scheme(text) => parse(&format!("https://{text}")),
        _ => parse(text),
    }
}

/// Whether the proxy that a URL would go through can be used at all.
pub(super) fn check_proxy(options: &FetchOptions, environment: &Environment, url: &Url) -> Result<(), Ended> {
    match proxy_for(&options.proxy, &proxy_variables(environment), url) {
        Ok(_) => Ok(()),
        Err((status, error)) => Err(Ended::failed(status, format!("{url}: {error}"))),
    }
}

/// The value of `Range` for `-r`.
pub(super) fn range(range: ByteRange) -> String {
    match range {
        ByteRange::FromTo(first, last) => format!("bytes={first}-{last}"),
        ByteRange::From(first) => format!("bytes={first}-"),
        ByteRange::Suffix(length) => format!("bytes=-{length}"),
    }
}

pub(super) fn scheme(scheme: Scheme) -> options::Scheme {
    match scheme {
        Scheme::Http => options::Scheme::Http,
        Scheme::Https => options::Scheme::Https,
    }
}

fn schemes(set: SchemeSet) -> Vec<Scheme> {
    [Scheme::Http, Scheme::Https].into_iter().filter(|s| set.contains(scheme(*s))).collect()
}

fn variable_path(environment: &Environment, name: &str) -> Option<PathBuf> {
    environment.get(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn field(edit: &HeaderEdit) -> FieldEdit {
    match edit {
        HeaderEdit::Set(name, value) => FieldEdit::Set(name.clone(), value.clone()),
        HeaderEdit::Remove(name) => FieldEdit::Remove(name.clone()),
        HeaderEdit::Empty(name) => FieldEdit::Set(name.clone(), String::new()),
    }
}

fn credentials(credentials: &options::Credentials) -> Credentials {
    Credentials { user: credentials.user.clone(), password: credentials.password.clone() }
}

fn override_of(entry: &options::ResolveEntry) -> Override {
    Override {
        host: entry.host.clone().unwrap_or_else(|| "*".to_owned()),
        port: entry.port,
        addresses: entry.addresses.clone(),
    }
}

fn interface(interface: &options::Interface) -> Interface {
    match interface {
        options::Interface::Device(name) => Interface::Device(name.clone()),
        options::Interface::Address(address) => Interface::Address(*address),
        options::Interface::DeviceAndAddress(name, address) => Interface::Both(name.clone(), *address),
    }
}

fn tls_version(version: options::TlsVersion) -> TlsVersion {
    match version {
        options::TlsVersion::Tls12 => TlsVersion::Tls12,
        options::TlsVersion::Tls13 => TlsVersion::Tls13,
    }
}

fn read_netrc(netrc: &Netrc, environment: &Environment) -> Result<Option<NetrcFile>, Ended> {
    let (path, required) = match netrc {
        Netrc::Ignored => return Ok(None),
        Netrc::Optional(path) => (path, false),
        Netrc::Required(path) => (path, true),
    };
    let home = || variable_path(environment, "HOME").map(|home| home.join(".netrc"));
    let failed = |error: String| Ended::failed(ExitStatus::ReadError, error);
    let Some(path) = path.clone().or_else(home) else {
        return if required { Err(failed("no ~/.netrc (-n): HOME is not set".to_owned())) } else { Ok(None) };
    };
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            let wrong = |error| failed(format!("{}: {error} (-n)", path.display()));
            NetrcFile::parse(&text).map(Some).map_err(wrong)
        }
        Err(_) if !required => Ok(None),
        Err(error) => Err(failed(format!("cannot read {} (-n): {error}", path.display()))),
    }
}

/// The variables that speak of proxies, as name and value.
fn proxy_variables(environment: &Environment) -> Vec<(String, String)> {
    let names =
        ["http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"];
    names.iter().filter_map(|name| Some(((*name).to_owned(), environment.text(name)?))).collect()
}

fn proxy_for(
    options: &ProxyOptions,
    variables: &[(String, String)],
    url: &Url,
) -> Result<Option<Proxy>, (ExitStatus, String)> {
    let lookup = |name: &str| variables.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone());
    let found = proxy::for_url(options, scheme(url.scheme), url.host(), &lookup);
    let Some(proxy) = found.map_err(|error| (error.status(), error.to_string()))? else { return Ok(None) };
    let kind = match proxy.kind {
        proxy::ProxyKind::Http => ProxyKind::Http,
        proxy::ProxyKind::Socks4 => ProxyKind::Socks4,
        proxy::ProxyKind::Socks4a => ProxyKind::Socks4a,
        proxy::ProxyKind::Socks5 => ProxyKind::Socks5,
        proxy::ProxyKind::Socks5h => ProxyKind::Socks5h,
        proxy::ProxyKind::Https => {
            let error = "an https:// proxy is not supported: use http:// or socks5h://".to_owned();
            return Err((ExitStatus::UnsupportedProtocol, error));
        }
    };
    Ok(Some(Proxy {
        kind,
        host: proxy.host,
        port: proxy.port,
        credentials: proxy.credentials.as_ref().map(credentials),
        tunnel: options.tunnel,
    }))
}
