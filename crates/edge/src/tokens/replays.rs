//! Tokens that may not be used by everybody, remembered until they expire: those for one request, and those
//! for one holder.

use std::collections::HashMap;
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
    used: Mutex<Memory<()>>,
    shared: Mutex<Memory<Networks>>,
}

/// Where a token came from.
type Networks = [Option<IpAddr>; MAX_SHARED];

/// What is remembered of tokens, each until its end.
#[derive(Debug)]
struct Memory<V> {
    tokens: HashMap<u64, (Timestamp, V)>,
    /// While it is full: nothing in it ends before, so that nobody has to look.
    full_until: Option<Timestamp>,
}

impl<V> Default for Memory<V> {
    fn default() -> Self {
        Self { tokens: HashMap::new(), full_until: None }
    }
}

impl<V> Memory<V> {
    fn get(&mut self, token: u64, now: Timestamp) -> Option<&mut V> {
        self.tokens.get_mut(&token).filter(|(until, _)| *until > now).map(|(_, value)| value)
    }

    fn put(
        &mut self,
        token: u64,
        until: Timestamp,
        now: Timestamp,
        value: V,
    ) -> Result<(), Refusal> {
        if self.tokens.len() >= MAX_REPLAYS {
            if self.full_until.is_some_and(|end| end > now) {
                return Err(Refusal::Crowded);
            }
            self.tokens.retain(|_, (until, _)| *until > now);
            self.full_until = self.tokens.values().map(|(until, _)| *until).min();
            if self.tokens.len() >= MAX_REPLAYS {
                return Err(Refusal::Crowded);
            }
        }
        self.full_until = self.full_until.map(|end| end.min(until));
        self.tokens.insert(token, (until, value));
        Ok(())
    }
}

impl Replays {
    /// Notes that a token, which is refused from `until` on, is used now.
    pub(super) fn note(&self, token: u64, until: Timestamp, now: Timestamp) -> Result<(), Refusal> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        match used.get(token, now) {
            Some(()) => Err(Refusal::Replayed),
            None => used.put(token, until, now, ()),
        }
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
        if let Some(known) = shared.get(token, now) {
            let is_known = known.iter_mut().any(|known| *known.get_or_insert(from) == from);
            return if is_known { Ok(()) } else { Err(Refusal::Shared) };
        }
        let mut known = Networks::default();
        if let Some(first) = known.first_mut() {
            *first = Some(from);
        }
        shared.put(token, until, now, known)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
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

    /// A stranger's tokens must not make each of the others look through all.
    #[test]
    fn a_full_memory_is_looked_through_when_something_ends_and_not_before() {
        let replays = Replays::default();
        let at = Timestamp::from_secs;
        for token in 1..=MAX_REPLAYS as u64 {
            assert_eq!(replays.note(token, at(20), at(0)), Ok(()));
        }
        let full_until = || replays.used.lock().unwrap().full_until;
        assert_eq!(
            (replays.note(0, at(30), at(0)), full_until()),
            (Err(Refusal::Crowded), Some(at(20)))
        );
        // As if the first had ended since: nobody looks before the time is there.
        replays.used.lock().unwrap().tokens.insert(1, (at(0), ()));
        assert_eq!(replays.note(0, at(30), at(19)), Err(Refusal::Crowded));
        assert_eq!(replays.note(0, at(25), at(20)), Ok(()));
        assert_eq!(replays.used.lock().unwrap().tokens.len(), 1, "all others have ended");
        for token in 1..MAX_REPLAYS as u64 {
            assert_eq!(replays.note(token, at(60), at(20)), Ok(()));
        }
        assert_eq!(
            (replays.note(9_999_999, at(60), at(20)), full_until()),
            (Err(Refusal::Crowded), Some(at(25)))
        );
        assert_eq!(replays.note(9_999_999, at(60), at(25)), Ok(()), "the one of 25 has ended");
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
