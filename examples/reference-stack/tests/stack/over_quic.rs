//! What the flags of an edge say of early data is done, and what goes first is told, over QUIC.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use headwater_net::server::{Server, ServerHandle, Tls};
use headwater_net::{Body, Clock};
use http::{Method, Request, Response};

use crate::h3_client::{H3, endpoint, visited};
use crate::support::Stack;
use crate::unfinished::Unfinished;

/// Time in which what is wrongly sent upstream would be there.
const MOMENT: Duration = Duration::from_millis(300);

/// What stands behind the edge, and what it was asked by GET: the path, and whether that was early.
struct Behind {
    server: ServerHandle,
    asked: Arc<Mutex<Vec<(String, bool)>>>,
}

impl Behind {
    fn start() -> Self {
        let asked = Arc::<Mutex<Vec<(String, bool)>>>::default();
        let noted = Arc::clone(&asked);
        let server = Server::builder().http("127.0.0.1:0").workers(1).serve(move |_| {
            let noted = Arc::clone(&noted);
            tower::service_fn(move |request: Request<Body>| {
                let early = request.headers().contains_key("early-data");
                if request.method() == Method::GET {
                    let path = request.uri().path().to_owned();
                    noted.lock().unwrap().push((path, early));
                }
                let response = Response::builder().header("cache-control", "max-age=60");
                let response = response.body(Body::from("media")).unwrap();
                async move { Ok::<_, Infallible>(response) }
            })
        });
        Self { server: server.unwrap(), asked }
    }

    /// An edge before it, its address, and its certificate.
    fn edge(&self, state: &Path, more: &[&str]) -> (Stack, SocketAddr, Tls) {
        let url = format!("http://{}", self.server.http_addrs()[0]);
        let stack = Stack::start(state, &[&["--role", "edge", "--upstream", &url], more].concat());
        let addr = stack.field("base").strip_prefix("https://").unwrap().parse().unwrap();
        let (names, kept) = (["localhost", "127.0.0.1", "::1"], state.join("certificate"));
        let tls = Tls::self_signed(names, Some(&kept), &Clock::system()).unwrap();
        (stack, addr, tls)
    }

    /// How often it was asked for a path, early and not.
    fn asked(&self, path: &str) -> (usize, usize) {
        let asked = self.asked.lock().unwrap();
        let count = |of| asked.iter().filter(|one| **one == (path.to_owned(), of)).count();
        (count(true), count(false))
    }
}

/// Waits until so many requests have come before their handshakes were done.
async fn came_early(stack: &Stack, requests: u64) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let line = format!("headwater_server_early_requests_total{{handled=\"at_once\"}} {requests}\n");
    let waiting = async {
        loop {
            let page = client.get(stack.field("metrics")).send().await.unwrap();
            if page.text().await.unwrap().contains(&line) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting).await.expect("they came early");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn early_requests_are_answered_from_the_cache_and_go_upstream_where_a_flag_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let behind = Behind::start();
    for (name, flags, early) in
        [("as it is", &[][..], 0), ("upstream", &["--early-data-upstream"][..], 1)]
    {
        let missed = format!("/{}", name.replace(' ', "-"));
        let (stack, addr, tls) = behind.edge(&dir.path().join(name), flags);
        let known = visited(addr, &tls, "/media/stored").await;
        let mut client = Unfinished::return_to(addr, &known).await;
        let (miss, hit) = (client.get(&format!("/media{missed}")), client.get("/media/stored"));
        came_early(&stack, 2).await;
        client.hears();
        let hit = hit.await.unwrap();
        let status = hit.headers["cache-status"].to_str().unwrap();
        assert!(status.contains("; hit"), "{name}: {status}");
        tokio::time::sleep(MOMENT).await;
        assert_eq!(behind.asked(&missed), (early, 0), "{name}: the handshake is not done");
        assert!(client.finish().await, "{name}: taken as early data");
        assert_eq!(miss.await.unwrap().body, "media");
        assert_eq!(behind.asked(&missed), (early, 1 - early), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_early_data_clients_wait_and_manifests_go_first() {
    let dir = tempfile::tempdir().unwrap();
    let behind = Behind::start();
    let (_stack, addr, tls) = behind.edge(dir.path(), &["--no-early-data"]);
    let known = visited(addr, &tls, "/media/stored").await;
    let connecting = endpoint(addr).connect_with(known, addr, "localhost").unwrap();
    assert!(connecting.into_0rtt().is_err(), "the ticket allows none");
    let client = H3::connect(addr, "localhost", &tls).await;
    for (path, urgency) in [("/media/main.m3u8", Some("u=1")), ("/media/1.m4s", None)] {
        let answer = client.send(Method::GET, path, Bytes::new()).await.unwrap();
        let said = answer.headers.get("priority").map(|said| said.to_str().unwrap());
        assert_eq!(said, urgency, "{path}");
    }
}
