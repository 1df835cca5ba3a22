//! `racefetch-mirror-partial`: what the clients' lists name, verified and in the tree.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::cache::before;
use super::clients::{Client, Program};
use super::lan::run;
use super::rsync::Machine;
use crate::look_ahead::{hosting, lab_with};
use crate::support::content::content;
use crate::support::lab::{Dist, Lab};
use crate::support::mirror::Mirror;

const SCRIPT: &str = "racefetch-mirror-partial";

fn dists(names: &[&str]) -> Vec<Dist> {
    names.iter().enumerate().map(|(i, name)| Dist::new(name, &content(i as u64, 5000 + 100 * i))).collect()
}

/// What the machine is told of the repositories, the program and the mirrors.
fn conf(lab: &Lab, mirror: &Mirror) -> String {
    format!(
        "PARTIAL_RACEFETCH={}\nPARTIAL_REPOSITORIES=gentoo={}\nPARTIAL_OPTIONS='--mirrors {}'",
        env!("CARGO_BIN_EXE_racefetch"),
        lab.repository().display(),
        mirror.url("/gentoo")
    )
}

/// What a client's emerge prints.
fn list(lab: &Lab, package: &str) -> String {
    let run = lab.emerge(&["--pretend", "--fetchonly", package]);
    assert!(run.success(), "{run}");
    run.output
}

fn names(machine: &Machine) -> Vec<String> {
    let folder = fs::read_dir(machine.data().join("distfiles")).unwrap();
    let mut names: Vec<_> = folder.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| !name.starts_with('.'));
    names.sort();
    names
}

#[test]
fn what_the_lists_name_is_there_and_what_none_names_goes() {
    let (foo, bar) = (dists(&["foo-1.tar", "both-1.tar"]), dists(&["bar-1.tar", "both-1.tar"]));
    let bar = vec![bar[0].clone(), foo[1].clone()];
    let mirror = hosting(foo.iter().chain(&bar[..1]));
    let lab = lab_with(&[&mirror]).package("app-misc/foo-1", &[&foo[0], &foo[1]]);
    let lab = lab.package("app-misc/bar-1", &[&bar[0], &bar[1]]);
    let machine = Machine::new(SCRIPT, &conf(&lab, &mirror));
    assert!(machine.runs(1, &[]).contains("nothing is fetched, and nothing removed"));
    let lists = machine.data().join("lists");
    fs::write(lists.join("a.list"), list(&lab, "app-misc/foo")).unwrap();
    fs::write(lists.join("b.list"), list(&lab, "app-misc/bar")).unwrap();
    fs::write(machine.data().join("distfiles/stranger-1.tar"), "left by somebody").unwrap();

    let said = machine.runs(0, &["--dry-run"]);
    assert!(said.contains("3 would be fetched"), "{said}");
    assert_eq!(names(&machine), ["stranger-1.tar"]);
    let said = machine.runs(0, &[]);
    assert!(said.contains("0 files were there, 3 fetched and verified, 0 missing, 0 removed"), "{said}");
    assert_eq!(names(&machine), ["bar-1.tar", "both-1.tar", "foo-1.tar", "stranger-1.tar"]);
    for dist in foo.iter().chain(&bar) {
        assert_eq!(fs::read(machine.data().join("distfiles").join(&dist.name)).unwrap(), dist.content);
    }
    assert_eq!(machine.figure("racefetch_mirror_partial_success"), Some(1.0));
    assert_eq!(machine.figure("racefetch_mirror_partial_files{state=\"fetched\"}"), Some(3.0));

    // Nobody wants foo any more, and it was last seen long ago. What is named today stays, however old.
    fs::remove_file(lists.join("a.list")).unwrap();
    let seen = fs::read_to_string(machine.data().join(".partial-seen")).unwrap();
    let old: Vec<String> =
        seen.lines().map(|line| format!("1000 {}", line.split_once(' ').unwrap().1)).collect();
    fs::write(machine.data().join(".partial-seen"), old.join("\n") + "\n").unwrap();
    let said = machine.runs(0, &[]);
    assert!(said.contains("2 files were there, 0 fetched and verified, 0 missing, 2 removed"), "{said}");
    assert_eq!(names(&machine), ["bar-1.tar", "both-1.tar"]);

    // A cache before nothing serves them from the tree.
    let nobody = Mirror::start();
    let lan = before(&[&nobody]);
    for name in names(&machine) {
        fs::copy(machine.data().join("distfiles").join(&name), lan.distfiles().join(&name)).unwrap();
    }
    Client::new(Program::Racefetch, &bar[0]).fetch(&lan);
}

#[test]
fn clients_are_asked_by_ssh_and_one_that_is_off_keeps_its_list() {
    let foo = dists(&["foo-1.tar"]);
    let mirror = hosting(&foo);
    let lab = lab_with(&[&mirror]).package("app-misc/foo-1", &[&foo[0]]);
    let ssh = lab.root().join("tools/ssh");
    fs::create_dir(ssh.parent().unwrap()).unwrap();
    fs::write(lab.root().join("printed"), list(&lab, "app-misc/foo")).unwrap();
    // The host is the last argument but one.
    let script = format!(
        "#!/bin/sh\nwhile [ $# -gt 2 ]; do shift; done\n[ \"$1\" = on ] || {{ echo 'No route to host' >&2; exit 255; }}\n\
         [ \"$2\" = 'emerge -pf foo' ] && cat '{}'\n",
        lab.root().join("printed").display()
    );
    fs::write(&ssh, script).unwrap();
    fs::set_permissions(&ssh, fs::Permissions::from_mode(0o755)).unwrap();
    let hosts = "PARTIAL_HOSTS='on off'\nPARTIAL_COMMAND='emerge -pf foo'";
    let tools = format!("PATH={}:$PATH", ssh.parent().unwrap().display());
    let machine = Machine::new(SCRIPT, &format!("{}\n{hosts}\n{tools}", conf(&lab, &mirror)));
    let said = machine.runs(3, &[]);
    assert!(said.contains("off gave no list, and its last one is used: No route to host"), "{said}");
    assert_eq!(names(&machine), ["foo-1.tar"]);
    assert_eq!(machine.figure("racefetch_mirror_partial_success"), Some(0.0));
}

#[test]
fn what_nobody_has_is_named() {
    let foo = dists(&["foo-1.tar", "gone-1.tar"]);
    let mirror = hosting(&foo[..1]);
    mirror.on(&crate::look_ahead::path(&foo[1])).status(404).always();
    let lab = lab_with(&[&mirror]).package("app-misc/foo-1", &[&foo[0], &foo[1]]);
    let machine = Machine::new(SCRIPT, &conf(&lab, &mirror));
    fs::create_dir_all(machine.data().join("lists")).unwrap();
    fs::write(machine.data().join("lists/a.list"), list(&lab, "app-misc/foo")).unwrap();
    let said = machine.runs(3, &["--quiet"]);
    assert!(said.contains("missing gone-1.tar: ") && said.contains("not everything is there"), "{said}");
    assert_eq!(names(&machine), ["foo-1.tar"]);
    let (output, said) = run(&mut machine.command(&["--nonsense"]));
    assert_eq!(output.status.code(), Some(2), "{said}");
}
