//! Portage's call without Portage: its arguments, its environment, its `layout.conf` files.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::driver::{Distdir, NAME, Running, digest, digests, manifest_line, quickest};
use super::mirrors::{LAYOUT_PATH, PATH, base, bases, saying, serving};
use crate::support::content::{Content, content};
use crate::support::mirror::{Mirror, Rule};
use crate::support::ports::Port;

const SIZE: usize = 100_000;
const AT_ONCE: Duration = Duration::from_millis(20);

#[test]
fn digests_are_recognised_in_every_form() {
    let right: Content = content(1, SIZE).into();
    let (blake2b, sha512) = (digest("blake2b", &right), digest("sha512", &right));
    let both = format!("{blake2b} {sha512}");
    let rows: [&[&str]; 9] = [
        &["--digests", &both],
        &[&format!("--digests={both}")],
        &["--digests", &blake2b, &sha512],
        &["--digests", &sha512],
        &[&both],
        &[&blake2b, &sha512],
        &[&blake2b, "-s", &sha512],
        &[&both.to_uppercase().replace("BLAKE2B", "blake2b").replace("SHA512", "sha512")],
        &["--digests", &format!("  {sha512}   {blake2b} ")],
    ];
    for arguments in rows {
        // The first mirror's file is wrong: only who knows the digests goes on to the second.
        let mirrors = [saying(Rule::serve(&right).corrupted_at(5)), serving(&right)];
        let distdir = Distdir::new();
        let call = distdir.call().args(arguments).mirrors(&bases(&mirrors));
        let ended = call.fetch(&mirrors[0].url(PATH));
        assert!(ended.success(), "{arguments:?}: {ended}");
        distdir.assert_holds(&right, &ended);
    }
}

#[test]
fn an_empty_placeholder_swallows_nothing() {
    // Quoted and not, behind the option and alone: `-o FILE URI` follows.
    let right: Content = content(1, SIZE).into();
    for arguments in [&["--digests"][..], &["--digests", ""], &["--digests="], &[""]] {
        let mirror = serving(&right);
        let distdir = Distdir::new();
        let ended = distdir.call().args(arguments).fetch(&mirror.url(PATH));
        assert!(ended.success(), "{arguments:?}: {ended}");
        distdir.assert_holds(&right, &ended);
    }
}

#[test]
fn the_manifest_beside_the_ebuild_tells_digests_and_size() {
    let right: Content = content(1, SIZE).into();
    let others = format!("{}{}", manifest_line("bar", b"bar"), manifest_line(&format!("{NAME}.asc"), b"sig"));
    let manifest = format!("{others}{}EBUILD foo-1.ebuild 3 SHA512 {}\n", manifest_line(NAME, &right), "a");
    for (story, digests) in [("the Manifest alone", None), ("with DIGESTS", Some(digests(&right)))] {
        let mirrors = [saying(Rule::serve(content(2, SIZE + 1))), serving(&right)];
        let distdir = Distdir::new();
        distdir.put("repo/app-misc/foo/Manifest", &manifest);
        let call = || {
            let ebuild = distdir.root().join("repo/app-misc/foo/foo-1.ebuild");
            let call = distdir.call().env("EBUILD", ebuild).env("EBUILD_PHASE", "fetch");
            match &digests {
                Some(digests) => call.args(["--digests", digests]),
                None => call,
            }
        };
        let alone = call().fetch(&mirrors[0].url(PATH));
        assert!(!alone.success(), "{story}: {alone}");
        let sizes = format!("{} bytes, not {SIZE}", SIZE + 1);
        assert!(alone.output.contains(&sizes), "{story}, the size is known beforehand: {alone}");
        assert_eq!(distdir.content().unwrap_or_default(), b"", "{story}");

        let ended = call().mirrors(&bases(&mirrors)).fetch(&mirrors[0].url(PATH));
        assert!(ended.success(), "{story}: {ended}");
        assert!(ended.output.contains("verified BLAKE2B SHA512"), "{story}: {ended}");
        distdir.assert_holds(&right, &ended);
    }
}

#[test]
fn digests_that_the_manifest_does_not_have_win_over_it() {
    // Portage's own view of the Manifest counts; the size of another file would do harm.
    let right: Content = content(1, SIZE).into();
    let mirror = serving(&right);
    let distdir = Distdir::new();
    distdir.put("repo/app-misc/foo/Manifest", manifest_line(NAME, &content(2, SIZE + 1)));
    let ebuild = distdir.root().join("repo/app-misc/foo/foo-1.ebuild");
    let call = distdir.call().env("EBUILD", ebuild).env("EBUILD_PHASE", "fetch").digests_of(&right);
    let ended = call.fetch(&mirror.url(PATH));
    ended.assert_success();
    distdir.assert_holds(&right, &ended);
}

#[test]
fn a_manifest_that_is_broken_or_missing_is_no_reason_to_fail() {
    let right: Content = content(1, SIZE).into();
    for manifest in [None, Some(&b""[..]), Some(b"\xff\xfe\0"), Some(b"DIST foo-1.tar.xz 12\nDIST\n")] {
        let mirror = serving(&right);
        let distdir = Distdir::new();
        if let Some(manifest) = manifest {
            distdir.put("repo/app-misc/foo/Manifest", manifest);
        }
        let ebuild = distdir.root().join("repo/app-misc/foo/foo-1.ebuild");
        let call = distdir.call().env("EBUILD", ebuild).env("EBUILD_PHASE", "fetch").digests_of(&right);
        let ended = call.fetch(&mirror.url(PATH));
        assert!(ended.success(), "{manifest:?}: {ended}");
        distdir.assert_holds(&right, &ended);
    }
}

#[test]
fn a_name_that_uris_quote() {
    let right: Content = content(1, SIZE).into();
    let name = "foo bar+100%~é.tar.xz";
    let quoted = "/distfiles/foo%20bar%2B100%25~%C3%A9.tar.xz";
    let (first, second) = (Mirror::start(), Mirror::start());
    first.on(quoted).status(503);
    second.on(quoted).serve(&right);
    second.on(LAYOUT_PATH).serve("[structure]\n0=flat\n");
    let distdir = Distdir::of(name);
    distdir.put("repo/app-misc/foo/Manifest", manifest_line("other", b""));
    let ended =
        distdir.call().target(&right).mirrors(&[base(&first), base(&second)]).fetch(&first.url(quoted));
    ended.assert_success();
    distdir.assert_holds(&right, &ended);
}

#[test]
fn a_file_of_its_final_name() {
    // With a read-only DISTDIR Portage adds no suffix; people do not either.
    let right: Content = content(1, SIZE).into();
    let mirror = serving(&right);
    let distdir = Distdir::new();
    let path = distdir.path(NAME);
    let ended = distdir.call().target(&right).output(&path).fetch(&mirror.url(PATH));
    ended.assert_success();
    assert_eq!(fs::read(path).unwrap(), &right[..]);
    assert_eq!(distdir.names(), [NAME]);
}

#[test]
fn where_the_mirrors_are_named() {
    type Naming = fn(&Distdir, &str) -> Vec<(&'static str, String)>;
    fn conf(distdir: &Distdir, path: &str, text: &str) -> Vec<(&'static str, String)> {
        distdir.put(path, text);
        Vec::new()
    }
    // From the one that wins over all others down to the last.
    let places: [(&str, Naming); 6] = [
        ("--mirrors", |_, mirrors| vec![("--mirrors", mirrors.to_owned())]),
        ("RACEFETCH_MIRRORS", |_, mirrors| vec![("RACEFETCH_MIRRORS", mirrors.to_owned())]),
        ("make.conf", |distdir, mirrors| {
            let text =
                format!("CFLAGS=\"-O2 \\\n -pipe\" # GENTOO_MIRRORS=\"no\"\nGENTOO_MIRRORS=\"{mirrors}\"\n");
            conf(distdir, "etc/portage/make.conf", &text)
        }),
        ("a folder make.conf", |distdir, mirrors| {
            distdir.put("etc/portage/make.conf/00-first", "LIST='http://127.0.0.1:1'\n");
            distdir
                .put("etc/portage/elsewhere", format!("LIST=\"\n\t{}\n\"\n", mirrors.replace(' ', "\n\t")));
            let source = format!("source {}/etc/portage/elsewhere\n", distdir.root().display());
            conf(distdir, "etc/portage/make.conf/50", &format!("{source}GENTOO_MIRRORS=\"${{LIST}}\"\n"))
        }),
        ("/etc/make.conf", |distdir, mirrors| {
            conf(distdir, "etc/make.conf", &format!("GENTOO_MIRRORS='{mirrors}'\n"))
        }),
        ("make.globals", |distdir, mirrors| {
            let text = format!("GENTOO_MIRRORS=\"{mirrors}\"\n");
            conf(distdir, "usr/share/portage/config/make.globals", &text)
        }),
    ];
    let right: Content = content(1, SIZE).into();
    let shadowed = Mirror::start(); // fails the test when it is asked
    for (number, (place, naming)) in places.iter().enumerate() {
        let (first, second) = (saying(Rule::status(503)), serving(&right));
        let distdir = Distdir::new();
        let mut call = distdir.call().target(&right);
        let mut set = |naming: &Naming, mirrors: &[String]| {
            for (name, value) in naming(&distdir, &mirrors.join(" ")) {
                let with = std::mem::replace(&mut call, distdir.call());
                call = if name.starts_with('-') { with.args([name, &value]) } else { with.env(name, value) };
            }
        };
        // What comes later is not looked at; a file and a folder cannot both be there.
        if let Some((_, later)) = places.get(number + 1 + usize::from(number == 2)) {
            set(later, &[base(&first), base(&shadowed)]);
        }
        set(naming, &[base(&first), base(&second)]);
        let ended = call.fetch(&first.url(PATH));
        assert!(ended.success(), "{place}: {ended}");
        distdir.assert_holds(&right, &ended);
    }
}

#[test]
fn words_that_are_no_mirrors_of_ours_are_passed_over() {
    let right: Content = content(1, SIZE).into();
    let (first, second) = (saying(Rule::status(503)), serving(&right));
    let distdir = Distdir::new();
    let list = format!(
        "ftp://127.0.0.1/x rsync://127.0.0.1/y /mnt/mirror {0} nonsense {1} {1}",
        base(&first),
        base(&second)
    );
    let ended = distdir.call().target(&right).args(["--mirrors", &list]).fetch(&first.url(PATH));
    ended.assert_success();
    distdir.assert_holds(&right, &ended);
}

// layout.conf: no digests, that mirror alone, from the state while fresh.

const LAYOUT: &str = "[structure]\n0=filename-hash BLAKE2B 8\n1=flat\n";
const DAY: u64 = 24 * 3600;

#[test]
fn a_fresh_layout_costs_no_request_and_no_time() {
    let mirror = Mirror::start();
    mirror.on(LAYOUT_PATH).serve(LAYOUT);
    let distdir = Distdir::new();
    ask_layout(&distdir, &mirror.url(LAYOUT_PATH)).finish().assert_success();
    assert_eq!(layout(&distdir), LAYOUT);
    let again = quickest(5, || {
        fs::remove_file(layout_file(&distdir)).unwrap();
        ask_layout(&distdir, &mirror.url(LAYOUT_PATH)).finish()
    });
    again.assert_success();
    assert_eq!(layout(&distdir), LAYOUT);
    assert!(again.elapsed < AT_ONCE, "{again}");
    assert_eq!(mirror.requests().len(), 1);
}

#[test]
fn two_mirrors_on_one_host_have_a_layout_each() {
    // FILE has the host and not the port.
    let mirrors = [Mirror::start(), Mirror::start()];
    for (mirror, text) in mirrors.iter().zip([LAYOUT, "[structure]\n0=flat\n"]) {
        mirror.on(LAYOUT_PATH).serve(text);
        let distdir = Distdir::new();
        ask_layout(&distdir, &mirror.url(LAYOUT_PATH)).finish().assert_success();
        assert_eq!(layout(&distdir), text);
    }
}

#[test]
fn an_old_layout_is_used_for_a_week_when_the_mirror_is_down() {
    let newer = "[structure]\n0=flat\n";
    // Its age in days; what the mirror says now; the layout that is given out; whether a line says so.
    let rows: [(u64, Option<Rule>, Option<&str>, bool); 7] = [
        (0, None, Some(LAYOUT), false),
        (2, Some(Rule::serve(newer)), Some(newer), false),
        (2, None, Some(LAYOUT), true),
        (2, Some(Rule::status(503)), Some(LAYOUT), true),
        (6, Some(Rule::portal()), Some(LAYOUT), true),
        (2, Some(Rule::status(404)), None, true),
        (8, None, None, true),
    ];
    for (days, now, given, line) in rows {
        let before = Mirror::start();
        before.on(LAYOUT_PATH).serve(LAYOUT);
        let distdir = Distdir::new();
        ask_layout(&distdir, &before.url(LAYOUT_PATH)).finish().assert_success();
        fs::remove_file(layout_file(&distdir)).unwrap();

        let (dead, mirror) = (Port::refusing(), Mirror::start());
        let now = match now {
            None => format!("http://{}", dead.address()),
            Some(rule) => {
                mirror.on(LAYOUT_PATH).add(rule);
                base(&mirror)
            }
        };
        move_layout(&distdir, &base(&before), &now, days * DAY);
        let ended = ask_layout(&distdir, &format!("{now}{LAYOUT_PATH}")).finish();
        let story = format!("{days} days, {given:?}: {ended}");
        assert_eq!(ended.success(), given.is_some(), "{story}");
        assert_eq!(fs::read_to_string(layout_file(&distdir)).ok().as_deref(), given, "{story}");
        assert_eq!(ended.output.lines().count(), usize::from(line), "{story}");
        assert!(!line || ended.output.contains(&now["http://".len()..]), "{story}");
    }
}

#[test]
fn pages_that_are_no_layout_are_refused() {
    for (story, rule) in [
        ("a portal", Rule::portal()),
        (
            "HTML as text",
            Rule::serve("<html><body>[structure]</body></html>").field("Content-Type", "text/plain"),
        ),
        ("nothing", Rule::serve("")),
        ("no structure", Rule::serve("[other]\n0=flat\n")),
        ("too long", Rule::serve(format!("{LAYOUT}#{}\n", "x".repeat(1 << 20)))),
        ("endless", Rule::serve(LAYOUT).until_close().endless()),
        ("binary", Rule::serve(content(1, 5000))),
        ("404", Rule::status(404)),
    ] {
        let mirror = Mirror::start();
        mirror.on(LAYOUT_PATH).add(rule);
        let distdir = Distdir::new();
        let ended = ask_layout(&distdir, &mirror.url(LAYOUT_PATH)).finish();
        assert!(!ended.success(), "{story}: {ended}");
        assert_eq!(ended.output.lines().count(), 1, "{story}: {ended}");
        assert_eq!(distdir.names(), [""; 0], "{story}");
    }
}

#[test]
fn a_mirror_that_does_not_tell_its_layout_in_time_is_left() {
    let slow = |rule: Rule| {
        let mirror = Mirror::start();
        mirror.on(LAYOUT_PATH).add(rule);
        mirror
    };
    let dead = Port::unanswering();
    let mirrors = [
        slow(Rule::silence()),
        slow(Rule::serve(LAYOUT).head_pace(Duration::from_secs(1))),
        slow(Rule::serve(LAYOUT).rate(1)),
        slow(Rule::serve(LAYOUT).stall_after(9)),
    ];
    let mut bases: Vec<(String, u64)> = mirrors.iter().map(|mirror| (base(mirror), 10)).collect();
    bases.push((format!("http://{}", dead.address()), 5));
    // All of them at once: the budgets pass side by side.
    thread::scope(|scope| {
        for (base, budget) in bases {
            scope.spawn(move || {
                let distdir = Distdir::new();
                let ended = ask_layout(&distdir, &format!("{base}{LAYOUT_PATH}")).finish();
                assert_eq!(ended.code, Some(28), "{ended}");
                assert!(ended.elapsed < Duration::from_secs(budget + 3), "{ended}");
                assert_eq!(distdir.names(), [""; 0], "{ended}");
            });
        }
    });
}

#[test]
fn nobody_waits_for_a_layout_while_another_mirror_answers() {
    let (dead, dead_too) = (Port::unanswering(), Port::unanswering());
    let good = Mirror::start();
    good.on(LAYOUT_PATH).serve(LAYOUT).always();
    let silent = Mirror::start();
    silent.on(LAYOUT_PATH).silence();
    let slow = Mirror::start();
    slow.on(LAYOUT_PATH).add(Rule::serve(LAYOUT).rate(20));
    let at = |port: &Port| format!("http://{}", port.address());
    // The mirror, its witness, whether it tells its layout, and after how many seconds it is over.
    let rows = [
        (at(&dead), base(&good), false, 1.0..4.0),
        (base(&silent), base(&good), false, 2.5..6.0),
        (base(&slow), at(&dead_too), true, 1.5..5.0), // no witness: it has all the time
    ];
    thread::scope(|scope| {
        for (asked, witness, succeeds, seconds) in rows {
            scope.spawn(move || {
                let distdir = Distdir::new();
                let call = distdir.call().args(["--digests", ""]).mirrors(&[&asked, &witness]);
                let call = call.output(&layout_file(&distdir));
                let ended = call.start(&format!("{asked}{LAYOUT_PATH}")).finish();
                assert_eq!(ended.success(), succeeds, "{ended}");
                assert!(seconds.contains(&ended.elapsed.as_secs_f64()), "{ended}");
            });
        }
    });
}

fn layout_file(distdir: &Distdir) -> PathBuf {
    distdir.path(".layout.conf.127.0.0.1.__download__")
}

fn layout(distdir: &Distdir) -> String {
    fs::read_to_string(layout_file(distdir)).unwrap()
}

/// As Portage asks: without digests, the mirrors named as in every call.
fn ask_layout(distdir: &Distdir, url: &str) -> Running {
    let mirrors = ["http://127.0.0.1:1", url.strip_suffix(LAYOUT_PATH).unwrap()];
    distdir.call().args(["--digests", ""]).mirrors(&mirrors).output(&layout_file(distdir)).start(url)
}

/// Has the state know a layout of one mirror as that of another, so many seconds older.
#[expect(clippy::disallowed_methods, reason = "the age of a layout counts from now")]
fn move_layout(distdir: &Distdir, from: &str, to: &str, age: u64) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let mut state: Value = serde_json::from_slice(&fs::read(distdir.state_file()).unwrap()).unwrap();
    let mirrors = state["mirrors"].as_object_mut().unwrap();
    let mut figures = mirrors.remove(from).unwrap();
    figures["layout"]["at"] = (now - age).into();
    mirrors.insert(to.to_owned(), figures);
    fs::write(distdir.state_file(), state.to_string()).unwrap();
}
