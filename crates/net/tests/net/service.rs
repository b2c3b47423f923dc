//! The service under test, and servers that serve it.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use headwater_net::client::Upstream;
use headwater_net::server::{ConnLimits, Server, ServerBuilder, ServerHandle, Tls};
use headwater_net::{Body, BodyError, Clock, ConnInfo, UnderWay};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Frame;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::Semaphore;
use tower::Service as _;

/// What the service and the test share.
#[derive(Clone)]
pub(crate) struct Play {
    /// `/wait` answers once for each permit added here.
    pub(crate) gate: Arc<Semaphore>,
    /// Requests to `/wait` and `/forever` that are under way.
    pub(crate) waiting: Arc<AtomicUsize>,
}

pub(crate) struct Running {
    pub(crate) handle: ServerHandle,
    pub(crate) tls: Tls,
    pub(crate) play: Play,
}

impl Running {
    pub(crate) fn port(&self) -> u16 {
        self.handle.https_addrs()[0].port()
    }

    pub(crate) fn plain_port(&self) -> u16 {
        self.handle.http_addrs()[0].port()
    }
}

/// A server on both loopback addresses, TLS and plain, with two workers.
pub(crate) fn start() -> Running {
    start_with(|builder| builder)
}

pub(crate) fn start_with(tune: impl FnOnce(ServerBuilder) -> ServerBuilder) -> Running {
    let tls = Tls::self_signed(["localhost"], None, &Clock::system()).unwrap();
    start_with_tls(tls, tune)
}

pub(crate) fn start_with_tls(
    tls: Tls,
    tune: impl FnOnce(ServerBuilder) -> ServerBuilder,
) -> Running {
    let play = Play { gate: Arc::new(Semaphore::new(0)), waiting: Arc::new(AtomicUsize::new(0)) };
    let builder = Server::builder()
        .https("127.0.0.1:0")
        .https("[::1]:0")
        .http("127.0.0.1:0")
        .tls(tls.clone())
        .workers(2);
    let play_there = play.clone();
    let handle = tune(builder)
        .serve(move |_| {
            let play = play_there.clone();
            tower::service_fn(move |request| {
                let play = play.clone();
                async move { Ok::<_, Infallible>(play.answer(request).await) }
            })
        })
        .unwrap();
    Running { handle, tls, play }
}

/// A service that answers nothing in particular.
pub(crate) async fn nothing(_: Request<Body>) -> Result<Response<Body>, Infallible> {
    Ok(Response::new(Body::Empty))
}

pub(crate) fn short_limits() -> ConnLimits {
    let mut limits = ConnLimits::default();
    limits.header_timeout = Duration::from_secs(1);
    limits.handshake_timeout = Duration::from_secs(1);
    limits.idle_timeout = Duration::from_secs(1);
    limits
}

/// Bytes that differ from place to place.
pub(crate) fn pattern(len: usize) -> Bytes {
    (0..len).map(|i| (i % 251) as u8 ^ (i >> 12) as u8).collect()
}

/// Waits, within a minute, until `condition` holds.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting)
        .await
        .unwrap_or_else(|_| panic!("not within a minute: {what}"));
}

struct Count(Arc<AtomicUsize>);

impl Count {
    fn new(counter: &Arc<AtomicUsize>) -> Self {
        counter.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(counter))
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Play {
    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let (mut parts, body) = request.into_parts();
        let uri = parts.uri.clone();
        let path: Vec<&str> = uri.path().trim_start_matches('/').split('/').collect();
        match path[..] {
            // Through to an upstream at this port.
            ["websocket", port] => {
                let mut upstream = Upstream::builder(format!("http://127.0.0.1:{port}"))
                    .websocket_idle_timeout(Duration::from_secs(3600))
                    .build()
                    .unwrap();
                upstream.call(Request::from_parts(parts, body)).await.unwrap()
            }
            // The same without an upstream: a service that speaks it by itself.
            ["websocket"] => {
                let under_way = parts.extensions.remove::<UnderWay>();
                let by_http2 = parts.method == Method::CONNECT;
                let mut request = Request::from_parts(parts, ());
                let upgrade = hyper::upgrade::on(&mut request);
                tokio::spawn(async move {
                    let Ok(upgraded) = upgrade.await else { return };
                    let (mut read, mut write) = tokio::io::split(TokioIo::new(upgraded));
                    let _ = tokio::io::copy(&mut read, &mut write).await;
                    let _ = write.shutdown().await;
                    drop(under_way);
                });
                let response = Response::builder();
                let response = if by_http2 {
                    response
                } else {
                    response
                        .status(101)
                        .header("connection", "upgrade")
                        .header("upgrade", "websocket")
                };
                response.body(Body::Empty).unwrap()
            }
            ["bytes", len] => {
                let all = pattern(len.parse().unwrap());
                let chunks: Vec<Bytes> =
                    all.chunks(64 << 10).map(|chunk| all.slice_ref(chunk)).collect();
                Response::new(Body::from(headwater_net::Chunks::from(chunks)))
            }
            // In one piece, which hyper takes at once.
            ["whole", len] => Response::new(Body::from(pattern(len.parse().unwrap()))),
            ["stream", len] => Response::new(stream(len.parse().unwrap(), false, None)),
            ["echo"] => Response::new(body),
            ["count"] => {
                let text = match body.collect(1 << 30).await {
                    Ok(all) => format!("{} bytes", all.len()),
                    Err(error) => format!("failed: {error}"),
                };
                Response::new(Body::from(text))
            }
            ["info"] => {
                let info = parts.extensions.get::<ConnInfo>().unwrap();
                let text = format!(
                    "{} tls={} sni={:?} peer={} local={}",
                    info.protocol, info.tls, info.sni, info.peer, info.local
                );
                Response::new(Body::from(text))
            }
            // The request's fields, sorted.
            ["fields"] => {
                let line = |(name, value): (&HeaderName, &HeaderValue)| {
                    format!("{name}: {}\n", value.to_str().unwrap())
                };
                let mut lines: Vec<_> = parts.headers.iter().map(line).collect();
                lines.sort_unstable();
                Response::new(Body::from(lines.concat()))
            }
            ["early"] => {
                let info = parts.extensions.get::<ConnInfo>().unwrap();
                Response::new(Body::from(format!("early={}", info.early_data)))
            }
            ["path"] => {
                let info = parts.extensions.get::<ConnInfo>().unwrap();
                Response::new(Body::from(info.path().map_or("unknown".to_owned(), |path| {
                    format!("{} {} {}", path.rtt.as_micros(), path.window, path.rate())
                })))
            }
            ["established"] => {
                let _count = Count::new(&self.waiting);
                let info = parts.extensions.get::<ConnInfo>().unwrap();
                Response::new(Body::from(format!("established={}", info.established().await)))
            }
            ["length", said] => Response::builder()
                .header("content-length", said.replace('+', " "))
                .body(stream(5, false, None))
                .unwrap(),
            ["cut", "known"] => Response::builder()
                .header("content-length", "200000")
                .body(stream(100_000, true, None))
                .unwrap(),
            ["cut", "unknown"] => Response::new(stream(100_000, true, None)),
            ["cut", "short"] => Response::builder()
                .header("content-length", "200000")
                .body(stream(100_000, false, None))
                .unwrap(),
            ["cut", "panic"] => Response::new(stream(100_000, false, Some("panic"))),
            ["forever"] => {
                let _count = Count::new(&self.waiting);
                std::future::pending().await
            }
            ["endless"] => {
                let count = Count::new(&self.waiting);
                Response::new(Body::stream(Pieces {
                    left: usize::MAX,
                    then: Then::End,
                    _count: Some(count),
                }))
            }
            ["silent"] => {
                let count = Count::new(&self.waiting);
                Response::new(Body::stream(Pieces {
                    left: 7000,
                    then: Then::Silence,
                    _count: Some(count),
                }))
            }
            ["wait"] => {
                let _count = Count::new(&self.waiting);
                self.gate.acquire().await.unwrap().forget();
                Response::new(Body::from(pattern(300_000)))
            }
            ["no-content"] => Response::builder()
                .status(StatusCode::NO_CONTENT)
                .header("content-length", "5")
                .body(Body::from("12345"))
                .unwrap(),
            ["not-modified"] => Response::builder()
                .status(StatusCode::NOT_MODIFIED)
                .header("etag", "\"a\"")
                .body(Body::from("12345"))
                .unwrap(),
            _ => Response::builder().status(StatusCode::NOT_FOUND).body(Body::Empty).unwrap(),
        }
    }
}

/// A body of unknown length in pieces of 7,000 bytes, which then ends, fails, or panics.
fn stream(len: usize, fails: bool, panics: Option<&str>) -> Body {
    let then = match (fails, panics) {
        (_, Some(_)) => Then::Panic,
        (true, None) => Then::Fail,
        (false, None) => Then::End,
    };
    Body::stream(Pieces { left: len, then, _count: None })
}

enum Then {
    End,
    Fail,
    Panic,
    Silence,
}

struct Pieces {
    left: usize,
    then: Then,
    _count: Option<Count>,
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        static PIECE: [u8; 7000] = [b'x'; 7000];
        if self.left == 0 {
            return match self.then {
                Then::End => Poll::Ready(None),
                Then::Fail => Poll::Ready(Some(Err(BodyError::source("upstream reset")))),
                Then::Panic => panic!("the body panics, as the test wants"),
                Then::Silence => Poll::Pending,
            };
        }
        let len = self.left.min(PIECE.len());
        self.left -= len;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&PIECE[..len])))))
    }
}
