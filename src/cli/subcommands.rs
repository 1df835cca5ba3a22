//! The sub-commands and their options; the fetch is what happens without one.

use super::{Command, RankArgs, UsageError, values};
use crate::portage::{TierError, Tiers};
use clap::{Args, Parser, error::ErrorKind};
use std::ffi::OsString;
use std::path::PathBuf;

#[derive(clap::Subcommand, Clone, Debug)]
pub enum Subcommand {
    /// Show what is known of the mirrors
    Stats(StatsArgs),
    /// Compare the files in DISTDIR with the Manifests
    Verify(VerifyArgs),
    /// Fetch everything that emerge would fetch, before it starts
    Prefetch(PrefetchArgs),
    /// Find the best public mirrors for this machine
    Rank(RankArgs),
    /// Have Portage fetch with this program, or take that back
    Setup(SetupArgs),
    /// Look whether all is well, and say what cures what is not
    Doctor(DoctorArgs),
}

/// `racefetch doctor`: whether all is well. It ends with 0, 1 (something is to be looked at) or 2 (something is wrong).
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct DoctorArgs {
    /// Cure what is found, or only what these checks find
    #[arg(long, value_name = "CHECK,...", num_args = 0..=1, require_equals = true, default_missing_value = "all")]
    pub fix: Option<String>,
    /// Print JSON instead of lines
    #[arg(long)]
    pub json: bool,
    /// Ask no mirror
    #[arg(long)]
    pub offline: bool,
}

/// `racefetch setup`: Portage fetches with this program.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option")]
pub struct SetupArgs {
    /// Do it without a question
    #[arg(short, long)]
    pub yes: bool,
    /// Show what would be changed, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// A mirror on the local network, which is asked before all others
    #[arg(long, value_name = "URL", conflicts_with = "undo")]
    pub mirror: Option<String>,
    /// Fetch every night what the next update needs, by systemd or cron
    #[arg(long, conflicts_with = "undo")]
    pub timer: bool,
    /// Leave the mirrors as they are, where nobody has chosen any
    #[arg(long, conflicts_with = "undo")]
    pub no_rank: bool,
    /// Restore every file as it was before setup, byte for byte
    #[arg(long)]
    pub undo: bool,
    /// With --undo: restore files that were changed since, too
    #[arg(long, requires = "undo")]
    pub force: bool,
}

/// `racefetch stats`: what is known of the mirrors.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct StatsArgs {
    /// Print JSON instead of a table
    #[arg(long)]
    pub json: bool,
    /// Show all figures, however wide the table becomes, and the mirrors' whole URLs
    #[arg(long)]
    pub wide: bool,
    /// Forget what is known of a mirror: a host, or a URL
    #[arg(long, value_name = "HOST", conflicts_with_all = ["json", "wide", "explain"])]
    pub forget: Option<String>,
    /// Show in which order mirrors would be asked for a file of this size (k, M, G), and why
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    pub explain: Option<u64>,
    /// The mirrors to explain, in place of the configured ones
    #[arg(long, value_name = "URLs", requires = "explain")]
    pub mirrors: Option<String>,
    /// Ask mirrors of this host or URL in tier N: 0 first, else 1
    #[arg(long = "tier", value_name = "PATTERN=N", requires = "explain", value_parser = one_tier)]
    pub tiers: Vec<Tiers>,
    /// The file that holds the figures
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,
}

/// `racefetch verify`: whether the files in DISTDIR are what the Manifests say.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyArgs {
    /// The folder to look at instead of DISTDIR
    #[arg(value_name = "DISTDIR")]
    pub distdir: Option<PathBuf>,
    /// Show the files that are right, too
    #[arg(short, long)]
    pub verbose: bool,
    /// Print JSON instead of lines
    #[arg(long)]
    pub json: bool,
    /// Rename corrupt files as Portage does, so that they are fetched again
    #[arg(long)]
    pub move_aside: bool,
}

/// `racefetch prefetch`: everything that emerge would fetch, before it starts.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct PrefetchArgs {
    /// Files that are fetched at once, at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub jobs: Option<u16>,
    /// Show what would be fetched from where, and fetch nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Print JSON instead of lines
    #[arg(long)]
    pub json: bool,
    /// Show nothing but what could not be had
    #[arg(long)]
    pub quiet: bool,
    /// The folder to fetch to instead of DISTDIR
    #[arg(long, value_name = "FOLDER")]
    pub distdir: Option<PathBuf>,
    /// The mirrors in place of the configured ones
    #[arg(long, value_name = "URLs")]
    pub mirrors: Option<String>,
    /// Ask mirrors of this host or URL in tier N: 0 first, else 1
    #[arg(long = "tier", value_name = "PATTERN=N", value_parser = one_tier)]
    pub tiers: Vec<Tiers>,
    /// Bytes per second of all connections together (k, M, G), at most
    #[arg(long, value_name = "RATE", value_parser = values::size)]
    pub limit_rate: Option<u64>,
    /// The file that holds the figures of mirrors
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,
    /// What emerge shall fetch for, with its own options; or `-` for what emerge --pretend --fetchonly printed, on
    /// standard input
    #[arg(
        value_name = "EMERGE-ARGUMENT",
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    pub arguments: Vec<OsString>,
}

fn one_tier(word: &str) -> Result<Tiers, TierError> {
    let mut tiers = Tiers::default();
    tiers.add(word)?;
    Ok(tiers)
}

#[derive(Parser)]
#[command(name = "racefetch", no_binary_name = true, disable_help_subcommand = true)]
struct Line {
    #[command(subcommand)]
    subcommand: Subcommand,
}

/// Whether there is a sub-command of that name.
pub fn has_subcommand(name: &str) -> bool {
    <Subcommand as clap::Subcommand>::has_subcommand(name)
}

/// Reads a line that begins with the name of a sub-command.
pub(super) fn parse(args: &[OsString]) -> Result<Command, UsageError> {
    match Line::try_parse_from(args) {
        Ok(line) => Ok(Command::Sub(line.subcommand)),
        Err(error) if error.kind() == ErrorKind::DisplayHelp => Ok(Command::Help(error.to_string())),
        Err(error) => {
            let text = error.to_string();
            let line = text.lines().next().unwrap_or_default();
            let what = line.strip_prefix("error: ").unwrap_or(line);
            Err(UsageError::new(format_args!("{what}; see racefetch {} --help", args[0].display())))
        }
    }
}
