//! The program at work: `cargo run --release --example emerge`.
//!
//! Starts a good, a corrupt and a dead mirror on the loopback address, has an unmodified Portage fetch the
//! distfiles of a package through a fresh build, and shows what became of them. Needs Python 3 with its venv
//! module, and the Python package index once; `./x demo` sees to that.

use std::fs;
use std::process::ExitCode;

use racefetch::portage::{Algorithm, Digest};
use support::build;
use support::content::content;
use support::lab::{Dist, Lab, Layout};
use support::mirror::Mirror;
use support::ports::Port;

#[path = "../tests/support/mod.rs"]
mod support;

fn main() -> ExitCode {
    match demonstrate() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// True when everything went as it should.
fn demonstrate() -> Result<bool, String> {
    heading("Building racefetch");
    let binary = build::racefetch()?;
    println!("{}", binary.display());
    let dists = [
        Dist::new("demo-1.0.tar.xz", &content(1, 5_000_000)),
        Dist::new("demo-1.0-docs.tar.xz", &content(2, 700_000)),
        Dist::new("demo-helper-0.3.1.crate", &content(3, 40_000)),
    ];
    let dead = Port::refusing();
    let corrupt = Mirror::start();
    let good = Mirror::start();
    for mirror in [&corrupt, &good] {
        mirror.on("/gentoo/distfiles/layout.conf").serve(Layout::FilenameHash.conf()).always();
    }
    for dist in &dists {
        let path = format!("/gentoo/distfiles/{}", Layout::FilenameHash.path(dist));
        corrupt.on(&path).serve(&dist.content).corrupted_at(dist.content.len() / 2).always();
        good.on(&path).serve(&dist.content).always();
    }
    let mirrors = [format!("http://{}/gentoo", dead.address()), corrupt.url("/gentoo"), good.url("/gentoo")];
    heading("Mirrors");
    for (what, mirror) in ["dead", "corrupt", "good"].iter().zip(&mirrors) {
        println!("{mirror}  {what}");
    }

    println!(
        "\nThe first refuses connections, the second has one wrong byte in each file. Portage is to get three files\n\
         from them in one call: racefetch finds the wrong bytes, fetches them from the third, and says who lied.\n\
         Before that Portage asks the first one for its layout.conf: that this fails, and is called \"Couldn't download\",\n\
         is as it should be."
    );

    heading("Preparing Portage (from PyPI, the first time)");
    let lab = Lab::new(&binary)?.mirrors(&mirrors).package("app-misc/demo-1.0", &dists.each_ref());
    heading("emerge --fetchonly app-misc/demo");
    let run = lab.emerge(&["--fetchonly", "app-misc/demo"]);
    println!("{}emerge: {}", run.output, run.status);

    heading("DISTDIR, and what the Manifest says of it");
    let manifest = lab.repository().join("app-misc/demo/Manifest");
    let manifest = fs::read_to_string(&manifest).map_err(|e| format!("{}: {e}", manifest.display()))?;
    let mut all_right = run.success();
    for entry in manifest.lines() {
        // DIST name size BLAKE2B digest SHA512 digest
        let fields: Vec<_> = entry.split(' ').collect();
        let &["DIST", name, size, "BLAKE2B", _, "SHA512", sha512] = &fields[..] else {
            return Err(format!("not a line of a Manifest: {entry}"));
        };
        let found = lab.distfile(name).map(|bytes| Digest::of(Algorithm::Sha512, &bytes).hex());
        let verdict = match found {
            Some(found) if found == sha512 => "SHA512 ok",
            Some(_) => "SHA512 WRONG",
            None => "MISSING",
        };
        all_right &= verdict == "SHA512 ok";
        println!("{name:<24} {size:>9} bytes  {verdict}");
    }

    heading("racefetch stats, which says who lied");
    let stats = lab.racefetch(&["stats"]);
    print!("{}", stats.output);
    println!("\nThe liar is {}: it is asked last from now on.", corrupt.address());
    Ok(all_right && stats.success())
}

fn heading(text: &str) {
    println!("\n=== {text}");
}
