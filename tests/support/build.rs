//! The program that the examples show, built afresh: `cargo run --example` builds examples only.

use std::env;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Beginnings of the variables that `cargo run` sets.
const SET_FOR_EXAMPLES: [&str; 4] = ["CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_BIN_", "CARGO_PRIMARY_PACKAGE"];

/// Builds the program in the profile of the example that asks, and says where it lies.
pub fn racefetch() -> Result<PathBuf, String> {
    let (cargo, folder) = environment().map_err(|e| format!("cannot find the target folder: {e}"))?;
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--bin", "racefetch"]);
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    // What cargo has set for the example. Build scripts look at some of it, and would run again each time.
    for (name, _) in env::vars_os() {
        if SET_FOR_EXAMPLES.iter().any(|prefix| name.as_encoded_bytes().starts_with(prefix.as_bytes())) {
            command.env_remove(name);
        }
    }
    let status = command.status().map_err(|e| format!("cargo could not be started: {e}"))?;
    if !status.success() {
        return Err(format!("cargo build failed ({status})"));
    }
    Ok(folder.join("racefetch"))
}

/// The cargo that runs the example, and the profile folder that examples lie below.
fn environment() -> io::Result<(PathBuf, PathBuf)> {
    #[expect(clippy::disallowed_methods, reason = "for the entry point of a program")]
    let cargo = env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from);
    let example = env::current_exe()?;
    let folder = example.ancestors().nth(2).map(Path::to_path_buf);
    Ok((cargo, folder.ok_or(io::ErrorKind::NotFound)?))
}
