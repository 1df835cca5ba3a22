//! Many mirrors at once, far and near, fast and slow, behind one line: what `rank` chooses from.
//!
//! One listening socket answers for all of them; a request says by its `Host` field which one is meant. So a mirror
//! may have an address of its own (all of 127.0.0.0/8 leads here), or a public name, when the globe is the proxy.
//! Distance is time: a connection and each request wait for a round trip, and what is under way doubles with each one,
//! as in TCP's slow start.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, BufReader, Write};
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::content::{Content, content};
use super::mirror::request::Request;
use super::server::{Life, Pacer, Server, Socket};

/// The file that rates are measured with, and its size.
pub const LARGE: &str = "linux-6.1.tar.xz";
pub const LARGE_SIZE: usize = 33 << 20;
/// The newest files.
pub const NEW: [&str; 2] = ["new-1.tar.xz", "newer-2.tar.xz"];
const LAYOUT: &str = "[structure]\n0=filename-hash BLAKE2B 8\n";
/// What is under way at the beginning, in bytes: ten packets.
const FIRST_FLIGHT: usize = 14_600;

/// A mirror.
#[derive(Clone, Debug)]
pub struct Place {
    pub round_trip: Duration,
    /// Bytes a second, all its connections together.
    pub rate: u64,
    /// Of its copy.
    pub age: Duration,
    pub kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Sound,
    /// It accepts connections and says nothing.
    Silent,
    /// It answers all questions with a page.
    WebPage,
    /// Its large file has wrong bytes.
    Corrupt,
    /// It has none of the newest files.
    Lacking,
}

impl Place {
    pub fn sound(rate: u64, round_trip_ms: u64) -> Self {
        let round_trip = Duration::from_millis(round_trip_ms);
        Self { round_trip, rate, age: Duration::from_secs(3 * 3600), kind: Kind::Sound }
    }

    #[must_use]
    pub fn of_kind(self, kind: Kind) -> Self {
        Self { kind, ..self }
    }

    #[must_use]
    pub fn hours_old(self, hours: u64) -> Self {
        Self { age: Duration::from_secs(hours * 3600), ..self }
    }
}

/// The running mirrors.
pub struct Globe {
    server: Server,
    shared: Arc<Shared>,
}

/// A place, and what its connections share.
type Running = (Place, Arc<Mutex<Pacer>>);

#[derive(Default)]
struct Shared {
    places: Mutex<BTreeMap<String, Running>>,
    line: Mutex<Option<Pacer>>,
    sent: AtomicU64,
    /// The text of the list, its entity tag, and how often it was asked for and sent.
    list: Mutex<(String, usize, usize)>,
}

impl Globe {
    /// `line` in bytes a second, for all mirrors together.
    pub fn start(line: Option<u64>) -> Self {
        large(false); // it takes a while to be made
        let shared = Arc::new(Shared { line: Mutex::new(line.map(Pacer::new)), ..Shared::default() });
        let server = Server::start(Ipv4Addr::UNSPECIFIED.into(), {
            let shared = Arc::clone(&shared);
            move |socket, number, life| {
                // A client that leaves in the middle is no failure.
                let _ = shared.converse(&socket, number, life);
            }
        });
        Self { server, shared }
    }

    pub fn port(&self) -> u16 {
        self.server.address().port()
    }

    /// Where the globe is as a proxy, and where it has the list.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port())
    }

    /// Adds a mirror under a host's name, and a port where it has one.
    pub fn add(&self, host: &str, place: Place) {
        let pacer = Arc::new(Mutex::new(Pacer::new(place.rate)));
        self.shared.places.lock().unwrap().insert(host.to_owned(), (place, pacer));
    }

    /// Adds a mirror with an address of its own, and says which.
    pub fn add_at_address(&self, number: u16, place: Place) -> String {
        let [high, low] = number.to_be_bytes();
        let host = format!("127.1.{high}.{low}:{}", self.port());
        self.add(&host, place);
        host
    }

    /// Has the list at `/list.xml`.
    pub fn publish(&self, list: &str) {
        list.clone_into(&mut lock(&self.shared.list).0);
    }

    /// How often the list was asked for, and how often it was sent.
    pub fn list_requests(&self) -> (usize, usize) {
        let list = lock(&self.shared.list);
        (list.1, list.2)
    }

    /// Bytes of all contents that were sent.
    pub fn sent(&self) -> u64 {
        self.shared.sent.load(Ordering::Relaxed)
    }
}

/// The list of these mirrors: operator, country, address.
pub fn list(mirrors: &[(&str, &str, &str)]) -> String {
    let mut text = "<?xml version=\"1.0\"?>\n<mirrors>\n".to_owned();
    for (operator, country, address) in mirrors {
        let scheme = address.split("://").next().unwrap();
        let _ = writeln!(
            text,
            "<mirrorgroup region=\"Europe\" country=\"{country}\" countryname=\"Land {country}\"><mirror>\
             <name>{operator}</name><uri protocol=\"{scheme}\" ipv4=\"y\" ipv6=\"n\" partial=\"n\">{address}</uri>\
             </mirror></mirrorgroup>"
        ); // a String takes anything
    }
    text + "</mirrors>\n"
}

/// Lays out a configuration and a repository whose Manifests name the files, under `root`, and has the command use them.
pub fn configure(command: &mut Command, root: &Path, make_conf: &str) {
    let repository = root.join("repo");
    let old = today() - Duration::from_secs(5 * 24 * 3600);
    for (package, files) in [
        ("sys-kernel/sources", vec![(LARGE, LARGE_SIZE)]),
        ("app-misc/new", vec![(NEW[0], 1000)]),
        ("app-misc/newer", vec![(NEW[1], 1000)]),
    ] {
        let folder = repository.join(package);
        fs::create_dir_all(&folder).unwrap();
        let line = |(name, size): &(&str, usize)| format!("DIST {name} {size} BLAKE2B {}\n", "0".repeat(128));
        let manifest = folder.join("Manifest");
        fs::write(&manifest, files.iter().map(line).collect::<String>()).unwrap();
        fs::File::open(&manifest).unwrap().set_modified(old).unwrap();
    }
    for (path, text) in [
        ("repo/profiles/repo_name", "gentoo\n"),
        ("repo/profiles/categories", "app-misc\nsys-kernel\n"),
        ("repo/metadata/layout.conf", "masters =\n"),
        ("etc/portage/make.conf", make_conf),
    ] {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    environment(command, root);
}

/// Has a command use a configuration that is laid out already.
pub fn environment(command: &mut Command, root: &Path) {
    let repository = root.join("repo");
    let repositories =
        format!("[DEFAULT]\nmain-repo = gentoo\n[gentoo]\nlocation = {}\n", repository.display());
    command
        .env_clear()
        .env("PORTAGE_CONFIGROOT", root)
        .env("PORTAGE_OVERRIDE_EPREFIX", root)
        .env("PORTAGE_REPOSITORIES", repositories)
        .env("RACEFETCH_STATE", root.join("mirrors.json"));
}

impl Shared {
    fn converse(&self, socket: &Socket, number: usize, life: &Life) -> io::Result<()> {
        let mut client = BufReader::new(socket.clone());
        let mut is_first = true;
        while let Some(request) = Request::read(&mut client, number)? {
            if request.path() == "/list.xml" {
                self.send_list(&request, client.get_mut())?;
                continue;
            }
            let host = request.field("Host").unwrap_or_default();
            let Some((place, pacer)) = lock(&self.places).get(host).cloned() else {
                write!(client.get_mut(), "HTTP/1.1 502 No such mirror\r\nContent-Length: 0\r\n\r\n")?;
                continue;
            };
            // The connection was there at once; its round trip is made up for.
            let trips = if is_first { 2 } else { 1 };
            is_first = false;
            if place.kind == Kind::Silent {
                socket.wait_for_close();
                return Ok(());
            }
            if !life.pause(place.round_trip * trips) {
                return Ok(());
            }
            self.answer(&request, &place, &pacer, client.get_mut(), life)?;
        }
        Ok(())
    }

    fn answer(
        &self,
        request: &Request,
        place: &Place,
        pacer: &Mutex<Pacer>,
        client: &mut Socket,
        life: &Life,
    ) -> io::Result<()> {
        let date = httpdate::fmt_http_date(today());
        let Some(body) = body(request.path(), place) else {
            return write!(client, "HTTP/1.1 404 Not Found\r\nDate: {date}\r\nContent-Length: 0\r\n\r\n");
        };
        let kind = if place.kind == Kind::WebPage { "text/html" } else { "application/octet-stream" };
        let size = body.len();
        let range = request.field("Range").and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
        let (first, end) = match range {
            Some((first, last)) => {
                let last = last.parse().map_or(size, |last: usize| (last + 1).min(size));
                (first.parse().unwrap_or(0).min(last), last)
            }
            None => (0, size),
        };
        let (status, extra) = match range {
            Some(_) => {
                ("206 Partial Content", format!("Content-Range: bytes {first}-{}/{size}\r\n", end - 1))
            }
            None => ("200 OK", String::new()),
        };
        write!(
            client,
            "HTTP/1.1 {status}\r\nDate: {date}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n{extra}\r\n",
            end - first
        )?;
        self.send(&body[first..end], place, pacer, client, life)
    }

    fn send(
        &self,
        mut bytes: &[u8],
        place: &Place,
        pacer: &Mutex<Pacer>,
        client: &mut Socket,
        life: &Life,
    ) -> io::Result<()> {
        let (mut window, mut in_flight, mut round) = (FIRST_FLIGHT, 0, now());
        while !bytes.is_empty() {
            let (part, rest) = bytes.split_at(bytes.len().min(8192));
            let mut wait = lock(pacer).reserve(now(), part.len());
            if let Some(line) = &mut *lock(&self.line) {
                wait = wait.max(line.reserve(now(), part.len()));
            }
            if in_flight >= window {
                wait = wait.max(place.round_trip.saturating_sub(round.elapsed()));
                (window, in_flight) = (window.saturating_mul(2), 0);
            }
            if !wait.is_zero() && !life.pause(wait) {
                return Ok(());
            }
            if in_flight == 0 {
                round = now();
            }
            client.write_all(part)?;
            in_flight += part.len();
            self.sent.fetch_add(part.len() as u64, Ordering::Relaxed);
            bytes = rest;
        }
        Ok(())
    }

    fn send_list(&self, request: &Request, client: &mut Socket) -> io::Result<()> {
        let mut list = lock(&self.list);
        list.1 += 1;
        let tag = format!("\"{:x}\"", list.0.len());
        if request.field("If-None-Match") == Some(&tag) {
            return write!(client, "HTTP/1.1 304 Not Modified\r\nETag: {tag}\r\n\r\n");
        }
        list.2 += 1;
        write!(
            client,
            "HTTP/1.1 200 OK\r\nETag: {tag}\r\nContent-Type: application/xml\r\nContent-Length: {}\r\n\r\n{}",
            list.0.len(),
            list.0
        )
    }
}

/// What a mirror has under a path.
fn body(path: &str, place: &Place) -> Option<Content> {
    if place.kind == Kind::WebPage {
        return Some("<!DOCTYPE html><html><body>Please log in</body></html>\n".into());
    }
    match path.rsplit('/').next().unwrap_or_default() {
        "layout.conf" => Some(LAYOUT.into()),
        "timestamp.mirmon" => {
            let made = today().checked_sub(place.age)?;
            let seconds = made.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
            Some(format!("{seconds}\n").into())
        }
        LARGE => Some(large(place.kind == Kind::Corrupt).clone()),
        name if NEW.contains(&name) && place.kind != Kind::Lacking => Some(content(5, 1000).into()),
        _ => None,
    }
}

fn large(corrupt: bool) -> &'static Content {
    static FILES: OnceLock<[Content; 2]> = OnceLock::new();
    let files = FILES.get_or_init(|| {
        let right: Content = content(9, LARGE_SIZE).into();
        [right.clone(), right.corrupted_at(20_000)]
    });
    &files[usize::from(corrupt)]
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[expect(clippy::disallowed_methods, reason = "it keeps rates and distances")]
fn now() -> Instant {
    Instant::now()
}

/// The time of the day, as mirrors tell it.
#[expect(clippy::disallowed_methods, reason = "copies have an age")]
pub fn today() -> SystemTime {
    SystemTime::now()
}
