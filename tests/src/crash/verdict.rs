//! What the store holds, against what was acknowledged.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use anyhow::{Result, bail};
use clickhouse::{Client, Row};
use order_model::time::NANOS_PER_MILLI;
use serde::Deserialize;

use super::Report;
use super::sender::POINT_ID;
use super::sent::{Kind, Sent};
use crate::parts::Part;
use crate::process::{Process, Program};
use crate::stack::Stack;

/// Findings that a report quotes.
const QUOTED_MAX: usize = 10;
/// How long a full derivation may take.
const RESTITCH_DEADLINE: Duration = Duration::from_secs(300);
/// Two readings of the same may differ in when and under which generation of the lifecycle it was
/// derived.
const SAME: &str = "* EXCEPT (DerivedAt, LifecycleAt)";

/// A table that a batch feeds, how a row of it is known, and how a reader sees it folded.
struct Fed {
    table: &'static str,
    folded: Option<&'static str>,
    kinds: &'static [Kind],
}

/// Log records have no view that folds: a client's repeat is there twice, and our own one after a
/// loss of power.
const FED: [Fed; 5] = [
    Fed { table: "otel_traces", folded: Some("otel_traces_v1"), kinds: &[Kind::Span] },
    Fed { table: "otel_logs", folded: None, kinds: &[Kind::Log] },
    Fed {
        table: "order_events",
        folded: Some("order_events FINAL"),
        kinds: &[Kind::Span, Kind::Log],
    },
    Fed {
        table: "order_traces",
        folded: Some("order_traces FINAL"),
        kinds: &[Kind::Span, Kind::Log],
    },
    Fed {
        table: "otel_metrics_gauge",
        folded: Some("otel_metrics_gauge FINAL"),
        kinds: &[Kind::Gauge],
    },
];

#[derive(Debug, Row, Deserialize)]
struct Held {
    id: String,
    rows: u64,
}

#[derive(Debug, Row, Deserialize, PartialEq, Eq)]
struct OrderHeld {
    id: String,
    stage: String,
    since_ms: i64,
    history: Vec<String>,
}

/// The store, for questions.
#[derive(Debug, Clone)]
pub(super) struct Store(Client);

impl Store {
    pub(super) fn of(stack: &Stack) -> Result<Self> {
        let url = stack.url(Part::Engine)?;
        Ok(Self(Client::default().with_url(url).with_database("waybill")))
    }

    /// Lets the tables that are counted merge, or not: a merge folds rows of one identity, and with
    /// them what was stored twice. The setting is the table's: it outlives the engine.
    pub(super) async fn let_merge(&self, merges: bool) -> Result<()> {
        for Fed { table, .. } in FED {
            let names = [
                "max_bytes_to_merge_at_max_space_in_pool",
                "max_bytes_to_merge_at_min_space_in_pool",
            ];
            let change = if merges {
                format!("RESET SETTING {}", names.join(", "))
            } else {
                format!("MODIFY SETTING {}", names.map(|name| format!("{name} = 1")).join(", "))
            };
            self.0.query_raw(&format!("ALTER TABLE {table} {change}")).execute().await?;
        }
        Ok(())
    }

    /// Counts, in every table, what was sent in a round in which nothing merged: what was sent once
    /// must be there once.
    pub(super) async fn count_round(
        &self,
        sent: &Sent,
        round: usize,
        report: &mut Report,
    ) -> Result<()> {
        for Fed { table, kinds, .. } in FED {
            let made = format!("SHOW CREATE TABLE {table}");
            let made: String = self.0.query(&made).fetch_one().await?;
            if !made.contains("max_bytes_to_merge_at_max_space_in_pool = 1") {
                bail!("{table} merged in the meantime, and folded what was to be counted");
            }
            let held = self.held(table).await?;
            let of_round = |kind, item_round| item_round == round && kinds.contains(&kind);
            for (id, item) in sent.items.iter().filter(|(_, i)| of_round(i.kind, i.round)) {
                let rows = held.get(id).copied().unwrap_or(0);
                report.counted += 1;
                if item.tries == 1 && rows > 1 {
                    report.doubled_by_us += 1;
                    report.quote(format!("{table} has {id} {rows} times; it was sent once"));
                }
            }
        }
        Ok(())
    }

    /// Looks for every acknowledged thing in every table that it feeds, as a reader does.
    pub(super) async fn count(
        &self,
        sent: &Sent,
        counted: &BTreeSet<usize>,
        report: &mut Report,
    ) -> Result<()> {
        for Fed { table, folded, kinds } in FED {
            let held = self.held(folded.unwrap_or(table)).await?;
            for (id, item) in sent.items.iter().filter(|(_, item)| kinds.contains(&item.kind)) {
                let rows = held.get(id).copied().unwrap_or(0);
                // Where no view folds, only our own repeats must leave no trace.
                let ours = item.tries == 1 && counted.contains(&item.round);
                let doubled = rows > 1 && (folded.is_some() || ours);
                report.lost += usize::from(rows == 0);
                report.doubled += usize::from(doubled);
                if rows == 0 || doubled {
                    report.quote(format!("{table} shows {id} {rows} times: {item:?}"));
                }
            }
            // Nothing is there that nobody sent.
            for id in held.keys().filter(|id| !sent.items.contains_key(*id)) {
                report.doubled += 1;
                report.quote(format!("{table} shows {id}, which was not sent"));
            }
        }
        let of = |kind| sent.items.values().filter(|item| item.kind == kind).count();
        report.sent = [Kind::Span, Kind::Log, Kind::Gauge].map(of);
        report.requests = sent.requests;
        report.repeated_requests = sent.repeated;
        report.orders = sent.orders.len();
        Ok(())
    }

    async fn held(&self, table: &str) -> Result<HashMap<String, u64>> {
        let id = if table.starts_with("otel_metrics") {
            format!("Attributes['{POINT_ID}']")
        } else {
            "TraceId".to_owned()
        };
        let sql = format!("SELECT {id} AS id, count() AS rows FROM {table} GROUP BY id");
        let rows: Vec<Held> = self.0.query(&sql).fetch_all().await?;
        Ok(rows.into_iter().map(|held| (held.id, held.rows)).collect())
    }

    /// The orders whose state is not what was acknowledged, and those that nobody sent.
    pub(super) async fn wrong_orders(&self, sent: &Sent) -> Result<Vec<String>> {
        let sql = "SELECT OrderId AS id, toString(Stage) AS stage, \
            toUnixTimestamp64Milli(StageSince) AS since_ms, \
            arrayMap(stage -> toString(stage), HistoryStage) AS history \
            FROM orders FINAL WHERE MergedInto = '' AND Stage != ''";
        let rows: Vec<OrderHeld> = self.0.query(sql).fetch_all().await?;
        let mut held: HashMap<String, OrderHeld> =
            rows.into_iter().map(|row| (row.id.clone(), row)).collect();
        let mut wrong = Vec::new();
        for (order, state) in sent.states() {
            let expected = OrderHeld {
                id: order.to_owned(),
                stage: state.stage,
                since_ms: state.stage_since / NANOS_PER_MILLI,
                history: state.history.into_iter().map(|visit| visit.stage).collect(),
            };
            match held.remove(order) {
                Some(found) if found == expected => {}
                found => {
                    let found =
                        found.map(|found| (found.stage, found.since_ms, found.history.len()));
                    let OrderHeld { stage, since_ms, history, .. } = expected;
                    let expected = (stage, since_ms, history.len());
                    wrong.push(format!("{order} is {found:?}, and was sent {expected:?}"));
                }
            }
        }
        wrong.extend(held.into_keys().map(|order| format!("{order} was not sent")));
        Ok(wrong)
    }

    /// Derives every order anew, and counts those that come out otherwise than they stood there.
    pub(super) async fn derive_again(&self, stack: &Stack, report: &mut Report) -> Result<()> {
        let before = self.derived().await?;
        restitch(stack).await?;
        let after = self.derived().await?;
        for ((table, before), (_, after)) in before.iter().zip(&after) {
            let gone = before.iter().filter(|row| !after.contains(row));
            let come = after.iter().filter(|row| !before.contains(row));
            for row in gone.chain(come) {
                report.rederived += 1;
                report.quote(format!("{table}, only before or after a full derivation: {row}"));
            }
        }
        Ok(())
    }

    async fn derived(&self) -> Result<Vec<(&'static str, Vec<String>)>> {
        let mut derived = Vec::new();
        for (table, only) in [("orders", "1"), ("orders_open", "IsOpen = 1")] {
            let sql = format!(
                "SELECT toJSONString(tuple({SAME})) FROM {table} FINAL WHERE {only} \
                 ORDER BY OrderId"
            );
            derived.push((table, self.0.query(&sql).fetch_all().await?));
        }
        Ok(derived)
    }
}

async fn restitch(stack: &Stack) -> Result<()> {
    let arguments = vec!["--store-url".into(), stack.url(Part::Engine)?.into(), "restitch".into()];
    let executable = Part::Collector.executable()?;
    let program = Program { name: "restitch", executable, arguments };
    let mut process = Process::start(&program, &stack.logs())?;
    let status = process.wait(RESTITCH_DEADLINE).await?;
    if !status.success() {
        bail!("restitch ended with {status}; {}", process.tail());
    }
    Ok(())
}

impl Report {
    /// Keeps the first findings.
    pub(super) fn quote(&mut self, finding: String) {
        if self.findings.len() < QUOTED_MAX {
            self.findings.push(finding);
        }
    }
}
