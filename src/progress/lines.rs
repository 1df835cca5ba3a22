//! Progress as lines in a log, few enough to be read.

use super::format::{printable, status};
use super::rate::RateMeter;
use super::{Ending, Phase, Progress, Snapshot, screen};
use std::io::Write;
use std::time::{Duration, Instant};

/// A transfer that is shorter shows nothing but its last line.
const FIRST: Duration = Duration::from_secs(2);
/// Between lines, up to [`LONG_AFTER`].
const INTERVAL: Duration = Duration::from_secs(10);
const LONG_AFTER: Duration = Duration::from_secs(60);
const LONG_INTERVAL: Duration = Duration::from_secs(30);
/// Columns for the names of mirrors that are waited for.
const MIRRORS: usize = 80;

/// A line now and then.
pub struct Lines {
    name: String,
    out: Box<dyn Write + Send>,
    rate: RateMeter,
    /// When the next line is due, from the beginning of the transfer.
    due: Duration,
}

impl Lines {
    /// `name` stands at the beginning of each line of progress.
    pub fn new(name: &str, out: Box<dyn Write + Send>) -> Self {
        Self { name: printable(name), out, rate: RateMeter::default(), due: FIRST }
    }

    /// One write for each line, so that lines of several processes do not mix. A log that cannot be
    /// written is no reason to fail.
    fn line(&mut self, text: &str) {
        let _ = self.out.write_all(format!("{text}\n").as_bytes());
        let _ = self.out.flush();
    }
}

impl Progress for Lines {
    fn update(&mut self, now: Instant, snapshot: &Snapshot) {
        self.rate.observe(now, snapshot);
        if snapshot.elapsed < self.due {
            return;
        }
        let interval = if snapshot.elapsed >= LONG_AFTER { LONG_INTERVAL } else { INTERVAL };
        self.due = snapshot.elapsed + interval;
        let mut text = format!("{}: {}", self.name, status(snapshot, self.rate.pace(now)));
        if let Some(waits) = screen::mirrors(snapshot, MIRRORS).filter(|_| snapshot.phase != Phase::Receiving)
        {
            text = format!("{text}, {waits}");
        }
        self.line(&text);
    }

    fn note(&mut self, line: &str) {
        self.line(&printable(line));
    }

    fn finish(&mut self, ending: Option<&Ending>) {
        if let Some(ending) = ending {
            self.line(&ending.line(&self.name, None));
        }
        self.rate = RateMeter::default();
        self.due = FIRST;
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    /// Keeps what was written, one entry for each write.
    #[derive(Clone, Default)]
    pub(crate) struct Record(Arc<Mutex<Vec<Vec<u8>>>>);

    impl Record {
        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().concat()).unwrap()
        }

        pub(crate) fn writes(&self) -> usize {
            self.0.lock().unwrap().len()
        }
    }

    impl Write for Record {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().push(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[expect(clippy::disallowed_methods, reason = "any point in time will do")]
    pub(crate) fn start() -> Instant {
        Instant::now()
    }

    /// A transfer of 1 MiB a second.
    pub(crate) fn second(elapsed: u64) -> Snapshot {
        Snapshot {
            have: elapsed << 20,
            size: Some(200 << 20),
            elapsed: Duration::from_secs(elapsed),
            phase: Phase::Receiving,
            ..Snapshot::default()
        }
    }

    fn run(seconds: u64) -> (Record, Lines) {
        let record = Record::default();
        let mut lines = Lines::new("x.tar", Box::new(record.clone()));
        let start = start();
        for elapsed in 0..=seconds {
            lines.update(start + Duration::from_secs(elapsed), &second(elapsed));
        }
        (record, lines)
    }

    #[test]
    fn a_short_transfer_is_one_line() {
        let (record, mut lines) = run(1);
        lines.finish(Some(&Ending::of("1.0 MiB, verified")));
        assert_eq!(record.text(), "racefetch: x.tar: 1.0 MiB, verified\n");
    }

    #[test]
    fn lines_become_rarer() {
        let (record, mut lines) = run(150);
        lines.finish(None);
        let per_cent: Vec<_> =
            record.text().lines().map(|l| l.split(' ').nth(1).unwrap().to_owned()).collect();
        assert_eq!(per_cent, ["1%", "6%", "11%", "16%", "21%", "26%", "31%", "46%", "61%"]);
        let last = record.text().lines().last().unwrap().to_owned();
        assert_eq!(last, "x.tar: 61% of 200.0 MiB, 1.0 MiB/s, 1 min 18 s left");
        assert_eq!(record.writes(), 9);
    }

    #[test]
    fn the_next_transfer_starts_anew() {
        let (record, mut lines) = run(30);
        lines.finish(None);
        let before = record.writes();
        lines.update(start() + Duration::from_secs(100), &second(1));
        assert_eq!(record.writes(), before);
    }

    #[test]
    fn notes_are_lines_without_escapes() {
        let (record, mut lines) = run(0);
        lines.note("mirror \u{1b}[31m gone");
        assert_eq!(record.text(), "mirror ?[31m gone\n");
    }
}
