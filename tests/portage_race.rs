//! A large distfile under an unmodified Portage, over four mirrors: one dead, one slow, one corrupt. In one go; and
//! ended in the middle, then gone on with by the program, or by wget as Portage has it by itself.
//!
//! Which bytes are wrong is only known when all of them are there: until then FILE is as good as what the mirrors
//! have sent. The program finds that out by itself in the run after, and a mirror of which all is wrong is the hardest
//! case. wget does not. So what it goes on from must be right for certain: there the mirror is one that was left
//! half-way, with a right beginning that is longer than FILE gets.

use std::fs;
use std::process::Command;

use rustix::process::Signal;
use serde_json::Value;

use super::real_portage::{
    RESUME_MIN, assert_fetched, base, downloads, lab, layout_path, path, portages_own_commands,
};
use crate::support::content::{Content, content};
use crate::support::lab::{Dist, Emerged, Lab, Layout, Running};
use crate::support::mirror::{Mirror, Request};
use crate::support::ports::Port;
use crate::support::side_file;

const SIZE: usize = 60_000_000;
/// How much of the corrupt mirror's copy is right: nothing, or a beginning.
const NOTHING: usize = 0;
const BEGINNING: usize = 36_000_000;
/// When so much has come, FILE and what lies ahead of it together, the first run is ended.
const MIDDLE: u64 = 22_000_000;
/// Bytes a second of the two fast mirrors. Even a busy machine keeps up with them, so that what is sent has also been
/// received, and does not pile up in the kernel's buffers.
const RATE: u64 = 12_000_000;
const SLOW: u64 = RATE / 20;
/// What may be sent beside the file and what the corrupt mirror sends, in bytes: layouts, samples to compare, and
/// what is on its way when a connection is cut. A twentieth of the file.
const BESIDE: u64 = SIZE as u64 / 20;
/// Where wrong bytes begin and end in what an earlier run left is found to within a MiB; the corrupt mirror has sent two
/// ranges by then.
const EDGES: u64 = 4 << 20;

const LAYOUT: Layout = Layout::FilenameHash;
const EMERGE: [&str; 2] = ["--fetchonly", "app-misc/foo"];

/// The package, and who has its distfile.
struct Race {
    lab: Lab,
    dist: Dist,
    dead: Port,
    good: Mirror,
    corrupt: Mirror,
    slow: Mirror,
}

impl Race {
    /// So many bytes at the beginning of the corrupt mirror's copy are right.
    fn new(right_until: usize) -> Self {
        let right: Content = content(1, SIZE).into();
        let wrong: Content = [&right[..right_until], &content(2, SIZE - right_until)].concat().into();
        let dist = Dist::new("foo-1.tar.xz", &right);
        let hosting = |content: &Content, rate| {
            let mirror = Mirror::start();
            mirror.limit_rate(rate);
            mirror.on(&layout_path()).serve(LAYOUT.conf()).always();
            mirror.on(&path(LAYOUT, &dist)).serve(content).always();
            mirror
        };
        let (good, corrupt, slow) = (hosting(&right, RATE), hosting(&wrong, RATE), hosting(&right, SLOW));
        let dead = Port::refusing();
        // wget believes whoever comes first.
        let bases = [base_of(&dead), base(&good), base(&corrupt), base(&slow)];
        let lab = lab().mirrors(&bases).package("app-misc/foo-1", &[&dist]);
        Self { lab, dist, dead, good, corrupt, slow }
    }

    /// Portage fetches with wget from now on, as it does by itself.
    fn with_wget(mut self) -> Self {
        let commands = portages_own_commands(&self.lab).join("\n");
        self.lab = self.lab.make_conf(&commands);
        self
    }

    fn mirrors(&self) -> [&Mirror; 3] {
        [&self.good, &self.corrupt, &self.slow]
    }

    fn sent(&self) -> u64 {
        self.mirrors().into_iter().map(Mirror::body_bytes_sent).sum()
    }

    /// For the distfile, in the order of their arrival.
    fn requests(&self) -> Vec<Request> {
        let path = path(LAYOUT, &self.dist);
        let mut requests: Vec<Request> =
            self.mirrors().into_iter().flat_map(|mirror| mirror.requests_for(&path)).collect();
        requests.sort_by_key(|request| request.at);
        requests
    }

    fn length(&self) -> u64 {
        fs::metadata(self.lab.partial(&self.dist.name)).map_or(0, |file| file.len())
    }

    fn ahead(&self) -> u64 {
        side_file::ahead(&self.lab.distdir(), &self.dist.name)
    }

    /// Ends a first run in the middle.
    fn end_in_the_middle(&self, end: End) -> Left {
        let mut emerge = self.lab.start_emerge(&EMERGE);
        emerge.wait_until("the middle of the file", || self.length() + self.ahead() >= MIDDLE);
        end(&emerge);
        let ended = emerge.finish();
        assert!(!ended.success(), "{ended}");
        // emerge does not always outlive it.
        self.lab.wait_for_fetches();
        let left = Left { length: self.length(), ahead: self.ahead(), sent: self.sent() };
        assert!(left.length >= RESUME_MIN && left.ahead > 0, "{left:?}\n{ended}");
        left
    }

    /// Of what the mirrors sent, only that which the corrupt one sent may have come twice.
    fn assert_nothing_sent_twice(&self, left: &Left, run: &Emerged) {
        let missing = SIZE as u64 - left.length - left.ahead;
        let (sent, corrupt) = (self.sent() - left.sent, self.corrupt.body_bytes_sent());
        let most = missing + corrupt + BESIDE + if left.sent > 0 { EDGES } else { 0 };
        assert!(sent <= most, "{sent} bytes for {missing}, {most} allowed, {left:?}\n{run}");
        // It is one of two that are equally fast, on a machine that may be busy.
        assert!(corrupt <= SIZE as u64 * 8 / 10, "{corrupt} bytes from the corrupt mirror\n{run}");
    }

    /// What the state has of each mirror.
    fn assert_remembered(&self, run: &Emerged) {
        for (base, kind) in [(base_of(&self.dead), "connect"), (base(&self.corrupt), "corrupt")] {
            let figures = self.figures(&base);
            let failures = figures["failures"].as_object().unwrap();
            assert!(failures.keys().eq([kind]), "{base}: {figures:#}\n{run}");
        }
        for (mirror, rate) in [(&self.good, RATE), (&self.slow, SLOW)] {
            let figures = self.figures(&base(mirror));
            assert!(figures["failures"].as_object().unwrap().is_empty(), "{figures:#}\n{run}");
            assert!(figures["bytes_kept"].as_u64().unwrap() > 0, "{figures:#}\n{run}");
            // A busy machine is slower, and what lay in buffers comes faster.
            let measured = figures["bytes_per_second"]["mean"].as_u64().unwrap();
            assert!((rate / 4..rate * 2).contains(&measured), "{rate}: {figures:#}\n{run}");
        }
    }

    fn figures(&self, base: &str) -> Value {
        let stats = self.lab.racefetch(&["stats", "--json"]);
        let state: Value = serde_json::from_str(&stats.output).unwrap_or_else(|e| panic!("{e}: {stats}"));
        state["mirrors"][base].clone()
    }
}

/// What a run that was ended has left.
#[derive(Debug, Default)]
struct Left {
    /// Of FILE.
    length: u64,
    ahead: u64,
    /// By all mirrors until then.
    sent: u64,
}

type End = fn(&Running);

/// Portage answers it by ending its fetch command in the same way.
const CANCELLED: End = |emerge| emerge.signal(Signal::TERM);
/// What a power cut or the OOM killer leaves.
const KILLED: End = |emerge| emerge.signal_group(Signal::KILL);
/// Ctrl-C reaches the whole process group.
const INTERRUPTED: End = |emerge| emerge.signal_group(Signal::INT);

#[test]
fn in_one_call() {
    let race = Race::new(NOTHING);
    let run = race.lab.emerge(&EMERGE);
    assert_fetched(&run, &race.lab, &race.dist);
    assert_eq!(downloads(&race.lab).len(), 1, "{:#?}\n{run}", race.lab.calls());
    race.assert_nothing_sent_twice(&Left::default(), &run);
    race.assert_remembered(&run);
    assert_eq!(race.figures(&base(&race.corrupt))["bytes_kept"], 0, "all that it sent came again\n{run}");
    assert_readable(&run, &race);
}

#[test]
fn cancelled_and_called_again() {
    gone_on_with(CANCELLED);
}

#[test]
fn killed_and_called_again() {
    gone_on_with(KILLED);
}

#[test]
fn interrupted_and_called_again() {
    gone_on_with(INTERRUPTED);
}

#[test]
fn cancelled_and_gone_on_with_by_wget() {
    gone_on_with_by_wget(CANCELLED);
}

#[test]
fn killed_and_gone_on_with_by_wget() {
    gone_on_with_by_wget(KILLED);
}

#[test]
fn interrupted_and_gone_on_with_by_wget() {
    gone_on_with_by_wget(INTERRUPTED);
}

fn gone_on_with(end: End) {
    let race = Race::new(NOTHING);
    let left = race.end_in_the_middle(end);
    let run = race.lab.emerge(&EMERGE);
    assert_fetched(&run, &race.lab, &race.dist);
    let calls = downloads(&race.lab);
    assert!(calls.len() == 2 && calls[1].is_resume(), "{calls:#?}\n{run}");
    race.assert_nothing_sent_twice(&left, &run);
    race.assert_remembered(&run);
    assert!(!race.lab.distdir().join(".racefetch").exists(), "left behind\n{run}");
}

fn gone_on_with_by_wget(end: End) {
    let wget = Command::new("wget").arg("--version").output();
    wget.expect("wget must be installed: `./x setup` does it, on Debian and Ubuntu");
    let race = Race::new(BEGINNING);
    let left = race.end_in_the_middle(end);
    let held = fs::read(race.lab.partial(&race.dist.name)).unwrap_or_default();
    assert!(held.len() < BEGINNING && race.dist.content.starts_with(&held), "FILE is no prefix: {left:?}");

    let before = race.requests().len();
    let race = race.with_wget();
    let run = race.lab.emerge(&EMERGE);
    assert_fetched(&run, &race.lab, &race.dist);
    assert_eq!(downloads(&race.lab).len(), 1, "wget comes in its place: {:#?}", race.lab.calls());
    let positions: Vec<u64> = race.requests()[before..].iter().map(Request::first_pos).collect();
    assert_eq!(positions, [left.length], "one request, for what is missing");
}

/// Every line is a whole one, and those of the program are few and say what happened.
fn assert_readable(run: &Emerged, race: &Race) {
    let lines: Vec<&str> = run.output.split('\n').collect();
    assert!(!lines.iter().any(|line| line.contains(char::is_control)), "{lines:#?}");
    let ours: Vec<&str> = lines.iter().filter(|line| line.contains("racefetch: ")).copied().collect();
    let [dead, corrupt, summary] = ours[..] else { panic!("three lines, not {ours:#?}\n{run}") };
    let address = race.dead.address();
    let refused = format!("racefetch: (7) http://{address}/gentoo/distfiles/layout.conf: cannot connect: ");
    assert!(dead.starts_with(&refused), "{dead}");
    let address = race.corrupt.address();
    assert_eq!(corrupt, format!("racefetch: {address} sent wrong bytes: they were fetched elsewhere"));
    assert!(summary.starts_with("racefetch: foo-1.tar.xz: 57.2 MiB in "), "{summary}");
    assert!(summary.ends_with(" %, verified BLAKE2B SHA512"), "{summary}");
    let progress = lines.iter().filter(|line| line.contains("foo-1.tar.xz: ") && **line != summary);
    let progress: Vec<&str> = progress.copied().collect();
    assert!(progress.len() < 10, "{progress:#?}");
    let is_whole =
        |line: &&str| line.starts_with("foo-1.tar.xz: ") && line.matches("% of 57.2 MiB, ").count() == 1;
    assert!(progress.iter().all(is_whole), "{progress:#?}");
}

fn base_of(port: &Port) -> String {
    format!("http://{}/gentoo", port.address())
}
