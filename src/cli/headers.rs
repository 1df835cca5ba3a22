//! `-H`: edits of the request's header fields, in curl's notation.

/// One edit. The field's name is as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderEdit {
    /// `Name: value`: in place of the program's own field of that name, besides other edits.
    Set(String, String),
    /// `Name:`: the program's own field is not sent.
    Remove(String),
    /// `Name;`: the field is sent with an empty value.
    Empty(String),
}

/// Why a line is not an edit. The line itself is not shown: it may hold a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    #[error("this does not look like a header field; write 'Name: value', 'Name:' or 'Name;'")]
    NoName,
    #[error("the value of {0} holds a control character")]
    Control(String),
}

impl HeaderEdit {
    /// Reads one `-H` value or one line of `-H @file`.
    pub fn parse(line: &str) -> Result<Self, HeaderError> {
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
            (true, true) => Ok(Self::Remove(name.to_owned())),
            (true, false) => Ok(Self::Set(name.to_owned(), value.to_owned())),
            (false, true) => Ok(Self::Empty(name.to_owned())),
            (false, false) => Err(HeaderError::NoName),
        }
    }

    pub fn name(&self) -> &str {
        match self {
            Self::Set(name, _) | Self::Remove(name) | Self::Empty(name) => name,
        }
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
        let set = |n: &str, v: &str| Ok(HeaderEdit::Set(n.into(), v.into()));
        assert_eq!(HeaderEdit::parse("Accept: text/plain"), set("Accept", "text/plain"));
        assert_eq!(HeaderEdit::parse("X:a;b: c\r\n"), set("X", "a;b: c"));
        assert_eq!(HeaderEdit::parse("Accept:  "), Ok(HeaderEdit::Remove("Accept".into())));
        assert_eq!(HeaderEdit::parse("X-Empty;"), Ok(HeaderEdit::Empty("X-Empty".into())));
    }

    #[test]
    fn refuses_what_would_break_the_request() {
        for line in ["", "Accept", ": v", "A b: c", "X; y", "X: a\r\nY: b", "X\r\nY: b", "X: \0"] {
            assert!(HeaderEdit::parse(line).is_err(), "{line:?}");
        }
    }
}
