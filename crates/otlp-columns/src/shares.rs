//! What a decoded request carries of each service, and leaving some of it out: for those who
//! decide who may send what, before rows are made of it.

use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::resource::v1::Resource;

use crate::decode::{Decoded, Request};
use crate::mapper::Mapper;

/// What one resource of a request carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// The service that its rows will name; empty when it says none.
    pub service: String,
    /// Spans, log records or data points.
    pub items: u64,
}

impl Decoded {
    /// Spans, log records or data points in all.
    #[must_use]
    pub fn items(&self) -> u64 {
        let items: usize = match &self.request {
            Request::Traces(request) => {
                let scopes = request.resource_spans.iter().flat_map(|group| &group.scope_spans);
                scopes.map(|scope| scope.spans.len()).sum()
            }
            Request::Logs(request) => {
                let scopes = request.resource_logs.iter().flat_map(|group| &group.scope_logs);
                scopes.map(|scope| scope.log_records.len()).sum()
            }
            Request::Metrics(request) => {
                let scopes = request.resource_metrics.iter().flat_map(|group| &group.scope_metrics);
                scopes.flat_map(|scope| &scope.metrics).map(points).sum()
            }
        };
        items as u64
    }

    /// Leaves out the resources for which `keep` says no, given their index in [`Mapper::shares`].
    pub fn retain(&mut self, mut keep: impl FnMut(usize) -> bool) {
        let mut index = 0;
        let mut keep_next = || {
            index += 1;
            keep(index - 1)
        };
        match &mut self.request {
            Request::Traces(request) => request.resource_spans.retain(|_| keep_next()),
            Request::Logs(request) => request.resource_logs.retain(|_| keep_next()),
            Request::Metrics(request) => request.resource_metrics.retain(|_| keep_next()),
        }
    }
}

impl Mapper {
    /// What each resource of a request carries, in the order of the request. A service is read as
    /// it is when rows are made, so that what was decided by it holds for the rows.
    #[must_use]
    pub fn shares(&self, decoded: &Decoded) -> Vec<Share> {
        let share = |resource: Option<&Resource>, items: usize| {
            let attributes = resource.map_or(&[][..], |resource| &resource.attributes);
            Share { service: self.service_of(attributes), items: items as u64 }
        };
        match &decoded.request {
            Request::Traces(request) => {
                let groups = request.resource_spans.iter();
                let items = groups.map(|group| {
                    let items = group.scope_spans.iter().map(|scope| scope.spans.len()).sum();
                    share(group.resource.as_ref(), items)
                });
                items.collect()
            }
            Request::Logs(request) => {
                let groups = request.resource_logs.iter();
                let items = groups.map(|group| {
                    let items = group.scope_logs.iter().map(|scope| scope.log_records.len()).sum();
                    share(group.resource.as_ref(), items)
                });
                items.collect()
            }
            Request::Metrics(request) => {
                let groups = request.resource_metrics.iter();
                let items = groups.map(|group| {
                    let metrics = group.scope_metrics.iter().flat_map(|scope| &scope.metrics);
                    share(group.resource.as_ref(), metrics.map(points).sum())
                });
                items.collect()
            }
        }
    }
}

/// Data points of a metric; one that has none counts as one, since it is refused by name.
fn points(metric: &Metric) -> usize {
    match &metric.data {
        Some(Data::Gauge(gauge)) => gauge.data_points.len(),
        Some(Data::Sum(sum)) => sum.data_points.len(),
        Some(Data::Histogram(histogram)) => histogram.data_points.len(),
        Some(Data::ExponentialHistogram(histogram)) => histogram.data_points.len(),
        Some(Data::Summary(summary)) => summary.data_points.len(),
        None => 1,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use order_model::Lifecycle;
    use serde_json::{Value, json};

    use super::*;
    use crate::{Encoding, Limits, Redaction, Signal};

    fn group(attributes: &Value, spans: usize) -> Value {
        let span = json!({
            "traceId": "0102030405060708090a0b0c0d0e0f10", "spanId": "0102030405060708",
            "name": "s", "startTimeUnixNano": "1", "endTimeUnixNano": "2",
        });
        json!({
            "resource": { "attributes": attributes },
            "scopeSpans": [{ "spans": vec![span; spans] }],
        })
    }

    fn named(key: &str, value: &Value) -> Value {
        json!({ "key": key, "value": value })
    }

    /// The service that is decided by is the service that the rows name, however it is written.
    #[test]
    fn a_share_names_the_service_of_its_rows() {
        let text = |service: &str| named("service.name", &json!({ "stringValue": service }));
        let attribute_sets = [
            json!([text("shop")]),
            json!([text(""), text("crm")]),
            json!([text("shop"), text("crm")]),
            json!([text("  "), text(" crm ")]),
            json!([named("service.name", &json!({})), text("crm")]),
            json!([named("service.name", &json!({ "intValue": "7" }))]),
            json!([named("service.name", &json!({ "arrayValue": { "values": [] } })), text("mes")]),
            json!([text(&"long ".repeat(20_000))]),
            json!([]),
        ];
        let mapper =
            Mapper::new(Arc::new(Lifecycle::default()), Redaction::default(), Limits::default());
        for attributes in attribute_sets {
            let body = json!({ "resourceSpans": [group(&attributes, 1)] }).to_string();
            let body = Bytes::from(body);
            let decoded = Signal::Traces.decode(Encoding::Json, &body, mapper.limits()).unwrap();
            let shares = mapper.shares(&decoded);
            let mapped = mapper.map(decoded, 1);
            assert_eq!(shares.len(), 1);
            assert_eq!(shares[0].service, mapped.batch.spans[0].service_name, "{attributes}");
        }
    }

    #[test]
    fn what_is_left_out_makes_no_rows() {
        let service = |name: &str| json!([named("service.name", &json!({ "stringValue": name }))]);
        let groups = [group(&service("shop"), 2), group(&service("crm"), 3)];
        let body = Bytes::from(json!({ "resourceSpans": groups }).to_string());
        let mapper =
            Mapper::new(Arc::new(Lifecycle::default()), Redaction::default(), Limits::default());
        let mut decoded = Signal::Traces.decode(Encoding::Json, &body, mapper.limits()).unwrap();
        assert_eq!(decoded.items(), 5);
        let shares = mapper.shares(&decoded);
        assert_eq!(shares.iter().map(|share| share.items).collect::<Vec<_>>(), [2, 3]);
        decoded.retain(|index| shares[index].service != "crm");
        assert_eq!(decoded.items(), 2);
        let mut mapped = mapper.map(decoded, 1);
        assert!(mapped.batch.spans.iter().all(|row| row.service_name == "shop"));
        mapped.rejected.forbid("crm", 3);
        mapped.rejected.forbid("crm", 1);
        mapped.rejected.forbid("", 1);
        assert_eq!(mapped.rejected.total(), 5);
        assert_eq!(
            mapped.rejected.message("spans"),
            "rejected spans: 5; this sender may not send these services (first: `crm`, \
             `(no service.name)`)"
        );
    }
}
