//! What an option came with, and the ways to read its value.

use super::UsageError;
use super::options::Sink;
use super::values::Complaint;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

#[derive(Clone, Copy)]
pub struct Argument<'a> {
    /// The option as it was written, for messages.
    pub word: &'a str,
    /// False for `--no-OPTION`.
    pub on: bool,
    /// Empty for options without one.
    pub value: &'a OsStr,
}

impl<'a> Argument<'a> {
    /// The error of this option, in words that follow `option --foo: `.
    pub fn wrong(self, what: impl std::fmt::Display) -> UsageError {
        UsageError::option(self.word, what)
    }

    pub fn text(self) -> Result<&'a str, UsageError> {
        self.value.to_str().ok_or_else(|| self.wrong("the value is not UTF-8"))
    }

    /// The value, which must not be empty.
    pub fn filled(self) -> Result<&'a OsStr, UsageError> {
        if self.value.is_empty() {
            return Err(self.wrong("blank argument where content is expected"));
        }
        Ok(self.value)
    }

    pub fn filled_text(self) -> Result<&'a str, UsageError> {
        self.filled()?;
        self.text()
    }

    pub fn path(self) -> Result<PathBuf, UsageError> {
        self.filled().map(PathBuf::from)
    }

    /// The name of a file to write to; `-` is stdout.
    pub fn sink(self) -> Result<Sink, UsageError> {
        let value = self.filled()?;
        Ok(if value == "-" { Sink::Stdout } else { Sink::File(value.into()) })
    }

    /// The name behind the `@` of `@file`.
    pub fn named_file(self) -> Option<&'a Path> {
        self.value.as_bytes().strip_prefix(b"@").map(|name| Path::new(OsStr::from_bytes(name)))
    }

    /// A text that becomes the value of a request field.
    pub fn field_value(self) -> Result<String, UsageError> {
        let text = self.text()?;
        if text.contains(char::is_control) {
            return Err(self.wrong("the value holds a control character"));
        }
        Ok(text.to_owned())
    }

    /// The text as a grammar reads it.
    pub fn read<T>(self, grammar: impl FnOnce(&'a str) -> Result<T, Complaint>) -> Result<T, UsageError> {
        grammar(self.text()?).map_err(|complaint| self.wrong(complaint))
    }
}
