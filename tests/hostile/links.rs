//! What another user of the folder can put in the places where root will write: links, pipes, devices.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, lchown, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::run::{Distfile, Place, Racefetch, Ran, each, each_at_once, is_root, set_mode};
use crate::support::content::content;
use crate::support::mirror::Mirror;

/// Somebody else's file, at some other place: it must stay as it is.
struct Victim {
    place: Place,
    file: PathBuf,
}

impl Victim {
    fn new() -> Self {
        let place = Place::new();
        let file = place.write("shadow", "root:x:0\n".repeat(1000));
        Self { place, file }
    }

    #[track_caller]
    fn assert_untouched(&self, story: &str) {
        assert!(fs::read(&self.file).unwrap() == "root:x:0\n".repeat(1000).as_bytes(), "{story}");
        let names: Vec<_> =
            fs::read_dir(self.place.path()).unwrap().flatten().map(|e| e.file_name()).collect();
        assert_eq!(names, ["shadow"], "{story}");
    }
}

/// The three kinds of fetch, each with the name of its output.
fn fetches(place: &Place, mirror: &Mirror, file: &Distfile) -> Vec<(&'static str, Racefetch)> {
    let plain =
        |options: &[&str]| place.racefetch().args(["-f", "-o", "x"]).args(options).arg(mirror.url("/x"));
    let layout = ".layout.conf.127.0.0.1.__download__";
    vec![
        ("x", plain(&[])),
        ("x", plain(&["-C", "-"])),
        ("x-1.tar.__download__", place.racefetch().args(file.arguments()).arg(mirror.url("/x"))),
        (layout, place.racefetch().args(["-f", "-o", layout, &mirror.url("/distfiles/layout.conf")])),
    ]
}

fn mirror(bytes: &[u8]) -> Mirror {
    let mirror = Mirror::start();
    mirror.on("/x").serve(bytes).always();
    mirror.on("/distfiles/layout.conf").serve("[structure]\n0=flat\n").always();
    mirror
}

/// What somebody else can put in an output's place, in a folder that he can write to.
#[derive(Clone, Copy, Debug)]
enum Planted {
    Link,
    Dangling,
    Hard,
}

impl Planted {
    const ALL: [Self; 3] = [Self::Link, Self::Dangling, Self::Hard];

    fn put(self, victim: &Victim, path: &Path) {
        set_mode(path.parent().unwrap(), 0o775);
        match self {
            Self::Link => symlink(&victim.file, path).unwrap(),
            Self::Dangling => symlink(victim.place.join("new"), path).unwrap(),
            Self::Hard => return fs::hard_link(&victim.file, path).unwrap(),
        }
        lchown(path, Some(65534), Some(65534)).unwrap();
    }

    /// What is said of it.
    fn word(self) -> &'static str {
        match self {
            Self::Link | Self::Dangling => "symbolic link",
            Self::Hard => "hard link",
        }
    }
}

#[test]
fn root_does_not_write_through_links_in_the_outputs_place() {
    if !is_root() {
        eprintln!("skipped: only root is kept from writing through links");
        return;
    }
    let bytes = content(1, 20_000);
    let file = Distfile { name: "x-1.tar", content: &bytes };
    let mirror = mirror(&bytes);
    for planted in Planted::ALL {
        for number in 0..4 {
            let (victim, place) = (Victim::new(), Place::new());
            let (name, run) = fetches(&place, &mirror, &file).swap_remove(number);
            planted.put(&victim, &place.join(name));
            run.fails(23, &[name, planted.word()]);
            victim.assert_untouched(name);
        }
    }
}

/// The options that name a file besides the output.
const REPORTS: [&str; 5] = ["--trace", "--timeline", "-D", "--stderr", "-c"];

/// A fetch with one of those options.
fn reporting(place: &Place, mirror: &Mirror, option: &str, path: &Path) -> Racefetch {
    let bytes = content(1, 20_000);
    let file = Distfile { name: "x-1.tar", content: &bytes };
    let run = place.bare().args(["--no-progress-meter", option]).arg(path);
    let run = if option == "-D" { run.args(["-f", "-o", "x"]) } else { run.args(file.arguments()) };
    run.arg(mirror.url("/x"))
}

#[test]
fn root_writes_no_report_through_links() {
    if !is_root() {
        eprintln!("skipped: only root is kept from writing through links");
        return;
    }
    let mirror = mirror(&content(1, 20_000));
    for option in REPORTS {
        for planted in Planted::ALL {
            let (victim, place) = (Victim::new(), Place::new());
            let path = place.join("report");
            planted.put(&victim, &path);
            let ran = reporting(&place, &mirror, option, &path).run();
            victim.assert_untouched(option);
            assert!(ran.stderr().contains(planted.word()), "{option} {planted:?}: {ran:?}");
        }
    }
}

/// Links that nobody else can have put there do what they are for, and so do devices.
#[test]
fn reports_go_where_they_are_sent() {
    let mirror = mirror(&content(1, 20_000));
    for option in REPORTS {
        let place = Place::new();
        let path = place.join("report");
        symlink("elsewhere", &path).unwrap();
        reporting(&place, &mirror, option, &path).succeeds();
        assert!(option == "--stderr" || !place.read("elsewhere").is_empty(), "{option}");
        for device in ["/dev/null", "/dev/stderr", "/dev/stdout"] {
            let place = Place::new();
            let ran = reporting(&place, &mirror, option, Path::new(device)).succeeds();
            let there = match device {
                "/dev/stderr" => !ran.stderr().is_empty(),
                "/dev/stdout" => !ran.stdout.is_empty(),
                _ => true,
            };
            assert!(there || option == "--stderr", "{option} {device}: {ran:?}");
        }
    }
}

/// A pipe that nobody reads, in the place of whatever is written.
#[test]
fn a_pipe_without_a_reader_keeps_nobody_waiting() {
    let mirror = mirror(&content(1, 20_000));
    each_at_once(REPORTS, |option| {
        let place = Place::new();
        let path = place.join("report");
        fifo(&path);
        reporting(&place, &mirror, option, &path).run(); // within the limit of every run
    });
}

/// Two mirrors, so that the side file is needed: the one that was asked first is slow.
struct Race {
    slow: Mirror,
    fast: Mirror,
    bytes: Vec<u8>,
}

impl Race {
    fn new() -> Self {
        let bytes = content(1, 6 << 20);
        let (slow, fast) = (Mirror::start(), Mirror::start());
        for mirror in [&slow, &fast] {
            mirror.on("/distfiles/layout.conf").serve("[structure]\n0=flat\n").always();
        }
        slow.on("/distfiles/x-1.tar").serve(&bytes).rate(500_000).always();
        fast.on("/distfiles/x-1.tar").serve(&bytes).rate(4_000_000).always();
        Self { slow, fast, bytes }
    }

    fn run(&self, place: &Place) -> Racefetch {
        let file = Distfile { name: "x-1.tar", content: &self.bytes };
        let mirrors = format!("{} {}", self.slow.url(""), self.fast.url(""));
        let run = place.racefetch().args(file.arguments()).args(["--mirrors", &mirrors]);
        run.arg(self.slow.url("/distfiles/x-1.tar"))
    }
}

#[test]
fn the_folder_for_side_files_is_not_one_elsewhere() {
    let race = Race::new();
    let (victim, place) = (Victim::new(), Place::new());
    symlink(victim.place.path(), place.join(".racefetch")).unwrap();
    let mut running = race.run(&place).start();
    // While it runs: in the end side files are removed.
    let mut written = BTreeSet::new();
    running.wait_until("half of the file", || {
        written.extend(names(victim.place.path()).into_iter().filter(|name| name != "shadow"));
        fs::metadata(place.join("x-1.tar.__download__")).is_ok_and(|file| file.len() > 3 << 20)
    });
    running.wait();
    assert!(written.is_empty(), "{written:?}");
    victim.assert_untouched("while it ran");
}

#[test]
fn side_files_are_not_written_through_links() {
    let race = Race::new();
    for name in ["x-1.tar.ahead", "x-1.tar.journal"] {
        for hard in [false, true] {
            let (victim, place) = (Victim::new(), Place::new());
            fs::create_dir(place.join(".racefetch")).unwrap();
            let link = place.join(".racefetch").join(name);
            if hard { fs::hard_link(&victim.file, link) } else { symlink(&victim.file, link) }.unwrap();
            race.run(&place).succeeds();
            assert!(place.read("x-1.tar.__download__") == race.bytes);
            victim.assert_untouched(name);
        }
    }
}

/// A journal that claims bytes of a file that is not the fetch's own: nothing of it is published in the output,
/// and no hole is made in it.
#[test]
fn a_forged_side_file_neither_publishes_nor_harms() {
    let bytes = content(1, 20_000);
    let file = Distfile { name: "x-1.tar", content: &bytes };
    let mirror = Mirror::start();
    mirror.on("/x").serve(&bytes).stall_after(0).always();
    for hard in [false, true] {
        let (victim, place) = (Victim::new(), Place::new());
        let journal = format!("racefetch ahead 1 {}\n+ 0 9000\n", file.digests());
        place.write(".racefetch/x-1.tar.journal", journal);
        let link = place.join(".racefetch/x-1.tar.ahead");
        if hard { fs::hard_link(&victim.file, link) } else { symlink(&victim.file, link) }.unwrap();
        place.racefetch().args(file.arguments()).args(["-m", "1"]).arg(mirror.url("/x")).run();
        victim.assert_untouched("forged journal");
        let output = fs::read(place.join("x-1.tar.__download__")).unwrap_or_default();
        assert!(!output.starts_with(b"root:"), "somebody else's file lies in the output");
    }
}

/// A member of the group replaces each part as soon as it is complete, at any moment between the look at its digests and
/// its new name. Root gives away no file of its own, and what it says is there is what was verified.
#[test]
fn parts_that_are_swapped_are_neither_shared_nor_published() {
    const COUNT: usize = 12;
    let contents: Vec<Vec<u8>> = (0..COUNT).map(|seed| content(seed as u64, 1 << 20)).collect();
    let mirror = Mirror::start();
    mirror.on("/distfiles/layout.conf").serve("[structure]\n0=flat\n").always();
    mirror.on("*").status(404).always(); // where most mirrors have it
    let (victim, place) = (Victim::new(), Place::new());
    set_mode(&victim.file, 0o600);
    let group = fs::metadata(&victim.file).unwrap().gid();
    // A group that is not the victim's.
    let other = if is_root() { Some(65534) } else { None };
    std::os::unix::fs::chown(place.path(), None, other).unwrap();
    let (mut list, mut manifest) = (Vec::new(), Vec::new());
    for (number, bytes) in contents.iter().enumerate() {
        let name = format!("x-{number}.tar");
        mirror.on(&format!("/distfiles/{name}")).serve(bytes).always();
        manifest.push(Distfile { name: &name, content: bytes }.manifest_line());
        list.push(name);
    }
    place.write("repo/cat/pkg/Manifest", manifest.concat());
    let ebuild = place.write("repo/cat/pkg/pkg-1.ebuild", "");
    let file = Distfile { name: "x-0.tar", content: &contents[0] };
    let run = place.racefetch().args(file.arguments()).arg("-v").arg(mirror.url("/distfiles/x-0.tar"));
    let run = run.args(["--mirrors", &mirror.url("")]);
    let run = run.env("EBUILD_PHASE", "fetch").env("EBUILD", ebuild).env("A", list.join(" "));
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let swap = || {
            let link = place.join("link");
            while !over.load(Ordering::SeqCst) {
                for (name, bytes) in list.iter().zip(&contents).skip(1) {
                    let part = place.join(format!("{name}.__download__"));
                    let is_whole = |found: fs::Metadata| found.len() == bytes.len() as u64;
                    if fs::symlink_metadata(&part).is_ok_and(is_whole) {
                        fs::hard_link(&victim.file, &link).unwrap();
                        let _ = fs::rename(&link, &part);
                        let _ = fs::remove_file(&link);
                    }
                }
            }
        };
        scope.spawn(swap);
        let ran = run.run();
        over.store(true, Ordering::SeqCst);
        assert_eq!(ran.code, 0, "{ran:?}");
    });
    let found = fs::metadata(&victim.file).unwrap();
    assert_eq!((found.mode() & 0o777, found.gid()), (0o600, group), "root has given its file away");
    victim.assert_untouched("swapped parts");
    for (name, bytes) in list.iter().zip(&contents).skip(1) {
        let there = fs::read(place.join(name));
        assert!(there.is_err() || there.is_ok_and(|there| there == *bytes), "{name} was not verified");
    }
}

/// What Portage set aside is looked at and renamed by one descriptor; neither a link nor a file with a second name gets
/// FILE's name.
#[test]
fn salvage_takes_no_links() {
    let bytes = content(1, 20_000);
    let file = Distfile { name: "x-1.tar", content: &bytes };
    let mirror = mirror(&bytes);
    for hard in [false, true] {
        let place = Place::new();
        let other = place.write("other", &bytes);
        let leftover = place.join("x-1.tar._checksum_failure_.abcd");
        if hard { fs::hard_link(&other, &leftover) } else { symlink(&other, &leftover) }.unwrap();
        place.racefetch().args(file.arguments()).arg(mirror.url("/x")).succeeds();
        let (output, other) = (place.join("x-1.tar.__download__"), fs::metadata(other).unwrap());
        let found = fs::symlink_metadata(output).unwrap();
        assert!(found.is_file() && found.nlink() == 1 && found.ino() != other.ino(), "hard: {hard}");
    }
}

/// The state beside the distfiles, which is where it lies without a folder of the system's own.
#[test]
fn the_state_is_not_written_through_links() {
    if !is_root() {
        eprintln!("skipped: only root is kept from writing through links");
        return;
    }
    let bytes = content(1, 1000);
    let file = Distfile { name: "x-1.tar", content: &bytes };
    let mirror = mirror(&bytes);
    for name in ["", "mirrors.json", "mirrors.json.lock"] {
        for hard in [false, true] {
            if hard && name.is_empty() {
                continue;
            }
            let (victim, place) = (Victim::new(), Place::new());
            if name.is_empty() {
                symlink(victim.place.path(), place.join(".racefetch")).unwrap();
            } else {
                fs::create_dir(place.join(".racefetch")).unwrap();
                let link = place.join(".racefetch").join(name);
                if hard { fs::hard_link(&victim.file, link) } else { symlink(&victim.file, link) }.unwrap();
            }
            let run = place.racefetch().without_env("RACEFETCH_STATE").env("EBUILD_PHASE", "fetch");
            let Some(ran) = without_system_folder(run.args(file.arguments()).arg(mirror.url("/x"))) else {
                return;
            };
            assert_eq!(ran.code, 0, "{ran:?}");
            victim.assert_untouched(&format!(".racefetch/{name}"));
        }
    }
}

/// Where there is no `/var/lib/racefetch`, and none can be made, in a mount namespace of the run's own. None where nothing
/// can be mounted, which is said.
fn without_system_folder(run: Racefetch) -> Option<Ran> {
    let script = "mount -t tmpfs none /var/lib && mount -o remount,ro /var/lib || exit 99; exec \"$@\"";
    let run = run.after(&format!("exec unshare -m sh -c '{script}' sh \"$@\""));
    let ran = run.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").run();
    if ran.code == 99 || ran.stderr().contains("unshare") {
        eprintln!("skipped: nothing can be mounted here");
        return None;
    }
    Some(ran)
}

/// A pipe that nobody writes to, wherever something is read: no fetch waits for it.
#[test]
fn pipes_keep_nobody_waiting() {
    let bytes = content(1, 1000);
    let file = Distfile { name: "x-1.tar", content: &bytes };
    each(
        [
            ".racefetch/x-1.tar.journal",
            ".racefetch/x-1.tar.ahead",
            ".mirror-cache.json",
            "x-1.tar._checksum_failure_.abcd",
            "state/mirrors.json",
            "state/mirrors.json.lock",
            "config/etc/portage/make.conf",
            "config/etc/portage/mirrors",
            "repo/profiles/thirdpartymirrors",
            "repo/cat/pkg/Manifest",
        ],
        |name| {
            let place = Place::new();
            place.write("repo/cat/pkg/pkg-1.ebuild", "");
            place.write(
                ".racefetch/x-1.tar.journal",
                format!("racefetch ahead 1 {}\n+ 0 9\n", file.digests()),
            );
            place.write(".racefetch/x-1.tar.ahead", &bytes);
            let _ = fs::remove_file(place.join(name));
            fifo(&place.join(name));
            let mirror = Mirror::start();
            mirror.on("*").serve(&bytes).always();
            for url in [mirror.url("/distfiles/x-1.tar"), mirror.url("/elsewhere/x-1.tar")] {
                let run =
                    place.racefetch().args(file.arguments()).args(["--mirrors", &mirror.url("")]).arg(url);
                let run =
                    run.env("EBUILD_PHASE", "fetch").env("EBUILD", place.join("repo/cat/pkg/pkg-1.ebuild"));
                run.succeeds();
                let _ = fs::remove_file(place.join("x-1.tar.__download__"));
            }
        },
    );
}

/// A pipe as the output: a reader gets the content of a plain transfer, and a distfile does not go there.
#[test]
fn a_pipe_as_output() {
    let bytes = content(1, 1000);
    let mirror = mirror(&bytes);
    let place = Place::new();
    let pipe = place.join("x");
    fifo(&pipe);
    let reader = std::thread::spawn(move || fs::read(pipe).unwrap());
    place.racefetch().args(["-f", "-o", "x", &mirror.url("/x")]).succeeds();
    assert!(reader.join().unwrap() == bytes);

    let file = Distfile { name: "y-1.tar", content: &bytes };
    fifo(&place.join("y-1.tar.__download__"));
    place.racefetch().args(file.arguments()).arg(mirror.url("/x")).fails(23, &["y-1.tar"]);
}

/// The reader of the pipe has gone before the content is through: nobody will ever make room in it.
#[test]
fn a_pipe_whose_reader_leaves() {
    let bytes = content(1, 1 << 20);
    let mirror = mirror(&bytes);
    let place = Place::new();
    let pipe = place.join("x");
    fifo(&pipe);
    let reader = std::thread::spawn(move || {
        let mut first = [0; 1000];
        std::io::Read::read_exact(&mut File::open(pipe).unwrap(), &mut first).unwrap();
    });
    place.racefetch().args(["-f", "-o", "x", &mirror.url("/x")]).fails(23, &["x"]);
    reader.join().unwrap();
}

#[test]
fn devices_as_output() {
    let bytes = content(1, 200_000);
    let mirror = mirror(&bytes);
    let place = Place::new();
    place.racefetch().args(["-f", "-o", "/dev/null", &mirror.url("/x")]).succeeds();
    place.racefetch().args(["-f", "-o", "/dev/full", &mirror.url("/x")]).fails(23, &["/dev/full"]);
    let stdout = place.racefetch().args(["-f", "-o", "/dev/stdout", &mirror.url("/x")]).succeeds().stdout;
    assert!(stdout == bytes);
    let digests = Distfile { name: "x-1.tar", content: &bytes }.digests();
    for device in ["/dev/null", "/dev/full"] {
        let run = place.racefetch().args(["-f", "--digests", &digests, "-o", device]).arg(mirror.url("/x"));
        run.fails(23, &[device]);
    }
    for folder in ["/", ".", "state", "state/"] {
        place.racefetch().args(["-f", "-o", folder, &mirror.url("/x")]).fails(23, &[]);
        place
            .racefetch()
            .args(["-f", "--digests", &digests, "-o", folder])
            .arg(mirror.url("/x"))
            .fails(23, &[]);
    }
}

fn fifo(path: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o644), 0).unwrap();
}

fn names(folder: &Path) -> Vec<String> {
    fs::read_dir(folder)
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}
