//! Numbers, counts, ages and times as people of a language and a zone write them.

use chrono::{DateTime, Offset, TimeZone, Utc};
use chrono_tz::Tz;

use crate::language::Language;
use crate::texts::Texts;

/// No-break space: a number and its unit stay on one line.
const NBSP: char = '\u{a0}';
/// Narrow no-break space, between groups of digits in Russian.
const NARROW_NBSP: char = '\u{202f}';

/// A language and a time zone.
#[derive(Debug, Clone, Copy)]
pub struct Locale {
    /// The language.
    pub language: Language,
    /// The zone in which times are shown.
    pub zone: Tz,
    texts: &'static Texts,
}

/// A point in time, for `<time datetime>` and for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// RFC 3339, UTC.
    pub iso: String,
    /// Date and time to the minute.
    pub text: String,
}

impl Locale {
    /// The locale of a language and a zone.
    #[must_use]
    pub fn new(language: Language, zone: Tz) -> Self {
        Self { language, zone, texts: Texts::of(language) }
    }

    /// The text of a key; the key itself when there is none.
    #[must_use]
    pub fn t<'a>(&self, key: &'a str) -> &'a str {
        self.find(key).unwrap_or(key)
    }

    /// The text of a key, if there is one.
    #[must_use]
    pub fn find(&self, key: &str) -> Option<&'static str> {
        self.texts.find(key)
    }

    /// The text of a key with `{name}` filled in.
    #[must_use]
    pub fn fill(&self, key: &str, values: &[(&str, &str)]) -> String {
        // One pass over the text: a value that looks like a placeholder stays what it is.
        let mut rest = self.t(key);
        let mut filled = String::with_capacity(rest.len() + 32);
        while let Some(open) = rest.find('{') {
            filled.push_str(&rest[..open]);
            rest = &rest[open..];
            let close = rest.find('}').unwrap_or(rest.len() - 1);
            let name = rest[1..close.max(1)].trim_end_matches('}');
            match values.iter().find(|(known, _)| *known == name) {
                Some((_, value)) => filled.push_str(value),
                None => filled.push_str(&rest[..=close]),
            }
            rest = &rest[close + 1..];
        }
        filled + rest
    }

    /// A number with its noun: `plural.<noun>` in the form that the number asks for.
    #[must_use]
    pub fn count(&self, noun: &str, n: u64) -> String {
        let key = format!("plural.{noun}.{}", plural_form(self.language, n));
        self.fill(&key, &[("n", &self.number(n))])
    }

    /// A number with its digits in groups.
    #[must_use]
    pub fn number(&self, n: u64) -> String {
        let digits = n.to_string();
        // Four digits stay together in Russian.
        let (separator, length_min) = match self.language {
            Language::Ru => (NARROW_NBSP, 5),
            Language::En => (',', 4),
        };
        if digits.len() < length_min {
            return digits;
        }
        let mut grouped = String::new();
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                grouped.push(separator);
            }
            grouped.push(digit);
        }
        grouped
    }

    /// A signed number.
    #[must_use]
    pub fn signed(&self, n: i64) -> String {
        let sign = if n < 0 { "−" } else { "" };
        format!("{sign}{}", self.number(n.unsigned_abs()))
    }

    /// An age in at most two units, short: `3 д 4 ч`. Before the epoch of a thing it is 0.
    #[must_use]
    pub fn age(&self, seconds: i64) -> String {
        let unit = |key: &str, n: u64| format!("{}{NBSP}{}", self.number(n), self.t(key));
        join_units(seconds, |name, n| match name {
            Unit::Day => unit("unit.day", n),
            Unit::Hour => unit("unit.hour", n),
            Unit::Minute => unit("unit.minute", n),
            Unit::Second => unit("unit.second", n),
        })
    }

    /// An age in at most two units, in words: `3 дня 4 часа`.
    #[must_use]
    pub fn age_words(&self, seconds: i64) -> String {
        join_units(seconds, |name, n| match name {
            Unit::Day => self.count("days", n),
            Unit::Hour => self.count("hours", n),
            Unit::Minute => self.count("minutes", n),
            Unit::Second => self.count("seconds", n),
        })
    }

    /// A lag: to the millisecond below a second, else as an age.
    #[must_use]
    pub fn millis(&self, millis: i64) -> String {
        match millis.max(0) {
            ms @ 0..1_000 => format!("{ms}{NBSP}{}", self.t("unit.millisecond")),
            ms => self.age(ms / 1_000),
        }
    }

    /// The length of an operation: three digits that matter, in the unit that fits.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    pub fn length(&self, nanos: u64) -> String {
        if nanos >= 60_000_000_000 {
            return self.age(i64::try_from(nanos / 1_000_000_000).unwrap_or(i64::MAX));
        }
        let (value, unit) = match nanos {
            0..1_000 => (nanos as f64, "unit.nanosecond"),
            1_000..1_000_000 => (nanos as f64 / 1e3, "unit.microsecond"),
            1_000_000..1_000_000_000 => (nanos as f64 / 1e6, "unit.millisecond"),
            _ => (nanos as f64 / 1e9, "unit.second"),
        };
        let decimals = match value {
            v if v >= 100.0 || nanos < 1_000 => 0,
            v if v >= 10.0 => 1,
            _ => 2,
        };
        let digits = format!("{value:.decimals$}");
        let digits = match self.language {
            Language::Ru => digits.replace('.', ","),
            Language::En => digits,
        };
        format!("{digits}{NBSP}{}", self.t(unit))
    }

    /// A point in time to the minute.
    #[must_use]
    pub fn moment(&self, unix_millis: i64) -> Moment {
        let pattern = match self.language {
            Language::Ru => "%d.%m.%Y, %H:%M",
            Language::En => "%-d %b %Y, %H:%M",
        };
        Moment { iso: iso(unix_millis), text: self.formatted(unix_millis, pattern) }
    }

    /// A day.
    #[must_use]
    pub fn day(&self, unix_millis: i64) -> String {
        let pattern = match self.language {
            Language::Ru => "%d.%m.%Y",
            Language::En => "%-d %b %Y",
        };
        self.formatted(unix_millis, pattern)
    }

    /// A time of day to the second.
    #[must_use]
    pub fn clock(&self, unix_millis: i64) -> String {
        self.formatted(unix_millis, "%H:%M:%S")
    }

    /// A time of day when it is the day of `now`, else day and time.
    #[must_use]
    pub fn near(&self, unix_millis: i64, now: i64) -> String {
        if self.day(unix_millis) == self.day(now) {
            return self.formatted(unix_millis, "%H:%M");
        }
        self.moment(unix_millis).text
    }

    /// The offset of the zone from UTC at that time: `UTC+03:00`.
    #[must_use]
    pub fn offset(&self, unix_millis: i64) -> String {
        let offset = self.zone.offset_from_utc_datetime(&utc(unix_millis).naive_utc()).fix();
        format!("UTC{offset}")
    }

    fn formatted(&self, unix_millis: i64, pattern: &str) -> String {
        utc(unix_millis).with_timezone(&self.zone).format(pattern).to_string()
    }
}

/// RFC 3339, UTC, milliseconds.
#[must_use]
pub fn iso(unix_millis: i64) -> String {
    utc(unix_millis).to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

/// A time beyond what a calendar holds becomes 1970.
fn utc(unix_millis: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(unix_millis).unwrap_or_default()
}

#[derive(Clone, Copy)]
enum Unit {
    Day,
    Hour,
    Minute,
    Second,
}

/// Days with hours, hours with minutes, minutes alone, seconds alone; a second part of 0 is left
/// out.
fn join_units(seconds: i64, show: impl Fn(Unit, u64) -> String) -> String {
    let seconds = u64::try_from(seconds).unwrap_or(0);
    let (days, hours) = (seconds / 86_400, seconds % 86_400 / 3_600);
    let minutes = seconds % 3_600 / 60;
    let pair = match (days, hours, minutes) {
        (0, 0, 0) => return show(Unit::Second, seconds),
        (0, 0, _) => return show(Unit::Minute, minutes),
        (0, _, _) => [(Unit::Hour, hours), (Unit::Minute, minutes)],
        _ => [(Unit::Day, days), (Unit::Hour, hours)],
    };
    let shown = pair.into_iter().filter(|(_, n)| *n > 0).map(|(unit, n)| show(unit, n));
    shown.collect::<Vec<_>>().join(" ")
}

/// The grammatical number, by the plural rules of Unicode CLDR for whole numbers.
fn plural_form(language: Language, n: u64) -> &'static str {
    match language {
        Language::En if n == 1 => "one",
        Language::En => "other",
        Language::Ru => match (n % 10, n % 100) {
            (_, 11..=14) => "many",
            (1, _) => "one",
            (2..=4, _) => "few",
            _ => "many",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ru() -> Locale {
        Locale::new(Language::Ru, chrono_tz::Europe::Moscow)
    }

    fn en() -> Locale {
        Locale::new(Language::En, chrono_tz::Europe::Moscow)
    }

    #[test]
    fn counts_take_the_right_form() {
        let cases = [
            (0, "0 заказов", "0 orders"),
            (1, "1 заказ", "1 order"),
            (2, "2 заказа", "2 orders"),
            (4, "4 заказа", "4 orders"),
            (5, "5 заказов", "5 orders"),
            (11, "11 заказов", "11 orders"),
            (12, "12 заказов", "12 orders"),
            (21, "21 заказ", "21 orders"),
            (22, "22 заказа", "22 orders"),
            (111, "111 заказов", "111 orders"),
            (1_001, "1001 заказ", "1,001 orders"),
            (12_345, "12\u{202f}345 заказов", "12,345 orders"),
        ];
        for (n, in_russian, in_english) in cases {
            assert_eq!(ru().count("orders", n), in_russian);
            assert_eq!(en().count("orders", n), in_english);
        }
    }

    #[test]
    fn ages_have_at_most_two_units() {
        let cases = [
            (-5, "0 с", "0 секунд"),
            (1, "1 с", "1 секунда"),
            (59, "59 с", "59 секунд"),
            (60, "1 мин", "1 минута"),
            (3_599, "59 мин", "59 минут"),
            (3_600, "1 ч", "1 час"),
            (4_320, "1 ч 12 мин", "1 час 12 минут"),
            (86_400, "1 д", "1 день"),
            (86_400 * 3 + 3_600 * 4, "3 д 4 ч", "3 дня 4 часа"),
            (86_400 * 21 + 59, "21 д", "21 день"),
        ];
        for (seconds, short, words) in cases {
            assert_eq!(ru().age(seconds).replace(NBSP, " "), short);
            assert_eq!(ru().age_words(seconds), words);
        }
    }

    #[test]
    fn lengths_have_three_digits_and_the_comma_of_the_language() {
        let cases = [
            (0, "0 нс", "0 ns"),
            (999, "999 нс", "999 ns"),
            (1_250, "1,25 мкс", "1.25 µs"),
            (12_340_000, "12,3 мс", "12.3 ms"),
            (450_000_000, "450 мс", "450 ms"),
            (1_500_000_000, "1,50 с", "1.50 s"),
            (4_320_000_000_000, "1 ч 12 мин", "1 h 12 min"),
        ];
        for (nanos, in_russian, in_english) in cases {
            assert_eq!(ru().length(nanos).replace(NBSP, " "), in_russian);
            assert_eq!(en().length(nanos).replace(NBSP, " "), in_english);
        }
    }

    #[test]
    fn times_are_in_the_zone() {
        let at = 1_700_000_000_000; // 2023-11-14T22:13:20Z
        assert_eq!(ru().moment(at).text, "15.11.2023, 01:13");
        assert_eq!(en().moment(at).text, "15 Nov 2023, 01:13");
        assert_eq!(ru().moment(at).iso, "2023-11-14T22:13:20.000Z");
        assert_eq!(ru().clock(at), "01:13:20");
        assert_eq!(ru().offset(at), "UTC+03:00");
        assert_eq!(ru().near(at, at + 60_000), "01:13");
        assert_eq!(ru().near(at, at + 86_400_000), "15.11.2023, 01:13");
        assert_eq!(ru().moment(i64::MAX).iso, "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn values_are_never_read_as_placeholders() {
        let filled = ru().fill("search.none", &[("q", "{q} {x} }{")]);
        assert_eq!(filled, "По запросу «{q} {x} }{» ничего не нашлось.");
        assert_eq!(ru().fill("no.such.key", &[]), "no.such.key");
    }
}
