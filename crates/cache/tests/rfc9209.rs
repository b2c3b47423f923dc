//! RFC 9209 (Proxy-Status): every answer that no origin gave says why it is as it is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod common;

use std::io::{Error, ErrorKind};

use common::{Origin, fed, field, ok, reply, request, stand, stand_with};
use http::Response;

#[tokio::test]
async fn rfc_9209_2_3_an_upstream_without_an_answer_is_named_with_its_error() {
    for (kind, status, error) in [
        (ErrorKind::ConnectionRefused, 502, "connection_refused"),
        (ErrorKind::ConnectionReset, 502, "connection_terminated"),
        (ErrorKind::TimedOut, 504, "http_response_timeout"),
        (ErrorKind::Other, 502, "destination_unavailable"),
    ] {
        let origin = Origin::failing(move |_| Err(Error::from(kind).into()));
        let stand = stand(&origin);
        // By a shared fetch, and past the store.
        for method in ["GET", "POST"] {
            let answer = stand.send(request(method, "/a", &[])).await;
            assert_eq!(answer.status(), status, "{method} {kind}");
            let expected = format!("edge; error={error}");
            assert_eq!(field(&answer, "proxy-status"), expected, "{method} {kind}");
        }
    }
}

#[tokio::test]
async fn rfc_9209_2_an_origin_s_own_answer_has_no_member_of_ours() {
    let origin = Origin::new(|_| reply(503, &[("proxy-status", "origin; error=dns_error")], "x"));
    let answer = stand(&origin).get("/a").await;
    assert_eq!(field(&answer, "proxy-status"), "origin; error=dns_error");
    let origin = Origin::new(|_| ok(&[], "x"));
    assert_eq!(field(&stand(&origin).get("/a").await, "proxy-status"), "");
}

#[tokio::test]
async fn rfc_9209_2_3_29_what_upstream_was_not_asked_for_says_so() {
    let origin = Origin::new(|_| ok(&[], "x"));
    let stand = stand(&origin);
    let answer = stand.get_with("/a", &[("cache-control", "only-if-cached")]).await;
    assert_eq!(answer.status(), 504);
    assert_eq!(field(&answer, "proxy-status"), "edge; error=proxy_internal_response");
}

#[tokio::test]
async fn rfc_9209_2_3_12_too_many_fetches_are_a_limit_that_was_reached() {
    let feeds = std::sync::Mutex::new(Vec::new());
    let origin = Origin::new(move |_| {
        let (feed, body) = fed();
        feeds.lock().unwrap().push(feed);
        Response::builder().header("cache-control", "max-age=60").body(body).unwrap()
    });
    let stand = stand_with(&origin, |builder| builder.max_fills(1));
    let first = stand.get("/a").await;
    let refused = stand.get("/b").await;
    assert_eq!(refused.status(), 503);
    assert_eq!(field(&refused, "proxy-status"), "edge; error=connection_limit_reached");
    drop(first);
}
