//! The origin shield of Headwater: it knows what a segment is.
//!
//! A shield stands between edges and whatever holds the video: a packager in the same process, or
//! HTTP origins behind [`headwater_net::client`]. To a plain cache a title is a heap of unrelated
//! URLs. The shield reads the manifests that pass through it, any packager's, and knows from them
//! which segment comes next.
//!
//! ```text
//! edge ──▶ Shield ──▶ cache ──▶ learn ──▶ Origins ─┬─▶ packager, client, …
//!            │ answered ▲         │                └─▶ the next one, when that fails
//!            ▼          │         ▼
//!         segment map ──┴─ prefetch of what comes next
//! ```
//!
//! ```
//! use headwater_net::{Body, Clock};
//! use headwater_origin::{PrefetchConfig, Shield};
//! use http::{Request, Response};
//! use std::convert::Infallible;
//! use tower::{ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let packager = service_fn(|_: Request<Body>| async {
//!     Ok::<_, Infallible>(Response::new(Body::from("#EXTM3U\n#EXTINF:4,\n1.m4s\n")))
//! });
//! let shield = Shield::builder()
//!     .origin(packager)
//!     .prefetch(PrefetchConfig::default().ahead(3))
//!     .clock(Clock::system())
//!     .build();
//! let request = Request::get("/movie/v1.m3u8").body(Body::empty()).unwrap();
//! let response = shield.clone().oneshot(request).await.unwrap();
//! assert_eq!(response.status(), 200);
//! response.into_body().collect(1000).await.unwrap();
//! assert_eq!(shield.map().lock().len(), 1);
//! # }
//! ```
//!
//! In the order a request meets them: [`prefetch`] (what to fetch ahead, and its tasks), the cache
//! of [`headwater_cache`], [`learn`] (the ear on passing manifests) with [`manners`] (how long what is
//! live is kept), [`retention`] (what stays in memory, where that is on), [`upstream`] (several origins as one, object stores among them by the feature `object-store`); beside
//! them [`hints`] (what edges tell). [`map`] is the pure heart: URLs to segments and back. Each is usable without the rest;
//! [`Sense`] is all of it but cache and origins.

pub mod hints;
pub mod learn;
pub mod manners;
pub mod map;
mod metrics;
pub mod prefetch;
mod pressure;
pub mod retention;
mod sense;
mod shield;
#[cfg(feature = "object-store")]
pub mod store;
pub mod upstream;

pub use hints::HintTrust;
pub use metrics::Metrics;
pub use prefetch::PrefetchConfig;
pub use sense::{Noted, Sense, SenseBuilder};
pub use shield::{Shield, ShieldBuilder, ShieldFuture};
