//! What is well and what is not, by the facts, and the one command that cures it.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;
use std::str::FromStr;

use serde::Serialize;

use super::facts::{Access, Facts, Health, Network, Place};
use crate::mirror::Freshness;
use crate::portage::MirrorBase;
use crate::portage::fetch_command::{COMMANDS, Fault, faults, program};
use crate::portage::uri::redact;
use crate::progress::bytes;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    Ok,
    Warn,
    Fail,
}

/// What a check came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) check: &'static str,
    pub(super) level: Level,
    pub(super) text: String,
    /// The command that cures it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cure: Option<String>,
}

/// The checks whose findings `--fix` cures.
pub(super) const FIXABLE: [&str; 9] = [
    "mirrors-order",
    "mirrors-list",
    "mirrors-health",
    "local-mirror",
    "readable",
    "distdir",
    "state",
    "side-files",
    "junk",
];

/// A bad finding and its cure.
type Bad = (Level, String, Option<String>);

/// Its name, what it says when all is well, and what it looks for.
type Check = (&'static str, &'static str, fn(&Facts) -> Option<Bad>);

/// Every check, in the order in which they are shown.
const CHECKS: [Check; 15] = [
    ("make-conf", "make.conf can be read", make_conf),
    ("fetch-command", "Portage fetches with racefetch", fetch_command),
    ("mirrors-order", "GENTOO_MIRRORS is set before it is used", mirrors_order),
    ("mirrors-list", "GENTOO_MIRRORS lists mirrors that can be used", mirrors_list),
    ("mirrors-health", "the mirrors answer and are fresh", mirrors_health),
    ("local-mirror", "no local mirror is out of order", local_mirror),
    ("readable", "Portage's user can read make.conf", readable),
    ("distdir", "Portage's user can write to DISTDIR", |facts| {
        place("distdir", facts.distdir.as_ref(), Level::Fail)
    }),
    ("state", "the figures of mirrors can be kept", state),
    ("side-files", "the folder of side files can be written to", |facts| {
        place("side-files", facts.side_files.as_ref(), Level::Warn)
    }),
    ("space", "there is room in DISTDIR", space),
    ("proxies", "proxies are named as they are read", proxies),
    ("ipv6", "IPv6 is in order, or not in use", ipv6),
    ("clock", "the clock is right", clock),
    ("certificates", "the certificate authorities are there", certificates),
];

/// The last one stands for itself: it says how much there is.
const JUNK: &str = "junk";

/// All findings, one at least for each check that could be made.
pub(super) fn findings(facts: &Facts) -> Vec<Finding> {
    let asks_network = ["mirrors-health", "local-mirror", "ipv6", "clock"];
    let made = CHECKS.iter().filter(|(check, ..)| facts.network.is_some() || !asks_network.contains(check));
    let mut findings: Vec<Finding> = made
        .map(|&(check, well, look)| match look(facts) {
            None => Finding { check, level: Level::Ok, text: well.to_owned(), cure: None },
            Some((level, text, cure)) => Finding { check, level, text, cure },
        })
        .collect();
    findings.push(junk(facts));
    findings
}

fn fix(check: &str) -> String {
    format!("racefetch doctor --fix={check}")
}

fn make_conf(facts: &Facts) -> Option<Bad> {
    let (problem, path) = facts.problem.as_ref()?;
    Some((Level::Fail, problem.clone(), Some(format!("${{EDITOR:-nano}} {}", path.display()))))
}

fn fetch_command(facts: &Facts) -> Option<Bad> {
    let cure = Some("racefetch setup".to_owned());
    let mut text = String::new();
    let mut level = Level::Ok;
    for (name, command) in COMMANDS.into_iter().zip(&facts.commands) {
        for fault in faults(command, name == COMMANDS[1]) {
            let _ = write!(text, "{}{name}: {fault}", if text.is_empty() { "" } else { "; " });
            level = level.max(if fault.is_fatal() { Level::Fail } else { Level::Warn });
        }
    }
    let used = program(&facts.commands[0]);
    if used == "racefetch" && !facts.program_runs && level < Level::Fail {
        text.clear();
        text.push_str(
            "Portage cannot run the program of FETCHCOMMAND: it is not there, or not for the user portage",
        );
        level = Level::Fail;
    }
    if used != "racefetch" && !faults(&facts.commands[0], false).contains(&Fault::Empty) {
        let more = if text.is_empty() { String::new() } else { format!(": {text}") };
        text = format!("Portage fetches with {used}, not with racefetch{more}");
        level = level.max(Level::Warn);
    }
    (level > Level::Ok).then_some((level, text, cure))
}

fn mirrors_order(facts: &Facts) -> Option<Bad> {
    let (path, line) = facts.mirrors_below.as_ref()?;
    let text = format!(
        "{}, line {line}: GENTOO_MIRRORS is set below the command that uses it, which has another list",
        path.display()
    );
    Some((Level::Fail, text, Some(fix("mirrors-order"))))
}

/// Why a word of `GENTOO_MIRRORS` is of no use; none for a mirror and for a folder of this machine.
fn useless(word: &str) -> Option<&'static str> {
    let scheme = word.split("://").next().filter(|_| word.contains("://")).unwrap_or_default();
    if word.starts_with('/') {
        return None;
    }
    match scheme.to_ascii_lowercase().as_str() {
        "ftp" => Some("ftp: slow to begin, and most mirrors have given it up"),
        "rsync" | "ssh" | "sftp" => Some("not for http; Portage starts another program for it"),
        "http" | "https" if word.trim_end_matches('/').ends_with("/distfiles") => {
            Some("ends with /distfiles, which Portage adds itself")
        }
        "http" | "https" if word.ends_with([',', ';']) => Some("ends with a comma or semicolon"),
        "http" | "https" if MirrorBase::from_str(word).is_ok_and(|mirror| is_host(mirror.host())) => None,
        _ => Some("misspelt: it is no URL of http or https"),
    }
}

fn is_host(host: &str) -> bool {
    let is_name =
        |host: &str| host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    host.starts_with('[') || !host.is_empty() && is_name(host) && !host.contains("..")
}

fn mirrors_list(facts: &Facts) -> Option<Bad> {
    if facts.mirrors.is_empty() {
        let text = "GENTOO_MIRRORS is empty: every file is asked of its author's server";
        return Some((Level::Warn, text.to_owned(), Some("racefetch setup".to_owned())));
    }
    let mut said: Vec<String> = Vec::new();
    let mut seen = BTreeSet::new();
    for word in &facts.mirrors {
        if let Some(why) = useless(word) {
            said.push(format!("{}: {why}", redact(word)));
        } else if !seen.insert(word.trim_end_matches('/').to_ascii_lowercase()) {
            said.push(format!("{}: named twice", redact(word)));
        }
    }
    let is_any_left = !seen.is_empty();
    let level = if is_any_left { Level::Warn } else { Level::Fail };
    let cure = if is_any_left { Some(fix("mirrors-list")) } else { Some("racefetch setup".to_owned()) };
    (!said.is_empty()).then(|| (level, said.join("; "), cure))
}

/// `GENTOO_MIRRORS` without the words that are of no use, and each once.
pub(super) fn usable(mirrors: &[String]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let is_new = |word: &&String| {
        useless(word).is_none() && seen.insert(word.trim_end_matches('/').to_ascii_lowercase())
    };
    mirrors.iter().filter(is_new).cloned().collect()
}

/// What speaks against a mirror, and how much.
fn ill(health: &Health) -> Option<(Level, String)> {
    match health {
        Health::Aged(Freshness::Fresh | Freshness::Ageing, _) | Health::Answers => None,
        Health::Aged(class, age) => {
            let days = age.as_secs() / 86_400;
            let level = if *class == Freshness::Out { Level::Fail } else { Level::Warn };
            let old = match days {
                0 if age.is_zero() => "its timestamp is from the future".to_owned(),
                0..=3 => format!("its copy is {} hours old", age.as_secs() / 3600),
                4..=729 => format!("its copy is {days} days old"),
                _ => format!("its copy is {} years old", days / 365),
            };
            Some((level, old))
        }
        Health::Odd(what) => Some((Level::Fail, what.clone())),
        Health::Dead(why) => Some((Level::Fail, format!("does not answer ({why})"))),
    }
}

fn is_local(word: &str) -> bool {
    MirrorBase::from_str(word).is_ok_and(|mirror| mirror.is_local())
}

fn of_mirrors(network: &Network, local: bool) -> Option<(Level, String, bool)> {
    let of_kind: Vec<_> = network.mirrors.iter().filter(|(word, _)| is_local(word) == local).collect();
    let ill: Vec<_> = of_kind.iter().filter_map(|(word, health)| Some((word, ill(health)?))).collect();
    let worst = ill.iter().map(|(_, (level, _))| *level).max()?;
    let all = ill.iter().filter(|(_, (level, _))| *level == Level::Fail).count() == of_kind.len();
    let said: Vec<String> = ill.iter().map(|(word, (_, why))| format!("{}: {why}", redact(word))).collect();
    Some((worst, said.join("; "), all))
}

fn mirrors_health(facts: &Facts) -> Option<Bad> {
    let (level, said, all) = of_mirrors(facts.network.as_ref()?, false)?;
    if all {
        let text = format!("none of the mirrors can be used; is the network there? {said}");
        return Some((Level::Fail, text, Some("racefetch doctor --offline".to_owned())));
    }
    // One bad mirror among good ones costs little: racefetch goes round it.
    let cure =
        if level == Level::Fail { Some(fix("mirrors-health")) } else { Some("racefetch setup".to_owned()) };
    Some((Level::Warn, said, cure))
}

fn local_mirror(facts: &Facts) -> Option<Bad> {
    let (level, said, _) = of_mirrors(facts.network.as_ref()?, true)?;
    Some((level.min(Level::Warn), said, Some(fix("local-mirror"))))
}

/// `GENTOO_MIRRORS` without those that do not answer, send something else, or are too old: of the local network, or the
/// others.
pub(super) fn healthy(mirrors: &[String], network: &Network, local: bool) -> Vec<String> {
    let is_out = |word: &String| {
        let known = network.mirrors.iter().find(|(known, _)| known == word);
        let is_ill = known.and_then(|(_, health)| ill(health)).is_some_and(|(level, _)| level == Level::Fail);
        is_local(word) == local && is_ill
    };
    mirrors.iter().filter(|word| !is_out(word)).cloned().collect()
}

fn readable(facts: &Facts) -> Option<Bad> {
    if facts.unreadable.is_empty() {
        return None;
    }
    let paths: Vec<String> = facts.unreadable.iter().map(|path| path.display().to_string()).collect();
    let text =
        format!("the user portage cannot read {}: racefetch knows less of the mirrors", paths.join(", "));
    Some((Level::Warn, text, Some(fix("readable"))))
}

fn place(check: &str, found: Option<&Place>, level: Level) -> Option<Bad> {
    let Some(Place { path, access }) = found else {
        return (check == "distdir")
            .then(|| (Level::Fail, "DISTDIR is not set".to_owned(), Some("emerge --info".to_owned())));
    };
    let what = match access {
        Access::Fine => return None,
        Access::Missing => "is not there",
        Access::Denied => "cannot be written to by the user portage",
    };
    Some((level, format!("{} {what}", path.display()), Some(fix(check))))
}

fn state(facts: &Facts) -> Option<Bad> {
    if let Some(warning) = &facts.state_warning {
        let path = facts.state.as_ref().map_or(Path::new(""), |state| &state.path);
        let cure = format!("rm {}", path.join("mirrors.json").display());
        return Some((Level::Warn, warning.clone(), Some(cure)));
    }
    place("state", facts.state.as_ref(), Level::Warn)
}

fn space(facts: &Facts) -> Option<Bad> {
    const LITTLE: u64 = 1 << 30;
    const NOTHING: u64 = 100 << 20;
    let free = facts.free.filter(|&free| free < LITTLE)?;
    let level = if free < NOTHING { Level::Fail } else { Level::Warn };
    Some((
        level,
        format!("DISTDIR has room for {} only", bytes(free)),
        Some("eclean --deep distfiles".to_owned()),
    ))
}

fn proxies(facts: &Facts) -> Option<Bad> {
    let place = facts.capital_proxy.as_ref()?;
    let text = format!("HTTP_PROXY in capitals ({place}) is read by nobody here: the name is http_proxy");
    let cure = match place.as_str() {
        "environment" => "export http_proxy=\"$HTTP_PROXY\"".to_owned(),
        path => format!("sed -i s/HTTP_PROXY/http_proxy/ {path}"),
    };
    Some((Level::Warn, text, Some(cure)))
}

fn ipv6(facts: &Facts) -> Option<Bad> {
    let broken = &facts.network.as_ref()?.broken_ipv6;
    if broken.is_empty() {
        return None;
    }
    let text = format!("IPv6 is set up but leads nowhere: {} answer over IPv4 only", broken.join(", "));
    Some((Level::Warn, text, Some("sysctl -w net.ipv6.conf.all.disable_ipv6=1".to_owned())))
}

fn clock(facts: &Facts) -> Option<Bad> {
    const NOTABLE: u64 = 5 * 60;
    const WRONG: u64 = 24 * 3600;
    let behind = facts.network.as_ref()?.clock_behind.filter(|behind| behind.unsigned_abs() > NOTABLE)?;
    let level = if behind.unsigned_abs() > WRONG { Level::Fail } else { Level::Warn };
    let (minutes, way) = (behind.unsigned_abs() / 60, if behind > 0 { "slow" } else { "fast" });
    let text =
        format!("the clock is {minutes} minutes {way}: certificates and ages of mirrors are judged by it");
    Some((level, text, Some("chronyd -q".to_owned())))
}

fn certificates(facts: &Facts) -> Option<Bad> {
    let wrong = facts.certificates.as_ref()?;
    let uses_https = facts.mirrors.iter().any(|word| word.starts_with("https://"));
    let level = if uses_https { Level::Fail } else { Level::Warn };
    let cure = if wrong.contains("SSL_CERT_") {
        "unset SSL_CERT_FILE SSL_CERT_DIR"
    } else {
        "emerge --oneshot app-misc/ca-certificates"
    };
    Some((level, wrong.clone(), Some(cure.to_owned())))
}

fn junk(facts: &Facts) -> Finding {
    let found: Vec<_> = facts.junk.iter().filter(|junk| !junk.files.is_empty()).collect();
    if found.is_empty() {
        let text = "no left-over files in DISTDIR".to_owned();
        return Finding { check: JUNK, level: Level::Ok, text, cure: None };
    }
    let parts: Vec<String> = found
        .iter()
        .map(|junk| format!("{} {} ({})", junk.files.len(), junk.what, bytes(junk.bytes)))
        .collect();
    Finding {
        check: JUNK,
        level: Level::Warn,
        text: format!("left over in DISTDIR: {}", parts.join(", ")),
        cure: Some(fix(JUNK)),
    }
}

#[cfg(test)]
mod tests;
