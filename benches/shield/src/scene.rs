//! One scene: players, edges, a shield and its origin, in virtual time.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use headwater_cache::{Cache, Downstream};
use headwater_edge::{Edge as EdgeBuilder, EdgeService, Hints};
use headwater_net::Body;
use headwater_origin::{PrefetchConfig, Shield};
use http::{Request, Response, header};
use serde::Serialize;
use tokio::task::JoinSet;
use tower_service::Service;

use crate::Result;
use crate::audience::audience;
use crate::counts::{Counts, Found, Tally, share};
use crate::origin::{Distance, Origin};
use crate::player::{Cause, Habits, Player, Seen};
use crate::time::Time;
use crate::titles;

/// Edges before the shield.
const EDGES: usize = 3;
/// Bytes of memory of each edge.
const EDGE_RAM: u64 = 4 << 30;
/// There and back between player and edge, and between edge and shield.
const ROUND_TRIP: Duration = Duration::from_millis(20);

/// What is the same in all scenes.
#[derive(Clone, Copy, Debug)]
pub struct Stage {
    pub seed: u64,
    pub sessions: u32,
    pub distance: Distance,
    /// Bytes of memory of the shield.
    pub shield_ram: u64,
}

/// What tells one scene from the others.
#[derive(Clone, Debug)]
pub struct Setup {
    pub name: &'static str,
    pub prefetch: PrefetchConfig,
    pub habits: Habits,
    /// Whether the origin answers at once, however much: then what is stalled is stalled by the
    /// players' own networks, and no shield can help.
    pub near: bool,
}

/// An edge as its players reach it.
#[derive(Clone)]
pub struct Edge {
    pub service: EdgeService<Link>,
    pub round_trip: Duration,
}

/// The way from an edge to the shield; what comes back is counted.
#[derive(Clone)]
pub struct Link {
    shield: Shield,
    time: Time,
    counts: Counts,
}

impl Service<Request<Body>> for Link {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future =
        Pin<Box<dyn Future<Output = std::result::Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::result::Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Self { mut shield, time, counts } = self.clone();
        let object = titles::object(request.uri().path());
        Box::pin(async move {
            time.sleep(ROUND_TRIP).await;
            let Ok(response) = shield.call(request).await;
            if let Some(object) = object {
                counts.shield_answered(object, Found::of(response.headers()));
            }
            Ok(response)
        })
    }
}

/// What came of a scene.
#[derive(Debug, Serialize)]
pub struct Outcome {
    pub name: &'static str,
    pub players: Players,
    /// Segment requests at the shield: all; the first for each segment by sessions that go on; and
    /// the first for each by sessions that begin or seek.
    pub shield: Tally,
    pub following: Tally,
    pub starting: Tally,
    /// Segment requests at the edges: all, and the first for each at each edge.
    pub edge: Tally,
    pub edge_first: Tally,
    pub origin: AtOrigin,
    pub prefetch: Ahead,
}

/// Of all players together; times in seconds.
#[derive(Debug, Serialize)]
pub struct Players {
    pub sessions: usize,
    pub watched: f64,
    pub startup_mean: f64,
    pub startup_p50: f64,
    pub startup_p95: f64,
    pub stalled: f64,
    pub stalls: u64,
    /// Of what was stalled, by [`Cause`]: all, and that in which the shield was waited for.
    pub causes: [(f64, f64); Cause::ALL.len()],
    /// Segments that were let go of for smaller ones.
    pub abandoned: u64,
    /// Sessions that stalled.
    pub sessions_stalled: usize,
    pub seeks: u64,
    /// From a seek to its first picture, on average.
    pub seek_mean: f64,
    /// Bits a second of the renditions, on average over segments.
    pub rate: f64,
    pub switches: u64,
    pub read: u64,
    pub failed: u64,
}

/// What the origin was asked for.
#[derive(Debug, Serialize)]
pub struct AtOrigin {
    pub requests: u64,
    pub objects: u64,
    pub bytes: u64,
    /// Of the bytes that players read, those that did not come from it, in per cent.
    pub offload: f64,
}

impl AtOrigin {
    /// How often it was asked for an object, on average.
    pub fn requests_an_object(&self) -> f64 {
        self.requests as f64 / self.objects.max(1) as f64
    }
}

/// What was fetched ahead, as the shield counts it.
#[derive(Debug, Serialize)]
pub struct Ahead {
    pub issued: u64,
    pub used: u64,
    pub promoted: u64,
    pub wasted: u64,
    pub cancelled: u64,
    pub refused: u64,
    pub dropped: u64,
    pub bytes: u64,
    pub wasted_bytes: u64,
}

impl Ahead {
    /// Wasted bytes of those that were fetched ahead, in per cent.
    pub fn waste(&self) -> f64 {
        share(self.wasted_bytes, self.bytes)
    }
}

/// Plays a scene.
///
/// # Errors
/// When a player panics.
pub fn play(stage: Stage, setup: &Setup) -> Result<Outcome> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    runtime.block_on(run(stage, setup))
}

async fn run(stage: Stage, setup: &Setup) -> Result<Outcome> {
    let (time, counts) = (Time::begin(), Counts::default());
    let distance = if setup.near { Distance::NONE } else { stage.distance };
    let origin = Origin::new(stage.seed, distance, time.clone());
    let shield = shield(stage, &origin, setup, &time);
    let edges: Vec<_> = (0..EDGES).map(|_| edge(&shield, &time, &counts)).collect();
    let mut players = JoinSet::new();
    for viewer in audience(stage.seed, stage.sessions, EDGES) {
        let edge = edges.get(viewer.edge).ok_or("an edge is missing")?.clone();
        players
            .spawn(Player::new(viewer, edge, time.clone(), counts.clone(), setup.habits).watch());
    }
    let mut seen = Vec::new();
    while let Some(one) = players.join_next().await {
        seen.push(one?);
    }
    // What was fetched for nobody counts as wasted when the next one comes after the window.
    time.sleep(setup.prefetch.window * 2).await;
    let last = Request::get("/title/0/0/init.mp4").header(header::HOST, "video.example");
    let Ok(response) = shield.clone().call(last.body(Body::empty())?).await;
    drop(response);
    Ok(outcome(setup, &shield, &origin, &counts, &seen))
}

fn shield(stage: Stage, origin: &Origin, setup: &Setup, time: &Time) -> Shield {
    let cache = Cache::builder()
        .name("shield")
        .ram(stage.shield_ram)
        .clock(time.clock())
        .downstream(Downstream::Caches)
        .build();
    Shield::builder()
        .origin(origin.clone())
        .cache(cache)
        .prefetch(setup.prefetch.clone())
        .clock(time.clock())
        .build()
}

fn edge(shield: &Shield, time: &Time, counts: &Counts) -> Edge {
    let cache = Cache::builder()
        .name("edge")
        .ram(EDGE_RAM)
        .clock(time.clock())
        .honour_request_directives(false)
        .build();
    let link = Link { shield: shield.clone(), time: time.clone(), counts: counts.clone() };
    let (hints, sender) = Hints::builder().build(link.clone());
    tokio::spawn(sender.run());
    let edge = EdgeBuilder::builder().cache(cache).hints(&hints).clock(time.clock());
    Edge { service: edge.build(link), round_trip: ROUND_TRIP }
}

fn outcome(
    setup: &Setup,
    shield: &Shield,
    origin: &Origin,
    counts: &Counts,
    seen: &[Seen],
) -> Outcome {
    let counts = counts.lock();
    let (requests, bytes, objects) = origin.counted();
    let metrics = shield.metrics();
    Outcome {
        name: setup.name,
        players: players(seen, counts.read, counts.failed),
        shield: counts.shield,
        following: counts.following,
        starting: counts.starting,
        edge: counts.edge,
        edge_first: counts.edge_first,
        origin: AtOrigin { requests, objects, bytes, offload: 100.0 - share(bytes, counts.read) },
        prefetch: Ahead {
            issued: metrics.prefetch_issued.get(),
            used: metrics.prefetch_used.get(),
            promoted: metrics.prefetch_promoted.get(),
            wasted: metrics.prefetch_wasted.get(),
            cancelled: metrics.prefetch_cancelled.get(),
            refused: metrics.prefetch_refused.get(),
            dropped: metrics.prefetch_dropped.get(),
            bytes: metrics.prefetch_bytes.get(),
            wasted_bytes: metrics.prefetch_wasted_bytes.get(),
        },
    }
}

fn players(seen: &[Seen], read: u64, failed: u64) -> Players {
    let mut startups: Vec<f64> =
        seen.iter().filter_map(|one| one.startup).map(|time| time.as_secs_f64()).collect();
    startups.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let last = startups.len().saturating_sub(1);
        startups.get((last as f64 * share) as usize).copied().unwrap_or(0.0)
    };
    let sum = |of: fn(&Seen) -> Duration| seen.iter().map(of).sum::<Duration>().as_secs_f64();
    let count = |of: fn(&Seen) -> u64| seen.iter().map(of).sum::<u64>();
    let seeks = count(|one| u64::from(one.seeks));
    Players {
        sessions: seen.len(),
        watched: sum(|one| one.watched),
        startup_mean: startups.iter().sum::<f64>() / startups.len().max(1) as f64,
        startup_p50: at(0.5),
        startup_p95: at(0.95),
        stalled: sum(|one| one.stalled),
        stalls: count(|one| u64::from(one.stalls)),
        causes: Cause::ALL.map(|cause| {
            let all = seen.iter().filter_map(|one| one.causes.get(cause as usize));
            all.fold((0.0, 0.0), |(time, waited), one| {
                (time + one.time.as_secs_f64(), waited + one.waited.as_secs_f64())
            })
        }),
        abandoned: count(|one| u64::from(one.abandoned)),
        sessions_stalled: seen.iter().filter(|one| one.stalls > 0).count(),
        seeks,
        seek_mean: sum(|one| one.sought) / seeks.max(1) as f64,
        rate: count(|one| one.rates) as f64 / count(|one| u64::from(one.segments)).max(1) as f64,
        switches: count(|one| u64::from(one.switches)),
        read,
        failed,
    }
}
