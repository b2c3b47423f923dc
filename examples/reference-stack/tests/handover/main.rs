//! The binary is replaced three times while clients download by every protocol, and no request
//! fails.
//!
//! A few clients with the other tests; `cargo xtask test --handover` runs it with 200, by
//! `HEADWATER_HANDOVER_CLIENTS`, and prints the table.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]
#![allow(clippy::print_stderr, reason = "the table is for people")]

mod clients;
mod h3;
#[path = "../stack/support.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod support;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clients::{Asked, Protocol, Site, Tally};
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
    let stack = Stack::start(&state, &["--drain", "60", "--input", videos.to_str().unwrap()]);
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
    let mut pids = vec![pid(&ready)];
    for _ in 0..ROUNDS {
        everybody_got_more(&tallies, clients).await;
        let old = *pids.last().unwrap();
        signal("-USR2", old);
        wait(|| pid(&ready) != old).await;
        pids.push(pid(&ready));
    }
    everybody_got_more(&tallies, clients).await;
    stop.store(true, Ordering::Relaxed);
    for client in asking {
        tokio::time::timeout(PATIENCE, client).await.expect("a client hangs").unwrap();
    }
    eprintln!("{}", table(clients, &tallies));
    // Each has ended, and the last one ends as any does.
    for old in &pids[..ROUNDS] {
        wait(|| is_gone(*old)).await;
    }
    let last = pids[ROUNDS];
    signal("-TERM", last);
    wait(|| is_gone(last)).await;
    assert!(!ready.exists(), "the ready file stays behind");
    for (protocol, tally) in &tallies {
        assert_eq!(tally.failures(), Vec::<String>::new(), "{}", protocol.name());
    }
    drop(stack);
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

fn table(clients: usize, tallies: &[(Protocol, Arc<Tally>); 3]) -> String {
    let mut text = format!(
        "{clients} clients, the binary replaced {ROUNDS} times\n\
         protocol  answers        MB  told to leave  closed idle  failed\n"
    );
    for (protocol, tally) in tallies {
        text.push_str(&tally.row(protocol.name()));
        text.push('\n');
    }
    text
}
