//! `racefetch verify`: the files of a DISTDIR against the Manifests of its repositories.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use racefetch::portage::{Algorithm, Digest};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::content::content;
use crate::support::lab::{Dist, Lab};

/// A system with two repositories, a `make.conf`, and an empty DISTDIR.
struct System(TempDir);

impl System {
    fn new() -> Self {
        let system = Self(tempfile::tempdir().unwrap());
        let root = system.root().display();
        system.put("etc/portage/make.conf", &format!("DISTDIR=\"{root}/distfiles\"\n"));
        system.put(
            "etc/portage/repos.conf/all.conf",
            &format!(
                "[DEFAULT]\nmain-repo = gentoo\n[gentoo]\nlocation = {root}/gentoo\n\
                 [own]\nlocation = {root}/own\n"
            ),
        );
        system.put("gentoo/profiles/categories", "app-misc\ndev-lang\n");
        fs::create_dir(system.root().join("own")).unwrap();
        fs::create_dir(system.distdir()).unwrap();
        system
    }

    fn root(&self) -> &Path {
        self.0.path()
    }

    fn distdir(&self) -> PathBuf {
        self.root().join("distfiles")
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A package whose Manifest lists distfiles of these contents.
    fn package(&self, folder: &str, distfiles: &[(&str, &[u8])]) {
        let line = |(name, content): &(&str, &[u8])| {
            let hex = |algorithm| Digest::of(algorithm, content).hex();
            let (blake2b, sha512) = (hex(Algorithm::Blake2b), hex(Algorithm::Sha512));
            format!("DIST {name} {} BLAKE2B {blake2b} SHA512 {sha512}\n", content.len())
        };
        let lines: Vec<_> = distfiles.iter().map(line).collect();
        self.put(&format!("{folder}/Manifest"), &lines.concat());
    }

    fn distfile(&self, name: &str, content: &[u8]) {
        fs::write(self.distdir().join(name), content).unwrap();
    }

    fn names(&self) -> Vec<String> {
        let names = fs::read_dir(self.distdir()).unwrap();
        let mut names: Vec<_> = names.map(|name| name.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn verify(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_racefetch"))
            .arg("verify")
            .args(arguments)
            .env_clear()
            .env("PORTAGE_CONFIGROOT", self.root())
            .output()
            .unwrap()
    }

    /// What `verify` prints, with this exit status and nothing on stderr.
    fn printed(&self, arguments: &[&str], status: i32) -> String {
        let output = self.verify(arguments);
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        assert_eq!(output.status.code(), Some(status), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

/// A system with one file of each kind.
fn mixed() -> System {
    let system = System::new();
    let (right, other, wrong) = (content(1, 70_000), content(2, 70_000), content(3, 300));
    system.package("gentoo/app-misc/a", &[("right", &right), ("altered", &other), ("short", &other)]);
    system.package("own/dev-lang/b", &[("old", &other), ("linked", &right), ("gone", &right)]);
    system.package("own/app-misc/b", &[("old", &wrong)]);
    system.distfile("right", &right);
    system.distfile("altered", &right);
    system.distfile("short", &other[..69_999]);
    system.distfile("old", &wrong);
    system.distfile("nobody", &wrong);
    system.distfile("right.__download__", &right[..10]);
    system.distfile("right._checksum_failure_.abcdefgh", &wrong);
    for ignored in
        [".right.portage_lockfile", ".mirror-cache.json", "layout.conf", ".layout.conf.h.__download__"]
    {
        system.distfile(ignored, b"x");
    }
    system.put("distfiles/.racefetch/right.ahead", "x");
    system.put("distfiles/git3-src/x", "x");
    system.put("read-only/linked", "");
    fs::write(system.root().join("read-only/linked"), &right).unwrap();
    symlink(system.root().join("read-only/linked"), system.distdir().join("linked")).unwrap();
    symlink("nowhere", system.distdir().join("gone")).unwrap();
    system
}

#[test]
fn every_file_is_said_to_be_what_it_is() {
    let system = mixed();
    let manifest = system.root().join("gentoo/app-misc/a/Manifest");
    let manifest = manifest.display();
    let expected = format!(
        "corrupt   altered: its BLAKE2B is not that of {manifest}\n\
         unchecked gone: No such file or directory (os error 2)\n\
         unknown   nobody\n\
         partial   right.__download__\n\
         set-aside right._checksum_failure_.abcdefgh\n\
         corrupt   short: it has 69999 bytes, not the 70000 of {manifest}\n\
         9 files, 205.4 KiB verified: 3 right, 2 corrupt, 1 unchecked, 1 unknown, 1 partial, 1 set aside\n"
    );
    assert_eq!(system.printed(&[], 1), expected);
    let verbose = system.printed(&["-v"], 1);
    for right in ["right", "old", "linked"] {
        assert!(verbose.contains(&format!("right     {right}\n")), "{verbose}");
    }
    assert_eq!(verbose.lines().count(), 10);
}

#[test]
fn json_has_all_files() {
    let system = mixed();
    let whole: Value = serde_json::from_str(&system.printed(&["--json"], 1)).unwrap();
    assert_eq!(whole["distdir"], system.distdir().to_str().unwrap());
    assert_eq!(whole["files"].as_array().unwrap().len(), 9);
    assert_eq!(whole["summary"]["right"], 3);
    assert_eq!(whole["summary"]["corrupt"], 2);
}

#[test]
fn corrupt_files_are_moved_aside_and_others_stay() {
    let system = mixed();
    let before = system.names();
    let printed = system.printed(&["--move-aside"], 1);
    let after = system.names();
    assert_eq!(before.len(), after.len());
    for (name, content) in [("altered", content(1, 70_000)), ("short", content(2, 70_000)[..69_999].to_vec())]
    {
        assert!(!after.contains(&name.to_owned()));
        let aside = after.iter().find(|n| n.starts_with(&format!("{name}._checksum_failure_."))).unwrap();
        assert_eq!(aside.len(), name.len() + "._checksum_failure_.".len() + 8);
        assert_eq!(fs::read(system.distdir().join(aside)).unwrap(), content);
        assert!(printed.contains(&format!("; renamed to {aside}\n")), "{printed}");
    }
    assert_eq!(after.iter().filter(|name| before.contains(name)).count(), before.len() - 2);
    fs::remove_file(system.distdir().join("gone")).unwrap();
    assert!(
        system.printed(&[], 0).contains("3 right, 0 corrupt, 0 unchecked, 1 unknown, 1 partial, 3 set aside")
    );
}

#[test]
fn what_could_not_be_checked_is_no_success() {
    let system = System::new();
    system.package("own/app-misc/b", &[("gone", b"x")]);
    symlink("nowhere", system.distdir().join("gone")).unwrap();
    system.printed(&[], 26);
}

#[test]
fn another_folder_can_be_named() {
    let system = System::new();
    system.package("gentoo/app-misc/a", &[("x", b"content")]);
    system.put("else/x", "content");
    let folder = system.root().join("else");
    let printed = system.printed(&["--verbose", folder.to_str().unwrap()], 0);
    assert!(printed.starts_with("right     x\n1 file, 7 B verified: 1 right"), "{printed}");
}

#[test]
fn nothing_to_compare_with_is_an_error() {
    let system = System::new();
    let fails = |arguments: &[&str], status, said: &str| {
        let output = system.verify(arguments);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(status), "{error}");
        assert!(error.lines().last().is_some_and(|line| line.starts_with(said)), "{error}");
    };
    fails(&[], 26, "racefetch: no Manifest is there to compare with");
    fails(&["/nowhere/at/all"], 26, "racefetch: cannot list /nowhere/at/all");
    fails(&["--nonsense"], 2, "");
    system.put("etc/portage/make.conf", "DISTDIR=''");
    fails(&[], 2, "racefetch: make.conf sets no DISTDIR");
}

#[test]
fn the_distfiles_of_a_real_prefix() {
    let right = Dist::new("foo-1.tar", &content(1, 5000));
    let wrong = Dist::new("bar-1.tar", &content(2, 5000)).listed_as(&content(3, 5000));
    let lab = Lab::new(env!("CARGO_BIN_EXE_racefetch")).unwrap_or_else(|e| panic!("{e}"));
    let lab = lab.package("app-misc/foo-1", &[&right, &wrong]);
    for dist in [&right, &wrong] {
        fs::write(lab.distdir().join(&dist.name), &dist.content).unwrap();
    }
    let run = lab.racefetch(&["verify", "-v", "--move-aside"]);
    assert_eq!(run.status.code(), Some(1), "{run}");
    assert!(run.output.contains("right     foo-1.tar\n"), "{run}");
    assert!(run.output.contains("corrupt   bar-1.tar: "), "{run}");
    let names = lab.distfiles();
    let [aside, right] = &names[..] else { panic!("{names:?}") };
    assert!(aside.starts_with("bar-1.tar._checksum_failure_.") && right == "foo-1.tar", "{names:?}");
}
