//! What `emerge --pretend --fetchonly` prints: for each distfile the URIs at which Portage would ask, in that order.

use std::collections::HashSet;

use super::mirror_uri::{MirrorBase, split};
use super::src_uri::{Place, PlaceKind, Places};
use super::uri;

/// One distfile of the list, whose name is not said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListedFile {
    /// As they are printed, each once. Some may be of schemes that cannot be fetched from, or paths.
    pub uris: Vec<String>,
}

/// Reads the list out of all that emerge prints.
///
/// Each distfile has a line of URIs, between blank lines. Portage may ask a mirror for its layout before it prints
/// the mirror's URI, so that a message begins in the middle of that line and the rest follows on a new one; what the
/// fetch command says then may have blank lines itself. So a distfile may come in several parts, each of which
/// begins with a mirror's URI. Messages never begin with a URI: those of ebuilds stand behind a ` * `.
pub fn parse(text: &str) -> Vec<ListedFile> {
    let mut files = Vec::new();
    let mut file = ListedFile::default();
    // What `file` has.
    let mut seen = HashSet::new();
    for line in text.lines() {
        if line.is_empty() && !file.uris.is_empty() {
            files.push(std::mem::take(&mut file));
            seen.clear();
        }
        if is_place(line) && is_binary_package(line) {
            // Portage ends the line of a binary package at once, and prints no empty line behind it.
            files.extend(Some(std::mem::take(&mut file)).filter(|file| !file.uris.is_empty()));
            seen.clear();
            files.push(ListedFile { uris: vec![line.to_owned()] });
            continue;
        }
        let uris = line.split(' ').take_while(|word| is_place(word));
        let new = uris.filter(|uri| !uri.ends_with("/layout.conf") && seen.insert(*uri));
        file.uris.extend(new.map(str::to_owned));
    }
    files.extend(Some(file).filter(|file| !file.uris.is_empty()));
    files
}

/// Whether a URI or a path is that of a binary package: Portage takes no others from a binhost.
pub fn is_binary_package(uri: &str) -> bool {
    let path = uri::without_query(uri);
    [".gpkg.tar", ".tbz2", ".xpak"].iter().any(|suffix| path.ends_with(suffix))
}

/// Whether a line says something else than where a distfile is.
pub fn is_message(line: &str) -> bool {
    line.split(' ').next().is_none_or(|word| !is_place(word)) && !line.trim().is_empty()
}

impl ListedFile {
    /// Adds further URIs of the same distfile.
    pub fn add(&mut self, uris: Vec<String>) {
        let mut seen: HashSet<String> = self.uris.iter().cloned().collect();
        self.uris.extend(uris.into_iter().filter(|uri| seen.insert(uri.clone())));
    }

    /// The names that the distfile may have, the most likely one first. Mirrors have it under its own name,
    /// upstream often under another.
    pub fn names(&self, mirrors: &[MirrorBase]) -> Vec<String> {
        let (at_mirrors, elsewhere): (Vec<_>, Vec<_>) =
            self.uris.iter().partition(|uri| split(uri, mirrors).is_some());
        let (mut names, mut seen) = (Vec::new(), HashSet::new());
        for uri in at_mirrors.into_iter().chain(elsewhere) {
            let last = uri.rsplit('/').next().unwrap_or_default();
            // Portage takes upstream's name as it is written, and quotes what it asks of mirrors.
            for name in [String::from_utf8_lossy(&uri::unquote(last)).into_owned(), last.to_owned()] {
                if !name.is_empty() && seen.insert(name.clone()) {
                    names.push(name);
                }
            }
        }
        names
    }

    /// Whether one of the URIs lies under a mirror.
    pub fn is_at(&self, mirrors: &[MirrorBase]) -> bool {
        self.uris.iter().any(|uri| split(uri, mirrors).is_some())
    }

    /// Where Portage would ask besides the mirrors: before them with RESTRICT=primaryuri.
    pub fn places(&self, mirrors: &[MirrorBase]) -> Places {
        let mut places = Places::default();
        for uri in &self.uris {
            let place = || Place { uri: uri.clone(), kind: PlaceKind::Upstream };
            match split(uri, mirrors) {
                Some(_) => places.mirrors = true,
                None if places.mirrors => places.after_mirrors.push(place()),
                None => places.before_mirrors.push(place()),
            }
        }
        if !places.mirrors {
            places.after_mirrors = std::mem::take(&mut places.before_mirrors);
        }
        places
    }
}

/// Portage prints nothing but URIs and, for mirrors on a file system, absolute paths.
fn is_place(word: &str) -> bool {
    let is_scheme = |scheme: &str| {
        scheme.starts_with(|first: char| first.is_ascii_lowercase())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    };
    word.split_once("://").is_some_and(|(scheme, rest)| is_scheme(scheme) && !rest.is_empty())
        || word.len() > 1 && word.starts_with('/')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn uris(text: &str) -> Vec<Vec<String>> {
        parse(text).into_iter().map(|file| file.uris).collect()
    }

    /// Portage 3.0.83, with wget as the fetch command.
    const MIXED: &str = "
These are the packages that would be fetched, in order:

Calculating dependencies ... done!
Dependency resolution took 0.13 s (backtrack: 0/20).


>>> Downloading 'http://m1/gentoo/distfiles/layout.conf'
--2026-01-02 03:04:05--  http://m1/gentoo/distfiles/layout.conf
Connecting to m1... connected.
HTTP request sent, awaiting response... 200 OK

2026-01-02 03:04:05 (2.99 MB/s) - '.layout.conf.m1.__download__' saved [43/43]

http://m1/gentoo/distfiles/63/a-1.0.tar.xz >>> Downloading 'http://m2/distfiles/layout.conf'

http://m2/distfiles/63/a-1.0.tar.xz https://up/v1.0.tar.xz 

http://m1/gentoo/distfiles/2c/b%2B2.tar http://m2/distfiles/2c/b%2B2.tar /mnt/m/2c/b+2.tar ftp://up/b+2.tar 

https://up/c.tar https://up/c.tar 



!!! app-misc/d-1 has fetch restriction turned on.
!!! This probably means that this ebuild's files must be downloaded

 * Please download d-1.zip from
 * https://vendor/d-1.zip
 * The following files cannot be fetched for d:
 *    d-1.zip
";

    /// Names and URIs of one file were compared with all before them: 40,000 took minutes.
    #[test]
    fn many_uris_of_one_file_take_no_longer_each() {
        let many = |count: usize| (0..count).map(|n| format!("http://m/{n}")).collect::<Vec<_>>().join(" ");
        let mut files = parse(&many(200_000));
        files[0].add(parse(&many(200_001)).remove(0).uris);
        assert_eq!((files.len(), files[0].uris.len(), files[0].names(&[]).len()), (1, 200_001, 200_001));
    }

    #[test]
    fn the_list_is_read_out_of_what_is_around_it() {
        assert_eq!(
            uris(MIXED),
            [
                vec!["http://m1/gentoo/distfiles/63/a-1.0.tar.xz"],
                vec!["http://m2/distfiles/63/a-1.0.tar.xz", "https://up/v1.0.tar.xz"],
                vec![
                    "http://m1/gentoo/distfiles/2c/b%2B2.tar",
                    "http://m2/distfiles/2c/b%2B2.tar",
                    "/mnt/m/2c/b+2.tar",
                    "ftp://up/b+2.tar"
                ],
                vec!["https://up/c.tar"],
            ]
        );
        assert_eq!(uris(""), [[""; 0]; 0]);
        let messages: Vec<_> = MIXED.lines().filter(|line| is_message(line)).collect();
        assert_eq!(messages.len(), MIXED.lines().filter(|line| !line.is_empty()).count() - 4);
    }

    /// Portage 3.0.83, with a binhost.
    #[test]
    fn binary_packages_have_lines_of_their_own() {
        let text = "\n\nhttp://bin/a/x-1-1.gpkg.tar\nhttp://m/distfiles/0a/y.tar https://up/y.tar \n\n\
                    http://bin/a/z-1.tbz2\n\nhttp://bin/a/w-1-1.gpkg.tar\nhttps://up/v.tbz2 \n";
        assert_eq!(
            uris(text),
            [
                vec!["http://bin/a/x-1-1.gpkg.tar"],
                vec!["http://m/distfiles/0a/y.tar", "https://up/y.tar"],
                vec!["http://bin/a/z-1.tbz2"],
                vec!["http://bin/a/w-1-1.gpkg.tar"],
                vec!["https://up/v.tbz2"],
            ]
        );
        for (uri, is_one) in [
            ("http://bin/a/x-1-1.gpkg.tar", true),
            ("/mnt/bin/a/x-1.xpak", true),
            ("ftp://bin/a/x-1.tbz2", true),
            ("http://bin/a/x-1-1.gpkg.tar?token=x", true),
            ("http://m/x.tar", false),
            ("http://m/gpkg.tar", false),
            ("http://m/x.tar.bz2", false),
        ] {
            assert_eq!(is_binary_package(uri), is_one, "{uri}");
        }
    }

    #[test]
    fn the_mirrors_know_the_name() {
        let mirrors = ["http://m1/gentoo".parse().unwrap(), "http://m2".parse().unwrap()];
        let names: Vec<_> = parse(MIXED).iter().map(|file| file.names(&mirrors)).collect();
        assert_eq!(names[1], ["a-1.0.tar.xz", "v1.0.tar.xz"]);
        assert_eq!(names[2], ["b+2.tar", "b%2B2.tar"]);
        assert_eq!(names[3], ["c.tar"]);
        let at: Vec<_> = parse(MIXED).iter().map(|file| file.is_at(&mirrors)).collect();
        assert_eq!(at, [true, true, true, false]);
        let places = parse(MIXED)[1].places(&mirrors);
        assert!(places.mirrors && places.before_mirrors.is_empty());
        assert_eq!(places.after_mirrors[0].uri, "https://up/v1.0.tar.xz");
        let places = parse("https://up/a http://m2/distfiles/a ftp://up/a")[0].places(&mirrors);
        assert_eq!((places.before_mirrors.len(), places.mirrors, places.after_mirrors.len()), (1, true, 1));
        let places = parse(MIXED)[3].places(&mirrors);
        assert_eq!((places.before_mirrors.len(), places.mirrors, places.after_mirrors.len()), (0, false, 1));
    }

    proptest! {
        #[test]
        fn every_list_is_read_back(files in prop::collection::vec(
            prop::collection::vec("(https?|ftp)://[a-z.]{1,8}/[a-zA-Z0-9+%?=&é/]{1,12}", 1..4), 0..5
        )) {
            let lines: Vec<String> = files.iter().map(|uris| uris.join(" ")).collect();
            let text = format!("\n{} \n", lines.join(" \n\n"));
            let expected: Vec<Vec<String>> = files
                .iter()
                .map(|uris| {
                    let mut once: Vec<String> = Vec::new();
                    for uri in uris {
                        if !once.contains(uri) {
                            once.push(uri.clone());
                        }
                    }
                    once
                })
                .collect();
            prop_assert_eq!(uris(&text), expected);
        }

        #[test]
        fn no_text_is_too_odd(text in "(http://| |\n|/|\\PC){0,40}") {
            for file in parse(&text) {
                prop_assert!(!file.uris.is_empty());
                let _ = file.names(&[]);
            }
        }
    }
}
