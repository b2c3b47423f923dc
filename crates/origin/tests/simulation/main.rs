//! A deterministic simulation, in virtual time: three edges that choose among two shields, which are
//! peers of one another, before two origins. Their links are slow, break off, are cut, both ways or so that only
//! what is asked arrives, and heal; machines
//! are killed and come back without memory; titles get new bytes under new validators, and what was
//! there before is purged everywhere by a number that all are given; edges tell shields of what they
//! answer by themselves. Everything follows from a seed: played twice, each machine gives each answer at the
//! same time. Whatever happens,
//!
//! - each client gets the right bytes or an honest error: a body that was cut never looks complete, no
//!   two versions are mixed, and what was purged at an edge never comes back there;
//! - nothing hangs: each answer has come within [`DEADLINE`];
//! - once all is well again, origins are asked at most 1.1 times for each object, over all seeds, by both
//!   shields, and by each for what it has from no peer; and of one seed, once for each object that was
//!   not fetched ahead for nobody, unless a shield asked a second origin because the first was slow
//!   (one in twenty, as they look for the slowest).
//!
//! What is asked for are whole objects by `GET`: the playlist of a title and its segments, which say how long they
//! are. Ranges, bodies of unknown length, live titles and DASH have plays of their own (`resume`, `slices`, `live`,
//! `numbers`, and `stress` of the cache). The network is made here, of in-process services on tokio's paused
//! clock: every layer between a client and an origin is a service, so that nothing of theirs has to be exchanged
//! for sockets or a runtime of a simulator's own, and one thread's order of steps follows from the seed.
//!
//! `SEEDS=5000` tries more than the usual, `SEED=17` one again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod machines;
mod network;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use network::Network;

/// Seeds that are tried where `SEEDS` says nothing.
const SEEDS: u64 = 40;
/// Virtual time in which an answer has come to its end.
const DEADLINE: Duration = Duration::from_secs(120);
/// Clients, what each asks for, and titles and segments to choose from.
const CLIENTS: usize = 6;
const ASKED: u64 = 12;
const TITLES: usize = 4;
const SEGMENTS: u64 = 8;
/// Disasters, one every second or so.
const DISASTERS: u64 = 16;
/// Rounds of requests, one every ten seconds, in which everybody finds out that all is well again.
const ROUNDS: u64 = 30;

const HOST: &str = "video.example";

/// What came of it once all was well.
#[derive(Default)]
struct Steady {
    /// What origins were asked for, and how often.
    objects: usize,
    requests: u32,
    /// What shields asked their peers, and were told by edges.
    of_peers: u64,
    hints: u64,
    /// Answers that were given, and did not arrive.
    lost: u64,
    /// Of all that happened.
    digest: u64,
}

/// Titles that nobody has asked for: as many of the one shield as of the other.
fn unknown(network: &Network) -> Vec<String> {
    let edge = network.edges[0].up().unwrap();
    let homes = edge.shields.members();
    let of = |home: &str| {
        let mut all = (0..).map(|n| format!("new-{n}"));
        let mut own = Vec::new();
        while own.len() < TITLES / homes.len() {
            own.extend(
                all.next().filter(|title| edge.home(&format!("/{title}/")).unwrap() == home),
            );
        }
        own
    };
    homes.iter().flat_map(|member| of(&member.name)).collect()
}

/// Plays one seed; says what was wrong.
async fn play(seed: u64) -> Result<Steady, String> {
    let network = Arc::new(Network::new(seed));
    let _beside = network.beside();
    let crowd = |titles: &[String]| {
        let mut crowd = tokio::task::JoinSet::new();
        for title in titles.iter().cycle().take(CLIENTS) {
            let (network, title) = (Arc::clone(&network), title.clone());
            crowd.spawn(async move { network.client(&title, ASKED).await });
        }
        crowd
    };
    let titles: Vec<_> = (0..TITLES).map(|n| n.to_string()).collect();
    let troubled = crowd(&titles);
    network.disasters(&titles).await;
    for one in troubled.join_all().await {
        one?;
    }

    network.recover().await?;
    network.asked.lock().unwrap().clear();
    let counted = || {
        let shields = network.shields.iter().map(|node| node.up().unwrap().shield);
        shields.map(|shield| shield.metrics().clone()).collect::<Vec<_>>()
    };
    let origins: Vec<_> = counted().iter().map(|one| one.origin_requests.get()).collect();
    let before = network.surplus();
    for got in crowd(&unknown(&network)).join_all().await {
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
    let all = counted();
    if all.iter().zip(origins).any(|(one, before)| one.origin_requests.get() == before) {
        return Err("all is well, and a shield is idle".to_owned());
    }
    let of_peers = all.iter().map(|one| one.peer_requests.get()).sum();
    let hints = all.iter().map(|one| one.hints_taken.get()).sum();
    let lost = network.world.lost.load(Ordering::Relaxed);
    let digest = network.world.digest();
    Ok(Steady { objects, requests, of_peers, hints, lost, digest })
}

/// In virtual time.
fn play_alone(seed: u64) -> Result<Steady, String> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(play(seed))
}

/// What a seed shows it shows again: else what was wrong once could not be looked at.
#[test]
fn a_seed_is_played_alike_each_time() {
    for seed in [3, 17, 29] {
        let [one, other] = [(); 2].map(|()| play_alone(seed).map(|steady| steady.digest));
        assert_eq!(one, other, "SEED={seed}");
        assert!(one.is_ok(), "{one:?}; again with SEED={seed}");
    }
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
        match play_alone(seed) {
            Ok(steady) => {
                all.objects += steady.objects;
                all.requests += steady.requests;
                all.of_peers += steady.of_peers;
                all.hints += steady.hints;
                all.lost += steady.lost;
            }
            Err(wrong) => panic!("{wrong}; again with SEED={seed}"),
        }
    }
    let Steady { objects, requests, of_peers, hints, lost, .. } = all;
    let one = number("SEED").is_some();
    let all_came = of_peers > 0 && hints > 0 && (one || lost > 0);
    assert!(
        all_came,
        "peers were asked {of_peers} times, {hints} hints came, {lost} answers did not"
    );
    // Of all seeds together: a few objects of one may all have been hedged.
    assert!(one || f64::from(requests) <= objects as f64 * 1.1, "{requests} for {objects} objects");
}
