//! Certificates and versions of TLS.

use super::Effect::{Sets, Turns};
#[cfg(test)]
use super::Example;
use super::Help::Full;
use super::{Entry, flag, set, set_some, switch, value};
use crate::cli::values::Complaint;
use crate::http::settings::TlsVersion;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

pub(super) static ENTRIES: &[Entry] = &[
    Entry {
        spelling: value("cacert", "file"),
        help: Full("trust the CA certificates in this PEM file"),
        effect: Sets(|b, a| set_some(&mut b.options.tls.ca_file, a.path())),
        #[cfg(test)]
        example: Example::Sets("--cacert f", |o| o.tls.ca_file == Some("f".into())),
    },
    Entry {
        spelling: value("capath", "dir"),
        help: Full("trust the CA certificates in this folder"),
        effect: Sets(|b, a| set_some(&mut b.options.tls.ca_folder, a.path())),
        #[cfg(test)]
        example: Example::Sets("--capath d", |o| o.tls.ca_folder == Some("d".into())),
    },
    Entry {
        spelling: value("cert", "file").short('E'),
        help: Full("client certificate, PEM, without a passphrase"),
        effect: Sets(|b, a| {
            let path = certificate(a.filled()?).map_err(|complaint| a.wrong(complaint));
            set_some(&mut b.options.tls.certificate, path)
        }),
        #[cfg(test)]
        example: Example::Sets("-E f", |o| o.tls.certificate == Some("f".into())),
    },
    Entry {
        spelling: value("cert-type", "type"),
        help: Full("type of the client certificate: only PEM"),
        effect: Sets(|_, a| a.read(only_pem)),
        #[cfg(test)]
        example: Example::Same("--cert-type PEM"),
    },
    Entry {
        spelling: switch("insecure").short('k'),
        help: Full("do not verify the server's certificate"),
        effect: Turns(|o| &mut o.tls.insecure),
        #[cfg(test)]
        example: Example::Sets("-k", |o| o.tls.insecure),
    },
    Entry {
        spelling: value("key", "file"),
        help: Full("private key of the client certificate, PEM"),
        effect: Sets(|b, a| set_some(&mut b.options.tls.key, a.path())),
        #[cfg(test)]
        example: Example::Sets("--key f", |o| o.tls.key == Some("f".into())),
    },
    Entry {
        spelling: value("key-type", "type"),
        help: Full("type of the private key: only PEM"),
        effect: Sets(|_, a| a.read(only_pem)),
        #[cfg(test)]
        example: Example::Same("--key-type pem"),
    },
    Entry {
        spelling: value("tls-max", "version"),
        help: Full("newest TLS version to use: 1.2 or 1.3"),
        effect: Sets(|b, a| set(&mut b.options.tls.newest, a.read(tls_max))),
        #[cfg(test)]
        example: Example::Sets("--tls-max 1.2", |o| o.tls.newest == Some(TlsVersion::Tls12)),
    },
    Entry {
        spelling: flag("tlsv1.2"),
        help: Full("TLS 1.2 or newer (the default)"),
        effect: Sets(|b, _| set(&mut b.options.tls.oldest, Ok(TlsVersion::Tls12))),
        #[cfg(test)]
        example: Example::Same("--tlsv1.3 --tlsv1.2"),
    },
    Entry {
        spelling: flag("tlsv1.3"),
        help: Full("TLS 1.3 or newer"),
        effect: Sets(|b, _| set(&mut b.options.tls.oldest, Ok(TlsVersion::Tls13))),
        #[cfg(test)]
        example: Example::Sets("--tlsv1.3", |o| o.tls.oldest == TlsVersion::Tls13),
    },
];

/// `-E`: `\:` and `\\` stand for the characters themselves, an unescaped colon starts a passphrase.
fn certificate(value: &OsStr) -> Result<PathBuf, Complaint> {
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
    Ok(OsString::from_vec(path).into())
}

fn only_pem(text: &str) -> Result<(), Complaint> {
    if !text.eq_ignore_ascii_case("PEM") {
        return Err(format!("the type {text:?} is refused: only PEM is read"));
    }
    Ok(())
}

/// `--tls-max`; `None` is the newest.
fn tls_max(text: &str) -> Result<Option<TlsVersion>, Complaint> {
    match text {
        "default" => Ok(None),
        "1.2" => Ok(Some(TlsVersion::Tls12)),
        "1.3" => Ok(Some(TlsVersion::Tls13)),
        "1.0" | "1.1" => Err(format!("TLS {text} is not spoken; the oldest version is 1.2")),
        _ => Err(format!("{text:?} is not a TLS version; write 1.2 or 1.3")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_a_path_without_a_passphrase() {
        let path = |text: &str| certificate(OsStr::new(text));
        assert_eq!(path("a\\:b\\\\c\\d"), Ok("a:b\\c\\d".into()));
        assert!(path("cert.pem:secret").is_err());
        assert_eq!(path("cert.pem:"), Ok("cert.pem".into()));
    }

    #[test]
    fn the_newest_version_is_one_that_is_spoken() {
        assert_eq!(tls_max("default"), Ok(None));
        for text in ["1.1", "1.4", ""] {
            assert!(tls_max(text).is_err(), "{text}");
        }
    }
}
