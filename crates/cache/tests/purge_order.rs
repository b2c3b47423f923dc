//! Purges that a control plane numbers, across an edge and a shield, delivered in any order, more
//! than once, late or never, with restarts between: what an edge answers is never older than any purge
//! that it acknowledged, nor than one before it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod common;

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use common::until;
use headwater_cache::{Cache, Disk, Downstream, Purge, PurgeSeq, TierLayer};
use headwater_net::Body;
use http::{Request, Response};
use proptest::prelude::*;
use tower::util::BoxCloneSyncService;
use tower::{Layer as _, ServiceExt as _, service_fn};

/// Objects, each with a tag of its own.
const OBJECTS: u64 = 3;

#[derive(Clone, Debug)]
enum Step {
    /// The object changes, and the control plane gives a purge of it the next number.
    Change(u64),
    /// One of the purges so far reaches the edge, or the shield, for the first time or again.
    ToEdge(prop::sample::Index),
    ToShield(prop::sample::Index),
    /// Somebody asks the edge, or another edge does so of the shield.
    Ask(u64),
    AskShield(u64),
    RestartEdge,
    RestartShield,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0..OBJECTS).prop_map(Step::Change),
        4 => any::<prop::sample::Index>().prop_map(Step::ToEdge),
        3 => any::<prop::sample::Index>().prop_map(Step::ToShield),
        6 => (0..OBJECTS).prop_map(Step::Ask),
        2 => (0..OBJECTS).prop_map(Step::AskShield),
        1 => Just(Step::RestartEdge),
        1 => Just(Step::RestartShield),
    ];
    prop::collection::vec(step, 1..40)
}

type Upstream = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;

/// One tier, in a folder that outlives it.
struct Tier {
    name: &'static str,
    folder: tempfile::TempDir,
    downstream: Downstream,
    upstream: Upstream,
    cache: Cache,
}

impl Tier {
    fn new(name: &'static str, downstream: Downstream, upstream: Upstream) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let cache = open(name, folder.path(), downstream);
        Self { name, folder, downstream, upstream, cache }
    }

    async fn restart(&mut self) {
        self.cache.close().await;
        self.cache = open(self.name, self.folder.path(), self.downstream);
    }

    async fn get(&self, object: u64, seen: Option<u64>) -> u64 {
        let mut request = Request::get(format!("http://example.com/{object}"));
        if let Some(seen) = seen {
            request = request.header("headwater-purge-seq", seen);
        }
        let service = self.cache.layer().layer(self.upstream.clone());
        let Ok(answer) = service.oneshot(request.body(Body::empty()).unwrap()).await;
        let version = common::text(answer).await.parse().unwrap();
        until(|| self.cache.metrics().fill_bytes.get() == 0).await;
        version
    }

    async fn purge(&self, number: u64, object: u64) {
        let purge = Purge::tag(format!("t{object}")).at(PurgeSeq::new(number));
        self.cache.purge(purge.following(PurgeSeq::new(number - 1))).await.unwrap();
    }
}

fn open(name: &str, folder: &Path, downstream: Downstream) -> Cache {
    let disk = Disk::builder(folder, 4 << 20).region(256 << 10).read_threads(1).open().unwrap();
    Cache::builder().name(name).disk(disk).downstream(downstream).build()
}

async fn run(steps: Vec<Step>) {
    let versions: Arc<[AtomicU64]> = (0..OBJECTS).map(|_| AtomicU64::new(0)).collect();
    let now = Arc::clone(&versions);
    let origin = service_fn(move |request: Request<Body>| {
        let object: usize = request.uri().path().trim_start_matches('/').parse().unwrap();
        let answer = Response::builder()
            .header("cache-control", "max-age=1000")
            .header("surrogate-key", format!("t{object}"))
            .body(Body::from(now[object].load(Ordering::SeqCst).to_string()));
        async move { Ok::<_, Infallible>(answer.unwrap()) }
    });
    let mut shield = Tier::new("shield", Downstream::Caches, BoxCloneSyncService::new(origin));
    // The edge asks whatever the shield is at the time.
    let current = Arc::new(std::sync::Mutex::new(shield.cache.clone()));
    let (asked, behind) = (Arc::clone(&current), shield.upstream.clone());
    let link = service_fn(move |request: Request<Body>| {
        let cache = asked.lock().unwrap().clone();
        let service = cache.layer().layer(behind.clone());
        service.oneshot(request)
    });
    let mut edge =
        Tier::new("edge", Downstream::Clients, BoxCloneSyncService::new(TierLayer.layer(link)));
    // What each purge was about, and the version it brought; the newest that each tier acknowledged.
    let mut purges: Vec<(u64, u64)> = Vec::new();
    let (mut by_edge, mut by_shield) = (0, 0);
    let floor = |purges: &[(u64, u64)], up_to: usize, object: u64| {
        let about = purges[..up_to].iter().filter(|(of, _)| *of == object);
        about.map(|(_, version)| *version).max().unwrap_or(0)
    };
    for step in steps {
        match step {
            Step::Change(object) => {
                let version = versions[object as usize].fetch_add(1, Ordering::SeqCst) + 1;
                purges.push((object, version));
            }
            Step::ToEdge(which) if !purges.is_empty() => {
                let nth = which.index(purges.len());
                edge.purge(nth as u64 + 1, purges[nth].0).await;
                by_edge = by_edge.max(nth + 1);
            }
            Step::ToShield(which) if !purges.is_empty() => {
                let nth = which.index(purges.len());
                shield.purge(nth as u64 + 1, purges[nth].0).await;
                by_shield = by_shield.max(nth + 1);
            }
            Step::ToEdge(_) | Step::ToShield(_) => {}
            Step::Ask(object) => {
                let version = edge.get(object, None).await;
                let least = floor(&purges, by_edge, object);
                assert!(version >= least, "{version} of {object}, purged up to {least}");
            }
            Step::AskShield(object) => {
                let seen = (by_edge > 0).then_some(by_edge as u64);
                let version = shield.get(object, seen).await;
                let least = floor(&purges, by_edge.max(by_shield), object);
                assert!(version >= least, "{version} of {object}, purged up to {least}");
            }
            Step::RestartEdge => edge.restart().await,
            Step::RestartShield => {
                shield.restart().await;
                *current.lock().unwrap() = shield.cache.clone();
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 24,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_order_of_deliveries_brings_back_what_was_purged(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(steps));
    }
}

#[tokio::test]
async fn a_late_purge_finds_its_work_done_and_those_in_order_take_no_more_than_theirs() {
    let purge = |number: u64, tag: &str| {
        Purge::tag(tag).at(PurgeSeq::new(number)).following(PurgeSeq::new(number - 1))
    };
    let stand = common::stand(&common::Origin::new(|parts| {
        let tag = parts.uri.path().trim_start_matches('/').to_owned();
        let fields = [("cache-control", "max-age=100"), ("surrogate-key", tag.as_str())];
        common::ok(&fields, "x")
    }));
    let fill = async |path: &str| {
        let status = stand.fetch(path, &[]).await.2;
        until(|| stand.cache.metrics().fill_bytes.get() == 0).await;
        status
    };
    fill("/a").await;
    fill("/b").await;
    stand.cache.purge(purge(1, "a")).await.unwrap();
    assert!(fill("/b").await.contains("hit"), "nothing is missing");
    stand.cache.purge(purge(3, "none")).await.unwrap();
    assert!(fill("/b").await.contains("uri-miss"), "the second may have been about it");
    stand.cache.purge(purge(2, "b")).await.unwrap();
    assert!(fill("/b").await.contains("hit"), "it was fetched after the third");
    stand.cache.purge(purge(4, "b")).await.unwrap();
    assert!(fill("/b").await.contains("uri-miss"));
    let wrong = Purge::all().at(PurgeSeq::new(5)).following(PurgeSeq::new(5));
    assert!(stand.cache.purge(wrong).await.unwrap_err().to_string().starts_with("follows"));
}
