//! What Portage fetches without digests: binary packages, and the snapshots of `emerge-webrsync`. It names one URI, calls
//! once, and tries nothing else when that fails. wget, its own command, gets over a single fault; so must the program.

use std::fs;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;

use crate::real_portage::{base, lab};
use crate::support::lab::Lab;
use crate::support::mirror::{Mirror, Rule};

/// Faults that pass, each for a content of `size` bytes that is served with `rule`.
fn faults(size: usize, rule: impl Fn() -> Rule) -> Vec<(&'static str, Rule)> {
    let half = (size / 2) as u64;
    vec![
        ("a cut", rule().close_after(half)),
        ("a reset in the middle", rule().reset_after(half)),
        ("chunks that do not end", rule().chunked_unfinished()),
        ("a reset instead of an answer", Rule::reset()),
        ("an empty reply", Rule::empty_reply()),
        ("half a head", Rule::raw("HTTP/1.1 200 OK\r\nContent-")),
        ("a server that is busy", Rule::status(503)),
        ("too many requests", Rule::status(429).retry_after(1)),
    ]
}

#[test]
fn a_binary_package_gets_over_a_fault() {
    let (lab, package) = with_binary_package();
    let host = Mirror::start();
    host.on("/binpkgs/Packages.gz").status(404).always();
    host.on("/binpkgs/Packages").serve(fs::read(lab.pkgdir().join("Packages")).unwrap()).always();
    let lab = lab.make_conf(&format!("PORTAGE_BINHOST=\"{}\"", host.url("/binpkgs")));
    let path = "/binpkgs/app-misc/foo/foo-1-1.gpkg.tar";
    let silence = ("silence", Rule::serve(&package).stall_after(package.len() as u64 / 2));
    for (fault, rule) in faults(package.len(), || Rule::serve(&package)).into_iter().chain([silence]) {
        host.on(path).add(rule);
        let good = host.on(path).serve(&package);
        fs::remove_dir_all(lab.pkgdir()).unwrap();
        let run = lab.emerge(&["--getbinpkgonly", "--oneshot", "app-misc/foo"]);
        assert!(run.success(), "{fault}: {run}");
        let fetched = fs::read(lab.pkgdir().join("app-misc/foo/foo-1-1.gpkg.tar")).unwrap();
        assert!(fetched == package, "{fault}: another file\n{run}");
        assert!(lab.root().join("var/db/pkg/app-misc/foo-1").is_dir(), "{fault}: not merged\n{run}");
        drop(good);
    }
    let calls = lab.calls();
    assert_eq!(calls.len(), 9, "one call for each package: {calls:?}");
}

#[test]
fn a_binary_package_that_is_not_there_is_asked_for_once() {
    let (lab, _) = with_binary_package();
    let host = Mirror::start();
    host.on("/binpkgs/Packages.gz").status(404).always();
    host.on("/binpkgs/Packages").serve(fs::read(lab.pkgdir().join("Packages")).unwrap()).always();
    host.on("/binpkgs/app-misc/foo/foo-1-1.gpkg.tar").status(404);
    fs::remove_dir_all(lab.pkgdir()).unwrap();
    let lab = lab.make_conf(&format!("PORTAGE_BINHOST=\"{}\"", host.url("/binpkgs")));
    let run = lab.emerge(&["--getbinpkgonly", "--oneshot", "app-misc/foo"]);
    assert!(!run.success(), "{run}");
}

#[test]
fn emerge_webrsync_brings_the_newest_tree_in_spite_of_a_fault() {
    let folder = tempfile::tempdir().unwrap();
    // As it reckons: the snapshot of a day is there from one o'clock of the next one on.
    let dates =
        ["-25 hours", "-49 hours"].map(|ago| output(folder.path(), &format!("date -u -d '{ago}' +%Y%m%d")));
    let snapshots = dates.each_ref().map(|date| Snapshot::new(folder.path(), date));
    let newest = &snapshots[0];
    let tar = faults(newest.tar.len(), || Rule::serve(&newest.tar)).into_iter().map(|fault| ("", fault));
    let sum = faults(newest.md5sum.len(), || Rule::serve(&newest.md5sum)).into_iter().step_by(3);
    for (file, (fault, rule)) in tar.chain(sum.map(|fault| (".md5sum", fault))) {
        let mirror = Mirror::start();
        mirror.on(&format!("{}{file}", newest.path())).add(rule);
        for snapshot in &snapshots {
            snapshot.serve_on(&mirror);
        }
        let lab = lab().mirrors(&[base(&mirror)]);
        lab.install(
            "tarsync",
            "#!/bin/sh\nshift $(($# - 2))\nexec tar --strip-components=1 -C \"$2\" -xf \"$1\"\n",
        );
        let state = lab.state_file();
        let run = lab.run("emerge-webrsync", &["--no-pgp-verify"], &[("RACEFETCH_STATE", state.as_path())]);
        assert!(run.success(), "{fault}: {run}");
        let tree = fs::read_to_string(lab.root().join("var/db/repos/gentoo/profiles/from_snapshot"));
        assert_eq!(tree.ok().as_deref(), Some(newest.date.as_str()), "{fault}: {run}");
    }
}

/// Ctrl-C while the newest snapshot comes: the script ends with it, and does not install yesterday's behind the prompt.
#[test]
fn ctrl_c_ends_emerge_webrsync() {
    let folder = tempfile::tempdir().unwrap();
    let dates =
        ["-25 hours", "-49 hours"].map(|ago| output(folder.path(), &format!("date -u -d '{ago}' +%Y%m%d")));
    let [newest, before] = dates.each_ref().map(|date| Snapshot::new(folder.path(), date));
    let mirror = Mirror::start();
    mirror.on(&newest.path()).serve(&newest.tar).stall_after(newest.tar.len() as u64 / 2).always();
    newest.serve_on(&mirror);
    before.serve_on(&mirror);
    let lab = lab().mirrors(&[base(&mirror)]);
    let state = lab.state_file();
    let variables = [("RACEFETCH_STATE", state.as_path())];
    let mut running = lab.start_program("emerge-webrsync", &["--no-pgp-verify"], &variables);
    running.wait_until("the snapshot is asked for", || !mirror.requests_for(&newest.path()).is_empty());
    running.signal_group(Signal::INT);
    let run = running.finish();
    assert!(!run.success(), "{run}");
    assert!(!lab.is_fetching(), "{run}");
    assert!(mirror.requests_for(&before.path()).is_empty(), "it went on: {run}");
    assert!(!lab.root().join("var/db/repos/gentoo/profiles/from_snapshot").exists(), "{run}");
}

/// A tree of a day, as mirrors have it.
struct Snapshot {
    date: String,
    tar: Vec<u8>,
    md5sum: Vec<u8>,
}

impl Snapshot {
    fn new(folder: &Path, date: &str) -> Self {
        let script = format!(
            "mkdir -p lab/metadata lab/profiles
             date -u -d '{date} 1 day' '+%s' >lab/metadata/timestamp.x
             printf %s {date} >lab/profiles/from_snapshot
             tar -cf snapshot.tar lab && md5sum snapshot.tar"
        );
        let md5sum = (output(folder, &script) + "\n").into_bytes();
        Self { date: date.to_owned(), tar: fs::read(folder.join("snapshot.tar")).unwrap(), md5sum }
    }

    fn path(&self) -> String {
        format!("/gentoo/snapshots/gentoo-{}.tar.xz", self.date)
    }

    fn serve_on(&self, mirror: &Mirror) {
        mirror.on(&self.path()).serve(&self.tar).always();
        mirror.on(&format!("{}.md5sum", self.path())).serve(&self.md5sum).always();
        mirror.on(&format!("{}.gpgsig", self.path())).serve("not looked at").always();
    }
}

/// A lab in which a binary package was built, and the package.
fn with_binary_package() -> (Lab, Vec<u8>) {
    let lab = lab().package("app-misc/foo-1", &[]);
    let built = lab.emerge(&["--buildpkgonly", "app-misc/foo"]);
    assert!(built.success(), "{built}");
    let package = fs::read(lab.pkgdir().join("app-misc/foo/foo-1-1.gpkg.tar")).unwrap();
    (lab, package)
}

/// What a line of shell says, without the end of its last line.
fn output(folder: &Path, script: &str) -> String {
    let run = Command::new("sh").args(["-ec", script]).current_dir(folder).output().unwrap();
    assert!(run.status.success(), "{script}: {}", String::from_utf8_lossy(&run.stderr));
    String::from_utf8(run.stdout).unwrap().trim_end().to_owned()
}
