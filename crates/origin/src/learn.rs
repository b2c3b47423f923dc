//! Learning from the manifests that pass: a layer between the cache and the origins. What it knows
//! to be at the live edge it tells the cache to keep for a shorter time ([`manners`]).
//!
//! A manifest is held back until it was read, up to the map's limit (`hold`): only then is it known
//! how long it may be kept. Its bytes are not changed. Short manifests are read where they pass, long
//! ones on another thread. Compressed ones (`gzip`) are unpacked for reading, within the same limit; how
//! long they are unpacked decides where they are read. Of a file whose segments its own index tells,
//! that is read in passing (`within`); an answer that begins with it is held back for it, so that the cache
//! knows the segments when it comes to cut the file ([`Joints`]).

mod hold;
mod within;

use std::future::Future;
use std::io::Read as _;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use headwater_cache::Joints;
use headwater_net::{Body, Clock};
use http::request::Parts;
use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode, Uri, header};
use pin_project_lite::pin_project;
use tokio::sync::Semaphore;
use tower_layer::Layer;
use tower_service::Service;

use crate::manners::{Manners, manners};
use crate::map::{Known, Learnt, Limits, Manifest, ManifestKind, MapError, SegmentMap, Url};
use crate::metrics::Metrics;
use crate::prefetch;
use crate::retention::Retention;
use crate::sense;
use crate::upstream::held::{Awaited, asks_to_hold};
use within::Heard;

/// Manifests up to this size, unpacked, are read where they pass; larger ones on a thread of their
/// own.
const READ_IN_PLACE: usize = 64 << 10;
/// Large manifests that may be read at one time; more are passed on unread.
const READ_AT_ONCE: usize = 4;
/// How long a large manifest is held back for being read.
const READING: Duration = Duration::from_millis(250);

/// Who is told when a map has learnt.
pub(crate) trait Listener: Send + Sync {
    /// `request` says how the manifest at `url` was asked for, as far as others may be asked for
    /// like it.
    fn learnt(&self, learnt: &Learnt, url: &Url, request: &Parts);
}

/// A segment map that several services share.
#[derive(Clone)]
pub struct SharedMap {
    map: Arc<Mutex<SegmentMap>>,
    reading: Arc<Semaphore>,
    limits: Arc<Limits>,
    metrics: Metrics,
    listener: Arc<OnceLock<Weak<dyn Listener>>>,
    retention: Arc<OnceLock<Retention>>,
}

impl std::fmt::Debug for SharedMap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedMap").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl SharedMap {
    /// An empty map with its counters.
    pub fn new(limits: Limits, metrics: Metrics) -> Self {
        Self {
            map: Arc::new(Mutex::new(SegmentMap::new(limits.clone()))),
            reading: Arc::new(Semaphore::new(READ_AT_ONCE)),
            limits: Arc::new(limits),
            metrics,
            listener: Arc::default(),
            retention: Arc::default(),
        }
    }

    /// Where it counts.
    pub(crate) const fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Has `listener` told of what is learnt from now on; there is one.
    pub(crate) fn tell(&self, listener: Weak<dyn Listener>) {
        let _ = self.listener.set(listener);
    }

    /// Has the cache told from now on what to keep; there is one that tells.
    pub(crate) fn retain(&self, retention: Retention) {
        let _ = self.retention.set(retention);
    }

    /// The map, locked: for the length of a look-up, never across an await.
    pub fn lock(&self) -> MutexGuard<'_, SegmentMap> {
        // A panic within the map would leave it usable: its parts are verified on use.
        self.map.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How a request for `url` has its origin wait, where that is known of a live rendition.
    fn awaited(&self, url: &Url, query: Option<&str>) -> Option<Awaited> {
        let map = self.lock();
        if let Some(target) = map.announced(url) {
            return Some(Awaited::of(target));
        }
        match map.manifest(url) {
            Known::Live(live) if asks_to_hold(query) => Some(Awaited::of(live.target)),
            _ => None,
        }
    }

    /// Where slices of the file at `url` had better end, for a cache that knows its requests by other URLs
    /// than clients do ([`Joints`]).
    pub fn joints_of(&self, url: &Uri, headers: &HeaderMap) -> Option<Vec<u64>> {
        self.lock().joints(&Url::of_request(url, headers)?)
    }

    /// Takes a lesson: at once when it is short, else on the blocking threads of the runtime.
    async fn take(&self, lesson: Lesson, bytes: Vec<Bytes>) {
        let len: usize = bytes.iter().map(Bytes::len).sum();
        if len <= READ_IN_PLACE {
            let limit = READ_IN_PLACE.min(self.limits.manifest_bytes);
            match lesson.unpacked(&bytes, limit) {
                // Small as it came, and large within: no work for a worker.
                Err(MapError::TooLarge) => {}
                unpacked => return self.learn(&lesson, unpacked),
            }
        }
        let permit = Arc::clone(&self.reading).try_acquire_owned();
        let (Ok(permit), Ok(runtime)) = (permit, tokio::runtime::Handle::try_current()) else {
            self.metrics.manifests_skipped.inc();
            return;
        };
        let map = self.clone();
        // It is bounded in time by the limits, in number by its permit. What it learnt is in the map;
        // if it takes its time, or there is no thread for it, the manifest goes on unread.
        let reading = runtime.spawn_blocking(move || {
            map.learn(&lesson, lesson.unpacked(&bytes, map.limits.manifest_bytes));
            drop(permit);
        });
        let _ = tokio::time::timeout(READING, reading).await;
    }

    fn learn(&self, lesson: &Lesson, unpacked: Result<Vec<u8>, MapError>) {
        let learnt = unpacked.and_then(|bytes| self.read(lesson, &bytes));
        self.tell_of(learnt, &lesson.url, lesson.like.as_ref());
    }

    /// Counts what came of a lesson, and has the listener told of it. The map is not locked.
    fn tell_of(&self, learnt: Result<Option<Learnt>, MapError>, url: &Url, like: Option<&Parts>) {
        match learnt {
            Ok(Some(learnt)) => {
                self.metrics.manifests_learnt.inc();
                self.gauge();
                let listener = self.listener.get().and_then(Weak::upgrade);
                if let (Some(listener), Some(like)) = (listener, like) {
                    listener.learnt(&learnt, url, like);
                }
                tracing::debug!(%url, ?learnt, "learnt from a manifest");
            }
            Ok(None) => {}
            Err(MapError::TooLarge) => drop(self.metrics.manifests_too_large.inc()),
            Err(error) => {
                self.metrics.manifests_malformed.inc();
                tracing::debug!(%url, %error, "ignored a manifest");
            }
        }
    }

    fn gauge(&self) {
        let map = self.lock();
        self.metrics.map_presentations.set(map.len() as i64);
        self.metrics.map_bytes.set(map.weight() as i64);
    }

    fn read(&self, lesson: &Lesson, bytes: &[u8]) -> Result<Option<Learnt>, MapError> {
        if self.lock().knows(&lesson.url, bytes) {
            return Ok(None);
        }
        let kind = lesson.content_type.as_deref();
        let outer = self.lock().variables(&lesson.url);
        let outer = outer.as_deref();
        let Some(manifest) = Manifest::read(&lesson.url, kind, bytes, &self.limits, outer)? else {
            return Ok(None);
        };
        Ok(Some(self.lock().absorb(manifest)))
    }
}

/// Slices of files that hold many segments end where segments do.
impl Joints for SharedMap {
    fn joints(&self, request: &Parts) -> Option<Vec<u64>> {
        let uri = request.extensions.get().map_or(&request.uri, |AskedAs(uri)| uri);
        self.joints_of(uri, &request.headers)
    }
}

/// What is known of a manifest besides its bytes.
struct Lesson {
    url: Url,
    /// How it was asked for; `None` where others are not to be asked for like it.
    like: Option<Parts>,
    content_type: Option<String>,
    content_encoding: Option<String>,
}

impl Lesson {
    /// The manifest as text, of `limit` bytes at most.
    fn unpacked(&self, bytes: &[Bytes], limit: usize) -> Result<Vec<u8>, MapError> {
        match self.content_encoding.as_deref().map(str::trim) {
            None | Some("" | "identity") => joined(bytes, limit),
            Some(name) if name.eq_ignore_ascii_case("gzip") => {
                gunzipped(&joined(bytes, limit)?, limit)
            }
            // An encoding nobody asked for.
            Some(_) => Err(MapError::Malformed),
        }
    }
}

fn joined(bytes: &[Bytes], limit: usize) -> Result<Vec<u8>, MapError> {
    let mut all = Vec::new();
    for chunk in bytes {
        if all.len() + chunk.len() > limit {
            return Err(MapError::TooLarge);
        }
        all.extend_from_slice(chunk);
    }
    Ok(all)
}

fn gunzipped(bytes: &[u8], limit: usize) -> Result<Vec<u8>, MapError> {
    let mut all = Vec::new();
    let most = limit as u64 + 1;
    let mut reader = flate2::bufread::MultiGzDecoder::new(bytes.reader()).take(most);
    reader.read_to_end(&mut all).map_err(|_| MapError::Malformed)?;
    if all.len() > limit { Err(MapError::TooLarge) } else { Ok(all) }
}

/// Lets a [`SharedMap`] learn from what passes.
#[derive(Clone, Debug)]
pub struct LearnLayer {
    map: SharedMap,
    clock: Clock,
}

impl LearnLayer {
    /// A layer that teaches `map`.
    pub fn new(map: SharedMap) -> Self {
        Self { map, clock: Clock::system() }
    }

    /// The clock by which lifetimes are told where an answer has no date of its own.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }
}

impl<S> Layer<S> for LearnLayer {
    type Service = Learn<S>;

    fn layer(&self, inner: S) -> Learn<S> {
        Learn { inner, map: self.map.clone(), clock: self.clock.clone() }
    }
}

/// An extension of a request whose target was rewritten on its way to the origin: what the client asked
/// for. Its manifest names segments as clients ask for them, and is learnt so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedAs(pub Uri);

/// The service of [`LearnLayer`].
#[derive(Clone, Debug)]
pub struct Learn<S> {
    inner: S,
    map: SharedMap,
    clock: Clock,
}

impl<S> Service<Request<Body>> for Learn<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = LearnFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> LearnFuture<S::Future> {
        let uri = request.extensions().get().map_or(request.uri(), |AskedAs(uri)| uri);
        let url = (request.method() == Method::GET)
            .then(|| Url::of_request(uri, request.headers()))
            .flatten();
        let awaited = url.as_ref().and_then(|url| self.map.awaited(url, uri.query()));
        if let Some(awaited) = awaited {
            request.extensions_mut().insert(awaited);
        }
        let asked = url.map(|url| {
            let like = prefetch::is_anyones(&request).then(|| prefetch::like(&request));
            let at = sense::first_byte(&request);
            Box::new(AskedFor { url, at, like, map: self.map.clone(), clock: self.clock.clone() })
        });
        LearnFuture { inner: self.inner.call(request), asked, held: None }
    }
}

pin_project! {
    /// The answer of [`Learn`].
    pub struct LearnFuture<F> {
        #[pin]
        inner: F,
        asked: Option<Box<AskedFor>>,
        held: Option<Held>,
    }
}

/// A manifest that is being read, or an index.
type Held = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;

impl<F> std::fmt::Debug for LearnFuture<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LearnFuture").finish_non_exhaustive()
    }
}

/// What was asked for, until its answer is there.
#[derive(Debug)]
struct AskedFor {
    url: Url,
    /// The first byte that was asked for, where a range was.
    at: Option<u64>,
    like: Option<Parts>,
    map: SharedMap,
    clock: Clock,
}

impl<F, E> Future for LearnFuture<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = Result<Response<Body>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if this.held.is_none() {
            let response = match std::task::ready!(this.inner.poll(cx)) {
                Ok(response) => response,
                Err(error) => return Poll::Ready(Err(error)),
            };
            let Some(asked) = this.asked.take() else { return Poll::Ready(Ok(response)) };
            *this.held = if !asked.is_manifest(&response) || response.status() != StatusCode::OK {
                match asked.pass(response) {
                    Heard::Passes(response) => return Poll::Ready(Ok(response)),
                    Heard::Holds(holding) => Some(Box::pin(holding.until_heard())),
                }
            } else {
                Some(Box::pin(asked.read(response)))
            };
        }
        match this.held {
            Some(held) => held.as_mut().poll(cx).map(Ok),
            None => Poll::Pending,
        }
    }
}

impl AskedFor {
    /// Whether an answer is a manifest by its type.
    fn is_manifest(&self, response: &Response<Body>) -> bool {
        let kind = text(response.headers(), &header::CONTENT_TYPE);
        ManifestKind::of(kind.as_deref(), self.url.path()).is_some()
    }

    /// What is no manifest goes on as it comes; an index within it is read in passing, and where it is at
    /// the front, before.
    fn pass(self, response: Response<Body>) -> Heard {
        let is_manifest = self.is_manifest(&response);
        let response = self.kept(self.shortened(response, is_manifest));
        within::listen(response, self.url, self.like, self.map)
    }

    /// A manifest goes on once it was read.
    async fn read(mut self: Box<Self>, response: Response<Body>) -> Response<Body> {
        let (head, body) = response.into_parts();
        let lesson = Lesson {
            // Every version of a playlist is one playlist.
            url: self.url.without_directives(),
            like: self.like.take(),
            content_type: text(&head.headers, &header::CONTENT_TYPE),
            content_encoding: text(&head.headers, &header::CONTENT_ENCODING),
        };
        let body = hold::hold(body, lesson, &self.map).await;
        self.kept(self.shortened(Response::from_parts(head, body), true))
    }

    /// Has the cache told by what it keeps what it has got, where somebody tells.
    fn kept(&self, mut response: Response<Body>) -> Response<Body> {
        if response.status().is_success()
            && let Some(retention) = self.map.retention.get()
            && let Some(keep) = retention.keep(&mut self.map.lock(), &self.url, self.at)
        {
            response.extensions_mut().insert(keep);
        }
        response
    }

    /// Has what is at the live edge kept for a shorter time.
    fn shortened(&self, mut response: Response<Body>, is_manifest: bool) -> Response<Body> {
        let now = self.clock.now();
        let manners = manners(&self.map.lock(), &self.url, response.status(), is_manifest, now);
        if manners != Manners::AsItIs {
            self.map.metrics.live_shortened.inc();
            if let Some(lifetime) = manners.apply(response.headers_mut(), now) {
                response.extensions_mut().insert(lifetime);
            }
        }
        response
    }
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}
