//! How much of its answers one connection of HTTP/2 makes the server hold, and how many there are.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use headwater_net::server::{ConnLimits, Server, ServerHandle};
use headwater_net::{Body, BodyError};
use http::{Request, Response};
use http_body::Frame;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

use crate::http2_frames::{END_HEADERS, END_STREAM, HEADERS, RST_STREAM, frame, next, request};
use crate::service::start_with;

const PIECE: usize = 16 << 10;
const STREAMS: u32 = 100;
/// What sockets hold on the way, whatever the server does.
const SOCKETS: usize = 12 << 20;

/// A body without end that counts what is taken of it.
struct Endless(Arc<AtomicUsize>);

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.0.fetch_add(PIECE, Ordering::SeqCst);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(vec![0; PIECE])))))
    }
}

fn serve(limits: ConnLimits, made: &Arc<AtomicUsize>) -> ServerHandle {
    let made = Arc::clone(made);
    let server = Server::builder().http("127.0.0.1:0").workers(1).limits(limits);
    let serving = server.serve(move |_| {
        let made = Arc::clone(&made);
        tower::service_fn(move |_: Request<Body>| {
            let body = Body::stream(Endless(Arc::clone(&made)));
            async move { Ok::<_, Infallible>(Response::new(body)) }
        })
    });
    serving.unwrap()
}

fn forever(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &request("/forever"))
}

/// A client that has room for all there is, by its word, and reads none of it.
async fn greedy(port: u16) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(64 << 10).unwrap();
    let mut stream = socket.connect(([127, 0, 0, 1], port).into()).await.unwrap();
    let mut open = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    // SETTINGS_INITIAL_WINDOW_SIZE, and the window of the connection.
    open.extend(frame(0x4, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff]));
    open.extend(frame(0x8, 0, 0, &0x7fff_0000u32.to_be_bytes()));
    for nth in 0..STREAMS {
        open.extend(forever(2 * nth + 1));
    }
    stream.write_all(&open).await.unwrap();
    stream
}

/// What was made once no more is, for a quarter of a second.
async fn settled(made: &AtomicUsize) -> usize {
    let mut last = 0;
    for _ in 0..40 {
        tokio::time::sleep(Duration::from_millis(250)).await;
        let now = made.load(Ordering::SeqCst);
        if now == last && now > 0 {
            return now;
        }
        last = now;
    }
    panic!("{last} bytes were made, and there is no end of it");
}

/// Limit: `ConnLimits::send_budget`.
#[tokio::test]
async fn what_a_client_does_not_read_is_made_up_to_the_connections_budget() {
    let made = Arc::<AtomicUsize>::default();
    let mut limits = ConnLimits::default();
    limits.send_budget = 2 << 20;
    let server = serve(limits, &made);
    let client = greedy(server.http_addrs()[0].port()).await;
    let made = settled(&made).await;
    let pieces = 2 * STREAMS as usize * PIECE;
    assert!(made <= SOCKETS + (2 << 20) + pieces, "{made} bytes were made");
    drop(client);
}

/// Limit: `ConnLimits::h2_send_buffer`.
#[tokio::test]
async fn what_a_client_does_not_read_is_made_up_to_each_streams_buffer() {
    let made = Arc::<AtomicUsize>::default();
    let mut limits = ConnLimits::default();
    limits.send_budget = usize::MAX;
    limits.h2_send_buffer = 32 << 10;
    let server = serve(limits, &made);
    let client = greedy(server.http_addrs()[0].port()).await;
    let made = settled(&made).await;
    let streams = STREAMS as usize * ((32 << 10) + 2 * PIECE);
    assert!(made <= SOCKETS + streams, "{made} bytes were made");
    drop(client);
}

/// Limit: `ConnLimits::h2_max_streams`.
#[tokio::test]
async fn one_stream_too_many_is_refused() {
    let mut limits = ConnLimits::default();
    limits.h2_max_streams = 3;
    let server = start_with(|builder| builder.limits(limits));
    let mut stream = TcpStream::connect(("127.0.0.1", server.plain_port())).await.unwrap();
    let mut open = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    open.extend(frame(0x4, 0, 0, &[]));
    for id in [1, 3, 5, 7] {
        open.extend(forever(id));
    }
    stream.write_all(&open).await.unwrap();
    loop {
        let (kind, _, on) = next(&mut stream).await;
        if kind == RST_STREAM {
            assert_eq!(on, 7);
            break;
        }
        assert_eq!(on, 0, "an answer to {on}");
    }
    let waiting = &server.play.waiting;
    crate::service::until("three", || waiting.load(Ordering::SeqCst) == 3).await;
}
