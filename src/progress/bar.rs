//! Progress as a bar on a terminal. What it shows is a pure function; indicatif keeps it in place.

use super::format::printable;
use super::rate::RateMeter;
use super::{Ending, Phase, Progress, Snapshot, screen};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};
use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Between redraws: an eye sees no more.
const REDRAW: Duration = Duration::from_millis(100);

/// A bar with what is known of the transfer.
pub struct Bar {
    name: String,
    colours: bool,
    place: ProgressBar,
    screen: Screen,
    rate: RateMeter,
    drawn: Option<(Instant, Phase)>,
}

/// Asked at every redraw, because people resize their terminals.
pub(super) type Width = Box<dyn Fn() -> u16 + Send + Sync>;

impl Bar {
    /// `width` in columns; [`terminal_width`] knows that of stderr.
    pub fn new(name: &str, out: Box<dyn Write + Send>, width: Width, colours: bool) -> Self {
        let screen =
            Screen(Arc::new(Inner { width, out: Mutex::new(Out { terminal: out, pending: Vec::new() }) }));
        let target = ProgressDrawTarget::term_like(Box::new(screen.clone()));
        let place = ProgressBar::with_draw_target(None, target);
        if let Ok(style) = ProgressStyle::with_template("{msg}") {
            place.set_style(style);
        }
        place.finish_and_clear(); // nothing is drawn before the first update
        Self { name: printable(name), colours, place, screen, rate: RateMeter::default(), drawn: None }
    }
}

impl Progress for Bar {
    fn update(&mut self, now: Instant, snapshot: &Snapshot) {
        self.rate.observe(now, snapshot);
        let fresh = |(then, phase): (Instant, Phase)| {
            phase == snapshot.phase && now.saturating_duration_since(then) < REDRAW
        };
        if self.drawn.is_some_and(fresh) {
            return;
        }
        self.drawn = Some((now, snapshot.phase));
        if self.place.is_finished() {
            self.place.reset(); // the next transfer begins
        }
        let width = usize::from(self.screen.width());
        let lines = screen::lines(&self.name, snapshot, self.rate.pace(now), width, self.colours);
        self.place.set_message(lines.join("\n"));
    }

    fn note(&mut self, line: &str) {
        self.place.suspend(|| self.screen.line(&printable(line)));
    }

    fn finish(&mut self, ending: Option<&Ending>) {
        self.place.finish_and_clear();
        if let Some(ending) = ending {
            let width = usize::from(self.screen.width());
            self.screen.line(&ending.line(&self.name, Some(width)));
        }
        self.rate = RateMeter::default();
        self.drawn = None;
    }
}

impl Drop for Bar {
    /// A bar that is abandoned leaves a clean line behind; one that is finished touches nothing more.
    fn drop(&mut self) {
        if !self.place.is_finished() {
            self.place.finish_and_clear();
        }
    }
}

/// The width of the terminal on stderr, else `columns` (the variable COLUMNS, which Portage sets once at
/// its start), else 80.
pub fn terminal_width(columns: Option<&str>) -> u16 {
    let size = rustix::termios::tcgetwinsize(io::stderr()).ok();
    let columns = columns.and_then(|columns| columns.trim().parse().ok());
    size.map(|size| size.ws_col).filter(|width| *width > 0).or(columns.filter(|c| *c > 0)).unwrap_or(80)
}

/// The terminal as indicatif wants it. What is drawn is written at once, so that nothing tears.
#[derive(Clone)]
struct Screen(Arc<Inner>);

struct Inner {
    width: Width,
    out: Mutex<Out>,
}

struct Out {
    terminal: Box<dyn Write + Send>,
    pending: Vec<u8>,
}

impl Screen {
    fn out(&self) -> MutexGuard<'_, Out> {
        self.0.out.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, text: &str) {
        self.out().pending.extend_from_slice(text.as_bytes());
    }

    fn move_cursor(&self, n: usize, direction: char) {
        if n > 0 {
            self.push(&format!("\u{1b}[{n}{direction}"));
        }
    }

    /// A line that stays. A terminal that is gone is no reason to fail.
    fn line(&self, text: &str) {
        self.push(&format!("{text}\n"));
        let _ = self.flush();
    }
}

impl fmt::Debug for Screen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Screen").finish_non_exhaustive()
    }
}

impl TermLike for Screen {
    fn width(&self) -> u16 {
        (self.0.width)()
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.move_cursor(n, 'A');
        Ok(())
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.move_cursor(n, 'B');
        Ok(())
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.move_cursor(n, 'C');
        Ok(())
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.move_cursor(n, 'D');
        Ok(())
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.push(text);
        self.push("\n");
        Ok(())
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.push(text);
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        self.push("\r\u{1b}[2K");
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        let mut out = self.out();
        let pending = std::mem::take(&mut out.pending);
        out.terminal.write_all(&pending)?;
        out.terminal.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::super::lines::tests::{Record, second, start};
    use super::*;

    fn drawn_bar() -> (Record, Bar, Instant) {
        let record = Record::default();
        let mut bar = Bar::new("x.tar", Box::new(record.clone()), Box::new(|| 80), false);
        let start = start();
        bar.update(start, &second(100));
        (record, bar, start)
    }

    #[test]
    fn redraws_in_place_and_not_too_often() {
        let (record, mut bar, start) = drawn_bar();
        let once = record.writes();
        bar.update(start + REDRAW / 2, &second(101));
        assert_eq!(record.writes(), once);
        bar.update(start + REDRAW, &second(102));
        assert!(record.writes() > once);
        assert!(record.text().contains("51% of 200.0 MiB"), "{:?}", record.text());
        assert!(!record.text().contains('\n'), "{:?}", record.text());
        bar.update(start + REDRAW, &Snapshot { phase: Phase::Verifying, ..second(102) });
        assert!(record.text().contains("verifying"), "{:?}", record.text());
    }

    #[test]
    fn notes_stand_on_lines_of_their_own() {
        let (record, mut bar, _) = drawn_bar();
        bar.note("mirror\u{1b} gone");
        let text = record.text();
        let (before, after) = text.split_once("mirror? gone\n").unwrap();
        assert!(before.ends_with("\r\u{1b}[2K"), "the bar is gone before the note: {before:?}");
        assert!(after.contains("x.tar ["), "the bar is back after the note: {after:?}");
    }

    #[test]
    fn the_end_leaves_only_its_line() {
        let (record, mut bar, _) = drawn_bar();
        bar.finish(Some(&Ending::of("done")));
        drop(bar);
        let text = record.text();
        let (before, after) = text.split_once("racefetch: x.tar: done\n").unwrap();
        assert!(before.ends_with("\r\u{1b}[2K"), "{before:?}");
        assert_eq!(after, "", "what others wrote meanwhile is left alone");
    }

    #[test]
    fn an_abandoned_bar_is_cleared_and_an_unused_one_writes_nothing() {
        let (record, bar, _) = drawn_bar();
        drop(bar);
        assert!(record.text().ends_with("\r\u{1b}[2K"), "{:?}", record.text());
        let unused = Record::default();
        drop(Bar::new("x", Box::new(unused.clone()), Box::new(|| 80), false));
        assert_eq!(unused.text(), "");
    }

    #[test]
    fn a_second_transfer_is_drawn_anew() {
        let (record, mut bar, start) = drawn_bar();
        bar.finish(None);
        bar.note("between");
        bar.update(start + Duration::from_secs(9), &second(1));
        let text = record.text();
        let (_, after) = text.split_once("between\n").unwrap();
        assert!(after.contains(" 0% of"), "{after:?}");
    }
}
