//! Who may send, as senders and the operator meet it: tokens, services, reload, addresses.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use opentelemetry::trace::{Span as _, Tracer, TracerProvider};
use opentelemetry_otlp::{Protocol, WithExportConfig, WithHttpConfig, WithTonicConfig};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use prost::Message;
use reqwest::Response;
use tempfile::TempDir;
use tonic_types::StatusExt;

use crate::http::post;
use crate::otlp::{logs, span, traces};
use crate::stack::{Program, Stack, eventually, start_collector};

pub(crate) const PROTOBUF: &str = "application/x-protobuf";
/// Files are looked at so often in these tests.
const LOOK: &[&str] = &["--reload-interval", "50ms"];

/// A tokens file in a folder of its own.
pub(crate) struct Tokens {
    _folder: TempDir,
    path: PathBuf,
}

impl Tokens {
    pub(crate) fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.toml");
        std::fs::write(&path, text).unwrap();
        Self { _folder: folder, path }
    }

    pub(crate) fn write(&self, text: &str) {
        std::fs::write(&self.path, text).unwrap();
    }

    pub(crate) async fn stack(&self, flags: &[&str]) -> Stack {
        let tokens = ["--tokens", self.path.to_str().unwrap()];
        Stack::start(&[&tokens, LOOK, flags].concat()).await
    }
}

/// A stanza of the file, made by the program itself, and the token in it.
pub(crate) fn source(name: &str, more: &str) -> (String, String) {
    let made = collector(&["token", "new", name]);
    assert!(made.status.success());
    let once = String::from_utf8(made.stderr).unwrap();
    let token = once.lines().map(str::trim).find(|line| line.starts_with("wbt_")).unwrap();
    let stanza = String::from_utf8(made.stdout).unwrap();
    assert!(!stanza.contains(token), "the file holds the hash alone: {stanza}");
    (format!("{stanza}{more}\n"), token.to_owned())
}

fn collector(args: &[&str]) -> std::process::Output {
    // What is refused never opens its journal.
    let mut command = Command::new(env!("CARGO_BIN_EXE_collector"));
    command.env("WAYBILL_JOURNAL", "never-opened").args(args).output().unwrap()
}

pub(crate) fn body(service: &str, id: u64) -> Vec<u8> {
    traces(service, vec![span(1, id, vec![])]).encode_to_vec()
}

pub(crate) async fn send(stack: &Stack, authorization: Option<&str>, body: Vec<u8>) -> Response {
    let mut request = post(stack.http("/v1/traces"), PROTOBUF, "", body);
    if let Some(value) = authorization {
        request = request.header("authorization", value);
    }
    request.send().await.unwrap()
}

pub(crate) async fn send_as(stack: &Stack, token: &str, body: Vec<u8>) -> u16 {
    send(stack, Some(&format!("Bearer {token}")), body).await.status().as_u16()
}

/// What a gRPC client hears of this request.
pub(crate) async fn call(
    stack: &Stack,
    authorization: Option<&str>,
    request: opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest,
) -> Result<ExportTraceServiceResponse, tonic::Status> {
    let mut client = TraceServiceClient::connect(stack.grpc("")).await.unwrap();
    let mut request = tonic::Request::new(request);
    if let Some(value) = authorization {
        request.metadata_mut().insert("authorization", value.parse().unwrap());
    }
    client.export(request).await.map(tonic::Response::into_inner)
}

pub(crate) async fn status_of(answer: Response) -> tonic_types::Status {
    tonic_types::Status::decode(answer.bytes().await.unwrap()).unwrap()
}

async fn ready_text(stack: &Stack) -> (u16, String) {
    let url = format!("http://{}/readyz", stack.collector.address("admin"));
    let answer = reqwest::get(url).await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test]
async fn who_shows_no_token_or_a_wrong_one_is_refused() {
    let (stanza, token) = source("shop", "");
    let tokens = Tokens::new(&stanza);
    // Nothing that is sent or refused may show a token, however much is logged.
    let stack = tokens.stack(&["--log", "trace"]).await;
    let wrong = token.replace("wbt_", "wbt_0");
    for (authorization, says) in [
        (None, "authorization: Bearer"),
        (Some("Basic dXNlcjpwYXNz".to_owned()), "`Bearer TOKEN`"),
        (Some("Bearer".to_owned()), "`Bearer TOKEN`"),
        (Some("Bearer ".to_owned()), "Bearer"),
        (Some(format!("Bearer {wrong}")), "nobody is known"),
    ] {
        let answer = send(&stack, authorization.as_deref(), body("shop", 1)).await;
        assert_eq!(answer.status(), 401, "{authorization:?}");
        assert_eq!(answer.headers()["www-authenticate"], "Bearer realm=\"waybill\"");
        let status = status_of(answer).await;
        assert_eq!(status.code, tonic::Code::Unauthenticated as i32);
        assert!(status.message.contains(says), "{}", status.message);

        let request = traces("shop", vec![span(1, 2, vec![])]);
        let refused = call(&stack, authorization.as_deref(), request).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::Unauthenticated, "{authorization:?}");
        assert!(refused.get_details_retry_info().is_none());
    }
    // A large body that nobody wants is not waited for.
    let answer = send(&stack, None, vec![0; 900_000]).await;
    assert_eq!(answer.status(), 401);
    // The scheme has no case.
    for (scheme, id) in [("Bearer", 3), ("bearer", 4), ("BEARER", 5)] {
        let shown = format!("{scheme} {token}");
        assert_eq!(send(&stack, Some(&shown), body("shop", id)).await.status(), 200);
        let request = traces("shop", vec![span(1, id + 10, vec![])]);
        assert!(call(&stack, Some(&shown), request).await.is_ok());
    }
    assert_eq!(stack.query("SELECT count() FROM otel_traces").await, ["6"]);
    let metrics = stack.metrics().await;
    for line in [
        "requests_total{signal=\"traces\",transport=\"http\",reason=\"unauthenticated\"} 6",
        "requests_total{signal=\"traces\",transport=\"grpc\",reason=\"unauthenticated\"} 5",
        "source_requests_total{source=\"shop\",reason=\"ok\"} 6",
        "source_items_total{source=\"shop\"} 6",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
    let log = stack.collector.log();
    for secret in [&token, &wrong] {
        assert!(!log.contains(secret.as_str()) && !metrics.contains(secret.as_str()));
    }
    assert!(log.contains("TRACE"));
}

#[tokio::test]
async fn a_service_that_a_token_may_not_send_is_named_to_its_sender() {
    let (stanza, token) = source("shop", "services = [\"shop\", \"shop-*\"]");
    let tokens = Tokens::new(&stanza);
    let stack = tokens.stack(&[]).await;
    let shown = format!("Bearer {token}");

    // All of it: refused as a whole.
    let answer = send(&stack, Some(&shown), body("crm", 1)).await;
    assert_eq!(answer.status(), 403);
    let status = status_of(answer).await;
    assert_eq!(status.code, tonic::Code::PermissionDenied as i32);
    assert_eq!(status.message, "source `shop` may not send service `crm`");
    let refused = call(&stack, Some(&shown), traces("", vec![span(1, 2, vec![])])).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::PermissionDenied);
    assert!(refused.message().contains("(no service.name)"), "{}", refused.message());

    // Some of it: the rest is kept, and what is not is counted and named.
    let mut mixed = traces("shop-web", vec![span(1, 3, vec![])]);
    let foreign = traces("crm", vec![span(1, 4, vec![]), span(1, 5, vec![])]);
    mixed.resource_spans.extend(foreign.resource_spans);
    let answer = send(&stack, Some(&shown), mixed.encode_to_vec()).await;
    assert_eq!(answer.status(), 200);
    let answer = ExportTraceServiceResponse::decode(answer.bytes().await.unwrap()).unwrap();
    let over_grpc = call(&stack, Some(&shown), mixed).await.unwrap();
    for answer in [answer, over_grpc] {
        let partial = answer.partial_success.unwrap();
        assert_eq!(partial.rejected_spans, 2);
        assert!(partial.error_message.contains("may not send"), "{}", partial.error_message);
        assert!(partial.error_message.contains("`crm`"), "{}", partial.error_message);
    }
    // Logs are judged likewise.
    let record = logs("crm", vec![Default::default()]).encode_to_vec();
    let request = post(stack.http("/v1/logs"), PROTOBUF, "", record);
    let answer = request.header("authorization", &shown).send().await.unwrap();
    assert_eq!(answer.status(), 403);

    let services = stack.query("SELECT DISTINCT ServiceName FROM otel_traces").await;
    assert_eq!(services, ["shop-web"]);
    assert_eq!(stack.query("SELECT count() FROM otel_logs").await, ["0"]);
    let metrics = stack.metrics().await;
    for line in [
        "requests_total{signal=\"traces\",transport=\"http\",reason=\"forbidden\"} 1",
        "requests_total{signal=\"logs\",transport=\"http\",reason=\"forbidden\"} 1",
        "rejected_items_total{signal=\"traces\",transport=\"http\",reason=\"service\"} 2",
        "source_requests_total{source=\"shop\",reason=\"forbidden\"} 3",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
}

#[tokio::test]
async fn tokens_are_replaced_while_senders_send() {
    let (shop, old) = source("shop", "");
    let (replaced, new) = source("shop", "");
    let tokens = Tokens::new(&shop);
    let stack = tokens.stack(&[]).await;
    assert_eq!(send_as(&stack, &old, body("shop", 1)).await, 200);
    assert_eq!(send_as(&stack, &new, body("shop", 2)).await, 401);

    // By the change alone.
    tokens.write(&replaced);
    eventually("the new token is taken", async || {
        send_as(&stack, &new, body("shop", 2)).await == 200
    })
    .await;
    assert_eq!(send_as(&stack, &old, body("shop", 3)).await, 401);

    // A bad file changes nothing, is told once, and is shown.
    tokens.write(&format!("{replaced}\n[[source]]\nname = \"mes\"\ntoken_sha256 = \"{old}\"\n"));
    let refused = "reload_refused{setting=\"tokens\"} 1";
    eventually("it is refused", async || stack.metrics().await.contains(refused)).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(send_as(&stack, &new, body("shop", 4)).await, 200);
    let (status, text) = ready_text(&stack).await;
    assert_eq!(status, 200, "a typing error takes no collector out of service: {text}");
    assert!(text.starts_with("ok\ntokens: ") && text.contains("tokens.toml line 9"), "{text}");
    let log = stack.collector.log();
    assert_eq!(log.matches("bad file").count(), 1, "{log}");
    assert!(log.contains("line=9") && log.contains("64 hexadecimal digits"), "{log}");
    // Somebody wrote the token itself into the file: it is told nowhere.
    assert!(!log.contains(&old) && !text.contains(&old));

    // Mended, and asked for at once.
    tokens.write(&format!("{replaced}{}", source("mes", "").0));
    stack.collector.hang_up();
    eventually("it is mended", async || ready_text(&stack).await.1 == "ok\n").await;
    assert!(stack.metrics().await.contains("reload_refused{setting=\"tokens\"} 0"));
    let stored = stack.query("SELECT count() FROM otel_traces FINAL").await;
    assert_eq!(stored, ["3"]);
}

#[tokio::test]
async fn an_sdk_sends_with_a_token_over_both_transports() {
    let (stanza, token) = source("shop", "services = [\"shop\"]");
    let tokens = Tokens::new(&stanza);
    let stack = tokens.stack(&[]).await;
    let header = ("authorization".to_owned(), format!("Bearer {token}"));
    let resource = || Resource::builder().with_service_name("shop").build();

    let mut metadata = tonic::metadata::MetadataMap::new();
    metadata.insert("authorization", header.1.parse().unwrap());
    let grpc = opentelemetry_otlp::SpanExporter::builder()
        .with_tonic()
        .with_endpoint(stack.grpc(""))
        .with_metadata(metadata)
        .build()
        .unwrap();
    let url = stack.http("/v1/traces");
    // A client of its own threads, as the SDK's default is.
    let http = tokio::task::spawn_blocking(move || {
        opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(url)
            .with_headers([header].into())
            .build()
            .unwrap()
    });
    let http = http.await.unwrap();
    let providers = [
        SdkTracerProvider::builder().with_batch_exporter(grpc).with_resource(resource()).build(),
        SdkTracerProvider::builder().with_batch_exporter(http).with_resource(resource()).build(),
    ];
    for provider in providers {
        provider.tracer("test").start("checkout").end();
        tokio::task::spawn_blocking(move || provider.shutdown()).await.unwrap().unwrap();
    }
    let stored = "SELECT count() FROM otel_traces WHERE ServiceName = 'shop'";
    assert_eq!(stack.query(stored).await, ["2"]);
}

#[test]
fn settings_that_let_strangers_in_are_refused() {
    let tokens = Tokens::new(&source("shop", "").0);
    let tokens = tokens.path.to_str().unwrap();
    for (args, flag, says) in [
        (&["--otlp-http", "0.0.0.0:0"][..], "--otlp-http", "--allow-unauthenticated"),
        (&["--otlp-grpc", "[::]:0"], "--otlp-grpc", "--allow-unauthenticated"),
        (
            &["--otlp-http", "0.0.0.0:0", "--tokens", tokens],
            "--otlp-http",
            "--allow-plaintext-tokens",
        ),
        (&["--service-spans-per-second", "0"], "--service-spans-per-second", "0"),
        (&["--tokens", "/nowhere/tokens.toml"], "--tokens", "cannot be read"),
        (&["--tls-cert", tokens], "--tls-cert", "--tls-key"),
        (&["--tls-cert", tokens, "--tls-key", tokens], "--tls-cert", "no certificate"),
        (&["token", "new", ""], "token new", "1 to 64 bytes"),
    ] {
        let refused = collector(args);
        let told = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(64), "{args:?}: {told}");
        assert!(told.contains(flag) && told.contains(says), "{args:?}: {told}");
    }
}

#[test]
fn each_mistake_of_a_tokens_file_is_told_with_its_line() {
    let (stanza, _) = source("shop", "burst = \"soon\"\nspans_per_second = 0");
    let tokens = Tokens::new(&format!("{stanza}[[source]]\nname = \"mes\"\n"));
    let refused = collector(&["--tokens", tokens.path.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(64));
    let told = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(told.lines().filter(|told| told.contains(" line=")).count(), 3, "{told}");
    assert!(told.contains("bad setting --tokens: 3 mistakes"), "{told}");
}

#[test]
fn what_is_allowed_by_name_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = Tokens::new(&source("shop", "").0);
    let tokens = tokens.path.to_str().unwrap();
    for flags in
        [&["--allow-unauthenticated"][..], &["--tokens", tokens, "--allow-plaintext-tokens"]]
    {
        let mut collector = start_public(folder.path(), flags);
        assert!(collector.address("otlp-grpc").starts_with("0.0.0.0:"));
        collector.terminate();
        assert_eq!(collector.exit_code(), Some(0), "{}", collector.log());
    }
}

/// A collector for other machines, over no store.
fn start_public(folder: &Path, flags: &[&str]) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_collector"));
    command
        .args(["--otlp-http", "0.0.0.0:0", "--otlp-grpc", "0.0.0.0:0", "--admin", "127.0.0.1:0"])
        .args(["--store-url", "http://127.0.0.1:1", "--journal"])
        .arg(folder.join("journal"))
        .args(flags);
    Program::start(folder, "public", &mut command)
}

#[test]
fn without_files_a_hangup_ends_the_program_as_ever() {
    let folder = tempfile::tempdir().unwrap();
    let mut collector = start_collector(folder.path(), "http://127.0.0.1:1", &[]);
    collector.hang_up();
    // By the signal, not by a code.
    assert_eq!(collector.exit_code(), None);
}
