//! What a request asks, from its URL, headers and form: checked, but for its text.

use std::collections::BTreeMap;
use std::time::Duration;

use http::HeaderMap;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING};

use crate::auth::{Role, User};
use crate::coding::Coding;
use crate::engine::catalogue::Catalogue;
use crate::exception::{Code, Exception};
use crate::session::{Ask, TIMEOUT_DEFAULT};
use crate::statement::guard;

/// Parameters of the HTTP interface that are no settings of the engine.
const OURS: [&str; 14] = [
    "query",
    "database",
    "default_format",
    "query_id",
    "session_id",
    "session_timeout",
    "session_check",
    "user",
    "password",
    "quota_key",
    "compress",
    "decompress",
    "buffer_size",
    "wait_end_of_query",
];
/// Parameters that the server knows and that mean nothing here.
const IGNORED: [&str; 2] = ["stacktrace", "client_protocol_version"];

/// A request, its text and data still to be read.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// Who asks.
    pub(crate) user: User,
    /// The id by which the query is known and cancelled.
    pub(crate) query_id: String,
    /// The text in the URL or the form; more may stand in the body.
    pub(crate) text: String,
    /// `database`, or `X-ClickHouse-Database`.
    pub(crate) database: Option<String>,
    /// `default_format`, or `X-ClickHouse-Format`.
    pub(crate) format: Option<String>,
    /// Settings of the engine, each known to it.
    pub(crate) settings: Vec<(String, String)>,
    /// Server-side parameters, `param_` taken off, escaped as they came.
    pub(crate) parameters: Vec<(String, String)>,
    /// The session, if one is asked for.
    pub(crate) session: Option<Ask>,
    /// `wait_end_of_query=1`.
    pub(crate) waits_for_end: bool,
    /// How the body is coded over HTTP.
    pub(crate) body_coding: Coding,
    /// `decompress=1`: the body is ClickHouse's blocks.
    pub(crate) body_is_blocks: bool,
    /// How the answer is to be coded.
    pub(crate) answer_coding: Coding,
    /// Whether the request may only read: GET, HEAD, or `readonly` set.
    pub(crate) only_reads: bool,
}

impl Request {
    /// Reads the parameters of an authenticated request.
    ///
    /// # Errors
    /// 115 for an unknown setting, 164 for one the reader may not set, 36 for a bad value, 511
    /// for a role, 48 for a coding that is not served.
    pub(crate) fn new(
        user: User,
        headers: &HeaderMap,
        parameters: Vec<(String, String)>,
        only_reads: bool,
        catalogue: &Catalogue,
    ) -> Result<Self, Exception> {
        let mut ours = BTreeMap::new();
        let mut bound = Vec::new();
        let mut settings = BTreeMap::new();
        for (name, value) in parameters {
            if let Some(parameter) = name.strip_prefix("param_") {
                bound.push((parameter.to_owned(), value));
            } else if name == "role" {
                let message = format!("There is no role `{value}`: this server has no roles");
                return Err(Exception::new(Code::UnknownRole, message));
            } else if OURS.contains(&name.as_str()) {
                ours.insert(name, value);
            } else if !IGNORED.contains(&name.as_str()) {
                catalogue.check_setting(&name)?;
                settings.insert(name, value);
            }
        }
        guard::check_settings(&settings)?;
        if user.role == Role::Reader {
            guard::check_reader_settings(&settings)?;
        }
        let header =
            |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let is = |name: &str| ours.get(name).is_some_and(|value| value == "1" || value == "true");
        let given = |name: &str| ours.get(name).filter(|value| !value.is_empty()).cloned();
        let answer_coding = if is("compress") {
            Coding::Block
        } else if wants_http_compression(&settings, catalogue) {
            Coding::of_answer(header(ACCEPT_ENCODING.as_str()).as_deref())
        } else {
            Coding::Identity
        };
        Ok(Self {
            session: session(&ours)?,
            query_id: given("query_id").unwrap_or_else(|| uuid::Uuid::new_v4().to_string()),
            database: given("database").or_else(|| header("x-clickhouse-database")),
            format: checked_format(
                header("x-clickhouse-format").or_else(|| given("default_format")),
            )?,
            waits_for_end: is("wait_end_of_query"),
            body_coding: Coding::of_request(header(CONTENT_ENCODING.as_str()).as_deref())?,
            body_is_blocks: is("decompress"),
            answer_coding,
            text: ours.remove("query").unwrap_or_default(),
            settings: settings.into_iter().collect(),
            parameters: bound,
            only_reads,
            user,
        })
    }
}

fn wants_http_compression(settings: &BTreeMap<String, String>, catalogue: &Catalogue) -> bool {
    let name = "enable_http_compression";
    let value = settings.get(name).map(String::as_str).or_else(|| catalogue.default_of(name));
    matches!(value, Some("1" | "true"))
}

fn checked_format(format: Option<String>) -> Result<Option<String>, Exception> {
    match &format {
        Some(name) if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') => {
            Err(Exception::new(Code::UnknownFormat, format!("Unknown format {name}")))
        }
        _ => Ok(format),
    }
}

fn session(ours: &BTreeMap<String, String>) -> Result<Option<Ask>, Exception> {
    let Some(id) = ours.get("session_id").filter(|id| !id.is_empty()) else { return Ok(None) };
    let timeout = match ours.get("session_timeout").map(|text| (text, text.parse())) {
        None => TIMEOUT_DEFAULT,
        Some((_, Ok(seconds))) => Duration::from_secs(seconds),
        Some((text, Err(_))) => {
            let message = format!("Invalid session timeout: '{text}'");
            return Err(Exception::new(Code::InvalidSessionTimeout, message));
        }
    };
    let must_exist = ours.get("session_check").is_some_and(|value| value == "1");
    Ok(Some(Ask { id: id.clone(), timeout, must_exist }))
}
