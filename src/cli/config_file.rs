//! The format of `-K` files (curl(1), `--config`): one option a line, with or without its dashes.

/// One line that says something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ConfigLine {
    /// From 1.
    pub number: usize,
    /// As written: `--output`, `-o` or `output`.
    pub option: String,
    pub value: Option<String>,
    /// Words behind an unquoted value; they are not part of it.
    pub ignored: bool,
}

/// The lines of a file, without comments and blank ones.
pub(super) fn lines(text: &str) -> Vec<ConfigLine> {
    let numbered = text.lines().enumerate();
    numbered.filter_map(|(index, line)| config_line(index + 1, line)).collect()
}

fn config_line(number: usize, line: &str) -> Option<ConfigLine> {
    let line = line.trim_start();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    // `=` and `:` separate only when the option is written without dashes.
    let dashed = line.starts_with('-');
    let separates = |c: char| c.is_whitespace() || (!dashed && matches!(c, '=' | ':'));
    let (option, rest) = line.split_at(line.find(separates).unwrap_or(line.len()));
    let rest = rest.trim_start_matches(separates);
    let (value, ignored) = match rest.strip_prefix('"') {
        Some(quoted) => (Some(unquote(quoted)), false),
        None => unquoted(rest),
    };
    Some(ConfigLine { number, option: option.to_owned(), value, ignored })
}

/// The value up to white space, and whether words follow that are not a comment.
fn unquoted(rest: &str) -> (Option<String>, bool) {
    let (value, tail) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let tail = tail.trim_start();
    let value = (!value.is_empty()).then(|| value.to_owned());
    (value, !tail.is_empty() && !tail.starts_with('#'))
}

/// The text up to the closing quote. `\t \n \r \v` are control characters, any other escaped character
/// stands for itself.
fn unquote(text: &str) -> String {
    let mut value = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => break,
            '\\' => match chars.next() {
                Some('t') => value.push('\t'),
                Some('n') => value.push('\n'),
                Some('r') => value.push('\r'),
                Some('v') => value.push('\u{b}'),
                Some(other) => value.push(other),
                None => {}
            },
            other => value.push(other),
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, Option<String>)> {
        lines(text).into_iter().map(|line| (line.option, line.value)).collect()
    }

    fn pair(option: &str, value: Option<&str>) -> (String, Option<String>) {
        (option.to_owned(), value.map(str::to_owned))
    }

    #[test]
    fn reads_every_way_to_write_a_line() {
        let text = "# comment\n\n  silent\n-o out\noutput=out\noutput : \"a b\\\"\\t\\x\" rest\r\n\
                    --url = http://h/\nurl http://h/ # why\nuser-agent \"\"\nproxy \"unclosed";
        assert_eq!(
            pairs(text),
            [
                pair("silent", None),
                pair("-o", Some("out")),
                pair("output", Some("out")),
                pair("output", Some("a b\"\tx")),
                pair("--url", Some("=")),
                pair("url", Some("http://h/")),
                pair("user-agent", Some("")),
                pair("proxy", Some("unclosed")),
            ]
        );
    }

    #[test]
    fn notices_words_that_get_lost() {
        let lost: Vec<_> = lines("output a b\noutput a # b\noutput a").iter().map(|l| l.ignored).collect();
        assert_eq!(lost, [true, false, false]);
        assert_eq!(lines("\n\nsilent")[0].number, 3);
    }
}
