//! Who may ask a shield: its edges, and the shields beside it. They are believed what they say of sessions, of
//! purges and of what is fetched ahead, so nobody else is answered.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::Either;
use headwater_net::{Body, ConnInfo, Problem, Proxies};
use http::{Request, Response, StatusCode};
use tower_service::Service;

/// A shield behind its edges.
#[derive(Clone)]
pub(crate) struct Edges<S> {
    networks: Option<Arc<Proxies>>,
    shield: S,
}

impl<S> Edges<S> {
    /// Answers those that come from `networks`, by default from this machine, or by a Unix socket, whose file
    /// says who may.
    pub(crate) const fn new(networks: Option<Arc<Proxies>>, shield: S) -> Self {
        Self { networks, shield }
    }

    fn know(&self, request: &Request<Body>) -> bool {
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

impl<S> Service<Request<Body>> for Edges<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<S::Future, Ready<Result<Response<Body>, Infallible>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.shield.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if self.know(&request) {
            return Either::Left(self.shield.call(request));
        }
        let problem = Problem::new(StatusCode::FORBIDDEN);
        let problem = problem.detail("a shield answers its edges: --edges says where they are");
        Either::Right(ready(Ok(problem.into_response())))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use std::net::SocketAddr;

    use headwater_net::Protocol;
    use tower::{ServiceExt as _, service_fn};

    use super::*;

    async fn ask<S>(edges: &Edges<S>, from: Option<&str>) -> StatusCode
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone,
    {
        let mut request = Request::new(Body::Empty);
        if let Some(from) = from {
            let from: SocketAddr = from.parse().unwrap();
            request.extensions_mut().insert(ConnInfo::new(from, from, Protocol::H1));
        }
        edges.clone().oneshot(request).await.unwrap().status()
    }

    #[tokio::test]
    async fn edges_are_answered_and_nobody_else_is() {
        let shield = service_fn(|_: Request<Body>| async {
            Ok::<_, Infallible>(Response::new(Body::Empty))
        });
        let own = Edges::new(None, shield);
        let networks: Proxies = "10.0.0.0/8,2001:db8::/32".parse().unwrap();
        let named = Edges::new(Some(Arc::new(networks)), shield);
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
