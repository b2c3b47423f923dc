//! An application behind the stack, in the test's process: takes uploads, sends them back, tells events, and
//! speaks to WebSockets.

use std::convert::Infallible;
use std::hash::{DefaultHasher, Hasher as _};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

/// Takes a body, and says what [`Sum`] does of it.
pub const SINK: &str = "/app/sink";
/// Sends a body back while it comes.
pub const ECHO: &str = "/app/echo";
/// [`EVENTS`] events, one after the other.
pub const TELLS: &str = "/app/events";
/// A WebSocket's way; what comes goes back, and nobody looks at frames.
pub const SOCKET: &str = "/app/socket";

/// How many events there are, and the time between two.
pub const EVENTS: usize = 40;
const PAUSE: Duration = Duration::from_millis(25);

type Sent = UnsyncBoxBody<Bytes, hyper::Error>;

/// How long a body is, and a sum of its bytes, in whatever pieces they come.
#[derive(Clone, Debug, Default)]
pub struct Sum {
    pub len: u64,
    hasher: DefaultHasher,
}

impl Sum {
    /// Of a body that is there.
    pub fn of(bytes: &[u8]) -> Self {
        let mut sum = Self::default();
        sum.add(bytes);
        sum
    }

    /// Takes more of it.
    pub fn add(&mut self, bytes: &[u8]) {
        self.len += bytes.len() as u64;
        self.hasher.write(bytes);
    }

    /// What [`SINK`] answers.
    pub fn text(&self) -> String {
        format!("{} bytes, {:016x}", self.len, self.hasher.finish())
    }
}

/// The text of an event.
pub fn event(number: usize) -> String {
    format!("data: event {number}\n\n")
}

/// Starts one, which ends with the test; its URL.
pub async fn start() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            let serving = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service_fn(answer))
                .with_upgrades();
            tokio::spawn(serving);
        }
    });
    url
}

fn text(status: StatusCode, text: String) -> Response<Sent> {
    let body = Full::new(Bytes::from(text)).map_err(|never| match never {});
    let mut response = Response::new(body.boxed_unsync());
    *response.status_mut() = status;
    response
}

async fn answer(mut request: Request<Incoming>) -> Result<Response<Sent>, Infallible> {
    Ok(match (request.method(), request.uri().path()) {
        (&Method::POST | &Method::PUT, SINK) => {
            let mut sum = Sum::default();
            let mut body = request.into_body();
            loop {
                match body.frame().await {
                    Some(Ok(frame)) => sum.add(frame.data_ref().map_or(&[], |data| data)),
                    Some(Err(error)) => break text(StatusCode::BAD_REQUEST, error.to_string()),
                    None => break text(StatusCode::OK, sum.text()),
                }
            }
        }
        (&Method::POST | &Method::PUT, ECHO) => Response::new(request.into_body().boxed_unsync()),
        (&Method::GET, TELLS) => {
            let events = stream::unfold(0, |number| async move {
                if number == EVENTS {
                    return None;
                }
                if number > 0 {
                    tokio::time::sleep(PAUSE).await;
                }
                Some((Ok(Frame::data(Bytes::from(event(number)))), number + 1))
            });
            let response = Response::builder().header("content-type", "text/event-stream");
            let response = response.header("cache-control", "no-store");
            response.body(StreamBody::new(events).boxed_unsync()).unwrap()
        }
        (&Method::GET, SOCKET) => {
            let upgrade = hyper::upgrade::on(&mut request);
            tokio::spawn(async move {
                let Ok(upgraded) = upgrade.await else { return };
                let (mut read, mut write) = tokio::io::split(TokioIo::new(upgraded));
                let _ = tokio::io::copy(&mut read, &mut write).await;
                let _ = write.shutdown().await;
            });
            let mut response = text(StatusCode::SWITCHING_PROTOCOLS, String::new());
            for (name, value) in [("connection", "upgrade"), ("upgrade", "websocket")] {
                response.headers_mut().insert(name, value.parse().unwrap());
            }
            response
        }
        (_, path) => text(StatusCode::NOT_FOUND, format!("there is no {path}")),
    })
}
