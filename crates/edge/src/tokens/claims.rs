//! What a JSON Web Token and a Common Access Token say alike, once their signature is known to be
//! good, held against a request (RFC 7519 §4.1, RFC 8392 §3.1).

use headwater_net::Timestamp;

use super::asked::Asked;
use super::cat::{Replay, Rules};
use super::grant::takes_in;
use super::places::Places;
use super::refusal::Refusal;
use super::verifier::{Allowed, Refused, Verifier};
use crate::rates::Holder;

/// The claims of a token.
#[derive(Clone, Debug, Default)]
pub(super) struct Claims {
    pub(super) issuer: Option<String>,
    pub(super) audience: Vec<String>,
    pub(super) expires: Option<Timestamp>,
    pub(super) not_before: Option<Timestamp>,
    /// Paths of which it lets in one; `None` where it does not speak of paths.
    pub(super) paths: Option<Vec<String>>,
    pub(super) holder: u64,
    /// Of a Common Access Token: all else.
    pub(super) rules: Option<Box<Rules>>,
}

impl Claims {
    /// Holds them against a request whose path an origin might read as `divided`, and whose tokens are looked
    /// for in `places`, if somebody knows.
    pub(super) fn judge(
        &self,
        verifier: &Verifier,
        asked: &Asked<'_>,
        divided: Option<&str>,
        places: Option<&Places>,
    ) -> Result<Allowed, Refused> {
        let rules = self.rules.as_deref();
        let refused = |label: i64, why: Refusal| Refused {
            why,
            instead: rules.and_then(|rules| rules.instead_of(label)),
        };
        // Whatever else it says: who made it finds out at once, and not at the first one's end.
        let is_found = |rules: &Rules| places.is_none_or(|places| rules.are_found_by(places));
        if !rules.is_none_or(is_found) {
            return Err(refused(323, Refusal::Renewal));
        }
        match self.expires {
            Some(expires) => {
                verifier.check_expiry(expires, asked.now).map_err(|why| refused(4, why))?;
            }
            None if verifier.takes_endless() => {}
            None => return Err(refused(4, Refusal::Endless)),
        }
        if self.not_before.is_some_and(|since| since > asked.now.plus(verifier.skew())) {
            return Err(refused(5, Refusal::NotYet));
        }
        if !verifier.believes(self.issuer.as_deref()) {
            return Err(refused(1, Refusal::Issuer));
        }
        if !verifier.is_meant_by(&self.audience) {
            return Err(refused(3, Refusal::Audience));
        }
        let path = match &self.paths {
            None => rules.and_then(Rules::path).map(Into::into),
            Some(paths) => {
                let taken = paths.iter().find(|path| takes_in(path, asked.path, divided));
                Some(taken.ok_or(Refusal::Path)?.as_str().into())
            }
        };
        if let Some(rules) = rules {
            rules.judge(asked, divided).map_err(|(label, why)| refused(label, why))?;
        }
        let replay = rules.map_or(Replay::Permitted, Rules::replay);
        let end = self.expires.map(|expires| expires.plus(verifier.skew()));
        let once = end.filter(|_| replay == Replay::Prohibited);
        if once.is_some() && asked.is_early {
            return Err(refused(308, Refusal::Early));
        }
        let shared = end.filter(|_| replay == Replay::Detected);
        let chance = rules.and_then(|rules| rules.chance(asked.now));
        let instead_of = |label: i64, may_refuse: bool| {
            rules.filter(|_| may_refuse).and_then(|rules| rules.instead_of(label))
        };
        Ok(Allowed {
            expires: self.expires,
            path,
            holder: Holder(self.holder),
            once: once.map(|end| (self.holder, end)),
            shared: shared.map(|end| (self.holder, end)),
            instead_of_replay: instead_of(308, once.or(shared).is_some()),
            instead_of_chance: instead_of(309, chance.is_some()),
            chance,
            renewed: rules.and_then(|rules| rules.renewed(self.expires?, asked.now)),
        })
    }
}

/// A number that two texts have in common only by a chance of one in 2^64.
pub(super) fn holder(parts: &[&[u8]]) -> u64 {
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_le_bytes());
        context.update(part);
    }
    let digest = context.finish();
    digest.as_ref().first_chunk().copied().map(u64::from_le_bytes).unwrap_or_default()
}
