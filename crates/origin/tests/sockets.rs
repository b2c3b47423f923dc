//! A shield whose origins are behind real sockets: one that is not there, one that is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod support;

use std::time::Duration;

use headwater_net::client::Upstream;
use headwater_net::server::Server;
use headwater_net::{Body, Problem};
use headwater_origin::Shield;
use http::{Request, StatusCode};
use support::{Origin, eventually, get, playlist, segment};
use tower::ServiceExt;

/// A scripted origin behind a listener: what it refuses to answer becomes a 502.
fn listen(origin: Origin) -> headwater_net::server::ServerHandle {
    let serve = move |_| {
        let origin = origin.clone();
        tower::service_fn(move |request: Request<Body>| {
            let answer = origin.clone().oneshot(request);
            async move {
                let refused = |_| Problem::new(StatusCode::BAD_GATEWAY).into_response();
                Ok::<_, std::convert::Infallible>(answer.await.unwrap_or_else(refused))
            }
        })
    };
    Server::builder().http("127.0.0.1:0").workers(1).serve(serve).unwrap()
}

#[tokio::test]
async fn failover_prefetch_and_truncation_over_the_wire() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let origin = Origin::new()
        .on("/t/list.m3u8", playlist(&["a.mp4", "b.mp4", "c.mp4"]))
        .on("/t/a.mp4", segment("first"))
        .on("/t/b.mp4", segment(vec![5; 200_000]))
        .on("/t/cut.mp4", segment(vec![5; 200_000]).cut_at(100_000));
    let server = listen(origin.clone());
    let upstream = |uri: &str| Upstream::builder(uri).build().unwrap();
    let shield = Shield::builder()
        .origin(upstream(&nobody))
        .origin(upstream(&format!("http://{}", server.http_addrs()[0])))
        .build();

    assert_eq!(get(&shield, "/t/list.m3u8").await.status, 200);
    assert_eq!(shield.metrics().origin_retries.get(), 1);
    assert_eq!(get(&shield, "/t/a.mp4").await.text(), "first");
    eventually("b is ahead", || origin.times("/t/b.mp4") == 1).await;
    let second = get(&shield, "/t/b.mp4").await;
    assert_eq!(second.body.unwrap(), vec![5; 200_000]);
    assert_eq!(origin.times("/t/b.mp4"), 1, "prefetched, or joined in flight");
    // Where the break reaches us before the head does, there is no answer to cut: 502.
    let cut = get(&shield, "/t/cut.mp4").await;
    assert!(cut.body.is_err() || cut.status == 502, "{} {:?}", cut.status, cut.headers);
    assert_eq!(shield.metrics().origins_down.get(), 1, "nobody is home at the first");
    drop(shield);
    server.drain(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_client_that_gets_no_answer_in_time_makes_504() {
    // Accepts into its backlog and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let upstream = Upstream::builder(format!("http://{}", silent.local_addr().unwrap()));
    let shield = Shield::builder()
        .origin(upstream.build().unwrap())
        .first_byte_timeout(Duration::from_millis(50))
        .build();
    assert_eq!(get(&shield, "/x").await.status, 504);
}
