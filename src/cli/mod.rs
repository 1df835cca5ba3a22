//! The command line: what was asked, and with which exit status it ends.
//!
//! `racefetch [OPTIONS] URL...` takes curl's options for downloads. [`table`] has an entry for each, `syntax`
//! reads the words as curl does, `builder` puts together what they set, and [`options`] is what comes out.
//! [`parse`] is pure but for the closure that reads files. What is not as in curl: `~/.curlrc` is not read,
//! URLs are taken literally (curl's `-g`), a URL that cannot be one is refused before the first transfer,
//! and words like `blake2b:HEX` that stand where a URL could are the digests of the file.

mod argument;
mod builder;
mod config_file;
mod error;
pub mod exit;
pub mod headers;
pub mod manual;
pub mod netrc;
pub mod options;
pub mod proxy;
pub mod rank;
mod subcommands;
mod syntax;
pub mod table;
mod values;
pub mod write_out;

pub use error::UsageError;
pub use exit::ExitStatus;
pub use options::FetchOptions;
pub use rank::{RankArgs, RankFormat};
pub use subcommands::{
    DoctorArgs, PrefetchArgs, SetupArgs, StatsArgs, Subcommand, VerifyArgs, has_subcommand,
};

use std::ffi::OsString;
use std::io;
use std::path::Path;

/// What the program is to do.
#[derive(Clone, Debug)]
pub enum Command {
    Fetch(Box<FetchOptions>),
    Sub(Subcommand),
    /// Print this text to stdout, and nothing else.
    Help(String),
    /// Print [`manual::version`] to stdout, and nothing else.
    Version,
}

/// Reads a command line, without the program's name.
///
/// A first word that is exactly the name of a sub-command selects it (write `-- NAME` to fetch from a host
/// of that name). `read` is asked for the text of files: those of `-K`, `-H @file`, `-w @file`, `--url
/// @file`; `-` is stdin.
pub fn parse(args: &[OsString], read: &dyn Fn(&Path) -> io::Result<String>) -> Result<Command, UsageError> {
    let name = args.first().and_then(|first| first.to_str());
    if name.is_some_and(has_subcommand) {
        return subcommands::parse(args);
    }
    syntax::parse(args, read)
}

#[cfg(test)]
mod tests;
