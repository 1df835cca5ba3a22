//! The names under which figures are kept: one for a mirror, one for a file.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::portage::MirrorBase;

/// A mirror: its base URL, normalised, so that one mirror has one set of figures, and without
/// credentials, so that the state file can be shown to anybody.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String")]
pub struct MirrorKey(String);

/// A distfile as one Manifest means it: its name and the beginning of its digest, so that a note about
/// a file ends when the Manifest changes. In the state file: `NAME/DIGEST`, or `NAME` without a digest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FileKey(String);

/// Longest base URL that is told from others, in bytes.
const MIRROR_KEY_MAX: usize = 1024;
/// `NAME_MAX` of Linux, in bytes.
const FILE_NAME_MAX: usize = 255;
/// Hexadecimal digits of the digest that are kept: 64 bits tell versions of one file apart.
const DIGEST_PREFIX: usize = 16;

impl MirrorKey {
    /// The key of a mirror's base URL: scheme and host in lower case (RFC 3986, 6.2.2.1), without
    /// userinfo, the scheme's own port, query, fragment and closing slashes.
    pub fn new(base_url: &str) -> Self {
        let printable = printable(base_url.trim());
        let mut key = prefix(&printable, MIRROR_KEY_MAX).to_owned();
        // What is left of something odd may be odd again. It becomes shorter each time.
        loop {
            let normal = normalised(&key);
            if normal == key {
                return Self(key);
            }
            key = normal;
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the mirror is on the local network.
    pub fn is_local(&self) -> bool {
        self.0.parse::<MirrorBase>().is_ok_and(|mirror| mirror.is_local())
    }

    /// `host` or `host:port`.
    pub fn authority(&self) -> &str {
        let rest = self.0.split_once("://").map_or(self.as_str(), |(_, rest)| rest);
        rest.split('/').next().unwrap_or_default()
    }

    /// Without its port; an IPv6 address with its brackets.
    pub fn host(&self) -> &str {
        let authority = self.authority();
        let port = authority.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
        port.map_or(authority, |(host, _)| host)
    }

    /// Whether somebody means this mirror by a host, a host and a port, or a URL that it lies under.
    pub fn is_meant_by(&self, words: &str) -> bool {
        let words = Self::new(words);
        let below = |base: &str, url: &str| {
            url.strip_prefix(base).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let after_scheme = self.0.split_once("://").map_or(self.as_str(), |(_, rest)| rest);
        let is_below = below(&words.0, &self.0) || below(&words.0, after_scheme);
        !words.0.is_empty() && (is_below || self.host() == words.0)
    }
}

impl From<String> for MirrorKey {
    fn from(base_url: String) -> Self {
        Self::new(&base_url)
    }
}

impl fmt::Display for MirrorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FileKey {
    /// The key of a file and, when the Manifest has one, the hexadecimal digits of its digest. One
    /// caller must always pass the digest of the same algorithm.
    pub fn new(name: &str, digest: Option<&str>) -> Self {
        let Some(digest) = digest else { return Self(name.to_owned()) };
        Self(format!("{name}/{}", prefix(digest, DIGEST_PREFIX).to_ascii_lowercase()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a file of that name can exist at all.
    pub fn is_possible(&self) -> bool {
        self.0.len() <= FILE_NAME_MAX + 1 + DIGEST_PREFIX
    }
}

fn normalised(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host).to_ascii_lowercase();
    let scheme = scheme.rsplit('@').next().unwrap_or_default().to_ascii_lowercase();
    let host = default_port(&scheme).map_or(host.as_str(), |port| host.trim_end_matches(port));
    let separator = if scheme.is_empty() { "" } else { "://" };
    format!("{scheme}{separator}{host}{path}").trim_end_matches('/').to_owned()
}

/// The first `max` bytes of a text, less the character that does not fit in whole.
fn prefix(text: &str, max: usize) -> &str {
    let ends = text.char_indices().map(|(at, c)| at + c.len_utf8());
    &text[..ends.take_while(|end| *end <= max).last().unwrap_or(0)]
}

/// The port that may be left out, with its colon.
fn default_port(scheme: &str) -> Option<&'static str> {
    match scheme {
        "http" => Some(":80"),
        "https" => Some(":443"),
        "ftp" => Some(":21"),
        _ => None,
    }
}

/// Control characters and white space percent-encoded: a key is printed on terminals.
fn printable(url: &str) -> Cow<'_, str> {
    let harmful = |c: char| c.is_control() || c.is_whitespace();
    if !url.contains(harmful) {
        return Cow::Borrowed(url);
    }
    let mut encoded = String::with_capacity(url.len());
    for c in url.chars() {
        if harmful(c) {
            let mut utf8 = [0; 4];
            encoded.extend(c.encode_utf8(&mut utf8).bytes().map(|byte| format!("%{byte:02X}")));
        } else {
            encoded.push(c);
        }
    }
    Cow::Owned(encoded)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_mirror_has_one_key() {
        for (url, key) in [
            ("https://mirror.example/gentoo/", "https://mirror.example/gentoo"),
            ("HTTPS://Mirror.Example:443/Gentoo//", "https://mirror.example/Gentoo"),
            ("http://mirror.example:80", "http://mirror.example"),
            ("http://mirror.example:8080/", "http://mirror.example:8080"),
            ("https://mirror.example:80/", "https://mirror.example:80"),
            ("http://[::1]:80/", "http://[::1]"),
            ("http://mirror.example/gentoo?a=b#c", "http://mirror.example/gentoo"),
            ("  http://mirror.example ", "http://mirror.example"),
        ] {
            assert_eq!(MirrorKey::new(url).as_str(), key, "{url}");
        }
    }

    #[test]
    fn credentials_are_left_out() {
        for url in [
            "https://user:secret@mirror.example/",
            "https://secret@mirror.example",
            "https://u:p@secret@mirror.example",
            "user:secret@mirror.example/",
            "user:secret@https://mirror.example/",
            "https://mirror.example/?token=secret",
        ] {
            assert!(!MirrorKey::new(url).as_str().contains("secret"), "{url}");
        }
        assert_eq!(MirrorKey::new("http://mirror.example/a@b").as_str(), "http://mirror.example/a@b");
    }

    #[test]
    fn a_terminal_cannot_be_commanded() {
        let key = MirrorKey::new("http://mirror.example/\x1b[2J\u{9b}x y");
        assert_eq!(key.as_str(), "http://mirror.example/%1B[2J%C2%9Bx%20y");
    }

    #[test]
    fn a_mirror_is_meant_by_its_host_or_what_it_lies_under() {
        let key = MirrorKey::new("https://[fd00::1]:8080/gentoo");
        assert_eq!((key.host(), key.authority()), ("[fd00::1]", "[fd00::1]:8080"));
        for (words, is_meant) in [
            ("m.example", true),
            ("M.Example/", true),
            ("http://m.example", true),
            ("http://m.example:80/gentoo/", true),
            ("m.example/gentoo", true),
            ("http://m.example/gen", false),
            ("https://m.example", false),
            ("example", false),
            ("m.example:8080", false),
            ("", false),
        ] {
            assert_eq!(MirrorKey::new("http://m.example/gentoo").is_meant_by(words), is_meant, "{words:?}");
        }
    }

    #[test]
    fn a_changed_digest_is_another_file() {
        let old = FileKey::new("a-1.tar.xz", Some(&"AB".repeat(64)));
        assert_eq!(old.as_str(), "a-1.tar.xz/abababababababab");
        assert_eq!(old, FileKey::new("a-1.tar.xz", Some(&"ab".repeat(64))));
        assert_ne!(old, FileKey::new("a-1.tar.xz", Some(&"ac".repeat(64))));
        assert_ne!(old, FileKey::new("a-1.tar.xz", None));
    }

    #[test]
    fn a_name_longer_than_the_kernel_allows_is_no_file() {
        assert!(FileKey::new(&"n".repeat(255), Some(&"ab".repeat(64))).is_possible());
        assert!(!FileKey::new(&"n".repeat(300), None).is_possible());
    }

    #[test]
    fn a_key_has_a_greatest_length() {
        let key = MirrorKey::new(&format!("http://mirror.example/{}", "ö".repeat(5000)));
        assert!((1020..=1024).contains(&key.as_str().len()));
    }

    proptest! {
        /// The state file holds keys; reading them must not change them.
        #[test]
        fn a_key_is_its_own_key(url in "(https?://)?([a-zA-Z:@]{0,9})([ ?#@/a:]{0,3}|\\PC|://|:80|https?){0,20}(a{1100})?") {
            let key = MirrorKey::new(&url);
            prop_assert_eq!(MirrorKey::new(key.as_str()), key);
        }
    }
}
