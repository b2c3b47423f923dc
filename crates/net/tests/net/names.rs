//! The name of an upstream: where its addresses come from, how long they count, and what becomes of
//! connections to one that has left.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use headwater_net::client::{
    Answer, Resolve, Resolving, Unconnected, Upstream, UpstreamBuilder, UpstreamError,
};
use headwater_net::server::{Server, ServerHandle, Tls};
use headwater_net::{Body, Clock, Timestamp};
use http::{Request, Response, Version};
use tower::service_fn;
use tower_service::Service;

use crate::service::until;

/// A resolver that says what it is told to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scripted {
    says: Arc<Mutex<Vec<&'static str>>>,
    asked: Arc<AtomicUsize>,
}

impl Scripted {
    pub(crate) fn says(addresses: &[&'static str]) -> Self {
        let new = Self::default();
        new.say(addresses);
        new
    }

    /// Nothing is a failure.
    fn say(&self, addresses: &[&'static str]) {
        *self.says.lock().unwrap() = addresses.to_vec();
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Resolve for Scripted {
    fn resolve(&self, host: &str) -> Resolving {
        assert_eq!(host, "origin.test");
        self.asked.fetch_add(1, Ordering::SeqCst);
        let says = self.says.lock().unwrap().iter().map(|ip| ip.parse().unwrap()).collect();
        let ttl = Some(Duration::from_secs(60));
        Box::pin(async move { Ok(Answer { addresses: says, ttl }) })
    }
}

/// A server that says its own address; by TLS and QUIC where there is a certificate.
fn server(addr: SocketAddr, tls: Option<&Tls>) -> Option<ServerHandle> {
    let says = addr.ip().to_string();
    let service = service_fn(move |_: Request<Body>| {
        std::future::ready(Ok::<_, Infallible>(Response::new(Body::from(says.clone()))))
    });
    let at = addr.to_string();
    let server = match tls {
        Some(tls) => Server::builder().https(at.as_str()).tls(tls.clone()),
        None => Server::builder().http(at.as_str()),
    };
    let server = server.workers(1);
    server.serve(move |_| service.clone()).ok()
}

/// One at each of these addresses, all on one port.
pub(crate) fn servers(addresses: &[&str], tls: Option<&Tls>) -> (Vec<ServerHandle>, u16) {
    for _ in 0..100 {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let at = |ip: &&str| SocketAddr::new(ip.parse().unwrap(), port);
        if let Some(all) = addresses.iter().map(at).map(|at| server(at, tls)).collect() {
            return (all, port);
        }
    }
    panic!("no port is free at all of {addresses:?}")
}

pub(crate) async fn ask(upstream: &mut Upstream) -> Result<String, UpstreamError> {
    let response = upstream.call(Request::get("/").body(Body::Empty).unwrap()).await?;
    let body = response.into_body().collect(1 << 10).await.unwrap();
    Ok(String::from_utf8(body.to_bytes().to_vec()).unwrap())
}

/// Limit: `UpstreamBuilder::dns_ttl`.
#[tokio::test]
async fn a_busy_connection_is_retired_when_its_address_has_left_the_name() {
    for h2 in [true, false] {
        let (_servers, port) = servers(&["127.0.0.1", "127.0.0.2"], None);
        let upstream = Upstream::builder(format!("http://origin.test:{port}"));
        retired(upstream.http2_prior_knowledge(h2)).await;
    }
}

#[tokio::test]
async fn a_busy_connection_of_http3_is_retired_too() {
    let tls = Tls::self_signed(["origin.test"], None, &Clock::system()).unwrap();
    let (_servers, port) = servers(&["127.0.0.1", "127.0.0.2"], Some(&tls));
    let upstream = Upstream::builder(format!("https://origin.test:{port}"));
    let upstream = upstream.pin_spki_sha256(tls.spki_sha256_base64()).http3(true);
    let by = retired(upstream).await;
    assert_eq!(by, Version::HTTP_3);
}

/// Requests follow the name from one address to the other.
async fn retired(upstream: UpstreamBuilder) -> Version {
    let resolver = Scripted::says(&["127.0.0.1"]);
    let clock = Clock::manual(Timestamp::from_secs(1_700_000_000));
    let upstream = upstream.resolver(Arc::new(resolver.clone())).clock(clock.clone());
    let mut upstream = upstream.build().unwrap();
    for _ in 0..3 {
        assert_eq!(ask(&mut upstream).await.unwrap(), "127.0.0.1");
    }
    assert_eq!(resolver.asked(), 1, "it counts for its time");
    resolver.say(&["127.0.0.2"]);
    clock.advance(Duration::from_secs(61));
    // Nobody waits for the answer.
    assert_eq!(ask(&mut upstream).await.unwrap(), "127.0.0.1");
    until("it is asked again", || resolver.asked() == 2).await;
    let mut last = String::new();
    for _ in 0..10 {
        last = ask(&mut upstream).await.unwrap();
    }
    assert_eq!(last, "127.0.0.2");

    // A resolver that fails changes nothing.
    resolver.say(&[]);
    clock.advance(Duration::from_secs(61));
    assert_eq!(ask(&mut upstream).await.unwrap(), "127.0.0.2");
    until("it is asked again", || resolver.asked() == 3).await;
    assert_eq!(ask(&mut upstream).await.unwrap(), "127.0.0.2");
    upstream.call(Request::get("/").body(Body::Empty).unwrap()).await.unwrap().version()
}

#[tokio::test]
async fn a_name_without_addresses_is_told_as_such() {
    let mut upstream = Upstream::builder("http://origin.test:1")
        .resolver(Arc::new(Scripted::says(&[])))
        .build()
        .unwrap();
    let error = ask(&mut upstream).await.unwrap_err();
    let expected = Unconnected::Name;
    assert!(matches!(error, UpstreamError::Connect(why, _) if why == expected), "{error:?}");
}

/// A listener that takes no connection: its queue is full, so that what comes is not answered.
struct Silent {
    at: SocketAddr,
    _listener: socket2::Socket,
    _queued: Vec<std::net::TcpStream>,
}

impl Silent {
    fn at(ip: IpAddr, port: u16) -> Option<Self> {
        let at = SocketAddr::new(ip, port);
        let domain = socket2::Domain::for_address(at);
        let listener = socket2::Socket::new(domain, socket2::Type::STREAM, None).ok()?;
        if at.is_ipv6() {
            listener.set_only_v6(true).ok()?;
        }
        listener.bind(&at.into()).ok()?;
        listener.listen(0).ok()?;
        let mut queued = Vec::new();
        let soon = Duration::from_millis(200);
        // The kernel takes one more than it was told to, and now and then another.
        while queued.len() < 8 {
            match std::net::TcpStream::connect_timeout(&at, soon) {
                Ok(stream) => queued.push(stream),
                Err(_) => return Some(Self { at, _listener: listener, _queued: queued }),
            }
        }
        None
    }
}

/// RFC 8305: the other family is tried beside one that is silent, and nobody waits for its time-out.
#[tokio::test]
#[expect(clippy::print_stdout, reason = "says that it was skipped")]
async fn a_family_that_is_silent_does_not_keep_from_the_other() {
    let (_servers, port) = servers(&["127.0.0.1"], None);
    let Some(silent) = Silent::at("::1".parse().unwrap(), port) else {
        println!("skipped: no silent listener on ::1");
        return;
    };
    assert_eq!(silent.at.port(), port);
    for addresses in [&["::1", "127.0.0.1"][..], &["127.0.0.1", "::1"]] {
        let mut upstream = Upstream::builder(format!("http://origin.test:{port}"))
            .resolver(Arc::new(Scripted::says(addresses)))
            .connect_timeout(Duration::from_secs(3600))
            .first_byte_timeout(Duration::from_secs(60))
            .build()
            .unwrap();
        assert_eq!(ask(&mut upstream).await.unwrap(), "127.0.0.1", "{addresses:?}");
    }
}
