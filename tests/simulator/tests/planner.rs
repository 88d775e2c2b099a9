//! What every population must be, whatever its seed, size and mix.

#![allow(clippy::expect_used, reason = "a test says what it expects")]

use proptest::prelude::*;
use simulator::population::{
    OrderPlan, Population, PopulationSettings, TRUTH_HOLDS_MS, live_order, plan,
};
use simulator::scenario::course::{REPEAT_AFTER_MAX_MS, STAGE_SPACING_MIN_MS};
use simulator::settings::Mix;
use simulator::stage::{DAY_MS, HOUR_MS, Kind, MINUTE_MS, Stage};
use simulator::truth::{OrderHistory, OrderTruth, StageCount, Truth};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// 2026-11-23T00:00:00Z.
const AS_OF_MS: i64 = 1_795_392_000_000;

fn settings(seed: u32, orders: u64) -> PopulationSettings {
    let mix = Mix { b2c: 0.6, b2b: 0.25, ready_made: 0.15 };
    PopulationSettings { seed, orders, mix, hang_share: 0.3 }
}

fn any_settings() -> impl Strategy<Value = PopulationSettings> {
    let share = || 0.0..1.0_f64;
    (any::<u32>(), 0..600_u64, share(), share(), share(), 0.0..=1.0_f64).prop_map(
        |(seed, orders, b2c, b2b, ready_made, hang_share)| {
            let mix = Mix { b2c: b2c + 0.01, b2b, ready_made };
            PopulationSettings { seed, orders, mix, hang_share }
        },
    )
}

/// Begins of stages in order of time, a repeat of the same stage not counted again.
fn begins(order: &OrderPlan) -> Vec<(i64, Stage)> {
    let mut begins: Vec<_> =
        order.steps.iter().filter_map(|step| Some((step.at_ms, step.stage?))).collect();
    begins.sort_by_key(|(at_ms, _)| *at_ms);
    begins.dedup_by_key(|(_, stage)| *stage);
    begins
}

fn truth(orders: &[OrderPlan], as_of_ms: i64) -> Truth {
    let histories: Vec<OrderHistory> = orders.iter().map(Into::into).collect();
    simulator::truth::truth(&histories, as_of_ms)
}

fn of<'a>(truth: &'a Truth, population: &Population, example: &str) -> &'a OrderTruth {
    let id = &population.examples[example];
    truth.orders.iter().find(|order| order.id == *id).expect("an example is an order")
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 48,
        // The failing seed is printed; a file of old seeds would only hold old plans.
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_same_seed_gives_the_same_plan(settings in any_settings()) {
        let (first, second) = (plan(&settings, AS_OF_MS), plan(&settings, AS_OF_MS));
        prop_assert_eq!(first.examples, second.examples);
        for (a, b) in first.orders.iter().zip(&second.orders) {
            prop_assert_eq!(&a.steps, &b.steps);
        }
        prop_assert_eq!(first.orders.len(), second.orders.len());
    }

    #[test]
    fn the_counts_add_up_to_the_orders(settings in any_settings()) {
        let population = plan(&settings, AS_OF_MS);
        let truth = truth(&population.orders, AS_OF_MS);
        let sum: u64 = truth.stages.values().map(|count| count.total).sum();
        prop_assert_eq!(sum, truth.orders_total);
        prop_assert_eq!(truth.orders_total, population.orders.len() as u64);
        prop_assert!(truth.orders_total >= settings.orders);
        let spans: u64 = truth.orders.iter().map(|order| order.spans).sum();
        prop_assert_eq!(spans, truth.spans_total);
        for (order, plan) in truth.orders.iter().zip(&population.orders) {
            prop_assert_eq!(order.stage, plan.course.target, "{}", order.id);
            prop_assert_eq!(AS_OF_MS - order.since_ms, plan.course.age_ms, "{}", order.id);
            prop_assert!(!(order.late && order.stuck), "late and stuck exclude each other");
        }
    }

    #[test]
    fn stages_keep_their_distance_and_nothing_is_in_the_future(settings in any_settings()) {
        for order in plan(&settings, AS_OF_MS).orders {
            let begins = begins(&order);
            for pair in begins.windows(2) {
                prop_assert!(pair[1].0 - pair[0].0 >= STAGE_SPACING_MIN_MS, "{:?}", pair);
            }
            for step in &order.steps {
                let end_ms = step.at_ms + step.root.start_ms + step.root.duration_ms;
                prop_assert!(end_ms < AS_OF_MS, "{:?}", step);
            }
            let (since_ms, stage) = *begins.last().expect("every order has a stage");
            let repeats = order.steps.iter().filter(|step| step.stage == Some(stage));
            let last_ms = repeats.map(|step| step.at_ms).max().expect("at least the first");
            prop_assert!(last_ms - since_ms <= REPEAT_AFTER_MAX_MS);
        }
    }

    #[test]
    fn every_stage_has_orders_and_late_and_stuck_ones(settings in any_settings()) {
        let truth = truth(&plan(&settings, AS_OF_MS).orders, AS_OF_MS);
        for stage in Stage::ALL {
            let StageCount { total, late, stuck } = truth.stages[&stage];
            let has_deadline = stage.deadline(Kind::Custom).is_some();
            prop_assert!(total > 0, "{:?}", stage);
            prop_assert_eq!(late > 0, has_deadline, "late at {:?}", stage);
            prop_assert_eq!(stuck > 0, has_deadline, "stuck at {:?}", stage);
        }
    }

    #[test]
    fn the_truth_holds_while_somebody_looks(settings in any_settings()) {
        let population = plan(&settings, AS_OF_MS);
        let now = truth(&population.orders, AS_OF_MS);
        let holds_until_ms = now.holds_until_ms.expect("some order always waits");
        prop_assert!(holds_until_ms - AS_OF_MS >= TRUTH_HOLDS_MS);
        let at_the_end = truth(&population.orders, holds_until_ms - 1);
        prop_assert_eq!(&now.stages, &at_the_end.stages);
        prop_assert_eq!(now.calc_over_one_hour, at_the_end.calc_over_one_hour);
        let after = truth(&population.orders, holds_until_ms);
        prop_assert!(after.stages != now.stages
            || after.calc_over_one_hour != now.calc_over_one_hour);
    }

    #[test]
    fn only_stuck_orders_break_the_promise_of_three_weeks(settings in any_settings()) {
        let population = plan(&settings, AS_OF_MS);
        let truth = truth(&population.orders, AS_OF_MS);
        for (order, plan) in truth.orders.iter().zip(&population.orders) {
            let submitted = begins(plan).into_iter().find(|(_, stage)| *stage == Stage::Submitted);
            let since_ms = submitted.map_or(AS_OF_MS, |(at_ms, _)| at_ms);
            let overdue = order.stage.awaits_shipment() && AS_OF_MS - since_ms >= 21 * DAY_MS;
            prop_assert!(!overdue || order.stuck, "{:?}", order);
        }
    }

    #[test]
    fn runs_with_different_seeds_share_no_id(one: u32, other: u32) {
        prop_assume!(one != other);
        let ids = |seed| -> BTreeSet<String> {
            plan(&settings(seed, 120), AS_OF_MS)
                .orders
                .into_iter()
                .map(|order| order.identity.id)
                .collect()
        };
        prop_assert!(ids(one).is_disjoint(&ids(other)));
        prop_assert!(ids(one).len() >= 120);
    }

    #[test]
    fn live_orders_move_on_at_the_interval(seed: u32, number in 500_000..1_000_000_u64) {
        let interval = Duration::from_secs(5);
        let (order, gaps_ms) = live_order(&settings(seed, 0), number, AS_OF_MS, interval);
        prop_assert_eq!(order.steps.len(), gaps_ms.len());
        let mut stage = None;
        for (step, gap_ms) in order.steps.iter().zip(gaps_ms) {
            let moves_on = step.stage.is_some() && step.stage != stage;
            stage = step.stage.or(stage);
            prop_assert_eq!(gap_ms == 5_000, moves_on, "{:?} after {}", step.stage, gap_ms);
        }
        prop_assert_eq!(stage, Some(order.course.target));
    }
}

#[test]
fn a_message_is_consumed_only_after_it_was_published() {
    for order in plan(&settings(1, 400), AS_OF_MS).orders {
        let mut published = BTreeSet::new();
        for step in &order.steps {
            if let Some(id) = &step.consumes {
                assert!(published.contains(id), "{}: {id}", order.identity.id);
                assert!(step.root.links_to_producer, "{}: {id}", order.identity.id);
            }
            published.extend(step.root.walk().filter_map(|span| span.publishes.clone()));
        }
    }
}

#[test]
fn the_examples_are_what_they_are_called() {
    let population = plan(&settings(42, 300), AS_OF_MS);
    let truth = truth(&population.orders, AS_OF_MS);
    let order = |example| of(&truth, &population, example);
    assert!(!order("fine").late && !order("fine").stuck);
    assert!(order("late").late);
    let stuck = order("stuck");
    assert_eq!(stuck.stage, Stage::CalculationRunning);
    assert_eq!(AS_OF_MS - stuck.since_ms, 70 * MINUTE_MS);
    assert!(stuck.stuck && stuck.calc_over_one_hour);
    let lost = order("lost");
    assert_eq!(lost.stage, Stage::Submitted);
    assert_eq!(AS_OF_MS - lost.since_ms, 71 * MINUTE_MS);
    assert!(lost.stuck && lost.calc_over_one_hour);
    let abandoned = order("abandoned");
    assert!(!abandoned.late && !abandoned.stuck);
    assert!(AS_OF_MS - abandoned.since_ms > 7 * DAY_MS);
    assert!(!order("not_confirmed").late && !order("not_confirmed").stuck);
    let failed = order("failed");
    assert!(failed.stuck && failed.calc_over_one_hour, "a failure does not stop the clock");
    let number = population.examples["partner_number"].as_str();
    assert_eq!(order("partner").partner_number.as_deref(), Some(number));
}

/// The clock of the one-hour rule, case by case.
#[test]
fn the_one_hour_rule_measures_requests_without_an_answer() {
    let population = plan(&settings(3, 400), AS_OF_MS);
    let truth = truth(&population.orders, AS_OF_MS);
    for (order, plan) in truth.orders.iter().zip(&population.orders) {
        let waits = order.kind == Kind::Custom
            && matches!(
                order.stage,
                Stage::Submitted | Stage::CalculationRunning | Stage::CalculationFailed
            );
        let submitted = begins(plan).into_iter().find(|(_, stage)| *stage == Stage::Submitted);
        let asked_ms = submitted.map_or(AS_OF_MS, |(at_ms, _)| at_ms);
        let over = waits && AS_OF_MS - asked_ms >= HOUR_MS;
        assert_eq!(order.calc_over_one_hour, over, "{order:?}");
    }
}

#[test]
fn the_default_population_is_this() {
    let population = plan(&settings(42, 300), AS_OF_MS);
    insta::assert_snapshot!("truth_table", truth(&population.orders, AS_OF_MS).table());
    let spans: BTreeMap<String, usize> = population
        .orders
        .iter()
        .flat_map(|order| &order.steps)
        .flat_map(|step| step.root.walk())
        .fold(BTreeMap::new(), |mut counts, span| {
            *counts.entry(format!("{:?} {}", span.role, span.name)).or_default() += 1;
            counts
        });
    insta::assert_json_snapshot!("span_names", spans);
}
