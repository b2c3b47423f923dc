//! What is configured of early data and of priorities is done, over QUIC.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use headwater_net::Clock;
use headwater_net::server::Tls;
use http::{HeaderName, HeaderValue, Method};

use crate::h3_client::{H3, endpoint, visited};
use crate::process::{Edge, Files, Origin, get};
use crate::unfinished::Unfinished;

/// Time in which what is wrongly sent upstream would be there.
const MOMENT: Duration = Duration::from_millis(300);

/// One that says whether it was told that a request came early, and 425 to that below `/once`.
fn origin() -> Origin {
    Origin::answering(|asked| {
        let early = asked.field("early-data");
        let status = if early == "1" && asked.target.starts_with("/once") { 425 } else { 200 };
        let kind = if asked.target.contains(".m3u8") {
            "application/vnd.apple.mpegurl"
        } else {
            "video/mp4"
        };
        let fields = format!("cache-control: max-age=60\r\ncontent-type: {kind}\r\n");
        (status, fields, format!("early={early}"))
    })
}

/// An edge with a certificate that its clients know; it works in the folder of its files.
fn start(origin: &Origin, server: &str, more: &str) -> (Files, Edge, Tls) {
    let files = Files::new("");
    let own = files.path("own");
    let tls = Tls::self_signed(["localhost"], Some(&own), &Clock::system()).unwrap();
    files.write(&format!(
        "[server]\nlisten = '127.0.0.1:0'\n{server}\n\
         tls = {{ certificate = 'own/dev-cert.pem', key = 'own/dev-key.pem' }}\n\
         [server.limits]\nhandshake_timeout = '60 s'\n\
         [operator]\nlisten = '127.0.0.1:0'\n\
         [[upstream]]\nname = 'media'\norigins = '{}'\n\
         [[site]]\nhosts = '*'\nupstream = 'media'\n{more}",
        origin.url
    ));
    let edge = Edge::start(&files);
    (files, edge, tls)
}

/// Waits until so many requests have come before their handshakes were done.
async fn came_early(operator: SocketAddr, requests: u64) {
    let line = format!("headwater_server_early_requests_total{{handled=\"at_once\"}} {requests}\n");
    let waiting = async {
        while !get(operator, "localhost", "/metrics").body.contains(&line) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting).await.expect("they came early");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn early_requests_are_answered_from_the_cache_alone() {
    let origin = origin();
    let (_files, edge, tls) = start(&origin, "", "");
    let addr = edge.addr("https");
    let known = visited(addr, &tls, "/stored").await;
    let mut client = Unfinished::return_to(addr, &known).await;
    let (miss, hit) = (client.get("/missed"), client.get("/stored"));
    came_early(edge.addr("operator"), 2).await;
    client.hears();
    let hit = hit.await.unwrap();
    assert!(hit.headers["cache-status"].to_str().unwrap().contains("; hit"), "{:?}", hit.headers);
    tokio::time::sleep(MOMENT).await;
    assert_eq!(origin.asked(), 1, "the handshake is not done");
    assert!(!miss.is_finished());
    assert!(client.finish().await, "taken as early data");
    assert_eq!(miss.await.unwrap().body, "early=");
    assert_eq!(origin.asked(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_early_data_upstream_what_misses_is_asked_for_at_once() {
    let origin = origin();
    let (_files, edge, tls) = start(&origin, "early_data_upstream = true", "");
    let addr = edge.addr("https");
    let known = visited(addr, &tls, "/stored").await;
    let mut client = Unfinished::return_to(addr, &known).await;
    let (once, often) = (client.get("/once"), client.get("/often"));
    came_early(edge.addr("operator"), 2).await;
    client.hears();
    assert_eq!(often.await.unwrap().body, "early=1");
    tokio::time::sleep(MOMENT).await;
    assert_eq!(origin.asked(), 3, "the handshake is not done");
    assert!(!once.is_finished());
    assert!(client.finish().await, "taken as early data");
    assert_eq!(once.await.unwrap().body, "early=");
    assert_eq!(origin.asked(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_early_data_clients_wait_for_their_handshake() {
    let (_files, edge, tls) = start(&origin(), "early_data = false", "");
    let addr = edge.addr("https");
    let known = visited(addr, &tls, "/stored").await;
    let connecting = endpoint(addr).connect_with(known, addr, "localhost").unwrap();
    assert!(connecting.into_0rtt().is_err(), "the ticket allows none");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_go_by_what_they_are_unless_priorities_are_off() {
    let origin = origin();
    let urgency = async |server: &str, sessions: &str| {
        let (_files, edge, tls) = start(&origin, server, sessions);
        let client = H3::connect(edge.addr("https"), "localhost", &tls).await;
        let mut all = Vec::new();
        for (path, said) in [
            ("/v/main.m3u8", None),
            ("/v/1.m4s", None),
            ("/v/2.m4s", Some(("cmcd-object", "ot=a"))),
            ("/v/1.m4s", Some(("sec-purpose", "prefetch"))),
            ("/v/main.m3u8", Some(("priority", "u=5"))),
        ] {
            let mut request = client.request(Method::GET, path);
            if let Some((name, value)) = said {
                let name = HeaderName::from_static(name);
                request.headers_mut().insert(name, HeaderValue::from_static(value));
            }
            let answer = client.ask(request, Bytes::new()).await.unwrap();
            assert_eq!(answer.status, 200);
            let said = answer.headers.get("priority").map(|said| said.to_str().unwrap().to_owned());
            all.push(said.unwrap_or_default());
        }
        all
    };
    assert_eq!(urgency("", "").await, ["u=1", "", "", "u=6", ""], "by type alone");
    let told = urgency("", "[sessions]\non = true\n").await;
    assert_eq!(told, ["u=1", "", "u=2", "u=6", ""], "as the player says");
    assert_eq!(urgency("priorities = false", "").await, [""; 5]);
}
