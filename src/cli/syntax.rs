//! curl's syntax of options: which words are options, and which are their values.

use super::argument::Argument;
use super::builder::Builder;
use super::similar::similar;
use super::table::{self, Class, Effect, LongError, Spelling, Takes};
use super::{Command, UsageError, config_file};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// How deep `-K` files may name each other, as in curl.
const MAX_CONFIG_DEPTH: usize = 5;

/// Reads the command line of a fetch.
pub(super) fn parse(
    args: &[OsString],
    read: &dyn Fn(&Path) -> io::Result<String>,
) -> Result<Command, UsageError> {
    let mut syntax = Syntax { builder: Builder::new(read), read, config_depth: 0, shown: None };
    syntax.words(args)?;
    match syntax.shown {
        Some(command) => Ok(command),
        None => syntax.builder.finish().map(|options| Command::Fetch(Box::new(options))),
    }
}

struct Syntax<'a> {
    builder: Builder<'a>,
    read: &'a dyn Fn(&Path) -> io::Result<String>,
    config_depth: usize,
    /// `--help`, `--manual` or `--version`: nothing behind it counts.
    shown: Option<Command>,
}

/// Whether an option used up the word behind it.
type UsedNext = bool;

impl Syntax<'_> {
    fn words(&mut self, args: &[OsString]) -> Result<(), UsageError> {
        let mut words = args.iter().map(OsString::as_os_str).peekable();
        let mut only_urls = false;
        while let Some(word) = words.next() {
            if only_urls || !word.as_bytes().starts_with(b"-") {
                self.builder.bare(word)?;
            } else if word == "--" {
                only_urls = true;
            } else if self.option(word, words.peek().copied())? {
                words.next();
            }
            if self.shown.is_some() {
                break;
            }
        }
        Ok(())
    }

    /// A word of options: `--long`, `-abc`, or, in a config file, `long`.
    fn option(&mut self, word: &OsStr, next: Option<&OsStr>) -> Result<UsedNext, UsageError> {
        let bytes = word.as_bytes();
        match (bytes.strip_prefix(b"--"), bytes.strip_prefix(b"-")) {
            (Some(name), _) => self.long(word, name, next),
            (None, Some(letters)) => self.letters(word, letters, next),
            (None, None) => self.long(word, bytes, next),
        }
    }

    /// `--name`, `--no-name`, `--name value` or, as curl since 8.16, `--name=value`.
    fn long(&mut self, word: &OsStr, name: &[u8], next: Option<&OsStr>) -> Result<UsedNext, UsageError> {
        let equals = name.iter().position(|byte| *byte == b'=');
        let (name, attached) = match equals {
            Some(at) => (&name[..at], Some(OsStr::from_bytes(&name[at + 1..]))),
            None => (name, None),
        };
        let shown = word.to_string_lossy();
        let shown = shown.split('=').next().unwrap_or_default(); // the value may be a secret
        let name = String::from_utf8_lossy(name);
        if name.starts_with("expand-") {
            return Err(UsageError::option(shown, "is refused: variables are not expanded; write the value"));
        }
        let wrong = |error| UsageError::option(shown, long_error(error, &name));
        let (spelling, class, on) = match (table::by_long(&name), name.strip_prefix("no-")) {
            (Ok((spelling, class)), _) => (spelling, class, true),
            (Err(error), None) => return Err(wrong(error)),
            (Err(_), Some(positive)) => {
                let (spelling, class) = table::by_long(positive).map_err(wrong)?;
                if spelling.takes != Takes::Switch {
                    return Err(UsageError::option(shown, "cannot be reversed with --no-"));
                }
                (spelling, class, false)
            }
        };
        if spelling.value().is_none() {
            if attached.is_some() {
                return Err(UsageError::option(shown, "takes no value"));
            }
            self.apply(spelling, class, Argument { word: shown, on, value: OsStr::new("") })?;
            return Ok(false);
        }
        let may_be_option = !matches!(spelling.takes, Takes::ValueOrOption(_));
        let next = next.filter(|next| may_be_option || !next.as_bytes().starts_with(b"-"));
        let value = value_of(spelling, attached.or(next)).ok_or_else(|| requires_parameter(shown))?;
        self.apply(spelling, class, Argument { word: shown, on, value })?;
        Ok(attached.is_none() && next.is_some())
    }

    /// Letters behind one dash; the first that takes a value takes the rest of the word, or the next word.
    fn letters(
        &mut self,
        word: &OsStr,
        letters: &[u8],
        next: Option<&OsStr>,
    ) -> Result<UsedNext, UsageError> {
        if letters.is_empty() {
            return Err(unknown(word.display()));
        }
        for (at, letter) in letters.iter().enumerate() {
            let letter = char::from(*letter);
            let shown = format!("-{letter}");
            let (spelling, class) = table::by_short(letter).ok_or_else(|| unknown(word.display()))?;
            if spelling.value().is_none() {
                self.apply(spelling, class, Argument { word: &shown, on: true, value: OsStr::new("") })?;
                continue;
            }
            let rest = OsStr::from_bytes(&letters[at + 1..]);
            let attached = (!rest.is_empty()).then_some(rest);
            let value = value_of(spelling, attached.or(next)).ok_or_else(|| requires_parameter(&shown))?;
            self.apply(spelling, class, Argument { word: &shown, on: true, value })?;
            return Ok(attached.is_none());
        }
        Ok(false)
    }

    fn apply(&mut self, spelling: &Spelling, class: Class, argument: Argument<'_>) -> Result<(), UsageError> {
        let entry = match class {
            Class::Does(entry) => entry,
            Class::Ignored(_) => return Ok(()),
            Class::Refused(_) if !argument.on => return Ok(()), // what is off is not asked for
            Class::Refused(group) => {
                let name = format_args!("--{}", spelling.long);
                return Err(UsageError::option(name, format_args!("is refused: {}", group.reason)));
            }
        };
        match entry.effect {
            Effect::Turns(place) => *place(&mut self.builder.options) = argument.on,
            Effect::Sets(set) => set(&mut self.builder, argument)?,
            Effect::Shows(show) => self.shown = argument.on.then(|| show(argument)).transpose()?,
            Effect::ReadsOptions => self.config(argument)?,
        }
        Ok(())
    }

    /// `-K`: the options of a file.
    fn config(&mut self, argument: Argument<'_>) -> Result<(), UsageError> {
        if self.config_depth == MAX_CONFIG_DEPTH {
            let what = format_args!("more than {MAX_CONFIG_DEPTH} files name one another");
            return Err(UsageError::option(argument.word, what));
        }
        let path = Path::new(argument.value);
        let text = (self.read)(path).map_err(|error| UsageError::unreadable(argument.word, path, &error))?;
        self.config_depth += 1;
        for line in config_file::lines(&text) {
            self.config_line(&line, path).map_err(|error| error.in_file(path, line.number))?;
        }
        self.config_depth -= 1;
        Ok(())
    }

    fn config_line(&mut self, line: &config_file::ConfigLine, path: &Path) -> Result<(), UsageError> {
        if line.ignored {
            let warning = format!(
                "{}:{}: words behind the value of {} are ignored; put the value into quotes",
                path.display(),
                line.number,
                line.option
            );
            self.builder.warn(warning);
        }
        let value = line.value.as_ref().map(OsStr::new);
        let used = self.option(OsStr::new(&line.option), value)?;
        if !used && value.is_some_and(|value| !value.is_empty()) {
            return Err(UsageError::option(&line.option, "had unsupported trailing garbage"));
        }
        Ok(())
    }
}

/// The value of an option, an empty one where it may be missing.
fn value_of<'v>(spelling: &Spelling, found: Option<&'v OsStr>) -> Option<&'v OsStr> {
    let optional = matches!(spelling.takes, Takes::ValueOrEnd(_) | Takes::ValueOrOption(_));
    found.or(optional.then(|| OsStr::new("")))
}

fn unknown(word: impl std::fmt::Display) -> UsageError {
    UsageError::option(word, "is unknown; see racefetch --help all")
}

fn requires_parameter(word: &str) -> UsageError {
    UsageError::option(word, "requires parameter")
}

fn long_error(error: LongError, name: &str) -> String {
    match error {
        LongError::Unknown => match similar(name, table::entries().map(|entry| entry.spelling.long)) {
            Some(meant) => format!("is unknown: did you mean --{meant}?"),
            None => "is unknown; see racefetch --help all".to_owned(),
        },
        LongError::Ambiguous(names) => format!("is ambiguous: --{}", names.join(", --")),
    }
}
