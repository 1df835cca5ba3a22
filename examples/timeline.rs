//! The picture in the README: `cargo run --example timeline` draws `docs/timeline.svg`.
//!
//! Starts five mirrors on the loopback address, each with an ailment or none, fetches one file from them, and has the
//! program draw what happened.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use racefetch::portage::{Algorithm, Digest};
use support::build;
use support::content::{Content, content};
use support::lab::Layout;
use support::mirror::Mirror;
use support::mirror::rule::Rule;

#[path = "../tests/support/mod.rs"]
mod support;

const NAME: &str = "demo-1.0.tar.xz";
const SIZE: usize = 48_000_000;
const MB: u64 = 1_000_000;

fn main() -> ExitCode {
    match draw() {
        Ok(picture) => {
            println!("{}", picture.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn draw() -> Result<PathBuf, String> {
    let file = Content::from(content(1, SIZE));
    // Name, bytes a second, milliseconds to the first byte, and what it answers one after the other.
    let mirrors = [
        mirror("fast.example", 10 * MB, 30, vec![Rule::serve(&file)]),
        mirror("slow.example", MB, 80, vec![Rule::serve(&file)]),
        mirror("silent.example", 6 * MB, 50, vec![Rule::serve(&file).stall_after(3 * MB), Rule::status(503)]),
        mirror("corrupt.example", 3 * MB, 60, vec![Rule::serve(&file).body(content(2, SIZE))]),
        mirror("missing.example", 8 * MB, 40, vec![Rule::status(404)]),
    ];
    let url = |(name, mirror): &(&str, Mirror)| format!("http://{name}:{}", mirror.address().port());
    let bases: Vec<String> = mirrors.iter().map(url).collect();
    let picture = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/timeline.svg");
    let folder = tempfile::tempdir().map_err(|e| format!("cannot make a temporary folder: {e}"))?;
    let mut command = Command::new(build::racefetch()?);
    command.arg("--timeline").arg(&picture).arg("-o").arg(folder.path().join(NAME));
    command.arg("--state").arg(folder.path().join("mirrors.json"));
    command.args(["--size", &SIZE.to_string(), "--parallel-mirrors", "5", "--mirrors", &bases.join(" ")]);
    command.args(["--noproxy", "*", "--digests", &digest(&file)]);
    for (name, mirror) in &mirrors {
        command.args(["--resolve", &format!("{name}:{}:127.0.0.1", mirror.address().port())]);
    }
    command.arg(format!("{}/distfiles/{NAME}", bases[0]));
    run(&mut command)?;
    for (_, mirror) in mirrors {
        mirror.finish();
    }
    Ok(picture)
}

fn mirror(name: &str, rate: u64, first_byte: u64, answers: Vec<Rule>) -> (&str, Mirror) {
    let mirror = Mirror::start();
    mirror.limit_rate(rate);
    mirror.on("/distfiles/layout.conf").serve(Layout::Flat.conf()).always();
    let path = format!("/distfiles/{NAME}");
    let last = answers.len().saturating_sub(1);
    for (number, answer) in answers.into_iter().enumerate() {
        let answer = answer.delay(Duration::from_millis(first_byte));
        mirror.on(&path).add(if number == last { answer.always() } else { answer });
    }
    (name, mirror)
}

fn digest(file: &Content) -> String {
    format!("sha512:{}", Digest::of(Algorithm::Sha512, file).hex())
}

fn run(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().display().to_string();
    let status = command
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .map_err(|e| format!("{program} could not be started: {e}"))?;
    if status.success() { Ok(()) } else { Err(format!("{program} failed ({status})")) }
}
