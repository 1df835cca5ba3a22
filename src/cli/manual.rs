//! The texts of `--help` and `--help all`, made from the option table.

use super::UsageError;
use super::similar::similar;
use super::table::{self, Class, Entry, Group, Help, IGNORED, REFUSED, Spelling};
use std::fmt::Write;

/// The line of `--version`.
pub fn version() -> String {
    format!("racefetch {}\n", env!("CARGO_PKG_VERSION"))
}

/// `--help TOPIC`: the common options without a topic, everything for `all`, one option for its name.
pub(super) fn help(topic: &str) -> Result<String, UsageError> {
    if topic == "all" {
        return Ok(full());
    }
    let name = topic.trim_start_matches('-');
    let mut letters = name.chars();
    let found = match (letters.next(), letters.next()) {
        (None, _) => return Ok(common()),
        (Some(letter), None) => table::by_short(letter),
        _ => table::by_long(name).ok(),
    };
    Ok(match found {
        Some((_, Class::Does(option))) => entry(option),
        Some((spelling, Class::Ignored(group))) => {
            format!("{}  accepted, changes nothing: {}\n", names(spelling), group.reason)
        }
        Some((spelling, Class::Refused(group))) => {
            format!("{}  refused: {}\n", names(spelling), group.reason)
        }
        None => {
            let meant = similar(name, table::entries().map(|entry| entry.spelling.long));
            let hint = meant.map(|meant| format!(": did you mean --{meant}?"));
            let hint = hint.unwrap_or_else(|| "; see racefetch --help all".to_owned());
            return Err(UsageError::new(format_args!("there is no help for {topic}{hint}")));
        }
    })
}

/// Every option.
pub fn full() -> String {
    let mut text = format!("{USAGE}\n\nOptions:\n");
    for option in table::entries() {
        text.push_str(&entry(option));
    }
    text.push_str("\nAccepted because curl has them; they do not change what is fetched:\n");
    groups(&mut text, IGNORED);
    text.push_str("\nRefused, because ignoring them would do harm:\n");
    groups(&mut text, REFUSED);
    text.push('\n');
    text.push_str(NOTES);
    text
}

const USAGE: &str = "\
Usage: racefetch [OPTIONS] URL...
       racefetch help [COMMAND | OPTION | all]
       racefetch prefetch [OPTIONS] EMERGE-ARGUMENT... | -
       racefetch rank [-s N] [-c COUNTRY]... [--fast] [--write [FILE]] [--json]
       racefetch setup [--yes] [--dry-run] [--mirror URL] [--timer] | --undo
       racefetch doctor [--fix[=CHECK,...]] [--json] [--offline]
       racefetch stats [--wide] [--json] [--explain SIZE] [--forget HOST] [--state FILE]
       racefetch stats [--prometheus [FILE]] [--html FILE] [--state FILE]
       racefetch verify [--verbose] [--json] [--move-aside] [DISTDIR]";

const NOTES: &str = "\
Environment:
  GENTOO_MIRRORS, DISTDIR, ...    Portage's own variables, and make.conf
  RACEFETCH_MIRRORS <URLs>        the mirrors, in place of the configured ones
  RACEFETCH_TIERS <PATTERN=N ...> mirrors of this host or URL are asked in tier N: 0 first, else 1
  RACEFETCH_STATE <file>          the figures of mirrors, else /var/lib/racefetch/mirrors.json
  http_proxy, https_proxy, ALL_PROXY, no_proxy, NO_COLOR, SSL_CERT_FILE   as curl has them

Exit status: 0 fetched; 6 host not found; 7 no connection; 18 the end is missing; 22 HTTP status of 400 or
more; 23 cannot write; 28 too slow; 60 no valid certificate; 120 other digests; the others as curl's.

Examples:
  racefetch -L -o FILE URL                    one file, as curl does
  racefetch prefetch @world                   everything that emerge @world would fetch
  racefetch stats --explain 100M              whom a file of 100 MB would be asked of, and why
  racefetch verify                            DISTDIR against the Manifests

Every option that is on or off is switched off by --no-OPTION. Names of curl's options may be abbreviated.
URLs are taken literally: {a,b} and [1-3] mean nothing (curl's -g). ~/.curlrc is not read.
A word like blake2b:HEX or sha512:HEX that stands where a URL could is a digest of the file.
";

/// Width of the column of names.
const NAMES: usize = 34;
/// Where paragraphs are broken.
const WIDTH: usize = 96;

fn common() -> String {
    let mut text = format!("{USAGE}\n\n");
    for option in table::entries().filter(|option| !matches!(option.help, Help::Full(_))) {
        text.push_str(&entry(option));
    }
    text.push_str("\nracefetch --help all lists every option; racefetch --help OPTION explains one.\n");
    text
}

fn entry(option: &Entry) -> String {
    format!("{:NAMES$} {}\n", names(&option.spelling), option.help.text())
}

/// ` -o, --output <file>`.
fn names(spelling: &Spelling) -> String {
    let short = spelling.short.map_or("    ".to_owned(), |letter| format!("-{letter}, "));
    let value = spelling.value().map(|name| format!(" <{name}>")).unwrap_or_default();
    format!(" {short}--{}{value}", spelling.long)
}

/// Each reason with its options below it.
fn groups(text: &mut String, groups: &[Group]) {
    for group in groups {
        let _ = writeln!(text, "  {}:", group.reason); // writing to a String cannot fail
        let mut line = String::from("   ");
        for spelling in group.spellings {
            let name = match spelling.short {
                Some(letter) => format!(" -{letter} --{}", spelling.long),
                None => format!(" --{}", spelling.long),
            };
            if line.len() + name.len() > WIDTH {
                let _ = writeln!(text, "{line}");
                line = String::from("   ");
            }
            line.push_str(&name);
        }
        let _ = writeln!(text, "{line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_full_text_names_every_option() {
        let text = full();
        for (spelling, _) in table::all() {
            assert!(text.contains(&format!("--{}", spelling.long)), "{}", spelling.long);
        }
        let longest = text.lines().map(|line| line.chars().count()).max();
        assert!(longest.is_some_and(|length| length <= 110), "{longest:?}");
    }

    #[test]
    fn topics() {
        let help = |topic| help(topic).unwrap();
        assert!(help("").contains("--mirrors <URLs>") && !help("").contains("--noproxy"));
        assert!(help("-o").contains("--output <file>"));
        assert!(help("--data").contains("refused"));
        assert!(help("tr-encoding").contains("accepted"));
        let unknown = super::help("nonsense").unwrap_err().to_string();
        assert_eq!(unknown, "racefetch: there is no help for nonsense; see racefetch --help all");
        let slip = super::help("--retyr").unwrap_err().to_string();
        assert!(slip.contains("for --retyr: did you mean --retry?"), "{slip}");
        assert_eq!(help("all"), full());
    }
}
