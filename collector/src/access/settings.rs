//! Settings of who may send, how much, and under which certificate.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use daemon::settings::duration;

use crate::rates::Rate;

/// Who may send, how much, and under which certificate the OTLP ports are served.
#[derive(Debug, Clone, Args)]
pub struct AccessSettings {
    /// Who may send: sources with their tokens, services and rates (`docs/operating.md`). Read
    /// again when it changes and at SIGHUP. Without it nobody is asked.
    #[arg(long, env = "WAYBILL_TOKENS", value_name = "FILE")]
    pub tokens: Option<PathBuf>,
    /// Spans and log records per second of each service (of each source); past it requests are
    /// told to come again. Without it there is no bound.
    #[arg(long, env = "WAYBILL_SERVICE_SPANS_PER_SECOND", value_name = "SPANS",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub service_spans_per_second: Option<u32>,
    /// For how long a service saves up what it does not use of its rate.
    #[arg(long, env = "WAYBILL_SERVICE_BURST", default_value = "10s", value_parser = duration)]
    pub service_burst: Duration,
    /// Serve other machines though neither tokens nor client certificates say who they are.
    #[arg(long, env = "WAYBILL_ALLOW_UNAUTHENTICATED")]
    pub allow_unauthenticated: bool,
    /// Take tokens from other machines without TLS: something in front of the collector, or the
    /// network, keeps them from being read.
    #[arg(long, env = "WAYBILL_ALLOW_PLAINTEXT_TOKENS")]
    pub allow_plaintext_tokens: bool,
    /// The certificate of the OTLP ports and those that lead to its issuer, PEM. With it the ports
    /// speak TLS only. Read again when it changes and at SIGHUP, like the two below.
    #[arg(long, env = "WAYBILL_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// Its private key, PEM, not encrypted.
    #[arg(long, env = "WAYBILL_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// Who issues the certificates that clients must show, PEM. With it nobody without one is
    /// served (mTLS).
    #[arg(long, env = "WAYBILL_TLS_CLIENT_CA", value_name = "FILE")]
    pub tls_client_ca: Option<PathBuf>,
    /// How long a TLS handshake may take; then the connection is closed.
    #[arg(long, env = "WAYBILL_TLS_HANDSHAKE_TIMEOUT", default_value = "10s",
          value_parser = duration)]
    pub tls_handshake_timeout: Duration,
    /// How often to look whether the files above changed. A change counts once it was the same
    /// for two looks, so that a file is not read half written.
    #[arg(long, env = "WAYBILL_RELOAD_INTERVAL", default_value = "2s", value_parser = duration)]
    pub reload_interval: Duration,
}

impl AccessSettings {
    /// Checks that the settings fit each other and the addresses of the ports, given with the
    /// names of their flags.
    ///
    /// # Errors
    /// The flag, and what is wrong.
    pub fn check(
        &self,
        ports: &[(&'static str, SocketAddr)],
    ) -> Result<(), (&'static str, String)> {
        let refused = |flag, why: &str| Err((flag, why.to_owned()));
        match (&self.tls_cert, &self.tls_key) {
            (Some(_), None) => return refused("--tls-cert", "needs --tls-key FILE, too"),
            (None, Some(_)) => return refused("--tls-key", "needs --tls-cert FILE, too"),
            (None, None) if self.tls_client_ca.is_some() => {
                let why = "needs --tls-cert FILE and --tls-key FILE, too";
                return refused("--tls-client-ca", why);
            }
            _ => {}
        }
        for (flag, length) in [
            ("--service-burst", self.service_burst),
            ("--tls-handshake-timeout", self.tls_handshake_timeout),
            ("--reload-interval", self.reload_interval),
        ] {
            if length.is_zero() {
                return refused(flag, "must be longer than nothing");
            }
        }
        let public = ports.iter().find(|(_, address)| !address.ip().to_canonical().is_loopback());
        let Some((flag, address)) = public else { return Ok(()) };
        if self.tokens.is_none() && self.tls_client_ca.is_none() && !self.allow_unauthenticated {
            let why = format!(
                "{address} is not a loopback address, and whoever reaches it could send: give \
                 --tokens FILE or --tls-client-ca FILE, or --allow-unauthenticated on a closed \
                 network"
            );
            return Err((flag, why));
        }
        if self.tokens.is_some() && self.tls_cert.is_none() && !self.allow_plaintext_tokens {
            let why = format!(
                "{address} is not a loopback address, and tokens could be read on their way: give \
                 --tls-cert FILE and --tls-key FILE, or --allow-plaintext-tokens if something in \
                 front of the collector speaks TLS"
            );
            return Err((flag, why));
        }
        Ok(())
    }

    /// The rate of each service, if there is one.
    #[must_use]
    pub fn service_rate(&self) -> Option<Rate> {
        let rate =
            |per_second: u32| Rate { per_second: per_second.into(), burst: self.service_burst };
        self.service_spans_per_second.map(rate)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Alone {
        #[command(flatten)]
        access: AccessSettings,
    }

    /// What is refused, or nothing, for these addresses and flags.
    fn check(address: &str, flags: &str) -> Option<(&'static str, String)> {
        let args = ["x"].into_iter().chain(flags.split_whitespace());
        let settings = Alone::try_parse_from(args).unwrap().access;
        let ports = [
            ("--otlp-http", "127.0.0.1:4318".parse().unwrap()),
            ("--otlp-grpc", address.parse().unwrap()),
        ];
        settings.check(&ports).err()
    }

    #[test]
    fn strangers_are_let_in_only_when_told_so() {
        let tls = "--tls-cert c --tls-key k";
        for (address, flags, refused) in [
            ("127.0.0.1:1", "", None),
            ("[::1]:1", "", None),
            ("[::ffff:127.0.0.1]:1", "", None),
            ("127.0.0.1:1", "--tokens t", None),
            ("0.0.0.0:1", "", Some("--allow-unauthenticated")),
            ("[::]:1", "", Some("--allow-unauthenticated")),
            ("10.0.0.7:1", tls, Some("--allow-unauthenticated")),
            ("10.0.0.7:1", "--allow-plaintext-tokens", Some("--allow-unauthenticated")),
            ("10.0.0.7:1", "--allow-unauthenticated", None),
            ("10.0.0.7:1", "--tokens t", Some("--allow-plaintext-tokens")),
            ("10.0.0.7:1", "--tokens t --allow-unauthenticated", Some("--allow-plaintext-tokens")),
            ("10.0.0.7:1", "--tokens t --allow-plaintext-tokens", None),
            ("10.0.0.7:1", "--tokens t --tls-cert c --tls-key k", None),
            ("10.0.0.7:1", "--tls-cert c --tls-key k --tls-client-ca a", None),
        ] {
            let told = check(address, flags);
            assert_eq!(told.is_some(), refused.is_some(), "{address} {flags}: {told:?}");
            if let (Some((flag, why)), Some(way_out)) = (told, refused) {
                assert_eq!(flag, "--otlp-grpc");
                assert!(why.contains(address) && why.contains(way_out), "{why}");
            }
        }
    }

    #[test]
    fn half_of_tls_is_refused() {
        for (flags, flag) in [
            ("--tls-cert c", "--tls-cert"),
            ("--tls-key k", "--tls-key"),
            ("--tls-client-ca a", "--tls-client-ca"),
            ("--reload-interval 0s", "--reload-interval"),
        ] {
            assert_eq!(check("127.0.0.1:1", flags).map(|(flag, _)| flag), Some(flag), "{flags}");
        }
    }
}
