//! The cache: each byte comes once from the public mirrors, whoever asks for it and how.

use std::fs;
use std::process::Command;

use super::clients::{Client, PROGRAMS, Program};
use super::lan::{Lan, run, wait_for};
use crate::real_portage::{self, layout_path};
use crate::support::content::content;
use crate::support::lab::{Dist, Layout};
use crate::support::mirror::Mirror;
use crate::support::ports::Port;
use crate::support::tls::{Certificate, test_ca};

/// Some slices of the cache and a part of one.
pub const LARGE: usize = 10_000_000;
/// One slice.
pub const SLICE: usize = 1 << 20;

/// Below a mirror, in the layout that Gentoo's have.
pub fn path(dist: &Dist) -> String {
    format!("/distfiles/{}", Layout::FilenameHash.path(dist))
}

pub fn large(seed: u64) -> Dist {
    Dist::new(&format!("large-{seed}.tar.xz"), &content(seed, LARGE))
}

/// A public mirror that has these files.
pub fn public(dists: &[Dist]) -> Mirror {
    let mirror = Mirror::start();
    host(&mirror, dists);
    mirror
}

fn host(mirror: &Mirror, dists: &[Dist]) {
    mirror.on(&layout_path()).serve(Layout::FilenameHash.conf()).always();
    for dist in dists {
        mirror.on(&format!("/gentoo{}", path(dist))).serve(&dist.content).always();
    }
}

/// A cache before these.
pub fn before(mirrors: &[&Mirror]) -> Lan {
    Lan::start(&mirrors.iter().map(|mirror| real_portage::base(mirror)).collect::<Vec<_>>())
}

pub fn sent(mirrors: &[&Mirror]) -> usize {
    usize::try_from(mirrors.iter().map(|mirror| mirror.body_bytes_sent()).sum::<u64>()).unwrap()
}

/// The status and the content that curl gets.
fn ask(lan: &Lan, path: &str, options: &[&str]) -> (String, Vec<u8>) {
    let mut curl = Command::new("curl");
    let (output, said) = run(curl
        .args(["-sS", "--path-as-is", "-w", "%{stderr}%{http_code}"])
        .args(options)
        .arg(lan.url(path)));
    assert!(output.status.success(), "{said}");
    (String::from_utf8(output.stderr).unwrap(), output.stdout)
}

#[test]
fn each_byte_is_fetched_once() {
    let dists =
        [Dist::new("gtk+-3~rc1.tar.xz", &content(1, LARGE)), Dist::new("small-1.tar", &content(2, 5000))];
    let mirrors = [&public(&dists), &public(&dists)];
    let lan = before(&mirrors);
    for round in ["cold", "warm"] {
        for dist in &dists {
            assert!(
                ask(&lan, &path(dist), &[]) == ("200".to_owned(), dist.content.clone()),
                "{round} {}",
                dist.name
            );
        }
    }
    // Over the border of two slices.
    let (status, bytes) = ask(&lan, &path(&dists[0]), &["-r", "4194300-8388999"]);
    assert!(status == "206" && bytes == dists[0].content[4_194_300..8_389_000]);
    assert_eq!(sent(&mirrors), LARGE + 5000, "{}", lan.log("public.log"));
    assert!(mirrors.iter().all(|mirror| mirror.body_bytes_sent() > 0), "they share the work");
    let seen = &mirrors[0].requests()[0];
    assert_eq!(seen.target, format!("/gentoo{}", path(&dists[0])));
    assert_eq!(seen.field("Host"), Some(mirrors[0].address().to_string().as_str()));
}

#[test]
fn every_client_gets_it_cold_half_filled_and_warm() {
    for program in PROGRAMS {
        let dist = large(1);
        let mirror = public(std::slice::from_ref(&dist));
        let lan = before(&[&mirror]);
        Client::new(program, &dist).fetch(&lan);
        let cold = sent(&[&mirror]);
        assert!(cold <= LARGE + 1000, "{program:?}: {cold} bytes of {LARGE}\n{}", lan.log("public.log"));
        // Another file of which the cache has the middle.
        let dist = large(2);
        host(&mirror, std::slice::from_ref(&dist));
        ask(&lan, &path(&dist), &["-r", "5000000-5000099"]);
        for _ in ["half filled", "warm"] {
            Client::new(program, &dist).fetch(&lan);
        }
        let all = sent(&[&mirror]);
        assert!(
            all <= 2 * (LARGE + 1000),
            "{program:?}: {all} bytes of {}\n{}",
            2 * LARGE,
            lan.log("public.log")
        );
    }
}

#[test]
fn twenty_at_once_cost_one_download() {
    let dist = large(1);
    let mirror = public(std::slice::from_ref(&dist));
    let lan = before(&[&mirror]);
    // Slow enough that they meet.
    mirror.limit_rate(8_000_000);
    let clients: Vec<_> = (0..20).map(|i| Client::new(PROGRAMS[i % 4], &dist)).collect();
    let children: Vec<_> = clients.iter().map(|client| client.start(&lan)).collect();
    clients.iter().zip(children).for_each(|(client, child)| client.finish(child));
    assert!(sent(&[&mirror]) <= LARGE + LARGE / 50, "{} bytes\n{}", sent(&[&mirror]), lan.log("public.log"));
}

#[test]
fn emerge_on_two_machines() {
    let dists: Vec<Dist> = (0..12)
        .map(|i| Dist::new(&format!("crate-{i}.crate"), &content(i as u64, 40_000 + 5000 * i)))
        .collect();
    let dists: Vec<Dist> = dists.into_iter().chain([large(20)]).collect();
    let wanted: usize = dists.iter().map(|dist| dist.content.len()).sum();
    let mirrors = [&public(&dists), &public(&dists)];
    let lan = before(&mirrors);
    let elsewhere = Mirror::start(); // fails the test when it is asked for a file
    elsewhere.on(&layout_path()).serve(Layout::FilenameHash.conf()).always();
    let public = format!("RACEFETCH_TIERS=\"{}=1\"", elsewhere.address());
    let lab = || {
        let dists: Vec<&Dist> = dists.iter().collect();
        real_portage::lab()
            .mirrors(&[lan.base(), real_portage::base(&elsewhere)])
            .make_conf(&public)
            .package("app-misc/foo-1", &dists)
    };
    let machines = [lab(), lab()];
    let runs = machines.each_ref().map(|lab| lab.start_emerge(&["--fetchonly", "app-misc/foo"]));
    for (lab, run) in machines.iter().zip(runs) {
        let run = run.finish();
        assert!(run.success(), "{run}\n{}", lan.log("access.log"));
        for dist in &dists {
            assert!(
                lab.distfile(&dist.name).is_some_and(|file| file == dist.content),
                "{}\n{run}",
                dist.name
            );
        }
    }
    let sent = sent(&mirrors);
    assert!(sent <= wanted + wanted / 50, "{sent} bytes for {wanted}\n{}", lan.log("public.log"));
}

#[test]
fn verified_files_come_first_flat_or_in_their_folders() {
    let [flat, hashed] = ["flat-1.tar", "hashed-1.tar"].map(|name| Dist::new(name, &content(1, 9000)));
    let mirror = Mirror::start(); // fails the test when it is asked
    let lan = before(&[&mirror]);
    fs::write(lan.distfiles().join(&flat.name), &flat.content).unwrap();
    let place = lan.root().join(format!("DATA{}", path(&hashed)));
    fs::create_dir(place.parent().unwrap()).unwrap();
    fs::write(place, &hashed.content).unwrap();
    for dist in [&flat, &hashed] {
        assert!(ask(&lan, &path(dist), &[]) == ("200".to_owned(), dist.content.clone()));
        Client::new(Program::Racefetch, dist).fetch(&lan);
    }
    assert_eq!(ask(&lan, "/distfiles/flat-1.tar", &[]).1, flat.content);
}

#[test]
fn what_is_not_a_verified_file_is_not_served() {
    let mirror = Mirror::start(); // fails the test when it is asked
    let lan = before(&[&mirror]);
    let names =
        [".hidden", "foo.tar.__download__", "foo.tar._checksum_failure_.x1y2", ".racefetch/foo.ahead"];
    fs::create_dir(lan.distfiles().join(".racefetch")).unwrap();
    for name in names {
        fs::write(lan.distfiles().join(name), "secret").unwrap();
        for place in [format!("/distfiles/{name}"), format!("/distfiles/00/{name}")] {
            assert_eq!(ask(&lan, &place, &[]).0, "404", "{place}");
        }
    }
    fs::write(lan.root().join("DATA/lists/host.list"), "secret").unwrap();
    for place in [
        "/lists/host.list",
        "/distfiles/../lists/host.list",
        "/distfiles/00/..%2f..%2flists/host.list",
        "/",
        "/distfiles/",
    ] {
        assert_eq!(ask(&lan, place, &[]).0, "404", "{place}");
    }
    assert_eq!(ask(&lan, "/distfiles/00/foo.tar?x", &[]).0, "404");
    assert_eq!(ask(&lan, "/distfiles/00/foo.tar", &["-X", "DELETE"]).0, "405");
    assert_eq!(ask(&lan, "/healthz", &[]), ("200".to_owned(), b"ok\n".to_vec()));
    assert!(String::from_utf8(ask(&lan, "/nginx_status", &[]).1).unwrap().starts_with("Active connections"));
}

#[test]
fn strangers_are_refused() {
    let lan = Lan::start_with(&["http://127.0.0.1:9".to_owned()], "NETWORKS=10.0.0.0/8", &[]);
    assert_eq!(ask(&lan, "/distfiles/00/foo.tar", &[]).0, "403");
}

#[test]
fn what_changes_is_never_kept() {
    let mirror = Mirror::start();
    let paths = ["/distfiles/layout.conf", "/distfiles/timestamp.mirmon", "/distfiles/timestamp.chk"];
    let lan = before(&[&mirror]);
    for path in paths {
        for text in ["first", "second"] {
            mirror.on(&format!("/gentoo{path}")).serve(text);
            assert_eq!(ask(&lan, path, &[]), ("200".to_owned(), text.into()), "{path}");
        }
    }
    assert_eq!(lan.kept(), 0);
}

#[test]
fn the_usual_layout_is_told_when_no_mirror_answers() {
    let dist = Dist::new("foo-1.tar", &content(1, 5000));
    let mirror = public(std::slice::from_ref(&dist));
    let lan = before(&[&mirror]);
    Client::new(Program::Curl, &dist).fetch(&lan);
    drop(mirror);
    assert_eq!(ask(&lan, "/distfiles/layout.conf", &[]).1, Layout::FilenameHash.conf().as_bytes());
    Client::new(Program::Wget, &dist).fetch(&lan);
}

#[test]
fn a_missing_file_is_asked_for_again_later_and_not_at_once() {
    let dist = Dist::new("new-1.tar", &content(1, 5000));
    let place = format!("/gentoo{}", path(&dist));
    let mirrors = [&Mirror::start(), &Mirror::start()];
    for mirror in mirrors {
        mirror.on(&place).status(404).times(1);
        mirror.on(&place).serve(&dist.content).at_most(1);
    }
    let lan = before(&mirrors);
    for _ in 0..3 {
        assert_eq!(ask(&lan, &path(&dist), &[]).0, "404");
    }
    // Who knows that it is there now says so.
    let (status, bytes) = ask(&lan, &path(&dist), &["-H", "Cache-Control: no-cache"]);
    assert!(status == "200" && bytes == dist.content);
    assert!(ask(&lan, &path(&dist), &[]).1 == dist.content);
}

#[test]
fn snapshots_with_a_date_are_kept_and_the_latest_is_not() {
    let mirror = Mirror::start();
    mirror.on("/gentoo/snapshots/gentoo-20261127.tar.xz").serve("dated");
    mirror.on("/gentoo/snapshots/gentoo-latest.tar.xz").serve("latest").times(2);
    let lan = before(&[&mirror]);
    for _ in 0..2 {
        assert_eq!(ask(&lan, "/snapshots/gentoo-20261127.tar.xz", &[]).1, b"dated");
        assert_eq!(ask(&lan, "/snapshots/gentoo-latest.tar.xz", &[]).1, b"latest");
    }
}

#[test]
fn certificates_are_checked_by_name_and_redirects_are_not_followed() {
    let dist = Dist::new("foo-1.tar", &content(1, 5000));
    let place = format!("/gentoo{}", path(&dist));
    let bad = [Certificate::WrongName, Certificate::Expired, Certificate::SelfSigned].map(Mirror::start_tls);
    let away = Mirror::start_tls(Certificate::Valid);
    away.on(&place).redirect(302, "http://127.0.0.1:9/").at_most(1);
    let good = Mirror::start_tls(Certificate::Valid);
    good.on(&place).serve(&dist.content);
    let ca = tempfile::tempdir().unwrap();
    let conf = format!("CA_FILE={}", test_ca().write_pem_files(ca.path()).ca.display());
    let named = |mirror: &Mirror| format!("https://a.mirrors.test:{}/gentoo", mirror.address().port());
    let before = |mirrors: &[&Mirror]| {
        Lan::start_with(&mirrors.iter().map(|mirror| named(mirror)).collect::<Vec<_>>(), &conf, &[])
    };
    let lan = before(&[&bad[0], &bad[1], &away, &good]);
    assert!(
        ask(&lan, &path(&dist), &[]) == ("200".to_owned(), dist.content.clone()),
        "{}",
        lan.log("error.log")
    );
    let lan = before(&bad.each_ref());
    assert_eq!(ask(&lan, &path(&dist), &[]).0, "502");
}

#[test]
fn a_ring_of_mirrors_ends() {
    let refused = Port::refusing();
    let lan = Lan::start(&[format!("http://{}", refused.address())]);
    lan.set_up(&["--mirrors", &lan.base()]);
    // nginx uses it a moment later.
    let ended = wait_for(|| ask(&lan, "/distfiles/00/foo.tar", &[]).0 == "508");
    assert!(ended, "{}", lan.log("access.log"));
    let asked = lan.log("access.log").lines().count();
    ask(&lan, "/distfiles/00/foo.tar", &[]);
    // It asks itself once for each of its tries.
    assert!(lan.log("access.log").lines().count() <= asked + 5, "{}", lan.log("access.log"));
}

#[test]
fn a_configuration_that_nginx_refuses_is_not_put_into_place() {
    let mirror = Mirror::start();
    let lan = before(&[&mirror]);
    let file = lan.root().join("etc/upstreams.conf");
    let old = fs::read_to_string(&file).unwrap();
    let bad = lan.root().join("bad.conf");
    fs::write(&bad, "upstream public_mirrors { }\n").unwrap();
    let (output, said) = run(lan.setup().arg("--upstreams").arg(&bad));
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("nginx refuses the configuration, and the old one stays: "), "{said}");
    assert_eq!(fs::read_to_string(&file).unwrap(), old);
    for mirrors in
        ["http://a/$x", "http://a/;}", "ftp://a/", "http://u:p@a/", "http://a/\"", "http://a/#", "x", ""]
    {
        let (output, said) = run(lan.setup().args(["--mirrors", mirrors]));
        assert_eq!(output.status.code(), Some(2), "{mirrors}: {said}");
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), old);
    assert_eq!(ask(&lan, "/healthz", &[]).0, "200");
}
