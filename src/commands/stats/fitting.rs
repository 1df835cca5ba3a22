//! A table of mirrors that fits the terminal: columns that have no room are left out, then names are shortened.

use std::fmt::Write;

use crate::mirror::MirrorKey;
use crate::progress::printable;

/// The least room for a name, and what a longer one gets (but no more than half of the line) while
/// there are columns to be shown.
const NAME_LEAST: usize = 12;
const NAME_USUAL: usize = 28;

/// Blanks between two columns.
const GAP: usize = 2;

/// One line for each mirror, below a heading.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Table {
    /// One for each mirror.
    pub names: Vec<String>,
    /// What stands behind the names: each column with its heading and a cell for each mirror.
    pub columns: Vec<Vec<String>>,
    /// The columns, the most useful first.
    pub by_use: Vec<usize>,
}

impl Table {
    /// The lines. `width` in characters; without one everything is shown.
    pub(crate) fn write(&self, width: Option<usize>) -> String {
        let widths: Vec<usize> = self.columns.iter().map(|cells| longest(cells)).collect();
        let longest_name = longest(&self.names).max("mirror".len());

        let mut room = width.map(|width| width.saturating_sub(longest_name.min(NAME_USUAL).min(width / 2)));
        let mut shown = Vec::new();
        for &column in &self.by_use {
            let takes = widths[column] + GAP;
            // Without a single figure it would be no table: the name gives way.
            let first = shown.is_empty() && width.is_none_or(|width| width >= NAME_LEAST + takes);
            if room.is_none_or(|room| takes <= room) || first {
                room = room.map(|room| room.saturating_sub(takes));
                shown.push(column);
            }
        }
        shown.sort_unstable();
        let taken: usize = shown.iter().map(|column| widths[*column] + GAP).sum();
        let name_width = width.map_or(longest_name, |width| longest_name.min(width.saturating_sub(taken)));

        let mut text = String::new();
        let heading = std::iter::once("mirror");
        for (row, name) in heading.chain(self.names.iter().map(String::as_str)).enumerate() {
            let mut line = format!("{:<name_width$}", shortened(name, name_width));
            for column in &shown {
                let (cell, width) = (&self.columns[*column][row], widths[*column]);
                let _ = write!(line, "{:GAP$}{cell:>width$}", ""); // a String takes anything
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// What to call mirrors: the whole URL, or the host alone when no other mirror has it, else as much of the URL as tells
/// them apart.
pub(crate) fn names(mirrors: &[&MirrorKey], whole: bool) -> Vec<String> {
    let without_scheme = |key: &MirrorKey| {
        let url = key.as_str();
        url.split_once("://").map_or(url, |(_, rest)| rest).to_owned()
    };
    let host = |key: &MirrorKey| key.authority().to_owned();
    let is_sole = |part: &dyn Fn(&MirrorKey) -> String, key: &MirrorKey| {
        mirrors.iter().filter(|other| part(other) == part(key)).count() == 1
    };
    let name = |key: &&MirrorKey| match () {
        () if whole => key.as_str().to_owned(),
        () if is_sole(&host, key) => host(key),
        () if is_sole(&without_scheme, key) => without_scheme(key),
        () => key.as_str().to_owned(),
    };
    mirrors.iter().map(|key| printable(&name(key))).collect()
}

fn longest(cells: &[String]) -> usize {
    cells.iter().map(|cell| cell.chars().count()).max().unwrap_or(0)
}

/// The end of a name counts more than its middle: it has the domain, or the path.
fn shortened(name: &str, width: usize) -> String {
    let length = name.chars().count();
    if length <= width {
        return name.to_owned();
    }
    let kept = width.saturating_sub(1);
    let (head, tail) = (kept / 2, kept - kept / 2);
    let middle = if width == 0 { "" } else { "…" };
    name.chars().take(head).chain(middle.chars()).chain(name.chars().skip(length - tail)).collect()
}
