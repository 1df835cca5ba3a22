//! The grammar of option values, as curl has it. Each function takes the text of one value and says in
//! words that follow `option --foo: ` what is wrong with it.

use super::date;
use super::options::{
    ByteRange, ConditionKind, ConditionTime, Credentials, Interface, ResolveEntry, Resume, Scheme, SchemeSet,
    TimeCondition, TlsVersion,
};
use std::ffi::OsStr;
use std::net::IpAddr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::Duration;

/// What is wrong with a value.
pub type Complaint = String;

/// A number of plain digits.
pub fn number(text: &str) -> Result<u64, Complaint> {
    if text.starts_with('-') && text[1..].parse::<u64>().is_ok() {
        return Err("expected a positive numerical parameter".into());
    }
    if !is_digits(text) {
        return Err("expected a proper numerical parameter".into());
    }
    text.parse().map_err(|_| "too large number".into())
}

/// As [`number`], for counts.
pub fn count(text: &str) -> Result<u32, Complaint> {
    u32::try_from(number(text)?).map_err(|_| "too large number".into())
}

/// Bytes, or bytes a second: digits, decimals as in curl 8.19, and at most one of the suffixes b, k, m, g
/// in either case, each 1024 times the one before.
pub fn size(text: &str) -> Result<u64, Complaint> {
    let (amount, factor) = match text.chars().next_back() {
        Some('b' | 'B') => (&text[..text.len() - 1], 1),
        Some('k' | 'K') => (&text[..text.len() - 1], 1 << 10),
        Some('m' | 'M') => (&text[..text.len() - 1], 1 << 20),
        Some('g' | 'G') => (&text[..text.len() - 1], 1_u64 << 30),
        _ => (text, 1),
    };
    let (whole, fraction) = amount.split_once('.').unwrap_or((amount, "0"));
    if !is_digits(whole) || !is_digits(fraction) {
        return Err(format!("{text:?} is not a number of bytes; write digits and at most one of k, M, G"));
    }
    // Billionths are enough: the largest factor is 2^30.
    let part = u128::from(billionths(fraction)) * u128::from(factor) / 1_000_000_000;
    let whole = whole.parse::<u128>().ok().and_then(|whole| whole.checked_mul(factor.into()));
    let bytes = whole.and_then(|whole| u64::try_from(whole.checked_add(part)?).ok());
    bytes.ok_or_else(|| "too large number".into())
}

/// Seconds with decimals. Zero means that there is no limit.
pub fn seconds(text: &str) -> Result<Option<Duration>, Complaint> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let whole = number(whole)?;
    if !is_digits(fraction) {
        return Err("expected a proper numerical parameter".into());
    }
    if whole > MAX_SECONDS {
        return Err("too large number".into());
    }
    let duration = Duration::new(whole, billionths(fraction));
    Ok((!duration.is_zero()).then_some(duration))
}

/// A hundred years: what can be added to a point in time.
const MAX_SECONDS: u64 = 100 * 366 * 86_400;

/// `--max-redirs`: `None` is no limit.
pub fn max_redirs(text: &str) -> Result<Option<u32>, Complaint> {
    if text == "-1" {
        return Ok(None);
    }
    count(text).map(Some)
}

/// `-C`.
pub fn resume(text: &str) -> Result<Resume, Complaint> {
    if text == "-" {
        return Ok(Resume::Existing);
    }
    number(text).map(Resume::From)
}

/// `-r`. A single number means "from there on", as curl reads it.
pub fn range(text: &str) -> Result<ByteRange, Complaint> {
    if text.contains(',') {
        return Err("several ranges are refused: the file would hold the parts' headers too".into());
    }
    let wrong = || format!("{text:?} is not a range; write FIRST-LAST, FIRST- or -COUNT");
    let position = |digits: &str| number(digits).map_err(|_| wrong());
    match text.split_once('-').unwrap_or((text, "")) {
        ("", "") => Err(wrong()),
        ("", count) => position(count).map(ByteRange::Suffix),
        (first, "") => position(first).map(ByteRange::From),
        (first, last) => {
            let (first, last) = (position(first)?, position(last)?);
            if last < first {
                return Err(format!("the range {text} ends before it begins"));
            }
            Ok(ByteRange::FromTo(first, last))
        }
    }
}

/// `-z`: a date, or else the name of a file; `-` in front asks for what is older.
pub fn time_condition(value: &OsStr) -> Result<TimeCondition, Complaint> {
    let bytes = value.as_bytes();
    let (kind, rest) = match bytes.first() {
        Some(b'-') => (ConditionKind::IfUnmodifiedSince, &bytes[1..]),
        Some(b'+') => (ConditionKind::IfModifiedSince, &bytes[1..]),
        Some(b'=') => return Err("'=' is refused: Last-Modified is not a request field".into()),
        _ => (ConditionKind::IfModifiedSince, bytes),
    };
    let date = std::str::from_utf8(rest).ok().and_then(date::parse);
    let of_file = || ConditionTime::OfFile(PathBuf::from(std::ffi::OsString::from_vec(rest.to_vec())));
    Ok(TimeCondition { kind, time: date.map_or_else(of_file, ConditionTime::At) })
}

/// `--proto` and `--proto-redir`: names, each with `+` (or nothing) to allow, `-` to forbid, `=` to
/// allow it alone; `all` is every scheme. Returns the set and the names that mean nothing here.
pub fn schemes(text: &str) -> (SchemeSet, Vec<&str>) {
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
pub fn scheme(text: &str) -> Result<Scheme, Complaint> {
    match text.to_ascii_lowercase().as_str() {
        "http" => Ok(Scheme::Http),
        "https" => Ok(Scheme::Https),
        _ => Err(format!("the default scheme {text:?} is not supported; write http or https")),
    }
}

/// `--tls-max`; `None` is the newest.
pub fn tls_max(text: &str) -> Result<Option<TlsVersion>, Complaint> {
    match text {
        "default" => Ok(None),
        "1.2" => Ok(Some(TlsVersion::Tls12)),
        "1.3" => Ok(Some(TlsVersion::Tls13)),
        "1.0" | "1.1" => Err(format!("TLS {text} is not spoken; the oldest version is 1.2")),
        _ => Err(format!("{text:?} is not a TLS version; write 1.2 or 1.3")),
    }
}

/// What `--resolve` asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolve {
    Add(ResolveEntry),
    /// `-HOST:PORT` takes back what stood before.
    Remove {
        host: Option<String>,
        port: u16,
    },
}

/// `--resolve [+]HOST:PORT:ADDRESS[,ADDRESS]...` or `-HOST:PORT`. A `+` makes an entry expire, which
/// does not matter within one call.
pub fn resolve(text: &str) -> Result<Resolve, Complaint> {
    let wrong = || format!("{text:?} is not HOST:PORT:ADDRESS[,ADDRESS]");
    let (removes, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (host, rest) = match rest.strip_prefix('[') {
        Some(inner) => inner.split_once("]:"),
        None => rest.split_once(':'),
    }
    .ok_or_else(wrong)?;
    let (port, addresses) = rest.split_once(':').unwrap_or((rest, ""));
    let port: u16 = port.parse().ok().filter(|_| is_digits(port)).ok_or_else(wrong)?;
    if host.is_empty() {
        return Err(wrong());
    }
    let host = (host != "*").then(|| host.to_ascii_lowercase());
    if removes {
        return Ok(Resolve::Remove { host, port });
    }
    let addresses = addresses.split(',').map(|a| address(a).ok_or_else(wrong)).collect::<Result<_, _>>()?;
    Ok(Resolve::Add(ResolveEntry { host, port, addresses }))
}

/// `--interface`: a device, an address, `if!DEVICE`, `host!ADDRESS` or `ifhost!DEVICE!ADDRESS`.
pub fn interface(text: &str) -> Result<Interface, Complaint> {
    let host =
        |text: &str| address(text).ok_or_else(|| format!("{text:?} is not an IP address of this machine"));
    let device = |text: &str| {
        let plain = !text.is_empty() && text.len() < 16 && !text.contains(['/', '!']);
        plain.then(|| text.to_owned()).ok_or_else(|| format!("{text:?} is not the name of a network device"))
    };
    if let Some(both) = text.strip_prefix("ifhost!") {
        let (name, address) = both.split_once('!').ok_or("write ifhost!DEVICE!ADDRESS")?;
        return Ok(Interface::DeviceAndAddress(device(name)?, host(address)?));
    }
    if let Some(name) = text.strip_prefix("if!") {
        return device(name).map(Interface::Device);
    }
    if let Some(address) = text.strip_prefix("host!") {
        return host(address).map(Interface::Address);
    }
    address(text)
        .map_or_else(|| device(text).map(Interface::Device), |address| Ok(Interface::Address(address)))
}

/// `-u USER:PASSWORD`. Without a colon curl would ask for the password; a fetch command has nobody to ask.
pub fn credentials(text: &str) -> Result<Credentials, Complaint> {
    let (user, password) =
        text.split_once(':').ok_or("racefetch does not ask for passwords; write USER:PASSWORD")?;
    Ok(Credentials { user: user.to_owned(), password: password.to_owned() })
}

/// `-e`: the referer, and whether `;auto` follows it.
pub fn referer(text: &str) -> (Option<&str>, bool) {
    let (url, auto) = text.strip_suffix(";auto").map_or((text, false), |url| (url, true));
    ((!url.is_empty()).then_some(url), auto)
}

/// `-E`: `\:` and `\\` stand for the characters themselves, an unescaped colon starts a passphrase.
pub fn certificate(value: &OsStr) -> Result<PathBuf, Complaint> {
    let mut path = Vec::new();
    let mut bytes = value.as_bytes().iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b':' if bytes.peek().is_some() => {
                return Err(
                    "a passphrase is refused: keys must not be encrypted (write \\: for a colon)".into()
                );
            }
            b':' => break,
            b'\\' => path.push(bytes.next_if(|b| matches!(b, b':' | b'\\')).unwrap_or(byte)),
            other => path.push(other),
        }
    }
    Ok(std::ffi::OsString::from_vec(path).into())
}

/// The text with `%XX` decoded. `None` when that is not UTF-8 or holds a NUL.
pub fn percent_decoded(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let hex = bytes.get(at + 1..at + 3).filter(|hex| hex.iter().all(u8::is_ascii_hexdigit));
        let value = hex.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        let (decoded_byte, length) = match value {
            Some(value) if byte == b'%' => (value, 3),
            _ => (byte, 1),
        };
        decoded.push(decoded_byte);
        at += length;
    }
    String::from_utf8(decoded).ok().filter(|text| !text.contains('\0'))
}

/// An IP address, with or without the brackets of URLs.
fn address(text: &str) -> Option<IpAddr> {
    text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text).parse().ok()
}

/// Decimals as billionths; what is smaller is left out.
fn billionths(decimals: &str) -> u32 {
    let digits = decimals.bytes().chain(std::iter::repeat(b'0')).take(9);
    digits.fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'))
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_sizes() {
        assert_eq!(number("0"), Ok(0));
        for text in ["", "-1", "+1", "1.5", "x", "18446744073709551616", "é"] {
            assert!(number(text).is_err(), "{text}");
        }
        assert_eq!(size("10"), Ok(10));
        assert_eq!(
            (size("2k"), size("2K"), size("1m"), size("3G")),
            (Ok(2048), Ok(2048), Ok(1 << 20), Ok(3 << 30))
        );
        assert_eq!(
            (size("1.5k"), size("0.0000000001"), size("1.999999999G")),
            (Ok(1536), Ok(0), Ok(2_147_483_646))
        );
        for text in ["", "k", "1kk", "1x", "-1k", ".5k", "1.k", "99999999999999G", "1é"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn seconds_have_decimals_and_zero_is_none() {
        assert_eq!(seconds("2.5"), Ok(Some(Duration::from_millis(2500))));
        assert_eq!(seconds("0.05"), Ok(Some(Duration::from_millis(50))));
        assert_eq!(seconds("1.0000000019"), Ok(Some(Duration::new(1, 1))));
        assert_eq!((seconds("0"), seconds("0.0")), (Ok(None), Ok(None)));
        for text in ["", ".5", "1.", "-1", "1.x", "99999999999", "1e3"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ranges() {
        assert_eq!(range("0-99"), Ok(ByteRange::FromTo(0, 99)));
        assert_eq!((range("100-"), range("100")), (Ok(ByteRange::From(100)), Ok(ByteRange::From(100))));
        assert_eq!(range("-500"), Ok(ByteRange::Suffix(500)));
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
        let set = |text| schemes(text).0;
        let https = SchemeSet { http: false, https: true };
        assert_eq!(set("=https"), https);
        assert_eq!(set("-all,https"), https);
        assert_eq!(set("-http"), https);
        assert_eq!(set("=ftp"), SchemeSet::NONE);
        assert_eq!(set("=https,http,ftp,,"), SchemeSet::BOTH);
        assert_eq!(schemes("+foo,file,=HTTPS"), (https, vec!["foo"]));
    }

    #[test]
    fn resolve_entries() {
        let add = |host: Option<&str>, port, addresses: &[&str]| {
            let addresses = addresses.iter().map(|a| a.parse().unwrap()).collect();
            Ok(Resolve::Add(ResolveEntry { host: host.map(str::to_owned), port, addresses }))
        };
        assert_eq!(resolve("A.example:80:127.0.0.1"), add(Some("a.example"), 80, &["127.0.0.1"]));
        assert_eq!(resolve("+*:443:[::1],10.0.0.1"), add(None, 443, &["::1", "10.0.0.1"]));
        assert_eq!(resolve("[::1]:80:127.0.0.1"), add(Some("::1"), 80, &["127.0.0.1"]));
        assert_eq!(resolve("-a:80"), Ok(Resolve::Remove { host: Some("a".into()), port: 80 }));
        for text in [
            "",
            "a",
            "a:80",
            "a:80:",
            "a:x:1.1.1.1",
            "a:+80:1.1.1.1",
            ":80:1.1.1.1",
            "a:80:b",
            "a:99999:1.1.1.1",
        ] {
            assert!(resolve(text).is_err(), "{text}");
        }
    }

    #[test]
    fn interfaces() {
        assert_eq!(interface("eth0"), Ok(Interface::Device("eth0".into())));
        assert_eq!(interface("if!eth0"), Ok(Interface::Device("eth0".into())));
        assert_eq!(interface("127.0.0.2"), Ok(Interface::Address("127.0.0.2".parse().unwrap())));
        assert_eq!(interface("host!::1"), Ok(Interface::Address("::1".parse().unwrap())));
        assert!(matches!(interface("ifhost!eth0!10.0.0.1"), Ok(Interface::DeviceAndAddress(..))));
        for text in ["", "host!eth0", "ifhost!eth0", "a-name-that-is-too-long"] {
            assert!(interface(text).is_err(), "{text}");
        }
    }

    #[test]
    fn certificates_and_credentials() {
        let path = |text: &str| certificate(OsStr::new(text));
        assert_eq!(path("a\\:b\\\\c\\d"), Ok("a:b\\c\\d".into()));
        assert!(path("cert.pem:secret").is_err());
        assert_eq!(path("cert.pem:"), Ok("cert.pem".into()));
        assert_eq!(credentials("joe:a:b").unwrap().password, "a:b");
        assert!(credentials("joe").is_err());
    }

    #[test]
    fn percent_codes() {
        assert_eq!(percent_decoded("a%40b%").as_deref(), Some("a@b%"));
        assert_eq!(percent_decoded("%zz%4é").as_deref(), Some("%zz%4é"));
        assert_eq!((percent_decoded("%ff"), percent_decoded("%00")), (None, None));
    }
}
