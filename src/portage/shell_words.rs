//! The words of make.conf: the part of the shell's grammar that Portage reads (its `getconfig`, over
//! Python's `shlex` in POSIX mode).

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::ops::Range;
use std::str::Chars;

/// Why Portage would not read on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SyntaxError {
    #[error("a quotation is not closed")]
    OpenQuote,
    #[error("`${{` is not followed by a name and `}}`")]
    OpenBrace,
    #[error("`$` is not followed by a name")]
    BadSubstitution,
    #[error("the value is longer than {MAX_VALUE} bytes")]
    TooLong,
}

/// The longest value that substitution may build, in bytes. `X="$X$X"` in a loop would take all memory.
const MAX_VALUE: usize = 1 << 20;

/// Splits a text into words. Quotes and backslashes are removed; any character that may not stand in a
/// word, such as `=`, is a word by itself.
pub struct Lexer<'t> {
    chars: Peekable<Chars<'t>>,
    line: usize,
    /// In bytes.
    offset: usize,
}

impl<'t> Lexer<'t> {
    pub fn new(text: &'t str) -> Self {
        Self { chars: text.chars().peekable(), line: 1, offset: 0 }
    }

    /// The line that has been reached; the first is 1.
    pub fn line(&self) -> usize {
        self.line
    }

    pub fn is_at_end(&mut self) -> bool {
        self.chars.peek().is_none()
    }

    /// The next word, `None` at the end of the text.
    pub fn next_word(&mut self) -> Result<Option<String>, SyntaxError> {
        Ok(self.next_spanned()?.map(|(word, _)| word))
    }

    /// The next word, and the bytes of the text that it is written in, with its quotes.
    pub fn next_spanned(&mut self) -> Result<Option<(String, Range<usize>)>, SyntaxError> {
        self.skip_blanks();
        let start = self.offset;
        Ok(self.word()?.map(|word| (word, start..self.offset)))
    }

    /// The word that begins here.
    fn word(&mut self) -> Result<Option<String>, SyntaxError> {
        let Some(&first) = self.chars.peek() else { return Ok(None) };
        if !is_in_word(first) {
            self.bump();
            return Ok(Some(first.to_string()));
        }
        let mut word = String::new();
        while let Some(next) = self.chars.next_if(|&next| is_in_word(next)) {
            self.offset += next.len_utf8();
            match next {
                '"' => self.double_quoted(&mut word)?,
                '\'' => self.single_quoted(&mut word)?,
                // Portage reads every file as if a newline ended it.
                '\\' => word.push(self.bump().unwrap_or('\n')),
                _ => word.push(next),
            }
        }
        Ok(Some(word))
    }

    fn bump(&mut self) -> Option<char> {
        let next = self.chars.next();
        self.line += usize::from(next == Some('\n'));
        self.offset += next.map_or(0, char::len_utf8);
        next
    }

    /// Skips white space and comments, which may begin in the middle of a line, even of a word.
    fn skip_blanks(&mut self) {
        let mut in_comment = false;
        while let Some(&next) = self.chars.peek() {
            in_comment = (in_comment || next == '#') && next != '\n';
            if !in_comment && !is_blank(next) {
                return;
            }
            self.bump();
        }
    }

    fn single_quoted(&mut self, word: &mut String) -> Result<(), SyntaxError> {
        loop {
            match self.bump().ok_or(SyntaxError::OpenQuote)? {
                '\'' => return Ok(()),
                other => word.push(other),
            }
        }
    }

    /// Within double quotes a backslash is removed before a quote and a backslash only; the rest is left
    /// for [`expand`].
    fn double_quoted(&mut self, word: &mut String) -> Result<(), SyntaxError> {
        loop {
            match self.bump().ok_or(SyntaxError::OpenQuote)? {
                '"' => return Ok(()),
                '\\' => {
                    let escaped = self.bump().ok_or(SyntaxError::OpenQuote)?;
                    if !matches!(escaped, '"' | '\\') {
                        word.push('\\');
                    }
                    word.push(escaped);
                }
                other => word.push(other),
            }
        }
    }
}

/// Substitutes `$NAME` and `${NAME}` in a word, joins lines at a backslash, and turns newlines into spaces:
/// Portage's `varexpand`. As there, the quotes around the word are gone by now, so that a variable is
/// substituted in single quotes as well, unless further single quotes stand around it. A variable that
/// is not set is empty.
pub fn expand(word: &str, variables: &BTreeMap<String, String>) -> Result<String, SyntaxError> {
    let mut expanded = String::with_capacity(word.len());
    let (mut in_single, mut in_double) = (false, false);
    let mut chars = word.chars().peekable();
    while let Some(next) = chars.next() {
        match next {
            '\'' => {
                in_single ^= !in_double;
                expanded.push(next);
            }
            '"' => {
                in_double ^= !in_single;
                expanded.push(next);
            }
            _ if in_single => expanded.push(next),
            '\n' => expanded.push(' '),
            '\\' => expand_escape(&mut chars, &mut expanded),
            '$' if chars.peek().is_none() => expanded.push('$'),
            '$' => {
                let name = variable_name(&mut chars)?;
                expanded.push_str(variables.get(&name).map_or("", String::as_str));
                if expanded.len() > MAX_VALUE {
                    return Err(SyntaxError::TooLong);
                }
            }
            _ => expanded.push(next),
        }
    }
    Ok(expanded)
}

fn expand_escape(chars: &mut Peekable<Chars<'_>>, expanded: &mut String) {
    match chars.next() {
        Some('\n') => {}
        Some('$') => expanded.push('$'),
        Some('\\') => {
            expanded.push('\\');
            // Portage takes what a backslash is usually put before as it is, even before this one.
            expanded.extend(chars.next_if(|next| matches!(next, '\'' | '"' | '$')));
        }
        Some(other) => expanded.extend(['\\', other]),
        None => expanded.push('\\'),
    }
}

/// Reads `NAME` or `{NAME}`.
fn variable_name(chars: &mut Peekable<Chars<'_>>) -> Result<String, SyntaxError> {
    let braced = chars.next_if_eq(&'{').is_some();
    let mut name = String::new();
    while let Some(next) = chars.next_if(|next| next.is_ascii_alphanumeric() || *next == '_') {
        name.push(next);
    }
    if braced && chars.next() != Some('}') {
        return Err(SyntaxError::OpenBrace);
    }
    if name.is_empty() { Err(SyntaxError::BadSubstitution) } else { Ok(name) }
}

/// Whether a value depends on a variable.
pub fn uses(word: &str, variable: &str) -> bool {
    let with = |value: &str| expand(word, &[(variable.to_owned(), value.to_owned())].into());
    with("").ok() != with("x").ok()
}

/// A value as it is written so that it is read as that text again, in double quotes. `None` when it
/// cannot be written: outside of single quotes, which are part of the value here, a line's end is read
/// as a blank.
pub fn quote(value: &str) -> Option<String> {
    let mut written = String::from("\"");
    let (mut in_single, mut in_double) = (false, false);
    for character in value.chars() {
        in_single ^= character == '\'' && !in_double;
        in_double ^= character == '"' && !in_single;
        match character {
            // The lexer takes one backslash of two away, and `expand` again.
            '\\' if !in_single => written.push_str(r"\\\\"),
            '$' if !in_single => written.push_str(r"\$"),
            '\\' | '"' => written.extend(['\\', character]),
            _ => written.push(character),
        }
    }
    written.push('"');
    reads_as(&written, value).then_some(written)
}

/// Whether a word is one word, and read as that value.
pub fn reads_as(written: &str, value: &str) -> bool {
    let mut lexer = Lexer::new(written);
    let Ok(Some((word, span))) = lexer.next_spanned() else { return false };
    let is_whole = span == (0..written.len());
    is_whole && expand(&word, &BTreeMap::new()).is_ok_and(|read| read == value)
}

/// Whether a character would belong to a word that ends before it.
pub fn is_in_word(character: char) -> bool {
    // `wordchars` and `quotes` of Portage's `getconfig`, but `#`, which begins a comment wherever it stands.
    character.is_ascii_alphanumeric() || "~!@$%*_\\:;?,./-+{}\"'".contains(character)
}

fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\r' | '\n')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(text: &str) -> Result<Vec<String>, SyntaxError> {
        let mut lexer = Lexer::new(text);
        std::iter::from_fn(|| lexer.next_word().transpose()).collect()
    }

    #[test]
    fn words_are_split_as_shlex_splits_them() {
        for (text, expected) in [
            ("", &[] as &[&str]),
            ("A=b", &["A", "=", "b"]),
            ("A=\"b c\nd\"", &["A", "=", "b c\nd"]),
            ("A='b \"c\\' # end\nB", &["A", "=", "b \"c\\", "B"]),
            ("A=\"\" B=''", &["A", "=", "", "B", "=", ""]),
            ("a\"b c\"'d e'f", &["ab cd ef"]),
            ("a#b\nc", &["a", "c"]),
            ("\"a#b\"", &["a#b"]),
            (r#""a\"b\\c\$d\e""#, &[r#"a"b\c\$d\e"#]),
            (r"a\ b\#\\", &[r"a b#\"]),
            ("(a|b)", &["(", "a", "|", "b", ")"]),
            ("${A}/b:c;d", &["${A}/b:c;d"]),
            ("ü", &["ü"]),
            ("a\\", &["a\n"]),
            ("# only a comment", &[]),
        ] {
            assert_eq!(words(text).unwrap(), expected, "{text}");
        }
        assert_eq!(words("a 'b"), Err(SyntaxError::OpenQuote));
        assert_eq!(words("a \"b\\"), Err(SyntaxError::OpenQuote));
    }

    #[test]
    fn counts_lines() {
        let mut lexer = Lexer::new("a\n# x\n'b\nc'\\\nd e");
        let lines: Vec<_> = std::iter::from_fn(|| {
            lexer.next_word().unwrap()?;
            Some(lexer.line())
        })
        .collect();
        assert_eq!(lines, [1, 5, 5]);
    }

    #[test]
    fn expands_as_portage_does() {
        let variables: BTreeMap<String, String> =
            [("A", "1"), ("AB", "2"), ("q", "it's")].map(|(name, value)| (name.into(), value.into())).into();
        for (word, expected) in [
            ("$A ${A} $AB ${AB}x $Ax.", "1 1 2 2x ."),
            ("a\nb\\\nc", "a bc"),
            (r"\$A \\ \n \", r"$A \ \n \"),
            (r"\\$A", r"\$A"),
            ("'$A\n' $A", "'$A\n' 1"),
            ("\"'$A'\"", "\"'1'\""),
            ("$q$A", "it's1"),
            ("cost$", "cost$"),
            ("$Aé", "1é"),
        ] {
            assert_eq!(expand(word, &variables).unwrap(), expected, "{word:?}");
        }
        for (word, error) in [
            ("${A", SyntaxError::OpenBrace),
            ("${", SyntaxError::OpenBrace),
            ("${A:-x}", SyntaxError::OpenBrace),
            ("${}", SyntaxError::BadSubstitution),
            ("$ x", SyntaxError::BadSubstitution),
        ] {
            assert_eq!(expand(word, &variables), Err(error), "{word}");
        }
    }

    #[test]
    fn words_know_where_they_stand() {
        let text = "# é\nÄ A=\"b\\\" c\"'d'# e\n  x\\";
        let mut lexer = Lexer::new(text);
        let written: Vec<_> =
            std::iter::from_fn(|| lexer.next_spanned().unwrap().map(|(_, span)| &text[span])).collect();
        assert_eq!(written, ["Ä", "A", "=", "\"b\\\" c\"'d'", "x\\"]);
    }

    #[test]
    fn values_are_written_so_that_they_come_back() {
        for (value, written) in [
            ("", Some(r#""""#)),
            ("https://a/ http://b", Some(r#""https://a/ http://b""#)),
            (r#"-o "${FILE}""#, Some(r#""-o \"\${FILE}\"""#)),
            (r"a\b\", Some(r#""a\\\\b\\\\""#)),
            ("it's $A", Some("\"it's $A\"")),
            ("'$A' $A", Some(r#""'$A' \$A""#)),
            ("a\nb", None),
        ] {
            assert_eq!(quote(value).as_deref(), written, "{value:?}");
        }
        assert!(!reads_as("a b", "a b") && !reads_as("a#", "a") && reads_as("'a b'", "a b"));
        assert!(uses("x ${A}", "A") && uses("$A", "A") && !uses("$AB '$A'", "A") && !uses(r"\$A", "A"));
    }

    proptest! {
        #[test]
        fn what_can_be_written_is_read_again(value in "([\"'$\\\\{}A ]|\\PC){0,20}") {
            if let Some(written) = quote(&value) {
                prop_assert!(reads_as(&written, &value));
            } else {
                prop_assert!(value.contains(['\'', '"', '\\']), "{value:?}");
            }
        }

        #[test]
        fn quoted_text_comes_back(text in "\\PC*") {
            let quoted = text.replace('\\', "\\\\").replace('"', "\\\"");
            prop_assert_eq!(words(&format!("A=\"{quoted}\"")).unwrap(), ["A", "=", text.as_str()]);
        }

        #[test]
        fn no_text_is_too_odd(text in "([\"'\\\\${}#=\n a]|\\PC){0,40}") {
            if let Ok(words) = words(&text) {
                for word in words {
                    let _ = expand(&word, &BTreeMap::new());
                }
            }
        }
    }
}
