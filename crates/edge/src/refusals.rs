//! Who refuses a request: each layer that answers one by itself says so in the answer's extensions, where
//! what counts ([`Metrics`](crate::Metrics)) finds it. An answer that was let through has none, so that a
//! request that is let in pays nothing for it.
//!
//! A service behind the layers that refuses by itself may say the same, of what passes the cache: what a cache
//! fetches for whoever asks is an object to it, whatever it says.
//!
//! ```
//! use headwater_edge::RefusedBy;
//! use http::{Response, StatusCode};
//!
//! let mut response = Response::new("this host is not served here");
//! *response.status_mut() = StatusCode::MISDIRECTED_REQUEST;
//! RefusedBy::Host.mark(&mut response);
//! assert_eq!(RefusedBy::of(&response), Some(RefusedBy::Host));
//! ```

use http::Response;

use crate::rates::Per;

/// In the extensions of an answer: it refuses the request, and this is why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RefusedBy {
    /// A list of addresses ([`AddressLayer`](crate::AddressLayer)): 403.
    Addresses,
    /// The answer of its route ([`RoutePolicy::answer`](crate::RoutePolicy::answer)), where that is an error.
    Answer,
    /// The pages that may read ([`CorsLayer`](crate::CorsLayer)): a preflight of another's, 403.
    Cors,
    /// A list of countries ([`GeoLayer`](crate::GeoLayer)): 403.
    Countries,
    /// Early data ([`EarlyDataLayer`](crate::EarlyDataLayer)) of a handshake that did not end: 425.
    EarlyData,
    /// Its host is none of those that are served: 421.
    Host,
    /// A limit of requests ([`RateLimitLayer`](crate::RateLimitLayer)), by whom it counts together: 429.
    Limit(Per),
    /// The methods that are let in ([`MethodsLayer`](crate::MethodsLayer)): 405.
    Methods,
    /// A [`Rule`](crate::guard::Rule) that is none of these.
    Other,
    /// The pages that may show it ([`ReferrerLayer`](crate::ReferrerLayer)): 403.
    Referrers,
    /// What players may post ([`CmcdLayer::reports_at`](crate::CmcdLayer::reports_at)): 400, 413, 415.
    Reports,
    /// A worker that is too busy ([`ShedLayer`](crate::ShedLayer)): 503.
    Shed,
    /// Its target is ambiguous or too long ([`NormaliseLayer`](crate::NormaliseLayer)): 400, 414.
    Target,
    /// Its token, or that it has none ([`TokenLayer`](crate::TokenLayer)).
    Tokens,
}

impl RefusedBy {
    /// All of them, in the order of their names.
    pub const ALL: [Self; 17] = [
        Self::Addresses,
        Self::Answer,
        Self::Cors,
        Self::Countries,
        Self::EarlyData,
        Self::Host,
        Self::Limit(Per::Address),
        Self::Limit(Per::Network),
        Self::Limit(Per::Route),
        Self::Limit(Per::Token),
        Self::Methods,
        Self::Other,
        Self::Referrers,
        Self::Reports,
        Self::Shed,
        Self::Target,
        Self::Tokens,
    ];

    /// The name that it is counted under: the key of the configuration that has it refused, where there is one.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Addresses => "addresses",
            Self::Answer => "answer",
            Self::Cors => "cors",
            Self::Countries => "countries",
            Self::EarlyData => "early_data",
            Self::Host => "host",
            Self::Limit(Per::Address) => "limit_address",
            Self::Limit(Per::Network) => "limit_network",
            Self::Limit(Per::Route) => "limit_route",
            Self::Limit(Per::Token) => "limit_token",
            Self::Methods => "methods",
            Self::Other => "other",
            Self::Referrers => "referrers",
            Self::Reports => "reports",
            Self::Shed => "shed",
            Self::Target => "target",
            Self::Tokens => "tokens",
        }
    }

    /// Says of an answer that it refuses. The first to say so is right: what it is within is none of its
    /// concern.
    pub fn mark<B>(self, response: &mut Response<B>) {
        response.extensions_mut().get_or_insert(self);
    }

    /// What an answer says, if it refuses.
    pub fn of<B>(response: &Response<B>) -> Option<Self> {
        response.extensions().get().copied()
    }

    /// Its place among [`Self::ALL`].
    pub(crate) fn index(self) -> usize {
        Self::ALL.iter().position(|one| *one == self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_a_place_and_a_name_of_its_own() {
        let names = RefusedBy::ALL.map(RefusedBy::as_str);
        assert!(names.windows(2).all(|two| two[0] < two[1]), "{names:?}");
        for (place, one) in RefusedBy::ALL.into_iter().enumerate() {
            assert_eq!(one.index(), place);
        }
    }

    #[test]
    fn who_refused_first_is_told() {
        let mut response = Response::new(());
        RefusedBy::Tokens.mark(&mut response);
        RefusedBy::Other.mark(&mut response);
        assert_eq!(RefusedBy::of(&response), Some(RefusedBy::Tokens));
    }
}
