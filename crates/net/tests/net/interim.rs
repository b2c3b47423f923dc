//! Interim responses (RFC 9110 §15.2) over sockets: sent by a service, and passed on from an
//! upstream.

use std::convert::Infallible;

use headwater_net::client::Upstream;
use headwater_net::server::{Server, ServerHandle, Tls};
use headwater_net::{Body, Clock, ConnInfo};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version, header};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tower_service::Service;

use crate::client::quic;
use crate::http3_frames::headers;

fn serve<S>(service: S) -> ServerHandle
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send,
{
    Server::builder().http("127.0.0.1:0").workers(1).serve(move |_| service.clone()).unwrap()
}

/// Answers with as many hints before as the path says.
async fn hint(request: Request<Body>) -> Result<Response<Body>, Infallible> {
    let hints: usize = request.uri().path().trim_start_matches('/').parse().unwrap();
    let interim = request.extensions().get::<ConnInfo>().and_then(ConnInfo::interim).cloned();
    for nth in 0..hints {
        let link = HeaderValue::try_from(format!("</{nth}>; rel=preload")).unwrap();
        let fields: HeaderMap = [(header::LINK, link)].into_iter().collect();
        if let Some(interim) = &interim {
            interim.send(StatusCode::EARLY_HINTS, &fields);
        }
        // One alone goes out with its answer.
        if hints > 1 {
            tokio::task::yield_now().await;
        }
    }
    Ok(Response::new(Body::from("answer")))
}

fn hinting() -> ServerHandle {
    serve(tower::service_fn(hint))
}

fn hinting_over_tls() -> (ServerHandle, Tls) {
    let tls = Tls::self_signed(["localhost"], None, &Clock::system()).unwrap();
    let server = Server::builder().https("127.0.0.1:0").tls(tls.clone()).workers(1);
    (server.serve(|_| tower::service_fn(hint)).unwrap(), tls)
}

/// What a connection says to these requests, up to the end of the last answer.
async fn said(server: &ServerHandle, requests: &str, answers: usize) -> String {
    let mut stream = TcpStream::connect(server.http_addrs()[0]).await.unwrap();
    stream.write_all(requests.as_bytes()).await.unwrap();
    let mut text = String::new();
    let reading = async {
        while text.matches("answer").count() < answers {
            let mut piece = [0; 1024];
            let len = stream.read(&mut piece).await.unwrap();
            assert!(len > 0, "ended early: {text}");
            text.push_str(std::str::from_utf8(&piece[..len]).unwrap());
        }
    };
    let within = std::time::Duration::from_secs(60);
    tokio::time::timeout(within, reading).await.expect("took too long");
    text
}

fn statuses(text: &str) -> Vec<&str> {
    let lines = text.lines().filter(|line| line.contains("HTTP/1."));
    lines.map(|line| line.split(' ').nth(1).unwrap()).collect()
}

#[tokio::test]
async fn rfc_9110_15_2_they_come_before_the_final_answer_of_their_own_request() {
    let server = hinting();
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n");
    let text = said(&server, &get("/2"), 1).await;
    assert_eq!(statuses(&text), ["103", "103", "200"]);
    let hint = "HTTP/1.1 103 Early Hints\r\nlink: </0>; rel=preload\r\n\r\n";
    assert!(text.starts_with(hint), "{text}");
    // Pipelined: each before its own.
    let text = said(&server, &[get("/1"), get("/0"), get("/2")].concat(), 3).await;
    assert_eq!(statuses(&text), ["103", "200", "200", "103", "103", "200"]);
}

#[tokio::test]
async fn rfc_9114_4_1_they_come_before_the_answer_on_the_same_stream() {
    let (server, tls) = hinting_over_tls();
    let (_endpoint, quic) = quic(server.https_addrs()[0], "localhost", &tls).await;
    let mut control = quic.open_uni().await.unwrap();
    control.write_all(&[0, 4, 0]).await.unwrap();
    for hints in [0, 1, 3] {
        let (mut send, mut recv) = quic.open_bi().await.unwrap();
        send.write_all(&headers(false, &format!("/{hints}"))).await.unwrap();
        send.finish().unwrap();
        let mut said = &recv.read_to_end(10_000).await.unwrap()[..];
        for nth in 0..hints {
            // HEADERS: `:status` 103 (24) and `link` (11) of the static table (RFC 9204, appendix A).
            let link = format!("</{nth}>; rel=preload");
            let mut section = vec![0, 0, 0xd8, 0x5b, u8::try_from(link.len()).unwrap()];
            section.extend_from_slice(link.as_bytes());
            let head = [1, 0x40, u8::try_from(section.len()).unwrap()];
            let frame = [&head[..], &section].concat();
            said = said.strip_prefix(&frame[..]).unwrap_or_else(|| panic!("{nth}: {said:x?}"));
        }
        // `:status` 200 (25), and the answer at the end.
        assert_eq!((said[0], &said[3..6]), (1, &[0, 0, 0xd9][..]), "{said:x?}");
        assert!(said.ends_with(b"answer"), "{said:x?}");
    }
}

#[tokio::test]
async fn rfc_9110_15_2_an_http_1_0_client_gets_none() {
    let server = hinting();
    let text = said(&server, "GET /3 HTTP/1.0\r\nHost: h\r\n\r\n", 1).await;
    assert_eq!(statuses(&text), ["200"]);
}

#[tokio::test]
async fn rfc_9110_15_2_those_of_an_upstream_are_passed_on_but_for_100_and_connection_fields() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(stream.read_u8().await.unwrap());
        }
        let answer = "HTTP/1.1 100 Continue\r\n\r\n\
            HTTP/1.1 102 Processing\r\n\r\n\
            HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: x\r\nContent-Length: 9\r\n\r\n\
            HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nanswer";
        stream.write_all(answer.as_bytes()).await.unwrap();
        std::future::pending::<()>().await;
    });
    let upstream = Upstream::builder(base).build().unwrap();
    let server = serve(tower::service_fn(move |request| {
        let mut upstream = upstream.clone();
        async move { Ok(upstream.call(request).await.unwrap()) }
    }));
    let text = said(&server, "GET / HTTP/1.1\r\nHost: h\r\n\r\n", 1).await;
    assert_eq!(statuses(&text), ["102", "103", "200"]);
    assert!(text.contains("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"), "{text}");
}

#[tokio::test]
async fn rfc_9114_4_1_those_of_an_upstream_by_http3_are_passed_on_before_its_answer() {
    let (upstream, tls) = hinting_over_tls();
    let base = format!("https://localhost:{}", upstream.https_addrs()[0].port());
    let upstream = Upstream::builder(base).pin_spki_sha256(tls.spki_sha256_base64()).http3(true);
    let upstream = upstream.build().unwrap();
    let server = serve(tower::service_fn(move |request| {
        let mut upstream = upstream.clone();
        async move {
            let answer = upstream.call(request).await.unwrap();
            assert_eq!((answer.status(), answer.version()), (StatusCode::OK, Version::HTTP_3));
            Ok(answer)
        }
    }));
    let text = said(&server, "GET /2 HTTP/1.1\r\nHost: h\r\n\r\n", 1).await;
    assert_eq!(statuses(&text), ["103", "103", "200"]);
    assert!(text.starts_with("HTTP/1.1 103 Early Hints\r\nlink: </0>"), "{text}");
}
