//! Those who fetch from the cache: the program itself, and what Portage's users have besides.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::cache::path;
use super::lan::{Lan, run};
use crate::support::lab::Dist;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    Racefetch,
    Curl,
    Wget,
    /// With four connections, each for a part of the file.
    Aria2,
}

pub const PROGRAMS: [Program; 4] = [Program::Racefetch, Program::Curl, Program::Wget, Program::Aria2];

/// A machine that wants one file.
pub struct Client {
    program: Program,
    folder: TempDir,
    dist: Dist,
}

impl Client {
    pub fn new(program: Program, dist: &Dist) -> Self {
        Self { program, folder: tempfile::tempdir().unwrap(), dist: dist.clone() }
    }

    pub fn file(&self) -> PathBuf {
        self.folder.path().join("file")
    }

    /// What the client's command is, resumed when there is a part of the file.
    pub fn command(&self, lan: &Lan) -> Command {
        self.command_with(lan, &lan.base())
    }

    /// The same; racefetch knows these mirrors.
    pub fn command_with(&self, lan: &Lan, mirrors: &str) -> Command {
        let program = match self.program {
            Program::Racefetch => Path::new(env!("CARGO_BIN_EXE_racefetch")),
            Program::Curl => Path::new("curl"),
            Program::Wget => Path::new("wget"),
            Program::Aria2 => Path::new("aria2c"),
        };
        let mut command = Command::new(program);
        let home = self.folder.path();
        command.env("HOME", home).env("PORTAGE_CONFIGROOT", home).env("PORTAGE_OVERRIDE_EPREFIX", home);
        match self.program {
            Program::Racefetch => {
                let digests = format!("sha512:{}", self.dist.sha512());
                command.args(["-f", "-L", "-C", "-", "--digests", &digests, "--mirrors", mirrors]);
                command.args(["--size", &self.dist.content.len().to_string()]);
                command.arg("--state").arg(home.join("state.json")).arg("-o").arg(self.file());
            }
            Program::Curl => {
                command.args(["-f", "-sS", "-C", "-", "-o"]).arg(self.file());
            }
            Program::Wget => {
                command.args(["-q", "-c", "-O"]).arg(self.file());
            }
            Program::Aria2 => {
                let options =
                    "--no-conf -q -c -x4 -s4 -k1M --file-allocation=none --allow-overwrite -o file -d";
                command.args(options.split(' ')).arg(home);
            }
        }
        command.arg(lan.url(&path(&self.dist)));
        command
    }

    pub fn fetch(&self, lan: &Lan) {
        let (output, said) = run(&mut self.command(lan));
        assert!(output.status.success(), "{:?}: {said}\n{}", self.program, lan.log("error.log"));
        self.assert_has_it();
    }

    pub fn start(&self, lan: &Lan) -> Child {
        self.command(lan).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// Waits for one that was started.
    pub fn finish(&self, mut child: Child) {
        let status = child.wait().unwrap();
        assert!(status.success(), "{:?}: {status}", self.program);
        self.assert_has_it();
    }

    pub fn assert_has_it(&self) {
        let file = fs::read(self.file()).unwrap_or_default();
        assert!(
            file == self.dist.content,
            "{:?} has {} bytes, and not the right ones",
            self.program,
            file.len()
        );
    }
}
