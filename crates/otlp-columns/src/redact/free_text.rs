//! Free text without what gives a person or a secret away: e-mail addresses, phones, card
//! numbers, tokens, secrets with a name, and what URLs carry besides their place.
//!
//! One pass, in time that grows with the length of the text; a text without a character that could
//! begin or hold such a thing is only searched for that character.

use memchr::{memchr, memchr_iter, memchr3_iter, memmem};

use super::REDACTED;
use super::built_in::{BuiltIn, Rules};
use super::numbers::{card, is_word, local_phone, phone};
use super::secrets::{name_before, secret};
use super::sql::cut_sql_within;
use super::url::cut_urls_within;

/// Bytes looked at for the local part of an e-mail address (RFC 5321 has 64).
const LOCAL_BYTES_MAX: usize = 128;
/// Bytes of the first part of a JSON web token.
const JWT_HEAD_BYTES_MAX: usize = 1_024;
/// Words that a credential follows, in lower case.
const SCHEMES: [&[u8]; 2] = [b"bearer ", b"basic "];
/// Parameters that only presigned URLs have, in lower case, by which they are known.
const PRESIGNED: [&[u8]; 7] = [
    b"x-amz-signature",
    b"x-amz-credential",
    b"x-amz-security-token",
    b"x-goog-signature",
    b"x-goog-credential",
    b"awsaccesskeyid",
    b"googleaccessid",
];
/// Stands for `@` in URLs.
const ENCODED_AT: &[u8] = b"%40";

/// Replaces what must not be stored by those rules; `None` when there is nothing.
pub(super) fn scrub(text: &str, rules: Rules) -> Option<String> {
    let rules = rules.that_may_find(text.as_bytes());
    if rules.is_empty() {
        return None;
    }
    let mut cut = if rules.has(BuiltIn::Sql) { cut_sql_within(text) } else { None };
    if rules.has(BuiltIn::Url) {
        cut = cut_urls_within(cut.as_deref().unwrap_or(text)).or(cut);
    }
    scrub_words(cut.as_deref().unwrap_or(text), rules).or(cut)
}

fn scrub_words(text: &str, rules: Rules) -> Option<String> {
    let rules = worth_a_walk(text.as_bytes(), rules);
    if rules.is_empty() { None } else { walk(text, rules) }
}

/// Goes through a text byte by byte; URLs and SQL are cut before.
pub(super) fn walk(text: &str, rules: Rules) -> Option<String> {
    let bytes = text.as_bytes();
    let mut out = String::new();
    let mut copied = 0;
    let mut at = 0;
    while at < bytes.len() {
        let Some((start, end)) = found_at(bytes, (copied, at), rules) else {
            at += 1;
            continue;
        };
        out.push_str(&text[copied..start]);
        out.push_str(REDACTED);
        copied = end;
        at = end;
    }
    (copied > 0).then(|| out + &text[copied..])
}

/// Those of the rules for which the text is to be walked through.
fn worth_a_walk(bytes: &[u8], rules: Rules) -> Rules {
    let mut worth = rules.without(Rules::only(BuiltIn::Url)).without(Rules::only(BuiltIn::Sql));
    let mut keep = |rule: BuiltIn, is_there: &dyn Fn() -> bool| {
        if worth.has(rule) && !is_there() {
            worth = worth.without(Rules::only(rule));
        }
    };
    keep(BuiltIn::Credential, &|| memchr_iter(b' ', bytes).any(|at| ends_scheme(&bytes[..=at])));
    keep(BuiltIn::Jwt, &|| memmem::find(bytes, b"eyJ").is_some());
    keep(BuiltIn::Presigned, &|| memchr_iter(b'=', bytes).any(|at| presigned_bytes(bytes, at) > 0));
    keep(BuiltIn::Secret, &|| {
        memchr3_iter(b'=', b':', b'>', bytes).any(|at| name_before(&bytes[..at]).is_some())
    });
    worth
}

fn ends_scheme(bytes: &[u8]) -> bool {
    SCHEMES.iter().any(|scheme| ends_with(bytes, scheme))
}

fn ends_with(bytes: &[u8], lower: &[u8]) -> bool {
    let end = bytes.len().checked_sub(lower.len()).map(|start| &bytes[start..]);
    end.is_some_and(|end| end.eq_ignore_ascii_case(lower))
}

/// What is to be replaced and is told by the byte at `at`. Nothing before `from` is taken.
fn found_at(bytes: &[u8], (from, at): (usize, usize), rules: Rules) -> Option<(usize, usize)> {
    match bytes[at] {
        b'@' if rules.has(BuiltIn::Email) => email(bytes, from, at, at + 1),
        b'%' if rules.has(BuiltIn::Email) && bytes[at..].starts_with(ENCODED_AT) => {
            email(bytes, from, at, at + ENCODED_AT.len())
        }
        b'+' if rules.has(BuiltIn::Phone) => phone(bytes, at),
        b'7' | b'8' if rules.has_local_phones() => local_phone(bytes, at),
        b'2'..=b'6' if rules.has(BuiltIn::Card) => card(bytes, at),
        b'b' | b'B' if rules.has(BuiltIn::Credential) => credential(bytes, at),
        b'e' if rules.has(BuiltIn::Jwt) => jwt(bytes, at),
        b'=' | b':' | b'>' => {
            let may_be_presigned = bytes[at] == b'=' && rules.has(BuiltIn::Presigned);
            let presigned = may_be_presigned.then(|| presigned(bytes, from, at)).flatten();
            let secret = || rules.has(BuiltIn::Secret).then(|| secret(bytes, from, at)).flatten();
            presigned.or_else(secret)
        }
        _ => None,
    }
}

/// An address whose `@` stands at `at` and whose domain begins at `domain_at`.
fn email(bytes: &[u8], from: usize, at: usize, domain_at: usize) -> Option<(usize, usize)> {
    let is_local = |b: &u8| b.is_ascii_alphanumeric() || !b.is_ascii() || b"._%+-".contains(b);
    let window = &bytes[from.max(at.saturating_sub(LOCAL_BYTES_MAX))..at];
    let local = window.iter().rev().take_while(|byte| is_local(byte)).count();
    let is_domain = |b: &u8| b.is_ascii_alphanumeric() || !b.is_ascii() || b".-".contains(b);
    let rest = &bytes[domain_at..];
    let mut end = domain_at + rest.iter().take_while(|byte| is_domain(byte)).count();
    while end > domain_at && matches!(bytes[end - 1], b'.' | b'-') {
        end -= 1;
    }
    let domain = &bytes[domain_at..end];
    let dot = domain.iter().rposition(|byte| *byte == b'.')?;
    let top = &domain[dot + 1..];
    let is_top = top.len() >= 2 && !top.iter().any(u8::is_ascii_digit);
    // A local part of which only the end was looked at may begin within a character.
    let mut start = at - local;
    while start < at && (0x80..0xc0).contains(&bytes[start]) {
        start += 1;
    }
    (start < at && dot > 0 && is_top).then_some((start, end))
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~+/=:".contains(&byte)
}

fn credential(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let rest = &bytes[at..];
    let scheme = SCHEMES.iter().find(|scheme| {
        rest.get(..scheme.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(scheme))
    })?;
    let start = at + scheme.len();
    let end = start + bytes[start..].iter().take_while(|byte| is_token(**byte)).count();
    let token = &bytes[start..end];
    // `basic auth` is prose; what is encoded has capitals, digits or padding within.
    let is_prose = scheme.starts_with(b"basic")
        && token.iter().skip(1).all(|byte| byte.is_ascii_lowercase() || b".:".contains(byte));
    (!token.is_empty() && !is_prose).then_some((start, end))
}

fn jwt(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    if !bytes[at..].starts_with(b"eyJ") || (at > 0 && is_word(bytes.get(at - 1))) {
        return None;
    }
    let head = &bytes[at..bytes.len().min(at + JWT_HEAD_BYTES_MAX)];
    let dot = head.iter().take_while(|byte| is_token(**byte)).position(|byte| *byte == b'.')?;
    let rest = bytes[at + dot..].iter().take_while(|byte| is_token(**byte)).count();
    Some((at, at + dot + rest))
}

/// Bytes of the name of a presigned URL's parameter whose `=` stands at `at`; 0 when it is none.
fn presigned_bytes(bytes: &[u8], at: usize) -> usize {
    let known = PRESIGNED.iter().find(|name| ends_with(&bytes[..at], name));
    known.map_or(0, |name| name.len())
}

/// The parameters of a presigned URL, of which the `=` of one stands at `at`: from the question
/// mark on, if it is there.
fn presigned(bytes: &[u8], from: usize, at: usize) -> Option<(usize, usize)> {
    let name = presigned_bytes(bytes, at);
    if name == 0 || at - name < from {
        return None;
    }
    let is_url = |byte: &&u8| !byte.is_ascii_whitespace() && !b"\"'`<>".contains(byte);
    let before = bytes[from..at].iter().rev().take_while(is_url).count();
    let asked = memchr(b'?', &bytes[at - before..at]);
    let start = asked.map_or(at - name, |asked| at - before + asked + 1);
    let end = at + bytes[at..].iter().take_while(is_url).count();
    Some((start, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scrub(text: &str) -> Option<String> {
        super::scrub(text, Rules::ALL)
    }

    #[test]
    fn persons_and_secrets_are_replaced() {
        for (text, expected) in [
            ("no order of anna.k+1@mail.example.ru.", "no order of [redacted]."),
            ("<анна@почта.рф>", "<[redacted]>"),
            ("GET /users/anna%40mail.ru/orders", "GET /users/[redacted]/orders"),
            ("call +7 (900) 000-00-00, now", "call [redacted], now"),
            ("call 8 (900) 000-00-00 now", "call [redacted] now"),
            ("tel:+79000000000", "tel:[redacted]"),
            ("sent Bearer abc.def-1 twice", "sent Bearer [redacted] twice"),
            ("BEARER x", "BEARER [redacted]"),
            ("bEaReR x", "bEaReR [redacted]"),
            ("with Basic dXNlcjpwYXNz", "with Basic [redacted]"),
            ("jwt eyJhbGciOi.eyJzdWIi.sig refused", "jwt [redacted] refused"),
            ("card 4111 1111 1111 1111 refused", "card [redacted] refused"),
            ("card=4111111111111111", "card=[redacted]"),
            ("2200-0000-0000-0004 a@b.ru", "[redacted] [redacted]"),
            ("GET https://u:p@s3/m?Sig=1 by a@b.ru", "GET https://s3/m by [redacted]"),
            ("see s3.local/m?X-Amz-Date=1&X-Amz-Signature=2 now", "see s3.local/m?[redacted] now"),
            ("x-amz-credential=AK/1&x-amz-date=2", "[redacted]"),
            ("AWSAccessKeyId=AK&Signature=1 AWSAccessKeyId=2", "[redacted] [redacted]"),
        ] {
            assert_eq!(scrub(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_gives_nobody_away_stays() {
        for text in [
            "",
            "at java.base@17.0.1/java.lang.Thread.run(Thread.java:840)",
            "rabbit@rabbitmq-1 is down",
            "com.acme.Order@6d06d69c",
            "sha256@%40",
            "order 4111111111111112 is late",
            "at 1795399990000000000",
            "id 41111111111111114111111111111111",
            "span 550e8400-e29b-41d4-a716-446655440000",
            "2026-11-23T06:12:22+03:00",
            "1+795399990000",
            "basic auth is off",
            "@",
            "a@",
            "@b.ru",
            "Bearer ",
            "eyJ",
            "x-amz-request-id=1",
            "a=b",
        ] {
            assert_eq!(scrub(text), None, "{text}");
        }
    }

    /// Were any of it to take the square of the time, it would take hours.
    #[test]
    fn long_texts_are_gone_through_once() {
        for piece in [
            "://",
            "a://b,",
            "https://a?b://",
            "x-amz-signature:",
            "x-amz-signature=",
            "password=\"[redacted]",
            "password='",
            "token: ",
            "password=(",
            "<password>",
            "Cookie: ",
            "authorization: Bearer ",
            "eyJ-",
            "a@",
            "@b.",
            "%40",
            "+1",
            "4111 ",
            "8 (900) ",
            "insert into '",
            "select '' ",
            "update ' set ",
            "update ",
            "insert into \n\tat ",
            "\"((",
            "$a$",
            "/*",
            "--",
            "Bearer ",
            "a@b.c?",
        ] {
            for tail in ["", "' from ( x-amz-signature=1 $"] {
                let text = piece.repeat((512 << 10) / piece.len()) + tail;
                let all = scrub(&text).unwrap_or(text);
                assert!(all.len() > 3, "{piece}");
            }
        }
    }

    #[test]
    fn a_rule_that_is_off_finds_nothing() {
        for (rule, text) in [
            (BuiltIn::Url, "see https://s3/m?Sig=1"),
            (BuiltIn::Presigned, "m?X-Amz-Signature=2"),
            (BuiltIn::Email, "a@b.ru"),
            (BuiltIn::Phone, "+7 (900) 000-00-00"),
            (BuiltIn::Phone, "8 (900) 000-00-00"),
            (BuiltIn::Card, "4111 1111 1111 1111"),
            (BuiltIn::Credential, "Bearer x"),
            (BuiltIn::Jwt, "eyJhbGciOi.eyJzdWIi.sig"),
            (BuiltIn::Secret, "pwd=x"),
            (BuiltIn::Sql, "insert into t values ('x')"),
        ] {
            assert!(super::scrub(text, Rules::only(rule)).is_some(), "{text}");
            assert_eq!(super::scrub(text, Rules::ALL.without(Rules::only(rule))), None, "{text}");
        }
    }
}
