//! The TLS configuration from the user's files.

use std::fs;
use std::path::Path;

use rustls::SupportedCipherSuite;
use rustls::crypto::{CryptoProvider, ring};
use ureq::tls::{Certificate, ClientCert, PemItem, RootCerts, TlsConfig, parse_pem};

use super::failure::plain;
use super::settings::{Tls, TlsVersion};
use super::{Failure, HandshakeFault};

/// Reads the files that the settings name. Without any, the system's CA store is used; `SSL_CERT_FILE` and
/// `SSL_CERT_DIR` are honoured.
pub(super) fn tls_config(tls: &Tls) -> Result<TlsConfig, Failure> {
    let mut builder = TlsConfig::builder()
        .disable_verification(tls.insecure)
        .root_certs(RootCerts::PlatformVerifier)
        .unversioned_rustls_crypto_provider(provider(tls)?.into());
    if !tls.insecure && (tls.ca_file.is_some() || tls.ca_folder.is_some()) {
        let mut certificates = Vec::new();
        for file in tls.ca_file.iter().cloned().chain(ca_folder_files(tls)?) {
            certificates.extend(ca_certificates(&file)?);
        }
        if certificates.is_empty() {
            return Err(Failure::CaFile("they contain no certificate".to_owned()));
        }
        builder = builder.root_certs(RootCerts::new_with_certs(&certificates));
    }
    if let Some(file) = &tls.certificate {
        builder = builder.client_cert(Some(client_certificate(file, tls.key.as_deref().unwrap_or(file))?));
    }
    Ok(builder.build())
}

/// The cipher suites of the versions allowed: a version without suites is not offered.
fn provider(tls: &Tls) -> Result<CryptoProvider, Failure> {
    let mut provider = ring::default_provider();
    let allowed = |version| version >= tls.oldest && tls.newest.is_none_or(|newest| version <= newest);
    provider.cipher_suites.retain(|suite| match suite {
        SupportedCipherSuite::Tls12(_) => allowed(TlsVersion::Tls12),
        SupportedCipherSuite::Tls13(_) => allowed(TlsVersion::Tls13),
    });
    if provider.cipher_suites.is_empty() {
        return Err(Failure::TlsHandshake(HandshakeFault::Other("no version of TLS is allowed".to_owned())));
    }
    Ok(provider)
}

/// The certificates of one file of CA certificates.
fn ca_certificates(file: &Path) -> Result<Vec<Certificate<'static>>, Failure> {
    let failed = |why: String| Failure::CaFile(format!("{}: {why}", file.display()));
    let pem = fs::read(file).map_err(|error| failed(plain(&error)))?;
    let mut certificates = Vec::new();
    for item in parse_pem(&pem) {
        if let PemItem::Certificate(certificate) = item.map_err(|error| failed(error.to_string()))? {
            certificates.push(certificate);
        }
    }
    if certificates.is_empty() {
        return Err(failed("no certificate in it".to_owned()));
    }
    Ok(certificates)
}

/// The files of the folder of CA certificates; what is no certificate there is passed over.
fn ca_folder_files(tls: &Tls) -> Result<Vec<std::path::PathBuf>, Failure> {
    let Some(folder) = &tls.ca_folder else { return Ok(Vec::new()) };
    let failed = |error: std::io::Error| Failure::CaFile(format!("{}: {}", folder.display(), plain(&error)));
    let entries = fs::read_dir(folder).map_err(failed)?;
    let files = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_file());
    Ok(files.filter(|path| ca_certificates(path).is_ok()).collect())
}

fn client_certificate(certificate: &Path, key: &Path) -> Result<ClientCert, Failure> {
    let failed = |file: &Path, why: String| Failure::ClientCertificate(format!("{}: {why}", file.display()));
    let read = |file: &Path| fs::read(file).map_err(|error| failed(file, plain(&error)));
    let mut chain = Vec::new();
    for item in parse_pem(&read(certificate)?) {
        if let PemItem::Certificate(found) = item.map_err(|error| failed(certificate, error.to_string()))? {
            chain.push(found);
        }
    }
    if chain.is_empty() {
        return Err(failed(certificate, "no certificate in it".to_owned()));
    }
    let found = parse_pem(&read(key)?).find_map(|item| match item {
        Ok(PemItem::PrivateKey(key)) => Some(key),
        _ => None,
    });
    let key = found.ok_or_else(|| failed(key, "no private key in it".to_owned()))?;
    Ok(ClientCert::new_with_certs(&chain, key))
}
