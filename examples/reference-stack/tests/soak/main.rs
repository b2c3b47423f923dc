//! Whether a stack that is used for a while keeps its memory: `cargo xtask soak` runs this, with
//! `HEADWATER_SOAK_SECONDS` of mixed load; without that it is skipped, and says so.
//!
//! Clients of HTTP/1.1, with and without TLS, HTTP/2 and HTTP/3 ask for segments: hits, and misses
//! after purges, ranges, downloads that are given up in their middle, uploads (which are none for videos and are
//! refused), readers that are slow, and playlists that are compressed, on connections that are kept and on new ones. The caches' memory is
//! smaller than what is asked for, so that they are full at once; behind it is a tier on disk, which holds more.
//! There is an access log, whose file is moved away each minute.
//!
//! Beside the videos there is an application. It is sent bodies of a MiB as they come, and others that it sends
//! back; it tells events, to clients that stay to the end and to some that leave before; and it speaks to
//! WebSockets, which come and go. And a client of HTTP/3 comes back again and again, and asks in early data.
//!
//! Resident memory (`VmRSS`) is read twice a second. In the warm-up it does grow: threads start, the buffers of
//! connections and runtimes come to the sizes of the worst moment, pages of the program are read in. So a warm-up has a
//! number of requests, too: a machine that is busy with other things takes longer for them. What is [`LONG`] has 800,000.
//! At least [`COUNTED_REQUESTS`] are asked after the warm-up, so that what grows by some hundred bytes a request is
//! seen on a busy machine, too.
//!
//! What counts is read at rest: after the warm-up and at the end all clients leave, all is purged, and the least is
//! taken that is read within [`REST`], in which the allocator gives back what nobody uses. How many buffers are kept
//! for the next request is another number each time, by 4 % of the whole; so a long one is read seven times at each end
//! and a short one three times, with [`BETWEEN`] of load before each further one, and their median counts. Under load,
//! what is read swings by some percent with what is compressed at the moment.
//!
//! It may be at most 1 % more at the end; in a short one, whose warm-up is short, 8 %: 400 bytes a request.
//!
//! The store of QUIC sessions fills up, too: two for each connection, 4,096 at most (`headwater_net`).
//! So the warm-up lasts until [`FULL`] connections have been opened, by a client that does nothing else.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]
#![allow(clippy::print_stderr, reason = "the lines are for people")]

#[path = "../stack/app.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod app;
mod application;
#[path = "../handover/clients.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod clients;
#[path = "../handover/h3.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod h3;
#[path = "../handover/sockets.rs"]
mod sockets;
#[path = "../stack/support.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod support;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use application::{talk, with_app, with_app_by_quic};
use clients::{Answer, Ended, Site};
use support::{Stack, video};

/// Between two readings of memory.
const STEP: Duration = Duration::from_millis(500);
/// What is counted for this long and longer is [`LONG`].
const FROM: Duration = Duration::from_secs(60);
/// One in a debug build, with the other tests: it sees what is gross.
const SHORT: Plan = Plan {
    warm_up: Duration::from_secs(40),
    requests: 8_000,
    longest: Duration::from_secs(180),
    readings: 3,
    bar: 80,
};
/// One that says whether anything grows.
const LONG: Plan = Plan {
    warm_up: Duration::from_secs(480),
    requests: 800_000,
    longest: Duration::from_secs(3_600),
    readings: 7,
    bar: 10,
};
/// How many QUIC connections are opened before anything counts: the store of their sessions is full then.
const FULL: u64 = 2_048;
/// For how long memory is read at rest.
const REST: Duration = Duration::from_secs(15);
/// How long the load lasts between two such readings.
const BETWEEN: Duration = Duration::from_secs(15);
/// How many requests count at least; and for how long they are waited for at most.
const COUNTED_REQUESTS: u64 = 20_000;
const LONGEST_COUNT: Duration = Duration::from_secs(180);
/// Clients of each protocol.
const CLIENTS: usize = 3;

/// What clients of the application, and one that comes back, leave to the others.
const PAUSE: Duration = Duration::from_millis(20);

/// What comes before anything counts, and how it is judged.
struct Plan {
    /// How long the load lasts before anything counts.
    warm_up: Duration,
    /// And how many requests: a machine that has other things to do takes longer for them.
    requests: u64,
    /// But no longer than this.
    longest: Duration,
    /// How often memory is read at rest at each end: an odd number.
    readings: usize,
    /// How much more memory there may be, in thousandths.
    bar: i64,
}

/// What was done, by kind.
#[derive(Default)]
struct Done {
    answers: AtomicU64,
    ranges: AtomicU64,
    given_up: AtomicU64,
    uploads: AtomicU64,
    playlists: AtomicU64,
    purges: AtomicU64,
    slow: AtomicU64,
    /// Bodies that the application got, and event streams and WebSockets of its.
    sent: AtomicU64,
    events: AtomicU64,
    sockets: AtomicU64,
    /// Requests that were answered before their handshake was done.
    early: AtomicU64,
    /// QUIC connections that were opened.
    connections: AtomicU64,
    /// What went wrong, and how often: kinds of errors are few.
    failed: Mutex<BTreeMap<String, u64>>,
}

impl Done {
    fn count(&self, counter: &AtomicU64, done: Result<(), String>) {
        match done {
            Ok(()) => _ = counter.fetch_add(1, Ordering::Relaxed),
            Err(why) => *self.failed.lock().unwrap().entry(why).or_default() += 1,
        }
    }

    fn failed(&self) -> u64 {
        self.failed.lock().unwrap().values().sum()
    }

    /// Requests that came to their end.
    fn all(&self) -> u64 {
        let kinds = [&self.answers, &self.ranges, &self.given_up, &self.uploads];
        let more = [&self.playlists, &self.slow, &self.early];
        let of_app = [&self.sent, &self.events, &self.sockets];
        kinds
            .into_iter()
            .chain(more)
            .chain(of_app)
            .map(|counter| counter.load(Ordering::Relaxed))
            .sum()
    }

    fn line(&self) -> String {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        format!(
            "{} answers, {} ranges, {} given up, {} uploads refused, {} playlists, {} purges, {} slow, \
             {} bodies sent, {} event streams, {} WebSockets, {} early, {} QUIC connections, {} failed",
            read(&self.answers),
            read(&self.ranges),
            read(&self.given_up),
            read(&self.uploads),
            read(&self.playlists),
            read(&self.purges),
            read(&self.slow),
            read(&self.sent),
            read(&self.events),
            read(&self.sockets),
            read(&self.early),
            read(&self.connections),
            self.failed()
        )
    }
}

#[tokio::test]
async fn memory_does_not_grow_under_a_mixed_load() {
    let Some(seconds) = std::env::var("HEADWATER_SOAK_SECONDS").ok() else {
        eprintln!("skipped: HEADWATER_SOAK_SECONDS is unset");
        return;
    };
    let time = Duration::from_secs(seconds.parse().expect("a number of seconds"));
    let dir = tempfile::tempdir().unwrap();
    let videos = dir.path().join("videos");
    std::fs::create_dir(&videos).unwrap();
    video(&videos, "clip.mp4", 60);
    let state = dir.path().join("state");
    let (cache, log) = (dir.path().join("cache"), dir.path().join("access.log"));
    let app = app::start().await;
    let args = [
        ["--input", videos.to_str().unwrap()],
        ["--app", &app],
        ["--cache-mib", "1"],
        ["--cache-dir", cache.to_str().unwrap()],
        ["--cache-disk-mib", "64"],
        ["--access-log", log.to_str().unwrap()],
    ];
    let plan = if time >= FROM { LONG } else { SHORT };
    let stack = Stack::start(&state, args.as_flattened());
    let pid = stack.ready()["pid"].as_u64().unwrap();
    let site = Arc::new(Site::look(stack.field("base"), stack.field("http")).await);
    let done = Arc::<Done>::default();
    let load = Load {
        plain: stack.field("http").to_owned(),
        base: stack.field("base").to_owned(),
        site,
        done: Arc::clone(&done),
    };
    let operator = Operator {
        client: client(false),
        purge: stack.field("metrics").replace("/metrics", "/purge?all"),
        done: Arc::clone(&done),
    };
    let mut asking = load.start();
    let (begun, mut readings) = (Instant::now(), Vec::new());
    let mut warm: Option<Warm> = None;
    let mut minute = 0;
    loop {
        let at = begun.elapsed();
        let is_warm = || {
            let full = done.connections.load(Ordering::Relaxed) >= FULL;
            at >= plan.warm_up && full && done.all() >= plan.requests
        };
        if warm.is_none() && (is_warm() || at >= plan.longest) {
            eprintln!("warm after {} s; {}", at.as_secs(), done.line());
            let rested = at_rest(plan.readings, asking, &load, pid, &operator).await;
            asking = load.start();
            warm = Some(Warm { at: begun.elapsed(), requests: done.all(), rested });
        }
        if warm.as_ref().is_some_and(|warm| {
            let counted = at.saturating_sub(warm.at);
            let enough = done.all() >= warm.requests + COUNTED_REQUESTS;
            counted >= time && (enough || counted >= LONGEST_COUNT)
        }) {
            break;
        }
        readings.push((at, resident(pid)));
        if readings.len().is_multiple_of(20) {
            operator.purge().await;
        }
        if at.as_secs() / 60 > minute {
            minute = at.as_secs() / 60;
            assert!(std::fs::metadata(&log).is_ok_and(|file| file.len() > 0), "there is no log");
            std::fs::remove_file(&log).unwrap();
            let reopens =
                std::process::Command::new("kill").args(["-USR1", &pid.to_string()]).status();
            assert!(reopens.unwrap().success());
            eprintln!("{minute} min: {} KiB; {}", readings[readings.len() - 1].1, done.line());
        }
        tokio::time::sleep(STEP).await;
    }
    let warm = warm.unwrap();
    let ended = at_rest(plan.readings, asking, &load, pid, &operator).await;
    let counted = readings.iter().filter(|(at, _)| *at >= warm.at).map(|(_, resident)| *resident);
    let (first, last) = (median(&warm.rested), median(&ended));
    let growth = permille(first, last);
    let report = serde_json::json!({
        "seconds": time.as_secs(),
        "warm_up_seconds": warm.at.as_secs(),
        "first_kib": first,
        "last_kib": last,
        "first_readings_kib": warm.rested,
        "last_readings_kib": ended,
        "most_kib": counted.max(),
        "growth_permille": growth,
        "bar_permille": plan.bar,
        "requests": done.all(),
        "failed": done.failed(),
        "readings_ms_kib": readings
            .iter()
            .map(|(at, kib)| (at.as_millis() as u64, *kib))
            .collect::<Vec<_>>(),
    });
    eprintln!("soak: {}", done.line());
    eprintln!(
        "soak: {first} KiB after the warm-up, {last} KiB at the end, both at rest: {growth} ‰, at most {}",
        plan.bar
    );
    if let Some(path) = std::env::var_os("HEADWATER_SOAK_JSON") {
        std::fs::write(path, format!("{report:#}\n")).unwrap();
    }
    assert_eq!(stack.end("-TERM"), Some(0));
    assert_eq!(*done.failed.lock().unwrap(), BTreeMap::new(), "requests failed");
    assert!(growth <= plan.bar, "memory grew by {growth} ‰");
    for (kind, counter) in [
        ("bodies", &done.sent),
        ("event streams", &done.events),
        ("WebSockets", &done.sockets),
        ("early answers", &done.early),
    ] {
        assert!(counter.load(Ordering::Relaxed) > 0, "there were no {kind}");
    }
}

/// What there was when the warm-up had ended.
struct Warm {
    at: Duration,
    requests: u64,
    /// KiB at rest, as often as it was read.
    rested: Vec<u64>,
}

/// All clients, which can be started more than once.
struct Load {
    plain: String,
    base: String,
    site: Arc<Site>,
    done: Arc<Done>,
}

impl Load {
    fn start(&self) -> Asking {
        let (stop, mut clients) = (Arc::<AtomicBool>::default(), tokio::task::JoinSet::new());
        let shared = || (Arc::clone(&stop), Arc::clone(&self.done));
        let site = || Arc::clone(&self.site);
        let by_tcp_to = [(&self.plain, false), (&self.base, false), (&self.base, true)];
        for number in 0..CLIENTS {
            for (url, http2) in by_tcp_to {
                let (stop, done) = shared();
                clients.spawn(by_tcp(url.clone(), http2, number, site(), stop, done));
            }
            let (stop, done) = shared();
            clients.spawn(by_quic(number, site(), stop, done));
        }
        for (url, http2) in by_tcp_to {
            let (stop, done) = shared();
            clients.spawn(with_app(url.clone(), http2, stop, done));
        }
        let (stopped, done) = shared();
        clients.spawn(with_app_by_quic(site(), stopped, done));
        let (stopped, done) = shared();
        clients.spawn(talk(site(), stopped, done));
        let (stopped, done) = shared();
        clients.spawn(come_back(site(), stopped, done));
        let (stopped, done) = shared();
        clients.spawn(fill(site(), stopped, done));
        Asking { stop, clients }
    }
}

/// Clients at work.
struct Asking {
    stop: Arc<AtomicBool>,
    clients: tokio::task::JoinSet<()>,
}

impl Asking {
    /// Each ends what it is at, and its connections with it.
    async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.clients.join_all().await;
    }
}

/// Who purges everything.
struct Operator {
    client: reqwest::Client,
    purge: String,
    done: Arc<Done>,
}

impl Operator {
    async fn purge(&self) {
        let purged = self.client.post(&self.purge).send().await.map_err(|error| error.to_string());
        let purged = purged.and_then(|it| right(it.status() == 200, "purge", it.status()));
        self.done.count(&self.done.purges, purged);
    }
}

/// KiB at rest, so many times, with load before each. It begins with what is asking, and ends with nobody.
async fn at_rest(
    times: usize,
    asking: Asking,
    load: &Load,
    pid: u64,
    operator: &Operator,
) -> Vec<u64> {
    asking.end().await;
    let mut readings = vec![rest(pid, operator).await];
    while readings.len() < times {
        let asking = load.start();
        tokio::time::sleep(BETWEEN).await;
        asking.end().await;
        readings.push(rest(pid, operator).await);
    }
    eprintln!("at rest: {readings:?} KiB");
    readings
}

/// The one in the middle of an odd number of readings.
fn median(readings: &[u64]) -> u64 {
    let mut sorted = readings.to_vec();
    sorted.sort_unstable();
    sorted[sorted.len() / 2]
}

/// KiB of a stack that nobody asks and whose caches hold nothing: the least within [`REST`].
async fn rest(pid: u64, operator: &Operator) -> u64 {
    operator.purge().await;
    let (begun, mut least) = (Instant::now(), u64::MAX);
    while begun.elapsed() < REST {
        least = least.min(resident(pid));
        tokio::time::sleep(STEP).await;
    }
    least
}

/// `VmRSS` in KiB.
fn resident(pid: u64) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn permille(first: u64, last: u64) -> i64 {
    (last as i64 - first as i64) * 1000 / first as i64
}

fn client(http2: bool) -> reqwest::Client {
    let builder = reqwest::Client::builder().no_proxy().tls_danger_accept_invalid_certs(true);
    if http2 { builder.build() } else { builder.http1_only().build() }.unwrap()
}

/// What is not as it should be, as an error.
fn right(is: bool, kind: &str, what: impl Debug) -> Result<(), String> {
    if is { Ok(()) } else { Err(format!("{kind}: {what:?}")) }
}

/// A client over TCP, which does one thing after the other.
struct Tcp {
    client: reqwest::Client,
    http2: bool,
    name: &'static str,
}

impl Tcp {
    /// An error in one line, the same for all URLs.
    fn failed(&self, kind: &str, error: reqwest::Error) -> String {
        format!("{} {kind}: {:?}", self.name, error.without_url())
    }

    async fn range(&self, url: &str, whole: &[u8]) -> Result<(), String> {
        let asked = self.client.get(url).header("range", "bytes=100-199").send().await;
        let part = asked.map_err(|error| self.failed("range", error))?;
        right(part.status() == 206, "range", part.status())?;
        let part = part.bytes().await.map_err(|error| self.failed("range's body", error))?;
        right(part == whole[100..200], "range", part.len())
    }

    async fn give_up(&self, url: &str) -> Result<(), String> {
        let asked = self.client.get(url).send().await;
        let mut answer = asked.map_err(|error| self.failed("given up", error))?;
        answer.chunk().await.map_err(|error| self.failed("given up's body", error))?;
        Ok(())
    }

    async fn upload(&self, url: &str) -> Result<(), String> {
        match self.client.post(url).body(vec![7; 100_000]).send().await {
            Ok(answer) => right(answer.status() == 405, "upload", answer.status()),
            // The server need not read it all, and over HTTP/1.1 ends the connection then.
            Err(_) if !self.http2 => Ok(()),
            Err(error) => Err(self.failed("upload", error)),
        }
    }

    async fn read_slowly(&self, url: &str, whole: &[u8]) -> Result<(), String> {
        let asked = self.client.get(url).send().await;
        let mut answer = asked.map_err(|error| self.failed("slow", error))?;
        let mut came = 0;
        while let Some(piece) =
            answer.chunk().await.map_err(|error| self.failed("slow body", error))?
        {
            came += piece.len();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        right(came == whole.len(), "slow", came)
    }

    async fn playlist(&self, url: &str, coding: &str) -> Result<(), String> {
        let asked = self.client.get(url).header("accept-encoding", coding).send().await;
        let answer = asked.map_err(|error| self.failed("playlist", error))?;
        right(answer.status() == 200, "playlist", answer.status())?;
        let coded = answer.headers().get("content-encoding").cloned();
        let body = answer.bytes().await.map_err(|error| self.failed("playlist's body", error))?;
        right(coded.is_some_and(|it| it == coding) && !body.is_empty(), "playlist", body.len())
    }

    async fn get(&self, url: &str, whole: &[u8]) -> Result<(), String> {
        let asked = self.client.get(url).send().await;
        let answer = asked.map_err(|error| self.failed("answer", error))?;
        right(answer.status() == 200, "answer", answer.status())?;
        let body = answer.bytes().await.map_err(|error| self.failed("answer's body", error))?;
        right(body == whole, "answer", body.len())
    }
}

/// Does one thing after the other, and begins anew with a new connection now and then.
async fn by_tcp(
    base: String,
    http2: bool,
    number: usize,
    site: Arc<Site>,
    stop: Arc<AtomicBool>,
    done: Arc<Done>,
) {
    let name = match (http2, base.starts_with("https")) {
        (true, _) => "H2",
        (false, true) => "H1+TLS",
        (false, false) => "H1",
    };
    let mut one = Tcp { client: client(http2), http2, name };
    for turn in number.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        if turn % 100 == 99 {
            one.client = client(http2);
        }
        // Every kind of request comes to every segment.
        let (path, whole) = &site.segments[(turn + turn / 10) % site.segments.len()];
        let url = format!("{base}{path}");
        match turn % 10 {
            0 => done.count(&done.ranges, one.range(&url, whole).await),
            3 => done.count(&done.given_up, one.give_up(&url).await),
            5 => done.count(&done.uploads, one.upload(&url).await),
            8 => {
                let coding = ["gzip", "br", "zstd"][turn / 10 % 3];
                let url = format!("{base}/media/clip/v1.m3u8");
                done.count(&done.playlists, one.playlist(&url, coding).await);
            }
            7 if turn % 70 == 7 => done.count(&done.slow, one.read_slowly(&url, whole).await),
            _ => done.count(&done.answers, one.get(&url, whole).await),
        }
    }
}

/// A connection of QUIC, counted.
async fn open(site: &Site, done: &Done) -> Result<h3::Connection, String> {
    let opened = h3::Connection::open(site.addr, h3::trusting_anything()).await?;
    done.connections.fetch_add(1, Ordering::Relaxed);
    Ok(opened)
}

/// Opens connections until the store of QUIC sessions is full. Those of a connection are there once a
/// request has been answered on it.
async fn fill(site: Arc<Site>, stop: Arc<AtomicBool>, done: Arc<Done>) {
    let shortest = site.segments.iter().min_by_key(|(_, whole)| whole.len());
    let (path, whole) = shortest.expect("a segment");
    while done.connections.load(Ordering::Relaxed) < FULL && !stop.load(Ordering::Relaxed) {
        let asked = match open(&site, &done).await {
            Ok(one) => match one.get(path).await {
                Ok(Answer { body, .. }) => right(body == *whole, "first answer", body.len()),
                Err(_) => Err("first answer".into()),
            },
            Err(why) => Err(format!("a connection: {why}")),
        };
        done.count(&done.answers, asked);
    }
}

/// The same by HTTP/3, as far as its client goes.
async fn by_quic(number: usize, site: Arc<Site>, stop: Arc<AtomicBool>, done: Arc<Done>) {
    let mut one = open(&site, &done).await.expect("a connection");
    for turn in number.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        if turn % 100 == 99 {
            one = open(&site, &done).await.expect("a connection");
        }
        let (path, whole) = &site.segments[(turn + turn / 10) % site.segments.len()];
        if turn % 10 == 3 {
            // Dropped before it is whole: the stream is stopped.
            let _ = tokio::time::timeout(Duration::from_micros(300), one.get(path)).await;
            done.count(&done.given_up, Ok(()));
            continue;
        }
        let asked = match one.get(path).await {
            // What is short says what went wrong.
            Ok(Answer { body, .. }) => {
                right(body == *whole, "H3 answer", &body[..body.len().min(200)])
            }
            Err(Ended::Failed(why)) => Err(format!("H3 answer: {why}")),
            Err(Ended::Told | Ended::Idle) => Err("H3 answer: the connection ended".into()),
        };
        done.count(&done.answers, asked);
    }
}

/// Comes back with what it was given the time before, and asks at once.
async fn come_back(site: Arc<Site>, stop: Arc<AtomicBool>, done: Arc<Done>) {
    let settings = h3::settings(h3::trusting_anything()).expect("settings");
    let (path, whole) = &site.segments[0];
    let right_one = |asked: Result<Answer, Ended>| match asked {
        Ok(Answer { body, .. }) => right(body == *whole, "early answer", body.len()),
        Err(Ended::Failed(why)) => Err(format!("early answer: {why}")),
        Err(Ended::Told | Ended::Idle) => Err("early answer: the connection ended".into()),
    };
    while !stop.load(Ordering::Relaxed) {
        let asked = match h3::Connection::again(site.addr, &settings) {
            Ok(Some((one, accepted))) => {
                let answer = one.get(path).await;
                // Who is refused that asks anew; it is none that counts.
                if accepted.await {
                    done.count(&done.early, right_one(answer));
                }
                Ok(())
            }
            Ok(None) => match h3::Connection::first(site.addr, &settings).await {
                Ok(one) => right_one(one.get(path).await),
                Err(why) => Err(why),
            },
            Err(why) => Err(why),
        };
        if let Err(why) = asked {
            done.count(&done.early, Err(why));
        }
        done.connections.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(PAUSE).await;
    }
}
