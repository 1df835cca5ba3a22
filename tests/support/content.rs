//! The bytes that mirrors serve.

use std::ops::Deref;
use std::sync::Arc;

/// `len` pseudo-random bytes, the same for the same `seed` at any time and anywhere.
///
/// A shorter content of one seed is a prefix of a longer one; two seeds differ from the first bytes on, so
/// a partial file made of another seed shows whether a transfer was resumed or started afresh.
pub fn content(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        bytes.extend_from_slice(&split_mix(&mut state).to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// Bytes to serve; cloning shares them, so many mirrors can hold one large file.
#[derive(Clone, Debug, Default)]
pub struct Content(Arc<Vec<u8>>);

impl Content {
    /// The same bytes with the one at `offset` changed.
    pub fn corrupted_at(&self, offset: usize) -> Self {
        let mut bytes = self.0.to_vec();
        bytes[offset] ^= 0x55;
        bytes.into()
    }

    /// A strong entity tag (RFC 9110, section 8.8.3) that follows from the bytes alone.
    pub fn etag(&self) -> String {
        // FNV-1a over a sample: enough to tell contents of a test apart, and quick for 60 MB.
        let step = (self.0.len() / 4096).max(1);
        let hash = self.0.iter().step_by(step).fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        format!("\"{:x}-{hash:016x}\"", self.0.len())
    }
}

impl Deref for Content {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Arc::new(bytes))
    }
}

impl From<&Vec<u8>> for Content {
    fn from(bytes: &Vec<u8>) -> Self {
        bytes.clone().into()
    }
}

impl From<&[u8]> for Content {
    fn from(bytes: &[u8]) -> Self {
        bytes.to_vec().into()
    }
}

impl From<&str> for Content {
    fn from(text: &str) -> Self {
        text.as_bytes().into()
    }
}

impl From<String> for Content {
    fn from(text: String) -> Self {
        text.into_bytes().into()
    }
}

impl From<&Content> for Content {
    fn from(content: &Content) -> Self {
        content.clone()
    }
}

/// `SplitMix64`: one 64-bit step, well mixed, no table.
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[test]
fn contents_of_one_seed_are_prefixes_and_of_two_seeds_differ_at_once() {
    assert_eq!(content(7, 100), content(7, 1001)[..100]);
    assert_ne!(content(7, 8), content(8, 8));
    assert_eq!(content(1, 0), b"");
}
