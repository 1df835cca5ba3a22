//! Short-lived facts: which mirror lacks which file, and which file is wrong everywhere.
//!
//! A clock may go back, on some machines at every boot. A note from what is the future then does not hold: no note lives
//! longer than it was made for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::key::{FileKey, MirrorKey};

/// Notes that are remembered at most.
pub const NOTES_MAX: usize = 2000;
/// The longest answer that is remembered, in characters.
const ANSWER_MAX: usize = 100;
/// Longest time that a note may hold, in seconds: 30 days.
const LIFETIME_MAX: u64 = 30 * 24 * 3600;

/// For how long a note holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub struct Span {
    /// When it was made, in UNIX seconds.
    at: u64,
    /// UNIX seconds.
    until: u64,
}

/// A [`Span`] in the state file.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Span(u64, u64),
    /// Without the time when it was made, which nobody can tell then.
    Until(u64),
}

impl From<Written> for Span {
    fn from(written: Written) -> Self {
        match written {
            Written::Span(at, until) => Self { at, until },
            Written::Until(until) => Self { at: until, until },
        }
    }
}

impl From<Span> for Written {
    fn from(span: Span) -> Self {
        Self::Span(span.at, span.until)
    }
}

impl Span {
    /// From a UNIX second on, for so many seconds.
    pub fn new(at: u64, lasts: u64) -> Self {
        Self { at, until: at.saturating_add(lasts.min(LIFETIME_MAX)) }
    }

    /// What would hold longer than any note was not written by this program.
    fn holds(self, now: u64) -> bool {
        self.at <= now && now < self.until && self.until - self.at <= LIFETIME_MAX
    }
}

/// Facts that hold for a short time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Notes {
    lacks: BTreeMap<MirrorKey, BTreeMap<FileKey, Span>>,
    /// What those mirrors said, for people.
    answers: BTreeMap<MirrorKey, BTreeMap<FileKey, String>>,
    wrong_everywhere: BTreeMap<FileKey, Span>,
}

impl Notes {
    /// Forgets what was noted of a mirror.
    pub fn forget(&mut self, mirror: &MirrorKey) {
        self.lacks.remove(mirror);
        self.answers.remove(mirror);
    }

    /// Whether the mirror is known to lack that file `now` (UNIX seconds).
    pub fn lacks(&self, mirror: &MirrorKey, file: &FileKey, now: u64) -> bool {
        self.lacks.get(mirror).is_some_and(|files| is_noted(files, file, now))
    }

    /// What the mirror said when it was found to lack that file, if it does `now` (UNIX seconds).
    pub fn answer(&self, mirror: &MirrorKey, file: &FileKey, now: u64) -> Option<&str> {
        let answer = self.answers.get(mirror)?.get(file).map(String::as_str);
        answer.filter(|_| self.lacks(mirror, file, now))
    }

    /// Whether independent mirrors are known to have the same wrong file `now` (UNIX seconds).
    pub fn wrong_everywhere(&self, file: &FileKey, now: u64) -> bool {
        is_noted(&self.wrong_everywhere, file, now)
    }

    pub fn add_lacks(&mut self, mirror: &MirrorKey, file: &FileKey, span: Span, answer: &str) {
        prolong(self.lacks.entry(mirror.clone()).or_default(), file, span);
        let answer = answer.chars().take(ANSWER_MAX).collect();
        self.answers.entry(mirror.clone()).or_default().insert(file.clone(), answer);
    }

    pub fn add_wrong_everywhere(&mut self, file: &FileKey, span: Span) {
        prolong(&mut self.wrong_everywhere, file, span);
    }

    /// Drops what does not hold `now` (UNIX seconds), and of the rest, when it is too much, what ends first.
    pub fn prune(&mut self, now: u64) {
        self.retain(|file, span| file.is_possible() && span.holds(now));

        let lacks = self.lacks.values().flat_map(BTreeMap::values);
        let spans = lacks.chain(self.wrong_everywhere.values());
        let mut ends: Vec<u64> = spans.map(|span| span.until).collect();
        ends.sort_unstable_by(|a, b| b.cmp(a));
        let Some(&last_kept) = ends.get(NOTES_MAX - 1) else { return };
        // Of those that end together with the last one kept, so many have a place.
        let mut places = ends[..NOTES_MAX].iter().filter(|end| **end == last_kept).count();
        self.retain(|_, Span { until, .. }| {
            let gets_place = until == last_kept && places > 0;
            places -= usize::from(gets_place);
            gets_place || until > last_kept
        });
    }

    fn retain(&mut self, mut keep: impl FnMut(&FileKey, Span) -> bool) {
        self.lacks.retain(|_, files| {
            files.retain(|file, span| keep(file, *span));
            !files.is_empty()
        });
        let lacks = &self.lacks;
        self.answers.retain(|mirror, answers| {
            let files = lacks.get(mirror);
            answers.retain(|file, answer| {
                // One that is longer was not written by this program.
                files.is_some_and(|files| files.contains_key(file)) && answer.chars().count() <= ANSWER_MAX
            });
            !answers.is_empty()
        });
        self.wrong_everywhere.retain(|file, span| keep(file, *span));
    }
}

fn is_noted(notes: &BTreeMap<FileKey, Span>, file: &FileKey, now: u64) -> bool {
    notes.get(file).is_some_and(|span| span.holds(now))
}

/// Of two notes that hold, the one that does so longer counts.
fn prolong(notes: &mut BTreeMap<FileKey, Span>, file: &FileKey, new: Span) {
    let known = notes.get(file).filter(|known| known.holds(new.at) && known.until > new.until);
    if known.is_none() {
        notes.insert(file.clone(), new);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn key(number: u64) -> MirrorKey {
        MirrorKey::new(&format!("http://m{number}.example"))
    }

    #[test]
    fn notes_hold_until_they_end() {
        let file = FileKey::new("a-1.tar.xz", Some("abcdef"));
        let other = FileKey::new("a-1.tar.xz", Some("123456"));
        let mut notes = Notes::default();
        notes.add_lacks(&key(1), &file, Span::new(NOW, 60), "HTTP status 404");
        notes.add_lacks(&key(1), &file, Span::new(NOW, 30), &"HTTP status 410 ".repeat(20));
        notes.add_wrong_everywhere(&other, Span::new(NOW, 60));

        assert!(notes.lacks(&key(1), &file, NOW + 59));
        assert!(!notes.lacks(&key(1), &file, NOW + 60));
        let answer = notes.answer(&key(1), &file, NOW + 59).unwrap();
        assert!(answer.starts_with("HTTP status 410 HTTP") && answer.len() == ANSWER_MAX);
        assert_eq!(notes.answer(&key(1), &file, NOW + 60), None);
        assert_eq!(notes.answer(&key(2), &file, NOW), None);
        assert!(!notes.lacks(&key(1), &other, NOW));
        assert!(!notes.lacks(&key(2), &file, NOW));
        assert!(notes.wrong_everywhere(&other, NOW) && !notes.wrong_everywhere(&file, NOW));
    }

    /// The clock goes back: two hours at every boot where it is in local time, or years without a battery.
    #[test]
    fn no_note_lives_longer_than_it_was_made_for() {
        let file = FileKey::new("a-1.tar.xz", Some("abcdef"));
        for back in [1, 7200, LIFETIME_MAX, NOW] {
            let mut notes = Notes::default();
            notes.add_lacks(&key(1), &file, Span::new(NOW, 120), "HTTP status 404");
            notes.add_wrong_everywhere(&file, Span::new(NOW, 300));
            let now = NOW - back;
            assert!(!notes.lacks(&key(1), &file, now) && !notes.wrong_everywhere(&file, now), "{back}");
            assert!(notes.answer(&key(1), &file, now).is_none(), "{back}");
            // A new one takes its place.
            notes.add_lacks(&key(1), &file, Span::new(now, 60), "HTTP status 410");
            assert!(
                notes.lacks(&key(1), &file, now + 59) && !notes.lacks(&key(1), &file, now + 60),
                "{back}"
            );
            notes.prune(now);
            assert!(notes.wrong_everywhere.is_empty() && notes.lacks.len() == 1, "{back}");
        }
    }

    #[test]
    fn an_earlier_version_wrote_no_beginning() {
        let mut notes: Notes =
            serde_json::from_str(r#"{"wrong_everywhere": {"a": 1, "b": [5, 9]}}"#).unwrap();
        notes.prune(6);
        assert_eq!(serde_json::to_string(&notes.wrong_everywhere).unwrap(), r#"{"b":[5,9]}"#);
    }

    #[test]
    fn pruning_keeps_what_holds_longest() {
        let noted = |until: fn(u64) -> u64| {
            let mut notes = Notes::default();
            for number in 0..5000 {
                let file = FileKey::new(&number.to_string(), None);
                let span = Span { at: NOW, until: until(number) };
                notes.add_lacks(&key(number % 3), &file, span, "HTTP status 404");
            }
            notes
        };
        let count = |notes: &Notes| {
            let answers = notes.answers.values().map(BTreeMap::len).sum::<usize>();
            let count = notes.lacks.values().map(BTreeMap::len).sum::<usize>();
            assert_eq!(answers, count);
            count
        };

        let mut notes = noted(|number| NOW + number);
        notes.prune(NOW);
        assert_eq!(count(&notes), NOTES_MAX);
        assert_eq!(
            notes.lacks.values().flat_map(BTreeMap::values).map(|span| span.until).min(),
            Some(NOW + 3000)
        );
        notes.prune(NOW + 4990);
        assert_eq!(count(&notes), 9);

        let mut notes = noted(|_| NOW + 60);
        notes.prune(NOW);
        assert_eq!(count(&notes), NOTES_MAX, "of notes that end together as many as there is room for");
        notes.prune(NOW + 60);
        assert_eq!(notes, Notes::default());
    }
}
