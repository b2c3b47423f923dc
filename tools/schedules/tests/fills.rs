//! Fills under a scheduler that tries many orders of their steps: joining, settling, publishing,
//! reading, leaving, giving up, retiring and invalidating, with the real cache around them.
//!
//! What is looked for: nobody waits for ever (a lost wake-up is a deadlock, and found), nobody
//! gets what is not whole as if it were, and one fetch serves all who come while it is there.
//!
//! That it finds what it is for was seen with faults put in by hand: the count of
//! `Fills::retire_if_idle` taken before its lock fails `a_client_that_is_cut_off…`; the
//! notification of `Fill::settled` created after its look at the state, `who_waited…`; an
//! `invalidate` blind to fetches under way, `an_invalidation…`; a first slice that a purge ends when
//! it may have been joined already, `purges_while…`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use headwater_net::{Body, BodyError, Clock, Timestamp};
use headwater_schedules::{Builder, Cache, CacheService, Policy, Purge};
use http::request::Parts;
use http::{Request, Response};
use http_body::Frame;
use shuttle::future::{JoinHandle, block_on, spawn, yield_now};
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, FailurePersistence, Runner};
use tower_layer::Layer as _;
use tower_service::Service;

/// Orders tried of most tests, by each of two ways to choose them.
const SOME: usize = 60;

/// Of those that need a rare one.
const MANY: usize = 300;

/// Tries a test in so many orders: any at random, and those with few switches at odd places.
fn orders<F: Future<Output = ()> + 'static>(
    count: usize,
    test: impl Fn() -> F + Send + Sync + Clone + 'static,
) {
    let config = || {
        let mut config = Config::new();
        config.stack_size = 1 << 19;
        config.silence_warnings = true;
        config.failure_persistence = FailurePersistence::None;
        config
    };
    let again = test.clone();
    Runner::new(RandomScheduler::new_from_seed(7, count), config()).run(move || block_on(test()));
    let few = PctScheduler::new_from_seed(7, 3, count);
    Runner::new(few, config()).run(move || block_on(again()));
}

/// What the origin does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Whole,
    /// Breaks off after two pieces.
    Broken,
    /// For its asker alone.
    Private,
    /// By parts, where it is asked for parts.
    Parts,
}

/// Hands out pieces of as many bytes as `size`, each of the number of the request it answers.
#[derive(Clone)]
struct Origin {
    way: Way,
    size: usize,
    asked: Arc<AtomicUsize>,
    version: Arc<AtomicUsize>,
}

const PIECES: usize = 3;

impl Origin {
    fn new(way: Way, size: usize) -> Self {
        Self { way, size, asked: Arc::default(), version: Arc::new(AtomicUsize::new(1)) }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Service<Request<Body>> for Origin {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            yield_now().await;
            if request.method() == http::Method::POST {
                this.version.fetch_add(1, Ordering::SeqCst);
                return Ok(Response::new(Body::empty()));
            }
            this.asked.fetch_add(1, Ordering::SeqCst);
            let version = this.version.load(Ordering::SeqCst);
            yield_now().await;
            if this.way == Way::Parts {
                return Ok(part(&request, version, PIECES * this.size));
            }
            let control = if this.way == Way::Private { "private" } else { "max-age=60" };
            let pieces = Pieces { version, size: this.size, given: 0, way: this.way, rest: false };
            let response = Response::builder().header("cache-control", control);
            Ok(response.body(Body::Stream(Box::pin(pieces))).unwrap())
        })
    }
}

/// The bytes that a request is for, all of one version, under a tag that never changes.
fn part(request: &Request<Body>, version: usize, len: usize) -> Response<Body> {
    let response =
        Response::builder().header("cache-control", "max-age=60").header("etag", "\"x\"");
    let asked = request.headers().get("range").map(|range| range.to_str().unwrap());
    let Some((first, last)) = asked.and_then(|range| range.strip_prefix("bytes=")?.split_once('-'))
    else {
        return response.body(Body::from(vec![version as u8; len])).unwrap();
    };
    let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
    let end = len.min(last + 1);
    response
        .status(206)
        .header("content-range", format!("bytes {first}-{}/{len}", end - 1))
        .body(Body::from(vec![version as u8; end - first]))
        .unwrap()
}

/// Says of all that it is large.
struct Large;

impl Policy for Large {
    fn in_slices(&self, _: &Parts) -> bool {
        true
    }
}

struct Pieces {
    version: usize,
    size: usize,
    given: usize,
    way: Way,
    /// Nothing is there at every other look.
    rest: bool,
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.rest = !self.rest;
        if self.rest {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.way == Way::Broken && self.given == 2 {
            return Poll::Ready(Some(Err(BodyError::source("reset"))));
        }
        if self.given == PIECES {
            return Poll::Ready(None);
        }
        self.given += 1;
        let piece = vec![self.version as u8; self.size];
        Poll::Ready(Some(Ok(Frame::data(piece.into()))))
    }
}

struct Stand {
    cache: Cache,
    edge: CacheService<Origin>,
}

fn stand(origin: &Origin, build: impl FnOnce(Builder) -> Builder) -> Stand {
    let clock = Clock::manual(Timestamp::from_secs(1_700_000_000));
    let cache = build(Cache::builder().name("edge").clock(clock)).build();
    let edge = cache.layer().layer(origin.clone());
    Stand { cache, edge }
}

impl Stand {
    /// Asks and reads: the status, and the bytes or that they broke off.
    fn get(&self) -> JoinHandle<(u16, Result<Vec<u8>, BodyError>)> {
        let mut edge = self.edge.clone();
        spawn(async move {
            let mut response = edge.call(request("GET")).await.unwrap();
            let status = response.status().as_u16();
            (status, read(response.body_mut()).await)
        })
    }

    /// Asks, and goes away after the first bytes.
    fn glance(&self) -> JoinHandle<()> {
        let mut edge = self.edge.clone();
        spawn(async move {
            let mut response = edge.call(request("GET")).await.unwrap();
            let _ = next(response.body_mut()).await;
        })
    }
}

fn request(method: &str) -> Request<Body> {
    let request = Request::builder().method(method).uri("http://example.com/s");
    request.body(Body::empty()).unwrap()
}

async fn next(body: &mut Body) -> Option<Result<Bytes, BodyError>> {
    let frame = std::future::poll_fn(|cx| http_body::Body::poll_frame(Pin::new(&mut *body), cx));
    frame.await.map(|frame| frame.map(|frame| frame.into_data().unwrap_or_default()))
}

async fn read(body: &mut Body) -> Result<Vec<u8>, BodyError> {
    let mut all = Vec::new();
    while let Some(bytes) = next(body).await {
        all.extend_from_slice(&bytes?);
    }
    Ok(all)
}

fn is_whole((status, body): (u16, Result<Vec<u8>, BodyError>)) {
    assert_eq!((status, body.unwrap()), (200, vec![1; 15]));
}

#[test]
fn one_fetch_serves_all_and_all_get_all_of_it() {
    orders(SOME, || async {
        let origin = Origin::new(Way::Whole, 5);
        let stand = stand(&origin, |builder| builder);
        let clients: Vec<_> = (0..3).map(|_| stand.get()).collect();
        for client in clients {
            is_whole(client.await.unwrap());
        }
        assert_eq!(origin.asked(), 1);
        assert_eq!(stand.cache.metrics().fill_bytes.get(), 0);
    });
}

#[test]
fn a_leader_that_leaves_takes_nothing_from_those_who_stay() {
    orders(SOME, || async {
        let origin = Origin::new(Way::Whole, 5);
        let stand = stand(&origin, |builder| builder);
        let leaving = stand.glance();
        let staying = [stand.get(), stand.get()];
        for client in staying {
            is_whole(client.await.unwrap());
        }
        leaving.await.unwrap();
        // One given up before the others came, and one for them.
        assert!(origin.asked() <= 2, "{}", origin.asked());
    });
}

#[test]
fn a_client_that_is_cut_off_anywhere_leaves_nobody_waiting() {
    orders(MANY, || async {
        let origin = Origin::new(Way::Whole, 5);
        let stand = stand(&origin, |builder| builder);
        let cut = stand.get();
        let staying = stand.get();
        yield_now().await;
        cut.abort();
        is_whole(staying.await.unwrap());
        assert!(origin.asked() <= 2, "{}", origin.asked());
    });
}

#[test]
fn what_breaks_off_never_looks_complete() {
    orders(SOME, || async {
        let origin = Origin::new(Way::Broken, 5);
        let stand = stand(&origin, |builder| builder);
        let clients: Vec<_> = (0..3).map(|_| stand.get()).collect();
        for client in clients {
            let (status, body) = client.await.unwrap();
            assert!(status == 502 || status == 200 && body.is_err(), "{status}");
        }
        assert_eq!(stand.cache.metrics().stored_objects.get(), 0);
    });
}

#[test]
fn an_invalidation_is_not_undone_by_an_older_fetch() {
    orders(SOME, || async {
        let origin = Origin::new(Way::Whole, 5);
        let stand = stand(&origin, |builder| builder);
        let older = stand.get();
        let mut edge = stand.edge.clone();
        let change = spawn(async move { edge.call(request("POST")).await.unwrap().status() });
        assert_eq!(change.await.unwrap(), 200);
        // Whoever asks now gets what is there now.
        let (_, newer) = stand.get().await.unwrap();
        assert_eq!(newer.unwrap(), vec![2; 15]);
        assert!(older.await.unwrap().1.is_ok());
        let (_, newest) = stand.get().await.unwrap();
        assert_eq!(newest.unwrap(), vec![2; 15]);
    });
}

#[test]
fn purges_while_slices_come_cost_nobody_an_answer() {
    orders(MANY, || async {
        let origin = Origin::new(Way::Parts, 5);
        let stand = stand(&origin, |builder| builder.slice(5).policy(Large));
        let cache = stand.cache.clone();
        let purging = spawn(async move {
            for _ in 0..2 {
                cache.purge(Purge::all()).await.unwrap();
                yield_now().await;
            }
        });
        let clients: Vec<_> = (0..3).map(|_| stand.get()).collect();
        for client in clients {
            is_whole(client.await.unwrap());
        }
        purging.await.unwrap();
    });
}

#[test]
fn a_window_keeps_nobody_waiting_for_ever() {
    orders(SOME, || async {
        let origin = Origin::new(Way::Whole, 100_000);
        let stand = stand(&origin, |builder| builder.max_object(1000).window(0));
        let leaving = stand.glance();
        let clients = [stand.get(), stand.get()];
        for client in clients {
            let (status, body) = client.await.unwrap();
            // One that lags is reset, alone; whoever ends well has all.
            assert_eq!(status, 200);
            assert!(body.is_err() || body.is_ok_and(|body| body == vec![1; 300_000]));
        }
        leaving.await.unwrap();
    });
}

#[test]
fn who_waited_for_what_is_anothers_asks_alone() {
    orders(SOME, || async {
        let origin = Origin::new(Way::Private, 5);
        let stand = stand(&origin, |builder| builder.max_passes(1));
        let clients: Vec<_> = (0..3).map(|_| stand.get()).collect();
        for client in clients {
            is_whole(client.await.unwrap());
        }
        assert_eq!(origin.asked(), 3);
    });
}
