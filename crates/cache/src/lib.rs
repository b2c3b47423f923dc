//! The RFC 9111 cache engine of Headwater: policy, fill, storage, as a tower layer.
//!
//! A [`Cache`] is one store with its fetches in flight; [`Cache::layer`] puts it before any service
//! that answers `http::Request<Body>`. An edge and a shield are the same engine with other numbers.
//!
//! ```
//! use headwater_cache::Cache;
//! use headwater_net::Body;
//! use http::{Request, Response};
//! use tower::{Layer as _, ServiceExt as _, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let origin = service_fn(|_: Request<Body>| async {
//!     let response = Response::builder().header("cache-control", "max-age=60");
//!     response.body(Body::from("a segment"))
//! });
//! let cache = Cache::builder().name("edge").ram(64 << 20).max_object(8 << 20).build();
//! let edge = cache.layer().layer(origin);
//!
//! let get = || Request::get("http://example.com/1.m4s").body(Body::empty()).unwrap();
//! let first = edge.clone().oneshot(get()).await.unwrap();
//! assert_eq!(first.headers()["cache-status"], "edge; fwd=uri-miss; fwd-status=200; stored");
//! assert_eq!(first.into_body().collect(100).await.unwrap().to_bytes(), "a segment");
//!
//! let second = edge.oneshot(get()).await.unwrap();
//! assert!(second.headers()["cache-status"].to_str().unwrap().starts_with("edge; hit; ttl="));
//! # }
//! ```
//!
//! # What it promises
//! - One fetch per key at a time, however many wait; followers stream from it as it grows, each at
//!   its own pace.
//! - A body that was cut short upstream ends in an error and is never stored.
//! - Memory is bounded: objects by [`Builder::ram`], fetches by [`Builder::fill_memory`] and, past
//!   it, by 128 KiB for each of [`Builder::max_fills`]; a body that is too large to
//!   store, and cannot be cut into [slices](Builder::slice), takes no more than [`Builder::window`].
//! - Bytes of two versions of a response never meet in one answer.
//! - What was [purged](Cache::purge) does not come back, by a fetch under way or by a restart; a
//!   purge costs the same for one object and for a million.
//! - What the [`Disk`] tier holds is found after a restart, and no byte of it is served that is not
//!   what was written. It is read when RAM has nothing, and blocks no task.
//! - A hit takes no lock across cores but those of the store's map, reads the clock once, and
//!   copies no body.
//!
//! # Choices where the standard leaves one
//! - A response with `Set-Cookie` is stored only where it says `public` or `s-maxage`.
//! - Fields that `no-cache` and `private` name go to the one who asked, and are not stored.
//! - HEAD is answered from a stored GET, and revalidates one; any other HEAD passes through. Its answer
//!   updates what is stored, or makes it stale, unless its client's own fields may have brought it
//!   about.
//! - Upstreams are told of purges where they are wrapped by a [`TierLayer`], and not elsewhere.
//! - A GET with content passes through.
//! - Trailers of what is fetched for all, and so of what is stored, are dropped (RFC 9110 §6.5.1,
//!   RFC 9111 §3); they are never merged into the fields. What only passes keeps them, where the
//!   protocols of both sides have a way for them.
//! - Interim responses reach all who wait for a fetch, and are not stored.
//! - A fetch that begins for one client goes upstream with all its fields, and others get the answer
//!   by word of the origin only. What is shared already is confirmed without `Authorization` and
//!   `Cookie` where it came without, and its slices are fetched without `Cookie` always.
//! - Several ranges are answered as `multipart/byteranges`, of up to 16; those that touch or nearly
//!   do become one, and a request for more is answered whole.
//! - The scheme is not part of the key; a [`Policy`] may add it.
//! - What [`Choices`] say: targeted fields, cookies, unreachable upstreams, long errors.
//! - After a failed revalidation, what may answer stale does so for some seconds (`Retry-After`, at
//!   most a minute, else five) before upstream is asked again.
//! - Where upstream wants what was left out so, by a 401 or 403, the client's request passes through.
//! - When upstream fails with a 5xx that may not be stored, those who waited along get a problem
//!   of the same status: a failing origin is not asked again for each of them.

mod answer;
mod cache;
mod confirming;
mod directives;
mod disk;
mod engine;
mod error;
mod explain;
mod fill;
mod found;
mod headers;
pub mod key;
mod loops;
mod metrics;
mod object;
mod policy;
mod proxy_status;
pub mod purge;
mod remembered;
mod service;
mod slices;
mod status;
mod store;
mod structured;
mod sync;
mod upstream;
mod vary;

pub use cache::{Builder, Cache, Downstream};
pub use confirming::Confirming;
pub use disk::{Disk, DiskBuilder, DiskMetrics};
pub use error::Error;
pub use explain::{Decision, Explanation, PurgedBy, Slices, Variant};
pub use key::KeyBuf;
pub use metrics::Metrics;
pub use policy::{
    Choices, DefaultPolicy, Lifetime, Overrides, PERSONAL, Policy, Route, RuleError, Rules,
    RulesBuilder,
};
pub use purge::{Purge, PurgeError, PurgeLog, PurgeSeen, PurgeSeq, Tier, TierLayer};
pub use service::{CacheFuture, CacheLayer, CacheService, StoredOnly};
pub use slices::Joints;
pub use store::keep::{Keep, Worth};
pub use upstream::BoxError;
