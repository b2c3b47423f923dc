//! Tokens that may not be used by everybody, remembered until they expire: those for one request, and those
//! for one holder.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use headwater_net::Timestamp;

use super::refusal::Refusal;
use crate::whom::network;

/// The most tokens of each kind that are remembered, some 2 MiB of those for one request and 10 MiB of the
/// others. While as many are unexpired, further ones are refused (503): an edge that forgot one would let
/// it in again.
pub const MAX_REPLAYS: usize = 65_536;

/// The most networks that a token with `catreplay` 2 is let in from. A viewer has a few in an evening, at
/// home and on the way; who hands a token on has many.
pub const MAX_SHARED: usize = 4;

/// What has been used. One for all workers: each look takes a lock, which tokens without `catreplay` do
/// not.
#[derive(Debug, Default)]
pub(super) struct Replays {
    used: Mutex<HashMap<u64, Timestamp>>,
    shared: Mutex<HashMap<u64, Networks>>,
}

/// Where a token came from, and until when it does.
#[derive(Debug)]
struct Networks {
    until: Timestamp,
    known: [Option<IpAddr>; MAX_SHARED],
}

impl Replays {
    /// Notes that a token, which is refused from `until` on, is used now.
    pub(super) fn note(&self, token: u64, until: Timestamp, now: Timestamp) -> Result<(), Refusal> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.get(&token).is_some_and(|until| *until > now) {
            return Err(Refusal::Replayed);
        }
        make_room(&mut used, |until| *until > now)?;
        used.insert(token, until);
        Ok(())
    }

    /// Notes that a token, which is refused from `until` on, comes from `address`; one that is not known
    /// is a network of its own.
    pub(super) fn note_from(
        &self,
        token: u64,
        address: Option<IpAddr>,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let from = network(address.unwrap_or(IpAddr::V4(0.into())));
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(networks) = shared.get_mut(&token).filter(|networks| networks.until > now) {
            for known in &mut networks.known {
                if *known.get_or_insert(from) == from {
                    return Ok(());
                }
            }
            return Err(Refusal::Shared);
        }
        make_room(&mut shared, |networks| networks.until > now)?;
        let mut known = [None; MAX_SHARED];
        if let Some(first) = known.first_mut() {
            *first = Some(from);
        }
        shared.insert(token, Networks { until, known });
        Ok(())
    }
}

fn make_room<K: Eq + Hash, V>(
    table: &mut HashMap<K, V>,
    stays: impl Fn(&V) -> bool,
) -> Result<(), Refusal> {
    if table.len() >= MAX_REPLAYS {
        table.retain(|_, value| stays(value));
    }
    if table.len() >= MAX_REPLAYS { Err(Refusal::Crowded) } else { Ok(()) }
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

    /// Limit: the networks of one holder.
    #[test]
    fn a_token_comes_from_so_many_networks_and_no_more() {
        let replays = Replays::default();
        let at = Timestamp::from_secs;
        let note = |address: u32, now| {
            replays.note_from(1, Some(IpAddr::V4(address.into())), at(10), at(now))
        };
        for address in 1..=MAX_SHARED as u32 {
            assert_eq!(note(address, 0), Ok(()));
        }
        assert_eq!(note(9, 0), Err(Refusal::Shared));
        assert_eq!(note(1, 9), Ok(()), "whoever had it has it");
        assert_eq!(note(9, 9), Err(Refusal::Shared));
        assert_eq!(replays.note_from(2, None, at(10), at(0)), Ok(()), "another token");
        let six = |last: u16| {
            let address = IpAddr::V6([0x2001, 0xdb8, 1, 2, 0, 0, 0, last].into());
            replays.note_from(3, Some(address), at(10), at(0))
        };
        assert!((0..9).all(|last| six(last) == Ok(())), "one network of 64 bits");
        assert_eq!(note(9, 10), Ok(()), "what is remembered ends with the token");
    }
}
