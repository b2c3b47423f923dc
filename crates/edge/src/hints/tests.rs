//! What is noted, what is left out, and what is sent.
#![allow(clippy::unwrap_used, reason = "tests may fail loudly")]

use std::convert::Infallible;

use headwater_net::Body;
use headwater_net::rendezvous::Like;
use tower::{ServiceExt, service_fn};

use super::*;

const HIT: (&str, &str) = ("video/mp4", "edge; hit; ttl=9");
const MISS: (&str, &str) = ("video/mp4", "edge; fwd=uri-miss; stored");

/// A request, with what its answer is: its type and what the cache made of it.
type Ask<'a> = (&'a str, &'a [(&'a str, &'a str)], Said);

/// The type of an answer, and what the cache made of its request.
type Said = (&'static str, &'static str);

/// The service of a worker that is answered what its requests say.
fn worker(
    hints: &Hints,
) -> impl Service<Request<Said>, Response = Response<()>, Error = Infallible> + Clone + use<> {
    HintLayer::new(hints).layer(service_fn(|request: Request<Said>| async {
        let (kind, status) = request.into_body();
        let mut response = Response::builder().header("cache-status", status);
        if !kind.is_empty() {
            response = response.header("content-type", kind);
        }
        Ok::<_, Infallible>(response.body(()).unwrap())
    }))
}

async fn ask(worker: &(impl Service<Request<Said>> + Clone), (uri, fields, answer): &Ask<'_>) {
    let mut request = Request::get(*uri).header("host", "Video.example");
    for (name, value) in *fields {
        request = request.header(*name, *value);
    }
    assert!(worker.clone().oneshot(request.body(*answer).unwrap()).await.is_ok());
}

async fn noted(asks: &[Ask<'_>]) -> Vec<Hint> {
    let (hints, _sender) = Hints::builder().build(());
    let worker = worker(&hints);
    for one in asks {
        ask(&worker, one).await;
    }
    hints.inner.take()
}

#[tokio::test]
async fn hits_of_media_are_noted_once_for_all_who_ask() {
    let all = noted(&[
        ("/a/1.m4s?token=one", &[], HIT),
        ("/a/1.m4s?token=two&CMCD=sid%3D%22secret%22", &[("range", "bytes=5-")], HIT),
        ("http://video.example/a/1.m4s?%74oken=three", &[], HIT),
        ("/a/2.m4s", &[], MISS),
        ("/style.css", &[], ("text/css", "edge; hit; ttl=9")),
        ("/a/main.m3u8", &[], ("application/vnd.apple.mpegurl", "edge; hit; ttl=9")),
    ])
    .await;
    let told: Vec<_> = all.iter().map(|hint| (&hint.location[..], hint.requests)).collect();
    assert_eq!(told, [("//video.example/a/1.m4s", 3)]);
    assert_eq!(all[0].first_byte, Some(5));
    let (text, _) = headwater_proto::hints::write(&all);
    for private in ["one", "two", "three", "secret", "token"] {
        assert!(!text.contains(private), "{private} in {text}");
    }
}

/// One that sees every request itself is told what players told, and of nothing else.
#[tokio::test]
async fn where_the_shield_sees_requests_itself_only_what_players_tell_is_noted() {
    let (own, _sender) = Hints::builder().told_only(true).build(());
    let (far, _sender) = Hints::builder().build(());
    let worker = HintLayer::new(&own).and(&far).layer(service_fn(|_: Request<Said>| async {
        let response = Response::builder().header("content-type", HIT.0);
        Ok::<_, Infallible>(response.header("cache-status", HIT.1).body(()).unwrap())
    }));
    let named = [("cmcd-request", "nor=\"2.m4s\"")];
    for (path, fields) in [("/a/1.m4s", &named[..]), ("/b/1.m4s", &[])] {
        ask(&worker, &(path, fields, HIT)).await;
    }
    let told = |hints: &Hints| -> Vec<_> {
        hints.inner.take().into_iter().map(|hint| (hint.location, hint.next.len())).collect()
    };
    let (with, without) = ("//video.example/a/1.m4s", "//video.example/b/1.m4s");
    assert_eq!(told(&own), [(with.to_owned(), 1)]);
    assert_eq!(told(&far), [(with.to_owned(), 1), (without.to_owned(), 0)]);
}

/// S3 calls `binary/octet-stream` what nobody gave a type, others `application/octet-stream`, and a plain
/// server says nothing of what it does not know.
#[tokio::test]
async fn what_has_no_type_of_its_own_is_media_by_its_name() {
    let hit = "edge; hit; ttl=9";
    for (path, kind, is_media) in [
        ("/a/1.m4s", "binary/octet-stream", true),
        ("/a/1.TS", "application/octet-stream", true),
        ("/a/1.m4a", "Application/Octet-Stream; x=y", true),
        ("/a/init.mp4", "", true),
        ("/a/1.m4s?x=1", "", true),
        ("/a/1", "binary/octet-stream", false),
        ("/a/main.m3u8", "binary/octet-stream", false),
        ("/a/main.mpd", "", false),
        ("/a/key.key", "application/octet-stream", false),
        ("/a/x.zip?f=1.m4s", "application/octet-stream", false),
        ("/a/page.ts", "text/javascript", false),
        ("/a/1", "Video/MP2T", true),
        ("/a/1", "application/mp4", true),
        ("/a/list", "audio/mpegurl", false),
    ] {
        let all = noted(&[(path, &[], (kind, hit))]).await;
        assert_eq!(all.len(), usize::from(is_media), "{path} of type {kind}");
    }
}

#[tokio::test]
async fn what_players_tell_is_noted_of_misses_too() {
    let all = noted(&[
        ("/a/2.m4s?x=1&CMCD=mtp%3D2500%2Cnor%3D%223.m4s%22", &[], MISS),
        (
            "/a/4.m4s",
            &[
                ("cmcd-request", "mtp=(900),nor=(\"5.m4s\";r=\"0-9\")"),
                ("cmcd-session", "sid=\"secret\",v=2"),
            ],
            MISS,
        ),
        ("/a/6.m4s?CMCD=mtp%3D2500%2C%2C", &[], MISS),
        ("/a/8.m4s?CMCD=bl%3D700", &[], MISS),
    ])
    .await;
    let (text, _) = headwater_proto::hints::write(&all);
    assert_eq!(
        text,
        "headwater-hints 1\n//video.example/a/2.m4s?x=1 k=1 t=2500-2500 n=/a/3.m4s\n\
         //video.example/a/4.m4s k=1 t=900-900 n=/a/5.m4s r=0-9\n\
         //video.example/a/8.m4s k=1 d=700\n"
    );
}

#[test]
fn a_path_shows_what_it_bears_once_much_went_through() {
    assert_eq!(bound(512_500, 64 << 10), Some(4100));
    assert_eq!(bound(512_500, (64 << 10) - 1), None);
    assert_eq!(bound(u64::MAX, u64::MAX), Some(MAX_PATH));
    assert_eq!(bound(0, 1 << 20), Some(0));
}

/// By a real connection. On the loopback interface a window begins with more than much.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn what_the_path_to_a_client_bears_is_told_where_its_player_told_nothing() {
    let (hints, _sender) = Hints::builder().build(());
    let layer = HintLayer::new(&hints);
    let answer = service_fn(|request: Request<Body>| async move {
        let bytes = vec![7; if request.uri().path() == "/small" { 64 << 10 } else { 100 << 10 }];
        let response = Response::builder()
            .header("content-type", HIT.0)
            .header("cache-status", HIT.1)
            .header("content-length", bytes.len());
        Ok::<_, Infallible>(response.body(Body::from(bytes)).unwrap())
    });
    let server = headwater_net::server::Server::builder().http("127.0.0.1:0").workers(1);
    let server = server.serve(move |_| layer.layer(answer)).unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for (target, is_told) in
        [("/large", true), ("/small", false), ("/large?CMCD=mtp%3D2500", false)]
    {
        let url = format!("http://{}{target}", server.http_addrs()[0]);
        let bytes = client.get(url).send().await.unwrap().bytes().await.unwrap();
        assert!(bytes.len() >= 64 << 10);
        let all = hints.inner.take();
        assert_eq!(all.len(), 1, "{target}");
        assert_eq!(all[0].path.is_some(), is_told, "{target}: {all:?}");
        assert_eq!(all[0].throughput.is_some(), target.contains("CMCD"));
    }
    server.drain(Duration::from_secs(60)).await;
}

/// What a player names is a stranger's word: it tells of nobody, and of nothing that the player could
/// not ask for itself.
#[tokio::test]
async fn next_objects_are_what_the_player_could_ask_for() {
    let locate = |uri: &Uri, _: &str| {
        let path = uri.path_and_query()?.as_str().strip_prefix("/media")?;
        Some(("shield".to_owned(), path.parse().ok()?))
    };
    let (hints, _sender) = Hints::builder().locate(locate).build(());
    let worker = worker(&hints);
    let nor = r#"("2.m4s?token=me&x=1" "../../admin" "%2e%2e/%2e%2e/admin" "//other/3")"#;
    let fields = [("cmcd-request", &*format!("v=2,nor={nor}"))];
    ask(&worker, &("/media/a/1.m4s", &fields, MISS)).await;
    let fields = [("cmcd-request", "nrr=\"5-9\"")];
    ask(&worker, &("/media/%7Ea/all.mp4", &fields, HIT)).await;
    let (text, _) = headwater_proto::hints::write(&hints.inner.take());
    assert_eq!(
        text,
        "headwater-hints 1\n//shield/a/1.m4s k=1 n=/a/2.m4s?x=1\n\
         //shield/~a/all.mp4 k=1 n= r=5-9\n"
    );
}

#[tokio::test(start_paused = true)]
async fn they_are_sent_and_what_is_not_taken_is_counted() {
    let (seen, mut sent) = tokio::sync::mpsc::channel(8);
    let shield = service_fn(move |request: Request<Body>| {
        let seen = seen.clone();
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect(1 << 20).await.unwrap().to_bytes();
            let second = body.windows(2).any(|two| two == b"/2");
            let _ = seen.send((head, body)).await;
            let mut response = Response::new(Body::empty());
            if second {
                *response.status_mut() = http::StatusCode::FORBIDDEN;
            }
            Ok::<_, Infallible>(response)
        }
    });
    let secret = HeaderValue::from_static("secret");
    let locate = |uri: &Uri, host: &str| {
        let path = uri.path().strip_prefix("/media")?;
        Some((format!("at.{host}"), path.parse().ok()?))
    };
    let (hints, sender) = Hints::builder().link(secret).locate(locate).build(shield);
    let worker = worker(&hints);
    let task = tokio::spawn(sender.run());
    ask(&worker, &("/media/1", &[], HIT)).await;
    let (head, body) = sent.recv().await.unwrap();
    assert_eq!((head.method.as_str(), head.uri.path()), ("POST", hints_path()));
    assert_eq!(head.headers["headwater-link"], "secret");
    assert!(head.extensions.get::<headwater_proto::hints::SameProcess>().is_some());
    assert_eq!(&body[..], b"headwater-hints 1\n//at.Video.example/1 k=1\n");
    for path in ["/elsewhere/1", "/media/2"] {
        ask(&worker, &(path, &[], HIT)).await;
    }
    sent.recv().await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let metrics = hints.metrics().clone();
    assert_eq!((metrics.sent.get(), metrics.failed.get(), metrics.dropped.get()), (1, 1, 0));
    assert_eq!(metrics.noted.get(), 2);
    drop((hints, worker));
    task.await.unwrap();
}

fn hints_path() -> &'static str {
    headwater_proto::hints::PATH
}

#[tokio::test]
async fn a_full_table_drops_and_counts() {
    let (hints, _sender) = Hints::builder().build(());
    let worker = worker(&hints);
    for number in 0..headwater_proto::hints::MAX_HINTS + 5 {
        ask(&worker, &(&format!("/{number}"), &[], HIT)).await;
    }
    assert_eq!(hints.inner.take().len(), headwater_proto::hints::MAX_HINTS);
    assert_eq!(hints.metrics().dropped.get(), 5);
}

#[tokio::test]
async fn each_shield_is_told_of_what_is_its_own() {
    let of = |host: &'static str| {
        let locate = move |uri: &Uri, named: &str| {
            named.eq_ignore_ascii_case(host).then(|| (host.to_owned(), uri.clone()))
        };
        Hints::builder().locate(locate).build(()).0
    };
    let (one, other) = (of("video.example"), of("other.example"));
    let worker = HintLayer::new(&one).and(&other).layer(service_fn(|_: Request<Said>| async {
        let response = Response::builder().header("content-type", HIT.0);
        Ok::<_, Infallible>(response.header("cache-status", HIT.1).body(()).unwrap())
    }));
    for uri in ["/a", "http://other.example/b"] {
        ask(&worker, &(uri, &[], HIT)).await;
    }
    let told = |hints: &Hints| -> Vec<_> {
        hints.inner.take().into_iter().map(|hint| hint.location).collect()
    };
    assert_eq!(told(&one), ["//video.example/a"]);
    assert_eq!(told(&other), ["//other.example/b"]);
}

#[tokio::test(start_paused = true)]
async fn shields_that_share_are_each_told_of_their_own_share() {
    let (seen, mut sent) = tokio::sync::mpsc::channel(8);
    let shields = service_fn(move |request: Request<Body>| {
        let seen = seen.clone();
        async move {
            let like = request.extensions().get::<Like>().map(|like| like.0.path().to_owned());
            let body = request.into_body().collect(1 << 20).await.unwrap().to_bytes();
            if body.windows(5).any(|part| part == b"/slow") {
                std::future::pending::<()>().await;
            }
            let text = String::from_utf8(body.to_vec()).unwrap();
            let _ = seen.send((like.unwrap(), text)).await;
            Ok::<_, Infallible>(Response::new(Body::empty()))
        }
    });
    let home = |uri: &Uri| Some(uri.path().split('/').nth(1)?.to_owned());
    let (hints, sender) = Hints::builder().home(home).build(shields);
    let worker = worker(&hints);
    let task = tokio::spawn(sender.run());
    for path in ["/slow/1", "/a/1", "/b/1", "/a/2"] {
        ask(&worker, &(path, &[], HIT)).await;
    }
    let mut told = Vec::new();
    for _ in 0..2 {
        let (like, text) = sent.recv().await.unwrap();
        let mut lines: Vec<_> = text.lines().skip(1).map(str::to_owned).collect();
        lines.sort_unstable();
        told.push((like.split('/').nth(1).unwrap().to_owned(), lines));
    }
    told.sort_unstable();
    let line = |path: &str| format!("//video.example{path} k=1");
    let of_a = ("a".to_owned(), vec![line("/a/1"), line("/a/2")]);
    assert_eq!(told, [of_a, ("b".to_owned(), vec![line("/b/1")])]);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let metrics = hints.metrics().clone();
    assert_eq!((metrics.sent.get(), metrics.failed.get(), metrics.dropped.get()), (3, 1, 0));
    drop((hints, worker));
    task.await.unwrap();
}
