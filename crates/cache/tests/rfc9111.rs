//! What RFC 9111 (and 9110, 9211, 5861 beside it) asks of a shared cache, through its public API.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod common;

use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use common::{
    Origin, START, cache_status, field, ok, reply, request, stand, stand_with, text, until,
};
use headwater_cache::{Cache, KeyBuf, Policy};
use headwater_net::Body;
use http::Response;
use http::request::Parts;
use tower::{Layer as _, ServiceExt as _};

const MODIFIED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

/// An origin that numbers its answers, and answers 304 to those who have the right tag.
fn numbered(control: &'static str) -> Origin {
    let count = AtomicUsize::new(0);
    Origin::new(move |parts| {
        let nth = count.fetch_add(1, Ordering::Relaxed) + 1;
        let response = Response::builder()
            .header("cache-control", control)
            .header("etag", "\"v\"")
            .header("x-nth", nth);
        if parts.headers.get("if-none-match").is_some_and(|tag| tag == "\"v\"") {
            return response.status(304).body(Body::empty()).unwrap();
        }
        response.body(Body::from(format!("body {nth}"))).unwrap()
    })
}

#[tokio::test]
async fn rfc_9111_4_2_fresh_answers_come_from_store_with_age_and_stale_ones_do_not() {
    let origin = Origin::new(|_| ok(&[("cache-control", "max-age=10")], "x"));
    let stand = stand(&origin);
    let first = stand.get("/a").await;
    assert_eq!(cache_status(&first), "edge; fwd=uri-miss; fwd-status=200; stored");
    assert_eq!(field(&first, "age"), "", "an answer just fetched has no Age (§5.1)");
    assert_eq!(field(&first, "date"), START.to_http_date(), "Date is added where missing");
    drop(first);
    until(|| stand.cache.metrics().stored_objects.get() == 1).await;
    stand.advance(9);
    let second = stand.get("/a").await;
    assert_eq!(cache_status(&second), "edge; hit; ttl=1");
    assert_eq!((field(&second, "age"), field(&second, "content-length")), ("9", "1"));
    stand.advance(1);
    assert_eq!(stand.fetch("/a", &[]).await.2, "edge; fwd=stale; fwd-status=200; stored");
    assert_eq!(origin.asked(), 2);
}

#[tokio::test]
async fn rfc_9111_4_2_3_the_age_of_a_cache_before_us_counts() {
    let origin = Origin::new(|_| ok(&[("cache-control", "max-age=10"), ("age", "7")], "x"));
    let stand = stand(&origin);
    let first = stand.get("/a").await;
    assert_eq!(field(&first, "age"), "7");
    text(first).await;
    stand.advance(2);
    assert_eq!(field(&stand.get("/a").await, "age"), "9");
    stand.advance(1);
    stand.fetch("/a", &[]).await;
    assert_eq!(origin.asked(), 2);
}

#[tokio::test]
async fn rfc_9111_4_3_a_304_updates_the_stored_fields_and_keeps_the_body() {
    let origin = numbered("max-age=10");
    let stand = stand(&origin);
    assert_eq!(stand.fetch("/a", &[]).await.1, "body 1");
    stand.advance(11);
    let confirmed = stand.get("/a").await;
    assert_eq!(cache_status(&confirmed), "edge; fwd=stale; fwd-status=304; ttl=10; stored");
    assert_eq!((field(&confirmed, "x-nth"), field(&confirmed, "content-length")), ("2", "6"));
    assert_eq!(text(confirmed).await, "body 1");
    assert_eq!(origin.last()["if-none-match"], "\"v\"");
    stand.advance(9);
    assert_eq!(stand.fetch("/a", &[]).await.2, "edge; hit; ttl=1");
    assert_eq!(origin.asked(), 2);
    assert_eq!(stand.cache.metrics().revalidated.get(), 1);
}

#[tokio::test]
async fn rfc_9111_4_3_revalidation_is_collapsed() {
    let origin = numbered("max-age=10");
    let stand = stand(&origin);
    stand.fetch("/a", &[]).await;
    stand.advance(11);
    let clients: Vec<_> = (0..50)
        .map(|_| tokio::spawn(stand.edge.clone().oneshot(request("GET", "/a", &[]))))
        .collect();
    for client in clients {
        assert_eq!(text(common::within(client).await.unwrap().unwrap()).await, "body 1");
    }
    assert_eq!(origin.asked(), 2);
}

#[tokio::test]
async fn rfc_9111_4_3_4_a_304_for_another_response_is_not_believed() {
    let origin = Origin::new(|parts| {
        if parts.headers.contains_key("if-none-match") {
            return reply(304, &[("etag", "\"other\""), ("cache-control", "max-age=10")], "");
        }
        ok(&[("etag", "\"v\""), ("cache-control", "max-age=10")], "whole")
    });
    let stand = stand(&origin);
    stand.fetch("/a", &[]).await;
    stand.advance(11);
    let (status, body, _) = stand.fetch("/a", &[]).await;
    assert_eq!((status, body.as_str(), origin.asked()), (200, "whole", 3));
}

#[tokio::test]
async fn rfc_9111_5_2_2_4_no_cache_is_stored_and_confirmed_every_time() {
    let origin = numbered("no-cache, max-age=60");
    let stand = stand(&origin);
    assert_eq!(stand.fetch("/a", &[]).await.1, "body 1");
    for _ in 0..2 {
        let (_, body, status) = stand.fetch("/a", &[]).await;
        assert_eq!(body, "body 1");
        assert!(status.starts_with("edge; fwd=stale; fwd-status=304"), "{status}");
    }
    assert_eq!(origin.asked(), 3);
}

#[tokio::test]
async fn rfc_9111_5_2_1_request_directives_and_their_neglect() {
    for honour in [true, false] {
        let origin = numbered("max-age=60");
        let stand = stand_with(&origin, |builder| builder.honour_request_directives(honour));
        stand.fetch("/a", &[]).await;
        stand.advance(5);
        let mut asked = 1;
        for control in ["no-cache", "max-age=1", "min-fresh=58"] {
            let (_, body, status) = stand.fetch("/a", &[("cache-control", control)]).await;
            assert_eq!(body, "body 1");
            asked += usize::from(honour);
            let expected = if honour { "edge; fwd=request; fwd-status=304" } else { "edge; hit" };
            assert!(status.starts_with(expected), "{control}: {status}");
            assert_eq!(origin.asked(), asked, "{control}");
            stand.advance(5);
        }
        let missing = stand.get_with("/none", &[("cache-control", "only-if-cached")]).await;
        assert_eq!(missing.status(), if honour { 504 } else { 200 });
        drop(missing);
        let kept = stand.get_with("/a", &[("cache-control", "only-if-cached")]).await;
        assert_eq!(kept.status(), 200);
        drop(kept);
        let control = [("cache-control", "no-store")];
        stand.fetch("/private", &control).await;
        let again = stand.fetch("/private", &[]).await.2;
        assert_eq!(again.contains("hit"), !honour, "{again}");
    }
}

#[tokio::test]
async fn who_sits_before_the_cache_may_take_stored_answers_only() {
    let origin = numbered("max-age=60");
    // Clients are not listened to.
    let stand = stand_with(&origin, |builder| builder.honour_request_directives(false));
    let stored_only = |method: &'static str, path: &'static str| {
        let mut request = request(method, path, &[]);
        request.extensions_mut().insert(headwater_cache::StoredOnly);
        stand.send(request)
    };
    for (method, path) in [("GET", "/a"), ("HEAD", "/a"), ("POST", "/a")] {
        let answer = stored_only(method, path).await;
        assert_eq!(answer.status(), 504, "{method}");
        assert!(answer.extensions().get::<headwater_cache::StoredOnly>().is_some());
    }
    assert_eq!(origin.asked(), 0);
    stand.fetch("/a", &[]).await;
    let answer = stored_only("GET", "/a").await;
    assert_eq!(answer.status(), 200);
    assert!(answer.extensions().get::<headwater_cache::StoredOnly>().is_none());
    drop(answer);
    stand.advance(100);
    assert_eq!(stored_only("GET", "/a").await.status(), 504, "it would have to be revalidated");
    assert_eq!(origin.asked(), 1);
}

#[tokio::test]
async fn rfc_9111_4_a_stored_get_answers_head_and_a_head_stores_nothing() {
    let origin = numbered("max-age=60");
    let stand = stand(&origin);
    let head = stand.send(request("HEAD", "/a", &[])).await;
    assert_eq!(cache_status(&head), "edge; fwd=uri-miss; fwd-status=200");
    stand.fetch("/a", &[]).await;
    assert_eq!(origin.asked(), 2);
    let head = stand.send(request("HEAD", "/a", &[])).await;
    assert_eq!(cache_status(&head), "edge; hit; ttl=60");
    assert_eq!(field(&head, "content-length"), "6");
    assert_eq!(text(head).await, "");
    assert_eq!(origin.asked(), 2);
}

#[tokio::test]
async fn rfc_9111_4_4_unsafe_methods_invalidate_what_they_touch() {
    let origin = Origin::new(|parts| match (parts.method.as_str(), parts.uri.path()) {
        ("POST", "/fails") => reply(500, &[], ""),
        ("POST", _) => reply(
            201,
            &[("location", "/new"), ("content-location", "http://other.example/kept")],
            "",
        ),
        _ => ok(&[("cache-control", "max-age=60")], "x"),
    });
    let stand = stand(&origin);
    for path in ["/a", "/new", "/fails", "/kept"] {
        stand.fetch(path, &[]).await;
    }
    let status = cache_status(&stand.send(request("POST", "/a", &[])).await);
    assert_eq!(status, "edge; fwd=method; fwd-status=201");
    stand.send(request("POST", "/fails", &[])).await;
    for (path, kept) in [("/a", false), ("/new", false), ("/fails", true), ("/kept", true)] {
        let status = stand.fetch(path, &[]).await.2;
        assert_eq!(status.contains("hit"), kept, "{path}: {status}");
    }
}

#[tokio::test]
async fn rfc_9111_4_4_a_fetch_older_than_an_invalidation_is_not_stored() {
    let bodies = Arc::new(Mutex::new(Vec::new()));
    let (feed, body) = common::fed();
    bodies.lock().unwrap().push(body);
    let origin = Origin::new(move |parts| {
        let next = (parts.method == http::Method::GET).then(|| bodies.lock().unwrap().pop());
        let body = next.flatten().unwrap_or(Body::from("new"));
        Response::builder().header("cache-control", "max-age=60").body(body).unwrap()
    });
    let stand = stand(&origin);
    let old = stand.get("/a").await;
    stand.send(request("PUT", "/a", &[])).await;
    let new = stand.fetch("/a", &[]).await;
    assert_eq!(new.1, "new", "and nobody joins it");
    feed.send(Ok("old".into())).await.unwrap();
    drop(feed);
    assert_eq!(text(old).await, "old");
    assert_eq!(stand.fetch("/a", &[]).await.1, "new");
}

#[tokio::test]
async fn rfc_9110_13_preconditions_are_answered_from_store() {
    let fields = [
        ("cache-control", "max-age=60"),
        ("etag", "\"v\""),
        ("last-modified", MODIFIED),
        ("content-type", "text/plain"),
    ];
    let origin = Origin::new(move |_| ok(&fields, "body"));
    let stand = stand(&origin);
    // The first is answered from the fetch, the others from store.
    for _ in 0..2 {
        let response = stand.get_with("/a", &[("if-none-match", "\"v\"")]).await;
        assert_eq!((response.status().as_u16(), field(&response, "etag")), (304, "\"v\""));
        assert_eq!(field(&response, "content-length"), "");
        assert_eq!(field(&response, "content-type"), "");
        assert_eq!(text(response).await, "");
        until(|| stand.cache.metrics().stored_objects.get() == 1).await;
    }
    for (name, value, expected) in [
        ("if-modified-since", MODIFIED, 304),
        ("if-none-match", "\"w\"", 200),
        ("if-match", "\"w\"", 412),
        ("if-match", "\"v\"", 200),
        ("if-unmodified-since", "Sun, 06 Nov 1994 08:49:36 GMT", 412),
    ] {
        let response = stand.get_with("/a", &[(name, value)]).await;
        assert_eq!(response.status(), expected, "{name}: {value}");
    }
    assert_eq!(origin.asked(), 1);
}

#[tokio::test]
async fn rfc_9110_14_ranges_are_answered_from_store() {
    let fields = [("cache-control", "max-age=60"), ("etag", "\"v\"")];
    let origin = Origin::new(move |_| ok(&fields, "0123456789"));
    let stand = stand(&origin);
    stand.fetch("/a", &[]).await;
    for (range, status, content_range, body) in [
        ("bytes=2-4", 206, "bytes 2-4/10", "234"),
        ("bytes=-3", 206, "bytes 7-9/10", "789"),
        ("bytes=8-", 206, "bytes 8-9/10", "89"),
        ("bytes=0-1,4-5", 206, "bytes 0-5/10", "012345"),
        ("lines=1-2", 200, "", "0123456789"),
    ] {
        let response = stand.get_with("/a", &[("range", range)]).await;
        assert_eq!(response.status(), status, "{range}");
        assert_eq!(field(&response, "content-range"), content_range, "{range}");
        assert_eq!(field(&response, "content-length"), body.len().to_string(), "{range}");
        assert_eq!(text(response).await, body, "{range}");
    }
    for (if_range, status) in [("\"v\"", 206), ("\"w\"", 200), ("W/\"v\"", 200), (MODIFIED, 200)] {
        let fields = [("range", "bytes=0-1"), ("if-range", if_range)];
        assert_eq!(stand.get_with("/a", &fields).await.status(), status, "{if_range}");
    }
    // §13.2.2: preconditions come before the range.
    let fields = [("range", "bytes=0-1"), ("if-none-match", "\"v\"")];
    assert_eq!(stand.get_with("/a", &fields).await.status(), 304);
    assert_eq!(origin.asked(), 1);
}

#[tokio::test]
async fn refusals_are_problems_and_have_no_lifetime_of_the_objects() {
    let fields = [
        ("cache-control", "public, max-age=60, immutable"),
        ("content-type", "video/mp4"),
        ("access-control-allow-origin", "https://player.example"),
        ("etag", "\"v\""),
    ];
    let origin = Origin::new(move |_| ok(&fields, "0123456789"));
    let stand = stand(&origin);
    stand.fetch("/a", &[]).await;
    for (asked, status) in [(("range", "bytes=10-"), 416), (("if-match", "\"w\""), 412)] {
        let response = stand.get_with("/a", &[asked]).await;
        assert_eq!(response.status(), status);
        assert_eq!(field(&response, "cache-control"), "no-store");
        assert_eq!(field(&response, "content-type"), "application/problem+json");
        assert_eq!(field(&response, "access-control-allow-origin"), "https://player.example");
        assert_eq!(field(&response, "etag"), "\"v\"");
        let length = field(&response, "content-length").to_owned();
        if status == 416 {
            assert_eq!(field(&response, "content-range"), "bytes */10");
        }
        let body = text(response).await;
        assert_eq!(body.len().to_string(), length);
        assert!(body.contains(&format!("\"status\":{status}")), "{body}");
    }
}

#[tokio::test]
async fn rfc_9111_3_a_206_to_a_fill_passes_unstored() {
    let origin = Origin::new(|_| {
        reply(206, &[("cache-control", "max-age=60"), ("content-range", "bytes 0-1/9")], "ab")
    });
    let stand = stand(&origin);
    for asked in 1..=2 {
        let (status, body, _) = stand.fetch("/a", &[]).await;
        assert_eq!((status, body.as_str(), origin.asked()), (206, "ab", asked));
    }
}

#[tokio::test]
async fn a_part_of_what_cannot_be_kept_is_asked_for_as_a_part() {
    let origin = Origin::new(|parts| {
        if parts.headers.contains_key("range") {
            return reply(206, &[("content-range", "bytes 0-0/2")], "a");
        }
        ok(&[("cache-control", "no-store")], "ab")
    });
    let stand = stand(&origin);
    let (status, body, _) = stand.fetch("/a", &[("range", "bytes=0-0")]).await;
    assert_eq!((status, body.as_str()), (206, "a"));
    let large = Origin::new(|parts| {
        if parts.headers.contains_key("range") {
            return reply(206, &[("content-range", "bytes 0-0/20")], "a");
        }
        ok(&[("cache-control", "max-age=60")], "abcdefghijklmnopqrst")
    });
    let stand = stand_with(&large, |builder| builder.max_object(10));
    assert_eq!(stand.fetch("/a", &[("range", "bytes=0-0")]).await.0, 206);
}

#[tokio::test]
async fn rfc_9111_4_1_variants_live_side_by_side_and_their_number_is_bounded() {
    let origin = Origin::new(|parts| {
        let who = parts.headers.get("x-who").map_or("", |who| who.to_str().unwrap()).to_owned();
        Response::builder()
            .header("cache-control", "max-age=60")
            .header("vary", "x-who")
            .body(Body::from(who))
            .unwrap()
    });
    let stand = stand(&origin);
    for who in ["a", "b", "a", "b"] {
        assert_eq!(stand.fetch("/v", &[("x-who", who)]).await.1, who);
    }
    assert_eq!(origin.asked(), 2);
    assert!(stand.fetch("/v", &[]).await.2.starts_with("edge; fwd=vary-miss"));
    for nth in 0..100 {
        stand.fetch("/v", &[("x-who", &nth.to_string())]).await;
    }
    let asked = origin.asked();
    assert!(stand.fetch("/v", &[("x-who", "99")]).await.2.contains("hit"));
    assert!(!stand.fetch("/v", &[("x-who", "a")]).await.2.contains("hit"));
    assert_eq!(origin.asked(), asked + 1);
    assert!(stand.cache.metrics().stored_bytes.get() < 100_000);
}

#[tokio::test]
async fn rfc_9111_3_5_authorised_answers_are_shared_only_when_they_say_so() {
    let origin = Origin::new(|parts| {
        let control = if parts.uri.path() == "/open" { "public, max-age=60" } else { "max-age=60" };
        ok(&[("cache-control", control)], "x")
    });
    let stand = stand(&origin);
    let fields = [("authorization", "Bearer x")];
    for (path, hit) in [("/open", true), ("/own", false)] {
        stand.fetch(path, &fields).await;
        let status = stand.fetch(path, &[]).await.2;
        assert_eq!(status.contains("hit"), hit, "{path}: {status}");
    }
}

#[tokio::test]
async fn rfc_5861_3_stale_while_revalidate_answers_at_once_and_asks_behind() {
    let origin = numbered("max-age=10, stale-while-revalidate=20");
    let stand = stand(&origin);
    stand.fetch("/a", &[]).await;
    stand.advance(15);
    for _ in 0..3 {
        let response = stand.get("/a").await;
        if origin.asked() == 1 {
            assert_eq!(cache_status(&response), "edge; hit; ttl=-5");
        }
        assert_eq!(text(response).await, "body 1");
    }
    until(|| stand.cache.metrics().revalidated.get() == 1).await;
    assert_eq!(stand.fetch("/a", &[]).await.2, "edge; hit; ttl=10");
    assert_eq!(origin.asked(), 2);
}

#[tokio::test]
async fn rfc_5861_4_stale_if_error_answers_for_a_failing_upstream() {
    let status = Arc::new(AtomicU16::new(200));
    let now = Arc::clone(&status);
    let origin = Origin::failing(move |_| match now.load(Ordering::Relaxed) {
        0 => Err("reset".into()),
        code => Ok(reply(code, &[("cache-control", "max-age=10, stale-if-error=60")], "x")),
    });
    let stand = stand(&origin);
    stand.fetch("/a", &[]).await;
    stand.advance(20);
    for (code, first, then) in [
        (503, "edge; fwd=stale; fwd-status=503; ttl=-10", "edge; hit; ttl=-10"),
        (0, "edge; fwd=stale; ttl=-15", "edge; hit; ttl=-15"),
    ] {
        status.store(code, Ordering::Relaxed);
        let asked = origin.asked();
        // A failing upstream has a rest of some seconds.
        for expected in [first, then, then] {
            let (code, body, member) = stand.fetch("/a", &[]).await;
            assert_eq!((code, body.as_str(), member.as_str()), (200, "x", expected));
        }
        assert_eq!(origin.asked(), asked + 1);
        stand.advance(5);
    }
    stand.advance(50);
    assert_eq!(stand.fetch("/a", &[]).await.0, 502);
}

#[tokio::test]
async fn rfc_9110_7_6_1_hop_by_hop_fields_go_no_further() {
    let origin = Origin::new(|_| {
        ok(
            &[
                ("cache-control", "max-age=60"),
                ("connection", "x-hop"),
                ("x-hop", "1"),
                ("keep-alive", "timeout=5"),
                ("transfer-encoding", "chunked"),
                ("proxy-authenticate", "Basic"),
            ],
            "x",
        )
    });
    let stand = stand(&origin);
    let sent = [("connection", "x-mine"), ("x-mine", "1"), ("te", "trailers"), ("upgrade", "h2c")];
    for method in ["GET", "GET", "POST"] {
        let response = stand.send(request(method, "/a", &sent)).await;
        for name in ["connection", "x-hop", "keep-alive", "transfer-encoding", "proxy-authenticate"]
        {
            assert!(!response.headers().contains_key(name), "{method} {name}");
        }
        text(response).await;
        for name in ["connection", "x-mine", "te", "upgrade"] {
            assert!(!origin.last().contains_key(name), "{method} {name}");
        }
    }
}

#[tokio::test]
async fn rfc_9211_2_an_edge_signs_after_its_shield() {
    let origin = Origin::new(|_| ok(&[("cache-control", "max-age=60")], "x"));
    let clock = headwater_net::Clock::manual(START);
    let shield = Cache::builder().name("shield").clock(clock.clone()).build();
    let edge = Cache::builder().name("edge").clock(clock.clone()).build();
    let service = edge.layer().layer(shield.layer().layer(origin.clone()));
    let first = service.clone().oneshot(request("GET", "/a", &[])).await.unwrap();
    assert_eq!(
        cache_status(&first),
        "shield; fwd=uri-miss; fwd-status=200; stored, edge; fwd=uri-miss; fwd-status=200; stored"
    );
    assert_eq!(text(first).await, "x");
    let second = service.oneshot(request("GET", "/a", &[])).await.unwrap();
    assert!(cache_status(&second).ends_with("stored, edge; hit; ttl=60"));
    assert_eq!(origin.asked(), 1);
}

#[tokio::test]
async fn cmcd_shares_one_response_and_stays_here() {
    let origin = Origin::new(|_| ok(&[("cache-control", "max-age=60")], "x"));
    let stand = stand(&origin);
    stand.fetch("/s?CMCD=bl%3D1&a=1", &[]).await;
    assert!(stand.fetch("/s?a=1&CMCD=bl%3D2", &[]).await.2.contains("hit"));
    assert_eq!(origin.last_uri(), "http://example.com/s?a=1");
}

#[tokio::test]
async fn a_get_with_content_and_a_bypass_go_past_the_cache() {
    struct NoKeyForA;
    impl Policy for NoKeyForA {
        fn bypass(&self, request: &Parts) -> bool {
            request.uri.path() == "/a"
        }
        fn key(&self, request: &Parts, key: &mut KeyBuf) {
            key.push_lowercase(request.uri.path().as_bytes());
        }
    }
    let origin = Origin::new(|_| ok(&[("cache-control", "max-age=60")], "x"));
    let stand = stand_with(&origin, |builder| builder.policy(NoKeyForA));
    for asked in 1..=2 {
        assert_eq!(stand.fetch("/a", &[]).await.2, "edge; fwd=bypass; fwd-status=200");
        assert_eq!(origin.asked(), asked);
    }
    let (parts, ()) = http::Request::get("/b").body(()).unwrap().into_parts();
    let with_content = http::Request::from_parts(parts, Body::from("content"));
    assert!(cache_status(&stand.send(with_content).await).contains("fwd=bypass"));
    stand.fetch("/B", &[]).await;
    assert!(stand.fetch("/b", &[]).await.2.contains("hit"), "the policy's key");
}

#[tokio::test]
async fn the_ram_tier_stays_within_its_bytes() {
    let origin = Origin::new(|_| {
        Response::builder()
            .header("cache-control", "max-age=60")
            .body(Body::from(vec![0; 10_000]))
            .unwrap()
    });
    let stand = stand_with(&origin, |builder| builder.ram(100_000));
    for nth in 0..200 {
        let response = stand.get(&format!("/{nth}")).await;
        common::within(response.into_body().collect(1 << 20)).await.unwrap();
        assert!(stand.cache.metrics().stored_bytes.get() <= 100_000);
    }
    until(|| stand.cache.metrics().evictions.get() > 100).await;
    assert!(stand.cache.metrics().stored_bytes.get() <= 100_000);
}

#[tokio::test]
async fn what_is_heavier_than_the_ram_tier_is_never_put_into_it() {
    let origin = Origin::new(|parts| {
        let len = if parts.headers.contains_key("x-large") { 90_000 } else { 40_000 };
        Response::builder()
            .header("cache-control", "max-age=60")
            .header("vary", "x-large")
            .body(Body::from(vec![0; len]))
            .unwrap()
    });
    let stand = stand_with(&origin, |builder| builder.ram(80_000));
    let metrics = stand.cache.metrics();
    stand.fetch("/a", &[]).await;
    // Neither too heavy alone nor a reason to let go of the variant that fits.
    assert_eq!(stand.fetch("/a", &[("x-large", "1")]).await.1.len(), 90_000);
    assert_eq!(stand.fetch("/b", &[("x-large", "1")]).await.1.len(), 90_000);
    assert_eq!((metrics.stored_objects.get(), metrics.evictions.get()), (1, 0));
    assert!(stand.fetch("/a", &[]).await.2.starts_with("edge; hit"));
    assert_eq!(origin.asked(), 3);
}

#[tokio::test]
async fn rfc_9110_7_6_1_what_upstream_never_saw_selects_no_variant() {
    let origin = Origin::new(|parts| {
        let who = parts.headers.get("origin").map_or("nobody", |who| who.to_str().unwrap());
        Response::builder()
            .header("cache-control", "max-age=60")
            .header("vary", "Origin")
            .body(Body::from(who.to_owned()))
            .unwrap()
    });
    let stand = stand(&origin);
    let asks = [("origin", "https://a.example"), ("connection", "origin")];
    assert_eq!(stand.fetch("/a", &asks).await.1, "nobody");
    assert_eq!(stand.fetch("/a", &asks[..1]).await.1, "https://a.example", "not poisoned");
    let again = stand.fetch("/a", &asks).await;
    assert_eq!(again.1, "nobody");
    assert!(again.2.starts_with("edge; hit") && origin.asked() == 2);
}

#[tokio::test]
async fn rfc_9111_4_3_2_what_has_no_last_modified_counts_as_of_its_date() {
    let origin = Origin::new(|_| ok(&[("cache-control", "max-age=600")], "x"));
    let stand = stand(&origin);
    let first = stand.get("/a").await;
    assert_eq!(field(&first, "date"), "Tue, 14 Nov 2023 22:13:20 GMT");
    for (since, status) in [
        ("Tue, 14 Nov 2023 22:13:19 GMT", 200),
        ("Tue, 14 Nov 2023 22:13:20 GMT", 304),
        ("Tue, 14 Nov 2023 23:13:20 GMT", 304),
        ("nonsense", 200),
    ] {
        let answer = stand.get_with("/a", &[("if-modified-since", since)]).await;
        assert_eq!(answer.status().as_u16(), status, "{since}");
        let both = [("if-modified-since", since), ("if-none-match", "\"other\"")];
        assert_eq!(stand.get_with("/a", &both).await.status(), 200, "§13.2.2: the tag counts");
    }
    assert_eq!(origin.asked(), 1);
}
