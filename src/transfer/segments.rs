//! Sets of byte positions, kept as sorted ranges that neither touch nor overlap.

use crate::http::ByteRange;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Segments(Vec<ByteRange>);

impl Segments {
    pub fn new() -> Self {
        Self::default()
    }

    /// The set of one range.
    pub fn of(range: ByteRange) -> Self {
        let mut set = Self::new();
        set.insert(range);
        set
    }

    pub fn insert(&mut self, range: ByteRange) {
        if range.is_empty() {
            return;
        }
        let from = self.0.partition_point(|r| r.end < range.first);
        let to = self.0.partition_point(|r| r.first <= range.end);
        let merged = self.0[from..to]
            .iter()
            .fold(range, |all, r| ByteRange { first: all.first.min(r.first), end: all.end.max(r.end) });
        self.0.splice(from..to, [merged]);
    }

    pub fn remove(&mut self, range: ByteRange) {
        if range.is_empty() {
            return;
        }
        let from = self.0.partition_point(|r| r.end <= range.first);
        let to = self.0.partition_point(|r| r.first < range.end);
        let cut: Vec<ByteRange> = self.0[from..to]
            .iter()
            .flat_map(|r| {
                [(r.first, range.first.min(r.end)), (range.end.max(r.first), r.end)]
                    .map(|(first, end)| ByteRange { first, end })
            })
            .filter(|r| r.first < r.end)
            .collect();
        self.0.splice(from..to, cut);
    }

    /// What of `range` is not in the set.
    #[must_use]
    pub fn gaps(&self, range: ByteRange) -> Self {
        let mut gaps = Self::of(range);
        for held in self.iter() {
            gaps.remove(held);
        }
        gaps
    }

    /// What is in the set and in `range`.
    #[must_use]
    pub fn intersection(&self, range: ByteRange) -> Self {
        Self(self.0.iter().filter_map(|r| r.intersection(range)).collect())
    }

    /// What is in either set.
    #[must_use]
    pub fn union(mut self, other: &Self) -> Self {
        other.iter().for_each(|range| self.insert(range));
        self
    }

    /// The range that holds `position`.
    pub fn range_at(&self, position: u64) -> Option<ByteRange> {
        let at = self.0.partition_point(|r| r.end <= position);
        self.0.get(at).copied().filter(|r| r.contains(position))
    }

    pub fn first(&self) -> Option<ByteRange> {
        self.0.first().copied()
    }

    pub fn iter(&self) -> impl Iterator<Item = ByteRange> + '_ {
        self.0.iter().copied()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Number of positions.
    pub fn len(&self) -> u64 {
        self.iter().map(ByteRange::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn behaves_like_a_set_of_positions(
            steps in proptest::collection::vec((any::<bool>(), 0u64..40, 0u64..40), 0..30),
            (from, to) in (0u64..40, 0u64..40),
        ) {
            let mut set = Segments::new();
            let mut model = [false; 40];
            for (add, a, b) in steps {
                let range = ByteRange::new(a.min(b), a.max(b));
                if add { set.insert(range) } else { set.remove(range) }
                for position in range.first..range.end {
                    model[usize::try_from(position).unwrap()] = add;
                }
            }
            let window = ByteRange::new(from.min(to), from.max(to));
            let (gaps, common) = (set.gaps(window), set.intersection(window));
            for position in 0..40 {
                let held = model[usize::try_from(position).unwrap()];
                prop_assert_eq!(set.range_at(position).is_some(), held);
                prop_assert_eq!(gaps.range_at(position).is_some(), !held && window.contains(position));
                prop_assert_eq!(common.range_at(position).is_some(), held && window.contains(position));
            }
            prop_assert_eq!(set.len(), model.iter().filter(|held| **held).count() as u64);
            let ranges: Vec<ByteRange> = set.iter().collect();
            prop_assert!(ranges.windows(2).all(|pair| pair[0].end < pair[1].first));
        }
    }
}
