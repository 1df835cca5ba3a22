//! Runs one case with one program: servers, a folder, the process, and what came of it.

use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::case::{Case, Fixture};
use super::outcome::{self, Outcome, RequestRecord};
use super::script::{self, ServerKind};
use crate::support::mirror::Mirror;
use crate::support::ports::Port;
use crate::support::proxy::{Asked, Proxy};
use crate::support::tls::{PemFiles, test_ca};

/// Longer than any case takes, so that a program that hangs is a failure and not the end of the run.
const PATIENCE: Duration = Duration::from_secs(20);

/// A program in one of the two roles.
#[derive(Clone, Debug)]
pub struct Program {
    pub path: PathBuf,
    pub is_curl: bool,
}

/// Runs a case.
///
/// # Errors
///
/// One line when the stage could not be set; what the program does wrong is in the outcome.
pub fn run(case: &Case, program: &Program) -> Result<Outcome, String> {
    let stage = Stage::set(case).map_err(|error| format!("cannot set the stage: {error}"))?;
    let exit = stage
        .play(case, program)
        .map_err(|error| format!("cannot run {}: {error}", program.path.display()))?;
    stage.strike(case, program, exit).map_err(|error| format!("cannot read the result: {error}"))
}

struct Stage {
    servers: Vec<(String, Running)>,
    names: Names,
    folder: tempfile::TempDir,
}

enum Running {
    Mirror(Mirror),
    Proxy(Proxy),
    Port(Port),
}

impl Running {
    fn start(kind: &ServerKind) -> Self {
        match kind.clone() {
            ServerKind::Http => Self::Mirror(Mirror::start()),
            ServerKind::HttpIpv6 => Self::Mirror(Mirror::start_ipv6()),
            ServerKind::Https(certificate) => Self::Mirror(Mirror::start_tls(certificate)),
            ServerKind::Proxy(manners) => Self::Proxy(Proxy::http(manners)),
            ServerKind::Socks(manners) => Self::Proxy(Proxy::socks5(manners)),
            ServerKind::Refusing => Self::Port(Port::refusing()),
            ServerKind::Unanswering => Self::Port(Port::unanswering()),
            ServerKind::Mute => Self::Port(Port::mute()),
            ServerKind::Babbling => Self::Port(Port::babbling()),
            ServerKind::Saying(bytes) => Self::Port(Port::saying(bytes)),
            ServerKind::Resetting => Self::Port(Port::resetting()),
        }
    }

    fn address(&self) -> SocketAddr {
        match self {
            Self::Mirror(mirror) => mirror.address(),
            Self::Proxy(proxy) => proxy.address(),
            Self::Port(port) => port.address(),
        }
    }
}

impl Stage {
    fn set(case: &Case) -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        fs::create_dir(folder.path().join("dir"))?;
        fs::create_dir(folder.path().join("aside"))?;

        let mut servers = vec![("a".to_owned(), Running::start(&ServerKind::Http))];
        servers.extend(case.servers.iter().map(|(name, kind)| (name.clone(), Running::start(kind))));
        let addresses: Vec<_> =
            servers.iter().map(|(name, running)| (name.clone(), running.address())).collect();
        let pem = test_ca().write_pem_files(&folder.path().join("aside"));
        let names = Names { addresses, folder: folder.path().join("dir"), pem };
        let stage = Self { servers, names, folder };
        stage.script(case)?;
        for fixture in &case.fixtures {
            stage.put(fixture)?;
        }
        Ok(stage)
    }

    fn script(&self, case: &Case) -> io::Result<()> {
        for line in &case.rules {
            let server = self.servers.iter().find(|(name, _)| *name == line.server);
            let Some((_, Running::Mirror(mirror))) = server else {
                return Err(io::Error::other(format!("there is no mirror {}", line.server)));
            };
            let words: Vec<String> = line.words.iter().map(|word| self.names.insert(word)).collect();
            mirror.on(&self.names.insert(&line.path)).add(script::rule(&words).map_err(io::Error::other)?);
        }
        for (_, running) in &self.servers {
            let Running::Proxy(proxy) = running else { continue };
            for (name, address) in &self.names.addresses {
                proxy.knows(&format!("{name}.mirrors.test"), *address);
            }
        }
        Ok(())
    }

    fn put(&self, fixture: &Fixture) -> io::Result<()> {
        let place = |name: &str| self.names.folder.join(name);
        match fixture {
            Fixture::File { name, content, mode } => {
                let content = script::content(&self.names.insert(content)).map_err(io::Error::other)?;
                fs::write(place(name), content)?;
                let Some(mode) = mode else { return Ok(()) };
                fs::set_permissions(place(name), fs::Permissions::from_mode(*mode))
            }
            Fixture::Folder { name } => fs::create_dir(place(name)),
            Fixture::Link { name, target } => symlink(self.names.insert(target), place(name)),
        }
    }

    fn play(&self, case: &Case, program: &Program) -> io::Result<Result<i32, String>> {
        let aside = self.aside();
        let stdin = match &case.stdin {
            None => Stdio::null(),
            Some(text) => {
                fs::write(aside.join("stdin"), self.names.insert(text))?;
                File::open(aside.join("stdin"))?.into()
            }
        };
        let variables = case.environment.iter().map(|(name, value)| (name, self.names.insert(value)));
        let child = Command::new(&program.path)
            .args(case.arguments.iter().map(|word| self.names.insert(word)))
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("LC_ALL", "C")
            .env("HOME", &self.names.folder)
            // Nothing of the machine's own Portage, and nothing left behind in the folder.
            .env("PORTAGE_CONFIGROOT", &aside)
            .env("RACEFETCH_STATE", aside.join("state.json"))
            .envs(variables)
            .current_dir(&self.names.folder)
            .stdin(stdin)
            .stdout(File::create(aside.join("stdout"))?)
            .stderr(File::create(aside.join("stderr"))?)
            .spawn()?;
        let pid = Pid::from_child(&child);
        let (sender, receiver) = mpsc::channel();
        let waiter = thread::spawn(move || {
            let mut child = child;
            // The receiver waits for this, or has given up and killed the child.
            let _ = sender.send(child.wait());
        });
        let ended = receiver.recv_timeout(PATIENCE);
        if ended.is_err() {
            // It may have ended in this very moment.
            let _ = kill_process(pid, Signal::KILL);
        }
        waiter.join().map_err(|_| io::Error::other("the thread that waits for the program died"))?;
        match ended {
            Ok(status) => Ok(exit_of(status?)),
            Err(_) => Ok(Err(format!("still running after {} s", PATIENCE.as_secs()))),
        }
    }

    fn strike(self, case: &Case, program: &Program, exit: Result<i32, String>) -> io::Result<Outcome> {
        let aside = self.aside();
        let hide = |bytes: Vec<u8>| self.names.hide(bytes);
        let stdout = hide(fs::read(aside.join("stdout"))?);
        let stderr = hide(fs::read(aside.join("stderr"))?);
        let entries = outcome::entries_of(&self.names.folder, case.asks_for_remote_time(), &hide)?;
        fs::write(aside.join("probe"), "")?;
        let default_file_mode = fs::metadata(aside.join("probe"))?.permissions().mode() & 0o7777;

        let mut records: Vec<(Instant, RequestRecord)> = Vec::new();
        let mut complaints = Vec::new();
        for (name, running) in self.servers {
            match running {
                Running::Mirror(mirror) => {
                    let report = mirror.finish();
                    complaints
                        .extend(report.complaints.into_iter().map(|line| format!("server {name}: {line}")));
                    let seen = report.requests.into_iter();
                    records.extend(seen.map(|seen| (seen.at, RequestRecord::http(&name, seen))));
                }
                Running::Proxy(proxy) => {
                    records.extend(proxy.finish().into_iter().map(|asked| match asked {
                        Asked::Http(seen) => (seen.at, RequestRecord::http(&name, seen)),
                        Asked::Socks { destination, credentials, at } => {
                            (at, RequestRecord::socks(&name, destination, credentials))
                        }
                    }));
                }
                Running::Port(_) => {}
            }
        }
        records.sort_by_key(|(at, _)| *at);
        let shown = outcome::Shown {
            user_agent: case.sets_user_agent(),
            // curl asks for what it can decode; racefetch takes the option and never asks.
            accept_encoding: !(program.is_curl && case.asks_for_compression()),
        };
        let requests = records
            .iter()
            .map(|(_, record)| record.line(shown, &|text| self.names.hide_text(text)))
            .collect();
        Ok(Outcome {
            exit,
            stdout,
            stderr,
            entries,
            requests,
            complaints,
            wants_stderr: case.stderr,
            default_file_mode,
        })
    }

    fn aside(&self) -> PathBuf {
        self.folder.path().join("aside")
    }
}

/// The placeholders of a case and what they stand for in this run.
struct Names {
    addresses: Vec<(String, SocketAddr)>,
    folder: PathBuf,
    pem: PemFiles,
}

impl Names {
    fn insert(&self, text: &str) -> String {
        self.pairs().iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
    }

    /// The other way round, so that two runs look alike.
    fn hide_text(&self, text: &str) -> String {
        self.pairs().iter().rev().fold(text.to_owned(), |text, (name, value)| text.replace(value, name))
    }

    fn hide(&self, bytes: Vec<u8>) -> Vec<u8> {
        match String::from_utf8(bytes) {
            Ok(text) => self.hide_text(&text).into_bytes(),
            Err(error) => error.into_bytes(),
        }
    }

    /// Replaced back in the opposite order: a whole address before its port.
    fn pairs(&self) -> Vec<(String, String)> {
        let shown = |path: &Path| path.display().to_string();
        let mut pairs = vec![
            ("{dir}".to_owned(), shown(&self.folder)),
            ("{ca}".to_owned(), shown(&self.pem.ca)),
            ("{cert}".to_owned(), shown(&self.pem.client_certificate)),
            ("{key}".to_owned(), shown(&self.pem.client_key)),
        ];
        for (name, address) in &self.addresses {
            pairs.push((format!("{{{name}.port}}"), address.port().to_string()));
        }
        for (name, address) in &self.addresses {
            pairs.push((format!("{{{name}}}"), address.to_string()));
        }
        pairs.insert(0, ("{url}".to_owned(), format!("http://{}", self.addresses[0].1)));
        pairs
    }
}

fn exit_of(status: ExitStatus) -> Result<i32, String> {
    status.code().ok_or_else(|| format!("killed by signal {}", status.signal().unwrap_or_default()))
}
