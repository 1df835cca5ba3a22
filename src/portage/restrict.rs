//! RESTRICT, as far as it says where distfiles may be fetched from (ebuild(5), "RESTRICT").

/// What an ebuild restricts for all of its distfiles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restrict {
    /// People fetch these files themselves: only `mirror://` groups, URIs with a prefix, and the mirrors of
    /// the group `local` are asked.
    pub fetch: bool,
    /// The mirrors of `GENTOO_MIRRORS` are not asked.
    pub mirror: bool,
    /// `SRC_URI` comes before the mirrors.
    pub primaryuri: bool,
}

impl Restrict {
    /// From the words of `PORTAGE_RESTRICT`, or from RESTRICT as the metadata have it. There words may stand
    /// in USE conditionals; without the flags each of them is taken to count, so that nobody is asked who
    /// should not be.
    pub fn from_words<'w>(words: impl IntoIterator<Item = &'w str>) -> Self {
        let mut restrict = Self::default();
        for word in words {
            match word {
                "fetch" => restrict.fetch = true,
                "mirror" | "nomirror" => restrict.mirror = true,
                "primaryuri" => restrict.primaryuri = true,
                _ => {}
            }
        }
        restrict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_conditionals() {
        let of = |text: &str| Restrict::from_words(text.split_whitespace());
        assert_eq!(of("test strip"), Restrict::default());
        assert_eq!(of("!bindist? ( fetch ) test"), Restrict { fetch: true, ..Restrict::default() });
        let both = Restrict { mirror: true, primaryuri: true, fetch: false };
        assert_eq!(of("nomirror primaryuri"), both);
        assert_eq!(of("primaryuri mirror"), both);
    }
}
