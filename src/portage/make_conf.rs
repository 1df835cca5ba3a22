//! make.conf(5) and make.globals: variables, as Portage's `getconfig` reads them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::config_files::{ConfigEntry, ReadPath, config_files};
use super::shell_words::{Lexer, SyntaxError, expand, uses};

/// The variables of the configuration that was read, and what could not be read of it.
#[derive(Debug, Default)]
pub struct MakeConf {
    variables: BTreeMap<String, String>,
    /// What env-update(1) has made of `/etc/env.d`.
    env_d: BTreeMap<String, String>,
    problems: Vec<ConfigProblem>,
    /// The commands of make.conf, in the order in which they were read.
    statements: Vec<Statement>,
    /// The `source` command, by its index, that is followed now.
    sourced_by: Option<usize>,
    sourced: usize,
}

/// A command of make.conf, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    pub path: PathBuf,
    /// The bytes of the file's text, in which a line ends with LF.
    pub span: Range<usize>,
    pub line: usize,
    /// The `source` command that led to this file, by its index; none in make.conf itself.
    pub sourced_by: Option<usize>,
    pub kind: StatementKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatementKind {
    /// The value is written in these bytes. `word` is what is left without its quotes.
    Assignment {
        name: String,
        value: Range<usize>,
        word: String,
    },
    Source {
        target: PathBuf,
    },
}

impl ConfigProblem {
    /// Whether Portage reads on behind it.
    pub fn is_passed_over(&self) -> bool {
        matches!(self, Self::Syntax { reason, .. } if is_substitution(reason))
    }
}

impl Statement {
    /// Whether its value depends on a variable.
    pub fn uses(&self, variable: &str) -> bool {
        matches!(&self.kind, StatementKind::Assignment { word, .. } if uses(word, variable))
    }

    pub fn assigns(&self, variable: &str) -> bool {
        matches!(&self.kind, StatementKind::Assignment { name, .. } if name == variable)
    }
}

/// What was wrong in a configuration file. The variables set before that place are kept.
#[derive(Debug, thiserror::Error)]
pub enum ConfigProblem {
    #[error("cannot read {}: {error}", path.display())]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("{}, line {line}: {reason}", path.display())]
    Syntax { path: PathBuf, line: usize, reason: ConfigError },
}

/// Why a line could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error(transparent)]
    Words(#[from] SyntaxError),
    #[error("{0:?} is not followed by `=`")]
    NoAssignment(String),
    #[error("{0:?} is not followed by a value")]
    NoValue(String),
    #[error("{0:?} is not a variable's name")]
    Name(String),
    #[error("too many `source` commands, or a loop of them")]
    SourceLoop,
}

impl MakeConf {
    /// Reads what Portage reads of a system: the variables of `/etc/env.d`, which the others may use, make.globals of
    /// the Portage that is installed under `eprefix`, then `/etc/make.conf` and `/etc/portage/make.conf` under `configroot`
    /// (`PORTAGE_CONFIGROOT`). Profiles, which may set variables between the two, are not read.
    pub fn of_system(eprefix: &Path, configroot: &Path, read: &ReadPath<'_>) -> Self {
        let mut conf = Self::default();
        conf.read_env_d(&eprefix.join("etc/profile.env"), read);
        conf.set("EPREFIX", eprefix);
        conf.set("PORTAGE_CONFIGROOT", configroot);
        for globals in ["usr/share/portage/config/make.globals", "share/portage/config/make.globals"] {
            conf.read_globals(&eprefix.join(globals), read);
        }
        conf.read_make_conf(&configroot.join("etc/make.conf"), read);
        conf.read_make_conf(&configroot.join("etc/portage/make.conf"), read);
        conf
    }

    pub fn get(&self, variable: &str) -> Option<&str> {
        self.variables.get(variable).map(String::as_str)
    }

    /// What a variable is when the environment has it, too: the environment counts, but for what it has from
    /// `/etc/env.d`, of which every login shell brings a copy.
    pub fn get_over<'v>(&'v self, variable: &str, environment: Option<&'v str>) -> Option<&'v str> {
        let is_copy = |value: &&str| self.env_d.get(variable).is_some_and(|known| known == value);
        environment.filter(|value| !is_copy(value)).or_else(|| self.get(variable))
    }

    /// `GENTOO_MIRRORS`, which may be in the environment: each mirror once, without the slashes at its end. A mirror
    /// may be a path of the file system, or of a scheme that cannot be fetched from.
    pub fn gentoo_mirrors(&self, environment: Option<&str>) -> Vec<String> {
        let list = self.get_over("GENTOO_MIRRORS", environment).unwrap_or_default();
        let mirrors = list.split_whitespace().map(|word| word.trim_end_matches('/'));
        let mut seen = BTreeSet::new();
        mirrors.filter(|mirror| !mirror.is_empty() && seen.insert(*mirror)).map(str::to_owned).collect()
    }

    /// What could not be read, in the order in which it was met.
    pub fn problems(&self) -> &[ConfigProblem] {
        &self.problems
    }

    /// The commands of make.conf, in the order in which they were read.
    pub fn statements(&self) -> &[Statement] {
        &self.statements
    }

    fn set(&mut self, variable: &str, path: &Path) {
        self.variables.insert(variable.to_owned(), path.to_string_lossy().into_owned());
    }

    /// Reads `profile.env`, the sum of `/etc/env.d`. Portage substitutes nothing in it.
    fn read_env_d(&mut self, path: &Path, read: &ReadPath<'_>) {
        match read(path) {
            Ok(ConfigEntry::File(text)) => {
                let mut lexer = Lexer::new(&text);
                while let Ok(Some((name, value))) = assignment(&mut lexer) {
                    self.env_d.insert(name.clone(), value.clone());
                    self.variables.insert(name, value);
                }
            }
            Ok(ConfigEntry::Folder(_)) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => self.unreadable(path, error),
        }
    }

    /// Reads make.globals: one file, in which `source` means nothing.
    fn read_globals(&mut self, path: &Path, read: &ReadPath<'_>) {
        match read(path) {
            Ok(ConfigEntry::File(text)) => self.read_text(path, &text, None),
            Ok(ConfigEntry::Folder(_)) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => self.unreadable(path, error),
        }
    }

    /// Reads make.conf: a file, or all files of a folder.
    fn read_make_conf(&mut self, top: &Path, read: &ReadPath<'_>) {
        for (path, content) in config_files(top, read) {
            match content {
                Ok(text) => self.read_text(&path, &text, Some(read)),
                Err(error) => self.unreadable(&path, error),
            }
        }
    }

    fn unreadable(&mut self, path: &Path, error: io::Error) {
        self.problems.push(ConfigProblem::Unreadable { path: path.to_path_buf(), error });
    }

    /// Reads the assignments of one file; `source` commands only when there is something to read with.
    fn read_text(&mut self, path: &Path, text: &str, read: Option<&ReadPath<'_>>) {
        let mut lexer = Lexer::new(text);
        loop {
            let reason = match self.read_command(&mut lexer, path, read) {
                Ok(Command::Done) => continue,
                Ok(Command::End) => return,
                Err(reason) => reason,
            };
            // Behind a value that cannot be substituted (it is empty then, as in Portage), or a bad name, the
            // next assignment is known to begin. Elsewhere it is not; Portage itself would not start.
            let goes_on = matches!(reason, ConfigError::Name(_)) || is_substitution(&reason);
            let (path, line) = (path.to_path_buf(), lexer.line());
            self.problems.push(ConfigProblem::Syntax { path, line, reason });
            if !goes_on {
                return;
            }
        }
    }

    /// Reads `source PATH`, `NAME=VALUE` or `export NAME=VALUE`.
    fn read_command(
        &mut self,
        lexer: &mut Lexer<'_>,
        path: &Path,
        read: Option<&ReadPath<'_>>,
    ) -> Result<Command, ConfigError> {
        let Some((mut name, mut span)) = lexer.next_spanned()? else { return Ok(Command::End) };
        let line = lexer.line();
        let record = |conf: &mut Self, span, kind| {
            let (path, sourced_by) = (path.to_path_buf(), conf.sourced_by);
            conf.statements.push(Statement { path, span, line, sourced_by, kind });
        };
        if let Some(read) = read.filter(|_| name == "source") {
            let (word, end) = lexer.next_spanned()?.ok_or(ConfigError::NoValue(name))?;
            // Portage takes the end of a sourced file for the end of the one that it names last.
            if self.sourced_by.is_some() && lexer.is_at_end() {
                return Ok(Command::Done);
            }
            self.sourced += 1;
            if self.sourced > MAX_SOURCED {
                return Err(ConfigError::SourceLoop);
            }
            // A relative path starts from the file that says so.
            let target = path.parent().unwrap_or(path).join(expand(&word, &self.variables)?);
            record(self, span.start..end.end, StatementKind::Source { target: target.clone() });
            self.source(&target, read);
            return Ok(Command::Done);
        }
        if name == "export" {
            let Some((exported, _)) = lexer.next_spanned()? else { return Ok(Command::End) };
            name = exported;
        }
        let (word, value) = assigned(lexer, &name)?;
        if !is_variable_name(&name) {
            return Err(ConfigError::Name(name));
        }
        let (expanded, done) = match expand(&word, &self.variables) {
            Ok(value) => (value, Ok(Command::Done)),
            Err(error) => (String::new(), Err(error.into())),
        };
        if read.is_some() {
            span.end = value.end;
            record(self, span, StatementKind::Assignment { name: name.clone(), value, word });
        }
        self.variables.insert(name, expanded);
        done
    }

    /// Reads another file in place of a `source` command, which was read last.
    fn source(&mut self, path: &Path, read: &ReadPath<'_>) {
        let above = self.sourced_by.replace(self.statements.len() - 1);
        match read(path) {
            Ok(ConfigEntry::File(text)) => self.read_text(path, &text, Some(read)),
            Ok(ConfigEntry::Folder(_)) => self.unreadable(path, io::ErrorKind::IsADirectory.into()),
            Err(error) => self.unreadable(path, error),
        }
        self.sourced_by = above;
    }
}

enum Command {
    Done,
    End,
}

/// The word behind `=`, and where it is written.
fn assigned(lexer: &mut Lexer<'_>, name: &str) -> Result<(String, Range<usize>), ConfigError> {
    if lexer.next_word()?.as_deref() != Some("=") {
        return Err(ConfigError::NoAssignment(name.to_owned()));
    }
    lexer.next_spanned()?.ok_or_else(|| ConfigError::NoValue(name.to_owned()))
}

/// `NAME=VALUE` or `export NAME=VALUE`, the value as it is written.
fn assignment(lexer: &mut Lexer<'_>) -> Result<Option<(String, String)>, ConfigError> {
    let mut name = lexer.next_word()?;
    if name.as_deref() == Some("export") {
        name = lexer.next_word()?;
    }
    let Some(name) = name else { return Ok(None) };
    let (value, _) = assigned(lexer, &name)?;
    Ok(Some((name, value)))
}

/// How many `source` commands are followed in all; more are taken for a loop.
const MAX_SOURCED: usize = 100;

/// True for an error in a value whose end is known.
fn is_substitution(error: &ConfigError) -> bool {
    use SyntaxError::{BadSubstitution, OpenBrace, TooLong};
    matches!(error, ConfigError::Words(OpenBrace | BadSubstitution | TooLong))
}

fn is_variable_name(name: &str) -> bool {
    !name.starts_with(|first: char| first.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::portage::config_files::reader;
    use proptest::prelude::*;

    const GLOBALS: &str = "/usr/share/portage/config/make.globals";

    fn system(files: &[(&str, &str)]) -> MakeConf {
        MakeConf::of_system(Path::new("/"), Path::new("/"), &reader(files))
    }

    fn problems(conf: &MakeConf) -> Vec<String> {
        conf.problems().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_mirrors_of_a_system() {
        let globals = (GLOBALS, "GENTOO_MIRRORS=\"http://distfiles.gentoo.org\"\n");
        let old = ("/etc/make.conf", "GENTOO_MIRRORS=http://old/\n");
        let appended =
            ("/etc/portage/make.conf", "GENTOO_MIRRORS=\"${GENTOO_MIRRORS}\n  http://x/ \\\n\thttp://y\"");
        for (files, mirrors) in [
            (&[] as &[_], &[] as &[&str]),
            (&[globals], &["http://distfiles.gentoo.org"]),
            (&[globals, old], &["http://old"]),
            (&[globals, appended], &["http://distfiles.gentoo.org", "http://x", "http://y"]),
            (&[globals, old, appended], &["http://old", "http://x", "http://y"]),
            (&[appended], &["http://x", "http://y"]),
            (&[globals, ("/etc/portage/make.conf", "GENTOO_MIRRORS=''")], &[]),
            (
                &[("/etc/make.conf", "GENTOO_MIRRORS='http://a http://b/ http://a/ / /mnt/m//'")],
                &["http://a", "http://b", "/mnt/m"],
            ),
        ] {
            let conf = system(files);
            assert_eq!(conf.gentoo_mirrors(None), mirrors, "{files:?}");
            assert!(conf.problems().is_empty(), "{:?}", conf.problems());
        }
    }

    #[test]
    fn the_environment_and_env_d() {
        let globals = (GLOBALS, "GENTOO_MIRRORS=http://globals\n");
        let env_d = (
            "/etc/profile.env",
            "export LAN='http://nas.lan/'\nexport RAW='$LAN'\nexport GENTOO_MIRRORS='http://env.d'\n",
        );
        let uses = ("/etc/portage/make.conf", "GENTOO_MIRRORS=\"${LAN} http://x $RAW\"\n");
        for (files, environment, mirrors) in [
            (&[globals, env_d] as &[_], None, &["http://globals"] as &[&str]),
            (&[env_d], None, &["http://env.d"]),
            (&[globals, env_d, uses], None, &["http://nas.lan", "http://x", "$LAN"]),
            (&[uses], None, &["http://x"]),
            (&[globals, uses], Some("http://e/ http://f"), &["http://e", "http://f"]),
            (&[globals, uses], Some(""), &[]),
            (&[globals, env_d], Some("http://env.d"), &["http://globals"]),
            (&[globals, env_d], Some("http://env.d http://e"), &["http://env.d", "http://e"]),
        ] {
            let conf = system(files);
            assert_eq!(conf.gentoo_mirrors(environment), mirrors, "{environment:?} {files:?}");
            assert!(conf.problems().is_empty(), "{:?}", conf.problems());
        }
    }

    #[test]
    fn prefixes() {
        let files = [
            ("/p/share/portage/config/make.globals", "GENTOO_MIRRORS=http://p DISTDIR=${EPREFIX}/d"),
            ("/c/etc/portage/make.conf", "GENTOO_MIRRORS=\"$GENTOO_MIRRORS http://c\""),
            ("/etc/portage/make.conf", "GENTOO_MIRRORS=http://other"),
        ];
        let conf = MakeConf::of_system(Path::new("/p"), Path::new("/c"), &reader(&files));
        assert_eq!(conf.gentoo_mirrors(None), ["http://p", "http://c"]);
        assert_eq!(conf.get("DISTDIR"), Some("/p/d"));
    }

    #[test]
    fn a_folder_is_read_in_the_order_of_its_names() {
        let conf = system(&[
            ("/etc/portage/make.conf/20-b", "A=\"$A b\""),
            (
                "/etc/portage/make.conf/10-a",
                "A=a\nsource ${DIR}snippets/x # relative to this file\nexport B=$X",
            ),
            ("/etc/portage/make.conf/snippets/x", "X=\"from snippet\""),
            ("/etc/portage/make.conf/30~", "A=backup"),
            ("/etc/portage/make.conf/.keep", "A=hidden"),
        ]);
        assert_eq!(conf.get("A"), Some("a b"));
        assert_eq!(conf.get("B"), Some("from snippet"));
        assert!(conf.problems().is_empty(), "{:?}", conf.problems());
    }

    #[test]
    fn sourced_files_may_be_absent_and_loops_end() {
        let conf = system(&[
            ("/etc/portage/make.conf", "A=1\nsource /absent\nsource loop\nB=2\n"),
            ("/etc/portage/loop", "N=\"$N.\"\nsource ./loop\nsource loop"),
        ]);
        assert_eq!((conf.get("A"), conf.get("B")), (Some("1"), Some("2")));
        assert_eq!(conf.get("N").map(str::len), Some(MAX_SOURCED - 1));
        let problems = problems(&conf);
        assert!(problems[0].starts_with("cannot read /absent: "), "{problems:?}");
        assert!(
            problems[1].ends_with("line 2: too many `source` commands, or a loop of them"),
            "{problems:?}"
        );
    }

    #[test]
    fn a_sourced_file_whose_last_line_is_not_ended_sources_nothing_there() {
        for (end, value) in [("", "1"), ("\n", "2"), (" ", "2"), ("# x", "2")] {
            let nested = format!("A=1\nsource '/y'{end}");
            let conf = system(&[("/etc/make.conf", "source /x"), ("/x", &nested), ("/y", "A=2")]);
            assert_eq!(conf.get("A"), Some(value), "{end:?}");
        }
    }

    #[test]
    fn make_globals_does_not_source() {
        let conf = system(&[(GLOBALS, "A=1\nsource x\nB=2"), ("/usr/share/portage/config/x", "C=3")]);
        assert_eq!((conf.get("A"), conf.get("B"), conf.get("C")), (Some("1"), None, None));
        assert_eq!(problems(&conf), [format!("{GLOBALS}, line 2: \"source\" is not followed by `=`")]);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (text, line, goes_on) in [
            ("1A=x\nB=1", 1, true),
            ("A-B=x\nB=1", 1, true),
            ("A=${x\nB=1", 1, true),
            ("A=\"${x:-y}\"\nB=1", 1, true),
            ("A\nB=1", 2, false),
            ("A=x=y\nB=1", 1, false),
            ("A=\"x\nB=1", 2, false),
            ("A=", 1, false),
            ("source", 1, false),
        ] {
            let conf = system(&[("/etc/portage/make.conf", text)]);
            let [ConfigProblem::Syntax { line: at, .. }] = conf.problems() else {
                panic!("{text:?}: {:?}", conf.problems())
            };
            assert_eq!((*at, conf.get("B").is_some()), (line, goes_on), "{text:?}");
        }
    }

    #[test]
    fn a_value_that_grows_without_end_is_refused() {
        let doubling = "A=\"$A$A\"\n".repeat(64);
        let conf = system(&[("/etc/portage/make.conf", &format!("A=xxxxxxxx\n{doubling}"))]);
        assert!(
            problems(&conf)[0].ends_with("the value is longer than 1048576 bytes"),
            "{:?}",
            conf.problems()
        );
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd(text in "(source|export|A=|\\$\\{?A\\}?|[\"'\\\\#=\n a]|\\PC){0,30}") {
            let files = [("/etc/portage/make.conf", text.as_str()), ("/etc/portage/a", "A=$A")];
            let conf = system(&files);
            let _ = (problems(&conf), conf.gentoo_mirrors(None));
        }

        #[test]
        fn mirrors_come_back(mirrors in prop::collection::vec("https?://[a-z]{1,8}/[a-z]{1,8}", 0..5)) {
            let text = format!("GENTOO_MIRRORS=\"\n{}\n\"\n", mirrors.join("/\n\t"));
            let mut once: Vec<String> = Vec::new();
            for mirror in mirrors {
                if !once.contains(&mirror) {
                    once.push(mirror);
                }
            }
            prop_assert_eq!(system(&[("/etc/make.conf", &text)]).gentoo_mirrors(None), once);
        }
    }
}
