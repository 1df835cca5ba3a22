//! What a command line asks for, in types. Everything is resolved: defaults are filled in, files named
//! with `@` are read, and what contradicts itself was refused.

use super::proxy::ProxyOptions;
use super::write_out::Template;
use crate::http::range::RangeSpec;
use crate::http::settings::{AddressFamily, Credentials, FieldEdit, Interface, Redirects, ResolveEntry, Tls};
use crate::http::url::{Scheme, SchemeSet};
use crate::portage::{Digests, Tiers};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// One call of `racefetch [OPTIONS] URL...`.
#[derive(Clone, Debug, Default)]
pub struct FetchOptions {
    /// In the order of the URLs, never empty.
    pub transfers: Vec<Transfer>,
    pub request: RequestOptions,
    pub redirects: Redirects,
    pub network: NetworkOptions,
    pub tls: Tls,
    pub proxy: ProxyOptions,
    pub limits: Limits,
    pub retry: RetryOptions,
    pub output: OutputOptions,
    pub report: ReportOptions,
    pub distfile: DistfileOptions,
    /// `--fail-early`: stop at the first URL that fails.
    pub fail_early: bool,
    /// Values of options that others shall not read in the list of processes.
    pub secrets: Vec<OsString>,
    /// Lines for the user about what was ignored or mended; to be shown unless silent.
    pub warnings: Vec<String>,
}

/// One URL and where its content goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// As it was written: no globbing (curl's `-g`), the scheme may be missing.
    pub url: String,
    pub output: Output,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    Stdout,
    /// `-o`, below `--output-dir` when that was given.
    File(PathBuf),
    /// `-O`: [`remote_name`] of the URL, in [`OutputOptions::directory`].
    RemoteName,
}

#[derive(Clone, Debug, Default)]
pub struct RequestOptions {
    /// `None`: the program's own. An empty one means that no User-Agent is sent.
    pub user_agent: Option<String>,
    pub referer: Option<String>,
    /// In the order given, to be applied last.
    pub fields: Vec<FieldEdit>,
    pub credentials: Option<Credentials>,
    /// `--oauth2-bearer`: the token alone.
    pub bearer: Option<String>,
    pub netrc: Netrc,
    pub cookies: CookieOptions,
    pub range: Option<RangeSpec>,
    pub resume: Resume,
    pub condition: Option<TimeCondition>,
    /// Leave `/./` and `/../` in the path.
    pub path_as_is: bool,
    /// `--compressed`: content is never asked for in an encoding; one that comes all the same is refused, because
    /// curl would have decoded it.
    pub compressed: bool,
    /// Scheme of URLs that have none; `http` when `None`.
    pub default_scheme: Option<Scheme>,
    /// Schemes that a URL of the command line may have.
    pub schemes: SchemeSet,
}

/// `-b FILE`, `-c` and `-j`. A cookie that is given itself (`-b NAME=VALUE`) is one of the fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CookieOptions {
    /// All transfers of the call share what servers set.
    pub shared: bool,
    /// What is there to begin with; one that cannot be read is none.
    pub files: Vec<PathBuf>,
    /// Those that end with a session are left out of what is there to begin with.
    pub junk_session: bool,
    /// Where they are written to in the end.
    pub jar: Option<Sink>,
}

/// Whether a netrc file is asked for credentials. Without a path it is `~/.netrc`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Netrc {
    #[default]
    Ignored,
    /// It is no error when the file is missing.
    Optional(Option<PathBuf>),
    /// A missing file is exit status 26, as in curl 8.
    Required(Option<PathBuf>),
}

/// `-C`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Resume {
    #[default]
    No,
    /// At this offset, in bytes.
    From(u64),
    /// `-C -`: at the end of the output file as it is.
    Existing,
}

/// `-z`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeCondition {
    pub kind: ConditionKind,
    pub time: ConditionTime,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConditionKind {
    IfModifiedSince,
    IfUnmodifiedSince,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConditionTime {
    /// Seconds since 1970, UTC.
    At(i64),
    /// The modification time of this file. When it does not exist there is no condition, and a warning.
    OfFile(PathBuf),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkOptions {
    pub family: AddressFamily,
    pub interface: Option<Interface>,
    /// `--resolve`, each host and port once.
    pub resolve: Vec<ResolveEntry>,
    /// `None`: the program's own limit.
    pub connect_timeout: Option<Duration>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// `-m`: for each transfer.
    pub max_time: Option<Duration>,
    /// `--limit-rate`: bytes a second.
    pub rate: Option<u64>,
    /// `--max-filesize`: bytes.
    pub max_filesize: Option<u64>,
    pub speed: Option<SpeedLimit>,
}

/// `-Y` and `-y`: give up when fewer bytes a second arrive for that long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpeedLimit {
    pub bytes_per_second: u64,
    pub time: Duration,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RetryOptions {
    /// Attempts after the first one. `None`: as many as it takes for what passes by itself, within reason.
    pub count: Option<u32>,
    /// `None`: 1 s, doubled each time, at most 10 minutes.
    pub delay: Option<Duration>,
    pub max_time: Option<Duration>,
    pub connrefused: bool,
    pub all_errors: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "curl's switches, each for itself")]
pub struct OutputOptions {
    pub fail: Fail,
    pub create_dirs: bool,
    pub remove_on_error: bool,
    pub remote_time: bool,
    pub skip_existing: bool,
    /// `-J`: with [`Output::RemoteName`], the name in Content-Disposition wins.
    pub remote_header_name: bool,
    /// `--output-dir`, for [`Output::RemoteName`].
    pub directory: Option<PathBuf>,
    pub dump_header: Option<Sink>,
}

/// What to do with the content of an answer of 400 or above.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fail {
    /// Save it, exit status 0.
    #[default]
    No,
    /// `-f`: leave the file alone, exit status 22.
    Fast,
    /// Save it, exit status 22.
    WithBody,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sink {
    Stdout,
    File(PathBuf),
}

#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "curl's switches, each for itself")]
pub struct ReportOptions {
    pub silent: bool,
    /// Errors are shown even when silent.
    pub show_error: bool,
    pub verbose: bool,
    pub progress_bar: bool,
    /// False with `--no-progress-meter`.
    pub progress_meter: bool,
    pub write_out: Option<Template>,
    /// Where progress, notes and errors go instead of stderr.
    pub stderr: Option<Sink>,
}

impl Default for ReportOptions {
    fn default() -> Self {
        Self {
            silent: false,
            show_error: false,
            verbose: false,
            progress_bar: false,
            progress_meter: true,
            write_out: None,
            stderr: None,
        }
    }
}

/// What curl has no word for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DistfileOptions {
    /// `None` when nothing was said; the word lists of `--digests` and of bare arguments together.
    pub digests: Option<Digests>,
    /// `None` when `--mirrors` was absent; an empty list asks for no mirrors.
    pub mirrors: Option<Vec<String>>,
    /// In bytes.
    pub size: Option<u64>,
    /// Mirrors to use at once at most, at least 1.
    pub parallel_mirrors: Option<u32>,
    pub state: Option<PathBuf>,
    /// Leave the package's other distfiles for later calls.
    pub no_look_ahead: bool,
    pub tiers: Tiers,
    /// Where the picture of the transfer goes.
    pub timeline: Option<Sink>,
    /// Where the record of the transfer goes.
    pub trace: Option<Sink>,
}

impl DistfileOptions {
    /// Whether what happens is to be written down.
    pub fn is_traced(&self) -> bool {
        self.timeline.is_some() || self.trace.is_some()
    }
}

/// The file name of `-O`: the last segment of the URL's path, not decoded; with curl 8, the one before
/// a final slash. `None` when the path names nothing, or something that is not a file name.
pub fn remote_name(url: &str) -> Option<&str> {
    let url = url.split(['?', '#']).next()?;
    let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    let (_, path) = after_scheme.split_once('/')?;
    let name = path.strip_suffix('/').unwrap_or(path).rsplit('/').next()?;
    if matches!(name, "" | "." | "..") {
        return None;
    }
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_a_file_as_curl_does() {
        for (url, name) in [
            ("http://h/a/b.tar.gz", Some("b.tar.gz")),
            ("h/b?x=/c", Some("b")),
            ("http://h/a%20b#f", Some("a%20b")),
            ("http://h/a/", Some("a")),
            ("http://h/", None),
            ("http://h", None),
            ("http://h?a/b", None),
            ("http://h/a/..", None),
        ] {
            assert_eq!(remote_name(url), name, "{url}");
        }
    }
}
