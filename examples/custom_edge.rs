//! An edge of one's own: HTTP/1.1, HTTP/2 and HTTP/3 on one port, a shield with prefetch behind the
//! cache, and a policy that one wrote.
//!
//! ```sh
//! cargo run --release --example custom_edge -- http://127.0.0.1:8080
//! ```

use std::time::Duration;

use headwater::cache::key::host;
use headwater::cache::{Cache, DefaultPolicy, Downstream, KeyBuf, Policy, TierLayer};
use headwater::edge::{AccessLog, Edge};
use headwater::net::Clock;
use headwater::net::client::Upstream;
use headwater::net::server::{Server, Tls};
use headwater::origin::{PrefetchConfig, Shield};
use http::request::Parts;
use tower::Layer as _;

/// Below `/video/` a query is a session id: neither the cache nor the origin sees it.
struct SharedVideo;

impl Policy for SharedVideo {
    fn key(&self, request: &Parts, key: &mut KeyBuf) {
        if !request.uri.path().starts_with("/video/") {
            return DefaultPolicy.key(request, key);
        }
        key.push_lowercase(host(request));
        key.push(request.uri.path().as_bytes());
    }

    fn prepare(&self, request: &mut Parts) {
        if request.uri.path().starts_with("/video/") {
            request.uri = request.uri.path().parse().unwrap_or_default();
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let origin = std::env::args().nth(1).ok_or("name the origin, such as http://127.0.0.1:8080")?;
    let shield = Shield::builder()
        .origin(Upstream::builder(origin).build()?)
        .cache(Cache::builder().name("shield").ram(1 << 30).downstream(Downstream::Caches).build())
        .prefetch(PrefetchConfig::default().ahead(3))
        .build();

    let (log, _writer) = AccessLog::start(std::io::stdout(), 8192)?;
    let cache = Cache::builder().name("edge").ram(1 << 30).policy(SharedVideo).build();
    let edge = Edge::builder().cache(cache).access_log(log);

    let server = Server::builder()
        .https("localhost:8443")
        .http("localhost:8080")
        .tls(Tls::self_signed(["localhost"], None, &Clock::system())?)
        .serve(move |_worker| edge.build(TierLayer.layer(shield.clone())))?;
    tokio::signal::ctrl_c().await?;
    server.drain(Duration::from_secs(10)).await;
    Ok(())
}
