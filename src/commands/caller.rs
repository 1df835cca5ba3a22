//! Who waits for this process while it fetches.

use std::fs;

use rustix::process::{Pid, getppid};

/// The process that called, and emerge, when that is another one: to fetch, it forks, and what it has forked goes on
/// when it is killed.
pub(super) struct Caller {
    parent: Option<Pid>,
    emerge: Option<Pid>,
}

impl Caller {
    /// As it is now.
    pub(super) fn find() -> Self {
        let parent = getppid();
        let is_fork = |of: &Pid| {
            // Until a fork becomes another program it has the command line of what it is a fork of.
            let line =
                |pid: Pid| fs::read(format!("/proc/{pid}/cmdline")).ok().filter(|line| !line.is_empty());
            parent.and_then(line).is_some_and(|ours| line(*of) == Some(ours))
        };
        Self { parent, emerge: parent.and_then(parent_of).filter(is_fork) }
    }

    /// Whether one of them has ended since.
    pub(super) fn has_gone(&self) -> bool {
        getppid() != self.parent || self.emerge.is_some() && self.parent.and_then(parent_of) != self.emerge
    }
}

/// The parent of a process: the field `ppid` of `/proc/PID/stat` (proc(5)).
fn parent_of(pid: Pid) -> Option<Pid> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is a name in parentheses, with whatever characters.
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(1)?.parse().ok().and_then(Pid::from_raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_are_found() {
        let ourselves = rustix::process::getpid();
        assert_eq!(parent_of(ourselves), getppid());
        assert!(!Caller::find().has_gone());
        let other = Caller { parent: getppid(), emerge: Some(ourselves) };
        assert!(other.has_gone());
    }
}
