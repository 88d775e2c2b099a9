//! When on-call was paged for the order, or others warned, and whether it is over.

use order_store::read::{AlertItem, SEVERITY_OF_PAGES};

use crate::locale::Locale;

/// One page to on-call, or one warning.
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
    let is_page = alert.severity == SEVERITY_OF_PAGES;
    let key = match (alert.paged_at, &resolved) {
        (Some(_), None) if !is_page => "order.warned_active",
        (Some(_), Some(_)) if !is_page => "order.warned_resolved",
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

#[cfg(test)]
mod tests {
    use chrono_tz::UTC;

    use super::*;
    use crate::language::Language;

    #[test]
    fn a_warning_called_nobody_and_a_page_did() {
        let alert = |severity: &str, paged_at, resolved_at| AlertItem {
            order_id: "W-1".to_owned(),
            alert_name: "OrderStuck".to_owned(),
            severity: severity.to_owned(),
            starts_at: 0,
            paged_at,
            resolved_at,
            annotations: Vec::new(),
        };
        let locale = Locale::new(Language::En, UTC);
        for (alert, begins, ends) in [
            (alert("critical", Some(0), None), "Paged at ", "still active"),
            (alert("critical", Some(0), Some(60_000)), "Paged at ", "resolved at"),
            (alert("warning", Some(0), None), "Warned of at ", "still active"),
            (alert("warning", Some(0), Some(60_000)), "Warned of at ", "resolved at"),
        ] {
            let text = call(locale, &alert, 3_600_000).text;
            assert!(text.starts_with(begins) && text.contains(ends), "{}: {text}", alert.severity);
        }
    }
}
