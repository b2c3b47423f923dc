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
async fn rfc_9111_4_3_5_a_head_that_tells_of_another_ends_the_stored_response() {
    for other in [
        ("content-length", "6"),
        ("etag", "\"other\""),
        ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
    ] {
        let said = Said::default();
        *said.lock().unwrap() = vec![("cache-control", "max-age=60"), other];
        let (origin, stand) = stale(&said).await;
        head(&stand, &[]).await;
        assert_eq!(stand.cache.metrics().stored_objects.get(), 0, "{other:?}");
        stand.fetch("/a", &[]).await;
        assert_eq!(origin.asked(), 3, "{other:?}");
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
    let answer = stand.get("/a").await;
    assert_eq!(
        (field(&answer, "x-of"), cache_status(&answer).as_str()),
        ("get", "edge; hit; ttl=10")
    );
}
