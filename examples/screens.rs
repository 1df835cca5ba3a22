//! The pictures of a terminal in the README: `cargo run --release --example screens`, as root (it gives the mirrors names).
//!
//! Starts mirrors on the loopback address, runs the program on a terminal of 80 columns, and draws one moment of what is
//! seen there, and the end of it: `docs/screen-fetch.svg` and `docs/screen-prefetch.svg`.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

use racefetch::portage::{Algorithm, Digest};
use support::build;
use support::content::content;
use support::lab::{Dist, Lab, Layout};
use support::mirror::Mirror;
use support::mirror::rule::Rule;

#[path = "../tests/support/mod.rs"]
mod support;

const COLUMNS: u16 = 80;
const ROWS: u16 = 24;
const MB: u64 = 1_000_000;

/// Host, and bytes a second.
const MIRRORS: [(&str, u64); 3] =
    [("ftp.prague.example", 3 * MB), ("mirror.berlin.example", 4 * MB), ("mirrors.oslo.example", 2 * MB)];
/// A name that nobody has.
const MISSPELT: &str = "miror.vienna.example";

fn main() -> ExitCode {
    let drawn = build::racefetch().and_then(|binary| {
        fetch(&binary)?;
        prefetch(&binary)
    });
    match drawn {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("screens: {error}");
            ExitCode::FAILURE
        }
    }
}

/// One large file.
fn fetch(binary: &Path) -> Result<(), String> {
    let dist = Dist::new("gcc-15.2.0.tar.xz", &content(1, 40_000_000));
    let stage = Stage::new(&[&dist])?;
    let digest = Digest::of(Algorithm::Sha512, &dist.content).hex();
    let folder = stage.folder.path().display();
    let shown = format!("racefetch --mirrors \"$GENTOO_MIRRORS\" --digests ... -o {} ...", dist.name);
    let line = format!(
        "cd {folder} && {} --state {folder}/state --size {} --digests sha512:{digest} --mirrors '{}' -o {} {}/distfiles/{}",
        binary.display(),
        dist.content.len(),
        stage.bases.join(" "),
        dist.name,
        stage.bases[0],
        Layout::FilenameHash.path(&dist),
    );
    let recorded = stage.record(&line)?;
    draw("docs/screen-fetch.svg", &shown, &recorded)
}

/// What a package needs, before emerge begins.
fn prefetch(binary: &Path) -> Result<(), String> {
    let sizes = [
        ("gcc-15.2.0.tar.xz", 24),
        ("glibc-2.42.tar.xz", 11),
        ("llvm-project-21.1.0.tar.xz", 20),
        ("gcc-15.2.0-patches-4.tar.xz", 1),
    ];
    let mut dists: Vec<Dist> = Vec::new();
    for (seed, (name, megabytes)) in (1..).zip(sizes) {
        dists.push(Dist::new(name, &content(seed, megabytes * 1_000_000)));
    }
    for number in 0..60 {
        dists.push(Dist::new(&format!("crate-{number}.0.1.crate"), &content(100 + number, 60_000)));
    }
    let all: Vec<&Dist> = dists.iter().collect();
    let stage = Stage::new(&all)?;
    let lab = Lab::new(binary)?.mirrors(&stage.bases).package("sys-devel/gcc-15.2.0", &all);
    // Portage is asked before the names are there: what it lists is kept.
    let list = stage.folder.path().join("list");
    let pretend = lab.shell(&format!("emerge --pretend --fetchonly sys-devel/gcc >{} 2>&1", list.display()));
    if !pretend.success() {
        return Err(format!("emerge --pretend: {pretend}"));
    }
    let script = stage.folder.path().join("prefetch");
    let prefetch = format!("racefetch prefetch - <{}\n", list.display());
    fs::write(&script, prefetch).map_err(|error| format!("{}: {error}", script.display()))?;
    let log = stage.folder.path().join("log");
    let run = lab.shell(&stage.recording(&format!("sh {}", script.display()), &log));
    if !run.success() {
        return Err(format!("racefetch prefetch: {run}"));
    }
    let recorded = fs::read(&log).map_err(|error| format!("{}: {error}", log.display()))?;
    draw("docs/screen-prefetch.svg", "emerge -pf @world | racefetch prefetch -", &recorded)
}

/// Mirrors with names.
struct Stage {
    _mirrors: Vec<Mirror>,
    bases: Vec<String>,
    folder: tempfile::TempDir,
}

impl Stage {
    fn new(dists: &[&Dist]) -> Result<Self, String> {
        let folder =
            tempfile::tempdir().map_err(|error| format!("cannot make a temporary folder: {error}"))?;
        let mut hosts = "127.0.0.1 localhost\n".to_owned();
        let mut bases = Vec::new();
        let mut mirrors = Vec::new();
        for (host, rate) in MIRRORS {
            let mirror = Mirror::start();
            mirror.limit_rate(rate);
            mirror.on("/distfiles/layout.conf").serve(Layout::FilenameHash.conf()).always();
            for dist in dists {
                let rule = Rule::serve(&dist.content[..]).delay(Duration::from_millis(30));
                mirror.on(&format!("/distfiles/{}", Layout::FilenameHash.path(dist))).add(rule).always();
            }
            let _ = writeln!(hosts, "127.0.0.1 {host}"); // a String takes anything
            bases.push(format!("http://{host}:{}", mirror.address().port()));
            mirrors.push(mirror);
        }
        bases.insert(1, format!("http://{MISSPELT}"));
        fs::write(folder.path().join("hosts"), hosts).map_err(|error| format!("cannot write: {error}"))?;
        Ok(Self { _mirrors: mirrors, bases, folder })
    }

    /// The command that runs a line on a terminal, with the names of the mirrors, and keeps in `log` what is written there.
    fn recording(&self, line: &str, log: &Path) -> String {
        let hosts = self.folder.path().join("hosts");
        let inner = format!("stty cols {COLUMNS} rows {ROWS}; {line}");
        let script = self.folder.path().join("inner");
        // The names are for this command alone.
        let text = format!("mount --bind {} /etc/hosts && {inner}\n", hosts.display());
        fs::write(&script, text).expect("the folder is ours");
        let unshare = format!("unshare --mount sh {}", script.display());
        format!(
            "TERM=xterm script --quiet --return --flush --command '{unshare}' {} </dev/null >/dev/null",
            log.display()
        )
    }

    fn record(&self, line: &str) -> Result<Vec<u8>, String> {
        let log = self.folder.path().join("log");
        let command = self.recording(line, &log);
        let status = Command::new("sh").args(["-c", &command]).env("no_proxy", "*").status();
        let recorded = fs::read(&log).map_err(|error| format!("{}: {error}", log.display()))?;
        match status {
            Ok(status) if status.success() => Ok(recorded),
            Ok(status) => Err(format!("{line}: {status}: {}", String::from_utf8_lossy(&recorded))),
            Err(error) => Err(format!("{command}: {error}")),
        }
    }
}

/// Draws one moment and the end of what was written on a terminal, below the command.
fn draw(path: &str, command: &str, recorded: &[u8]) -> Result<(), String> {
    let recorded = without_remarks(recorded);
    let mut terminal = vt100::Parser::new(ROWS, COLUMNS, 0);
    let mut moments: Vec<Vec<String>> = Vec::new();
    // Each drawing of the bars begins at the left.
    for piece in recorded.split_inclusive(|byte| *byte == b'\r') {
        terminal.process(piece);
        let moment = lines(&terminal);
        if moments.last() != Some(&moment) {
            moments.push(moment);
        }
    }
    let end = lines(&terminal);
    // The fullest screen of the second third.
    let middle = &moments[moments.len() / 3..=moments.len() * 2 / 3];
    let moment = middle.iter().max_by_key(|lines| lines.iter().map(|line| line.trim().len()).sum::<usize>());
    let moment = moment.ok_or("nothing was seen on the terminal")?;
    let mut rows = vec![("command", format!("$ {command}"))];
    rows.extend(moment.iter().map(|line| ("text", line.clone())));
    rows.push(("later", "some seconds later".to_owned()));
    rows.extend(end.iter().map(|line| ("text", line.clone())));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::write(&path, svg(&rows)).map_err(|error| format!("{}: {error}", path.display()))?;
    println!("{}", path.display());
    Ok(())
}

/// Without the lines of `script` itself.
fn without_remarks(recorded: &[u8]) -> &[u8] {
    let begin = recorded.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let rest = &recorded[begin..];
    let remark = b"\nScript done";
    let end = rest.windows(remark.len()).position(|window| window == remark).unwrap_or(rest.len());
    &rest[..end]
}

/// What stands on the terminal, without the empty lines at the end.
fn lines(terminal: &vt100::Parser) -> Vec<String> {
    let mut lines: Vec<String> =
        terminal.screen().rows(0, COLUMNS).map(|row| row.trim_end().to_owned()).collect();
    let used = lines.iter().rposition(|line| !line.is_empty()).map_or(0, |last| last + 1);
    lines.truncate(used);
    lines
}

const LINE: usize = 18;
const MARGIN: usize = 14;

fn svg(rows: &[(&str, String)]) -> String {
    let (width, height) = (usize::from(COLUMNS) * 8 + 2 * MARGIN, rows.len() * LINE + 2 * MARGIN);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"img\">\n\
         <style>rect{{fill:#16181d}}text{{font:13px ui-monospace,Menlo,Consolas,monospace;fill:#d7dae0;white-space:pre}}\
         .command{{fill:#8fd18f}}.later{{fill:#8a8f99}}</style>\n<rect width=\"{width}\" height=\"{height}\" rx=\"8\"/>\n"
    );
    for (number, (class, text)) in rows.iter().enumerate() {
        let y = MARGIN + (number + 1) * LINE - 5;
        let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        // The length is that of the columns, whatever font there is.
        let length = text.chars().count().min(usize::from(COLUMNS)) * 8;
        let _ = writeln!(
            svg,
            "<text class=\"{class}\" x=\"{MARGIN}\" y=\"{y}\" textLength=\"{length}\" xml:space=\"preserve\">{text}</text>"
        ); // a String takes anything
    }
    svg.push_str("</svg>\n");
    svg
}
