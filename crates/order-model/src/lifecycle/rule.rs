//! Rules that turn a span of a system nobody can change into a signal of its order.

use std::collections::BTreeMap;

/// One rule. Every condition given must hold; at least one is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Shown as evidence of the signal.
    pub name: String,
    /// `service.name`, exactly.
    pub service: Option<String>,
    /// Span name, exactly, or a prefix when it ends in `*`.
    pub span: Option<String>,
    /// Attributes of the span that must have exactly these values (as text).
    pub attributes: BTreeMap<String, String>,
    /// What the span says.
    pub signal: RuleSignal,
    /// Which moment of the span it says it of.
    pub at: SpanMoment,
}

/// What a matching span says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuleSignal {
    /// This stage begins.
    Stage(String),
    /// A price was asked for.
    PriceRequested,
}

/// A moment of a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanMoment {
    /// Its start time.
    Start,
    /// Its end time.
    End,
}

impl Rule {
    /// Whether the rule speaks of this span. `attribute` looks a key up in the span.
    pub fn matches<'a>(
        &self,
        service: &str,
        span: &str,
        attribute: impl Fn(&str) -> Option<&'a str>,
    ) -> bool {
        let named = |pattern: &String| match pattern.strip_suffix('*') {
            Some(prefix) => span.starts_with(prefix),
            None => span == pattern,
        };
        self.service.as_deref().is_none_or(|wanted| wanted == service)
            && self.span.as_ref().is_none_or(named)
            && self.attributes.iter().all(|(key, value)| attribute(key) == Some(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_condition_must_hold() {
        let rule = Rule {
            name: "r".into(),
            service: Some("mes".into()),
            span: Some("PUT /api/*".into()),
            attributes: BTreeMap::from([("http.route".into(), "/x".into())]),
            signal: RuleSignal::PriceRequested,
            at: SpanMoment::Start,
        };
        let route = |value: &'static str| move |key: &str| (key == "http.route").then_some(value);
        let cases = [
            ("mes", "PUT /api/orders", "/x", true),
            ("crm", "PUT /api/orders", "/x", false),
            ("mes", "GET /api/orders", "/x", false),
            ("mes", "PUT /api/orders", "/y", false),
        ];
        for (service, span, value, expected) in cases {
            assert_eq!(rule.matches(service, span, route(value)), expected, "{service} {span}");
        }
    }
}
