//! The RFC 9111 cache engine of Headwater: policy, fill, storage, as a tower layer.
#![allow(dead_code, reason = "the engine comes in the next commits")]

mod cache;
#[allow(dead_code, reason = "used by the policy modules")]
mod directives;
pub mod key;
mod metrics;
mod policy;
mod service;
mod upstream;

pub use cache::{Builder, Cache};
pub use key::KeyBuf;
pub use metrics::Metrics;
pub use policy::{DefaultPolicy, Policy};
pub use service::{CacheFuture, CacheLayer, CacheService};
pub use upstream::BoxError;
