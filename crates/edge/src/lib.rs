//! The HTTP/3, HTTP/2 and HTTP/1.1 edge of Headwater: a cache that faces strangers.
//!
//! An edge in twenty lines:
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use headwater_cache::Cache;
//! use headwater_edge::{AccessLog, Edge};
//! use headwater_net::client::Upstream;
//! use headwater_net::server::{Server, Tls};
//! use headwater_net::Clock;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let upstream = Upstream::builder("http://origin.example:8080").build()?;
//!     let (log, _writer) = AccessLog::start(std::io::stdout(), 8192)?;
//!     let cache = Cache::builder().name("my-edge").ram(1 << 30).build();
//!     let edge = Edge::builder().cache(cache).access_log(log);
//!     let server = Server::builder()
//!         .https("[::]:443")
//!         .http("[::]:80")
//!         .tls(Tls::self_signed(["localhost"], None, &Clock::system())?)
//!         .serve(move |_worker| edge.build(upstream.clone()))?;
//!     tokio::signal::ctrl_c().await?;
//!     server.drain(Duration::from_secs(10)).await;
//!     Ok(())
//! }
//! ```
//!
//! Every part is a tower layer that works without the others, around any service over `http` types,
//! axum's routers among them. In the order a request meets them: [`access_log`], [`metrics`],
//! [`cors`], [`shed`], [`cmsd`], [`priority`], [`security`], [`headers`], [`normalise`], [`addresses`],
//! [`geo`], [`referrers`], [`rates`] by address and route, [`tokens`], [`rates`] by token, [`fixed`],
//! [`steering`], [`cmcd`], [`methods`], [`hints`], [`early_data`], the cache of [`headwater_cache`], and
//! behind that [`compress`]; [`Edge`] puts them together, and layers go by the [`RoutePolicy`] of a request
//! where that has a word for them. [`CacheResult`] is the word all of them
//! have for what the cache did. [`operator`] answers who runs it all, on a listener of its own.
//!
//! What they promise: a request waits for nothing and formats nothing in the log or the metrics, and
//! touches nothing there that another worker's requests touch; a queue that is full drops and
//! counts; what a client sends makes nothing grow.

pub mod access_log;
pub mod addresses;
mod amend;
mod answer;
mod cache_result;
pub mod cmcd;
pub mod cmsd;
pub mod compress;
pub mod cors;
pub mod early_data;
mod edge;
pub mod fixed;
pub mod geo;
pub mod guard;
pub mod headers;
pub mod hints;
mod hosts;
mod kind;
pub mod methods;
pub mod metrics;
pub mod normalise;
mod observe;
pub mod operator;
pub mod priority;
pub mod rates;
pub mod referrers;
pub mod refusals;
pub mod route_policy;
pub mod security;
pub mod sessions;
pub mod shed;
pub mod steering;
mod stretch;
mod table;
pub mod tokens;
#[cfg(feature = "otel")]
pub mod trace;
mod unkeyed;
mod upgrades;
mod watch;
mod whom;
pub mod witness;

pub use access_log::{AccessLog, AccessLogLayer, LogWriter};
pub use addresses::{AddressLayer, AddressRules, Addresses};
pub use amend::Amended;
pub use answer::Answer;
pub use cache_result::CacheResult;
pub use cmcd::CmcdLayer;
pub use cmsd::CmsdLayer;
pub use compress::CompressLayer;
pub use cors::{Cors, CorsLayer};
pub use early_data::EarlyDataLayer;
pub use edge::{Edge, EdgeBuilder, EdgeService, Kept};
pub use fixed::{FixedAnswer, FixedLayer};
pub use geo::{Countries, GeoDatabase, GeoLayer, GeoRules};
pub use guard::GuardLayer;
pub use headers::HeadersLayer;
pub use hints::{HintLayer, Hints};
pub use kind::Kind;
pub use methods::MethodsLayer;
pub use metrics::{Metrics, MetricsLayer};
pub use normalise::NormaliseLayer;
pub use observe::{Observed, ObservedFuture};
pub use operator::Operator;
pub use priority::PriorityLayer;
pub use rates::{Limit, RateLimitLayer};
pub use referrers::{ReferrerLayer, ReferrerRules, Referrers};
pub use refusals::RefusedBy;
pub use route_policy::RoutePolicy;
pub use security::{Security, SecurityLayer};
pub use sessions::Sessions;
pub use shed::{Pressure, ShedLayer};
pub use steering::{Steering, SteeringLayer, SteeringMetrics};
pub use tokens::TokenLayer;
#[cfg(feature = "otel")]
pub use trace::TraceLayer;
pub use upgrades::{Upgrades, UpgradesFuture};
pub use watch::End;
pub use whom::{Country, Subdivision};
pub use witness::Witness;
