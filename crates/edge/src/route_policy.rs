//! What the operator wants on the route of a request: how layers do one thing here and another there.
//!
//! Who knows the routes puts an `Arc` of a [`RoutePolicy`] into the extensions of each request that has
//! one, before the edge sees it; `headwater edge` does by its configuration. A layer that finds its
//! part there goes by that, and else by what it was made with:
//!
//! ```
//! use std::sync::Arc;
//! use headwater_edge::{FixedAnswer, RoutePolicy};
//! use http::{Request, StatusCode};
//!
//! let mut policy = RoutePolicy::default();
//! policy.answer = Some(FixedAnswer::new(StatusCode::GONE));
//! let mut request = Request::get("/old/").body(())?;
//! request.extensions_mut().insert(Arc::new(policy));
//! assert!(RoutePolicy::of(request.extensions()).unwrap().answer.is_some());
//! # Ok::<_, http::Error>(())
//! ```
//!
//! A request without one costs each layer one look into its extensions.

use std::sync::Arc;

use http::Extensions;

use crate::addresses::Addresses;
use crate::cors::Cors;
use crate::fixed::FixedAnswer;
use crate::geo::Countries;
use crate::methods::MethodsLayer;
use crate::referrers::Referrers;
use crate::security::Security;
use crate::tokens::TokensHere;

/// What holds on a route, part by part: `None` is as the layer was made.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct RoutePolicy {
    /// What the access log calls the route: `route` of its JSON lines, of which 64 bytes are told.
    pub name: Option<Arc<str>>,
    /// What its requests are answered without anybody behind.
    pub answer: Option<FixedAnswer>,
    /// Which tokens its requests need, or that they need none.
    pub tokens: Option<TokensHere>,
    /// Methods that are let in.
    pub methods: Option<MethodsLayer>,
    /// Whose pages may read.
    pub cors: Option<Cors>,
    /// What browsers are told to be careful with.
    pub security: Option<Security>,
    /// Addresses that are let in.
    pub addresses: Option<Addresses>,
    /// Countries that are served.
    pub countries: Option<Countries>,
    /// Whose pages may show it.
    pub referrers: Option<Referrers>,
    /// The names of limits that are for it ([`Limit::where_named`](crate::Limit::where_named)).
    pub limits: Arc<[Box<str>]>,
}

impl RoutePolicy {
    /// That of a request, by its extensions.
    pub fn of(extensions: &Extensions) -> Option<&Self> {
        extensions.get::<Arc<Self>>().map(|policy| &**policy)
    }

    /// Whether it says nothing: then no request needs it.
    pub fn is_empty(&self) -> bool {
        let Self {
            name,
            answer,
            tokens,
            methods,
            cors,
            security,
            addresses,
            countries,
            referrers,
            limits,
        } = self;
        name.is_none()
            && answer.is_none()
            && tokens.is_none()
            && methods.is_none()
            && cors.is_none()
            && security.is_none()
            && addresses.is_none()
            && countries.is_none()
            && referrers.is_none()
            && limits.is_empty()
    }
}
