//! The gate before an edge: which requests need a token, and who is given one.
//!
//! Media does, where there is a secret to sign with; pages, reports and steering do not. Who opens a
//! page is given a token for all media as a cookie, so that the page can play. Without a secret the
//! gate is not there: it costs a branch.

use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{Either, Map};
use headwater_edge::tokens::{Grant, Key, Places, TokenRules, TokensHere, Verifier};
use headwater_edge::{RoutePolicy, normalise};
use headwater_net::{Body, Clock, ConnInfo};
use http::{HeaderValue, Request, Response, StatusCode, Uri, header};
use tower_service::Service;

use crate::Error;
use crate::router::{MEDIA, at_shield};

/// What a path with a token in it begins with.
const TOKENS: &str = "/t/";

/// The cookie, by the name that an edge looks for.
const COOKIE: &str = "headwater-token";

/// For how long a token that is given out lets in.
const VALID: Duration = Duration::from_secs(24 * 3600);

/// See the module.
#[derive(Clone, Default)]
pub(crate) struct Gate(Option<Arc<Tokens>>);

struct Tokens {
    rules: Arc<TokenRules>,
    /// Of media, and of all else.
    media: Arc<RoutePolicy>,
    public: Arc<RoutePolicy>,
    key: Key,
    clock: Clock,
}

impl Gate {
    /// The gate of a secret that a file or a variable of the environment holds, without space around it;
    /// where neither is named, one that is open.
    pub(crate) fn new(file: Option<&Path>, variable: Option<&str>) -> Result<Self, Error> {
        let secret = match (file, variable) {
            (Some(path), _) => std::fs::read(path)
                .map_err(|source| Error::File { path: path.to_owned(), source })?,
            (None, Some(name)) => std::env::var_os(name)
                .ok_or_else(|| Error::Usage(format!("there is no variable {name}")))?
                .into_encoded_bytes(),
            (None, None) => return Ok(Self::default()),
        };
        let wrong = |error| Error::Usage(format!("the secret of tokens: {error}"));
        let key = Key::signing("", secret.trim_ascii()).map_err(wrong)?;
        let verifier = Verifier::new([key.clone()]).map_err(wrong)?;
        let rules = TokenRules::new(verifier, Places::default().path(TOKENS).give_cookie(true));
        let rules = Arc::new(rules);
        let route = |tokens: fn(_) -> TokensHere| {
            let mut policy = RoutePolicy::default();
            policy.tokens = Some(tokens(Arc::clone(&rules)));
            Arc::new(policy)
        };
        let (media, public) = (route(TokensHere::Needed), route(TokensHere::Public));
        Ok(Self(Some(Arc::new(Tokens { rules, media, public, key, clock: Clock::system() }))))
    }

    /// Whether media needs a token.
    pub(crate) const fn asks_for_tokens(&self) -> bool {
        self.0.is_some()
    }

    /// What stands before `/media/` in a URL that is told to a person: a token for a day, where one is
    /// needed.
    pub(crate) fn prefix(&self) -> String {
        let token = self.0.as_ref().and_then(|tokens| tokens.token());
        token.map(|token| format!("{TOKENS}{token}")).unwrap_or_default()
    }

    /// The gate before a service.
    pub(crate) fn before<S>(&self, inner: S) -> Gated<S> {
        Gated { inner, tokens: self.0.clone() }
    }
}

impl Tokens {
    /// A token for all media.
    fn token(&self) -> Option<String> {
        let grant = Grant::below(&format!("{MEDIA}/"), self.clock.now().plus(VALID)).ok()?;
        grant.sign(&self.key).ok()
    }

    /// The field that gives it to a browser.
    fn cookie(&self, is_tls: bool) -> Option<HeaderValue> {
        let (token, seconds) = (self.token()?, VALID.as_secs());
        let secure = if is_tls { "; Secure" } else { "" };
        let cookie = format!(
            "{COOKIE}={token}; Path={MEDIA}/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}"
        );
        HeaderValue::try_from(cookie).ok()
    }
}

/// The service of [`Gate`].
#[derive(Clone)]
pub(crate) struct Gated<S> {
    inner: S,
    tokens: Option<Arc<Tokens>>,
}

/// Gives a page's answer its cookie.
type Give<E> = Box<dyn FnOnce(Result<Response<Body>, E>) -> Result<Response<Body>, E> + Send>;

impl<S> Service<Request<Body>> for Gated<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Either<S::Future, Map<S::Future, Give<S::Error>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let Some(tokens) = &self.tokens else { return Either::Left(self.inner.call(request)) };
        tokens.rules.places().take_path(&mut request);
        // What cannot be read is refused further in; it is nobody's page.
        let uri = normalise::checked(request.uri());
        let is_public = uri.as_deref().is_some_and(|uri| at_shield(uri).is_none());
        let plays = uri.as_deref().is_some_and(is_page);
        let here = if is_public { &tokens.public } else { &tokens.media };
        request.extensions_mut().insert(Arc::clone(here));
        if !plays {
            return Either::Left(self.inner.call(request));
        }
        let is_tls = request.extensions().get::<ConnInfo>().is_some_and(|conn| conn.tls);
        let cookie = tokens.cookie(is_tls);
        let give: Give<S::Error> = Box::new(move |answer| {
            answer.map(|mut response| {
                let came =
                    response.status().is_success() || response.status() == StatusCode::NOT_MODIFIED;
                if let Some(cookie) = cookie.filter(|_| came) {
                    let private = HeaderValue::from_static("private, no-cache");
                    response.headers_mut().insert(header::CACHE_CONTROL, private);
                    response.headers_mut().append(header::SET_COOKIE, cookie);
                }
                response
            })
        });
        Either::Right(self.inner.call(request).map(give))
    }
}

/// Whether it is a page that plays.
fn is_page(uri: &Uri) -> bool {
    matches!(uri.path(), "/" | "/index.html" | "/watch" | "/watch.html")
}
