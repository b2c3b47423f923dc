//! `cargo xtask bench traces`: hit ratios of the cache's tiers beside other policies and the
//! optimum, on synthetic video traffic.
//!
//! Everything but the last comparison, with the cache itself, and CPU times is the same in every run of a
//! seed.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command prints its results")]

mod cost;
mod measure;
mod plot;
mod policy;
mod real;
mod report;
mod tier;
mod watched;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use clap::Parser;
use headwater_bench_traces::bar::Bar;
use headwater_bench_traces::traffic::{self, Traffic};

use cost::Cost;
use policy::Kind;
use report::{Cell, Figures, Row};

/// What can go wrong.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Measures caching policies on synthetic video traffic.
#[derive(Parser, Debug)]
#[command(version)]
struct Args {
    /// Requests of each trace
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u32).range(1000..=100_000_000))]
    requests: u32,
    /// What the traces follow from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write the figures here as JSON too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw the figures here, as SVG
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Print one line a bar, and fail where one is missed
    #[arg(long)]
    check: bool,
}

/// Sizes of the caches, in per cent of all bytes of a trace.
const SIZES: [f64; 6] = [0.1, 0.5, 1.0, 5.0, 10.0, 20.0];

/// The size at which the model is compared with the cache itself.
const COMPARED: f64 = 1.0;

/// The audiences.
fn audiences() -> [Traffic; 8] {
    let titles = Traffic::titles;
    [
        titles("titles, 0.6", 0.6),
        titles("titles, 0.8", 0.8),
        titles("titles, 1.0", 1.0),
        titles("titles, 1.2", 1.2),
        Traffic { premiere_every: 5, ..titles("premieres", 0.8) },
        Traffic { crawlers: 0.15, ..titles("crawlers", 0.8) },
        Traffic { live: 1.0, ..titles("live", 0.8) },
        Traffic { live: 0.3, crawlers: 0.05, premiere_every: 10, ..titles("mixed", 0.8) },
    ]
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// False where a bar was to be checked and is missed.
fn run(args: &Args) -> Result<bool> {
    let figures = measure_all(args)?;
    let bars = figures.bars();
    if args.check {
        for bar in &bars {
            println!("{bar}");
        }
    } else {
        println!("{}", figures.table());
    }
    if let Some(file) = &args.json {
        std::fs::write(file, serde_json::to_string_pretty(&figures)? + "\n")?;
    }
    if let Some(file) = &args.plot {
        std::fs::write(file, plot::draw(&figures))?;
    }
    Ok(!args.check || bars.iter().all(Bar::is_cleared))
}

/// Every trace, on as many threads as there are cores.
fn measure_all(args: &Args) -> Result<Figures> {
    let audiences = audiences();
    let (next, rows) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || -> Result<()> {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(audience) = audiences.get(at) else { return Ok(()) };
            let row = measure_one(audience, args)?;
            eprintln!("{}: measured", row.name);
            rows.lock().map_err(|_| "a thread failed")?.push((at, row));
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        running.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a thread failed")?)
    })?;
    let mut rows = rows.into_inner().map_err(|_| "a thread failed")?;
    rows.sort_by_key(|(at, _)| *at);
    let traces = rows.into_iter().map(|(_, row)| row).collect();
    let Args { seed, requests, .. } = *args;
    let cost = cost(args);
    Ok(Figures { bench: "traces", seed, requests, traces, cost })
}

/// Before the last audience, once nothing else runs.
fn cost(args: &Args) -> Cost {
    let [.., last] = audiences();
    let trace = last.trace(args.seed, args.requests as usize);
    Cost::measure((trace.footprint() as f64 * COMPARED / 100.0) as u64, &trace)
}

fn measure_one(audience: &Traffic, args: &Args) -> Result<Row> {
    let trace = audience.trace(args.seed, args.requests as usize);
    let footprint = trace.footprint();
    let capacity = |share: f64| (footprint as f64 * share / 100.0) as u64;
    let mut cells = Vec::new();
    for share in SIZES {
        for kind in Kind::ALL {
            let found = measure::measure(kind, capacity(share), &trace);
            cells.push(Cell { policy: kind, share, found });
        }
    }
    let cache = real::measure(capacity(COMPARED), &trace, false)?;
    let cache_told = real::measure(capacity(COMPARED), &trace, true)?;
    Ok(Row {
        name: trace.name,
        objects: trace.objects.len(),
        footprint,
        once: trace.once(),
        cells,
        compared: COMPARED,
        cache,
        cache_told,
    })
}
