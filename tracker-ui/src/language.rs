//! Which language a reader gets: `?lang=`, else the cookie, else `Accept-Language`, else Russian.

use serde::{Deserialize, Serialize};

/// A language of the pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// Russian, the default: support speaks it.
    Ru,
    /// English.
    En,
}

impl Language {
    /// Every language, in the order of the switch.
    pub const ALL: [Self; 2] = [Self::Ru, Self::En];

    /// The code in URLs, cookies and `<html lang>`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Ru => "ru",
            Self::En => "en",
        }
    }

    /// The language of that code, with or without a region: `en`, `EN-gb`.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        let primary = code.split(['-', '_']).next().unwrap_or_default().trim();
        Self::ALL.into_iter().find(|language| language.code().eq_ignore_ascii_case(primary))
    }

    /// The first of the three that names a language of ours; what names none is passed over.
    #[must_use]
    pub fn choose(query: Option<&str>, cookie: Option<&str>, accept: Option<&str>) -> Self {
        query
            .and_then(Self::from_code)
            .or_else(|| cookie.and_then(Self::from_code))
            .or_else(|| accept.and_then(Self::accepted))
            .unwrap_or(Self::Ru)
    }

    /// The best language of an `Accept-Language` header (RFC 9110, section 12.5.4): the highest
    /// weight, of equals the first. A weight of 0 means "not this one".
    fn accepted(header: &str) -> Option<Self> {
        let mut best: Option<(Self, f32)> = None;
        for range in header.split(',') {
            let mut parts = range.split(';');
            let Some(language) = parts.next().and_then(Self::from_code) else { continue };
            let weight = parts.find_map(|p| p.trim().strip_prefix("q=")).map_or(1.0, weight_of);
            if weight > best.map_or(0.0, |(_, weight)| weight) {
                best = Some((language, weight));
            }
        }
        best.map(|(language, _)| language)
    }
}

/// An unreadable weight counts as not wanted.
fn weight_of(text: &str) -> f32 {
    text.trim().parse().ok().filter(|weight| (0.0..=1.0).contains(weight)).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Language::{En, Ru};

    #[test]
    fn the_nearest_wish_wins() {
        let cases = [
            (None, None, None, Ru),
            (Some("en"), Some("ru"), Some("ru"), En),
            (Some("de"), Some("en"), Some("ru"), En),
            (Some(""), Some("xx"), Some("en-GB,en;q=0.9"), En),
            (None, Some("ru"), Some("en"), Ru),
            (None, None, Some("de-DE,de;q=0.9"), Ru),
            (None, None, Some("de, en;q=0.5, ru;q=0.4"), En),
            (None, None, Some("ru;q=0.4, en;q=0.5"), En),
            (None, None, Some("en;q=0"), Ru),
            (None, None, Some("en;q=NaN, ru;q=2"), Ru),
            (None, None, Some("en;q=0.5, ru;q=0.5"), En),
            (None, None, Some(";;,,;q="), Ru),
        ];
        for (query, cookie, accept, expected) in cases {
            assert_eq!(
                Language::choose(query, cookie, accept),
                expected,
                "{query:?} {cookie:?} {accept:?}"
            );
        }
    }
}
