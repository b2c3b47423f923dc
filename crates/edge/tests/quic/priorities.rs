//! What a player waits for overtakes what a page fetches ahead (RFC 9218), though no client says so: the
//! edge does, by what its answers are.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::{Buf as _, Bytes};
use headwater_edge::{CmcdLayer, EdgeBuilder, PriorityLayer, Sessions};
use headwater_net::{Body, Protocol};
use http::{HeaderValue, Method, Request, Response};

use crate::h3_client::{H3, endpoint, patient, quic_config};
use crate::relay::Relay;
use crate::{start, until};

const VIDEO: usize = 4 << 20;
/// All of them; what is fetched ahead first.
const PATHS: [&str; 4] = ["/video/1.m4s", "/video/2.m4s", "/sound/1.m4s", "/video/main.m3u8"];
const AUDIO: usize = 1 << 20;

/// Segments of video, of 4 MiB each, sound in files that look alike, and a large playlist.
async fn media(request: Request<Body>) -> Result<Response<Body>, Infallible> {
    let (kind, len) = match request.uri().path() {
        "/video/main.m3u8" => ("application/vnd.apple.mpegurl", 64 << 10),
        path if path.starts_with("/sound/") => ("video/mp4", AUDIO),
        _ => ("video/mp4", VIDEO),
    };
    let response = Response::builder().header("content-type", kind);
    let response = response.header("cache-control", "max-age=60");
    Ok(response.body(Body::from(vec![7; len])).unwrap())
}

/// Asks, and counts the bytes of the answer as they come; the task ends with the answer, and tells how many
/// had come of what is fetched ahead.
async fn ask(
    client: &H3,
    path: &str,
    said: (&'static str, &'static str),
    counted: &Arc<AtomicUsize>,
    ahead: &Arc<AtomicUsize>,
) -> tokio::task::JoinHandle<usize> {
    let mut request = client.request(Method::GET, path);
    request.headers_mut().insert(said.0, HeaderValue::from_static(said.1));
    let mut stream = client.requests.clone().send_request(request).await.unwrap();
    stream.finish().await.unwrap();
    let (counted, ahead) = (Arc::clone(counted), Arc::clone(ahead));
    tokio::spawn(async move {
        assert_eq!(stream.recv_response().await.unwrap().status(), 200);
        while let Some(data) = stream.recv_data().await.unwrap() {
            counted.fetch_add(data.remaining(), Ordering::SeqCst);
        }
        ahead.load(Ordering::SeqCst)
    })
}

/// The bytes that had come of two segments which were fetched ahead when sound and a playlist, asked for
/// once both were under way, were whole.
///
/// All are hits, which the worker hands to QUIC in the step in which it reads the request, and it reads what
/// the client acknowledges in a later one. So when it has counted all requests, and nothing but a first window
/// was let out by then, all answers are there to choose from, however slow the machine is.
async fn of_what_may_wait(tune: impl FnOnce(EdgeBuilder) -> EdgeBuilder) -> usize {
    let edge = start(tune, tower::service_fn(media));
    let first = H3::connect(edge.addr(), "localhost", &edge.tls).await;
    for path in PATHS {
        assert_eq!(first.send(Method::GET, path, Bytes::new()).await.unwrap().status, 200);
    }
    drop(first);
    let relay = Relay::new(edge.addr()).await;
    // The client has room for all: only the network is narrow.
    let mut transport = patient();
    transport.stream_receive_window((16u32 << 20).into());
    let endpoint = endpoint(relay.addr);
    let config = quic_config(&edge.tls, transport);
    let quic = endpoint.connect_with(config, relay.addr, "localhost").unwrap().await.unwrap();
    // The port is part of what is asked for.
    let client = H3::over(endpoint, quic, edge.addr(), "localhost").await;
    let metrics = edge.server.metrics();
    let asked = || metrics.requests(Protocol::H3) - PATHS.len() as u64;
    // No more than a first window of what is asked for first gets out.
    relay.hold(true);
    let (ahead, waited) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let mut prefetched = Vec::new();
    for path in &PATHS[..2] {
        let said = ("sec-purpose", "prefetch");
        prefetched.push(ask(&client, path, said, &ahead, &ahead).await);
    }
    until("both are under way", || asked() == 2 && relay.held() >= 4).await;
    let sound = ask(&client, PATHS[2], ("cmcd-object", "ot=a"), &waited, &ahead).await;
    let playlist = ask(&client, PATHS[3], ("accept", "*/*"), &waited, &ahead).await;
    until("all are asked for", || asked() == 4).await;
    relay.hold(false);
    let came = sound.await.unwrap().max(playlist.await.unwrap());
    assert_eq!(waited.load(Ordering::SeqCst), AUDIO + (64 << 10));
    for task in prefetched {
        task.await.unwrap();
    }
    assert_eq!(ahead.load(Ordering::SeqCst), 2 * VIDEO, "it comes all the same");
    came
}

#[tokio::test]
async fn rfc_9218_sound_and_a_manifest_overtake_what_is_fetched_ahead() {
    const HALF: usize = AUDIO / 2;
    let sessions = CmcdLayer::new(Sessions::builder().build());
    let told = |edge: EdgeBuilder| edge.cmcd(sessions).priority(PriorityLayer::by_kind());
    let came = of_what_may_wait(told).await;
    assert!(came < HALF, "{came} bytes of what may wait came first");
    // They do not overtake by themselves.
    let came = of_what_may_wait(|edge| edge).await;
    assert!(came > HALF, "{came} bytes of the others had come");
}
