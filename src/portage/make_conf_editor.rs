//! Changes of make.conf, as bytes in and bytes out: what is not changed stays as it is written.

use std::ffi::{OsStr, OsString};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::MakeConf;
use super::config_files::{ConfigEntry, ReadPath, config_files};
use super::make_conf::{ConfigProblem, Statement, StatementKind};
use super::newlines::{original_offset, unix_newlines};
use super::repos_conf::System;
use super::shell_words::{is_in_word, quote, reads_as};

/// Reads the bytes of a file.
pub type ReadBytes<'r> = dyn Fn(&Path) -> io::Result<Vec<u8>> + 'r;

/// The configuration that is changed.
#[derive(Clone, Copy)]
pub struct Files<'f> {
    pub system: System<'f>,
    pub read: &'f ReadPath<'f>,
    /// The same files, byte for byte.
    pub bytes: &'f ReadBytes<'f>,
}

/// What a variable is to be.
#[derive(Clone, Copy, Debug)]
pub enum NewValue<'v> {
    Text(&'v str),
    /// A list, which is written over several lines when it is long.
    Words(&'v [String]),
}

/// What a file is to hold. It may not exist yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    pub path: PathBuf,
    pub content: Vec<u8>,
}

#[derive(Debug, thiserror::Error)]
pub enum EditError {
    #[error("{0} would be empty: nothing is changed")]
    Empty(String),
    #[error("this value of {0} cannot be written in make.conf: {1}")]
    Unwritable(String, String),
    #[error("{0}; Portage cannot read on from there: correct that first")]
    Syntax(String),
    #[error("{0} begins with a byte order mark, so that Portage cannot read it: remove the mark first")]
    ByteOrderMark(PathBuf),
    #[error("cannot read {}: {error}", path.display())]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("{} was changed meanwhile: try again", .0.display())]
    Changed(PathBuf),
    #[error("{0} would not have that value with the change: nothing is changed")]
    NotEffective(String),
}

/// The first line of what is added to a file; the second half says by which command.
pub const BEGIN: &str = "# racefetch begin";
pub const END: &str = "# racefetch end";

impl Files<'_> {
    /// Reads make.conf. What Portage would stop at is an error.
    pub fn conf(&self) -> Result<MakeConf, EditError> {
        let conf = MakeConf::of_system(self.system.eprefix, self.system.configroot, self.read);
        match conf.problems().iter().find(|problem| !problem.is_passed_over()) {
            None => Ok(conf),
            Some(ConfigProblem::Unreadable { path, error }) => {
                Err(EditError::Unreadable { path: path.clone(), error: io::Error::other(error.to_string()) })
            }
            Some(ConfigProblem::Syntax { path, .. }) if self.has_byte_order_mark(path) => {
                Err(EditError::ByteOrderMark(path.clone()))
            }
            Some(problem) => Err(EditError::Syntax(problem.to_string())),
        }
    }

    fn has_byte_order_mark(&self, path: &Path) -> bool {
        (self.bytes)(path).is_ok_and(|bytes| bytes.starts_with("\u{feff}".as_bytes()))
    }

    /// Sets a variable: the assignment that counts gets the value. When there is none, one is added above the first
    /// command that uses the variable, else at the end. `None` when the variable has that value already.
    pub fn set(&self, name: &str, value: NewValue<'_>, by: &str) -> Result<Option<Edit>, EditError> {
        if value.is_empty() {
            return Err(EditError::Empty(name.to_owned()));
        }
        let conf = self.conf()?;
        if conf.get(name).is_some_and(|now| value.is(now)) {
            return Ok(None);
        }
        let unwritable = || EditError::Unwritable(name.to_owned(), value.text());
        let written = value.written().ok_or_else(unwritable)?;
        match conf.statements().iter().rfind(|statement| statement.assigns(name)) {
            Some(Statement { path, kind: StatementKind::Assignment { value, .. }, .. }) => {
                self.replace(path, value.clone(), &written).map(Some)
            }
            _ => self.add(&conf, name, &format!("{name}={written}"), by).map(Some),
        }
    }

    /// Adds a line that sets a variable, above its first use.
    fn add(&self, conf: &MakeConf, name: &str, line: &str, by: &str) -> Result<Edit, EditError> {
        let statements = conf.statements();
        let Some(mut first) = statements.iter().position(|statement| statement.uses(name)) else {
            return self.append(&[line], by);
        };
        while let Some(above) = statements[first].sourced_by {
            first = above;
        }
        let Statement { path, span, .. } = &statements[first];
        let file = self.original(path)?;
        let before = &file.text[..span.start];
        let line_start = before.rfind('\n').map_or(0, |end| end + 1);
        let text = block(&[line], by);
        // What stands before it in its line belongs to another command.
        if before[line_start..].trim().is_empty() {
            return Ok(file.with(line_start..line_start, &text));
        }
        Ok(file.with(span.start..span.start, &format!("\n{text}")))
    }

    /// Adds lines at the end of make.conf, or, when that is a folder, in a file that is read last.
    pub fn append(&self, lines: &[&str], by: &str) -> Result<Edit, EditError> {
        let text = block(lines, by);
        let top = self.system.configroot.join("etc/portage/make.conf");
        let old_top = self.system.configroot.join("etc/make.conf");
        let files = config_files(&top, self.read);
        let is_folder = files.first().map_or_else(
            || matches!((self.read)(&top), Ok(ConfigEntry::Folder(_))),
            |(path, _)| *path != top,
        );
        if is_folder {
            let path = top.join(last_name(&top, files.iter().map(|(path, _)| path.as_path())));
            return match self.original(&path) {
                Err(EditError::Unreadable { error, .. }) if error.kind() == io::ErrorKind::NotFound => {
                    Ok(Edit { path, content: text.into_bytes() })
                }
                file => Ok(file?.with_end(&text)),
            };
        }
        let is_there = |path: &Path| matches!((self.read)(path), Ok(ConfigEntry::File(_)));
        if let Some(path) = [&top, &old_top].into_iter().find(|path| is_there(path)) {
            return Ok(self.original(path)?.with_end(&text));
        }
        Ok(Edit { path: top, content: text.into_bytes() })
    }

    /// Removes what was added to a file by a command. `None` when there is nothing of it.
    pub fn without_block(&self, path: &Path, by: &str) -> Result<Option<Edit>, EditError> {
        let file = self.original(path)?;
        let begin = format!("{BEGIN}: written by `{by}`\n");
        let end = format!("{END}\n");
        let starts_line = |at: usize| at == 0 || file.text.as_bytes()[at - 1] == b'\n';
        let start = file.text.match_indices(&begin).map(|(at, _)| at).find(|&at| starts_line(at));
        let Some(start) = start else { return Ok(None) };
        let mut ends = file.text[start..].match_indices(&end).map(|(at, _)| start + at);
        let Some(last) = ends.find(|&at| starts_line(at)) else { return Ok(None) };
        Ok(Some(file.with(start..last + end.len(), "")))
    }

    /// Removes a command, and its line when nothing else is in it.
    pub fn without(&self, statement: &Statement) -> Result<Edit, EditError> {
        let file = self.original(&statement.path)?;
        let Range { start, end } = statement.span;
        let line_start = file.text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = file.text[end..].find('\n').map_or(file.text.len(), |at| end + at + 1);
        let is_alone =
            file.text[line_start..start].trim().is_empty() && file.text[end..line_end].trim().is_empty();
        Ok(file.with(if is_alone { line_start..line_end } else { start..end }, ""))
    }

    /// Takes a part of the text of a file out, and puts another in its place.
    pub fn replace(&self, path: &Path, span: Range<usize>, written: &str) -> Result<Edit, EditError> {
        let file = self.original(path)?;
        let joins = file.text[span.end..].starts_with(is_in_word);
        Ok(file.with(span, &format!("{written}{}", if joins { " " } else { "" })))
    }

    fn original(&self, path: &Path) -> Result<Original, EditError> {
        let unreadable = |error| EditError::Unreadable { path: path.to_path_buf(), error };
        let bytes = (self.bytes)(path).map_err(unreadable)?;
        let text = unix_newlines(String::from_utf8_lossy(&bytes).into_owned());
        match (self.read)(path).map_err(unreadable)? {
            ConfigEntry::File(read) if read == text => Ok(Original { path: path.to_path_buf(), text, bytes }),
            _ => Err(EditError::Changed(path.to_path_buf())),
        }
    }
}

/// A name in a folder that is read after all others there, or the last one when that is ours.
fn last_name<'p>(top: &Path, paths: impl Iterator<Item = &'p Path>) -> OsString {
    let first_part = |path: &'p Path| path.strip_prefix(top).ok()?.iter().next();
    let last = paths.filter_map(first_part).max().unwrap_or_default();
    if last <= OsStr::new(OURS) {
        return OURS.into();
    }
    let is_ours = last.as_encoded_bytes().ends_with(OURS_BEHIND.as_bytes());
    let mut name = last.to_os_string();
    name.push(if is_ours { "" } else { OURS_BEHIND });
    name
}

/// Files of ours in a folder of make.conf.
const OURS: &str = "zz-racefetch";
const OURS_BEHIND: &str = "-racefetch";

fn block(lines: &[&str], by: &str) -> String {
    format!("{BEGIN}: written by `{by}`\n{}\n{END}\n", lines.join("\n"))
}

/// A file as Portage reads it, and as it is.
struct Original {
    path: PathBuf,
    text: String,
    bytes: Vec<u8>,
}

impl Original {
    /// The file with another text in place of a part of its own, and line ends as it has them.
    fn with(self, span: Range<usize>, text: &str) -> Edit {
        let offset = |at| original_offset(&self.bytes, at).unwrap_or(self.bytes.len());
        let (start, end) = (offset(span.start), offset(span.end));
        let text = text.replace('\n', self.newline());
        let content = [&self.bytes[..start], text.as_bytes(), &self.bytes[end..]].concat();
        Edit { path: self.path, content }
    }

    fn with_end(self, text: &str) -> Edit {
        let end = self.text.len();
        let begins_line = self.text.is_empty() || self.text.ends_with('\n');
        let gap = if begins_line { "" } else { "\n" };
        self.with(end..end, &format!("{gap}{text}"))
    }

    /// What its first line ends with.
    fn newline(&self) -> &'static str {
        match self.bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            Some(at) if self.bytes[at..].starts_with(b"\r\n") => "\r\n",
            Some(at) if self.bytes[at] == b'\r' => "\r",
            _ => "\n",
        }
    }
}

impl NewValue<'_> {
    /// Whether a variable with that value needs no change.
    pub fn is(&self, value: &str) -> bool {
        match self {
            Self::Text(text) => *text == value,
            Self::Words(words) => value.split_whitespace().eq(words.iter().map(String::as_str)),
        }
    }

    fn is_empty(&self) -> bool {
        self.text().trim().is_empty()
    }

    pub fn text(&self) -> String {
        match self {
            Self::Text(text) => (*text).to_owned(),
            Self::Words(words) => words.join(" "),
        }
    }

    /// The value with its quotes. `None` when it would not be read as that value.
    fn written(&self) -> Option<String> {
        let text = self.text();
        let line = quote(&text)?;
        let Self::Words(words) = self else { return Some(line) };
        if text.split_whitespace().ne(words.iter().map(String::as_str)) {
            return None;
        }
        let lines = line.replace(' ', " \\\n    ");
        let is_right = || reads_as(&lines, &text.replace(' ', "     "));
        Some(if line.len() > LONG && is_right() { lines } else { line })
    }
}

/// Longer lists are written over several lines.
const LONG: usize = 72;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::portage::config_files::reader;

    const TOP: &str = "/etc/portage/make.conf";

    /// Sets `GENTOO_MIRRORS` in some files: the path that is changed, and its new text.
    fn set(files: &[(&str, &str)], value: NewValue<'_>) -> Result<Option<(String, String)>, EditError> {
        let read = reader(files);
        let bytes = |path: &Path| match read(path)? {
            ConfigEntry::File(_) => {
                let found = files.iter().find(|(name, _)| Path::new(name) == path);
                Ok(found.expect("it was just read").1.as_bytes().to_vec())
            }
            ConfigEntry::Folder(_) => Err(io::ErrorKind::IsADirectory.into()),
        };
        let read_unix = |path: &Path| match read(path)? {
            ConfigEntry::File(text) => Ok(ConfigEntry::File(unix_newlines(text))),
            folder @ ConfigEntry::Folder(_) => Ok(folder),
        };
        let system = System { eprefix: Path::new("/"), configroot: Path::new("/") };
        let edit = Files { system, read: &read_unix, bytes: &bytes }.set("GENTOO_MIRRORS", value, "x")?;
        let text = |content| String::from_utf8(content).expect("the tests are UTF-8");
        Ok(edit.map(|edit| (edit.path.display().to_string(), text(edit.content))))
    }

    #[test]
    fn the_value_that_counts_is_replaced_and_nothing_else() {
        for (before, after) in [
            ("GENTOO_MIRRORS=http://old", "GENTOO_MIRRORS=\"http://new\""),
            (
                "A=1\nexport GENTOO_MIRRORS = 'a\nb'# c\nB=2",
                "A=1\nexport GENTOO_MIRRORS = \"http://new\"# c\nB=2",
            ),
            (
                "GENTOO_MIRRORS=a\r\nGENTOO_MIRRORS=\"${GENTOO_MIRRORS} \\\r\n b\"\r\n# é\r\n",
                "GENTOO_MIRRORS=a\r\nGENTOO_MIRRORS=\"http://new\"\r\n# é\r\n",
            ),
            ("GENTOO_MIRRORS=(A=1", "GENTOO_MIRRORS=\"http://new\" A=1"),
        ] {
            let changed = set(&[(TOP, before)], NewValue::Text("http://new")).unwrap();
            assert_eq!(changed, Some((TOP.to_owned(), after.to_owned())), "{before:?}");
        }
    }

    #[test]
    fn the_last_assignment_counts_wherever_it_stands() {
        let path = |files: &[(&str, &str)]| set(files, NewValue::Text("n")).unwrap().unwrap().0;
        let (old, ten, twenty) =
            ("/etc/make.conf", "/etc/portage/make.conf/10", "/etc/portage/make.conf/20/a");
        assert_eq!(path(&[(old, "GENTOO_MIRRORS=a"), (ten, "GENTOO_MIRRORS=b"), (twenty, "A=1")]), ten);
        assert_eq!(path(&[(old, "GENTOO_MIRRORS=a"), (ten, "A=2"), (twenty, "A=1")]), old);
        assert_eq!(path(&[(ten, "GENTOO_MIRRORS=b"), (twenty, "GENTOO_MIRRORS=b")]), twenty);
        assert_eq!(
            path(&[(TOP, "GENTOO_MIRRORS=a\nsource m"), ("/etc/portage/m", "GENTOO_MIRRORS=b")]),
            "/etc/portage/m"
        );
        assert_eq!(path(&[(TOP, "source m\nGENTOO_MIRRORS=a"), ("/etc/portage/m", "GENTOO_MIRRORS=b")]), TOP);
    }

    #[test]
    fn what_is_not_set_yet_goes_above_its_first_use() {
        let block = "# racefetch begin: written by `x`\nGENTOO_MIRRORS=\"n\"\n# racefetch end\n";
        let snippet = ("/s", "FETCHCOMMAND=\"racefetch --mirrors \\\"${GENTOO_MIRRORS}\\\"\"");
        for (before, after) in [
            ("A=1", format!("A=1\n{block}")),
            ("A=1\n", format!("A=1\n{block}")),
            ("", block.to_owned()),
            ("A=1\n# racing\n  source /s\nB=2\n", format!("A=1\n# racing\n{block}  source /s\nB=2\n")),
            ("A=1 source /s", format!("A=1 \n{block}source /s")),
            ("A=1\r\nsource /s\r\n", format!("A=1\r\n{}source /s\r\n", block.replace('\n', "\r\n"))),
            ("source m\n", format!("{block}source m\n")),
        ] {
            let files = [(TOP, before), snippet, ("/etc/portage/m", "source /s\n")];
            let changed = set(&files, NewValue::Text("n")).unwrap();
            assert_eq!(changed, Some((TOP.to_owned(), after)), "{before:?}");
        }
        for (files, path) in [
            (&[] as &[_], TOP),
            (&[("/etc/portage/make.conf/10", "A=1")], "/etc/portage/make.conf/zz-racefetch"),
            (&[("/etc/portage/make.conf/zzz/x", "A=1")], "/etc/portage/make.conf/zzz-racefetch"),
            (&[("/etc/make.conf", "")], "/etc/make.conf"),
        ] {
            let changed = set(files, NewValue::Text("n")).unwrap();
            assert_eq!(changed, Some((path.to_owned(), block.to_owned())), "{files:?}");
        }
    }

    #[test]
    fn long_lists_are_written_over_several_lines() {
        let words: Vec<String> = (0..4).map(|n| format!("https://mirror-{n}.example.org/gentoo")).collect();
        let (_, text) = set(&[(TOP, "GENTOO_MIRRORS=''")], NewValue::Words(&words)).unwrap().unwrap();
        assert_eq!(text.matches(" \\\n    https").count(), 3, "{text}");
        let same = set(&[(TOP, &text)], NewValue::Words(&words)).unwrap();
        assert_eq!(same, None);
    }

    #[test]
    fn refusals_name_what_to_do() {
        let new = NewValue::Text("http://new");
        for (files, value, message) in [
            (&[(TOP, "A=1")] as &[_], NewValue::Words(&[]), "GENTOO_MIRRORS would be empty"),
            (&[(TOP, "A=1")], NewValue::Text(" "), "GENTOO_MIRRORS would be empty"),
            (&[(TOP, "A=1")], NewValue::Text("a\nb"), "cannot be written"),
            (&[(TOP, "A=1")], NewValue::Words(&["a b".to_owned()]), "cannot be written"),
            (&[(TOP, "A=1\nB")], new, "make.conf, line 2: "),
            (&[(TOP, "A=1\nB='")], new, "a quotation is not closed; Portage cannot read on"),
            (&[(TOP, "source /missing")], new, "cannot read /missing: "),
            (&[(TOP, "\u{feff}A=1")], new, "make.conf begins with a byte order mark"),
        ] {
            let error = set(files, value).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
        // What Portage reads on behind.
        assert!(set(&[(TOP, "A=\"${x:-y}\"")], new).unwrap().is_some());
    }
}
