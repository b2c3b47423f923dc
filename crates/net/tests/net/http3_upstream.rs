//! An upstream that is asked by HTTP/3: against our own server, one without QUIC, and one that looks at what
//! it is sent byte by byte.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use headwater_net::client::{Upstream, UpstreamBuilder, UpstreamError};
use headwater_net::server::{Server, ServerHandle};
use headwater_net::{Body, Clock, Protocol, Timestamp};
use http::{Method, Request, Response, Version};
use quinn::crypto::rustls::QuicServerConfig;
use tokio::sync::Notify;
use tower::service_fn;
use tower_service::Service;

use crate::names;
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
    let server = answers_by_tcp(&authority);
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
    let mut upstream = upstream.connect_timeout(Duration::from_secs(6)).build().unwrap();
    for asked in [true, false, false] {
        let response = upstream.call(get("/")).await.unwrap();
        assert_eq!(response.version(), Version::HTTP_2);
        assert_eq!(heard() > 0, asked);
    }
}

/// A listener of QUIC alone.
fn endpoint(authority: &Authority, at: SocketAddr) -> quinn::Endpoint {
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
    quinn::Endpoint::server(config, at).unwrap()
}

/// A frame that means nothing is reset by some servers.
#[tokio::test]
async fn a_request_is_its_head_and_nothing_else() {
    let authority = Authority::new();
    let endpoint = endpoint(&authority, "127.0.0.1:0".parse().unwrap());
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

/// What becomes of a request at [`Scripted`].
enum Act {
    Answer,
    /// When it is told to.
    Held(Arc<Notify>),
    Reset(u32),
    /// A head of 300 KiB.
    Large,
    Close(u32),
    /// The last answer of its connection.
    GoAway,
}

/// An upstream that does one thing after the other by QUIC, and answers all by TCP.
struct Scripted {
    upstream: Upstream,
    clock: Clock,
    /// Connections and requests by QUIC.
    connections: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
    _tcp: ServerHandle,
}

impl Scripted {
    fn new(acts: Vec<Act>) -> Self {
        let authority = Authority::new();
        let tcp = answers_by_tcp(&authority);
        let at = tcp.https_addrs()[0];
        let endpoint = endpoint(&authority, at);
        let acts = Arc::new(Mutex::new(acts.into_iter()));
        let connections = Arc::new(AtomicUsize::new(0));
        let requests = Arc::new(AtomicUsize::new(0));
        let (counted, asked) = (Arc::clone(&connections), Arc::clone(&requests));
        tokio::spawn(async move {
            while let Some(incoming) = endpoint.accept().await {
                let conn = incoming.await.unwrap();
                counted.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(play(conn, Arc::clone(&acts), Arc::clone(&asked)));
            }
        });
        let clock = Clock::manual(Timestamp::from_secs(1_700_000_000));
        let pem = authority.certificate.pem();
        let upstream = Upstream::builder(format!("https://{at}")).tls_name("localhost");
        let upstream = upstream.ca_pem(pem.as_bytes()).http3(true).clock(clock.clone());
        let upstream = upstream.build().unwrap();
        Self { upstream, clock, connections, requests, _tcp: tcp }
    }

    /// By which protocol the answer came.
    async fn ask(&mut self) -> Result<Version, UpstreamError> {
        let response = self.upstream.call(get("/")).await?;
        let version = response.version();
        response.into_body().collect(10).await.unwrap();
        Ok(version)
    }

    fn count(&self) -> (usize, usize) {
        (self.connections.load(Ordering::SeqCst), self.requests.load(Ordering::SeqCst))
    }
}

fn answers_by_tcp(authority: &Authority) -> ServerHandle {
    let service = service_fn(|_: Request<Body>| {
        std::future::ready(Ok::<_, std::convert::Infallible>(Response::new(Body::from("tcp"))))
    });
    let server = Server::builder().https("127.0.0.1:0").tls(authority.sign(&["localhost"]).tls());
    server.without_quic().workers(1).serve(move |_| service).unwrap()
}

type Acts = Arc<Mutex<std::vec::IntoIter<Act>>>;

async fn play(conn: quinn::Connection, acts: Acts, asked: Arc<AtomicUsize>) {
    let mut control = conn.open_uni().await.unwrap();
    // The control stream, and SETTINGS.
    control.write_all(&[0, 4, 0]).await.unwrap();
    // HEADERS with `:status: 200` of QPACK's static table.
    let ok = [1, 3, 0, 0, 0xd9];
    while let Ok((mut send, mut recv)) = conn.accept_bi().await {
        asked.fetch_add(1, Ordering::SeqCst);
        let act = acts.lock().unwrap().next().expect("an act for each request");
        match act {
            Act::Answer => send.write_all(&ok).await.unwrap(),
            Act::Held(gate) => {
                gate.notified().await;
                send.write_all(&ok).await.unwrap();
            }
            Act::Reset(code) => send.reset(code.into()).unwrap(),
            Act::Large => {
                let length = 300_u32 << 10;
                send.write_all(&[1, 0x80, length.to_be_bytes()[1], 0xb0, 0]).await.unwrap();
                // `:status: 200`, and `age` (2) of the static table with a long value, as it is.
                let value = length - 8;
                let head = [0, 0, 0xd9, 0x52, 0x7f];
                send.write_all(&head).await.unwrap();
                let more = value - 127;
                let more = [(more & 127) | 128, ((more >> 7) & 127) | 128, more >> 14];
                let more = more.map(|byte| u8::try_from(byte).unwrap());
                send.write_all(&more).await.unwrap();
                let _ = send.write_all(&vec![b'1'; usize::try_from(value).unwrap()]).await;
            }
            Act::Close(code) => conn.close(code.into(), b""),
            Act::GoAway => {
                // No stream from the fourth byte's on, which is the next one at least.
                let next = u8::try_from(send.id().index() * 4 + 4).unwrap();
                control.write_all(&[7, 1, next]).await.unwrap();
                send.write_all(&ok).await.unwrap();
                let _ = send.finish();
                // What was on its way is told that nobody has looked at it.
                while let Ok((mut send, _recv)) = conn.accept_bi().await {
                    send.reset(0x10b_u32.into()).unwrap();
                }
                return;
            }
        }
        let _ = send.finish();
        let _ = recv.read_to_end(1 << 16).await;
    }
}

/// RFC 9110 §9.2.1: what may change something is never asked twice, so TCP alone is asked for it.
#[tokio::test]
async fn what_changes_something_goes_by_tcp() {
    let server = start();
    let pin = server.tls.spki_sha256_base64();
    let mut upstream = upstream(server.port(), &pin).build().unwrap();
    for (method, by) in [
        (Method::POST, Version::HTTP_2),
        (Method::DELETE, Version::HTTP_2),
        (Method::PUT, Version::HTTP_2),
        (Method::OPTIONS, Version::HTTP_3),
    ] {
        let request = Request::builder().method(&method).uri("/bytes/5").body(Body::Empty).unwrap();
        let response = upstream.call(request).await.unwrap();
        assert_eq!(response.version(), by, "{method}");
    }
}

/// RFC 9114 §4.1.1: one stream's end says nothing of the others; what nobody looked at is asked by TCP.
#[tokio::test]
async fn a_stream_that_fails_is_one_request() {
    let (internal, rejected, fallback) = (0x102, 0x10b, 0x110);
    let mut origin = Scripted::new(vec![
        Act::Reset(internal),
        Act::Answer,
        Act::Reset(rejected),
        Act::Answer,
        Act::Reset(fallback),
        Act::Answer,
        Act::Large,
        Act::Answer,
    ]);
    let reset = origin.ask().await.unwrap_err();
    assert!(matches!(reset, UpstreamError::Reset(_)), "{reset:?}");
    assert_eq!(origin.ask().await.unwrap(), Version::HTTP_3);
    for _ in 0..2 {
        assert_eq!(origin.ask().await.unwrap(), Version::HTTP_2);
        assert_eq!(origin.ask().await.unwrap(), Version::HTTP_3);
    }
    let large = origin.ask().await.unwrap_err();
    assert!(matches!(large, UpstreamError::Invalid(_)), "{large:?}");
    assert_eq!(origin.ask().await.unwrap(), Version::HTTP_3);
    assert_eq!(origin.count(), (1, 8));
}

/// RFC 9114 §8: a connection that breaks has TCP asked for its request, and for all others for a while.
#[tokio::test]
async fn a_connection_that_breaks_is_left_alone_for_a_while() {
    let internal = 0x102;
    let mut origin = Scripted::new(vec![Act::Close(internal), Act::Close(internal), Act::Answer]);
    for (advance, count) in [(0, (1, 1)), (9, (1, 1)), (2, (2, 2)), (19, (2, 2))] {
        origin.clock.advance(Duration::from_secs(advance));
        assert_eq!(origin.ask().await.unwrap(), Version::HTTP_2);
        assert_eq!(origin.count(), count, "after {advance} s more");
    }
    origin.clock.advance(Duration::from_secs(2));
    assert_eq!(origin.ask().await.unwrap(), Version::HTTP_3);
}

#[tokio::test]
async fn one_request_tries_again_and_the_others_go_by_tcp_meanwhile() {
    let gate = Arc::new(Notify::new());
    let acts = vec![Act::Close(0x102), Act::Held(Arc::clone(&gate)), Act::Answer];
    let mut origin = Scripted::new(acts);
    assert_eq!(origin.ask().await.unwrap(), Version::HTTP_2);
    origin.clock.advance(Duration::from_secs(11));
    let mut other = origin.upstream.clone();
    let trial = tokio::spawn(async move { other.call(get("/")).await });
    until("it tries", || origin.count() == (2, 2)).await;
    assert_eq!(origin.ask().await.unwrap(), Version::HTTP_2);
    gate.notify_one();
    assert_eq!(trial.await.unwrap().unwrap().version(), Version::HTTP_3);
    assert_eq!(origin.ask().await.unwrap(), Version::HTTP_3);
}

/// RFC 9114 §5.2: who goes away in good order is asked by a new connection.
#[tokio::test]
async fn after_goaway_there_is_a_new_connection() {
    let mut origin = Scripted::new(vec![Act::GoAway, Act::Answer, Act::Close(0x100), Act::Answer]);
    assert_eq!(origin.ask().await.unwrap(), Version::HTTP_3);
    // What was sent before it was heard of is asked by TCP.
    let mut by = Version::HTTP_2;
    for _ in 0..1000 {
        by = origin.ask().await.unwrap();
        if by == Version::HTTP_3 {
            break;
        }
    }
    assert_eq!((by, origin.count().0), (Version::HTTP_3, 2));
    // H3_NO_ERROR.
    assert_eq!(origin.ask().await.unwrap(), Version::HTTP_2);
    assert_eq!(origin.ask().await.unwrap(), Version::HTTP_3);
    assert_eq!(origin.count().0, 3);
}

/// Passes datagrams on to `to`, and none while `cut`.
async fn relay(socket: tokio::net::UdpSocket, to: SocketAddr, cut: Arc<AtomicBool>) {
    let (mut client, mut buffer) = (None, vec![0; 1 << 16]);
    while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
        let there = if from == to { client } else { Some(to) };
        if from != to {
            client = Some(from);
        }
        if let Some(there) = there.filter(|_| !cut.load(Ordering::SeqCst)) {
            let _ = socket.send_to(&buffer[..length], there).await;
        }
    }
}

/// A path that passes nothing any more, and says nothing of that.
#[tokio::test]
async fn a_connection_that_falls_silent_is_given_up() {
    let authority = Authority::new();
    let tcp = answers_by_tcp(&authority);
    let at = tcp.https_addrs()[0];
    let service = service_fn(|_: Request<Body>| {
        std::future::ready(Ok::<_, std::convert::Infallible>(Response::new(Body::from("quic"))))
    });
    let server = Server::builder().https("127.0.0.1:0").tls(authority.sign(&["localhost"]).tls());
    let server = server.workers(1).serve(move |_| service).unwrap();
    let cut = Arc::new(AtomicBool::new(false));
    let socket = tokio::net::UdpSocket::bind(at).await.unwrap();
    let relay = tokio::spawn(relay(socket, server.https_addrs()[0], Arc::clone(&cut)));
    let pem = authority.certificate.pem();
    let clock = Clock::manual(Timestamp::from_secs(1_700_000_000));
    let mut upstream = Upstream::builder(format!("https://{at}"))
        .tls_name("localhost")
        .ca_pem(pem.as_bytes())
        .http3(true)
        .clock(clock.clone())
        .connect_timeout(Duration::from_secs(10))
        .first_byte_timeout(Duration::from_secs(300))
        .build()
        .unwrap();
    assert_eq!(upstream.call(get("/")).await.unwrap().version(), Version::HTTP_3);
    cut.store(true, Ordering::SeqCst);
    let asked = tokio::time::timeout(Duration::from_secs(60), upstream.call(get("/"))).await;
    assert_eq!(asked.expect("somebody answers").unwrap().version(), Version::HTTP_2);
    cut.store(false, Ordering::SeqCst);
    assert_eq!(upstream.call(get("/")).await.unwrap().version(), Version::HTTP_2, "it rests");
    clock.advance(Duration::from_secs(11));
    assert_eq!(upstream.call(get("/")).await.unwrap().version(), Version::HTTP_3);
    relay.abort();
}

/// RFC 8305: the other family is tried beside one that is silent.
#[tokio::test]
#[expect(clippy::print_stdout, reason = "says that it was skipped")]
async fn a_family_that_is_silent_does_not_keep_from_the_other() {
    let authority = Authority::new();
    let endpoint = endpoint(&authority, "127.0.0.1:0".parse().unwrap());
    let port = endpoint.local_addr().unwrap().port();
    let Ok(_silent) = std::net::UdpSocket::bind(("::1", port)) else {
        println!("skipped: no socket at ::1");
        return;
    };
    let acts = Arc::new(Mutex::new(vec![Act::Answer].into_iter()));
    tokio::spawn(async move {
        let conn = endpoint.accept().await.unwrap().await.unwrap();
        play(conn, acts, Arc::default()).await;
    });
    let pem = authority.certificate.pem();
    let mut upstream = Upstream::builder(format!("https://origin.test:{port}"))
        .resolver(Arc::new(names::Scripted::says(&["::1", "127.0.0.1"])))
        .tls_name("localhost")
        .ca_pem(pem.as_bytes())
        .http3(true)
        .connect_timeout(Duration::from_secs(3600))
        .first_byte_timeout(Duration::from_secs(3600))
        .build()
        .unwrap();
    let asked = tokio::time::timeout(Duration::from_secs(60), upstream.call(get("/"))).await;
    assert_eq!(asked.expect("nobody waits").unwrap().version(), Version::HTTP_3);
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
