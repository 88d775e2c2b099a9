//! Starts the three services, hands them their steps, and carries their messages, as RabbitMQ
//! does in the real world: it may lose a message or deliver it twice, when the plan says so.

use crate::failure::RunError;
use crate::settings::{Protocol, RunSettings};
use crate::telemetry::Delivered;
use crate::trace_plan::{StepPlan, System};
use crate::wire::{Action, Command, Message, Reply};
use std::collections::{BTreeMap, HashMap};
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command as Program};
use tokio::sync::mpsc;

/// Replies read ahead; at the bound the services wait.
const REPLIES_AHEAD_MAX: usize = 4_096;

/// The running services and the messages between them.
#[derive(Debug)]
pub struct Broker {
    services: BTreeMap<System, Service>,
    replies: mpsc::Receiver<Heard>,
    /// Published and not yet forgotten, by message id.
    messages: HashMap<String, Message>,
    next_ticket: u64,
    counts: MessageCounts,
}

/// What became of messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MessageCounts {
    /// Sent by a service.
    pub published: u64,
    /// Handed to a service, first deliveries only.
    pub delivered: u64,
    /// Handed to a service once more.
    pub redelivered: u64,
}

/// A service's reply, or the word that there will be no more.
type Heard = Result<Reply, Silence>;

/// A service's output ended, or made no sense.
#[derive(Debug)]
struct Silence {
    system: System,
    why: String,
}

#[derive(Debug)]
struct Service {
    process: Child,
    /// `None` once told to stop.
    input: Option<ChildStdin>,
}

impl Broker {
    /// Starts this program again as shop, CRM and MES.
    ///
    /// # Errors
    /// When a process cannot be started.
    pub fn start(settings: &RunSettings) -> Result<Self, RunError> {
        let (sender, replies) = mpsc::channel(REPLIES_AHEAD_MAX);
        let mut services = BTreeMap::new();
        for system in System::ALL {
            let mut process = spawn(system, settings)?;
            let input = process.stdin.take();
            let output = process.stdout.take().ok_or_else(|| pipe_missing(system))?;
            tokio::spawn(listen(system, output, sender.clone()));
            services.insert(system, Service { process, input });
        }
        let messages = HashMap::new();
        let counts = MessageCounts::default();
        Ok(Self { services, replies, messages, next_ticket: 0, counts })
    }

    /// Has every system take its steps, side by side, and waits for all of them.
    ///
    /// # Errors
    /// When a service is gone, or a step answers a message that nobody published.
    pub async fn act(
        &mut self,
        steps: Vec<(String, StepPlan)>,
        live: bool,
    ) -> Result<(), RunError> {
        let mut waiting = steps.len();
        let mut commands = Vec::with_capacity(waiting);
        for (order_id, step) in steps {
            let message = self.deliver(&step)?;
            let system = step.system;
            self.next_ticket += 1;
            let action = Action { ticket: self.next_ticket, live, order_id, step, message };
            commands.push((system, Command::Act(Box::new(action))));
        }
        // Sending and hearing go on together, or full pipes would stop both sides.
        let Self { services, replies, messages, counts, .. } = self;
        let hear = async {
            while waiting > 0 {
                if let Reply::Acted { published, .. } = next(replies).await? {
                    counts.published += published.len() as u64;
                    messages.extend(published.into_iter().map(|m| (m.message_id.clone(), m)));
                    waiting -= 1;
                }
            }
            Ok::<(), RunError>(())
        };
        let send = async {
            for (system, command) in commands {
                if let Some(service) = services.get_mut(&system) {
                    service.send(system, &command).await?;
                }
            }
            Ok(())
        };
        tokio::try_join!(hear, send)?;
        Ok(())
    }

    /// The message a step answers.
    fn deliver(&mut self, step: &StepPlan) -> Result<Option<Message>, RunError> {
        let Some(id) = &step.consumes else { return Ok(None) };
        let message = self.messages.get(id).ok_or_else(|| RunError::NoMessage(id.clone()))?;
        if step.redelivered {
            self.counts.redelivered += 1;
        } else {
            self.counts.delivered += 1;
        }
        Ok(Some(message.clone()))
    }

    /// Forgets the messages of orders that are done, so that a long run does not keep them all.
    pub fn forget(&mut self, is_done: impl Fn(&str) -> bool) {
        self.messages.retain(|_, message| !is_done(&message.order_id));
    }

    /// What became of messages so far. Those published and not delivered are lost, or wait for
    /// a consumer that never comes, which is the same to the order.
    #[must_use]
    pub const fn message_counts(&self) -> MessageCounts {
        self.counts
    }

    /// Has every service deliver what it has; returns what became of all its signals so far.
    ///
    /// # Errors
    /// When a service is gone.
    pub async fn flush(&mut self) -> Result<BTreeMap<System, Delivered>, RunError> {
        let mut delivered = BTreeMap::new();
        let mut tickets = HashMap::new();
        for (system, service) in &mut self.services {
            self.next_ticket += 1;
            tickets.insert(self.next_ticket, *system);
            service.send(*system, &Command::Flush { ticket: self.next_ticket }).await?;
        }
        while !tickets.is_empty() {
            if let Reply::Flushed { ticket, delivered: counts } = next(&mut self.replies).await?
                && let Some(system) = tickets.remove(&ticket)
            {
                delivered.insert(system, counts);
            }
        }
        Ok(delivered)
    }

    /// Ends the services' input and waits for them to finish.
    ///
    /// # Errors
    /// When one ends badly.
    pub async fn stop(mut self) -> Result<(), RunError> {
        for service in self.services.values_mut() {
            service.input = None;
        }
        for (system, service) in self.services {
            let mut process = service.process;
            let status =
                process.wait().await.map_err(|source| RunError::Deaf { system, source })?;
            if !status.success() {
                return Err(RunError::Ended { system, status });
            }
        }
        Ok(())
    }
}

impl Service {
    async fn send(&mut self, system: System, command: &Command) -> Result<(), RunError> {
        let deaf = |source| RunError::Deaf { system, source };
        let mut line = serde_json::to_vec(command).map_err(|error| deaf(error.into()))?;
        line.push(b'\n');
        match &mut self.input {
            Some(input) => input.write_all(&line).await.map_err(deaf),
            None => Err(deaf(std::io::ErrorKind::BrokenPipe.into())),
        }
    }
}

fn pipe_missing(system: System) -> RunError {
    RunError::Start { system, source: std::io::ErrorKind::BrokenPipe.into() }
}

fn spawn(system: System, settings: &RunSettings) -> Result<Child, RunError> {
    let (protocol, endpoint) = match system {
        System::Shop => ("http", &settings.otlp_http),
        System::Crm => ("grpc", &settings.otlp_grpc),
        System::Mes => match settings.mes_protocol {
            Protocol::Http => ("http", &settings.otlp_http),
            Protocol::Grpc => ("grpc", &settings.otlp_grpc),
        },
    };
    let offset_ms = settings.clock_offset_ms(system);
    let failed = |source| RunError::Start { system, source };
    let this_program = std::env::current_exe().map_err(failed)?;
    Program::new(this_program)
        .arg(system.name())
        .args(["--protocol", protocol, "--endpoint", endpoint])
        .arg(format!("--clock-offset-ms={offset_ms}"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        // Ctrl-C is for the orchestrator, which ends its services once all is delivered.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)
}

/// The next reply of any service.
async fn next(replies: &mut mpsc::Receiver<Heard>) -> Result<Reply, RunError> {
    match replies.recv().await {
        Some(Ok(reply)) => Ok(reply),
        Some(Err(Silence { system, why })) => Err(RunError::Silent { system, why }),
        // Every listener says so before it ends, so that this is not reached.
        None => Err(RunError::Stopped),
    }
}

/// Passes a service's replies on until its output ends, and then says that it did.
async fn listen(system: System, output: ChildStdout, replies: mpsc::Sender<Heard>) {
    let mut lines = BufReader::new(output).lines();
    loop {
        let reply = match lines.next_line().await {
            Ok(Some(line)) => serde_json::from_str(&line).map_err(|error| error.to_string()),
            Ok(None) => Err("its output ended".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        let over = reply.is_err();
        let sent = replies.send(reply.map_err(|why| Silence { system, why })).await;
        if over || sent.is_err() {
            return;
        }
    }
}
