//! The difference of two texts, for people, in the unified format of diff(1).

use std::fmt::Write;

use crate::progress::printable;

/// Lines around a change.
const CONTEXT: usize = 3;

/// Longer changes are shown as one: the old lines, then the new ones.
const MOST_STEPS: usize = 4_000_000;

/// What `path` holds and what it is to hold; none when there is no file. Empty when they are the same.
pub(super) fn unified(path: &str, old: Option<&[u8]>, new: Option<&[u8]>) -> String {
    if old == new {
        return String::new();
    }
    let name = |content: Option<&[u8]>| if content.is_some() { path } else { "/dev/null" };
    let mut text = format!("--- {}\n+++ {}\n", name(old), name(new));
    let (old, new) = (lines(old.unwrap_or_default()), lines(new.unwrap_or_default()));
    let steps = steps(&old, &new);
    let changed: Vec<usize> = (0..steps.len()).filter(|&at| !matches!(steps[at], Step::Same(..))).collect();
    let mut next = 0;
    while next < changed.len() {
        let first = changed[next].saturating_sub(CONTEXT);
        // Changes whose context touches are shown together.
        while changed.get(next + 1).is_some_and(|after| after - changed[next] <= 2 * CONTEXT) {
            next += 1;
        }
        let end = (changed[next] + CONTEXT + 1).min(steps.len());
        next += 1;
        hunk(&steps[first..end], &steps[..first], &old, &new, &mut text);
    }
    text
}

/// What becomes of a line, by its place in the old or the new text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Same(usize),
    Removed(usize),
    Added(usize),
}

fn hunk(steps: &[Step], before: &[Step], old: &[&[u8]], new: &[&[u8]], text: &mut String) {
    let of_old = |steps: &[Step]| steps.iter().filter(|step| !matches!(step, Step::Added(_))).count();
    let of_new = |steps: &[Step]| steps.iter().filter(|step| !matches!(step, Step::Removed(_))).count();
    let range = |start: usize, count: usize| format!("{},{count}", start + usize::from(count > 0));
    let (from, to) = (range(of_old(before), of_old(steps)), range(of_new(before), of_new(steps)));
    let _ = writeln!(text, "@@ -{from} +{to} @@");
    for step in steps {
        let (sign, line) = match *step {
            Step::Same(at) => (' ', old[at]),
            Step::Removed(at) => ('-', old[at]),
            Step::Added(at) => ('+', new[at]),
        };
        let shown = String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(line)).into_owned();
        let _ = writeln!(text, "{sign}{}", printable(shown.strip_suffix('\r').unwrap_or(&shown)));
        if !line.ends_with(b"\n") {
            text.push_str("\\ No newline at end of file\n");
        }
    }
}

fn lines(content: &[u8]) -> Vec<&[u8]> {
    content.split_inclusive(|&byte| byte == b'\n').collect()
}

/// The longest common subsequence of what lies between the common beginning and the common end.
fn steps(old: &[&[u8]], new: &[&[u8]]) -> Vec<Step> {
    let shorter = old.len().min(new.len());
    let head = (0..shorter).take_while(|&at| old[at] == new[at]).count();
    let tail = (1..=shorter - head).take_while(|&at| old[old.len() - at] == new[new.len() - at]).count();
    let (old_end, new_end) = (old.len() - tail, new.len() - tail);
    let mut steps: Vec<Step> = (0..head).map(Step::Same).collect();
    let (rows, columns) = (old_end - head, new_end - head);
    if rows * columns > MOST_STEPS {
        steps.extend((head..old_end).map(Step::Removed));
        steps.extend((head..new_end).map(Step::Added));
    } else {
        // How many lines the rests from there on have in common.
        let mut common = vec![vec![0_u32; columns + 1]; rows + 1];
        for row in (0..rows).rev() {
            for column in (0..columns).rev() {
                common[row][column] = if old[head + row] == new[head + column] {
                    common[row + 1][column + 1] + 1
                } else {
                    common[row + 1][column].max(common[row][column + 1])
                };
            }
        }
        let (mut row, mut column) = (0, 0);
        while row < rows || column < columns {
            if row < rows && column < columns && old[head + row] == new[head + column] {
                steps.push(Step::Same(head + row));
                (row, column) = (row + 1, column + 1);
            } else if row < rows && (column == columns || common[row + 1][column] >= common[row][column + 1])
            {
                steps.push(Step::Removed(head + row));
                row += 1;
            } else {
                steps.push(Step::Added(head + column));
                column += 1;
            }
        }
    }
    steps.extend((old_end..old.len()).map(Step::Same));
    steps
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(old: &str, new: &str) -> String {
        unified("f", Some(old.as_bytes()), Some(new.as_bytes()))
    }

    #[test]
    fn hunks_have_their_context_and_numbers() {
        let old = (1..=20).map(|n| n.to_string()).collect::<Vec<_>>().join("\n") + "\n";
        let new = old.replace("2\n3\n", "2\nx\n3\n").replace("18\n", "").replace("20\n", "20");
        assert_eq!(
            of(&old, &new),
            "--- f\n+++ f\n@@ -1,5 +1,6 @@\n 1\n 2\n+x\n 3\n 4\n 5\n@@ -15,6 +16,5 @@\n 15\n 16\n 17\n-18\n 19\n-20\n+20\n\
             \\ No newline at end of file\n"
        );
        assert_eq!(of("a", "a"), "");
        assert_eq!(unified("f", None, Some(b"a\n")), "--- /dev/null\n+++ f\n@@ -0,0 +1,1 @@\n+a\n");
        assert_eq!(unified("f", Some(b"a\r\n"), None), "--- f\n+++ /dev/null\n@@ -1,1 +0,0 @@\n-a\n");
        let long = "x\n".repeat(3000);
        assert!(of(&long, &"y\n".repeat(3000)).lines().count() > 6000);
    }

    proptest! {
        #[test]
        fn the_steps_lead_from_the_one_to_the_other(old in "[ab\n]{0,30}", new in "[ab\n]{0,30}") {
            let (old, new) = (lines(old.as_bytes()), lines(new.as_bytes()));
            let steps = steps(&old, &new);
            let of_old = steps.iter().filter_map(|step| match step {
                Step::Same(at) | Step::Removed(at) => Some(*at),
                Step::Added(_) => None,
            });
            prop_assert!(of_old.eq(0..old.len()));
            let of_new: Vec<&[u8]> = steps.iter().filter_map(|step| match step {
                Step::Same(at) => Some(old[*at]),
                Step::Added(at) => Some(new[*at]),
                Step::Removed(_) => None,
            }).collect();
            prop_assert_eq!(of_new, new);
        }
    }
}
