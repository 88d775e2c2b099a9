//! The built-in rules of values, by name, and what tells at first sight that none of them applies.

/// A built-in rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuiltIn {
    /// Credentials, query and fragment of URLs.
    Url,
    /// Parameters of presigned URLs, wherever they stand.
    Presigned,
    /// E-mail addresses.
    Email,
    /// Phones in international form, and in the form `8 (900) 000-00-00`.
    Phone,
    /// Numbers of payment cards.
    Card,
    /// What follows `Bearer` and `Basic`.
    Credential,
    /// JSON web tokens.
    Jwt,
    /// Values whose name says that they are a secret or a person's.
    Secret,
    /// Literals of SQL within texts.
    Sql,
}

impl BuiltIn {
    /// All of them, as the settings call them.
    pub const NAMES: [(&str, Self); 9] = [
        ("url", Self::Url),
        ("presigned", Self::Presigned),
        ("email", Self::Email),
        ("phone", Self::Phone),
        ("card", Self::Card),
        ("credential", Self::Credential),
        ("jwt", Self::Jwt),
        ("secret", Self::Secret),
        ("sql", Self::Sql),
    ];

    const fn bit(self) -> u16 {
        1 << self as u8
    }
}

/// A set of rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rules(u16);

impl Rules {
    pub(super) const ALL: Self = Self(u16::MAX);
    /// The rules that know something by its digits alone, and so may take an id for it.
    pub(super) const OF_DIGITS: Self = Self(BuiltIn::Card.bit() | LOCAL_PHONE);

    pub(super) const fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    pub(super) const fn only(rule: BuiltIn) -> Self {
        match rule {
            BuiltIn::Phone => Self(BuiltIn::Phone.bit() | LOCAL_PHONE),
            rule => Self(rule.bit()),
        }
    }

    pub(super) const fn has(self, rule: BuiltIn) -> bool {
        self.0 & rule.bit() != 0
    }

    pub(super) const fn has_local_phones(self) -> bool {
        self.0 & LOCAL_PHONE != 0
    }

    pub(super) const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// Phones without a `+`: a part of [`BuiltIn::Phone`].
const LOCAL_PHONE: u16 = 1 << 15;

/// Digits of a payment card number (ISO/IEC 7812).
pub(super) const CARD_DIGITS: std::ops::RangeInclusive<usize> = 13..=19;
/// Digits of a phone in international form (E.164), `+` not counted.
pub(super) const PHONE_DIGITS: std::ops::RangeInclusive<usize> = 9..=15;
/// Digits of a phone in the form `8 (900) 000-00-00`.
const LOCAL_PHONE_DIGITS: usize = 11;

const DIGIT: u16 = 1;
const AT: u16 = 2;
const PLUS: u16 = 4;
const SPACE: u16 = 8;
const CAPITAL_J: u16 = 16;
const EQUALS: u16 = 32;
const COLON: u16 = 64;
const ANGLE: u16 = 128;
const QUOTE: u16 = 256;

/// What each byte may be a part of.
const CLASSES: [u16; 256] = {
    let mut classes = [0; 256];
    let mut digit = b'0';
    while digit <= b'9' {
        classes[digit as usize] = DIGIT;
        digit += 1;
    }
    classes[b'@' as usize] = AT;
    classes[b'%' as usize] = AT;
    classes[b'+' as usize] = PLUS;
    classes[b' ' as usize] = SPACE;
    classes[b'J' as usize] = CAPITAL_J;
    classes[b'=' as usize] = EQUALS;
    classes[b':' as usize] = COLON;
    classes[b'>' as usize] = ANGLE;
    classes[b'\'' as usize] = QUOTE;
    classes
};

impl Rules {
    /// Those of the rules that may find something. Most values are words, or an id: they are told
    /// by one look at each byte.
    pub(super) fn that_may_find(self, bytes: &[u8]) -> Self {
        let classes = bytes.iter().fold(0, |all, byte| all | CLASSES[usize::from(*byte)]);
        if classes & !DIGIT == 0 && bytes.len() < *CARD_DIGITS.start() {
            return Self(0);
        }
        let digits = match classes & DIGIT {
            0 => 0,
            _ => bytes.iter().filter(|byte| byte.is_ascii_digit()).count(),
        };
        let is = |class: u16| classes & class != 0;
        let mut found = 0;
        for (rule, may) in [
            (BuiltIn::Url.bit(), is(COLON)),
            (BuiltIn::Presigned.bit(), is(EQUALS)),
            (BuiltIn::Email.bit(), is(AT)),
            (BuiltIn::Phone.bit(), is(PLUS) && digits >= *PHONE_DIGITS.start()),
            (LOCAL_PHONE, digits >= LOCAL_PHONE_DIGITS),
            (BuiltIn::Card.bit(), digits >= *CARD_DIGITS.start()),
            (BuiltIn::Credential.bit(), is(SPACE)),
            (BuiltIn::Jwt.bit(), is(CAPITAL_J)),
            (BuiltIn::Secret.bit(), is(EQUALS | COLON | ANGLE)),
            (BuiltIn::Sql.bit(), is(QUOTE) && is(SPACE)),
        ] {
            found |= if may { rule } else { 0 };
        }
        Self(self.0 & found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_hold_anything_is_told_at_first_sight() {
        for text in
            ["", "GET", "order.created", "a-b_c/d", "2026-11-23", "8080", "PRICE_CALCULATED"]
        {
            assert!(Rules::ALL.that_may_find(text.as_bytes()).is_empty(), "{text}");
        }
        for (text, rule) in [
            ("a@b.ru", BuiltIn::Email),
            ("a%40b.ru", BuiltIn::Email),
            ("https://s3/", BuiltIn::Url),
            ("X-Amz-Signature=1", BuiltIn::Presigned),
            ("+790000000", BuiltIn::Phone),
            ("4222222222222", BuiltIn::Card),
            ("Bearer x", BuiltIn::Credential),
            ("eyJ.", BuiltIn::Jwt),
            ("pwd=x", BuiltIn::Secret),
            ("pwd: x", BuiltIn::Secret),
            ("<pwd>x", BuiltIn::Secret),
            ("in ('x')", BuiltIn::Sql),
        ] {
            assert!(Rules::ALL.that_may_find(text.as_bytes()).has(rule), "{text}");
            let others = Rules::ALL.without(Rules::only(rule));
            assert!(!others.that_may_find(text.as_bytes()).has(rule), "{text}");
        }
        assert!(Rules::ALL.that_may_find(b"8 (900) 000-00-00").has_local_phones());
        let off = Rules::ALL.without(Rules::only(BuiltIn::Phone));
        assert!(!off.that_may_find(b"8 (900) 000-00-00").has_local_phones());
    }
}
