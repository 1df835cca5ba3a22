//! The grammar of values that several options share, as curl has it. Each function takes the text of one
//! value and says in words that follow `option --foo: ` what is wrong with it.

use crate::http::settings::Credentials;
use crate::http::url::percent_decode;
use std::time::Duration;

/// What is wrong with a value.
pub(super) type Complaint = String;

/// A number of plain digits.
pub(super) fn number(text: &str) -> Result<u64, Complaint> {
    if text.starts_with('-') && text[1..].parse::<u64>().is_ok() {
        return Err("expected a positive numerical parameter".into());
    }
    if !is_digits(text) {
        return Err("expected a proper numerical parameter".into());
    }
    text.parse().map_err(|_| "too large number".into())
}

/// As [`number`], for counts.
pub(super) fn count(text: &str) -> Result<u32, Complaint> {
    u32::try_from(number(text)?).map_err(|_| "too large number".into())
}

/// Bytes, or bytes a second: digits, decimals as in curl 8.19, and at most one of the suffixes b, k, m, g
/// in either case, each 1024 times the one before.
pub(super) fn size(text: &str) -> Result<u64, Complaint> {
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
pub(super) fn seconds(text: &str) -> Result<Option<Duration>, Complaint> {
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

/// `-u USER:PASSWORD`. Without a colon curl would ask for the password; a fetch command has nobody to ask.
pub(super) fn credentials(text: &str) -> Result<Credentials, Complaint> {
    let (user, password) =
        text.split_once(':').ok_or("racefetch does not ask for passwords; write USER:PASSWORD")?;
    Ok(Credentials { user: user.to_owned(), password: password.to_owned() })
}

/// The text with `%XX` decoded. `None` when that is not UTF-8 or holds a NUL.
pub(super) fn percent_decoded(text: &str) -> Option<String> {
    String::from_utf8(percent_decode(text)).ok().filter(|text| !text.contains('\0'))
}

/// Decimals as billionths; what is smaller is left out.
fn billionths(decimals: &str) -> u32 {
    let digits = decimals.bytes().chain(std::iter::repeat(b'0')).take(9);
    digits.fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'))
}

pub(super) fn is_digits(text: &str) -> bool {
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
    fn credentials_have_a_colon() {
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
