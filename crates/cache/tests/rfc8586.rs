//! RFC 8586 (CDN-Loop): an edge and its shield do not refuse each other, and a loop ends at 508.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod common;

use common::{Origin, cache_status, field, ok, request, stand, stand_with};
use headwater_cache::{Cache, Choices};
use tower::{Layer as _, ServiceExt as _};

fn origin() -> Origin {
    Origin::new(|_| ok(&[("cache-control", "max-age=60")], "x"))
}

#[tokio::test]
async fn rfc_8586_2_each_node_signs_after_those_before_it() {
    let origin = origin();
    let shield = Cache::builder().name("shield").build();
    let edge = Cache::builder().name("edge").build();
    let service = edge.layer().layer(shield.layer().layer(origin.clone()));
    for (method, path) in [("GET", "/a"), ("POST", "/b")] {
        let sent = request(method, path, &[("cdn-loop", "other.example; v=1")]);
        assert_eq!(service.clone().oneshot(sent).await.unwrap().status(), 200, "{method}");
        let last = origin.last();
        let all: Vec<_> = last.get_all("cdn-loop").iter().collect();
        assert_eq!(all, ["other.example; v=1", "edge", "shield"], "{method}");
    }
}

#[tokio::test]
async fn rfc_8586_2_what_comes_back_is_answered_508() {
    let origin = origin();
    let stand = stand(&origin);
    for method in ["GET", "HEAD", "POST"] {
        let looped = stand.send(request(method, "/a", &[("cdn-loop", "a, edge, b")])).await;
        assert_eq!(looped.status(), 508, "{method}");
        assert_eq!(field(&looped, "proxy-status"), "edge; error=proxy_loop_detected");
        assert!(cache_status(&looped).starts_with("edge"));
    }
    assert_eq!(origin.asked(), 0);
    // A list that Connection names is not thereby forgotten.
    let fields = [("cdn-loop", "edge"), ("connection", "cdn-loop")];
    assert_eq!(stand.fetch("/a", &fields).await.0, 508);
}

#[tokio::test]
async fn rfc_8586_2_malformed_fields_pass_and_an_id_of_ones_own_choice_counts() {
    let origin = origin();
    let choices = || Choices::new().node("pop-7.example");
    let stand = stand_with(&origin, |builder| builder.choices(choices()));
    assert_eq!(stand.fetch("/a", &[("cdn-loop", "@@ \"edge, ;;=")]).await.0, 200);
    let last = origin.last();
    let all: Vec<_> = last.get_all("cdn-loop").iter().collect();
    assert_eq!(all, ["@@ \"edge, ;;=", "pop-7.example"]);
    assert_eq!(stand.fetch("/b", &[("cdn-loop", "pop-7.example")]).await.0, 508);
}

#[tokio::test]
async fn rfc_8586_3_more_hops_than_there_can_be_are_a_loop() {
    let origin = origin();
    let stand = stand_with(&origin, |builder| builder.choices(Choices::new().max_hops(2)));
    assert_eq!(stand.fetch("/a", &[("cdn-loop", "a, b")]).await.0, 200);
    assert_eq!(stand.fetch("/b", &[("cdn-loop", "a, b, c")]).await.0, 508);
}

#[tokio::test]
async fn rfc_8586_2_who_forges_a_loop_forges_it_for_nobody_else() {
    let origin = origin();
    let shield = Cache::builder().name("shield").build();
    let edge = Cache::builder().name("edge").build();
    let service = edge.layer().layer(shield.layer().layer(origin.clone()));
    let ask = |fields: &[(&str, &str)]| {
        tokio::spawn(service.clone().oneshot(request("GET", "/a", fields)))
    };
    // The first leads the fetch that the others wait for.
    let forger = ask(&[("cdn-loop", "shield")]);
    let others = [ask(&[]), ask(&[])];
    assert_eq!(forger.await.unwrap().unwrap().status(), 508);
    for other in others {
        assert_eq!(other.await.unwrap().unwrap().status(), 200);
    }
    assert_eq!(edge.metrics().collapsed.get(), 2);
    // Nor does it keep others from waiting for each other.
    let next = service.clone().oneshot(request("GET", "/a", &[])).await.unwrap();
    assert!(cache_status(&next).ends_with("edge; fwd=uri-miss; fwd-status=200; stored"));
}
