//! A simulated player: it fills a buffer, begins to play after some segments, chooses renditions by
//! the throughput it measures, stalls where the buffer is empty, seeks and leaves.

use std::collections::HashSet;
use std::pin::Pin;
use std::time::Duration;

use headwater_bench_traces::traffic::{Object, Part, Random, Rung, SEGMENT_MS};
use headwater_net::Body;
use http::{Request, header};
use http_body::Body as _;
use serde::Serialize;
use tower_service::Service as _;

use crate::counts::{Counts, Found, Step};
use crate::scene::Edge;
use crate::time::Time;
use crate::titles;

/// Segments that are there before playback begins.
const STARTUP: u32 = 2;
/// Beyond so much in the buffer nothing is asked for.
const BUFFER: Duration = Duration::from_secs(30);
const SEGMENT: Duration = Duration::from_millis(SEGMENT_MS);
/// The rendition it begins with.
const BEGINS: Rung = Rung::video(1);
/// Of the throughput, what a rendition may take to stay with it, and to go up to it (as hls.js).
const HOLD: f64 = 0.95;
const RISE: f64 = 0.7;
/// Half-lives of its two estimates, in seconds of loading (as hls.js); the lower one counts.
const FAST: f64 = 3.0;
const SLOW: f64 = 9.0;
/// Of segments, those before which its network gets worse, or better again; and how much is left.
const DISTURBANCE: (f64, f64, f64) = (0.03, 0.25, 0.4);
/// Bytes are waited for in steps of so much.
const STEP: Duration = Duration::from_millis(100);

/// What one viewer does.
#[derive(Clone, Debug)]
pub struct Viewer {
    /// When, since the beginning.
    pub at: Duration,
    pub edge: usize,
    pub title: u32,
    /// Segments of the title.
    pub segments: u32,
    /// The segment it begins with.
    pub first: u32,
    /// Seeks: after how much was seen, and where to.
    pub seeks: Vec<(Duration, u32)>,
    /// It leaves after it has seen so much.
    pub leaves: Duration,
    /// Bits a second of its network.
    pub network: f64,
    pub seed: u64,
}

/// What it was like.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Seen {
    /// Until the first picture; `None` where there was none.
    pub startup: Option<Duration>,
    pub stalled: Duration,
    pub stalls: u32,
    /// From seeks to the next picture.
    pub sought: Duration,
    pub seeks: u32,
    pub watched: Duration,
    /// Segments, and the bits a second of their renditions, summed.
    pub segments: u32,
    pub rates: u64,
    pub switches: u32,
}

/// See the module.
pub struct Player {
    viewer: Viewer,
    edge: Edge,
    time: Time,
    counts: Counts,
    cmcd: bool,
    random: Random,
    rung: Rung,
    known: HashSet<Rung>,
    fast: Estimate,
    slow: Estimate,
    disturbed: bool,
    seen: Seen,
    /// What is left to play, whether it plays, and when that was so.
    buffer: Duration,
    mode: Mode,
    at: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Waits for its first picture, or for that after a seek, since then.
    Starting(Duration),
    Seeking(Duration),
    Playing,
    Stalled,
}

/// A moving average, by time.
#[derive(Clone, Copy, Debug)]
struct Estimate {
    half: f64,
    sum: f64,
    weight: f64,
}

impl Estimate {
    const fn new(half: f64) -> Self {
        Self { half, sum: 0.0, weight: 0.0 }
    }

    fn add(&mut self, seconds: f64, rate: f64) {
        let keep = 0.5f64.powf(seconds / self.half);
        self.sum = self.sum * keep + rate * (1.0 - keep);
        self.weight = self.weight * keep + 1.0 - keep;
    }

    fn rate(&self) -> Option<f64> {
        (self.weight > 0.0).then(|| self.sum / self.weight)
    }
}

/// It left.
struct Left;

impl Player {
    pub fn new(viewer: Viewer, edge: Edge, time: Time, counts: Counts, cmcd: bool) -> Self {
        Self {
            random: Random::new(viewer.seed),
            rung: BEGINS,
            known: HashSet::new(),
            fast: Estimate::new(FAST),
            slow: Estimate::new(SLOW),
            disturbed: false,
            seen: Seen::default(),
            buffer: Duration::ZERO,
            mode: Mode::Starting(viewer.at),
            at: viewer.at,
            viewer,
            edge,
            time,
            counts,
            cmcd,
        }
    }

    /// Watches until the end.
    pub async fn watch(mut self) -> Seen {
        self.time.sleep_until(self.viewer.at).await;
        self.at = self.time.now();
        self.mode = Mode::Starting(self.at);
        // Where it leaves, all is said.
        let _ = self.view().await;
        self.seen
    }

    async fn view(&mut self) -> Result<(), Left> {
        self.load(Rung::ALL, Part::Playlist).await;
        let mut next = self.viewer.first;
        let mut step = Step::First;
        let (picture, sound) = (self.is_new(self.rung), self.is_new(Rung::SOUND));
        tokio::join!(self.prepare(picture), self.prepare(sound));
        while next < self.viewer.segments {
            let rung = self.choose();
            if rung != self.rung {
                self.seen.switches += 1;
                self.rung = rung;
            }
            let part = Part::Segment(next);
            self.counts.asks(Object { title: self.viewer.title, rung, part }, step);
            self.counts.asks(Object { title: self.viewer.title, rung: Rung::SOUND, part }, step);
            let loaded = if let Some(turn) = self.until_turn() {
                tokio::time::timeout(turn, self.segment(next)).await.is_ok()
            } else {
                self.segment(next).await;
                true
            };
            self.play();
            if loaded {
                self.arrived();
                self.seen.segments += 1;
                self.seen.rates += u64::from(rung.rate());
                (next, step) = (next + 1, Step::Following);
            }
            if let Some(to) = self.turn()? {
                (next, step) = (to, Step::Sought);
                continue;
            }
            let most = BUFFER.saturating_sub(SEGMENT);
            if self.mode == Mode::Playing && self.buffer > most {
                let wait = self.buffer.saturating_sub(most);
                self.time.sleep(self.until_turn().map_or(wait, |turn| turn.min(wait))).await;
                self.play();
                if let Some(to) = self.turn()? {
                    (next, step) = (to, Step::Sought);
                }
            }
        }
        Ok(())
    }

    /// Time goes by: what is in the buffer is played, and then there is a stall.
    fn play(&mut self) {
        let now = self.time.now();
        let passed = now.saturating_sub(self.at);
        self.at = now;
        match self.mode {
            Mode::Starting(_) | Mode::Seeking(_) => {}
            Mode::Stalled => self.seen.stalled += passed,
            Mode::Playing => {
                let played = passed.min(self.buffer);
                self.seen.watched += played;
                self.buffer -= played;
                if passed > played {
                    self.seen.stalled += passed.saturating_sub(played);
                    self.seen.stalls += 1;
                    self.mode = Mode::Stalled;
                }
            }
        }
    }

    /// A segment is there.
    fn arrived(&mut self) {
        self.buffer += SEGMENT;
        match self.mode {
            Mode::Starting(since) if self.buffer >= SEGMENT * STARTUP => {
                self.seen.startup = Some(self.at.saturating_sub(since));
                self.mode = Mode::Playing;
            }
            Mode::Seeking(since) => {
                self.seen.sought += self.at.saturating_sub(since);
                self.seen.seeks += 1;
                self.mode = Mode::Playing;
            }
            Mode::Stalled => self.mode = Mode::Playing,
            Mode::Starting(_) | Mode::Playing => {}
        }
    }

    /// What it will have seen when it seeks or leaves.
    fn turns_at(&self) -> Duration {
        self.viewer.seeks.first().map_or(self.viewer.leaves, |(at, _)| *at.min(&self.viewer.leaves))
    }

    /// How long until it seeks or leaves, where that is sure.
    fn until_turn(&self) -> Option<Duration> {
        let left = self.turns_at().saturating_sub(self.seen.watched);
        (self.mode == Mode::Playing && left <= self.buffer).then_some(left)
    }

    /// Whether it is time to leave, or to seek, and where to.
    fn turn(&mut self) -> Result<Option<u32>, Left> {
        if self.seen.watched < self.turns_at() {
            return Ok(None);
        }
        if self.seen.watched >= self.viewer.leaves || self.viewer.seeks.is_empty() {
            return Err(Left);
        }
        let (_, to) = self.viewer.seeks.remove(0);
        self.buffer = Duration::ZERO;
        self.mode = Mode::Seeking(self.at);
        Ok(Some(to))
    }

    fn estimate(&self) -> Option<f64> {
        Some(self.fast.rate()?.min(self.slow.rate()?))
    }

    /// The highest rendition that the throughput carries; higher ones only where there is room.
    fn choose(&self) -> Rung {
        let Some(estimate) = self.estimate() else { return self.rung };
        let carried = |rung: &Rung| {
            let factor = if *rung > self.rung { RISE } else { HOLD };
            f64::from(rung.rate() + Rung::SOUND.rate()) <= estimate * factor
        };
        titles::rungs().filter(carried).last().unwrap_or(Rung::LOWEST)
    }

    /// The rendition, where it is played for the first time.
    fn is_new(&mut self, rung: Rung) -> Option<Rung> {
        self.known.insert(rung).then_some(rung)
    }

    /// What comes before the first segment of a rendition.
    async fn prepare(&self, new: Option<Rung>) {
        let Some(rung) = new else { return };
        if !titles::is_dash(self.viewer.title) {
            self.load(rung, Part::Playlist).await;
        }
        self.load(rung, Part::Init).await;
    }

    /// One segment of picture and of sound.
    async fn segment(&mut self, number: u32) {
        let rung = self.rung;
        let new = self.is_new(rung);
        self.prepare(new).await;
        let (begins, ends, left) = DISTURBANCE;
        self.disturbed =
            if self.disturbed { !self.random.chance(ends) } else { self.random.chance(begins) };
        let varied = 0.7 + 0.6 * self.random.unit();
        let network = self.viewer.network * varied * if self.disturbed { left } else { 1.0 };
        let part = Part::Segment(number);
        let (picture, _) = tokio::join!(
            self.fetch(Object { title: self.viewer.title, rung, part }, network),
            self.fetch(Object { title: self.viewer.title, rung: Rung::SOUND, part }, network)
        );
        let (bytes, time) = picture;
        let seconds = time.as_secs_f64().max(0.001);
        for estimate in [&mut self.fast, &mut self.slow] {
            estimate.add(seconds, bytes as f64 * 8.0 / seconds);
        }
    }

    async fn load(&self, rung: Rung, part: Part) {
        let object = Object { title: self.viewer.title, rung, part };
        self.fetch(object, self.viewer.network).await;
    }

    /// Fetches an object over a network of so many bits a second; returns its bytes, and how long
    /// they took from the headers on, as players measure.
    async fn fetch(&self, object: Object, network: f64) -> (u64, Duration) {
        let mut request = Request::get(titles::path(&object)).header(header::HOST, "video.example");
        if self.cmcd
            && let Some(estimate) = self.estimate()
        {
            let hundreds = (estimate / 100_000.0).round() as u64;
            request = request.header("cmcd-request", format!("mtp={}", hundreds * 100));
        }
        let Ok(request) = request.body(Body::empty()) else { return (0, Duration::ZERO) };
        self.time.sleep(self.edge.round_trip).await;
        let answer = self.edge.service.clone().call(request).await;
        let begun = self.time.now();
        let Ok(response) = answer;
        self.counts.edge_answered(self.viewer.edge, object, Found::of(response.headers()));
        let good = response.status().is_success();
        let mut body = response.into_body();
        let (mut bytes, mut there) = (0u64, begun);
        let whole = loop {
            match std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
                None => break good,
                Some(Err(_)) => break false,
                Some(Ok(frame)) => {
                    let length = frame.data_ref().map_or(0, bytes::Bytes::len);
                    bytes += length as u64;
                    let now = self.time.now();
                    there = there.max(now) + Duration::from_secs_f64(length as f64 * 8.0 / network);
                    if there > now + STEP {
                        self.time.sleep_until(there).await;
                    }
                }
            }
        };
        self.time.sleep_until(there).await;
        let mut counts = self.counts.lock();
        counts.read += bytes;
        counts.failed += u64::from(!whole);
        (bytes, self.time.now().saturating_sub(begun))
    }
}
