//! A relay before the collector: it passes OTLP on, over HTTP and gRPC, and remembers it.
//!
//! What it remembers can be sent again, in any order, as often as a test likes.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{
    LogsService, LogsServiceServer,
};
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message;
use reqwest::Client;
use tokio::net::TcpListener;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use crate::address::ANY;
use crate::otlp::{self, PROTOBUF};

/// Everything that the collector acknowledged.
#[derive(Debug, Clone, Default)]
pub struct Recording {
    /// Requests with spans.
    pub traces: Vec<ExportTraceServiceRequest>,
    /// Requests with log records.
    pub logs: Vec<ExportLogsServiceRequest>,
}

/// The relay; it serves until the runtime ends.
#[derive(Debug, Clone)]
pub struct Relay {
    recording: Arc<Mutex<Recording>>,
    client: Client,
    collector_http: String,
    collector_grpc: String,
    http: String,
    grpc: String,
}

impl Relay {
    /// Starts a relay before that collector, on free ports.
    ///
    /// # Errors
    /// No port can be bound.
    pub async fn start(
        client: Client,
        collector_http: String,
        collector_grpc: String,
    ) -> Result<Self> {
        let http = TcpListener::bind(ANY).await.context("binding the relay")?;
        let grpc = TcpListener::bind(ANY).await.context("binding the relay")?;
        let relay = Self {
            recording: Arc::default(),
            client,
            collector_http,
            collector_grpc,
            http: format!("http://{}", http.local_addr()?),
            grpc: format!("http://{}", grpc.local_addr()?),
        };
        let router = axum::Router::new()
            .route("/v1/traces", post(traces))
            .route("/v1/logs", post(logs))
            .with_state(relay.clone());
        tokio::spawn(async move { axum::serve(http, router).await });
        let server = tonic::transport::Server::builder()
            .add_service(TraceServiceServer::new(relay.clone()))
            .add_service(LogsServiceServer::new(relay.clone()));
        tokio::spawn(server.serve_with_incoming(TcpIncoming::from(grpc)));
        Ok(relay)
    }

    /// The root URL of its OTLP/HTTP.
    #[must_use]
    pub fn http(&self) -> &str {
        &self.http
    }

    /// The root URL of its OTLP/gRPC.
    #[must_use]
    pub fn grpc(&self) -> &str {
        &self.grpc
    }

    /// What it remembers.
    #[must_use]
    pub fn recording(&self) -> Recording {
        self.recording.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn remember(&self, remember: impl FnOnce(&mut Recording)) {
        remember(&mut self.recording.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Passes a body on; `Ok` when the collector took it.
    async fn pass_on(&self, signal: &str, body: Bytes) -> (StatusCode, Bytes) {
        let sent = otlp::post(&self.client, &self.collector_http, signal, PROTOBUF, body).await;
        let Ok(answer) = sent else { return (StatusCode::BAD_GATEWAY, Bytes::new()) };
        (answer.status(), answer.bytes().await.unwrap_or_default())
    }
}

async fn traces(State(relay): State<Relay>, body: Bytes) -> (StatusCode, Bytes) {
    let Ok(request) = ExportTraceServiceRequest::decode(body.clone()) else {
        return (StatusCode::BAD_REQUEST, Bytes::new());
    };
    let answer = relay.pass_on("traces", body).await;
    if answer.0.is_success() {
        relay.remember(|recording| recording.traces.push(request));
    }
    answer
}

async fn logs(State(relay): State<Relay>, body: Bytes) -> (StatusCode, Bytes) {
    let Ok(request) = ExportLogsServiceRequest::decode(body.clone()) else {
        return (StatusCode::BAD_REQUEST, Bytes::new());
    };
    let answer = relay.pass_on("logs", body).await;
    if answer.0.is_success() {
        relay.remember(|recording| recording.logs.push(request));
    }
    answer
}

fn unreachable(error: &tonic::transport::Error) -> Status {
    Status::unavailable(error.to_string())
}

#[tonic::async_trait]
impl TraceService for Relay {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let request = request.into_inner();
        let client = TraceServiceClient::connect(self.collector_grpc.clone()).await;
        let answer = client.map_err(|error| unreachable(&error))?.export(request.clone()).await?;
        self.remember(|recording| recording.traces.push(request));
        Ok(answer)
    }
}

#[tonic::async_trait]
impl LogsService for Relay {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        let request = request.into_inner();
        let client = LogsServiceClient::connect(self.collector_grpc.clone()).await;
        let answer = client.map_err(|error| unreachable(&error))?.export(request.clone()).await?;
        self.remember(|recording| recording.logs.push(request));
        Ok(answer)
    }
}
