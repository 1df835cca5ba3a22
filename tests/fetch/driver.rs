//! One call of the program, in a DISTDIR of its own, and how it ended.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use blake2::Blake2b512;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use sha2::{Digest, Sha256, Sha512};
use tempfile::TempDir;

/// The distfile that most tests want.
pub const NAME: &str = "foo-1.tar.xz";
/// No call here takes so long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(50);
/// Between two looks at a call that is under way.
const PULSE: Duration = Duration::from_millis(2);

/// A DISTDIR, a state file and a configuration that no other test sees.
pub struct Distdir {
    root: TempDir,
    name: String,
}

impl Distdir {
    pub fn new() -> Self {
        Self::of(NAME)
    }

    /// For a distfile of that name.
    pub fn of(name: &str) -> Self {
        let root = tempfile::tempdir().expect("a temporary folder can be made");
        fs::create_dir(root.path().join("distfiles")).expect("an empty folder takes a folder");
        Self { root, name: name.to_owned() }
    }

    /// `PORTAGE_CONFIGROOT` and the prefix of Portage; DISTDIR is its folder `distfiles`.
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// `${DISTDIR}/${FILE}`.
    pub fn file(&self) -> PathBuf {
        self.path(&self.download_name())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root().join("distfiles").join(name)
    }

    /// What lies at FILE.
    pub fn content(&self) -> Option<Vec<u8>> {
        fs::read(self.file()).ok()
    }

    pub fn put_file(&self, bytes: &[u8]) {
        fs::write(self.file(), bytes).unwrap();
    }

    /// Writes a file below the root, with the folders that it needs.
    pub fn put(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Everything in DISTDIR, hidden files included, in order.
    pub fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.root().join("distfiles")).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// FILE is there whole, and nothing beside it.
    pub fn assert_holds(&self, content: &[u8], ended: &Ended) {
        self.assert_prefix(content, ended);
        assert_eq!(self.content().map(|held| held.len()), Some(content.len()), "{ended}");
        assert_eq!(self.names(), [self.download_name()], "left behind\n{ended}");
    }

    /// FILE is a beginning of the content, or is not there.
    pub fn assert_prefix(&self, content: &[u8], why: &impl fmt::Display) {
        let held = self.content().unwrap_or_default();
        if !content.starts_with(&held) {
            let right = held.iter().zip(content).take_while(|(held, right)| held == right).count();
            panic!("FILE has {} bytes and is right up to {right} of {}\n{why}", held.len(), content.len());
        }
    }

    /// A call with `-f -L` and the state file, to which a test adds what it is about.
    pub fn call(&self) -> Call {
        let mut command = Command::new(env!("CARGO_BIN_EXE_racefetch"));
        command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        // The machine's own configuration is nobody's business here.
        command.env("HOME", self.root()).env("PORTAGE_CONFIGROOT", self.root());
        command.env("PORTAGE_OVERRIDE_EPREFIX", self.root());
        command.args(["-f", "-L", "--state"]).arg(self.state_file());
        Call { command, output: self.file() }
    }

    pub fn state_file(&self) -> PathBuf {
        self.root().join("mirrors.json")
    }

    /// The state as `racefetch stats --json` shows it.
    pub fn state(&self) -> Value {
        let mut command = Command::new(env!("CARGO_BIN_EXE_racefetch"));
        let run = command.args(["stats", "--json", "--state"]).arg(self.state_file()).output().unwrap();
        serde_json::from_slice(&run.stdout).unwrap()
    }

    fn download_name(&self) -> String {
        format!("{}.__download__", self.name)
    }
}

/// A call that is being put together.
pub struct Call {
    command: Command,
    output: PathBuf,
}

impl Call {
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.command.args(args);
        self
    }

    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// As RESUMECOMMAND has it.
    pub fn resume(self) -> Self {
        self.args(["-C", "-"])
    }

    /// The file must be this one: digests as Portage passes them.
    pub fn digests_of(self, content: &[u8]) -> Self {
        self.args(["--digests", &digests(content)])
    }

    /// As `digests_of`, with the size, which comes from the Manifest under Portage.
    pub fn target(self, content: &[u8]) -> Self {
        self.digests_of(content).args(["--size", &content.len().to_string()])
    }

    pub fn mirrors<M: AsRef<str>>(self, bases: &[M]) -> Self {
        let bases: Vec<&str> = bases.iter().map(AsRef::as_ref).collect();
        self.args(["--mirrors", &bases.join(" ")])
    }

    /// With so many open files at most.
    pub fn limited_to(mut self, files: u32) -> Self {
        let script = format!("ulimit -n {files} && exec \"$@\"");
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &script, "sh"]).arg(self.command.get_program()).args(self.command.get_args());
        command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command.envs(self.command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        self.command = command;
        self
    }

    /// Another FILE than the distfile.
    pub fn output(mut self, path: &Path) -> Self {
        path.clone_into(&mut self.output);
        self
    }

    pub fn fetch(self, url: &str) -> Ended {
        self.start(url).finish()
    }

    #[expect(clippy::disallowed_methods, reason = "how long a call takes is part of how it ended")]
    pub fn start(mut self, url: &str) -> Running {
        self.command.arg("-o").arg(&self.output).arg(url);
        let began = Instant::now();
        let mut child = self.command.spawn().expect("the program can be started");
        let mut stderr = child.stderr.take().expect("it is a pipe");
        let (sender, output) = channel();
        // The end of stderr is the end of the process, which has no children.
        thread::spawn(move || {
            let mut text = Vec::new();
            let _ = stderr.read_to_end(&mut text); // what came until then is shown
            let _ = sender.send(String::from_utf8_lossy(&text).into_owned());
        });
        Running { child, output, began }
    }
}

/// A call that is under way. It is killed when it is dropped.
pub struct Running {
    child: Child,
    output: Receiver<String>,
    began: Instant,
}

impl Running {
    pub fn finish(self) -> Ended {
        self.watch(|_| {})
    }

    /// Has a look every few milliseconds until the call has ended.
    pub fn watch(mut self, mut look: impl FnMut(&Self)) -> Ended {
        let output = loop {
            match self.output.recv_timeout(PULSE) {
                Ok(output) => break output,
                Err(RecvTimeoutError::Timeout) => look(&self),
                Err(RecvTimeoutError::Disconnected) => panic!("the reader of stderr has gone"),
            }
            assert!(self.began.elapsed() < PATIENCE, "the call hangs");
        };
        let elapsed = self.began.elapsed();
        let status = self.child.wait().expect("it is our child");
        Ended { code: status.code(), signal: status.signal(), output, elapsed }
    }

    /// Sends a signal once something has come to pass. The call may have ended before.
    pub fn signal_when(self, signal: Signal, reached: impl Fn() -> bool) -> Ended {
        let mut sent = false;
        self.watch(|running| {
            if !sent && reached() {
                running.signal(signal);
                sent = true;
            }
        })
    }

    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a child has a PID");
        kill_process(pid, signal).expect("a child that was not waited for can be sent a signal");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it has ended, mostly
        let _ = self.child.wait();
    }
}

/// How a call ended.
#[derive(Debug)]
pub struct Ended {
    /// None when a signal has ended it.
    pub code: Option<i32>,
    /// The number of that.
    pub signal: Option<i32>,
    /// Everything on stderr.
    pub output: String,
    pub elapsed: Duration,
}

impl Ended {
    pub fn success(&self) -> bool {
        self.code == Some(0)
    }

    pub fn assert_success(&self) {
        assert!(self.success(), "{self}");
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exit status {:?} after {:?}\n{}", self.code, self.elapsed, self.output)
    }
}

/// The quickest of a few calls: what it takes when nothing else has the machine.
pub fn quickest(count: usize, mut call: impl FnMut() -> Ended) -> Ended {
    let calls = (0..count).map(|_| call());
    calls.min_by_key(|ended| ended.elapsed).expect("at least one call is made")
}

/// `${DIGESTS}`: BLAKE2B and SHA512, as repositories have them.
pub fn digests(content: &[u8]) -> String {
    format!("{} {}", digest("blake2b", content), digest("sha512", content))
}

/// One word of `${DIGESTS}`.
pub fn digest(algorithm: &str, content: &[u8]) -> String {
    let bytes = match algorithm {
        "blake2b" => Blake2b512::digest(content).to_vec(),
        "sha512" => Sha512::digest(content).to_vec(),
        "sha256" => Sha256::digest(content).to_vec(),
        other => panic!("{other} is not among the algorithms of Manifests"),
    };
    let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{algorithm}:{}", hex.concat())
}

/// A Manifest's line for a distfile.
pub fn manifest_line(name: &str, content: &[u8]) -> String {
    let words = digests(content).replace("blake2b:", "BLAKE2B ").replace("sha512:", "SHA512 ");
    format!("DIST {name} {} {words}\n", content.len())
}

/// Words of a command line.
pub fn words(text: &str) -> Vec<OsString> {
    text.split_whitespace().map(OsString::from).collect()
}
