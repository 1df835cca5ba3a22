//! The whole command line as clap has it, for what is made from it. The program itself reads curl's options by its own
//! table.

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, Command, Subcommand as _, ValueHint};
use racefetch::cli::Subcommand;
use racefetch::cli::table::{self, Takes};

pub fn command() -> Command {
    let command = Command::new("racefetch")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Portage fetch command: distfiles from the best of many mirrors, verified and resumed")
        .disable_help_subcommand(true)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .args(table::entries().map(option));
    Subcommand::augment_subcommands(command).mut_subcommand("rank", |rank| {
        rank.mut_arg("regions", |arg| arg.value_parser(PossibleValuesParser::new(REGIONS)))
            .mut_arg("countries", |arg| {
                arg.value_parser(PossibleValuesParser::new(COUNTRIES)).hide_possible_values(true)
            })
    })
}

/// Those of Gentoo's lists of mirrors, which the completions offer; the program takes what the list of the day has.
const REGIONS: [&str; 7] =
    ["Africa", "Asia", "Australia and Oceania", "Europe", "Middle East", "North America", "South America"];
const COUNTRIES: [&str; 51] = [
    "AR", "AT", "AU", "BE", "BG", "BR", "BY", "CA", "CH", "CL", "CN", "CO", "CZ", "DE", "DK", "ES", "FR",
    "GR", "HK", "HU", "IE", "IL", "IN", "IT", "JP", "KR", "KZ", "LU", "MD", "MX", "NA", "NC", "NL", "PH",
    "PL", "PT", "QA", "RO", "RS", "RU", "SA", "SE", "SG", "SK", "TH", "TR", "TW", "UA", "UK", "US", "VN",
];

fn option(entry: &'static table::Entry) -> Arg {
    let spelling = &entry.spelling;
    let arg = Arg::new(spelling.long).long(spelling.long).help(entry.help.text());
    let arg = match spelling.short {
        Some(letter) => arg.short(letter),
        None => arg,
    };
    match spelling.takes {
        Takes::Nothing | Takes::Switch => arg.action(ArgAction::SetTrue),
        Takes::Value(name) | Takes::ValueOrEnd(name) | Takes::ValueOrOption(name) => {
            arg.action(ArgAction::Append).value_name(name).value_hint(hint(name))
        }
    }
}

/// What a value is, by its name in the table.
fn hint(name: &str) -> ValueHint {
    match name {
        _ if name.contains("dir") => ValueHint::DirPath,
        _ if name.contains("file") || name.contains("path") || name.contains("cert") => ValueHint::FilePath,
        _ if name.contains("url") || name.contains("URL") => ValueHint::Url,
        _ => ValueHint::Other,
    }
}
