//! Who may send, and how much: each request is asked who it is and whether its source has
//! anything left of its rate before its body is read, and what it carries once it is decoded.

pub mod token;
pub mod sources;
pub mod file;
pub mod metrics;
pub mod settings;

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use daemon::tls::PeerNames;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderMap, HeaderValue};
use otlp_columns::mapped::Rejected;
use otlp_columns::{Decoded, Mapped, Mapper, Share};
use tokio::time::Instant;

use crate::access::metrics::AccessMetrics;
use crate::access::sources::{Source, Sources};
use crate::rates::{Bucket, Buckets, KEYS_MAX, Rate};

/// Services named in a refusal.
const NAMED_MAX: usize = 3;
/// Characters of each.
const NAMED_CHARS_MAX: usize = 80;
/// Bytes of a service's name by which its rate is remembered.
const SERVICE_KEY_BYTES_MAX: usize = 200;

/// Why a request may not come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denied {
    /// It does not say who it is, or nobody is known by it.
    Unauthenticated(&'static str),
    /// Its source may not send any of the services that it carries.
    Forbidden(String),
    /// Its source, or one of its services, has nothing left of its rate; come again.
    OverRate {
        /// The sentence for the sender.
        text: String,
        /// When something is left again.
        retry_after: Duration,
    },
}

impl Denied {
    /// The value of a metric's label.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Unauthenticated(_) => "unauthenticated",
            Self::Forbidden(_) => "forbidden",
            Self::OverRate { .. } => "rate_limited",
        }
    }

    /// The sentence for the sender.
    #[must_use]
    pub fn message(&self) -> &str {
        match self {
            Self::Unauthenticated(text) => text,
            Self::Forbidden(text) | Self::OverRate { text, .. } => text,
        }
    }

    /// What the sender is asked to wait, if it should come again.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::OverRate { retry_after, .. } => Some(*retry_after),
            Self::Unauthenticated(_) | Self::Forbidden(_) => None,
        }
    }
}

/// Decides who may send and how much. Clones share everything.
#[derive(Debug, Clone)]
pub struct Access {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// `None`: nobody is asked.
    directory: Option<RwLock<Arc<Directory>>>,
    services: Option<(Rate, Mutex<Buckets>)>,
    metrics: AccessMetrics,
}

/// The sources in force and what each has left. What is left outlives a reload.
#[derive(Debug, Default)]
struct Directory {
    sources: Sources,
    left: HashMap<String, Arc<Left>>,
}

/// What a source has left of its rates.
#[derive(Debug)]
struct Left {
    spans: Mutex<Bucket>,
    bytes: Mutex<Bucket>,
}

/// A request that was let in.
#[derive(Debug, Clone)]
pub struct Grant {
    access: Access,
    /// `None`: nobody was asked.
    known: Option<Known>,
    /// Bytes that it announced and was charged for.
    announced: Option<u64>,
}

#[derive(Debug, Clone)]
struct Known {
    source: Arc<Source>,
    left: Arc<Left>,
}

impl Access {
    /// Asks nobody who they are when `asks` is false; else lets nobody in until
    /// [`Access::replace`]. Each service (of each source) has `service_rate`.
    #[must_use]
    pub fn new(asks: bool, service_rate: Option<Rate>, metrics: AccessMetrics) -> Self {
        let buckets = |rate| (rate, Mutex::new(Buckets::new(rate, KEYS_MAX, Instant::now())));
        let shared = Shared {
            directory: asks.then(RwLock::default),
            services: service_rate.map(buckets),
            metrics,
        };
        Self { shared: Arc::new(shared) }
    }

    /// Puts other sources in force, from the next request on.
    pub fn replace(&self, sources: Sources) {
        let Some(directory) = &self.shared.directory else { return };
        let mut directory = directory.write().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let left = sources.iter().map(|source| {
            let known = directory.left.get(&source.name).cloned();
            (source.name.clone(), known.unwrap_or_else(|| Arc::new(Left::full(now))))
        });
        let left = left.collect();
        *directory = Arc::new(Directory { sources, left });
    }

    /// Lets a request in, by its head and the certificate that its client showed. It is charged for
    /// the bytes that it announces, up to the bound of a body.
    ///
    /// # Errors
    /// [`Denied`], counted for its source.
    pub fn admit(
        &self,
        headers: &HeaderMap,
        names: Option<&PeerNames>,
        body_bytes_max: usize,
    ) -> Result<Grant, Denied> {
        let mut grant = Grant { access: self.clone(), known: None, announced: None };
        let Some(directory) = &self.shared.directory else { return Ok(grant) };
        let directory = Arc::clone(&directory.read().unwrap_or_else(PoisonError::into_inner));
        let known = directory.find(headers, names)?;
        // A larger body will be refused, whoever sends it.
        let announced = announced(headers).filter(|bytes| *bytes <= body_bytes_max as u64);
        known.begin(announced).inspect_err(|denied| {
            self.shared.metrics.request(&known.source.name, denied.label());
        })?;
        grant.announced = announced;
        grant.known = Some(known);
        Ok(grant)
    }
}

impl Directory {
    fn find(&self, headers: &HeaderMap, names: Option<&PeerNames>) -> Result<Known, Denied> {
        let source = match bearer(headers)? {
            // Who shows a token is judged by it, whatever the certificate says.
            Some(token) => self
                .sources
                .by_token(token)
                .ok_or(Denied::Unauthenticated("nobody is known by this token"))?,
            None => match names {
                Some(PeerNames(names)) => {
                    self.sources.by_certificate(names).ok_or(Denied::Unauthenticated(
                        "nobody is known by the name in this client certificate, and there is no \
                         token; send the header `authorization: Bearer TOKEN`",
                    ))?
                }
                None => {
                    let why = "send the header `authorization: Bearer TOKEN`";
                    return Err(Denied::Unauthenticated(why));
                }
            },
        };
        // Each source of the directory has one.
        let left = self.left.get(&source.name).cloned();
        let left = left.unwrap_or_else(|| Arc::new(Left::full(Instant::now())));
        Ok(Known { source: Arc::clone(source), left })
    }
}

/// The token that a request shows, if it shows anything.
fn bearer(headers: &HeaderMap) -> Result<Option<&[u8]>, Denied> {
    let mut shown = headers.get_all(AUTHORIZATION).iter().map(HeaderValue::as_bytes);
    let Some(first) = shown.next() else { return Ok(None) };
    if shown.next().is_some() {
        return Err(Denied::Unauthenticated("there are two authorization headers"));
    }
    // The scheme has no case: RFC 9110, 11.1.
    match first.split_at_checked("bearer ".len()) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case(b"bearer ") => {
            Ok(Some(token.trim_ascii()))
        }
        _ => Err(Denied::Unauthenticated("the authorization header must be `Bearer TOKEN`")),
    }
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

impl Left {
    fn full(now: Instant) -> Self {
        Self { spans: Mutex::new(Bucket::full(now)), bytes: Mutex::new(Bucket::full(now)) }
    }
}

impl Known {
    /// Asks both rates, and charges for the bytes that are announced.
    fn begin(&self, announced: Option<u64>) -> Result<(), Denied> {
        self.take_items(0)?;
        self.take("bytes", &self.left.bytes, self.source.bytes, announced.unwrap_or(0))
    }

    fn take_items(&self, items: u64) -> Result<(), Denied> {
        self.take(ITEMS, &self.left.spans, self.source.spans, items)
    }

    fn give_back_items(&self, items: u64) {
        spend(&self.left.spans, self.source.spans, -(items as f64));
    }

    /// Takes `cost` of a rate, if there is one.
    fn take(
        &self,
        what: &str,
        bucket: &Mutex<Bucket>,
        rate: Option<Rate>,
        cost: u64,
    ) -> Result<(), Denied> {
        let Some(rate) = rate else { return Ok(()) };
        let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = bucket.take(rate, cost as f64, Instant::now());
        taken.map_err(|wait| over_rate("source", &self.source.name, what, rate, wait))
    }
}

fn spend(bucket: &Mutex<Bucket>, rate: Option<Rate>, cost: f64) {
    let Some(rate) = rate else { return };
    bucket.lock().unwrap_or_else(PoisonError::into_inner).spend(rate, cost, Instant::now());
}

/// What the rates of items count.
const ITEMS: &str = "spans and log records";

fn over_rate(kind: &str, name: &str, what: &str, rate: Rate, retry_after: Duration) -> Denied {
    let text = format!(
        "{kind} `{}` is over its {} {what} per second; come again later",
        shown(name),
        rate.per_second
    );
    Denied::OverRate { text, retry_after }
}

fn shown(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(NAMED_CHARS_MAX).collect()
}

impl Grant {
    /// The name of the source, if anybody was asked.
    #[must_use]
    pub fn source(&self) -> Option<&str> {
        self.known.as_ref().map(|known| known.source.name.as_str())
    }

    /// Charges for bytes of a body as they arrive.
    pub fn bytes_arrived(&self, bytes: usize) {
        let Some(known) = &self.known else { return };
        self.access.shared.metrics.bytes(&known.source.name, bytes as u64);
        // What was announced was charged for; more than that does not arrive.
        if self.announced.is_none() {
            spend(&known.left.bytes, known.source.bytes, bytes as f64);
        }
    }

    /// Whether it matters which services a request carries: then it must be decoded first.
    #[must_use]
    pub fn asks_for_services(&self) -> bool {
        let services = self.known.as_ref().and_then(|known| known.source.services.as_ref());
        services.is_some() || self.access.shared.services.is_some()
    }

    /// Charges for a request of which everything may be sent.
    ///
    /// # Errors
    /// [`Denied::OverRate`]; then nothing was charged for, and nothing of the request is taken.
    pub fn charge(&self, mapped: &Mapped) -> Result<(), Denied> {
        let tally = &mapped.tally;
        let items = tally.spans + tally.logs + tally.points + mapped.rejected.total();
        self.take_items(items)?;
        if let Some(known) = &self.known {
            self.access.shared.metrics.items(&known.source.name, items);
        }
        Ok(())
    }

    /// Decides on what a decoded request carries: what its source may not send is left out of it
    /// and given back, the rest is charged for.
    ///
    /// # Errors
    /// [`Denied::Forbidden`] when nothing would be left of it, [`Denied::OverRate`]; then nothing
    /// was charged for, and nothing of the request is taken.
    pub fn decide(&self, mapper: &Mapper, decoded: &mut Decoded) -> Result<Vec<Share>, Denied> {
        let (items, left_out) = self.decide_services(mapper, decoded)?;
        if let Some(known) = &self.known {
            self.access.shared.metrics.items(&known.source.name, items);
        }
        Ok(left_out)
    }

    fn take_items(&self, items: u64) -> Result<(), Denied> {
        self.known.as_ref().map_or(Ok(()), |known| known.take_items(items))
    }

    fn decide_services(
        &self,
        mapper: &Mapper,
        decoded: &mut Decoded,
    ) -> Result<(u64, Vec<Share>), Denied> {
        let shares = mapper.shares(decoded);
        let may: Vec<bool> = shares.iter().map(|share| self.may_send(share)).collect();
        let chosen = |wanted: bool| {
            let both = shares.iter().zip(&may);
            both.filter(move |(_, may)| **may == wanted).map(|(share, _)| share)
        };
        let left_out: Vec<Share> = chosen(false).cloned().collect();
        let items: u64 = chosen(true).map(|share| share.items).sum();
        if items == 0 && !left_out.is_empty() {
            return Err(Denied::Forbidden(self.forbidden(&left_out)));
        }
        self.take_items(items)?;
        if let Err(denied) = self.take_services(chosen(true)) {
            if let Some(known) = &self.known {
                known.give_back_items(items);
            }
            return Err(denied);
        }
        decoded.retain(|index| may[index]);
        Ok((items, left_out))
    }

    fn may_send(&self, share: &Share) -> bool {
        let source = self.known.as_ref().map(|known| &known.source);
        share.items == 0 || source.is_none_or(|source| source.may_send(&share.service))
    }

    fn forbidden(&self, left_out: &[Share]) -> String {
        let mut names: Vec<String> = Vec::new();
        for share in left_out {
            let name = match share.service.as_str() {
                "" => "(no service.name)".to_owned(),
                service => format!("`{}`", shown(service)),
            };
            if names.len() < NAMED_MAX && !names.contains(&name) {
                names.push(name);
            }
        }
        let source = self.source().unwrap_or_default();
        format!("source `{source}` may not send service {}", names.join(", "))
    }

    /// Charges each service that has a rate, or none of them.
    fn take_services<'a>(&self, shares: impl Iterator<Item = &'a Share>) -> Result<(), Denied> {
        let Some((rate, buckets)) = &self.access.shared.services else { return Ok(()) };
        // One source cannot use up what the same service of another one has.
        let source = self.source().unwrap_or_default();
        let mut costs: HashMap<&str, u64> = HashMap::new();
        for share in shares.filter(|share| share.items > 0) {
            *costs.entry(&share.service).or_default() += share.items;
        }
        let costs: Vec<(String, u64)> =
            costs.iter().map(|(service, cost)| (rate_key(source, service), *cost)).collect();
        let mut buckets = buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = buckets.take_all(&costs, Instant::now());
        let keys = i64::try_from(buckets.keys()).unwrap_or(i64::MAX);
        self.access.shared.metrics.rated_services.set(keys);
        taken.map_err(|(index, wait)| {
            let service = costs[index].0.split_once('\0').map_or("", |(_, service)| service);
            over_rate("service", service, ITEMS, *rate, wait)
        })
    }

    /// Counts how the request ended.
    pub fn count(&self, outcome: &'static str) {
        if let Some(source) = self.source() {
            self.access.shared.metrics.request(source, outcome);
        }
    }
}

/// The key of a service's rate: of a long name its beginning and its hash.
fn rate_key(source: &str, service: &str) -> String {
    let begin = &service[..service.floor_char_boundary(SERVICE_KEY_BYTES_MAX)];
    if begin.len() == service.len() {
        return format!("{source}\0{service}");
    }
    let mut hasher = DefaultHasher::new();
    service.hash(&mut hasher);
    format!("{source}\0{begin}#{:016x}", hasher.finish())
}

/// Names what was left out of a request in the answer to its sender.
pub fn name_left_out(left_out: &[Share], rejected: &mut Rejected) {
    for share in left_out {
        rejected.forbid(&share.service, share.items);
    }
}

#[cfg(test)]
mod tests;
