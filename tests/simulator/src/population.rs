//! Which orders there are: the special ones that every run has, the rest by mix and chance, and
//! the live ones. Pure: the same seed and time give the same plans.

use crate::scenario::course::{Course, back_dated, legs};
use crate::scenario::identity::{Identity, order_rng};
use crate::settings::Mix;
use crate::stage::{Channel, DAY_MS, HOUR_MS, Kind, MINUTE_MS, Stage};
use crate::trace_plan::StepPlan;
use chrono::{DateTime, Datelike, Utc};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::BTreeMap;
use std::time::Duration;

/// No order of the population crosses a deadline for this long after the population's time,
/// so that its truth holds while somebody looks. (The late calculations can not be given more:
/// between late and stuck lie only 30 minutes.)
pub const TRUTH_HOLDS_MS: i64 = 28 * MINUTE_MS;

/// What a population is planned from.
#[derive(Clone, Debug)]
pub struct PopulationSettings {
    /// Everything random follows from it.
    pub seed: u32,
    /// How many orders; the special ones are made even when they are more.
    pub orders: u64,
    /// What sorts of orders.
    pub mix: Mix,
    /// Share of the unfinished orders that hang.
    pub hang_share: f64,
}

/// One planned order.
#[derive(Clone, Debug)]
pub struct OrderPlan {
    /// Who it is.
    pub identity: Identity,
    /// How it goes.
    pub course: Course,
    /// What the systems do, in order.
    pub steps: Vec<StepPlan>,
}

/// The back-dated orders of a run.
#[derive(Clone, Debug)]
pub struct Population {
    /// The moment against which ages are meant, in milliseconds since 1970.
    pub as_of_ms: i64,
    /// The orders, the special ones first.
    pub orders: Vec<OrderPlan>,
    /// Orders worth looking up: what they show, and their ids.
    pub examples: BTreeMap<String, String>,
}

/// How an order fares at its stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Within the deadline.
    Fine,
    /// Over the first deadline.
    Late,
    /// Over the second.
    Stuck,
}

/// The three sorts of orders of a mix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    B2c,
    B2b,
    ReadyMade,
}

impl Sort {
    const fn channel(self) -> Channel {
        if matches!(self, Self::B2b) { Channel::B2b } else { Channel::B2c }
    }

    const fn kind(self) -> Kind {
        if matches!(self, Self::ReadyMade) { Kind::ReadyMade } else { Kind::Custom }
    }

    /// Whether an order of this sort ever is at that stage.
    const fn passes(self, stage: Stage) -> bool {
        use Stage::{CalculationFailed, CalculationRunning, FileUploaded, Initiated};
        match self {
            Self::B2c => true,
            Self::B2b => !matches!(stage, Initiated | FileUploaded),
            Self::ReadyMade => !matches!(
                stage,
                FileUploaded | CalculationRunning | CalculationFailed | Stage::PriceCalculated
            ),
        }
    }
}

/// Stages of ordinary orders and how often each is the current one.
const SPREAD: [(Stage, u32); 13] = [
    (Stage::Initiated, 12),
    (Stage::FileUploaded, 8),
    (Stage::Submitted, 6),
    (Stage::CalculationRunning, 4),
    (Stage::PriceCalculated, 10),
    (Stage::ManufacturingApproved, 8),
    (Stage::ManufacturingStarted, 20),
    (Stage::ManufacturingCompleted, 6),
    (Stage::Packaging, 5),
    (Stage::Shipped, 12),
    (Stage::Closed, 30),
    (Stage::Cancelled, 5),
    (Stage::CalculationFailed, 2),
];

/// Plans the back-dated orders of a run as of that moment.
#[must_use]
pub fn plan(settings: &PopulationSettings, as_of_ms: i64) -> Population {
    let mut population = Population { as_of_ms, orders: Vec::new(), examples: BTreeMap::new() };
    let mut rng = StdRng::seed_from_u64(u64::from(settings.seed) ^ 0x5b1a_77e5);
    for (name, sort, course) in specials(&mut rng) {
        let order = order(settings.seed, &population, sort, course);
        if let Some(name) = name {
            population.examples.insert(name.to_owned(), order.identity.id.clone());
            if let (Some((_, number)), "partner") = (&order.identity.partner, name) {
                population.examples.insert("partner_number".to_owned(), number.clone());
            }
        }
        population.orders.push(order);
    }
    while (population.orders.len() as u64) < settings.orders {
        let sort = draw_sort(settings.mix, &mut rng);
        let course = ordinary(sort, settings.hang_share, &mut rng);
        let order = order(settings.seed, &population, sort, course);
        population.orders.push(order);
    }
    population
}

fn order(seed: u32, population: &Population, sort: Sort, course: Course) -> OrderPlan {
    let number = population.orders.len() as u64 + 1;
    let (identity, mut rng) = identify(seed, number, population.as_of_ms, sort);
    let steps = back_dated(legs(&identity, &course, &mut rng), &course, population.as_of_ms);
    OrderPlan { identity, course, steps }
}

fn identify(seed: u32, number: u64, as_of_ms: i64, sort: Sort) -> (Identity, StdRng) {
    let year = DateTime::<Utc>::from_timestamp_millis(as_of_ms).unwrap_or_default().year();
    let identity = Identity::new(seed, number, year, sort.channel(), sort.kind());
    // A stream of its own: the identity drew from the order's first one.
    (identity, order_rng(seed ^ 0x00c0_ffee, number))
}

/// The orders that every run has, with the name of the example where they are one.
fn specials(rng: &mut StdRng) -> Vec<(Option<&'static str>, Sort, Course)> {
    let mut orders = named_specials();
    for stage in Stage::ALL {
        let sorts = [Sort::B2c, Sort::B2b, Sort::ReadyMade];
        for sort in sorts.into_iter().filter(|sort| sort.passes(stage)) {
            for condition in [Condition::Fine, Condition::Late, Condition::Stuck] {
                if let Some(age_ms) = age_ms(stage, sort.kind(), condition, rng) {
                    let mut course = Course::to(stage, age_ms);
                    course.lost = condition == Condition::Stuck;
                    orders.push((None, sort, course));
                }
            }
        }
    }
    orders
}

fn named_specials() -> Vec<(Option<&'static str>, Sort, Course)> {
    use Stage::{
        CalculationFailed, CalculationRunning, Cancelled, Closed, Initiated, ManufacturingApproved,
        ManufacturingStarted, Packaging, Shipped, Submitted,
    };
    let course = Course::to;
    let twice = |stage, age_ms| Course { calculates_twice: true, ..course(stage, age_ms) };
    let reworked = |stage, age_ms| Course { reworked: true, ..course(stage, age_ms) };
    let repeated = |stage, age_ms| Course { repeated: true, ..course(stage, age_ms) };
    let lost = |stage, age_ms| Course { lost: true, ..course(stage, age_ms) };
    vec![
        (Some("fine"), Sort::B2c, course(ManufacturingStarted, 2 * DAY_MS)),
        (Some("late"), Sort::B2c, course(ManufacturingStarted, 11 * DAY_MS)),
        (Some("stuck"), Sort::B2c, course(CalculationRunning, 70 * MINUTE_MS)),
        (Some("lost"), Sort::B2c, lost(Submitted, 71 * MINUTE_MS)),
        (Some("lost_partner"), Sort::B2b, lost(Submitted, 95 * MINUTE_MS)),
        (Some("lost_approved"), Sort::B2c, lost(ManufacturingApproved, 3 * DAY_MS)),
        (Some("partner"), Sort::B2b, course(ManufacturingStarted, 5 * DAY_MS)),
        (Some("ready_made"), Sort::ReadyMade, course(Packaging, 3 * HOUR_MS)),
        (Some("reworked"), Sort::B2c, reworked(ManufacturingStarted, DAY_MS)),
        (None, Sort::B2b, reworked(Closed, 2 * DAY_MS)),
        (Some("calculated_twice"), Sort::B2c, twice(ManufacturingStarted, DAY_MS)),
        (None, Sort::B2b, twice(Shipped, DAY_MS)),
        (Some("failed"), Sort::B2b, course(CalculationFailed, 26 * HOUR_MS)),
        (Some("cancelled"), Sort::B2c, course(Cancelled, 2 * DAY_MS)),
        (Some("repeated"), Sort::B2c, repeated(ManufacturingStarted, 2 * DAY_MS)),
        (None, Sort::B2b, repeated(CalculationRunning, 80 * MINUTE_MS)),
        (None, Sort::ReadyMade, repeated(ManufacturingStarted, 11 * DAY_MS)),
        (Some("abandoned"), Sort::B2c, course(Initiated, 10 * DAY_MS)),
        (Some("not_confirmed"), Sort::B2c, course(Shipped, 16 * DAY_MS)),
        (Some("closed"), Sort::B2c, course(Closed, 3 * DAY_MS)),
    ]
}

fn draw_sort(mix: Mix, rng: &mut StdRng) -> Sort {
    let sum = mix.b2c + mix.b2b + mix.ready_made;
    let draw = rng.random_range(0.0..sum);
    if draw < mix.b2c {
        Sort::B2c
    } else if draw < mix.b2c + mix.b2b {
        Sort::B2b
    } else {
        Sort::ReadyMade
    }
}

fn ordinary(sort: Sort, hang_share: f64, rng: &mut StdRng) -> Course {
    loop {
        let stage = draw_stage(sort, rng);
        let condition = match (rng.random_bool(hang_share), rng.random_bool(0.5)) {
            (false, _) => Condition::Fine,
            (true, false) => Condition::Late,
            (true, true) => Condition::Stuck,
        };
        let condition =
            if stage.deadline(sort.kind()).is_some() { condition } else { Condition::Fine };
        if let Some(age_ms) = age_ms(stage, sort.kind(), condition, rng) {
            return habits(Course::to(stage, age_ms), condition, rng);
        }
    }
}

fn draw_stage(sort: Sort, rng: &mut StdRng) -> Stage {
    let possible = || SPREAD.into_iter().filter(|(stage, _)| sort.passes(*stage));
    let mut draw = rng.random_range(0..possible().map(|(_, weight)| weight).sum());
    for (stage, weight) in possible() {
        if draw < weight {
            return stage;
        }
        draw -= weight;
    }
    Stage::Closed
}

/// Adds what makes orders differ. Rework lengthens the way, so that only finished orders and
/// those in production, which have days to spare, go through it.
fn habits(mut course: Course, condition: Condition, rng: &mut StdRng) -> Course {
    let before_price = course.target <= Stage::CalculationRunning;
    let failed = course.target == Stage::CalculationFailed;
    course.calculates_twice = !before_price && !failed && rng.random_bool(0.1);
    course.reworked = matches!(course.target, Stage::Closed | Stage::ManufacturingStarted)
        && condition == Condition::Fine
        && rng.random_bool(0.15);
    course.repeated = rng.random_bool(0.15);
    course.lost = condition != Condition::Fine && rng.random_bool(0.5);
    course
}

/// An age at which an order of this kind fares so at the stage, and will for
/// [`TRUTH_HOLDS_MS`]; `None` where that cannot be.
fn age_ms(stage: Stage, kind: Kind, condition: Condition, rng: &mut StdRng) -> Option<i64> {
    let Some(deadline) = stage.deadline(kind) else {
        let most_ms = match stage {
            Stage::Initiated | Stage::FileUploaded => 6 * DAY_MS,
            Stage::Closed => 40 * DAY_MS,
            _ => 12 * DAY_MS,
        };
        return (condition == Condition::Fine).then(|| rng.random_range(2 * MINUTE_MS..most_ms));
    };
    let margin_ms = TRUTH_HOLDS_MS + 2 * MINUTE_MS;
    // Between the first and the second deadline of a calculation lie only 30 minutes, and they
    // run from the request, up to a minute before the stage.
    let short = stage.measured_from_request();
    let (least_ms, most_ms) = match condition {
        Condition::Fine if short => (15_000, 40_000),
        Condition::Late if short => (deadline.late_ms + 20_000, deadline.late_ms + 40_000),
        Condition::Fine => (2 * MINUTE_MS, deadline.late_ms - margin_ms),
        Condition::Late => (deadline.late_ms + 90_000, deadline.stuck_ms - margin_ms),
        Condition::Stuck => (deadline.stuck_ms + 5 * MINUTE_MS, deadline.stuck_ms * 3 / 2),
    };
    (least_ms < most_ms).then(|| rng.random_range(least_ms..most_ms))
}

/// A live order, walking through its stages at this interval: each step with the milliseconds
/// since the step before it.
#[must_use]
pub fn live_order(
    settings: &PopulationSettings,
    number: u64,
    now_ms: i64,
    stage_interval: Duration,
) -> (OrderPlan, Vec<i64>) {
    let mut rng = order_rng(settings.seed ^ 0x11fe, number);
    let sort = draw_sort(settings.mix, &mut rng);
    let hangs = rng.random_bool(settings.hang_share);
    let stage = if hangs { draw_stage(sort, &mut rng) } else { Stage::Closed };
    let condition = if hangs { Condition::Stuck } else { Condition::Fine };
    let course = habits(Course::to(stage, 0), condition, &mut rng);
    let (identity, mut rng) = identify(settings.seed, number, now_ms, sort);
    let interval_ms = i64::try_from(stage_interval.as_millis()).unwrap_or(i64::MAX);
    let mut previous = None;
    let (gaps_ms, steps) = legs(&identity, &course, &mut rng)
        .into_iter()
        .map(|(gap_ms, step)| {
            let moves_on = step.stage.is_some() && step.stage != previous;
            previous = step.stage.or(previous);
            (if moves_on { interval_ms } else { gap_ms.min(MESSAGE_LIVE_MS) }, step)
        })
        .unzip();
    (OrderPlan { identity, course, steps }, gaps_ms)
}

/// A live message is delivered, and a live signal repeated, this soon.
const MESSAGE_LIVE_MS: i64 = 300;
