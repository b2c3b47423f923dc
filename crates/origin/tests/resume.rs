//! Plays about bodies that break off and are resumed, and about origins that are slower than usual.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod support;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use headwater_net::body::CollectError;
use headwater_net::range::{Selection, content_range, select, unsatisfied_range};
use headwater_net::{Body, BodyError, Clock, Timestamp};
use headwater_origin::Shield;
use headwater_origin::upstream::{HedgeConfig, Origins, RetryConfig};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body::Frame;
use proptest::prelude::*;
use support::{Origin, Reply, get, get_with, reply, segment};
use tower::ServiceExt;
use tower_service::Service;

/// An origin of one file that honours `Range` and `If-Range` (RFC 9110 §13.1.5, §14.2) and breaks
/// off where its script says: for each request, after how many bytes.
#[derive(Clone)]
struct Mirror(Arc<Mutex<Script>>);

struct Script {
    tag: &'static str,
    file: Bytes,
    /// Whether the whole says how long it is.
    measured: bool,
    cuts: VecDeque<usize>,
    seen: Vec<HeaderMap>,
}

impl Mirror {
    fn new(tag: &'static str, file: impl Into<Bytes>, cuts: &[usize]) -> Self {
        let cuts = cuts.iter().copied().collect();
        Self(Arc::new(Mutex::new(Script {
            tag,
            file: file.into(),
            measured: true,
            cuts,
            seen: Vec::new(),
        })))
    }

    /// Does not say how long the whole is.
    fn unmeasured(self) -> Self {
        self.0.lock().unwrap().measured = false;
        self
    }

    fn replace(&self, tag: &'static str) {
        self.0.lock().unwrap().tag = tag;
    }

    fn seen(&self) -> Vec<HeaderMap> {
        self.0.lock().unwrap().seen.clone()
    }
}

impl Service<Request<Body>> for Mirror {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let mut script = self.0.lock().unwrap();
        let fields = request.headers();
        script.seen.push(fields.clone());
        let is_same = fields.get(header::IF_RANGE).is_none_or(|tag| tag == script.tag);
        let range = fields.get(header::RANGE).filter(|_| is_same);
        let whole = script.file.len() as u64;
        let (status, part) = match select(range, whole) {
            Selection::Whole => (StatusCode::OK, 0..whole),
            Selection::Part(part) => (StatusCode::PARTIAL_CONTENT, part),
            Selection::Unsatisfiable => {
                assert!(!script.measured, "nobody asks for what is not there");
                let answer = Response::builder().status(416).header("etag", script.tag);
                let answer = answer.header("content-range", unsatisfied_range(whole));
                return ready(Ok(answer.body(Body::empty()).unwrap()));
            }
        };
        let mut response = Response::builder()
            .status(status)
            .header("etag", script.tag)
            .header("cache-control", "max-age=3600")
            .header("accept-ranges", "bytes");
        if script.measured || status == StatusCode::PARTIAL_CONTENT {
            response = response.header("content-length", part.end - part.start);
        }
        if status == StatusCode::PARTIAL_CONTENT {
            response = response.header("content-range", content_range(&part, Some(whole)));
        }
        let bytes = script.file.slice(part.start as usize..part.end as usize);
        let body = match script.cuts.pop_front() {
            // Of one that does not say its length, the end may be all that is missing.
            Some(cut)
                if cut < bytes.len()
                    || (!script.measured && status == StatusCode::OK && cut == bytes.len()) =>
            {
                let cut = bytes.slice(..cut);
                Pieces(VecDeque::from([Ok(cut), Err(BodyError::source("reset by the script"))]))
            }
            _ => Pieces(VecDeque::from([Ok(bytes)])),
        };
        ready(Ok(response.body(Body::stream(body)).unwrap()))
    }
}

struct Pieces(VecDeque<Result<Bytes, BodyError>>);

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Poll::Ready(self.0.pop_front().map(|piece| piece.map(Frame::data)))
    }
}

const FILE: &str = "0123456789abcdefghijklmnopqrstuvwxyz";

#[tokio::test]
async fn a_body_that_breaks_off_is_resumed_and_the_client_never_notices() {
    let origin = Mirror::new("\"v1\"", FILE, &[10, 6]);
    let shield = Shield::builder().origin(origin.clone()).build();
    assert_eq!(get(&shield, "/s.m4s").await.text(), FILE);
    let seen = origin.seen();
    let asked: Vec<_> = seen.iter().map(|fields| fields.get(header::RANGE)).collect();
    assert_eq!(asked[0], None);
    assert_eq!(asked[1].unwrap(), "bytes=10-35");
    assert_eq!(asked[2].unwrap(), "bytes=16-35");
    assert!(seen[1..].iter().all(|fields| fields[header::IF_RANGE] == "\"v1\""));
    // What was joined is stored as if it had come in one piece.
    assert!(get(&shield, "/s.m4s").await.is_hit());
    let metrics = shield.metrics();
    assert_eq!((metrics.bodies_resumed.get(), metrics.bodies_lost.get()), (2, 0));
}

#[tokio::test]
async fn what_breaks_off_twice_is_resumed_from_another_origin() {
    let first = Mirror::new("\"v1\"", FILE, &[5, 0, 0, 0]);
    let second = Mirror::new("\"v1\"", FILE, &[]);
    let shield = Shield::builder().origin(first.clone()).origin(second.clone()).build();
    assert_eq!(get(&shield, "/s.m4s").await.text(), FILE);
    assert_eq!((first.seen().len(), second.seen().len()), (2, 1));
}

#[tokio::test]
async fn two_representations_are_never_joined() {
    // The other origin has another version; and its 200 is not what was asked for.
    let first = Mirror::new("\"v1\"", FILE, &[5]);
    let other = Mirror::new("\"v2\"", FILE.to_uppercase(), &[]);
    first.replace("\"v1\"");
    let shield = Shield::builder().origin(first.clone()).origin(other).build();
    let answer = get(&shield, "/s.m4s").await;
    assert_eq!(answer.text(), FILE, "the first still has it");

    let origins = Origins::builder().origin(Mirror::new("\"v1\"", FILE, &[5]));
    let service = origins.build();
    let response = service.oneshot(Request::get("/s").body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.into_body().collect(100).await.unwrap().to_bytes(), FILE);

    let changing = Mirror::new("\"v1\"", FILE, &[5]);
    let service = Origins::builder().origin(changing.clone()).build();
    let response = service.oneshot(Request::get("/s").body(Body::empty()).unwrap()).await.unwrap();
    changing.replace("\"v2\"");
    let error = response.into_body().collect(100).await.unwrap_err();
    assert!(error.to_string().contains("reset by the script"), "{error}");
}

#[tokio::test]
async fn without_a_strong_tag_nothing_is_resumed() {
    for tag in ["W/\"v1\"", "v1"] {
        let origin = Mirror::new(tag, FILE, &[5]);
        let shield = Shield::builder().origin(origin.clone()).build();
        assert!(get(&shield, "/s.m4s").await.body.is_err());
        assert_eq!(origin.seen().len(), 1);
    }
}

#[tokio::test]
async fn one_body_is_resumed_three_times_and_within_the_budget() {
    let origin = Mirror::new("\"v1\"", FILE, &[3; 9]);
    let service = Origins::builder().origin(origin.clone()).build();
    let fetch = || Request::get("/s").body(Body::empty()).unwrap();
    let response = service.oneshot(fetch()).await.unwrap();
    assert!(response.into_body().collect(100).await.is_err());
    assert_eq!(origin.seen().len(), 4);

    let origin = Mirror::new("\"v1\"", FILE, &[3; 9]);
    let clock = Clock::manual(Timestamp::from_secs(1_700_000_000));
    let retry = RetryConfig::new(0, 1);
    let service = Origins::builder().origin(origin.clone()).retry(retry).clock(clock).build();
    let response = service.oneshot(fetch()).await.unwrap();
    assert!(response.into_body().collect(100).await.is_err());
    assert_eq!(origin.seen().len(), 2);
}

#[tokio::test]
async fn a_part_is_resumed_within_its_own_bounds() {
    let origin = Mirror::new("\"v1\"", FILE, &[4]);
    let service = Origins::builder().origin(origin.clone()).build();
    let request = Request::get("/s").header("range", "bytes=10-19").body(Body::empty()).unwrap();
    let response = service.oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(response.into_body().collect(100).await.unwrap().to_bytes(), FILE[10..20]);
    assert_eq!(origin.seen()[1][header::RANGE], "bytes=14-19");
}

/// Origins of one that gives the next of these answers to each request, and what it was asked.
fn origins(
    answers: Vec<(http::response::Builder, Vec<Result<&'static str, BodyError>>)>,
) -> (Origins, Arc<Mutex<Vec<HeaderMap>>>) {
    let asked = Arc::<Mutex<Vec<HeaderMap>>>::default();
    let answers = Arc::new(Mutex::new(VecDeque::from(answers)));
    let service = tower::service_fn({
        let asked = Arc::clone(&asked);
        move |request: Request<Body>| {
            asked.lock().unwrap().push(request.headers().clone());
            let (head, pieces) = answers.lock().unwrap().pop_front().expect("it is asked so often");
            let pieces = pieces.into_iter().map(|piece| piece.map(Bytes::from)).collect();
            ready(Ok::<_, Infallible>(head.body(Body::stream(Pieces(pieces))).unwrap()))
        }
    });
    (Origins::builder().origin(service).build(), asked)
}

fn head(status: u16, fields: &[(&str, &str)]) -> http::response::Builder {
    let head = Response::builder().status(status).header("etag", "\"v1\"");
    fields.iter().fold(head, |head, (name, value)| head.header(*name, *value))
}

fn broken(bytes: &'static str) -> Vec<Result<&'static str, BodyError>> {
    vec![Ok(bytes), Err(BodyError::source("reset by the script"))]
}

async fn body_of(origins: Origins, body: Body) -> Result<Bytes, CollectError> {
    let response = origins.oneshot(Request::get("/s").body(body).unwrap()).await.unwrap();
    Ok(response.into_body().collect(100).await?.to_bytes())
}

#[tokio::test]
async fn a_rest_in_another_coding_is_not_joined() {
    let range = ("content-range", "bytes 4-5/6");
    let gzip = ("content-encoding", "gzip");
    for (first, second, is_joined) in [
        (vec![], vec![gzip], false),
        (vec![gzip], vec![("content-encoding", "br")], false),
        // A part need not say it again (RFC 9110 §15.3.7).
        (vec![gzip], vec![], true),
        (vec![gzip], vec![gzip], true),
    ] {
        let first = [vec![("content-length", "6")], first].concat();
        let second = [vec![range], second].concat();
        let (origins, asked) = origins(vec![
            (head(200, &first), broken("0123")),
            (head(206, &second), vec![Ok("45")]),
        ]);
        let body = body_of(origins, Body::empty()).await;
        assert_eq!(body.is_ok(), is_joined, "{first:?} {second:?}");
        assert_eq!(asked.lock().unwrap().len(), 2);
    }
}

#[tokio::test]
async fn a_date_that_is_strong_names_a_representation_where_there_is_no_tag() {
    const CHANGED: &str = "Wed, 01 Jan 2025 00:00:00 GMT";
    let changed = ("last-modified", CHANGED);
    let sent = ("date", "Wed, 01 Jan 2025 00:01:00 GMT");
    let later = ("last-modified", "Wed, 01 Jan 2025 00:00:01 GMT");
    let tag = ("etag", "\"v1\"");
    let (range, date) = (HeaderValue::from_static("bytes=4-5"), HeaderValue::from_static(CHANGED));
    for (first, second, resumed, joined) in [
        (vec![changed, sent], vec![changed], true, true),
        (vec![changed, sent], vec![later], true, false),
        (vec![changed, sent], vec![], true, false),
        (vec![changed, sent], vec![changed, tag], true, false),
        // It may have changed twice in that second, by a clock that is not the one of the date.
        (vec![changed, ("date", "Wed, 01 Jan 2025 00:00:59 GMT")], vec![changed], false, false),
        (vec![changed, ("date", "Tue, 31 Dec 2024 00:00:00 GMT")], vec![changed], false, false),
        (vec![changed], vec![changed], false, false),
        (vec![("last-modified", "yesterday"), sent], vec![changed], false, false),
        // Who has a tag, and be it a weak one, says no date.
        (vec![changed, sent, ("etag", "W/\"v1\"")], vec![changed], false, false),
    ] {
        let bare = |status: u16, fields: &[(&str, &str)]| {
            let head = Response::builder().status(status);
            fields.iter().fold(head, |head, (name, value)| head.header(*name, *value))
        };
        let (origins, asked) = origins(vec![
            (bare(200, &[&first[..], &[("content-length", "6")]].concat()), broken("0123")),
            (
                bare(206, &[&second[..], &[("content-range", "bytes 4-5/6")]].concat()),
                vec![Ok("45")],
            ),
        ]);
        let body = body_of(origins, Body::empty()).await;
        assert_eq!(body.as_deref().ok(), joined.then_some(&b"012345"[..]), "{first:?} {second:?}");
        let asked = asked.lock().unwrap();
        assert_eq!(asked.len(), 1 + usize::from(resumed), "{first:?}");
        if let Some(rest) = asked.get(1) {
            assert_eq!((&rest[header::RANGE], &rest[header::IF_RANGE]), (&range, &date));
        }
    }
}

const PARTS: (&str, &str) = ("accept-ranges", "bytes");

/// Nobody said how long it is (RFC 9110 §14.1.2: all from there on): the part that comes does.
#[tokio::test]
async fn a_body_of_unknown_length_is_resumed_by_all_that_is_left() {
    let (origins, asked) = origins(vec![
        (head(200, &[PARTS]), broken("0123")),
        (head(206, &[("content-range", "bytes 4-9/10")]), broken("45")),
        (head(206, &[("content-range", "bytes 6-9/10")]), vec![Ok("67"), Ok("89")]),
    ]);
    assert_eq!(body_of(origins, Body::empty()).await.unwrap(), "0123456789");
    let asked = asked.lock().unwrap();
    let ranges: Vec<_> = asked[1..].iter().map(|fields| &fields[header::RANGE]).collect();
    assert_eq!(ranges, ["bytes=4-", "bytes=6-9"], "by then its length is known");
    assert!(asked[1..].iter().all(|fields| fields[header::IF_RANGE] == "\"v1\""));
}

#[tokio::test]
async fn what_cannot_be_the_rest_of_a_body_of_unknown_length_is_an_error() {
    let part = ("content-range", "bytes 4-5/6");
    for (status, fields, rest) in [
        (200, vec![], "012345"),
        (206, vec![part, ("etag", "\"v2\"")], "45"),
        // Nobody knows whether that is all (§14.4), or it says that it is not.
        (206, vec![("content-range", "bytes 4-5/*")], "45"),
        (206, vec![("content-range", "bytes 4-5/7")], "45"),
        (206, vec![("content-range", "bytes 3-5/6")], "345"),
        (206, vec![], "45"),
        (206, vec![part, ("content-encoding", "gzip")], "45"),
        // Whose length that is it does not say, or another's.
        (416, vec![("content-range", "bytes */4"), ("etag", "\"v2\"")], "none"),
        (416, vec![("content-range", "bytes */3")], "none"),
        (416, vec![], "none"),
        (404, vec![part], "45"),
    ] {
        // One tag alone: what says another does not say both.
        let mut answer = Response::builder().status(status);
        if !fields.iter().any(|(name, _)| *name == "etag") {
            answer = answer.header("etag", "\"v1\"");
        }
        let answer =
            fields.iter().fold(answer, |answer, (name, value)| answer.header(*name, *value));
        let (origins, asked) =
            origins(vec![(head(200, &[PARTS]), broken("0123")), (answer, vec![Ok(rest)])]);
        let error = body_of(origins, Body::empty()).await.unwrap_err();
        assert!(error.to_string().contains("reset by the script"), "{status} {fields:?} {error}");
        assert_eq!(asked.lock().unwrap().len(), 2);
    }
}

/// All of it had come but its end (RFC 9110 §15.5.17).
#[tokio::test]
async fn where_nothing_is_left_the_same_validator_says_that_it_was_all() {
    let unsatisfied = ("content-range", "bytes */4");
    let (whole, asked) = origins(vec![
        (head(200, &[PARTS]), broken("0123")),
        (head(416, &[unsatisfied]), vec![Ok("nothing is left")]),
    ]);
    assert_eq!(body_of(whole, Body::empty()).await.unwrap(), "0123");
    assert_eq!(asked.lock().unwrap()[1][header::RANGE], "bytes=4-");
    // Of one whose length is known something is left: that it is not there is an error.
    let (short, _) = origins(vec![
        (head(200, &[PARTS, ("content-length", "6")]), broken("0123")),
        (head(416, &[unsatisfied]), vec![Ok("nothing is left")]),
    ]);
    assert!(body_of(short, Body::empty()).await.is_err());
    // Nobody said which representation had four bytes.
    let answer = Response::builder().status(416).header(unsatisfied.0, unsatisfied.1);
    let (unnamed, _) =
        origins(vec![(head(200, &[PARTS]), broken("0123")), (answer, vec![Ok("nothing")])]);
    assert!(body_of(unnamed, Body::empty()).await.is_err());
}

#[tokio::test]
async fn of_unknown_length_only_what_has_parts_and_a_validator_is_resumed() {
    let bare = |fields: &[(&'static str, &'static str)]| {
        fields.iter().fold(Response::builder(), |head, (name, value)| head.header(*name, *value))
    };
    for first in [
        head(200, &[]),
        head(200, &[("accept-ranges", "none")]),
        bare(&[PARTS]),
        bare(&[PARTS, ("etag", "W/\"v1\"")]),
    ] {
        let (origins, asked) = origins(vec![(first, broken("0123"))]);
        assert!(body_of(origins, Body::empty()).await.is_err());
        assert_eq!(asked.lock().unwrap().len(), 1);
    }
    // One that ends is ended, and what is too large for this side is not asked for again.
    let (ends, asked) = origins(vec![(head(200, &[PARTS]), vec![Ok("01"), Ok("23")])]);
    assert_eq!(body_of(ends, Body::empty()).await.unwrap(), "0123");
    assert_eq!(asked.lock().unwrap().len(), 1);
    let pieces = vec![Ok("0123"), Err(BodyError::TooLarge { limit: 4 })];
    let (large, asked) = origins(vec![(head(200, &[PARTS]), pieces)]);
    let error = body_of(large, Body::empty()).await.unwrap_err();
    assert!(matches!(error, CollectError::Body(BodyError::TooLarge { limit: 4 })), "{error}");
    assert_eq!(asked.lock().unwrap().len(), 1);
}

/// A part says where it ends, whoever knows how long the whole is.
#[tokio::test]
async fn a_part_of_what_nobody_knows_the_length_of_is_resumed_within_its_bounds() {
    for whole in ["*", "6"] {
        let rest = format!("bytes 2-3/{whole}");
        let (origins, asked) = origins(vec![
            (head(206, &[("content-range", "bytes 0-3/*")]), broken("01")),
            (head(206, &[("content-range", &rest)]), vec![Ok("23")]),
        ]);
        assert_eq!(body_of(origins, Body::empty()).await.unwrap(), "0123");
        assert_eq!(asked.lock().unwrap()[1][header::RANGE], "bytes=2-3");
    }
}

/// The player sees a pause, and the cache a whole body.
#[tokio::test]
async fn a_body_of_unknown_length_that_was_resumed_is_stored() {
    let (origins, _) = origins(vec![
        (head(200, &[PARTS, ("cache-control", "max-age=60")]), broken("0123")),
        (head(206, &[("content-range", "bytes 4-5/6")]), vec![Ok("45")]),
    ]);
    let shield = Shield::builder().origin(origins).build();
    assert_eq!(get(&shield, "/s.m4s").await.text(), "012345");
    let again = get(&shield, "/s.m4s").await;
    assert!(again.is_hit());
    assert_eq!(again.text(), "012345");
}

#[tokio::test]
async fn a_part_that_says_two_lengths_is_not_resumed() {
    let fields = [("content-range", "bytes 0-5/6"), ("content-length", "5")];
    let (origins, asked) = origins(vec![(head(206, &fields), vec![Ok("01234")])]);
    assert_eq!(body_of(origins, Body::empty()).await.unwrap(), "01234");
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn the_answer_to_a_request_with_a_body_is_not_resumed() {
    let (origins, asked) = origins(vec![(head(200, &[("content-length", "6")]), broken("0123"))]);
    assert!(body_of(origins, Body::from(Bytes::from("question"))).await.is_err());
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn what_this_side_gave_up_is_not_resumed() {
    let pieces = vec![Ok("0123"), Err(BodyError::Aborted)];
    let (origins, asked) = origins(vec![(head(200, &[("content-length", "6")]), pieces)]);
    let error = body_of(origins, Body::empty()).await.unwrap_err();
    assert!(matches!(error, CollectError::Body(BodyError::Aborted)), "{error}");
    assert_eq!(asked.lock().unwrap().len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Wherever bodies break off, what comes is the file or an error, and never other bytes.
    #[test]
    fn a_body_is_whole_or_an_error(
        len in 1usize..2000,
        first in proptest::collection::vec(0usize..2000, 0..6),
        second in proptest::collection::vec(0usize..2000, 0..6),
        measured in any::<bool>(),
    ) {
        let file: Bytes = (0..len).map(|i| (i * 31 % 251) as u8).collect();
        let mirror = |cuts: &[usize]| {
            let mirror = Mirror::new("\"v1\"", file.clone(), cuts);
            if measured { mirror } else { mirror.unmeasured() }
        };
        let origins = Origins::builder().origin(mirror(&first)).origin(mirror(&second)).build();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let body = runtime.block_on(async {
            let request = Request::get("/s").body(Body::empty()).unwrap();
            let response = origins.oneshot(request).await.unwrap();
            response.into_body().collect(10_000).await
        });
        let breaks = first.iter().chain(&second).filter(|cut| **cut <= len).count();
        match body {
            Ok(body) => prop_assert_eq!(body.to_bytes(), file),
            Err(_) => prop_assert!(breaks > 3, "{} breaks", breaks),
        }
    }
}

/// Two origins of which the first has always answered at once.
async fn known_origins(first: &Origin, second: &Origin, hedge: HedgeConfig) -> Shield {
    let clock = Clock::manual(Timestamp::from_secs(1_700_000_000));
    let shield = Shield::builder()
        .origin(first.clone())
        .origin(second.clone())
        .hedge(hedge)
        .clock(clock)
        .build();
    for i in 0..20 {
        assert_eq!(get(&shield, &format!("/{i}")).await.status, 200);
    }
    shield
}

#[tokio::test(start_paused = true)]
async fn a_slow_origin_is_hedged_after_its_95th_percentile() {
    let first = Origin::new().otherwise(segment("first"));
    let second = Origin::new().otherwise(segment("second"));
    let shield = known_origins(&first, &second, HedgeConfig::default()).await;
    assert!(second.seen().is_empty());
    let first = first.otherwise(Reply::silence());
    let began = tokio::time::Instant::now();
    assert_eq!(get(&shield, "/slow").await.text(), "second");
    assert_eq!(began.elapsed(), Duration::from_millis(50));
    assert_eq!((first.times("/slow"), second.times("/slow")), (1, 1));
    let metrics = shield.metrics();
    assert_eq!((metrics.origin_hedges.get(), metrics.origin_hedges_won.get()), (1, 1));
    assert_eq!(metrics.origins_down.get(), 0, "being slow once is not being down");
}

#[tokio::test(start_paused = true)]
async fn hedges_are_a_bounded_share() {
    let first = Origin::new().otherwise(segment("first"));
    let second = Origin::new().otherwise(segment("second"));
    let shield = known_origins(&first, &second, HedgeConfig::default()).await;
    let _ = first.otherwise(Reply::silence());
    let began = tokio::time::Instant::now();
    for i in 0..2 {
        assert_eq!(get(&shield, &format!("/slow/{i}")).await.text(), "second");
    }
    assert_eq!(began.elapsed(), Duration::from_millis(100));
    assert_eq!(get(&shield, "/slow/2").await.text(), "second");
    assert!(began.elapsed() > Duration::from_secs(10), "a failure like any other");
    assert_eq!(shield.metrics().origin_hedges.get(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_hedge_that_fails_is_no_answer() {
    let first = Origin::new().otherwise(segment("first"));
    let second = Origin::new().otherwise(reply(503));
    let shield = known_origins(&first, &second, HedgeConfig::default()).await;
    let gate = Arc::new(tokio::sync::Notify::new());
    let first = first.otherwise(segment("first, late").head_after(&gate));
    let asking = tokio::spawn({
        let shield = shield.clone();
        async move { get_with(&shield, "/slow", &[]).await }
    });
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert_eq!((first.times("/slow"), second.times("/slow")), (1, 1));
    gate.notify_one();
    assert_eq!(asking.await.unwrap().text(), "first, late");
}

#[tokio::test(start_paused = true)]
async fn hedges_can_be_turned_off() {
    let first = Origin::new().otherwise(segment("first"));
    let second = Origin::new().otherwise(segment("second"));
    let shield = known_origins(&first, &second, HedgeConfig::off()).await;
    let _ = first.otherwise(Reply::silence());
    let began = tokio::time::Instant::now();
    assert_eq!(get(&shield, "/slow").await.text(), "second");
    assert!(began.elapsed() > Duration::from_secs(9));
}
