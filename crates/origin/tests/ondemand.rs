//! Plays about files that hold a whole rendition each (DASH on demand): which bytes are which segment only
//! the index within the file tells.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod support;

use std::convert::Infallible;
use std::future::Future as _;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use headwater_cache::{Cache, Downstream};
use headwater_net::range::{Selection, content_range, select};
use headwater_net::{Body, BodyError};
use headwater_origin::map::Url;
use headwater_origin::{PrefetchConfig, Shield};
use http::{Request, Response, StatusCode, header};
use http_body::Frame;
use support::{Answer, eventually, get, get_with, settle};
use tokio::time::Sleep;
use tower::{ServiceExt as _, service_fn};

/// Bytes of the init segment, of the index, and of each of the six segments.
const INIT: usize = 300;
const INDEX: usize = 8 + 24 + 6 * 12;
const SEGMENT: usize = 1000;
const FIRST: usize = INIT + INDEX;
/// Two slices of the cache hold no segment wholly.
const SLICE: u64 = 512;

/// A file of six segments of two seconds.
fn file() -> Vec<u8> {
    let mut file = vec![7; INIT];
    file.extend((INDEX as u32).to_be_bytes());
    file.extend(b"sidx");
    for number in [0, 1, 1000, 0, 0, 6] {
        file.extend(u32::to_be_bytes(number));
    }
    for _ in 0..6 {
        file.extend([SEGMENT as u32, 2000, 0x9000_0000].into_iter().flat_map(u32::to_be_bytes));
    }
    file.extend((0..6 * SEGMENT).map(|at| (at / 11) as u8));
    file
}

fn manifest(remark: &str) -> String {
    let rendition = |name: &str, rate: u32| {
        format!(
            "<Representation id='{name}' bandwidth='{rate}'><BaseURL>{name}.mp4</BaseURL>\
             <SegmentBase indexRange='{INIT}-{}'><Initialization range='0-{}'/></SegmentBase>\
             </Representation>",
            FIRST - 1,
            INIT - 1
        )
    };
    format!(
        "<MPD mediaPresentationDuration='PT12S'><!--{remark}--><Period><AdaptationSet>{}{}\
         </AdaptationSet></Period></MPD>",
        rendition("low", 1_000_000),
        rendition("high", 4_000_000)
    )
}

/// An origin that gives parts, and what it was asked for.
#[derive(Clone, Default)]
struct Origin {
    asked: Arc<Mutex<Vec<String>>>,
    remark: Arc<Mutex<&'static str>>,
}

impl Origin {
    fn answer(&self, request: &Request<Body>) -> Response<Body> {
        let path = request.uri().path();
        let range = request.headers().get(header::RANGE);
        let shown = range.and_then(|range| range.to_str().ok()).unwrap_or("whole");
        self.asked.lock().unwrap().push(format!("{path} {shown}"));
        let answer = Response::builder().header(header::ETAG, "\"v1\"");
        if path == "/t/film.mpd" {
            let answer = answer.header(header::CONTENT_TYPE, "application/dash+xml");
            let answer = answer.header(header::CACHE_CONTROL, "no-store");
            return answer.body(Body::from(manifest(*self.remark.lock().unwrap()))).unwrap();
        }
        let answer = answer.header(header::CONTENT_TYPE, "video/mp4");
        let answer = answer.header(header::CACHE_CONTROL, "max-age=3600");
        let whole = file();
        let size = whole.len() as u64;
        match select(range, size) {
            Selection::Part(part) => answer
                .status(StatusCode::PARTIAL_CONTENT)
                .header(header::CONTENT_RANGE, content_range(&part, Some(size)))
                .body(Body::from(whole[part.start as usize..part.end as usize].to_vec())),
            _ => answer.header(header::CONTENT_LENGTH, size).body(Body::from(whole)),
        }
        .unwrap()
    }

    /// Bytes of a file that it was asked for in parts.
    fn asked_of(&self, path: &str) -> usize {
        let asked = self.asked.lock().unwrap();
        let parts = asked.iter().filter_map(|one| one.strip_prefix(path)?.strip_prefix(" bytes="));
        let length = |part: &str| {
            let (first, last) = part.split_once('-').unwrap();
            last.parse::<usize>().unwrap() + 1 - first.parse::<usize>().unwrap()
        };
        parts.map(length).sum()
    }
}

fn shield(origin: &Origin) -> Shield {
    shield_with(origin, PrefetchConfig::default().ahead(1))
}

fn shield_with(origin: &Origin, prefetch: PrefetchConfig) -> Shield {
    let answers = origin.clone();
    let origin = service_fn(move |request: Request<Body>| {
        let answer = answers.answer(&request);
        async move { Ok::<_, Infallible>(answer) }
    });
    // The files are too large to be kept whole.
    let cache = Cache::builder().name("shield").max_object(2 * SLICE).slice(SLICE);
    Shield::builder()
        .origin(origin)
        .cache(cache.downstream(Downstream::Caches).build())
        .prefetch(prefetch)
        .build()
}

async fn segment(shield: &Shield, name: &str, number: usize) -> Answer {
    let first = FIRST + number * SEGMENT;
    let range = format!("bytes={first}-{}", first + SEGMENT - 1);
    let answer = get_with(shield, &format!("/t/{name}.mp4"), &[("range", &range)]).await;
    assert_eq!(answer.status, 206);
    assert_eq!(answer.body.as_ref().unwrap()[..], file()[first..first + SEGMENT]);
    answer
}

fn knows(shield: &Shield, name: &str) -> bool {
    let url = Url::new("video.example", &format!("/t/{name}.mp4")).unwrap();
    let position = shield.map().lock().lookup(&url, Some((FIRST + SEGMENT) as u64));
    position.is_some_and(|position| position.index == 1)
}

#[tokio::test]
async fn the_segments_of_one_file_are_fetched_ahead_once_its_index_has_passed() {
    let origin = Origin::default();
    let shield = shield(&origin);
    get(&shield, "/t/film.mpd").await;
    eventually("the index was read", || knows(&shield, "low")).await;
    settle().await;
    assert!(segment(&shield, "low", 0).await.is_hit(), "players begin with it");
    for number in 1..5 {
        settle().await;
        let used = shield.metrics().prefetch_used.get();
        assert!(segment(&shield, "low", number).await.is_hit(), "{number}");
        assert_eq!(shield.metrics().prefetch_used.get(), used + 1, "{number}");
    }
    let beginning = format!("bytes=0-{}", INIT - 1);
    let used = shield.metrics().prefetch_used.get();
    assert!(get_with(&shield, "/t/low.mp4", &[("range", &beginning)]).await.is_hit());
    assert_eq!(shield.metrics().prefetch_used.get(), used + 1, "the init segment is no segment");
    settle().await;
    let most = FIRST + 6 * SEGMENT + SLICE as usize;
    assert!(origin.asked_of("/t/low.mp4") <= most, "{:?}", origin.asked.lock().unwrap());
    assert_eq!(shield.metrics().segment_requests.get(), 5);
}

/// The cache has the index: it does not pass again when the manifest does.
#[tokio::test]
async fn what_an_index_told_outlives_its_manifest() {
    let origin = Origin::default();
    let shield = shield(&origin);
    get(&shield, "/t/film.mpd").await;
    eventually("it was read", || knows(&shield, "low")).await;
    *origin.remark.lock().unwrap() = "another version";
    get(&shield, "/t/film.mpd").await;
    settle().await;
    assert!(knows(&shield, "low"));
    assert_eq!(shield.map().lock().len(), 1);
}

/// The first answer is held until the index in it is read, so that the file is cut where its segments are.
#[tokio::test]
async fn slices_end_where_the_segments_do_that_the_index_tells() {
    let origin = Origin::default();
    let shield = shield_with(&origin, PrefetchConfig::off());
    get(&shield, "/t/film.mpd").await;
    let beginning = format!("bytes=0-{}", INIT - 1);
    get_with(&shield, "/t/low.mp4", &[("range", &beginning)]).await;
    assert!(knows(&shield, "low"));
    settle().await;
    origin.asked.lock().unwrap().clear();
    segment(&shield, "low", 3).await;
    settle().await;
    let first = FIRST + 3 * SEGMENT;
    let part = |from: usize, to: usize| format!("/t/low.mp4 bytes={from}-{}", to - 1);
    let expected =
        [part(first, first + SLICE as usize), part(first + SLICE as usize, first + SEGMENT)];
    assert_eq!(*origin.asked.lock().unwrap(), expected);
}

/// A body whose second piece takes its time.
struct Late {
    pieces: Vec<Bytes>,
    sleep: Pin<Box<Sleep>>,
}

impl http_body::Body for Late {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.pieces.len() == 1 {
            std::task::ready!(self.sleep.as_mut().poll(cx));
        }
        Poll::Ready(self.pieces.pop().map(|piece| Ok(Frame::data(piece))))
    }
}

#[tokio::test(start_paused = true)]
async fn an_index_that_does_not_come_holds_an_answer_up_for_a_moment() {
    let origin = service_fn(|request: Request<Body>| async move {
        if request.uri().path() == "/t/film.mpd" {
            return Ok(Origin::default().answer(&request));
        }
        let whole = Bytes::from(file());
        let pieces = vec![whole.slice(INIT + 7..), whole.slice(..INIT + 7)];
        let body = Late { pieces, sleep: Box::pin(tokio::time::sleep(Duration::from_secs(20))) };
        let body = Body::stream(body);
        let answer = Response::builder().header(header::CACHE_CONTROL, "max-age=3600");
        let answer = answer.header(header::CONTENT_LENGTH, file().len());
        Ok::<_, Infallible>(answer.body(body).unwrap())
    });
    let shield = Shield::builder().origin(origin).prefetch(PrefetchConfig::off()).build();
    get(&shield, "/t/film.mpd").await;
    let began = tokio::time::Instant::now();
    let request = Request::get("http://video.example/t/low.mp4").body(Body::empty()).unwrap();
    let answer = shield.clone().oneshot(request).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(answer.into_body().collect(1 << 20).await.unwrap().to_bytes(), file());
    assert!(knows(&shield, "low"), "it was read when it came");
}
