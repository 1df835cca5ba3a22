//! A virtual environment with an unmodified Portage, made once for each target folder.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use fs2::FileExt;

/// The release that the laboratory runs, from `PyPI`.
const PORTAGE: &str = "portage==3.0.83";

/// The virtual environment below `target`, made now when it is not there yet.
///
/// Processes that come at the same time wait for the one that makes it. An environment that was left
/// unfinished, or that has another release, is made anew.
///
/// # Errors
/// One line that says which step failed and what to install.
pub fn ensure(target: &Path) -> Result<PathBuf, String> {
    ensure_of(target, "portage", PORTAGE)
}

/// Another program of `PyPI`, in a virtual environment of its own; its path. `release` has further packages after it, with
/// blanks between them.
///
/// # Errors
/// As for [`ensure`].
pub fn ensure_tool(target: &Path, name: &str, release: &str) -> Result<PathBuf, String> {
    Ok(ensure_of(target, name, release)?.join("bin").join(name))
}

fn ensure_of(target: &Path, name: &str, wanted: &str) -> Result<PathBuf, String> {
    let venv = target.join(format!("{name}-venv"));
    let stamp = venv.join("installed");
    let lock = target.join(format!("{name}-venv.lock"));
    let lock = File::create(&lock).map_err(|e| format!("cannot create {}: {e}", lock.display()))?;
    lock.lock_exclusive().map_err(|e| format!("cannot lock the environment of {name}: {e}"))?;
    if fs::read_to_string(&stamp).is_ok_and(|release| release == wanted) {
        return Ok(venv);
    }
    match fs::remove_dir_all(&venv) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            return Err(format!("cannot remove the unfinished {}: {e}", venv.display()));
        }
        _ => {}
    }
    let python = |args: &mut Command, advice: &str| run(args).map_err(|e| format!("{e}; {advice}"));
    python(
        Command::new("python3").args(["-m", "venv"]).arg(&venv),
        "install Python 3 with its venv module (Debian and Ubuntu: apt-get install python3-venv)",
    )?;
    python(
        Command::new(venv.join("bin/pip"))
            .args(["install", "--disable-pip-version-check"])
            .args(wanted.split_whitespace()),
        "the Python package index must be reachable once",
    )?;
    fs::write(&stamp, wanted).map_err(|e| format!("cannot write {}: {e}", stamp.display()))?;
    Ok(venv)
}

/// Runs a command to its end; the error quotes the last line that it printed.
fn run(command: &mut Command) -> Result<(), String> {
    let named = format!("{command:?}");
    let output =
        command.stdin(Stdio::null()).output().map_err(|e| format!("{named} could not be started: {e}"))?;
    if output.status.success() {
        return Ok(());
    }
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let last = text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("no output");
    Err(format!("{named} failed ({}): {last}", output.status))
}
