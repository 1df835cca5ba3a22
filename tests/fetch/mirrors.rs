//! Mirrors that have the distfile, or should have it.

use std::fs;

use serde_json::Value;

use super::driver::{Distdir, NAME};
use crate::support::content::Content;
use crate::support::mirror::{Mirror, Rule};

/// Where mirrors have the distfile by the layout of Gentoo's own: it is guessed of those that have told none.
pub const PATH: &str = "/distfiles/f8/foo-1.tar.xz";
/// By the layout that Portage assumes of a mirror that tells none.
pub const FLAT: &str = "/distfiles/foo-1.tar.xz";
pub const LAYOUT_PATH: &str = "/distfiles/layout.conf";

/// A mirror that answers any number of requests for the distfile like this. It tells no layout, and who does
/// not find the file may ask.
pub fn saying(rule: Rule) -> Mirror {
    let mirror = Mirror::start();
    mirror.on(PATH).add(rule.always());
    mirror.on(LAYOUT_PATH).status(404).always();
    mirror
}

pub fn serving(content: &Content) -> Mirror {
    saying(Rule::serve(content))
}

/// So many good mirrors, each with so many bytes a second.
pub fn limited(count: usize, bytes_per_second: u64, content: &Content) -> Vec<Mirror> {
    let mirrors: Vec<Mirror> = (0..count).map(|_| serving(content)).collect();
    for mirror in &mirrors {
        mirror.limit_rate(bytes_per_second);
    }
    mirrors
}

/// A mirror that breaks the first so many connections.
pub fn flapping(breaks: usize, bytes_per_second: u64, right: &Content) -> Mirror {
    let mirror = Mirror::start();
    mirror.limit_rate(bytes_per_second);
    mirror.on(PATH).serve(right).reset_after(300_000).at_most(breaks);
    mirror.on(PATH).serve(right).always();
    mirror
}

/// As `GENTOO_MIRRORS` names it.
pub fn base(mirror: &Mirror) -> String {
    mirror.url("")
}

pub fn bases(mirrors: &[Mirror]) -> Vec<String> {
    mirrors.iter().map(base).collect()
}

/// Bytes of content that left the mirrors.
pub fn sent(mirrors: &[Mirror]) -> u64 {
    mirrors.iter().map(Mirror::body_bytes_sent).sum()
}

/// The figures of one mirror in the state.
pub fn figures(distdir: &Distdir, base: &str) -> Value {
    distdir.state()["mirrors"][base].clone()
}

/// The kinds of failure that the state has of a mirror.
pub fn failures(distdir: &Distdir, base: &str) -> Vec<String> {
    let figures = figures(distdir, base);
    figures["failures"].as_object().map(|kinds| kinds.keys().cloned().collect()).unwrap_or_default()
}

/// How many connections each server has that its client has not closed, as the kernel has them.
pub fn connections_to(mirrors: &[Mirror]) -> Vec<usize> {
    // One look at all of them: the table is long after thousands of tests.
    let table = fs::read_to_string("/proc/self/net/tcp").unwrap();
    let count = |mirror: &Mirror| {
        // The remote port, and TCP_ESTABLISHED.
        table.matches(&format!(":{:04X} 01 ", mirror.address().port())).count()
    };
    mirrors.iter().map(count).collect()
}

#[test]
fn the_path_is_the_names_by_the_usual_layout() {
    let digest = super::driver::digest("blake2b", NAME.as_bytes());
    let folder = &digest["blake2b:".len()..][..2];
    assert_eq!(PATH, format!("/distfiles/{folder}/{NAME}"));
}
