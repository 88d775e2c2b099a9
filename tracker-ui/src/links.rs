//! Addresses of our own pages, with every name encoded.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::cursor::Cursor;
use crate::locale::iso;

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

/// What the address of a list says.
#[derive(Debug, Clone, Copy, Default)]
pub struct Listing<'a> {
    /// Only orders in this condition.
    pub condition: Option<&'a str>,
    /// The point in time at which conditions are judged, milliseconds since 1970.
    pub as_of: Option<i64>,
    /// Where the page begins.
    pub cursor: Option<&'a Cursor>,
}

/// The list of a stage; without one, of the open orders of every stage.
#[must_use]
pub fn list(stage: Option<&str>, listing: Listing<'_>) -> String {
    let path = stage.map_or("/orders".to_owned(), |stage| format!("/stages/{}", encoded(stage)));
    // A cursor carries the point in time.
    let as_of = listing.as_of.filter(|_| listing.cursor.is_none()).map(iso);
    let cursor = listing.cursor.map(Cursor::encode);
    let pairs = [("condition", listing.condition), ("as_of", as_of.as_deref())];
    let pairs = pairs.into_iter().chain([("cursor", cursor.as_deref())]);
    let pairs: Vec<_> = pairs.filter_map(|(name, value)| Some((name, value?))).collect();
    with_query(&path, &pairs)
}

/// The whole list of a stage, as of now.
#[must_use]
pub fn stage(stage: &str) -> String {
    list(Some(stage), Listing::default())
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
        assert_eq!(stage(""), "/stages/");
        assert_eq!(
            with_query("/search", &[("q", "№ 7&lang=en")]),
            "/search?q=%E2%84%96%207%26lang%3Den"
        );
    }

    #[test]
    fn a_list_says_what_it_shows_and_as_of_when() {
        let stuck = Listing { condition: Some("stuck"), as_of: Some(1_500), cursor: None };
        let when = "as_of=1970-01-01T00%3A00%3A01.500Z";
        assert_eq!(
            list(Some("SUBMITTED"), stuck),
            format!("/stages/SUBMITTED?condition=stuck&{when}")
        );
        assert_eq!(list(None, stuck), format!("/orders?condition=stuck&{when}"));
        let cursor = Cursor { as_of: 1_500, since: 1, order_id: "ORD-1".into() };
        let next = list(None, Listing { cursor: Some(&cursor), ..stuck });
        assert_eq!(next, format!("/orders?condition=stuck&cursor={}", cursor.encode()));
    }
}
