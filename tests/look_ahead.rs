//! The rest of a package's distfiles, brought along by the call for one of them, under an unmodified Portage.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::real_portage::{self, base, downloads, layout_path};
use crate::support::content::content;
use crate::support::lab::{Dist, Emerged, Lab, Layout};
use crate::support::mirror::{Mirror, Rule};

/// Longer than it takes to connect.
const SOON: Duration = Duration::from_millis(50);

const LAYOUT: Layout = Layout::FilenameHash;

fn crates(count: usize) -> Vec<Dist> {
    let size = |i: usize| 5_000 + i * 3_001;
    (0..count).map(|i| Dist::new(&format!("crate-{i}.crate"), &content(i as u64, size(i)))).collect()
}

pub fn path(dist: &Dist) -> String {
    real_portage::path(LAYOUT, dist)
}

/// A mirror with its layout and, as rules that may be used once at most, these files.
pub fn hosting<'d>(dists: impl IntoIterator<Item = &'d Dist>) -> Mirror {
    let mirror = Mirror::start();
    mirror.on(&layout_path()).serve(LAYOUT.conf()).always();
    for dist in dists {
        mirror.on(&path(dist)).serve(&dist.content).at_most(1);
    }
    mirror
}

/// A lab whose mirrors these are.
pub fn lab_with(mirrors: &[&Mirror]) -> Lab {
    let bases: Vec<String> = mirrors.iter().map(|mirror| base(mirror)).collect();
    real_portage::lab().mirrors(&bases)
}

fn lab(mirrors: &[&Mirror], dists: &[Dist]) -> Lab {
    lab_with(mirrors).package("app-misc/foo-1", &dists.iter().collect::<Vec<_>>())
}

/// emerge has all files, and nothing else is left in DISTDIR.
fn fetch_all(lab: &Lab, dists: &[Dist]) -> usize {
    let run = lab.emerge(&["--fetchonly", "app-misc/foo"]);
    assert!(run.success(), "{run}");
    for dist in dists {
        assert!(lab.distfile(&dist.name).is_some_and(|bytes| bytes == dist.content), "{}\n{run}", dist.name);
    }
    let others: Vec<String> = lab
        .distfiles()
        .into_iter()
        .filter(|name| name.contains("crate-") && !dists.iter().any(|dist| dist.name == **name))
        .collect();
    assert!(others.is_empty(), "left behind: {others:?}\n{run}");
    downloads(lab).len()
}

#[test]
fn one_call_brings_the_whole_package_and_no_byte_twice() {
    let dists = crates(40);
    let mirrors = [hosting(&dists), hosting(&dists)];
    let lab = lab(&[&mirrors[0], &mirrors[1]], &dists);
    assert_eq!(fetch_all(&lab, &dists), 1, "{:#?}", lab.calls());
    let sent: u64 = mirrors.iter().map(Mirror::body_bytes_sent).sum();
    let wanted: u64 = dists.iter().map(|dist| dist.content.len() as u64).sum();
    assert!(sent <= wanted + 2_000, "{sent} bytes for {wanted}: layouts are small");
    for mirror in &mirrors {
        assert!(mirror.connections() <= 5, "{} connections", mirror.connections());
    }
}

#[test]
fn what_one_mirror_lacks_or_spoils_comes_from_the_other() {
    let dists = crates(12);
    let first = hosting(&dists[6..]);
    for dist in &dists[..3] {
        first.on(&path(dist)).status(404).at_most(1);
    }
    for dist in &dists[3..6] {
        first.on(&path(dist)).serve(&dist.content).corrupted_at(100).at_most(1);
    }
    let second = hosting(&dists);
    let lab = lab(&[&first, &second], &dists);
    assert_eq!(fetch_all(&lab, &dists), 1, "{:#?}", lab.calls());
}

#[test]
fn upstream_is_asked_for_what_the_mirrors_lack() {
    let upstream = Mirror::start();
    let dists: Vec<Dist> = crates(8)
        .into_iter()
        .map(|dist| {
            let uri = upstream.url(&format!("/src/{}", dist.name));
            dist.uri(&uri)
        })
        .collect();
    for dist in &dists[4..] {
        upstream.on(&format!("/src/{}", dist.name)).serve(&dist.content).times(1);
    }
    let mirror = hosting(&dists[..4]);
    for dist in &dists[4..] {
        mirror.on(&path(dist)).status(404).at_most(1);
    }
    let lab = lab(&[&mirror], &dists);
    assert_eq!(fetch_all(&lab, &dists), 1, "{:#?}", lab.calls());
}

#[test]
fn a_host_that_wants_fewer_requests_at_once_gets_them() {
    let upstream = Mirror::start();
    upstream.limit_requests_at_once(1, 429);
    let dists: Vec<Dist> = crates(12)
        .into_iter()
        .map(|dist| {
            let uri = upstream.url(&format!("/src/{}", dist.name));
            dist.uri(&uri)
        })
        .collect();
    for dist in &dists {
        // Slow enough for two connections to meet.
        upstream.on(&format!("/src/{}", dist.name)).serve(&dist.content).delay(SOON).times(1);
    }
    let lab = lab(&[], &dists);
    assert_eq!(fetch_all(&lab, &dists), 1, "{:#?}", lab.calls());
    let requests = upstream.requests().len();
    assert!(
        (dists.len() + 1..=dists.len() + 4).contains(&requests),
        "{requests} requests, some were refused"
    );
}

#[test]
fn a_file_that_another_process_has_locked_is_left_alone() {
    let dists = crates(4);
    let mirror = hosting(&dists);
    let lab = lab(&[&mirror], &dists);
    let lock = lab.distdir().join(format!(".{}.portage_lockfile", dists[2].name));
    std::fs::create_dir_all(lab.distdir()).unwrap();
    let file = std::fs::File::create(&lock).unwrap();
    rustix::fs::fcntl_lock(&file, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let run = lab.emerge(&["--fetchonly", "app-misc/foo"]);
    drop(file);
    // Portage itself does not wait for it either, and says that it is being fetched elsewhere.
    assert!(run.success(), "{run}");
    assert!(lab.distfile(&dists[2].name).is_none(), "{run}");
    assert!([0, 1, 3].iter().all(|i| lab.distfile(&dists[*i].name).is_some()), "{run}");
    assert!(mirror.requests_for(&path(&dists[2])).is_empty());
}

#[test]
fn it_can_be_switched_off() {
    let dists = crates(3);
    let mirror = hosting(&dists);
    let lab = lab(&[&mirror], &dists);
    let conf =
        "FETCHCOMMAND=\"racefetch --no-look-ahead -f -o \\\"\\${DISTDIR}/\\${FILE}\\\" \\\"\\${URI}\\\"\"";
    let lab = lab.make_conf(conf);
    assert_eq!(fetch_all(&lab, &dists), dists.len(), "{:#?}", lab.calls());
}

/// Calls the program for the first of these files as Portage does, with further options. Returns the seconds that it
/// took, too.
#[expect(clippy::disallowed_methods, reason = "how long it takes is the question")]
fn call(lab: &Lab, mirror: &Mirror, dists: &[Dist], options: &[&str]) -> (Emerged, f64) {
    let names: Vec<&str> = dists.iter().map(|dist| dist.name.as_str()).collect();
    let (names, ebuild) = (names.join(" "), lab.repository().join("app-misc/foo/foo-1.ebuild"));
    let environment = [
        ("A", Path::new(&names)),
        ("EBUILD_PHASE", Path::new("fetch")),
        ("EBUILD", &ebuild),
        ("CATEGORY", Path::new("app-misc")),
        ("PF", Path::new("foo-1")),
        ("PORTAGE_REPO_NAME", Path::new("gentoo")),
        ("RACEFETCH_STATE", &lab.state_file()),
    ];
    let (uri, partial) = (mirror.url(&path(&dists[0])), lab.partial(&dists[0].name));
    let digests = format!("sha512:{}", dists[0].sha512());
    let base = base(mirror);
    let mut arguments = vec!["-f", "-L", "--digests", &digests, "--mirrors", &base];
    arguments.extend(options);
    arguments.extend(["-o", partial.to_str().unwrap(), &uri]);
    let began = Instant::now();
    let run = lab.run(lab.root().join("bin/racefetch").to_str().unwrap(), &arguments, &environment);
    (run, began.elapsed().as_secs_f64())
}

/// A mirror that sends the first of these files at once, and of the others a byte now and then.
fn dripping(dists: &[Dist]) -> Mirror {
    let mirror = hosting(&dists[..1]);
    for dist in &dists[1..] {
        mirror.on(&path(dist)).add(Rule::serve(&dist.content).rate(1)).always();
    }
    mirror
}

#[test]
fn a_mirror_that_drips_does_not_hold_emerge() {
    let mut dists = crates(3);
    dists.push(Dist::new("large.tar", &content(9, 9_000_000)));
    // In vain all of them take three times as long.
    for (options, limit) in [(&["-m", "3"][..], 6.0), (&["-y", "3", "-Y", "1000"], 7.0), (&[], 45.0)] {
        let mirror = dripping(&dists);
        let lab = lab(&[&mirror], &dists);
        let (run, seconds) = call(&lab, &mirror, &dists, options);
        assert!(run.success(), "the file that was asked for is there: {run}");
        assert!(seconds < limit, "{seconds} s with {options:?}\n{run}");
        assert!(dists[1..].iter().all(|dist| lab.distfile(&dist.name).is_none()), "{run}");
    }
}

#[test]
fn a_layout_that_drips_does_not_hold_emerge() {
    let dists = crates(12);
    for (options, limit) in [(&["-m", "3"][..], 6.0), (&[], 15.0)] {
        let mirror = Mirror::start();
        mirror.on(&path(&dists[0])).serve(&dists[0].content);
        mirror.on("*").status(404).always(); // the others are not where most mirrors have them
        mirror.on(&layout_path()).add(Rule::serve(LAYOUT.conf()).rate(1)).always();
        let lab = lab(&[&mirror], &dists);
        let (run, seconds) = call(&lab, &mirror, &dists, options);
        assert!(run.success(), "the file that was asked for is there: {run}");
        assert!(seconds < limit, "{seconds} s with {options:?}\n{run}");
    }
}
