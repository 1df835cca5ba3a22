//! What is asked for: the URL, header fields, logins, ranges, redirects.

use super::Effect::{Sets, Turns};
#[cfg(test)]
use super::Example;
use super::Help::{Common, Full};
use super::{Entry, set, set_some, switch, value};
use crate::cli::UsageError;
use crate::cli::argument::Argument;
use crate::cli::builder::{self, Builder};
use crate::cli::exit::ExitStatus;
use crate::cli::headers::{HeaderError, field_edit};
use crate::cli::options::{ConditionKind, ConditionTime, Resume, TimeCondition};
#[cfg(test)]
use crate::cli::options::{Netrc, Sink};
use crate::cli::values::{self, Complaint};
use crate::http::date;
use crate::http::range::RangeSpec;
#[cfg(test)]
use crate::http::settings::FieldEdit;
use crate::http::url::{Scheme, SchemeSet};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

pub(super) static ENTRIES: &[Entry] = &[
    Entry {
        spelling: switch("compressed"),
        help: Full("refuse content that comes encoded all the same"),
        effect: Turns(|o| &mut o.request.compressed),
        #[cfg(test)]
        example: Example::Sets("--compressed", |o| o.request.compressed),
    },
    Entry {
        spelling: value("continue-at", "offset").short('C'),
        help: Common("resume at an offset; - is the file's end"),
        effect: Sets(|b, a| set(&mut b.options.request.resume, a.read(resume))),
        #[cfg(test)]
        example: Example::Sets("-C -", |o| o.request.resume == Resume::Existing),
    },
    Entry {
        spelling: value("cookie", "data|file").short('b'),
        help: Full("send a cookie, name=value, or those of a file"),
        effect: Sets(cookie),
        #[cfg(test)]
        example: Example::Sets("-b a=1", |o| o.request.fields == [edit("Cookie: a=1")]),
    },
    Entry {
        spelling: value("cookie-jar", "file").short('c'),
        help: Full("write the cookies to a file at the end; - is stdout"),
        effect: Sets(|b, a| {
            b.options.request.cookies.shared = true;
            set_some(&mut b.options.request.cookies.jar, a.sink())
        }),
        #[cfg(test)]
        example: Example::Sets("-c f", |o| {
            o.request.cookies.shared && o.request.cookies.jar == Some(Sink::File("f".into()))
        }),
    },
    Entry {
        spelling: switch("follow"),
        help: Full("follow redirects, as -L"),
        effect: Turns(|o| &mut o.redirects.follow),
        #[cfg(test)]
        example: Example::Sets("--follow", |o| o.redirects.follow),
    },
    Entry {
        spelling: value("header", "field").short('H'),
        help: Common("'Name: value', 'Name:' to remove, 'Name;' to send empty, @file"),
        effect: Sets(headers),
        #[cfg(test)]
        example: Example::Sets("-H Accept:", |o| o.request.fields == [edit("Accept:")]),
    },
    Entry {
        spelling: switch("junk-session-cookies").short('j'),
        help: Full("leave out cookies of files that end with a session"),
        effect: Turns(|o| &mut o.request.cookies.junk_session),
        #[cfg(test)]
        example: Example::Sets("-j", |o| o.request.cookies.junk_session),
    },
    Entry {
        spelling: switch("location").short('L'),
        help: Common("follow redirects"),
        effect: Turns(|o| &mut o.redirects.follow),
        #[cfg(test)]
        example: Example::Sets("-L", |o| o.redirects.follow),
    },
    Entry {
        spelling: switch("location-trusted"),
        help: Full("as -L, and send credentials to other hosts too"),
        effect: Sets(|b, a| {
            let redirects = &mut b.options.redirects;
            (redirects.follow, redirects.trusted) = (a.on, a.on);
            Ok(())
        }),
        #[cfg(test)]
        example: Example::Sets("--location-trusted", |o| o.redirects.follow && o.redirects.trusted),
    },
    Entry {
        spelling: value("max-redirs", "num"),
        help: Full("redirects to follow at most; -1 is no limit"),
        effect: Sets(|b, a| set(&mut b.options.redirects.most, a.read(max_redirs))),
        #[cfg(test)]
        example: Example::Sets("--max-redirs 5", |o| o.redirects.most == Some(5)),
    },
    Entry {
        spelling: switch("netrc").short('n'),
        help: Full("take credentials from ~/.netrc, which must exist"),
        effect: Sets(|b, a| set(&mut b.netrc, Ok(a.on))),
        #[cfg(test)]
        example: Example::Sets("-n", |o| o.request.netrc == Netrc::Required(None)),
    },
    Entry {
        spelling: value("netrc-file", "file"),
        help: Full("take credentials from this file"),
        effect: Sets(|b, a| set_some(&mut b.netrc_file, a.path())),
        #[cfg(test)]
        example: Example::Sets("--netrc-file f", |o| o.request.netrc == Netrc::Required(Some("f".into()))),
    },
    Entry {
        spelling: switch("netrc-optional"),
        help: Full("take credentials from ~/.netrc when it exists"),
        effect: Sets(|b, a| set(&mut b.netrc_optional, Ok(a.on))),
        #[cfg(test)]
        example: Example::Sets("--netrc-optional", |o| o.request.netrc == Netrc::Optional(None)),
    },
    Entry {
        spelling: value("oauth2-bearer", "token"),
        help: Full("send a bearer token"),
        effect: Sets(|b, a| {
            b.options.secrets.push(a.filled()?.to_owned());
            set_some(&mut b.options.request.bearer, a.field_value())
        }),
        #[cfg(test)]
        example: Example::Sets("--oauth2-bearer t", |o| o.request.bearer.as_deref() == Some("t")),
    },
    Entry {
        spelling: switch("path-as-is"),
        help: Full("send /./ and /../ as they are"),
        effect: Turns(|o| &mut o.request.path_as_is),
        #[cfg(test)]
        example: Example::Sets("--path-as-is", |o| o.request.path_as_is),
    },
    Entry {
        spelling: value("proto", "list"),
        help: Full("schemes that may be used: =https"),
        effect: Sets(|b, a| {
            b.options.request.schemes = schemes(b, a)?;
            Ok(())
        }),
        #[cfg(test)]
        example: Example::Sets("--proto =https", |o| !o.request.schemes.http),
    },
    Entry {
        spelling: value("proto-default", "scheme"),
        help: Full("scheme of URLs without one"),
        effect: Sets(|b, a| {
            let unsupported = |what| UsageError::with_status(ExitStatus::UnsupportedProtocol, what);
            set_some(&mut b.options.request.default_scheme, scheme(a.text()?).map_err(unsupported))
        }),
        #[cfg(test)]
        example: Example::Sets("--proto-default https", |o| o.request.default_scheme == Some(Scheme::Https)),
    },
    Entry {
        spelling: value("proto-redir", "list"),
        help: Full("schemes that a redirect may lead to"),
        effect: Sets(|b, a| {
            b.redirect_schemes = schemes(b, a)?;
            Ok(())
        }),
        #[cfg(test)]
        example: Example::Sets("--proto-redir -http", |o| {
            !o.redirects.schemes.http && o.request.schemes.http
        }),
    },
    Entry {
        spelling: value("range", "first-last").short('r'),
        help: Full("one range of bytes: 0-99, 100-, -500"),
        effect: Sets(|b, a| set_some(&mut b.options.request.range, a.read(range))),
        #[cfg(test)]
        example: Example::Sets("-r 0-99", |o| {
            o.request.range == Some(RangeSpec::Int { first_pos: 0, last_pos: Some(99) })
        }),
    },
    Entry {
        spelling: value("referer", "URL").short('e'),
        help: Full("send a Referer; with ;auto also on redirects"),
        effect: Sets(|b, a| {
            let value = a.field_value()?;
            let (url, auto) = value.strip_suffix(";auto").map_or((value.as_str(), false), |url| (url, true));
            b.options.request.referer = Some(url.to_owned()).filter(|url| !url.is_empty());
            b.options.redirects.auto_referer = auto;
            Ok(())
        }),
        #[cfg(test)]
        example: Example::Sets("-e http://r;auto", |o| {
            o.request.referer.as_deref() == Some("http://r") && o.redirects.auto_referer
        }),
    },
    Entry {
        spelling: value("request", "method").short('X'),
        help: Full("method: only GET"),
        effect: Sets(|_, a| a.read(method)),
        #[cfg(test)]
        example: Example::Same("-X GET"),
    },
    Entry {
        spelling: value("time-cond", "time").short('z'),
        help: Full("fetch only what is newer than a date or a file; -date: older"),
        effect: Sets(|b, a| {
            let condition = time_condition(a.filled()?).map_err(|complaint| a.wrong(complaint));
            set_some(&mut b.options.request.condition, condition)
        }),
        #[cfg(test)]
        example: Example::Sets("-z -19700102", |o| {
            let kind = ConditionKind::IfUnmodifiedSince;
            o.request.condition == Some(TimeCondition { kind, time: ConditionTime::At(86_400) })
        }),
    },
    Entry {
        spelling: value("url", "URL"),
        help: Full("a URL, as without --url; @file: a list, each with -O"),
        effect: Sets(builder::url),
        #[cfg(test)]
        example: Example::Sets("--url u", |o| o.transfers.len() == 2),
    },
    Entry {
        spelling: value("user", "user:password").short('u'),
        help: Full("credentials for the server"),
        effect: Sets(|b, a| {
            b.options.secrets.push(a.value.to_owned());
            set_some(&mut b.options.request.credentials, a.read(values::credentials))
        }),
        #[cfg(test)]
        example: Example::Sets("-u u:p", |o| o.request.credentials.as_ref().is_some_and(|c| c.user == "u")),
    },
    Entry {
        spelling: value("user-agent", "name").short('A'),
        help: Common("send this User-Agent; '' sends none"),
        effect: Sets(|b, a| set_some(&mut b.options.request.user_agent, a.field_value())),
        #[cfg(test)]
        example: Example::Sets("-A me", |o| o.request.user_agent.as_deref() == Some("me")),
    },
];

/// `-H`: a field, or a file of fields. What curl ignores is ignored with a warning.
fn headers(builder: &mut Builder<'_>, argument: Argument<'_>) -> Result<(), UsageError> {
    let add = |builder: &mut Builder<'_>, line: &str| match field_edit(line) {
        Ok(edit) => {
            builder.options.request.fields.push(edit);
            Ok(())
        }
        Err(error @ HeaderError::Ignored) => {
            builder.warn(argument.wrong(error).to_string());
            Ok(())
        }
        Err(error) => Err(argument.wrong(error)),
    };
    let Some(file) = argument.named_file() else { return add(builder, argument.text()?) };
    let list = builder.read(argument, file)?;
    list.lines()
        .filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
        .try_for_each(|line| add(builder, line))
}

/// `-b`: cookies, or a file of cookies. An empty name stands for no file, and for cookies that all transfers share.
fn cookie(builder: &mut Builder<'_>, argument: Argument<'_>) -> Result<(), UsageError> {
    if argument.value.as_bytes().contains(&b'=') {
        builder.cookies.push(argument.field_value()?);
        return Ok(());
    }
    let cookies = &mut builder.options.request.cookies;
    cookies.shared = true;
    cookies.files.extend((!argument.value.is_empty()).then(|| PathBuf::from(argument.value)));
    Ok(())
}

fn method(text: &str) -> Result<(), Complaint> {
    if text != "GET" {
        return Err(format!("the method {text:?} is refused: racefetch sends GET and nothing else"));
    }
    Ok(())
}

/// The set, with a warning for each name that means nothing.
fn schemes(builder: &mut Builder<'_>, argument: Argument<'_>) -> Result<SchemeSet, UsageError> {
    let (set, unknown) = scheme_set(argument.text()?);
    for name in unknown {
        builder.warn(format!("unrecognized protocol '{name}'"));
    }
    Ok(set)
}

/// `--max-redirs`: `None` is no limit.
fn max_redirs(text: &str) -> Result<Option<u32>, Complaint> {
    if text == "-1" {
        return Ok(None);
    }
    values::count(text).map(Some)
}

/// `-C`.
fn resume(text: &str) -> Result<Resume, Complaint> {
    if text == "-" {
        return Ok(Resume::Existing);
    }
    values::number(text).map(Resume::From)
}

/// `-r`. A single number means "from there on", as curl reads it.
fn range(text: &str) -> Result<RangeSpec, Complaint> {
    if text.contains(',') {
        return Err("several ranges are refused: the file would hold the parts' headers too".into());
    }
    let wrong = || format!("{text:?} is not a range; write FIRST-LAST, FIRST- or -COUNT");
    let position = |digits: &str| values::number(digits).map_err(|_| wrong());
    match text.split_once('-').unwrap_or((text, "")) {
        ("", "") => Err(wrong()),
        ("", count) => Ok(RangeSpec::Suffix { suffix_length: position(count)? }),
        (first, "") => Ok(RangeSpec::Int { first_pos: position(first)?, last_pos: None }),
        (first, last) => {
            let (first_pos, last_pos) = (position(first)?, position(last)?);
            if last_pos < first_pos {
                return Err(format!("the range {text} ends before it begins"));
            }
            Ok(RangeSpec::Int { first_pos, last_pos: Some(last_pos) })
        }
    }
}

/// `-z`: a date, or else the name of a file; `-` in front asks for what is older.
fn time_condition(value: &OsStr) -> Result<TimeCondition, Complaint> {
    let bytes = value.as_bytes();
    let (kind, rest) = match bytes.first() {
        Some(b'-') => (ConditionKind::IfUnmodifiedSince, &bytes[1..]),
        Some(b'+') => (ConditionKind::IfModifiedSince, &bytes[1..]),
        Some(b'=') => return Err("'=' is refused: Last-Modified is not a request field".into()),
        _ => (ConditionKind::IfModifiedSince, bytes),
    };
    let date = std::str::from_utf8(rest).ok().and_then(date::parse);
    let of_file = || ConditionTime::OfFile(PathBuf::from(OsString::from_vec(rest.to_vec())));
    Ok(TimeCondition { kind, time: date.map_or_else(of_file, ConditionTime::At) })
}

/// `--proto` and `--proto-redir`: names, each with `+` (or nothing) to allow, `-` to forbid, `=` to
/// allow it alone; `all` is every scheme. Returns the set and the names that mean nothing here.
fn scheme_set(text: &str) -> (SchemeSet, Vec<&str>) {
    let mut set = SchemeSet::BOTH;
    let mut unknown = Vec::new();
    for word in text.split(',').filter(|word| !word.is_empty()) {
        let (action, name) = match word.as_bytes()[0] {
            action @ (b'+' | b'-' | b'=') => (action, &word[1..]),
            _ => (b'+', word),
        };
        let named = match name.to_ascii_lowercase().as_str() {
            "all" => SchemeSet::BOTH,
            "http" => SchemeSet { http: true, https: false },
            "https" => SchemeSet { http: false, https: true },
            other => {
                if !OTHER_SCHEMES.contains(&other) {
                    unknown.push(name);
                }
                SchemeSet::NONE
            }
        };
        set = match action {
            b'=' => named,
            b'-' => SchemeSet { http: set.http && !named.http, https: set.https && !named.https },
            _ => SchemeSet { http: set.http || named.http, https: set.https || named.https },
        };
    }
    (set, unknown)
}

/// Schemes that curl knows and that are never fetched here.
#[rustfmt::skip]
const OTHER_SCHEMES: [&str; 26] = [
    "dict", "file", "ftp", "ftps", "gopher", "gophers", "imap", "imaps", "ipfs", "ipns", "ldap", "ldaps", "mqtt",
    "pop3", "pop3s", "rtmp", "rtsp", "scp", "sftp", "smb", "smbs", "smtp", "smtps", "telnet", "tftp", "ws",
];

/// `--proto-default`.
fn scheme(text: &str) -> Result<Scheme, Complaint> {
    match text.to_ascii_lowercase().as_str() {
        "http" => Ok(Scheme::Http),
        "https" => Ok(Scheme::Https),
        _ => Err(format!("the default scheme {text:?} is not supported; write http or https")),
    }
}

#[cfg(test)]
fn edit(line: &str) -> FieldEdit {
    field_edit(line).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let int = |first_pos, last_pos| Ok(RangeSpec::Int { first_pos, last_pos });
        assert_eq!(range("0-99"), int(0, Some(99)));
        assert_eq!((range("100-"), range("100")), (int(100, None), int(100, None)));
        assert_eq!(range("-500"), Ok(RangeSpec::Suffix { suffix_length: 500 }));
        for text in ["", "-", "9-0", "a-b", "0-1,3-4", "1-2-3", "--1"] {
            assert!(range(text).is_err(), "{text}");
        }
    }

    #[test]
    fn time_conditions_are_dates_or_files() {
        let condition = |text: &str| time_condition(OsStr::new(text)).unwrap();
        assert_eq!(condition("19700102").time, ConditionTime::At(86_400));
        assert_eq!(condition("-19700102").kind, ConditionKind::IfUnmodifiedSince);
        assert_eq!(condition("old.tar").time, ConditionTime::OfFile("old.tar".into()));
        let odd = OsStr::from_bytes(b"-a\xff");
        let file = ConditionTime::OfFile(PathBuf::from(OsStr::from_bytes(b"a\xff")));
        assert_eq!(time_condition(odd).unwrap().time, file);
        assert!(time_condition(OsStr::new("=19700102")).is_err());
    }

    #[test]
    fn scheme_lists() {
        let set = |text| scheme_set(text).0;
        let https = SchemeSet { http: false, https: true };
        assert_eq!(set("=https"), https);
        assert_eq!(set("-all,https"), https);
        assert_eq!(set("-http"), https);
        assert_eq!(set("=ftp"), SchemeSet::NONE);
        assert_eq!(set("=https,http,ftp,,"), SchemeSet::BOTH);
        assert_eq!(scheme_set("+foo,file,=HTTPS"), (https, vec!["foo"]));
    }
}
