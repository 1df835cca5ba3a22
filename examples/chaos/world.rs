//! One run: a folder, mirrors, calls of the program that chance disturbs, and what must hold afterwards.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use racefetch::portage::{Algorithm, Digest};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::dice::Dice;
use crate::places::{Kind, PATH, Place};
use crate::support::content::content;

const NAME: &str = "foo-1.tar.xz";
const FILE: &str = "foo-1.tar.xz.__download__";
/// What else lies in DISTDIR. Some of it looks as if it belonged to FILE.
const BYSTANDERS: [&str; 6] =
    ["foo-1.tar.xz.asc", "foo-2.tar.xz", "foo-10.tar.xz.__download__", "foo-1.tar", ".hidden", "journal"];
/// Names that may stay beside the state file.
const STATE: [&str; 2] = ["mirrors.json", "mirrors.json.lock"];
/// Stays in `DISTDIR/.racefetch` for a day once the state could not be written, so that it is said once.
const WARNED: &str = "figures-not-kept";
/// The longest that a call may take, disturbed or not, beside the wait for another one that holds FILE.
const LIMIT: Duration = Duration::from_secs(300);
/// Between two looks at the calls that are under way.
const PULSE: Duration = Duration::from_millis(2);

/// What every run needs.
pub struct Tools {
    /// The program.
    pub racefetch: PathBuf,
    /// The library of faults, when a C compiler was there to make it.
    pub shim: Option<PathBuf>,
    /// Whether file systems can be mounted.
    pub mounts: bool,
}

/// What went wrong in a run.
pub type Faults = Vec<String>;

/// What a run was, and what came of it.
#[derive(Default)]
pub struct Ran {
    pub story: String,
    /// What took part, a word each.
    pub kinds: Vec<String>,
    pub faults: Faults,
}

/// One run, whose course follows from `seed` as far as threads and processes allow.
pub fn run(seed: u64, tools: &Tools) -> io::Result<Ran> {
    let mut dice = Dice::new(seed);
    let mut world = World::new(&mut dice, tools)?;
    let count = dice.pick(&[1, 1, 1, 2, 3]);
    let plans: Vec<_> = (0..count).map(|_| Plan::any(&mut dice, tools)).collect();
    world.story = format!("{:?}, {} bytes, {}; {plans:?}", world.places, world.content.len(), world.prefix);
    let kinds = world.kinds(&plans);
    world.disturbed(&plans)?;
    world.clean(&mut dice)?;
    world.check_state();
    let World { faults, story, .. } = world;
    Ok(Ran { story, kinds, faults })
}

struct World<'t> {
    tools: &'t Tools,
    content: Vec<u8>,
    places: Vec<Place>,
    prefix: &'static str,
    /// What FILE holds can only be a beginning of the content.
    honest: bool,
    bystanders: BTreeMap<PathBuf, (Vec<u8>, u32)>,
    story: String,
    faults: Faults,
    // Unmounted before the folder is removed.
    mount: Option<Mount>,
    root: TempDir,
}

impl<'t> World<'t> {
    fn new(dice: &mut Dice, tools: &'t Tools) -> io::Result<Self> {
        let longest = dice.pick(&[2000, 300_000, 1_000_000, 4_000_000]);
        let length = 1 + dice.at(longest);
        let content = content(dice.below(1 << 62), length);
        let root = tempfile::Builder::new().prefix("racefetch-chaos-").tempdir()?;
        let distdir = root.path().join("distfiles");
        fs::create_dir(&distdir)?;
        fs::create_dir(root.path().join("state"))?;
        let small = tools.mounts && dice.once_in(5);
        let mount = if small {
            let room = 256 * 1024 + dice.below(2 * length as u64);
            Some(Mount::new(&distdir, room)?)
        } else {
            None
        };
        let places = (0..=dice.below(5)).map(|number| Place::any(&content, number, dice)).collect::<Vec<_>>();
        let mut world = Self {
            tools,
            honest: !places.iter().any(|place| place.kind.lies()),
            content,
            places,
            prefix: "nothing there",
            bystanders: BTreeMap::new(),
            story: String::new(),
            faults: Vec::new(),
            mount,
            root,
        };
        world.put_bystanders(dice)?;
        // On a small disk there may be no room for what follows; then less of it is there.
        let _ = world.put_prefix(dice);
        let _ = world.put_side_files(dice);
        if dice.once_in(8) {
            fs::write(world.state_file(), self::content(dice.below(99), 100))?;
        }
        Ok(world)
    }

    /// What there is in this run, a word each.
    fn kinds(&self, plans: &[Plan]) -> Vec<String> {
        let mut kinds: Vec<String> = self.places.iter().map(|place| format!("mirror {place:?}")).collect();
        kinds.push(format!("FILE: {}", self.prefix));
        kinds.push(format!("{} at once", plans.len()));
        kinds.extend(self.mount.iter().map(|_| "small disk".to_owned()));
        for plan in plans {
            kinds.extend(plan.signal.iter().map(|(_, signal)| format!("signal {}", signal.as_raw())));
            kinds.extend(plan.faults.iter().flat_map(|(name, value)| match *name {
                "CHAOS_DENY" => value.split(' ').map(|call| format!("denied {call}")).collect(),
                name => vec![name.to_owned()],
            }));
        }
        kinds.sort();
        kinds.dedup();
        kinds
    }

    fn distdir(&self) -> PathBuf {
        self.root.path().join("distfiles")
    }

    fn state_file(&self) -> PathBuf {
        self.root.path().join("state/mirrors.json")
    }

    fn put_bystanders(&mut self, dice: &mut Dice) -> io::Result<()> {
        for name in BYSTANDERS {
            let bytes = self::content(dice.below(1 << 62), dice.at(5000));
            let path = self.distdir().join(name);
            fs::write(&path, &bytes)?;
            let mode = fs::metadata(&path)?.permissions().mode();
            self.bystanders.insert(path, (bytes, mode));
        }
        Ok(())
    }

    /// Puts something at FILE.
    fn put_prefix(&mut self, dice: &mut Dice) -> io::Result<()> {
        let some = dice.at(self.content.len());
        let (prefix, bytes) = match dice.below(8) {
            0 => ("a beginning", self.content[..some].to_vec()),
            1 => ("everything", self.content.clone()),
            2 => ("other bytes", self::content(1, some)),
            3 => ("a beginning with one byte wrong", {
                let mut bytes = self.content[..=some].to_vec();
                bytes[dice.at(some + 1)] ^= 1;
                bytes
            }),
            4 => ("more than everything", [&self.content[..], b"x"].concat()),
            _ => return Ok(()),
        };
        self.prefix = prefix;
        self.honest &= matches!(prefix, "a beginning" | "everything");
        fs::write(self.distdir().join(FILE), bytes)
    }

    /// Puts a side file and a journal beside FILE, as they never were written.
    fn put_side_files(&mut self, dice: &mut Dice) -> io::Result<()> {
        let journal = match dice.below(8) {
            0 => self::content(2, dice.at(3000)),
            1 => format!("racefetch ahead 1 {}\n+ 0 {}\n", self.digests(), self.content.len()).into_bytes(),
            2 => format!("racefetch ahead 1 x\n+ 5 {}\n- 3", u64::MAX).into_bytes(),
            _ => return Ok(()),
        };
        self.honest = false;
        let folder = self.distdir().join(".racefetch");
        fs::create_dir(&folder)?;
        fs::write(folder.join(format!("{NAME}.journal")), journal)?;
        fs::write(folder.join(format!("{NAME}.ahead")), self::content(3, dice.at(self.content.len())))
    }

    fn digests(&self) -> String {
        let digest = |algorithm| Digest::of(algorithm, &self.content).to_string();
        format!("{} {}", digest(Algorithm::Blake2b), digest(Algorithm::Sha512))
    }

    /// The call that fetches FILE from these mirrors; what it says goes to a file of that name.
    fn call(&self, bases: &[String], log: &str) -> io::Result<Command> {
        let root = self.root.path();
        let mut command = Command::new(&self.tools.racefetch);
        command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(root.join(log))?);
        command.env("HOME", root).env("PORTAGE_CONFIGROOT", root).env("PORTAGE_OVERRIDE_EPREFIX", root);
        command.args(["-f", "-L", "--state"]).arg(self.state_file());
        command.args(["--digests", &self.digests(), "--size", &self.content.len().to_string()]);
        command.args(["--mirrors", &bases.join(" ")]);
        command.arg("-o").arg(self.distdir().join(FILE));
        command.arg(format!("{}{PATH}", bases[0]));
        Ok(command)
    }

    fn disturbed(&mut self, plans: &[Plan]) -> io::Result<()> {
        let bases: Vec<_> = self.places.iter().map(Place::base).collect();
        let mut calls = Vec::new();
        for (number, plan) in plans.iter().enumerate() {
            let mut command = self.call(&bases, &format!("call-{number}"))?;
            plan.disturb(&mut command, self.tools);
            calls.push(Call::start(command, plan.signal)?);
        }
        let count = calls.len();
        let last = self.wait_for(calls);
        for number in 0..count {
            self.story = format!("{}; said: {}", self.story, self.said(&format!("call-{number}")));
        }
        if last.is_some_and(|status| status.success()) {
            self.check_file("exit 0 after being disturbed");
        }
        let held = fs::read(self.distdir().join(FILE)).unwrap_or_default();
        if self.honest && !self.content.starts_with(&held) {
            let right = held.iter().zip(&self.content).take_while(|(held, right)| held == right).count();
            let (held, all) = (held.len(), self.content.len());
            self.faults.push(format!("FILE has {held} of {all} bytes and is right up to {right}"));
        }
        self.check_bystanders("after being disturbed");
        Ok(())
    }

    /// One more call, which nothing disturbs, with a good mirror among the others.
    fn clean(&mut self, dice: &mut Dice) -> io::Result<()> {
        if let Some(mount) = &self.mount {
            mount.grow()?;
        }
        // Whoever finds the file whole has nothing to write into the state.
        let is_whole = fs::read(self.distdir().join(FILE)).is_ok_and(|held| held == self.content);
        let good = Place::new(Kind::Good, &self.content, 0, dice);
        let mut bases = vec![good.base()];
        bases.extend(self.places.iter().map(Place::base));
        self.places.push(good);
        let mut command = self.call(&bases, "clean")?;
        if dice.once_in(2) {
            command.args(["-C", "-"]);
        }
        let calls = vec![Call::start(command, None)?];
        let ended = self.wait_for(calls);
        self.story = format!("{}; the clean one: {}", self.story, self.said("clean"));
        match ended {
            Some(status) if status.success() => self.check_file("exit 0 of the clean call"),
            status => {
                let said = self.said("clean");
                let status = status.map_or_else(|| "no end".to_owned(), |status| status.to_string());
                self.faults.push(format!("the clean call: {status}: {said}"));
            }
        }
        self.check_bystanders("after the clean call");
        self.check_left_over(is_whole)
    }

    /// Waits for all calls, and gives the status of the one that ended last.
    #[expect(clippy::disallowed_methods, reason = "somebody must look at the clock")]
    fn wait_for(&mut self, mut calls: Vec<Call>) -> Option<ExitStatus> {
        let began = Instant::now();
        // One after another has its turn.
        let limit = LIMIT * u32::try_from(calls.len()).unwrap_or(u32::MAX);
        let mut last = None;
        while !calls.is_empty() {
            calls.retain_mut(|call| match call.child.try_wait() {
                Ok(None) => true,
                Ok(Some(status)) => {
                    let wanted =
                        [Some(Signal::KILL.as_raw()), call.signal.map(|(_, signal)| signal.as_raw())];
                    if status.signal().is_some_and(|signal| !wanted.contains(&Some(signal))) {
                        self.faults.push(format!("it ended by itself with {status}"));
                    }
                    last = Some(status);
                    false
                }
                Err(error) => {
                    self.faults.push(format!("cannot wait: {error}"));
                    false
                }
            });
            for call in &mut calls {
                if call.signal.is_some_and(|(after, _)| began.elapsed() >= after) {
                    call.send_signal();
                }
            }
            if began.elapsed() > limit {
                self.faults.push(format!("{} calls have not ended within {limit:?}", calls.len()));
                for call in &mut calls {
                    let _ = call.child.kill();
                    let _ = call.child.wait();
                }
                return None;
            }
            std::thread::sleep(PULSE);
        }
        last
    }

    /// What a call has said, in one line.
    fn said(&self, log: &str) -> String {
        let said = fs::read(self.root.path().join(log)).unwrap_or_default();
        String::from_utf8_lossy(&said).trim().replace('\n', " / ")
    }

    fn check_file(&mut self, when: &str) {
        match fs::read(self.distdir().join(FILE)) {
            Ok(held) if held == self.content => {}
            Ok(held) => self.faults.push(format!("{when}: FILE is wrong, with {} bytes", held.len())),
            Err(error) => self.faults.push(format!("{when}: FILE: {error}")),
        }
    }

    fn check_bystanders(&mut self, when: &str) {
        for (path, (bytes, mode)) in &self.bystanders {
            let held = fs::read(path).ok();
            let now = fs::symlink_metadata(path).map(|metadata| metadata.permissions().mode()).ok();
            if held.as_ref() != Some(bytes) || now != Some(*mode) {
                self.faults.push(format!("{when}: {} has changed", path.display()));
            }
        }
    }

    fn check_left_over(&mut self, is_state_unwritten: bool) -> io::Result<()> {
        let known = |name: &str| name == FILE || BYSTANDERS.contains(&name);
        for name in names(&self.distdir())?.iter().filter(|name| !known(name)) {
            let mut within = names(&self.distdir().join(name)).unwrap_or_default();
            within.retain(|name| name != WARNED);
            if name != ".racefetch" || !within.is_empty() {
                self.faults.push(format!("left behind in DISTDIR: {name} {within:?}"));
            }
        }
        let known = |name: &str| {
            STATE.contains(&name) || name.contains(".broken-") || is_state_unwritten && name.contains(".tmp-")
        };
        for name in names(&self.root.path().join("state"))?.iter().filter(|name| !known(name)) {
            self.faults.push(format!("left behind beside the state: {name}"));
        }
        Ok(())
    }

    /// No mirror that never lies may be known for it.
    fn check_state(&mut self) {
        let state: serde_json::Value = fs::read(self.state_file())
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok())
            .unwrap_or_default();
        for place in self.places.iter().filter(|place| !place.kind.lies()) {
            let corrupt = &state["mirrors"][place.base()]["failures"]["corrupt"];
            if corrupt.as_u64().is_some_and(|count| count > 0) {
                self.faults.push(format!("{place:?} is honest and was convicted"));
            }
        }
    }
}

/// What chance does to one call.
#[derive(Debug)]
struct Plan {
    resume: bool,
    /// When, and which.
    signal: Option<(Duration, Signal)>,
    /// For the library of faults.
    faults: Vec<(&'static str, String)>,
}

impl Plan {
    fn any(dice: &mut Dice, tools: &Tools) -> Self {
        let signal = match dice.below(6) {
            0 | 1 => Some(Signal::KILL),
            2 => Some(dice.pick(&[Signal::TERM, Signal::INT, Signal::HUP])),
            _ => None,
        };
        let signal = signal.map(|signal| (Duration::from_micros(dice.below(400_000)), signal));
        let mut faults = Vec::new();
        if tools.shim.is_some() && dice.once_in(2) {
            let names = ["fallocate", "tmpfile", "flock", "ofd", "fsync", "fchown"];
            let denied: Vec<_> = names.into_iter().filter(|_| dice.once_in(4)).collect();
            if !denied.is_empty() {
                faults.push(("CHAOS_DENY", denied.join(" ")));
            }
            if dice.once_in(4) {
                let errno = dice.pick(&[rustix::io::Errno::IO, rustix::io::Errno::NOSPC]);
                faults.push(("CHAOS_WRITE", format!("{} {}", 1 + dice.below(40), errno.raw_os_error())));
            }
            if dice.once_in(4) {
                faults.push(("CHAOS_KILL", format!("{}", 1 + dice.below(40))));
            }
            if dice.once_in(4) {
                let days = dice.pick(&[-4000, -1, 1, 40]);
                faults.push(("CHAOS_CLOCK", format!("{} {}", 1 + dice.below(5), days * 86_400)));
            }
        }
        Self { resume: dice.once_in(2), signal, faults }
    }

    fn disturb(&self, command: &mut Command, tools: &Tools) {
        if self.resume {
            command.args(["-C", "-"]);
        }
        if let Some(shim) = tools.shim.as_ref().filter(|_| !self.faults.is_empty()) {
            command.env("LD_PRELOAD", shim).envs(self.faults.iter().cloned());
        }
    }
}

struct Call {
    child: Child,
    signal: Option<(Duration, Signal)>,
    sent: bool,
}

impl Call {
    fn start(mut command: Command, signal: Option<(Duration, Signal)>) -> io::Result<Self> {
        Ok(Self { child: command.spawn()?, signal, sent: false })
    }

    fn send_signal(&mut self) {
        if let Some((_, signal)) = self.signal.filter(|_| !self.sent) {
            self.sent = true;
            // Not there any more is as good.
            let _ = kill_process(Pid::from_child(&self.child), signal);
        }
    }
}

/// A small disk.
pub struct Mount(PathBuf);

impl Mount {
    /// Of so many bytes.
    pub fn new(at: &Path, size: u64) -> io::Result<Self> {
        mount(&["-t", "tmpfs", "-o", &format!("size={size}"), "chaos"], at)?;
        Ok(Self(at.to_owned()))
    }

    /// Makes it so large that everything has room.
    fn grow(&self) -> io::Result<()> {
        mount(&["-o", "remount,size=64m"], &self.0)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // At once, or when the last who uses it has gone.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn mount(options: &[&str], at: &Path) -> io::Result<()> {
    let status = Command::new("mount").args(options).arg(at).stderr(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other("mount failed")) }
}

fn names(folder: &Path) -> io::Result<Vec<String>> {
    fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}
