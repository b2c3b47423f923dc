//! Lists of sections, read up to a bound and no further: an entry of three bytes of JSON becomes a structure of
//! up to a kilobyte, so that a body would cost some hundred times its own length.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};

use super::media::Limit;
use super::route::Route;
use super::site::{Device, Site};
use super::tokens::TokenKey;
use super::upstream::Upstream;

/// The most sections of one list, and what they are called.
#[derive(Clone, Copy)]
pub(super) struct Bound {
    pub(super) most: usize,
    called: &'static str,
}

pub(super) const UPSTREAMS: Bound = Bound::new(4_096, "[[upstream]]");
pub(super) const SITES: Bound = Bound::new(10_000, "[[site]]");
/// A request is compared with one after the other, as it is with those below.
pub(super) const ROUTES: Bound = Bound::new(255, "[[site.route]]");
/// Of all sites together: so many of them are what costs memory.
pub(super) const ALL_ROUTES: Bound = Bound::new(16_384, "[[site.route]] of all sites");
pub(super) const DEVICES: Bound = Bound::new(64, "[[site.device]]");
pub(super) const KEYS: Bound = Bound::new(32, "[[site.tokens.key]]");
pub(super) const LIMITS: Bound = Bound::new(64, "[[limit]]");
pub(super) const POLICIES: Bound = Bound::new(64, "[[policy]]");

impl Bound {
    const fn new(most: usize, called: &'static str) -> Self {
        Self { most, called }
    }

    /// What is wrong with so many.
    pub(super) fn wrong(self, many: usize) -> Option<String> {
        (many > self.most).then(|| format!("it takes {self}"))
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {} {}", self.most, self.called)
    }
}

/// Reads a list with that bound, and with another on what its entries hold together.
struct Bounded<T> {
    bound: Bound,
    held: fn(&T) -> usize,
    in_all: Bound,
}

impl<T> Bounded<T> {
    /// Of what holds no other lists, or none that are more than what it takes to write them.
    fn alone(bound: Bound) -> Self {
        Self { bound, held: |_| 0, in_all: bound }
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Bounded<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of sections")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
        let too_many = |many, bound: Bound| A::Error::invalid_length(many, &&*bound.to_string());
        let (mut all, mut in_all) = (Vec::new(), 0_usize);
        while let Some(one) = list.next_element()? {
            if all.len() >= self.bound.most {
                return Err(too_many(all.len().saturating_add(1), self.bound));
            }
            in_all = in_all.saturating_add((self.held)(&one));
            if in_all > self.in_all.most {
                return Err(too_many(in_all, self.in_all));
            }
            all.push(one);
        }
        Ok(all)
    }
}

pub(super) fn upstreams<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Upstream>, D::Error> {
    from.deserialize_seq(Bounded::alone(UPSTREAMS))
}

pub(super) fn sites<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Site>, D::Error> {
    let held = |site: &Site| site.routes.len();
    from.deserialize_seq(Bounded { bound: SITES, held, in_all: ALL_ROUTES })
}

pub(super) fn routes<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Route>, D::Error> {
    from.deserialize_seq(Bounded::alone(ROUTES))
}

pub(super) fn devices<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Device>, D::Error> {
    from.deserialize_seq(Bounded::alone(DEVICES))
}

pub(super) fn keys<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<TokenKey>, D::Error> {
    from.deserialize_seq(Bounded::alone(KEYS))
}

pub(super) fn limits<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Limit>, D::Error> {
    from.deserialize_seq(Bounded::alone(LIMITS))
}

pub(super) fn policies<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Route>, D::Error> {
    from.deserialize_seq(Bounded::alone(POLICIES))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a list of `{}` costs at its bound.
    #[test]
    fn as_many_sections_as_may_be_fit_into_some_megabytes() {
        let sites = SITES.most * size_of::<Site>() + ALL_ROUTES.most * size_of::<Route>();
        let upstreams = UPSTREAMS.most * size_of::<Upstream>();
        for (what, bytes) in [("sites", sites), ("upstreams", upstreams)] {
            assert!(bytes <= 32 << 20, "{what} cost {bytes} bytes");
        }
    }
}
