//! One way to say each thing: ambiguous requests are refused, equal ones are made the same.
//!
//! What two programs in a row could read differently is where caches are poisoned and rules are
//! slipped past. So this layer refuses, with a problem document:
//!
//! - 400 for a path with dot segments, plain or encoded (`/a/../b`, `/a/%2e%2e/b`), a backslash or a
//!   control character, plain or encoded, a `%` without two hexadecimal digits, a byte outside
//!   ASCII, or two slashes at its start;
//! - 400 without exactly one host, with one that holds what no host can or a port that is none, or
//!   with two that differ (RFC 9112 §3.2, RFC 9113 §8.3.1);
//! - 400 for a query with a byte that must be escaped, or for a scheme that is not HTTP's;
//! - 421 for a host that is not one of [`NormaliseLayer::hosts`], where those are named (RFC 9110
//!   §15.5.20): else whoever makes up hosts makes a cache hold each object as often;
//! - 414 for a path with query that is longer than [`NormaliseLayer::max_target`].
//!
//! And it makes the same what RFC 3986 §6.2.2 says is equal: in the path, an encoded letter, digit,
//! `-`, `.`, `_` or `~` is decoded, and other escapes are written in upper case. An encoded slash
//! stays encoded. The query is left as it is: signatures are made over its bytes. A host whose name
//! ends in the dot of the root (`video.example.`, RFC 1034 §3.1) is named without it.
//!
//! Of the fields by which a stranger could choose what a cache does, it makes less:
//!
//! - `Cache-Control` and `Pragma` of a request are taken off. With them anybody could have each
//!   cache on the way ask its origin again; a public edge ignores them, as RFC 9111 §5.2.1 allows
//!   ("a cache MAY ignore"), for itself and for what is behind it.
//!   [`NormaliseLayer::keep_cache_control`] leaves them.
//! - `Accept-Encoding` becomes `gzip` or `identity` ([`headwater_net::encoding`]): two variants at
//!   most of each object, or more where [`NormaliseLayer::codings`] says so.
//!   [`NormaliseLayer::keep_accept_encoding`] leaves it.
//! - Fields that no key knows of and origins heed all the same (`X-Forwarded-Host`,
//!   `X-Original-URL`, `X-HTTP-Method-Override` and their like) are taken off: by them one client
//!   would choose what the next one gets. So are CMCD's, which tell of one client, and `Headwater-…`,
//!   by which shields and edges know each other. [`NormaliseLayer::keep_unkeyed`] leaves them.
//! - `Origin` is taken off GET and HEAD where a [`CorsLayer`](crate::CorsLayer) further out has decided who
//!   may read; WebSockets keep it.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use headwater_cache::BoxError;
use headwater_net::client::is_websocket;
use headwater_net::encoding::{self, Coding};
use headwater_net::{Body, Problem};
use http::uri::Scheme;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, header};
use http_body::Body as HttpBody;
use tower_layer::Layer;
use tower_service::Service;

use crate::answer::Answer;
use crate::cors::Decided;
use crate::refusals::RefusedBy;
use crate::unkeyed;
use host::Host;
use path::{Path, check_path};

pub(crate) use path::divided_otherwise;
pub use path::{DotSegments, checked, other_reading, rewritten};

mod host;
mod path;

/// Refuses ambiguous requests and makes equal ones the same.
#[derive(Clone, Debug)]
pub struct NormaliseLayer {
    max_target: usize,
    host_required: bool,
    /// In lower case; `None` for any.
    hosts: Option<Arc<[Box<str>]>>,
    keep_cache_control: bool,
    keep_accept_encoding: bool,
    codings: &'static [Coding],
    keep_unkeyed: bool,
    keep_origin: bool,
}

impl Default for NormaliseLayer {
    fn default() -> Self {
        Self {
            max_target: 8192,
            host_required: true,
            hosts: None,
            keep_cache_control: false,
            keep_accept_encoding: false,
            codings: &[Coding::Gzip],
            keep_unkeyed: false,
            keep_origin: false,
        }
    }
}

impl NormaliseLayer {
    /// The defaults: targets up to 8 KiB, and a host is required, whichever it is.
    pub fn new() -> Self {
        Self::default()
    }

    /// The longest path with query; a longer one is answered 414. Unit: bytes. Default 8,192. Bound:
    /// none. Danger: a key of the cache is as long, and is kept as long as its object.
    #[must_use]
    pub const fn max_target(mut self, bytes: usize) -> Self {
        self.max_target = bytes;
        self
    }

    /// Whether a request must name a host; it must by default. Requests made within a process may
    /// have none.
    #[must_use]
    pub const fn host_required(mut self, required: bool) -> Self {
        self.host_required = required;
        self
    }

    /// The hosts that are served, each as clients name it: with its port where that is not the
    /// scheme's own (`video.example`, `video.example:8443`). Requests for others are answered 421.
    /// By default every host is served; an edge that strangers reach should name its own.
    #[must_use]
    pub fn hosts<H: AsRef<str>>(mut self, hosts: impl IntoIterator<Item = H>) -> Self {
        let hosts = hosts.into_iter().map(|host| host.as_ref().to_ascii_lowercase().into());
        self.hosts = Some(hosts.collect());
        self
    }

    /// Whether `Cache-Control` and `Pragma` of requests go further; by default they do not.
    #[must_use]
    pub const fn keep_cache_control(mut self, keep: bool) -> Self {
        self.keep_cache_control = keep;
        self
    }

    /// Whether `Accept-Encoding` goes further as the client said it; by default as `gzip` or
    /// `identity`.
    #[must_use]
    pub const fn keep_accept_encoding(mut self, keep: bool) -> Self {
        self.keep_accept_encoding = keep;
        self
    }

    /// The codings of which a request may ask for one, the best first; by default gzip alone.
    #[must_use]
    pub const fn codings(mut self, codings: &'static [Coding]) -> Self {
        self.codings = codings;
        self
    }

    /// Whether fields that no key knows of reach the origin; by default they do not. For an origin
    /// that names in `Vary` each one it heeds. Danger: before a shield that has peers, a stranger may
    /// speak as one of them.
    #[must_use]
    pub const fn keep_unkeyed(mut self, keep: bool) -> Self {
        self.keep_unkeyed = keep;
        self
    }

    /// For what needs to know which page asks, whoever decided: WebSockets.
    pub(crate) const fn keep_origin(mut self) -> Self {
        self.keep_origin = true;
        self
    }

    /// Whether nobody further in needs to know which page asks.
    fn drops_origin<A>(&self, request: &Request<A>, parts: Parts) -> bool {
        !self.keep_origin
            && request.extensions().get::<Decided>().is_some()
            && matches!(*request.method(), Method::GET | Method::HEAD)
            // In an edge those do not come here.
            && (parts == Parts::Fields || !is_websocket(request))
    }

    fn strip(&self, headers: &mut HeaderMap) {
        // One pass over the names that there are costs less than to look for those that are not.
        let (mut directives, mut unkeyed) = (false, false);
        for name in headers.keys() {
            match name.as_str() {
                "cache-control" | "pragma" => directives = true,
                name => unkeyed |= unkeyed::is_unkeyed(name),
            }
        }
        if directives && !self.keep_cache_control {
            headers.remove(header::CACHE_CONTROL);
            headers.remove(header::PRAGMA);
        }
        if !self.keep_accept_encoding {
            encoding::simplify_to(self.codings, headers);
        }
        if unkeyed && !self.keep_unkeyed {
            unkeyed::strip(headers);
        }
    }

    fn check(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<Checked, Problem> {
        let bad = |why: &'static str| Problem::new(StatusCode::BAD_REQUEST).detail(why);
        let host = Host::of(uri, headers).map_err(bad)?;
        if host.is_none() && self.host_required {
            return Err(bad("there is no host"));
        }
        if !host.is_none_or(|host| self.serves(host)) {
            let problem = Problem::new(StatusCode::MISDIRECTED_REQUEST);
            return Err(problem.detail("this host is not served here"));
        }
        let length = uri.path_and_query().map_or(0, |target| target.as_str().len());
        if length > self.max_target {
            return Err(Problem::new(StatusCode::URI_TOO_LONG).detail("the target is too long"));
        }
        // To the end, whatever is found: a compiler makes several bytes at once of that, and it is long.
        let odd =
            |query: &str| query.bytes().fold(false, |odd, byte| odd | !byte.is_ascii_graphic());
        if uri.query().is_some_and(odd) {
            return Err(bad("the query has a byte that must be escaped"));
        }
        if !uri.scheme().is_none_or(|one| *one == Scheme::HTTPS || *one == Scheme::HTTP) {
            return Err(bad("the scheme is not served here"));
        }
        let is_rooted = host.is_some_and(|host| host.is_rooted);
        // The server as a whole (RFC 9110 §9.3.7).
        if method == Method::OPTIONS && uri.path() == "*" {
            return Ok(Checked { uri: None, is_rooted });
        }
        let uri = match check_path(uri.path()).map_err(bad)? {
            Path::Normal => None,
            Path::Other => Some(rewritten(uri).ok_or_else(|| bad("the path cannot be read"))?),
        };
        Ok(Checked { uri, is_rooted })
    }

    fn serves(&self, host: Host<'_>) -> bool {
        self.hosts.as_ref().is_none_or(|hosts| hosts.iter().any(|known| host.is(known)))
    }
}

/// What is to be changed of a request that passes.
#[derive(Debug, PartialEq, Eq)]
struct Checked {
    uri: Option<Uri>,
    /// Whether its host is to lose the dot of the root.
    is_rooted: bool,
}

/// Rare, so that it may take its time.
#[cold]
fn unroot<A>(request: &mut Request<A>) {
    let (mut uri, mut headers) = (request.uri().clone(), std::mem::take(request.headers_mut()));
    let done = host::unroot(&mut uri, &mut headers);
    debug_assert!(done.is_some(), "a host that was read before");
    *request.headers_mut() = headers;
    *request.uri_mut() = uri;
}

impl<S> Layer<S> for NormaliseLayer {
    type Service = Normalise<S>;

    fn layer(&self, inner: S) -> Normalise<S> {
        Normalise { inner, rules: self.clone(), parts: Parts::Both }
    }
}

impl NormaliseLayer {
    /// What is said of targets and hosts, alone: for the outermost layers, so that those within see
    /// paths in one form.
    pub(crate) fn targets<S>(&self, inner: S) -> Normalise<S> {
        Normalise { inner, rules: self.clone(), parts: Parts::Targets }
    }

    /// What is taken off a request whose target was looked at: for the innermost layers, behind those
    /// that look at these fields.
    pub(crate) fn fields<S>(&self, inner: S) -> Normalise<S> {
        Normalise { inner, rules: self.clone(), parts: Parts::Fields }
    }
}

/// What a service does of what its layer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Parts {
    Both,
    Targets,
    Fields,
}

/// The service of [`NormaliseLayer`].
#[derive(Clone, Debug)]
pub struct Normalise<S> {
    inner: S,
    rules: NormaliseLayer,
    parts: Parts,
}

impl<S, A, B> Service<Request<A>> for Normalise<S>
where
    S: Service<Request<A>, Response = Response<B>>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Answer<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<A>) -> Answer<S::Future> {
        if self.parts != Parts::Fields {
            match self.rules.check(request.method(), request.uri(), request.headers()) {
                Ok(Checked { uri, is_rooted }) => {
                    if let Some(uri) = uri {
                        *request.uri_mut() = uri;
                    }
                    if is_rooted {
                        unroot(&mut request);
                    }
                }
                Err(problem) => {
                    // Of what is refused here, hosts that are not served alone are misdirected.
                    let by = match problem.status() {
                        StatusCode::MISDIRECTED_REQUEST => RefusedBy::Host,
                        _ => RefusedBy::Target,
                    };
                    return Answer::refused(by, problem.into_response());
                }
            }
        }
        if self.parts == Parts::Targets {
            return Answer::of(self.inner.call(request));
        }
        // This server is the one that is asked of, and none behind it.
        if request.method() == Method::OPTIONS && request.uri().path() == "*" {
            let mut response = Response::new(Body::Empty);
            *response.status_mut() = StatusCode::NO_CONTENT;
            return Answer::ready(response);
        }
        if self.rules.drops_origin(&request, self.parts) {
            request.headers_mut().remove(header::ORIGIN);
        }
        self.rules.strip(request.headers_mut());
        Answer::of(self.inner.call(request))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;
    use proptest::prelude::*;

    fn check(uri: &str, hosts: &[&str]) -> Result<Option<Uri>, StatusCode> {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(header::HOST, host.parse().unwrap());
        }
        let layer = NormaliseLayer::new().max_target(100);
        let checked = layer.check(&Method::GET, &uri.parse().unwrap(), &headers);
        checked.map(|checked| checked.uri).map_err(|p| p.status())
    }

    /// Limit: `NormaliseLayer::max_target`.
    #[test]
    fn ambiguous_paths_are_refused() {
        for path in [
            "/a/../b",
            "/a/./b",
            "/..",
            "/a/.",
            "/%2e%2E/b",
            "/a/.%2e",
            "/a%00b",
            "/a%0d%0a",
            "/a%7f",
            "/a\\b",
            "/a%5Cb",
            "/a%5cb",
            "/a%",
            "/a%2",
            "/a%zz",
            "//evil/x",
        ] {
            assert_eq!(check(path, &["h"]), Err(StatusCode::BAD_REQUEST), "{path}");
        }
        let long = format!("/{}", "a".repeat(100));
        assert_eq!(check(&long, &["h"]), Err(StatusCode::URI_TOO_LONG));
    }

    #[test]
    fn plain_paths_pass_untouched() {
        for path in [
            "/",
            "/a/b.m4s",
            "/.well-known/x",
            "/a...b/..c",
            "/a/...",
            "/a//b",
            "/a%20b?q=%2e%2e/../x",
        ] {
            assert_eq!(check(path, &["h"]), Ok(None), "{path}");
        }
    }

    /// RFC 3986 §6.2.2: equal targets become one; an encoded slash stays what it is.
    #[test]
    fn equal_targets_become_one() {
        for (given, normal) in [("/%41%7eb%2fc?x=%41", "/A~b%2Fc?x=%41"), ("/a%c3%a9", "/a%C3%A9")]
        {
            assert_eq!(check(given, &["h"]).unwrap().unwrap(), normal);
            assert_eq!(check(normal, &["h"]), Ok(None));
        }
    }

    #[test]
    fn a_request_names_one_host() {
        assert_eq!(check("/", &["video.example:8443"]), Ok(None));
        assert_eq!(check("/", &["[::1]:8443"]), Ok(None));
        assert_eq!(check("http://h/x", &["H"]), Ok(None));
        for (uri, hosts) in [
            ("/", &[][..]),
            ("/", &["a", "b"]),
            ("/", &[""]),
            ("/", &["a/b"]),
            ("/", &["a@b"]),
            ("/", &["a b"]),
            ("/", &["a:b"]),
            ("/", &["a:1:2"]),
            ("/", &["a.."]),
            ("http://a./x", &["a"]),
            ("/", &["[::1"]),
            ("/", &["[::1]x"]),
            ("ftp://h/x", &["h"]),
            ("/?\u{e9}", &["h"]),
            ("http://a/x", &["b"]),
        ] {
            assert_eq!(check(uri, hosts), Err(StatusCode::BAD_REQUEST), "{uri} {hosts:?}");
        }
    }

    proptest! {
        /// What passes has no segment that means `.` or `..`, and passes again unchanged.
        #[test]
        fn normalising_twice_changes_nothing(path in "/([a./%2eE5cC]|%2e|%2E|%41){0,12}") {
            if let Ok(uri) = path.parse::<Uri>()
                && let Ok(outcome) = check(&path, &["h"])
            {
                let normal = outcome.unwrap_or(uri);
                prop_assert_eq!(check(normal.path(), &["h"]), Ok(None));
                prop_assert!(normal.path().split('/').all(|s| s != "." && s != ".."));
            }
        }
    }
}
