//! The ends of lines, as Python reads a text file.

/// A text in which a line ends with LF only. Portage opens its text files so that CR LF and a CR alone end a line, too.
pub fn unix_newlines(text: String) -> String {
    if !text.contains('\r') {
        return text;
    }
    text.replace("\r\n", "\n").replace('\r', "\n")
}

/// Where a byte of a text stood in the bytes that it was made of: what is not UTF-8 was replaced, and the
/// ends of lines as by [`unix_newlines`]. `None` behind the end, and within a character.
pub fn original_offset(bytes: &[u8], wanted: usize) -> Option<usize> {
    let (mut original, mut offset) = (0, 0);
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if offset >= wanted {
                return (offset == wanted).then_some(original);
            }
            // Of CR LF the LF counts.
            let is_pair = character == '\r' && bytes.get(original + 1) == Some(&b'\n');
            offset += if is_pair { 0 } else { character.len_utf8() };
            original += character.len_utf8();
        }
        if !chunk.invalid().is_empty() {
            if offset >= wanted {
                return (offset == wanted).then_some(original);
            }
            offset += char::REPLACEMENT_CHARACTER.len_utf8();
            original += chunk.invalid().len();
        }
    }
    (offset == wanted).then_some(original)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_lead_back() {
        for bytes in [&b"a\r\nb\rc\n"[..], b"\xffa\xe2\x82\r\n\xc3\xa9\xff", b"", b"\r", b"\r\r\n\xf0"] {
            let text = unix_newlines(String::from_utf8_lossy(bytes).into_owned());
            let mut last = None;
            for (at, character) in text.char_indices() {
                let original = original_offset(bytes, at).unwrap();
                assert!(last < Some(original), "{text:?}");
                last = Some(original);
                match character {
                    char::REPLACEMENT_CHARACTER => assert!(bytes[original] >= 0x80),
                    '\n' => assert!(b"\r\n".contains(&bytes[original])),
                    _ => assert!(bytes[original..].starts_with(character.to_string().as_bytes())),
                }
            }
            assert_eq!(original_offset(bytes, text.len()), Some(bytes.len()), "{text:?}");
            assert_eq!(original_offset(bytes, text.len() + 1), None);
        }
        assert_eq!(original_offset("é".as_bytes(), 1), None);
    }

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
