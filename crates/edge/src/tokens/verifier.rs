//! Keys and rules, and what they make of a token: without sockets, without a clock of its own.

use std::time::Duration;

use headwater_net::Timestamp;

use super::asked::Asked;
use super::grant::Holder;
use super::key::{BadKey, Key};
use super::refusal::Refusal;
use super::{MAX_KEYS, MAX_TOKEN, signed};

/// Verifies tokens. Clones share nothing and cost as much as their keys: put it into an `Arc`.
#[derive(Clone, Debug)]
pub struct Verifier {
    keys: Box<[Key]>,
    leeway: Duration,
}

/// What a token that was verified lets in.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Allowed {
    /// Until when; `None` for a token without an end.
    pub expires: Option<Timestamp>,
    /// The path it is for, or with a `/` at its end all below it; `None` where it names none.
    pub path: Option<Box<str>>,
    /// Who holds it.
    pub holder: Holder,
}

impl Verifier {
    /// Verifies tokens that one of `keys` has signed. The order does not count: a token names its key,
    /// or is for the one key of its form that has no identifier.
    ///
    /// # Errors
    /// Where there is no key, more than [`MAX_KEYS`](super::MAX_KEYS), or two that one token would be
    /// for.
    pub fn new(keys: impl IntoIterator<Item = Key>) -> Result<Self, BadKey> {
        let keys: Box<[Key]> = keys.into_iter().take(MAX_KEYS + 1).collect();
        if keys.is_empty() {
            return Err(BadKey::None);
        }
        if keys.len() > MAX_KEYS {
            return Err(BadKey::Many);
        }
        let clashes =
            |(number, key): (usize, &Key)| keys.iter().take(number).any(|one| one.clashes(key));
        if keys.iter().enumerate().any(clashes) {
            return Err(BadKey::Twice);
        }
        Ok(Self { keys, leeway: Duration::from_secs(5) })
    }

    /// How much the clocks of signers may differ from ours: a token is good for so much longer, and so
    /// much earlier. Default 5 s.
    #[must_use]
    pub const fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// What a token lets in, if it lets in what is asked for.
    ///
    /// # Errors
    /// Why not.
    pub fn verify(&self, token: &str, asked: &Asked<'_>) -> Result<Allowed, Refusal> {
        if token.len() > MAX_TOKEN {
            return Err(Refusal::TooLong);
        }
        signed::verify(self, token, asked)
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &Key> {
        self.keys.iter()
    }

    pub(super) fn check_expiry(&self, expires: Timestamp, now: Timestamp) -> Result<(), Refusal> {
        if expires.plus(self.leeway) > now { Ok(()) } else { Err(Refusal::Expired) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    /// Limits: `MAX_KEYS`, `MAX_KEY_ID`.
    #[test]
    fn keys_that_could_be_mistaken_for_one_another_are_refused() {
        let key = |id: &str| Key::signing(id, &[7; 32]);
        assert_eq!(Verifier::new([]).unwrap_err(), BadKey::None);
        let twice = Verifier::new([key("a").unwrap(), key("b").unwrap(), key("a").unwrap()]);
        assert_eq!(twice.unwrap_err(), BadKey::Twice);
        assert_eq!(Verifier::new([key("").unwrap(), key("").unwrap()]).unwrap_err(), BadKey::Twice);
        let many = (0..=MAX_KEYS).map(|number| key(&number.to_string()).unwrap());
        assert_eq!(Verifier::new(many).unwrap_err(), BadKey::Many);
        assert_eq!(key("a.b").unwrap_err(), BadKey::Id);
        assert_eq!(key(&"a".repeat(65)).unwrap_err(), BadKey::Id);
        assert_eq!(Key::signing("a", &[7; 31]).unwrap_err(), BadKey::Short);
        assert_eq!(format!("{:?}", key("a").unwrap()), "Key { id: Some(\"a\"), .. }");
    }
}
