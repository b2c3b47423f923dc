//! Whose pages may read what is served: Cross-Origin Resource Sharing (Fetch §3.2).
//!
//! A [`CorsLayer`] belongs before whatever may refuse a request: browsers send neither tokens nor cookies
//! with the question that goes before some requests (the preflight), and a page's script is told why it
//! was refused only where the refusal says that it may be read. It stands before the cache, too: what is
//! stored is the same for all pages.
//!
//! ```
//! use headwater_edge::{Cors, CorsLayer};
//!
//! // Any page may read, without cookies.
//! let open = CorsLayer::new(Cors::any());
//! // These pages may, with cookies.
//! let ours = Cors::of(["https://video.example", "https://*.video.example"]).credentials(true);
//! let closed = CorsLayer::new(ours.expose(["content-length", "cmsd-dynamic"]));
//! ```
//!
//! Where it holds, it alone says who may read: what an upstream says of that is taken off, and a
//! [`NormaliseLayer`](crate::NormaliseLayer) further in, which an [`Edge`](crate::Edge) has behind its
//! tokens, takes `Origin` off GET and HEAD: an upstream that answers differently by it would have each page
//! fetch and store everything for itself. WebSockets keep it. An answer that differs by page says `Vary:
//! Origin`, also to who names no page, so that no cache on the way gives one page's answer to another; one
//! that is for any page does not. An answer's fields grow by these: that is all it costs where it is on.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use headwater_cache::BoxError;
use headwater_net::{Body, Problem};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::Body as HttpBody;
use tower_layer::Layer;
use tower_service::Service;

use crate::amend::{Amend, Amended};
use crate::answer::Answer;
use crate::refusals::RefusedBy;
use crate::route_policy::RoutePolicy;

/// Which pages may read, and what they may ask. Clones are of the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cors(Arc<Rules>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rules {
    /// `None` for any.
    origins: Option<Box<[Known]>>,
    credentials: bool,
    methods: HeaderValue,
    /// `None` for whichever are asked for.
    headers: Option<HeaderValue>,
    expose: Option<HeaderValue>,
    max_age: HeaderValue,
}

/// An origin whose pages may read.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Known {
    /// This one.
    One(Box<str>),
    /// All whose host is below this one, of this scheme; with what stands around the host's labels: `https://` and
    /// `.video.example`.
    Below { scheme: Box<str>, host: Box<str> },
}

const ANY: HeaderValue = HeaderValue::from_static("*");
const ORIGIN: HeaderValue = HeaderValue::from_static("Origin");

impl Cors {
    /// Pages of any origin may read what is there for everybody: without cookies. They may send any
    /// fields with GET and HEAD.
    #[must_use]
    pub fn any() -> Self {
        Self::with(None)
    }

    /// Pages of these origins may read, as browsers name them: a scheme, a host in lower case and a port
    /// where that is not the scheme's own. `https://*.video.example` is all below that host; a `*` elsewhere
    /// stands for nothing else. `null`, which any page can have itself called, is none.
    #[must_use]
    pub fn of<O: AsRef<str>>(origins: impl IntoIterator<Item = O>) -> Self {
        Self::with(Some(origins.into_iter().map(|origin| Known::read(origin.as_ref())).collect()))
    }

    fn with(origins: Option<Box<[Known]>>) -> Self {
        Self(Arc::new(Rules {
            origins,
            credentials: false,
            methods: HeaderValue::from_static("GET, HEAD"),
            headers: None,
            expose: None,
            max_age: HeaderValue::from(7_200),
        }))
    }

    /// Whether cookies and other credentials may come along; never where any origin may read. Default
    /// false.
    #[must_use]
    pub fn credentials(mut self, credentials: bool) -> Self {
        let rules = Arc::make_mut(&mut self.0);
        rules.credentials = credentials && rules.origins.is_some();
        self
    }

    /// The methods that pages may use. Default GET and HEAD; GET, HEAD and POST always may be (Fetch
    /// §2.2.1).
    #[must_use]
    pub fn methods(mut self, methods: impl IntoIterator<Item = Method>) -> Self {
        let methods: Vec<Method> = methods.into_iter().collect();
        let names = methods.iter().map(Method::as_str);
        Arc::make_mut(&mut self.0).methods = list(names).unwrap_or(HeaderValue::from_static(""));
        self
    }

    /// The fields that pages may send, beside those that they always may. Default whichever.
    #[must_use]
    pub fn headers<N: AsRef<str>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        Arc::make_mut(&mut self.0).headers = list(names).or(Some(HeaderValue::from_static("")));
        self
    }

    /// The fields of an answer that pages may read, beside those that they always may, such as
    /// `content-type`. Default none.
    #[must_use]
    pub fn expose<N: AsRef<str>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        Arc::make_mut(&mut self.0).expose = list(names);
        self
    }

    /// How long browsers remember what a preflight was answered, in whole seconds. Default 2 h, the most
    /// that Chromium heeds.
    #[must_use]
    pub fn max_age(mut self, time: Duration) -> Self {
        Arc::make_mut(&mut self.0).max_age = HeaderValue::from(time.as_secs());
        self
    }

    /// What a page of `origin` is told of who may read; `None` where it may not, or there is no page.
    fn grant(&self, origin: Option<&HeaderValue>) -> Option<HeaderValue> {
        match (&self.0.origins, origin) {
            (None, _) => Some(ANY),
            (Some(origins), Some(origin)) => {
                origins.iter().any(|known| known.takes(origin.as_bytes())).then(|| origin.clone())
            }
            (Some(_), None) => None,
        }
    }

    fn varies(&self) -> bool {
        self.0.origins.is_some()
    }

    /// The answer to a preflight.
    fn preflight(&self, request: &HeaderMap) -> Response<Body> {
        let Some(origin) = self.grant(request.get(header::ORIGIN)) else {
            let problem = Problem::new(StatusCode::FORBIDDEN);
            let mut response = problem.detail("pages of this origin may not ask").into_response();
            response.headers_mut().remove(header::ACCESS_CONTROL_ALLOW_ORIGIN);
            response.headers_mut().insert(header::VARY, ORIGIN);
            RefusedBy::Cors.mark(&mut response);
            return response;
        };
        let mut response = Response::new(Body::Empty);
        *response.status_mut() = StatusCode::NO_CONTENT;
        let rules = &*self.0;
        let headers = response.headers_mut();
        let asked = || request.get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
        if let Some(allowed) =
            rules.headers.clone().or_else(asked).filter(|names| !names.is_empty())
        {
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, allowed);
        }
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, rules.methods.clone());
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, rules.max_age.clone());
        self.may_read(origin, headers);
        if self.varies() {
            headers.insert(header::VARY, ORIGIN);
        }
        response
    }

    fn may_read(&self, origin: HeaderValue, headers: &mut HeaderMap) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if self.0.credentials {
            let yes = HeaderValue::from_static("true");
            headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
        }
    }
}

/// Names as one field's value; `None` where there are none, or one of them cannot be in a field.
fn list<N: AsRef<str>>(names: impl IntoIterator<Item = N>) -> Option<HeaderValue> {
    let names: Vec<N> = names.into_iter().collect();
    let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    HeaderValue::from_str(&names.join(", ")).ok().filter(|value| !value.is_empty())
}

impl Known {
    fn read(text: &str) -> Self {
        match text.split_once("://*.") {
            Some((scheme, host)) if !host.is_empty() => Self::Below {
                scheme: format!("{scheme}://").into(),
                host: format!(".{host}").into(),
            },
            _ => Self::One(text.into()),
        }
    }

    /// Whether an origin is this one, or below it: then its host has labels of letters, digits, `-` and `_` before
    /// that one's, and nothing else differs.
    fn takes(&self, origin: &[u8]) -> bool {
        let (scheme, below) = match self {
            Self::One(known) => return known.as_bytes() == origin && origin != b"null",
            Self::Below { scheme, host } => (scheme.as_bytes(), host.as_bytes()),
        };
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let is_label = |label: &[u8]| !label.is_empty() && label.iter().all(plain);
        let labels = origin.strip_prefix(scheme).and_then(|host| host.strip_suffix(below));
        labels.is_some_and(|labels| labels.split(|byte| *byte == b'.').all(is_label))
    }
}

/// In a request's extensions: it is decided here who may read, and nobody further in needs to know which
/// page asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decided;

/// Takes the name of the page off `Vary`.
fn same_for_all_pages(headers: &mut HeaderMap) {
    let names = |line: &HeaderValue| {
        let names =
            |line: &str| line.split(',').any(|name| name.trim().eq_ignore_ascii_case("origin"));
        line.to_str().is_ok_and(names)
    };
    if !headers.get_all(header::VARY).iter().any(names) {
        return;
    }
    let lines: Vec<HeaderValue> = headers.get_all(header::VARY).iter().cloned().collect();
    headers.remove(header::VARY);
    for line in lines.iter().filter_map(|line| line.to_str().ok()) {
        let others =
            line.split(',').map(str::trim).filter(|name| !name.eq_ignore_ascii_case("origin"));
        if let Some(line) = list(others) {
            headers.append(header::VARY, line);
        }
    }
}

/// Whether a request is a browser's question whether it may send another (Fetch §3.2.2).
fn is_preflight<A>(request: &Request<A>) -> bool {
    request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ORIGIN)
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// Answers preflights, and says of other answers which pages may read them. By default it does nothing
/// but where a request's [`RoutePolicy`] says so.
#[derive(Clone, Debug, Default)]
pub struct CorsLayer(Option<Cors>);

impl CorsLayer {
    /// By these rules, where a request's [`RoutePolicy`] has no others.
    pub const fn new(cors: Cors) -> Self {
        Self(Some(cors))
    }
}

impl<S> Layer<S> for CorsLayer {
    type Service = CorsService<S>;

    fn layer(&self, inner: S) -> CorsService<S> {
        CorsService { inner, layer: self.clone() }
    }
}

/// The service of [`CorsLayer`].
#[derive(Clone, Debug)]
pub struct CorsService<S> {
    inner: S,
    layer: CorsLayer,
}

impl<S, A, B> Service<Request<A>> for CorsService<S>
where
    S: Service<Request<A>, Response = Response<B>>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Amended<Answer<S::Future>, MayRead>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<A>) -> Self::Future {
        let here = RoutePolicy::of(request.extensions()).and_then(|policy| policy.cors.as_ref());
        let Some(cors) = here.or(self.layer.0.as_ref()) else {
            return Amended::new(Answer::of(self.inner.call(request)), None);
        };
        if is_preflight(&request) {
            return Amended::new(Answer::ready(cors.preflight(request.headers())), None);
        }
        let origin = cors.grant(request.headers().get(header::ORIGIN));
        let may_read = MayRead { cors: cors.clone(), origin };
        request.extensions_mut().insert(Decided);
        Amended::new(Answer::of(self.inner.call(request)), Some(may_read))
    }
}

/// What is said of an answer.
#[derive(Clone, Debug)]
pub struct MayRead {
    cors: Cors,
    origin: Option<HeaderValue>,
}

impl Amend for MayRead {
    fn amend(self, headers: &mut HeaderMap) {
        const OF_OTHERS: [HeaderName; 2] =
            [header::ACCESS_CONTROL_ALLOW_ORIGIN, header::ACCESS_CONTROL_ALLOW_CREDENTIALS];
        for name in OF_OTHERS {
            headers.remove(name);
        }
        if self.cors.varies() {
            let mut said = headers.get_all(header::VARY).iter();
            if !said.any(|line| line.as_bytes().eq_ignore_ascii_case(ORIGIN.as_bytes())) {
                headers.append(header::VARY, ORIGIN);
            }
        } else {
            same_for_all_pages(headers);
        }
        let Some(origin) = self.origin else { return };
        self.cors.may_read(origin, headers);
        if let Some(expose) = &self.cors.0.expose {
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, expose.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use proptest::prelude::*;

    use super::*;

    fn takes(known: &str, origin: &[u8]) -> bool {
        Known::read(known).takes(origin)
    }

    #[test]
    fn an_origin_is_one_that_is_named_or_below_it() {
        let known = ["https://video.example", "https://*.tv.example:8443"];
        for (origin, let_in) in [
            ("https://video.example", true),
            ("https://a.tv.example:8443", true),
            ("https://a.b.tv.example:8443", true),
            ("https://tv.example:8443", false),
            ("https://.tv.example:8443", false),
            ("https://a..tv.example:8443", false),
            ("https://.a.tv.example:8443", false),
            ("https://a.tv.example", false),
            ("http://a.tv.example:8443", false),
            ("https://evil.example/.tv.example:8443", false),
            ("https://evil.example:1.tv.example:8443", false),
            ("https://video.example.evil.example", false),
            ("http://video.example", false),
            ("https://video.example:8443", false),
            ("null", false),
            ("", false),
        ] {
            assert_eq!(known.iter().any(|one| takes(one, origin.as_bytes())), let_in, "{origin}");
        }
    }

    #[test]
    fn any_origin_never_gets_credentials() {
        assert_eq!(Cors::any().credentials(true), Cors::any());
        let none: [&str; 0] = [];
        let nobody = Cors::of(none);
        assert_eq!(nobody.grant(Some(&HeaderValue::from_static("null"))), None);
    }

    #[test]
    fn a_pattern_that_is_none_takes_nothing_more() {
        for (known, origin) in [
            ("null", "null"),
            ("https://*", "https://video.example"),
            ("https://*.", "https://video.example"),
            ("https://*.", "https://video.example."),
            ("https://*video.example", "https://a.video.example"),
            ("https://*video.example", "https://thiefvideo.example"),
            ("https://a.*.example", "https://a.video.example"),
            ("*", "https://video.example"),
        ] {
            assert!(!takes(known, origin.as_bytes()), "{known} {origin}");
        }
    }

    /// One of these, the first as often as all others together.
    fn mostly(
        first: &'static str,
        others: &'static [&'static str],
    ) -> impl Strategy<Value = &'static str> {
        prop_oneof![Just(first), proptest::sample::select(others)]
    }

    proptest! {
        /// Put together of pieces, an origin is below a name exactly where each is what the pattern wants.
        #[test]
        fn an_origin_is_below_a_name_where_scheme_port_and_the_rest_of_its_host_are_the_same(
            scheme in mostly("https", &["http", "HTTPS", "ftp", "", "xhttps"]),
            user in mostly("", &["a@", "a:b@", "a.video.example@", ":@", "%40"]),
            labels in proptest::collection::vec("[a-zA-Z0-9_-]{1,5}", 0..4),
            odd in mostly("", &["*.", ".", "a/b.", "a?b.", "a#b.", "a:1.", "a\\b.", "a b.", "[::1].", "\u{e9}."]),
            host in mostly("video.example", &["video.example.", "thiefvideo.example", "thief.example", "video.exampl", "Video.example", ""]),
            port in mostly("", &[":8443", ":443", ":0", ":"]),
            rest in mostly("", &["/", "/a.video.example", "?a", "#a", "@thief.example", ".thief.example", " "]),
            own_port in mostly("", &[":8443"]),
        ) {
            let known = format!("https://*.video.example{own_port}");
            let before: String = labels.iter().flat_map(|label| [label.as_str(), "."]).collect();
            let origin = format!("{scheme}://{user}{before}{odd}{host}{port}{rest}");
            let wanted = (scheme, user, odd, host, port, rest);
            let is_below = !labels.is_empty()
                && wanted == ("https", "", "", "video.example", own_port, "");
            prop_assert_eq!(takes(&known, origin.as_bytes()), is_below, "{}", origin);
        }

        /// Whatever the bytes, an origin that a pattern takes reads as one, and is below the pattern's host.
        #[test]
        fn an_origin_below_a_name_is_that_and_no_more(
            origin in "(https?://|)?([a-z.:@/#?_-]{0,4}|tv.example|:8443|https://){0,6}"
        ) {
            let known = "https://*.tv.example:8443";
            if takes(known, origin.as_bytes()) {
                let uri: http::Uri = origin.parse().unwrap();
                prop_assert_eq!(uri.scheme_str(), Some("https"));
                prop_assert_eq!(uri.port_u16(), Some(8443));
                prop_assert!(uri.host().unwrap().ends_with(".tv.example"), "{}", origin);
                prop_assert_eq!(uri.path_and_query().map_or("/", |path| path.as_str()), "/");
            }
        }

        /// An origin that is named is taken to the letter, and `null` by nothing.
        #[test]
        fn an_origin_that_is_named_is_taken_to_the_letter(
            known in "https?://(\\*\\.)?[a-z]{1,3}(\\.[a-z]{1,3}){0,2}(:[1-9]{1,3})?",
            origin in "https?://[a-z]{1,3}(\\.[a-z]{1,3}){0,2}(:[1-9]{1,3})?",
        ) {
            prop_assert!(!takes(&known, b"null"));
            let is_named = known == origin;
            let is_below = known.contains('*') && takes(&known, origin.as_bytes());
            prop_assert_eq!(takes(&known, origin.as_bytes()), is_named || is_below);
            prop_assert_eq!(takes(&known, known.as_bytes()), !known.contains('*'));
        }
    }
}
