//! Every span of an order, grouped by trace, in the order of time, with a bar for each.

use std::collections::{BTreeMap, HashMap};

use order_store::read::{SpanItem, Through};

use crate::locale::{Locale, Moment};

/// Bars are drawn on a line of this many units.
pub(crate) const BAR_UNITS: u64 = 1000;
/// The shortest bar that can be seen.
const BAR_UNITS_MIN: u64 = 4;
/// Deepest indent; deeper spans (and circles of parents) stay there.
const DEPTH_MAX: usize = 8;
/// With at most this many spans every trace is unfolded.
const UNFOLDED_SPANS_MAX: usize = 60;

/// One trace.
#[derive(Debug)]
pub(crate) struct TraceView {
    pub(crate) id: String,
    pub(crate) linked: bool,
    pub(crate) start: Moment,
    pub(crate) length: String,
    pub(crate) services: String,
    pub(crate) count: String,
    pub(crate) errors: Option<String>,
    pub(crate) unfolded: bool,
    pub(crate) spans: Vec<SpanView>,
}

/// One span.
#[derive(Debug)]
pub(crate) struct SpanView {
    pub(crate) service: String,
    pub(crate) name: String,
    pub(crate) depth: usize,
    pub(crate) clock: String,
    pub(crate) length: String,
    pub(crate) error: bool,
    pub(crate) message: String,
    /// Where the bar begins and how long it is, of [`BAR_UNITS`].
    pub(crate) bar: (u64, u64),
}

/// The traces in the order of their first span.
pub(crate) fn traces(locale: Locale, spans: &[SpanItem]) -> Vec<TraceView> {
    let mut by_trace: BTreeMap<&str, Vec<&SpanItem>> = BTreeMap::new();
    for span in spans {
        by_trace.entry(&span.trace_id).or_default().push(span);
    }
    let mut groups: Vec<Vec<&SpanItem>> = by_trace.into_values().collect();
    for group in &mut groups {
        // A parent comes before its children also when both start at once.
        let depths = depths(group);
        group.sort_by_key(|span| (span.start, depths.get(span.span_id.as_str()).copied()));
    }
    groups.sort_by_key(|group| group.first().map(|span| (span.start, span.trace_id.clone())));
    let unfolded = spans.len() <= UNFOLDED_SPANS_MAX;
    groups.iter().filter_map(|group| trace(locale, group, unfolded)).collect()
}

fn trace(locale: Locale, spans: &[&SpanItem], unfolded: bool) -> Option<TraceView> {
    let first = spans.first()?;
    let from = spans.iter().map(|span| span.start).min()?;
    let to = spans.iter().map(|span| end(span)).max()?;
    let total = to.saturating_sub(from).unsigned_abs();
    let depths = depths(spans);
    let errors = spans.iter().filter(|span| span.status_code == "Error").count();
    let mut services: Vec<&str> = Vec::new();
    for span in spans {
        if !services.contains(&span.service.as_str()) {
            services.push(&span.service);
        }
    }
    let number = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    let row = |span: &&SpanItem| SpanView {
        service: span.service.clone(),
        name: span.name.clone(),
        depth: depths.get(span.span_id.as_str()).copied().unwrap_or(0),
        clock: locale.clock(order_model::time::to_millis(span.start)),
        length: locale.length(span.duration),
        error: span.status_code == "Error",
        message: span.status_message.clone(),
        bar: bar(span, from, total.max(1)),
    };
    Some(TraceView {
        id: first.trace_id.clone(),
        linked: first.through == Through::Linked,
        start: locale.moment(order_model::time::to_millis(from)),
        length: locale.length(total),
        services: services.join(", "),
        count: locale.count("spans", number(spans.len())),
        errors: (errors > 0)
            .then(|| locale.fill("order.errors", &[("n", &locale.number(number(errors)))])),
        unfolded,
        spans: spans.iter().map(row).collect(),
    })
}

fn end(span: &SpanItem) -> i64 {
    span.start.saturating_add(i64::try_from(span.duration).unwrap_or(i64::MAX))
}

fn bar(span: &SpanItem, from: i64, total: u64) -> (u64, u64) {
    let units = |nanos: u64| {
        let units = u128::from(nanos) * u128::from(BAR_UNITS) / u128::from(total);
        u64::try_from(units).unwrap_or(BAR_UNITS).min(BAR_UNITS)
    };
    let begin = units(span.start.saturating_sub(from).unsigned_abs());
    let begin = begin.min(BAR_UNITS - BAR_UNITS_MIN);
    (begin, units(span.duration).clamp(BAR_UNITS_MIN, BAR_UNITS - begin))
}

/// How many parents each span has within the group.
fn depths<'a>(spans: &[&'a SpanItem]) -> HashMap<&'a str, usize> {
    let parents: HashMap<&str, &str> =
        spans.iter().map(|span| (span.span_id.as_str(), span.parent_span_id.as_str())).collect();
    let depth = |span: &&'a SpanItem| {
        let mut depth = 0;
        let mut at = span.parent_span_id.as_str();
        while depth < DEPTH_MAX
            && let Some(parent) = parents.get(at)
        {
            depth += 1;
            at = parent;
        }
        (span.span_id.as_str(), depth)
    };
    spans.iter().map(depth).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::language::Language;
    use crate::pages::fixtures::span;

    use super::*;

    #[test]
    fn spans_are_in_time_order_and_children_indented() {
        let locale = Locale::new(Language::En, chrono_tz::UTC);
        let mut spans = vec![
            span("t2", "c", "", 500, 10),
            span("t1", "b", "a", 100, 50),
            span("t1", "a", "", 100, 200),
            span("t1", "x", "y", 300, 0),
            span("t1", "y", "x", 300, 0),
        ];
        spans[1].status_code = "Error".into();
        let traces = traces(locale, &spans);
        assert_eq!(traces.iter().map(|t| t.id.as_str()).collect::<Vec<_>>(), ["t1", "t2"]);
        let names: Vec<_> = traces[0].spans.iter().map(|s| (s.name.as_str(), s.depth)).collect();
        assert_eq!(names, [("a", 0), ("b", 1), ("x", DEPTH_MAX), ("y", DEPTH_MAX)]);
        assert_eq!(traces[0].spans[0].bar, (0, 1000));
        assert_eq!(traces[0].spans[1].bar, (0, 250));
        assert_eq!(traces[0].spans[2].bar, (996, 4));
        assert_eq!(traces[0].errors.as_deref(), Some("with errors: 1"));
    }

    proptest! {
        #[test]
        fn a_bar_stays_on_its_line(
            start in any::<i64>(),
            from in any::<i64>(),
            duration in any::<u64>(),
            total in 1..u64::MAX,
        ) {
            let mut span = span("t", "s", "", 0, 0);
            (span.start, span.duration) = (start, duration);
            let (begin, length) = bar(&span, from, total);
            prop_assert!(length >= BAR_UNITS_MIN && begin + length <= BAR_UNITS);
        }
    }
}
