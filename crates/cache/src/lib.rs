//! The RFC 9111 cache engine of Headwater: policy, fill, storage, as a tower layer.

mod cache;
#[allow(dead_code, reason = "used by the policy modules")]
mod directives;
pub mod key;
mod metrics;
mod policy;
mod service;

pub use cache::{Builder, Cache};
pub use key::KeyBuf;
pub use metrics::Metrics;
pub use policy::{DefaultPolicy, Policy};
pub use service::{BoxError, CacheFuture, CacheLayer, CacheService};
