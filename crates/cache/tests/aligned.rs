//! Slices that end where what lies in a response does: whatever the joints and the ranges, each client gets
//! its bytes, and none is fetched twice.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]
#![allow(clippy::single_range_in_vec_init, reason = "one part was asked for")]

mod common;

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use common::{Origin, Stand, cache_status, field, request, stand_with, until};
use headwater_cache::{Disk, Joints, Policy};
use headwater_net::Body;
use headwater_net::range::{Selection, content_range, select};
use http::Response;
use http::request::Parts;
use proptest::prelude::*;
use tower::ServiceExt as _;

const SLICE: u64 = 1000;
const LEN: u64 = 10_500;

fn bytes(version: u64, part: Range<u64>) -> Vec<u8> {
    part.map(|at| (version * 91 + at * 7 + (at >> 8)) as u8).collect()
}

/// A film of a version that changes, and the bytes that were asked for.
#[derive(Clone, Default)]
struct Film {
    version: Arc<AtomicU64>,
    asked: Arc<Mutex<Vec<Range<u64>>>>,
    /// Does not confirm, but sends anew.
    forgetful: bool,
}

impl Film {
    fn origin(&self) -> Origin {
        let this = self.clone();
        Origin::new(move |parts| this.answer(parts))
    }

    fn answer(&self, parts: &Parts) -> Response<Body> {
        let version = self.version.load(Ordering::Relaxed);
        let etag = format!("\"{version}\"");
        let response =
            Response::builder().header("cache-control", "max-age=60").header("etag", &etag);
        let same = parts.headers.get("if-none-match").is_some_and(|tag| *tag == *etag);
        if same && !self.forgetful {
            return response.status(304).body(Body::empty()).unwrap();
        }
        let named = parts.headers.get("if-range").is_none_or(|tag| *tag == *etag);
        match select(parts.headers.get("range").filter(|_| named), LEN) {
            Selection::Part(part) => {
                self.asked.lock().unwrap().push(part.clone());
                let response = response.status(206);
                let response = response.header("content-range", content_range(&part, Some(LEN)));
                response.body(Body::from(bytes(version, part))).unwrap()
            }
            _ => response.body(Body::from(bytes(version, 0..LEN))).unwrap(),
        }
    }

    /// The parts that were asked for since this was called last.
    fn asked(&self) -> Vec<Range<u64>> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

/// Joints that may be learnt while a test runs.
#[derive(Clone, Default)]
struct Learnt(Arc<Mutex<Option<Vec<u64>>>>);

impl Learnt {
    fn of(joints: impl IntoIterator<Item = u64>) -> Self {
        let learnt = Self::default();
        learnt.put(joints);
        learnt
    }

    fn put(&self, joints: impl IntoIterator<Item = u64>) {
        *self.0.lock().unwrap() = Some(joints.into_iter().collect());
    }
}

impl Joints for Learnt {
    fn joints(&self, _: &Parts) -> Option<Vec<u64>> {
        self.0.lock().unwrap().clone()
    }
}

struct Large(bool);

impl Policy for Large {
    fn in_slices(&self, _: &Parts) -> bool {
        self.0
    }
}

fn aligned(film: &Film, learnt: &Learnt) -> Stand {
    let stand = stand_with(&film.origin(), |builder| builder.max_object(5000).slice(SLICE));
    stand.cache.align(learnt.clone());
    stand
}

async fn part(stand: &Stand, part: Range<u64>) -> Response<Body> {
    stand.get_with("/film", &[("range", &format!("bytes={}-{}", part.start, part.end - 1))]).await
}

async fn body(response: Response<Body>) -> Vec<u8> {
    common::within(response.into_body().collect(1 << 30)).await.unwrap().to_bytes().to_vec()
}

#[tokio::test]
async fn who_begins_at_a_joint_waits_for_nothing_before_it() {
    let film = Film::default();
    let stand = aligned(&film, &Learnt::of([80, 700, 1550, 3900, 4000]));
    // Nothing is known yet: it jumps.
    let first = part(&stand, 1550..1600).await;
    assert_eq!((first.status().as_u16(), body(first).await), (206, bytes(0, 1550..1600)));
    until(|| stand.cache.metrics().stored_objects.get() == 2).await;
    let again = part(&stand, 2000..2550).await;
    assert!(cache_status(&again).starts_with("edge; hit"));
    assert_eq!(body(again).await, bytes(0, 2000..2550));
    for (at, slice) in [(0, 0..80), (80, 80..700), (3899, 3550..3900), (3990, 3900..4000)] {
        assert_eq!(body(part(&stand, at..at + 1).await).await, bytes(0, at..at + 1), "{at}");
        assert!(film.asked().ends_with(&[slice]), "{at}");
    }
    // What nothing is said of is cut as ever, from there on.
    assert_eq!(body(part(&stand, 10_400..10_450).await).await, bytes(0, 10_400..10_450));
    assert_eq!(film.asked(), [10_000..10_500]);
    // The whole is all of them, and none anew.
    let whole = stand.get("/film").await;
    assert_eq!(field(&whole, "content-length"), "10500");
    assert_eq!(body(whole).await, bytes(0, 0..LEN));
    let fetched = film.asked().iter().map(|part| part.end - part.start).sum::<u64>();
    assert_eq!(fetched, LEN - 1000 - 80 - 620 - 350 - 100 - 500);
}

#[tokio::test]
async fn what_is_learnt_later_leaves_slices_as_they_are() {
    for forgetful in [false, true] {
        let film = Film { forgetful, ..Film::default() };
        let learnt = Learnt::default();
        let stand = aligned(&film, &learnt);
        body(part(&stand, 4321..4322).await).await;
        assert_eq!(film.asked(), [4000..5000]);
        until(|| stand.cache.metrics().stored_objects.get() == 2).await;
        learnt.put([4321, 5321]);
        assert!(cache_status(&part(&stand, 4321..4322).await).starts_with("edge; hit"));
        body(part(&stand, 5321..5322).await).await;
        assert_eq!(film.asked(), [5000..6000], "the same slices");
        // Nor when it is confirmed, or said anew.
        stand.advance(61);
        learnt.put([77]);
        assert_eq!(body(part(&stand, 4321..4322).await).await, bytes(0, 4321..4322));
        body(part(&stand, 0..10).await).await;
        assert_eq!(film.asked(), [0..1000], "forgetful: {forgetful}");
        // Another version is another film, and none of its bytes meets one of the former.
        film.version.store(1, Ordering::Relaxed);
        stand.advance(61);
        assert_eq!(body(part(&stand, 4321..4322).await).await, bytes(1, 4321..4322));
        assert_eq!(film.asked(), [4077..5077]);
        assert_eq!(body(stand.get("/film").await).await, bytes(1, 0..LEN));
    }
}

#[tokio::test]
async fn a_restart_keeps_slices_as_they_were() {
    let dir = tempfile::tempdir().unwrap();
    let film = Film::default();
    let open = || {
        let disk = Disk::builder(dir.path(), 64 << 20).region(1 << 20).open().unwrap();
        stand_with(&film.origin(), |builder| builder.disk(disk).max_object(5000).slice(SLICE))
    };
    let stand = open();
    stand.cache.align(Learnt::of([80, 700, 1550]));
    assert_eq!(body(part(&stand, 1000..2000).await).await, bytes(0, 1000..2000));
    assert_eq!(film.asked(), [700..1550, 1550..2550]);
    stand.cache.close().await;
    drop(stand);
    // With nobody to say it again.
    let stand = open();
    let again = part(&stand, 710..2500).await;
    assert!(cache_status(&again).starts_with("edge; hit"), "{}", cache_status(&again));
    assert_eq!(body(again).await, bytes(0, 710..2500));
    assert_eq!(film.asked(), []);
    assert_eq!(body(part(&stand, 90..91).await).await, bytes(0, 90..91));
    assert_eq!(film.asked(), [80..700]);
    stand.cache.close().await;
}

#[derive(Clone, Debug)]
struct Play {
    joints: Vec<u64>,
    ranges: Vec<Range<u64>>,
    /// How many ranges are asked for before the joints are learnt.
    learnt_after: usize,
    /// Whether all that follow are asked for at once.
    at_once: bool,
    in_slices: bool,
    max_object: u64,
}

fn play() -> impl Strategy<Value = Play> {
    let range = (0..LEN, 1u64..3000).prop_map(|(at, len)| at..(at + len).min(LEN));
    (
        prop::collection::btree_set(0..LEN + 500, 0..30),
        prop::collection::vec(range, 1..12),
        0usize..4,
        any::<bool>(),
        any::<bool>(),
        prop::sample::select(vec![5000, 20_000]),
    )
        .prop_map(|(joints, ranges, learnt_after, at_once, in_slices, max_object)| Play {
            joints: joints.into_iter().collect(),
            ranges,
            learnt_after,
            at_once,
            in_slices,
            max_object,
        })
}

async fn run(play: Play) {
    let film = Film::default();
    let learnt = Learnt::default();
    let stand = stand_with(&film.origin(), |builder| {
        let builder = builder.max_object(play.max_object).slice(SLICE).finish_percent(0);
        builder.policy(Large(play.in_slices))
    });
    stand.cache.align(learnt.clone());
    let ask = |range: Range<u64>| {
        let field = format!("bytes={}-{}", range.start, range.end - 1);
        let answer = stand.edge.clone().oneshot(request("GET", "/film", &[("range", &field)]));
        async move {
            let answer = common::within(answer).await.unwrap();
            let named = content_range(&range, Some(LEN));
            assert_eq!(
                (answer.status().as_u16(), &answer.headers()["content-range"]),
                (206, &named)
            );
            assert_eq!(body(answer).await, bytes(0, range));
        }
    };
    let (before, after) = play.ranges.split_at(play.learnt_after.min(play.ranges.len()));
    for range in before {
        ask(range.clone()).await;
    }
    learnt.put(play.joints.iter().copied());
    if play.at_once {
        let asking: Vec<_> = after.iter().map(|range| tokio::spawn(ask(range.clone()))).collect();
        for asked in asking {
            asked.await.unwrap();
        }
    } else {
        for range in after {
            ask(range.clone()).await;
        }
    }
    let mut seen = BTreeSet::new();
    for part in film.asked() {
        assert!(part.end - part.start <= SLICE, "{part:?}");
        assert!(part.clone().all(|at| seen.insert(at)), "{part:?} again");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]
    #[test]
    fn each_client_gets_its_bytes_and_none_is_fetched_twice(play in play()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(play));
    }
}
