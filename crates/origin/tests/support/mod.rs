//! A scripted origin and a scripted client: a test reads like a play.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "shared by several test files; tests may fail loudly"
)]

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use headwater_net::{Body, BodyError};
use headwater_origin::Shield;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Frame;
use tokio::sync::Notify;
use tower::ServiceExt;
use tower_service::Service;

/// The origin: what it was told to answer, and whom it answered.
#[derive(Clone, Default)]
pub struct Origin(Arc<Inner>);

#[derive(Default)]
struct Inner {
    replies: Mutex<HashMap<String, Reply>>,
    fallback: Mutex<Option<Reply>>,
    seen: Mutex<Vec<(String, HeaderMap)>>,
}

/// One scripted answer.
#[derive(Clone)]
pub struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Bytes,
    cut: Option<usize>,
    refuse: bool,
    silent: bool,
    gate: Option<Arc<Notify>>,
    head_gate: Option<Arc<Notify>>,
    unmeasured: bool,
}

pub fn reply(status: u16) -> Reply {
    Reply {
        status,
        headers: Vec::new(),
        body: Bytes::new(),
        cut: None,
        refuse: false,
        silent: false,
        gate: None,
        head_gate: None,
        unmeasured: false,
    }
}

/// A segment: 200, cacheable for long.
pub fn segment(body: impl Into<Bytes>) -> Reply {
    reply(200)
        .header("content-type", "video/mp4")
        .header("cache-control", "max-age=3600")
        .body(body)
}

/// A playlist of HLS, cacheable for a moment.
pub fn playlist(names: &[&str]) -> Reply {
    let mut text = String::from("#EXTM3U\n#EXT-X-TARGETDURATION:4\n");
    for name in names {
        text.push_str("#EXTINF:4.0,\n");
        text.push_str(name);
        text.push('\n');
    }
    text.push_str("#EXT-X-ENDLIST\n");
    reply(200)
        .header("content-type", "application/vnd.apple.mpegurl")
        .header("cache-control", "max-age=2")
        .body(text)
}

impl Reply {
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Breaks off after `len` bytes of the body.
    pub fn cut_at(mut self, len: usize) -> Self {
        self.cut = Some(len);
        self
    }

    /// No connection at all.
    pub fn refuse() -> Self {
        Self { refuse: true, ..reply(0) }
    }

    /// Never answers.
    pub fn silence() -> Self {
        Self { silent: true, ..reply(0) }
    }

    /// Does not say how long the body is.
    pub fn unmeasured(mut self) -> Self {
        self.unmeasured = true;
        self
    }

    /// Sends nothing before `gate` opens.
    pub fn head_after(mut self, gate: &Arc<Notify>) -> Self {
        self.head_gate = Some(Arc::clone(gate));
        self
    }

    /// Sends headers at once and the body when `gate` opens.
    pub fn body_after(mut self, gate: &Arc<Notify>) -> Self {
        self.gate = Some(Arc::clone(gate));
        self
    }
}

impl Origin {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn on(self, target: &str, reply: Reply) -> Self {
        self.0.replies.lock().unwrap().insert(target.to_owned(), reply);
        self
    }

    /// The answer to everything that is not scripted; by default 404.
    pub fn otherwise(self, reply: Reply) -> Self {
        *self.0.fallback.lock().unwrap() = Some(reply);
        self
    }

    /// The targets asked for so far, in order.
    pub fn seen(&self) -> Vec<String> {
        self.0.seen.lock().unwrap().iter().map(|(target, _)| target.clone()).collect()
    }

    pub fn times(&self, target: &str) -> usize {
        self.seen().iter().filter(|seen| *seen == target).count()
    }

    /// The headers of the last request for `target`.
    pub fn headers_of(&self, target: &str) -> HeaderMap {
        let seen = self.0.seen.lock().unwrap();
        seen.iter().rev().find(|(seen, _)| seen == target).expect("never asked for").1.clone()
    }
}

impl Service<Request<Body>> for Origin {
    type Response = Response<Body>;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, std::io::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), std::io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let target = request.uri().path_and_query().unwrap().as_str().to_owned();
        let scripted = self.0.replies.lock().unwrap().get(&target).cloned();
        let reply_ = scripted
            .or_else(|| self.0.fallback.lock().unwrap().clone())
            .unwrap_or_else(|| reply(404).body("no such thing"));
        self.0.seen.lock().unwrap().push((target, request.headers().clone()));
        Box::pin(async move {
            if reply_.silent {
                std::future::pending::<()>().await;
            }
            if let Some(gate) = &reply_.head_gate {
                gate.notified().await;
            }
            if reply_.refuse {
                return Err(std::io::ErrorKind::ConnectionRefused.into());
            }
            let mut response = Response::builder().status(reply_.status);
            for (name, value) in &reply_.headers {
                response = response.header(*name, value);
            }
            let whole = reply_.body.clone();
            if reply_.unmeasured {
                let body = Scripted::new(&whole, reply_.gate, reply_.cut);
                return Ok(response.body(Body::stream(body)).unwrap());
            }
            if reply_.cut.is_some() || reply_.gate.is_some() {
                response = response.header("content-length", whole.len());
                let (gate, cut) = (reply_.gate, reply_.cut);
                return Ok(response.body(Body::stream(Scripted::new(&whole, gate, cut))).unwrap());
            }
            Ok(response.body(Body::from(whole)).unwrap())
        })
    }
}

/// A body in two halves that waits for its gate between them and may break off.
struct Scripted {
    parts: Vec<Result<Bytes, BodyError>>,
    gate: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Scripted {
    fn new(whole: &Bytes, gate: Option<Arc<Notify>>, cut: Option<usize>) -> Self {
        let end = cut.unwrap_or(whole.len());
        let mut parts = vec![Ok(whole.slice(..end / 2)), Ok(whole.slice(end / 2..end))];
        if cut.is_some() {
            parts.push(Err(BodyError::source("reset by the script")));
        }
        parts.reverse();
        let gate = gate.map(|gate| Box::pin(async move { gate.notified().await }) as _);
        Self { parts, gate }
    }
}

impl http_body::Body for Scripted {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.parts.len() == 1
            && let Some(gate) = &mut self.gate
        {
            std::task::ready!(gate.as_mut().poll(cx));
            self.gate = None;
        }
        Poll::Ready(self.parts.pop().map(|part| part.map(Frame::data)))
    }
}

/// The client's side: one GET, read to its end.
pub async fn get(shield: &Shield, target: &str) -> Answer {
    get_with(shield, target, &[]).await
}

pub async fn get_with(shield: &Shield, target: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::get(target).header("host", "video.example");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::empty()).unwrap();
    let response = shield.clone().oneshot(request).await.unwrap_or_else(|never| match never {});
    let (head, body) = response.into_parts();
    let body = body.collect(10 << 20).await.map(|chunks| chunks.to_bytes());
    Answer { status: head.status, headers: head.headers, body: body.map_err(|e| e.to_string()) }
}

#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Result<Bytes, String>,
}

impl Answer {
    /// Whether the shield's own member of Cache-Status says hit.
    pub fn is_hit(&self) -> bool {
        let last = self.headers.get_all("cache-status").iter().next_back();
        last.is_some_and(|value| value.to_str().unwrap().contains("; hit"))
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(self.body.as_ref().unwrap()).unwrap()
    }
}

/// Waits until `condition` holds, for five seconds at most.
pub async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
    while !condition() {
        assert!(tokio::time::Instant::now() < deadline, "never came true: {what}");
        tokio::task::yield_now().await;
    }
}

/// Gives every background task the chance to run.
pub async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}
