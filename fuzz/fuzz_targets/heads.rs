//! The heads of answers.

#![no_main]

use libfuzzer_sys::fuzz_target;
use racefetch::http::{ContentRange, Failure};

#[path = "../../src/http/answer_head.rs"]
mod answer_head;

use answer_head::{AnswerHead, HeadReader};

/// How many bytes were taken, and what came of them.
type Read = Result<(usize, Option<AnswerHead>), Failure>;

fuzz_target!(|data: &[u8]| {
    let at_once = HeadReader::default().take(data);
    let mut pieces = usize::from(data.first().copied().unwrap_or(0)) % 9 + 2;
    for _ in 0..2 {
        let by_pieces = read(data, pieces);
        assert_eq!(by_pieces, at_once, "in pieces of {pieces} bytes");
        pieces = 1;
    }
    let Ok((taken, Some(head))) = at_once else { return };
    assert!(taken <= data.len() && head.raw == data[..taken]);
    assert!((100..1000).contains(&head.status));
    for (name, value) in &head.fields {
        assert!(!name.is_empty() && !name.contains(char::is_whitespace) && !value.contains(&0));
        assert!(!value.contains(&b'\n'));
        if let Ok(Ok(range)) = std::str::from_utf8(value).map(|value| ContentRange::read(value, Some(10))) {
            check(range);
        }
    }
});

fn read(data: &[u8], size: usize) -> Read {
    let mut reader = HeadReader::default();
    let mut taken = 0;
    for piece in data.chunks(size) {
        let (count, head) = reader.take(piece)?;
        taken += count;
        if head.is_some() {
            return Ok((taken, head));
        }
        assert_eq!(count, piece.len());
    }
    Ok((taken, None))
}

fn check(range: ContentRange) {
    if let ContentRange::Satisfied { first_pos, last_pos, complete_length } = range {
        assert!(first_pos <= last_pos && last_pos < u64::MAX);
        assert!(complete_length.is_none_or(|length| last_pos < length));
    }
}
