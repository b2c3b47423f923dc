//! Sources that are files of HTTP servers, read by ranges (RFC 9110 §14).
//!
//! A source's identity is its strong entity tag (§8.8.3) with its length, as the answer to a first
//! range tells them. Every later request says `If-Match`, and every answer must be 206 with the
//! same tag, the same length and exactly the range that was asked for: so bytes of two states of a
//! file never mix, and a server that passes over `Range` is refused rather than read whole.

mod fetch;
mod options;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::HeaderValue;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use reqwest::{Client, Url, redirect};
use tokio::sync::Semaphore;

use super::SourceError;
use super::remote::{Fetch, Remote};
use super::retry::Backoff;
use crate::identity::SourceId;
use crate::units::ByteRange;

pub use options::HttpOptions;

/// HTTP servers, with one pool of connections and one bound of requests. Clones share them.
#[derive(Clone)]
pub struct HttpStore {
    inner: Arc<Inner>,
}

struct Inner {
    client: Client,
    options: HttpOptions,
    permits: Semaphore,
    metrics: HttpMetrics,
    /// How many reads there were: each has its own jitter.
    reads: AtomicU64,
}

/// Why there is no [`HttpStore`] or no source of it: a setting of the operator is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HttpSettingError {
    /// A URL is none, or of another scheme than `http` and `https`. It is not shown: there may be a
    /// password in it.
    #[error("a source's URL must be an absolute http or https URL")]
    Url,
    /// An entry of `redirect_origins` is no origin.
    #[error("{0:?} is no origin: write it as https://media.example.com")]
    Origin(String),
    /// The certificate authority cannot be read.
    #[error("the root certificate is not PEM")]
    Certificate,
    /// The client could not be set up.
    #[error("the HTTP client could not be set up: {0}")]
    Client(String),
}

impl HttpStore {
    /// A store with these options.
    pub fn new(options: HttpOptions) -> Result<Self, HttpSettingError> {
        let mut allowed = Vec::new();
        for text in &options.redirect_origins {
            let url = Url::parse(text).ok().filter(is_http);
            let url = url.ok_or_else(|| HttpSettingError::Origin(text.clone()))?;
            allowed.push(url.origin());
        }
        let redirects = redirect::Policy::custom(move |attempt| {
            let target = attempt.url().origin();
            let home = attempt.previous().first().is_some_and(|first| first.origin() == target);
            let near = attempt.previous().len() <= MAX_REDIRECTS;
            if near && (home || allowed.contains(&target)) {
                attempt.follow()
            } else {
                attempt.stop()
            }
        });
        let mut builder = Client::builder()
            .connect_timeout(options.connect_timeout)
            .redirect(redirects)
            // Neither who asked nor by what way is anybody else's business.
            .referer(false)
            .no_proxy();
        if let Some(pem) = &options.root_certificate {
            let root = reqwest::Certificate::from_pem(pem);
            builder = builder.tls_certs_merge([root.map_err(|_| HttpSettingError::Certificate)?]);
        }
        let client =
            builder.build().map_err(|error| HttpSettingError::Client(error.to_string()))?;
        let permits = Semaphore::new(options.concurrent_requests.clamp(1, Semaphore::MAX_PERMITS));
        let inner = Inner {
            client,
            options,
            permits,
            metrics: HttpMetrics::default(),
            reads: AtomicU64::new(0),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Checks the URL of a source, without asking anybody.
    pub fn locate(&self, url: &str) -> Result<HttpLocation, HttpSettingError> {
        let url = Url::parse(url).ok().filter(is_http).ok_or(HttpSettingError::Url)?;
        Ok(HttpLocation { store: self.clone(), url })
    }

    /// Its counters.
    pub fn metrics(&self) -> &HttpMetrics {
        &self.inner.metrics
    }
}

fn is_http(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https") && url.has_host()
}

impl fmt::Debug for HttpStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HttpStore").field(&self.inner.options).finish()
    }
}

/// A file of an HTTP server, whatever its state.
#[derive(Clone)]
pub struct HttpLocation {
    store: HttpStore,
    url: Url,
}

impl HttpLocation {
    /// The file as it is now, under a name for its identity (such as its path without secrets).
    ///
    /// # Errors
    /// [`SourceError::Unfit`] where the server does not answer ranges, gives no strong entity tag,
    /// or sends us elsewhere.
    pub async fn open(&self, name: impl Into<String>) -> Result<HttpSource, SourceError> {
        let probe = ByteRange { start: 0, len: 1 };
        let (state, _) = self.store.fetch(&self.url, probe, None).await?;
        let etag = state.etag.to_str().map_err(|_| NO_TAG)?;
        let id = SourceId::new(name, state.size, etag.trim_matches('"'));
        Ok(Remote { id, file: HttpFile { location: self.clone(), state } })
    }
}

/// The server's name without what may be secret: user, password, path, query.
impl fmt::Debug for HttpLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HttpLocation").field(&self.url.origin().ascii_serialization()).finish()
    }
}

/// One state of a file of an HTTP server.
pub type HttpSource = Remote<HttpFile>;

/// A file of an HTTP server in one state.
#[derive(Debug, Clone)]
pub struct HttpFile {
    location: HttpLocation,
    state: State,
}

/// What tells one state of a file from another.
#[derive(Debug, Clone, PartialEq, Eq)]
struct State {
    etag: HeaderValue,
    size: u64,
}

impl Fetch for HttpFile {
    async fn fetch(&self, range: ByteRange) -> Result<Vec<Bytes>, SourceError> {
        let HttpLocation { store, url } = &self.location;
        store.fetch(url, range, Some(&self.state)).await.map(|(_, pieces)| pieces)
    }

    fn max_request_bytes(&self) -> u64 {
        self.location.store.inner.options.max_request_bytes
    }

    async fn open_again(&self, name: &str) -> Result<HttpSource, SourceError> {
        self.location.open(name).await
    }
}

impl fmt::Debug for HttpSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpSource").field("id", &self.id).field("file", &self.file).finish()
    }
}

/// What an [`HttpStore`] counts. Cheap to clone; clones count together.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct HttpMetrics {
    /// Requests, each attempt by itself.
    pub requests: Counter,
    /// Attempts after a failed one.
    pub retries: Counter,
    /// Reads that failed in the end.
    pub failures: Counter,
    /// Bytes of bodies received.
    pub received_bytes: Counter,
}

impl HttpMetrics {
    /// Makes the counters visible as `headwater_packager_http_source_…`.
    pub fn register(&self, registry: &mut Registry) {
        for (name, help, counter) in [
            ("requests", "Requests to servers that hold sources", &self.requests),
            ("retries", "Requests that were tried again", &self.retries),
            ("failures", "Reads of HTTP sources that failed", &self.failures),
            ("received_bytes", "Bytes received from HTTP sources", &self.received_bytes),
        ] {
            let name = format!("headwater_packager_http_source_{name}");
            registry.register(name, help, counter.clone());
        }
    }
}

impl Inner {
    fn backoff(&self) -> Backoff {
        let HttpOptions { backoff, max_backoff, seed, .. } = self.options;
        let read = self.reads.fetch_add(1, Ordering::Relaxed);
        Backoff::new(backoff, max_backoff, seed ^ read)
    }
}

/// The most redirects that are followed for one request.
const MAX_REDIRECTS: usize = 3;

const NO_TAG: SourceError = SourceError::Unfit("its server gives no strong entity tag");
