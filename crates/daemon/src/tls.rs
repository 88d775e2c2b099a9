//! TLS for [`crate::connections`]: PEM files to a configuration that can be replaced while the
//! port is served, the handshake within its time, and what a client's certificate says of it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// What is spoken above TLS, best first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The contents of the files that TLS needs.
pub struct Pem {
    /// The certificate of this server, and those that lead to its issuer.
    pub certificates: Vec<u8>,
    /// Its private key, not encrypted.
    pub key: Vec<u8>,
    /// Who issues the certificates that clients must show; `None`: they need none.
    pub client_issuers: Option<Vec<u8>>,
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The key is nobody's to read.
        f.debug_struct("Pem").finish_non_exhaustive()
    }
}

/// Which of the files is bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PemFile {
    /// [`Pem::certificates`].
    Certificates,
    /// [`Pem::key`].
    Key,
    /// [`Pem::client_issuers`].
    ClientIssuers,
}

/// The files cannot be served with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct PemError {
    /// The file.
    pub file: PemFile,
    /// What is wrong with it.
    pub why: String,
}

/// A configuration made of files.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What connections are served with.
    pub config: Arc<ServerConfig>,
    /// When the certificate of this server is no longer valid, seconds since 1970.
    pub expires_at_s: i64,
}

impl Pem {
    /// Reads and checks the files.
    ///
    /// # Errors
    /// [`PemError`], which never holds anything of the key.
    pub fn load(&self) -> Result<Loaded, PemError> {
        let certificates = certificates(&self.certificates, PemFile::Certificates)?;
        let expires_at_s = expires_at_s(&certificates)?;
        let bad_key = |why: String| PemError { file: PemFile::Key, why };
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|_| {
            bad_key("holds no private key in PEM (PKCS#8, PKCS#1 or SEC1, not encrypted)".into())
        })?;
        // `ring` by name: what another crate of the process switches on changes nothing here.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| bad_key(error.to_string()))?;
        let builder = match &self.client_issuers {
            None => builder.with_no_client_auth(),
            Some(pem) => {
                let bad = |why: String| PemError { file: PemFile::ClientIssuers, why };
                let mut issuers = RootCertStore::empty();
                for issuer in self::certificates(pem, PemFile::ClientIssuers)? {
                    issuers.add(issuer).map_err(|error| bad(error.to_string()))?;
                }
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(issuers), provider)
                        .build()
                        .map_err(|error| bad(error.to_string()))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder.with_single_cert(certificates, key).map_err(|error| {
            bad_key(format!("the key does not fit the certificate, or cannot be used: {error}"))
        })?;
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        Ok(Loaded { config: Arc::new(config), expires_at_s })
    }
}

fn certificates(pem: &[u8], file: PemFile) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match read {
        Ok(certificates) if certificates.is_empty() => {
            Err(PemError { file, why: "holds no certificate in PEM".into() })
        }
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(PemError { file, why: format!("is not PEM: {error}") }),
    }
}

fn expires_at_s(certificates: &[CertificateDer<'static>]) -> Result<i64, PemError> {
    let first = certificates.first().map_or(&[][..], |certificate| certificate.as_ref());
    let (_, certificate) = X509Certificate::from_der(first).map_err(|error| PemError {
        file: PemFile::Certificates,
        why: format!("the first certificate is no X.509 certificate: {error}"),
    })?;
    Ok(certificate.validity().not_after.timestamp())
}

/// The names in a client's certificate, which its issuer vouches for: common name, DNS names,
/// URIs (SPIFFE) and mail addresses. An extension of each request on the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerNames(pub Arc<[String]>);

impl PeerNames {
    /// The names; `None` when no certificate was shown.
    fn of(stream: &TlsStream<TcpStream>) -> Option<Self> {
        let (_, session) = stream.get_ref();
        let shown = session.peer_certificates()?.first()?;
        // Verified by now: what cannot be read has no names.
        let Ok((_, certificate)) = X509Certificate::from_der(shown) else {
            return Some(Self(Arc::from([])));
        };
        let common = certificate.subject().iter_common_name();
        let mut names: Vec<String> =
            common.filter_map(|name| name.as_str().ok()).map(str::to_owned).collect();
        if let Ok(Some(alternative)) = certificate.subject_alternative_name() {
            names.extend(alternative.value.general_names.iter().filter_map(|name| match name {
                GeneralName::DNSName(name)
                | GeneralName::URI(name)
                | GeneralName::RFC822Name(name) => Some((*name).to_owned()),
                _ => None,
            }));
        }
        Some(Self(names.into()))
    }
}

/// Labels of a handshake that failed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct HandshakeFailure {
    /// `timeout`, `not_tls`, `certificate`, `other`.
    pub reason: &'static str,
}

/// TLS on a port. Clones share the counter and follow the same configuration.
#[derive(Debug, Clone)]
pub struct Tls {
    config: watch::Receiver<Arc<ServerConfig>>,
    handshake_timeout: Duration,
    failures: Family<HandshakeFailure, Counter>,
}

impl Tls {
    /// TLS with the configuration that `config` holds when a connection comes. A connection whose
    /// handshake takes longer than `handshake_timeout` is closed; `failures` counts.
    #[must_use]
    pub fn new(
        config: watch::Receiver<Arc<ServerConfig>>,
        handshake_timeout: Duration,
        failures: Family<HandshakeFailure, Counter>,
    ) -> Self {
        Self { config, handshake_timeout, failures }
    }

    /// Shakes hands; `None` when that failed, which is counted.
    pub(crate) async fn accept(
        &self,
        stream: TcpStream,
    ) -> Option<(TlsStream<TcpStream>, Option<PeerNames>)> {
        let acceptor = TlsAcceptor::from(Arc::clone(&self.config.borrow()));
        let shaken = tokio::time::timeout(self.handshake_timeout, acceptor.accept(stream)).await;
        let reason = match shaken {
            Ok(Ok(stream)) => {
                let names = PeerNames::of(&stream);
                return Some((stream, names));
            }
            Ok(Err(error)) => {
                // Strangers cause these: counted, and told only to who wants to know.
                tracing::debug!(%error, "TLS handshake failed");
                reason(&error)
            }
            Err(_) => "timeout",
        };
        self.failures.get_or_create(&HandshakeFailure { reason }).inc();
        None
    }
}

fn reason(error: &std::io::Error) -> &'static str {
    use rustls::Error;
    let error = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    match error {
        Some(Error::InvalidMessage(_)) => "not_tls",
        Some(Error::NoCertificatesPresented | Error::InvalidCertificate(_)) => "certificate",
        _ => "other",
    }
}
