//! `racefetch prefetch` beside an unmodified Portage: emerge lists, racefetch fetches, and emerge finds all there.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::interplay::assert_there;
use crate::look_ahead::{hosting, lab_with, path};
use crate::real_portage::{downloads, layout_path, with_binary_package};
use crate::support::content::content;
use crate::support::lab::{Dist, Emerged, Lab, Layout};
use crate::support::mirror::{Mirror, Rule};
use crate::support::ports::Port;

const LAYOUT: Layout = Layout::FilenameHash;

fn dists(package: &str, count: usize) -> Vec<Dist> {
    let dist = |i: usize| {
        Dist::new(&format!("{package}-{i}.tar"), &content(i as u64 + package.len() as u64, 900 + 7001 * i))
    };
    (0..count).map(dist).collect()
}

fn package(lab: Lab, cpv: &str, dists: &[Dist]) -> Lab {
    lab.package(cpv, &dists.iter().collect::<Vec<_>>())
}

#[track_caller]
fn assert_said(run: &Emerged, text: &str) {
    assert!(run.output.lines().any(|line| line.starts_with(text)), "no line begins {text:?}: {run}");
}

/// The output from the first brace on.
fn json(run: &Emerged) -> Value {
    let text = &run.output[run.output.find('{').unwrap_or_else(|| panic!("no JSON: {run}"))..];
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {run}"))
}

#[test]
fn all_is_there_before_emerge_starts() {
    let (foo, bar) = (dists("foo", 20), dists("bar", 12));
    let all = || foo.iter().chain(&bar);
    let mirrors = [hosting(all()), hosting(all())];
    let lab = package(lab_with(&[&mirrors[0], &mirrors[1]]), "app-misc/foo-1", &foo);
    let lab = package(lab, "app-misc/bar-1", &bar);

    let run = lab.racefetch(&["prefetch", "app-misc/foo", "app-misc/bar"]);
    assert!(run.success(), "{run}");
    assert_said(&run, "32 distfiles: 32 fetched and verified (");
    assert_there(&lab, all(), &run);
    assert_eq!(lab.distfiles().len(), all().count(), "nothing else: {:?}", lab.distfiles());
    let sent: u64 = mirrors.iter().map(Mirror::body_bytes_sent).sum();
    let wanted: u64 = all().map(|dist| dist.content.len() as u64).sum();
    assert!(sent <= wanted + 1000, "{sent} bytes for {wanted}: layouts are small");
    for mirror in &mirrors {
        // One for the layout, which emerge asks for while it lists.
        assert!(mirror.connections() <= 5, "{} connections", mirror.connections());
    }

    let emerge = lab.emerge(&["--fetchonly", "app-misc/foo", "app-misc/bar"]);
    assert!(emerge.success(), "{emerge}");
    assert_eq!(downloads(&lab), []);

    let again = lab.racefetch(&["prefetch", "app-misc/foo", "app-misc/bar"]);
    assert!(again.success(), "{again}");
    assert_said(&again, "32 distfiles (");
    assert!(again.output.contains("all there, nothing to fetch"), "{again}");
}

#[test]
fn odd_answers_do_not_decide_over_a_file() {
    let foo = dists("foo", 6);
    let mirrors: Vec<Mirror> = (0..2).map(|_| Mirror::start()).collect();
    for mirror in &mirrors {
        mirror.on(&layout_path()).serve(LAYOUT.conf()).always();
        for (i, dist) in foo.iter().enumerate() {
            let rule = Rule::serve(dist.content.as_slice());
            let rule = match i {
                0 => rule.chunked().field("Content-Type", "text/html"),
                1 => rule.length(&(dist.content.len() + 2).to_string()),
                2 => rule.range_status(403),
                3 => rule.content_range("bytes"),
                _ => rule,
            };
            mirror.on(&path(dist)).add(rule.always());
        }
    }
    let lab = package(lab_with(&[&mirrors[0], &mirrors[1]]), "app-misc/foo-1", &foo);
    for i in [2, 3] {
        let part = lab.distdir().join(format!("{}.__download__", foo[i].name));
        fs::create_dir_all(lab.distdir()).unwrap();
        fs::write(part, &foo[i].content[..3000]).unwrap();
    }
    let run = lab.racefetch(&["prefetch", "app-misc/foo"]);
    assert!(run.success(), "{run}");
    assert_there(&lab, &foo, &run);
    let emerge = lab.emerge(&["--fetchonly", "app-misc/foo"]);
    assert!(emerge.success(), "{emerge}");
    assert_eq!(downloads(&lab), []);
}

#[test]
fn the_list_may_come_from_standard_input() {
    let foo = dists("foo", 3);
    let mirror = hosting(&foo);
    let lab = package(lab_with(&[&mirror]), "app-misc/foo-1", &foo);
    let run = lab.shell("emerge --pretend --fetchonly app-misc/foo 2>&1 | racefetch prefetch -");
    assert!(run.success(), "{run}");
    assert_there(&lab, &foo, &run);
}

#[test]
fn a_list_from_elsewhere_brings_its_mirrors() {
    // GENTOO_MIRRORS here names none of those in the list.
    let foo = dists("foo", 3);
    let here = Mirror::start();
    here.on(&layout_path()).serve(LAYOUT.conf()).always();
    for dist in &foo {
        here.on(&path(dist)).status(404).at_most(1);
    }
    let there = hosting(&foo);
    let lab = package(lab_with(&[&here]), "app-misc/foo-1", &foo);
    let uris: Vec<String> = foo.iter().map(|dist| there.url(&path(dist))).collect();
    fs::write(lab.root().join("list"), format!("\n{} \n", uris.join(" \n\n"))).unwrap();
    let run = lab.shell("racefetch prefetch - <list");
    assert!(run.success(), "{run}");
    assert_there(&lab, &foo, &run);
}

#[test]
fn emerges_own_options_go_to_emerge() {
    let foo = dists("foo", 2);
    let mirror = hosting(&foo);
    let lab = package(lab_with(&[&mirror]), "app-misc/foo-1", &foo);
    let run = lab.racefetch(&["prefetch", "--quiet", "--update", "-D", "app-misc/foo"]);
    assert!(run.success(), "{run}");
    assert_there(&lab, &foo, &run);
    assert!(!run.output.contains("racefetch:") && !run.output.contains("distfiles:"), "{run}");
}

#[test]
fn a_dry_run_fetches_nothing() {
    let foo = dists("foo", 2);
    let mirror = Mirror::start();
    mirror.on(&layout_path()).serve(LAYOUT.conf()).always();
    let lab = package(lab_with(&[&mirror]), "app-misc/foo-1", &foo);
    let run = lab.racefetch(&["prefetch", "--dry-run", "app-misc/foo"]);
    assert!(run.success(), "{run}");
    assert_said(&run, &format!("mirrors: {}", mirror.address()));
    assert_said(&run, "wanted foo-1.tar (7.7 KiB)");
    assert_said(&run, "2 distfiles: 2 to fetch (8.6 KiB)");
    let value = json(&lab.racefetch(&["prefetch", "--dry-run", "--json", "app-misc/foo"]));
    assert_eq!(value["wanted"], serde_json::json!({ "files": 2, "bytes": 900 + 7901 }));
    assert_eq!(value["files"][0]["hosts"][0], mirror.address().to_string());
    // Nothing is fetched when it was to be asked about and there is nobody to ask.
    let run = lab.racefetch(&["prefetch", "--ask", "app-misc/foo"]);
    assert!(!run.success(), "{run}");
    assert_said(&run, "racefetch: --ask: standard input is no terminal");
}

#[test]
fn what_cannot_be_had_is_named_and_the_rest_is_fetched() {
    let foo = dists("foo", 4);
    let mirror = hosting(&foo[1..]);
    mirror.on(&path(&foo[0])).status(404).at_most(1);
    let lab = package(lab_with(&[&mirror]), "app-misc/foo-1", &foo);
    let run = lab.racefetch(&["prefetch", "app-misc/foo"]);
    assert_eq!(run.status.code(), Some(1), "{run}");
    assert_said(&run, &format!("missing foo-0.tar (900 B): {}: HTTP status 404; ", mirror.address()));
    assert_said(&run, "4 distfiles: 3 fetched and verified (");
    assert!(run.output.contains("), 1 missing"), "{run}");
    assert_there(&lab, &foo[1..], &run);
    assert!(lab.distfile("foo-0.tar").is_none());
}

#[test]
fn a_second_run_says_what_the_mirrors_have_answered() {
    let foo = dists("foo", 2);
    let mirrors = [hosting(&foo[1..]), hosting(&foo[1..])];
    for mirror in &mirrors {
        mirror.on(&path(&foo[0])).status(404).at_most(1);
    }
    let lab = package(lab_with(&[&mirrors[0], &mirrors[1]]), "app-misc/foo-1", &foo);
    for (number, when) in [(1, ""), (2, " (a moment ago)"), (3, " (a moment ago)")] {
        // Upstream refuses connections, so that it is asked again.
        let run = lab.racefetch(&["prefetch", "app-misc/foo"]);
        assert_eq!(run.status.code(), Some(1), "{run}");
        for mirror in &mirrors {
            let said = format!("{}: HTTP status 404{when}", mirror.address());
            assert!(run.output.contains(&said), "run {number}: {said}: {run}");
        }
        assert!(!run.output.contains("within the last"), "{run}");
    }
}

#[test]
fn a_dead_proxy_is_named_once() {
    let foo = dists("foo", 3);
    let mirrors = [hosting([]), hosting([])];
    let lab = package(lab_with(&[&mirrors[0], &mirrors[1]]), "app-misc/foo-1", &foo);
    let list = lab.racefetch(&["prefetch", "--dry-run", "app-misc/foo"]);
    assert!(list.success(), "{list}");
    let port = Port::refusing();
    let uris: Vec<String> = foo
        .iter()
        .map(|dist| format!("{} {}", mirrors[0].url(&path(dist)), mirrors[1].url(&path(dist))))
        .collect();
    fs::write(lab.root().join("list"), uris.join(" \n\n") + " \n").unwrap();
    let run = lab.shell(&format!("http_proxy=http://{} racefetch prefetch - <list", port.address()));
    assert_eq!(run.status.code(), Some(1), "{run}");
    let missing: Vec<&str> = run.output.lines().filter(|line| line.starts_with("missing ")).collect();
    assert_eq!(missing.len(), foo.len(), "{run}");
    for line in missing {
        assert_eq!(line.matches(&format!("the proxy {}: ", port.address())).count(), 1, "{run}");
        assert!(mirrors.iter().all(|mirror| !line.contains(&format!("{}: ", mirror.address()))), "{run}");
    }
    let stats = json(&lab.racefetch(&["stats", "--json"]));
    for (mirror, figures) in stats["mirrors"].as_object().unwrap() {
        assert!(figures["failures"].as_object().is_none_or(serde_json::Map::is_empty), "{mirror}: {figures}");
    }
}

#[test]
fn what_emerge_cannot_list_is_said() {
    let foo = dists("foo", 2);
    let mirror = hosting(&foo);
    let lab = package(lab_with(&[&mirror]), "app-misc/foo-1", &foo);
    let none = lab.racefetch(&["prefetch", "app-misc/none"]);
    assert_eq!(none.status.code(), Some(2), "{none}");
    assert!(none.output.contains("there are no ebuilds to satisfy \"app-misc/none\""), "{none}");

    // The author of a package with RESTRICT=fetch wants people to see his terms first.
    let vendor = Dist::new("vendor-1.zip", &content(9, 3000));
    let lab = lab.restricted_package("app-misc/vendor-1", "fetch", &[&vendor]);
    let some = lab.racefetch(&["prefetch", "app-misc/vendor", "app-misc/foo"]);
    assert_eq!(some.status.code(), Some(1), "{some}");
    assert!(some.output.contains("app-misc/vendor-1 has fetch restriction turned on"), "{some}");
    assert_there(&lab, &foo, &some);
    assert!(lab.distfile("vendor-1.zip").is_none());
}

#[test]
fn upstreams_name_is_not_the_distfiles() {
    // RESTRICT=mirror: only SRC_URI is listed, where the file is called v1.tar.
    let foo = Dist::new("foo-1.tar", &content(3, 40_000));
    let upstream = Mirror::start();
    upstream.on("/archive/v1.tar").serve(&foo.content).times(1);
    let uri = format!("{} -> foo-1.tar", upstream.url("/archive/v1.tar"));
    let mirror = Mirror::start(); // fails the test when it is asked for anything
    let lab = lab_with(&[&mirror]).restricted_package("app-misc/foo-1", "mirror", &[&foo.clone().uri(&uri)]);
    let run = lab.racefetch(&["prefetch", "app-misc/foo"]);
    assert!(run.success(), "{run}");
    assert_there(&lab, [&foo], &run);
}

/// A binhost has app-misc/foo as a binary package; app-misc/bar is built from a distfile.
#[test]
fn binary_packages_are_left_to_portage() {
    let bar = dists("bar", 1);
    let mirror = hosting(&bar);
    let binhost = Mirror::start(); // fails the test when it is asked for the package
    let (lab, _) = with_binary_package(lab_with(&[&mirror]), &binhost);
    let lab = package(lab, "app-misc/bar-1", &bar);
    let left = "1 binary package is left to Portage, which fetches and verifies it: foo-1-1.gpkg.tar";
    for (arguments, distfiles) in [
        (
            &["prefetch", "--getbinpkg", "app-misc/foo", "app-misc/bar"] as &[_],
            "1 distfile: 1 fetched and verified (",
        ),
        (&["prefetch", "--getbinpkg", "app-misc/bar", "app-misc/foo"], "1 distfile ("),
        (&["prefetch", "--getbinpkg", "app-misc/foo"], "0 distfiles: nothing to fetch"),
    ] {
        let run = lab.racefetch(arguments);
        assert!(run.success(), "{arguments:?} {run}");
        assert_said(&run, distfiles);
        assert_said(&run, left);
        assert!(!run.output.contains("missing"), "{run}");
    }
    let again = lab.racefetch(&["prefetch", "app-misc/bar"]);
    assert_there(&lab, &bar, &again);
    let value = json(&lab.racefetch(&["prefetch", "--json", "--getbinpkg", "app-misc/foo"]));
    assert_eq!((&value["complete"], &value["files"][0]["state"]), (&true.into(), &"binary_package".into()));
}

#[test]
fn one_of_upstreams_places_may_be_dead() {
    let foo = Dist::new("foo-1.tar", &content(3, 40_000));
    let upstream = Mirror::start();
    upstream.on("/old/foo-1.tar").status(404).at_most(1);
    upstream.on("/new/foo-1.tar").serve(&foo.content).times(1);
    let uris = format!("{} {}", upstream.url("/new/foo-1.tar"), upstream.url("/old/foo-1.tar"));
    let mirror = Mirror::start();
    let lab = lab_with(&[&mirror]).restricted_package("app-misc/foo-1", "mirror", &[&foo.clone().uri(&uris)]);
    let run = lab.racefetch(&["prefetch", "app-misc/foo"]);
    assert!(run.success(), "{run}");
    assert_there(&lab, [&foo], &run);
}

#[test]
fn a_slow_line_is_nobodys_fault() {
    let upstream = Mirror::start(); // fails the test when it is asked for anything
    let foo: Vec<Dist> = (0..4)
        .map(|i| {
            let name = format!("foo-{i}.tar");
            let uri = upstream.url(&format!("/{name}"));
            Dist::new(&name, &content(i, 120_000)).uri(&uri)
        })
        .collect();
    let mirrors = [hosting(&foo), hosting(&foo)];
    for mirror in &mirrors {
        mirror.limit_rate(50_000); // each file takes five seconds
    }
    let lab = package(lab_with(&[&mirrors[0], &mirrors[1]]), "app-misc/foo-1", &foo);
    let run = lab.racefetch(&["prefetch", "app-misc/foo"]);
    assert!(run.success(), "{run}");
    assert_there(&lab, &foo, &run);
}

#[test]
fn primaryuri_asks_upstream_first() {
    let foo = Dist::new("foo-1.tar", &content(3, 40_000));
    let upstream = Mirror::start();
    upstream.on("/src/foo-1.tar").serve(&foo.content).times(1);
    let mirror = Mirror::start();
    mirror.on(&layout_path()).serve(LAYOUT.conf()).always();
    let dist = foo.clone().uri(&upstream.url("/src/foo-1.tar"));
    let lab = lab_with(&[&mirror]).restricted_package("app-misc/foo-1", "primaryuri", &[&dist]);
    let run = lab.racefetch(&["prefetch", "app-misc/foo"]);
    assert!(run.success(), "{run}");
    assert_there(&lab, [&foo], &run);
}

#[test]
fn what_a_mirror_spoils_or_an_earlier_run_left_is_put_right() {
    let foo = dists("foo", 4);
    let spoiling = Mirror::start();
    spoiling.on(&layout_path()).serve(LAYOUT.conf()).always();
    for dist in &foo {
        spoiling.on(&path(dist)).serve(&dist.content).corrupted_at(100).at_most(1);
    }
    let good = hosting(&foo);
    let lab = package(lab_with(&[&spoiling, &good]), "app-misc/foo-1", &foo);
    fs::write(lab.distdir().join(&foo[2].name), b"half of it").unwrap();
    let run = lab.racefetch(&["prefetch", "app-misc/foo"]);
    assert!(run.success(), "{run}");
    assert_there(&lab, &foo, &run);
    assert_said(
        &run,
        "racefetch: foo-2.tar has 10 bytes, not the 14902 of its Manifest: renamed to foo-2.tar._checks",
    );
    assert_eq!(lab.distfiles().iter().filter(|name| name.contains("._checksum_failure_.")).count(), 1);
}

#[test]
fn one_file_after_another_when_asked() {
    let foo = dists("foo", 6);
    let mirror = hosting(&foo);
    mirror.limit_requests_at_once(1, 500); // a second one at the same time would fail the run
    let lab = package(lab_with(&[&mirror]), "app-misc/foo-1", &foo);
    let run = lab.racefetch(&["prefetch", "--jobs", "1", "app-misc/foo"]);
    assert!(run.success(), "{run}");
    assert_there(&lab, &foo, &run);
}

#[test]
fn files_of_other_folders_are_not_fetched() {
    let foo = dists("foo", 3);
    let mirror = hosting(&foo[1..]); // fails the test when it is asked for the first
    let lab = package(lab_with(&[&mirror]), "app-misc/foo-1", &foo);
    let shelf = lab.root().join("shelf");
    fs::create_dir(&shelf).unwrap();
    fs::write(shelf.join(&foo[0].name), &foo[0].content).unwrap();
    let lab = lab.make_conf(&format!("PORTAGE_RO_DISTDIRS=\"{}\"", shelf.display()));
    let run = lab.racefetch(&["prefetch", "app-misc/foo"]);
    assert!(run.success(), "{run}");
    assert_said(&run, "3 distfiles: 1 there before, 2 fetched and verified (");
    let emerge = lab.emerge(&["--fetchonly", "app-misc/foo"]);
    assert!(emerge.success(), "{emerge}");
    assert!(lab.distdir().join(&foo[0].name).is_symlink(), "{emerge}");
    assert_eq!(downloads(&lab), []);
}

#[test]
fn an_interrupted_run_leaves_whole_files_and_prefixes() {
    let foo = vec![Dist::new("big.tar", &content(1, 20_000_000)), Dist::new("small.tar", &content(2, 2000))];
    let mirror = Mirror::start();
    mirror.on(&layout_path()).serve(LAYOUT.conf()).always();
    mirror.on(&path(&foo[1])).serve(&foo[1].content).at_most(1);
    mirror.on(&path(&foo[0])).add(Rule::serve(&foo[0].content).rate(10_000_000)).always();
    let lab = package(lab_with(&[&mirror]), "app-misc/foo-1", &foo);
    let mut first = lab.start_racefetch(&["prefetch", "app-misc/foo"]);
    let part = lab.partial("big.tar");
    let came = || fs::metadata(&part).is_ok_and(|part| part.len() > 2_000_000);
    first.wait_until("2 MB came", || came() && lab.distdir().join("small.tar").exists());
    first.signal_group(Signal::INT);
    let first = first.finish();
    assert_eq!(first.status.signal(), Some(Signal::INT.as_raw()), "{first}");
    let prefix = fs::read(&part).unwrap();
    let mode = fs::metadata(&part).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o664, "Portage's own user must be able to go on with it");
    assert!(foo[0].content.starts_with(&prefix) && prefix.len() > 2_000_000, "{} bytes", prefix.len());

    let run = lab.racefetch(&["prefetch", "app-misc/foo"]);
    assert!(run.success(), "{run}");
    assert_there(&lab, &foo, &run);
    let sent = mirror.body_bytes_sent();
    assert!(sent < 22_000_000, "{sent} bytes sent for 20 MB: what came was kept");
}

#[test]
fn what_another_process_is_fetching_is_waited_for() {
    let foo = dists("foo", 3);
    let mirror = hosting(&foo[1..]); // fails the test when it is asked for the first
    let lab = package(lab_with(&[&mirror]), "app-misc/foo-1", &foo);
    let lock = lab.distdir().join(format!(".{}.portage_lockfile", foo[0].name));
    let file = fs::File::create(&lock).unwrap();
    rustix::fs::fcntl_lock(&file, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let mut run = lab.start_racefetch(&["prefetch", "app-misc/foo"]);
    run.wait_until("the others are there", || foo[1..].iter().all(|dist| lab.distfile(&dist.name).is_some()));
    fs::write(lab.distdir().join(&foo[0].name), &foo[0].content).unwrap();
    fs::remove_file(&lock).unwrap();
    drop(file);
    let run = run.finish();
    assert!(run.success(), "{run}");
    assert_said(&run, "3 distfiles: 1 there before, 2 fetched and verified (");
}

#[test]
fn a_folder_that_cannot_be_written_to_is_named() {
    let foo = dists("foo", 1);
    let mirror = Mirror::start();
    let lab = package(lab_with(&[&mirror]), "app-misc/foo-1", &foo);
    let run = lab.racefetch(&["prefetch", "--distdir", "/nonexistent/x", "app-misc/foo"]);
    assert_eq!(run.status.code(), Some(23), "{run}");
    assert_said(&run, "racefetch: cannot write to /nonexistent/x: No such file or directory");
}

/// Runs `prefetch -` with a list of these files at these mirrors: no emerge asks the mirrors before. Returns the
/// seconds that it took, too.
#[expect(clippy::disallowed_methods, reason = "how long it takes is the question")]
fn prefetch_listed(lab: &Lab, mirrors: &[&Mirror], dists: &[Dist]) -> (Emerged, f64) {
    let uris = |dist: &Dist| mirrors.iter().map(|mirror| mirror.url(&path(dist)) + " ").collect::<String>();
    let list: String = dists.iter().map(|dist| uris(dist) + "\n\n").collect();
    fs::write(lab.root().join("list"), list).unwrap();
    let began = Instant::now();
    let run = lab.shell("racefetch prefetch - <list");
    (run, began.elapsed().as_secs_f64())
}

fn layout_requests(mirror: &Mirror) -> usize {
    mirror.requests_for(&layout_path()).len()
}

#[test]
fn nobody_waits_for_mirrors_that_do_not_say_their_layout() {
    // A large file is raced; each mirror finds out by itself where it has it.
    let foo = [Dist::new("foo-0.tar", &content(1, 12_000_000))];
    let silent = [Mirror::start(), Mirror::start()];
    for mirror in &silent {
        mirror.on("*").status(404).always();
        mirror.on(&layout_path()).silence().at_most(1);
    }
    let good = Mirror::start();
    good.on(&layout_path()).serve(LAYOUT.conf()).always();
    good.on(&path(&foo[0])).serve(&foo[0].content).always();
    let mirrors = [&silent[0], &silent[1], &good];
    let lab = package(lab_with(&mirrors), "app-misc/foo-1", &foo);
    let (run, seconds) = prefetch_listed(&lab, &mirrors, &foo);
    assert!(run.success(), "{run}");
    assert_there(&lab, &foo, &run);
    assert!(seconds < 8.0, "{seconds} s\n{run}");
}

#[test]
fn a_mirror_is_asked_for_its_layout_once_while_a_file_is_waited_for() {
    let foo = dists("foo", 1);
    let mirror = hosting(&foo);
    let without = Mirror::start(); // the other one has no layout
    without.on(&layout_path()).status(404).at_most(1);
    without.on(&path(&foo[0])).serve(&foo[0].content).at_most(1);
    let mirrors = [&without, &mirror];
    let lab = package(lab_with(&mirrors), "app-misc/foo-1", &foo);
    let part = fs::File::create(lab.partial(&foo[0].name)).unwrap();
    rustix::fs::flock(&part, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let holds = std::thread::spawn(move || {
        wait(Duration::from_millis(2500));
        drop(part);
    });
    let (run, _) = prefetch_listed(&lab, &mirrors, &foo);
    holds.join().unwrap();
    assert!(run.success(), "{run}");
    assert_there(&lab, &foo, &run);
    for mirror in mirrors {
        assert!(layout_requests(mirror) <= 1, "asked {} times\n{run}", layout_requests(mirror));
    }
}

#[expect(clippy::disallowed_methods, reason = "another process takes its time")]
fn wait(time: Duration) {
    std::thread::sleep(time);
}

#[test]
fn a_mirror_that_cannot_say_its_layout_is_out_of_order() {
    let mut foo = dists("foo", 8);
    foo.push(Dist::new("foo-large.tar", &content(9, 9_000_000)));
    let broken = Mirror::start();
    broken.on("*").status(404).always(); // the files are not where most mirrors have them
    broken.on(&layout_path()).status(503).at_most(1);
    let good = Mirror::start();
    good.on(&layout_path()).serve(LAYOUT.conf()).always();
    for dist in &foo {
        good.on(&path(dist)).serve(&dist.content).always();
    }
    let mirrors = [&broken, &good];
    let lab = package(lab_with(&mirrors), "app-misc/foo-1", &foo);
    let (run, _) = prefetch_listed(&lab, &mirrors, &foo);
    assert!(run.success(), "{run}");
    assert_there(&lab, &foo, &run);
}

#[test]
fn a_race_hears_of_what_a_host_told_those_who_fetch_small_files() {
    let mut foo = dists("foo", 6);
    foo.push(Dist::new("large-1.tar", &content(8, 9_000_001)));
    foo.push(Dist::new("large-0.tar", &content(9, 9_000_000)));
    let busy = Mirror::start();
    busy.on(&layout_path()).serve(LAYOUT.conf()).always();
    busy.on(&path(&foo[6])).status(404).always(); // the first that is raced
    busy.on("*").add(Rule::status(429).retry_after(60)).always();
    let good = Mirror::start();
    good.on(&layout_path()).serve(LAYOUT.conf()).always();
    for dist in &foo {
        good.on(&path(dist)).add(Rule::serve(&dist.content).rate(8_000_000)).always();
    }
    let mirrors = [&busy, &good];
    let lab = package(lab_with(&mirrors), "app-misc/foo-1", &foo);
    let (run, _) = prefetch_listed(&lab, &mirrors, &foo);
    assert!(run.success(), "{run}");
    assert_there(&lab, &foo, &run);
    let refused = busy.requests().iter().filter(|request| request.path() != layout_path()).count();
    assert!(refused > 1, "no lane was refused");
    let asked = busy.requests_for(&path(&foo[7])).len();
    assert_eq!(asked, 0, "it does not want us at all\n{run}");
}

#[test]
fn what_only_drips_is_named() {
    let foo = dists("foo", 4);
    let mirror = hosting(&foo[1..]);
    mirror.on(&path(&foo[0])).add(Rule::serve(&foo[0].content).rate(1)).always();
    let lab = package(lab_with(&[&mirror]), "app-misc/foo-1", &foo);
    let (run, seconds) = prefetch_listed(&lab, &[&mirror], &foo);
    assert_eq!(run.status.code(), Some(1), "{run}");
    assert!(seconds < 30.0, "{seconds} s\n{run}");
    assert_said(
        &run,
        &format!("missing foo-0.tar (900 B): {}: slower than 1000 bytes/s for 20 s", mirror.address()),
    );
    assert_there(&lab, &foo[1..], &run);
}

#[test]
fn with_few_threads_it_takes_longer() {
    if !rustix::process::geteuid().is_root() {
        return; // the limit counts all processes of a user, and only root can be one that has no others
    }
    let mut foo = dists("foo", 12);
    foo.push(Dist::new("foo-large.tar", &content(9, 9_000_000)));
    for processes in [2, 3, 4, 6] {
        let mirrors = [Mirror::start(), Mirror::start()];
        for mirror in &mirrors {
            mirror.on(&layout_path()).serve(LAYOUT.conf()).always();
            for dist in &foo {
                mirror.on(&path(dist)).serve(&dist.content).always();
            }
        }
        let mirrors = [&mirrors[0], &mirrors[1]];
        let lab = package(lab_with(&mirrors), "app-misc/foo-1", &foo);
        for folder in [lab.root().to_path_buf(), lab.distdir(), lab.root().join("var/lib/racefetch")] {
            let _ = fs::set_permissions(folder, fs::Permissions::from_mode(0o777));
        }
        let uris = |dist: &Dist| mirrors.map(|mirror| mirror.url(&path(dist)) + " ").concat() + "\n\n";
        fs::write(lab.root().join("list"), foo.iter().map(uris).collect::<String>()).unwrap();
        // A user that has no other processes.
        let user = 61_000 + processes;
        let program = lab.root().join("bin/racefetch");
        let line = format!(
            "setpriv --reuid {user} --regid {user} --clear-groups \
             prlimit --nproc={processes}:{processes} {} prefetch - <list",
            program.display()
        );
        let run = lab.shell(&line);
        assert!(run.success(), "{processes} processes: {run}");
        assert_there(&lab, &foo, &run);
    }
}
