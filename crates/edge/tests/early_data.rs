//! Requests in early data (RFC 8470): from store at once, from upstream only after the handshake or
//! marked.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod support;

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use headwater_edge::{EarlyDataLayer, Edge};
use headwater_net::{Body, ConnInfo, Protocol};
use http::{Request, Response};
use support::{Origin, get, request};
use tower::ServiceExt;

fn early(method: &str, path: &str) -> Request<Body> {
    let mut request = request(method, path, Protocol::H3);
    request.extensions_mut().get_mut::<ConnInfo>().unwrap().early_data = true;
    request
}

#[tokio::test]
async fn rfc_8470_what_is_stored_is_answered_early_and_what_is_not_later() {
    let origin = Origin::default();
    let edge = Edge::builder().build(origin.clone());
    let ask = |request| {
        let edge = edge.clone();
        async move {
            let Ok(response) = edge.oneshot(request).await;
            let status = response.headers()["cache-status"].to_str().unwrap().to_owned();
            (response.status().as_u16(), status)
        }
    };
    // Without a handshake to wait for it is over.
    let (status, cache) = ask(early("GET", "/small")).await;
    assert_eq!(status, 200);
    assert!(cache.contains("fwd=uri-miss") && !cache.contains(','), "asked once: {cache}");
    for method in ["GET", "HEAD"] {
        let (status, cache) = ask(early(method, "/small")).await;
        assert_eq!(status, 200);
        assert!(cache.contains("; hit"), "{cache}");
    }
    assert_eq!(ask(early("GET", "/gone")).await.0, 404);
    assert_eq!(*origin.seen.lock().unwrap(), ["/small", "/gone"]);
    assert!(
        origin.headers.lock().unwrap().iter().all(|headers| !headers.contains_key("early-data"))
    );
}

#[tokio::test]
async fn rfc_8470_5_1_an_upstream_that_knows_is_told_and_may_say_not_yet() {
    let asked = Arc::<Mutex<Vec<(String, bool)>>>::default();
    let seen = Arc::clone(&asked);
    let origin = tower::service_fn(move |request: Request<Body>| {
        let marked = request.headers().get("early-data").is_some_and(|value| value == "1");
        let path = request.uri().path().to_owned();
        let too_early = marked && path == "/once";
        seen.lock().unwrap().push((path, marked));
        async move {
            let status = if too_early { 425 } else { 200 };
            Ok::<_, Infallible>(Response::builder().status(status).body(Body::from("x")).unwrap())
        }
    });
    let edge = Edge::builder().early_data(EarlyDataLayer::new().forward(true)).build(origin);
    for path in ["/often", "/once"] {
        let Ok(answer) = edge.clone().oneshot(early("GET", path)).await;
        assert_eq!(answer.status(), 200, "{path}");
    }
    let Ok(_) = edge.oneshot(get("/late", Protocol::H3)).await;
    let expected = [("/often", true), ("/once", true), ("/once", false), ("/late", false)];
    assert_eq!(*asked.lock().unwrap(), expected.map(|(path, marked)| (path.to_owned(), marked)));
}
