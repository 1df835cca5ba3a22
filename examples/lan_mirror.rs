//! What the cache of a local network costs and saves: `cargo run --release --example lan_mirror`.
//!
//! Real nginx with the configuration that `mirror/` ships, public mirrors on the loopback address, shaped to 8 MB/s
//! together where it matters, and as clients racefetch, curl, wget and aria2c, and an unmodified Portage.
//! Another program may be named in place of a fresh build: `... --example lan_mirror -- /usr/bin/racefetch`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use lan::Lan;
use support::build;
use support::content::content;
use support::lab::{Dist, Lab, Layout};
use support::mirror::Mirror;
use tempfile::TempDir;

#[path = "../tests/mirror/dns.rs"]
#[allow(unreachable_pub, reason = "shared with the tests")]
mod dns;
#[allow(dead_code, unreachable_pub, reason = "shared with the tests")]
#[path = "../tests/mirror/lan.rs"]
mod lan;
#[path = "../tests/support/mod.rs"]
mod support;

const MB: usize = 1_000_000;
/// What the line to the public mirrors carries, in bytes a second.
const LINE: u64 = 8_000_000;

fn main() -> ExitCode {
    let named = std::env::args_os().nth(1).map(PathBuf::from);
    let binary = match named.map_or_else(build::racefetch, Ok) {
        Ok(binary) => binary,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    hits();
    first_bytes();
    many_at_once(&binary);
    machines(&binary);
    slow_line(&binary);
    ExitCode::SUCCESS
}

fn path(dist: &Dist) -> String {
    format!("/distfiles/{}", Layout::FilenameHash.path(dist))
}

fn public(dists: &[Dist]) -> Mirror {
    let mirror = Mirror::start();
    mirror.on("/gentoo/distfiles/layout.conf").serve(Layout::FilenameHash.conf()).always();
    for dist in dists {
        mirror.on(&format!("/gentoo{}", path(dist))).serve(&dist.content).always();
    }
    mirror
}

fn before(mirrors: &[&Mirror]) -> Lan {
    Lan::start(&mirrors.iter().map(|mirror| mirror.url("/gentoo")).collect::<Vec<_>>())
}

/// A file from the cache, and the same as a plain file of nginx, in turn.
fn hits() {
    let [kept, plain] = ["kept-1.tar", "plain-1.tar"].map(|name| Dist::new(name, &content(1, 256 * MB)));
    let mirror = public(std::slice::from_ref(&kept));
    let lan = before(&[&mirror]);
    fs::write(lan.distfiles().join(&plain.name), &plain.content).unwrap();
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..10 {
        for (dist, times) in [&kept, &plain].into_iter().zip(&mut times) {
            let began = now();
            curl(&lan.url(&path(dist)), "");
            times.push(began.elapsed());
        }
    }
    // The first of the kept file's filled the cache.
    times[0].remove(0);
    let [kept, plain] = times.map(|mut times| median(&mut times).as_secs_f64());
    println!(
        "a hit of 256 MB: {:.0} MB/s, the plain file {:.0} MB/s: {:.0} %",
        256.0 / kept,
        256.0 / plain,
        100.0 * plain / kept
    );
}

/// Small files that the cache does not have, and the same from the mirror itself, in turn.
fn first_bytes() {
    let dists: Vec<Dist> =
        (0..200).map(|i| Dist::new(&format!("small-{i}.tar"), &content(i, 20_000))).collect();
    let mirror = public(&dists);
    let lan = before(&[&mirror]);
    let mut times = [Vec::new(), Vec::new()];
    for dist in &dists {
        for (url, times) in
            [lan.url(&path(dist)), mirror.url(&format!("/gentoo{}", path(dist)))].iter().zip(&mut times)
        {
            let seconds: f64 = curl(url, "%{time_starttransfer}").parse().unwrap();
            times.push(Duration::from_secs_f64(seconds));
        }
    }
    let [cold, direct] = times.map(|mut times| median(&mut times).as_secs_f64() * 1000.0);
    println!(
        "first byte of a file that the cache lacks: {cold:.2} ms, from the mirror itself {direct:.2} ms: {:.2} ms more",
        cold - direct
    );
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Racefetch,
    Curl,
    Wget,
    Aria2,
}

/// Starts a client that writes `file`.
fn client(kind: Kind, binary: &Path, folder: &Path, dist: &Dist, mirrors: &str, url: &str) -> Child {
    let file = folder.join("file");
    let mut command = match kind {
        Kind::Racefetch => {
            let mut command = Command::new(binary);
            command.args(["-f", "-L", "--digests", &format!("sha512:{}", dist.sha512())]);
            command.args(["--size", &dist.content.len().to_string(), "--mirrors", mirrors, "--state"]);
            command.arg(folder.join("state.json")).arg("-o").arg(&file);
            command
        }
        Kind::Curl => {
            let mut command = Command::new("curl");
            command.args(["-sSf", "-o"]).arg(&file);
            command
        }
        Kind::Wget => {
            let mut command = Command::new("wget");
            command.args(["-q", "-O"]).arg(&file);
            command
        }
        Kind::Aria2 => {
            let mut command = Command::new("aria2c");
            command.args([
                "--no-conf",
                "-q",
                "-x4",
                "-s4",
                "-k1M",
                "--file-allocation=none",
                "-o",
                "file",
                "-d",
            ]);
            command.arg(folder);
            command
        }
    };
    command.env("PORTAGE_CONFIGROOT", folder).env("PORTAGE_OVERRIDE_EPREFIX", folder).env("HOME", folder);
    command.arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Runs clients of these kinds at once; how long until the last one has the right file.
fn at_once(kinds: &[Kind], binary: &Path, dist: &Dist, lan: &Lan) -> f64 {
    let began = now();
    let clients: Vec<(TempDir, Child)> = kinds
        .iter()
        .map(|kind| {
            let folder = tempfile::tempdir().unwrap();
            let child = client(*kind, binary, folder.path(), dist, &lan.base(), &lan.url(&path(dist)));
            (folder, child)
        })
        .collect();
    let ended = clients.into_iter().map(|(folder, mut child)| {
        let status = child.wait().unwrap();
        assert!(status.success(), "{status}");
        (folder, began.elapsed().as_secs_f64())
    });
    let ended: Vec<_> = ended.collect();
    for (folder, _) in &ended {
        assert!(fs::read(folder.path().join("file")).unwrap() == dist.content, "wrong bytes");
    }
    ended.last().map_or(0.0, |(_, time)| *time)
}

/// Cold and warm, beside one alone. What the warm ones take is this machine's own share: twenty programs write and
/// hash at once.
fn many_at_once(binary: &Path) {
    let dist = Dist::new("large-1.tar", &content(1, 60 * MB));
    let all = [Kind::Racefetch, Kind::Curl, Kind::Wget, Kind::Aria2];
    let mixed: Vec<Kind> = all.iter().copied().cycle().take(20).collect();
    for kinds in [vec![Kind::Racefetch; 20], vec![Kind::Curl; 20], mixed] {
        let caches = [(); 2].map(|()| {
            let mirror = public(std::slice::from_ref(&dist));
            mirror.limit_rate(LINE);
            let lan = before(&[&mirror]);
            (mirror, lan)
        });
        let alone = at_once(&kinds[..1], binary, &dist, &caches[0].1);
        let (mirror, lan) = &caches[1];
        let last = at_once(&kinds, binary, &dist, lan);
        let sent = mirror.body_bytes_sent();
        let warm = at_once(&kinds, binary, &dist, lan);
        let what = if kinds[0] == kinds[1] { format!("{:?}", kinds[0]) } else { "four programs".to_owned() };
        println!(
            "20 at once ({what}), 60 MB at 8 MB/s: one alone {alone:.1} s, the last of twenty {last:.1} s: {:.2}; warm {warm:.1} s; {:.3} of the file's bytes came",
            last / alone,
            sent as f64 / dist.content.len() as f64
        );
    }
}

/// Portages with roots of their own that fetch the same package at once.
fn machines(binary: &Path) {
    let crates =
        (0..60).map(|i| Dist::new(&format!("crate-{i}.crate"), &content(i as u64, 20_000 + 4000 * i)));
    let dists: Vec<Dist> = crates.chain([Dist::new("large-1.tar.xz", &content(99, 24 * MB))]).collect();
    let wanted: usize = dists.iter().map(|dist| dist.content.len()).sum();
    let mut alone = 0.0;
    for count in [1, 2, 5] {
        let mirrors = [public(&dists), public(&dists)];
        for mirror in &mirrors {
            mirror.limit_rate(LINE / 2);
        }
        let lan = before(&mirrors.each_ref());
        let labs: Vec<Lab> = (0..count)
            .map(|_| {
                let lab = Lab::new(lab_binary(binary)).unwrap_or_else(|e| panic!("{e}"));
                lab.mirrors(&[lan.base()]).package("app-misc/foo-1", &dists.iter().collect::<Vec<_>>())
            })
            .collect();
        let began = now();
        let runs: Vec<_> =
            labs.iter().map(|lab| lab.start_emerge(&["--fetchonly", "app-misc/foo"])).collect();
        for run in runs {
            let run = run.finish();
            assert!(run.success(), "{run}");
        }
        let took = began.elapsed().as_secs_f64();
        if count == 1 {
            alone = took;
        }
        let sent: u64 = mirrors.iter().map(Mirror::body_bytes_sent).sum();
        println!(
            "emerge on {count} machines at once, {} files, {} MB at 8 MB/s: {took:.1} s ({:.2} of one alone); {:.3} of the files' bytes came",
            dists.len(),
            wanted / MB,
            took / alone,
            sent as f64 / wanted as f64
        );
    }
}

/// Four racefetch at once behind a line of 1 MB/s, who know a public mirror besides the cache: it is asked for nothing.
fn slow_line(binary: &Path) {
    let dist = Dist::new("large-1.tar", &content(1, 12 * MB));
    let mirror = public(std::slice::from_ref(&dist));
    mirror.limit_rate(LINE / 8);
    let way_out = public(std::slice::from_ref(&dist));
    way_out.limit_rate(LINE / 8);
    let lan = before(&[&mirror]);
    let known = format!("{} {}", lan.base(), way_out.url("/gentoo"));
    let clients: Vec<(TempDir, Child)> = (0..4)
        .map(|_| {
            let folder = tempfile::tempdir().unwrap();
            // The environment of the command: the way out is no mirror of the local network.
            let tier = format!("{}=1", way_out.address());
            let mut command = Command::new(binary);
            command.args(["-f", "-L", "--digests", &format!("sha512:{}", dist.sha512()), "--tier", &tier]);
            command.args(["--size", &dist.content.len().to_string(), "--mirrors", &known, "--state"]);
            command.arg(folder.path().join("state.json")).arg("-o").arg(folder.path().join("file"));
            command.env("PORTAGE_CONFIGROOT", folder.path()).env("PORTAGE_OVERRIDE_EPREFIX", folder.path());
            command
                .arg(lan.url(&path(&dist)))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            let child = command.spawn().unwrap();
            (folder, child)
        })
        .collect();
    for (_, mut child) in clients {
        assert!(child.wait().unwrap().success());
    }
    println!(
        "4 at once at 1 MB/s, 12 MB: {:.3} of the bytes through the cache, {:.3} past it",
        mirror.body_bytes_sent() as f64 / dist.content.len() as f64,
        way_out.body_bytes_sent() as f64 / dist.content.len() as f64
    );
}

/// The laboratory keeps its Portage beside the profile folder that the program lies in.
fn lab_binary(binary: &Path) -> PathBuf {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/lan-mirror");
    fs::create_dir_all(&target).unwrap();
    let copy = target.join("racefetch");
    fs::copy(binary, &copy).unwrap();
    copy
}

/// Fetches to nowhere; what `-w` prints.
fn curl(url: &str, write_out: &str) -> String {
    let output =
        Command::new("curl").args(["-sSf", "-o", "/dev/null", "-w", write_out, url]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}

#[expect(clippy::disallowed_methods, reason = "this program measures")]
fn now() -> Instant {
    Instant::now()
}
