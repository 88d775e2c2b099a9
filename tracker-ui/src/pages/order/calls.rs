//! When on-call was paged for the order, and whether it is over.

use order_store::read::AlertItem;

use crate::locale::Locale;

/// One page to on-call.
#[derive(Debug)]
pub(crate) struct CallView {
    pub(crate) name: String,
    pub(crate) severity: String,
    pub(crate) text: String,
    pub(crate) summary: String,
    pub(crate) active: bool,
}

/// The calls, as the store orders them.
pub(crate) fn view(locale: Locale, alerts: &[AlertItem], as_of: i64) -> Vec<CallView> {
    alerts.iter().map(|alert| call(locale, alert, as_of)).collect()
}

fn call(locale: Locale, alert: &AlertItem, as_of: i64) -> CallView {
    let time = locale.near(alert.paged_at.unwrap_or(alert.starts_at), as_of);
    let resolved = alert.resolved_at.map(|at| locale.near(at, as_of));
    let key = match (alert.paged_at, &resolved) {
        (Some(_), None) => "order.paged_active",
        (Some(_), Some(_)) => "order.paged_resolved",
        (None, None) => "order.firing_active",
        (None, Some(_)) => "order.firing_resolved",
    };
    let until = resolved.as_deref().unwrap_or_default();
    // A rule may say its summary in the reader's language: `summary_ru`.
    let local = format!("summary_{}", locale.language.code());
    let annotation = |name: &str| alert.annotations.iter().find(|(n, _)| n == name);
    let summary = annotation(&local).or_else(|| annotation("summary"));
    CallView {
        name: alert.alert_name.clone(),
        severity: alert.severity.clone(),
        text: locale.fill(key, &[("time", &time), ("resolved", until)]),
        summary: summary.map_or(String::new(), |(_, text)| text.clone()),
        active: alert.resolved_at.is_none(),
    }
}
