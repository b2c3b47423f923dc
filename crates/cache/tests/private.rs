//! Fields that are one client's own, on fetches whose answers others get: credentials and cookies.
//!
//! The first fetch of something goes with its leader's fields, since nobody knows yet for whom the
//! answer is; others get it by word of the origin only (RFC 9111 §3.5 and §7.3). What is shared
//! already is confirmed as it was got, and its slices are fetched without cookies.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod common;

use common::{Origin, Stand, field, ok, reply, stand, stand_with, until};
use headwater_net::Body;
use headwater_net::range::{self, Selection};
use http::request::Parts;
use http::{HeaderMap, Response};

const MINE: [(&str, &str); 2] = [("cookie", "sid=1"), ("authorization", "Basic eA==")];

fn has(fields: &HeaderMap) -> (bool, bool) {
    (fields.contains_key("cookie"), fields.contains_key("authorization"))
}

/// Answers 304 where it is asked to confirm.
fn confirming(fields: &'static [(&'static str, &'static str)]) -> Origin {
    Origin::new(move |parts| {
        if parts.headers.contains_key("if-none-match") {
            return reply(304, fields, "");
        }
        ok(fields, "x")
    })
}

#[tokio::test]
async fn rfc_9111_3_5_the_first_fetch_goes_with_its_leaders_own_fields() {
    let origin = Origin::new(|_| ok(&[("cache-control", "public, max-age=10")], "x"));
    let stand = stand(&origin);
    stand.fetch("/a", &MINE).await;
    assert_eq!(has(&origin.last()), (true, true));
}

#[tokio::test]
async fn what_came_without_cookies_is_confirmed_without_and_what_came_with_them_with() {
    let origin = confirming(&[("cache-control", "public, max-age=10"), ("etag", "\"v\"")]);
    let stand = stand(&origin);
    stand.fetch("/a", &[]).await;
    stand.advance(11);
    assert_eq!(stand.fetch("/a", &MINE).await.2, "edge; fwd=stale; fwd-status=304; ttl=10; stored");
    assert_eq!(has(&origin.last()), (false, false));
    stand.fetch("/b", &MINE).await;
    stand.advance(11);
    stand.fetch("/b", &MINE).await;
    assert_eq!(has(&origin.last()), (true, true));
}

#[tokio::test]
async fn rfc_9111_4_1_cookies_that_tell_responses_apart_go_along() {
    let fields = &[("cache-control", "max-age=10"), ("etag", "\"v\""), ("vary", "cookie")];
    let origin = confirming(fields);
    let stand = stand(&origin);
    for cookie in ["sid=1", "sid=2"] {
        stand.fetch("/a", &[("cookie", cookie)]).await;
    }
    stand.advance(11);
    stand.fetch("/a", &[("cookie", "sid=2")]).await;
    assert_eq!(origin.last()["cookie"], "sid=2");
    assert_eq!(origin.asked(), 3);
}

#[tokio::test]
async fn who_is_refused_without_its_cookies_asks_for_itself() {
    let origin = Origin::new(|parts| {
        if parts.headers.contains_key("if-none-match") && !parts.headers.contains_key("cookie") {
            return reply(403, &[], "no");
        }
        ok(&[("cache-control", "max-age=10"), ("etag", "\"v\"")], "x")
    });
    let stand = stand(&origin);
    stand.fetch("/a", &[]).await;
    stand.advance(11);
    let (status, text, _) = stand.fetch("/a", &[("cookie", "sid=1")]).await;
    assert_eq!((status, text.as_str()), (200, "x"));
    assert_eq!(has(&origin.last()), (true, false));
}

fn film(parts: &Parts) -> Response<Body> {
    let response =
        Response::builder().header("cache-control", "public, max-age=60").header("etag", "\"v\"");
    match range::select(parts.headers.get("range"), 5000) {
        Selection::Part(part) => response
            .status(206)
            .header("content-range", range::content_range(&part, Some(5000)))
            .body(Body::from(vec![7; (part.end - part.start) as usize]))
            .unwrap(),
        _ => response.header("content-length", 5000).body(Body::from(vec![7; 5000])).unwrap(),
    }
}

fn sliced(origin: &Origin) -> Stand {
    stand_with(origin, |builder| builder.max_object(4000).slice(1000))
}

#[tokio::test]
async fn no_cookie_goes_along_with_slices() {
    let origin = Origin::new(film);
    let stand = sliced(&origin);
    // The one who began it has cookies, and so has everyone else.
    let with = |range: &'static str| [MINE[0], MINE[1], ("range", range)];
    stand.fetch("/film", &with("bytes=0-9")).await;
    stand.fetch("/film", &with("bytes=1500-3500")).await;
    let asked = origin.requests();
    let slices: Vec<_> = asked.iter().filter(|one| one.headers.contains_key("if-range")).collect();
    assert_eq!(slices.len(), 4);
    for one in slices {
        // It came with credentials, which the origin says it shares: those it may want again.
        assert_eq!(has(&one.headers), (false, true));
    }
}

#[tokio::test]
async fn who_is_refused_a_slice_without_its_cookies_asks_for_itself() {
    let origin = Origin::new(|parts| {
        if !parts.headers.contains_key("cookie") {
            return reply(403, &[], "no");
        }
        film(parts)
    });
    let stand = sliced(&origin);
    let fields = [MINE[0], ("range", "bytes=1500-1509")];
    let (status, text, _) = stand.fetch("/film", &fields).await;
    assert_eq!((status, text.len()), (206, 10));
    let fields = [MINE[0], ("range", "bytes=2500-2509")];
    let (status, text, _) = stand.fetch("/film", &fields).await;
    assert_eq!((status, text.len()), (206, 10));
    assert_eq!(stand.fetch("/film", &[("range", "bytes=3500-3509")]).await.0, 403);
}

#[tokio::test]
async fn rfc_9111_5_2_2_7_fields_that_private_names_reach_their_asker_alone() {
    for control in ["max-age=60, private=\"x-user, set-cookie\"", "max-age=60, no-cache=\"x-user\""]
    {
        let origin = Origin::new(move |_| {
            ok(&[("cache-control", control), ("x-user", "ann"), ("x-all", "1")], "x")
        });
        let stand = stand(&origin);
        let own = stand.get("/a").await;
        assert_eq!((field(&own, "x-user"), field(&own, "x-all")), ("ann", "1"), "{control}");
        until(|| stand.cache.metrics().stored_objects.get() == 1).await;
        let others = stand.get("/a").await;
        assert_eq!((field(&others, "x-user"), field(&others, "x-all")), ("", "1"), "{control}");
        assert_eq!(origin.asked(), 1);
    }
}
