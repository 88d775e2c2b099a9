//! A rule's query, asked of the store: typed columns and rows.
//!
//! The answer comes as `JSONCompactEachRowWithNamesAndTypes`: a line of names, a line of types,
//! a line per row. Times come out as RFC 3339 in UTC.

use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, SecondsFormat, Utc};
use order_store::Store;

use crate::template::Row;

/// The format asked for.
const FORMAT: &str = "JSONCompactEachRowWithNamesAndTypes";
/// Most bytes of one answer; a larger one fails the evaluation. `alerts_max` rows of a kilobyte
/// and more fit.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// ClickHouse's codes for troubles that pass by themselves: too many queries, memory, time-outs,
/// a network fault behind the server, a table that is read-only for the moment.
const PASSING_CODES: [u32; 8] = [159, 202, 209, 210, 241, 242, 243, 319];

/// A column of a rule's query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// As ClickHouse writes it.
    pub(crate) type_name: String,
    pub(crate) kind: Kind,
    pub(crate) nullable: bool,
}

/// What a rule may do with a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Text: fit for a label.
    Text,
    /// A time in UTC.
    Time,
    /// A time in another zone, or in the server's.
    ZonedTime,
    /// Anything else: evidence.
    Other,
}

/// What a query gave.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answer {
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: Vec<Row>,
}

/// A query gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum QueryError {
    /// The store cannot be reached: no query will be answered.
    #[error("the store cannot be reached: {0}")]
    Unreachable(String),
    /// The store is overloaded, or this query took too long: try again.
    #[error("the store did not answer the query: {0}")]
    Unanswered(String),
    /// The store refuses the query: the query, the user or the schema must be changed.
    #[error("the store refuses the query: {why}")]
    Refused {
        /// ClickHouse's exception code.
        code: u32,
        /// Its text.
        why: String,
    },
    /// The answer is not what was asked for.
    #[error("the store's answer is not understood: {0}")]
    Garbled(String),
}

impl QueryError {
    /// Every word that [`QueryError::kind`] gives.
    pub(crate) const KINDS: [&'static str; 4] = ["unreachable", "unanswered", "refused", "garbled"];

    /// One word, for metrics, and to tell a new trouble from the same again.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "unreachable",
            Self::Unanswered(_) => "unanswered",
            Self::Refused { .. } => "refused",
            Self::Garbled(_) => "garbled",
        }
    }
}

/// Asks a query and reads all of the answer within `deadline`.
///
/// # Errors
/// [`QueryError`].
pub(crate) async fn ask(
    store: &Store,
    sql: &str,
    deadline: Duration,
) -> Result<Answer, QueryError> {
    let bytes = tokio::time::timeout(deadline, read(store, sql)).await.map_err(|_| {
        QueryError::Unanswered(format!("nothing within {} s", deadline.as_secs_f64()))
    })??;
    parse(&String::from_utf8_lossy(&bytes))
}

async fn read(store: &Store, sql: &str) -> Result<Vec<u8>, QueryError> {
    // `query_raw`: a question mark in a rule is no placeholder.
    let mut cursor = store.client().query_raw(sql).fetch_bytes(FORMAT).map_err(|e| told(&e))?;
    let mut bytes = Vec::new();
    while let Some(chunk) = cursor.next().await.map_err(|e| told(&e))? {
        if bytes.len() + chunk.len() > ANSWER_BYTES_MAX {
            let why = format!("more than {ANSWER_BYTES_MAX} bytes; select less evidence");
            return Err(QueryError::Garbled(why));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn told(error: &clickhouse::error::Error) -> QueryError {
    use clickhouse::error::Error;
    match error {
        Error::BadResponse(text) => match code_of(text) {
            Some(code) if !PASSING_CODES.contains(&code) => {
                QueryError::Refused { code, why: first_line(text) }
            }
            _ => QueryError::Unanswered(first_line(text)),
        },
        Error::TimedOut => QueryError::Unanswered(error.to_string()),
        Error::Network(_) | Error::Other(_) => QueryError::Unreachable(daemon::log::chain(error)),
        _ => QueryError::Garbled(daemon::log::chain(error)),
    }
}

/// The exception code of `Code: 241. DB::Exception: …`.
fn code_of(text: &str) -> Option<u32> {
    let after = text.split("Code: ").nth(1)?;
    let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

fn first_line(text: &str) -> String {
    text.trim().lines().next().unwrap_or_default().to_owned()
}

fn parse(text: &str) -> Result<Answer, QueryError> {
    let garbled = |error: serde_json::Error| QueryError::Garbled(error.to_string());
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let mut header = || -> Result<Vec<String>, QueryError> {
        let line = lines.next().ok_or_else(|| QueryError::Garbled("no columns".to_owned()))?;
        serde_json::from_str(line).map_err(garbled)
    };
    let (names, types) = (header()?, header()?);
    let columns: Vec<Column> =
        names.into_iter().zip(types).map(|(name, type_name)| column(name, type_name)).collect();
    let rows = lines
        .map(|line| {
            let values: Vec<serde_json::Value> = serde_json::from_str(line).map_err(garbled)?;
            columns.iter().zip(values).map(|(column, value)| cell(column, value)).collect()
        })
        .collect::<Result<Vec<Row>, QueryError>>()?;
    Ok(Answer { columns, rows })
}

fn column(name: String, type_name: String) -> Column {
    let (mut inner, mut nullable) = (type_name.as_str(), false);
    while let Some((wrapper, rest)) = inner.split_once('(') {
        let Some(wrapped) = rest.strip_suffix(')') else { break };
        match wrapper {
            "Nullable" => nullable = true,
            "LowCardinality" => {}
            "SimpleAggregateFunction" => {
                inner = wrapped.split_once(", ").map_or(wrapped, |(_, folded)| folded);
                continue;
            }
            _ => break,
        }
        inner = wrapped;
    }
    let kind = match inner {
        "String" | "UUID" => Kind::Text,
        text if text.starts_with("Enum") || text.starts_with("FixedString") => Kind::Text,
        time if time.starts_with("DateTime") && time.ends_with("'UTC')") => Kind::Time,
        time if time.starts_with("DateTime") => Kind::ZonedTime,
        _ => Kind::Other,
    };
    Column { name, kind, nullable, type_name }
}

fn cell(
    column: &Column,
    value: serde_json::Value,
) -> Result<(String, serde_json::Value), QueryError> {
    let value = match (&value, column.kind) {
        (serde_json::Value::String(text), Kind::Time) => {
            let time = utc(text).ok_or_else(|| {
                QueryError::Garbled(format!("column {} holds {text:?}, no time", column.name))
            })?;
            serde_json::Value::String(time.to_rfc3339_opts(SecondsFormat::Millis, true))
        }
        _ => value,
    };
    Ok((column.name.clone(), value))
}

/// `2026-11-23 04:51:37.852`, as the simple output format writes times, or the ISO one.
fn utc(text: &str) -> Option<DateTime<Utc>> {
    let bare = text.trim_end_matches('Z').replace('T', " ");
    NaiveDateTime::parse_from_str(&bare, "%Y-%m-%d %H:%M:%S%.f").ok().map(|time| time.and_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_told_apart_by_type() {
        let cases = [
            ("String", Kind::Text, false),
            ("LowCardinality(Nullable(String))", Kind::Text, true),
            ("DateTime64(3, 'UTC')", Kind::Time, false),
            ("Nullable(DateTime64(3, 'UTC'))", Kind::Time, true),
            ("DateTime('UTC')", Kind::Time, false),
            ("SimpleAggregateFunction(max, DateTime64(3, 'UTC'))", Kind::Time, false),
            ("DateTime", Kind::ZonedTime, false),
            ("DateTime64(3, 'Europe/Moscow')", Kind::ZonedTime, false),
            ("UInt32", Kind::Other, false),
            ("Array(String)", Kind::Other, false),
        ];
        for (type_name, kind, nullable) in cases {
            let column = column("c".to_owned(), type_name.to_owned());
            assert_eq!((column.kind, column.nullable), (kind, nullable), "{type_name}");
        }
    }

    #[test]
    fn an_answer_is_read_line_by_line() {
        let text = "[\"order\",\"starts_at\",\"n\"]\n\
                    [\"String\",\"DateTime64(3, 'UTC')\",\"UInt32\"]\n\
                    [\"W-1\",\"2026-11-23 04:51:37.852\",2]\n";
        let answer = parse(text).unwrap();
        assert_eq!(answer.rows.len(), 1);
        assert_eq!(answer.rows[0]["starts_at"], "2026-11-23T04:51:37.852Z");
        assert_eq!(answer.rows[0]["n"], 2);
        for broken in ["", "[\"a\"]", "[\"a\"]\n[\"String\"]\n[\"x\""] {
            assert!(matches!(parse(broken), Err(QueryError::Garbled(_))), "{broken:?}");
        }
    }

    #[test]
    fn a_refusal_is_told_from_a_passing_trouble() {
        let refused = |text: &str| {
            let error = told(&clickhouse::error::Error::BadResponse(text.to_owned()));
            matches!(error, QueryError::Refused { .. })
        };
        assert!(refused("Code: 47. DB::Exception: Unknown identifier"));
        assert!(!refused("Code: 241. DB::Exception: memory limit"));
        assert!(!refused("502 Bad Gateway"));
    }
}
