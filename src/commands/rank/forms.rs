//! The result for other programs: `GENTOO_MIRRORS` for make.conf, a plain list, and the upstream part of nginx's
//! configuration for a cache.

use std::fmt::Write;
use std::time::{Duration, SystemTime};

use super::report::Report;
use crate::portage::MirrorBase;
use crate::progress::printable;

/// The assignment, a mirror a line. No address can end the quotes: none has a quote, a backslash or a dollar in it.
pub(super) fn make_conf(mirrors: &[String]) -> String {
    let safe = mirrors.iter().filter(|mirror| is_literal(mirror));
    format!("GENTOO_MIRRORS=\"{}\"\n", safe.cloned().collect::<Vec<_>>().join(" \\\n    "))
}

/// Whether a word means itself within double quotes of make.conf.
fn is_literal(word: &str) -> bool {
    !word.contains(|c: char| c.is_control() || c.is_whitespace() || "\"\\$`".contains(c))
}

pub(super) fn plain(mirrors: &[String]) -> String {
    mirrors.iter().fold(String::new(), |mut text, mirror| {
        let _ = writeln!(text, "{}", printable(mirror)); // writing to a String cannot fail
        text
    })
}

/// Mirrors behind a cache, at most: more are never asked.
const BEHIND_A_CACHE: usize = 8;
/// These share the work; the others wait until none of these answers.
const AT_WORK: usize = 3;
/// The longest comment, in characters.
const COMMENT: usize = 80;

/// A server for each mirror, which knows its address, and the group of them. None without any mirror. Those whose address
/// could mean something to nginx are left out, and said to be.
pub(super) fn nginx(report: &Report, warn: &mut dyn FnMut(&str)) -> Option<String> {
    let mut bases: Vec<(String, String)> = Vec::new();
    for index in &report.chosen {
        let mirror = &report.mirrors[*index];
        let base = mirror.base.to_string();
        if mirror.base.is_local() {
            continue; // perhaps it is the cache itself
        }
        if is_fit_for_nginx(&mirror.base, &mirror.site.address) {
            bases.push((comment(&mirror.site.name), base));
        } else {
            warn(&format!("{base} cannot stand in nginx's configuration: it is left out"));
        }
    }
    bases.truncate(BEHIND_A_CACHE);
    if bases.is_empty() {
        return None;
    }
    let date = httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(report.now));
    let mut text = format!(
        "# The public mirrors behind the cache, best first. Written by `racefetch rank --format nginx` on {date}.\n"
    );
    let mut group = String::new();
    for (number, (name, base)) in (1..).zip(&bases) {
        let _ = write!(
            text,
            "\n# {name}\nserver {{\n    listen unix:/run/racefetch-mirror/{number}.sock;\n    \
             include public-mirror.conf;\n    location / {{\n        proxy_pass {base}$request_uri;\n    }}\n}}\n"
        );
        let backup = if number > AT_WORK { " backup" } else { "" };
        let _ = writeln!(
            group,
            "    server unix:/run/racefetch-mirror/{number}.sock max_fails=3 fail_timeout=60s{backup};"
        );
    }
    let _ = write!(
        text,
        "\nupstream public_mirrors {{\n    zone public_mirrors 128k;\n    least_conn;\n{group}    keepalive 32;\n}}\n"
    );
    Some(text)
}

/// Whether an address means nothing but itself in nginx's configuration. It is judged, not quoted: quoting has traps there.
fn is_fit_for_nginx(base: &MirrorBase, written: &str) -> bool {
    let shown = base.to_string();
    let rest = shown.split_once("://").map_or("", |(_, rest)| rest);
    let fits = |c: char| c.is_ascii_alphanumeric() || "._~/-+@,%:[]".contains(c);
    // A name and a password would be sent to nobody, and stand in a file.
    !rest.is_empty() && rest.chars().all(fits) && !written.split('/').nth(2).unwrap_or_default().contains('@')
}

fn comment(name: &str) -> String {
    let printed: String = name.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    printable(&printed).chars().take(COMMENT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_address_ends_the_quotes() {
        let mirrors = ["/srv/mirror", "https://a.example/g", "https://b.example/\";reboot", "https://c/$(x)"];
        let text = make_conf(&mirrors.map(str::to_owned));
        assert_eq!(text, "GENTOO_MIRRORS=\"/srv/mirror \\\n    https://a.example/g\"\n");
    }

    #[test]
    fn what_nginx_would_read_as_its_own_is_left_out() {
        for (address, fits) in [
            ("https://a.example/pub/gentoo", true),
            ("http://a.example:8080/~x/a-b+c@d,e/%20f", true),
            ("https://[2001:db8::1]/g", true),
            ("https://a.example/$host", false),
            ("https://a.example/;}", false),
            ("https://a.example/{x}", false),
            ("https://a.example/'x'", false),
            ("https://me:secret@a.example/g", false),
        ] {
            let base: MirrorBase = address.parse().unwrap();
            assert_eq!(is_fit_for_nginx(&base, address), fits, "{address}");
        }
        assert_eq!(comment("a\nb\u{202e}c"), "a b?c");
    }
}
