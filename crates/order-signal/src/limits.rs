//! The bounds of signals. What goes past one is counted in [`crate::SignalCounts`] and said once.

use std::time::Duration;

/// Orders that one signal names. More are told by several signals, each with its part of them.
pub const ORDERS_PER_SIGNAL_MAX: usize = 128;
/// Orders of one call. The rest is refused as [`crate::Refusal::TooManyOrders`].
pub const ORDERS_PER_CALL_MAX: usize = 8_192;

/// How often a heartbeat beats unless told otherwise.
pub const HEARTBEAT_INTERVAL_DEFAULT: Duration = Duration::from_secs(30);
/// A shorter interval becomes this one.
pub const HEARTBEAT_INTERVAL_MIN: Duration = Duration::from_secs(1);
/// A longer interval becomes this one: past it silence could no longer be told from work.
pub const HEARTBEAT_INTERVAL_MAX: Duration = Duration::from_secs(600);
/// How long a heartbeat beats. One that was forgotten must not call dead work alive for ever: it
/// falls silent, as [`crate::Refusal::HeartbeatTooOld`].
pub const HEARTBEAT_LIFE_MAX: Duration = Duration::from_secs(24 * 3_600);
/// Heartbeats that run at a time. One more beats at its start and end only, as
/// [`crate::Refusal::TooManyHeartbeats`].
pub const HEARTBEATS_MAX: usize = 4_096;
