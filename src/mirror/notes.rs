//! Short-lived facts: which mirror lacks which file, and which file is wrong everywhere.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::key::{FileKey, MirrorKey};

/// Notes that are remembered at most.
pub const NOTES_MAX: usize = 2000;
/// The longest answer that is remembered, in characters.
const ANSWER_MAX: usize = 100;
/// Longest time that a note may hold, in seconds: 30 days.
const LIFETIME_MAX: u64 = 30 * 24 * 3600;

/// Facts that hold for a short time: each until a UNIX second.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Notes {
    lacks: BTreeMap<MirrorKey, BTreeMap<FileKey, u64>>,
    /// What those mirrors said, for people.
    answers: BTreeMap<MirrorKey, BTreeMap<FileKey, String>>,
    wrong_everywhere: BTreeMap<FileKey, u64>,
}

impl Notes {
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

    pub fn add_lacks(&mut self, mirror: &MirrorKey, file: &FileKey, until: u64, answer: &str) {
        prolong(self.lacks.entry(mirror.clone()).or_default(), file, until);
        let answer = answer.chars().take(ANSWER_MAX).collect();
        self.answers.entry(mirror.clone()).or_default().insert(file.clone(), answer);
    }

    pub fn add_wrong_everywhere(&mut self, file: &FileKey, until: u64) {
        prolong(&mut self.wrong_everywhere, file, until);
    }

    /// Drops what does not hold `now` (UNIX seconds), and of the rest, when it is too much, what ends first.
    pub fn prune(&mut self, now: u64) {
        self.retain(|file, until| file.is_possible() && holds(until, now));

        let lacks = self.lacks.values().flat_map(BTreeMap::values);
        let mut ends: Vec<u64> = lacks.chain(self.wrong_everywhere.values()).copied().collect();
        ends.sort_unstable_by(|a, b| b.cmp(a));
        let Some(&last_kept) = ends.get(NOTES_MAX - 1) else { return };
        // Of those that end together with the last one kept, so many have a place.
        let mut places = ends[..NOTES_MAX].iter().filter(|end| **end == last_kept).count();
        self.retain(|_, until| {
            let gets_place = until == last_kept && places > 0;
            places -= usize::from(gets_place);
            gets_place || until > last_kept
        });
    }

    fn retain(&mut self, mut keep: impl FnMut(&FileKey, u64) -> bool) {
        self.lacks.retain(|_, files| {
            files.retain(|file, until| keep(file, *until));
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
        self.wrong_everywhere.retain(|file, until| keep(file, *until));
    }
}

fn is_noted(notes: &BTreeMap<FileKey, u64>, file: &FileKey, now: u64) -> bool {
    notes.get(file).is_some_and(|until| holds(*until, now))
}

/// A note that would hold longer than any was made by a clock that was wrong: it does not count.
fn holds(until: u64, now: u64) -> bool {
    until > now && until - now <= LIFETIME_MAX
}

fn prolong(notes: &mut BTreeMap<FileKey, u64>, file: &FileKey, until: u64) {
    let known = notes.entry(file.clone()).or_default();
    *known = until.max(*known);
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
        notes.add_lacks(&key(1), &file, NOW + 60, "HTTP status 404");
        notes.add_lacks(&key(1), &file, NOW + 30, &"HTTP status 410 ".repeat(20));
        notes.add_wrong_everywhere(&other, NOW + 60);

        assert!(notes.lacks(&key(1), &file, NOW + 59));
        assert!(!notes.lacks(&key(1), &file, NOW + 60));
        let answer = notes.answer(&key(1), &file, NOW + 59).unwrap();
        assert!(answer.starts_with("HTTP status 410 HTTP") && answer.len() == ANSWER_MAX);
        assert_eq!(notes.answer(&key(1), &file, NOW + 60), None);
        assert_eq!(notes.answer(&key(2), &file, NOW), None);
        assert!(!notes.lacks(&key(1), &other, NOW));
        assert!(!notes.lacks(&key(2), &file, NOW));
        assert!(notes.wrong_everywhere(&other, NOW) && !notes.wrong_everywhere(&file, NOW));
        assert!(!notes.lacks(&key(1), &file, NOW - LIFETIME_MAX), "made by a clock that was wrong");
    }

    #[test]
    fn pruning_keeps_what_holds_longest() {
        let noted = |until: fn(u64) -> u64| {
            let mut notes = Notes::default();
            for number in 0..5000 {
                let file = FileKey::new(&number.to_string(), None);
                notes.add_lacks(&key(number % 3), &file, until(number), "HTTP status 404");
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
        assert_eq!(notes.lacks.values().flat_map(BTreeMap::values).min(), Some(&(NOW + 3000)));
        notes.prune(NOW + 4990);
        assert_eq!(count(&notes), 9);

        let mut notes = noted(|_| NOW + 60);
        notes.prune(NOW);
        assert_eq!(count(&notes), NOTES_MAX, "of notes that end together as many as there is room for");
        notes.prune(NOW + 60);
        assert_eq!(notes, Notes::default());
    }
}
