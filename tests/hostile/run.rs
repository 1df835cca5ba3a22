//! The program as a process under watch, and servers that follow no rule at all.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use racefetch::portage::{Algorithm, Digest};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, kill_process_group, pidfd_open};
use tempfile::TempDir;

use crate::support::mirror::{Mirror, Rule};
use crate::support::server::{Server, Socket};

/// No run may take longer, whatever is done to it.
const HARD_LIMIT: Duration = Duration::from_secs(10);
/// The most memory that a run may use, in KiB; the code of a build without optimisation is a third of it.
const MEMORY_LIMIT: u64 = 40 * 1024;
/// How many cases wait at the same time.
const AT_ONCE: usize = 10;
/// The user and group `nobody`.
const NOBODY: u32 = 65534;

/// A folder of its own for one test, and the program that works in it.
pub struct Place(TempDir);

impl Place {
    /// Open to all users, so that the program can be run as one of them.
    pub fn new() -> Self {
        let place = Self(tempfile::tempdir_in("/tmp").unwrap());
        set_mode(place.path(), 0o755);
        place
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path().join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub fn exists(&self, name: &str) -> bool {
        fs::symlink_metadata(self.join(name)).is_ok()
    }

    /// The program, silent but for errors.
    pub fn racefetch(&self) -> Racefetch {
        self.bare().args(["-sS"])
    }

    /// The program without any argument, in this folder, and with nothing of the test's own environment. Its state
    /// lies in a folder apart.
    pub fn bare(&self) -> Racefetch {
        fs::create_dir_all(self.join("state")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_racefetch"));
        command
            .env_clear()
            .env("PORTAGE_CONFIGROOT", self.join("config"))
            .env("PORTAGE_OVERRIDE_EPREFIX", self.join("config"))
            .env("RACEFETCH_STATE", self.join("state/mirrors.json"))
            .env("HOME", self.path())
            .current_dir(self.path());
        Racefetch { command, by_nobody: false }
    }
}

pub fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
}

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A file as a Manifest would list it.
pub struct Distfile<'a> {
    pub name: &'a str,
    pub content: &'a [u8],
}

impl Distfile<'_> {
    pub fn digests(&self) -> String {
        let digest = |algorithm: Algorithm| {
            format!("{}:{}", algorithm.name().to_lowercase(), Digest::of(algorithm, self.content).hex())
        };
        format!("{} {}", digest(Algorithm::Blake2b), digest(Algorithm::Sha512))
    }

    /// What its Manifest says of it.
    pub fn manifest_line(&self) -> String {
        let digests = self.digests();
        let words: Vec<&str> = digests.split([':', ' ']).collect();
        let (name, size, blake2b, sha512) = (self.name, self.content.len(), words[1], words[3]);
        format!("DIST {name} {size} BLAKE2B {blake2b} SHA512 {sha512}\n")
    }

    /// What Portage passes for it, with `-f -L -C -`.
    pub fn arguments(&self) -> Vec<OsString> {
        let file = format!("{}.__download__", self.name);
        let size = self.content.len().to_string();
        ["-f", "-L", "-C", "-", "--digests", &self.digests(), "--size", &size, "-o", &file]
            .iter()
            .map(OsString::from)
            .collect()
    }
}

/// The mirror that is asked for answers everything by `slow`; another one has the file, and it arrives.
#[track_caller]
pub fn another_sends(bytes: &[u8], slow: Rule) {
    let (first, good) = (Mirror::start(), Mirror::start());
    let file = Distfile { name: "x-1.tar", content: bytes };
    first.on("*").add(slow.always());
    good.on("/distfiles/layout.conf").serve("[structure]\n0=flat\n").always();
    good.on("/distfiles/x-1.tar").serve(bytes).always();
    let place = Place::new();
    let mirrors = format!("{} {}", first.url(""), good.url(""));
    let run = place.racefetch().args(file.arguments()).args(["--mirrors", &mirrors]);
    run.arg(first.url("/distfiles/x-1.tar")).succeeds();
    assert!(place.read("x-1.tar.__download__") == bytes);
}

/// One run of the program, yet to be started.
pub struct Racefetch {
    command: Command,
    by_nobody: bool,
}

impl Racefetch {
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    pub fn args(mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.command.args(arguments);
        self
    }

    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub fn without_env(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    pub fn env_clear(mut self) -> Self {
        self.command.env_clear();
        self
    }

    /// By way of `sh`, which first does `preparation`: limits, redirections.
    pub fn after(self, preparation: &str) -> Self {
        self.by_shell("/bin/sh", &format!("{preparation}\nexec \"$@\""))
    }

    /// Behind these arguments of another program, and `--`.
    pub fn by(mut self, program: &Path, arguments: &[String]) -> Self {
        let mut other = Command::new(program);
        other.args(arguments).arg("--").arg(self.command.get_program());
        self.take_over(other);
        self
    }

    /// As `"$@"` of a script.
    pub fn by_bash(self, script: &str) -> Self {
        self.by_shell("/bin/bash", script)
    }

    fn by_shell(mut self, path: &str, script: &str) -> Self {
        let mut shell = Command::new(path);
        shell.args(["-c", script, "sh"]).arg(self.command.get_program());
        self.take_over(shell);
        self
    }

    /// As the user `nobody` when it is root who starts it: nothing is read-only for root.
    pub fn by_nobody(mut self, place: &Place) -> Self {
        if is_root() {
            // The binary may lie where `nobody` cannot go.
            let copy = place.join("racefetch");
            if !copy.exists() && fs::hard_link(env!("CARGO_BIN_EXE_racefetch"), &copy).is_err() {
                fs::copy(env!("CARGO_BIN_EXE_racefetch"), &copy).unwrap();
            }
            set_mode(&place.join("state"), 0o777);
            self.take_over(Command::new(copy));
            self.by_nobody = true;
        }
        self
    }

    /// Has another program started in the same way, with the same arguments behind its own.
    fn take_over(&mut self, mut other: Command) {
        other.args(self.command.get_args()).env_clear();
        other.envs(self.command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        if let Some(folder) = self.command.get_current_dir() {
            other.current_dir(folder);
        }
        self.command = other;
    }

    pub fn stdout(mut self, to: impl Into<Stdio>) -> Self {
        self.command.stdout(to);
        self
    }

    pub fn start(mut self) -> Running {
        let shown = format!("{:?}", self.command);
        self.command.stdin(Stdio::null()).stderr(Stdio::piped()).process_group(0);
        if self.by_nobody {
            self.command.uid(NOBODY).gid(NOBODY);
        }
        let mut child = self.command.spawn().unwrap();
        let output = child.stdout.take().map(read_all);
        let errors = read_all(child.stderr.take().unwrap());
        Running { child, output, errors, shown, memory: 0, threads: 0 }
    }

    /// Runs it to its end.
    pub fn run(self) -> Ran {
        self.stdout(Stdio::piped()).start().wait()
    }

    /// Runs it, and asserts that it failed with `code` and one line that holds all of `words`.
    #[track_caller]
    pub fn fails(self, code: i32, words: &[&str]) -> Ran {
        let ran = self.run();
        ran.assert_failed(code, words);
        ran
    }

    #[track_caller]
    pub fn succeeds(self) -> Ran {
        let ran = self.run();
        assert_eq!(ran.code, 0, "{ran:?}");
        ran
    }
}

/// A process under watch.
pub struct Running {
    child: Child,
    output: Option<JoinHandle<Vec<u8>>>,
    errors: JoinHandle<Vec<u8>>,
    shown: String,
    /// Its peak so far, in KiB.
    memory: u64,
    threads: usize,
}

impl Running {
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Sends it to all that it has started, too, as a terminal does.
    pub fn signal_group(&self, signal: Signal) {
        kill_process_group(self.pid(), signal).unwrap();
    }

    /// Waits until something is the case. It is asked again and again: files and processes send no word.
    pub fn wait_until(&mut self, what: &str, mut condition: impl FnMut() -> bool) {
        let deadline = now() + HARD_LIMIT;
        while !condition() {
            assert!(now() < deadline, "{what} did not come about: {}", self.shown);
            assert!(!self.ended_within(Duration::from_millis(2)), "it ended before {what}: {}", self.shown);
        }
    }

    /// Waits for its end, and holds it to what is promised of every run.
    #[track_caller]
    pub fn wait(self) -> Ran {
        self.wait_within(HARD_LIMIT)
    }

    /// The same for a run that may take longer than others.
    #[track_caller]
    pub fn wait_within(mut self, limit: Duration) -> Ran {
        let began = now();
        while !self.ended_within(Duration::from_millis(5)) {
            if now().saturating_duration_since(began) > limit {
                self.child.kill().unwrap();
                self.child.wait().unwrap();
                panic!(
                    "it did not end within {} s: {}\nstderr: {}",
                    limit.as_secs(),
                    self.shown,
                    String::from_utf8_lossy(&self.errors.join().unwrap())
                );
            }
            self.look_at_memory();
        }
        let elapsed = now().saturating_duration_since(began);
        let status = self.child.wait().unwrap();
        let stdout = self.output.map(|output| output.join().unwrap()).unwrap_or_default();
        let stderr = self.errors.join().unwrap();
        let code = status.code().unwrap_or_else(|| -status.signal().unwrap_or_default());
        let Self { memory, threads, shown, .. } = self;
        let ran = Ran { code, stdout, stderr, elapsed, memory, threads, shown };
        assert!(!ran.stderr().contains("panicked"), "{ran:?}");
        assert!(![101, 134, -6, -11].contains(&ran.code), "{ran:?}");
        assert!(ran.memory < MEMORY_LIMIT, "{} KiB of memory: {ran:?}", ran.memory);
        ran
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    fn ended_within(&self, time: Duration) -> bool {
        let fd = pidfd_open(self.pid(), PidfdFlags::empty()).unwrap();
        let time = Timespec { tv_sec: 0, tv_nsec: i64::from(time.subsec_nanos()) };
        poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&time)).is_ok_and(|ready| ready > 0)
    }

    /// `VmHWM` and `Threads` of the process, once it is the program and no longer a copy of this one.
    fn look_at_memory(&mut self) {
        let Ok(status) = fs::read_to_string(format!("/proc/{}/status", self.child.id())) else { return };
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
        if field("Name:").is_none_or(|name| name.trim() != "racefetch") {
            return;
        }
        let peak = field("VmHWM:").and_then(|value| value.trim().strip_suffix(" kB")?.parse().ok());
        self.memory = self.memory.max(peak.unwrap_or(0));
        let threads = field("Threads:").and_then(|value| value.trim().parse().ok());
        self.threads = self.threads.max(threads.unwrap_or(0));
    }
}

/// A run that has ended.
pub struct Ran {
    /// The exit status; a signal's number, negative, when it was killed.
    pub code: i32,
    pub stdout: Vec<u8>,
    stderr: Vec<u8>,
    pub elapsed: Duration,
    /// KiB at the peak, as far as it was seen.
    pub memory: u64,
    /// The most that were seen at once.
    pub threads: usize,
    shown: String,
}

impl Ran {
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// One line on stderr that names what was tried, fit for a terminal.
    #[track_caller]
    pub fn assert_failed(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, code, "{self:?}");
        self.assert_one_line(words);
    }

    #[track_caller]
    pub fn assert_one_line(&self, words: &[&str]) {
        let stderr = self.stderr();
        let line = stderr.strip_suffix('\n').unwrap_or_else(|| panic!("no line: {self:?}"));
        assert!(!line.is_empty() && !line.contains('\n'), "more or less than one line: {self:?}");
        assert!(line.starts_with("racefetch: "), "{self:?}");
        assert!(line.len() < 4096, "a line of {} bytes: {self:?}", line.len());
        for word in words {
            assert!(line.contains(word), "{word:?} is not in {self:?}");
        }
        self.assert_harmless();
    }

    /// Nothing on stderr can give a terminal orders.
    #[track_caller]
    pub fn assert_harmless(&self) {
        let stderr = self.stderr();
        let order = stderr.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\t'));
        assert_eq!(order, None, "{self:?}");
    }
}

impl std::fmt::Debug for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let stderr: String = self.stderr().chars().take(2000).collect();
        write!(f, "exit {} after {:?}: {}\nstderr: {stderr:?}", self.code, self.elapsed, self.shown)
    }
}

/// A server that does what it likes with each connection.
pub struct Peer(Server);

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.address())
    }
}

impl Peer {
    /// `answer` is called once for each request, with the request's head; the connection is closed when it
    /// returns false.
    pub fn start(answer: impl Fn(&mut Socket, &str) -> io::Result<bool> + Send + Sync + 'static) -> Self {
        Self(Server::start(IpAddr::V4(Ipv4Addr::LOCALHOST), move |mut socket, _, _| {
            let mut client = BufReader::new(socket.clone());
            while let Some(head) = read_head(&mut client) {
                // An error means that the client has left.
                if !answer(&mut socket, &head).unwrap_or(false) {
                    break;
                }
            }
            socket.finish_sending();
            socket.wait_for_close();
        }))
    }

    /// One and the same bytes for every request, then FIN.
    pub fn saying(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        Self::start(move |client, _| {
            client.write_all(&bytes)?;
            Ok(false)
        })
    }

    /// `first`, then `again` without end.
    pub fn endless(first: impl Into<Vec<u8>>, again: impl Into<Vec<u8>>) -> Self {
        let (first, again) = (first.into(), again.into());
        Self::start(move |client, _| {
            client.write_all(&first)?;
            loop {
                client.write_all(&again)?;
            }
        })
    }

    pub fn address(&self) -> SocketAddr {
        self.0.address()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }
}

/// Checks all cases, so that a failure of one hides no other, and then fails when one did.
#[track_caller]
pub fn each<C: std::fmt::Debug>(cases: impl IntoIterator<Item = C>, check: impl Fn(&C)) {
    let failed = |case: &C| catch_unwind(AssertUnwindSafe(|| check(case))).is_err();
    let failures: Vec<String> = cases
        .into_iter()
        .filter(failed)
        .map(|case| format!("{case:?}").chars().take(200).collect())
        .collect();
    assert!(failures.is_empty(), "{} cases failed:\n{}", failures.len(), failures.join("\n"));
}

/// The same with some cases at once, for those that spend their time on waiting. Not all of them: other tests measure.
#[track_caller]
pub fn each_at_once<C: std::fmt::Debug + Sync>(
    cases: impl IntoIterator<Item = C>,
    check: impl Fn(&C) + Sync,
) {
    let cases: Vec<C> = cases.into_iter().collect();
    let share = cases.len().div_ceil(AT_ONCE).max(1);
    let failed = |case: &C| catch_unwind(AssertUnwindSafe(|| check(case))).is_err();
    let failed: Vec<bool> = thread::scope(|scope| {
        let failed = &failed;
        let shares = cases.chunks(share);
        let runs: Vec<_> =
            shares.map(|share| scope.spawn(move || share.iter().map(failed).collect::<Vec<_>>())).collect();
        runs.into_iter().flat_map(|run| run.join().unwrap()).collect()
    });
    each(cases.iter().zip(failed), |(_, failed)| assert!(!failed));
}

fn read_head(client: &mut impl BufRead) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if client.read_until(b'\n', &mut head).ok()? == 0 {
            return None;
        }
    }
    Some(String::from_utf8_lossy(&head).into_owned())
}

fn read_all(mut from: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut all = Vec::new();
        let _ = from.read_to_end(&mut all); // what came before an error is what there is
        all
    })
}

#[expect(clippy::disallowed_methods, reason = "a process under watch has a deadline")]
pub fn now() -> Instant {
    Instant::now()
}
