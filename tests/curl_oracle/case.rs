//! A case: what is served, what is run, and where racefetch is meant to differ. `tests/cases/README.md` is
//! the description of the format.

use std::fmt;

use super::outcome::{Entry, Outcome};
use super::script::{self, ServerKind};

#[derive(Clone, Debug, Default)]
pub struct Case {
    pub place: Place,
    pub title: String,
    pub servers: Vec<(String, ServerKind)>,
    pub rules: Vec<RuleLine>,
    pub fixtures: Vec<Fixture>,
    pub environment: Vec<(String, String)>,
    pub stdin: Option<String>,
    pub arguments: Vec<String>,
    /// What the case is run with, once for each of them; without any it is run once.
    pub forms: Vec<Form>,
    /// curl's exit code; several where the kernel's timing decides between them.
    pub exit: Vec<i32>,
    /// Whether anything must have been written to stderr; None where nobody cares.
    pub stderr: Option<bool>,
    pub differs: Option<String>,
    pub ours: Ours,
}

/// Where a case stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    file: String,
    line: usize,
}

/// A way to write the options that a case is about.
#[derive(Clone, Debug)]
pub enum Form {
    /// In front of the arguments.
    Words(Vec<String>),
    /// A line of a file for `-K`.
    ConfigLine(String),
}

#[derive(Clone, Debug)]
pub struct RuleLine {
    pub server: String,
    pub path: String,
    pub words: Vec<String>,
}

/// Something that lies in the folder beforehand. Contents are still unexpanded text.
#[derive(Clone, Debug)]
pub enum Fixture {
    File { name: String, content: String, mode: Option<u32> },
    Folder { name: String },
    Link { name: String, target: String },
}

/// Where racefetch's result is another than curl's; what is not said here must be the same.
#[derive(Clone, Debug, Default)]
pub struct Ours {
    pub exit: Option<i32>,
    pub stdout: Option<String>,
    /// None: the file is not there.
    pub files: Vec<(String, Option<String>)>,
    pub requests: Option<Vec<String>>,
}

impl Case {
    pub fn needs_ipv6(&self) -> bool {
        self.servers.iter().any(|(_, kind)| matches!(kind, ServerKind::HttpIpv6))
    }

    /// The option that has the server's time put on the file is in use, so the time matters.
    pub fn asks_for_remote_time(&self) -> bool {
        self.has_option(&["--remote-time"], 'R')
    }

    pub fn asks_for_compression(&self) -> bool {
        self.arguments.iter().any(|word| word == "--compressed")
    }

    /// The User-Agent was chosen by the caller, so its text matters.
    pub fn sets_user_agent(&self) -> bool {
        let field = |word: &String| word.to_ascii_lowercase().starts_with("user-agent");
        self.has_option(&["--user-agent"], 'A') || self.arguments.iter().any(field)
    }

    /// What racefetch must do, given what curl did; `ours` is there to choose among several right endings.
    pub fn expected_of_racefetch(&self, curl: &Outcome, ours: &Outcome) -> Outcome {
        let mut expected = curl.clone();
        if let Some(exit) = self.ours.exit {
            expected.exit = Ok(exit);
        } else if self.exit.len() > 1 && self.ends_well(ours) {
            expected.exit.clone_from(&ours.exit);
        }

        if let Some(stdout) = &self.ours.stdout {
            expected.stdout = expand(stdout);
        }
        if let Some(requests) = &self.ours.requests {
            expected.requests.clone_from(requests);
        }
        for (name, content) in &self.ours.files {
            match content {
                None => {
                    expected.entries.remove(name);
                }
                Some(content) => {
                    let mode = expected.entries.get(name).map_or(curl.default_file_mode, Entry::mode);
                    let entry = Entry::File { mode, content: expand(content), modified: None };
                    expected.entries.insert(name.clone(), entry);
                }
            }
        }
        expected
    }

    /// The exit code is one of those that the case gives.
    pub fn ends_well(&self, outcome: &Outcome) -> bool {
        outcome.exit.as_ref().is_ok_and(|code| self.exit.contains(code))
    }

    /// The case in each of its forms.
    fn in_each_form(mut self) -> Vec<Self> {
        let forms = std::mem::take(&mut self.forms);
        if forms.is_empty() {
            return vec![self];
        }
        let in_form = |form: Form| {
            let mut case = self.clone();
            let (shown, words) = match form {
                Form::Words(words) => (words.join(" "), words),
                Form::ConfigLine(line) => {
                    let name = "config".to_owned();
                    let content = format!("text:{line}");
                    case.fixtures.push(Fixture::File { name: name.clone(), content, mode: None });
                    (format!("-K with `{line}`"), vec!["-K".to_owned(), name])
                }
            };
            case.title = format!("{}: {shown}", self.title);
            case.arguments.splice(0..0, words);
            case
        };
        forms.into_iter().map(in_form).collect()
    }

    fn has_option(&self, long: &[&str], short: char) -> bool {
        self.arguments.iter().any(|word| {
            let combined = word.starts_with('-') && !word.starts_with("--") && word.contains(short);
            combined || long.contains(&word.as_str())
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tests/cases/{}:{}", self.file, self.line)
    }
}

/// The cases of one file.
///
/// # Errors
///
/// One line that names the file and the line.
pub fn parse(file: &str, text: &str) -> Result<Vec<Case>, String> {
    let mut cases: Vec<Case> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let place = Place { file: file.to_owned(), line: number + 1 };
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(title) = line.strip_prefix("=== ") {
            check_finished(cases.last())?;
            cases.push(Case { place, title: title.to_owned(), ..Case::default() });
            continue;
        }
        let case = cases.last_mut().ok_or_else(|| format!("{place}: before the first title"))?;
        read_line(case, line).map_err(|error| format!("{place}: {error}"))?;
    }
    check_finished(cases.last())?;
    Ok(cases.into_iter().flat_map(Case::in_each_form).collect())
}

fn check_finished(case: Option<&Case>) -> Result<(), String> {
    let Some(case) = case else { return Ok(()) };
    let differs_how = case.ours.exit.is_some()
        || case.ours.stdout.is_some()
        || !case.ours.files.is_empty()
        || case.ours.requests.is_some();
    let missing = match () {
        () if case.arguments.is_empty() => "has no `run`",
        () if case.exit.is_empty() => "has no `exit`",
        () if case.differs.is_some() && !differs_how => "says that it differs, but not how (`ours …`)",
        () if case.differs.is_none() && differs_how => "does not say why it differs (`differs …`)",
        () => return Ok(()),
    };
    Err(format!("{}: {missing}", case.place))
}

fn read_line(case: &mut Case, line: &str) -> Result<(), String> {
    let (keyword, rest) = line.split_once(' ').ok_or_else(|| format!("`{line}` says nothing"))?;
    if keyword == "differs" {
        // Prose, with apostrophes.
        case.differs = Some(rest.to_owned());
        return Ok(());
    }
    if keyword == "config" {
        // It has quotes of its own.
        case.forms.push(Form::ConfigLine(rest.to_owned()));
        return Ok(());
    }
    let mut words = script::split_words(rest)?;
    match keyword {
        "server" => {
            let name = take(&mut words)?;
            case.servers.push((name, ServerKind::parse(&words)?));
        }
        "on" => {
            let first = take(&mut words)?;
            let (server, path) = if first.starts_with(['/', '*']) {
                ("a".to_owned(), first)
            } else {
                (first, take(&mut words)?)
            };
            script::rule(&words)?;
            case.rules.push(RuleLine { server, path, words });
        }
        "put" => {
            let (name, content) = (take(&mut words)?, take(&mut words)?);
            script::content(&content)?;
            let mode = words.first().map(|mode| u32::from_str_radix(mode, 8)).transpose();
            let mode = mode.map_err(|error| format!("mode: {error}"))?;
            case.fixtures.push(Fixture::File { name, content, mode });
        }
        "folder" => case.fixtures.push(Fixture::Folder { name: take(&mut words)? }),
        "link" => {
            case.fixtures.push(Fixture::Link { name: take(&mut words)?, target: take(&mut words)? });
        }
        "env" => {
            let variable = take(&mut words)?;
            let (name, value) = variable.split_once('=').ok_or("env wants NAME=VALUE")?;
            case.environment.push((name.to_owned(), value.to_owned()));
        }
        "stdin" => case.stdin = Some(take(&mut words)?),
        "run" => case.arguments = words,
        "with" => case.forms.push(Form::Words(words)),
        "exit" => case.exit = rest.split('|').map(number).collect::<Result<_, _>>()?,
        "stderr" if rest == "empty" => case.stderr = Some(false),
        "stderr" if rest == "some" => case.stderr = Some(true),
        "ours" => read_ours(&mut case.ours, rest)?,
        _ => return Err(format!("`{keyword}` is no word of the format")),
    }
    Ok(())
}

fn read_ours(ours: &mut Ours, line: &str) -> Result<(), String> {
    let (aspect, rest) = line.split_once(' ').ok_or_else(|| format!("`ours {line}` says nothing"))?;
    let mut words = script::split_words(rest)?;
    match aspect {
        "exit" => ours.exit = Some(number(rest)?),
        "stdout" => {
            let content = take(&mut words)?;
            script::content(&content)?;
            ours.stdout = Some(content);
        }
        "file" => {
            let (name, content) = (take(&mut words)?, take(&mut words)?);
            let content = Some(content).filter(|content| content != "absent");
            content.as_deref().map(script::content).transpose()?;
            ours.files.push((name, content));
        }
        "request" if rest == "none" => ours.requests = Some(Vec::new()),
        "request" => ours.requests.get_or_insert_default().push(rest.to_owned()),
        _ => return Err(format!("`ours {aspect}` is no word of the format")),
    }
    Ok(())
}

fn take(words: &mut Vec<String>) -> Result<String, String> {
    if words.is_empty() {
        return Err("a word is missing".to_owned());
    }
    Ok(words.remove(0))
}

fn number(text: &str) -> Result<i32, String> {
    text.parse().map_err(|_| format!("`{text}` is no number"))
}

fn expand(content: &str) -> Vec<u8> {
    script::content(content).expect("checked when the case was read")
}

#[test]
fn a_case_with_forms_is_several_cases() {
    let text = "=== t\nrun {url}/x\nwith --ftp-pasv\nwith -P -\nconfig quote = \"a b\"\nexit 0\n";
    let cases = parse("f", text).unwrap();
    let lines: Vec<_> = cases.iter().map(|case| case.arguments.join(" ")).collect();
    assert_eq!(lines, ["--ftp-pasv {url}/x", "-P - {url}/x", "-K config {url}/x"]);
    assert_eq!(cases[1].title, "t: -P -");
    let Some(Fixture::File { content, .. }) = cases[2].fixtures.first() else { panic!("no file") };
    assert_eq!(content, "text:quote = \"a b\"");
}

#[test]
fn a_case_that_leaves_something_unsaid_is_refused() {
    let whole = "=== t\nrun {url}/x\nexit 0\n";
    assert_eq!(parse("f", whole).map(|cases| cases.len()), Ok(1));
    for (text, error) in [
        ("run x\n", "before the first title"),
        ("=== t\nexit 0\n", "has no `run`"),
        ("=== t\nrun x\n", "has no `exit`"),
        ("=== t\nrun x\nexit 1\ndiffers because\n", "but not how"),
        ("=== t\nrun x\nexit 1\nours exit 0\n", "does not say why"),
        ("=== t\nrum x\n", "`rum` is no word"),
        ("=== t\non /x serv 1:2\n", "`serv`"),
    ] {
        let refusal = parse("f", text).unwrap_err();
        assert!(refusal.contains(error), "{text:?} gave {refusal:?}");
    }
}
