//! Addresses of our own pages, with every name encoded.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::cursor::Cursor;

/// Everything but the unreserved characters of RFC 3986: safe in a path segment and in a query.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A text as one path segment or one query value.
#[must_use]
pub fn encoded(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

/// The page of an order.
#[must_use]
pub fn order(order_id: &str) -> String {
    format!("/orders/{}", encoded(order_id))
}

/// The list of a stage, of one condition if one is given, from the cursor on.
#[must_use]
pub fn stage(stage: &str, condition: Option<&str>, cursor: Option<&Cursor>) -> String {
    let mut link = format!("/stages/{}", encoded(stage));
    let condition = condition.map(|value| ("condition", value.to_owned()));
    let cursor = cursor.map(|cursor| ("cursor", cursor.encode()));
    for (index, (name, value)) in condition.into_iter().chain(cursor).enumerate() {
        let mark = if index == 0 { '?' } else { '&' };
        link.push_str(&format!("{mark}{name}={}", encoded(&value)));
    }
    link
}

/// A path with these query parameters.
#[must_use]
pub fn with_query(path: &str, pairs: &[(&str, &str)]) -> String {
    let query: Vec<String> =
        pairs.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{}", query.join("&")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_segment() {
        assert_eq!(order("a/b?c#d"), "/orders/a%2Fb%3Fc%23d");
        assert_eq!(order("\"><script>"), "/orders/%22%3E%3Cscript%3E");
        assert_eq!(stage("SUBMITTED", Some("stuck"), None), "/stages/SUBMITTED?condition=stuck");
        assert_eq!(stage("", None, None), "/stages/");
        assert_eq!(
            with_query("/search", &[("q", "№ 7&lang=en")]),
            "/search?q=%E2%84%96%207%26lang%3Den"
        );
    }
}
