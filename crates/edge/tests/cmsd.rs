//! What players are told of their path (CMSD, CTA-5006) is what their connection knows of it at that time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

#[path = "../../net/tests/support/h3_client.rs"]
mod h3_client;
#[path = "../../net/tests/support/relay.rs"]
mod relay;

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h3_client::{H3, endpoint, quic_config};
use headwater_cache::Cache;
use headwater_edge::{CmsdLayer, Edge};
use headwater_net::server::{ConnLimits, Server, ServerHandle, Tls};
use headwater_net::{Body, Clock, ConnInfo, Path};
use http::{HeaderMap, Method, Request, Response};
use relay::Relay;
use tower_service::Service;

/// What a connection knew of its path just before the edge was called with a request, and just after.
type Known = Arc<Mutex<Vec<[Option<Path>; 2]>>>;

/// Has a look at the path of each request on its way to the edge.
#[derive(Clone)]
struct Looks<S> {
    known: Known,
    edge: S,
}

impl<S: Service<Request<Body>>> Service<Request<Body>> for Looks<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.edge.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> S::Future {
        let connection = request.extensions().get::<ConnInfo>().cloned().unwrap();
        let before = connection.path();
        let answer = self.edge.call(request);
        self.known.lock().unwrap().push([before, connection.path()]);
        answer
    }
}

async fn segment(_: Request<Body>) -> Result<Response<Body>, Infallible> {
    let response = Response::builder().header("content-type", "video/mp4");
    let response = response.header("cache-control", "max-age=60");
    Ok(response.body(Body::from(vec![7; 20_000])).unwrap())
}

fn start() -> (ServerHandle, Tls, Known) {
    let tls = Tls::self_signed(["localhost"], None, &Clock::system()).unwrap();
    let edge = Edge::builder().cache(Cache::builder().build()).cmsd(CmsdLayer::new("here"));
    let known = Known::default();
    let looked = Arc::clone(&known);
    let mut limits = ConnLimits::default();
    limits.handshake_timeout = Duration::from_secs(60);
    let server = Server::builder().http("127.0.0.1:0").https("127.0.0.1:0").tls(tls.clone());
    let server = server.workers(1).limits(limits);
    let server = server.serve(move |_| Looks {
        known: Arc::clone(&looked),
        edge: edge.build(tower::service_fn(segment)),
    });
    (server.unwrap(), tls, known)
}

/// The round trip in milliseconds and the throughput in kbit/s, as whole numbers nearest to them.
fn figures(path: Path) -> (u64, u64) {
    let millis = path.rtt.as_micros().max(1) as f64 / 1e3;
    (
        (path.rtt.as_micros() as f64 / 1e3).round() as u64,
        (path.window as f64 * 8.0 / millis).round() as u64,
    )
}

/// What an answer says of the path: as its connection knew it.
fn told(headers: &HeaderMap, known: &Known) -> (u64, u64) {
    let said = headers["cmsd-dynamic"].to_str().unwrap();
    let number = |key: &str| -> u64 {
        let of = said.split(';').find_map(|part| part.strip_prefix(key)?.strip_prefix('='));
        of.unwrap_or_else(|| panic!("no {key} in {said}")).parse().unwrap()
    };
    let told = (number("rtt"), number("etp"));
    let known = known.lock().unwrap().pop().unwrap().map(|path| figures(path.unwrap()));
    assert!(known.contains(&told), "{said}, where the connection knew {known:?}");
    told
}

#[tokio::test]
async fn cta_5006_etp_and_rtt_are_the_figures_of_the_connection_over_quic() {
    let (server, tls, known) = start();
    // The first flight of the server takes its time: so the round trip is some milliseconds.
    let relay = Relay::new(server.https_addrs()[0]).await;
    relay.hold(true);
    let (endpoint, config) =
        (endpoint(relay.addr), quic_config(&tls, quinn::TransportConfig::default()));
    let connecting = endpoint.connect_with(config, relay.addr, "localhost").unwrap();
    let wait = async {
        while relay.held() == 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait).await.expect("the server answers");
    tokio::time::sleep(Duration::from_millis(50)).await;
    relay.hold(false);
    let client = H3::over(endpoint, connecting.await.unwrap(), relay.addr, "localhost").await;
    let (mut rtts, mut rates) = (BTreeSet::new(), BTreeSet::new());
    for number in 0..30 {
        let path = format!("/{number}.m4s");
        let answer = client.send(Method::GET, &path, Bytes::new()).await.unwrap();
        let (rtt, rate) = told(&answer.headers, &known);
        rtts.insert(rtt);
        rates.insert(rate);
    }
    assert!(rtts.last() > Some(&0) && rates.len() > 5, "all alike: {rtts:?}, {rates:?}");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn cta_5006_etp_and_rtt_are_the_figures_of_the_connection_over_tcp() {
    let (server, _, known) = start();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for number in 0..30 {
        let url = format!("http://{}/{number}.m4s", server.http_addrs()[0]);
        let answer = client.get(url).send().await.unwrap();
        told(answer.headers(), &known);
        answer.bytes().await.unwrap();
    }
}
