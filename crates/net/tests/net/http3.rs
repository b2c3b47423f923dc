//! What only HTTP/3 has.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use headwater_net::server::{ConnLimits, QuicConfig, Server, Tls};
use headwater_net::{Body, BodyError, Clock, Protocol};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::client::{Client, H3};
use crate::service::{pattern, start, start_with, until};

#[tokio::test]
async fn a_hundred_requests_at_once_on_one_connection() {
    let server = start();
    let Client::H3(client) = Client::new(&server, Protocol::H3).await else { unreachable!() };
    let client = Arc::new(Client::H3(client));
    let mut all = JoinSet::new();
    for i in 0..100usize {
        let client = Arc::clone(&client);
        all.spawn(async move {
            let len = 1000 * i;
            let answer = client.get(&format!("/bytes/{len}")).await.unwrap();
            assert!(answer.body == pattern(len));
        });
    }
    while let Some(done) = all.join_next().await {
        done.unwrap();
    }
    assert_eq!(server.handle.metrics().connections_accepted(Protocol::H3), 1);
    assert_eq!(server.handle.metrics().requests(Protocol::H3), 100);
}

#[tokio::test]
async fn two_hundred_connections_find_their_worker() {
    let server = start();
    let mut clients = Vec::new();
    for _ in 0..200 {
        clients.push(Client::new(&server, Protocol::H3).await);
    }
    for client in &clients {
        assert_eq!(client.get("/bytes/1000").await.unwrap().body.len(), 1000);
    }
    assert_eq!(server.handle.metrics().connections_open(Protocol::H3), 200);
    drop(clients);
    let metrics = server.handle.metrics();
    until("all closed", || metrics.connections_open(Protocol::H3) == 0).await;
}

/// Limit: `ConnLimits::max_header_bytes`.
#[tokio::test]
async fn headers_that_are_too_large_are_answered_431() {
    let server = start();
    let client = H3::connect(server.handle.https_addrs()[0], "localhost", &server.tls).await;
    let mut request = client.request(Method::GET, "/bytes/1");
    let large = HeaderValue::try_from("x".repeat(40 << 10)).unwrap();
    request.headers_mut().insert("x-large", large);
    let mut stream = client.requests.clone().send_request(request).await.unwrap();
    stream.finish().await.unwrap();
    let answer = stream.recv_response().await.unwrap();
    assert_eq!(answer.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
}

#[tokio::test]
async fn a_frame_that_never_ends_is_stopped() {
    let server = start();
    let client = H3::connect(server.handle.https_addrs()[0], "localhost", &server.tls).await;
    // HEADERS of 1 GiB, of which only zeros follow.
    let (mut send, mut recv) = client.quic.open_bi().await.unwrap();
    send.write_all(&[1, 0xbf, 0xff, 0xff, 0xff]).await.unwrap();
    let zeros = vec![0u8; 16 << 10];
    let mut sent = 0usize;
    let stopped = loop {
        match send.write_all(&zeros).await {
            Ok(()) => sent += zeros.len(),
            Err(error) => break error,
        }
        assert!(sent < 8 << 20, "took {sent} bytes of a header");
    };
    assert!(matches!(stopped, quinn::WriteError::Stopped(_)), "{stopped}");
    assert!(recv.read_to_end(1000).await.is_err(), "no answer to that");
}

#[tokio::test]
async fn a_body_in_tiny_frames_arrives_whole() {
    // 20,000 frames of one byte each, which reading and pausing must not lose.
    let server = start();
    let Client::H3(client) = Client::new(&server, Protocol::H3).await else { unreachable!() };
    let (mut send, mut recv) = client
        .requests
        .clone()
        .send_request(client.request(Method::POST, "/count"))
        .await
        .unwrap()
        .split();
    let sending = async {
        for _ in 0..20_000 {
            send.send_data(Bytes::from_static(b"x")).await.unwrap();
        }
        send.finish().await.unwrap();
    };
    let ((), head) = tokio::join!(sending, recv.recv_response());
    assert_eq!(head.unwrap().status(), StatusCode::OK);
    let mut text = Vec::new();
    while let Some(mut data) = recv.recv_data().await.unwrap() {
        let len = bytes::Buf::remaining(&data);
        text.extend_from_slice(&bytes::Buf::copy_to_bytes(&mut data, len));
    }
    assert_eq!(text, b"20000 bytes");
}

#[tokio::test]
async fn trailers_go_both_ways() {
    let server = start();
    let Client::H3(client) = Client::new(&server, Protocol::H3).await else { unreachable!() };
    for data in [&b""[..], b"hello"] {
        let request = client.request(Method::POST, "/echo");
        let mut stream = client.requests.clone().send_request(request).await.unwrap();
        if !data.is_empty() {
            stream.send_data(Bytes::from_static(data)).await.unwrap();
        }
        let sum = HeaderMap::from_iter([(HeaderName::from_static("x-sum"), "1".parse().unwrap())]);
        stream.send_trailers(sum.clone()).await.unwrap();
        stream.finish().await.unwrap();
        assert_eq!(stream.recv_response().await.unwrap().status(), StatusCode::OK);
        let mut all = Vec::new();
        while let Some(mut data) = stream.recv_data().await.unwrap() {
            let len = bytes::Buf::remaining(&data);
            all.extend_from_slice(&bytes::Buf::copy_to_bytes(&mut data, len));
        }
        assert_eq!(all, data);
        assert_eq!(stream.recv_trailers().await.unwrap(), Some(sum));
    }
}

/// Names and values of all kinds, as another encoder writes them.
#[tokio::test]
async fn what_a_client_says_is_what_the_service_hears() {
    let server = start();
    let Client::H3(client) = Client::new(&server, Protocol::H3).await else { unreachable!() };
    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = move |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (random >> 33) % below
    };
    for _ in 0..100 {
        let mut request = client.request(Method::GET, "/fields");
        let mut expected = String::new();
        for number in 0..next(20) {
            let known = ["accept", "range", "user-agent", "if-none-match", "x-forwarded-for"];
            let name = match known.get(usize::try_from(next(10)).unwrap()) {
                Some(name) => (*name).to_owned(),
                None => format!("x-{number}-{}", "long".repeat(usize::try_from(next(9)).unwrap())),
            };
            let value = match next(5) {
                0 => "*/*".to_owned(),
                _ => (0..next(60)).map(|_| char::from(0x21 + next(0x5e) as u8)).collect(),
            };
            let name = HeaderName::try_from(name).unwrap();
            request.headers_mut().insert(name, HeaderValue::try_from(value).unwrap());
        }
        let mut lines: Vec<_> = request
            .headers()
            .iter()
            .map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap()))
            .collect();
        lines.sort_unstable();
        expected.extend(lines);
        let mut stream = client.requests.clone().send_request(request).await.unwrap();
        stream.finish().await.unwrap();
        stream.recv_response().await.unwrap();
        let mut heard = Vec::new();
        while let Some(mut data) = stream.recv_data().await.unwrap() {
            let len = bytes::Buf::remaining(&data);
            heard.extend_from_slice(&bytes::Buf::copy_to_bytes(&mut data, len));
        }
        assert_eq!(String::from_utf8(heard).unwrap(), expected);
    }
}

/// Limit: `ConnLimits::max_connections`.
#[tokio::test]
async fn a_connection_over_the_limit_is_refused() {
    let mut limits = ConnLimits::default();
    limits.max_connections = 1;
    let server = start_with(|builder| builder.limits(limits).quic(QuicConfig::default()));
    let first = Client::new(&server, Protocol::H3).await;
    first.get("/bytes/1").await.unwrap();
    let second = Client::new(&server, Protocol::H1).await;
    assert!(second.get("/bytes/1").await.is_err());
    assert!(server.handle.metrics().connections_refused() >= 1);
    drop(first);
    let metrics = server.handle.metrics();
    until("the place is free", || metrics.connections_open(Protocol::H3) == 0).await;
    until("served", || metrics.connections_open(Protocol::H3) == 0).await;
    let mut answer = second.get("/bytes/1").await;
    for _ in 0..50 {
        if answer.is_ok() {
            break;
        }
        answer = second.get("/bytes/1").await;
    }
    assert_eq!(answer.unwrap().body.len(), 1);
}

/// Bytes that tell when nobody holds them any more.
struct Owned(Vec<u8>, Arc<AtomicBool>);

impl AsRef<[u8]> for Owned {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.1.store(true, Ordering::SeqCst);
    }
}

/// One frame, then the end; tells when it is dropped.
struct OneFrame(Option<Bytes>, Arc<AtomicBool>);

impl http_body::Body for OneFrame {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, BodyError>>> {
        Poll::Ready(self.0.take().map(|data| Ok(http_body::Frame::data(data))))
    }
}

impl Drop for OneFrame {
    fn drop(&mut self) {
        self.1.store(true, Ordering::SeqCst);
    }
}

/// Limit: `QuicConfig::send_window`.
#[tokio::test]
async fn quinn_holds_a_body_until_it_is_acknowledged_and_not_a_copy_of_it() {
    let (freed, sent) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
    let gate = Arc::new(Semaphore::new(0));
    let tls = Tls::self_signed(["localhost"], None, &Clock::system()).unwrap();
    let there = (Arc::clone(&freed), Arc::clone(&sent), Arc::clone(&gate));
    let handle = Server::builder()
        .https("127.0.0.1:0")
        .tls(tls.clone())
        .workers(1)
        .serve(move |_| {
            let (freed, sent, gate) = there.clone();
            tower::service_fn(move |_: Request<Body>| {
                let data = Bytes::from_owner(Owned(vec![7; 500_000], Arc::clone(&freed)));
                let body = Body::stream(OneFrame(Some(data), Arc::clone(&sent)));
                let gate = Arc::clone(&gate);
                async move {
                    gate.acquire().await.unwrap().forget();
                    Ok::<_, Infallible>(Response::new(body))
                }
            })
        })
        .unwrap();
    let client = H3::connect(handle.https_addrs()[0], "localhost", &tls).await;
    let request = client.request(Method::GET, "/");
    let mut stream = client.requests.clone().send_request(request).await.unwrap();
    stream.finish().await.unwrap();
    until("asked", || handle.metrics().requests(Protocol::H3) == 1).await;
    // From here on the client's only thread waits, and acknowledges nothing.
    gate.add_permits(1);
    let start = std::time::Instant::now();
    while !sent.load(Ordering::SeqCst) {
        assert!(start.elapsed() < Duration::from_secs(60), "not sent");
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(!freed.load(Ordering::SeqCst), "sent, unacknowledged, and let go of: copied");
    stream.recv_response().await.unwrap();
    let mut len = 0;
    while let Some(data) = stream.recv_data().await.unwrap() {
        len += bytes::Buf::remaining(&data);
    }
    assert_eq!(len, 500_000);
    until("quinn let go", || freed.load(Ordering::SeqCst)).await;
}

#[tokio::test]
async fn a_connection_goes_on_when_its_client_moves() {
    let server = start_with(|server| server.workers(4));
    let client = Client::new(&server, Protocol::H3).await;
    let Client::H3(h3) = &client else { unreachable!() };
    let before = h3.quic.stable_id();
    // The system chooses a worker by the client's address: of four, it is another three in four
    // times.
    for moved in 0..12 {
        assert_eq!(client.get("/bytes/1000").await.unwrap().status, 200, "moved {moved} times");
        h3.endpoint.rebind(std::net::UdpSocket::bind("127.0.0.1:0").unwrap()).unwrap();
    }
    let answer = client.get("/bytes/1000").await.unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(h3.quic.stable_id(), before);
    assert_eq!(server.handle.metrics().requests(Protocol::H3), 13);
}
