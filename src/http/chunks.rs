//! The chunked coding (RFC 9112, section 7.1), rewritten into a form that every reader takes.
//!
//! Lenient where curl is: any extension, line ends without CR, any trailers, which are dropped. Strict in what the
//! length of the content hangs on. What came before a fault is handed on.

use std::io::Write;

/// The most digits of a size.
const MOST_DIGITS: u32 = 16;
/// The largest size that curl knows.
const LARGEST: u64 = i64::MAX as u64;
/// The longest line of a size, and all trailers together, in bytes.
const LONGEST: usize = 100 * 1024;

#[derive(Clone, Debug, Default)]
pub(super) struct Chunks {
    state: State,
    /// Bytes of the line under way, or of the trailers.
    line: usize,
    fault: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Size {
        digits: u32,
        size: u64,
    },
    /// Between the size and what may follow it.
    Blank {
        size: u64,
    },
    Extension {
        size: u64,
    },
    Data {
        left: u64,
    },
    DataEnd,
    Trailers {
        /// Nothing but CRs has come of this line.
        empty: bool,
    },
    Ended,
}

impl Default for State {
    fn default() -> Self {
        Self::Size { digits: 0, size: 0 }
    }
}

impl Chunks {
    /// Takes bytes from the beginning of `input` and appends what they mean to `out`, as chunks of its own. Says how
    /// many it has taken: all, up to the end of the content or to a fault.
    pub(super) fn take(&mut self, input: &[u8], out: &mut Vec<u8>) -> usize {
        let mut taken = 0;
        while taken < input.len() && self.fault.is_none() && self.state != State::Ended {
            if let State::Data { left } = self.state {
                let rest = &input[taken..];
                let length = usize::try_from(left).map_or(rest.len(), |left| left.min(rest.len()));
                put(&rest[..length], out);
                taken += length;
                let left = left - length as u64;
                self.state = if left == 0 { State::DataEnd } else { State::Data { left } };
            } else {
                self.take_byte(input[taken], out);
                taken += 1;
            }
        }
        taken
    }

    /// Why the rest cannot be read.
    pub(super) fn fault(&self) -> Option<&'static str> {
        self.fault
    }

    /// Whether the end of the content was there.
    pub(super) fn has_ended(&self) -> bool {
        self.state == State::Ended
    }

    fn take_byte(&mut self, byte: u8, out: &mut Vec<u8>) {
        self.line += 1;
        if self.line > LONGEST {
            self.fault = Some("a line is too long");
            return;
        }
        let next = match self.state {
            State::Size { digits, size } => match char::from(byte).to_digit(16) {
                Some(_) if digits == MOST_DIGITS || size > LARGEST >> 4 => Err("a chunk size is too long"),
                Some(digit) => Ok(State::Size { digits: digits + 1, size: size << 4 | u64::from(digit) }),
                None if digits == 0 && matches!(byte, b' ' | b'\t') => Ok(self.state),
                None if digits == 0 => Err("a chunk size is no number"),
                None => behind_size(byte, size),
            },
            // Whatever stands there is taken for an extension, as by curl.
            State::Blank { size } => behind_size(byte, size).or(Ok(State::Extension { size })),
            State::Extension { size } if byte == b'\n' => Ok(begin(size)),
            State::DataEnd => match byte {
                b'\n' => Ok(State::default()),
                b'\r' => Ok(State::DataEnd),
                _ => Err("a chunk is longer than its size"),
            },
            State::Trailers { empty: true } if byte == b'\n' => {
                out.extend_from_slice(b"0\r\n\r\n");
                Ok(State::Ended)
            }
            State::Trailers { empty } => {
                Ok(State::Trailers { empty: byte == b'\n' || empty && byte == b'\r' })
            }
            State::Extension { .. } | State::Data { .. } | State::Ended => Ok(self.state),
        };
        match next {
            Ok(state) => {
                if byte == b'\n' && !matches!(self.state, State::Trailers { .. }) {
                    self.line = 0;
                }
                self.state = state;
            }
            Err(fault) => self.fault = Some(fault),
        }
    }
}

/// The state after a byte behind a size.
fn behind_size(byte: u8, size: u64) -> Result<State, &'static str> {
    match byte {
        b'\n' => Ok(begin(size)),
        b' ' | b'\t' | b'\r' => Ok(State::Blank { size }),
        b';' => Ok(State::Extension { size }),
        _ => Err("a chunk size is no number"),
    }
}

/// What follows the line of a size.
fn begin(size: u64) -> State {
    if size == 0 { State::Trailers { empty: true } } else { State::Data { left: size } }
}

/// A chunk of these bytes.
fn put(bytes: &[u8], out: &mut Vec<u8>) {
    let _ = write!(out, "{:x}\r\n", bytes.len()); // a Vec takes anything
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The content in `out`, which must be in the form of [`put`], and whether its end is there.
    fn content(mut out: &[u8]) -> (Vec<u8>, bool) {
        let mut content = Vec::new();
        while !out.is_empty() {
            let line = out.iter().position(|byte| *byte == b'\r').unwrap();
            let size = usize::from_str_radix(std::str::from_utf8(&out[..line]).unwrap(), 16).unwrap();
            content.extend_from_slice(&out[line + 2..line + 2 + size]);
            out = &out[line + 2 + size..];
            assert_eq!(&out[..2], b"\r\n");
            out = &out[2..];
            if size == 0 {
                assert!(out.is_empty());
                return (content, true);
            }
        }
        (content, false)
    }

    /// The content, whether it ended, the fault, and how much was taken, with the input in pieces of a size.
    fn read(input: &[u8], piece: usize) -> (String, bool, Option<&'static str>, usize) {
        let (mut chunks, mut out, mut taken) = (Chunks::default(), Vec::new(), 0);
        for bytes in input.chunks(piece) {
            let more = chunks.take(bytes, &mut out);
            taken += more;
            if more < bytes.len() {
                break;
            }
        }
        let (content, ended) = content(&out);
        assert_eq!(ended, chunks.has_ended());
        (String::from_utf8(content).unwrap(), ended, chunks.fault(), taken)
    }

    #[test]
    fn every_form_in_pieces_of_every_size() {
        let (no_number, too_long) = ("a chunk size is no number", "a chunk is longer than its size");
        for (input, expected, ended, fault) in [
            ("4\r\nbody\r\n0\r\n\r\n", "body", true, None),
            ("1\r\nb\r\n3\r\nody\r\n0\r\n\r\n", "body", true, None),
            ("4\nbody\n0\n\n", "body", true, None),
            ("0004\r\nbody\r\n000\r\n\r\n", "body", true, None),
            ("A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", "01234567890123456789", true, None),
            ("4 \t\r\nbody\r\n0 \r\n\r\n", "body", true, None),
            (" 4\r\nbody\r\n0\r\n\r\n", "body", true, None),
            ("4;name=value of more than twenty bytes\r\nbody\r\n0;x\r\n\r\n", "body", true, None),
            ("4 ; \"\r\"\r\nbody\r\n0\r\n\r\n", "body", true, None),
            ("4\r\nbody\r\r\n0\r\n\r\n", "body", true, None),
            ("4\r\nbody\r\n0\r\nA: b\r\nno colon\r\n\r\n", "body", true, None),
            ("0\r\n\r\n", "", true, None),
            ("4\r\nbo", "bo", false, None),
            ("4\r\nbody\r\n", "body", false, None),
            ("4\r\nbody\r\n0\r\n", "body", false, None),
            ("4\r\nbody\r\nnonsense", "body", false, Some(no_number)),
            ("4\r\nbody\r\n\r\n", "body", false, Some(no_number)),
            ("4\r\nbody!\r\n", "body", false, Some(too_long)),
            ("4\r\nbody0\r\n", "body", false, Some(too_long)),
            ("0x4\r\nbody\r\n", "", false, Some(no_number)),
            ("-4\r\nbody\r\n", "", false, Some(no_number)),
            ("4 4\r\nbody\r\n0\r\n\r\n", "body", true, None),
            ("4\rx\nbody\r\n0\r\n\r\n", "body", true, None),
            ("4x\r\nbody\r\n", "", false, Some(no_number)),
            ("4,\r\nbody\r\n", "", false, Some(no_number)),
            ("00000000000000004\r\nbody\r\n", "", false, Some("a chunk size is too long")),
            ("7fffffffffffffff\r\nbody", "body", false, None),
            ("8000000000000000\r\nbody", "", false, Some("a chunk size is too long")),
        ] {
            for piece in 1..=input.len() {
                let (content, has_ended, found, taken) = read(input.as_bytes(), piece);
                assert_eq!(
                    (content.as_str(), has_ended, found),
                    (expected, ended, fault),
                    "{input:?} {piece}"
                );
                assert!(taken == input.len() || fault.is_some(), "{input:?} {piece}");
            }
        }
    }

    #[test]
    fn nothing_behind_the_end_is_taken() {
        let mut out = Vec::new();
        assert_eq!(Chunks::default().take(b"1\r\nx\r\n0\r\n\r\nHTTP/1.1", &mut out), 11);
    }

    #[test]
    fn lines_have_an_end() {
        for beginning in ["4;", "4 ", "0\r\nX: ", "0\r\n"] {
            let (mut chunks, mut out) = (Chunks::default(), Vec::new());
            let filler =
                if beginning.ends_with('\n') { "x\r\n".repeat(LONGEST) } else { " ".repeat(LONGEST + 1) };
            chunks.take(beginning.as_bytes(), &mut out);
            chunks.take(filler.as_bytes(), &mut out);
            assert_eq!(chunks.fault(), Some("a line is too long"), "{beginning:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces(input in "[0-9a-f;\r\n x]{0,80}", piece in 1_usize..20) {
            prop_assert_eq!(read(input.as_bytes(), piece), read(input.as_bytes(), input.len().max(1)));
        }
    }
}
