//! Manual pages and completions, made from the tables of options and from what README and `docs/` say.
//! `UPDATE_PAGES=1 ./x test pages` writes them anew.

mod completions;
mod manual;
mod markdown;
mod program;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use racefetch::portage::{Algorithm, Digest};

use crate::support::mirror::Mirror;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every page: its path, and what is to be in it.
fn pages() -> Vec<(PathBuf, String)> {
    let program = program::command();
    let manual =
        manual::pages(&program).into_iter().map(|(name, text)| (root().join("man").join(name), text));
    let completions = completions::scripts(&program).into_iter();
    manual.chain(completions.map(|(name, text)| (root().join("completions").join(name), text))).collect()
}

#[test]
fn they_are_current() {
    #[expect(clippy::disallowed_methods, reason = "a test has no main")]
    let update = std::env::var_os("UPDATE_PAGES").is_some();
    for (path, text) in pages() {
        if update {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &text).unwrap();
        }
        let found = fs::read_to_string(&path).unwrap_or_default();
        assert!(found == text, "{} is old: UPDATE_PAGES=1 ./x test pages", path.display());
    }
    let made: Vec<_> = pages().into_iter().map(|(path, _)| path).collect();
    for folder in ["man", "completions"] {
        for entry in fs::read_dir(root().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            assert!(made.contains(&path), "{} is made by nobody", path.display());
        }
    }
}

#[test]
fn the_formatters_have_nothing_to_say() {
    for (path, _) in pages().iter().filter(|(path, _)| path.starts_with(root().join("man"))) {
        let mandoc = Command::new("mandoc").args(["-T", "lint", "-W", "warning"]).arg(path).output().unwrap();
        let groff =
            Command::new("groff").args(["-man", "-ww", "-z", "-Kutf8", "-Tutf8"]).arg(path).output().unwrap();
        for output in [mandoc, groff] {
            let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            assert!(said.is_empty(), "{said}");
        }
    }
}

/// What a shell offers behind some words, the last of which is only begun.
fn offered(shell: &str, words: &[&str], folder: &Path) -> String {
    let scripts = root().join("completions");
    let line = words.join(" ");
    let script = match shell {
        "bash" => format!(
            "source {}/racefetch; COMP_WORDS=({line}); COMP_CWORD={}; _racefetch racefetch '{}' '{}'; echo ${{COMPREPLY[@]}}",
            scripts.display(),
            words.len() - 1,
            words[words.len() - 1],
            words[words.len() - 2]
        ),
        "fish" => format!("source {}/racefetch.fish; complete -C '{line}'", scripts.display()),
        // On a terminal, as somebody would: a tabulator completes the word, and the next key shows the line.
        _ => format!(
            "zmodload zsh/zpty; zpty z zsh -f -i; \
             zpty -w z \"fpath=({} \\$fpath); autoload -U compinit; compinit -u -D; \
                         show() {{ print LI''NE=\\$BUFFER. }}; zle -N show; bindkey '^T' show; PS1=REA''DY\"; \
             zpty -r z said '*READY*'; zpty -n -w z $'{line}\\t\\x14'; \
             zpty -r z said '*LINE=*.'; print -r -- $said; zpty -d z",
            scripts.display()
        ),
    };
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", folder.display());
    let mut command = Command::new("timeout");
    command.args(["60", shell, if shell == "bash" { "--norc" } else { "-f" }, "-c", &script]);
    if shell == "fish" {
        command = Command::new("timeout");
        command.args(["60", "fish", "--no-config", "-c", &script]);
    }
    let output = command
        .env("PATH", path)
        .env("HOME", folder)
        .env("TERM", "dumb")
        .env("RACEFETCH_STATE", folder.join("mirrors.json"))
        .current_dir(folder)
        .output()
        .unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

#[test]
fn shells_complete_commands_options_values_and_mirrors() {
    let folder = tempfile::tempdir().unwrap();
    symlink(env!("CARGO_BIN_EXE_racefetch"), folder.path().join("racefetch")).unwrap();
    fs::write(folder.path().join("a file"), "").unwrap();
    let mirror = Mirror::start();
    mirror.on("/file").serve("content".as_bytes());
    let fetched = Command::new(env!("CARGO_BIN_EXE_racefetch"))
        .args([
            "-s",
            "--mirrors",
            &mirror.url(""),
            "--digests",
            &format!("sha512:{}", Digest::of(Algorithm::Sha512, b"content").hex()),
        ])
        .args(["--size", "7", "-o", "fetched", &mirror.url("/file")])
        .env("RACEFETCH_STATE", folder.path().join("mirrors.json"))
        .current_dir(folder.path())
        .status()
        .unwrap();
    assert!(fetched.success());
    let host = mirror.address().ip().to_string();
    for shell in ["bash", "fish", "zsh"] {
        for (words, wanted) in [
            (&["racefetch", "prefe"][..], "prefetch"),
            (&["racefetch", "--retry-conn"], "--retry-connrefused"),
            (&["racefetch", "rank", "--format", "ng"], "nginx"),
            (&["racefetch", "rank", "-c", "Q"], "QA"),
            (&["racefetch", "stats", "--forget", &host[..4]], &host),
            (&["racefetch", "-o", "fetc"], "fetched"),
        ] {
            let said = offered(shell, words, folder.path());
            assert!(said.contains(wanted), "{shell}: {words:?}: {said}");
        }
    }
}
