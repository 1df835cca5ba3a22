//! Short names for hosts: what tells one mirror from the next, where there is room for a word only.

use std::collections::BTreeMap;
use std::net::IpAddr;

/// Words that say what a host does and not whose it is. Digits behind them do not count.
const GENERIC: &[&str] = &[
    "archive",
    "cdn",
    "distfiles",
    "dl",
    "download",
    "files",
    "ftp",
    "gentoo",
    "http",
    "linux",
    "mirror",
    "mirrors",
    "opensource",
    "pub",
    "public",
    "repo",
    "rsync",
    "source",
    "www",
];

/// A short name for each host, in the same order. Hosts that would have the same one keep their whole name.
pub(super) fn short(hosts: &[&str]) -> Vec<String> {
    let mut uses: BTreeMap<&str, usize> = BTreeMap::new();
    for host in hosts {
        *uses.entry(word(host)).or_default() += 1;
    }
    hosts.iter().map(|host| if uses[word(host)] == 1 { word(host) } else { host }.to_owned()).collect()
}

/// The first label that is not generic, without the top-level domain: `halifax` of `ftp.halifax.rwth-aachen.de`.
/// Addresses, and names with nothing else in them, stay whole.
fn word(host: &str) -> &str {
    let name = host.rsplit_once(':').map_or(host, |(name, _port)| name);
    let Some((labels, _top)) = name.rsplit_once('.') else { return host };
    if name.parse::<IpAddr>().is_ok() || host.starts_with('[') {
        return host;
    }
    labels.split('.').find(|label| !is_generic(label)).unwrap_or(host)
}

fn is_generic(label: &str) -> bool {
    let word = label.trim_end_matches(|c: char| c.is_ascii_digit() || c == '-');
    word.is_empty() || GENERIC.contains(&word.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tells_mirrors_apart() {
        for (host, name) in [
            ("ftp.halifax.rwth-aachen.de", "halifax"),
            ("mirror.bytemark.co.uk", "bytemark"),
            ("mirrors.mit.edu", "mit"),
            ("gentoo.mirrors.ovh.net", "ovh"),
            ("ftp2.osuosl.org:8080", "osuosl"),
            ("distfiles.gentoo.org", "distfiles.gentoo.org"),
            ("localhost:8000", "localhost:8000"),
            ("10.77.0.1", "10.77.0.1"),
            ("10.77.0.1:80", "10.77.0.1:80"),
            ("[2001:db8::1]:80", "[2001:db8::1]:80"),
            ("", ""),
        ] {
            assert_eq!(short(&[host]), [name], "{host}");
        }
    }

    #[test]
    fn two_of_one_name_keep_their_own() {
        let hosts = ["a.mirror.example.org", "b.mirror.example.org", "ftp.kernel.org", "mirrors.kernel.org"];
        assert_eq!(short(&hosts), ["a", "b", "ftp.kernel.org", "mirrors.kernel.org"]);
    }
}
