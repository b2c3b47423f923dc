//! The edge as clients meet it over QUIC: what comes in early data, and what overtakes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod early_data;
#[path = "../../../net/tests/support/h3_client.rs"]
mod h3_client;
mod priorities;
#[path = "../../../net/tests/support/relay.rs"]
mod relay;
#[path = "../../../net/tests/support/unfinished.rs"]
mod unfinished;

use std::time::Duration;

use headwater_cache::Cache;
use headwater_edge::{Edge, EdgeBuilder};
use headwater_net::server::{ConnLimits, QuicConfig, Server, ServerBuilder, ServerHandle, Tls};
use headwater_net::{Body, Clock};
use http::{Request, Response};
use tower_service::Service;

/// An edge of two workers with one cache, which takes early data.
pub(crate) struct Running {
    pub(crate) server: ServerHandle,
    pub(crate) tls: Tls,
}

pub(crate) fn start<S>(tune: impl FnOnce(EdgeBuilder) -> EdgeBuilder, origin: S) -> Running
where
    S: Service<Request<Body>, Response = Response<Body>, Error = std::convert::Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send,
{
    let tls = Tls::self_signed(["localhost"], None, &Clock::system()).unwrap();
    let edge = tune(Edge::builder().cache(Cache::builder().build()));
    let server = listening(&tls).serve(move |_| edge.build(origin.clone())).unwrap();
    Running { server, tls }
}

/// A server of two workers that takes early data.
pub(crate) fn listening(tls: &Tls) -> ServerBuilder {
    let mut quic = QuicConfig::default();
    quic.early_data = true;
    // Handshakes and answers are held up.
    quic.idle_timeout = Duration::from_secs(120);
    // All that is asked for here, at once.
    quic.send_window = 32 << 20;
    let mut limits = ConnLimits::default();
    limits.handshake_timeout = Duration::from_secs(60);
    let server = Server::builder().https("127.0.0.1:0").tls(tls.clone()).quic(quic).limits(limits);
    server.workers(2)
}

impl Running {
    pub(crate) fn addr(&self) -> std::net::SocketAddr {
        self.server.https_addrs()[0]
    }
}

/// Waits, within a minute, until `condition` holds.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting)
        .await
        .unwrap_or_else(|_| panic!("not within a minute: {what}"));
}
