//! What surrounds every page: language, appearance, and the switches that keep the place.

use std::convert::Infallible;

use axum::extract::{FromRequestParts, Query};
use axum::http::header::{ACCEPT_LANGUAGE, COOKIE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Uri};

use crate::app::App;
use crate::assets;
use crate::language::Language;
use crate::links;
use crate::locale::Locale;
use crate::replicas::ReplicaLag;
use crate::words;

/// Name of the cookie and of the parameter that hold the language.
pub(crate) const LANGUAGE: &str = "lang";
/// Name of the cookie and of the parameter that hold the appearance.
pub(crate) const THEME: &str = "theme";
/// What the appearance may be; `auto` follows the system.
pub(crate) const THEMES: [&str; 3] = ["auto", "light", "dark"];

/// The surroundings of a page.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) locale: Locale,
    /// One of [`THEMES`].
    pub(crate) theme: &'static str,
    /// Now, milliseconds since 1970, by our own clock: only for what is not judged by the store's.
    pub(crate) now: i64,
    /// How far behind the replica is that the page is read from, if it is.
    replica_lag: Option<ReplicaLag>,
    path: String,
    pairs: Vec<(String, String)>,
}

impl Frame {
    /// The surroundings of the page at `uri` for a reader who sends these headers.
    pub(crate) fn new(uri: &Uri, headers: &HeaderMap, zone: chrono_tz::Tz, now: i64) -> Self {
        let pairs = Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map(|query| query.0)
            .unwrap_or_default();
        let asked = |name: &str| pairs.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
        let accept = headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
        let language =
            Language::choose(asked(LANGUAGE), cookie(headers, LANGUAGE).as_deref(), accept);
        let theme = asked(THEME)
            .and_then(known_theme)
            .or_else(|| cookie(headers, THEME).as_deref().and_then(known_theme))
            .unwrap_or(THEMES[0]);
        // `//host/` would be another site to a browser.
        let path = format!("/{}", uri.path().trim_start_matches(['/', '\\']));
        let locale = Locale::new(language, zone);
        Self { locale, theme, now, replica_lag: None, path, pairs }
    }

    pub(crate) fn t<'a>(&self, key: &'a str) -> &'a str {
        self.locale.t(key)
    }

    /// The code for `<html lang>`.
    pub(crate) fn lang(&self) -> &'static str {
        self.locale.language.code()
    }

    /// Every language: code, its own name, whether it is this one, this page in it.
    pub(crate) fn languages(&self) -> Vec<Choice> {
        let choice = |language: Language| Choice {
            value: language.code(),
            label: Locale::new(language, self.locale.zone)
                .find("language.name")
                .unwrap_or_default(),
            current: language == self.locale.language,
            href: self.here_with(LANGUAGE, language.code()),
        };
        Language::ALL.into_iter().map(choice).collect()
    }

    /// Every appearance, likewise.
    pub(crate) fn themes(&self) -> Vec<Choice> {
        let choice = |theme: &'static str| Choice {
            value: theme,
            label: self.locale.find(&format!("page.theme_{theme}")).unwrap_or_default(),
            current: theme == self.theme,
            href: self.here_with(THEME, theme),
        };
        THEMES.into_iter().map(choice).collect()
    }

    /// This page with one parameter set to another value.
    fn here_with(&self, name: &str, value: &str) -> String {
        let kept = self.pairs.iter().filter(|(n, _)| n != name);
        let mut pairs: Vec<(&str, &str)> = kept.map(|(n, v)| (n.as_str(), v.as_str())).collect();
        pairs.push((name, value));
        links::with_query(&self.path, &pairs)
    }

    /// What stands in the search box.
    pub(crate) fn searched(&self) -> &str {
        let typed = self.pairs.iter().find(|(name, _)| name == "q" && self.path == "/search");
        typed.map_or("", |(_, value)| value.as_str())
    }

    pub(crate) fn zone_line(&self) -> String {
        let offset = self.locale.offset(self.now);
        let zone = self.locale.zone.name();
        self.locale.fill("page.zone", &[("zone", zone), ("offset", &offset)])
    }

    /// Said at the foot of a page that is read from a replica.
    pub(crate) fn replica_line(&self) -> Option<String> {
        self.replica_lag.map(|lag| words::replica(self.locale, lag))
    }

    /// Another page with the parameters of this one.
    pub(crate) fn moved_to(&self, path: &str) -> String {
        let pairs: Vec<_> = self.pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        links::with_query(path, &pairs)
    }

    pub(crate) fn style(&self) -> &'static str {
        &assets::STYLE.path
    }

    pub(crate) fn script(&self) -> &'static str {
        &assets::SCRIPT.path
    }

    pub(crate) fn icon(&self) -> &'static str {
        &assets::ICON.path
    }
}

impl FromRequestParts<App> for Frame {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Self::Rejection> {
        let now = chrono::Utc::now().timestamp_millis();
        let frame = Self::new(&parts.uri, &parts.headers, app.zone(), now);
        Ok(Self { replica_lag: app.replica_lag(), ..frame })
    }
}

/// One value of a switch.
#[derive(Debug, Clone)]
pub(crate) struct Choice {
    pub(crate) value: &'static str,
    pub(crate) label: &'static str,
    pub(crate) current: bool,
    pub(crate) href: String,
}

/// The appearance of that name.
pub(crate) fn known_theme(name: &str) -> Option<&'static str> {
    THEMES.into_iter().find(|theme| *theme == name)
}

/// A cookie of ours; values are plain words.
fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let lines = headers.get_all(COOKIE).into_iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.split_once('='));
    pairs.find(|(n, _)| n.trim() == name).map(|(_, value)| value.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn frame(uri: &str, cookies: &'static str) -> Frame {
        let mut headers = HeaderMap::new();
        headers.insert(COOKIE, HeaderValue::from_static(cookies));
        Frame::new(&uri.parse().unwrap(), &headers, chrono_tz::Europe::Moscow, 0)
    }

    #[test]
    fn a_switch_keeps_the_page() {
        let frame = frame("/stages/SUBMITTED?condition=stuck&lang=ru&cursor=abc", "");
        let english = frame.languages().into_iter().find(|choice| choice.value == "en").unwrap();
        assert_eq!(english.href, "/stages/SUBMITTED?condition=stuck&cursor=abc&lang=en");
        assert!(!english.current);
    }

    #[test]
    fn a_switch_never_leaves_the_site() {
        for path in ["//evil.example/", "///evil.example/x"] {
            let frame = frame(path, "");
            assert!(
                frame.languages().iter().all(|c| c.href.starts_with("/evil.example/")),
                "{path}"
            );
        }
    }

    #[test]
    fn cookies_are_read_and_bad_ones_passed_over() {
        assert_eq!(frame("/", "a=b; lang=en; theme=dark").theme, "dark");
        assert_eq!(frame("/", "a=b; lang=en; theme=dark").lang(), "en");
        assert_eq!(frame("/?theme=light", "theme=dark").theme, "light");
        assert_eq!(frame("/", "theme=\"><script>; lang=").theme, "auto");
        assert_eq!(frame("/?lang=%00", "lang=xx").lang(), "ru");
    }
}
