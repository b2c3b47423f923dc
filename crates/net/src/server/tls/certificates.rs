//! Which certificate a client is shown: by the name in its hello (RFC 6066 §3), among those that
//! are in force now.
//!
//! A name of its own comes before a wildcard, which stands for one label; of several certificates
//! for a name, the first whose key the client can verify. Who names nobody we know, or nothing,
//! gets the first certificate of all: whether that will do, the client decides.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::SignatureScheme;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use smallvec::SmallVec;

use super::identity::Identity;
#[cfg(feature = "acme")]
use crate::server::acme::challenges::{self, Challenges};

/// The certificates in force, replaced as a whole. Shared by every worker, on TCP and on QUIC.
#[derive(Debug)]
pub(super) struct Certificates {
    set: ArcSwap<Set>,
    /// What authorities ask to be shown in place of these.
    #[cfg(feature = "acme")]
    challenges: Vec<Arc<Challenges>>,
}

impl Certificates {
    pub(super) fn new(set: Set) -> Self {
        Self {
            set: ArcSwap::from_pointee(set),
            #[cfg(feature = "acme")]
            challenges: Vec::new(),
        }
    }

    #[cfg(feature = "acme")]
    pub(super) fn with_challenges(self, challenges: Vec<Arc<Challenges>>) -> Self {
        Self { challenges, ..self }
    }

    pub(super) fn current(&self) -> Arc<Set> {
        self.set.load_full()
    }

    /// Handshakes from now on see these.
    pub(super) fn replace(&self, set: Set) {
        self.set.store(Arc::new(set));
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        #[cfg(feature = "acme")]
        if challenges::is_acme(&hello) {
            return self.challenges.iter().find_map(|all| all.shown(&hello));
        }
        let set = self.set.load();
        set.choose(hello.server_name(), hello.signature_schemes())
    }
}

/// Certificates by name; never empty.
#[derive(Debug)]
pub(super) struct Set {
    identities: Vec<Identity>,
    /// Places in `identities`, by name; a wildcard by what follows its star, dot included.
    exact: HashMap<String, SmallVec<[usize; 2]>>,
    wildcard: HashMap<String, SmallVec<[usize; 2]>>,
}

impl Set {
    /// `None` where there is no certificate at all.
    pub(super) fn new(identities: Vec<Identity>) -> Option<Self> {
        if identities.is_empty() {
            return None;
        }
        let mut exact: HashMap<String, SmallVec<[usize; 2]>> = HashMap::new();
        let mut wildcard: HashMap<String, SmallVec<[usize; 2]>> = HashMap::new();
        for (place, identity) in identities.iter().enumerate() {
            for name in &identity.names {
                match name.strip_prefix('*') {
                    Some(parent) => wildcard.entry(parent.to_owned()).or_default().push(place),
                    None => exact.entry(name.clone()).or_default().push(place),
                }
            }
        }
        Some(Self { identities, exact, wildcard })
    }

    /// The certificate of those who name nobody we know.
    pub(super) fn first(&self) -> &Identity {
        &self.identities[0]
    }

    pub(super) fn iter(&self) -> std::slice::Iter<'_, Identity> {
        self.identities.iter()
    }

    pub(super) fn len(&self) -> usize {
        self.identities.len()
    }

    /// What differs from `before`: certificates that are new, and those that are gone.
    pub(super) fn changes(&self, before: &Self) -> (usize, usize) {
        let missing = |from: &Self, all: &Self| {
            let known = |one: &Identity| {
                all.identities.iter().any(|other| other.certified.cert == one.certified.cert)
            };
            from.identities.iter().filter(|one| !known(one)).count()
        };
        (missing(self, before), missing(before, self))
    }

    fn choose(&self, name: Option<&str>, schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let usable = |place: &usize| {
            let certified = &self.identities[*place].certified;
            certified.key.choose_scheme(schemes).map(|_| Arc::clone(certified))
        };
        let places = name.and_then(|name| self.places(&name.to_ascii_lowercase()));
        let named = places.and_then(|places| places.iter().find_map(usable));
        named.or_else(|| (0..self.len()).find_map(|place| usable(&place)))
    }

    fn places(&self, name: &str) -> Option<&SmallVec<[usize; 2]>> {
        let parent = || name.find('.').map(|dot| &name[dot..]);
        self.exact.get(name).or_else(|| self.wildcard.get(parent()?))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::super::identity::Named;
    use super::*;

    fn identity(names: &[&str]) -> Identity {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let certificate = Named { text: certificate.as_bytes(), name: "c" };
        let key = Named { text: key.as_bytes(), name: "k" };
        Identity::from_pem(&certificate, &key, &super::super::provider()).unwrap()
    }

    #[test]
    fn a_name_comes_before_a_wildcard_and_the_first_serves_the_rest() {
        const SCHEMES: [SignatureScheme; 1] = [SignatureScheme::ECDSA_NISTP256_SHA256];
        let all = [&["first.example"][..], &["*.b.example", "b.example"], &["X.b.example"]];
        let set = Set::new(all.map(identity).to_vec()).unwrap();
        for (asked, place) in [
            (Some("first.example"), 0),
            (Some("b.example"), 1),
            (Some("a.B.example"), 1),
            (Some("x.b.example"), 2),
            // A star stands for one label (RFC 9525 §6.3).
            (Some("a.x.b.example"), 0),
            (Some("other"), 0),
            (None, 0),
        ] {
            let chosen = set.choose(asked, &SCHEMES).unwrap();
            assert!(Arc::ptr_eq(&chosen, &set.identities[place].certified), "{asked:?}");
        }
        assert!(set.choose(None, &[SignatureScheme::RSA_PSS_SHA256]).is_none());
        assert!(Set::new(Vec::new()).is_none());
    }
}
