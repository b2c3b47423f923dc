//! Trailers (RFC 9110 §6.5) through an edge: what is shared or stored has none (RFC 9111 §3 leaves a cache
//! the choice to drop them), what only passes keeps them where the protocols on both sides have a
//! way: HTTP/2 does, and HTTP/1.1 has none here, since `TE`, by which a client says that it takes
//! them, is about one hop (RFC 9110 §6.5.1).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod support;

use std::convert::Infallible;
use std::pin::Pin;

use headwater_cache::Cache;
use headwater_edge::Edge;
use headwater_net::Body;
use headwater_net::client::Upstream;
use headwater_net::server::Server;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

/// Text with a trailer after it; the path says how it may be cached.
async fn with_trailers(request: Request<Body>) -> Result<Response<Body>, Infallible> {
    let control = if request.uri().path() == "/stored" { "max-age=60" } else { "no-store" };
    let trailers: HeaderMap =
        [("x-sum".parse().unwrap(), HeaderValue::from_static("9"))].into_iter().collect();
    let text = http_body_util::Full::new(bytes::Bytes::from_static(b"text"));
    let body = Body::stream(text.with_trailers(async { Some(Ok(trailers)) }));
    let response = Response::builder().header("cache-control", control);
    Ok(response.header("trailer", "x-sum").body(body).unwrap())
}

/// The status, the text and the trailer of an answer, and whether a field says what the trailer does.
async fn ask(client: &Upstream, path: &str) -> (u16, String, Option<String>, bool) {
    let request = Request::get(path).header("te", "trailers").body(Body::empty()).unwrap();
    let response = client.clone().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let field = response.headers().contains_key("x-sum");
    let (mut text, mut sum, mut body) = (String::new(), None, response.into_body());
    while let Some(frame) =
        std::future::poll_fn(|cx| http_body::Body::poll_frame(Pin::new(&mut body), cx)).await
    {
        match frame.unwrap().into_data() {
            Ok(data) => text.push_str(std::str::from_utf8(&data).unwrap()),
            Err(frame) => {
                let trailers = frame.into_trailers().unwrap();
                sum = Some(trailers["x-sum"].to_str().unwrap().to_owned());
            }
        }
    }
    (status, text, sum, field)
}

#[tokio::test]
async fn rfc_9110_6_5_trailers_end_at_the_store_and_pass_where_there_is_a_way() {
    let origin = Server::builder().http("127.0.0.1:0").workers(1);
    let origin = origin.serve(|_| tower::service_fn(with_trailers)).unwrap();
    let at = |server: &headwater_net::server::ServerHandle, h2: bool| {
        let base = format!("http://{}", server.http_addrs()[0]);
        Upstream::builder(base).http2_prior_knowledge(h2).build().unwrap()
    };
    for upstream_h2 in [false, true] {
        let upstream = at(&origin, upstream_h2);
        let cache = Cache::builder().name("near").build();
        let edge = Edge::builder().cache(cache);
        let near = Server::builder().http("127.0.0.1:0").workers(1);
        let near = near.serve(move |_| edge.build(upstream.clone())).unwrap();
        for client_h2 in [false, true] {
            let client = at(&near, client_h2);
            let ways = format!("upstream h2: {upstream_h2}, client h2: {client_h2}");
            // By a fetch, and from store; never merged into the fields.
            for _ in 0..2 {
                let stored = ask(&client, "/stored").await;
                assert_eq!(stored, (200, "text".to_owned(), None, false), "{ways}");
            }
            // The first is a fetch that turns out to be its asker's alone, the next one passes.
            for _ in 0..2 {
                let sum = (upstream_h2 && client_h2).then(|| "9".to_owned());
                let passed = ask(&client, "/passed").await;
                assert_eq!(passed, (200, "text".to_owned(), sum, false), "{ways}");
            }
        }
    }
}
