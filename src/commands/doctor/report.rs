//! The findings, as lines or as JSON.

use std::io::{self, Write};

use serde_json::json;

use super::checks::{Finding, Level};
use crate::progress::{printable, printable_json};

pub(super) fn write(findings: &[Finding], json: bool, out: &mut dyn Write) -> io::Result<()> {
    let worst = worst(findings);
    if json {
        let text = serde_json::to_string_pretty(&json!({ "status": worst, "findings": findings }))?;
        return writeln!(out, "{}", printable_json(&text));
    }
    for finding in findings {
        writeln!(out, "{:<4}  {:<14}  {}", word(finding.level), finding.check, printable(&finding.text))?;
        if let Some(cure) = &finding.cure {
            writeln!(out, "{:22}{}", "", printable(cure))?;
        }
    }
    let count = |level| findings.iter().filter(|finding| finding.level == level).count();
    let (warn, fail) = (count(Level::Warn), count(Level::Fail));
    match worst {
        Level::Ok => writeln!(out, "All is well."),
        Level::Warn | Level::Fail => {
            writeln!(out, "{fail} failed, {warn} to look at. Below each: what cures it.")
        }
    }
}

pub(super) fn worst(findings: &[Finding]) -> Level {
    findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Ok)
}

fn word(level: Level) -> &'static str {
    match level {
        Level::Ok => "ok",
        Level::Warn => "warn",
        Level::Fail => "fail",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_json_say_the_same() {
        let finding = |check, level, cure: Option<&str>| Finding {
            check,
            level,
            text: format!("about\x1b{check}"),
            cure: cure.map(str::to_owned),
        };
        let findings = [
            finding("a", Level::Ok, None),
            finding("b", Level::Warn, Some("cure b")),
            finding("c", Level::Fail, None),
        ];
        let text = |findings: &[Finding], json| {
            let mut out = Vec::new();
            write(findings, json, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        let lines = text(&findings, false);
        assert!(lines.contains("warn  b ") && lines.contains("\n                      cure b\n"), "{lines}");
        assert!(
            lines.ends_with("1 failed, 1 to look at. Below each: what cures it.\n")
                && !lines.contains('\x1b')
        );
        let value: serde_json::Value = serde_json::from_str(&text(&findings, true)).unwrap();
        assert_eq!((&value["status"], &value["findings"][1]["cure"]), (&json!("fail"), &json!("cure b")));
        assert!(value["findings"][0].get("cure").is_none());
        assert!(text(&findings[..1], false).ends_with("All is well.\n"));
    }
}
