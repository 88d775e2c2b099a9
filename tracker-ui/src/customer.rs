//! What support may tell the customer: ready, in both languages, without internal names.

use chrono_tz::Tz;
use order_model::Lifecycle;
use order_store::read::{Condition, OrderSummary};

use crate::language::Language;
use crate::locale::Locale;
use crate::words;

/// A ready text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CustomerText {
    pub(crate) language: &'static str,
    pub(crate) language_name: &'static str,
    pub(crate) text: String,
}

/// The texts for an order, Russian first.
pub(crate) fn texts(zone: Tz, lifecycle: &Lifecycle, order: &OrderSummary) -> Vec<CustomerText> {
    let text = |language: Language| {
        let locale = Locale::new(language, zone);
        CustomerText {
            language: language.code(),
            language_name: locale.find("language.name").unwrap_or_default(),
            text: text(locale, lifecycle, order),
        }
    };
    Language::ALL.into_iter().map(text).collect()
}

/// The stage's sentence, then what a broken promise or else its condition adds, then the promise
/// while it can be kept.
fn text(locale: Locale, lifecycle: &Lifecycle, order: &OrderSummary) -> String {
    if order.condition == Condition::NotConfirmed {
        return locale.t("customer.not_confirmed").to_owned();
    }
    let mut sentences = vec![stage_sentence(locale, order).to_owned()];
    let open = words::promise_is_open(lifecycle, order);
    let slow = match order.condition {
        _ if open && order.overdue => Some("customer.overdue"),
        Condition::Stuck => Some("customer.stuck"),
        Condition::Late | Condition::LostInHandover => Some("customer.late"),
        _ => None,
    };
    sentences.extend(slow.and_then(|key| locale.find(key)).map(str::to_owned));
    let promising = open && slow.is_none();
    if let Some(promised_at) = order.promised_at.filter(|_| promising) {
        let date = locale.day(promised_at);
        sentences.push(locale.fill("customer.promised", &[("date", &date)]));
    }
    sentences.join(" ")
}

/// Only stages of the lifecycle are looked up: an unknown status may be named like another key.
fn stage_sentence(locale: Locale, order: &OrderSummary) -> &'static str {
    let of_kind = format!("customer.{}_{}", order.stage, order.kind);
    let of_stage = format!("customer.{}", order.stage);
    let known = order.known.then(|| locale.find(&of_kind).or_else(|| locale.find(&of_stage)));
    known.flatten().or_else(|| locale.find("customer.other")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use crate::pages::fixtures::summary;

    use super::*;

    fn russian(order: &OrderSummary) -> String {
        texts(chrono_tz::Europe::Moscow, &Lifecycle::default(), order).remove(0).text
    }

    #[test]
    fn the_text_follows_stage_condition_and_promise() {
        let mut order = summary("CALCULATION_RUNNING", Condition::Fine);
        order.promised_at = Some(1_700_000_000_000);
        assert_eq!(
            russian(&order),
            "Мы рассчитываем стоимость вашего заказа. Мы планируем отправить его до 15.11.2023."
        );
        order.condition = Condition::Stuck;
        assert_eq!(
            russian(&order),
            "Мы рассчитываем стоимость вашего заказа. Это занимает дольше, чем должно. \
             Мы уже разбираемся и сообщим вам, как только всё решится."
        );
    }

    #[test]
    fn a_broken_promise_is_owned_and_an_unconfirmed_delivery_is_asked_about() {
        for condition in [Condition::Fine, Condition::Late, Condition::Stuck] {
            let mut order = summary("MANUFACTURING_STARTED", condition);
            order.overdue = true;
            let text = russian(&order);
            assert!(text.contains("приносим извинения"), "{text}");
            assert!(!text.contains("дольше") && !text.contains("планируем"), "{text}");
        }
        let text = russian(&summary("SHIPPED", Condition::NotConfirmed));
        assert!(text.contains("уточняем у службы доставки") && !text.contains("едет"), "{text}");
    }

    #[test]
    fn a_shipped_order_promises_nothing_more() {
        let order = summary("SHIPPED", Condition::Fine);
        assert_eq!(russian(&order), "Ваш заказ отправлен и едет к вам.");
    }

    #[test]
    fn a_stage_without_a_text_says_nothing_internal() {
        let mut order = summary("late", Condition::Unknown);
        order.known = false;
        order.promised_at = None;
        assert_eq!(
            russian(&order),
            "Ваш заказ у нас, мы уточняем его состояние и скоро вам ответим."
        );
    }

    #[test]
    fn every_stage_of_the_default_lifecycle_has_a_text_in_both_languages() {
        let lifecycle = Lifecycle::default();
        for stage in &lifecycle.stages {
            for language in Language::ALL {
                let locale = Locale::new(language, chrono_tz::UTC);
                let key = format!("customer.{}", stage.name);
                assert!(locale.find(&key).is_some(), "{key}");
                let raw =
                    texts(chrono_tz::UTC, &lifecycle, &summary(&stage.name, Condition::Stuck));
                assert!(raw.iter().all(|t| !t.text.contains(&stage.name)), "{}", stage.name);
            }
        }
    }
}
