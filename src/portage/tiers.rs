//! Which mirrors are asked before all others: `PATTERN=N`, as in `RACEFETCH_TIERS` and `--tier`.
//!
//! Mirrors of a lower tier are asked first and alone; those of a higher one when the lower ones fail, lack the
//! file or crawl. The order within a list of mirrors means little: it only decides between equals.

use super::uri::{self, HttpUri};
use crate::http::url::Scheme;

/// The tier of mirrors on the local network, unless a pattern says otherwise.
pub const LOCAL_TIER: u8 = 0;
/// The tier of all other mirrors, unless a pattern says otherwise.
pub const USUAL_TIER: u8 = 1;
/// The highest tier.
pub const LAST_TIER: u8 = 99;

/// Patterns of mirrors and their tiers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tiers(Vec<(Pattern, u8)>);

/// Why a word is not `PATTERN=N`. No password is in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no tier: write HOST=N, .DOMAIN=N or URL=N, with N from 0 (asked first) to {LAST_TIER}")]
pub struct TierError(String);

impl Tiers {
    /// Adds one `PATTERN=N`. The pattern is a host (`mirror.example`, `mirror.example:8080`), a domain with a dot
    /// before it (`.example`: all hosts below it), or the beginning of a base URL (`https://mirror.example/gentoo`).
    pub fn add(&mut self, word: &str) -> Result<(), TierError> {
        // What stands before an @ may be a password, in whatever odd place.
        let error = || TierError(word.rsplit('@').next().unwrap_or_default().to_owned());
        let (pattern, number) = word.rsplit_once('=').ok_or_else(error)?;
        let digits = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        let tier = number.parse().ok().filter(|tier| digits && *tier <= LAST_TIER).ok_or_else(error)?;
        self.0.push((Pattern::parse(pattern).ok_or_else(error)?, tier));
        Ok(())
    }

    /// Adds all words of a list; those that make no sense are returned.
    pub fn add_list(&mut self, list: &str) -> Vec<TierError> {
        list.split_whitespace().filter_map(|word| self.add(word).err()).collect()
    }

    /// These, and `more` that go before them.
    #[must_use]
    pub fn overridden_by(mut self, more: &Self) -> Self {
        self.0.extend(more.0.iter().cloned());
        self
    }

    /// The tier of the mirror with that base URL: what the longest pattern that fits says, of equals the last.
    pub fn of(&self, base: &str, local: bool) -> u8 {
        let default = if local { LOCAL_TIER } else { USUAL_TIER };
        let Ok(base) = HttpUri::parse(base) else { return default };
        let fitting = self.0.iter().filter(|(pattern, _)| pattern.fits(&base));
        fitting.max_by_key(|(pattern, _)| pattern.rank()).map_or(default, |(_, tier)| *tier)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    /// `.example`, with the dot.
    Domain(String),
    Host(String, Option<u16>),
    Base {
        scheme: Scheme,
        host: String,
        port: u16,
        /// Without a slash at its end.
        path: String,
    },
}

impl Pattern {
    fn parse(text: &str) -> Option<Self> {
        if text.contains("://") {
            let HttpUri { scheme, host, port, path, query, .. } = HttpUri::parse(text).ok()?;
            let path = path.trim_end_matches('/').to_owned();
            return query.is_empty().then_some(Self::Base { scheme, host, port, path });
        }
        let (domain, host) = match text.strip_prefix('.') {
            Some(host) => (true, host),
            None => (false, text),
        };
        let with_scheme = format!("http://{host}");
        let uri = HttpUri::parse(&with_scheme).ok()?;
        if !uri.path.is_empty() || !uri.query.is_empty() || uri.userinfo.is_some() {
            return None;
        }
        let port = (host.len() > uri.host.len()).then_some(uri.port);
        match (domain, port) {
            (true, Some(_)) => None,
            (true, None) => Some(Self::Domain(format!(".{}", uri.host))),
            (false, port) => Some(Self::Host(uri.host, port)),
        }
    }

    fn fits(&self, base: &HttpUri<'_>) -> bool {
        match self {
            Self::Domain(domain) => base.host.ends_with(domain.as_str()),
            Self::Host(host, port) => base.host == *host && port.is_none_or(|port| port == base.port),
            Self::Base { scheme, host, port, path } => {
                let below = uri::strip_prefix(base.path, path);
                (*scheme, host.as_str(), *port) == (base.scheme, base.host.as_str(), base.port)
                    && below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
        }
    }

    /// Of two patterns that fit one mirror the one of higher rank says more.
    fn rank(&self) -> (u8, usize) {
        match self {
            Self::Domain(domain) => (0, domain.len()),
            Self::Host(_, port) => (1, usize::from(port.is_some())),
            Self::Base { path, .. } => (2, path.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_pattern_that_says_most_counts() {
        let mut tiers = Tiers::default();
        let list = ".example=4 near.example=0 near.example:8080=3 http://near.example/far=5 \
                    http://near.example/far/away/=6 [fd00::1]=2 nas.lan=7 Near.Org=8 twice.org=9 twice.org=10";
        assert_eq!(tiers.add_list(list), []);
        for (base, local, tier) in [
            ("http://near.example", false, 0),
            ("https://near.example/gentoo", false, 0),
            ("http://NEAR.example:8080/x", false, 3),
            ("http://near.example/far", false, 5),
            ("http://near.example/far/", false, 5),
            ("http://near.example/farther", false, 0),
            ("http://near.example/far/away", false, 6),
            ("https://near.example/far", false, 0),
            ("http://other.example", false, 4),
            ("http://example", false, USUAL_TIER),
            ("http://notexample", false, USUAL_TIER),
            ("http://[FD00::1]:80/gentoo", true, 2),
            ("http://nas.lan", true, 7),
            ("http://other.lan", true, LOCAL_TIER),
            ("http://near.org", false, 8),
            ("http://twice.org", false, 10),
            ("no url", false, USUAL_TIER),
        ] {
            assert_eq!(tiers.of(base, local), tier, "{base}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        for word in [
            "",
            "=",
            "a",
            "a=",
            "=1",
            "a=x",
            "a=-1",
            "a=+1",
            "a=100",
            "a=256",
            "a/b=1",
            "me:secret@a=1",
            ".=1",
            ".a:80=1",
            "http://=1",
            "http://a?q=1",
            "ftp://a=1",
            "a b=1",
        ] {
            let mut tiers = Tiers::default();
            let error = tiers.add(word).unwrap_err().to_string();
            assert!(!error.contains("secret") && error.lines().count() == 1, "{word}: {error}");
            assert_eq!(tiers, Tiers::default());
        }
        assert_eq!(Tiers::default().add_list("a=1 b c=2 d=").len(), 2);
    }

    #[test]
    fn the_command_line_goes_before_the_environment() {
        let of = |list: &str| {
            let mut tiers = Tiers::default();
            assert_eq!(tiers.add_list(list), []);
            tiers
        };
        let both = of("a.example=2 b.example=3").overridden_by(&of("a.example=4"));
        assert_eq!(["http://a.example", "http://b.example"].map(|base| both.of(base, false)), [4, 3]);
    }

    proptest! {
        #[test]
        fn any_word_is_a_tier_or_an_error(word in "\\PC{0,24}", base in "\\PC{0,24}") {
            let mut tiers = Tiers::default();
            if tiers.add(&word).is_ok() {
                prop_assert!(tiers.of(&base, false) <= LAST_TIER);
            }
        }
    }
}
