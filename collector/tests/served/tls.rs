//! TLS and mTLS on both ports, with certificates made as the tests run.

use std::io::{Error, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use opentelemetry::trace::{Span as _, Tracer, TracerProvider};
use opentelemetry_otlp::{WithExportConfig, WithTonicConfig};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use prost::Message;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, ClientTlsConfig};

use crate::access::source;
use crate::otlp::{span, traces};
use crate::stack::{Stack, eventually};

/// One that issues certificates.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, PEM.
#[derive(Clone)]
struct Identity {
    certificate: String,
    key: String,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "test authority");
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// A certificate with this common name and these other names.
    fn issue(&self, common: &str, names: &[&str]) -> Identity {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, common);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Identity { certificate, key: key.serialize_pem() }
    }
}

/// The files of a collector with TLS.
struct Files {
    folder: TempDir,
}

impl Files {
    fn new(server: &Identity) -> Self {
        let files = Self { folder: tempfile::tempdir().unwrap() };
        files.write_server(server);
        files
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn write_server(&self, server: &Identity) {
        self.write("cert.pem", &server.certificate);
        self.write("key.pem", &server.key);
    }

    async fn stack(&self, flags: &[&str]) -> Stack {
        let path = |name: &str| self.folder.path().join(name).to_str().unwrap().to_owned();
        let (cert, key) = (path("cert.pem"), path("key.pem"));
        let tls = ["--tls-cert", &cert, "--tls-key", &key, "--reload-interval", "50ms"];
        Stack::start(&[&tls[..], flags].concat()).await
    }
}

/// A sender that trusts one authority and may have a certificate and a token.
#[derive(Default, Clone)]
struct Sender {
    trusts: String,
    identity: Option<Identity>,
    token: Option<String>,
}

impl Sender {
    fn trusting(authority: &Authority) -> Self {
        Self { trusts: authority.pem.clone(), ..Self::default() }
    }

    fn with(mut self, identity: &Identity) -> Self {
        self.identity = Some(identity.clone());
        self
    }

    fn connector(&self, protocols: &[&[u8]]) -> TlsConnector {
        let mut trusted = RootCertStore::empty();
        trusted.add(CertificateDer::from_pem_slice(self.trusts.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(trusted);
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some(Identity { certificate, key }) => {
                let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        TlsConnector::from(Arc::new(config))
    }

    /// Sends one span over HTTPS; the status, or why there is none.
    async fn post(&self, stack: &Stack, id: u64) -> Result<u16, Error> {
        let stream = tokio::net::TcpStream::connect(stack.collector.address("otlp-http")).await?;
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = self.connector(&[b"http/1.1"]).connect(name, stream).await?;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        let body = traces("shop", vec![span(1, id, vec![])]).encode_to_vec();
        let token = self.token.as_ref();
        let authorization =
            token.map_or(String::new(), |token| format!("Authorization: Bearer {token}\r\n"));
        let head = format!(
            "POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{authorization}\
             Content-Type: application/x-protobuf\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(&body).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        let answer = String::from_utf8_lossy(&answer);
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
        status.ok_or_else(|| Error::other(format!("no status: {answer}")))
    }

    fn tonic_tls(&self) -> ClientTlsConfig {
        let trusted = tonic::transport::Certificate::from_pem(&self.trusts);
        let tls = ClientTlsConfig::new().ca_certificate(trusted).domain_name("localhost");
        match &self.identity {
            None => tls,
            Some(Identity { certificate, key }) => {
                tls.identity(tonic::transport::Identity::from_pem(certificate, key))
            }
        }
    }

    /// Sends one span over gRPC; the code, or why there is none.
    async fn call(&self, stack: &Stack, id: u64) -> Result<tonic::Code, tonic::transport::Error> {
        let channel: Channel = Channel::from_shared(https(stack, "otlp-grpc"))
            .unwrap()
            .tls_config(self.tonic_tls())?
            .connect()
            .await?;
        let mut request = tonic::Request::new(traces("shop", vec![span(2, id, vec![])]));
        if let Some(token) = &self.token {
            let shown = format!("Bearer {token}").parse().unwrap();
            request.metadata_mut().insert("authorization", shown);
        }
        let answer = TraceServiceClient::new(channel).export(request).await;
        Ok(answer.map_or_else(|status| status.code(), |_| tonic::Code::Ok))
    }

    /// Whether it is served on either port; on both alike.
    async fn is_served(&self, stack: &Stack) -> bool {
        let http = self.post(stack, 1).await;
        let grpc = self.call(stack, 2).await;
        let (http, grpc) = (matches!(http, Ok(200)), matches!(grpc, Ok(tonic::Code::Ok)));
        assert_eq!(http, grpc);
        http
    }
}

fn https(stack: &Stack, port: &str) -> String {
    format!("https://{}", stack.collector.address(port))
}

fn server_of(authority: &Authority) -> Identity {
    authority.issue("collector", &["localhost"])
}

/// The value of the first metric line that begins so.
async fn metric(stack: &Stack, begins: &str) -> Option<u64> {
    let begins = format!("waybill_collector_{begins} ");
    let page = stack.metrics().await;
    page.lines().find_map(|line| line.strip_prefix(begins.as_str())?.parse().ok())
}

/// Far longer than it takes to count a failed handshake.
const COUNTED_WITHIN: Duration = Duration::from_secs(30);

#[tokio::test]
async fn both_ports_speak_tls_and_nothing_else() {
    let authority = Authority::new();
    let files = Files::new(&server_of(&authority));
    let stack = files.stack(&[]).await;
    let sender = Sender::trusting(&authority);
    assert!(sender.is_served(&stack).await);
    // A sender that trusts another authority goes no further.
    let other = Sender::trusting(&Authority::new());
    assert!(other.post(&stack, 3).await.is_err());
    assert!(other.call(&stack, 4).await.is_err());
    assert_eq!(stack.query("SELECT count() FROM otel_traces").await, ["2"]);
    // Plain text is closed without an answer.
    let before = metric(&stack, "tls_handshake_failures_total{reason=\"not_tls\"}").await;
    for port in ["otlp-http", "otlp-grpc"] {
        let address = stack.collector.address(port);
        let answer = say(address, b"POST /v1/traces HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(!String::from_utf8_lossy(&answer).contains("HTTP"), "{answer:?}");
    }
    assert_eq!(before, None);
    // The peer hears of it before it is counted.
    let counted = async {
        while metric(&stack, "tls_handshake_failures_total{reason=\"not_tls\"}").await != Some(2) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(COUNTED_WITHIN, counted).await.unwrap();
    // The end of the certificate is shown, and lies ahead.
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let expires = metric(&stack, "tls_certificate_expires_timestamp_seconds").await.unwrap();
    assert!(expires > now.as_secs());
}

#[tokio::test]
async fn http_2_is_agreed_upon_where_it_is_wanted() {
    let authority = Authority::new();
    let files = Files::new(&server_of(&authority));
    let stack = files.stack(&[]).await;
    for (wanted, agreed) in [
        (&[&b"h2"[..], b"http/1.1"][..], Some(&b"h2"[..])),
        (&[b"http/1.1"], Some(b"http/1.1")),
        (&[], None),
    ] {
        let stream = tokio::net::TcpStream::connect(stack.collector.address("otlp-http")).await;
        let connector = Sender::trusting(&authority).connector(wanted);
        let name = ServerName::try_from("localhost").unwrap();
        let stream = connector.connect(name, stream.unwrap()).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), agreed);
    }
}

#[tokio::test]
async fn with_a_client_authority_nobody_without_a_certificate_is_served() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let files = Files::new(&server_of(&authority));
    let ca = files.write("clients.pem", &clients.pem);
    let stack = files.stack(&["--tls-client-ca", ca.to_str().unwrap()]).await;
    let sender = Sender::trusting(&authority);
    assert!(!sender.is_served(&stack).await);
    let foreign = Authority::new().issue("shop", &[]);
    assert!(!sender.clone().with(&foreign).is_served(&stack).await);
    // Issued by the server's own authority, which vouches for no clients.
    assert!(!sender.clone().with(&authority.issue("shop", &[])).is_served(&stack).await);
    assert!(sender.clone().with(&clients.issue("shop", &[])).is_served(&stack).await);
    let refused = metric(&stack, "tls_handshake_failures_total{reason=\"certificate\"}").await;
    assert!(refused.unwrap() >= 6, "{refused:?}");
}

#[tokio::test]
async fn a_client_certificate_names_its_source() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let files = Files::new(&server_of(&authority));
    let ca = files.write("clients.pem", &clients.pem);
    let (stanza, token) = source("crm", "");
    let named = "[[source]]\nname = \"shop\"\nclient_cert = [\"shop.internal\", \"the shop\"]\n\
                 services = [\"shop\"]\n";
    let tokens = files.write("tokens.toml", &format!("{named}{stanza}"));
    let flags = ["--tls-client-ca", ca.to_str().unwrap(), "--tokens", tokens.to_str().unwrap()];
    let stack = files.stack(&flags).await;

    // By a DNS name, or by the common name.
    let sender = Sender::trusting(&authority);
    for identity in [clients.issue("x", &["shop.internal"]), clients.issue("the shop", &[])] {
        assert!(sender.clone().with(&identity).is_served(&stack).await);
    }
    let shown = stack.metrics().await;
    assert!(shown.contains("source_requests_total{source=\"shop\",reason=\"ok\"} 4"), "{shown}");
    // A name that is not in the file needs a token, and a wrong token is not made good by a name.
    let mut stranger = sender.clone().with(&clients.issue("stranger", &["shop.internal.evil"]));
    assert_eq!(stranger.post(&stack, 3).await.unwrap(), 401);
    assert_eq!(stranger.call(&stack, 3).await.unwrap(), tonic::Code::Unauthenticated);
    stranger.token = Some(token);
    assert!(stranger.is_served(&stack).await);
    let mut wrong = sender.with(&clients.issue("the shop", &[]));
    wrong.token = Some("wbt_0".to_owned());
    assert_eq!(wrong.post(&stack, 4).await.unwrap(), 401);
}

#[tokio::test]
async fn an_sdk_sends_over_mtls_with_a_token() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let files = Files::new(&server_of(&authority));
    let ca = files.write("clients.pem", &clients.pem);
    let (stanza, token) = source("shop", "services = [\"checkout\"]");
    let tokens = files.write("tokens.toml", &stanza);
    let flags = ["--tls-client-ca", ca.to_str().unwrap(), "--tokens", tokens.to_str().unwrap()];
    let stack = files.stack(&flags).await;
    let sender = Sender::trusting(&authority).with(&clients.issue("any", &[]));
    let mut metadata = tonic::metadata::MetadataMap::new();
    metadata.insert("authorization", format!("Bearer {token}").parse().unwrap());
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_tonic()
        .with_endpoint(https(&stack, "otlp-grpc"))
        .with_tls_config(sender.tonic_tls())
        .with_metadata(metadata)
        .build()
        .unwrap();
    let resource = Resource::builder().with_service_name("checkout").build();
    let provider =
        SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
    provider.tracer("test").start("pay").end();
    tokio::task::spawn_blocking(move || provider.shutdown()).await.unwrap().unwrap();
    assert_eq!(stack.query("SELECT ServiceName FROM otel_traces").await, ["checkout"]);
}

#[tokio::test]
async fn certificates_are_replaced_while_the_ports_are_served() {
    let (old, new) = (Authority::new(), Authority::new());
    let files = Files::new(&server_of(&old));
    let stack = files.stack(&[]).await;
    let (trusts_old, trusts_new) = (Sender::trusting(&old), Sender::trusting(&new));
    assert!(trusts_old.is_served(&stack).await && !trusts_new.is_served(&stack).await);

    // A key that does not fit: the old pair stays.
    let renewed = server_of(&new);
    files.write("cert.pem", &renewed.certificate);
    let refused = async || metric(&stack, "reload_refused{setting=\"tls\"}").await == Some(1);
    eventually("the half pair is refused", refused).await;
    assert!(trusts_old.is_served(&stack).await);
    let log = stack.collector.log();
    assert_eq!(log.matches("does not fit the certificate").count(), 1, "{log}");

    files.write("key.pem", &renewed.key);
    eventually("the new pair is served", async || trusts_new.is_served(&stack).await).await;
    assert!(!trusts_old.is_served(&stack).await);
    assert_eq!(metric(&stack, "reload_refused{setting=\"tls\"}").await, Some(0));
    assert!(!stack.collector.log().contains("PRIVATE KEY"));
}

#[tokio::test]
async fn a_slow_handshake_is_cut_off_and_keeps_nobody_waiting() {
    let authority = Authority::new();
    let files = Files::new(&server_of(&authority));
    let stack = files.stack(&["--tls-handshake-timeout", "2s"]).await;
    let address: SocketAddr = stack.collector.address("otlp-http").parse().unwrap();
    let begun = Instant::now();
    let mut silent: Vec<TcpStream> =
        (0..50).map(|_| TcpStream::connect(address).unwrap()).collect();
    // The head of a record, and no more.
    silent[0].write_all(&[0x16, 0x03, 0x01]).unwrap();
    assert_eq!(Sender::trusting(&authority).post(&stack, 1).await.unwrap(), 200);
    for mut stream in silent {
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    }
    assert!(begun.elapsed() >= Duration::from_secs(2), "closed before its time");
    eventually("all are counted", async || {
        metric(&stack, "tls_handshake_failures_total{reason=\"timeout\"}").await == Some(50)
    })
    .await;
}

#[tokio::test]
async fn a_stop_does_not_wait_for_handshakes() {
    let authority = Authority::new();
    let files = Files::new(&server_of(&authority));
    let mut stack = files.stack(&["--tls-handshake-timeout", "60s"]).await;
    let _silent = TcpStream::connect(stack.collector.address("otlp-grpc")).unwrap();
    let open = "connections{port=\"otlp_grpc\"}";
    eventually("it is open", async || metric(&stack, open).await == Some(1)).await;
    let begun = Instant::now();
    stack.collector.terminate();
    assert_eq!(stack.collector.exit_code(), Some(0));
    // The drain deadline is 10 s.
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
}

#[test]
fn bad_files_are_refused_by_the_name_of_their_flag() {
    let authority = Authority::new();
    let (server, other) = (server_of(&authority), server_of(&authority));
    let files = Files::new(&server);
    let path = |name: &str, text: &str| files.write(name, text);
    let (cert, key) = (path("cert.pem", &server.certificate), path("key.pem", &server.key));
    let other_key = path("other.pem", &other.key);
    let (empty, noise) = (path("empty.pem", ""), path("noise.pem", "-----BEGIN CERT"));
    let nowhere = Path::new("/nowhere/cert.pem").to_owned();
    for (cert, key, ca, flag) in [
        (&nowhere, &key, None, "--tls-cert"),
        (&empty, &key, None, "--tls-cert"),
        (&noise, &key, None, "--tls-cert"),
        (&key, &key, None, "--tls-cert"),
        (&cert, &cert, None, "--tls-key"),
        (&cert, &other_key, None, "--tls-key"),
        (&cert, &key, Some(&empty), "--tls-client-ca"),
        (&cert, &key, Some(&nowhere), "--tls-client-ca"),
    ] {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_collector"));
        command.env("WAYBILL_JOURNAL", "never-opened");
        command.arg("--tls-cert").arg(cert).arg("--tls-key").arg(key);
        if let Some(ca) = ca {
            command.arg("--tls-client-ca").arg(ca);
        }
        let refused = command.output().unwrap();
        let told = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(64), "{told}");
        assert!(told.contains(&format!("bad setting {flag}: ")), "{flag}: {told}");
        assert!(!told.contains("PRIVATE KEY"), "{told}");
    }
    // A source by certificate, and nobody who shows one.
    let tokens = path("tokens.toml", "[[source]]\nname = \"shop\"\nclient_cert = \"shop\"\n");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_collector"));
    command.env("WAYBILL_JOURNAL", "never-opened");
    let refused = command.arg("--tokens").arg(tokens).output().unwrap();
    assert_eq!(refused.status.code(), Some(64));
    assert!(String::from_utf8(refused.stderr).unwrap().contains("--tls-client-ca"));
}

/// Sends these bytes and reads until the connection is closed.
fn say(address: &str, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    // A reset closes it, too.
    let _ = stream.read_to_end(&mut answer);
    answer
}
