//! Each layer alone, around axum and around nothing of ours; and the log under pressure.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod support;

use std::convert::Infallible;
use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body as AxumBody;
use axum::response::IntoResponse as _;
use axum::routing::get;
use headwater_cache::StoredOnly;
use headwater_edge::metrics::Scrape;
use headwater_edge::witness::{Hears, WitnessLayer};
use headwater_edge::{
    AccessLog, AccessLogLayer, CompressLayer, EarlyDataLayer, HeadersLayer, HintLayer, Hints,
    MethodsLayer, Metrics, NormaliseLayer, Witness,
};
use headwater_net::{Body, Clock, ConnInfo, Protocol};
use http::{Method, Request, Response, StatusCode};
use prometheus_client::registry::Registry;
use support::{Lines, Origin, eventually};
use tower::{Layer, ServiceBuilder, ServiceExt};

#[tokio::test]
async fn every_layer_works_around_an_axum_router() {
    let lines = Lines::default();
    let (log, writer) = AccessLog::start(lines.clone(), 10).unwrap();
    let metrics = Metrics::default();
    let mut registry = Registry::default();
    metrics.register(&mut registry);
    let app = Router::new()
        .route("/hello", get(|| async { "hello" }))
        .layer(HeadersLayer::default())
        .layer(NormaliseLayer::new())
        .layer(MethodsLayer::new([Method::GET]))
        .layer(metrics.layer())
        .layer(log.layer(Clock::system()))
        .route_service("/metrics", Scrape::new(registry));
    let ask = |method: &str, path: &str| {
        let request = Request::builder().method(method).uri(path).header("host", "h");
        app.clone().oneshot(request.body(axum::body::Body::empty()).unwrap())
    };
    let hello = ask("GET", "/hello").await.unwrap();
    assert_eq!(hello.headers()["x-content-type-options"], "nosniff");
    assert_eq!(axum::body::to_bytes(hello.into_body(), 100).await.unwrap(), "hello");
    assert_eq!(ask("PUT", "/hello").await.unwrap().status(), 405);
    assert_eq!(ask("GET", "/hello/%2e./x").await.unwrap().status(), 400);
    let page = ask("GET", "/metrics").await.unwrap();
    let page = axum::body::to_bytes(page.into_body(), 1 << 20).await.unwrap();
    let expected = r#"requests_total{protocol="none",method="get",status="2xx",cache="none"} 1"#;
    assert!(std::str::from_utf8(&page).unwrap().contains(expected));
    drop(app);
    writer.finish();
    let lines = lines.json();
    assert_eq!((&lines[0]["path"], &lines[0]["peer"]), (&"/hello".into(), &().into()));
}

/// Notes what it sees, and what comes of it.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    fn add(&self, note: String) {
        self.0.lock().unwrap().push(note);
    }
}

impl Witness for Notes {
    fn sees(&self, request: &Request<Body>) -> Option<Hears> {
        let (notes, path) = (self.clone(), request.uri().path().to_owned());
        Some(Box::new(move |status| notes.add(format!("{} {path}", status.as_u16()))))
    }
}

/// A router with a manifest of 1,600 bytes, and a segment for which it says of each request that asks for what
/// is stored that there is nothing, and notes of others whether they may be replays.
fn live(asked: Notes) -> Router {
    let manifest = || async {
        let headers = [("content-type", "application/vnd.apple.mpegurl"), ("etag", "\"x\"")];
        (headers, "#EXTM3U\n".repeat(200))
    };
    let segment = move |request: axum::extract::Request| async move {
        let extensions = request.extensions();
        if extensions.get::<StoredOnly>().is_some() {
            return (StatusCode::GATEWAY_TIMEOUT, axum::Extension(StoredOnly)).into_response();
        }
        asked.add(format!("early: {}", extensions.get::<ConnInfo>().unwrap().early_data));
        ([("content-type", "video/mp4")], "media").into_response()
    };
    Router::new().route("/v/main.m3u8", get(manifest)).route("/v/1.m4s", get(segment))
}

/// What an edge has right around its cache: a router takes Headwater's body, and what it answers becomes one.
#[tokio::test]
async fn what_stands_around_a_cache_works_around_an_axum_router() {
    let (asked, seen) = (Notes::default(), Notes::default());
    let (tell, mut told) = tokio::sync::mpsc::channel(16);
    let shield = tower::service_fn(move |request: Request<Body>| {
        let tell = tell.clone();
        async move {
            let text = request.into_body().collect(1 << 16).await.unwrap().to_bytes();
            tell.send(String::from_utf8(text.to_vec()).unwrap()).await.unwrap();
            Ok::<_, Infallible>(Response::new(Body::empty()))
        }
    });
    let (hints, sender) = Hints::builder().interval(Duration::from_millis(10)).build(shield);
    tokio::spawn(sender.run());
    let around = ServiceBuilder::new()
        .map_request(|request: Request<AxumBody>| request.map(Body::stream))
        .layer(HintLayer::new(&hints))
        .layer(WitnessLayer::new(Arc::new(seen.clone())))
        .layer(EarlyDataLayer::new())
        .layer(CompressLayer::new())
        .map_response(|response: Response<AxumBody>| response.map(Body::stream))
        .service(live(asked.clone()));
    let app = Router::new().fallback_service(around);
    let ask = |path: &str, early_data: bool, (name, value): (&'static str, &'static str)| {
        let mut request = support::get(path, Protocol::H3).map(AxumBody::new);
        request.headers_mut().insert(name, value.parse().unwrap());
        request.extensions_mut().get_mut::<ConnInfo>().unwrap().early_data = early_data;
        app.clone().oneshot(request)
    };

    let packed = ask("/v/main.m3u8", false, ("accept-encoding", "gzip")).await.unwrap();
    assert_eq!(packed.headers()["content-encoding"], "gzip");
    assert_eq!(packed.headers()["etag"], "W/\"x\"");
    let packed = axum::body::to_bytes(packed.into_body(), 1_600).await.unwrap();
    assert!(packed.starts_with(b"\x1f\x8b") && packed.len() < 200, "{} bytes", packed.len());

    let media = ask("/v/1.m4s", true, ("cmcd-request", "nor=\"2.m4s\"")).await.unwrap();
    assert_eq!(media.status(), 200);
    assert_eq!(axum::body::to_bytes(media.into_body(), 100).await.unwrap(), "media");
    assert_eq!(*asked.0.lock().unwrap(), ["early: false"], "not before the handshake is done");
    assert_eq!(*seen.0.lock().unwrap(), ["200 /v/main.m3u8", "200 /v/1.m4s"]);
    let told = tokio::time::timeout(Duration::from_secs(60), told.recv()).await.unwrap().unwrap();
    assert!(told.contains("//video.example/v/1.m4s k=1 ") && told.contains("2.m4s"), "{told}");
}

#[tokio::test]
async fn headers_of_the_answer_win() {
    let name = http::HeaderName::from_static("x-content-type-options");
    let inner = HeadersLayer::new([(name, "theirs".parse().unwrap())]).layer(Origin::default());
    let outer = HeadersLayer::default().layer(inner);
    let response = outer.oneshot(support::get("/small", Protocol::H1)).await.unwrap();
    assert_eq!(response.headers()["x-content-type-options"], "theirs");
}

#[tokio::test]
async fn a_host_may_be_left_out_where_that_is_allowed() {
    let service = NormaliseLayer::new().host_required(false).layer(Origin::default());
    let request = Request::get("/small").body(Body::empty()).unwrap();
    assert_eq!(service.oneshot(request).await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_layer_that_is_off_does_nothing() {
    let service = AccessLogLayer::off().layer(Origin::default());
    let response = service.oneshot(support::get("/large", Protocol::H1)).await.unwrap();
    assert!(matches!(response.body(), Body::Full(_)));
}

/// A sink that says when it is written to and then waits to be let go.
struct Stuck {
    reached: Sender<()>,
    release: Receiver<()>,
}

impl io::Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.reached.send(());
        let _ = self.release.recv();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_full_log_drops_and_counts_and_never_blocks() {
    let (reached, was_reached) = channel();
    let (release, released) = channel();
    let (log, writer) = AccessLog::start(Stuck { reached, release: released }, 4).unwrap();
    let service = log.layer(Clock::system()).layer(Origin::default());
    let ask = || service.clone().oneshot(support::get("/small", Protocol::H1));
    ask().await.unwrap();
    was_reached.recv_timeout(Duration::from_secs(10)).expect("the first line is being written");
    // The writer hangs now: four records fit, six do not, and each answer comes all the same.
    for _ in 0..10 {
        assert_eq!(ask().await.unwrap().status(), 200);
    }
    assert_eq!(log.dropped(), 6);
    drop(release);
    eventually("the rest is written", || log.written() == 5).await;
    writer.finish();
}

struct Broken;

impl io::Write for Broken {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::StorageFull.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_sink_that_fails_costs_lines_and_nothing_else() {
    let (log, writer) = AccessLog::start(Broken, 4).unwrap();
    let mut registry = Registry::default();
    log.register(&mut registry);
    let service = log.layer(Clock::system()).layer(Origin::default());
    let response = service.oneshot(support::get("/small", Protocol::H1)).await.unwrap();
    assert_eq!(response.status(), 200);
    writer.finish();
    let page = headwater_edge::metrics::scrape(&registry, &http::HeaderMap::new()).into_body();
    let page = page.collect(1 << 16).await.unwrap().to_bytes();
    let page = std::str::from_utf8(&page).unwrap();
    assert!(page.contains("headwater_edge_access_log_failed_total 1"), "{page}");
}

#[tokio::test]
async fn a_request_given_up_before_its_answer_leaves_a_line() {
    let lines = Lines::default();
    let (log, writer) = AccessLog::start(lines.clone(), 4).unwrap();
    let never = tower::service_fn(|_: Request<Body>| {
        std::future::pending::<Result<Response<Body>, std::io::Error>>()
    });
    let metrics = Metrics::default();
    let service = log.layer(Clock::system()).layer(metrics.layer().layer(never));
    let asked = tokio::spawn(service.oneshot(support::get("/small", Protocol::H1)));
    eventually("it is under way", || metrics.in_flight() == 1).await;
    asked.abort();
    eventually("it is over", || metrics.in_flight() == 0).await;
    writer.finish();
    assert_eq!(
        (&lines.json()[0]["status"], &lines.json()[0]["end"]),
        (&0.into(), &"aborted".into())
    );
}

#[tokio::test]
async fn each_worker_has_a_queue_and_all_reach_the_sink() {
    let lines = Lines::default();
    let (log, writer) = AccessLog::start(lines.clone(), 1_000).unwrap();
    let workers: Vec<_> = (0..4)
        .map(|worker| {
            // Two threads to a layer: one worker's requests may come from several.
            let service = log.layer(Clock::system()).layer(Origin::default());
            let ask = move |service: headwater_edge::Observed<Origin>| {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                for n in 0..200 {
                    let request = support::get(&format!("/{worker}/{n}"), Protocol::H2);
                    runtime.block_on(service.clone().oneshot(request)).unwrap();
                }
            };
            let twin = service.clone();
            [std::thread::spawn(move || ask(service)), std::thread::spawn(move || ask(twin))]
        })
        .collect();
    for thread in workers.into_iter().flatten() {
        thread.join().unwrap();
    }
    // The layers are gone; what they queued is not.
    writer.finish();
    assert_eq!((log.written(), log.dropped()), (1_600, 0));
    let lines = lines.json();
    for worker in 0..4 {
        let prefix = format!("/{worker}/");
        let mut paths: Vec<_> = lines.iter().filter_map(|line| line["path"].as_str()).collect();
        paths.retain(|path| path.starts_with(&prefix));
        assert_eq!(paths.len(), 400);
        paths.sort_unstable();
        paths.dedup();
        assert_eq!(paths.len(), 200, "each once from either thread");
    }
    // After its end a log takes no more, and says so.
    let late = log.layer(Clock::system()).layer(Origin::default());
    late.oneshot(support::get("/small", Protocol::H1)).await.unwrap();
    assert_eq!((log.written(), log.dropped()), (1_600, 1));
}
