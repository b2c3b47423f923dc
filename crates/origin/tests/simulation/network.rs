//! Three edges, two shields and two origins, every link between them, and what goes on beside requests:
//! hints from edges to shields, by the edges' own layer and sender, and purges that a control plane numbers for
//! all.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use headwater_cache::{
    Cache, CacheFuture, CacheService, Downstream, Purge, PurgeSeq, Tier, TierLayer,
};
use headwater_edge::Hints;
use headwater_edge::hints::{HintFuture, HintLayer, Hinted};
use headwater_net::Body;
use headwater_net::balance::{Balance, BalanceConfig};
use headwater_origin::upstream::Peers;
use headwater_origin::{HintTrust, Shield, ShieldFuture};
use http::{Request, header};
use tokio::task::JoinSet;
use tower::ServiceExt;
use tower_layer::Layer as _;
use tower_service::Service;

use super::machines::{Cut, Link, Node, Source, World, content};
use super::{DEADLINE, DISASTERS, HOST, ROUNDS, SEGMENTS};

const SHIELDS: [&str; 2] = ["shield-one", "shield-two"];
const EDGES: [&str; 3] = ["edge-one", "edge-two", "edge-three"];
/// Requests for a title in ten seconds, at one edge, that have both shields asked for it.
const HOT: u32 = 4;

/// A shield with its cache.
#[derive(Clone)]
pub struct Shielding {
    pub shield: Shield,
    cache: Cache,
}

impl Service<Request<Body>> for Shielding {
    type Response = http::Response<Body>;
    type Error = std::convert::Infallible;
    type Future = ShieldFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.shield.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> ShieldFuture {
        self.shield.call(request)
    }
}

type Shields = Balance<Link<Shielding>>;

/// An edge, with what it has to tell the shields.
#[derive(Clone)]
pub struct Edge {
    hinted: Hinted<CacheService<Tier<Shields>>>,
    cache: Cache,
    pub shields: Shields,
}

impl Edge {
    fn ask(&mut self, request: Request<Body>) -> HintFuture<CacheFuture> {
        self.hinted.call(request)
    }

    /// The shield that is asked for a path.
    pub fn home(&self, path: &str) -> Option<String> {
        self.shields.home(&path.parse().unwrap())
    }
}

/// The machines, and every link between them.
pub struct Network {
    pub world: World,
    sources: Vec<Arc<Node<Source>>>,
    pub shields: Vec<Arc<Node<Shielding>>>,
    pub edges: Vec<Arc<Node<Edge>>>,
    cuts: Vec<Cut>,
    pub asked: Arc<Mutex<HashMap<String, u32>>>,
}

impl Network {
    pub fn new(seed: u64) -> Self {
        let world = World::new(seed);
        let asked: Arc<Mutex<HashMap<String, u32>>> = Arc::default();
        let source = Source { world: world.clone(), asked: Arc::clone(&asked) };
        let sources = ["origin-one", "origin-two"].map(Node::to_be);
        for node in &sources {
            let source = source.clone();
            node.set_up(move || source.clone());
        }
        let mut cuts = Vec::new();
        let shields = SHIELDS.map(Node::to_be);
        for (at, name) in SHIELDS.iter().copied().enumerate() {
            let links: Vec<_> = sources.iter().map(|to| Link::new(&world, to)).collect();
            let (other, to) = (SHIELDS[1 - at], Link::new(&world, &shields[1 - at]));
            cuts.extend(links.iter().map(|link| link.cut.clone()));
            cuts.push(to.cut.clone());
            let clock = world.clock.clone();
            shields[at].set_up(move || {
                let cache = Cache::builder().name(name).clock(clock.clone());
                let cache = cache.downstream(Downstream::Caches).build();
                let shield = Shield::builder()
                    .cache(cache.clone())
                    .clock(clock.clone())
                    .hints(HintTrust::Everyone)
                    .peers(Peers::of(name).peer(other, 1, to.clone()));
                let shield = links.iter().fold(shield, |shield, link| shield.origin(link.clone()));
                Shielding { shield: shield.build(), cache }
            });
        }
        let edges = EDGES.map(Node::to_be);
        for (node, name) in edges.iter().zip(EDGES) {
            let links = [0, 1].map(|at| Link::new(&world, &shields[at]));
            cuts.extend(links.iter().map(|link| link.cut.clone()));
            let clock = world.clock.clone();
            node.set_up(move || {
                let all = SHIELDS.iter().zip(&links);
                let shields = all
                    .fold(Balance::builder(), |all, (name, link)| {
                        all.member(*name, 1, link.clone())
                    })
                    .config(BalanceConfig::default().replicas(2, HOT))
                    .clock(clock.clone())
                    .build();
                let cache = Cache::builder().name(name).clock(clock.clone()).build();
                let cached = cache.layer().layer(TierLayer.layer(shields.clone()));
                let home = shields.clone();
                let hints = Hints::builder().home(move |uri| home.home(uri));
                let (hints, sender) = hints.build(shields.clone());
                // It ends with the edge.
                tokio::spawn(sender.run());
                Edge { hinted: HintLayer::new(&hints).layer(cached), cache, shields }
            });
        }
        let (sources, shields, edges) = (sources.into(), shields.into(), edges.into());
        Self { world, sources, shields, edges, cuts, asked }
    }

    /// What goes on beside requests, until it is dropped.
    pub fn beside(self: &Arc<Self>) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        for at in 0..self.edges.len() + self.shields.len() {
            let network = Arc::clone(self);
            tasks.spawn(async move {
                loop {
                    network.world.sleep(50 + network.world.random.below(1500)).await;
                    if let Some(cache) = network.cache(at) {
                        network.follow(&cache).await;
                    }
                }
            });
        }
        tasks
    }

    /// The cache of an edge, or behind those of a shield.
    fn cache(&self, at: usize) -> Option<Cache> {
        match at.checked_sub(self.edges.len()) {
            None => self.edges[at].up().map(|edge| edge.cache),
            Some(at) => self.shields[at].up().map(|shield| shield.cache),
        }
    }

    /// Does the purges that a cache has not done yet.
    async fn follow(&self, cache: &Cache) {
        let published = self.world.published.lock().unwrap().clone();
        let done = cache.purges_followed().get();
        for (title, before) in published.iter().zip(0..).skip(done as usize) {
            let purge = Purge::prefix(format!("http://{HOST}/{title}/"));
            let purge = purge.at(PurgeSeq::new(before + 1)).following(PurgeSeq::new(before));
            cache.purge(purge).await.unwrap();
        }
    }

    /// Requests that the shields that are up sent twice, or again, and what they fetched ahead that
    /// nobody asked them for.
    pub fn surplus(&self) -> (u64, u64) {
        let all: Vec<_> = self.shields.iter().filter_map(|node| node.up()).collect();
        let all = all.iter().map(|one| one.shield.metrics());
        let again = all.clone().map(|one| one.origin_hedges.get() + one.origin_retries.get());
        let ahead = all.map(|one| {
            let used = one.prefetch_used.get() + one.prefetch_redundant.get();
            one.prefetch_issued.get().saturating_sub(used)
        });
        (again.sum(), ahead.sum())
    }

    /// Has everybody ask everybody until nobody takes anybody for down, all purges are done, and each
    /// origin is asked for each object once.
    pub async fn recover(&self) -> Result<(), String> {
        let mut last = (false, false, false);
        for round in 0..ROUNDS {
            let paths: Vec<_> = (0..4).map(|n| format!("/recovery-{round}-{n}/0.mp4")).collect();
            for path in &paths {
                for edge in &self.edges {
                    self.ask_at(edge, path).await?;
                }
                // Edges ask a shield for its own: of its peer it hears when it is asked for another's.
                for shield in self.shields.iter().filter_map(|node| node.up()) {
                    let request = Request::get(path).header("host", HOST).body(Body::empty());
                    let answer = shield.oneshot(request.unwrap()).await;
                    let _ = answer
                        .unwrap_or_else(|never| match never {})
                        .into_body()
                        .collect(9999)
                        .await;
                }
            }
            self.world.sleep(10_000).await;
            let published = self.world.published.lock().unwrap().len() as u64;
            let follows =
                |at| self.cache(at).is_some_and(|c| c.purges_followed().get() == published);
            let asked = self.asked.lock().unwrap();
            let once = paths.iter().all(|path| asked.get(path) == Some(&1));
            let follow = (0..self.edges.len() + self.shields.len()).all(follows);
            last = (once, follow, self.believes_all_up());
            if last == (true, true, true) {
                return Ok(());
            }
        }
        let (once, follow, up) = last;
        Err(format!(
            "all is well, and after {ROUNDS} rounds: each object is fetched once: {once}, purges are \
             done: {follow}, nobody is taken for down: {up}"
        ))
    }

    fn believes_all_up(&self) -> bool {
        let shields = self.shields.iter().all(|node| {
            // An origin that is not needed is not tried again.
            node.up().is_some_and(|one| one.shield.metrics().peers_down.get() == 0)
        });
        shields
            && self.edges.iter().all(|node| {
                node.up().is_some_and(|edge| edge.shields.members().iter().all(|one| !one.is_down))
            })
    }

    /// One disaster after the other, each mended some time later; then all is well.
    pub async fn disasters(&self, titles: &[String]) {
        let random = &self.world.random;
        for _ in 0..DISASTERS {
            match random.below(10) {
                0 => self.sources[random.below(2) as usize].kill(),
                1 => self.shields[random.below(2) as usize].kill(),
                2 => self.edges[random.below(3) as usize].kill(),
                3 | 4 => {
                    self.cuts[random.below(self.cuts.len() as u64) as usize].both_ways();
                }
                // What is asked arrives, and is answered for nobody.
                8 => self.cuts[random.below(self.cuts.len() as u64) as usize].one_way(),
                5 => self.mend(),
                // New bytes under new validators, and a purge of what was there before.
                6 | 7 => {
                    let title = &titles[random.below(titles.len() as u64) as usize];
                    self.world.published.lock().unwrap().push(title.clone());
                }
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
        self.cuts.iter().for_each(Cut::mend);
    }

    /// A client asks an edge for a path; whether it got it. What is neither that nor an honest error
    /// is said.
    async fn ask(&self, path: &str) -> Result<bool, String> {
        self.ask_at(&self.edges[self.world.random.below(3) as usize], path).await
    }

    async fn ask_at(&self, edge: &Node<Edge>, path: &str) -> Result<bool, String> {
        let name = edge.name;
        let Some(mut edge) = edge.up() else { return Ok(false) };
        // What was purged here before is never seen again.
        let purged = edge.cache.purges_followed().get() as usize;
        let oldest = self.world.version(path, purged);
        let request = Request::get(path).header("host", HOST).body(Body::empty()).unwrap();
        let answer = async move {
            let response = edge.ask(request).await.unwrap_or_else(|never| match never {});
            let status = response.status();
            let length = response.headers().get(header::CONTENT_LENGTH).cloned();
            (status, length, response.into_body().collect(1 << 20).await)
        };
        let Ok((status, length, body)) = tokio::time::timeout(DEADLINE, answer).await else {
            return Err(format!("{path}: no end within {DEADLINE:?}"));
        };
        self.world.note(name, path, status.as_u16());
        let Ok(body) = body else { return Ok(false) };
        let body = body.to_bytes();
        let newest = self.world.version(path, usize::MAX);
        match status.as_u16() {
            200 if (oldest..=newest).any(|version| body == content(path, version)) => {}
            200 if (0..oldest).any(|version| body == content(path, version)) => {
                return Err(format!("{path}: 200 with what was purged, older than {oldest}"));
            }
            200 => return Err(format!("{path}: 200 with {} wrong bytes", body.len())),
            500 | 502..=504 => return Ok(false),
            other => return Err(format!("{path}: {other}")),
        }
        if length.is_some_and(|length| length != body.len().to_string().as_str()) {
            return Err(format!("{path}: the length is not that of the body"));
        }
        Ok(true)
    }

    /// A client that watches a title.
    pub async fn client(&self, title: &str, asked: u64) -> Result<u64, String> {
        let random = &self.world.random;
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
