//! The signal that a stage begins.

use std::time::SystemTime;

use opentelemetry::trace::TraceContextExt;
use opentelemetry::{Context, KeyValue};
use order_model::OrderId;
use order_model::keys::{CHANNEL_B2B, CHANNEL_B2C, KIND_CUSTOM, KIND_READY_MADE};

use crate::counts::Refusal;
use crate::emitter::Record;
use crate::keys::{
    CALC_ATTEMPT, ORDER_CHANNEL, ORDER_KIND, ORDER_MODEL_KEY, ORDER_PARTNER_ID,
    ORDER_PARTNER_NUMBER, ORDER_STAGE, STAGE_SIGNAL_NAME,
};
use crate::orders::{self, NamesOrders};
use crate::signals::{OrderSignals, attributes_of, set};

/// What is ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderKind {
    /// A piece made to order.
    Custom,
    /// A ready-made piece, which needs no price.
    ReadyMade,
}

impl OrderKind {
    /// As it is written in the attribute.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Custom => KIND_CUSTOM,
            Self::ReadyMade => KIND_READY_MADE,
        }
    }
}

/// Who ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderChannel {
    /// A customer of the shop.
    B2c,
    /// A partner through the API.
    B2b,
}

impl OrderChannel {
    /// As it is written in the attribute.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::B2c => CHANNEL_B2C,
            Self::B2b => CHANNEL_B2B,
        }
    }
}

/// A stage begins. Optional parts first, then [`StageSignal::send`], at the start of the stage:
/// a step that hangs never comes to its end.
#[derive(Debug)]
#[must_use = "nothing is sent before `send`"]
pub struct StageSignal<'a> {
    signals: &'a OrderSignals,
    orders: Vec<OrderId>,
    /// Whether the stage has a name; without it nothing is sent.
    named: bool,
    attributes: Vec<KeyValue>,
    time: Option<SystemTime>,
}

impl<'a> StageSignal<'a> {
    pub(crate) fn new(
        signals: &'a OrderSignals,
        orders: &(impl NamesOrders + ?Sized),
        stage: &str,
    ) -> Self {
        let orders = orders::read(orders, signals.counts(), STAGE_SIGNAL_NAME);
        let stage = orders::name(stage);
        let named = stage.is_some();
        let attributes = stage.map(|stage| KeyValue::new(ORDER_STAGE, stage)).into_iter().collect();
        Self { signals, orders, named, attributes, time: None }
    }

    /// What is ordered.
    pub fn kind(mut self, kind: OrderKind) -> Self {
        set(&mut self.attributes, KeyValue::new(ORDER_KIND, kind.as_str()));
        self
    }

    /// Who ordered.
    pub fn channel(mut self, channel: OrderChannel) -> Self {
        set(&mut self.attributes, KeyValue::new(ORDER_CHANNEL, channel.as_str()));
        self
    }

    /// The how manieth attempt at a calculation, from 1.
    pub fn attempt(mut self, attempt: u32) -> Self {
        set(&mut self.attributes, KeyValue::new(CALC_ATTEMPT, i64::from(attempt)));
        self
    }

    /// Where the 3D model is kept: a key, never a presigned URL.
    pub fn model_key(self, key: &str) -> Self {
        self.text(ORDER_MODEL_KEY, key)
    }

    /// The number that the partner gave to the order.
    pub fn partner_number(self, number: &str) -> Self {
        self.text(ORDER_PARTNER_NUMBER, number)
    }

    /// Which partner that is.
    pub fn partner_id(self, id: &str) -> Self {
        self.text(ORDER_PARTNER_ID, id)
    }

    /// When the stage began, if not now.
    pub const fn at(mut self, time: SystemTime) -> Self {
        self.time = Some(time);
        self
    }

    /// Sends it, in the trace of the current context.
    pub fn send(self) {
        if !self.may_be_sent() {
            return;
        }
        let context = Context::current();
        let time = self.time.unwrap_or_else(SystemTime::now);
        for attributes in attributes_of(&self.orders, &self.attributes) {
            let record = Record {
                name: STAGE_SIGNAL_NAME,
                body: "order stage began",
                time,
                attributes,
                context: context.clone(),
            };
            if self.signals.emit(record) {
                self.signals.counts().sent_stage();
            }
        }
    }

    /// Sends it as an event of the current span instead. Only for a span that ends soon: its
    /// events leave with it.
    pub fn send_on_current_span(self) {
        if !self.may_be_sent() {
            return;
        }
        let context = Context::current();
        let span = context.span();
        if !span.is_recording() {
            self.signals.counts().refuse(Refusal::NoSpan, STAGE_SIGNAL_NAME);
            return;
        }
        let time = self.time.unwrap_or_else(SystemTime::now);
        for attributes in attributes_of(&self.orders, &self.attributes) {
            span.add_event_with_timestamp(STAGE_SIGNAL_NAME, time, attributes);
            self.signals.counts().sent_stage();
        }
    }

    fn may_be_sent(&self) -> bool {
        let refused = if !self.named {
            Refusal::NotAStage
        } else if self.orders.is_empty() {
            Refusal::NoOrder
        } else {
            return true;
        };
        self.signals.counts().refuse(refused, STAGE_SIGNAL_NAME);
        false
    }

    fn text(mut self, key: &'static str, value: &str) -> Self {
        match orders::name(value) {
            Some(value) => set(&mut self.attributes, KeyValue::new(key, value)),
            // A cut number would be another one's number.
            None => self.signals.counts().refuse(Refusal::TextLeftOut, STAGE_SIGNAL_NAME),
        }
        self
    }
}
