//! The line that stays when a transfer is over.

use std::time::Duration;

use super::format::{bytes, columns, printable, rate, seconds, shortened};
use super::names;

/// How a transfer ended.
#[derive(Clone, Debug, Default)]
pub struct Ending {
    /// What was fetched; none when nothing had to be.
    pub brought: Option<Brought>,
    /// What is said of it, or else of the file.
    pub verdict: String,
    /// The same in fewer words, for narrow terminals.
    pub short: String,
}

/// What was fetched.
#[derive(Clone, Debug, Default)]
pub struct Brought {
    /// Its size in bytes.
    pub size: u64,
    pub time: Duration,
    /// Bytes that an earlier call left.
    pub resumed: u64,
    /// Who sent how many bytes of it: hosts, each once.
    pub shares: Vec<(String, u64)>,
}

/// Columns that are used where there is no terminal.
const LOG: usize = 160;
/// Hosts that are named, at most.
const NAMED: usize = 4;

impl Ending {
    /// One that is told in these words.
    pub fn of(verdict: &str) -> Self {
        Self { brought: None, verdict: verdict.to_owned(), short: verdict.to_owned() }
    }

    /// `racefetch: NAME: 38.1 MiB in 4.4 s, 8.7 MiB/s, halifax 41 %, bytemark 33 %, 2 more, verified BLAKE2B SHA512`: as
    /// much of it as fits into so many columns.
    pub(super) fn line(&self, name: &str, width: Option<usize>) -> String {
        let width = width.map_or(LOG, |width| width.saturating_sub(1));
        let name = printable(name);
        let mut texts: Vec<String> = match &self.brought {
            None => vec![self.verdict.clone()],
            Some(brought) => {
                let hosts = brought.hosts();
                let named = hosts.len().min(NAMED);
                let long = [brought.text(&hosts, named), self.verdict.clone()];
                let short = (0..=named).rev().map(|named| [brought.text(&hosts, named), self.short.clone()]);
                let least =
                    [format!("{} in {}", bytes(brought.size), seconds(brought.time)), self.short.clone()];
                let parts = std::iter::once(long).chain(short).chain([least]);
                parts
                    .map(|[text, verdict]| text + if verdict.is_empty() { "" } else { ", " } + &verdict)
                    .collect()
            }
        };
        texts.push(self.short.clone());
        let texts: Vec<String> = texts.iter().map(|text| printable(text)).collect();
        // A long name gives way before who sent it does.
        let heads = [format!("racefetch: {name}"), name.clone(), shortened(&name, (width / 5).max(8))];
        let lines = texts.iter().flat_map(|text| heads.iter().map(move |head| format!("{head}: {text}")));
        let fitting = lines.into_iter().find(|line| columns(line) <= width);
        fitting.unwrap_or_else(|| shortened(&texts[texts.len() - 1], width))
    }
}

impl Brought {
    fn text(&self, hosts: &[(String, u64)], named: usize) -> String {
        let came: u64 = hosts.iter().map(|(_, bytes)| bytes).sum();
        let mut parts = vec![format!("{} in {}", bytes(self.size), seconds(self.time))];
        if self.resumed > 0 {
            parts.push(format!("resumed at {}", bytes(self.resumed)));
        }
        let speed = came as f64 / self.time.as_secs_f64().max(0.001);
        parts.extend((came > 0).then(|| rate(speed)));
        let share = |(host, sent): &(String, u64)| format!("{host} {} %", percent(*sent, came));
        match (hosts, hosts.len() - named) {
            ([(one, _)], 0) => parts.push(format!("from {one}")),
            (_, 0) => parts.extend(hosts.iter().map(share)),
            (_, 1) if named == 0 => parts.push("from 1 mirror".to_owned()),
            (_, all) if named == 0 => parts.push(format!("from {all} mirrors")),
            (_, more) => {
                parts.extend(hosts.iter().take(named).map(share));
                parts.push(format!("{more} more"));
            }
        }
        parts.join(", ")
    }

    /// Those who sent something, by their short names, the one that sent most first.
    fn hosts(&self) -> Vec<(String, u64)> {
        let mut shares: Vec<_> = self.shares.iter().filter(|(_, sent)| *sent > 0).collect();
        shares.sort_by_key(|(_, sent)| std::cmp::Reverse(*sent));
        let names: Vec<String> = shares.iter().map(|(host, _)| printable(host)).collect();
        let short = names::short(&names.iter().map(String::as_str).collect::<Vec<_>>());
        short.into_iter().zip(shares).map(|(name, (_, sent))| (name, *sent)).collect()
    }
}

/// To the nearest whole number.
fn percent(part: u64, all: u64) -> u128 {
    (u128::from(part) * 200 + u128::from(all)) / (u128::from(all) * 2).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ending() -> Ending {
        let shares = [("ftp.halifax.rwth-aachen.de", 41), ("mirror.bytemark.co.uk", 33), ("a.example", 20)];
        let brought = Brought {
            size: 40_000_000,
            time: Duration::from_millis(4380),
            shares: shares.map(|(host, part)| (host.to_owned(), part * 400_000)).into(),
            resumed: 0,
        };
        let verdict = "verified BLAKE2B SHA512".to_owned();
        Ending { brought: Some(brought), verdict, short: "verified".to_owned() }
    }

    #[test]
    fn says_who_sent_how_much() {
        assert_eq!(
            ending().line("x-1.tar.xz", None),
            "racefetch: x-1.tar.xz: 38.1 MiB in 4.4 s, 8.2 MiB/s, halifax 44 %, bytemark 35 %, a 21 %, \
             verified BLAKE2B SHA512"
        );
        let with = |change: fn(&mut Brought)| {
            let mut ending = ending();
            change(ending.brought.as_mut().unwrap());
            ending.line("x", None)
        };
        let one = with(|came| came.shares = vec![("mirrors.mit.edu".into(), 5)]);
        assert!(one.contains("38.1 MiB in 4.4 s, 1 B/s, from mit, verified BLAKE2B"), "{one}");
        let resumed = with(|came| came.resumed = 11_219_763);
        assert!(resumed.contains("in 4.4 s, resumed at 10.7 MiB, "), "{resumed}");
        assert_eq!(Ending::of("all there").line("x", None), "racefetch: x: all there");
    }

    #[test]
    fn is_never_longer_than_the_terminal() {
        let line = |width| ending().line("x-1.tar.xz", Some(width));
        assert_eq!(line(80), "x-1.tar.xz: 38.1 MiB in 4.4 s, 8.2 MiB/s, halifax 44 %, 2 more, verified");
        let long = "a-very-long-name-of-a-distfile-1.2.3.tar.xz";
        for width in 0..200 {
            let line = ending().line(long, Some(width));
            assert!(columns(&line) < width.max(1), "{width}: {line}");
        }
        let narrow = ending().line(long, Some(80));
        assert_eq!(narrow, "a-very-~.tar.xz: 38.1 MiB in 4.4 s, 8.2 MiB/s, halifax 44 %, 2 more, verified");
    }
}
