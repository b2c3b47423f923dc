//! RFC 9211 (Cache-Status): what became of a request, for every way that it can go.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod common;

use common::{Origin, cache_status, ok, reply, request, stand, stand_with};

#[tokio::test]
async fn rfc_9211_2_2_each_reason_to_go_forward_has_its_word() {
    let origin = Origin::new(|parts| {
        if parts.headers.contains_key("if-none-match") {
            return reply(304, &[("cache-control", "max-age=10"), ("etag", "\"v\"")], "");
        }
        ok(&[("cache-control", "max-age=10"), ("vary", "x-who"), ("etag", "\"v\"")], "x")
    });
    let stand = stand(&origin);
    let who = [("x-who", "a")];
    assert_eq!(stand.fetch("/a", &who).await.2, "edge; fwd=uri-miss; fwd-status=200; stored");
    assert_eq!(stand.fetch("/a", &[]).await.2, "edge; fwd=vary-miss; fwd-status=200; stored");
    assert_eq!(stand.fetch("/a", &who).await.2, "edge; hit; ttl=10");
    let forced = [("x-who", "a"), ("cache-control", "no-cache")];
    assert!(stand.fetch("/a", &forced).await.2.starts_with("edge; fwd=request; fwd-status=304"));
    stand.advance(20);
    let member = stand.fetch("/a", &who).await.2;
    assert_eq!(member, "edge; fwd=stale; fwd-status=304; ttl=10; stored");
    let post = stand.send(request("POST", "/b", &[])).await;
    assert_eq!(cache_status(&post), "edge; fwd=method; fwd-status=200");
}

#[tokio::test]
async fn rfc_9211_2_5_what_is_not_stored_does_not_say_so() {
    let origin = Origin::new(|_| ok(&[("cache-control", "no-store")], "x"));
    let stand = stand(&origin);
    let member = stand.fetch("/a", &[]).await.2;
    assert!(member.starts_with("edge; fwd=uri-miss; fwd-status=200"), "{member}");
    assert!(!member.contains("stored"), "{member}");
}

#[tokio::test]
async fn rfc_9211_2_3_an_upstream_that_gave_no_answer_has_no_status() {
    let origin = Origin::failing(|_| Err("reset".into()));
    let stand = stand(&origin);
    let (status, _, member) = stand.fetch("/a", &[]).await;
    assert_eq!((status, member.as_str()), (502, "edge; fwd=uri-miss"));
}

#[tokio::test]
async fn rfc_9211_2_1_a_name_that_is_no_token_is_a_string() {
    let origin = Origin::new(|_| ok(&[("cache-control", "max-age=10")], "x"));
    let stand = stand_with(&origin, |builder| builder.name("edge in \"Ulm\""));
    let member = stand.fetch("/a", &[]).await.2;
    assert!(member.starts_with("\"edge in \\\"Ulm\\\"\"; fwd=uri-miss"), "{member}");
}
