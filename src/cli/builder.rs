//! A command line in the making: the entries of the option table fill it in, and in the end it puts together
//! what options say jointly.

use super::UsageError;
use super::argument::Argument;
use super::exit::ExitStatus;
use super::options::{FetchOptions, Netrc, Output, Resume, SpeedLimit, Transfer};
use super::values::Complaint;
use crate::http::settings::FieldEdit;
use crate::http::url::SchemeSet;
use crate::portage::{Algorithm, Digests};
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// `-Y` without `-y`, as in curl.
const DEFAULT_SPEED_TIME: Duration = Duration::from_secs(30);

/// What was read so far. Fields beside `options` are of options that only make sense together.
pub struct Builder<'a> {
    pub options: FetchOptions,
    read: &'a dyn Fn(&Path) -> io::Result<String>,
    slots: Vec<Slot>,
    pub remote_name_all: bool,
    pub cookies: Vec<String>,
    pub netrc: bool,
    pub netrc_optional: bool,
    pub netrc_file: Option<PathBuf>,
    /// `-Y` and `-y`; zero means none.
    pub speed_limit: Option<u64>,
    pub speed_time: Option<Duration>,
    pub redirect_schemes: SchemeSet,
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
            None => url(self, Argument { word: "--url", on: true, value: word }),
        }
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
        let fields = &mut self.options.request.fields;
        let cookie_field = fields.iter().any(|edit| edit.name().eq_ignore_ascii_case("cookie"));
        if !self.cookies.is_empty() && !cookie_field {
            fields.push(FieldEdit::Set("Cookie".to_owned(), self.cookies.join("; ")));
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
        if tls.newest.is_some_and(|newest| newest < tls.oldest) {
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
                (Output::File(file), Some(directory)) if file != Path::new("-") => {
                    Output::File(below(directory, &file))
                }
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

    pub fn add_output(&mut self, output: Output) {
        self.slot(|slot| slot.output.is_none()).output = Some(output);
    }

    /// `-O`; `--no-remote-name` takes one URL out of `--remote-name-all`.
    pub fn remote_name(&mut self, on: bool) {
        if !on && !self.remote_name_all {
            return;
        }
        self.add_output(if on { Output::RemoteName } else { Output::Stdout });
    }

    /// The first slot that is free in some respect, or a new one.
    fn slot(&mut self, free: impl Fn(&Slot) -> bool) -> &mut Slot {
        let at = self.slots.iter().position(free).unwrap_or(self.slots.len());
        if at == self.slots.len() {
            self.slots.push(Slot { url: None, output: None, remote_name: self.remote_name_all });
        }
        &mut self.slots[at]
    }

    /// Adds digest words to those known; of one algorithm the last counts.
    pub fn digests(&mut self, words: &str) -> Result<(), Complaint> {
        let more = Digests::parse(words).map_err(|error| error.to_string())?;
        let digests = self.options.distfile.digests.get_or_insert_default();
        digests.extend(&more);
        Ok(())
    }

    /// The text of a file that an option names.
    pub fn read(&self, argument: Argument<'_>, path: &Path) -> Result<String, UsageError> {
        (self.read)(path).map_err(|error| UsageError::unreadable(argument.word, path, &error))
    }
}

/// A URL, or `@file` with one on each line, each for `-O`.
pub(super) fn url(builder: &mut Builder<'_>, argument: Argument<'_>) -> Result<(), UsageError> {
    let Some(file) = argument.named_file() else {
        return builder.add_url(argument.value, false);
    };
    let list = builder.read(argument, file)?;
    let urls = list.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    urls.map(OsStr::new).try_for_each(|url| builder.add_url(url, true))
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

/// `directory/file`; as in curl, also when the file starts with a slash.
fn below(directory: &Path, file: &Path) -> PathBuf {
    let mut path = OsString::from(directory);
    path.push("/");
    path.push(file);
    path.into()
}
