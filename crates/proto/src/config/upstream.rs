//! `[[upstream]]`: origins that hold the same, and how they are asked.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::quantity::Time;
use super::text::{List, Name, Url};

/// A group of origins with the same content, which routes name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Upstream {
    /// What routes call it. Default none. Bound: each has one of its own. Danger: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// The origins, `http://HOST[:PORT][/PATH]` or `https://…`, the one to ask first in front: the
    /// first that is not known to be down is asked, and for a GET or HEAD that it fails the next. A
    /// path is put before each request's. Default none. Bound: at least one. Danger: those behind must
    /// hold the same as the first.
    pub origins: List<Url>,
    /// Whether the origins are shields of your own, in Headwater: then they are told the newest purge
    /// that this edge has seen (docs/purging.md), and what it answers from its cache (docs/shield.md).
    /// Default false. Bound: their URLs have no path. Danger: with true, anybody else would learn of
    /// purges and of what is watched; with false, a shield can give back what was purged here alone.
    pub shield: bool,
    /// The file of the secret by which shields know this edge, as `Headwater-Link`: by default they take
    /// hints from nobody else. Default none. Bound: `shield` is true. Danger: without `https`, everybody
    /// on the way reads it, and can then have the shield fetch ahead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link_file: Option<PathBuf>,
    /// What origins are told the host is: `origin`, that of their URL; or `client`, that which the
    /// client asked for, over HTTP/1.1. Default `origin`. Bound: `origin` or `client`. Danger: with
    /// `client`, an origin that trusts any host is told any.
    pub host: HostOf,
    /// The file of authorities in PEM that origins' certificates are signed by, in the place of the
    /// system's. Default none. Bound: some origin is `https`. Danger: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// The file of a certificate chain that origins are shown that ask for one. Default none. Bound:
    /// `client_key` must be there, too. Danger: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<PathBuf>,
    /// The file of its private key. Default none. Bound: it is that of `client_certificate`. Danger:
    /// who can read it can be this edge.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_key: Option<PathBuf>,
    /// Whether HTTP/2 is spoken without asking, also in the clear. Default false. Bound: none. Danger:
    /// an origin that does not know it fails every request.
    pub http2: bool,
    /// Time for a connection, TLS included. Default 5 s. Bound: more than zero. Danger: too short fails
    /// far origins, too long holds up the turn to the next.
    pub connect_timeout: Time,
    /// Time from sending a request to the head of its answer. Default 10 s. Bound: more than zero.
    /// Danger: too short cuts off slow origins and uploads.
    pub first_byte_timeout: Time,
    /// Longest silence inside a body that somebody waits for. Default 30 s. Bound: more than zero.
    /// Danger: too long holds clients that get nothing.
    pub idle_timeout: Time,
    /// How long an unused connection is kept. Default 60 s. Bound: none. Danger: longer than the
    /// origin keeps it makes requests meet dead connections.
    pub keep_alive: Time,
    /// Unused connections of HTTP/1.1 kept for each origin. Default 64. Bound: none. Danger: few make
    /// requests wait for handshakes.
    pub max_idle: u32,
    /// Requests that one origin answers at a time. Default 1024. Bound: at least 1. Danger: more than it
    /// can take fails it.
    pub max_requests: u32,
    /// Requests that may wait for that; one more is answered 503. Default 1024. Bound: none. Danger:
    /// none.
    pub max_waiting: u32,
    /// How long one may wait. Default 5 s. Bound: none. Danger: none.
    pub max_wait: Time,
    /// Failures in a row that take an origin down. Default 3. Bound: at least 1. Danger: with 1, one
    /// lost packet does.
    pub failures: u32,
    /// How long an origin that is down is left alone at first; twice as long each time. Default 2 s.
    /// Bound: more than zero. Danger: long ones keep away from one that is well again.
    pub cool_off: Time,
    /// The longest it is left alone. Default 30 s. Bound: at least `cool_off`. Danger: as for
    /// `cool_off`.
    pub longest_cool_off: Time,
    /// Requests that may be asked again of another origin, in percent of all. Default 20. Bound: 0 to
    /// 100. Danger: high ones double the load of those that are left.
    pub retry_percent: u8,
    /// Requests that are asked of another origin at the same time since the first is unusually slow, in
    /// percent of all; 0 for none. Default 5. Bound: 0 to 100. Danger: as for `retry_percent`.
    pub hedge_percent: u8,
}

impl Default for Upstream {
    fn default() -> Self {
        Self {
            name: None,
            origins: List::default(),
            shield: false,
            link_file: None,
            host: HostOf::Origin,
            ca: None,
            client_certificate: None,
            client_key: None,
            http2: false,
            connect_timeout: Time::secs(5),
            first_byte_timeout: Time::secs(10),
            idle_timeout: Time::secs(30),
            keep_alive: Time::secs(60),
            max_idle: 64,
            max_requests: 1024,
            max_waiting: 1024,
            max_wait: Time::secs(5),
            failures: 3,
            cool_off: Time::secs(2),
            longest_cool_off: Time::secs(30),
            retry_percent: 20,
            hedge_percent: 5,
        }
    }
}

/// Whose host origins are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum HostOf {
    /// That of the origin's URL.
    #[default]
    Origin,
    /// That which the client asked for.
    Client,
}
