//! HEAD that goes upstream, and what it says of a stored response (RFC 9111 §4.3.5).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod common;

use std::sync::{Arc, Mutex};

use common::{Origin, Stand, cache_status, field, ok, request, stand, stand_with};
use headwater_cache::{KeyBuf, Policy};
use headwater_net::Body;
use http::Response;
use http::request::Parts;

/// What the origin says to a HEAD; to a GET it says `max-age=10` and `hello`.
type Said = Arc<Mutex<Vec<(&'static str, &'static str)>>>;

fn origin(said: &Said) -> Origin {
    let said = Arc::clone(said);
    Origin::new(move |parts| {
        if parts.method == "HEAD" {
            return ok(&said.lock().unwrap(), "");
        }
        ok(&[("cache-control", "max-age=10"), ("x-of", "get"), ("x-kept", "1")], "hello")
    })
}

/// A response without a validator is stored and stale: a HEAD of it goes upstream.
async fn stale(said: &Said) -> (Origin, Stand) {
    let origin = origin(said);
    let stand = stand(&origin);
    assert_eq!(stand.fetch("/a", &[]).await.1, "hello");
    stand.advance(11);
    (origin, stand)
}

/// What has a request go upstream though what is stored is fresh (RFC 9111 §5.2.1.4).
const ANEW: &[(&str, &str)] = &[("cache-control", "no-cache")];

async fn head(stand: &Stand, fields: &[(&str, &str)]) -> Response<Body> {
    stand.send(request("HEAD", "/a", fields)).await
}

#[tokio::test]
async fn rfc_9111_4_3_5_a_head_that_tells_of_the_same_updates_the_stored_response() {
    let said = Said::default();
    *said.lock().unwrap() =
        vec![("cache-control", "max-age=60"), ("x-of", "head"), ("content-length", "5")];
    let (origin, stand) = stale(&said).await;
    let answer = head(&stand, &[]).await;
    assert_eq!(field(&answer, "x-of"), "head");
    assert_eq!(cache_status(&answer), "edge; fwd=stale; fwd-status=200");
    // It lives on: with the new fields, those that were not named, and its body.
    let (status, text, member) = stand.fetch("/a", &[]).await;
    assert_eq!((status, text.as_str(), member.as_str()), (200, "hello", "edge; hit; ttl=60"));
    let answer = stand.get("/a").await;
    assert_eq!((field(&answer, "x-of"), field(&answer, "x-kept")), ("head", "1"));
    assert_eq!(field(&answer, "content-length"), "5");
    assert_eq!(origin.asked(), 2);
}

#[tokio::test]
async fn rfc_9111_4_3_5_a_head_that_tells_of_another_makes_the_stored_response_stale() {
    for other in [
        ("content-length", "6"),
        ("etag", "\"other\""),
        ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
    ] {
        let said = Said::default();
        *said.lock().unwrap() = vec![("cache-control", "max-age=60"), other];
        let origin = origin(&said);
        let stand = stand(&origin);
        stand.fetch("/a", &[]).await;
        // It is fresh, and the client wants to know of it anew.
        head(&stand, ANEW).await;
        assert_eq!(origin.asked(), 2);
        // It is stale and no more: there is nothing better until the next GET finds out.
        assert_eq!(stand.cache.metrics().stored_objects.get(), 1, "{other:?}");
        let (_, text, member) = stand.fetch("/a", &[]).await;
        assert_eq!(member, "edge; fwd=stale; fwd-status=200; stored", "{other:?}");
        assert_eq!((text.as_str(), origin.asked()), ("hello", 3), "{other:?}");
    }
}

#[tokio::test]
async fn rfc_9111_4_3_5_no_client_makes_stale_what_is_stored_for_others_by_a_field_of_its_own() {
    // None of these is in the key, and what is fetched for all goes upstream without them.
    for own in [
        ("range", "bytes=0-0"),
        ("if-match", "\"x\""),
        ("if-none-match", "\"x\""),
        ("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ("authorization", "Basic eA=="),
        ("cookie", "user=1"),
    ] {
        let said = Said::default();
        *said.lock().unwrap() = vec![("content-length", "1"), ("etag", "\"mine\"")];
        let origin = origin(&said);
        let stand = stand(&origin);
        stand.fetch("/a", &[]).await;
        head(&stand, &[ANEW[0], own]).await;
        assert_eq!(origin.asked(), 2, "{own:?}");
        assert_eq!(stand.fetch("/a", &[]).await.2, "edge; hit; ttl=10", "{own:?}");
    }
}

#[tokio::test]
async fn rfc_9111_4_3_5_what_is_not_for_others_updates_nothing() {
    // Its asker's credentials or cookies, and a request that nothing is to be stored of.
    for fields in
        [[("authorization", "Basic eA==")], [("cookie", "user=1")], [("cache-control", "no-store")]]
    {
        let said = Said::default();
        *said.lock().unwrap() = vec![("cache-control", "public, max-age=60"), ("x-of", "head")];
        let (origin, stand) = stale(&said).await;
        head(&stand, &fields).await;
        let answer = stand.get("/a").await;
        assert_eq!(field(&answer, "x-of"), "get", "{fields:?}");
        assert_eq!(origin.asked(), 3, "it is as stale as it was: {fields:?}");
    }
    // One that says that nobody may have it any more.
    let said = Said::default();
    *said.lock().unwrap() = vec![("cache-control", "no-store")];
    let (_, stand) = stale(&said).await;
    head(&stand, &[]).await;
    assert_eq!(stand.cache.metrics().stored_objects.get(), 0);
}

/// Has what is marked go past the cache.
struct Marked;

impl Policy for Marked {
    fn key(&self, request: &Parts, key: &mut KeyBuf) {
        headwater_cache::key::write_target(request, key);
    }

    fn bypass(&self, request: &Parts) -> bool {
        request.headers.contains_key("x-past")
    }
}

#[tokio::test]
async fn a_head_that_goes_past_the_cache_updates_nothing() {
    let said = Said::default();
    *said.lock().unwrap() = vec![("cache-control", "max-age=60"), ("x-of", "head")];
    let origin = origin(&said);
    let stand = stand_with(&origin, |builder| builder.policy(Marked));
    stand.fetch("/a", &[]).await;
    assert_eq!(field(&head(&stand, &[("x-past", "1")]).await, "x-of"), "head");
    assert_eq!(origin.asked(), 2);
    // Nor does it end anything.
    said.lock().unwrap().push(("etag", "\"other\""));
    head(&stand, &[("x-past", "1")]).await;
    let answer = stand.get("/a").await;
    assert_eq!(
        (field(&answer, "x-of"), cache_status(&answer).as_str()),
        ("get", "edge; hit; ttl=10")
    );
}
