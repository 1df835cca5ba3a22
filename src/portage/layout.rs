//! Where on a mirror a distfile lies: `layout.conf` (GLEP 75) and the layouts that it offers.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::digests::Digests;
use super::name_hash::NameHash;
use super::newlines::unix_newlines;

/// The layouts that a mirror offers, the preferred one first: the section `[structure]` of its `layout.conf`.
/// It is serialised as Portage caches it, `[["filename-hash","BLAKE2B","8"],["flat"]]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(transparent)]
pub struct LayoutConf {
    structure: Vec<Vec<String>>,
}

/// One way of arranging distfiles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MirrorLayout {
    /// All files in one folder.
    Flat,
    /// Folders named after the digest of the file's *name*.
    FilenameHash { hash: NameHash, cutoffs: Cutoffs },
    /// Folders, and the file itself, named after the digest of the file's content.
    ContentHash { hash: NameHash, cutoffs: Cutoffs },
}

/// How many hexadecimal digits of the digest name each folder, the outermost first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cutoffs(Vec<usize>);

/// Why a text is not a `layout.conf`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    #[error("layout.conf line {0} is not a section, NAME = VALUE, or a comment: this is some other page")]
    Syntax(usize),
    #[error("layout.conf line {0} repeats a section or a name")]
    Repeated(usize),
    #[error("layout.conf has no entry 0 in a section [structure]")]
    NoStructure,
}

impl LayoutConf {
    /// Reads a `layout.conf` as Python's `configparser` does, without interpolation and defaults. Where
    /// Portage falls back to the flat layout without a word (an error page, an empty file), this is an
    /// error.
    pub fn parse(text: &str) -> Result<Self, LayoutError> {
        let options = read_ini(&unix_newlines(text.to_owned()))?;
        let structure = options.iter().filter(|option| option.section == "structure");
        let structure: HashMap<&str, &IniOption> = structure.map(|o| (o.name.as_str(), o)).collect();
        let entry = |index: usize| structure.get(index.to_string().as_str()).copied();
        let words = |option: &IniOption| option.value.split_whitespace().map(str::to_owned).collect();
        let structure: Vec<_> = (0..).map_while(entry).map(words).collect();
        if structure.is_empty() { Err(LayoutError::NoStructure) } else { Ok(Self { structure }) }
    }

    /// The layouts that this program supports, the preferred one first.
    pub fn layouts(&self) -> impl Iterator<Item = MirrorLayout> {
        self.structure.iter().filter_map(|words| MirrorLayout::from_words(words))
    }

    /// The path of a distfile by the layout that Portage would choose (its `MirrorLayoutConfig`): the
    /// first that is supported and whose digest is known, else flat.
    pub fn path(&self, file: &str, digests: &Digests) -> String {
        self.layouts().find_map(|layout| layout.path(file, digests)).unwrap_or_else(|| file.to_owned())
    }
}

impl MirrorLayout {
    /// The path of a distfile under `MIRROR/distfiles/`; `None` when the layout needs a digest of the
    /// content that is not among `digests`.
    pub fn path(&self, file: &str, digests: &Digests) -> Option<String> {
        match self {
            Self::Flat => Some(file.to_owned()),
            Self::FilenameHash { hash, cutoffs } => Some(cutoffs.folders(&hash.hex(file)) + file),
            Self::ContentHash { hash, cutoffs } => {
                let hex = digests.hex_by_name(hash.name())?;
                Some(cutoffs.folders(&hex) + &hex)
            }
        }
    }

    /// The layout of an entry's words, when it is one that this program supports.
    fn from_words(words: &[String]) -> Option<Self> {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words[..] {
            ["flat"] => Some(Self::Flat),
            ["filename-hash", hash, cutoffs] => {
                let hash = NameHash::from_name(hash)?;
                Some(Self::FilenameHash { hash, cutoffs: Cutoffs::parse(cutoffs)? })
            }
            ["content-hash", hash, cutoffs] => {
                let hash = NameHash::from_name(hash)?;
                Some(Self::ContentHash { hash, cutoffs: Cutoffs::parse(cutoffs)? })
            }
            _ => None,
        }
    }
}

impl Cutoffs {
    /// Reads `8:8`: numbers of bits, four to a hexadecimal digit.
    fn parse(text: &str) -> Option<Self> {
        let digits = |bits: &str| {
            let bits: u16 = bits.parse().ok()?;
            bits.is_multiple_of(4).then_some(usize::from(bits / 4))
        };
        text.split(':').map(digits).collect::<Option<_>>().map(Self)
    }

    /// The folders, each with a slash behind it. A cut-off beyond the end of the digest takes what is left.
    fn folders(&self, hex: &str) -> String {
        let mut rest = hex;
        let mut path = String::new();
        for digits in &self.0 {
            let (folder, after) = rest.split_at(rest.len().min(*digits));
            path.push_str(folder);
            path.push('/');
            rest = after;
        }
        path
    }
}

struct IniOption {
    section: String,
    /// In lower case.
    name: String,
    /// With its continuation lines.
    value: String,
}

/// The options of an ini file, by the rules of Python's `configparser`: `=` or `:` between name and value,
/// comments of whole lines, and values that go on in lines indented deeper than their name.
fn read_ini(text: &str) -> Result<Vec<IniOption>, LayoutError> {
    let mut options: Vec<IniOption> = Vec::new();
    let mut sections: HashSet<&str> = HashSet::new();
    let mut section = None;
    let mut names: HashSet<String> = HashSet::new(); // in this section
    let mut indentation = 0;
    let mut in_option = false;
    for (number, line) in (1..).zip(text.lines()) {
        let content = line.trim();
        if content.is_empty() || content.starts_with(['#', ';']) {
            continue;
        }
        let line_indentation = line.len() - line.trim_start().len();
        if in_option
            && line_indentation > indentation
            && let Some(option) = options.last_mut()
        {
            option.value.push('\n');
            option.value.push_str(content);
            continue;
        }
        indentation = line_indentation;
        if let Some(header) = section_header(content) {
            if !sections.insert(header) {
                return Err(LayoutError::Repeated(number));
            }
            section = Some(header);
            names = HashSet::new(); // to clear a large one takes as long as it is large
            in_option = false;
            continue;
        }
        let section = section.ok_or(LayoutError::Syntax(number))?;
        let (name, value) = content.split_once(['=', ':']).ok_or(LayoutError::Syntax(number))?;
        let name = name.trim().to_lowercase();
        if name.is_empty() {
            return Err(LayoutError::Syntax(number));
        }
        if !names.insert(name.clone()) {
            return Err(LayoutError::Repeated(number));
        }
        options.push(IniOption { section: section.to_owned(), name, value: value.trim().to_owned() });
        in_option = true;
    }
    Ok(options)
}

/// `structure` of `[structure]`; what stands behind the last bracket is ignored.
fn section_header(content: &str) -> Option<&str> {
    let (header, _) = content.strip_prefix('[')?.rsplit_once(']')?;
    (!header.is_empty()).then_some(header)
}

#[cfg(test)]
mod tests {
    use super::super::digests::{Algorithm, Digest};
    use super::*;
    use proptest::prelude::*;

    fn digests() -> Digests {
        let mut digests = Digests::default();
        digests.insert(Digest::of(Algorithm::Sha512, b"content"));
        digests
    }

    fn structure(entries: &[&[&str]]) -> LayoutConf {
        let words = |entry: &&[&str]| entry.iter().map(|&word| word.to_owned()).collect();
        LayoutConf { structure: entries.iter().map(words).collect() }
    }

    #[test]
    fn reads_what_the_mirrors_have() {
        let conf = LayoutConf::parse("[structure]\n0=filename-hash BLAKE2B 8\n1=flat\n").unwrap();
        assert_eq!(conf, structure(&[&["filename-hash", "BLAKE2B", "8"], &["flat"]]));
        assert_eq!(serde_json::to_string(&conf).unwrap(), r#"[["filename-hash","BLAKE2B","8"],["flat"]]"#);
        assert_eq!(serde_json::from_str::<LayoutConf>(r#"[["flat"]]"#).unwrap(), structure(&[&["flat"]]));
    }

    /// A thousand times what a mirror may send: a second look at each line for each line would take minutes.
    #[test]
    fn a_long_one_is_read_in_one_go() {
        let lines = |line: fn(usize) -> String| (0..300_000).map(line).collect::<Vec<_>>().concat();
        let (entries, sections) = (lines(|n| format!("{n}=flat\n")), lines(|n| format!("[s{n}]\na=b\n")));
        let conf = LayoutConf::parse(&format!("[structure]\n{entries}{sections}")).unwrap();
        assert_eq!(conf.layouts().count(), 300_000);
    }

    #[test]
    fn reads_ini_as_python_does() {
        let two: &[&[&str]] = &[&["flat"], &["filename-hash", "SHA512", "8:16"]];
        for text in [
            "# a comment\n; another\n\n[structure]\n0 = flat\n1: filename-hash   SHA512\t8:16\n",
            "[structure]\r\n0=flat\r\n1=filename-hash SHA512 8:16\r\n3=flat\r\n",
            "[structure]\r0=flat\r1=filename-hash SHA512 8:16\r",
            "[other]\n0=x\n[structure] behind\n1=filename-hash\n  SHA512\n  # comment\n\n    8:16\n0=flat",
            "  [structure]\n  0=flat\n  1=filename-hash SHA512 8:16\n[empty]",
        ] {
            assert_eq!(LayoutConf::parse(text).unwrap(), structure(two), "{text:?}");
        }
    }

    #[test]
    fn refuses_what_is_no_layout_conf() {
        use LayoutError::{NoStructure, Repeated, Syntax};
        for (text, error) in [
            ("", NoStructure),
            ("[structure]\n", NoStructure),
            ("[structure]\n1=flat\n", NoStructure),
            ("[Structure]\n0=flat\n", NoStructure),
            ("<!DOCTYPE html>\n<html></html>", Syntax(1)),
            ("<html><head><meta charset=\"utf-8\">[structure]\n0=flat", Syntax(1)),
            ("\n0=flat\n", Syntax(2)),
            ("[structure]\n0=flat\n<html>\n", Syntax(3)),
            ("[structure]\n=flat\n", Syntax(2)),
            ("[]\n0=flat\n", Syntax(1)),
            ("\u{1f}\u{8b}\0\0", Syntax(1)),
            ("[structure]\n0=flat\n0=flat\n", Repeated(3)),
            ("[structure]\n0=flat\n[structure]\n", Repeated(3)),
        ] {
            assert_eq!(LayoutConf::parse(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn paths() {
        let name = "foo-1.0.tar.gz";
        let by_name = Digest::of(Algorithm::Blake2b, name.as_bytes()).hex();
        let by_content = Digest::of(Algorithm::Sha512, b"content").hex();
        let (first, second) = (&by_name[..2], &by_name[2..4]);
        for (entries, path) in [
            (&[] as &[&[&str]], name.to_owned()),
            (&[&["flat"]], name.to_owned()),
            (&[&["filename-hash", "BLAKE2B", "8"]], format!("{first}/{name}")),
            (&[&["filename-hash", "BLAKE2B", "8:8"]], format!("{first}/{second}/{name}")),
            (&[&["filename-hash", "BLAKE2B", "1000:8"]], format!("{by_name}//{name}")),
            (&[&["content-hash", "SHA512", "8"]], format!("{}/{by_content}", &by_content[..2])),
            (
                &[&["content-hash", "BLAKE2B", "8"], &["filename-hash", "BLAKE2B", "8"]],
                format!("{first}/{name}"),
            ),
            (&[&["content-hash", "BLAKE2B", "8"]], name.to_owned()),
            (&[&["torrent"], &[], &["filename-hash", "BLAKE2B", "8"]], format!("{first}/{name}")),
        ] {
            assert_eq!(structure(entries).path(name, &digests()), path, "{entries:?}");
        }
    }

    #[test]
    fn every_hash_of_portages_names_folders() {
        for hash in NameHash::ALL {
            let hex = hash.hex("foo-1.tar");
            let conf = structure(&[&["filename-hash", hash.name(), "8:4"], &["flat"]]);
            let path = format!("{}/{}/foo-1.tar", &hex[..2], &hex[2..3]);
            assert_eq!(conf.path("foo-1.tar", &Digests::default()), path, "{}", hash.name());
        }
    }

    #[test]
    fn contents_are_found_by_digests_that_are_not_computed() {
        let digests = Digests::parse("sha3_512:abcdef whirlpool:0123 md5:x/y").unwrap();
        for (algorithm, path) in
            [("SHA3_512", "ab/abcdef"), ("WHIRLPOOL", "01/0123"), ("MD5", "foo"), ("SHA1", "foo")]
        {
            let conf = structure(&[&["content-hash", algorithm, "8"]]);
            assert_eq!(conf.path("foo", &digests), path, "{algorithm}");
        }
    }

    /// The folders that Python's `hashlib.blake2b` gives, by which Portage and the mirrors' own tools work.
    #[test]
    fn folders_on_the_official_mirrors() {
        let conf = structure(&[&["filename-hash", "BLAKE2B", "8"]]);
        for (name, path) in [
            ("gcc-14.2.0.tar.xz", "3c/gcc-14.2.0.tar.xz"),
            ("rust-1.81.0-src.tar.xz", "67/rust-1.81.0-src.tar.xz"),
        ] {
            assert_eq!(conf.path(name, &Digests::default()), path);
        }
    }

    #[test]
    fn unsupported_layouts() {
        for words in [
            &["flat", "x"] as &[&str],
            &["filename-hash"],
            &["filename-hash", "BLAKE2B"],
            &["filename-hash", "blake2b", "8"],
            &["filename-hash", "SHA224", "8"],
            &["filename-hash", "size", "8"],
            &["content-hash", "sha3_512", "8"],
            &["filename-hash", "BLAKE2B", "7"],
            &["filename-hash", "BLAKE2B", "-8"],
            &["filename-hash", "BLAKE2B", "8:"],
            &["filename-hash", "BLAKE2B", "8", "8"],
            &["content-hash", "BLAKE2B", "x"],
            &[],
        ] {
            assert_eq!(structure(&[words]).layouts().count(), 0, "{words:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd(text in "(\\[structure\\]|[0-2] ?=|flat|[=:;# \t\n]|\\PC){0,30}") {
            if let Ok(conf) = LayoutConf::parse(&text) {
                let json = serde_json::to_string(&conf).unwrap();
                prop_assert_eq!(serde_json::from_str::<LayoutConf>(&json).unwrap(), conf);
            }
        }

        #[test]
        fn a_path_ends_in_the_name(name in "[^/\0]{1,12}", cutoffs in "[0-9]{1,5}(:[0-9]{1,5}){0,3}") {
            let conf = structure(&[&["filename-hash", "SHA256", &cutoffs]]);
            let path = conf.path(&name, &Digests::default());
            prop_assert_eq!(path.rsplit('/').next(), Some(name.as_str()));
        }
    }
}
