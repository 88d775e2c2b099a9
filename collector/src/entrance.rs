//! The way in that both transports share: first who asks, then whether there is room.

use axum::body::Body;
use axum::extract::FromRef;
use daemon::connections::PeerAddress;
use daemon::tls::PeerNames;
use http::request::Parts;

use crate::access::{Access, Denied, Grant};
use crate::body;
use crate::intake::{Intake, Refusal, Reservation};
use crate::shares::Sender;

/// Bytes of a stranger's body that are still read and thrown away, so that it hears why it was
/// refused; past it the connection is cut.
const STRANGER_DISCARD_BYTES_MAX: usize = 1 << 20;

/// What the handlers of a port need.
#[derive(Debug, Clone)]
pub struct Entrance {
    /// Who may send, and how much.
    pub access: Access,
    /// Where requests go.
    pub intake: Intake,
}

impl FromRef<Entrance> for Intake {
    fn from_ref(entrance: &Entrance) -> Self {
        entrance.intake.clone()
    }
}

impl Entrance {
    /// Asks who a request is from and whether it has anything left, before its body is read. The
    /// body of one that is refused is thrown away.
    ///
    /// # Errors
    /// [`Refusal::Denied`].
    pub async fn admit(&self, head: &Parts, http_body: Body) -> Result<(Grant, Body), Refusal> {
        let settings = self.intake.settings();
        let names = head.extensions.get::<PeerNames>();
        let denied = match self.access.admit(&head.headers, names, settings.body_bytes_max) {
            Ok(grant) => return Ok((grant, http_body)),
            Err(denied) => denied,
        };
        // Who waits for permission to send its body is answered instead.
        if !body::waits_for_permission(&head.headers) {
            let bytes_max = match denied {
                Denied::Unauthenticated(_) => STRANGER_DISCARD_BYTES_MAX,
                Denied::Forbidden(_) | Denied::OverRate { .. } => body::DISCARD_BYTES_MAX,
            };
            body::discard_at_most(http_body, bytes_max, settings.body_read_timeout).await;
        }
        Err(Refusal::Denied(denied))
    }

    /// Begins a request that was admitted; the body of one for which there is no room is thrown
    /// away.
    ///
    /// # Errors
    /// As [`Intake::begin`].
    pub async fn begin(
        &self,
        head: &Parts,
        grant: &Grant,
        http_body: Body,
    ) -> Result<(Reservation, Body), Refusal> {
        let sender = match grant.source() {
            Some(name) => Sender::Source(name.to_owned()),
            None => Sender::Address(head.extensions.get().map(|PeerAddress(address)| *address)),
        };
        body::begin(&self.intake, sender, http_body).await
    }
}
