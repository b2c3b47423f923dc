//! Cache hits: CPU time a request of each server, and its ratio to ours.

use std::time::Duration;

use serde::Serialize;

use super::{Args, Bench, turns};
use crate::load::{Load, Objects, Protocol, Result};
use crate::peer::Server;
use crate::stats::Spread;

/// Body sizes: a manifest or a small audio segment, a part, a video segment.
pub(super) const SIZES: [u64; 3] = [1 << 10, 64 << 10, 1 << 20];

/// How much is asked for in turn where hits come from disk.
const FROM_DISK: u64 = 32 << 20;

/// The most objects that is.
const MOST_OBJECTS: u64 = 8192;

/// One case: how, and what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Case {
    pub(super) protocol: Protocol,
    pub(super) size: u64,
    objects: u32,
}

impl Case {
    /// What of which server is measured.
    fn of(&self, server: &Server) -> String {
        format!("{} {} B {}", self.protocol.name(), self.size, server.name())
    }
}

/// One case's figures.
#[derive(Serialize)]
pub(super) struct Row {
    pub(super) protocol: Protocol,
    pub(super) size: u64,
    /// Ours first.
    pub(super) servers: Vec<Figures>,
}

/// One server's figures in one case: medians over the rounds.
#[derive(Serialize)]
pub(super) struct Figures {
    pub(super) name: &'static str,
    pub(super) cpu_us: Spread,
    /// CPU time a request of our edge over this server's, round by round.
    pub(super) ratio: Spread,
    pub(super) requests_per_s: f64,
    pub(super) mb_per_s: f64,
    pub(super) p99_us: f64,
    /// Of a thousand requests, those that reached the origin in the measured rounds.
    pub(super) misses_per_mille: f64,
}

/// One measurement.
struct Measured {
    cpu_us: f64,
    requests: u64,
    requests_per_s: f64,
    p99_us: f64,
    misses: u64,
}

/// Each size with each protocol, as far as they were asked for.
pub(super) fn ram_cases(args: &Args) -> Vec<Case> {
    let cases = cases(args, &SIZES, |_| 1);
    let only_bars = args.check && args.size.is_empty();
    cases
        .into_iter()
        .filter(|case| !only_bars || super::bars::bar(case.protocol, case.size).is_some())
        .collect()
}

/// Hits of 1 KiB alone: what a line of a log costs shows there.
pub(super) fn small_cases(args: &Args) -> Vec<Case> {
    cases(args, &SIZES[..1], |_| 1)
}

/// Many objects of each size in turn.
pub(super) fn disk_cases(args: &Args) -> Vec<Case> {
    let count = |size: u64| (FROM_DISK / size.max(1)).clamp(16, MOST_OBJECTS) as u32;
    cases(args, &SIZES, count)
}

fn cases(args: &Args, sizes: &[u64], objects: impl Fn(u64) -> u32) -> Vec<Case> {
    let sizes = if args.size.is_empty() { sizes } else { &args.size[..] };
    let wanted = |protocol| args.protocol.is_empty() || args.protocol.contains(&protocol);
    let protocols = || Protocol::ALL.into_iter().filter(|&protocol| wanted(protocol));
    let of_size = |&size: &u64| {
        let objects = objects(size);
        protocols().map(move |protocol| Case { protocol, size, objects })
    };
    sizes.iter().flat_map(of_size).collect()
}

/// Measures the cases one after the other.
///
/// # Errors
/// When a server gives a wrong answer or ends.
pub(super) async fn measure(
    bench: &Bench<'_>,
    servers: &[Server],
    cases: &[Case],
) -> Result<Vec<Row>> {
    let rounds = bench.args.rounds;
    bench.bar.set_position(0);
    bench.bar.set_length(cases.len() as u64 * u64::from(rounds));
    let mut rows = Vec::new();
    for case in cases {
        let servers: Vec<&Server> =
            servers.iter().filter(|server| server.speaks(case.protocol)).collect();
        let mut measured: Vec<Vec<Measured>> = servers.iter().map(|_| Vec::new()).collect();
        for server in &servers {
            let warmed = warm(bench, server, case).await;
            warmed.map_err(|error| format!("{}, at first: {error}", case.of(server)))?;
        }
        for round in 0..rounds {
            for which in turns(servers.len(), round) {
                let server = servers[which];
                bench.bar.set_message(case.of(server));
                let once = once(bench, server, load(bench, server, case)).await;
                let once = once.map_err(|error| format!("{}: {error}", case.of(server)))?;
                measured[which].push(once);
            }
            bench.bar.inc(1);
        }
        let ours = &measured[0];
        let servers = servers
            .iter()
            .zip(&measured)
            .map(|(server, rounds)| Figures::of(server.name(), ours, rounds, case.size))
            .collect::<Result<_>>()?;
        rows.push(Row { protocol: case.protocol, size: case.size, servers });
    }
    Ok(rows)
}

fn load(bench: &Bench<'_>, server: &Server, case: &Case) -> Load {
    Load {
        protocol: case.protocol,
        addr: server.addr(case.protocol),
        objects: Objects::new(case.size, case.objects).by(server.player()),
        connections: bench.args.connections.into(),
        streams: bench.args.streams.into(),
        tls: bench.tls.clone(),
    }
}

/// Short rounds fill the cache and warm connections, tickets and code; where there are many objects,
/// until hardly any is asked for at the origin.
async fn warm(bench: &Bench<'_>, server: &Server, case: &Case) -> Result<()> {
    const SHORT: Duration = Duration::from_millis(200);
    const LONG: Duration = Duration::from_secs(2);
    for _ in 0..10 {
        let before = bench.origin.asked();
        let time = if case.objects == 1 { SHORT } else { LONG };
        let requests = load(bench, server, case).run(time).await?.requests;
        let misses = bench.origin.asked() - before;
        if case.objects == 1 || misses * 100 <= requests {
            break;
        }
    }
    Ok(())
}

async fn once(bench: &Bench<'_>, server: &Server, load: Load) -> Result<Measured> {
    let (before, asked) = (server.cpu_time()?, bench.origin.asked());
    let outcome = load.run(bench.time()).await?;
    let spent = server.cpu_time()?.saturating_sub(before);
    if outcome.requests == 0 {
        return Err("nothing was answered".into());
    }
    Ok(Measured {
        cpu_us: spent.as_secs_f64() * 1e6 / outcome.requests as f64,
        requests: outcome.requests,
        requests_per_s: outcome.requests as f64 / outcome.elapsed.as_secs_f64(),
        p99_us: f64::from(outcome.p99_us),
        misses: bench.origin.asked() - asked,
    })
}

impl Figures {
    fn of(name: &'static str, ours: &[Measured], rounds: &[Measured], size: u64) -> Result<Self> {
        let spread = |pick: fn(&Measured) -> f64| {
            Spread::of(rounds.iter().map(pick)).ok_or("no rounds were run")
        };
        let ratio = ours.iter().zip(rounds).map(|(ours, theirs)| ours.cpu_us / theirs.cpu_us);
        let requests_per_s = spread(|round| round.requests_per_s)?.median;
        let all: u64 = rounds.iter().map(|round| round.requests).sum();
        let misses: u64 = rounds.iter().map(|round| round.misses).sum();
        Ok(Self {
            name,
            cpu_us: spread(|round| round.cpu_us)?,
            ratio: Spread::of(ratio).ok_or("no rounds were run")?,
            requests_per_s,
            mb_per_s: requests_per_s * size as f64 / 1e6,
            p99_us: spread(|round| round.p99_us)?.median,
            misses_per_mille: misses as f64 * 1e3 / all as f64,
        })
    }
}
