//! The cache: each byte comes once from the public mirrors, whoever asks for it and how.

use std::path::Path;
use std::process::Command;

use super::lan::{Lan, run};
use crate::real_portage;
use crate::support::content::content;
use crate::support::lab::{Dist, Layout};
use crate::support::mirror::{Mirror, Rule};

/// Two slices and a half.
const LARGE: usize = 10_000_000;

pub fn path(dist: &Dist) -> String {
    format!("/distfiles/{}", Layout::FilenameHash.path(dist))
}

/// A public mirror that has these files.
pub fn public(dists: &[Dist]) -> Mirror {
    let mirror = Mirror::start();
    for dist in dists {
        mirror.on(&format!("/gentoo{}", path(dist))).serve(&dist.content).always();
    }
    mirror
}

fn curl(lan: &Lan, path: &str, options: &[&str]) -> Vec<u8> {
    let (output, said) = run(Command::new("curl").args(["-sS", &lan.url(path)]).args(options));
    assert!(output.status.success(), "{said}");
    output.stdout
}

#[test]
fn each_byte_is_fetched_once() {
    let dists = [Dist::new("gtk+-3~rc1.tar.xz", &content(1, LARGE)), Dist::new("small-1.tar", &content(2, 5000))];
    let mirrors = [public(&dists), public(&dists)];
    let lan = Lan::start(&mirrors.each_ref().map(real_portage::base));
    for round in 0..2 {
        for dist in &dists {
            assert!(curl(&lan, &path(dist), &["-f"]) == dist.content, "{} {round}", dist.name);
        }
    }
    assert!(curl(&lan, &path(&dists[0]), &["-r", "4194300-8388999"]) == dists[0].content[4_194_300..8_389_000]);
    let sent: u64 = mirrors.iter().map(Mirror::body_bytes_sent).sum();
    assert_eq!(sent, (LARGE + 5000) as u64);
    for m in &mirrors { for r in m.requests() { eprintln!("{r:#?}"); } }
    eprintln!("{}", lan.log("access.log"));
    eprintln!("{}", lan.log("public.log"));
    eprintln!("{}", lan.log("error.log"));
    panic!();
}
