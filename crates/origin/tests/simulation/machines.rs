//! What the simulated world is made of: time and chance, machines that may be killed, the ways between
//! them, and origins whose titles have new versions.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::future::Future;
use std::hash::{Hash as _, Hasher as _};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use headwater_net::range::{Selection, content_range, select};
use headwater_net::{Body, BodyError, Clock, Timestamp};
use http::{Request, Response, StatusCode, header};
use http_body::Frame;
use tokio::time::Instant;
use tower_service::Service;

use super::SEGMENTS;

const BEGIN: Timestamp = Timestamp::from_secs(1_700_000_000);
/// Virtual milliseconds after which a client of a silent machine gives up by itself.
const PATIENCE: u64 = 15_000;

/// Numbers that follow from a seed (SplitMix64).
#[derive(Clone)]
pub struct Random(Arc<AtomicU64>);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(AtomicU64::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))))
    }

    pub fn below(&self, end: u64) -> u64 {
        let mut z = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

/// What all share: time, chance, and whether there is trouble.
#[derive(Clone)]
pub struct World {
    pub random: Random,
    pub clock: Clock,
    begin: Instant,
    pub troubled: Arc<AtomicBool>,
    /// Answers that were given, and arrived nowhere.
    pub lost: Arc<AtomicU64>,
    /// The titles of which there was a new version, each time that there was one.
    pub published: Arc<Mutex<Vec<String>>>,
    /// Of all that machines answered, when, where, for what and how.
    seen: Arc<Mutex<DefaultHasher>>,
}

impl World {
    pub fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed),
            clock: Clock::manual(BEGIN),
            begin: Instant::now(),
            troubled: Arc::new(AtomicBool::new(true)),
            lost: Arc::default(),
            published: Arc::default(),
            seen: Arc::default(),
        }
    }

    /// A machine answered a request for a path; 0 where no answer came.
    pub fn note(&self, machine: &str, path: &str, status: u16) {
        let now = self.begin.elapsed().as_millis();
        (now, machine, path, status).hash(&mut *self.seen.lock().unwrap());
    }

    /// What tells this play from every other one: all that was noted, in its order.
    pub fn digest(&self) -> u64 {
        self.seen.lock().unwrap().finish()
    }

    /// The version of a title after the first so many new ones of all.
    pub fn version(&self, path: &str, published: usize) -> usize {
        let title = title(path);
        let all = self.published.lock().unwrap();
        all.iter().take(published).filter(|other| *other == title).count()
    }

    pub async fn sleep(&self, millis: u64) {
        tokio::time::sleep(Duration::from_millis(millis)).await;
        self.clock.advance(self.begin.elapsed().saturating_sub(self.clock.now().since(BEGIN)));
    }

    /// What who asks finds out: some partitions are noticed, in others there is silence.
    async fn partition(&self) -> std::io::Error {
        if self.random.below(2) == 0 {
            self.sleep(PATIENCE).await;
        }
        std::io::ErrorKind::ConnectionReset.into()
    }

    pub fn is_troubled(&self) -> bool {
        self.troubled.load(Ordering::Relaxed)
    }
}

/// The first part of a path.
pub fn title(path: &str) -> &str {
    path.split('/').nth(1).unwrap_or("")
}

/// The bytes of what lies at a path in one version of its title: playlists of HLS, and segments of some
/// hundred bytes.
pub fn content(path: &str, version: usize) -> Bytes {
    if path.ends_with("/list.m3u8") {
        let entry = |n: u64| format!("#EXTINF:4,\n{n}.mp4\n");
        let list = (0..SEGMENTS).map(entry).collect::<Vec<_>>().concat();
        return Bytes::from(format!(
            "#EXTM3U\n#EXT-X-TARGETDURATION:4\n# {version}\n{list}#EXT-X-ENDLIST\n"
        ));
    }
    let of = path.bytes().fold(7, |sum: u64, byte| sum.wrapping_mul(31) + u64::from(byte));
    let sum = of.wrapping_add(version as u64 * 977);
    (0..200 + sum % 1800).map(|n| (sum.rotate_left((n % 64) as u32) ^ n) as u8).collect()
}

/// An origin that honours `Range` and `If-Range`, and counts.
#[derive(Clone)]
pub struct Source {
    pub world: World,
    pub asked: Arc<Mutex<HashMap<String, u32>>>,
}

pub type Answer<E> = Pin<Box<dyn Future<Output = Result<Response<Body>, E>> + Send>>;

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
            let version = world.version(&path, usize::MAX);
            let whole = content(&path, version);
            let size = whole.len() as u64;
            let tag = format!("\"{size}-{version}\"");
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
pub struct Node<S> {
    pub name: &'static str,
    /// `None` while it is down.
    service: Mutex<Option<S>>,
    /// How often it was killed.
    deaths: AtomicU64,
    build: OnceLock<Box<dyn Fn() -> S + Send + Sync>>,
}

impl<S: Clone> Node<S> {
    /// One that is not there yet: the ways to it are.
    pub fn to_be(name: &'static str) -> Arc<Self> {
        let (service, deaths, build) = (Mutex::new(None), AtomicU64::new(0), OnceLock::new());
        Arc::new(Self { name, service, deaths, build })
    }

    /// Starts it for the first time.
    pub fn set_up(&self, build: impl Fn() -> S + Send + Sync + 'static) {
        assert!(self.build.set(Box::new(build)).is_ok());
        self.start();
    }

    pub fn up(&self) -> Option<S> {
        self.service.lock().unwrap().clone()
    }

    pub fn kill(&self) {
        self.deaths.fetch_add(1, Ordering::Relaxed);
        *self.service.lock().unwrap() = None;
    }

    pub fn start(&self) {
        let mut service = self.service.lock().unwrap();
        if service.is_none() {
            *service = self.build.get().map(|build| build());
        }
    }
}

/// Whether the way to a machine is cut: both ways, or so that what is asked arrives, and no answer does.
/// Clones are of the same.
#[derive(Clone, Default)]
pub struct Cut(Arc<AtomicU8>);

const ONE_WAY: u8 = 1;
const BOTH_WAYS: u8 = 2;

impl Cut {
    pub fn both_ways(&self) {
        self.0.store(BOTH_WAYS, Ordering::Relaxed);
    }

    pub fn one_way(&self) {
        self.0.store(ONE_WAY, Ordering::Relaxed);
    }

    pub fn mend(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// Whether nothing that is asked arrives.
    fn stops_requests(&self) -> bool {
        self.0.load(Ordering::Relaxed) == BOTH_WAYS
    }

    /// Whether nothing that is answered arrives.
    fn stops_answers(&self) -> bool {
        self.0.load(Ordering::Relaxed) != 0
    }
}

/// The way to a machine.
pub struct Link<S> {
    world: World,
    to: Arc<Node<S>>,
    pub cut: Cut,
}

impl<S> Clone for Link<S> {
    fn clone(&self) -> Self {
        let (world, to, cut) = (self.world.clone(), Arc::clone(&self.to), self.cut.clone());
        Self { world, to, cut }
    }
}

impl<S> Link<S> {
    pub fn new(world: &World, to: &Arc<Node<S>>) -> Self {
        Self { world: world.clone(), to: Arc::clone(to), cut: Cut::default() }
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
        let (link, path) = (self.clone(), request.uri().path().to_owned());
        Box::pin(async move {
            let (world, to) = (link.world.clone(), link.to.name);
            let answer = link.send(request).await;
            world.note(to, &path, answer.as_ref().map_or(0, |answer| answer.status().as_u16()));
            answer
        })
    }
}

impl<S> Link<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: std::fmt::Debug + Send,
{
    async fn send(self, request: Request<Body>) -> std::io::Result<Response<Body>> {
        let Self { world, to, cut } = self;
        world.sleep(1 + world.random.below(20)).await;
        if cut.stops_requests() {
            return Err(world.partition().await);
        }
        let (service, deaths) = (to.up(), to.deaths.load(Ordering::Relaxed));
        let Some(mut service) = service else {
            return Err(std::io::ErrorKind::ConnectionRefused.into());
        };
        let answer = service.call(sent(request));
        drop(service);
        let response =
            answer.await.map_err(|_| std::io::Error::from(std::io::ErrorKind::ConnectionReset))?;
        if to.deaths.load(Ordering::Relaxed) != deaths {
            return Err(std::io::ErrorKind::ConnectionReset.into());
        }
        if cut.stops_answers() {
            world.lost.fetch_add(1, Ordering::Relaxed);
            return Err(world.partition().await);
        }
        let breaks = world.is_troubled() && world.random.below(6) == 0;
        let left = breaks.then(|| world.random.below(1500));
        Ok(received(response).map(|inner| {
            let is_empty = matches!(inner, Body::Empty);
            let (pause, paused) = (None, false);
            let travelling = Travelling { inner, world, to, cut, deaths, left, pause, paused };
            if is_empty { Body::empty() } else { Body::stream(travelling) }
        }))
    }
}

/// What of a message arrives: what is written in it.
fn sent(request: Request<Body>) -> Request<Body> {
    let (head, body) = request.into_parts();
    let mut sent = Request::new(body);
    *sent.method_mut() = head.method;
    *sent.uri_mut() = head.uri;
    *sent.headers_mut() = head.headers;
    sent
}

fn received(response: Response<Body>) -> Response<Body> {
    let (head, body) = response.into_parts();
    let mut received = Response::new(body);
    *received.status_mut() = head.status;
    *received.headers_mut() = head.headers;
    received
}

/// A body on its way: slow, and cut where the link is, or the machine it comes from is killed.
struct Travelling<S> {
    inner: Body,
    world: World,
    to: Arc<Node<S>>,
    cut: Cut,
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
        if died || self.cut.stops_answers() {
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
