//! HTTP listeners, upstream clients, bodies and problems for Headwater.
//!
//! This crate knows HTTP and sockets; it knows no cache and no video. Everything in Headwater that
//! answers HTTP is a [`tower_service::Service`](https://docs.rs/tower-service) from
//! `http::Request<Body>` to `http::Response<Body>`; this crate holds what such services share.
//!
//! ```
//! use headwater_net::{Body, Problem};
//! use http::StatusCode;
//!
//! let body = Body::from("#EXTM3U\n");
//! assert_eq!(body.exact_len(), Some(8));
//!
//! let answer = Problem::new(StatusCode::GONE)
//!     .detail("this version of the asset was replaced")
//!     .into_response();
//! assert_eq!(answer.status(), 410);
//! assert_eq!(answer.headers()["content-type"], "application/problem+json");
//! ```
//!
//! The modules without a feature are pure: bytes, header arithmetic, time. `server` and `client`
//! (features of the same names) hold all sockets; `balance` spreads requests over several clients.

#[cfg(feature = "acme")]
mod authority;
#[cfg(feature = "client")]
pub mod balance;
pub mod body;
pub mod clock;
pub mod conditional;
pub mod conn;
pub mod encoding;
mod handshake;
pub mod health;
pub mod hop;
mod interim;
pub mod path;
pub mod problem;
pub mod proxies;
pub mod query;
pub mod range;
#[cfg(feature = "client")]
pub mod rendezvous;
pub mod secret;

#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "server")]
pub mod server;
#[cfg(any(feature = "client", feature = "server"))]
mod spki;

#[cfg(feature = "client")]
pub use balance::Balance;
pub use body::{Body, BodyError, Chunks};
pub use clock::{Clock, Timestamp};
pub use conn::{ConnInfo, Protocol, UnderWay};
pub use interim::{Interim, Interims};
pub use path::Path;
pub use problem::Problem;
pub use proxies::{ForwardedField, Proxies};
pub use secret::Secret;
