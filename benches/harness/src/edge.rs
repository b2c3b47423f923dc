//! `headwater-bench edge`: cache hits of our edge beside nginx's, in alternating rounds.
//!
//! Only ratios from one run mean anything on a shared machine; so each round measures both servers
//! one after the other, and the table's ratio is the median over the rounds of that round's ratio.

use std::path::PathBuf;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::load::{Load, Protocol, Result};
use crate::peer::{self, Server, Setting, Tier};
use crate::stats::Spread;

/// What to measure.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The reference stack's binary
    #[arg(long, value_name = "FILE")]
    stack: PathBuf,
    /// Where the peer is built and kept
    #[arg(long, value_name = "DIR")]
    cache: PathBuf,
    /// How often each server is measured in each case
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Seconds that one measurement lasts
    #[arg(long, default_value_t = 1.5)]
    seconds: f64,
    /// Connections kept open
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1024))]
    connections: u16,
    /// Requests under way on each connection
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=100))]
    streams: u16,
    /// Only these protocols; by default all
    #[arg(long, value_enum)]
    protocol: Vec<Protocol>,
    /// Only these body sizes in bytes; by default 1 KiB, 64 KiB and 1 MiB
    #[arg(long, value_name = "BYTES")]
    size: Vec<u64>,
    /// Where our hits come from: memory, or the disk tier in the page cache. nginx's are files in
    /// the page cache in both cases
    #[arg(long, value_enum, default_value_t = Tier::Ram)]
    tier: Tier,
    /// Let both servers log each request to a file
    #[arg(long)]
    log: bool,
    /// Write the figures here as JSON too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Run only the cases that have bars, and fail where one is missed
    #[arg(long)]
    check: bool,
}

/// Body sizes: a manifest or a small audio segment, a part, a video segment.
const SIZES: [u64; 3] = [1 << 10, 64 << 10, 1 << 20];

/// One row of the table.
#[derive(Serialize)]
struct Row {
    protocol: Protocol,
    size: u64,
    /// CPU-µs per request of our edge over nginx's, round by round.
    ratio: Spread,
    headwater: Figures,
    nginx: Figures,
}

/// One server's figures in one case: medians over the rounds.
#[derive(Serialize)]
struct Figures {
    cpu_us: Spread,
    requests_per_s: f64,
    mb_per_s: f64,
    p99_us: f64,
}

/// One measurement.
struct Measured {
    cpu_us: f64,
    requests_per_s: f64,
    p99_us: f64,
}

/// Runs the bench.
///
/// # Errors
/// When a server cannot be started, or gives a wrong answer.
pub async fn run(args: &Args) -> Result<()> {
    if args.check {
        println!("no case has a bar yet: these figures are where they will start from");
        return Ok(());
    }
    if !(0.1..=600.0).contains(&args.seconds) {
        return Err("--seconds must lie between 0.1 and 600".into());
    }
    let nginx = peer::nginx_binary(&args.cache)?;
    let dir = tempfile::tempdir()?;
    let pair = rcgen::generate_simple_self_signed(["localhost".into(), "127.0.0.1".into()])?;
    let setting = Setting {
        dir: dir.path().to_owned(),
        certificate: dir.path().join("certificate.pem"),
        key: dir.path().join("key.pem"),
        origin: crate::origin::serve().await?,
        log: args.log,
        tier: args.tier,
    };
    std::fs::write(&setting.certificate, pair.cert.pem())?;
    std::fs::write(&setting.key, pair.signing_key.serialize_pem())?;
    let tls = crate::load::trust_only(pair.cert.der())?;
    let servers = [peer::headwater(&args.stack, &setting)?, peer::nginx(&nginx, &setting)?];

    let cases = cases(args);
    let bar = ProgressBar::new(cases.len() as u64 * u64::from(args.rounds) * 2);
    bar.set_style(ProgressStyle::with_template("{bar:30} {pos}/{len} {msg} {eta}")?);
    let mut rows = Vec::new();
    for (protocol, size) in cases {
        let load = |server: &Server| Load {
            protocol,
            addr: server.addr(protocol),
            path: format!("/media/object-{size}"),
            size,
            connections: args.connections.into(),
            streams: args.streams.into(),
            tls: tls.clone(),
        };
        let mut measured: [Vec<Measured>; 2] = [Vec::new(), Vec::new()];
        for server in &servers {
            // One short round fills the cache and warms connections, tickets and code.
            load(server).run(Duration::from_millis(200)).await?;
        }
        for round in 0..args.rounds {
            // Who goes first alternates too.
            for turn in 0..2 {
                let which = (turn + round as usize) % 2;
                let server = &servers[which];
                bar.set_message(format!("{} {size} B {}", protocol.name(), server.name()));
                let seconds = Duration::from_secs_f64(args.seconds);
                measured[which].push(measure(server, load(server), seconds).await?);
                bar.inc(1);
            }
        }
        let ratio =
            measured[0].iter().zip(&measured[1]).map(|(ours, peer)| ours.cpu_us / peer.cpu_us);
        rows.push(Row {
            protocol,
            size,
            ratio: Spread::of(ratio).ok_or("no rounds were run")?,
            headwater: Figures::of(&measured[0], size)?,
            nginx: Figures::of(&measured[1], size)?,
        });
    }
    bar.finish_and_clear();
    print(&rows, args);
    if let Some(file) = &args.json {
        let report = serde_json::json!({
            "bench": "edge",
            "date": headwater_net::Clock::system().now().to_http_date(),
            "machine": crate::cpu::machine(),
            "rounds": args.rounds,
            "seconds": args.seconds,
            "connections": args.connections,
            "streams": args.streams,
            "log": args.log,
            "tier": args.tier,
            "cases": rows,
        });
        std::fs::write(file, serde_json::to_vec_pretty(&report)?)?;
    }
    Ok(())
}

/// Each size with each protocol, as far as they were asked for.
fn cases(args: &Args) -> Vec<(Protocol, u64)> {
    let sizes = if args.size.is_empty() { &SIZES[..] } else { &args.size[..] };
    let wanted = |protocol| args.protocol.is_empty() || args.protocol.contains(&protocol);
    let protocols = || Protocol::ALL.into_iter().filter(|&protocol| wanted(protocol));
    sizes.iter().flat_map(|&size| protocols().map(move |protocol| (protocol, size))).collect()
}

async fn measure(server: &Server, load: Load, time: Duration) -> Result<Measured> {
    let protocol = load.protocol;
    let before = server.cpu_time()?;
    let outcome = load
        .run(time)
        .await
        .map_err(|error| format!("{} over {}: {error}", server.name(), protocol.name()))?;
    let spent = server.cpu_time()?.saturating_sub(before);
    if outcome.requests == 0 {
        return Err(format!("{} answered nothing over {}", server.name(), protocol.name()).into());
    }
    Ok(Measured {
        cpu_us: spent.as_secs_f64() * 1e6 / outcome.requests as f64,
        requests_per_s: outcome.requests as f64 / outcome.elapsed.as_secs_f64(),
        p99_us: f64::from(outcome.p99_us),
    })
}

impl Figures {
    fn of(rounds: &[Measured], size: u64) -> Result<Self> {
        let spread = |pick: fn(&Measured) -> f64| {
            Spread::of(rounds.iter().map(pick)).ok_or("no rounds were run")
        };
        let requests_per_s = spread(|round| round.requests_per_s)?.median;
        Ok(Self {
            cpu_us: spread(|round| round.cpu_us)?,
            requests_per_s,
            mb_per_s: requests_per_s * size as f64 / 1e6,
            p99_us: spread(|round| round.p99_us)?.median,
        })
    }
}

fn print(rows: &[Row], args: &Args) {
    println!("{}", crate::cpu::machine());
    println!(
        "cache hits, ours from {}, {} connections × {} requests, {} rounds of {} s each, access log {}",
        if args.tier == Tier::Ram { "memory" } else { "disk" },
        args.connections,
        args.streams,
        args.rounds,
        args.seconds,
        if args.log { "on" } else { "off" }
    );
    println!(
        "{:<8}{:>9} │{:>23} │{:>17} │{:>19} │{:>17} │{:>17}",
        "", "bytes", "CPU ratio (quartiles)", "CPU-µs/request", "requests/s", "MB/s", "p99 µs"
    );
    println!(
        "{:<8}{:>9} │{:>23} │{:>9}{:>8} │{:>10}{:>9} │{:>9}{:>8} │{:>9}{:>8}",
        "", "", "ours / nginx", "ours", "nginx", "ours", "nginx", "ours", "nginx", "ours", "nginx"
    );
    for row in rows {
        let (ours, peer) = (&row.headwater, &row.nginx);
        println!(
            "{:<8}{:>9} │{:>9.2} ({:.2} – {:.2}) │{:>9.1}{:>8.1} │{:>10.0}{:>9.0} │{:>9.0}{:>8.0} │{:>9.0}{:>8.0}",
            row.protocol.name(),
            row.size,
            row.ratio.median,
            row.ratio.low,
            row.ratio.high,
            ours.cpu_us.median,
            peer.cpu_us.median,
            ours.requests_per_s,
            peer.requests_per_s,
            ours.mb_per_s,
            peer.mb_per_s,
            ours.p99_us,
            peer.p99_us,
        );
    }
}
