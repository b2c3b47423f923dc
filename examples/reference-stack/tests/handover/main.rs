//! The binary is replaced three times while clients download by every protocol, and no request
//! fails. Others upload meanwhile, with bodies that begin before each time and end after it, and talk over
//! WebSockets, which the old process keeps until their clients end them.
//!
//! A few clients with the other tests; `cargo xtask test --handover` runs it with 200, by
//! `HEADWATER_HANDOVER_CLIENTS`, and prints the table.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]
#![allow(clippy::print_stderr, reason = "the table is for people")]

#[path = "../stack/app.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod app;
mod clients;
#[allow(dead_code, reason = "other tests use the rest")]
mod h3;
mod sockets;
#[path = "../stack/support.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod support;

use std::convert::Infallible;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use clients::{Asked, Connection, Ended, Http2, Protocol, Site, Tally, Uploads};
use http::Response;
use http_body_util::Empty;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use sockets::Socket;
use support::{Stack, video};

/// How often the binary is replaced.
const ROUNDS: usize = 3;
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_binary_is_replaced_three_times_and_no_request_fails() {
    let clients: usize = std::env::var("HEADWATER_HANDOVER_CLIENTS")
        .map_or(12, |number| number.parse().expect("a number of clients"));
    let dir = tempfile::tempdir().unwrap();
    let videos = dir.path().join("videos");
    std::fs::create_dir(&videos).unwrap();
    video(&videos, "clip.mp4", 14);
    let state = dir.path().join("state");
    let app = app::start().await;
    let args = ["--app", &app, "--input", videos.to_str().unwrap()];
    let stack = Stack::start(&state, &args);
    let ready = state.join("ready.json");
    let site = Arc::new(Site::look(stack.field("base"), stack.field("http")).await);

    let stop = Arc::<AtomicBool>::default();
    let tallies = Protocol::ALL.map(|protocol| (protocol, Arc::<Tally>::default()));
    let mut asking = Vec::new();
    for number in 0..clients.max(3) {
        let (protocol, tally) = &tallies[number % tallies.len()];
        let asked = Asked { site: Arc::clone(&site), tally: Arc::clone(tally), number };
        asking.push(tokio::spawn(clients::ask(*protocol, asked, Arc::clone(&stop))));
    }
    let uploads = Arc::<Uploads>::default();
    let uploaded = Protocol::ALL.map(|protocol| (protocol, Arc::<Tally>::default()));
    let uploaders = uploaded.len() * clients.div_ceil(20);
    for number in 0..uploaders {
        let (protocol, tally) = &uploaded[number % uploaded.len()];
        let (uploads, tally) = (Arc::clone(&uploads), Arc::clone(tally));
        asking.push(tokio::spawn(clients::upload(*protocol, site.addr, uploads, tally)));
    }
    let has_failed = || uploaded.iter().any(|(_, tally)| tally.has_failed());
    let mut pids = vec![pid(&ready)];
    for round in 0..ROUNDS {
        everybody_got_more(&tallies, clients).await;
        wait(|| uploads.under_way() == uploaders || has_failed()).await;
        let mut sockets = Vec::new();
        for protocol in Socket::PROTOCOLS {
            let mut socket = Socket::open(protocol, site.addr).await.unwrap();
            socket.echoes(b"before").await.unwrap();
            sockets.push(socket);
        }
        let old = *pids.last().unwrap();
        signal("-USR2", old);
        wait(|| pid(&ready) != old).await;
        pids.push(pid(&ready));
        uploads.were_survived();
        // The next process answers, and the old one is still there for who has not finished.
        everybody_got_more(&tallies, clients).await;
        for socket in &mut sockets {
            socket.echoes(b"after").await.unwrap();
        }
        assert!(!is_gone(old), "round {round}: it has not waited for its WebSockets");
    }
    uploads.end();
    stop.store(true, Ordering::Relaxed);
    for client in asking {
        tokio::time::timeout(PATIENCE, client).await.expect("a client hangs").unwrap();
    }
    eprintln!("{}", table(clients, &tallies));
    eprintln!("{}", table_of_uploads(uploaders, &uploaded));
    // Each has ended, and the last one ends as any does.
    for old in &pids[..ROUNDS] {
        wait(|| is_gone(*old)).await;
    }
    let last = pids[ROUNDS];
    signal("-TERM", last);
    wait(|| is_gone(last)).await;
    assert!(!ready.exists(), "the ready file stays behind");
    for (protocol, tally) in tallies.iter().chain(&uploaded) {
        assert_eq!(tally.failures(), Vec::<String>::new(), "{}", protocol.name());
    }
    // What HTTP/1.1 may do without a word, the others say.
    for (protocol, tally) in &tallies {
        let says = *protocol != Protocol::H1;
        assert!(!says || (tally.told() > 0 && tally.idle() == 0), "{}", protocol.name());
    }
    // Each upload that was under way came to its end.
    let whole: u64 = uploaded.iter().map(|(_, tally)| tally.answers()).sum();
    assert!(whole >= (ROUNDS * uploaders) as u64, "{whole} uploads came to their end");
    drop(stack);
}

/// What the table says of HTTP/2 depends on it.
#[tokio::test]
async fn who_was_told_to_leave_is_told_from_who_was_not() {
    for says_so in [true, false] {
        let (near, far) = tokio::io::duplex(64 << 10);
        let answers =
            service_fn(async |_| Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())));
        let server = http2::Builder::new(TokioExecutor::new());
        let mut server = Box::pin(server.serve_connection(TokioIo::new(far), answers));
        let mut client = Connection::H2(Http2::over(TokioIo::new(near)).await.unwrap());
        let answer = tokio::select! {
            answer = client.get(([127, 0, 0, 1], 443).into(), "/") => answer,
            ended = &mut server => panic!("the server has ended: {ended:?}"),
        };
        assert!(answer.is_ok());
        if says_so {
            server.as_mut().graceful_shutdown();
            // The client may have left before all was said.
            let _ = server.await;
        } else {
            drop(server);
        }
        let Connection::H2(mut client) = client else { unreachable!() };
        let ended = client.ended().await;
        assert_eq!(matches!(ended, Ended::Told), says_so, "{ended:?}");
        assert_eq!(matches!(ended, Ended::Idle), !says_so, "{ended:?}");
    }
}

fn pid(ready: &Path) -> u64 {
    // Renamed into place, so whole at any time.
    let text = std::fs::read(ready).expect("the ready file is there");
    let ready: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
    ready["pid"].as_u64().expect("a pid")
}

fn signal(name: &str, pid: u64) {
    assert!(Command::new("kill").args([name, &pid.to_string()]).status().unwrap().success());
}

/// Whether a process has ended; one that nobody asked for its exit code has, too.
fn is_gone(pid: u64) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .map_or(true, |stat| stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" Z")))
}

async fn wait(condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("it takes too long");
}

/// Waits until each protocol has had two more answers for each of its clients.
async fn everybody_got_more(tallies: &[(Protocol, Arc<Tally>); 3], clients: usize) {
    let more = 2 * clients.div_ceil(tallies.len()) as u64;
    let before = tallies.each_ref().map(|(_, tally)| tally.answers());
    wait(|| {
        let mut all = tallies.iter().zip(before);
        all.all(|((_, tally), before)| tally.answers() >= before + more || tally.has_failed())
    })
    .await;
}

const COLUMNS: &str = "protocol  answers        MB  told to leave  closed idle  failed";

fn table(clients: usize, tallies: &[(Protocol, Arc<Tally>); 3]) -> String {
    let sockets = ROUNDS * Socket::PROTOCOLS.len();
    let head = format!(
        "{clients} clients, the binary replaced {ROUNDS} times; {sockets} WebSockets outlived it"
    );
    rows(head, tallies)
}

fn table_of_uploads(clients: usize, tallies: &[(Protocol, Arc<Tally>); 3]) -> String {
    rows(format!("beside them, {clients} that upload while it is replaced"), tallies)
}

fn rows(head: String, tallies: &[(Protocol, Arc<Tally>); 3]) -> String {
    let rows = tallies.iter().map(|(protocol, tally)| tally.row(protocol.name()));
    [head, COLUMNS.to_owned()].into_iter().chain(rows).collect::<Vec<_>>().join("\n") + "\n"
}
