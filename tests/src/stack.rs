//! A private stack of the real programs on free ports, or the demo's on the usual ones.
//!
//! It starts what a deployment starts, waits until each part says that it is ready, and stops
//! everything it started: in order when told to, and at once when dropped.

mod alerting;
mod command_line;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use reqwest::Client;

pub use self::alerting::Routing;
use crate::address;
use crate::folder::Folder;
use crate::parts::{OTLP_GRPC, OTLP_HTTP, Part, Socket};
use crate::process::{Process, Program, STOP_DEADLINE, Stopped, exit_text};
use crate::wait::{Look, until};

/// How long a part may take to be ready. The engine opens a folder in under a second; a busy
/// machine with two cores is given much more.
const READY_DEADLINE: Duration = Duration::from_secs(60);
/// How often a part is started whose free port somebody else took in the meantime.
const PORT_ATTEMPTS_MAX: usize = 3;
/// What a program says then.
const ADDRESS_TAKEN: &str = "address already in use";
/// How long one question to a part may take.
const ANSWER_DEADLINE: Duration = Duration::from_secs(30);

/// Which ports the parts take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ports {
    /// Free ones: any number of stacks side by side.
    Free,
    /// The usual ones, for people; a taken one is replaced by a free one and reported.
    Usual,
}

/// A port that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moved {
    /// Whose.
    pub part: Part,
    /// The name of its socket.
    pub socket: &'static str,
    /// The port wanted.
    pub wanted: u16,
}

/// The running parts.
#[derive(Debug)]
pub struct Stack {
    running: BTreeMap<Part, Process>,
    /// Addresses by part and socket, once known.
    addresses: BTreeMap<(Part, &'static str), SocketAddr>,
    ports: Ports,
    moved: Vec<Moved>,
    extra: BTreeMap<Part, Vec<String>>,
    /// How the collector reaches the store, when it is not at the engine's own address.
    store_url: Option<String>,
    routing: Routing,
    client: Client,
    folder: Folder,
}

impl Stack {
    /// A stack without parts.
    ///
    /// # Errors
    /// No HTTP client can be made.
    pub fn new(folder: Folder, ports: Ports) -> Result<Self> {
        Ok(Self {
            running: BTreeMap::new(),
            addresses: BTreeMap::new(),
            ports,
            moved: Vec::new(),
            extra: BTreeMap::new(),
            store_url: None,
            routing: Routing::default(),
            client: client()?,
            folder,
        })
    }

    /// Engine, collector and pages in a private folder, on free ports, ready.
    ///
    /// # Errors
    /// A program is missing or does not get ready; the message says what to do.
    pub async fn start() -> Result<Self> {
        let mut stack = Self::new(Folder::private()?, Ports::Free)?;
        stack.start_parts(&[Part::Engine, Part::Collector, Part::TrackerUi]).await?;
        Ok(stack)
    }

    /// The same with the evaluator and Alertmanager.
    ///
    /// # Errors
    /// As [`Stack::start`].
    pub async fn start_with_alerts() -> Result<Self> {
        let mut stack = Self::new(Folder::private()?, Ports::Free)?;
        stack.start_parts(&Part::ALL).await?;
        Ok(stack)
    }

    /// Adds arguments to the command line of a part that is not started yet.
    pub fn extra(&mut self, part: Part, arguments: &[&str]) {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned());
        self.extra.entry(part).or_default().extend(arguments);
    }

    /// Lets a collector that is not started yet reach the store there.
    pub fn reach_store_through(&mut self, url: String) {
        self.store_url = Some(url);
    }

    /// Starts these parts one after the other and waits until they are ready.
    ///
    /// # Errors
    /// A program is missing, ends early or does not get ready.
    pub async fn start_parts(&mut self, parts: &[Part]) -> Result<()> {
        for part in parts {
            self.start_part(*part).await?;
        }
        Ok(())
    }

    /// Starts a part and waits until it is ready. Started again, it takes the addresses it had.
    ///
    /// # Errors
    /// As [`Stack::start_parts`].
    pub async fn start_part(&mut self, part: Part) -> Result<()> {
        let fixed = self.addresses.keys().any(|(known, _)| *known == part);
        for _ in 1..PORT_ATTEMPTS_MAX {
            self.launch(part).await?;
            let ready = self.ready(part).await;
            // A port that was free a moment ago may be taken by now.
            let taken = !fixed && self.process(part)?.log()?.contains(ADDRESS_TAKEN);
            if ready.is_ok() || !taken {
                return ready;
            }
            self.running.remove(&part);
            self.addresses.retain(|(known, _), _| *known != part);
        }
        self.launch(part).await?;
        self.ready(part).await
    }

    /// Starts a part and waits until its sockets are known.
    ///
    /// # Errors
    /// As [`Stack::start_parts`].
    pub async fn launch(&mut self, part: Part) -> Result<()> {
        let ports_file = self.folder.ports().join(part.name());
        if let Err(error) = std::fs::remove_file(&ports_file)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            return Err(error).with_context(|| format!("removing {}", ports_file.display()));
        }
        let listen = self.listen(part)?;
        let mut arguments = self.arguments(part, &listen, &ports_file)?;
        arguments.0.extend(self.extra.get(&part).into_iter().flatten().map(Into::into));
        let program =
            Program { name: part.name(), executable: part.executable()?, arguments: arguments.0 };
        let mut process = Process::start(&program, &self.folder.logs())?;
        if part.is_ours() {
            let bound = read_ports(&mut process, &ports_file).await?;
            for socket in part.sockets() {
                let address = bound.get(socket.name).with_context(|| {
                    format!("{} names no socket {}: {bound:?}", part.name(), socket.name)
                })?;
                self.addresses.insert((part, socket.name), *address);
            }
        } else {
            let named = listen.into_iter().map(|(socket, address)| ((part, socket.name), address));
            self.addresses.extend(named);
        }
        self.running.insert(part, process);
        Ok(())
    }

    /// Waits until a started part says that it is ready.
    ///
    /// # Errors
    /// It ends, or does not get ready in time.
    pub async fn ready(&mut self, part: Part) -> Result<()> {
        let url = format!("{}{}", self.url(part)?, part.ready_path());
        let client = self.client.clone();
        let process = self.running.get_mut(&part).context("the part is not started")?;
        let look = || {
            let alive = process.must_run();
            let request = client.get(&url);
            async move {
                alive?;
                Ok(match request.send().await {
                    Ok(answer) => {
                        let is_ready = answer.status().is_success();
                        let text = answer.text().await.unwrap_or_default();
                        // A collector takes data before there is a store; others want one.
                        let is_well = part != Part::Collector || text == "ok\n";
                        if is_ready && is_well { Look::Yes(()) } else { Look::NotYet(text) }
                    }
                    Err(error) => Look::NotYet(format!("{:#}", anyhow::Error::from(error))),
                })
            }
        };
        let what = format!("{} to be ready", part.name());
        match until(&what, READY_DEADLINE, look).await {
            Ok(_) => Ok(()),
            Err(error) => Err(quoting(error, self.process(part)?)),
        }
    }

    /// Where each socket of the part should listen: where it listened before, else on the usual
    /// or a free port.
    fn listen(&mut self, part: Part) -> Result<Vec<(Socket, SocketAddr)>> {
        let mut listen = Vec::new();
        for socket in part.sockets() {
            let known = self.addresses.get(&(part, socket.name));
            let usual = SocketAddr::from(([127, 0, 0, 1], socket.default_port));
            let address = match (known, self.ports) {
                (Some(known), _) => *known,
                (None, Ports::Usual) if address::is_free(socket.default_port) => usual,
                (None, ports) => {
                    if ports == Ports::Usual {
                        self.moved.push(Moved {
                            part,
                            socket: socket.name,
                            wanted: socket.default_port,
                        });
                    }
                    if part.is_ours() && ports == Ports::Free {
                        address::ANY
                    } else {
                        address::free()?
                    }
                }
            };
            listen.push((*socket, address));
        }
        Ok(listen)
    }

    /// The address of a socket of a started part.
    ///
    /// # Errors
    /// The part was not started.
    pub fn address(&self, part: Part, socket: &str) -> Result<SocketAddr> {
        let found = self.addresses.iter().find(|((p, s), _)| *p == part && *s == socket);
        let known = found.map(|(_, address)| *address);
        known.with_context(|| format!("{} has no address for {socket} yet", part.name()))
    }

    /// The root URL of a part: of its pages, or of health and metrics where it has none.
    ///
    /// # Errors
    /// The part was not started.
    pub fn url(&self, part: Part) -> Result<String> {
        let socket = part.sockets().last().context("a part without sockets")?;
        Ok(format!("http://{}", self.address(part, socket.name)?))
    }

    /// The root URL of OTLP/HTTP.
    ///
    /// # Errors
    /// The collector was not started.
    pub fn otlp_http(&self) -> Result<String> {
        Ok(format!("http://{}", self.address(Part::Collector, OTLP_HTTP)?))
    }

    /// The root URL of OTLP/gRPC.
    ///
    /// # Errors
    /// The collector was not started.
    pub fn otlp_grpc(&self) -> Result<String> {
        Ok(format!("http://{}", self.address(Part::Collector, OTLP_GRPC)?))
    }

    /// An HTTP client for everybody.
    #[must_use]
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// The folder with data and logs.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The folder with logs.
    #[must_use]
    pub fn logs(&self) -> std::path::PathBuf {
        self.folder.logs()
    }

    /// The usual ports that were taken.
    #[must_use]
    pub fn moved(&self) -> &[Moved] {
        &self.moved
    }

    /// The process of a part.
    ///
    /// # Errors
    /// The part does not run.
    pub fn process(&mut self, part: Part) -> Result<&mut Process> {
        self.running.get_mut(&part).with_context(|| format!("{} does not run", part.name()))
    }

    /// Fails if a part ended by itself.
    ///
    /// # Errors
    /// It did; with its last log lines.
    pub fn must_run(&mut self) -> Result<()> {
        self.running.values_mut().try_for_each(Process::must_run)
    }

    /// SIGTERM to a part, and its end.
    ///
    /// # Errors
    /// The part does not run.
    pub async fn stop_part(&mut self, part: Part) -> Result<Stopped> {
        let mut process =
            self.running.remove(&part).with_context(|| format!("{} does not run", part.name()))?;
        process.stop(STOP_DEADLINE).await
    }

    /// SIGKILL to a part.
    ///
    /// # Errors
    /// The part does not run.
    pub async fn kill_part(&mut self, part: Part) -> Result<()> {
        let mut process =
            self.running.remove(&part).with_context(|| format!("{} does not run", part.name()))?;
        process.kill().await
    }

    /// Stops every part, the last started first.
    ///
    /// # Errors
    /// A part had ended by itself, did not end in time, or ended with another code than 0.
    pub async fn stop(&mut self) -> Result<()> {
        let mut faults = Vec::new();
        while let Some((part, mut process)) = self.running.pop_last() {
            if let Err(error) = process.must_run() {
                faults.push(error.to_string());
                continue;
            }
            let stopped = process.stop(STOP_DEADLINE).await?;
            if stopped.killed || !stopped.status.success() {
                let how = exit_text(stopped.status);
                faults.push(format!("{} stopped with {how}; {}", part.name(), process.tail()));
            }
        }
        if faults.is_empty() { Ok(()) } else { bail!("{}", faults.join("\n")) }
    }

    /// All went well: stops every part and removes the private folder.
    ///
    /// # Errors
    /// As [`Stack::stop`]; the folder is kept then.
    pub async fn finish(mut self) -> Result<()> {
        self.stop().await?;
        self.folder.done();
        Ok(())
    }
}

/// The HTTP client of tests: it never goes through a proxy, and it does not wait for ever.
///
/// # Errors
/// The client cannot be made.
pub fn client() -> Result<Client> {
    Client::builder().no_proxy().timeout(ANSWER_DEADLINE).build().context("making an HTTP client")
}

async fn read_ports(
    process: &mut Process,
    ports_file: &Path,
) -> Result<BTreeMap<String, SocketAddr>> {
    let what = format!("{} to listen", process.name());
    let look = || {
        let alive = process.must_run();
        async move {
            alive?;
            let ports = address::read_ports_file(ports_file)?;
            Ok(ports.map_or_else(|| Look::NotYet("no ports file".to_owned()), Look::Yes))
        }
    };
    match until(&what, READY_DEADLINE, look).await {
        Ok((ports, _)) => Ok(ports),
        Err(error) => Err(quoting(error, process)),
    }
}

/// The error with the last log lines of the process; of one that ended, it has them already.
fn quoting(error: anyhow::Error, process: &mut Process) -> anyhow::Error {
    match process.ended() {
        Ok(None) => anyhow!("{error:#}; {}", process.tail()),
        _ => error,
    }
}
