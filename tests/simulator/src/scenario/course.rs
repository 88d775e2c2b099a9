//! The course of an order: which steps it takes up to a stage, how long lies between them, and
//! when each happens so that the order has been at its last stage for a given time.

use super::identity::Identity;
use super::{crm, mes, shop};
use crate::stage::{Channel, DAY_MS, HOUR_MS, Kind, MINUTE_MS, Stage};
use crate::trace_plan::StepPlan;
use rand::RngExt;
use rand::rngs::StdRng;

/// Two different stages of an order never begin closer together than this in back-dated
/// history: far enough for the skew (2 s) and for clocks that differ, so that the current stage
/// is beyond doubt.
pub const STAGE_SPACING_MIN_MS: i64 = 10_000;
/// A repeated signal of a stage comes this much after the first at most, well before any
/// deadline is near.
pub const REPEAT_AFTER_MAX_MS: i64 = 9_000;

/// How an order goes, up to where it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Course {
    /// The stage it is at.
    pub target: Stage,
    /// For how long, in milliseconds.
    pub age_ms: i64,
    /// Whether the first calculation fails and a second one is asked for.
    pub calculates_twice: bool,
    /// Whether the piece goes back from `MANUFACTURING_COMPLETED` to production once.
    pub reworked: bool,
    /// Whether the broker delivers messages twice and an operator clicks twice, so that stage
    /// signals come twice.
    pub repeated: bool,
    /// Whether the last message published is lost on the way, instead of waiting its turn.
    pub lost: bool,
}

impl Course {
    /// A plain course to a stage, where the order has been for so many milliseconds.
    #[must_use]
    pub const fn to(target: Stage, age_ms: i64) -> Self {
        Self {
            target,
            age_ms,
            calculates_twice: false,
            reworked: false,
            repeated: false,
            lost: false,
        }
    }
}

/// One step and the time since the step before it.
type Leg = (i64, StepPlan);

/// Writes down the legs of one order.
struct Route<'a> {
    order: &'a Identity,
    rng: &'a mut StdRng,
    legs: Vec<Leg>,
}

impl Route<'_> {
    fn after(&mut self, least_ms: i64, most_ms: i64, step: StepPlan) {
        let gap_ms = self.rng.random_range(least_ms..=most_ms);
        self.legs.push((gap_ms, step));
    }

    /// A message takes a moment.
    fn delivered(&mut self, step: StepPlan) {
        self.after(150, 900, step);
    }

    fn repeated(&mut self, step: StepPlan) {
        self.after(3_000, REPEAT_AFTER_MAX_MS, step);
    }
}

/// The steps of an order's course, each with the milliseconds since the step before it.
#[must_use]
pub fn legs(order: &Identity, course: &Course, rng: &mut StdRng) -> Vec<Leg> {
    let mut route = Route { order, rng, legs: Vec::new() };
    route_to_target(&mut route, course);
    route.legs
}

fn route_to_target(route: &mut Route<'_>, course: &Course) {
    let reached = |stage: Stage| course.target == stage;
    if order_placed(route, course) {
        return;
    }
    if route.order.kind == Kind::Custom && price(route, course) {
        return;
    }
    if route.order.named_late() {
        route.after(4 * MINUTE_MS, HOUR_MS, crm::call(route.order));
    }
    if reached(Stage::Cancelled) {
        route.after(10 * MINUTE_MS, 20 * HOUR_MS, crm::cancel(route.order));
        return;
    }
    route.after(10 * MINUTE_MS, 20 * HOUR_MS, crm::approve(route.order));
    if reached(Stage::ManufacturingApproved) && course.lost {
        return;
    }
    route.delivered(mes::take_for_production(route.order, false));
    if course.repeated {
        route.repeated(mes::take_for_production(route.order, true));
    }
    if reached(Stage::ManufacturingApproved) || produce(route, course) {
        return;
    }
    route.after(30 * MINUTE_MS, 12 * HOUR_MS, mes::ship(route.order));
    if reached(Stage::Shipped) && course.lost {
        return;
    }
    route.delivered(crm::take_shipment(route.order));
    if !reached(Stage::Shipped) {
        route.after(DAY_MS, 6 * DAY_MS, crm::close(route.order));
    }
}

/// Up to `SUBMITTED`; says whether the course ends here.
fn order_placed(route: &mut Route<'_>, course: &Course) -> bool {
    let order = route.order;
    if order.channel == Channel::B2b {
        route.after(0, 0, mes::partner_order(order));
    } else {
        route.after(0, 0, shop::cart(order));
        if course.target == Stage::Initiated {
            return true;
        }
        if order.kind == Kind::Custom {
            route.after(2 * MINUTE_MS, 30 * MINUTE_MS, shop::upload(order));
            if course.target == Stage::FileUploaded {
                return true;
            }
        }
        route.after(MINUTE_MS, 30 * MINUTE_MS, shop::submit(order));
    }
    // A ready-made piece that is lost here is lost on its way to the seller.
    if !(course.lost && course.target == Stage::Submitted && order.kind == Kind::ReadyMade) {
        route.delivered(crm::take_order(order));
    }
    course.target == Stage::Submitted
}

/// From `CALCULATION_RUNNING` to `PRICE_CALCULATED`; says whether the course ends here.
fn price(route: &mut Route<'_>, course: &Course) -> bool {
    let order = route.order;
    // Where the one-hour clock still runs, hardly any of it was spent in the queue.
    let queued_most_ms = if course.target.measured_from_request() { 15_000 } else { 4 * MINUTE_MS };
    let mut attempt = 1;
    route.after(STAGE_SPACING_MIN_MS, queued_most_ms, mes::start_calculation(order, 1, false));
    if course.repeated {
        route.repeated(mes::start_calculation(order, 1, true));
    }
    if course.target == Stage::CalculationRunning {
        return true;
    }
    if course.calculates_twice || course.target == Stage::CalculationFailed {
        let took_ms = route.rng.random_range(15_000..=30_000);
        let again = course.calculates_twice;
        route.after(took_ms, took_ms, mes::fail_calculation(order, 1, took_ms, again));
        if course.target == Stage::CalculationFailed {
            return true;
        }
        attempt = 2;
        let step = mes::start_calculation(order, attempt, false);
        route.after(STAGE_SPACING_MIN_MS, MINUTE_MS, step);
    }
    let took_ms = route.rng.random_range(2 * MINUTE_MS..=25 * MINUTE_MS);
    route.after(took_ms, took_ms, mes::finish_calculation(order, attempt, took_ms));
    if course.target == Stage::PriceCalculated && course.lost {
        return true;
    }
    route.delivered(crm::take_price(order, attempt));
    course.target == Stage::PriceCalculated
}

/// From `MANUFACTURING_STARTED` to `PACKAGING`; says whether the course ends here.
fn produce(route: &mut Route<'_>, course: &Course) -> bool {
    let order = route.order;
    route.after(HOUR_MS, 20 * HOUR_MS, mes::start_production(order, false));
    if course.repeated {
        route.repeated(mes::start_production(order, false));
    }
    if course.reworked {
        route.after(12 * HOUR_MS, 2 * DAY_MS, mes::complete_production(order));
        route.after(20 * MINUTE_MS, 5 * HOUR_MS, mes::start_production(order, true));
    }
    if course.target == Stage::ManufacturingStarted {
        return true;
    }
    route.after(12 * HOUR_MS, 4 * DAY_MS, mes::complete_production(order));
    if course.target == Stage::ManufacturingCompleted {
        return true;
    }
    route.after(30 * MINUTE_MS, 12 * HOUR_MS, mes::pack(order));
    course.target == Stage::Packaging
}

/// Sets the steps on the clock: the current stage began `age_ms` before `as_of_ms`, or, where its
/// signal came twice, its first signal did.
#[must_use]
pub fn back_dated(legs: Vec<Leg>, course: &Course, as_of_ms: i64) -> Vec<StepPlan> {
    let began = current_stage_begin(&legs, course.target);
    let mut at_ms = as_of_ms - course.age_ms;
    for (gap_ms, _) in &legs[1..=began] {
        at_ms -= gap_ms;
    }
    let mut steps = Vec::with_capacity(legs.len());
    for (index, (gap_ms, mut step)) in legs.into_iter().enumerate() {
        if index > 0 {
            at_ms += gap_ms;
        }
        step.at_ms = at_ms;
        steps.push(step);
    }
    steps
}

/// Where in the legs the order's last run of its current stage begins.
fn current_stage_begin(legs: &[Leg], target: Stage) -> usize {
    let mut began = 0;
    let mut current = None;
    for (index, stage) in legs.iter().enumerate().filter_map(|(i, (_, s))| Some((i, s.stage?))) {
        if current != Some(stage) {
            current = Some(stage);
            began = index;
        }
    }
    debug_assert_eq!(current, Some(target), "a course ends at its target");
    began
}
