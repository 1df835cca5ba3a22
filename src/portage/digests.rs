//! Digests as Portage names them, and the words in which they reach a fetch command.

use std::fmt;
use std::str::FromStr;

use blake2::Blake2b512;
use sha2::{Sha256, Sha512};

/// A hash function that Manifests use (GLEP 74) and that this program computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// BLAKE2b with a digest of 512 bits.
    Blake2b,
    Sha512,
    Sha256,
}

impl Algorithm {
    /// Every algorithm, the strongest and fastest first.
    pub const ALL: [Self; 3] = [Self::Blake2b, Self::Sha512, Self::Sha256];

    /// The name in a Manifest: `BLAKE2B`, `SHA512`, `SHA256`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Blake2b => "BLAKE2B",
            Self::Sha512 => "SHA512",
            Self::Sha256 => "SHA256",
        }
    }

    /// Length of the digest in bytes.
    pub fn digest_len(self) -> usize {
        match self {
            Self::Blake2b | Self::Sha512 => 64,
            Self::Sha256 => 32,
        }
    }

    /// The algorithm of that name, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|a| a.name().eq_ignore_ascii_case(name))
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The digest that a file must have under one algorithm.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Digest {
    pub algorithm: Algorithm,
    bytes: Vec<u8>,
}

/// Why a digest could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    #[error("unknown digest algorithm {0}")]
    UnknownAlgorithm(String),
    #[error("{0} digest is not {1} hexadecimal digits")]
    NotHex(Algorithm, usize),
    #[error("{0:?} is not ALGORITHM:HEX")]
    NoColon(String),
}

impl Digest {
    /// A digest from its hexadecimal digits, in either case.
    pub fn from_hex(algorithm: Algorithm, hex: &str) -> Result<Self, DigestError> {
        let wrong = || DigestError::NotHex(algorithm, algorithm.digest_len() * 2);
        if hex.len() != algorithm.digest_len() * 2 {
            return Err(wrong());
        }
        if !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        let pairs = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16));
        let bytes = pairs.collect::<Result<_, _>>().map_err(|_| wrong())?;
        Ok(Self { algorithm, bytes })
    }

    /// A digest that was computed.
    ///
    /// # Panics
    /// When `bytes` is not as long as the algorithm's digest.
    pub fn from_bytes(algorithm: Algorithm, bytes: &[u8]) -> Self {
        assert_eq!(bytes.len(), algorithm.digest_len(), "a hasher returns its own digest length");
        Self { algorithm, bytes: bytes.to_vec() }
    }

    /// The digest of some bytes that are at hand.
    pub fn of(algorithm: Algorithm, data: &[u8]) -> Self {
        use sha2::Digest as _;
        let bytes = match algorithm {
            Algorithm::Blake2b => Blake2b512::digest(data).to_vec(),
            Algorithm::Sha512 => Sha512::digest(data).to_vec(),
            Algorithm::Sha256 => Sha256::digest(data).to_vec(),
        };
        Self { algorithm, bytes }
    }

    /// Lower-case hexadecimal digits.
    pub fn hex(&self) -> String {
        use fmt::Write;
        self.bytes.iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}"); // writing to a String cannot fail
            hex
        })
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// `blake2b:HEX`, as Portage writes it into `${DIGESTS}`.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.name().to_ascii_lowercase(), self.hex())
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(word: &str) -> Result<Self, DigestError> {
        let (name, hex) = word.split_once(':').ok_or_else(|| DigestError::NoColon(word.to_owned()))?;
        let algorithm =
            Algorithm::from_name(name).ok_or_else(|| DigestError::UnknownAlgorithm(name.to_owned()))?;
        Self::from_hex(algorithm, hex)
    }
}

/// The digests that one file must have: at most one for each algorithm, and the names of those which
/// this program does not compute.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Digests {
    known: Vec<Digest>,
    /// Of the other algorithms: their names, and the digests as they were written.
    unknown: Vec<(String, String)>,
}

impl Digests {
    /// Reads `${DIGESTS}`: white-space separated words `ALGORITHM:HEX` (make.conf(5), FETCHCOMMAND).
    /// Algorithms of other names are kept aside in [`Self::unknown_algorithms`].
    pub fn parse(words: &str) -> Result<Self, DigestError> {
        let mut digests = Self::default();
        for word in words.split_whitespace() {
            match word.parse() {
                Ok(digest) => digests.insert(digest),
                Err(DigestError::UnknownAlgorithm(name)) => {
                    let (_, hex) = word.split_once(':').unwrap_or_default();
                    digests.insert_unknown(&name, hex);
                }
                Err(other) => return Err(other),
            }
        }
        Ok(digests)
    }

    /// Takes over all that `more` says.
    pub fn extend(&mut self, more: &Self) {
        more.known.iter().for_each(|digest| self.insert(digest.clone()));
        self.unknown.extend(more.unknown.iter().cloned());
    }

    /// Adds a digest, in place of an earlier one of the same algorithm.
    pub fn insert(&mut self, digest: Digest) {
        self.known.retain(|d| d.algorithm != digest.algorithm);
        self.known.push(digest);
        self.known.sort_by_key(|d| d.algorithm);
    }

    /// Notes the digest of an algorithm by which this program verifies nothing.
    pub fn insert_unknown(&mut self, name: &str, hex: &str) {
        self.unknown.push((name.to_owned(), hex.to_owned()));
    }

    /// Whether a file that was found to have these digests is the one that is meant. Without digests none is.
    pub fn agree_with(&self, found: &[Digest]) -> bool {
        !self.is_empty() && self.iter().all(|digest| found.contains(digest))
    }

    /// True when there is nothing that could be compared.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Digest> {
        self.known.iter()
    }

    pub fn get(&self, algorithm: Algorithm) -> Option<&Digest> {
        self.known.iter().find(|d| d.algorithm == algorithm)
    }

    /// The hexadecimal digits of one digest, by the name of its algorithm in any case, whether this program could
    /// compute it or not.
    pub fn hex_by_name(&self, name: &str) -> Option<String> {
        if let Some(algorithm) = Algorithm::from_name(name) {
            return self.get(algorithm).map(Digest::hex);
        }
        let (_, hex) = self.unknown.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        let is_hex = !hex.is_empty() && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_hex.then(|| hex.clone())
    }

    /// The names of the algorithms by which this program verifies nothing.
    pub fn unknown_algorithms(&self) -> impl Iterator<Item = &str> {
        self.unknown.iter().map(|(name, _)| name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_portage_passes() {
        let words = format!("blake2b:{} sha512:{}", "ab".repeat(64), "CD".repeat(64));
        let digests = Digests::parse(&words).unwrap();
        assert_eq!(digests.get(Algorithm::Blake2b).unwrap().hex(), "ab".repeat(64));
        assert_eq!(digests.get(Algorithm::Sha512).unwrap().hex(), "cd".repeat(64));
        assert!(digests.get(Algorithm::Sha256).is_none());
        assert_eq!(
            digests.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
            words.to_lowercase()
        );
    }

    #[test]
    fn names_what_it_cannot_compute() {
        let digests = Digests::parse("sha3_512:00 whirlpool:11").unwrap();
        assert!(digests.is_empty());
        assert_eq!(digests.unknown_algorithms().collect::<Vec<_>>(), ["sha3_512", "whirlpool"]);
    }

    #[test]
    fn digests_are_found_by_their_names() {
        let words = format!("sha512:{} sha3_512:0aF1 md5:../x whirlpool:", "AB".repeat(64));
        let digests = Digests::parse(&words).unwrap();
        for (name, hex) in [
            ("SHA512", Some("ab".repeat(64))),
            ("SHA3_512", Some("0aF1".to_owned())),
            ("sha3_512", Some("0aF1".to_owned())),
            ("MD5", None),
            ("WHIRLPOOL", None),
            ("BLAKE2B", None),
        ] {
            assert_eq!(digests.hex_by_name(name), hex, "{name}");
        }
    }

    #[test]
    fn refuses_digits_that_are_not_a_digest() {
        for word in ["sha256:", "sha256:xyz", "sha512:ab", "blake2b", &format!("sha256:{}", "é".repeat(32))]
        {
            assert!(Digests::parse(word).is_err(), "{word}");
        }
    }

    #[test]
    fn digests_of_the_standards() {
        for (algorithm, abc) in [
            (Algorithm::Blake2b, "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6f"), // RFC 7693
            (Algorithm::Sha512, "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee6"),  // FIPS 180
            (Algorithm::Sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61"),  // FIPS 180
        ] {
            let digest = Digest::of(algorithm, b"abc");
            assert!(digest.hex().starts_with(abc), "{digest}");
            assert_eq!(Digest::from_bytes(algorithm, &digest.bytes), digest);
        }
    }

    proptest! {
        #[test]
        fn hexadecimal_digits_round_trip(bytes: [u8; 32]) {
            let digest = Digest::from_bytes(Algorithm::Sha256, &bytes);
            prop_assert_eq!(digest.to_string().parse(), Ok(digest));
        }
    }
}
