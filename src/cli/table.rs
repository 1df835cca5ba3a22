//! curl's options and our own, each in exactly one class. The parser, `--help all` and the manual all
//! read this table; a test compares it with `curl --help all`.
//!
//! The names are those of curl up to 8.22. What is accepted or refused says why.

mod entries;

pub use entries::{ACCEPTED, IMPLEMENTED, REFUSED};

/// One way to write an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spelling {
    /// The letter behind a single dash.
    pub short: Option<char>,
    /// The word behind two dashes.
    pub long: &'static str,
    pub takes: Takes,
}

/// What follows an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Nothing, and `--no-OPTION` does not exist.
    Nothing,
    /// Nothing; `--no-OPTION` switches it off.
    Switch,
    /// A value; this is its name in the help.
    Value(&'static str),
}

/// An option that does something.
#[derive(Debug, PartialEq, Eq)]
pub struct Implemented {
    pub spelling: Spelling,
    pub option: Opt,
    /// Shown by plain `--help` too.
    pub common: bool,
    /// Not curl's: must be written in full, so that it never makes one of curl's abbreviations ambiguous.
    pub own: bool,
    pub help: &'static str,
}

/// Options that share a class and a reason.
#[derive(Debug, PartialEq, Eq)]
pub struct Group {
    pub reason: &'static str,
    pub spellings: &'static [Spelling],
}

/// What an option word stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    Implemented(&'static Implemented),
    /// Understood, and without influence on what is fetched.
    Accepted(&'static Group),
    Refused(&'static Group),
}

/// The options that do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[rustfmt::skip] // by alphabet, several on a line
pub enum Opt {
    Cacert, Capath, Cert, CertType, Compressed, Config, ConnectTimeout, ContinueAt, Cookie, CreateDirs, Digests,
    DumpHeader, Fail, FailEarly, FailWithBody, Follow, Header, Help, Insecure, Interface, Ipv4, Ipv6, Key,
    KeyType, LimitRate, Location, LocationTrusted, LookAhead, Manual, MaxFilesize, MaxRedirs, MaxTime, Mirrors, Netrc,
    NetrcFile, NetrcOptional, Noproxy, Oauth2Bearer, Output, OutputDir, ParallelMirrors, PathAsIs,
    ProgressBar, ProgressMeter, Proto, ProtoDefault, ProtoRedir, Proxy, ProxyHttp10, ProxyTunnel, ProxyUser,
    Range, Referer, RemoteHeaderName, RemoteName, RemoteNameAll, RemoteTime, RemoveOnError, Request, Resolve,
    Retry, RetryAllErrors, RetryConnrefused, RetryDelay, RetryMaxTime, ShowError, Silent, Size, SkipExisting,
    Socks4, Socks4a, Socks5, Socks5Hostname, SpeedLimit, SpeedTime, State, Stderr, Tier, TimeCond, Timeline,
    TlsMax, Tlsv12, Tlsv13, Trace, Url, User, UserAgent, Verbose, Version, WriteOut,
}

/// Every spelling with its class.
pub fn all() -> impl Iterator<Item = (&'static Spelling, Class)> {
    let implemented = IMPLEMENTED.iter().map(|i| (&i.spelling, Class::Implemented(i)));
    let accepted = ACCEPTED.iter().flat_map(|g| g.spellings.iter().map(move |s| (s, Class::Accepted(g))));
    let refused = REFUSED.iter().flat_map(|g| g.spellings.iter().map(move |s| (s, Class::Refused(g))));
    implemented.chain(accepted).chain(refused)
}

/// The option of that letter.
pub fn by_short(letter: char) -> Option<(&'static Spelling, Class)> {
    all().find(|(spelling, _)| spelling.short == Some(letter))
}

/// Why a long option was not found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LongError {
    Unknown,
    /// The names that it could stand for.
    Ambiguous(Vec<&'static str>),
}

/// The option of that name or, as in older curls, of an abbreviation that fits no other option.
pub fn by_long(name: &str) -> Result<(&'static Spelling, Class), LongError> {
    if let Some(exact) = all().find(|(spelling, _)| spelling.long == name) {
        return Ok(exact);
    }
    let own = |class: &Class| matches!(class, Class::Implemented(i) if i.own);
    let matches = |s: &Spelling| !name.is_empty() && s.long.starts_with(name) && !s.long.starts_with("no-");
    let mut fitting = all().filter(|(spelling, class)| matches(spelling) && !own(class));
    let Some(first) = fitting.next() else { return Err(LongError::Unknown) };
    let others: Vec<_> = fitting.map(|(spelling, _)| spelling.long).collect();
    if others.is_empty() {
        return Ok(first);
    }
    Err(LongError::Ambiguous([vec![first.0.long], others].concat()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{HashMap, HashSet};
    use std::process::Command;

    #[test]
    fn every_option_stands_in_the_table_once() {
        let mut longs = HashSet::new();
        let mut shorts = HashSet::new();
        for (spelling, _) in all() {
            assert!(longs.insert(spelling.long), "{} twice", spelling.long);
            if let Some(short) = spelling.short {
                assert!(shorts.insert(short), "-{short} twice");
            }
        }
        let options: HashSet<_> = IMPLEMENTED.iter().map(|i| i.option).collect();
        assert_eq!(options.len(), IMPLEMENTED.len(), "an option is implemented under two names");
    }

    /// What `curl --help all` prints: `-o, --output <file>  Write to file instead of stdout`.
    #[test]
    fn every_option_of_the_installed_curl_has_a_class() {
        let curl = Command::new("curl").args(["--help", "all"]).output().expect("curl is installed");
        let help = String::from_utf8_lossy(&curl.stdout).into_owned();
        let known: HashMap<_, _> = all().map(|(spelling, _)| (spelling.long, spelling)).collect();
        let find = |long: &str| known.get(long).or_else(|| known.get(long.strip_prefix("no-")?));
        let mut missing = Vec::new();
        let mut seen = 0;
        for line in help.lines() {
            let Some((short, rest)) = line.trim().split_once("--") else { continue };
            seen += 1;
            let mut words = rest.split_whitespace();
            let long = words.next().unwrap();
            let takes_value = words.next().is_some_and(|word| word.starts_with(['<', '[']));
            let Some(spelling) = find(long) else {
                missing.push(line.to_owned());
                continue;
            };
            assert_eq!(matches!(spelling.takes, Takes::Value(_)), takes_value, "{line}");
            assert_eq!(spelling.short, short.chars().nth(1), "{line}");
        }
        assert!(missing.is_empty(), "no class for:\n{}", missing.join("\n"));
        assert!(seen > 200, "only {seen} options in the help of curl: is its form another?");
    }

    /// What curl ignores for http must not end in an error here, in whichever form it is written.
    #[test]
    fn accepted_options_may_be_reversed_where_the_installed_curl_lets_them() {
        let mut faults = Vec::new();
        let mut seen = 0;
        for (spelling, _) in all().filter(|(_, class)| matches!(class, Class::Accepted(_))) {
            // Without a URL it ends before it does anything.
            let curl = Command::new("curl").arg(format!("--no-{}", spelling.long)).output().unwrap();
            let said = String::from_utf8_lossy(&curl.stderr).into_owned();
            if said.contains("unknown") || said.contains("support") || said.contains("badly used") {
                continue;
            }
            seen += 1;
            let reversible = said.contains("no URL");
            if reversible != (spelling.takes == Takes::Switch) {
                faults.push(format!("{}: {said}", spelling.long));
            }
        }
        assert!(faults.is_empty(), "{}", faults.join("\n"));
        assert!(seen > 80, "only {seen} options: are curl's messages others?");
    }

    #[test]
    fn abbreviations_must_fit_one_option_of_curl() {
        assert_eq!(by_long("continue").unwrap().0.long, "continue-at");
        assert_eq!(by_long("proxy").unwrap().0.long, "proxy");
        assert_eq!(by_long("spee"), Err(LongError::Ambiguous(vec!["speed-limit", "speed-time"])));
        assert_eq!(by_long("siz"), Err(LongError::Unknown), "our own are written in full");
        assert_eq!(by_long("digest").unwrap().0.long, "digest");
        assert_eq!(by_long(""), Err(LongError::Unknown));
    }
}
