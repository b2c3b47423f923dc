//! What a verifier looks at of a request.

use std::net::IpAddr;

use headwater_net::{ConnInfo, Timestamp};
use http::Request;

/// A request as a token is held against it, at a time. Its token has been taken off.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'r> {
    /// The path, with no escapes but needed ones, as [`normalise`](crate::normalise) makes it.
    pub path: &'r str,
    /// The client, where it is known; an IPv4 address in IPv6's clothes is undressed.
    pub address: Option<IpAddr>,
    /// When.
    pub now: Timestamp,
}

impl<'r> Asked<'r> {
    /// What is asked by `request` at `now`, for a path that was normalised.
    pub fn new<B>(request: &'r Request<B>, path: &'r str, now: Timestamp) -> Self {
        let conn = request.extensions().get::<ConnInfo>();
        Self { path, address: conn.map(|conn| conn.peer.ip().to_canonical()), now }
    }
}
