//! What has to be changed, so that Portage fetches with this program.

use std::ffi::OsStr;
use std::fs;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::str::FromStr;

use super::timer::{self, SYSTEMD_LINK, Starter};
use super::{BY, SetupError};
use crate::cli::{SetupArgs, has_subcommand};
use crate::commands::configuration::Configuration;
use crate::commands::draft::Draft;
use crate::commands::inquiry::Inquirer;
use crate::commands::{CommandError, Environment};
use crate::files::folder_of;
use crate::http::Url;
use crate::http::settings::AddressFamily;
use crate::mirror::location::{FILE_NAME, SYSTEM_FOLDER};
use crate::portage::fetch_command::{COMMANDS, Fault, faults, program};
use crate::portage::make_conf_editor::NewValue;
use crate::portage::{LayoutConf, MakeConf, MirrorBase, Tiers};

/// What is to be done.
pub(super) struct Plan<'s> {
    pub(super) folders: Vec<NewFolder>,
    pub(super) draft: Draft<'s>,
    /// Symbolic links, and where they lead to.
    pub(super) links: Vec<(PathBuf, &'static str)>,
    /// What is run in the end.
    pub(super) commands: Vec<&'static str>,
    /// What is said before.
    pub(super) notes: Vec<String>,
}

pub(super) struct NewFolder {
    pub(super) path: PathBuf,
    /// For the group portage.
    pub(super) shared: bool,
}

impl Plan<'_> {
    pub(super) fn is_empty(&self) -> bool {
        self.folders.is_empty() && self.links.is_empty() && self.draft.changes().next().is_none()
    }
}

/// The command, as it names itself above the mirrors: they stay when the lines of the fetch commands are replaced.
const BY_FOR_MIRRORS: &str = "racefetch setup (mirrors)";

/// The lines for make.conf, as the installed snippet has them.
const SNIPPET: &str = include_str!("../../../portage/make.conf");

/// Where Portage looks for programs.
pub(in crate::commands) const PROGRAM_FOLDERS: [&str; 6] =
    ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

pub(super) fn plan<'c>(
    arguments: &SetupArgs,
    environment: &Environment,
    configuration: &'c Configuration<'_>,
) -> Result<Plan<'c>, CommandError> {
    let mut plan = Plan {
        folders: Vec::new(),
        draft: Draft::new(configuration.system()),
        links: Vec::new(),
        commands: Vec::new(),
        notes: Vec::new(),
    };
    let conf = plan.draft.conf().map_err(|error| SetupError::Draft(error.into()))?;
    let state = state_file(&conf, configuration);
    let missing: Vec<&Path> = state.ancestors().skip(1).take_while(|folder| !folder.exists()).collect();
    for folder in missing.into_iter().rev() {
        plan.folders.push(NewFolder { path: folder.to_path_buf(), shared: folder == folder_of(&state) });
    }
    mirrors(arguments, environment, &conf, &mut plan)?;
    commands(&conf, &state, configuration, &mut plan).map_err(CommandError::from)?;
    if arguments.timer {
        add_timer(&configuration.call.eprefix, &mut plan)?;
    }
    Ok(plan)
}

/// The state file that Portage's calls will use.
fn state_file(conf: &MakeConf, configuration: &Configuration<'_>) -> PathBuf {
    let system = SYSTEM_FOLDER.trim_start_matches('/');
    let usual = || configuration.call.eprefix.join(system).join(FILE_NAME);
    conf.get("RACEFETCH_STATE").map_or_else(usual, PathBuf::from)
}

/// FETCHCOMMAND and RESUMECOMMAND, unless they are in order.
fn commands(
    conf: &MakeConf,
    state: &Path,
    configuration: &Configuration<'_>,
    plan: &mut Plan<'_>,
) -> Result<(), SetupError> {
    if COMMANDS.iter().all(|name| is_in_order(conf.get(name).unwrap_or_default(), *name == COMMANDS[1])) {
        return Ok(());
    }
    let name = own_name();
    let lines =
        SNIPPET.lines().filter(|line| line.starts_with("FETCHCOMMAND") || line.starts_with("RESUMECOMMAND"));
    let mut lines: Vec<String> =
        lines.map(|line| line.replacen("=\"racefetch ", &format!("=\"{name} "), 1)).collect();
    // In a prefix, the usual place is another system's.
    if configuration.call.eprefix != Path::new("/") && conf.get("RACEFETCH_STATE").is_none() {
        lines.push(format!("RACEFETCH_STATE=\"{}\"", state.display()));
    }
    plan.draft.remove_blocks(BY)?;
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    Ok(plan.draft.append(&lines, BY)?)
}

fn is_in_order(command: &str, resumes: bool) -> bool {
    program(command) == "racefetch" && !faults(command, resumes).into_iter().any(Fault::is_fatal)
}

/// How Portage can start this program.
fn own_name() -> String {
    let own = std::env::current_exe().unwrap_or_default();
    let is_found =
        |folder: &&str| fs::canonicalize(Path::new(folder).join("racefetch")).is_ok_and(|path| path == own);
    if PROGRAM_FOLDERS.iter().any(is_found) || own.as_os_str().is_empty() {
        return "racefetch".to_owned();
    }
    own.display().to_string()
}

/// A ranking where nobody has chosen mirrors yet, and the local mirror in front of the others.
fn mirrors(
    arguments: &SetupArgs,
    environment: &Environment,
    conf: &MakeConf,
    plan: &mut Plan<'_>,
) -> Result<(), CommandError> {
    let current = conf.get("GENTOO_MIRRORS").unwrap_or_default();
    let mut list: Vec<String> = current.split_whitespace().map(str::to_owned).collect();
    let is_chosen = conf.statements().iter().any(|statement| statement.assigns("GENTOO_MIRRORS"));
    if !is_chosen && !arguments.no_rank && has_subcommand("rank") {
        match ranked() {
            Some(best) => list = best,
            None => plan.notes.push("no ranking was to be had: the mirrors stay as they are".to_owned()),
        }
    }
    if let Some(word) = &arguments.mirror {
        let mirror = checked(word, environment, plan)?;
        let url = word.trim_end_matches('/').to_owned();
        list.retain(|other| other.trim_end_matches('/') != url);
        list.insert(0, url.clone());
        if !mirror.is_local() {
            let tiers = conf.get("RACEFETCH_TIERS").unwrap_or_default();
            let mut known = Tiers::default();
            known.add_list(tiers);
            if known.of(&url, false) != 0 {
                let tiers = format!("{tiers} {url}=0");
                plan.draft
                    .set("RACEFETCH_TIERS", NewValue::Text(tiers.trim()), BY_FOR_MIRRORS)
                    .map_err(SetupError::from)?;
            }
        }
    }
    if !list.is_empty() {
        plan.draft.set("GENTOO_MIRRORS", NewValue::Words(&list), BY_FOR_MIRRORS).map_err(SetupError::from)?;
    }
    Ok(())
}

/// The best mirrors, as `racefetch rank` prints them. What it says meanwhile is shown.
fn ranked() -> Option<Vec<String>> {
    let own = std::env::current_exe().ok()?;
    let mut rank = Command::new(own);
    rank.args(["rank", "--format", "plain"]).stdin(Stdio::null());
    if !std::io::stderr().is_terminal() {
        rank.stderr(Stdio::null());
    }
    let output = rank.output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mirrors: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    let are_mirrors = mirrors.iter().all(|word| MirrorBase::from_str(word).is_ok());
    (!mirrors.is_empty() && are_mirrors).then_some(mirrors)
}

/// The mirror of `--mirror`, which must answer.
fn checked(word: &str, environment: &Environment, plan: &mut Plan<'_>) -> Result<MirrorBase, CommandError> {
    let wrong = |what: String| SetupError::Mirror(format!("--mirror {word}: {what}"));
    let mirror = MirrorBase::from_str(word).map_err(|error| wrong(error.to_string()))?;
    let url = Url::parse(&mirror.uri("layout.conf")).map_err(|error| wrong(error.to_string()))?;
    let told = Inquirer::new(environment, AddressFamily::Any)?.get(&url, LARGEST_LAYOUT);
    match told.map_err(|failure| wrong(format!("{url}: {failure}; is it running, and is the address right?")))? {
        told if told.status == 200 => {
            let text = String::from_utf8_lossy(&told.content);
            if LayoutConf::parse(&text).is_err() {
                return Err(wrong(format!("{url} is no layout.conf: that is no mirror of distfiles")).into());
            }
        }
        told if matches!(told.status, 404 | 410) => plan.notes.push(format!(
            "{url} is not there (status {}): Portage takes the mirror for one whose files all lie in one folder",
            told.status
        )),
        told => return Err(wrong(format!("{url}: status {}", told.status)).into()),
    }
    Ok(mirror)
}

/// Real ones have 38 bytes.
const LARGEST_LAYOUT: u64 = 4096;

fn add_timer(eprefix: &Path, plan: &mut Plan<'_>) -> Result<(), SetupError> {
    let starter = match () {
        () if eprefix.join("run/systemd/system").is_dir() => Starter::Systemd,
        () if eprefix.join("etc/cron.daily").is_dir() => Starter::Cron,
        () => return Err(SetupError::NoStarter),
    };
    let own = std::env::current_exe().unwrap_or_else(|_| "racefetch".into());
    for file in timer::files(starter, &own.to_string_lossy()) {
        let path = eprefix.join(file.path);
        plan.draft.put_with_mode(&path, Some(file.text.into_bytes()), file.mode)?;
    }
    if starter == Starter::Systemd {
        let link = eprefix.join(SYSTEMD_LINK.0);
        let missing: Vec<&Path> = link.ancestors().skip(1).take_while(|folder| !folder.exists()).collect();
        let new = |folder: &&Path| NewFolder { path: folder.to_path_buf(), shared: false };
        plan.folders.extend(missing.iter().rev().map(new));
        if fs::symlink_metadata(&link).is_err() {
            plan.links.push((link, SYSTEMD_LINK.1));
        }
        if eprefix.as_os_str() == OsStr::new("/") && plan.draft.changes().next().is_some() {
            plan.commands = vec!["systemctl daemon-reload", "systemctl start racefetch-prefetch.timer"];
        }
    }
    Ok(())
}
