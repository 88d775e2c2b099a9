//! The place in a stage list: opaque in URLs, so that readers hand it back as they got it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use order_model::OrderId;

/// First byte of a cursor; another one is of another Waybill.
const VERSION: u8 = 1;
/// The store's times end in 2299, milliseconds since 1970; anything beyond was not written by us.
pub(crate) const TIME_END_MS: i64 = 10_413_792_000_000;
/// Version, two times.
const HEAD_BYTES: usize = 1 + 8 + 8;
/// Longest text worth decoding: a head and the longest order id in base64, with room.
const TEXT_BYTES_MAX: usize = 400;

/// Where the next page begins, and as of when all pages of the list are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// Milliseconds since 1970: every page carries the same.
    pub as_of: i64,
    /// `StageSince` of the last order shown, milliseconds since 1970.
    pub since: i64,
    /// The last order shown.
    pub order_id: String,
}

/// The text is no cursor of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the cursor is damaged or of another version; start from the first page")]
pub struct BadCursor;

impl Cursor {
    /// As it stands in URLs.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut bytes = Vec::with_capacity(HEAD_BYTES + self.order_id.len());
        bytes.push(VERSION);
        bytes.extend_from_slice(&self.as_of.to_be_bytes());
        bytes.extend_from_slice(&self.since.to_be_bytes());
        bytes.extend_from_slice(self.order_id.as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads what [`Cursor::encode`] wrote.
    ///
    /// # Errors
    /// [`BadCursor`] for any other text.
    pub fn decode(text: &str) -> Result<Self, BadCursor> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(BadCursor);
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| BadCursor)?;
        let (head, id) = bytes.split_at_checked(HEAD_BYTES).ok_or(BadCursor)?;
        if head.first() != Some(&VERSION) {
            return Err(BadCursor);
        }
        let time = |from: usize| -> Result<i64, BadCursor> {
            let bytes = head.get(from..from + 8).ok_or(BadCursor)?;
            bytes.try_into().map(i64::from_be_bytes).map_err(|_| BadCursor)
        };
        let id = std::str::from_utf8(id).map_err(|_| BadCursor)?;
        let order_id = OrderId::parse(id).map_err(|_| BadCursor)?.into_string();
        let cursor = Self { as_of: time(1)?, since: time(9)?, order_id };
        let plausible = |millis: i64| (0..TIME_END_MS).contains(&millis);
        if plausible(cursor.as_of) && plausible(cursor.since) { Ok(cursor) } else { Err(BadCursor) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor(order_id: &str) -> Cursor {
        Cursor { as_of: 1_700_000_000_123, since: 1_600_000_000_456, order_id: order_id.into() }
    }

    #[test]
    fn what_is_written_is_read() {
        for id in ["ORD-1", "заказ №7", "<script>", &"x".repeat(200)] {
            let text = cursor(id).encode();
            assert_eq!(Cursor::decode(&text), Ok(cursor(id)));
            assert!(text.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c)), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        let whole = cursor("ORD-1").encode();
        let mut other_version = cursor("ORD-1");
        other_version.as_of = -1;
        let cases = [
            String::new(),
            "x".into(),
            "!!!".into(),
            whole[..8].to_owned(),
            format!("{whole}="),
            whole.replacen('A', "B", 1),
            other_version.encode(),
            cursor("").encode(),
            cursor("a\nb").encode(),
            "A".repeat(10_000),
        ];
        for text in cases {
            assert_eq!(Cursor::decode(&text), Err(BadCursor), "{text}");
        }
    }
}
