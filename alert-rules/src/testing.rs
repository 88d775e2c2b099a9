//! `alert-rules test`: rules against fixtures, in a database of their own that is made and dropped.
//!
//! The facts of a check are written as the collector writes them, the real stitcher derives the
//! orders, and the rule is asked as `run` asks it, over the published views, whose clock is set to
//! the point in time looked at. Every check begins with nothing. Where the case does not say when it
//! starts, it starts so that the point in time is now: facts of the future are then such for the
//! stitcher, too. Where it does, they are left out, as the fold leaves them out.

mod facts;
mod comparison;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use order_model::Lifecycle;
use order_store::{Stitcher, StoreError, Touched, Writer};

use crate::columns;
use crate::evaluation;
use crate::finding::Finding;
use crate::fixture::{self, Case, Check, FixtureFile, Times};
use crate::program::read_lifecycle;
use crate::rows::QueryError;
use crate::rule::{self, RuleSet, Texts};
use crate::scratch::{Scratch, ScratchError};
use crate::settings::{Limits, TestSettings};
use facts::Rows;

/// How long one question may take.
const QUESTION_TIME_MAX: Duration = Duration::from_secs(60);
/// What templates call `public_url` and `runbook_url`.
pub(crate) const URLS: [&str; 2] = ["http://tracker.test", "http://runbook.test"];

/// The tests could not be run.
#[derive(Debug, thiserror::Error)]
pub enum TestError {
    /// Mistakes in fixtures or rules.
    #[error("{} mistakes in fixtures or rules", .0.len())]
    Findings(Vec<Finding>),
    /// The database of the tests.
    #[error("cannot use a database for tests")]
    Scratch(#[from] ScratchError),
    /// Facts could not be derived.
    #[error("cannot write or derive the facts")]
    Store(#[from] StoreError),
    /// A rule could not be asked.
    #[error("{0}: {1}")]
    Query(String, String),
    /// The orders were not derived.
    #[error("{0}: the stitcher refused an order of the fixture")]
    NotDerived(String),
}

/// What came of the checks.
#[derive(Debug, Default)]
pub struct Report {
    /// How many there were.
    pub checks: usize,
    /// What differed, one text for each check that failed.
    pub failures: Vec<String>,
}

/// `test`: every check of every file.
///
/// # Errors
/// [`TestError`].
pub async fn test(settings: &TestSettings) -> Result<Report, TestError> {
    let mut files = Vec::new();
    let mut findings = Vec::new();
    for path in &settings.files {
        match read(path, &settings.rules) {
            Ok(file) => files.push(file),
            Err(more) => findings.extend(more),
        }
    }
    let lifecycle = read_lifecycle(settings.lifecycle.as_deref());
    let lifecycle = lifecycle.map_err(|more| findings.extend(more));
    let (Ok(lifecycle), true) = (lifecycle, findings.is_empty()) else {
        return Err(TestError::Findings(findings));
    };
    let scratch = Scratch::with_tables(&settings.store, &lifecycle).await?;
    let bench = Bench { scratch, lifecycle: Arc::new(lifecycle), limits: limits() };
    if let Some(findings) = bench.mistakes(&files).await? {
        bench.scratch.remove().await?;
        return Err(TestError::Findings(findings));
    }
    let tested = tokio::select! {
        tested = bench.files(&files) => tested,
        _ = tokio::signal::ctrl_c() => Ok(Report::default()),
    };
    bench.scratch.remove().await?;
    tested
}

/// A fixture file and its rules.
struct File {
    name: String,
    fixture: FixtureFile,
    rules: RuleSet,
}

fn read(path: &Path, rules: &Path) -> Result<File, Vec<Finding>> {
    let name = path.display().to_string();
    let text = rule::read(path).map_err(|why| vec![Finding::new(&name, 0, why)])?;
    let fixture = fixture::parse(&name, &text)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let named: Vec<PathBuf> = match fixture.rules.is_empty() {
        true => vec![rules.to_owned()],
        false => fixture.rules.iter().map(|rules| folder.join(rules)).collect(),
    };
    let mut texts = Texts::new();
    for path in named {
        if path.is_dir() {
            texts.extend(RuleSet::texts(&path)?);
        } else {
            let name = path.display().to_string();
            let text = rule::read(&path).map_err(|why| vec![Finding::new(&name, 0, why)])?;
            texts.push((name, text));
        }
    }
    let mut rules = RuleSet::parse(&texts)?;
    rules.set_urls(URLS[0], URLS[1]);
    let known = |name: &str| rules.rules().any(|rule| rule.name == name);
    let unknown = fixture.cases.iter().flat_map(|case| &case.checks);
    let unknown = unknown.filter(|check| !known(&check.value.alert)).map(|check| {
        let why = format!("no rule is called {}", check.value.alert);
        Finding::new(&name, check.referenced.line(), why)
    });
    let unknown: Vec<Finding> = unknown.collect();
    if unknown.is_empty() { Ok(File { name, fixture, rules }) } else { Err(unknown) }
}

fn limits() -> Limits {
    Limits {
        alerts_max: fixture::ORDERS_MAX as usize,
        batch_max: 1,
        evaluation_time_max: QUESTION_TIME_MAX,
        push_time_max: QUESTION_TIME_MAX,
        resolve_window: QUESTION_TIME_MAX,
        ready_age_max: QUESTION_TIME_MAX,
    }
}

/// Where checks are made.
struct Bench {
    scratch: Scratch,
    lifecycle: Arc<Lifecycle>,
    limits: Limits,
}

impl Bench {
    /// What `run` would refuse about the rules, if anything.
    async fn mistakes(&self, files: &[File]) -> Result<Option<Vec<Finding>>, TestError> {
        let mut findings = BTreeSet::new();
        for file in files {
            let checked = columns::check(&self.scratch.store, &file.rules).await;
            let asked = |error: QueryError| TestError::Query(file.name.clone(), error.to_string());
            findings.extend(checked.map_err(asked)?);
        }
        Ok((!findings.is_empty()).then(|| findings.into_iter().collect()))
    }

    async fn files(&self, files: &[File]) -> Result<Report, TestError> {
        let mut report = Report::default();
        for file in files {
            for case in &file.fixture.cases {
                for check in &case.checks {
                    report.checks += 1;
                    let place = format!(
                        "{}:{}: {}: {} as of {}",
                        file.name,
                        check.referenced.line(),
                        case.name.value,
                        check.value.alert,
                        check.value.as_of
                    );
                    let differs = self.check(file, case, &check.value, &place).await?;
                    if !differs.is_empty() {
                        report.failures.push(format!("FAIL {place}\n{differs}"));
                    }
                }
            }
        }
        Ok(report)
    }

    /// What differs; nothing when the check holds.
    async fn check(
        &self,
        file: &File,
        case: &Case,
        check: &Check,
        place: &str,
    ) -> Result<String, TestError> {
        let finding = |why: String| TestError::Findings(vec![Finding::new(place, 0, why)]);
        let times = case.times().map_err(finding)?;
        let as_of = times.offset(&check.as_of).map_err(finding)?;
        let base = times.start.unwrap_or_else(|| now() - as_of);
        let rows = self.rows(case, times, base, as_of).map_err(finding)?;
        self.scratch.clear().await?;
        self.write(&rows, place).await?;
        self.scratch.set_clock(base + as_of).await?;

        let named = file.rules.rules().find(|rule| rule.name == check.alert);
        let rule = named.ok_or_else(|| finding(format!("no rule is called {}", check.alert)))?;
        let store = &self.scratch.store;
        let (rendered, _) =
            evaluation::alerts(store, rule, &file.rules.templates, &self.limits, base + as_of)
                .await
                .map_err(|error| TestError::Query(place.to_owned(), error.to_string()))?;
        comparison::differences(check, &rendered, times, base).map_err(finding)
    }

    /// The rows of the facts that were heard by then.
    fn rows(
        &self,
        case: &Case,
        times: Times,
        base: DateTime<Utc>,
        as_of: TimeDelta,
    ) -> Result<Rows, String> {
        let skew = TimeDelta::from_std(self.lifecycle.skew).unwrap_or_default();
        let mut rows = Rows::default();
        for fact in case.facts.iter().map(|fact| &fact.value) {
            let at = times.offset(&fact.at)?;
            let heard = fact.heard.as_ref().map_or(Ok(at), |heard| times.offset(heard))?;
            let is_of_the_future = times.start.is_some() && at > as_of + skew;
            if heard <= as_of && !is_of_the_future {
                rows.add(fact, base + at, base + heard);
            }
        }
        Ok(rows)
    }

    async fn write(&self, rows: &Rows, place: &str) -> Result<(), TestError> {
        let store = &self.scratch.store;
        rows.insert(store).await.map_err(ScratchError::from)?;
        if !rows.told.is_empty() {
            Writer::new(store.clone()).record_alerts(&rows.told).await?;
        }
        let touched = Touched { orders: rows.orders(), ..Touched::default() };
        let stitcher = Stitcher::new(store.clone(), Arc::clone(&self.lifecycle));
        let stitched = stitcher.stitch(&touched, Duration::ZERO).await?;
        match stitched.refused {
            0 => Ok(()),
            _ => Err(TestError::NotDerived(place.to_owned())),
        }
    }
}

/// Now, on the millisecond, as the store's clocks are.
fn now() -> DateTime<Utc> {
    let now = Utc::now();
    DateTime::from_timestamp_millis(now.timestamp_millis()).unwrap_or(now)
}
