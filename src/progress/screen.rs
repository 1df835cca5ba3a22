//! What a transfer looks like on a terminal: lines that are never wider than it is.

use super::format::{columns, percent, printable, rate, short_status, shortened, status};
use super::rate::Pace;
use super::{Phase, Snapshot, names};

/// Columns of the bar, when there is room.
const BAR_MIN: usize = 10;
const BAR_MAX: usize = 20;
/// Columns of a name that says something.
const NAME_MIN: usize = 16;
/// With fewer columns there is only the first line.
const NARROW: usize = 40;
/// Files that have a line of their own, at most.
const FILES: usize = 4;
/// What lines other than the first begin with.
const INDENT: &str = "  ";

/// `NAME [####....] 42% of 103.2 MiB, 12.4 MiB/s, 5 s left`, below it the largest of many files, and the mirrors at work.
pub(super) fn lines(name: &str, snapshot: &Snapshot, pace: Pace, width: usize, colours: bool) -> Vec<String> {
    let is_narrow = width < NARROW;
    let width = width.saturating_sub(1); // the last column makes some terminals wrap
    let mut lines = vec![first(name, snapshot, pace, width, colours)];
    if !is_narrow {
        lines.extend(files(snapshot, width));
        lines.extend(
            mirrors(snapshot, width.saturating_sub(INDENT.len())).map(|line| INDENT.to_owned() + &line),
        );
    }
    lines
}

/// The name gives way first, then the bar is left out.
fn first(name: &str, snapshot: &Snapshot, pace: Pace, width: usize, colours: bool) -> String {
    let mut status = status(snapshot, pace);
    if columns(&status) + NAME_MIN.min(columns(name)) >= width {
        status = short_status(snapshot, pace);
    }
    let room = width.saturating_sub(columns(&status) + 1);
    // What many files are called tells less than how far they are.
    let has_room = snapshot.files.is_none() || room > columns(name) + BAR_MIN + 3;
    let name = if has_room { shortened(name, room.min((width / 3).max(NAME_MIN))) } else { String::new() };
    let room = room.saturating_sub(columns(&name));
    let mut parts = vec![name];
    if let Some(size) = snapshot.size.filter(|_| room > BAR_MIN + 3) {
        parts.push(bar(snapshot.have, size, (room - 3).min(BAR_MAX), colours));
    }
    parts.push(shortened(&status, width));
    parts.retain(|part| !part.is_empty());
    parts.join(" ")
}

/// `[####....]` with that many cells between the brackets.
fn bar(have: u64, size: u64, cells: usize, colours: bool) -> String {
    let full = usize::try_from(percent(have, size)).unwrap_or(100) * cells / 100;
    let (done, rest) = ("#".repeat(full), ".".repeat(cells - full));
    if colours { format!("[\u{1b}[32m{done}\u{1b}[0m{rest}]") } else { format!("[{done}{rest}]") }
}

/// `42%  NAME` for those of many files that are being fetched.
fn files(snapshot: &Snapshot, width: usize) -> Vec<String> {
    let Some(files) = &snapshot.files else { return Vec::new() };
    let line = |file: &super::FileAtWork| {
        let before = format!("{INDENT}{:>3}%  ", percent(file.have, file.size));
        let name = shortened(&printable(&file.name), width.saturating_sub(columns(&before)));
        before + &name
    };
    files.current.iter().take(FILES).map(line).collect()
}

/// The mirrors at work, the fastest first, as many as there is room for; or those that are waited for.
pub(super) fn mirrors(snapshot: &Snapshot, room: usize) -> Option<String> {
    if !matches!(snapshot.phase, Phase::Connecting | Phase::Receiving | Phase::Repairing) {
        return None;
    }
    let mut sources: Vec<_> = snapshot.sources.iter().filter(|source| source.rate >= 1.0).collect();
    let waits = sources.is_empty();
    if waits {
        sources = snapshot.sources.iter().collect();
    }
    sources.sort_by(|a, b| b.rate.total_cmp(&a.rate));
    let hosts: Vec<String> = sources.iter().map(|source| printable(&source.name)).collect();
    let names = names::short(&hosts.iter().map(String::as_str).collect::<Vec<_>>()).into_iter();
    let texts: Vec<String> = if waits {
        names.collect()
    } else {
        names.zip(&sources).map(|(name, source)| format!("{name} {}", rate(source.rate))).collect()
    };
    let before = if waits { "waiting for " } else { "" };
    let line = |shown: usize| {
        let mut parts = texts[..shown].to_vec();
        let more = texts.len() - shown;
        match (more, shown) {
            (0, _) => {}
            (_, 0) => parts.push(format!("{more} mirror{}", if more == 1 { "" } else { "s" })),
            _ => parts.push(format!("{more} more")),
        }
        before.to_owned() + &parts.join(", ")
    };
    if texts.is_empty() {
        return None;
    }
    (0..=texts.len()).rev().map(line).find(|line| columns(line) <= room)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::lines::tests::second;
    use super::super::{FileAtWork, Files, SourceSnapshot};
    use super::*;

    const PACE: Pace = Pace { rate: Some(1_048_576.0), silence: Duration::ZERO };

    fn snapshot() -> Snapshot {
        let source = |name: &str, rate| SourceSnapshot { name: name.into(), rate };
        let sources = vec![
            source("mirror.slow.example", 1024.0),
            source("ftp.fast.example", 2048.0),
            source("hangs.example", 0.0),
        ];
        Snapshot { sources, ..second(100) }
    }

    #[test]
    fn the_mirrors_have_a_line_of_their_own() {
        assert_eq!(
            lines("x.tar", &snapshot(), PACE, 80, false),
            [
                "x.tar [##########..........] 50% of 200.0 MiB, 1.0 MiB/s, 1 min 40 s left",
                "  fast 2.0 KiB/s, slow 1.0 KiB/s",
            ]
        );
        let narrow = lines("gcc-15.2.0.tar.xz", &snapshot(), PACE, 40, false);
        assert_eq!(narrow, ["gcc~.xz 50%, 1.0 MiB/s, 1 min 40 s left", "  fast 2.0 KiB/s, slow 1.0 KiB/s"]);
        let mut many = snapshot();
        many.sources.extend((0..9).map(|n| SourceSnapshot { name: format!("m{n}.example"), rate: 1.0 }));
        assert_eq!(lines("x.tar", &many, PACE, 40, false)[1], "  fast 2.0 KiB/s, 10 more");
    }

    #[test]
    fn who_is_waited_for_is_named() {
        let mut waits = snapshot();
        waits.sources.iter_mut().for_each(|source| source.rate = 0.0);
        waits.phase = Phase::Connecting;
        let pace = Pace { rate: Some(0.0), silence: Duration::from_millis(12_700) };
        let lines = lines("x.tar", &waits, pace, 80, false);
        assert!(lines[0].ends_with("50% of 200.0 MiB, nothing for 12 s"), "{}", lines[0]);
        assert_eq!(lines[1], "  waiting for slow, fast, hangs");
    }

    #[test]
    fn of_many_files_a_few_are_shown() {
        let file = |n: u64| FileAtWork { name: format!("file-{n}.tar.xz"), have: n * 10, size: 100 };
        let current = (1..9).map(file).collect();
        let files = Some(Files { done: 61, all: 64, current });
        let lines = lines("prefetch", &Snapshot { files, ..snapshot() }, PACE, 80, false);
        assert_eq!(
            lines[0],
            "[#######........] 61 of 64 files, 50% of 200.0 MiB, 1.0 MiB/s, 1 min 40 s left"
        );
        assert_eq!((lines.len(), lines[1].as_str()), (6, "   10%  file-1.tar.xz"));
        assert_eq!(lines[5], "  fast 2.0 KiB/s, slow 1.0 KiB/s");
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let name = "a-very-long-name-of-a-distfile-1.2.3.tar.xz";
        let file = FileAtWork { name: name.repeat(9), have: 1, size: 2 };
        let files = Some(Files { done: 1, all: 2, current: vec![file] });
        for width in 0..200 {
            for snapshot in [snapshot(), Snapshot { files: files.clone(), ..snapshot() }] {
                for line in lines(name, &snapshot, PACE, width, false) {
                    assert!(columns(&line) < width.max(1), "{width}: {line}");
                }
            }
        }
    }

    #[test]
    fn colours_only_the_bar() {
        let line = &lines("x", &snapshot(), PACE, 100, true)[0];
        assert!(line.contains("[\u{1b}[32m##########\u{1b}[0m..........]"), "{line}");
    }
}
