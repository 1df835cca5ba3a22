//! Which process is at a FILE, in words that others can read. Whether it still runs decides how long it is waited for.

use std::fmt;
use std::fs;
use std::sync::OnceLock;

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

/// A process. Its number alone will be another one's later, or is on another machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Holder {
    /// The boot of the machine, and the processes that see each other's numbers there.
    machine: String,
    process: i32,
    /// When it began, as the kernel says it.
    began: String,
}

/// What can be seen of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    Runs,
    /// By a signal: it goes on when somebody says so.
    Stopped,
    Gone,
    /// It is on another machine, or hidden.
    Unknown,
}

impl Holder {
    /// This process; none where the system does not tell about processes.
    pub(super) fn this() -> Option<&'static Self> {
        static THIS: OnceLock<Option<Holder>> = OnceLock::new();
        THIS.get_or_init(|| {
            let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
            let space = fs::read_link("/proc/self/ns/pid").ok()?;
            let machine = format!("{}/{}", boot.trim(), space.display());
            let process = i32::try_from(std::process::id()).ok()?;
            Some(Self { machine, process, began: look("self")?.1 })
        })
        .as_ref()
    }

    /// What a [`Display`](fmt::Display) of it says.
    pub(super) fn named_by(text: Option<&str>) -> Option<Self> {
        let words: Vec<&str> = text?.split_whitespace().collect();
        let [machine, process, began] = words[..] else { return None };
        let process = process.parse().ok().filter(|process| *process > 0)?;
        Some(Self { machine: machine.to_owned(), process, began: began.to_owned() })
    }

    /// The number of the process, where this process can see it.
    pub(super) fn process(&self) -> Option<i32> {
        Self::this().filter(|this| this.machine == self.machine).map(|_| self.process)
    }

    pub(super) fn life(&self) -> Life {
        let Some(process) = self.process() else { return Life::Unknown };
        match look(&process.to_string()) {
            Some((_, began)) if began != self.began => Life::Gone,
            Some(('Z' | 'X', _)) => Life::Gone,
            Some(('T' | 't', _)) => Life::Stopped,
            Some(_) => Life::Runs,
            None => match Pid::from_raw(process).map(test_kill_process) {
                Some(Err(Errno::SRCH)) => Life::Gone,
                _ => Life::Unknown,
            },
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.machine, self.process, self.began)
    }
}

/// The state of a process and when it began, from proc(5).
fn look(process: &str) -> Option<(char, String)> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name before them may hold anything.
    let mut words = text[text.rfind(')')? + 1..].split_whitespace();
    Some((words.next()?.chars().next()?, words.nth(18)?.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use rustix::process::{Signal, kill_process};

    use super::*;

    fn holder(process: u32) -> Holder {
        let process = i32::try_from(process).unwrap();
        Holder { process, began: look(&process.to_string()).unwrap().1, ..Holder::this().unwrap().clone() }
    }

    #[test]
    fn what_is_written_is_read() {
        let this = Holder::this().unwrap();
        assert_eq!(Holder::named_by(Some(&this.to_string())).as_ref(), Some(this));
        assert_eq!(this.life(), Life::Runs);
        for wrong in ["", "a", "a b c", "a -5 1", "a 0 1", "a 1 2 3"] {
            assert_eq!(Holder::named_by(Some(wrong)), None, "{wrong}");
        }
    }

    #[test]
    fn a_process_runs_is_stopped_and_is_gone() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let holder = holder(child.id());
        assert_eq!(holder.life(), Life::Runs);
        kill_process(Pid::from_child(&child), Signal::STOP).unwrap();
        while holder.life() == Life::Runs {
            std::thread::yield_now(); // the kernel needs a moment
        }
        assert_eq!(holder.life(), Life::Stopped);
        let later = Holder { began: "1".to_owned(), ..holder.clone() };
        assert_eq!(later.life(), Life::Gone, "another one has its number");
        let elsewhere = Holder { machine: "other".to_owned(), ..holder.clone() };
        assert_eq!((elsewhere.life(), elsewhere.process()), (Life::Unknown, None));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(holder.life(), Life::Gone);
    }
}
