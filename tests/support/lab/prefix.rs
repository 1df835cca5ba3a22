//! The folders and files of a Gentoo prefix that Portage and the program need.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use super::account;

/// The name of the main repository.
pub(super) const MAIN: &str = "gentoo";
pub(super) const DISTDIR: &str = "var/cache/distfiles";
pub(super) const STATE: &str = "var/lib/racefetch";
pub(super) const SNIPPET: &str = "usr/share/racefetch/make.conf";
/// The program under test. What Portage calls is a wrapper, which notes the call in [`CALLS`].
pub(super) const PROGRAM: &str = "libexec/racefetch";
pub(super) const CALLS: &str = "calls";
/// Of `metadata/layout.conf`: what the Manifests are like.
const MANIFESTS: &str = "manifest-hashes = BLAKE2B SHA512\nmanifest-required-hashes = BLAKE2B\n\
     thin-manifests = true\nsign-manifests = false\n";

/// Where a repository lies.
pub(super) fn repository(root: &Path, name: &str) -> PathBuf {
    root.join("var/db/repos").join(name)
}

/// A repository without packages, beside the main one.
pub(super) fn lay_out_overlay(root: &Path, name: &str) -> io::Result<()> {
    let repository = repository(root, name);
    put(&repository.join("profiles/repo_name"), &format!("{name}\n"))?;
    put(&repository.join("profiles/categories"), "")?;
    put(&repository.join("metadata/layout.conf"), &format!("masters = {MAIN}\n{MANIFESTS}"))
}

/// Fills an empty folder: a repository without packages, a profile, the program, the `make.conf` snippet,
/// and the folders that users fetch into.
pub(super) fn lay_out(root: &Path, venv: &Path, binary: &Path) -> io::Result<()> {
    let repository = repository(root, MAIN);
    let layout = format!("masters =\n{MANIFESTS}profile-formats = portage-2\n");
    for (path, text) in [
        ("profiles/repo_name", "gentoo\n"),
        ("profiles/arch.list", "amd64\n"),
        ("profiles/categories", ""),
        ("profiles/profiles.desc", "amd64 base stable\n"),
        ("profiles/base/eapi", "8\n"),
        (
            "profiles/base/make.defaults",
            "ARCH=\"amd64\"\nACCEPT_KEYWORDS=\"amd64\"\nCHOST=\"x86_64-pc-linux-gnu\"\n",
        ),
        ("metadata/layout.conf", &layout),
        ("licenses/MIT", ""),
    ] {
        put(&repository.join(path), text)?;
    }
    for folder in ["etc/portage", "home", "libexec", DISTDIR, STATE, "var/log", "var/tmp"] {
        fs::create_dir_all(root.join(folder))?;
    }
    symlink(repository.join("profiles/base"), root.join("etc/portage/make.profile"))?;
    // In a virtual environment Portage looks for make.globals in the prefix's `share`.
    symlink(venv.join("share"), root.join("share"))?;

    fs::copy(binary, root.join(PROGRAM))?;
    put_program(&root.join("bin/racefetch"), &wrapper(root))?;
    put(&root.join(CALLS), "")?;
    put(&root.join(SNIPPET), include_str!("../../../portage/make.conf"))?;
    open_up(root)
}

/// Writes a file and makes the folders above it.
pub(super) fn put(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, text)
}

/// Writes a script that everybody may run.
pub(super) fn put_program(path: &Path, script: &str) -> io::Result<()> {
    put(path, script)?;
    fs::set_permissions(path, Permissions::from_mode(0o755))
}

/// A script that appends the user's number and the arguments to the record of calls, as one line with tabs
/// between them, and becomes the program.
fn wrapper(root: &Path) -> String {
    let root = root.display();
    format!(
        "#!/bin/sh\nprintf '%s\\n' \"$(id -u)$(printf '\\t%s' \"$@\")\" >>'{root}/{CALLS}'\n\
         exec '{root}/{PROGRAM}' \"$@\"\n"
    )
}

/// Lets the user `portage` reach the program, `DISTDIR` and the state, whatever the umask is.
fn open_up(root: &Path) -> io::Result<()> {
    for (path, mode) in [
        ("", 0o755),
        ("bin", 0o755),
        ("libexec", 0o755),
        (PROGRAM, 0o755),
        (CALLS, 0o666),
        ("var", 0o755),
        ("var/cache", 0o755),
        ("var/lib", 0o755),
        ("var/tmp", 0o1777),
    ] {
        fs::set_permissions(root.join(path), Permissions::from_mode(mode))?;
    }
    if !rustix::process::geteuid().is_root() {
        return Ok(()); // an ordinary user's Portage runs everything as that user
    }
    let Ok(portage) = account::ensure() else { return Ok(()) };
    for shared in [DISTDIR, STATE].map(|path| root.join(path)) {
        chown(&shared, Some(0), Some(portage.gid))?;
        fs::set_permissions(&shared, Permissions::from_mode(0o2775))?;
    }
    Ok(())
}
