//! Free text without what gives a person or a secret away: e-mail addresses, phones, card
//! numbers, tokens, and what URLs carry besides their place.
//!
//! One pass, in time that grows with the length of the text; a text without a character that could
//! begin or hold such a thing is only searched for that character.

use memchr::{memchr, memchr2_iter};

use super::REDACTED;
use super::url::cut_urls_within;

/// Digits of a payment card number (ISO/IEC 7812).
const CARD_DIGITS: std::ops::RangeInclusive<usize> = 13..=19;
/// Digits of a phone in international form (E.164), `+` not counted.
const PHONE_DIGITS: std::ops::RangeInclusive<usize> = 9..=15;
/// Bytes looked at for the local part of an e-mail address (RFC 5321 has 64).
const LOCAL_BYTES_MAX: usize = 128;
/// Bytes of the first part of a JSON web token.
const JWT_HEAD_BYTES_MAX: usize = 1_024;
/// Words that a credential follows, in lower case.
const SCHEMES: [&[u8]; 2] = [b"bearer ", b"basic "];

/// Replaces what must not be stored; `None` when there is nothing.
pub(crate) fn scrub(text: &str) -> Option<String> {
    let cut = cut_urls_within(text);
    let scrubbed = scrub_words(cut.as_deref().unwrap_or(text));
    scrubbed.or(cut)
}

fn scrub_words(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    if !is_suspicious(bytes) {
        return None;
    }
    let mut out = String::new();
    let mut copied = 0;
    let mut at = 0;
    while at < bytes.len() {
        let Some((start, end)) = found_at(bytes, copied, at) else {
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

/// Whether anything in the text could be what [`found_at`] finds.
pub(super) fn is_suspicious(bytes: &[u8]) -> bool {
    let digits = bytes.iter().filter(|byte| byte.is_ascii_digit()).count();
    if digits >= *PHONE_DIGITS.start() || memchr(b'@', bytes).is_some() {
        return true;
    }
    // The ends of schemes and the begin of a JSON web token, each by its last byte.
    memchr2_iter(b' ', b'J', bytes).any(|at| {
        let before = &bytes[..at];
        match bytes[at] {
            b'J' => before.ends_with(b"ey"),
            _ => [&b"earer"[..], b"EARER", b"asic", b"ASIC"]
                .iter()
                .any(|scheme| before.ends_with(scheme)),
        }
    })
}

/// What is to be replaced and is told by the byte at `at`. Nothing before `from` is taken.
fn found_at(bytes: &[u8], from: usize, at: usize) -> Option<(usize, usize)> {
    match bytes[at] {
        b'@' => email(bytes, from, at),
        b'+' => phone(bytes, at),
        b'0'..=b'9' => card(bytes, at),
        b'b' | b'B' => credential(bytes, at),
        b'e' => jwt(bytes, at),
        _ => None,
    }
}

fn email(bytes: &[u8], from: usize, at: usize) -> Option<(usize, usize)> {
    let is_local = |b: &u8| b.is_ascii_alphanumeric() || !b.is_ascii() || b"._%+-".contains(b);
    let window = &bytes[from.max(at.saturating_sub(LOCAL_BYTES_MAX))..at];
    let local = window.iter().rev().take_while(|byte| is_local(byte)).count();
    let is_domain = |b: &u8| b.is_ascii_alphanumeric() || !b.is_ascii() || b".-".contains(b);
    let mut end = at + 1 + bytes[at + 1..].iter().take_while(|byte| is_domain(byte)).count();
    while matches!(bytes[end - 1], b'.' | b'-') {
        end -= 1;
    }
    let domain = bytes.get(at + 1..end)?;
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

fn is_word(byte: Option<&u8>) -> bool {
    byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_' || !byte.is_ascii())
}

fn phone(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    if at > 0 && is_word(bytes.get(at - 1)) {
        return None;
    }
    let mut digits = 0;
    let mut end = at;
    for (index, byte) in bytes[at + 1..].iter().enumerate().take(2 * PHONE_DIGITS.end()) {
        match byte {
            b'0'..=b'9' => {
                digits += 1;
                end = at + index + 2;
            }
            b' ' | b'-' | b'(' | b')' | b'.' => {}
            _ => break,
        }
        if digits == *PHONE_DIGITS.end() {
            break;
        }
    }
    PHONE_DIGITS.contains(&digits).then_some((at, end))
}

fn card(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    // No card number begins with 0 or 1, and instants in nanoseconds begin with 1.
    let begins = matches!(bytes[at], b'2'..=b'9') && !(at > 0 && is_word(bytes.get(at - 1)));
    if !begins {
        return None;
    }
    let mut digits = [0_u8; 19];
    let mut count = 0;
    let mut separator = None;
    let mut end = at;
    while let Some(byte) = bytes.get(end) {
        match byte {
            b'0'..=b'9' if count == digits.len() => return None,
            b'0'..=b'9' => {
                digits[count] = byte - b'0';
                count += 1;
            }
            b' ' | b'-'
                if separator.is_none_or(|known| known == byte)
                    && bytes.get(end + 1).is_some_and(u8::is_ascii_digit) =>
            {
                separator = Some(byte);
            }
            _ => break,
        }
        end += 1;
    }
    let is_card =
        CARD_DIGITS.contains(&count) && !is_word(bytes.get(end)) && luhn(&digits[..count]);
    is_card.then_some((at, end))
}

fn luhn(digits: &[u8]) -> bool {
    let weighed = digits.iter().rev().enumerate().map(|(index, digit)| match index % 2 {
        0 => u32::from(*digit),
        _ => u32::from(digit * 2 / 10 + digit * 2 % 10),
    });
    weighed.sum::<u32>() % 10 == 0
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn persons_and_secrets_are_replaced() {
        for (text, expected) in [
            ("no order of anna.k+1@mail.example.ru.", "no order of [redacted]."),
            ("<анна@почта.рф>", "<[redacted]>"),
            ("call +7 (900) 000-00-00, now", "call [redacted], now"),
            ("tel:+79000000000", "tel:[redacted]"),
            ("sent Bearer abc.def-1 twice", "sent Bearer [redacted] twice"),
            ("BEARER x", "BEARER [redacted]"),
            ("Authorization: Basic dXNlcjpwYXNz", "Authorization: Basic [redacted]"),
            ("jwt eyJhbGciOi.eyJzdWIi.sig refused", "jwt [redacted] refused"),
            ("card 4111 1111 1111 1111 refused", "card [redacted] refused"),
            ("card=4111111111111111", "card=[redacted]"),
            ("2200-0000-0000-0004 a@b.ru", "[redacted] [redacted]"),
            ("GET https://u:p@s3/m?Sig=1 by a@b.ru", "GET https://s3/m by [redacted]"),
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
        ] {
            assert_eq!(scrub(text), None, "{text}");
        }
    }
}
