//! Packages of a test repository: an ebuild, and the Manifest of its distfiles.

use std::fmt::Write;

use blake2::Blake2b512;
use sha2::{Digest, Sha512};

/// A distfile: what the servers have, where `SRC_URI` says it is, and what the Manifest says of it.
#[derive(Clone, Debug)]
pub struct Dist {
    pub name: String,
    pub content: Vec<u8>,
    uri: Option<String>,
    listed: Option<Vec<u8>>,
}

impl Dist {
    /// A distfile that is in the Manifest as it is, and whose upstream refuses connections.
    pub fn new(name: &str, content: &[u8]) -> Self {
        Self { name: name.to_owned(), content: content.to_vec(), uri: None, listed: None }
    }

    /// `SRC_URI` has this address for it. The last segment must be the distfile's name.
    #[must_use]
    pub fn uri(mut self, uri: &str) -> Self {
        self.uri = Some(uri.to_owned());
        self
    }

    /// The Manifest has the size and the digests of `other` in place of the content's.
    #[must_use]
    pub fn listed_as(mut self, other: &[u8]) -> Self {
        self.listed = Some(other.to_vec());
        self
    }

    /// Lower-case hexadecimal SHA512 of the content.
    pub fn sha512(&self) -> String {
        hex(&Sha512::digest(&self.content))
    }

    fn manifest_line(&self) -> String {
        let listed = self.listed.as_ref().unwrap_or(&self.content);
        format!(
            "DIST {} {} BLAKE2B {} SHA512 {}\n",
            self.name,
            listed.len(),
            hex(&Blake2b512::digest(listed)),
            hex(&Sha512::digest(listed))
        )
    }
}

/// How a mirror arranges its distfiles: the layouts of GLEP 75.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    Flat,
    /// Two hexadecimal digits of the BLAKE2b of the file name, as the Gentoo mirrors have it.
    FilenameHash,
    /// Nested folders of two hexadecimal digits each, and the SHA512 of the content as the name.
    ContentHash,
}

impl Layout {
    /// The mirror's `layout.conf`.
    pub fn conf(self) -> &'static str {
        match self {
            Self::Flat => "[structure]\n0=flat\n",
            Self::FilenameHash => "[structure]\n0=filename-hash BLAKE2B 8\n",
            Self::ContentHash => "[structure]\n0=content-hash SHA512 8:8\n",
        }
    }

    /// The distfile's path below `distfiles/`.
    pub fn path(self, dist: &Dist) -> String {
        match self {
            Self::Flat => dist.name.clone(),
            Self::FilenameHash => {
                format!("{}/{}", &hex(&Blake2b512::digest(dist.name.as_bytes()))[..2], dist.name)
            }
            Self::ContentHash => {
                let digest = dist.sha512();
                format!("{}/{}/{digest}", &digest[..2], &digest[2..4])
            }
        }
    }
}

/// The package's thin Manifest.
pub(super) fn manifest(dists: &[&Dist]) -> String {
    dists.iter().map(|dist| dist.manifest_line()).collect()
}

/// An ebuild that can be merged: it installs nothing, and looks at nothing in its distfiles. Those without an
/// address of their own are said to be at `upstream`, which begins with `http://`.
pub(super) fn ebuild(dists: &[&Dist], restrict: &str, upstream: &str) -> String {
    let mut text =
        String::from("EAPI=8\nDESCRIPTION=\"A test\"\nHOMEPAGE=\"https://example.org\"\nSRC_URI=\"\n");
    for dist in dists {
        let uri = dist.uri.clone().unwrap_or_else(|| format!("{upstream}/{}", dist.name));
        let _ = writeln!(text, "\t{uri}"); // writing to a String cannot fail
    }
    let _ = write!(
        text,
        "\"\nS=\"${{WORKDIR}}\"\nLICENSE=\"MIT\"\nSLOT=\"0\"\nKEYWORDS=\"amd64\"\nRESTRICT=\"{restrict}\"\n\
         src_unpack() {{ :; }}\n"
    );
    text
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
