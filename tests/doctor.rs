//! `racefetch doctor` over real configurations: what it finds, and what `--fix` changes.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use serde_json::Value;

use crate::real_portage::{base, lab};
use crate::support::lab::{Emerged, Lab};
use crate::support::mirror::Mirror;
use crate::support::ports::Port;

/// The level of each check, and its text.
fn findings(run: &Emerged) -> Vec<(String, String, String)> {
    let start = run.output.find('{').unwrap_or_else(|| panic!("{run}"));
    let value: Value =
        serde_json::from_str(&run.output[start..]).unwrap_or_else(|error| panic!("{error}: {run}"));
    let text = |finding: &Value, name: &str| finding[name].as_str().unwrap_or_default().to_owned();
    let all = value["findings"].as_array().unwrap().iter();
    all.map(|finding| (text(finding, "check"), text(finding, "level"), text(finding, "text"))).collect()
}

fn doctor(lab: &Lab, arguments: &str) -> Emerged {
    // The authorities of this machine say nothing of the laboratory.
    lab.shell(&format!("SSL_CERT_FILE=/bin/sh racefetch doctor {arguments}"))
}

/// The checks that found something.
fn bad(lab: &Lab, arguments: &str) -> Vec<String> {
    let all = findings(&doctor(lab, &format!("--json {arguments}")));
    all.into_iter().filter(|(_, level, _)| level != "ok").map(|(check, ..)| check).collect()
}

/// A mirror with a timestamp.
fn fresh_mirror() -> Mirror {
    let mirror = Mirror::start();
    let now = racefetch::commands::environment::unix_now();
    mirror.on("/gentoo/distfiles/timestamp.mirmon").serve(format!("{}\n", now - 3600)).always();
    mirror
}

#[test]
fn from_a_fresh_system_to_one_where_all_is_well() {
    let mirror = fresh_mirror();
    let lab = lab().mirrors(&[base(&mirror)]).fresh_system();
    assert_eq!(bad(&lab, ""), ["fetch-command"], "{}", doctor(&lab, ""));
    assert_eq!(doctor(&lab, "").status.code(), Some(1));
    assert!(lab.shell("racefetch setup --yes").success());
    let run = doctor(&lab, "");
    assert!(run.success() && run.output.contains("All is well."), "{run}");
    assert!(lab.shell("racefetch doctor --fix=x").output.contains("there are mirrors-order, "));
}

#[test]
fn mirrors_that_were_appended_below_are_moved_above() {
    let [old, new] = [fresh_mirror(), fresh_mirror()];
    let lab = lab().mirrors(&[base(&old)]).make_conf("USE=x").fresh_system();
    assert!(lab.shell("racefetch setup --yes").success());
    let path = lab.root().join("etc/portage/make.conf");
    // As mirrorselect does.
    let text = fs::read_to_string(&path).unwrap();
    let kept: String =
        text.split_inclusive('\n').filter(|line| !line.starts_with("GENTOO_MIRRORS")).collect();
    fs::write(&path, format!("{kept}\nGENTOO_MIRRORS=\"{}\"\n", base(&new))).unwrap();
    let has_mirror =
        |mirror: &Mirror| lab.shell("portageq envvar FETCHCOMMAND").output.contains(&base(mirror));
    assert!(!has_mirror(&new));
    assert_eq!(bad(&lab, "--offline"), ["mirrors-order"]);
    assert_eq!(doctor(&lab, "--offline").status.code(), Some(2));
    let run = doctor(&lab, "--offline --fix=mirrors-order");
    assert!(run.success(), "{run}");
    assert!(has_mirror(&new) && !has_mirror(&old));
    // All that was there but for that line is there, in its order.
    let fixed = fs::read_to_string(&path).unwrap();
    let is_ours = |line: &&str| {
        line.contains("GENTOO_MIRRORS=") || line.contains("--fix") || line.contains("racefetch end")
    };
    let rest = |text: &str| text.lines().filter(|line| !is_ours(line)).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(rest(&fixed), rest(&kept).into_iter().chain([String::new()]).collect::<Vec<_>>());
}

#[test]
fn what_each_mirror_says() {
    let [fresh, old, page, lacks] = [fresh_mirror(), Mirror::start(), Mirror::start(), Mirror::start()];
    let path = "/gentoo/distfiles/timestamp.mirmon";
    old.on(path).serve("1600000000\n").always();
    page.on(path).serve("<html>404</html>").always();
    lacks.on(path).status(404).always();
    let dead = Port::refusing();
    let dead = format!("http://{}/gentoo", dead.address());
    let all =
        [base(&fresh), base(&old), base(&page), base(&lacks), dead.clone(), "ftp://127.0.0.1/x".to_owned()];
    let lab = lab().mirrors(&all).fresh_system();
    assert!(lab.shell("racefetch setup --yes").success());
    let found = findings(&doctor(&lab, "--json"));
    let (_, level, text) = found.iter().find(|(check, ..)| check == "local-mirror").unwrap();
    assert_eq!(level, "warn", "{found:?}");
    for (mirror, what) in [(&all[1], "years old"), (&all[2], "something else"), (&dead, "does not answer")] {
        assert!(text.contains(&format!("{mirror}: ")) && text.contains(what), "{text}");
    }
    assert!(!text.contains(&all[0]) && !text.contains(&all[3]), "{text}");
    let run = doctor(&lab, "--fix");
    assert!(run.success(), "{run}");
    let left = lab.shell("portageq envvar GENTOO_MIRRORS").output;
    assert_eq!(left.split_whitespace().collect::<Vec<_>>(), [&all[0], &all[3]]);
}

#[test]
fn files_and_folders() {
    let mirror = fresh_mirror();
    let lab = lab().mirrors(&[base(&mirror)]).make_conf("HTTP_PROXY=http://proxy.lan").fresh_system();
    assert!(lab.shell("racefetch setup --yes").success());
    assert_eq!(bad(&lab, "--offline"), ["proxies"]);
    for name in ["a.tar._checksum_failure_.x1y2", "b.tar.aria2"] {
        fs::write(lab.distdir().join(name), [0; 5000]).unwrap();
    }
    fs::write(lab.distdir().join("a.tar"), "stays").unwrap();
    fs::remove_dir_all(lab.state_file().parent().unwrap()).unwrap();
    assert_eq!(bad(&lab, "--offline"), ["state", "proxies", "junk"]);
    // Only what is named.
    assert_eq!(bad(&lab, "--offline --fix=state,distdir"), ["proxies", "junk"]);
    assert_eq!(bad(&lab, "--offline --fix"), ["proxies"]);
    assert_eq!(lab.distfiles(), ["a.tar"]);
    fs::remove_dir_all(lab.distdir()).unwrap();
    assert_eq!(bad(&lab, "--offline"), ["distdir", "proxies"]);
    assert_eq!(doctor(&lab, "--offline").status.code(), Some(2));

    let path = lab.root().join("etc/portage/make.conf");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{text}A='\n")).unwrap();
    assert!(bad(&lab, "--offline").contains(&"make-conf".to_owned()));
}

#[test]
fn what_the_user_portage_may() {
    if !rustix::process::geteuid().is_root() || crate::support::lab::account::ensure().is_err() {
        eprintln!("skipped: there is no user portage");
        return;
    }
    let mirror = fresh_mirror();
    let lab = lab().mirrors(&[base(&mirror)]).make_conf("FEATURES=\"${FEATURES} userfetch\"").fresh_system();
    assert!(lab.shell("racefetch setup --yes").success());
    assert_eq!(bad(&lab, "--offline"), [""; 0]);
    let close =
        |path: &std::path::Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    let path = lab.root().join("etc/portage/make.conf");
    let side_files = lab.distdir().join(".racefetch");
    fs::create_dir(&side_files).unwrap();
    for (path, mode) in [(&path, 0o600), (&lab.distdir(), 0o755), (&side_files, 0o700)] {
        std::os::unix::fs::chown(path, Some(0), Some(0)).unwrap();
        close(path, mode);
    }
    assert_eq!(bad(&lab, "--offline"), ["readable", "distdir", "side-files"]);
    assert_eq!(bad(&lab, "--offline --fix"), [""; 0]);
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o640);
    assert_eq!(fs::metadata(lab.distdir()).unwrap().mode() & 0o7777, 0o2775);
    // A program that only root can reach.
    close(&lab.root().join("libexec"), 0o700);
    assert_eq!(bad(&lab, "--offline"), ["fetch-command"]);
}
