//! A sign of life of long work, for as long as a guard lives.

use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use opentelemetry::{Context, KeyValue};
use order_model::OrderId;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::counts::Refusal;
use crate::emitter::Record;
use crate::keys::{CALC_ATTEMPT, HEARTBEAT_NAME, ORDER_STAGE};
use crate::limits::{
    HEARTBEAT_INTERVAL_DEFAULT, HEARTBEAT_INTERVAL_MAX, HEARTBEAT_INTERVAL_MIN, HEARTBEAT_LIFE_MAX,
    HEARTBEATS_MAX,
};
use crate::orders;
use crate::signals::{OrderSignals, attributes_of, set, trace_of};

/// Settings of a heartbeat, then [`HeartbeatStart::start`].
#[derive(Debug)]
#[must_use = "nothing beats before `start`"]
pub struct HeartbeatStart {
    signals: OrderSignals,
    orders: Vec<OrderId>,
    attributes: Vec<KeyValue>,
    interval: Duration,
}

impl HeartbeatStart {
    pub(crate) const fn new(signals: OrderSignals, orders: Vec<OrderId>) -> Self {
        let interval = HEARTBEAT_INTERVAL_DEFAULT;
        Self { signals, orders, attributes: Vec::new(), interval }
    }

    /// In which stage the work is.
    pub fn stage(mut self, stage: &str) -> Self {
        match orders::name(stage) {
            Some(stage) => set(&mut self.attributes, KeyValue::new(ORDER_STAGE, stage)),
            None => self.signals.counts().refuse(Refusal::NotAStage, HEARTBEAT_NAME),
        }
        self
    }

    /// The how manieth attempt at a calculation, from 1.
    pub fn attempt(mut self, attempt: u32) -> Self {
        set(&mut self.attributes, KeyValue::new(CALC_ATTEMPT, i64::from(attempt)));
        self
    }

    /// How often it beats; held within [`HEARTBEAT_INTERVAL_MIN`] and [`HEARTBEAT_INTERVAL_MAX`].
    pub fn every(mut self, interval: Duration) -> Self {
        self.interval = interval.clamp(HEARTBEAT_INTERVAL_MIN, HEARTBEAT_INTERVAL_MAX);
        self
    }

    /// Beats at once, then every interval until the guard is dropped, and then a last time. The
    /// beats belong to the trace of the current context.
    pub fn start(self) -> Heartbeat {
        let Self { signals, orders, attributes, interval } = self;
        let beat = Beat { signals, orders, attributes, context: trace_of(&Context::current()) };
        if beat.orders.is_empty() {
            beat.refuse(Refusal::NoOrder);
            return Heartbeat { beat: None, task: None };
        }
        beat.send();
        let task = Place::take(&beat.signals).and_then(|place| spawn(&beat, interval, place));
        Heartbeat { beat: Some(beat), task }
    }
}

/// Beats until it is dropped.
///
/// It tells that the process is alive and still holds the work, not that the work moves on: drop
/// it when the work ends, whatever the end.
#[derive(Debug)]
#[must_use = "a heartbeat that is dropped at once beats twice and is over"]
pub struct Heartbeat {
    beat: Option<Beat>,
    task: Option<AbortHandle>,
}

impl Heartbeat {
    /// Beats for the last time; the same as dropping it.
    pub fn stop(self) {}
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
        if let Some(beat) = &self.beat {
            beat.send();
        }
    }
}

/// One beat, as often as it is sent.
#[derive(Debug, Clone)]
struct Beat {
    signals: OrderSignals,
    orders: Vec<OrderId>,
    attributes: Vec<KeyValue>,
    context: Context,
}

impl Beat {
    fn send(&self) {
        for attributes in attributes_of(&self.orders, &self.attributes) {
            let record = Record {
                name: HEARTBEAT_NAME,
                body: "order heartbeat",
                time: SystemTime::now(),
                attributes,
                context: self.context.clone(),
            };
            if self.signals.emit(record) {
                self.signals.counts().sent_beat();
            }
        }
    }

    fn refuse(&self, why: Refusal) {
        self.signals.counts().refuse(why, HEARTBEAT_NAME);
    }
}

/// One of the places for heartbeats that beat at a time; given back when dropped.
#[derive(Debug)]
struct Place(OrderSignals);

impl Place {
    fn take(signals: &OrderSignals) -> Option<Self> {
        let place = Self(signals.clone());
        if signals.beating.fetch_add(1, Ordering::Relaxed) < HEARTBEATS_MAX {
            return Some(place);
        }
        signals.counts().refuse(Refusal::TooManyHeartbeats, HEARTBEAT_NAME);
        None
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.beating.fetch_sub(1, Ordering::Relaxed);
    }
}

fn spawn(beat: &Beat, interval: Duration, place: Place) -> Option<AbortHandle> {
    let Ok(runtime) = Handle::try_current() else {
        beat.refuse(Refusal::NoRuntime);
        return None;
    };
    let beat = beat.clone();
    let task = runtime.spawn(async move {
        let _place = place;
        let begun = Instant::now();
        let mut ticks = interval_at(begun + interval, interval);
        // After a pause of the machine one beat is due, not all that were missed.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while begun.elapsed() < HEARTBEAT_LIFE_MAX {
            ticks.tick().await;
            beat.send();
        }
        beat.refuse(Refusal::HeartbeatTooOld);
    });
    Some(task.abort_handle())
}
