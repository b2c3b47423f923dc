//! Tokens for one request, remembered until they expire.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use headwater_net::Timestamp;

use super::refusal::Refusal;

/// The most tokens that are remembered, some 2 MiB of them. While as many are unexpired, further tokens
/// for one request are refused (503): an edge that forgot one would let it in twice.
pub const MAX_REPLAYS: usize = 65_536;

/// What has been used. One for all workers: each look takes a lock, which tokens without `catreplay` do
/// not.
#[derive(Debug, Default)]
pub(super) struct Replays {
    used: Mutex<HashMap<u64, Timestamp>>,
}

impl Replays {
    /// Notes that a token, which is refused from `until` on, is used now.
    pub(super) fn note(&self, token: u64, until: Timestamp, now: Timestamp) -> Result<(), Refusal> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.get(&token).is_some_and(|until| *until > now) {
            return Err(Refusal::Replayed);
        }
        if used.len() >= MAX_REPLAYS {
            used.retain(|_, until| *until > now);
        }
        if used.len() >= MAX_REPLAYS {
            return Err(Refusal::Crowded);
        }
        used.insert(token, until);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_used_once_and_a_full_memory_refuses_until_some_expire() {
        let replays = Replays::default();
        let at = Timestamp::from_secs;
        assert_eq!(replays.note(1, at(10), at(0)), Ok(()));
        assert_eq!(replays.note(1, at(10), at(9)), Err(Refusal::Replayed));
        for token in 2..=MAX_REPLAYS as u64 {
            assert_eq!(replays.note(token, at(20), at(0)), Ok(()));
        }
        assert_eq!(replays.note(0, at(20), at(9)), Err(Refusal::Crowded));
        assert_eq!(replays.note(2, at(20), at(9)), Err(Refusal::Replayed));
        assert_eq!(replays.note(0, at(20), at(10)), Ok(()), "the first has expired");
    }
}
