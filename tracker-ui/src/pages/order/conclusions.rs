//! What Waybill concludes about an order beside its badge, each with the evidence for it.

use order_store::read::{Calculation, Handover, OrderDetail};

use crate::locale::Locale;
use crate::reads::Silence;

/// One conclusion.
#[derive(Debug)]
pub(crate) struct Conclusion {
    /// Style and symbol follow it.
    pub(crate) code: &'static str,
    pub(crate) text: String,
    /// What it rests on; empty for what a system said.
    pub(crate) hint: &'static str,
}

/// Lost or waiting to be taken, being retried, without word from whoever is next.
pub(crate) fn view(locale: Locale, detail: &OrderDetail, silent: &[Silence]) -> Vec<Conclusion> {
    let handed_over = detail.handover.as_ref().map(|handover| hand_over(locale, detail, handover));
    let again = detail.calculation.as_ref().filter(|_| detail.summary.retrying);
    let again = again.and_then(|calculation| retrying(locale, detail.as_of, calculation));
    let silent = silent.iter().map(|silence| no_data(locale, detail.as_of, silence));
    handed_over.into_iter().chain(again).chain(silent).collect()
}

/// Lost, or not taken yet.
fn hand_over(locale: Locale, detail: &OrderDetail, handover: &Handover) -> Conclusion {
    let as_of = detail.as_of;
    let to = handover.to.join(locale.t("order.or"));
    let age = locale.age((as_of - handover.at) / 1000);
    let time = locale.near(handover.at, as_of);
    let limit = locale.near(handover.lost_at, as_of);
    let values = [
        ("from", handover.from.as_str()),
        ("to", &*to),
        ("queue", handover.destination.as_str()),
        ("time", &*time),
        ("age", &*age),
        ("limit", &*limit),
    ];
    let hint = locale.find("order.derived_handover").unwrap_or_default();
    if detail.summary.lost_in_handover {
        return Conclusion {
            code: "lost_in_handover",
            text: locale.fill("order.lost", &values),
            hint,
        };
    }
    Conclusion { code: "waits", text: locale.fill("order.handed_over", &values), hint: "" }
}

fn retrying(locale: Locale, as_of: i64, calculation: &Calculation) -> Option<Conclusion> {
    let since = locale.near(calculation.retrying_since?, as_of);
    let mut text = locale.fill("order.retrying", &[("time", &since)]);
    let n = calculation.attempt.to_string();
    let parts = [
        ("order.retrying_attempt", n.as_str(), calculation.attempt > 0),
        ("order.retrying_worker", &calculation.worker, !calculation.worker.is_empty()),
        ("order.retrying_error", &calculation.error, !calculation.error.is_empty()),
    ];
    for (key, value, _) in parts.into_iter().filter(|(.., said)| *said) {
        text.push_str(&locale.fill(key, &[("value", value)]));
    }
    let hint = locale.find("order.derived_retrying").unwrap_or_default();
    Some(Conclusion { code: "retrying", text, hint })
}

fn no_data(locale: Locale, as_of: i64, silence: &Silence) -> Conclusion {
    let source = ("source", silence.source.as_str());
    let text = match silence.since {
        None => locale.fill("stage.silent", &[source]),
        Some(since) => {
            let (time, age) = (locale.near(since, as_of), locale.age((as_of - since) / 1000));
            locale.fill("order.silent", &[source, ("time", &time), ("age", &age)])
        }
    };
    let hint = locale.find("order.derived_silent").unwrap_or_default();
    Conclusion { code: "silent", text, hint }
}
