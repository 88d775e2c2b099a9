//! The way of rows to their shards: a proxy before the engine that turns an insert into a table of
//! two shards into one into the table's entrance. `Merge` can be read and not written, and the
//! embedded engine serves no `Distributed`.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::response::Response;
use reqwest::{Client, Url};

/// What follows the name of a table in that of its entrance.
pub(crate) const ENTRANCE: &str = "_in";
/// Far more than any insert of these tests.
const BODY_BYTES_MAX: usize = 64 << 20;
/// The one insert whose statement is in the body: it brings no rows of its own.
const COUNTED: &str = "INSERT INTO settled_counts";

#[derive(Debug)]
struct Proxy {
    engine: String,
    client: Client,
    /// Tables with an entrance.
    tables: Vec<String>,
}

/// Starts a proxy before the engine of that URL; it runs as long as the test. Gives its URL.
pub(crate) async fn start(engine: String, tables: Vec<String>) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let proxy = Arc::new(Proxy { engine, client: Client::new(), tables });
    let router =
        Router::new().fallback(pass_on).layer(DefaultBodyLimit::disable()).with_state(proxy);
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

async fn pass_on(State(proxy): State<Arc<Proxy>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
    let mut url = Url::parse(&format!("{}{target}", proxy.engine)).unwrap();
    let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    url.query_pairs_mut().clear().extend_pairs(pairs.iter().map(|(name, value)| {
        let value = if name == "query" { proxy.rerouted(value) } else { value.clone() };
        (name.clone(), value)
    }));
    let body = axum::body::to_bytes(body, BODY_BYTES_MAX).await.unwrap();
    let mut asked = proxy.client.request(head.method, url);
    for (name, value) in &head.headers {
        if !["host", "content-length", "connection", "transfer-encoding"].contains(&name.as_str()) {
            asked = asked.header(name, value);
        }
    }
    let answer = asked.body(counted_through_the_entrance(body)).send().await.unwrap();
    let mut response = Response::builder().status(answer.status());
    for (name, value) in answer.headers() {
        if !["connection", "transfer-encoding"].contains(&name.as_str()) {
            response = response.header(name, value);
        }
    }
    response.body(Body::from(answer.bytes().await.unwrap())).unwrap()
}

impl Proxy {
    fn rerouted(&self, statement: &str) -> String {
        let name = statement.strip_prefix("INSERT INTO ").map(|rest| rest.trim_start_matches('`'));
        let name = name.and_then(|rest| rest.split([' ', '`', '(']).next()).unwrap_or_default();
        if self.tables.iter().any(|table| table == name) {
            statement.replacen(name, &format!("{name}{ENTRANCE}"), 1)
        } else {
            statement.to_owned()
        }
    }
}

fn counted_through_the_entrance(body: Bytes) -> Bytes {
    let Some(at) = body.windows(COUNTED.len()).position(|part| part == COUNTED.as_bytes()) else {
        return body;
    };
    let (before, after) = body.split_at(at + COUNTED.len());
    [before, ENTRANCE.as_bytes(), after].concat().into()
}
