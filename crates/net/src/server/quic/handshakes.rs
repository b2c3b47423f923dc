//! Handshakes under way: what tells whose a client's first datagrams are.
//!
//! Until a client has heard of a connection ID of ours, its datagrams name one that it made up
//! (RFC 9000 §7.2). Should another process read the socket from then on, it needs to be told of
//! these: by the client's address and that ID, since one address may have several.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::cid::{self, Owner};

/// Handshakes that are told of, for each address; those beyond begin again.
const MAX: usize = 8192;

/// A client's address, and the connection ID that it made up: 20 bytes at most in version 1.
type Key = (SocketAddr, SmallVec<[u8; 20]>);

/// One handshake, as another process is told of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::server) struct Handshake {
    pub(in crate::server) client: SocketAddr,
    pub(in crate::server) id: Vec<u8>,
    pub(in crate::server) generation: u8,
    pub(in crate::server) worker: u16,
}

/// Whose they are, and how many of one key: a client may come again by the same before the first is
/// given up.
#[derive(Clone, Copy, Debug)]
struct Noted {
    owner: Owner,
    times: u32,
}

/// Handshakes under way on one address, in all workers.
#[derive(Debug, Default)]
pub(in crate::server) struct Handshakes {
    by_client: Mutex<HashMap<Key, Noted>>,
    /// How many: looked at before the lock is taken.
    count: AtomicUsize,
}

impl Handshakes {
    /// Notes one until the guard is dropped.
    pub(in crate::server) fn begin(
        self: &Arc<Self>,
        client: SocketAddr,
        id: &[u8],
        owner: Owner,
    ) -> Begun {
        let key = (client, SmallVec::from_slice(id));
        self.change(|all| {
            let noted = all.entry(key.clone()).or_insert(Noted { owner, times: 0 });
            (noted.owner, noted.times) = (owner, noted.times + 1);
        });
        Begun { all: Arc::clone(self), key }
    }

    /// Whose the handshake is that a datagram belongs to.
    pub(super) fn owner(&self, client: SocketAddr, datagram: &[u8]) -> Option<Owner> {
        if self.count.load(Ordering::Acquire) == 0 || !cid::is_long(datagram) {
            return None;
        }
        let key = (client, SmallVec::from_slice(cid::long_header_id(datagram)?));
        let all = self.by_client.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(&key).map(|noted| noted.owner)
    }

    /// Adds what another process told of.
    pub(in crate::server) fn add(&self, told: Vec<Handshake>) {
        self.change(|all| {
            for Handshake { client, id, generation, worker } in told {
                if all.len() < MAX {
                    let owner = Owner { generation, worker };
                    all.insert((client, id.into()), Noted { owner, times: 1 });
                }
            }
        });
    }

    /// Forgets all: none of them can still be under way.
    pub(in crate::server) fn clear(&self) {
        self.change(HashMap::clear);
    }

    /// All of them, for another process.
    pub(in crate::server) fn list(&self) -> Vec<Handshake> {
        let all = self.by_client.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter()
            .map(|((client, id), Noted { owner, .. })| Handshake {
                client: *client,
                id: id.to_vec(),
                generation: owner.generation,
                worker: owner.worker,
            })
            .take(MAX)
            .collect()
    }

    fn change(&self, change: impl FnOnce(&mut HashMap<Key, Noted>)) {
        let mut all = self.by_client.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut all);
        self.count.store(all.len(), Ordering::Release);
    }
}

/// A handshake that is noted.
#[derive(Debug)]
pub(in crate::server) struct Begun {
    all: Arc<Handshakes>,
    key: Key,
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.all.change(|all| {
            let Some(noted) = all.get_mut(&self.key) else { return };
            noted.times = noted.times.saturating_sub(1);
            if noted.times == 0 {
                all.remove(&self.key);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[test]
    fn a_handshake_is_known_by_address_and_id_until_it_ends() {
        let here = Arc::<Handshakes>::default();
        let (client, other) = ("192.0.2.1:5".parse().unwrap(), "192.0.2.1:6".parse().unwrap());
        let owner = Owner { generation: 3, worker: 1 };
        let datagram = |id: u8| [&[0xc0, 0, 0, 0, 1, 8][..], &[id; 8], &[0; 9]].concat();
        let under_way = here.begin(client, &[7; 8], owner);

        let there = Handshakes::default();
        there.add(here.list());
        for known in [&here, &there] {
            assert_eq!(known.owner(client, &datagram(7)), Some(owner));
            assert_eq!(known.owner(client, &datagram(8)), None, "another of the same client");
            assert_eq!(known.owner(other, &datagram(7)), None);
            assert_eq!(known.owner(client, &[0x40; 30]), None, "a short header");
        }
        let again = here.begin(client, &[7; 8], owner);
        drop(under_way);
        assert_eq!(here.owner(client, &datagram(7)), Some(owner), "the second of two alike");
        drop(again);
        assert_eq!(here.owner(client, &datagram(7)), None);
        there.clear();
        assert_eq!(there.list(), []);
    }
}
