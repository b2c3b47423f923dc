//! What stands in front of this server, and how much of what it says is believed.

use std::sync::Arc;

use super::wire::Route;
use crate::{ConnInfo, Proxies};

/// The proxies in front, by what they do.
#[derive(Clone, Debug, Default)]
pub(super) struct Fronts {
    /// Those that forward requests, and say for whom in `Forwarded`.
    pub(super) requests: Arc<Proxies>,
    /// Those that forward bytes, and say for whom by the PROXY protocol.
    pub(super) bytes: Arc<Proxies>,
}

impl Fronts {
    /// Whether a connection begins with a header of the PROXY protocol.
    pub(super) fn speak_proxy_protocol(&self, route: &Route) -> bool {
        !self.bytes.is_empty() && trusts(&self.bytes, route)
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
}

fn trusts(proxies: &Proxies, route: &Route) -> bool {
    if route.is_unix { proxies.trust_unix() } else { proxies.trust(route.peer.ip()) }
}
