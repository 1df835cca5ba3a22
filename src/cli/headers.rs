//! `-H`: edits of the request's header fields, in curl's notation.

use crate::http::settings::FieldEdit;

/// Why a line is not an edit. The line itself is not shown: it may hold a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// curl sends nothing for it, and says nothing.
    #[error("ignored: this is no header field; write 'Name: value', 'Name:' or 'Name;'")]
    Ignored,
    #[error("this name cannot be sent; write 'Name: value', 'Name:' or 'Name;'")]
    Name,
    /// A server would wait for what never comes.
    #[error("a request of racefetch has no content, and no length but 0")]
    Length,
    #[error("the value of {0} holds a control character")]
    Control(String),
}

/// Reads one `-H` value or one line of `-H @file`: `Name: value`, `Name:` to remove a field, `Name;` to send it
/// with an empty value.
pub fn field_edit(line: &str) -> Result<FieldEdit, HeaderError> {
    let line = line.trim_end_matches(['\r', '\n']);
    let end = line.find(':').or_else(|| line.find(';')).ok_or(HeaderError::Ignored)?;
    let (name, rest) = line.split_at(end);
    let value = rest[1..].trim_matches([' ', '\t']);
    let is_empty_form = rest.starts_with(';');
    if name.is_empty() || is_empty_form && rest != ";" {
        return Err(HeaderError::Ignored);
    }
    if !name.bytes().all(is_token) {
        return Err(HeaderError::Name);
    }
    if value.chars().any(|c| c.is_control() && c != '\t') {
        return Err(HeaderError::Control(name.to_owned()));
    }
    if name.eq_ignore_ascii_case("content-length") && !matches!(value, "" | "0") {
        return Err(HeaderError::Length);
    }
    if value.is_empty() && !is_empty_form {
        return Ok(FieldEdit::Remove(name.to_owned()));
    }
    Ok(FieldEdit::Set(name.to_owned(), value.to_owned()))
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
        for line in
            ["A b: c", "X/Y: z", " X: y", "X;y: z", "X: a\r\nY: b", "X\r\nY: b", "X: \0", "Content-Length: 5"]
        {
            assert!(!matches!(field_edit(line), Ok(_) | Err(HeaderError::Ignored)), "{line:?}");
        }
    }

    #[test]
    fn ignores_what_curl_ignores() {
        for line in ["", " ", "Accept", "Accept ", ":", ": v", "X; y", "X;y", "X;  ", "; y"] {
            assert_eq!(field_edit(line), Err(HeaderError::Ignored), "{line:?}");
        }
    }
}
