//! A mirror of a local network in a folder of its own: what `racefetch-mirror-setup` makes of `mirror.conf`.

use std::fmt::Write;
use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::LazyLock;
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use super::dns;

/// What the scripts are called with, and nginx: a system's own folders for programs.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// A mirror with its cache, which is stopped and removed when it is dropped.
pub struct Lan {
    folder: TempDir,
    port: u16,
    nginx: Option<Child>,
}

/// What is shipped.
pub fn shipped(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("mirror").join(path)
}

/// A script of the mirror, with a bare environment.
pub fn script(name: &str) -> Command {
    let mut command = Command::new(shipped("bin").join(name));
    command.env_clear().env("PATH", PATH).env("LC_ALL", "C").stdin(Stdio::null());
    command
}

/// Runs a command; what it said, and its status.
pub fn run(command: &mut Command) -> (Output, String) {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?} could not be started: {e}"));
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    let said = format!("{}\n{}", output.status, String::from_utf8_lossy(&said));
    (output, said)
}

impl Lan {
    /// A cache before these mirrors, running.
    pub fn start(mirrors: &[String]) -> Self {
        Self::start_with(mirrors, "", &[])
    }

    /// The same with further lines for `mirror.conf`, and further options for the setup.
    pub fn start_with(mirrors: &[String], lines: &str, options: &[&str]) -> Self {
        static NAMES: LazyLock<String> = LazyLock::new(|| dns::start().to_string());
        let folder = tempfile::Builder::new().prefix("racefetch-lan-").tempdir().unwrap();
        let mut lan = Self { folder, port: 0, nginx: None };
        // Another process may take the port between the choice and the start.
        for _ in 0..5 {
            lan.port = free_port();
            let root = lan.root().display();
            let mut conf = String::new();
            for name in ["DATA", "CACHE", "RUN", "LOGS"] {
                let _ = writeln!(conf, "{name}={root}/{name}");
            }
            let _ = writeln!(
                conf,
                "LISTEN=127.0.0.1:{}\nRESOLVER={}\nMIN_FREE=1m\nCACHE_SIZE=1g\nMIRROR_USER=\"$(id -un)\"\n{lines}",
                lan.port, *NAMES
            );
            fs::write(lan.conf(), conf).unwrap();
            lan.set_up(&[&["--mirrors", &mirrors.join(" ")], options].concat());
            if lan.try_start() {
                return lan;
            }
        }
        panic!("nginx did not start:\n{}", lan.log("error.log"));
    }

    /// Writes the configuration, and has a running nginx use it.
    pub fn set_up(&self, options: &[&str]) {
        let (output, said) = run(self.setup().args(options));
        assert!(output.status.success(), "{said}");
    }

    pub fn setup(&self) -> Command {
        let mut setup = script("racefetch-mirror-setup");
        setup.arg("--config").arg(self.conf()).arg("--to").arg(self.root().join("etc"));
        setup
    }

    /// Starts nginx again.
    pub fn restart(&mut self) {
        assert!(self.try_start(), "nginx did not start again:\n{}", self.log("error.log"));
    }

    fn try_start(&mut self) -> bool {
        // As the service does: a killed nginx leaves its sockets behind, and would not start again.
        for file in fs::read_dir(self.root().join("RUN")).unwrap() {
            fs::remove_file(file.unwrap().path()).unwrap();
        }
        let etc = self.root().join("etc");
        let mut command = Command::new("nginx");
        command.env("PATH", PATH).arg("-p").arg(&etc).arg("-c").arg(etc.join("nginx.conf"));
        let command = command.args(["-g", "daemon off;"]).stdin(Stdio::null()).stderr(Stdio::null());
        let mut nginx = command.spawn().expect("nginx is installed (Debian: nginx-light)");
        let answers = || TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok();
        let started = wait_for(|| nginx.try_wait().unwrap().is_some() || answers());
        assert!(started, "nginx neither listens nor ends");
        if nginx.try_wait().unwrap().is_some() {
            return false;
        }
        self.nginx = Some(nginx);
        true
    }

    /// What a power cut does to nginx.
    pub fn kill(&mut self) {
        let Some(mut nginx) = self.nginx.take() else { return };
        let workers = children(nginx.id());
        nginx.kill().unwrap();
        nginx.wait().unwrap();
        for worker in workers {
            let worker = rustix::process::Pid::from_raw(worker).unwrap();
            // It ends by itself when its master is gone.
            let _ = rustix::process::kill_process(worker, rustix::process::Signal::KILL);
        }
        let address = (Ipv4Addr::LOCALHOST, self.port);
        assert!(wait_for(|| TcpStream::connect(address).is_err()), "nginx still answers");
    }

    /// The entry for `GENTOO_MIRRORS`.
    pub fn base(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base())
    }

    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    pub fn conf(&self) -> PathBuf {
        self.root().join("mirror.conf")
    }

    /// The plain tree.
    pub fn distfiles(&self) -> PathBuf {
        self.root().join("DATA/distfiles")
    }

    /// Bytes of the slices that are kept.
    pub fn kept(&self) -> u64 {
        fn size(folder: &Path) -> u64 {
            let entries = fs::read_dir(folder).unwrap().filter_map(Result::ok);
            entries
                .map(
                    |e| if e.path().is_dir() { size(&e.path()) } else { e.metadata().map_or(0, |m| m.len()) },
                )
                .sum()
        }
        size(&self.root().join("CACHE/slices"))
    }

    pub fn log(&self, name: &str) -> String {
        fs::read_to_string(self.root().join("LOGS").join(name)).unwrap_or_default()
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        self.kill();
    }
}

/// True as soon as the condition holds; false when it does not for half a minute.
#[expect(clippy::disallowed_methods, reason = "there is nothing to wait on")]
pub fn wait_for(mut condition: impl FnMut() -> bool) -> bool {
    (0..3000).any(|_| {
        condition() || {
            thread::sleep(Duration::from_millis(10));
            false
        }
    })
}

pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback address has a free port");
    listener.local_addr().unwrap().port()
}

/// The processes that this one has started.
fn children(pid: u32) -> Vec<i32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}
