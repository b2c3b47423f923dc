//! A simulated player: it fills a buffer, begins to play after some segments, chooses renditions by
//! the throughput it measures, lets go of a segment that would come too late for a smaller one, stalls
//! where the buffer is empty, seeks and leaves.
//!
//! Or the renditions are part of the trace: then it chooses by what its own network gave, whatever it
//! got through it, so that it plays the same renditions before any shield, and what differs is the
//! shield alone.

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
/// A segment is let go of after half its duration at the earliest, where the rest of it would take
/// longer than the buffer lasts (as hls.js).
const PATIENCE: Duration = Duration::from_millis(SEGMENT_MS / 2);
/// So many segments after a start or a seek there is little in the buffer.
const EARLY: u32 = 5;
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

/// How a player goes about it.
#[derive(Clone, Copy, Debug)]
pub struct Habits {
    /// It tells its throughput (CTA-5004).
    pub cmcd: bool,
    /// It chooses renditions by what it measures, and lets go of segments; else the trace says which
    /// renditions it plays.
    pub measures: bool,
}

/// What it was like.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Seen {
    /// Until the first picture; `None` where there was none.
    pub startup: Option<Duration>,
    pub stalled: Duration,
    pub stalls: u32,
    /// Of what was stalled, by where it was.
    pub causes: [Stalled; Cause::ALL.len()],
    /// Segments let go of.
    pub abandoned: u32,
    /// From seeks to the next picture.
    pub sought: Duration,
    pub seeks: u32,
    pub watched: Duration,
    /// Segments, and the bits a second of their renditions, summed.
    pub segments: u32,
    pub rates: u64,
    pub switches: u32,
}

/// Where in what a viewer does a stall is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Just after the start.
    Started,
    /// Just after a seek.
    Sought,
    /// With the first segment of a rendition.
    Switched,
    /// Anywhere else.
    Later,
}

impl Cause {
    pub const ALL: [Self; 4] = [Self::Started, Self::Sought, Self::Switched, Self::Later];
}

/// Time stalled, and how much of it the shield was waited for at the most: the rest is the player's
/// own network.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Stalled {
    pub time: Duration,
    pub waited: Duration,
}

/// What came of a fetch.
#[derive(Clone, Copy, Debug, Default)]
struct Fetched {
    bytes: u64,
    /// From the headers on, as players measure.
    took: Duration,
    /// How long nothing came from the edge though there was room in the player's network.
    waited: Duration,
    /// It was let go of.
    abandoned: bool,
}

/// See the module.
pub struct Player {
    viewer: Viewer,
    edge: Edge,
    time: Time,
    counts: Counts,
    habits: Habits,
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
    /// Segments since the last start or seek, and whether that was a seek.
    since: u32,
    sought: bool,
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
    pub fn new(viewer: Viewer, edge: Edge, time: Time, counts: Counts, habits: Habits) -> Self {
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
            since: 0,
            sought: false,
            viewer,
            edge,
            time,
            counts,
            habits,
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
            let before = (self.rung, self.seen.stalled);
            self.go_to(self.choose());
            let loaded = if let Some(turn) = self.until_turn() {
                tokio::time::timeout(turn, self.segment(next, step)).await.ok()
            } else {
                Some(self.segment(next, step).await)
            };
            self.play();
            if let Some(waited) = loaded {
                self.note(before, waited);
                self.arrived();
                self.seen.segments += 1;
                self.seen.rates += u64::from(self.rung.rate());
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

    fn go_to(&mut self, rung: Rung) {
        if rung != self.rung {
            self.seen.switches += 1;
            self.rung = rung;
        }
    }

    /// A segment was waited for, before which this was the rendition and so much was stalled.
    fn note(&mut self, (rung, stalled): (Rung, Duration), waited: Duration) {
        let cause = match self.since {
            0..EARLY if self.sought => Cause::Sought,
            0..EARLY => Cause::Started,
            _ if rung != self.rung => Cause::Switched,
            _ => Cause::Later,
        };
        self.since += 1;
        let time = self.seen.stalled.saturating_sub(stalled);
        if let Some(sum) = self.seen.causes.get_mut(cause as usize) {
            sum.time += time;
            sum.waited += waited.min(time);
        }
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
        (self.since, self.sought) = (0, true);
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

    /// What comes before the first segment of a rendition; how long the shield was waited for.
    async fn prepare(&self, new: Option<Rung>) -> Duration {
        let Some(rung) = new else { return Duration::ZERO };
        let mut waited = Duration::ZERO;
        if !titles::is_dash(self.viewer.title) {
            waited += self.load(rung, Part::Playlist).await;
        }
        waited + self.load(rung, Part::Init).await
    }

    /// One segment of picture and of sound; how long the shield was waited for.
    async fn segment(&mut self, number: u32, step: Step) -> Duration {
        let (begins, ends, left) = DISTURBANCE;
        self.disturbed =
            if self.disturbed { !self.random.chance(ends) } else { self.random.chance(begins) };
        let varied = 0.7 + 0.6 * self.random.unit();
        let network = self.viewer.network * varied * if self.disturbed { left } else { 1.0 };
        let part = Part::Segment(number);
        let sound = Object { title: self.viewer.title, rung: Rung::SOUND, part };
        self.counts.asks(sound, step);
        let mut sound = Some(sound);
        let mut waited = Duration::ZERO;
        loop {
            let new = self.is_new(self.rung);
            waited += self.prepare(new).await;
            let picture = Object { title: self.viewer.title, rung: self.rung, part };
            self.counts.asks(picture, step);
            let with = async {
                match sound.take() {
                    Some(sound) => self.fetch(sound, network, false).await,
                    None => Fetched::default(),
                }
            };
            let may_abandon = self.habits.measures;
            let (fetched, _) = tokio::join!(self.fetch(picture, network, may_abandon), with);
            waited += fetched.waited;
            let bits = fetched.bytes as f64 * 8.0;
            let seconds = if self.habits.measures {
                fetched.took.as_secs_f64().max(0.001)
            } else {
                bits / network
            };
            for estimate in [&mut self.fast, &mut self.slow] {
                estimate.add(seconds, bits / seconds);
            }
            if !fetched.abandoned {
                return waited;
            }
            self.seen.abandoned += 1;
            self.go_to(self.choose().min(self.rung.down()));
        }
    }

    async fn load(&self, rung: Rung, part: Part) -> Duration {
        let object = Object { title: self.viewer.title, rung, part };
        self.fetch(object, self.viewer.network, false).await.waited
    }

    /// Whether a segment of which so many bytes came in that time, and so many are to come, is let go
    /// of.
    fn abandons(&self, bytes: u64, left: u64, took: Duration) -> bool {
        if self.mode != Mode::Playing || self.rung == Rung::LOWEST || took < PATIENCE {
            return false;
        }
        let buffer = self.buffer.saturating_sub(self.time.now().saturating_sub(self.at));
        let rest = left as f64 * took.as_secs_f64() / bytes.max(1) as f64;
        rest > buffer.as_secs_f64() && rest > SEGMENT.as_secs_f64() / 4.0
    }

    /// Fetches an object over a network of so many bits a second.
    async fn fetch(&self, object: Object, network: f64, may_abandon: bool) -> Fetched {
        let mut request = Request::get(titles::path(&object)).header(header::HOST, "video.example");
        if self.habits.cmcd
            && let Some(estimate) = self.estimate()
        {
            let hundreds = (estimate / 100_000.0).round() as u64;
            request = request.header("cmcd-request", format!("mtp={}", hundreds * 100));
        }
        let Ok(request) = request.body(Body::empty()) else { return Fetched::default() };
        let asked = self.time.now();
        self.time.sleep(self.edge.round_trip).await;
        let answer = self.edge.service.clone().call(request).await;
        let begun = self.time.now();
        let Ok(response) = answer;
        self.counts.edge_answered(self.viewer.edge, object, Found::of(response.headers()));
        let good = response.status().is_success();
        let length = response.headers().get(header::CONTENT_LENGTH);
        let whole = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        let mut body = response.into_body();
        let (mut fetched, mut there) = (Fetched::default(), begun);
        fetched.waited = begun.saturating_sub(asked + self.edge.round_trip);
        let good = loop {
            let before = self.time.now();
            match std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
                None => break good,
                Some(Err(_)) => break false,
                Some(Ok(frame)) => {
                    let length = frame.data_ref().map_or(0, bytes::Bytes::len);
                    fetched.bytes += length as u64;
                    let now = self.time.now();
                    fetched.waited += now.saturating_sub(there.max(before));
                    there = there.max(now) + Duration::from_secs_f64(length as f64 * 8.0 / network);
                    if there > now + STEP {
                        self.time.sleep_until(there).await;
                    }
                    let left = whole.map_or(0, |whole| whole.saturating_sub(fetched.bytes));
                    let took = self.time.now().saturating_sub(asked);
                    if may_abandon && left > 0 && self.abandons(fetched.bytes, left, took) {
                        fetched.abandoned = true;
                        break good;
                    }
                }
            }
        };
        self.time.sleep_until(there).await;
        fetched.took = self.time.now().saturating_sub(begun);
        let mut counts = self.counts.lock();
        counts.read += fetched.bytes;
        counts.failed += u64::from(!good);
        drop(counts);
        fetched
    }
}
