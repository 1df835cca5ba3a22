//! An answer judged against the question, before a byte of its content is used.

use std::time::Duration;

use super::{ByteRange, ContentRange, Failure};

/// What was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Question {
    /// First byte wanted; 0 asks for the whole file.
    pub first: u64,
    /// One past the last byte wanted; none asks for everything from `first` on.
    pub end: Option<u64>,
    /// The size that the complete file must have, in bytes.
    pub size: Option<u64>,
    /// Whether an HTML page cannot be the answer (the file's digests are known, and it is no HTML file).
    pub refuse_html: bool,
    /// The content is taken for the whole file, or for more, whatever the answer says of it, but that it is too short or
    /// begins elsewhere: something else decides whether it is right.
    pub lenient: bool,
}

/// The head of an answer, as far as the judgement needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    pub status: u16,
    /// The `Content-Range` field; an unreadable one is `Some(None)`.
    pub content_range: Option<Option<ContentRange>>,
    pub content_length: Option<u64>,
    pub content_type: Option<String>,
    /// Seconds, or a date turned into seconds from now.
    pub retry_after: Option<Duration>,
    /// A strong validator for `If-Range`: the entity tag, else the `Last-Modified` date.
    pub validator: Option<String>,
    pub last_modified: Option<String>,
    /// Never asked for, but some servers cannot help it.
    pub content_encoding: Option<String>,
    /// The name that the server gives the file, without folders.
    pub file_name: Option<String>,
}

/// Which part of the file the content of a successful answer is, by what the answer says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    Whole,
    /// These bytes. Some servers say so with status 200 as well.
    Part {
        range: ByteRange,
        /// Size of the whole file, when it is known.
        complete_length: Option<u64>,
    },
    /// A part (206), and nothing says which one.
    Unplaced,
}

impl Head {
    /// Which part of the file the content is.
    pub fn extent(&self) -> Extent {
        let Some(Some(ContentRange::Satisfied { first_pos, last_pos, complete_length })) = self.content_range
        else {
            return if self.status == 206 { Extent::Unplaced } else { Extent::Whole };
        };
        let range = ByteRange::new(first_pos, last_pos + 1);
        let says_whole = range.first == 0 && Some(range.end) == complete_length;
        let is_whole = says_whole && self.content_length == complete_length;
        // RFC 9110, section 14.4: with another status than 206 the field means nothing. The length tells whether this
        // server means it.
        let means_it = self.status == 206 || self.content_length.is_none_or(|length| length == range.len());
        if is_whole || !means_it { Extent::Whole } else { Extent::Part { range, complete_length } }
    }
}

/// An answer that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judged {
    /// Position in the file of the content's first byte: the first byte asked for, or 0 where the server
    /// ignores ranges.
    pub first_pos: u64,
    /// Bytes of content that will come, when the server says so.
    pub length: Option<u64>,
    /// Size of the whole file, when the server says so.
    pub complete_length: Option<u64>,
}

/// Judges a final answer (not a redirect that will be followed).
pub fn judge(question: &Question, head: &Head) -> Result<Judged, Failure> {
    let judged = match head.status {
        206 if question.lenient && head.extent() == Extent::Unplaced => whole(head),
        206 => partial(question, head)?,
        200..=299 => whole(head),
        416 => {
            let complete_length = head.content_range.flatten().and_then(ContentRange::complete_length);
            return Err(match (question.size, complete_length) {
                (Some(expected), Some(got)) if expected != got => Failure::WrongSize { expected, got },
                _ => Failure::RangeNotSatisfiable { complete_length },
            });
        }
        code => return Err(Failure::Status { code, retry_after: head.retry_after }),
    };
    if question.refuse_html && is_html(head) && question.size != judged.complete_length {
        return Err(Failure::HtmlPage);
    }
    match (question.size, judged.complete_length) {
        (Some(expected), Some(got)) if question.lenient && got > expected => Ok(judged),
        (Some(expected), Some(got)) if expected != got => Err(Failure::WrongSize { expected, got }),
        _ => Ok(judged),
    }
}

fn partial(question: &Question, head: &Head) -> Result<Judged, Failure> {
    let Some(Some(ContentRange::Satisfied { first_pos, last_pos, complete_length })) = head.content_range
    else {
        return Err(Failure::RangeMismatch);
    };
    let length = last_pos - first_pos + 1;
    let too_far = question.end.is_some_and(|end| last_pos >= end);
    let contradicts = head.content_length.is_some_and(|content_length| content_length != length);
    if first_pos != question.first || too_far || contradicts {
        return Err(Failure::RangeMismatch);
    }
    Ok(Judged { first_pos, length: Some(length), complete_length })
}

fn whole(head: &Head) -> Judged {
    Judged { first_pos: 0, length: head.content_length, complete_length: head.content_length }
}

fn is_html(head: &Head) -> bool {
    let Some(content_type) = &head.content_type else { return false };
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("text/html") || essence.eq_ignore_ascii_case("application/xhtml+xml")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(first: u64, end: Option<u64>, size: Option<u64>) -> Question {
        Question { first, end, size, refuse_html: true, lenient: false }
    }

    fn range(value: &str, content_length: u64) -> Head {
        Head {
            status: 206,
            content_range: Some(value.parse().ok()),
            content_length: Some(content_length),
            ..Head::default()
        }
    }

    fn ok(content_length: Option<u64>, content_type: &str) -> Head {
        Head { status: 200, content_length, content_type: Some(content_type.to_owned()), ..Head::default() }
    }

    fn part(first: u64, end: u64, complete_length: Option<u64>) -> Extent {
        Extent::Part { range: ByteRange::new(first, end), complete_length }
    }

    #[test]
    fn table() {
        let tar = "application/x-tar";
        let unsatisfied = |total| Head {
            status: 416,
            content_range: Some(Some(ContentRange::Unsatisfied { complete_length: total })),
            ..Head::default()
        };
        let judged = |first_pos, length, complete_length| Ok(Judged { first_pos, length, complete_length });
        let wrong_size = |expected, got| Err(Failure::WrongSize { expected, got });
        for (story, question, head, want) in [
            ("whole", ask(0, None, Some(9)), ok(Some(9), tar), judged(0, Some(9), Some(9))),
            ("no length", ask(0, None, Some(9)), ok(None, tar), judged(0, None, None)),
            ("ignored", ask(4, None, Some(9)), ok(Some(9), tar), judged(0, Some(9), Some(9))),
            ("other size", ask(0, None, Some(9)), ok(Some(8), tar), wrong_size(9, 8)),
            ("part", ask(4, None, Some(9)), range("bytes 4-8/9", 5), judged(4, Some(5), Some(9))),
            ("shorter", ask(4, Some(8), None), range("bytes 4-5/9", 2), judged(4, Some(2), Some(9))),
            (
                "another spelling",
                ask(4, None, Some(9)),
                range("bytes=4-8/9;", 5),
                judged(4, Some(5), Some(9)),
            ),
            ("elsewhere", ask(4, None, None), range("bytes 3-8/9", 6), Err(Failure::RangeMismatch)),
            ("too far", ask(4, Some(6), None), range("bytes 4-8/9", 5), Err(Failure::RangeMismatch)),
            ("unreadable", ask(4, None, None), range("bytes x", 5), Err(Failure::RangeMismatch)),
            ("lies", ask(4, None, None), range("bytes 4-8/9", 6), Err(Failure::RangeMismatch)),
            ("total", ask(4, None, Some(9)), range("bytes 4-8/10", 5), wrong_size(9, 10)),
            ("portal", ask(0, None, None), ok(Some(700), "text/html; charset=x"), Err(Failure::HtmlPage)),
            ("an HTML file", ask(0, None, Some(7)), ok(Some(7), "text/html"), judged(0, Some(7), Some(7))),
            (
                "complete",
                ask(9, None, Some(9)),
                unsatisfied(9),
                Err(Failure::RangeNotSatisfiable { complete_length: Some(9) }),
            ),
            ("416, other", ask(9, None, Some(9)), unsatisfied(5), wrong_size(9, 5)),
        ] {
            assert_eq!(judge(&question, &head), want, "{story}");
        }
        let extents = [
            ("all of it", ok(Some(9), tar), Extent::Whole),
            ("a part", range("bytes 4-8/12", 5), part(4, 9, Some(12))),
            ("of unknown size", range("bytes 0-8/*", 9), part(0, 9, None)),
            ("all of it as a range", range("bytes 0-8/9", 9), Extent::Whole),
            ("200 with a slice", Head { status: 200, ..range("bytes 4-8/12", 5) }, part(4, 9, Some(12))),
            ("200 with all of it", Head { status: 200, ..range("bytes 4-8/12", 12) }, Extent::Whole),
            ("nobody knows", range("bytes x", 5), Extent::Unplaced),
        ];
        for (story, head, want) in extents {
            assert_eq!(head.extent(), want, "{story}");
        }
        let missing = Head { status: 404, ..Head::default() };
        assert!(judge(&ask(0, None, None), &missing).unwrap_err().is_not_found());
    }
}
