//! Machines that a playbook can set up: a copy-on-write root and an init each, in namespaces of their own.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use fs2::FileExt;
use tempfile::TempDir;

use crate::mirror::lan::{run, wait_for};

/// What starts and watches services on a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Init {
    /// The one that is installed here, as the first process.
    Systemd,
    /// Debian's packages, laid into the machine, and sshd with them.
    OpenRc,
}

/// A running machine. When it is dropped, it and all that runs on it is killed.
pub struct Machine {
    folder: TempDir,
    process: Child,
    /// Where `ssh.sh` finds its number.
    entry: PathBuf,
}

/// A script of the tests.
pub fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ansible").join(name)
}

/// The folder that cargo builds in.
pub fn target() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is a folder of the target folder")
}

/// Why there can be no such machines here; none when there can.
pub fn impossible() -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        return Some("only root makes machines");
    }
    if !Path::new("/lib/systemd/systemd").exists() {
        return Some("systemd is not installed");
    }
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount", "--pid", "--fork", "--cgroup", "sh", "-c"]);
    unshare.arg("mount -t tmpfs none /mnt && mount -t cgroup2 none /mnt").stderr(Stdio::null());
    match unshare.status() {
        Ok(status) if status.success() => None,
        _ => Some("this system allows no namespaces"),
    }
}

impl Machine {
    /// Starts a machine that `ssh.sh` knows by its name. The folders are to be seen in it, too.
    pub fn start(name: &str, init: Init, entries: &Path, visible: &[&Path]) -> Self {
        let folder = tempfile::Builder::new().prefix("racefetch-machine-").tempdir().unwrap();
        let mut command = Command::new(script("machine.sh"));
        command.arg(name).arg(folder.path());
        match init {
            Init::Systemd => command.arg("systemd"),
            Init::OpenRc => command.arg(programs()),
        };
        let log = File::create(entries.join(format!("{name}.log"))).unwrap();
        command.args(visible).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let process = command.spawn().unwrap();
        let machine = Self { folder, process, entry: entries.join(name) };
        // The script becomes unshare(1), whose only child is the machine's first process.
        let proc = PathBuf::from(format!("/proc/{}", machine.process.id()));
        let children = proc.join(format!("task/{}/children", machine.process.id()));
        let mut first = String::new();
        let is_up = wait_for(|| {
            let is_unshare = fs::read_to_string(proc.join("comm")).is_ok_and(|name| name == "unshare\n");
            first = fs::read_to_string(&children).unwrap_or_default();
            is_unshare && !first.trim().is_empty()
        });
        let said = || fs::read_to_string(machine.entry.with_extension("log")).unwrap_or_default();
        assert!(is_up, "{name} has no first process: {}", said());
        fs::write(&machine.entry, first.trim()).unwrap();
        let question = match init {
            Init::Systemd => "systemctl is-system-running 2>/dev/null | grep -qxE 'running|degraded'",
            Init::OpenRc => "test -e /run/ready",
        };
        assert!(wait_for(|| machine.has(question)), "{name} does not come up: {}", said());
        machine
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(script("ssh.sh"));
        command.env("MACHINES", self.entry.parent().unwrap()).stdin(Stdio::null());
        command.arg(self.entry.file_name().unwrap()).arg(line);
        command
    }

    /// Whether a line of shell succeeds.
    pub fn has(&self, line: &str) -> bool {
        self.command(line).output().unwrap().status.success()
    }

    /// What a line of shell prints; it must succeed.
    pub fn shell(&self, line: &str) -> String {
        let (output, said) = run(&mut self.command(line));
        assert!(output.status.success(), "{line}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// All files that differ from this system's, or that are gone.
    pub fn differing(&self) -> BTreeSet<String> {
        let found = self.shell("cd /run/differs && find . ! -type d");
        found.lines().map(|line| line.trim_start_matches('.').to_owned()).collect()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_file(&self.entry);
        if let Ok(group) = fs::read_to_string(self.folder.path().join("cgroup")) {
            // The last processes may still be on their way out.
            wait_for(|| remove_group(Path::new(group.trim())));
        }
    }
}

/// Removes a control group and those in it. False when one still has a process.
fn remove_group(group: &Path) -> bool {
    let entries = fs::read_dir(group).into_iter().flatten().filter_map(Result::ok);
    for entry in entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        remove_group(&entry.path());
    }
    match fs::remove_dir(group) {
        Err(error) => error.kind() == ErrorKind::NotFound,
        Ok(()) => true,
    }
}

/// The folder that has `OpenRC` and sshd, filled once for each target folder.
fn programs() -> PathBuf {
    let folder = target().join("machine-programs");
    let lock = File::create(target().join("machine-programs.lock")).unwrap();
    lock.lock_exclusive().unwrap();
    if !folder.exists() {
        let draft = target().join("machine-programs.new");
        let _ = fs::remove_dir_all(&draft);
        fs::create_dir(&draft).unwrap();
        let (output, said) = run(Command::new(script("programs.sh")).arg(&draft));
        assert!(output.status.success(), "OpenRC and sshd cannot be had from Debian's packages: {said}");
        fs::rename(&draft, &folder).unwrap();
    }
    folder
}
