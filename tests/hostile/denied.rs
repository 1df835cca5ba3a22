//! A program in which system calls fail, as on a file system that does not know them: a filter of seccomp(2), set up by
//! a small program in C. There is a compiler wherever the TLS library was built.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// Errors of file systems that lack something.
pub const EOPNOTSUPP: i32 = 95;
pub const ENOSYS: i32 = 38;
pub const ENOLCK: i32 = 37;

/// The program that denies, if it can be built and the system lets it. Otherwise that is said, and the test has nothing
/// to do.
pub fn denier() -> Option<PathBuf> {
    static PROGRAM: OnceLock<Option<PathBuf>> = OnceLock::new();
    PROGRAM.get_or_init(build).clone()
}

fn build() -> Option<PathBuf> {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/hostile/denied.c");
    let program = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("denied");
    // Another test run may do the same: what is complete is put in its place.
    let draft = program.with_extension(std::process::id().to_string());
    let built = Command::new("cc").args(["-O1", "-o"]).arg(&draft).arg(source).output();
    let Ok(built) = built else {
        eprintln!("skipped: there is no C compiler");
        return None;
    };
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    std::fs::rename(&draft, &program).unwrap();
    let tried = Command::new(&program).args(["flock=38", "--", "/bin/true"]).status();
    if !tried.is_ok_and(|status| status.success()) {
        eprintln!("skipped: seccomp is not to be had");
        return None;
    }
    Some(program)
}
