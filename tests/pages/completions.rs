//! Completions for bash, zsh and fish.

use clap::Command;
use clap_complete::{Shell, generate};

/// The scripts, by the names under which the shells look for them.
pub fn scripts(program: &Command) -> Vec<(String, String)> {
    let shells = [(Shell::Bash, "racefetch"), (Shell::Zsh, "_racefetch"), (Shell::Fish, "racefetch.fish")];
    shells
        .map(|(shell, name)| {
            let mut script = Vec::new();
            generate(shell, &mut program.clone(), "racefetch", &mut script);
            let script = String::from_utf8(script).expect("a script is text");
            let script = with_mirrors(shell, &script);
            let script = if shell == Shell::Zsh { options_of_the_command_alone(&script) } else { script };
            (name.to_owned(), script)
        })
        .into()
}

/// The hosts of which there are figures.
const HOSTS: &str = r"racefetch stats --wide 2>/dev/null | grep http | cut -d/ -f3 | cut -d\  -f1";

/// What `stats --forget` may be followed by is known to the program only.
fn with_mirrors(shell: Shell, script: &str) -> String {
    let (old, new) = match shell {
        Shell::Bash => (
            "--forget)\n                    COMPREPLY=($(compgen -f \"${cur}\"))",
            format!(
                "--forget)\n                    COMPREPLY=($(compgen -W \"$({HOSTS})\" -- \"${{cur}}\"))"
            ),
        ),
        Shell::Zsh => ("or a URL]:HOST:_default'", format!("or a URL]:HOST:{{compadd -- $({HOSTS})}}'")),
        _ => ("a host, or a URL' -r", format!("a host, or a URL' -r -f -a \"({HOSTS})\"")),
    };
    replaced(script, old, &new)
}

/// Behind the name of a command zsh would go on to see the options of the program, some of which have the same letters.
fn options_of_the_command_alone(script: &str) -> String {
    let arguments = "_arguments \"${_arguments_options[@]}\" : ";
    replaced(script, arguments, &arguments.replacen("_arguments", "_arguments -A '-*'", 1))
}

fn replaced(script: &str, old: &str, new: &str) -> String {
    assert!(script.contains(old), "{old} is not in the script");
    script.replacen(old, new, 1)
}
