//! The client of upstreams, against our own server and against scripted ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use headwater_net::body::CollectError;
use headwater_net::client::{Unconnected, Upstream, UpstreamError};
use headwater_net::{Body, BodyError, Protocol};
use http::{Method, Request, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tower_service::Service;

use crate::service::{pattern, start, until};

fn get(path: &str) -> Request<Body> {
    Request::builder().uri(path).body(Body::Empty).unwrap()
}

/// An upstream that reads one request and answers each connection with `answer`, then keeps the
/// connection or closes it. Gives its address and what it read last.
async fn scripted(
    answer: &'static str,
    close: bool,
) -> (String, Arc<std::sync::Mutex<String>>, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let (read, count) = (Arc::<std::sync::Mutex<String>>::default(), Arc::<AtomicUsize>::default());
    let (read_there, count_there) = (Arc::clone(&read), Arc::clone(&count));
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            count_there.fetch_add(1, Ordering::SeqCst);
            let mut text = Vec::new();
            while !text.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if stream.read(&mut byte).await.unwrap_or(0) == 0 {
                    break;
                }
                text.push(byte[0]);
            }
            *read_there.lock().unwrap() = String::from_utf8(text).unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            if !close {
                kept.push(stream);
            }
        }
    });
    (base, read, count)
}

async fn body_of(upstream: &mut Upstream, path: &str) -> Result<u64, CollectError> {
    let response = upstream.call(get(path)).await.unwrap();
    response.into_body().collect(1 << 30).await.map(|all| all.len())
}

#[tokio::test]
async fn it_reaches_our_server_by_h2_and_pins_its_key() {
    let server = start();
    let base = format!("https://localhost:{}", server.port());
    let pin = server.tls.spki_sha256_base64();
    let mut upstream = Upstream::builder(base.as_str()).pin_spki_sha256(pin).build().unwrap();
    let response = upstream.call(get("/bytes/3000000")).await.unwrap();
    assert_eq!(response.version(), Version::HTTP_2);
    let body = response.into_body().collect(1 << 30).await.unwrap();
    assert!(body.to_bytes() == pattern(3_000_000));
    let echo = Request::builder()
        .method(Method::POST)
        .uri("https://evil.example/echo")
        .version(Version::HTTP_3)
        .body(Body::from(pattern(500_000)))
        .unwrap();
    let response = upstream.call(echo).await.unwrap();
    assert_eq!(response.into_body().collect(1 << 20).await.unwrap().len(), 500_000);

    let mut wrong = Upstream::builder(base.as_str())
        .pin_spki_sha256("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
        .build()
        .unwrap();
    let error = wrong.call(get("/bytes/1")).await.unwrap_err();
    let expected = Unconnected::Certificate;
    assert!(matches!(error, UpstreamError::Connect(why, _) if why == expected), "{error:?}");
    assert!(error.is_retryable());
}

#[tokio::test]
async fn a_body_cut_short_by_the_upstream_is_an_error() {
    let server = start();
    let tls = format!("https://localhost:{}", server.port());
    let plain = format!("http://127.0.0.1:{}", server.plain_port());
    let pin = server.tls.spki_sha256_base64();
    let h2 = Upstream::builder(tls.as_str()).pin_spki_sha256(&pin).build().unwrap();
    let h1_tls = Upstream::builder(tls.as_str()).pin_spki_sha256(&pin).keep_host(true);
    let h1 = Upstream::builder(plain.as_str()).build().unwrap();
    let h2c = Upstream::builder(plain.as_str()).http2_prior_knowledge(true).build().unwrap();
    for mut upstream in [h2, h1_tls.build().unwrap(), h1, h2c] {
        for path in ["/cut/known", "/cut/unknown", "/cut/short"] {
            // A reset stream over HTTP/2 may overtake its own headers.
            let error = match upstream.call(get(path)).await {
                Ok(response) => response.into_body().collect(1 << 20).await.map(drop).is_err(),
                Err(error) => matches!(error, UpstreamError::Reset(_)),
            };
            assert!(error, "{path} looked complete");
        }
        assert_eq!(body_of(&mut upstream, "/bytes/5").await.unwrap(), 5);
    }
    let (base, ..) = scripted("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345", true).await;
    let error = body_of(&mut Upstream::builder(base).build().unwrap(), "/").await.unwrap_err();
    let CollectError::Body(BodyError::Truncated { expected: 10, received: 5 }) = error else {
        panic!("{error:?}")
    };
}

/// Limit: `UpstreamBuilder::idle_timeout`, `UpstreamBuilder::first_byte_timeout`.
#[tokio::test]
async fn silence_is_an_error_before_the_headers_and_inside_the_body() {
    let (base, ..) = scripted("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345", false).await;
    let soon = Duration::from_millis(100);
    let mut upstream = Upstream::builder(base).idle_timeout(soon).build().unwrap();
    let error = body_of(&mut upstream, "/").await.unwrap_err();
    assert!(matches!(error, CollectError::Body(BodyError::TimedOut)), "{error:?}");

    let (base, ..) = scripted("", false).await;
    let mut upstream = Upstream::builder(base).first_byte_timeout(soon).build().unwrap();
    let error = upstream.call(get("/")).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Timeout), "{error:?}");
}

/// Limit: `UpstreamBuilder::connect_timeout`.
#[tokio::test]
async fn failures_are_told_apart() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut upstream = Upstream::builder(format!("http://{closed}")).build().unwrap();
    let error = upstream.call(get("/")).await.unwrap_err();
    let refused = Unconnected::Refused;
    assert!(matches!(error, UpstreamError::Connect(why, _) if why == refused), "{error:?}");

    // A server that speaks no TLS, one that says nothing, and a name that is none.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let no_tls = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"220 this is mail\r\n").await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    });
    let (base, ..) = scripted("", false).await;
    let silent = base.replace("http://", "https://");
    let soon = Duration::from_millis(100);
    for (base, expected) in [
        (no_tls.as_str(), Unconnected::Tls),
        (silent.as_str(), Unconnected::Timeout),
        ("http://no-such-name.invalid", Unconnected::Name),
    ] {
        let builder = Upstream::builder(base);
        let builder =
            if expected == Unconnected::Timeout { builder.connect_timeout(soon) } else { builder };
        let error = builder.build().unwrap().call(get("/")).await.unwrap_err();
        assert!(
            matches!(error, UpstreamError::Connect(why, _) if why == expected),
            "{base}: {error:?}"
        );
        assert!(error.is_retryable());
    }

    let (base, _, count) = scripted("", true).await;
    let error = Upstream::builder(base).build().unwrap().call(get("/")).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Reset(_)) && error.is_retryable(), "{error:?}");
    assert_eq!(count.load(Ordering::SeqCst), 1, "sent once");

    let (base, ..) = scripted("nonsense\r\n\r\n", true).await;
    let error = Upstream::builder(base).build().unwrap().call(get("/")).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Invalid(_)), "{error:?}");

    for bad in ["", "/path", "ftp://a.example", "http://"] {
        let error = Upstream::builder(bad).build().unwrap_err();
        assert!(matches!(error, UpstreamError::Config(_)), "{bad}: {error:?}");
        assert!(!error.is_retryable());
    }
}

#[tokio::test]
async fn requests_are_aimed_at_the_upstream_and_nothing_else() {
    let answer =
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close, x-hop\r\nX-Hop: 1\r\n\r\n";
    let (base, read, _) = scripted(answer, true).await;
    let authority = base.trim_start_matches("http://").to_owned();
    let request = || {
        Request::builder()
            .uri("https://viewer.example/film/1.m4s?a=b")
            .header("host", "viewer.example")
            .header("connection", "x-secret")
            .header("x-secret", "1")
            .header("te", "trailers")
            .header("range", "bytes=0-1")
            .body(Body::Empty)
            .unwrap()
    };
    let mut upstream = Upstream::builder(format!("{base}/vod/")).build().unwrap();
    let response = upstream.call(request()).await.unwrap();
    assert!(!response.headers().contains_key("x-hop"));
    assert!(!response.headers().contains_key("connection"));
    let sent = read.lock().unwrap().to_lowercase();
    assert!(sent.starts_with("get /vod/film/1.m4s?a=b http/1.1\r\n"), "{sent}");
    assert!(sent.contains(&format!("host: {authority}\r\n")), "{sent}");
    assert!(sent.contains("range: bytes=0-1\r\n"), "{sent}");
    assert!(!sent.contains("secret") && !sent.contains("trailers"), "{sent}");

    let mut upstream = Upstream::builder(base).keep_host(true).build().unwrap();
    upstream.call(request()).await.unwrap();
    let sent = read.lock().unwrap().to_lowercase();
    assert!(sent.contains("host: viewer.example\r\n"), "{sent}");
}

/// Limit: `UpstreamBuilder::pool_max_idle`, `UpstreamBuilder::pool_idle_timeout`.
#[tokio::test]
async fn so_many_unused_connections_are_kept_and_so_long() {
    let server = start();
    let metrics = server.handle.metrics();
    let base = format!("http://127.0.0.1:{}", server.plain_port());
    let soon = Duration::from_millis(200);
    for (kept, idle) in [(2, Duration::from_secs(60)), (0, Duration::from_secs(60)), (5, soon)] {
        let upstream = Upstream::builder(base.as_str()).pool_max_idle(kept).pool_idle_timeout(idle);
        let upstream = upstream.build().unwrap();
        let mut asking = tokio::task::JoinSet::new();
        for _ in 0..5 {
            let mut upstream = upstream.clone();
            asking.spawn(async move { body_of(&mut upstream, "/wait").await.unwrap() });
        }
        until("all are asked", || server.play.waiting.load(Ordering::SeqCst) == 5).await;
        server.play.gate.add_permits(5);
        asking.join_all().await;
        let left = if idle == soon { 0 } else { kept as u64 };
        until("as many are kept", || metrics.connections_open(Protocol::H1) == left).await;
        drop(upstream);
        until("none is", || metrics.connections_open(Protocol::H1) == 0).await;
    }
}
