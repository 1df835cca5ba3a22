//! `racefetch rank --sync`: the mirrors of the repository. They are asked with rsync(1), as Portage asks them.

use std::collections::VecDeque;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use crate::commands::Interrupt;
use crate::commands::stats::{duration, nothing};
use crate::http::settings::Settings;
use crate::http::{Failure, Url, reach};
use crate::mirror::{Freshness, timestamp};
use crate::patience::PROBE;
use crate::progress::printable;
use crate::survey::list::{Site, authority};

/// Mirrors that are asked at once: each costs a process here, and a connection there.
const IN_FLIGHT: usize = 16;
/// What a mirror's list of modules calls the repository.
const MODULE: &str = "gentoo-portage";

/// A mirror of the repository, and what it answered.
pub(super) struct Tree {
    pub(super) site: Site,
    /// From a name to a connection, and when its copy was made (UNIX seconds), as far as it says.
    pub(super) answer: Result<(Duration, Option<i64>), String>,
}

/// Asks all. The best come first: those whose copies are young, by their distance.
pub(super) fn ask_all(
    sites: Vec<Site>,
    settings: &Settings,
    now: i64,
    interrupt: &Interrupt,
    seen: &mut dyn FnMut(usize),
) -> Vec<Tree> {
    let count = sites.len();
    let queue: Mutex<VecDeque<Site>> = Mutex::new(sites.into());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let work = |sender: mpsc::Sender<Tree>| {
        while let Some(site) = next().filter(|_| interrupt.number().is_none()) {
            let answer = ask(&site, settings);
            if sender.send(Tree { site, answer }).is_err() {
                break;
            }
        }
    };
    let mut trees: Vec<Tree> = Vec::new();
    thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        let work = &work;
        for _ in 0..IN_FLIGHT.min(count) {
            let sender = sender.clone();
            if thread::Builder::new().spawn_scoped(scope, move || work(sender)).is_err() {
                break; // those that run do it all
            }
        }
        drop(sender);
        for tree in receiver {
            trees.push(tree);
            seen(trees.len());
        }
    });
    trees.sort_by_key(|tree| match &tree.answer {
        Ok((distance, made)) => (class(*made, now), *distance),
        Err(_) => (u8::MAX, Duration::MAX),
    });
    trees
}

/// The order of copies: a tree is renewed twice an hour, so that these classes are wide.
fn class(made: Option<i64>, now: i64) -> u8 {
    match made.map(|made| Freshness::at(made, now)) {
        Some(Freshness::Fresh) => 0,
        Some(Freshness::Ageing) => 1,
        None => 2,
        Some(Freshness::Stale) => 3,
        Some(Freshness::Out) => 4,
    }
}

/// The address for `sync-uri`: lists leave out the module.
pub(super) fn sync_uri(site: &Site) -> String {
    let has_module =
        site.address.split_once("://").is_some_and(|(_, rest)| rest.split('/').any(|part| part == MODULE));
    if has_module { site.address.clone() } else { format!("{}/{MODULE}", site.address) }
}

fn ask(site: &Site, settings: &Settings) -> Result<(Duration, Option<i64>), String> {
    let host = authority(&site.address);
    let with_port = if has_port(&host) { host.clone() } else { format!("{host}:873") };
    // A connection to its port, over whatever would be spoken.
    let url = Url::parse(&format!("http://{with_port}/")).map_err(|error| error.to_string())?;
    let direct = Settings { proxy: std::sync::Arc::new(|_| None), ..settings.clone() };
    let (distance, _) =
        reach(&direct, &url, settings.family, PROBE).map_err(|failure: Failure| failure.to_string())?;
    Ok((distance, made(&sync_uri(site), settings)?))
}

fn has_port(host: &str) -> bool {
    host.rsplit_once(':')
        .is_some_and(|(_, port)| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()))
}

/// When the copy was made, as `metadata/timestamp.chk` says.
fn made(uri: &str, settings: &Settings) -> Result<Option<i64>, String> {
    use crate::http::settings::AddressFamily;
    let folder = Folder::new().map_err(|error| format!("no temporary folder: {error}"))?;
    let mut rsync = Command::new("rsync");
    let seconds = PROBE.as_secs();
    rsync.args(["--quiet", "--no-motd", &format!("--timeout={seconds}"), &format!("--contimeout={seconds}")]);
    match settings.family {
        AddressFamily::Any => {}
        AddressFamily::Ipv4 => drop(rsync.arg("--ipv4")),
        AddressFamily::Ipv6 => drop(rsync.arg("--ipv6")),
    }
    rsync.arg("--max-size=4096").arg(format!("{uri}/metadata/timestamp.chk")).arg(folder.path());
    rsync.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let ended = rsync.output().map_err(|error| format!("cannot run rsync: {error}"))?;
    if !ended.status.success() {
        let said = String::from_utf8_lossy(&ended.stderr);
        let line = said.lines().next().unwrap_or_default().trim();
        return Err(format!("rsync: {}", if line.is_empty() { "failed" } else { line }));
    }
    let content = crate::files::read(&folder.path().join("timestamp.chk"), timestamp::LARGEST);
    Ok(content.ok().and_then(|content| timestamp::parse(&content)))
}

/// A folder of our own that ends with the value.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new() -> std::io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        use std::sync::atomic::{AtomicUsize, Ordering};
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        for _ in 0..100 {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let path =
                std::path::Path::new("/tmp").join(format!("racefetch-rank-{}-{number}", std::process::id()));
            match std::fs::DirBuilder::new().mode(0o700).create(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                made => return made.map(|()| Self(path)),
            }
        }
        Err(std::io::ErrorKind::AlreadyExists.into())
    }

    fn path(&self) -> &std::path::Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0); // it is only untidy
    }
}

/// A table, and the line for repos.conf.
pub(super) fn table(trees: &[Tree], wanted: usize, explain: bool, now: i64) -> String {
    let mut text = String::new();
    let mut line = |line: &str| {
        text.push_str(&printable(line));
        text.push('\n');
    };
    line(&format!(
        "    {:<40}  {:>5}  {:>6}  {:>10}",
        "mirror of the repository", "where", "age", "connection"
    ));
    let shown = if explain { trees.len() } else { wanted };
    for (rank, tree) in (1..).zip(trees).take(shown) {
        let host = authority(&tree.site.address);
        let country = tree.site.countries.iter().next().cloned().unwrap_or_else(nothing);
        match &tree.answer {
            Ok((distance, made)) => {
                let age = made.map_or_else(nothing, |made| duration(timestamp::age(made, now).as_secs()));
                line(&format!(
                    "{rank:>3} {host:<40}  {country:>5}  {age:>6}  {:>7} ms",
                    distance.as_millis()
                ));
            }
            Err(why) => line(&format!("  - {host}: {why}")),
        }
    }
    let silent = trees.iter().filter(|tree| tree.answer.is_err()).count();
    line("");
    line(&format!("{} mirrors asked, {silent} of them without an answer.", trees.len()));
    if let Some(best) = best(trees, 1).first() {
        line("");
        line(&form(best));
    }
    text
}

/// The addresses of those that can be used.
pub(super) fn best(trees: &[Tree], wanted: usize) -> Vec<String> {
    trees.iter().filter(|tree| tree.answer.is_ok()).take(wanted).map(|tree| sync_uri(&tree.site)).collect()
}

/// The line for the section of the repository in repos.conf.
pub(super) fn form(uri: &str) -> String {
    format!("sync-uri = {uri}")
}

/// All mirrors as JSON.
pub(super) fn json(trees: &[Tree], now: i64) -> serde_json::Result<String> {
    let entry = |tree: &Tree| {
        let answer = tree.answer.as_ref();
        let made = answer.ok().and_then(|(_, made)| *made);
        serde_json::json!({
            "address": sync_uri(&tree.site),
            "name": tree.site.name,
            "countries": tree.site.countries,
            "connect_seconds": answer.ok().map(|(distance, _)| distance.as_secs_f64()),
            "age_seconds": made.map(|made| timestamp::age(made, now).as_secs()),
            "reason": answer.err(),
        })
    };
    let mirrors: Vec<_> = trees.iter().map(entry).collect();
    let text = serde_json::to_string_pretty(&serde_json::json!({ "version": 1, "mirrors": mirrors }))?;
    Ok(format!("{}\n", crate::progress::printable_json(&text)))
}
