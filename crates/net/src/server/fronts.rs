//! What stands in front of this server, and how much of what it says is believed.

use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderMap;

use super::wire::Route;
use crate::{ConnInfo, ForwardedField, Proxies};

/// The proxies in front, by what they do.
#[derive(Clone, Debug, Default)]
pub(super) struct Fronts {
    /// Those that forward requests, and say for whom in `field`.
    pub(super) requests: Arc<Proxies>,
    pub(super) field: ForwardedField,
    /// Those that forward bytes, and say for whom by the PROXY protocol.
    pub(super) bytes: Arc<Proxies>,
}

impl Fronts {
    /// Whether a connection begins with a header of the PROXY protocol.
    pub(super) fn speak_proxy_protocol(&self, route: &Route) -> bool {
        !self.bytes.is_empty() && trusts(&self.bytes, route)
    }

    /// Whose address counts for how many connections it has; `None` for a trusted front's own, and
    /// where there is none.
    pub(super) fn counted(&self, info: &ConnInfo, route: &Route) -> Option<IpAddr> {
        if info.peer != route.peer {
            return Some(info.peer.ip());
        }
        self.counted_itself(route)
    }

    /// The same of a connection that nobody has told of, as over QUIC.
    pub(super) fn counted_itself(&self, route: &Route) -> Option<IpAddr> {
        let is_front = trusts(&self.bytes, route) || trusts(&self.requests, route);
        (!is_front && !route.is_unix).then_some(route.peer.ip())
    }

    /// The proxies, where this connection is one of theirs: either its own address is, or the one
    /// that a balancer in front of it has told of.
    pub(super) fn forward(&self, info: &ConnInfo, route: &Route) -> Option<Arc<Proxies>> {
        if self.requests.is_empty() {
            return None;
        }
        let told = info.peer != route.peer;
        let trusted =
            if told { self.requests.trust(info.peer.ip()) } else { trusts(&self.requests, route) };
        trusted.then(|| Arc::clone(&self.requests))
    }

    /// Takes off what the request of such a connection says of its client, and notes that.
    pub(super) fn heed(&self, proxies: &Proxies, fields: &mut HeaderMap, info: &mut ConnInfo) {
        if let Some(said) = proxies.take(fields, self.field) {
            info.peer = said.client;
            info.tls = said.tls.unwrap_or(info.tls);
        }
    }
}

fn trusts(proxies: &Proxies, route: &Route) -> bool {
    if route.is_unix { proxies.trust_unix() } else { proxies.trust(route.peer.ip()) }
}
