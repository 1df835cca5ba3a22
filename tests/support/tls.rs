//! Certificates of a test CA, and the TLS server configurations made of them.

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::{fs, iter};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::crypto::ring;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

/// What a server shows, and asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certificate {
    /// Of the test CA, for 127.0.0.1, `::1`, localhost and `*.mirrors.test`.
    Valid,
    /// Of the test CA, for another host.
    WrongName,
    /// Of the test CA, ended in 2020.
    Expired,
    /// Of the test CA, not valid before 2090.
    NotYetValid,
    /// Of nobody.
    SelfSigned,
    /// Of nobody, and a CA's own.
    SelfSignedCa,
    /// As `Valid`, and the client must show a certificate of the test CA.
    ValidAskingForClients,
}

/// The CA that all tests of one run share.
pub struct TestCa(CertifiedIssuer<'static, KeyPair>);

/// Where a client finds what it needs, in PEM.
#[derive(Clone, Debug)]
pub struct PemFiles {
    pub ca: PathBuf,
    pub client_certificate: PathBuf,
    pub client_key: PathBuf,
}

pub fn test_ca() -> &'static TestCa {
    static CA: LazyLock<TestCa> = LazyLock::new(TestCa::new);
    &CA
}

impl TestCa {
    /// Writes the CA's certificate and a client's certificate and key into `folder`.
    pub fn write_pem_files(&self, folder: &Path) -> PemFiles {
        let key = new_key();
        let certificate = parameters("client", &["client.test"])
            .signed_by(&key, &self.0)
            .expect("the parameters can be signed");
        let files = PemFiles {
            ca: folder.join("ca.pem"),
            client_certificate: folder.join("client.pem"),
            client_key: folder.join("client.key"),
        };
        for (path, text) in [
            (&files.ca, self.0.pem()),
            (&files.client_certificate, certificate.pem()),
            (&files.client_key, key.serialize_pem()),
        ] {
            fs::write(path, text).expect("the test's own folder can be written");
        }
        files
    }

    /// A server's configuration, without ALPN: HTTP/1.1.
    pub fn server(&self, certificate: Certificate) -> Arc<ServerConfig> {
        let key = new_key();
        let mut names = parameters("server", &["127.0.0.1", "::1", "localhost", "*.mirrors.test"]);
        match certificate {
            Certificate::WrongName => names = parameters("server", &["elsewhere.example"]),
            Certificate::Expired => names.not_after = date_time_ymd(2020, 1, 1),
            Certificate::NotYetValid => names.not_before = date_time_ymd(2090, 1, 1),
            Certificate::SelfSignedCa => names.is_ca = IsCa::Ca(BasicConstraints::Unconstrained),
            _ => {}
        }
        let shown = match certificate {
            Certificate::SelfSigned | Certificate::SelfSignedCa => names.self_signed(&key),
            _ => names.signed_by(&key, &self.0),
        }
        .expect("the parameters can be signed");

        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring knows the default versions");
        let builder = match certificate {
            Certificate::ValidAskingForClients => builder.with_client_cert_verifier(self.client_verifier()),
            _ => builder.with_no_client_auth(),
        };
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Arc::new(
            builder.with_single_cert(vec![shown.der().clone()], key).expect("the key is the certificate's"),
        )
    }

    fn new() -> Self {
        let mut parameters = parameters("racefetch test CA", &[]);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(parameters, new_key()).expect("the parameters can be signed"))
    }

    fn client_verifier(&self) -> Arc<dyn rustls::server::danger::ClientCertVerifier> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(iter::once(self.0.der().clone()));
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(ring::default_provider()))
            .build()
            .expect("the CA is a root")
    }
}

fn new_key() -> KeyPair {
    KeyPair::generate().expect("ring can make a key")
}

fn parameters(common_name: &str, names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut parameters = CertificateParams::new(names).expect("the names are valid");
    parameters.distinguished_name.push(DnType::CommonName, common_name);
    parameters.use_authority_key_identifier_extension = true;
    parameters
}
