//! A drain lets what was begun finish and takes nothing new.

use std::convert::Infallible;
use std::net::TcpStream;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use headwater_net::server::{Server, WorkerId};
use headwater_net::{Body, BodyError, Protocol};
use http::{Request, Response};
use http_body::Frame;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::client::Client;
use crate::http2_frames::{
    END_HEADERS, END_STREAM, HEADERS, Heard, NO_ERROR, WINDOW_UPDATE, frame, open, request,
};
use crate::service::{pattern, start, start_with, until};
use crate::websockets::{PROTOCOLS, Socket, echo};

#[tokio::test]
async fn a_drain_finishes_what_was_begun_and_refuses_the_rest() {
    let server = Arc::new(start());
    let mut begun = Vec::new();
    for protocol in Protocol::ALL {
        let client = Client::new(&server, protocol).await;
        begun.push(tokio::spawn(async move { (protocol, client.get("/wait").await) }));
    }
    let waiting = &server.play.waiting;
    until("three wait", || waiting.load(Ordering::SeqCst) == 3).await;
    let draining = tokio::spawn({
        let server = Arc::clone(&server);
        async move { server.handle.drain(Duration::from_secs(60)).await }
    });
    let addr = server.handle.https_addrs()[0];
    until("refuses", || TcpStream::connect(addr).is_err()).await;
    assert!(!draining.is_finished(), "requests are under way");
    server.play.gate.add_permits(3);
    for request in begun {
        let (protocol, answer) = request.await.unwrap();
        assert_eq!(answer.unwrap_or_else(|e| panic!("{protocol}: {e}")).body.len(), 300_000);
    }
    let drained = tokio::time::timeout(Duration::from_secs(60), draining).await.unwrap().unwrap();
    // The probes above may have been accepted too.
    assert!(drained.finished >= 3 && drained.cut == 0, "{drained:?}");
    // The port is free again, on TCP and on UDP.
    std::net::TcpListener::bind(addr).unwrap();
    std::net::UdpSocket::bind(addr).unwrap();
}

#[tokio::test]
async fn a_drain_cuts_what_outlasts_its_deadline() {
    let server = start();
    let mut begun = Vec::new();
    for protocol in Protocol::ALL {
        let client = Client::new(&server, protocol).await;
        begun.push(tokio::spawn(async move { client.get("/forever").await.is_err() }));
    }
    let waiting = &server.play.waiting;
    until("three wait", || waiting.load(Ordering::SeqCst) == 3).await;
    let drained = server.handle.drain(Duration::from_millis(100)).await;
    assert_eq!((drained.finished, drained.cut), (0, 3));
    for request in begun {
        assert!(request.await.unwrap(), "an answer that never was");
    }
}

#[tokio::test]
async fn websockets_go_on_while_the_server_drains() {
    let through = echo().await;
    for protocol in PROTOCOLS {
        let server = Arc::new(start_with(|builder| builder.extended_connect(true)));
        let mut sockets = Vec::new();
        for path in [through.as_str(), "/websocket"] {
            sockets.push(Socket::open(&server, protocol, path).await);
        }
        let addr = server.handle.https_addrs()[0];
        let draining = tokio::spawn({
            let server = Arc::clone(&server);
            async move { server.handle.drain(Duration::from_secs(3600)).await }
        });
        until("refuses", || TcpStream::connect(addr).is_err()).await;
        for socket in &mut sockets {
            socket.echoes("while it drains").await;
        }
        assert!(!draining.is_finished(), "{protocol}: nobody has ended them");
        drop(sockets);
        let drained = tokio::time::timeout(Duration::from_secs(60), draining).await;
        let drained = drained.expect("both are over").unwrap();
        // The probes above may have been accepted too.
        assert!(drained.finished >= 2 && drained.cut == 0, "{protocol}: {drained:?}");
    }
}

#[tokio::test]
async fn websockets_that_outlast_a_drain_are_cut_and_counted() {
    let through = echo().await;
    for protocol in PROTOCOLS {
        for path in [through.as_str(), "/websocket"] {
            let server = start_with(|builder| builder.extended_connect(true));
            let mut socket = Socket::open(&server, protocol, path).await;
            socket.echoes("hello").await;
            let drained = server.handle.drain(Duration::from_millis(100)).await;
            assert_eq!((drained.finished, drained.cut), (0, 1), "{protocol}, {path}");
            socket.ends().await;
        }
    }
}

#[tokio::test]
async fn an_answer_on_its_way_survives_the_drain() {
    // Written into QUIC's send window at once, acknowledged later: closing must wait for that.
    for _ in 0..5 {
        let server = start();
        let client = Client::new(&server, Protocol::H3).await;
        let fetch = tokio::spawn(async move { client.get("/bytes/6000000").await });
        let metrics = server.handle.metrics().clone();
        until("the request arrived", || metrics.requests(Protocol::H3) == 1).await;
        let drained = server.handle.drain(Duration::from_secs(60)).await;
        assert_eq!(drained.cut, 0);
        assert_eq!(fetch.await.unwrap().unwrap().body.len(), 6_000_000);
    }
}

/// What GOAWAY says first (RFC 9113 §6.8), for a client's requests may be on their way: none is refused.
const ANY_STREAM: u32 = 0x7fff_ffff;

#[tokio::test]
async fn a_drain_tells_an_idle_http2_connection_before_it_ends_it() {
    let server = start();
    let mut stream = open(server.plain_port(), &[]).await;
    let asks = frame(HEADERS, END_HEADERS | END_STREAM, 1, &request("/bytes/5"));
    stream.write_all(&asks).await.unwrap();
    let mut heard = Heard::default();
    assert!(heard.listen(&mut stream, |heard| heard.whole == [1]).await);
    assert_eq!(heard.goaways, []);
    let (drained, ()) = tokio::join!(
        server.handle.drain(Duration::from_secs(60)),
        heard.listen_to_the_end(&mut stream)
    );
    assert_eq!(heard.goaways, [(ANY_STREAM, NO_ERROR), (1, NO_ERROR)]);
    assert_eq!((drained.finished, drained.cut), (1, 0));
}

#[tokio::test]
async fn a_drain_tells_an_http2_connection_whose_answer_has_begun_and_finishes_that() {
    /// As much as a stream and a connection take before they are told more (RFC 9113 §6.9.2).
    const WINDOW: usize = 65_535;
    let server = start();
    let mut stream = open(server.plain_port(), &[]).await;
    let asks = frame(HEADERS, END_HEADERS | END_STREAM, 1, &request("/bytes/300000"));
    stream.write_all(&asks).await.unwrap();
    let mut heard = Heard::default();
    assert!(heard.listen(&mut stream, |heard| heard.body.len() == WINDOW).await);
    assert_eq!(heard.goaways, []);
    let (drained, ()) = tokio::join!(server.handle.drain(Duration::from_secs(60)), async {
        assert!(heard.listen(&mut stream, |heard| heard.goaways.len() == 2).await, "not told");
        assert_eq!(heard.goaways, [(ANY_STREAM, NO_ERROR), (1, NO_ERROR)]);
        assert_eq!((heard.body.len(), heard.whole.len()), (WINDOW, 0));
        let more = 300_000u32.to_be_bytes();
        let more = [0, 1].map(|on| frame(WINDOW_UPDATE, 0, on, &more)).concat();
        stream.write_all(&more).await.unwrap();
        heard.listen_to_the_end(&mut stream).await;
    });
    assert_eq!((heard.body, heard.whole), (pattern(300_000).to_vec(), vec![1]));
    assert_eq!(heard.goaways.len(), 2);
    assert_eq!((drained.finished, drained.cut), (1, 0));
}

/// HTTP/1.1 says nothing when it closes: headers of which a part has come are not lost.
#[tokio::test]
async fn a_drain_waits_for_headers_that_have_begun() {
    let server = start();
    let addr = ("127.0.0.1", server.plain_port());
    let mut stream = tokio::net::TcpStream::connect(addr).await.unwrap();
    stream.write_all(b"GET /bytes/5 HTTP/1.1\r\nHost: a\r\n").await.unwrap();
    until("it came", || server.handle.metrics().connections_open(Protocol::H1) == 1).await;
    // Nothing tells when they were read.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (drained, ()) = tokio::join!(server.handle.drain(Duration::from_secs(60)), async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        stream.write_all(b"\r\n").await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer);
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.contains("connection: close"),
            "{answer}"
        );
    });
    assert_eq!(drained.cut, 0);
}

#[tokio::test]
async fn dropping_the_handle_stops_the_server() {
    let server = start();
    let client = Client::new(&server, Protocol::H3).await;
    let addr = server.handle.https_addrs()[0];
    drop(server);
    // Of both: QUIC may end a moment after TCP.
    let is_free =
        || std::net::TcpListener::bind(addr).is_ok() && std::net::UdpSocket::bind(addr).is_ok();
    until("the port is free", is_free).await;
    assert!(client.get("/bytes/1").await.is_err());
}

/// A body that another task feeds.
struct Fed(mpsc::Receiver<Bytes>);

impl http_body::Body for Fed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.0.poll_recv(cx).map(|data| data.map(|data| Ok(Frame::data(data))))
    }
}

#[tokio::test]
async fn a_drain_keeps_an_idle_worker_while_another_depends_on_its_tasks() {
    const PIECES: usize = 60;
    let runtimes = Arc::new(Mutex::new(Vec::<(WorkerId, Handle)>::new()));
    let server = Server::builder()
        .http("127.0.0.1:0")
        .workers(2)
        .serve({
            let runtimes = Arc::clone(&runtimes);
            move |id| {
                runtimes.lock().unwrap().push((id, Handle::current()));
                let runtimes = Arc::clone(&runtimes);
                tower::service_fn(move |_: Request<Body>| {
                    let (feed, fed) = mpsc::channel(1);
                    for (worker, runtime) in &*runtimes.lock().unwrap() {
                        let feed = feed.clone();
                        if *worker != id {
                            runtime.spawn(async move {
                                for _ in 0..PIECES {
                                    tokio::time::sleep(Duration::from_millis(5)).await;
                                    feed.send(Bytes::from_static(b"piece")).await.unwrap();
                                }
                            });
                        }
                    }
                    let response = Response::builder()
                        .header("content-length", 5 * PIECES)
                        .body(Body::stream(Fed(fed)));
                    async { Ok::<_, Infallible>(response.unwrap()) }
                })
            }
        })
        .unwrap();
    until("both workers run", || runtimes.lock().unwrap().len() == 2).await;
    let mut client = tokio::net::TcpStream::connect(server.http_addrs()[0]).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    until("asked", || server.metrics().requests(Protocol::H1) == 1).await;
    let mut answer = Vec::new();
    let (drained, read) =
        tokio::join!(server.drain(Duration::from_secs(60)), client.read_to_end(&mut answer));
    read.unwrap();
    let text = String::from_utf8(answer).unwrap();
    let (_, body) = text.split_once("\r\n\r\n").unwrap();
    assert_eq!(body.len(), 5 * PIECES);
    assert_eq!((drained.finished, drained.cut), (1, 0));
}
