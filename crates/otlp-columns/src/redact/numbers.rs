//! Phones and numbers of payment cards in a text, told from ids, instants and other numbers.

use super::built_in::{CARD_DIGITS, PHONE_DIGITS};

/// Digits behind a dot that may still be a group of a phone, and no fraction.
const GROUP_DIGITS_MAX: usize = 4;

pub(super) fn is_word(byte: Option<&u8>) -> bool {
    byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_' || !byte.is_ascii())
}

/// Whether what begins at `at` is a piece of something longer: of a word, of a UUID, of a
/// fraction.
fn is_joined_before(bytes: &[u8], at: usize) -> bool {
    let before = |back: usize| at.checked_sub(back).and_then(|at| bytes.get(at));
    is_word(before(1)) || (matches!(before(1), Some(b'-' | b'.' | b'+')) && is_word(before(2)))
}

/// The same of what ends at `end`.
fn is_joined_after(bytes: &[u8], end: usize) -> bool {
    is_word(bytes.get(end))
        || (matches!(bytes.get(end), Some(b'-' | b'.')) && is_word(bytes.get(end + 1)))
}

/// A phone in international form whose `+` stands at `at`.
pub(super) fn phone(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    // No country's code begins with 0.
    if bytes.get(at + 1) == Some(&b'0') || (at > 0 && is_word(bytes.get(at - 1))) {
        return None;
    }
    let (mut digits, mut group, mut end) = (0, 0, at + 1);
    let mut after_dot = false;
    let mut found = None;
    loop {
        match bytes.get(end) {
            Some(b'0'..=b'9') => {
                digits += 1;
                group += 1;
            }
            other => {
                if group > 0 && PHONE_DIGITS.contains(&digits) {
                    found = Some((at, end));
                }
                group = 0;
                after_dot = other == Some(&b'.');
                if !matches!(other, Some(b' ' | b'-' | b'(' | b')' | b'.')) {
                    return found;
                }
            }
        }
        end += 1;
        let is_over = digits > *PHONE_DIGITS.end() || end - at > 2 * PHONE_DIGITS.end();
        // What is longer is an instant or goes on with another number, a fraction is a measure.
        if is_over || (after_dot && group > GROUP_DIGITS_MAX) {
            return found;
        }
    }
}

/// A phone as it is written within Russia, `8 (900) 000-00-00` or `7-900-000-00-00`: grouped, since
/// eleven digits in a row may be anything.
pub(super) fn local_phone(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    const GROUPS: [usize; 4] = [3, 3, 2, 2];
    if !matches!(bytes[at], b'7' | b'8') || is_joined_before(bytes, at) {
        return None;
    }
    let mut end = at + 1;
    let skip = |end: &mut usize, set: &[u8]| {
        let is_there = bytes.get(*end).is_some_and(|byte| set.contains(byte));
        *end += usize::from(is_there);
        is_there
    };
    let mut apart = 0;
    let mut in_brackets = false;
    for (index, digits) in GROUPS.into_iter().enumerate() {
        let mut is_apart = skip(&mut end, b" -");
        if index == 0 {
            in_brackets = skip(&mut end, b"(");
            is_apart |= in_brackets;
        }
        apart += usize::from(is_apart);
        let group = bytes.get(end..end + digits)?;
        if !group.iter().all(u8::is_ascii_digit) {
            return None;
        }
        end += digits;
        if index == 0 && in_brackets && !skip(&mut end, b")") {
            return None;
        }
    }
    let is_grouped = in_brackets || apart == GROUPS.len();
    (is_grouped && !is_joined_after(bytes, end)).then_some((at, end))
}

/// The number of a payment card whose first digit stands at `at`: by the ranges that are issued,
/// the usual groups and the check digit.
pub(super) fn card(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    if !matches!(bytes[at], b'2'..=b'6') || is_joined_before(bytes, at) {
        return None;
    }
    let mut digits = [0_u8; *CARD_DIGITS.end()];
    let (mut count, mut group, mut groups) = (0, 0, 0);
    let mut separator = None;
    let mut end = at;
    let mut found = None;
    loop {
        let byte = bytes.get(end);
        let is_digit = byte.is_some_and(u8::is_ascii_digit);
        if is_digit && count < digits.len() {
            digits[count] = bytes[end] - b'0';
            count += 1;
            group += 1;
            end += 1;
            continue;
        }
        // A group ends: it may be the last.
        let is_usual = groups == 0 || group <= 6;
        let is_card = !is_digit && is_usual && is_number(&digits[..count]);
        if is_card && !is_joined_after(bytes, end) {
            found = Some((at, end));
        }
        let goes_on = matches!(byte, Some(b' ' | b'-'))
            && separator.is_none_or(|known| Some(&known) == byte)
            && bytes.get(end + 1).is_some_and(u8::is_ascii_digit)
            && (group == 4 || (groups > 0 && group == 6));
        if !goes_on {
            return found;
        }
        separator = byte.copied();
        groups += 1;
        group = 0;
        end += 1;
    }
}

fn is_number(digits: &[u8]) -> bool {
    CARD_DIGITS.contains(&digits.len()) && is_issued(digits) && luhn(digits)
}

/// Whether numbers of that beginning and length are given to cards.
fn is_issued(digits: &[u8]) -> bool {
    let range = digits[..4].iter().fold(0, |number, digit| number * 10 + u16::from(*digit));
    match digits.len() {
        13 => matches!(range, 4000..=4999),
        14 => matches!(range, 3000..=3099 | 3600..=3699 | 3800..=3999),
        15 => matches!(range, 3400..=3499 | 3700..=3799),
        16 => matches!(
            range,
            2200..=2204 | 2221..=2720 | 3000..=3099 | 3528..=3699 | 3800..=6999
        ),
        17 | 18 => matches!(range, 2200..=2204 | 3528..=3589 | 5000..=5099 | 5600..=6999),
        _ => matches!(
            range,
            2200..=2204 | 3528..=3589 | 4000..=4999 | 5000..=5099 | 5600..=6999
        ),
    }
}

fn luhn(digits: &[u8]) -> bool {
    let weighed = digits.iter().rev().enumerate().map(|(index, digit)| match index % 2 {
        0 => u32::from(*digit),
        _ => u32::from(digit * 2 / 10 + digit * 2 % 10),
    });
    weighed.sum::<u32>() % 10 == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    type Rule = fn(&[u8], usize) -> Option<(usize, usize)>;

    /// What a rule finds first, if anything.
    fn first(rule: Rule, begins: &[u8], text: &str) -> Option<String> {
        let bytes = text.as_bytes();
        let mut places = (0..bytes.len()).filter(|at| begins.contains(&bytes[*at]));
        places.find_map(|at| rule(bytes, at)).map(|(start, end)| text[start..end].to_owned())
    }

    #[test]
    fn cards_are_found() {
        for (text, expected) in [
            ("4111111111111111", "4111111111111111"),
            ("n=5555-5555-5555-4444;", "5555-5555-5555-4444"),
            ("3782 822463 10005", "3782 822463 10005"),
            ("(6011111111111117)", "6011111111111117"),
            ("3530111333300000", "3530111333300000"),
            ("38520000023237", "38520000023237"),
            ("6200000000000005.", "6200000000000005"),
            ("4222222222222", "4222222222222"),
            ("2200 0000 0000 0004", "2200 0000 0000 0004"),
            // What stands beside a card is no part of it.
            ("4111 1111 1111 1111 12/27 123", "4111 1111 1111 1111"),
            ("order 7 4111 1111 1111 1111", "4111 1111 1111 1111"),
            ("2026 4111 1111 1111 1111", "4111 1111 1111 1111"),
        ] {
            assert_eq!(first(card, b"0123456789", text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn other_numbers_are_no_cards() {
        for text in [
            "4111111111111112",
            "1795399990000000000",
            "1795399990000",
            "41111111111111114111111111111111",
            "a4111111111111111",
            "4111111111111111a",
            "0.4111111111111111",
            "4111111111111111.25",
            "-0.5555555555554444",
            "ORD-4111111111111111",
            "4111111111111111-7",
            "12345678-4111-1111-1111-111111111111",
            "550e8400-e29b-41d4-4716-446655440002",
            "41 11 11 11 11 11 11 11",
            "411111111111 1111",
            "7000000000000000",
            "9007199254740991",
        ] {
            assert_eq!(first(card, b"0123456789", text), None, "{text}");
        }
    }

    #[test]
    fn phones_are_found() {
        for (text, expected) in [
            ("call +7 (900) 000-00-00, now", "+7 (900) 000-00-00"),
            ("tel:+79000000000", "+79000000000"),
            ("+1.555.010.9999", "+1.555.010.9999"),
            ("+442071838750", "+442071838750"),
            ("+7 900 000-00-00 2026-11-23 06:00", "+7 900 000-00-00 2026"),
            ("+79000000000 1795399990000", "+79000000000"),
        ] {
            assert_eq!(first(phone, b"+", text).as_deref(), Some(expected), "{text}");
        }
        for (text, expected) in [
            ("call 8 (900) 000-00-00!", "8 (900) 000-00-00"),
            ("8(900)0000000", "8(900)0000000"),
            ("7-900-000-00-00", "7-900-000-00-00"),
            ("8 900 000 00 00", "8 900 000 00 00"),
        ] {
            assert_eq!(first(local_phone, b"78", text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn other_numbers_are_no_phones() {
        for text in [
            "2026-11-23T06:12:22+03:00",
            "2026-11-23 06:12:22.123456789 +0300 MSK m=+0.123456789",
            "m=+12.345678901",
            "+1795399990000000000",
            "1+795399990000",
            "+55.7558+037.6173/",
            "+1.5e10",
            "+12345678",
        ] {
            assert_eq!(first(phone, b"+", text), None, "{text}");
        }
        for text in [
            "89000000000",
            "8-900-000-0000",
            "ORD-8-900-000-00-00",
            "8-900-000-00-00-7",
            "78 900 000 00 00",
            "8 (900 000-00-00",
            "7795399990000",
        ] {
            assert_eq!(first(local_phone, b"78", text), None, "{text}");
        }
    }
}
