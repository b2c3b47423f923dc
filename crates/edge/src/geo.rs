//! Where clients are: looked up in a database of the operator's (MaxMind DB), told to whoever asks
//! further in, and held against lists of countries.
//!
//! A [`GeoLayer`] puts a [`Country`] into a request's extensions, and where the database knows it a
//! [`Subdivision`]. Tokens (`catgeoiso3166`), sessions and metrics go by those. A `Country` that is there
//! already stays: whoever put it there knows better.
//!
//! ```no_run
//! use headwater_edge::geo::{Countries, GeoDatabase, GeoLayer, GeoRules};
//!
//! let database = GeoDatabase::read(std::fs::read("/var/lib/GeoLite2-Country.mmdb")?)?;
//! let only = Countries::only(["DE", "AT", "CH"])?;
//! let layer = GeoLayer::new(GeoRules::new(database).countries(only));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A lookup reads a tree of some 30 levels and allocates nothing; those of the last clients are remembered.
//! The database says who is registered where, which is where somebody is for most addresses, and not for
//! those of a VPN.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use headwater_net::{ConnInfo, Problem};
use http::{Request, StatusCode};
use maxminddb::{LookupResult, PathElement, Reader};

use crate::guard::{GuardLayer, Rule};
use crate::refusals::RefusedBy;
use crate::route_policy::RoutePolicy;
use crate::whom::{Country, Subdivision};

/// Addresses of which is remembered where they are.
const REMEMBERED: usize = 1024;

/// A database that says where addresses are, in memory. Clones are of the same.
#[derive(Clone)]
pub struct GeoDatabase(Arc<Inner>);

struct Inner {
    reader: Reader<Vec<u8>>,
    /// What was found for the last address of each place.
    last: Box<[Last]>,
    seed: RandomState,
}

/// Where an address is, as far as the database says.
type Place = Option<(Country, Option<Subdivision>)>;

/// An address, and where it is.
type Last = Mutex<Option<(IpAddr, Place)>>;

impl std::fmt::Debug for GeoDatabase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("GeoDatabase").field(&self.0.reader.metadata().database_type).finish()
    }
}

/// What is wrong with a database or a list: one sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadGeo {
    /// It is no database, or it was cut short.
    #[error("this is no MaxMind DB: {0}")]
    Database(String),
    /// A country is none.
    #[error("'{0}' is no country: it is two letters, such as DE")]
    Country(String),
}

impl GeoDatabase {
    /// Reads a database: any that has `country.iso_code`, and `subdivisions` where those are to be known,
    /// such as GeoLite2 Country and City.
    ///
    /// # Errors
    /// Where the bytes are none.
    pub fn read(bytes: Vec<u8>) -> Result<Self, BadGeo> {
        let reader = Reader::from_source(bytes);
        let reader = reader.map_err(|error| BadGeo::Database(error.to_string()))?;
        let last = (0..REMEMBERED).map(|_| Mutex::default()).collect();
        Ok(Self(Arc::new(Inner { reader, last, seed: RandomState::new() })))
    }

    /// In which country an address is, and in which part of it; `None` where the database does not say.
    pub fn locate(&self, address: IpAddr) -> Option<(Country, Option<Subdivision>)> {
        let address = address.to_canonical();
        let Inner { last, seed, .. } = &*self.0;
        let at = seed.hash_one(address) as usize % REMEMBERED;
        // Nobody waits: whom another is in the way looks it up.
        let mut last = last.get(at).and_then(|last| last.try_lock().ok());
        match last.as_deref() {
            Some(Some((known, place))) if *known == address => *place,
            _ => {
                let place = self.look_up(address);
                if let Some(last) = &mut last {
                    **last = Some((address, place));
                }
                place
            }
        }
    }

    fn look_up(&self, address: IpAddr) -> Place {
        const COUNTRY: [PathElement<'static>; 2] =
            [PathElement::Key("country"), PathElement::Key("iso_code")];
        const SUBDIVISION: [PathElement<'static>; 3] =
            [PathElement::Key("subdivisions"), PathElement::Index(0), PathElement::Key("iso_code")];
        // An IPv6 address in a database of IPv4 is an error of theirs, and nowhere to us.
        let found = self.0.reader.lookup(address).ok()?;
        let country = Country::new(text(&found, &COUNTRY)?)?;
        let subdivision = text(&found, &SUBDIVISION).and_then(Subdivision::new);
        Some((country, subdivision))
    }
}

fn text<'a>(found: &LookupResult<'a, Vec<u8>>, path: &[PathElement<'static>]) -> Option<&'a str> {
    found.decode_path(path).ok().flatten()
}

/// Countries that are served, or those that are not. Clones are of the same list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Countries {
    named: Arc<[Country]>,
    only: bool,
}

impl Countries {
    /// These and no others; nobody whose country is not known.
    ///
    /// # Errors
    /// Where one is no country.
    pub fn only<C: AsRef<str>>(codes: impl IntoIterator<Item = C>) -> Result<Self, BadGeo> {
        Self::with(codes, true)
    }

    /// All but these, and whoever's country is not known.
    ///
    /// # Errors
    /// Where one is no country.
    pub fn but<C: AsRef<str>>(codes: impl IntoIterator<Item = C>) -> Result<Self, BadGeo> {
        Self::with(codes, false)
    }

    fn with<C: AsRef<str>>(codes: impl IntoIterator<Item = C>, only: bool) -> Result<Self, BadGeo> {
        let country = |code: C| {
            Country::new(code.as_ref()).ok_or_else(|| BadGeo::Country(code.as_ref().to_owned()))
        };
        Ok(Self { named: codes.into_iter().map(country).collect::<Result<_, _>>()?, only })
    }

    fn lets_in(&self, country: Option<Country>) -> bool {
        country.is_some_and(|country| self.named.contains(&country)) == self.only
    }
}

/// What a [`GeoLayer`] goes by: a database, and which countries are served where a request's
/// [`RoutePolicy`] says nothing else. By default none, and all.
#[derive(Clone, Debug, Default)]
pub struct GeoRules {
    database: Option<GeoDatabase>,
    countries: Option<Countries>,
}

impl GeoRules {
    /// Looks clients up in `database`.
    pub const fn new(database: GeoDatabase) -> Self {
        Self { database: Some(database), countries: None }
    }

    /// Serves these countries.
    #[must_use]
    pub fn countries(mut self, countries: Countries) -> Self {
        self.countries = Some(countries);
        self
    }
}

impl Rule for GeoRules {
    const BY: RefusedBy = RefusedBy::Countries;

    fn admit<B>(&self, request: &mut Request<B>) -> Result<(), Problem> {
        let extensions = request.extensions_mut();
        if let Some(database) = &self.database
            && extensions.get::<Country>().is_none()
            && let Some(conn) = extensions.get::<ConnInfo>()
            && let Some((country, subdivision)) = database.locate(conn.peer.ip())
        {
            extensions.insert(country);
            if let Some(subdivision) = subdivision {
                extensions.insert(subdivision);
            }
        }
        let here = RoutePolicy::of(extensions).and_then(|policy| policy.countries.as_ref());
        match here.or(self.countries.as_ref()) {
            Some(countries) if !countries.lets_in(extensions.get::<Country>().copied()) => {
                let problem = Problem::new(StatusCode::FORBIDDEN);
                Err(problem.detail("this is not served in this country"))
            }
            _ => Ok(()),
        }
    }
}

/// Finds out where clients are, and lets in those of some countries; others are answered 403.
pub type GeoLayer = GuardLayer<GeoRules>;

#[cfg(test)]
#[path = "../tests/support/mmdb.rs"]
mod mmdb;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    #[test]
    fn who_is_nowhere_is_served_where_all_are_but_some() {
        let of = |code| Country::new(code);
        let only = Countries::only(["de", "AT"]).unwrap();
        assert!(only.lets_in(of("DE")) && !only.lets_in(of("FR")) && !only.lets_in(None));
        let but = Countries::but(["FR"]).unwrap();
        assert!(but.lets_in(of("DE")) && !but.lets_in(of("FR")) && but.lets_in(None));
        let wrong = Countries::only(["DEU"]).unwrap_err();
        assert_eq!(wrong.to_string(), "'DEU' is no country: it is two letters, such as DE");
    }

    #[test]
    fn what_is_no_database_is_refused() {
        for bytes in [Vec::new(), b"\xab\xcd\xefMaxMind.com".to_vec(), vec![0; 1_000]] {
            assert!(matches!(GeoDatabase::read(bytes), Err(BadGeo::Database(_))));
        }
    }

    #[test]
    fn what_is_remembered_is_what_a_lookup_finds() {
        let networks =
            [("192.0.2.0/25", "DE"), ("192.0.2.128/25", "FR-IDF"), ("2001:db8::/32", "JP")];
        let database = GeoDatabase::read(mmdb::database(&networks)).unwrap();
        let v4 = (0..=255).map(|last| IpAddr::from([192, 0, 2, last]));
        let v6 =
            (0..4_000).map(|last| IpAddr::from([0x2001, 0xdb7 + last % 2, 0, 0, 0, 0, 0, last]));
        let all: Vec<IpAddr> = v4.chain(v6).collect();
        // More than there are places for, so that some are in the way of others.
        for address in all.iter().chain(all.iter().rev()) {
            assert_eq!(database.locate(*address), database.look_up(*address), "{address}");
        }
        let country = |address: &str| Some(database.locate(address.parse().unwrap())?.0);
        assert_eq!(country("::ffff:192.0.2.1"), Country::new("DE"));
        assert_eq!(country("2001:db7::1"), None);
    }
}
