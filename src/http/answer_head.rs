//! The head of an answer, read from the bytes as they come (RFC 9112, sections 4 and 5).
//!
//! Servers in the field send lines that no grammar allows, and curl reads on. So does this: a line that is not needed
//! decides nothing. What the framing of the content hangs on is read strictly, and what is dropped stays dropped: no
//! later reader sees it.

use super::Failure;

/// The largest head, in bytes: curl's limit.
const LARGEST: usize = 300 * 1024;

/// Where the content ends (RFC 9112, section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// There is none.
    Nothing,
    /// After so many bytes.
    Length(u64),
    Chunked,
    /// With the connection.
    UntilClose,
}

/// A complete head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AnswerHead {
    /// From 100 to 999.
    pub status: u16,
    /// `HTTP/1.1`, `HTTP/1.0`, `HTTP/2`.
    pub version: &'static str,
    /// The fields with a valid name (RFC 9110, section 5.1), names in lower case, in the order received.
    pub fields: Vec<(String, Vec<u8>)>,
    /// The bytes as they came, and those of the interim answers before it.
    pub raw: Vec<u8>,
    pub framing: Framing,
    /// Whether the connection may serve again once the content is there.
    pub keeps_connection: bool,
}

impl AnswerHead {
    /// Whether another head follows (RFC 9110, section 15.2). After 101 there is none: what comes is that answer's.
    pub(super) fn is_interim(&self) -> bool {
        self.status < 200 && self.status != 101
    }
}

/// Takes bytes until the head is complete.
#[derive(Clone, Debug, Default)]
pub(super) struct HeadReader {
    raw: Vec<u8>,
    /// Where the line begins that is not complete yet.
    line: usize,
    /// None before the status line.
    status: Option<StatusLine>,
    fields: Vec<Field>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct StatusLine {
    version: &'static str,
    code: u16,
}

#[derive(Clone, Debug)]
struct Field {
    /// The name as it came. With blanks around it, or other bytes than a name may have, it is none.
    name: Vec<u8>,
    value: Vec<u8>,
}

impl HeadReader {
    /// Takes what belongs to the head from the beginning of `bytes`. Says how many bytes that were, and gives the head
    /// when it is complete; then the reader is as new.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<(usize, Option<AnswerHead>), Failure> {
        let mut taken = 0;
        while taken < bytes.len() {
            let rest = &bytes[taken..];
            let line_end = rest.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
            let piece = &rest[..line_end.unwrap_or(rest.len())];
            if self.raw.len() + piece.len() > LARGEST {
                return Err(Failure::HeadTooLarge);
            }
            self.raw.extend_from_slice(piece);
            taken += piece.len();
            if self.status.is_none() {
                check_beginning(&self.raw[self.line..])?;
            }
            if line_end.is_some() && self.end_line()? {
                let reader = std::mem::take(self);
                return reader.finish().map(|head| (taken, Some(head)));
            }
        }
        Ok((taken, None))
    }

    /// Reads the line that has just become complete. True when it was the empty one at the end.
    fn end_line(&mut self) -> Result<bool, Failure> {
        let line = self.raw[self.line..].trim_ascii_end_of_line();
        self.line = self.raw.len();
        if line.contains(&0) {
            return Err(Failure::BadHead("a NUL byte".to_owned()));
        }
        if self.status.is_none() {
            // RFC 9112, section 2.2, allows empty lines before a request; some servers send them behind an answer.
            self.status = if line.is_empty() { None } else { Some(status_line(line)?) };
            return Ok(false);
        }
        match line.first() {
            None => return Ok(true),
            Some(b' ' | b'\t') => {
                // An obsolete folding (RFC 9112, section 5.2) goes on with the line before.
                let Some(field) = self.fields.last_mut() else {
                    return Err(Failure::BadHead("it begins with the rest of a line".to_owned()));
                };
                field.value.push(b' ');
                field.value.extend_from_slice(trim_blanks(line));
            }
            Some(_) => {
                let Some(colon) = line.iter().position(|byte| *byte == b':') else {
                    return Err(Failure::BadHead("a line without a colon".to_owned()));
                };
                self.fields.push(Field { name: line[..colon].to_vec(), value: line[colon + 1..].to_vec() });
            }
        }
        Ok(false)
    }

    fn finish(self) -> Result<AnswerHead, Failure> {
        let Some(StatusLine { version, code: status }) = self.status else { return Err(Failure::NotHttp) };
        let mut fields = Vec::new();
        let mut frames_twice = false;
        for Field { name, value } in self.fields {
            let value = trim_blanks(&value).to_vec();
            if !name.is_empty() && name.iter().copied().all(is_token) {
                fields.push((String::from_utf8_lossy(&name).to_ascii_lowercase(), value));
            } else if trim_blanks(&name).eq_ignore_ascii_case(b"transfer-encoding") {
                // Dropping it would make the coding a part of the content.
                return Err(Failure::BadHead("a blank behind Transfer-Encoding".to_owned()));
            } else {
                frames_twice |= trim_blanks(&name).eq_ignore_ascii_case(b"content-length");
            }
        }
        let (framing, disputed) = framing(status, &fields)?;
        let keeps_connection =
            status != 101 && !frames_twice && !disputed && keeps_connection(version, framing, &fields);
        Ok(AnswerHead { status, version, fields, raw: self.raw, framing, keeps_connection })
    }
}

/// An error as soon as it cannot become a status line any more.
fn check_beginning(line: &[u8]) -> Result<(), Failure> {
    if matches!(line, [0x15 | 0x16, 0x03, ..]) {
        return Err(Failure::TlsForHttp);
    }
    let is_tls_so_far = matches!(line, [0x15 | 0x16]);
    let is_blank = line.iter().all(|byte| matches!(byte, b'\r' | b'\n'));
    let length = line.len().min(5);
    if is_blank || is_tls_so_far || line[..length].eq_ignore_ascii_case(&b"HTTP/"[..length]) {
        Ok(())
    } else {
        Err(Failure::NotHttp)
    }
}

/// RFC 9112, section 4, read as leniently as by curl: more blanks, any reason or none, names of the protocol in lower
/// case, and `HTTP/2` from servers that only say so.
fn status_line(line: &[u8]) -> Result<StatusLine, Failure> {
    let rest = line.get(5..).ok_or(Failure::NotHttp)?;
    let (version, rest) = match rest {
        [b'1', b'.', b'0', rest @ ..] => ("HTTP/1.0", rest),
        [b'1', b'.', b'1', rest @ ..] => ("HTTP/1.1", rest),
        [b'2', b'.', b'0', rest @ ..] | [b'2', rest @ ..] => ("HTTP/2", rest),
        _ => return Err(Failure::NotHttp),
    };
    let code = rest.strip_prefix(b" ").ok_or(Failure::NotHttp)?.trim_ascii_start();
    let digits = code.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let code = std::str::from_utf8(&code[..digits]).ok().filter(|_| digits == 3);
    let code = code.and_then(|code| code.parse().ok()).filter(|code| *code >= 100);
    code.map(|code| StatusLine { version, code }).ok_or(Failure::NotHttp)
}

/// How the head tells where the content ends, and whether it does so in more than one way.
fn framing(status: u16, fields: &[(String, Vec<u8>)]) -> Result<(Framing, bool), Failure> {
    match status {
        101 => return Ok((Framing::UntilClose, false)),
        100..=199 | 204 | 304 => return Ok((Framing::Nothing, false)),
        _ => {}
    }
    let mut chunked = false;
    for coding in elements(fields, "transfer-encoding") {
        // RFC 9112, section 7: what comes in another one cannot be told apart.
        match coding {
            coding if coding.eq_ignore_ascii_case(b"chunked") => chunked = true,
            b"" => {}
            coding if coding.eq_ignore_ascii_case(b"identity") => {}
            other => return Err(Failure::TransferCoding(String::from_utf8_lossy(other).into_owned())),
        }
    }
    let length = content_length(fields)?;
    Ok(match (chunked, length) {
        (true, length) => (Framing::Chunked, length.is_some()),
        (false, Some(length)) => (Framing::Length(length), false),
        (false, None) => (Framing::UntilClose, false),
    })
}

/// RFC 9110, section 8.6: digits, possibly several times the same.
fn content_length(fields: &[(String, Vec<u8>)]) -> Result<Option<u64>, Failure> {
    let bad = |why: &str| Failure::BadHead(format!("Content-Length {why}"));
    let mut length = None;
    for element in elements(fields, "content-length") {
        let digits = std::str::from_utf8(element).ok();
        let digits = digits.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        let this = digits.and_then(|text| text.parse().ok()).ok_or_else(|| bad("is no number"))?;
        if length.is_some_and(|before| before != this) {
            return Err(bad("says two different things"));
        }
        length = Some(this);
    }
    Ok(length)
}

/// RFC 9112, section 9.3.
fn keeps_connection(version: &str, framing: Framing, fields: &[(String, Vec<u8>)]) -> bool {
    let says = |option: &[u8]| {
        ["connection", "proxy-connection"]
            .iter()
            .any(|name| elements(fields, name).any(|element| element.eq_ignore_ascii_case(option)))
    };
    framing != Framing::UntilClose && !says(b"close") && (version != "HTTP/1.0" || says(b"keep-alive"))
}

/// The elements of all fields of that name, as of one list (RFC 9110, section 5.6.1).
fn elements<'f>(fields: &'f [(String, Vec<u8>)], name: &'f str) -> impl Iterator<Item = &'f [u8]> {
    let values = fields.iter().filter(move |(field, _)| field == name).map(|(_, value)| value);
    values.flat_map(|value| value.split(|byte| *byte == b',')).map(trim_blanks)
}

fn trim_blanks(text: &[u8]) -> &[u8] {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let Some(first) = text.iter().position(|byte| !is_blank(byte)) else { return &[] };
    let last = text.iter().rposition(|byte| !is_blank(byte)).unwrap_or(first);
    &text[first..=last]
}

/// A character of a field name (RFC 9110, section 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

trait Line {
    /// Without LF or CR LF at the end, and without further CRs before it.
    fn trim_ascii_end_of_line(&self) -> &[u8];
}

impl Line for [u8] {
    fn trim_ascii_end_of_line(&self) -> &[u8] {
        let line = self.strip_suffix(b"\n").unwrap_or(self);
        let end = line.iter().rposition(|byte| *byte != b'\r').map_or(0, |at| at + 1);
        &line[..end]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BODY: &[u8] = b"4\r\nbody";

    /// Reads a head, whole and in every two pieces, and asserts that nothing behind it is touched.
    fn read(head: &[u8]) -> Result<AnswerHead, Failure> {
        let whole = HeadReader::default().take(&[head, BODY].concat()).map(|(taken, found)| {
            assert_eq!(taken, head.len());
            found.expect("the head is complete")
        });
        for at in 0..head.len() {
            let mut reader = HeadReader::default();
            let first = reader.take(&head[..at]);
            let both = first.and_then(|(taken, found)| {
                assert_eq!((taken, found), (at, None));
                reader.take(&[&head[at..], BODY].concat())
            });
            let both = both.map(|(taken, found)| {
                assert_eq!(taken, head.len() - at);
                found.expect("the head is complete")
            });
            assert_eq!(both, whole, "split at {at}");
        }
        whole
    }

    fn after_ok(lines: &str) -> Result<AnswerHead, Failure> {
        read(format!("HTTP/1.1 200 OK\r\n{lines}\r\n").as_bytes())
    }

    fn shown(head: &AnswerHead) -> String {
        let shown = |(name, value): &(String, Vec<u8>)| format!("{name}={}", String::from_utf8_lossy(value));
        head.fields.iter().map(shown).collect::<Vec<_>>().join("|")
    }

    #[test]
    fn lines_that_are_not_needed_decide_nothing() {
        for (lines, fields) in [
            ("", ""),
            ("A: b\r\nC:d\r\nE:\r\n", "a=b|c=d|e="),
            ("A : b\r\nC\t: d\r\nE: f\r\n", "e=f"),
            ("A B: c\r\nD/E: f\r\nG(H): i\r\nJ: k\r\n", "j=k"),
            (": a\r\n:\r\nB: c\r\n", "b=c"),
            ("A: b\r\n c\r\n\t d \r\nE: f\r\n", "a=b c d|e=f"),
            ("A: b\r\n E: f\r\n", "a=b E: f"),
            ("A B: c\r\n d\r\nE: f\r\n", "e=f"),
            ("A: b\r\n \r\nC: d\r\n", "a=b|c=d"),
            ("A: \u{1}\u{1b}[2J\u{7f}\r\n", "a=\u{1}\u{1b}[2J\u{7f}"),
            ("A: b\rc\r\n", "a=b\rc"),
            ("A: b\r\r\r\n", "a=b"),
            ("A: é\r\nÉ: b\r\n", "a=é"),
            ("A: b\nC: d\n", "a=b|c=d"),
            ("A:b:c\r\n", "a=b:c"),
        ] {
            let head = after_ok(lines).unwrap();
            assert_eq!((shown(&head).as_str(), head.status), (fields, 200), "{lines:?}");
            assert_eq!(head.framing, Framing::UntilClose);
        }
        assert_eq!(read(b"HTTP/1.1 200 OK\n\n").unwrap().fields, []);
        assert_eq!(read(b"HTTP/1.1 200 OK\r\r\n\r\r\n").unwrap().fields, []);
        let many = "X-1: y\r\n".repeat(1000);
        let head = format!("HTTP/1.1 200 OK\r\n{many}\r\n");
        let (taken, found) = HeadReader::default().take(head.as_bytes()).unwrap();
        assert_eq!((taken, found.unwrap().fields.len()), (head.len(), 1000));
    }

    #[test]
    fn status_lines() {
        for (line, expected) in [
            ("HTTP/1.1 200 OK", Some(("HTTP/1.1", 200))),
            ("HTTP/1.1 200", Some(("HTTP/1.1", 200))),
            ("HTTP/1.1 200 ", Some(("HTTP/1.1", 200))),
            ("HTTP/1.1   404\tno", Some(("HTTP/1.1", 404))),
            ("HTTP/1.1 200OK", Some(("HTTP/1.1", 200))),
            ("HTTP/1.1 200 \u{1}\u{ff}", Some(("HTTP/1.1", 200))),
            ("HTTP/1.0 206 x", Some(("HTTP/1.0", 206))),
            ("http/1.1 404 x", Some(("HTTP/1.1", 404))),
            ("HTTP/2 200", Some(("HTTP/2", 200))),
            ("HTTP/2.0 999 x", Some(("HTTP/2", 999))),
            ("\r\n\r\nHTTP/1.1 200 OK", Some(("HTTP/1.1", 200))),
            ("HTTP/1.2 200 OK", None),
            ("HTTP/3 200 OK", None),
            ("HTTP/1 200 OK", None),
            ("HTTP/0.9 200 OK", None),
            ("HTTP/1.10 200 OK", None),
            ("HTTP/1.1\t200 OK", None),
            ("HTTP/1.1 20 OK", None),
            ("HTTP/1.1 099 OK", None),
            ("HTTP/1.1 2000 OK", None),
            ("HTTP/1.1 +20 OK", None),
            ("HTTP/1.1 2x0 OK", None),
            ("HTTP/1.1", None),
            ("HTTP 200 OK", None),
            ("ICY 200 OK", None),
            (" HTTP/1.1 200 OK", None),
            ("\u{feff}HTTP/1.1 200 OK", None),
            ("<html>", None),
        ] {
            let found = read(format!("{line}\r\n\r\n").as_bytes());
            let found = match found {
                Ok(head) => Some((head.version, head.status)),
                Err(failure) => {
                    assert_eq!(failure, Failure::NotHttp, "{line:?}");
                    None
                }
            };
            assert_eq!(found, expected, "{line:?}");
        }
        assert_eq!(HeadReader::default().take(b"HTX"), Err(Failure::NotHttp));
        for alert in [&b"\x15\x03\x01\0\x02\x02\x46"[..], b"\x16\x03\x03"] {
            assert_eq!(HeadReader::default().take(alert), Err(Failure::TlsForHttp));
        }
    }

    #[test]
    fn framing_is_read_strictly() {
        use Framing::{Chunked, Length, Nothing, UntilClose};
        for (lines, framing, keeps) in [
            ("Content-Length: 5\r\n", Length(5), true),
            ("CONTENT-LENGTH:\t05 \r\n", Length(5), true),
            ("Content-Length: 5\r\nContent-Length: 5\r\n", Length(5), true),
            ("Content-Length: 5, 5\r\n", Length(5), true),
            ("Content-Length:\r\n 5\r\n", Length(5), true),
            ("Content-Length: 18446744073709551615\r\n", Length(u64::MAX), true),
            ("Transfer-Encoding: chunked\r\n", Chunked, true),
            ("Transfer-Encoding: Chunked,\r\nTransfer-Encoding: identity\r\n", Chunked, true),
            ("Transfer-Encoding:\r\n chunked\r\n", Chunked, true),
            ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", Chunked, false),
            ("Transfer-Encoding: identity\r\nContent-Length: 5\r\n", Length(5), true),
            ("Content-Length: 5\r\nConnection: x, Close\r\n", Length(5), false),
            ("Content-Length: 5\r\nProxy-Connection: close\r\n", Length(5), false),
            ("Content-Length: 5\r\nConnection: closed\r\n", Length(5), true),
            // What is dropped frames nothing, and costs the connection.
            ("Content-Length : 5\r\n", UntilClose, false),
            ("Content-Length : 9\r\nContent-Length: 5\r\n", Length(5), false),
            ("X Y: z\r\n Content-Length: 5\r\n", UntilClose, false),
            ("X: y\r\n Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", Length(5), true),
            ("X: y\rContent-Length: 7\r\nContent-Length: 5\r\n", Length(5), true),
        ] {
            let head = after_ok(lines).unwrap();
            assert_eq!((head.framing, head.keeps_connection), (framing, keeps), "{lines:?}");
        }
        for lines in [
            "Content-Length: 5\r\nContent-Length: 6\r\n",
            "Content-Length: 5, 6\r\n",
            "Content-Length: 5\r\n 0\r\n",
            "Content-Length: +5\r\n",
            "Content-Length: 5x\r\n",
            "Content-Length: -1\r\n",
            "Content-Length:\r\n",
            "Content-Length: 5,\r\n",
            "Content-Length: 18446744073709551616\r\n",
            "Transfer-Encoding : chunked\r\n",
            "transfer-encoding\t: chunked\r\nContent-Length: 5\r\n",
            "nonsense\r\n",
            "A: b\r\nnonsense\r\n",
            " A: b\r\n",
            "A: \0\r\n",
        ] {
            assert!(matches!(after_ok(lines), Err(Failure::BadHead(_))), "{lines:?}");
        }
        for lines in
            ["Transfer-Encoding: gzip, chunked\r\n", "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n"]
        {
            assert!(matches!(after_ok(lines), Err(Failure::TransferCoding(_))), "{lines:?}");
        }
        for (line, framing, keeps) in [
            ("HTTP/1.1 204 x", Nothing, true),
            ("HTTP/1.1 304 x", Nothing, true),
            ("HTTP/1.1 103 x", Nothing, true),
            ("HTTP/1.1 101 x", UntilClose, false),
            ("HTTP/1.0 200 x", Length(5), false),
            ("HTTP/1.0 200 x\r\nConnection: keep-alive", Length(5), true),
        ] {
            let head = read(format!("{line}\r\nContent-Length: 5\r\n\r\n").as_bytes()).unwrap();
            assert_eq!((head.framing, head.keeps_connection), (framing, keeps), "{line}");
        }
    }

    #[test]
    fn a_head_has_its_largest_size() {
        let of = |size: usize| {
            let fixed = "HTTP/1.1 200 OK\r\nX: \r\n\r\n".len();
            format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "y".repeat(size - fixed))
        };
        assert!(HeadReader::default().take(of(LARGEST).as_bytes()).is_ok());
        assert_eq!(HeadReader::default().take(of(LARGEST + 1).as_bytes()), Err(Failure::HeadTooLarge));
        let mut reader = HeadReader::default();
        reader.take(b"HTTP/1.1 200 ").unwrap();
        let endless = (0..1000).map(|_| reader.take(&[b'x'; 1024])).find_map(Result::err);
        assert_eq!(endless, Some(Failure::HeadTooLarge));
    }

    proptest! {
        /// However the bytes come, the same is read.
        #[test]
        fn pieces_make_no_difference(
            lines in proptest::collection::vec("[ \t]?[A-Cc: \r\n\u{0}\u{e9}-]{0,12}", 0..8),
            sizes in proptest::collection::vec(1_usize..9, 0..60),
        ) {
            let bytes = format!("HTTP/1.1 200 OK\r\n{}\r\n\r\n", lines.join("\r\n")).into_bytes();
            let whole = HeadReader::default().take(&bytes);
            let mut reader = HeadReader::default();
            let mut rest = bytes.as_slice();
            let mut sizes = sizes.into_iter();
            let mut total = 0;
            let pieces = loop {
                let size = sizes.next().unwrap_or(rest.len()).min(rest.len());
                match reader.take(&rest[..size]) {
                    Ok((taken, None)) => {
                        rest = &rest[taken..];
                        total += taken;
                    }
                    Ok((taken, head)) => break Ok((total + taken, head)),
                    Err(failure) => break Err(failure),
                }
            };
            prop_assert_eq!(pieces, whole);
        }
    }
}
