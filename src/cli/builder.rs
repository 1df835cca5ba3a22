//! What each option means: it fills in [`FetchOptions`], and in the end puts together what options
//! say jointly.

use super::UsageError;
use super::exit::ExitStatus;
use super::headers::HeaderEdit;
use super::options::{
    AddressFamily, Fail, FetchOptions, Netrc, Output, Resume, SchemeSet, Sink, SpeedLimit, TlsVersion,
    Transfer,
};
use super::proxy::{ProxyArgument, ProxyKind};
use super::syntax::Argument;
use super::table::Opt;
use super::values::{self, Complaint, Resolve};
use super::write_out::Template;
use crate::portage::{Algorithm, Digests};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// `-Y` without `-y`, as in curl.
const DEFAULT_SPEED_TIME: Duration = Duration::from_secs(30);

/// A command line in the making.
pub struct Builder<'a> {
    options: FetchOptions,
    read: &'a dyn Fn(&Path) -> io::Result<String>,
    slots: Vec<Slot>,
    remote_name_all: bool,
    cookies: Vec<String>,
    netrc: bool,
    netrc_optional: bool,
    netrc_file: Option<PathBuf>,
    /// `-Y` and `-y`; zero means none.
    speed_limit: Option<u64>,
    speed_time: Option<Duration>,
    redirect_schemes: SchemeSet,
}

/// A URL and its output, either of which may come first: the nth URL goes with the nth output.
struct Slot {
    url: Option<String>,
    output: Option<Output>,
    /// Without an output of its own: whether `--remote-name-all` stood before.
    remote_name: bool,
}

impl<'a> Builder<'a> {
    pub fn new(read: &'a dyn Fn(&Path) -> io::Result<String>) -> Self {
        Self {
            options: FetchOptions::default(),
            read,
            slots: Vec::new(),
            remote_name_all: false,
            cookies: Vec::new(),
            netrc: false,
            netrc_optional: false,
            netrc_file: None,
            speed_limit: None,
            speed_time: None,
            redirect_schemes: SchemeSet::BOTH,
        }
    }

    pub fn warn(&mut self, line: String) {
        self.options.warnings.push(line);
    }

    /// A word that is no option: a URL, or digests. Portage passes an empty word when there are none.
    pub fn bare(&mut self, word: &OsStr) -> Result<(), UsageError> {
        if word.is_empty() {
            return Ok(());
        }
        match word.to_str().filter(|text| are_digests(text)) {
            Some(text) => self.digests(text).map_err(UsageError::new),
            None => self.url("--url", word),
        }
    }

    /// One option. Those that only show something or read other options never get here.
    pub fn apply(&mut self, option: Opt, argument: Argument<'_>) -> Result<(), UsageError> {
        let Argument { word, on, value } = argument;
        let text = || text(word, value);
        let filled = || filled(word, value);
        let path = || filled().map(PathBuf::from);
        let complain = |complaint: Complaint| UsageError::option(word, complaint);
        let FetchOptions {
            request,
            redirects,
            network,
            tls,
            proxy,
            limits,
            retry,
            output,
            report,
            distfile,
            warnings,
            ..
        } = &mut self.options;
        let through = |kind, value: &str| Some(ProxyArgument { value: value.to_owned(), kind });
        match option {
            Opt::Config | Opt::Help | Opt::Manual | Opt::Version => {}

            Opt::Url => return self.url(word, value),
            Opt::Output => return self.output(word, value),
            Opt::RemoteName => self.remote_name(on),
            Opt::RemoteNameAll => self.remote_name_all = on,
            Opt::OutputDir => output.directory = Some(path()?),
            Opt::CreateDirs => output.create_dirs = on,
            Opt::RemoveOnError => output.remove_on_error = on,
            Opt::RemoteTime => output.remote_time = on,
            Opt::RemoteHeaderName => output.remote_header_name = on,
            Opt::SkipExisting => output.skip_existing = on,
            Opt::DumpHeader => output.dump_header = Some(sink(filled()?)),
            Opt::Fail => output.fail = if on { Fail::Fast } else { Fail::No },
            Opt::FailWithBody => output.fail = if on { Fail::WithBody } else { Fail::No },
            Opt::FailEarly => self.options.fail_early = on,

            Opt::UserAgent => request.user_agent = Some(field_value(word, text()?)?),
            Opt::Referer => {
                let (url, auto) = values::referer(text()?);
                request.referer = url.map(|url| field_value(word, url)).transpose()?;
                request.auto_referer = auto;
            }
            Opt::Header => return self.headers(word, value),
            Opt::Cookie => self.cookies.push(cookie(text()?).map_err(complain)?),
            Opt::User => request.credentials = Some(values::credentials(text()?).map_err(complain)?),
            Opt::Oauth2Bearer => request.bearer = Some(field_value(word, filled_text(word, value)?)?),
            Opt::Netrc => self.netrc = on,
            Opt::NetrcOptional => self.netrc_optional = on,
            Opt::NetrcFile => self.netrc_file = Some(path()?),
            Opt::Range => request.range = Some(values::range(text()?).map_err(complain)?),
            Opt::ContinueAt => request.resume = values::resume(text()?).map_err(complain)?,
            Opt::TimeCond => request.condition = Some(values::time_condition(filled()?).map_err(complain)?),
            Opt::Compressed => request.compressed = on,
            Opt::PathAsIs => request.path_as_is = on,
            Opt::Request => method(text()?).map_err(complain)?,
            Opt::ProtoDefault => {
                let unsupported = |what| UsageError::with_status(ExitStatus::UnsupportedProtocol, what);
                request.default_scheme = Some(values::scheme(text()?).map_err(unsupported)?);
            }
            Opt::Proto => request.schemes = schemes(text()?, warnings),
            Opt::ProtoRedir => self.redirect_schemes = schemes(text()?, warnings),

            Opt::Location | Opt::Follow => redirects.follow = on,
            Opt::LocationTrusted => (redirects.follow, redirects.trusted) = (on, on),
            Opt::MaxRedirs => redirects.max = values::max_redirs(text()?).map_err(complain)?,

            Opt::Ipv4 => network.family = AddressFamily::Ipv4,
            Opt::Ipv6 => network.family = AddressFamily::Ipv6,
            Opt::Interface => network.interface = Some(values::interface(text()?).map_err(complain)?),
            Opt::ConnectTimeout => network.connect_timeout = values::seconds(text()?).map_err(complain)?,
            Opt::Resolve => return self.resolve(word, value),

            Opt::Insecure => tls.insecure = on,
            Opt::Cacert => tls.cacert = Some(path()?),
            Opt::Capath => tls.capath = Some(path()?),
            Opt::Cert => tls.cert = Some(values::certificate(filled()?).map_err(complain)?),
            Opt::Key => tls.key = Some(path()?),
            Opt::CertType | Opt::KeyType => only_pem(text()?).map_err(complain)?,
            Opt::Tlsv12 => tls.min = TlsVersion::Tls12,
            Opt::Tlsv13 => tls.min = TlsVersion::Tls13,
            Opt::TlsMax => tls.max = values::tls_max(text()?).map_err(complain)?,

            Opt::Proxy => proxy.proxy = through(ProxyKind::Http, text()?), // empty: no proxy at all
            Opt::ProxyHttp10 => proxy.proxy = through(ProxyKind::Http, filled_text(word, value)?),
            Opt::Socks4 => proxy.proxy = through(ProxyKind::Socks4, filled_text(word, value)?),
            Opt::Socks4a => proxy.proxy = through(ProxyKind::Socks4a, filled_text(word, value)?),
            Opt::Socks5 => proxy.proxy = through(ProxyKind::Socks5, filled_text(word, value)?),
            Opt::Socks5Hostname => proxy.proxy = through(ProxyKind::Socks5h, filled_text(word, value)?),
            Opt::ProxyUser => proxy.credentials = Some(values::credentials(text()?).map_err(complain)?),
            Opt::Noproxy => proxy.noproxy = Some(text()?.to_owned()),
            Opt::ProxyTunnel => proxy.tunnel = on,

            Opt::MaxTime => limits.max_time = values::seconds(text()?).map_err(complain)?,
            Opt::LimitRate => limits.rate = some_size(text()?).map_err(complain)?,
            Opt::MaxFilesize => limits.max_filesize = some_size(text()?).map_err(complain)?,
            Opt::SpeedLimit => self.speed_limit = Some(values::number(text()?).map_err(complain)?),
            Opt::SpeedTime => {
                let seconds = values::count(text()?).map_err(complain)?;
                self.speed_time = Some(Duration::from_secs(seconds.into()));
            }

            Opt::Retry => retry.count = values::count(text()?).map_err(complain)?,
            Opt::RetryDelay => retry.delay = values::seconds(text()?).map_err(complain)?,
            Opt::RetryMaxTime => retry.max_time = values::seconds(text()?).map_err(complain)?,
            Opt::RetryConnrefused => retry.connrefused = on,
            Opt::RetryAllErrors => retry.all_errors = on,

            Opt::Silent => report.silent = on,
            Opt::ShowError => report.show_error = on,
            Opt::Verbose => report.verbose = on,
            Opt::ProgressBar => report.progress_bar = on,
            Opt::ProgressMeter => report.progress_meter = on,
            Opt::Stderr => report.stderr = Some(sink(filled()?)),
            Opt::WriteOut => return self.write_out(word, value),

            Opt::Digests => {
                distfile.digests.get_or_insert_default();
                return self.digests(text()?).map_err(complain);
            }
            Opt::Mirrors => distfile.mirrors = Some(text()?.split_whitespace().map(str::to_owned).collect()),
            Opt::Size => distfile.size = Some(values::number(text()?).map_err(complain)?),
            Opt::ParallelMirrors => {
                let mirrors = values::count(text()?).map_err(complain)?;
                if mirrors == 0 {
                    return Err(complain("at least 1 mirror is needed".to_owned()));
                }
                distfile.parallel_mirrors = Some(mirrors);
            }
            Opt::LookAhead => distfile.no_look_ahead = !on,
            Opt::State => distfile.state = Some(path()?),
        }
        Ok(())
    }

    /// Puts together what options say jointly, and refuses what contradicts itself.
    pub fn finish(mut self) -> Result<FetchOptions, UsageError> {
        self.refuse_contradictions()?;
        self.options.request.netrc = match (self.netrc_optional, self.netrc || self.netrc_file.is_some()) {
            (true, _) => Netrc::Optional(self.netrc_file.take()),
            (false, true) => Netrc::Required(self.netrc_file.take()),
            (false, false) => Netrc::Ignored,
        };
        self.options.limits.speed = self.speed();
        self.options.redirects.schemes = self.redirect_schemes.intersection(self.options.request.schemes);
        let headers = &mut self.options.request.headers;
        let cookie_field = headers.iter().any(|edit| edit.name().eq_ignore_ascii_case("cookie"));
        if !self.cookies.is_empty() && !cookie_field {
            headers.push(HeaderEdit::Set("Cookie".to_owned(), self.cookies.join("; ")));
        }
        self.transfers()?;
        Ok(self.options)
    }

    fn refuse_contradictions(&self) -> Result<(), UsageError> {
        let FetchOptions { request, output, tls, .. } = &self.options;
        let resumes = request.resume != Resume::No;
        let exclusive =
            |other: &str| UsageError::new(format_args!("--continue-at and {other} exclude each other"));
        if resumes && request.range.is_some() {
            return Err(exclusive("--range"));
        }
        if resumes && output.remove_on_error {
            return Err(exclusive("--remove-on-error"));
        }
        if request.resume == Resume::Existing && output.remote_header_name {
            return Err(exclusive("--remote-header-name"));
        }
        if tls.max.is_some_and(|max| max < tls.min) {
            return Err(UsageError::new("--tls-max is older than --tlsv1.3; nothing is left"));
        }
        Ok(())
    }

    /// As in curl, `-y` alone means one byte a second, and `-Y` alone 30 seconds. Zero is no limit.
    fn speed(&self) -> Option<SpeedLimit> {
        let (bytes_per_second, time) = match (self.speed_limit, self.speed_time) {
            (None, None) => return None,
            (limit, time) => (limit.unwrap_or(1), time.unwrap_or(DEFAULT_SPEED_TIME)),
        };
        (bytes_per_second > 0 && !time.is_zero()).then_some(SpeedLimit { bytes_per_second, time })
    }

    fn transfers(&mut self) -> Result<(), UsageError> {
        let outputs = self.slots.len();
        for slot in std::mem::take(&mut self.slots) {
            let Some(url) = slot.url else { continue };
            let without = if slot.remote_name { Output::RemoteName } else { Output::Stdout };
            let output = match (slot.output.unwrap_or(without), &self.options.output.directory) {
                (Output::File(file), Some(directory)) => Output::File(below(directory, &file)),
                (output, _) => output,
            };
            self.options.transfers.push(Transfer { url, output });
        }
        if self.options.transfers.is_empty() {
            return Err(UsageError::new("no URL specified; see racefetch --help"));
        }
        if self.options.transfers.len() < outputs {
            self.warn("there are more outputs than URLs".to_owned());
        }
        Ok(())
    }

    /// A URL, or `@file` with one on each line, each for `-O`.
    fn url(&mut self, word: &str, value: &OsStr) -> Result<(), UsageError> {
        let Some(file) = value.as_bytes().strip_prefix(b"@") else {
            return self.add_url(value, false);
        };
        let list = self.read(word, Path::new(OsStr::from_bytes(file)))?;
        let urls = list.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        urls.map(OsStr::new).try_for_each(|url| self.add_url(url, true))
    }

    fn add_url(&mut self, value: &OsStr, from_list: bool) -> Result<(), UsageError> {
        let malformed = |what: &str| UsageError::with_status(ExitStatus::UrlMalformat, what);
        let url = value.to_str().ok_or_else(|| malformed("a URL is not UTF-8; write %XX for such bytes"))?;
        if url.is_empty() {
            return Err(malformed("a URL is empty"));
        }
        if url.contains(|c: char| c.is_control() || c == ' ') {
            return Err(malformed("a URL holds blanks or control characters; write %20 for a blank"));
        }
        let slot = self.slot(|slot| slot.url.is_none());
        slot.url = Some(url.to_owned());
        slot.remote_name |= from_list;
        Ok(())
    }

    fn output(&mut self, word: &str, value: &OsStr) -> Result<(), UsageError> {
        let output = match sink(filled(word, value)?) {
            Sink::Stdout => Output::Stdout,
            Sink::File(file) => Output::File(file),
        };
        self.slot(|slot| slot.output.is_none()).output = Some(output);
        Ok(())
    }

    /// `-O`; `--no-remote-name` takes one URL out of `--remote-name-all`.
    fn remote_name(&mut self, on: bool) {
        if !on && !self.remote_name_all {
            return;
        }
        let output = if on { Output::RemoteName } else { Output::Stdout };
        self.slot(|slot| slot.output.is_none()).output = Some(output);
    }

    /// The first slot that is free in some respect, or a new one.
    fn slot(&mut self, free: impl Fn(&Slot) -> bool) -> &mut Slot {
        let at = self.slots.iter().position(free).unwrap_or(self.slots.len());
        if at == self.slots.len() {
            self.slots.push(Slot { url: None, output: None, remote_name: self.remote_name_all });
        }
        &mut self.slots[at]
    }

    fn headers(&mut self, word: &str, value: &OsStr) -> Result<(), UsageError> {
        let wrong = |error: super::headers::HeaderError| UsageError::option(word, error);
        let Some(file) = value.as_bytes().strip_prefix(b"@") else {
            self.options.request.headers.push(HeaderEdit::parse(text(word, value)?).map_err(wrong)?);
            return Ok(());
        };
        let list = self.read(word, Path::new(OsStr::from_bytes(file)))?;
        for line in list.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
            self.options.request.headers.push(HeaderEdit::parse(line).map_err(wrong)?);
        }
        Ok(())
    }

    fn write_out(&mut self, word: &str, value: &OsStr) -> Result<(), UsageError> {
        let template = match value.as_bytes().strip_prefix(b"@") {
            // As in curl, the lines of a file are joined: a line's end is written \n.
            Some(file) => self.read(word, Path::new(OsStr::from_bytes(file)))?.replace(['\r', '\n'], ""),
            None => text(word, value)?.to_owned(),
        };
        self.options.report.write_out = Some(Template::parse(&template));
        Ok(())
    }

    fn resolve(&mut self, word: &str, value: &OsStr) -> Result<(), UsageError> {
        let malformed = |what: Complaint| {
            UsageError::with_status(ExitStatus::SetoptOptionSyntax, format_args!("option {word}: {what}"))
        };
        let entries = &mut self.options.network.resolve;
        match values::resolve(text(word, value)?).map_err(malformed)? {
            Resolve::Remove { host, port } => entries.retain(|e| (&e.host, e.port) != (&host, port)),
            Resolve::Add(entry) => {
                entries.retain(|e| (&e.host, e.port) != (&entry.host, entry.port));
                entries.push(entry);
            }
        }
        Ok(())
    }

    /// Adds digest words to those known; of one algorithm the last counts.
    fn digests(&mut self, words: &str) -> Result<(), Complaint> {
        let more = Digests::parse(words).map_err(|error| error.to_string())?;
        let digests = self.options.distfile.digests.get_or_insert_default();
        more.iter().for_each(|digest| digests.insert(digest.clone()));
        more.unknown_algorithms().iter().for_each(|name| digests.insert_unknown(name));
        Ok(())
    }

    fn read(&self, word: &str, path: &Path) -> Result<String, UsageError> {
        (self.read)(path).map_err(|error| UsageError::unreadable(word, path, &error))
    }
}

/// Whether a bare argument is the digests: every word `NAME:HEX`, with a known name or with more digits
/// than the port of a URL `HOST:PORT` can have.
fn are_digests(text: &str) -> bool {
    const TOO_LONG_FOR_A_PORT: usize = 32;
    let is_digest = |word: &str| {
        let Some((name, hex)) = word.split_once(':') else { return false };
        let known = Algorithm::from_name(name).is_some();
        let long = hex.len() >= TOO_LONG_FOR_A_PORT && hex.bytes().all(|b| b.is_ascii_hexdigit());
        known || (long && !name.is_empty())
    };
    let mut words = text.split_whitespace().peekable();
    words.peek().is_some() && words.all(is_digest)
}

fn text<'v>(word: &str, value: &'v OsStr) -> Result<&'v str, UsageError> {
    value.to_str().ok_or_else(|| UsageError::option(word, "the value is not UTF-8"))
}

fn filled<'v>(word: &str, value: &'v OsStr) -> Result<&'v OsStr, UsageError> {
    if value.is_empty() {
        return Err(UsageError::option(word, "blank argument where content is expected"));
    }
    Ok(value)
}

fn filled_text<'v>(word: &str, value: &'v OsStr) -> Result<&'v str, UsageError> {
    text(word, filled(word, value)?)
}

/// A text that becomes the value of a request field.
fn field_value(word: &str, text: &str) -> Result<String, UsageError> {
    if text.contains(char::is_control) {
        return Err(UsageError::option(word, "the value holds a control character"));
    }
    Ok(text.to_owned())
}

fn sink(value: &OsStr) -> Sink {
    if value == "-" { Sink::Stdout } else { Sink::File(value.into()) }
}

/// `directory/file`; as in curl, also when the file starts with a slash.
fn below(directory: &Path, file: &Path) -> PathBuf {
    let mut path = OsString::from(directory);
    path.push("/");
    path.push(file);
    path.into()
}

/// The set, and a warning for each name that means nothing.
fn schemes(text: &str, warnings: &mut Vec<String>) -> SchemeSet {
    let (set, unknown) = values::schemes(text);
    warnings.extend(unknown.iter().map(|name| format!("unrecognized protocol '{name}'")));
    set
}

fn some_size(text: &str) -> Result<Option<u64>, Complaint> {
    values::size(text).map(|size| Some(size).filter(|size| *size > 0))
}

fn cookie(text: &str) -> Result<String, Complaint> {
    if !text.contains('=') {
        return Err("files of cookies are not read; write NAME=VALUE".to_owned());
    }
    if text.contains(char::is_control) {
        return Err("the value holds a control character".to_owned());
    }
    Ok(text.to_owned())
}

fn method(text: &str) -> Result<(), Complaint> {
    if text != "GET" {
        return Err(format!("the method {text:?} is refused: racefetch sends GET and nothing else"));
    }
    Ok(())
}

fn only_pem(text: &str) -> Result<(), Complaint> {
    if !text.eq_ignore_ascii_case("PEM") {
        return Err(format!("the type {text:?} is refused: only PEM is read"));
    }
    Ok(())
}
