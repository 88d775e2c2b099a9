//! The order id: the one key that spans weeks and traces.

use std::fmt;

/// Longest order id in bytes; a longer value is no id (a stack trace in the wrong attribute) and
/// is counted by whoever reads it.
pub const ORDER_ID_BYTES_MAX: usize = 200;

/// An order id as the systems write it, without surrounding white space.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrderId(String);

/// Why a text is no order id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAnOrderId {
    /// Nothing but white space.
    #[error("an order id cannot be empty")]
    Empty,
    /// Longer than [`ORDER_ID_BYTES_MAX`].
    #[error("an order id has at most {ORDER_ID_BYTES_MAX} bytes")]
    TooLong,
    /// A line break or another control character, or one that turns the direction of writing, by
    /// which an id could be made to look like another.
    #[error("an order id has no control characters")]
    Control,
    /// `.` or `..`, which no address of a page can hold.
    #[error("an order id is more than dots")]
    Dots,
}

impl OrderId {
    /// Reads an id from an attribute or a URL.
    ///
    /// # Errors
    /// [`NotAnOrderId`] says why the text is none.
    pub fn parse(text: &str) -> Result<Self, NotAnOrderId> {
        Self::trimmed(text).map(|id| Self(id.to_owned()))
    }

    /// The id within `text`, as it stands there.
    ///
    /// # Errors
    /// [`NotAnOrderId`] says why the text is none.
    pub fn trimmed(text: &str) -> Result<&str, NotAnOrderId> {
        let text = text.trim();
        if text.is_empty() {
            return Err(NotAnOrderId::Empty);
        }
        if text.len() > ORDER_ID_BYTES_MAX {
            return Err(NotAnOrderId::TooLong);
        }
        let is_plain = text.bytes().all(|byte| (0x20..0x7f).contains(&byte));
        if !is_plain && text.chars().any(|c| c.is_control() || turns_direction(c)) {
            return Err(NotAnOrderId::Control);
        }
        if matches!(text, "." | "..") {
            return Err(NotAnOrderId::Dots);
        }
        Ok(text)
    }

    /// The id as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id as text of its own.
    #[must_use]
    pub fn into_string(self) -> String {
        self.0
    }
}

/// The bidirectional controls of Unicode (UAX #9, section 2).
fn turns_direction(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The form in which ids are compared by the search box: letters and digits, in upper case. Spaces,
/// `№`, `#` and hyphens are forgiven. The store keeps names in this form.
#[must_use]
pub fn search_key(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_uppercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_trimmed_and_bounded() {
        let cases = [
            (" ORD-1 ", Ok("ORD-1")),
            ("", Err(NotAnOrderId::Empty)),
            (" \t", Err(NotAnOrderId::Empty)),
            ("A\nB", Err(NotAnOrderId::Control)),
            ("A\u{202e}B", Err(NotAnOrderId::Control)),
            ("..", Err(NotAnOrderId::Dots)),
            ("A..", Ok("A..")),
        ];
        for (text, expected) in cases {
            assert_eq!(
                OrderId::parse(text).as_ref().map(OrderId::as_str),
                expected.as_ref().copied()
            );
        }
        assert_eq!(OrderId::parse(&"x".repeat(201)), Err(NotAnOrderId::TooLong));
    }

    #[test]
    fn the_search_key_forgives() {
        assert_eq!(search_key("№ ord-2026 - 000123"), "ORD2026000123");
        assert_eq!(search_key("заказ #7"), "ЗАКАЗ7");
    }
}
