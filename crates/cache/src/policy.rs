//! What a cache may do, as pure decisions over headers and time.
//!
//! [`Policy`] is where a deployment says how it differs from RFC 9111; the submodules are the
//! standard itself: [`freshness`] §4.2, [`storable`] §3, [`reuse`] §4.

pub(crate) mod freshness;
pub(crate) mod reuse;
pub(crate) mod storable;

use std::time::Duration;

use http::request::Parts;
use http::{HeaderMap, StatusCode};

use crate::key::{self, KeyBuf};

/// How requests are told apart, and where a deployment overrides the origin.
///
/// Every method runs on the path of a hit or a fill: it must be quick, must not block, and must
/// give the same answer for the same input.
pub trait Policy: Send + Sync + 'static {
    /// Writes the primary key of a GET or HEAD request. Requests with equal keys may be answered
    /// by one stored response (unless it varies), so everything that the origin's answer depends
    /// on, and that `Vary` does not name, belongs in here.
    fn key(&self, request: &Parts, key: &mut KeyBuf) {
        key::write_default(request, key);
    }

    /// Whether the request goes past the cache: neither answered from it nor stored.
    fn bypass(&self, request: &Parts) -> bool {
        let _ = request;
        false
    }

    /// Changes the request that fills the cache, after conditionals, ranges and hop-by-hop fields
    /// were taken off it. By default CMCD leaves its URL: one player's telemetry is not the
    /// business of a response that many will get.
    fn prepare_fill(&self, request: &mut Parts) {
        if let Some(uri) = key::without_cmcd(&request.uri) {
            request.uri = uri;
        }
    }

    /// The freshness lifetime of a storable response, given what RFC 9111 §4.2.1 makes it.
    fn lifetime(&self, status: StatusCode, headers: &HeaderMap, standard: Duration) -> Duration {
        let _ = (status, headers);
        standard
    }
}

/// RFC 9111 as it stands: the key is host, path and query without CMCD, nothing is bypassed, and
/// lifetimes are the origin's.
#[derive(Clone, Copy, Debug, Default)]
pub struct DefaultPolicy;

impl Policy for DefaultPolicy {}
