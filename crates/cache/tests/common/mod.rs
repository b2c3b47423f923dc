//! An origin that does as it is told, and requests to a cache before it.
#![allow(dead_code, reason = "every test file uses its part")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use headwater_cache::{BoxError, Builder, Cache, CacheService};
use headwater_net::{Body, BodyError, Clock, Timestamp};
use http::request::Parts;
use http::{HeaderMap, Request, Response};
use http_body::{Body as _, Frame};
use tokio::sync::mpsc;
use tower::{Layer as _, Service, ServiceExt as _};

/// When the tests' clocks begin.
pub const START: Timestamp = Timestamp::from_secs(1_700_000_000);

type Answer = dyn Fn(&Parts) -> Result<Response<Body>, BoxError> + Send + Sync;

/// Answers by a function, and remembers what it was asked.
#[derive(Clone)]
pub struct Origin {
    answer: Arc<Answer>,
    asked: Arc<Mutex<Vec<Parts>>>,
}

impl Origin {
    pub fn new(answer: impl Fn(&Parts) -> Response<Body> + Send + Sync + 'static) -> Self {
        Self::failing(move |parts| Ok(answer(parts)))
    }

    pub fn failing(
        answer: impl Fn(&Parts) -> Result<Response<Body>, BoxError> + Send + Sync + 'static,
    ) -> Self {
        Self { answer: Arc::new(answer), asked: Arc::default() }
    }

    pub fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    /// The fields of the latest request.
    pub fn last(&self) -> HeaderMap {
        self.asked.lock().unwrap().last().unwrap().headers.clone()
    }

    /// All requests, in order.
    pub fn requests(&self) -> Vec<Parts> {
        self.asked.lock().unwrap().clone()
    }

    pub fn last_uri(&self) -> String {
        self.asked.lock().unwrap().last().unwrap().uri.to_string()
    }
}

impl Service<Request<Body>> for Origin {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Ready<Result<Response<Body>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (parts, _) = request.into_parts();
        let answer = (self.answer)(&parts);
        self.asked.lock().unwrap().push(parts);
        ready(answer)
    }
}

/// A body fed by hand.
pub struct Fed(mpsc::Receiver<Result<Bytes, BodyError>>);

pub type Feed = mpsc::Sender<Result<Bytes, BodyError>>;

pub fn fed() -> (Feed, Body) {
    let (feed, fed) = mpsc::channel(64);
    (feed, Body::Stream(Box::pin(Fed(fed))))
}

impl http_body::Body for Fed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.0.poll_recv(cx).map(|item| item.map(|item| item.map(Frame::data)))
    }
}

/// An origin whose bodies are handed in one by one.
pub fn handed(
    head: impl Fn() -> http::response::Builder + Send + Sync + 'static,
) -> (Origin, Arc<Mutex<Vec<Body>>>) {
    let bodies: Arc<Mutex<Vec<Body>>> = Arc::default();
    let next = Arc::clone(&bodies);
    let origin = Origin::new(move |_| {
        let mut bodies = next.lock().unwrap();
        let body = if bodies.is_empty() { Body::empty() } else { bodies.remove(0) };
        head().body(body).unwrap()
    });
    (origin, bodies)
}

/// A cache before an origin, and the clock it lives by.
pub struct Stand {
    pub cache: Cache,
    pub clock: Clock,
    pub edge: CacheService<Origin>,
}

pub fn stand(origin: &Origin) -> Stand {
    stand_with(origin, |builder| builder)
}

pub fn stand_with(origin: &Origin, build: impl FnOnce(Builder) -> Builder) -> Stand {
    let clock = Clock::manual(START);
    let cache = build(Cache::builder().name("edge").clock(clock.clone())).build();
    let edge = cache.layer().layer(origin.clone());
    Stand { cache, clock, edge }
}

impl Stand {
    pub fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    pub async fn send(&self, request: Request<Body>) -> Response<Body> {
        let answer: Result<_, Infallible> = within(self.edge.clone().oneshot(request)).await;
        answer.unwrap()
    }

    pub async fn get(&self, path: &str) -> Response<Body> {
        self.send(request("GET", path, &[])).await
    }

    pub async fn get_with(&self, path: &str, fields: &[(&str, &str)]) -> Response<Body> {
        self.send(request("GET", path, fields)).await
    }

    /// GETs a path and reads all of it: the status, the text, the `Cache-Status`.
    pub async fn fetch(&self, path: &str, fields: &[(&str, &str)]) -> (u16, String, String) {
        let response = self.get_with(path, fields).await;
        let status = cache_status(&response);
        (response.status().as_u16(), text(response).await, status)
    }
}

pub fn request(method: &str, path: &str, fields: &[(&str, &str)]) -> Request<Body> {
    let uri = format!("http://example.com{path}");
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(Body::empty()).unwrap()
}

pub fn ok(fields: &[(&str, &str)], body: &'static str) -> Response<Body> {
    reply(200, fields, body)
}

pub fn reply(status: u16, fields: &[(&str, &str)], body: &'static str) -> Response<Body> {
    let mut response = Response::builder().status(status);
    for (name, value) in fields {
        response = response.header(*name, *value);
    }
    response.body(Body::from(body)).unwrap()
}

pub fn field<'a>(response: &'a Response<Body>, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

/// All members of `Cache-Status`.
pub fn cache_status(response: &Response<Body>) -> String {
    let lines = response.headers().get_all("cache-status").iter();
    lines.map(|line| line.to_str().unwrap()).collect::<Vec<_>>().join(", ")
}

pub async fn text(response: Response<Body>) -> String {
    let all = within(response.into_body().collect(1 << 30)).await.unwrap();
    String::from_utf8(all.to_bytes().to_vec()).unwrap()
}

/// The next bytes of a body: `None` at its end.
pub async fn next(body: &mut Body) -> Option<Result<Bytes, BodyError>> {
    within(std::future::poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)))
        .await
        .map(|frame| frame.map(|frame| frame.into_data().unwrap()))
}

/// Waits for a condition that other tasks bring about.
pub async fn until(mut condition: impl FnMut() -> bool) {
    within(async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

pub async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("took too long")
}
