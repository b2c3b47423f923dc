//! An object store as an origin: S3, Google Cloud Storage, Azure, or whatever else speaks
//! [`object_store`], which signs what it asks and renews its credentials by itself.
//!
//! `GET` and `HEAD` of an object, whole or by one range, under its own entity tag; conditions are put to
//! the store where it knows them (`If-None-Match`, `If-Match`), and judged here where it does not. An
//! object is named by the path alone, its escapes undone once; queries say nothing, and lists there are
//! none: what is no object is 404. What a store forbids is 403, as it says it; credentials that are
//! refused are a failure of the origin and no answer, as is everything else.
//!
//! Bodies stream as the store sends them, and what breaks off is an error
//! ([`BodyError`]), which [`Origins`](crate::upstream::Origins) resumes. Answers are held to the same
//! [`Bounds`] as those of any upstream. A store that is opened here ([`StoreOrigin::open`]) is asked by a
//! client that follows no redirect: where it is, and who gives credentials for it, only the settings say.

#[cfg(any(feature = "aws", feature = "azure", feature = "gcp"))]
mod connect;
mod open;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::TryStreamExt as _;
use headwater_net::client::{Bounds, UpstreamError};
use headwater_net::conditional::{ETag, Validators, evaluate};
use headwater_net::range::{self, RangeSpec};
use headwater_net::{Body, BodyError, Problem, Timestamp};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::StreamBody;
use object_store::path::Path;
use object_store::{Attribute, GetOptions, GetRange, GetResult, ObjectStore};
use tokio::time::Instant;
use tower_service::Service;

pub use open::{Connections, OpenError};

/// See the module. Clones are of the same store.
#[derive(Clone)]
pub struct StoreOrigin {
    store: Arc<dyn ObjectStore>,
    /// What stands before each path.
    prefix: Path,
    bounds: Bounds,
}

/// Why a store gave no answer. Its own words are not repeated: they may hold names and keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// It does not take our credentials.
    #[error("the store does not take the credentials")]
    Unauthenticated,
    /// It failed.
    #[error("the store failed")]
    Failed,
    /// Its answer did not begin before it had to be whole ([`Bounds::whole_timeout`]).
    #[error("the store did not answer in time")]
    TimedOut,
    /// The object, or the part of it, is larger than is taken ([`Bounds::max_body`]).
    #[error("the store's answer is larger than {limit} bytes")]
    TooLarge {
        /// Bytes allowed.
        limit: u64,
    },
}

impl StoreOrigin {
    /// The objects of a store.
    pub fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self { store, prefix: Path::default(), bounds: Bounds::default() }
    }

    /// Those below a path alone, which requests do not name.
    #[must_use]
    pub fn below(mut self, prefix: Path) -> Self {
        self.prefix = prefix;
        self
    }

    /// What its answers are held to; by default they may be silent for 30 s, and nothing else bounds them.
    #[must_use]
    pub fn bounds(mut self, bounds: Bounds) -> Self {
        self.bounds = bounds;
        self
    }

    /// The object that a request is for.
    fn path(&self, path: &str) -> Option<Path> {
        let path =
            path.strip_prefix('/').filter(|path| !path.is_empty() && !path.ends_with('/'))?;
        let asked = Path::from_url_path(path).ok()?;
        Some(self.prefix.parts().chain(asked.parts()).collect())
    }

    async fn answer(self, request: Request<Body>) -> Result<Response<Body>, StoreError> {
        let Some(until) = self.bounds.until() else { return self.whole_by(request, None).await };
        let answered = tokio::time::timeout_at(until, self.whole_by(request, Some(until)));
        answered.await.map_err(|_| StoreError::TimedOut)?
    }

    /// The answer, which must have come whole at `until`.
    async fn whole_by(
        &self,
        request: Request<Body>,
        until: Option<Instant>,
    ) -> Result<Response<Body>, StoreError> {
        let (head, _) = request.into_parts();
        if !matches!(head.method, Method::GET | Method::HEAD) {
            let mut answer = Problem::new(StatusCode::METHOD_NOT_ALLOWED).into_response();
            let allowed = HeaderValue::from_static("GET, HEAD");
            answer.headers_mut().insert(header::ALLOW, allowed);
            return Ok(answer);
        }
        let Some(path) = self.path(head.uri.path()) else { return Ok(not_found()) };
        let is_head = head.method == Method::HEAD;
        let asked = range_of(&head.headers).filter(|_| !is_head);
        let mut options = GetOptions { head: is_head, ..GetOptions::default() };
        options.if_none_match = text(&head.headers, &header::IF_NONE_MATCH);
        options.if_match = text(&head.headers, &header::IF_MATCH);
        let mut got = match asked {
            None => self.store.get_opts(&path, options.clone()).await,
            Some(part) => self.part(&path, &options, part, &head.headers).await,
        };
        if asked.is_some() && matches!(&got, Err(error) if is_other(error)) {
            // A range beyond its end is no error of the store's, but stores do not tell them apart.
            let whole = GetOptions { head: true, ..options.clone() };
            match self.store.get_opts(&path, whole).await {
                Ok(whole) => match asked.and_then(|part| part.resolve(whole.meta.size)) {
                    None => return Ok(unsatisfiable(whole.meta.size)),
                    // Azure knows no last bytes, but those that are counted from the first.
                    Some(part) if is_unknown(&got) => {
                        let last = part.end.saturating_sub(1);
                        let part = RangeSpec::FromTo(part.start, last);
                        got = self.part(&path, &options, part, &head.headers).await;
                    }
                    Some(_) => {}
                },
                error => got = error,
            }
        }
        match got {
            Ok(got) => {
                let answer = response(got, &head.method, &head.headers, asked.is_some());
                self.bounds.hold(answer, is_head, until).map_err(|error| match error {
                    UpstreamError::TooLarge { limit } => StoreError::TooLarge { limit },
                    _ => StoreError::Failed,
                })
            }
            Err(error) => refused(&error, &head.headers),
        }
    }

    /// A part, or the whole where `If-Range` is of another state (RFC 9110 §13.1.5).
    async fn part(
        &self,
        path: &Path,
        options: &GetOptions,
        part: RangeSpec,
        headers: &HeaderMap,
    ) -> object_store::Result<GetResult> {
        let mut options = GetOptions { range: Some(get_range(part)), ..options.clone() };
        let Some(held) = text(headers, &header::IF_RANGE) else {
            return self.store.get_opts(path, options).await;
        };
        // A date may be that of several states.
        let is_strong = ETag::parse(&held).is_some_and(|tag| !tag.is_weak());
        if is_strong && options.if_match.is_none() {
            options.if_match = Some(held);
            match self.store.get_opts(path, options.clone()).await {
                Err(object_store::Error::Precondition { .. }) => options.if_match = None,
                answer => return answer,
            }
        }
        options.range = None;
        self.store.get_opts(path, options).await
    }
}

/// The one range that is asked for; several are answered whole (RFC 9110 §14.2).
fn range_of(headers: &HeaderMap) -> Option<RangeSpec> {
    match headers.get(header::RANGE).and_then(range::parse).as_deref() {
        Some([one]) => Some(*one),
        _ => None,
    }
}

fn text(headers: &HeaderMap, name: &header::HeaderName) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(ToOwned::to_owned)
}

const fn get_range(part: RangeSpec) -> GetRange {
    match part {
        RangeSpec::FromTo(first, last) => GetRange::Bounded(first..last.saturating_add(1)),
        RangeSpec::From(first) => GetRange::Offset(first),
        RangeSpec::Suffix(bytes) => GetRange::Suffix(bytes),
    }
}

/// What the store said, as a response.
fn response(got: GetResult, method: &Method, asked: &HeaderMap, is_part: bool) -> Response<Body> {
    let mut answer = Response::new(Body::Empty);
    let size = got.meta.size;
    let part = got.range.clone();
    let modified = u64::try_from(got.meta.last_modified.timestamp()).unwrap_or_default();
    let modified = HeaderValue::try_from(Timestamp::from_secs(modified).to_http_date());
    let fields = answer.headers_mut();
    let mut put = |name, value: Option<HeaderValue>| {
        if let Some(value) = value {
            fields.insert(name, value);
        }
    };
    put(header::LAST_MODIFIED, modified.ok());
    // A store that speaks no HTTP may tell something else.
    let tag = got.meta.e_tag.as_deref().filter(|tag| ETag::parse(tag).is_some());
    put(header::ETAG, tag.and_then(|tag| HeaderValue::try_from(tag).ok()));
    put(header::ACCEPT_RANGES, Some(HeaderValue::from_static("bytes")));
    for (attribute, name) in [
        (Attribute::CacheControl, header::CACHE_CONTROL),
        (Attribute::ContentDisposition, header::CONTENT_DISPOSITION),
        (Attribute::ContentEncoding, header::CONTENT_ENCODING),
        (Attribute::ContentLanguage, header::CONTENT_LANGUAGE),
        (Attribute::ContentType, header::CONTENT_TYPE),
    ] {
        let value = got.attributes.get(&attribute).map(|value| HeaderValue::try_from(&**value));
        put(name, value.and_then(Result::ok));
    }
    let is_part = is_part && part != (0..size);
    let outcome = evaluate(method, asked, Validators::of(fields));
    if let Some(status) = outcome.status() {
        *answer.status_mut() = status;
        return answer;
    }
    if is_part {
        *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
        let fields = answer.headers_mut();
        fields.insert(header::CONTENT_RANGE, range::content_range(&part, Some(size)));
    }
    let length = if method == Method::HEAD { size } else { part.end.saturating_sub(part.start) };
    answer.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    if method == Method::GET {
        let pieces = got.into_stream().map_ok(Frame::data);
        let pieces = pieces.map_err(|_| BodyError::source(StoreError::Failed));
        *answer.body_mut() = Body::stream(StreamBody::new(pieces)).metered(Some(length));
    }
    answer
}

fn not_found() -> Response<Body> {
    Problem::new(StatusCode::NOT_FOUND).into_response()
}

fn unsatisfiable(size: u64) -> Response<Body> {
    let mut answer = Problem::new(StatusCode::RANGE_NOT_SATISFIABLE).into_response();
    answer.headers_mut().insert(header::CONTENT_RANGE, range::unsatisfied_range(size));
    answer
}

/// Whether a store says that it has no such requests.
const fn is_unknown(got: &object_store::Result<GetResult>) -> bool {
    matches!(got, Err(object_store::Error::NotSupported { .. }))
}

/// Whether an error may be one of the range.
const fn is_other(error: &object_store::Error) -> bool {
    use object_store::Error;
    !matches!(
        error,
        Error::NotFound { .. }
            | Error::InvalidPath { .. }
            | Error::Precondition { .. }
            | Error::NotModified { .. }
            | Error::PermissionDenied { .. }
            | Error::Unauthenticated { .. }
    )
}

/// What a store's refusal comes to.
fn refused(error: &object_store::Error, asked: &HeaderMap) -> Result<Response<Body>, StoreError> {
    use object_store::Error;
    match error {
        Error::NotFound { .. } | Error::InvalidPath { .. } => Ok(not_found()),
        Error::PermissionDenied { .. } => Ok(Problem::new(StatusCode::FORBIDDEN).into_response()),
        Error::Precondition { .. } => {
            Ok(Problem::new(StatusCode::PRECONDITION_FAILED).into_response())
        }
        Error::NotModified { .. } => {
            let mut answer = Response::new(Body::Empty);
            *answer.status_mut() = StatusCode::NOT_MODIFIED;
            // The store does not say which of several it was.
            let only = asked.get(header::IF_NONE_MATCH).filter(|tags| {
                tags.to_str().ok().and_then(ETag::parse).is_some_and(|tag| !tag.is_weak())
            });
            if let Some(tag) = only {
                answer.headers_mut().insert(header::ETAG, tag.clone());
            }
            Ok(answer)
        }
        Error::Unauthenticated { .. } => Err(StoreError::Unauthenticated),
        _ => Err(StoreError::Failed),
    }
}

impl Service<Request<Body>> for StoreOrigin {
    type Response = Response<Body>;
    type Error = StoreError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, StoreError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), StoreError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.clone().answer(request))
    }
}

/// Neither the store, which may hold credentials, nor what is in it.
impl std::fmt::Debug for StoreOrigin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreOrigin").finish_non_exhaustive()
    }
}
