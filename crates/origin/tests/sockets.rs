//! A shield whose origins are behind real sockets: one that is not there, one that is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod support;

use std::time::Duration;

use headwater_net::client::{Redirects, Upstream, UpstreamError};
use headwater_net::server::Server;
use headwater_net::{Body, Problem};
use headwater_origin::Shield;
use headwater_origin::upstream::HealthConfig;
use http::{Request, StatusCode};
use support::{Origin, eventually, get, playlist, reply, segment};
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
    let minute = Duration::from_secs(60);
    let shield = Shield::builder()
        .origin(upstream(&nobody))
        .origin(upstream(&format!("http://{}", server.http_addrs()[0])))
        // What is fetched ahead asks one origin alone: the dead one has to be known by then, and left alone.
        .health(HealthConfig::default().failures(2).cool_off(minute, minute))
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

/// What an origin says in `Location` is text from outside: it leads to what was configured, and to
/// nothing else that could be reached from here.
#[tokio::test]
async fn a_redirect_leads_nowhere_that_the_operator_did_not_name() {
    let (origin, storage, private) = (Origin::new(), Origin::new(), Origin::new());
    let private = private.otherwise(segment("secrets"));
    let servers = [&origin, &storage, &private].map(|origin| listen(origin.clone()));
    let [at, stored, hidden] = [0, 1, 2].map(|n: usize| servers[n].http_addrs()[0]);
    let to = |location: String| reply(302).header("location", location);
    let origin = origin
        .on("/here", to("/segment?x=1".into()))
        .on("/segment?x=1", segment("of the origin"))
        .on("/stored", to(format!("http://{stored}/segment")))
        .on("/metadata", to("http://169.254.169.254/latest/meta-data/".into()))
        .on("/scheme", to(format!("https://{at}/segment?x=1")))
        .on("/file", to("file:///etc/hostname".into()))
        .on("/name", to(format!("http://localhost:{}/", hidden.port())))
        .on("/user", to(format!("http://{at}@{hidden}/")))
        .on("/address", to(format!("//{hidden}/")))
        .on("/round", to("/round".into()));
    let storage = storage.on("/segment", segment("of the storage"));
    let upstream = || {
        Upstream::builder(format!("http://{at}"))
            .field("x-origin-secret".parse().unwrap(), "s3cret".parse().unwrap())
    };
    let storage_client = Upstream::builder(format!("http://{stored}")).build().unwrap();
    let follows = upstream().redirects(Redirects::Follow(3)).redirects_to(storage_client).build();
    let ask = async |client: &Upstream, path: &str| {
        let request = Request::get(path).header("authorization", "Bearer of the client");
        let answer = client.clone().oneshot(request.body(Body::empty()).unwrap()).await?;
        let status = answer.status();
        let body = answer.into_body().collect(1000).await.unwrap().to_bytes();
        Ok::<_, UpstreamError>((status.as_u16(), String::from_utf8(body.to_vec()).unwrap()))
    };
    let follows = follows.unwrap();

    assert_eq!(ask(&follows, "/here").await.unwrap(), (200, "of the origin".into()));
    assert_eq!(origin.headers_of("/segment?x=1")["x-origin-secret"], "s3cret");
    assert_eq!(origin.headers_of("/segment?x=1")["authorization"], "Bearer of the client");
    assert_eq!(ask(&follows, "/stored").await.unwrap(), (200, "of the storage".into()));
    let given = storage.headers_of("/segment");
    assert!(!given.contains_key("x-origin-secret") && !given.contains_key("authorization"));

    for path in ["/metadata", "/scheme", "/file", "/name", "/user", "/address", "/round"] {
        let refused = ask(&follows, path).await;
        assert!(matches!(refused, Err(UpstreamError::Redirect)), "{path}: {refused:?}");
    }
    assert!(private.seen().is_empty(), "{:?}", private.seen());
    assert_eq!(origin.times("/round"), 4);

    let refuses = upstream().redirects(Redirects::Refuse).build().unwrap();
    assert!(matches!(ask(&refuses, "/here").await, Err(UpstreamError::Redirect)));
    assert_eq!(ask(&upstream().build().unwrap(), "/here").await.unwrap().0, 302, "passed on");
    for server in servers {
        server.drain(Duration::from_secs(5)).await;
    }
}
