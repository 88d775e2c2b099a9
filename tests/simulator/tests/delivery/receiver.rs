//! A small OTLP receiver: keeps every span and log record it is sent, over HTTP and gRPC.

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{
    LogsService, LogsServiceServer,
};
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

/// A span as it arrived: when, and from which service.
#[derive(Clone, Debug)]
pub(crate) struct Arrived<T> {
    pub(crate) service: String,
    /// The how manieth request it came in.
    pub(crate) request: usize,
    pub(crate) item: T,
}

/// Everything that arrived.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    pub(crate) requests: usize,
    pub(crate) spans: Vec<Arrived<Span>>,
    pub(crate) logs: Vec<Arrived<LogRecord>>,
    pub(crate) resources: Vec<Resource>,
}

/// How the receiver answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Success,
    /// 503 and UNAVAILABLE.
    Unavailable,
    /// A success that refuses one item.
    Partial,
}

#[derive(Clone, Debug)]
pub(crate) struct Receiver {
    kept: Arc<Mutex<Kept>>,
    arrived: Arc<Notify>,
    answer: Answer,
}

/// The addresses to send to.
pub(crate) struct Endpoints {
    pub(crate) http: String,
    pub(crate) grpc: String,
}

impl Receiver {
    pub(crate) fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().expect("no panic while holding it")
    }

    /// Waits until something arrived since the last wait.
    pub(crate) async fn more(&self) {
        self.arrived.notified().await;
    }

    /// Listens on free ports of the loopback until the test's runtime ends.
    pub(crate) async fn start(answer: Answer) -> (Self, Endpoints) {
        let receiver = Self { kept: Arc::default(), arrived: Arc::default(), answer };
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let http = TcpListener::bind(loopback).await.expect("a free port");
        let grpc = TcpListener::bind(loopback).await.expect("a free port");
        let endpoints = Endpoints {
            http: format!("http://{}", http.local_addr().expect("bound")),
            grpc: format!("http://{}", grpc.local_addr().expect("bound")),
        };
        let router = axum::Router::new()
            .route("/v1/traces", post(http_traces))
            .route("/v1/logs", post(http_logs))
            .with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(http, router).await });
        let server = tonic::transport::Server::builder()
            .add_service(TraceServiceServer::new(receiver.clone()))
            .add_service(LogsServiceServer::new(receiver.clone()));
        tokio::spawn(server.serve_with_incoming(TcpIncoming::from(grpc)));
        (receiver, endpoints)
    }

    fn keep_traces(&self, request: ExportTraceServiceRequest) -> ExportTraceServiceResponse {
        let mut kept = self.kept();
        kept.requests += 1;
        self.arrived.notify_one();
        let number = kept.requests;
        for group in request.resource_spans {
            let resource = group.resource.unwrap_or_default();
            let service = text(&resource.attributes, "service.name").unwrap_or_default();
            kept.resources.push(resource);
            for item in group.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                kept.spans.push(Arrived { service: service.clone(), request: number, item });
            }
        }
        let partial = ExportTracePartialSuccess { rejected_spans: 1, error_message: String::new() };
        ExportTraceServiceResponse {
            partial_success: (self.answer == Answer::Partial).then_some(partial),
        }
    }

    fn keep_logs(&self, request: ExportLogsServiceRequest) -> ExportLogsServiceResponse {
        let mut kept = self.kept();
        kept.requests += 1;
        self.arrived.notify_one();
        let number = kept.requests;
        for group in request.resource_logs {
            let resource = group.resource.unwrap_or_default();
            let service = text(&resource.attributes, "service.name").unwrap_or_default();
            for item in group.scope_logs.into_iter().flat_map(|scope| scope.log_records) {
                kept.logs.push(Arrived { service: service.clone(), request: number, item });
            }
        }
        let partial =
            ExportLogsPartialSuccess { rejected_log_records: 1, error_message: String::new() };
        ExportLogsServiceResponse {
            partial_success: (self.answer == Answer::Partial).then_some(partial),
        }
    }
}

async fn http_traces(State(receiver): State<Receiver>, body: Bytes) -> Result<Vec<u8>, StatusCode> {
    if receiver.answer == Answer::Unavailable {
        return Err(StatusCode::SERVICE_UNAVAILABLE);
    }
    let request = ExportTraceServiceRequest::decode(body).map_err(|_| StatusCode::BAD_REQUEST)?;
    Ok(receiver.keep_traces(request).encode_to_vec())
}

async fn http_logs(State(receiver): State<Receiver>, body: Bytes) -> Result<Vec<u8>, StatusCode> {
    if receiver.answer == Answer::Unavailable {
        return Err(StatusCode::SERVICE_UNAVAILABLE);
    }
    let request = ExportLogsServiceRequest::decode(body).map_err(|_| StatusCode::BAD_REQUEST)?;
    Ok(receiver.keep_logs(request).encode_to_vec())
}

#[tonic::async_trait]
impl TraceService for Receiver {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        if self.answer == Answer::Unavailable {
            return Err(Status::unavailable("the store is away"));
        }
        Ok(Response::new(self.keep_traces(request.into_inner())))
    }
}

#[tonic::async_trait]
impl LogsService for Receiver {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        if self.answer == Answer::Unavailable {
            return Err(Status::unavailable("the store is away"));
        }
        Ok(Response::new(self.keep_logs(request.into_inner())))
    }
}

/// The text under that key.
pub(crate) fn text(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    match &found.value {
        Some(AnyValue { value: Some(Value::StringValue(text)) }) => Some(text.clone()),
        _ => None,
    }
}
