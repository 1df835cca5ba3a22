//! What servers and proxies in the field do, before an unmodified `emerge --fetchonly`: curl and wget get the file, and so
//! must the program, in one call.

use std::fs;

use crate::look_ahead::{hosting, lab_with, path};
use crate::real_portage::{downloads, layout_path};
use crate::support::content::content;
use crate::support::lab::{Dist, Layout};
use crate::support::mirror::{Mirror, Rule};

/// The oddity, and what every mirror says.
fn rows(dist: &Dist) -> Vec<(&'static str, Rule)> {
    let serve = || Rule::serve(dist.content.as_slice());
    vec![
        ("403 to ranges", serve().range_status(403)),
        ("400 to ranges", serve().range_status(400)),
        ("404 to ranges", serve().range_status(404)),
        ("416 to ranges", serve().range_status(416)),
        ("500 to ranges", serve().range_status(500)),
        ("206 without Content-Range", serve().range_status(206)),
        ("a stray semicolon", serve().content_range("bytes 0-9/10;")),
        ("a length that is too large", serve().length(&(dist.content.len() + 2).to_string())),
        ("a type that is wrong", serve().chunked().no_ranges().field("Content-Type", "text/html")),
    ]
}

#[test]
fn odd_servers_before_emerge() {
    let dist = Dist::new("foo-1.tar.xz", &content(1, 6 << 20));
    for resumed in [false, true] {
        for (story, rule) in rows(&dist) {
            let mirrors = [Mirror::start(), Mirror::start()];
            for mirror in &mirrors {
                mirror.on(&layout_path()).serve(Layout::FilenameHash.conf()).always();
                mirror.on(&path(&dist)).add(rule.clone().always());
            }
            let lab = lab_with(&[&mirrors[0], &mirrors[1]]).package("app-misc/foo-1", &[&dist]);
            if resumed {
                fs::create_dir_all(lab.distdir()).unwrap();
                fs::write(lab.partial(&dist.name), &dist.content[..2 << 20]).unwrap();
            }
            let run = lab.emerge(&["--fetchonly", "app-misc/foo"]);
            assert!(run.success(), "{story}, resumed {resumed}: {run}");
            assert_eq!(lab.distfile(&dist.name).as_deref(), Some(&dist.content[..]), "{story}: {run}");
            assert_eq!(downloads(&lab).len(), 1, "{story}: one call: {run}");
        }
    }
}

#[test]
fn options_of_other_protocols_before_emerge() {
    // As Gentoo's wiki and many a make.conf have them.
    let dist = Dist::new("foo-1.tar.xz", &content(1, 300_000));
    for words in ["--ftp-pasv", "--ftp-pasv --connect-timeout 15", "--disable-epsv --ftp-skip-pasv-ip"] {
        let mirror = hosting([&dist]);
        let command =
            format!("racefetch {words} -f -L -o \\\"\\${{DISTDIR}}/\\${{FILE}}\\\" \\\"\\${{URI}}\\\"");
        let lab = lab_with(&[&mirror])
            .make_conf(&format!("FETCHCOMMAND=\"{command}\"\nRESUMECOMMAND=\"{command} -C -\"\n"))
            .package("app-misc/foo-1", &[&dist]);
        let run = lab.emerge(&["--fetchonly", "app-misc/foo"]);
        assert!(run.success(), "{words}: {run}");
        assert_eq!(lab.distfile(&dist.name).as_deref(), Some(&dist.content[..]), "{words}: {run}");
    }
}

#[test]
fn a_cookie_that_a_redirect_sets_before_emerge() {
    let dist = Dist::new("foo-1.tar.xz", &content(1, 300_000));
    let mirror = Mirror::start();
    mirror.on(&layout_path()).serve(Layout::FilenameHash.conf()).always();
    mirror.on(&path(&dist)).redirect(302, "/cookie").field("Set-Cookie", "seen=1; Path=/").times(1);
    mirror.on("/cookie").redirect(302, &path(&dist)).times(1);
    mirror.on(&path(&dist)).serve(dist.content.as_slice()).times(1);
    let lab = lab_with(&[&mirror]).package("app-misc/foo-1", &[&dist]);
    let run = lab.emerge(&["--fetchonly", "app-misc/foo"]);
    assert!(run.success(), "{run}");
    assert_eq!(lab.distfile(&dist.name).as_deref(), Some(&dist.content[..]), "{run}");
    let sent: Vec<Option<String>> =
        mirror.requests_for(&path(&dist)).iter().map(|r| r.field("Cookie").map(str::to_owned)).collect();
    assert_eq!(sent, [None, Some("seen=1".to_owned())], "{run}");
}
