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
