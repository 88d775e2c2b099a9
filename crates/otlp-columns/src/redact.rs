//! What never reaches a row: the table of attribute keys whose values are removed.
//!
//! Names, phones, e-mails, addresses, payment data, message bodies, model contents, raw SQL
//! parameters, tokens and presigned URLs must not be stored. Rules name keys, in lower case; keys
//! are compared without regard to case. A key inside a map value is compared by its whole path,
//! joined by dots (`customer` = {`name`: …} is `customer.name`).

use std::collections::HashSet;

/// Stands where a value was removed.
pub const REDACTED: &str = "[redacted]";

/// Keys whose values are removed: exact, `prefix*` or `*suffix`, with the reason.
///
/// Sources of the standard keys: the OpenTelemetry semantic conventions,
/// <https://opentelemetry.io/docs/specs/semconv/registry/attributes/>.
pub const DEFAULT_KEYS: &[(&str, &str)] = &[
    ("enduser.*", "who the end user is"),
    ("user.email", "e-mail"),
    ("user.name", "name"),
    ("user.full_name", "name"),
    ("user.hash", "pseudonym of a person"),
    ("customer.*", "name, phone, address of the customer"),
    ("recipient.*", "name, phone, address of the recipient"),
    ("contact.*", "name, phone, address of a contact"),
    ("delivery.address*", "address"),
    ("shipping.address*", "address"),
    ("*.phone", "phone"),
    ("*.phone_number", "phone"),
    ("phone", "phone"),
    ("*.email", "e-mail"),
    ("email", "e-mail"),
    ("*.first_name", "name"),
    ("*.last_name", "name"),
    ("*.full_name", "name"),
    ("*.passport", "identity document"),
    ("client.address", "network address of a person"),
    ("client.ip", "network address of a person"),
    ("http.client_ip", "network address of a person"),
    ("payment.*", "payment data"),
    ("card.*", "payment data"),
    ("*.card_number", "payment data"),
    ("*.iban", "payment data"),
    ("http.request.header.authorization", "token"),
    ("http.request.header.proxy-authorization", "token"),
    ("http.request.header.cookie", "token"),
    ("http.request.header.x-api-key", "token"),
    ("http.response.header.set-cookie", "token"),
    ("*.authorization", "token"),
    ("*.password", "secret"),
    ("*.passwd", "secret"),
    ("*.secret", "secret"),
    ("*.token", "token"),
    ("*.access_token", "token"),
    ("*.api_key", "token"),
    ("password", "secret"),
    ("token", "token"),
    ("authorization", "token"),
    ("http.request.body*", "message body"),
    ("http.response.body*", "message body"),
    ("messaging.message.body", "message body"),
    ("messaging.message.payload", "message body"),
    ("order.model.content", "contents of the model"),
    ("model.content", "contents of the model"),
    ("db.query.parameter.*", "raw SQL parameters"),
    ("db.operation.parameter.*", "raw SQL parameters"),
    ("db.statement.parameters", "raw SQL parameters"),
    ("url.query", "may carry tokens"),
];

/// Sizes and ids that a pattern above would remove, and that say nothing of a person.
pub const KEPT_KEYS: &[&str] =
    &["customer.id", "payment.id", "http.request.body.size", "http.response.body.size"];

/// Keys that hold a URL: credentials, query and fragment are cut (presigned URLs, tokens).
pub const URL_KEYS: &[&str] =
    &["url.full", "url.original", "http.url", "http.target", "url.referrer", "order.model.url"];

/// Keys that hold SQL: literals become `?`.
pub const SQL_KEYS: &[&str] = &["db.statement", "db.query.text"];

/// What to do with the value of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Store it.
    Keep,
    /// Replace it by [`REDACTED`].
    Remove,
    /// Cut what a URL carries besides its path.
    CutUrl,
    /// Replace the literals of SQL.
    CutSql,
}

/// Compiled redaction rules.
#[derive(Debug, Clone, Default)]
pub struct Redaction {
    exact: HashSet<String>,
    prefixes: Vec<String>,
    suffixes: Vec<String>,
}

/// A pattern of `--redact-key` is not usable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no key pattern; write `key`, `prefix*` or `*suffix`")]
pub struct BadPattern(pub String);

impl Redaction {
    /// The default table and `more` patterns.
    ///
    /// # Errors
    /// A pattern is empty, only a star, or has a star in the middle.
    pub fn with(more: &[String]) -> Result<Self, BadPattern> {
        let mut redaction = Self::default();
        for (pattern, _) in DEFAULT_KEYS {
            redaction.add(pattern)?;
        }
        for pattern in more {
            redaction.add(pattern)?;
        }
        Ok(redaction)
    }

    fn add(&mut self, pattern: &str) -> Result<(), BadPattern> {
        let key = pattern.trim().to_ascii_lowercase();
        let bare = key.trim_matches('*');
        if bare.is_empty() || bare.contains('*') || (key.starts_with('*') && key.ends_with('*')) {
            return Err(BadPattern(pattern.to_owned()));
        }
        if key.ends_with('*') {
            self.prefixes.push(bare.to_owned());
        } else if key.starts_with('*') {
            self.suffixes.push(bare.to_owned());
        } else {
            self.exact.insert(key);
        }
        Ok(())
    }

    /// What to do with the value of `key`.
    #[must_use]
    pub fn verdict(&self, key: &str) -> Verdict {
        if key.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return self.verdict_lower(&key.to_ascii_lowercase());
        }
        self.verdict_lower(key)
    }

    fn verdict_lower(&self, key: &str) -> Verdict {
        if self.exact.contains(key) {
            return Verdict::Remove;
        }
        if KEPT_KEYS.contains(&key) {
            return Verdict::Keep;
        }
        let removed = self.prefixes.iter().any(|prefix| key.starts_with(prefix.as_str()))
            || self.suffixes.iter().any(|suffix| key.ends_with(suffix.as_str()));
        if removed {
            return Verdict::Remove;
        }
        if URL_KEYS.contains(&key) {
            return Verdict::CutUrl;
        }
        if SQL_KEYS.contains(&key) { Verdict::CutSql } else { Verdict::Keep }
    }
}

/// Cuts credentials, query and fragment of a URL; `None` when there are none.
pub(crate) fn cut_url(url: &str) -> Option<String> {
    let path_end = url.find(['?', '#']).unwrap_or(url.len());
    let kept = &url[..path_end];
    let authority = kept.find("://").map(|at| at + 3);
    let credentials = authority.and_then(|start| {
        let end = kept[start..].find('/').map_or(kept.len(), |at| start + at);
        kept[start..end].rfind('@').map(|at| (start, start + at + 1))
    });
    match credentials {
        Some((start, end)) => Some(format!("{}{}", &kept[..start], &kept[end..])),
        None if path_end < url.len() => Some(kept.to_owned()),
        None => None,
    }
}

/// Replaces string and number literals of SQL by `?`; `None` when there are none.
pub(crate) fn cut_sql(sql: &str) -> Option<String> {
    let mut out = String::with_capacity(sql.len());
    let mut changed = false;
    let mut rest = sql;
    let mut previous = ' ';
    while let Some(first) = rest.chars().next() {
        let in_word = previous.is_alphanumeric() || matches!(previous, '_' | '$' | '"');
        let literal_bytes = match first {
            '\'' => Some(string_literal_bytes(rest)),
            '0'..='9' if !in_word => {
                rest.find(|c: char| !c.is_alphanumeric() && c != '.').or(Some(rest.len()))
            }
            _ => None,
        };
        match literal_bytes {
            Some(bytes) => {
                out.push('?');
                changed = true;
                previous = '?';
                rest = &rest[bytes..];
            }
            None => {
                out.push(first);
                previous = first;
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    changed.then_some(out)
}

/// Length of the string literal that `text` begins with; `''` and `\'` inside do not end it.
fn string_literal_bytes(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'\'' if bytes.get(at + 1) == Some(&b'\'') => at += 2,
            b'\'' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_judged_by_the_table() {
        let redaction = Redaction::with(&["my.secret.*".into(), "*.inn".into()]).unwrap();
        for (key, expected) in [
            ("enduser.id", Verdict::Remove),
            ("customer.name", Verdict::Remove),
            ("customer.id", Verdict::Keep),
            ("Customer.Phone", Verdict::Remove),
            ("shop.contact.phone", Verdict::Remove),
            ("http.request.header.Authorization", Verdict::Remove),
            ("http.request.body.size", Verdict::Keep),
            ("http.request.body", Verdict::Remove),
            ("db.query.parameter.0", Verdict::Remove),
            ("my.secret.thing", Verdict::Remove),
            ("partner.inn", Verdict::Remove),
            ("order.id", Verdict::Keep),
            ("url.full", Verdict::CutUrl),
            ("db.query.text", Verdict::CutSql),
            ("messaging.message.id", Verdict::Keep),
            ("error.message", Verdict::Keep),
        ] {
            assert_eq!(redaction.verdict(key), expected, "{key}");
        }
    }

    #[test]
    fn an_order_to_remove_a_kept_key_is_obeyed() {
        let redaction = Redaction::with(&["customer.id".into()]).unwrap();
        assert_eq!(redaction.verdict("customer.id"), Verdict::Remove);
    }

    #[test]
    fn patterns_that_mean_nothing_are_refused() {
        for pattern in ["", "*", " ", "a*b", "*a*"] {
            let refused = Redaction::with(&[pattern.to_owned()]);
            assert_eq!(refused.unwrap_err(), BadPattern(pattern.to_owned()));
        }
    }

    #[test]
    fn urls_lose_credentials_query_and_fragment() {
        for (url, expected) in [
            ("https://s3/b/m.stl?X-Amz-Signature=1", Some("https://s3/b/m.stl")),
            ("https://user:pw@host/x", Some("https://host/x")),
            ("https://user:pw@host?x=1", Some("https://host")),
            ("/path?token=1", Some("/path")),
            ("/path#frag", Some("/path")),
            ("https://host/a@b", None),
            ("/path", None),
            ("", None),
        ] {
            assert_eq!(cut_url(url).as_deref(), expected, "{url}");
        }
    }

    #[test]
    fn sql_loses_its_literals() {
        for (sql, expected) in [
            ("select a1 from t2 where n = 'O''Brien'", Some("select a1 from t2 where n = ?")),
            (r"values ('it\'s', 42, 1.5)", Some("values (?, ?, ?)")),
            ("where id = $1", None),
            ("select \"1 a\" from t", None),
            ("x = 'open", Some("x = ?")),
            ("x = 'я'", Some("x = ?")),
            ("x = 'я\\", Some("x = ?")),
        ] {
            assert_eq!(cut_sql(sql).as_deref(), expected, "{sql}");
        }
    }
}
