//! The dependency rule of `src/lib.rs`, read from the source.
//!
//! Comments, strings and unit tests (from `#[cfg(test)] mod … {` to the end of the file, and files called
//! `tests.rs`) do not count: a test may stand on anything.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// The modules of the crate, and which others each may name. `commands` may name all of them.
const MAY_NAME: &[(&str, &[&str])] = &[
    ("cli", &["http", "portage"]),
    ("files", &[]),
    ("http", &[]),
    ("mirror", &["files", "http", "portage"]),
    ("patience", &[]),
    ("portage", &["http"]),
    ("progress", &[]),
    ("survey", &["files", "http", "mirror", "portage"]),
    ("timeline", &["http", "transfer"]),
    ("transfer", &["files", "http", "portage"]),
];

/// What any module may name.
const FOR_ALL: &[&str] = &["patience"];

/// The only files that name the HTTP library, so that it can be replaced.
const NAMES_UREQ: &[&str] = &["http/agent", "http/connector", "http/reader", "http/tls", "http/wire"];

/// Files that decide and do nothing: no clock, no disk, no network, no thread, no environment. A folder stands
/// for all files in it. The list is complete, but for files without a function: they only hand names on.
const PURE: &[&str] = &[
    "cli",
    "commands/answers.rs",
    "commands/difference.rs",
    "commands/doctor/checks.rs",
    "commands/doctor/facts.rs",
    "commands/doctor/report.rs",
    "commands/ended.rs",
    "commands/explain.rs",
    "commands/fetch/status.rs",
    "commands/places/turn.rs",
    "commands/prefetch/report.rs",
    "commands/rank/sites.rs",
    "commands/setup/record.rs",
    "commands/setup/timer.rs",
    "commands/stats/fitting.rs",
    "commands/stats/overview.rs",
    "commands/stats/page.rs",
    "commands/stats/prometheus.rs",
    "commands/stats/table.rs",
    "commands/stats/units.rs",
    "http/answer_head.rs",
    "http/ask.rs",
    "http/chunks.rs",
    "http/cookies.rs",
    "http/date.rs",
    "http/deadlines.rs",
    "http/failure.rs",
    "http/fields.rs",
    "http/proxy_handshake.rs",
    "http/range.rs",
    "http/response.rs",
    "http/settings.rs",
    "http/tls_failure.rs",
    "http/url.rs",
    "mirror/arbitrary.rs",
    "mirror/cool_down.rs",
    "mirror/event.rs",
    "mirror/fading.rs",
    "mirror/format.rs",
    "mirror/key.rs",
    "mirror/location.rs",
    "mirror/notes.rs",
    "mirror/ranking.rs",
    "mirror/stats.rs",
    "mirror/traffic.rs",
    "mirror/timestamp.rs",
    "patience.rs",
    "portage",
    "progress/ending.rs",
    "progress/format.rs",
    "progress/lines.rs",
    "progress/mod.rs",
    "progress/names.rs",
    "progress/rate.rs",
    "progress/screen.rs",
    "survey/arrivals.rs",
    "survey/clock.rs",
    "survey/decide.rs",
    "survey/list.rs",
    "survey/rounds.rs",
    "survey/samples.rs",
    "survey/simulator.rs",
    "timeline",
    "transfer/blame.rs",
    "transfer/engine/clock.rs",
    "transfer/engine/tally.rs",
    "transfer/health.rs",
    "transfer/meter.rs",
    "transfer/narration.rs",
    "transfer/observer.rs",
    "transfer/queue",
    "transfer/scheduler",
    "transfer/segments.rs",
    "transfer/sink/names.rs",
    "transfer/simulator/stories.rs",
    "transfer/single/retry.rs",
    "transfer/speed.rs",
    "transfer/trace.rs",
];

/// Exceptions inside of a pure folder, each with what it is there for.
const IMPURE: &[&str] = &[
    "portage/distlock.rs", // Portage's lock files
];

/// What a pure file must not name. Addresses are data; sockets are not.
const IMPURITIES: &[&str] = &[
    "std::fs",
    "std::net::self",
    "std::net::TcpListener",
    "std::net::TcpStream",
    "std::net::ToSocketAddrs",
    "std::net::UdpSocket",
    "std::thread",
    "std::env",
    "std::process::Command",
    "Instant::now",
    "SystemTime::now",
    "std::io::stderr",
    "std::io::stdin",
    "std::io::stdout",
    "io::stderr",
    "io::stdin",
    "io::stdout",
    "rustix",
    "fs2",
    "indicatif",
    "signal_hook::flag",
    "signal_hook::iterator",
    "signal_hook::low_level",
    "socket2",
    "ureq",
];

/// Longer files hold more than one idea.
const MOST_LINES: usize = 600;

#[test]
fn modules_name_only_what_lies_below_them() {
    let mut faults = Vec::new();
    for Module { source, paths } in &Tree::get().modules {
        let Some((_, allowed)) = MAY_NAME.iter().find(|(module, _)| *module == source.module()) else {
            continue;
        };
        for path in paths {
            let Some(named) = path.strip_prefix("crate::").and_then(|rest| rest.split("::").next()) else {
                continue;
            };
            let is_module = named == "commands" || MAY_NAME.iter().any(|(module, _)| *module == named);
            let may_name = named == source.module() || allowed.contains(&named) || FOR_ALL.contains(&named);
            if is_module && !may_name {
                faults.push(format!("src/{} names {path}", source.name));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn only_the_agent_and_the_connector_name_the_http_library() {
    let faults: Vec<String> = Tree::get()
        .modules
        .iter()
        .filter(|module| !NAMES_UREQ.iter().any(|allowed| module.source.name.starts_with(allowed)))
        .filter(|module| module.paths.iter().any(|path| begins_with(path, "ureq")))
        .map(|module| format!("src/{} names ureq", module.source.name))
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn pure_files_name_no_clock_disk_network_thread_or_environment() {
    let mut faults = Vec::new();
    for Module { source, paths } in Tree::get().modules.iter().filter(|module| module.source.is_pure()) {
        for path in paths {
            if is_impure(path) {
                faults.push(format!("src/{} is pure and names {path}", source.name));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn pure_files_name_only_pure_files() {
    let tree = Tree::get();
    let pure = |name: &str| tree.module_of(name).is_some_and(|module| module.source.is_pure());
    let mut faults = Vec::new();
    for module in tree.modules.iter().filter(|module| module.source.is_pure()) {
        let others = tree.homes(module).into_iter().filter(|(_, home)| !pure(home));
        faults.extend(others.map(|(path, _)| format!("src/{} is pure and names {path}", module.source.name)));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_list_of_pure_files_is_complete() {
    let tree = Tree::get();
    let clean = |module: &&Module| !module.paths.iter().any(|path| is_impure(path));
    let mut pure: BTreeMap<&str, Vec<&str>> = tree
        .modules
        .iter()
        .filter(clean)
        .map(|module| (module.source.name.as_str(), tree.homes(module).into_values().collect()))
        .collect();
    // Whoever names what is not pure is not pure, until nothing changes any more.
    loop {
        let rest: BTreeMap<_, _> = pure
            .iter()
            .filter(|(_, homes)| homes.iter().all(|home| pure.contains_key(home)))
            .map(|(name, homes)| (*name, homes.clone()))
            .collect();
        if rest.len() == pure.len() {
            break;
        }
        pure = rest;
    }
    let unlisted = |module: &&Module| {
        let source = &module.source;
        pure.contains_key(source.name.as_str()) && source.has_functions() && !source.is_pure()
    };
    let faults: Vec<_> = tree.modules.iter().filter(unlisted).map(|module| &module.source.name).collect();
    assert!(faults.is_empty(), "pure, and not in the list: {faults:?}");
}

#[test]
fn the_tables_name_files_that_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let modules = MAY_NAME.iter().map(|(module, _)| module);
    let is_there = |place: &str| root.join(place).exists() || root.join(format!("{place}.rs")).exists();
    let gone: Vec<_> = PURE.iter().chain(modules).filter(|place| !is_there(place)).collect();
    assert!(gone.is_empty(), "not below src: {gone:?}");
}

#[test]
fn files_stay_short() {
    let sources = Tree::get().modules.iter().map(|module| &module.source);
    let faults: Vec<String> = sources
        .filter(|source| source.lines > MOST_LINES)
        .map(|source| format!("src/{} has {} lines", source.name, source.lines))
        .collect();
    assert!(faults.is_empty(), "more than {MOST_LINES} lines: {}", faults.join(", "));
}

/// One file below `src`.
struct Source {
    /// Relative to `src`.
    name: String,
    lines: usize,
    /// Without comments, strings and unit tests.
    code: String,
}

/// All files below `src`, and where that lives which their paths name.
struct Tree {
    modules: Vec<Module>,
    /// The index of each module by its path below the crate: `http/url`.
    by_place: BTreeMap<String, usize>,
}

struct Module {
    source: Source,
    paths: Vec<String>,
}

impl Tree {
    fn get() -> &'static Self {
        static TREE: LazyLock<Tree> = LazyLock::new(Tree::read);
        &TREE
    }

    fn read() -> Self {
        let with_paths = |source: Source| Module { paths: source.paths(), source };
        let modules: Vec<Module> = Source::all().into_iter().map(with_paths).collect();
        let by_place = modules.iter().enumerate();
        let by_place = by_place.map(|(index, module)| (module.source.place().to_owned(), index)).collect();
        Self { modules, by_place }
    }

    fn module(&self, words: &[&str]) -> Option<&Module> {
        self.by_place.get(&words.join("/")).map(|index| &self.modules[*index])
    }

    fn module_of(&self, file: &str) -> Option<&Module> {
        self.modules.iter().find(|module| module.source.name == file)
    }

    /// What a module names in other files of the crate: the path, and the file. What is in its own parts is left
    /// out: a module may hand on what is there, and whoever takes it from the module names the part.
    fn homes<'t>(&'t self, module: &'t Module) -> BTreeMap<&'t str, &'t str> {
        let own = module.source.place();
        let parts = format!("{own}/");
        let home = |path: &'t String| {
            let words: Vec<&str> = match path.strip_prefix("crate::") {
                Some(rest) => rest.split("::").collect(),
                None => own.split('/').chain(path.split("::")).collect(),
            };
            let name = self.home(&words)?.source.name.as_str();
            let elsewhere = name != module.source.name && !name.starts_with(&parts);
            elsewhere.then_some((path.as_str(), name))
        };
        module.paths.iter().filter_map(home).collect()
    }

    /// The module where a path ends, through those that hand on what is in their parts.
    fn home(&self, words: &[&str]) -> Option<&Module> {
        let depth = (1..=words.len()).rev().find(|depth| self.module(&words[..*depth]).is_some())?;
        let (place, rest) = words.split_at(depth);
        let module = self.module(place)?;
        let Some(item) = rest.first() else { return Some(module) };
        let name = format!("::{item}");
        let in_part = |path: &&String| {
            let part = path.split("::").next().unwrap_or_default();
            path.ends_with(&name) && self.module(&[place, &[part]].concat()).is_some()
        };
        match module.paths.iter().find(in_part) {
            Some(path) => self.home(&[place, &path.split("::").collect::<Vec<_>>()].concat()),
            None => Some(module),
        }
    }
}

impl Source {
    fn all() -> Vec<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut files = Vec::new();
        collect(&root, &mut files);
        assert!(files.len() > 5, "these are not the sources");
        files
            .iter()
            .map(|path| {
                let text = fs::read_to_string(path).expect("a source file is UTF-8");
                let name = path.strip_prefix(&root).expect("it was found there").display().to_string();
                Self { name, lines: text.lines().count(), code: code_of(&text) }
            })
            .filter(|source| !source.name.ends_with("tests.rs"))
            .collect()
    }

    fn module(&self) -> &str {
        let first = self.name.split('/').next().unwrap_or_default();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// `http/url` for `http/url.rs`, `http` for `http/mod.rs`.
    fn place(&self) -> &str {
        self.name.trim_end_matches(".rs").trim_end_matches("/mod")
    }

    fn has_functions(&self) -> bool {
        tokens_of(&self.code).iter().any(|token| token == "fn")
    }

    fn is_pure(&self) -> bool {
        let below = |place: &str| self.name == place || self.name.starts_with(&format!("{place}/"));
        PURE.iter().any(|place| below(place)) && !IMPURE.contains(&self.name.as_str())
    }

    /// Every path that the code names, `use` trees spelt out, `super` resolved.
    fn paths(&self) -> Vec<String> {
        let tokens = tokens_of(&self.code);
        let mut paths = Vec::new();
        let mut at = 0;
        while at < tokens.len() {
            if is_word(&tokens[at]) {
                read_path(&tokens, &mut at, "", &mut paths);
            } else {
                at += 1;
            }
        }
        paths.into_iter().map(|path| self.resolved(&path)).collect()
    }

    /// `super::x` from the crate's root, as far as that can be told from the file's place.
    fn resolved(&self, path: &str) -> String {
        if !path.starts_with("super::") {
            return path.to_owned();
        }
        let mut place: Vec<&str> = self.place().split('/').collect();
        let mut rest = path;
        while let Some(further) = rest.strip_prefix("super::") {
            place.pop();
            rest = further;
        }
        place.insert(0, "crate");
        format!("{}::{rest}", place.join("::"))
    }
}

fn is_impure(path: &str) -> bool {
    IMPURITIES.iter().any(|impurity| begins_with(path, impurity) || path.ends_with(impurity))
}

fn begins_with(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Reads one path, or a tree of them in braces, and leaves `at` behind it.
fn read_path(tokens: &[String], at: &mut usize, prefix: &str, paths: &mut Vec<String>) {
    let mut path = prefix.to_owned();
    loop {
        match tokens.get(*at).map(String::as_str) {
            Some("{") => {
                *at += 1;
                while let Some(token) = tokens.get(*at).filter(|token| *token != "}") {
                    if is_word(token) || token == "{" {
                        read_path(tokens, at, &path, paths);
                    } else {
                        *at += 1;
                    }
                }
                *at += 1;
                return;
            }
            Some(word) if is_word(word) => path.push_str(word),
            _ => return,
        }
        *at += 1;
        if tokens.get(*at).is_none_or(|token| token != "::") {
            break;
        }
        path.push_str("::");
        *at += 1;
    }
    paths.push(path);
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphanumeric() || c == '_' || c == '*')
}

/// Words, `::`, braces and whatever else, a token each.
fn tokens_of(code: &str) -> Vec<String> {
    let mut tokens: Vec<String> = Vec::new();
    let mut rest = code;
    while let Some(c) = rest.chars().next() {
        let length = match c {
            _ if c.is_alphanumeric() || c == '_' => {
                rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())
            }
            ':' if rest.starts_with("::") => 2,
            _ => c.len_utf8(),
        };
        if !c.is_whitespace() {
            tokens.push(rest[..length].to_owned());
        }
        rest = &rest[length..];
    }
    tokens
}

/// The code without unit tests, comments and strings.
fn code_of(text: &str) -> String {
    let text = &text[..unit_tests_at(text)];
    let mut code = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let skipped = match c {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            'r' if rest.starts_with("r#\"") => rest.find("\"#").map_or(rest.len(), |end| end + 2),
            '"' => string_length(rest),
            '\'' => character_length(rest),
            _ => 0,
        };
        if skipped == 0 {
            code.push(c);
            rest = &rest[c.len_utf8()..];
        } else {
            code.push(' ');
            rest = &rest[skipped..];
        }
    }
    code
}

/// Where `#[cfg(test)] mod tests {` begins; the end of the text without one.
fn unit_tests_at(text: &str) -> usize {
    let begins_tests = |at: &usize| {
        let rest = text[*at..].trim_start_matches("#[cfg(test)]").trim_start();
        rest.trim_start_matches("pub(super) ").starts_with("mod ")
            && rest.lines().next().is_some_and(|line| line.ends_with('{'))
    };
    text.match_indices("#[cfg(test)]").map(|(at, _)| at).find(begins_tests).unwrap_or(text.len())
}

fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of a character literal; 1 for the apostrophe of a lifetime.
fn character_length(text: &str) -> usize {
    let mut rest = text.char_indices().skip(1);
    match (rest.next(), rest.next()) {
        (Some((_, '\\')), Some(_)) => text[3..].find('\'').map_or(1, |end| end + 4),
        (Some(_), Some((end, '\''))) => end + 1,
        _ => 1,
    }
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the sources can be read") {
        let path = entry.expect("the sources can be read").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

#[test]
fn paths_are_found_in_trees_and_in_expressions_and_nowhere_else() {
    let text = r#"
        //! Speaks of crate::mirror::stats.
        use std::{fs::File, io::{self, Read}};
        use super::super::http::range;
        fn f<'a>(x: &'a str) -> char {
            let y = crate::mirror::rank("crate::cli::x", '"', '\'');
            std::thread::sleep(y)
        }
        #[cfg(test)]
        mod tests;
        use crate::portage::layout;
        #[cfg(test)]
        mod more {
            use crate::commands;
    "#;
    let source = Source { name: "transfer/sink.rs".to_owned(), lines: 0, code: code_of(text) };
    let paths = source.paths();
    for expected in [
        "std::fs::File",
        "std::io::self",
        "std::io::Read",
        "crate::http::range",
        "crate::mirror::rank",
        "std::thread::sleep",
        "crate::portage::layout",
    ] {
        assert!(paths.iter().any(|path| path == expected), "{expected} is missing in {paths:?}");
    }
    for unexpected in ["crate::mirror::stats", "crate::cli::x", "crate::commands"] {
        assert!(!paths.iter().any(|path| path == unexpected), "{unexpected} is no code");
    }
}

#[test]
fn a_path_ends_in_the_file_where_the_thing_lives() {
    let tree = Tree::get();
    for (path, file) in [
        ("http::url::Scheme", "http/url.rs"),
        ("http::Url", "http/url.rs"),
        ("http::settings", "http/settings.rs"),
        ("portage::DistLocks", "portage/distlock.rs"),
        ("cli::Command", "cli/mod.rs"),
    ] {
        let words: Vec<&str> = path.split("::").collect();
        assert_eq!(tree.home(&words).map(|module| module.source.name.as_str()), Some(file), "{path}");
    }
    assert!(tree.home(&["std", "fs"]).is_none());
}
