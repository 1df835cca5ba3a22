//! What was found, as lines or as JSON.

use std::io::{self, Write};
use std::path::Path;

use serde_json::json;

use super::Verdict;
use crate::commands::aside::Identity;
use crate::progress;

/// What one file in DISTDIR is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// As a Manifest says.
    Right,
    /// Not as any Manifest says; why.
    Corrupt(String),
    /// A Manifest names it, and it could not be compared; why.
    Unchecked(String),
    /// No Manifest names it.
    Unknown,
    /// A download that was not finished.
    Partial,
    /// Portage, or `--move-aside`, found it wrong and renamed it.
    SetAside,
}

impl State {
    /// The first word of a line, and the state in JSON.
    fn word(&self) -> &'static str {
        match self {
            Self::Right => "right",
            Self::Corrupt(_) => "corrupt",
            Self::Unchecked(_) => "unchecked",
            Self::Unknown => "unknown",
            Self::Partial => "partial",
            Self::SetAside => "set-aside",
        }
    }

    fn reason(&self) -> Option<&str> {
        match self {
            Self::Corrupt(reason) | Self::Unchecked(reason) => Some(reason),
            Self::Right | Self::Unknown | Self::Partial | Self::SetAside => None,
        }
    }
}

/// One file, and what was done about it.
pub(super) struct Report {
    pub(super) name: String,
    pub(super) state: State,
    /// The file that was looked at, when a Manifest names it.
    pub(super) found: Option<Identity>,
    /// Its new name.
    pub(super) moved_to: Option<String>,
}

/// How many files are in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Summary {
    right: usize,
    corrupt: usize,
    unchecked: usize,
    unknown: usize,
    partial: usize,
    set_aside: usize,
    /// Bytes of the files whose digests were computed.
    bytes: u64,
}

impl Summary {
    pub(super) fn of(reports: &[Report], bytes: u64) -> Self {
        let mut summary = Self { bytes, ..Self::default() };
        for report in reports {
            *match report.state {
                State::Right => &mut summary.right,
                State::Corrupt(_) => &mut summary.corrupt,
                State::Unchecked(_) => &mut summary.unchecked,
                State::Unknown => &mut summary.unknown,
                State::Partial => &mut summary.partial,
                State::SetAside => &mut summary.set_aside,
            } += 1;
        }
        summary
    }

    pub(super) fn verdict(&self) -> Verdict {
        match (self.corrupt, self.unchecked) {
            (0, 0) => Verdict::Right,
            (0, _) => Verdict::Unchecked,
            _ => Verdict::Corrupt,
        }
    }
}

/// A line for each file that is not right, or for each file, and a summary.
pub(super) fn write_lines(
    out: &mut dyn Write,
    reports: &[Report],
    summary: &Summary,
    verbose: bool,
) -> io::Result<()> {
    for report in reports.iter().filter(|report| verbose || report.state != State::Right) {
        // A name could fake a line, or move the cursor.
        let name: String = report.name.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        write!(out, "{:<9} {name}", report.state.word())?;
        if let Some(reason) = report.state.reason() {
            write!(out, ": {reason}")?;
        }
        if let Some(moved_to) = &report.moved_to {
            write!(out, "; renamed to {moved_to}")?;
        }
        writeln!(out)?;
    }
    let Summary { right, corrupt, unchecked, unknown, partial, set_aside, bytes } = summary;
    writeln!(
        out,
        "{} {}, {} verified: {right} right, {corrupt} corrupt, {unchecked} unchecked, {unknown} unknown, \
         {partial} partial, {set_aside} set aside",
        reports.len(),
        if reports.len() == 1 { "file" } else { "files" },
        progress::bytes(*bytes)
    )
}

/// All files, and the summary. Names that are not UTF-8 have `U+FFFD` in them.
pub(super) fn write_json(
    out: &mut dyn Write,
    distdir: &Path,
    reports: &[Report],
    summary: &Summary,
) -> io::Result<()> {
    let file = |report: &Report| {
        let mut file = json!({ "name": report.name, "state": report.state.word() });
        if let Some(reason) = report.state.reason() {
            file["reason"] = reason.into();
        }
        if let Some(moved_to) = &report.moved_to {
            file["moved_to"] = moved_to.as_str().into();
        }
        file
    };
    let whole = json!({
        "distdir": distdir.to_string_lossy(),
        "files": reports.iter().map(file).collect::<Vec<_>>(),
        "summary": {
            "right": summary.right,
            "corrupt": summary.corrupt,
            "unchecked": summary.unchecked,
            "unknown": summary.unknown,
            "partial": summary.partial,
            "set_aside": summary.set_aside,
            "bytes": summary.bytes,
        },
    });
    serde_json::to_writer_pretty(&mut *out, &whole)?;
    writeln!(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reports() -> Vec<Report> {
        let report = |name: &str, state| Report { name: name.to_owned(), state, found: None, moved_to: None };
        let mut reports = vec![
            report("a", State::Right),
            report("b", State::Corrupt("it is wrong".to_owned())),
            report("c\u{1b}\n", State::Unchecked("denied".to_owned())),
            report("d", State::Unknown),
            report("e.__download__", State::Partial),
            report("f._checksum_failure_.x", State::SetAside),
        ];
        reports[1].moved_to = Some("b._checksum_failure_.y".to_owned());
        reports
    }

    #[test]
    fn lines() {
        let write = |verbose| {
            let (reports, mut out) = (reports(), Vec::new());
            write_lines(&mut out, &reports, &Summary::of(&reports, 2048), verbose).unwrap();
            String::from_utf8(out).unwrap()
        };
        let expected = "\
corrupt   b: it is wrong; renamed to b._checksum_failure_.y
unchecked c??: denied
unknown   d
partial   e.__download__
set-aside f._checksum_failure_.x
6 files, 2.0 KiB verified: 1 right, 1 corrupt, 1 unchecked, 1 unknown, 1 partial, 1 set aside
";
        assert_eq!(write(false), expected);
        assert_eq!(write(true), format!("right     a\n{expected}"));
    }

    #[test]
    fn json() {
        let (reports, mut out) = (reports(), Vec::new());
        write_json(&mut out, Path::new("/d"), &reports, &Summary::of(&reports, 5)).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value["distdir"], "/d");
        assert_eq!(value["files"][0], json!({ "name": "a", "state": "right" }));
        let corrupt = json!({ "name": "b", "state": "corrupt", "reason": "it is wrong",
                              "moved_to": "b._checksum_failure_.y" });
        assert_eq!(value["files"][1], corrupt);
        assert_eq!(value["files"][5]["state"], "set-aside");
        let summary = json!({ "right": 1, "corrupt": 1, "unchecked": 1, "unknown": 1, "partial": 1,
                              "set_aside": 1, "bytes": 5 });
        assert_eq!(value["summary"], summary);
    }

    #[test]
    fn the_worst_counts() {
        let verdict = |range: std::ops::Range<usize>| Summary::of(&reports()[range], 0).verdict();
        assert_eq!((verdict(0..1), verdict(3..6)), (Verdict::Right, Verdict::Right));
        assert_eq!((verdict(2..6), verdict(1..6)), (Verdict::Unchecked, Verdict::Corrupt));
    }
}
