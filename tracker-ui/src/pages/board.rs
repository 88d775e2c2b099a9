//! `/`: how many orders are where, and how far the numbers can be trusted.

use askama::Template;
use askama::filters::HtmlSafe;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use order_model::Lifecycle;
use order_store::read::{Board, BoardStage, Condition};

use crate::app::App;
use crate::failure::{Failure, html};
use crate::frame::Frame;
use crate::links::{self, Listing};
use crate::locale::{Locale, Moment};
use crate::reads::BoardData;
use crate::words::{self, Source, ends_at, heard, stage_label};

/// Seconds between updates of the open page.
pub(crate) const UPDATE_INTERVAL_S: u32 = 2;
/// Seconds between reloads of the page without JavaScript.
pub(crate) const RELOAD_INTERVAL_S: u32 = 30;

#[derive(Template)]
#[template(path = "board.html")]
pub(crate) struct BoardPage<'a> {
    pub(crate) f: &'a Frame,
    pub(crate) b: BoardView,
    pub(crate) fragment_href: String,
}

/// The part of the page that is replaced while it is open.
#[derive(Template)]
#[template(path = "board_fragment.html")]
struct BoardFragment<'a> {
    f: &'a Frame,
    b: BoardView,
}

/// The board in words.
#[derive(Debug)]
pub(crate) struct BoardView {
    pub(crate) as_of: Moment,
    pub(crate) as_of_line: String,
    /// What a screen reader hears when it changes.
    pub(crate) announce: String,
    pub(crate) open: String,
    pub(crate) stuck: Counted,
    pub(crate) late: Counted,
    pub(crate) lost: Counted,
    /// None: no order is.
    pub(crate) retrying: Option<Counted>,
    /// None: unknown.
    pub(crate) alerts: Option<Tally>,
    pub(crate) heard: String,
    pub(crate) heard_recently: bool,
    pub(crate) balance: Balance,
    pub(crate) empty: bool,
    pub(crate) groups: Vec<Group>,
    pub(crate) sources: Vec<Source>,
    /// How far behind the replica is that these numbers were read from, if one was.
    pub(crate) replica: Option<String>,
}

/// A number and whether it is zero: zero is shown quietly.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) text: String,
    pub(crate) zero: bool,
}

/// A number over every stage and the list behind it.
#[derive(Debug)]
pub(crate) struct Counted {
    pub(crate) tally: Tally,
    pub(crate) href: String,
}

/// Whether every order seen is on the board.
#[derive(Debug)]
pub(crate) struct Balance {
    pub(crate) text: String,
    /// When it was counted, and how far the stitchers lag.
    pub(crate) checked: String,
    pub(crate) broken: bool,
}

/// Stages under one heading.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) id: &'static str,
    pub(crate) heading: &'static str,
    pub(crate) hint: &'static str,
    pub(crate) rows: Vec<StageRow>,
}

/// One stage.
#[derive(Debug)]
pub(crate) struct StageRow {
    pub(crate) name: String,
    pub(crate) label: String,
    /// Whether the label differs from the name.
    pub(crate) labelled: bool,
    pub(crate) href: String,
    pub(crate) total: Tally,
    pub(crate) late: Marked,
    pub(crate) stuck: Marked,
    pub(crate) lost: Marked,
    pub(crate) retrying: Marked,
    pub(crate) oldest: String,
    pub(crate) oldest_since: String,
    pub(crate) median: String,
    /// The age that nine of ten have not reached.
    pub(crate) p90: String,
}

/// A number that leads to the orders it counts.
#[derive(Debug, Template)]
#[template(
    ext = "html",
    source = r#"{% if tally.zero %}<span class="zero">0</span>{% else %}<a class="count is-{{ code }}" href="{{ href }}" aria-label="{{ title }}"><span class="mark" aria-hidden="true"></span>{{ tally.text }}</a>{% endif %}"#
)]
pub(crate) struct Marked {
    pub(crate) tally: Tally,
    /// The condition: style and symbol follow it.
    pub(crate) code: &'static str,
    pub(crate) href: String,
    pub(crate) title: String,
}

/// Its template escapes what it shows.
impl HtmlSafe for Marked {}

/// `GET /`.
pub(crate) async fn page(frame: Frame, State(app): State<App>) -> Result<Response, Failure> {
    let data = app
        .reads()
        .board(app.replica_lag())
        .await
        .map_err(|error| Failure::store(&frame, error))?;
    let b = view(frame.locale, app.lifecycle(), &data);
    let fragment_href = links::with_query("/board/fragment", &[("lang", frame.lang())]);
    Ok(html(StatusCode::OK, &BoardPage { f: &frame, b, fragment_href }))
}

/// `GET /board/fragment`: the same numbers without what surrounds them.
pub(crate) async fn fragment(frame: Frame, State(app): State<App>) -> Result<Response, Failure> {
    let data = app
        .reads()
        .board(app.replica_lag())
        .await
        .map_err(|error| Failure::store(&frame, error))?;
    let b = view(frame.locale, app.lifecycle(), &data);
    Ok(html(StatusCode::OK, &BoardFragment { f: &frame, b }))
}

/// The board in words. Ages are judged by the store's clock (`as_of`), as the numbers are.
pub(crate) fn view(locale: Locale, lifecycle: &Lifecycle, data: &BoardData) -> BoardView {
    let board = &data.board;
    let sum = |number: fn(&BoardStage) -> u64| board.stages.iter().map(number).sum::<u64>();
    let open = board.stages.iter().filter(|stage| !ends_at(lifecycle, stage));
    let open = open.map(|stage| stage.total).sum();
    let (late, stuck) = (sum(|stage| stage.late), sum(|stage| stage.stuck));
    let (lost, retrying) = (sum(|stage| stage.lost_in_handover), sum(|stage| stage.retrying));
    let as_of = locale.clock(board.as_of);
    let age = board.last_received_at.map(|at| (board.as_of - at) / 1000);
    let counted = |n, condition: Condition| Counted {
        tally: tally(locale, n),
        href: links::list(None, listing(board, condition)),
    };
    let sources = board.sources.iter().map(|source| heard(locale, source, board.as_of));
    BoardView {
        as_of: locale.moment(board.as_of),
        as_of_line: locale.fill("page.as_of", &[("time", &as_of)]),
        announce: announce(locale, [stuck, late, lost, open]),
        open: locale.number(open),
        stuck: counted(stuck, Condition::Stuck),
        late: counted(late, Condition::Late),
        lost: counted(lost, Condition::LostInHandover),
        retrying: (retrying > 0).then(|| counted(retrying, Condition::Retrying)),
        alerts: data.active_alerts.map(|n| tally(locale, n)),
        heard: match age {
            Some(seconds) => locale.fill("board.heard", &[("age", &locale.age(seconds))]),
            None => locale.t("board.never_heard").to_owned(),
        },
        heard_recently: board.sources.iter().any(|source| !source.silent),
        balance: balance(locale, board),
        empty: sum(|stage| stage.total) == 0 && board.sources.is_empty(),
        groups: groups(locale, lifecycle, board),
        sources: sources.collect(),
        replica: data.replica_lag.map(|lag| words::replica(locale, lag)),
    }
}

/// The orders that a number of this board counts.
fn listing(board: &Board, condition: Condition) -> Listing<'static> {
    Listing { condition: Some(condition.as_str()), as_of: Some(board.as_of), cursor: None }
}

fn announce(locale: Locale, numbers: [u64; 4]) -> String {
    let [stuck, late, lost, open] = numbers.map(|n| locale.number(n));
    let values = [("stuck", &*stuck), ("late", &*late), ("lost", &*lost), ("open", &*open)];
    locale.fill("board.announce", &values)
}

fn tally(locale: Locale, n: u64) -> Tally {
    Tally { text: locale.number(n), zero: n == 0 }
}

/// Orders on their way to the board are no fault: a difference is one when it lasts this long while
/// nothing waits, or when what waits is as old as this.
const UNEXPLAINED_MS_MAX: i64 = 15_000;
const LAG_MS_MAX: i64 = 60_000;
/// Nor is anything explained by a check as old as this: nobody checks any more.
const CHECK_AGE_MS_MAX: i64 = 600_000;

fn balance(locale: Locale, board: &Board) -> Balance {
    let seen = locale.number(board.seen);
    let derived = locale.number(board.derived);
    let difference = locale.signed(board.difference);
    let merged = match board.merged {
        0 => String::new(),
        n => locale.fill("board.merged", &[("n", &locale.number(n))]),
    };
    let late = board.unexplained_ms > UNEXPLAINED_MS_MAX
        || board.stitch_lag_ms > LAG_MS_MAX
        || board.as_of - board.checked_at > CHECK_AGE_MS_MAX;
    let broken = board.difference != 0 && late;
    let key = match board.difference {
        0 => "board.conservation",
        1.. if !broken => "board.conservation_waits",
        _ => "board.conservation_broken",
    };
    let values = [
        ("seen", &*seen),
        ("derived", &*derived),
        ("merged", &*merged),
        ("difference", &*difference),
    ];
    let lag = locale.millis(board.stitch_lag_ms);
    let time = locale.clock(board.checked_at);
    let checked = locale.fill("board.checked", &[("time", &time), ("lag", &lag)]);
    Balance { text: locale.fill(key, &values), checked, broken }
}

fn groups(locale: Locale, lifecycle: &Lifecycle, board: &Board) -> Vec<Group> {
    let group = |id, heading, hint, wanted: &dyn Fn(&BoardStage) -> bool| {
        let rows = board.stages.iter().filter(|stage| wanted(stage));
        let rows: Vec<_> = rows.map(|stage| row(locale, stage, board)).collect();
        Group { id, heading, hint, rows }
    };
    let unknown_hint = locale.find("board.section_unknown_hint").unwrap_or_default();
    let text = |key| locale.find(key).unwrap_or_default();
    let ended = |stage: &BoardStage| ends_at(lifecycle, stage);
    let all = [
        group("open", text("board.section_open"), "", &|s| s.rank > 0 && !ended(s)),
        group("terminal", text("board.section_terminal"), "", &|s| s.rank > 0 && ended(s)),
        group("unknown", text("board.section_unknown"), unknown_hint, &|s| s.rank == 0),
    ];
    all.into_iter().filter(|group| !group.rows.is_empty()).collect()
}

fn row(locale: Locale, stage: &BoardStage, board: &Board) -> StageRow {
    let label = stage_label(locale, stage).to_owned();
    let age = |at: i64| locale.age((board.as_of - at) / 1000);
    let marked = |condition: Condition, n: u64, key| {
        let tally = tally(locale, n);
        Marked {
            title: locale.fill(key, &[("stage", &label), ("n", &tally.text)]),
            href: links::list(Some(&stage.stage), listing(board, condition)),
            code: condition.as_str(),
            tally,
        }
    };
    StageRow {
        labelled: label != stage.stage && !stage.stage.is_empty(),
        href: links::stage(&stage.stage),
        total: tally(locale, stage.total),
        late: marked(Condition::Late, stage.late, "board.show_late"),
        stuck: marked(Condition::Stuck, stage.stuck, "board.show_stuck"),
        lost: marked(Condition::LostInHandover, stage.lost_in_handover, "board.show_lost"),
        retrying: marked(Condition::Retrying, stage.retrying, "board.show_retrying"),
        oldest: stage.oldest_since.map_or("–".to_owned(), age),
        oldest_since: stage.oldest_since.map_or(String::new(), |at| locale.moment(at).text),
        median: stage.median_age_seconds.map_or("–".to_owned(), |age| locale.age(age)),
        p90: stage.p90_age_seconds.map_or("–".to_owned(), |age| locale.age(age)),
        name: stage.stage.clone(),
        label,
    }
}
