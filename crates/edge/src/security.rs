//! Fields by which an answer tells browsers to be careful with it: only by TLS from now on (RFC 6797), in
//! no frame of others (RFC 7034), and what a page may load and tell.
//!
//! A [`SecurityLayer`] adds them to answers that do not have them. `Strict-Transport-Security` goes with
//! answers over TLS alone (RFC 6797 §7.2). An answer's fields grow by these: that is all it costs.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use headwater_net::ConnInfo;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header};
use tower_layer::Layer;
use tower_service::Service;

use crate::amend::{Amend, Amended};
use crate::route_policy::RoutePolicy;

const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// What browsers are told; by default nothing. Clones are of the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Security(Arc<Told>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Told {
    fields: Vec<(HeaderName, HeaderValue)>,
    over_tls: Vec<(HeaderName, HeaderValue)>,
}

/// Whose pages may show an answer in a frame (`X-Frame-Options`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frames {
    /// Nobody's.
    Deny,
    /// Those of the same origin.
    SameOrigin,
}

/// Who may load an answer into a page without asking by CORS (`Cross-Origin-Resource-Policy`, Fetch
/// §3.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loads {
    /// Pages of any site.
    CrossOrigin,
    /// Those of the same site.
    SameSite,
    /// Those of the same origin.
    SameOrigin,
}

impl Security {
    /// Browsers come by TLS alone for so long, in whole seconds, since they last were told.
    #[must_use]
    pub fn hsts(mut self, time: Duration, subdomains: bool, preload: bool) -> Self {
        let mut value = format!("max-age={}", time.as_secs());
        value.push_str(if subdomains { "; includeSubDomains" } else { "" });
        value.push_str(if preload { "; preload" } else { "" });
        // Digits and words.
        if let Ok(value) = HeaderValue::try_from(value) {
            let told = Arc::make_mut(&mut self.0);
            told.over_tls.push((header::STRICT_TRANSPORT_SECURITY, value));
        }
        self
    }

    /// Whose frames may show it.
    #[must_use]
    pub fn frames(self, frames: Frames) -> Self {
        let value = match frames {
            Frames::Deny => "DENY",
            Frames::SameOrigin => "SAMEORIGIN",
        };
        self.field(header::X_FRAME_OPTIONS, HeaderValue::from_static(value))
    }

    /// Who may load it.
    #[must_use]
    pub fn loads(self, loads: Loads) -> Self {
        let value = match loads {
            Loads::CrossOrigin => "cross-origin",
            Loads::SameSite => "same-site",
            Loads::SameOrigin => "same-origin",
        };
        self.field(RESOURCE_POLICY, HeaderValue::from_static(value))
    }

    /// What a page may load, run and be framed by (`Content-Security-Policy`).
    #[must_use]
    pub fn content_policy(self, policy: HeaderValue) -> Self {
        self.field(header::CONTENT_SECURITY_POLICY, policy)
    }

    /// What a page tells of itself where it leads (`Referrer-Policy`).
    #[must_use]
    pub fn referrer_policy(self, policy: HeaderValue) -> Self {
        self.field(header::REFERRER_POLICY, policy)
    }

    fn field(mut self, name: HeaderName, value: HeaderValue) -> Self {
        Arc::make_mut(&mut self.0).fields.push((name, value));
        self
    }
}

/// Tells browsers; by default nothing but where a request's [`RoutePolicy`] says so.
#[derive(Clone, Debug, Default)]
pub struct SecurityLayer(Option<Security>);

impl SecurityLayer {
    /// Tells them this, where a request's [`RoutePolicy`] says nothing else.
    pub const fn new(security: Security) -> Self {
        Self(Some(security))
    }
}

impl<S> Layer<S> for SecurityLayer {
    type Service = Secured<S>;

    fn layer(&self, inner: S) -> Secured<S> {
        Secured { inner, layer: self.clone() }
    }
}

/// The service of [`SecurityLayer`].
#[derive(Clone, Debug)]
pub struct Secured<S> {
    inner: S,
    layer: SecurityLayer,
}

impl<S, A, B> Service<Request<A>> for Secured<S>
where
    S: Service<Request<A>, Response = Response<B>>,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = Amended<S::Future, Careful>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let extensions = request.extensions();
        let here = RoutePolicy::of(extensions).and_then(|policy| policy.security.as_ref());
        let careful = here.or(self.layer.0.as_ref()).map(|security| Careful {
            security: security.clone(),
            is_tls: extensions.get::<ConnInfo>().is_some_and(|conn| conn.tls),
        });
        Amended::new(self.inner.call(request), careful)
    }
}

/// What an answer gets.
#[derive(Clone, Debug)]
pub struct Careful {
    security: Security,
    is_tls: bool,
}

impl Amend for Careful {
    fn amend(self, headers: &mut HeaderMap) {
        let told = &*self.security.0;
        let over_tls = if self.is_tls { &*told.over_tls } else { &[] };
        headers.reserve(told.fields.len() + over_tls.len());
        // They mostly are not there.
        for (name, value) in told.fields.iter().chain(over_tls) {
            headers.entry(name).or_insert_with(|| value.clone());
        }
    }
}
