//! The examples of embedding do what they say: each is taken in as it stands and asked, from a client
//! that is not Headwater's.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]
#![cfg(all(feature = "edge", feature = "origin", feature = "packager"))]

use std::convert::Infallible;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use h3_client::H3;
use headwater::net::server::{Server, ServerHandle, Tls};
use headwater::net::{Body, Clock};
use http::{Method, Request, Response};
use reqwest::{Client, Version};
use tower::service_fn;

#[path = "../../examples/cache_with_reqwest.rs"]
#[expect(dead_code, reason = "its `main` is for people")]
mod cache_with_reqwest;
#[path = "../../examples/custom_edge.rs"]
#[expect(dead_code, reason = "its `main` is for people")]
mod custom_edge;
#[path = "../../crates/net/tests/support/h3_client.rs"]
mod h3_client;
#[path = "../../examples/packager_with_axum.rs"]
#[expect(dead_code, reason = "its `main` is for people")]
mod packager_with_axum;
#[path = "../../examples/proxy.rs"]
#[expect(dead_code, reason = "its `main` is for people")]
mod proxy;
#[path = "../../examples/server_with_axum.rs"]
#[expect(dead_code, reason = "its `main` is for people")]
mod server_with_axum;

/// An origin that answers with the target that it was asked for, and how often it was asked.
fn origin() -> (ServerHandle, String, Arc<AtomicUsize>) {
    let asked = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&asked);
    let service = service_fn(move |request: Request<Body>| {
        count.fetch_add(1, Ordering::SeqCst);
        let target = request.uri().to_string();
        let response = Response::builder().header("cache-control", "max-age=600");
        let response = response.header("content-type", "video/mp4").body(Body::from(target));
        async { Ok::<_, Infallible>(response.unwrap()) }
    });
    let server = Server::builder().http("127.0.0.1:0").workers(1);
    let server = server.serve(move |_worker| service.clone()).unwrap();
    let url = format!("http://{}", server.http_addrs()[0]);
    (server, url, asked)
}

/// A client that takes any certificate.
fn client() -> Client {
    Client::builder().tls_danger_accept_invalid_certs(true).build().unwrap()
}

#[tokio::test]
async fn a_whole_edge_takes_fewer_than_sixty_lines() {
    let lines = include_str!("../../examples/custom_edge.rs").lines().count();
    assert!(lines < 60, "{lines} lines");

    let (_origin, url, asked) = origin();
    let edge = custom_edge::serve(&url, "127.0.0.1:0").unwrap();
    let at = format!("https://{}", edge.https_addrs()[0]);
    let client = client();
    let get = async |target: &str| client.get(format!("{at}{target}")).send().await.unwrap();
    let first = get("/video/1.m4s?session=a").await;
    assert_eq!(first.version(), Version::HTTP_2);
    assert!(first.headers().contains_key("alt-svc"), "HTTP/3 is offered");
    assert_eq!(first.text().await.unwrap(), "/video/1.m4s");
    let second = get("/video/1.m4s?session=b").await;
    // Each cache of the way has a line.
    let mut said = second.headers().get_all("cache-status").iter();
    assert!(said.any(|line| line.to_str().unwrap().contains("edge; hit")), "{second:?}");
    assert_eq!(asked.load(Ordering::SeqCst), 1, "a session below /video/ is nobody's business");
    get("/other?session=a").await;
    assert_eq!(get("/other?session=b").await.text().await.unwrap(), "/other?session=b");
    assert_eq!(asked.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn our_server_serves_a_service_of_somebody_elses() {
    let tls = Tls::self_signed(["localhost"], None, &Clock::system()).unwrap();
    let server = server_with_axum::serve("127.0.0.1:0", tls.clone()).unwrap();
    let addr = server.https_addrs()[0];
    let h1 = Client::builder().http1_only().tls_danger_accept_invalid_certs(true).build().unwrap();
    for (client, says) in [(client(), "You came by h2.\n"), (h1, "You came by h1.\n")] {
        let answer = client.get(format!("https://{addr}/")).send().await.unwrap();
        assert!(answer.headers().contains_key("alt-svc"), "HTTP/3 is offered");
        assert_eq!(answer.text().await.unwrap(), says);
    }
    let h3 = H3::connect(addr, "localhost", &tls).await;
    let answer = h3.send(Method::GET, "/", Bytes::new()).await.unwrap();
    assert_eq!((answer.status.as_u16(), &*answer.body), (200, &b"You came by h3.\n"[..]));
}

#[tokio::test]
async fn the_cache_stands_before_a_client_of_somebody_elses() {
    let (_origin, url, asked) = origin();
    let app = cache_with_reqwest::app(url).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move { axum::serve(listener, app).await });
    let client = client();
    let get = async || client.get(format!("http://{addr}/a.mp4?b=c")).send().await.unwrap();
    assert_eq!(get().await.text().await.unwrap(), "/a.mp4?b=c");
    let again = get().await;
    assert!(again.headers()["cache-status"].to_str().unwrap().starts_with("cache; hit"));
    assert_eq!(again.text().await.unwrap(), "/a.mp4?b=c");
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    // What is not cached passes, body and all.
    let posted = client.post(format!("http://{addr}/form")).body("x").send().await.unwrap();
    assert_eq!((posted.status().as_u16(), posted.text().await.unwrap()), (200, "/form".to_owned()));
    serving.abort();
}

/// A folder with one film of two seconds.
fn films() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.current_dir(folder.path()).args(["-v", "error", "-f", "lavfi", "-i"]);
    ffmpeg.args(["testsrc2=size=128x72:rate=24:duration=2", "-c:v", "libx264", "-g", "24"]);
    let made = ffmpeg.args(["-pix_fmt", "yuv420p", "film.mp4"]).status();
    assert!(made.is_ok_and(|status| status.success()), "ffmpeg makes a film");
    folder
}

#[tokio::test]
async fn the_packager_is_one_service_among_others_of_axum() {
    let folder = films();
    let app = packager_with_axum::app(folder.path().to_str().unwrap()).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = format!("http://{}", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move { axum::serve(listener, app).await });
    let client = client();
    let get = async |target: &str| client.get(format!("{at}{target}")).send().await.unwrap();
    assert_eq!(get("/").await.text().await.unwrap(), "The videos are below /media/.\n");
    let manifest = get("/media/film/main.m3u8").await;
    assert_eq!(manifest.headers()["content-type"], "application/vnd.apple.mpegurl");
    // From the first playlist to a segment's bytes, by what each names.
    let mut base = reqwest::Url::parse(&format!("{at}/media/film/main.m3u8")).unwrap();
    let mut text = manifest.text().await.unwrap();
    let named = |line: &&str| !line.is_empty() && !line.starts_with('#');
    base = base.join(text.lines().find(named).expect(&text)).unwrap();
    text = get(base.path()).await.text().await.unwrap();
    let segment = text.lines().find(named).expect(&text);
    let bytes = get(base.join(segment).unwrap().path()).await.bytes().await.unwrap();
    assert!(bytes.windows(4).any(|four| four == b"moof"), "{segment}: {} bytes", bytes.len());
    assert_eq!(get("/media/nothing/main.m3u8").await.status(), 404);
    serving.abort();
}

#[tokio::test]
async fn a_proxy_stands_before_its_origin_in_either_role() {
    let client = client();
    for role in ["edge", "shield"] {
        let (_origin, url, asked) = origin();
        let arguments = [role, "--never-stale", &url].map(ToOwned::to_owned);
        let proxy = proxy::start(&arguments).unwrap();
        let at = format!("http://{}/a.mp4?b=c", proxy.http_addrs()[0]);
        let get = async || client.get(&at).send().await.unwrap();
        assert_eq!(get().await.text().await.unwrap(), "/a.mp4?b=c");
        let again = get().await;
        let said = again.headers()["cache-status"].to_str().unwrap().to_owned();
        assert!(said.starts_with(&format!("{role}; hit")), "{said}");
        assert_eq!(asked.load(Ordering::SeqCst), 1, "{role}");
        // Both listen to their clients, for what measures caches.
        let anew = client.get(&at).header("cache-control", "no-cache").send().await.unwrap();
        assert_eq!(anew.text().await.unwrap(), "/a.mp4?b=c");
        assert_eq!(asked.load(Ordering::SeqCst), 2, "{role}");
    }
    assert!(proxy::start(&["edge".to_owned()]).is_err(), "an origin is needed");
}
