//! The layer: takes a request's token, verifies it, and lets the request on without it, or answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use headwater_cache::BoxError;
use headwater_net::{Body, Clock, ConnInfo, Timestamp};
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Request, Response, header};
use http_body::Body as HttpBody;
use tower_layer::Layer;
use tower_service::Service;

use super::asked::Asked;
use super::places::{Found, Places, hand_over};
use super::refusal::Refusal;
use super::replays::Replays;
use super::verifier::{Refused, Verifier};
use crate::amend::{Amend, Amended};
use crate::answer::Answer;
use crate::normalise;
use crate::refusals::RefusedBy;
use crate::route_policy::RoutePolicy;

/// Where tokens are looked for, and what is made of them.
#[derive(Clone, Debug)]
pub struct TokenRules {
    verifier: Verifier,
    places: Places,
}

impl TokenRules {
    /// Tokens in these places, verified so.
    pub const fn new(verifier: Verifier, places: Places) -> Self {
        Self { verifier, places }
    }

    /// The places.
    pub const fn places(&self) -> &Places {
        &self.places
    }

    /// Takes the token off a request and verifies it; what is to be done then.
    fn admit<B>(
        &self,
        request: &mut Request<B>,
        shared: &Shared,
        now: Timestamp,
    ) -> Result<Admitted, Refused> {
        let [found, next] = self.places.take(request);
        let mut found = found.ok_or(Refusal::Missing)?;
        let normal = normalise::checked(request.uri()).ok_or(Refusal::Ambiguous)?;
        let asked = Asked::new(request, normal.path(), now);
        let places = Some(&self.places);
        let verify = |found: &Found| self.verifier.verify_in(&found.text, &asked, places);
        let allowed = match (verify(&found), next) {
            // One made anew is handed over in a cookie, and the URL goes on having the old one. That is
            // signed by us: who guesses has one guess a request, as ever.
            (Err(refused), Some(next)) if refused.why == Refusal::Expired => {
                let allowed = verify(&next).map_err(|_| refused)?;
                found = next;
                allowed
            }
            (judged, _) => judged?,
        };
        // Who cannot be seen to come in the clear is not given a cookie that goes in the clear.
        let is_tls = request.extensions().get::<ConnInfo>().is_none_or(|conn| conn.tls);
        // Before anything is noted: what is refused by chance has not been used.
        if allowed.chance.is_some_and(|chance| shared.draw() < chance) {
            return Err(Refused { why: Refusal::Chance, instead: allowed.instead_of_chance });
        }
        let mut noted = Ok(());
        if let Some((token, until)) = allowed.once {
            noted = shared.replays.note(token, until, now);
        }
        if let Some((token, until)) = allowed.shared {
            noted = shared.replays.note_from(token, asked.address, until, now);
        }
        noted.map_err(|why| match why {
            // That is ours, and no claim's.
            Refusal::Crowded => why.into(),
            _ => Refused { why, instead: allowed.instead_of_replay.clone() },
        })?;
        let renewed = allowed.renewed.as_ref();
        if let Some(elsewhere) = renewed.and_then(|one| self.places.redirect(one, &found, request))
        {
            return Ok(Admitted::Elsewhere(elsewhere));
        }
        let cookie = self.places.cookie_for(&found, &allowed, is_tls, now);
        let cookie = cookie.map(|cookie| (header::SET_COOKIE, cookie));
        let renewed = renewed.and_then(|one| hand_over(one, found.place, is_tls, now));
        request.extensions_mut().insert(allowed.holder);
        Ok(Admitted::In(renewed.or(cookie).map(|(name, token)| HandedBack(name, token))))
    }
}

/// What becomes of a request with a good token.
enum Admitted {
    /// It is let in, and its answer hands a token over.
    In(Option<HandedBack>),
    /// It is to come again with another token.
    Elsewhere(Response<Body>),
}

/// Lets in requests with a token that its [`TokenRules`] take; others are answered 401 or 403. What
/// it lets in has no token any more, and a [`Holder`](crate::rates::Holder) among its extensions.
#[derive(Clone, Debug, Default)]
pub struct TokenLayer {
    rules: Option<Arc<TokenRules>>,
    clock: Clock,
    shared: Arc<Shared>,
}

/// What clones of a layer have in common.
#[derive(Debug, Default)]
struct Shared {
    replays: Replays,
    draws: AtomicU64,
}

impl Shared {
    /// From 0 to 1, and never 1 (SplitMix64).
    fn draw(&self) -> f64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let x = self.draws.fetch_add(STEP, Ordering::Relaxed);
        let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((x ^ (x >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

impl TokenLayer {
    /// Verifies tokens so. The default layer verifies nothing, unless a request's route says so
    /// ([`RoutePolicy::tokens`]). Clones remember tokens for one request together.
    pub fn new(rules: TokenRules) -> Self {
        Self { rules: Some(Arc::new(rules)), ..Self::default() }
    }

    /// What chance begins with, for tokens that are refused by chance. Default 0.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        self.shared.draws.store(seed, Ordering::Relaxed);
        self
    }

    /// The rules that hold where a request's route does not say others.
    pub const fn rules(&self) -> Option<&Arc<TokenRules>> {
        self.rules.as_ref()
    }

    /// The clock that tokens expire by.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }
}

/// What holds on a route ([`RoutePolicy::tokens`]), whatever the layer's rules are: for who has rules of
/// its own for each host or path.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum TokensHere {
    /// It needs a token that these take.
    Needed(Arc<TokenRules>),
    /// It needs none. One that stands where these look is taken off unread, so that nobody behind sees it.
    Public(Arc<TokenRules>),
    /// It needs none, and keeps what it has: it is sent elsewhere.
    Elsewhere(Arc<TokenRules>),
}

impl TokensHere {
    /// What the route of a request says, by its extensions.
    pub(crate) fn of(extensions: &Extensions) -> Option<&Self> {
        RoutePolicy::of(extensions).and_then(|policy| policy.tokens.as_ref())
    }

    /// The rules by which tokens are known.
    pub const fn rules(&self) -> &Arc<TokenRules> {
        match self {
            Self::Needed(rules) | Self::Public(rules) | Self::Elsewhere(rules) => rules,
        }
    }
}

impl TokenLayer {
    /// A service that takes tokens off paths, to be put around whatever looks at a path before this
    /// layer does, such as a log.
    pub fn take_paths<S>(&self, inner: S) -> TakePaths<S> {
        TakePaths { inner, rules: self.rules.clone() }
    }
}

impl<S> Layer<S> for TokenLayer {
    type Service = Tokens<S>;

    fn layer(&self, inner: S) -> Tokens<S> {
        Tokens { inner, layer: self.clone() }
    }
}

/// The service of [`TokenLayer::take_paths`].
#[derive(Clone, Debug)]
pub struct TakePaths<S> {
    inner: S,
    rules: Option<Arc<TokenRules>>,
}

impl<S, A> Service<Request<A>> for TakePaths<S>
where
    S: Service<Request<A>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<A>) -> S::Future {
        if let Some(rules) = &self.rules {
            rules.places.take_path(&mut request);
        }
        self.inner.call(request)
    }
}

/// The service of [`TokenLayer`].
#[derive(Clone, Debug)]
pub struct Tokens<S> {
    inner: S,
    layer: TokenLayer,
}

impl<S, A, B> Service<Request<A>> for Tokens<S>
where
    S: Service<Request<A>, Response = Response<B>>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Amended<Answer<S::Future>, HandedBack>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<A>) -> Self::Future {
        let here = TokensHere::of(request.extensions()).cloned();
        let rules = match &here {
            Some(TokensHere::Needed(rules)) => Some(rules),
            Some(TokensHere::Public(rules)) => {
                rules.places.take(&mut request);
                None
            }
            Some(TokensHere::Elsewhere(_)) => None,
            None => self.layer.rules.as_ref(),
        };
        let Some(rules) = rules else {
            return Amended::new(Answer::of(self.inner.call(request)), None);
        };
        match rules.admit(&mut request, &self.layer.shared, self.layer.clock.now()) {
            Ok(Admitted::In(back)) => Amended::new(Answer::of(self.inner.call(request)), back),
            Ok(Admitted::Elsewhere(response)) => Amended::new(Answer::ready(response), None),
            Err(refused) => {
                Amended::new(Answer::refused(RefusedBy::Tokens, refused.into_response()), None)
            }
        }
    }
}

/// A token that goes back with the answer, in the field that carries it. The value is a sensitive one: it
/// is not shown when it is debugged, and no compressor of fields remembers it (RFC 7541 §7.1.3).
#[derive(Clone, Debug)]
pub struct HandedBack(HeaderName, HeaderValue);

impl Amend for HandedBack {
    fn amend(self, headers: &mut HeaderMap) {
        headers.append(self.0, self.1);
        // The token is one viewer's: caches behind us share the answer with nobody.
        headers.append(header::CACHE_CONTROL, HeaderValue::from_static("private"));
    }
}
