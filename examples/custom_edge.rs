//! An edge of one's own: HTTP/1.1, HTTP/2 and HTTP/3 on one port, a shield with prefetch behind the
//! cache, and a policy that one wrote: `cargo run --example custom_edge -- http://127.0.0.1:8080`.

use std::time::Duration;

use headwater::cache::key::host;
use headwater::cache::{Cache, DefaultPolicy, Downstream, KeyBuf, Policy, TierLayer};
use headwater::edge::Edge;
use headwater::net::Clock;
use headwater::net::client::Upstream;
use headwater::net::server::{Server, ServerHandle, Tls};
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

/// The edge in front of an origin; it ends when the handle is dropped.
pub fn serve(origin: &str, at: &str) -> Result<ServerHandle, Box<dyn std::error::Error>> {
    let cache = |name| Cache::builder().name(name).ram(1 << 30);
    let shield = Shield::builder()
        .origin(Upstream::builder(origin).build()?)
        .cache(cache("shield").downstream(Downstream::Caches).build())
        .prefetch(PrefetchConfig::default().ahead(3))
        .build();
    let edge = Edge::builder().cache(cache("edge").policy(SharedVideo).build());
    let tls = Tls::self_signed(["localhost"], None, &Clock::system())?;
    let server = Server::builder().https(at).tls(tls);
    Ok(server.serve(move |_worker| edge.build(TierLayer.layer(shield.clone())))?)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let origin = std::env::args().nth(1).ok_or("name the origin, such as http://127.0.0.1:8080")?;
    let server = serve(&origin, "localhost:8443")?;
    tokio::signal::ctrl_c().await?;
    server.drain(Duration::from_secs(10)).await;
    Ok(())
}
