//! An upstream that is asked by HTTP/3: against our own server, one without QUIC, and one that looks at what
//! it is sent byte by byte.

use std::sync::Arc;

use headwater_net::client::{Upstream, UpstreamBuilder, UpstreamError};
use headwater_net::server::Server;
use headwater_net::{Body, Protocol};
use http::{Method, Request, Response, Version};
use quinn::crypto::rustls::QuicServerConfig;
use tower::service_fn;
use tower_service::Service;

use crate::service::{pattern, start, until};
use crate::tls::Authority;

fn get(path: &str) -> Request<Body> {
    Request::builder().uri(path).body(Body::Empty).unwrap()
}

fn upstream(port: u16, pin: &str) -> UpstreamBuilder {
    Upstream::builder(format!("https://localhost:{port}")).pin_spki_sha256(pin).http3(true)
}

#[tokio::test]
async fn our_server_is_asked_by_one_connection() {
    let server = start();
    let pin = server.tls.spki_sha256_base64();
    let upstream = upstream(server.port(), &pin).build().unwrap();
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let mut upstream = upstream.clone();
        asking.spawn(async move {
            let response = upstream.call(get("/bytes/1000000")).await.unwrap();
            assert_eq!(response.version(), Version::HTTP_3);
            assert_eq!(response.headers()["content-length"], "1000000");
            let body = response.into_body().collect(1 << 30).await.unwrap();
            assert!(body.to_bytes() == pattern(1_000_000));
        });
    }
    asking.join_all().await;
    let metrics = server.handle.metrics();
    assert_eq!(metrics.connections_open(Protocol::H3), 1);
    assert_eq!(metrics.connections_open(Protocol::H2), 0);
    let mut upstream = upstream;
    let head = Request::builder().method(Method::HEAD).uri("/bytes/5").body(Body::Empty).unwrap();
    let head = upstream.call(head).await.unwrap();
    assert_eq!(
        (head.version(), &head.headers()["content-length"]),
        (Version::HTTP_3, &"5".parse().unwrap())
    );
    assert_eq!(head.into_body().collect(10).await.unwrap().len(), 0);
    for path in ["/cut/known", "/cut/unknown", "/cut/short"] {
        let error = match upstream.call(get(path)).await {
            Ok(response) => response.into_body().collect(1 << 20).await.map(drop).is_err(),
            Err(error) => matches!(error, UpstreamError::Reset(_)),
        };
        assert!(error, "{path} looked complete");
    }
    // What has a body goes by TCP.
    let echo =
        Request::builder().method(Method::POST).uri("/echo").body(Body::from(pattern(50_000)));
    let echo = upstream.call(echo.unwrap()).await.unwrap();
    assert_eq!(echo.version(), Version::HTTP_2);
    assert_eq!(echo.into_body().collect(1 << 20).await.unwrap().len(), 50_000);
    drop(upstream);
    until("the connection ends with who asked by it", || {
        metrics.connections_open(Protocol::H3) == 0
    })
    .await;
}

#[tokio::test]
async fn without_quic_tcp_answers_and_quic_is_left_alone() {
    let authority = Authority::new();
    let service = service_fn(|_: Request<Body>| {
        std::future::ready(Ok::<_, std::convert::Infallible>(Response::new(Body::from("tcp"))))
    });
    let server = Server::builder().https("127.0.0.1:0").tls(authority.sign(&["localhost"]).tls());
    let server = server.without_quic().workers(1).serve(move |_| service).unwrap();
    // Somebody who answers no datagram, and counts them.
    let at = server.https_addrs()[0];
    let silent = std::net::UdpSocket::bind(at).unwrap();
    silent.set_nonblocking(true).unwrap();
    let heard = || {
        let mut count = 0;
        while silent.recv(&mut [0; 2048]).is_ok() {
            count += 1;
        }
        count
    };
    let pem = authority.certificate.pem();
    let upstream = Upstream::builder(format!("https://{at}")).tls_name("localhost");
    let upstream = upstream.ca_pem(pem.as_bytes()).http3(true);
    let mut upstream = upstream.connect_timeout(std::time::Duration::from_secs(2)).build().unwrap();
    for asked in [true, false, false] {
        let response = upstream.call(get("/")).await.unwrap();
        assert_eq!(response.version(), Version::HTTP_2);
        assert_eq!(heard() > 0, asked);
    }
}

/// A frame that means nothing is reset by some servers.
#[tokio::test]
async fn a_request_is_its_head_and_nothing_else() {
    let authority = Authority::new();
    let pair = authority.sign(&["localhost"]);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(pair.chain(), pair.private_key())
        .unwrap();
    config.alpn_protocols = vec![b"h3".to_vec()];
    let config = QuicServerConfig::try_from(config).unwrap();
    let config = quinn::ServerConfig::with_crypto(Arc::new(config));
    let endpoint = quinn::Endpoint::server(config, "127.0.0.1:0".parse().unwrap()).unwrap();
    let at = endpoint.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let conn = endpoint.accept().await.unwrap().await.unwrap();
        let mut all = Vec::new();
        for _ in 0..2 {
            let (mut send, mut recv) = conn.accept_bi().await.unwrap();
            all.push(recv.read_to_end(1 << 16).await.unwrap());
            // HEADERS with `:status: 200` of QPACK's static table.
            send.write_all(&[1, 3, 0, 0, 0xd9]).await.unwrap();
            send.finish().unwrap();
        }
        let _ = conn.closed().await;
        all
    });
    let pem = authority.certificate.pem();
    let mut upstream = Upstream::builder(format!("https://{at}"))
        .tls_name("localhost")
        .ca_pem(pem.as_bytes())
        .http3(true)
        .build()
        .unwrap();
    for _ in 0..2 {
        let response = upstream.call(get("/film/1.m4s")).await.unwrap();
        assert_eq!((response.status().as_u16(), response.version()), (200, Version::HTTP_3));
        assert_eq!(response.into_body().collect(10).await.unwrap().len(), 0);
    }
    drop(upstream);
    for request in server.await.unwrap() {
        assert_eq!(request[0], 1, "HEADERS");
        let length = match request[1] >> 6 {
            0 => usize::from(request[1]) + 2,
            1 => usize::from(request[1] & 63) * 256 + usize::from(request[2]) + 3,
            _ => panic!("a head of {} bytes", request.len()),
        };
        assert_eq!(request.len(), length, "nothing behind it");
    }
}

#[test]
fn http3_is_of_https_alone() {
    for wrong in [
        Upstream::builder("http://localhost").http3(true),
        Upstream::builder("https://localhost").http3(true).keep_host(true),
    ] {
        assert!(matches!(wrong.build().unwrap_err(), UpstreamError::Config(_)));
    }
}
