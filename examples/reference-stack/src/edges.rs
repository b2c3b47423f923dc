//! Who may ask a shield: its edges, and the shields beside it. They are believed what they say of sessions, of
//! purges and of what is fetched ahead, so nobody else is answered.

use std::sync::Arc;

use headwater_edge::guard::Rule;
use headwater_net::{ConnInfo, Problem, Proxies};
use http::{Request, StatusCode};

/// Lets edges in.
#[derive(Clone)]
pub(crate) struct Edges {
    networks: Option<Arc<Proxies>>,
}

impl Edges {
    /// Lets those in that come from `networks`, by default from this machine, or by a Unix socket, whose file
    /// says who may.
    pub(crate) const fn new(networks: Option<Arc<Proxies>>) -> Self {
        Self { networks }
    }

    fn know<B>(&self, request: &Request<B>) -> bool {
        let connection = request.extensions().get::<ConnInfo>();
        connection.is_some_and(|connection| {
            let peer = connection.peer.ip();
            // By a Unix socket nobody has an address.
            peer.is_unspecified()
                || match &self.networks {
                    Some(networks) => networks.trust(peer),
                    None => peer.to_canonical().is_loopback(),
                }
        })
    }
}

impl Rule for Edges {
    fn admit<B>(&self, request: &mut Request<B>) -> Result<(), Problem> {
        if self.know(request) {
            return Ok(());
        }
        let problem = Problem::new(StatusCode::FORBIDDEN);
        Err(problem.detail("a shield answers its edges: --edges says where they are"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use std::convert::Infallible;
    use std::net::SocketAddr;

    use headwater_edge::GuardLayer;
    use headwater_net::{Body, Protocol};
    use http::Response;
    use tower::{Layer as _, ServiceExt as _, service_fn};

    use super::*;

    async fn ask(edges: &Edges, from: Option<&str>) -> StatusCode {
        let mut request = Request::new(Body::Empty);
        if let Some(from) = from {
            let from: SocketAddr = from.parse().unwrap();
            request.extensions_mut().insert(ConnInfo::new(from, from, Protocol::H1));
        }
        let shield = service_fn(|_: Request<Body>| async {
            Ok::<_, Infallible>(Response::new(Body::Empty))
        });
        let guarded = GuardLayer::new(edges.clone()).layer(shield);
        guarded.oneshot(request).await.unwrap().status()
    }

    #[tokio::test]
    async fn edges_are_answered_and_nobody_else_is() {
        let own = Edges::new(None);
        let networks: Proxies = "10.0.0.0/8,2001:db8::/32".parse().unwrap();
        let named = Edges::new(Some(Arc::new(networks)));
        let here = ["127.0.0.1:9", "127.9.9.9:9", "[::1]:9", "[::ffff:127.0.0.1]:9"];
        let there = ["10.1.2.3:9", "[::ffff:10.1.2.3]:9", "[2001:db8::7]:9"];
        let elsewhere = ["192.0.2.1:9", "[2001:db9::1]:9", "11.0.0.1:9"];
        for (edges, let_in, turned_away) in [(&own, &here[..], &there[..]), (&named, &there, &here)]
        {
            for from in let_in.iter().chain(&["0.0.0.0:0"]) {
                assert_eq!(ask(edges, Some(*from)).await, StatusCode::OK, "{from}");
            }
            for from in turned_away.iter().chain(&elsewhere) {
                assert_eq!(ask(edges, Some(*from)).await, StatusCode::FORBIDDEN, "{from}");
            }
            assert_eq!(ask(edges, None).await, StatusCode::FORBIDDEN);
        }
    }
}
