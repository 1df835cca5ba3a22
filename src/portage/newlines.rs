//! The ends of lines, as Python reads a text file.

/// A text in which a line ends with LF only. Portage opens its text files so that CR LF and a CR alone end a line, too.
pub fn unix_newlines(text: String) -> String {
    if !text.contains('\r') {
        return text;
    }
    text.replace("\r\n", "\n").replace('\r', "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_of_a_line_is_the_same() {
        for (text, expected) in [
            ("a\nb\n", "a\nb\n"),
            ("a\r\nb\r\n", "a\nb\n"),
            ("a\rb", "a\nb"),
            ("a\r\r\nb\n\rc", "a\n\nb\n\nc"),
            ("", ""),
        ] {
            assert_eq!(unix_newlines(text.to_owned()), expected, "{text:?}");
        }
    }
}
