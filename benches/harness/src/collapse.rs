//! `headwater-bench collapse`: many who want the same at once, before an origin that drips.
//!
//! Two settings. *Inside*: thousands of followers call a cache in this process, whose origin hands
//! out a body over a second. *Loopback*: hundreds of clients come over a second, each with a
//! connection of its own, to a server whose origin drips over two; beside it, what the same clients
//! need for objects that are finished, which is what the load client itself takes.

mod drip;
mod inside;
mod loopback;

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use crate::load::Result;
use crate::stats::percentile;

pub use loopback::{ServeArgs, serve};

/// What to measure.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Followers of one fill in this process
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    followers: u32,
    /// Clients over loopback
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    clients: u32,
    /// How often each is measured
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Write the figures here as JSON too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Print one line a bar, and fail where one is missed
    #[arg(long)]
    check: bool,
}

/// The body that everyone wants.
const OBJECT_BYTES: u64 = 1 << 20;

/// The most that a follower's first byte may be late, at the 95th percentile.
const LATE_MS: f64 = 30.0;

/// How long the first byte took those who asked, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[expect(clippy::struct_field_names, reason = "the unit is part of the name in the JSON")]
struct FirstByte {
    p50_ms: f64,
    p95_ms: f64,
    max_ms: f64,
}

impl FirstByte {
    fn of(times: &[Duration]) -> Self {
        let mut micros: Vec<u32> =
            times.iter().map(|time| u32::try_from(time.as_micros()).unwrap_or(u32::MAX)).collect();
        let mut at = |share| f64::from(percentile(&mut micros, share)) / 1000.0;
        Self { p50_ms: at(0.5), p95_ms: at(0.95), max_ms: at(1.0) }
    }
}

/// Followers in this process: medians over the rounds.
#[derive(Debug, Serialize)]
struct Inside {
    followers: u32,
    /// Fetches for all of them; the most of any round.
    fetches: u64,
    /// Behind the first byte of all, which is the leader's or an earlier one.
    first_byte: FirstByte,
    /// What this process took more, at the most, than before the followers came.
    memory_bytes: u64,
}

/// Clients over loopback: medians over the rounds.
#[derive(Debug, Serialize)]
struct Loopback {
    clients: u32,
    fetches: u64,
    /// From the request to the first byte of the body.
    dripping: FirstByte,
    /// The same clients, and an object that is finished.
    finished: FirstByte,
    /// What the server held at the most.
    server_memory_bytes: u64,
}

#[derive(Debug, Serialize)]
struct Figures {
    machine: String,
    rounds: u32,
    inside: Inside,
    loopback: Loopback,
}

/// Runs the bench.
///
/// # Errors
/// When the server cannot be started or gives a wrong answer, or with `--check` when a bar is
/// missed.
pub async fn run(args: &Args) -> Result<()> {
    let inside = inside::measure(args.followers, args.rounds).await?;
    let loopback = loopback::measure(args.clients, args.rounds).await?;
    let machine = crate::cpu::machine();
    let figures = Figures { machine, rounds: args.rounds, inside, loopback };
    print(&figures);
    if let Some(path) = &args.json {
        std::fs::write(path, serde_json::to_string_pretty(&figures)? + "\n")?;
    }
    if args.check && !check(&figures) {
        return Err("a bar was missed".into());
    }
    Ok(())
}

fn print(figures: &Figures) {
    let Figures { machine, rounds, inside, loopback } = figures;
    println!("{machine}; 1 MiB, medians of {rounds} rounds");
    println!("{:<44}{:>8}{:>9}{:>9}{:>9}{:>9}", "", "fetches", "p50_ms", "p95_ms", "max_ms", "MiB");
    let row = |what: String, fetches: Option<u64>, first: &FirstByte, memory: Option<u64>| {
        let fetches = fetches.map_or_else(|| "-".to_owned(), |count| count.to_string());
        let memory =
            memory.map_or_else(|| "-".to_owned(), |bytes| format!("{:.1}", mebibytes(bytes)));
        println!(
            "{what:<44}{fetches:>8}{:>9.2}{:>9.2}{:>9.2}{memory:>9}",
            first.p50_ms, first.p95_ms, first.max_ms
        );
    };
    row(
        format!("{} followers inside, behind the first of all", inside.followers),
        Some(inside.fetches),
        &inside.first_byte,
        Some(inside.memory_bytes),
    );
    row(
        format!("{} clients over loopback, a 2 s drip", loopback.clients),
        Some(loopback.fetches),
        &loopback.dripping,
        Some(loopback.server_memory_bytes),
    );
    row("the same clients, finished objects".to_owned(), None, &loopback.finished, None);
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// Prints one line a bar; says whether all are cleared.
fn check(figures: &Figures) -> bool {
    let beyond = figures.loopback.dripping.p95_ms - figures.loopback.finished.p95_ms;
    let bars = [
        ("inside: fetches", figures.inside.fetches as f64, 1.0),
        ("inside: p95 behind the first of all, ms", figures.inside.first_byte.p95_ms, LATE_MS),
        ("loopback: fetches", figures.loopback.fetches as f64, 1.0),
        ("loopback: p95 beyond finished objects, ms", beyond, LATE_MS),
    ];
    let mut cleared = true;
    for (what, measured, bar) in bars {
        let ok = measured <= bar;
        cleared &= ok;
        let word = if ok { "ok" } else { "missed" };
        println!("{what}: {measured:.2}, at most {bar}: {word}");
    }
    cleared
}

/// The round in the middle by its 95th percentile.
fn middle(mut rounds: Vec<FirstByte>) -> Result<FirstByte> {
    rounds.sort_by(|one, other| one.p95_ms.total_cmp(&other.p95_ms));
    rounds.get(rounds.len() / 2).copied().ok_or_else(|| "no rounds were run".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_first_byte_misses_its_bar() {
        let first = |p95_ms| FirstByte { p50_ms: 1.0, p95_ms, max_ms: 90.0 };
        let figures = |behind, dripping, fetches| Figures {
            machine: String::new(),
            rounds: 1,
            inside: Inside { followers: 1, fetches, first_byte: first(behind), memory_bytes: 0 },
            loopback: Loopback {
                clients: 1,
                fetches: 1,
                dripping: first(dripping),
                finished: first(10.0),
                server_memory_bytes: 0,
            },
        };
        assert!(check(&figures(30.0, 40.0, 1)));
        assert!(!check(&figures(30.1, 40.0, 1)));
        assert!(!check(&figures(30.0, 40.1, 1)));
        assert!(!check(&figures(30.0, 40.0, 2)));
    }
}
