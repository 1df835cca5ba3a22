//! The state file: many processes, broken files, read-only folders.
//!
//! The processes are this test binary itself: [`child`] is a test that does nothing unless it is told to
//! by an environment variable.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Lines};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use racefetch::mirror::location::{Folder, Location};
use racefetch::mirror::store::{LockBudget, StoreError, Warning};
use racefetch::mirror::{Attempt, Delta, FileKey, MirrorKey, Outcome, State, Store};
use tempfile::TempDir;

const NOW: u64 = 1_800_000_000;
/// What a child is to do, `ACTION NUMBER FILE`.
const TASK: &str = "RACEFETCH_TEST_STATE_TASK";
/// Begins the lines of a child that are not the test harness's own.
const REPORT: &str = "child: ";
/// The user and group `nobody`.
const NOBODY: u32 = 65534;

#[test]
fn fifty_processes_lose_no_update() {
    let place = Place::new();
    let children: Vec<Process> = (0..50).map(|number| place.start("apply", number)).collect();
    for child in children {
        assert_eq!(child.reports().last().map(String::as_str), Some("done"));
    }
    let state = place.load();
    assert_eq!(attempts(&state, 0), 50 * 20, "of the mirror that all share");
    for number in 1..50 {
        assert_eq!(attempts(&state, number), 20, "of the mirror of child {number} alone");
    }
    assert_eq!(place.names(), ["mirrors.json", "mirrors.json.lock"]);
}

#[test]
fn killed_processes_leave_a_readable_file_with_all_that_was_recorded() {
    let place = Place::new();
    let mut recorded = 0;
    for round in 0..8 {
        let mut children: Vec<Process> = (0..4).map(|_| place.start("forever", 0)).collect();
        for (number, child) in children.iter_mut().enumerate() {
            // Each is killed at another moment of whatever it does after so many records.
            recorded += child.await_reports(1 + round + 3 * number as u64);
        }
        for child in children {
            // What it recorded after the last report that was awaited.
            recorded += child.kill();
        }
        let found = attempts(&place.load(), 0);
        assert!(found >= recorded, "{found} of {recorded}");
        // Each process may have been killed between recording and reporting.
        assert!(found <= recorded + 4 * (round + 1), "{found} of {recorded}");
    }
    place.store().apply(&deltas(0), NOW).unwrap();
    assert_eq!(place.names(), ["mirrors.json", "mirrors.json.lock"], "temporary files are cleared up");
}

#[test]
fn a_file_that_ends_anywhere_never_fails_a_load() {
    let place = Place::new();
    let (file, answer) = (FileKey::new("a-1.tar.xz", None), "HTTP status 404".to_owned());
    let lacks = Delta::Lacks { mirror: key(0), file, at: NOW, lasts: 60, answer };
    place.store().apply(&[deltas(0), vec![lacks]].concat(), NOW).unwrap();
    let whole = fs::read(place.file()).unwrap();
    let expected = place.load();
    for end in 0..=whole.len() {
        fs::write(place.file(), &whole[..end]).unwrap();
        let (state, warnings) = place.store().load();
        match &warnings[..] {
            [] if end == 0 => assert_eq!(state, State::default()),
            [] => assert_eq!((end, &state), (whole.len(), &expected)),
            [Warning::SetAside { to, .. }] => {
                assert_eq!(state, State::default());
                assert_eq!(fs::read(to).unwrap(), whole[..end]);
                fs::remove_file(to).unwrap();
            }
            other => panic!("{end}: {other:?}"),
        }
    }
}

#[test]
fn a_file_of_another_kind_is_set_aside_and_a_new_one_begun() {
    let deep = "[".repeat(1 << 20);
    let garbage = vec![b'x'; (32 << 20) + 1];
    for content in [
        b"<!DOCTYPE html><html></html>".as_slice(),
        b"[1, 2, 3]",
        b"{\"https://mirror\": [1, [[\"flat\"]]]}",
        b"{\"version\": 1, \"mirrors\": {\"http://m\": {\"attempts\": 1e999}}}",
        b"{\"version\": 1, \"mirrors\": {\"http://\xff\xfe\": {}}}",
        b"\xef\xbb\xbf{\"version\": 1}",
        b"\0\0\0\0",
        deep.as_bytes(),
        &garbage,
    ] {
        let place = Place::new();
        fs::write(place.file(), content).unwrap();
        let warning = place.store().apply(&deltas(0), NOW).unwrap();
        let Some(Warning::SetAside { to, .. }) = warning else { panic!("{warning:?}") };
        assert!(fs::read(to).unwrap() == content);
        assert_eq!(attempts(&place.load(), 0), 1);
    }
}

#[test]
fn absurd_figures_are_used_as_far_as_they_go() {
    let place = Place::new();
    let text = r#"{"version": 1, "mirrors": {"http://m0.example": {"attempts": -3, "successes": 1e308,
        "first_byte_us": {"mean": 1e30, "weight": -1, "at": 99999999999999999999}}}}"#;
    fs::write(place.file(), text).unwrap();
    place.store().apply(&deltas(0), NOW).unwrap();
    let state = place.load();
    let mirror = state.mirror(&key(0)).unwrap();
    assert_eq!((mirror.attempts, mirror.successes), (1, u64::MAX));
}

#[test]
fn a_file_of_a_newer_version_is_left_as_it_is() {
    let place = Place::new();
    let newer = r#"{"version": 2, "mirrors": {}, "more": true}"#;
    fs::write(place.file(), newer).unwrap();
    let error = place.store().apply(&deltas(0), NOW).unwrap_err();
    assert!(matches!(error, StoreError::Newer { version: 2, .. }), "{error}");
    assert_eq!(fs::read_to_string(place.file()).unwrap(), newer);
}

/// The rights are `nobody`'s when the tests run as root, for whom no folder is read-only.
#[test]
fn a_folder_that_cannot_be_written_is_read() {
    let place = Place::new();
    place.store().apply(&deltas(0), NOW).unwrap();
    let before = fs::read(place.file()).unwrap();
    fs::set_permissions(place.folder(), Permissions::from_mode(0o555)).unwrap();
    assert_eq!(place.start_as_nobody("load", 0).last_report(), "1 attempts, no warning");
    let report = place.start_as_nobody("apply", 0).last_report();
    assert!(report.starts_with("cannot lock ") && report.contains("Permission denied"), "{report}");

    fs::write(place.file(), "broken").unwrap();
    let report = place.start_as_nobody("load", 0).last_report();
    assert!(report.starts_with("0 attempts, state file ") && report.contains("please remove it"), "{report}");
    assert_eq!(fs::read_to_string(place.file()).unwrap(), "broken");
    fs::write(place.file(), &before).unwrap();

    fs::set_permissions(place.file(), Permissions::from_mode(0o000)).unwrap();
    let report = place.start_as_nobody("load", 0).last_report();
    assert!(report.starts_with("0 attempts, state file ") && report.contains("cannot be read"), "{report}");
    fs::set_permissions(place.folder(), Permissions::from_mode(0o700)).unwrap();
}

/// Root and the user portage take turns at `/var/lib/racefetch` (2775).
#[test]
fn a_file_of_another_user_is_replaced_where_the_folder_can_be_written() {
    let place = Place::new();
    fs::set_permissions(place.folder(), Permissions::from_mode(0o777)).unwrap();
    place.store().apply(&deltas(0), NOW).unwrap();
    fs::set_permissions(place.file(), Permissions::from_mode(0o444)).unwrap();
    assert_eq!(place.start_as_nobody("apply", 0).last_report(), "done");
    assert_eq!(attempts(&place.load(), 0), 21);
    assert_eq!(fs::metadata(place.file()).unwrap().permissions().mode() & 0o777, 0o664);
}

/// The limit stands in for a full disk: both end a write in the middle.
#[test]
fn a_write_that_fails_leaves_the_old_file() {
    let place = Place::new();
    let mirrors = (0..200).flat_map(deltas).collect::<Vec<_>>();
    place.store().apply(&mirrors, NOW).unwrap();
    let before = fs::read(place.file()).unwrap();
    assert!(before.len() > 16 << 10, "more than the limit, whether a block has 512 or 1024 bytes");

    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' XFSZ; ulimit -f 16; exec \"$@\"", "sh"]).arg(std::env::current_exe().unwrap());
    let report = place.run(shell, "apply", 0).last_report();
    assert!(report.starts_with("cannot write ") && report.contains("File too large"), "{report}");
    assert_eq!(fs::read(place.file()).unwrap(), before);
    assert_eq!(place.names(), ["mirrors.json", "mirrors.json.lock"]);
}

/// Not a test of its own: what the processes of the other tests run.
#[test]
fn child() {
    #[expect(clippy::disallowed_methods, reason = "a test cannot be passed an argument")]
    let Ok(task) = std::env::var(TASK) else { return };
    let (action, rest) = task.split_once(' ').unwrap();
    let (number, file) = rest.split_once(' ').unwrap();
    let (number, store) = (number.parse().unwrap(), store(Path::new(file)));
    let report = |text: &str| println!("\n{REPORT}{text}");
    match action {
        "apply" => {
            let recorded = (0..20).try_for_each(|_| {
                let mut both = deltas(0);
                both.extend((number > 0).then(|| deltas(number)).into_iter().flatten());
                store.apply(&both, NOW).map(|_| ())
            });
            report(&recorded.map_or_else(|error| error.to_string(), |()| "done".to_owned()));
        }
        "forever" => loop {
            store.apply(&deltas(0), NOW).unwrap();
            report("recorded");
        },
        "load" => {
            let (state, warnings) = store.load();
            let warning = warnings.first().map_or_else(|| "no warning".to_owned(), ToString::to_string);
            report(&format!("{} attempts, {warning}", attempts(&state, 0)));
        }
        other => panic!("{other}"),
    }
}

/// A folder with a state file, for one test.
struct Place(TempDir);

impl Place {
    /// Its path is open to all users: `/tmp` is where everybody can go.
    fn new() -> Self {
        let place = Self(tempfile::tempdir_in("/tmp").unwrap());
        fs::set_permissions(place.folder(), Permissions::from_mode(0o755)).unwrap();
        place
    }

    fn folder(&self) -> &Path {
        self.0.path()
    }

    fn file(&self) -> PathBuf {
        self.folder().join("mirrors.json")
    }

    fn store(&self) -> Store {
        store(&self.file())
    }

    fn load(&self) -> State {
        let (state, warnings) = self.store().load();
        assert!(warnings.is_empty(), "{warnings:?}");
        state
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn start(&self, action: &str, number: usize) -> Process {
        self.run(Command::new(std::env::current_exe().unwrap()), action, number)
    }

    /// The same, as `nobody` when it is root who starts it. By way of `/proc`, because the binary may lie where
    /// `nobody` cannot go.
    fn start_as_nobody(&self, action: &str, number: usize) -> Process {
        let mut command = Command::new("/proc/self/exe");
        if rustix::process::geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY).current_dir("/");
        }
        self.run(command, action, number)
    }

    fn run(&self, mut command: Command, action: &str, number: usize) -> Process {
        let task = [OsStr::new(action), OsStr::new(&number.to_string()), self.file().as_os_str()]
            .join(OsStr::new(" "));
        let arguments = ["state::child", "--exact", "--nocapture", "--test-threads=1"];
        command.args(arguments).env(TASK, task).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Process { child, lines }
    }
}

/// A process that runs [`child`].
struct Process {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Process {
    /// All that it reports until it ends by itself.
    fn reports(mut self) -> Vec<String> {
        let reports = self.next_reports().collect();
        assert!(self.child.wait().unwrap().success());
        reports
    }

    fn last_report(self) -> String {
        self.reports().pop().unwrap()
    }

    /// Waits for so many reports, and returns their number.
    fn await_reports(&mut self, count: u64) -> u64 {
        let found = self.next_reports().take(usize::try_from(count).unwrap()).count() as u64;
        assert_eq!(found, count, "the child has ended too early");
        found
    }

    /// Ends it with SIGKILL, and returns the number of reports that were left.
    fn kill(mut self) -> u64 {
        self.child.kill().unwrap();
        let left = self.next_reports().count() as u64;
        self.child.wait().unwrap();
        left
    }

    fn next_reports(&mut self) -> impl Iterator<Item = String> {
        self.lines.by_ref().filter_map(|line| line.unwrap().strip_prefix(REPORT).map(str::to_owned))
    }
}

fn key(number: usize) -> MirrorKey {
    MirrorKey::new(&format!("http://m{number}.example"))
}

/// One attempt at one mirror.
fn deltas(mirror: usize) -> Vec<Delta> {
    vec![Delta::Attempt(Attempt {
        mirror: key(mirror),
        at: NOW,
        outcome: Outcome::Success,
        bytes_kept: 1 << 20,
        bytes_wasted: 0,
        first_byte: Some(Duration::from_millis(40)),
        rate: None,
    })]
}

fn attempts(state: &State, mirror: usize) -> u64 {
    state.mirror(&key(mirror)).map_or(0, |mirror| mirror.attempts)
}

/// With a patience that a busy test machine cannot exhaust: that the lock is waited for is what is
/// tested, not for how long.
fn store(file: &Path) -> Store {
    let location = Location { file: file.to_owned(), folder: Folder::Named };
    Store::new(location).with_lock_budget(LockBudget::new(Duration::from_secs(300)))
}
