//! The lock of a distfile, against Portage's own `portage.locks`.

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use racefetch::portage::{DistLocks, Distfile};
use tempfile::TempDir;

use crate::support::lab::Lab;

/// Carries out one command a line, and answers each with a line.
const SCRIPT: &str = r#"
import os, sys
import portage, portage.locks
from portage.exception import TryAgain
from portage.locks import lockfile, unlockfile
portage.locks._quiet = True
path, lock = sys.argv[1], None
inside = path + ".inside"
def answer(text):
    print(text, flush=True)
answer("ready")
for command in sys.stdin:
    command = command.strip()
    if command == "try":
        try:
            lock = lockfile(path, wantnewlockfile=1, flags=os.O_NONBLOCK)
            answer("taken")
        except TryAgain:
            answer("busy")
    elif command == "wait":
        answer("waiting")
        lock = lockfile(path, wantnewlockfile=1)
        answer("taken")
    elif command == "release":
        answer("released" if unlockfile(lock) else "lost")
    elif command == "contend":
        for _ in range(300):
            lock = lockfile(path, wantnewlockfile=1)
            os.close(os.open(inside, os.O_CREAT | os.O_EXCL))
            os.unlink(inside)
            unlockfile(lock)
        answer("done")
"#;

/// Portage, which wants the lock of the distfile `x`.
struct Portage {
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
    _lab: Lab,
}

impl Portage {
    fn start(distdir: &Path) -> Self {
        let binary = PathBuf::from(env!("CARGO_BIN_EXE_racefetch"));
        let lab = Lab::new(&binary).unwrap_or_else(|e| panic!("{e}"));
        let python = binary.ancestors().nth(2).unwrap().join("portage-venv/bin/python3");
        let mut child = Command::new(python)
            .args(["-c", SCRIPT])
            .arg(distdir.join("x"))
            .env("PORTAGE_OVERRIDE_EPREFIX", lab.root())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (commands, answers) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut portage = Self { child, commands, answers, _lab: lab };
        assert_eq!(portage.answer(), "ready");
        portage
    }

    fn say(&mut self, command: &str) {
        writeln!(self.commands, "{command}").unwrap();
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn ask(&mut self, command: &str) -> String {
        self.say(command);
        self.answer()
    }
}

impl Drop for Portage {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Distdir {
    folder: TempDir,
    locks: DistLocks,
    x: Distfile,
}

impl Distdir {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let locks = DistLocks::new(folder.path(), true);
        Self { folder, locks, x: Distfile::new("x").unwrap() }
    }

    fn left(&self) -> Vec<String> {
        let names = fs::read_dir(self.folder.path()).unwrap();
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

#[test]
fn each_side_sees_the_lock_of_the_other_and_nothing_is_left() {
    let distdir = Distdir::new();
    let mut portage = Portage::start(distdir.folder.path());

    let lock = distdir.locks.try_lock(&distdir.x).unwrap().expect("nobody has it");
    assert_eq!(portage.ask("try"), "busy");
    assert_eq!(portage.ask("wait"), "waiting");
    drop(lock);
    assert_eq!(portage.answer(), "taken");

    assert!(distdir.locks.try_lock(&distdir.x).unwrap().is_none(), "Portage has it");
    assert_eq!(distdir.left(), [".x.portage_lockfile"]);
    assert_eq!(portage.ask("release"), "released");
    assert!(distdir.left().is_empty(), "{:?}", distdir.left());

    drop(distdir.locks.try_lock(&distdir.x).unwrap().expect("nobody has it"));
    assert!(distdir.left().is_empty(), "{:?}", distdir.left());
    assert_eq!(portage.ask("try"), "taken");
    assert_eq!(portage.ask("release"), "released");
    assert!(distdir.left().is_empty(), "{:?}", distdir.left());
}

/// Whoever is inside makes a file that must not exist yet: two at once would fail.
#[test]
fn only_one_is_inside_at_any_time() {
    let distdir = Distdir::new();
    let mut portage = Portage::start(distdir.folder.path());
    let inside = distdir.folder.path().join("x.inside");
    portage.say("contend");
    let answer = std::thread::scope(|scope| {
        let answer = scope.spawn(|| portage.answer());
        while !answer.is_finished() {
            if let Some(_lock) = distdir.locks.try_lock(&distdir.x).unwrap() {
                OpenOptions::new().write(true).create_new(true).open(&inside).unwrap();
                fs::remove_file(&inside).unwrap();
            }
        }
        answer.join().unwrap()
    });
    assert_eq!(answer, "done");
    assert!(distdir.left().is_empty(), "{:?}", distdir.left());
}
