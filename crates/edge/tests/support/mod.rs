//! What the tests of the edge share: an origin, requests as a listener hands them on, a log that
//! can be read.
#![allow(dead_code, clippy::unwrap_used, reason = "shared by several test files")]

pub mod mmdb;

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use headwater_net::{Body, BodyError, ConnInfo, Protocol};
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use tower_service::Service;

/// Answers by path: `/small`, `/large` and `/varies` (by encoding) may be stored, `/cut` breaks off, the rest is 404.
#[derive(Clone, Default)]
pub struct Origin {
    pub seen: Arc<Mutex<Vec<String>>>,
    pub headers: Arc<Mutex<Vec<HeaderMap>>>,
}

pub const LARGE: usize = 300_000;

impl Service<Request<Body>> for Origin {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let path = request.uri().path().to_owned();
        self.seen.lock().unwrap().push(path.clone());
        self.headers.lock().unwrap().push(request.headers().clone());
        let response = Response::builder().header("cache-control", "max-age=60");
        let response = match path.as_str() {
            "/small" => response.body(Body::from("small")),
            "/varies" => response.header("vary", "accept-encoding").body(Body::from("small")),
            "/large" => response.body(Body::from(vec![7; LARGE])),
            "/cut" => response.header("content-length", 10).body(Body::stream(Cut(0))),
            _ => Response::builder().status(404).body(Body::from("no such thing")),
        };
        ready(Ok(response.unwrap()))
    }
}

struct Cut(u8);

impl http_body::Body for Cut {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.0 += 1;
        Poll::Ready(Some(match self.0 {
            1 => Ok(Frame::data(Bytes::from_static(b"half"))),
            _ => Err(BodyError::source("reset")),
        }))
    }
}

/// A GET as a listener hands it on.
pub fn get(path: &str, protocol: Protocol) -> Request<Body> {
    request("GET", path, protocol)
}

pub fn request(method: &str, path: &str, protocol: Protocol) -> Request<Body> {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "video.example")
        .header("user-agent", "test \"player\"")
        .body(Body::empty())
        .unwrap();
    let conn = ConnInfo::new(
        "192.0.2.7:4711".parse().unwrap(),
        "192.0.2.1:443".parse().unwrap(),
        protocol,
    );
    request.extensions_mut().insert(conn);
    request
}

/// A sink whose lines can be read.
#[derive(Clone, Default)]
pub struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    pub fn json(&self) -> Vec<serde_json::Value> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Waits until `condition` holds, for ten seconds at most.
pub async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(tokio::time::Instant::now() < deadline, "never came true: {what}");
        tokio::task::yield_now().await;
    }
}
