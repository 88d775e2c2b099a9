//! Style, script and icon, from the program itself: no page loads anything from elsewhere.
//!
//! Their addresses carry a fingerprint of the content, so that a browser may keep them for good
//! and never shows a page with an older style.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

/// A year: the longest that caches honour.
const KEPT: &str = "public, max-age=31536000, immutable";

/// One file.
#[derive(Debug)]
pub struct Asset {
    /// Its address.
    pub path: String,
    content_type: &'static str,
    content: &'static str,
}

impl Asset {
    fn new(stem: &str, extension: &str, content_type: &'static str, content: &'static str) -> Self {
        let mut hasher = DefaultHasher::new();
        content.hash(&mut hasher);
        let path = format!("/assets/{stem}.{:016x}.{extension}", hasher.finish());
        Self { path, content_type, content }
    }
}

/// The style of every page.
pub static STYLE: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new("waybill", "css", "text/css; charset=utf-8", include_str!("../assets/waybill.css"))
});
/// What the pages do beyond being read: updates, copying.
pub static SCRIPT: LazyLock<Asset> = LazyLock::new(|| {
    let content = include_str!("../assets/waybill.js");
    Asset::new("waybill", "js", "text/javascript; charset=utf-8", content)
});
/// The icon of the tab.
pub static ICON: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new("icon", "svg", "image/svg+xml", include_str!("../assets/icon.svg"))
});

/// `/assets/{file}`.
pub async fn serve(Path(file): Path<String>) -> Response {
    let wanted = format!("/assets/{file}");
    let known = [&*STYLE, &*SCRIPT, &*ICON].into_iter().find(|asset| asset.path == wanted);
    match known {
        Some(asset) => ([(CONTENT_TYPE, asset.content_type), (CACHE_CONTROL, KEPT)], asset.content)
            .into_response(),
        None => (StatusCode::NOT_FOUND, "no such file\n").into_response(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// The variables of the rule that begins with `selector`.
    fn variables(selector: &str) -> HashMap<&'static str, [f64; 3]> {
        let rule = STYLE.content.split_once(selector).unwrap().1;
        let body = rule.split_once('{').unwrap().1.split_once('}').unwrap().0;
        let channel = |hex: &str, at: usize| {
            let value = u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
            let share = f64::from(value) / 255.0;
            if share <= 0.04045 { share / 12.92 } else { ((share + 0.055) / 1.055).powf(2.4) }
        };
        let declared = body.split(';').filter_map(|line| line.trim().split_once(": #"));
        declared
            .map(|(name, hex)| (name, [channel(hex, 0), channel(hex, 2), channel(hex, 4)]))
            .collect()
    }

    /// The contrast of two colours, by WCAG 2.2.
    fn contrast(a: [f64; 3], b: [f64; 3]) -> f64 {
        let light = |c: [f64; 3]| 0.2126 * c[0] + 0.7152 * c[1] + 0.0722 * c[2] + 0.05;
        (light(a) / light(b)).max(light(b) / light(a))
    }

    #[test]
    fn every_text_has_contrast_in_both_appearances() {
        let texts_on_grounds = [
            ("--ink", "--ground"),
            ("--ink", "--card"),
            ("--ink", "--accent-ground"),
            ("--ink-soft", "--ground"),
            ("--ink-soft", "--card"),
            ("--ink-soft", "--accent-ground"),
            ("--ink-soft", "--quiet-ground"),
            ("--ink-soft", "--stuck-ground"),
            ("--ink", "--stuck-ground"),
            ("--accent", "--ground"),
            ("--accent", "--card"),
            ("--accent", "--accent-ground"),
            ("--card", "--accent"),
            ("--card", "--ink"),
            ("--stuck-ink", "--stuck"),
            ("--stuck", "--card"),
            ("--stuck", "--stuck-ground"),
            ("--stuck", "--ground"),
            ("--late", "--late-ground"),
            ("--late", "--card"),
            ("--late", "--ground"),
            ("--good", "--good-ground"),
            ("--odd", "--odd-ground"),
            ("--quiet", "--quiet-ground"),
            ("--quiet", "--card"),
            ("--quiet", "--ground"),
        ];
        for selector in [":root {", ":root[data-theme=\"dark\"] {", ":root[data-theme=\"auto\"] {"]
        {
            // The rule's own brace was consumed by the selector's name above.
            let colours = variables(selector.trim_end_matches(" {"));
            for (text, ground) in texts_on_grounds {
                let ratio = contrast(colours[text], colours[ground]);
                assert!(ratio >= 4.5, "{selector} {text} on {ground}: {ratio:.2}");
            }
        }
    }

    #[test]
    fn nothing_is_loaded_from_elsewhere() {
        for asset in [&*STYLE, &*SCRIPT, &*ICON] {
            let outside = asset.content.replace("http://www.w3.org/2000/svg", "");
            assert!(!outside.contains("//") || asset.path.ends_with(".js"), "{}", asset.path);
            assert!(!outside.contains("http:") && !outside.contains("https:"), "{}", asset.path);
        }
    }
}
