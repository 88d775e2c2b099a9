//! Points in time as OpenTelemetry and ClickHouse write them: nanoseconds since 1970, UTC.

/// Nanoseconds since 1970-01-01T00:00:00Z. The range of `i64` ends on 2262-04-11, as that of
/// ClickHouse's `DateTime64(9)`.
pub type UnixNanos = i64;

/// Nanoseconds in a second.
pub const NANOS_PER_SECOND: i64 = 1_000_000_000;
/// Nanoseconds in a millisecond.
pub const NANOS_PER_MILLI: i64 = 1_000_000;

/// An OTLP `fixed64` time as ours. A time after 2262 is held at the end of the range, so that it
/// stays in the future instead of wrapping into the past.
#[must_use]
pub fn from_otlp(unix_nano: u64) -> UnixNanos {
    i64::try_from(unix_nano).unwrap_or(i64::MAX)
}

/// Milliseconds since 1970, rounded down (also before 1970).
#[must_use]
pub fn to_millis(nanos: UnixNanos) -> i64 {
    nanos.div_euclid(NANOS_PER_MILLI)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_far_future_stays_in_the_future() {
        assert_eq!(from_otlp(u64::MAX), i64::MAX);
        assert_eq!(from_otlp(1), 1);
        assert_eq!(to_millis(-1), -1);
    }
}
