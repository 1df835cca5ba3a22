//! `-H`: edits of the request's header fields, in curl's notation.

use crate::http::settings::FieldEdit;

/// Why a line is not an edit. The line itself is not shown: it may hold a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    #[error("this does not look like a header field; write 'Name: value', 'Name:' or 'Name;'")]
    NoName,
    #[error("the value of {0} holds a control character")]
    Control(String),
}

/// Reads one `-H` value or one line of `-H @file`: `Name: value`, `Name:` to remove a field, `Name;` to send it
/// with an empty value.
pub fn field_edit(line: &str) -> Result<FieldEdit, HeaderError> {
    let line = line.trim_end_matches(['\r', '\n']);
    let end = line.find([':', ';']).ok_or(HeaderError::NoName)?;
    let (name, rest) = line.split_at(end);
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(HeaderError::NoName);
    }
    let value = rest[1..].trim_matches([' ', '\t']);
    if value.chars().any(|c| c.is_control() && c != '\t') {
        return Err(HeaderError::Control(name.to_owned()));
    }
    match (rest.starts_with(':'), value.is_empty()) {
        (true, true) => Ok(FieldEdit::Remove(name.to_owned())),
        (true, false) | (false, true) => Ok(FieldEdit::Set(name.to_owned(), value.to_owned())),
        (false, false) => Err(HeaderError::NoName),
    }
}

/// A character of a field name (RFC 9110, 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_curls_three_forms() {
        let set = |n: &str, v: &str| Ok(FieldEdit::Set(n.into(), v.into()));
        assert_eq!(field_edit("Accept: text/plain"), set("Accept", "text/plain"));
        assert_eq!(field_edit("X:a;b: c\r\n"), set("X", "a;b: c"));
        assert_eq!(field_edit("Accept:  "), Ok(FieldEdit::Remove("Accept".into())));
        assert_eq!(field_edit("X-Empty;"), set("X-Empty", ""));
    }

    #[test]
    fn refuses_what_would_break_the_request() {
        for line in ["", "Accept", ": v", "A b: c", "X; y", "X: a\r\nY: b", "X\r\nY: b", "X: \0"] {
            assert!(field_edit(line).is_err(), "{line:?}");
        }
    }
}
