//! `/sources`: each system's last word, and how the clocks of its hosts stand. It decides nothing.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use order_store::read::{SourceClock, SourceHeard};

use crate::app::App;
use crate::failure::{Failure, html};
use crate::frame::Frame;
use crate::locale::{Locale, Moment};
use crate::reads::SourcesData;
use crate::words::{Source, heard};

#[derive(Template)]
#[template(path = "clocks.html")]
pub(crate) struct SourcesPage<'a> {
    pub(crate) f: &'a Frame,
    pub(crate) s: SourcesView,
}

/// The systems in words.
#[derive(Debug)]
pub(crate) struct SourcesView {
    pub(crate) as_of: Moment,
    pub(crate) as_of_line: String,
    pub(crate) systems: Vec<System>,
    /// The furthest ahead first.
    pub(crate) clocks: Vec<Clock>,
}

/// A system.
#[derive(Debug)]
pub(crate) struct System {
    pub(crate) heard: Source,
    /// The latest time that it wrote itself.
    pub(crate) own_time: Moment,
}

/// The clock of a host.
#[derive(Debug)]
pub(crate) struct Clock {
    pub(crate) system: String,
    pub(crate) host: String,
    pub(crate) ahead: bool,
    pub(crate) text: String,
}

/// `GET /sources`.
pub(crate) async fn page(frame: Frame, State(app): State<App>) -> Result<Response, Failure> {
    let data = app.reads().all_sources().await.map_err(|error| Failure::store(&frame, error))?;
    let s = view(frame.locale, &data);
    Ok(html(StatusCode::OK, &SourcesPage { f: &frame, s }))
}

/// The systems in words, as of the store's clock.
pub(crate) fn view(locale: Locale, data: &SourcesData) -> SourcesView {
    let system = |source: &SourceHeard| System {
        heard: heard(locale, source, data.as_of),
        own_time: locale.moment(source.last_timestamp),
    };
    SourcesView {
        as_of: locale.moment(data.as_of),
        as_of_line: locale.fill("page.as_of", &[("time", &locale.clock(data.as_of))]),
        systems: data.sources.iter().map(system).collect(),
        clocks: data.clocks.iter().map(|clock| of_host(locale, clock)).collect(),
    }
}

fn of_host(locale: Locale, clock: &SourceClock) -> Clock {
    let ahead = clock.least_delay_ms < 0;
    let key = if ahead { "sources.ahead" } else { "sources.delay" };
    let lag = locale.millis(clock.least_delay_ms.saturating_abs());
    Clock {
        system: clock.source.clone(),
        host: match clock.host.as_str() {
            "" => locale.t("sources.no_host").to_owned(),
            host => host.to_owned(),
        },
        ahead,
        text: locale.fill(key, &[("lag", &lag)]),
    }
}
