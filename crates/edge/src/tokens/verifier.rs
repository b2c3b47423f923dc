//! Keys and rules, and what they make of a token: without sockets, without a clock of its own.

use std::sync::Arc;
use std::time::Duration;

use headwater_net::{Body, Timestamp};
use http::Response;

use super::asked::Asked;
use super::cat::{self, Instead, Renewed};
use super::claims::Claims;
use super::key::{BadKey, Key};
use super::known::Known;
use super::places::Places;
use super::refusal::Refusal;
use super::signed::Seen;
use super::{MAX_KEYS, MAX_TOKEN, jwt, signed};
use crate::normalise;
use crate::rates::Holder;

/// Verifies tokens. Clones share what they know of tokens' signatures, no more.
#[derive(Clone, Debug)]
pub struct Verifier {
    keys: Box<[Key]>,
    leeway: Duration,
    endless: bool,
    issuers: Option<Box<[Box<str>]>>,
    audiences: Option<Box<[Box<str>]>>,
    known: Arc<Known>,
    seen: Arc<Seen>,
}

/// What a token that was verified lets in.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Allowed {
    /// Until when; `None` for a token without an end.
    pub expires: Option<Timestamp>,
    /// The path it is for, or with a `/` at its end all below it; `None` where it names none.
    pub path: Option<Arc<str>>,
    /// Who holds it.
    pub holder: Holder,
    /// A number of the token, where it is for one request; until when it has to be remembered.
    pub once: Option<(u64, Timestamp)>,
    /// A number of the token, where its networks are counted; until when it has to be remembered.
    pub shared: Option<(u64, Timestamp)>,
    /// How likely it is to be refused all the same, from 0 to 1.
    pub chance: Option<f64>,
    pub(super) renewed: Option<Renewed>,
    /// What is answered where `once` or `shared` refuses, if the token says so.
    pub(super) instead_of_replay: Option<Box<Instead>>,
    /// And where `chance` does.
    pub(super) instead_of_chance: Option<Box<Instead>>,
}

/// Why a token does not let a request in, and what it says itself that is answered then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub why: Refusal,
    pub(super) instead: Option<Box<Instead>>,
}

impl From<Refusal> for Refused {
    fn from(why: Refusal) -> Self {
        Self { why, instead: None }
    }
}

impl Refused {
    /// The answer: the token's own (`catif` of a Common Access Token), or [`Refusal::into_response`].
    pub fn into_response(self) -> Response<Body> {
        let mut response = self.why.into_response();
        if let Some(instead) = self.instead {
            *response.status_mut() = instead.status;
            *response.body_mut() = Body::Empty;
            let headers = response.headers_mut();
            headers.remove(http::header::CONTENT_TYPE);
            headers.remove(http::header::CONTENT_LENGTH);
            headers.remove(http::header::WWW_AUTHENTICATE);
            for (name, value) in instead.headers {
                headers.insert(name, value);
            }
        }
        response
    }
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
        Ok(Self {
            keys,
            leeway: Duration::from_secs(5),
            endless: false,
            issuers: None,
            audiences: None,
            known: Arc::default(),
            seen: Arc::default(),
        })
    }

    /// How much the clocks of signers may differ from ours: a token is good for so much longer, and so
    /// much earlier. Default 5 s.
    #[must_use]
    pub const fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// Whether tokens without an end are taken. Default false.
    #[must_use]
    pub const fn endless(mut self, endless: bool) -> Self {
        self.endless = endless;
        self
    }

    /// Issuers that are believed: a JSON Web Token or a Common Access Token is by one of these. By
    /// default any is, and none.
    #[must_use]
    pub fn issuers<T: Into<Box<str>>>(mut self, issuers: impl IntoIterator<Item = T>) -> Self {
        self.issuers = Some(issuers.into_iter().map(Into::into).collect());
        self
    }

    /// Who we are: a JSON Web Token or a Common Access Token is for one of these. By default, one that
    /// is for an audience is refused.
    #[must_use]
    pub fn audiences<T: Into<Box<str>>>(mut self, audiences: impl IntoIterator<Item = T>) -> Self {
        self.audiences = Some(audiences.into_iter().map(Into::into).collect());
        self
    }

    /// What a token lets in, if it lets in what is asked for. Where an origin might read the path as one
    /// with other segments ([`normalise::other_reading`]), it lets in both. Where a token that is renewed is
    /// looked for is not known here: [`Refusal::Renewal`] is a [`TokenLayer`](super::TokenLayer)'s.
    ///
    /// # Errors
    /// Why not.
    pub fn verify(&self, token: &str, asked: &Asked<'_>) -> Result<Allowed, Refused> {
        self.verify_in(token, asked, None)
    }

    /// The same, where tokens are looked for in `places`.
    pub(super) fn verify_in(
        &self,
        token: &str,
        asked: &Asked<'_>,
        places: Option<&Places>,
    ) -> Result<Allowed, Refused> {
        if token.len() > MAX_TOKEN {
            return Err(Refusal::TooLong.into());
        }
        let divided = normalise::divided_otherwise(asked.path).map_err(|_| Refusal::Ambiguous)?;
        let divided = divided.as_deref();
        if token.starts_with(signed::BEGINS) {
            return Ok(signed::verify(self, token, asked, divided)?);
        }
        self.claims(token)?.judge(self, asked, divided, places)
    }

    /// What a token says whose signature is good.
    fn claims(&self, token: &str) -> Result<Arc<Claims>, Refusal> {
        let digest = Known::digest(token).ok_or(Refusal::Malformed)?;
        if let Some(claims) = self.known.get(&digest) {
            return Ok(claims);
        }
        let read = if token.contains('.') { jwt::read } else { cat::read };
        let claims = Arc::new(read(self, token)?);
        if !claims.rules.as_ref().is_some_and(|rules| rules.are_large()) {
            self.known.put(digest, Arc::clone(&claims));
        }
        Ok(claims)
    }

    pub(super) fn seen(&self) -> &Seen {
        &self.seen
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &Key> {
        self.keys.iter()
    }

    pub(super) const fn skew(&self) -> Duration {
        self.leeway
    }

    pub(super) const fn takes_endless(&self) -> bool {
        self.endless
    }

    pub(super) fn believes(&self, issuer: Option<&str>) -> bool {
        let Some(issuers) = &self.issuers else { return true };
        issuer.is_some_and(|issuer| issuers.iter().any(|one| **one == *issuer))
    }

    pub(super) fn is_meant_by(&self, audience: &[String]) -> bool {
        match &self.audiences {
            None => audience.is_empty(),
            Some(ours) => audience.iter().any(|one| ours.iter().any(|our| **our == **one)),
        }
    }

    pub(super) fn check_expiry(&self, expires: Timestamp, now: Timestamp) -> Result<(), Refusal> {
        if expires.plus(self.leeway) > now { Ok(()) } else { Err(Refusal::Expired) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

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
