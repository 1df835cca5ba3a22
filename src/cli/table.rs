//! curl's options and our own, each in exactly one class. The parser, `--help` and the tests read this table; one
//! test compares it with `curl --help all`.
//!
//! An option is one entry in the file of its theme: how it is written, its line of help, what it does, and an
//! example, which is its test. To add one, add its entry, and the field of [`FetchOptions`] that it sets where
//! that is new. The names are those of curl up to 8.22. What is ignored or refused says why.

mod distfile;
mod ignored;
mod limits;
mod network;
mod output;
mod proxy;
mod refused;
mod report;
mod request;
mod tls;

pub use ignored::IGNORED;
pub use refused::REFUSED;

use super::argument::Argument;
use super::builder::Builder;
use super::options::FetchOptions;
use super::{Command, UsageError};
use std::sync::LazyLock;

/// An option that does something.
pub struct Entry {
    pub spelling: Spelling,
    pub help: Help,
    pub effect: Effect,
    #[cfg(test)]
    pub example: Example,
}

/// One way to write an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spelling {
    /// The letter behind a single dash.
    pub short: Option<char>,
    /// The word behind two dashes.
    pub long: &'static str,
    pub takes: Takes,
}

/// What follows an option. A value has a name for the help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Nothing, and `--no-OPTION` does not exist.
    Nothing,
    /// Nothing; `--no-OPTION` switches it off.
    Switch,
    Value(&'static str),
    /// A value, or an empty one at the end of the line.
    ValueOrEnd(&'static str),
    /// A value from a variable that stands without quotes: when that is empty, another option or nothing follows.
    ValueOrOption(&'static str),
}

/// The line of help, and where it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Help {
    /// By plain `--help` and by `--help all`.
    Common(&'static str),
    /// By `--help all`.
    Full(&'static str),
    /// By both. The option is not curl's: it must be written in full, so that it never makes one of curl's
    /// abbreviations ambiguous.
    Own(&'static str),
}

/// What an option does. In the entries `b` is the builder, `o` the options in it, and `a` the argument.
pub enum Effect {
    /// It turns a switch on or off.
    Turns(fn(o: &mut FetchOptions) -> &mut bool),
    Sets(fn(b: &mut Builder<'_>, a: Argument<'_>) -> Result<(), UsageError>),
    /// It shows a text, and nothing behind it counts.
    Shows(fn(a: Argument<'_>) -> Result<Command, UsageError>),
    /// Its value is the name of a file with more options.
    ReadsOptions,
}

/// A line that has the option in it, and what comes of it.
#[cfg(test)]
pub enum Example {
    /// In front of a URL it makes this true, which is not true without it.
    Sets(&'static str, fn(&FetchOptions) -> bool),
    /// It asks for what happens anyway.
    Same(&'static str),
    /// It shows a text.
    Shows(&'static str),
}

/// Options that share a class and a reason.
#[derive(Debug, PartialEq, Eq)]
pub struct Group {
    pub reason: &'static str,
    pub spellings: &'static [Spelling],
}

/// What an option word stands for.
#[derive(Clone, Copy)]
pub enum Class {
    Does(&'static Entry),
    /// Understood, and without influence on what is fetched.
    Ignored(&'static Group),
    Refused(&'static Group),
}

/// The options that do something: curl's by alphabet, then our own.
pub fn entries() -> impl Iterator<Item = &'static Entry> {
    static SORTED: LazyLock<Vec<&'static Entry>> = LazyLock::new(|| {
        let themes = [
            request::ENTRIES,
            output::ENTRIES,
            report::ENTRIES,
            network::ENTRIES,
            tls::ENTRIES,
            proxy::ENTRIES,
            limits::ENTRIES,
            distfile::ENTRIES,
        ];
        let mut entries: Vec<_> = themes.into_iter().flatten().collect();
        entries.sort_by_key(|entry| (entry.help.is_own(), entry.spelling.long.replace('-', "")));
        entries
    });
    SORTED.iter().copied()
}

/// Every spelling with its class.
pub fn all() -> impl Iterator<Item = (&'static Spelling, Class)> {
    let does = entries().map(|entry| (&entry.spelling, Class::Does(entry)));
    let ignored = IGNORED.iter().flat_map(|g| g.spellings.iter().map(move |s| (s, Class::Ignored(g))));
    let refused = REFUSED.iter().flat_map(|g| g.spellings.iter().map(move |s| (s, Class::Refused(g))));
    does.chain(ignored).chain(refused)
}

/// The option of that letter.
pub fn by_short(letter: char) -> Option<(&'static Spelling, Class)> {
    all().find(|(spelling, _)| spelling.short == Some(letter))
}

/// Why a long option was not found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LongError {
    Unknown,
    /// The names that it could stand for.
    Ambiguous(Vec<&'static str>),
}

/// The option of that name or, as in older curls, of an abbreviation that fits no other option.
pub fn by_long(name: &str) -> Result<(&'static Spelling, Class), LongError> {
    if let Some(exact) = all().find(|(spelling, _)| spelling.long == name) {
        return Ok(exact);
    }
    let own = |class: &Class| matches!(class, Class::Does(entry) if entry.help.is_own());
    let matches = |s: &Spelling| !name.is_empty() && s.long.starts_with(name) && !s.long.starts_with("no-");
    let mut fitting = all().filter(|(spelling, class)| matches(spelling) && !own(class));
    let Some(first) = fitting.next() else { return Err(LongError::Unknown) };
    let others: Vec<_> = fitting.map(|(spelling, _)| spelling.long).collect();
    if others.is_empty() {
        return Ok(first);
    }
    Err(LongError::Ambiguous([vec![first.0.long], others].concat()))
}

impl Spelling {
    /// The same option with a letter, too.
    const fn short(self, letter: char) -> Self {
        Self { short: Some(letter), ..self }
    }

    /// The name of the value, when it takes one.
    pub fn value(&self) -> Option<&'static str> {
        match self.takes {
            Takes::Nothing | Takes::Switch => None,
            Takes::Value(name) | Takes::ValueOrEnd(name) | Takes::ValueOrOption(name) => Some(name),
        }
    }
}

impl Help {
    pub fn text(self) -> &'static str {
        match self {
            Self::Common(text) | Self::Full(text) | Self::Own(text) => text,
        }
    }

    pub fn is_own(self) -> bool {
        matches!(self, Self::Own(_))
    }
}

const fn spelling(long: &'static str, takes: Takes) -> Spelling {
    Spelling { short: None, long, takes }
}

/// An option without a value and without `--no-`.
const fn flag(long: &'static str) -> Spelling {
    spelling(long, Takes::Nothing)
}

/// An option that is on or off.
const fn switch(long: &'static str) -> Spelling {
    spelling(long, Takes::Switch)
}

/// An option with a value.
const fn value(long: &'static str, name: &'static str) -> Spelling {
    spelling(long, Takes::Value(name))
}

/// An option with a value whose form does not matter.
const fn valued(long: &'static str) -> Spelling {
    spelling(long, Takes::Value("value"))
}

/// Puts what was read into its place.
fn set<T>(place: &mut T, read: Result<T, UsageError>) -> Result<(), UsageError> {
    *place = read?;
    Ok(())
}

/// As [`set`], for what is absent by default.
fn set_some<T>(place: &mut Option<T>, read: Result<T, UsageError>) -> Result<(), UsageError> {
    set(place, read.map(Some))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{HashMap, HashSet};
    use std::process;

    #[test]
    fn every_option_stands_in_the_table_once() {
        let mut longs = HashSet::new();
        let mut shorts = HashSet::new();
        for (spelling, _) in all() {
            assert!(longs.insert(spelling.long), "{} twice", spelling.long);
            if let Some(short) = spelling.short {
                assert!(shorts.insert(short), "-{short} twice");
            }
        }
    }

    /// The options of a line in front of a URL. Every file that it names holds `silent`.
    fn options_of(line: &str) -> FetchOptions {
        match parse_line(line) {
            Command::Fetch(options) => *options,
            other => panic!("{line:?} gave {other:?}"),
        }
    }

    fn parse_line(line: &str) -> Command {
        let words: Vec<_> = line.split_whitespace().chain(["http://h/f"]).map(Into::into).collect();
        crate::cli::parse(&words, &|_| Ok("silent".to_owned()))
            .unwrap_or_else(|error| panic!("{line:?}: {error}"))
    }

    #[test]
    fn every_option_does_what_its_example_says() {
        let plain = format!("{:?}", options_of(""));
        for entry in entries() {
            let (Example::Sets(line, _) | Example::Same(line) | Example::Shows(line)) = entry.example;
            let long = format!("--{}", entry.spelling.long);
            let mut words = line.split(' ');
            let written = words.any(|word| match entry.spelling.short {
                _ if word == long || word.strip_prefix("--no-") == Some(entry.spelling.long) => true,
                Some(letter) => word.starts_with('-') && !word.starts_with("--") && word.contains(letter),
                None => false,
            });
            assert!(written, "the example of {long} is of another option: {line}");
            match entry.example {
                Example::Sets(line, holds) => {
                    assert!(holds(&options_of(line)), "{line}");
                    assert!(!holds(&options_of("")), "{line} makes no difference");
                }
                Example::Same(line) => assert_eq!(format!("{:?}", options_of(line)), plain, "{line}"),
                Example::Shows(line) => {
                    assert!(matches!(parse_line(line), Command::Help(_) | Command::Version), "{line}");
                }
            }
        }
    }

    #[test]
    fn every_switch_can_be_turned_on_and_off() {
        for entry in entries() {
            let Effect::Turns(place) = entry.effect else { continue };
            let long = entry.spelling.long;
            assert_eq!(entry.spelling.takes, Takes::Switch, "{long}");
            for (line, on) in
                [(format!("--no-{long} --{long}"), true), (format!("--{long} --no-{long}"), false)]
            {
                assert_eq!(*place(&mut options_of(&line)), on, "{line}");
            }
        }
    }

    /// What `curl --help all` prints: `-o, --output <file>  Write to file instead of stdout`.
    #[test]
    fn every_option_of_the_installed_curl_has_a_class() {
        let curl = process::Command::new("curl").args(["--help", "all"]).output().expect("curl is installed");
        let help = String::from_utf8_lossy(&curl.stdout).into_owned();
        let known: HashMap<_, _> = all().map(|(spelling, _)| (spelling.long, spelling)).collect();
        let find = |long: &str| known.get(long).or_else(|| known.get(long.strip_prefix("no-")?));
        let mut missing = Vec::new();
        let mut seen = 0;
        for line in help.lines() {
            let Some((short, rest)) = line.trim().split_once("--") else { continue };
            seen += 1;
            let mut words = rest.split_whitespace();
            let long = words.next().unwrap();
            let takes_value = words.next().is_some_and(|word| word.starts_with(['<', '[']));
            let Some(spelling) = find(long) else {
                missing.push(line.to_owned());
                continue;
            };
            assert_eq!(spelling.value().is_some(), takes_value, "{line}");
            assert_eq!(spelling.short, short.chars().nth(1), "{line}");
        }
        assert!(missing.is_empty(), "no class for:\n{}", missing.join("\n"));
        assert!(seen > 200, "only {seen} options in the help of curl: is its form another?");
    }

    /// What curl ignores for http must not end in an error here, in whichever form it is written.
    #[test]
    fn ignored_options_may_be_reversed_where_the_installed_curl_lets_them() {
        let mut faults = Vec::new();
        let mut seen = 0;
        for (spelling, _) in all().filter(|(_, class)| matches!(class, Class::Ignored(_))) {
            // Without a URL it ends before it does anything.
            let curl = process::Command::new("curl").arg(format!("--no-{}", spelling.long)).output().unwrap();
            let said = String::from_utf8_lossy(&curl.stderr).into_owned();
            if said.contains("unknown") || said.contains("support") || said.contains("badly used") {
                continue;
            }
            seen += 1;
            let reversible = said.contains("no URL");
            if reversible != (spelling.takes == Takes::Switch) {
                faults.push(format!("{}: {said}", spelling.long));
            }
        }
        assert!(faults.is_empty(), "{}", faults.join("\n"));
        assert!(seen > 80, "only {seen} options: are curl's messages others?");
    }

    #[test]
    fn abbreviations_must_fit_one_option_of_curl() {
        let long = |name| by_long(name).map(|(spelling, _)| spelling.long);
        assert_eq!(long("continue"), Ok("continue-at"));
        assert_eq!(long("proxy"), Ok("proxy"));
        assert_eq!(long("spee"), Err(LongError::Ambiguous(vec!["speed-limit", "speed-time"])));
        assert_eq!(long("siz"), Err(LongError::Unknown), "our own are written in full");
        assert_eq!(long("digest"), Ok("digest"));
        assert_eq!(long(""), Err(LongError::Unknown));
    }
}
