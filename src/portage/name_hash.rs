//! The hash functions by which a mirror may arrange its distfiles: every one that Portage has (its `checksum.py`).
//!
//! Only short names are hashed with them. What a distfile must be is said by [`super::digests::Algorithm`].

use blake2::{Blake2b512, Blake2s256};
use digest::Digest;

/// A hash function, by the name that `layout.conf` has for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameHash {
    Blake2b,
    Blake2s,
    Md5,
    Rmd160,
    Sha1,
    Sha256,
    Sha3With256,
    Sha3With512,
    Sha512,
    Whirlpool,
}

impl NameHash {
    pub const ALL: [Self; 10] = [
        Self::Blake2b,
        Self::Blake2s,
        Self::Md5,
        Self::Rmd160,
        Self::Sha1,
        Self::Sha256,
        Self::Sha3With256,
        Self::Sha3With512,
        Self::Sha512,
        Self::Whirlpool,
    ];

    /// The name in `layout.conf`, and in a Manifest.
    pub fn name(self) -> &'static str {
        match self {
            Self::Blake2b => "BLAKE2B",
            Self::Blake2s => "BLAKE2S",
            Self::Md5 => "MD5",
            Self::Rmd160 => "RMD160",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
            Self::Sha3With256 => "SHA3_256",
            Self::Sha3With512 => "SHA3_512",
            Self::Sha512 => "SHA512",
            Self::Whirlpool => "WHIRLPOOL",
        }
    }

    /// The function of exactly that name: Portage knows no other spelling in `layout.conf`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|hash| hash.name() == name)
    }

    /// The lower-case hexadecimal digits of a text's digest.
    pub fn hex(self, text: &str) -> String {
        match self {
            Self::Blake2b => hex_of::<Blake2b512>(text),
            Self::Blake2s => hex_of::<Blake2s256>(text),
            Self::Md5 => hex_of::<md5::Md5>(text),
            Self::Rmd160 => hex_of::<ripemd::Ripemd160>(text),
            Self::Sha1 => hex_of::<sha1::Sha1>(text),
            Self::Sha256 => hex_of::<sha2::Sha256>(text),
            Self::Sha3With256 => hex_of::<sha3::Sha3_256>(text),
            Self::Sha3With512 => hex_of::<sha3::Sha3_512>(text),
            Self::Sha512 => hex_of::<sha2::Sha512>(text),
            Self::Whirlpool => hex_of::<whirlpool::Whirlpool>(text),
        }
    }
}

fn hex_of<D: Digest>(text: &str) -> String {
    use std::fmt::Write;
    D::digest(text.as_bytes()).iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}"); // writing to a String cannot fail
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Portage's `checksum_str` gives for the name `foo-1.0.tar.gz`.
    #[test]
    fn digests_are_portages() {
        for (name, begins) in [
            ("BLAKE2B", "4b58a2e98ee70cd507a9258d"),
            ("BLAKE2S", "d9ba1f5fd63f7b8229e7c3fd"),
            ("MD5", "f3a93ddecc67470ac15e1dd2"),
            ("RMD160", "f8623cf43c95c74a8dacb352"),
            ("SHA1", "32ac83a1ee80990678586253"),
            ("SHA256", "fbba39eaba934aa157afd46a"),
            ("SHA3_256", "225a480217d9eb9cee2051a4"),
            ("SHA3_512", "f2dd89c972e7431cd1ea9090"),
            ("SHA512", "e7e246d4ba1e6b897a296d14"),
            ("WHIRLPOOL", "f4b1be68fe5168b04624e587"),
        ] {
            let hash = NameHash::from_name(name).unwrap();
            let hex = hash.hex("foo-1.0.tar.gz");
            assert!(hex.starts_with(begins), "{name}: {hex}");
            assert_eq!(hash.name(), name);
        }
        for name in ["md5", "SHA3-256", "size", "SHA224", ""] {
            assert_eq!(NameHash::from_name(name), None, "{name}");
        }
    }
}
