//! `SRC_URI`: where upstream keeps the distfiles of a package (PMS, "`SRC_URI`"; Portage's `use_reduce`,
//! `_parse_uri_map` and the first part of its `fetch`).
//!
//! USE flags are not asked for: A says which distfiles are wanted, and a name has the URIs of all branches
//! that yield it. They all have to lead to the content that the Manifest describes.

use std::collections::{BTreeMap, BTreeSet};

use super::distfile::{Distfile, DistfileError};
use super::eapi::Eapi;
use super::mirror_groups::MirrorGroups;
use super::restrict::Restrict;

/// The distfiles of `SRC_URI`, and the URIs of each in the order in which they are written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SrcUri(BTreeMap<Distfile, Vec<Source>>);

/// What is wrong with a `SRC_URI`. Portage would not fetch anything.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SrcUriError {
    #[error("SRC_URI: a group is opened and not closed")]
    Unclosed,
    #[error("SRC_URI: `)` closes nothing")]
    Unopened,
    #[error("SRC_URI: `( )` is empty")]
    EmptyGroup,
    #[error("SRC_URI: `||` is not allowed")]
    AnyOf,
    #[error("SRC_URI: {0:?} is not a USE flag and `?`")]
    Flag(String),
    #[error("SRC_URI: {0:?} is not followed by a group")]
    NoGroup(String),
    #[error("SRC_URI: `->` does not follow a URI")]
    StrayArrow,
    #[error("SRC_URI: `->` is not allowed below EAPI 2")]
    ArrowEapi,
    #[error("SRC_URI: `->` is not followed by a file name")]
    NoName,
    #[error("SRC_URI: {0:?} has a prefix, which is not allowed below EAPI 8")]
    PrefixEapi(String),
    #[error("SRC_URI: {uri:?}: {reason}")]
    Name { uri: String, reason: DistfileError },
}

/// Where one distfile can be had, in the order in which Portage asks. Each URI is there once.
///
/// Before all of these Portage asks the mirrors of the group [`super::mirror_groups::LOCAL`], whatever
/// RESTRICT says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// With RESTRICT=primaryuri; without it there are none.
    pub before_mirrors: Vec<Place>,
    /// Whether `GENTOO_MIRRORS` may be asked.
    pub mirrors: bool,
    pub after_mirrors: Vec<Place>,
}

/// A URI as Portage would ask for it: of any scheme, or a path when the mirror of a group is one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub uri: String,
    pub kind: PlaceKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PlaceKind {
    /// Written in `SRC_URI` itself.
    Upstream,
    /// `mirror://GROUP/PATH` at a mirror that the user set for the group.
    CustomMirror,
    /// `mirror://GROUP/PATH` at one that a repository names. Those of one group are as good as each other:
    /// Portage shuffles them.
    ThirdPartyMirror,
}

/// What `mirror://GROUP` may stand for.
#[derive(Clone, Copy, Debug)]
pub struct Groups<'g> {
    /// `/etc/portage/mirrors`.
    pub custom: &'g MirrorGroups,
    /// `profiles/thirdpartymirrors` of the repositories.
    pub third_party: &'g MirrorGroups,
}

impl SrcUri {
    pub fn parse(text: &str, eapi: Eapi) -> Result<Self, SrcUriError> {
        let mut files = Self::default();
        let mut open: usize = 0;
        let mut seen = BTreeSet::new();
        let mut tokens = text.split_whitespace().peekable();
        while let Some(token) = tokens.next() {
            match token {
                "(" if tokens.peek() == Some(&")") => return Err(SrcUriError::EmptyGroup),
                "(" => open += 1,
                ")" => open = open.checked_sub(1).ok_or(SrcUriError::Unopened)?,
                "||" => return Err(SrcUriError::AnyOf),
                "->" => return Err(SrcUriError::StrayArrow),
                _ if token.ends_with('?') => {
                    check_conditional(token)?;
                    if tokens.peek() != Some(&"(") {
                        return Err(SrcUriError::NoGroup(token.to_owned()));
                    }
                }
                uri => {
                    let has_arrow = tokens.next_if_eq(&"->").is_some();
                    let name = if has_arrow { renamed(tokens.next(), eapi)? } else { last_component(uri) };
                    // A URI counts where it stands first.
                    if seen.insert((name, uri)) {
                        files.insert(uri, name, eapi)?;
                    }
                }
            }
        }
        if open > 0 { Err(SrcUriError::Unclosed) } else { Ok(files) }
    }

    /// The names of all files.
    pub fn names(&self) -> impl Iterator<Item = &Distfile> {
        self.0.keys()
    }

    /// Where the distfile can be had; none when `SRC_URI` does not yield it.
    pub fn places(&self, name: &Distfile, restrict: Restrict, groups: Groups<'_>) -> Option<Places> {
        let sources = self.0.get(name)?;
        let mut upstream = Vec::new();
        let mut in_groups = Vec::new();
        for source in sources {
            if let Some(rest) = source.uri.strip_prefix("mirror://") {
                in_groups.extend(rest.split_once('/').into_iter().flat_map(|(group, path)| {
                    let custom = expand(groups.custom, group, path, PlaceKind::CustomMirror);
                    custom.chain(expand(groups.third_party, group, path, PlaceKind::ThirdPartyMirror))
                }));
            } else if !restrict.fetch || source.prefix.is_some() {
                upstream.push(Place { uri: source.uri.clone(), kind: PlaceKind::Upstream });
            }
        }
        upstream.reverse(); // what is written last is asked first

        // The first URI decides for the file (`file_restrict_mirror`).
        let unrestricted = sources.first().is_some_and(|source| source.prefix == Some(Prefix::Mirror));
        let mirrors = unrestricted || !(restrict.fetch || restrict.mirror);
        let (before, after) = if restrict.primaryuri {
            let (custom, third_party): (Vec<_>, Vec<_>) =
                in_groups.into_iter().partition(|place| place.kind == PlaceKind::CustomMirror);
            upstream.extend(third_party);
            (upstream, custom)
        } else {
            in_groups.extend(upstream);
            (Vec::new(), in_groups)
        };
        let mut seen = BTreeSet::new();
        let mut once = |mut places: Vec<Place>| {
            places.retain(|place| seen.insert(place.uri.clone()));
            places
        };
        Some(Places { before_mirrors: once(before), mirrors, after_mirrors: once(after) })
    }

    /// The distfiles that come from a URI, as Portage asks for it: a member of a group may stand for the group.
    pub fn find<'f>(&'f self, uri: &'f str) -> impl Iterator<Item = &'f Distfile> {
        let leads_to = move |source: &Source| match source
            .uri
            .strip_prefix("mirror://")
            .map(|rest| rest.split_once('/'))
        {
            Some(Some((_, path))) => uri.strip_suffix(path).is_some_and(|base| base.ends_with('/')),
            Some(None) => false,
            None => source.uri == uri,
        };
        self.0.iter().filter(move |(_, sources)| sources.iter().any(leads_to)).map(|(name, _)| name)
    }

    fn insert(&mut self, token: &str, name: &str, eapi: Eapi) -> Result<(), SrcUriError> {
        let (prefix, uri) = match (token.strip_prefix("mirror+"), token.strip_prefix("fetch+")) {
            (Some(uri), _) => (Some(Prefix::Mirror), uri),
            (_, Some(uri)) => (Some(Prefix::Fetch), uri),
            (None, None) => (None, token),
        };
        if prefix.is_some() && !eapi.has_selective_restrictions() {
            return Err(SrcUriError::PrefixEapi(token.to_owned()));
        }
        let name =
            Distfile::new(name).map_err(|reason| SrcUriError::Name { uri: token.to_owned(), reason })?;
        let sources = self.0.entry(name).or_default();
        // The name of a file that can only be had from mirrors may stand for itself.
        if has_scheme(token) {
            sources.push(Source { uri: uri.to_owned(), prefix });
        }
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Source {
    /// Without the prefix.
    uri: String,
    prefix: Option<Prefix>,
}

/// What a URI is exempt from (PMS, "Selective URI restrictions").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Prefix {
    /// From RESTRICT=fetch.
    Fetch,
    /// From RESTRICT=fetch and RESTRICT=mirror.
    Mirror,
}

/// `FLAG?` or `!FLAG?`, with a flag of PMS ("USE flag names").
fn check_conditional(token: &str) -> Result<(), SrcUriError> {
    let flag = token.strip_prefix('!').unwrap_or(token).trim_end_matches('?');
    let begins = flag.starts_with(|first: char| first.is_ascii_alphanumeric());
    let has_one_mark = !token.ends_with("??");
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"+_@-".contains(&byte);
    if begins && has_one_mark && flag.bytes().all(allowed) {
        return Ok(());
    }
    Err(SrcUriError::Flag(token.to_owned()))
}

/// The name behind an arrow.
fn renamed(token: Option<&str>, eapi: Eapi) -> Result<&str, SrcUriError> {
    if !eapi.has_arrows() {
        return Err(SrcUriError::ArrowEapi);
    }
    token
        .filter(|token| !matches!(*token, "(" | ")" | "||" | "->") && !token.ends_with('?'))
        .ok_or(SrcUriError::NoName)
}

/// Portage takes the name as it is written, the query with it, and decodes nothing.
fn last_component(uri: &str) -> &str {
    uri.rsplit('/').next().unwrap_or_default()
}

/// RFC 3986, "Scheme".
fn has_scheme(uri: &str) -> bool {
    let Some((scheme, _)) = uri.split_once(':') else { return false };
    scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

/// The same path at each mirror of a group; nothing when there is no such group.
fn expand<'a>(
    groups: &'a MirrorGroups,
    group: &str,
    path: &'a str,
    kind: PlaceKind,
) -> impl Iterator<Item = Place> + use<'a> {
    let uri = move |mirror: &String| format!("{}/{path}", mirror.trim_end_matches('/'));
    groups.mirrors(group).iter().map(move |mirror| Place { uri: uri(mirror), kind })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<SrcUri, SrcUriError> {
        SrcUri::parse(text, Eapi::new("8"))
    }

    /// The URIs before the mirrors, `MIRRORS` when they may be asked, and those after them.
    fn order(text: &str, name: &str, restrict: &str) -> Vec<String> {
        let mut custom = MirrorGroups::default();
        custom.read("gnu http://own/ /mnt/gnu");
        let mut third_party = MirrorGroups::default();
        third_party.read("gnu http://g1 http://g2/\nkde http://k");
        let groups = Groups { custom: &custom, third_party: &third_party };
        let restrict = Restrict::from_words(restrict.split_whitespace());
        let name = Distfile::new(name).unwrap();
        let Some(places) = parse(text).unwrap().places(&name, restrict, groups) else { return Vec::new() };
        let uris = |places: Vec<Place>| places.into_iter().map(|place| place.uri);
        uris(places.before_mirrors)
            .chain(places.mirrors.then(|| "MIRRORS".to_owned()))
            .chain(uris(places.after_mirrors))
            .collect()
    }

    #[test]
    fn all_branches_count() {
        let text = "a? ( http://a/x b? ( ( http://b/y ) ) ) !a? ( http://c/z -> x\n\thttp://a/x )";
        assert_eq!(order(text, "x", ""), ["MIRRORS", "http://c/z", "http://a/x"]);
        assert_eq!(order(text, "y", ""), ["MIRRORS", "http://b/y"]);
        assert_eq!(order(text, "z", ""), [""; 0]);
    }

    #[test]
    fn what_is_written_last_is_asked_first_and_groups_before() {
        let text = "http://a/x http://b/x mirror://kde/d/x mirror://gnu/x mirror://none/x mirror://kde";
        let in_groups = ["http://k/d/x", "http://own/x", "/mnt/gnu/x", "http://g1/x", "http://g2/x"];
        let mut expected = vec!["MIRRORS"];
        expected.extend(in_groups);
        expected.extend(["http://b/x", "http://a/x"]);
        assert_eq!(order(text, "x", ""), expected);
        let first = ["http://b/x", "http://a/x", "http://k/d/x", "http://g1/x", "http://g2/x"];
        let mut expected = first.to_vec();
        expected.extend(["MIRRORS", "http://own/x", "/mnt/gnu/x"]);
        assert_eq!(order(text, "x", "primaryuri"), expected);
        assert_eq!(order(text, "kde", ""), ["MIRRORS"], "no path, no place");
        let twice = "http://a/x http://b/x http://a/x";
        assert_eq!(order(twice, "x", ""), ["MIRRORS", "http://b/x", "http://a/x"], "the first time counts");
    }

    #[test]
    fn restrictions_and_prefixes() {
        let plain = "http://a/x mirror://kde/x";
        for (text, restrict, expected) in [
            (plain, "mirror", &["http://k/x", "http://a/x"] as &[_]),
            (plain, "fetch", &["http://k/x"]),
            (plain, "fetch primaryuri", &["http://k/x"]),
            ("fetch+http://a/x", "fetch", &["http://a/x"]),
            ("fetch+http://a/x", "mirror", &["http://a/x"]),
            ("mirror+http://a/x http://b/x", "fetch", &["MIRRORS", "http://a/x"]),
            ("mirror+http://a/x", "mirror", &["MIRRORS", "http://a/x"]),
            ("http://b/x mirror+http://a/x", "mirror", &["http://a/x", "http://b/x"]),
            ("mirror+mirror://kde/x", "fetch", &["MIRRORS", "http://k/x"]),
            ("x", "", &["MIRRORS"]),
            ("x", "mirror", &[]),
            ("x ftp://a/x", "", &["MIRRORS", "ftp://a/x"]),
        ] {
            assert_eq!(order(text, "x", restrict), expected, "{text} {restrict}");
        }
    }

    #[test]
    fn names_are_taken_as_portage_takes_them() {
        for (text, name) in [
            ("https://a/get?file=/d/x-1.tar&y=z", "x-1.tar&y=z"),
            ("https://a/x%2B1", "x%2B1"),
            ("https://a/x -> y(1)", "y(1)"),
            ("fetch+x", "fetch+x"),
        ] {
            assert!(!order(text, name, "").is_empty(), "{text}");
        }
    }

    #[test]
    fn a_uri_leads_to_a_name() {
        let text = "http://a/v1.tar -> x-1.tar fetch+http://b/y mirror://gnu/d/z.tar -> z \
                    c? ( http://c/l -> l-1 ) !c? ( http://c/l -> l-2 ) http://c/l";
        let files = parse(text).unwrap();
        for (uri, names) in [
            ("http://a/v1.tar", &["x-1.tar"] as &[_]),
            ("http://b/y", &["y"]),
            ("http://g2/pub/d/z.tar", &["z"]),
            ("http://c/l", &["l", "l-1", "l-2"]),
            ("http://g2/pubd/z.tar", &[]),
            ("http://a/x-1.tar", &[]),
            ("mirror://gnu", &[]),
        ] {
            let mut found: Vec<&str> = files.find(uri).map(Distfile::as_str).collect();
            found.sort_unstable();
            assert_eq!(found, names, "{uri}");
        }
    }

    #[test]
    fn refuses_what_portage_refuses() {
        use SrcUriError::{AnyOf, EmptyGroup, Flag, NoGroup, NoName, StrayArrow, Unclosed, Unopened};
        for (text, error) in [
            ("( http://a/x", Unclosed),
            ("http://a/x )", Unopened),
            ("a? ( )", EmptyGroup),
            ("|| ( http://a/x )", AnyOf),
            ("|| ", AnyOf),
            ("a? http://a/x", NoGroup("a?".to_owned())),
            ("a? b? ( x )", NoGroup("a?".to_owned())),
            ("a?", NoGroup("a?".to_owned())),
            ("?", Flag("?".to_owned())),
            ("!? ( x )", Flag("!?".to_owned())),
            ("a?? ( x )", Flag("a??".to_owned())),
            ("http://a/x? ( y )", Flag("http://a/x?".to_owned())),
            ("-> x", StrayArrow),
            ("http://a/x -> y -> z", StrayArrow),
            ("http://a/x ->", NoName),
            ("http://a/x -> ( y )", NoName),
            ("http://a/x -> y? ( z )", NoName),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
        for text in ["http://a/", "http://a/x -> ../y", "http://a/..", "/"] {
            assert!(matches!(parse(text), Err(SrcUriError::Name { .. })), "{text}");
        }
    }

    #[test]
    fn older_ebuilds_may_say_less() {
        let of = |text: &str, eapi: &str| SrcUri::parse(text, Eapi::new(eapi));
        assert_eq!(of("http://a/x -> y", "1"), Err(SrcUriError::ArrowEapi));
        assert!(of("http://a/x -> y", "2").is_ok());
        for prefixed in ["fetch+http://a/x", "mirror+http://a/x"] {
            assert_eq!(of(prefixed, "7"), Err(SrcUriError::PrefixEapi(prefixed.to_owned())));
        }
    }

    #[test]
    fn depth_and_length_cost_no_stack() {
        let deep = format!("{}http://a/x {}", "( ".repeat(200_000), ") ".repeat(200_000));
        assert_eq!(order(&deep, "x", ""), ["MIRRORS", "http://a/x"]);
        assert_eq!(parse(&"a? ( ".repeat(100_000)), Err(SrcUriError::Unclosed));
    }

    const WORD: &str = "\\(|\\)|->|a\\?|!b\\?|\\|\\||mirror\\+|[a-z:/+?. ]{1,12}|\\PC{0,4}";

    proptest! {
        #[test]
        fn no_text_is_too_odd(
            words in prop::collection::vec(WORD, 0..20),
            restrict in "(fetch |mirror |primaryuri )*",
        ) {
            let text = words.join(" ");
            let groups = MirrorGroups::default();
            let groups = Groups { custom: &groups, third_party: &groups };
            let restrict = Restrict::from_words(restrict.split_whitespace());
            if let Ok(files) = parse(&text) {
                for (name, sources) in &files.0 {
                    let places = files.places(name, restrict, groups).unwrap();
                    let count = places.before_mirrors.len() + places.after_mirrors.len();
                    prop_assert!(count <= sources.len());
                    prop_assert!(restrict.primaryuri || places.before_mirrors.is_empty());
                }
            }
        }
    }
}
