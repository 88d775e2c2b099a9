//! Who guards the OTLP ports, put together: settings checked against addresses, tokens and
//! certificates read before any port is bound, and watched afterwards.

use std::time::Duration;

use daemon::connections::Port;
use daemon::tls::Tls;
use daemon::{Health, Metrics, Stop};
use tokio::net::TcpListener;

use crate::access::Access;
use crate::access::file::{self, Mistake, Mistakes};
use crate::access::metrics::AccessMetrics;
use crate::access::settings::AccessSettings;
use crate::access::sources::Sources;
use crate::reload::{self, Complaint, Contents, Watched, WatchedFile};
use crate::settings::Settings;
use crate::tls::{self, TlsInForce};

/// A setting of who may send cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("bad setting {flag}: {why}")]
pub struct GuardError {
    /// The flag.
    pub flag: &'static str,
    /// What is wrong.
    pub why: String,
}

/// Who comes in, over what, and the files that say so.
pub struct Guard {
    access: Access,
    tls: Option<Tls>,
    watched: Vec<Watched>,
    reload_interval: Duration,
}

impl Guard {
    /// Checks the settings and reads their files; what is wrong with a file is logged line by
    /// line.
    ///
    /// # Errors
    /// [`GuardError`].
    pub async fn open(
        settings: &Settings,
        page: &Metrics,
        health: &Health,
    ) -> Result<Self, GuardError> {
        let ports = [("--otlp-http", settings.otlp_http), ("--otlp-grpc", settings.otlp_grpc)];
        let settings = &settings.access;
        settings.check(&ports).map_err(|(flag, why)| GuardError { flag, why })?;
        let metrics = AccessMetrics::new(page);
        let asks = settings.tokens.is_some();
        let access = Access::new(asks, settings.service_rate(), metrics.clone());
        let mut watched = Vec::new();
        watched.extend(open_tokens(settings, &access, &metrics, health).await?);
        let mut tls = None;
        if let Some((served, watch)) = open_tls(settings, page, &metrics, health).await? {
            tls = Some(served);
            watched.push(watch);
        }
        Ok(Self { access, tls, watched, reload_interval: settings.reload_interval })
    }

    /// Who may send.
    #[must_use]
    pub fn access(&self) -> Access {
        self.access.clone()
    }

    /// A socket with what is spoken on it.
    #[must_use]
    pub fn port(&self, listener: TcpListener) -> Port {
        Port { listener, tls: self.tls.clone() }
    }

    /// Reads the files again when they change, until `stop`.
    pub async fn watch(self, stop: Stop) {
        reload::run(self.watched, self.reload_interval, stop).await;
    }
}

async fn open_tokens(
    settings: &AccessSettings,
    access: &Access,
    metrics: &AccessMetrics,
    health: &Health,
) -> Result<Option<Watched>, GuardError> {
    const SETTING: &str = "tokens";
    let Some(path) = settings.tokens.clone() else { return Ok(None) };
    let files = vec![WatchedFile { flag: "--tokens", path }];
    let apply = {
        let (access, file) = (access.clone(), files[0].clone());
        let has_mtls = settings.tls_client_ca.is_some();
        move |contents: &Contents| {
            access.replace(sources(&file, contents, has_mtls)?);
            Ok(())
        }
    };
    let read = reload::read(&files).await;
    let contents = read.and_then(|contents| apply(&contents).map(|()| contents));
    let contents = contents.map_err(|complaints| refuse(SETTING, &complaints))?;
    let (note, metrics) = (health.note(SETTING), metrics.clone());
    Ok(Some(Watched::new(SETTING, files, contents, Box::new(apply), note, metrics)))
}

/// The sources that the tokens file holds.
fn sources(
    file: &WatchedFile,
    contents: &Contents,
    has_mtls: bool,
) -> Result<Sources, Vec<Complaint>> {
    let complain = |line, reason: String| file.complaint(line, reason);
    let bytes = contents.first().map_or(&[][..], Vec::as_slice);
    let text = std::str::from_utf8(bytes)
        .map_err(|error| vec![complain(None, format!("is not UTF-8: {error}"))])?;
    let sources = file::parse(text).map_err(|Mistakes(mistakes)| {
        let mistakes = mistakes.into_iter();
        mistakes.map(|Mistake { line, reason }| complain(Some(line), reason)).collect::<Vec<_>>()
    })?;
    match sources.needs_certificate() {
        Some(name) if !has_mtls => {
            let reason = format!(
                "source `{name}` is known by a `client_cert`, and without --tls-client-ca nobody \
                 shows one"
            );
            Err(vec![complain(None, reason)])
        }
        _ => Ok(sources),
    }
}

async fn open_tls(
    settings: &AccessSettings,
    page: &Metrics,
    metrics: &AccessMetrics,
    health: &Health,
) -> Result<Option<(Tls, Watched)>, GuardError> {
    const SETTING: &str = "tls";
    let files = tls::files(settings);
    if files.is_empty() {
        return Ok(None);
    }
    let read = reload::read(&files).await;
    let loaded = read.and_then(|contents| Ok((tls::load(&files, &contents)?, contents)));
    let (loaded, contents) = loaded.map_err(|complaints| refuse(SETTING, &complaints))?;
    let (in_force, served) = TlsInForce::new(loaded, settings, page, metrics);
    let apply = {
        let files = files.clone();
        move |contents: &Contents| {
            in_force.replace(tls::load(&files, contents)?);
            Ok(())
        }
    };
    let (note, metrics) = (health.note(SETTING), metrics.clone());
    let watched = Watched::new(SETTING, files, contents, Box::new(apply), note, metrics);
    Ok(Some((served, watched)))
}

/// Tells everything that is wrong, and names the flag.
fn refuse(setting: &'static str, complaints: &[Complaint]) -> GuardError {
    for complaint in complaints {
        complaint.log(setting);
    }
    let Some(first) = complaints.first() else {
        return GuardError { flag: setting, why: "cannot be used".to_owned() };
    };
    let file = first.file.display();
    let why = match complaints.len() {
        1 => format!("{file}: {}", first.reason),
        count => format!("{count} mistakes in {file}"),
    };
    GuardError { flag: first.flag, why }
}
