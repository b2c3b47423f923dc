//! The packager as a tower service: names to assets, paths to plans, plans to answers.
//!
//! `GET /` lists the assets; everything else lives below `/{asset}/`, as
//! [`Resource`] spells it. Manifests take the query parameters of [`Selection`]; segments take none.
//! Requests with a body may come; it is not read.
//!
//! Errors are problem documents (RFC 9457): 400 for a query parameter with a bad value, 404 for what is not there, 410 for segments of a
//! version that was replaced, 422 with the cause for a source that cannot be packaged, 502 for one
//! that cannot be read, 503 with `Retry-After` where too much is asked for at a time.

mod answer;
mod body;
mod builds;
mod cipher;
mod coding;
mod downloads;
mod export;
mod fault;
mod frames;
mod lanes;
mod layouts;
mod making;
mod metrics;
mod open;

use std::convert::Infallible;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use headwater_net::{Body, Clock, Problem};
use http::{Method, Request, Response, request};
use serde_json::json;
use tokio::sync::Semaphore;
use tower_service::Service;

use crate::assets::{Assets, decode_name, encode_name};
use crate::download::Download;
use crate::facts::written;
use crate::limits::Limits;
use crate::media::Options;
use crate::presentation::Presentation;
use crate::resource::Resource;
use crate::selection::{Container, Selection};
use crate::source::{BufferPool, Coalescing, Scans, SourceError};

pub use export::{Existing, ExportError, ExportOptions, Progress};
pub use metrics::Metrics;

use answer::Answer;
use body::Outlet;
use builds::{Builds, Ready};
use downloads::Downloads;
use fault::Fault;
use layouts::Layouts;
use open::OpenBodies;

/// Packages the assets it was given, on request. Clones share one index cache.
///
/// ```
/// use headwater_net::Body;
/// use headwater_packager::source::AnySource;
/// use headwater_packager::{Assets, MemorySource, Packager};
/// use tower::ServiceExt;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // Usually `Assets::from_dir("/srv/films")?`.
/// let film = MemorySource::new("film.mp4", "no film at all");
/// let assets = Assets::from_sources([("film".to_owned(), vec![AnySource::new(film)])])?;
/// let packager = Packager::builder(assets).build();
///
/// let request = http::Request::get("/film/main.m3u8").body(Body::empty())?;
/// let answer = packager.clone().oneshot(request).await?;
/// assert_eq!(answer.status(), 422); // it says why: the source is not an MP4 file
/// # Ok(())
/// # }
/// ```
///
/// It must be called within a tokio runtime with time enabled. `poll_ready` is always ready: what
/// is too much is answered 503. A response's body reads ahead at most
/// [`READ_AHEAD_BYTES`](Self::READ_AHEAD_BYTES), and no further once it is dropped.
#[derive(Clone, Debug)]
pub struct Packager {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    assets: Assets,
    clock: Clock,
    builds: Builds,
    layouts: Layouts,
    downloads: Downloads,
    /// Of [`TS_COUNTED_AT_ONCE`].
    ts_counts: Arc<Semaphore>,
    outlet: Arc<Outlet>,
}

/// What a [`Packager`] may use at a time.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ServiceLimits {
    /// What one source may cost.
    pub source: Limits,
    /// Memory of cached indexes in bytes; default 256 MiB. Indexes in use by bodies that are being
    /// sent come on top.
    pub index_cache_bytes: u64,
    /// Memory of cached downloads in bytes; default 64 MiB. One takes about ten bytes a sample.
    pub download_cache_bytes: u64,
    /// Memory of cached layouts in bytes; default 64 MiB. Segments of two tracks have one, and
    /// resources whose source must be read before their length is known.
    pub layout_cache_bytes: u64,
    /// Source files that cached indexes hold open; default 512. Keep it well below the process's
    /// limit of descriptors.
    pub max_open_sources: u32,
    /// Assets whose index is built at the same time; default 4. Each indexes up to 4 of its files
    /// at a time, and each of those may use [`Limits::max_moov_bytes`] several times over.
    pub concurrent_builds: usize,
    /// Assets that wait for their turn to be built; default 64. More are answered 503.
    pub queued_builds: usize,
    /// Requests that wait for indexes; default 4,096. More are answered 503.
    pub waiting_requests: usize,
    /// Media answers being read and sent at the same time; default 4,096. More are answered 503.
    /// Each holds at most two windows of its source, one being sent and one being read, and usually
    /// less: 1 MiB of a local file. Of a remote one it may be 32 MiB: a window of 4 MiB is kept with
    /// as much again that lies between its samples, and while it is read there are up to
    /// [`HELD_BYTES`](crate::source::HELD_BYTES) more. While a window of MPEG-TS is made, what it is
    /// made of is there, too; and one picture in MPEG-TS is a window however large it is, up to
    /// 16 MiB. Who serves remote files from little memory should allow fewer.
    pub open_bodies: usize,
    /// How long opening the sources of one asset may take, and reading the movie box of each;
    /// default 30 s. Then the answer is 503.
    pub build_timeout: Duration,
    /// How long finding the fragments of one source may take; default 10 minutes. Then what was
    /// found is kept, and the next request for the asset goes on from there.
    pub scan_timeout: Duration,
    /// How long a request waits for an index that is being built; default 10 s. Then it is
    /// answered 503 with `Retry-After`, and the build goes on.
    pub longest_wait: Duration,
    /// A source with fragments, and nothing in it that says that it is finished, is taken for a
    /// recording that goes on until it was not written to for this long; default 30 s. It should
    /// be longer than what recorders put into one fragment.
    pub recording_pause: Duration,
    /// A recording that was not written to for this long is settled; default 10 minutes. Then it is
    /// a file like others: its version names its state, its playlists are VOD, and all of its
    /// segments and its file of a whole track may be kept for good. URLs that were published before
    /// are answered as they were. Never shorter than [`recording_pause`](Self::recording_pause).
    pub recording_settles: Duration,
    /// Memory in bytes for what is kept of scans where no
    /// [state folder](PackagerBuilder::state_folder) is given; default 64 MiB.
    pub scan_cache_bytes: u64,
}

impl Default for ServiceLimits {
    fn default() -> Self {
        Self {
            source: Limits::default(),
            index_cache_bytes: 256 << 20,
            download_cache_bytes: 64 << 20,
            layout_cache_bytes: 64 << 20,
            max_open_sources: 512,
            concurrent_builds: 4,
            queued_builds: 64,
            waiting_requests: 4_096,
            open_bodies: 4_096,
            build_timeout: Duration::from_secs(30),
            scan_timeout: Duration::from_secs(600),
            longest_wait: Duration::from_secs(10),
            recording_pause: Duration::from_secs(30),
            recording_settles: Duration::from_secs(600),
            scan_cache_bytes: 64 << 20,
        }
    }
}

/// Puts a [`Packager`] together; see [`Packager::builder`].
#[derive(Debug)]
#[must_use]
pub struct PackagerBuilder {
    assets: Assets,
    clock: Clock,
    limits: ServiceLimits,
    options: Options,
    state_folder: Option<PathBuf>,
}

impl PackagerBuilder {
    /// The clock; by default the system's.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Bounds; see [`ServiceLimits`].
    pub fn limits(mut self, limits: ServiceLimits) -> Self {
        self.limits = limits;
        self
    }

    /// A folder for what took long to find out and holds after a restart: the fragments of sources
    /// that have them. It is made if it is not there, holds one file for each such source, and may
    /// be emptied at any time. By default there is none, and as much as fits is kept in memory.
    pub fn state_folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.state_folder = Some(folder.into());
        self
    }

    /// How assets are cut.
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// The packager.
    pub fn build(self) -> Packager {
        let metrics = Metrics::default();
        let layouts = Layouts::new(self.limits.layout_cache_bytes);
        let downloads =
            Downloads::new(self.limits.download_cache_bytes, self.limits.concurrent_builds);
        let open = OpenBodies::new(self.limits.open_bodies);
        let scans = match self.state_folder {
            Some(folder) => Scans::in_folder(folder),
            None => Scans::in_memory(self.limits.scan_cache_bytes),
        };
        let assets = self.assets.clone();
        let builds = Builds::new(assets, self.options, self.limits, metrics.clone(), scans);
        let buffers = Arc::new(BufferPool::default());
        let outlet = Arc::new(Outlet { metrics, open, buffers });
        let ts_counts = Arc::new(Semaphore::new(TS_COUNTED_AT_ONCE));
        let (assets, clock) = (self.assets, self.clock);
        let inner = Inner { assets, clock, builds, layouts, downloads, ts_counts, outlet };
        Packager { inner: Arc::new(inner) }
    }
}

impl Packager {
    /// The most that a body has read from a source on this machine but not yet handed on, in bytes.
    /// Of other sources it is twice their
    /// [`window_bytes`](crate::source::Coalescing::window_bytes). A single sample that is changed
    /// on the way may be larger.
    pub const READ_AHEAD_BYTES: u64 = 2 * Coalescing::LOCAL.window_bytes;

    /// Starts on a packager of these assets.
    pub fn builder(assets: Assets) -> PackagerBuilder {
        PackagerBuilder {
            assets,
            clock: Clock::system(),
            limits: ServiceLimits::default(),
            options: Options::default(),
            state_folder: None,
        }
    }

    /// Its counters.
    pub fn metrics(&self) -> &Metrics {
        &self.inner.outlet.metrics
    }

    /// The names of the assets, in order.
    pub async fn names(&self) -> Vec<Arc<str>> {
        self.inner.assets.names(self.inner.clock.now()).await
    }

    /// An asset as it is now, from the index cache or built for it.
    ///
    /// # Errors
    /// The problem that a request for the asset would be answered with.
    pub async fn presentation(&self, name: &str) -> Result<Presentation, Problem> {
        let ready = self.ready(name).await;
        ready.map(|ready| ready.presentation.clone()).map_err(Problem::from)
    }

    async fn answer(self, request: request::Parts) -> Response<Body> {
        let answer = match request.method {
            Method::OPTIONS => Answer::preflight(),
            Method::GET | Method::HEAD => match self.route(&request).await {
                Ok(answer) => answer,
                Err(fault) => Answer::problem(fault.into()),
            },
            _ => Answer::method_not_allowed(),
        };
        answer.finish(&request.method, &self.inner.outlet.metrics)
    }

    async fn route(&self, request: &request::Parts) -> Result<Answer, Fault> {
        let path = request.uri.path().strip_prefix('/').ok_or(Fault::UnknownPath)?;
        if path.is_empty() {
            return self.list(request).await;
        }
        let (asset, rest) = path.split_once('/').ok_or(Fault::UnknownPath)?;
        let name = decode_name(asset).ok_or(Fault::UnknownAsset)?;
        if rest == Download::PATH {
            return self.download(request, &name).await;
        }
        // What no asset could answer costs no index.
        let (resource, version) = Resource::parse(rest).ok_or(Fault::UnknownPath)?;
        let selection = match request.uri.query() {
            Some(query) if !resource.is_immutable() => Selection::parse(query)?,
            _ => Selection::default(),
        };
        let ready = self.ready(&name).await?.addressed(version);
        let encrypted = ready.presentation.media().segment_key().is_some();
        if resource.is_in_ts() || encrypted || selection.container == Container::Ts {
            count_ts(&ready.presentation, &self.inner.ts_counts).await?;
        }
        let resource = ready.presentation.resource(rest)?;
        if !resource.is_immutable() {
            let presentation = ready.presentation.select(selection)?;
            return Answer::manifest(request, &presentation, resource).await;
        }
        if resource == Resource::SegmentKey {
            let key = ready.presentation.media().segment_key().ok_or(Fault::UnknownPath)?;
            return Ok(Answer::key(key));
        }
        let Inner { layouts, outlet, .. } = &*self.inner;
        let mut answer = Answer::media(request, &ready, resource, layouts, outlet).await;
        if let Err(Fault::Source(error)) = answer {
            // Whatever it was, the next request looks at the files anew.
            self.inner.assets.doubt(&name).await;
            answer = Err(Fault::after_reading(error));
            // What was changed may be the same version none the less: only its mode was, or a copy
            // took its place.
            if error == SourceError::Changed
                && let Ok(again) = self.ready(&name).await
                && let again = again.addressed(version)
                && again.presentation.version() == ready.presentation.version()
            {
                let second = Answer::media(request, &again, resource, layouts, outlet).await;
                answer = second.or(answer);
            }
        }
        if answer.is_ok() && resource.is_segment() {
            outlet.metrics.segments.inc();
        }
        answer
    }

    async fn download(&self, request: &request::Parts, name: &str) -> Result<Answer, Fault> {
        let ready = self.ready(name).await?;
        let Inner { downloads, outlet, .. } = &*self.inner;
        let answer = downloads.answer(request, &ready, outlet).await;
        if let Err(Fault::Source(error)) = answer {
            // The next request looks at the files anew, and is answered about those.
            self.inner.assets.doubt(name).await;
            return Err(Fault::Source(error));
        }
        answer
    }

    async fn ready(&self, name: &str) -> Result<Arc<Ready>, Fault> {
        self.inner.builds.ready(name, self.inner.clock.now()).await
    }

    /// The list of assets, with URLs relative to where the list is.
    async fn list(&self, request: &request::Parts) -> Result<Answer, Fault> {
        let names = self.names().await;
        if names.len() <= INLINE_ASSETS {
            return Answer::json(request, list_of(&names));
        }
        let request = request.clone();
        let work = move || Answer::json(&request, list_of(&names));
        tokio::task::spawn_blocking(work).await.map_err(|_| Fault::Busy)?
    }
}

fn list_of(names: &[Arc<str>]) -> String {
    let asset = |name: &Arc<str>| {
        let folder = encode_name(name);
        json!({
            "name": &**name,
            "hls": format!("{folder}/main.m3u8"),
            "dash": format!("{folder}/manifest.mpd"),
            "download": format!("{folder}/{}", Download::PATH),
            "report": format!("{folder}/report.json"),
        })
    };
    let assets: Vec<_> = names.iter().map(asset).collect();
    written(json!({ "assets": assets }))
}

/// The list of more assets than this is written, hashed and compressed on a blocking thread.
const INLINE_ASSETS: usize = 1_000;

/// Has the packets of transport streams counted, not on the runtime: that looks at every sample.
async fn count_ts(presentation: &Presentation, permits: &Arc<Semaphore>) -> Result<(), Fault> {
    if presentation.media().ts_is_counted() {
        return Ok(());
    }
    let permit = Arc::clone(permits).acquire_owned().await.map_err(|_| Fault::Busy)?;
    // Another request may have had it counted meanwhile.
    if presentation.media().ts_is_counted() {
        return Ok(());
    }
    let presentation = presentation.clone();
    // A client that leaves does not stop it: the permit goes with the work.
    let count = move || {
        presentation.media().ts();
        drop(permit);
    };
    tokio::task::spawn_blocking(count).await.map_err(|_| Fault::Busy)
}

/// How many titles have their packets of transport streams counted at a time.
const TS_COUNTED_AT_ONCE: usize = 4;

/// Whatever the type of request bodies: they are not read. So it fits routers with body types of
/// their own, too.
impl<B> Service<Request<B>> for Packager {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let packager = self.clone();
        let (parts, _) = request.into_parts();
        Box::pin(async move { Ok(packager.answer(parts).await) })
    }
}
