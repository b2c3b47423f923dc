//! What slices of one size cost where a file holds many segments, against slices that end where the segments do:
//! at the origin, and for who begins somewhere. Counted, on a scale of 1 to 64.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]
#![allow(clippy::print_stdout, reason = "the figures are in docs/shield.md")]

mod support;

use std::convert::Infallible;
use std::fmt::Write as _;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use headwater_cache::{Cache, Downstream};
use headwater_net::Body;
use headwater_net::range::{Selection, content_range, select};
use headwater_origin::{PrefetchConfig, Shield};
use http::{Request, Response, StatusCode, header};
use support::{get, get_with, settle};
use tower::service_fn;

/// A slice of 4 MiB, and what is stored in one piece, on this scale.
const SLICE: usize = 64 << 10;
const MAX_OBJECT: usize = 1 << 20;
const SEGMENTS: usize = 128;

/// The segments of a file of 8 minutes and a half, 4 Mbit/s on average: each from half of that to one and a half.
fn segments() -> Vec<Range<usize>> {
    let (mut at, mut drawn) = (800, 1_u32);
    let mut all = Vec::new();
    for _ in 0..SEGMENTS {
        drawn = drawn.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let length = (16 << 10) + (drawn >> 17) as usize;
        all.push(at..at + length);
        at += length;
    }
    all
}

/// Where a segment is: a part of the one file, or a file of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    InSlices,
    Aligned,
}

/// What the origin sent of segments: requests, bytes, and of each request what it was for.
type Sent = Arc<Mutex<Vec<Range<usize>>>>;

fn playlist() -> String {
    let mut text = "#EXTM3U\n#EXT-X-VERSION:4\n#EXT-X-TARGETDURATION:4\n".to_owned();
    for range in segments() {
        let length = range.len();
        write!(text, "#EXTINF:4,\n#EXT-X-BYTERANGE:{length}@{}\nfilm.mp4\n", range.start).unwrap();
    }
    text + "#EXT-X-ENDLIST\n"
}

fn shield(sent: &Sent) -> Shield {
    let (file, sent) = (Bytes::from(vec![7; segments().last().unwrap().end]), Arc::clone(sent));
    let origin = service_fn(move |request: Request<Body>| {
        let path = request.uri().path().to_owned();
        let of = |kind: &str| Response::builder().header(header::CONTENT_TYPE, kind);
        let number = path.strip_prefix("/").and_then(|name| name.strip_suffix(".m4s"));
        let whole = match number.map(|number| number.parse::<usize>().unwrap()) {
            Some(number) => segments()[number].clone(),
            None => 0..file.len(),
        };
        let answer = if path == "/film.m3u8" {
            of("application/vnd.apple.mpegurl").body(Body::from(playlist())).unwrap()
        } else {
            let answer = of("video/mp4").header(header::ETAG, "\"v1\"");
            let answer = answer.header(header::CACHE_CONTROL, "max-age=3600");
            let size = whole.len() as u64;
            let range = request.headers().get(header::RANGE);
            let (answer, part) = match select(range, size) {
                Selection::Part(part) => (
                    answer
                        .status(StatusCode::PARTIAL_CONTENT)
                        .header(header::CONTENT_RANGE, content_range(&part, Some(size))),
                    whole.start + part.start as usize..whole.start + part.end as usize,
                ),
                _ => (answer, whole),
            };
            sent.lock().unwrap().push(part.clone());
            answer.body(Body::from(file.slice(part))).unwrap()
        };
        std::future::ready(Ok::<_, Infallible>(answer))
    });
    let cache = Cache::builder().name("shield").slice(SLICE as u64).max_object(MAX_OBJECT as u64);
    Shield::builder()
        .origin(origin)
        .cache(cache.downstream(Downstream::Caches).build())
        .prefetch(PrefetchConfig::off())
        .build()
}

/// What viewers cost who begin at these segments, before a cold shield each, and watch so many.
#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    segments: usize,
    watched: usize,
    requests: usize,
    bytes: usize,
    /// Bytes of the origin that come before the first byte that the viewer has asked for.
    before: usize,
    starts: usize,
}

impl Cost {
    fn requests_a_segment(&self) -> f64 {
        self.requests as f64 / self.segments as f64
    }

    fn bytes_a_byte(&self) -> f64 {
        self.bytes as f64 / self.watched as f64
    }

    /// On the scale of the real thing.
    fn mib_before(&self) -> f64 {
        64.0 * self.before as f64 / self.starts as f64 / f64::from(1 << 20)
    }
}

async fn watch(kept: Kept, starts: impl IntoIterator<Item = usize>, many: usize) -> Cost {
    let mut cost = Cost::default();
    let all = segments();
    for first in starts {
        let sent = Sent::default();
        let shield = shield(&sent);
        assert_eq!(get(&shield, "/film.m3u8").await.status, 200);
        if kept == Kept::InSlices {
            // As any viewer's first request: the beginning of the file, which tells how long it is.
            let init = get_with(&shield, "/film.mp4", &[("range", "bytes=0-799")]).await;
            assert_eq!(init.status, 206);
            settle().await;
            sent.lock().unwrap().clear();
        }
        for (at, range) in all.iter().enumerate().skip(first).take(many) {
            let answer = match kept {
                Kept::InSlices => {
                    let field = format!("bytes={}-{}", range.start, range.end - 1);
                    get_with(&shield, "/film.mp4", &[("range", &field)]).await
                }
                Kept::Aligned => get(&shield, &format!("/{at}.m4s")).await,
            };
            assert_eq!(answer.body.unwrap().len(), range.len());
            if at == first {
                let sent = sent.lock().unwrap();
                let holds = sent.iter().find(|part| part.contains(&range.start));
                cost.before += holds.map_or(0, |part| range.start - part.start);
                cost.starts += 1;
            }
            cost.segments += 1;
            cost.watched += range.len();
        }
        settle().await;
        let sent = sent.lock().unwrap();
        cost.requests += sent.len();
        cost.bytes += sent.iter().map(Range::len).sum::<usize>();
    }
    cost
}

#[tokio::test]
async fn slices_of_one_size_are_fewer_requests_for_who_plays_on_and_more_bytes_for_who_looks_in() {
    // Behind the first slices, which the first request may have brought.
    let everywhere = || (8..SEGMENTS - 8).step_by(3);
    let mut costs = Vec::new();
    for (who, many) in [("plays on", SEGMENTS), ("watches 20 s", 5), ("one segment", 1)] {
        for kept in [Kept::InSlices, Kept::Aligned] {
            let cost = match many {
                SEGMENTS => watch(kept, [4], SEGMENTS).await,
                _ => watch(kept, everywhere(), many).await,
            };
            println!(
                "| {who} | {kept:?} | {:.2} | {:.2} | {:.1} |",
                cost.requests_a_segment(),
                cost.bytes_a_byte(),
                cost.mib_before()
            );
            costs.push(cost);
        }
    }
    let [on, on_aligned, some, some_aligned, one, one_aligned] = costs[..] else { panic!() };
    for aligned in [on_aligned, some_aligned, one_aligned] {
        assert_eq!((aligned.requests, aligned.bytes), (aligned.segments, aligned.watched));
        assert_eq!(aligned.before, 0);
    }
    // Two segments a slice: half the requests, and nothing twice.
    assert!(on.requests_a_segment() < 0.6 && on.bytes_a_byte() < 1.02, "{on:?}");
    assert!(some.requests_a_segment() < 1.0 && some.bytes_a_byte() < 1.6, "{some:?}");
    assert!(one.bytes_a_byte() < 4.0, "{one:?}");
    // Half a slice on average, and less than one always.
    assert!(one.before / one.starts < SLICE * 6 / 10, "{one:?}");
}
