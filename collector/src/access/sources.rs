//! Sources: who may send, which services, and how much.

use std::sync::Arc;

use crate::access::token::TokenHash;
use crate::rates::Rate;

/// One that may send.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// What logs and metrics call it.
    pub name: String,
    /// Its tokens: two while one replaces the other.
    pub tokens: Vec<TokenHash>,
    /// Names in its client certificates.
    pub client_certs: Vec<String>,
    /// What it may send; `None`: any service.
    pub services: Option<Vec<String>>,
    /// Spans and log records; `None`: no bound.
    pub spans: Option<Rate>,
    /// Bytes of bodies as they travel; `None`: no bound.
    pub bytes: Option<Rate>,
}

/// The sources of a file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sources {
    sources: Vec<Arc<Source>>,
}

impl Source {
    /// Whether it may send that service. `shop-*` allows what begins with `shop-`.
    #[must_use]
    pub fn may_send(&self, service: &str) -> bool {
        self.services.as_ref().is_none_or(|allowed| {
            allowed.iter().any(|pattern| match pattern.strip_suffix('*') {
                Some(prefix) => service.starts_with(prefix),
                None => pattern == service,
            })
        })
    }
}

impl Sources {
    /// These sources.
    #[must_use]
    pub fn new(sources: Vec<Source>) -> Self {
        Self { sources: sources.into_iter().map(Arc::new).collect() }
    }

    /// The source with this token. Every token is looked at, whichever fits.
    #[must_use]
    pub fn by_token(&self, token: &[u8]) -> Option<&Arc<Source>> {
        let shown = TokenHash::of(token);
        let mut found = None;
        for source in &self.sources {
            for known in &source.tokens {
                if bool::from(known.same(&shown)) {
                    found = Some(source);
                }
            }
        }
        found
    }

    /// The source that one of these names of a verified certificate stands for.
    #[must_use]
    pub fn by_certificate(&self, names: &[String]) -> Option<&Arc<Source>> {
        let stands = |source: &&Arc<Source>| {
            source.client_certs.iter().any(|known| names.iter().any(|name| name == known))
        };
        self.sources.iter().find(stands)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Source>> {
        self.sources.iter()
    }

    /// The first source that needs a client certificate.
    #[must_use]
    pub fn needs_certificate(&self) -> Option<&str> {
        let first = self.sources.iter().find(|source| !source.client_certs.is_empty());
        first.map(|source| source.name.as_str())
    }
}
