//! The pages of the manual, as roff.

use std::fmt::Write;

use clap::Command;
use racefetch::cli::table::{Group, IGNORED, REFUSED, Spelling};

use super::markdown::{escaped, section, to_roff};

const README: &str = include_str!("../../README.md");
const CURL: &str = include_str!("../../docs/curl.md");
const CHANGES: &str = include_str!("../../CHANGELOG.md");
const LAN_MIRROR: &str = include_str!("../../docs/lan-mirror.md");

/// All pages: the name of the file, and what is in it.
pub fn pages(program: &Command) -> Vec<(String, String)> {
    let mut pages = vec![("racefetch.1".to_owned(), of_program(program))];
    for subcommand in program.get_subcommands() {
        let name = format!("racefetch-{}", subcommand.get_name());
        pages.push((format!("{name}.1"), of_subcommand(subcommand, &name)));
    }
    pages.push(("racefetch-mirror.7".to_owned(), of_mirror()));
    pages.into_iter().map(|(name, text)| (name, without_empty_paragraphs(&text))).collect()
}

/// A section begins with a paragraph of its own.
fn without_empty_paragraphs(page: &str) -> String {
    let mut done = String::new();
    let mut before = "";
    for line in page.lines() {
        let is_heading = before.starts_with(".SH") || before.starts_with(".SS");
        if !is_heading || line != ".PP" {
            done.push_str(line);
            done.push('\n');
        }
        before = line;
    }
    done
}

fn title(name: &str, section: u8, about: &str) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let heading = format!("\n## [{version}] - ");
    let (_, rest) = CHANGES.split_once(&heading).expect("CHANGELOG.md has this version, and its date");
    let date = rest.lines().next().unwrap_or_default();
    format!(
        ".ie \\n(.g .ds Aq \\(aq\n.el .ds Aq '\n.TH {name} {section} {date} \"racefetch {version}\" \"racefetch\"\n\
         .SH NAME\n{} \\- {about}\n",
        escaped(name)
    )
}

fn of_program(program: &Command) -> String {
    let about = "fetch command for Portage and downloads over http and https, from many mirrors at once";
    let mut page = title("racefetch", 1, about);
    page.push_str(".SH SYNOPSIS\n");
    for (words, rest) in [
        ("racefetch", "[\\fIOPTIONS\\fR] \\fIURL\\fR..."),
        ("racefetch", "\\fICOMMAND\\fR [\\fIOPTIONS\\fR]"),
        ("racefetch help", "[\\fICOMMAND\\fR | \\fIOPTION\\fR | \\fBall\\fR]"),
    ] {
        let _ =
            writeln!(page, "{}.B {words}\n{rest}", if page.ends_with("SYNOPSIS\n") { "" } else { ".br\n" });
    }
    page.push_str(".SH DESCRIPTION\n");
    page.push_str(&to_roff(section(README, "# racefetch").split("\n!").next().unwrap_or_default()));
    page.push_str(".PP\nIt takes the options of\n.BR curl (1)\nfor downloads, with their meanings, and ends with its exit codes.\n");
    page.push_str(
        ".SH OPTIONS\nEvery option that is on or off is switched off by\n.BI \\-\\-no\\- OPTION\\fR.\n",
    );
    options(&mut page, program);
    page.push_str(".SS \"Accepted without an effect\"\nThey do not change what is fetched.\n");
    groups(&mut page, IGNORED);
    page.push_str(".SS \"Refused by name\"\nTo ignore them would do harm.\n");
    groups(&mut page, REFUSED);
    page.push_str(".SS \"What differs from curl\"\n");
    page.push_str(&to_roff(section(CURL, "## What differs from curl")));
    page.push_str(".SH COMMANDS\n");
    for command in program.get_subcommands() {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        let name = command.get_name();
        let _ = writeln!(page, ".TP\n.BR racefetch\\-{name} (1)\n{}.", escaped(&about));
    }
    page.push_str(".SH \"EXIT STATUS\"\n");
    page.push_str(&to_roff(section(CURL, "## Exit codes")));
    page.push_str(".SH ENVIRONMENT\n");
    page.push_str(&to_roff(section(README, "## Configuration")));
    page.push_str(FILES);
    page.push_str(EXAMPLES);
    page.push_str(".SH \"SEE ALSO\"\n");
    let others: Vec<String> = program
        .get_subcommands()
        .map(|command| format!(".BR racefetch\\-{} (1)", command.get_name()))
        .collect();
    page.push_str(&others.join(",\n"));
    page.push_str(",\n.BR racefetch\\-mirror (7),\n.BR emerge (1),\n.BR make.conf (5),\n.BR curl (1)\n");
    page
}

const FILES: &str = "\
.SH FILES
.TP
.I /etc/portage/make.conf
where FETCHCOMMAND, RESUMECOMMAND and GENTOO_MIRRORS are
.TP
.I /usr/share/racefetch/make.conf
the fetch commands, to be sourced there
.TP
.I /var/lib/racefetch/mirrors.json
what is known of mirrors
.TP
.I DISTDIR/.racefetch/
what has come ahead of its turn
";

const EXAMPLES: &str = "\
.SH EXAMPLES
One file, as curl does:
.PP
.RS 4
.EX
racefetch \\-L \\-o FILE URL
.EE
.RE
.PP
Have Portage fetch with it, and look whether all is well:
.PP
.RS 4
.EX
racefetch setup
racefetch doctor
.EE
.RE
.PP
Everything that an update needs, before it begins:
.PP
.RS 4
.EX
racefetch prefetch \\-\\-update \\-\\-deep @world
.EE
.RE
";

/// What a command takes: its arguments, and its options by alphabet.
fn options(page: &mut String, command: &Command) {
    let mut arguments: Vec<_> = command.get_arguments().collect();
    arguments.sort_by_key(|arg| arg.get_long().unwrap_or_default().replace('-', ""));
    for arg in arguments {
        let value = arg.get_value_names().filter(|_| arg.get_action().takes_values());
        let value =
            value.map(|names| names[0].as_str()).or(arg.is_positional().then(|| arg.get_id().as_str()));
        let value = value.map(|name| format!("\\fI{}\\fR", escaped(name))).unwrap_or_default();
        let short = arg.get_short().map(|letter| format!("\\fB\\-{letter}\\fR, ")).unwrap_or_default();
        let long = arg.get_long().map(|long| format!("\\fB\\-\\-{}\\fR ", escaped(long))).unwrap_or_default();
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let _ = writeln!(
            page,
            ".TP\n{}\n{}.",
            format!("{short}{long}{value}").trim(),
            escaped(help.trim_end_matches('.'))
        );
        for value in arg.get_possible_values() {
            if let Some(help) = value.get_help() {
                let help = escaped(&help.to_string());
                let _ = writeln!(page, ".br\n\\fB{}\\fR: {help}.", escaped(value.get_name()));
            }
        }
    }
}

/// Each reason with its options.
fn groups(page: &mut String, groups: &[Group]) {
    for group in groups {
        let names: Vec<String> = group.spellings.iter().map(name).collect();
        let _ = writeln!(page, ".TP\n{}\n{}", escaped(group.reason), names.join(", "));
    }
}

fn name(spelling: &Spelling) -> String {
    let short = spelling.short.map(|letter| format!("\\-{letter}/")).unwrap_or_default();
    format!("\\fB{short}\\-\\-{}\\fR", escaped(spelling.long))
}

fn of_subcommand(subcommand: &Command, name: &str) -> String {
    let about = subcommand.get_about().map(ToString::to_string).unwrap_or_default();
    let mut lower = about.chars();
    let about: String = lower.next().into_iter().flat_map(char::to_lowercase).chain(lower).collect();
    let mut page = title(name, 1, &escaped(&about));
    // Its name is two words on the command line.
    let usage = subcommand.clone().bin_name(name.replacen('-', " ", 1)).render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ").to_owned();
    let (command, rest) = usage.split_at(name.len());
    let _ = writeln!(page, ".SH SYNOPSIS\n.B {command}\n{}\n.SH DESCRIPTION", escaped(rest.trim()));
    let about = subcommand.get_long_about().or(subcommand.get_about()).map(ToString::to_string);
    let _ = writeln!(page, "{}.", escaped(about.unwrap_or_default().trim_end_matches('.')));
    page.push_str(".SH OPTIONS\n");
    options(&mut page, subcommand);
    if let Some(heading) =
        HEADINGS.iter().find_map(|(command, heading)| (*command == subcommand.get_name()).then_some(heading))
    {
        page.push_str(".SH NOTES\n");
        page.push_str(&to_roff(section(README, heading)));
    }
    page.push_str(".SH \"SEE ALSO\"\n.BR racefetch (1)\n");
    page
}

/// Where README.md says more of a command.
const HEADINGS: [(&str, &str); 3] = [
    ("prefetch", "## Before an update: `racefetch prefetch`"),
    ("rank", "## Which mirrors: `racefetch rank`"),
    ("doctor", "## When something is wrong"),
];

fn of_mirror() -> String {
    let mut page = title("racefetch-mirror", 7, "a Gentoo mirror of one's own for a local network");
    page.push_str(".SH DESCRIPTION\n");
    page.push_str(&to_roff(LAN_MIRROR));
    page.push_str(
        ".SH \"SEE ALSO\"\n.BR racefetch (1),\n.BR racefetch\\-rank (1),\n.BR nginx (8),\n.BR rsync (1)\n",
    );
    page
}
