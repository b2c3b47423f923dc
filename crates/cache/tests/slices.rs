//! Large responses in slices: one byte costs one slice, and bytes of two versions never meet.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod common;

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use common::{Origin, Stand, cache_status, field, next, request, stand_with, text, until};
use headwater_cache::{Cache, Decision, KeyBuf, Policy, Purge};
use headwater_net::Body;
use headwater_net::range::{self, Selection};
use http::request::Parts;
use http::{HeaderMap, Response};

const SLICE: u64 = 1000;
const LEN: u64 = 10_500;

fn byte(version: u64, at: u64) -> u8 {
    (version * 91 + at * 7 + (at >> 8)) as u8
}

fn bytes(version: u64, part: std::ops::Range<u64>) -> Vec<u8> {
    part.map(|at| byte(version, at)).collect()
}

/// A film of a version, by parts where it is asked for parts.
#[derive(Clone)]
struct Film {
    version: Arc<AtomicU64>,
    /// How its fields differ.
    fields: HeaderMap,
    len: u64,
}

impl Film {
    fn new() -> Self {
        Self { version: Arc::new(AtomicU64::new(1)), fields: HeaderMap::new(), len: LEN }
    }

    fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.fields.insert(name, value.parse().unwrap());
        self
    }

    fn answer(&self, parts: &Parts) -> Response<Body> {
        let version = self.version.load(Ordering::Relaxed);
        let etag = format!("\"{version}\"");
        let mut response = Response::builder()
            .header("cache-control", "max-age=60")
            .header("content-type", "video/mp4")
            .header("etag", &etag);
        response.headers_mut().unwrap().extend(self.fields.clone());
        if parts.headers.get("if-none-match").is_some_and(|tag| *tag == *etag) {
            return response.status(304).body(Body::empty()).unwrap();
        }
        let named = parts.headers.get("if-range").is_none_or(|tag| *tag == *etag);
        let asked = parts.headers.get("range").filter(|_| named);
        match range::select(asked, self.len) {
            Selection::Whole => response
                .header("content-length", self.len)
                .body(Body::from(bytes(version, 0..self.len)))
                .unwrap(),
            Selection::Part(part) => response
                .status(206)
                .header("content-range", range::content_range(&part, Some(self.len)))
                .header("content-length", part.end - part.start)
                .body(Body::from(bytes(version, part)))
                .unwrap(),
            Selection::Unsatisfiable => response
                .status(416)
                .header("content-range", range::unsatisfied_range(self.len))
                .body(Body::empty())
                .unwrap(),
        }
    }

    fn origin(&self) -> Origin {
        let this = self.clone();
        Origin::new(move |parts| this.answer(parts))
    }
}

fn sliced(origin: &Origin) -> Stand {
    stand_with(origin, |builder| builder.max_object(5000).slice(SLICE))
}

/// A route whose responses are said to be large.
struct Large;

impl Policy for Large {
    fn key(&self, request: &Parts, key: &mut KeyBuf) {
        headwater_cache::key::write_target(request, key);
    }

    fn in_slices(&self, request: &Parts) -> bool {
        request.uri.path().starts_with("/large/")
    }
}

fn large(origin: &Origin) -> Stand {
    stand_with(origin, |builder| builder.max_object(5000).slice(SLICE).policy(Large))
}

async fn body(response: Response<Body>) -> Vec<u8> {
    common::within(response.into_body().collect(1 << 30)).await.unwrap().to_bytes().to_vec()
}

/// The ranges that upstream was asked for, in order.
fn ranges(origin: &Origin) -> Vec<String> {
    origin.requests().iter().map(|parts| value(&parts.headers, "range")).collect()
}

fn value(headers: &HeaderMap, name: &str) -> String {
    headers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned()
}

#[tokio::test]
async fn one_byte_of_a_large_response_costs_one_slice() {
    let film = Film::new();
    let origin = film.origin();
    let stand = sliced(&origin);
    let part = stand.get_with("/film", &[("range", "bytes=4321-4321")]).await;
    assert_eq!(part.status(), 206);
    assert_eq!(field(&part, "content-range"), "bytes 4321-4321/10500");
    assert_eq!(field(&part, "content-length"), "1");
    assert_eq!(field(&part, "content-type"), "video/mp4");
    assert_eq!(cache_status(&part), "edge; fwd=uri-miss; fwd-status=206; ttl=60; stored");
    assert!(!part.headers().contains_key("age"));
    assert_eq!(body(part).await, bytes(1, 4321..4322));
    assert_eq!(ranges(&origin), ["bytes=4000-4999"]);
    // Everything else of the slice comes from store.
    until(|| stand.cache.metrics().stored_objects.get() == 2).await;
    stand.advance(7);
    let part = stand.get_with("/film", &[("range", "bytes=4000-4999")]).await;
    assert_eq!((cache_status(&part).as_str(), field(&part, "age")), ("edge; hit; ttl=53", "7"));
    assert_eq!(body(part).await, bytes(1, 4000..5000));
    // The last slice is shorter, and a range may cross slices.
    let part = stand.get_with("/film", &[("range", "bytes=-3")]).await;
    assert_eq!(field(&part, "content-range"), "bytes 10497-10499/10500");
    assert_eq!(body(part).await, bytes(1, 10_497..10_500));
    let part = stand.get_with("/film", &[("range", "bytes=3990-5009")]).await;
    assert_eq!(cache_status(&part), "edge; fwd=partial; fwd-status=206; ttl=53; stored");
    assert_eq!(body(part).await, bytes(1, 3990..5010));
    assert_eq!(value(&origin.last(), "if-range"), "\"1\"");
    let mut asked = ranges(&origin).split_off(1);
    asked.sort();
    assert_eq!(asked, ["bytes=10000-10499", "bytes=3000-3999", "bytes=5000-5999"]);
    // What needs no bytes costs none.
    let asked = origin.asked();
    let none = stand.get_with("/film", &[("range", "bytes=10500-")]).await;
    assert_eq!((none.status().as_u16(), field(&none, "content-range")), (416, "bytes */10500"));
    let head = stand.send(request("HEAD", "/film", &[])).await;
    assert_eq!((head.status().as_u16(), field(&head, "content-length")), (200, "10500"));
    let same = stand.get_with("/film", &[("if-none-match", "\"1\"")]).await;
    assert_eq!(same.status(), 304);
    let other = [("range", "bytes=0-1"), ("if-range", "\"0\"")];
    assert_eq!(stand.get_with("/film", &other).await.status(), 200);
    assert_eq!(origin.asked(), asked + 1, "the first slice of the whole");
}

#[tokio::test]
async fn the_whole_streams_slice_after_slice_with_the_next_on_its_way() {
    let film = Film::new();
    let origin = film.origin();
    let stand = sliced(&origin);
    let whole = stand.get("/film").await;
    assert_eq!((whole.status().as_u16(), field(&whole, "content-length")), (200, "10500"));
    let mut response = whole;
    let first = next(response.body_mut()).await.unwrap().unwrap();
    assert_eq!(first.len(), 1000);
    // Nothing more is read, but the next slice comes; the one after it does not.
    until(|| origin.asked() == 3).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(ranges(&origin), ["", "bytes=0-999", "bytes=1000-1999"]);
    let mut all = first.to_vec();
    all.extend(body(response).await);
    assert_eq!(all, bytes(1, 0..LEN));
    assert_eq!(origin.asked(), 12);
    until(|| stand.cache.metrics().stored_objects.get() == 12).await;
    // Again: all from store. Several ranges, too.
    let again = stand.get("/film").await;
    assert_eq!(cache_status(&again), "edge; hit; ttl=60");
    assert_eq!(body(again).await, bytes(1, 0..LEN));
    let several = stand.get_with("/film", &[("range", "bytes=0-1,9000-9001")]).await;
    let len: usize = field(&several, "content-length").parse().unwrap();
    assert!(field(&several, "content-type").starts_with("multipart/byteranges"));
    assert_eq!(body(several).await.len(), len);
    assert_eq!(origin.asked(), 12);
    // Who only looks into the beginning makes no more than that be fetched.
    assert!(stand.cache.metrics().fill_bytes.get() == 0);
}

#[tokio::test]
async fn fetches_of_slices_are_shared() {
    let film = Film::new();
    let origin = film.origin();
    let stand = sliced(&origin);
    let clients: Vec<_> = (0..100u64)
        .map(|nth| {
            let edge = stand.edge.clone();
            tokio::spawn(async move {
                let from = nth % 10 * 1000 + nth;
                let range = format!("bytes={from}-{}", from + 499);
                let request = request("GET", "/film", &[("range", &range)]);
                let response = tower::ServiceExt::oneshot(edge, request).await.unwrap();
                assert_eq!(response.status(), 206);
                assert_eq!(body(response).await, bytes(1, from..from + 500));
            })
        })
        .collect();
    for client in clients {
        common::within(client).await.unwrap();
    }
    let mut asked = ranges(&origin);
    asked.sort();
    let before = asked.len();
    asked.dedup();
    assert_eq!(asked.len(), before, "no slice twice: {asked:?}");
}

#[tokio::test]
async fn rfc_9111_3_4_slices_of_two_versions_never_meet() {
    let film = Film::new();
    let origin = film.origin();
    let stand = sliced(&origin);
    let mut response = stand.get("/film").await;
    let mut read = 0;
    while read < 500 {
        read += next(response.body_mut()).await.unwrap().unwrap().len() as u64;
    }
    until(|| origin.asked() == 3).await;
    film.version.store(2, Ordering::Relaxed);
    // What is there of the first version may still be sent; then it breaks off.
    let error = loop {
        match next(response.body_mut()).await {
            Some(Ok(piece)) => {
                assert_eq!(piece, bytes(1, read..read + piece.len() as u64));
                read += piece.len() as u64;
            }
            Some(Err(error)) => break error,
            None => panic!("ended well after {read}"),
        }
    };
    assert!(read < LEN && error.to_string().contains("another version"), "{read} {error}");
    // The next request heals, and nothing is left of the first version.
    let healed = stand.get("/film").await;
    assert_eq!((field(&healed, "etag"), field(&healed, "content-length")), ("\"2\"", "10500"));
    assert_eq!(body(healed).await, bytes(2, 0..LEN));
    until(|| stand.cache.metrics().stored_objects.get() == 12).await;
    let part = stand.get_with("/film", &[("range", "bytes=0-9")]).await;
    assert_eq!(body(part).await, bytes(2, 0..10));
}

#[tokio::test]
async fn a_new_version_found_before_the_first_byte_costs_the_client_nothing() {
    let film = Film::new();
    let origin = film.origin();
    let stand = sliced(&origin);
    stand.get_with("/film", &[("range", "bytes=0-9")]).await;
    film.version.store(2, Ordering::Relaxed);
    let part = stand.get_with("/film", &[("range", "bytes=5000-5009")]).await;
    assert_eq!((part.status().as_u16(), field(&part, "etag")), (206, "\"2\""));
    assert_eq!(body(part).await, bytes(2, 5000..5010));
}

#[tokio::test]
async fn an_origin_that_never_agrees_with_itself_is_read_whole() {
    let film = Film::new();
    let this = film.clone();
    let origin = Origin::new(move |parts| {
        this.version.fetch_add(1, Ordering::Relaxed);
        this.answer(parts)
    });
    let stand = sliced(&origin);
    for _ in 0..5 {
        let response = stand.get("/film").await;
        let etag: u64 = field(&response, "etag").trim_matches('"').parse().unwrap();
        assert_eq!(body(response).await, bytes(etag, 0..LEN), "promised and kept");
    }
}

#[tokio::test]
async fn an_upstream_without_parts_streams_by_window() {
    for film in [Film::new(), Film::new().with("accept-ranges", "none")] {
        let this = film.clone();
        let origin = Origin::new(move |parts| {
            let mut parts = parts.clone();
            parts.headers.remove("range");
            this.answer(&parts)
        });
        let stand = sliced(&origin);
        assert_eq!(body(stand.get("/film").await).await, bytes(1, 0..LEN));
        // It is not asked for a part in vain again.
        let asked = origin.asked();
        assert_eq!(body(stand.get("/film").await).await, bytes(1, 0..LEN));
        assert_eq!(origin.asked(), asked + 1);
        assert_eq!(value(&origin.last(), "range"), "");
        until(|| stand.cache.metrics().fill_bytes.get() == 0).await;
    }
}

#[tokio::test]
async fn rfc_9111_3_4_without_a_strong_validator_nothing_is_cut() {
    for (name, tag) in [("etag", "W/\"1\""), ("etag", "nonsense")] {
        let film = Film::new().with(name, tag);
        let origin = film.origin();
        let stand = sliced(&origin);
        assert_eq!(body(stand.get("/film").await).await, bytes(1, 0..LEN));
        assert_eq!(ranges(&origin), [""], "{tag}");
    }
}

#[tokio::test]
async fn rfc_9110_8_8_2_2_a_date_that_is_a_strong_validator_will_do() {
    let origin = Origin::new(|parts| {
        let answer = Film::new().answer(&Parts::clone(&{
            let mut parts = parts.clone();
            parts.headers.remove("if-range");
            parts
        }));
        let (mut head, body) = answer.into_parts();
        head.headers.remove("etag");
        head.headers.insert("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT".parse().unwrap());
        Response::from_parts(head, body)
    });
    let stand = sliced(&origin);
    let part = stand.get_with("/film", &[("range", "bytes=321-322")]).await;
    assert_eq!(body(part).await, bytes(1, 321..323));
    assert_eq!(value(&origin.last(), "if-range"), "Sun, 06 Nov 1994 08:49:37 GMT");
    assert_eq!(value(&origin.last(), "range"), "bytes=0-999");
}

#[tokio::test]
async fn a_stale_one_is_confirmed_as_one() {
    let film = Film::new();
    let origin = film.origin();
    let stand = sliced(&origin);
    assert_eq!(body(stand.get("/film").await).await.len() as u64, LEN);
    until(|| stand.cache.metrics().stored_objects.get() == 12).await;
    stand.advance(61);
    let asked = origin.asked();
    let part = stand.get_with("/film", &[("range", "bytes=990-2009")]).await;
    assert_eq!(cache_status(&part), "edge; fwd=stale; fwd-status=304; ttl=60; stored");
    assert_eq!(body(part).await, bytes(1, 990..2010));
    assert_eq!(origin.asked(), asked + 1, "one confirmation for all slices");
    stand.advance(61);
    film.version.store(2, Ordering::Relaxed);
    assert_eq!(body(stand.get("/film").await).await, bytes(2, 0..LEN));
}

#[tokio::test]
async fn a_purge_takes_the_slices_along() {
    let film = Film::new();
    let origin = film.origin();
    let stand = sliced(&origin);
    stand.get_with("/film", &[("range", "bytes=0-9")]).await;
    until(|| stand.cache.metrics().stored_objects.get() == 2).await;
    stand.cache.purge(Purge::url("http://example.com/film")).await.unwrap();
    let asked = origin.asked();
    let part = stand.get_with("/film", &[("range", "bytes=0-9")]).await;
    assert_eq!(body(part).await, bytes(1, 0..10));
    assert_eq!(origin.asked(), asked + 2, "under the same validator, too");
}

#[tokio::test]
async fn a_route_that_says_so_is_asked_by_slices_from_the_first() {
    let film = Film::new();
    let origin = film.origin();
    let stand = large(&origin);
    let part = stand.get_with("/large/film", &[("range", "bytes=4321-4321")]).await;
    assert_eq!((part.status().as_u16(), body(part).await), (206, bytes(1, 4321..4322)));
    assert_eq!(ranges(&origin), ["bytes=4000-4999"]);
    assert_eq!(value(&origin.last(), "if-range"), "");
    assert_eq!(body(stand.get("/large/film").await).await, bytes(1, 0..LEN));
    assert_eq!(origin.asked(), 11, "each slice once");
    // Other routes are asked for the whole, which is let go of when its length is known.
    let part = stand.get_with("/other", &[("range", "bytes=321-321")]).await;
    assert_eq!(part.status(), 206);
    assert!(ranges(&origin).contains(&String::new()));
}

#[tokio::test]
async fn a_suffix_or_an_end_that_is_not_known_begins_with_the_first_slice() {
    let origin = Film::new().origin();
    let stand = large(&origin);
    let part = stand.get_with("/large/film", &[("range", "bytes=-10")]).await;
    assert_eq!(field(&part, "content-range"), "bytes 10490-10499/10500");
    assert_eq!(body(part).await, bytes(1, 10_490..10_500));
    assert_eq!(ranges(&origin), ["bytes=0-999", "bytes=10000-10499"]);
    let origin = Film::new().origin();
    let stand = large(&origin);
    let part = stand.get_with("/large/film", &[("range", "bytes=99999-")]).await;
    assert_eq!((part.status().as_u16(), field(&part, "content-range")), (416, "bytes */10500"));
}

#[tokio::test]
async fn a_416_confirms_no_stale_response() {
    let film = Film::new();
    let shorter = Arc::new(AtomicU64::new(LEN));
    let (len, version) = (Arc::clone(&shorter), Arc::clone(&film.version));
    let origin = Origin::new(move |parts| {
        let film = Film { len: len.load(Ordering::Relaxed), ..film.clone() };
        let mut response = film.answer(parts);
        if response.status() == 416 {
            response.headers_mut().remove("etag");
        }
        response
    });
    let stand = large(&origin);
    stand.get_with("/large/film", &[("range", "bytes=9000-9009")]).await;
    until(|| stand.cache.metrics().stored_objects.get() == 2).await;
    stand.advance(61);
    version.store(2, Ordering::Relaxed);
    shorter.store(7000, Ordering::Relaxed);
    let beyond = stand.get_with("/large/film", &[("range", "bytes=9000-9009")]).await;
    assert_eq!((beyond.status().as_u16(), field(&beyond, "content-range")), (416, "bytes */7000"));
    let part = stand.get_with("/large/film", &[("range", "bytes=0-9")]).await;
    assert_eq!((field(&part, "etag"), field(&part, "content-range")), ("\"2\"", "bytes 0-9/7000"));
    assert_eq!(body(part).await, bytes(2, 0..10));
}

#[tokio::test]
async fn slices_of_another_length_under_the_same_validator_are_others() {
    let film = Film::new();
    let grown = Arc::new(AtomicU64::new(LEN));
    let len = Arc::clone(&grown);
    let origin = Origin::new(move |parts| {
        let mut parts = parts.clone();
        parts.headers.remove("if-none-match");
        Film { len: len.load(Ordering::Relaxed), ..film.clone() }.answer(&parts)
    });
    let stand = sliced(&origin);
    assert_eq!(body(stand.get("/film").await).await, bytes(1, 0..LEN));
    until(|| stand.cache.metrics().stored_objects.get() == 12).await;
    stand.advance(61);
    grown.store(12_000, Ordering::Relaxed);
    assert_eq!(body(stand.get("/film").await).await, bytes(1, 0..12_000));
}

#[tokio::test]
async fn an_error_of_ones_own_making_is_ones_own() {
    for status in [400, 401, 403, 431, 302, 508] {
        let film = Film::new();
        let origin = Origin::new(move |parts| {
            if parts.headers.contains_key("x-bad") {
                return Response::builder().status(status).body(Body::from("bad")).unwrap();
            }
            film.answer(parts)
        });
        let stand = sliced(&origin);
        stand.get_with("/film", &[("range", "bytes=0-9")]).await;
        until(|| stand.cache.metrics().stored_objects.get() == 2).await;
        let ask = |fields: &[(&str, &str)]| {
            let mut request = request("GET", "/film", fields);
            request.headers_mut().insert("range", "bytes=5000-5009".parse().unwrap());
            tokio::spawn(tower::ServiceExt::oneshot(stand.edge.clone(), request))
        };
        // The first leads the fetch that the others wait for.
        let bad = ask(&[("x-bad", "1")]);
        let others = [ask(&[]), ask(&[])];
        let bad = bad.await.unwrap().unwrap();
        assert_eq!((bad.status().as_u16(), text(bad).await.as_str()), (status, "bad"));
        for other in others {
            assert_eq!(body(other.await.unwrap().unwrap()).await, bytes(1, 5000..5010));
        }
        // What is stored stays, and slices of it are fetched.
        let metrics = stand.cache.metrics();
        assert_eq!(metrics.collapsed.get(), 3, "{status}");
        until(|| stand.cache.metrics().stored_objects.get() == 3).await;
        assert_eq!(ranges(&origin).iter().filter(|range| *range == "bytes=5000-5999").count(), 2);
    }
}

#[tokio::test]
async fn what_is_no_larger_than_a_slice_is_one_piece() {
    let film = Film { len: 700, ..Film::new() };
    let origin = film.origin();
    let stand = large(&origin);
    let part = stand.get_with("/large/film", &[("range", "bytes=100-199")]).await;
    assert_eq!((part.status().as_u16(), body(part).await), (206, bytes(1, 100..200)));
    assert_eq!(ranges(&origin), ["bytes=0-999"]);
    let whole = stand.get("/large/film").await;
    assert_eq!(
        (whole.status().as_u16(), cache_status(&whole).as_str()),
        (200, "edge; hit; ttl=60")
    );
    assert!(!whole.headers().contains_key("content-range"));
    assert_eq!(body(whole).await, bytes(1, 0..700));
    assert_eq!(stand.cache.metrics().stored_objects.get(), 1);
}

#[tokio::test]
async fn rfc_9111_3_4_all_parts_of_what_fits_become_one_piece() {
    let film = Film { len: 3500, ..Film::new() };
    let origin = film.origin();
    let stand = large(&origin);
    for range in ["bytes=3400-3499", "bytes=0-0", "bytes=1500-1501", "bytes=2000-2999"] {
        let part = stand.get_with("/large/film", &[("range", range)]).await;
        assert_eq!(part.status(), 206, "{range}");
        body(part).await;
    }
    assert_eq!(origin.asked(), 4);
    // The slices went into the whole.
    until(|| stand.cache.metrics().stored_objects.get() == 1).await;
    assert_eq!(body(stand.get("/large/film").await).await, bytes(1, 0..3500));
    let part = stand.get_with("/large/film", &[("range", "bytes=999-1000")]).await;
    assert_eq!(body(part).await, bytes(1, 999..1001));
    assert_eq!(origin.asked(), 4);
}

#[tokio::test]
async fn a_slice_that_is_not_what_was_asked_for_is_not_believed() {
    for (name, lie) in [
        ("content-range", "bytes 0-998/10500"),
        ("content-range", "bytes 1000-1999/10500"),
        ("content-range", "bytes 0-999/*"),
        ("content-range", "bytes 0-999/10501"),
        ("content-encoding", "gzip"),
        ("cache-control", "private"),
        ("cache-control", "no-store"),
        ("etag", "W/\"1\""),
    ] {
        let film = Film::new();
        let lies = Arc::new(AtomicUsize::new(0));
        let told = Arc::clone(&lies);
        let origin = Origin::new(move |parts| {
            let mut response = film.answer(parts);
            if response.status() == 206 && parts.headers.contains_key("if-range") {
                told.fetch_add(1, Ordering::Relaxed);
                response.headers_mut().insert(name, lie.parse().unwrap());
            }
            response
        });
        let stand = sliced(&origin);
        let part = stand.get_with("/film", &[("range", "bytes=321-322")]).await;
        // In the end the client's own request goes through.
        assert_eq!(part.status(), 206, "{lie}");
        assert_eq!(body(part).await, bytes(1, 321..323), "{lie}");
        assert!(lies.load(Ordering::Relaxed) > 0, "{lie}");
    }
}

#[tokio::test]
async fn rfc_9111_3_3_a_slice_cut_short_breaks_off_and_goes_on_from_there() {
    let film = Film::new();
    let cut = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&cut);
    let origin = Origin::new(move |parts| {
        let response = film.answer(parts);
        let second = value(&parts.headers, "range") == "bytes=1000-1999";
        if second && count.fetch_add(1, Ordering::Relaxed) == 0 {
            let (head, _) = response.into_parts();
            return Response::from_parts(head, Body::from(bytes(1, 1000..1009)));
        }
        response
    });
    let stand = sliced(&origin);
    let broken = stand.get("/film").await;
    assert!(common::within(broken.into_body().collect(1 << 20)).await.is_err());
    assert_eq!(body(stand.get("/film").await).await, bytes(1, 0..LEN));
    // What came of it is kept, and the rest is asked for.
    assert_eq!(cut.load(Ordering::Relaxed), 1);
    assert!(ranges(&origin).contains(&"bytes=1009-1999".to_owned()));
}

#[tokio::test]
async fn a_failing_upstream_is_a_problem_before_the_first_byte() {
    let film = Film::new();
    let origin = Origin::failing(move |parts| {
        if parts.headers.contains_key("if-range") {
            return Err("refused".into());
        }
        Ok(film.answer(parts))
    });
    let stand = sliced(&origin);
    let response = stand.get("/film").await;
    assert_eq!(response.status(), 502);
    assert_eq!(field(&response, "content-type"), "application/problem+json");
    assert!(!text(response).await.contains("refused"));
}

#[tokio::test]
async fn memory_stays_within_its_bounds_however_large_it_is() {
    let film = Film { len: 3_000_000, ..Film::new() };
    let origin = film.origin();
    let stand = stand_with(&origin, |builder| {
        builder.ram(400_000).max_object(100_000).slice(50_000).fill_memory(300_000)
    });
    let metrics = stand.cache.metrics();
    let mut response = stand.get("/film").await;
    let mut read = 0;
    while let Some(piece) = next(response.body_mut()).await {
        let piece = piece.unwrap();
        assert_eq!(piece, bytes(1, read..read + piece.len() as u64));
        read += piece.len() as u64;
        assert!(metrics.fill_bytes.get() <= 400_000);
    }
    assert_eq!(read, 3_000_000);
    assert_eq!(origin.asked(), 61, "each slice once, though few find a place in the store");
    assert!(metrics.stored_bytes.get() <= 400_000);
}

#[tokio::test]
async fn credentials_go_along_only_where_the_response_needs_them() {
    let film = Film::new().with("cache-control", "public, max-age=60");
    let origin = film.origin();
    let stand = sliced(&origin);
    let asked = [("range", "bytes=0-1"), ("authorization", "Basic eA==")];
    stand.get_with("/film", &[("range", "bytes=0-1")]).await;
    let part = stand.get_with("/film", &[("range", "bytes=5000-5001"), asked[1]]).await;
    assert_eq!(body(part).await, bytes(1, 5000..5002));
    assert_eq!(value(&origin.last(), "authorization"), "");
}

#[tokio::test]
async fn rfc_9111_5_2_1_7_who_takes_stored_answers_only_makes_no_slice_be_fetched() {
    let origin = Film::new().origin();
    let stand = sliced(&origin);
    stand.get_with("/film", &[("range", "bytes=0-9")]).await;
    let asked = origin.asked();
    let only = [("cache-control", "only-if-cached")];
    assert_eq!(stand.get_with("/film", &only).await.status(), 504);
    let head = stand.send(request("HEAD", "/film", &only)).await;
    assert_eq!((head.status().as_u16(), field(&head, "content-length")), (200, "10500"));
    assert_eq!(origin.asked(), asked);
}

#[tokio::test]
async fn rfc_8470_5_2_a_slice_asked_for_too_early_is_said_to_be_so() {
    let film = Film::new();
    let origin = Origin::new(move |parts| {
        if parts.headers.contains_key("early-data") {
            return Response::builder().status(425).body(Body::empty()).unwrap();
        }
        film.answer(parts)
    });
    let stand = sliced(&origin);
    body(stand.get_with("/film", &[("range", "bytes=4321-4321")]).await).await;
    let early = [("range", "bytes=7000-7000"), ("early-data", "1")];
    assert_eq!(stand.get_with("/film", &early).await.status(), 425);
    let later = stand.get_with("/film", &early[..1]).await;
    assert_eq!((later.status().as_u16(), body(later).await), (206, bytes(1, 7000..7001)));
}

#[tokio::test]
async fn a_purge_while_the_first_slice_is_on_its_way_takes_it_along() {
    // An origin that forgot to change its tag when the bytes changed.
    let cache = Arc::new(std::sync::OnceLock::<Cache>::new());
    let (to_purge, version) = (Arc::clone(&cache), AtomicU64::new(1));
    let origin = Origin::new(move |parts| {
        let of = version.fetch_max(2, Ordering::Relaxed);
        if of == 1 {
            let purge = to_purge.get().unwrap().purge(Purge::url("http://example.com/film"));
            let done = pin!(purge).poll(&mut Context::from_waker(Waker::noop()));
            assert!(matches!(done, Poll::Ready(Ok(_))));
        }
        let Selection::Part(part) = range::select(parts.headers.get("range"), LEN) else {
            panic!("the whole");
        };
        Response::builder()
            .status(206)
            .header("cache-control", "max-age=60")
            .header("etag", "\"same\"")
            .header("content-range", range::content_range(&part, Some(LEN)))
            .body(Body::from(bytes(of, part)))
            .unwrap()
    });
    let stand = sliced(&origin);
    assert!(cache.set(stand.cache.clone()).is_ok());
    let ask = async |at: u64| {
        let range = format!("bytes={at}-{at}");
        body(stand.get_with("/film", &[("range", &range)]).await).await
    };
    ask(4321).await;
    assert_eq!(ask(5321).await, bytes(2, 5321..5322));
    assert_eq!(ask(4321).await, bytes(2, 4321..4322));
}

/// An origin that has each language of a film from one moment, as long as the others, and no tags.
fn dubbed(varies: &'static [(&'static str, &'static str)]) -> Origin {
    Origin::new(move |parts| {
        let language = value(&parts.headers, "accept-language");
        let version = if language.starts_with("de") { 2 } else { 1 };
        let film = Film::new();
        film.version.store(version, Ordering::Relaxed);
        let mut asked = parts.clone();
        asked.headers.remove("if-range");
        let mut response = film.answer(&asked);
        let headers = response.headers_mut();
        headers.remove("etag");
        headers.insert("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT".parse().unwrap());
        for (name, value) in varies {
            headers.insert(*name, value.parse().unwrap());
        }
        response
    })
}

#[tokio::test]
async fn rfc_9111_3_4_slices_of_two_variants_from_one_moment_never_meet() {
    let origin = dubbed(&[("vary", "Accept-Language")]);
    let stand = sliced(&origin);
    let ask = async |language: &str, range: &str| {
        let asked = [("range", range), ("accept-language", language)];
        body(stand.get_with("/film", &asked).await).await
    };
    for _ in 0..2 {
        assert_eq!(ask("en", "bytes=10-19").await, bytes(1, 10..20));
        assert_eq!(ask("de", "bytes=10-19").await, bytes(2, 10..20));
        assert_eq!(ask("de", "bytes=2000-2009").await, bytes(2, 2000..2010));
        assert_eq!(ask("en", "bytes=2000-2009").await, bytes(1, 2000..2010));
    }
    assert_eq!(origin.asked(), 6, "the beginning and two slices of each, once");
    // The same in other words is the same variant.
    assert_eq!(ask("EN", "bytes=2005-2009").await, bytes(1, 2005..2010));
    assert_eq!(origin.asked(), 6);
    // All of it, too: when a film is small enough, what its slices become is the right one.
    let stand = stand_with(&origin, |builder| builder.slice(SLICE));
    for (language, of) in [("en", 1), ("de", 2), ("en", 1), ("de", 2)] {
        let asked = [("range", "bytes=1000-"), ("accept-language", language)];
        assert_eq!(body(stand.get_with("/film", &asked).await).await, bytes(of, 1000..LEN));
        let whole = stand.get_with("/film", &asked[1..]).await;
        assert_eq!(body(whole).await, bytes(of, 0..LEN), "{language}");
    }
}

#[tokio::test]
async fn rfc_9110_8_8_2_2_a_date_too_near_to_its_response_is_no_strong_validator() {
    for (date, cut) in [
        ("Sun, 06 Nov 1994 08:49:37 GMT", false),
        ("Sun, 06 Nov 1994 08:49:38 GMT", false),
        ("Sun, 06 Nov 1994 08:50:36 GMT", false),
        ("Sun, 06 Nov 1994 08:50:37 GMT", true),
    ] {
        let date: &'static str = date;
        let dated = Box::leak(Box::new([("date", date), ("cache-control", "s-maxage=2000000000")]));
        let origin = dubbed(dated);
        let stand = sliced(&origin);
        let part = stand.get_with("/film", &[("range", "bytes=4321-4322")]).await;
        assert_eq!(body(part).await, bytes(1, 4321..4323));
        let asked = ranges(&origin);
        assert_eq!(asked.len() == 1, cut, "{date}: {asked:?}");
    }
}

#[tokio::test]
async fn a_confirmation_by_a_weak_tag_leaves_slices_their_strong_one() {
    let film = Film::new();
    let this = film.clone();
    let origin = Origin::new(move |parts| {
        let mut response = this.answer(parts);
        if response.status() == 304 {
            response.headers_mut().insert("etag", "W/\"1\"".parse().unwrap());
        }
        response
    });
    let stand = sliced(&origin);
    body(stand.get_with("/film", &[("range", "bytes=0-9")]).await).await;
    until(|| stand.cache.metrics().stored_objects.get() == 2).await;
    stand.advance(61);
    let part = stand.get_with("/film", &[("range", "bytes=5000-5009")]).await;
    assert_eq!(field(&part, "etag"), "\"1\"");
    assert_eq!(body(part).await, bytes(1, 5000..5010));
    assert_eq!(value(&origin.last(), "if-range"), "\"1\"");
}

#[tokio::test]
async fn an_explanation_tells_which_slices_are_there() {
    let origin = Film::new().origin();
    let stand = sliced(&origin);
    body(stand.get_with("/film", &[("range", "bytes=4321-4321")]).await).await;
    until(|| stand.cache.metrics().stored_objects.get() == 2).await;
    let explain = async |range: &str| {
        let asked = request("GET", "/film", &[("range", range)]).into_parts().0;
        stand.cache.explain(&asked).await
    };
    let told = explain("bytes=4000-6000").await;
    assert_eq!((told.decision, &*told.because), (Decision::Hit, "it is fresh for 60 s"));
    let film = &told.variants[0];
    let slices = film.slices.unwrap();
    assert_eq!((film.bytes, slices.stored, slices.all), (LEN, 1, 11));
    let told = explain("bytes=-1").await;
    let because = "it is fresh for 60 s, but slice 11 of 11 is not stored";
    assert_eq!((told.decision, &*told.because), (Decision::Partial, because));
    assert_eq!(explain("bytes=99999-").await.decision, Decision::Hit, "416 needs no bytes");
    // And so it is.
    let part = stand.get_with("/film", &[("range", "bytes=-1")]).await;
    assert!(cache_status(&part).starts_with("edge; fwd=partial"));
}

#[tokio::test]
async fn one_byte_of_fifty_gigabytes_costs_one_slice() {
    const GIGABYTES: u64 = 50_000_000_000;
    const SLICE: u64 = 4 << 20;
    let sent = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&sent);
    let origin = Origin::new(move |parts| {
        let Selection::Part(part) = range::select(parts.headers.get("range"), GIGABYTES) else {
            panic!("the whole");
        };
        let len = part.end - part.start;
        count.fetch_add(len, Ordering::Relaxed);
        Response::builder()
            .status(206)
            .header("cache-control", "max-age=60")
            .header("etag", "\"film\"")
            .header("content-range", range::content_range(&part, Some(GIGABYTES)))
            .body(Body::from(vec![7; len as usize]))
            .unwrap()
    });
    // With the sizes that a cache has by default.
    let stand = common::stand(&origin);
    for (nth, at) in [GIGABYTES - 1, 31_234_567_890].into_iter().enumerate() {
        let asked = format!("bytes={at}-{at}");
        let part = stand.get_with("/film", &[("range", &asked)]).await;
        assert_eq!(field(&part, "content-range"), format!("bytes {at}-{at}/{GIGABYTES}"));
        assert_eq!(body(part).await, [7]);
        assert_eq!(origin.asked(), nth + 1);
    }
    let sent = sent.load(Ordering::Relaxed);
    assert!((SLICE..2 * SLICE).contains(&sent), "{sent} bytes, the last slice being shorter");
    until(|| stand.cache.metrics().stored_objects.get() == 3).await;
    assert!(stand.cache.metrics().stored_bytes.get() < 2 * SLICE as i64);
}
