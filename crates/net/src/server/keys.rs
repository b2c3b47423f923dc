//! The secrets that a server's clients have something of: they go to the process that takes over,
//! so that what one process gave out, the next one understands.
//!
//! - what hides workers in connection IDs,
//! - what stateless resets are made with (RFC 9000 §10.3.2): the next process resets what it does
//!   not know so that its client believes it,
//! - what address validation tokens are sealed with (RFC 9000 §8.1.2),
//! - what session tickets are sealed with (RFC 8446 §4.6.1).

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::{hkdf, hmac, rand};
use serde::{Deserialize, Serialize};

use super::ServerError;
use super::tls::{TicketKey, Tickets};
use crate::Clock;

/// See the module. Clones share the ticket keys, which change with time.
#[derive(Clone)]
pub(super) struct Keys {
    pub(super) connection_ids: [u8; 16],
    reset: [u8; 32],
    token: [u8; 32],
    pub(super) tickets: Arc<Tickets>,
}

/// [`Keys`] on their way to another process of the same user.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SavedKeys {
    connection_ids: [u8; 16],
    reset: [u8; 32],
    token: [u8; 32],
    tickets: Vec<TicketKey>,
}

impl Keys {
    pub(super) fn new(clock: &Clock) -> Result<Self, ServerError> {
        Ok(Self {
            connection_ids: random()?,
            reset: random()?,
            token: random()?,
            tickets: Arc::new(Tickets::new(clock.clone(), Vec::new())),
        })
    }

    pub(super) fn restore(saved: SavedKeys, clock: &Clock) -> Self {
        let SavedKeys { connection_ids, reset, token, tickets } = saved;
        let tickets = Arc::new(Tickets::new(clock.clone(), tickets));
        Self { connection_ids, reset, token, tickets }
    }

    pub(super) fn save(&self) -> SavedKeys {
        let Self { connection_ids, reset, token, tickets } = self;
        SavedKeys {
            connection_ids: *connection_ids,
            reset: *reset,
            token: *token,
            tickets: tickets.save(),
        }
    }

    /// What signs stateless resets.
    pub(super) fn reset(&self) -> Arc<dyn quinn::crypto::HmacKey> {
        Arc::new(hmac::Key::new(hmac::HMAC_SHA256, &self.reset))
    }

    /// What seals address validation tokens.
    pub(super) fn token(&self) -> Arc<dyn quinn::crypto::HandshakeTokenKey> {
        Arc::new(hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(&self.token))
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}

impl fmt::Debug for SavedKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SavedKeys").finish_non_exhaustive()
    }
}

fn random<const N: usize>() -> Result<[u8; N], ServerError> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes)
        .map_err(|_| ServerError::Worker(std::io::Error::other("the system has no randomness")))?;
    Ok(bytes)
}
