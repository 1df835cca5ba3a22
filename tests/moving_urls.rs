//! Upstreams that keep the newest version of a file under one URL, `https://host/latest.deb`, which the ebuilds of all
//! versions name (`-> foo-1.deb`, `-> foo-2.deb`). What lies there is one of these files, and nobody says which.

use std::fs;

use crate::look_ahead::lab_with;
use crate::support::content::content;
use crate::support::lab::{Dist, Emerged, Lab};
use crate::support::mirror::{Mirror, Rule};

const LATEST: &str = "/pool/latest.deb";

/// The file of one version, `foo-VERSION.deb`. Those of one size differ in their content.
fn deb(version: u64, size: usize) -> Dist {
    Dist::new(&format!("foo-{version}.deb"), &content(version, size))
}

/// One package with a version, and a slot, for each of these files, all of which come from that URL.
fn versions(mut lab: Lab, url: &str, debs: &[Dist]) -> Lab {
    for (number, deb) in (1..).zip(debs) {
        let text = format!(
            "EAPI=8\nDESCRIPTION=\"A test\"\nHOMEPAGE=\"https://example.org\"\nSRC_URI=\"{url} -> {}\"\n\
             S=\"${{WORKDIR}}\"\nLICENSE=\"MIT\"\nSLOT=\"{number}\"\nKEYWORDS=\"amd64\"\nRESTRICT=\"mirror\"\n\
             src_unpack() {{ :; }}\n",
            deb.name
        );
        lab = lab.ebuild(&format!("app-misc/foo-{number}"), &text, &debs.iter().collect::<Vec<_>>());
    }
    lab
}

/// What of the files is in DISTDIR, by numbers from 1.
fn there(lab: &Lab, debs: &[Dist]) -> Vec<usize> {
    let is_there = |deb: &Dist| lab.distfile(&deb.name).is_some_and(|bytes| bytes == deb.content);
    (1..).zip(debs).filter(|(_, deb)| is_there(deb)).map(|(number, _)| number).collect()
}

#[derive(Clone, Copy)]
struct Story {
    sizes: &'static [usize],
    /// Of the version that upstream has, from 1.
    upstream: usize,
    /// Versions that emerge wants.
    wanted: &'static [usize],
    /// Versions that are there before.
    before: &'static [usize],
    rule: fn(Rule) -> Rule,
}

/// Runs `racefetch prefetch` for the versions wanted, with an upstream that answers one request.
fn prefetch(story: Story) -> (Lab, Vec<Dist>, Emerged) {
    let debs: Vec<Dist> = (1..).zip(story.sizes).map(|(version, size)| deb(version, *size)).collect();
    let upstream = Mirror::start();
    let mirror = Mirror::start(); // fails the test when it is asked for anything
    upstream.on(LATEST).add((story.rule)(Rule::serve(&debs[story.upstream - 1].content)).times(1));
    let lab = versions(lab_with(&[&mirror]), &upstream.url(LATEST), &debs);
    for number in story.before {
        fs::write(lab.distdir().join(&debs[number - 1].name), &debs[number - 1].content).unwrap();
    }
    let atoms: Vec<String> = story.wanted.iter().map(|number| format!("=app-misc/foo-{number}")).collect();
    let arguments: Vec<&str> = ["prefetch"].into_iter().chain(atoms.iter().map(String::as_str)).collect();
    let run = lab.racefetch(&arguments);
    (lab, debs, run)
}

const STORY: Story =
    Story { sizes: &[20_000, 30_000], upstream: 2, wanted: &[2], before: &[], rule: |rule| rule };

#[test]
fn the_file_gets_the_name_that_it_has() {
    for (title, story) in [
        ("the newest", STORY),
        ("an older one is there", Story { before: &[1], ..STORY }),
        ("upstream is late", Story { upstream: 1, wanted: &[1], ..STORY }),
        ("of the same size", Story { sizes: &[20_000, 20_000], ..STORY }),
        (
            "of the same size, the older one",
            Story { sizes: &[20_000, 20_000], upstream: 1, wanted: &[1], ..STORY },
        ),
        ("three versions", Story { sizes: &[20_000, 30_000, 20_000], upstream: 3, wanted: &[3], ..STORY }),
        ("no length", Story { rule: Rule::chunked, ..STORY }),
        ("no length, and smaller", Story { sizes: &[30_000, 20_000], rule: Rule::until_close, ..STORY }),
        ("no ranges", Story { rule: Rule::no_ranges, ..STORY }),
        ("a large one", Story { sizes: &[20_000_000, 21_000_000], ..STORY }),
    ] {
        let (lab, debs, run) = prefetch(story);
        assert!(run.success(), "{title}: {run}");
        let mut expected = [story.before, &[story.upstream]].concat();
        expected.sort_unstable();
        assert_eq!(there(&lab, &debs), expected, "{title}: {run}");
        assert_eq!(lab.distfiles().len(), expected.len(), "{title}: {:?}", lab.distfiles());
        assert!(run.output.contains("distfile: 1 fetched and verified ("), "{title}: {run}");
        // emerge finds it.
        let atom = format!("=app-misc/foo-{}", story.upstream);
        let calls = lab.calls().len();
        let emerge = lab.emerge(&["--fetchonly", &atom]);
        assert!(emerge.success() && lab.calls().len() == calls, "{title}: {emerge}");
    }
}

#[test]
fn what_upstream_does_not_have_any_longer_is_named() {
    let mismatch: fn(Rule) -> Rule = |rule| rule.corrupted_at(100);
    for (title, story, missing, came) in [
        (
            "both are wanted",
            Story { wanted: &[1, 2], ..STORY },
            "missing foo-1.deb: ",
            &[2_usize] as &[usize],
        ),
        (
            "both are wanted, of the same size",
            Story { sizes: &[9000, 9000], wanted: &[1, 2], ..STORY },
            "missing foo-1.deb: ",
            &[2],
        ),
        (
            "another file altogether",
            Story { rule: |_| Rule::serve(content(9, 777)), ..STORY },
            "missing foo-1.deb or foo-2.deb: ",
            &[],
        ),
        ("wrong bytes", Story { rule: mismatch, ..STORY }, "missing foo-1.deb or foo-2.deb: ", &[]),
        ("gone", Story { rule: |_| Rule::status(404), ..STORY }, "missing foo-1.deb or foo-2.deb: ", &[]),
    ] {
        let (lab, debs, run) = prefetch(story);
        assert_eq!(run.status.code(), Some(1), "{title}: {run}");
        assert!(run.output.lines().any(|line| line.starts_with(missing)), "{title}: {run}");
        assert_eq!(there(&lab, &debs), came, "{title}: {run}");
        assert_eq!(lab.distfiles().len(), came.len(), "{title}: {:?}", lab.distfiles());
    }
}

#[test]
fn what_was_begun_is_gone_on_with() {
    let debs = [deb(1, 400_000), deb(2, 500_000)];
    // Of which version there is a beginning, how much of it is right, and what is sent then.
    for (part_of, right, sent) in [(2, 300_000, 200_000), (1, 300_000, 500_000), (2, 100_000, 700_000)] {
        let upstream = Mirror::start();
        upstream.on(LATEST).serve(&debs[1].content).at_most(2);
        let mirror = Mirror::start();
        let lab = versions(lab_with(&[&mirror]), &upstream.url(LATEST), &debs);
        let part = &debs[part_of - 1];
        let begun = [&part.content[..right], &vec![0; 300_000 - right]].concat();
        fs::write(lab.partial(&part.name), begun).unwrap();
        let run = lab.racefetch(&["prefetch", "=app-misc/foo-2"]);
        assert!(run.success(), "{run}");
        assert_eq!(there(&lab, &debs), [2], "{run}");
        let bytes = upstream.body_bytes_sent();
        assert!((sent..=sent + 200_000).contains(&bytes), "{bytes} bytes");
    }
}

/// The same for Portage's own call: it asks for one version, and what comes is another one of the same size.
#[test]
fn a_fetch_keeps_what_is_another_distfile_of_the_manifest() {
    let debs = [deb(1, 20_000), deb(2, 20_000)];
    for wanted in [1, 2] {
        let (upstream, mirror) = (Mirror::start(), Mirror::start());
        let has = 3 - wanted;
        upstream.on(LATEST).serve(&debs[has - 1].content).always();
        let lab = versions(lab_with(&[&mirror]), &upstream.url(LATEST), &debs);
        let run = lab.emerge(&["--fetchonly", &format!("=app-misc/foo-{wanted}")]);
        assert!(!run.success(), "{run}");
        assert!(run.output.contains(&format!("what came is foo-{has}.deb")), "{run}");
        assert_eq!(there(&lab, &debs), [has], "{run}");
        assert_eq!(lab.distfiles().len(), 1, "{:?}\n{run}", lab.distfiles());
        let calls = lab.calls().len();
        let emerge = lab.emerge(&["--fetchonly", &format!("=app-misc/foo-{has}")]);
        assert!(emerge.success() && lab.calls().len() == calls, "{emerge}");
    }
}

/// Two packages, the mirrors of which lack the files: upstream's one URL is the last place of both.
#[test]
fn what_is_wrong_for_one_file_is_tried_for_the_others() {
    let [first, second] = [deb(1, 20_000), deb(2, 20_000)];
    let upstream = Mirror::start();
    upstream.on(LATEST).serve(&second.content).at_most(2);
    let mirror = Mirror::start();
    mirror.on(&crate::real_portage::layout_path()).serve("[structure]\n0=filename-hash BLAKE2B 8\n").always();
    for dist in [&first, &second] {
        mirror.on(&crate::look_ahead::path(dist)).status(404).at_most(1);
    }
    let uri = |dist: &Dist| dist.clone().uri(&format!("{} -> {}", upstream.url(LATEST), dist.name));
    let lab = lab_with(&[&mirror]).package("app-misc/foo-1", &[&uri(&first)]);
    let lab = lab.package("app-misc/bar-1", &[&uri(&second)]);
    let run = lab.racefetch(&["prefetch", "--jobs", "1", "app-misc/foo", "app-misc/bar"]);
    assert_eq!(run.status.code(), Some(1), "{run}");
    assert_eq!(there(&lab, &[first, second]), [2], "{run}");
    assert!(run.output.contains("missing foo-1.deb"), "{run}");
}
