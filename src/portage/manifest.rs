//! The distfiles that a Manifest lists (GLEP 74): `DIST name size BLAKE2B hex SHA512 hex`.

use super::digests::{Algorithm, Digest, DigestError, Digests};
use super::distfile::{Distfile, DistfileError};

/// What the Manifest says of one distfile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DistEntry {
    pub name: Distfile,
    /// Bytes. Portage takes a size of 0 for no size and no digests at all.
    pub size: u64,
    pub digests: Digests,
}

/// A DIST line that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Manifest line {line}: {reason}")]
pub struct ManifestError {
    /// The first line is 1.
    pub line: usize,
    pub reason: DistError,
}

/// What is wrong with a DIST line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DistError {
    #[error(transparent)]
    Name(#[from] DistfileError),
    #[error("the size is not a number of bytes")]
    Size,
    #[error(transparent)]
    Digest(#[from] DigestError),
    #[error("the line is not DIST, a name, a size, and pairs of algorithm and digest")]
    Words,
}

/// Every distfile of a Manifest in its order, and an error for each DIST line that cannot be read. Lines of
/// other types are passed over, and so is the armour of a signed Manifest. When a name comes twice, the
/// later line counts.
pub fn entries(text: &str) -> impl Iterator<Item = Result<DistEntry, ManifestError>> {
    dist_lines(text).map(|(line, fields)| read(fields).map_err(|reason| ManifestError { line, reason }))
}

/// What the Manifest says of one distfile, read without looking into the other lines.
pub fn find(text: &str, name: &Distfile) -> Result<Option<DistEntry>, ManifestError> {
    let of_name = |fields: &str| fields.split_ascii_whitespace().next() == Some(name.as_str());
    match dist_lines(text).filter(|(_, fields)| of_name(fields)).last() {
        Some((line, fields)) => read(fields).map(Some).map_err(|reason| ManifestError { line, reason }),
        None => Ok(None),
    }
}

/// The DIST lines: number, and what follows the word DIST.
fn dist_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let numbered = (1..).zip(text.lines());
    numbered.filter_map(|(number, line)| {
        let fields = line.strip_prefix("DIST")?;
        (fields.is_empty() || fields.starts_with([' ', '\t'])).then_some((number, fields))
    })
}

fn read(fields: &str) -> Result<DistEntry, DistError> {
    let mut words = fields.split_ascii_whitespace();
    let name = Distfile::new(words.next().ok_or(DistError::Words)?)?;
    let size = parse_size(words.next().ok_or(DistError::Words)?).ok_or(DistError::Size)?;
    let mut digests = Digests::default();
    while let Some(algorithm) = words.next() {
        let hex = words.next().ok_or(DistError::Words)?;
        match Algorithm::from_name(algorithm) {
            Some(algorithm) => digests.insert(Digest::from_hex(algorithm, hex)?),
            None => digests.insert_unknown(algorithm, hex),
        }
    }
    if digests.is_empty() && digests.unknown_algorithms().next().is_none() {
        return Err(DistError::Words);
    }
    Ok(DistEntry { name, size, digests })
}

fn parse_size(digits: &str) -> Option<u64> {
    // `u64::from_str` would take a sign as well.
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(name: &str, size: u64) -> String {
        format!("DIST {name} {size} BLAKE2B {} SHA512 {}", "a1".repeat(64), "b2".repeat(64))
    }

    fn distfile(name: &str) -> Distfile {
        Distfile::new(name).unwrap()
    }

    fn sizes(text: &str) -> Vec<(String, u64)> {
        entries(text).map(Result::unwrap).map(|entry| (entry.name.to_string(), entry.size)).collect()
    }

    #[test]
    fn reads_name_size_and_digests() {
        let entry = find(&line("foo-1.tar.gz", 123), &distfile("foo-1.tar.gz")).unwrap().unwrap();
        assert_eq!(entry.size, 123);
        assert_eq!(entry.digests.get(Algorithm::Blake2b).unwrap().hex(), "a1".repeat(64));
        assert_eq!(entry.digests.get(Algorithm::Sha512).unwrap().hex(), "b2".repeat(64));
        assert!(entry.digests.unknown_algorithms().next().is_none());
    }

    #[test]
    fn names_the_algorithms_of_other_times() {
        let text = format!("DIST foo 5 SHA256 {} WHIRLPOOL 00 SHA3_512 11", "c3".repeat(32));
        let entry = find(&text, &distfile("foo")).unwrap().unwrap();
        assert_eq!(entry.digests.get(Algorithm::Sha256).unwrap().hex(), "c3".repeat(32));
        assert_eq!(entry.digests.unknown_algorithms().collect::<Vec<_>>(), ["WHIRLPOOL", "SHA3_512"]);
    }

    #[test]
    fn passes_over_other_types_and_the_armour() {
        let text = format!(
            "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\nAUX DIST 5 SHA512 00\r\n{}\r\n\
             EBUILD a.ebuild 1 SHA512 00\nDISTANT b 1 SHA512 00\n{}\n-----BEGIN PGP SIGNATURE-----\n\n\
             iQIzBAEBCgAdFiEE\n=abcd\n-----END PGP SIGNATURE-----\n",
            line("a", 1),
            line("b", 2)
        );
        assert_eq!(sizes(&text), [("a".to_owned(), 1), ("b".to_owned(), 2)]);
    }

    #[test]
    fn finds_the_whole_name_only_and_the_last_of_two() {
        let text = [line("foo-1.tar", 1), line("foo", 2), line("foo", 3)].join("\n");
        assert_eq!(find(&text, &distfile("foo")).unwrap().unwrap().size, 3);
        assert_eq!(find(&text, &distfile("foo-1.tar")).unwrap().unwrap().size, 1);
        assert_eq!(find(&text, &distfile("fo")), Ok(None));
        assert_eq!(find("", &distfile("foo")), Ok(None));
    }

    #[test]
    fn reports_the_lines_that_cannot_be_read() {
        let hex = "a1".repeat(64);
        for (bad, reason) in [
            ("DIST".to_owned(), DistError::Words),
            ("DIST foo".to_owned(), DistError::Words),
            ("DIST foo 5".to_owned(), DistError::Words),
            (format!("DIST foo 5 BLAKE2B {hex} SHA512"), DistError::Words),
            (format!("DIST foo -5 BLAKE2B {hex}"), DistError::Size),
            (format!("DIST foo +5 BLAKE2B {hex}"), DistError::Size),
            (format!("DIST foo 18446744073709551616 BLAKE2B {hex}"), DistError::Size),
            (format!("DIST ../foo 5 BLAKE2B {hex}"), DistfileError::Character("../foo".to_owned()).into()),
            ("DIST foo 5 BLAKE2B a1a1".to_owned(), DigestError::NotHex(Algorithm::Blake2b, 128).into()),
        ] {
            let text = format!("{}\n{bad}\n{}", line("a", 1), line("b", 2));
            let all: Vec<_> = entries(&text).collect();
            assert_eq!(all[1], Err(ManifestError { line: 2, reason: reason.clone() }), "{bad}");
            assert!(all[0].is_ok() && all[2].is_ok(), "{bad}");
            assert!(find(&text, &distfile("b")).unwrap().is_some(), "{bad}");
        }
        let broken = find("\nDIST foo 5", &distfile("foo"));
        assert_eq!(broken, Err(ManifestError { line: 2, reason: DistError::Words }));
    }

    #[test]
    fn ten_thousand_lines() {
        let text: Vec<_> = (0..10_000).map(|number| line(&format!("crate-{number}"), number)).collect();
        let text = text.join("\n");
        assert_eq!(find(&text, &distfile("crate-9999")).unwrap().unwrap().size, 9999);
        assert_eq!(entries(&text).flatten().count(), 10_000);
    }

    proptest! {
        #[test]
        fn find_agrees_with_entries(text in "(D [ab] [0-9] SHA256 [0-9a-f]{64}\n|D [ab]|\\PC| |\n){0,30}") {
            let text = text.replace("D ", "DIST ");
            let all: Vec<_> = entries(&text).collect();
            for entry in all.iter().flatten() {
                let last = all.iter().flatten().rfind(|other| other.name == entry.name);
                match find(&text, &entry.name) {
                    Ok(found) => prop_assert_eq!(found.as_ref(), last),
                    Err(error) => prop_assert!(all.contains(&Err(error))),
                }
            }
        }

        #[test]
        fn what_is_written_is_read(name in "[!-.0-~]{1,20}", size: u64, digest: [u8; 32]) {
            prop_assume!(name != "." && name != "..");
            let digest = Digest::from_bytes(Algorithm::Sha256, &digest);
            let text = format!("DIST {name} {size} SHA256 {}\n", digest.hex());
            let entry = find(&text, &distfile(&name)).unwrap().unwrap();
            prop_assert_eq!(entry.size, size);
            prop_assert_eq!(entry.digests.get(Algorithm::Sha256), Some(&digest));
            prop_assert_eq!(entries(&text).collect::<Vec<_>>(), vec![Ok(entry)]);
        }
    }
}
