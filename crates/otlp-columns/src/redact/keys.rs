//! Which words in a key mean that its value must not be stored.
//!
//! A key is compared by its words: `customerPhone`, `customer_phone` and `customer.phone` are the
//! words `customer`, `phone`. A rule of several words stands for these words side by side,
//! anywhere in the key.

use std::collections::HashMap;

/// What a rule does with the keys that hold its words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// The value is removed, unless the key ends in one of [`COUNT_WORDS`].
    Remove,
    /// All that stands under the word is about a person: everything but an id is removed.
    Person,
    /// Headers of requests: removed, but for [`KEPT_HEADERS`].
    Headers,
}

/// Words whose values are removed, with the reason.
#[rustfmt::skip]
pub const SENSITIVE_WORDS: &[(&str, &[&str])] = &[
    ("who the end user is", &["enduser", "user.hash", "user.login", "username", "login"]),
    ("phone", &["phone", "phones", "mobile", "msisdn", "tel", "telephone", "телефон"]),
    ("e-mail", &["email", "emails", "e.mail", "почта"]),
    ("name", &["first.name", "last.name", "full.name", "middle.name", "second.name", "given.name",
        "family.name", "maiden.name", "firstname", "lastname", "fullname", "middlename", "surname",
        "patronymic", "fio", "фио", "имя", "фамилия", "отчество"]),
    ("a person", &["recipient", "recipients", "contact", "contacts", "cardholder"]),
    ("identity document", &["passport", "snils", "ssn", "birthday", "birthdate", "birth.date",
        "паспорт"]),
    ("postal address", &["order.address", "home.address", "postal.address", "street.address",
        "address.line", "postal.code", "postalcode", "postcode", "zip.code", "zipcode", "street",
        "city", "адрес"]),
    ("network address of a person", &["client.address", "client.ip", "client.socket.address",
        "peer.address", "peer.ip", "peer.addr", "source.address", "source.ip", "remote.address",
        "remote.ip", "remote.addr", "user.ip", "forwarded.for", "real.ip"]),
    ("payment data", &["payment", "payments", "card", "cardnumber", "iban", "pan", "cvv", "cvc"]),
    ("secret", &["secret", "secrets", "password", "passwd", "pwd", "passphrase", "credential",
        "credentials", "private.key", "pin.code", "pincode", "otp", "пароль"]),
    ("token", &["token", "jwt", "cookie", "cookies", "authorization", "api.key", "apikey",
        "access.key", "auth.key"]),
    ("message body", &["body", "payload", "message.content", "message.contents"]),
    ("contents of the model", &["model.data", "model.content", "model.contents", "file.data",
        "file.content", "file.contents"]),
    ("raw SQL parameters", &["query.parameter", "query.parameters", "query.params", "query.args",
        "sql.parameter", "sql.parameters", "sql.param", "sql.params", "sql.args", "db.parameters",
        "db.params", "statement.parameters", "operation.parameter", "operation.parameters",
        "bind.value", "bind.values", "bind.parameters", "bind.variables"]),
    ("arguments of a program", &["process.command.line", "process.command.args"]),
    ("may carry tokens", &["url.query"]),
];

/// Words for a person; under them `name` and `address` are a person's.
const PERSONS: &[&str] = &[
    "customer",
    "client",
    "user",
    "delivery",
    "shipping",
    "billing",
    "buyer",
    "person",
    "payer",
    "owner",
    "holder",
    "consignee",
    "addressee",
    "employee",
    "sender",
    "receiver",
];
const PERSON_PARTS: &[&str] = &["name", "names", "address", "addresses", "addr"];

/// Words for headers; the next words are the name of one.
const HEADERS: &[&str] = &[
    "request.header",
    "request.headers",
    "response.header",
    "response.headers",
    "request.metadata",
    "response.metadata",
    "rpc.metadata",
];
/// Headers that say nothing of a person.
pub const KEPT_HEADERS: &[&str] =
    &["content.type", "content.length", "accept", "user.agent", "traceparent", "x.request.id"];

/// Last words of keys that measure a value and do not hold it.
pub const COUNT_WORDS: &[&str] = &["size", "length", "bytes", "count"];

/// Keys that a rule above would remove, and that say nothing of a person.
pub const KEPT_KEYS: &[&str] = &["customer.id", "order.customer.id", "payment.id"];

/// Last words of keys whose values are ids, numbers, instants and digests: they are not taken for
/// card numbers or phones because of their digits.
pub const NUMBER_WORDS: &[&str] = &[
    "id",
    "ids",
    "uuid",
    "guid",
    "ref",
    "reference",
    "number",
    "numbers",
    "no",
    "nr",
    "ean",
    "gtin",
    "sku",
    "barcode",
    "article",
    "timestamp",
    "time",
    "nanos",
    "millis",
    "offset",
    "sequence",
    "hash",
    "digest",
    "checksum",
    "etag",
    "traceparent",
    "revision",
];

/// Words of a rule at most.
const RULE_WORDS_MAX: usize = 3;

/// The rules, to be looked up by their words.
#[derive(Debug, Clone)]
pub(super) struct Words {
    rules: HashMap<String, Rule>,
    /// Lengths (as bits) of the first words, by first byte: most words begin no rule.
    heads: Vec<u32>,
}

impl Default for Words {
    fn default() -> Self {
        let mut words = Self { rules: HashMap::new(), heads: vec![0; 256] };
        for word in SENSITIVE_WORDS.iter().flat_map(|(_, list)| *list) {
            words.add(word, Rule::Remove);
        }
        for person in PERSONS {
            for part in PERSON_PARTS {
                words.add(&format!("{person}.{part}"), Rule::Remove);
            }
        }
        words.add("customer", Rule::Person);
        for word in HEADERS {
            words.add(word, Rule::Headers);
        }
        words
    }
}

/// What the words of a key say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    Nothing,
    /// The value must go.
    Remove,
    /// A text must go; a map is judged by its own keys.
    RemoveText,
}

impl Words {
    fn add(&mut self, words: &str, rule: Rule) {
        let head = words.split('.').next().unwrap_or(words);
        self.heads[usize::from(head.as_bytes()[0])] |= length_bit(head.len());
        self.rules.insert(words.to_owned(), rule);
    }

    /// Judges the words of a key, as [`split`] wrote them.
    pub(super) fn judge(&self, words: &str) -> Said {
        if KEPT_KEYS.contains(&words) {
            return Said::Nothing;
        }
        let mut start = 0;
        loop {
            let end = words[start..].find('.').map_or(words.len(), |at| start + at);
            match self.judge_at(words, start, end) {
                Some(Said::Nothing) => return Said::Nothing,
                Some(said) => return said,
                None if end == words.len() => return Said::Nothing,
                None => start = end + 1,
            }
        }
    }

    /// What the rules say that begin with the word from `start` to `end`.
    fn judge_at(&self, words: &str, start: usize, mut end: usize) -> Option<Said> {
        let first = words.as_bytes().get(start)?;
        if self.heads[usize::from(*first)] & length_bit(end - start) == 0 {
            return None;
        }
        for _ in 0..RULE_WORDS_MAX {
            let rest = words.get(end + 1..);
            match self.rules.get(&words[start..end]) {
                Some(Rule::Remove) if !rest.is_some_and(counts) => return Some(Said::Remove),
                Some(Rule::Person) if rest != Some("id") => {
                    return Some(if rest.is_some() { Said::Remove } else { Said::RemoveText });
                }
                Some(Rule::Headers) => {
                    return Some(match rest {
                        None => Said::RemoveText,
                        Some(header) if KEPT_HEADERS.contains(&header) => Said::Nothing,
                        Some(_) => Said::Remove,
                    });
                }
                _ => {}
            }
            let rest = rest?;
            end += 1 + rest.find('.').unwrap_or(rest.len());
        }
        None
    }
}

fn counts(rest: &str) -> bool {
    COUNT_WORDS.contains(&last(rest))
}

/// Whether the words of a key, as [`split`] wrote them, end in one of [`NUMBER_WORDS`].
pub(super) fn is_number(words: &str) -> bool {
    NUMBER_WORDS.contains(&last(words))
}

fn last(words: &str) -> &str {
    words.rsplit('.').next().unwrap_or(words)
}

fn length_bit(length: usize) -> u32 {
    1 << length.min(31)
}

/// Writes the words of a key in lower case, joined by dots.
pub(super) fn split(key: &str) -> String {
    let is_split = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.');
    if key.bytes().all(is_split)
        && !key.starts_with('.')
        && !key.ends_with('.')
        && !key.contains("..")
    {
        return key.to_owned();
    }
    let mut words = String::with_capacity(key.len() + 8);
    let mut previous = '.';
    let mut characters = key.chars().peekable();
    while let Some(character) = characters.next() {
        let ends_capitals =
            previous.is_uppercase() && characters.peek().is_some_and(|next| next.is_lowercase());
        let begins_word = character.is_uppercase()
            && (previous.is_lowercase() || previous.is_numeric() || ends_capitals);
        let parts = !character.is_alphanumeric();
        if (parts || begins_word) && !words.is_empty() && !words.ends_with('.') {
            words.push('.');
        }
        if character.is_ascii() && !parts {
            words.push(character.to_ascii_lowercase());
        } else if !parts {
            words.extend(character.to_lowercase());
        }
        previous = character;
    }
    if words.ends_with('.') {
        words.pop();
    }
    words
}
