//! TLS of the OTLP ports: from the settings' files to what connections are served with.

use std::sync::Arc;

use daemon::Metrics;
use daemon::tls::{Loaded, Pem, PemFile, Tls};
use prometheus_client::metrics::gauge::Gauge;
use rustls::ServerConfig;
use tokio::sync::watch;

use crate::access::metrics::AccessMetrics;
use crate::access::settings::AccessSettings;
use crate::reload::{Complaint, Contents, WatchedFile};

/// TLS as it is served, and the way to replace it.
#[derive(Debug)]
pub struct TlsInForce {
    config: watch::Sender<Arc<ServerConfig>>,
    expires_at_s: Gauge,
}

/// The files of TLS in the order of [`load`]; none: no TLS.
#[must_use]
pub fn files(settings: &AccessSettings) -> Vec<WatchedFile> {
    let files = [
        ("--tls-cert", &settings.tls_cert),
        ("--tls-key", &settings.tls_key),
        ("--tls-client-ca", &settings.tls_client_ca),
    ];
    let given = files
        .into_iter()
        .filter_map(|(flag, path)| Some(WatchedFile { flag, path: path.clone()? }));
    given.collect()
}

/// Reads what the files hold.
///
/// # Errors
/// A complaint about one of them.
pub fn load(files: &[WatchedFile], contents: &Contents) -> Result<Loaded, Vec<Complaint>> {
    let part = |index: usize| contents.get(index).cloned();
    let pem = Pem {
        certificates: part(0).unwrap_or_default(),
        key: part(1).unwrap_or_default(),
        client_issuers: part(2),
    };
    pem.load().map_err(|error| {
        let index = match error.file {
            PemFile::Certificates => 0,
            PemFile::Key => 1,
            PemFile::ClientIssuers => 2,
        };
        files.get(index).map(|file| file.complaint(None, error.why)).into_iter().collect()
    })
}

impl TlsInForce {
    /// Serves with `loaded` from now on.
    #[must_use]
    pub fn new(
        loaded: Loaded,
        settings: &AccessSettings,
        page: &Metrics,
        metrics: &AccessMetrics,
    ) -> (Self, Tls) {
        let (config, served) = watch::channel(loaded.config);
        let expires_at_s = page.add(
            "tls_certificate_expires_timestamp_seconds",
            "When the certificate of the OTLP ports is no longer valid, since 1970",
            Gauge::default(),
        );
        expires_at_s.set(loaded.expires_at_s);
        let failures = metrics.handshake_failures.clone();
        let tls = Tls::new(served, settings.tls_handshake_timeout, failures);
        (Self { config, expires_at_s }, tls)
    }

    /// Serves new connections with `loaded`. Open ones go on; sessions of before are not resumed.
    pub fn replace(&self, loaded: Loaded) {
        self.expires_at_s.set(loaded.expires_at_s);
        self.config.send_replace(loaded.config);
    }
}
