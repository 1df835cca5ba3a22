//! What goes wrong before and behind the cache, and what clients notice of it.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::cache::{LARGE, SLICE, before, large, path, public, sent};
use super::clients::{Client, PROGRAMS, Program};
use super::lan::{Lan, run, wait_for};
use crate::real_portage;
use crate::support::lab::Dist;
use crate::support::mirror::{Mirror, Rule};
use crate::support::ports::Port;

fn place(dist: &Dist) -> String {
    format!("/gentoo{}", path(dist))
}

/// Waits until the client has so many bytes.
#[track_caller]
fn wait_for_bytes(client: &Client, bytes: u64) {
    let has = || fs::metadata(client.file()).is_ok_and(|file| file.len() >= bytes);
    assert!(wait_for(has), "the client does not get {bytes} bytes");
}

/// A racefetch that may also ask this mirror itself, when the cache does not do.
fn with_way_out(client: &Client, lan: &Lan, way_out: &Mirror) -> Command {
    let mut command = client.command_with(lan, &format!("{} {}", lan.base(), real_portage::base(way_out)));
    command.env("RACEFETCH_TIERS", format!("{}=1", way_out.address()));
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn assert_fetches(client: &Client, command: &mut Command) {
    let (output, said) = run(command.stderr(Stdio::piped()));
    assert!(output.status.success(), "{said}");
    client.assert_has_it();
}

#[test]
fn a_client_that_is_killed_costs_nobody_a_byte() {
    for program in [Program::Racefetch, Program::Curl] {
        let dist = large(1);
        let mirror = public(std::slice::from_ref(&dist));
        mirror.limit_rate(8_000_000);
        let lan = before(&[&mirror]);
        let clients = [Client::new(program, &dist), Client::new(Program::Wget, &dist)];
        let [mut killed, other] = clients.each_ref().map(|client| client.start(&lan));
        wait_for_bytes(&clients[0], 1_000_000);
        killed.kill().unwrap();
        killed.wait().unwrap();
        clients[1].finish(other);
        // It goes on where it was.
        clients[0].fetch(&lan);
        assert!(sent(&[&mirror]) <= LARGE + LARGE / 50, "{program:?}: {} bytes", sent(&[&mirror]));
    }
}

#[test]
fn the_cache_is_killed_and_comes_back() {
    let dist = large(1);
    let mirror = public(std::slice::from_ref(&dist));
    let way_out = public(std::slice::from_ref(&dist));
    mirror.limit_rate(4_000_000);
    let mut lan = before(&[&mirror]);
    let clients = PROGRAMS.map(|program| Client::new(program, &dist));
    let mut children: Vec<Child> = clients.iter().map(|client| client.start(&lan)).collect();
    let careful = Client::new(Program::Racefetch, &dist);
    let mut child = with_way_out(&careful, &lan, &way_out).spawn().unwrap();
    wait_for_bytes(&clients[1], 1_000_000);
    lan.kill();
    // Who knows another mirror ends well without the cache.
    assert!(child.wait().unwrap().success());
    careful.assert_has_it();
    lan.restart();
    for (client, child) in clients.iter().zip(&mut children) {
        // Whether it waited or gave up is its own affair; what it has is a beginning of the file.
        let _ = child.wait().unwrap();
        client.fetch(&lan);
    }
    // What was on its way when the cache was killed is fetched again, and nothing else.
    let sent = sent(&[&mirror]);
    assert!(sent <= LARGE + SLICE + LARGE / 50, "{sent} bytes of {LARGE}\n{}", lan.log("public.log"));
}

#[test]
fn dead_mirrors_are_passed_over() {
    let dist = large(1);
    let good = public(std::slice::from_ref(&dist));
    let dead = [Port::refusing(), Port::resetting()];
    let mut mirrors: Vec<String> = dead.iter().map(|port| format!("http://{}", port.address())).collect();
    mirrors.push(real_portage::base(&good));
    let lan = Lan::start(&mirrors);
    for program in PROGRAMS {
        Client::new(program, &dist).fetch(&lan);
    }
    assert!(sent(&[&good]) <= LARGE + LARGE / 50);
}

#[test]
fn without_any_mirror_behind_it_the_cache_says_so_and_racefetch_goes_elsewhere() {
    let dist = large(1);
    let dead = Port::refusing();
    let lan = Lan::start(&[format!("http://{}", dead.address())]);
    let way_out = public(std::slice::from_ref(&dist));
    let client = Client::new(Program::Racefetch, &dist);
    assert_fetches(&client, &mut with_way_out(&client, &lan, &way_out));
    let client = Client::new(Program::Curl, &dist);
    let (output, said) = run(&mut client.command(&lan));
    assert!(output.status.code() == Some(22) && said.contains("502"), "{said}");
}

#[test]
fn a_mirror_that_wants_fewer_requests_gets_fewer() {
    let (first, second) = (large(1), large(2));
    let refusing = Mirror::start();
    // How many were on their way before the third answer came is a matter of luck. It has no rule for the second file.
    refusing.on(&place(&first)).status(429).always();
    let good = public(&[first.clone(), second.clone()]);
    let lan = before(&[&refusing, &good]);
    let clients: Vec<_> = PROGRAMS.iter().map(|program| Client::new(*program, &first)).collect();
    let children: Vec<_> = clients.iter().map(|client| client.start(&lan)).collect();
    clients.iter().zip(children).for_each(|(client, child)| client.finish(child));
    assert!(refusing.requests().len() >= 3, "it was never its turn");
    Client::new(Program::Curl, &second).fetch(&lan);
}

#[test]
fn a_slow_mirror_behind_the_cache_does_not_hold_up_racefetch() {
    let dist = large(1);
    let slow = Mirror::start();
    slow.on(&place(&dist)).add(Rule::serve(&dist.content).rate(50_000)).always();
    let lan = before(&[&slow]);
    let way_out = public(std::slice::from_ref(&dist));
    let client = Client::new(Program::Racefetch, &dist);
    assert_fetches(&client, &mut with_way_out(&client, &lan, &way_out));
    assert!(sent(&[&slow]) < LARGE / 2, "at that rate all of it takes minutes");
}

#[test]
fn a_slice_that_breaks_off_is_not_kept() {
    let dist = large(1);
    let mirror = Mirror::start();
    mirror.on(&place(&dist)).serve(&dist.content);
    mirror.on(&place(&dist)).add(Rule::serve(&dist.content).reset_after(1_000_000));
    mirror.on(&place(&dist)).serve(&dist.content).always();
    let lan = before(&[&mirror]);
    // nginx goes on with the next slice where the second one broke off. The digests tell.
    Client::new(Program::Racefetch, &dist).fetch(&lan);
    Client::new(Program::Curl, &dist).fetch(&lan);
}

#[test]
fn wrong_bytes_in_the_cache_are_healed_by_the_client_that_finds_them() {
    for wrong in [5000, LARGE - 5000] {
        let dist = large(1);
        let mirror = Mirror::start();
        // Whoever comes first leaves them in the cache.
        mirror.on(&place(&dist)).serve(&dist.content).corrupted_at(wrong).times(LARGE.div_ceil(SLICE));
        mirror.on(&place(&dist)).serve(&dist.content).always();
        let lan = before(&[&mirror]);
        let first = Client::new(Program::Curl, &dist);
        let (output, said) = run(&mut first.command(&lan));
        assert!(output.status.success(), "{said}");
        assert!(fs::read(first.file()).unwrap() != dist.content);
        Client::new(Program::Racefetch, &dist).fetch(&lan);
        assert!(lan.log("access.log").contains(" BYPASS "), "{}", lan.log("access.log"));
        // Stored when the slice is whole.
        let healed = || {
            let second = Client::new(Program::Curl, &dist);
            run(&mut second.command(&lan)).0.status.success()
                && fs::read(second.file()).unwrap() == dist.content
        };
        assert!(wait_for(healed), "the wrong bytes are still there\n{}", lan.log("access.log"));
        let most = 2 * LARGE + LARGE / 50;
        assert!(sent(&[&mirror]) <= most, "{} bytes\n{}", sent(&[&mirror]), lan.log("access.log"));
    }
}

/// A small file system in memory, unmounted when it is dropped.
struct Small(PathBuf);

impl Small {
    fn mount(at: PathBuf, size: &str) -> Self {
        fs::create_dir_all(&at).unwrap();
        let options = format!("size={size}");
        let (output, said) =
            run(Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(&at));
        assert!(output.status.success(), "{said}");
        Self(at)
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = run(Command::new("umount").arg("-l").arg(&self.0));
    }
}

#[test]
fn a_full_disk_costs_no_client_its_file() {
    if !rustix::process::geteuid().is_root() {
        return; // only root mounts
    }
    let folder = tempfile::tempdir().unwrap();
    let small = Small::mount(folder.path().join("cache"), "3m"); // less than one slice
    let dist = large(1);
    let mirror = public(std::slice::from_ref(&dist));
    let lines = format!("CACHE={}", small.0.display());
    let lan = Lan::start_with(&[real_portage::base(&mirror)], &lines, &[]);
    let way_out = public(std::slice::from_ref(&dist));
    let client = Client::new(Program::Racefetch, &dist);
    assert_fetches(&client, &mut with_way_out(&client, &lan, &way_out));
    assert!(
        lan.log("error.log").contains("pwritev()"),
        "it was not full\n{}{}",
        lan.log("error.log"),
        lan.log("access.log")
    );
}
