//! Finds out about a system what the checks are to judge. Nothing is changed.

use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::facts::{Access, Facts, Junk, Place};
use super::network;
use crate::commands::aside::INFIX;
use crate::commands::configuration::Configuration;
use crate::commands::draft::Draft;
use crate::commands::environment::unix_now;
use crate::commands::{CommandError, Environment};
use crate::files::{self, folder_of};
use crate::portage::account::{Account, portage_account};
use crate::portage::fetch_command::{COMMANDS, words};
use crate::portage::make_conf_editor::EditError;
use crate::transfer::sink::OWN_FOLDER;

/// After so many seconds nobody continues what a side file belongs to.
const SIDE_FILES_KEPT: u64 = 14 * 24 * 3600;

/// The largest list of accounts, in bytes.
const ACCOUNTS: u64 = 16 << 20;

pub(super) fn gather(
    environment: &Environment,
    configuration: &Configuration<'_>,
    offline: bool,
) -> Result<Facts, CommandError> {
    let conf = &configuration.conf;
    let user = fetching_user(configuration);
    let distdir = configuration.distdir();
    let store = environment.store_to_read(&configuration.call, None, distdir.as_deref());
    let state = folder_of(store.file()).to_path_buf();
    let mirrors: Vec<String> =
        conf.get("GENTOO_MIRRORS").unwrap_or_default().split_whitespace().map(str::to_owned).collect();
    let commands = COMMANDS.map(|name| conf.get(name).unwrap_or_default().to_owned());
    let mut files: Vec<PathBuf> = conf.statements().iter().map(|statement| statement.path.clone()).collect();
    files.dedup();
    Ok(Facts {
        problem: problem(configuration),
        program_runs: program_runs(&commands[0], user),
        mirrors_below: mirrors_below(configuration),
        unreadable: files.into_iter().filter(|path| !may(path, user, READ)).collect(),
        distdir: distdir.as_deref().map(|path| place(path, user)),
        state_warning: store.look().1.first().map(ToString::to_string),
        side_files: distdir
            .as_deref()
            .map(|path| place(&path.join(OWN_FOLDER), user))
            .filter(|place| !is_made_at_need(place)),
        free: distdir.as_deref().and_then(files::room),
        capital_proxy: capital_proxy(environment, configuration),
        certificates: certificates(environment),
        junk: distdir.as_deref().map(junk).unwrap_or_default(),
        network: if offline { None } else { Some(network::ask(&mirrors, environment)?) },
        state: Some(place(&state, user)).filter(|place| !is_made_at_need(place)),
        commands,
        mirrors,
    })
}

/// Who fetches: the user portage where Portage gives its rights away; none when it is who runs this.
fn fetching_user(configuration: &Configuration<'_>) -> Option<Account> {
    let features = configuration.features();
    let last = features.split_whitespace().rfind(|word| matches!(*word, "userfetch" | "-userfetch"));
    if last != Some("userfetch") || !rustix::process::geteuid().is_root() {
        return None;
    }
    let read = |path: &str| files::read(Path::new(path), ACCOUNTS).unwrap_or_default();
    portage_account(&String::from_utf8_lossy(&read("/etc/passwd")))
}

fn problem(configuration: &Configuration<'_>) -> Option<(String, PathBuf)> {
    let error = Draft::new(configuration.system()).conf().err()?;
    let path = match &error {
        EditError::Unreadable { path, .. } | EditError::ByteOrderMark(path) | EditError::Changed(path) => {
            path.clone()
        }
        _ => configuration.call.configroot.join("etc/portage/make.conf"),
    };
    Some((error.to_string(), path))
}

/// Where the mirrors are set below a command that uses them, if that makes a difference.
fn mirrors_below(configuration: &Configuration<'_>) -> Option<(PathBuf, usize)> {
    const NAME: &str = "GENTOO_MIRRORS";
    let conf = &configuration.conf;
    let statements = conf.statements();
    // The command that counts.
    let command = statements.iter().rposition(|statement| statement.assigns(COMMANDS[0]))?;
    if !statements[command].uses(NAME) {
        return None;
    }
    let below = statements[command..].iter().rfind(|statement| statement.assigns(NAME))?;
    let is_outdated = !conf.get(COMMANDS[0])?.contains(conf.get(NAME)?);
    is_outdated.then(|| (below.path.clone(), below.line))
}

/// Whether the first word of a command is a program that may be run.
fn program_runs(command: &str, user: Option<Account>) -> bool {
    let Some(name) = words(command).and_then(|words| Some(words.into_iter().next()?.text)) else {
        return false;
    };
    let may_run = |path: &Path| path.is_file() && may(path, user, EXECUTE);
    if name.contains('/') {
        return may_run(Path::new(&name));
    }
    crate::commands::setup::PROGRAM_FOLDERS.iter().any(|folder| may_run(&Path::new(folder).join(&name)))
}

const READ: u32 = 4;
const WRITE: u32 = 2;
const EXECUTE: u32 = 1;

/// Whether somebody may do that with what is at a path, and get there.
fn may(path: &Path, user: Option<Account>, what: u32) -> bool {
    let Some(user) = user else { return true };
    let Ok(path) = fs::canonicalize(path) else { return false };
    let Ok(found) = fs::metadata(&path) else { return false };
    let gets_there = |folder: &Path| fs::metadata(folder).is_ok_and(|found| grants(&found, user, EXECUTE));
    grants(&found, user, what) && path.ancestors().skip(1).all(gets_there)
}

fn grants(found: &Metadata, user: Account, what: u32) -> bool {
    let shift = match () {
        () if found.uid() == user.uid => 6,
        () if found.gid() == user.gid => 3,
        () => 0,
    };
    found.mode() >> shift & what == what
}

fn place(path: &Path, user: Option<Account>) -> Place {
    let access = match fs::metadata(path) {
        Ok(found) if found.is_dir() => {
            let is_fine = match user {
                Some(_) => may(path, user, WRITE | EXECUTE),
                None => rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok(),
            };
            if is_fine { Access::Fine } else { Access::Denied }
        }
        Ok(_) => Access::Denied,
        Err(_) => Access::Missing,
    };
    Place { path: path.to_path_buf(), access }
}

/// Whether it is the folder in DISTDIR that a fetch makes when it needs it, and nobody has needed it yet.
fn is_made_at_need(place: &Place) -> bool {
    place.access == Access::Missing && place.path.ends_with(OWN_FOLDER)
}

fn capital_proxy(environment: &Environment, configuration: &Configuration<'_>) -> Option<String> {
    let conf = &configuration.conf;
    if environment.text("http_proxy").or(conf.get("http_proxy").map(str::to_owned)).is_some() {
        return None;
    }
    let in_file = conf.statements().iter().rfind(|statement| statement.assigns("HTTP_PROXY"));
    let in_file = in_file.map(|statement| statement.path.display().to_string());
    in_file.or_else(|| environment.text("HTTP_PROXY").map(|_| "environment".to_owned()))
}

/// Where distributions keep their certificate authorities.
const STORES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/cert.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/certs",
];

/// What is wrong with the certificate authorities.
fn certificates(environment: &Environment) -> Option<String> {
    let is_there = |path: &Path| match fs::metadata(path) {
        Ok(found) if found.is_dir() => fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some()),
        Ok(found) => found.len() > 0,
        Err(_) => false,
    };
    let named: Vec<_> = ["SSL_CERT_FILE", "SSL_CERT_DIR"]
        .into_iter()
        .filter_map(|name| Some((name, environment.text(name)?)))
        .collect();
    if let Some((name, path)) = named.iter().find(|(_, path)| !is_there(Path::new(path))) {
        return Some(format!("{name} names {path}, where no certificate authorities are"));
    }
    let found = !named.is_empty() || STORES.iter().any(|path| is_there(Path::new(path)));
    (!found).then(|| "no certificate authorities are installed: every https mirror is refused".to_owned())
}

/// What was left in DISTDIR.
fn junk(distdir: &Path) -> Vec<Junk> {
    let now = unix_now();
    let is_old = |found: &Metadata| {
        u64::try_from(found.mtime()).is_ok_and(|at| now.saturating_sub(at) > SIDE_FILES_KEPT)
    };
    let has_end = |name: &OsStr, end: &str| name.as_encoded_bytes().ends_with(end.as_bytes());
    let collect = |what, folder: &Path, is_junk: &dyn Fn(&OsStr, &Metadata) -> bool| {
        let (mut files, mut bytes) = (Vec::new(), 0);
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(found) = entry.metadata() else { continue };
            if found.is_file() && is_junk(&entry.file_name(), &found) {
                files.push(entry.path());
                bytes += found.blocks() * 512;
            }
        }
        files.sort();
        Junk { what, files, bytes }
    };
    vec![
        collect("files that Portage found wrong", distdir, &|name, _| name.to_string_lossy().contains(INFIX)),
        collect("files of aria2", distdir, &|name, _| {
            has_end(name, ".aria2") || has_end(name, ".aria2__temp")
        }),
        collect("side files older than two weeks", &distdir.join(OWN_FOLDER), &|name, found| {
            is_old(found) && !name.to_string_lossy().starts_with("mirrors.json")
        }),
    ]
}
