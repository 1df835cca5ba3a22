//! Files of sections and options as Python's `configparser` reads them, which is how repos.conf is written.
//!
//! Where Python gives up on the whole file, the rest of it is read here.

use std::collections::{BTreeMap, BTreeSet};

/// Options by name, in lower case.
type Options = BTreeMap<String, String>;

/// Sections with their options, those of `[DEFAULT]` for all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigParser {
    defaults: Options,
    sections: BTreeMap<String, Options>,
}

/// A line that Python's `configparser` refuses, and with it the whole file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    #[error("line {0} is neither `[SECTION]` nor `OPTION = VALUE` in a section")]
    Syntax(usize),
    #[error(
        "line {line}: the section {section} comes twice in this file; Portage reads no repos.conf at all then"
    )]
    RepeatedSection { line: usize, section: String },
    #[error(
        "line {line}: {option} is set twice in the section {section}; Portage reads no repos.conf at all then"
    )]
    RepeatedOption { line: usize, section: String, option: String },
}

/// Why a value has no meaning.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InterpolationError {
    #[error("`%` is followed neither by `%` nor by `(OPTION)s`")]
    Syntax,
    #[error("`%({0})s` is not an option of the section")]
    Unknown(String),
    #[error(
        "`%(…)s` leads to itself, to more than {MAX_REFERENCES} others, or to a value of more than {MAX_VALUE} bytes"
    )]
    Endless,
}

impl ConfigParser {
    /// Sets an option for all sections.
    pub fn set_default(&mut self, option: &str, value: &str) {
        self.defaults.insert(option.to_lowercase(), value.to_owned());
    }

    /// Reads a file over what is there, and returns what was wrong in it.
    pub fn read(&mut self, text: &str) -> Vec<LineError> {
        let mut errors = Vec::new();
        let mut section: Option<String> = None;
        // Those of this file: what an earlier file has may come again.
        let mut sections = BTreeSet::new();
        let mut options = BTreeSet::new();
        // The option whose value may go on, and how far its line is indented.
        let mut option: Option<String> = None;
        let mut indentation = 0;
        for (number, line) in (1..).zip(text.lines()) {
            let content = line.trim();
            if content.is_empty() || content.starts_with(['#', ';']) {
                continue;
            }
            let indented = line.len() - line.trim_start().len();
            if let (Some(section), Some(option)) = (&section, &option)
                && indented > indentation
            {
                let value = self.options(section).entry(option.clone()).or_default();
                value.push('\n');
                value.push_str(content);
                continue;
            }
            indentation = indented;
            option = None;
            if let Some(name) = section_name(content) {
                self.options(name);
                if !sections.insert(name.to_owned()) && name != DEFAULT {
                    options.retain(|(known, _)| known != name);
                    errors.push(LineError::RepeatedSection { line: number, section: name.to_owned() });
                }
                section = Some(name.to_owned());
                continue;
            }
            match (&section, content.split_once(['=', ':'])) {
                (Some(section), Some((name, value))) if !name.trim().is_empty() => {
                    let name = name.trim().to_lowercase();
                    if !options.insert((section.clone(), name.clone())) {
                        let (section, option) = (section.clone(), name.clone());
                        errors.push(LineError::RepeatedOption { line: number, section, option });
                    }
                    self.options(section).insert(name.clone(), value.trim().to_owned());
                    option = Some(name);
                }
                _ => errors.push(LineError::Syntax(number)),
            }
        }
        errors
    }

    /// The sections but `[DEFAULT]`, by name.
    pub fn sections(&self) -> impl Iterator<Item = &str> {
        self.sections.keys().map(String::as_str)
    }

    /// An option of `[DEFAULT]`, as it is written.
    pub fn default_option(&self, option: &str) -> Option<&str> {
        self.defaults.get(option).map(String::as_str)
    }

    /// An option of a section, else of `[DEFAULT]`, with every `%(OPTION)s` replaced.
    pub fn get(&self, section: &str, option: &str) -> Result<Option<String>, InterpolationError> {
        let Some(raw) = self.raw(section, option) else { return Ok(None) };
        let (mut value, mut references) = (String::new(), MAX_REFERENCES);
        self.interpolate(section, raw, MAX_DEPTH, &mut references, &mut value)?;
        Ok(Some(value))
    }

    fn raw(&self, section: &str, option: &str) -> Option<&str> {
        let of_section = self.sections.get(section).and_then(|options| options.get(option));
        of_section.or_else(|| self.defaults.get(option)).map(String::as_str)
    }

    fn interpolate(
        &self,
        section: &str,
        raw: &str,
        depth: usize,
        references: &mut usize,
        value: &mut String,
    ) -> Result<(), InterpolationError> {
        let depth = depth.checked_sub(1).ok_or(InterpolationError::Endless)?;
        let mut rest = raw;
        while let Some((plain, behind)) = rest.split_once('%') {
            value.push_str(plain);
            if let Some(behind) = behind.strip_prefix('%') {
                value.push('%');
                rest = behind;
                continue;
            }
            let reference = behind.strip_prefix('(').and_then(|behind| behind.split_once(")s"));
            let (name, behind) = reference.ok_or(InterpolationError::Syntax)?;
            *references = references.checked_sub(1).ok_or(InterpolationError::Endless)?;
            let name = name.to_lowercase();
            let raw = self.raw(section, &name).ok_or_else(|| InterpolationError::Unknown(name.clone()))?;
            self.interpolate(section, raw, depth, references, value)?;
            rest = behind;
        }
        value.push_str(rest);
        if value.len() > MAX_VALUE { Err(InterpolationError::Endless) } else { Ok(()) }
    }

    /// The options of a section, which is made when it is new.
    fn options(&mut self, section: &str) -> &mut Options {
        match section {
            DEFAULT => &mut self.defaults,
            _ => self.sections.entry(section.to_owned()).or_default(),
        }
    }
}

const DEFAULT: &str = "DEFAULT";
/// Python's own limit.
const MAX_DEPTH: usize = 10;
/// How many references one value may lead to. Those to empty values build nothing, and still double with each level.
const MAX_REFERENCES: usize = 10_000;
/// The longest value that references may build, in bytes.
const MAX_VALUE: usize = 1 << 16;

/// `[NAME]`, whatever follows it.
fn section_name(content: &str) -> Option<&str> {
    let (name, _) = content.strip_prefix('[')?.rsplit_once(']')?;
    Some(name).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> (ConfigParser, Vec<usize>) {
        let mut parser = ConfigParser::default();
        parser.set_default("EPREFIX", "/p");
        let errors = parser.read(text);
        let line = |error| match error {
            LineError::Syntax(line)
            | LineError::RepeatedSection { line, .. }
            | LineError::RepeatedOption { line, .. } => line,
        };
        (parser, errors.into_iter().map(line).collect())
    }

    fn get(parser: &ConfigParser, section: &str, option: &str) -> Option<String> {
        parser.get(section, option).unwrap()
    }

    #[test]
    fn sections_options_and_defaults() {
        let text = "# comment\n[DEFAULT]\nmain-repo = gentoo\nsync: yes\n\n[a] tail\nLocation=%(EPrefix)s/a # b\n\
                    sync =\n  ; comment\n  one\n\n  two = 2\n[b]\nmasters = x:y\n";
        let (parser, errors) = parse(text);
        assert!(errors.is_empty(), "{errors:?}");
        assert_eq!(parser.sections().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(parser.default_option("main-repo"), Some("gentoo"));
        assert_eq!(get(&parser, "a", "location").as_deref(), Some("/p/a # b"));
        assert_eq!(get(&parser, "a", "sync").as_deref(), Some("\none\ntwo = 2"));
        assert_eq!(get(&parser, "b", "sync").as_deref(), Some("yes"));
        assert_eq!(get(&parser, "b", "masters").as_deref(), Some("x:y"));
        assert_eq!(get(&parser, "b", "location"), None);
    }

    #[test]
    fn later_files_lie_over_earlier_ones() {
        let (mut parser, _) = parse("[a]\nx = 1\ny = 1\n");
        assert!(parser.read("[a]\ny = 2\n").is_empty());
        assert_eq!(get(&parser, "a", "x").as_deref(), Some("1"));
        assert_eq!(get(&parser, "a", "y").as_deref(), Some("2"));
    }

    #[test]
    fn the_rest_of_a_broken_file_is_read() {
        let (parser, errors) = parse("x = 1\n[a]\nnonsense\n= 2\n[]\ny = 3");
        assert_eq!(errors, [1, 3, 4, 5]);
        assert_eq!(get(&parser, "a", "y").as_deref(), Some("3"));
    }

    /// Each of these makes Python's `configparser` give up.
    #[test]
    fn what_comes_twice_is_named_and_counts() {
        for (text, lines, x) in [
            ("[a]\nx=1\n[b]\n[a]\nx=2\n", &[4_usize] as &[usize], "2"),
            ("[a]\n[b]\n[a]\nx=2\n", &[3], "2"),
            ("[a]\nx=1\nX: 3\n", &[3], "3"),
            ("[DEFAULT]\n[a]\nx=1\n[DEFAULT]\ny=2", &[], "1"),
            ("[a]\nx=1\n[b]\nx=1\n", &[], "1"),
        ] {
            let (mut parser, errors) = parse(text);
            assert_eq!(errors, lines, "{text:?}");
            assert_eq!(get(&parser, "a", "x").as_deref(), Some(x), "{text:?}");
            assert!(parser.read("[a]\nx=9\n").is_empty(), "another file may go on with a section");
        }
    }

    #[test]
    fn references() {
        let (parser, _) = parse("[a]\nx=%(y)s%%%(Z)s\ny=1\nz=%(y)s2\nloop=%(loop)s\nbad=100%\ngone=%(q)s\n");
        assert_eq!(get(&parser, "a", "x").as_deref(), Some("1%12"));
        assert_eq!(parser.get("a", "loop"), Err(InterpolationError::Endless));
        assert_eq!(parser.get("a", "bad"), Err(InterpolationError::Syntax));
        assert_eq!(parser.get("a", "gone"), Err(InterpolationError::Unknown("q".to_owned())));
        let doubling: Vec<String> = (1..10)
            .map(|n| format!("x{n}={}\n", ["%(x", &(n - 1).to_string(), ")s"].concat().repeat(9)))
            .collect();
        let doubling = doubling.concat();
        for x0 in ["0123456789", ""] {
            let (parser, _) = parse(&format!("[a]\nx0={x0}\n{doubling}"));
            assert_eq!(parser.get("a", "x9"), Err(InterpolationError::Endless), "{x0:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd(text in "(\\[a\\]\n|[ab%()s=: ]{0,8}\n|\\PC{0,4}\n| ){0,20}") {
            let (parser, _) = parse(&text);
            for section in parser.sections() {
                for option in ["a", "b", ""] {
                    let _ = parser.get(section, option);
                }
            }
        }
    }
}
