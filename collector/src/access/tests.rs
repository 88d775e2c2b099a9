//! Who is let in, what is charged, and what is given back.

use std::sync::Arc;

use bytes::Bytes;
use daemon::Metrics;
use order_model::Lifecycle;
use otlp_columns::{Encoding, Limits, Redaction, Signal};
use serde_json::json;

use super::*;
use crate::access::token::TokenHash;

/// Longest body; what is announced beyond it is not charged for.
const BODY_BYTES_MAX: usize = 1_000;

fn access(asks: bool, service_rate: Option<Rate>) -> Access {
    Access::new(asks, service_rate, AccessMetrics::new(&Metrics::new("collector", "0")))
}

/// So much per hour, so that nothing comes back during a test.
fn per_hour(count: u32) -> Rate {
    Rate { per_second: f64::from(count) / 3_600.0, burst: Duration::from_secs(3_600) }
}

fn source(name: &str, token: &str) -> Source {
    let tokens = vec![TokenHash::of(token.as_bytes())];
    let (client_certs, services) = (Vec::new(), None);
    Source { name: name.to_owned(), tokens, client_certs, services, spans: None, bytes: None }
}

fn head(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(*name, value.parse().unwrap());
    }
    headers
}

fn admit(access: &Access, pairs: &[(&'static str, &str)]) -> Result<Grant, Denied> {
    access.admit(&head(pairs), None, BODY_BYTES_MAX)
}

/// How a request with one span of each of these services is decided.
fn decide(grant: &Grant, services: &[&str]) -> Result<Vec<Share>, &'static str> {
    let span = json!({ "traceId": "01".repeat(16), "spanId": "01".repeat(8), "name": "s" });
    let groups: Vec<_> = services
        .iter()
        .map(|service| {
            let name = json!({ "key": "service.name", "value": { "stringValue": service } });
            json!({
                "resource": { "attributes": [name] },
                "scopeSpans": [{ "spans": [span] }],
            })
        })
        .collect();
    let body = Bytes::from(json!({ "resourceSpans": groups }).to_string());
    let mapper =
        Mapper::new(Arc::new(Lifecycle::default()), Redaction::default(), Limits::default());
    let mut decoded = Signal::Traces.decode(Encoding::Json, &body, mapper.limits()).unwrap();
    grant.decide(&mapper, &mut decoded).map_err(|denied| denied.label())
}

#[test]
fn two_tokens_at_once_are_none() {
    let access = access(true, None);
    assert!(admit(&access, &[("authorization", "Bearer t")]).is_err(), "nobody is in force yet");
    access.replace(Sources::new(vec![source("shop", "t")]));
    let grant = admit(&access, &[("authorization", "Bearer t")]).unwrap();
    assert_eq!(grant.source(), Some("shop"));
    let twice = [("authorization", "Bearer t"), ("authorization", "Bearer t")];
    assert!(matches!(admit(&access, &twice), Err(Denied::Unauthenticated(_))));
}

#[test]
fn what_is_refused_for_a_service_is_not_charged_to_its_source() {
    let access = access(true, Some(per_hour(2)));
    let shop = Source { spans: Some(per_hour(4)), ..source("shop", "t") };
    access.replace(Sources::new(vec![shop]));
    let grant = admit(&access, &[("authorization", "Bearer t")]).unwrap();
    assert_eq!(decide(&grant, &["a", "a"]), Ok(vec![]));
    for _ in 0..5 {
        assert_eq!(decide(&grant, &["a", "b"]), Err("rate_limited"));
    }
    // Two are left to the source, and both to the other service.
    assert_eq!(decide(&grant, &["b", "b"]), Ok(vec![]));
    assert_eq!(decide(&grant, &["c"]), Err("rate_limited"));
}

#[test]
fn what_a_source_has_used_outlives_a_reload() {
    let access = access(true, None);
    let shop = Source { spans: Some(per_hour(1)), ..source("shop", "t") };
    access.replace(Sources::new(vec![shop.clone()]));
    let shown = [("authorization", "Bearer t")];
    assert_eq!(decide(&admit(&access, &shown).unwrap(), &["a", "a"]), Ok(vec![]));
    assert!(matches!(admit(&access, &shown), Err(Denied::OverRate { .. })));
    access.replace(Sources::new(vec![shop.clone(), source("mes", "u")]));
    assert!(matches!(admit(&access, &shown), Err(Denied::OverRate { .. })));
    assert!(admit(&access, &[("authorization", "Bearer u")]).is_ok());
    // A higher rate counts at once.
    access.replace(Sources::new(vec![Source { spans: Some(per_hour(9)), ..shop }]));
    assert!(admit(&access, &shown).is_ok());
}

#[test]
fn bytes_are_charged_for_once() {
    let access = access(true, None);
    let shop = Source { bytes: Some(per_hour(1_000)), ..source("shop", "t") };
    access.replace(Sources::new(vec![shop]));
    let announce = |length| [("authorization", "Bearer t"), ("content-length", length)];
    // Far more than a body may be: it will be refused, and is no reason to shut its source out.
    assert!(admit(&access, &announce("9999999999")).is_ok());
    let grant = admit(&access, &announce("600")).unwrap();
    grant.bytes_arrived(600);
    // Not announced: charged for when it is here.
    let grant = admit(&access, &announce("300")[..1]).unwrap();
    grant.bytes_arrived(300);
    let grant = admit(&access, &announce("300")[..1]).unwrap();
    grant.bytes_arrived(100);
    assert!(matches!(admit(&access, &announce("1")), Err(Denied::OverRate { .. })));
}
