//! What stands around every request: bounds, measuring, security headers, remembered choices.

use axum::extract::{MatchedPath, Query, Request, State};
use axum::http::header::{
    CONTENT_SECURITY_POLICY, HeaderName, REFERRER_POLICY, SET_COOKIE, VARY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use axum::http::{HeaderValue, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::time::Instant;

use crate::api::problem::Problem;
use crate::app::App;
use crate::failure::Failure;
use crate::frame::{Frame, LANGUAGE, THEME, known_theme};
use crate::language::Language;

/// Nothing is loaded from elsewhere, nothing inline is run, nobody frames the pages.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; \
     connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
/// A year, in seconds.
const CHOICE_KEPT_S: u32 = 31_536_000;

const HEADERS: [(HeaderName, &str); 6] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (VARY, "accept-language, cookie"),
];

/// Sets the headers that every answer carries.
pub(crate) async fn secure(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in HEADERS {
        response.headers_mut().append(name, HeaderValue::from_static(value));
    }
    response
}

/// Bounds the requests in hand and the time of each, and measures both.
pub(crate) async fn bound(State(app): State<App>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let route = route.unwrap_or_else(|| "none".to_owned());
    let refusal = Refusal::of(&request, &app);
    let response = match app.requests().try_acquire() {
        Err(_) => {
            app.measure().refused("requests_max");
            refusal.busy()
        }
        Ok(_permit) => {
            let answer = tokio::time::timeout(app.limits().request_time_max, next.run(request));
            match answer.await {
                Ok(response) => response,
                Err(_) => {
                    app.measure().refused("request_time_max");
                    tracing::warn!(route, "request took too long");
                    refusal.slow()
                }
            }
        }
    };
    app.measure().answered(&route, response.status().as_u16(), started.elapsed());
    response
}

/// Remembers a language or an appearance that the address asks for.
pub(crate) async fn remember(uri: Uri, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let Ok(Query(pairs)) = Query::<Vec<(String, String)>>::try_from_uri(&uri) else {
        return response;
    };
    for (name, value) in &pairs {
        let known = match name.as_str() {
            LANGUAGE => Language::from_code(value).map(Language::code),
            THEME => known_theme(value),
            _ => None,
        };
        let Some(value) = known else { continue };
        let cookie = format!("{name}={value}; Path=/; Max-Age={CHOICE_KEPT_S}; SameSite=Lax");
        if let Ok(cookie) = HeaderValue::from_str(&cookie) {
            response.headers_mut().append(SET_COOKIE, cookie);
        }
    }
    response
}

/// How a request is refused: a page for people, a problem for programs.
enum Refusal {
    Page(Box<Frame>),
    Api,
}

impl Refusal {
    fn of(request: &Request, app: &App) -> Self {
        if request.uri().path().starts_with("/api/") {
            return Self::Api;
        }
        let now = chrono::Utc::now().timestamp_millis();
        Self::Page(Box::new(Frame::new(request.uri(), request.headers(), app.zone(), now)))
    }

    fn busy(self) -> Response {
        match self {
            Self::Page(frame) => Failure::busy(&frame).into_response(),
            Self::Api => Problem::busy().into_response(),
        }
    }

    fn slow(self) -> Response {
        match self {
            Self::Page(frame) => Failure::slow(&frame).into_response(),
            Self::Api => Problem::slow().into_response(),
        }
    }
}
