//! The QUIC sessions that may be resumed (RFC 8446 §2.2): kept here, shared by all workers, and each
//! good once. What a client shows is only a name for its session: rustls takes early data in no
//! other way, and a flight that somebody has recorded finds its session gone (RFC 8446 §8.1).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustls::server::{ServerSessionMemoryCache, StoresServerSessions};

/// Sessions kept; the oldest is forgotten first. Each connection gets two.
const KEPT: usize = 4096;

#[derive(Debug)]
pub(super) struct Sessions {
    kept: Arc<ServerSessionMemoryCache>,
    refused: Arc<AtomicU64>,
}

impl Sessions {
    /// None yet. Counts in `refused` what is asked for and not there.
    pub(super) fn new(refused: Arc<AtomicU64>) -> Arc<Self> {
        Arc::new(Self { kept: ServerSessionMemoryCache::new(KEPT), refused })
    }
}

impl StoresServerSessions for Sessions {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        self.kept.put(key, value)
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.kept.get(key)
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        let taken = self.kept.take(key);
        if taken.is_none() {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }

    fn can_cache(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_good_once() {
        let sessions = Sessions::new(Arc::default());
        assert!(sessions.put(vec![1], vec![2]));
        assert_eq!(sessions.take(&[1]), Some(vec![2]));
        assert_eq!(sessions.take(&[1]), None);
        assert_eq!(sessions.refused.load(Ordering::Relaxed), 1);
    }
}
