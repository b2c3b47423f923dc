//! What the clients ask: bytes of any length and parts of them, what becomes of an upload, a body
//! without an end, whether a request came early, where it came from.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use headwater_net::range::{Selection, content_range, select, unsatisfied_range};
use headwater_net::server::{QuicConfig, Server, ServerHandle, Tls};
use headwater_net::{Body, BodyError, Chunks, Clock, ConnInfo};
use http::{Request, Response, StatusCode, header};

/// Two servers: the second wants every address shown (Retry).
pub(crate) struct Servers {
    pub(crate) plain: ServerHandle,
    pub(crate) wary: ServerHandle,
}

impl Servers {
    pub(crate) fn port(&self, case: &str) -> u16 {
        let server = if case == "retry" { &self.wary } else { &self.plain };
        server.https_addrs()[0].port()
    }
}

pub(crate) fn start() -> Servers {
    let tls = Tls::self_signed(["localhost"], None, &Clock::system()).unwrap();
    let serve = |retry_above| {
        let mut quic = QuicConfig::default();
        quic.early_data = true;
        quic.retry_above = retry_above;
        let endless = Arc::<AtomicUsize>::default();
        Server::builder()
            .https("127.0.0.1:0")
            .tls(tls.clone())
            .quic(quic)
            .workers(2)
            .serve(move |_| {
                let endless = Arc::clone(&endless);
                tower::service_fn(move |request| {
                    let endless = Arc::clone(&endless);
                    async move { Ok::<_, Infallible>(answer(request, &endless).await) }
                })
            })
            .unwrap()
    };
    Servers { plain: serve(64), wary: serve(0) }
}

/// Bytes that differ from place to place: the remainders by 251, as the scripts make them too.
pub(crate) fn pattern(len: usize) -> Bytes {
    (0..len).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

async fn answer(request: Request<Body>, endless: &Arc<AtomicUsize>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let path: Vec<&str> = parts.uri.path().trim_start_matches('/').split('/').collect();
    let text = |text: String| Response::new(Body::from(text));
    match path[..] {
        ["bytes", len] => {
            let all = pattern(len.parse().unwrap());
            let len = all.len() as u64;
            let part = match select(parts.headers.get(header::RANGE), len) {
                Selection::Whole => return Response::new(chunks(&all)),
                Selection::Part(part) => part,
                Selection::Unsatisfiable => {
                    return Response::builder()
                        .status(StatusCode::RANGE_NOT_SATISFIABLE)
                        .header(header::CONTENT_RANGE, unsatisfied_range(len))
                        .body(Body::Empty)
                        .unwrap();
                }
            };
            let at = |at: u64| usize::try_from(at).unwrap();
            Response::builder()
                .status(StatusCode::PARTIAL_CONTENT)
                .header(header::CONTENT_RANGE, content_range(&part, Some(len)))
                .body(chunks(&all.slice(at(part.start)..at(part.end))))
                .unwrap()
        }
        ["upload"] => text(match body.collect(1 << 30).await {
            Ok(all) => {
                let all = all.to_bytes();
                format!("{} {}", all.len(), all == pattern(all.len()))
            }
            Err(error) => error.to_string(),
        }),
        ["endless"] => {
            endless.fetch_add(1, Ordering::SeqCst);
            Response::new(Body::stream(Endless(Arc::clone(endless))))
        }
        ["open"] => text(endless.load(Ordering::SeqCst).to_string()),
        ["early"] => {
            let info = parts.extensions.get::<ConnInfo>().unwrap();
            text(format!("early={}", info.early_data))
        }
        _ => Response::builder().status(StatusCode::NOT_FOUND).body(Body::Empty).unwrap(),
    }
}

fn chunks(all: &Bytes) -> Body {
    let pieces: Vec<Bytes> = all.chunks(64 << 10).map(|piece| all.slice_ref(piece)).collect();
    Body::from(Chunks::from(pieces))
}

struct Endless(Arc<AtomicUsize>);

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, BodyError>>> {
        Poll::Ready(Some(Ok(http_body::Frame::data(Bytes::from_static(&[7; 8192])))))
    }
}

impl Drop for Endless {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
