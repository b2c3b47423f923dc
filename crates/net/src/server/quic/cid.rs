//! Connection IDs that tell, to us alone, in which process and on which worker of it their
//! connection lives.
//!
//! An ID is five random bytes, two that name the owner and one to check by, these three hidden
//! under a keyed hash of the first five: to an observer each is noise, and two of one connection
//! have nothing in common (RFC 9000 §5.1). The processes of a server that took over from each other
//! have one key, and each is a generation.

use std::fmt;
use std::hash::Hasher as _;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::rand;
use quinn::{ConnectionId, ConnectionIdGenerator};
use quinn_proto::InvalidCid;
use tokio::time::Instant;

use super::strays::Strays;

const NONCE: usize = 5;

/// The length of our IDs in bytes.
pub(super) const LEN: usize = 8;

/// What a short header's first byte has not (RFC 8999 §5.1).
const LONG_HEADER: u8 = 0x80;

/// Bits that name the worker, of the two bytes that name the owner.
const WORKER_BITS: u32 = 10;
/// Workers that IDs can name.
pub(in crate::server) const MAX_WORKERS: usize = 1 << WORKER_BITS;
/// Generations that IDs can name; after the last comes the first again.
pub(in crate::server) const GENERATIONS: u8 = 64;

/// Where a connection lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) struct Owner {
    pub(in crate::server) generation: u8,
    pub(in crate::server) worker: u16,
}

/// Hides owners in IDs, and finds them there. Clones have the same key.
#[derive(Clone)]
pub(super) struct Ids {
    key: (u64, u64),
    pub(super) generation: u8,
}

impl Ids {
    pub(super) fn new(key: [u8; 16], generation: u8) -> Self {
        let whole = u128::from_be_bytes(key);
        Self { key: ((whole >> 64) as u64, whole as u64), generation: generation % GENERATIONS }
    }

    /// The generator of one worker of this process.
    pub(super) fn of_worker(&self, worker: u16) -> Box<dyn ConnectionIdGenerator> {
        Box::new(OfWorker { ids: self.clone(), worker, strays: Mutex::default() })
    }

    /// Whose connection a datagram is for. `None` for one that names no ID of ours, such as the
    /// first ones of a client, which name one that it made up.
    pub(super) fn owner(&self, datagram: &[u8]) -> Option<Owner> {
        let id: &[u8; LEN] = if is_long(datagram) {
            long_header_id(datagram)?.try_into().ok()?
        } else {
            datagram.get(1..)?.first_chunk()?
        };
        self.owner_of(*id)
    }

    fn owner_of(&self, id: [u8; LEN]) -> Option<Owner> {
        let mask = self.mask(&id[..NONCE]);
        let named = u16::from_be_bytes([id[NONCE] ^ mask[0], id[NONCE + 1] ^ mask[1]]);
        (id[NONCE + 2] == mask[2]).then_some(Owner {
            generation: (named >> WORKER_BITS) as u8,
            worker: named & (MAX_WORKERS as u16 - 1),
        })
    }

    fn make(&self, worker: u16) -> [u8; LEN] {
        let mut id = [0; LEN];
        // Without randomness no handshake would have come so far; an ID of zeros is still valid.
        let _ = rand::fill(&mut id[..NONCE]);
        let mask = self.mask(&id[..NONCE]);
        let named = u16::from(self.generation) << WORKER_BITS | worker;
        let named = named.to_be_bytes();
        id[NONCE] = named[0] ^ mask[0];
        id[NONCE + 1] = named[1] ^ mask[1];
        id[NONCE + 2] = mask[2];
        id
    }

    fn mask(&self, nonce: &[u8]) -> [u8; 8] {
        #[expect(deprecated, reason = "std's only keyed hash whose key can be chosen")]
        let mut hasher = std::hash::SipHasher::new_with_keys(self.key.0, self.key.1);
        hasher.write(nonce);
        hasher.finish().to_be_bytes()
    }
}

impl fmt::Debug for Ids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ids").field("generation", &self.generation).finish_non_exhaustive()
    }
}

/// Whether a datagram begins with a long header, as those of a handshake do (RFC 8999 §5.1).
pub(super) fn is_long(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|first| first & LONG_HEADER != 0)
}

/// The destination's connection ID in a long header (RFC 8999 §5.1), whoever made it.
pub(super) fn long_header_id(datagram: &[u8]) -> Option<&[u8]> {
    let (len, rest) = datagram.get(5..)?.split_first()?;
    rest.get(..usize::from(*len))
}

struct OfWorker {
    ids: Ids,
    worker: u16,
    strays: Mutex<Strays>,
}

impl ConnectionIdGenerator for OfWorker {
    fn generate_cid(&mut self) -> ConnectionId {
        ConnectionId::new(&self.ids.make(self.worker))
    }

    /// quinn asks this of what it would reset: of IDs that are no connection's. Those of this worker may
    /// have been, a moment ago; those of an older process that has ended are reset at once.
    fn validate(&self, id: &ConnectionId) -> Result<(), InvalidCid> {
        let Ok(id) = <[u8; LEN]>::try_from(&id[..]) else { return Ok(()) };
        let here = Owner { generation: self.ids.generation, worker: self.worker };
        if self.ids.owner_of(id) != Some(here) {
            return Ok(());
        }
        let mut strays = self.strays.lock().unwrap_or_else(PoisonError::into_inner);
        if strays.is_late(id, Instant::now()) { Err(InvalidCid) } else { Ok(()) }
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

    fn short(id: &[u8]) -> Vec<u8> {
        [&[0x40], id, &[0; 20]].concat()
    }

    fn long(id: &[u8]) -> Vec<u8> {
        [&[0xc0, 0, 0, 0, 1, id.len() as u8], id, &[0; 20]].concat()
    }

    #[test]
    fn an_owner_is_found_in_its_ids_by_who_has_the_key() {
        for generation in [0, 1, 63] {
            let ids = Ids::new([7; 16], generation);
            for worker in [0, 1, 255, 256, 1023] {
                let (one, two) = (ids.make(worker), ids.make(worker));
                assert_ne!(one, two);
                let owner = Some(Owner { generation, worker });
                let other_process = Ids::new([7; 16], 5);
                for datagram in [short(&one), long(&two)] {
                    assert_eq!(other_process.owner(&datagram), owner);
                    assert_eq!(ids.owner(&datagram[..LEN]), None, "cut short");
                }
            }
        }
        let id = Ids::new([7; 16], 3).make(7);
        let strangers = (0..1000u32).filter(|seed| {
            let mut key = [0; 16];
            key[..4].copy_from_slice(&seed.to_be_bytes());
            Ids::new(key, 3).owner(&short(&id)).is_some()
        });
        assert!(strangers.count() < 30, "one in 256 is let through");
    }

    #[test]
    fn only_ids_of_the_same_worker_and_process_may_be_late() {
        let ids = Ids::new([7; 16], 3);
        let here = ids.of_worker(1);
        let is_reset = |id: &[u8]| here.validate(&ConnectionId::new(id)).is_ok();
        assert!(!is_reset(&ids.make(1)));
        assert!(is_reset(&ids.make(0)));
        assert!(is_reset(&Ids::new([7; 16], 2).make(1)));
        assert!(is_reset(&[9; 20]));
    }

    #[test]
    fn what_is_no_datagram_of_ours_has_no_owner() {
        let ids = Ids::new([7; 16], 0);
        for datagram in [&[][..], &[0xff], &[0xc0, 0, 0, 0, 1, 200, 1, 2, 3], &[0x40, 1]] {
            assert_eq!(ids.owner(datagram), None);
        }
        // A client may choose a long ID.
        assert_eq!(ids.owner(&long(&[9; 20])), None);
        assert_eq!(long_header_id(&long(&[9; 20])), Some(&[9; 20][..]));
    }
}
