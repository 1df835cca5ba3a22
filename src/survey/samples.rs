//! Whether all mirrors send the same bytes of a file, and who does not.

use std::collections::BTreeMap;

/// The length of a block of the tested file, in bytes.
pub(crate) const BLOCK: usize = 16 * 1024;

/// The beginning of the digest of a block.
pub(crate) type BlockDigest = [u8; 16];

/// What the comparison says of one mirror's blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// What the others send, as far as anybody can tell.
    AsOthers,
    /// Other bytes than most.
    Wrong,
    /// Other bytes than others, and as many say this as that.
    Disputed,
}

/// Judges each mirror by its blocks, the first of the file first. Who sent none is not judged.
pub(crate) fn compare(mirrors: &[&[BlockDigest]]) -> Vec<Sent> {
    let mut sent = vec![Sent::AsOthers; mirrors.len()];
    let blocks = mirrors.iter().map(|blocks| blocks.len()).max().unwrap_or(0);
    for block in 0..blocks {
        let mut votes: BTreeMap<BlockDigest, usize> = BTreeMap::new();
        for digest in mirrors.iter().filter_map(|blocks| blocks.get(block)) {
            *votes.entry(*digest).or_default() += 1;
        }
        if votes.len() < 2 {
            continue;
        }
        let most = votes.values().copied().max().unwrap_or(0);
        let is_decided = votes.values().filter(|count| **count == most).count() == 1;
        for (sent, blocks) in sent.iter_mut().zip(mirrors) {
            let Some(count) = blocks.get(block).and_then(|digest| votes.get(digest)) else { continue };
            match (is_decided, *count == most) {
                (true, false) => *sent = Sent::Wrong,
                (false, _) if *sent == Sent::AsOthers => *sent = Sent::Disputed,
                (true, true) | (false, _) => {}
            }
        }
    }
    sent
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(mirrors: &[&[u8]]) -> Vec<Sent> {
        let mirrors: Vec<Vec<BlockDigest>> =
            mirrors.iter().map(|blocks| blocks.iter().map(|byte| [*byte; 16]).collect()).collect();
        compare(&mirrors.iter().map(Vec::as_slice).collect::<Vec<_>>())
    }

    #[test]
    fn the_odd_one_out() {
        use Sent::{AsOthers, Disputed, Wrong};
        assert_eq!(judged(&[b"abc", b"abc", b"ab"]), [AsOthers; 3]);
        assert_eq!(judged(&[b"abc", b"aXc", b"abc"]), [AsOthers, Wrong, AsOthers]);
        assert_eq!(judged(&[b"abc", b"aXc"]), [Disputed, Disputed]);
        assert_eq!(judged(&[b"abc", b"", b"X"]), [Disputed, AsOthers, Disputed]);
        assert_eq!(judged(&[b"abX", b"abc", b"a", b"abc"]), [Wrong, AsOthers, AsOthers, AsOthers]);
        assert_eq!(judged(&[b"aX", b"aY", b"ac", b"ac"]), [Wrong, Wrong, AsOthers, AsOthers]);
        // Wrong stays wrong, whatever else is disputed.
        assert_eq!(judged(&[b"X", b"ab", b"aY"]), [Wrong, Disputed, Disputed]);
        assert_eq!(judged(&[]), []);
    }
}
