//! `racefetch rank`. The letters are mirrorselect's.

use std::path::PathBuf;

use clap::Args;

use crate::http::settings::AddressFamily;

/// `racefetch rank`: which public mirrors are the best for this machine.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "options that are independent of each other")]
pub struct RankArgs {
    /// How many mirrors to take, each of another operator
    #[arg(short, long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub servers: u16,
    /// Only mirrors of this region: Europe, Asia, "North America"
    #[arg(short = 'R', long = "region", value_name = "REGION")]
    pub regions: Vec<String>,
    /// Only mirrors of this country: DE, Germany
    #[arg(short = 'c', long = "country", value_name = "COUNTRY")]
    pub countries: Vec<String>,
    /// Only over IPv4
    #[arg(short = '4', long, conflicts_with = "ipv6")]
    pub ipv4: bool,
    /// Only over IPv6
    #[arg(short = '6', long)]
    pub ipv6: bool,
    /// Only plain http
    #[arg(short = 'H', long, conflicts_with = "https")]
    pub http: bool,
    /// Only https
    #[arg(short = 'S', long)]
    pub https: bool,
    /// Leave out mirrors of this host
    #[arg(short = 'e', long = "exclude", value_name = "HOST")]
    pub excluded: Vec<String>,
    /// Gentoo's list of mirrors, or another of its form; - is standard input
    #[arg(long, value_name = "FILE|URL|-")]
    pub from: Option<String>,
    /// Ask all mirrors, and measure no rates: takes at most 4 seconds
    #[arg(long)]
    pub fast: bool,
    /// Print nothing but the mirrors, in this form
    #[arg(long, value_name = "FORM", value_enum)]
    pub format: Option<RankFormat>,
    /// Write the mirrors into make.conf, where they are determined; or what --format says into a file of its own
    #[arg(long, value_name = "FILE", num_args = 0..=1, conflicts_with = "sync")]
    pub write: Option<Option<PathBuf>>,
    /// Rank the mirrors of the repository (sync-uri) instead; needs rsync
    #[arg(long)]
    pub sync: bool,
    /// Print JSON
    #[arg(long, conflicts_with = "format")]
    pub json: bool,
    /// Say of every mirror why it stands where it does
    #[arg(long, conflicts_with_all = ["format", "json"])]
    pub explain: bool,
    /// Draw the rates over the ages of the copies
    #[arg(long, value_name = "FILE.svg", conflicts_with = "sync")]
    pub chart: Option<PathBuf>,
    /// Do not put distfiles.gentoo.org behind the others
    #[arg(long)]
    pub no_fallback: bool,
    /// Show no progress
    #[arg(short, long)]
    pub quiet: bool,
    /// The file that holds the figures of mirrors
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,
}

/// A form in which mirrors are printed.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum RankFormat {
    /// The assignment for make.conf (with --sync: the line sync-uri of repos.conf)
    #[value(name = "make.conf")]
    MakeConf,
    /// One address a line
    Plain,
    /// The upstream servers of an nginx that caches distfiles
    Nginx,
}

impl RankArgs {
    pub fn family(&self) -> AddressFamily {
        match (self.ipv4, self.ipv6) {
            (true, _) => AddressFamily::Ipv4,
            (_, true) => AddressFamily::Ipv6,
            (false, false) => AddressFamily::Any,
        }
    }

    /// The schemes that may be used, the one that is liked best first.
    pub fn schemes(&self) -> Vec<&'static str> {
        match (self.sync, self.http, self.https) {
            (true, ..) => vec!["rsync"],
            (_, true, _) => vec!["http"],
            (_, _, true) => vec!["https"],
            _ => vec!["https", "http"],
        }
    }
}
