//! A deterministic simulation, in virtual time: three edges, two shields and two origins whose links
//! are slow, break off, are cut and heal, and who are killed and come back without memory. Everything
//! follows from a seed. Whatever happens,
//!
//! - each client gets the right bytes or an honest error: a body that was cut never looks complete;
//! - nothing hangs: each answer has come within [`DEADLINE`];
//! - once all is well again, origins are asked at most 1.1 times for each object, over all seeds; and
//!   of one seed, once for each object that was not fetched ahead for nobody, unless an edge or a shield
//!   asked a second machine because the first was slow (one in twenty, as they look for the slowest):
//!   a shield that is asked in this way takes it for a session, and who was slow may not be asked for a
//!   while.
//!
//! `SEEDS=5000` tries more than the usual, `SEED=17` one again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use headwater_cache::{Cache, CacheService, Downstream};
use headwater_net::range::{Selection, content_range, select};
use headwater_net::{Body, BodyError, Clock, Timestamp};
use headwater_origin::upstream::Origins;
use headwater_origin::{Metrics, Shield};
use http::{Request, Response, StatusCode, header};
use http_body::Frame;
use tokio::time::Instant;
use tower::ServiceExt;
use tower_layer::Layer as _;
use tower_service::Service;

/// Seeds that are tried where `SEEDS` says nothing.
const SEEDS: u64 = 50;
/// Virtual time in which an answer has come to its end.
const DEADLINE: Duration = Duration::from_secs(120);
/// Clients, what each asks for, and titles and segments to choose from.
const CLIENTS: u64 = 6;
const ASKED: u64 = 12;
const TITLES: u64 = 3;
const SEGMENTS: u64 = 8;
/// Disasters, one every second or so.
const DISASTERS: u64 = 14;
/// Rounds of requests, one every ten seconds, in which everybody finds out that all is well again.
const ROUNDS: u64 = 30;

const BEGIN: Timestamp = Timestamp::from_secs(1_700_000_000);

/// Numbers that follow from a seed (SplitMix64).
#[derive(Clone)]
struct Random(Arc<AtomicU64>);

impl Random {
    fn new(seed: u64) -> Self {
        Self(Arc::new(AtomicU64::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))))
    }

    fn below(&self, end: u64) -> u64 {
        let mut z = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

/// What all share: time, chance, and whether there is trouble.
#[derive(Clone)]
struct World {
    random: Random,
    clock: Clock,
    begin: Instant,
    troubled: Arc<AtomicBool>,
}

impl World {
    async fn sleep(&self, millis: u64) {
        tokio::time::sleep(Duration::from_millis(millis)).await;
        self.clock.advance(self.begin.elapsed().saturating_sub(self.clock.now().since(BEGIN)));
    }

    fn is_troubled(&self) -> bool {
        self.troubled.load(Ordering::Relaxed)
    }
}

/// The bytes of what lies at a path: playlists of HLS, and segments of some hundred bytes.
fn content(path: &str) -> Bytes {
    if path.ends_with("/list.m3u8") {
        let entry = |n: u64| format!("#EXTINF:4,\n{n}.mp4\n");
        let list = (0..SEGMENTS).map(entry).collect::<Vec<_>>().concat();
        return Bytes::from(format!("#EXTM3U\n#EXT-X-TARGETDURATION:4\n{list}#EXT-X-ENDLIST\n"));
    }
    let sum: u64 = path.bytes().fold(7, |sum, byte| sum.wrapping_mul(31) + u64::from(byte));
    (0..200 + sum % 1800).map(|n| (sum.rotate_left((n % 64) as u32) ^ n) as u8).collect()
}

/// An origin that honours `Range` and `If-Range`, and counts.
#[derive(Clone)]
struct Source {
    world: World,
    asked: Arc<Mutex<HashMap<String, u32>>>,
}

type Answer<E> = Pin<Box<dyn Future<Output = Result<Response<Body>, E>> + Send>>;

impl Service<Request<Body>> for Source {
    type Response = Response<Body>;
    type Error = std::io::Error;
    type Future = Answer<std::io::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), std::io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Self { world, asked } = self.clone();
        Box::pin(async move {
            let path = request.uri().path().to_owned();
            *asked.lock().unwrap().entry(path.clone()).or_default() += 1;
            world.sleep(5 + world.random.below(100)).await;
            if world.is_troubled() && world.random.below(8) == 0 {
                let status = [500, 502, 503, 504][world.random.below(4) as usize];
                let response = Response::builder().status(status);
                return Ok(response.body(Body::from("a page that is no segment")).unwrap());
            }
            let whole = content(&path);
            let size = whole.len() as u64;
            let tag = format!("\"{size}\"");
            let fields = request.headers();
            let kind = if path.ends_with("/list.m3u8") {
                "application/vnd.apple.mpegurl"
            } else {
                "video/mp4"
            };
            let mut response = Response::builder()
                .header(header::CONTENT_TYPE, kind)
                .header(header::CACHE_CONTROL, "max-age=600")
                .header(header::ETAG, &tag);
            let may = fields.get(header::IF_RANGE).is_none_or(|known| known == tag.as_str());
            let range = fields.get(header::RANGE).filter(|_| may);
            let bytes = match select(range, size) {
                Selection::Part(part) => {
                    response = response
                        .status(StatusCode::PARTIAL_CONTENT)
                        .header(header::CONTENT_RANGE, content_range(&part, Some(size)));
                    whole.slice(part.start as usize..part.end as usize)
                }
                _ => whole,
            };
            let response = response.header(header::CONTENT_LENGTH, bytes.len());
            Ok(response.body(Body::from(bytes)).unwrap())
        })
    }
}

/// A machine that may be killed: what it was is then gone, and nobody hears of it any more.
struct Node<S> {
    /// `None` while it is down.
    service: Mutex<Option<S>>,
    /// How often it was killed.
    deaths: AtomicU64,
    build: Box<dyn Fn() -> S + Send + Sync>,
}

impl<S: Clone> Node<S> {
    fn new(build: impl Fn() -> S + Send + Sync + 'static) -> Arc<Self> {
        let service = Mutex::new(Some(build()));
        Arc::new(Self { service, deaths: AtomicU64::new(0), build: Box::new(build) })
    }

    fn kill(&self) {
        self.deaths.fetch_add(1, Ordering::Relaxed);
        *self.service.lock().unwrap() = None;
    }

    fn start(&self) {
        let mut service = self.service.lock().unwrap();
        if service.is_none() {
            *service = Some((self.build)());
        }
    }
}

/// The way to a machine.
struct Link<S> {
    world: World,
    to: Arc<Node<S>>,
    cut: Arc<AtomicBool>,
}

impl<S> Clone for Link<S> {
    fn clone(&self) -> Self {
        let (world, to, cut) = (self.world.clone(), Arc::clone(&self.to), Arc::clone(&self.cut));
        Self { world, to, cut }
    }
}

impl<S> Link<S> {
    fn new(world: &World, to: &Arc<Node<S>>) -> Self {
        Self { world: world.clone(), to: Arc::clone(to), cut: Arc::default() }
    }
}

impl<S> Service<Request<Body>> for Link<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: std::fmt::Debug + Send,
{
    type Response = Response<Body>;
    type Error = std::io::Error;
    type Future = Answer<std::io::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), std::io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Self { world, to, cut } = self.clone();
        Box::pin(async move {
            world.sleep(1 + world.random.below(20)).await;
            if cut.load(Ordering::Relaxed) {
                // Some partitions are noticed, in others there is silence.
                if world.random.below(2) == 0 {
                    std::future::pending::<()>().await;
                }
                return Err(std::io::ErrorKind::ConnectionReset.into());
            }
            let (service, deaths) =
                (to.service.lock().unwrap().clone(), to.deaths.load(Ordering::Relaxed));
            let Some(mut service) = service else {
                return Err(std::io::ErrorKind::ConnectionRefused.into());
            };
            let answer = service.call(request);
            drop(service);
            let response = answer
                .await
                .map_err(|_| std::io::Error::from(std::io::ErrorKind::ConnectionReset))?;
            if to.deaths.load(Ordering::Relaxed) != deaths {
                return Err(std::io::ErrorKind::ConnectionReset.into());
            }
            let breaks = world.is_troubled() && world.random.below(6) == 0;
            let left = breaks.then(|| world.random.below(1500));
            Ok(response.map(|inner| {
                let is_empty = matches!(inner, Body::Empty);
                let (pause, paused) = (None, false);
                let travelling = Travelling { inner, world, to, cut, deaths, left, pause, paused };
                if is_empty { Body::empty() } else { Body::stream(travelling) }
            }))
        })
    }
}

/// A body on its way: slow, and cut where the link is, or the machine it comes from is killed.
struct Travelling<S> {
    inner: Body,
    world: World,
    to: Arc<Node<S>>,
    cut: Arc<AtomicBool>,
    deaths: u64,
    /// Bytes until it breaks off.
    left: Option<u64>,
    pause: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// Whether the pause before the next piece is over.
    paused: bool,
}

impl<S: Send> http_body::Body for Travelling<S> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if !self.paused {
            let world = self.world.clone();
            let pause = self.pause.get_or_insert_with(|| {
                Box::pin(async move { world.sleep(1 + world.random.below(60)).await })
            });
            std::task::ready!(pause.as_mut().poll(cx));
            (self.pause, self.paused) = (None, true);
        }
        let died = self.to.deaths.load(Ordering::Relaxed) != self.deaths;
        if died || self.cut.load(Ordering::Relaxed) {
            return Poll::Ready(Some(Err(BodyError::source("reset"))));
        }
        let frame = std::task::ready!(Pin::new(&mut self.inner).poll_frame(cx));
        self.paused = false;
        let (Some(left), Some(Ok(frame))) = (self.left, &frame) else { return Poll::Ready(frame) };
        let data = frame.data_ref().cloned().unwrap_or_default();
        if data.len() as u64 <= left {
            self.left = Some(left - data.len() as u64);
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        self.left = Some(0);
        if left == 0 {
            return Poll::Ready(Some(Err(BodyError::source("reset"))));
        }
        Poll::Ready(Some(Ok(Frame::data(data.slice(..left as usize)))))
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.inner.size_hint()
    }
}

type EdgeService = CacheService<Origins>;

/// The machines, and every link between them.
struct Network {
    world: World,
    sources: Vec<Arc<Node<Source>>>,
    shields: Vec<Arc<Node<Shield>>>,
    edges: Vec<Arc<Node<EdgeService>>>,
    cuts: Vec<Arc<AtomicBool>>,
    asked: Arc<Mutex<HashMap<String, u32>>>,
    /// Of each edge, since it was last started.
    metrics: Vec<Arc<Mutex<Metrics>>>,
}

impl Network {
    fn new(seed: u64) -> Self {
        let world = World {
            random: Random::new(seed),
            clock: Clock::manual(BEGIN),
            begin: Instant::now(),
            troubled: Arc::new(AtomicBool::new(true)),
        };
        let asked: Arc<Mutex<HashMap<String, u32>>> = Arc::default();
        let source = Source { world: world.clone(), asked: Arc::clone(&asked) };
        let sources: Vec<_> = (0..2)
            .map(|_| {
                let source = source.clone();
                Node::new(move || source.clone())
            })
            .collect();
        let mut cuts = Vec::new();
        let mut shields = Vec::new();
        for _ in 0..2 {
            let links: Vec<_> = sources.iter().map(|to| Link::new(&world, to)).collect();
            cuts.extend(links.iter().map(|link| Arc::clone(&link.cut)));
            let clock = world.clock.clone();
            shields.push(Node::new(move || {
                let cache = Cache::builder().name("shield").clock(clock.clone());
                let cache = cache.downstream(Downstream::Caches).build();
                let shield = Shield::builder().cache(cache).clock(clock.clone());
                links.iter().fold(shield, |shield, link| shield.origin(link.clone())).build()
            }));
        }
        let mut metrics = Vec::new();
        let mut edges = Vec::new();
        for _ in 0..3 {
            let links: Vec<_> = shields.iter().map(|to| Link::new(&world, to)).collect();
            cuts.extend(links.iter().map(|link| Arc::clone(&link.cut)));
            let (clock, own) = (world.clock.clone(), Arc::<Mutex<Metrics>>::default());
            metrics.push(Arc::clone(&own));
            edges.push(Node::new(move || {
                let metrics = Metrics::default();
                *own.lock().unwrap() = metrics.clone();
                let origins = Origins::builder().clock(clock.clone()).metrics(metrics);
                let origins = links.iter().fold(origins, |all, link| all.origin(link.clone()));
                let cache = Cache::builder().name("edge").clock(clock.clone()).build();
                cache.layer().layer(origins.build())
            }));
        }
        Self { world, sources, shields, edges, cuts, asked, metrics }
    }

    /// Requests that edges and the shields that are up sent twice, or again, and what those shields
    /// fetched ahead that nobody asked them for.
    fn surplus(&self) -> (u64, u64) {
        let again = |metrics: &Metrics| metrics.origin_hedges.get() + metrics.origin_retries.get();
        let ahead = |metrics: &Metrics| {
            let used = metrics.prefetch_used.get() + metrics.prefetch_redundant.get();
            metrics.prefetch_issued.get().saturating_sub(used)
        };
        let all = self.all_metrics();
        (all.iter().map(again).sum(), all.iter().map(ahead).sum())
    }

    /// Of the edges and shields that are up.
    fn all_metrics(&self) -> Vec<Metrics> {
        let shields = self.shields.iter().filter_map(|node| node.service.lock().unwrap().clone());
        let edges = self.metrics.iter().map(|metrics| metrics.lock().unwrap().clone());
        edges.chain(shields.map(|shield| shield.metrics().clone())).collect()
    }

    /// Has all edges ask for one thing after the other until they do so by one shield, and it by one
    /// origin: then everybody knows that all is well again.
    async fn recover(&self) -> Result<(), String> {
        for round in 0..ROUNDS {
            let path = format!("/recovery/{round}.mp4");
            for edge in &self.edges {
                self.ask_at(edge, &path).await?;
            }
            self.world.sleep(10_000).await;
            if self.asked.lock().unwrap().get(&path) == Some(&1) {
                return Ok(());
            }
        }
        Err(format!("all is well, and after {ROUNDS} rounds each still goes its own way"))
    }

    /// One disaster after the other, each mended some time later; then all is well.
    async fn disasters(&self) {
        let random = &self.world.random;
        for _ in 0..DISASTERS {
            match random.below(7) {
                0 => self.sources[random.below(2) as usize].kill(),
                1 => self.shields[random.below(2) as usize].kill(),
                2 => self.edges[random.below(3) as usize].kill(),
                3 | 4 => {
                    let cut = &self.cuts[random.below(self.cuts.len() as u64) as usize];
                    cut.store(true, Ordering::Relaxed);
                }
                5 => self.mend(),
                _ => {}
            }
            self.world.sleep(200 + random.below(1500)).await;
        }
        self.world.troubled.store(false, Ordering::Relaxed);
        self.mend();
    }

    fn mend(&self) {
        self.sources.iter().for_each(|node| node.start());
        self.shields.iter().for_each(|node| node.start());
        self.edges.iter().for_each(|node| node.start());
        self.cuts.iter().for_each(|cut| cut.store(false, Ordering::Relaxed));
    }

    /// A client asks an edge for a path; whether it got it. What is neither that nor an honest error
    /// is said.
    async fn ask(&self, path: &str) -> Result<bool, String> {
        self.ask_at(&self.edges[self.world.random.below(3) as usize], path).await
    }

    async fn ask_at(&self, edge: &Node<EdgeService>, path: &str) -> Result<bool, String> {
        let Some(service) = edge.service.lock().unwrap().clone() else { return Ok(false) };
        let request = Request::get(path).header("host", "video.example");
        let answer = async move {
            let response = service.oneshot(request.body(Body::empty()).unwrap()).await;
            let response = response.unwrap_or_else(|never| match never {});
            let status = response.status();
            let length = response.headers().get(header::CONTENT_LENGTH).cloned();
            (status, length, response.into_body().collect(1 << 20).await)
        };
        let Ok((status, length, body)) = tokio::time::timeout(DEADLINE, answer).await else {
            return Err(format!("{path}: no end within {DEADLINE:?}"));
        };
        let Ok(body) = body else { return Ok(false) };
        let body = body.to_bytes();
        match status.as_u16() {
            200 if body == content(path) => {}
            200 => return Err(format!("{path}: 200 with {} wrong bytes", body.len())),
            500 | 502..=504 => return Ok(false),
            other => return Err(format!("{path}: {other}")),
        }
        if length.is_some_and(|length| length != body.len().to_string().as_str()) {
            return Err(format!("{path}: the length is not that of the body"));
        }
        Ok(true)
    }

    /// A client that watches, and asks for other things in between.
    async fn client(&self, titles: std::ops::Range<u64>, asked: u64) -> Result<u64, String> {
        let random = &self.world.random;
        let title = titles.start + random.below(titles.end - titles.start);
        let first = random.below(SEGMENTS);
        let mut got = u64::from(self.ask(&format!("/{title}/list.m3u8")).await?);
        for n in 0..asked {
            let path = format!("/{title}/{}.mp4", (first + n) % SEGMENTS);
            got += u64::from(self.ask(&path).await?);
            self.world.sleep(random.below(2500)).await;
        }
        Ok(got)
    }
}

/// What origins were asked for when all was well, and how often.
#[derive(Default)]
struct Steady {
    objects: usize,
    requests: u32,
}

/// Plays one seed; says what was wrong.
async fn play(seed: u64) -> Result<Steady, String> {
    let network = Arc::new(Network::new(seed));
    let crowd = |titles: std::ops::Range<u64>, clients: u64| {
        let mut crowd = tokio::task::JoinSet::new();
        for _ in 0..clients {
            let (network, titles) = (Arc::clone(&network), titles.clone());
            crowd.spawn(async move { network.client(titles, ASKED).await });
        }
        crowd
    };
    let troubled = crowd(0..TITLES, CLIENTS);
    network.disasters().await;
    for one in troubled.join_all().await {
        one?;
    }

    // Titles that nobody has asked for.
    network.recover().await?;
    network.asked.lock().unwrap().clear();
    let before = network.surplus();
    for got in crowd(TITLES..2 * TITLES, CLIENTS).join_all().await {
        let got = got?;
        if got != ASKED + 1 {
            return Err(format!("all is well, and {got} of {} came", ASKED + 1));
        }
    }
    let after = network.surplus();
    let (again, ahead) = (after.0 - before.0, after.1.saturating_sub(before.1));
    let asked = network.asked.lock().unwrap();
    let (objects, requests) = (asked.len(), asked.values().sum());
    if again == 0 && u64::from(requests) > objects as u64 + ahead {
        return Err(format!("{requests} for {objects} objects, {ahead} ahead for nobody"));
    }
    Ok(Steady { objects, requests })
}

#[test]
fn every_client_gets_the_right_bytes_or_an_honest_error() {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    let seeds = match number("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SEEDS").unwrap_or(SEEDS),
    };
    let mut all = Steady::default();
    for seed in seeds {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        match runtime.block_on(play(seed)) {
            Ok(steady) => {
                all.objects += steady.objects;
                all.requests += steady.requests;
            }
            Err(wrong) => panic!("{wrong}; again with SEED={seed}"),
        }
    }
    // Of all seeds together: a few objects of one may all have been hedged.
    let Steady { objects, requests } = all;
    let one = number("SEED").is_some();
    assert!(one || f64::from(requests) <= objects as f64 * 1.1, "{requests} for {objects} objects");
}
