//! `racefetch [OPTIONS] URL...`: the fetch.
//!
//! Each URL becomes one of three: a mirror's `layout.conf` ([`layout`]), a distfile with digests
//! ([`distfile`]), or a plain transfer as curl would make it ([`plain`]).

mod distfile;
mod held;
mod layout;
mod look_ahead;
mod plain;
mod salvage;
mod status;
mod witness;

use std::cell::OnceCell;
use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::configuration::Configuration;
use super::ended::{Ended, signal_status};
use super::environment::read_text;
use super::show::Show;
use super::upstream::Upstream;
use super::{CommandError, Environment, Interrupt, settings};
use crate::cli::options::{FetchOptions, Output, Sink, remote_name};
use crate::cli::{ExitStatus, options};
use crate::files::{self, Existing};
use crate::http::Client;
use crate::http::url::{Url, UrlError};
use crate::portage::uri;
use crate::portage::{Digests, DistEntry, Distfile, DownloadName, PortageCall, manifest};
use crate::transfer::sink::SinkError;

/// Everything that the transfers of one call share.
struct Context<'a> {
    options: &'a FetchOptions,
    environment: &'a Environment,
    call: PortageCall,
    client: Client,
    interrupt: &'a Interrupt,
    /// Read when it is first needed.
    configuration: OnceCell<Configuration<'a>>,
    upstream: OnceCell<Option<Upstream>>,
}

/// A distfile and what it must be.
#[derive(Clone, Debug)]
struct Target {
    name: Distfile,
    /// In bytes.
    size: Option<u64>,
    /// Not empty.
    digests: Digests,
}

/// Runs all transfers, one after another.
pub(super) fn run(
    options: &FetchOptions,
    environment: &Environment,
    interrupt: &Interrupt,
) -> Result<ExitStatus, CommandError> {
    let cannot_show = |error| CommandError::new(ExitStatus::WriteError, error);
    let mut show = Show::new(options, environment).map_err(cannot_show)?;
    for warning in &options.warnings {
        show.warn(warning);
    }
    let settings = match settings::build(options, environment) {
        Ok(settings) => settings,
        Err(ended) => return Ok(show.end(&ended)),
    };
    let context = Context {
        options,
        environment,
        call: environment.portage_call(),
        client: Client::new(settings),
        interrupt,
        configuration: OnceCell::new(),
        upstream: OnceCell::new(),
    };
    let mut status = ExitStatus::Ok;
    for (number, transfer) in options.transfers.iter().enumerate() {
        let ended = context.transfer(number, transfer, &mut show);
        // Like curl's, the status is that of the last URL.
        status = show.end(&ended);
        if interrupt.number().is_some() || options.fail_early && !status.is_success() {
            break;
        }
    }
    if let Some(sink) = &options.request.cookies.jar
        && let Err(error) = write_cookies(sink, &context.client)
    {
        show.warn(&format!("cookies are not written (-c): {error}"));
    }
    Ok(interrupt.number().map_or(status, signal_status))
}

/// Writes the cookies that there are in the end (`-c`).
fn write_cookies(sink: &Sink, client: &Client) -> Result<(), SinkError> {
    write(sink, Existing::Empty, client.cookie_text().unwrap_or_default().as_bytes())
}

/// Writes to where an option says.
fn write(to: &Sink, existing: Existing, bytes: &[u8]) -> Result<(), SinkError> {
    let (path, written) = match to {
        Sink::Stdout => (Path::new("stdout"), std::io::stdout().write_all(bytes)),
        Sink::File(path) => {
            let file = files::open_output(path, existing);
            (path.as_path(), file.and_then(|mut file| file.write_all(bytes)))
        }
    };
    written.map_err(|error| SinkError::new(path, &error))
}

impl<'a> Context<'a> {
    fn configuration(&self) -> &Configuration<'a> {
        self.configuration.get_or_init(|| Configuration::read(self.environment))
    }

    /// Where upstream keeps the files of the package that Portage fetches for.
    fn upstream(&self) -> Option<&Upstream> {
        let read = || self.call.is_fetch_phase().then(|| Upstream::of_call(self.configuration())).flatten();
        self.upstream.get_or_init(read).as_ref()
    }

    fn transfer(&self, number: usize, transfer: &options::Transfer, show: &mut Show) -> Ended {
        let url = match self.url(&transfer.url) {
            Ok(url) => url,
            Err(ended) => return ended,
        };
        if let Err(ended) = settings::check_proxy(self.options, self.environment, &url) {
            return ended;
        }
        let output = match self.output_path(transfer, &url) {
            Ok(output) => output,
            Err(ended) => return ended,
        };
        let Some(path) = output else { return self.plain(number, &url, None, show) };
        if self.options.output.skip_existing && path.exists() {
            return Ended::ok();
        }
        let name = path.file_name().and_then(OsStr::to_str).and_then(|name| DownloadName::parse(name).ok());
        if let Some(DownloadName::LayoutConf { .. }) = name {
            return layout::run(self, &url, &path, show);
        }
        match self.target(name.as_ref(), &url, show) {
            Some(target) => distfile::run(self, &url, &path, &target, show),
            None => self.plain(number, &url, Some(path), show),
        }
    }

    /// A transfer without digests.
    fn plain(&self, number: usize, url: &Url, path: Option<PathBuf>, show: &mut Show) -> Ended {
        if self.options.distfile.is_traced() {
            show.warn(
                "nothing to draw (--timeline, --trace): without digests everything comes from one place",
            );
        }
        plain::run(self, number, url, path, show)
    }

    fn url(&self, text: &str) -> Result<Url, Ended> {
        let url = settings::parse_url(self.options, text).map_err(|error| {
            let status = match error {
                UrlError::Scheme(_) => ExitStatus::UnsupportedProtocol,
                UrlError::Malformed(_) => ExitStatus::UrlMalformat,
            };
            Ended::failed(status, format!("{}: {error}", uri::redact(text)))
        })?;
        if !self.options.request.schemes.contains(url.scheme) {
            let error = format!("{url}: protocol {} is switched off (--proto)", url.scheme.name());
            return Err(Ended::failed(ExitStatus::UnsupportedProtocol, error));
        }
        Ok(url)
    }

    /// The file for the content; none for stdout.
    fn output_path(&self, transfer: &options::Transfer, url: &Url) -> Result<Option<PathBuf>, Ended> {
        match &transfer.output {
            Output::Stdout => Ok(None),
            Output::File(path) if path == Path::new("-") || path == Path::new("/dev/stdout") => Ok(None),
            Output::File(path) => Ok(Some(path.clone())),
            Output::RemoteName => {
                let nameless = || {
                    let error = format!("{url}: the URL names no file (-O); give a name with -o");
                    Ended::failed(ExitStatus::WriteError, error)
                };
                let name = remote_name(&transfer.url).ok_or_else(nameless)?;
                let folder = self.options.output.directory.clone().unwrap_or_default();
                Ok(Some(folder.join(name)))
            }
        }
    }

    /// What the file must be: by the digests given, else by the Manifest beside the ebuild. None when the content
    /// cannot be verified.
    fn target(&self, name: Option<&DownloadName>, url: &Url, show: &mut Show) -> Option<Target> {
        let (distfile, listed) = self.distfile(name, url, show);
        let Some(given) = &self.options.distfile.digests else {
            // `--digests` is missing on the command line, so the Manifest counts.
            let listed = listed.filter(|entry| !entry.digests.is_empty())?;
            Self::warn_unknown(&listed.digests, show);
            return Some(Target { name: listed.name, size: Some(listed.size), digests: listed.digests });
        };
        Self::warn_unknown(given, show);
        if given.is_empty() {
            return None;
        }
        let agrees =
            |entry: &DistEntry| entry.digests.iter().all(|d| given.get(d.algorithm).is_none_or(|g| g == d));
        let size = listed.filter(agrees).map(|entry| entry.size);
        Some(Target {
            name: distfile.or_else(|| Distfile::new("file").ok())?,
            size: self.options.distfile.size.or(size),
            digests: given.clone(),
        })
    }

    /// The distfile that is asked for, and what the Manifest says of it. Portage's FILE has its name. Any other FILE may
    /// be called as one likes: when no Manifest knows its name, that of the URL counts if a Manifest knows that, or
    /// if mirrors have the file under it.
    fn distfile(
        &self,
        name: Option<&DownloadName>,
        url: &Url,
        show: &mut Show,
    ) -> (Option<Distfile>, Option<DistEntry>) {
        let (name, is_free) = match name {
            Some(DownloadName::Distfile(name)) => (name, false),
            Some(DownloadName::Other(name)) => (name, true),
            _ => return (None, None),
        };
        let listed = self.in_manifest(name, show);
        if listed.is_some() || !is_free {
            return (Some(name.clone()), listed);
        }
        let text = url.to_string();
        let last = uri::without_query(&text).rsplit('/').next().unwrap_or_default();
        let last = String::from_utf8_lossy(&uri::unquote(last)).into_owned();
        let Ok(remote) = Distfile::new(&last) else { return (Some(name.clone()), None) };
        let listed = self.in_manifest(&remote, show);
        // A mirror whose layout is by content has no names.
        let given = self.options.distfile.digests.iter().flat_map(Digests::iter);
        let is_digest = given.into_iter().any(|digest| digest.hex() == last);
        let is_at_mirror = text.contains("/distfiles/") && !is_digest;
        let chosen = if listed.is_some() || is_at_mirror { &remote } else { name };
        (Some(chosen.clone()), listed)
    }

    fn warn_unknown(digests: &Digests, show: &mut Show) {
        for name in digests.unknown_algorithms() {
            show.warn(&format!("digest algorithm {name} is not known: not verified with it"));
        }
    }

    fn in_manifest(&self, name: &Distfile, show: &mut Show) -> Option<DistEntry> {
        let path = self.call.manifest()?;
        let text = match read_text(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
            Err(error) => {
                show.warn(&format!("{} cannot be read ({error}): it verifies nothing", path.display()));
                return None;
            }
        };
        match manifest::find(&text, name) {
            // A size of 0 means no digests to Portage.
            Ok(entry) => entry.filter(|entry| entry.size > 0),
            Err(error) => {
                show.warn(&format!("{}: {error}", path.display()));
                None
            }
        }
    }
}
