//! Tokens whose signatures were found good, so that a player's thousand requests cost one
//! verification. What is kept is what the token says, never what was decided.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::claims::Claims;

/// The most tokens of a generation; there are two.
const GENERATION: usize = 1024;

/// The digest of a token.
pub(super) type Digest = [u8; 32];

/// See the module. Those that are asked for stay; the others go with their generation. It belongs to
/// one verifier, so that other keys begin with none.
#[derive(Default)]
pub(super) struct Known(Mutex<[HashMap<Digest, Arc<Claims>>; 2]>);

/// What tokens say is nobody's business.
impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Known").finish_non_exhaustive()
    }
}

impl Known {
    pub(super) fn digest(token: &str) -> Option<Digest> {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, token.as_bytes());
        digest.as_ref().try_into().ok()
    }

    pub(super) fn get(&self, digest: &Digest) -> Option<Arc<Claims>> {
        let mut generations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let [new, old] = &mut *generations;
        if let Some(claims) = new.get(digest) {
            return Some(Arc::clone(claims));
        }
        let claims = old.remove(digest)?;
        Self::insert(new, old, *digest, Arc::clone(&claims));
        Some(claims)
    }

    pub(super) fn put(&self, digest: Digest, claims: Arc<Claims>) {
        let mut generations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let [new, old] = &mut *generations;
        Self::insert(new, old, digest, claims);
    }

    fn insert(
        new: &mut HashMap<Digest, Arc<Claims>>,
        old: &mut HashMap<Digest, Arc<Claims>>,
        digest: Digest,
        claims: Arc<Claims>,
    ) {
        if new.len() >= GENERATION {
            *old = std::mem::take(new);
        }
        new.insert(digest, claims);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[test]
    fn what_is_asked_for_stays_and_no_more_than_two_generations_do() {
        let known = Known::default();
        let digest = |number: usize| Known::digest(&number.to_string()).unwrap();
        for number in 0..10 * GENERATION {
            known.put(digest(number), Arc::default());
            assert!(known.get(&digest(0)).is_some(), "{number}");
        }
        assert!(known.get(&digest(1)).is_none());
        let kept: usize = known.0.lock().unwrap().iter().map(HashMap::len).sum();
        assert!(kept <= 2 * GENERATION, "{kept}");
    }
}
