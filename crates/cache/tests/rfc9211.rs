//! RFC 9211 (Cache-Status): what became of a request, for every way that it can go.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod common;

use common::{Origin, cache_status, ok, reply, request, stand, stand_with};
use headwater_cache::{Choices, Rules};

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

#[tokio::test]
async fn rfc_9211_2_7_the_key_is_told_where_that_is_chosen() {
    let origin = Origin::new(|_| ok(&[("cache-control", "max-age=10")], "x"));
    let tells = Choices::new().tell_key(true);
    let rules = Rules::builder().build().unwrap();
    let stand = stand_with(&origin, |builder| builder.choices(tells).policy(rules));
    let member = stand.fetch("/a?q=%22&token=secret", &[]).await.2;
    assert_eq!(member, "edge; fwd=uri-miss; fwd-status=200; stored; key=\"example.com/a?q=%22\"");
    let member = stand.fetch("/a?q=%22&token=other", &[]).await.2;
    assert_eq!(member, "edge; hit; ttl=10; key=\"example.com/a?q=%22\"");
    // Long ones are cut, and what is not answered from store has none.
    let member = stand.fetch(&format!("/{}", "a".repeat(5000)), &[]).await.2;
    assert!(member.len() < 400 && member.ends_with("aaa\""), "{member}");
    let post = stand.send(request("POST", "/a", &[])).await;
    assert_eq!(cache_status(&post), "edge; fwd=method; fwd-status=200");
}

#[tokio::test]
async fn rfc_9211_2_8_the_tier_of_a_hit_is_told_where_that_is_chosen() {
    let origin = Origin::new(|_| ok(&[("cache-control", "max-age=10")], "x"));
    let tells = Choices::new().tell_tier(true);
    let stand = stand_with(&origin, |builder| builder.choices(tells));
    stand.fetch("/a", &[]).await;
    assert_eq!(stand.fetch("/a", &[]).await.2, "edge; hit; ttl=10; detail=ram");
}
