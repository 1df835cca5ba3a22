//! Random trouble: `cargo run --release --example chaos -- --seconds N --seed S`, or `--runs N` for the same runs however
//! fast the machine is.
//!
//! Each run has mirrors of random kinds on the loopback address, something random at FILE, and one to three calls of the
//! program for it at once, some of which are killed, have system calls denied or writes that fail, see the clock jump,
//! or find the disk full. Then one call that nothing disturbs. After that: exit 0 meant the right file, no other file has
//! changed, nothing is left behind, no honest mirror stands in the state as a liar, and every call has ended in time.
//!
//! At the end there is a list of what took part, with the number of runs in which it did.
//!
//! A line is printed for each fault, with the seed that repeats its run. How threads and processes take turns is not
//! repeated, so a seed may have to be tried a few times. Faults within a process need a C compiler, small disks root.

#![allow(unreachable_pub, reason = "nobody names what is in an example")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use support::build;
use world::{Mount, Ran, Tools};

mod dice;
mod places;
#[path = "../../tests/support/mod.rs"]
#[expect(unused_imports, reason = "what is handed on is for others")]
mod support;
mod world;

/// How many runs are under way at the same time. They mostly wait.
const AT_ONCE: u64 = 4;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let ended = options(&args).and_then(|amount| chaos(&amount));
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("chaos: {error}");
            ExitCode::from(2)
        }
    }
}

/// What is to be done.
struct Amount {
    /// No run begins later than that.
    time: Duration,
    runs: u64,
    /// Of the first run.
    seed: u64,
}

fn options(args: &[String]) -> Result<Amount, String> {
    let usage = "usage: chaos [--seconds N | --runs N] [--seed S]";
    let (mut seconds, mut runs, mut seed) = (None, None, 1);
    for pair in args.chunks(2) {
        let [name, value] = pair else { return Err(usage.to_owned()) };
        let value = value.parse().map_err(|_| usage.to_owned())?;
        match name.as_str() {
            "--seconds" => seconds = Some(value),
            "--runs" => runs = Some(value),
            "--seed" => seed = value,
            _ => return Err(usage.to_owned()),
        }
    }
    let usual = if runs.is_some() { u64::MAX } else { 60 };
    let time = Duration::from_secs(seconds.unwrap_or(usual));
    Ok(Amount { time, runs: runs.unwrap_or(u64::MAX), seed })
}

/// Whether no run showed a fault.
#[expect(clippy::disallowed_methods, reason = "it goes on for so long")]
fn chaos(amount: &Amount) -> Result<bool, String> {
    let Amount { time, runs, seed } = *amount;
    let folder = tempfile::tempdir().map_err(|e| format!("cannot make a folder: {e}"))?;
    let shim = shim(folder.path());
    let mounts = can_mount(folder.path());
    if shim.is_none() {
        println!("chaos: no C compiler: without denied calls, failing writes and jumping clocks");
    }
    if !mounts {
        println!("chaos: file systems cannot be mounted: without full disks");
    }
    let tools = Tools { racefetch: build::racefetch()?, shim, mounts };
    let began = Instant::now();
    let (next, faults) = (AtomicU64::new(0), AtomicU64::new(0));
    let kinds = Mutex::new(BTreeMap::<String, u64>::new());
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= runs || began.elapsed() >= time {
                break;
            }
            let seed = seed.wrapping_add(number);
            let failed = |error| Ran { faults: vec![format!("cannot run: {error}")], ..Ran::default() };
            let ran = world::run(seed, &tools).unwrap_or_else(failed);
            for fault in &ran.faults {
                println!("--seed {seed} --runs 1: {fault} ({})", ran.story);
                faults.fetch_add(1, Ordering::Relaxed);
            }
            if runs == 1 {
                println!("{}", ran.story);
            }
            let mut all = kinds.lock().unwrap_or_else(PoisonError::into_inner);
            for kind in ran.kinds {
                *all.entry(kind).or_default() += 1;
            }
        }
        next.fetch_sub(1, Ordering::Relaxed);
    };
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(work);
        }
    });
    for (kind, runs) in kinds.into_inner().unwrap_or_else(PoisonError::into_inner) {
        println!("{runs:7} {kind}");
    }
    let (runs, faults) = (next.into_inner(), faults.into_inner());
    println!("chaos: {runs} runs from seed {seed} on in {} s, {faults} faults", began.elapsed().as_secs());
    Ok(faults == 0)
}

/// Makes the library of faults.
fn shim(folder: &Path) -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/chaos/shim.c");
    let library = folder.join("shim.so");
    let mut command = Command::new("cc");
    command.args(["-O2", "-shared", "-fPIC", "-o"]).arg(&library).arg(source).arg("-ldl");
    let made = command.stderr(Stdio::null()).status().is_ok_and(|status| status.success());
    made.then_some(library)
}

/// Whether this user may mount a file system.
fn can_mount(folder: &Path) -> bool {
    let place = folder.join("mount");
    std::fs::create_dir(&place).is_ok() && Mount::new(&place, 1 << 20).is_ok()
}
