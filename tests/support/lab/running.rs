//! A program of Portage while it runs, and what it left.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// Longest run of one program. No test needs a tenth of it: it keeps a hanging fetch from hanging the
/// whole test run.
const LIMIT: Duration = Duration::from_secs(60);

/// Time between two looks at a condition.
const LOOK: Duration = Duration::from_millis(5);

/// How a program of Portage ended.
#[derive(Debug)]
pub struct Emerged {
    pub status: ExitStatus,
    /// stdout and stderr, in the order in which they were written.
    pub output: String,
}

impl Emerged {
    pub fn success(&self) -> bool {
        self.status.success()
    }
}

/// For the message of an assertion: `assert!(run.success(), "{run}")`.
impl fmt::Display for Emerged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}", self.status, self.output)
    }
}

/// Starts a program that may have been written a moment ago. A process that another thread is just starting has the
/// file open for writing, too, until it becomes another program.
fn spawn(command: &mut Command) -> io::Result<Child> {
    loop {
        match command.spawn() {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => {
                thread::yield_now();
            }
            ended => return ended,
        }
    }
}

/// A program of Portage that was started. Dropped, it is killed with all of its process group.
pub struct Running {
    pid: Pid,
    output: PathBuf,
    ended: Receiver<ExitStatus>,
    status: Option<ExitStatus>,
}

impl Running {
    pub(super) fn start(mut command: Command, root: &Path) -> Self {
        let named = format!("{}", command.get_program().display());
        let output = tempfile::Builder::new().prefix("output-").tempfile_in(root).unwrap();
        let (log, output) = output.keep().unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).process_group(0);
        let child = spawn(&mut command).unwrap_or_else(|e| panic!("{named} could not be started: {e}"));
        let pid = Pid::from_child(&child);
        Self { pid, output, ended: wait_aside(child), status: None }
    }

    /// Waits for the end.
    pub fn finish(mut self) -> Emerged {
        let Ok(status) = self.ended.recv_timeout(LIMIT) else {
            panic!("still running after {LIMIT:?}:\n{}", self.output());
        };
        self.status = Some(status);
        Emerged { status, output: self.output() }
    }

    /// Waits until `condition` holds; the program must still be running then.
    pub fn wait_until(&mut self, what: &str, condition: impl Fn() -> bool) {
        for _ in 0..LIMIT.as_millis() / LOOK.as_millis() {
            if condition() {
                return;
            }
            match self.ended.recv_timeout(LOOK) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(status) => {
                    self.status = Some(status);
                    panic!("ended with {status} before {what}:\n{}", self.output());
                }
                Err(RecvTimeoutError::Disconnected) => {
                    unreachable!("the waiting thread sends before it ends")
                }
            }
        }
        panic!("after {LIMIT:?} not yet: {what}:\n{}", self.output());
    }

    /// Sends a signal to the program alone.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid, signal).unwrap();
    }

    /// Sends a signal to the program and to all that it started, as a terminal does.
    pub fn signal_group(&self, signal: Signal) {
        kill_process_group(self.pid, signal).unwrap();
    }

    fn output(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.output).unwrap_or_default()).into_owned()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.status.is_some() {
            return; // reaped: the number may be another process's by now
        }
        let _ = kill_process_group(self.pid, Signal::KILL);
        let _ = self.ended.recv_timeout(LIMIT);
    }
}

/// Waits until something is the case that no program tells.
#[expect(clippy::disallowed_methods, reason = "there is nothing to wait on")]
pub(super) fn wait_until(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..LIMIT.as_millis() / LOOK.as_millis() {
        if condition() {
            return;
        }
        thread::sleep(LOOK);
    }
    panic!("after {LIMIT:?} not yet: {what}");
}

fn wait_aside(mut child: Child) -> Receiver<ExitStatus> {
    let (sender, ended) = mpsc::channel();
    thread::spawn(move || {
        let status = child.wait().expect("a child of this process that nobody else waits for");
        let _ = sender.send(status); // nobody listens when the test has failed
    });
    ended
}
