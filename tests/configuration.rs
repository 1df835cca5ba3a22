//! What the program takes from Portage's configuration, beside what an unmodified Portage takes from it.

use std::fs;
use std::path::Path;

use racefetch::portage::name_hash::NameHash;
use serde_json::Value;

use crate::real_portage::{assert_fetched, base, lab, layout_path};
use crate::support::content::content;
use crate::support::lab::{Dist, Lab};
use crate::support::mirror::Mirror;

/// Prints the mirrors that are asked for a distfile, by the steps of Portage's own fetch function.
const PORTAGES_MIRRORS: &str = "
import os, portage
from portage.const import CUSTOM_MIRRORS_FILE
from portage.util import grabdict
settings = portage.config(local_config=True)
custom = grabdict(os.path.join(settings['PORTAGE_CONFIGROOT'], CUSTOM_MIRRORS_FILE), recursive=1)
for mirror in custom.get('local', []) + settings['GENTOO_MIRRORS'].split():
    print('mirror ' + mirror.rstrip('/'))
";

/// A configuration: files below the prefix, lines of make.conf, and a variable of the environment.
#[derive(Default)]
struct Configured {
    files: &'static [(&'static str, &'static str)],
    make_conf: &'static str,
    environment: Option<&'static str>,
    /// What comes of it, so that the two do not agree on nothing.
    mirrors: &'static [&'static str],
}

#[test]
fn the_mirrors_are_those_that_portage_asks() {
    for configured in [
        Configured {
            make_conf: "GENTOO_MIRRORS='http://a http://b/x/'",
            mirrors: &["http://a", "http://b/x"],
            ..Default::default()
        },
        // /etc/portage/mirrors as a folder, with folders and files that do not count in it.
        Configured {
            files: &[
                ("etc/portage/mirrors/10-lan", "local http://lan/\n"),
                (
                    "etc/portage/mirrors/20/more",
                    "# none\nlocal http://more http://lan2/pub//\ngnu http://g\n",
                ),
                ("etc/portage/mirrors/30~", "local http://backup\n"),
                ("etc/portage/mirrors/.hidden", "local http://hidden\n"),
            ],
            make_conf: "GENTOO_MIRRORS=http://a",
            mirrors: &["http://lan", "http://more", "http://lan2/pub", "http://a"],
            ..Default::default()
        },
        Configured {
            files: &[("etc/portage/mirrors", "local http://lan/\r\nlocal http://lan2\r\n")],
            make_conf: "GENTOO_MIRRORS=''",
            environment: Some("http://e"),
            mirrors: &["http://lan", "http://lan2", "http://e"],
        },
        // The environment wins, also when it says that there are none.
        Configured {
            make_conf: "GENTOO_MIRRORS='http://a'",
            environment: Some("http://e/ http://f"),
            mirrors: &["http://e", "http://f"],
            ..Default::default()
        },
        Configured { make_conf: "GENTOO_MIRRORS='http://a'", environment: Some(""), ..Default::default() },
        // Variables of /etc/env.d, as env-update(1) writes them.
        Configured {
            files: &[("etc/profile.env", "export NEAR='http://near/g'\nexport WORDS='http://w $NEAR'\n")],
            make_conf: "GENTOO_MIRRORS=\"${NEAR} http://a ${WORDS}\"",
            mirrors: &["http://near/g", "http://a", "http://w", "$NEAR"],
            ..Default::default()
        },
        Configured {
            files: &[("etc/profile.env", "export GENTOO_MIRRORS='http://near'\n")],
            make_conf: "GENTOO_MIRRORS=\"http://a ${GENTOO_MIRRORS}\"",
            // As a login shell has it.
            environment: Some("http://near"),
            mirrors: &["http://a", "http://distfiles.gentoo.org"],
        },
        // make.conf of an editor for other systems.
        Configured {
            make_conf: "GENTOO_MIRRORS=\"http://a \\\r\n  http://b\r\n\thttp://c\"\r\n",
            mirrors: &["http://a", "http://b", "http://c"],
            ..Default::default()
        },
        Configured {
            make_conf: "X=http://a\rGENTOO_MIRRORS=$X\r# end\r",
            mirrors: &["http://a"],
            ..Default::default()
        },
        Configured {
            files: &[("etc/portage/more", "Y='http://y'\r\n")],
            make_conf: "source more\r\nGENTOO_MIRRORS=\"$Y\"\r\n",
            mirrors: &["http://y"],
            ..Default::default()
        },
    ] {
        let lab = lab().make_conf(configured.make_conf);
        for (path, text) in configured.files {
            put(&lab, path, text);
        }
        let variable = configured.environment.map(|value| ("GENTOO_MIRRORS", Path::new(value)));
        let variables: Vec<_> = variable.into_iter().collect();
        let portage = lab.run("python", &["-c", PORTAGES_MIRRORS], &variables);
        assert!(portage.success(), "{portage}");
        let portages = portage.output.lines().filter_map(|line| line.strip_prefix("mirror "));
        let mut portages: Vec<String> = portages.map(str::to_owned).collect();
        let mut expected: Vec<String> = configured.mirrors.iter().map(|&mirror| mirror.to_owned()).collect();
        portages.sort();
        expected.sort();
        assert_eq!(portages, expected, "{} {portage}", configured.make_conf);
        let mut ours = mirrors_of(&lab, configured.environment);
        ours.sort();
        expected.retain(|mirror| mirror.starts_with("http"));
        assert_eq!(ours, expected, "{}", configured.make_conf);
    }
}

/// The mirrors that the program would ask.
fn mirrors_of(lab: &Lab, environment: Option<&str>) -> Vec<String> {
    let variable = environment.map_or_else(String::new, |value| format!("GENTOO_MIRRORS='{value}' "));
    let run = lab.shell(&format!("{variable}racefetch stats --explain 1M --json 2>/dev/null"));
    assert!(run.success(), "{run}");
    let value: Value = serde_json::from_str(&run.output).unwrap_or_else(|error| panic!("{error}: {run}"));
    let order = value["order"].as_array().unwrap().iter();
    order.map(|reasons| reasons["mirror"].as_str().unwrap().to_owned()).collect()
}

fn put(lab: &Lab, path: &str, text: &str) {
    let path = lab.root().join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

#[test]
fn a_local_mirror_with_a_slash_is_a_mirror() {
    let dist = Dist::new("foo-1.tar", &content(1, 20_000));
    let [local, other] = [Mirror::start(), Mirror::start()];
    // Portage joins the two as they are.
    local.on("/gentoo//distfiles/layout.conf").serve("[structure]\n0=flat\n").times(1);
    local.on("/gentoo//distfiles/foo-1.tar").status(404).at_most(1);
    other.on(&layout_path()).serve("[structure]\n0=flat\n").always();
    other.on("/gentoo/distfiles/foo-1.tar").serve(&dist.content).times(1);
    let lab = lab().mirrors(&[base(&other)]).package("app-misc/foo-1", &[&dist]);
    put(&lab, "etc/portage/mirrors/local", &format!("local {}/\n", base(&local)));
    let run = lab.emerge(&["--fetchonly", "app-misc/foo"]);
    assert_fetched(&run, &lab, &dist);
    let calls = lab.calls();
    let fetches: Vec<_> = calls.iter().filter(|call| !call.is_layout()).collect();
    assert_eq!(fetches.len(), 1, "the call for the local mirror asks the other one, too: {fetches:#?}");
}

#[test]
fn mirrors_may_be_arranged_by_every_hash_of_portages() {
    let dist = Dist::new("foo-1.tar.xz", &content(1, 5000));
    let printed = "from portage.checksum import checksum_str, get_valid_checksum_keys as keys\n\
                   for k in sorted(map(str, keys())):\n if k != 'size': print(k, checksum_str(b'foo-1.tar.xz', k))";
    let run = lab().run("python", &["-W", "ignore", "-c", printed], &[]);
    let lines: Vec<_> = run.output.lines().filter_map(|line| line.split_once(' ')).collect();
    assert!(run.success() && lines.len() == NameHash::ALL.len(), "{run}");
    // Portage asks the first one. Where the second one has the file is for the program to find out.
    for ((first, first_hex), (second, second_hex)) in lines.iter().zip(lines.iter().cycle().skip(3)) {
        let mirrors = [Mirror::start(), Mirror::start()];
        for (mirror, algorithm) in mirrors.iter().zip([first, second]) {
            let conf = format!("[structure]\n0=filename-hash {algorithm} 8:4\n1=flat\n");
            mirror.on(&layout_path()).serve(conf).always();
        }
        let path = |hex: &str| format!("/gentoo/distfiles/{}/{}/{}", &hex[..2], &hex[2..3], dist.name);
        mirrors[0].on(&path(first_hex)).status(404).at_most(1);
        mirrors[1].on(&path(second_hex)).serve(&dist.content).times(1);
        let lab = lab().mirrors(&mirrors.each_ref().map(base)).package("app-misc/foo-1", &[&dist]);
        let run = lab.emerge(&["--fetchonly", "app-misc/foo"]);
        assert_fetched(&run, &lab, &dist);
    }
}

#[test]
fn a_section_that_comes_twice_is_named() {
    for (twice, said) in [
        ("[b]\nlocation = /nowhere\n[b]\nlocation = /nowhere\n", "line 3: the section b comes twice"),
        ("[b]\nlocation = /nowhere\nlocation = /there\n", "line 3: location is set twice in the section b"),
    ] {
        let lab = lab();
        put(&lab, "etc/portage/repos.conf/b.conf", twice);
        let portage = lab.shell("unset PORTAGE_REPOSITORIES; emerge --info");
        assert!(portage.output.contains("Error while reading repo config file"), "{portage}");
        let run = lab.shell("unset PORTAGE_REPOSITORIES; racefetch verify");
        let line = format!("etc/portage/repos.conf/b.conf: {said}");
        assert!(run.output.contains(&line), "{run}");
    }
}
