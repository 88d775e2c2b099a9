//! The order's way: every stay in a stage, how long it lasted, and who said so.

use order_model::Lifecycle;
use order_store::read::{OrderDetail, Visit};

use crate::locale::{Locale, Moment};
use crate::words;

/// One stay.
#[derive(Debug)]
pub(crate) struct VisitView {
    pub(crate) label: String,
    pub(crate) raw: String,
    pub(crate) labelled: bool,
    pub(crate) entered: Moment,
    pub(crate) lasted: String,
    /// Whether the order is there now.
    pub(crate) current: bool,
    pub(crate) source: String,
    pub(crate) attempt: Option<String>,
    /// Whether the order went back to come here.
    pub(crate) rework: bool,
}

/// The stays in the order of event time.
pub(crate) fn view(locale: Locale, lifecycle: &Lifecycle, detail: &OrderDetail) -> Vec<VisitView> {
    let visits = &detail.history;
    let current = visits.iter().rposition(|visit| visit.stage == detail.summary.stage);
    let stay = |(index, visit): (usize, &Visit)| {
        let next = visits.get(index + 1).map(|next| next.entered_at);
        let previous = index.checked_sub(1).and_then(|before| visits.get(before));
        let age = locale.age((next.unwrap_or(detail.as_of) - visit.entered_at) / 1000);
        let is_current = current == Some(index);
        let lasted = match (next.is_none(), words::has_ended(&detail.summary)) {
            (true, true) => "–".to_owned(),
            (true, false) => locale.fill("order.history_now", &[("age", &age)]),
            (false, _) => age,
        };
        let label = words::lifecycle_label(locale, lifecycle, &visit.stage).to_owned();
        VisitView {
            labelled: label != visit.stage,
            label,
            raw: visit.stage.clone(),
            entered: locale.moment(visit.entered_at),
            lasted,
            current: is_current,
            source: visit.source.clone(),
            attempt: (visit.attempt > 0).then(|| {
                locale.fill("order.history_attempt", &[("n", &visit.attempt.to_string())])
            }),
            rework: previous.is_some_and(|previous| went_back(lifecycle, previous, visit)),
        }
    };
    visits.iter().enumerate().map(stay).collect()
}

/// A new attempt after a failure is no rework, and an unknown status has no place to go back from.
fn went_back(lifecycle: &Lifecycle, from: &Visit, to: &Visit) -> bool {
    let (before, after) = (lifecycle.rank(&from.stage), lifecycle.rank(&to.stage));
    let retried = from.stage == lifecycle.calculation.failed_by;
    after > 0 && after < before && !retried
}
