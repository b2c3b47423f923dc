//! Incomplete responses (RFC 9111 §3.3 and §3.4): what came of a body that broke off or was given up
//! is kept under its strong validator, answers what lies within it, and is completed by a range.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod common;

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use common::{Feed, Origin, Stand, cache_status, fed, field, next, request, stand_with, until};
use headwater_cache::Purge;
use headwater_net::Body;
use headwater_net::range::{self, Selection};
use http::Response;
use http::request::Parts;

const LEN: u64 = 2500;
const SLICE: u64 = 1000;

fn bytes(version: u8, part: std::ops::Range<u64>) -> Vec<u8> {
    part.map(|at| (at * 7 + (at >> 8)) as u8 ^ version).collect()
}

/// What an origin has, and the feeds of bodies that it does not send at once.
#[derive(Clone, Default)]
struct Movie {
    version: Arc<Mutex<u8>>,
    feeds: Arc<Mutex<Vec<Feed>>>,
    /// Whether the next whole body is fed by hand.
    by_hand: Arc<Mutex<bool>>,
    weak: bool,
}

impl Movie {
    fn answer(&self, parts: &Parts) -> Response<Body> {
        let version = *self.version.lock().unwrap();
        let etag = format!("{}\"{version}\"", if self.weak { "W/" } else { "" });
        let response =
            Response::builder().header("cache-control", "max-age=60").header("etag", &etag);
        if parts.headers.get("if-none-match").is_some_and(|tag| *tag == *etag) {
            return response.status(304).body(Body::empty()).unwrap();
        }
        let named = parts.headers.get("if-range").is_none_or(|tag| *tag == *etag);
        match range::select(parts.headers.get("range").filter(|_| named), LEN) {
            Selection::Part(part) => response
                .status(206)
                .header("content-range", range::content_range(&part, Some(LEN)))
                .body(Body::from(bytes(version, part)))
                .unwrap(),
            _ if std::mem::take(&mut *self.by_hand.lock().unwrap()) => {
                let (feed, body) = fed();
                self.feeds.lock().unwrap().push(feed);
                response.header("content-length", LEN).body(body).unwrap()
            }
            _ => response.body(Body::from(bytes(version, 0..LEN))).unwrap(),
        }
    }

    fn stand(&self) -> (Origin, Stand) {
        let this = self.clone();
        let origin = Origin::new(move |parts| this.answer(parts));
        let stand = stand_with(&origin, |builder| builder.max_object(100_000).slice(SLICE));
        (origin, stand)
    }

    /// Sends so many bytes of a whole body that is fed by hand, and then fails.
    async fn breaks_off(&self, stand: &Stand, came: u64) {
        *self.by_hand.lock().unwrap() = true;
        let response = stand.get("/s").await;
        let feed = self.feeds.lock().unwrap().pop().unwrap();
        let version = *self.version.lock().unwrap();
        feed.send(Ok(bytes(version, 0..came).into())).await.unwrap();
        drop(feed);
        let broken = common::within(response.into_body().collect(1 << 20)).await;
        assert!(broken.is_err(), "never complete");
    }
}

async fn body(response: Response<Body>) -> Vec<u8> {
    common::within(response.into_body().collect(1 << 20)).await.unwrap().to_bytes().to_vec()
}

fn asked(origin: &Origin) -> Vec<(String, String)> {
    let value = |parts: &Parts, name: &str| {
        parts.headers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned()
    };
    origin.requests().iter().map(|one| (value(one, "range"), value(one, "if-range"))).collect()
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(range, tag)| ((*range).to_owned(), (*tag).to_owned())).collect()
}

#[tokio::test]
async fn rfc_9111_3_3_what_came_of_a_body_answers_ranges_within_it() {
    let movie = Movie::default();
    let (origin, stand) = movie.stand();
    movie.breaks_off(&stand, 1600).await;
    stand.advance(5);
    // In a slice that came whole, in one that did not, and across.
    for (range, part) in [("bytes=10-19", 10..20), ("bytes=1590-1599", 1590..1600)] {
        let response = stand.get_with("/s", &[("range", range)]).await;
        assert_eq!((response.status().as_u16(), field(&response, "age")), (206, "5"));
        assert_eq!(cache_status(&response), "edge; hit; ttl=55");
        assert_eq!(body(response).await, bytes(0, part));
    }
    let across = stand.get_with("/s", &[("range", "bytes=900-1599")]).await;
    assert_eq!(body(across).await, bytes(0, 900..1600));
    assert_eq!(origin.asked(), 1);
    // What has no bytes needs none.
    let head = stand.send(request("HEAD", "/s", &[])).await;
    assert_eq!((head.status().as_u16(), field(&head, "content-length")), (200, "2500"));
    assert_eq!(stand.get_with("/s", &[("range", "bytes=9999-")]).await.status(), 416);
    assert_eq!(stand.get_with("/s", &[("if-none-match", "\"0\"")]).await.status(), 304);
    assert_eq!(origin.asked(), 1);
}

#[tokio::test]
async fn rfc_9111_3_4_the_rest_is_fetched_by_range_and_if_range_and_makes_one_piece() {
    let movie = Movie::default();
    let (origin, stand) = movie.stand();
    movie.breaks_off(&stand, 1600).await;
    let past = stand.get_with("/s", &[("range", "bytes=1590-1609")]).await;
    assert_eq!(cache_status(&past), "edge; fwd=partial; fwd-status=206; ttl=60; stored");
    assert_eq!(body(past).await, bytes(0, 1590..1610));
    assert_eq!(asked(&origin), pairs(&[("", ""), ("bytes=1600-1999", "\"0\"")]));
    let whole = stand.get("/s").await;
    assert_eq!(cache_status(&whole), "edge; hit; ttl=60", "its beginning is there");
    assert_eq!(body(whole).await, bytes(0, 0..LEN));
    assert_eq!(asked(&origin)[2..], pairs(&[("bytes=2000-2499", "\"0\"")]));
    // RFC 9110 §15.3.7.3: all parts under one strong validator are one response.
    until(|| stand.cache.metrics().stored_objects.get() == 1).await;
    assert_eq!(body(stand.get("/s").await).await, bytes(0, 0..LEN));
    assert_eq!(origin.asked(), 3);
}

#[tokio::test]
async fn rfc_9110_15_3_7_3_parts_of_two_representations_are_not_combined() {
    let movie = Movie::default();
    let (origin, stand) = movie.stand();
    movie.breaks_off(&stand, 1600).await;
    *movie.version.lock().unwrap() = 9;
    // `If-Range` brings the whole of the new one, which takes the old one's place.
    let response = stand.get_with("/s", &[("range", "bytes=1590-1609")]).await;
    assert_eq!((response.status().as_u16(), field(&response, "etag")), (206, "\"9\""));
    assert_eq!(body(response).await, bytes(9, 1590..1610));
    assert_eq!(body(stand.get("/s").await).await, bytes(9, 0..LEN));
    assert!(asked(&origin).contains(&("bytes=1600-1999".to_owned(), "\"0\"".to_owned())));
}

#[tokio::test]
async fn rfc_9111_3_4_without_a_strong_validator_nothing_incomplete_is_kept() {
    let movie = Movie { weak: true, ..Movie::default() };
    let (origin, stand) = movie.stand();
    movie.breaks_off(&stand, 1600).await;
    assert_eq!(stand.cache.metrics().stored_objects.get(), 0);
    assert_eq!(body(stand.get("/s").await).await, bytes(0, 0..LEN));
    assert_eq!(asked(&origin), pairs(&[("", ""), ("", "")]));
}

#[tokio::test]
async fn rfc_9111_3_3_a_fetch_that_nobody_waits_for_leaves_what_came() {
    let movie = Movie::default();
    let (origin, stand) = movie.stand();
    *movie.by_hand.lock().unwrap() = true;
    let mut response = stand.get("/s").await;
    let feed = movie.feeds.lock().unwrap().pop().unwrap();
    feed.send(Ok(bytes(0, 0..300).into())).await.unwrap();
    assert_eq!(next(response.body_mut()).await.unwrap().unwrap().len(), 300);
    drop(response);
    until(|| stand.cache.metrics().fills_abandoned.get() == 1).await;
    assert_eq!(body(stand.get("/s").await).await, bytes(0, 0..LEN));
    let rest = [("", ""), ("bytes=300-999", "\"0\""), ("bytes=1000-1999", "\"0\"")];
    assert_eq!(asked(&origin)[..3], pairs(&rest));
}

#[tokio::test]
async fn a_body_longer_than_its_length_leaves_nothing() {
    let movie = Movie::default();
    let (_, stand) = movie.stand();
    *movie.by_hand.lock().unwrap() = true;
    let response = stand.get("/s").await;
    let feed = movie.feeds.lock().unwrap().pop().unwrap();
    feed.send(Ok(bytes(0, 0..1200).into())).await.unwrap();
    feed.send(Ok(Bytes::from(vec![0; 5000]))).await.unwrap();
    assert!(common::within(response.into_body().collect(1 << 20)).await.is_err());
    assert_eq!(stand.cache.metrics().stored_objects.get(), 0);
}

#[tokio::test]
async fn a_purge_takes_what_is_incomplete_and_what_was_under_way() {
    let movie = Movie::default();
    let (origin, stand) = movie.stand();
    movie.breaks_off(&stand, 1600).await;
    stand.cache.purge(Purge::url("http://example.com/s")).await.unwrap();
    assert_eq!(body(stand.get("/s").await).await, bytes(0, 0..LEN));
    assert_eq!(asked(&origin), pairs(&[("", ""), ("", "")]), "nothing of it was used");
    // One that was under way when an unsafe request came leaves nothing, either.
    let movie = Movie::default();
    let (_, stand) = movie.stand();
    *movie.by_hand.lock().unwrap() = true;
    let response = stand.get("/s").await;
    stand.send(request("DELETE", "/s", &[])).await;
    let feed = movie.feeds.lock().unwrap().pop().unwrap();
    feed.send(Ok(bytes(0, 0..1600).into())).await.unwrap();
    drop(feed);
    assert!(common::within(response.into_body().collect(1 << 20)).await.is_err());
    assert_eq!(stand.cache.metrics().stored_objects.get(), 0);
}

#[tokio::test]
async fn rfc_9111_4_3_what_is_incomplete_and_stale_is_confirmed_as_one() {
    let movie = Movie::default();
    let (origin, stand) = movie.stand();
    movie.breaks_off(&stand, 1600).await;
    stand.advance(61);
    let part = stand.get_with("/s", &[("range", "bytes=1500-1509")]).await;
    assert_eq!(cache_status(&part), "edge; fwd=stale; fwd-status=304; ttl=60; stored");
    assert_eq!(body(part).await, bytes(0, 1500..1510));
    assert_eq!(origin.asked(), 2);
}

#[tokio::test]
async fn rfc_9111_3_3_who_jumps_into_the_unknown_costs_one_slice() {
    let movie = Movie::default();
    let (origin, stand) = movie.stand();
    let part = stand.get_with("/s", &[("range", "bytes=2100-2109")]).await;
    assert_eq!(
        (part.status().as_u16(), field(&part, "content-range")),
        (206, "bytes 2100-2109/2500")
    );
    assert_eq!(body(part).await, bytes(0, 2100..2110));
    assert_eq!(asked(&origin), pairs(&[("bytes=2000-2999", "")]), "the 206 it got is stored");
    let again = stand.get_with("/s", &[("range", "bytes=2400-")]).await;
    assert_eq!(cache_status(&again), "edge; hit; ttl=60");
    assert_eq!(body(stand.get("/s").await).await, bytes(0, 0..LEN));
    let rest = [("bytes=0-999", "\"0\""), ("bytes=1000-1999", "\"0\"")];
    assert_eq!(asked(&origin)[1..], pairs(&rest));
    // Where that cannot be kept, the whole is asked for, and not by parts in vain again.
    let movie = Movie { weak: true, ..Movie::default() };
    let (origin, stand) = movie.stand();
    let part = stand.get_with("/s", &[("range", "bytes=2100-2109")]).await;
    assert_eq!(body(part).await, bytes(0, 2100..2110));
    assert_eq!(asked(&origin), pairs(&[("bytes=2000-2999", ""), ("", "")]));
}
