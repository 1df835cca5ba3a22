//! The file of what is known of the mirrors.

#![no_main]

use libfuzzer_sys::fuzz_target;
use racefetch::mirror::format::{Content, read, write, write_pretty};

fuzz_target!(|data: &[u8]| {
    let state = match read(data) {
        Content::State(state) | Content::Newer { state, .. } => state,
        Content::Broken(reason) => {
            assert!(!reason.contains(char::is_control), "{reason:?}");
            return;
        }
    };
    for text in [write(&state).unwrap(), write_pretty(&state).unwrap()] {
        assert_eq!(read(text.as_bytes()), Content::State(state.clone()));
    }
    let mut pruned = state;
    pruned.prune(1_800_000_000);
    let again = write(&pruned).unwrap();
    assert_eq!(read(again.as_bytes()), Content::State(pruned.clone()));
    let once = pruned.clone();
    pruned.prune(1_800_000_000);
    assert_eq!(pruned, once, "what is pruned stays as it is");
});
