//! What the targets have in common.

/// The longest input that a target is given, in bytes.
const LONGEST: usize = 1 << 16;

/// Hands `check` the input as text, when it is one, and now and then a long text made of copies of it: what takes
/// more than linear time for that runs into the time limit.
pub fn with_text(data: &[u8], check: impl Fn(&str)) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    check(text);
    if data.len() % 16 == 7 {
        check(&repeated(text));
    }
}

/// Copies of a text, each with its own number in place of every `7`, so that names differ.
fn repeated(text: &str) -> String {
    let mut long = String::new();
    for number in 0.. {
        let copy = text.replace('7', &format!("{number:x}"));
        if long.len() + copy.len() > LONGEST {
            break;
        }
        long.push_str(&copy);
    }
    long
}

/// The two halves of a text, at its first NUL.
pub fn halves(text: &str) -> (&str, &str) {
    text.split_once('\0').unwrap_or((text, ""))
}
