//! Mirrors, and the URIs of the distfiles on them: `MIRROR/distfiles/PATH`.

use std::cmp::Reverse;
use std::fmt;
use std::str::FromStr;

use super::local_network::is_local;
use super::uri::{self, HttpUri, UriError};
use crate::http::url::Scheme;

/// A mirror as `GENTOO_MIRRORS` names it, without `/distfiles`. Scheme and host are in lower case, the port
/// is absent when it is the scheme's default, and no slash ends it.
///
/// `Display` and `Debug` leave the userinfo out, so that what is shown and stored has no password.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MirrorBase {
    scheme: Scheme,
    userinfo: Option<String>,
    host: String,
    port: u16,
    path: String,
}

/// Why a word is not a mirror that can be fetched from. The texts in it are redacted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MirrorError {
    #[error("mirror {0}")]
    Uri(#[from] UriError),
    #[error("mirror {0} has a query or a fragment, behind which no path can stand")]
    Query(String),
}

impl MirrorBase {
    /// The mirror's host, an IPv6 address in its brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// True when the mirror is on the local network.
    pub fn is_local(&self) -> bool {
        is_local(&self.host)
    }

    /// The URI of `path` among the mirror's distfiles, percent-encoded as Portage does it. It carries the
    /// mirror's userinfo: use [`uri::redact`] to show it.
    pub fn uri(&self, path: &str) -> String {
        let userinfo = self.userinfo.as_ref().map_or_else(String::new, |userinfo| format!("{userinfo}@"));
        format!("{}://{userinfo}{}/distfiles/{}", self.scheme.name(), self.host_port_path(), uri::quote(path))
    }

    /// What follows `MIRROR/distfiles/` in a URI, still percent-encoded; `None` when the URI lies elsewhere.
    /// Whose name and password the URI carries makes no difference, nor do further slashes behind the mirror:
    /// Portage joins a mirror of the group `local` as it is written.
    fn strip<'u>(&self, uri: &HttpUri<'u>) -> Option<&'u str> {
        if (self.scheme, self.host.as_str(), self.port) != (uri.scheme, uri.host.as_str(), uri.port) {
            return None;
        }
        let below = uri::strip_prefix(uri.path, &self.path)?.trim_start_matches('/');
        let is_below =
            uri.path.len() > below.len() && uri.path[..uri.path.len() - below.len()].ends_with('/');
        uri::strip_prefix(below, "distfiles/").filter(|rest| is_below && !rest.is_empty())
    }

    /// Host, port and path, as a URI has them.
    fn host_port_path(&self) -> String {
        let (host, port, path) = (&self.host, self.port, &self.path);
        if port == self.scheme.default_port() {
            format!("{host}{path}")
        } else {
            format!("{host}:{port}{path}")
        }
    }
}

/// Finds the mirror on which a distfile's URI lies, the longest when several do, and what follows its
/// `/distfiles/`: a path by the mirror's layout, still percent-encoded, or `layout.conf`.
pub fn split<'m, 'u>(uri: &'u str, mirrors: &'m [MirrorBase]) -> Option<(&'m MirrorBase, &'u str)> {
    let uri = HttpUri::parse(uri).ok()?;
    let under = mirrors.iter().filter_map(|mirror| Some((mirror, mirror.strip(&uri)?)));
    under.min_by_key(|(mirror, _)| Reverse(mirror.path.len()))
}

/// The mirror on which a URI lies when what follows its `/distfiles/` is this path.
pub fn base_of(uri: &str, path: &str) -> Option<MirrorBase> {
    uri.strip_suffix(&uri::quote(path))?.strip_suffix("/distfiles/")?.parse().ok()
}

impl FromStr for MirrorBase {
    type Err = MirrorError;

    fn from_str(word: &str) -> Result<Self, MirrorError> {
        let HttpUri { scheme, userinfo, host, port, path, query } = HttpUri::parse(word)?;
        if !query.is_empty() {
            return Err(MirrorError::Query(uri::redact(word)));
        }
        let path = path.trim_end_matches('/').to_owned();
        Ok(Self { scheme, userinfo: userinfo.map(str::to_owned), host, port, path })
    }
}

impl fmt::Display for MirrorBase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.name(), self.host_port_path())
    }
}

impl fmt::Debug for MirrorBase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn mirror(word: &str) -> MirrorBase {
        word.parse().unwrap()
    }

    #[test]
    fn one_spelling_for_each_mirror() {
        for (word, shown) in [
            ("HTTP://Mirror.Example/Gentoo//", "http://mirror.example/Gentoo"),
            ("http://h:80/", "http://h"),
            ("https://h:443", "https://h"),
            ("http://h:443", "http://h:443"),
            ("https://h:8443/a", "https://h:8443/a"),
            ("http://[FD00::1]:8080/g", "http://[fd00::1]:8080/g"),
        ] {
            assert_eq!(mirror(word).to_string(), shown);
            assert_eq!(mirror(word), mirror(shown));
        }
        for word in
            ["/var/mirror", "rsync://h/gentoo", "ftp://h", "http://h/?x", "http://h/#x", "http://", ""]
        {
            assert!(word.parse::<MirrorBase>().is_err(), "{word}");
        }
    }

    #[test]
    fn passwords_reach_the_server_only() {
        let with_password = mirror("https://me:secret@h/g");
        assert_eq!(format!("{with_password} {with_password:?}"), "https://h/g https://h/g");
        assert_eq!(with_password.uri("ab/x"), "https://me:secret@h/g/distfiles/ab/x");
        let error = "https://me:secret@h/?q".parse::<MirrorBase>().unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
    }

    #[test]
    fn uris_are_quoted_as_portage_quotes_them() {
        assert_eq!(
            mirror("http://h/g").uri("ab/foo+1 é.tar"),
            "http://h/g/distfiles/ab/foo%2B1%20%C3%A9.tar"
        );
        assert_eq!(mirror("http://h").uri("layout.conf"), "http://h/distfiles/layout.conf");
    }

    #[test]
    fn finds_the_mirror_of_a_uri() {
        let mirrors = [
            mirror("http://a.example"),
            mirror("https://b.example/pub/gentoo"),
            mirror("http://a.example/distfiles/deeper"),
            mirror("https://me:pw@c.example:8443/my%20mirror"),
        ];
        for (uri, expected) in [
            ("http://a.example/distfiles/ab/x", Some((0, "ab/x"))),
            ("HTTP://A.Example:80/distfiles/ab/x%2By?q", Some((0, "ab/x%2By"))),
            ("http://a.example/distfiles/deeper/distfiles/x", Some((2, "x"))),
            ("http://a.example/distfiles/deeper/x", Some((0, "deeper/x"))),
            ("http://a.example/%64istfiles/x", Some((0, "x"))),
            ("http://a.example//distfiles/ab/x", Some((0, "ab/x"))),
            ("http://a.example///distfiles/layout.conf", Some((0, "layout.conf"))),
            ("https://b.example/pub/gentoo//distfiles/ab/x", Some((1, "ab/x"))),
            ("https://b.example/pub/gentoodistfiles/x", None),
            ("https://b.example/pub/gentoo/distfiles/layout.conf", Some((1, "layout.conf"))),
            ("https://c.example:8443/my%20mirror/distfiles/x", Some((3, "x"))),
            ("https://other:pw@c.example:8443/my%20mirror/distfiles/x", Some((3, "x"))),
            ("https://a.example/distfiles/x", None),
            ("http://a.example:8080/distfiles/x", None),
            ("http://a.example/distfiles/", None),
            ("http://a.example/distfiles", None),
            ("http://a.example/other/x", None),
            ("https://b.example/pub/gentoo-old/distfiles/x", None),
            ("https://b.example/pub/Gentoo/distfiles/x", None),
            ("not a uri", None),
        ] {
            let expected = expected.map(|(index, rest)| (&mirrors[index], rest));
            assert_eq!(split(uri, &mirrors), expected, "{uri}");
        }
    }

    #[test]
    fn a_path_tells_the_mirror() {
        let base = |uri: &str| base_of(uri, "ab/x+1").map(|base| base.to_string());
        assert_eq!(base("http://h/g/distfiles/ab/x%2B1").as_deref(), Some("http://h/g"));
        for uri in ["http://h/g/distfiles/x%2B1", "http://h/distfilesab/x%2B1", "ftp://h/distfiles/ab/x%2B1"]
        {
            assert_eq!(base(uri), None, "{uri}");
        }
    }

    proptest! {
        #[test]
        fn a_mirror_finds_its_own_uris(
            word in "https?://(me:pw@)?[a-z]{1,5}(:[1-9][0-9]{0,3})?(/[a-z%20]{0,5}){0,3}",
            path in "[^\0]{1,20}",
        ) {
            let base = mirror(&word);
            let uri = base.uri(&path);
            let mirrors = [base];
            let (found, rest) = split(&uri, &mirrors).unwrap();
            prop_assert_eq!(found, &mirrors[0]);
            prop_assert_eq!(uri::unquote(rest), path.as_bytes());
        }

        #[test]
        fn what_is_shown_is_a_mirror_again(word in "https?://[a-zA-Z.@:/0-9]{1,12}") {
            if let Ok(base) = word.parse::<MirrorBase>() {
                let shown = base.to_string();
                prop_assert_eq!(mirror(&shown).to_string(), shown);
            }
        }
    }
}
