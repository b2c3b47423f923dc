//! What an operator says about HTTP servers that hold mezzanines.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

/// How sources are read from HTTP servers. Header values are credentials: they are never shown, nor
/// written to a log.
#[derive(Clone)]
#[non_exhaustive]
pub struct HttpOptions {
    /// Sent with every request, such as `Authorization`; default none. They go along when a
    /// redirect is followed: see [`redirect_origins`](Self::redirect_origins).
    pub headers: HeaderMap,
    /// Origins (`https://media.example.com`, with the port where it is not the scheme's own) to
    /// which redirects may lead beside the source's own; default none. A redirect to elsewhere is
    /// not followed.
    pub redirect_origins: Vec<String>,
    /// A further certificate authority to trust, in PEM; default none.
    pub root_certificate: Option<Vec<u8>>,
    /// How long connecting may take, TLS included; default 5 s.
    pub connect_timeout: Duration,
    /// How long the head of an answer may take, connecting included; default 10 s.
    pub first_byte_timeout: Duration,
    /// How long a body may be silent; default 10 s.
    pub idle_timeout: Duration,
    /// How long one read may take with all its attempts; default 60 s.
    pub total_timeout: Duration,
    /// How often a failed request is tried again; default 3. Only failures that may pass are: broken
    /// connections, time-outs, 408, 425, 429 and 5xx. What was received is not asked for again.
    pub retries: u32,
    /// The wait before the first of these; default 100 ms. It doubles with each, with jitter.
    pub backoff: Duration,
    /// The longest wait, also where a server asks for a longer one; default 5 s.
    pub max_backoff: Duration,
    /// Requests under way at the same time, to all servers; default 32. More wait.
    pub concurrent_requests: usize,
    /// The most bytes asked for by one request; default 8 MiB. Longer ranges take several.
    pub max_request_bytes: u64,
    /// Decides the jitter; by default another for each process.
    pub seed: u64,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            headers: HeaderMap::new(),
            redirect_origins: Vec::new(),
            root_certificate: None,
            connect_timeout: Duration::from_secs(5),
            first_byte_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(10),
            total_timeout: Duration::from_secs(60),
            retries: 3,
            backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(5),
            concurrent_requests: 32,
            max_request_bytes: 8 << 20,
            seed: RandomState::new().hash_one(0),
        }
    }
}

impl HttpOptions {
    /// Adds a header whose value is secret.
    pub fn credential(&mut self, name: HeaderName, mut value: HeaderValue) {
        value.set_sensitive(true);
        self.headers.insert(name, value);
    }
}

impl fmt::Debug for HttpOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            headers,
            redirect_origins,
            root_certificate,
            connect_timeout,
            first_byte_timeout,
            idle_timeout,
            total_timeout,
            retries,
            backoff,
            max_backoff,
            concurrent_requests,
            max_request_bytes,
            seed: _,
        } = self;
        f.debug_struct("HttpOptions")
            .field("headers", &headers.keys().collect::<Vec<_>>())
            .field("redirect_origins", redirect_origins)
            .field("root_certificate", &root_certificate.is_some())
            .field("connect_timeout", connect_timeout)
            .field("first_byte_timeout", first_byte_timeout)
            .field("idle_timeout", idle_timeout)
            .field("total_timeout", total_timeout)
            .field("retries", retries)
            .field("backoff", backoff)
            .field("max_backoff", max_backoff)
            .field("concurrent_requests", concurrent_requests)
            .field("max_request_bytes", max_request_bytes)
            .finish_non_exhaustive()
    }
}
