//! The public mirrors behind the cache are those that `racefetch rank` chooses.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use super::cache::{large, path};
use super::clients::{Client, Program};
use super::lan::{Lan, run, wait_for};
use crate::rank::{Stage, sound};
use crate::support::mirror::Mirror;
use crate::support::ports::Port;

#[test]
fn the_setup_ranks_and_the_cache_fetches_from_whom_it_chose() {
    let dist = large(1);
    let mirrors = [Mirror::start(), Mirror::start()];
    // Ranked under public names, which the name server of the cache leads to these ports.
    let names = ["a.example", "b.example"];
    let hosts: Vec<String> = names
        .iter()
        .zip(&mirrors)
        .map(|(name, mirror)| format!("{name}:{}", mirror.address().port()))
        .collect();
    for mirror in &mirrors {
        mirror.on(&format!("/gentoo{}", path(&dist))).serve(&dist.content).always();
    }
    let listed: Vec<_> = hosts.iter().map(|host| (host.as_str(), host.as_str(), sound(1_000_000))).collect();
    let stage = Stage::new("").mirrors(&listed);

    // Before the ranking nobody stands behind it.
    let dead = Port::refusing();
    let lan = Lan::start(&[format!("http://{}", dead.address())]);
    let command = stage.command(&["--from", &stage.path("list.xml").display().to_string(), "--fast"]);
    let program = lan.root().join("racefetch");
    fs::write(&program, as_script(&command)).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let conf = fs::read_to_string(lan.conf()).unwrap();
    fs::write(lan.conf(), format!("{conf}PARTIAL_RACEFETCH={}\n", program.display())).unwrap();
    let (output, said) = run(lan.setup().arg("--rank"));
    assert!(output.status.success(), "{said}");
    let upstreams = fs::read_to_string(lan.root().join("etc/upstreams.conf")).unwrap();
    assert!(hosts.iter().all(|host| upstreams.contains(host.as_str())), "{upstreams}");

    // nginx uses it a moment later.
    let client = Client::new(Program::Curl, &dist);
    let fetched = wait_for(|| run(&mut client.command(&lan)).0.status.success());
    assert!(fetched, "{}", lan.log("error.log"));
    client.assert_has_it();
    assert!(lan.log("access.log").contains(&path(&dist)));
}

/// A script that runs a command with the arguments of its own behind it.
fn as_script(command: &Command) -> String {
    let quoted = |word: &std::ffi::OsStr| format!("'{}'", word.to_str().unwrap());
    let set = command.get_envs().filter_map(|(name, value)| Some((name, value?)));
    let set = set.map(|(name, value)| format!("export {}={}\n", name.to_str().unwrap(), quoted(value)));
    // `rank` comes from the caller, too.
    let (name, arguments) = command
        .get_args()
        .map(quoted)
        .collect::<Vec<_>>()
        .split_first()
        .map(|(name, rest)| (name.clone(), rest.join(" ")))
        .unwrap();
    let folder = command.get_current_dir().unwrap().display();
    let program = quoted(command.get_program());
    format!(
        "#!/bin/sh\n{}cd {folder}\nshift\nexec {program} {name} {arguments} \"$@\"\n",
        set.collect::<String>()
    )
}
