//! What a verifier looks at of a request.

use std::net::IpAddr;

use headwater_net::{ConnInfo, Protocol, Timestamp};
use http::{HeaderMap, Method, Request, header};

use crate::{Country, Subdivision};

/// A request as a token is held against it, at a time. Its token has been taken off.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'r> {
    /// The method.
    pub method: &'r Method,
    /// Whether it came encrypted; where nobody knows, it did.
    pub is_tls: bool,
    /// The host, perhaps with a port.
    pub host: &'r str,
    /// The path, with no escapes but needed ones, as [`normalise`](crate::normalise) makes it.
    pub path: &'r str,
    /// The query, without the token.
    pub query: Option<&'r str>,
    /// The fields, without the token.
    pub headers: &'r HeaderMap,
    /// The client, where it is known; an IPv4 address in IPv6's clothes is undressed.
    pub address: Option<IpAddr>,
    /// The protocol, where it is known.
    pub protocol: Option<Protocol>,
    /// Whether it came in early data, and may be a replay.
    pub is_early: bool,
    /// Where the client is, if somebody knows.
    pub country: Option<Country>,
    /// And in which part of it.
    pub subdivision: Option<Subdivision>,
    /// When.
    pub now: Timestamp,
}

impl<'r> Asked<'r> {
    /// A GET of a path over TLS, of which nothing else is known.
    pub fn get(path: &'r str, now: Timestamp) -> Self {
        static NONE: std::sync::LazyLock<HeaderMap> = std::sync::LazyLock::new(HeaderMap::new);
        Self {
            method: &Method::GET,
            is_tls: true,
            host: "",
            path,
            query: None,
            headers: &NONE,
            address: None,
            protocol: None,
            is_early: false,
            country: None,
            subdivision: None,
            now,
        }
    }

    /// What is asked by `request` at `now`, for a path that was normalised.
    pub fn new<B>(request: &'r Request<B>, path: &'r str, now: Timestamp) -> Self {
        let conn = request.extensions().get::<ConnInfo>();
        let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
        let authority = request.uri().authority().map(http::uri::Authority::as_str);
        Self {
            method: request.method(),
            is_tls: conn.is_none_or(|conn| conn.tls),
            host: authority.or(host).unwrap_or_default(),
            path,
            query: request.uri().query(),
            headers: request.headers(),
            address: conn.map(|conn| conn.peer.ip().to_canonical()),
            protocol: conn.map(|conn| conn.protocol),
            is_early: conn.is_some_and(|conn| conn.early_data),
            country: request.extensions().get::<Country>().copied(),
            subdivision: request.extensions().get::<Subdivision>().copied(),
            now,
        }
    }
}
