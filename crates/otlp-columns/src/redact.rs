//! What never reaches a row: keys whose values are removed, and what texts lose.
//!
//! Names, phones, e-mails, addresses, payment data, message bodies, model contents, raw SQL
//! parameters, tokens and presigned URLs must not be stored. Keys are judged by their words
//! ([`SENSITIVE_WORDS`]), and by the patterns of the settings, which are compared with the whole
//! key without regard to case. A key inside a map value is judged by its whole path, joined by
//! dots (`customer` = {`name`: …} is `customer.name`).
//!
//! What no key gives away is told by the text itself: the built-in rules of values ([`BuiltIn`])
//! and those of the settings look at every text, but for the values by which orders are found
//! ([`Redaction::keeping`]).

mod built_in;
mod numbers;
mod sql;
mod url;
mod secrets;
mod free_text;
mod own;
mod keys;
mod rules;
#[cfg(test)]
mod reference;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use memchr::memchr3;

pub use built_in::BuiltIn;
use built_in::Rules;
pub use keys::{COUNT_WORDS, KEPT_HEADERS, KEPT_KEYS, NUMBER_WORDS, SENSITIVE_WORDS};
use keys::{Said, Words};
use own::OwnRules;
pub use own::{RULES_MAX, ValueRule};
pub use rules::{BadPattern, BadRule, RedactionRules};
use sql::cut_sql;
use url::{cut_if_url, cut_query, cut_url};

/// Stands where a value was removed.
pub const REDACTED: &str = "[redacted]";

/// A key longer than this is not judged: its value is removed.
const KEY_BYTES_MAX: usize = 1_024;

/// Keys, by all of their words, whose values are cut; and those that are removed under such a key
/// alone (`address`, and not `server.address`).
pub const CUT_KEYS: &[(Verdict, &[&str])] = &[
    (Verdict::Remove, &["address", "zip", "pin"]),
    (
        Verdict::CutUrl,
        &["url.full", "url.original", "http.url", "http.target", "url.referrer", "order.model.url"],
    ),
    (Verdict::CutQuery, &["url.path", "http.route"]),
    (Verdict::CutSql, &["db.statement", "db.query.text", "sql", "db.sql", "sql.text", "sql.query"]),
    (
        Verdict::Scrub,
        &[
            "error",
            "error.message",
            "error.stack",
            "error.stacktrace",
            "error.stack.trace",
            "exception",
            "exception.message",
            "exception.stacktrace",
            "message",
            "log.message",
            "msg",
            "otel.status.description",
            "reason",
            "stacktrace",
            "stack.trace",
        ],
    ),
];

/// What to do with the value of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Store it: orders are found by it. Only a URL loses credentials, query and fragment.
    Keep,
    /// Replace it by [`REDACTED`].
    Remove,
    /// Replace texts by [`REDACTED`]; a map is judged by its own keys.
    RemoveText,
    /// Cut what a URL carries besides its path, and scrub.
    CutUrl,
    /// Cut the query of a path, and scrub.
    CutQuery,
    /// Replace the literals of SQL, and scrub.
    CutSql,
    /// Replace the literals of what may be SQL: a name that holds quotes; and scrub.
    CutQuoted,
    /// Replace what gives a person or a secret away in free text.
    Scrub,
    /// The same of a value that may be a URL as a whole: most attributes.
    ScrubValue,
    /// The same of an id or another number, which is not judged by its digits.
    ScrubNumber,
}

/// Compiled redaction rules.
#[derive(Debug, Clone, Default)]
pub struct Redaction {
    exact: HashSet<String>,
    prefixes: Vec<String>,
    suffixes: Vec<String>,
    /// Keys whose values stay.
    kept: HashSet<String>,
    words: Words,
    cut: HashMap<&'static str, Verdict>,
    texts: Arc<TextRules>,
}

/// What a text loses whatever its key. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct TextRules {
    built_in: Rules,
    own: Option<OwnRules>,
}

impl Default for TextRules {
    fn default() -> Self {
        Self { built_in: Rules::ALL, own: None }
    }
}

impl Redaction {
    /// The default table and `more` patterns of keys.
    ///
    /// # Errors
    /// A pattern is empty, only a star, or has a star in the middle.
    pub fn with(more: &[String]) -> Result<Self, BadPattern> {
        let mut redaction = Self::default();
        for (verdict, keys) in CUT_KEYS {
            redaction.cut.extend(keys.iter().map(|key| (*key, *verdict)));
        }
        for pattern in more {
            redaction.add(pattern)?;
        }
        Ok(redaction)
    }

    /// The same rules, with keys whose values the rules of texts leave alone. What is removed by
    /// its key or cut by its kind is removed and cut all the same.
    #[must_use]
    pub fn keeping<'k>(mut self, keys: impl IntoIterator<Item = &'k str>) -> Self {
        self.kept.extend(keys.into_iter().map(str::to_owned));
        self
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
        if key.len() > KEY_BYTES_MAX || self.is_named(key) {
            return Verdict::Remove;
        }
        let words = keys::split(key);
        match self.words.judge(&words) {
            Said::Remove => return Verdict::Remove,
            Said::RemoveText => return Verdict::RemoveText,
            Said::Nothing => {}
        }
        match self.cut.get(words.as_str()) {
            Some(verdict) => *verdict,
            None if words.starts_with("db.operation") || words == "db.query.summary" => {
                Verdict::CutQuoted
            }
            None if self.kept.contains(key) => Verdict::Keep,
            None if keys::is_number(&words) => Verdict::ScrubNumber,
            // Text without a key is free text.
            None if words.is_empty() => Verdict::Scrub,
            None => Verdict::ScrubValue,
        }
    }

    /// Whether a pattern of the settings names `key`.
    pub(crate) fn is_named(&self, key: &str) -> bool {
        if self.exact.is_empty() && self.prefixes.is_empty() && self.suffixes.is_empty() {
            return false;
        }
        let key = key.to_ascii_lowercase();
        self.exact.contains(&key)
            || self.prefixes.iter().any(|prefix| key.starts_with(prefix.as_str()))
            || self.suffixes.iter().any(|suffix| key.ends_with(suffix.as_str()))
    }

    /// A key as it may be stored; `None` when it may be as it is. A key may be data, too.
    pub(crate) fn mended_key(&self, key: &str) -> Option<String> {
        self.texts.scrub(key, self.texts.built_in)
    }

    /// What a text loses whatever its key.
    pub(crate) fn texts(&self) -> &Arc<TextRules> {
        &self.texts
    }

    /// A text as it may be stored; `None` when it may be as it is.
    #[inline]
    pub(crate) fn mended(&self, verdict: Verdict, text: &str) -> Option<String> {
        self.texts.mended(verdict, text)
    }
}

impl TextRules {
    fn mended(&self, verdict: Verdict, text: &str) -> Option<String> {
        let cut = match verdict {
            Verdict::Remove | Verdict::RemoveText => return Some(REDACTED.to_owned()),
            Verdict::Keep => return self.cut_if_url(text),
            Verdict::CutUrl => cut_url(text),
            Verdict::CutQuery => cut_query(text),
            Verdict::CutQuoted if memchr3(b'\'', b'"', b'$', text.as_bytes()).is_none() => {
                self.cut_if_url(text)
            }
            Verdict::CutSql | Verdict::CutQuoted => cut_sql(text),
            Verdict::ScrubValue | Verdict::ScrubNumber => self.cut_if_url(text),
            Verdict::Scrub => None,
        };
        let rules = match verdict {
            Verdict::ScrubNumber => self.built_in.without(Rules::OF_DIGITS),
            _ => self.built_in,
        };
        self.scrub(cut.as_deref().unwrap_or(text), rules).or(cut)
    }

    /// A name of a span or an event as it may be stored; `None` when it may be as it is.
    pub(crate) fn mended_name(&self, name: &str) -> Option<String> {
        let scrubbed = self.scrub(name, self.built_in);
        cut_query(scrubbed.as_deref().unwrap_or(name)).or(scrubbed)
    }

    fn scrub(&self, text: &str, rules: Rules) -> Option<String> {
        let scrubbed = free_text::scrub(text, rules);
        let Some(own) = &self.own else { return scrubbed };
        own.scrub(scrubbed.as_deref().unwrap_or(text)).or(scrubbed)
    }

    fn cut_if_url(&self, text: &str) -> Option<String> {
        if self.built_in.has(BuiltIn::Url) { cut_if_url(text) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_judged_by_the_table() {
        let redaction = Redaction::with(&["my.secret.*".into(), "*.inn".into()]).unwrap();
        let redaction = redaction.keeping(["order.id", "customer.name", "url.full"]);
        for (key, expected) in [
            ("enduser.id", Verdict::Remove),
            ("customer.name", Verdict::Remove),
            ("customer.id", Verdict::ScrubNumber),
            ("Customer.Phone", Verdict::Remove),
            ("shop.contact.phone", Verdict::Remove),
            ("http.request.header.Authorization", Verdict::Remove),
            ("http.request.body.size", Verdict::ScrubValue),
            ("http.request.body", Verdict::Remove),
            ("db.query.parameter.0", Verdict::Remove),
            ("my.secret.thing", Verdict::Remove),
            ("partner.inn", Verdict::Remove),
            ("order.id", Verdict::Keep),
            ("orderId", Verdict::ScrubNumber),
            ("custom.note", Verdict::ScrubValue),
            ("", Verdict::Scrub),
            ("url.full", Verdict::CutUrl),
            ("db.query.text", Verdict::CutSql),
            ("messaging.message.id", Verdict::ScrubNumber),
            ("error.message", Verdict::Scrub),
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
    fn every_way_to_name_a_person_or_a_secret_is_caught() {
        let redaction = Redaction::with(&[]).unwrap();
        for key in "phone_number phoneNumber customer_phone customerPhone customer_name \
            customer_email first_name last_name full_name fio user.name deliveryAddress \
            recipient.name order.customer.name order.recipient.address shipping_address \
            delivery_address order.address billing.address shipping.address.street passport \
            recipient contact card card_number cardNumber iban pan cvv payment payment_token \
            secret client_secret passwd pwd password api_key apiKey APIKey access_token \
            accessToken refresh_token jwt token cookie x-api-key authorization \
            http.request.header.x-forwarded-for http.response.header.set-cookie \
            rpc.grpc.request.metadata.auth message.body messaging.body messaging.payload \
            request.body http.request_body http.body requestBody body payload model.data \
            order.model.data model.contents file.content db.query.parameter.0 \
            db.query.parameter.name db.sql.parameters db.bind_values sql.params enduser.id \
            client.address network.peer.address net.peer.ip source.address \
            process.command_line process.command_args ФИО username login address street city \
            delivery.street delivery.city tel zip postalcode sender.name receiver.name Имя фамилия \
            паспорт pin otp"
            .split_whitespace()
        {
            assert_eq!(redaction.verdict(key), Verdict::Remove, "{key}");
        }
        assert_eq!(redaction.verdict("customer"), Verdict::RemoveText);
        assert_eq!(redaction.verdict(&"k".repeat(1_025)), Verdict::Remove);
    }

    #[test]
    fn what_orders_are_found_and_told_by_is_kept() {
        let redaction = Redaction::with(&[]).unwrap();
        let spelled = order_model::Lifecycle::default().keys;
        let lists = [
            spelled.order_id,
            spelled.stage,
            spelled.kind,
            spelled.channel,
            spelled.model,
            spelled.partner_number,
            spelled.partner,
            spelled.message_id,
            spelled.attempt,
            spelled.error,
        ];
        let known = "order.id customer.id customer_id customerId messaging.message.body.size \
            service.name host.name server.address server.port network.peer.port \
            code.function.name db.collection.name span.name scope.name thread.name process.name \
            telemetry.sdk.name deployment.environment.name url.scheme file.name name \
            user_agent.name user_agent.original http.request.header.content-type partner.id \
            http.request.header.traceparent http.response.body.size payment.id \
            messaging.destination.name messaging.operation.type event.name messaging.rabbitmq.destination.routing_key \
            exception.message gen_ai.usage.input_tokens";
        let known = known.split_whitespace().map(str::to_owned);
        for key in lists.into_iter().flatten().chain(known) {
            let verdict = redaction.verdict(&key);
            let stays = [Verdict::Scrub, Verdict::ScrubValue, Verdict::ScrubNumber];
            assert!(stays.contains(&verdict), "{key}: {verdict:?}");
        }
    }

    #[test]
    fn values_are_mended_by_their_verdict() {
        let redaction = Redaction::with(&[]).unwrap();
        for (verdict, text, expected) in [
            (Verdict::Keep, "https://s3/m.stl?Sig=1", Some("https://s3/m.stl")),
            (Verdict::Keep, "mail a@b.ru", None),
            (Verdict::CutQuery, "/orders?a=1#b", Some("/orders")),
            (Verdict::CutQuery, "/users/a@b.ru/orders?a=1#b", Some("/users/[redacted]/orders")),
            (Verdict::CutUrl, "https://h/a@b.ru?x=1", Some("https://h/[redacted]")),
            (Verdict::CutQuoted, "SELECT orders 1", None),
            (Verdict::CutQuoted, "SELECT 'Anna'", Some("SELECT ?")),
            (Verdict::CutSql, "SELECT 'Anna' INTO a@b.ru", Some("SELECT ? INTO [redacted]")),
            (Verdict::Scrub, "mail a@b.ru", Some("mail [redacted]")),
            (Verdict::Scrub, "https://h/?q=Anna B failed", Some("https://h/ B failed")),
            (Verdict::ScrubValue, "https://h/?q=Anna B", Some("https://h/")),
            (Verdict::ScrubValue, "4111 1111 1111 1111", Some(REDACTED)),
            (Verdict::ScrubNumber, "4111111111111111", None),
            (Verdict::ScrubNumber, "8-900-000-00-00", None),
            (Verdict::ScrubNumber, "+79000000000", Some(REDACTED)),
            (Verdict::ScrubNumber, "a@b.ru", Some(REDACTED)),
            (Verdict::RemoveText, "Anna", Some(REDACTED)),
        ] {
            assert_eq!(redaction.mended(verdict, text).as_deref(), expected, "{text}");
        }
        let name = redaction.texts().mended_name("GET /o?a=a@b.ru");
        assert_eq!(name.as_deref(), Some("GET /o"));
    }
}
