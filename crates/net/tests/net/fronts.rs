//! Proxies in front: whose word is taken for whose address, by TCP, by QUIC and by Unix sockets.

use std::convert::Infallible;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use headwater_net::server::{ConnLimits, Refused, Server, ServerBuilder, ServerHandle, Tls};
use headwater_net::{Body, Clock, ConnInfo, ForwardedField, Protocol};
use http::{Method, Request, Response};

use crate::h3_client::{H3, endpoint, quic_config};
use crate::service::until;
use crate::tls::Authority;

/// A server that says whom it takes its client for, and what it still reads of such fields.
fn serve(builder: ServerBuilder) -> ServerHandle {
    let who = |request: Request<Body>| async move {
        let info = request.extensions().get::<ConnInfo>().unwrap();
        let field = |name| request.headers().contains_key(name);
        let fields = field("forwarded") || field("x-forwarded-for") || field("x-forwarded-host");
        let said = format!("{} to {}, tls {}, fields {fields}", info.peer, info.local, info.tls);
        Ok::<_, Infallible>(Response::new(Body::from(said)))
    };
    builder.workers(2).serve(move |_| tower::service_fn(who)).unwrap()
}

fn tcp(tune: impl FnOnce(ServerBuilder) -> ServerBuilder) -> ServerHandle {
    serve(tune(Server::builder().http("127.0.0.1:0")))
}

/// The body of the answer to a request with these lines, after what comes in front; empty where
/// the connection was closed.
fn ask(mut stream: impl std::io::Read + std::io::Write, front: &[u8], lines: &str) -> String {
    let mut request = front.to_vec();
    request.extend(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n");
    request.extend(lines.as_bytes());
    request.extend(b"\r\n");
    // A server that closes at once may reset what is still being sent.
    if stream.write_all(&request).is_err() {
        return String::new();
    }
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let text = String::from_utf8_lossy(&answer).into_owned();
    text.split_once("\r\n\r\n").map_or_else(String::new, |(_, body)| body.to_owned())
}

fn connect(server: &ServerHandle) -> TcpStream {
    TcpStream::connect(server.http_addrs()[0]).unwrap()
}

/// A PROXY header for 192.0.2.1:4711, which came to 198.51.100.2:443.
fn header() -> Vec<u8> {
    let mut all = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    all.extend([192, 0, 2, 1, 198, 51, 100, 2, 0x12, 0x67, 0x01, 0xbb]);
    all
}

const FORWARDED: &str = "x-forwarded-for: 6.6.6.6, 192.0.2.9\r\nx-forwarded-proto: https\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn forwarded_is_believed_from_proxies_alone() {
    let trusting = tcp(|server| server.forwarded_by("127.0.0.0/8".parse().unwrap()));
    let said = ask(connect(&trusting), b"", FORWARDED);
    assert!(said.starts_with("192.0.2.9:0 to 127.0.0.1:"), "{said}");
    assert!(said.ends_with(", tls true, fields false"), "{said}");
    let rfc_7239 = tcp(|server| {
        let server = server.forwarded_by("127.0.0.0/8".parse().unwrap());
        server.forwarded_field(ForwardedField::Forwarded)
    });
    let lines = "forwarded: for=192.0.2.8;proto=https\r\nx-forwarded-host: evil\r\n";
    let said = ask(connect(&rfc_7239), b"", lines);
    assert!(
        said.starts_with("192.0.2.8:0 to ") && said.ends_with("tls true, fields false"),
        "{said}"
    );
    for strict in [tcp(|server| server), tcp(|s| s.forwarded_by("10.0.0.0/8".parse().unwrap()))] {
        let said = ask(connect(&strict), b"", FORWARDED);
        assert!(
            said.starts_with("127.0.0.1:") && said.ends_with("tls false, fields true"),
            "{said}"
        );
    }
}

/// Serves over QUIC, with one connection for each address.
fn quic(tune: impl FnOnce(ServerBuilder) -> ServerBuilder) -> (ServerHandle, Tls) {
    let tls = Tls::self_signed(["localhost"], None, &Clock::system()).unwrap();
    let mut limits = ConnLimits::default();
    limits.max_per_address = 1;
    let builder = Server::builder().https("127.0.0.1:0").tls(tls.clone()).limits(limits);
    (serve(tune(builder)), tls)
}

/// The body of the answer to a request over HTTP/3 with these fields.
async fn ask_by_http3(client: &H3, fields: &[(&'static str, &'static str)]) -> String {
    let mut request = client.request(Method::GET, "/");
    for (name, value) in fields {
        request.headers_mut().append(*name, value.parse().unwrap());
    }
    let answer = client.ask(request, Bytes::new()).await.unwrap();
    String::from_utf8(answer.body.to_vec()).unwrap()
}

/// Each request of a connection is somebody else's.
#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_speaks_http3_is_believed_as_over_tcp() {
    let (trusting, tls) = quic(|server| server.forwarded_by("127.0.0.0/8".parse().unwrap()));
    let addr = trusting.https_addrs()[0];
    let proxy = H3::connect(addr, "localhost", &tls).await;
    let fields = [("x-forwarded-for", "6.6.6.6, 192.0.2.9"), ("forwarded", "for=6.6.6.6")];
    let said = ask_by_http3(&proxy, &fields).await;
    assert!(said.starts_with("192.0.2.9:0 to 127.0.0.1:"), "{said}");
    assert!(said.ends_with(", tls true, fields false"), "{said}");
    let fields = [("x-forwarded-for", "192.0.2.8"), ("x-forwarded-proto", "http")];
    let said = ask_by_http3(&proxy, &fields).await;
    assert!(said.starts_with("192.0.2.8:0 to "), "{said}");
    assert!(said.ends_with(", tls false, fields false"), "{said}");
    let said = ask_by_http3(&proxy, &[]).await;
    assert!(said.starts_with("127.0.0.1:") && said.ends_with("tls true, fields false"), "{said}");
    // Its connections are not counted as one client's.
    let another = H3::connect(addr, "localhost", &tls).await;
    assert!(ask_by_http3(&another, &[]).await.starts_with("127.0.0.1:"));
    assert_eq!(trusting.metrics().connections_refused_for(Refused::Address), 0);

    let (rfc_7239, tls) = quic(|server| {
        let server = server.forwarded_by("127.0.0.1".parse().unwrap());
        server.forwarded_field(ForwardedField::Forwarded)
    });
    let proxy = H3::connect(rfc_7239.https_addrs()[0], "localhost", &tls).await;
    let fields = [("forwarded", "for=192.0.2.7"), ("x-forwarded-for", "6.6.6.6")];
    let said = ask_by_http3(&proxy, &fields).await;
    assert!(said.starts_with("192.0.2.7:0 to ") && said.ends_with("fields false"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_that_speaks_http3_is_not_believed_and_is_counted() {
    let (strict, tls) = quic(|server| server.forwarded_by("10.0.0.0/8".parse().unwrap()));
    let addr = strict.https_addrs()[0];
    let stranger = H3::connect(addr, "localhost", &tls).await;
    let said = ask_by_http3(&stranger, &[("x-forwarded-for", "192.0.2.9")]).await;
    assert!(said.starts_with("127.0.0.1:") && said.ends_with("tls true, fields true"), "{said}");
    let config = quic_config(&tls, quinn::TransportConfig::default());
    let second = endpoint(addr).connect_with(config, addr, "localhost").unwrap().await;
    assert!(second.is_err(), "there is one already");
    assert_eq!(strict.metrics().connections_refused_for(Refused::Address), 1);
}

/// A proxy that knows one of the two leaves the other as its client wrote it.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_behind_a_proxy_cannot_say_to_be_another() {
    let behind = tcp(|server| server.forwarded_by("127.0.0.1".parse().unwrap()));
    let lines = "forwarded: for=6.6.6.6;proto=https\r\nx-forwarded-for: 192.0.2.1\r\n";
    let said = ask(connect(&behind), b"", lines);
    assert!(said.starts_with("192.0.2.1:0 to "), "{said}");
    assert!(said.ends_with(", tls false, fields false"), "{said}");
    let said = ask(connect(&behind), b"", "forwarded: for=6.6.6.6;proto=https\r\n");
    assert!(said.starts_with("127.0.0.1:") && said.ends_with("tls false, fields false"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_proxy_protocol_is_demanded_of_balancers_and_refused_from_others() {
    let behind = tcp(|server| server.proxy_protocol_from("127.0.0.1".parse().unwrap()));
    let said = ask(connect(&behind), &header(), "");
    assert_eq!(said, "192.0.2.1:4711 to 198.51.100.2:443, tls false, fields false");
    // A balancer's own health check.
    let said = ask(connect(&behind), b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", "");
    assert!(said.starts_with("127.0.0.1:"), "{said}");
    assert_eq!(ask(connect(&behind), b"", ""), "");
    assert_eq!(ask(connect(&behind), b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\n", ""), "");
    // To who is no balancer it is a bad request.
    let open = tcp(|server| server.proxy_protocol_from("10.0.0.0/8".parse().unwrap()));
    assert!(!ask(connect(&open), &header(), "").contains("192.0.2.1"));
    assert!(ask(connect(&open), b"", "").starts_with("127.0.0.1:"));
}

/// A balancer that passes TLS on as it comes.
#[tokio::test(flavor = "multi_thread")]
async fn the_proxy_protocol_comes_before_tls() {
    let authority = Authority::new();
    let server = Server::builder().https("127.0.0.1:0").tls(authority.sign(&["localhost"]).tls());
    let server = serve(server.proxy_protocol_from("127.0.0.1".parse().unwrap()));
    let config = Arc::new(authority.client(None));
    let through = |front: &[u8]| {
        let mut socket = TcpStream::connect(server.https_addrs()[0]).unwrap();
        socket.write_all(front).unwrap();
        let name = "localhost".try_into().unwrap();
        let tls = rustls::ClientConnection::new(Arc::clone(&config), name).unwrap();
        ask(rustls::StreamOwned::new(tls, socket), b"", "")
    };
    assert_eq!(through(&header()), "192.0.2.1:4711 to 198.51.100.2:443, tls true, fields false");
    assert_eq!(through(b""), "", "one that is a balancer's has to say whose it is");
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_proxy_header_is_not_waited_for_without_end() {
    let mut limits = ConnLimits::default();
    limits.handshake_timeout = Duration::from_secs(1);
    let behind =
        tcp(|server| server.limits(limits).proxy_protocol_from("127.0.0.1".parse().unwrap()));
    for half in [&header()[..5], &header()[..20]] {
        let mut stream = connect(&behind);
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.write_all(half).unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap(), 0, "it is closed");
    }
    let metrics = behind.metrics();
    until("counted", || metrics.handshakes_failed(Protocol::H1) == 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_balancer_in_front_of_a_proxy_is_looked_through() {
    let behind = tcp(|server| {
        let server = server.proxy_protocol_from("127.0.0.1".parse().unwrap());
        server.forwarded_by("192.0.2.0/24".parse().unwrap())
    });
    let said = ask(connect(&behind), &header(), "x-forwarded-for: 203.0.113.5\r\n");
    assert!(said.starts_with("203.0.113.5:0 to 198.51.100.2:443"), "{said}");
    // What the balancer tells of is no proxy: the balancer's own address does not count.
    let behind = tcp(|server| {
        let server = server.proxy_protocol_from("127.0.0.1".parse().unwrap());
        server.forwarded_by("127.0.0.1".parse().unwrap())
    });
    let said = ask(connect(&behind), &header(), "x-forwarded-for: 203.0.113.5\r\n");
    assert!(said.starts_with("192.0.2.1:4711"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unix_socket_serves_and_goes_with_its_server() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("edge.sock");
    let server = serve(Server::builder().unix(&path).forwarded_by("unix".parse().unwrap()));
    let connect = || UnixStream::connect(&path).unwrap();
    assert!(ask(connect(), b"", "").starts_with("0.0.0.0:0 to 0.0.0.0:0, tls false"));
    assert!(ask(connect(), b"", FORWARDED).starts_with("192.0.2.9:0 to "));
    let mut http2 = connect();
    http2.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
    let mut frame = [0; 9];
    http2.read_exact(&mut frame).unwrap();
    assert_eq!(frame[3], 4, "SETTINGS come first (RFC 9113 §3.4)");
    drop(http2);
    server.drain(std::time::Duration::from_secs(60)).await;
    assert!(!path.exists());
    // From strangers on a socket, too, fields mean nothing.
    let server = serve(Server::builder().unix(&path));
    assert!(ask(connect(), b"", FORWARDED).starts_with("0.0.0.0:0 to "));
    drop(server);
}
