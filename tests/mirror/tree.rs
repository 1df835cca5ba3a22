//! `racefetch-tree-sync`: an ebuild repository that is only served when it verifies. gemato says so, with a key of
//! the test's own.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use super::lan::{run, wait_for};
use super::rsync::{Machine, Source, kill};
use crate::support::lab::venv;

const SCRIPT: &str = "racefetch-tree-sync";

/// gemato, a key, and the folder of gpg that holds it.
struct Signer {
    gemato: PathBuf,
    home: PathBuf,
    key: PathBuf,
}

static SIGNER: LazyLock<Signer> = LazyLock::new(|| {
    let target = Path::new(env!("CARGO_BIN_EXE_racefetch")).ancestors().nth(2).unwrap();
    let gemato = venv::ensure_tool(target, "gemato", "gemato==20.15").unwrap_or_else(|e| panic!("{e}"));
    // gpg's agent listens in it: the path must be short. It is left behind, empty of secrets but the test's own.
    let home = tempfile::Builder::new().prefix("rf-gpg-").tempdir().unwrap().keep();
    let signer = Signer { gemato, key: home.join("key.asc"), home };
    let options =
        ["--batch", "--passphrase", "", "--quick-gen-key", "tree@test.invalid", "ed25519", "sign", "never"];
    let (output, said) = run(signer.gpg().args(options));
    assert!(output.status.success(), "{said}");
    let (output, said) = run(signer.gpg().args(["--armor", "--export", "--output"]).arg(&signer.key));
    assert!(output.status.success(), "{said}");
    signer
});

impl Signer {
    fn gpg(&self) -> Command {
        let mut gpg = Command::new("gpg");
        gpg.env("GNUPGHOME", &self.home);
        gpg
    }

    /// Writes the Manifests of a tree, the top one signed.
    fn sign(&self, tree: &Path) {
        let mut gemato = Command::new(&self.gemato);
        gemato.env("GNUPGHOME", &self.home);
        gemato.args(["create", "--quiet", "--profile", "ebuild", "--hashes", "BLAKE2B SHA512", "--sign"]);
        let (output, said) = run(gemato.args(["--openpgp-id", "tree@test.invalid", "--timestamp"]).arg(tree));
        assert!(output.status.success(), "{said}");
        // rsync takes files for the same that have one size and were changed in the same second.
        date_manifests(tree, TIMES.fetch_add(1, Ordering::Relaxed));
    }
}

/// For each signing another one, in UNIX seconds.
static TIMES: AtomicU64 = AtomicU64::new(1_600_000_000);

/// Has all Manifests of a tree be of one time.
fn date_manifests(folder: &Path, seconds: u64) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            date_manifests(&entry.path(), seconds);
        } else if entry.file_name().to_string_lossy().starts_with("Manifest") {
            let file = fs::File::options().write(true).open(entry.path()).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
        }
    }
}

/// The files of a generation, by their paths.
fn files(generation: u64) -> BTreeMap<String, String> {
    let mut files = BTreeMap::from([
        ("profiles/repo_name".to_owned(), "gentoo\n".to_owned()),
        ("metadata/layout.conf".to_owned(), "masters =\n".to_owned()),
        ("metadata/timestamp.chk".to_owned(), format!("Fri, 27 Nov 2026 15:{generation:02}:00 +0000\n")),
        ("header.txt".to_owned(), "the same for ever\n".to_owned()),
    ]);
    for i in 0..20 {
        let version = generation + i;
        files.insert(format!("app-misc/p{i}/p{i}-{version}.ebuild"), format!("EAPI=8\n# {generation} {i}\n"));
        files.insert(
            format!("app-misc/p{i}/metadata.xml"),
            format!("<pkgmetadata>{generation}</pkgmetadata>\n"),
        );
    }
    files
}

/// Has the source offer that generation, signed.
fn fill(source: &Source, generation: u64) {
    let _ = fs::remove_dir_all(source.files());
    for (path, text) in files(generation) {
        let time = if path == "header.txt" { 1_000_000_000 } else { 1_500_000_000 + 100 * generation };
        source.put(&path, text, time);
    }
    SIGNER.sign(&source.files());
}

fn verify() -> String {
    let Signer { gemato, home, key } = &*SIGNER;
    let options = "verify --quiet --require-signed-manifest --no-refresh-keys --openpgp-key";
    format!(
        "TREE_VERIFY=\"{} {options} {}\"\nexport GNUPGHOME={}",
        gemato.display(),
        key.display(),
        home.display()
    )
}

fn conf(sources: &[&Source]) -> String {
    let sources: Vec<String> = sources.iter().map(|source| source.url()).collect();
    format!("TREE_SOURCES=\"{}\"\nTREE_DELAY=0\n{}", sources.join(" "), verify())
}

/// The generation that is served, all of it and nothing else. A client's rsync holds the folder, not the link.
#[track_caller]
fn served(machine: &Machine) -> Option<u64> {
    let tree = fs::canonicalize(machine.data().join("tree/current")).ok()?;
    let stamp = fs::read_to_string(tree.join("metadata/timestamp.chk")).unwrap();
    let generation = stamp.split(':').nth(1).unwrap().parse().unwrap();
    let wanted = files(generation);
    for (path, text) in &wanted {
        assert_eq!(fs::read_to_string(tree.join(path)).as_ref().ok(), Some(text), "{path} of {generation}");
    }
    let ebuilds = (0..20).map(|i| fs::read_dir(tree.join(format!("app-misc/p{i}"))).unwrap().count());
    // An ebuild, metadata.xml, and perhaps a Manifest.
    assert!(ebuilds.max() <= Some(3), "files of two generations");
    Some(generation)
}

#[test]
fn a_verified_tree_takes_the_place_of_the_old_one() {
    let source = Source::start();
    fill(&source, 1);
    let machine = Machine::new(SCRIPT, &conf(&[&source]));
    let said = machine.runs(0, &[]);
    assert!(said.contains("verified"), "{said}");
    assert_eq!(served(&machine), Some(1));
    let current = machine.data().join("tree/current");
    let header = fs::metadata(current.join("header.txt")).unwrap().ino();
    assert!(machine.runs(0, &[]).contains("less than 11 hours ago"));
    assert!(machine.runs(0, &["--now"]).contains("has nothing new"));
    let held = fs::canonicalize(&current).unwrap();
    fill(&source, 2);
    machine.runs(0, &["--now"]);
    assert_eq!(served(&machine), Some(2));
    assert_eq!(
        fs::metadata(current.join("header.txt")).unwrap().ino(),
        header,
        "what has not changed is a hard link"
    );
    assert_eq!(
        fs::read_to_string(held.join("metadata/timestamp.chk")).unwrap(),
        files(1)["metadata/timestamp.chk"]
    );
    assert_eq!(machine.figure("racefetch_mirror_tree_verified"), Some(1.0));
    assert_eq!(machine.figure("racefetch_mirror_tree_content_timestamp_seconds"), Some(1_795_791_720.0));
    // Two older ones are kept.
    for generation in 3..6 {
        fill(&source, generation);
        machine.runs(0, &["--now"]);
    }
    let trees = fs::read_dir(machine.data().join("tree"))
        .unwrap()
        .filter(|entry| entry.as_ref().is_ok_and(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())));
    assert_eq!(trees.count(), 3);
    assert!(!held.exists());
}

#[test]
#[expect(clippy::disallowed_methods, reason = "two Manifests must be of two seconds")]
fn a_torn_or_forged_or_unsigned_or_older_tree_stays_out() {
    let [torn, good] = [(); 2].map(|()| Source::start());
    fill(&good, 1);
    let machine = Machine::new(SCRIPT, &conf(&[&torn]));
    // In the middle of an update: an ebuild has come, and its Manifest has not.
    fill(&torn, 1);
    machine.runs(0, &["--now"]);
    fill(&torn, 2);
    torn.put("app-misc/p3/p3-5.ebuild", "EAPI=8\n# not what the Manifest says\n", 1_600_000_000);
    let said = machine.runs(4, &["--now"]);
    assert!(said.contains("does not verify, and stays out") && said.contains("p3-5.ebuild"), "{said}");
    assert_eq!(served(&machine), Some(1));
    assert_eq!(machine.figure("racefetch_mirror_tree_verified"), Some(0.0));
    // Unsigned.
    fs::remove_file(torn.files().join("Manifest")).unwrap();
    let said = machine.runs(4, &["--now"]);
    assert!(said.contains("what was served is served"), "{said}");
    assert_eq!(served(&machine), Some(1));
    // The next source is taken, and has its own tree complete.
    fill(&good, 3);
    machine.configure(&conf(&[&torn, &good]));
    machine.runs(0, &["--now"]);
    assert_eq!(served(&machine), Some(3));
    assert_eq!(machine.figure("racefetch_mirror_tree_verified"), Some(1.0));
    // Signed, and from an earlier day: somebody replays it. A Manifest has its time to the second.
    let (files, old) = (good.files(), good.files().with_file_name("old"));
    fs::rename(&files, &old).unwrap();
    thread::sleep(Duration::from_millis(1100));
    fill(&good, 4);
    machine.configure(&conf(&[&good]));
    machine.runs(0, &["--now"]);
    fs::remove_dir_all(&files).unwrap();
    fs::rename(&old, &files).unwrap();
    let said = machine.runs(4, &["--now"]);
    assert!(said.contains("is older (") && said.contains("stays out"), "{said}");
    assert_eq!(served(&machine), Some(4));
}

#[test]
fn a_source_that_dies_in_the_middle_changes_nothing() {
    let mut source = Source::start();
    fill(&source, 1);
    let machine = Machine::new(SCRIPT, &conf(&[&source]));
    machine.runs(0, &[]);
    fill(&source, 2);
    source.put("app-misc/p1/large.patch", "x".repeat(3_000_000), 1_600_000_000);
    SIGNER.sign(&source.files());
    machine.configure(&format!("{}\nTREE_OPTIONS=--bwlimit=1000", conf(&[&source])));
    let mut running = machine.start(&["--now"]);
    let next = machine.data().join("tree/.next/app-misc");
    assert!(wait_for(|| next.exists()), "nothing is transferred");
    source.die();
    assert_eq!(running.wait().unwrap().code(), Some(1));
    assert_eq!(served(&machine), Some(1));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "kills come at any time")]
fn whenever_it_is_killed_a_whole_tree_is_served() {
    let source = Source::start();
    fill(&source, 0);
    let machine = Machine::new(SCRIPT, &conf(&[&source]));
    machine.runs(0, &[]);
    for round in 0..20 {
        let newest = 1 + round / 4;
        if round % 4 == 0 {
            fill(&source, newest);
        }
        let running = machine.start(&["--now"]);
        thread::sleep(Duration::from_millis(round * 197 % 1300));
        kill(running);
        assert!(served(&machine).is_some_and(|generation| generation <= newest));
    }
    machine.runs(0, &["--now"]);
    assert_eq!(served(&machine), Some(5));
}
