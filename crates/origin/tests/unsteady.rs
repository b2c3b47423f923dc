//! Plays about origins that are not steady: lengths that are not true, a body that drips, one that goes up and
//! down.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod support;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use headwater_net::client::Upstream;
use headwater_net::{Body, BodyError, Clock, Timestamp};
use headwater_origin::Shield;
use headwater_origin::upstream::HealthConfig;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use support::{Origin, Reply, get, segment};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tower::{ServiceExt as _, service_fn};

/// An origin over a socket that answers each connection's first request with these bytes, and ends it.
async fn wire(says: &'static str) -> (Upstream, Arc<AtomicUsize>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = Upstream::builder(format!("http://{}", listener.local_addr().unwrap()));
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let Ok(byte) = stream.read_u8().await else { break };
                request.push(byte);
            }
            count.fetch_add(1, Ordering::SeqCst);
            let _ = stream.write_all(says.as_bytes()).await;
        }
    });
    (upstream.build().unwrap(), asked)
}

/// RFC 9112 §6.3: what ends before its length is not complete, and what follows it is no answer to another.
#[tokio::test]
async fn a_length_that_is_not_true_is_neither_stored_nor_taken_for_another_answer() {
    let long =
        "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 20\r\n\r\n0123456789";
    let (origin, asked) = wire(long).await;
    let shield = Shield::builder().origin(origin).build();
    for times in 1..=2 {
        let answer = get(&shield, "/s.m4s").await;
        assert!(answer.body.is_err(), "it looked complete: {answer:?}");
        assert_eq!(asked.load(Ordering::SeqCst), times, "it was stored");
    }

    // What is behind its five bytes looks like an answer to the next request.
    let short = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n01234\
                 HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    let (origin, asked) = wire(short).await;
    let shield = Shield::builder().origin(origin).build();
    for times in 1..=3 {
        assert_eq!(get(&shield, &format!("/{times}.m4s")).await.text(), "01234");
        assert_eq!(asked.load(Ordering::SeqCst), times, "each has a connection of its own");
    }
}

/// A service of the same process, whose body is longer or shorter than its head says.
#[tokio::test]
async fn a_length_that_a_service_says_wrong_is_no_answer_and_is_not_stored() {
    for length in ["4", "20"] {
        let wrong = segment("0123456789").header("content-length", length).unmeasured();
        let origin = Origin::new().otherwise(wrong);
        let shield = Shield::builder().origin(origin.clone()).build();
        for times in 1..=2 {
            let answer = get(&shield, "/s.m4s").await;
            assert!(answer.body.is_err(), "{length} looked complete: {answer:?}");
            assert_eq!(origin.times("/s.m4s"), times, "it was stored");
        }
    }
}

/// One byte a second.
fn drip(text: &'static str) -> Response<Body> {
    let bytes = futures_util::stream::unfold(0, move |at| async move {
        let byte = text.get(at..=at)?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        Some((Ok::<_, BodyError>(Frame::data(Bytes::from_static(byte.as_bytes()))), at + 1))
    });
    let answer = Response::builder().header("cache-control", "max-age=3600");
    let answer = answer.header("content-length", text.len());
    answer.body(Body::stream(StreamBody::new(bytes))).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_body_that_drips_reaches_all_who_ask_as_it_comes_and_is_fetched_once() {
    const TEXT: &str = "a body of thirty-two slow bytes.";
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let origin = service_fn(move |_: Request<Body>| {
        count.fetch_add(1, Ordering::SeqCst);
        std::future::ready(Ok::<_, Infallible>(drip(TEXT)))
    });
    let shield = Shield::builder().origin(origin).build();
    let request =
        || Request::get("/s.m4s").header("host", "video.example").body(Body::empty()).unwrap();
    let mut first = shield.clone().oneshot(request()).await.unwrap().into_body();
    let began = tokio::time::Instant::now();
    let frame = first.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!((&*frame, began.elapsed().as_secs()), (&b"a"[..], 1), "it comes as it drips");
    tokio::time::sleep(Duration::from_secs(10)).await;
    // This one has eleven bytes at once, and the rest as it comes.
    let second = shield.clone().oneshot(request()).await.unwrap().into_body();
    let second = second.collect(100).await.unwrap().to_bytes();
    assert_eq!((&*second, began.elapsed().as_secs()), (TEXT.as_bytes(), 32));
    assert_eq!(first.collect(100).await.unwrap().to_bytes(), &TEXT[1..]);
    assert_eq!(get(&shield, "/s.m4s").await.text(), TEXT);
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn an_origin_that_goes_up_and_down_is_asked_less_and_nobody_notices() {
    let clock = Clock::manual(Timestamp::from_secs(1_700_000_000));
    let flapping = Origin::new().otherwise(segment("first"));
    let second = Origin::new().otherwise(segment("second"));
    let cool_off = Duration::from_secs(2);
    let shield = Shield::builder()
        .origin(flapping.clone())
        .origin(second.clone())
        .health(HealthConfig::default().failures(1).cool_off(cool_off, cool_off * 8))
        .clock(clock.clone())
        .build();
    let mut asked = 0;
    let mut ask = async |seconds: u64| {
        let before = flapping.seen().len();
        for _ in 0..seconds {
            asked += 1;
            let answer = get(&shield, &format!("/{asked}.m4s")).await;
            assert_eq!(answer.status, 200);
            clock.advance(Duration::from_secs(1));
        }
        flapping.seen().len() - before
    };
    assert_eq!(ask(10).await, 10);
    let down = |down: bool| {
        let reply = if down { Reply::refuse() } else { segment("first") };
        drop(flapping.clone().otherwise(reply));
    };
    down(true);
    // At once, and after 2, 4, 8 and 16 s.
    assert_eq!(ask(31).await, 5, "it is tried, and less and less");
    down(false);
    // Its next trial is 16 s after the last.
    assert_eq!(ask(20).await, 5, "it leads again from its first success on");
    down(true);
    assert_eq!(ask(3).await, 2, "the first cool-off is short again");
    down(false);
    assert!(ask(20).await >= 16);
    assert_eq!(shield.metrics().origins_down.get(), 0);
}
