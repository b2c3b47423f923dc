//! Session tickets (RFC 8446 §4.6.1, RFC 5077) whose keys can be given to the next process.
//!
//! rustls has tickets of its own, but keeps their keys to itself. Here as there a key seals for six
//! hours and opens for twelve, and keys are random: one that is known tells nothing of the next. A
//! ticket is a key's name, a nonce, and the session under AES-256-GCM; in six hours nonces of 96
//! random bits are safe for some thousand million tickets.
//!
//! A session that is resumed shows no certificate again. So a ticket is good only where clients have
//! to show what they had to when it was made: a process that takes over and asks for more than the
//! one before takes none of that one's tickets.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand;
use rustls::server::ProducesTickets;
use serde::{Deserialize, Serialize};

use super::clients::{ASKED, Asked};
use crate::{Clock, Timestamp};

/// How long a key seals; it opens for twice as long.
const SEALS: Duration = Duration::from_secs(6 * 3600);
/// Keys that open: the one that seals, and the one before.
const KEYS: usize = 2;
const NAME: usize = 16;

/// One key, as it is given to the next process.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::server) struct TicketKey {
    name: [u8; NAME],
    secret: [u8; 32],
    /// Seconds since 1970.
    made: u64,
}

impl TicketKey {
    fn new(now: Timestamp) -> Option<Self> {
        let mut key = Self { name: [0; NAME], secret: [0; 32], made: now.as_secs() };
        rand::fill(&mut key.name).ok()?;
        rand::fill(&mut key.secret).ok()?;
        Some(key)
    }

    fn is_younger_than(&self, age: Duration, now: Timestamp) -> bool {
        now.since(Timestamp::from_secs(self.made)) < age
    }

    fn aead(&self) -> Option<LessSafeKey> {
        UnboundKey::new(&AES_256_GCM, &self.secret).ok().map(LessSafeKey::new)
    }
}

impl fmt::Debug for TicketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TicketKey").field("made", &self.made).finish_non_exhaustive()
    }
}

/// What seals and opens tickets. Shared by all workers.
#[derive(Debug)]
pub(in crate::server) struct Tickets {
    clock: Clock,
    /// The one that seals first.
    keys: RwLock<Vec<TicketKey>>,
}

impl Tickets {
    /// Goes on with the keys of another process, or with one of its own.
    pub(in crate::server) fn new(clock: Clock, mut keys: Vec<TicketKey>) -> Self {
        keys.truncate(KEYS);
        Self { clock, keys: RwLock::new(keys) }
    }

    /// The keys for another process.
    pub(in crate::server) fn save(&self) -> Vec<TicketKey> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The key that seals now, made if there is none.
    fn sealing(&self) -> Option<TicketKey> {
        let now = self.clock.now();
        let young = |keys: &Vec<TicketKey>| {
            keys.first().filter(|key| key.is_younger_than(SEALS, now)).cloned()
        };
        if let Some(key) = young(&self.keys.read().unwrap_or_else(PoisonError::into_inner)) {
            return Some(key);
        }
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = young(&keys) {
            return Some(key);
        }
        let key = TicketKey::new(now)?;
        keys.insert(0, key.clone());
        keys.truncate(KEYS);
        Some(key)
    }
}

/// The tickets of a server that asks its clients for certificates in one way.
#[derive(Debug)]
pub(super) struct Ticketer {
    tickets: Arc<Tickets>,
    asked: Asked,
}

impl Ticketer {
    pub(super) fn new(tickets: Arc<Tickets>, asked: Asked) -> Arc<Self> {
        Arc::new(Self { tickets, asked })
    }

    fn aad(&self, name: [u8; NAME]) -> Aad<[u8; NAME + ASKED]> {
        let mut all = [0; NAME + ASKED];
        let (of_key, asked) = all.split_at_mut(NAME);
        of_key.copy_from_slice(&name);
        asked.copy_from_slice(&self.asked);
        Aad::from(all)
    }
}

impl ProducesTickets for Ticketer {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        SEALS.as_secs() as u32
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let key = self.tickets.sealing()?;
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).ok()?;
        let mut sealed = plain.to_vec();
        let whole = Nonce::assume_unique_for_key(nonce);
        key.aead()?.seal_in_place_append_tag(whole, self.aad(key.name), &mut sealed).ok()?;
        Some([&key.name[..], &nonce, &sealed].concat())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (name, rest) = ticket.split_first_chunk::<NAME>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let now = self.tickets.clock.now();
        let keys = self.tickets.keys.read().unwrap_or_else(PoisonError::into_inner);
        let key = keys.iter().find(|key| key.name == *name)?;
        if !key.is_younger_than(2 * SEALS, now) {
            return None;
        }
        let mut plain = sealed.to_vec();
        let whole = Nonce::assume_unique_for_key(*nonce);
        let len = key.aead()?.open_in_place(whole, self.aad(*name), &mut plain).ok()?.len();
        plain.truncate(len);
        Some(plain)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    fn tickets(clock: &Clock, keys: Vec<TicketKey>) -> Arc<Ticketer> {
        Ticketer::new(Arc::new(Tickets::new(clock.clone(), keys)), [0; ASKED])
    }

    #[test]
    fn a_ticket_is_good_only_where_clients_show_the_same() {
        let before = tickets(&Clock::system(), Vec::new());
        let ticket = before.encrypt(b"a session").unwrap();
        for (asked, opened) in [([0; ASKED], true), ([1; ASKED], false)] {
            let next = Ticketer::new(Arc::clone(&before.tickets), asked);
            assert_eq!(next.decrypt(&ticket).is_some(), opened, "{asked:?}");
        }
    }

    #[test]
    fn a_ticket_is_opened_by_the_next_process_and_for_twelve_hours() {
        let clock = Clock::manual(Timestamp::from_secs(1_000_000));
        let first = tickets(&clock, Vec::new());
        let ticket = first.encrypt(b"a session").unwrap();
        assert_ne!(first.encrypt(b"a session").unwrap(), ticket);

        let saved = serde_json::to_vec(&first.tickets.save()).unwrap();
        let next = tickets(&clock, serde_json::from_slice(&saved).unwrap());
        assert_eq!(next.decrypt(&ticket).unwrap(), b"a session");

        clock.advance(SEALS);
        let later = next.encrypt(b"another").unwrap();
        assert_ne!(later[..NAME], ticket[..NAME], "another key seals");
        assert_eq!(next.decrypt(&ticket).unwrap(), b"a session");
        clock.advance(SEALS);
        assert_eq!(next.decrypt(&ticket), None);
        assert_eq!(next.decrypt(&later).unwrap(), b"another");
        assert_eq!(next.tickets.save().len(), KEYS);
    }

    #[test]
    fn what_is_no_ticket_of_ours_is_not_opened() {
        let here = tickets(&Clock::system(), Vec::new());
        let ticket = here.encrypt(b"a session").unwrap();
        for at in 0..ticket.len() {
            let mut bent = ticket.clone();
            bent[at] ^= 1;
            assert_eq!(here.decrypt(&bent), None, "byte {at}");
            assert_eq!(here.decrypt(&ticket[..at]), None, "cut at {at}");
        }
        let stranger = tickets(&Clock::system(), Vec::new());
        assert_eq!(stranger.decrypt(&ticket), None);
    }
}
