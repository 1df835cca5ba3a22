//! What became of each distfile, as lines or as JSON.

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use crate::progress;

/// What became of one distfile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Report {
    pub(super) name: String,
    /// In bytes; none when no Manifest tells.
    pub(super) size: Option<u64>,
    pub(super) state: State,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It was there.
    Present,
    /// From these hosts.
    Fetched(Vec<String>),
    /// `--dry-run`: it would be asked for at these hosts, in that order.
    Wanted(Vec<String>),
    /// It could not be had; why.
    Missing(String),
    /// Its turn did not come before the end.
    Left,
    /// It is no distfile: Portage fetches and verifies it itself.
    BinaryPackage,
}

impl State {
    fn word(&self) -> &'static str {
        match self {
            Self::Present => "present",
            Self::Fetched(_) => "fetched",
            Self::Wanted(_) => "wanted",
            Self::Missing(_) => "missing",
            Self::Left => "left",
            Self::BinaryPackage => "binary_package",
        }
    }
}

/// How many distfiles are in each state, and how many bytes they have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    files: usize,
    bytes: u64,
}

impl Count {
    fn of(reports: &[Report], counts: impl Fn(&State) -> bool) -> Self {
        let counted = reports.iter().filter(|report| counts(&report.state));
        let add = |sum: Self, report: &Report| Self {
            files: sum.files + 1,
            bytes: sum.bytes.saturating_add(report.size.unwrap_or_default()),
        };
        counted.fold(Self::default(), add)
    }
}

/// Whether everything is there.
pub(super) fn is_complete(reports: &[Report]) -> bool {
    !reports.iter().any(|report| matches!(report.state, State::Missing(_) | State::Left))
}

/// The hosts that all files that would be fetched are asked for at first, when there are several files.
fn asked_first(reports: &[Report]) -> Vec<String> {
    let mut wanted = reports.iter().filter_map(|report| match &report.state {
        State::Wanted(hosts) => Some(hosts.as_slice()),
        _ => None,
    });
    let (Some(first), Some(second)) = (wanted.next(), wanted.next()) else { return Vec::new() };
    let common = |a: &[String], b: &[String]| a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let all = wanted.fold(common(first, second), |least, hosts| least.min(common(first, hosts)));
    first[..all].to_vec()
}

/// A line for each distfile that is missing, and for each that would be fetched; then a summary, and a line for all
/// binary packages.
pub(super) fn write_lines(
    out: &mut dyn Write,
    reports: &[Report],
    elapsed: Duration,
    quiet: bool,
) -> io::Result<()> {
    let first = asked_first(reports);
    if !first.is_empty() {
        writeln!(out, "mirrors: {}", progress::printable(&first.join(", ")))?;
    }
    for Report { name, size, state } in reports {
        let size = size.map(|size| format!(" ({})", progress::bytes(size))).unwrap_or_default();
        let line = match state {
            State::Present | State::Fetched(_) | State::Left | State::BinaryPackage => continue,
            State::Wanted(hosts) if first.is_empty() => {
                format!("wanted {name}{size} from {}", hosts.join(", "))
            }
            State::Wanted(hosts) if hosts.len() == first.len() => format!("wanted {name}{size}"),
            State::Wanted(hosts) => format!("wanted {name}{size}, else {}", hosts[first.len()..].join(", ")),
            State::Missing(why) => format!("missing {name}{size}: {why}"),
        };
        writeln!(out, "{}", progress::printable(&line))?;
    }
    if quiet {
        return Ok(());
    }
    writeln!(out, "{}", summary(reports, elapsed))?;
    let packages = reports.iter().filter(|report| report.state == State::BinaryPackage);
    match packages.map(|report| report.name.as_str()).collect::<Vec<_>>().as_slice() {
        [] => Ok(()),
        names => writeln!(out, "{}", progress::printable(&left_to_portage(names))),
    }
}

fn left_to_portage(names: &[&str]) -> String {
    let (count, them) = match names.len() {
        1 => ("1 binary package is".to_owned(), "it"),
        n => (format!("{n} binary packages are"), "them"),
    };
    format!("{count} left to Portage, which fetches and verifies {them}: {}", names.join(", "))
}

/// `500 distfiles: 20 are there, 478 fetched (1.2 GiB in 2 min 03 s), 2 missing`.
fn summary(reports: &[Report], elapsed: Duration) -> String {
    let of = |counts: fn(&State) -> bool| Count::of(reports, counts);
    let (fetched, wanted) = (of(|s| matches!(s, State::Fetched(_))), of(|s| matches!(s, State::Wanted(_))));
    let (present, missing) = (of(|s| matches!(s, State::Present)), of(|s| matches!(s, State::Missing(_))));
    let left = of(|s| matches!(s, State::Left));
    let all = of(|s| *s != State::BinaryPackage).files;
    let plural = if all == 1 { "" } else { "s" };
    if all > 0 && present.files == all {
        return format!(
            "{all} distfile{plural} ({}): all there, nothing to fetch",
            progress::bytes(present.bytes)
        );
    }
    let mut parts = Vec::new();
    if present.files > 0 {
        parts.push(format!("{} there before", present.files));
    }
    if wanted.files > 0 {
        parts.push(format!("{} to fetch ({})", wanted.files, progress::bytes(wanted.bytes)));
    }
    if fetched.files > 0 {
        let (bytes, time) = (progress::bytes(fetched.bytes), progress::duration(elapsed));
        parts.push(format!("{} fetched and verified ({bytes} in {time})", fetched.files));
    }
    if missing.files > 0 {
        parts.push(format!("{} missing", missing.files));
    }
    if left.files > 0 {
        parts.push(format!("{} not fetched yet", left.files));
    }
    let parts = if parts.is_empty() { "nothing to fetch".to_owned() } else { parts.join(", ") };
    format!("{all} distfile{plural}: {parts}")
}

/// Of the JSON.
const VERSION: u32 = 1;

/// All distfiles, and how many are in which state.
pub(super) fn write_json(
    out: &mut dyn Write,
    distdir: &Path,
    reports: &[Report],
    elapsed: Duration,
) -> io::Result<()> {
    let files: Vec<_> = reports
        .iter()
        .map(|report| {
            let (hosts, reason) = match &report.state {
                State::Present | State::Left | State::BinaryPackage => (None, None),
                State::Fetched(hosts) | State::Wanted(hosts) => (Some(hosts), None),
                State::Missing(why) => (None, Some(why)),
            };
            json!({
                "name": report.name, "size": report.size, "state": report.state.word(),
                "hosts": hosts, "reason": reason,
            })
        })
        .collect();
    let count = |counts: fn(&State) -> bool| {
        let Count { files, bytes } = Count::of(reports, counts);
        json!({ "files": files, "bytes": bytes })
    };
    let value = json!({
        "version": VERSION,
        "distdir": distdir.to_string_lossy(),
        "complete": is_complete(reports),
        "seconds": elapsed.as_secs_f64(),
        "present": count(|state| matches!(state, State::Present)),
        "fetched": count(|state| matches!(state, State::Fetched(_))),
        "wanted": count(|state| matches!(state, State::Wanted(_))),
        "missing": count(|state| matches!(state, State::Missing(_))),
        "left": count(|state| matches!(state, State::Left)),
        "binary_packages": count(|state| matches!(state, State::BinaryPackage)),
        "files": files,
    });
    writeln!(out, "{value:#}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(name: &str, size: u64, state: State) -> Report {
        Report { name: name.to_owned(), size: Some(size), state }
    }

    fn lines(reports: &[Report], quiet: bool) -> String {
        let mut out = Vec::new();
        write_lines(&mut out, reports, Duration::from_secs(3), quiet).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_is_said() {
        let there = report("a", 5, State::Present);
        let came = report("b", 2048, State::Fetched(vec!["m".to_owned()]));
        let lost = Report { size: None, ..report("c\n", 0, State::Missing("m: 404".to_owned())) };
        let wanted = report("d", 1024, State::Wanted(vec!["m".to_owned(), "n".to_owned()]));
        assert_eq!(
            lines(std::slice::from_ref(&there), false),
            "1 distfile (5 B): all there, nothing to fetch\n"
        );
        assert_eq!(lines(&[], false), "0 distfiles: nothing to fetch\n");
        let all = [there, came, lost];
        assert_eq!(
            lines(&all, false),
            "missing c?: m: 404\n\
             3 distfiles: 1 there before, 1 fetched and verified (2.0 KiB in 3 s), 1 missing\n"
        );
        assert_eq!(lines(&all, true), "missing c?: m: 404\n");
        assert_eq!(lines(&[report("e", 1, State::Left)], false), "1 distfile: 1 not fetched yet\n");
        assert!(!is_complete(&all) && is_complete(&all[..2]));
        assert_eq!(
            lines(&[wanted], false),
            "wanted d (1.0 KiB) from m, n\n1 distfile: 1 to fetch (1.0 KiB)\n"
        );
        let hosts = |list: &[&str]| State::Wanted(list.iter().map(|host| (*host).to_owned()).collect());
        let several = [report("d", 1, hosts(&["m", "n"])), report("e", 2, hosts(&["m", "n", "u"]))];
        assert_eq!(
            lines(&several, false),
            "mirrors: m, n\nwanted d (1 B)\nwanted e (2 B), else u\n2 distfiles: 2 to fetch (3 B)\n"
        );
    }

    #[test]
    fn binary_packages_are_no_distfiles() {
        let package = |name: &str| Report { size: None, ..report(name, 0, State::BinaryPackage) };
        let there = report("a", 5, State::Present);
        for (reports, said) in [
            (
                vec![package("x-1-1.gpkg.tar")],
                "0 distfiles: nothing to fetch\n\
                 1 binary package is left to Portage, which fetches and verifies it: x-1-1.gpkg.tar\n",
            ),
            (
                vec![there, package("x.tbz2"), package("y.xpak")],
                "1 distfile (5 B): all there, nothing to fetch\n\
                 2 binary packages are left to Portage, which fetches and verifies them: x.tbz2, y.xpak\n",
            ),
        ] {
            assert_eq!(lines(&reports, false), said);
            assert!(lines(&reports, true).is_empty() && is_complete(&reports));
        }
    }

    #[test]
    fn what_programs_read() {
        let mut out = Vec::new();
        let reports = [report("b", 7, State::Fetched(vec!["m".to_owned()]))];
        write_json(&mut out, Path::new("/d"), &reports, Duration::from_secs(1)).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value["fetched"], json!({ "files": 1, "bytes": 7 }));
        assert_eq!((&value["complete"], &value["files"][0]["hosts"]), (&json!(true), &json!(["m"])));
    }
}
