use std::path::PathBuf;
use std::time::Duration;

use super::super::facts::Junk;
use super::*;

const FETCH: &str = "racefetch -f -L --digests \"${DIGESTS}\" -o \"${DISTDIR}/${FILE}\" \"${URI}\"";

/// A system where all is well.
fn well() -> Facts {
    let place = |path: &str| Some(Place { path: path.into(), access: Access::Fine });
    let fresh = Health::Aged(Freshness::Fresh, Duration::from_secs(3600));
    Facts {
        commands: [FETCH.to_owned(), FETCH.replace("-L", "-L -C -")],
        program_runs: true,
        mirrors: vec!["https://a.example/gentoo".to_owned(), "http://b.example/".to_owned()],
        distdir: place("/distdir"),
        state: place("/state"),
        side_files: place("/distdir/.racefetch"),
        free: Some(1 << 40),
        network: Some(Network {
            mirrors: vec![
                ("https://a.example/gentoo".to_owned(), fresh.clone()),
                ("http://b.example/".to_owned(), fresh),
                ("http://nas.lan".to_owned(), Health::Answers),
            ],
            broken_ipv6: Vec::new(),
            clock_behind: Some(-2),
        }),
        ..Facts::default()
    }
}

/// What is bad of a system that differs in one thing.
fn bad(change: impl FnOnce(&mut Facts)) -> Vec<(&'static str, Level, String, String)> {
    let mut facts = well();
    change(&mut facts);
    let bad = findings(&facts).into_iter().filter(|finding| finding.level != Level::Ok);
    bad.map(|finding| {
        (finding.check, finding.level, finding.text, finding.cure.expect("what is bad has a cure"))
    })
    .collect()
}

#[test]
fn where_all_is_well_nothing_is_said() {
    let found = findings(&well());
    assert_eq!(found.len(), CHECKS.len() + 1);
    assert!(found.iter().all(|finding| finding.level == Level::Ok && finding.cure.is_none()), "{found:?}");
}

#[test]
fn offline_the_network_is_not_judged() {
    let found = findings(&Facts { network: None, ..well() });
    assert_eq!(found.len(), CHECKS.len() + 1 - 4);
}

/// What is changed, and what comes of it.
type Case = (fn(&mut Facts), &'static str, Level, &'static str, &'static str);

#[test]
fn each_check_finds_what_it_is_for() {
    use Level::{Fail, Warn};
    let cases: &[Case] = &[
        (|f| f.problem = Some(("line 3: x".into(), "/m".into())), "make-conf", Fail, "line 3", "} /m"),
        (
            |f| f.commands[0] = "wget -T 9 -O ${DISTDIR}/${FILE} ${URI}".into(),
            "fetch-command",
            Warn,
            "with wget",
            "racefetch setup",
        ),
        (
            |f| f.commands[0] = FETCH.replace("/${FILE}", ""),
            "fetch-command",
            Fail,
            "${FILE} is missing",
            "racefetch setup",
        ),
        (
            |f| f.commands[0] = FETCH.replace("-L", "-L -C -"),
            "fetch-command",
            Warn,
            "FETCHCOMMAND: it resumes",
            "racefetch setup",
        ),
        (
            |f| f.commands[0] = FETCH.replace("\"${DIGESTS}\"", "${DIGESTS}"),
            "fetch-command",
            Fail,
            "not quoted",
            "racefetch setup",
        ),
        (
            |f| f.commands[0] = FETCH.replace("racefetch", "curl"),
            "fetch-command",
            Warn,
            "no limit on stalls",
            "racefetch setup",
        ),
        (
            |f| f.commands[0] = "aria2c -d ${DISTDIR} -o ${FILE} ${URI}".into(),
            "fetch-command",
            Fail,
            "--file-allocation",
            "racefetch setup",
        ),
        (
            |f| f.commands[1] = FETCH.into(),
            "fetch-command",
            Warn,
            "RESUMECOMMAND: it does not resume",
            "racefetch setup",
        ),
        (|f| f.commands[0] = String::new(), "fetch-command", Fail, "it is empty", "racefetch setup"),
        (|f| f.program_runs = false, "fetch-command", Fail, "cannot run the program", "racefetch setup"),
        (
            |f| f.mirrors_below = Some(("/m".into(), 7)),
            "mirrors-order",
            Fail,
            "/m, line 7",
            "--fix=mirrors-order",
        ),
        (|f| f.mirrors.clear(), "mirrors-list", Warn, "is empty", "racefetch setup"),
        (|f| f.mirrors.push("ftp://c.example".into()), "mirrors-list", Warn, "ftp", "--fix=mirrors-list"),
        (
            |f| f.mirrors.push("rsync://c.example".into()),
            "mirrors-list",
            Warn,
            "another program",
            "--fix=mirrors-list",
        ),
        (
            |f| f.mirrors.push("htps://c.example".into()),
            "mirrors-list",
            Warn,
            "misspelt",
            "--fix=mirrors-list",
        ),
        (
            |f| f.mirrors.push("https:/c.example".into()),
            "mirrors-list",
            Warn,
            "misspelt",
            "--fix=mirrors-list",
        ),
        (
            |f| f.mirrors.push("https://c..example".into()),
            "mirrors-list",
            Warn,
            "misspelt",
            "--fix=mirrors-list",
        ),
        (
            |f| f.mirrors.push("c.example/gentoo".into()),
            "mirrors-list",
            Warn,
            "misspelt",
            "--fix=mirrors-list",
        ),
        (
            |f| f.mirrors.push("https://c.example/,".into()),
            "mirrors-list",
            Warn,
            "comma",
            "--fix=mirrors-list",
        ),
        (
            |f| f.mirrors.push("https://c.example/distfiles/".into()),
            "mirrors-list",
            Warn,
            "/distfiles",
            "--fix=mirrors-list",
        ),
        (
            |f| f.mirrors.push("http://B.example".into()),
            "mirrors-list",
            Warn,
            "named twice",
            "--fix=mirrors-list",
        ),
        (
            |f| f.mirrors = vec!["ftp://u:secret@c.example".into()],
            "mirrors-list",
            Fail,
            "ftp",
            "racefetch setup",
        ),
        (
            |f| set(f, 0, Health::Dead("refused".into())),
            "mirrors-health",
            Warn,
            "does not answer (refused)",
            "--fix=mirrors-health",
        ),
        (
            |f| set(f, 0, Health::Odd("sends a page".into())),
            "mirrors-health",
            Warn,
            "sends a page",
            "--fix=mirrors-health",
        ),
        (
            |f| set(f, 1, aged(Freshness::Out, 3 * 365)),
            "mirrors-health",
            Warn,
            "is 3 years old",
            "--fix=mirrors-health",
        ),
        (
            |f| set(f, 1, aged(Freshness::Out, 30)),
            "mirrors-health",
            Warn,
            "is 30 days old",
            "--fix=mirrors-health",
        ),
        (
            |f| set(f, 1, aged(Freshness::Stale, 2)),
            "mirrors-health",
            Warn,
            "is 48 hours old",
            "racefetch setup",
        ),
        (
            |f| set(f, 1, aged(Freshness::Out, 0)),
            "mirrors-health",
            Warn,
            "from the future",
            "--fix=mirrors-health",
        ),
        (
            |f| (0..2).for_each(|at| set(f, at, Health::Dead("silent".into()))),
            "mirrors-health",
            Fail,
            "is the network there?",
            "racefetch doctor --offline",
        ),
        (
            |f| set(f, 2, Health::Dead("refused".into())),
            "local-mirror",
            Warn,
            "http://nas.lan",
            "--fix=local-mirror",
        ),
        (|f| f.unreadable.push("/m".into()), "readable", Warn, "cannot read /m", "--fix=readable"),
        (|f| f.distdir = None, "distdir", Fail, "not set", "emerge --info"),
        (|f| deny(&mut f.distdir, Access::Denied), "distdir", Fail, "cannot be written", "--fix=distdir"),
        (|f| deny(&mut f.distdir, Access::Missing), "distdir", Fail, "is not there", "--fix=distdir"),
        (|f| deny(&mut f.state, Access::Denied), "state", Warn, "/state cannot", "--fix=state"),
        (
            |f| f.state_warning = Some("state file broken".into()),
            "state",
            Warn,
            "broken",
            "rm /state/mirrors.json",
        ),
        (
            |f| deny(&mut f.side_files, Access::Denied),
            "side-files",
            Warn,
            ".racefetch cannot",
            "--fix=side-files",
        ),
        (|f| f.free = Some(500 << 20), "space", Warn, "500.0 MiB", "eclean"),
        (|f| f.free = Some(5 << 20), "space", Fail, "5.0 MiB", "eclean"),
        (|f| f.capital_proxy = Some("environment".into()), "proxies", Warn, "capitals", "export http_proxy="),
        (
            |f| f.capital_proxy = Some("/m".into()),
            "proxies",
            Warn,
            "(/m)",
            "sed -i s/HTTP_PROXY/http_proxy/ /m",
        ),
        (|f| net(f).broken_ipv6.push("a.example".into()), "ipv6", Warn, "a.example", "disable_ipv6"),
        (|f| net(f).clock_behind = Some(600), "clock", Warn, "10 minutes slow", "chronyd"),
        (|f| net(f).clock_behind = Some(-100_000), "clock", Fail, "minutes fast", "chronyd"),
        (|f| f.certificates = Some("none are installed".into()), "certificates", Fail, "none", "emerge"),
        (|f| f.certificates = Some("SSL_CERT_FILE names x".into()), "certificates", Fail, "names x", "unset"),
        (
            |f| {
                f.junk.push(Junk {
                    what: "files of aria2",
                    files: vec![PathBuf::from("/d/x.aria2")],
                    bytes: 4096,
                });
            },
            "junk",
            Warn,
            "1 files of aria2 (4.0 KiB)",
            "--fix=junk",
        ),
    ];
    for (at, (change, check, level, text, cure)) in cases.iter().enumerate() {
        let found = bad(change);
        let [(found_check, found_level, found_text, found_cure)] = &found[..] else {
            panic!("{at}: {found:?}")
        };
        assert_eq!((found_check, found_level), (check, level), "{at}: {found:?}");
        assert!(found_text.contains(text) && found_cure.contains(cure), "{at}: {found:?}");
        assert!(!found_text.contains("secret"), "{found_text}");
    }
    let found: BTreeSet<&str> = cases.iter().map(|case| case.1).collect();
    assert_eq!(found.len(), CHECKS.len() + 1, "a check without a case");
    for (_, check, _, _, cure) in cases.iter().filter(|case| case.4.starts_with("--fix=")) {
        assert!(FIXABLE.contains(check) && cure.ends_with(check), "{check}");
    }
}

#[test]
fn what_is_near_the_limit_is_well() {
    let changes: &[fn(&mut Facts)] = &[
        |f| f.free = Some(2 << 30),
        |f| f.free = None,
        |f| net(f).clock_behind = Some(-299),
        |f| net(f).clock_behind = None,
        |f| set(f, 0, aged(Freshness::Ageing, 1)),
        |f| set(f, 0, Health::Answers),
        |f| f.mirrors.push("/mnt/distfiles-mirror".into()),
        |f| f.mirrors.push("http://[2001:db8::1]:8080/gentoo".into()),
        |f| f.side_files = None,
        |f| f.junk.push(Junk { what: "files of aria2", files: Vec::new(), bytes: 0 }),
        |f| f.commands[0] = format!("nice /usr/bin/{FETCH}"),
    ];
    for (at, change) in changes.iter().enumerate() {
        assert_eq!(bad(change), [], "{at}");
    }
}

#[test]
fn cured_lists_keep_what_is_good_in_its_order() {
    let words = ["/mnt", "ftp://x", "https://a/", "htp://y", "https://A", "http://b"].map(str::to_owned);
    assert_eq!(usable(&words), ["/mnt", "https://a/", "http://b"]);
    let mut facts = well();
    facts.mirrors.push("http://nas.lan".to_owned());
    set(&mut facts, 0, Health::Dead("x".into()));
    set(&mut facts, 1, aged(Freshness::Stale, 2));
    set(&mut facts, 2, Health::Dead("x".into()));
    let network = facts.network.as_ref().unwrap();
    assert_eq!(healthy(&facts.mirrors, network, false), ["http://b.example/", "http://nas.lan"]);
    assert_eq!(healthy(&facts.mirrors, network, true), ["https://a.example/gentoo", "http://b.example/"]);
}

fn net(facts: &mut Facts) -> &mut Network {
    facts.network.as_mut().unwrap()
}

fn set(facts: &mut Facts, at: usize, health: Health) {
    net(facts).mirrors[at].1 = health;
}

fn aged(class: Freshness, days: u64) -> Health {
    Health::Aged(class, Duration::from_secs(days * 86_400))
}

fn deny(place: &mut Option<Place>, access: Access) {
    place.as_mut().unwrap().access = access;
}
