//! The program: rules checked, ports bound, groups and deliveries at work until the stop signal.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use daemon::{Health, Metrics, Stop};
use order_model::Lifecycle;
use order_model::lifecycle::Mistake;
use order_store::Store;
use tokio::task::JoinSet;

use crate::alertmanager::Alertmanager;
use crate::columns;
use crate::delivery::Delivery;
use crate::evaluation::{Evaluator, StoreState};
use crate::figures::Figures;
use crate::finding::Finding;
use crate::group_health::GroupHealth;
use crate::mailbox::Mailbox;
use crate::reload::WatchedRules;
use crate::rows::QueryError;
use crate::rule::{self, Group, RuleSet, Texts};
use crate::settings::{CheckSettings, RunSettings};

/// The runbook of this build, served at `/runbook`.
const RUNBOOK: &str = include_str!("../runbook.md");
/// What is said of a store without tables.
const NO_SCHEMA: &str = "the store holds no schema yet, or an older one";
/// Pause between two looks at a store that does not answer, or has no schema yet, at start.
const STORE_PAUSE: Duration = Duration::from_millis(500);

/// The program ended early.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Rules that cannot be evaluated.
    #[error("{} mistakes in the rules", .0.len())]
    Rules(Vec<Finding>),
    /// A port cannot be bound or served.
    #[error(transparent)]
    Serve(#[from] daemon::serve::ServeError),
    /// The ports file cannot be written.
    #[error("cannot write the ports file")]
    PortsFile(#[source] std::io::Error),
    /// The cluster has a name that cannot be used.
    #[error("bad setting: --store-cluster")]
    Cluster(#[from] order_store::cluster::ClusterError),
    /// No HTTP client.
    #[error("cannot make the HTTP client")]
    Client(#[from] reqwest::Error),
}

/// Addresses that templates know.
#[derive(Debug, Clone)]
struct Urls {
    public: String,
    runbook: String,
}

/// `run`: returns when stopped.
///
/// The shape of the rules is checked before a port is bound; their SQL as soon as the store
/// answers, before the first evaluation.
///
/// # Errors
/// [`RunError`].
pub async fn run(settings: RunSettings, stop: Stop) -> Result<(), RunError> {
    let texts = RuleSet::texts(&settings.rules).map_err(RunError::Rules)?;
    let rules = RuleSet::parse(&texts).map_err(RunError::Rules)?;
    let (listener, address) = daemon::serve::bind("admin", settings.listen).await?;
    if let Some(path) = &settings.common.ports_file {
        let ports = [("admin", address)];
        daemon::settings::write_ports_file(path, &ports).map_err(RunError::PortsFile)?;
    }
    let runbook = settings
        .runbook_url
        .as_ref()
        .map_or_else(|| format!("http://{address}/runbook"), ToString::to_string);
    let urls =
        Urls { public: settings.public_url.as_str().trim_end_matches('/').to_owned(), runbook };

    let (health, metrics) = (Health::new(), Metrics::new("alert-rules", env!("CARGO_PKG_VERSION")));
    let text = [(CONTENT_TYPE, "text/plain; charset=utf-8")];
    let router = daemon::admin::router(health.clone(), metrics.clone())
        .route("/runbook", get(move || async move { (text, RUNBOOK) }));
    let drain = settings.common.drain_deadline;
    let admin = tokio::spawn(daemon::serve::serve(listener, router, stop.clone(), drain));

    let worked = work(&settings, (rules, texts), &urls, &health, &metrics, &stop).await;
    stop.stop();
    if let Ok(served) = admin.await {
        served?;
    }
    worked
}

async fn work(
    settings: &RunSettings,
    (mut rules, texts): (RuleSet, Texts),
    urls: &Urls,
    health: &Health,
    metrics: &Metrics,
    stop: &Stop,
) -> Result<(), RunError> {
    let figures = Figures::new(metrics);
    let store = settings.store.connect()?;
    let limits = &settings.limits;
    // An Alertmanager that hears nothing is told nothing: each evaluation is pushed, so a push
    // is as old as the slowest interval at most.
    let slowest = rules.groups.iter().map(|group| group.interval).max().unwrap_or_default();
    let pushing = health.watch("push", slowest + limits.ready_age_max);
    let groups_health = GroupHealth::new(health);
    let store_state = StoreState::default();
    if !wait_for_rules(&store, &rules, &groups_health, &store_state, &figures, stop).await? {
        return Ok(());
    }
    tracing::info!(rules = rules.rules().count(), groups = rules.groups.len(), "rules in order");

    let mut deliveries = JoinSet::new();
    let (mut mailboxes, mut names) = (Vec::new(), Vec::new());
    for url in &settings.alertmanagers {
        let alertmanager = Alertmanager::new(url, limits.push_time_max, limits.batch_max)?;
        names.push(alertmanager.name.clone());
        let mailbox = Mailbox::default();
        mailboxes.push(mailbox.clone());
        let delivery = Delivery::new(alertmanager, mailbox, figures.clone(), pushing.clone());
        deliveries.spawn(delivery.run(stop.clone()));
    }
    let note = health.note("rules");
    let mut watched = WatchedRules::new(settings.rules.clone(), texts, note, figures.clone());
    let mut evaluator = Evaluator {
        store: store.clone(),
        templates: Arc::default(),
        limits: limits.clone(),
        mailboxes,
        figures: figures.clone(),
        store_state,
        health: groups_health.clone(),
    };
    let keeping = tokio::spawn(groups_health.clone().keep(stop.clone()));
    loop {
        figures.begin(&rules, &names);
        rules.set_urls(&urls.public, &urls.runbook);
        evaluator.templates = Arc::new(rules.templates.clone());
        let age_max = |group: &Group| (group.name.clone(), group.interval + limits.ready_age_max);
        groups_health.watch_groups(rules.groups.iter().map(age_max));
        let (generation, mut groups) = (Stop::new(), JoinSet::new());
        for group in &rules.groups {
            groups.spawn(evaluator.clone().run(group.clone(), generation.clone()));
        }
        let changed = tokio::select! {
            changed = watched.changed(&store) => Some(changed),
            () = stop.stopped() => None,
        };
        generation.stop();
        groups.join_all().await;
        let Some(changed) = changed else { break };
        figures.forget(&rules, &changed);
        rules = changed;
    }
    keeping.abort();
    // A push in hand may end; past the deadline it is cut off, and the next start repeats it.
    let drained = async { while deliveries.join_next().await.is_some() {} };
    if tokio::time::timeout(settings.common.drain_deadline, drained).await.is_err() {
        tracing::warn!("drain deadline passed; a push was cut off");
    }
    Ok(())
}

/// Waits for the store and checks the rules against it; `false` when stopped before.
///
/// A store that refuses us is asked again, too: a user or a password may be set right there
/// without a restart here.
async fn wait_for_rules(
    store: &Store,
    rules: &RuleSet,
    health: &GroupHealth,
    state: &StoreState,
    figures: &Figures,
    stop: &Stop,
) -> Result<bool, RunError> {
    let mut told = String::new();
    loop {
        let checked = tokio::select! {
            checked = check_with_store(store, rules) => checked,
            () = stop.stopped() => return Ok(false),
        };
        let waits_for = match &checked {
            Err(error @ (QueryError::Unreachable(_) | QueryError::Unanswered(_))) => {
                state.turned(figures, Some(error));
                error.to_string()
            }
            Err(error @ (QueryError::Refused { .. } | QueryError::Garbled(_))) => {
                figures.store_up.set(1);
                let error = error.to_string();
                if error != told {
                    tracing::error!(error, "rules cannot be checked; trying again");
                }
                error
            }
            Ok(_) => {
                state.turned(figures, None);
                NO_SCHEMA.to_owned()
            }
        };
        match checked {
            Ok(Some(findings)) if findings.is_empty() => return Ok(true),
            Ok(Some(findings)) => return Err(RunError::Rules(findings)),
            Ok(None) if told != NO_SCHEMA => {
                tracing::info!("{NO_SCHEMA}; waiting for the collector");
            }
            Ok(None) | Err(_) => {}
        }
        health.waits(&waits_for);
        told = waits_for;
        if !stop.sleep(STORE_PAUSE).await {
            return Ok(false);
        }
    }
}

/// Findings, or none while the store has no schema.
async fn check_with_store(
    store: &Store,
    rules: &RuleSet,
) -> Result<Option<Vec<Finding>>, QueryError> {
    match columns::is_migrated(store).await? {
        true => columns::check(store, rules).await.map(Some),
        false => Ok(None),
    }
}

/// The lifecycle of a file, or the built-in one.
///
/// # Errors
/// Every mistake in it.
pub(crate) fn read_lifecycle(path: Option<&Path>) -> Result<Lifecycle, Vec<Finding>> {
    let Some(path) = path else { return Ok(Lifecycle::default()) };
    let name = path.display().to_string();
    let text = rule::read(path).map_err(|why| vec![Finding::new(&name, 0, why)])?;
    Lifecycle::parse(&text).map_err(|mistakes| {
        let finding = |mistake: Mistake| {
            let line = mistake.line.try_into().unwrap_or(0);
            Finding::new(&name, line, mistake.reason)
        };
        mistakes.0.into_iter().map(finding).collect()
    })
}

/// `check`: every mistake found, in order.
pub async fn check(settings: &CheckSettings) -> Vec<Finding> {
    let read = match settings.files.is_empty() {
        true => RuleSet::read_folder(&settings.rules),
        false => RuleSet::read_files(&settings.files),
    };
    let rules = match read {
        Ok(rules) => rules,
        Err(findings) => return findings,
    };
    if !settings.with_store {
        return Vec::new();
    }
    let place = settings.store.server.store_url.as_str();
    let store = match settings.store.connect() {
        Ok(store) => store,
        Err(error) => return vec![Finding::new(place, 0, error.to_string())],
    };
    match check_with_store(&store, &rules).await {
        Ok(Some(findings)) => findings,
        Ok(None) => vec![Finding::new(place, 0, NO_SCHEMA)],
        Err(error) => vec![Finding::new(place, 0, error.to_string())],
    }
}
