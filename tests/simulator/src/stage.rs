//! The stages of an order and their deadlines, as the simulator understands them.
//!
//! Written from the description of the business, on purpose without Waybill's own lifecycle:
//! the truth printed here checks that lifecycle, so it must not be computed by it.

use serde::{Deserialize, Serialize};

/// One minute in milliseconds, the unit of every time and duration in a plan.
pub const MINUTE_MS: i64 = 60_000;
/// One hour in milliseconds.
pub const HOUR_MS: i64 = 60 * MINUTE_MS;
/// One day in milliseconds.
pub const DAY_MS: i64 = 24 * HOUR_MS;
/// From `SUBMITTED` to `SHIPPED` an order may take three weeks; longer is late.
pub const PROMISE_MS: i64 = 21 * DAY_MS;
/// A price that was asked for this long ago and has no answer breaks the one-hour rule.
pub const CALCULATION_LIMIT_MS: i64 = HOUR_MS;

/// A stage of an order, in the order of the lifecycle, the two side exits last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Stage {
    /// The customer filled a cart.
    Initiated,
    /// The customer's 3D model is in the store.
    FileUploaded,
    /// The order was placed.
    Submitted,
    /// A price is being calculated.
    CalculationRunning,
    /// The price is known.
    PriceCalculated,
    /// A seller confirmed the order with the customer.
    ManufacturingApproved,
    /// An operator is making the piece.
    ManufacturingStarted,
    /// The piece is made.
    ManufacturingCompleted,
    /// The piece is being packed.
    Packaging,
    /// The carrier has it.
    Shipped,
    /// The customer has it.
    Closed,
    /// Called off.
    Cancelled,
    /// No price could be calculated; over, unless a later attempt succeeds.
    CalculationFailed,
}

impl Stage {
    /// Every stage, in the order of the lifecycle.
    pub const ALL: [Self; 13] = [
        Self::Initiated,
        Self::FileUploaded,
        Self::Submitted,
        Self::CalculationRunning,
        Self::PriceCalculated,
        Self::ManufacturingApproved,
        Self::ManufacturingStarted,
        Self::ManufacturingCompleted,
        Self::Packaging,
        Self::Shipped,
        Self::Closed,
        Self::Cancelled,
        Self::CalculationFailed,
    ];

    /// The stage as it is written in signals.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Initiated => "INITIATED",
            Self::FileUploaded => "FILE_UPLOADED",
            Self::Submitted => "SUBMITTED",
            Self::CalculationRunning => "CALCULATION_RUNNING",
            Self::PriceCalculated => "PRICE_CALCULATED",
            Self::ManufacturingApproved => "MANUFACTURING_APPROVED",
            Self::ManufacturingStarted => "MANUFACTURING_STARTED",
            Self::ManufacturingCompleted => "MANUFACTURING_COMPLETED",
            Self::Packaging => "PACKAGING",
            Self::Shipped => "SHIPPED",
            Self::Closed => "CLOSED",
            Self::Cancelled => "CANCELLED",
            Self::CalculationFailed => "CALCULATION_FAILED",
        }
    }

    /// How long an order of this kind may stay at the stage before it is late, and before it is
    /// stuck. `None` where nothing is ever late.
    ///
    /// A ready-made piece awaits no price: at `SUBMITTED` it already waits for the seller, and
    /// has the seller's time.
    #[must_use]
    pub const fn deadline(self, kind: Kind) -> Option<Deadline> {
        let (late_ms, stuck_ms) = match (self, kind) {
            (Self::Submitted, Kind::ReadyMade) | (Self::PriceCalculated, _) => (DAY_MS, 3 * DAY_MS),
            (Self::Submitted, Kind::Custom) => (15 * MINUTE_MS, 60 * MINUTE_MS),
            (Self::CalculationRunning | Self::CalculationFailed, _) => {
                (30 * MINUTE_MS, 60 * MINUTE_MS)
            }
            (Self::ManufacturingApproved | Self::ManufacturingCompleted | Self::Packaging, _) => {
                (DAY_MS, 2 * DAY_MS)
            }
            (Self::ManufacturingStarted, _) => (10 * DAY_MS, 14 * DAY_MS),
            _ => return None,
        };
        Some(Deadline { late_ms, stuck_ms })
    }

    /// Whether the stage's deadline runs from the request for the price rather than from the
    /// stage's begin: the one-hour rule measures the whole calculation, queue included, and a
    /// failure does not stop its clock.
    #[must_use]
    pub const fn measured_from_request(self) -> bool {
        matches!(self, Self::CalculationRunning | Self::CalculationFailed)
    }

    /// Whether an order at this stage is still on its way to the carrier, so that the promise of
    /// three weeks can be broken.
    #[must_use]
    pub const fn awaits_shipment(self) -> bool {
        !matches!(self, Self::Shipped | Self::Closed | Self::Cancelled | Self::CalculationFailed)
    }
}

/// How long an order may stay at a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    /// Milliseconds after which it is late.
    pub late_ms: i64,
    /// Milliseconds after which it is stuck; a stuck order no longer counts as late.
    pub stuck_ms: i64,
}

/// What is ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Made from the customer's 3D model; needs a price.
    Custom,
    /// Taken from the catalogue: no model, no calculation.
    ReadyMade,
}

impl Kind {
    /// The value of `order.kind`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Custom => "custom",
            Self::ReadyMade => "ready_made",
        }
    }
}

/// Who ordered it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// A customer in the shop.
    B2c,
    /// A partner through the API.
    B2b,
}

impl Channel {
    /// The value of `order.channel`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::B2c => "b2c",
            Self::B2b => "b2b",
        }
    }
}
