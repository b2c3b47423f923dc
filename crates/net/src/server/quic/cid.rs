//! Connection IDs that tell, to us alone, which worker their connection lives on.
//!
//! An ID is five random bytes, two that name the worker and one to check by, these three hidden
//! under a keyed hash of the first five: to an observer each is noise, and two of one connection
//! have nothing in common (RFC 9000 §5.1).

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use quinn::{ConnectionId, ConnectionIdGenerator};
use rustls::crypto::SecureRandom;

const NONCE: usize = 5;

/// The length of our IDs in bytes.
pub(super) const LEN: usize = 8;

/// What a short header's first byte has not (RFC 8999 §5.1).
const LONG_HEADER: u8 = 0x80;

/// Hides workers in IDs, and finds them there. Clones have the same key.
#[derive(Clone)]
pub(super) struct Ids {
    key: RandomState,
    random: Arc<dyn SecureRandom>,
}

impl Ids {
    pub(super) fn new() -> Self {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        Self { key: RandomState::new(), random: Arc::new(Random(provider.secure_random)) }
    }

    /// The generator of one worker.
    pub(super) fn of_worker(&self, worker: u16) -> Box<dyn ConnectionIdGenerator> {
        Box::new(OfWorker { ids: self.clone(), worker })
    }

    /// The worker of the connection that a datagram is for. `None` for one with a long header,
    /// which comes from where the connection began, and for one that names no ID of ours.
    pub(super) fn worker(&self, datagram: &[u8]) -> Option<u16> {
        let (first, rest) = datagram.split_first()?;
        if first & LONG_HEADER != 0 {
            return None;
        }
        let id: &[u8; LEN] = rest.first_chunk()?;
        let mask = self.mask(&id[..NONCE]);
        let worker = u16::from_be_bytes([id[NONCE] ^ mask[0], id[NONCE + 1] ^ mask[1]]);
        (id[NONCE + 2] == mask[2]).then_some(worker)
    }

    fn mask(&self, nonce: &[u8]) -> [u8; 8] {
        self.key.hash_one(nonce).to_be_bytes()
    }
}

impl fmt::Debug for Ids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ids").finish_non_exhaustive()
    }
}

/// The provider's randomness, which lives as long as the program.
#[derive(Debug)]
struct Random(&'static dyn SecureRandom);

impl SecureRandom for Random {
    fn fill(&self, into: &mut [u8]) -> Result<(), rustls::crypto::GetRandomFailed> {
        self.0.fill(into)
    }
}

struct OfWorker {
    ids: Ids,
    worker: u16,
}

impl ConnectionIdGenerator for OfWorker {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut id = [0; LEN];
        // Without randomness no handshake would have come so far; an ID of zeros is still valid.
        let _ = self.ids.random.fill(&mut id[..NONCE]);
        let mask = self.ids.mask(&id[..NONCE]);
        let worker = self.worker.to_be_bytes();
        id[NONCE] = worker[0] ^ mask[0];
        id[NONCE + 1] = worker[1] ^ mask[1];
        id[NONCE + 2] = mask[2];
        ConnectionId::new(&id)
    }

    fn cid_len(&self) -> usize {
        LEN
    }

    fn cid_lifetime(&self) -> Option<std::time::Duration> {
        None
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    fn datagram(first: u8, id: &ConnectionId) -> Vec<u8> {
        [&[first], &id[..], &[0; 20]].concat()
    }

    #[test]
    fn a_worker_is_found_in_its_ids_by_who_has_the_key() {
        let ids = Ids::new();
        for worker in [0, 1, 255, 256, u16::MAX] {
            let mut generator = ids.of_worker(worker);
            let (one, two) = (generator.generate_cid(), generator.generate_cid());
            assert_ne!(one, two);
            assert_eq!(ids.worker(&datagram(0x40, &one)), Some(worker));
            assert_eq!(ids.worker(&datagram(0xc0, &one)), None, "a long header");
            assert_eq!(ids.worker(&datagram(0x40, &one)[..LEN]), None, "cut short");
        }
        let id = ids.of_worker(7).generate_cid();
        let strangers = (0..1000).filter(|_| {
            let other = Ids::new();
            other.worker(&datagram(0x40, &id)).is_some()
        });
        assert!(strangers.count() < 30, "one in 256 is let through");
        assert_eq!(ids.worker(&[]), None);
    }
}
