//! A source for rsync: a real daemon, and the scripts that copy from it.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use super::lan::{free_port, run, script, wait_for};

/// A folder that an rsync daemon serves as the module `gentoo`.
pub struct Source {
    folder: TempDir,
    port: u16,
    daemon: Child,
}

impl Source {
    pub fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("racefetch-source-").tempdir().unwrap();
        fs::create_dir(folder.path().join("files")).unwrap();
        let conf = folder.path().join("rsyncd.conf");
        let files = folder.path().join("files");
        let text = format!("use chroot = no\n[gentoo]\npath = {}\nread only = yes\n", files.display());
        fs::write(&conf, text).unwrap();
        for _ in 0..5 {
            let port = free_port();
            let mut command = Command::new("rsync");
            command.args(["--daemon", "--no-detach", "--address=127.0.0.1"]).arg(format!("--port={port}"));
            command.arg(format!("--config={}", conf.display())).process_group(0);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let mut daemon = command.spawn().expect("rsync is installed");
            let answers = || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
            assert!(wait_for(|| daemon.try_wait().unwrap().is_some() || answers()), "rsync does not start");
            if daemon.try_wait().unwrap().is_none() {
                return Self { folder, port, daemon };
            }
        }
        panic!("no port for rsync");
    }

    pub fn url(&self) -> String {
        format!("rsync://127.0.0.1:{}/gentoo/", self.port)
    }

    pub fn files(&self) -> PathBuf {
        self.folder.path().join("files")
    }

    pub fn put(&self, path: &str, content: impl AsRef<[u8]>, changed: u64) {
        put(&self.files().join(path), content, changed);
    }

    /// What a power cut does to it, and to those that it serves.
    pub fn die(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.daemon);
        // It may have been killed before.
        let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
        self.daemon.wait().unwrap();
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.die();
    }
}

/// Writes a file that was last changed at that time, and makes the folders above it. rsync takes files for the same
/// that have one size and were changed in the same second.
fn put(path: &Path, content: impl AsRef<[u8]>, changed: u64) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(changed);
    fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

/// A machine that mirrors: `DATA` and a configuration.
pub struct Machine {
    folder: TempDir,
    script: &'static str,
}

impl Machine {
    pub fn new(script: &'static str, conf: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("racefetch-machine-").tempdir().unwrap();
        let machine = Self { folder, script };
        machine.configure(conf);
        machine
    }

    pub fn configure(&self, conf: &str) {
        let conf = format!("DATA={}\nMIRROR_USER=\"$(id -un)\"\n{conf}\n", self.data().display());
        fs::write(self.folder.path().join("mirror.conf"), conf).unwrap();
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub fn command(&self, options: &[&str]) -> Command {
        let mut command = script(self.script);
        command.arg("--config").arg(self.folder.path().join("mirror.conf")).args(options);
        command
    }

    #[track_caller]
    pub fn runs(&self, status: i32, options: &[&str]) -> String {
        let (Output { status: ended, .. }, said) = run(&mut self.command(options));
        assert_eq!(ended.code(), Some(status), "{said}");
        said
    }

    /// Starts the script with all that it starts in a process group of its own.
    pub fn start(&self, options: &[&str]) -> Child {
        let mut command = self.command(options);
        command.process_group(0).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// A figure of the file in `DATA/metrics`.
    pub fn figure(&self, name: &str) -> Option<f64> {
        let folder = fs::read_dir(self.data().join("metrics")).ok()?;
        let texts: String = folder.map(|file| fs::read_to_string(file.unwrap().path()).unwrap()).collect();
        let mut lines = texts.lines().filter_map(|line| line.rsplit_once(' '));
        lines.find(|(named, _)| *named == name)?.1.parse().ok()
    }
}

/// Ends it and all that it started at once.
pub fn kill(mut child: Child) {
    // It may have ended: until it is waited for, the number is still its own.
    let _ = rustix::process::kill_process_group(
        rustix::process::Pid::from_child(&child),
        rustix::process::Signal::KILL,
    );
    child.wait().unwrap();
}
