//! `POST /api/v1/alerts/webhook`: what Alertmanager tells on-call is written down here, so that
//! the order's page can say who was called and when.
//!
//! The payload is version 4 of Alertmanager's webhook
//! (<https://prometheus.io/docs/alerting/latest/configuration/#webhook_config>). Fields that we do
//! not know are passed over. Alertmanager tries again after 5xx and never after 4xx: a store that
//! does not answer is 503.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use chrono::{DateTime, Utc};
use order_store::read::AlertRow;
use serde::Deserialize;
use subtle::ConstantTimeEq;
use utoipa::ToSchema;

use super::problem::Problem;
use crate::app::App;

/// Largest payload; a larger one is refused with 413. Alertmanager's `max_alerts` bounds it.
pub(crate) const BODY_BYTES_MAX: usize = 1 << 20;
/// The version of the payload that we read.
const VERSION: &str = "4";
/// Labels under which a rule may name the order; the first that has a value wins.
const ORDER_LABELS: [&str; 2] = ["order_id", "order"];

/// A notification of Alertmanager.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct Notification {
    /// `4`.
    version: String,
    /// The alerts of the group.
    alerts: Vec<Alert>,
}

/// One alert of a notification.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = NotifiedAlert)]
struct Alert {
    /// `firing` or `resolved`.
    status: Status,
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    starts_at: DateTime<Utc>,
    #[serde(default)]
    ends_at: Option<DateTime<Utc>>,
    fingerprint: String,
}

/// Whether an alert fires.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Status {
    /// It does.
    Firing,
    /// It has ended.
    Resolved,
}

/// Writes down what Alertmanager says; repeats change nothing.
#[utoipa::path(
    post,
    path = "/api/v1/alerts/webhook",
    operation_id = "alertsWebhook",
    request_body = Notification,
    responses(
        (status = 204, description = "Written down"),
        (status = 400, description = "Not a notification of version 4", body = Problem,
            content_type = "application/problem+json"),
        (status = 401, description = "The secret is missing or wrong", body = Problem,
            content_type = "application/problem+json"),
        (status = 413, description = "More than 1 MiB", body = Problem,
            content_type = "application/problem+json"),
        (status = 503, description = "The store does not answer; send it again", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn post(
    State(app): State<App>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<StatusCode, Problem> {
    if !authorized(app.webhook_secret(), &headers) {
        return Err(Problem::unauthorized());
    }
    let body =
        body.map_err(|rejection| Problem::bad_body(rejection.status(), rejection.body_text()))?;
    let notification = read(&body)?;
    let rows = rows(notification, Utc::now().timestamp_millis());
    if !rows.is_empty() {
        app.reads().record_alerts(&rows).await?;
        let recorded = u64::try_from(rows.len()).unwrap_or(u64::MAX);
        app.measure().alerts_recorded.inc_by(recorded);
        tracing::info!(alerts = recorded, "alerts recorded");
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Whether the caller shows the secret; compared in constant time.
fn authorized(secret: Option<&str>, headers: &HeaderMap) -> bool {
    let Some(secret) = secret else { return true };
    let shown = headers.get(AUTHORIZATION).map(axum::http::HeaderValue::as_bytes);
    let token = shown.and_then(|value| value.strip_prefix(b"Bearer "));
    token.is_some_and(|token| bool::from(token.ct_eq(secret.as_bytes())))
}

fn read(body: &[u8]) -> Result<Notification, Problem> {
    let notification: Notification = serde_json::from_slice(body)
        .map_err(|error| Problem::bad_request(format!("not a notification: {error}")))?;
    if notification.version != VERSION {
        let version = notification.version;
        let detail = format!("the payload has version {version:?}; this reads {VERSION:?}");
        return Err(Problem::bad_request(detail));
    }
    Ok(notification)
}

/// The rows: an alert that names no order is kept too, under no order.
fn rows(notification: Notification, received_at: i64) -> Vec<AlertRow> {
    let row = |alert: Alert| {
        let label = |name: &str| alert.labels.get(name).cloned().unwrap_or_default();
        let order = ORDER_LABELS.map(label).into_iter().find(|id| !id.is_empty());
        let (status, ends_at) = match (alert.status, alert.ends_at) {
            (Status::Resolved, Some(ends_at)) => ("resolved", ends_at.timestamp_millis()),
            (Status::Resolved, None) => ("resolved", received_at),
            (Status::Firing, _) => ("firing", 0),
        };
        AlertRow {
            order_id: order.unwrap_or_default(),
            alert_name: label("alertname"),
            severity: label("severity"),
            fingerprint: alert.fingerprint,
            starts_at: alert.starts_at.timestamp_millis(),
            status: status.to_owned(),
            ends_at,
            labels: alert.labels.into_iter().collect(),
            annotations: alert.annotations.into_iter().collect(),
            first_received_at: received_at,
        }
    };
    notification.alerts.into_iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    /// As Alertmanager 0.28 sends it, with fields that we do not know.
    fn payload() -> serde_json::Value {
        serde_json::json!({
            "version": "4", "groupKey": "{}:{}", "truncatedAlerts": 0, "status": "firing",
            "receiver": "waybill", "groupLabels": {}, "commonLabels": {}, "commonAnnotations": {},
            "externalURL": "http://am:9093", "somethingNew": [1],
            "alerts": [
                {"status": "firing", "fingerprint": "abc", "generatorURL": "",
                 "labels": {"alertname": "CalculationOverOneHour", "severity": "critical",
                            "order_id": "ORD-1"},
                 "annotations": {"summary": "hangs"},
                 "startsAt": "2026-01-02T03:04:05.678Z", "endsAt": "0001-01-01T00:00:00Z"},
                {"status": "resolved", "fingerprint": "def", "labels": {"order": "ORD-2"},
                 "startsAt": "2026-01-02T03:04:05Z", "endsAt": "2026-01-02T04:00:00+01:00"},
            ],
        })
    }

    #[test]
    fn a_notification_becomes_rows() {
        let body = payload().to_string();
        let rows = rows(read(body.as_bytes()).unwrap(), 7);
        let [firing, resolved] = &rows[..] else { panic!("{rows:?}") };
        assert_eq!(
            (firing.order_id.as_str(), firing.alert_name.as_str(), firing.severity.as_str()),
            ("ORD-1", "CalculationOverOneHour", "critical")
        );
        assert_eq!((firing.status.as_str(), firing.ends_at), ("firing", 0));
        assert_eq!((firing.starts_at, firing.first_received_at), (1_767_323_045_678, 7));
        assert_eq!(firing.annotations, [("summary".into(), "hangs".into())]);
        assert_eq!((resolved.order_id.as_str(), resolved.status.as_str()), ("ORD-2", "resolved"));
        assert_eq!(resolved.ends_at, 1_767_322_800_000);
    }

    #[test]
    fn what_is_no_notification_is_refused_with_its_reason() {
        let mut other = payload();
        other["version"] = "3".into();
        let mut vague = payload();
        vague["alerts"][0]["status"] = "maybe".into();
        let cases = [
            (String::new(), "EOF"),
            ("{}".into(), "missing field `version`"),
            (other.to_string(), "version \"3\""),
            (vague.to_string(), "unknown variant `maybe`"),
        ];
        for (body, expected) in cases {
            let problem = read(body.as_bytes()).unwrap_err();
            assert_eq!(problem.status, 400);
            assert!(problem.detail.contains(expected), "{}", problem.detail);
        }
    }

    #[test]
    fn the_secret_is_asked_for_when_there_is_one() {
        let headers = |value: &'static str| {
            HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static(value))])
        };
        assert!(authorized(None, &HeaderMap::new()));
        assert!(authorized(Some("s3"), &headers("Bearer s3")));
        for value in ["Bearer s4", "Bearer ", "s3", "Basic s3", "Bearer s33"] {
            assert!(!authorized(Some("s3"), &headers(value)), "{value}");
        }
        assert!(!authorized(Some("s3"), &HeaderMap::new()));
    }
}
