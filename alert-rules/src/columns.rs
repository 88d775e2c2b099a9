//! Rules against the store, at start: the SQL runs, and gives the columns that the rule uses.

use std::collections::BTreeSet;
use std::time::Duration;

use order_store::Store;

use crate::finding::Finding;
use crate::rows::{self, Answer, Column, Kind, QueryError};
use crate::rule::{Label, Rule, RuleSet};

/// ClickHouse's codes for no such table and no such database.
const NO_SCHEMA_CODES: [u32; 2] = [60, 81];
/// How long a query without rows may take.
const CHECK_TIME_MAX: Duration = Duration::from_secs(30);

/// Checks every rule. The store must hold Waybill's schema already (see [`is_migrated`]).
///
/// # Errors
/// The store did not answer: nothing is known about the rules.
pub(crate) async fn check(store: &Store, set: &RuleSet) -> Result<Vec<Finding>, QueryError> {
    let mut findings = Vec::new();
    for rule in set.rules() {
        let sql = format!("SELECT * FROM (\n{}\n) LIMIT 0", rule.sql);
        match rows::ask(store, &sql, CHECK_TIME_MAX).await {
            Ok(answer) => findings.extend(check_columns(rule, &answer.columns)),
            Err(QueryError::Refused { why, .. }) => {
                let place = &rule.place;
                let why = format!("`sql` of {}: {why}", rule.name);
                findings.push(Finding::new(&place.file, place.sql_line, why));
            }
            Err(error) => return Err(error),
        }
    }
    findings.sort();
    Ok(findings)
}

/// Whether the collector has made the schema: it records the lifecycle last. The views that rules
/// ask are looked for as well: a collector of an older version has made a schema without them.
///
/// # Errors
/// The store did not answer, or refuses to for another reason than a schema that is not there.
pub(crate) async fn is_migrated(store: &Store) -> Result<bool, QueryError> {
    for sql in ["SELECT Fingerprint FROM lifecycle_v1", "SELECT AsOf FROM alert_clock_v1"] {
        match rows::ask(store, sql, CHECK_TIME_MAX).await {
            Ok(Answer { rows, .. }) if rows.is_empty() => return Ok(false),
            Ok(_) => {}
            Err(QueryError::Refused { code, .. }) if NO_SCHEMA_CODES.contains(&code) => {
                return Ok(false);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// What the columns must be for this rule.
fn check_columns(rule: &Rule, columns: &[Column]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut say = |line: u64, why: String| {
        findings.push(Finding::new(&rule.place.file, line, format!("{}: {why}", rule.name)));
    };
    let find = |name: &str| columns.iter().find(|column| column.name == name);
    let sql_line = rule.place.sql_line;

    match find("starts_at") {
        Some(column) if column.kind == Kind::Time && !column.nullable => {}
        Some(Column { type_name, .. }) => say(
            sql_line,
            format!("column `starts_at` is {type_name}; it must be a time in UTC, never NULL"),
        ),
        None => say(sql_line, "`sql` gives no column `starts_at`: when the alert began".into()),
    }
    match find("ends_at") {
        Some(column) if column.kind == Kind::Time && column.nullable => {}
        Some(Column { type_name, .. }) => say(
            sql_line,
            format!("column `ends_at` is {type_name}; it must be a time in UTC, NULL while open"),
        ),
        None => say(sql_line, "`sql` gives no column `ends_at`: NULL while the alert lives".into()),
    }
    for Column { name, type_name, .. } in columns.iter().filter(|c| c.kind == Kind::ZonedTime) {
        say(sql_line, format!("column `{name}` is {type_name}; write toTimeZone({name}, 'UTC')"));
    }
    for (label, source) in &rule.labels {
        let Label::Column { column, line } = source else { continue };
        match find(column) {
            Some(found) if found.kind == Kind::Text && !found.nullable => {}
            Some(found) => say(
                *line,
                format!(
                    "label `{label}` takes column `{column}` of type {}; labels are identity: \
                     text, never NULL",
                    found.type_name
                ),
            ),
            None => say(*line, format!("label `{label}`: `sql` gives no column `{column}`")),
        }
    }
    for (name, annotation) in &rule.annotations {
        for missing in annotation.columns.iter().filter(|column| find(column).is_none()) {
            let why = format!("annotation `{name}`: `sql` gives no column `{missing}`");
            say(annotation.line, why);
        }
    }
    let mut seen = BTreeSet::new();
    for doubled in columns.iter().filter(|column| !seen.insert(&column.name)) {
        say(sql_line, format!("`sql` gives column `{}` twice", doubled.name));
    }
    findings
}
