//! A process with a cache is killed at random points under load, again and again, and each time what
//! it left is compared with what its origin gave and with what it had promised.
//!
//! The child ([`child`]) is this program. It fetches versions of bodies that anyone can derive from
//! their key and version, invalidates and purges some, and tells over a pipe what it was promised:
//! which version of a key was flushed, which are purged. The parent kills it, opens its folder, and
//! asks for every key without an origin. Wrong, torn, lost after a flush, resurrected after a purge:
//! all must be none.
//!
//! `HEADWATER_CRASH_ROUNDS` and `HEADWATER_CRASH_SEED` make it longer and other; `cargo xtask test
//! --crash` sets them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod common;

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use common::{Origin, reply};
use headwater_cache::{BoxError, Cache, CacheService, Disk, Purge};
use headwater_net::Body;
use http::request::Parts;
use http::{Request, Response};
use tokio::sync::Mutex;
use tower::{Layer as _, ServiceExt as _};

const KEYS: u64 = 150;
const FOLDER: &str = "HEADWATER_CRASH_FOLDER";
/// A folder is begun anew after so many rounds: before its regions go for want of room.
const ROUNDS_A_FOLDER: u64 = 8;

/// Splitmix64: numbers that look random and are the same in every run.
fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The body of a key at a version: most are short, some span blocks.
fn body(key: u64, version: u64) -> Vec<u8> {
    let random = mix(key << 32 ^ version);
    let len = if random.is_multiple_of(8) { random >> 8 & 0x3_ffff } else { random >> 8 & 0xfff };
    (0..len.div_ceil(8)).flat_map(|at| mix(random ^ at).to_le_bytes()).collect()
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn key_of(parts: &Parts) -> u64 {
    parts.uri.path().trim_start_matches('/').parse().unwrap()
}

/// The cache in a folder. Bodies from 32 KiB on are read as streams of blocks.
fn cache(dir: &Path) -> Cache {
    let disk = Disk::builder(dir.join("disk"), 512 << 20)
        .region(1 << 20)
        .promote(32 << 10)
        .selective(false)
        .open()
        .unwrap();
    // Next to no RAM: what is asked for again is read from disk.
    Cache::builder().name("edge").ram(100_000).disk(disk).build()
}

async fn send(
    edge: &CacheService<Origin>,
    method: &str,
    key: u64,
    control: &str,
) -> Response<Body> {
    let request = Request::builder()
        .method(method)
        .uri(format!("http://example.com/{key}"))
        .header("cache-control", control)
        .body(Body::empty())
        .unwrap();
    let Ok(response) = edge.clone().oneshot(request).await;
    response
}

/// What came: the version, and the body unless it broke off.
async fn receive(response: Response<Body>) -> (Option<u64>, Option<Bytes>) {
    let version = response.headers().get("x-version");
    let version = version.and_then(|version| version.to_str().ok()?.parse().ok());
    let body = response.into_body().collect(1 << 30).await;
    (version, body.ok().map(|body| body.to_bytes()))
}

/// Tells the parent. Whole lines, at once.
fn tell(what: char, key: u64, version: u64) {
    let line = format!("{what} {key} {version}\n");
    // Nobody listens any more: the end is near.
    let _ = std::io::stdout().write_all(line.as_bytes());
}

/// The process that is killed; nothing in an ordinary run.
#[test]
fn child() {
    let Some(dir) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let seed = number("HEADWATER_CRASH_SEED").unwrap();
    let first = number("HEADWATER_CRASH_VERSION").unwrap();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(load(&dir, seed, first));
}

async fn load(dir: &Path, seed: u64, first: u64) {
    let versions = Arc::new(AtomicU64::new(first));
    let next = Arc::clone(&versions);
    let origin = Origin::failing(move |parts| {
        if parts.method == "POST" {
            return Ok(reply(200, &[], ""));
        }
        let key = key_of(parts);
        let version = next.fetch_add(1, Ordering::AcqRel) + 1;
        let mut bytes = body(key, version);
        let response = Response::builder()
            .header("cache-control", "max-age=100000")
            .header("x-version", version)
            .header("surrogate-key", format!("group-{}", key % 10))
            .header("content-length", bytes.len());
        if mix(version).is_multiple_of(16) {
            // Breaks off; or never comes.
            bytes.truncate(bytes.len() / 2);
            if bytes.is_empty() {
                return Err(BoxError::from("refused"));
            }
        }
        Ok(response.body(Body::from(bytes)).unwrap())
    });
    let cache = cache(dir);
    let edge = cache.layer().layer(origin);
    tell('R', 0, 0);
    let mut tasks = tokio::task::JoinSet::new();
    let keys: Arc<Vec<Key>> = Arc::new((0..KEYS).map(|_| Key::default()).collect());
    let promising = Arc::new(tokio::sync::RwLock::new(()));
    for task in 0..6u64 {
        let (cache, edge, keys) = (cache.clone(), edge.clone(), Arc::clone(&keys));
        let (versions, promising) = (Arc::clone(&versions), Arc::clone(&promising));
        tasks.spawn(async move {
            for step in 0..100_000u64 {
                let random = mix(seed ^ task << 48 ^ step << 8);
                let key = random % KEYS;
                match random >> 32 & 0xff {
                    0..4 => {
                        // One kind of promise at a time: the other waits.
                        let _turn = promising.read().await;
                        take_back(&cache, &edge, &keys, &versions, key, random >> 40 & 3).await;
                    }
                    fetch => {
                        let state = &keys[key as usize];
                        let _turn = state.turn.lock().await;
                        let before = *state.seen.lock().await;
                        let control = if fetch < 0x60 { "no-cache" } else { "" };
                        let got = receive(send(&edge, "GET", key, control).await).await;
                        if let (Some(version), Some(bytes)) = got {
                            assert!(bytes == body(key, version), "{key} at {version}");
                            let mut seen = state.seen.lock().await;
                            // What was fetched beside a purge may be gone by it.
                            if seen.begun == before.done {
                                seen.version = version;
                            }
                        }
                    }
                }
            }
        });
    }
    loop {
        {
            let _turn = promising.write().await;
            let mut all = Vec::new();
            for (key, state) in (0..).zip(keys.iter()) {
                all.push((key, state.seen.lock().await.version));
            }
            cache.flush().await;
            assert_eq!(cache.metrics().disk.unwrap().dropped_writes.get(), 0);
            for (key, version) in all.into_iter().filter(|(_, version)| *version > 0) {
                tell('F', key, version);
            }
        }
        tokio::time::sleep(Duration::from_millis(15)).await;
        assert!(tasks.try_join_next().is_none(), "a task ended");
    }
}

/// What the child keeps of a key.
#[derive(Default)]
struct Key {
    /// Of two fetches of a key, either may end last: one at a time is asked for.
    turn: Mutex<()>,
    seen: Mutex<Seen>,
}

#[derive(Clone, Copy, Default)]
struct Seen {
    /// How many purges of the key began, and how many are done.
    begun: u64,
    done: u64,
    /// The newest version that was fetched while there was none.
    version: u64,
}

/// Purges a key by one way or another, and tells of it before and after.
async fn take_back(
    cache: &Cache,
    edge: &CacheService<Origin>,
    keys: &[Key],
    versions: &AtomicU64,
    key: u64,
    way: u64,
) {
    let group = key % 10;
    let gone: Vec<u64> = (0..KEYS).filter(|&k| k == key || way == 0 && k % 10 == group).collect();
    for &key in &gone {
        let mut seen = keys[key as usize].seen.lock().await;
        *seen = Seen { begun: seen.begun + 1, version: 0, ..*seen };
        tell('B', key, 0);
    }
    let before = versions.load(Ordering::Acquire);
    match way {
        0 => drop(cache.purge(Purge::tag(format!("group-{group}"))).await.unwrap()),
        1 => drop(cache.purge(Purge::url(format!("http://example.com/{key}"))).await.unwrap()),
        _ => drop(receive(send(edge, "POST", key, "").await).await),
    }
    for &key in &gone {
        tell('P', key, before);
        keys[key as usize].seen.lock().await.done += 1;
    }
}

/// What the child was promised of one key.
#[derive(Clone, Copy, Debug, Default)]
struct Promise {
    /// This version or a newer one is on disk; none where a purge has begun since.
    flushed: u64,
    /// This version and those before are not served.
    purged: u64,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    served: u64,
    wrong: u64,
    torn: u64,
    lost: u64,
    resurrected: u64,
}

#[test]
fn whenever_a_process_is_killed_what_it_leaves_is_right() {
    if std::env::var_os(FOLDER).is_some() {
        return;
    }
    let rounds = number("HEADWATER_CRASH_ROUNDS").unwrap_or(5);
    let seed = number("HEADWATER_CRASH_SEED").unwrap_or(1);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut tally = Tally::default();
    let mut dir = tempfile::tempdir().unwrap();
    let mut promises: HashMap<u64, Promise> = HashMap::new();
    for round in 0..rounds {
        if round % ROUNDS_A_FOLDER == 0 {
            dir = tempfile::tempdir().unwrap();
            promises.clear();
        }
        kill_a_child(dir.path(), mix(seed << 20 ^ round), (round + 1) << 32, &mut promises);
        runtime.block_on(compare(dir.path(), &mut promises, &mut tally));
    }
    let Tally { served, wrong, torn, lost, resurrected } = tally;
    let line = format!(
        "crash: {rounds} rounds, seed {seed}, {served} served: {wrong} wrong, {torn} torn, {lost} \
         lost-after-flush, {resurrected} resurrected-purge\n"
    );
    std::io::stderr().write_all(line.as_bytes()).unwrap();
    assert_eq!(tally, Tally { served, ..Tally::default() });
    assert!(served > rounds * KEYS / 4, "too little was served to say anything");
}

fn kill_a_child(dir: &Path, seed: u64, version: u64, promises: &mut HashMap<u64, Promise>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env(FOLDER, dir)
        .env("HEADWATER_CRASH_SEED", seed.to_string())
        .env("HEADWATER_CRASH_VERSION", version.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap());
    let ready = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let listener = scope.spawn(|| {
            for line in lines.split(b'\n') {
                let line = String::from_utf8(line.unwrap()).unwrap();
                let mut words = line.split(' ');
                let (Some(what), Some(Ok(key)), Some(Ok(version))) =
                    (words.next(), words.next().map(str::parse), words.next().map(str::parse))
                else {
                    continue;
                };
                let version: u64 = version;
                let promise = promises.entry(key).or_default();
                match what {
                    "R" => ready.store(true, Ordering::Release),
                    "F" if version > promise.purged => promise.flushed = version,
                    "B" => promise.flushed = 0,
                    "P" => promise.purged = version,
                    _ => {}
                }
            }
        });
        while !ready.load(Ordering::Acquire) && !listener.is_finished() {
            std::thread::yield_now();
        }
        // Not to wait for anything: this is when it happens.
        std::thread::sleep(Duration::from_millis(5 + mix(seed) % 500));
        child.kill().unwrap();
        listener.join().unwrap();
    });
    let status = child.wait().unwrap();
    assert!(status.code().is_none(), "the child ended by itself: {status}");
}

async fn compare(dir: &Path, promises: &mut HashMap<u64, Promise>, tally: &mut Tally) {
    let origin = Origin::failing(|_| Err(BoxError::from("there is none")));
    let cache = cache(dir);
    let edge = cache.layer().layer(origin);
    for key in 0..KEYS {
        let promise = promises.entry(key).or_default();
        let response = send(&edge, "GET", key, "only-if-cached").await;
        let status = response.status();
        let (version, got) = receive(response).await;
        match (version, got) {
            (Some(version), Some(bytes)) => {
                tally.served += 1;
                tally.wrong += u64::from(bytes != body(key, version) || status != 200);
                tally.resurrected += u64::from(version <= promise.purged);
                tally.lost += u64::from(version < promise.flushed);
            }
            (Some(_), None) => tally.torn += 1,
            (None, _) => tally.lost += u64::from(promise.flushed > 0),
        }
    }
    cache.close().await;
}
