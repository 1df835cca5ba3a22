//! An unmodified Portage running `emerge --fetchonly` through the program.
//!
//! What is asserted is what the mirrors saw, what lies in DISTDIR, and how `emerge` ended: Portage calls the
//! program as its `make.conf` snippet says, and nothing here knows how the program does it.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;

use crate::support::content::content;
use crate::support::lab::account::{self, Account};
use crate::support::lab::{Call, Dist, Emerged, Lab, Layout, Running};
use crate::support::mirror::{Mirror, Rule};
use crate::support::ports::Port;

/// Portage resumes partial files of 350 KiB or more (`PORTAGE_FETCH_RESUME_MIN_SIZE` of make.conf(5)).
pub const RESUME_MIN: u64 = 350 * 1024;

#[test]
fn a_fresh_fetch() {
    let dist = Dist::new("foo-1.tar.xz", &content(1, 300_000));
    let mirror = hosting(Layout::FilenameHash, &dist);
    let lab = lab().mirrors(&[base(&mirror)]).package("app-misc/foo-1", &[&dist]);
    let run = lab.emerge(&["--fetchonly", "app-misc/foo"]);
    assert_fetched(&run, &lab, &dist);
    assert!(run.output.contains("foo-1.tar.xz BLAKE2B SHA512 size ;-)"), "{run}");
    let requests = mirror.requests_for(&path(Layout::FilenameHash, &dist));
    assert_eq!(requests.len(), 1, "{requests:#?}");
    assert_eq!(requests[0].field("Range"), None);
    let agent = requests[0].field("User-Agent").unwrap_or_default();
    assert!(!agent.starts_with("curl"), "some servers refuse the name of curl: {agent:?}");
}

#[test]
fn a_file_that_is_there_makes_no_call() {
    let dist = Dist::new("foo-1.tar.xz", &content(1, 5000));
    let mirror = Mirror::start(); // fails the test when it is asked for anything
    let lab = lab().mirrors(&[base(&mirror)]).package("app-misc/foo-1", &[&dist]);
    put(&lab.distdir().join(&dist.name), &dist.content);
    assert_fetched(&lab.emerge(&["--fetchonly", "app-misc/foo"]), &lab, &dist);
    assert_eq!(lab.calls(), []);
}

#[test]
fn a_download_that_was_killed_is_resumed() {
    // What a power cut or the OOM killer leaves.
    resumed_after(|emerge| emerge.signal_group(Signal::KILL));
}

#[test]
fn a_download_that_was_cancelled_is_resumed() {
    // Portage answers SIGTERM by ending its fetch command in the same way.
    resumed_after(|emerge| emerge.signal(Signal::TERM));
}

#[test]
fn a_download_that_was_interrupted_is_resumed() {
    // Ctrl-C reaches the whole process group.
    resumed_after(|emerge| emerge.signal_group(Signal::INT));
}

#[test]
fn a_complete_download_that_portage_sets_aside_is_salvaged() {
    // Portage renames a FILE of full size without a look at its content, and asks for all of it again.
    let dist = Dist::new("foo-1.tar.xz", &content(1, 600_000));
    let mirror = Mirror::start();
    mirror.on(&layout_path()).serve(Layout::Flat.conf()).always();
    let lab = lab().mirrors(&[base(&mirror)]).package("app-misc/foo-1", &[&dist]);
    put(&lab.partial(&dist.name), &dist.content);
    let run = lab.emerge(&["--fetchonly", "app-misc/foo"]);
    assert!(run.output.contains("File renamed to"), "{run}");
    assert_fetched(&run, &lab, &dist); // and the mirror fails the test when it was asked for the file
}

#[test]
fn a_dead_first_mirror() {
    let dist = Dist::new("foo-1.tar.xz", &content(1, 300_000));
    let good = hosting(Layout::FilenameHash, &dist);
    let dead = Port::refusing();
    let dead = format!("http://{}/gentoo", dead.address());
    fetched_in_one_call(&[dead, base(&good)], &dist);
}

#[test]
fn a_hanging_first_mirror() {
    let dist = Dist::new("foo-1.tar.xz", &content(1, 300_000));
    first_mirror_says(&Rule::silence(), &dist);
}

#[test]
fn a_first_mirror_without_the_file() {
    let dist = Dist::new("foo-1.tar.xz", &content(1, 300_000));
    first_mirror_says(&Rule::status(404), &dist);
}

#[test]
fn a_first_mirror_behind_a_captive_portal() {
    let dist = Dist::new("foo-1.tar.xz", &content(1, 300_000));
    first_mirror_says(&Rule::portal(), &dist);
}

#[test]
fn a_corrupt_first_mirror() {
    let dist = Dist::new("foo-1.tar.xz", &content(1, 300_000));
    first_mirror_says(&Rule::serve(&dist.content).corrupted_at(123_456), &dist);
}

#[test]
fn all_mirrors_lack_it_and_upstream_has_it() {
    let upstream = Mirror::start();
    let dist = Dist::new("foo-1.tar.xz", &content(1, 300_000)).uri(&upstream.url("/src/foo-1.tar.xz"));
    upstream.on("/src/foo-1.tar.xz").serve(&dist.content);
    let mirrors = [Mirror::start(), Mirror::start(), Mirror::start()];
    for mirror in &mirrors {
        mirror.on(&layout_path()).serve(Layout::FilenameHash.conf()).always();
        // A second request for a file that is known to be missing would find no rule.
        mirror.on(&path(Layout::FilenameHash, &dist)).status(404).at_most(1);
    }
    let lab = lab().mirrors(&mirrors.each_ref().map(base)).package("app-misc/foo-1", &[&dist]);
    let run = lab.emerge(&["--fetchonly", "app-misc/foo"]);
    assert_fetched(&run, &lab, &dist);
    assert_eq!(downloads(&lab).len(), 1, "the call for the first mirror knows SRC_URI");
}

#[test]
fn with_force_mirror_upstream_is_not_asked() {
    let upstream = Mirror::start(); // fails the test when it is asked for anything
    let dist = Dist::new("foo-1.tar.xz", &content(1, 300_000)).uri(&upstream.url("/src/foo-1.tar.xz"));
    let mirror = Mirror::start();
    mirror.on(&layout_path()).serve(Layout::FilenameHash.conf()).always();
    mirror.on(&path(Layout::FilenameHash, &dist)).status(404).at_most(1);
    let lab = lab().make_conf("FEATURES=\"${FEATURES} force-mirror\"").mirrors(&[base(&mirror)]);
    let lab = lab.package("app-misc/foo-1", &[&dist]);
    let run = lab.emerge(&["--fetchonly", "app-misc/foo"]);
    assert!(!run.success(), "{run}");
}

#[test]
fn primaryuri_goes_on_to_the_mirrors_in_the_same_call() {
    let upstream = Mirror::start();
    let dist = Dist::new("foo-1.tar.xz", &content(1, 300_000)).uri(&upstream.url("/src/foo-1.tar.xz"));
    upstream.on("/src/foo-1.tar.xz").status(404).times(1);
    let mirror = hosting(Layout::FilenameHash, &dist);
    let lab = lab().mirrors(&[base(&mirror)]);
    let lab = lab.restricted_package("app-misc/foo-1", "primaryuri", &[&dist]);
    let run = lab.emerge(&["--fetchonly", "app-misc/foo"]);
    assert_fetched(&run, &lab, &dist);
    assert_eq!(downloads(&lab).len(), 1, "{:#?}", downloads(&lab));
}

#[test]
fn the_members_of_a_group_stand_in_for_each_other() {
    let (first, second) = (Mirror::start(), Mirror::start());
    let dist = Dist::new("foo-1.tar.xz", &content(1, 300_000)).uri("mirror://group/x/foo-1.tar.xz");
    first.on("/pub/x/foo-1.tar.xz").status(404).at_most(1);
    second.on("/mirror/x/foo-1.tar.xz").serve(&dist.content).times(1);
    let lab = lab().mirrors(&[""; 0]).package("app-misc/foo-1", &[&dist]);
    let groups = format!("group {} {}\n", first.url("/pub"), second.url("/mirror"));
    put(&lab.repository().join("profiles/thirdpartymirrors"), groups.as_bytes());
    let run = lab.emerge(&["--fetchonly", "app-misc/foo"]);
    assert_fetched(&run, &lab, &dist);
    assert_eq!(downloads(&lab).len(), 1, "{:#?}", downloads(&lab));
}

#[test]
fn a_repository_whose_files_mirrors_never_have_is_known_after_a_package() {
    let upstream = Mirror::start();
    let dists: Vec<Dist> = (0..60)
        .map(|i| {
            let name = format!("crate-{i}.crate");
            let uri = upstream.url(&format!("/src/{name}"));
            Dist::new(&name, &content(i, 3000)).uri(&uri)
        })
        .collect();
    for dist in &dists {
        upstream.on(&format!("/src/{}", dist.name)).serve(&dist.content).times(1);
    }
    let mirrors: Vec<Mirror> = (0..4).map(|_| Mirror::start()).collect();
    for mirror in &mirrors {
        mirror.on(&layout_path()).serve(Layout::FilenameHash.conf()).always();
        mirror.on("*").status(404).always();
    }
    let asked = || -> usize {
        let asked =
            |mirror: &Mirror| mirror.requests().iter().filter(|r| !r.path().ends_with("layout.conf")).count();
        mirrors.iter().map(asked).sum()
    };
    // Mirrors on the local network would be asked for each file.
    let lab = lab().make_conf("RACEFETCH_TIERS=\"127.0.0.1=1\"");
    let lab = lab.mirrors(&mirrors.iter().map(base).collect::<Vec<_>>());
    let lab = lab.package("app-misc/foo-1", &dists[..40].iter().collect::<Vec<_>>());
    let lab = lab.package("app-misc/bar-1", &dists[40..].iter().collect::<Vec<_>>());
    let run = lab.emerge(&["--fetchonly", "app-misc/foo"]);
    assert_fetched(&run, &lab, &dists[39]);
    // Twenty, what was under way then over three connections to each, and four for the first file.
    let first = asked();
    assert!(first <= 40, "{first} requests in vain");
    let run = lab.emerge(&["--fetchonly", "app-misc/bar"]);
    assert_fetched(&run, &lab, &dists[59]);
    // One file in sixteen is looked for on the mirrors again.
    let second = asked() - first;
    assert!(second <= 12, "{second} requests in vain");
}

#[test]
fn a_wrong_manifest_is_portages_to_report() {
    let dist = Dist::new("foo-1.tar.xz", &content(1, 300_000)).listed_as(&content(2, 300_000));
    let mirrors = [hosting(Layout::Flat, &dist), hosting(Layout::Flat, &dist)];
    let lab = lab().mirrors(&mirrors.each_ref().map(base)).package("app-misc/foo-1", &[&dist]);
    let run = lab.emerge(&["--fetchonly", "app-misc/foo"]);
    assert!(!run.success(), "{run}");
    assert!(run.output.contains("Fetched file: foo-1.tar.xz VERIFY FAILED!"), "{run}");
    assert!(run.output.contains("Couldn't download 'foo-1.tar.xz'"), "{run}");
    let names = lab.distfiles();
    let kept = names.iter().find(|name| name.starts_with("foo-1.tar.xz._checksum_failure_."));
    let kept = kept.unwrap_or_else(|| panic!("nothing kept in {names:?}\n{run}"));
    assert_eq!(lab.distfile(kept).as_deref(), Some(&dist.content[..]));
    assert_eq!(lab.distfile(&dist.name), None);
}

#[test]
fn a_flat_mirror() {
    mirror_of(Layout::Flat);
}

#[test]
fn a_filename_hash_mirror() {
    mirror_of(Layout::FilenameHash);
}

#[test]
fn a_content_hash_mirror() {
    mirror_of(Layout::ContentHash);
}

#[test]
fn mirrors_of_different_layouts_stand_in_for_each_other() {
    let dist = Dist::new("foo-1.tar.xz", &content(1, 300_000));
    let layouts = [Layout::Flat, Layout::FilenameHash, Layout::ContentHash];
    // 503 says nothing about the file, so the next mirror is asked for it, at its own path.
    let answers = [Rule::status(503), Rule::status(503), Rule::serve(&dist.content)];
    let mirrors = [Mirror::start(), Mirror::start(), Mirror::start()];
    for ((mirror, layout), answer) in mirrors.iter().zip(layouts).zip(answers) {
        mirror.on(&layout_path()).serve(layout.conf()).always();
        mirror.on(&path(layout, &dist)).add(answer);
    }
    fetched_in_one_call(&mirrors.each_ref().map(base), &dist);
}

#[test]
fn userfetch_runs_as_the_user_portage() {
    let Some(portage) = portage_account() else { return };
    let dist = Dist::new("foo-1.tar.xz", &content(1, 300_000));
    let mirror = hosting(Layout::FilenameHash, &dist);
    let lab = lab()
        .mirrors(&[base(&mirror)])
        .make_conf("FEATURES=\"${FEATURES} userfetch\"")
        .package("app-misc/foo-1", &[&dist]);
    assert_fetched(&lab.emerge(&["--fetchonly", "app-misc/foo"]), &lab, &dist);
    let users: Vec<_> = lab.calls().iter().map(|call| call.uid).collect();
    assert_eq!(users, [portage.uid; 2], "the calls for layout.conf and for the distfile");
    for written in [lab.distdir().join(&dist.name), lab.state_file()] {
        let file = fs::metadata(&written).unwrap_or_else(|e| panic!("{}: {e}", written.display()));
        assert_eq!((file.uid(), file.gid()), (portage.uid, portage.gid), "{}", written.display());
    }
}

#[test]
fn two_packages_with_fetchonly() {
    let dists =
        [Dist::new("foo-1.tar.xz", &content(1, 300_000)), Dist::new("bar-1.tar.xz", &content(2, 300_000))];
    let mirror = hosting_all(Layout::FilenameHash, &dists);
    let lab = two_packages(&mirror, &dists);
    let run = lab.emerge(&["--fetchonly", "app-misc/foo", "app-misc/bar"]);
    for dist in &dists {
        assert_fetched(&run, &lab, dist);
    }
}

#[test]
fn parallel_fetch_in_the_background_of_a_build() {
    // With --fetchonly there is nothing to be parallel to: only a real build has Portage fetch in the
    // background, with PORTAGE_PARALLEL_FETCHONLY=1 and its output in a log.
    let dists =
        [Dist::new("foo-1.tar.xz", &content(1, 300_000)), Dist::new("bar-1.tar.xz", &content(2, 300_000))];
    let mirror = hosting_all(Layout::FilenameHash, &dists);
    let lab = two_packages(&mirror, &dists).make_conf("FEATURES=\"${FEATURES} parallel-fetch\"");
    let run = lab.emerge(&["--oneshot", "app-misc/foo", "app-misc/bar"]);
    for dist in &dists {
        assert_fetched(&run, &lab, dist);
        assert_eq!(mirror.requests_for(&path(Layout::FilenameHash, dist)).len(), 1);
    }
    let log = fs::read_to_string(lab.root().join("var/log/emerge-fetch.log")).unwrap_or_default();
    assert!(log.contains(">>> Downloading"), "nothing was fetched in the background:\n{run}");
    assert!(!log.contains('\r') && !log.contains('\x1b'), "a bar in a log: {log:?}");
}

#[test]
fn a_binary_package() {
    let host = Mirror::start();
    let (lab, package) = with_binary_package(lab(), &host);
    host.on("/binpkgs/app-misc/foo/foo-1-1.gpkg.tar").serve(&package);
    let run = lab.emerge(&["--getbinpkgonly", "--oneshot", "app-misc/foo"]);
    assert!(run.success(), "{run}");
    assert_eq!(fs::read(lab.pkgdir().join("app-misc/foo/foo-1-1.gpkg.tar")).unwrap(), package);
    assert!(lab.root().join("var/db/pkg/app-misc/foo-1").is_dir(), "not merged:\n{run}");
    let calls = lab.calls();
    assert_eq!(calls.len(), 1, "{calls:?}");
    assert!(calls[0].args.iter().any(|arg| arg.ends_with(".gpkg.tar.partial")), "{:?}", calls[0]);
    // Portage compares it with the binhost's index right after.
    assert!(run.output.contains(", to be verified by Portage"), "{run}");
    assert!(!run.output.contains("not verified"), "{run}");
}

/// A lab with the package app-misc/foo-1, which this binhost has, too, and the binary package.
pub fn with_binary_package(lab: Lab, host: &Mirror) -> (Lab, Vec<u8>) {
    let lab = lab.package("app-misc/foo-1", &[]);
    let built = lab.emerge(&["--buildpkgonly", "app-misc/foo"]);
    assert!(built.success(), "{built}");
    let package = fs::read(lab.pkgdir().join("app-misc/foo/foo-1-1.gpkg.tar")).unwrap();
    host.on("/binpkgs/Packages.gz").status(404).always();
    host.on("/binpkgs/Packages").serve(fs::read(lab.pkgdir().join("Packages")).unwrap()).always();
    fs::remove_dir_all(lab.pkgdir()).unwrap();
    (lab.make_conf(&format!("PORTAGE_BINHOST=\"{}\"", host.url("/binpkgs"))), package)
}

#[test]
fn emerge_webrsync() {
    // It evals FETCHCOMMAND in bash with FILE, DISTDIR and URI alone, goes on to the next name when that
    // fails, and looks at nothing but the exit status and whether the file is empty.
    let folder = tempfile::tempdir().unwrap();
    put(&folder.path().join("lab/metadata/timestamp.x"), b"1772582400 Wed 04 Mar 2026 00:00:00 UTC\n");
    put(&folder.path().join("lab/profiles/from_snapshot"), b"");
    shell(folder.path(), "tar -cf snapshot.tar lab && md5sum snapshot.tar >snapshot.md5sum");
    let mirror = Mirror::start();
    let snapshot = "/gentoo/snapshots/gentoo-20260304.tar";
    mirror.on(&format!("{snapshot}.xz.md5sum")).status(404);
    mirror
        .on(&format!("{snapshot}.bz2.md5sum"))
        .serve(fs::read(folder.path().join("snapshot.md5sum")).unwrap());
    mirror.on(&format!("{snapshot}.bz2.gpgsig")).serve("not looked at");
    mirror.on(&format!("{snapshot}.bz2")).serve(fs::read(folder.path().join("snapshot.tar")).unwrap());
    let lab = lab().mirrors(&[base(&mirror)]);
    // The last step wants rsync(1), or a tarsync(1) in its place: what it is given is what counts here.
    lab.install(
        "tarsync",
        "#!/bin/sh\nshift $(($# - 2))\nexec tar --strip-components=1 -C \"$2\" -xf \"$1\"\n",
    );

    let state = lab.state_file();
    let env = [("RACEFETCH_STATE", state.as_path())];
    let run = lab.run("emerge-webrsync", &["--no-pgp-verify", "--revert=20260304"], &env);
    assert!(run.success(), "{run}");
    assert!(lab.root().join("var/db/repos/gentoo/profiles/from_snapshot").exists(), "{run}");

    let missing = Mirror::start();
    missing.on("*").status(404).times(4); // .tar.xz and .tar.bz2, of the repository's name and of "portage"
    let lab = lab.mirrors(&[base(&missing)]);
    let run = lab.run("emerge-webrsync", &["--no-pgp-verify", "--revert=20260305"], &env);
    assert!(!run.success(), "{run}");
    assert!(run.output.contains("20260305 snapshot was not found"), "{run}");
}

#[test]
fn restrict_fetch_makes_no_call() {
    let mirror = Mirror::start();
    let dist = Dist::new("foo-1.tar.xz", &content(1, 5000)).uri(&mirror.url("/src/foo-1.tar.xz"));
    let lab = lab().mirrors(&[base(&mirror)]).restricted_package("app-misc/foo-1", "fetch", &[&dist]);
    let run = lab.emerge(&["--fetchonly", "app-misc/foo"]);
    assert!(!run.success(), "{run}");
    assert!(run.output.contains("fetch restriction"), "{run}");
    assert_eq!(lab.calls(), []);
}

#[test]
fn restrict_mirror_leaves_the_mirrors_alone() {
    let upstream = Mirror::start();
    let dist = Dist::new("foo-1.tar.xz", &content(1, 300_000)).uri(&upstream.url("/src/foo-1.tar.xz"));
    upstream.on("/src/foo-1.tar.xz").serve(&dist.content);
    let mirror = Mirror::start();
    let lab = lab().mirrors(&[base(&mirror)]).restricted_package("app-misc/foo-1", "mirror", &[&dist]);
    assert_fetched(&lab.emerge(&["--fetchonly", "app-misc/foo"]), &lab, &dist);
}

#[test]
fn the_snippet_may_be_sourced_before_the_mirrors_are_set() {
    // make.conf is expanded from top to bottom, so the snippet then passes on what GENTOO_MIRRORS was before:
    // Portage's own default. The mirrors that the user set are asked all the same.
    let dist = Dist::new("foo-1.tar.xz", &content(1, 300_000));
    let first = Mirror::start();
    first.on(&layout_path()).serve(Layout::Flat.conf()).always();
    first.on("*").status(503).at_most(1);
    let second = hosting(Layout::FilenameHash, &dist);
    let lab = lab()
        .make_conf(&format!("GENTOO_MIRRORS=\"{} {}\"", base(&first), base(&second)))
        .package("app-misc/foo-1", &[&dist]);
    assert_fetched(&lab.emerge(&["--fetchonly", "app-misc/foo"]), &lab, &dist);
    assert_eq!(downloads(&lab).len(), 1, "{:?}", lab.calls());
}

#[test]
fn ftp_keeps_portages_own_command() {
    let lab = lab();
    let snippet = fs::read_to_string(lab.snippet()).unwrap();
    for own in portages_own_commands(&lab) {
        let for_ftp = own.replacen('=', "_FTP=", 1);
        assert!(snippet.lines().any(|line| line == for_ftp), "{own}");
    }
}

#[test]
fn the_ebuilds_are_of_this_version() {
    let release = concat!("portage/racefetch-", env!("CARGO_PKG_VERSION"), ".ebuild");
    let release = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(release)).unwrap();
    assert_eq!(release, include_str!("../portage/racefetch-9999.ebuild"), "one text serves both");
    assert!(release.contains(concat!("HOMEPAGE=\"", env!("CARGO_PKG_HOMEPAGE"), "\"")));
    assert!(release.contains(concat!("RUST_MIN_VER=\"", env!("CARGO_PKG_RUST_VERSION"), ".0\"")));
    // Every crate that is built for Linux is there in the version of Cargo.lock.
    let metadata = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--edges",
            "normal,build",
            "--prefix",
            "none",
            "--target",
            "x86_64-unknown-linux-gnu",
            "--locked",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let crates = String::from_utf8(metadata.stdout).unwrap();
    assert!(crates.lines().count() > 50, "{}", String::from_utf8_lossy(&metadata.stderr));
    for line in crates.lines().skip(1) {
        let mut words = line.split(' ');
        let (name, version) = (words.next().unwrap(), words.next().unwrap().trim_start_matches('v'));
        assert!(
            release.contains(&format!("\n\t{name}@{version}\n")),
            "CRATES lacks {name}@{version}: pycargoebuild"
        );
    }
}

#[test]
fn the_ebuild_installs_what_users_need() {
    let Some(portage) = portage_account() else { return };
    let lab = lab()
        .ebuild("net-misc/racefetch-9999", include_str!("../portage/racefetch-9999.ebuild"), &[])
        .make_conf("ACCEPT_KEYWORDS=\"**\"")
        .make_conf(concat!("LAB_SOURCES=\"", env!("CARGO_MANIFEST_DIR"), "\""));
    for (name, text) in [
        ("cargo", include_str!("support/lab/eclass/cargo.eclass")),
        ("git-r3", include_str!("support/lab/eclass/git-r3.eclass")),
        ("shell-completion", include_str!("support/lab/eclass/shell-completion.eclass")),
        ("systemd", include_str!("support/lab/eclass/systemd.eclass")),
    ] {
        put(&lab.repository().join(format!("eclass/{name}.eclass")), text.as_bytes());
    }
    let run = lab.emerge(&["--oneshot", "--nodeps", "net-misc/racefetch"]);
    assert!(run.success(), "{run}");
    let contents = lab.root().join("var/db/pkg/net-misc/racefetch-9999/CONTENTS");
    let contents = fs::read_to_string(&contents).unwrap();
    for installed in [
        "usr/bin/racefetch",
        "usr/share/racefetch/make.conf",
        "usr/share/racefetch/mirror/bin/racefetch-mirror-setup",
        "usr/share/racefetch/ansible/galaxy.yml",
        "usr/share/bash-completion/completions/racefetch",
        "usr/share/zsh/site-functions/_racefetch",
        "usr/share/fish/vendor_completions.d/racefetch.fish",
        "usr/lib/systemd/system/racefetch-mirror.service",
        "usr/lib/systemd/system/racefetch-metrics.timer",
        "usr/share/racefetch/monitoring/prometheus/rules/racefetch.yml",
        "etc/init.d/racefetch-mirror",
    ] {
        let path = lab.root().join(installed);
        assert!(contents.contains(&format!("obj {} ", path.display())), "{path:?}: {contents}\n{run}");
    }
    // Compressed as make.conf says.
    for page in ["man1/racefetch.1", "man1/racefetch-rank.1", "man7/racefetch-mirror.7"] {
        assert!(contents.contains(&format!("usr/share/man/{page}")), "{page}: {contents}");
    }
    let help =
        Command::new(lab.root().join("usr/bin/racefetch-mirror-setup")).arg("--help").output().unwrap();
    assert!(help.status.success(), "it finds what it needs: {help:?}");
    let state = fs::metadata(lab.root().join("var/lib/racefetch")).unwrap();
    assert_eq!((state.uid(), state.gid(), state.mode() & 0o7777), (0, portage.gid, 0o2775), "{run}");
}

pub fn lab() -> Lab {
    Lab::new(env!("CARGO_BIN_EXE_racefetch")).unwrap_or_else(|e| panic!("{e}"))
}

/// A mirror as `GENTOO_MIRRORS` names it.
pub fn base(mirror: &Mirror) -> String {
    mirror.url("/gentoo")
}

pub fn layout_path() -> String {
    "/gentoo/distfiles/layout.conf".to_owned()
}

/// Where a mirror of that layout has the distfile.
pub fn path(layout: Layout, dist: &Dist) -> String {
    format!("/gentoo/distfiles/{}", layout.path(dist))
}

/// A mirror that has the distfile.
fn hosting(layout: Layout, dist: &Dist) -> Mirror {
    hosting_all(layout, std::slice::from_ref(dist))
}

fn hosting_all(layout: Layout, dists: &[Dist]) -> Mirror {
    let mirror = Mirror::start();
    mirror.on(&layout_path()).serve(layout.conf()).always();
    for dist in dists {
        mirror.on(&path(layout, dist)).serve(&dist.content).always();
    }
    mirror
}

/// The lines of make.globals that have Portage fetch with wget.
pub fn portages_own_commands(lab: &Lab) -> [String; 2] {
    let globals = fs::read_to_string(lab.root().join("share/portage/config/make.globals")).unwrap();
    ["FETCHCOMMAND=", "RESUMECOMMAND="].map(|command| {
        let line = globals.lines().find(|line| line.starts_with(command));
        line.unwrap_or_else(|| panic!("no {command} in make.globals")).to_owned()
    })
}

fn two_packages(mirror: &Mirror, dists: &[Dist; 2]) -> Lab {
    lab()
        .mirrors(&[base(mirror)])
        .package("app-misc/foo-1", &[&dists[0]])
        .package("app-misc/bar-1", &[&dists[1]])
}

/// The calls for distfiles, those for `layout.conf` left out.
pub fn downloads(lab: &Lab) -> Vec<Call> {
    lab.calls().into_iter().filter(|call| !call.is_layout()).collect()
}

/// The distfile lies verified in DISTDIR, and nothing of its download is left beside it.
pub fn assert_fetched(run: &Emerged, lab: &Lab, dist: &Dist) {
    assert!(run.success(), "{run}");
    assert!(lab.distfile(&dist.name).is_some_and(|bytes| bytes == dist.content), "wrong content\n{run}");
    let left: Vec<_> = lab
        .distfiles()
        .into_iter()
        .filter(|name| name.starts_with(&dist.name) && *name != dist.name)
        .collect();
    assert!(left.is_empty(), "left behind: {left:?}\n{run}");
}

/// The program finds the file on the later mirrors by itself: Portage calls it once.
fn fetched_in_one_call(mirrors: &[String], dist: &Dist) {
    let lab = lab().mirrors(mirrors).package("app-misc/foo-1", &[dist]);
    let run = lab.emerge(&["--fetchonly", "app-misc/foo"]);
    assert_fetched(&run, &lab, dist);
    assert!(!run.output.contains("VERIFY FAILED"), "{run}");
    assert_eq!(downloads(&lab).len(), 1, "{:#?}\n{run}", lab.calls());
}

/// The first mirror tells its layout and then answers with this, and the second one is good.
fn first_mirror_says(answer: &Rule, dist: &Dist) {
    let first = Mirror::start();
    first.on(&layout_path()).serve(Layout::FilenameHash.conf()).always();
    first.on(&path(Layout::FilenameHash, dist)).add(answer.clone());
    let second = hosting(Layout::FilenameHash, dist);
    fetched_in_one_call(&[base(&first), base(&second)], dist);
}

fn mirror_of(layout: Layout) {
    let dist = Dist::new("foo-1.tar.xz", &content(1, 300_000));
    let mirror = hosting(layout, &dist);
    fetched_in_one_call(&[base(&mirror)], &dist);
    assert_eq!(mirror.requests_for(&path(layout, &dist)).len(), 1);
}

/// The mirror falls silent in the middle, `emerge` is ended there, and called again.
fn resumed_after(end: impl Fn(&Running)) {
    let dist = Dist::new("foo-1.tar.xz", &content(1, 1_000_000));
    let mirror = Mirror::start();
    mirror.on(&layout_path()).serve(Layout::Flat.conf()).always();
    mirror.on(&path(Layout::Flat, &dist)).serve(&dist.content).stall_after(600_000);
    mirror.on(&path(Layout::Flat, &dist)).serve(&dist.content);
    let lab = lab().mirrors(&[base(&mirror)]).package("app-misc/foo-1", &[&dist]);
    let partial = lab.partial(&dist.name);
    let size = || fs::metadata(&partial).map_or(0, |file| file.len());

    let mut emerge = lab.start_emerge(&["--fetchonly", "app-misc/foo"]);
    emerge.wait_until("the partial file is worth a resume", || size() >= RESUME_MIN);
    end(&emerge);
    let ended = emerge.finish();
    assert!(!ended.success(), "{ended}");
    let had = size();
    assert!((RESUME_MIN..=600_000).contains(&had), "{had} bytes\n{ended}");
    assert!(dist.content.starts_with(&fs::read(&partial).unwrap()), "FILE is not a prefix");

    let run = lab.emerge(&["--fetchonly", "app-misc/foo"]);
    assert_fetched(&run, &lab, &dist);
    assert!(run.output.contains(">>> Resuming download"), "{run}");
    assert!(downloads(&lab).last().is_some_and(Call::is_resume), "{:?}", lab.calls());
    let requests = mirror.requests_for(&path(Layout::Flat, &dist));
    assert_eq!(requests.len(), 2, "{requests:#?}");
    assert_eq!(requests[1].first_pos(), had);
}

fn put(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn shell(folder: &Path, script: &str) {
    let run = Command::new("sh").args(["-ec", script]).current_dir(folder).output().unwrap();
    assert!(run.status.success(), "{script}: {}", String::from_utf8_lossy(&run.stderr));
}

/// The account `portage`, where this process may act for it. Elsewhere the reason is printed, and not with
/// `eprintln!`: of a test that passes nobody would see it.
fn portage_account() -> Option<Account> {
    let account = if rustix::process::geteuid().is_root() {
        account::ensure()
    } else {
        Err("only root can give files and processes to another user".to_owned())
    };
    account.map_err(|reason| writeln!(io::stderr(), "skipped: {reason}")).ok()
}
