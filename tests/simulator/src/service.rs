//! One of the three systems, as a process of its own: takes steps as it is told, with the SDK of
//! a real service, and says what it published.

mod history;
mod live;
mod produced;

use crate::settings::ServiceSettings;
use crate::telemetry::{DeliveryCounts, DeliveryWatch, Telemetry, TelemetryError};
use crate::trace_plan::System;
use crate::wire::{Action, Command, Reply};
use produced::Produced;
use std::io::{BufRead, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};
use thiserror::Error;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// Commands read ahead; at the bound the pipe fills and the orchestrator waits.
const COMMANDS_AHEAD_MAX: usize = 256;
/// How long a live span that ends last outlives its siblings.
const ENDS_LAST_AFTER: Duration = Duration::from_millis(1_500);
/// How often spans that end last are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Why a service stopped before it was told to.
#[derive(Debug, Error)]
pub enum ServiceError {
    /// There is no SDK to work with.
    #[error("setting up telemetry")]
    Telemetry(#[from] TelemetryError),
    /// The orchestrator could not be heard or answered.
    #[error("talking to the orchestrator")]
    Pipe(#[from] std::io::Error),
    /// The orchestrator said something else.
    #[error("understanding the orchestrator")]
    Command(#[from] serde_json::Error),
}

/// Is that system until its standard input ends.
///
/// # Errors
/// When telemetry cannot be set up, or the orchestrator cannot be understood or answered.
pub fn serve(system: System, settings: &ServiceSettings) -> Result<(), ServiceError> {
    let counts = Arc::new(DeliveryCounts::default());
    let telemetry = Telemetry::start(system, settings, Arc::clone(&counts))?;
    let log = tracing_subscriber::fmt::layer().json().with_writer(std::io::stderr).with_filter(
        EnvFilter::builder().with_default_directive(LevelFilter::ERROR.into()).from_env_lossy(),
    );
    // Only the service's own spans are exported, or the exporter's would follow them for ever.
    let spans = tracing_opentelemetry::layer()
        .with_tracer(telemetry.tracer.clone())
        .with_filter(Targets::new().with_target(live::TARGET, LevelFilter::TRACE));
    let watch = DeliveryWatch(counts).with_filter(LevelFilter::WARN);
    tracing_subscriber::registry().with(log).with(spans).with(watch).init();
    let mut service = Service { telemetry: &telemetry, held: Vec::new() };
    let result = service.obey(&commands());
    service.end_held();
    telemetry.stop();
    result
}

/// Reads commands on a thread of its own, so that the service can also act by the clock.
fn commands() -> Receiver<Result<Command, ServiceError>> {
    let (sender, receiver) = sync_channel(COMMANDS_AHEAD_MAX);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let command = line
                .map_err(ServiceError::from)
                .and_then(|line| serde_json::from_str(&line).map_err(ServiceError::from));
            if sender.send(command).is_err() {
                return;
            }
        }
    });
    receiver
}

struct Service<'a> {
    telemetry: &'a Telemetry,
    held: Vec<HeldSpan>,
}

/// A span that ends after its siblings were delivered.
struct HeldSpan {
    until: Instant,
    end: EndSpan,
}

/// Ends the span when called.
type EndSpan = Box<dyn FnOnce()>;

impl Service<'_> {
    fn obey(
        &mut self,
        commands: &Receiver<Result<Command, ServiceError>>,
    ) -> Result<(), ServiceError> {
        loop {
            match commands.recv_timeout(LOOK_EVERY) {
                Ok(command) => {
                    let reply = match command? {
                        Command::Act(action) => self.act(*action),
                        Command::Flush { ticket } => self.flush(ticket),
                    };
                    let mut line = serde_json::to_vec(&reply)?;
                    line.push(b'\n');
                    let mut out = std::io::stdout().lock();
                    out.write_all(&line)?;
                    out.flush()?;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            if self.held.iter().any(|span| span.until <= Instant::now()) {
                self.end_held();
            }
        }
    }

    fn act(&mut self, action: Action) -> Reply {
        let mut produced = Produced::new(action.order_id);
        let message = action.message.as_ref();
        let ends = if action.live {
            live::act(self.telemetry, &action.step, message, &mut produced)
        } else {
            history::act(self.telemetry, &action.step, message, &mut produced)
        };
        // History is over already: its last spans end when told to flush.
        let outlive = if action.live { ENDS_LAST_AFTER } else { Duration::from_secs(3_600) };
        let until = Instant::now() + outlive;
        self.held.extend(ends.into_iter().map(|end| HeldSpan { until, end }));
        if self.telemetry.nearly_full() {
            self.telemetry.flush();
        }
        Reply::Acted { ticket: action.ticket, published: produced.messages }
    }

    fn flush(&mut self, ticket: u64) -> Reply {
        self.end_held();
        self.telemetry.flush();
        Reply::Flushed { ticket, delivered: self.telemetry.counts.so_far() }
    }

    /// Delivers what there is, and only then lets the held spans end.
    fn end_held(&mut self) {
        if self.held.is_empty() {
            return;
        }
        self.telemetry.flush();
        for span in self.held.drain(..) {
            (span.end)();
        }
    }
}
