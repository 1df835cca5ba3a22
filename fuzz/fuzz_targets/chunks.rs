//! The chunked coding.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../src/http/chunks.rs"]
mod chunks;

use chunks::Chunks;

fuzz_target!(|data: &[u8]| {
    let at_once = read(data, data.len().max(1));
    assert_eq!(read(data, 1), at_once);
    assert_eq!(read(data, 7), at_once);
    assert!(at_once.0.len() <= data.len() && at_once.1 <= data.len());

    // What was written is read as the same, and to its end.
    let mut written = Vec::new();
    let mut chunks = Chunks::default();
    chunks.take(data, &mut written);
    let again = read(&written, written.len().max(1));
    assert_eq!((again.0, again.2, again.3), (at_once.0, None, at_once.3));
});

/// The content, how many bytes were taken, the fault, and whether the end was there.
fn read(data: &[u8], size: usize) -> (Vec<u8>, usize, Option<&'static str>, bool) {
    let mut chunks = Chunks::default();
    let mut out = Vec::new();
    let mut taken = 0;
    for piece in data.chunks(size) {
        let count = chunks.take(piece, &mut out);
        taken += count;
        if count < piece.len() {
            break;
        }
    }
    (content(&out), taken, chunks.fault(), chunks.has_ended())
}

/// The content of chunks as they are written here: `SIZE CR LF BYTES CR LF`.
fn content(mut out: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    while !out.is_empty() {
        let line = out.iter().position(|byte| *byte == b'\r').unwrap();
        let size = usize::from_str_radix(std::str::from_utf8(&out[..line]).unwrap(), 16).unwrap();
        content.extend_from_slice(&out[line + 2..line + 2 + size]);
        out = &out[line + 2 + size + 2..];
    }
    content
}
