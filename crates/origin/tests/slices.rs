//! What slices cost where a file holds many segments, at the origin and for who begins somewhere: of one size,
//! and as they are cut where the shield knows the segments. Counted, on a scale of 1 to 64.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]
#![allow(clippy::print_stdout, reason = "the figures are in docs/shield.md")]

mod support;

use std::convert::Infallible;
use std::fmt::Write as _;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use headwater_cache::{Cache, Downstream, Joints};
use headwater_net::Body;
use headwater_net::range::{Selection, content_range, select};
use headwater_origin::{PrefetchConfig, Shield};
use http::request::Parts;
use http::{Request, Response, StatusCode, header};
use support::{get, get_with, settle};
use tower::service_fn;

/// A slice of 4 MiB, and what is stored in one piece, on this scale.
const SLICE: usize = 64 << 10;
const MAX_OBJECT: usize = 1 << 20;
/// The init segment.
const INIT: usize = 800;

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    /// 128 segments, 8 minutes and a half of 4 Mbit/s on average: each from half of that to one and a half.
    Pictures,
    /// 800 segments of 96 KiB: an hour and a half of 128 kbit/s.
    Sound,
}

impl Of {
    fn segments(self) -> Vec<Range<usize>> {
        let (mut at, mut drawn) = (INIT, 1_u32);
        let lengths = (0..if self == Self::Sound { 800 } else { 128 }).map(|_| {
            drawn = drawn.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if self == Self::Sound { 1536 } else { (16 << 10) + (drawn >> 17) as usize }
        });
        lengths
            .map(|length| {
                at += length;
                at - length..at
            })
            .collect()
    }

    fn playlist(self) -> String {
        let mut text = "#EXTM3U\n#EXT-X-VERSION:4\n#EXT-X-TARGETDURATION:4\n".to_owned();
        writeln!(text, "#EXT-X-MAP:URI=\"film.mp4\",BYTERANGE=\"{INIT}@0\"").unwrap();
        for Range { start, end } in self.segments() {
            let length = end - start;
            write!(text, "#EXTINF:4,\n#EXT-X-BYTERANGE:{length}@{start}\nfilm.mp4\n").unwrap();
        }
        text + "#EXT-X-ENDLIST\n"
    }
}

/// How the file is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    /// In slices of one size.
    OneSize,
    /// In slices of as many whole segments as are no longer than this.
    UpTo(usize),
    /// As a shield does it.
    Shield,
}

/// Joints that are made up.
struct Given(Option<Vec<u64>>);

impl Joints for Given {
    fn joints(&self, _: &Parts) -> Option<Vec<u64>> {
        self.0.clone()
    }
}

impl Cut {
    /// What the cache is told in the place of what the shield tells.
    fn given(self, of: Of) -> Option<Given> {
        let most = match self {
            Self::OneSize => return Some(Given(None)),
            Self::UpTo(most) => most,
            Self::Shield => return None,
        };
        let (mut joints, mut end) = (vec![INIT as u64], INIT);
        for segment in of.segments() {
            if segment.end - joints.last().map_or(0, |at| *at as usize) > most {
                joints.push(end as u64);
            }
            end = segment.end;
        }
        joints.push(end as u64);
        Some(Given(Some(joints)))
    }
}

/// What the origin sent of segments: of each request what it was for.
type Sent = Arc<Mutex<Vec<Range<usize>>>>;

fn shield(of: Of, cut: Cut, sent: &Sent) -> Shield {
    let file = Bytes::from(vec![7; of.segments().last().unwrap().end]);
    let sent = Arc::clone(sent);
    let origin = service_fn(move |request: Request<Body>| {
        let typed = |kind: &str| Response::builder().header(header::CONTENT_TYPE, kind);
        let answer = if request.uri().path() == "/film.m3u8" {
            typed("application/vnd.apple.mpegurl").body(Body::from(of.playlist())).unwrap()
        } else {
            let answer = typed("video/mp4").header(header::ETAG, "\"v1\"");
            let answer = answer.header(header::CACHE_CONTROL, "max-age=3600");
            let size = file.len() as u64;
            let (answer, part) = match select(request.headers().get(header::RANGE), size) {
                Selection::Part(part) => (
                    answer
                        .status(StatusCode::PARTIAL_CONTENT)
                        .header(header::CONTENT_RANGE, content_range(&part, Some(size))),
                    part.start as usize..part.end as usize,
                ),
                _ => (answer, 0..file.len()),
            };
            sent.lock().unwrap().push(part.clone());
            answer.body(Body::from(file.slice(part))).unwrap()
        };
        std::future::ready(Ok::<_, Infallible>(answer))
    });
    let cache = Cache::builder().name("shield").slice(SLICE as u64).max_object(MAX_OBJECT as u64);
    let cache = cache.downstream(Downstream::Caches).build();
    if let Some(given) = cut.given(of) {
        // The first that is told holds.
        cache.align(given);
    }
    Shield::builder().origin(origin).cache(cache).prefetch(PrefetchConfig::off()).build()
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

async fn watch(of: Of, cut: Cut, starts: impl IntoIterator<Item = usize>, many: usize) -> Cost {
    let mut cost = Cost::default();
    let all = of.segments();
    for first in starts {
        let sent = Sent::default();
        let shield = shield(of, cut, &sent);
        assert_eq!(get(&shield, "/film.m3u8").await.status, 200);
        // As any viewer's first request: the init segment, which tells how long the file is.
        let init = get_with(&shield, "/film.mp4", &[("range", "bytes=0-799")]).await;
        assert_eq!(init.status, 206);
        settle().await;
        sent.lock().unwrap().clear();
        for (at, range) in all.iter().enumerate().skip(first).take(many) {
            let field = format!("bytes={}-{}", range.start, range.end - 1);
            let answer = get_with(&shield, "/film.mp4", &[("range", &field)]).await;
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

/// The costs of who plays on, of who watches five segments, and of who watches one.
async fn costs(of: Of, cut: Cut) -> [Cost; 3] {
    let last = of.segments().len() - 8;
    // Behind the first slices, which the first request may have brought.
    let somewhere = || (8..last).step_by(if of == Of::Sound { 97 } else { 3 });
    let costs = [
        watch(of, cut, [4], last).await,
        watch(of, cut, somewhere(), 5).await,
        watch(of, cut, somewhere(), 1).await,
    ];
    for (who, cost) in ["plays on", "five segments", "one segment"].iter().zip(&costs) {
        println!(
            "| {of:?} | {cut:?} | {who} | {:.2} | {:.2} | {:.2} |",
            cost.requests_a_segment(),
            cost.bytes_a_byte(),
            cost.mib_before()
        );
    }
    costs
}

#[tokio::test]
async fn slices_of_one_size_are_few_requests_and_a_wait_at_each_start() {
    let [on, some, one] = costs(Of::Pictures, Cut::OneSize).await;
    // Two segments a slice: half the requests, and nothing twice.
    assert!(on.requests_a_segment() < 0.6 && on.bytes_a_byte() < 1.03, "{on:?}");
    assert!(some.requests_a_segment() < 1.0 && some.bytes_a_byte() < 1.6, "{some:?}");
    assert!(one.bytes_a_byte() < 4.0, "{one:?}");
    // Half a slice on average.
    assert!((4..6).contains(&(one.before / one.starts * 10 / SLICE)), "{one:?}");
    let [on, _, one] = costs(Of::Sound, Cut::OneSize).await;
    assert!(on.requests_a_segment() < 0.05 && one.bytes_a_byte() > 20.0, "{on:?} {one:?}");
}

#[tokio::test]
async fn nobody_waits_at_a_start_where_the_segments_are_known() {
    for cost in costs(Of::Pictures, Cut::Shield).await {
        assert_eq!((cost.requests, cost.bytes, cost.before), (cost.segments, cost.watched, 0));
    }
    // Small ones are drawn together, up to the sixteenth part of a slice.
    let [on, some, one] = costs(Of::Sound, Cut::Shield).await;
    assert!(on.requests_a_segment() < 0.55, "{on:?}");
    assert!(some.bytes_a_byte() < 1.4 && one.bytes_a_byte() < 2.1, "{some:?} {one:?}");
    assert!(one.before / one.starts < SLICE / 32, "{one:?}");
}

/// What was thought of and not done: as many whole segments in a slice as fit.
#[tokio::test]
async fn slices_of_several_segments_are_fewer_requests_and_a_wait() {
    for of in [Of::Pictures, Of::Sound] {
        for part in [1, 4] {
            let [on, _, one] = costs(of, Cut::UpTo(SLICE / part)).await;
            assert!(one.before / one.starts < SLICE / part, "{on:?} {one:?}");
        }
    }
}
