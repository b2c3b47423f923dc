//! Hints for the shield: which segments were answered from the edge's own cache, and what players
//! said they will do (CMCD), so that the shield fetches ahead for sessions of which it sees nothing.
//!
//! A request costs a look-up in a table of its worker, and nothing is formatted but what players name.
//! What is noted is media alone, and of it the URL as the shield knows it, a count, the throughput that
//! was measured, or where the player told none what the path to the client lets through at most
//! ([`ConnInfo::path`]), and the next objects that were named, where the client could ask this edge for them: of
//! clients, addresses, sessions and tokens nothing leaves the edge. Parameters that tell of who asks
//! ([`PERSONAL`]) are taken off before anything is noted.
//!
//! Several times a second a task of its own ([`HintSender`]) draws the tables of all workers together
//! and sends one message ([`headwater_proto::hints`]). It is best effort: what the shield does not
//! take in time is lost, what does not fit is dropped, and both are counted.

mod next;
mod sender;

use std::collections::hash_map::DefaultHasher;
use std::future::Future;
use std::hash::{Hash, Hasher};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use headwater_cache::PERSONAL;
use headwater_net::ConnInfo;
use headwater_net::query::parameters;
use headwater_net::range;
use headwater_proto::cmcd::Cmcd;
use headwater_proto::hints::{Batch, Hint, MAX_PATH, Seen};
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, header};
use pin_project_lite::pin_project;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use tower_layer::Layer;
use tower_service::Service;

use crate::cache_result::CacheResult;
use crate::cmcd::{self, Told};
use crate::kind::Kind;
use crate::normalise;

pub use sender::HintSender;

type Locate = dyn Fn(&Uri, &str) -> Option<(String, Uri)> + Send + Sync;
type Home = dyn Fn(&Uri) -> Option<String> + Send + Sync;

/// What is told to one shield. Clones share it.
#[derive(Clone)]
pub struct Hints {
    inner: Arc<Inner>,
}

struct Inner {
    /// Those of the workers, each of which holds its own.
    shards: Mutex<Vec<Weak<Shard>>>,
    locate: Box<Locate>,
    home: Option<Box<Home>>,
    interval: Duration,
    timeout: Duration,
    link: Option<HeaderValue>,
    told_only: bool,
    metrics: HintMetrics,
}

/// What one worker noted.
struct Shard {
    inner: Arc<Inner>,
    batch: Mutex<Batch>,
}

/// What is counted of hints.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct HintMetrics {
    /// Requests that were noted.
    pub noted: Counter,
    /// Requests and hints for which there was no place.
    pub dropped: Counter,
    /// Hints that the shield took.
    pub sent: Counter,
    /// Hints that the shield did not take, or not in time.
    pub failed: Counter,
}

impl HintMetrics {
    /// Adds the counters to `registry`.
    pub fn register(&self, registry: &mut Registry) {
        for (name, help, counter) in [
            ("noted", "Requests noted for the shield", &self.noted),
            ("dropped", "Requests and hints there was no place for", &self.dropped),
            ("sent", "Hints the shield took", &self.sent),
            ("failed", "Hints the shield did not take", &self.failed),
        ] {
            registry.register(format!("headwater_edge_hints_{name}"), help, counter.clone());
        }
    }
}

/// Describes [`Hints`].
#[must_use = "a builder does nothing until build is called"]
pub struct HintsBuilder {
    locate: Box<Locate>,
    home: Option<Box<Home>>,
    interval: Duration,
    timeout: Duration,
    link: Option<HeaderValue>,
    told_only: bool,
    metrics: HintMetrics,
}

impl HintsBuilder {
    /// How a client's URL and host are found at the shield: the authority and the target it is asked
    /// for there, or `None` for what is not its business. By default they are the same. An edge that
    /// rewrites paths or hosts has to say so here, or the shield does not know what is meant.
    pub fn locate(
        mut self,
        locate: impl Fn(&Uri, &str) -> Option<(String, Uri)> + Send + Sync + 'static,
    ) -> Self {
        self.locate = Box::new(locate);
        self
    }

    /// Several shields of which each has its share of presentations: the name of the one that is asked
    /// for a target. Each gets messages of its own then, with the extension
    /// [`Like`](headwater_net::rendezvous::Like), by which the service that is given to
    /// [`build`](Self::build) finds it.
    pub fn home(mut self, home: impl Fn(&Uri) -> Option<String> + Send + Sync + 'static) -> Self {
        self.home = Some(Box::new(home));
        self
    }

    /// How often a message is sent, where there is something to tell; 250 ms by default.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// How long the shield may take to take a message; 2 s by default.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The secret by which the shield knows this edge, in `Headwater-Link`.
    pub fn link(mut self, mut secret: HeaderValue) -> Self {
        secret.set_sensitive(true);
        self.link = Some(secret);
        self
    }

    /// Whether only requests are noted whose players told something, and not what the cache answered: for a
    /// shield that sees every request itself, as one around this edge's own cache does. By default both are.
    pub fn told_only(mut self, told_only: bool) -> Self {
        self.told_only = told_only;
        self
    }

    /// The counters to use; by default new ones.
    pub fn metrics(mut self, metrics: HintMetrics) -> Self {
        self.metrics = metrics;
        self
    }

    /// The hints, and what sends them to `shield`: a future to be run in a task, which ends when the
    /// last handle and the last service that notes for it are gone.
    pub fn build<S>(self, shield: S) -> (Hints, HintSender<S>) {
        let inner = Arc::new(Inner {
            shards: Mutex::default(),
            locate: self.locate,
            home: self.home,
            interval: self.interval,
            timeout: self.timeout,
            link: self.link,
            told_only: self.told_only,
            metrics: self.metrics,
        });
        let sender = HintSender::new(Arc::downgrade(&inner), shield);
        (Hints { inner }, sender)
    }
}

impl Hints {
    /// Starts describing hints.
    pub fn builder() -> HintsBuilder {
        HintsBuilder {
            locate: Box::new(|uri, host| Some((host.to_ascii_lowercase(), uri.clone()))),
            home: None,
            interval: Duration::from_millis(250),
            timeout: Duration::from_secs(2),
            link: None,
            told_only: false,
            metrics: HintMetrics::default(),
        }
    }

    /// What is counted.
    pub fn metrics(&self) -> &HintMetrics {
        &self.inner.metrics
    }
}

impl std::fmt::Debug for Hints {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hints").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for HintsBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HintsBuilder").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shard").finish_non_exhaustive()
    }
}

impl Inner {
    /// Takes what all workers noted.
    fn take(&self) -> Vec<Hint> {
        let mut all = Vec::new();
        lock(&self.shards).retain(|shard| {
            let Some(shard) = shard.upgrade() else { return false };
            let (hints, dropped) = lock(&shard.batch).take();
            self.metrics.noted.inc_by(hints.iter().map(|hint| u64::from(hint.requests)).sum());
            self.metrics.dropped.inc_by(dropped);
            all.extend(hints);
            true
        });
        headwater_proto::hints::joined(all)
    }

    /// The authority and the target of a request as the shield knows them, without what tells of who
    /// asks.
    fn found(&self, uri: &Uri, host: &str) -> Option<(String, String)> {
        let uri = normalise::checked(uri)?;
        let (authority, uri) = (self.locate)(&uri, host)?;
        let mut target = uri.path().to_owned();
        let mut separator = '?';
        for parameter in shared(uri.query().unwrap_or("")) {
            target.push(separator);
            target.push_str(parameter);
            separator = '&';
        }
        Some((authority, target))
    }

    fn location(&self, uri: &Uri, host: &str) -> Option<String> {
        self.found(uri, host).map(|(authority, target)| format!("//{authority}{target}"))
    }

    /// What a player told, its next objects as the shield knows them. Those that it could not ask
    /// this shield for by this edge are left out: it is a stranger.
    fn told(&self, cmcd: &Cmcd, uri: &Uri, host: &str) -> Cmcd {
        let mut told = cmcd.clone();
        let at = self.found(uri, host).map(|(authority, _)| authority);
        told.next.retain_mut(|next| {
            if next.reference.is_empty() {
                return true;
            }
            let found = next::resolved(uri, &next.reference);
            match found.and_then(|uri| self.found(&uri, host)) {
                Some((authority, target)) if at.as_ref() == Some(&authority) => {
                    next.reference = target;
                    true
                }
                _ => false,
            }
        });
        told
    }
}

/// The parameters of a query that do not tell of who asks. One whose name is escaped might.
fn shared(query: &str) -> impl Iterator<Item = &str> {
    parameters(query).filter(|parameter| {
        let name = parameter.split('=').next().unwrap_or("");
        !parameter.is_empty()
            && !name.contains('%')
            && !PERSONAL.iter().any(|personal| personal.eq_ignore_ascii_case(name))
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is guarded is valid at every step.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Notes what is answered for a shield, or for several, each of which is told of what its
/// [`locate`](HintsBuilder::locate) finds; without [`Hints`], nothing.
#[derive(Clone, Debug, Default)]
pub struct HintLayer {
    hints: Vec<Hints>,
}

impl HintLayer {
    /// Notes into `hints`.
    pub fn new(hints: &Hints) -> Self {
        Self::default().and(hints)
    }

    /// Notes into `hints`, too.
    #[must_use]
    pub fn and(mut self, hints: &Hints) -> Self {
        self.hints.push(hints.clone());
        self
    }
}

impl<S> Layer<S> for HintLayer {
    type Service = Hinted<S>;

    /// To be called once for each worker: each service made here has a table of its own.
    fn layer(&self, inner: S) -> Hinted<S> {
        let shards = self.hints.iter().map(|hints| {
            let inner = Arc::clone(&hints.inner);
            let shard = Arc::new(Shard { inner, batch: Mutex::default() });
            lock(&hints.inner.shards).push(Arc::downgrade(&shard));
            shard
        });
        Hinted { inner, shards: shards.collect() }
    }
}

/// The service of [`HintLayer`].
#[derive(Clone, Debug)]
pub struct Hinted<S> {
    inner: S,
    shards: Arc<[Arc<Shard>]>,
}

impl<S, A, B> Service<Request<A>> for Hinted<S>
where
    S: Service<Request<A>, Response = Response<B>>,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = HintFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<A>) -> HintFuture<S::Future> {
        let noted = !self.shards.is_empty() && request.method() == Method::GET;
        let seen = noted.then(|| Box::new(Asked::of(&self.shards, &request)));
        HintFuture { inner: self.inner.call(request), seen }
    }
}

pin_project! {
    /// The answer of [`Hinted`].
    #[derive(Debug)]
    pub struct HintFuture<F> {
        #[pin]
        inner: F,
        // Boxed, it makes the future of those who tell nobody no larger.
        seen: Option<Box<Asked>>,
    }
}

impl<F, B, E> Future for HintFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<B>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answer = std::task::ready!(this.inner.poll(cx));
        if let (Ok(response), Some(asked)) = (&answer, this.seen.take()) {
            asked.answered(response);
        }
        Poll::Ready(answer)
    }
}

/// What a client asked for: parts that are counted, not copied.
#[derive(Debug)]
struct Asked {
    shards: Arc<[Arc<Shard>]>,
    uri: Uri,
    host: Option<HeaderValue>,
    range: Option<HeaderValue>,
    cmcd: Option<Arc<Cmcd>>,
    /// Its connection, where its player told no throughput.
    conn: Option<ConnInfo>,
}

impl Asked {
    fn of<A>(shards: &Arc<[Arc<Shard>]>, request: &Request<A>) -> Self {
        let headers = request.headers();
        let asked = Self {
            shards: Arc::clone(shards),
            uri: request.uri().clone(),
            host: headers.get(header::HOST).cloned(),
            range: headers.get(header::RANGE).cloned(),
            cmcd: match request.extensions().get::<Told>() {
                Some(Told(told)) => Some(Arc::clone(told)),
                None => cmcd::read(request.uri(), headers).and_then(|(_, told)| told.ok()),
            },
            conn: None,
        };
        let told = asked.cmcd.as_ref().is_some_and(|cmcd| cmcd.throughput.is_some());
        let conn = || request.extensions().get::<ConnInfo>().cloned();
        Self { conn: if told { None } else { conn() }, ..asked }
    }

    /// What the path to the client lets through at most, in kbit/s, where that is known.
    fn path<B>(&self, response: &Response<B>) -> Option<u64> {
        let length = response.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?;
        let length: u64 = length.parse().ok()?;
        let known = || self.conn.as_ref()?.path();
        (length > MUCH).then(known).flatten().and_then(|path| bound(path.rate(), path.window))
    }

    /// Notes it, where the shield would not know it otherwise: what the cache answered, and what
    /// players told.
    fn answered<B>(&self, response: &Response<B>) {
        let told = |cmcd: &Cmcd| {
            cmcd.throughput.is_some() || cmcd.runs_dry().is_some() || !cmcd.next.is_empty()
        };
        let told = self.cmcd.as_ref().is_some_and(|cmcd| told(cmcd));
        let passed = matches!(
            CacheResult::of(response.headers()),
            CacheResult::Miss | CacheResult::Pass | CacheResult::None
        );
        let wants = |shard: &Shard| told || !(passed || shard.inner.told_only);
        let is_media = || is_media(response.headers(), self.uri.path());
        if !response.status().is_success()
            || !self.shards.iter().any(|shard| wants(shard))
            || !is_media()
        {
            return;
        }
        let host = match self.uri.authority() {
            Some(authority) => authority.as_str(),
            None => self.host.as_ref().and_then(|host| host.to_str().ok()).unwrap_or(""),
        };
        let first_byte = self.range.as_ref().and_then(range::first_byte);
        let key = self.key(host);
        let cmcd = self.cmcd.as_deref();
        let path = self.path(response);
        for shard in self.shards.iter().filter(|shard| wants(shard)) {
            let named = cmcd.filter(|cmcd| !cmcd.next.is_empty());
            let told = named.map(|cmcd| shard.inner.told(cmcd, &self.uri, host));
            let seen = Seen { first_byte, path, cmcd: told.as_ref().or(cmcd) };
            let location = || shard.inner.location(&self.uri, host);
            lock(&shard.batch).note(key, seen, location);
        }
    }

    /// Stands for the location: equal for clients who differ in what is personal alone.
    fn key(&self, host: &str) -> u64 {
        let mut hasher = DefaultHasher::new();
        host.hash(&mut hasher);
        self.uri.path().hash(&mut hasher);
        for parameter in shared(self.uri.query().unwrap_or("")) {
            parameter.hash(&mut hasher);
        }
        hasher.finish()
    }
}

/// Bytes from which on an answer, and a congestion window, show what a path bears: a connection begins with
/// a window of some 14 KiB (RFC 6928 §2), and has one of more where as much went through.
const MUCH: u64 = 64 << 10;

/// What a path lets through at most, in kbit/s, by its rate in bytes a second and its congestion window in
/// bytes; `None` as long as not much has been sent.
fn bound(rate: u64, window: u64) -> Option<u64> {
    (window >= MUCH).then(|| (rate / 125).min(MAX_PATH))
}

/// Whether an answer is what sessions are made of: by its type, and by its name where that is one that
/// stores give to everything, or there is none.
fn is_media(headers: &HeaderMap, path: &str) -> bool {
    let media = headers.get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    let media = media.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let is_vague = media.is_empty() || VAGUE.iter().any(|vague| media.eq_ignore_ascii_case(vague));
    let guess = if is_vague { Kind::of_path(path) } else { Kind::Other };
    matches!(Kind::of_answer(headers, guess), Kind::Audio | Kind::Video | Kind::Init)
}

/// Types that say nothing: those of S3 and of other stores where nobody told them.
const VAGUE: [&[u8]; 2] = [b"binary/octet-stream", b"application/octet-stream"];

#[cfg(test)]
mod tests;
