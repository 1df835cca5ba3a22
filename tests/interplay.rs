//! The program among others, under an unmodified Portage: several emerges at once, builds that fetch in the background,
//! overlays, USE flags, users and groups, ends in the middle, little room.

use std::fmt::Display;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, fcntl_lock};
use rustix::process::Signal;

use super::real_portage::{RESUME_MIN, base, downloads, lab, layout_path, path};
use crate::support::content::content;
use crate::support::lab::account::{self, Account};
use crate::support::lab::{Dist, Emerged, Lab, Layout, Running};
use crate::support::mirror::{Mirror, Rule};

const LAYOUT: Layout = Layout::FilenameHash;
const FETCH_FOO: [&str; 2] = ["--fetchonly", "app-misc/foo"];
/// Of a file that takes its time. It is no file's whole time: even a busy machine keeps up with it.
const SIZE: usize = 100_000;
/// Bytes a second of one connection, so that such a file takes a third of a second.
const RATE: u64 = 300_000;

#[test]
fn two_emerges_that_fetch_the_same() {
    let mut dists = dists("foo", 24, SIZE);
    // Two seconds, in which the other one comes to the same file.
    dists[0] = Dist::new("foo-0.tar", &content(1, 6 * SIZE));
    let mirror = slow(&dists);
    let lab = fetching(&mirror, &dists);
    let both = [lab.start_emerge(&FETCH_FOO), lab.start_emerge(&FETCH_FOO)];
    let [first, second] = both.map(Running::finish);
    // What the other one is at, Portage leaves to it: with --fetchonly that is success.
    assert!(first.success() && second.success(), "{first}\n{second}");
    let busy = |run: &Emerged| run.output.contains("is already locked by another fetcher. Continuing...");
    assert!(busy(&first) || busy(&second), "they did not meet:\n{first}\n{second}");
    assert_all_once(&lab, &mirror, &dists, &format!("{first}\n{second}"));
}

#[test]
fn a_build_while_another_emerge_fetches_the_same() {
    let dists = dists("foo", 18, SIZE);
    let mirror = slow(&dists);
    let lab = fetching(&mirror, &dists);
    let mut fetch = lab.start_emerge(&FETCH_FOO);
    fetch.wait_until("the first file is asked for", || {
        !mirror.requests_for(&path(LAYOUT, &dists[0])).is_empty()
    });
    // A build waits for each lock, so that it has seen every file verified when it ends well.
    let build = lab.emerge(&["--oneshot", "app-misc/foo"]);
    let fetch = fetch.finish();
    assert!(build.success() && fetch.success(), "{build}\n{fetch}");
    assert!(is_merged(&lab, "foo"), "{build}");
    assert_all_once(&lab, &mirror, &dists, &format!("{build}\n{fetch}"));
}

#[test]
fn a_mirror_that_is_alone_may_take_its_time() {
    // Two siblings that take four seconds each, and one that is there at once: the connection that is free then must not
    // have the others given up in favour of upstream, which refuses connections.
    let dists: Vec<Dist> = [5000, 5000, 4 * SIZE, 4 * SIZE]
        .into_iter()
        .enumerate()
        .map(|(i, size)| Dist::new(&format!("foo-{i}.tar"), &content(i as u64, size)))
        .collect();
    let mirror = Mirror::start();
    mirror.on(&layout_path()).serve(LAYOUT.conf()).always();
    for dist in &dists {
        mirror.on(&path(LAYOUT, dist)).add(Rule::serve(&dist.content).rate(SIZE as u64)).always();
    }
    let lab = fetching(&mirror, &dists);
    let run = lab.emerge(&FETCH_FOO);
    assert!(run.success(), "{run}");
    assert_eq!(downloads(&lab).len(), 1, "{:#?}\n{run}", lab.calls());
    assert_there(&lab, &dists, &run);
    assert_nothing_else(&lab, &dists, &[""], &run);
    let (sent, wanted) = (mirror.body_bytes_sent(), 8 * SIZE + 10_000);
    assert!(sent <= (wanted + SIZE / 2) as u64, "{sent} bytes for {wanted}: what came is kept\n{run}");
}

#[test]
fn three_builds_at_once_with_parallel_fetch() {
    let packages = ["foo", "bar", "baz"].map(|name| (name, dists(name, 8, SIZE)));
    let all: Vec<Dist> = packages.iter().flat_map(|(_, dists)| dists.clone()).collect();
    let mirror = slow(&all);
    let mut lab = lab().mirrors(&[base(&mirror)]).make_conf("FEATURES=\"${FEATURES} parallel-fetch\"");
    for (name, dists) in &packages {
        lab = lab.package(&format!("app-misc/{name}-1"), &refs(dists));
    }
    let run = lab.emerge(&["--oneshot", "--jobs", "3", "app-misc/foo", "app-misc/bar", "app-misc/baz"]);
    assert!(run.success(), "{run}");
    assert!(packages.iter().all(|(name, _)| is_merged(&lab, name)), "{run}");
    assert_all_once(&lab, &mirror, &all, &run.to_string());
    let calls = downloads(&lab);
    assert_eq!(calls.len(), packages.len(), "one for each package: {calls:#?}\n{run}");
    let log = fs::read_to_string(lab.root().join("var/log/emerge-fetch.log")).unwrap_or_default();
    assert!(log.contains(">>> Downloading"), "nothing was fetched in the background:\n{run}");
    assert!(log.contains("7 more of this package: 683.6 KiB in "), "{log}");
    assert!(!log.contains(|c: char| c.is_control() && c != '\n'), "a bar in a log: {log:?}");
}

#[test]
fn prefetch_while_emerge_fetches_the_same() {
    let dists = dists("foo", 30, SIZE);
    let mirror = slow(&dists);
    let lab = fetching(&mirror, &dists);
    let mut emerge = lab.start_emerge(&FETCH_FOO);
    emerge.wait_until("the first file is asked for", || {
        !mirror.requests_for(&path(LAYOUT, &dists[0])).is_empty()
    });
    let prefetch = lab.racefetch(&["prefetch", "app-misc/foo"]);
    let emerge = emerge.finish();
    assert!(emerge.success(), "{emerge}");
    assert!(prefetch.success(), "it waits for what emerge is at: {prefetch}");
    assert_all_once(&lab, &mirror, &dists, &format!("{prefetch}\n{emerge}"));
}

#[test]
fn without_distlocks_nobodys_lock_counts() {
    let dists = dists("foo", 4, 5000);
    let mirror = hosting(&dists);
    let lab = fetching(&mirror, &dists).make_conf("FEATURES=\"${FEATURES} -distlocks\"");
    let lock = lab.distdir().join(format!(".{}.portage_lockfile", dists[2].name));
    let file = fs::File::create(&lock).unwrap();
    fcntl_lock(&file, FlockOperation::LockExclusive).unwrap();
    let run = lab.emerge(&FETCH_FOO);
    assert!(run.success(), "{run}");
    assert_all_once(&lab, &mirror, &dists, &run.to_string());
    assert_eq!(downloads(&lab).len(), 1, "{:#?}\n{run}", lab.calls());
    let locks = fs::read_dir(lab.distdir()).unwrap().map(|entry| entry.unwrap().path());
    let locks: Vec<_> = locks.filter(|path| path.to_string_lossy().contains("portage_lockfile")).collect();
    assert_eq!(locks, [lock], "{run}");
}

#[test]
fn only_what_the_use_flags_want() {
    let dists = dists("foo", 6, 5000);
    let (usual, extra) = dists.split_at(3);
    let upstream = Mirror::start(); // fails the test when it is asked for anything
    let uris = |dists: &[Dist]| -> String {
        dists.iter().map(|dist| upstream.url(&format!("/{} ", dist.name))).collect()
    };
    let text = ebuild(&format!("{} extra? ( {} )", uris(usual), uris(extra)));
    let mirror = hosting(usual); // fails the test when it is asked for others
    let lab = lab().mirrors(&[base(&mirror)]).ebuild("app-misc/foo-1", &text, &refs(&dists));
    let run = lab.emerge(&FETCH_FOO);
    assert!(run.success(), "{run}");
    assert_all_once(&lab, &mirror, usual, &run.to_string());
    let run = lab.racefetch(&["prefetch", "app-misc/foo"]);
    assert!(run.output.contains("\n3 distfiles (14.6 KiB): all there"), "{run}");

    for dist in extra {
        mirror.on(&path(LAYOUT, dist)).serve(&dist.content).times(1);
    }
    let lab = lab.make_conf("USE=\"extra\"");
    let run = lab.emerge(&FETCH_FOO);
    assert!(run.success(), "{run}");
    assert_all_once(&lab, &mirror, &dists, &run.to_string());
    assert_eq!(downloads(&lab).len(), 2, "one each: {:#?}\n{run}", lab.calls());
}

#[test]
fn with_restrict_mirror_siblings_come_from_upstream_alone() {
    let upstream = Mirror::start();
    let dists = at(&upstream, dists("foo", 6, 5000));
    let mirror = Mirror::start(); // fails the test when it is asked for anything
    let lab = lab().mirrors(&[base(&mirror)]).restricted_package("app-misc/foo-1", "mirror", &refs(&dists));
    let run = lab.emerge(&FETCH_FOO);
    assert!(run.success(), "{run}");
    assert_there(&lab, &dists, &run);
    assert_eq!(downloads(&lab).len(), 1, "{:#?}\n{run}", lab.calls());
    // And for prefetch, which fetches all of them at once.
    for dist in &dists {
        fs::remove_file(lab.distdir().join(&dist.name)).unwrap();
        upstream.on(&format!("/{}", dist.name)).serve(&dist.content).times(1);
    }
    let run = lab.racefetch(&["prefetch", "app-misc/foo"]);
    assert!(run.success(), "{run}");
    assert_there(&lab, &dists, &run);
}

#[test]
fn the_packages_of_an_overlay() {
    let upstream = Mirror::start();
    let foo = dists("foo", 6, 3000);
    let [bar, baz, qux] = ["bar", "baz", "qux"].map(|name| at(&upstream, dists(name, 24, 3000)));
    // One mirror alone might be out of date.
    let mirrors = [hosting(&foo), Mirror::start()];
    mirrors[1].on(&layout_path()).serve(LAYOUT.conf()).always();
    for mirror in &mirrors {
        mirror.on("*").status(404).always();
    }
    let in_vain = || -> usize {
        let is_in_vain = |name: &str| ["/bar-", "/baz-", "/qux-"].iter().any(|dist| name.contains(dist));
        let of = |mirror: &Mirror| mirror.requests().iter().filter(|r| is_in_vain(r.path())).count();
        mirrors.iter().map(of).sum()
    };
    let lab = lab()
        .mirrors(&mirrors.each_ref().map(base))
        // Mirrors on the local network would be asked for each file.
        .make_conf("RACEFETCH_TIERS=\"127.0.0.1=1\"")
        .package("app-misc/foo-1", &refs(&foo))
        .overlay("guru")
        .package("app-misc/bar-1", &refs(&bar))
        .package("app-misc/baz-1", &refs(&baz))
        .package("app-misc/qux-1", &refs(&qux));

    let run = lab.emerge(&["--fetchonly", "app-misc/bar::guru"]);
    assert!(run.success(), "{run}");
    assert_there(&lab, &bar, &run);
    let first = in_vain();
    assert!(
        first <= 40,
        "{first} requests in vain: both mirrors until ten are missing, and what was under way then"
    );

    // What was learned of the overlay: one file in sixteen is looked for on the mirrors again.
    let run = lab.emerge(&["--fetchonly", "app-misc/baz"]);
    assert!(run.success(), "{run}");
    assert_there(&lab, &baz, &run);
    assert_eq!(downloads(&lab).len(), 2, "{:#?}\n{run}", lab.calls());
    let run = lab.racefetch(&["prefetch", "app-misc/qux"]);
    assert!(run.success(), "{run}");
    assert_there(&lab, &qux, &run);
    let second = in_vain() - first;
    assert!(second <= 14, "{second} requests in vain");

    // And nothing of Gentoo's own: upstream would refuse the connection.
    let run = lab.emerge(&FETCH_FOO);
    assert!(run.success(), "{run}");
    assert_there(&lab, &foo, &run);
    assert_eq!(downloads(&lab).len(), 3, "{:#?}\n{run}", lab.calls());
}

#[test]
fn whose_the_files_are() {
    let (foo, bar) = (dists("foo", 5, 5000), dists("bar", 5, 5000));
    let mirror = hosting(&foo);
    host(&mirror, &bar);
    let lab = lab()
        .mirrors(&[base(&mirror)])
        .make_conf("FEATURES=\"${FEATURES} userfetch\"")
        .package("app-misc/foo-1", &refs(&foo))
        .package("app-misc/bar-1", &refs(&bar));
    // Without the bit that has the system give files the folder's group.
    fs::set_permissions(lab.distdir(), Permissions::from_mode(0o775)).unwrap();
    let ourselves = rustix::process::geteuid();
    // For anybody but root there is no userfetch: everything is his own, and the group that of DISTDIR.
    let Account { uid, gid } = if ourselves.is_root() {
        account::ensure().unwrap_or_else(|e| panic!("{e}"))
    } else {
        Account { uid: ourselves.as_raw(), gid: fs::metadata(lab.distdir()).unwrap().gid() }
    };
    let of = |dist: &Dist| {
        let file = fs::metadata(lab.distdir().join(&dist.name)).unwrap();
        (file.uid(), file.gid(), file.mode() & 0o7777)
    };

    let run = lab.racefetch(&["prefetch", "app-misc/bar"]);
    assert!(run.success(), "{run}");
    assert_there(&lab, &bar, &run);
    for dist in &bar {
        assert_eq!(of(dist), (ourselves.as_raw(), gid, 0o664), "{}", dist.name);
    }

    let run = lab.emerge(&FETCH_FOO);
    assert!(run.success(), "{run}");
    assert_there(&lab, &foo, &run);
    let calls = downloads(&lab);
    assert!(calls.len() == 1 && calls[0].uid == uid, "{calls:#?}\n{run}");
    for dist in &foo {
        assert_eq!(of(dist), (uid, gid, 0o664), "{}\n{run}", dist.name);
    }
}

#[test]
fn killed_while_it_looks_ahead() {
    // emerge alone: the process that it has forked to fetch, and that has called the program, lives on.
    ended_while_it_looks_ahead(|emerge| emerge.signal(Signal::KILL));
}

#[test]
fn cancelled_while_it_looks_ahead() {
    ended_while_it_looks_ahead(|emerge| emerge.signal(Signal::TERM));
}

#[test]
fn interrupted_while_it_looks_ahead() {
    // Ctrl-C reaches the whole process group.
    ended_while_it_looks_ahead(|emerge| emerge.signal_group(Signal::INT));
}

/// emerge is ended when one sibling is there, and others have begun to come.
fn ended_while_it_looks_ahead(end: impl Fn(&Running)) {
    const LARGE: usize = 3_000_000;
    let mut dists = dists("foo", 7, LARGE);
    dists[0] = Dist::new("foo-0.tar", &content(70, 20_000));
    dists[6] = Dist::new("foo-6.tar", &content(76, 50_000));
    let mirror = Mirror::start();
    mirror.on(&layout_path()).serve(LAYOUT.conf()).always();
    for dist in &dists {
        mirror.on(&path(LAYOUT, dist)).serve(&dist.content).always();
    }
    mirror.limit_rate(900_000); // not one of the large ones would be there before the deadline below
    let lab = fetching(&mirror, &dists);
    // Portage renames what is smaller when its turn comes.
    let partial = lab.partial(&dists[1].name);
    let has_begun = || fs::metadata(&partial).is_ok_and(|partial| partial.len() >= RESUME_MIN);

    let mut emerge = lab.start_emerge(&FETCH_FOO);
    emerge.wait_until("look-ahead is under way", has_begun);
    end(&emerge);
    let emerge = emerge.finish();
    assert!(!emerge.success(), "{emerge}");
    wait_until("the program has ended", Duration::from_secs(5), || !lab.is_fetching());

    // A file has its name when it is verified, and what has another one is the beginning of a file.
    let there = |dist: &&Dist| lab.distfile(&dist.name).is_some();
    assert!(dists[1..6].iter().all(|dist| !there(&dist)), "{emerge}");
    let mut missing = 0;
    for dist in &dists {
        let partial = fs::read(lab.partial(&dist.name)).unwrap_or_default();
        assert!(dist.content.starts_with(&partial), "{} is no prefix\n{emerge}", dist.name);
        missing += if there(&dist) { 0 } else { dist.content.len() - partial.len() };
    }
    assert_there(&lab, dists.iter().filter(there), &emerge);
    assert_nothing_else(&lab, &dists, &["", ".__download__"], &emerge);

    let before = mirror.body_bytes_sent();
    mirror.limit_rate(100_000_000);
    let again = lab.emerge(&FETCH_FOO);
    assert!(again.success(), "{again}");
    assert_there(&lab, &dists, &again);
    assert_nothing_else(&lab, &dists, &[""], &again);
    let sent = mirror.body_bytes_sent() - before;
    // A layout, and what was about to be sent over connections that were cut.
    assert!(sent <= missing as u64 + (4 << 16), "{sent} bytes for {missing}\n{again}");
}

#[test]
fn a_sibling_for_which_there_is_no_room() {
    let dists = dists("foo", 3, 5000);
    let mirror = hosting(&dists); // fails the test when it is asked for the large one
    let upstream = Mirror::start();
    let names = dists.iter().map(|dist| dist.name.as_str()).chain(["huge.tar"]);
    let uris: String = names.map(|name| upstream.url(&format!("/{name} "))).collect();
    let lab = lab().mirrors(&[base(&mirror)]).ebuild("app-misc/foo-1", &ebuild(&uris), &refs(&dists));
    // A petabyte.
    let manifest = lab.repository().join("app-misc/foo/Manifest");
    let digest = "0123456789abcdef".repeat(8);
    let text = fs::read_to_string(&manifest).unwrap();
    let line = format!("DIST huge.tar 1000000000000000 BLAKE2B {digest} SHA512 {digest}\n");
    fs::write(&manifest, text + &line).unwrap();

    let prefetch = lab.racefetch(&["prefetch", "app-misc/foo"]);
    assert_eq!(prefetch.status.code(), Some(23), "{prefetch}");
    assert!(prefetch.output.contains(" has room for ") && lab.distfiles().is_empty(), "{prefetch}");

    // What there is room for comes all the same, and Portage says why the rest does not.
    let run = lab.emerge(&FETCH_FOO);
    assert!(!run.success(), "{run}");
    assert!(run.output.contains("!!! Insufficient space to store huge.tar"), "{run}");
    assert_all_once(&lab, &mirror, &dists, &run.to_string());
    assert_eq!(downloads(&lab).len(), 1, "{:#?}\n{run}", lab.calls());
}

#[test]
fn a_package_of_ten_thousand_distfiles() {
    // Four times as many take four times as long, not sixteen times. The quickest of several calls, because a busy
    // machine may be at something else meanwhile.
    let [few, many] = [2500, 10_000].map(Many::new);
    let times: Vec<_> = (0..4).map(|_| (few.call(), many.call())).collect();
    let few = times.iter().map(|(few, _)| *few).min().unwrap();
    let many = times.iter().map(|(_, many)| *many).min().unwrap();
    assert!(many < few * 9, "{many:?} for {few:?}");
}

/// A package of many distfiles, three of which are missing.
struct Many {
    lab: Lab,
    mirror: Mirror,
    dists: Vec<Dist>,
    _upstream: Mirror,
}

impl Many {
    fn new(count: usize) -> Self {
        let dists: Vec<Dist> =
            (0..count).map(|i| Dist::new(&format!("c{i:04}.xz"), &content(i as u64, 20))).collect();
        let upstream = Mirror::start();
        let mirror = Mirror::start();
        mirror.on(&layout_path()).serve(LAYOUT.conf()).always();
        let uris: String = dists.iter().map(|dist| upstream.url(&format!("/{}\n", dist.name))).collect();
        let lab = lab().mirrors(&[base(&mirror)]).ebuild("app-misc/foo-1", &ebuild(&uris), &refs(&dists));
        for dist in &dists {
            fs::write(lab.distdir().join(&dist.name), &dist.content).unwrap();
        }
        // Portage's cache has SRC_URI afterwards.
        let pretend = lab.emerge(&["--pretend", "app-misc/foo"]);
        assert!(pretend.success(), "{pretend}");
        Self { lab, mirror, dists, _upstream: upstream }
    }

    /// As Portage calls the program: it looks at so many files for a while before. Returns how long the call takes.
    fn call(&self) -> Duration {
        let Self { lab, mirror, dists, .. } = self;
        let missing = [&dists[0], &dists[dists.len() / 2], &dists[dists.len() - 1]];
        for dist in missing {
            fs::remove_file(lab.distdir().join(&dist.name)).unwrap();
            mirror.on(&path(LAYOUT, dist)).serve(&dist.content).times(1);
        }
        let all: Vec<&str> = dists.iter().map(|dist| dist.name.as_str()).collect();
        let (all, ebuild) = (all.join(" "), lab.repository().join("app-misc/foo/foo-1.ebuild"));
        let environment = [
            ("A", Path::new(&all)),
            ("EBUILD_PHASE", Path::new("fetch")),
            ("EBUILD", &ebuild),
            ("CATEGORY", Path::new("app-misc")),
            ("PF", Path::new("foo-1")),
            ("PORTAGE_REPO_NAME", Path::new("gentoo")),
            ("RACEFETCH_STATE", &lab.state_file()),
        ];
        let (uri, partial) = (mirror.url(&path(LAYOUT, missing[0])), lab.partial(&missing[0].name));
        let digests = format!("sha512:{}", missing[0].sha512());
        let partial = partial.to_str().unwrap();
        let arguments = ["-f", "-L", "--digests", &digests, "--mirrors", &base(mirror), "-o", partial, &uri];
        let program = lab.root().join("bin/racefetch");
        #[expect(clippy::disallowed_methods, reason = "how long it takes is the question")]
        let began = Instant::now();
        let run = lab.run(program.to_str().unwrap(), &arguments, &environment);
        let time = began.elapsed();
        assert!(run.success(), "{run}");
        fs::rename(partial, lab.distdir().join(&missing[0].name)).unwrap(); // as Portage does
        assert_there(lab, missing, &run);
        assert_eq!(lab.distfiles().len(), dists.len());
        time
    }
}

/// Distfiles of that size.
fn dists(package: &str, count: usize, size: usize) -> Vec<Dist> {
    let seed = |i: usize| package.bytes().fold(i as u64, |seed, byte| seed * 31 + u64::from(byte));
    (0..count).map(|i| Dist::new(&format!("{package}-{i}.tar"), &content(seed(i), size))).collect()
}

/// These distfiles are upstream, and each is asked for once there.
fn at(upstream: &Mirror, dists: Vec<Dist>) -> Vec<Dist> {
    let place = |dist: Dist| {
        let path = format!("/{}", dist.name);
        upstream.on(&path).serve(&dist.content).times(1);
        dist.uri(&upstream.url(&path))
    };
    dists.into_iter().map(place).collect()
}

fn refs(dists: &[Dist]) -> Vec<&Dist> {
    dists.iter().collect()
}

/// A mirror that has these files.
fn hosting(dists: &[Dist]) -> Mirror {
    let mirror = Mirror::start();
    mirror.on(&layout_path()).serve(LAYOUT.conf()).always();
    host(&mirror, dists);
    mirror
}

fn host(mirror: &Mirror, dists: &[Dist]) {
    for dist in dists {
        mirror.on(&path(LAYOUT, dist)).serve(&dist.content).times(1);
    }
}

/// A mirror that takes its time for each of these files.
fn slow(dists: &[Dist]) -> Mirror {
    let mirror = Mirror::start();
    mirror.on(&layout_path()).serve(LAYOUT.conf()).always();
    for dist in dists {
        mirror.on(&path(LAYOUT, dist)).add(Rule::serve(&dist.content).rate(RATE)).always();
    }
    mirror
}

/// The package `app-misc/foo`.
fn fetching(mirror: &Mirror, dists: &[Dist]) -> Lab {
    lab().mirrors(&[base(mirror)]).package("app-misc/foo-1", &refs(dists))
}

/// An ebuild that installs nothing.
fn ebuild(src_uri: &str) -> String {
    format!(
        "EAPI=8\nDESCRIPTION=\"A test\"\nHOMEPAGE=\"https://example.org\"\nSRC_URI=\"{src_uri}\"\nS=\"${{WORKDIR}}\"\n\
         LICENSE=\"MIT\"\nSLOT=\"0\"\nKEYWORDS=\"amd64\"\nIUSE=\"extra\"\n"
    )
}

fn is_merged(lab: &Lab, package: &str) -> bool {
    lab.root().join(format!("var/db/pkg/app-misc/{package}-1")).is_dir()
}

#[track_caller]
pub fn assert_there<'d>(lab: &Lab, dists: impl IntoIterator<Item = &'d Dist>, said: impl Display) {
    for dist in dists {
        assert!(lab.distfile(&dist.name).is_some_and(|bytes| bytes == dist.content), "{}\n{said}", dist.name);
    }
}

/// In DISTDIR is nothing but these, with one of these endings.
#[track_caller]
fn assert_nothing_else(lab: &Lab, dists: &[Dist], endings: &[&str], said: impl Display) {
    let names: Vec<String> =
        dists.iter().flat_map(|dist| endings.iter().map(|ending| dist.name.clone() + ending)).collect();
    let others: Vec<String> = lab.distfiles().into_iter().filter(|name| !names.contains(name)).collect();
    assert!(others.is_empty(), "{others:?}\n{said}");
}

/// All are there, and none was sent twice: a busy machine may have one of them come in two parts.
#[track_caller]
fn assert_all_once(lab: &Lab, mirror: &Mirror, dists: &[Dist], said: &str) {
    assert_there(lab, dists, said);
    assert_nothing_else(lab, dists, &[""], said);
    let sizes = || dists.iter().map(|dist| dist.content.len() as u64);
    let (sent, wanted) = (mirror.body_bytes_sent(), sizes().sum::<u64>());
    let beside = sizes().min().unwrap_or_default() / 2;
    assert!(sent <= wanted + beside, "{sent} bytes for {wanted}: layouts are small\n{said}");
}

#[expect(clippy::disallowed_methods, reason = "what never comes is a failure")]
fn wait_until(what: &str, limit: Duration, condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < limit, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
