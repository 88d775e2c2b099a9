//! What rules of alerts ask beside the derived states: the one-hour rule, and stays that were stuck.

use std::collections::{BTreeMap, BTreeSet};

use order_model::Lifecycle;
use order_model::time::to_millis;

use super::expected::Expected;
use crate::server::Server;

type Price = (String, i64, i64, u8, u8, u8, u8);

/// The one-hour rule, of the open orders and of all.
pub(super) async fn compare_prices(
    server: &Server,
    lifecycle: &Lifecycle,
    expected: &BTreeMap<String, Expected>,
    as_of: i64,
    seed: u64,
) {
    let nanos = as_of * order_model::time::NANOS_PER_MILLI;
    let wanted: BTreeMap<&String, Price> = expected
        .iter()
        .filter(|(_, expected)| expected.merged_into.is_empty())
        .filter_map(|(id, Expected { state, judgement, derived_at, .. })| {
            let open = !judgement.settled(*derived_at) || state.refold_at.is_some();
            // Points in time stand in milliseconds.
            let price = judgement.price_wait(lifecycle, state, open, nanos + 999_999)?;
            let flags = [
                price.awaited,
                price.over_one_hour,
                price.answered_too_late,
                price.answer_heard_too_late,
            ];
            let [awaited, over, late, heard] = flags.map(u8::from);
            let (late_at, stuck_at) = (to_millis(price.late_at), to_millis(price.stuck_at));
            Some((id, (id.clone(), late_at, stuck_at, awaited, over, late, heard)))
        })
        .collect();
    for (view, all) in [("all_calculations_at_v1", true), ("calculations_at_v1", false)] {
        let sql = format!(
            "SELECT OrderId, toUnixTimestamp64Milli(LateAt), toUnixTimestamp64Milli(StuckAt), \
             IsAwaited, OverOneHour, ifNull(AnsweredTooLate, 0), AnswerHeardTooLate \
             FROM {view}(as_of = fromUnixTimestamp64Milli({{as_of:Int64}}, 'UTC'))"
        );
        let query = server.store.client().query(&sql).param("as_of", as_of);
        let found: Vec<Price> = query.fetch_all().await.unwrap();
        for row in &found {
            assert_eq!(Some(row), wanted.get(&row.0), "seed {seed}, {view} at {as_of}");
        }
        let ids: BTreeSet<&String> = found.iter().map(|row| &row.0).collect();
        let missing =
            wanted.iter().filter(|(id, price)| (all || price.3 == 1) && !ids.contains(*id));
        let missing: Vec<_> = missing.collect();
        assert!(missing.is_empty(), "seed {seed}, {view} at {as_of}: {missing:?}");
    }
}

type EndedStay = (String, String, i64, i64, i64, String);

/// Stays that were ended after they were stuck: of the last three of each order that was heard of
/// lately.
pub(super) async fn compare_ended_stays(
    server: &Server,
    expected: &BTreeMap<String, Expected>,
    seed: u64,
) {
    let sql = "SELECT OrderId, Stage, toUnixTimestamp64Milli(StageSince), \
        toUnixTimestamp64Milli(assumeNotNull(StuckAt)), toUnixTimestamp64Milli(EndedAt), WaitingFor \
        FROM ended_stuck_stays_v1";
    let clock = "SELECT toUnixTimestamp64Milli(EndedSince) FROM alert_clock_v1";
    let client = server.store.client();
    let ended_since: i64 = client.query(clock).fetch_one().await.unwrap();
    let found: Vec<EndedStay> = client.query(sql).fetch_all().await.unwrap();
    let found: BTreeSet<EndedStay> = found.into_iter().collect();
    let mut wanted = BTreeSet::new();
    for (id, Expected { merged_into, state, judgement, derived_at, last_received_at, .. }) in
        expected
    {
        let open = !judgement.settled(*derived_at) || state.refold_at.is_some();
        if !merged_into.is_empty() || !open || *last_received_at < ended_since {
            continue;
        }
        let stays: Vec<_> = state.history.iter().zip(&judgement.stays).collect();
        for pair in stays[stays.len().saturating_sub(3)..].windows(2) {
            let ((visit, terms), ended_at) = (pair[0], to_millis(pair[1].0.entered_at));
            let since = to_millis(visit.entered_at);
            let Some(after) = terms.stuck_after else { continue };
            let stuck_at = since + i64::try_from(after.as_millis()).unwrap();
            if stuck_at < ended_at && ended_at >= ended_since - 24 * 3_600_000 {
                let (stage, waiting_for) = (visit.stage.clone(), terms.waiting_for.clone());
                wanted.insert((id.clone(), stage, since, stuck_at, ended_at, waiting_for));
            }
        }
    }
    // Beside the open orders those of which a derivation said so a day ago or less are looked at.
    let open: BTreeSet<&String> = expected
        .iter()
        .filter(|(_, e)| !e.judgement.settled(e.derived_at) || e.state.refold_at.is_some())
        .map(|(id, _)| id)
        .collect();
    let of_open: BTreeSet<EndedStay> =
        found.into_iter().filter(|stay| open.contains(&stay.0)).collect();
    assert_eq!(of_open, wanted, "seed {seed}");
}
