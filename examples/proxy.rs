//! One cache in front of one HTTP origin, on a port of the loopback interface: an edge that lets
//! every method in and listens to its clients' `Cache-Control`, or a shield. It prints its URL and
//! runs until its input ends; what measures caches can start it.
//!
//! ```sh
//! cargo run --example proxy -- edge http://127.0.0.1:8000
//! ```
//!
//! Both keep responses with `Set-Cookie`, as RFC 9111 §7.3 lets a cache that believes its origin.
//! Options after the role change what they make of strange origins: `--distrust-malformed-age`,
//! `--trust-any-304` and `--never-stale`; the methods of `Choices` explain them.

use std::convert::Infallible;
use std::io::{Read as _, Write as _};
use std::time::Duration;

use headwater::cache::{Cache, Choices};
use headwater::edge::{Edge, MethodsLayer, NormaliseLayer};
use headwater::net::Body;
use headwater::net::client::Upstream;
use headwater::net::server::{Server, ServerHandle};
use headwater::origin::Shield;
use http::{Method, Request, Response};
use tower::Service;

const METHODS: [Method; 7] = [
    Method::GET,
    Method::HEAD,
    Method::OPTIONS,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let server = start(&args)?;
    let addr = server.http_addrs().first().ok_or("no address was bound")?;
    let mut out = std::io::stdout();
    writeln!(out, "http://{addr}")?;
    out.flush()?;
    // The server has threads of its own.
    while std::io::stdin().read(&mut [0; 64])? > 0 {}
    Ok(())
}

/// Starts what the arguments say: the role, options, the origin.
pub fn start(args: &[String]) -> Result<ServerHandle, Box<dyn std::error::Error>> {
    let [role, options @ .., origin] = args else {
        return Err("name the role, edge or shield, and the origin, as http://127.0.0.1:8000")?;
    };
    let has = |option: &str| options.iter().any(|given| given == option);
    let choices = Choices::new()
        .share_cookies(true)
        .trust_malformed_age(!has("--distrust-malformed-age"))
        .trust_any_304(has("--trust-any-304"));
    let choices =
        if has("--never-stale") { choices.stale_if_unreachable(Duration::ZERO) } else { choices };
    // Less than what common servers keep an idle connection for: five seconds.
    let patience = Duration::from_secs(4);
    let upstream = Upstream::builder(origin.as_str()).pool_idle_timeout(patience).build()?;
    let cache = Cache::builder().name(role).ram(64 << 20).choices(choices).build();
    if role == "shield" {
        let shield = Shield::builder().origin(upstream).cache(cache).build();
        serve(move || shield.clone())
    } else {
        let search = Method::from_bytes(b"M-SEARCH")?;
        let edge = Edge::builder()
            .cache(cache)
            .methods(MethodsLayer::new(METHODS.into_iter().chain([search])))
            .normalise(NormaliseLayer::new().keep_cache_control(true));
        serve(move || edge.build(upstream.clone()))
    }
}

fn serve<S>(
    make: impl Fn() -> S + Send + Sync + 'static,
) -> Result<ServerHandle, Box<dyn std::error::Error>>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    let server = Server::builder().http("127.0.0.1:0").workers(1);
    Ok(server.serve(move |_worker| make())?)
}
