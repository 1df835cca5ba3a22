//! What came of a run, and how two of them differ.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::mem;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::support::mirror::Request;

/// Everything that can be seen from outside. Addresses, ports and folders are placeholders again.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub exit: Result<i32, String>,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    pub entries: BTreeMap<String, Entry>,
    pub requests: Vec<String>,
    /// What the servers have to say against the run.
    pub complaints: Vec<String>,
    pub wants_stderr: Option<bool>,
    /// What a new file gets under this umask.
    pub default_file_mode: u32,
}

/// Something in the folder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Entry {
    File { mode: u32, content: Vec<u8>, modified: Option<i64> },
    Folder { mode: u32 },
    Link { target: PathBuf },
}

/// Which header fields count that otherwise do not.
#[derive(Clone, Copy, Debug)]
pub struct Shown {
    pub user_agent: bool,
    pub accept_encoding: bool,
}

/// One request, to whichever server.
pub struct RequestRecord {
    server: String,
    what: What,
}

enum What {
    Http(Request),
    Socks { destination: String, credentials: Option<String> },
}

impl Outcome {
    pub fn ending(&self) -> String {
        match &self.exit {
            Ok(code) => {
                let stderr = String::from_utf8_lossy(&self.stderr);
                let last = stderr.trim_end().rsplit(['\n', '\r']).next().unwrap_or_default();
                format!("exit {code} ({last})")
            }
            Err(end) => end.clone(),
        }
    }

    /// What is not as expected, in a few lines each.
    pub fn differences_from(&self, expected: &Self) -> Vec<String> {
        let mut differences = Vec::new();
        if self.exit != expected.exit {
            differences.push(format!("exit: {}\nexpected: {}", self.ending(), expected.ending()));
        }
        if self.stdout != expected.stdout {
            differences.push(format!("stdout: {}", compared(&self.stdout, &expected.stdout)));
        }
        if let Some(wanted) = self.wants_stderr.filter(|wanted| *wanted == self.stderr.is_empty()) {
            let wanted = if wanted { "a message" } else { "silence" };
            differences.push(format!("stderr: {}, expected {wanted}", preview(&self.stderr)));
        }
        let mut names: Vec<&String> = self.entries.keys().chain(expected.entries.keys()).collect();
        names.sort();
        names.dedup();
        for name in names {
            let (found, wanted) = (self.entries.get(name), expected.entries.get(name));
            if found != wanted {
                differences.push(format!("{name}: {}", compared_entries(found, wanted)));
            }
        }
        if self.requests != expected.requests {
            differences.push(compared_requests(&self.requests, &expected.requests));
        }
        differences
    }
}

impl Entry {
    pub fn mode(&self) -> u32 {
        match self {
            Self::File { mode, .. } | Self::Folder { mode } => *mode,
            Self::Link { .. } => 0o777,
        }
    }
}

impl RequestRecord {
    pub fn http(server: &str, request: Request) -> Self {
        Self { server: server.to_owned(), what: What::Http(request) }
    }

    pub fn socks(server: &str, destination: String, credentials: Option<String>) -> Self {
        Self { server: server.to_owned(), what: What::Socks { destination, credentials } }
    }

    /// The request in one line, without what every request has: `a GET /x range: bytes=5-`.
    pub fn line(&self, shown: Shown, hide: &dyn Fn(&str) -> String) -> String {
        let request = match &self.what {
            What::Http(request) => request,
            What::Socks { destination, credentials } => {
                let credentials = credentials.as_deref().unwrap_or_default();
                return format!("{} SOCKS {} {credentials}", self.server, hide(destination))
                    .trim_end()
                    .to_owned();
            }
        };
        let target = hide(&request.target);
        let own_host = match target.strip_prefix("http://") {
            Some(rest) => rest.split('/').next().unwrap_or(rest).to_owned(),
            None if request.method == "CONNECT" => target.clone(),
            None => format!("{{{}}}", self.server),
        };
        let mut fields: Vec<String> = request
            .fields
            .iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), hide(value)))
            .filter(|(name, value)| match name.as_str() {
                // Keeping a connection is the program's own affair.
                "connection" | "proxy-connection" => false,
                "user-agent" => shown.user_agent,
                "accept-encoding" => shown.accept_encoding,
                "accept" => value != "*/*",
                "host" => *value != own_host,
                _ => true,
            })
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        for name in ["Host", "Accept"] {
            if request.field(name).is_none() && request.method != "CONNECT" {
                fields.push(format!("no {}", name.to_ascii_lowercase()));
            }
        }
        fields.sort();
        let version = if request.version == "HTTP/1.1" { "" } else { &request.version };
        let words = [&self.server, &request.method, &target, version, &fields.join(" | ")];
        words.iter().filter(|word| !word.is_empty()).copied().collect::<Vec<_>>().join(" ")
    }
}

/// Everything below a folder, by its relative path.
pub fn entries_of(
    folder: &Path,
    with_times: bool,
    hide: &dyn Fn(Vec<u8>) -> Vec<u8>,
) -> io::Result<BTreeMap<String, Entry>> {
    let mut entries = BTreeMap::new();
    collect(folder, "", with_times, &mut entries)?;
    for entry in entries.values_mut() {
        if let Entry::File { content, .. } = entry {
            *content = hide(mem::take(content));
        }
    }
    Ok(entries)
}

fn collect(
    folder: &Path,
    prefix: &str,
    with_times: bool,
    entries: &mut BTreeMap<String, Entry>,
) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = format!("{prefix}{}", path.file_name().unwrap_or_default().to_string_lossy());
        let metadata = fs::symlink_metadata(&path)?;
        let mode = metadata.permissions().mode() & 0o7777;
        let entry = if metadata.is_dir() {
            collect(&path, &format!("{name}/"), with_times, entries)?;
            Entry::Folder { mode }
        } else if metadata.is_symlink() {
            Entry::Link { target: fs::read_link(&path)? }
        } else {
            Entry::File { mode, content: fs::read(&path)?, modified: with_times.then(|| metadata.mtime()) }
        };
        entries.insert(name, entry);
    }
    Ok(())
}

fn compared_entries(found: Option<&Entry>, wanted: Option<&Entry>) -> String {
    let (found, wanted) = match (found, wanted) {
        (Some(found), Some(wanted)) => (found, wanted),
        (Some(found), None) => return format!("there is {}, expected nothing", described(found)),
        (None, Some(wanted)) => return format!("nothing there, expected {}", described(wanted)),
        (None, None) => return "nothing".to_owned(),
    };
    match (found, wanted) {
        (Entry::File { content: found, .. }, Entry::File { content: wanted, .. }) if found != wanted => {
            compared(found, wanted)
        }
        _ => format!("{}, expected {}", described(found), described(wanted)),
    }
}

fn described(entry: &Entry) -> String {
    match entry {
        Entry::File { mode, content, modified } => {
            let modified = modified.map(|time| format!(", modified {time}")).unwrap_or_default();
            format!("a file of {}, mode {mode:04o}{modified}", preview(content))
        }
        Entry::Folder { mode } => format!("a folder, mode {mode:04o}"),
        Entry::Link { target } => format!("a link to {}", target.display()),
    }
}

fn compared(found: &[u8], wanted: &[u8]) -> String {
    let same = found.iter().zip(wanted).take_while(|(found, wanted)| found == wanted).count();
    format!("{}\nexpected {}\nequal up to {same}", preview(found), preview(wanted))
}

fn preview(bytes: &[u8]) -> String {
    let start = &bytes[..bytes.len().min(60)];
    let more = if bytes.len() > 60 { "…" } else { "" };
    let is_text = start.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace());
    if is_text {
        return format!("{} bytes \"{}{more}\"", bytes.len(), start.escape_ascii());
    }
    let pairs: Vec<String> = start.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("{} bytes {}…", bytes.len(), pairs.join(" "))
}

fn compared_requests(found: &[String], wanted: &[String]) -> String {
    let listed = |lines: &[String]| match lines {
        [] => "  none".to_owned(),
        lines if lines.len() > 6 => format!("  {}\n  … {} in all", lines[..3].join("\n  "), lines.len()),
        lines => format!("  {}", lines.join("\n  ")),
    };
    format!("requests:\n{}\nexpected requests:\n{}", listed(found), listed(wanted))
}
