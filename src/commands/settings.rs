//! The command line's options as settings of the HTTP client.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::ended::Ended;
use super::environment::{read_argument_file, unix_now};
use crate::cli::ExitStatus;
use crate::cli::netrc::NetrcFile;
use crate::cli::options::{CookieOptions, FetchOptions, Netrc};
use crate::cli::proxy::{self, ProxyError, ProxyOptions};
use crate::commands::Environment;
use crate::http::Jar;
use crate::http::settings::{Proxy, Settings, Tls};
use crate::http::url::{Scheme, Url, UrlError};
use crate::transfer::engine::Limits;
use crate::transfer::limiter::Limiter;

/// The settings that hold for all transfers of the call.
pub(super) fn build(options: &FetchOptions, environment: &Environment) -> Result<Settings, Ended> {
    let defaults = Settings::default();
    let request = &options.request;
    let netrc = read_netrc(&request.netrc, environment)?;
    let is_optional = matches!(request.netrc, Netrc::Optional(_));
    let login = request.credentials.as_ref().map(|c| c.user.clone());
    let proxies = (options.proxy.clone(), proxy_variables(environment));
    Ok(Settings {
        user_agent: request.user_agent.clone().unwrap_or(defaults.user_agent),
        home: options.transfers.iter().filter_map(|t| parse_url(options, &t.url).ok()).collect(),
        fields: request.fields.clone(),
        referer: request.referer.clone(),
        user: request.credentials.clone(),
        netrc: Arc::new(move |url: &Url| {
            let netrc = netrc.as_ref()?;
            match &url.credentials {
                // As in curl, -n takes the password from the file even where the URL has one.
                Some(given) if is_optional && !given.password.is_empty() => None,
                Some(given) => netrc.credentials(url.host(), Some(&given.user)),
                None => netrc.credentials(url.host(), login.as_deref()),
            }
        }),
        bearer: request.bearer.clone(),
        cookies: request.cookies.shared.then(|| read_cookies(&request.cookies)),
        proxy: Arc::new(move |url: &Url| proxy_for(&proxies.0, &proxies.1, url).ok().flatten()),
        redirects: options.redirects.clone(),
        family: options.network.family,
        resolve: options.network.resolve.clone(),
        interface: options.network.interface.clone(),
        connect_timeout: options.network.connect_timeout.unwrap_or(defaults.connect_timeout),
        head_timeout: defaults.head_timeout,
        stall_timeout: defaults.stall_timeout,
        speed: speed(options),
        keepalive: defaults.keepalive,
        tls: Tls {
            ca_file: options.tls.ca_file.clone().or_else(|| variable_path(environment, "CURL_CA_BUNDLE")),
            ..options.tls.clone()
        },
    })
}

/// The limits that hold for any transfer.
pub(super) fn limits(options: &FetchOptions) -> Limits {
    Limits {
        parallel: 1,
        retries: options.retry.count.unwrap_or(0),
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
        Some(Scheme::Https) if !Url::has_scheme(text) => parse(&format!("https://{text}")),
        _ => parse(text),
    }
}

/// Whether the proxy that a URL would go through can be used at all.
pub(super) fn check_proxy(options: &FetchOptions, environment: &Environment, url: &Url) -> Result<(), Ended> {
    match proxy_for(&options.proxy, &proxy_variables(environment), url) {
        Ok(_) => Ok(()),
        Err(error) => Err(Ended::failed(error.status(), format!("{url}: {error}"))),
    }
}

fn variable_path(environment: &Environment, name: &str) -> Option<PathBuf> {
    environment.get(name).filter(|value| !value.is_empty()).map(PathBuf::from)
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

/// What the files of cookies hold. As in curl, one that cannot be read holds none.
fn read_cookies(options: &CookieOptions) -> Jar {
    let mut jar = Jar::default();
    for path in &options.files {
        jar.read(&read_argument_file(path).unwrap_or_default(), unix_now());
    }
    if options.junk_session {
        jar.drop_session();
    }
    jar
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
) -> Result<Option<Proxy>, ProxyError> {
    let lookup = |name: &str| variables.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone());
    proxy::for_url(options, url.scheme, url.host(), &lookup)
}
