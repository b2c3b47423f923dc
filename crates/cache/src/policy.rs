//! What a cache may do, as pure decisions over headers and time.
//!
//! [`Policy`] is where a deployment says how it differs from RFC 9111, and [`Rules`] what most
//! deployments say; the submodules [`freshness`] (§4.2), [`storable`] (§3) and [`reuse`] (§4) are
//! the standard itself, and [`Choices`] what it leaves open.

mod choices;
pub(crate) mod freshness;
mod parameters;
mod pattern;
pub(crate) mod preferences;
pub(crate) mod reuse;
mod route;
mod rules;
pub(crate) mod storable;

use std::time::Duration;

use http::request::Parts;
use http::{HeaderMap, HeaderName, StatusCode};

use crate::key::{self, KeyBuf};
pub use choices::Choices;
pub use parameters::PERSONAL;
pub use route::{Route, RuleError};
pub use rules::{Rules, RulesBuilder};

/// The request field that asks what the cache makes of the request.
pub(crate) const DEBUG: HeaderName = HeaderName::from_static("headwater-debug");

/// How requests are told apart, and where a deployment overrides the origin.
///
/// Every method runs on the path of a hit or a fill: it must be quick, must not block, and must
/// give the same answer for the same input.
pub trait Policy: Send + Sync + 'static {
    /// Writes the primary key of a GET or HEAD request. Requests with equal keys may be answered
    /// by one stored response (unless it varies), so everything that the origin's answer depends
    /// on, and that `Vary` does not name, belongs in here. What is no part of the URL goes
    /// [beside](KeyBuf::push_beside) it, so that a purge by URL takes in all.
    fn key(&self, request: &Parts, key: &mut KeyBuf) {
        key::write_default(request, key);
    }

    /// Gives each key that requests for the same URL may have: what is stored under them is
    /// forgotten once an unsafe method has changed what the URL names (RFC 9111 §4.4). A policy
    /// whose keys hold something [beside](KeyBuf::push_beside) the URL names them all; by default
    /// there is the request's own.
    fn keys(&self, request: &Parts, each: &mut dyn FnMut(&KeyBuf)) {
        let mut key = KeyBuf::new();
        self.key(request, &mut key);
        each(&key);
    }

    /// Whether the request goes past the cache: neither answered from it nor stored.
    fn bypass(&self, request: &Parts) -> bool {
        let _ = request;
        false
    }

    /// Whether what the request names is large, so that its first fetch asks for one
    /// [slice](crate::Builder::slice) and not for the whole: where requests for a byte of a film
    /// are common, that spares the start of a fetch that is broken off at once. What turns out to
    /// be no larger than a slice is stored in one piece.
    fn in_slices(&self, request: &Parts) -> bool {
        let _ = request;
        false
    }

    /// Changes a request on its way upstream, after hop-by-hop fields were taken off it, and
    /// conditionals and ranges where it fills the cache. By default CMCD leaves its URL: one
    /// player's telemetry is not the business of a response that many will get.
    fn prepare(&self, request: &mut Parts) {
        if let Some(uri) = key::without_cmcd(&request.uri) {
            request.uri = uri;
        }
    }

    /// Changes the fields of what upstream answered, before anything is made of them. `request` is
    /// as [`prepare`](Self::prepare) left it, with the extensions that it put in.
    fn receive(&self, request: &Parts, status: StatusCode, headers: &mut HeaderMap) {
        let _ = (request, status, headers);
    }

    /// Where the deployment knows better than the origin how long a response may be used.
    /// `request` is as for [`receive`](Self::receive), and `headers` as that left them.
    fn overrides(&self, request: &Parts, status: StatusCode, headers: &HeaderMap) -> Overrides {
        let _ = (request, status, headers);
        Overrides::default()
    }

    /// Whether the asker of this request may be told, in `Headwater-Explain`, what the cache makes
    /// of it; by default nobody may.
    fn debug(&self, request: &Parts) -> bool {
        let _ = request;
        false
    }
}

/// How long a response may be used, in the place of what its origin says; by default all is as
/// that says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Overrides {
    /// Its freshness lifetime (RFC 9111 §4.2.1).
    pub lifetime: Option<Lifetime>,
    /// For how long it may answer while it is revalidated (RFC 5861 §3).
    pub stale_while_revalidate: Option<Duration>,
    /// For how long it may answer when upstream fails (RFC 5861 §4).
    pub stale_if_error: Option<Duration>,
}

impl Overrides {
    /// Whether it makes a response of any status storable that says nothing of its freshness.
    pub(crate) fn is_explicit(&self) -> bool {
        self.lifetime.is_some_and(Lifetime::is_explicit)
    }
}

/// A freshness lifetime that an operator gives. It does not make storable what its origin forbids
/// to store: a rule that says so sets `Cache-Control`.
///
/// A service behind the cache may give one, too, of a response that it knows more of than its fields
/// say (the live edge of a video, for parts of a second): as an extension of that response, also of a
/// 304 that confirms it. It is applied after what the policy says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// The origin's, but no less than this.
    AtLeast(Duration),
    /// The origin's, but no more than this.
    AtMost(Duration),
    /// This.
    Exactly(Duration),
}

impl Lifetime {
    /// Whether it makes a response of any status storable that says nothing of its freshness.
    pub(crate) fn is_explicit(self) -> bool {
        matches!(self, Self::AtLeast(_) | Self::Exactly(_))
    }

    /// What a service behind the cache gives the response that has these extensions.
    pub(crate) fn given(extensions: &http::Extensions) -> Option<Self> {
        extensions.get().copied()
    }

    /// The lifetime of what has the given one by the standard.
    pub(crate) fn of(self, standard: Duration) -> Duration {
        match self {
            Self::AtLeast(least) => standard.max(least),
            Self::AtMost(most) => standard.min(most),
            Self::Exactly(exactly) => exactly,
        }
    }
}

/// RFC 9111 as it stands: the key is host, path and query without CMCD, nothing is bypassed, and
/// lifetimes are the origin's.
#[derive(Clone, Copy, Debug, Default)]
pub struct DefaultPolicy;

impl Policy for DefaultPolicy {}
